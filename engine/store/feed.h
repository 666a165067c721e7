/*
 * feed - an account's events in the order of their acceptance, read from a place on.
 *
 * Memory    a read is the caller's until its callback; the page it gets is borrowed for it.
 * Errors    UNAVAILABLE: Redis away, refusing, or this instance fenced.  EXPIRED: events behind
 *           that place are gone (trimmed), or no feed of this Redis ever had it.
 * Cost      one script; it reads at most `limit` events and about `max_bytes`.
 */
#ifndef HW_STORE_FEED_H
#define HW_STORE_FEED_H

#include "rules/id.h"
#include "store/keys.h"

enum { HW_FEED_READ_MAX = 1000 }; /* events a read */

struct hw_feed_event {
    struct hw_stream_id id;
    struct hw_slice record; /* heads_only: its front, with `"data":null}` instead of the data */
    size_t record_bytes;    /* of the whole record */
};

enum hw_feed_result { HW_FEED_OK, HW_FEED_EXPIRED, HW_FEED_UNAVAILABLE };

struct hw_feed_page {
    const struct hw_feed_event *events; /* ascending */
    size_t n_events;
    struct hw_stream_id reached; /* of the last of them; without any: where the read began */
    bool has_more;               /* behind it there are others now */
    struct hw_stream_id oldest;  /* EXPIRED: the place from which nothing is missing */
};

struct hw_feed_read;
typedef void (*hw_feed_cb)(struct hw_feed_read *r, enum hw_feed_result result,
                           const struct hw_feed_page *page);

struct hw_feed_from {
    bool is_start; /* from the oldest that is kept; `after` says nothing */
    struct hw_stream_id after;
};

struct hw_feed_read {
    struct hw_redis_req req; /* private, all of it */
    struct hw_command command;
    hw_feed_cb cb;
    bool heads_only;
    struct hw_feed_event *events; /* owned */
    size_t cap_events;
};
void hw_feed_read_init(struct hw_feed_read *r);  /* once */
void hw_feed_read_close(struct hw_feed_read *r); /* not while under way */

/* HW_OK: cb runs once, later; anything else: it will not. */
HW_MUST_USE enum hw_status hw_feed_read(struct hw_store *store, struct hw_feed_read *r,
                                        struct hw_slice account, struct hw_feed_from from,
                                        size_t limit, size_t max_bytes, bool heads_only,
                                        hw_feed_cb cb);

#endif
