/*
 * api - the HTTP side of the engine: management API, health, metrics.
 *
 * Memory    about 2 KiB a connection at rest, its request's and answer's bytes meanwhile; one that
 *           waits for events about 4 KiB.
 * Lifetime  open, then close once; the callback comes when every connection and every
 *           question to the backend has ended.  Close lets answers under way go out for
 *           `drain_ms` at most.
 * Errors    open: HW_EINVAL for an address that does not parse, HW_ESYSTEM with one line
 *           for people where it cannot be listened on (a port in use).
 */
#ifndef HW_API_API_H
#define HW_API_API_H

#include "api/backend.h"
#include "loop/loop.h"
#include "rules/address.h"

struct hw_api;
typedef void (*hw_api_closed_cb)(void *data);

struct hw_api_options {
    const char *listen;          /* "127.0.0.1:8420", "[::]:8420", "localhost:0"; NULL: none */
    const char *ops_listen;      /* /healthz, /readyz, /metrics are here and no longer above;
                                  * NULL: all on the one */
    const char *root_token_hash; /* lower-case hex SHA-256; copied */
    const char *version;         /* borrowed */
    unsigned max_connections;    /* 0: 4096; beyond it, those at rest or waiting go first */
    unsigned max_webhooks;       /* an account; for details.limit */
    unsigned rate_per_s;         /* requests a token but the root token; 0: no limit */
    size_t max_payload_bytes;    /* of an event; 0: 256 KiB */
    unsigned max_in_flight;      /* default of a webhook's max_in_flight */
    unsigned max_in_flight_total; /* most that a webhook may ask for; 0: 10000 */
    struct hw_url_rules url_rules;
    const struct hw_address_rules *addresses; /* borrowed */
    const struct hw_metrics *metrics;         /* borrowed */
    const struct hw_backend *backend;         /* borrowed */
    unsigned request_timeout_ms; /* for a request to arrive; 0: 30 s */
    unsigned idle_timeout_ms;    /* between requests; 0: 75 s */
    unsigned drain_ms;           /* 0: 5 s */
    unsigned heartbeat_ms;       /* between two signs of life of a stream; 0: 15 s */
};

/* HW_OK: listening, and *out is to be closed.  `loop` is borrowed. */
HW_MUST_USE enum hw_status hw_api_open(struct hw_api **out, struct hw_loop *loop,
                                       const struct hw_api_options *options,
                                       struct hw_cause *cause);

/* Stop listening, finish what is under way, close.  *api is freed before `cb`. */
void hw_api_close(struct hw_api *api, hw_api_closed_cb cb, void *data);

/* What was bound (for port 0); ops_port is 0 without a second listener. */
unsigned hw_api_port(const struct hw_api *api);
unsigned hw_api_ops_port(const struct hw_api *api);

#endif
