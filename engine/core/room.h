/*
 * room - what may be kept in memory before its attempt, and whom the intake waits for.
 *
 * Decided from what dispatch.h counts; nothing is kept here.
 *
 * Units     deliveries; milliseconds on the monotonic clock.
 * Errors    none.  Cost: O(1).
 */
#ifndef HW_CORE_ROOM_H
#define HW_CORE_ROOM_H

#include "core/dispatch.h"

/* How much to fetch of what waits in Redis. */
struct hw_wanted {
    size_t n;      /* at most so many; 0: none */
    size_t n_fill; /* of these so many of backfills, and only when nothing else waits */
};

/* How many first attempts may be kept in memory for an endpoint, and how many retries; fewer
 * where memory is short. */
size_t hw_room_max(const struct hw_endpoint *e);

/* May one more due retry be kept? */
bool hw_room_takes_retry(const struct hw_endpoint *e);

/* How many first attempts more may be kept; 0 where older live ones wait in Redis already, so that the
 * order stays, and where nothing would be sent soon (paused, held). */
size_t hw_room_left(const struct hw_endpoint *e);

/* How many waiting ones to fetch from Redis now. */
struct hw_wanted hw_room_wanted(const struct hw_endpoint *e);

/* Until when may reading the stream wait for room of it, for what came at `since`, rather than
 * moving work to Redis and back?  A moment where it is quick: it has answered just now, and what
 * waits for it is done within a second at its pace (in its first second: at any pace).  Two
 * moments where it had no time to answer.  Not at all (0) where it is slow, hangs or is held, and not while somebody else's
 * first attempts start as they come, for a while already and within the last second: others are
 * not to wait for it. */
hw_mono_ms hw_room_patience(const struct hw_endpoint *e, hw_mono_ms since);

#endif
