/*
 * create, update, delete, put, drop -> its script -> the account or book is read again -> the
 * caller hears of it, so that what it answers is what everybody has.
 *
 * refresh, locate, freshen -> only read again.
 *
 * Redis gone or refusing at either step -> UNAVAILABLE; where it was the second, the change is
 * made, and the beat finds it.
 */
#include "redis/scripts.h"
#include "store/registry_parts.h"

enum { STORED_MAX = 1024 * 1024 };

void hw_registry_op_init(struct hw_registry_op *op)
{
    memset(op, 0, sizeof *op);
    hw_command_init(&op->command);
}

void hw_registry_op_close(struct hw_registry_op *op)
{
    hw_command_close(&op->command);
}

static enum hw_status op_begin(struct hw_registry *r, struct hw_registry_op *op,
                               struct hw_slice name, hw_registry_cb cb)
{
    if (name.len == 0 || name.len >= sizeof op->account)
        return HW_EINVAL;
    op->registry = r;
    op->cb = cb;
    op->result = HW_REGISTRY_DONE;
    op->kept = hw_slice(NULL, 0);
    op->job = (struct hw_fill_job){ 0 };
    memcpy(op->account, name.data, name.len);
    op->account[name.len] = '\0';
    return HW_OK;
}

/* ---- reading again ---- */

static void on_reread(struct hw_redis_req *req, enum hw_redis_trouble what,
                      const struct hw_reply *reply, const struct hw_cause *cause)
{
    struct hw_registry_op *op = HW_CONTAINER_OF(req, struct hw_registry_op, req);

    (void)cause;
    if (what != HW_REDIS_FINE ||
        hw_roster_apply(&op->registry->roster, hw_slice_str(op->account),
                        hw_reply_item(reply, 0)) != HW_OK)
        op->result = HW_REGISTRY_UNAVAILABLE;
    op->cb(op, op->result);
}

static enum hw_status reread(struct hw_registry_op *op)
{
    struct hw_store *store = op->registry->store;

    hw_roster_ask(store, &op->command);
    hw_command_str(&op->command, op->account);
    return hw_redis_send(store->work, &op->req, &op->command, on_reread);
}

/* What the script said; then the account as it is now. */
static void changed(struct hw_registry_op *op, enum hw_registry_result result)
{
    op->result = result;
    if (result != HW_REGISTRY_UNAVAILABLE && reread(op) == HW_OK)
        return;
    op->cb(op, HW_REGISTRY_UNAVAILABLE);
}

enum hw_status hw_registry_refresh(struct hw_registry *r, struct hw_registry_op *op,
                                   struct hw_slice account, hw_registry_cb cb)
{
    enum hw_status status = op_begin(r, op, account, cb);

    return status == HW_OK ? reread(op) : status;
}

static void on_whose(struct hw_redis_req *req, enum hw_redis_trouble what,
                     const struct hw_reply *reply, const struct hw_cause *cause)
{
    struct hw_registry_op *op = HW_CONTAINER_OF(req, struct hw_registry_op, req);
    struct hw_slice account = what == HW_REDIS_FINE ? reply->text : hw_slice(NULL, 0);

    (void)cause;
    if (what == HW_REDIS_FINE && op_begin(op->registry, op, account, op->cb) != HW_OK)
        op->cb(op, HW_REGISTRY_NOT_FOUND);
    else
        changed(op, what == HW_REDIS_FINE ? HW_REGISTRY_DONE : HW_REGISTRY_UNAVAILABLE);
}

enum hw_status hw_registry_locate(struct hw_registry *r, struct hw_registry_op *op,
                                  struct hw_slice id, uint32_t w, hw_registry_cb cb)
{
    op->registry = r;
    op->cb = cb;
    hw_store_eval(r->store, &op->command, &hw_script_whose, NULL, NULL);
    hw_command_add(&op->command, id);
    hw_command_u64(&op->command, w);
    return hw_redis_send(r->store->work, &op->req, &op->command, on_whose);
}

static void on_version(struct hw_redis_req *req, enum hw_redis_trouble what,
                       const struct hw_reply *reply, const struct hw_cause *cause)
{
    struct hw_registry_op *op = HW_CONTAINER_OF(req, struct hw_registry_op, req);

    (void)cause;
    if (what == HW_REDIS_FINE &&
        (uint64_t)hw_reply_int(reply, 0) ==
            hw_roster_version(&op->registry->roster, hw_slice_str(op->account)))
        op->cb(op, HW_REGISTRY_DONE);
    else
        changed(op, what == HW_REDIS_FINE ? HW_REGISTRY_DONE : HW_REGISTRY_UNAVAILABLE);
}

enum hw_status hw_registry_freshen(struct hw_registry *r, struct hw_registry_op *op,
                                   const char *book, hw_registry_cb cb)
{
    enum hw_status status = op_begin(r, op, hw_slice_str(book), cb);

    if (status != HW_OK)
        return status;
    hw_command_reset(&op->command);
    hw_command_str(&op->command, "HGET");
    hw_command_fmt(&op->command, "%sregv", r->store->keys.tag);
    hw_command_str(&op->command, book);
    return hw_redis_send(r->store->work, &op->req, &op->command, on_version);
}

/* ---- webhooks ---- */

static enum hw_registry_result result_of(const struct hw_reply *reply)
{
    static const struct {
        const char *text;
        enum hw_registry_result result;
    } results[] = {
        { "DONE", HW_REGISTRY_DONE },       { "KEPT", HW_REGISTRY_KEPT },
        { "STALE", HW_REGISTRY_STALE },     { "LIMIT", HW_REGISTRY_LIMIT },
        { "EXPIRED", HW_REGISTRY_EXPIRED }, { "NOT_FOUND", HW_REGISTRY_NOT_FOUND },
    };

    for (size_t i = 0; i < sizeof results / sizeof results[0]; i++)
        if (hw_slice_is(hw_reply_item(reply, 0)->text, results[i].text))
            return results[i].result;
    return HW_REGISTRY_UNAVAILABLE;
}

/* What create or update said; the job it began is in the reply from item `at` on. */
static void answered(struct hw_registry_op *op, const struct hw_reply *reply, size_t at)
{
    enum hw_registry_result result = result_of(reply);
    bool is_good = true;

    if (result == HW_REGISTRY_EXPIRED)
        is_good = hw_stream_id_parse(&op->oldest, hw_reply_item(reply, 1)->text);
    else if (result == HW_REGISTRY_DONE)
        is_good =
            hw_fill_read_begun(&op->job, reply, at, op->w, hw_slice_str(op->account));
    changed(op, is_good ? result : HW_REGISTRY_UNAVAILABLE);
}

static void on_create(struct hw_redis_req *req, enum hw_redis_trouble what,
                      const struct hw_reply *reply, const struct hw_cause *cause)
{
    struct hw_registry_op *op = HW_CONTAINER_OF(req, struct hw_registry_op, req);

    (void)cause;
    if (what != HW_REDIS_FINE) {
        changed(op, HW_REGISTRY_UNAVAILABLE);
    } else if (result_of(reply) == HW_REGISTRY_KEPT) {
        op->kept = hw_reply_item(reply, 1)->text;
        op->cb(op, HW_REGISTRY_KEPT);
    } else {
        op->w = (uint32_t)hw_reply_int(hw_reply_item(reply, 1), 0);
        answered(op, reply, 2);
    }
}

/* Its stored form as an argument; a failure of the command's own is met when it is sent. */
static enum hw_status add_stored(struct hw_registry_op *op, const struct hw_webhook *wh)
{
    struct hw_buf stored;
    enum hw_status status;

    hw_buf_init(&stored, STORED_MAX);
    status = hw_webhook_write(wh, &stored);
    if (status == HW_OK)
        hw_command_add(&op->command, hw_buf_slice(&stored));
    hw_buf_close(&stored);
    return status;
}

enum hw_status hw_registry_create(struct hw_registry *r, struct hw_registry_op *op,
                                  const struct hw_webhook *wh, struct hw_slice once_key,
                                  struct hw_slice once_value, struct hw_fill_from backfill,
                                  hw_registry_cb cb)
{
    enum hw_status status = op_begin(r, op, hw_slice_str(wh->account), cb);

    if (status != HW_OK)
        return status;
    hw_store_eval(r->store, &op->command, &hw_script_create, NULL, NULL);
    hw_command_u64(&op->command, r->options.max_webhooks);
    hw_command_str(&op->command, op->account);
    hw_command_str(&op->command, wh->id);
    status = add_stored(op, wh);
    if (status != HW_OK)
        return status;
    hw_command_add(&op->command, once_key);
    hw_command_add(&op->command, once_value);
    hw_fill_add_from(&op->command, backfill);
    return hw_redis_send(r->store->work, &op->req, &op->command, on_create);
}

static void on_update(struct hw_redis_req *req, enum hw_redis_trouble what,
                      const struct hw_reply *reply, const struct hw_cause *cause)
{
    struct hw_registry_op *op = HW_CONTAINER_OF(req, struct hw_registry_op, req);

    (void)cause;
    if (what == HW_REDIS_FINE)
        answered(op, reply, 1);
    else
        changed(op, HW_REGISTRY_UNAVAILABLE);
}

enum hw_status hw_registry_update(struct hw_registry *r, struct hw_registry_op *op,
                                  const struct hw_webhook *wh,
                                  enum hw_webhook_status status_before,
                                  struct hw_fill_from backfill, hw_registry_cb cb)
{
    enum hw_status status = op_begin(r, op, hw_slice_str(wh->account), cb);

    if (status != HW_OK)
        return status;
    op->w = wh->w;
    hw_store_eval(r->store, &op->command, &hw_script_update, NULL, NULL);
    hw_command_str(&op->command, op->account);
    hw_command_u64(&op->command, wh->w);
    hw_command_u64(&op->command, wh->standing.revision);
    status = add_stored(op, wh);
    if (status != HW_OK)
        return status;
    hw_command_str(&op->command, hw_webhook_status_text(status_before));
    hw_command_str(&op->command, hw_webhook_status_text(wh->standing.status));
    hw_fill_add_from(&op->command, backfill);
    return hw_redis_send(r->store->work, &op->req, &op->command, on_update);
}

/* Of delete and drop: 1, or 0 where there was nothing. */
static void on_gone(struct hw_redis_req *req, enum hw_redis_trouble what,
                    const struct hw_reply *reply, const struct hw_cause *cause)
{
    struct hw_registry_op *op = HW_CONTAINER_OF(req, struct hw_registry_op, req);

    (void)cause;
    changed(op, what != HW_REDIS_FINE         ? HW_REGISTRY_UNAVAILABLE
                : hw_reply_int(reply, 0) == 1 ? HW_REGISTRY_DONE
                                              : HW_REGISTRY_NOT_FOUND);
}

enum hw_status hw_registry_delete(struct hw_registry *r, struct hw_registry_op *op,
                                  const struct hw_webhook *wh, hw_unix_ms now,
                                  hw_registry_cb cb)
{
    enum hw_status status = op_begin(r, op, hw_slice_str(wh->account), cb);

    if (status != HW_OK)
        return status;
    op->w = wh->w;
    hw_store_eval(r->store, &op->command, &hw_script_delete, NULL, NULL);
    hw_command_str(&op->command, op->account);
    hw_command_u64(&op->command, wh->w);
    hw_command_fmt(&op->command, "%lld", (long long)now);
    return hw_redis_send(r->store->work, &op->req, &op->command, on_gone);
}

/* ---- books ---- */

static void on_put(struct hw_redis_req *req, enum hw_redis_trouble what,
                   const struct hw_reply *reply, const struct hw_cause *cause)
{
    struct hw_registry_op *op = HW_CONTAINER_OF(req, struct hw_registry_op, req);

    (void)reply;
    (void)cause;
    changed(op, what == HW_REDIS_FINE ? HW_REGISTRY_DONE : HW_REGISTRY_UNAVAILABLE);
}

enum hw_status hw_registry_put(struct hw_registry *r, struct hw_registry_op *op,
                               const char *book, struct hw_slice key, struct hw_slice stored,
                               hw_registry_cb cb)
{
    enum hw_status status = op_begin(r, op, hw_slice_str(book), cb);

    if (status != HW_OK)
        return status;
    hw_store_eval(r->store, &op->command, &hw_script_put, NULL, NULL);
    hw_command_str(&op->command, book);
    hw_command_add(&op->command, key);
    hw_command_add(&op->command, stored);
    return hw_redis_send(r->store->work, &op->req, &op->command, on_put);
}

enum hw_status hw_registry_drop(struct hw_registry *r, struct hw_registry_op *op,
                                const char *book, struct hw_slice key, hw_registry_cb cb)
{
    enum hw_status status = op_begin(r, op, hw_slice_str(book), cb);

    if (status != HW_OK)
        return status;
    hw_store_eval(r->store, &op->command, &hw_script_drop, NULL, NULL);
    hw_command_str(&op->command, book);
    hw_command_add(&op->command, key);
    return hw_redis_send(r->store->work, &op->req, &op->command, on_gone);
}
