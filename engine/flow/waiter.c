#include "flow/waiter.h"

#include "base/must.h"
#include "flow/hub.h"
#include "hookwheel/alloc.h"

struct hw_waiter *hw_waiter_first(const struct hw_list *list)
{
    struct hw_list *link = hw_list_first(list);

    return link != NULL ? HW_CONTAINER_OF(link, struct hw_waiter, link) : NULL;
}

struct hw_stream_id hw_waiter_place(const struct hw_waiter *w)
{
    return w->state == HW_WAITER_WAITING ? w->watch->tail.end : w->reached;
}

void hw_waiter_set_nothing(struct hw_waiter *w)
{
    w->ask->found = NULL;
    w->ask->n_found = 0;
    w->ask->reached = hw_waiter_place(w);
    w->ask->has_more = w->state != HW_WAITER_WAITING; /* who has not looked cannot know */
}

void hw_waiter_end(struct hw_waiter *w, enum hw_backend_result result)
{
    struct hw_backend_updates *ask = w->ask;

    hw_list_unlink(&w->link);
    hw_loop_cancel(w->hub->loop, &w->over);
    hw_free(w);
    ask->waiter = NULL;
    ask->req.result = result;
    ask->req.cb(&ask->req);
}

void hw_waiter_tell(struct hw_waiter *w, enum hw_backend_result result)
{
    hw_waiter_set_nothing(w);
    w->ask->req.result = result;
    w->state = HW_WAITER_TOLD;
    hw_list_unlink(&w->link);
    hw_list_push_back(&w->hub->told, &w->link);
    hw_turn_hook_ask(w->hub->loop, &w->hub->turn);
}

void hw_waiters_tell(struct hw_list *list, enum hw_backend_result result)
{
    struct hw_waiter *w;

    while ((w = hw_waiter_first(list)) != NULL)
        hw_waiter_tell(w, result);
}

/* What callbacks add meanwhile is for the next turn. */
void hw_waiters_end(struct hw_list *told)
{
    struct hw_list now;
    struct hw_waiter *w;

    hw_list_init(&now);
    hw_list_splice(&now, told);
    while ((w = hw_waiter_first(&now)) != NULL)
        hw_waiter_end(w, w->ask->req.result);
}

static void on_over(struct hw_wheel_entry *entry)
{
    struct hw_waiter *w = HW_CONTAINER_OF(entry, struct hw_waiter, over);

    w->may_wait = false;
    if (w->state != HW_WAITER_WAITING)
        return; /* it has not seen what is there now: it is answered once it has */
    hw_waiter_set_nothing(w);
    hw_waiter_end(w, HW_BACKEND_OK);
}

/* One that pages on alone is done soon by itself, and knows where it is only then. */
void hw_waiter_hurry(struct hw_waiter *w)
{
    w->may_wait = false;
    if (w->state == HW_WAITER_COMING || w->state == HW_WAITER_WAITING)
        hw_waiter_tell(w, HW_BACKEND_OK);
}

struct hw_waiter *hw_waiter_new(struct hw_hub *h, struct hw_backend_updates *ask)
{
    struct hw_waiter *w = hw_calloc(1, sizeof *w);

    HW_MUST(ask->limit >= 1 && ask->limit <= HW_UPDATES_MAX);
    if (w == NULL)
        return NULL;
    w->hub = h;
    w->ask = ask;
    w->reached = ask->from.after;
    if (!ask->from.is_start)
        ask->reached = w->reached;
    w->may_wait = ask->wait_ms > 0;
    ask->waiter = w;
    hw_wheel_entry_init(&w->over, on_over);
    if (w->may_wait)
        hw_loop_arm(h->loop, &w->over, ask->wait_ms);
    return w;
}
