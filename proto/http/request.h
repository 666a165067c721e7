/*
 * request - the head of the POST that is a delivery's attempt.
 *
 * Everything but the body: request line, host, the fields of SPEC'd order, the
 * webhook's own static fields last.  Values were checked when they came in; a CR, LF
 * or NUL in one is a broken promise.
 *
 * Cost      one pass of appends, no allocation beyond the buffer's.
 */
#ifndef HW_HTTP_REQUEST_H
#define HW_HTTP_REQUEST_H

#include "base/buf.h"

struct hw_request_head {
    struct hw_slice target;    /* path and query */
    struct hw_slice authority; /* Host */
    struct hw_slice user_agent;
    size_t body_bytes;
    struct hw_slice webhook_id;
    int64_t timestamp_s;       /* unix seconds of this attempt */
    struct hw_slice signature; /* value of webhook-signature */
    struct hw_slice delivery_id;
    unsigned attempt;
    struct hw_slice subject;     /* empty: no field */
    struct hw_slice traceparent; /* empty: no field */
    struct hw_slice extra_name;  /* the older signature's field; empty: none */
    struct hw_slice extra_value;
    struct hw_slice static_fields; /* "name: value\r\n" each, or empty */
};

/* Append the whole head, the empty line included. */
HW_MUST_USE enum hw_status hw_request_write(struct hw_buf *out,
                                            const struct hw_request_head *head);

/* May a webhook have a static field of that name (any case)?  False for the names a
 * delivery sets itself and those that change framing or encoding. */
bool hw_request_field_allowed(struct hw_slice name);

#endif
