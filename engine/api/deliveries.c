#include "api/deliveries.h"

#include <inttypes.h>
#include <stdio.h>

#include "api/lossy.h"
#include "api/paging.h"
#include "api/shared.h"
#include "rules/record.h"

enum { PLACE_BYTES = 8 + 4 + 8 };

/* --- the object -------------------------------------------------------------------- */

static json_t *error_json(enum hw_failure failure, enum hw_phase phase,
                          struct hw_slice message)
{
    json_t *error;

    if (failure == HW_FAILURE_NONE)
        return json_null();
    error = json_pack("{s:s}", "kind", hw_failure_text(failure));
    if (phase != HW_PHASE_NONE)
        json_object_set_new(error, "phase", json_string(hw_phase_text(phase)));
    json_object_set_new(error, "message",
                        message.len > 0 ? hw_lossy_text(message) : json_string(""));
    return error;
}

json_t *hw_deliveries_json(uint32_t epoch, const struct hw_backend_delivery *d)
{
    const struct hw_history *h = &d->history;
    char id[HW_ID_MAX];

    hw_id_delivery(d->w, d->n, id);
    return json_pack(
        "{s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:s, s:i, s:o, s:o, s:o, s:o, s:o, "
        "s:o}",
        "id", id, "object", "delivery", "account", d->account, "webhook_id", d->webhook_id,
        "event_id", hw_lossy_text(h->event_id), "event_type", hw_lossy_text(h->event_type),
        "cursor", hw_json_cursor(epoch, h->cursor), "subject", hw_lossy_text(h->subject), "status",
        hw_delivery_status_text(h->status), "attempts", (int)h->attempts, "created_at",
        hw_json_time(h->created_ms), "updated_at", hw_json_time(h->updated_ms),
        "last_attempt_at", hw_json_time(h->last_attempt_ms), "next_attempt_at",
        hw_json_time(h->next_attempt_ms), "response_code",
        hw_json_number((uint64_t)h->response_code), "error",
        error_json(h->failure, h->phase, h->message));
}

/* --- the attempt log ---------------------------------------------------------------- */

static void add_phase(json_t *phases, const char *name, int32_t ms)
{
    if (ms >= 0)
        json_object_set_new(phases, name, json_integer(ms));
}

static json_t *phases_json(const struct hw_attempt *a)
{
    json_t *phases = json_object();

    add_phase(phases, "dns_ms", a->dns_ms);
    add_phase(phases, "connect_ms", a->connect_ms);
    add_phase(phases, "tls_ms", a->tls_ms);
    add_phase(phases, "first_byte_ms", a->first_byte_ms);
    return phases;
}

static json_t *attempt_json(const struct hw_attempt *a)
{
    json_t *entry =
        json_pack("{s:i, s:o, s:I}", "number", (int)a->number, "started_at",
                  hw_json_time(a->started_ms), "duration_ms", (json_int_t)a->duration_ms);

    if (!a->reused)
        json_object_set_new(entry, "phases", phases_json(a));
    json_object_set_new(entry, "address", hw_lossy_text(a->address));
    json_object_set_new(entry, "reused", json_boolean(a->reused));
    json_object_set_new(entry, "tls_version", hw_lossy_text(a->tls_version));
    json_object_set_new(entry, "response_code", hw_json_number((uint64_t)a->response_code));
    json_object_set_new(entry, "response_headers", hw_lossy_fields(a->response_head));
    json_object_set_new(entry, "response_body", hw_lossy_text(a->response_body));
    json_object_set_new(entry, "error", error_json(a->failure, a->phase, a->message));
    return entry;
}

/* The response of a delivered one is kept apart from its log. */
static json_t *log_json(const struct hw_backend_inspect *found)
{
    struct hw_slice log = found->found.history.log;
    json_t *list = json_array();
    struct hw_attempt a;

    while (hw_attempt_next(&log, &a)) {
        if (a.number == found->response_of && a.failure == HW_FAILURE_NONE) {
            a.response_head = found->response_head;
            a.response_body = found->response_body;
        }
        json_array_append_new(list, attempt_json(&a));
    }
    return list;
}

/* --- the request, as it was or will be sent -------------------------------------------- */

/* The pieces of the body; 0: no longer kept. */
static size_t request_body(const struct hw_backend_inspect *found, struct hw_slice pieces[2])
{
    const struct hw_webhook *wh = found->webhook;
    struct hw_record record;

    if (found->record.len == 0 || !hw_record_read(&record, found->record))
        return 0;
    return hw_record_body(&record, wh->format_raw, wh->include_raw, pieces);
}

static json_t *body_json(const struct hw_slice *pieces, size_t n_pieces)
{
    struct hw_buf whole;
    json_t *text;

    if (n_pieces == 1)
        return hw_lossy_text(pieces[0]);
    hw_buf_init(&whole, SIZE_MAX);
    for (size_t i = 0; i < n_pieces; i++)
        hw_buf_append_slice(&whole, pieces[i]);
    text = hw_buf_failed(&whole) == HW_OK ? hw_lossy_text(hw_buf_slice(&whole)) : NULL;
    hw_buf_close(&whole);
    return text;
}

static void add_number(json_t *headers, const char *name, uint64_t number)
{
    json_object_set_new(headers, name, json_sprintf("%" PRIu64, number));
}

static void add_text(json_t *headers, const char *name, struct hw_slice text)
{
    if (text.len > 0)
        json_object_set_new(headers, name, hw_lossy_text(text));
}

static void add_own_headers(json_t *headers, const struct hw_backend_delivery *d)
{
    const struct hw_history *h = &d->history;
    char id[HW_ID_MAX];

    hw_id_delivery(d->w, d->n, id);
    add_text(headers, "webhook-id", h->event_id);
    if (h->last_attempt_ms > 0)
        add_number(headers, "webhook-timestamp", (uint64_t)h->last_attempt_ms / 1000);
    json_object_set_new(headers, "x-hookwheel-delivery", json_string(id));
    add_number(headers, "x-hookwheel-attempt", h->attempts > 0 ? h->attempts : 1);
    add_text(headers, "x-hookwheel-subject", h->subject);
    add_text(headers, "traceparent", h->traceparent);
}

/* Without signatures, and with the static headers' values hidden: they may be secrets. */
static json_t *headers_json(const struct hw_call *call, const struct hw_slice *pieces,
                            size_t n_pieces)
{
    const struct hw_backend_inspect *found = &call->ask.inspect;
    const struct hw_webhook *wh = found->webhook;
    json_t *headers = json_pack("{s:s}", "content-type", "application/json");
    size_t n_bytes = 0;

    for (size_t i = 0; i < n_pieces; i++)
        n_bytes += pieces[i].len;
    if (n_pieces > 0)
        add_number(headers, "content-length", n_bytes);
    add_text(headers, "host", wh->url.authority);
    json_object_set_new(headers, "user-agent",
                        json_sprintf("hookwheel/%s", call->api->options.version));
    add_own_headers(headers, &found->found);
    for (size_t i = 0; i < wh->n_fields; i++)
        json_object_set_new(headers, wh->fields[i].name, json_string("***"));
    return headers;
}

static bool may_read_request(const struct hw_call *call)
{
    const struct hw_backend *backend = call->api->options.backend;

    return hw_caller_may_read(&call->caller, backend->catalogue(backend->data),
                              call->ask.inspect.found.history.event_type, NULL);
}

/* null: its webhook is gone, or the caller may not read events of that type. */
static json_t *request_json(const struct hw_call *call)
{
    const struct hw_backend_inspect *found = &call->ask.inspect;
    struct hw_slice pieces[2];
    size_t n_pieces;

    if (found->webhook == NULL || !may_read_request(call))
        return json_null();
    n_pieces = request_body(found, pieces);
    return json_pack("{s:o, s:o}", "headers", headers_json(call, pieces, n_pieces), "body",
                     n_pieces > 0 ? body_json(pieces, n_pieces) : json_null());
}

/* --- get ------------------------------------------------------------------------------ */

static void on_inspected(struct hw_backend_req *req)
{
    struct hw_call *call = hw_call_of(req);
    json_t *object;

    if (req->result != HW_BACKEND_OK) {
        hw_call_refuse_result(call, req->result, "delivery");
        return;
    }
    object = hw_deliveries_json(hw_call_epoch(call), &call->ask.inspect.found);
    json_object_set_new(object, "attempt_log", log_json(&call->ask.inspect));
    json_object_set_new(object, "request", request_json(call));
    hw_call_json(call, 200, object);
}

void hw_deliveries_get(struct hw_call *call)
{
    const struct hw_backend *backend = call->api->options.backend;
    struct hw_backend_inspect *ask = &call->ask.inspect;

    *ask = (struct hw_backend_inspect){ .req.cb = on_inspected,
                                        .account = hw_call_own_account(call) };
    if (hw_id_delivery_parse(&ask->w, &ask->n, hw_slice_str(call->match.values[0])))
        backend->inspect(backend->data, ask);
    else
        hw_call_refuse_result(call, HW_BACKEND_NOT_FOUND, "delivery");
}

/* --- list ------------------------------------------------------------------------------- */

static void place_write(unsigned char to[PLACE_BYTES], const struct hw_backend_place *place)
{
    to = hw_place_put(to, place->stamp_us, 8);
    to = hw_place_put(to, place->w, 4);
    hw_place_put(to, place->n, 8);
}

static struct hw_backend_place place_read(const unsigned char *from)
{
    return (struct hw_backend_place){ .stamp_us = hw_place_get(from, 8),
                                      .w = (uint32_t)hw_place_get(from + 8, 4),
                                      .n = hw_place_get(from + 12, 8) };
}

static struct hw_backend_place place_of(const struct hw_backend_delivery *d)
{
    return (struct hw_backend_place){ .stamp_us = d->history.stamp_us, .w = d->w, .n = d->n };
}

/* Where to go on from on each side: what the backend reached on the side it went to. */
static void edges(const struct hw_backend_deliveries *list, unsigned char oldest[PLACE_BYTES],
                  unsigned char newest[PLACE_BYTES])
{
    struct hw_backend_place first = list->place, last = list->place;

    if (list->n_found > 0) {
        first = place_of(&list->found[0]);
        last = place_of(&list->found[list->n_found - 1]);
    }
    if (list->has_more && list->is_newer)
        first = list->reached;
    else if (list->has_more)
        last = list->reached;
    place_write(oldest, &last);
    place_write(newest, &first);
}

static void on_listed(struct hw_backend_req *req)
{
    struct hw_call *call = hw_call_of(req);
    const struct hw_backend_deliveries *list = &call->ask.deliveries;
    unsigned char oldest[PLACE_BYTES], newest[PLACE_BYTES];
    struct hw_page page = { .kind = HW_CURSOR_DELIVERIES, .place_bytes = PLACE_BYTES };
    json_t *data;

    if (req->result != HW_BACKEND_OK) {
        hw_call_refuse_result(call, req->result, "account");
        return;
    }
    data = json_array();
    for (size_t i = 0; i < list->n_found; i++)
        json_array_append_new(data, hw_deliveries_json(hw_call_epoch(call), &list->found[i]));
    page.has_place = list->has_place;
    page.is_newer = list->is_newer;
    edges(list, oldest, newest);
    hw_call_json(call, 200, hw_page_json(&page, data, list->has_more, oldest, newest));
}

static bool read_status(struct hw_backend_deliveries *ask, const char *text,
                        struct hw_problem *p)
{
    ask->status = text ? hw_delivery_status_parse(hw_slice_str(text)) : -1;
    if (text == NULL || ask->status >= 0)
        return true;
    return hw_problem_set(p, HW_PROBLEM_INVALID_REQUEST, "status",
                          "status is pending, delivering, delivered, failed or dead_letter.");
}

/* 0 would be no bound; nothing is that old. */
static bool read_time(hw_unix_ms *at, const char *name, const char *text, struct hw_problem *p)
{
    if (text == NULL)
        return true;
    if (hw_timestamp_parse(at, hw_slice_str(text))) {
        *at = *at > 0 ? *at : 1;
        return true;
    }
    return hw_problem_set(p, HW_PROBLEM_INVALID_REQUEST, name,
                          "%s is a time as 2026-03-09T12:00:00Z.", name);
}

static bool read_page(struct hw_backend_deliveries *ask, const struct hw_target *target,
                      struct hw_problem *p)
{
    struct hw_page page;

    if (!hw_page_read(&page, target, HW_CURSOR_DELIVERIES, PLACE_BYTES, p))
        return false;
    ask->limit = page.limit;
    ask->has_place = page.has_place;
    ask->is_newer = page.is_newer;
    if (page.has_place)
        ask->place = place_read(page.place);
    return true;
}

static bool read_question(struct hw_call *call, struct hw_problem *p)
{
    struct hw_backend_deliveries *ask = &call->ask.deliveries;
    const struct hw_target *target = &call->target;

    *ask = (struct hw_backend_deliveries){ .req.cb = on_listed,
                                           .account = hw_call_account(call, p),
                                           .webhook_id = hw_target_find(target, "webhook_id"),
                                           .event_id = hw_target_find(target, "event_id"),
                                           .subject = hw_target_find(target, "subject") };
    return ask->account != NULL && read_status(ask, hw_target_find(target, "status"), p) &&
           read_time(&ask->since_ms, "since", hw_target_find(target, "since"), p) &&
           read_time(&ask->until_ms, "until", hw_target_find(target, "until"), p) &&
           read_page(ask, target, p);
}

void hw_deliveries_list(struct hw_call *call)
{
    const struct hw_backend *backend = call->api->options.backend;
    struct hw_problem p;

    if (read_question(call, &p))
        backend->deliveries(backend->data, &call->ask.deliveries);
    else
        hw_call_refuse(call, &p);
}
