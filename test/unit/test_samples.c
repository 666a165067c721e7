/* samples: the sample of a rank is the one a sorted list has there; what finds no memory is not
 * counted, and costs nothing that is there. */
#include "core/samples.h"

#include "check.h"
#include "support/scarce.h"

CASE(starts_empty)
{
    struct hw_samples s;

    scarce_begin(0);
    hw_samples_init(&s);
    CHECK_UINT(s.n, ==, 0);
    CHECK_UINT(scarce.n_asked, ==, 0);
    hw_samples_close(&s);
    scarce_end();
}

/* By definition: no more than rank - 1 are smaller, at least rank are not larger. */
static void check_rank(const uint32_t *values, size_t n, size_t rank, uint32_t found)
{
    size_t n_smaller = 0, n_equal = 0;

    for (size_t i = 0; i < n; i++) {
        n_smaller += values[i] < found;
        n_equal += values[i] == found;
    }
    CHECK_UINT(n_smaller, <, rank);
    CHECK_UINT(n_smaller + n_equal, >=, rank);
}

CASE(ranks_are_as_defined)
{
    uint32_t values[60];
    struct hw_samples s;

    for (size_t n = 1; n <= 60; n++) {
        uint64_t limit = n % 3 == 0 ? 5 : UINT64_C(1) << 32; /* many of a kind, or none */

        hw_samples_init(&s);
        for (size_t i = 0; i < n; i++) {
            values[i] = (uint32_t)check_random_below(limit);
            hw_samples_add(&s, values[i]);
        }
        for (size_t rank = 1; rank <= n; rank++)
            check_rank(values, n, rank, hw_samples_rank(&s, rank));
        CHECK_UINT(s.n, ==, n);
        hw_samples_close(&s);
    }
}

CASE(grows_and_keeps_what_is_there)
{
    enum { N = 100 * 1000 };
    struct hw_samples s;

    hw_samples_init(&s);
    for (uint32_t i = N; i > 0; i--)
        hw_samples_add(&s, i * 10);
    CHECK_UINT(s.n, ==, N);
    for (size_t rank = 1; rank <= N; rank++)
        CHECK_UINT(hw_samples_rank(&s, rank), ==, rank * 10);
    hw_samples_close(&s);
}

CASE(sorts_once)
{
    struct hw_samples s;

    hw_samples_init(&s);
    hw_samples_add(&s, 7);
    hw_samples_add(&s, 3);
    CHECK_UINT(hw_samples_rank(&s, 1), ==, 3);
    s.values[0] = 9; /* out of order: stays where it is */
    CHECK_UINT(hw_samples_rank(&s, 1), ==, 9);
    CHECK_UINT(hw_samples_rank(&s, 2), ==, 7);
    hw_samples_close(&s);
}

CASE(may_be_added_to_after_sorting)
{
    struct hw_samples s;

    hw_samples_init(&s);
    hw_samples_add(&s, 5);
    hw_samples_add(&s, 4);
    CHECK_UINT(hw_samples_rank(&s, 1), ==, 4);
    hw_samples_add(&s, 1);
    hw_samples_add(&s, UINT32_MAX);
    CHECK_UINT(hw_samples_rank(&s, 1), ==, 1);
    CHECK_UINT(hw_samples_rank(&s, 2), ==, 4);
    CHECK_UINT(hw_samples_rank(&s, 3), ==, 5);
    CHECK_UINT(hw_samples_rank(&s, 4), ==, UINT32_MAX);
    hw_samples_close(&s);
}

CASE(begins_anew)
{
    struct hw_samples s;

    hw_samples_init(&s);
    hw_samples_add(&s, 2);
    CHECK_UINT(hw_samples_rank(&s, 1), ==, 2);
    hw_samples_reset(&s);
    CHECK_UINT(s.n, ==, 0);
    hw_samples_add(&s, 9);
    hw_samples_add(&s, 8);
    CHECK_UINT(s.n, ==, 2);
    CHECK_UINT(hw_samples_rank(&s, 1), ==, 8);
    hw_samples_close(&s);
    hw_samples_add(&s, 6); /* closed: as after init */
    CHECK_UINT(hw_samples_rank(&s, 1), ==, 6);
    hw_samples_close(&s);
}

CASE(out_of_memory)
{
    struct hw_samples s;

    SCARCE_EACH(fails_at)
    {
        bool is_missed = false;

        scarce_begin(fails_at);
        hw_samples_init(&s);
        for (uint32_t i = 5000; i > 0; i--) {
            size_t n = s.n;

            hw_samples_add(&s, i);
            is_missed = is_missed || s.n == n;
            CHECK_UINT(s.n, >=, n);
        }
        CHECK_INT(is_missed, ==, scarce.has_failed);
        CHECK_UINT(s.n, ==, scarce.has_failed ? 4999 : 5000); /* the next one found some */
        CHECK_UINT(hw_samples_rank(&s, 1), ==, 1);
        hw_samples_close(&s);
        scarce_end();
    }
}
