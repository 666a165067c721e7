/*
 * pace - how quickly a receiver answers of late.
 *
 * Units     milliseconds on the monotonic clock.
 * Memory    embedded, 40 bytes.  Errors: none.  Cost: O(1).
 */
#ifndef HW_CORE_PACE_H
#define HW_CORE_PACE_H

#include <stdbool.h>

#include "base/time.h"

struct hw_pace {
    hw_mono_ms busy_since; /* it began to have work */
    hw_mono_ms heard_at;   /* its newest answer; none since then: busy_since */
    hw_mono_ms span_began; /* its answers are counted by spans of time */
    unsigned n_in_span, n_in_last_span;
    bool is_doubtful; /* its newest outcome is a timeout */
};

/* It begins to have work. */
void hw_pace_begin(struct hw_pace *p, hw_mono_ms now);

/* One more answer, whatever it says. */
void hw_pace_heard(struct hw_pace *p, hw_mono_ms now);

/* Has there been one since it began to have work? */
static inline bool hw_pace_is_known(const struct hw_pace *p)
{
    return p->heard_at != p->busy_since;
}

/* Are so many done within a second at its pace?  In the first second of its work: always. */
bool hw_pace_is_quick(const struct hw_pace *p, uint64_t n, hw_mono_ms now);

/* An attempt has timed out: it may hang, until it answers again. */
static inline void hw_pace_timed_out(struct hw_pace *p)
{
    p->is_doubtful = true;
}

#endif
