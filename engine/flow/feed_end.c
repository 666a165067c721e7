#include "flow/feed_end.h"

bool hw_feed_end_has(const struct hw_feed_end *t, struct hw_stream_id place)
{
    return t->is_known && hw_stream_id_cmp(t->near, place) <= 0 &&
           hw_stream_id_cmp(place, t->end) <= 0;
}

static void tail_begin(struct hw_feed_end *t, struct hw_stream_id end)
{
    *t = (struct hw_feed_end){ .is_known = true, .near = end, .middle = end, .end = end };
}

void hw_feed_end_move(struct hw_feed_end *t, struct hw_stream_id from, const struct hw_feed_page *page)
{
    if (!t->is_known || hw_stream_id_cmp(t->end, from) < 0)
        tail_begin(t, from); /* what lies between is unknown, and may be much */
    for (size_t i = page->n_events; i > 0; i--) {
        const struct hw_feed_event *e = &page->events[i - 1];
        if (hw_stream_id_cmp(e->id, t->end) <= 0)
            break;
        t->n_events++;
        t->n_bytes += e->record.len;
    }
    t->end = page->reached;
    if (t->n_events < HW_FEED_END_EVENTS && t->n_bytes < HW_FEED_END_BYTES)
        return;
    t->near = t->middle;
    t->middle = t->end;
    t->n_events = t->n_bytes = 0;
}
