/*
 * A request, in steps: hw_head_collect gathers the head (empty lines before it are passed
 * over, RFC 9112 2.2), llhttp reads it in one piece, inbound_check_head refuses what
 * llhttp lets through.  Feed returns there.  The body goes through llhttp as it arrives,
 * until on_complete pauses it at the request's last byte.
 *
 * A failure inside a callback is put into `failed` with its cause; llhttp's own are
 * translated in inbound_run.
 */
#include "http/inbound.h"

#include "base/list.h"

/* A chunk of one byte costs five bytes of framing ("1" CR LF before it, CR LF behind);
 * more than this a byte, beyond one head's worth for the trailers, is not a body. */
enum { FRAMING_PER_BYTE = 8 };

/* A buffer that grew beyond this goes back between two requests. */
enum { BODY_KEPT_BYTES = 64 * 1024 };

static struct hw_inbound *inbound_of(llhttp_t *parser)
{
    return HW_CONTAINER_OF(parser, struct hw_inbound, parser);
}

static enum hw_status inbound_refuse(struct hw_inbound *in, enum hw_status status,
                                     const char *what)
{
    return in->failed = hw_cause_set(in->cause, status, HW_ORIGIN_US, 0, "%s", what);
}

static int inbound_check(struct hw_inbound *in, enum hw_status status)
{
    if (status == HW_OK)
        return 0;
    inbound_refuse(in, status,
                   status == HW_ENOMEM   ? "no memory for a request"
                   : status == HW_EPROTO ? "a header field of the request is malformed"
                                         : "the head of the request is too long");
    return -1;
}

static int inbound_too_large(struct hw_inbound *in)
{
    in->too_large_body = true;
    inbound_refuse(in, HW_ETOOBIG, "the body of the request is too large");
    return -1;
}

/* --- callbacks --------------------------------------------------------------------- */

static int on_target(llhttp_t *parser, const char *at, size_t n)
{
    struct hw_inbound *in = inbound_of(parser);

    return inbound_check(in, hw_buf_append(&in->target, at, n));
}

static int on_name(llhttp_t *parser, const char *at, size_t n)
{
    struct hw_inbound *in = inbound_of(parser);

    if (in->has_head) { /* a trailer: counted, not kept */
        in->lines.in_value = false;
        return 0;
    }
    return inbound_check(in, hw_head_name(&in->lines, &in->head, hw_slice(at, n)));
}

static int on_value(llhttp_t *parser, const char *at, size_t n)
{
    struct hw_inbound *in = inbound_of(parser);

    if (!in->lines.in_value && ++in->n_fields > HW_INBOUND_FIELDS_MAX) {
        inbound_refuse(in, HW_ETOOBIG, "the request has too many header fields");
        return -1;
    }
    if (in->has_head) {
        in->lines.in_value = true;
        return 0;
    }
    return inbound_check(in, hw_head_value(&in->lines, &in->head, hw_slice(at, n)));
}

static int on_head(llhttp_t *parser)
{
    struct hw_inbound *in = inbound_of(parser);

    if (inbound_check(in, hw_head_end(&in->lines, &in->head)) != 0)
        return -1;
    if (parser->upgrade) {
        inbound_refuse(in, HW_EPROTO, "the request wants to switch protocols");
        return -1;
    }
    in->method = llhttp_method_name((llhttp_method_t)parser->method);
    in->keep_alive = llhttp_should_keep_alive(parser) != 0;
    in->content_length = (parser->flags & F_CONTENT_LENGTH) ? parser->content_length : 0;
    in->has_head = true;
    return 0;
}

/* What came since the last byte of the body, up to `at`, was framing. */
static int inbound_count_framing(struct hw_inbound *in, const char *at)
{
    in->framing_bytes += (uint64_t)(at - in->mark);
    in->mark = at;
    if (in->framing_bytes <= HW_INBOUND_HEAD_MAX ||
        in->framing_bytes - HW_INBOUND_HEAD_MAX <= hw_buf_len(&in->body) * FRAMING_PER_BYTE)
        return 0;
    inbound_refuse(in, HW_ETOOBIG, "the request's chunks are mostly framing");
    return -1;
}

/* The size of a chunk is known; llhttp has it where a content-length would be. */
static int on_chunk(llhttp_t *parser)
{
    struct hw_inbound *in = inbound_of(parser);

    if (parser->content_length > in->body_max - hw_buf_len(&in->body))
        return inbound_too_large(in);
    return 0;
}

static int on_body(llhttp_t *parser, const char *at, size_t n)
{
    struct hw_inbound *in = inbound_of(parser);

    if (inbound_count_framing(in, at) != 0)
        return -1;
    in->mark = at + n;
    if (n > in->body_max - hw_buf_len(&in->body))
        return inbound_too_large(in);
    return inbound_check(in, hw_buf_append(&in->body, at, n));
}

static int on_complete(llhttp_t *parser)
{
    inbound_of(parser)->is_complete = true;
    return HPE_PAUSED; /* what follows is the next request's */
}

static const llhttp_settings_t callbacks = {
    .on_url = on_target,
    .on_header_field = on_name,
    .on_header_value = on_value,
    .on_headers_complete = on_head,
    .on_chunk_header = on_chunk,
    .on_body = on_body,
    .on_message_complete = on_complete,
};

/* --- life -------------------------------------------------------------------------- */

void hw_inbound_init(struct hw_inbound *in, size_t body_max)
{
    *in = (struct hw_inbound){ .body_max_first = body_max };
    hw_head_init(&in->lines, HW_INBOUND_HEAD_MAX, true);
    hw_buf_init(&in->target, HW_INBOUND_HEAD_MAX);
    hw_buf_init(&in->head, HW_INBOUND_HEAD_MAX);
    hw_buf_init(&in->body, SIZE_MAX); /* body_max is looked at before each append */
    hw_inbound_next(in);
}

void hw_inbound_next(struct hw_inbound *in)
{
    llhttp_init(&in->parser, HTTP_REQUEST, &callbacks);
    hw_head_start(&in->lines, HW_INBOUND_HEAD_MAX);
    hw_buf_reset(&in->target);
    hw_buf_reset(&in->head);
    if (in->body.cap > BODY_KEPT_BYTES)
        hw_buf_close(&in->body);
    hw_buf_reset(&in->body);
    in->body_max = in->body_max_first;
    in->content_length = in->framing_bytes = 0;
    in->head_bytes = 0;
    in->mark = NULL;
    in->n_fields = 0;
    in->method = NULL;
    in->has_head = in->is_complete = in->keep_alive = false;
    in->expects_continue = in->too_large_body = false;
    in->failed = HW_OK;
    in->cause = NULL;
}

void hw_inbound_close(struct hw_inbound *in)
{
    hw_head_close(&in->lines);
    hw_buf_close(&in->target);
    hw_buf_close(&in->head);
    hw_buf_close(&in->body);
}

/* --- what llhttp lets through ------------------------------------------------------ */

/* RTSP and ICE pass llhttp as well, so the version is read here (RFC 9112 3). */
static enum hw_status inbound_check_version(struct hw_inbound *in, struct hw_slice line)
{
    struct hw_slice tail = hw_slice_from(line, line.len < 9 ? 0 : line.len - 9);

    if (hw_slice_is(tail, " HTTP/1.1") || hw_slice_is(tail, " HTTP/1.0"))
        return HW_OK;
    return inbound_refuse(in, HW_EPROTO, "the request is not HTTP/1.0 or 1.1");
}

static enum hw_status inbound_check_framing(struct hw_inbound *in)
{
    struct hw_slice fields = hw_buf_slice(&in->head);
    struct hw_slice value;
    unsigned n = hw_head_find(fields, "transfer-encoding", &value);

    if (n > 0 && in->parser.http_minor == 0)
        return inbound_refuse(in, HW_EPROTO, "HTTP/1.0 has no transfer codings");
    if (n > 1 || (n == 1 && !hw_slice_ieq(value, HW_SLICE("chunked"))))
        return inbound_refuse(in, HW_EPROTO, "the only transfer coding taken is chunked");
    return HW_OK;
}

static enum hw_status inbound_check_host(struct hw_inbound *in)
{
    unsigned n = hw_head_find(hw_buf_slice(&in->head), "host", NULL);

    if (n > 1)
        return inbound_refuse(in, HW_EPROTO, "the request has more than one Host field");
    if (n == 0 && in->parser.http_minor > 0)
        return inbound_refuse(in, HW_EPROTO, "the request has no Host field");
    return HW_OK;
}

/* RFC 9112 3.2.2: an absolute URL must be understood; only its path matters here. */
static void inbound_drop_origin(struct hw_inbound *in)
{
    struct hw_slice target = hw_buf_slice(&in->target);
    size_t origin = hw_slice_starts(target, HW_SLICE("http://"))    ? 7
                    : hw_slice_starts(target, HW_SLICE("https://")) ? 8
                                                                    : 0;

    if (origin == 0)
        return;
    size_t host_len = hw_slice_find(hw_slice_from(target, origin), '/');
    if (hw_slice_find(target, '?') > origin + host_len && origin + host_len < target.len)
        hw_buf_consume(&in->target, origin + host_len);
}

static enum hw_status inbound_check_target(struct hw_inbound *in)
{
    struct hw_slice target;

    inbound_drop_origin(in);
    target = hw_buf_slice(&in->target);
    for (size_t i = 0; i < target.len; i++)
        if (target.data[i] <= ' ' || target.data[i] > '~' || target.data[i] == '#')
            return inbound_refuse(in, HW_EPROTO, "the request's target is not a path");
    if (target.len == 0 || (target.data[0] != '/' && !hw_slice_is(target, "*")))
        return inbound_refuse(in, HW_EPROTO, "the request's target is not a path");
    return HW_OK;
}

static enum hw_status inbound_check_head(struct hw_inbound *in, struct hw_slice line)
{
    enum hw_status status = inbound_check_version(in, line);

    if (status == HW_OK)
        status = inbound_check_framing(in);
    if (status == HW_OK)
        status = inbound_check_host(in);
    if (status == HW_OK)
        status = inbound_check_target(in);
    return status;
}

/* --- feeding ----------------------------------------------------------------------- */

/* Hand bytes to llhttp; *n_used says how many were this request's. */
static enum hw_status inbound_run(struct hw_inbound *in, struct hw_slice bytes, size_t *n_used)
{
    llhttp_errno_t err = llhttp_execute(&in->parser, bytes.data, bytes.len);

    *n_used = 0;
    if (in->failed != HW_OK)
        return in->failed;
    if (err == HPE_OK) {
        *n_used = bytes.len;
        return HW_OK;
    }
    if (err == HPE_PAUSED) {
        *n_used = (size_t)(llhttp_get_error_pos(&in->parser) - bytes.data);
        return HW_OK;
    }
    const char *reason = llhttp_get_error_reason(&in->parser);
    return hw_cause_set(in->cause, HW_EPROTO, HW_ORIGIN_LLHTTP, (int)err,
                        "the request is not valid HTTP: %s", reason ? reason : "unknown");
}

static enum hw_status inbound_feed_head(struct hw_inbound *in, struct hw_slice bytes,
                                        size_t *n_used)
{
    struct hw_slice whole, expect;
    enum hw_status status;
    size_t n_read;

    status = hw_head_collect(&in->lines, bytes, n_used, &whole, in->cause);
    in->head_bytes += *n_used;
    if (status != HW_OK || whole.len == 0)
        return status;
    status = inbound_run(in, whole, &n_read);
    if (status != HW_OK)
        return status;
    if (!in->has_head || n_read != whole.len)
        return inbound_refuse(in, HW_EPROTO, "the head of the request is malformed");
    status = inbound_check_head(in, hw_head_start_line(&in->lines, whole));
    if (status != HW_OK)
        return status;
    in->expects_continue = !in->is_complete && in->parser.http_minor > 0 &&
                           hw_inbound_field(in, "expect", &expect) &&
                           hw_slice_ieq(expect, HW_SLICE("100-continue"));
    hw_head_start(&in->lines, 0); /* the trailers use its in_value */
    return HW_OK;
}

static enum hw_status inbound_feed_body(struct hw_inbound *in, struct hw_slice bytes,
                                        size_t *n_used)
{
    enum hw_status status;
    const char *at;

    *n_used = 0;
    if (in->content_length > in->body_max || hw_buf_len(&in->body) > in->body_max) {
        inbound_too_large(in);
        return in->failed;
    }
    if (bytes.len == 0)
        return HW_OK;
    in->expects_continue = false;
    in->mark = bytes.data;
    status = inbound_run(in, bytes, n_used);
    /* Too much framing is said before what may be wrong behind it, however it arrives. */
    at = status == HW_OK ? bytes.data + *n_used : llhttp_get_error_pos(&in->parser);
    if (in->failed == HW_OK && inbound_count_framing(in, at) != 0)
        status = in->failed;
    in->mark = NULL;
    return status;
}

enum hw_status hw_inbound_feed(struct hw_inbound *in, struct hw_slice bytes, size_t *n_used,
                               struct hw_cause *cause)
{
    enum hw_status status = HW_OK;

    *n_used = 0;
    if (in->failed != HW_OK)
        return hw_cause_set(cause, in->failed, HW_ORIGIN_US, 0,
                            "the request has failed before");
    if (in->is_complete)
        return HW_OK;
    in->cause = cause;
    status = in->has_head ? inbound_feed_body(in, bytes, n_used)
                          : inbound_feed_head(in, bytes, n_used);
    in->cause = NULL;
    in->failed = status;
    if (status != HW_OK)
        in->is_complete = false;
    return status;
}

bool hw_inbound_field(const struct hw_inbound *in, const char *name, struct hw_slice *value)
{
    return hw_head_find(hw_buf_slice(&in->head), name, value) > 0;
}
