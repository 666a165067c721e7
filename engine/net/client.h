/*
 * client - one POST at a time to each connection, thousands side by side.
 *
 * Takes a finished request (head and body) for an origin, finds or makes a
 * connection, sends, reads the response's head, and says what happened.  It knows
 * nothing of webhooks: who goes next was decided above, what an outcome means is too.
 *
 *   hit:   lease idle connection -> send -> head -> outcome -> drain body -> give back
 *   miss:  leave to open one -> resolve -> refuse bad addresses -> connect (each allowed address in
 *          turn) -> TLS -> as above
 *   stale: the server had closed a kept-alive connection before any byte of the response:
 *          once, a fresh connection, within the same deadline
 *
 * Time      `timeout_ms` counts from the moment the attempt uses the network (name
 *           resolution, or sending on a reused connection) to the end of the response's
 *           head.  Waiting for leave to open a connection (openings.h) or for a descriptor is
 *           before that and is not charged; an idle connection of the origin that comes
 *           free meanwhile is taken.  500 ms after the head the connection is drained or
 *           dropped; nothing later is heard of it.
 * Memory    the request is the caller's (embed it); connections are the pool's.
 * Errors    see hw_client_post; outcomes of the network are in the result, never in a status.
 * Cost      a reused connection: one write, one read, no allocation once buffers have grown.
 */
#ifndef HW_NET_CLIENT_H
#define HW_NET_CLIENT_H

#include "core/metrics.h"
#include "http/url.h"
#include "loop/loop.h"
#include "net/openings.h"
#include "net/resolve.h"
#include "rules/address.h"
#include "rules/failure.h"
#include "tls/trust.h"

struct hw_client;
struct hw_client_req;
struct hw_conn;
struct hw_pool_origin;

struct hw_client_options {
    struct hw_trust *trust;               /* borrowed */
    const struct hw_address_rules *rules; /* borrowed */
    struct hw_metrics *metrics;           /* borrowed; connections, handshakes, dns, phases */
    uint64_t timeout_ms;
    size_t max_connections;  /* open at once, idle ones included; 0: three quarters of the
                                descriptors the process may have */
    bool allow_http_localhost; /* http:// URLs, which are localhost's, may be called */
    const char *dns_servers; /* "127.0.0.1:5353" for tests; NULL: the system's */
    const char *hosts_file;  /* for tests; NULL: /etc/hosts */
};

struct hw_client_post;

/* The attempt begins to use the network now, maybe long after it was asked for: the place to
 * write what depends on the time into *what (but the url).  May run inside hw_client_post.
 * Anything but HW_OK: it ends as a fault of our own.  HW_ECANCELED: it is not to begin any
 * more. */
typedef enum hw_status (*hw_client_begin_cb)(struct hw_client_req *req,
                                             struct hw_client_post *what);

struct hw_client_post {
    const struct hw_url *url;     /* borrowed until the callback */
    hw_client_begin_cb begin;     /* NULL: head and body are there already */
    struct hw_slice head;         /* borrowed until the callback: request line and fields */
    struct hw_slice body[2];  /* borrowed until the callback */
    size_t n_body;
    size_t keep_body_bytes; /* of the response's body */
    bool is_doubtful; /* the receiver may hang (openings.h) */
};

/* Borrowed for the callback. */
struct hw_client_result {
    enum hw_failure failure; /* NONE: a complete head arrived, whatever its status.
                                    INTERNAL: a fault of our own (no descriptors, memory, no
                                    resolver answers at all, closing): cause says which */
    enum hw_phase phase;     /* of a timeout or failure */
    int status;              /* of the response; 0: none */
    struct hw_slice fields;  /* the response's, "name: value\n", lower-case names */
    struct hw_slice body;    /* the first keep_body_bytes that came in time for the callback */
    struct hw_slice retry_after; /* that field's value; empty: none */
    char address[64];            /* really connected to, or tried last; "": none */
    bool reused;
    const char *tls_version; /* "1.2", "1.3" or "" */
    hw_unix_ms started_ms;
    uint32_t duration_ms; /* start of the network's use to the outcome */
    int32_t dns_ms, connect_ms, tls_ms, first_byte_ms; /* -1: did not happen */
    struct hw_cause cause; /* note: one sentence, for the delivery's error message */
};

typedef void (*hw_client_cb)(struct hw_client_req *req, const struct hw_client_result *result);

enum hw_client_state {
    HW_CLIENT_WAITING,    /* for a connection or leave to open one: in a line of openings.h */
    HW_CLIENT_RESOLVING,  /* the name is being asked for */
    HW_CLIENT_CONNECTING, /* its connection is being made */
    HW_CLIENT_SENT,       /* the request is on its way */
    HW_CLIENT_HELD,       /* the head is there, the body is awaited */
    HW_CLIENT_DONE        /* the callback runs, or has run */
};

/* Yours, and must stay put until its callback runs; fields are the client's. */
struct hw_client_req {
    struct hw_list link; /* in client.requests until DONE */
    struct hw_client *client;
    struct hw_client_post what;
    hw_client_cb cb;
    struct hw_wheel_entry deadline; /* of the attempt; then of what is held */
    struct hw_pool_origin *origin;  /* borrowed */
    struct hw_conn *conn;           /* borrowed; NULL: none yet */
    struct hw_resolve_req resolve;
    struct hw_opening opening;
    enum hw_client_state state;
    hw_mono_us started_us; /* when it began to use the network; 0: not yet */
    hw_unix_ms started_ms;
    int32_t dns_ms;
    bool is_reused; /* conn had been used before */
    bool is_resent;
};

HW_MUST_USE enum hw_status hw_client_open(struct hw_client **out, struct hw_loop *loop,
                                          const struct hw_client_options *options,
                                          struct hw_cause *cause);

/* Every request still under way gets its callback with INTERNAL (HW_ECANCELED), on the next
 * turn; then cb, when everything is closed. */
void hw_client_close(struct hw_client *c, void (*cb)(void *data), void *data);

/* Ask for one POST.  HW_OK: cb runs exactly once, later, never inside this call.
 * Anything else: cb will not run and req may be reused. */
HW_MUST_USE enum hw_status hw_client_post(struct hw_client *c, struct hw_client_req *req,
                                          const struct hw_client_post *what, hw_client_cb cb);

/* The receiver of a doubtful one does not hang: if it still waits, it is as others from now on.
 * Harmless at any time after hw_client_post; runs no callback. */
void hw_client_trust(struct hw_client_req *req);

/* A response body's first bytes are in the result only when they came together with the head or
 * within 500 ms after it; to have them the callback is held back for that long at most when
 * keep_body_bytes > 0 and neither the body is complete nor that many bytes have come.  (The
 * outcome and duration are those of the head; a body never turns success into failure.) */

/* Connections open or being opened now; for the metric and tests. */
size_t hw_client_connections(const struct hw_client *c);

#endif
