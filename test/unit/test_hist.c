/* hist: every value in the bucket of the first bound that is not below it. */
#include "core/hist.h"

#include <math.h>

#include "check.h"

static const double bounds[] = { 0.1, 1, 10 };

CASE(starts_empty)
{
    struct hw_hist h;
    hw_hist_init(&h, bounds, 3);
    CHECK_UINT(h.n, ==, 0);
    for (int i = 0; i <= HW_HIST_MAX; i++)
        CHECK_UINT(h.counts[i], ==, 0);
}

CASE(bounds_are_inclusive)
{
    struct hw_hist h;
    hw_hist_init(&h, bounds, 3);
    hw_hist_observe(&h, 0.1);
    hw_hist_observe(&h, 0.100001);
    hw_hist_observe(&h, 10);
    hw_hist_observe(&h, 10.5);
    CHECK_UINT(h.counts[0], ==, 1);
    CHECK_UINT(h.counts[1], ==, 1);
    CHECK_UINT(h.counts[2], ==, 1);
    CHECK_UINT(h.counts[3], ==, 1);
    CHECK_UINT(h.n, ==, 4);
    CHECK_DOUBLE(h.sum, >, 20.7);
}

CASE(what_is_no_duration_counts_as_none)
{
    struct hw_hist h;
    hw_hist_init(&h, bounds, 3);
    hw_hist_observe(&h, -5);
    hw_hist_observe(&h, NAN);
    CHECK_UINT(h.counts[0], ==, 2);
    CHECK_DOUBLE(h.sum, ==, 0);
}

CASE(agrees_with_a_linear_search)
{
    struct hw_hist h;
    uint64_t slow[4] = { 0 };
    hw_hist_init(&h, bounds, 3);
    for (int i = 0; i < 10000; i++) {
        double value = (double)check_random_below(20000) / 1000;
        int at = 0;
        while (at < 3 && value > bounds[at])
            at++;
        slow[at]++;
        hw_hist_observe(&h, value);
    }
    for (int i = 0; i < 4; i++)
        CHECK_UINT(h.counts[i], ==, slow[i]);
    CHECK_UINT(h.n, ==, 10000);
}
