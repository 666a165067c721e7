#include "core/retry.h"

#include <stdio.h>

enum { OWN_FAULT_MAX_MS = 60 * 1000 };

static uint64_t last_delay(const struct hw_retry_rules *rules)
{
    return rules->n_delays ? rules->delays_ms[rules->n_delays - 1] : 0;
}

static uint64_t at_most(uint64_t value, uint64_t bound)
{
    return value < bound ? value : bound;
}

bool hw_retry_delay(const struct hw_retry_rules *rules, unsigned made, uint64_t retry_after_ms,
                    uint32_t random, uint64_t *delay_ms)
{
    uint64_t delay, asked;

    if (made == 0 || made > rules->n_delays)
        return false;
    delay = rules->delays_ms[made - 1];
    delay += (uint64_t)((double)delay * rules->jitter * (random / 4294967296.0));
    asked = at_most(retry_after_ms, last_delay(rules));
    *delay_ms = delay > asked ? delay : asked;
    return true;
}

uint64_t hw_retry_hold(const struct hw_retry_rules *rules, uint64_t retry_after_ms)
{
    return at_most(at_most(retry_after_ms, last_delay(rules)), HW_RETRY_HOLD_MAX_MS);
}

uint64_t hw_retry_own_fault_delay(unsigned made)
{
    if (made == 0)
        return 0;
    return made > 6 ? OWN_FAULT_MAX_MS
                    : at_most(UINT64_C(1000) << (made - 1), OWN_FAULT_MAX_MS);
}

/* Days since 1970 of a date in the Gregorian calendar. */
static int64_t days_from_date(int64_t year, int month, int day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;

    return era * 146097 + day_of_era - 719468;
}

static int month_of(const char name[4])
{
    static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

    for (int i = 0; i < 12; i++)
        if (memcmp(names + 3 * i, name, 3) == 0)
            return i + 1;
    return 0;
}

/* A two-digit year is the nearest one not more than 50 years ahead (RFC 9110 5.6.7). */
static int64_t full_year(int64_t two_digits, hw_unix_ms now)
{
    int64_t this_year = 1970 + now / 1000 / 31556952;
    int64_t year = this_year - this_year % 100 + two_digits;

    return year > this_year + 50 ? year - 100 : year;
}

static bool http_date(struct hw_slice value, hw_unix_ms now, hw_unix_ms *at)
{
    char text[40], month[4];
    int day, year, hour, minute, second, used = 0;

    if (value.len >= sizeof text)
        return false;
    memcpy(text, value.data, value.len);
    text[value.len] = '\0';
    bool is_imf = sscanf(text, "%*3[A-Za-z], %2d %3s %4d %2d:%2d:%2d GMT%n", &day, month,
                         &year, &hour, &minute, &second, &used) == 6 &&
                  used > 0;
    bool is_rfc850 = !is_imf &&
                     sscanf(text, "%*[A-Za-z], %2d-%3s-%2d %2d:%2d:%2d GMT%n", &day, month,
                            &year, &hour, &minute, &second, &used) == 6 &&
                     used > 0;
    bool is_asctime = !is_imf && !is_rfc850 &&
                      sscanf(text, "%*3[A-Za-z] %3s %2d %2d:%2d:%2d %4d%n", month, &day, &hour,
                             &minute, &second, &year, &used) == 6 &&
                      used > 0;
    if (!is_imf && !is_rfc850 && !is_asctime)
        return false;
    if (is_rfc850)
        year = (int)full_year(year, now);
    int number = month_of(month);
    if ((size_t)used != value.len || number == 0 || day < 1 || day > 31 || hour < 0 ||
        hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60)
        return false;
    *at =
        (((days_from_date(year, number, day) * 24 + hour) * 60 + minute) * 60 + second) * 1000;
    return true;
}

static bool is_digits(struct hw_slice value)
{
    for (size_t i = 0; i < value.len; i++)
        if (value.data[i] < '0' || value.data[i] > '9')
            return false;
    return value.len > 0;
}

uint64_t hw_retry_after(struct hw_slice value, hw_unix_ms now)
{
    uint64_t seconds;
    hw_unix_ms at;

    if (hw_slice_u64(value, UINT64_MAX / 1000, &seconds))
        return seconds * 1000;
    if (is_digits(value))
        return UINT64_MAX; /* more seconds than can be counted */
    if (value.len > 0 && http_date(value, now, &at) && at > now)
        return (uint64_t)(at - now);
    return 0;
}
