/*
 * folder - the data folder: made where it is missing, opened, and locked for one process.
 *
 * The lock is flock(2) on the file "lock" in it: it goes with the process however that ends.  The
 * file says the process id of who holds it.
 *
 * Errors    HW_ESYSTEM with the folder's name; HW_EBUSY with the holder's process id.
 */
#ifndef HW_STORE_FOLDER_H
#define HW_STORE_FOLDER_H

#include <sys/types.h>

#include "hookwheel/status.h"

struct hw_folder {
    char *path;  /* owned; as given, for messages */
    int fd;      /* of the folder */
    int lock_fd; /* holds the lock */
};

HW_MUST_USE enum hw_status hw_folder_open(struct hw_folder *f, const char *path,
                                          struct hw_cause *cause);
void hw_folder_close(struct hw_folder *f); /* gives the lock back */

/* A lock file of the folder's, by name: HW_OK with *fd locked; HW_EBUSY when somebody else has
 * it, with *holder its process id as far as the file says (0: it does not). */
HW_MUST_USE enum hw_status hw_folder_lock(const struct hw_folder *f, const char *name, int *fd,
                                          pid_t *holder, struct hw_cause *cause);

/* Replace a file of the folder's as a whole; mode 0600. */
HW_MUST_USE enum hw_status hw_folder_write(const struct hw_folder *f, const char *name,
                                           const void *bytes, size_t n_bytes,
                                           struct hw_cause *cause);

#endif
