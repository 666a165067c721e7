/*
 * start -> rescue (what instances that are no more left pending becomes ours) -> our own pending
 * entries until there are none -> new ones, blocking up to 2 s -> on_batch -> done -> ...
 *
 * Rescued entries may be what killed their reader: one at a time, each under a mark:
 *   read one -> mark -> found too often: reject as poison; else on_batch (accept clears it).
 *
 * Every RESCUE_EVERY_MS, and after the intake connection was lost, both kinds of pending ones
 * are looked at again: whatever was given up or read by nobody comes back that way.
 *
 * Group gone        made anew at 0.
 * Refused           tried again after RETRY_MS.
 * Connection lost   redis.c makes it again -> our own pending ones first.
 */
#include "store/ingest.h"

#include "hookwheel/alloc.h"
#include "redis/scripts.h"

enum {
    COUNT_MIN = 16,
    COUNT_MAX = 128, /* more buys nothing, and a batch must fit into the queues behind */
    READ_BYTES = 1024 * 1024, /* wanted of one read */
    BLOCK_MS = 2000,
    REPLY_TIMEOUT_MS = 10000, /* of a read, blocking included */
    RETRY_MS = 500,
    RESCUE_EVERY_MS = 15000,
    RESCUE_COUNT = 1000,
    POISON_FOUND = 3, /* marks found before: rejected */
    REJECT_VALUE_MAX = 4096,
    REJECT_NAME_MAX = 256,
    REJECT_FIELDS_MAX = 1000
};

enum reading { READING_NOTHING, READING_NEW, READING_OWN, READING_GROUP };

struct hw_ingest {
    struct hw_ingest_options options;
    struct hw_store *store;
    struct hw_redis *intake; /* owned */
    bool is_up;
    bool is_on; /* between start and fence or close */
    bool is_paused;
    bool is_batch_out;
    bool had_trouble;
    bool wants_own;      /* our own pending ones come next */
    bool wants_group;    /* the group is gone */
    bool wants_rescue;   /* before the first read */
    bool is_careful;     /* ... and one at a time, marked */
    unsigned generation; /* of start and fence: an answer from before is dropped */

    enum reading reading;
    unsigned read_generation;
    struct hw_redis_req read_req;
    struct hw_command read_command;
    size_t count; /* COUNT of the next read */
    hw_mono_ms last_read;
    struct hw_stream_id
        last_own; /* first of the last own ones: the same again is waited for */
    struct hw_wheel_entry retry;

    struct hw_batch kept; /* what the batch points to */
    struct hw_ingest_batch batch;

    /* On the work connection. */
    unsigned n_work; /* requests of ours under way there: close waits */
    bool is_rescuing;
    struct hw_redis_req rescue_req;
    struct hw_command rescue_command;
    struct hw_wheel_entry rescue_timer;
    bool is_marking;
    unsigned mark_generation;
    struct hw_redis_req mark_req;
    struct hw_command mark_command;
    struct hw_reject poison;
    bool is_acking;
    struct hw_redis_req ack_req; /* of entries that were deleted while pending */
    struct hw_command ack_command;

    int64_t client_id; /* of the intake connection; 0: not known */
    struct hw_redis_req id_req, unblock_req;
    struct hw_command id_command, unblock_command;
    bool is_unblocking;

    bool is_stopping;
    void (*stop_cb)(void *data);
    void *stop_data;
    struct hw_wheel_entry stopped; /* the answer comes through the wheel */

    bool is_closing, is_intake_closed;
    void (*close_cb)(void *data);
    void *close_data;
};

static void step(struct hw_ingest *g);
static void close_if_done(struct hw_ingest *g);

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

static bool work_send(struct hw_ingest *g, struct hw_redis_req *req, struct hw_command *c,
                      hw_redis_cb cb)
{
    if (hw_buf_failed(&c->args) != HW_OK || hw_redis_send(g->store->work, req, c, cb) != HW_OK)
        return false;
    g->n_work++;
    return true;
}

static void work_done(struct hw_ingest *g)
{
    g->n_work--;
    if (g->is_closing)
        close_if_done(g);
}

/* ---- what a read brought ---- */

/* An entry that was deleted while pending has nothing left to accept. */
static void ack_deleted(struct hw_ingest *g, struct hw_slice id)
{
    struct hw_command *c = &g->ack_command;

    if (g->is_acking)
        return; /* it comes again */
    if (c->n_args == 0) {
        hw_command_str(c, "XACK");
        hw_command_str(c, g->store->keys.events);
        hw_command_str(c, g->store->keys.group);
    }
    hw_command_add(c, id);
}

static void on_acked(struct hw_redis_req *req, enum hw_redis_trouble what,
                     const struct hw_reply *reply, const struct hw_cause *cause)
{
    struct hw_ingest *g = HW_CONTAINER_OF(req, struct hw_ingest, ack_req);

    (void)what;
    (void)reply;
    (void)cause;
    g->is_acking = false;
    hw_command_reset(&g->ack_command);
    work_done(g);
}

static void send_ack(struct hw_ingest *g)
{
    if (g->is_acking || g->ack_command.n_args == 0)
        return;
    g->is_acking = work_send(g, &g->ack_req, &g->ack_command, on_acked);
}

/* reply: {{stream, {{id, {name, value ...}} ...}}} */
static bool keep_batch(struct hw_ingest *g, const struct hw_reply *reply)
{
    const struct hw_reply *entries = hw_reply_item(hw_reply_item(reply, 0), 1);

    if (hw_batch_keep(&g->kept, entries, g->store->engine_key) != HW_OK)
        return false;
    for (size_t i = 0; i < entries->n_items; i++)
        if (hw_reply_item(&entries->items[i], 1)->n_items < 2)
            ack_deleted(g, hw_reply_item(&entries->items[i], 0)->text);
    g->batch = (struct hw_ingest_batch){ g->kept.entries, g->kept.n_entries, false };
    if (g->kept.n_entries > 0)
        g->count = READ_BYTES / (g->kept.n_bytes / g->kept.n_entries + 1);
    if (g->count < COUNT_MIN)
        g->count = COUNT_MIN;
    if (g->count > COUNT_MAX)
        g->count = COUNT_MAX;
    return true;
}

static void hand_over(struct hw_ingest *g, bool is_marked)
{
    g->batch.is_marked = is_marked;
    g->is_batch_out = true;
    g->options.events->on_batch(g->options.data, &g->batch);
}

/* ---- marks ---- */

static void on_poison_rejected(struct hw_reject *r, enum hw_redis_trouble what)
{
    struct hw_ingest *g = r->ingest;

    g->is_marking = false;
    if (what == HW_REDIS_FINE)
        step(g);
    else
        try_later(g);
}

static void reject_poison(struct hw_ingest *g)
{
    if (hw_ingest_reject(g, &g->poison, &g->kept.entries[0], HW_ENTRY_POISON,
                         on_poison_rejected) == HW_OK) {
        g->is_marking = true;
    } else {
        try_later(g);
    }
}

static void on_marked(struct hw_redis_req *req, enum hw_redis_trouble what,
                      const struct hw_reply *reply, const struct hw_cause *cause)
{
    struct hw_ingest *g = HW_CONTAINER_OF(req, struct hw_ingest, mark_req);

    g->is_marking = false;
    work_done(g);
    if (g->is_closing)
        return;
    if (g->mark_generation != g->generation || !g->is_on) {
        step(g);
    } else if (what != HW_REDIS_FINE) {
        told_of(g, what, cause);
        try_later(g);
    } else if (hw_reply_int(reply, 0) >= POISON_FOUND) {
        reject_poison(g);
    } else {
        hand_over(g, true);
    }
}

static void mark(struct hw_ingest *g)
{
    char id[48];

    hw_stream_id_text(g->kept.entries[0].id, id);
    hw_store_eval(g->store, &g->mark_command, &hw_script_mark, NULL, NULL);
    hw_command_fmt(&g->mark_command, "e:%s", id);
    g->mark_generation = g->generation;
    g->is_marking = work_send(g, &g->mark_req, &g->mark_command, on_marked);
    if (!g->is_marking)
        try_later(g);
}

/* ---- reading ---- */

static bool is_same_as_before(struct hw_ingest *g)
{
    bool is_same = hw_stream_id_cmp(g->kept.entries[0].id, g->last_own) == 0;

    g->last_own = g->kept.entries[0].id;
    return is_same;
}

static void found_own(struct hw_ingest *g, bool has_any)
{
    if (!has_any) {
        g->wants_own = g->is_careful = false;
        g->last_own = (struct hw_stream_id){ 0, 0 };
        step(g);
    } else if (g->batch.n_entries == 0) {
        try_later(g); /* all deleted: gone when the ack is through */
    } else if (is_same_as_before(g)) {
        g->last_own = (struct hw_stream_id){ 0, 0 };
        try_later(g); /* it was given up just now: not at once again */
    } else if (g->is_careful) {
        mark(g);
    } else {
        hand_over(g, false);
    }
}

static void found(struct hw_ingest *g, enum reading kind, const struct hw_reply *reply)
{
    bool has_any = hw_reply_item(hw_reply_item(reply, 0), 1)->n_items > 0;

    if (has_any && !keep_batch(g, reply)) {
        g->wants_own = true; /* no memory now: they are pending */
        try_later(g);
        return;
    }
    send_ack(g);
    if (kind == READING_OWN)
        found_own(g, has_any);
    else if (kind == READING_NEW && has_any && g->batch.n_entries > 0)
        hand_over(g, false);
    else
        step(g);
}

static void on_read(struct hw_redis_req *req, enum hw_redis_trouble what,
                    const struct hw_reply *reply, const struct hw_cause *cause)
{
    struct hw_ingest *g = HW_CONTAINER_OF(req, struct hw_ingest, read_req);
    enum reading kind = g->reading;

    g->reading = READING_NOTHING;
    if (g->is_closing)
        return;
    if (what == HW_REDIS_FINE)
        g->last_read = hw_loop_now(g->store->loop);
    if (g->read_generation != g->generation) {
        g->wants_own = true; /* what it brought is pending: ours if the name still is */
        step(g);
        return;
    }
    if (what == HW_REDIS_NOGROUP)
        g->wants_group = true;
    told_of(g, what, cause);
    if (what == HW_REDIS_FINE)
        found(g, kind, reply);
    else if (what == HW_REDIS_NOGROUP && kind != READING_GROUP)
        step(g);
    else if (what != HW_REDIS_GONE)
        try_later(g);
}

static void send_read(struct hw_ingest *g, enum reading kind)
{
    g->read_generation = g->generation;
    g->read_req.may_block = kind == READING_NEW;
    if (hw_redis_send(g->intake, &g->read_req, &g->read_command, on_read) == HW_OK)
        g->reading = kind;
    else
        try_later(g);
}

static void begin_read(struct hw_ingest *g, size_t count)
{
    struct hw_command *c = &g->read_command;

    hw_command_reset(c);
    hw_command_str(c, "XREADGROUP");
    hw_command_str(c, "GROUP");
    hw_command_str(c, g->store->keys.group);
    hw_command_str(c, hw_members_consumer(g->options.members));
    hw_command_str(c, "COUNT");
    hw_command_u64(c, count);
}

static void read_own(struct hw_ingest *g)
{
    begin_read(g, g->is_careful ? 1 : g->count);
    hw_command_str(&g->read_command, "STREAMS");
    hw_command_str(&g->read_command, g->store->keys.events);
    hw_command_str(&g->read_command, "0");
    send_read(g, READING_OWN);
}

static void read_new(struct hw_ingest *g)
{
    begin_read(g, g->count);
    hw_command_str(&g->read_command, "BLOCK");
    hw_command_u64(&g->read_command, BLOCK_MS);
    hw_command_str(&g->read_command, "STREAMS");
    hw_command_str(&g->read_command, g->store->keys.events);
    hw_command_str(&g->read_command, ">");
    send_read(g, READING_NEW);
}

static void on_group(struct hw_redis_req *req, enum hw_redis_trouble what,
                     const struct hw_reply *reply, const struct hw_cause *cause)
{
    struct hw_ingest *g = HW_CONTAINER_OF(req, struct hw_ingest, read_req);

    (void)reply;
    g->reading = READING_NOTHING;
    if (g->is_closing || what == HW_REDIS_GONE)
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

static void make_group(struct hw_ingest *g)
{
    struct hw_command *c = &g->read_command;

    hw_command_reset(c);
    hw_command_str(c, "XGROUP");
    hw_command_str(c, "CREATE");
    hw_command_str(c, g->store->keys.events);
    hw_command_str(c, g->store->keys.group);
    hw_command_str(c, "0");
    hw_command_str(c, "MKSTREAM");
    g->read_generation = g->generation;
    if (hw_redis_send(g->intake, &g->read_req, c, on_group) == HW_OK)
        g->reading = READING_GROUP;
    else
        try_later(g);
}

/* ---- rescue ---- */

static void rescue(struct hw_ingest *g);

static void on_rescued(struct hw_redis_req *req, enum hw_redis_trouble what,
                       const struct hw_reply *reply, const struct hw_cause *cause)
{
    struct hw_ingest *g = HW_CONTAINER_OF(req, struct hw_ingest, rescue_req);

    g->is_rescuing = false;
    work_done(g);
    if (g->is_closing || !g->is_on)
        return;
    if (what == HW_REDIS_FINE) {
        if (hw_reply_int(hw_reply_item(reply, 0), 0) > 0)
            g->wants_own = g->is_careful = true;
        if (hw_reply_int(hw_reply_item(reply, 1), 0) > 0) {
            rescue(g);
            return;
        }
        g->wants_rescue = false;
        step(g);
    } else if (what == HW_REDIS_NOGROUP) {
        g->wants_group = true;
        step(g);
    } else if (what != HW_REDIS_GONE && what != HW_REDIS_FENCED) {
        told_of(g, what, cause);
        try_later(g);
    }
}

static void rescue(struct hw_ingest *g)
{
    struct hw_command *c = &g->rescue_command;

    if (g->is_rescuing)
        return;
    hw_store_eval(g->store, c, &hw_script_rescue, g->store->keys.events, NULL);
    hw_command_str(c, g->store->keys.group);
    hw_command_str(c, hw_members_consumer(g->options.members));
    hw_command_u64(c, RESCUE_COUNT);
    g->is_rescuing = work_send(g, &g->rescue_req, c, on_rescued);
    if (!g->is_rescuing && g->wants_rescue)
        try_later(g);
}

static void on_rescue_timer(struct hw_wheel_entry *e)
{
    struct hw_ingest *g = HW_CONTAINER_OF(e, struct hw_ingest, rescue_timer);

    hw_loop_arm(g->store->loop, &g->rescue_timer, RESCUE_EVERY_MS);
    g->wants_own = true;
    rescue(g);
}

void hw_ingest_rescue(struct hw_ingest *g)
{
    if (g->is_on && !g->is_stopping)
        hw_loop_arm(g->store->loop, &g->rescue_timer, 0);
}

/* ---- what comes next ---- */

static bool is_idle(const struct hw_ingest *g)
{
    return g->reading == READING_NOTHING && !g->is_batch_out && !g->is_marking;
}

static void step(struct hw_ingest *g)
{
    if (g->is_closing || !is_idle(g))
        return;
    if (g->is_stopping) {
        hw_loop_arm(g->store->loop, &g->stopped, 0);
        return;
    }
    if (!g->is_on || !g->is_up || g->is_paused || hw_wheel_is_armed(&g->retry))
        return;
    if (g->wants_group)
        make_group(g);
    else if (g->wants_rescue)
        rescue(g);
    else if (g->wants_own)
        read_own(g);
    else
        read_new(g);
}

static void on_retry(struct hw_wheel_entry *e)
{
    step(HW_CONTAINER_OF(e, struct hw_ingest, retry));
}

void hw_ingest_start(struct hw_ingest *g)
{
    g->generation++;
    g->is_on = true;
    g->is_batch_out = false;
    g->wants_own = g->wants_rescue = true;
    g->is_careful = false;
    hw_loop_cancel(g->store->loop, &g->retry);
    hw_loop_arm(g->store->loop, &g->rescue_timer, RESCUE_EVERY_MS);
    step(g);
}

void hw_ingest_fence(struct hw_ingest *g)
{
    g->generation++;
    g->is_on = false;
    g->is_batch_out = false;
    hw_loop_cancel(g->store->loop, &g->rescue_timer);
    step(g);
}

void hw_ingest_done(struct hw_ingest *g)
{
    g->is_batch_out = false;
    step(g);
}

void hw_ingest_pause(struct hw_ingest *g)
{
    g->is_paused = true;
}

void hw_ingest_resume(struct hw_ingest *g)
{
    g->is_paused = false;
    step(g);
}

hw_mono_ms hw_ingest_last_read(const struct hw_ingest *g)
{
    return g->last_read;
}

/* ---- stop ---- */

static void on_unblocked(struct hw_redis_req *req, enum hw_redis_trouble what,
                         const struct hw_reply *reply, const struct hw_cause *cause)
{
    struct hw_ingest *g = HW_CONTAINER_OF(req, struct hw_ingest, unblock_req);

    (void)what; /* not allowed: then the read ends by itself, within BLOCK_MS */
    (void)reply;
    (void)cause;
    g->is_unblocking = false;
    work_done(g);
}

static void unblock(struct hw_ingest *g)
{
    struct hw_command *c = &g->unblock_command;

    if (g->client_id == 0 || g->is_unblocking)
        return;
    hw_command_reset(c);
    hw_command_str(c, "CLIENT");
    hw_command_str(c, "UNBLOCK");
    hw_command_u64(c, (uint64_t)g->client_id);
    g->is_unblocking = work_send(g, &g->unblock_req, c, on_unblocked);
}

static void on_stopped(struct hw_wheel_entry *e)
{
    struct hw_ingest *g = HW_CONTAINER_OF(e, struct hw_ingest, stopped);
    void (*cb)(void *data) = g->stop_cb;

    g->is_on = false;
    g->stop_cb = NULL;
    if (cb != NULL)
        cb(g->stop_data);
}

void hw_ingest_stop(struct hw_ingest *g, void (*cb)(void *data), void *data)
{
    g->is_stopping = true;
    g->stop_cb = cb;
    g->stop_data = data;
    hw_loop_cancel(g->store->loop, &g->rescue_timer);
    if (g->reading == READING_NEW)
        unblock(g);
    step(g);
}

/* ---- reject ---- */

static struct hw_slice cut(struct hw_slice text, size_t max)
{
    return hw_slice(text.data, text.len < max ? text.len : max);
}

static void write_fields(struct hw_command *c, const struct hw_ingest_entry *entry)
{
    for (size_t i = 0; i < entry->n_fields && i < REJECT_FIELDS_MAX; i++) {
        struct hw_slice name = cut(entry->fields[i].name, REJECT_NAME_MAX);
        struct hw_slice value = entry->fields[i].value;
        hw_command_add(c, name);
        hw_command_add(c, cut(value, REJECT_VALUE_MAX));
        if (value.len > REJECT_VALUE_MAX) {
            hw_command_fmt(c, "%.*s_bytes", HW_SLICE_FMT(name));
            hw_command_u64(c, value.len);
        }
    }
}

static void on_reject(struct hw_redis_req *req, enum hw_redis_trouble what,
                      const struct hw_reply *reply, const struct hw_cause *cause)
{
    struct hw_reject *r = HW_CONTAINER_OF(req, struct hw_reject, req);
    struct hw_ingest *g = r->ingest;

    (void)cause;
    hw_command_close(&r->command);
    bool is_done = what == HW_REDIS_FINE && hw_reply_int(reply, 0) == 1;
    if (is_done) /* refused, it comes again */
        g->store->metrics->events_rejected[r->reason]++;
    if (is_done && !g->is_closing)
        g->options.events->on_rejected(g->options.data, r->entry, r->reason);
    r->cb(r, what);
    work_done(g);
}

enum hw_status hw_ingest_reject(struct hw_ingest *g, struct hw_reject *r,
                                const struct hw_ingest_entry *entry,
                                enum hw_entry_reason reason,
                                void (*cb)(struct hw_reject *r, enum hw_redis_trouble trouble))
{
    struct hw_command *c = &r->command;
    struct hw_keys *keys = &g->store->keys;
    char id[48];

    r->ingest = g;
    r->entry = entry->id;
    r->reason = reason;
    r->cb = cb;
    hw_stream_id_text(entry->id, id);
    hw_command_init(c);
    hw_store_eval(g->store, c, &hw_script_reject, keys->events, keys->rejected);
    hw_command_str(c, keys->group);
    hw_command_str(c, id);
    hw_command_u64(c, g->options.rejected_max);
    write_fields(c, entry);
    hw_command_str(c, "reason");
    hw_command_str(c, hw_entry_reason_text(reason));
    hw_command_str(c, "entry");
    hw_command_str(c, id);
    if (work_send(g, &r->req, c, on_reject))
        return HW_OK;
    hw_command_close(c);
    return HW_ECONN;
}

/* ---- life ---- */

static void on_client_id(struct hw_redis_req *req, enum hw_redis_trouble what,
                         const struct hw_reply *reply, const struct hw_cause *cause)
{
    struct hw_ingest *g = HW_CONTAINER_OF(req, struct hw_ingest, id_req);

    (void)cause;
    g->client_id = what == HW_REDIS_FINE ? hw_reply_int(reply, 0) : 0;
}

static void on_up(void *data)
{
    struct hw_ingest *g = data;

    g->is_up = true;
    g->wants_own = true; /* a read whose answer was lost may have left some */
    g->client_id = 0;
    hw_command_reset(&g->id_command);
    hw_command_str(&g->id_command, "CLIENT");
    hw_command_str(&g->id_command, "ID");
    if (hw_redis_send(g->intake, &g->id_req, &g->id_command, on_client_id) != HW_OK)
        return;
    step(g);
}

static void on_down(void *data, const struct hw_cause *cause)
{
    struct hw_ingest *g = data;

    g->is_up = false;
    g->client_id = 0;
    told_of(g, HW_REDIS_GONE, cause);
    step(g); /* stopping does not wait for it */
}

static const struct hw_redis_events intake_events = { on_up, on_down };

enum hw_status hw_ingest_open(struct hw_ingest **out, const struct hw_ingest_options *options,
                              struct hw_cause *cause)
{
    struct hw_ingest *g = hw_calloc(1, sizeof *g);
    enum hw_status status;

    if (g == NULL)
        return hw_cause_set(cause, HW_ENOMEM, HW_ORIGIN_US, 0, "ingest");
    g->options = *options;
    g->store = options->store;
    g->count = COUNT_MIN;
    hw_batch_init(&g->kept);
    hw_command_init(&g->read_command);
    hw_command_init(&g->rescue_command);
    hw_command_init(&g->mark_command);
    hw_command_init(&g->ack_command);
    hw_command_init(&g->id_command);
    hw_command_init(&g->unblock_command);
    hw_wheel_entry_init(&g->retry, on_retry);
    hw_wheel_entry_init(&g->rescue_timer, on_rescue_timer);
    hw_wheel_entry_init(&g->stopped, on_stopped);
    struct hw_redis_options redis = {
        .target = options->target,
        .trust = options->trust,
        .metrics = g->store->metrics,
        .name = "hookwheel-intake",
        .reply_timeout_ms = REPLY_TIMEOUT_MS,
        .events = &intake_events,
        .data = g,
    };
    status = hw_redis_open(&g->intake, g->store->loop, &redis, cause);
    if (status == HW_OK)
        *out = g;
    else
        hw_free(g);
    return status;
}

static void close_if_done(struct hw_ingest *g)
{
    void (*cb)(void *data) = g->close_cb;
    void *data = g->close_data;

    if (!g->is_intake_closed || g->n_work > 0)
        return;
    hw_command_close(&g->read_command);
    hw_command_close(&g->rescue_command);
    hw_command_close(&g->mark_command);
    hw_command_close(&g->ack_command);
    hw_command_close(&g->id_command);
    hw_command_close(&g->unblock_command);
    hw_batch_close(&g->kept);
    hw_free(g);
    cb(data);
}

static void on_intake_closed(void *data)
{
    struct hw_ingest *g = data;

    g->is_intake_closed = true;
    close_if_done(g);
}

void hw_ingest_close(struct hw_ingest *g, void (*cb)(void *data), void *data)
{
    g->is_closing = true;
    g->is_on = false;
    g->close_cb = cb;
    g->close_data = data;
    hw_loop_cancel(g->store->loop, &g->retry);
    hw_loop_cancel(g->store->loop, &g->rescue_timer);
    hw_loop_cancel(g->store->loop, &g->stopped);
    hw_redis_close(g->intake, on_intake_closed, g);
}
