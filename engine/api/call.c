/*
 * new: target apart -> route -> token, rate, scope -> query; the first that fails is kept as
 *   the problem
 * a token that is not known here: the backend is asked to look again, once; only then more of
 *   the body is read than of one that is refused
 * run: the problem is answered, one that came up while the body arrived too; or, with an
 *   Idempotency-Key, what is kept under it; or the handler runs
 * answer: count, hand the bytes to the session if it is still there, free
 *
 * Redis away or silent: 503 for the unknown token, for the key, and for whatever asks it.  The
 * client gone before the handler ran: dropped, nothing has been done.
 */
#include "api/call.h"

#include <stdio.h>

#include "api/paging.h"
#include "api/session.h"
#include "api/shared.h"
#include "hookwheel/alloc.h"

/* The largest answer: one delivery with the largest payload there can be, 16 MiB, of which each
 * byte may be a quote that is written as two. */
enum { ANSWER_MAX = 40 * 1024 * 1024 };

static void run_once(struct hw_call *call);

/* What a backend's refusal means to the client. */
static void result_problem(const struct hw_call *call, enum hw_backend_result result,
                           const char *what, struct hw_problem *p)
{
    unsigned limit = call->api->options.max_webhooks;

    switch (result) {
    case HW_BACKEND_NOT_FOUND:
        hw_problem_set(p, HW_PROBLEM_NOT_FOUND, NULL,
                       "There is no such %s; check its name or id, and the account.", what);
        break;
    case HW_BACKEND_LIMIT:
        hw_problem_set(p, HW_PROBLEM_LIMIT_EXCEEDED, NULL,
                       "The account has its %u %ss already; delete one first.", limit, what);
        p->limit = limit;
        break;
    case HW_BACKEND_CONFLICT:
        hw_problem_set(p, HW_PROBLEM_CONFLICT, NULL,
                       "The %s is in a state that does not allow it; look at its status.",
                       what);
        break;
    case HW_BACKEND_UNAVAILABLE:
        hw_problem_set(p, HW_PROBLEM_UNAVAILABLE, NULL,
                       "Redis cannot be reached, or takes no writes; try again.");
        break;
    case HW_BACKEND_OK:
    case HW_BACKEND_REFUSED:
    case HW_BACKEND_KEPT:
    case HW_BACKEND_EXPIRED:
    case HW_BACKEND_FAILED:
        hw_problem_set(p, HW_PROBLEM_INTERNAL, NULL, "Something went wrong here; try again.");
        break;
    }
}

static bool find_route(struct hw_call *call, enum hw_door door, const char *method)
{
    hw_routes_match(&call->match, method, &call->target, door);
    if (call->match.route != NULL)
        return true;
    if (call->match.path_is_known && strcmp(method, "OPTIONS") == 0)
        return true; /* answered with what is allowed */
    if (call->match.path_is_known)
        return hw_problem_set(&call->problem, HW_PROBLEM_METHOD_NOT_ALLOWED, NULL,
                              "%s is not allowed here; use one of %s.", method,
                              call->match.allow);
    return hw_problem_set(
        &call->problem, HW_PROBLEM_NOT_FOUND, NULL,
        "There is nothing at this path; /v1/openapi.yaml says what there is.");
}

static void look_at_caller(struct hw_call *call)
{
    struct hw_api *api = call->api;
    const struct hw_backend *backend = api->options.backend;
    const struct hw_route *route = call->match.route;
    struct hw_problem p;
    enum hw_admission admission =
        hw_tokens_check(&api->tokens, backend->tokens(backend->data), call->authorization,
                        route->scope, api->options.rate_per_s, hw_loop_unix(api->loop),
                        hw_loop_now(api->loop), &call->caller, &p);

    call->is_stranger = admission == HW_ADMISSION_UNKNOWN;
    if (admission != HW_ADMITTED ||
        (route->query != NULL && !hw_target_check(&call->target, route->query, &p)))
        call->problem = p;
    else
        call->problem = (struct hw_problem){ 0 };
    if (call->is_stranger && backend->is_out_of_reach(backend->data)) {
        call->is_stranger = false; /* who could tell does not */
        result_problem(call, HW_BACKEND_UNAVAILABLE, "token", &call->problem);
    }
}

static struct hw_call *call_begin(struct hw_session *session, struct hw_api *api)
{
    struct hw_call *call = hw_calloc(1, sizeof *call);

    if (call == NULL)
        return NULL;
    call->session = session;
    call->api = api;
    hw_once_init(&call->once);
    hw_closing_hold(&api->closing);
    return call;
}

struct hw_call *hw_call_refused(struct hw_session *session, struct hw_api *api,
                                const struct hw_problem *problem)
{
    struct hw_call *call = call_begin(session, api);

    if (call != NULL)
        call->problem = *problem;
    return call;
}

struct hw_call *hw_call_let_go(struct hw_call *call)
{
    struct hw_problem p;
    struct hw_call *stand_in;

    hw_problem_set(&p, HW_PROBLEM_UNAVAILABLE, NULL,
                   "Redis does not answer; what was asked for may still be done.  Try again.");
    stand_in = hw_call_refused(call->session, call->api, &p);
    if (stand_in != NULL) {
        stand_in->is_head = call->is_head;
        stand_in->match.route = call->match.route;
    }
    call->is_counted = true;
    hw_call_abandon(call);
    return stand_in;
}

struct hw_call *hw_call_new(struct hw_session *session, struct hw_api *api, enum hw_door door,
                            const char *method, struct hw_slice raw_target,
                            struct hw_slice authorization)
{
    struct hw_call *call = call_begin(session, api);

    if (call == NULL)
        return NULL;
    call->is_head = strcmp(method, "HEAD") == 0;
    call->authorization = authorization;
    if (hw_target_parse(&call->target, raw_target, &call->problem) &&
        find_route(call, door, method) && call->match.route != NULL)
        look_at_caller(call);
    return call;
}

static void on_tokens(struct hw_backend_req *req)
{
    struct hw_call *call = hw_call_of(req);
    struct hw_session *session = call->session;

    if (session == NULL) {
        hw_call_drop(call);
        return;
    }
    if (req->result == HW_BACKEND_OK)
        look_at_caller(call);
    else
        result_problem(call, req->result, "token", &call->problem);
    hw_session_go_ahead(session);
}

void hw_call_ask_who(struct hw_call *call)
{
    const struct hw_backend *backend = call->api->options.backend;

    call->ask.book = (struct hw_backend_book){ .req.cb = on_tokens };
    backend->refresh_tokens(backend->data, &call->ask.book);
}

void hw_call_abandon(struct hw_call *call)
{
    call->session = NULL;
    if (call->watch != NULL)
        call->watch->on_gone(call);
}

void hw_call_drop(struct hw_call *call)
{
    struct hw_api *api = call->api;

    if (call->on_drop != NULL)
        call->on_drop(call);
    hw_once_end(&call->once);
    hw_caller_close(&call->caller);
    hw_target_close(&call->target);
    hw_webhook_release(call->webhook);
    hw_token_release(call->token);
    json_decref(call->answer);
    json_decref(call->body_json);
    hw_free(call->names);
    hw_free(call);
    hw_closing_release(&api->closing);
}

static size_t row_of(const struct hw_call *call)
{
    return call->match.route ? (size_t)(call->match.route - hw_routes) : HW_COUNTED_NO_ROUTE;
}

static void count(struct hw_call *call, int status)
{
    if (!call->is_counted)
        hw_route_counts_add(&call->api->requests, row_of(call), status);
    call->is_counted = true;
}

static void answer(struct hw_call *call, const struct hw_reply *reply)
{
    struct hw_session *session = call->session;
    bool is_head = call->is_head;

    count(call, reply->status);
    hw_once_end(&call->once); /* first: the next request may come up behind this answer */
    /* The call is freed behind the session's copy of the bytes: they may be the backend's. */
    call->session = NULL;
    if (session != NULL)
        hw_session_answer(session, reply, is_head);
    hw_call_drop(call);
}

static void answer_options(struct hw_call *call)
{
    char fields[96];

    snprintf(fields, sizeof fields, "allow: %s\r\n", call->match.allow);
    answer(call, &(struct hw_reply){ .status = 204, .fields = fields });
}

bool hw_call_check_caller(const struct hw_call *call, struct hw_problem *p)
{
    struct hw_api *api = call->api;
    const struct hw_backend *backend = api->options.backend;

    return hw_caller_check(&call->caller, backend->tokens(backend->data),
                           hw_loop_unix(api->loop), p);
}

/* The body may have taken its time: is what let it in at its head still so? */
static void look_again(struct hw_call *call)
{
    const struct hw_backend *backend = call->api->options.backend;

    if (!hw_call_check_caller(call, &call->problem))
        return;
    if (call->match.route->scope != HW_SCOPE_OPEN && backend->is_out_of_reach(backend->data))
        result_problem(call, HW_BACKEND_UNAVAILABLE, "answer", &call->problem);
}

void hw_call_run(struct hw_call *call)
{
    const struct hw_route *route = call->match.route;

    call->feed_epoch = hw_call_epoch(call);
    if (call->problem.code == HW_PROBLEM_NONE && route != NULL)
        look_again(call);
    if (call->problem.code != HW_PROBLEM_NONE)
        hw_call_refuse(call, &call->problem);
    else if (route == NULL)
        answer_options(call);
    else if (route->once != NULL && call->n_once_headers > 0)
        run_once(call);
    else
        route->run(call);
}

/* --- Idempotency-Key ------------------------------------------------------------------ */

static void on_recalled(struct hw_backend_req *req)
{
    struct hw_call *call = hw_call_of(req);

    if (req->result == HW_BACKEND_KEPT)
        hw_call_repeat(call, call->ask.recall.once.kept);
    else if (req->result != HW_BACKEND_OK)
        hw_call_refuse_result(call, req->result, "answer");
    else if (call->session == NULL)
        hw_call_drop(call); /* the body went with the client, and nothing was done */
    else
        call->match.route->run(call);
}

static bool set_once(struct hw_call *call, struct hw_problem *p)
{
    const struct hw_route_once *kept = call->match.route->once;
    char room[65];
    const char *account = call->caller.account;

    if (call->n_once_headers > 1)
        return hw_problem_set(p, HW_PROBLEM_INVALID_REQUEST, "Idempotency-Key",
                              "Idempotency-Key is given twice; send it once.");
    if (account == NULL)
        account = hw_once_root_account(call->body, room);
    return hw_once_set(&call->once, call->once_header, account, kept->name, call->body,
                       kept->status, p) &&
           hw_once_begin(&call->once, &call->api->once_keys, p);
}

static void run_once(struct hw_call *call)
{
    const struct hw_backend *backend = call->api->options.backend;
    struct hw_problem p;

    if (!set_once(call, &p)) {
        hw_call_refuse(call, &p);
        return;
    }
    call->ask.recall =
        (struct hw_backend_recall){ .req.cb = on_recalled, .once = hw_once_ask(&call->once) };
    backend->recall(backend->data, &call->ask.recall);
}

void hw_call_repeat(struct hw_call *call, struct hw_slice kept)
{
    struct hw_reply reply = { .content_type = "application/json",
                              .fields = "idempotency-replayed: true\r\n" };
    struct hw_problem p;

    if (hw_once_read(&call->once, kept, &reply.status, &reply.body, &p))
        answer(call, &reply);
    else
        hw_call_refuse(call, &p);
}

/* --- answers --------------------------------------------------------------------------- */

static int append_dumped(const char *text, size_t n_bytes, void *data)
{
    return hw_buf_append(data, text, n_bytes) == HW_OK ? 0 : -1;
}

static void answer_json(struct hw_call *call, int status, const char *fields, json_t *body)
{
    struct hw_buf text;
    struct hw_reply reply = { .status = status,
                              .content_type = "application/json",
                              .fields = fields };

    hw_buf_init(&text, ANSWER_MAX);
    if (body == NULL || json_dump_callback(body, append_dumped, &text, JSON_COMPACT) != 0 ||
        hw_buf_append_char(&text, '\n') != HW_OK) {
        reply.status = 500;
        reply.body = HW_SLICE("{\"error\":{\"code\":\"internal\",\"message\":"
                              "\"Out of memory.\",\"details\":{}}}\n");
    } else {
        reply.body = hw_buf_slice(&text);
    }
    json_decref(body);
    answer(call, &reply);
    hw_buf_close(&text);
}

void hw_call_json(struct hw_call *call, int status, json_t *body)
{
    answer_json(call, status, NULL, body);
}

void hw_call_text(struct hw_call *call, int status, const char *content_type,
                  struct hw_slice body)
{
    answer(call,
           &(struct hw_reply){ .status = status, .content_type = content_type, .body = body });
}

void hw_call_nothing(struct hw_call *call)
{
    answer(call, &(struct hw_reply){ .status = 204 });
}

/* Into the details: the names of the catalogue. */
static void add_types(const struct hw_call *call, json_t *body)
{
    const struct hw_backend *backend = call->api->options.backend;
    const struct hw_catalogue *catalogue = backend->catalogue(backend->data);
    const struct hw_event_type **types = hw_malloc((catalogue->n_types + 1) * sizeof *types);
    json_t *names = json_array();

    if (types != NULL)
        hw_catalogue_sorted(catalogue, types);
    for (size_t i = 0; types != NULL && i < catalogue->n_types; i++)
        json_array_append_new(names, json_string(types[i]->name));
    json_object_set_new(json_object_get(json_object_get(body, "error"), "details"),
                        "supported_event_types", names);
    hw_free(types);
}

void hw_call_refuse(struct hw_call *call, const struct hw_problem *problem)
{
    json_t *body = hw_problem_json(problem);
    int status = hw_problem_status(problem);
    char fields[128] = "";

    if (problem->lists_types)
        add_types(call, body);
    if (status == 429)
        snprintf(fields, sizeof fields, "retry-after: %u\r\n", problem->retry_after_s);
    else if (status == 401)
        snprintf(fields, sizeof fields, "www-authenticate: Bearer\r\n");
    else if (status == 405)
        snprintf(fields, sizeof fields, "allow: %s\r\n", call->match.allow);
    answer_json(call, status, fields, body);
}

void hw_call_refuse_result(struct hw_call *call, enum hw_backend_result result,
                           const char *what)
{
    struct hw_problem p;

    result_problem(call, result, what, &p);
    hw_call_refuse(call, &p);
}

uint32_t hw_call_epoch(const struct hw_call *call)
{
    const struct hw_backend *backend = call->api->options.backend;

    return backend->feed_epoch(backend->data);
}

void hw_call_set_expired(const struct hw_call *call, struct hw_stream_id oldest,
                         struct hw_problem *p)
{
    hw_problem_set(
        p, HW_PROBLEM_CURSOR_EXPIRED, NULL,
        "Events behind this cursor are no longer kept; oldest_cursor leads to all that "
        "are.");
    hw_feed_cursor_write(hw_call_epoch(call), oldest, p->oldest_cursor);
}

void hw_call_refuse_expired(struct hw_call *call, struct hw_stream_id oldest)
{
    struct hw_problem p;

    /* The cursor was read as one of another life of Redis than this is. */
    if (call->feed_epoch != hw_call_epoch(call)) {
        hw_call_refuse_result(call, HW_BACKEND_UNAVAILABLE, "feed");
        return;
    }
    hw_call_set_expired(call, oldest, &p);
    hw_call_refuse(call, &p);
}

/* --- answers that take long ------------------------------------------------------------- */

void hw_call_wait(struct hw_call *call, const struct hw_call_watch *watch, unsigned for_ms)
{
    call->watch = watch;
    hw_session_wait(call->session, for_ms);
}

bool hw_call_open(struct hw_call *call, const struct hw_call_watch *watch,
                  const char *content_type, const char *fields)
{
    struct hw_reply head = {
        .status = 200, .content_type = content_type, .fields = fields, .is_open = true
    };

    if (call->is_head) {
        answer(call, &head);
        return false;
    }
    count(call, head.status);
    call->watch = watch;
    if (hw_session_open(call->session, &head))
        return true;
    call->session = NULL;
    hw_call_drop(call);
    return false;
}

bool hw_call_send(struct hw_call *call, struct hw_slice piece)
{
    if (!hw_session_send(call->session, piece))
        call->session = NULL;
    return call->session != NULL;
}

bool hw_call_is_clear(const struct hw_call *call)
{
    return hw_session_is_clear(call->session);
}

void hw_call_finish(struct hw_call *call)
{
    struct hw_session *session = call->session;

    call->session = NULL;
    hw_session_finish(session);
}

struct hw_call *hw_call_of(struct hw_backend_req *req)
{
    return HW_CONTAINER_OF(req, struct hw_call, ask);
}

static bool has_json_type(struct hw_slice content_type)
{
    struct hw_slice bare = hw_slice(content_type.data, hw_slice_find(content_type, ';'));

    while (bare.len > 0 && (bare.data[bare.len - 1] == ' ' || bare.data[bare.len - 1] == '\t'))
        bare.len--;
    return hw_slice_ieq(bare, HW_SLICE("application/json"));
}

bool hw_call_is_json(const struct hw_call *call, struct hw_problem *p)
{
    return has_json_type(call->content_type) ||
           hw_problem_set(p, HW_PROBLEM_UNSUPPORTED_MEDIA_TYPE, NULL,
                          "The body must be JSON; send content-type: application/json.");
}

const char *hw_call_account(struct hw_call *call, struct hw_problem *p)
{
    const char *named = hw_target_find(&call->target, "account");

    if (named != NULL && !hw_entry_account_is_valid(hw_slice_str(named))) {
        hw_problem_set(p, HW_PROBLEM_INVALID_REQUEST, "account",
                       "account is 1 to 64 letters, digits, _ or -.");
        return NULL;
    }
    if (call->caller.account == NULL)
        return named ? named : "default";
    if (named != NULL && strcmp(named, call->caller.account) != 0) {
        hw_problem_set(p, HW_PROBLEM_INVALID_REQUEST, "account",
                       "The token is bound to another account; leave account out.");
        return NULL;
    }
    return call->caller.account;
}
