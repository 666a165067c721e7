#include "sim/world.h"

#include <stdio.h>
#include <stdlib.h>

#include "hookwheel/alloc.h"

enum { BEAT_MS = 500 };

#define NEED(x) ((x) ? (void)0 : need_failed(#x, __LINE__))

static void need_failed(const char *what, int line)
{
    fprintf(stderr, "the world found: not %s (world.c:%d)\n", what, line);
    abort();
}

struct task {
    struct hw_delivery delivery;
    struct world *world;
    struct hw_wheel_entry later; /* the answer of endpoint or store */
    struct world_answer answer;
    struct world_delivery *record; /* looked up once */
    struct hw_list unsent;         /* in world->unsettled */
};

static struct hw_now now_of(const struct world *world)
{
    return (struct hw_now){ world->now, WORLD_BEGIN_MS + (hw_unix_ms)world->now,
                            WORLD_BEGIN_MS + (hw_unix_ms)world->now };
}

static struct world *world_of(struct hw_courier *c)
{
    return HW_CONTAINER_OF(c, struct world, courier);
}

static struct task *task_of(struct hw_delivery *d)
{
    return HW_CONTAINER_OF(d, struct task, delivery);
}

static struct world_delivery *record_of(struct world *world, uint32_t w, uint64_t n)
{
    for (size_t i = world->n_deliveries; i-- > 0;)
        if (world->deliveries[i]->w == w && world->deliveries[i]->n == n)
            return world->deliveries[i];
    NEED(false);
    return NULL;
}

static struct world_delivery *record_for(struct task *t)
{
    if (t->record == NULL)
        t->record = record_of(t->world, t->delivery.w, t->delivery.n);
    return t->record;
}

static void say(struct world *world, const struct world_delivery *r, const char *what, uint64_t number)
{
    if (world->trace != NULL)
        fprintf(world->trace, "[%9llu] %u/%llu %s %llu\n", (unsigned long long)world->now, r->w,
                (unsigned long long)r->n, what, (unsigned long long)number);
}

static struct hw_delivery *port_new(struct hw_courier *c)
{
    struct task *t = hw_calloc(1, sizeof *t);

    if (t == NULL)
        return NULL;
    t->world = world_of(c);
    t->world->n_tasks++;
    return &t->delivery;
}

static void port_free(struct hw_courier *c, struct hw_delivery *d)
{
    struct task *t = task_of(d);

    hw_wheel_cancel(&t->world->wheel, &t->later);
    hw_list_unlink(&t->unsent);
    world_of(c)->n_tasks--;
    hw_free(t);
}

/* ---- the network ---- */

static void on_answer(struct hw_wheel_entry *entry)
{
    struct task *t = HW_CONTAINER_OF(entry, struct task, later);
    struct world *world = t->world;
    struct world_delivery *r = record_for(t);
    struct hw_attempt attempt = { .started_ms = now_of(world).wall - (hw_unix_ms)t->answer.after_ms,
                                  .duration_ms = (uint32_t)t->answer.after_ms,
                                  .dns_ms = -1, .connect_ms = -1, .tls_ms = -1, .first_byte_ms = -1,
                                  .response_code = t->answer.result.status,
                                  .response_head = world->response_head };

    world->endpoints[r->w].n_open--;
    r->in_flight = false;
    say(world, r, "answered", (uint64_t)t->answer.result.status);
    hw_courier_finished(&world->courier, &t->delivery, &t->answer.result, &attempt, now_of(world));
}

static void port_start(struct hw_courier *c, struct hw_delivery *d)
{
    struct world *world = world_of(c);
    struct task *t = task_of(d);
    struct world_delivery *r = record_for(t);
    struct world_endpoint *e = &world->endpoints[d->w];

    NEED(r->where == WORLD_OWNED); /* nobody sends what is not ours */
    NEED(!r->in_flight);           /* and never twice at once */
    NEED(r->attempts == d->attempts);
    r->in_flight = true;
    r->sent++;
    e->n_open++;
    if (e->n_open > e->n_open_max)
        e->n_open_max = e->n_open;
    NEED(e->n_open <= e->webhook->max_in_flight);
    t->answer = world->answer(world, d->w, d->n, d->attempts + 1);
    say(world, r, "attempt", d->attempts + 1);
    hw_wheel_entry_init(&t->later, on_answer);
    hw_wheel_arm(&world->wheel, &t->later, world->now + t->answer.after_ms);
}

/* ---- the store ---- */

static void beat_soon(struct world *world)
{
    if (!hw_wheel_is_armed(&world->beat))
        hw_wheel_arm(&world->wheel, &world->beat, world->now + BEAT_MS);
}

/* A question to the store takes memory; without it, the next beat asks again. */
static bool may_ask(struct world *world)
{
    void *question = hw_malloc(1);

    if (question == NULL)
        beat_soon(world);
    hw_free(question);
    return question != NULL;
}

static void port_doubt(struct hw_courier *c)
{
    struct world *world = world_of(c);

    world->has_doubt = true;
    beat_soon(world);
}

/* The store's own memory is never short. */
static void keep_state(struct hw_buf *state, struct hw_slice packed)
{
    do
        hw_buf_reset(state);
    while (hw_buf_append_slice(state, packed) != HW_OK);
}

static void on_due(struct hw_wheel_entry *entry);

static void park(struct world *world, struct world_delivery *r, const struct hw_delivery *d)
{
    r->where = WORLD_PARKED;
    r->failed_at = world->now;
    r->due_ms = d->again_ms;
    keep_state(&r->state, hw_buf_slice(&d->packed));
    hw_wheel_entry_init(&r->due, on_due);
    hw_wheel_arm(&world->wheel, &r->due, (hw_mono_ms)(r->due_ms - WORLD_BEGIN_MS));
    say(world, r, "parked for", (uint64_t)(r->due_ms - WORLD_BEGIN_MS));
}

static void count_failure(struct world *world, const struct hw_delivery *d)
{
    struct world_endpoint *e = &world->endpoints[d->w];

    if (d->verdict.is_counted)
        e->failures_in_a_row++;
    if (d->verdict.is_gone || (d->verdict.is_counted && world->disable_after > 0 &&
                               e->failures_in_a_row >= world->disable_after))
        world_set_status(world, d->w, HW_WEBHOOK_DISABLED);
}

static void apply(struct world *world, struct world_delivery *r, const struct hw_delivery *d)
{
    r->attempts += d->has_attempt;
    r->failure = d->verdict.failure;
    r->crashes = 0;
    r->marks = d->is_marked ? 0 : r->marks;
    switch (d->verdict.kind) {
    case HW_VERDICT_DELIVERED:
        r->where = WORLD_DELIVERED;
        r->ended_at = world->now;
        world->endpoints[d->w].failures_in_a_row = 0;
        say(world, r, "delivered after", r->attempts);
        return;
    case HW_VERDICT_AGAIN:
        park(world, r, d);
        return;
    case HW_VERDICT_DEAD:
        r->where = WORLD_DEAD;
        r->ended_at = world->now;
        say(world, r, "dead after", r->attempts);
        count_failure(world, d);
        return;
    case HW_VERDICT_OURS:
        break;
    }
    NEED(false);
}

static void wait_with(struct world *world, struct world_delivery *r, bool is_fill)
{
    r->where = WORLD_WAITING;
    r->is_fill = is_fill;
    hw_courier_backlog(&world->courier, r->w, is_fill ? HW_BACKLOG_FILL : HW_BACKLOG_LIVE);
}

static void on_settled(struct hw_wheel_entry *entry)
{
    struct task *t = HW_CONTAINER_OF(entry, struct task, later);
    struct world *world = t->world;
    struct hw_delivery *d = &t->delivery;
    struct world_delivery *r = record_for(t);
    bool is_lost = world->lose_every > 0 && hw_random_below(&world->random, world->lose_every) == 0;

    if (d->is_lost) { /* told under a name that is not ours any more: nothing moves */
        hw_courier_settled(&world->courier, d, false, now_of(world));
        return;
    }
    NEED(r->where == WORLD_OWNED); /* settled once */
    if (!is_lost)
        apply(world, r, d);
    hw_courier_settled(&world->courier, d, !is_lost, now_of(world));
    if (is_lost)
        wait_with(world, r, false); /* somebody else has it now, and gives it back */
}

static void port_settle(struct hw_courier *c, struct hw_delivery *d)
{
    struct world *world = world_of(c);
    struct task *t = task_of(d);

    if (!may_ask(world)) {
        hw_list_push_back(&world->unsettled, &t->unsent);
        return;
    }
    hw_wheel_entry_init(&t->later, on_settled);
    hw_wheel_arm(&world->wheel, &t->later, world->now + world->store_ms);
}

static void load(struct world *world, struct world_delivery *r, hw_unix_ms due_ms)
{
    char text[160];
    struct hw_courier_load what = { .w = r->w, .n = r->n, .attempts = r->attempts,
                                    .crashes = r->crashes, .due_ms = due_ms,
                                    .stamp_us = (uint64_t)now_of(world).wall * 1000 };

    snprintf(text, sizeof text,
             "{\"id\":\"evt_%u_%llu\",\"type\":\"order.created\",\"timestamp\":\"2026-03-09T12:00:00.000Z\","
             "\"account\":\"default\",\"level\":\"user\",\"data\":{}}",
             r->w, (unsigned long long)r->n);
    what.event = hw_event_new(hw_slice_str(text), hw_slice(NULL, 0));
    what.state = r->attempts > 0 ? hw_buf_slice(&r->state) : hw_slice(NULL, 0);
    r->where = WORLD_OWNED;
    if (what.event == NULL || hw_courier_take(&world->courier, &what, now_of(world)) != HW_OK)
        port_doubt(&world->courier);
    hw_event_release(what.event);
}

static void on_due(struct hw_wheel_entry *entry)
{
    struct world_delivery *r = HW_CONTAINER_OF(entry, struct world_delivery, due);
    struct world *world = r->world;

    NEED(r->where == WORLD_PARKED);
    load(world, r, r->due_ms);
}

static void on_marked(struct hw_wheel_entry *entry)
{
    struct task *t = HW_CONTAINER_OF(entry, struct task, later);
    struct world *world = t->world;
    struct world_delivery *r = record_for(t);

    hw_courier_marked(&world->courier, &t->delivery, r->marks++, now_of(world));
}

static void port_mark(struct hw_courier *c, struct hw_delivery *d)
{
    struct world *world = world_of(c);
    struct task *t = task_of(d);

    if (!may_ask(world)) {
        hw_courier_mark_failed(c, d);
        return;
    }
    hw_wheel_entry_init(&t->later, on_marked);
    hw_wheel_arm(&world->wheel, &t->later, world->now + world->store_ms);
}

struct refill {
    struct hw_list link; /* in world->refills */
    struct hw_wheel_entry later;
    struct world *world;
    uint32_t w;
    struct hw_wanted wanted;
};

/* The oldest of those that wait for w, of the one kind; how many there were. */
static size_t give(struct world *world, uint32_t w, bool is_fill, size_t most)
{
    size_t n = 0;

    for (size_t i = 0; i < world->n_deliveries && n < most; i++) {
        struct world_delivery *r = world->deliveries[i];
        if (r->w != w || r->where != WORLD_WAITING || r->is_fill != is_fill)
            continue;
        n++;
        load(world, r, 0);
    }
    return n;
}

static enum hw_backlog backlog_of(const struct world *world, uint32_t w)
{
    enum hw_backlog backlog = HW_BACKLOG_NONE;

    for (size_t i = 0; i < world->n_deliveries; i++) {
        const struct world_delivery *r = world->deliveries[i];
        if (r->w != w || r->where != WORLD_WAITING)
            continue;
        if (!r->is_fill)
            return HW_BACKLOG_LIVE;
        backlog = HW_BACKLOG_FILL;
    }
    return backlog;
}

static void on_refill(struct hw_wheel_entry *entry)
{
    struct refill *f = HW_CONTAINER_OF(entry, struct refill, later);
    struct world *world = f->world;
    struct hw_endpoint *e = hw_dispatch_find(&world->courier.dispatch, f->w);
    size_t n = give(world, f->w, false, f->wanted.n);

    if (backlog_of(world, f->w) == HW_BACKLOG_FILL && f->wanted.n_fill > n)
        give(world, f->w, true, f->wanted.n_fill - n);
    if (e != NULL)
        hw_courier_refilled(&world->courier, e, backlog_of(world, f->w));
    hw_list_unlink(&f->link);
    free(f);
}

static void port_refill(struct hw_courier *c, struct hw_endpoint *e, struct hw_wanted wanted)
{
    struct world *world = world_of(c);
    struct refill *f;

    if (!may_ask(world)) {
        e->is_refilling = false;
        return;
    }
    f = calloc(1, sizeof *f);
    NEED(f != NULL);
    hw_list_push_back(&world->refills, &f->link);
    f->world = world;
    f->w = e->w;
    f->wanted = wanted;
    hw_wheel_entry_init(&f->later, on_refill);
    hw_wheel_arm(&world->wheel, &f->later, world->now + world->store_ms);
}

static void port_ask_pump(struct hw_courier *c)
{
    world_of(c)->wants_pump = true;
}

static const struct hw_courier_ports ports = {
    .delivery_new = port_new,
    .delivery_free = port_free,
    .start = port_start,
    .settle = port_settle,
    .mark = port_mark,
    .refill = port_refill,
    .ask_pump = port_ask_pump,
    .doubt = port_doubt,
};

/* ---- the beat: what was refused is done again ---- */

static void settle_again(struct world *world)
{
    struct hw_list again, *link;

    hw_list_init(&again);
    hw_list_splice(&again, &world->unsettled);
    while ((link = hw_list_pop(&again)) != NULL)
        port_settle(&world->courier, &HW_CONTAINER_OF(link, struct task, unsent)->delivery);
}

/* Every delivery that is ours and that the courier does not hold. */
static void load_unknown(struct world *world)
{
    world->has_doubt = false;
    for (size_t i = 0; i < world->n_deliveries; i++) {
        struct world_delivery *r = world->deliveries[i];
        if (r->where == WORLD_OWNED &&
            hw_dispatch_delivery(&world->courier.dispatch, r->w, r->n) == NULL)
            load(world, r, 0);
    }
}

static void tell_webhooks(struct world *world);

static void on_beat(struct hw_wheel_entry *entry)
{
    struct world *world = HW_CONTAINER_OF(entry, struct world, beat);

    settle_again(world);
    if (world->must_put)
        tell_webhooks(world);
    if (world->has_doubt)
        load_unknown(world);
    hw_courier_nudge(&world->courier);
}

/* ---- life ---- */

static struct hw_webhook *webhook_new(uint32_t w, unsigned max_in_flight)
{
    struct hw_webhook *wh;

    do
        wh = hw_webhook_new();
    while (wh == NULL);
    wh->w = w;
    while (wh->account == NULL)
        wh->account = hw_strdup("default");
    wh->max_in_flight = max_in_flight;
    wh->standing.status = HW_WEBHOOK_ACTIVE;
    return wh;
}

static bool put_webhooks(struct world *world)
{
    struct hw_webhook **all = malloc(world->n_endpoints * sizeof *all);
    enum hw_status status;

    for (size_t w = 0; w < world->n_endpoints; w++)
        all[w] = hw_webhook_hold(world->endpoints[w].webhook);
    status = hw_subscriptions_put(&world->subscriptions, HW_SLICE("default"), 1, all, world->n_endpoints);
    free(all);
    return status == HW_OK;
}

static void tell_webhooks(struct world *world)
{
    world->must_put = !put_webhooks(world);
    if (world->must_put)
        beat_soon(world);
    else
        hw_courier_account_changed(&world->courier,
                                   hw_subscriptions_account(&world->subscriptions, HW_SLICE("default")),
                                   now_of(world));
}

void world_init(struct world *world, uint64_t seed, size_t n_webhooks, unsigned max_in_flight,
                unsigned max_in_flight_each, const struct hw_retry_rules *retry)
{
    memset(world, 0, sizeof *world);
    world->store_ms = 1;
    hw_list_init(&world->refills);
    hw_list_init(&world->unsettled);
    hw_wheel_entry_init(&world->beat, on_beat);
    hw_wheel_init(&world->wheel, 0);
    hw_random_init(&world->random, seed);
    hw_metrics_init(&world->metrics);
    hw_subscriptions_init(&world->subscriptions);
    world->endpoints = calloc(n_webhooks, sizeof *world->endpoints);
    world->n_endpoints = n_webhooks;
    for (size_t w = 0; w < n_webhooks; w++)
        world->endpoints[w].webhook = webhook_new((uint32_t)w, max_in_flight_each);
    while (!put_webhooks(world))
        continue;
    hw_courier_init(&world->courier, &world->wheel, &world->subscriptions, &world->metrics, retry,
                    max_in_flight, &ports, seed);
}

/* The courier's memory is gone, whatever was under way. */
static void abandon(struct world *world)
{
    struct hw_map_entry *entry = hw_map_next(&world->courier.dispatch.deliveries, NULL);

    while (entry != NULL) {
        struct hw_map_entry *next = hw_map_next(&world->courier.dispatch.deliveries, entry);
        struct hw_delivery *d = HW_CONTAINER_OF(entry, struct hw_delivery, by_key);
        struct task *t = task_of(d);
        hw_wheel_cancel(&world->wheel, &t->later);
        if (d->state == HW_DELIVERY_SENDING)
            world->endpoints[d->w].n_open--;
        /* Nobody is asked any more: let go of it in any state. */
        d->is_lost = true;
        if (d->state == HW_DELIVERY_SENDING) {
            struct hw_attempt_result none = { .failure = HW_FAILURE_INTERNAL };
            struct hw_attempt attempt = { 0 };
            hw_courier_finished(&world->courier, d, &none, &attempt, now_of(world));
        } else if (d->state == HW_DELIVERY_SETTLING) {
            hw_courier_settled(&world->courier, d, false, now_of(world));
        } else if (d->state == HW_DELIVERY_SUSPECT && world->courier.suspect == d) {
            hw_courier_mark_failed(&world->courier, d);
        } else {
            hw_courier_drop(&world->courier, d);
        }
        entry = next;
    }
    NEED(world->n_tasks == 0);
}

void world_close(struct world *world)
{
    struct hw_list *link;

    abandon(world);
    hw_wheel_cancel(&world->wheel, &world->beat);
    while ((link = hw_list_pop(&world->refills)) != NULL)
        free(HW_CONTAINER_OF(link, struct refill, link));
    hw_courier_close(&world->courier);
    for (size_t i = 0; i < world->n_deliveries; i++) {
        hw_buf_close(&world->deliveries[i]->state);
        free(world->deliveries[i]);
    }
    free(world->deliveries);
    for (size_t w = 0; w < world->n_endpoints; w++)
        hw_webhook_release(world->endpoints[w].webhook);
    free(world->endpoints);
    hw_subscriptions_close(&world->subscriptions);
}

static struct world_delivery *delivery_new(struct world *world, uint32_t w)
{
    struct world_delivery *r = calloc(1, sizeof *r);

    NEED(r != NULL);
    r->world = world;
    r->w = w;
    r->n = ++world->endpoints[w].n_last;
    hw_buf_init(&r->state, 1 << 20);
    if (world->n_deliveries == world->cap_deliveries) {
        world->cap_deliveries = world->cap_deliveries ? 2 * world->cap_deliveries : 256;
        world->deliveries = realloc(world->deliveries, world->cap_deliveries * sizeof(void *));
    }
    world->deliveries[world->n_deliveries++] = r;
    return r;
}

struct world_delivery *world_accept(struct world *world, uint32_t w)
{
    struct world_delivery *r = delivery_new(world, w);
    struct hw_endpoint *e = hw_dispatch_endpoint(&world->courier.dispatch,
                                                 hw_subscriptions_find(&world->subscriptions, w));

    if (e != NULL && hw_room_left(e) > 0)
        load(world, r, 0);
    else
        wait_with(world, r, false);
    return r;
}

struct world_delivery *world_fill(struct world *world, uint32_t w)
{
    struct world_delivery *r = delivery_new(world, w);

    wait_with(world, r, true);
    return r;
}

static void pump(struct world *world)
{
    if (world->courier.has_missed_backlog)
        beat_soon(world);
    while (world->wants_pump) {
        world->wants_pump = false;
        hw_courier_pump(&world->courier, now_of(world));
    }
}

bool world_step(struct world *world)
{
    hw_mono_ms at;

    pump(world);
    if (!hw_wheel_next(&world->wheel, &at))
        return false;
    if (at > world->now)
        world->now = at;
    hw_wheel_advance(&world->wheel, world->now);
    pump(world);
    world->n_steps++;
    world_check(world);
    return true;
}

void world_run_until(struct world *world, hw_mono_ms until)
{
    hw_mono_ms at;

    pump(world);
    while (hw_wheel_next(&world->wheel, &at) && at <= until)
        world_step(world);
    if (until > world->now) {
        world->now = until;
        hw_wheel_advance(&world->wheel, until);
        pump(world);
    }
}

void world_set_status(struct world *world, uint32_t w, enum hw_webhook_status status)
{
    struct hw_webhook *wh = webhook_new(w, world->endpoints[w].webhook->max_in_flight);

    /* A new object, as a reload of the account makes it. */
    wh->standing.status = status;
    hw_webhook_release(world->endpoints[w].webhook);
    world->endpoints[w].webhook = wh;
    tell_webhooks(world);
}

static void adopt_all(struct world *world)
{
    for (size_t i = 0; i < world->n_deliveries; i++)
        if (world->deliveries[i]->where == WORLD_OWNED) {
            world->deliveries[i]->crashes++;
            load(world, world->deliveries[i], 0);
        }
}

void world_fence(struct world *world)
{
    hw_courier_drop_all(&world->courier);
    adopt_all(world);
}

void world_crash(struct world *world)
{
    abandon(world);
    for (size_t i = 0; i < world->n_deliveries; i++)
        world->deliveries[i]->in_flight = false;
    adopt_all(world);
    for (size_t w = 0; w < world->n_endpoints; w++)
        hw_courier_backlog(&world->courier, (uint32_t)w, HW_BACKLOG_LIVE);
}

void world_check(struct world *world)
{
    const char *wrong = hw_dispatch_check(&world->courier.dispatch);

    if (wrong == NULL && world->n_steps % 16 == 0)
        wrong = hw_wheel_check(&world->wheel);
    if (wrong != NULL) {
        fprintf(stderr, "after step %zu, at %llu: %s\n", world->n_steps,
                (unsigned long long)world->now, wrong);
        abort();
    }
    NEED(hw_dispatch_attempts(&world->courier.dispatch) <= world->courier.dispatch.max_in_flight);
    NEED(world->n_tasks == world->courier.dispatch.deliveries.n_entries);
}
