#include "api/routes.h"

#include <stdio.h>

#include "api/deliveries.h"
#include "api/ops.h"
#include "api/route_counts.h"
#include "api/webhooks.h"

#define BODY_MAX (1024 * 1024)

const struct hw_route hw_routes[] = {
    /* clang-format off */
    /* method, pattern, door, scope, query, body, handler */
    { "GET", "/healthz", HW_DOOR_OPS, HW_SCOPE_OPEN, NULL, 0, hw_ops_health },
    { "GET", "/readyz", HW_DOOR_OPS, HW_SCOPE_OPEN, NULL, 0, hw_ops_readiness },
    { "GET", "/metrics", HW_DOOR_OPS, HW_SCOPE_OPEN, NULL, 0, hw_ops_metrics },
    { "POST", "/v1/webhooks", HW_DOOR_API, HW_SCOPE_WEBHOOKS_MANAGE, "", BODY_MAX,
      hw_webhooks_create },
    { "GET", "/v1/webhooks", HW_DOOR_API, HW_SCOPE_WEBHOOKS_MANAGE,
      "account status subject limit cursor", 0, hw_webhooks_list },
    { "GET", "/v1/webhooks/:id", HW_DOOR_API, HW_SCOPE_WEBHOOKS_MANAGE, "", 0, hw_webhooks_get },
    { "DELETE", "/v1/webhooks/:id", HW_DOOR_API, HW_SCOPE_WEBHOOKS_MANAGE, "", 0,
      hw_webhooks_delete },
    { "GET", "/v1/deliveries", HW_DOOR_API, HW_SCOPE_DELIVERIES_READ,
      "account webhook_id event_id subject status since until limit cursor", 0,
      hw_deliveries_list },
    { "GET", "/v1/deliveries/:id", HW_DOOR_API, HW_SCOPE_DELIVERIES_READ, "", 0,
      hw_deliveries_get },
    /* clang-format on */
};
const size_t hw_n_routes = sizeof hw_routes / sizeof hw_routes[0];

_Static_assert(sizeof hw_routes / sizeof hw_routes[0] < HW_COUNTED_NO_ROUTE,
               "each route has a row of the counts");

/* Segment by segment; what stands for a ":name" goes to `values`. */
static bool fits(const char *pattern, const struct hw_target *target,
                 const char *values[HW_ROUTE_VALUES_MAX])
{
    size_t n_values = 0;
    const char *at = pattern;

    for (size_t i = 0; i < target->n_segments; i++) {
        const char *segment = target->segments[i];
        size_t len;

        if (*at++ != '/')
            return false;
        len = strcspn(at, "/");
        if (at[0] == ':' && segment[0] != '\0' && n_values < HW_ROUTE_VALUES_MAX)
            values[n_values++] = segment;
        else if (!hw_slice_eq(hw_slice(at, len), hw_slice_str(segment)))
            return false;
        at += len;
    }
    return *at == '\0';
}

static void allow(struct hw_match *m, const char *method)
{
    size_t used = strlen(m->allow);

    snprintf(m->allow + used, sizeof m->allow - used, "%s%s%s", used ? ", " : "", method,
             strcmp(method, "GET") == 0 ? ", HEAD" : "");
}

void hw_routes_match(struct hw_match *m, const char *method, const struct hw_target *target,
                     enum hw_door door)
{
    const char *wanted = strcmp(method, "HEAD") == 0 ? "GET" : method;

    *m = (struct hw_match){ 0 };
    for (size_t i = 0; i < hw_n_routes; i++) {
        const struct hw_route *route = &hw_routes[i];
        const char *values[HW_ROUTE_VALUES_MAX] = { NULL };

        if ((route->door & door) == 0 || !fits(route->pattern, target, values))
            continue;
        m->path_is_known = true;
        allow(m, route->method);
        if (strcmp(route->method, wanted) == 0) {
            m->route = route;
            memcpy(m->values, values, sizeof values);
        }
    }
    if (m->path_is_known)
        allow(m, "OPTIONS");
}
