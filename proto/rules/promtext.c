#include "rules/promtext.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* --- numbers ---------------------------------------------------------------------- */

/* printf writes the locale's decimal point, of one byte or several: whatever is no part
 * of a number becomes one dot. */
static void append_digits(struct hw_buf *out, const char *digits)
{
    bool was_point = false;

    for (; *digits != '\0'; digits++) {
        bool is_point = strchr("0123456789e+-", *digits) == NULL;
        if (!is_point)
            hw_buf_append_char(out, *digits);
        else if (!was_point)
            hw_buf_append_char(out, '.');
        was_point = is_point;
    }
}

void hw_promtext_number(struct hw_buf *out, double value)
{
    char digits[64];

    if (isnan(value)) {
        hw_buf_append_str(out, "NaN");
        return;
    }
    if (isinf(value)) {
        hw_buf_append_str(out, value < 0 ? "-Inf" : "+Inf");
        return;
    }
    /* 15 digits always survive the way to decimal and back, 17 always bring the value back. */
    for (int precision = 15; precision <= 17; precision++) {
        snprintf(digits, sizeof digits, "%.*g", precision, value);
        double again = strtod(digits, NULL);
        if (again >= value && again <= value)
            break;
    }
    append_digits(out, digits);
}

/* --- text ------------------------------------------------------------------------- */

static void append_escaped(struct hw_buf *out, const char *text, bool quotes_too)
{
    for (; *text != '\0'; text++) {
        if (*text == '\n') {
            hw_buf_append_str(out, "\\n");
            continue;
        }
        if (*text == '\\' || (quotes_too && *text == '"'))
            hw_buf_append_char(out, '\\');
        hw_buf_append_char(out, *text);
    }
}

static void append_label(struct hw_buf *out, const struct hw_promtext_label *label,
                         bool is_first)
{
    hw_buf_append_char(out, is_first ? '{' : ',');
    hw_buf_append_str(out, label->name);
    hw_buf_append_str(out, "=\"");
    append_escaped(out, label->value, true);
    hw_buf_append_char(out, '"');
}

/* "name_suffix{label="value",…} ": everything of a sample but its number. */
static void append_series(struct hw_buf *out, const char *name, const char *suffix,
                          const struct hw_promtext_label *labels, size_t n_labels)
{
    hw_buf_append_str(out, name);
    hw_buf_append_str(out, suffix);
    for (size_t i = 0; i < n_labels; i++)
        append_label(out, &labels[i], i == 0);
    hw_buf_append_str(out, n_labels > 0 ? "} " : " ");
}

static const char *kind_text(enum hw_promtext_kind kind)
{
    switch (kind) {
    case HW_PROMTEXT_COUNTER:
        return "counter";
    case HW_PROMTEXT_GAUGE:
        return "gauge";
    case HW_PROMTEXT_HISTOGRAM:
        return "histogram";
    }
    return "untyped";
}

void hw_promtext_metric(struct hw_buf *out, enum hw_promtext_kind kind, const char *name,
                        const char *help)
{
    hw_buf_append_str(out, "# HELP ");
    hw_buf_append_str(out, name);
    hw_buf_append_char(out, ' ');
    append_escaped(out, help, false);
    hw_buf_append_str(out, "\n# TYPE ");
    hw_buf_append_str(out, name);
    hw_buf_append_char(out, ' ');
    hw_buf_append_str(out, kind_text(kind));
    hw_buf_append_char(out, '\n');
}

/* --- samples ---------------------------------------------------------------------- */

static void append_u64(struct hw_buf *out, uint64_t value)
{
    hw_buf_append_u64(out, value);
    hw_buf_append_char(out, '\n');
}

static void append_double(struct hw_buf *out, double value)
{
    hw_promtext_number(out, value);
    hw_buf_append_char(out, '\n');
}

void hw_promtext_u64(struct hw_buf *out, const char *name,
                     const struct hw_promtext_label *labels, size_t n_labels, uint64_t value)
{
    append_series(out, name, "", labels, n_labels);
    append_u64(out, value);
}

void hw_promtext_double(struct hw_buf *out, const char *name,
                        const struct hw_promtext_label *labels, size_t n_labels, double value)
{
    append_series(out, name, "", labels, n_labels);
    append_double(out, value);
}

static void append_bucket(struct hw_buf *out, const char *name,
                          const struct hw_promtext_label *labels, size_t n_labels,
                          double bound, uint64_t n)
{
    hw_buf_append_str(out, name);
    hw_buf_append_str(out, "_bucket");
    for (size_t i = 0; i < n_labels; i++)
        append_label(out, &labels[i], i == 0);
    hw_buf_append_str(out, n_labels > 0 ? ",le=\"" : "{le=\"");
    hw_promtext_number(out, bound);
    hw_buf_append_str(out, "\"} ");
    append_u64(out, n);
}

void hw_promtext_histogram(struct hw_buf *out, const char *name,
                           const struct hw_promtext_label *labels, size_t n_labels,
                           const double *bounds, size_t n_bounds, const uint64_t *counts,
                           double sum)
{
    uint64_t n = 0;

    for (size_t i = 0; i <= n_bounds; i++) {
        n += counts[i];
        append_bucket(out, name, labels, n_labels, i < n_bounds ? bounds[i] : (double)INFINITY,
                      n);
    }
    append_series(out, name, "_sum", labels, n_labels);
    append_double(out, sum);
    append_series(out, name, "_count", labels, n_labels);
    append_u64(out, n);
}
