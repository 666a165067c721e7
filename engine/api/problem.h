/*
 * problem - why a request is refused, as the client will read it.
 *
 * One table of codes with their HTTP statuses; every refusal of the API is one of these.
 *
 * Memory    a plain value.
 */
#ifndef HW_API_PROBLEM_H
#define HW_API_PROBLEM_H

#include <jansson.h>
#include <stdbool.h>

#include "base/buf.h"
#include "rules/id.h"

#define HW_PROBLEM_MAP(X)                                                                 \
    X(NONE, 200, "")                                                                      \
    X(INVALID_REQUEST, 400, "invalid_request")                                            \
    X(UNAUTHORIZED, 401, "unauthorized")                                                  \
    X(FORBIDDEN, 403, "forbidden")                                                        \
    X(NOT_FOUND, 404, "not_found")                                                        \
    X(METHOD_NOT_ALLOWED, 405, "method_not_allowed")                                      \
    X(LIMIT_EXCEEDED, 409, "limit_exceeded")                                              \
    X(IDEMPOTENCY_CONFLICT, 409, "idempotency_conflict")                                  \
    X(CONFLICT, 409, "conflict")                                                          \
    X(CURSOR_EXPIRED, 410, "cursor_expired")                                              \
    X(PAYLOAD_TOO_LARGE, 413, "payload_too_large")                                        \
    X(UNSUPPORTED_MEDIA_TYPE, 415, "unsupported_media_type")                              \
    X(RATE_LIMITED, 429, "rate_limited")                                                  \
    X(HEADER_TOO_LARGE, 431, "header_too_large")                                          \
    X(INTERNAL, 500, "internal")                                                          \
    X(UNAVAILABLE, 503, "unavailable")

enum hw_problem_code {
#define X(name, status, text) HW_PROBLEM_##name,
    HW_PROBLEM_MAP(X)
#undef X
};

struct hw_problem {
    enum hw_problem_code code;
    char field[64];            /* details.field; "": none */
    char missing_scope[65];    /* details.missing_scope; "": none */
    unsigned limit;            /* details.limit; 0: none */
    unsigned retry_after_s;    /* of rate_limited: the header Retry-After */
    char oldest_cursor[HW_CURSOR_MAX]; /* details.oldest_cursor; "": none */
    bool lists_types;          /* the call adds details.supported_event_types */
    char message[320];         /* one sentence for people */
};

/* Fill *p; `field` may be NULL.  Returns false, so that a check that fails is one line. */
bool hw_problem_set(struct hw_problem *p, enum hw_problem_code code, const char *field,
                    const char *fmt, ...) HW_PRINTF(4, 5);

int hw_problem_status(const struct hw_problem *p);

/* {"error":{"code":…,"message":…,"details":{…}}}; NULL: out of memory. */
json_t *hw_problem_json(const struct hw_problem *p);

/* The same as text, on one line, appended. */
HW_MUST_USE enum hw_status hw_problem_write(const struct hw_problem *p, struct hw_buf *out);

#endif
