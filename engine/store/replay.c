/*
 * one     the script -> each, if it is queued again -> cb
 * dead,
 * overdue the script for a piece -> each -> the next piece, due behind this one -> ... -> cb
 * plant   the script -> cb
 */
#include "store/replay.h"

#include "base/must.h"
#include "redis/scripts.h"

void hw_replay_init(struct hw_replay *r)
{
    *r = (struct hw_replay){ 0 };
    hw_command_init(&r->command);
}

void hw_replay_close(struct hw_replay *r)
{
    hw_command_close(&r->command);
}

static enum hw_replay_result result_of(const struct hw_reply *reply)
{
    static const struct {
        const char *text;
        enum hw_replay_result result;
    } results[] = {
        { "DONE", HW_REPLAY_DONE },         { "NOT_FOUND", HW_REPLAY_NOT_FOUND },
        { "WAITING", HW_REPLAY_WAITING },   { "DELIVERING", HW_REPLAY_DELIVERING },
        { "NOT_LIVE", HW_REPLAY_NOT_LIVE }, { "NO_BODY", HW_REPLAY_NO_BODY },
    };

    for (size_t i = 0; i < sizeof results / sizeof results[0]; i++)
        if (hw_slice_is(hw_reply_item(reply, 0)->text, results[i].text))
            return results[i].result;
    return HW_REPLAY_UNAVAILABLE;
}

/* ---- what is queued again ---- */

static enum hw_status ask_piece(struct hw_replay *r);

static void tell_each(struct hw_replay *r, const struct hw_reply *reply)
{
    for (size_t i = 2; i < reply->n_items; i++) {
        r->each(r, r->w, (uint64_t)hw_reply_int(&reply->items[i], 0), r->due_ms);
        r->count++;
        r->due_ms += r->gap_ms;
    }
}

static void on_piece(struct hw_redis_req *req, enum hw_redis_trouble what,
                     const struct hw_reply *reply, const struct hw_cause *cause)
{
    struct hw_replay *r = HW_CONTAINER_OF(req, struct hw_replay, req);
    enum hw_replay_result result =
        what == HW_REDIS_FINE ? result_of(reply) : HW_REPLAY_UNAVAILABLE;

    (void)cause;
    if (result == HW_REPLAY_DONE) {
        tell_each(r, reply);
        if (hw_slice_u64(hw_reply_item(reply, 1)->text, UINT64_MAX, &r->from)) {
            if (ask_piece(r) == HW_OK)
                return;
            result = HW_REPLAY_UNAVAILABLE;
        }
    }
    r->cb(r, result);
}

static void add_ms(struct hw_command *c, hw_unix_ms ms)
{
    hw_command_u64(c, ms > 0 ? (uint64_t)ms : 0);
}

static enum hw_status ask_piece(struct hw_replay *r)
{
    struct hw_command *c = &r->command;

    hw_store_eval(r->store, c, &hw_script_replay, NULL, NULL);
    hw_command_u64(c, r->w);
    add_ms(c, hw_loop_unix(r->store->loop));
    add_ms(c, r->due_ms);
    hw_command_u64(c, r->gap_ms);
    hw_command_u64(c, HW_REPLAY_PIECE);
    hw_command_str(c, r->mode);
    hw_command_u64(c, r->from);
    add_ms(c, r->since_ms);
    add_ms(c, r->until_ms);
    return hw_redis_send(r->store->work, &r->req, c, on_piece);
}

static void begin(struct hw_store *store, struct hw_replay *r, const char *mode, uint32_t w,
                  unsigned rate_per_s, hw_replay_each_cb each, hw_replay_cb cb)
{
    unsigned per_s =
        rate_per_s > 0 && rate_per_s < HW_REPLAY_PER_S ? rate_per_s : HW_REPLAY_PER_S;

    r->store = store;
    r->mode = mode;
    r->w = w;
    r->each = each;
    r->cb = cb;
    r->count = r->from = 0;
    r->since_ms = r->until_ms = 0;
    r->due_ms = hw_loop_steady(store->loop);
    r->gap_ms = (1000 + per_s - 1) / per_s;
}

enum hw_status hw_replay_one(struct hw_store *store, struct hw_replay *r, uint32_t w,
                             uint64_t n, hw_replay_each_cb each, hw_replay_cb cb)
{
    begin(store, r, "one", w, 0, each, cb);
    r->from = n;
    return ask_piece(r);
}

enum hw_status hw_replay_dead(struct hw_store *store, struct hw_replay *r, uint32_t w,
                              hw_unix_ms since_ms, hw_unix_ms until_ms, unsigned rate_per_s,
                              hw_replay_each_cb each, hw_replay_cb cb)
{
    begin(store, r, "dead", w, rate_per_s, each, cb);
    r->since_ms = since_ms;
    r->until_ms = until_ms;
    return ask_piece(r);
}

enum hw_status hw_replay_overdue(struct hw_store *store, struct hw_replay *r, uint32_t w,
                                 unsigned rate_per_s, hw_replay_each_cb each, hw_replay_cb cb)
{
    begin(store, r, "overdue", w, rate_per_s, each, cb);
    return ask_piece(r);
}

/* ---- a new one ---- */

static void on_plant(struct hw_redis_req *req, enum hw_redis_trouble what,
                     const struct hw_reply *reply, const struct hw_cause *cause)
{
    struct hw_replay *r = HW_CONTAINER_OF(req, struct hw_replay, req);
    enum hw_replay_result result =
        what == HW_REDIS_FINE ? result_of(reply) : HW_REPLAY_UNAVAILABLE;

    (void)cause;
    if (result == HW_REPLAY_DONE) {
        int64_t n_waiting = hw_reply_int(hw_reply_item(reply, 3), -1);
        r->n = (uint64_t)hw_reply_int(hw_reply_item(reply, 1), 0);
        r->stamp_us = (uint64_t)hw_reply_int(hw_reply_item(reply, 2), 0);
        r->n_waiting = n_waiting > 0 ? (uint64_t)n_waiting : 0;
    }
    r->cb(r, result);
}

enum hw_status hw_replay_plant(struct hw_store *store, struct hw_replay *r, uint32_t w,
                               struct hw_slice account, struct hw_slice record,
                               bool has_room, hw_replay_cb cb)
{
    struct hw_command *c = &r->command;

    r->store = store;
    r->w = w;
    r->cb = cb;
    hw_store_eval(store, c, &hw_script_plant, NULL, NULL);
    hw_command_u64(c, w);
    hw_command_add(c, account);
    hw_command_u64(c, (uint64_t)hw_loop_unix(store->loop) * 1000);
    hw_command_add(c, record);
    hw_command_str(c, has_room ? "0" : "1");
    return hw_redis_send(store->work, &r->req, c, on_plant);
}
