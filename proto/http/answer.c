#include "http/answer.h"

#include "base/must.h"

const char *hw_answer_reason(int status)
{
    static const struct {
        int status;
        const char *reason;
    } reasons[] = {
        { 100, "Continue" },
        { 200, "OK" },
        { 201, "Created" },
        { 202, "Accepted" },
        { 204, "No Content" },
        { 301, "Moved Permanently" },
        { 302, "Found" },
        { 303, "See Other" },
        { 304, "Not Modified" },
        { 307, "Temporary Redirect" },
        { 308, "Permanent Redirect" },
        { 400, "Bad Request" },
        { 401, "Unauthorized" },
        { 403, "Forbidden" },
        { 404, "Not Found" },
        { 405, "Method Not Allowed" },
        { 406, "Not Acceptable" },
        { 408, "Request Timeout" },
        { 409, "Conflict" },
        { 410, "Gone" },
        { 411, "Length Required" },
        { 412, "Precondition Failed" },
        { 413, "Content Too Large" },
        { 414, "URI Too Long" },
        { 415, "Unsupported Media Type" },
        { 417, "Expectation Failed" },
        { 421, "Misdirected Request" },
        { 422, "Unprocessable Content" },
        { 425, "Too Early" },
        { 426, "Upgrade Required" },
        { 428, "Precondition Required" },
        { 429, "Too Many Requests" },
        { 431, "Request Header Fields Too Large" },
        { 500, "Internal Server Error" },
        { 501, "Not Implemented" },
        { 502, "Bad Gateway" },
        { 503, "Service Unavailable" },
        { 504, "Gateway Timeout" },
        { 505, "HTTP Version Not Supported" },
    };

    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (reasons[i].status == status)
            return reasons[i].reason;
    return "Unknown";
}

/* RFC 9110 8.6: these have no content-length either. */
static bool status_has_no_body(int status)
{
    return status < 200 || status == 204;
}

/* The fixed text of all lines, the longest reason, two numbers. */
enum { FIXED_MAX = 256 };

enum hw_status hw_answer_write(struct hw_buf *out, const struct hw_answer *answer)
{
    bool has_length = !status_has_no_body(answer->status);
    /* RFC 9110 15.4.5: nothing follows the head of a 304. */
    bool has_body = has_length && !answer->head_only && answer->status != 304;
    struct hw_slice fields = answer->fields;
    enum hw_status status;

    HW_MUST(answer->status >= 100 && answer->status <= 999);
    HW_MUST(fields.len == 0 || (fields.len > 2 && fields.data[fields.len - 1] == '\n'));
    status = hw_buf_reserve(out, FIXED_MAX + answer->content_type.len + fields.len +
                                     (has_body ? answer->body.len : 0));
    if (status != HW_OK)
        return status;
    hw_buf_append_str(out, "HTTP/1.1 ");
    hw_buf_append_u64(out, (uint64_t)answer->status);
    hw_buf_append_char(out, ' ');
    hw_buf_append_str(out, hw_answer_reason(answer->status));
    if (has_length && answer->content_type.len > 0) {
        hw_buf_append_str(out, "\r\ncontent-type: ");
        hw_buf_append_slice(out, answer->content_type);
    }
    if (has_length && !answer->is_open) {
        hw_buf_append_str(out, "\r\ncontent-length: ");
        hw_buf_append_u64(out, answer->body.len);
    }
    if (answer->close)
        hw_buf_append_str(out, "\r\nconnection: close");
    hw_buf_append_str(out, "\r\n");
    hw_buf_append_slice(out, fields);
    hw_buf_append_str(out, "\r\n");
    if (has_body)
        hw_buf_append_slice(out, answer->body);
    return hw_buf_failed(out);
}
