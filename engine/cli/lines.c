#include "cli/lines.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

enum { READ_BYTES = 64 * 1024 };

enum hw_status hw_lines_open(struct hw_lines *l, const char *path, size_t line_max,
                             struct hw_cause *cause)
{
    struct stat about;

    *l = (struct hw_lines){ .fd = STDIN_FILENO };
    hw_buf_init(&l->in, line_max + 2 * READ_BYTES);
    if (strcmp(path, "-") != 0)
        l->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (l->fd < 0)
        return hw_cause_set(cause, HW_EINVAL, HW_ORIGIN_ERRNO, errno, "cannot read %.100s: %s",
                            path, strerror(errno));
    if (fstat(l->fd, &about) == 0 && S_ISREG(about.st_mode))
        l->all_bytes = (uint64_t)about.st_size;
    return HW_OK;
}

void hw_lines_close(struct hw_lines *l)
{
    hw_buf_close(&l->in);
    if (l->fd > STDIN_FILENO)
        close(l->fd);
}

static enum hw_lines_result lines_fill(struct hw_lines *l, struct hw_cause *cause)
{
    struct pollfd ready = { .fd = l->fd, .events = POLLIN };
    ssize_t n;

    if (poll(&ready, 1, 0) == 0)
        return HW_LINES_LATER;
    if (hw_buf_reserve(&l->in, READ_BYTES) != HW_OK) {
        hw_cause_set(cause, HW_ETOOBIG, HW_ORIGIN_US, 0, "line %llu is too long",
                     (unsigned long long)l->n_lines + 1);
        return HW_LINES_FAILED;
    }
    n = read(l->fd, hw_buf_space(&l->in), READ_BYTES);
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return HW_LINES_LATER;
    if (n < 0) {
        hw_cause_set(cause, HW_ESYSTEM, HW_ORIGIN_ERRNO, errno, "cannot read: %s",
                     strerror(errno));
        return HW_LINES_FAILED;
    }
    if (n == 0)
        l->is_at_end = true;
    hw_buf_commit(&l->in, (size_t)n);
    return HW_LINES_ONE;
}

/* A whole line in the buffer, or what is left at the end of the file. */
static bool lines_cut(struct hw_lines *l, struct hw_slice *line)
{
    struct hw_slice all = hw_buf_slice(&l->in);
    struct hw_slice unseen = hw_slice_from(all, l->seen);
    size_t end = l->seen + hw_slice_find(unseen, '\n');

    if (end >= all.len && (!l->is_at_end || all.len == 0)) {
        l->seen = all.len;
        return false;
    }
    l->last = end < all.len ? end + 1 : all.len;
    l->seen = 0;
    l->n_bytes += l->last;
    l->n_lines++;
    *line = hw_slice(all.data, end < all.len ? end : all.len);
    if (line->len > 0 && line->data[line->len - 1] == '\r')
        line->len--;
    return true;
}

enum hw_lines_result hw_lines_next(struct hw_lines *l, struct hw_slice *line,
                                   struct hw_cause *cause)
{
    hw_buf_consume(&l->in, l->last);
    l->last = 0;
    while (!lines_cut(l, line)) {
        enum hw_lines_result result;

        if (l->is_at_end)
            return HW_LINES_END;
        result = lines_fill(l, cause);
        if (result != HW_LINES_ONE)
            return result;
    }
    return HW_LINES_ONE;
}
