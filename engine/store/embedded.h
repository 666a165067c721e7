/*
 * embedded - a redis-server of our own: a child process on a unix socket in the data folder.
 *
 *   open -> (a server left behind is told to end and waited for) -> started
 *        -> died -> started again after 100 ms ... 5 s -> ... -> close: SIGTERM, waited for
 *
 * Never two servers on one folder: the child inherits a locked file and keeps it for life, so the
 * lock is free exactly when no server (and no child that it forked) is there any more.
 * The child is in a session of its own, so that Ctrl-C on a terminal reaches only us, and is
 * told to end when we die (PR_SET_PDEATHSIG: when the thread that opened it does).
 *
 * In the folder: lock, server (the two locks), redis.conf (written anew at each start), redis.sock,
 * redis.pid, redis.log, and Redis' append-only file.
 *
 * Memory    one object, owned by whoever opened it.
 * Lifetime  open; close once, its callback when the server is gone.
 * Errors    open: the folder cannot be used (HW_ESYSTEM), somebody else uses it (HW_EBUSY with
 *           the process id), redis-server cannot be run.  Later ones are news.
 * Signals   SIGCHLD through libuv; only our own child is waited for.
 */
#ifndef HW_STORE_EMBEDDED_H
#define HW_STORE_EMBEDDED_H

#include <sys/types.h>

#include "hookwheel/config.h"
#include "loop/loop.h"
#include "store/redis.h"

struct hw_embedded;

enum hw_embedded_news {
    HW_EMBEDDED_WAITING, /* for a server left behind to end */
    HW_EMBEDDED_STARTED,
    HW_EMBEDDED_DIED,  /* will be started again */
    HW_EMBEDDED_FAILED /* the one left behind does not end: nothing more is tried */
};

struct hw_embedded_options {
    const char *folder;  /* copied */
    const char *program; /* borrowed; NULL: redis-server, looked for in PATH */
    enum hw_redis_fsync fsync;
    /* The cause's note is the news in one sentence; its status HW_OK where all is well.  Never
     * called inside open or close, nor after close was called. */
    void (*on_news)(void *data, enum hw_embedded_news news, const struct hw_cause *cause);
    void *data;
};

HW_MUST_USE enum hw_status hw_embedded_open(struct hw_embedded **out, struct hw_loop *loop,
                                            const struct hw_embedded_options *options,
                                            struct hw_cause *cause);
void hw_embedded_close(struct hw_embedded *e, void (*cb)(void *data), void *data);

/* Of the server that runs now; 0: none. */
pid_t hw_embedded_pid(const struct hw_embedded *e);

/* Where the embedded Redis of `folder` is reached, from this process or another (`hookwheel send`).
 * Its path can be longer than a socket's address holds (107 bytes); then the address leads
 * through a descriptor of the folder that the target owns. */
HW_MUST_USE enum hw_status hw_embedded_target(struct hw_redis_target *t, const char *folder,
                                              struct hw_cause *cause);

#endif
