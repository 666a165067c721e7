/*
 * start -> claim (what instances that are no more left pending becomes ours) -> our own pending
 * entries until there are none -> new ones, blocking up to 2 s -> on_batch -> done -> ...
 *
 * While a batch is out the next one is read ahead, so that Redis and we do not wait for each other;
 * it is handed over at done, before anything else is looked at.
 *
 * Claimed entries may be what killed their reader (recovery.h): one at a time,
 *   read one -> mark -> on_batch (accept clears it); or it was poison -> read on.
 *
 * From time to time, and after the intake connection was lost, both kinds of pending ones are
 * looked at again: whatever was given up or read by nobody comes back that way.
 *
 * Group gone        made anew at 0.
 * Refused           tried again after RETRY_MS.
 * Connection lost   redis.c makes it again -> our own pending ones first.
 */
#include "store/ingest.h"

#include "hookwheel/alloc.h"
#include "store/reader.h"
#include "store/recovery.h"

enum {
    COUNT_FIRST = 16, /* nothing is known of their size yet */
    COUNT_MAX = 256, /* a batch must fit into the queues behind */
    READ_BYTES = 1024 * 1024, /* wanted of one read */
    RETRY_MS = 500
};

struct hw_ingest {
    struct hw_ingest_options options;
    struct hw_store *store;
    bool is_on; /* between start and fence or close */
    bool is_batch_out;
    bool had_trouble;
    bool wants_group;    /* the group is gone */
    unsigned generation; /* of start and fence: an answer from before is dropped */

    struct hw_reader reader;
    unsigned read_generation;
    size_t count; /* COUNT of the next read */
    size_t most;  /* and what bounds it */
    struct hw_wheel_entry retry;

    struct hw_batch kept; /* what the batch points to */
    struct hw_ingest_batch batch;
    struct hw_batch ahead; /* read while the batch was out */
    bool is_ahead;         /* there is something in it */

    struct hw_recovery recovery; /* of pending ones */
    struct hw_rejects rejects;

    bool is_stopping;
    void (*stop_cb)(void *data);
    void *stop_data;
    struct hw_wheel_entry stopped; /* the answer comes through the wheel */

    bool is_closing;
    struct hw_closing closing; /* the reader, requests on the work connection */
    void (*close_cb)(void *data);
    void *close_data;
};

static void step(struct hw_ingest *g);

/* ---- state for the outside ---- */

static void told_of(struct hw_ingest *g, enum hw_redis_trouble what,
                    const struct hw_cause *cause)
{
    if (what == HW_REDIS_FINE && !g->had_trouble)
        return;
    g->had_trouble = what != HW_REDIS_FINE;
    g->options.events->on_state(g->options.data, what, cause);
}

static void try_later(struct hw_ingest *g)
{
    hw_loop_arm(g->store->loop, &g->retry, RETRY_MS);
}

/* ---- what a read brought ---- */

/* Down at once, up by and by: among small entries there may be some that are so large that many of
 * them are more than one answer can be. */
static void choose_count(struct hw_ingest *g, size_t fitting)
{
    size_t most = 4 * g->count < g->most ? 4 * g->count : g->most;

    g->count = fitting < 1 ? 1 : fitting > most ? most : fitting;
}

/* reply: {{stream, {{id, {name, value ...}} ...}}} */
static bool keep_batch(struct hw_ingest *g, struct hw_batch *b, const struct hw_reply *reply)
{
    const struct hw_reply *entries = hw_reply_item(hw_reply_item(reply, 0), 1);

    if (hw_batch_keep(b, entries, g->store->engine_key) != HW_OK)
        return false;
    for (size_t i = 0; i < entries->n_items; i++)
        if (hw_reply_item(&entries->items[i], 1)->n_items < 2)
            hw_recovery_add_deleted(&g->recovery, hw_reply_item(&entries->items[i], 0)->text);
    if (b->is_cut)
        g->recovery.wants_own = true;
    if (b->n_entries > 0)
        choose_count(g, READ_BYTES / (b->n_bytes / b->n_entries + 1));
    return true;
}

static void read_ahead(struct hw_ingest *g);

static void hand_over(struct hw_ingest *g, bool is_marked)
{
    g->batch = (struct hw_ingest_batch){ g->kept.entries, g->kept.n_entries, is_marked };
    g->is_batch_out = true;
    read_ahead(g);
    g->options.events->on_batch(g->options.data, &g->batch);
}

static void hand_over_ahead(struct hw_ingest *g)
{
    struct hw_batch kept = g->kept;

    g->kept = g->ahead;
    g->ahead = kept;
    g->is_ahead = false;
    hand_over(g, false);
}

/* ---- reading ---- */

static void mark(struct hw_ingest *g)
{
    if (hw_recovery_mark(&g->recovery, &g->kept.entries[0]) != HW_OK)
        try_later(g);
}

static void found_own(struct hw_ingest *g, bool has_any)
{
    if (!has_any) {
        hw_recovery_found_none(&g->recovery);
        step(g);
    } else if (g->kept.n_entries == 0) {
        try_later(g); /* all deleted: gone when the ack is through */
    } else if (hw_recovery_is_same_again(&g->recovery, g->kept.entries[0].id)) {
        try_later(g); /* it was given up just now: not at once again */
    } else if (g->recovery.is_careful) {
        mark(g);
    } else {
        hand_over(g, false);
    }
}

static void found(struct hw_ingest *g, enum hw_reading kind, const struct hw_reply *reply)
{
    bool has_any = hw_reply_item(hw_reply_item(reply, 0), 1)->n_items > 0;
    struct hw_batch *to = g->is_batch_out ? &g->ahead : &g->kept;

    if (has_any && !keep_batch(g, to, reply)) {
        g->recovery.wants_own = true; /* no memory now: they are pending */
        try_later(g);
        return;
    }
    hw_recovery_send_acks(&g->recovery);
    if (kind == HW_READING_OWN)
        found_own(g, has_any);
    else if (!has_any || to->n_entries == 0)
        step(g);
    else if (g->is_batch_out)
        g->is_ahead = true;
    else
        hand_over(g, false);
}

static void read_answered(struct hw_ingest *g, enum hw_reading kind,
                          enum hw_redis_trouble what, const struct hw_reply *reply,
                          const struct hw_cause *cause)
{
    if (g->read_generation != g->generation) {
        /* What it brought is pending: ours if the name still is. */
        g->recovery.wants_own = true;
        step(g);
        return;
    }
    if (what == HW_REDIS_NOGROUP)
        g->wants_group = true;
    told_of(g, what, cause);
    if (what == HW_REDIS_FINE)
        found(g, kind, reply);
    else if (what == HW_REDIS_NOGROUP)
        step(g);
    else if (what != HW_REDIS_GONE)
        try_later(g);
}

static void group_answered(struct hw_ingest *g, enum hw_redis_trouble what,
                           const struct hw_cause *cause)
{
    if (what == HW_REDIS_GONE)
        return;
    /* REFUSED: BUSYGROUP, another instance was faster; anything else shows with the next read. */
    g->wants_group = what != HW_REDIS_FINE && what != HW_REDIS_REFUSED;
    if (what == HW_REDIS_FINE) {
        step(g);
    } else {
        if (g->wants_group)
            told_of(g, what, cause);
        try_later(g);
    }
}

static void on_answer(struct hw_reader *reader, enum hw_reading kind,
                      enum hw_redis_trouble what, const struct hw_reply *reply,
                      const struct hw_cause *cause)
{
    struct hw_ingest *g = HW_CONTAINER_OF(reader, struct hw_ingest, reader);

    if (g->is_closing)
        return;
    if (kind == HW_READING_GROUP)
        group_answered(g, what, cause);
    else
        read_answered(g, kind, what, reply, cause);
}

static void on_up(struct hw_reader *reader)
{
    struct hw_ingest *g = HW_CONTAINER_OF(reader, struct hw_ingest, reader);

    g->recovery.wants_own = true; /* a read whose answer was lost may have left some */
    step(g);
}

static void on_down(struct hw_reader *reader, const struct hw_cause *cause)
{
    struct hw_ingest *g = HW_CONTAINER_OF(reader, struct hw_ingest, reader);

    g->count = 1; /* what was asked for may have been too large to come */
    told_of(g, HW_REDIS_GONE, cause);
    step(g); /* stopping does not wait for it */
}

static const struct hw_reader_events reader_events = { on_up, on_down, on_answer };

static void begin_read(struct hw_ingest *g, enum hw_reading kind)
{
    bool is_alone = kind == HW_READING_OWN && g->recovery.is_careful;

    g->read_generation = g->generation;
    if (hw_reader_read(&g->reader, kind, hw_members_consumer(g->options.members),
                       is_alone ? 1 : g->count) != HW_OK)
        try_later(g);
}

static void make_group(struct hw_ingest *g)
{
    if (hw_reader_make_group(&g->reader) != HW_OK)
        try_later(g);
}

/* ---- pending ones ---- */

static struct hw_ingest *ingest_of(struct hw_recovery *recovery)
{
    return HW_CONTAINER_OF(recovery, struct hw_ingest, recovery);
}

static void on_next(struct hw_recovery *recovery)
{
    step(ingest_of(recovery));
}

static void on_marked(struct hw_recovery *recovery)
{
    hand_over(ingest_of(recovery), true);
}

static void on_stuck(struct hw_recovery *recovery, enum hw_redis_trouble what,
                     const struct hw_cause *cause)
{
    struct hw_ingest *g = ingest_of(recovery);

    if (g->is_closing)
        return;
    if (what != HW_REDIS_FINE)
        told_of(g, what, cause);
    try_later(g);
}

static void on_group_gone(struct hw_recovery *recovery)
{
    struct hw_ingest *g = ingest_of(recovery);

    g->wants_group = true;
    step(g);
}

static const struct hw_recovery_events recovery_events = { on_next, on_marked, on_stuck,
                                                           on_group_gone };

static void claim(struct hw_ingest *g)
{
    if (hw_recovery_claim(&g->recovery) != HW_OK)
        try_later(g);
}

void hw_ingest_rescue(struct hw_ingest *g)
{
    if (g->is_on && !g->is_stopping)
        hw_recovery_hurry(&g->recovery);
}

/* ---- rejecting ---- */

static void on_rejected(struct hw_rejects *rejects, struct hw_stream_id entry,
                        enum hw_entry_reason reason)
{
    struct hw_ingest *g = HW_CONTAINER_OF(rejects, struct hw_ingest, rejects);

    if (!g->is_closing)
        g->options.events->on_rejected(g->options.data, entry, reason);
}

enum hw_status hw_ingest_reject(struct hw_ingest *g, struct hw_reject *r,
                                const struct hw_ingest_entry *entry,
                                enum hw_entry_reason reason, hw_reject_cb cb)
{
    return hw_rejects_send(&g->rejects, r, entry, reason, cb);
}

/* ---- what comes next ---- */

static bool may_read(const struct hw_ingest *g)
{
    return g->is_on && g->reader.is_up && !hw_wheel_is_armed(&g->retry);
}

/* Only new ones: what is pending under our name is to be read when nothing of it is in hand. */
static void read_ahead(struct hw_ingest *g)
{
    const struct hw_recovery *r = &g->recovery;

    if (g->is_ahead || g->is_stopping || g->reader.reading != HW_READING_NOTHING ||
        !may_read(g) || g->wants_group || r->wants_claim || r->wants_own || r->is_careful)
        return;
    begin_read(g, HW_READING_NEW);
}

static bool is_idle(const struct hw_ingest *g)
{
    return g->reader.reading == HW_READING_NOTHING && !g->is_batch_out &&
           !g->recovery.is_marking;
}

static void step(struct hw_ingest *g)
{
    if (g->is_closing)
        return;
    if (g->is_batch_out) {
        read_ahead(g);
        return;
    }
    if (g->is_ahead) {
        hand_over_ahead(g);
        return;
    }
    if (!is_idle(g))
        return;
    if (g->is_stopping) {
        hw_loop_arm(g->store->loop, &g->stopped, 0);
        return;
    }
    if (!may_read(g))
        return;
    if (g->wants_group)
        make_group(g);
    else if (g->recovery.wants_claim)
        claim(g);
    else if (g->recovery.wants_own)
        begin_read(g, HW_READING_OWN);
    else
        begin_read(g, HW_READING_NEW);
}

static void on_retry(struct hw_wheel_entry *e)
{
    step(HW_CONTAINER_OF(e, struct hw_ingest, retry));
}

void hw_ingest_start(struct hw_ingest *g)
{
    g->generation++;
    g->is_on = true;
    g->is_batch_out = g->is_ahead = false;
    hw_loop_cancel(g->store->loop, &g->retry);
    hw_recovery_start(&g->recovery);
    step(g);
}

void hw_ingest_fence(struct hw_ingest *g)
{
    g->generation++;
    g->is_on = false;
    g->is_batch_out = g->is_ahead = false;
    hw_recovery_stop(&g->recovery);
    step(g);
}

void hw_ingest_done(struct hw_ingest *g)
{
    g->is_batch_out = false;
    step(g);
}

void hw_ingest_bound(struct hw_ingest *g, size_t most)
{
    g->most = most < COUNT_MAX ? most : COUNT_MAX;
    if (g->count > g->most)
        g->count = g->most;
}

hw_mono_ms hw_ingest_last_read(const struct hw_ingest *g)
{
    return g->reader.last_read;
}

/* ---- stop ---- */

static void on_stopped(struct hw_wheel_entry *e)
{
    struct hw_ingest *g = HW_CONTAINER_OF(e, struct hw_ingest, stopped);
    void (*cb)(void *data) = g->stop_cb;

    g->is_on = false;
    hw_recovery_stop(&g->recovery);
    g->stop_cb = NULL;
    if (cb != NULL)
        cb(g->stop_data);
}

void hw_ingest_stop(struct hw_ingest *g, void (*cb)(void *data), void *data)
{
    g->is_stopping = true;
    g->stop_cb = cb;
    g->stop_data = data;
    hw_recovery_rest(&g->recovery);
    if (g->reader.reading == HW_READING_NEW)
        hw_reader_unblock(&g->reader);
    step(g);
}

/* ---- life ---- */

enum hw_status hw_ingest_open(struct hw_ingest **out, const struct hw_ingest_options *options,
                              struct hw_cause *cause)
{
    struct hw_ingest *g = hw_calloc(1, sizeof *g);

    if (g == NULL)
        return hw_cause_set(cause, HW_ENOMEM, HW_ORIGIN_US, 0, "ingest");
    g->options = *options;
    g->store = options->store;
    g->count = COUNT_FIRST;
    g->most = COUNT_MAX;
    hw_closing_init(&g->closing);
    hw_batch_init(&g->kept);
    hw_batch_init(&g->ahead);
    hw_wheel_entry_init(&g->retry, on_retry);
    hw_wheel_entry_init(&g->stopped, on_stopped);
    g->rejects =
        (struct hw_rejects){ g->store, &g->closing, options->rejected_max, on_rejected };
    struct hw_recovery_options recovery = { g->store, options->members, &g->rejects,
                                            &g->closing, &recovery_events };
    hw_recovery_init(&g->recovery, &recovery);
    struct hw_reader_options reader = { g->store, options->target, options->trust, &g->closing,
                                        &reader_events };
    enum hw_status status = hw_reader_open(&g->reader, &reader, cause);
    if (status != HW_OK) {
        hw_free(g);
        return status;
    }
    *out = g;
    return HW_OK;
}

static void on_all_ended(struct hw_closing *closing)
{
    struct hw_ingest *g = HW_CONTAINER_OF(closing, struct hw_ingest, closing);
    void (*cb)(void *data) = g->close_cb;
    void *data = g->close_data;

    hw_recovery_close(&g->recovery);
    hw_batch_close(&g->kept);
    hw_batch_close(&g->ahead);
    hw_free(g);
    cb(data);
}

void hw_ingest_close(struct hw_ingest *g, void (*cb)(void *data), void *data)
{
    g->is_closing = true;
    g->is_on = false;
    g->close_cb = cb;
    g->close_data = data;
    hw_loop_cancel(g->store->loop, &g->retry);
    hw_loop_cancel(g->store->loop, &g->stopped);
    hw_recovery_stop(&g->recovery);
    hw_closing_begin(&g->closing, on_all_ended);
    hw_reader_close(&g->reader);
}
