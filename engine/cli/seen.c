#include "cli/seen.h"

#include "base/list.h"
#include "hookwheel/alloc.h"

void hw_seen_init(struct hw_seen *t)
{
    *t = (struct hw_seen){ 0 };
    hw_map_init(&t->events);
    hw_samples_init(&t->latencies_ms);
}

void hw_seen_close(struct hw_seen *t)
{
    struct hw_map_entry *entry = hw_map_next(&t->events, NULL);

    while (entry != NULL) {
        struct hw_map_entry *next = hw_map_next(&t->events, entry);

        hw_map_remove(&t->events, entry);
        hw_free(HW_CONTAINER_OF(entry, struct hw_seen_event, entry));
        entry = next;
    }
    hw_map_close(&t->events);
    hw_samples_close(&t->latencies_ms);
}

static struct hw_seen_event *event_new(struct hw_seen *t, struct hw_slice id)
{
    struct hw_seen_event *event = hw_malloc(sizeof *event + id.len);
    char *key;

    if (event == NULL)
        return NULL;
    *event = (struct hw_seen_event){ 0 };
    key = (char *)(event + 1);
    if (id.len > 0)
        memcpy(key, id.data, id.len);
    if (hw_map_add(&t->events, &event->entry, hw_slice(key, id.len)) != HW_OK) {
        hw_free(event);
        return NULL;
    }
    return event;
}

struct hw_seen_event *hw_seen_try(struct hw_seen *t, struct hw_slice id)
{
    struct hw_map_entry *entry = hw_map_find(&t->events, id);
    struct hw_seen_event *event =
        entry ? HW_CONTAINER_OF(entry, struct hw_seen_event, entry) : event_new(t, id);

    t->n_requests++;
    if (event != NULL)
        event->tries++;
    return event;
}

void hw_seen_take(struct hw_seen *t, struct hw_seen_event *event)
{
    if (event->is_taken) {
        t->n_duplicates++;
        return;
    }
    event->is_taken = true;
    t->n_taken++;
}

void hw_seen_latency(struct hw_seen *t, uint32_t latency_ms)
{
    hw_samples_add(&t->latencies_ms, latency_ms);
}

/* The first that has so large a share of them before it. */
uint32_t hw_seen_percentile(struct hw_seen *t, double fraction)
{
    size_t n = t->latencies_ms.n, n_below = (size_t)(fraction * (double)n);

    if (n == 0)
        return 0;
    return hw_samples_rank(&t->latencies_ms, n_below < n ? n_below + 1 : n);
}
