/*
 * follow - GET /v1/updates/stream: the events of a feed as server-sent events, as they come.
 *
 * Memory    a follower is a small block, owned by its call; of what its client does not take at
 *           once, at most about 64 KiB and one event wait.
 * Cost      while nothing comes: one timer and one short write every heartbeat.
 */
#ifndef HW_API_FOLLOW_H
#define HW_API_FOLLOW_H

#include "api/call.h"

void hw_follow_feed(struct hw_call *call);

#endif
