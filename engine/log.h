/*
 * log - the daemon's listener: what the engine reports becomes lines on standard error.
 *
 *   text   2026-03-09T12:00:00.000Z warn  redis is down: connect 127.0.0.1:6379 (…)
 *   json   {"time":"…","level":"warn","event":"redis_down","message":"…","address":"…"}
 *
 * Each line is one write(2), so that lines of several processes do not mix.  Control
 * characters and bytes that are not UTF-8 are escaped: a receiver's words cannot move a
 * terminal's cursor or forge a line.  A line is cut at 4 KiB.
 *
 * Memory    one buffer inside; nothing kept between lines.
 * Errors    none: a line that cannot be written is lost.
 */
#ifndef HW_LOG_H
#define HW_LOG_H

#include <stdbool.h>
#include <stddef.h>

#include "base/time.h"
#include "hookwheel/event.h"

enum hw_log_level { HW_LOG_DEBUG, HW_LOG_INFO, HW_LOG_WARN, HW_LOG_ERROR };
enum hw_log_format { HW_LOG_AUTO, HW_LOG_TEXT, HW_LOG_JSON };

struct hw_log {
    int fd;
    enum hw_log_level level; /* what is below is not written */
    bool is_json;
};

/* AUTO: text where `fd` is a terminal, else JSON. */
void hw_log_init(struct hw_log *log, int fd, enum hw_log_level level, enum hw_log_format format);

/* A line of the program's own; `event` is its name in JSON. */
void hw_log_line(const struct hw_log *log, enum hw_log_level level, const char *event,
                 const char *fmt, ...) HW_PRINTF(4, 5);

/* What the engine reported: one line. */
void hw_log_event(const struct hw_log *log, const struct hw_engine_event *event);

/* The line as it would be written, for `now`; cut to `size`, NUL-terminated. */
size_t hw_log_format_event(const struct hw_log *log, const struct hw_engine_event *event,
                           hw_unix_ms now, char *out, size_t size);

#endif
