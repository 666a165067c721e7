#include "store/feed.h"

#include "hookwheel/alloc.h"
#include "redis/scripts.h"

enum { PARTS = 3 }; /* of the reply: in front of the events, and for each of them */

void hw_feed_read_init(struct hw_feed_read *r)
{
    *r = (struct hw_feed_read){ 0 };
    hw_command_init(&r->command);
}

void hw_feed_read_close(struct hw_feed_read *r)
{
    hw_command_close(&r->command);
    hw_free(r->events);
    r->events = NULL;
    r->cap_events = 0;
}

static bool has_room(struct hw_feed_read *r, size_t n_events)
{
    struct hw_feed_event *events;

    if (n_events <= r->cap_events)
        return true;
    events = hw_realloc(r->events, n_events * sizeof *events);
    if (events == NULL)
        return false;
    r->events = events;
    r->cap_events = n_events;
    return true;
}

/* parts: id, record, bytes of the whole record */
static bool read_event(struct hw_feed_event *e, const struct hw_reply *parts)
{
    e->record = parts[1].text;
    e->record_bytes = (size_t)hw_reply_int(&parts[2], 0);
    return hw_stream_id_parse(&e->id, parts[0].text);
}

static bool read_page(struct hw_feed_read *r, const struct hw_reply *reply,
                      struct hw_feed_page *page)
{
    size_t n_events = reply->n_items / PARTS - 1;

    if (!has_room(r, n_events) ||
        !hw_stream_id_parse(&page->reached, hw_reply_item(reply, 2)->text))
        return false;
    for (size_t i = 0; i < n_events; i++)
        if (!read_event(&r->events[i], &reply->items[PARTS * (i + 1)]))
            return false;
    page->events = r->events;
    page->n_events = n_events;
    page->has_more = hw_reply_int(hw_reply_item(reply, 1), 0) == 1;
    return true;
}

static enum hw_feed_result read_reply(struct hw_feed_read *r, const struct hw_reply *reply,
                                      struct hw_feed_page *page)
{
    if (hw_slice_is(hw_reply_item(reply, 0)->text, "EXPIRED"))
        return hw_stream_id_parse(&page->oldest, hw_reply_item(reply, 1)->text)
                   ? HW_FEED_EXPIRED
                   : HW_FEED_UNAVAILABLE;
    if (reply->n_items < PARTS || !read_page(r, reply, page))
        return HW_FEED_UNAVAILABLE;
    return HW_FEED_OK;
}

static void on_read(struct hw_redis_req *req, enum hw_redis_trouble what,
                    const struct hw_reply *reply, const struct hw_cause *cause)
{
    struct hw_feed_read *r = HW_CONTAINER_OF(req, struct hw_feed_read, req);
    struct hw_feed_page page = { .events = NULL };

    (void)cause;
    r->cb(r, what == HW_REDIS_FINE ? read_reply(r, reply, &page) : HW_FEED_UNAVAILABLE, &page);
}

enum hw_status hw_feed_read(struct hw_store *store, struct hw_feed_read *r,
                            struct hw_slice account, struct hw_feed_from from, size_t limit,
                            size_t max_bytes, bool heads_only, hw_feed_cb cb)
{
    struct hw_command *c = &r->command;
    char place[48] = "";

    if (!from.is_start)
        hw_stream_id_text(from.after, place);
    r->cb = cb;
    r->heads_only = heads_only;
    hw_store_eval(store, c, &hw_script_feed, NULL, NULL);
    hw_command_add(c, account);
    hw_command_str(c, place);
    hw_command_u64(c, limit < HW_FEED_READ_MAX ? limit : HW_FEED_READ_MAX);
    hw_command_u64(c, max_bytes);
    hw_command_str(c, heads_only ? "1" : "0");
    return hw_redis_send(store->work, &r->req, c, on_read);
}
