/*
 * lines - the lines of a file, a pipe or a terminal, without waiting for any of them.
 *
 * Lifetime  open, next until END or a failure, close.
 * Memory    one buffer; a line is borrowed until the next call.
 */
#ifndef HW_CLI_LINES_H
#define HW_CLI_LINES_H

#include "base/buf.h"

enum hw_lines_result {
    HW_LINES_ONE,   /* *line is the next, without its end */
    HW_LINES_LATER, /* nothing there yet: a pipe whose writer is thinking */
    HW_LINES_END,
    HW_LINES_FAILED /* cause says why: unreadable, or a line over the ceiling */
};

struct hw_lines {
    int fd;
    bool is_at_end;     /* nothing more to read */
    uint64_t n_bytes;   /* handed out so far */
    uint64_t all_bytes; /* of a regular file; 0: unknown */
    uint64_t n_lines;   /* handed out so far */
    size_t last;        /* bytes of the line that was handed out last, its end included */
    size_t seen;        /* bytes behind it that hold no line end */
    struct hw_buf in;
};

/* `path` "-" is standard input. */
HW_MUST_USE enum hw_status hw_lines_open(struct hw_lines *l, const char *path, size_t line_max,
                                         struct hw_cause *cause);
void hw_lines_close(struct hw_lines *l);
enum hw_lines_result hw_lines_next(struct hw_lines *l, struct hw_slice *line,
                                   struct hw_cause *cause);

#endif
