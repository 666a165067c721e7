/* api: /v1/deliveries. */
#include "api/lossy.h"
#include "rules/record.h"
#include "support/api_fixture.h"

static struct hw_backend_delivery a_delivery(uint32_t w, uint64_t n)
{
    return (struct hw_backend_delivery){ .w = w,
                                         .n = n,
                                         .account = "acct_1",
                                         .webhook_id = "wh_1",
                                         .history = { .stamp_us = 1000 + n,
                                                      .cursor = { 1700000000000, 1 },
                                                      .event_id = HW_SLICE("evt_1"),
                                                      .event_type = HW_SLICE("a.b"),
                                                      .subject = HW_SLICE("s"),
                                                      .status = HW_STATUS_FAILED,
                                                      .attempts = 2,
                                                      .created_ms = 1700000000000,
                                                      .updated_ms = 1700000001000,
                                                      .last_attempt_ms = 1700000001000,
                                                      .next_attempt_ms = 1700000061000,
                                                      .response_code = 503,
                                                      .failure = HW_FAILURE_HTTP_STATUS,
                                                      .message = HW_SLICE("503") } };
}

CASE(filters_of_deliveries_reach_the_backend)
{
    struct fixture f;
    struct response r;
    fixture_init(&f);
    request(&f, &r, "GET", "/v1/deliveries", NULL);
    CHECK_STR(r.body,
              "{\"data\":[],\"has_more\":false,\"next_cursor\":null,\"prev_cursor\":null}\n");
    response_close(&r);
    CHECK_STR(f.account, "default");
    CHECK_INT(f.question.status, ==, -1);
    CHECK_UINT(f.question.limit, ==, 50);
    CHECK(!f.question.has_place);
    CHECK_NULL(f.question.webhook_id);
    request(
        &f, &r, "GET",
        "/v1/"
        "deliveries?account=a&webhook_id=wh_1&event_id=e&subject=a+b%2bc&status=dead_letter"
        "&since=2026-03-09T12:00:00Z&until=2026-03-09T13:00:00%2B01:00&limit=200",
        NULL);
    CHECK_INT(r.status, ==, 200);
    response_close(&r);
    CHECK_STR(f.account, "a");
    CHECK_STR(f.subject, "a b+c");
    CHECK_INT(f.question.status, ==, HW_STATUS_DEAD_LETTER);
    CHECK_INT(f.question.since_ms, ==, 1773057600000);
    CHECK_INT(f.question.until_ms, ==, 1773057600000);
    CHECK_UINT(f.question.limit, ==, 200);
    fixture_close(&f);
}

static void follow(struct fixture *f, const struct response *r, const char *name)
{
    struct response next;
    char target[300];
    CHECK_NOT_NULL(text_at(r, name));
    snprintf(target, sizeof target, "/v1/deliveries?cursor=%s", text_at(r, name));
    request(f, &next, "GET", target, NULL);
    CHECK_INT(next.status, ==, 200);
    response_close(&next);
}

CASE(cursors_of_deliveries_carry_the_place)
{
    struct fixture f;
    struct response r;
    fixture_init(&f);
    f.deliveries[0] = a_delivery(7, 30);
    f.deliveries[1] = a_delivery(7, 20);
    f.n_deliveries = 2;
    f.has_more = true;
    f.reached = (struct hw_backend_place){ 900, 7, 3 };
    request(&f, &r, "GET", "/v1/deliveries", NULL);
    CHECK_INT(json_array_size(at(&r, "data")), ==, 2);
    CHECK(json_is_null(at(&r, "prev_cursor")));
    follow(&f, &r, "next_cursor");
    CHECK(f.question.has_place && !f.question.is_newer);
    CHECK_UINT(f.question.place.stamp_us, ==, 900);
    CHECK_UINT(f.question.place.w, ==, 7);
    CHECK_UINT(f.question.place.n, ==, 3);
    char target[300];
    snprintf(target, sizeof target, "/v1/deliveries?cursor=%s", text_at(&r, "next_cursor"));
    response_close(&r);
    request(&f, &r, "GET", target, NULL);
    follow(&f, &r, "prev_cursor");
    CHECK(f.question.has_place && f.question.is_newer);
    CHECK_UINT(f.question.place.n, ==, 30);
    snprintf(target, sizeof target, "/v1/webhooks?cursor=%s", text_at(&r, "prev_cursor"));
    expect_error(&f, "GET", target, NULL, 400, "invalid_request", "cursor");
    response_close(&r);
    fixture_close(&f);
}

static void pack_log(struct hw_buf *log)
{
    struct hw_attempt first = { .number = 1,
                                .started_ms = 1700000000500,
                                .duration_ms = 12,
                                .dns_ms = 1,
                                .connect_ms = 2,
                                .tls_ms = -1,
                                .first_byte_ms = 9,
                                .address = HW_SLICE("203.0.113.9:443"),
                                .tls_version = HW_SLICE("TLSv1.3"),
                                .response_code = 503,
                                .response_head = HW_SLICE("a: 1\nb: \xff\na: 2\n"),
                                .response_body = HW_SLICE("no \xff\xc3\xa9 \xf0\x9f"),
                                .failure = HW_FAILURE_HTTP_STATUS,
                                .message = HW_SLICE("503") };
    struct hw_attempt second = { .number = 2,
                                 .started_ms = 1700000001000,
                                 .duration_ms = 3,
                                 .dns_ms = -1,
                                 .connect_ms = -1,
                                 .tls_ms = -1,
                                 .first_byte_ms = 3,
                                 .reused = true,
                                 .response_code = 200 };
    hw_buf_init(log, 65536);
    CHECK_INT(hw_attempt_pack(log, &first), ==, HW_OK);
    CHECK_INT(hw_attempt_pack(log, &second), ==, HW_OK);
}

static void check_log(const struct response *r)
{
    const json_t *first = json_array_get(at(r, "attempt_log"), 0);
    const json_t *second = json_array_get(at(r, "attempt_log"), 1);
    const json_t *heads = json_object_get(first, "response_headers");
    CHECK_INT(json_array_size(at(r, "attempt_log")), ==, 2);
    CHECK_STR(json_string_value(json_object_get(heads, "a")), "1, 2");
    CHECK_STR(json_string_value(json_object_get(heads, "b")), "\xef\xbf\xbd");
    CHECK_STR(json_string_value(json_object_get(first, "response_body")),
              "no \xef\xbf\xbd\xc3\xa9 \xef\xbf\xbd\xef\xbf\xbd");
    CHECK_INT(json_object_size(json_object_get(first, "phases")), ==, 3);
    CHECK_STR(json_string_value(json_object_get(json_object_get(first, "error"), "kind")),
              "http_status");
    CHECK_NULL(json_object_get(second, "phases"));
    CHECK(json_is_null(json_object_get(second, "error")));
    CHECK_STR(json_string_value(json_object_get(second, "response_body")), "thanks");
    CHECK_STR(
        json_string_value(json_object_get(json_object_get(second, "response_headers"), "c")),
        "3");
}

CASE(a_delivery_shows_its_log_and_its_request)
{
    struct fixture f;
    struct response r;
    struct hw_buf log;
    char target[128] = "/v1/deliveries/";
    fixture_init(&f);
    request(&f, &r, "POST", "/v1/webhooks",
            WITH("\"headers\":{\"x-key\":\"very secret\"},\"name\":\"n\""));
    response_close(&r);
    pack_log(&log);
    f.inspected = (struct hw_backend_inspect){
        .found = a_delivery(1, 5),
        .webhook = f.webhooks[0],
        .record = HW_SLICE(
            "{\"id\":\"evt_1\",\"type\":\"a.b\",\"timestamp\":\"2026-03-09T12:00:00.000Z\","
            "\"account\":\"acct_1\",\"subject\":\"s\",\"level\":\"user\","
            "\"data\":{\"x\":1,\"raw\":\"hidden\"}}"),
        .response_of = 2,
        .response_head = HW_SLICE("c: 3\n"),
        .response_body = HW_SLICE("thanks")
    };
    f.inspected.found.history.log = hw_buf_slice(&log);
    f.inspected.found.history.traceparent = HW_SLICE("00-x");
    hw_id_delivery(1, 5, target + strlen(target));
    request(&f, &r, "GET", target, NULL);
    CHECK_INT(r.status, ==, 200);
    CHECK_STR(text_at(&r, "object"), "delivery");
    CHECK_STR(text_at(&r, "status"), "failed");
    CHECK_STR(text_at(&r, "error.kind"), "http_status");
    CHECK_STR(text_at(&r, "next_attempt_at"), "2023-11-14T22:14:21.000Z");
    check_log(&r);
    CHECK_STR(text_at(&r, "request.headers.host"), "example.com");
    CHECK_STR(text_at(&r, "request.headers.user-agent"), "hookwheel/9.9");
    CHECK_STR(text_at(&r, "request.headers.webhook-timestamp"), "1700000001");
    CHECK_STR(text_at(&r, "request.headers.x-hookwheel-attempt"), "2");
    CHECK_STR(text_at(&r, "request.headers.x-hookwheel-subject"), "s");
    CHECK_STR(text_at(&r, "request.headers.traceparent"), "00-x");
    CHECK_STR(text_at(&r, "request.headers.x-key"), "***");
    CHECK_NULL(text_at(&r, "request.headers.webhook-signature"));
    CHECK_CONTAINS(text_at(&r, "request.body"), "\"data\":{\"x\":1}}");
    CHECK_NULL(strstr(r.body, "hidden"));
    CHECK_NULL(strstr(r.body, "very secret"));
    response_close(&r);
    f.inspected.record = hw_slice(NULL, 0);
    request(&f, &r, "GET", target, NULL);
    CHECK(json_is_null(json_object_get(at(&r, "request"), "body")));
    response_close(&r);
    f.inspected.webhook = NULL;
    request(&f, &r, "GET", target, NULL);
    CHECK(json_is_null(at(&r, "request")));
    response_close(&r);
    expect_error(&f, "GET", "/v1/deliveries/dlv_nonsense", NULL, 404, "not_found", NULL);
    hw_id_delivery(1, 6, target + strlen("/v1/deliveries/"));
    expect_error(&f, "GET", target, NULL, 404, "not_found", NULL);
    hw_buf_close(&log);
    fixture_close(&f);
}

/* Delivered, delivered again by hand, and that attempt failed: the answer is the first one's. */
CASE(a_response_shows_at_the_attempt_that_it_answered)
{
    struct fixture f;
    struct response r;
    struct hw_buf log;
    char target[128] = "/v1/deliveries/";
    struct hw_attempt attempts[] = {
        { .number = 1, .response_code = 200 },
        { .number = 2, .failure = HW_FAILURE_CONNECT, .phase = HW_PHASE_CONNECT },
    };
    fixture_init(&f);
    hw_buf_init(&log, 65536);
    for (int i = 0; i < 2; i++)
        CHECK_INT(hw_attempt_pack(&log, &attempts[i]), ==, HW_OK);
    f.inspected = (struct hw_backend_inspect){ .found = a_delivery(1, 5),
                                               .response_of = 1,
                                               .response_head = HW_SLICE("c: 3\n"),
                                               .response_body = HW_SLICE("thanks") };
    f.inspected.found.history.log = hw_buf_slice(&log);
    hw_id_delivery(1, 5, target + strlen(target));
    request(&f, &r, "GET", target, NULL);
    CHECK_INT(r.status, ==, 200);
    const json_t *one = json_array_get(at(&r, "attempt_log"), 0);
    const json_t *two = json_array_get(at(&r, "attempt_log"), 1);
    CHECK_STR(json_string_value(json_object_get(one, "response_body")), "thanks");
    CHECK(json_is_null(json_object_get(two, "response_body")));
    CHECK(json_is_null(json_object_get(two, "response_headers")));
    response_close(&r);
    hw_buf_close(&log);
    fixture_close(&f);
}

CASE(fields_of_strangers_become_an_object)
{
    json_t *object = hw_lossy_fields(HW_SLICE("a: 1\nno colon\n: x\nb:\nA: 2"));
    CHECK_INT(json_object_size(object), ==, 3);
    CHECK_STR(json_string_value(json_object_get(object, "b")), "");
    CHECK_STR(json_string_value(json_object_get(object, "A")), "2");
    json_decref(object);
}
