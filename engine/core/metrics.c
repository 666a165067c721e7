#include "core/metrics.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* What a receiver takes: from a local endpoint's tenth of a millisecond to the timeout. */
static const double exchange_bounds[] = { 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
                                          0.25,  0.5,    1,     2.5,  5,     10,   15 };
/* From enqueue to delivery, a backlog of an hour included. */
static const double latency_bounds[] = { 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05,
                                         0.1,   0.25,   0.5,   1,    2.5,   5,
                                         10,    30,     60,    300,  900,   3600 };
/* What we owe ourselves: a late retry, a slow Redis, a busy loop. */
static const double own_bounds[] = { 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01,
                                     0.025,  0.05,    0.1,    0.25,  0.5,    1,     5 };

void hw_metrics_init(struct hw_metrics *m)
{
    *m = (struct hw_metrics){ 0 };
    hw_hist_init(&m->attempt_duration, exchange_bounds, COUNT(exchange_bounds));
    for (int i = 0; i < HW_METRIC_PHASES; i++)
        hw_hist_init(&m->phase[i], exchange_bounds, COUNT(exchange_bounds));
    hw_hist_init(&m->delivery_latency, latency_bounds, COUNT(latency_bounds));
    hw_hist_init(&m->retry_lateness, own_bounds, COUNT(own_bounds));
    hw_hist_init(&m->redis_command, own_bounds, COUNT(own_bounds));
    hw_hist_init(&m->loop_lag, own_bounds, COUNT(own_bounds));
}
