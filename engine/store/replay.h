/*
 * replay - deliveries that are to be made again by hand: one redelivery, the dead letters of
 * a time range, a test; and the retries that fell due while a webhook was paused.
 *
 * What is queued again is parked and due (redelivered: now; a recovery: spread out, so that
 * it goes behind what is live), marked as never counting towards disabling, its schedule
 * begun anew; whoever asked arms it (hw_schedule_parked).  Its body is kept in a key of its
 * own from then on.
 *
 * Memory    a request is the caller's until its callback.
 * Errors    trouble other than FINE: unknown whether it was done (it may be asked again).
 * Cost      one script for one delivery; a recovery or a resumption goes over the webhook's
 *           dead or parked ones in pieces of HW_REPLAY_PIECE, one script at a time.
 */
#ifndef HW_STORE_REPLAY_H
#define HW_STORE_REPLAY_H

#include "base/time.h"
#include "store/keys.h"

#define HW_REPLAY_PIECE 200
#define HW_REPLAY_PER_S                                                                       \
    100 /* recovered or resumed, a webhook; its rate_limit if that is lower */

enum hw_replay_result {
    HW_REPLAY_DONE,
    HW_REPLAY_NOT_FOUND,  /* no such delivery or webhook */
    HW_REPLAY_WAITING,    /* it waits for its turn anyway: nothing was changed */
    HW_REPLAY_DELIVERING, /* an instance has it in hand */
    HW_REPLAY_NOT_LIVE,   /* its webhook is disabled or deleted */
    HW_REPLAY_NO_BODY,    /* its body is no longer kept */
    HW_REPLAY_UNAVAILABLE /* Redis refused or is gone */
};

struct hw_replay;
typedef void (*hw_replay_cb)(struct hw_replay *r, enum hw_replay_result result);
/* One that was queued again, as it happens: due at that time by hw_loop_steady. */
typedef void (*hw_replay_each_cb)(struct hw_replay *r, uint32_t w, uint64_t n,
                                  hw_unix_ms due_ms);

struct hw_replay {
    struct hw_store *store; /* private, but for what is marked out */
    struct hw_redis_req req;
    struct hw_command command;
    hw_replay_cb cb;
    hw_replay_each_cb each;
    const char *mode; /* of replay.lua */
    uint32_t w;
    uint64_t n;         /* out: of a planted one, its number */
    uint64_t stamp_us;  /* out: of a planted one */
    uint64_t n_waiting; /* out: of a planted one, 0: it is ours; else it waits, with so many */
    uint64_t count;     /* out: queued again, of a recovery or a resumption */
    uint64_t from;      /* where the next piece begins */
    hw_unix_ms since_ms, until_ms, due_ms;
    unsigned gap_ms;
};

void hw_replay_init(struct hw_replay *r);  /* once */
void hw_replay_close(struct hw_replay *r); /* not while under way */

/* HW_OK: cb runs once, later; anything else: it will not. */

/* Any delivery but one that is being delivered. */
HW_MUST_USE enum hw_status hw_replay_one(struct hw_store *store, struct hw_replay *r,
                                         uint32_t w, uint64_t n, hw_replay_each_cb each,
                                         hw_replay_cb cb);

/* Every dead letter of w created from since on and before until (0: no bound), the oldest
 * first.  rate_per_s: the webhook's, 0: none. */
HW_MUST_USE enum hw_status hw_replay_dead(struct hw_store *store, struct hw_replay *r,
                                          uint32_t w, hw_unix_ms since_ms, hw_unix_ms until_ms,
                                          unsigned rate_per_s, hw_replay_each_cb each,
                                          hw_replay_cb cb);

/* w was paused and is active again: its retries that are overdue by now are due soon, spread out,
 * instead of when they would be looked at next. */
HW_MUST_USE enum hw_status hw_replay_overdue(struct hw_store *store, struct hw_replay *r,
                                             uint32_t w, unsigned rate_per_s,
                                             hw_replay_each_cb each, hw_replay_cb cb);

/* A new delivery of that record to w, not in the feed: ours at once (hw_ledger_load brings it
 * into memory); while w is paused, or there is no room, it waits in Redis (n_waiting). */
HW_MUST_USE enum hw_status hw_replay_plant(struct hw_store *store, struct hw_replay *r,
                                           uint32_t w, struct hw_slice account,
                                           struct hw_slice record, bool has_room,
                                           hw_replay_cb cb);

#endif
