/*
 * consumer - named consumers of an account's feed: events are handed out to one worker at a
 * time, come again when they are not acknowledged in time, and are counted where they were
 * trimmed before that.
 *
 * How a consumer lies in Redis is in scripts/consuming.lua.  Each question is one script, and
 * atomic: workers share a consumer without overlap, by whichever instance they ask.
 *
 * Memory    a question is the caller's until its callback, and what it was asked with is borrowed
 *           until then; what it found is borrowed for the callback.
 * Errors    enum hw_consumer_result.  UNAVAILABLE: Redis away, refusing (full: only pulls are
 *           refused), or this instance fenced; unknown whether it was done.
 * Time      visible again by the clock of Redis.
 * Cost      one script; where a place is far from the consumer's own, one for every 1,000 events
 *           between, and for each 20 consumers listed.
 */
#ifndef HW_STORE_CONSUMER_H
#define HW_STORE_CONSUMER_H

#include "base/time.h"
#include "rules/id.h"
#include "store/keys.h"

enum {
    HW_CONSUMER_NAME_MAX = 64,
    HW_CONSUMER_OUT_MAX = 1000,  /* handed out and not acknowledged */
    HW_CONSUMER_ACKS_MAX = 1000, /* events' ids at a time */
    HW_CONSUMER_PAGE_MAX = 200   /* events at a time */
};

enum hw_consumer_result {
    HW_CONSUMER_DONE,
    HW_CONSUMER_NOT_FOUND, /* no such consumer */
    HW_CONSUMER_LIMIT,     /* the account has as many as it may */
    HW_CONSUMER_EXPIRED, /* events behind that place are gone, or no feed of this Redis had it */
    HW_CONSUMER_UNAVAILABLE
};

/* Whose consumer; both NUL-terminated. */
struct hw_consumer_key {
    const char *account, *name;
};

/* Is every type but these to be seen, or none but these? */
struct hw_consumer_view {
    bool otherwise;
    const char *const *types;
    size_t n_types;
};

struct hw_consumer_terms {
    size_t limit; /* 1 to HW_CONSUMER_PAGE_MAX; about 2 MiB of records come at most */
    unsigned visibility_ms;
    unsigned n_consumers_max; /* an account */
    bool is_start;            /* a new one begins at the oldest that is kept; else: */
    struct hw_stream_id after;
};

struct hw_consumer_event {
    struct hw_stream_id id;
    struct hw_slice record;
};

struct hw_consumer_standing {
    char name[HW_CONSUMER_NAME_MAX + 1];
    struct hw_stream_id position; /* handed out or passed over up to here */
    uint64_t n_behind;            /* events behind it */
    uint64_t n_out;
    uint64_t n_skipped;
    hw_unix_ms created_ms;
};

/* What a question came to; what it does not ask for is 0. */
struct hw_consumer_found {
    const struct hw_consumer_event *events;
    size_t n_events;
    bool has_more;
    uint64_t n_acknowledged;
    const struct hw_consumer_standing *consumers; /* by name */
    size_t n_consumers;
    struct hw_stream_id oldest; /* EXPIRED: the place from which nothing is missing */
};

struct hw_consumer_ask;
typedef void (*hw_consumer_cb)(struct hw_consumer_ask *a, enum hw_consumer_result result,
                               const struct hw_consumer_found *found);

struct hw_consumer_ask {
    struct hw_store *store; /* private, all of it */
    struct hw_redis_req req;
    struct hw_command command;
    hw_consumer_cb cb;
    struct hw_consumer_key key;
    struct hw_consumer_view view;
    struct hw_consumer_terms terms;
    struct hw_stream_id walked_to, place;
    uint64_t n_walked;
    struct hw_consumer_found found;
    struct hw_consumer_event *events;       /* owned */
    struct hw_consumer_standing *consumers; /* owned */
    size_t cap_consumers;
};

void hw_consumer_ask_init(struct hw_consumer_ask *a);  /* once */
void hw_consumer_ask_close(struct hw_consumer_ask *a); /* not while under way */

/* HW_OK: cb runs once, later; anything else: it will not. */

/* Events for it; it is made where there is none.  Those whose visibility ended come first, then
 * new ones; types that are not to be seen are passed over for good, so fewer than there is room
 * for may come while has_more says that there may be others. */
HW_MUST_USE enum hw_status hw_consumer_pull(struct hw_store *store, struct hw_consumer_ask *a,
                                            struct hw_consumer_key key,
                                            struct hw_consumer_view view,
                                            struct hw_consumer_terms terms, hw_consumer_cb cb);

/* What it has out behind a place, oldest first. */
HW_MUST_USE enum hw_status
hw_consumer_outstanding(struct hw_store *store, struct hw_consumer_ask *a,
                        struct hw_consumer_key key, struct hw_consumer_view view,
                        struct hw_stream_id after, size_t limit, hw_consumer_cb cb);

/* It is done with these; ids that it has not out are ignored.  1 to HW_CONSUMER_ACKS_MAX. */
HW_MUST_USE enum hw_status hw_consumer_ack(struct hw_store *store, struct hw_consumer_ask *a,
                                           struct hw_consumer_key key,
                                           const char *const *event_ids, size_t n_event_ids,
                                           hw_consumer_cb cb);

/* It is done with all up to that place, those not handed out yet too. */
HW_MUST_USE enum hw_status hw_consumer_ack_to(struct hw_store *store,
                                              struct hw_consumer_ask *a,
                                              struct hw_consumer_key key,
                                              struct hw_stream_id place, hw_consumer_cb cb);

HW_MUST_USE enum hw_status hw_consumer_list(struct hw_store *store, struct hw_consumer_ask *a,
                                            const char *account, hw_consumer_cb cb);

HW_MUST_USE enum hw_status hw_consumer_dismiss(struct hw_store *store,
                                               struct hw_consumer_ask *a,
                                               struct hw_consumer_key key, hw_consumer_cb cb);

#endif
