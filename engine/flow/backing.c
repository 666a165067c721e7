#include "flow/backing.h"

#include "flow/asks.h"
#include "flow/question.h"

/* ---- gauges, readiness ---- */

/* Age of the oldest in our memory that was not attempted yet; Redis tells of what waits there. */
static double oldest_in_memory_s(struct hw_backing *b)
{
    const struct hw_dispatch *dispatch = &b->courier->dispatch;
    uint64_t now_us = (uint64_t)hw_loop_unix(b->loop) * 1000, oldest_us = now_us;

    for (size_t w = 0; w < dispatch->n_numbers; w++) {
        struct hw_endpoint *e = dispatch->by_number[w];
        struct hw_list *link = e != NULL ? hw_list_first(&e->first) : NULL;
        if (link != NULL &&
            HW_CONTAINER_OF(link, struct hw_delivery, link)->stamp_us < oldest_us)
            oldest_us = HW_CONTAINER_OF(link, struct hw_delivery, link)->stamp_us;
    }
    return (double)(now_us - oldest_us) / 1e6;
}

static void on_gauges(void *data, const struct hw_gauges *gauges)
{
    struct hw_question *q = data;
    struct hw_backing *b = q->backing;
    struct hw_backend_gauges *ask = HW_CONTAINER_OF(q->req, struct hw_backend_gauges, req);
    const struct hw_dispatch *dispatch = &b->courier->dispatch;
    double oldest_s = oldest_in_memory_s(b);

    ask->gauges = *gauges;
    if (oldest_s > ask->gauges.oldest_waiting_s)
        ask->gauges.oldest_waiting_s = oldest_s;
    ask->gauges.in_flight = hw_dispatch_attempts(dispatch);
    ask->gauges.webhooks_active = hw_subscriptions_count(hw_backing_subscriptions(b), HW_WEBHOOK_ACTIVE);
    ask->gauges.webhooks_paused = hw_subscriptions_count(hw_backing_subscriptions(b), HW_WEBHOOK_PAUSED);
    ask->gauges.webhooks_disabled =
        hw_subscriptions_count(hw_backing_subscriptions(b), HW_WEBHOOK_DISABLED);
    ask->gauges.connections_open = b->connections(b->data);
    ask->gauges.redis_connected = hw_redis_is_up(b->store->work);
    ask->gauges.durability = b->durability(b->data);
    hw_question_end(q, HW_BACKEND_OK);
}

static void backing_gauges(void *data, struct hw_backend_gauges *ask)
{
    struct hw_question *q = hw_question_new(data, &ask->req);

    if (q != NULL && hw_gauge_reader_ask(q->backing->gauge_reader, on_gauges, q) != HW_OK)
        hw_question_end_later(q, HW_BACKEND_FAILED);
}

static void backing_readiness(void *data, struct hw_backend_readiness *out)
{
    struct hw_backing *b = data;

    b->readiness(b->data, out);
}

static uint32_t backing_feed_epoch(void *data)
{
    const struct hw_backing *b = data;

    return b->store->feed_epoch;
}

static bool backing_is_out_of_reach(void *data)
{
    const struct hw_backing *b = data;

    return !hw_registry_is_loaded(b->registry) || hw_redis_is_silent(b->store->work);
}

static void on_later(struct hw_wheel_entry *entry)
{
    hw_questions_tell(HW_CONTAINER_OF(entry, struct hw_backing, later));
}

void hw_backing_init(struct hw_backing *b)
{
    b->backend = (struct hw_backend){
        .data = b,
        .create = hw_ask_create,
        .get = hw_ask_get,
        .list = hw_ask_list,
        .remove = hw_ask_remove,
        .update = hw_ask_update,
        .deliveries = hw_ask_deliveries,
        .inspect = hw_ask_inspect,
        .test = hw_ask_test,
        .recover = hw_ask_recover,
        .redeliver = hw_ask_redeliver,
        .events = hw_ask_events,
        .recall = hw_ask_recall,
        .put_type = hw_ask_put_type,
        .drop_type = hw_ask_drop_type,
        .put_token = hw_ask_put_token,
        .drop_token = hw_ask_drop_token,
        .refresh_types = hw_ask_refresh_types,
        .refresh_tokens = hw_ask_refresh_tokens,
        .catalogue = hw_ask_catalogue,
        .tokens = hw_ask_tokens,
        .gauges = backing_gauges,
        .backfill = hw_ask_backfill,
        .updates = hw_ask_updates,
        .hurry = hw_ask_hurry,
        .pull = hw_ask_pull,
        .outstanding = hw_ask_outstanding,
        .ack = hw_ask_ack,
        .consumers = hw_ask_consumers,
        .drop_consumer = hw_ask_drop_consumer,
        .feed_epoch = backing_feed_epoch,
        .is_out_of_reach = backing_is_out_of_reach,
        .readiness = backing_readiness,
    };
    hw_hub_init(&b->hub, b->loop, b->store);
    hw_list_init(&b->known);
    hw_wheel_entry_init(&b->later, on_later);
}

void hw_backing_close(struct hw_backing *b)
{
    hw_hub_close(&b->hub);
    hw_loop_cancel(b->loop, &b->later);
    hw_questions_tell(b);
}
