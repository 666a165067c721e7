/*
 * GET /v1/updates: may read -> query -> asked; with `wait`, the session waits along with it ->
 * the page as text.
 *
 * A cursor that leads to what is gone: 410.  Redis away, silent while the question waited, or
 * emptied meanwhile: 503.  The client gone, or the API closing: the question is hurried, so that
 * nobody waits for nothing.
 */
#include "api/updates.h"

#include "api/paging.h"
#include "api/session.h"
#include "api/shared.h"
#include "hookwheel/alloc.h"

/* The engine's own event that is in a feed. */
#define OWN_TYPE HW_SLICE("webhook.disabled")

enum { TYPES_MAX = 256, WAIT_MAX_S = 30 };

/* --- who may read ----------------------------------------------------------------------- */

static const struct hw_catalogue *catalogue_of(const struct hw_call *call)
{
    const struct hw_backend *backend = call->api->options.backend;

    return backend->catalogue(backend->data);
}

bool hw_updates_may_read(const struct hw_call *call, struct hw_problem *p)
{
    const struct hw_catalogue *catalogue = catalogue_of(call);

    if (hw_caller_may_read(&call->caller, catalogue, OWN_TYPE, NULL))
        return true;
    for (struct hw_map_entry *e = hw_map_next(&catalogue->types, NULL); e != NULL;
         e = hw_map_next(&catalogue->types, e))
        if (hw_caller_may_read(&call->caller, catalogue, e->key, NULL))
            return true;
    return hw_caller_refuse(p, "events:read");
}

/* --- what the backend is told of it --- */

/* The names and the texts behind them are one block, which outlives the catalogue. */
struct names {
    const struct hw_call *call;
    const char **list;
    size_t n_names;
    char *text; /* room for the next name */
};

static void add_name(struct names *names, struct hw_slice type)
{
    const struct hw_call *call = names->call;

    if (!hw_caller_may_read(&call->caller, catalogue_of(call), type, NULL))
        return;
    names->list[names->n_names++] = names->text;
    memcpy(names->text, type.data, type.len);
    names->text[type.len] = '\0';
    names->text += type.len + 1;
}

static bool names_init(struct names *names, const struct hw_call *call)
{
    const struct hw_catalogue *catalogue = catalogue_of(call);
    size_t n_max = 1 + catalogue->n_types, n_bytes = OWN_TYPE.len + 1;

    for (struct hw_map_entry *e = hw_map_next(&catalogue->types, NULL); e != NULL;
         e = hw_map_next(&catalogue->types, e))
        n_bytes += e->key.len + 1;
    *names = (struct names){ .call = call,
                             .list = hw_malloc(n_max * sizeof *names->list + n_bytes) };
    names->text = (char *)(names->list + n_max);
    return names->list != NULL;
}

static bool reads_all(const struct hw_caller *caller)
{
    return caller->is_root || hw_scopes_read_all(&caller->token->scopes);
}

bool hw_updates_readable(struct hw_call *call, struct hw_backend_readable *out,
                      struct hw_problem *p)
{
    const struct hw_catalogue *catalogue = catalogue_of(call);
    struct names names;

    *out = (struct hw_backend_readable){ .otherwise = reads_all(&call->caller) };
    if (out->otherwise)
        return true;
    if (!names_init(&names, call))
        return hw_problem_set(p, HW_PROBLEM_INTERNAL, NULL, "Out of memory; try again.");
    add_name(&names, OWN_TYPE);
    for (struct hw_map_entry *e = hw_map_next(&catalogue->types, NULL); e != NULL;
         e = hw_map_next(&catalogue->types, e))
        add_name(&names, e->key);
    call->names = names.list;
    out->names = names.list;
    out->n_names = names.n_names;
    return true;
}

/* --- text ------------------------------------------------------------------------------- */

void hw_updates_write_event(struct hw_buf *out, uint32_t epoch,
                         const struct hw_backend_update_event *event)
{
    struct hw_slice record = event->record;
    char cursor[HW_CURSOR_MAX];

    hw_feed_cursor_write(epoch, event->id, cursor);
    hw_buf_append(out, record.data, record.len - 1); /* all but its closing brace */
    hw_buf_append_str(out, ",\"cursor\":\"");
    hw_buf_append_str(out, cursor);
    hw_buf_append_str(out, "\"}");
}

void hw_updates_write_events(struct hw_buf *out, uint32_t epoch,
                          const struct hw_backend_update_event *events, size_t n_events)
{
    hw_buf_append_str(out, "\"data\":[");
    for (size_t i = 0; i < n_events; i++) {
        if (i > 0)
            hw_buf_append_char(out, ',');
        hw_updates_write_event(out, epoch, &events[i]);
    }
    hw_buf_append_char(out, ']');
}

void hw_updates_answer(struct hw_call *call, const struct hw_buf *text)
{
    if (hw_buf_failed(text) == HW_OK)
        hw_call_text(call, 200, "application/json", hw_buf_slice(text));
    else
        hw_call_json(call, 200, NULL);
}

/* --- a question ------------------------------------------------------------------------- */

bool hw_updates_read_cursor(const struct hw_call *call, const char *field, struct hw_slice text,
                         struct hw_stream_id *id, struct hw_problem *p)
{
    return hw_feed_cursor_read(hw_call_epoch(call), text, id) ||
           hw_problem_set(p, HW_PROBLEM_INVALID_REQUEST, field,
                          "%s is not a cursor that a feed gave out.", field);
}

/* The next of a list with commas, taken off its front; false: there is none. */
static bool next_type(const char **list, struct hw_slice *type)
{
    if (*list == NULL)
        return false;
    *type = hw_slice(*list, strcspn(*list, ","));
    *list = (*list)[type->len] == ',' ? *list + type->len + 1 : NULL;
    return true;
}

static bool check_types(const struct hw_call *call, const char *list, struct hw_problem *p)
{
    struct hw_slice type;
    const char *missing;

    for (size_t n = 1; next_type(&list, &type); n++) {
        if (n > TYPES_MAX || !hw_entry_type_is_valid(type))
            return hw_problem_set(p, HW_PROBLEM_INVALID_REQUEST, "types",
                                  "types is 1 to %d event types, separated by commas, as "
                                  "order.created,order.paid.",
                                  TYPES_MAX);
        if (!hw_caller_may_read(&call->caller, catalogue_of(call), type, &missing))
            return hw_caller_refuse(p, missing);
    }
    return true;
}

static bool check_subject(const char *subject, struct hw_problem *p)
{
    return subject == NULL || hw_entry_subject_is_valid(hw_slice_str(subject)) ||
           hw_problem_set(p, HW_PROBLEM_INVALID_REQUEST, "subject",
                          "subject is 1 to 256 bytes of printable ASCII.");
}

static bool is_among(struct hw_slice type, const char *list)
{
    struct hw_slice one;

    if (list == NULL)
        return true;
    while (next_type(&list, &one))
        if (hw_slice_eq(one, type))
            return true;
    return false;
}

/* The record has quotes and backslashes of its subject behind a backslash each. */
static bool has_subject(const struct hw_record *record, const char *wanted)
{
    const char *at = record->subject.data, *end = at + record->subject.len;

    if (wanted == NULL)
        return true;
    for (; record->has_subject && at < end && *wanted != '\0'; at++, wanted++) {
        if (*at == '\\')
            at++;
        if (*at != *wanted)
            return false;
    }
    return record->has_subject && at == end && *wanted == '\0';
}

static bool wants(const struct hw_backend_updates *updates, const struct hw_record *record)
{
    const struct hw_call *call = HW_CONTAINER_OF(updates, const struct hw_call, ask);

    return is_among(record->type, call->filter.types) &&
           has_subject(record, call->filter.subject) &&
           hw_caller_may_read(&call->caller, catalogue_of(call), record->type, NULL);
}

static bool read_from(const struct hw_call *call, struct hw_backend_from *from,
                      struct hw_problem *p)
{
    const char *cursor = hw_target_find(&call->target, "cursor");

    from->is_start = cursor == NULL;
    return from->is_start ||
           hw_updates_read_cursor(call, "cursor", hw_slice_str(cursor), &from->after, p);
}

bool hw_updates_read_question(struct hw_call *call, hw_backend_cb cb, struct hw_problem *p)
{
    struct hw_backend_updates *ask = &call->ask.updates;

    if (!hw_updates_may_read(call, p))
        return false;
    *ask = (struct hw_backend_updates){ .req.cb = cb,
                                        .account = hw_call_account(call, p),
                                        .wants = wants };
    call->filter =
        (struct hw_updates_filter){ .types = hw_target_find(&call->target, "types"),
                                 .subject = hw_target_find(&call->target, "subject"),
                                 .epoch = hw_call_epoch(call) };
    return ask->account != NULL && check_types(call, call->filter.types, p) &&
           check_subject(call->filter.subject, p) && read_from(call, &ask->from, p);
}

enum hw_backend_result hw_updates_result(const struct hw_call *call)
{
    const struct hw_backend *backend = call->api->options.backend;
    const struct hw_backend_updates *ask = &call->ask.updates;

    if (ask->req.result != HW_BACKEND_OK && ask->req.result != HW_BACKEND_EXPIRED)
        return ask->req.result;
    if (call->filter.epoch != hw_call_epoch(call))
        return HW_BACKEND_UNAVAILABLE; /* its cursor may be of the new life, taken for an old one */
    if (ask->req.result == HW_BACKEND_OK && ask->n_found == 0 &&
        backend->is_out_of_reach(backend->data))
        return HW_BACKEND_UNAVAILABLE;
    return ask->req.result;
}

void hw_updates_refuse(struct hw_call *call, enum hw_backend_result result)
{
    if (result == HW_BACKEND_EXPIRED)
        hw_call_refuse_expired(call, call->ask.updates.oldest);
    else
        hw_call_refuse_result(call, result, "account");
}

/* --- list ------------------------------------------------------------------------------- */

static void answer_page(struct hw_call *call)
{
    const struct hw_backend_updates *ask = &call->ask.updates;
    uint32_t epoch = hw_call_epoch(call);
    char next[HW_CURSOR_MAX];
    struct hw_buf text;

    hw_feed_cursor_write(epoch, ask->reached, next);
    hw_buf_init(&text, HW_UPDATES_ANSWER_MAX);
    hw_buf_append_char(&text, '{');
    hw_updates_write_events(&text, epoch, ask->found, ask->n_found);
    hw_buf_appendf(&text, ",\"next_cursor\":\"%s\",\"has_more\":%s}\n", next,
                   ask->has_more ? "true" : "false");
    hw_updates_answer(call, &text);
    hw_buf_close(&text);
}

static void on_found(struct hw_backend_req *req)
{
    struct hw_call *call = hw_call_of(req);
    enum hw_backend_result result = hw_updates_result(call);
    struct hw_problem p;

    if (result != HW_BACKEND_OK)
        hw_updates_refuse(call, result);
    else if (!hw_call_check_caller(call, &p)) /* it may have waited for long */
        hw_call_refuse(call, &p);
    else
        answer_page(call);
}

static void hurry(struct hw_call *call)
{
    const struct hw_backend *backend = call->api->options.backend;

    backend->hurry(backend->data, &call->ask.updates);
}

static bool read_wait(const struct hw_target *target, unsigned *wait_ms, struct hw_problem *p)
{
    const char *text = hw_target_find(target, "wait");
    uint64_t seconds = 0;

    if (text != NULL && !hw_slice_u64(hw_slice_str(text), WAIT_MAX_S, &seconds))
        return hw_problem_set(p, HW_PROBLEM_INVALID_REQUEST, "wait",
                              "wait is a number of seconds from 0 to %d.", WAIT_MAX_S);
    *wait_ms = (unsigned)seconds * 1000;
    return true;
}

void hw_updates_list(struct hw_call *call)
{
    static const struct hw_call_watch watch = { .on_gone = hurry, .on_closing = hurry };
    const struct hw_backend *backend = call->api->options.backend;
    struct hw_backend_updates *ask = &call->ask.updates;
    struct hw_problem p;

    if (!hw_updates_read_question(call, on_found, &p) ||
        !hw_page_read_limit(&call->target, &ask->limit, &p) ||
        !read_wait(&call->target, &ask->wait_ms, &p)) {
        hw_call_refuse(call, &p);
        return;
    }
    if (call->api->is_closing)
        ask->wait_ms = 0;
    if (ask->wait_ms > 0)
        hw_call_wait(call, &watch, ask->wait_ms);
    backend->updates(backend->data, ask);
}
