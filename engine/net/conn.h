/*
 * conn - one HTTP/1.1 connection to a receiver: made, used for one exchange at a time.
 *
 *   open -> each allowed address in turn -> TLS -> on_ready
 *   send -> on_progress (head, body, end) -> send again, if it may be reused
 *
 * Addresses   the caller's list has been checked; what the socket is really connected to is
 *             compared with what was asked for.  While others are left, an address gets a
 *             share of the time that remains (never more than 3 s).
 * Memory      one block, freed after on_closed; with TLS 22 KiB more.  Once its buffers
 *             have grown an exchange allocates nothing.
 * Lifetime    make, open once, close once at any time after.  Closing is asynchronous.
 * Errors      on_failed, once, as the last event but on_closed; the owner then closes.  Also for a
 *             peer that ends or speaks while nothing was asked of it.
 */
#ifndef HW_NET_CONN_H
#define HW_NET_CONN_H

#include "http/response.h"
#include "loop/stream.h"
#include "net/resolve.h"
#include "rules/failure.h"

struct hw_conn;
struct hw_client;
struct hw_pool_origin;

struct hw_conn_events {
    void (*on_ready)(struct hw_conn *c);
    /* More of the response was read: look at c->response. */
    void (*on_progress)(struct hw_conn *c);
    void (*on_failed)(struct hw_conn *c, enum hw_failure failure, enum hw_phase phase,
                      const struct hw_cause *cause);
    /* `timer` (set by the owner once the connection is ready) has run. */
    void (*on_timer)(struct hw_conn *c);
    void (*on_closed)(struct hw_conn *c); /* freed when this returns */
};

/* Where to, and as whom; shared by the connections of an origin. */
struct hw_conn_target {
    char *host; /* owned by the origin; without brackets */
    uint16_t port;
    bool is_tls;
    bool is_address;              /* host is an IP literal */
    struct hw_trust *trust;       /* borrowed */
    struct hw_tls_ticket *ticket; /* owned by the origin: of an earlier session, or NULL */
};

enum hw_conn_state {
    HW_CONN_NEW,
    HW_CONN_CONNECTING,
    HW_CONN_SECURING,
    HW_CONN_READY,   /* nothing asked of the peer */
    HW_CONN_WAITING, /* a request is being sent, or its response read */
    HW_CONN_FAILED,  /* on_failed was called */
    HW_CONN_CLOSING
};

struct hw_conn {
    struct hw_stream stream;
    struct hw_response response;
    struct hw_loop *loop;                /* borrowed */
    const struct hw_conn_events *events; /* borrowed, static */
    const struct hw_conn_target *target; /* borrowed until close */
    struct hw_pool_origin *origin;       /* the pool's: whose it is; NULL once dropped */
    struct hw_list in_origin;            /* the pool's: among the origin's idle ones */
    struct hw_list in_pool;              /* the pool's: among all */
    struct hw_list in_idle;              /* the pool's: among all idle ones, by age */
    hw_mono_ms idle_since;               /* the pool's */
    bool is_doubtful;                    /* the pool's: opened for who may hang, and not idle yet */
    struct hw_client *client;            /* the owner */
    void *user;                          /* the owner's: what it is being used for, or NULL */
    struct hw_wheel_entry timer;         /* the current address's share; later the owner's */
    struct hw_address addresses[HW_RESOLVE_ADDRESSES_MAX];
    size_t n_addresses;
    size_t next_address;      /* the one after the current */
    hw_mono_ms give_up_at;    /* when the whole attempt is over, for the shares */
    char address[64];         /* connected to, or being connected to; as text with port */
    struct hw_cause cause;    /* why the last address failed */
    hw_mono_us step_us;       /* when the current step began */
    hw_mono_us sent_us;       /* of the exchange: when it began */
    hw_mono_us first_byte_us; /* of the response; 0: none yet */
    hw_mono_us head_us;       /* when its head was complete; 0: not yet */
    int32_t connect_ms;       /* of all addresses tried; -1: did not happen */
    int32_t tls_ms;
    bool has_offered_ticket;
    bool is_ready; /* was established; counts as such in the pool */
    enum hw_conn_state state;
};

/* NULL: out of memory. */
HW_MUST_USE struct hw_conn *hw_conn_make(struct hw_loop *loop,
                                         const struct hw_conn_events *events);

/* Connect to the first of `addresses` (1 to HW_RESOLVE_ADDRESSES_MAX, copied) that answers.
 * Events come later. */
void hw_conn_open(struct hw_conn *c, const struct hw_conn_target *target,
                  const struct hw_address *addresses, size_t n_addresses,
                  hw_mono_ms give_up_at);

/* Send a request on a ready connection and expect its response, of whose body the first
 * keep_body_bytes are kept.  HW_ENOMEM: nothing was sent, close it. */
HW_MUST_USE enum hw_status hw_conn_send(struct hw_conn *c, const struct hw_slice *pieces,
                                        size_t n_pieces, size_t keep_body_bytes);

/* After a complete response: may another request follow?  True: it is ready. */
bool hw_conn_renew(struct hw_conn *c);

/* What is it doing, for a timeout: connect, tls, send or response. */
enum hw_phase hw_conn_phase(const struct hw_conn *c);

void hw_conn_close(struct hw_conn *c);

#endif
