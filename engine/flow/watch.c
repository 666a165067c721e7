/*
 * read     from the smallest place of all who wait
 * serve    each gets what lies behind its own place and passes its filter.  Nothing: it stays,
 *          and is at the end of the feed now, where all who wait are.  After a page that was cut
 *          short (a thousand events, 2 MiB) the next read follows at once
 * rest     until it is wanted again; hub.c wants it anyway after some seconds
 */
#include "flow/watch.h"

#include "flow/hub.h"
#include "hookwheel/alloc.h"

/* An event of the page being served. */
struct hw_watch_look {
    struct hw_record record;
    bool is_readable;
};

static bool is_before(struct hw_stream_id a, struct hw_stream_id b)
{
    return hw_stream_id_cmp(a, b) < 0;
}

bool hw_watch_has_waiters(const struct hw_watch *watch)
{
    return !hw_list_is_empty(&watch->waiting) || !hw_list_is_empty(&watch->looking) ||
           !hw_list_is_empty(&watch->coming);
}

static void rest(struct hw_watch *watch)
{
    struct hw_hub *h = watch->hub;

    watch->state = HW_WATCH_RESTING;
    watch->rested_at = hw_loop_now(h->loop);
    hw_list_push_back(&h->resting, &watch->link);
    if (!hw_wheel_is_armed(&h->fallback))
        hw_loop_arm(h->loop, &h->fallback, HW_HUB_REST_MS);
}

void hw_watch_want(struct hw_watch *watch)
{
    struct hw_hub *h = watch->hub;

    watch->is_dirty = watch->state == HW_WATCH_READING;
    if (watch->state != HW_WATCH_RESTING)
        return;
    watch->state = HW_WATCH_DUE;
    hw_list_unlink(&watch->link);
    hw_list_push_back(&h->due, &watch->link);
    hw_turn_hook_ask(h->loop, &h->turn);
}

void hw_watch_join(struct hw_watch *watch, struct hw_waiter *w)
{
    w->watch = watch;
    w->state = HW_WAITER_COMING;
    hw_list_unlink(&w->link);
    hw_list_push_back(&watch->coming, &w->link);
    hw_watch_want(watch);
}

static void tell_all(struct hw_watch *watch, enum hw_backend_result result)
{
    hw_waiters_tell(&watch->waiting, result);
    hw_waiters_tell(&watch->looking, result);
    hw_waiters_tell(&watch->coming, result);
}

void hw_watch_tell(struct hw_watch *watch, enum hw_backend_result result)
{
    tell_all(watch, result);
    watch->tail.is_known = false;
}

/* ---- serve ---- */

/* Take the page's records apart, for all. */
static bool take_apart(struct hw_watch_desk *desk, const struct hw_feed_page *page)
{
    if (page->n_events > desk->cap_looks) {
        struct hw_watch_look *looks = hw_realloc(desk->looks, page->n_events * sizeof *looks);
        if (looks == NULL)
            return false;
        desk->looks = looks;
        desk->cap_looks = page->n_events;
    }
    for (size_t i = 0; i < page->n_events; i++)
        desk->looks[i].is_readable =
            hw_record_read(&desk->looks[i].record, page->events[i].record);
    return true;
}

/* The first event behind that place. */
static size_t first_behind(const struct hw_feed_page *page, struct hw_stream_id place)
{
    size_t low = 0, high = page->n_events;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (is_before(place, page->events[middle].id))
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

/* What of the page is for this one, as its answer. */
static void look(struct hw_waiter *w, const struct hw_feed_page *page)
{
    struct hw_watch_desk *desk = &w->hub->desk;
    struct hw_backend_updates *ask = w->ask;

    hw_waiter_set_nothing(w);
    ask->found = desk->found;
    ask->has_more = page->has_more;
    for (size_t i = first_behind(page, ask->reached); i < page->n_events; i++) {
        const struct hw_feed_event *e = &page->events[i];
        if (desk->looks[i].is_readable && ask->wants(ask, &desk->looks[i].record)) {
            ask->has_more = ask->has_more || ask->n_found == ask->limit;
            if (ask->n_found == ask->limit)
                return;
            desk->found[ask->n_found++] = (struct hw_backend_update_event){ e->id, e->record };
        }
        ask->reached = e->id;
    }
}

/* Look with each of the list; those who get no answer go to `left`.  Callbacks may ask again, who
 * goes to `coming`, and hurry any who are still in a list. */
static void look_all(struct hw_list *list, struct hw_list *left,
                     const struct hw_feed_page *page)
{
    struct hw_list now;
    struct hw_waiter *w;

    hw_list_init(&now);
    hw_list_splice(&now, list);
    while ((w = hw_waiter_first(&now)) != NULL) {
        look(w, page);
        if (w->ask->n_found > 0 || !w->may_wait) {
            hw_waiter_end(w, HW_BACKEND_OK);
            continue;
        }
        w->reached = w->ask->reached;
        w->state = HW_WAITER_COMING;
        hw_list_unlink(&w->link);
        hw_list_push_back(left, &w->link);
    }
}

/* They have seen all there was. */
static void settle(struct hw_watch *watch, struct hw_list *left)
{
    HW_LIST_EACH (link, left) {
        HW_CONTAINER_OF(link, struct hw_waiter, link)->state = HW_WAITER_WAITING;
    }
    hw_list_splice(&watch->waiting, left);
}

static void serve(struct hw_watch *watch, const struct hw_feed_page *page)
{
    struct hw_list left;

    hw_list_init(&left);
    if (!take_apart(&watch->hub->desk, page)) {
        tell_all(watch, HW_BACKEND_FAILED);
        return;
    }
    if (page->n_events > 0)
        look_all(&watch->waiting, &left, page);
    look_all(&watch->looking, &left, page);
    if (page->has_more) {
        hw_list_splice(&watch->coming, &left);
        hw_watch_want(watch);
    } else {
        hw_feed_end_move(&watch->tail, watch->from, page);
        settle(watch, &left);
    }
}

/* The others are read for again. */
static void expire(struct hw_watch *watch, struct hw_stream_id oldest)
{
    struct hw_list *lists[] = { &watch->waiting, &watch->looking };
    /* Not too old: the feed does not reach that far, nor to any place behind it. */
    bool has_none = !is_before(watch->from, oldest);

    for (size_t i = 0; i < 2; i++) {
        HW_LIST_EACH_SAFE (link, lists[i]) {
            struct hw_waiter *w = HW_CONTAINER_OF(link, struct hw_waiter, link);
            if (!has_none && !is_before(hw_waiter_place(w), oldest))
                continue;
            w->ask->oldest = oldest;
            hw_waiter_tell(w, HW_BACKEND_EXPIRED);
        }
    }
    watch->tail.is_known = watch->tail.is_known && !has_none;
    hw_list_splice(&watch->coming, &watch->looking);
    hw_watch_want(watch);
}

static void on_page(struct hw_feed_read *r, enum hw_feed_result result,
                    const struct hw_feed_page *page)
{
    struct hw_watch *watch = HW_CONTAINER_OF(r, struct hw_watch, read);

    watch->hub->n_reading--;
    switch (result) {
    case HW_FEED_OK:
        serve(watch, page);
        break;
    case HW_FEED_EXPIRED:
        expire(watch, page->oldest);
        break;
    case HW_FEED_UNAVAILABLE:
        tell_all(watch, HW_BACKEND_UNAVAILABLE);
        break;
    }
    rest(watch);
    if (watch->is_dirty)
        hw_watch_want(watch);
    hw_turn_hook_ask(watch->hub->loop, &watch->hub->turn);
}

/* Of all who wait. */
static struct hw_stream_id smallest_place(const struct hw_watch *watch)
{
    struct hw_stream_id smallest = watch->tail.end;

    if (hw_list_is_empty(&watch->waiting))
        smallest = hw_waiter_first(&watch->coming)->reached;
    HW_LIST_EACH (link, &watch->coming) {
        const struct hw_waiter *w = HW_CONTAINER_OF(link, struct hw_waiter, link);
        if (is_before(w->reached, smallest))
            smallest = w->reached;
    }
    return smallest;
}

void hw_watch_read(struct hw_watch *watch)
{
    struct hw_hub *h = watch->hub;

    hw_list_unlink(&watch->link);
    if (!hw_watch_has_waiters(watch)) {
        rest(watch);
        return;
    }
    watch->from = smallest_place(watch);
    hw_list_splice(&watch->looking, &watch->coming);
    watch->state = HW_WATCH_READING;
    watch->is_dirty = false;
    h->n_reading++;
    if (hw_feed_read(h->store, &watch->read, watch->entry.key,
                     (struct hw_feed_from){ .after = watch->from }, HW_FEED_READ_MAX,
                     HW_UPDATES_PAGE_BYTES, false, on_page) == HW_OK)
        return;
    h->n_reading--;
    tell_all(watch, HW_BACKEND_UNAVAILABLE);
    rest(watch);
}

/* ---- life ---- */

struct hw_watch *hw_watch_new(struct hw_hub *h, struct hw_slice account)
{
    struct hw_watch *watch = hw_calloc(1, sizeof *watch + account.len + 1);

    if (watch == NULL)
        return NULL;
    memcpy(watch->name, account.data, account.len);
    if (hw_map_add(&h->accounts, &watch->entry, hw_slice(watch->name, account.len)) != HW_OK) {
        hw_free(watch);
        return NULL;
    }
    watch->hub = h;
    hw_list_init(&watch->coming);
    hw_list_init(&watch->looking);
    hw_list_init(&watch->waiting);
    hw_feed_read_init(&watch->read);
    rest(watch);
    return watch;
}

void hw_watch_free(struct hw_watch *watch)
{
    hw_map_remove(&watch->hub->accounts, &watch->entry);
    hw_list_unlink(&watch->link);
    hw_feed_read_close(&watch->read);
    hw_free(watch);
}

void hw_watch_desk_close(struct hw_watch_desk *d)
{
    hw_free(d->looks);
}
