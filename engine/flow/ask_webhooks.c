#include "flow/asks.h"
#include "flow/question.h"
#include "hookwheel/alloc.h"

/* What is kept under an idempotency key is read back by api/once.c. */
enum { KEPT_MAX = 1024 * 1024 };

/* Others may change the same webhook meanwhile; each round one of them gets through. */
enum { UPDATE_TRIES = 50 };

/* ---- create ---- */

/* Nobody waits for it: that it was begun is in Redis. */
static void begin_backfill(struct hw_question *q)
{
    if (q->op.job.number != 0)
        hw_backfill_run(q->backing->backfill, &q->op.job, NULL, NULL);
}

static struct hw_fill_from as_fill(enum hw_backfill_kind kind, struct hw_backend_from from)
{
    static const enum hw_fill_kind kinds[] = { [HW_BACKFILL_NONE] = HW_FILL_NONE,
                                               [HW_BACKFILL_FROM] = HW_FILL_FROM,
                                               [HW_BACKFILL_DISABLED] =
                                                   HW_FILL_FROM_DISABLED };

    return (struct hw_fill_from){ kinds[kind], { from.is_start, from.after } };
}

static void on_created(struct hw_registry_op *op, enum hw_registry_result result)
{
    struct hw_question *q = hw_question_of_op(op);
    struct hw_backend_create *create = HW_CONTAINER_OF(q->req, struct hw_backend_create, req);

    if (result == HW_REGISTRY_DONE)
        create->webhook->w = op->w;
    if (result == HW_REGISTRY_KEPT)
        create->once.kept = op->kept;
    create->oldest = op->oldest;
    begin_backfill(q);
    hw_question_end(q, hw_question_result(result));
}

static enum hw_backend_result create_begin(struct hw_question *q,
                                           struct hw_backend_create *create)
{
    struct hw_buf value;
    enum hw_backend_result result = HW_BACKEND_OK;

    hw_buf_init(&value, KEPT_MAX);
    if (create->once.key != NULL) {
        hw_buf_append_str(&value, create->once.prefix);
        hw_buf_append_slice(&value, create->answer);
    }
    if (hw_buf_failed(&value) != HW_OK)
        result = HW_BACKEND_FAILED;
    else if (hw_registry_create(q->backing->registry, &q->op, create->webhook,
                                hw_slice_str(create->once.key), hw_buf_slice(&value),
                                as_fill(create->backfill, create->from), on_created) != HW_OK)
        result = HW_BACKEND_UNAVAILABLE;
    hw_buf_close(&value);
    return result;
}

void hw_ask_create(void *data, struct hw_backend_create *create)
{
    struct hw_question *q = hw_question_new(data, &create->req);
    enum hw_backend_result result;

    if (q == NULL)
        return;
    result = create_begin(q, create);
    if (result != HW_BACKEND_OK)
        hw_question_end_later(q, result);
}

/* ---- get and list ---- */

static void on_got(struct hw_registry_op *op, enum hw_registry_result result)
{
    struct hw_question *q = hw_question_of_op(op);
    struct hw_backend_get *get = HW_CONTAINER_OF(q->req, struct hw_backend_get, req);
    struct hw_webhook *wh = hw_question_find_live(q->backing, get->account, get->id);

    if (result == HW_REGISTRY_DONE && wh == NULL)
        result = HW_REGISTRY_NOT_FOUND;
    if (result == HW_REGISTRY_DONE)
        get->found = hw_question_as_found(wh);
    hw_question_end(q, hw_question_result(result));
}

void hw_ask_get(void *data, struct hw_backend_get *get)
{
    struct hw_question *q = hw_question_new(data, &get->req);

    if (q == NULL)
        return;
    struct hw_webhook *wh = hw_registry_find_id(q->backing->registry, hw_slice_str(get->id));
    if (hw_question_refresh(q, wh, get->id, 0, on_got) != HW_OK)
        hw_question_end_later(q, HW_BACKEND_UNAVAILABLE);
}

static enum hw_backend_result collect(struct hw_question *q, struct hw_backend_list *list)
{
    const struct hw_account *account = hw_subscriptions_account(
        hw_backing_subscriptions(q->backing), hw_slice_str(list->account));
    size_t n = 0;

    list->n_found = 0;
    if (account == NULL)
        return HW_BACKEND_OK;
    q->found_webhooks = hw_calloc(account->n_webhooks, sizeof *q->found_webhooks);
    if (q->found_webhooks == NULL)
        return HW_BACKEND_FAILED;
    for (size_t i = 0; i < account->n_webhooks; i++)
        if (account->webhooks[i]->standing.status != HW_WEBHOOK_DELETED)
            q->found_webhooks[n++] = hw_question_as_found(account->webhooks[i]);
    list->found = q->found_webhooks;
    list->n_found = n;
    return HW_BACKEND_OK;
}

static void on_listed(struct hw_registry_op *op, enum hw_registry_result result)
{
    struct hw_question *q = hw_question_of_op(op);
    struct hw_backend_list *list = HW_CONTAINER_OF(q->req, struct hw_backend_list, req);

    if (result == HW_REGISTRY_DONE || result == HW_REGISTRY_NOT_FOUND)
        hw_question_end(q, collect(q, list));
    else
        hw_question_end(q, hw_question_result(result));
}

void hw_ask_list(void *data, struct hw_backend_list *list)
{
    struct hw_question *q = hw_question_new(data, &list->req);

    if (q != NULL && hw_registry_refresh(q->backing->registry, &q->op,
                                         hw_slice_str(list->account), on_listed) != HW_OK)
        hw_question_end_later(q, HW_BACKEND_UNAVAILABLE);
}

/* ---- delete ---- */

static void on_removed(struct hw_registry_op *op, enum hw_registry_result result)
{
    hw_question_end(hw_question_of_op(op), hw_question_result(result));
}

static void on_found_to_remove(struct hw_registry_op *op, enum hw_registry_result result)
{
    struct hw_question *q = hw_question_of_op(op);
    struct hw_backend_delete *del = HW_CONTAINER_OF(q->req, struct hw_backend_delete, req);
    struct hw_webhook *wh = hw_question_find_live(q->backing, del->account, del->id);

    if (result != HW_REGISTRY_DONE || wh == NULL)
        hw_question_end(q, result == HW_REGISTRY_UNAVAILABLE ? HW_BACKEND_UNAVAILABLE
                                                             : HW_BACKEND_NOT_FOUND);
    else if (hw_registry_delete(q->backing->registry, &q->op, wh,
                                hw_loop_unix(q->backing->loop), on_removed) != HW_OK)
        hw_question_end(q, HW_BACKEND_UNAVAILABLE);
}

void hw_ask_remove(void *data, struct hw_backend_delete *del)
{
    struct hw_question *q = hw_question_new(data, &del->req);

    if (q == NULL)
        return;
    struct hw_webhook *wh = hw_registry_find_id(q->backing->registry, hw_slice_str(del->id));
    if (hw_question_refresh(q, wh, del->id, 0, on_found_to_remove) != HW_OK)
        hw_question_end_later(q, HW_BACKEND_UNAVAILABLE);
}

/* ---- update: read, copy, edit the copy, write it where nobody was faster ---- */

static void on_updated(struct hw_registry_op *op, enum hw_registry_result result);

/* Made active where it was disabled? */
static bool is_enabled(const struct hw_webhook *before, const struct hw_webhook *now)
{
    return before->standing.status == HW_WEBHOOK_DISABLED &&
           now->standing.status == HW_WEBHOOK_ACTIVE;
}

/* With the account in memory as Redis has it. */
static enum hw_backend_result update_begin(struct hw_question *q)
{
    struct hw_backend_update *update = HW_CONTAINER_OF(q->req, struct hw_backend_update, req);
    struct hw_webhook *wh = hw_question_find_live(q->backing, update->account, update->id);

    if (wh == NULL)
        return HW_BACKEND_NOT_FOUND;
    hw_webhook_release(q->webhook);
    q->webhook = hw_webhook_copy(wh);
    if (q->webhook == NULL)
        return HW_BACKEND_FAILED;
    if (!update->edit(update, q->webhook))
        return HW_BACKEND_REFUSED;
    if (update->backfill != HW_BACKFILL_NONE && !is_enabled(wh, q->webhook))
        return HW_BACKEND_CONFLICT;
    q->n_tries++;
    q->status_before = wh->standing.status;
    return hw_registry_update(q->backing->registry, &q->op, q->webhook, wh->standing.status,
                              as_fill(update->backfill, update->from), on_updated) == HW_OK
               ? HW_BACKEND_OK
               : HW_BACKEND_UNAVAILABLE;
}

static void update_or_end(struct hw_question *q)
{
    enum hw_backend_result result = update_begin(q);

    if (result != HW_BACKEND_OK)
        hw_question_end(q, result);
}

static void on_updated(struct hw_registry_op *op, enum hw_registry_result result)
{
    struct hw_question *q = hw_question_of_op(op);
    struct hw_backend_update *update = HW_CONTAINER_OF(q->req, struct hw_backend_update, req);
    struct hw_webhook *wh = hw_question_find_live(q->backing, update->account, update->id);

    if (result == HW_REGISTRY_STALE && q->n_tries < UPDATE_TRIES) {
        update_or_end(q);
        return;
    }
    update->oldest = op->oldest;
    begin_backfill(q);
    if (result == HW_REGISTRY_DONE && wh == NULL)
        result = HW_REGISTRY_NOT_FOUND;
    if (result == HW_REGISTRY_DONE) {
        update->found = hw_question_as_found(wh);
        if (q->status_before == HW_WEBHOOK_PAUSED && wh->standing.status == HW_WEBHOOK_ACTIVE)
            hw_keeper_resume(q->backing->keeper, wh);
    }
    hw_question_end(q, hw_question_result(result));
}

static void on_found_to_update(struct hw_registry_op *op, enum hw_registry_result result)
{
    struct hw_question *q = hw_question_of_op(op);

    if (result == HW_REGISTRY_DONE)
        update_or_end(q);
    else
        hw_question_end(q, hw_question_result(result));
}

void hw_ask_update(void *data, struct hw_backend_update *update)
{
    struct hw_question *q = hw_question_new(data, &update->req);

    if (q == NULL)
        return;
    struct hw_webhook *wh =
        hw_registry_find_id(q->backing->registry, hw_slice_str(update->id));
    if (hw_question_refresh(q, wh, update->id, 0, on_found_to_update) != HW_OK)
        hw_question_end_later(q, HW_BACKEND_UNAVAILABLE);
}
