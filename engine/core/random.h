/*
 * random - small, fast, repeatable numbers for jitter and for tests; nothing secret.
 *
 * SplitMix64.  Memory: embedded.  Errors: none.
 */
#ifndef HW_CORE_RANDOM_H
#define HW_CORE_RANDOM_H

#include <stdint.h>

struct hw_random {
    uint64_t state;
};

static inline void hw_random_init(struct hw_random *r, uint64_t seed) { r->state = seed; }

static inline uint64_t hw_random_u64(struct hw_random *r)
{
    uint64_t z = (r->state += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

static inline uint32_t hw_random_u32(struct hw_random *r) { return (uint32_t)(hw_random_u64(r) >> 32); }

/* Uniform enough below n; n > 0. */
static inline uint32_t hw_random_below(struct hw_random *r, uint32_t n)
{
    return (uint32_t)((uint64_t)hw_random_u32(r) * n >> 32);
}

#endif
