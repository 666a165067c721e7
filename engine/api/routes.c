#include "api/routes.h"

#include <stdio.h>

#include "api/amend.h"
#include "api/consumers.h"
#include "api/deliveries.h"
#include "api/document.h"
#include "api/events.h"
#include "api/updates.h"
#include "api/follow.h"
#include "api/issue.h"
#include "api/ops.h"
#include "api/repair.h"
#include "api/route_counts.h"
#include "api/types.h"
#include "api/webhooks.h"

#define BODY_MAX        (1024 * 1024)
#define EVENTS_BODY_MAX (8 * 1024 * 1024)

static const struct hw_route_once once_webhooks = { "webhooks", 201 };
static const struct hw_route_once once_events = { "events", 202 };

const struct hw_route hw_routes[] = {
    /* clang-format off */
    /* method, pattern, door, scope, query, body, once, handler */
    { "GET", "/healthz", HW_DOOR_OPS, HW_SCOPE_OPEN, NULL, 0, NULL, hw_ops_health },
    { "GET", "/readyz", HW_DOOR_OPS, HW_SCOPE_OPEN, NULL, 0, NULL, hw_ops_readiness },
    { "GET", "/metrics", HW_DOOR_OPS, HW_SCOPE_OPEN, NULL, 0, NULL, hw_ops_metrics },
    { "GET", "/v1/openapi.yaml", HW_DOOR_API, HW_SCOPE_OPEN, NULL, 0, NULL, hw_document_get },

    { "POST", "/v1/tokens", HW_DOOR_API, HW_SCOPE_ROOT, "", BODY_MAX, NULL, hw_issue_create },
    { "GET", "/v1/tokens", HW_DOOR_API, HW_SCOPE_ROOT, "account limit cursor", 0, NULL,
      hw_issue_list },
    { "DELETE", "/v1/tokens/:id", HW_DOOR_API, HW_SCOPE_ROOT, "", 0, NULL, hw_issue_delete },

    { "GET", "/v1/event-types", HW_DOOR_API, HW_SCOPE_ANY, "", 0, NULL, hw_types_list },
    { "PUT", "/v1/event-types/:name", HW_DOOR_API, HW_SCOPE_ROOT, "", BODY_MAX, NULL,
      hw_types_put },
    { "GET", "/v1/event-types/:name", HW_DOOR_API, HW_SCOPE_ANY, "", 0, NULL, hw_types_get },
    { "DELETE", "/v1/event-types/:name", HW_DOOR_API, HW_SCOPE_ROOT, "", 0, NULL,
      hw_types_delete },

    { "POST", "/v1/webhooks", HW_DOOR_API, HW_SCOPE_WEBHOOKS_MANAGE, "", BODY_MAX,
      &once_webhooks, hw_webhooks_create },
    { "GET", "/v1/webhooks", HW_DOOR_API, HW_SCOPE_WEBHOOKS_MANAGE,
      "account status subject limit cursor", 0, NULL, hw_webhooks_list },
    { "GET", "/v1/webhooks/:id", HW_DOOR_API, HW_SCOPE_WEBHOOKS_MANAGE, "", 0, NULL,
      hw_webhooks_get },
    { "PATCH", "/v1/webhooks/:id", HW_DOOR_API, HW_SCOPE_WEBHOOKS_MANAGE, "", BODY_MAX, NULL,
      hw_amend_patch },
    { "DELETE", "/v1/webhooks/:id", HW_DOOR_API, HW_SCOPE_WEBHOOKS_MANAGE, "", 0, NULL,
      hw_webhooks_delete },
    { "POST", "/v1/webhooks/:id/rotate-secret", HW_DOOR_API, HW_SCOPE_WEBHOOKS_MANAGE, "",
      BODY_MAX, NULL, hw_amend_rotate },
    { "POST", "/v1/webhooks/:id/test", HW_DOOR_API, HW_SCOPE_WEBHOOKS_MANAGE, "", 0, NULL,
      hw_repair_test },
    { "POST", "/v1/webhooks/:id/recover", HW_DOOR_API, HW_SCOPE_DELIVERIES_WRITE, "", BODY_MAX,
      NULL, hw_repair_recover },
    { "POST", "/v1/webhooks/:id/backfill", HW_DOOR_API, HW_SCOPE_WEBHOOKS_MANAGE, "", BODY_MAX,
      NULL, hw_repair_backfill },

    { "GET", "/v1/deliveries", HW_DOOR_API, HW_SCOPE_DELIVERIES_READ,
      "account webhook_id event_id subject status since until limit cursor", 0, NULL,
      hw_deliveries_list },
    { "GET", "/v1/deliveries/:id", HW_DOOR_API, HW_SCOPE_DELIVERIES_READ, "", 0, NULL,
      hw_deliveries_get },
    { "POST", "/v1/deliveries/:id/redeliver", HW_DOOR_API, HW_SCOPE_DELIVERIES_WRITE, "", 0,
      NULL, hw_repair_redeliver },

    { "POST", "/v1/events", HW_DOOR_API, HW_SCOPE_EVENTS_WRITE, "", EVENTS_BODY_MAX, &once_events,
      hw_events_create },

    { "GET", "/v1/consumers", HW_DOOR_API, HW_SCOPE_ANY, "account", 0, NULL, hw_consumers_list },
    { "DELETE", "/v1/consumers/:name", HW_DOOR_API, HW_SCOPE_ANY, "account", 0, NULL,
      hw_consumers_delete },
    { "GET", "/v1/consumers/:name/events", HW_DOOR_API, HW_SCOPE_ANY,
      "limit visibility_seconds from account", 0, NULL, hw_consumers_pull },
    { "GET", "/v1/consumers/:name/pending", HW_DOOR_API, HW_SCOPE_ANY, "limit cursor account", 0,
      NULL, hw_consumers_pending },
    { "POST", "/v1/consumers/:name/ack", HW_DOOR_API, HW_SCOPE_ANY, "account", BODY_MAX, NULL,
      hw_consumers_ack },
    { "GET", "/v1/updates", HW_DOOR_API, HW_SCOPE_ANY,
      "account cursor limit types subject wait", 0, NULL, hw_updates_list },
    { "GET", "/v1/updates/stream", HW_DOOR_API, HW_SCOPE_ANY, "account cursor types subject", 0,
      NULL, hw_follow_feed },
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
