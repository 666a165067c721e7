/*
 * hub - everybody who reads a feed: those who want what is there, and those who wait for more.
 *
 * One who is behind pages on alone.  Those who are at the end of an account's feed, or close to
 * it, are served together: when it is added to, and when somebody joins them, one read a turn is
 * for them all, each event taken apart once.
 *
 *   ask -> behind: pages of its own -> answer
 *                  nothing up to the end, and it may wait -> joins the others of its account
 *       -> close to the end: joins them at once
 *   joined -> one read for all -> found: answer
 *                              -> nothing: waiting -> touch -> one read for all -> answer
 *                                                  -> its time is over, hurry -> answer, empty
 *                                                  -> Redis gone -> UNAVAILABLE
 *
 * waiter.h is the one who asks, watch.h those of one account together, pager.h one alone.
 *
 * Memory    embedded; a waiter is one block of about 110 bytes, an account where somebody waits,
 *           or waited some seconds ago, one of about 400.  At most 16 page on alone at once, with
 *           about 3 MiB each at worst; the others of them queue for it.
 * Lifetime  init; close when the API is closed and the work connection too.
 * Errors    Redis away or refusing: HW_BACKEND_UNAVAILABLE, those who wait too.
 * Cost      a touch without waiters is one hash look-up; an event costs each waiter a call of its
 *           filter and its answer.  A lost notice costs those who wait five seconds at most.
 */
#ifndef HW_FLOW_HUB_H
#define HW_FLOW_HUB_H

#include "flow/watch.h"

/* So long after its last read an account where somebody waits is read anyway. */
enum { HW_HUB_REST_MS = 5000 };

struct hw_hub {
    struct hw_loop *loop; /* borrowed, both */
    struct hw_store *store;
    struct hw_map accounts; /* watches: somebody waits there, or did a moment ago; owned */
    struct hw_list due;     /* of them: those whose feed is to be read */
    struct hw_list resting; /* those that were read, the one read longest ago first */
    struct hw_wheel_entry fallback; /* the first of these has rested long enough */
    size_t n_reading;               /* those being read: in neither */
    struct hw_watch_desk desk;
    struct hw_list behind;         /* waiters that are to page on alone */
    size_t n_paging;               /* those that do: not in it */
    struct hw_list told;           /* waiters whose answer is known */
    struct hw_backend_req *failed; /* questions that got no memory, chained by state */
    struct hw_turn_hook turn;      /* gives the answers that are known, begins reads */
};

void hw_hub_init(struct hw_hub *h, struct hw_loop *loop, struct hw_store *store);
void hw_hub_close(struct hw_hub *h);

/* As the backend's updates and hurry. */
void hw_hub_ask(struct hw_hub *h, struct hw_backend_updates *ask);
void hw_hub_hurry(struct hw_hub *h, struct hw_backend_updates *ask);

/* That account's feed was added to; any may have been. */
void hw_hub_touch(struct hw_hub *h, struct hw_slice account);
void hw_hub_touch_all(struct hw_hub *h);

/* The work connection is lost, or this instance is fenced: whoever waits is told UNAVAILABLE, as
 * places known so far may be of a Redis that was emptied. */
void hw_hub_down(struct hw_hub *h);

#endif
