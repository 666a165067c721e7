/* metrics: a fresh struct is all zeros, and its histograms are ready to be observed. */
#include "core/metrics.h"

#include "check.h"

static void check_hist(struct hw_hist *h)
{
    CHECK_INT(h->n_bounds, >, 5);
    CHECK_INT(h->n_bounds, <=, HW_HIST_MAX);
    for (size_t i = 1; i < h->n_bounds; i++)
        CHECK_DOUBLE(h->bounds[i - 1], <, h->bounds[i]);
    hw_hist_observe(h, 1e9);
    CHECK_UINT(h->counts[h->n_bounds], ==, 1);
}

CASE(histograms_are_ready)
{
    struct hw_metrics m;
    hw_metrics_init(&m);
    check_hist(&m.attempt_duration);
    for (int i = 0; i < HW_METRIC_PHASES; i++)
        check_hist(&m.phase[i]);
    check_hist(&m.delivery_latency);
    check_hist(&m.retry_lateness);
    check_hist(&m.redis_command);
    check_hist(&m.loop_lag);
}

CASE(counters_are_zero)
{
    struct hw_metrics m;
    memset(&m, 0xff, sizeof m);
    hw_metrics_init(&m);
    CHECK_UINT(m.events_accepted, ==, 0);
    CHECK_UINT(m.attempts_failed[HW_FAILURE_TLS], ==, 0);
    CHECK_UINT(m.dns[HW_METRIC_DNS_FAILED], ==, 0);
    CHECK_UINT(m.redis_reconnects, ==, 0);
}
