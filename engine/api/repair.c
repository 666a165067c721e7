/*
 * test       planted -> looked at as any delivery -> 202 with what it is by then
 * recover    every dead letter of the time range -> 202 with their count
 * redeliver  one -> 202, or 409 and why not
 */
#include "api/repair.h"

#include "api/deliveries.h"
#include "api/form.h"
#include "api/members.h"
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

    if (!hw_members_text(object, &rule, &text, p))
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
    if (!hw_members_check(object, "since until", p) ||
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
