/*
 * enqueue - events that came by the API go into the ingress stream, all or none.
 *
 * Memory    the request is the caller's until its callback; everything is copied in the call.
 * Errors    trouble other than FINE: unknown whether it was done.
 * Cost      one script; its bytes are bounded by whoever calls (8 MiB).
 */
#ifndef HW_STORE_ENQUEUE_H
#define HW_STORE_ENQUEUE_H

#include "store/keys.h"

/* An event that was checked; empty: not given. */
struct hw_enqueue_event {
    struct hw_slice account, type, payload, subject, id, level, timestamp, traceparent;
};

struct hw_enqueue;
/* `reply`: with is_kept, what is kept under the key (see once_key); else the answer
 * {"data":[{"id":…},…]}, as the script wrote it.  Borrowed for the callback. */
typedef void (*hw_enqueue_cb)(struct hw_enqueue *e, enum hw_redis_trouble trouble, bool is_kept,
                              struct hw_slice reply);

struct hw_enqueue {
    struct hw_redis_req req; /* private */
    struct hw_command command;
    hw_enqueue_cb cb;
};

void hw_enqueue_init(struct hw_enqueue *e);  /* once */
void hw_enqueue_close(struct hw_enqueue *e); /* not while under way */

/* once_key: of <tag>once:, "" : none.  Where that key is there, nothing is enqueued and what it
 * holds comes back; else the same script keeps once_prefix and the answer there for 24 h. */
HW_MUST_USE enum hw_status hw_enqueue_events(struct hw_store *store, struct hw_enqueue *e,
                                             const struct hw_enqueue_event *events,
                                             size_t n_events, struct hw_slice once_key,
                                             struct hw_slice once_prefix, hw_enqueue_cb cb);

/* What is kept under a key of <tag>once:; is_kept false: nothing. */
HW_MUST_USE enum hw_status hw_enqueue_recall(struct hw_store *store, struct hw_enqueue *e,
                                             struct hw_slice once_key, hw_enqueue_cb cb);

#endif
