/*
 * claim -> some, and more are left: claim again -> none left: on_next
 * mark  -> found POISON_FOUND times before: reject -> on_next;  else on_marked
 *
 * The group is gone       on_group_gone.
 * Connection lost, fenced a claim ends without a word: start follows.
 * Refused                 on_stuck.
 */
#include "store/recovery.h"

#include "redis/scripts.h"

enum {
    LOOK_EVERY_MS = 15000,
    CLAIM_COUNT = 1000,
    POISON_FOUND = 3, /* marks found before: rejected */
};

static bool work_send(struct hw_recovery *r, struct hw_redis_req *req, struct hw_command *c,
                      hw_redis_cb cb)
{
    if (hw_redis_send(r->options.store->work, req, c, cb) != HW_OK)
        return false;
    hw_closing_hold(r->options.closing);
    return true;
}

static void work_done(struct hw_recovery *r)
{
    hw_closing_release(r->options.closing); /* r may be gone */
}

/* ---- claiming ---- */

static void claim_on(struct hw_recovery *r)
{
    if (hw_recovery_claim(r) != HW_OK && r->wants_claim)
        r->options.events->on_stuck(r, HW_REDIS_FINE, NULL);
}

static void claimed(struct hw_recovery *r, bool has_any, bool has_more)
{
    if (has_any)
        r->wants_own = r->is_careful = true;
    if (has_more) {
        claim_on(r);
    } else {
        r->wants_claim = false;
        r->options.events->on_next(r);
    }
}

static void claim_answered(struct hw_recovery *r, enum hw_redis_trouble what,
                           const struct hw_reply *reply, const struct hw_cause *cause)
{
    if (what == HW_REDIS_NOGROUP) {
        r->options.events->on_group_gone(r);
    } else if (what == HW_REDIS_FINE) {
        claimed(r, hw_reply_int(hw_reply_item(reply, 0), 0) > 0,
                hw_reply_int(hw_reply_item(reply, 1), 0) > 0);
    } else if (what != HW_REDIS_GONE && what != HW_REDIS_FENCED) {
        r->options.events->on_stuck(r, what, cause);
    }
}

static void on_claimed(struct hw_redis_req *req, enum hw_redis_trouble what,
                       const struct hw_reply *reply, const struct hw_cause *cause)
{
    struct hw_recovery *r = HW_CONTAINER_OF(req, struct hw_recovery, claim_req);

    r->is_claiming = false;
    if (r->is_on)
        claim_answered(r, what, reply, cause);
    work_done(r);
}

enum hw_status hw_recovery_claim(struct hw_recovery *r)
{
    struct hw_command *c = &r->claim_command;
    const struct hw_keys *keys = &r->options.store->keys;

    if (r->is_claiming)
        return HW_OK;
    hw_store_eval(r->options.store, c, &hw_script_rescue, keys->events, NULL);
    hw_command_str(c, keys->group);
    hw_command_str(c, hw_members_consumer(r->options.members));
    hw_command_u64(c, CLAIM_COUNT);
    r->is_claiming = work_send(r, &r->claim_req, c, on_claimed);
    return r->is_claiming ? HW_OK : HW_ECONN;
}

static void on_timer(struct hw_wheel_entry *e)
{
    struct hw_recovery *r = HW_CONTAINER_OF(e, struct hw_recovery, timer);

    hw_loop_arm(r->options.store->loop, &r->timer, LOOK_EVERY_MS);
    r->wants_own = true;
    claim_on(r);
}

/* ---- our own pending ones ---- */

void hw_recovery_found_none(struct hw_recovery *r)
{
    r->wants_own = r->is_careful = false;
    r->last_own = (struct hw_stream_id){ 0, 0 };
}

bool hw_recovery_is_same_again(struct hw_recovery *r, struct hw_stream_id first)
{
    bool is_same = hw_stream_id_cmp(first, r->last_own) == 0;

    r->last_own = is_same ? (struct hw_stream_id){ 0, 0 } : first; /* once */
    return is_same;
}

void hw_recovery_add_deleted(struct hw_recovery *r, struct hw_slice id)
{
    struct hw_command *c = &r->ack_command;

    if (r->is_acking)
        return; /* it comes again */
    if (c->n_args == 0) {
        hw_command_str(c, "XACK");
        hw_command_str(c, r->options.store->keys.events);
        hw_command_str(c, r->options.store->keys.group);
    }
    hw_command_add(c, id);
}

static void on_acked(struct hw_redis_req *req, enum hw_redis_trouble what,
                     const struct hw_reply *reply, const struct hw_cause *cause)
{
    struct hw_recovery *r = HW_CONTAINER_OF(req, struct hw_recovery, ack_req);

    (void)what;
    (void)reply;
    (void)cause;
    r->is_acking = false;
    hw_command_reset(&r->ack_command);
    work_done(r);
}

void hw_recovery_send_acks(struct hw_recovery *r)
{
    if (r->is_acking || r->ack_command.n_args == 0)
        return;
    r->is_acking = work_send(r, &r->ack_req, &r->ack_command, on_acked);
}

/* ---- marks ---- */

static void on_poison_rejected(struct hw_reject *reject, enum hw_redis_trouble what)
{
    struct hw_recovery *r = HW_CONTAINER_OF(reject, struct hw_recovery, poison);

    r->is_marking = false;
    if (what == HW_REDIS_FINE)
        r->options.events->on_next(r);
    else
        r->options.events->on_stuck(r, HW_REDIS_FINE, NULL);
}

static void reject_poison(struct hw_recovery *r)
{
    r->is_marking = hw_rejects_send(r->options.rejects, &r->poison, r->entry, HW_ENTRY_POISON,
                                    on_poison_rejected) == HW_OK;
    if (!r->is_marking)
        r->options.events->on_stuck(r, HW_REDIS_FINE, NULL);
}

static void on_marked(struct hw_redis_req *req, enum hw_redis_trouble what,
                      const struct hw_reply *reply, const struct hw_cause *cause)
{
    struct hw_recovery *r = HW_CONTAINER_OF(req, struct hw_recovery, mark_req);

    r->is_marking = false;
    if (r->mark_generation != r->generation)
        r->options.events->on_next(r);
    else if (what != HW_REDIS_FINE)
        r->options.events->on_stuck(r, what, cause);
    else if (hw_reply_int(reply, 0) >= POISON_FOUND)
        reject_poison(r);
    else
        r->options.events->on_marked(r);
    work_done(r);
}

enum hw_status hw_recovery_mark(struct hw_recovery *r, const struct hw_ingest_entry *entry)
{
    char id[48];

    r->entry = entry;
    hw_stream_id_text(entry->id, id);
    hw_store_eval(r->options.store, &r->mark_command, &hw_script_mark, NULL, NULL);
    hw_command_fmt(&r->mark_command, "e:%s", id);
    r->mark_generation = r->generation;
    r->is_marking = work_send(r, &r->mark_req, &r->mark_command, on_marked);
    return r->is_marking ? HW_OK : HW_ECONN;
}

/* ---- life ---- */

void hw_recovery_init(struct hw_recovery *r, const struct hw_recovery_options *options)
{
    *r = (struct hw_recovery){ .options = *options };
    hw_command_init(&r->claim_command);
    hw_command_init(&r->mark_command);
    hw_command_init(&r->ack_command);
    hw_wheel_entry_init(&r->timer, on_timer);
}

void hw_recovery_close(struct hw_recovery *r)
{
    hw_loop_cancel(r->options.store->loop, &r->timer);
    hw_command_close(&r->claim_command);
    hw_command_close(&r->mark_command);
    hw_command_close(&r->ack_command);
}

void hw_recovery_start(struct hw_recovery *r)
{
    r->generation++;
    r->is_on = true;
    r->wants_own = r->wants_claim = true;
    r->is_careful = false;
    hw_loop_arm(r->options.store->loop, &r->timer, LOOK_EVERY_MS);
}

void hw_recovery_stop(struct hw_recovery *r)
{
    r->generation++;
    r->is_on = false;
    hw_loop_cancel(r->options.store->loop, &r->timer);
}

void hw_recovery_hurry(struct hw_recovery *r)
{
    hw_loop_arm(r->options.store->loop, &r->timer, 0);
}

void hw_recovery_rest(struct hw_recovery *r)
{
    hw_loop_cancel(r->options.store->loop, &r->timer);
}
