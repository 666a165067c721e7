#include "check.h"
#include <locale.h>
#include <math.h>
#include "rules/promtext.h"

static void check_number(double value, const char *expected)
{
    struct hw_buf b;

    hw_buf_init(&b, 100);
    hw_promtext_number(&b, value);
    CHECK_SLICE(hw_buf_slice(&b), expected);
    hw_buf_close(&b);
}

static void check_numbers(void)
{
    check_number(0, "0");
    check_number(-1, "-1");
    check_number(0.25, "0.25");
    check_number(0.1, "0.1");
    check_number(0.1 + 0.2, "0.30000000000000004");
    check_number(1.0 / 3, "0.3333333333333333");
    check_number(1e21, "1e+21");
    check_number(1772973000.123, "1772973000.123");
    check_number(5e-324, "4.94065645841247e-324");
    check_number((double)NAN, "NaN");
    check_number((double)INFINITY, "+Inf");
    check_number(-(double)INFINITY, "-Inf");
}

CASE(numbers)
{
    check_numbers();
}

CASE(numbers_come_back)
{
    struct hw_buf b;

    hw_buf_init(&b, 100);
    for (int i = 0; i < 20000; i++) {
        uint64_t bits = check_random();
        double value;
        memcpy(&value, &bits, sizeof value);
        if (isnan(value) || isinf(value))
            continue;
        hw_buf_reset(&b);
        hw_promtext_number(&b, value);
        double back = strtod(hw_buf_str(&b), NULL);
        CHECK_MEM(&value, &back, sizeof value);
    }
    hw_buf_close(&b);
}

/* With a comma as the decimal point, where the machine has such a locale. */
CASE(numbers_in_any_locale)
{
    static const char *const locales[] = { "de_DE.UTF-8", "de_DE.utf8", "fr_FR.UTF-8",
                                           "ps_AF.UTF-8" };

    for (size_t i = 0; i < sizeof locales / sizeof *locales; i++)
        if (setlocale(LC_ALL, locales[i]) != NULL)
            check_numbers();
    setlocale(LC_ALL, "C");
}

CASE(a_page)
{
    static const double bounds[] = { 0.005, 0.25, 10 };
    static const uint64_t counts[] = { 1, 0, 5, 2 };
    struct hw_promtext_label labels[] = { HW_PROMTEXT_LABEL("a", "x"),
                                          HW_PROMTEXT_LABEL("b", "y") };
    struct hw_buf b;

    hw_buf_init(&b, 10000);
    hw_promtext_metric(&b, HW_PROMTEXT_COUNTER, "events_total", "Events taken.");
    hw_promtext_u64(&b, "events_total", NULL, 0, UINT64_MAX);
    hw_promtext_metric(&b, HW_PROMTEXT_GAUGE, "oldest_seconds", "Age.");
    hw_promtext_double(&b, "oldest_seconds", labels, 2, 0.5);
    hw_promtext_metric(&b, HW_PROMTEXT_HISTOGRAM, "d_seconds", "Time.");
    hw_promtext_histogram(&b, "d_seconds", NULL, 0, bounds, 3, counts, 12.5);
    hw_promtext_histogram(&b, "d_seconds", labels, 1, bounds, 3, counts, 12.5);
    CHECK_INT(hw_buf_failed(&b), ==, HW_OK);
    CHECK_SLICE(hw_buf_slice(&b), "# HELP events_total Events taken.\n"
                                  "# TYPE events_total counter\n"
                                  "events_total 18446744073709551615\n"
                                  "# HELP oldest_seconds Age.\n"
                                  "# TYPE oldest_seconds gauge\n"
                                  "oldest_seconds{a=\"x\",b=\"y\"} 0.5\n"
                                  "# HELP d_seconds Time.\n"
                                  "# TYPE d_seconds histogram\n"
                                  "d_seconds_bucket{le=\"0.005\"} 1\n"
                                  "d_seconds_bucket{le=\"0.25\"} 1\n"
                                  "d_seconds_bucket{le=\"10\"} 6\n"
                                  "d_seconds_bucket{le=\"+Inf\"} 8\n"
                                  "d_seconds_sum 12.5\n"
                                  "d_seconds_count 8\n"
                                  "d_seconds_bucket{a=\"x\",le=\"0.005\"} 1\n"
                                  "d_seconds_bucket{a=\"x\",le=\"0.25\"} 1\n"
                                  "d_seconds_bucket{a=\"x\",le=\"10\"} 6\n"
                                  "d_seconds_bucket{a=\"x\",le=\"+Inf\"} 8\n"
                                  "d_seconds_sum{a=\"x\"} 12.5\n"
                                  "d_seconds_count{a=\"x\"} 8\n");
    hw_buf_close(&b);
}

CASE(escapes)
{
    struct hw_promtext_label label = HW_PROMTEXT_LABEL("v", "a\"b\\c\nd");
    struct hw_buf b;

    hw_buf_init(&b, 1000);
    hw_promtext_metric(&b, HW_PROMTEXT_GAUGE, "m", "Back\\slash, \"quotes\",\nline.");
    hw_promtext_u64(&b, "m", &label, 1, 1);
    CHECK_SLICE(hw_buf_slice(&b),
                "# HELP m Back\\\\slash, \"quotes\",\\nline.\n# TYPE m gauge\n"
                "m{v=\"a\\\"b\\\\c\\nd\"} 1\n");
    hw_buf_close(&b);
}
