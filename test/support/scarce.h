/*
 * scarce - an allocator of which the nth request fails, and which counts what is out.
 *
 *      SCARCE_EACH(n) { scarce_begin(n); work(); scarce_end(); }
 *
 * runs `work` with the first allocation failing, then the second, until one run needed
 * fewer; scarce_end fails the case when a block was not given back.  scarce_begin_at_random
 * lets one in so many fail instead.
 */
#ifndef HW_TEST_SCARCE_H
#define HW_TEST_SCARCE_H

#include "check.h"
#include "hookwheel/alloc.h"

static struct {
    unsigned fails_at; /* 1: the first; 0: none */
    unsigned one_in;   /* fails at random; 0: none */
    uint64_t dice;
    unsigned n_asked;
    int n_out; /* blocks not given back */
    bool has_failed;
} scarce;

#define SCARCE_EACH(n) for (unsigned n = 1; scarce.has_failed || n == 1; n++)

static bool scarce_refuses(void)
{
    scarce.dice = scarce.dice * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    bool is_unlucky = scarce.one_in > 0 && (scarce.dice >> 33) % scarce.one_in == 0;
    if (++scarce.n_asked != scarce.fails_at && !is_unlucky)
        return false;
    scarce.has_failed = true;
    return true;
}

static void *scarce_malloc(void *data, size_t n_bytes)
{
    (void)data;
    if (scarce_refuses())
        return NULL;
    scarce.n_out++;
    return malloc(n_bytes);
}

static void *scarce_realloc(void *data, void *p, size_t n_bytes)
{
    (void)data;
    if (scarce_refuses())
        return NULL;
    if (p == NULL)
        scarce.n_out++;
    return realloc(p, n_bytes);
}

static void scarce_free(void *data, void *p)
{
    (void)data;
    if (p != NULL)
        scarce.n_out--;
    free(p);
}

static inline void scarce_begin(unsigned fails_at)
{
    static const struct hw_alloc alloc = { scarce_malloc, scarce_realloc, scarce_free, NULL };

    scarce.fails_at = fails_at;
    scarce.one_in = 0;
    scarce.n_asked = 0;
    scarce.n_out = 0;
    scarce.has_failed = false;
    hw_alloc_use(&alloc);
}

static inline void scarce_begin_at_random(unsigned one_in, uint64_t seed)
{
    scarce_begin(0);
    scarce.one_in = one_in;
    scarce.dice = seed;
}

static inline void scarce_end(void)
{
    CHECK_INT(scarce.n_out, ==, 0);
    hw_alloc_use(NULL);
}

#endif
