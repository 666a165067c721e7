#include "flow/hub.h"

#include "base/must.h"
#include "hookwheel/alloc.h"

enum {
    READS_MAX = 32, /* of watches, at once */
    PAGERS_MAX = 16 /* at once */
};

/* One who pages on alone. */
struct lone {
    struct hw_waiter *waiter;
    struct hw_pager pager;
};

static struct hw_watch *watch_of(struct hw_map_entry *entry)
{
    return entry != NULL ? HW_CONTAINER_OF(entry, struct hw_watch, entry) : NULL;
}

static struct hw_watch *find_watch(const struct hw_hub *h, struct hw_slice account)
{
    return watch_of(hw_map_find(&h->accounts, account));
}

/* ---- alone ---- */

/* Where others watch the end of that feed; false: it may be far from there. */
static bool join_if_near(struct hw_waiter *w)
{
    struct hw_watch *watch = find_watch(w->hub, hw_slice_str(w->ask->account));

    if (watch == NULL || w->ask->from.is_start || !hw_feed_end_has(&watch->tail, w->reached))
        return false;
    hw_watch_join(watch, w);
    return true;
}

/* It has come to the end, and waits there. */
static void wait_for_more(struct hw_waiter *w)
{
    struct hw_slice account = hw_slice_str(w->ask->account);
    struct hw_watch *watch = find_watch(w->hub, account);

    if (watch == NULL)
        watch = hw_watch_new(w->hub, account);
    w->reached = w->ask->reached;
    if (watch != NULL)
        hw_watch_join(watch, w);
    else
        hw_waiter_end(w, HW_BACKEND_FAILED);
}

static void on_paged(struct hw_pager *p, enum hw_backend_result result)
{
    struct lone *lone = HW_CONTAINER_OF(p, struct lone, pager);
    struct hw_waiter *w = lone->waiter;

    w->hub->n_paging--;
    hw_turn_hook_ask(w->hub->loop, &w->hub->turn);
    if (result == HW_BACKEND_OK && p->is_at_end && p->n_found == 0 && w->may_wait)
        wait_for_more(w);
    else
        hw_waiter_end(w, result);
    hw_pager_close(p); /* only now: the answer was borrowed from it */
    hw_free(lone);
}

static void page_alone(struct hw_waiter *w)
{
    struct hw_hub *h = w->hub;
    struct lone *lone = hw_malloc(sizeof *lone);

    hw_list_unlink(&w->link);
    if (lone == NULL) {
        hw_waiter_tell(w, HW_BACKEND_FAILED);
        return;
    }
    lone->waiter = w;
    if (hw_pager_start(&lone->pager, h->store, w->ask, on_paged) == HW_OK) {
        h->n_paging++;
        return;
    }
    hw_free(lone);
    hw_waiter_tell(w, HW_BACKEND_UNAVAILABLE);
}

/* ---- by turns ---- */

static void fail_those_without_memory(struct hw_hub *h)
{
    struct hw_backend_req *failed = h->failed, *next;

    h->failed = NULL;
    for (; failed != NULL; failed = next) {
        next = failed->state;
        failed->result = HW_BACKEND_FAILED;
        failed->cb(failed);
    }
}

static void on_turn(struct hw_turn_hook *hook)
{
    struct hw_hub *h = HW_CONTAINER_OF(hook, struct hw_hub, turn);
    struct hw_list *link;
    struct hw_waiter *w;

    fail_those_without_memory(h);
    hw_waiters_end(&h->told);
    while (h->n_reading < READS_MAX && (link = hw_list_first(&h->due)) != NULL)
        hw_watch_read(HW_CONTAINER_OF(link, struct hw_watch, link));
    while (h->n_paging < PAGERS_MAX && (w = hw_waiter_first(&h->behind)) != NULL)
        if (!join_if_near(w)) /* the end may have become known since it asked */
            page_alone(w);
}

/* What a lost notice has hidden is found; a watch that nobody needs any more goes. */
static void on_fallback(struct hw_wheel_entry *entry)
{
    struct hw_hub *h = HW_CONTAINER_OF(entry, struct hw_hub, fallback);
    hw_mono_ms now = hw_loop_now(h->loop);
    struct hw_list *link;

    while ((link = hw_list_first(&h->resting)) != NULL) {
        struct hw_watch *watch = HW_CONTAINER_OF(link, struct hw_watch, link);
        if (now < watch->rested_at + HW_HUB_REST_MS) {
            hw_loop_arm(h->loop, &h->fallback, watch->rested_at + HW_HUB_REST_MS - now);
            return;
        }
        if (hw_watch_has_waiters(watch))
            hw_watch_want(watch);
        else
            hw_watch_free(watch);
    }
}

/* ---- from outside ---- */

void hw_hub_ask(struct hw_hub *h, struct hw_backend_updates *ask)
{
    struct hw_waiter *w = hw_waiter_new(h, ask);

    hw_turn_hook_ask(h->loop, &h->turn);
    if (w == NULL) {
        ask->req.state = h->failed;
        h->failed = &ask->req;
    } else if (!hw_redis_is_up(h->store->work)) {
        hw_waiter_tell(w, HW_BACKEND_UNAVAILABLE);
    } else if (!join_if_near(w)) {
        hw_list_push_back(&h->behind, &w->link);
    }
}

void hw_hub_hurry(struct hw_hub *h, struct hw_backend_updates *ask)
{
    (void)h;
    if (ask->waiter != NULL) /* else it got no memory, and will be told so */
        hw_waiter_hurry(ask->waiter);
}

void hw_hub_touch(struct hw_hub *h, struct hw_slice account)
{
    struct hw_watch *watch = find_watch(h, account);

    if (watch != NULL && hw_watch_has_waiters(watch))
        hw_watch_want(watch);
}

void hw_hub_touch_all(struct hw_hub *h)
{
    struct hw_map_entry *entry = NULL;

    while ((entry = hw_map_next(&h->accounts, entry)) != NULL)
        if (hw_watch_has_waiters(watch_of(entry)))
            hw_watch_want(watch_of(entry));
}

/* Those who page on alone hear it from their reads. */
void hw_hub_down(struct hw_hub *h)
{
    struct hw_map_entry *entry = NULL;

    hw_waiters_tell(&h->behind, HW_BACKEND_UNAVAILABLE);
    while ((entry = hw_map_next(&h->accounts, entry)) != NULL)
        hw_watch_tell(watch_of(entry), HW_BACKEND_UNAVAILABLE);
}

void hw_hub_init(struct hw_hub *h, struct hw_loop *loop, struct hw_store *store)
{
    memset(h, 0, sizeof *h);
    h->loop = loop;
    h->store = store;
    hw_map_init(&h->accounts);
    hw_list_init(&h->due);
    hw_list_init(&h->resting);
    hw_list_init(&h->behind);
    hw_list_init(&h->told);
    hw_wheel_entry_init(&h->fallback, on_fallback);
    hw_turn_hook_add(loop, &h->turn, on_turn);
}

void hw_hub_close(struct hw_hub *h)
{
    struct hw_map_entry *entry;

    HW_MUST(h->n_reading == 0 && h->n_paging == 0);
    hw_hub_down(h);
    fail_those_without_memory(h);
    hw_waiters_end(&h->told);
    while ((entry = hw_map_next(&h->accounts, NULL)) != NULL)
        hw_watch_free(watch_of(entry));
    hw_map_close(&h->accounts);
    hw_watch_desk_close(&h->desk);
    hw_loop_cancel(h->loop, &h->fallback);
    hw_turn_hook_remove(&h->turn);
}
