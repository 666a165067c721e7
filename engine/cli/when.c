#include "cli/when.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "flags.h"
#include "rules/entry.h"

#define SECOND INT64_C(1000)
#define MINUTE (60 * SECOND)
#define HOUR   (60 * MINUTE)
#define DAY    (24 * HOUR)

/* A longer one is a slip of the finger, and would leave the calendar. */
#define DURATION_MAX ((uint64_t)(3650 * DAY))

hw_unix_ms hw_when_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (hw_unix_ms)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static bool read_when(hw_unix_ms *out, const char *text, hw_unix_ms now, int direction)
{
    uint64_t duration;

    if (!hw_flag_duration(hw_slice_str(text), &duration))
        return hw_timestamp_parse(out, hw_slice_str(text));
    if (duration > DURATION_MAX)
        return false;
    *out = now + direction * (int64_t)duration;
    return true;
}

bool hw_when_before(hw_unix_ms *out, const char *text, hw_unix_ms now)
{
    return read_when(out, text, now, -1);
}

bool hw_when_after(hw_unix_ms *out, const char *text, hw_unix_ms now)
{
    return read_when(out, text, now, 1);
}

void hw_when_age(hw_unix_ms at, hw_unix_ms now, char out[HW_WHEN_MAX])
{
    static const struct {
        int64_t from, unit;
        char letter;
    } steps[] = {
        { 2 * DAY, DAY, 'd' }, { HOUR, HOUR, 'h' }, { MINUTE, MINUTE, 'm' }, { 0, SECOND, 's' }
    };
    int64_t distance = at < now ? now - at : at - now;
    size_t i = 0;

    if (distance < SECOND) {
        snprintf(out, HW_WHEN_MAX, "now");
        return;
    }
    while (distance < steps[i].from)
        i++;
    snprintf(out, HW_WHEN_MAX, at < now ? "%" PRId64 "%c ago" : "in %" PRId64 "%c",
             distance / steps[i].unit, steps[i].letter);
}
