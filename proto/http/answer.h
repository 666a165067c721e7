/*
 * answer - an HTTP/1.1 response as a server writes it.
 *
 * Always with content-length (or none for 204 and 1xx, or a body that ends with the connection),
 * date-free, never chunked.
 */
#ifndef HW_HTTP_ANSWER_H
#define HW_HTTP_ANSWER_H

#include "base/buf.h"

struct hw_answer {
    int status;
    struct hw_slice content_type; /* empty: no body type line */
    struct hw_slice fields;       /* more lines, "name: value\r\n" each; may be empty */
    struct hw_slice body;
    bool close;     /* adds connection: close */
    bool is_open;   /* the body follows, to the end of the connection; `close` goes with it */
    bool head_only; /* HEAD: the length of the body, not the body */
};

HW_MUST_USE enum hw_status hw_answer_write(struct hw_buf *out, const struct hw_answer *answer);

/* "Not Found" for 404; "Unknown" for what is not in the list. */
const char *hw_answer_reason(int status);

#endif
