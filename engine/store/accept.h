/*
 * accept - entries of the stream become events of the feeds, with their deliveries, in one
 * script for a batch: all or nothing, and the entries are gone from the stream by it.
 *
 * Memory    the batch and all it points to are the caller's and must stay put until cb.
 * Errors    see hw_accept_cb.  FULL, UNSAVED, READONLY: nothing was done.
 * Cost      about 10 us of Redis an event in parts of 256: it is busy for 3 ms then.
 */
#ifndef HW_STORE_ACCEPT_H
#define HW_STORE_ACCEPT_H

#include "rules/id.h"
#include "store/redis.h"

struct hw_ledger;

enum hw_accepted {
    HW_ACCEPTED_NOT_YET,   /* not answered: to do, or unknown after a lost connection */
    HW_ACCEPTED_TAKEN,     /* in the feed, its deliveries exist */
    HW_ACCEPTED_DUPLICATE, /* its producer id is known: gone from the stream, nothing made */
    HW_ACCEPTED_STALE,  /* the account's webhooks have changed: reload, match, accept again */
    HW_ACCEPTED_MISSING /* no longer in the stream: another instance had it */
};

struct hw_accept_target {
    uint32_t w;
    bool to_wait; /* beyond our memory: it waits in Redis */
    uint64_t n;   /* out, when TAKEN: its number within the webhook */
};

struct hw_accept_event {
    struct hw_stream_id entry;
    struct hw_slice account;
    uint64_t version; /* of the account's registry it was matched with; 0: has no webhooks */
    struct hw_slice record;
    struct hw_slice traceparent; /* empty: none */
    struct hw_slice producer_id; /* empty: not given by the producer */
    struct hw_accept_target *targets;
    size_t n_targets;
    enum hw_accepted result;    /* NOT_YET: is sent; others are left alone */
    struct hw_stream_id cursor; /* out, when TAKEN */
    uint64_t stamp_us;          /* out, when TAKEN */
    bool is_told;               /* the caller's: has acted on the result */
};

struct hw_accept;
/* FINE: every event has its result.  Otherwise those still NOT_YET were not done (FULL,
 * UNSAVED, READONLY: call again later with the same batch), or it is not known (GONE: drop
 * them; they come again through ingest or hw_ledger_owned). */
typedef void (*hw_accept_cb)(struct hw_accept *a, enum hw_redis_trouble trouble);

struct hw_accept {
    struct hw_accept_event *events; /* with all they point to: must stay put until cb */
    size_t n_events;
    bool is_marked; /* from the batch: clears the marks */
    hw_accept_cb cb;
    struct hw_ledger *ledger; /* private from here on */
    struct hw_redis_req req;
    struct hw_command command;
    size_t part_from, part_to, n_part;
    uint32_t *webhooks; /* owned: of the part, each once */
    size_t n_webhooks;
    uint32_t *index; /* owned: finds a webhook among them */
    size_t index_size;
    uint64_t *next; /* owned: its next number, while an answer is read */
    size_t next_cap;
    struct hw_wheel_entry later;
    enum hw_redis_trouble trouble;
};

void hw_accept_init(struct hw_accept *a);  /* once, before the first use */
void hw_accept_close(struct hw_accept *a); /* frees what it keeps between batches */

/* In parts of at most 256 events, 1 MiB and 1,000 deliveries, one after the other: an event
 * is never accepted before one in front of it in the same account. */
void hw_ledger_accept(struct hw_ledger *l, struct hw_accept *a, hw_accept_cb cb);

#endif
