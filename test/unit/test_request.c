/* request: the head to the byte, the optional fields, the names a webhook may not set. */
#include "check.h"

#include <limits.h>
#include <signal.h>
#include <sys/wait.h>

#include "http/request.h"
#include "support/scarce.h"

static struct hw_request_head minimal(void)
{
    return (struct hw_request_head){
        .target = HW_SLICE("/hook?a=b"),
        .authority = HW_SLICE("example.com:8443"),
        .user_agent = HW_SLICE("hookwheel/0.1.0"),
        .body_bytes = 1234,
        .webhook_id = HW_SLICE("evt_1"),
        .timestamp_s = 1773057600,
        .signature = HW_SLICE("v1,abc= v1,def="),
        .delivery_id = HW_SLICE("dlv_1"),
        .attempt = 3,
    };
}

#define MINIMAL                                                                               \
    "POST /hook?a=b HTTP/1.1\r\n"                                                             \
    "host: example.com:8443\r\n"                                                              \
    "content-type: application/json\r\n"                                                      \
    "content-length: 1234\r\n"                                                                \
    "user-agent: hookwheel/0.1.0\r\n"                                                         \
    "webhook-id: evt_1\r\n"                                                                   \
    "webhook-timestamp: 1773057600\r\n"                                                       \
    "webhook-signature: v1,abc= v1,def=\r\n"                                                  \
    "x-hookwheel-delivery: dlv_1\r\n"                                                         \
    "x-hookwheel-attempt: 3\r\n"

static void check_written(const struct hw_request_head *head, const char *text)
{
    struct hw_buf out;

    hw_buf_init(&out, 8192);
    hw_buf_append_str(&out, "before");
    CHECK_INT(hw_request_write(&out, head), ==, HW_OK);
    CHECK_SLICE(hw_slice_from(hw_buf_slice(&out), 6), text);
    hw_buf_close(&out);
}

CASE(minimal_head)
{
    struct hw_request_head head = minimal();

    check_written(&head, MINIMAL "\r\n");
}

CASE(whole_head)
{
    struct hw_request_head head = minimal();

    head.subject = HW_SLICE("sess 9");
    head.traceparent = HW_SLICE("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    head.extra_name = HW_SLICE("X-Webhook-Signature");
    head.extra_value = HW_SLICE("sha256=00ff");
    head.static_fields = HW_SLICE("X-A: 1\r\nX-B: 2\r\n");
    check_written(&head, MINIMAL
                  "x-hookwheel-subject: sess 9\r\n"
                  "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n"
                  "X-Webhook-Signature: sha256=00ff\r\n"
                  "X-A: 1\r\nX-B: 2\r\n\r\n");
}

CASE(numbers_at_their_ends)
{
    struct hw_request_head head = minimal();
    struct hw_buf out;

    head.body_bytes = SIZE_MAX;
    head.timestamp_s = INT64_MAX;
    head.attempt = UINT_MAX;
    hw_buf_init(&out, 8192);
    CHECK_INT(hw_request_write(&out, &head), ==, HW_OK);
    CHECK_CONTAINS(hw_buf_str(&out), "content-length: 18446744073709551615\r\n");
    CHECK_CONTAINS(hw_buf_str(&out), "webhook-timestamp: 9223372036854775807\r\n");
    CHECK_CONTAINS(hw_buf_str(&out), "x-hookwheel-attempt: 4294967295\r\n");
    hw_buf_reset(&out);
    head = (struct hw_request_head){ 0 };
    CHECK_INT(hw_request_write(&out, &head), ==, HW_OK);
    CHECK_CONTAINS(hw_buf_str(&out), "content-length: 0\r\n");
    CHECK_CONTAINS(hw_buf_str(&out), "webhook-timestamp: 0\r\n");
    hw_buf_close(&out);
}

CASE(one_allocation_and_none_once_it_has_grown)
{
    struct hw_request_head head = minimal();
    struct hw_buf out;

    scarce_begin(0);
    hw_buf_init(&out, 8192);
    for (int i = 0; i < 100; i++) {
        hw_buf_reset(&out);
        CHECK_INT(hw_request_write(&out, &head), ==, HW_OK);
    }
    CHECK_INT(scarce.n_asked, ==, 1);
    hw_buf_close(&out);
    scarce_end();
}

CASE(failures_leave_the_buffer_as_it_was)
{
    struct hw_request_head head = minimal();
    struct hw_buf out;

    hw_buf_init(&out, 300);
    hw_buf_append_str(&out, "before");
    CHECK_INT(hw_request_write(&out, &head), ==, HW_ETOOBIG);
    CHECK_SLICE(hw_buf_slice(&out), "before");
    hw_buf_close(&out);
    scarce_begin(1);
    hw_buf_init(&out, 8192);
    CHECK_INT(hw_request_write(&out, &head), ==, HW_ENOMEM);
    CHECK_INT(hw_buf_len(&out), ==, 0);
    hw_buf_close(&out);
    scarce_end();
}

/* Writing it must stop the program. */
static void check_stops(const struct hw_request_head *head)
{
    int how = 0;
    pid_t child = fork();

    CHECK_INT(child, >=, 0);
    if (child == 0) {
        struct hw_buf out;

        fclose(stderr);
        hw_buf_init(&out, 8192);
        _exit(hw_request_write(&out, head) == HW_OK ? 0 : 1);
    }
    CHECK_INT(waitpid(child, &how, 0), ==, child);
    CHECK(WIFSIGNALED(how) && WTERMSIG(how) == SIGABRT);
}

CASE(a_line_end_in_a_value_is_a_broken_promise)
{
    const struct hw_slice values[] = { HW_SLICE("a\rb"), HW_SLICE("a\nb"), HW_SLICE("a\0b") };
    struct hw_request_head head;

    for (size_t i = 0; i < 3; i++) {
        head = minimal();
        head.target = values[i];
        check_stops(&head);
        head = minimal();
        head.subject = values[i];
        check_stops(&head);
        head = minimal();
        head.extra_name = HW_SLICE("X");
        head.extra_value = values[i];
        check_stops(&head);
    }
    head = minimal();
    head.static_fields = HW_SLICE("X: 1");
    check_stops(&head);
}

CASE(static_field_names)
{
    static const char *const allowed[] = {
        "X-Api-Key",           "Authorization",     "Cookie",      "Accept", "x",
        "X-Webhook-Signature", "Webhook",           "X-Hookwheel", "Proxy",  "Contents",
        "Accept-Language",     "!#$%&'*+-.^_`|~09",
    };
    static const char *const refused[] = {
        "Content-Type",
        "content-length",
        "HOST",
        "User-Agent",
        "webhook-id",
        "Webhook-Anything",
        "webhook-",
        "X-Hookwheel-Delivery",
        "x-hookwheel-",
        "traceparent",
        "Connection",
        "Transfer-Encoding",
        "TE",
        "Trailer",
        "Upgrade",
        "Expect",
        "Content-Encoding",
        "Accept-Encoding",
        "Keep-Alive",
        "Proxy-Authorization",
        "proxy-connection",
        /* not names at all */
        "",
        " ",
        "a b",
        "a:",
        "a\r\n",
        "a\n",
        "caf\xc3\xa9",
        "(a)",
        "a\x7f",
        "\ta",
        "a/b",
        "a\"",
    };

    for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++)
        if (!hw_request_field_allowed(hw_slice_str(allowed[i])))
            CHECK_FAIL("%s is refused", allowed[i]);
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (hw_request_field_allowed(hw_slice_str(refused[i])))
            CHECK_FAIL("%s is allowed", refused[i]);
    CHECK(!hw_request_field_allowed(HW_SLICE("a\0b")));
}
