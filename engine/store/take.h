/*
 * take - deliveries become ours, loaded with what is needed to attempt them: refilled from
 * what waits, claimed from what is parked, adopted from a dead instance.
 *
 * Memory    a request is the caller's until its callback.
 * Errors    a request that could not be sent: its callback does not run.
 */
#ifndef HW_STORE_TAKE_H
#define HW_STORE_TAKE_H

#include "base/time.h"
#include "rules/id.h"
#include "store/redis.h"

struct hw_ledger;

/* A delivery that is ours now.  Slices are borrowed for the callback. */
struct hw_taken {
    uint32_t w;
    uint64_t n;
    unsigned attempts; /* made and recorded; the token of the next settle */
    unsigned crashes;  /* of instances that held it, since the last recorded attempt */
    uint64_t stamp_us;
    struct hw_stream_id cursor;
    struct hw_slice account;
    struct hw_slice record;      /* empty: its body is kept nowhere any more */
    struct hw_slice traceparent; /* only where state is empty */
    struct hw_slice state;       /* packed history; empty: no attempt has failed yet */
    bool has_body;               /* the record has a key of its own, besides the feed */
    hw_unix_ms due_ms;           /* claimed: when it was due; else 0 */
};

struct hw_take;
/* `items` are borrowed for the callback.  `n_left`: what remains to be taken of the same kind
 * (roughly), 0: nothing.  Trouble other than FINE: n_items is 0; after GONE what was taken is
 * found by hw_ledger_owned. */
typedef void (*hw_take_cb)(struct hw_take *t, enum hw_redis_trouble trouble,
                           const struct hw_taken *items, size_t n_items, uint64_t n_left);

struct hw_delivery_key {
    uint32_t w;
    uint64_t n;
};

typedef void (*hw_owned_cb)(struct hw_take *t, enum hw_redis_trouble trouble,
                            const struct hw_delivery_key *keys, size_t n_keys);

struct hw_take {
    struct hw_ledger *ledger; /* private, all of it */
    struct hw_redis_req req;
    struct hw_command command;
    hw_take_cb cb;
    hw_owned_cb owned_cb;
    uint32_t w; /* refill, surplus, parked: of this webhook */
    uint64_t n_fill_left; /* refill, surplus: out; what waits still of backfills */
    bool is_refill;
    bool is_busy;           /* between the call and cb */
    struct hw_taken *items; /* owned while busy */
    size_t n_max;
};

void hw_take_init(struct hw_take *t);  /* once */
void hw_take_close(struct hw_take *t); /* not while busy */

/* HW_OK: cb runs once, later.  Otherwise (not connected, no memory): it will not.  At most
 * `max` deliveries and about 1 MiB of records, but always at least one where there is one. */

/* The oldest of those that wait in Redis for w; when none of them is left, those of backfills, but
 * no more of these than make max_fill in all.  (n_left does not count backfills, n_fill_left
 * does.) */
HW_MUST_USE enum hw_status hw_ledger_refill(struct hw_ledger *l, struct hw_take *t, uint32_t w,
                                            unsigned max, unsigned max_fill, hw_take_cb cb);
/* Of those that are not of a backfill, so many as are more than `keep`. */
HW_MUST_USE enum hw_status hw_ledger_take_surplus(struct hw_ledger *l, struct hw_take *t,
                                                  uint32_t w, uint64_t keep, unsigned max,
                                                  hw_take_cb cb);
/* Some of those parked for w, whenever due (a webhook was disabled or deleted). */
HW_MUST_USE enum hw_status hw_ledger_take_parked(struct hw_ledger *l, struct hw_take *t,
                                                 uint32_t w, unsigned max, hw_take_cb cb);
/* Those of these parked ones that are due by then (schedule.h does it), at most 1,000; what is no
 * longer parked, or due later by now, is not among the items, and the last n_left keys were not
 * looked at. */
HW_MUST_USE enum hw_status hw_ledger_claim(struct hw_ledger *l, struct hw_take *t,
                                           const struct hw_delivery_key *keys, size_t n_keys,
                                           hw_unix_ms due_by, hw_take_cb cb);
/* Some of what a dead or departed instance held. */
HW_MUST_USE enum hw_status hw_ledger_adopt(struct hw_ledger *l, struct hw_take *t,
                                           const char *orphan, unsigned max, hw_take_cb cb);
/* These that are ours already but that we do not know (after hw_ledger_owned); at most
 * 1,000, and the last n_left keys were not looked at. */
HW_MUST_USE enum hw_status hw_ledger_load(struct hw_ledger *l, struct hw_take *t,
                                          const struct hw_delivery_key *keys, size_t n_keys,
                                          hw_take_cb cb);

/* All that Redis says is ours, told in one call: for comparing with what is in memory after
 * on_back.  Ask when everything sent before is answered (settles resumed, no take under
 * way), and while it runs accept and take nothing. */
HW_MUST_USE enum hw_status hw_ledger_owned(struct hw_ledger *l, struct hw_take *t,
                                           hw_owned_cb cb);

#endif
