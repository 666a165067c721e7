#include "check.h"

#include "core/retry.h"

enum { MINUTE = 60 * 1000 };

static const uint64_t standard[] = { 1 * MINUTE, 5 * MINUTE, 30 * MINUTE, 120 * MINUTE };
static const struct hw_retry_rules rules = { standard, 4, 0 };

static uint64_t delay(unsigned made, uint64_t retry_after_ms)
{
    uint64_t ms = 0;

    CHECK(hw_retry_delay(&rules, made, retry_after_ms, 0, &ms));
    return ms;
}

CASE(the_schedule_is_exact)
{
    uint64_t ms;

    CHECK_UINT(delay(1, 0), ==, 1 * MINUTE);
    CHECK_UINT(delay(2, 0), ==, 5 * MINUTE);
    CHECK_UINT(delay(3, 0), ==, 30 * MINUTE);
    CHECK_UINT(delay(4, 0), ==, 120 * MINUTE);
    CHECK(!hw_retry_delay(&rules, 5, 0, 0, &ms));
    CHECK(!hw_retry_delay(&rules, 5, 1000, 0, &ms));
    CHECK(!hw_retry_delay(&rules, 0, 0, 0, &ms));
}

CASE(an_empty_schedule_has_one_attempt)
{
    struct hw_retry_rules none = { NULL, 0, 0 };
    uint64_t ms;

    CHECK(!hw_retry_delay(&none, 1, 60000, 0, &ms));
    CHECK_UINT(hw_retry_hold(&none, 60000), ==, 0);
}

CASE(retry_after_moves_later_never_earlier_and_not_past_the_last_delay)
{
    CHECK_UINT(delay(1, 10 * 1000), ==, 1 * MINUTE);
    CHECK_UINT(delay(1, 7 * MINUTE), ==, 7 * MINUTE);
    CHECK_UINT(delay(1, 24 * 60 * MINUTE), ==, 120 * MINUTE);
    CHECK_UINT(hw_retry_hold(&rules, 10 * 1000), ==, 10 * 1000);
    CHECK_UINT(hw_retry_hold(&rules, 24 * 60 * MINUTE), ==, 5 * MINUTE);
}

CASE(jitter_only_adds_and_stays_within_its_fraction)
{
    struct hw_retry_rules some = { standard, 4, 0.5 };
    uint64_t ms;

    for (int i = 0; i < 1000; i++) {
        CHECK(hw_retry_delay(&some, 1, 0, (uint32_t)check_random(), &ms));
        CHECK_UINT(ms, >=, 1 * MINUTE);
        CHECK_UINT(ms, <, 1 * MINUTE * 3 / 2);
    }
}

CASE(faults_of_our_own_back_off_to_a_minute)
{
    static const uint64_t wanted_s[] = { 0, 1, 2, 4, 8, 16, 32, 60, 60, 60 };

    for (unsigned i = 0; i < sizeof wanted_s / sizeof *wanted_s; i++)
        CHECK_UINT(hw_retry_own_fault_delay(i), ==, wanted_s[i] * 1000);
    CHECK_UINT(hw_retry_own_fault_delay(4000000000u), ==, 60000);
}

CASE(retry_after_values)
{
    /* 2026-03-09T12:00:00Z */
    const hw_unix_ms now = INT64_C(1773057600000);
    static const struct {
        const char *value;
        uint64_t wanted_ms;
    } table[] = {
        { "120", 120000 },
        { "0", 0 },
        { "", 0 },
        { "-5", 0 },
        { "1.5", 0 },
        { "soon", 0 },
        { "99999999999999999999", UINT64_MAX },
        { "Mon, 09 Mar 2026 12:05:00 GMT", 300000 },
        { "Monday, 09-Mar-26 12:05:00 GMT", 300000 },
        { "Mon Mar  9 12:05:00 2026", 300000 },
        { "Mon, 09 Mar 2026 11:59:00 GMT", 0 },
        { "Mon, 09 Foo 2026 12:05:00 GMT", 0 },
        { "Mon, 09 Mar 2026 12:05:00 GMT and more", 0 },
        { "Mon, 09 Mar 2026 25:05:00 GMT", 0 },
        { "Sun, 06 Nov 1994 08:49:37 GMT", 0 },
    };

    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        CHECK_UINT(hw_retry_after(hw_slice_str(table[i].value), now), ==, table[i].wanted_ms);
}
