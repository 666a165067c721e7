/*
 * open: every address is bound before anything starts, so that a port in use leaves nothing.
 *
 * close: listeners first; then sessions at rest; those with a request under way after their
 * answer, or when patience ends; those that wait for events are answered at once, streams end.
 * The last hold to go frees all of it.
 */
#include "api/api.h"

#include "api/session.h"
#include "api/shared.h"
#include "hookwheel/alloc.h"

enum { N_LISTENERS = 2 };

static unsigned or_else(unsigned value, unsigned otherwise)
{
    return value != 0 ? value : otherwise;
}

static void set_defaults(struct hw_api_options *o)
{
    o->max_connections = or_else(o->max_connections, 4096);
    o->max_webhooks = or_else(o->max_webhooks, 10);
    o->max_in_flight_total = or_else(o->max_in_flight_total, 10000);
    o->max_in_flight = or_else(o->max_in_flight, 64);
    o->request_timeout_ms = or_else(o->request_timeout_ms, 30000);
    o->idle_timeout_ms = or_else(o->idle_timeout_ms, 75000);
    o->drain_ms = or_else(o->drain_ms, 5000);
    o->heartbeat_ms = or_else(o->heartbeat_ms, 15000);
    if (o->max_payload_bytes == 0)
        o->max_payload_bytes = 256 * 1024;
}

static void on_drain_end(struct hw_wheel_entry *e)
{
    hw_sessions_close(HW_CONTAINER_OF(e, struct hw_api, drain));
}

static struct hw_api *api_new(struct hw_loop *loop, const struct hw_api_options *options)
{
    struct hw_api *api = hw_calloc(1, sizeof *api);

    if (api == NULL)
        return NULL;
    api->loop = loop;
    api->options = *options;
    set_defaults(&api->options);
    hw_list_init(&api->resting);
    hw_list_init(&api->busy);
    hw_list_init(&api->waiting);
    hw_list_init(&api->once_keys);
    hw_wheel_entry_init(&api->drain, on_drain_end);
    hw_closing_init(&api->closing);
    hw_closing_hold(&api->closing);
    return api;
}

static enum hw_status bind_all(struct hw_api *api, struct hw_cause *cause)
{
    const struct hw_api_options *o = &api->options;
    enum hw_status status = HW_OK;

    if (o->listen == NULL && o->ops_listen == NULL)
        return hw_cause_set(cause, HW_EINVAL, HW_ORIGIN_US, 0, "no address to listen on");
    if (o->listen != NULL)
        status = hw_listener_bind(&api->listeners[0], api, o->listen,
                                  o->ops_listen ? HW_DOOR_API : HW_DOOR_BOTH, cause);
    if (status == HW_OK && o->ops_listen != NULL)
        status = hw_listener_bind(&api->listeners[1], api, o->ops_listen, HW_DOOR_OPS, cause);
    return status;
}

static void close_listeners(struct hw_api *api)
{
    for (int i = 0; i < N_LISTENERS; i++)
        hw_listener_close(&api->listeners[i]);
}

static void on_closed(struct hw_closing *closing)
{
    struct hw_api *api = HW_CONTAINER_OF(closing, struct hw_api, closing);
    hw_api_closed_cb cb = api->closed_cb;
    void *data = api->closed_data;

    hw_loop_cancel(api->loop, &api->drain);
    hw_free(api);
    if (cb != NULL)
        cb(data);
}

enum hw_status hw_api_open(struct hw_api **out, struct hw_loop *loop,
                           const struct hw_api_options *options, struct hw_cause *cause)
{
    struct hw_api *api = api_new(loop, options);
    enum hw_status status;

    if (api == NULL)
        return hw_cause_set(cause, HW_ENOMEM, HW_ORIGIN_US, 0, "the API: out of memory");
    status = hw_tokens_init(&api->tokens, options->root_token_hash, cause);
    if (status == HW_OK)
        status = bind_all(api, cause);
    if (status != HW_OK) {
        close_listeners(api);
        hw_free(api);
        return status;
    }
    for (int i = 0; i < N_LISTENERS && status == HW_OK; i++)
        if (api->listeners[i].api != NULL)
            status = hw_listener_start(&api->listeners[i], cause);
    if (status != HW_OK) {
        hw_api_close(api, NULL, NULL); /* what has started ends with the loop's next turn */
        return status;
    }
    *out = api;
    return HW_OK;
}

void hw_api_close(struct hw_api *api, hw_api_closed_cb cb, void *data)
{
    api->is_closing = true;
    api->closed_cb = cb;
    api->closed_data = data;
    close_listeners(api);
    hw_sessions_drain(api);
    hw_loop_arm(api->loop, &api->drain, api->options.drain_ms);
    hw_closing_begin(&api->closing, on_closed);
    hw_closing_release(&api->closing); /* not the last: a listener's handle is closing */
}

unsigned hw_api_port(const struct hw_api *api)
{
    return api->listeners[0].port;
}

unsigned hw_api_ops_port(const struct hw_api *api)
{
    return api->listeners[1].port;
}
