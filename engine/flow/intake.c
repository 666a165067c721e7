/*
 * on_batch   every entry is checked; bad ones go to the rejected stream, good ones become records
 * match      each record against its account's webhooks as this instance knows them; the version
 *            of what it knows goes along
 * place      a target goes to memory while its endpoint has room, else it waits in Redis.  Where the
 *            queue of a quick endpoint would run over, the batch waits a moment for room first
 * accept     STALE: the account is read again, its events are matched and accepted again
 *            refused by Redis: the same again in half a second
 *            unknown (connection lost): the batch is void, everything comes again by itself
 * done       when every event and every reject has its answer, ingest may read on
 */
#include "flow/intake.h"

#include "base/must.h"
#include "hookwheel/alloc.h"

enum { BATCH_DELIVERIES = 1000, TROUBLE_WAIT_MS = 500, RECORDS_MAX = 256 << 20, FIELDS_MAX = 700 };

static void on_later(struct hw_wheel_entry *entry);
static void intake_accept(struct hw_intake *in);

void hw_intake_init(struct hw_intake *in)
{
    hw_accept_init(&in->accept);
    hw_buf_init(&in->records, RECORDS_MAX);
    hw_wheel_entry_init(&in->later, on_later);
    hw_registry_op_init(&in->refresh);
}

void hw_intake_close(struct hw_intake *in)
{
    hw_loop_cancel(in->loop, &in->later);
    hw_accept_close(&in->accept);
    hw_registry_op_close(&in->refresh);
    hw_buf_close(&in->records);
    for (size_t i = 0; i < in->cap_rejects; i++)
        hw_command_close(&in->rejects[i].command);
    hw_free(in->events);
    hw_free(in->entries);
    hw_free(in->targets);
    hw_free(in->rejects);
}

/* Something that was asked still holds pointers into the batch's memory of ours. */
static bool is_asked(const struct hw_intake *in)
{
    return in->is_accepting || in->is_refreshing || in->n_rejects_open > 0;
}

static void batch_end(struct hw_intake *in)
{
    in->batch = NULL;
    in->is_void = false;
    in->n_events = in->n_targets = in->n_rejects = 0;
    in->is_waiting_for_room = false;
    hw_buf_reset(&in->records);
}

void hw_intake_void(struct hw_intake *in)
{
    hw_loop_cancel(in->loop, &in->later);
    in->is_waiting_for_room = false;
    in->batch = NULL;
    if (is_asked(in))
        in->is_void = true;
    else
        batch_end(in);
}

static bool all_accepted(const struct hw_intake *in)
{
    for (size_t i = 0; i < in->n_events; i++)
        if (in->events[i].result == HW_ACCEPTED_NOT_YET ||
            in->events[i].result == HW_ACCEPTED_STALE)
            return false;
    return true;
}

static void end_if_done(struct hw_intake *in)
{
    if (is_asked(in))
        return;
    if (in->is_void) {
        batch_end(in);
        return;
    }
    if (in->batch == NULL || in->is_waiting_for_room || hw_wheel_is_armed(&in->later) ||
        !all_accepted(in))
        return;
    batch_end(in);
    hw_ingest_done(in->ingest);
}

/* ---- check ---- */

static bool grow(void **array, size_t *cap, size_t need, size_t each)
{
    size_t n = *cap ? *cap : 64;
    void *grown;

    if (need <= *cap)
        return true;
    while (n < need)
        n *= 2;
    grown = hw_realloc(*array, n * each);
    if (grown == NULL)
        return false;
    memset((char *)grown + *cap * each, 0, (n - *cap) * each);
    *array = grown;
    *cap = n;
    return true;
}

static bool reserve_batch(struct hw_intake *in, size_t n)
{
    size_t cap_entries = in->cap_events;

    return grow((void **)&in->entries, &cap_entries, n, sizeof *in->entries) &&
           grow((void **)&in->rejects, &in->cap_rejects, n, sizeof *in->rejects) &&
           grow((void **)&in->events, &in->cap_events, n, sizeof *in->events);
}

static void on_reject(struct hw_reject *r, enum hw_redis_trouble trouble)
{
    struct hw_intake *in = r->owner;

    (void)trouble; /* refused or unknown: still pending, so it comes again */
    in->n_rejects_open--;
    end_if_done(in);
}

static void reject(struct hw_intake *in, const struct hw_ingest_entry *entry,
                   enum hw_entry_reason reason)
{
    struct hw_reject *r = &in->rejects[in->n_rejects];

    r->owner = in;
    if (hw_ingest_reject(in->ingest, r, entry, reason, on_reject) != HW_OK)
        return; /* as above */
    in->n_rejects++;
    in->n_rejects_open++;
}

/* One entry: a record and an event, or a reject. */
static void check_entry(struct hw_intake *in, const struct hw_ingest_entry *from)
{
    struct hw_entry *entry = &in->entries[in->n_events];
    struct hw_entry_limits limits = { in->max_payload_bytes, from->is_engines_own };
    enum hw_entry_reason reason;

    if (from->n_fields == 0)
        return;
    reason = hw_entry_check(entry, from->id, from->fields, from->n_fields, &limits);
    if (reason != HW_ENTRY_GOOD) {
        reject(in, from, reason);
        return;
    }
    size_t begin = hw_buf_len(&in->records);
    if (hw_record_write(&in->records, entry) != HW_OK)
        return; /* no memory: it stays pending and comes again */
    in->events[in->n_events++] = (struct hw_accept_event){
        .entry = from->id,
        .account = entry->account,
        /* An offset until all are written: the buffer may move. */
        .record = hw_slice((const char *)begin, hw_buf_len(&in->records) - begin),
        .traceparent = entry->traceparent,
        .producer_id = entry->has_producer_id ? entry->id : hw_slice(NULL, 0),
        .result = HW_ACCEPTED_NOT_YET,
    };
}

static void fix_records(struct hw_intake *in)
{
    const char *base = hw_buf_slice(&in->records).data;

    for (size_t i = 0; i < in->n_events; i++)
        in->events[i].record.data = base + (size_t)in->events[i].record.data;
}

/* ---- match ---- */

/* Targets of one event, appended; false: out of memory. */
static bool match_event(struct hw_intake *in, size_t i)
{
    struct hw_webhook *found[64];
    struct hw_webhook **all = found;
    const struct hw_entry *entry = &in->entries[i];
    const struct hw_account *account =
        hw_subscriptions_account(in->subscriptions, entry->account);
    size_t n;

    in->events[i].version = account ? account->version : 0;
    in->events[i].n_targets = 0;
    if (account == NULL)
        return true;
    n = hw_subscriptions_match(in->subscriptions, account, entry->type, entry->subject, entry->level, found, 64);
    if (n > 64) {
        all = hw_malloc(n * sizeof *all);
        if (all == NULL)
            return false;
        hw_subscriptions_match(in->subscriptions, account, entry->type, entry->subject, entry->level, all, n);
    }
    bool is_room =
        grow((void **)&in->targets, &in->cap_targets, in->n_targets + n, sizeof *in->targets);
    for (size_t k = 0; is_room && k < n; k++)
        in->targets[in->n_targets + k] = (struct hw_accept_target){ .w = all[k]->w };
    if (all != found)
        hw_free(all);
    if (!is_room)
        return false;
    in->events[i].n_targets = n;
    in->n_targets += n;
    return true;
}

/* Match what is not accepted yet; then give each event its part of the targets. */
static bool match_all(struct hw_intake *in)
{
    size_t at = 0;

    in->n_targets = 0;
    for (size_t i = 0; i < in->n_events; i++) {
        struct hw_accept_event *ev = &in->events[i];
        if (ev->result == HW_ACCEPTED_STALE)
            ev->result = HW_ACCEPTED_NOT_YET;
        if (ev->result != HW_ACCEPTED_NOT_YET)
            ev->n_targets = 0;
        else if (!match_event(in, i))
            return false;
    }
    for (size_t i = 0; i < in->n_events; i++) {
        in->events[i].targets = in->targets + at;
        at += in->events[i].n_targets;
    }
    return true;
}

/* ---- place ---- */

static struct hw_endpoint *endpoint_of(struct hw_intake *in, uint32_t w)
{
    struct hw_endpoint *e = hw_dispatch_find(&in->courier->dispatch, w);
    struct hw_webhook *wh;

    if (e != NULL)
        return e;
    wh = hw_subscriptions_find(in->subscriptions, w);
    return wh != NULL ? hw_dispatch_endpoint(&in->courier->dispatch, wh) : NULL;
}

/* Until when to wait for quick endpoints whose queue would run over; 0: there is none.  (What
 * would never fit does not count.) */
static hw_mono_ms patience(struct hw_intake *in)
{
    hw_mono_ms until = 0;

    for (size_t i = 0; i < in->n_targets; i++) {
        struct hw_endpoint *e = endpoint_of(in, in->targets[i].w);
        if (e != NULL)
            e->n_coming++;
    }
    for (size_t i = 0; i < in->n_targets; i++) {
        struct hw_endpoint *e = hw_dispatch_find(&in->courier->dispatch, in->targets[i].w);
        if (e == NULL || e->n_coming == 0)
            continue;
        size_t max = hw_room_max(e), fits = e->n_coming < max ? e->n_coming : max;
        hw_mono_ms its = hw_room_patience(e, in->batch_came);
        if (hw_room_left(e) < fits && its > until)
            until = its;
        e->n_coming = 0;
    }
    return until;
}

static void place_targets(struct hw_intake *in)
{
    for (size_t i = 0; i < in->n_targets; i++) {
        struct hw_endpoint *e = endpoint_of(in, in->targets[i].w);
        in->targets[i].to_wait = e == NULL || hw_room_left(e) <= e->n_coming;
        if (!in->targets[i].to_wait)
            e->n_coming++;
    }
    for (size_t i = 0; i < in->n_targets; i++) {
        struct hw_endpoint *e = hw_dispatch_find(&in->courier->dispatch, in->targets[i].w);
        if (e != NULL)
            e->n_coming = 0;
    }
}

/* ---- accept ---- */

static void on_taken(struct hw_intake *in, const struct hw_accept_event *ev)
{
    struct hw_courier_load load = { .stamp_us = ev->stamp_us };
    struct hw_now now = hw_now_of(in->loop);

    in->metrics->events_accepted++;
    hw_janitor_touch(in->janitor, ev->account, 1);
    hw_hub_touch(in->hub, ev->account);
    for (size_t i = 0; i < ev->n_targets; i++) {
        if (ev->targets[i].to_wait)
            continue;
        if (load.event == NULL) {
            load.event = hw_event_new(ev->record, ev->traceparent);
            if (load.event == NULL) {
                hw_keeper_doubt(in->keeper);
                return;
            }
            load.event->cursor = ev->cursor;
            load.event->enqueued_ms = (hw_unix_ms)ev->entry.ms;
        }
        load.w = ev->targets[i].w;
        load.n = ev->targets[i].n;
        if (hw_courier_take(in->courier, &load, now) != HW_OK)
            hw_keeper_doubt(in->keeper);
    }
    hw_event_release(load.event);
}

static void on_refreshed(struct hw_registry_op *op, enum hw_registry_result result)
{
    struct hw_intake *in = HW_CONTAINER_OF(op, struct hw_intake, refresh);

    in->is_refreshing = false;
    if (in->is_void) {
        end_if_done(in);
        return;
    }
    if (result == HW_REGISTRY_UNAVAILABLE)
        hw_loop_arm(in->loop, &in->later, TROUBLE_WAIT_MS);
    else
        intake_accept(in);
}

/* Read the account of the first stale event again; the others' turn comes with the next accept. */
static void refresh_stale(struct hw_intake *in)
{
    for (size_t i = 0; i < in->n_events; i++) {
        if (in->events[i].result != HW_ACCEPTED_STALE)
            continue;
        in->is_refreshing = true;
        if (hw_registry_refresh(in->registry, &in->refresh, in->events[i].account,
                                on_refreshed) != HW_OK) {
            in->is_refreshing = false;
            hw_loop_arm(in->loop, &in->later, TROUBLE_WAIT_MS);
        }
        return;
    }
}

static void on_accepted(struct hw_accept *a, enum hw_redis_trouble trouble)
{
    struct hw_intake *in = HW_CONTAINER_OF(a, struct hw_intake, accept);

    in->is_accepting = false;
    if (trouble != HW_REDIS_GONE && trouble != HW_REDIS_FENCED)
        in->on_state(in->data, trouble);
    if (in->is_void || trouble == HW_REDIS_FENCED || trouble == HW_REDIS_GONE) {
        /* What was taken all the same is found by comparing, or by whoever owns it now; a
         * comparison may have read too early for an accept that was answered after it. */
        if (trouble != HW_REDIS_FENCED && trouble != HW_REDIS_GONE) {
            hw_keeper_doubt(in->keeper);
            hw_hub_touch_all(in->hub);
        }
        in->is_void = true;
        end_if_done(in);
        return;
    }
    for (size_t i = 0; i < in->n_events; i++) {
        struct hw_accept_event *ev = &in->events[i];
        if (ev->is_told)
            continue;
        if (ev->result == HW_ACCEPTED_TAKEN)
            on_taken(in, ev);
        else if (ev->result == HW_ACCEPTED_DUPLICATE)
            in->metrics->events_deduplicated++;
        ev->is_told = ev->result != HW_ACCEPTED_NOT_YET && ev->result != HW_ACCEPTED_STALE;
    }
    if (trouble != HW_REDIS_FINE)
        hw_loop_arm(in->loop, &in->later, TROUBLE_WAIT_MS);
    else
        refresh_stale(in);
    end_if_done(in);
}

/* Everything that is not accepted yet. */
static void intake_accept(struct hw_intake *in)
{
    if (!match_all(in)) {
        hw_loop_arm(in->loop, &in->later, TROUBLE_WAIT_MS);
        return;
    }
    place_targets(in);
    in->accept.events = in->events;
    in->accept.n_events = in->n_events;
    in->accept.is_marked = in->batch->is_marked;
    in->is_accepting = true;
    hw_ledger_accept(in->ledger, &in->accept, on_accepted);
}

/* The next ones are likely to be as these are. */
static void bound_next(struct hw_intake *in)
{
    size_t each = (in->n_targets + in->n_events - 1) / in->n_events;
    size_t most = each > 0 ? BATCH_DELIVERIES / each : BATCH_DELIVERIES;

    hw_ingest_bound(in->ingest, most > 0 ? most : 1);
}

static void accept_or_wait(struct hw_intake *in)
{
    hw_mono_ms now = hw_loop_now(in->loop), until;

    hw_dispatch_set_now(&in->courier->dispatch, now);
    until = patience(in);
    in->is_waiting_for_room = now < until;
    hw_loop_cancel(in->loop, &in->later);
    if (in->is_waiting_for_room)
        hw_loop_arm(in->loop, &in->later, until - now);
    else
        intake_accept(in);
}

static void on_later(struct hw_wheel_entry *entry)
{
    struct hw_intake *in = HW_CONTAINER_OF(entry, struct hw_intake, later);

    if (in->is_waiting_for_room)
        accept_or_wait(in);
    else
        intake_accept(in);
}

void hw_intake_look(struct hw_intake *in)
{
    if (in->is_waiting_for_room)
        accept_or_wait(in);
}

void hw_intake_on_batch(struct hw_intake *in, const struct hw_ingest_batch *batch)
{
    HW_MUST(in->batch == NULL);
    if (is_asked(in) || !reserve_batch(in, batch->n_entries)) {
        hw_ingest_done(in->ingest); /* stays pending, comes again */
        return;
    }
    batch_end(in);
    in->batch = batch;
    for (size_t i = 0; i < batch->n_entries; i++)
        check_entry(in, &batch->entries[i]);
    fix_records(in);
    if (in->n_events == 0) {
        end_if_done(in);
        return;
    }
    if (!match_all(in)) {
        hw_loop_arm(in->loop, &in->later, TROUBLE_WAIT_MS);
        return;
    }
    bound_next(in);
    in->batch_came = hw_loop_now(in->loop);
    accept_or_wait(in);
}
