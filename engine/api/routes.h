/*
 * routes - the one table of what can be asked for.
 *
 * A row yields the handler, the scope a token needs, the query parameters that are known,
 * the largest body, Allow of a 405, and the route's label in the metrics.
 */
#ifndef HW_API_ROUTES_H
#define HW_API_ROUTES_H

#include "api/target.h"
#include "api/tokens.h"
#include "base/buf.h"

struct hw_call;

/* Answer the call, now or in a later callback; see call.h. */
typedef void (*hw_handler)(struct hw_call *call);

/* Which listener shows a route. */
enum hw_door { HW_DOOR_API = 1, HW_DOOR_OPS = 2, HW_DOOR_BOTH = 3 };

/* Answers of a route are kept by Idempotency-Key (api/once.h). */
struct hw_route_once {
    const char *name; /* in the key */
    int status;       /* of the answer that is kept */
};

struct hw_route {
    const char *method;
    const char *pattern; /* "/v1/webhooks/:id" */
    enum hw_door door;   /* API or OPS */
    enum hw_scope scope;
    const char *query;   /* space-separated; NULL: whatever comes is not looked at */
    size_t body_max;     /* 0: a body is read and not looked at */
    const struct hw_route_once *once; /* NULL: its answers are not kept */
    hw_handler run;
};

extern const struct hw_route hw_routes[];
extern const size_t hw_n_routes;

enum { HW_ROUTE_VALUES_MAX = 2 };

struct hw_match {
    const struct hw_route *route;            /* NULL: see path_is_known */
    const char *values[HW_ROUTE_VALUES_MAX]; /* of the pattern's ":names", in order */
    bool path_is_known;                      /* only the method does not fit */
    char allow[64];                          /* "GET, HEAD, OPTIONS" when path_is_known */
};

/* HEAD finds the row of GET. */
void hw_routes_match(struct hw_match *m, const char *method, const struct hw_target *target,
                     enum hw_door door);

#endif
