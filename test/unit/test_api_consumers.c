/* api/consumers: pull, look, acknowledge, list, delete. */
#include "support/api_fixture.h"

#include "api/paging.h"

#define READER "events:read"

static const char *cursor_at(const struct fixture *f, uint64_t ms)
{
    static char texts[4][HW_CURSOR_MAX];
    static unsigned n;
    char *text = texts[n++ % 4];
    hw_feed_cursor_write(f->feed_epoch, (struct hw_stream_id){ ms, 0 }, text);
    return text;
}

static const char *with(const char *target, const char *cursor)
{
    static char text[512];
    snprintf(text, sizeof text, "%s%s", target, cursor);
    return text;
}

static const char *up_to(const char *cursor)
{
    static char body[512];
    snprintf(body, sizeof body, "{\"cursor\":\"%s\"}", cursor);
    return body;
}

static void expect(struct fixture *f, const char *method, const char *target, const char *body,
                   int status, const char *text)
{
    struct response r;
    request(f, &r, method, target, body);
    if (r.status != status)
        CHECK_FAIL("status %d instead of %d: %s", r.status, status, r.body);
    CHECK_STR(r.body, text);
    response_close(&r);
}

static void expect_status(struct fixture *f, const char *token, const char *method,
                          const char *target, int status)
{
    struct response r;
    request_as(f, &r, token, method, target, NULL);
    if (r.status != status)
        CHECK_FAIL("status %d instead of %d: %s", r.status, status, r.body);
    response_close(&r);
}

#define PULL    "/v1/consumers/c/events"
#define PENDING "/v1/consumers/c/pending"
#define ACK     "/v1/consumers/c/ack"
#define NONE    "{\"data\":[],\"has_more\":false}\n"

/* --- pull --------------------------------------------------------------------------------- */

CASE(what_is_pulled_is_shown_as_in_the_feed)
{
    struct fixture f;
    struct response pulled, listed;
    fixture_init(&f);
    feed_add(&f, 5, "a.b", NULL, "{\"a\" :  [1.0]}");
    feed_add(&f, 6, "a.b", "s", "2");
    f.has_more = true;
    request(&f, &pulled, "GET", PULL, NULL);
    request(&f, &listed, "GET", "/v1/updates", NULL);
    CHECK_INT(pulled.status, ==, 200);
    CHECK_CONTAINS(pulled.head, "content-type: application/json\r\n");
    CHECK(json_equal(at(&pulled, "data"), at(&listed, "data")));
    CHECK(json_is_true(at(&pulled, "has_more")));
    CHECK_INT(json_object_size(pulled.json), ==, 2);
    CHECK_CONTAINS(pulled.body, "\"data\":{\"a\" :  [1.0]},\"cursor\":\"");
    response_close(&pulled);
    response_close(&listed);
    fixture_close(&f);
}

CASE(what_is_asked_of_a_pull_reaches_the_backend)
{
    struct fixture f;
    fixture_init(&f);
    expect(&f, "GET", PULL, NULL, 200, NONE);
    CHECK_STR(f.consumer, "default c");
    CHECK_UINT(f.pulled.limit, ==, 50);
    CHECK_UINT(f.pulled.visibility_ms, ==, 30000);
    CHECK(f.pulled.from.is_start);
    CHECK(f.pulled.readable.otherwise);
    CHECK_UINT(f.pulled.readable.n_names, ==, 0);
    f.feed_epoch = 9;
    expect(
        &f, "GET",
        with("/v1/consumers/A-b_9/events?limit=200&visibility_seconds=43200&account=a&from=",
             cursor_at(&f, 77)),
        NULL, 200, NONE);
    CHECK_STR(f.consumer, "a A-b_9");
    CHECK_UINT(f.pulled.limit, ==, 200);
    CHECK_UINT(f.pulled.visibility_ms, ==, 43200000);
    CHECK(!f.pulled.from.is_start);
    CHECK_UINT(f.pulled.from.after.ms, ==, 77);
    expect(&f, "GET", PULL "?visibility_seconds=1&limit=1", NULL, 200, NONE);
    CHECK_UINT(f.pulled.visibility_ms, ==, 1000);
    CHECK_UINT(f.pulled.limit, ==, 1);
    fixture_close(&f);
}

CASE(a_place_of_another_redis_is_nowhere)
{
    struct fixture f;
    struct response r;
    const char *cursor;
    fixture_init(&f);
    cursor = cursor_at(&f, 5);
    f.feed_epoch = 2;
    expect(&f, "GET", with(PULL "?from=", cursor), NULL, 200, NONE);
    CHECK_INT(hw_stream_id_cmp(f.pulled.from.after, HW_FEED_NOWHERE), ==, 0);
    f.trimmed = (struct hw_stream_id){ 4, 0 };
    f.result = HW_BACKEND_EXPIRED;
    request(&f, &r, "GET", with(PULL "?from=", cursor), NULL);
    check_error(&r, 410, "cursor_expired", NULL);
    CHECK_STR(text_at(&r, "error.details.oldest_cursor"), cursor_at(&f, 4));
    response_close(&r);
    /* Nothing that is out was out in that one. */
    f.result = HW_BACKEND_OK;
    request(&f, &r, "GET", with(PENDING "?cursor=", cursor), NULL);
    check_error(&r, 410, "cursor_expired", NULL);
    CHECK_STR(text_at(&r, "error.details.oldest_cursor"), cursor_at(&f, 0));
    response_close(&r);
    f.result = HW_BACKEND_NOT_FOUND;
    expect_error(&f, "GET", with(PENDING "?cursor=", cursor), NULL, 404, "not_found", NULL);
    fixture_close(&f);
}

CASE(a_head_takes_nothing)
{
    struct fixture f;
    struct client c;
    struct response r;
    fixture_init(&f);
    client_open(&c, &f);
    client_send(&c, "HEAD " PULL " HTTP/1.1\r\nhost: x\r\n" BEARER "\r\n");
    AWAIT(&f, client_take(&c, &r, true));
    CHECK_INT(r.status, ==, 200);
    CHECK_STR(f.consumer, "");
    response_close(&r);
    client_close(&c);
    fixture_close(&f);
}

CASE(parameters_of_consumers_are_checked)
{
    static const struct {
        const char *target, *field;
    } bad[] = {
        { PULL "?limit=0", "limit" },
        { PULL "?limit=201", "limit" },
        { PULL "?visibility_seconds=0", "visibility_seconds" },
        { PULL "?visibility_seconds=43201", "visibility_seconds" },
        { PULL "?visibility_seconds=x", "visibility_seconds" },
        { PULL "?from=x", "from" },
        { PULL "?cursor=x", "cursor" },
        { PULL "?account=a%20b", "account" },
        { PENDING "?limit=0", "limit" },
        { PENDING "?cursor=x", "cursor" },
        { PENDING "?visibility_seconds=1", "visibility_seconds" },
        { "/v1/consumers/a.b/events", "name" },
        { "/v1/consumers/a%20b/pending", "name" },
        { "/v1/consumers/"
          "a1234567890123456789012345678901234567890123456789012345678901234/events",
          "name" },
        { "/v1/consumers?limit=1", "limit" },
    };
    struct fixture f;
    fixture_init(&f);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        expect_error(&f, "GET", bad[i].target, NULL, 400, "invalid_request", bad[i].field);
    expect_error(&f, "DELETE", "/v1/consumers/a.b", NULL, 400, "invalid_request", "name");
    expect_error(&f, "POST", "/v1/consumers/a.b/ack", "{\"event_ids\":[\"a\"]}", 400,
                 "invalid_request", "name");
    CHECK_STR(f.consumer, "");
    fixture_close(&f);
}

CASE(an_account_is_full_of_consumers)
{
    struct fixture f;
    struct response r;
    fixture_init(&f);
    f.result = HW_BACKEND_LIMIT;
    request(&f, &r, "GET", PULL, NULL);
    check_error(&r, 409, "limit_exceeded", NULL);
    CHECK_CONTAINS(r.body, "\"details\":{\"limit\":100}");
    response_close(&r);
    fixture_close(&f);
}

CASE(redis_refuses_what_consumers_ask)
{
    struct fixture f;
    fixture_init(&f);
    f.result = HW_BACKEND_UNAVAILABLE;
    expect_error(&f, "GET", PULL, NULL, 503, "unavailable", NULL);
    expect_error(&f, "GET", PENDING, NULL, 503, "unavailable", NULL);
    expect_error(&f, "POST", ACK, "{\"event_ids\":[\"a\"]}", 503, "unavailable", NULL);
    expect_error(&f, "GET", "/v1/consumers", NULL, 503, "unavailable", NULL);
    expect_error(&f, "DELETE", "/v1/consumers/c", NULL, 503, "unavailable", NULL);
    fixture_close(&f);
}

/* --- who may ------------------------------------------------------------------------------- */

CASE(who_may_read_nothing_has_no_consumers)
{
    static const char *const targets[] = { "/v1/consumers", PULL, PENDING };
    struct fixture f;
    struct response r;
    fixture_init(&f);
    give_type(&f, "order.created", "orders");
    give_token(&f, token_text(1), "a", "deliveries:read events:write");
    give_token(&f, token_text(2), "a", "orders");
    for (size_t i = 0; i < 3; i++) {
        request_as(&f, &r, token_text(1), "GET", targets[i], NULL);
        check_error(&r, 403, "forbidden", NULL);
        CHECK_STR(text_at(&r, "error.details.missing_scope"), "events:read");
        response_close(&r);
        expect_status(&f, token_text(2), "GET", targets[i], 200);
    }
    expect_status(&f, token_text(1), "DELETE", "/v1/consumers/c", 403);
    request_as(&f, &r, token_text(1), "POST", ACK, "{\"event_ids\":[\"a\"]}");
    check_error(&r, 403, "forbidden", NULL);
    response_close(&r);
    expect_status(&f, token_text(2), "DELETE", "/v1/consumers/c", 204);
    fixture_close(&f);
}

CASE(a_narrow_token_s_types_reach_the_backend)
{
    struct fixture f;
    fixture_init(&f);
    give_type(&f, "order.created", "orders");
    give_type(&f, "order.paid", "money");
    give_type(&f, "order.plain", NULL);
    give_token(&f, token_text(1), "a", "money webhooks:manage");
    expect_status(&f, token_text(1), "GET", PULL, 200);
    CHECK(!f.pulled.readable.otherwise);
    CHECK_STR(f.consumer, "a c webhook.disabled order.paid");
    expect_status(&f, token_text(1), "GET", PENDING, 200);
    CHECK(!f.outstanding.readable.otherwise);
    CHECK_STR(f.consumer, "a c webhook.disabled order.paid");
    expect_status(&f, token_text(1), "GET", PULL "?account=b", 400);
    fixture_close(&f);
}

/* --- pending ------------------------------------------------------------------------------- */

CASE(pending_comes_by_pages)
{
    struct fixture f;
    struct response r;
    fixture_init(&f);
    expect(&f, "GET", PENDING, NULL, 200,
           "{\"data\":[],\"has_more\":false,\"next_cursor\":null}\n");
    CHECK_STR(f.consumer, "default c");
    CHECK_UINT(f.outstanding.limit, ==, 50);
    CHECK_UINT(f.outstanding.after.ms, ==, 0);
    feed_add(&f, 5, "a.b", NULL, "1");
    feed_add(&f, 6, "a.b", NULL, "2");
    f.has_more = true;
    request(&f, &r, "GET", with(PENDING "?limit=2&account=b&cursor=", cursor_at(&f, 3)), NULL);
    CHECK_INT(r.status, ==, 200);
    CHECK_STR(f.consumer, "b c");
    CHECK_UINT(f.outstanding.limit, ==, 2);
    CHECK_UINT(f.outstanding.after.ms, ==, 3);
    CHECK_INT(json_array_size(at(&r, "data")), ==, 2);
    CHECK(json_is_true(at(&r, "has_more")));
    CHECK_STR(text_at(&r, "next_cursor"), cursor_at(&f, 6));
    response_close(&r);
    fixture_close(&f);
}

/* --- ack ----------------------------------------------------------------------------------- */

CASE(acknowledgements_reach_the_backend)
{
    struct fixture f;
    fixture_init(&f);
    expect(&f, "POST", ACK, "{\"event_ids\":[\"a\",\"b\",\"a\",\"\"]}", 200,
           "{\"acknowledged\":4}\n");
    CHECK_STR(f.consumer, "default c a b a ");
    expect(&f, "POST", ACK "?account=x", up_to(cursor_at(&f, 8)), 200,
           "{\"acknowledged\":7}\n");
    CHECK_STR(f.consumer, "x c");
    CHECK_UINT(f.acknowledged.cursor.ms, ==, 8);
    CHECK_NULL(f.acknowledged.event_ids);
    fixture_close(&f);
}

CASE(the_body_of_an_acknowledgement_is_checked)
{
    static const struct {
        const char *body, *field;
    } bad[] = {
        { "{}", "event_ids" },
        { "{\"event_ids\":[\"a\"],\"cursor\":\"b\"}", "event_ids" },
        { "{\"event_ids\":[]}", "event_ids" },
        { "{\"event_ids\":\"a\"}", "event_ids" },
        { "{\"event_ids\":null}", "event_ids" },
        { "{\"event_ids\":[1]}", "event_ids" },
        { "{\"event_ids\":[\"a\",null]}", "event_ids" },
        { "{\"cursor\":\"x\"}", "cursor" },
        { "{\"cursor\":7}", "cursor" },
        { "{\"cursor\":null}", "cursor" },
        { "{\"event_ids\":[\"a\"],\"all\":true}", "all" },
    };
    struct fixture f;
    struct response r;
    struct hw_buf many;
    fixture_init(&f);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        expect_error(&f, "POST", ACK, bad[i].body, 400, "invalid_request", bad[i].field);
    request_with(&f, &r, TOKEN, "content-type: text/plain\r\n", "POST", ACK, NULL);
    CHECK_INT(r.status, ==, 415);
    response_close(&r);
    hw_buf_init(&many, 100000);
    for (int i = 0; i < 1001; i++)
        hw_buf_appendf(&many, "%s\"e%d\"", i ? "," : "{\"event_ids\":[", i);
    hw_buf_append_str(&many, "]}");
    expect_error(&f, "POST", ACK, hw_buf_str(&many), 400, "invalid_request", "event_ids");
    CHECK_STR(f.consumer, "");
    hw_buf_cut(&many, hw_buf_len(&many) - strlen(",\"e1000\"]}"));
    hw_buf_append_str(&many, "]}");
    expect(&f, "POST", ACK, hw_buf_str(&many), 200, "{\"acknowledged\":1000}\n");
    hw_buf_close(&many);
    fixture_close(&f);
}

CASE(an_acknowledgement_finds_nothing)
{
    struct fixture f;
    struct response r;
    fixture_init(&f);
    f.result = HW_BACKEND_NOT_FOUND;
    expect_error(&f, "POST", ACK, "{\"event_ids\":[\"a\"]}", 404, "not_found", NULL);
    f.result = HW_BACKEND_EXPIRED;
    f.trimmed = (struct hw_stream_id){ 9, 0 };
    request(&f, &r, "POST", ACK, up_to(cursor_at(&f, 8)));
    check_error(&r, 410, "cursor_expired", NULL);
    CHECK_STR(text_at(&r, "error.details.oldest_cursor"), cursor_at(&f, 9));
    response_close(&r);
    fixture_close(&f);
}

/* --- list, delete -------------------------------------------------------------------------- */

CASE(consumers_are_listed)
{
    struct fixture f;
    char text[1024];
    fixture_init(&f);
    f.consumers[0] = (struct hw_backend_consumer){ .name = "c",
                                                   .position = { 5, 0 },
                                                   .lag = 4,
                                                   .handed_out = 3,
                                                   .skipped = 2,
                                                   .created_ms = 1773057600000 };
    f.consumers[1] = (struct hw_backend_consumer){ .name = "d", .created_ms = 1 };
    f.n_consumers = 2;
    snprintf(text, sizeof text,
             "{\"data\":[{\"object\":\"consumer\",\"name\":\"c\",\"account\":\"a\","
             "\"position\":\"%s\",\"lag\":4,\"handed_out\":3,\"skipped\":2,"
             "\"created_at\":\"2026-03-09T12:00:00.000Z\"},"
             "{\"object\":\"consumer\",\"name\":\"d\",\"account\":\"a\",\"position\":\"%s\","
             "\"lag\":0,\"handed_out\":0,\"skipped\":0,"
             "\"created_at\":\"1970-01-01T00:00:00.001Z\"}]}\n",
             cursor_at(&f, 5), cursor_at(&f, 0));
    expect(&f, "GET", "/v1/consumers?account=a", NULL, 200, text);
    CHECK_STR(f.consumer, "a ");
    f.n_consumers = 0;
    expect(&f, "GET", "/v1/consumers", NULL, 200, "{\"data\":[]}\n");
    CHECK_STR(f.consumer, "default ");
    fixture_close(&f);
}

CASE(a_consumer_is_deleted)
{
    struct fixture f;
    fixture_init(&f);
    expect(&f, "DELETE", "/v1/consumers/c?account=a", NULL, 204, "");
    CHECK_STR(f.consumer, "a c");
    f.result = HW_BACKEND_NOT_FOUND;
    expect_error(&f, "DELETE", "/v1/consumers/c", NULL, 404, "not_found", NULL);
    expect_error(&f, "GET", "/v1/consumers/c", NULL, 405, "method_not_allowed", NULL);
    fixture_close(&f);
}
