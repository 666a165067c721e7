/* api/feed, api/follow: the feed by pages, by long poll, and as server-sent events. */
#include "support/api_fixture.h"

#include <malloc.h>

#include "api/paging.h"

#define HEAD(target) "GET " target " HTTP/1.1\r\nhost: x\r\n" BEARER

static const char *cursor_at(const struct fixture *f, uint64_t ms)
{
    static char texts[4][HW_CURSOR_MAX];
    static unsigned n;
    char *text = texts[n++ % 4];
    hw_feed_cursor_write(f->feed_epoch, (struct hw_stream_id){ ms, 0 }, text);
    return text;
}

/* A page of the feed: "ms ms ms" of its events, by their data. */
static const char *listed(const struct response *r)
{
    static char text[1024];
    size_t i, used = 0;
    json_t *event;
    text[0] = '\0';
    json_array_foreach (at(r, "data"), i, event) {
        json_int_t ms = json_integer_value(json_object_get(event, "data"));
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%lld", i ? " " : "", ms);
    }
    return text;
}

static void expect_page_as(struct fixture *f, const char *token, const char *target,
                           const char *events)
{
    struct response r;
    request_as(f, &r, token, "GET", target, NULL);
    if (r.status != 200)
        CHECK_FAIL("status %d: %s", r.status, r.body);
    CHECK_STR(listed(&r), events);
    response_close(&r);
}

static void expect_page(struct fixture *f, const char *target, const char *events)
{
    expect_page_as(f, TOKEN, target, events);
}

static const char *with(const char *target, const char *cursor)
{
    static char text[512];
    snprintf(text, sizeof text, "%s%s", target, cursor);
    return text;
}

/* --- pages ------------------------------------------------------------------------------- */

CASE(events_come_as_they_are_kept_and_each_with_its_cursor)
{
    struct fixture f;
    struct response r;
    char text[512];
    fixture_init(&f);
    feed_add(&f, 5, "order.created", "s\"1", "{\"a\" :  [1.0, \"\\u0041\"]}");
    request(&f, &r, "GET", "/v1/updates", NULL);
    CHECK_INT(r.status, ==, 200);
    CHECK_CONTAINS(r.head, "content-type: application/json\r\n");
    snprintf(text, sizeof text,
             "{\"data\":[{\"id\":\"evt_1\",\"type\":\"order.created\",\"timestamp\":"
             "\"1970-01-01T00:00:00.000Z\",\"account\":\"default\",\"subject\":\"s\\\"1\","
             "\"level\":\"user\",\"data\":{\"a\" :  [1.0, \"\\u0041\"]},\"cursor\":\"%s\"}],"
             "\"next_cursor\":\"%s\",\"has_more\":false}\n",
             cursor_at(&f, 5), cursor_at(&f, 5));
    CHECK_STR(r.body, text);
    response_close(&r);
    fixture_close(&f);
}

CASE(pages_lead_on_and_the_end_stays_where_it_is)
{
    struct fixture f;
    struct response r;
    char cursor[HW_CURSOR_MAX];
    fixture_init(&f);
    for (uint64_t ms = 1; ms <= 5; ms++)
        feed_add(&f, ms, "a", NULL, (char[]){ (char)('0' + ms), '\0' });
    request(&f, &r, "GET", "/v1/updates?limit=3", NULL);
    CHECK_STR(listed(&r), "1 2 3");
    CHECK(json_is_true(at(&r, "has_more")));
    snprintf(cursor, sizeof cursor, "%s", text_at(&r, "next_cursor"));
    response_close(&r);
    request(&f, &r, "GET", with("/v1/updates?limit=3&cursor=", cursor), NULL);
    CHECK_STR(listed(&r), "4 5");
    CHECK(json_is_false(at(&r, "has_more")));
    snprintf(cursor, sizeof cursor, "%s", text_at(&r, "next_cursor"));
    response_close(&r);
    for (int i = 0; i < 2; i++) {
        request(&f, &r, "GET", with("/v1/updates?cursor=", cursor), NULL);
        CHECK_STR(listed(&r), "");
        CHECK_STR(text_at(&r, "next_cursor"), cursor);
        response_close(&r);
    }
    CHECK_UINT(f.last_updates.limit, ==, 50);
    CHECK_UINT(f.last_updates.wait_ms, ==, 0);
    feed_add(&f, 6, "a", NULL, "6");
    expect_page(&f, with("/v1/updates?cursor=", cursor), "6");
    fixture_close(&f);
}

CASE(an_empty_feed_has_a_cursor_too)
{
    struct fixture f;
    struct response r;
    char cursor[HW_CURSOR_MAX];
    fixture_init(&f);
    request(&f, &r, "GET", "/v1/updates", NULL);
    CHECK_INT(r.status, ==, 200);
    snprintf(cursor, sizeof cursor, "%s", text_at(&r, "next_cursor"));
    CHECK_STR(cursor, cursor_at(&f, 0));
    response_close(&r);
    feed_add(&f, 9, "a", NULL, "9");
    expect_page(&f, with("/v1/updates?cursor=", cursor), "9");
    fixture_close(&f);
}

CASE(filters)
{
    struct fixture f;
    fixture_init(&f);
    feed_add(&f, 1, "a", "s", "1");
    feed_add(&f, 2, "a.b", "s\\1\"", "2");
    feed_add(&f, 3, "b", NULL, "3");
    feed_add(&f, 4, "a", "s1", "4");
    expect_page(&f, "/v1/updates?types=a", "1 4");
    expect_page(&f, "/v1/updates?types=b,a.b", "2 3");
    expect_page(&f, "/v1/updates?types=c", "");
    expect_page(&f, "/v1/updates?subject=s", "1");
    expect_page(&f, "/v1/updates?subject=s%5C1%22", "2");
    expect_page(&f, "/v1/updates?subject=s%5C", "");
    expect_page(&f, "/v1/updates?subject=s1&types=a,b", "4");
    expect_page(&f, "/v1/updates?subject=s1&types=b", "");
    expect_page(&f, "/v1/updates?account=acct_2", "1 2 3 4");
    CHECK_STR(f.account, "acct_2");
    fixture_close(&f);
}

CASE(rules_of_the_query)
{
    static const struct {
        const char *query, *field;
    } bad[] = {
        { "limit=0", "limit" },       { "limit=201", "limit" },
        { "limit=x", "limit" },       { "wait=31", "wait" },
        { "wait=-1", "wait" },        { "wait=1.5", "wait" },
        { "wait=", "wait" },          { "cursor=", "cursor" },
        { "cursor=abc", "cursor" },   { "types=", "types" },
        { "types=a,,b", "types" },    { "types=a,", "types" },
        { "types=a%20b", "types" },   { "types=*", "types" },
        { "subject=", "subject" },    { "subject=%C3%A9", "subject" },
        { "subject=%01", "subject" }, { "account=a.b", "account" },
        { "from=start", "from" },     { "types=a&types=b", "types" },
    };
    struct fixture f;
    struct hw_buf long_one;
    char target[256], foreign[HW_CURSOR_MAX];
    fixture_init(&f);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        snprintf(target, sizeof target, "/v1/updates?%s", bad[i].query);
        expect_error(&f, "GET", target, NULL, 400, "invalid_request", bad[i].field);
    }
    hw_cursor_write(HW_CURSOR_WEBHOOKS, HW_SLICE("\0\0\0\0\1"), foreign);
    expect_error(&f, "GET", with("/v1/updates?cursor=", foreign), NULL, 400, "invalid_request",
                 "cursor");
    hw_buf_init(&long_one, 65536);
    hw_buf_appendf(&long_one, "/v1/updates?subject=%0256d", 0);
    expect_page(&f, hw_buf_str(&long_one), "");
    hw_buf_append_char(&long_one, '0');
    expect_error(&f, "GET", hw_buf_str(&long_one), NULL, 400, "invalid_request", "subject");
    hw_buf_reset(&long_one);
    hw_buf_append_str(&long_one, "/v1/updates?types=a");
    for (int i = 1; i < 256; i++)
        hw_buf_append_str(&long_one, ",a");
    expect_page(&f, hw_buf_str(&long_one), "");
    hw_buf_append_str(&long_one, ",a");
    expect_error(&f, "GET", hw_buf_str(&long_one), NULL, 400, "invalid_request", "types");
    hw_buf_close(&long_one);
    CHECK_UINT(f.n_updates, ==, 2);
    fixture_close(&f);
}

/* --- who may read what ------------------------------------------------------------------- */

static void expect_forbidden(struct fixture *f, const char *token, const char *target,
                             const char *scope)
{
    struct response r;
    request_as(f, &r, token, "GET", target, NULL);
    check_error(&r, 403, "forbidden", NULL);
    CHECK_STR(text_at(&r, "error.details.missing_scope"), scope);
    response_close(&r);
}

CASE(a_token_reads_what_its_scopes_let_it)
{
    struct fixture f;
    const char *all = token_text(1), *some = token_text(2), *own = token_text(3);
    fixture_init(&f);
    give_type(&f, "order.paid", "orders:read");
    give_type(&f, "user.left", "users:read");
    give_token(&f, all, "acct_1", "events:read");
    give_token(&f, some, "acct_1", "orders:read");
    give_token(&f, own, "acct_1", "webhooks:manage");
    feed_add(&f, 1, "order.paid", NULL, "1");
    feed_add(&f, 2, "user.left", NULL, "2");
    feed_add(&f, 3, "unknown", NULL, "3");
    feed_add(&f, 4, "webhook.disabled", NULL, "4");
    expect_page_as(&f, all, "/v1/updates", "1 2 3 4");
    CHECK_STR(f.account, "acct_1");
    expect_page_as(&f, some, "/v1/updates", "1");
    expect_page_as(&f, own, "/v1/updates", "4");
    expect_page_as(&f, some, "/v1/updates?types=order.paid", "1");
    expect_forbidden(&f, some, "/v1/updates?types=order.paid,user.left", "users:read");
    expect_forbidden(&f, some, "/v1/updates?types=unknown", "events:read");
    expect_forbidden(&f, some, "/v1/updates?types=webhook.disabled", "webhooks:manage");
    expect_forbidden(&f, some, "/v1/updates/stream?types=unknown", "events:read");
    fixture_close(&f);
}

CASE(a_token_that_reads_nothing_is_refused)
{
    struct fixture f;
    struct response r;
    fixture_init(&f);
    give_token(&f, token_text(1), "acct_1", "deliveries:read orders:read");
    expect_forbidden(&f, token_text(1), "/v1/updates", "events:read");
    expect_forbidden(&f, token_text(1), "/v1/updates/stream", "events:read");
    give_type(&f, "order.paid", "orders:read");
    expect_page_as(&f, token_text(1), "/v1/updates", "");
    request_as(&f, &r, token_text(1), "GET", "/v1/updates?account=acct_2", NULL);
    check_error(&r, 400, "invalid_request", "account");
    response_close(&r);
    fixture_close(&f);
}

CASE(what_may_be_read_is_looked_at_when_the_event_is_there)
{
    struct fixture f;
    struct response r;
    struct client c;
    char text[512];
    fixture_init(&f);
    give_type(&f, "order.paid", "orders:read");
    give_token(&f, token_text(1), "acct_1", "orders:read");
    snprintf(text, sizeof text,
             "GET /v1/updates?wait=30 HTTP/1.1\r\nhost: x\r\nauthorization: Bearer %s\r\n\r\n",
             token_text(1));
    client_open(&c, &f);
    client_send(&c, text);
    AWAIT(&f, f.n_readers == 1);
    give_type(&f, "order.paid", "secret:read");
    feed_add(&f, 1, "order.paid", NULL, "1");
    give_type(&f, "order.sent", "orders:read");
    feed_add(&f, 2, "order.sent", NULL, "2");
    client_await(&c, &r);
    CHECK_STR(listed(&r), "2");
    response_close(&r);
    client_close(&c);
    fixture_close(&f);
}

CASE(who_may_no_longer_read_gets_nothing)
{
    struct fixture f;
    struct response r;
    struct client c;
    char text[512];
    fixture_init(&f);
    give_token(&f, token_text(1), "acct_1", "events:read");
    snprintf(text, sizeof text,
             "GET /v1/updates?wait=30 HTTP/1.1\r\nhost: x\r\nauthorization: Bearer %s\r\n\r\n",
             token_text(1));
    client_open(&c, &f);
    client_send(&c, text);
    AWAIT(&f, f.n_readers == 1);
    CHECK(forget_token(&f, f.stored_tokens[0]->id));
    load_tokens(&f);
    feed_add(&f, 1, "a", NULL, "1");
    client_await(&c, &r);
    check_error(&r, 401, "unauthorized", NULL);
    response_close(&r);
    client_close(&c);
    fixture_close(&f);
}

/* --- what is no longer there ------------------------------------------------------------- */

static void expect_expired(struct fixture *f, const char *target, const char *cursor,
                           uint64_t oldest)
{
    struct response r;
    request(f, &r, "GET", with(target, cursor), NULL);
    check_error(&r, 410, "cursor_expired", NULL);
    CHECK_STR(text_at(&r, "error.details.oldest_cursor"), cursor_at(f, oldest));
    response_close(&r);
}

CASE(a_cursor_before_what_is_kept_is_gone)
{
    static const char *const targets[] = { "/v1/updates?cursor=",
                                           "/v1/updates/stream?cursor=" };
    struct fixture f;
    char old[HW_CURSOR_MAX];
    fixture_init(&f);
    for (uint64_t ms = 1; ms <= 4; ms++)
        feed_add(&f, ms, "a", NULL, "0");
    feed_trim(&f, 2);
    for (size_t i = 0; i < 2; i++) {
        expect_expired(&f, targets[i], cursor_at(&f, 1), 2);
        expect_expired(&f, targets[i], cursor_at(&f, 5), 2); /* of a feed that never was */
    }
    expect_page(&f, with("/v1/updates?cursor=", cursor_at(&f, 2)), "0 0");
    expect_page(&f, "/v1/updates", "0 0");
    /* Redis is emptied, and fills again: the same places are others. */
    snprintf(old, sizeof old, "%s", cursor_at(&f, 3));
    f.feed_epoch++;
    for (size_t i = 0; i < 2; i++)
        expect_expired(&f, targets[i], old, 2);
    CHECK(hw_stream_id_cmp(f.last_updates.from.after, HW_FEED_NOWHERE) == 0);
    expect_page(&f, with("/v1/updates?cursor=", cursor_at(&f, 3)), "0");
    fixture_close(&f);
}

CASE(an_answer_from_another_life_of_redis_is_none)
{
    static const char *const targets[] = { "/v1/updates", "/v1/updates/stream" };
    struct fixture f;
    struct response r;
    struct client c;
    char text[128];
    fixture_init(&f);
    feed_add(&f, 1, "a", NULL, "1");
    for (size_t i = 0; i < 2; i++) {
        f.holds = true;
        client_open(&c, &f);
        snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nhost: x\r\n" BEARER "\r\n",
                 targets[i]);
        client_send(&c, text);
        AWAIT(&f, f.n_readers == 1);
        f.feed_epoch++;
        f.holds = false;
        look_at_feed(&f);
        client_await(&c, &r);
        check_error(&r, 503, "unavailable", NULL);
        response_close(&r);
        client_close(&c);
    }
    fixture_close(&f);
}

/* Another instance gave it out, and this one had not heard yet that there is a new life. */
CASE(a_cursor_of_a_life_that_is_not_known_yet_is_not_called_expired)
{
    static const char *const targets[] = { "/v1/updates?cursor=",
                                           "/v1/updates/stream?cursor=" };
    struct fixture f;
    struct response r;
    struct client c;
    char text[256];
    fixture_init(&f);
    feed_add(&f, 1, "a", NULL, "1");
    for (size_t i = 0; i < 2; i++) {
        f.holds = true;
        client_open(&c, &f);
        f.feed_epoch++;
        snprintf(text, sizeof text, "GET %s%s HTTP/1.1\r\nhost: x\r\n" BEARER "\r\n",
                 targets[i], cursor_at(&f, 1));
        f.feed_epoch--;
        client_send(&c, text);
        AWAIT(&f, f.n_readers == 1);
        f.feed_epoch++;
        f.holds = false;
        look_at_feed(&f);
        client_await(&c, &r);
        check_error(&r, 503, "unavailable", NULL);
        response_close(&r);
        client_close(&c);
    }
    fixture_close(&f);
}

CASE(without_redis_no_page)
{
    struct fixture f;
    fixture_init(&f);
    f.result = HW_BACKEND_UNAVAILABLE;
    expect_error(&f, "GET", "/v1/updates?wait=30", NULL, 503, "unavailable", NULL);
    expect_error(&f, "GET", "/v1/updates/stream", NULL, 503, "unavailable", NULL);
    f.result = HW_BACKEND_FAILED;
    expect_error(&f, "GET", "/v1/updates", NULL, 500, "internal", NULL);
    fixture_close(&f);
}

/* --- waiting ----------------------------------------------------------------------------- */

CASE(a_long_poll_is_answered_when_something_comes)
{
    struct fixture f;
    struct response r;
    struct client c;
    fixture_init(&f);
    client_open(&c, &f);
    client_send(&c, HEAD("/v1/updates?wait=30&types=a") "\r\n");
    AWAIT(&f, f.n_readers == 1);
    CHECK_UINT(f.last_updates.wait_ms, ==, 30000);
    feed_add(&f, 1, "b", NULL, "1");
    turn(&f);
    CHECK_UINT(f.n_readers, ==, 1);
    feed_add(&f, 2, "a", NULL, "2");
    client_await(&c, &r);
    CHECK_STR(listed(&r), "2");
    CHECK_NULL(strstr(r.head, "connection: close"));
    response_close(&r);
    /* The connection goes on, also with another long poll. */
    client_send(&c, HEAD("/v1/updates?wait=1&types=c") "\r\n");
    client_await(&c, &r);
    CHECK_STR(listed(&r), "");
    CHECK_STR(text_at(&r, "next_cursor"), cursor_at(&f, 2)); /* filters advance it */
    response_close(&r);
    client_close(&c);
    CHECK_UINT(f.n_hurried, ==, 0);
    fixture_close(&f);
}

CASE(what_comes_behind_a_long_poll_waits_its_turn)
{
    struct fixture f;
    struct response r;
    struct client c;
    struct hw_buf text;
    fixture_init(&f);
    hw_buf_init(&text, 4 * 1024 * 1024);
    hw_buf_append_str(&text, HEAD("/v1/updates?wait=30") "\r\n");
    for (int i = 0; i < 20000; i++) /* far more than is kept ahead */
        hw_buf_append_str(&text, "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n");
    client_open(&c, &f);
    client_send_bytes(&c, hw_buf_slice(&text));
    AWAIT(&f, f.n_readers == 1);
    for (int i = 0; i < 20; i++)
        turn(&f);
    CHECK_UINT(hw_buf_len(&c.in), ==, 0);
    feed_add(&f, 1, "a", NULL, "1");
    client_await(&c, &r);
    CHECK_STR(listed(&r), "1");
    response_close(&r);
    for (int i = 0; i < 20000; i++) {
        client_await(&c, &r);
        CHECK_INT(r.status, ==, 200);
        response_close(&r);
    }
    client_close(&c);
    hw_buf_close(&text);
    fixture_close(&f);
}

CASE(a_client_that_goes_while_it_waits_is_noticed)
{
    static const char *const heads[] = { HEAD("/v1/updates?wait=30") "\r\n",
                                         HEAD("/v1/updates/stream") "\r\n" };
    struct fixture f;
    struct client c;
    fixture_init(&f);
    for (size_t i = 0; i < 2; i++) {
        client_open(&c, &f);
        client_send(&c, heads[i]);
        AWAIT(&f, f.n_readers == 1 && f.last_updates.wait_ms > 0);
        client_close(&c);
        AWAIT(&f, f.n_hurried == i + 1);
        AWAIT(&f, f.n_readers == 0);
    }
    fixture_close(&f);
}

CASE(a_client_that_goes_while_redis_hangs_is_forgotten)
{
    struct fixture f;
    struct client c;
    fixture_init(&f);
    f.holds = true;
    client_open(&c, &f);
    client_send(&c, HEAD("/v1/updates?wait=30") "\r\n");
    AWAIT(&f, f.n_readers == 1);
    client_close(&c);
    AWAIT(&f, f.n_hurried == 1);
    f.holds = false;
    look_at_feed(&f);
    AWAIT(&f, f.n_readers == 0);
    fixture_close(&f);
}

CASE(a_redis_that_hangs_is_said_when_the_time_is_over)
{
    struct fixture f;
    struct client c, late;
    struct response r;
    fixture_init(&f);
    f.holds = true;
    client_open(&c, &f);
    client_open(&late, &f);
    client_send(&c, HEAD("/v1/updates?wait=1") "\r\n");
    AWAIT(&f, f.n_readers == 1);
    f.is_out_of_reach = true;
    /* No word of the backend; and one that came to nothing. */
    client_await(&c, &r);
    check_error(&r, 503, "unavailable", NULL);
    CHECK_UINT(f.n_hurried, ==, 1);
    response_close(&r);
    f.is_out_of_reach = false;
    client_send(&late, HEAD("/v1/updates?wait=1") "\r\n");
    AWAIT(&f, f.n_readers == 2);
    f.is_out_of_reach = true;
    f.holds = false;
    look_at_feed(&f);
    client_await(&late, &r);
    check_error(&r, 503, "unavailable", NULL);
    response_close(&r);
    AWAIT(&f, f.n_readers == 0);
    client_close(&c);
    client_close(&late);
    fixture_close(&f);
}

CASE(a_redis_that_hangs_is_said_soon_to_who_asks_anew)
{
    struct fixture f;
    struct client c;
    struct response r;
    uint64_t began;
    fixture_init(&f);
    f.holds = true;
    client_open(&c, &f);
    client_send(&c, HEAD("/v1/updates?wait=30") "\r\n");
    AWAIT(&f, f.n_readers == 1);
    began = uv_hrtime();
    f.is_out_of_reach = true;
    client_await(&c, &r);
    check_error(&r, 503, "unavailable", NULL);
    CHECK_UINT((uv_hrtime() - began) / 1000000, <=, 3000);
    CHECK_UINT(f.n_hurried, ==, 1);
    response_close(&r);
    f.holds = false;
    look_at_feed(&f);
    AWAIT(&f, f.n_readers == 0);
    client_close(&c);
    fixture_close(&f);
}

/* One look at a moment when all is well does not end a wait, nor is its end forgotten for it. */
CASE(a_long_wait_goes_on_behind_its_look)
{
    struct fixture f;
    struct client c;
    struct response r;
    uint64_t began = uv_hrtime();
    fixture_init(&f);
    client_open(&c, &f);
    client_send(&c, HEAD("/v1/updates?wait=3") "\r\n");
    AWAIT(&f, f.n_readers == 1);
    f.holds = true; /* no word of the backend at its end */
    while ((uv_hrtime() - began) / 1000000 < 2500)
        turn(&f);
    CHECK_UINT(f.n_readers, ==, 1);
    f.is_out_of_reach = true;
    client_await(&c, &r);
    check_error(&r, 503, "unavailable", NULL);
    CHECK_UINT((uv_hrtime() - began) / 1000000, >=, 3000);
    response_close(&r);
    f.holds = false;
    look_at_feed(&f);
    AWAIT(&f, f.n_readers == 0);
    client_close(&c);
    fixture_close(&f);
}

CASE(closing_answers_those_who_wait)
{
    struct fixture f;
    struct response r;
    struct client poll, stream;
    fixture_prepare(&f);
    f.options.drain_ms = PATIENCE_MS;
    fixture_open(&f);
    client_open(&poll, &f);
    client_open(&stream, &f);
    client_send(&poll, HEAD("/v1/updates?wait=30") "\r\n");
    client_send(&stream, HEAD("/v1/updates/stream") "\r\n");
    AWAIT(&f, f.n_readers == 2 && f.last_updates.wait_ms > 0);
    hw_api_close(f.api, on_api_closed, &f);
    client_await(&poll, &r);
    CHECK_INT(r.status, ==, 200);
    CHECK_CONTAINS(r.head, "connection: close");
    CHECK_STR(text_at(&r, "next_cursor"), cursor_at(&f, 0));
    response_close(&r);
    AWAIT(&f, stream.has_ended && poll.has_ended && f.api_closed);
    client_close(&poll);
    client_close(&stream);
    fixture_close_loop(&f);
}

CASE(none_waits_while_it_closes)
{
    static const char *const targets[] = { "/v1/updates?wait=30", "/v1/updates/stream" };
    for (size_t i = 0; i < 2; i++) {
        struct fixture f;
        struct response r;
        struct client c;
        char text[128];
        fixture_prepare(&f);
        f.options.drain_ms = PATIENCE_MS;
        fixture_open(&f);
        client_open(&c, &f);
        client_send(&c, "GET ");
        turn(&f);
        turn(&f);
        hw_api_close(f.api, on_api_closed, &f);
        snprintf(text, sizeof text, "%s HTTP/1.1\r\nhost: x\r\n" BEARER "\r\n", targets[i]);
        client_send(&c, text);
        client_await(&c, &r);
        CHECK_INT(r.status, ==, 200);
        response_close(&r);
        AWAIT(&f, c.has_ended && f.api_closed);
        client_close(&c);
        fixture_close_loop(&f);
    }
}

CASE(those_who_wait_do_not_lock_others_out)
{
    struct fixture f;
    struct response r;
    struct client waiting[2], c;
    fixture_prepare(&f);
    f.options.max_connections = 2;
    fixture_open(&f);
    for (size_t i = 0; i < 2; i++) {
        client_open(&waiting[i], &f);
        client_send(&waiting[i], i == 0 ? HEAD("/v1/updates/stream") "\r\n"
                                        : HEAD("/v1/updates?wait=30") "\r\n");
        AWAIT(&f, f.n_readers == i + 1 && f.last_updates.wait_ms > 0);
    }
    client_open(&c, &f);
    client_send(&c, "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n");
    client_await(&c, &r);
    CHECK_INT(r.status, ==, 200);
    response_close(&r);
    AWAIT(&f, waiting[0].has_ended);
    CHECK(!waiting[1].has_ended); /* but first of all one at rest is given up */
    client_close(&waiting[0]);
    client_open(&waiting[0], &f);
    AWAIT(&f, c.has_ended);
    CHECK(!waiting[1].has_ended);
    client_close(&c);
    client_close(&waiting[0]);
    client_close(&waiting[1]);
    fixture_close(&f);
}

/* --- server-sent events ------------------------------------------------------------------ */

#define OPENING "retry: 3000\n\n: heartbeat\n\n"

/* Everything up to that text has come, and is taken; the whole, borrowed until the next call. */
static const char *stream_until(struct client *c, const char *text)
{
    static struct hw_buf taken;
    size_t len;
    AWAIT(c->f, strstr(hw_buf_str(&c->in), text) != NULL || c->has_ended);
    CHECK_CONTAINS(hw_buf_str(&c->in), text);
    len = (size_t)(strstr(hw_buf_str(&c->in), text) - hw_buf_str(&c->in)) + strlen(text);
    hw_buf_close(&taken);
    hw_buf_init(&taken, SIZE_MAX);
    hw_buf_append(&taken, hw_buf_slice(&c->in).data, len);
    hw_buf_consume(&c->in, len);
    return hw_buf_str(&taken);
}

/* The text of an event; its record is as feed_add has made it. */
static const char *sse(const struct fixture *f, uint64_t ms, size_t i)
{
    static char text[1024];
    struct hw_slice record = hw_buf_slice(&f->feed[i].record);
    struct hw_record r;
    CHECK(hw_record_read(&r, record));
    snprintf(text, sizeof text, "id: %s\nevent: %.*s\ndata: %.*s\n\n", cursor_at(f, ms),
             HW_SLICE_FMT(r.type), HW_SLICE_FMT(record));
    return text;
}

static void stream_open(struct client *c, struct fixture *f, const char *query,
                        const char *fields)
{
    char text[512];
    client_open(c, f);
    snprintf(text, sizeof text,
             "GET /v1/updates/stream%s HTTP/1.1\r\nhost: x\r\n" BEARER "%s\r\n", query,
             fields);
    client_send(c, text);
    stream_until(c, OPENING);
}

CASE(a_stream_shows_what_is_there_and_what_comes)
{
    struct fixture f;
    struct client c;
    const char *head;
    fixture_init(&f);
    feed_add(&f, 1, "order.created", "s", "{\"a\":\r\n1}");
    client_open(&c, &f);
    client_send(&c, HEAD("/v1/updates/stream") "\r\n");
    head = stream_until(&c, "\r\n\r\n");
    CHECK_CONTAINS(head, "HTTP/1.1 200 OK\r\n");
    CHECK_CONTAINS(head, "\r\ncontent-type: text/event-stream\r\n");
    CHECK_CONTAINS(head, "\r\ncache-control: no-store\r\n");
    CHECK_CONTAINS(head, "\r\nconnection: close\r\n");
    CHECK_CONTAINS(head, "\r\nx-accel-buffering: no\r\n");
    CHECK_NULL(strstr(head, "content-length"));
    CHECK_NULL(strstr(head, "transfer-encoding"));
    CHECK_STR(stream_until(&c, OPENING), OPENING);
    CHECK_STR(stream_until(&c, "\n\n"), sse(&f, 1, 0));
    AWAIT(&f, f.n_readers == 1 && f.last_updates.wait_ms > 0);
    CHECK_UINT(f.last_updates.limit, ==, 100);
    feed_add(&f, 2, "b", NULL, "2");
    feed_add(&f, 3, "c", NULL, "3");
    CHECK_STR(stream_until(&c, "\n\n"), sse(&f, 2, 1));
    CHECK_STR(stream_until(&c, "\n\n"), sse(&f, 3, 2));
    client_close(&c);
    fixture_close(&f);
}

CASE(a_stream_resumes_where_its_client_was)
{
    struct fixture f;
    struct client c;
    char field[256], query[256];
    fixture_init(&f);
    for (uint64_t ms = 1; ms <= 3; ms++)
        feed_add(&f, ms, "a", NULL, "0");
    snprintf(query, sizeof query, "?cursor=%s", cursor_at(&f, 1));
    stream_open(&c, &f, query, "");
    CHECK_STR(stream_until(&c, "\n\n"), sse(&f, 2, 1));
    client_close(&c);
    snprintf(field, sizeof field, "Last-Event-ID: %s\r\n", cursor_at(&f, 2));
    stream_open(&c, &f, query, field);
    CHECK_STR(stream_until(&c, "\n\n"), sse(&f, 3, 2));
    client_close(&c);
    fixture_close(&f);
}

static void expect_stream_refused(struct fixture *f, const char *query, const char *fields,
                                  const char *field)
{
    struct response r;
    char target[512];
    snprintf(target, sizeof target, "/v1/updates/stream%s", query);
    request_with(f, &r, TOKEN, fields, "GET", target, NULL);
    check_error(&r, 400, "invalid_request", field);
    response_close(&r);
}

CASE(what_is_wrong_with_a_stream_is_said_before_its_head)
{
    struct fixture f;
    char fields[512];
    fixture_init(&f);
    expect_stream_refused(&f, "?limit=5", "", "limit");
    expect_stream_refused(&f, "?wait=5", "", "wait");
    expect_stream_refused(&f, "?cursor=x", "", "cursor");
    expect_stream_refused(&f, "?types=", "", "types");
    expect_stream_refused(&f, "?subject=", "", "subject");
    expect_stream_refused(&f, "", "Last-Event-ID: x\r\n", "Last-Event-ID");
    expect_stream_refused(&f, "", "Last-Event-ID:\r\n", "Last-Event-ID");
    snprintf(fields, sizeof fields, "Last-Event-ID: %s\r\nLast-Event-ID: %s\r\n",
             cursor_at(&f, 0), cursor_at(&f, 0));
    expect_stream_refused(&f, "", fields, "Last-Event-ID");
    fixture_close(&f);
}

CASE(head_of_a_stream_is_its_head)
{
    struct fixture f;
    struct response r;
    struct client c;
    fixture_init(&f);
    feed_add(&f, 1, "a", NULL, "1");
    client_open(&c, &f);
    client_send(&c, "HEAD /v1/updates/stream HTTP/1.1\r\nhost: x\r\n" BEARER "\r\n");
    AWAIT(&f, client_take(&c, &r, true));
    CHECK_CONTAINS(r.head, "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n");
    CHECK_NULL(strstr(r.head, "content-length"));
    response_close(&r);
    client_send(&c, "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"); /* it goes on */
    client_await(&c, &r);
    CHECK_STR(r.body, "{\"status\":\"ok\"}\n");
    response_close(&r);
    client_close(&c);
    fixture_close(&f);
}

CASE(a_stream_without_news_has_heartbeats)
{
    struct fixture f;
    struct client c;
    uint64_t began;
    size_t n_updates;
    fixture_prepare(&f);
    f.options.heartbeat_ms = 50;
    fixture_open(&f);
    stream_open(&c, &f, "", "");
    AWAIT(&f, f.n_readers == 1 && f.last_updates.wait_ms > 0);
    n_updates = f.n_updates;
    began = uv_hrtime();
    for (int i = 0; i < 4; i++)
        CHECK_STR(stream_until(&c, "\n\n"), ": heartbeat\n\n");
    CHECK_UINT((uv_hrtime() - began) / 1000000, >=, 150);
    CHECK_UINT(f.n_updates, ==, n_updates); /* they cost the backend nothing */
    client_close(&c);
    fixture_close(&f);
}

/* Or its place would be behind what is kept, in time, where nothing comes that it wants. */
CASE(a_heartbeat_says_where_a_stream_is_that_is_shown_nothing)
{
    struct fixture f;
    struct client c;
    char text[128];
    fixture_prepare(&f);
    f.options.heartbeat_ms = 50;
    fixture_open(&f);
    stream_open(&c, &f, "?types=b", "");
    CHECK_STR(stream_until(&c, "\n\n"), ": heartbeat\n\n");
    feed_add(&f, 5, "a", NULL, "5");
    snprintf(text, sizeof text, ": heartbeat\nid: %s\n\n", cursor_at(&f, 5));
    AWAIT(&f, strcmp(stream_until(&c, "\n\n"), text) == 0);
    CHECK_STR(stream_until(&c, "\n\n"), ": heartbeat\n\n"); /* once */
    feed_add(&f, 6, "b", NULL, "6");
    stream_until(&c, "event: b");
    stream_until(&c, "\n\n");
    CHECK_STR(stream_until(&c, "\n\n"), ": heartbeat\n\n"); /* that was an event's */
    client_close(&c);
    fixture_close(&f);
}

CASE(a_stream_outlives_a_redis_that_is_away)
{
    struct fixture f;
    struct client c;
    size_t n_updates;
    fixture_prepare(&f);
    f.options.heartbeat_ms = 300;
    fixture_open(&f);
    stream_open(&c, &f, "", "");
    AWAIT(&f, f.n_readers == 1 && f.last_updates.wait_ms > 0);
    n_updates = f.n_updates;
    f.result = HW_BACKEND_UNAVAILABLE;
    look_at_feed(&f);
    AWAIT(&f, f.n_readers == 0);
    CHECK_STR(stream_until(&c, "\n\n"), ": heartbeat\n\n");
    AWAIT(&f, f.n_updates > n_updates);
    CHECK_STR(stream_until(&c, "\n\n"), ": heartbeat\n\n");
    f.result = HW_BACKEND_OK;
    feed_add(&f, 1, "a", NULL, "1");
    stream_until(&c, "data: ");
    CHECK_CONTAINS(stream_until(&c, "\n\n"), "\"data\":1}");
    client_close(&c);
    fixture_close(&f);
}

static void expect_end(struct client *c, const char *code, const char *oldest)
{
    const char *text;
    json_t *body, *error;
    CHECK_STR(stream_until(c, "data: "), "event: error\ndata: ");
    text = stream_until(c, "\n\n");
    body = json_loads(text, 0, NULL);
    error = json_object_get(body, "error");
    CHECK_STR(json_string_value(json_object_get(error, "code")), code);
    CHECK_STR(
        json_string_value(json_object_get(json_object_get(error, "details"), "oldest_cursor")),
        oldest);
    json_decref(body);
    AWAIT(c->f, c->has_ended);
    CHECK_UINT(hw_buf_len(&c->in), ==, 0);
}

CASE(a_stream_that_was_overtaken_ends)
{
    struct fixture f;
    struct client c;
    fixture_init(&f);
    stream_open(&c, &f, "", "");
    AWAIT(&f, f.n_readers == 1 && f.last_updates.wait_ms > 0);
    f.holds = true;
    feed_add(&f, 1, "a", NULL, "1");
    feed_trim(&f, 1);
    f.holds = false;
    look_at_feed(&f);
    expect_end(&c, "cursor_expired", cursor_at(&f, 1));
    client_close(&c);
    fixture_close(&f);
}

CASE(a_stream_does_not_go_on_in_another_life_of_redis)
{
    struct fixture f;
    struct client c;
    fixture_init(&f);
    feed_add(&f, 1, "a", NULL, "1");
    stream_open(&c, &f, "", "");
    stream_until(&c, "\"data\":1}\n\n");
    AWAIT(&f, f.n_readers == 1 && f.last_updates.wait_ms > 0);
    f.feed_epoch++;
    feed_add(&f, 2, "a", NULL, "2");
    expect_end(&c, "cursor_expired", cursor_at(&f, 0));
    client_close(&c);
    fixture_close(&f);
}

CASE(a_stream_ends_with_its_token)
{
    struct fixture f;
    struct client c;
    char text[256];
    fixture_prepare(&f);
    f.options.heartbeat_ms = 100;
    fixture_open(&f);
    for (int is_news = 0; is_news < 2; is_news++) {
        give_token(&f, token_text(1), "default", "events:read");
        snprintf(
            text, sizeof text,
            "GET /v1/updates/stream HTTP/1.1\r\nhost: x\r\nauthorization: Bearer %s\r\n\r\n",
            token_text(1));
        client_open(&c, &f);
        client_send(&c, text);
        stream_until(&c, OPENING);
        AWAIT(&f, f.n_readers == 1 && f.last_updates.wait_ms > 0);
        CHECK(forget_token(&f, f.stored_tokens[0]->id));
        load_tokens(&f);
        if (is_news) /* it is told nothing of that any more */
            feed_add(&f, 1, "a", NULL, "1");
        stream_until(&c, "event: ");
        CHECK_CONTAINS(stream_until(&c, "\n\n"),
                       "error\ndata: {\"error\":{\"code\":\"unauthorized\"");
        AWAIT(&f, c.has_ended && f.n_readers == 0);
        client_close(&c);
    }
    fixture_close(&f);
}

/* A record of that many bytes, about. */
static void feed_add_large(struct fixture *f, uint64_t ms, size_t n_bytes)
{
    char *data = hw_malloc(n_bytes + 3);
    memset(data, 'x', n_bytes + 2);
    data[0] = data[n_bytes + 1] = '"';
    data[n_bytes + 2] = '\0';
    feed_add(f, ms, "a", NULL, data);
    hw_free(data);
}

CASE(a_reader_that_takes_nothing_is_cut_off)
{
    struct fixture f;
    struct client c;
    size_t n_updates;
    fixture_prepare(&f);
    f.options.request_timeout_ms = 300;
    f.options.heartbeat_ms = 50;
    fixture_open(&f);
    stream_open(&c, &f, "", "");
    hw_stream_read_stop(&c.stream);
    for (uint64_t ms = 1; ms <= 30; ms++)
        feed_add_large(&f, ms, 1024 * 1024);
    AWAIT(&f, f.n_readers == 0); /* it has more than the sockets take */
    n_updates = f.n_updates;
    for (uint64_t until = uv_hrtime() + 600000000u; uv_hrtime() < until;)
        turn(&f);
    CHECK_UINT(f.n_updates, ==, n_updates);
    hw_stream_read_start(&c.stream);
    AWAIT(&f, c.has_ended);
    CHECK_UINT(hw_buf_len(&c.in), <, 20u * 1024 * 1024);
    client_close(&c);
    fixture_close(&f);
}

CASE(a_slow_reader_gets_each_event_once)
{
    struct fixture f;
    struct client c;
    fixture_init(&f);
    stream_open(&c, &f, "", "");
    hw_stream_read_stop(&c.stream);
    for (uint64_t ms = 1; ms <= 30; ms++)
        feed_add_large(&f, ms, ms % 3 == 0 ? 20 * 1024 : 1024 * 1024);
    AWAIT(&f, f.n_readers == 0);
    hw_stream_read_start(&c.stream);
    for (uint64_t ms = 1; ms <= 30; ms++) {
        char id[256];
        snprintf(id, sizeof id, "id: %s\nevent: a\ndata: ", cursor_at(&f, ms));
        CHECK_STR(stream_until(&c, "data: "), id);
        CHECK_UINT(strlen(stream_until(&c, "\n\n")), ==,
                   hw_buf_len(&f.feed[ms - 1].record) + 2);
    }
    AWAIT(&f, f.n_readers == 1);
    CHECK_UINT(hw_buf_len(&c.in), ==, 0);
    client_close(&c);
    fixture_close(&f);
}

CASE(what_a_client_says_behind_its_stream_is_thrown_away)
{
    struct fixture f;
    struct client c;
    fixture_init(&f);
    stream_open(&c, &f, "", "");
    for (int i = 0; i < 10; i++) {
        char bytes[65536];
        memset(bytes, 'x', sizeof bytes);
        client_send_bytes(&c, hw_slice(bytes, sizeof bytes));
        turn(&f);
    }
    AWAIT(&f, hw_stream_queued(&c.stream) == 0);
    feed_add(&f, 1, "a", NULL, "1");
    stream_until(&c, "\"data\":1}\n\n");
    client_close(&c);
    fixture_close(&f);
}

CASE(a_stream_is_counted_when_it_begins)
{
    struct fixture f;
    struct response r;
    struct client c;
    fixture_prepare(&f);
    f.options.rate_per_s = 1;
    fixture_open(&f);
    stream_open(&c, &f, "", "");
    feed_add(&f, 1, "a", NULL, "1");
    feed_add(&f, 2, "a", NULL, "2");
    request(&f, &r, "GET", "/metrics", NULL);
    CHECK_CONTAINS(r.body, "{route=\"GET /v1/updates/stream\",status=\"200\"} 1\n");
    response_close(&r);
    client_close(&c);
    AWAIT(&f, f.n_readers == 0);
    request(&f, &r, "GET", "/metrics", NULL);
    CHECK_CONTAINS(r.body, "{route=\"GET /v1/updates/stream\",status=\"200\"} 1\n");
    response_close(&r);
    fixture_close(&f);
}

/* --- memory ------------------------------------------------------------------------------ */

static size_t n_until_failure, n_bytes_held;
static bool has_failed;

static bool fails(void)
{
    if (n_until_failure == 0 || --n_until_failure > 0)
        return false;
    return has_failed = true;
}

static void *own_realloc(void *data, void *p, size_t n)
{
    (void)data;
    if (fails())
        return NULL;
    n_bytes_held -= malloc_usable_size(p);
    p = realloc(p, n);
    n_bytes_held += malloc_usable_size(p);
    return p;
}

static void *own_malloc(void *data, size_t n)
{
    return own_realloc(data, NULL, n);
}

static void own_free(void *data, void *p)
{
    (void)data;
    n_bytes_held -= malloc_usable_size(p);
    free(p);
}

static const struct hw_alloc own = { own_malloc, own_realloc, own_free, NULL };

/* With the n-th allocation failing: an answer or an end, and no leak. */
static bool request_failing_at(size_t n, const char *text, const char *enough)
{
    struct fixture f;
    struct client c;
    fixture_init(&f);
    feed_add(&f, 1, "a", NULL, "1");
    client_open(&c, &f);
    CHECK_INT(hw_buf_reserve(&c.in, 65536), ==, HW_OK); /* the client's part does not fail */
    n_until_failure = n;
    has_failed = false;
    hw_alloc_use(&own);
    client_send(&c, text);
    AWAIT(&f, c.has_ended || strstr(hw_buf_str(&c.in), enough) != NULL ||
                  strstr(hw_buf_str(&c.in), "\n{\"error\"") != NULL);
    hw_alloc_use(NULL);
    client_close(&c);
    fixture_close(&f);
    return has_failed;
}

CASE(no_allocation_fails_badly)
{
    static const struct {
        const char *text, *enough;
    } requests[] = {
        { HEAD("/v1/updates?wait=1&types=a") "\r\n", "\"has_more\"" },
        { HEAD("/v1/updates/stream") "\r\n", "\"data\":1}\n\n" },
    };
    for (size_t i = 0; i < sizeof requests / sizeof requests[0]; i++) {
        size_t n = 1;
        while (request_failing_at(n, requests[i].text, requests[i].enough))
            n++;
        CHECK_UINT(n, >, 5);
    }
}

/* What the API holds for a client that waits, of the 20 KiB that the engine may. */
CASE(a_client_that_waits_costs_little)
{
    enum { CLIENTS = 20, LIMIT_BYTES = 8 * 1024 };
    static const char *const heads[] = { HEAD("/v1/updates?wait=30&types=b") "\r\n",
                                         HEAD("/v1/updates/stream?types=b") "\r\n" };
    for (size_t i = 0; i < 2; i++) {
        struct fixture f;
        struct client c[CLIENTS];
        fixture_init(&f);
        feed_add_large(&f, 1, 100 * 1024);
        n_until_failure = n_bytes_held = 0;
        hw_alloc_use(&own);
        for (size_t k = 0; k < CLIENTS; k++) {
            client_open(&c[k], &f);
            client_send(&c[k], heads[i]);
            AWAIT(&f, f.n_readers == k + 1 && f.last_updates.wait_ms > 0);
            AWAIT(&f, i == 0 || hw_buf_len(&c[k].in) > 0);
            hw_buf_close(&c[k].in);
        }
        CHECK_UINT(n_bytes_held / CLIENTS, <, LIMIT_BYTES);
        hw_alloc_use(NULL);
        for (int k = 0; k < CLIENTS; k++)
            client_close(&c[k]);
        fixture_close(&f);
    }
}
