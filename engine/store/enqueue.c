#include "store/enqueue.h"

#include "redis/scripts.h"

#define KEPT_MS 86400000 /* an answer under a once key */

void hw_enqueue_init(struct hw_enqueue *e)
{
    *e = (struct hw_enqueue){ 0 };
    hw_command_init(&e->command);
}

void hw_enqueue_close(struct hw_enqueue *e)
{
    hw_command_close(&e->command);
}

/* --- events ------------------------------------------------------------------------ */

enum { FIELDS = 8 };

struct field {
    const char *name;
    struct hw_slice value;
};

static void add_event(struct hw_command *c, const struct hw_enqueue_event *event)
{
    const struct field fields[FIELDS] = {
        { "type", event->type },
        { "payload", event->payload },
        { "account", event->account },
        { "subject", event->subject },
        { "id", event->id },
        { "level", event->level },
        { "timestamp", event->timestamp },
        { "traceparent", event->traceparent },
    };
    unsigned n = 0;

    for (int i = 0; i < FIELDS; i++)
        n += fields[i].value.len > 0;
    hw_command_add(c, event->id);
    hw_command_u64(c, 2 * n);
    for (int i = 0; i < FIELDS; i++) {
        if (fields[i].value.len == 0)
            continue;
        hw_command_str(c, fields[i].name);
        hw_command_add(c, fields[i].value);
    }
}

/* reply: {'ONCE' or 'DONE', text} */
static void on_enqueued(struct hw_redis_req *req, enum hw_redis_trouble trouble,
                        const struct hw_reply *reply, const struct hw_cause *cause)
{
    struct hw_enqueue *e = HW_CONTAINER_OF(req, struct hw_enqueue, req);
    struct hw_slice text = { 0 };
    bool is_kept = false;

    (void)cause;
    if (trouble == HW_REDIS_FINE) {
        is_kept = hw_slice_is(hw_reply_item(reply, 0)->text, "ONCE");
        text = hw_reply_item(reply, 1)->text;
    }
    e->cb(e, trouble, is_kept, text);
}

enum hw_status hw_enqueue_events(struct hw_store *store, struct hw_enqueue *e,
                                 const struct hw_enqueue_event *events, size_t n_events,
                                 struct hw_slice once_key, struct hw_slice once_prefix,
                                 hw_enqueue_cb cb)
{
    e->cb = cb;
    hw_store_eval(store, &e->command, &hw_script_enqueue, store->keys.events, NULL);
    hw_command_add(&e->command, once_key);
    hw_command_add(&e->command, once_prefix);
    hw_command_u64(&e->command, KEPT_MS);
    for (size_t i = 0; i < n_events; i++)
        add_event(&e->command, &events[i]);
    return hw_redis_send(store->work, &e->req, &e->command, on_enqueued);
}

/* --- what is kept ------------------------------------------------------------------ */

static void on_recalled(struct hw_redis_req *req, enum hw_redis_trouble trouble,
                        const struct hw_reply *reply, const struct hw_cause *cause)
{
    struct hw_enqueue *e = HW_CONTAINER_OF(req, struct hw_enqueue, req);
    bool is_kept = trouble == HW_REDIS_FINE && reply->kind == HW_REPLY_TEXT;

    (void)cause;
    e->cb(e, trouble, is_kept, is_kept ? reply->text : hw_slice(NULL, 0));
}

enum hw_status hw_enqueue_recall(struct hw_store *store, struct hw_enqueue *e,
                                 struct hw_slice once_key, hw_enqueue_cb cb)
{
    e->cb = cb;
    hw_command_reset(&e->command);
    hw_command_str(&e->command, "GET");
    hw_command_fmt(&e->command, "%sonce:%.*s", store->keys.tag, HW_SLICE_FMT(once_key));
    return hw_redis_send(store->work, &e->req, &e->command, on_recalled);
}
