/*
 * dial - from a target to an open stream: its name resolved, its addresses tried in turn, TLS
 * where the target says so.
 *
 *   start -> resolve -> connect (next address ...) -> secure -> on_open -> on_data ... on_end
 *
 * The name goes through getaddrinfo on libuv's threads: Redis is asked for so rarely that the
 * deliveries' resolver is not worth sharing, and it knows what the system knows (nsswitch).
 *
 * Memory    one stream and, while connecting, the list of addresses; embedded.
 * Lifetime  init; start, then stop or an end, any number of times; close once.
 * Errors    on_end, once for each start: could not connect within HW_DIAL_TIMEOUT_MS a step,
 *           or the stream has ended.  Never called inside start; nothing comes after stop.
 */
#ifndef HW_STORE_DIAL_H
#define HW_STORE_DIAL_H

#include "loop/stream.h"

#define HW_DIAL_TIMEOUT_MS 5000

struct hw_dial;
struct hw_redis_target;

struct hw_dial_events {
    void (*on_open)(struct hw_dial *d); /* hw_dial_stream() may be written to */
    void (*on_data)(struct hw_dial *d, struct hw_slice data);
    void (*on_end)(struct hw_dial *d, const struct hw_cause *cause);
};

typedef void (*hw_dial_closed_cb)(struct hw_dial *d);

enum hw_dial_state {
    HW_DIAL_IDLE,
    HW_DIAL_LEAVING, /* start was asked for while the handle before was still closing */
    HW_DIAL_RESOLVING,
    HW_DIAL_CONNECTING,
    HW_DIAL_SECURING,
    HW_DIAL_OPEN,
    HW_DIAL_FAILED, /* on_end comes on the next turn */
    HW_DIAL_CLOSED
};

struct hw_dial {
    struct hw_loop *loop;                 /* borrowed */
    const struct hw_redis_target *target; /* borrowed */
    struct hw_trust *trust;               /* borrowed; may be NULL without TLS */
    const struct hw_dial_events *events;  /* borrowed, static */
    enum hw_dial_state state;
    struct hw_stream stream;
    bool has_stream; /* from connect until its closed callback */
    uv_getaddrinfo_t lookup;
    bool is_looking_up;
    struct addrinfo *addresses;     /* owned; the answer to the look-up */
    const struct addrinfo *next;    /* to try if this one fails; NULL: none */
    struct hw_cause failure;        /* while FAILED */
    struct hw_wheel_entry deadline; /* of a step; the end of close */
    struct hw_closing closing;
    hw_dial_closed_cb closed_cb;
};

void hw_dial_init(struct hw_dial *d, struct hw_loop *loop,
                  const struct hw_redis_target *target, struct hw_trust *trust,
                  const struct hw_dial_events *events);
void hw_dial_start(struct hw_dial *d);
void hw_dial_stop(struct hw_dial *d);
void hw_dial_close(struct hw_dial *d, hw_dial_closed_cb cb);

/* Valid between on_open and the end. */
static inline struct hw_stream *hw_dial_stream(struct hw_dial *d)
{
    return &d->stream;
}

#endif
