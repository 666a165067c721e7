#include "root_token.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tls/trust.h"

static enum hw_status fail(struct hw_cause *cause, const char *doing, const char *path)
{
    return hw_cause_set(cause, HW_ESYSTEM, HW_ORIGIN_ERRNO, errno, "cannot %s %.90s: %s",
                        doing, path, strerror(errno));
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

enum hw_status hw_root_token_read(const char *path, char out[HW_ROOT_TOKEN_MAX],
                                  struct hw_cause *cause)
{
    char text[2 * HW_ROOT_TOKEN_MAX];
    size_t from = 0, to;
    ssize_t n;
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return hw_cause_set(cause, HW_EINVAL, HW_ORIGIN_ERRNO, errno,
                            "cannot read the token file %.90s: %s", path, strerror(errno));
    n = read(fd, text, sizeof text);
    close(fd);
    if (n < 0)
        return hw_cause_set(cause, HW_EINVAL, HW_ORIGIN_ERRNO, errno,
                            "cannot read the token file %.90s: %s", path, strerror(errno));
    to = (size_t)n;
    while (from < to && is_space(text[from]))
        from++;
    while (to > from && is_space(text[to - 1]))
        to--;
    if (from == to || to - from >= HW_ROOT_TOKEN_MAX || memchr(text + from, '\0', to - from))
        return hw_cause_set(cause, HW_EINVAL, HW_ORIGIN_US, 0,
                            "the token file %.90s holds no token of 16 to 256 characters",
                            path);
    memcpy(out, text + from, to - from);
    out[to - from] = '\0';
    return HW_OK;
}

static enum hw_status write_all(int fd, const char *text, size_t n)
{
    while (n > 0) {
        ssize_t done = write(fd, text, n);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return HW_ESYSTEM;
        text += done;
        n -= (size_t)done;
    }
    return HW_OK;
}

/* "hwr_" and 256 random bits in hex. */
static void token_make(char out[HW_ROOT_TOKEN_MAX])
{
    unsigned char bytes[32];
    char *at = out + snprintf(out, HW_ROOT_TOKEN_MAX, "hwr_");

    hw_random_bytes(bytes, sizeof bytes);
    for (size_t i = 0; i < sizeof bytes; i++)
        at += snprintf(at, 3, "%02x", bytes[i]);
}

/* The whole token under a name of its own, forced to disk; linked to `path` if nobody else
 * was faster (EEXIST is as good). */
static enum hw_status token_publish(const char *path, const char *token,
                                    struct hw_cause *cause)
{
    char draft[PATH_MAX];
    char line[HW_ROOT_TOKEN_MAX + 1];
    int n = snprintf(line, sizeof line, "%s\n", token);
    enum hw_status status = HW_OK;
    int fd;

    if (snprintf(draft, sizeof draft, "%s.%ld", path, (long)getpid()) >= (int)sizeof draft) {
        errno = ENAMETOOLONG;
        return fail(cause, "write", path);
    }
    unlink(draft); /* left behind by a process of our number that died */
    fd = open(draft, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return fail(cause, "write", path);
    if (write_all(fd, line, (size_t)n) != HW_OK || fsync(fd) != 0)
        status = fail(cause, "write", path);
    close(fd);
    if (status == HW_OK && link(draft, path) != 0 && errno != EEXIST)
        status = fail(cause, "write", path);
    unlink(draft);
    return status;
}

enum hw_status hw_root_token_keep(const char *data_dir, char out[HW_ROOT_TOKEN_MAX],
                                  bool *was_made, struct hw_cause *cause)
{
    char path[PATH_MAX];
    enum hw_status status;

    *was_made = false;
    if (snprintf(path, sizeof path, "%s/root-token", data_dir) >= (int)sizeof path) {
        errno = ENAMETOOLONG;
        return fail(cause, "use", data_dir);
    }
    if (mkdir(data_dir, 0700) != 0 && errno != EEXIST)
        return fail(cause, "make the data folder", data_dir);
    if (access(path, F_OK) == 0)
        return hw_root_token_read(path, out, cause);
    token_make(out);
    status = token_publish(path, out, cause);
    if (status != HW_OK)
        return status;
    *was_made = true;
    return hw_root_token_read(path, out, cause);
}
