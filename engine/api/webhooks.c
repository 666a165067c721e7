#include "api/webhooks.h"

#include <stdlib.h>

#include "api/fields.h"
#include "api/paging.h"
#include "api/shared.h"
#include "hookwheel/alloc.h"

enum { PLACE_BYTES = 4 }; /* a webhook's number: the later created, the higher */

/* --- the object ------------------------------------------------------------------ */

static json_t *types_json(const struct hw_webhook *wh)
{
    json_t *list;

    if (wh->event_types == NULL)
        return json_null();
    list = json_array();
    for (size_t i = 0; i < wh->n_event_types; i++)
        json_array_append_new(list, json_string(wh->event_types[i]));
    return list;
}

static json_t *fields_json(const struct hw_webhook *wh)
{
    json_t *object = json_object();

    for (size_t i = 0; i < wh->n_fields; i++)
        json_object_set_new(object, wh->fields[i].name, json_string(HW_FIELD_HIDDEN));
    return object;
}

static json_t *signature_json(const struct hw_webhook *wh)
{
    if (wh->signature_name == NULL)
        return json_null();
    return json_pack("{s:s, s:s}", "name", wh->signature_name, "format",
                     hw_signature_format_text(wh->signature_format));
}

static void add_standing(json_t *object, const struct hw_webhook_standing *standing)
{
    json_object_set_new(object, "status",
                        json_string(hw_webhook_status_text(standing->status)));
    json_object_set_new(object, "consecutive_failures",
                        json_integer(standing->consecutive_failures));
    if (standing->last_delivery_ms != 0)
        json_object_set_new(object, "last_delivery_at",
                            hw_json_time(standing->last_delivery_ms));
}

static void add_disabling(json_t *object, uint32_t epoch,
                          const struct hw_webhook_standing *standing)
{
    json_object_set_new(object, "disabled_at", hw_json_time(standing->disabled_ms));
    json_object_set_new(object, "disabled_reason", hw_json_text(standing->disabled_reason));
    json_object_set_new(object, "disabled_cursor", hw_json_cursor(epoch, standing->disabled_cursor));
}

json_t *hw_webhooks_json(uint32_t epoch, const struct hw_webhook *wh,
                         const struct hw_webhook_standing *standing)
{
    json_t *object = json_pack(
        "{s:s, s:s, s:s, s:o, s:s, s:o, s:o, s:s, s:b, s:s, s:o, s:o, s:b, s:i, s:o}", "id",
        wh->id, "object", "webhook", "account", wh->account, "name", hw_json_text(wh->name),
        "url", wh->url.text, "event_types", types_json(wh), "subject",
        hw_json_text(wh->subject), "level",
        wh->level == HW_LEVEL_PROGRESS ? "progress" : "user", "include_raw", wh->include_raw,
        "format", wh->format_raw ? "raw" : "record", "headers", fields_json(wh),
        "signature_header", signature_json(wh), "has_secret", wh->key.len > 0, "max_in_flight",
        (int)wh->max_in_flight, "rate_limit", hw_json_number(wh->rate_per_s));

    if (object == NULL)
        return NULL;
    add_standing(object, standing);
    json_object_set_new(object, "created_at", hw_json_time(wh->created_ms));
    json_object_set_new(object, "updated_at", hw_json_time(wh->updated_ms));
    add_disabling(object, epoch, standing);
    return object;
}

/* --- create ---------------------------------------------------------------------- */

struct hw_form_rules hw_webhooks_rules(const struct hw_call *call)
{
    const struct hw_api_options *options = &call->api->options;

    return (struct hw_form_rules){ .url = options->url_rules,
                                   .addresses = options->addresses,
                                   .caller = &call->caller,
                                   .catalogue =
                                       options->backend->catalogue(options->backend->data),
                                   .max_in_flight = options->max_in_flight,
                                   .max_in_flight_max = options->max_in_flight_total,
                                   .feed_epoch = hw_call_epoch(call) };
}

static bool no_memory(struct hw_problem *p)
{
    return hw_problem_set(p, HW_PROBLEM_INTERNAL, NULL, "Out of memory.");
}

/* What its creator may read of the events is what the webhook gets of them, for good. */
static bool keep_scopes(struct hw_webhook *wh, const struct hw_caller *caller)
{
    wh->reads_all = caller->is_root || hw_scopes_read_all(&caller->token->scopes);
    return wh->reads_all || hw_scopes_copy(&wh->readable, &caller->token->scopes) == HW_OK;
}

static bool read_webhook(struct hw_call *call, struct hw_form_backfill *backfill,
                         struct hw_problem *p)
{
    struct hw_form_rules rules = hw_webhooks_rules(call);

    if (!hw_call_is_json(call, p))
        return false;
    call->webhook = hw_webhook_new();
    if (call->webhook == NULL || !keep_scopes(call->webhook, &call->caller))
        return no_memory(p);
    if (!hw_form_read(call->webhook, call->body, &rules, backfill, p))
        return false;
    hw_id_random("wh_", call->webhook->id);
    call->webhook->created_ms = call->webhook->updated_ms = hw_loop_unix(call->api->loop);
    return true;
}

/* A string of the object's text as it is sent; the object is taken.  NULL: out of memory. */
static json_t *as_text(json_t *object)
{
    char *text = json_dumps(object, JSON_COMPACT); /* jansson's memory: free(3) */
    json_t *line = text ? json_sprintf("%s\n", text) : NULL;

    free(text);
    json_decref(object);
    return line;
}

/* Before the backend is asked: it keeps the answer, byte for byte, in the step that creates
 * the webhook, and nothing in it is for the backend to say. */
static bool write_answer(struct hw_call *call, struct hw_problem *p)
{
    const struct hw_webhook *wh = call->webhook;
    json_t *object = hw_webhooks_json(hw_call_epoch(call), wh, &wh->standing);

    json_object_set_new(object, "secret", json_string(wh->secret));
    call->answer = as_text(object);
    return call->answer != NULL || no_memory(p);
}

static struct hw_slice answer_of(const struct hw_call *call)
{
    return hw_slice(json_string_value(call->answer), json_string_length(call->answer));
}

static void on_created(struct hw_backend_req *req)
{
    struct hw_call *call = hw_call_of(req);

    if (req->result == HW_BACKEND_OK)
        hw_call_text(call, 201, "application/json", answer_of(call));
    else if (req->result == HW_BACKEND_KEPT)
        hw_call_repeat(call, call->ask.create.once.kept);
    else if (req->result == HW_BACKEND_EXPIRED)
        hw_call_refuse_expired(call, call->ask.create.oldest);
    else
        hw_call_refuse_result(call, req->result, "webhook");
}

void hw_webhooks_create(struct hw_call *call)
{
    const struct hw_backend *backend = call->api->options.backend;
    struct hw_form_backfill backfill;
    struct hw_problem p;

    if (!read_webhook(call, &backfill, &p) || !write_answer(call, &p)) {
        hw_call_refuse(call, &p);
        return;
    }
    call->ask.create = (struct hw_backend_create){ .req.cb = on_created,
                                                   .backfill = backfill.kind,
                                                   .from = backfill.from,
                                                   .once = hw_once_ask(&call->once),
                                                   .answer = answer_of(call),
                                                   .webhook = call->webhook };
    backend->create(backend->data, &call->ask.create);
}

/* --- list ------------------------------------------------------------------------- */

typedef const struct hw_backend_webhook *webhook_ref;

/* Newest first. */
static int compare(const void *a, const void *b)
{
    uint32_t left = (*(const webhook_ref *)a)->webhook->w;
    uint32_t right = (*(const webhook_ref *)b)->webhook->w;

    return left < right ? 1 : left > right ? -1 : 0;
}

static bool is_wanted(const struct hw_call *call, const struct hw_backend_webhook *item)
{
    const char *status = hw_target_find(&call->target, "status");
    const char *subject = hw_target_find(&call->target, "subject");
    const char *own = item->webhook->subject;

    if (status != NULL && strcmp(status, hw_webhook_status_text(item->standing.status)) != 0)
        return false;
    return subject == NULL || (own != NULL && strcmp(subject, own) == 0);
}

static size_t pick(const struct hw_call *call, const struct hw_backend_list *list,
                   webhook_ref *picked)
{
    size_t n_picked = 0;

    for (size_t i = 0; i < list->n_found; i++)
        if (is_wanted(call, &list->found[i]))
            picked[n_picked++] = &list->found[i];
    qsort(picked, n_picked, sizeof *picked, compare);
    return n_picked;
}

/* The part of `picked` on the asked side of the cursor, at most `limit`. */
static bool cut(const struct hw_page *page, const webhook_ref *picked, size_t *from,
                size_t *to)
{
    uint64_t place = page->has_place ? hw_place_get(page->place, PLACE_BYTES) : 0;
    size_t n_picked = *to;

    *from = 0;
    if (page->is_newer) {
        while (*from < n_picked && picked[*from]->webhook->w > place)
            ++*from;
        *to = *from;
        *from = *to > page->limit ? *to - page->limit : 0;
        return *from > 0;
    }
    while (page->has_place && *from < n_picked && picked[*from]->webhook->w >= place)
        ++*from;
    *to = n_picked - *from > page->limit ? *from + page->limit : n_picked;
    return *to < n_picked;
}

static json_t *list_json(uint32_t epoch, const struct hw_page *page, const webhook_ref *picked,
                         size_t n_picked)
{
    unsigned char oldest[PLACE_BYTES], newest[PLACE_BYTES];
    json_t *data = json_array();
    size_t from, to = n_picked;
    bool has_more = cut(page, picked, &from, &to);
    bool is_empty = from == to;

    for (size_t i = from; i < to; i++)
        json_array_append_new(
            data, hw_webhooks_json(epoch, picked[i]->webhook, &picked[i]->standing));
    if (!is_empty) {
        hw_place_put(newest, picked[from]->webhook->w, PLACE_BYTES);
        hw_place_put(oldest, picked[to - 1]->webhook->w, PLACE_BYTES);
    }
    return hw_page_json(page, data, has_more, is_empty ? NULL : oldest,
                        is_empty ? NULL : newest);
}

static void on_listed(struct hw_backend_req *req)
{
    struct hw_call *call = hw_call_of(req);
    const struct hw_backend_list *list = &call->ask.list;
    struct hw_page page;
    struct hw_problem p;
    webhook_ref *picked;
    json_t *body = NULL;

    if (req->result != HW_BACKEND_OK) {
        hw_call_refuse_result(call, req->result, "account");
        return;
    }
    if (!hw_page_read(&page, &call->target, HW_CURSOR_WEBHOOKS, PLACE_BYTES, &p)) {
        hw_call_refuse(call, &p);
        return;
    }
    picked = hw_malloc(list->n_found * sizeof *picked);
    if (picked != NULL)
        body = list_json(hw_call_epoch(call), &page, picked, pick(call, list, picked));
    hw_free(picked);
    hw_call_json(call, 200, body);
}

static bool check_list(struct hw_call *call, struct hw_problem *p)
{
    const char *status = hw_target_find(&call->target, "status");
    struct hw_page page;
    int parsed = status ? hw_webhook_status_parse(hw_slice_str(status)) : HW_WEBHOOK_ACTIVE;

    if (parsed < 0 || parsed == HW_WEBHOOK_DELETED)
        return hw_problem_set(p, HW_PROBLEM_INVALID_REQUEST, "status",
                              "status is active, paused or disabled.");
    return hw_page_read(&page, &call->target, HW_CURSOR_WEBHOOKS, PLACE_BYTES, p);
}

void hw_webhooks_list(struct hw_call *call)
{
    const struct hw_backend *backend = call->api->options.backend;
    struct hw_problem p;
    const char *account = check_list(call, &p) ? hw_call_account(call, &p) : NULL;

    if (account == NULL) {
        hw_call_refuse(call, &p);
        return;
    }
    call->ask.list = (struct hw_backend_list){ .req.cb = on_listed, .account = account };
    backend->list(backend->data, &call->ask.list);
}

/* --- get, delete --------------------------------------------------------------------- */

static void on_found(struct hw_backend_req *req)
{
    struct hw_call *call = hw_call_of(req);
    const struct hw_backend_webhook *found = &call->ask.get.found;

    if (req->result != HW_BACKEND_OK)
        hw_call_refuse_result(call, req->result, "webhook");
    else
        hw_call_json(call, 200, hw_webhooks_json(hw_call_epoch(call), found->webhook, &found->standing));
}

void hw_webhooks_get(struct hw_call *call)
{
    const struct hw_backend *backend = call->api->options.backend;

    call->ask.get = (struct hw_backend_get){ .req.cb = on_found,
                                             .account = hw_call_own_account(call),
                                             .id = call->match.values[0] };
    backend->get(backend->data, &call->ask.get);
}

static void on_deleted(struct hw_backend_req *req)
{
    struct hw_call *call = hw_call_of(req);

    if (req->result != HW_BACKEND_OK)
        hw_call_refuse_result(call, req->result, "webhook");
    else
        hw_call_nothing(call);
}

void hw_webhooks_delete(struct hw_call *call)
{
    const struct hw_backend *backend = call->api->options.backend;

    call->ask.remove = (struct hw_backend_delete){ .req.cb = on_deleted,
                                                   .account = hw_call_own_account(call),
                                                   .id = call->match.values[0] };
    backend->remove(backend->data, &call->ask.remove);
}
