/*
 * Each reads the account first: the webhook may have been made, changed or deleted by another
 * instance a moment ago.  What then changes in Redis is decided there, in one script
 * (store/replay.h); here it is put on its way.
 */
#include <stdio.h>

#include "flow/asks.h"
#include "flow/question.h"
#include "rules/record.h"

enum { TEST_MAX = 4096 };

static struct hw_question *question_of(struct hw_replay *r)
{
    return HW_CONTAINER_OF(r, struct hw_question, replay);
}

static enum hw_backend_result replay_result(enum hw_replay_result result)
{
    switch (result) {
    case HW_REPLAY_DONE:
    case HW_REPLAY_WAITING:
        return HW_BACKEND_OK;
    case HW_REPLAY_NOT_FOUND:
        return HW_BACKEND_NOT_FOUND;
    case HW_REPLAY_DELIVERING:
    case HW_REPLAY_NOT_LIVE:
    case HW_REPLAY_NO_BODY:
        return HW_BACKEND_CONFLICT;
    case HW_REPLAY_UNAVAILABLE:
        break;
    }
    return HW_BACKEND_UNAVAILABLE;
}

static enum hw_backend_result send_result(enum hw_status status)
{
    return status == HW_ENOMEM ? HW_BACKEND_FAILED : HW_BACKEND_UNAVAILABLE;
}

/* Due soon: ours to make.  Later: whoever reads it ahead. */
static void on_queued(struct hw_replay *r, uint32_t w, uint64_t n, hw_unix_ms due_ms)
{
    hw_schedule_parked(question_of(r)->backing->schedule, w, n, due_ms);
}

/* The webhook, in q->webhook, when the account has been read.  Anything but OK is the answer. */
static enum hw_backend_result find_webhook(struct hw_question *q, enum hw_registry_result read,
                                           const char *account, const char *id)
{
    struct hw_webhook *wh = hw_question_find_live(q->backing, account, id);

    if (read != HW_REGISTRY_DONE && read != HW_REGISTRY_NOT_FOUND)
        return HW_BACKEND_UNAVAILABLE;
    if (read == HW_REGISTRY_NOT_FOUND || wh == NULL)
        return HW_BACKEND_NOT_FOUND;
    if (wh->standing.status == HW_WEBHOOK_DISABLED)
        return HW_BACKEND_CONFLICT;
    q->webhook = hw_webhook_hold(wh);
    return HW_BACKEND_OK;
}

static void refresh_by_id(struct hw_question *q, const char *id, hw_registry_cb cb)
{
    struct hw_webhook *wh = hw_registry_find_id(q->backing->registry, hw_slice_str(id));

    if (hw_question_refresh(q, wh, id, 0, cb) != HW_OK)
        hw_question_end_later(q, HW_BACKEND_UNAVAILABLE);
}

/* ---- test ---- */

static void on_planted(struct hw_replay *r, enum hw_replay_result result)
{
    struct hw_question *q = question_of(r);
    struct hw_backend_test *test = HW_CONTAINER_OF(q->req, struct hw_backend_test, req);

    if (result == HW_REPLAY_DONE) {
        test->w = r->w;
        test->n = r->n;
        if (r->n_waiting > 0)
            hw_keeper_on_waiting(q->backing->keeper, r->w, r->n_waiting);
        else
            hw_keeper_load(q->backing->keeper, r->w, r->n);
    }
    hw_question_end(q, replay_result(result));
}

static enum hw_status write_test(struct hw_buf *out, const struct hw_webhook *wh,
                                 hw_unix_ms now)
{
    char id[HW_ID_MAX], data[128];
    struct hw_entry e = { .type = HW_SLICE("webhook.test"),
                          .account = hw_slice_str(wh->account),
                          .level = HW_LEVEL_USER,
                          .timestamp_ms = now };
    int n = snprintf(data, sizeof data,
                     "{\"webhook_id\":\"%s\",\"message\":\"This is a test.\"}", wh->id);

    hw_id_random("evt_", id);
    e.id = hw_slice_str(id);
    e.payload = hw_slice(data, (size_t)n);
    return hw_record_write(out, &e);
}

/* As for an event that comes by the stream: what memory has no room for waits in Redis. */
static bool has_room(const struct hw_question *q)
{
    const struct hw_dispatch *dispatch = &q->backing->keeper->courier->dispatch;
    const struct hw_endpoint *e = hw_dispatch_find(dispatch, q->webhook->w);

    return e == NULL || hw_room_left(e) > 0;
}

static enum hw_backend_result plant(struct hw_question *q)
{
    struct hw_webhook *wh = q->webhook;
    struct hw_buf record;
    enum hw_status status;

    hw_buf_init(&record, TEST_MAX);
    status = write_test(&record, wh, hw_loop_unix(q->backing->loop));
    if (status == HW_OK)
        status = hw_replay_plant(q->backing->store, &q->replay, wh->w,
                                 hw_slice_str(wh->account), hw_buf_slice(&record), has_room(q),
                                 on_planted);
    hw_buf_close(&record);
    return status == HW_OK ? HW_BACKEND_OK : send_result(status);
}

static void on_found_to_test(struct hw_registry_op *op, enum hw_registry_result read)
{
    struct hw_question *q = hw_question_of_op(op);
    struct hw_backend_test *test = HW_CONTAINER_OF(q->req, struct hw_backend_test, req);
    enum hw_backend_result result = find_webhook(q, read, test->account, test->id);

    if (result == HW_BACKEND_OK)
        result = plant(q);
    if (result != HW_BACKEND_OK)
        hw_question_end(q, result);
}

void hw_ask_test(void *data, struct hw_backend_test *test)
{
    struct hw_question *q = hw_question_new(data, &test->req);

    if (q != NULL)
        refresh_by_id(q, test->id, on_found_to_test);
}

/* ---- recover ---- */

static void on_recovered(struct hw_replay *r, enum hw_replay_result result)
{
    struct hw_question *q = question_of(r);
    struct hw_backend_recover *recover =
        HW_CONTAINER_OF(q->req, struct hw_backend_recover, req);

    recover->count = r->count;
    hw_question_end(q, replay_result(result));
}

static enum hw_backend_result recover_dead(struct hw_question *q,
                                           const struct hw_backend_recover *recover)
{
    enum hw_status status =
        hw_replay_dead(q->backing->store, &q->replay, q->webhook->w, recover->since_ms,
                       recover->until_ms, q->webhook->rate_per_s, on_queued, on_recovered);

    return status == HW_OK ? HW_BACKEND_OK : send_result(status);
}

static void on_found_to_recover(struct hw_registry_op *op, enum hw_registry_result read)
{
    struct hw_question *q = hw_question_of_op(op);
    struct hw_backend_recover *recover =
        HW_CONTAINER_OF(q->req, struct hw_backend_recover, req);
    enum hw_backend_result result = find_webhook(q, read, recover->account, recover->id);

    if (result == HW_BACKEND_OK)
        result = recover_dead(q, recover);
    if (result != HW_BACKEND_OK)
        hw_question_end(q, result);
}

void hw_ask_recover(void *data, struct hw_backend_recover *recover)
{
    struct hw_question *q = hw_question_new(data, &recover->req);

    if (q != NULL)
        refresh_by_id(q, recover->id, on_found_to_recover);
}

/* ---- redeliver ---- */

static const char *why_not(enum hw_replay_result result)
{
    if (result == HW_REPLAY_DELIVERING)
        return "The delivery is being attempted now.";
    if (result == HW_REPLAY_NO_BODY)
        return "The delivery's body is no longer kept.";
    return "The delivery's webhook is disabled or deleted.";
}

static void on_redelivered(struct hw_replay *r, enum hw_replay_result result)
{
    struct hw_question *q = question_of(r);
    struct hw_backend_redeliver *redeliver =
        HW_CONTAINER_OF(q->req, struct hw_backend_redeliver, req);

    redeliver->why = why_not(result);
    hw_question_end(q, replay_result(result));
}

/* A tombstone's deliveries can be read still: that they cannot be made again is no 404. */
static void on_found_to_redeliver(struct hw_registry_op *op, enum hw_registry_result read)
{
    struct hw_question *q = hw_question_of_op(op);
    struct hw_backend_redeliver *redeliver =
        HW_CONTAINER_OF(q->req, struct hw_backend_redeliver, req);
    struct hw_webhook *wh =
        hw_subscriptions_find(hw_backing_subscriptions(q->backing), redeliver->w);
    enum hw_status status;

    if (read != HW_REGISTRY_DONE && read != HW_REGISTRY_NOT_FOUND) {
        hw_question_end(q, HW_BACKEND_UNAVAILABLE);
        return;
    }
    if (wh == NULL ||
        (redeliver->account != NULL && strcmp(redeliver->account, wh->account) != 0)) {
        hw_question_end(q, HW_BACKEND_NOT_FOUND);
        return;
    }
    status = hw_replay_one(q->backing->store, &q->replay, redeliver->w, redeliver->n,
                           on_queued, on_redelivered);
    if (status != HW_OK)
        hw_question_end(q, send_result(status));
}

void hw_ask_redeliver(void *data, struct hw_backend_redeliver *redeliver)
{
    struct hw_question *q = hw_question_new(data, &redeliver->req);

    if (q == NULL)
        return;
    struct hw_webhook *wh =
        hw_subscriptions_find(hw_backing_subscriptions(q->backing), redeliver->w);
    if (hw_question_refresh(q, wh, NULL, redeliver->w, on_found_to_redeliver) != HW_OK)
        hw_question_end_later(q, HW_BACKEND_UNAVAILABLE);
}
