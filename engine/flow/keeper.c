/*
 * settle    outcome -> hw_ledger_settle -> parked: the schedule arms it -> hw_courier_settled
 * refill    hw_ledger_refill -> items into the courier -> hw_courier_refilled
 * adopt     each beat, for each orphan: pieces of at most ADOPT_MAX until nothing is left
 * empty     parked deliveries of a webhook that is gone or disabled: pieces, written off
 * compare   is in compare.c, resume in resume.c, what came in in errand.c
 *
 * A question that cannot be asked, or ends in trouble, is simply over: what it was about is
 * still there in Redis, and the next beat asks again.
 */
#include "flow/keeper.h"

#include "flow/errand.h"
#include "flow/resume.h"
#include "flow/sender.h"
#include "hookwheel/alloc.h"

enum {
    ADOPT_MAX = 200,
    EMPTY_MAX = 128,
    EMPTY_IN_MEMORY_MAX = 512,
    HEAD_MAX = 64 * 1024,
    DOUBT_MIN_MS = 500,
    DOUBT_MAX_MS = 60 * 1000
};

static const char disable_reason[] = "Disabled after repeated delivery failures";
static const char gone_reason[] = "Endpoint returned 410 Gone";

struct emptying {
    struct hw_list link; /* in keeper->to_empty */
    uint32_t w;
    bool is_asked;
};

void hw_keeper_init(struct hw_keeper *k)
{
    hw_list_init(&k->errands);
    hw_list_init(&k->unsettled);
    hw_list_init(&k->to_empty);
    hw_list_init(&k->to_resume);
}

void hw_keeper_close(struct hw_keeper *k)
{
    struct hw_list *link;

    while ((link = hw_list_first(&k->errands)) != NULL)
        hw_errand_end(HW_CONTAINER_OF(link, struct hw_errand, link));
    while ((link = hw_list_pop(&k->to_empty)) != NULL)
        hw_free(HW_CONTAINER_OF(link, struct emptying, link));
    hw_resume_close(k);
    hw_free(k->holds);
    k->holds = NULL;
    k->n_holds = 0;
}

static void apply_holds(struct hw_keeper *k);

void hw_keeper_activate(struct hw_keeper *k, bool active)
{
    k->is_active = active;
    if (active) {
        apply_holds(k); /* their webhooks are known by now */
        return;
    }
    k->is_comparing = false;
    k->compared_cb = NULL;
}

/* ---- refill, backlog ---- */

static void bound_backlog(struct hw_keeper *k, uint32_t w, uint64_t n_waiting);

static enum hw_backlog left_behind(enum hw_redis_trouble trouble, uint64_t n_live,
                                   uint64_t n_fill)
{
    if (trouble != HW_REDIS_FINE || n_live > 0)
        return HW_BACKLOG_LIVE;
    return n_fill > 0 ? HW_BACKLOG_FILL : HW_BACKLOG_NONE;
}

static void on_refilled(struct hw_take *t, enum hw_redis_trouble trouble,
                        const struct hw_taken *items, size_t n_items, uint64_t n_left)
{
    struct hw_errand *e = hw_errand_of(t);
    struct hw_keeper *k = e->keeper;
    uint32_t w = e->w;
    struct hw_endpoint *endpoint = hw_dispatch_find(&k->courier->dispatch, e->w);

    hw_errand_take_in(k, items, n_items, e->write_off);
    if (endpoint != NULL && e->write_off == HW_FAILURE_NONE)
        hw_courier_refilled(k->courier, endpoint, left_behind(trouble, n_left, t->n_fill_left));
    if (endpoint != NULL && trouble == HW_REDIS_FINE)
        hw_endpoint_count_backlog(endpoint, n_left);
    hw_errand_end(e);
    if (trouble == HW_REDIS_FINE)
        bound_backlog(k, w, n_left);
}

static struct hw_errand *new_refill(struct hw_keeper *k, uint32_t w, enum hw_failure write_off)
{
    struct hw_errand *e = hw_errand_may_ask(k) ? hw_errand_new(k) : NULL;

    if (e != NULL) {
        e->w = w;
        e->write_off = write_off;
    }
    return e;
}

void hw_keeper_refill(struct hw_keeper *k, struct hw_endpoint *endpoint,
                      struct hw_wanted wanted)
{
    struct hw_errand *e = new_refill(k, endpoint->w, HW_FAILURE_NONE);

    if (e != NULL && hw_ledger_refill(k->ledger, &e->take, endpoint->w, (unsigned)wanted.n,
                                      (unsigned)wanted.n_fill, on_refilled) == HW_OK)
        return;
    if (e != NULL)
        hw_errand_end(e);
    endpoint->is_refilling = false; /* the next beat's pump asks again */
}

static bool is_bounding(const struct hw_keeper *k, uint32_t w)
{
    HW_LIST_EACH (link, &k->errands) {
        const struct hw_errand *e = HW_CONTAINER_OF(link, struct hw_errand, link);
        if (e->w == w && e->write_off == HW_FAILURE_BACKLOG_FULL)
            return true;
    }
    return false;
}

/* How many may wait in Redis beside those that wait in memory. */
static uint64_t most_waiting(const struct hw_keeper *k, uint32_t w)
{
    const struct hw_endpoint *endpoint = hw_dispatch_find(&k->courier->dispatch, w);
    uint64_t kept = endpoint != NULL ? endpoint->kept_first.n : 0;

    return k->backlog_max > kept ? k->backlog_max - kept : 0;
}

/* The oldest of too many go, a piece at a time; the answer says how many are left.  Others may
 * be at it too, so how many are too many is decided in Redis. */
static void bound_backlog(struct hw_keeper *k, uint32_t w, uint64_t n_waiting)
{
    uint64_t most = most_waiting(k, w);
    struct hw_errand *e;

    if (n_waiting <= most || is_bounding(k, w) ||
        (e = new_refill(k, w, HW_FAILURE_BACKLOG_FULL)) == NULL)
        return;
    if (hw_ledger_take_surplus(k->ledger, &e->take, w, most, EMPTY_MAX,
                               on_refilled) != HW_OK)
        hw_errand_end(e);
}

void hw_keeper_on_waiting(struct hw_keeper *k, uint32_t w, uint64_t n_waiting)
{
    struct hw_endpoint *endpoint;

    if (n_waiting > 0)
        hw_courier_backlog(k->courier, w, HW_BACKLOG_LIVE);
    if ((endpoint = hw_dispatch_find(&k->courier->dispatch, w)) != NULL)
        hw_endpoint_count_backlog(endpoint, n_waiting);
    bound_backlog(k, w, n_waiting);
}

/* ---- one that we know of ---- */

static void on_loaded(struct hw_take *t, enum hw_redis_trouble trouble,
                      const struct hw_taken *items, size_t n_items, uint64_t n_left)
{
    struct hw_errand *e = hw_errand_of(t);

    (void)n_left;
    hw_errand_take_in(e->keeper, items, n_items, HW_FAILURE_NONE);
    if (trouble != HW_REDIS_FINE)
        hw_keeper_doubt(e->keeper);
    hw_errand_end(e);
}

void hw_keeper_load(struct hw_keeper *k, uint32_t w, uint64_t n)
{
    struct hw_errand *e = hw_errand_may_ask(k) ? hw_errand_new(k) : NULL;
    struct hw_delivery_key key = { w, n };

    if (e != NULL && hw_ledger_load(k->ledger, &e->take, &key, 1, on_loaded) == HW_OK)
        return;
    if (e != NULL)
        hw_errand_end(e);
    hw_keeper_doubt(k);
}

/* ---- retries ---- */

uint64_t hw_keeper_on_due(struct hw_keeper *k, uint32_t w)
{
    struct hw_endpoint *e = hw_dispatch_find(&k->courier->dispatch, w);
    struct hw_webhook *wh = hw_subscriptions_find(k->courier->subscriptions, w);

    if (wh != NULL && wh->standing.status == HW_WEBHOOK_PAUSED)
        return 60 * 1000;
    if (e != NULL && !hw_room_takes_retry(e))
        return 1000;
    return 0;
}

void hw_keeper_on_claimed(struct hw_keeper *k, const struct hw_taken *items, size_t n_items)
{
    hw_errand_take_in(k, items, n_items, HW_FAILURE_NONE);
}

/* ---- webhooks that are gone or disabled ---- */

static struct emptying *emptying_find(struct hw_keeper *k, uint32_t w)
{
    HW_LIST_EACH (link, &k->to_empty) {
        struct emptying *m = HW_CONTAINER_OF(link, struct emptying, link);
        if (m->w == w)
            return m;
    }
    return NULL;
}

static void on_parked_taken(struct hw_take *t, enum hw_redis_trouble trouble,
                            const struct hw_taken *items, size_t n_items, uint64_t n_left)
{
    struct hw_errand *e = hw_errand_of(t);
    struct hw_keeper *k = e->keeper;
    struct emptying *m = emptying_find(k, e->w);

    hw_errand_take_in(k, items, n_items, HW_FAILURE_NONE); /* the courier writes them off */
    hw_errand_end(e);
    if (m == NULL)
        return;
    m->is_asked = false;
    if (trouble == HW_REDIS_FINE && n_left == 0) {
        hw_list_unlink(&m->link);
        hw_free(m);
    }
}

static void ask_emptying(struct hw_keeper *k, struct emptying *m)
{
    struct hw_endpoint *endpoint = hw_dispatch_find(&k->courier->dispatch, m->w);
    struct hw_errand *e;

    if (m->is_asked || (endpoint != NULL && endpoint->n_in_memory > EMPTY_IN_MEMORY_MAX) ||
        (e = hw_errand_new(k)) == NULL)
        return;
    e->w = m->w;
    if (hw_ledger_take_parked(k->ledger, &e->take, m->w, EMPTY_MAX, on_parked_taken) == HW_OK)
        m->is_asked = true;
    else
        hw_errand_end(e);
}

void hw_keeper_empty(struct hw_keeper *k, uint32_t w)
{
    struct emptying *m = emptying_find(k, w);

    if (m == NULL) {
        m = hw_calloc(1, sizeof *m);
        if (m == NULL)
            return; /* what is parked ends as dead when it is due */
        m->w = w;
        hw_list_push_back(&k->to_empty, &m->link);
    }
    if (hw_errand_may_ask(k))
        ask_emptying(k, m);
}

/* ---- orphans ---- */

static void ask_adoption(struct hw_keeper *k, const char *orphan);

static void on_adopted(struct hw_take *t, enum hw_redis_trouble trouble,
                       const struct hw_taken *items, size_t n_items, uint64_t n_left)
{
    struct hw_errand *e = hw_errand_of(t);
    struct hw_keeper *k = e->keeper;
    char orphan[HW_INSTANCE_CHARS + 1];

    memcpy(orphan, e->orphan, sizeof orphan);
    hw_errand_take_in(k, items, n_items, HW_FAILURE_NONE);
    hw_errand_end(e);
    if (trouble == HW_REDIS_FINE && n_left > 0)
        ask_adoption(k, orphan);
}

static void ask_adoption(struct hw_keeper *k, const char *orphan)
{
    struct hw_errand *e;

    if (!hw_errand_may_ask(k))
        return;
    HW_LIST_EACH (link, &k->errands) {
        if (strcmp(HW_CONTAINER_OF(link, struct hw_errand, link)->orphan, orphan) == 0)
            return;
    }
    if ((e = hw_errand_new(k)) == NULL)
        return;
    memcpy(e->orphan, orphan, sizeof e->orphan);
    if (hw_ledger_adopt(k->ledger, &e->take, orphan, ADOPT_MAX, on_adopted) != HW_OK)
        hw_errand_end(e);
}

/* ---- outcomes ---- */

struct hw_delivery *hw_keeper_delivery_new(struct hw_keeper *k)
{
    struct hw_task *t = hw_calloc(1, sizeof *t);

    if (t == NULL)
        return NULL;
    t->keeper = k;
    t->sender = k->sender;
    hw_buf_init(&t->head, HEAD_MAX);
    return &t->delivery;
}

void hw_keeper_delivery_free(struct hw_keeper *k, struct hw_delivery *d)
{
    struct hw_task *t = hw_task_of(d);

    (void)k;
    hw_list_unlink(&t->unsent);
    hw_buf_close(&t->head);
    hw_free(t->mark);
    hw_free(t);
}

static void on_settled(struct hw_settle *s, enum hw_settled result)
{
    struct hw_task *t = HW_CONTAINER_OF(s, struct hw_task, settle);
    struct hw_keeper *k = t->keeper;
    struct hw_delivery *d = &t->delivery;

    if (result == HW_SETTLED && d->verdict.kind == HW_VERDICT_AGAIN)
        hw_schedule_parked(k->schedule, d->w, d->n, d->again_ms);
    hw_courier_settled(k->courier, d, result == HW_SETTLED, hw_now_of(k->loop));
}

static enum hw_settle_kind settle_kind(enum hw_verdict_kind kind)
{
    switch (kind) {
    case HW_VERDICT_DELIVERED:
        return HW_SETTLE_DELIVERED;
    case HW_VERDICT_AGAIN:
        return HW_SETTLE_PARK;
    case HW_VERDICT_DEAD:
    case HW_VERDICT_OURS:
        break;
    }
    return HW_SETTLE_DEAD;
}

/* Payload of the event webhook.disabled, should this dead letter be the one that disables. */
static void write_notice(struct hw_buf *out, const struct hw_delivery *d, const char *reason)
{
    const struct hw_webhook *wh = d->endpoint->webhook;
    char when[HW_TIMESTAMP_MAX];

    hw_timestamp_text(d->ended_ms, when);
    hw_buf_appendf(out, "{\"webhook_id\":\"%s\",\"url\":", wh->id);
    if (hw_json_string(out, hw_slice_str(wh->url.text)) != HW_OK)
        return; /* the buffer remembers */
    hw_buf_appendf(out, ",\"reason\":\"%s\",\"disabled_at\":\"%s\"}", reason, when);
}

/* The other instances are to know of it too; where there is no memory for that, only we do. */
static void tell_hold(struct hw_keeper *k, const struct hw_delivery *d)
{
    if (hw_ledger_hold(k->ledger, d->w, d->hold_until_ms) != HW_OK)
        k->n_untold_holds++;
}

static enum hw_status settle(struct hw_keeper *k, struct hw_task *t)
{
    struct hw_delivery *d = &t->delivery;
    const struct hw_webhook *wh = d->endpoint->webhook;
    bool may_disable = wh != NULL && d->verdict.kind == HW_VERDICT_DEAD &&
                       (d->verdict.is_counted || d->verdict.is_gone);
    const char *reason = d->verdict.is_gone ? gone_reason : disable_reason;
    struct hw_buf notice;
    enum hw_status status;

    hw_buf_init(&notice, 8192);
    if (may_disable)
        write_notice(&notice, d, reason);
    struct hw_settle_what what = {
        .kind = settle_kind(d->verdict.kind),
        .w = d->w,
        .n = d->n,
        .token = d->attempts,
        .attempts = d->attempts + d->has_attempt,
        .stamp_us = d->stamp_us,
        .is_marked = d->is_marked,
        .was_parked = d->was_parked,
        .has_body = d->has_body,
        .packed = hw_buf_slice(&d->packed),
        .ended_ms = d->ended_ms,
        .response = hw_buf_slice(&d->response),
        /* Another instance's dead letters are not seen here, and count when it is gone too. */
        .resets_failures =
            wh != NULL && (wh->standing.consecutive_failures > 0 || k->has_had_company),
        .due_ms = d->again_ms,
        .body = d->was_parked || d->has_body || d->event->is_placeholder
                    ? hw_slice(NULL, 0)
                    : d->event->record.bytes,
        .is_counted = may_disable && d->verdict.is_counted,
        .is_gone = may_disable && d->verdict.is_gone,
        .account = wh != NULL ? hw_slice_str(wh->account) : hw_slice(NULL, 0),
        .disable_notice = hw_buf_slice(&notice),
        .disable_reason = reason,
    };
    status = hw_buf_failed(&notice) == HW_OK
                 ? hw_ledger_settle(k->ledger, &t->settle, &what, on_settled)
                 : HW_ENOMEM;
    hw_buf_close(&notice);
    if (status == HW_OK && d->hold_until_ms != 0)
        tell_hold(k, d);
    return status;
}

void hw_keeper_settle(struct hw_keeper *k, struct hw_delivery *d)
{
    struct hw_task *t = hw_task_of(d);

    if (settle(k, t) != HW_OK)
        hw_list_push_back(&k->unsettled, &t->unsent);
}

static void settle_again(struct hw_keeper *k)
{
    struct hw_list again, *link;

    hw_list_init(&again);
    hw_list_splice(&again, &k->unsettled);
    while ((link = hw_list_pop(&again)) != NULL)
        hw_keeper_settle(k, &HW_CONTAINER_OF(link, struct hw_task, unsent)->delivery);
}

static void on_marked(struct hw_mark *m, enum hw_redis_trouble trouble, unsigned n_found);

/* The mark's request is in a block of its own: it must know its task. */
struct mark {
    struct hw_mark mark;
    struct hw_task *task;
};

void hw_keeper_mark(struct hw_keeper *k, struct hw_delivery *d)
{
    struct hw_task *t = hw_task_of(d);
    struct mark *m = t->mark != NULL ? HW_CONTAINER_OF(t->mark, struct mark, mark)
                                     : hw_calloc(1, sizeof *m);

    if (m != NULL) {
        m->task = t;
        t->mark = &m->mark;
        if (hw_errand_may_ask(k) &&
            hw_ledger_mark(k->ledger, &m->mark, d->w, d->n, on_marked) == HW_OK)
            return;
    }
    hw_courier_mark_failed(k->courier, d);
}

static void on_marked(struct hw_mark *mark, enum hw_redis_trouble trouble, unsigned n_found)
{
    struct hw_task *t = HW_CONTAINER_OF(mark, struct mark, mark)->task;
    struct hw_keeper *k = t->keeper;

    if (trouble == HW_REDIS_FINE)
        hw_courier_marked(k->courier, &t->delivery, n_found, hw_now_of(k->loop));
    else
        hw_courier_mark_failed(k->courier, &t->delivery);
}

/* ---- the beat ---- */

void hw_keeper_doubt(struct hw_keeper *k)
{
    k->must_compare = true;
}

static struct hw_endpoint *endpoint_of(struct hw_keeper *k, uint32_t w)
{
    struct hw_webhook *wh = hw_subscriptions_find(k->courier->subscriptions, w);

    return wh != NULL ? hw_dispatch_endpoint(&k->courier->dispatch, wh)
                      : hw_dispatch_find(&k->courier->dispatch, w);
}

/* Endpoints that have nothing to send yet are held too: what comes must wait. */
static void apply_holds(struct hw_keeper *k)
{
    hw_unix_ms steady = hw_loop_steady(k->loop);

    for (size_t i = 0; i < k->n_holds; i++) {
        hw_unix_ms until = k->holds[i].until_ms;
        struct hw_endpoint *e = until > steady ? endpoint_of(k, k->holds[i].w) : NULL;
        if (e != NULL)
            hw_endpoint_hold(e, hw_loop_now(k->loop) + (uint64_t)(until - steady) + 1);
    }
}

/* Without memory for them the next beat tells again. */
static void keep_holds(struct hw_keeper *k, const struct hw_members_view *view)
{
    struct hw_hold *holds = NULL;

    if (view->n_holds > 0) {
        holds = hw_malloc(view->n_holds * sizeof *holds);
        if (holds == NULL)
            return;
        memcpy(holds, view->holds, view->n_holds * sizeof *holds);
    }
    hw_free(k->holds);
    k->holds = holds;
    k->n_holds = view->n_holds;
}

/* A doubt that stays (what cannot be put in memory at all) is looked into ever more seldom. */
static bool is_time_to_compare(struct hw_keeper *k)
{
    hw_mono_ms now = hw_loop_now(k->loop);

    if (!hw_list_is_empty(&k->errands))
        return false;
    if (k->compared_cb != NULL)
        return true;
    if (!k->must_compare) {
        if (now >= k->doubt_after + DOUBT_MAX_MS)
            k->doubt_delay_ms = 0;
        return false;
    }
    if (now < k->doubt_after)
        return false;
    k->doubt_delay_ms = k->doubt_delay_ms ? k->doubt_delay_ms * 2 : DOUBT_MIN_MS;
    if (k->doubt_delay_ms > DOUBT_MAX_MS)
        k->doubt_delay_ms = DOUBT_MAX_MS;
    k->doubt_after = now + k->doubt_delay_ms;
    return true;
}

void hw_keeper_beat(struct hw_keeper *k, const struct hw_members_view *view)
{
    k->has_had_company = k->has_had_company || view->n_live > 1;
    keep_holds(k, view);
    apply_holds(k);
    settle_again(k);
    if (!hw_errand_may_ask(k))
        return;
    if (is_time_to_compare(k)) {
        hw_keeper_compare(k, k->compared_cb, k->data);
        return;
    }
    for (size_t i = 0; i < view->n_orphans; i++)
        ask_adoption(k, view->orphans[i].id);
    HW_LIST_EACH_SAFE (link, &k->to_empty) {
        ask_emptying(k, HW_CONTAINER_OF(link, struct emptying, link));
    }
    hw_resume_beat(k);
    hw_courier_nudge(k->courier);
}
