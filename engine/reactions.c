/*
 * What follows from what.
 *
 *   work connection up    -> how Redis keeps data is asked -> fit: members join (or come back);
 *                            unfit: refused at the first time, not ready later; asked again
 *   joined (a new id)     -> the registry is loaded -> running: ingest, schedule, janitor, backfill begin
 *   back (the same id)    -> settles go out again -> memory and Redis are compared -> running
 *   fenced                -> everything not under way is forgotten; joined follows
 *   beat                  -> shares, holds, orphans, a changed registry
 *   end of a turn         -> who may start is started
 */
#include "parts.h"

#include <stdio.h>

enum { REJECTED_TOLD_EVERY_MS = 1000, ASK_AGAIN_MS = 10000 };

/* ---- how Redis keeps data ---- */

static void tell_durability(struct hw_engine *e)
{
    struct hw_engine_event event = hw_engine_event_make(HW_EVENT_REDIS_DURABILITY);

    event.subject = hw_durability_level_name(e->durability);
    event.text = e->durability_line;
    if (e->verdict != HW_DURABILITY_SAFE)
        event.level = HW_EVENT_WARN;
    hw_engine_tell(e, event);
}

static void judge(struct hw_engine *e)
{
    char before[sizeof e->durability_line];
    struct hw_cause cause;

    memcpy(before, e->durability_line, sizeof before);
    e->durability = hw_durability_level(&e->ask.report);
    e->verdict =
        hw_durability_judge(&e->ask.report, e->durability_line, sizeof e->durability_line);
    if (e->verdict == HW_DURABILITY_REFUSED && !e->was_usable) {
        hw_cause_set(&cause, HW_EINVAL, HW_ORIGIN_US, 0, "%s", e->durability_line);
        hw_engine_refuse(e, &cause);
        return;
    }
    e->was_usable = true;
    if (strcmp(before, e->durability_line) != 0)
        tell_durability(e);
}

static void on_judged(struct hw_durability_ask *ask, enum hw_redis_trouble trouble,
                      const struct hw_cause *cause)
{
    struct hw_engine *e = HW_CONTAINER_OF(ask, struct hw_engine, ask);

    (void)cause;
    e->is_asking = false;
    if (trouble == HW_REDIS_GONE)
        return; /* asked again when the connection is back */
    if (trouble == HW_REDIS_FINE)
        judge(e);
    hw_loop_arm(&e->loop, &e->ask_again, ASK_AGAIN_MS);
    hw_engine_look_ready(e);
    if (!e->is_waiting_for_judgement || e->verdict == HW_DURABILITY_REFUSED)
        return;
    e->is_waiting_for_judgement = false;
    hw_members_up(e->members);
}

static void ask_durability(struct hw_engine *e)
{
    if (e->is_asking)
        return;
    e->is_asking = hw_durability_send(&e->ask, e->work, on_judged) == HW_OK;
    if (!e->is_asking)
        hw_loop_arm(&e->loop, &e->ask_again, ASK_AGAIN_MS);
}

void hw_engine_on_ask_again(struct hw_wheel_entry *entry)
{
    ask_durability(HW_CONTAINER_OF(entry, struct hw_engine, ask_again));
}

/* ---- the work connection ---- */

static void on_redis_up(void *data)
{
    struct hw_engine *e = data;
    struct hw_engine_event event = hw_engine_event_make(HW_EVENT_REDIS_UP);

    e->down_text[0] = '\0';
    hw_engine_tell(e, event);
    e->is_waiting_for_judgement = true;
    ask_durability(e);
}

static void on_redis_down(void *data, const struct hw_cause *cause)
{
    struct hw_engine *e = data;
    struct hw_engine_event event = hw_engine_event_make(HW_EVENT_REDIS_DOWN);
    bool is_news = e->down_text[0] == '\0' || e->is_running;

    if (hw_engine_is_quiet(e))
        is_news = false;
    else
        snprintf(e->down_text, sizeof e->down_text, "%s", cause->note);
    e->is_running = e->is_waiting_for_judgement = false;
    hw_members_down(e->members);
    hw_hub_down(&e->backing.hub);
    hw_schedule_stop(e->schedule);
    hw_janitor_stop(e->janitor);
    hw_backfill_stop(&e->backfill);
    event.cause = cause;
    if (is_news)
        hw_engine_tell(e, event);
    hw_engine_look_ready(e);
}

const struct hw_redis_events hw_engine_redis_events = { .on_up = on_redis_up,
                                                         .on_down = on_redis_down };

void hw_engine_on_embedded_news(void *data, enum hw_embedded_news news,
                                const struct hw_cause *cause)
{
    struct hw_engine *e = data;
    struct hw_engine_event event = hw_engine_event_make(HW_EVENT_REDIS_EMBEDDED);

    event.text = cause->note;
    if (news == HW_EMBEDDED_DIED || news == HW_EMBEDDED_FAILED)
        event.level = HW_EVENT_ERROR;
    hw_engine_tell(e, event);
}

/* ---- running ---- */

/* What waits in Redis for a webhook is known to whoever put it there; look everywhere. */
static void look_for_backlogs(struct hw_engine *e)
{
    const struct hw_subscriptions *s = hw_registry_subscriptions(e->registry);

    for (size_t w = 0; w < s->n_numbers; w++)
        if (s->by_number[w] != NULL)
            hw_courier_backlog(&e->courier, (uint32_t)w, HW_BACKLOG_LIVE);
}

static void run(struct hw_engine *e)
{
    if (e->phase != HW_ENGINE_STARTED || e->is_refused)
        return;
    e->is_running = e->has_run = true;
    hw_keeper_activate(&e->keeper, true);
    hw_intake_void(&e->intake);
    hw_ingest_start(e->ingest);
    hw_schedule_start(e->schedule);
    hw_janitor_start(e->janitor);
    hw_backfill_start(&e->backfill);
    look_for_backlogs(e);
    hw_engine_look_ready(e);
}

static void on_compared(void *data)
{
    run(data);
}

static void on_joined(void *data)
{
    struct hw_engine *e = data;

    e->is_joined = true;
    hw_engine_note_trouble(e, HW_TROUBLE_BEAT, HW_REDIS_FINE, NULL);
    hw_registry_load(e->registry);
}

static void on_back(void *data)
{
    struct hw_engine *e = data;

    hw_engine_note_trouble(e, HW_TROUBLE_BEAT, HW_REDIS_FINE, NULL);
    hw_ledger_resume(e->ledger);
    hw_intake_void(&e->intake);
    if (hw_registry_is_loaded(e->registry)) {
        hw_keeper_activate(&e->keeper, true);
        hw_keeper_compare(&e->keeper, on_compared, e);
    } else {
        hw_registry_load(e->registry);
    }
}

static void on_fenced(void *data)
{
    struct hw_engine *e = data;

    e->is_joined = e->is_running = false;
    hw_keeper_activate(&e->keeper, false);
    hw_ingest_fence(e->ingest);
    hw_intake_void(&e->intake);
    hw_schedule_stop(e->schedule);
    hw_janitor_stop(e->janitor);
    hw_backfill_stop(&e->backfill);
    hw_ledger_fence(e->ledger);
    hw_hub_down(&e->backing.hub);
    hw_courier_drop_all(&e->courier);
    hw_engine_warn(e, NULL,
                   "another instance took this one's work over because its heartbeat was "
                   "not seen; joining again");
    hw_engine_look_ready(e);
}

static void on_beat(void *data, const struct hw_members_view *view)
{
    struct hw_engine *e = data;

    hw_engine_note_trouble(e, HW_TROUBLE_BEAT, HW_REDIS_FINE, NULL);
    if ((view->has_lost || view->n_live < e->n_live) && e->is_running)
        look_for_backlogs(e); /* who left knew what waits */
    if (view->n_live != e->n_live) {
        e->n_live = view->n_live;
        hw_dispatch_share(&e->courier.dispatch, view->n_live);
    }
    hw_registry_catch_up(e->registry, view->registry_total);
    hw_keeper_beat(&e->keeper, view);
    hw_dispatch_sweep(&e->courier.dispatch);
    hw_engine_look_ready(e);
    hw_turn_hook_ask(&e->loop, &e->pump);
}

static void on_refused(void *data, const struct hw_cause *cause)
{
    hw_engine_refuse(data, cause);
}

static void on_takeover(void *data, const char *id, const char *why)
{
    struct hw_engine *e = data;
    struct hw_engine_event event = hw_engine_event_make(HW_EVENT_TAKEOVER);

    event.subject = id;
    event.text = why;
    hw_engine_tell(e, event);
    hw_ingest_rescue(e->ingest);
    if (e->is_running)
        look_for_backlogs(e);
}

static void on_beat_trouble(void *data, enum hw_redis_trouble trouble,
                            const struct hw_cause *cause)
{
    hw_engine_note_trouble(data, HW_TROUBLE_BEAT, trouble, cause);
}

const struct hw_members_events hw_engine_members_events = {
    .on_joined = on_joined,
    .on_back = on_back,
    .on_fenced = on_fenced,
    .on_beat = on_beat,
    .on_refused = on_refused,
    .on_takeover = on_takeover,
    .on_trouble = on_beat_trouble,
};

/* ---- reading the stream ---- */

static void on_batch(void *data, const struct hw_ingest_batch *batch)
{
    struct hw_engine *e = data;

    hw_intake_on_batch(&e->intake, batch);
}

static void on_ingest_state(void *data, enum hw_redis_trouble trouble,
                            const struct hw_cause *cause)
{
    hw_engine_note_trouble(data, HW_TROUBLE_READ, trouble, cause);
}

static void on_rejected(void *data, struct hw_stream_id entry, enum hw_entry_reason reason)
{
    struct hw_engine *e = data;
    struct hw_engine_event event = hw_engine_event_make(HW_EVENT_EVENT_REJECTED);
    hw_mono_ms now = hw_loop_now(&e->loop);
    char id[48];

    e->n_rejected_untold++;
    if (e->rejected_told_at != 0 && now < e->rejected_told_at + REJECTED_TOLD_EVERY_MS)
        return;
    hw_stream_id_text(entry, id);
    event.subject = id;
    event.text = hw_entry_reason_text(reason);
    event.count = e->n_rejected_untold;
    e->n_rejected_untold = 0;
    e->rejected_told_at = now;
    hw_engine_tell(e, event);
}

const struct hw_ingest_events hw_engine_ingest_events = { on_batch, on_ingest_state,
                                                          on_rejected };

void hw_engine_on_accept_state(void *data, enum hw_redis_trouble trouble)
{
    struct hw_engine *e = data;

    if (trouble != e->troubles[HW_TROUBLE_ACCEPT].trouble)
        hw_engine_note_trouble(e, HW_TROUBLE_ACCEPT, trouble, NULL);
}

/* ---- feeds that others added to ---- */

void hw_engine_on_feed_added(void *data, struct hw_slice account)
{
    struct hw_engine *e = data;

    hw_hub_touch(&e->backing.hub, account);
}

void hw_engine_on_feed_gap(void *data)
{
    struct hw_engine *e = data;

    hw_hub_touch_all(&e->backing.hub);
}

/* ---- the ledger ---- */

static void on_waiting(void *data, uint32_t w, uint64_t n_waiting)
{
    struct hw_engine *e = data;

    hw_keeper_on_waiting(&e->keeper, w, n_waiting);
}

static void on_refreshed(struct hw_registry_op *op, enum hw_registry_result result)
{
    struct hw_engine *e = HW_CONTAINER_OF(op, struct hw_engine, refresh);

    (void)result; /* the beat catches up where this did not */
    e->is_refreshing = false;
}

static void tell_disabled(struct hw_engine *e, const struct hw_webhook *wh, bool is_gone)
{
    struct hw_engine_event event = hw_engine_event_make(HW_EVENT_WEBHOOK_DISABLED);

    if (is_gone)
        e->metrics.disabled_gone++;
    else
        e->metrics.disabled_failures++;
    event.account = wh->account;
    event.subject = wh->id;
    event.text =
        is_gone ? "Endpoint returned 410 Gone" : "Disabled after repeated delivery failures";
    hw_engine_tell(e, event);
    if (!e->is_refreshing)
        e->is_refreshing =
            hw_registry_refresh(e->registry, &e->refresh, hw_slice_str(wh->account),
                                on_refreshed) == HW_OK;
}

static void on_failures(void *data, uint32_t w, uint64_t consecutive, bool was_disabled_now)
{
    struct hw_engine *e = data;
    struct hw_webhook *wh = hw_subscriptions_find(hw_registry_subscriptions(e->registry), w);

    if (wh == NULL)
        return;
    wh->standing.consecutive_failures = (unsigned)consecutive;
    if (was_disabled_now)
        tell_disabled(e, wh,
                      e->config.disable_after == 0 || consecutive < e->config.disable_after);
}

static void on_ledger_state(void *data, enum hw_redis_trouble trouble,
                            const struct hw_cause *cause)
{
    hw_engine_note_trouble(data, HW_TROUBLE_WRITE, trouble, cause);
}

const struct hw_ledger_events hw_engine_ledger_events = { on_waiting, on_failures,
                                                          on_ledger_state };

/* ---- retries ---- */

static uint64_t on_due(void *data, uint32_t w)
{
    struct hw_engine *e = data;

    return hw_keeper_on_due(&e->keeper, w);
}

static void on_claimed(void *data, const struct hw_taken *items, size_t n_items)
{
    struct hw_engine *e = data;

    hw_keeper_on_claimed(&e->keeper, items, n_items);
}

const struct hw_schedule_events hw_engine_schedule_events = { on_due, on_claimed };

/* ---- the registry ---- */

static void on_loaded(void *data)
{
    struct hw_engine *e = data;

    hw_engine_note_trouble(e, HW_TROUBLE_REGISTRY, HW_REDIS_FINE, NULL);
    if (!e->is_running)
        run(e);
}

/* What is parked for a webhook that is gone or disabled is written off once. */
static void empty_parked(struct hw_engine *e, struct hw_webhook *wh)
{
    struct hw_endpoint *endpoint = hw_dispatch_endpoint(&e->courier.dispatch, wh);

    if (endpoint != NULL && endpoint->is_emptied)
        return;
    if (endpoint !=
        NULL) /* else no memory for it: its backlog is looked for on the next beat */
        endpoint->is_emptied = true;
    hw_keeper_empty(&e->keeper, wh->w);
    hw_courier_backlog(&e->courier, wh->w, HW_BACKLOG_LIVE);
}

static void on_changed(void *data, const struct hw_account *account)
{
    struct hw_engine *e = data;

    hw_courier_account_changed(&e->courier, account, hw_now_of(&e->loop));
    for (size_t i = 0; i < account->n_webhooks; i++) {
        struct hw_webhook *wh = account->webhooks[i];
        if (wh->standing.status == HW_WEBHOOK_DISABLED ||
            wh->standing.status == HW_WEBHOOK_DELETED)
            empty_parked(e, wh);
    }
}

static void on_registry_trouble(void *data, const struct hw_cause *cause)
{
    hw_engine_warn(data, cause, NULL);
}

const struct hw_registry_events hw_engine_registry_events = { on_loaded, on_changed,
                                                              on_registry_trouble };

/* ---- the courier's ports ---- */

static struct hw_engine *engine_of(struct hw_courier *c)
{
    return HW_CONTAINER_OF(c, struct hw_engine, courier);
}

static struct hw_delivery *port_delivery_new(struct hw_courier *c)
{
    return hw_keeper_delivery_new(&engine_of(c)->keeper);
}

static void port_delivery_free(struct hw_courier *c, struct hw_delivery *d)
{
    hw_keeper_delivery_free(&engine_of(c)->keeper, d);
}

static void port_start(struct hw_courier *c, struct hw_delivery *d)
{
    hw_sender_start(&engine_of(c)->sender, d);
}

static void port_settle(struct hw_courier *c, struct hw_delivery *d)
{
    hw_keeper_settle(&engine_of(c)->keeper, d);
}

static void port_mark(struct hw_courier *c, struct hw_delivery *d)
{
    hw_keeper_mark(&engine_of(c)->keeper, d);
}

static void port_refill(struct hw_courier *c, struct hw_endpoint *endpoint,
                        struct hw_wanted wanted)
{
    hw_keeper_refill(&engine_of(c)->keeper, endpoint, wanted);
}

static void port_ask_pump(struct hw_courier *c)
{
    struct hw_engine *e = engine_of(c);

    hw_turn_hook_ask(&e->loop, &e->pump);
}

static void port_doubt(struct hw_courier *c)
{
    hw_keeper_doubt(&engine_of(c)->keeper);
}

const struct hw_courier_ports hw_engine_courier_ports = {
    .delivery_new = port_delivery_new,
    .delivery_free = port_delivery_free,
    .start = port_start,
    .settle = port_settle,
    .mark = port_mark,
    .refill = port_refill,
    .ask_pump = port_ask_pump,
    .doubt = port_doubt,
};

bool hw_engine_may_start(void *data)
{
    const struct hw_engine *e = data;

    return e->phase == HW_ENGINE_STARTED &&
           hw_members_may_start(e->members, hw_loop_now(&e->loop));
}

void hw_engine_on_pump(struct hw_turn_hook *hook)
{
    struct hw_engine *e = HW_CONTAINER_OF(hook, struct hw_engine, pump);

    hw_dispatch_stop(&e->courier.dispatch, !hw_engine_may_start(e));
    hw_courier_pump(&e->courier, hw_now_of(&e->loop));
    hw_intake_look(&e->intake);
    if (e->phase == HW_ENGINE_DRAINING)
        hw_engine_drain_look(e);
}
