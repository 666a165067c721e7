/*
 *   connected -> SUBSCRIBE -> listening: on_gap; PING every PING_MS, so that silence is judged
 *             -> refused: on_gap, and SUBSCRIBE again, every GAP_MS
 *   lost      -> on_gap every GAP_MS while the work connection is there
 */
#include "store/notices.h"

#include "hookwheel/alloc.h"

enum { PING_MS = 3000, GAP_MS = 2000, REPLY_TIMEOUT_MS = 10000 };

struct hw_notices {
    struct hw_notices_options options;
    struct hw_store *store; /* borrowed */
    struct hw_redis *redis; /* owned */
    struct hw_redis_req req;
    struct hw_command command;
    bool is_asking; /* req is under way */
    bool is_listening;
    struct hw_wheel_entry timer; /* the next PING, or the next gap */
    void (*closed_cb)(void *data);
    void *closed_data;
};

static void arm(struct hw_notices *n)
{
    hw_loop_arm(n->store->loop, &n->timer, n->is_listening ? PING_MS : GAP_MS);
}

/* ---- listening ---- */

static void on_subscribed(struct hw_redis_req *req, enum hw_redis_trouble what,
                          const struct hw_reply *reply, const struct hw_cause *cause)
{
    struct hw_notices *n = HW_CONTAINER_OF(req, struct hw_notices, req);

    (void)reply;
    (void)cause;
    n->is_asking = false;
    if (what == HW_REDIS_GONE)
        return; /* on_down is next */
    n->is_listening = what == HW_REDIS_FINE;
    arm(n);
    n->options.on_gap(n->options.data);
}

static void on_pong(struct hw_redis_req *req, enum hw_redis_trouble what,
                    const struct hw_reply *reply, const struct hw_cause *cause)
{
    struct hw_notices *n = HW_CONTAINER_OF(req, struct hw_notices, req);

    (void)what;
    (void)reply;
    (void)cause;
    n->is_asking = false;
}

static void ask(struct hw_notices *n, hw_redis_cb cb)
{
    n->is_asking = hw_redis_send(n->redis, &n->req, &n->command, cb) == HW_OK;
}

static void subscribe(struct hw_notices *n)
{
    hw_command_reset(&n->command);
    hw_command_str(&n->command, "SUBSCRIBE");
    hw_command_fmt(&n->command, "%sfeed", n->store->keys.tag);
    ask(n, on_subscribed);
}

static void ping(struct hw_notices *n)
{
    hw_command_reset(&n->command);
    hw_command_str(&n->command, "PING");
    ask(n, on_pong);
}

static void on_timer(struct hw_wheel_entry *e)
{
    struct hw_notices *n = HW_CONTAINER_OF(e, struct hw_notices, timer);

    arm(n);
    if (n->is_asking)
        return;
    if (n->is_listening)
        ping(n);
    else if (hw_redis_is_up(n->redis))
        subscribe(n);
    else if (hw_redis_is_up(n->store->work))
        n->options.on_gap(n->options.data);
}

/* ---- what is heard ---- */

/* "<instance> <account> <account> ..." */
static void on_message(void *data, struct hw_slice channel, struct hw_slice text)
{
    struct hw_notices *n = data;
    size_t space = hw_slice_find(text, ' ');
    bool is_ours = hw_slice_is(hw_slice(text.data, space), n->store->instance);

    (void)channel;
    while (!is_ours && space < text.len) {
        text = hw_slice_from(text, space + 1);
        space = hw_slice_find(text, ' ');
        if (space > 0)
            n->options.on_added(n->options.data, hw_slice(text.data, space));
    }
}

static void on_up(void *data)
{
    subscribe(data);
}

static void on_down(void *data, const struct hw_cause *cause)
{
    struct hw_notices *n = data;

    (void)cause;
    n->is_listening = false;
}

static const struct hw_redis_events notices_events = { .on_up = on_up,
                                                       .on_down = on_down,
                                                       .on_message = on_message };

/* ---- life ---- */

enum hw_status hw_notices_open(struct hw_notices **out,
                               const struct hw_notices_options *options,
                               struct hw_cause *cause)
{
    struct hw_notices *n = hw_calloc(1, sizeof *n);
    struct hw_redis_options redis = { .target = options->target,
                                      .trust = options->trust,
                                      .metrics = options->store->metrics,
                                      .name = "hookwheel-feed",
                                      .reply_timeout_ms = REPLY_TIMEOUT_MS,
                                      .events = &notices_events,
                                      .data = n };
    enum hw_status status;

    if (n == NULL)
        return hw_cause_set(cause, HW_ENOMEM, HW_ORIGIN_US, 0, "listen to feeds: no memory");
    n->options = *options;
    n->store = options->store;
    hw_command_init(&n->command);
    hw_wheel_entry_init(&n->timer, on_timer);
    status = hw_redis_open(&n->redis, n->store->loop, &redis, cause);
    if (status != HW_OK) {
        hw_free(n);
        return status;
    }
    arm(n);
    *out = n;
    return HW_OK;
}

static void on_redis_closed(void *data)
{
    struct hw_notices *n = data;
    void (*cb)(void *) = n->closed_cb;
    void *cb_data = n->closed_data;

    hw_command_close(&n->command);
    hw_free(n);
    cb(cb_data);
}

void hw_notices_close(struct hw_notices *n, void (*cb)(void *data), void *data)
{
    n->closed_cb = cb;
    n->closed_data = data;
    hw_loop_cancel(n->store->loop, &n->timer);
    hw_redis_close(n->redis, on_redis_closed, n);
}
