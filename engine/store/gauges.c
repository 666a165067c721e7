#include "store/gauges.h"

#include "hookwheel/alloc.h"
#include "redis/scripts.h"

enum {
    FRESH_MS = 1000,
    PATIENCE_MS = 1000 /* with Redis; behind it what was last known is the answer */
};

struct asker {
    struct hw_list link;
    hw_gauges_cb cb;
    void *data;
};

struct hw_gauge_reader {
    struct hw_store *store;
    struct hw_gauges gauges;
    hw_mono_ms read_at; /* 0: never */
    bool is_busy;
    struct hw_redis_req req;
    struct hw_command command;
    struct hw_list askers;
    struct hw_wheel_entry later; /* answers those whose answer is there, or will not come */
};

static void answer_all(struct hw_gauge_reader *g)
{
    struct hw_list askers, *link;
    struct hw_gauges gauges = g->gauges;

    hw_list_init(&askers);
    hw_list_splice(&askers, &g->askers);
    while ((link = hw_list_pop(&askers)) != NULL) {
        struct asker a = *HW_CONTAINER_OF(link, struct asker, link);
        hw_free(HW_CONTAINER_OF(link, struct asker, link));
        a.cb(a.data, &gauges);
    }
}

/* reply: stream length, pending, waiting, oldest stamp (us), retries, memory */
static void read_reply(struct hw_gauge_reader *g, const struct hw_reply *reply)
{
    int64_t length = hw_reply_int(hw_reply_item(reply, 0), 0);
    int64_t pending = hw_reply_int(hw_reply_item(reply, 1), 0);
    int64_t stamp_us = hw_reply_int(hw_reply_item(reply, 3), 0);
    int64_t now_us = hw_loop_unix(g->store->loop) * 1000;

    /* Everything accepted leaves the stream, so what is in it was not read or is pending. */
    g->gauges.stream_lag = length > pending ? (uint64_t)(length - pending) : 0;
    g->gauges.stream_pending = (uint64_t)pending;
    g->gauges.waiting = (uint64_t)hw_reply_int(hw_reply_item(reply, 2), 0);
    g->gauges.oldest_waiting_s =
        stamp_us > 0 && now_us > stamp_us ? (double)(now_us - stamp_us) / 1e6 : 0;
    g->gauges.retries_scheduled = (uint64_t)hw_reply_int(hw_reply_item(reply, 4), 0);
    g->gauges.redis_memory_bytes = (uint64_t)hw_reply_int(hw_reply_item(reply, 5), 0);
}

static void on_reading(struct hw_redis_req *req, enum hw_redis_trouble what,
                       const struct hw_reply *reply, const struct hw_cause *cause)
{
    struct hw_gauge_reader *g = HW_CONTAINER_OF(req, struct hw_gauge_reader, req);

    (void)cause;
    g->is_busy = false;
    hw_loop_cancel(g->store->loop, &g->later);
    if (what == HW_REDIS_FINE) {
        read_reply(g, reply);
        g->read_at = hw_loop_now(g->store->loop);
    }
    answer_all(g);
}

static bool is_fresh(const struct hw_gauge_reader *g)
{
    return g->read_at != 0 && hw_loop_now(g->store->loop) < g->read_at + FRESH_MS;
}

/* A reading is under way now; false: Redis is not there. */
static bool begin_reading(struct hw_gauge_reader *g)
{
    struct hw_command *c = &g->command;

    if (g->is_busy)
        return true;
    hw_command_reset(c);
    hw_command_eval(c, &hw_script_gauges, 1);
    hw_command_str(c, g->store->keys.events);
    hw_command_str(c, g->store->keys.tag);
    hw_command_str(c, g->store->keys.group);
    g->is_busy = hw_redis_send(g->store->work, &g->req, c, on_reading) == HW_OK;
    return g->is_busy;
}

static void on_later(struct hw_wheel_entry *e)
{
    answer_all(HW_CONTAINER_OF(e, struct hw_gauge_reader, later));
}

enum hw_status hw_gauge_reader_open(struct hw_gauge_reader **out, struct hw_store *store)
{
    struct hw_gauge_reader *g = hw_calloc(1, sizeof *g);

    if (g == NULL)
        return HW_ENOMEM;
    g->store = store;
    hw_command_init(&g->command);
    hw_list_init(&g->askers);
    hw_wheel_entry_init(&g->later, on_later);
    *out = g;
    return HW_OK;
}

const struct hw_gauges *hw_gauge_reader_borrow(struct hw_gauge_reader *g)
{
    if (!is_fresh(g))
        (void)begin_reading(g);
    return &g->gauges;
}

enum hw_status hw_gauge_reader_ask(struct hw_gauge_reader *g, hw_gauges_cb cb, void *data)
{
    struct asker *a = hw_calloc(1, sizeof *a);

    if (a == NULL)
        return HW_ENOMEM;
    a->cb = cb;
    a->data = data;
    hw_list_push_back(&g->askers, &a->link);
    if (is_fresh(g) || !begin_reading(g))
        hw_loop_arm(g->store->loop, &g->later, 0);
    else if (!hw_wheel_is_armed(&g->later))
        hw_loop_arm(g->store->loop, &g->later, PATIENCE_MS);
    return HW_OK;
}

void hw_gauge_reader_close(struct hw_gauge_reader *g)
{
    if (g == NULL)
        return;
    hw_loop_cancel(g->store->loop, &g->later);
    answer_all(g);
    hw_command_close(&g->command);
    hw_free(g);
}
