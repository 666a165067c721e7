/* api: the door, and the connections. */
#include "support/api_fixture.h"

/* --- opening ---------------------------------------------------------------------------- */

static void expect_not_open(const char *listen, const char *part)
{
    struct fixture f;
    struct hw_cause cause = { 0 };
    fixture_prepare(&f);
    f.options.listen = listen;
    CHECK_INT(hw_api_open(&f.api, &f.loop, &f.options, &cause), !=, HW_OK);
    CHECK_CONTAINS(cause.note, part);
    fixture_close_loop(&f);
}

CASE(an_address_that_does_not_parse_is_named)
{
    expect_not_open("nonsense", "nonsense");
    expect_not_open("127.0.0.1", "127.0.0.1");
    expect_not_open("127.0.0.1:70000", "127.0.0.1:70000");
    expect_not_open("::1:80", "::1:80");
    expect_not_open("example.com:80", "example.com:80");
    expect_not_open("192.0.2.1:0", "cannot listen on 192.0.2.1:0");
}

CASE(a_port_in_use_is_a_clear_line)
{
    struct fixture f;
    char address[32];
    fixture_init(&f);
    snprintf(address, sizeof address, "127.0.0.1:%u", hw_api_port(f.api));
    expect_not_open(address, "another program has this port");
    fixture_close(&f);
}

CASE(listens_on_any_address_of_either_family)
{
    struct fixture f;
    struct response r;
    fixture_prepare(&f);
    f.options.listen = "[::]:0";
    fixture_open(&f);
    request(&f, &r, "GET", "/healthz", NULL); /* over IPv4 */
    CHECK_INT(r.status, ==, 200);
    response_close(&r);
    fixture_close(&f);
}

CASE(operators_have_a_listener_of_their_own)
{
    struct fixture f;
    struct response r;
    struct client c;
    fixture_prepare(&f);
    f.options.ops_listen = "localhost:0";
    fixture_open(&f);
    CHECK_UINT(hw_api_ops_port(f.api), !=, 0);
    expect_error(&f, "GET", "/healthz", NULL, 404, "not_found", NULL);
    client_connect(&c, &f, hw_api_ops_port(f.api));
    client_send(&c, "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\nGET /v1/webhooks "
                    "HTTP/1.1\r\nhost: x\r\n\r\n");
    client_await(&c, &r);
    CHECK_INT(r.status, ==, 200);
    response_close(&r);
    client_await(&c, &r);
    CHECK_INT(r.status, ==, 404);
    response_close(&r);
    client_close(&c);
    fixture_close(&f);
}

/* --- routes and tokens -------------------------------------------------------------------- */

CASE(health_needs_no_token_and_keeps_the_connection)
{
    struct fixture f;
    struct response r;
    struct client c;
    fixture_init(&f);
    client_open(&c, &f);
    for (int i = 0; i < 3; i++) {
        client_send(&c, "GET /healthz?whatever=1 HTTP/1.1\r\nhost: x\r\n\r\n");
        client_await(&c, &r);
        CHECK_INT(r.status, ==, 200);
        CHECK_STR(text_at(&r, "status"), "ok");
        CHECK_NULL(strstr(r.head, "connection: close"));
        response_close(&r);
    }
    client_close(&c);
    fixture_close(&f);
}

CASE(without_a_good_token_nothing)
{
    static const char *const bad[] = { "",
                                       "authorization: Bearer hwt_other\r\n",
                                       "authorization: Basic " TOKEN "\r\n",
                                       "authorization: Bearer\r\n",
                                       "authorization: Bearer \r\n",
                                       "authorization: " TOKEN "\r\n" };
    struct fixture f;
    struct response r;
    char text[512];
    fixture_init(&f);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        snprintf(text, sizeof text, "GET /v1/webhooks HTTP/1.1\r\nhost: x\r\n%s\r\n", bad[i]);
        exchange(&f, &r, text);
        check_error(&r, 401, "unauthorized", NULL);
        CHECK_CONTAINS(r.head, "www-authenticate: Bearer");
        response_close(&r);
    }
    exchange(&f, &r,
             "GET /v1/webhooks HTTP/1.1\r\nhost: x\r\nAuthorization: bEARER  " TOKEN
             "\r\n\r\n");
    CHECK_INT(r.status, ==, 200);
    response_close(&r);
    fixture_close(&f);
}

CASE(unknown_paths_and_methods)
{
    struct fixture f;
    struct response r;
    fixture_init(&f);
    expect_error(&f, "GET", "/", NULL, 404, "not_found", NULL);
    expect_error(&f, "GET", "/v1", NULL, 404, "not_found", NULL);
    expect_error(&f, "GET", "/v1/webhooks/", NULL, 404, "not_found", NULL);
    expect_error(&f, "GET", "/v1/webhooks/a/b/c/d/e/f/g/h", NULL, 404, "not_found", NULL);
    expect_error(&f, "GET", "/v1/webhooks/%zz", NULL, 400, "invalid_request", "path");
    expect_error(&f, "OPTIONS", "/nowhere", NULL, 404, "not_found", NULL);
    request(&f, &r, "PUT", "/v1/webhooks", "{}");
    check_error(&r, 405, "method_not_allowed", NULL);
    CHECK_CONTAINS(r.head, "\r\nallow: POST, GET, HEAD, OPTIONS\r\n");
    response_close(&r);
    request(&f, &r, "OPTIONS", "/v1/webhooks/wh_1", NULL);
    CHECK_INT(r.status, ==, 204);
    CHECK_CONTAINS(r.head, "\r\nallow: GET, HEAD, PATCH, DELETE, OPTIONS\r\n");
    response_close(&r);
    fixture_close(&f);
}

CASE(head_is_get_without_the_body)
{
    struct fixture f;
    struct response r;
    struct client c;
    fixture_init(&f);
    client_open(&c, &f);
    client_send(
        &c,
        "HEAD /healthz HTTP/1.1\r\nhost: x\r\n\r\nGET /healthz HTTP/1.1\r\nhost: x\r\n\r\n");
    AWAIT(&f, client_take(&c, &r, true));
    CHECK_INT(r.status, ==, 200);
    CHECK_CONTAINS(r.head, "content-length: 16\r\n");
    response_close(&r);
    client_await(&c, &r);
    CHECK_STR(r.body, "{\"status\":\"ok\"}\n");
    response_close(&r);
    client_close(&c);
    fixture_close(&f);
}

CASE(query_parameters_are_known_and_given_once)
{
    struct fixture f;
    fixture_init(&f);
    expect_error(&f, "GET", "/v1/webhooks?limits=5", NULL, 400, "invalid_request", "limits");
    expect_error(&f, "GET", "/v1/webhooks?limit=5&l%69mit=6", NULL, 400, "invalid_request",
                 "limit");
    expect_error(&f, "GET", "/v1/webhooks?subject=%zz", NULL, 400, "invalid_request",
                 "subject");
    expect_error(&f, "GET", "/v1/webhooks?subject=a%00b", NULL, 400, "invalid_request",
                 "subject");
    expect_error(&f, "GET", "/v1/webhooks/wh_1?x=1", NULL, 400, "invalid_request", "x");
    expect_error(&f, "GET", "/v1/webhooks?limit=0", NULL, 400, "invalid_request", "limit");
    expect_error(&f, "GET", "/v1/webhooks?limit=201", NULL, 400, "invalid_request", "limit");
    expect_error(&f, "GET", "/v1/webhooks?limit=", NULL, 400, "invalid_request", "limit");
    expect_error(&f, "GET", "/v1/webhooks?cursor=abc", NULL, 400, "invalid_request", "cursor");
    expect_error(&f, "GET", "/v1/webhooks?status=deleted", NULL, 400, "invalid_request",
                 "status");
    expect_error(&f, "GET", "/v1/webhooks?account=a.b", NULL, 400, "invalid_request",
                 "account");
    expect_error(&f, "GET", "/v1/deliveries?status=done", NULL, 400, "invalid_request",
                 "status");
    expect_error(&f, "GET", "/v1/deliveries?since=today", NULL, 400, "invalid_request",
                 "since");
    fixture_close(&f);
}

/* --- for operators --------------------------------------------------------------------------------- */

CASE(readiness_gives_its_reason)
{
    struct fixture f;
    struct response r;
    fixture_init(&f);
    snprintf(f.readiness.reason, sizeof f.readiness.reason, "Redis cannot be reached");
    request(&f, &r, "GET", "/readyz", NULL);
    CHECK_INT(r.status, ==, 503);
    CHECK_STR(text_at(&r, "reason"), "Redis cannot be reached");
    CHECK_STR(text_at(&r, "redis.durability"), "unknown");
    response_close(&r);
    f.readiness = (struct hw_backend_readiness){ .is_ready = true,
                                                 .durability = HW_DURABILITY_EVERYSEC };
    request(&f, &r, "GET", "/readyz", NULL);
    CHECK_INT(r.status, ==, 200);
    CHECK_STR(text_at(&r, "status"), "ready");
    CHECK_STR(text_at(&r, "redis.durability"), "everysec");
    response_close(&r);
    fixture_close(&f);
}

static void check_with_promtool(const char *page)
{
    FILE *promtool;
    if (system("command -v promtool >/dev/null 2>&1") != 0) {
        printf("promtool is not installed: its check is left out\n");
        return;
    }
    promtool = popen("promtool check metrics", "w");
    CHECK_NOT_NULL(promtool);
    fputs(page, promtool);
    CHECK_INT(pclose(promtool), ==, 0);
}

CASE(metrics_are_all_there_and_valid)
{
    static const char *const names[] = {
        "hookwheel_events_accepted_total 0\n",
        "hookwheel_events_rejected_total{reason=\"bad_json\"} 0\n",
        "hookwheel_events_deduplicated_total 0\n",
        "hookwheel_attempts_total{result=\"success\"} 0\n",
        "hookwheel_attempts_total{result=\"refused_address\"} 0\n",
        "hookwheel_attempt_duration_seconds_count 0\n",
        "hookwheel_attempt_phase_seconds_count{phase=\"first_byte\"} 0\n",
        "hookwheel_delivery_latency_seconds_count 0\n",
        "hookwheel_retry_lateness_seconds_count 0\n",
        "hookwheel_deliveries_total{status=\"dead_letter\"} 0\n",
        "hookwheel_deliveries_dropped_total{reason=\"backlog_full\"} 0\n",
        "hookwheel_deliveries_in_flight 3\n",
        "hookwheel_deliveries_waiting 0\n",
        "hookwheel_oldest_waiting_seconds 1.5\n",
        "hookwheel_retries_scheduled 0\n",
        "hookwheel_webhooks{status=\"paused\"} 0\n",
        "hookwheel_webhooks_disabled_total{reason=\"gone\"} 0\n",
        "hookwheel_stream_lag 0\n",
        "hookwheel_stream_pending 0\n",
        "hookwheel_takeovers_total 0\n",
        "hookwheel_connections_open 0\n",
        "hookwheel_connections_opened_total 0\n",
        "hookwheel_connections_reused_total 0\n",
        "hookwheel_tls_handshakes_total{kind=\"resumed\"} 0\n",
        "hookwheel_dns_lookups_total{result=\"cached\"} 0\n",
        "hookwheel_redis_connected 0\n",
        "hookwheel_redis_durability{level=\"everysec\"} 1\n",
        "hookwheel_redis_durability{level=\"always\"} 0\n",
        "hookwheel_redis_memory_bytes 0\n",
        "hookwheel_redis_reconnects_total 0\n",
        "hookwheel_redis_command_duration_seconds_count 0\n",
        "hookwheel_loop_lag_seconds_count 0\n",
        "hookwheel_http_requests_total{route=\"GET /healthz\",status=\"200\"} 1\n",
        "hookwheel_http_requests_total{route=\"none\",status=\"404\"} 1\n",
        "hookwheel_build_info{version=\"9.9\"} 1\n",
        "process_cpu_seconds_total ",
        "process_resident_memory_bytes ",
        "process_open_fds ",
        "process_start_time_seconds ",
    };
    struct fixture f;
    struct response r;
    fixture_init(&f);
    request(&f, &r, "GET", "/healthz", NULL);
    response_close(&r);
    request(&f, &r, "GET", "/nowhere", NULL);
    response_close(&r);
    f.result = HW_BACKEND_UNAVAILABLE;
    exchange(&f, &r, "GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n");
    CHECK_INT(r.status, ==, 200);
    CHECK_CONTAINS(r.head, "content-type: text/plain; version=0.0.4");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        CHECK_CONTAINS(r.body, names[i]);
    CHECK_NULL(strstr(r.body, "process_start_time_seconds 0\n"));
    CHECK_NULL(strstr(r.body, "process_resident_memory_bytes 0\n"));
    check_with_promtool(r.body);
    response_close(&r);
    fixture_close(&f);
}

/* --- connections --------------------------------------------------------------------------------------- */

CASE(pipelined_requests_are_answered_in_order)
{
    struct fixture f;
    struct response r;
    struct client c;
    fixture_init(&f);
    client_open(&c, &f);
    client_send(&c,
                "GET /v1/webhooks HTTP/1.1\r\nhost: x\r\n" BEARER "\r\n"
                "POST /v1/webhooks HTTP/1.1\r\nhost: x\r\n" BEARER
                "content-type: application/json\r\ncontent-length: 30\r\n\r\n"
                "{\"url\":\"https://example.com/\"} GET /nowhere HTTP/1.1\r\nhost: x\r\n\r\n"
                "\r\nGET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    for (int i = 0; i < 3; i++) {
        static const int expected[] = { 200, 201, 400 };
        client_await(&c, &r);
        CHECK_INT(r.status, ==, expected[i]);
        response_close(&r);
    }
    client_close(&c);
    fixture_close(&f);
}

CASE(a_thousand_pipelined_requests)
{
    struct fixture f;
    struct response r;
    struct client c;
    struct hw_buf text;
    fixture_init(&f);
    hw_buf_init(&text, 1024 * 1024);
    for (int i = 0; i < 1000; i++)
        hw_buf_append_str(&text, "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n");
    client_open(&c, &f);
    client_send_bytes(&c, hw_buf_slice(&text));
    for (int i = 0; i < 1000; i++) {
        client_await(&c, &r);
        CHECK_INT(r.status, ==, 200);
        response_close(&r);
    }
    client_close(&c);
    hw_buf_close(&text);
    fixture_close(&f);
}

CASE(byte_by_byte_is_the_same)
{
    static const char text[] =
        "POST /v1/webhooks HTTP/1.1\r\nhost: x\r\n" BEARER
        "content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
        "5\r\n{\"url\r\n19\r\n\":\"https://example.com/\"}\r\n0\r\n\r\n";
    struct fixture f;
    struct response r;
    struct client c;
    fixture_init(&f);
    client_open(&c, &f);
    for (size_t i = 0; i < sizeof text - 1; i++) {
        client_send_bytes(&c, hw_slice(text + i, 1));
        uv_run(&f.uv, UV_RUN_NOWAIT);
    }
    client_await(&c, &r);
    CHECK_INT(r.status, ==, 201);
    response_close(&r);
    client_close(&c);
    fixture_close(&f);
}

CASE(connection_close_is_honoured)
{
    struct fixture f;
    struct response r;
    struct client c;
    fixture_init(&f);
    client_open(&c, &f);
    client_send(&c, "GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    client_await(&c, &r);
    CHECK_CONTAINS(r.head, "connection: close");
    AWAIT(&f, c.has_ended);
    response_close(&r);
    client_close(&c);
    fixture_close(&f);
}

CASE(continue_is_said_before_a_body_that_is_wanted)
{
    struct fixture f;
    struct response r;
    struct client c;
    fixture_init(&f);
    client_open(&c, &f);
    client_send(&c,
                "POST /v1/webhooks HTTP/1.1\r\nhost: x\r\n" BEARER "expect: 100-continue\r\n"
                "content-type: application/json\r\ncontent-length: 30\r\n\r\n");
    client_await(&c, &r);
    CHECK_INT(r.status, ==, 100);
    response_close(&r);
    client_send(&c, "{\"url\":\"https://example.com/\"} ");
    client_await(&c, &r);
    CHECK_INT(r.status, ==, 201);
    response_close(&r);
    client_close(&c);
    fixture_close(&f);
}

/* The answer comes, whatever was not sent, and announces the end. */
static void expect_last(struct fixture *f, struct hw_slice bytes, int status, const char *code)
{
    struct response r;
    struct client c;
    client_open(&c, f);
    client_send_bytes(&c, bytes);
    client_await(&c, &r);
    check_error(&r, status, code, NULL);
    CHECK_CONTAINS(r.head, "connection: close");
    response_close(&r);
    client_close(&c);
}

CASE(continue_is_not_said_before_one_that_is_refused)
{
    struct fixture f;
    fixture_init(&f);
    expect_last(&f,
                HW_SLICE("POST /v1/webhooks HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\n"
                         "content-length: 30\r\n\r\n"),
                401, "unauthorized");
    expect_last(&f,
                HW_SLICE("POST /v1/webhooks HTTP/1.1\r\nhost: x\r\n" BEARER
                         "expect: 100-continue\r\ncontent-length: 1048577\r\n\r\n"),
                413, "payload_too_large");
    fixture_close(&f);
}

CASE(what_cannot_be_read_ends_the_connection)
{
    struct fixture f;
    struct hw_buf text;
    fixture_init(&f);
    hw_buf_init(&text, 4 * 1024 * 1024);
    expect_last(&f, HW_SLICE("nonsense\r\n\r\n"), 400, "invalid_request");
    expect_last(&f, HW_SLICE("GET /healthz HTTP/1.1\r\n\r\n"), 400, "invalid_request");
    expect_last(&f, HW_SLICE("GET /healthz HTTP/2.0\r\nhost: x\r\n\r\n"), 400,
                "invalid_request");
    expect_last(&f,
                HW_SLICE("POST /v1/webhooks HTTP/1.1\r\nhost: x\r\n" BEARER
                         "content-length: 1048577\r\n\r\n"),
                413, "payload_too_large");
    hw_buf_append_str(&text, "POST /v1/webhooks HTTP/1.1\r\nhost: x\r\n" BEARER
                             "transfer-encoding: chunked\r\n\r\n");
    for (int i = 0; i < 17; i++)
        hw_buf_appendf(&text, "10000\r\n%065536d\r\n", 0);
    expect_last(&f, hw_buf_slice(&text), 413, "payload_too_large");
    hw_buf_reset(&text);
    hw_buf_append_str(&text, "GET /healthz HTTP/1.1\r\nhost: x\r\n");
    for (int i = 0; i < 100; i++)
        hw_buf_appendf(&text, "x-%d: 1\r\n", i);
    hw_buf_append_str(&text, "\r\n");
    expect_last(&f, hw_buf_slice(&text), 431, "header_too_large");
    hw_buf_reset(&text);
    hw_buf_appendf(&text, "GET /healthz HTTP/1.1\r\nhost: x\r\nx-long: %017000d\r\n\r\n", 0);
    expect_last(&f, hw_buf_slice(&text), 431, "header_too_large");
    hw_buf_close(&text);
    fixture_close(&f);
}

CASE(a_client_that_stays_after_a_last_answer_is_left)
{
    struct fixture f;
    struct response r;
    struct client c;
    fixture_init(&f);
    client_open(&c, &f);
    client_send(&c, "nonsense\r\n\r\n");
    client_await(&c, &r);
    client_send(&c, "and more of it");
    AWAIT(&f, c.has_ended);
    CHECK_UINT(hw_buf_len(&c.in), ==, 0);
    response_close(&r);
    client_close(&c);
    fixture_close(&f);
}

CASE(a_refused_body_is_read_and_the_connection_goes_on)
{
    struct fixture f;
    struct response r;
    struct client c;
    fixture_init(&f);
    client_open(&c, &f);
    client_send(&c, "POST /v1/webhooks HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\n12345"
                    "GET /healthz HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nxx"
                    "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n");
    for (int i = 0; i < 3; i++) {
        client_await(&c, &r);
        CHECK_INT(r.status, ==, i == 0 ? 401 : 200);
        response_close(&r);
    }
    client_close(&c);
    fixture_close(&f);
}

CASE(a_slow_client_is_cut_off)
{
    struct fixture f;
    struct client c, idle;
    fixture_prepare(&f);
    f.options.request_timeout_ms = 60;
    f.options.idle_timeout_ms = 120;
    fixture_open(&f);
    client_open(&idle, &f);
    client_open(&c, &f);
    client_send(&c, "G");
    AWAIT(&f, c.has_ended);
    CHECK(!idle.has_ended);
    CHECK_UINT(hw_buf_len(&c.in), ==, 0);
    AWAIT(&f, idle.has_ended);
    client_close(&c);
    client_close(&idle);
    fixture_close(&f);
}

CASE(a_byte_at_a_time_does_not_prolong)
{
    struct fixture f;
    struct client c;
    uint64_t began;
    fixture_prepare(&f);
    f.options.request_timeout_ms = 200;
    fixture_open(&f);
    client_open(&c, &f);
    began = uv_hrtime();
    while (!c.has_ended) {
        client_send(&c, "G"); /* a method that goes on and on */
        turn(&f);
        CHECK_UINT((uv_hrtime() - began) / 1000000, <, PATIENCE_MS);
    }
    client_close(&c);
    fixture_close(&f);
}

CASE(a_client_that_does_not_read_is_cut_off)
{
    struct fixture f;
    struct client c;
    struct hw_buf text;
    fixture_prepare(&f);
    f.options.request_timeout_ms = 300;
    fixture_open(&f);
    client_open(&c, &f);
    hw_stream_read_stop(&c.stream);
    hw_buf_init(&text, 4 * 1024 * 1024);
    for (int i = 0; i < 2000; i++)
        hw_buf_append_str(&text, "GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n");
    client_send_bytes(&c, hw_buf_slice(&text));
    /* The answers are some 40 MB; no more than the sockets hold are ever made. */
    for (uint64_t until = uv_hrtime() + 1500000000u; uv_hrtime() < until;)
        turn(&f);
    hw_stream_read_start(&c.stream);
    AWAIT(&f, c.has_ended);
    CHECK_UINT(hw_buf_len(&c.in), <, 20u * 1024 * 1024);
    client_close(&c);
    hw_buf_close(&text);
    fixture_close(&f);
}

CASE(a_client_that_goes_leaves_its_call_behind)
{
    struct fixture f;
    struct response r;
    struct client c;
    fixture_prepare(&f);
    f.options.max_connections = 1;
    fixture_open(&f);
    f.holds = true;
    client_open(&c, &f);
    client_send(&c, "GET /v1/webhooks HTTP/1.1\r\nhost: x\r\n" BEARER "\r\n");
    AWAIT(&f, f.n_asked == 1);
    client_close(&c);
    f.holds = false;
    hw_loop_arm(&f.loop, &f.answer, 0);
    AWAIT(&f, f.n_asked == 0);
    /* A second one while the first call is out, over the limit of one connection. */
    f.holds = true;
    client_open(&c, &f);
    client_send(&c, "GET /v1/webhooks HTTP/1.1\r\nhost: x\r\n" BEARER "\r\n");
    AWAIT(&f, f.n_asked == 1 || c.has_ended);
    f.holds = false;
    hw_loop_arm(&f.loop, &f.answer, 0);
    if (!c.has_ended) {
        client_await(&c, &r);
        response_close(&r);
    }
    client_close(&c);
    fixture_close(&f);
}

#define GET_WEBHOOKS "GET /v1/webhooks HTTP/1.1\r\nhost: x\r\n" BEARER "\r\n"

static void expect_unavailable(struct client *c)
{
    struct response r;
    client_await(c, &r);
    check_error(&r, 503, "unavailable", NULL);
    response_close(&r);
}

CASE(nobody_waits_for_a_redis_that_hangs)
{
    struct fixture f;
    struct response r;
    struct client c, by_head;
    fixture_init(&f);
    f.holds = true;
    client_open(&c, &f);
    client_open(&by_head, &f);
    client_send(&c, GET_WEBHOOKS);
    client_send(&by_head, "HEAD /v1/webhooks HTTP/1.1\r\nhost: x\r\n" BEARER "\r\n");
    AWAIT(&f, f.n_asked == 2);
    f.is_out_of_reach = true;
    expect_unavailable(&c);
    AWAIT(&f, client_take(&by_head, &r, true));
    CHECK_INT(r.status, ==, 503);
    CHECK_UINT(hw_buf_len(&by_head.in), ==, 0);
    response_close(&r);
    /* The connection goes on, and nothing more is asked of it. */
    client_send(&c, GET_WEBHOOKS);
    expect_unavailable(&c);
    CHECK_UINT(f.n_asked, ==, 2);
    client_send(&c, "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n");
    client_await(&c, &r);
    CHECK_INT(r.status, ==, 200);
    response_close(&r);
    /* What it says in the end is for nobody, and each request was counted once. */
    f.is_out_of_reach = f.holds = false;
    hw_loop_arm(&f.loop, &f.answer, 0);
    AWAIT(&f, f.n_asked == 0);
    client_send(&c, GET_WEBHOOKS);
    client_await(&c, &r);
    CHECK_INT(r.status, ==, 200);
    response_close(&r);
    request(&f, &r, "GET", "/metrics", NULL);
    CHECK_CONTAINS(r.body, "{route=\"GET /v1/webhooks\",status=\"503\"} 3\n");
    CHECK_CONTAINS(r.body, "{route=\"GET /v1/webhooks\",status=\"200\"} 1\n");
    response_close(&r);
    client_close(&by_head);
    client_close(&c);
    fixture_close(&f);
}

CASE(nobody_waits_to_be_recognised_by_a_redis_that_hangs)
{
    struct fixture f;
    struct client waiting, late;
    static const char post[] =
        "POST /v1/webhooks HTTP/1.1\r\nhost: x\r\nauthorization: Bearer " HW_TOKEN_PREFIX
        "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\r\n"
        "content-type: application/json\r\ncontent-length: 30\r\n\r\n{";
    fixture_init(&f);
    f.holds = true;
    client_open(&waiting, &f);
    client_send(&waiting, post);
    AWAIT(&f, f.n_asked == 1);
    f.is_out_of_reach = true;
    expect_unavailable(&waiting);
    client_close(&waiting);
    client_open(&late, &f);
    client_send(&late, post);
    client_send(&late, "\"url\":\"https://example.com/\"} ");
    expect_unavailable(&late);
    CHECK_UINT(f.n_refreshed_tokens, ==, 1);
    client_close(&late);
    hw_loop_arm(&f.loop, &f.answer, 0);
    AWAIT(&f, f.n_asked == 0);
    fixture_close(&f);
}

CASE(over_the_limit_the_one_longest_at_rest_goes)
{
    struct fixture f;
    struct response r;
    struct client c[3];
    fixture_prepare(&f);
    f.options.max_connections = 2;
    fixture_open(&f);
    client_open(&c[0], &f);
    client_open(&c[1], &f);
    client_send(&c[0], "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n");
    client_await(&c[0], &r);
    response_close(&r);
    client_open(&c[2], &f);
    AWAIT(&f, c[1].has_ended);
    CHECK(!c[0].has_ended);
    client_send(&c[2], "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n");
    client_await(&c[2], &r);
    response_close(&r);
    for (int i = 0; i < 3; i++)
        client_close(&c[i]);
    fixture_close(&f);
}

CASE(slow_clients_do_not_lock_others_out)
{
    struct fixture f;
    struct response r;
    struct client slow[2], c;
    fixture_prepare(&f);
    f.options.max_connections = 2;
    fixture_open(&f);
    for (int i = 0; i < 2; i++) {
        client_open(&slow[i], &f);
        client_send(&slow[i], "GET /");
        turn(&f);
    }
    client_open(&c, &f);
    client_send(&c, "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n");
    client_await(&c, &r);
    CHECK_INT(r.status, ==, 200);
    CHECK(slow[0].has_ended && !slow[1].has_ended);
    response_close(&r);
    client_close(&c);
    client_close(&slow[0]);
    client_close(&slow[1]);
    fixture_close(&f);
}

CASE(closing_lets_what_is_under_way_finish)
{
    struct fixture f;
    struct response r;
    struct client busy, idle;
    fixture_init(&f);
    f.holds = true;
    client_open(&idle, &f);
    client_open(&busy, &f);
    client_send(&busy, "GET /v1/webhooks HTTP/1.1\r\nhost: x\r\n" BEARER "\r\n");
    AWAIT(&f, f.n_asked == 1);
    hw_api_close(f.api, on_api_closed, &f);
    AWAIT(&f, idle.has_ended);
    CHECK(!busy.has_ended && !f.api_closed);
    hw_loop_arm(&f.loop, &f.answer, 0);
    client_await(&busy, &r);
    CHECK_INT(r.status, ==, 200);
    CHECK_CONTAINS(r.head, "connection: close");
    response_close(&r);
    AWAIT(&f, f.api_closed);
    client_close(&busy);
    client_close(&idle);
    fixture_close_loop(&f);
}

CASE(closing_lets_what_has_begun_to_arrive_finish)
{
    struct fixture f;
    struct response r;
    struct client c, slow;
    fixture_prepare(&f);
    f.options.drain_ms = 2000;
    fixture_open(&f);
    client_open(&c, &f);
    client_open(&slow, &f);
    client_send(&slow, "GET /heal");
    client_send(&c, "POST /v1/webhooks HTTP/1.1\r\nhost: x\r\n" BEARER
                    "expect: 100-continue\r\ncontent-type: application/json\r\n"
                    "content-length: 30\r\n\r\n");
    client_await(&c, &r);
    CHECK_INT(r.status, ==, 100);
    response_close(&r);
    hw_api_close(f.api, on_api_closed, &f);
    turn(&f);
    client_send(&c, "{\"url\":\"https://example.com/\"} ");
    client_await(&c, &r);
    CHECK_INT(r.status, ==, 201);
    CHECK_CONTAINS(r.head, "connection: close");
    response_close(&r);
    AWAIT(&f, c.has_ended);
    CHECK(!slow.has_ended && !f.api_closed);
    AWAIT(&f, slow.has_ended && f.api_closed);
    client_close(&c);
    client_close(&slow);
    fixture_close_loop(&f);
}

CASE(closing_waits_only_so_long_for_a_client)
{
    struct fixture f;
    struct client c;
    fixture_prepare(&f);
    f.options.drain_ms = 50;
    fixture_open(&f);
    f.holds = true;
    client_open(&c, &f);
    client_send(&c, "GET /v1/webhooks HTTP/1.1\r\nhost: x\r\n" BEARER "\r\n");
    AWAIT(&f, f.n_asked == 1);
    hw_api_close(f.api, on_api_closed, &f);
    AWAIT(&f, c.has_ended);
    CHECK(!f.api_closed); /* the backend still has the question */
    hw_loop_arm(&f.loop, &f.answer, 0);
    AWAIT(&f, f.api_closed);
    client_close(&c);
    fixture_close_loop(&f);
}

/* --- memory --------------------------------------------------------------------------------------------- */

static size_t n_until_failure;
static bool has_failed;

static bool fails(void)
{
    if (n_until_failure == 0 || --n_until_failure > 0)
        return false;
    return has_failed = true;
}

static void *failing_malloc(void *data, size_t n)
{
    (void)data;
    return fails() ? NULL : malloc(n);
}

static void *failing_realloc(void *data, void *p, size_t n)
{
    (void)data;
    return fails() ? NULL : realloc(p, n);
}

static void failing_free(void *data, void *p)
{
    (void)data;
    free(p);
}

/* One whole request, with the n-th allocation failing: an answer or an end, and no leak. */
static bool request_failing_at(size_t n, const char *text, enum hw_backend_result result)
{
    static const struct hw_alloc failing = { failing_malloc, failing_realloc, failing_free,
                                             NULL };
    struct fixture f;
    struct client c;
    fixture_init(&f);
    f.result = result;
    client_open(&c, &f);
    CHECK_INT(hw_buf_reserve(&c.in, 65536), ==, HW_OK); /* the client's part does not fail */
    n_until_failure = n;
    has_failed = false;
    hw_alloc_use(&failing);
    client_send(&c, text);
    AWAIT(&f, c.has_ended || strstr(hw_buf_str(&c.in), "\n{") != NULL);
    hw_alloc_use(NULL);
    client_close(&c);
    fixture_close(&f);
    return has_failed;
}

#define JSON_BODY(n_bytes)                                                                    \
    "content-type: application/json\r\ncontent-length: " n_bytes "\r\n\r\n"

CASE(no_allocation_fails_badly)
{
    static const struct {
        const char *text;
        enum hw_backend_result result;
    } requests[] = {
        { "POST /v1/webhooks HTTP/1.1\r\nhost: x\r\n" BEARER JSON_BODY(
              "56") "{\"url\":\"https://example.com/\",\"headers\":{\"x-a\":\"b\"}}    ",
          HW_BACKEND_OK },
        { "POST /v1/webhooks HTTP/1.1\r\nhost: x\r\nidempotency-key: k\r\n" BEARER JSON_BODY(
              "30") "{\"url\":\"https://example.com/\"} ",
          HW_BACKEND_OK },
        /* Up to the backend, which has no allocations of the API's. */
        { "POST /v1/tokens HTTP/1.1\r\nhost: x\r\n" BEARER JSON_BODY(
              "45") "{\"account\":\"a\",\"scopes\":[\"x\",\"y\"],\"name\":\"n\"}",
          HW_BACKEND_UNAVAILABLE },
        { "PUT /v1/event-types/a HTTP/1.1\r\nhost: x\r\n" BEARER JSON_BODY(
              "31") "{\"group\":\"g\",\"description\":\"d\"}",
          HW_BACKEND_UNAVAILABLE },
        { "GET /v1/webhooks HTTP/1.1\r\nhost: x\r\nauthorization: Bearer " HW_TOKEN_PREFIX
          "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\r\n\r\n",
          HW_BACKEND_OK },
    };
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        size_t n = 1;
        while (request_failing_at(n, requests[i].text, requests[i].result))
            n++;
        CHECK_UINT(n, >, 5);
    }
}
