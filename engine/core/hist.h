/*
 * hist - a histogram with fixed upper bounds, as Prometheus wants it.
 *
 * Memory    embedded.  Cost: one observe is a binary search over at most 20 bounds.
 */
#ifndef HW_CORE_HIST_H
#define HW_CORE_HIST_H

#include <stddef.h>
#include <stdint.h>

enum { HW_HIST_MAX = 20 };

struct hw_hist {
    const double *bounds;             /* borrowed, static; ascending; seconds */
    size_t n_bounds;
    uint64_t counts[HW_HIST_MAX + 1]; /* the last is +Inf; not cumulative */
    uint64_t n;
    double sum;
};

void hw_hist_init(struct hw_hist *h, const double *bounds, size_t n_bounds);
void hw_hist_observe(struct hw_hist *h, double seconds);

#endif
