#include "flow/errand.h"

#include "hookwheel/alloc.h"

enum { PLACEHOLDER_MAX = 1024 };

struct hw_errand *hw_errand_new(struct hw_keeper *k)
{
    struct hw_errand *e = hw_calloc(1, sizeof *e);

    if (e == NULL)
        return NULL;
    e->keeper = k;
    hw_take_init(&e->take);
    hw_list_push_back(&k->errands, &e->link);
    return e;
}

void hw_errand_end(struct hw_errand *e)
{
    hw_list_unlink(&e->link);
    hw_take_close(&e->take);
    hw_free(e->unknown);
    hw_free(e);
}

/* Of one that was parked the state tells; the record in a key of its own is alone. */
static struct hw_slice traceparent_of(const struct hw_taken *item)
{
    struct hw_history h;

    if (item->state.len > 0 && hw_history_unpack(&h, item->state) && h.traceparent.len > 0)
        return h.traceparent;
    return item->traceparent;
}

static bool load_from(struct hw_courier_load *load, const struct hw_taken *item)
{
    bool is_new = item->attempts == 0 && item->state.len == 0;

    load->event = hw_event_new(item->record, traceparent_of(item));
    if (load->event == NULL)
        return false;
    load->event->cursor = item->cursor;
    load->w = item->w;
    load->n = item->n;
    load->stamp_us = item->stamp_us;
    load->attempts = item->attempts;
    load->crashes = item->crashes;
    load->has_body = item->has_body;
    load->state = item->state;
    load->due_ms = item->due_ms;
    /* A first attempt out of Redis: when it was accepted stands for when it was enqueued. */
    load->event->enqueued_ms = is_new ? (hw_unix_ms)(item->stamp_us / 1000) : 0;
    return true;
}

static void take_in_load(struct hw_keeper *k, const struct hw_taken *item,
                         enum hw_failure write_off, bool is_placeholder)
{
    struct hw_courier_load load = { 0 };
    struct hw_now now = hw_now_of(k->loop);
    enum hw_status status;

    if (!load_from(&load, item)) {
        k->must_compare = true;
        return;
    }
    load.event->is_placeholder = is_placeholder;
    status = write_off == HW_FAILURE_NONE
                 ? hw_courier_take(k->courier, &load, now)
                 : hw_courier_write_off(k->courier, &load, write_off, now);
    hw_event_release(load.event);
    if (status != HW_OK)
        k->must_compare = true;
}

/* A record that says what is still known, for a delivery whose body is kept nowhere any more. */
static enum hw_status write_placeholder(struct hw_buf *out, const struct hw_taken *item)
{
    struct hw_history h;
    bool is_known = item->state.len > 0 && hw_history_unpack(&h, item->state);
    char when[HW_TIMESTAMP_MAX];

    hw_timestamp_text((hw_unix_ms)(item->stamp_us / 1000), when);
    return hw_buf_appendf(out,
                          "{\"id\":\"%.*s\",\"type\":\"%.*s\",\"timestamp\":\"%s\","
                          "\"account\":\"%.*s\",\"level\":\"user\",\"data\":null}",
                          HW_SLICE_FMT(is_known ? h.event_id : HW_SLICE("unknown")),
                          HW_SLICE_FMT(is_known ? h.event_type : HW_SLICE("unknown")), when,
                          HW_SLICE_FMT(item->account));
}

/* Nothing can be sent without a body: a visible dead letter, which cannot be redelivered. */
static void bury(struct hw_keeper *k, const struct hw_taken *item)
{
    struct hw_taken known = *item;
    struct hw_buf record;

    hw_buf_init(&record, PLACEHOLDER_MAX);
    if (write_placeholder(&record, item) == HW_OK) {
        known.record = hw_buf_slice(&record);
        take_in_load(k, &known, HW_FAILURE_POISON, true);
    } else {
        k->must_compare = true;
    }
    hw_buf_close(&record);
}

static void take_in(struct hw_keeper *k, const struct hw_taken *item,
                    enum hw_failure write_off)
{
    if (item->record.len == 0)
        bury(k, item);
    else
        take_in_load(k, item, write_off, false);
}

void hw_errand_take_in(struct hw_keeper *k, const struct hw_taken *items, size_t n_items,
                       enum hw_failure write_off)
{
    for (size_t i = 0; i < n_items; i++)
        take_in(k, &items[i], write_off);
}

bool hw_errand_may_ask(const struct hw_keeper *k)
{
    return k->is_active && !k->is_comparing;
}
