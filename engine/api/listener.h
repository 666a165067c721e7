/*
 * listener - one address that is listened on; makes a session of each connection.
 *
 * Lifetime  bind (no handle yet, nothing to close but the descriptor), start, close; a
 *           close's end is a release of the API's closing.
 * Errors    HW_EINVAL for an address that does not parse, HW_ESYSTEM with one line for
 *           people.
 */
#ifndef HW_API_LISTENER_H
#define HW_API_LISTENER_H

#include <uv.h>

#include "api/routes.h"
#include "core/wheel.h"

struct hw_api;

struct hw_listener {
    struct hw_api *api; /* borrowed */
    uv_tcp_t tcp;
    int fd;          /* bound, not started; -1: none */
    unsigned port;   /* 0: not in use */
    enum hw_door door;
    bool is_started;
    struct hw_wheel_entry again; /* armed while a connection waits for us to have memory */
};

/* "HOST:PORT": an IPv4 or bracketed IPv6 address, or localhost; port 0: any free one. */
HW_MUST_USE enum hw_status hw_listener_bind(struct hw_listener *l, struct hw_api *api,
                                            const char *address, enum hw_door door,
                                            struct hw_cause *cause);
HW_MUST_USE enum hw_status hw_listener_start(struct hw_listener *l, struct hw_cause *cause);

/* In whatever state; nothing where it was never bound. */
void hw_listener_close(struct hw_listener *l);

#endif
