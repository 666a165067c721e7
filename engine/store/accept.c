/*
 * hw_ledger_accept -> the next part of the batch as one script -> answer: results into the
 * events -> the next part ... -> cb.
 *
 * Any trouble ends the batch there: the parts behind must not overtake.
 */
#include "store/accept.h"

#include "hookwheel/alloc.h"
#include "redis/scripts.h"
#include "store/ledger.h"

enum { PART_EVENTS = 256, PART_TARGETS = 1000, PART_BYTES = 1024 * 1024 };

void hw_accept_init(struct hw_accept *a)
{
    memset(a, 0, sizeof *a);
    hw_command_init(&a->command);
}

void hw_accept_close(struct hw_accept *a)
{
    hw_command_close(&a->command);
    hw_free(a->webhooks);
    hw_free(a->index);
    hw_free(a->next);
    hw_accept_init(a);
}

/* ---- which webhooks, each once ---- */

/* The place of w in a->index: an open-addressed table of places in a->webhooks, plus one. */
static uint32_t *index_slot(struct hw_accept *a, uint32_t w)
{
    size_t i = (w * 2654435761u) & (a->index_size - 1);

    while (a->index[i] != 0 && a->webhooks[a->index[i] - 1] != w)
        i = (i + 1) & (a->index_size - 1);
    return &a->index[i];
}

static bool index_reserve(struct hw_accept *a, size_t n_targets)
{
    size_t size = 64;
    uint32_t *webhooks, *index;

    while (size < 2 * n_targets)
        size *= 2;
    if (size > a->index_size) {
        if ((webhooks = hw_realloc(a->webhooks, size / 2 * sizeof *webhooks)) == NULL)
            return false;
        a->webhooks = webhooks;
        if ((index = hw_realloc(a->index, size * sizeof *index)) == NULL)
            return false;
        a->index = index;
        a->index_size = size;
    }
    memset(a->index, 0, a->index_size * sizeof *a->index);
    a->n_webhooks = 0;
    return true;
}

static bool index_part(struct hw_accept *a, size_t n_targets)
{
    if (!index_reserve(a, n_targets))
        return false;
    for (size_t i = a->part_from; i < a->part_to; i++) {
        const struct hw_accept_event *ev = &a->events[i];
        for (size_t k = 0; ev->result == HW_ACCEPTED_NOT_YET && k < ev->n_targets; k++) {
            uint32_t *slot = index_slot(a, ev->targets[k].w);
            if (*slot != 0)
                continue;
            a->webhooks[a->n_webhooks++] = ev->targets[k].w;
            *slot = (uint32_t)a->n_webhooks;
        }
    }
    return true;
}

/* ---- asking ---- */

/* From part_from: how far this part goes, in part_to; its targets. */
static size_t choose_part(struct hw_accept *a)
{
    size_t n = 0, n_targets = 0, n_bytes = 0, i;

    for (i = a->part_from; i < a->n_events && n < PART_EVENTS; i++) {
        const struct hw_accept_event *ev = &a->events[i];
        if (ev->result != HW_ACCEPTED_NOT_YET)
            continue;
        if (n > 0 && (n_targets + ev->n_targets > PART_TARGETS ||
                      n_bytes + ev->record.len > PART_BYTES))
            break;
        n++;
        n_targets += ev->n_targets;
        n_bytes += ev->record.len;
    }
    a->part_to = i;
    a->n_part = n;
    return n_targets;
}

static bool is_account(const struct hw_accept_event *ev, const struct hw_accept_event *other)
{
    return hw_slice_eq(ev->account, other->account);
}

/* The accounts of the part, each once; place[] says which is whose, 1 and up. */
static void write_accounts(struct hw_accept *a, unsigned place[PART_EVENTS])
{
    const struct hw_accept_event *accounts[PART_EVENTS];
    unsigned n = 0, at = 0, k;

    for (size_t i = a->part_from; i < a->part_to; i++) {
        const struct hw_accept_event *ev = &a->events[i];
        if (ev->result != HW_ACCEPTED_NOT_YET)
            continue;
        for (k = n; k > 0 && !is_account(ev, accounts[k - 1]); k--)
            ;
        if (k == 0) {
            accounts[n] = ev;
            k = ++n;
        }
        place[at++] = k;
    }
    hw_command_u64(&a->command, n);
    for (k = 0; k < n; k++) {
        hw_command_add(&a->command, accounts[k]->account);
        hw_command_u64(&a->command, accounts[k]->version);
    }
}

static void write_event(struct hw_accept *a, const struct hw_accept_event *ev,
                        unsigned account)
{
    struct hw_command *c = &a->command;
    char entry[48];

    hw_stream_id_text(ev->entry, entry);
    hw_command_str(c, entry);
    hw_command_u64(c, account);
    hw_command_add(c, ev->producer_id);
    hw_command_add(c, ev->record);
    hw_command_add(c, ev->traceparent);
    hw_command_u64(c, ev->n_targets);
    for (size_t k = 0; k < ev->n_targets; k++) {
        uint32_t place = *index_slot(a, ev->targets[k].w);
        if (ev->targets[k].to_wait)
            hw_command_fmt(c, "-%u", (unsigned)place);
        else
            hw_command_u64(c, place);
    }
}

/* As accept.lua reads it. */
static void write_part(struct hw_accept *a, struct hw_store *store)
{
    struct hw_command *c = &a->command;
    unsigned accounts[PART_EVENTS], at = 0;

    hw_store_eval(store, c, &hw_script_accept, store->keys.events, NULL);
    hw_command_str(c, store->keys.group);
    hw_command_u64(c, (uint64_t)hw_loop_unix(store->loop) * 1000);
    hw_command_str(c, a->is_marked ? "1" : "0");
    hw_command_u64(c, a->n_webhooks);
    for (size_t i = 0; i < a->n_webhooks; i++)
        hw_command_u64(c, a->webhooks[i]);
    write_accounts(a, accounts);
    hw_command_u64(c, a->n_part);
    for (size_t i = a->part_from; i < a->part_to; i++)
        if (a->events[i].result == HW_ACCEPTED_NOT_YET)
            write_event(a, &a->events[i], accounts[at++]);
}

/* ---- answers ---- */

static void send_part(struct hw_accept *a);

static void taken(struct hw_accept *a, struct hw_accept_event *ev, uint64_t stamp_us,
                  uint64_t *next)
{
    ev->result = HW_ACCEPTED_TAKEN;
    ev->stamp_us = stamp_us;
    for (size_t k = 0; k < ev->n_targets; k++)
        ev->targets[k].n = next[*index_slot(a, ev->targets[k].w) - 1]++;
}

static void read_verdict(struct hw_accept *a, struct hw_accept_event *ev,
                         struct hw_slice verdict, uint64_t stamp_us, uint64_t *next)
{
    if (hw_slice_is(verdict, "S"))
        ev->result = HW_ACCEPTED_STALE;
    else if (hw_slice_is(verdict, "D"))
        ev->result = HW_ACCEPTED_DUPLICATE;
    else if (hw_slice_is(verdict, "M"))
        ev->result = HW_ACCEPTED_MISSING;
    else if (hw_stream_id_parse(&ev->cursor, verdict))
        taken(a, ev, stamp_us, next);
}

static void read_part(struct hw_accept *a, const struct hw_reply *reply, uint64_t *next)
{
    uint64_t stamp_us = (uint64_t)hw_reply_int(hw_reply_item(reply, 0), 0);
    const struct hw_reply *verdicts = hw_reply_item(reply, 1);
    const struct hw_reply *first = hw_reply_item(reply, 2);
    size_t at = 0;

    for (size_t i = 0; i < a->n_webhooks; i++)
        next[i] = (uint64_t)hw_reply_int(hw_reply_item(first, i), 0);
    for (size_t i = a->part_from; i < a->part_to; i++)
        if (a->events[i].result == HW_ACCEPTED_NOT_YET)
            read_verdict(a, &a->events[i], hw_reply_item(verdicts, at++)->text, stamp_us,
                         next);
}

static void tell_waiting(struct hw_accept *a, const struct hw_reply *lengths)
{
    for (size_t i = 0; i < a->n_webhooks; i++) {
        int64_t n = hw_reply_int(hw_reply_item(lengths, i), -1);
        if (n >= 0)
            hw_ledger_tell_waiting(a->ledger, a->webhooks[i], (uint64_t)n);
    }
}

/* The callback never runs inside a call of the caller's: through the wheel. */
static void end_later(struct hw_accept *a, enum hw_redis_trouble trouble)
{
    a->trouble = trouble;
    hw_loop_arm(hw_ledger_store(a->ledger)->loop, &a->later, 0);
}

static void on_later(struct hw_wheel_entry *e)
{
    struct hw_accept *a = HW_CONTAINER_OF(e, struct hw_accept, later);

    a->cb(a, a->trouble);
}

static void on_accept(struct hw_redis_req *req, enum hw_redis_trouble what,
                      const struct hw_reply *reply, const struct hw_cause *cause)
{
    struct hw_accept *a = HW_CONTAINER_OF(req, struct hw_accept, req);

    (void)cause;
    if (what != HW_REDIS_FINE) {
        a->cb(a, what);
        return;
    }
    read_part(a, reply, a->next);
    tell_waiting(a, hw_reply_item(reply, 3));
    a->part_from = a->part_to;
    if (a->part_from < a->n_events)
        send_part(a);
    else
        a->cb(a, HW_REDIS_FINE);
}

static bool next_reserve(struct hw_accept *a)
{
    uint64_t *next;

    if (a->n_webhooks <= a->next_cap)
        return true;
    if ((next = hw_realloc(a->next, a->index_size / 2 * sizeof *next)) == NULL)
        return false;
    a->next = next;
    a->next_cap = a->index_size / 2;
    return true;
}

static void send_part(struct hw_accept *a)
{
    struct hw_store *store = hw_ledger_store(a->ledger);
    size_t n_targets = choose_part(a);

    if (a->n_part == 0) {
        end_later(a, HW_REDIS_FINE);
        return;
    }
    if (!index_part(a, n_targets) || !next_reserve(a)) {
        end_later(a,
                  HW_REDIS_FULL); /* no memory of ours: as good a reason to try again later */
        return;
    }
    write_part(a, store);
    if (hw_buf_failed(&a->command.args) != HW_OK)
        end_later(a, HW_REDIS_FULL);
    else if (hw_redis_send(store->work, &a->req, &a->command, on_accept) != HW_OK)
        end_later(a, HW_REDIS_GONE);
}

void hw_ledger_accept(struct hw_ledger *l, struct hw_accept *a, hw_accept_cb cb)
{
    a->ledger = l;
    a->cb = cb;
    a->part_from = 0;
    hw_wheel_entry_init(&a->later, on_later);
    send_part(a);
}
