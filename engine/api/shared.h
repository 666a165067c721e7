/*
 * shared - what the parts of the API have in common.
 *
 * Lifetime  holds are counted in `closing`: one for each listener, each session and each
 *           call, and one of the API's own until it is asked to close.
 */
#ifndef HW_API_SHARED_H
#define HW_API_SHARED_H

#include "api/api.h"
#include "api/listener.h"
#include "api/route_counts.h"
#include "api/tokens.h"

struct hw_api {
    struct hw_loop *loop; /* borrowed */
    struct hw_api_options options; /* defaults filled in; its borrowed pointers too */
    struct hw_tokens tokens;
    struct hw_list once_keys; /* of the calls under way that have one */
    struct hw_route_counts requests;
    struct hw_listener listeners[2]; /* the API's; the operators' */
    struct hw_list resting; /* sessions between requests, the one longest at rest first */
    struct hw_list busy;    /* sessions with a request or an answer under way */
    struct hw_list waiting; /* sessions that wait for events, the longest first */
    unsigned n_sessions;    /* on these three lists */
    size_t body_bytes;      /* of requests that arrive or are under way */
    bool is_closing;
    struct hw_wheel_entry drain; /* closing: when patience ends */
    struct hw_closing closing;
    hw_api_closed_cb closed_cb;
    void *closed_data; /* borrowed */
};

#endif
