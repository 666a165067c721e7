/*
 * hub - everybody who reads a feed: those who want what is there, and those who wait for more.
 *
 * One who is behind pages on alone.  Those who have come to the end of an account's feed wait
 * together: when it is added to, one read a turn serves them all, each event taken apart once.
 * A read under way collects who comes meanwhile; they are looked at when it is over, so that
 * nobody misses what came between.
 *
 *   ask -> behind: read, filter, again until the limit or the end -> answer
 *       -> at the end, nothing found, may wait: waiting -> touch -> one read for all -> answer
 *                                                       -> hurry, its time: answer, empty
 *                                                       -> Redis gone: UNAVAILABLE
 *
 * Memory    embedded; a waiter is one small block (about 200 bytes), an account with waiters
 *           another.
 * Lifetime  init; close when the API is closed and the work connection too.
 * Errors    Redis away or refusing: HW_BACKEND_UNAVAILABLE, those who wait too.
 * Cost      a touch without waiters is one hash look-up; an event costs each waiter a call of its
 *           filter and its answer.
 */
#ifndef HW_FLOW_HUB_H
#define HW_FLOW_HUB_H

#include "api/backend.h"
#include "store/feed.h"

struct hw_hub {
    struct hw_loop *loop;   /* borrowed, both */
    struct hw_store *store;
    struct hw_map accounts;         /* of those with waiters or a read under way; owned */
    struct hw_list alone;           /* those who are behind, reading */
    struct hw_list told;            /* to be answered on the next turn */
    struct hw_wheel_entry later;    /* it */
    struct hw_wheel_entry fallback; /* every few seconds each waiting account is read anyway */
};

void hw_hub_init(struct hw_hub *h);
void hw_hub_close(struct hw_hub *h);

/* As the backend's updates and hurry. */
void hw_hub_ask(struct hw_hub *h, struct hw_backend_updates *ask);
void hw_hub_hurry(struct hw_hub *h, struct hw_backend_updates *ask);

/* That account's feed was added to; any may have been; the work connection is lost. */
void hw_hub_touch(struct hw_hub *h, struct hw_slice account);
void hw_hub_touch_all(struct hw_hub *h);
void hw_hub_down(struct hw_hub *h);

#endif
