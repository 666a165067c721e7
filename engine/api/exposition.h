/*
 * exposition - the page of /metrics: every number of the engine in Prometheus' text format.
 *
 * Every metric is there from the start, with 0; help says whether a gauge is this
 * instance's or the installation's.
 */
#ifndef HW_API_EXPOSITION_H
#define HW_API_EXPOSITION_H

#include "api/route_counts.h"
#include "base/buf.h"
#include "core/metrics.h"

struct hw_exposition {
    const struct hw_metrics *metrics;
    const struct hw_gauges *gauges;
    const struct hw_route_counts *requests;
    const char *version;
};

/* Append the page. */
HW_MUST_USE enum hw_status hw_exposition_write(struct hw_buf *out, const struct hw_exposition *e);

#endif
