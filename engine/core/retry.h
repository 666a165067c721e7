/*
 * retry - when a failed delivery is tried again.
 *
 * Units     milliseconds.
 * Memory    the schedule is borrowed from the configuration.
 * Errors    none; a Retry-After that does not parse is none.
 */
#ifndef HW_CORE_RETRY_H
#define HW_CORE_RETRY_H

#include "base/slice.h"
#include "base/time.h"

#define HW_RETRY_HOLD_MAX_MS (5 * 60 * 1000) /* how long a Retry-After holds a whole webhook */

struct hw_retry_rules {
    const uint64_t *delays_ms; /* borrowed; after the first failure, the second, ... */
    size_t n_delays;           /* attempts in all: one more */
    double jitter;             /* fraction added at random, 0 to 1 */
};

/* After `made` attempts (1, 2, ...) of a schedule: is there another, and how long after this
 * failure?  Retry-After (0: none) moves it later, up to the schedule's last delay, never
 * earlier.  `random` is uniform over all 32-bit values. */
bool hw_retry_delay(const struct hw_retry_rules *rules, unsigned made, uint64_t retry_after_ms,
                    uint32_t random, uint64_t *delay_ms);

/* How long the whole webhook is held because of a Retry-After: it, within the bounds. */
uint64_t hw_retry_hold(const struct hw_retry_rules *rules, uint64_t retry_after_ms);

/* After `made` faults of our own in a row (1, 2, ...): 1 s, 2 s, 4 s, ... 60 s. */
uint64_t hw_retry_own_fault_delay(unsigned made);

/* Value of Retry-After: seconds, or an HTTP date in any of its three forms (RFC 9110 10.2.3,
 * 5.6.7).  In milliseconds from `now`; 0: not usable, or in the past. */
uint64_t hw_retry_after(struct hw_slice value, hw_unix_ms now);

#endif
