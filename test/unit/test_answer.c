/* answer: to the byte, with and without a body; and what response makes of it. */
#include "check.h"

#include "http/answer.h"
#include "http/response.h"
#include "support/scarce.h"

static void check_written(struct hw_answer answer, const char *text)
{
    struct hw_buf out;

    hw_buf_init(&out, 4096);
    CHECK_INT(hw_answer_write(&out, &answer), ==, HW_OK);
    CHECK_SLICE(hw_buf_slice(&out), text);
    hw_buf_close(&out);
}

CASE(written_to_the_byte)
{
    const struct hw_slice json = HW_SLICE("application/json");

    check_written(
        (struct hw_answer){ .status = 200, .content_type = json, .body = HW_SLICE("{}") },
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}");
    check_written((struct hw_answer){ .status = 405,
                                      .content_type = json,
                                      .fields = HW_SLICE("allow: GET\r\nx: y\r\n"),
                                      .body = HW_SLICE("{}"),
                                      .close = true },
                  "HTTP/1.1 405 Method Not Allowed\r\ncontent-type: application/json\r\n"
                  "content-length: 2\r\nconnection: close\r\nallow: GET\r\nx: y\r\n\r\n{}");
    check_written((struct hw_answer){ .status = 404 },
                  "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n");
    check_written((struct hw_answer){ .status = 204 }, "HTTP/1.1 204 No Content\r\n\r\n");
    check_written(
        (struct hw_answer){ .status = 204, .content_type = json, .body = HW_SLICE("{}") },
        "HTTP/1.1 204 No Content\r\n\r\n");
    check_written((struct hw_answer){ .status = 100 }, "HTTP/1.1 100 Continue\r\n\r\n");
    check_written((struct hw_answer){ .status = 299, .body = HW_SLICE("x") },
                  "HTTP/1.1 299 Unknown\r\ncontent-length: 1\r\n\r\nx");
    check_written((struct hw_answer){ .status = 304, .body = HW_SLICE("x") },
                  "HTTP/1.1 304 Not Modified\r\ncontent-length: 1\r\n\r\n");
}

CASE(head_says_the_length_without_the_body)
{
    check_written((struct hw_answer){ .status = 200,
                                      .content_type = HW_SLICE("text/plain"),
                                      .body = HW_SLICE("hello"),
                                      .head_only = true },
                  "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: 5\r\n\r\n");
}

CASE(reasons)
{
    static const int used[] = { 200, 201, 202, 204, 400, 401, 403, 404, 405,
                                409, 410, 413, 415, 417, 429, 431, 500, 503 };

    for (size_t i = 0; i < sizeof used / sizeof *used; i++)
        CHECK(strcmp(hw_answer_reason(used[i]), "Unknown") != 0);
    CHECK_STR(hw_answer_reason(418), "Unknown");
    CHECK_STR(hw_answer_reason(0), "Unknown");
    CHECK_STR(hw_answer_reason(-1), "Unknown");
}

CASE(a_client_reads_it)
{
    const struct hw_answer answer = { .status = 503,
                                      .content_type = HW_SLICE("application/json"),
                                      .fields = HW_SLICE("retry-after: 1\r\n"),
                                      .body = HW_SLICE("{\"error\":{}}") };
    struct hw_slice value;
    struct hw_response r;
    struct hw_buf out;
    size_t n_used;

    hw_buf_init(&out, 4096);
    hw_response_init(&r, 100);
    CHECK_INT(hw_answer_write(&out, &answer), ==, HW_OK);
    CHECK_INT(hw_response_feed(&r, hw_buf_slice(&out), &n_used, NULL), ==, HW_OK);
    CHECK(r.is_complete && r.may_reuse);
    CHECK_INT(r.status, ==, 503);
    CHECK(hw_response_field(&r, "retry-after", &value));
    CHECK_SLICE(value, "1");
    CHECK_SLICE_EQ(hw_buf_slice(&r.body), answer.body);
    hw_response_close(&r);
    hw_buf_close(&out);
}

CASE(an_open_one_has_no_length)
{
    const struct hw_answer answer = { .status = 200,
                                      .content_type = HW_SLICE("text/event-stream"),
                                      .close = true,
                                      .is_open = true,
                                      .head_only = true };
    struct hw_buf out;

    hw_buf_init(&out, 4096);
    CHECK_INT(hw_answer_write(&out, &answer), ==, HW_OK);
    CHECK_SLICE(hw_buf_slice(&out), "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n"
                                    "connection: close\r\n\r\n");
    hw_buf_close(&out);
}

CASE(failures_leave_the_buffer_as_it_was)
{
    const struct hw_answer answer = { .status = 200, .body = HW_SLICE("0123456789") };
    struct hw_buf out;

    hw_buf_init(&out, 50);
    CHECK_INT(hw_answer_write(&out, &answer), ==, HW_ETOOBIG);
    CHECK_INT(hw_buf_len(&out), ==, 0);
    hw_buf_close(&out);
    scarce_begin(1);
    hw_buf_init(&out, 4096);
    CHECK_INT(hw_answer_write(&out, &answer), ==, HW_ENOMEM);
    CHECK_INT(hw_buf_len(&out), ==, 0);
    hw_buf_close(&out);
    scarce_end();
}
