/* api: backfills, by themselves and with a webhook that is created or made active again. */
#include "api/paging.h"
#include "support/api_fixture.h"

static const char *cursor(const struct fixture *f, unsigned seq)
{
    static char texts[4][HW_CURSOR_MAX];
    static unsigned turn;
    char *text = texts[turn++ % 4];

    hw_feed_cursor_write(f->feed_epoch, (struct hw_stream_id){ 1000, seq }, text);
    return text;
}

HW_PRINTF(1, 2) static const char *body(const char *format, ...)
{
    static char text[600];
    va_list args;

    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return text;
}

/* A webhook of acct_1 that wants order.paid; the path of its backfills. */
static struct hw_webhook *begin(struct fixture *f, char path[128])
{
    struct response r;

    fixture_init(f);
    f->feed_epoch = 7;
    f->trimmed = (struct hw_stream_id){ 1000, 3 };
    request(f, &r, "POST", "/v1/webhooks",
            WITH("\"account\":\"acct_1\",\"event_types\":[\"order.paid\"]"));
    CHECK_INT(r.status, ==, 201);
    response_close(&r);
    snprintf(path, 128, "/v1/webhooks/%s/backfill", f->webhooks[0]->id);
    return f->webhooks[0];
}

static void check_id(struct hw_stream_id id, uint64_t ms, uint64_t seq)
{
    CHECK_UINT(id.ms, ==, ms);
    CHECK_UINT(id.seq, ==, seq);
}

static void expect_expired(struct fixture *f, const char *method, const char *path,
                           const char *asked)
{
    struct response r;

    request(f, &r, method, path, asked);
    check_error(&r, 410, "cursor_expired", NULL);
    CHECK_STR(text_at(&r, "error.details.oldest_cursor"), cursor(f, 3));
    response_close(&r);
}

/* ---- by itself ---- */

CASE(how_many_were_queued_is_answered)
{
    struct fixture f;
    struct response r;
    char path[128];
    struct hw_webhook *wh = begin(&f, path);

    f.n_backfilled = 412;
    request(&f, &r, "POST", path, "{\"from\":\"start\"}");
    CHECK_INT(r.status, ==, 202);
    CHECK_INT(json_integer_value(at(&r, "count")), ==, 412);
    CHECK_UINT(json_object_size(r.json), ==, 1);
    response_close(&r);
    CHECK(f.backfilled.from.is_start);
    CHECK(!f.backfilled.has_until);
    CHECK_NULL(f.backfilled.account);
    CHECK_UINT(strlen(wh->id), >, 0);

    request(&f, &r, "POST", path,
            body("{\"until\":\"%s\",\"from\":\"%s\"}", cursor(&f, 9), cursor(&f, 9)));
    CHECK_INT(r.status, ==, 202);
    response_close(&r);
    CHECK(!f.backfilled.from.is_start);
    check_id(f.backfilled.from.after, 1000, 9);
    CHECK(f.backfilled.has_until);
    check_id(f.backfilled.until, 1000, 9);

    request(&f, &r, "POST", path, body("{\"from\":\"%s\",\"until\":null}", cursor(&f, 1)));
    CHECK_INT(r.status, ==, 202);
    response_close(&r);
    CHECK(!f.backfilled.has_until);
    fixture_close(&f);
}

CASE(a_body_that_breaks_a_rule_is_named)
{
    struct fixture f;
    struct response r;
    char path[128];
    (void)begin(&f, path);
    const struct {
        const char *body, *field;
    } bad[] = {
        { "{}", "from" },
        { "{\"from\":null}", "from" },
        { "{\"from\":1}", "from" },
        { "{\"from\":\"\"}", "from" },
        { "{\"from\":\"disabled\"}", "from" },
        { "{\"from\":\"START\"}", "from" },
        { "{\"from\":\"start\",\"until\":\"start\"}", "until" },
        { "{\"from\":\"start\",\"until\":7}", "until" },
        { "{\"from\":\"start\",\"till\":null}", "till" },
        { "{\"from\":\"start\",\"from\":\"start\"}", "from" },
        { "[]", NULL },
        { "{", NULL },
    };

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        expect_error(&f, "POST", path, bad[i].body, 400, "invalid_request", bad[i].field);
    expect_error(&f, "POST", path,
                 body("{\"from\":\"%s\",\"until\":\"%s\"}", cursor(&f, 9), cursor(&f, 8)), 400,
                 "invalid_request", "until");
    expect_error(&f, "POST", path, "{\"from\":\"AAAA\"}", 400, "invalid_request", "from");
    request_with(&f, &r, TOKEN, "", "POST", path, NULL);
    check_error(&r, 415, "unsupported_media_type", NULL);
    response_close(&r);
    CHECK_UINT(f.n_backfills, ==, 0);
    fixture_close(&f);
}

CASE(what_the_backend_says_of_it_is_passed_on)
{
    struct fixture f;
    struct response r;
    char path[128];
    static const char asked[] = "{\"from\":\"start\"}";

    (void)begin(&f, path);
    f.backfill_result = HW_BACKEND_CONFLICT;
    request(&f, &r, "POST", path, asked);
    check_error(&r, 409, "conflict", NULL);
    CHECK_STR(text_at(&r, "error.message"), "Because.");
    response_close(&r);
    f.backfill_result = HW_BACKEND_EXPIRED;
    expect_expired(&f, "POST", path, asked);
    f.backfill_result = HW_BACKEND_NOT_FOUND;
    expect_error(&f, "POST", path, asked, 404, "not_found", NULL);
    f.backfill_result = HW_BACKEND_UNAVAILABLE;
    expect_error(&f, "POST", path, asked, 503, "unavailable", NULL);
    f.n_backfilled = 5; /* lost sight of in the middle */
    request(&f, &r, "POST", path, asked);
    check_error(&r, 503, "unavailable", NULL);
    CHECK_NOT_NULL(strstr(text_at(&r, "error.message"), "goes on by itself"));
    response_close(&r);
    f.result = HW_BACKEND_UNAVAILABLE; /* when the webhook is looked up */
    expect_error(&f, "POST", path, asked, 503, "unavailable", NULL);
    f.result = HW_BACKEND_OK;
    CHECK_UINT(f.n_backfills, ==, 5);
    expect_error(&f, "POST", "/v1/webhooks/wh_none/backfill", asked, 404, "not_found", NULL);
    CHECK_UINT(f.n_backfills, ==, 5);
    fixture_close(&f);
}

CASE(a_cursor_of_another_redis_is_nowhere)
{
    struct fixture f;
    struct response r;
    char path[128];

    (void)begin(&f, path);
    const char *old = cursor(&f, 9);
    f.feed_epoch++;
    request(&f, &r, "POST", path,
            body("{\"from\":\"%s\",\"until\":\"%s\"}", old, cursor(&f, 1)));
    CHECK_INT(r.status, ==, 202);
    response_close(&r);
    check_id(f.backfilled.from.after, UINT64_MAX, UINT64_MAX);
    request(&f, &r, "POST", path,
            body("{\"from\":\"%s\",\"until\":\"%s\"}", cursor(&f, 1), old));
    CHECK_INT(r.status, ==, 202);
    response_close(&r);
    check_id(f.backfilled.until, UINT64_MAX, UINT64_MAX);
    fixture_close(&f);
}

CASE(it_is_for_who_may_read_what_the_webhook_receives)
{
    struct fixture f;
    struct response r;
    char path[128];
    static const char asked[] = "{\"from\":\"start\"}";
    static const struct {
        const char *account, *scopes, *missing;
        int status;
    } callers[] = {
        { "acct_1", "webhooks:manage orders:read", NULL, 202 },
        { "acct_1", "webhooks:manage events:read", NULL, 202 },
        { "acct_1", "webhooks:manage others:read", "orders:read", 403 },
        { "acct_1", "deliveries:write events:read", "webhooks:manage", 403 },
        { "acct_2", "webhooks:manage events:read", NULL, 404 },
    };

    (void)begin(&f, path);
    give_type(&f, "order.paid", "orders:read");
    for (unsigned i = 0; i < sizeof callers / sizeof callers[0]; i++) {
        give_token(&f, token_text(i), callers[i].account, callers[i].scopes);
        request_as(&f, &r, token_text(i), "POST", path, asked);
        CHECK_INT(r.status, ==, callers[i].status);
        if (callers[i].missing != NULL)
            CHECK_STR(text_at(&r, "error.details.missing_scope"), callers[i].missing);
        response_close(&r);
    }
    CHECK_UINT(f.n_backfills, ==, 2);
    fixture_close(&f);
}

/* ---- with a webhook that is created ---- */

CASE(a_new_webhook_may_begin_with_what_is_kept)
{
    struct fixture f;
    struct response r;
    char path[128];

    (void)begin(&f, path);
    CHECK_INT(f.backfill, ==, HW_BACKFILL_NONE);
    request(&f, &r, "POST", "/v1/webhooks", WITH("\"backfill_from\":\"start\""));
    CHECK_INT(r.status, ==, 201);
    CHECK_NULL(at(&r, "backfill_from"));
    response_close(&r);
    CHECK_INT(f.backfill, ==, HW_BACKFILL_FROM);
    CHECK(f.backfill_from.is_start);
    request(&f, &r, "POST", "/v1/webhooks",
            body(WITH("\"backfill_from\":\"%s\""), cursor(&f, 5)));
    CHECK_INT(r.status, ==, 201);
    response_close(&r);
    CHECK(!f.backfill_from.is_start);
    check_id(f.backfill_from.after, 1000, 5);
    static const char *const bad[] = { "null", "7", "\"\"", "\"disabled\"", "\"begin\"" };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        expect_error(&f, "POST", "/v1/webhooks", body(WITH("\"backfill_from\":%s"), bad[i]),
                     400, "invalid_request", "backfill_from");
    f.result = HW_BACKEND_EXPIRED;
    expect_expired(&f, "POST", "/v1/webhooks", WITH("\"backfill_from\":\"start\""));
    fixture_close(&f);
}

/* ---- with one that is made active ---- */

static void disable(struct hw_webhook *wh)
{
    wh->standing.status = HW_WEBHOOK_DISABLED;
    wh->standing.disabled_cursor = (struct hw_stream_id){ 1000, 4 };
}

CASE(an_enabled_webhook_may_go_on_where_it_was_disabled)
{
    struct fixture f;
    struct response r;
    char path[128];
    const struct {
        const char *asked;
        enum hw_backfill_kind kind;
    } good[] = {
        { "{\"status\":\"active\"}", HW_BACKFILL_NONE },
        { "{\"status\":\"active\",\"backfill_from\":\"disabled\"}", HW_BACKFILL_DISABLED },
        { "{\"backfill_from\":\"start\",\"status\":\"active\"}", HW_BACKFILL_FROM },
    };

    (void)begin(&f, path);
    *strrchr(path, '/') = '\0';
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        disable(f.webhooks[0]);
        request(&f, &r, "PATCH", path, good[i].asked);
        CHECK_INT(r.status, ==, 200);
        CHECK_STR(text_at(&r, "status"), "active");
        response_close(&r);
        CHECK_INT(f.backfill, ==, good[i].kind);
        CHECK_INT(f.backfill_from.is_start, ==, good[i].kind == HW_BACKFILL_FROM);
    }
    disable(f.webhooks[0]);
    request(&f, &r, "PATCH", path,
            body("{\"status\":\"active\",\"backfill_from\":\"%s\"}", cursor(&f, 8)));
    CHECK_INT(r.status, ==, 200);
    response_close(&r);
    check_id(f.backfill_from.after, 1000, 8);
    static const char *const bad[] = { "null", "7", "\"begin\"" };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        expect_error(&f, "PATCH", path,
                     body("{\"status\":\"active\",\"backfill_from\":%s}", bad[i]), 400,
                     "invalid_request", "backfill_from");
    f.result = HW_BACKEND_EXPIRED;
    expect_expired(&f, "PATCH", path, good[1].asked);
    f.result = HW_BACKEND_CONFLICT;
    request(&f, &r, "PATCH", path, good[1].asked);
    check_error(&r, 409, "conflict", NULL);
    CHECK(strstr(text_at(&r, "error.message"), "backfill_from") != NULL);
    response_close(&r);
    fixture_close(&f);
}

CASE(enabling_with_a_backfill_is_for_who_may_read_all_of_it)
{
    struct fixture f;
    struct response r;
    char path[128];

    (void)begin(&f, path);
    *strrchr(path, '/') = '\0';
    give_type(&f, "order.paid", "orders:read");
    give_token(&f, token_text(1), "acct_1", "webhooks:manage others:read");
    disable(f.webhooks[0]);
    request_as(&f, &r, token_text(1), "PATCH", path,
               "{\"status\":\"active\",\"backfill_from\":\"disabled\"}");
    check_error(&r, 403, "forbidden", NULL);
    CHECK_STR(text_at(&r, "error.details.missing_scope"), "orders:read");
    response_close(&r);
    CHECK_INT(f.webhooks[0]->standing.status, ==, HW_WEBHOOK_DISABLED);
    request_as(&f, &r, token_text(1), "PATCH", path, "{\"status\":\"active\"}");
    CHECK_INT(r.status, ==, 200);
    response_close(&r);
    fixture_close(&f);
}
