/*
 * origin_lines - those who wait for a connection of one origin, and how busy it is.
 *
 * Who goes when is decided in openings.h.
 *
 * Memory    embedded in the origin (pool.h).
 * Errors    none.  Cost: O(1).
 */
#ifndef HW_NET_ORIGIN_LINES_H
#define HW_NET_ORIGIN_LINES_H

#include "base/list.h"
#include "base/time.h"

struct hw_origin_line {
    struct hw_list turn; /* in a list of hw_openings, when it is to open a connection */
    struct hw_list waiting;
};

struct hw_origin_lines {
    struct hw_origin_line line[2]; /* [is_doubtful] */
    hw_mono_us answer_us;          /* from request to answer, of late; 0: none yet */
    hw_mono_us least_us[2];        /* the same at least, in this span of time and the last */
    hw_mono_ms span_began;
    hw_mono_ms freed_at; /* a connection of it last came free */
};

void hw_origin_lines_init(struct hw_origin_lines *lines);
void hw_origin_lines_close(struct hw_origin_lines *lines); /* nobody waits */

/* An answer has begun so long after its request. */
void hw_origin_lines_answered(struct hw_origin_lines *lines, hw_mono_us took_us,
                              hw_mono_ms now);

/* Do answers take more than twice as long as they need to?  What was long ago does not count. */
bool hw_origin_lines_are_slow(const struct hw_origin_lines *lines);

#endif
