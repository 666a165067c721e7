/*
 * settle: hw_ledger_settle writes the outcome into the batch that collects -> end of the turn:
 * the batch goes out -> answer -> callbacks -> the next batch, if something has collected.
 *
 * Refused (full, cannot save)  the same batch again after RETRY_MS; nothing was done.
 * Connection lost              the same batch again after hw_ledger_resume: what Redis has
 *                              already is not ours any more by then and answers so, which
 *                              is why a resent one is told HW_SETTLED either way.
 * Fenced                       HW_SETTLED_NOT_OURS for all.
 */
#include "store/ledger.h"

#include "hookwheel/alloc.h"
#include "redis/scripts.h"

enum {
    BATCH_OPS_MAX = 512,
    BATCH_BYTES_MAX = 1024 * 1024,
    RETRY_MS = 500,
    TOUCH_MS = 1000, /* last_delivery_at is written once in so long */
    TOUCH_SLOTS = 1024,
    EVACUATION_US =
        4000000 /* an event older than this may have had its body moved (trim.lua) */
};

struct batch {
    struct hw_list link;
    struct hw_list ops;          /* struct hw_settle, in the order of the arguments */
    struct hw_command holds;     /* arguments only */
    struct hw_command arguments; /* of the ops */
    size_t n_ops, n_holds;
    bool was_sent; /* unanswered once: what is not ours any more was settled by itself */
    bool is_void;  /* fenced since: nothing of it is ours */
};

struct hw_ledger {
    struct hw_ledger_options options;
    struct hw_store *store;
    struct hw_list batches; /* the first goes out next or is out; the last collects */
    struct batch *spare;    /* owned; keeps its buffers */
    size_t n_unsettled;
    bool is_out;     /* the first batch is out */
    bool is_blocked; /* connection lost: until resume */
    bool had_trouble;
    struct hw_redis_req req;
    struct hw_command command;
    struct hw_turn_hook hook;
    struct hw_wheel_entry retry;
    struct {
        uint32_t w;
        hw_mono_ms at;
    } touched[TOUCH_SLOTS]; /* when last_delivery_at was last written, by w */
};

/* ---- batches ---- */

static struct batch *batch_new(struct hw_ledger *l)
{
    struct batch *b = l->spare;

    l->spare = NULL;
    if (b == NULL) {
        if ((b = hw_calloc(1, sizeof *b)) == NULL)
            return NULL;
        hw_list_init(&b->ops);
        hw_command_init(&b->holds);
        hw_command_init(&b->arguments);
    }
    hw_list_push_back(&l->batches, &b->link);
    return b;
}

static void batch_free(struct batch *b)
{
    hw_command_close(&b->holds);
    hw_command_close(&b->arguments);
    hw_free(b);
}

static void batch_done(struct hw_ledger *l, struct batch *b)
{
    if (l->spare != NULL) {
        batch_free(b);
        return;
    }
    hw_command_reset(&b->holds);
    hw_command_reset(&b->arguments);
    b->n_ops = b->n_holds = 0;
    b->was_sent = b->is_void = false;
    l->spare = b;
}

static struct batch *first_batch(struct hw_ledger *l)
{
    struct hw_list *link = hw_list_first(&l->batches);

    return link != NULL ? HW_CONTAINER_OF(link, struct batch, link) : NULL;
}

/* The one that collects; NULL: out of memory. */
static struct batch *collecting(struct hw_ledger *l)
{
    struct batch *b;

    if (hw_list_is_empty(&l->batches))
        return batch_new(l);
    b = HW_CONTAINER_OF(l->batches.prev, struct batch, link);
    if (b->was_sent || b->is_void || (l->is_out && b == first_batch(l)) ||
        b->n_ops >= BATCH_OPS_MAX || b->n_holds >= BATCH_OPS_MAX ||
        hw_buf_len(&b->arguments.args) >= BATCH_BYTES_MAX)
        return batch_new(l);
    return b;
}

static void tell(struct hw_ledger *l, struct batch *b, const struct hw_slice *verdicts,
                 enum hw_settled otherwise)
{
    struct hw_list *link;
    struct hw_settle *s;
    enum hw_settled result;

    for (size_t i = 0; (link = hw_list_pop(&b->ops)) != NULL; i++) {
        s = HW_CONTAINER_OF(link, struct hw_settle, link);
        result = otherwise;
        if (verdicts != NULL && i < verdicts->len && verdicts->data[i] == '1')
            result = HW_SETTLED;
        l->n_unsettled--;
        s->cb(s, result);
    }
}

/* ---- sending ---- */

static void told_of_trouble(struct hw_ledger *l, enum hw_redis_trouble what,
                            const struct hw_cause *cause)
{
    if (what == HW_REDIS_FINE && !l->had_trouble)
        return;
    l->had_trouble = what != HW_REDIS_FINE;
    l->options.events->on_state(l->options.data, what, cause);
}

static void tell_failures(struct hw_ledger *l, const struct hw_reply *reply)
{
    for (size_t i = 1; i + 2 < reply->n_items; i += 3)
        l->options.events->on_failures(l->options.data,
                                       (uint32_t)hw_reply_int(&reply->items[i], 0),
                                       (uint64_t)hw_reply_int(&reply->items[i + 1], 0),
                                       hw_reply_int(&reply->items[i + 2], 0) == 1);
}

static void settled(struct hw_ledger *l, const struct hw_reply *reply)
{
    struct batch *b = first_batch(l);
    struct hw_slice verdicts = hw_reply_item(reply, 0)->text;

    hw_list_unlink(&b->link);
    if (!hw_list_is_empty(&l->batches))
        hw_turn_hook_ask(l->store->loop, &l->hook);
    told_of_trouble(l, HW_REDIS_FINE, NULL);
    tell_failures(l, reply);
    tell(l, b, &verdicts, b->was_sent ? HW_SETTLED : HW_SETTLED_NOT_OURS);
    batch_done(l, b);
}

static void none_is_ours(struct hw_ledger *l)
{
    struct batch *b = first_batch(l);

    hw_list_unlink(&b->link);
    if (!hw_list_is_empty(&l->batches))
        hw_turn_hook_ask(l->store->loop, &l->hook);
    tell(l, b, NULL, HW_SETTLED_NOT_OURS);
    batch_done(l, b);
}

static void on_settle(struct hw_redis_req *req, enum hw_redis_trouble what,
                      const struct hw_reply *reply, const struct hw_cause *cause)
{
    struct hw_ledger *l = HW_CONTAINER_OF(req, struct hw_ledger, req);
    bool was_void = first_batch(l)->is_void;

    l->is_out = false;
    if (what == HW_REDIS_FINE) {
        settled(l, reply);
    } else if (what == HW_REDIS_FENCED || was_void) {
        none_is_ours(l);
    } else if (what == HW_REDIS_GONE) {
        first_batch(l)->was_sent = true;
        l->is_blocked = true;
        told_of_trouble(l, what, cause);
    } else {
        hw_loop_arm(l->store->loop, &l->retry, RETRY_MS);
        told_of_trouble(l, what, cause);
    }
}

static void append(struct hw_command *c, const struct hw_command *arguments)
{
    (void)hw_buf_append_slice(&c->args, hw_buf_slice(&arguments->args));
    c->n_args += arguments->n_args;
}

static void write_command(struct hw_ledger *l, const struct batch *b)
{
    struct hw_command *c = &l->command;

    hw_store_eval(l->store, c, &hw_script_settle, l->store->keys.events, NULL);
    hw_command_u64(c, l->options.history_max);
    hw_command_u64(c, l->options.dead_letter_max);
    hw_command_u64(c, l->options.disable_after);
    hw_command_str(c, l->store->engine_key);
    hw_command_u64(c, b->n_holds);
    append(c, &b->holds);
    hw_command_u64(c, b->n_ops);
    append(c, &b->arguments);
}

static void send_first(struct hw_ledger *l)
{
    struct batch *b;

    while (!l->is_out && (b = first_batch(l)) != NULL && b->is_void)
        none_is_ours(l);
    b = first_batch(l);
    if (b == NULL || l->is_out || l->is_blocked || hw_wheel_is_armed(&l->retry))
        return;
    write_command(l, b);
    if (hw_buf_failed(&l->command.args) != HW_OK)
        hw_loop_arm(l->store->loop, &l->retry, RETRY_MS); /* no memory now */
    else if (hw_redis_send(l->store->work, &l->req, &l->command, on_settle) == HW_OK)
        l->is_out = true;
    else
        l->is_blocked = true; /* not connected: resume comes */
}

static void on_turn(struct hw_turn_hook *hook)
{
    send_first(HW_CONTAINER_OF(hook, struct hw_ledger, hook));
}

static void on_retry(struct hw_wheel_entry *e)
{
    send_first(HW_CONTAINER_OF(e, struct hw_ledger, retry));
}

/* ---- what is settled ---- */

static bool touches(struct hw_ledger *l, uint32_t w)
{
    hw_mono_ms now = hw_loop_now(l->store->loop);
    size_t slot = w % TOUCH_SLOTS;

    if (l->touched[slot].w == w && now < l->touched[slot].at + TOUCH_MS)
        return false;
    l->touched[slot].w = w;
    l->touched[slot].at = now;
    return true;
}

static void write_flags(struct hw_ledger *l, struct hw_command *c,
                        const struct hw_settle_what *what)
{
    char flags[8];
    size_t n = 0;
    int64_t age_us = hw_loop_unix(l->store->loop) * 1000 - (int64_t)what->stamp_us;
    bool is_delivered = what->kind == HW_SETTLE_DELIVERED;
    bool was_parked = what->was_parked || what->token > 0;

    if (was_parked)
        flags[n++] = 'p';
    if (is_delivered &&
        (was_parked || what->has_body || age_us < 0 || age_us > EVACUATION_US))
        flags[n++] = 'b';
    if (what->is_marked)
        flags[n++] = 'm';
    if (is_delivered && touches(l, what->w))
        flags[n++] = 'l';
    if (is_delivered && what->resets_failures)
        flags[n++] = 'r';
    if (what->kind == HW_SETTLE_DEAD && what->is_counted)
        flags[n++] = 'c';
    if (what->kind == HW_SETTLE_DEAD && what->is_gone)
        flags[n++] = 'g';
    hw_command_add(c, hw_slice(flags, n));
}

static void write_ms(struct hw_command *c, hw_unix_ms ms)
{
    hw_command_u64(c, ms > 0 ? (uint64_t)ms : 0);
}

/* As settle.lua reads it. */
static void write_op(struct hw_ledger *l, struct hw_command *c,
                     const struct hw_settle_what *what)
{
    static const char *const kinds[] = { "D", "P", "X" };

    hw_command_str(c, kinds[what->kind]);
    hw_command_u64(c, what->w);
    hw_command_u64(c, what->n);
    hw_command_u64(c, what->token);
    write_flags(l, c, what);
    hw_command_add(c, what->packed);
    switch (what->kind) {
    case HW_SETTLE_DELIVERED:
        write_ms(c, what->ended_ms);
        hw_command_add(c, what->response);
        break;
    case HW_SETTLE_PARK:
        write_ms(c, what->due_ms);
        hw_command_add(c, what->body);
        hw_command_u64(c, what->attempts);
        break;
    case HW_SETTLE_DEAD:
        write_ms(c, what->ended_ms);
        hw_command_add(c, what->body);
        hw_command_add(c, what->account);
        hw_command_add(c, what->disable_notice);
        hw_command_str(c, what->disable_reason);
        break;
    }
}

/* Undo a half-written op, so that a batch always holds whole ones. */
static void cut_back(struct hw_command *c, size_t len, unsigned n_args)
{
    c->args.tail = c->args.head + len;
    c->args.failed = HW_OK;
    c->n_args = n_args;
}

enum hw_status hw_ledger_settle(struct hw_ledger *l, struct hw_settle *s,
                                const struct hw_settle_what *what, hw_settle_cb cb)
{
    struct batch *b = collecting(l);
    size_t len;
    unsigned n_args;

    if (b == NULL)
        return HW_ENOMEM;
    len = hw_buf_len(&b->arguments.args);
    n_args = b->arguments.n_args;
    write_op(l, &b->arguments, what);
    if (hw_buf_failed(&b->arguments.args) != HW_OK) {
        cut_back(&b->arguments, len, n_args);
        return HW_ENOMEM;
    }
    s->cb = cb;
    hw_list_push_back(&b->ops, &s->link);
    b->n_ops++;
    l->n_unsettled++;
    hw_turn_hook_ask(l->store->loop, &l->hook);
    return HW_OK;
}

enum hw_status hw_ledger_hold(struct hw_ledger *l, uint32_t w, hw_unix_ms until_ms)
{
    struct batch *b = collecting(l);
    size_t len;
    unsigned n_args;

    if (b == NULL)
        return HW_ENOMEM;
    len = hw_buf_len(&b->holds.args);
    n_args = b->holds.n_args;
    hw_command_u64(&b->holds, w);
    write_ms(&b->holds, until_ms);
    if (hw_buf_failed(&b->holds.args) != HW_OK) {
        cut_back(&b->holds, len, n_args);
        return HW_ENOMEM;
    }
    b->n_holds++;
    hw_turn_hook_ask(l->store->loop, &l->hook);
    return HW_OK;
}

/* ---- marks ---- */

static void on_mark(struct hw_redis_req *req, enum hw_redis_trouble what,
                    const struct hw_reply *reply, const struct hw_cause *cause)
{
    struct hw_mark *m = HW_CONTAINER_OF(req, struct hw_mark, req);
    int64_t n = what == HW_REDIS_FINE ? hw_reply_int(reply, 0) : 0;

    (void)cause;
    hw_command_close(&m->command);
    m->cb(m, what, (unsigned)n);
}

enum hw_status hw_ledger_mark(struct hw_ledger *l, struct hw_mark *m, uint32_t w, uint64_t n,
                              hw_mark_cb cb)
{
    enum hw_status status;

    m->cb = cb;
    hw_command_init(&m->command);
    hw_store_eval(l->store, &m->command, &hw_script_mark, NULL, NULL);
    hw_command_fmt(&m->command, "d:%u:%llu", (unsigned)w, (unsigned long long)n);
    status = hw_redis_send(l->store->work, &m->req, &m->command, on_mark);
    if (status != HW_OK)
        hw_command_close(&m->command);
    return status;
}

/* ---- life ---- */

enum hw_status hw_ledger_open(struct hw_ledger **out, const struct hw_ledger_options *options,
                              struct hw_cause *cause)
{
    struct hw_ledger *l = hw_calloc(1, sizeof *l);

    if (l == NULL)
        return hw_cause_set(cause, HW_ENOMEM, HW_ORIGIN_US, 0, "ledger");
    l->options = *options;
    l->store = options->store;
    l->store->history_max = options->history_max;
    hw_list_init(&l->batches);
    hw_command_init(&l->command);
    hw_wheel_entry_init(&l->retry, on_retry);
    hw_turn_hook_add(l->store->loop, &l->hook, on_turn);
    *out = l;
    return HW_OK;
}

void hw_ledger_resume(struct hw_ledger *l)
{
    l->is_blocked = false;
    hw_turn_hook_ask(l->store->loop, &l->hook);
}

void hw_ledger_fence(struct hw_ledger *l)
{
    HW_LIST_EACH(link, &l->batches)
    HW_CONTAINER_OF(link, struct batch, link)->is_void = true;
    l->is_blocked = false;
    hw_turn_hook_ask(l->store->loop, &l->hook);
}

size_t hw_ledger_n_unsettled(const struct hw_ledger *l)
{
    return l->n_unsettled;
}

struct hw_store *hw_ledger_store(struct hw_ledger *l)
{
    return l->store;
}

void hw_ledger_tell_waiting(struct hw_ledger *l, uint32_t w, uint64_t n_waiting)
{
    l->options.events->on_waiting(l->options.data, w, n_waiting);
}

void hw_ledger_close(struct hw_ledger *l)
{
    struct batch *b;

    if (l == NULL)
        return;
    hw_turn_hook_remove(&l->hook);
    hw_loop_cancel(l->store->loop, &l->retry);
    while ((b = first_batch(l)) != NULL) {
        hw_list_unlink(&b->link);
        tell(l, b, NULL, HW_SETTLED_CANCELED);
        batch_free(b);
    }
    if (l->spare != NULL)
        batch_free(l->spare);
    hw_command_close(&l->command);
    hw_free(l);
}
