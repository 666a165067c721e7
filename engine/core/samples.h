/*
 * samples - numbers kept one by one, to be asked for the 99th percentile and its like.
 *
 * Memory    four bytes a sample; the array doubles when it is full.
 * Errors    no memory for a sample: what is there stays, and n says how many that is.
 * Cost      add: O(1) on average.  The first rank after an add sorts, those after it do not.
 */
#ifndef HW_CORE_SAMPLES_H
#define HW_CORE_SAMPLES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hw_samples {
    uint32_t *values; /* owned; NULL while nothing was ever added */
    size_t n, room;
    bool is_sorted;
};

/* Allocates nothing. */
void hw_samples_init(struct hw_samples *s);

/* Free the memory; they may be used again as after init. */
void hw_samples_close(struct hw_samples *s);

/* Forget them all, keeping the memory. */
void hw_samples_reset(struct hw_samples *s);

void hw_samples_add(struct hw_samples *s, uint32_t value);

/* The one of that rank, from 1 for the smallest to n for the largest. */
uint32_t hw_samples_rank(struct hw_samples *s, size_t rank);

#endif
