#include "store/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hookwheel/alloc.h"

static enum hw_status refused(const struct hw_folder *f, const char *doing,
                              struct hw_cause *cause)
{
    return hw_cause_set(cause, HW_ESYSTEM, HW_ORIGIN_ERRNO, errno, "data folder %s: %s: %s",
                        f->path, doing, strerror(errno));
}

static pid_t read_pid(int fd)
{
    char text[24] = "";
    ssize_t n = pread(fd, text, sizeof text - 1, 0);

    return n > 0 ? (pid_t)strtol(text, NULL, 10) : 0;
}

enum hw_status hw_folder_lock(const struct hw_folder *f, const char *name, int *fd,
                              pid_t *holder, struct hw_cause *cause)
{
    int file = openat(f->fd, name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

    *holder = 0;
    if (file < 0)
        return refused(f, name, cause);
    if (flock(file, LOCK_EX | LOCK_NB) == 0) {
        *fd = file;
        return HW_OK;
    }
    if (errno != EWOULDBLOCK) {
        enum hw_status status = refused(f, name, cause);
        close(file);
        return status;
    }
    *holder = read_pid(file);
    close(file);
    return hw_cause_set(cause, HW_EBUSY, HW_ORIGIN_US, 0,
                        "data folder %s is in use by process %d", f->path, (int)*holder);
}

static bool write_all(int fd, const char *bytes, size_t n_bytes)
{
    while (n_bytes > 0) {
        ssize_t n = write(fd, bytes, n_bytes);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        bytes += n;
        n_bytes -= (size_t)n;
    }
    return true;
}

/* Into another name first: whoever reads it sees the old file or the new one. */
enum hw_status hw_folder_write(const struct hw_folder *f, const char *name, const void *bytes,
                               size_t n_bytes, struct hw_cause *cause)
{
    enum hw_status status;
    char fresh[64];
    int fd;

    snprintf(fresh, sizeof fresh, "%s.new", name);
    (void)unlinkat(f->fd, fresh, 0); /* of an attempt that was cut off */
    fd = openat(f->fd, fresh, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return refused(f, name, cause);
    if (write_all(fd, bytes, n_bytes) && renameat(f->fd, fresh, f->fd, name) == 0) {
        close(fd);
        return HW_OK;
    }
    status = refused(f, name, cause);
    close(fd);
    return status;
}

static enum hw_status open_and_lock(struct hw_folder *f, struct hw_cause *cause)
{
    char pid[24];
    enum hw_status status;
    pid_t holder;
    int n;

    if (mkdir(f->path, 0700) != 0 && errno != EEXIST)
        return refused(f, "make it", cause);
    f->fd = open(f->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (f->fd < 0)
        return refused(f, "open it", cause);
    status = hw_folder_lock(f, "lock", &f->lock_fd, &holder, cause);
    if (status != HW_OK)
        return status;
    n = snprintf(pid, sizeof pid, "%d\n", (int)getpid());
    if (ftruncate(f->lock_fd, 0) != 0 || pwrite(f->lock_fd, pid, (size_t)n, 0) != n)
        return refused(f, "lock", cause);
    return HW_OK;
}

enum hw_status hw_folder_open(struct hw_folder *f, const char *path, struct hw_cause *cause)
{
    enum hw_status status;

    *f = (struct hw_folder){ .path = hw_strdup(path), .fd = -1, .lock_fd = -1 };
    if (f->path == NULL)
        return hw_cause_set(cause, HW_ENOMEM, HW_ORIGIN_US, 0, "open the data folder");
    status = open_and_lock(f, cause);
    if (status != HW_OK)
        hw_folder_close(f);
    return status;
}

void hw_folder_close(struct hw_folder *f)
{
    if (f->fd >= 0)
        close(f->fd);
    if (f->lock_fd >= 0)
        close(f->lock_fd);
    hw_free(f->path);
    *f = (struct hw_folder){ .fd = -1, .lock_fd = -1 };
}
