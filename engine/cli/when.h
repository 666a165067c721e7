/*
 * when - moments as people say them: "2h", "2026-03-09T12:00:00Z", "3m ago".
 *
 * Units     durations as in flags.h: ms, s, m, h, d.
 */
#ifndef HW_CLI_WHEN_H
#define HW_CLI_WHEN_H

#include <stdbool.h>

#include "base/slice.h"
#include "base/time.h"

#define HW_WHEN_MAX 24

/* The wall clock. */
hw_unix_ms hw_when_now(void);

/* A duration back from now (on from now), or RFC 3339; false: it is neither. */
bool hw_when_before(hw_unix_ms *out, const char *text, hw_unix_ms now);
bool hw_when_after(hw_unix_ms *out, const char *text, hw_unix_ms now);

/* "now", "45s ago", "3m ago", "5h ago", "12d ago"; what is to come: "in 4m". */
void hw_when_age(hw_unix_ms at, hw_unix_ms now, char out[HW_WHEN_MAX]);

#endif
