/*
 * list     every consumer of the account
 * pull     events, which nobody else gets before their time is up
 * pending  those that are handed out, and nothing is taken
 * ack      by their ids or up to a cursor -> how many
 * delete   204
 *
 * Each: may read anything at all -> name, query, body -> asked.  A cursor that leads to what is
 * gone: 410.  Redis full: pulls are 503, acknowledging goes on.
 */
#include "api/consumers.h"

#include "api/updates.h"
#include "api/form.h"
#include "api/body.h"
#include "api/paging.h"
#include "api/shared.h"
#include "hookwheel/alloc.h"

enum { VISIBILITY_S = 30, VISIBILITY_MAX_S = 43200, ACKS_MAX = 1000, CURSOR_TEXT_MAX = 128 };

static const struct hw_backend *backend_of(const struct hw_call *call)
{
    return call->api->options.backend;
}

/* Its name in the path; NULL: *p, also where the caller may read nothing of a feed. */
static const char *read_name(const struct hw_call *call, struct hw_problem *p)
{
    const char *name = call->match.values[0];

    if (!hw_updates_may_read(call, p))
        return NULL;
    if (hw_entry_account_is_valid(hw_slice_str(name))) /* the same rule */
        return name;
    hw_problem_set(p, HW_PROBLEM_INVALID_REQUEST, "name",
                   "A consumer's name is 1 to 64 letters, digits, _ or -.");
    return NULL;
}

static void refuse_full(struct hw_call *call)
{
    struct hw_problem p;

    hw_problem_set(&p, HW_PROBLEM_LIMIT_EXCEEDED, NULL,
                   "The account has its %d consumers already; delete one first.",
                   HW_BACKEND_CONSUMERS_MAX);
    p.limit = HW_BACKEND_CONSUMERS_MAX;
    hw_call_refuse(call, &p);
}

static void refuse(struct hw_call *call, enum hw_backend_result result,
                   struct hw_stream_id oldest)
{
    if (result == HW_BACKEND_EXPIRED)
        hw_call_refuse_expired(call, oldest);
    else if (result == HW_BACKEND_LIMIT)
        refuse_full(call);
    else
        hw_call_refuse_result(call, result, "consumer");
}

/* --- pending --------------------------------------------------------------------------- */

static bool is_nowhere(struct hw_stream_id id)
{
    return hw_stream_id_cmp(id, HW_FEED_NOWHERE) == 0;
}

static void answer_pending(struct hw_call *call)
{
    const struct hw_backend_outstanding *ask = &call->ask.outstanding;
    uint32_t epoch = hw_call_epoch(call);
    char next[HW_CURSOR_MAX];
    struct hw_buf text;

    hw_feed_cursor_write(epoch, ask->reached, next);
    hw_buf_init(&text, HW_UPDATES_ANSWER_MAX);
    hw_buf_append_char(&text, '{');
    hw_updates_write_events(&text, epoch, ask->found, ask->n_found);
    if (ask->has_more)
        hw_buf_appendf(&text, ",\"has_more\":true,\"next_cursor\":\"%s\"}\n", next);
    else
        hw_buf_append_str(&text, ",\"has_more\":false,\"next_cursor\":null}\n");
    hw_updates_answer(call, &text);
    hw_buf_close(&text);
}

static void on_pending(struct hw_backend_req *req)
{
    static const struct hw_stream_id first = { 0, 0 };
    struct hw_call *call = hw_call_of(req);

    if (req->result != HW_BACKEND_OK)
        refuse(call, req->result, first);
    else if (is_nowhere(call->ask.outstanding.after))
        refuse(call, HW_BACKEND_EXPIRED, first); /* of another consumer of that name */
    else
        answer_pending(call);
}

static bool read_pending(struct hw_call *call, struct hw_problem *p)
{
    struct hw_backend_outstanding *ask = &call->ask.outstanding;
    const char *cursor = hw_target_find(&call->target, "cursor");

    *ask = (struct hw_backend_outstanding){ .req.cb = on_pending, .name = read_name(call, p) };
    return ask->name != NULL && (ask->account = hw_call_account(call, p)) != NULL &&
           hw_page_read_limit(&call->target, &ask->limit, p) &&
           (cursor == NULL ||
            hw_updates_read_cursor(call, "cursor", hw_slice_str(cursor), &ask->after, p)) &&
           hw_updates_readable(call, &ask->readable, p);
}

void hw_consumers_pending(struct hw_call *call)
{
    struct hw_problem p;

    if (read_pending(call, &p))
        backend_of(call)->outstanding(backend_of(call)->data, &call->ask.outstanding);
    else
        hw_call_refuse(call, &p);
}

/* --- pull -------------------------------------------------------------------------------- */

static void answer_pull(struct hw_call *call)
{
    const struct hw_backend_pull *ask = &call->ask.pull;
    struct hw_buf text;

    hw_buf_init(&text, HW_UPDATES_ANSWER_MAX);
    hw_buf_append_char(&text, '{');
    hw_updates_write_events(&text, hw_call_epoch(call), ask->found, ask->n_found);
    hw_buf_appendf(&text, ",\"has_more\":%s}\n", ask->has_more ? "true" : "false");
    hw_updates_answer(call, &text);
    hw_buf_close(&text);
}

static void on_pulled(struct hw_backend_req *req)
{
    struct hw_call *call = hw_call_of(req);

    if (req->result == HW_BACKEND_OK)
        answer_pull(call);
    else
        refuse(call, req->result, call->ask.pull.oldest);
}

static bool read_visibility(const struct hw_target *target, unsigned *visibility_ms,
                            struct hw_problem *p)
{
    const char *text = hw_target_find(target, "visibility_seconds");
    uint64_t seconds = VISIBILITY_S;

    if (text != NULL &&
        (!hw_slice_u64(hw_slice_str(text), VISIBILITY_MAX_S, &seconds) || seconds == 0))
        return hw_problem_set(p, HW_PROBLEM_INVALID_REQUEST, "visibility_seconds",
                              "visibility_seconds is a number from 1 to %d.",
                              VISIBILITY_MAX_S);
    *visibility_ms = (unsigned)seconds * 1000;
    return true;
}

static bool read_from(const struct hw_call *call, struct hw_backend_from *from,
                      struct hw_problem *p)
{
    const char *cursor = hw_target_find(&call->target, "from");

    from->is_start = cursor == NULL;
    return from->is_start ||
           hw_updates_read_cursor(call, "from", hw_slice_str(cursor), &from->after, p);
}

static bool read_pull(struct hw_call *call, struct hw_problem *p)
{
    struct hw_backend_pull *ask = &call->ask.pull;

    *ask = (struct hw_backend_pull){ .req.cb = on_pulled, .name = read_name(call, p) };
    return ask->name != NULL && (ask->account = hw_call_account(call, p)) != NULL &&
           hw_page_read_limit(&call->target, &ask->limit, p) &&
           read_visibility(&call->target, &ask->visibility_ms, p) &&
           read_from(call, &ask->from, p) && hw_updates_readable(call, &ask->readable, p);
}

void hw_consumers_pull(struct hw_call *call)
{
    struct hw_problem p;

    if (!read_pull(call, &p))
        hw_call_refuse(call, &p);
    else if (call->is_head)
        hw_call_text(call, 200, "application/json", hw_slice(NULL, 0)); /* takes nothing */
    else
        backend_of(call)->pull(backend_of(call)->data, &call->ask.pull);
}

/* --- ack --------------------------------------------------------------------------------- */

static void on_acknowledged(struct hw_backend_req *req)
{
    struct hw_call *call = hw_call_of(req);
    const struct hw_backend_ack *ask = &call->ask.ack;

    if (req->result == HW_BACKEND_OK)
        hw_call_json(call, 200,
                     json_pack("{s:I}", "acknowledged", (json_int_t)ask->n_acknowledged));
    else
        refuse(call, req->result, ask->oldest);
}

static bool refuse_ids(struct hw_problem *p)
{
    return hw_problem_set(p, HW_PROBLEM_INVALID_REQUEST, "event_ids",
                          "event_ids is an array of 1 to %d events' ids.", ACKS_MAX);
}

/* The texts stay the body's. */
static bool read_ids(struct hw_call *call, const json_t *ids, struct hw_problem *p)
{
    size_t n = json_array_size(ids);

    if (!json_is_array(ids) || n == 0 || n > ACKS_MAX)
        return refuse_ids(p);
    call->names = hw_malloc(n * sizeof *call->names);
    if (call->names == NULL)
        return hw_problem_set(p, HW_PROBLEM_INTERNAL, NULL, "Out of memory; try again.");
    for (size_t i = 0; i < n; i++) {
        call->names[i] = json_string_value(json_array_get(ids, i));
        if (call->names[i] == NULL)
            return refuse_ids(p);
    }
    call->ask.ack.event_ids = call->names;
    call->ask.ack.n_event_ids = n;
    return true;
}

static bool read_cursor(struct hw_call *call, struct hw_problem *p)
{
    static const struct hw_text_rule rule = { .name = "cursor", .max_bytes = CURSOR_TEXT_MAX };
    const char *text;

    return hw_body_text(call->body_json, &rule, &text, p) &&
           hw_updates_read_cursor(call, "cursor", hw_slice_str(text), &call->ask.ack.cursor, p);
}

static bool read_body(struct hw_call *call, struct hw_problem *p)
{
    const json_t *ids;

    call->body_json = hw_call_is_json(call, p) ? hw_form_object(call->body, p) : NULL;
    if (call->body_json == NULL || !hw_body_check(call->body_json, "event_ids cursor", p))
        return false;
    ids = json_object_get(call->body_json, "event_ids");
    if ((ids == NULL) == (json_object_get(call->body_json, "cursor") == NULL))
        return hw_problem_set(p, HW_PROBLEM_INVALID_REQUEST, "event_ids",
                              "Give either event_ids or cursor.");
    return ids != NULL ? read_ids(call, ids, p) : read_cursor(call, p);
}

void hw_consumers_ack(struct hw_call *call)
{
    struct hw_backend_ack *ask = &call->ask.ack;
    struct hw_problem p;

    *ask = (struct hw_backend_ack){ .req.cb = on_acknowledged, .name = read_name(call, &p) };
    if (ask->name != NULL && (ask->account = hw_call_account(call, &p)) != NULL &&
        read_body(call, &p))
        backend_of(call)->ack(backend_of(call)->data, ask);
    else
        hw_call_refuse(call, &p);
}

/* --- list -------------------------------------------------------------------------------- */

static json_t *consumer_json(const struct hw_call *call, const struct hw_backend_consumer *c)
{
    char position[HW_CURSOR_MAX];

    hw_feed_cursor_write(hw_call_epoch(call), c->position, position);
    return json_pack("{s:s, s:s, s:s, s:s, s:I, s:I, s:I, s:o}", "object", "consumer", "name",
                     c->name, "account", call->ask.consumers.account, "position", position,
                     "lag", (json_int_t)c->lag, "handed_out", (json_int_t)c->handed_out,
                     "skipped", (json_int_t)c->skipped, "created_at",
                     hw_json_time(c->created_ms));
}

static void on_listed(struct hw_backend_req *req)
{
    struct hw_call *call = hw_call_of(req);
    const struct hw_backend_consumers *ask = &call->ask.consumers;
    json_t *data;

    if (req->result != HW_BACKEND_OK) {
        hw_call_refuse_result(call, req->result, "account");
        return;
    }
    data = json_array();
    for (size_t i = 0; i < ask->n_found; i++)
        json_array_append_new(data, consumer_json(call, &ask->found[i]));
    hw_call_json(call, 200, json_pack("{s:o}", "data", data));
}

void hw_consumers_list(struct hw_call *call)
{
    struct hw_backend_consumers *ask = &call->ask.consumers;
    struct hw_problem p;

    *ask = (struct hw_backend_consumers){ .req.cb = on_listed };
    if (hw_updates_may_read(call, &p) && (ask->account = hw_call_account(call, &p)) != NULL)
        backend_of(call)->consumers(backend_of(call)->data, ask);
    else
        hw_call_refuse(call, &p);
}

/* --- delete ------------------------------------------------------------------------------ */

static void on_deleted(struct hw_backend_req *req)
{
    struct hw_call *call = hw_call_of(req);

    if (req->result == HW_BACKEND_OK)
        hw_call_nothing(call);
    else
        hw_call_refuse_result(call, req->result, "consumer");
}

void hw_consumers_delete(struct hw_call *call)
{
    struct hw_backend_drop_consumer *ask = &call->ask.drop_consumer;
    struct hw_problem p;

    *ask =
        (struct hw_backend_drop_consumer){ .req.cb = on_deleted, .name = read_name(call, &p) };
    if (ask->name != NULL && (ask->account = hw_call_account(call, &p)) != NULL)
        backend_of(call)->drop_consumer(backend_of(call)->data, ask);
    else
        hw_call_refuse(call, &p);
}
