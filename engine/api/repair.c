/*
 * test       planted -> looked at as any delivery -> 202 with what it is by then
 * recover    every dead letter of the time range -> 202 with their count
 * backfill   body -> the webhook: may the caller read what it receives? -> kept events that it
 *            wants, queued -> 202 with their count
 * redeliver  one -> 202, or 409 and why not
 */
#include "api/repair.h"

#include "api/deliveries.h"
#include "api/form.h"
#include "api/body.h"
#include "api/paging.h"
#include "api/shared.h"

enum { TIME_TEXT_MAX = 64 };

static void refuse_conflict(struct hw_call *call, const char *why)
{
    struct hw_problem p;

    hw_problem_set(&p, HW_PROBLEM_CONFLICT, NULL, "%s", why);
    hw_call_refuse(call, &p);
}

static void refuse_webhook(struct hw_call *call, enum hw_backend_result result)
{
    if (result == HW_BACKEND_CONFLICT)
        refuse_conflict(call, "The webhook is disabled; make it active first.");
    else
        hw_call_refuse_result(call, result, "webhook");
}

/* --- test ---------------------------------------------------------------------------- */

static void on_inspected(struct hw_backend_req *req)
{
    struct hw_call *call = hw_call_of(req);

    if (req->result == HW_BACKEND_OK)
        hw_call_json(call, 202, hw_deliveries_json(hw_call_epoch(call), &call->ask.inspect.found));
    else
        hw_call_refuse_result(call, req->result, "delivery");
}

static void on_planted(struct hw_backend_req *req)
{
    struct hw_call *call = hw_call_of(req);
    const struct hw_backend *backend = call->api->options.backend;
    uint32_t w = call->ask.test.w;
    uint64_t n = call->ask.test.n;

    if (req->result != HW_BACKEND_OK) {
        refuse_webhook(call, req->result);
        return;
    }
    call->ask.inspect = (struct hw_backend_inspect){
        .req.cb = on_inspected, .account = hw_call_own_account(call), .w = w, .n = n
    };
    backend->inspect(backend->data, &call->ask.inspect);
}

void hw_repair_test(struct hw_call *call)
{
    const struct hw_backend *backend = call->api->options.backend;

    call->ask.test = (struct hw_backend_test){ .req.cb = on_planted,
                                               .account = hw_call_own_account(call),
                                               .id = call->match.values[0] };
    backend->test(backend->data, &call->ask.test);
}

/* --- recover --------------------------------------------------------------------------- */

static void on_recovered(struct hw_backend_req *req)
{
    struct hw_call *call = hw_call_of(req);

    if (req->result == HW_BACKEND_OK)
        hw_call_json(call, 202,
                     json_pack("{s:I}", "count", (json_int_t)call->ask.recover.count));
    else
        refuse_webhook(call, req->result);
}

/* *at stays as it is where an optional one is not given. */
static bool read_time(hw_unix_ms *at, const json_t *object, const char *name, bool is_optional,
                      struct hw_problem *p)
{
    struct hw_text_rule rule = { name, TIME_TEXT_MAX, is_optional, false };
    const char *text;

    if (!hw_body_text(object, &rule, &text, p))
        return false;
    if (text == NULL)
        return true;
    if (!hw_timestamp_parse(at, hw_slice_str(text)))
        return hw_problem_set(p, HW_PROBLEM_INVALID_REQUEST, name,
                              "%s is a time as 2026-03-09T12:00:00Z.", name);
    *at = *at > 0 ? *at : 1; /* 0 would be no bound; nothing is that old */
    return true;
}

static bool read_range(struct hw_backend_recover *ask, json_t *object, struct hw_problem *p)
{
    if (!hw_body_check(object, "since until", p) ||
        !read_time(&ask->since_ms, object, "since", false, p) ||
        !read_time(&ask->until_ms, object, "until", true, p))
        return false;
    if (ask->until_ms == 0 || ask->since_ms <= ask->until_ms)
        return true;
    return hw_problem_set(p, HW_PROBLEM_INVALID_REQUEST, "until", "until is before since.");
}

static bool read_recover(struct hw_call *call, struct hw_problem *p)
{
    json_t *object = hw_call_is_json(call, p) ? hw_form_object(call->body, p) : NULL;
    bool is_good = object != NULL && read_range(&call->ask.recover, object, p);

    json_decref(object);
    return is_good;
}

void hw_repair_recover(struct hw_call *call)
{
    const struct hw_backend *backend = call->api->options.backend;
    struct hw_problem p;

    call->ask.recover = (struct hw_backend_recover){ .req.cb = on_recovered,
                                                     .account = hw_call_own_account(call),
                                                     .id = call->match.values[0] };
    if (read_recover(call, &p))
        backend->recover(backend->data, &call->ask.recover);
    else
        hw_call_refuse(call, &p);
}

/* --- backfill -------------------------------------------------------------------------- */

/* Whoever just tried again would have every event twice. */
static void refuse_count(struct hw_call *call)
{
    struct hw_problem p;

    hw_problem_set(&p, HW_PROBLEM_UNAVAILABLE, NULL,
                   "The backfill has begun and goes on by itself, but its count is not known; "
                   "asking again would queue the events again.");
    hw_call_refuse(call, &p);
}

static void on_backfilled(struct hw_backend_req *req)
{
    struct hw_call *call = hw_call_of(req);
    const struct hw_backend_backfill *ask = &call->ask.backfill;

    if (req->result == HW_BACKEND_OK)
        hw_call_json(call, 202, json_pack("{s:I}", "count", (json_int_t)ask->count));
    else if (req->result == HW_BACKEND_CONFLICT)
        refuse_conflict(call, ask->why);
    else if (req->result == HW_BACKEND_EXPIRED)
        hw_call_refuse_expired(call, ask->oldest);
    else if (req->result == HW_BACKEND_UNAVAILABLE && ask->has_begun)
        refuse_count(call);
    else
        hw_call_refuse_result(call, req->result, "webhook");
}

static bool read_until(struct hw_call *call, struct hw_backend_backfill *ask,
                       const json_t *value, struct hw_problem *p)
{
    struct hw_slice text = hw_slice(json_string_value(value), json_string_length(value));
    const struct hw_stream_id *from = &ask->from.after;
    bool is_of_feed = hw_stream_id_cmp(*from, HW_FEED_NOWHERE) != 0;

    ask->has_until = value != NULL && !json_is_null(value);
    if (!ask->has_until)
        return true;
    if (text.data == NULL || !hw_feed_cursor_read(hw_call_epoch(call), text, &ask->until))
        return hw_problem_set(p, HW_PROBLEM_INVALID_REQUEST, "until",
                              "until is a cursor that a feed gave out.");
    if (ask->from.is_start || !is_of_feed || hw_stream_id_cmp(*from, ask->until) <= 0)
        return true;
    return hw_problem_set(p, HW_PROBLEM_INVALID_REQUEST, "until", "until is before from.");
}

/* Of call->body_json. */
static bool read_backfill(struct hw_call *call, struct hw_backend_backfill *ask,
                          struct hw_problem *p)
{
    json_t *object = call->body_json;

    *ask = (struct hw_backend_backfill){ .req.cb = on_backfilled,
                                         .account = hw_call_own_account(call),
                                         .id = call->match.values[0] };
    return hw_body_check(object, "from until", p) &&
           hw_form_place(&ask->from, json_object_get(object, "from"), hw_call_epoch(call),
                         "from", p) &&
           read_until(call, ask, json_object_get(object, "until"), p);
}

static bool may_read_all_of(struct hw_call *call, const struct hw_webhook *wh,
                            struct hw_problem *p)
{
    const struct hw_backend *backend = call->api->options.backend;
    const char *missing = NULL;

    return hw_caller_may_read_all_of(&call->caller, backend->catalogue(backend->data), wh,
                                     &missing) ||
           hw_caller_refuse(p, missing);
}

static void on_found_to_backfill(struct hw_backend_req *req)
{
    struct hw_call *call = hw_call_of(req);
    const struct hw_backend *backend = call->api->options.backend;
    struct hw_problem p;

    if (req->result != HW_BACKEND_OK)
        hw_call_refuse_result(call, req->result, "webhook");
    else if (!may_read_all_of(call, call->ask.get.found.webhook, &p) ||
             !read_backfill(call, &call->ask.backfill, &p))
        hw_call_refuse(call, &p);
    else
        backend->backfill(backend->data, &call->ask.backfill);
}

void hw_repair_backfill(struct hw_call *call)
{
    const struct hw_backend *backend = call->api->options.backend;
    struct hw_backend_backfill ask;
    struct hw_problem p;

    if (hw_call_is_json(call, &p))
        call->body_json = hw_form_object(call->body, &p);
    if (call->body_json == NULL || !read_backfill(call, &ask, &p)) {
        hw_call_refuse(call, &p);
        return;
    }
    call->ask.get = (struct hw_backend_get){ .req.cb = on_found_to_backfill,
                                             .account = hw_call_own_account(call),
                                             .id = call->match.values[0] };
    backend->get(backend->data, &call->ask.get);
}

/* --- redeliver --------------------------------------------------------------------------- */

static void on_redelivered(struct hw_backend_req *req)
{
    struct hw_call *call = hw_call_of(req);
    const struct hw_backend_redeliver *ask = &call->ask.redeliver;
    char id[HW_ID_MAX];

    if (req->result == HW_BACKEND_CONFLICT) {
        refuse_conflict(call, ask->why);
    } else if (req->result != HW_BACKEND_OK) {
        hw_call_refuse_result(call, req->result, "delivery");
    } else {
        hw_id_delivery(ask->w, ask->n, id);
        hw_call_json(call, 202,
                     json_pack("{s:s, s:s, s:s}", "object", "delivery", "id", id, "status",
                               hw_delivery_status_text(HW_STATUS_PENDING)));
    }
}

void hw_repair_redeliver(struct hw_call *call)
{
    const struct hw_backend *backend = call->api->options.backend;
    struct hw_backend_redeliver *ask = &call->ask.redeliver;

    *ask = (struct hw_backend_redeliver){ .req.cb = on_redelivered,
                                          .account = hw_call_own_account(call) };
    if (hw_id_delivery_parse(&ask->w, &ask->n, hw_slice_str(call->match.values[0])))
        backend->redeliver(backend->data, ask);
    else
        hw_call_refuse_result(call, HW_BACKEND_NOT_FOUND, "delivery");
}
