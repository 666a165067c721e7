/*
 * promtext - the text format of Prometheus, version 0.0.4, written.
 *
 *      hw_promtext_metric(out, HW_PROMTEXT_COUNTER, "hookwheel_attempts_total", "Attempts made.");
 *      hw_promtext_u64(out, "hookwheel_attempts_total", &HW_PROMTEXT_LABEL("result", "tls"), 1, 7);
 *
 * The head once a metric, then all its samples; the caller keeps them together.  Help texts
 * and label values are escaped, names are taken as they are.  Numbers are written with the
 * fewest digits that read back as the same, whatever the locale.
 *
 * Memory    none but the buffer's.
 * Errors    the buffer's, remembered there: look once, at the end (hw_buf_failed).
 */
#ifndef HW_RULES_PROMTEXT_H
#define HW_RULES_PROMTEXT_H

#include "base/buf.h"

#define HW_PROMTEXT_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

enum hw_promtext_kind { HW_PROMTEXT_COUNTER, HW_PROMTEXT_GAUGE, HW_PROMTEXT_HISTOGRAM };

struct hw_promtext_label {
    const char *name;
    const char *value;
};

#define HW_PROMTEXT_LABEL(name, value) ((struct hw_promtext_label){ (name), (value) })

/* The lines # HELP and # TYPE. */
void hw_promtext_metric(struct hw_buf *out, enum hw_promtext_kind kind, const char *name,
                        const char *help);

/* One sample; labels may be NULL where there are none. */
void hw_promtext_u64(struct hw_buf *out, const char *name,
                     const struct hw_promtext_label *labels, size_t n_labels, uint64_t value);
void hw_promtext_double(struct hw_buf *out, const char *name,
                        const struct hw_promtext_label *labels, size_t n_labels, double value);

/* The samples of a histogram: _bucket for each bound and +Inf, _sum, _count.  `counts` has
 * n_bounds + 1 numbers, each of its bucket alone (not cumulative). */
void hw_promtext_histogram(struct hw_buf *out, const char *name,
                           const struct hw_promtext_label *labels, size_t n_labels,
                           const double *bounds, size_t n_bounds, const uint64_t *counts,
                           double sum);

/* One number as the format wants it: 0.25, 1e+21, NaN, +Inf. */
void hw_promtext_number(struct hw_buf *out, double value);

#endif
