/*
 * add      under its endpoint, into the map of all in memory; then move to READY
 * next     turn by turn: ring -> endpoint -> oldest of its queue -> SENDING, in flight
 * move     the only place that changes state, list and counts; then the endpoint looks whether
 *          it still belongs into the rings
 *
 * An endpoint leaves the rings when it has nothing to send, is at its limit, is held, or its
 * webhook is not active; whatever changes one of these calls endpoint_refresh.
 */
#include "core/dispatch.h"

#include "base/must.h"
#include "hookwheel/alloc.h"

enum {
    IN_FLIGHT_BYTES_MAX = 64 << 20,
    LATE_PART = 16,
    ANSWERED_PER_SLOT = 16,
    PROMPT_MS = 10,                /* what is answered makes room so long */
    RETRY_TURN = 4,                /* one start in four is offered to due retries first */
    PROMPT_QUEUE = 8,              /* who has more waiting does not start as it comes */
    BURST_MS = 100
};

static void on_endpoint_wake(struct hw_wheel_entry *entry);

void hw_dispatch_init(struct hw_dispatch *d, struct hw_wheel *wheel, unsigned max_in_flight,
                      void (*on_wake)(struct hw_dispatch *d))
{
    *d = (struct hw_dispatch){
        .wheel = wheel,
        .now = wheel->now,
        .max_in_flight = max_in_flight,
        .n_instances = 1,
        .on_wake = on_wake,
    };
    hw_map_init(&d->deliveries);
    hw_list_init(&d->first_ring);
    hw_list_init(&d->due_ring);
    hw_list_init(&d->prompt);
    hw_list_init(&d->backlogged);
}

static void endpoint_free(struct hw_endpoint *e)
{
    HW_MUST(e->n_in_memory == 0);
    hw_list_unlink(&e->in_first_ring);
    hw_list_unlink(&e->in_due_ring);
    hw_list_unlink(&e->in_prompt);
    hw_list_unlink(&e->in_backlogged);
    hw_wheel_cancel(e->dispatch->wheel, &e->wake);
    hw_webhook_release(e->webhook);
    e->dispatch->by_number[e->w] = NULL;
    hw_free(e);
}

void hw_dispatch_close(struct hw_dispatch *d)
{
    for (size_t w = 0; w < d->n_numbers; w++)
        if (d->by_number[w] != NULL)
            endpoint_free(d->by_number[w]);
    hw_free(d->by_number);
    d->by_number = NULL;
    d->n_numbers = 0;
    hw_map_close(&d->deliveries);
}

void hw_dispatch_set_now(struct hw_dispatch *d, hw_mono_ms now)
{
    if (now > d->now)
        d->now = now;
}

bool hw_endpoint_is_active(const struct hw_endpoint *e)
{
    return e->webhook != NULL && e->webhook->standing.status == HW_WEBHOOK_ACTIVE;
}

static void ring_keep(struct hw_list *ring, struct hw_list *node, bool belongs)
{
    if (belongs && !hw_list_is_linked(node))
        hw_list_push_back(ring, node);
    else if (!belongs)
        hw_list_unlink(node);
}

unsigned hw_endpoint_attempts(const struct hw_endpoint *e)
{
    return e->n_in_flight - e->n_answered;
}

unsigned hw_dispatch_attempts(const struct hw_dispatch *d)
{
    return d->n_in_flight - d->n_answered;
}

static bool has_slot(const struct hw_endpoint *e)
{
    return hw_endpoint_attempts(e) < e->limit &&
           e->n_answered <= ANSWERED_PER_SLOT * (e->limit - 1);
}

static bool may_start(const struct hw_endpoint *e)
{
    return hw_endpoint_is_active(e) && e->held_until == 0 && has_slot(e);
}

static void endpoint_refresh(struct hw_endpoint *e)
{
    bool may = may_start(e);

    ring_keep(&e->dispatch->first_ring, &e->in_first_ring, may && e->n_first > 0);
    ring_keep(&e->dispatch->due_ring, &e->in_due_ring, may && e->n_due > 0);
}

/* This instance's 1/n of a limit, at least 1. */
static void endpoint_share(struct hw_endpoint *e)
{
    unsigned n = e->dispatch->n_instances;
    unsigned limit = e->webhook ? e->webhook->max_in_flight / n : 1;
    double rate = e->webhook ? (double)e->webhook->rate_per_s / n : 0;

    e->limit = limit > 0 ? limit : 1;
    e->rate_per_s = rate > 0 && rate < 1 ? 1 : rate;
}

void hw_endpoint_update(struct hw_endpoint *e, struct hw_webhook *webhook)
{
    if (webhook != NULL)
        hw_webhook_hold(webhook);
    hw_webhook_release(e->webhook);
    e->webhook = webhook;
    if (hw_endpoint_is_active(e))
        e->is_emptied = false;
    endpoint_share(e);
    endpoint_refresh(e);
}

static enum hw_status reserve_number(struct hw_dispatch *d, uint32_t w)
{
    if (w < d->n_numbers)
        return HW_OK;
    size_t n = (size_t)w + 1 + w / 2;
    struct hw_endpoint **grown = hw_realloc(d->by_number, n * sizeof *grown);
    if (grown == NULL)
        return HW_ENOMEM;
    for (size_t i = d->n_numbers; i < n; i++)
        grown[i] = NULL;
    d->by_number = grown;
    d->n_numbers = n;
    return HW_OK;
}

struct hw_endpoint *hw_dispatch_find(const struct hw_dispatch *d, uint32_t w)
{
    return w < d->n_numbers ? d->by_number[w] : NULL;
}

struct hw_endpoint *hw_dispatch_endpoint(struct hw_dispatch *d, struct hw_webhook *webhook)
{
    struct hw_endpoint *e = hw_dispatch_find(d, webhook->w);

    if (e != NULL)
        return e;
    if (reserve_number(d, webhook->w) != HW_OK || (e = hw_calloc(1, sizeof *e)) == NULL)
        return NULL;
    e->dispatch = d;
    e->w = webhook->w;
    hw_list_init(&e->first);
    hw_list_init(&e->due);
    hw_list_init(&e->suspects);
    hw_list_init(&e->sending);
    hw_list_init(&e->waiting);
    hw_list_init(&e->settling);
    hw_list_node_init(&e->in_first_ring);
    hw_list_node_init(&e->in_due_ring);
    hw_list_node_init(&e->in_prompt);
    hw_list_node_init(&e->in_backlogged);
    hw_wheel_entry_init(&e->wake, on_endpoint_wake);
    d->by_number[e->w] = e;
    hw_endpoint_update(e, webhook);
    return e;
}

void hw_dispatch_share(struct hw_dispatch *d, unsigned n_instances)
{
    d->n_instances = n_instances > 0 ? n_instances : 1;
    for (size_t w = 0; w < d->n_numbers; w++)
        if (d->by_number[w] != NULL) {
            endpoint_share(d->by_number[w]);
            endpoint_refresh(d->by_number[w]);
        }
}

void hw_dispatch_stop(struct hw_dispatch *d, bool stopped)
{
    d->is_stopped = stopped;
}

enum hw_status hw_dispatch_add(struct hw_dispatch *d, struct hw_endpoint *e,
                               struct hw_delivery *delivery)
{
    struct hw_slice key = hw_slice(delivery->key, sizeof delivery->key);

    HW_MUST(delivery->state == HW_DELIVERY_NEW);
    hw_delivery_key(delivery->key, delivery->w, delivery->n);
    if (hw_map_find(&d->deliveries, key) != NULL)
        return HW_EBUSY;
    if (hw_map_add(&d->deliveries, &delivery->by_key, key) != HW_OK)
        return HW_ENOMEM;
    delivery->endpoint = e;
    if (e->n_in_memory++ == 0) {
        d->n_busy++;
        hw_pace_begin(&e->pace, d->now);
    }
    return HW_OK;
}

static bool is_kept(enum hw_delivery_state state)
{
    return state == HW_DELIVERY_READY || state == HW_DELIVERY_SUSPECT ||
           state == HW_DELIVERY_WAITING;
}

static void amount_add(struct hw_amount *a, const struct hw_delivery *delivery)
{
    a->n++;
    a->bytes += delivery->event->n_bytes;
}

static void amount_take(struct hw_amount *a, const struct hw_delivery *delivery)
{
    a->n--;
    a->bytes -= delivery->event->n_bytes;
}

static void leave_list(struct hw_delivery *delivery)
{
    struct hw_endpoint *e = delivery->endpoint;

    hw_list_unlink(&delivery->link);
    if (is_kept(delivery->state)) {
        amount_take(delivery->is_retry ? &e->kept_due : &e->kept_first, delivery);
        amount_take(&e->dispatch->kept, delivery);
    }
    if (delivery->state == HW_DELIVERY_READY) {
        if (delivery->is_retry)
            e->n_due--;
        else
            e->n_first--;
    }
    if (delivery->state == HW_DELIVERY_WAITING)
        hw_wheel_cancel(e->dispatch->wheel, &delivery->again);
}

static void enter_list(struct hw_delivery *delivery)
{
    struct hw_endpoint *e = delivery->endpoint;

    if (is_kept(delivery->state)) {
        amount_add(delivery->is_retry ? &e->kept_due : &e->kept_first, delivery);
        amount_add(&e->dispatch->kept, delivery);
    }
    switch (delivery->state) {
    case HW_DELIVERY_READY:
        hw_list_push_back(delivery->is_retry ? &e->due : &e->first, &delivery->link);
        if (delivery->is_retry) {
            e->n_due++;
        } else {
            if (++e->n_first > PROMPT_QUEUE)
                hw_list_unlink(&e->in_prompt);
        }
        break;
    case HW_DELIVERY_SUSPECT:
        hw_list_push_back(&e->suspects, &delivery->link);
        break;
    case HW_DELIVERY_SENDING:
        hw_list_push_back(&e->sending, &delivery->link);
        break;
    case HW_DELIVERY_WAITING:
        hw_list_push_back(&e->waiting, &delivery->link);
        break;
    case HW_DELIVERY_SETTLING:
        hw_list_push_back(&e->settling, &delivery->link);
        break;
    case HW_DELIVERY_NEW:
    case HW_DELIVERY_DONE:
    case HW_DELIVERY_STATES:
        break;
    }
}

static void set_in_flight(struct hw_delivery *delivery, bool in_flight)
{
    struct hw_endpoint *e = delivery->endpoint;

    if (delivery->is_in_flight == in_flight)
        return;
    delivery->is_in_flight = in_flight;
    if (in_flight) {
        e->n_in_flight++;
        e->in_flight_bytes += delivery->event->n_bytes;
        e->dispatch->n_in_flight++;
        e->dispatch->in_flight_bytes += delivery->event->n_bytes;
    } else {
        e->n_in_flight--;
        e->in_flight_bytes -= delivery->event->n_bytes;
        e->dispatch->n_in_flight--;
        e->dispatch->in_flight_bytes -= delivery->event->n_bytes;
    }
}

static void set_answered(struct hw_delivery *delivery, bool answered)
{
    struct hw_endpoint *e = delivery->endpoint;

    if (delivery->is_answered == answered)
        return;
    delivery->is_answered = answered;
    if (answered) {
        delivery->answered_at = e->dispatch->now;
        e->n_answered++;
        e->dispatch->n_answered++;
    } else {
        e->n_answered--;
        e->dispatch->n_answered--;
    }
}

static void forget(struct hw_delivery *delivery)
{
    struct hw_endpoint *e = delivery->endpoint;

    hw_map_remove(&e->dispatch->deliveries, &delivery->by_key);
    if (--e->n_in_memory == 0)
        e->dispatch->n_busy--;
}

void hw_delivery_move(struct hw_delivery *delivery, enum hw_delivery_state next)
{
    HW_MUST(hw_delivery_may_go(delivery->state, next));
    leave_list(delivery);
    delivery->state = next;
    enter_list(delivery);
    if (next == HW_DELIVERY_SENDING)
        set_in_flight(delivery, true);
    else if (next != HW_DELIVERY_SETTLING)
        set_in_flight(delivery, false);
    set_answered(delivery, delivery->is_in_flight && next == HW_DELIVERY_SETTLING &&
                               delivery->verdict.kind == HW_VERDICT_DELIVERED);
    if (next == HW_DELIVERY_DONE)
        forget(delivery);
    endpoint_refresh(delivery->endpoint);
}

static void on_endpoint_wake(struct hw_wheel_entry *entry)
{
    struct hw_endpoint *e = HW_CONTAINER_OF(entry, struct hw_endpoint, wake);

    e->held_until = 0;
    endpoint_refresh(e);
    if (e->dispatch->on_wake != NULL)
        e->dispatch->on_wake(e->dispatch);
}

void hw_endpoint_hold(struct hw_endpoint *e, hw_mono_ms until)
{
    if (until <= e->held_until)
        return;
    e->held_until = until;
    hw_wheel_arm(e->dispatch->wheel, &e->wake, until);
    endpoint_refresh(e);
}

/* Starts are spaced by 1/rate; a rate above ten a second may catch up on a tenth of one. */
static void charge_rate(struct hw_endpoint *e, hw_mono_ms now)
{
    if (e->rate_per_s <= 0)
        return;
    double each = 1000.0 / e->rate_per_s;
    double slack = each < BURST_MS ? BURST_MS : 0;
    double from = e->next_start_ms > (double)now ? e->next_start_ms : (double)now;
    e->next_start_ms = from + each;
    double allowed = e->next_start_ms - slack;
    if (allowed > (double)now)
        hw_endpoint_hold(e, (hw_mono_ms)allowed + 1);
}

size_t hw_dispatch_part(const struct hw_dispatch *d, size_t whole, size_t in_use)
{
    size_t share;

    if (in_use < whole / 2)
        return whole;
    share = whole / (d->n_busy > 0 ? d->n_busy : 1);
    if (in_use >= whole - whole / LATE_PART)
        share /= LATE_PART;
    return share > 0 ? share : 1;
}

/* Has Redis the oldest of what was answered after a moment, or is there room beside it? */
static bool is_prompt(const struct hw_endpoint *e)
{
    struct hw_list *link = hw_list_first(&e->settling);

    if (e->n_in_flight < e->limit || link == NULL)
        return true;
    const struct hw_delivery *oldest = HW_CONTAINER_OF(link, struct hw_delivery, link);
    return oldest->is_answered && e->dispatch->now < oldest->answered_at + PROMPT_MS;
}

/* The first endpoint of the ring that may start, rotated to the end; NULL: none. */
static struct hw_endpoint *ring_turn(struct hw_dispatch *d, struct hw_list *ring, bool is_due)
{
    size_t cap = hw_dispatch_part(d, d->max_in_flight, hw_dispatch_attempts(d));
    size_t cap_bytes = hw_dispatch_part(d, IN_FLIGHT_BYTES_MAX, d->in_flight_bytes);

    HW_LIST_EACH(link, ring)
    {
        struct hw_endpoint *e = is_due
                                    ? HW_CONTAINER_OF(link, struct hw_endpoint, in_due_ring)
                                    : HW_CONTAINER_OF(link, struct hw_endpoint, in_first_ring);
        if (hw_endpoint_attempts(e) >= cap || e->in_flight_bytes >= cap_bytes || !is_prompt(e))
            continue;
        hw_list_unlink(link);
        hw_list_push_back(ring, link);
        return e;
    }
    return NULL;
}

static struct hw_delivery *take_from(struct hw_dispatch *d, bool is_due)
{
    struct hw_endpoint *e = ring_turn(d, is_due ? &d->due_ring : &d->first_ring, is_due);

    if (e == NULL)
        return NULL;
    return HW_CONTAINER_OF(hw_list_first(is_due ? &e->due : &e->first), struct hw_delivery, link);
}

/* Where nothing is left in the queue, the next one starts as it comes. */
static void note_prompt(const struct hw_delivery *started)
{
    struct hw_endpoint *e = started->endpoint;

    if (started->is_retry || e->n_first > 0)
        return;
    e->prompt_at = e->dispatch->now;
    if (!hw_list_is_linked(&e->in_prompt))
        e->prompt_since = e->prompt_at;
    hw_list_unlink(&e->in_prompt);
    hw_list_push_back(&e->dispatch->prompt, &e->in_prompt);
}

struct hw_delivery *hw_dispatch_next(struct hw_dispatch *d, hw_mono_ms now)
{
    bool due_first = d->turn % RETRY_TURN == RETRY_TURN - 1;
    struct hw_delivery *delivery;

    hw_dispatch_set_now(d, now);
    if (d->is_stopped || hw_dispatch_attempts(d) >= d->max_in_flight ||
        d->n_answered >= d->max_in_flight || d->in_flight_bytes >= IN_FLIGHT_BYTES_MAX)
        return NULL;
    delivery = take_from(d, due_first);
    if (delivery == NULL)
        delivery = take_from(d, !due_first);
    if (delivery == NULL)
        return NULL;
    d->turn++;
    hw_delivery_move(delivery, HW_DELIVERY_SENDING);
    note_prompt(delivery);
    charge_rate(delivery->endpoint, now);
    return delivery;
}

struct hw_delivery *hw_dispatch_delivery(const struct hw_dispatch *d, uint32_t w, uint64_t n)
{
    unsigned char key[12];
    struct hw_map_entry *entry;

    hw_delivery_key(key, w, n);
    entry = hw_map_find(&d->deliveries, hw_slice(key, sizeof key));
    return entry ? HW_CONTAINER_OF(entry, struct hw_delivery, by_key) : NULL;
}

void hw_endpoint_backlog(struct hw_endpoint *e, enum hw_backlog backlog)
{
    ring_keep(&e->dispatch->backlogged, &e->in_backlogged, backlog != HW_BACKLOG_NONE);
    e->has_only_fill = backlog == HW_BACKLOG_FILL;
    e->n_backlog = backlog == HW_BACKLOG_LIVE ? UINT64_MAX : 0;
}

enum hw_backlog hw_endpoint_backlog_of(const struct hw_endpoint *e)
{
    if (!hw_list_is_linked(&e->in_backlogged))
        return HW_BACKLOG_NONE;
    return e->has_only_fill ? HW_BACKLOG_FILL : HW_BACKLOG_LIVE;
}

void hw_endpoint_count_backlog(struct hw_endpoint *e, uint64_t n)
{
    e->n_backlog = n;
}

void hw_dispatch_sweep(struct hw_dispatch *d)
{
    for (size_t w = 0; w < d->n_numbers; w++) {
        struct hw_endpoint *e = d->by_number[w];
        if (e != NULL && e->webhook == NULL && e->n_in_memory == 0 && !e->is_refilling &&
            hw_endpoint_backlog_of(e) == HW_BACKLOG_NONE) /* else nobody would write off what waits */
            endpoint_free(e);
    }
}

struct counts {
    size_t in_memory, busy, in_flight_bytes;
    struct hw_amount kept_first, kept_due, kept;
    unsigned in_flight, answered;
};

static bool is_same_amount(struct hw_amount a, struct hw_amount b)
{
    return a.n == b.n && a.bytes == b.bytes;
}

static const char *check_list(const struct hw_endpoint *e, const struct hw_list *list,
                              enum hw_delivery_state state, struct counts *c, size_t *n)
{
    *n = 0;
    HW_LIST_EACH(link, list)
    {
        const struct hw_delivery *d = HW_CONTAINER_OF(link, struct hw_delivery, link);
        ++*n;
        c->in_flight += d->is_in_flight;
        c->in_flight_bytes += d->is_in_flight ? d->event->n_bytes : 0;
        c->answered += d->is_answered;
        if (d->state != state)
            return "a delivery is on a list that its state does not name";
        if (d->endpoint != e || d->w != e->w)
            return "a delivery is under another endpoint";
        if (hw_dispatch_delivery(e->dispatch, d->w, d->n) != d)
            return "a delivery is not found by its key";
        if (d->is_in_flight && state != HW_DELIVERY_SENDING && state != HW_DELIVERY_SETTLING)
            return "a delivery counts as in flight but has no attempt";
        if (d->is_answered && (state != HW_DELIVERY_SETTLING || !d->is_in_flight))
            return "a delivery counts as answered but is not in flight, or not settling";
        if (state == HW_DELIVERY_SENDING && !d->is_in_flight)
            return "an attempt does not count as in flight";
        if ((state == HW_DELIVERY_WAITING) != hw_wheel_is_armed(&d->again))
            return "a waiting delivery's timer is not armed, or another's is";
        if (is_kept(state))
            amount_add(d->is_retry ? &c->kept_due : &c->kept_first, d);
    }
    return NULL;
}

static const char *check_endpoint(const struct hw_endpoint *e, struct counts *total)
{
    size_t n_first, n_due, n_suspects, n_sending, n_waiting, n_settling;
    struct counts c = { 0 };
    const char *wrong;

    if ((wrong = check_list(e, &e->first, HW_DELIVERY_READY, &c, &n_first)) != NULL ||
        (wrong = check_list(e, &e->due, HW_DELIVERY_READY, &c, &n_due)) != NULL ||
        (wrong = check_list(e, &e->suspects, HW_DELIVERY_SUSPECT, &c, &n_suspects)) != NULL ||
        (wrong = check_list(e, &e->sending, HW_DELIVERY_SENDING, &c, &n_sending)) != NULL ||
        (wrong = check_list(e, &e->waiting, HW_DELIVERY_WAITING, &c, &n_waiting)) != NULL ||
        (wrong = check_list(e, &e->settling, HW_DELIVERY_SETTLING, &c, &n_settling)) != NULL)
        return wrong;
    if (n_first != e->n_first || n_due != e->n_due)
        return "a queue's count is not its length";
    if (n_first + n_due + n_suspects + n_sending + n_waiting + n_settling != e->n_in_memory)
        return "n_in_memory is not what is on the lists";
    if (c.in_flight != e->n_in_flight || c.in_flight_bytes != e->in_flight_bytes)
        return "n_in_flight is not the number of attempts, or their bytes are wrong";
    if (c.answered != e->n_answered)
        return "n_answered is not the number of those delivered and not settled";
    if (!is_same_amount(c.kept_first, e->kept_first) || !is_same_amount(c.kept_due, e->kept_due))
        return "what is kept is not what is on the lists";
    if (hw_list_is_linked(&e->in_first_ring) != (may_start(e) && n_first > 0) ||
        hw_list_is_linked(&e->in_due_ring) != (may_start(e) && n_due > 0))
        return "an endpoint is in a ring where it does not belong, or is missing";
    if (hw_list_is_linked(&e->in_prompt) && n_first > PROMPT_QUEUE)
        return "what is in a queue is said to start as it comes";
    if ((e->held_until != 0) != hw_wheel_is_armed(&e->wake))
        return "a held endpoint would never wake";
    total->in_memory += e->n_in_memory;
    total->kept.n += e->kept_first.n + e->kept_due.n;
    total->kept.bytes += e->kept_first.bytes + e->kept_due.bytes;
    total->in_flight += c.in_flight;
    total->answered += c.answered;
    total->in_flight_bytes += c.in_flight_bytes;
    total->busy += e->n_in_memory > 0;
    return NULL;
}

const char *hw_dispatch_check(const struct hw_dispatch *d)
{
    struct counts c = { 0 };

    for (size_t w = 0; w < d->n_numbers; w++)
        if (d->by_number[w] != NULL) {
            const char *wrong = check_endpoint(d->by_number[w], &c);
            if (wrong != NULL)
                return wrong;
        }
    if (c.in_memory != d->deliveries.n_entries)
        return "the map does not hold what is on the lists";
    if (!is_same_amount(c.kept, d->kept))
        return "the count of what is kept is wrong";
    if (c.in_flight != d->n_in_flight || c.answered != d->n_answered ||
        c.in_flight_bytes != d->in_flight_bytes)
        return "the count of what is in flight is wrong";
    if (c.busy != d->n_busy)
        return "the count of busy endpoints is wrong";
    return NULL;
}
