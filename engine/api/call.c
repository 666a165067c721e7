/*
 * new: target apart -> route -> token -> query, the first that fails is kept as the problem
 * run: the problem is answered, or the handler runs
 * answer: count, hand the bytes to the session if it is still there, free
 */
#include "api/call.h"

#include <stdio.h>

#include "api/session.h"
#include "api/shared.h"
#include "hookwheel/alloc.h"

/* The largest answer: a page of deliveries, or one delivery with an event of 1 MiB. */
enum { ANSWER_MAX = 16 * 1024 * 1024 };

static bool find_route(struct hw_call *call, enum hw_door door, const char *method)
{
    hw_routes_match(&call->match, method, &call->target, door);
    if (call->match.route != NULL)
        return true;
    if (call->match.path_is_known && strcmp(method, "OPTIONS") == 0)
        return true; /* answered with what is allowed */
    if (call->match.path_is_known)
        return hw_problem_set(&call->problem, HW_PROBLEM_METHOD_NOT_ALLOWED, NULL,
                              "%s is not allowed here; %s are.", method, call->match.allow);
    return hw_problem_set(&call->problem, HW_PROBLEM_NOT_FOUND, NULL,
                          "There is nothing at this path.");
}

static void look_at_caller(struct hw_call *call, const struct hw_route *route,
                           struct hw_slice authorization)
{
    struct hw_problem p;

    if (!hw_tokens_check(&call->api->tokens, authorization, route->scope, &call->caller, &p) ||
        (route->query != NULL && !hw_target_check(&call->target, route->query, &p)))
        call->problem = p;
}

static struct hw_call *call_begin(struct hw_session *session, struct hw_api *api)
{
    struct hw_call *call = hw_calloc(1, sizeof *call);

    if (call == NULL)
        return NULL;
    call->session = session;
    call->api = api;
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

struct hw_call *hw_call_new(struct hw_session *session, struct hw_api *api, enum hw_door door,
                            const char *method, struct hw_slice raw_target,
                            struct hw_slice authorization)
{
    struct hw_call *call = call_begin(session, api);

    if (call == NULL)
        return NULL;
    call->is_head = strcmp(method, "HEAD") == 0;
    if (hw_target_parse(&call->target, raw_target, &call->problem) &&
        find_route(call, door, method) && call->match.route != NULL)
        look_at_caller(call, call->match.route, authorization);
    return call;
}

void hw_call_drop(struct hw_call *call)
{
    struct hw_api *api = call->api;

    hw_target_close(&call->target);
    hw_webhook_release(call->webhook);
    hw_free(call);
    hw_closing_release(&api->closing);
}

static size_t row_of(const struct hw_call *call)
{
    return call->match.route ? (size_t)(call->match.route - hw_routes) : HW_COUNTED_NO_ROUTE;
}

static void answer(struct hw_call *call, const struct hw_reply *reply)
{
    struct hw_session *session = call->session;
    bool is_head = call->is_head;

    hw_route_counts_add(&call->api->requests, row_of(call), reply->status);
    /* The call is freed behind the session's copy of the bytes: they may be the backend's. */
    call->session = NULL;
    if (session != NULL)
        hw_session_answer(session, reply, is_head);
    hw_call_drop(call);
}

void hw_call_run(struct hw_call *call)
{
    if (call->problem.code != HW_PROBLEM_NONE) {
        hw_call_refuse(call, &call->problem);
    } else if (call->match.route == NULL) {
        char fields[96];
        snprintf(fields, sizeof fields, "allow: %s\r\n", call->match.allow);
        answer(call, &(struct hw_reply){ .status = 204, .fields = fields });
    } else {
        call->match.route->run(call);
    }
}

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

void hw_call_refuse(struct hw_call *call, const struct hw_problem *problem)
{
    json_t *body = hw_problem_json(problem);
    int status = hw_problem_status(problem);
    char fields[128] = "";

    if (status == 401)
        snprintf(fields, sizeof fields, "www-authenticate: Bearer\r\n");
    else if (status == 405)
        snprintf(fields, sizeof fields, "allow: %s\r\n", call->match.allow);
    answer_json(call, status, fields, body);
}

void hw_call_refuse_result(struct hw_call *call, enum hw_backend_result result,
                           const char *what)
{
    struct hw_problem p;

    switch (result) {
    case HW_BACKEND_NOT_FOUND:
        hw_problem_set(&p, HW_PROBLEM_NOT_FOUND, NULL, "There is no such %s.", what);
        break;
    case HW_BACKEND_LIMIT:
        hw_problem_set(&p, HW_PROBLEM_LIMIT_EXCEEDED, NULL,
                       "The account has its %u %ss already.", call->api->options.max_webhooks,
                       what);
        p.limit = call->api->options.max_webhooks;
        break;
    case HW_BACKEND_CONFLICT:
        hw_problem_set(&p, HW_PROBLEM_CONFLICT, NULL,
                       "The %s is in a state that does not allow it.", what);
        break;
    case HW_BACKEND_UNAVAILABLE:
        hw_problem_set(&p, HW_PROBLEM_UNAVAILABLE, NULL,
                       "Redis cannot be reached, or takes no writes; try again.");
        break;
    case HW_BACKEND_OK:
    case HW_BACKEND_FAILED:
        hw_problem_set(&p, HW_PROBLEM_INTERNAL, NULL, "Something went wrong here; try again.");
        break;
    }
    hw_call_refuse(call, &p);
}

struct hw_call *hw_call_of(struct hw_backend_req *req)
{
    return HW_CONTAINER_OF(req, struct hw_call, ask);
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
                       "The token is bound to another account.");
        return NULL;
    }
    return call->caller.account;
}
