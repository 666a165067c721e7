#include "http/request.h"

#include "base/must.h"
#include "http/head.h"

/* No value can end its line or the head (they were checked when they came in). */
static void must_be_one_line(struct hw_slice s)
{
    HW_MUST(hw_slice_find(s, '\r') == s.len && hw_slice_find(s, '\n') == s.len &&
            hw_slice_find(s, '\0') == s.len);
}

/* Whole lines, or nothing. */
static void must_be_lines(struct hw_slice s)
{
    HW_MUST(s.len == 0 ||
            (s.len > 2 && s.data[s.len - 2] == '\r' && s.data[s.len - 1] == '\n'));
    HW_MUST(hw_slice_find(s, '\0') == s.len);
}

static char *put(char *to, const char *from, size_t n)
{
    if (n > 0)
        memcpy(to, from, n);
    return to + n;
}

static char *put_number(char *to, uint64_t n)
{
    char digits[20];
    size_t at = sizeof digits;

    do {
        digits[--at] = (char)('0' + n % 10);
        n /= 10;
    } while (n > 0);
    return put(to, digits + at, sizeof digits - at);
}

#define PUT_TEXT(to, literal) put((to), "" literal, sizeof(literal) - 1)

static char *put_value(char *to, struct hw_slice value)
{
    must_be_one_line(value);
    return put(to, value.data, value.len);
}

/* Everything but the values: the fixed text of all lines, three numbers of at most 20
 * digits. */
enum { FIXED_MAX = 512 };

static size_t head_bytes_max(const struct hw_request_head *h)
{
    return FIXED_MAX + h->target.len + h->authority.len + h->user_agent.len +
           h->webhook_id.len + h->signature.len + h->delivery_id.len + h->subject.len +
           h->traceparent.len + h->extra_name.len + h->extra_value.len + h->static_fields.len;
}

static char *put_start(char *to, const struct hw_request_head *h)
{
    to = PUT_TEXT(to, "POST ");
    to = put_value(to, h->target);
    to = PUT_TEXT(to, " HTTP/1.1\r\nhost: ");
    to = put_value(to, h->authority);
    to = PUT_TEXT(to, "\r\ncontent-type: application/json\r\ncontent-length: ");
    to = put_number(to, h->body_bytes);
    to = PUT_TEXT(to, "\r\nuser-agent: ");
    to = put_value(to, h->user_agent);
    return PUT_TEXT(to, "\r\n");
}

static char *put_delivery(char *to, const struct hw_request_head *h)
{
    HW_MUST(h->timestamp_s >= 0);
    to = PUT_TEXT(to, "webhook-id: ");
    to = put_value(to, h->webhook_id);
    to = PUT_TEXT(to, "\r\nwebhook-timestamp: ");
    to = put_number(to, (uint64_t)h->timestamp_s);
    to = PUT_TEXT(to, "\r\nwebhook-signature: ");
    to = put_value(to, h->signature);
    to = PUT_TEXT(to, "\r\nx-hookwheel-delivery: ");
    to = put_value(to, h->delivery_id);
    to = PUT_TEXT(to, "\r\nx-hookwheel-attempt: ");
    to = put_number(to, h->attempt);
    return PUT_TEXT(to, "\r\n");
}

static char *put_optional(char *to, const struct hw_request_head *h)
{
    if (h->subject.len > 0) {
        to = PUT_TEXT(to, "x-hookwheel-subject: ");
        to = put_value(to, h->subject);
        to = PUT_TEXT(to, "\r\n");
    }
    if (h->traceparent.len > 0) {
        to = PUT_TEXT(to, "traceparent: ");
        to = put_value(to, h->traceparent);
        to = PUT_TEXT(to, "\r\n");
    }
    if (h->extra_name.len > 0) {
        to = put_value(to, h->extra_name);
        to = PUT_TEXT(to, ": ");
        to = put_value(to, h->extra_value);
        to = PUT_TEXT(to, "\r\n");
    }
    must_be_lines(h->static_fields);
    return put(to, h->static_fields.data, h->static_fields.len);
}

enum hw_status hw_request_write(struct hw_buf *out, const struct hw_request_head *head)
{
    enum hw_status status = hw_buf_reserve(out, head_bytes_max(head));
    char *begin, *to;

    if (status != HW_OK)
        return status;
    begin = to = hw_buf_space(out);
    to = put_start(to, head);
    to = put_delivery(to, head);
    to = put_optional(to, head);
    to = PUT_TEXT(to, "\r\n");
    hw_buf_commit(out, (size_t)(to - begin));
    return HW_OK;
}

/* --- static fields ----------------------------------------------------------------- */

static bool starts_with(struct hw_slice name, const char *prefix)
{
    size_t n = strlen(prefix);

    return name.len >= n && hw_slice_ieq(hw_slice(name.data, n), hw_slice(prefix, n));
}

bool hw_request_field_allowed(struct hw_slice name)
{
    static const char *const ours[] = {
        "content-type",
        "content-length",
        "host",
        "user-agent",
        "traceparent",
        "connection",
        "transfer-encoding",
        "te",
        "trailer",
        "upgrade",
        "expect",
        "content-encoding",
        "accept-encoding",
        "keep-alive",
        NULL,
    };

    if (name.len == 0)
        return false;
    for (size_t i = 0; i < name.len; i++)
        if (!hw_head_is_token(name.data[i]))
            return false;
    if (starts_with(name, "webhook-") || starts_with(name, "x-hookwheel-") ||
        starts_with(name, "proxy-"))
        return false;
    for (size_t i = 0; ours[i] != NULL; i++)
        if (hw_slice_ieq(name, hw_slice_str(ours[i])))
            return false;
    return true;
}
