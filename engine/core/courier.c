/*
 * take        event and state become a delivery; it is READY, or SUSPECT where owners died with
 *             it, or goes straight to SETTLING where its webhook must not be sent to any more
 * pump        while somebody may start: ports.start; then ports.refill where queues run low
 * finished    verdict: ours -> WAITING on the wheel; else the log gets the attempt, the new state is
 *             packed, ports.settle
 * settled     gone from memory; a slot is free, so pump
 *
 * A delivery whose ownership was lost while its attempt was under way (is_lost) ends in finished:
 * whoever took it over has its truth.
 */
#include "core/courier.h"

#include "base/must.h"

enum {
    SUSPECT_FROM = 2,          /* owners died with it in hand */
    MARKS_MAX = 3,                   /* found so often: poison */
    SUBJECT_MAX = 512,
    LOG_MAX = 1 << 20,
    LOG_ATTEMPT_MAX = 32 << 10, /* of one: head and first part of the body of its response */
    STATE_MAX = 2 << 20
};

static void on_dispatch_wake(struct hw_dispatch *dispatch)
{
    struct hw_courier *c = HW_CONTAINER_OF(dispatch, struct hw_courier, dispatch);

    c->ports->ask_pump(c);
}

void hw_courier_init(struct hw_courier *c, struct hw_wheel *wheel,
                     struct hw_subscriptions *subscriptions, struct hw_metrics *metrics,
                     const struct hw_retry_rules *retry, unsigned max_in_flight,
                     const struct hw_courier_ports *ports, uint64_t seed)
{
    *c = (struct hw_courier){
        .subscriptions = subscriptions, .retry = *retry, .metrics = metrics, .ports = ports
    };
    hw_dispatch_init(&c->dispatch, wheel, max_in_flight, on_dispatch_wake);
    hw_random_init(&c->random, seed);
}

void hw_courier_close(struct hw_courier *c)
{
    hw_dispatch_close(&c->dispatch);
}

static struct hw_courier *courier_of(struct hw_delivery *d)
{
    return HW_CONTAINER_OF(d->endpoint->dispatch, struct hw_courier, dispatch);
}

/* A fault of our own is over: try again. */
static void on_again(struct hw_wheel_entry *entry)
{
    struct hw_delivery *d = HW_CONTAINER_OF(entry, struct hw_delivery, again);
    struct hw_courier *c = courier_of(d);

    hw_delivery_move(d, HW_DELIVERY_READY);
    c->ports->ask_pump(c);
}

static void delivery_release(struct hw_courier *c, struct hw_delivery *d)
{
    hw_event_release(d->event);
    hw_buf_close(&d->log);
    hw_buf_close(&d->packed);
    hw_buf_close(&d->response);
    c->ports->delivery_free(c, d);
}

static void leave_suspects(struct hw_courier *c, struct hw_delivery *d)
{
    if (d->state == HW_DELIVERY_SUSPECT)
        c->n_suspects--;
    if (c->suspect == d)
        c->suspect = NULL;
}

static void delivery_forget(struct hw_courier *c, struct hw_delivery *d)
{
    leave_suspects(c, d);
    hw_delivery_move(d, HW_DELIVERY_DONE);
    delivery_release(c, d);
}

/* What d waited for has ended, and d is nobody's.  It may have become ours anew meanwhile, when
 * take found it in memory still. */
static void delivery_forget_lost(struct hw_courier *c, struct hw_delivery *d)
{
    delivery_forget(c, d);
    c->ports->doubt(c);
    c->ports->ask_pump(c);
}

/* What a delivery that has failed before brings with it. */
static bool restore(struct hw_delivery *d, struct hw_slice state)
{
    struct hw_history h;

    if (!hw_history_unpack(&h, state))
        return false;
    d->created_ms = h.created_ms;
    d->last_attempt_ms = h.last_attempt_ms;
    d->response_code = h.response_code;
    d->schedule_from = h.schedule_from;
    d->is_uncounted = h.is_uncounted;
    d->was_parked = true;
    return hw_buf_append_slice(&d->log, h.log) == HW_OK;
}

static struct hw_delivery *delivery_from(struct hw_courier *c, const struct hw_courier_load *load)
{
    struct hw_delivery *d = c->ports->delivery_new(c);

    if (d == NULL)
        return NULL;
    d->w = load->w;
    d->n = load->n;
    d->stamp_us = load->stamp_us;
    d->created_ms = (hw_unix_ms)(load->stamp_us / 1000);
    d->attempts = load->attempts;
    d->crashes = load->crashes;
    d->due_ms = load->due_ms;
    d->is_retry = load->due_ms != 0;
    d->has_body = load->has_body;
    d->event = hw_event_hold(load->event);
    hw_wheel_entry_init(&d->again, on_again);
    hw_buf_init(&d->log, LOG_MAX);
    hw_buf_init(&d->packed, STATE_MAX);
    hw_buf_init(&d->response, STATE_MAX);
    if (load->state.len > 0 && !restore(d, load->state)) {
        delivery_release(c, d);
        return NULL;
    }
    return d;
}

static enum hw_webhook_status standing_of(const struct hw_delivery *d)
{
    return d->endpoint->webhook ? d->endpoint->webhook->standing.status : HW_WEBHOOK_DELETED;
}

static enum hw_delivery_status stored_status(enum hw_verdict_kind kind)
{
    switch (kind) {
    case HW_VERDICT_DELIVERED:
        return HW_STATUS_DELIVERED;
    case HW_VERDICT_AGAIN:
        return HW_STATUS_FAILED;
    case HW_VERDICT_DEAD:
    case HW_VERDICT_OURS:
        break;
    }
    return HW_STATUS_DEAD_LETTER;
}

/* Pack what Redis keeps of d; last: the newest attempt, NULL where there was none now. */
static enum hw_status pack_state(struct hw_delivery *d, const struct hw_attempt *last,
                                 struct hw_slice message, hw_unix_ms now)
{
    struct hw_buf subject;
    struct hw_history h = {
        .stamp_us = d->stamp_us,
        .cursor = d->event->cursor,
        .event_id = d->event->record.id,
        .event_type = d->event->record.type,
        .status = stored_status(d->verdict.kind),
        .attempts = d->attempts + (last != NULL),
        .schedule_from = d->schedule_from,
        .is_uncounted = d->is_uncounted,
        .created_ms = d->created_ms,
        .updated_ms = now,
        .last_attempt_ms = last ? last->started_ms : d->last_attempt_ms,
        .next_attempt_ms = d->verdict.kind == HW_VERDICT_AGAIN ? now + (hw_unix_ms)d->verdict.delay_ms : 0,
        .response_code = last ? last->response_code : d->response_code,
        .failure = d->verdict.failure,
        .phase = d->verdict.phase,
        .message = message,
        .traceparent = d->event->traceparent,
        .log = hw_buf_slice(&d->log),
    };
    enum hw_status status;

    d->has_attempt = last != NULL;
    hw_buf_init(&subject, SUBJECT_MAX);
    status = d->event->record.has_subject ? hw_record_subject(&d->event->record, &subject) : HW_OK;
    h.subject = hw_buf_slice(&subject);
    if (status == HW_OK)
        status = hw_history_pack(&d->packed, &h);
    hw_buf_close(&subject);
    return status;
}

static void count_drop(struct hw_metrics *m, enum hw_failure why)
{
    switch ((int)why) {
    case HW_FAILURE_WEBHOOK_DISABLED:
        m->deliveries_dropped[HW_METRIC_DROP_DISABLED]++;
        break;
    case HW_FAILURE_WEBHOOK_DELETED:
        m->deliveries_dropped[HW_METRIC_DROP_DELETED]++;
        break;
    case HW_FAILURE_BACKLOG_FULL:
        m->deliveries_dropped[HW_METRIC_DROP_BACKLOG]++;
        break;
    case HW_FAILURE_POISON:
        m->deliveries_dropped[HW_METRIC_DROP_POISON]++;
        break;
    default:
        break;
    }
}

/* Out of memory where an outcome was to be written down: ours to bear, so again later. */
static void retry_own_fault(struct hw_delivery *d, struct hw_now now)
{
    uint64_t delay = hw_retry_own_fault_delay(++d->own_faults);

    hw_delivery_move(d, HW_DELIVERY_WAITING);
    hw_wheel_arm(d->endpoint->dispatch->wheel, &d->again, now.mono + delay + 1);
}

/* d, under its endpoint, is dead without an attempt. */
static void write_off(struct hw_courier *c, struct hw_delivery *d, enum hw_failure why,
                      struct hw_now now)
{
    d->verdict = (struct hw_verdict){ .kind = HW_VERDICT_DEAD, .failure = why };
    d->ended_ms = now.wall;
    hw_buf_reset(&d->packed);
    if (pack_state(d, NULL, hw_slice_str(hw_failure_sentence(why)), now.wall) != HW_OK) {
        /* Ours in Redis still: it is taken again, and written off then. */
        delivery_forget(c, d);
        c->ports->doubt(c);
        return;
    }
    count_drop(c->metrics, why);
    leave_suspects(c, d);
    hw_delivery_move(d, HW_DELIVERY_SETTLING);
    c->ports->settle(c, d);
}

static void next_suspect(struct hw_courier *c);

/* Nothing may be sent to its webhook any more: d is written off.  false: it may. */
static bool write_off_if_dead(struct hw_courier *c, struct hw_delivery *d, struct hw_now now)
{
    switch (standing_of(d)) {
    case HW_WEBHOOK_DISABLED:
        write_off(c, d, HW_FAILURE_WEBHOOK_DISABLED, now);
        return true;
    case HW_WEBHOOK_DELETED:
        write_off(c, d, HW_FAILURE_WEBHOOK_DELETED, now);
        return true;
    case HW_WEBHOOK_ACTIVE:
    case HW_WEBHOOK_PAUSED:
        break;
    }
    return false;
}

/* Where a delivery goes that has just come under its endpoint. */
static void send_on_its_way(struct hw_courier *c, struct hw_delivery *d, struct hw_now now)
{
    if (write_off_if_dead(c, d, now))
        return;
    if (d->crashes >= SUSPECT_FROM) {
        hw_delivery_move(d, HW_DELIVERY_SUSPECT);
        c->n_suspects++;
        next_suspect(c);
        return;
    }
    hw_delivery_move(d, HW_DELIVERY_READY);
    c->ports->ask_pump(c);
}

static struct hw_endpoint *endpoint_for(struct hw_courier *c, uint32_t w)
{
    struct hw_endpoint *e = hw_dispatch_find(&c->dispatch, w);
    struct hw_webhook *webhook;

    if (e != NULL)
        return e;
    webhook = hw_subscriptions_find(c->subscriptions, w);
    return webhook != NULL ? hw_dispatch_endpoint(&c->dispatch, webhook) : NULL;
}

static enum hw_status take(struct hw_courier *c, const struct hw_courier_load *load,
                           struct hw_delivery **out, struct hw_now now)
{
    struct hw_endpoint *e = endpoint_for(c, load->w);
    struct hw_delivery *d;
    enum hw_status status;

    *out = NULL;
    hw_dispatch_set_now(&c->dispatch, now.mono);
    if (hw_dispatch_delivery(&c->dispatch, load->w, load->n) != NULL)
        return HW_OK;
    if (e == NULL)
        return hw_subscriptions_find(c->subscriptions, load->w) ? HW_ENOMEM : HW_EINVAL;
    if ((d = delivery_from(c, load)) == NULL)
        return HW_ENOMEM;
    status = hw_dispatch_add(&c->dispatch, e, d);
    if (status != HW_OK) {
        delivery_release(c, d);
        return status;
    }
    *out = d;
    return HW_OK;
}

enum hw_status hw_courier_take(struct hw_courier *c, const struct hw_courier_load *load,
                               struct hw_now now)
{
    struct hw_delivery *d;
    enum hw_status status = take(c, load, &d, now);

    if (d != NULL)
        send_on_its_way(c, d, now);
    return status;
}

enum hw_status hw_courier_write_off(struct hw_courier *c, const struct hw_courier_load *load,
                                    enum hw_failure why, struct hw_now now)
{
    struct hw_delivery *d;
    enum hw_status status = take(c, load, &d, now);

    if (d != NULL)
        write_off(c, d, why, now);
    return status;
}

/* Suspects go one at a time: mark the first that waits for it. */
static void next_suspect(struct hw_courier *c)
{
    if (c->suspect != NULL || c->n_suspects == 0)
        return;
    for (size_t w = 0; w < c->dispatch.n_numbers; w++) {
        struct hw_endpoint *e = c->dispatch.by_number[w];
        struct hw_list *link = e != NULL ? hw_list_first(&e->suspects) : NULL;
        if (link == NULL)
            continue;
        c->suspect = HW_CONTAINER_OF(link, struct hw_delivery, link);
        c->ports->mark(c, c->suspect);
        return;
    }
}

void hw_courier_marked(struct hw_courier *c, struct hw_delivery *d, unsigned found,
                       struct hw_now now)
{
    if (d->is_lost) {
        delivery_forget_lost(c, d);
        next_suspect(c);
        return;
    }
    if (found >= MARKS_MAX) {
        write_off(c, d, HW_FAILURE_POISON, now);
        next_suspect(c);
        return;
    }
    d->is_marked = true;
    if (write_off_if_dead(c, d, now)) {
        next_suspect(c);
        return;
    }
    c->n_suspects--;
    hw_delivery_move(d, HW_DELIVERY_READY);
    c->ports->ask_pump(c);
}

static void ask_refills(struct hw_courier *c)
{
    HW_LIST_EACH(link, &c->dispatch.backlogged)
    {
        struct hw_endpoint *e = HW_CONTAINER_OF(link, struct hw_endpoint, in_backlogged);
        struct hw_wanted wanted = hw_room_wanted(e);
        if (wanted.n == 0)
            continue;
        e->is_refilling = true;
        c->ports->refill(c, e, wanted);
    }
}

void hw_courier_pump(struct hw_courier *c, struct hw_now now)
{
    struct hw_delivery *d;

    while ((d = hw_dispatch_next(&c->dispatch, now.mono)) != NULL) {
        if (d->due_ms != 0) {
            hw_hist_observe(&c->metrics->retry_lateness,
                            now.steady > d->due_ms ? (double)(now.steady - d->due_ms) / 1000 : 0);
            d->due_ms = 0;
        }
        c->ports->start(c, d);
    }
    if (!c->dispatch.is_stopped)
        ask_refills(c);
}

static void count_attempt(struct hw_courier *c, const struct hw_delivery *d,
                          const struct hw_attempt_result *result, const struct hw_attempt *attempt,
                          struct hw_now now)
{
    struct hw_metrics *m = c->metrics;

    hw_hist_observe(&m->attempt_duration, attempt->duration_ms / 1000.0);
    if (d->verdict.kind != HW_VERDICT_DELIVERED) {
        m->attempts_failed[d->verdict.failure]++;
        return;
    }
    (void)result;
    m->attempts_success++;
    if (d->attempts == 0 && d->event->enqueued_ms != 0)
        hw_hist_observe(&m->delivery_latency, now.wall > d->event->enqueued_ms
                                                  ? (double)(now.wall - d->event->enqueued_ms) / 1000
                                                  : 0);
}

/* One attempt more must fit.  One that is redelivered again and again loses its oldest. */
static void make_room_in_log(struct hw_buf *log)
{
    struct hw_slice kept = hw_buf_slice(log);
    struct hw_attempt oldest;

    while (kept.len > LOG_MAX - LOG_ATTEMPT_MAX)
        if (!hw_attempt_next(&kept, &oldest))
            kept = hw_slice(NULL, 0); /* nobody can read it */
    hw_buf_consume(log, hw_buf_len(log) - kept.len);
}

/* The log, the packed state and, of a success, the response apart.  On failure the log is as it
 * was: the attempt that is made instead has the same number. */
static enum hw_status write_down(struct hw_delivery *d, struct hw_attempt *attempt, hw_unix_ms now)
{
    size_t log_bytes;
    enum hw_status status = HW_OK;

    make_room_in_log(&d->log);
    log_bytes = hw_buf_len(&d->log);
    if (d->verdict.kind == HW_VERDICT_DELIVERED) {
        if (attempt->response_head.len + attempt->response_body.len > 0)
            status = hw_attempt_pack(&d->response, attempt);
        attempt->response_head = attempt->response_body = hw_slice(NULL, 0);
    }
    if (status == HW_OK)
        status = hw_attempt_pack(&d->log, attempt);
    if (status == HW_OK)
        status = pack_state(d, attempt, attempt->message, now);
    if (status != HW_OK) {
        hw_buf_cut(&d->log, log_bytes);
        hw_buf_reset(&d->packed);
        hw_buf_reset(&d->response);
    }
    return status;
}

void hw_courier_finished(struct hw_courier *c, struct hw_delivery *d,
                         const struct hw_attempt_result *result, struct hw_attempt *attempt,
                         struct hw_now now)
{
    hw_dispatch_set_now(&c->dispatch, now.mono);
    if (d->is_lost) {
        delivery_forget_lost(c, d);
        next_suspect(c);
        return;
    }
    d->verdict = hw_delivery_step(d, result, &c->retry, standing_of(d), hw_random_u32(&c->random));
    if (d->verdict.hold_ms > 0)
        hw_endpoint_hold(d->endpoint, now.mono + d->verdict.hold_ms + 1);
    if (result->failure == HW_FAILURE_TIMEOUT)
        hw_pace_timed_out(&d->endpoint->pace);
    else if (result->failure != HW_FAILURE_INTERNAL)
        hw_pace_heard(&d->endpoint->pace, now.mono);
    c->ports->ask_pump(c);
    if (d->verdict.kind == HW_VERDICT_OURS) {
        c->metrics->attempts_failed[HW_FAILURE_INTERNAL]++;
        if (!write_off_if_dead(c, d, now))
            retry_own_fault(d, now);
        return;
    }
    d->ended_ms = now.wall;
    d->again_ms = now.steady + (hw_unix_ms)d->verdict.delay_ms + 1;
    d->hold_until_ms = d->verdict.hold_ms > 0 ? now.steady + (hw_unix_ms)d->verdict.hold_ms : 0;
    attempt->number = d->attempts + 1;
    attempt->failure = d->verdict.failure;
    attempt->phase = d->verdict.phase;
    if (write_down(d, attempt, now.wall) != HW_OK) {
        if (!write_off_if_dead(c, d, now))
            retry_own_fault(d, now);
        return;
    }
    count_attempt(c, d, result, attempt, now);
    hw_delivery_move(d, HW_DELIVERY_SETTLING);
    c->ports->settle(c, d);
}

void hw_courier_settled(struct hw_courier *c, struct hw_delivery *d, bool was_ours,
                        struct hw_now now)
{
    (void)now;
    if (was_ours && d->verdict.kind == HW_VERDICT_DELIVERED)
        c->metrics->deliveries_delivered++;
    if (was_ours && d->verdict.kind == HW_VERDICT_DEAD)
        c->metrics->deliveries_dead++;
    if (d->is_lost)
        delivery_forget_lost(c, d);
    else
        delivery_forget(c, d);
    next_suspect(c);
    c->ports->ask_pump(c);
}

void hw_courier_mark_failed(struct hw_courier *c, struct hw_delivery *d)
{
    c->suspect = NULL;
    if (d->is_lost)
        delivery_forget_lost(c, d);
}

static void look_for_missed_backlogs(struct hw_courier *c)
{
    if (!c->has_missed_backlog)
        return;
    c->has_missed_backlog = false;
    for (size_t w = 0; w < c->subscriptions->n_numbers; w++)
        if (c->subscriptions->by_number[w] != NULL)
            hw_courier_backlog(c, (uint32_t)w, HW_BACKLOG_LIVE);
}

void hw_courier_nudge(struct hw_courier *c)
{
    look_for_missed_backlogs(c);
    next_suspect(c);
    c->ports->ask_pump(c);
}

void hw_courier_refilled(struct hw_courier *c, struct hw_endpoint *e, enum hw_backlog left)
{
    e->is_refilling = false;
    hw_endpoint_backlog(e, left);
    if (left != HW_BACKLOG_NONE)
        c->ports->ask_pump(c);
}

void hw_courier_backlog(struct hw_courier *c, uint32_t w, enum hw_backlog backlog)
{
    struct hw_endpoint *e = endpoint_for(c, w);

    if (e == NULL) {
        if (hw_subscriptions_find(c->subscriptions, w) != NULL)
            c->has_missed_backlog = true;
        return;
    }
    if (backlog > hw_endpoint_backlog_of(e))
        hw_endpoint_backlog(e, backlog);
    c->ports->ask_pump(c);
}

static void write_off_list(struct hw_courier *c, struct hw_list *list, enum hw_failure why,
                           struct hw_now now)
{
    struct hw_list *link;

    while ((link = hw_list_first(list)) != NULL)
        write_off(c, HW_CONTAINER_OF(link, struct hw_delivery, link), why, now);
}

/* Nothing of it may be sent any more; attempts under way end by themselves. */
static void empty_endpoint(struct hw_courier *c, struct hw_endpoint *e, enum hw_failure why,
                           struct hw_now now)
{
    write_off_list(c, &e->first, why, now);
    write_off_list(c, &e->due, why, now);
    write_off_list(c, &e->waiting, why, now);
    HW_LIST_EACH_SAFE(link, &e->suspects)
    {
        struct hw_delivery *d = HW_CONTAINER_OF(link, struct hw_delivery, link);
        if (d != c->suspect) /* the marked one is judged when its mark is set */
            write_off(c, d, why, now);
    }
    hw_endpoint_backlog(e, HW_BACKLOG_LIVE);
}

/* Endpoints of the account whose webhook is not known any more, not even as a tombstone. */
static void empty_orphans(struct hw_courier *c, const struct hw_account *account, struct hw_now now)
{
    for (size_t w = 0; w < c->dispatch.n_numbers; w++) {
        struct hw_endpoint *e = c->dispatch.by_number[w];
        if (e == NULL || e->webhook == NULL || strcmp(e->webhook->account, account->name) != 0 ||
            hw_subscriptions_find(c->subscriptions, e->w) != NULL)
            continue;
        hw_endpoint_update(e, NULL);
        empty_endpoint(c, e, HW_FAILURE_WEBHOOK_DELETED, now);
    }
}

void hw_courier_account_changed(struct hw_courier *c, const struct hw_account *account,
                                struct hw_now now)
{
    for (size_t i = 0; i < account->n_webhooks; i++) {
        struct hw_webhook *webhook = account->webhooks[i];
        struct hw_endpoint *e = hw_dispatch_find(&c->dispatch, webhook->w);
        if (e == NULL)
            continue;
        bool was_live = e->webhook != NULL && (e->webhook->standing.status == HW_WEBHOOK_ACTIVE ||
                                               e->webhook->standing.status == HW_WEBHOOK_PAUSED);
        hw_endpoint_update(e, webhook);
        if (was_live && webhook->standing.status == HW_WEBHOOK_DISABLED)
            empty_endpoint(c, e, HW_FAILURE_WEBHOOK_DISABLED, now);
        else if (was_live && webhook->standing.status == HW_WEBHOOK_DELETED)
            empty_endpoint(c, e, HW_FAILURE_WEBHOOK_DELETED, now);
    }
    empty_orphans(c, account, now);
    c->ports->ask_pump(c);
}

void hw_courier_drop(struct hw_courier *c, struct hw_delivery *d)
{
    bool is_being_marked = d->state == HW_DELIVERY_SUSPECT && d == c->suspect;
    bool is_asked_of_others = d->state == HW_DELIVERY_SENDING || d->state == HW_DELIVERY_SETTLING ||
                              is_being_marked;

    d->is_lost = true;
    if (!is_asked_of_others)
        delivery_forget(c, d);
}

void hw_courier_drop_all(struct hw_courier *c)
{
    struct hw_map_entry *entry = hw_map_next(&c->dispatch.deliveries, NULL);

    while (entry != NULL) {
        struct hw_map_entry *next = hw_map_next(&c->dispatch.deliveries, entry);
        hw_courier_drop(c, HW_CONTAINER_OF(entry, struct hw_delivery, by_key));
        entry = next;
    }
}
