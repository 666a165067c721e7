/*
 * The account is read first, as in ask_replay.c -> the job is begun, in one script -> it is done
 * (backfill.h) -> the answer, with the count
 *
 * What hinders it from then on does not undo it: whoever asked is told that it goes on.
 */
#include "flow/asks.h"
#include "flow/question.h"

static void on_filled(void *data, enum hw_fill_result result, uint64_t count)
{
    struct hw_question *q = data;
    struct hw_backend_backfill *ask = HW_CONTAINER_OF(q->req, struct hw_backend_backfill, req);

    ask->count = count;
    hw_question_end(q, result == HW_FILL_DONE        ? HW_BACKEND_OK
                       : result == HW_FILL_NOT_FOUND ? HW_BACKEND_NOT_FOUND
                                                     : HW_BACKEND_UNAVAILABLE);
}

static enum hw_backend_result refused(struct hw_backend_backfill *ask, const struct hw_fill *f,
                                      enum hw_fill_result result)
{
    ask->oldest = f->oldest;
    ask->why =
        result == HW_FILL_FULL
            ? "The webhook has enough queued to it already; wait until that is delivered."
            : "The webhook is disabled; make it active first.";
    switch (result) {
    case HW_FILL_EXPIRED:
        return HW_BACKEND_EXPIRED;
    case HW_FILL_NOT_FOUND:
        return HW_BACKEND_NOT_FOUND;
    case HW_FILL_DISABLED:
    case HW_FILL_FULL:
        return HW_BACKEND_CONFLICT;
    case HW_FILL_DONE:
    case HW_FILL_MOVED:
    case HW_FILL_UNAVAILABLE:
        break;
    }
    return HW_BACKEND_UNAVAILABLE;
}

static void on_begun(struct hw_fill *f, enum hw_fill_result result)
{
    struct hw_question *q = HW_CONTAINER_OF(f, struct hw_question, fill);
    struct hw_backend_backfill *ask = HW_CONTAINER_OF(q->req, struct hw_backend_backfill, req);

    ask->has_begun = result == HW_FILL_DONE;
    if (result != HW_FILL_DONE)
        hw_question_end(q, refused(ask, f, result));
    else if (f->job.number == 0)
        on_filled(q, HW_FILL_DONE, 0);
    else if (!hw_backfill_run(q->backing->backfill, &f->job, on_filled, q))
        hw_question_end(q, HW_BACKEND_UNAVAILABLE);
}

static enum hw_status begin(struct hw_question *q, const struct hw_webhook *wh)
{
    const struct hw_backend_backfill *ask =
        HW_CONTAINER_OF(q->req, struct hw_backend_backfill, req);
    struct hw_fill_range range = {
        .w = wh->w,
        .account = hw_slice_str(wh->account),
        .from = { ask->from.is_start, ask->from.after },
        .has_until = ask->has_until,
        .until = ask->until,
        .most_waiting = q->backing->keeper->backlog_max,
    };

    return hw_fill_begin(q->backing->store, &q->fill, &range, on_begun);
}

static void on_found(struct hw_registry_op *op, enum hw_registry_result read)
{
    struct hw_question *q = hw_question_of_op(op);
    struct hw_backend_backfill *ask = HW_CONTAINER_OF(q->req, struct hw_backend_backfill, req);
    struct hw_webhook *wh = hw_question_find_live(q->backing, ask->account, ask->id);

    if (read != HW_REGISTRY_DONE && read != HW_REGISTRY_NOT_FOUND)
        hw_question_end(q, HW_BACKEND_UNAVAILABLE);
    else if (read == HW_REGISTRY_NOT_FOUND || wh == NULL)
        hw_question_end(q, HW_BACKEND_NOT_FOUND);
    else if (begin(q, wh) != HW_OK)
        hw_question_end(q, HW_BACKEND_UNAVAILABLE);
}

void hw_ask_backfill(void *data, struct hw_backend_backfill *ask)
{
    struct hw_question *q = hw_question_new(data, &ask->req);

    if (q == NULL)
        return;
    struct hw_webhook *wh = hw_registry_find_id(q->backing->registry, hw_slice_str(ask->id));
    if (hw_question_refresh(q, wh, ask->id, 0, on_found) != HW_OK)
        hw_question_end_later(q, HW_BACKEND_UNAVAILABLE);
}
