/*
 * body checked for itself -> kept as JSON -> the backend reads the webhook as Redis has it ->
 * the change is made to a copy (again, where somebody else's came in between) -> stored ->
 * answered with what is stored
 *
 * A body that breaks a rule is 400 whatever the id; then an unknown id is 404; then what the
 * webhook as it is now does not allow is 403 or 409, and is left in call->problem by the edit.
 */
#include "api/amend.h"

#include "api/paging.h"
#include "api/shared.h"
#include "api/webhooks.h"
#include "rules/sign.h"

typedef bool (*edit_fn)(struct hw_backend_update *update, struct hw_webhook *wh);

enum { OVERLAP_S = 86400, OVERLAP_MAX_S = 604800 };

static void ask_update(struct hw_call *call, edit_fn edit,
                       const struct hw_form_backfill *backfill, hw_backend_cb cb)
{
    const struct hw_backend *backend = call->api->options.backend;

    call->ask.update = (struct hw_backend_update){ .req.cb = cb,
                                                   .account = hw_call_own_account(call),
                                                   .id = call->match.values[0],
                                                   .edit = edit,
                                                   .backfill = backfill->kind,
                                                   .from = backfill->from };
    backend->update(backend->data, &call->ask.update);
}

static void refuse_backfill(struct hw_call *call)
{
    hw_problem_set(&call->problem, HW_PROBLEM_CONFLICT, NULL,
                   "backfill_from goes with \"status\":\"active\" for a disabled webhook; use "
                   "POST /v1/webhooks/:id/backfill for others.");
    hw_call_refuse(call, &call->problem);
}

static void refuse_update(struct hw_call *call)
{
    const struct hw_backend_update *update = &call->ask.update;

    if (update->req.result == HW_BACKEND_REFUSED)
        hw_call_refuse(call, &call->problem);
    else if (update->req.result == HW_BACKEND_EXPIRED)
        hw_call_refuse_expired(call, update->oldest);
    else if (update->req.result == HW_BACKEND_CONFLICT)
        refuse_backfill(call);
    else
        hw_call_refuse_result(call, update->req.result, "webhook");
}

static bool may_read_all_of(struct hw_call *call, const struct hw_webhook *wh)
{
    const struct hw_backend *backend = call->api->options.backend;
    const char *missing = NULL;

    return hw_caller_may_read_all_of(&call->caller, backend->catalogue(backend->data), wh,
                                     &missing) ||
           hw_caller_refuse(&call->problem, missing);
}

/* --- PATCH --------------------------------------------------------------------------- */

static bool is_guarded(const json_t *object)
{
    return json_object_get(object, "url") != NULL ||
           json_object_get(object, "event_types") != NULL ||
           json_object_get(object, "headers") != NULL ||
           json_object_get(object, "backfill_from") != NULL;
}

static bool patch(struct hw_backend_update *update, struct hw_webhook *wh)
{
    struct hw_call *call = hw_call_of(&update->req);
    struct hw_form_rules rules = hw_webhooks_rules(call);
    bool must_read = is_guarded(call->body_json);

    if ((must_read && !may_read_all_of(call, wh)) ||
        !hw_form_amend(wh, call->body_json, &rules, &call->problem) ||
        (must_read && !may_read_all_of(call, wh)))
        return false;
    wh->updated_ms = hw_loop_unix(call->api->loop);
    return true;
}

static void on_patched(struct hw_backend_req *req)
{
    struct hw_call *call = hw_call_of(req);
    const struct hw_backend_webhook *found = &call->ask.update.found;

    if (req->result != HW_BACKEND_OK)
        refuse_update(call);
    else
        hw_call_json(call, 200, hw_webhooks_json(hw_call_epoch(call), found->webhook, &found->standing));
}

static bool read_patch(struct hw_call *call, struct hw_form_backfill *backfill,
                       struct hw_problem *p)
{
    struct hw_form_rules rules = hw_webhooks_rules(call);

    if (!hw_call_is_json(call, p))
        return false;
    call->body_json = hw_form_object(call->body, p);
    return call->body_json != NULL && hw_form_check(call->body_json, &rules, backfill, p);
}

void hw_amend_patch(struct hw_call *call)
{
    struct hw_form_backfill backfill;
    struct hw_problem p;

    if (read_patch(call, &backfill, &p))
        ask_update(call, patch, &backfill, on_patched);
    else
        hw_call_refuse(call, &p);
}

/* --- rotate-secret ------------------------------------------------------------------- */

/* call->webhook has what is to come: the new secret, and until when the one before it signs. */
static bool rotate(struct hw_backend_update *update, struct hw_webhook *wh)
{
    struct hw_call *call = hw_call_of(&update->req);
    struct hw_slice secret = hw_slice_str(call->webhook->secret);

    if (!may_read_all_of(call, wh))
        return false;
    /* A repeated request would else drop the secret that the first one has left signing. */
    if (hw_equal_constant_time(secret, hw_slice_str(wh->secret)))
        return hw_problem_set(&call->problem, HW_PROBLEM_CONFLICT, NULL,
                              "This is the secret that the webhook has already.");
    if (hw_webhook_rotate(wh, secret, call->webhook->previous_until_ms, NULL) != HW_OK)
        return hw_problem_set(&call->problem, HW_PROBLEM_INTERNAL, NULL,
                              "The secret could not be set.");
    wh->updated_ms = hw_loop_unix(call->api->loop);
    return true;
}

static void on_rotated(struct hw_backend_req *req)
{
    struct hw_call *call = hw_call_of(req);
    const struct hw_webhook *draft = call->webhook;

    if (req->result != HW_BACKEND_OK)
        refuse_update(call);
    else
        hw_call_json(call, 200,
                     json_pack("{s:s, s:s, s:o}", "object", "signing_secret", "secret",
                               draft->secret, "previous_valid_until",
                               hw_json_time(draft->previous_until_ms)));
}

static bool no_memory(struct hw_problem *p)
{
    return hw_problem_set(p, HW_PROBLEM_INTERNAL, NULL, "Out of memory.");
}

/* No body is one without members. */
static json_t *read_object(struct hw_call *call, struct hw_problem *p)
{
    json_t *object;

    if (call->body.len > 0)
        return hw_call_is_json(call, p) ? hw_form_object(call->body, p) : NULL;
    object = json_object();
    if (object == NULL)
        no_memory(p);
    return object;
}

static bool read_secret(struct hw_webhook *draft, const json_t *value, struct hw_problem *p)
{
    struct hw_slice text = hw_slice(json_string_value(value), json_string_length(value));

    if (text.data != NULL && hw_webhook_set_secret(draft, text, NULL) == HW_OK)
        return true;
    return hw_problem_set(p, HW_PROBLEM_INVALID_REQUEST, "secret",
                          "secret is whsec_ and the base64 of %d to %d bytes.",
                          HW_SIGN_KEY_MIN, HW_SIGN_KEY_MAX);
}

static bool read_overlap(json_int_t *overlap_s, const json_t *value, struct hw_problem *p)
{
    *overlap_s = json_integer_value(value);
    if (json_is_integer(value) && *overlap_s >= 0 && *overlap_s <= OVERLAP_MAX_S)
        return true;
    return hw_problem_set(p, HW_PROBLEM_INVALID_REQUEST, "overlap_seconds",
                          "overlap_seconds is a whole number from 0 to %d.", OVERLAP_MAX_S);
}

static bool read_members(struct hw_webhook *draft, json_t *object, json_int_t *overlap_s,
                         struct hw_problem *p)
{
    const char *name;
    json_t *value;

    json_object_foreach (object, name, value) {
        if (strcmp(name, "secret") == 0) {
            if (!read_secret(draft, value, p))
                return false;
        } else if (strcmp(name, "overlap_seconds") == 0) {
            if (!read_overlap(overlap_s, value, p))
                return false;
        } else {
            return hw_problem_set(p, HW_PROBLEM_INVALID_REQUEST, name,
                                  "There is no such member here; leave it out.");
        }
    }
    return true;
}

static bool complete(struct hw_webhook *draft, hw_unix_ms now, json_int_t overlap_s,
                     struct hw_problem *p)
{
    char secret[HW_SIGN_SECRET_MAX];

    draft->previous_until_ms = overlap_s == 0 ? 0 : now + (hw_unix_ms)overlap_s * 1000;
    if (draft->key.len != 0)
        return true;
    hw_sign_secret_make(secret);
    return hw_webhook_set_secret(draft, hw_slice_str(secret), NULL) == HW_OK || no_memory(p);
}

static bool read_rotation(struct hw_call *call, struct hw_problem *p)
{
    json_int_t overlap_s = OVERLAP_S;
    json_t *object = read_object(call, p);
    bool is_good;

    if (object == NULL)
        return false;
    call->webhook = hw_webhook_new();
    is_good = call->webhook == NULL
                  ? no_memory(p)
                  : read_members(call->webhook, object, &overlap_s, p) &&
                        complete(call->webhook, hw_loop_unix(call->api->loop), overlap_s, p);
    json_decref(object);
    return is_good;
}

void hw_amend_rotate(struct hw_call *call)
{
    const struct hw_form_backfill none = { .kind = HW_BACKFILL_NONE };
    struct hw_problem p;

    if (read_rotation(call, &p))
        ask_update(call, rotate, &none, on_rotated);
    else
        hw_call_refuse(call, &p);
}
