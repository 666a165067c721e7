/*
 * A response, in steps: hw_head_collect gathers a head, the status line is looked at,
 * llhttp reads the head in one piece (on_name, on_value, on_head).  An interim head is
 * forgotten and the next one gathered.  The body goes through llhttp as it arrives
 * (on_body), until on_complete pauses it at the message's last byte.
 *
 * A failure inside a callback is put into `failed` with its cause; llhttp's own are
 * translated in response_run.
 */
#include "http/response.h"

#include "base/list.h"

/* A chunk of one byte costs five bytes of framing ("1" CR LF before it, CR LF behind);
 * more than this a byte, beyond one head's worth for the trailers, is not a body. */
enum { FRAMING_PER_BYTE = 8 };

static struct hw_response *response_of(llhttp_t *parser)
{
    return HW_CONTAINER_OF(parser, struct hw_response, parser);
}

static int response_fail(struct hw_response *r, enum hw_status status, const char *what)
{
    r->failed = hw_cause_set(r->cause, status, HW_ORIGIN_US, 0, "%s", what);
    return -1;
}

static int response_check(struct hw_response *r, enum hw_status status)
{
    if (status == HW_OK)
        return 0;
    return response_fail(r, status,
                         status == HW_ENOMEM   ? "no memory for a response"
                         : status == HW_EPROTO ? "a header field of the response is malformed"
                                               : "the head of the response is too long");
}

/* --- callbacks --------------------------------------------------------------------- */

static int on_name(llhttp_t *parser, const char *at, size_t n)
{
    struct hw_response *r = response_of(parser);

    if (r->has_head) { /* a trailer: counted, not kept */
        r->lines.in_value = false;
        return 0;
    }
    return response_check(r, hw_head_name(&r->lines, &r->head, hw_slice(at, n)));
}

static int on_value(llhttp_t *parser, const char *at, size_t n)
{
    struct hw_response *r = response_of(parser);

    if (!r->lines.in_value && ++r->n_fields > HW_RESPONSE_FIELDS_MAX)
        return response_fail(r, HW_ETOOBIG, "the response has too many header fields");
    if (r->has_head) {
        r->lines.in_value = true;
        return 0;
    }
    return response_check(r, hw_head_value(&r->lines, &r->head, hw_slice(at, n)));
}

/* RFC 9112 6.3, rule 1: whatever their fields say. */
static bool status_has_no_body(int status)
{
    return status < 200 || status == 204 || status == 304;
}

/* May a further response be read behind this one, if it ends as its head says? */
static bool response_keeps_open(const struct hw_response *r)
{
    const llhttp_t *p = &r->parser;

    if (!llhttp_should_keep_alive(p) || (p->flags & F_CONNECTION_CLOSE))
        return false;
    /* RFC 9112 6.1: with HTTP/1.0 the framing is to be taken as faulty. */
    if ((p->flags & F_TRANSFER_ENCODING) && p->http_minor == 0)
        return false;
    /* A body that must not be there may be sent all the same. */
    if (status_has_no_body(p->status_code) &&
        ((p->flags & F_CHUNKED) || p->content_length > 0))
        return false;
    return !r->until_eof;
}

/* 0: go on; 1: there is no body; -1: failed. */
static int on_head(llhttp_t *parser)
{
    struct hw_response *r = response_of(parser);
    struct hw_slice coding;

    if (response_check(r, hw_head_end(&r->lines, &r->head)) != 0)
        return -1;
    if (parser->status_code == 101)
        return response_fail(r, HW_EPROTO, "the server wants to switch protocols (101)");
    if (parser->status_code < 200)
        return 1;
    if ((parser->flags & F_CHUNKED) &&
        (hw_head_find(hw_buf_slice(&r->head), "transfer-encoding", &coding) != 1 ||
         !hw_slice_ieq(coding, HW_SLICE("chunked"))))
        return response_fail(r, HW_EPROTO,
                             "the response has a transfer coding besides chunked");
    r->status = parser->status_code;
    r->has_head = true;
    if (!status_has_no_body(r->status))
        r->until_eof = llhttp_message_needs_eof(parser) != 0;
    r->keeps_open = response_keeps_open(r);
    return status_has_no_body(r->status) ? 1 : 0;
}

/* What came since the last byte of the body, up to `at`, was framing. */
static int response_count_framing(struct hw_response *r, const char *at)
{
    r->framing_bytes += (uint64_t)(at - r->mark);
    r->mark = at;
    if (r->framing_bytes > HW_RESPONSE_HEAD_MAX &&
        r->framing_bytes - HW_RESPONSE_HEAD_MAX > r->body_bytes * FRAMING_PER_BYTE)
        return response_fail(r, HW_ETOOBIG, "the response's chunks are mostly framing");
    return 0;
}

static int on_body(llhttp_t *parser, const char *at, size_t n)
{
    struct hw_response *r = response_of(parser);
    size_t room = r->body_keep - hw_buf_len(&r->body);

    if (response_count_framing(r, at) != 0)
        return -1;
    r->mark = at + n;
    r->body_bytes += n;
    return response_check(r, hw_buf_append(&r->body, at, n < room ? n : room));
}

static int on_complete(llhttp_t *parser)
{
    struct hw_response *r = response_of(parser);

    if (r->has_head) {
        r->is_complete = true;
        r->may_reuse = r->keeps_open;
    }
    return HPE_PAUSED; /* what follows is not this message's */
}

static const llhttp_settings_t callbacks = {
    .on_header_field = on_name,
    .on_header_value = on_value,
    .on_headers_complete = on_head,
    .on_body = on_body,
    .on_message_complete = on_complete,
};

/* --- life -------------------------------------------------------------------------- */

static void response_start_head(struct hw_response *r)
{
    llhttp_init(&r->parser, HTTP_RESPONSE, &callbacks);
    hw_head_start(&r->lines, HW_RESPONSE_HEAD_MAX - r->head_bytes);
    hw_buf_reset(&r->head);
}

void hw_response_init(struct hw_response *r, size_t body_keep)
{
    *r = (struct hw_response){ .body_keep = body_keep };
    hw_head_init(&r->lines, HW_RESPONSE_HEAD_MAX, false);
    hw_buf_init(&r->head, HW_RESPONSE_HEAD_MAX);
    hw_buf_init(&r->body, body_keep);
    hw_response_start(r);
}

void hw_response_start(struct hw_response *r)
{
    r->body_bytes = r->framing_bytes = 0;
    r->head_bytes = 0;
    r->mark = NULL;
    r->n_fields = r->n_interim = 0;
    r->status = 0;
    r->has_head = r->is_complete = r->may_reuse = r->has_begun = false;
    r->keeps_open = r->until_eof = false;
    r->failed = HW_OK;
    r->cause = NULL;
    hw_buf_reset(&r->body);
    response_start_head(r);
}

void hw_response_close(struct hw_response *r)
{
    hw_head_close(&r->lines);
    hw_buf_close(&r->head);
    hw_buf_close(&r->body);
}

/* --- feeding ----------------------------------------------------------------------- */

/* Hand bytes to llhttp; *n_used says how many were this message's. */
static enum hw_status response_run(struct hw_response *r, struct hw_slice in, size_t *n_used)
{
    llhttp_errno_t err = llhttp_execute(&r->parser, in.data, in.len);

    *n_used = 0;
    if (r->failed != HW_OK)
        return r->failed;
    if (err == HPE_OK) {
        *n_used = in.len;
        return HW_OK;
    }
    if (err == HPE_PAUSED) {
        *n_used = (size_t)(llhttp_get_error_pos(&r->parser) - in.data);
        return HW_OK;
    }
    const char *reason = llhttp_get_error_reason(&r->parser);
    return hw_cause_set(r->cause, HW_EPROTO, HW_ORIGIN_LLHTTP, (int)err,
                        "the response is not valid HTTP: %s", reason ? reason : "unknown");
}

/* "HTTP/1.1 204" and then a space or the end: RFC 9112 4, to the letter, because
 * llhttp's releases differ here. */
static enum hw_status response_check_status_line(const struct hw_response *r,
                                                 struct hw_slice line)
{
    uint64_t status;

    if (!hw_slice_starts(line, HW_SLICE("HTTP/")))
        return hw_cause_set(r->cause, HW_EPROTO, HW_ORIGIN_US, 0,
                            "what the server sent is not HTTP");
    if (!hw_slice_starts(line, HW_SLICE("HTTP/1.1 ")) &&
        !hw_slice_starts(line, HW_SLICE("HTTP/1.0 ")))
        return hw_cause_set(r->cause, HW_EPROTO, HW_ORIGIN_US, 0,
                            "the response is not HTTP/1.0 or 1.1");
    if (line.len < 12 || (line.len > 12 && line.data[12] != ' ') ||
        !hw_slice_u64(hw_slice(line.data + 9, 3), 999, &status) || status < 100)
        return hw_cause_set(r->cause, HW_EPROTO, HW_ORIGIN_US, 0,
                            "the response has no valid status code");
    return HW_OK;
}

static enum hw_status response_end_interim(struct hw_response *r)
{
    if (++r->n_interim > HW_RESPONSE_INTERIM_MAX)
        return hw_cause_set(r->cause, HW_EPROTO, HW_ORIGIN_US, 0,
                            "the server sent more than %d interim responses",
                            HW_RESPONSE_INTERIM_MAX);
    response_start_head(r);
    return HW_OK;
}

static enum hw_status response_feed_head(struct hw_response *r, struct hw_slice in,
                                         size_t *n_used)
{
    struct hw_slice whole;
    enum hw_status status;
    size_t n_read;

    status = hw_head_collect(&r->lines, in, n_used, &whole, r->cause);
    if (status != HW_OK || whole.len == 0)
        return status;
    r->head_bytes += whole.len;
    status = response_check_status_line(r, hw_head_start_line(&r->lines, whole));
    if (status == HW_OK)
        status = response_run(r, whole, &n_read);
    if (status != HW_OK)
        return status;
    if (!r->has_head && r->parser.status_code < 200)
        return response_end_interim(r);
    if (n_read != whole.len)
        r->has_head = false;
    if (!r->has_head)
        return hw_cause_set(r->cause, HW_EPROTO, HW_ORIGIN_US, 0,
                            "the head of the response is malformed");
    hw_head_start(&r->lines, 0); /* the trailers use its in_value */
    return HW_OK;
}

static enum hw_status response_feed_body(struct hw_response *r, struct hw_slice in,
                                         size_t *n_used)
{
    enum hw_status status;
    const char *at;

    r->mark = in.data;
    status = response_run(r, in, n_used);
    /* Too much framing is said before what may be wrong behind it, however it arrives. */
    at = status == HW_OK ? in.data + *n_used : llhttp_get_error_pos(&r->parser);
    if (r->failed == HW_OK && response_count_framing(r, at) != 0)
        status = r->failed;
    r->mark = NULL;
    return status;
}

enum hw_status hw_response_feed(struct hw_response *r, struct hw_slice in, size_t *n_used,
                                struct hw_cause *cause)
{
    enum hw_status status = HW_OK;
    size_t n;

    *n_used = 0;
    if (r->failed != HW_OK)
        return hw_cause_set(cause, r->failed, HW_ORIGIN_US, 0,
                            "the response has failed before");
    r->cause = cause;
    r->has_begun = r->has_begun || in.len > 0;
    while (status == HW_OK && !r->is_complete && *n_used < in.len) {
        struct hw_slice rest = hw_slice_from(in, *n_used);
        status =
            r->has_head ? response_feed_body(r, rest, &n) : response_feed_head(r, rest, &n);
        *n_used += n;
    }
    r->cause = NULL;
    r->failed = status;
    if (status != HW_OK)
        r->is_complete = false;
    if (status != HW_OK || *n_used < in.len)
        r->may_reuse = false;
    return status;
}

enum hw_status hw_response_end(struct hw_response *r, struct hw_cause *cause)
{
    const char *when = r->has_head    ? "in the middle of the body"
                       : r->has_begun ? "in the middle of the head"
                                      : "before a response";

    r->may_reuse = false;
    if (r->failed != HW_OK)
        return hw_cause_set(cause, r->failed, HW_ORIGIN_US, 0,
                            "the response has failed before");
    if (r->has_head && r->until_eof)
        r->is_complete = true;
    if (r->is_complete)
        return HW_OK;
    return r->failed = hw_cause_set(cause, HW_EPROTO, HW_ORIGIN_US, 0,
                                    "the server closed the connection %s", when);
}

bool hw_response_field(const struct hw_response *r, const char *name, struct hw_slice *value)
{
    return hw_head_find(hw_buf_slice(&r->head), name, value) > 0;
}
