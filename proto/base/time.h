/*
 * time - the units of time, as types.
 *
 * A function that wants a monotonic reading cannot be read as wanting the wall
 * clock.  Nothing under proto or engine/core reads a clock: `now` is handed down.
 */
#ifndef HW_BASE_TIME_H
#define HW_BASE_TIME_H

#include <stdint.h>

typedef uint64_t hw_mono_ms; /* monotonic milliseconds, for deadlines and durations */
typedef uint64_t hw_mono_us; /* monotonic microseconds, for what is measured */
typedef int64_t hw_unix_ms;  /* wall clock milliseconds since 1970, for what is stored or signed */

#endif
