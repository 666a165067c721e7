/* api: deliveries made again, and who sees what was sent. */
#include "support/api_fixture.h"

#define RECORD_HEAD                                                                           \
    "{\"id\":\"evt_1\",\"type\":\"order.paid\",\"timestamp\":\"2026-03-09T12:00:00.000Z\","   \
    "\"account\":\"acct_1\",\"level\":\"user\",\"data\":"

static const char *path_of(const char *folder, const char *id, const char *action)
{
    static char path[160];

    snprintf(path, sizeof path, "/v1/%s/%s%s", folder, id, action);
    return path;
}

/* A webhook of acct_1, and a delivery to it that can be looked at. */
static struct hw_webhook *begin(struct fixture *f)
{
    struct response r;

    fixture_init(f);
    request(f, &r, "POST", "/v1/webhooks", WITH("\"account\":\"acct_1\""));
    CHECK_INT(r.status, ==, 201);
    response_close(&r);
    f->inspected = (struct hw_backend_inspect){
        .found = { .w = 1,
                   .n = 7,
                   .account = "acct_1",
                   .webhook_id = f->webhooks[0]->id,
                   .history = { .stamp_us = 1700000000000000,
                                .event_id = HW_SLICE("evt_1"),
                                .event_type = HW_SLICE("order.paid"),
                                .status = HW_STATUS_DELIVERING,
                                .created_ms = 1700000000000 } },
        .webhook = f->webhooks[0],
        .record = HW_SLICE(RECORD_HEAD "{\"card\":\"4242\"}}"),
    };
    return f->webhooks[0];
}

static const char *delivery_id(void)
{
    static char id[HW_ID_MAX];

    hw_id_delivery(1, 7, id);
    return id;
}

static void add_token(struct fixture *f, unsigned i, const char *account, const char *scopes)
{
    store_token(f, a_token(token_text(i), account, scopes));
    load_tokens(f);
}

/* ---- test ---- */

CASE(a_test_answers_with_its_delivery)
{
    struct fixture f;
    struct response r;
    struct hw_webhook *wh = begin(&f);

    request(&f, &r, "POST", path_of("webhooks", wh->id, "/test"), NULL);
    CHECK_INT(r.status, ==, 202);
    CHECK_STR(text_at(&r, "object"), "delivery");
    CHECK_STR(text_at(&r, "id"), delivery_id());
    CHECK_STR(text_at(&r, "status"), "delivering");
    CHECK(json_is_null(at(&r, "cursor")));
    CHECK_NULL(at(&r, "attempt_log"));
    CHECK_NULL(at(&r, "request"));
    CHECK_UINT(f.n_tests, ==, 1);
    response_close(&r);
    fixture_close(&f);
}

CASE(a_test_is_refused)
{
    struct fixture f;
    struct hw_webhook *wh = begin(&f);
    const char *path = path_of("webhooks", wh->id, "/test");

    wh->standing.status = HW_WEBHOOK_DISABLED;
    expect_error(&f, "POST", path, NULL, 409, "conflict", NULL);
    wh->standing.status = HW_WEBHOOK_ACTIVE;
    f.result = HW_BACKEND_UNAVAILABLE;
    expect_error(&f, "POST", path, NULL, 503, "unavailable", NULL);
    f.result = HW_BACKEND_OK;
    expect_error(&f, "POST", "/v1/webhooks/wh_none/test", NULL, 404, "not_found", NULL);
    CHECK_UINT(f.n_tests, ==, 0);
    fixture_close(&f);
}

/* ---- recover ---- */

CASE(the_range_of_a_recovery_reaches_the_backend)
{
    struct fixture f;
    struct response r;
    struct hw_webhook *wh = begin(&f);
    const char *path = path_of("webhooks", wh->id, "/recover");

    f.n_recovered = 1234;
    request(&f, &r, "POST", path,
            "{\"since\":\"2026-03-09T12:00:00Z\",\"until\":\"2026-03-09T14:00:00+01:00\"}");
    CHECK_INT(r.status, ==, 202);
    CHECK_STR(r.body, "{\"count\":1234}\n");
    response_close(&r);
    CHECK_STR(f.recovered_id, wh->id);
    CHECK_INT(f.recovered.since_ms, ==, 1773057600000);
    CHECK_INT(f.recovered.until_ms, ==, 1773057600000 + 3600000);
    request(&f, &r, "POST", path, "{\"since\":\"2026-03-09T12:00:00Z\",\"until\":null}");
    CHECK_INT(r.status, ==, 202);
    response_close(&r);
    CHECK_INT(f.recovered.until_ms, ==, 0);
    /* The beginning of time is a bound, too. */
    request(&f, &r, "POST", path,
            "{\"since\":\"1960-01-01T00:00:00Z\",\"until\":\"1970-01-01T00:00:00Z\"}");
    CHECK_INT(r.status, ==, 202);
    response_close(&r);
    CHECK_INT(f.recovered.since_ms, ==, 1);
    CHECK_INT(f.recovered.until_ms, ==, 1);
    fixture_close(&f);
}

CASE(bad_recoveries)
{
    static const struct {
        const char *body, *field;
    } bad[] = {
        { "{}", "since" },
        { "{\"until\":\"2026-03-09T12:00:00Z\"}", "since" },
        { "{\"since\":null}", "since" },
        { "{\"since\":1}", "since" },
        { "{\"since\":\"\"}", "since" },
        { "{\"since\":\"yesterday\"}", "since" },
        { "{\"since\":\"2026-03-09\"}", "since" },
        { "{\"since\":\"2026-03-09T12:00:00Z\",\"until\":7}", "until" },
        { "{\"since\":\"2026-03-09T12:00:00Z\",\"until\":\"x\"}", "until" },
        { "{\"since\":\"2026-03-09T12:00:00Z\",\"until\":\"2026-03-09T11:59:59.999Z\"}",
          "until" },
        { "{\"since\":\"2026-03-09T12:00:00Z\",\"limit\":1}", "limit" },
        { "{\"since\":\"2026-03-09T12:00:00Z\",\"since\":\"2026-03-09T12:00:00Z\"}", "since" },
        { "[]", NULL },
        { "{", NULL },
    };
    struct fixture f;
    struct response r;
    struct hw_webhook *wh = begin(&f);
    const char *path = path_of("webhooks", wh->id, "/recover");

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        expect_error(&f, "POST", path, bad[i].body, 400, "invalid_request", bad[i].field);
    request_with(&f, &r, TOKEN, "", "POST", path, NULL);
    check_error(&r, 415, "unsupported_media_type", NULL);
    response_close(&r);
    CHECK_STR(f.recovered_id, ""); /* the backend was never asked */
    wh->standing.status = HW_WEBHOOK_DISABLED;
    expect_error(&f, "POST", path, "{\"since\":\"2026-03-09T12:00:00Z\"}", 409, "conflict",
                 NULL);
    expect_error(&f, "POST", "/v1/webhooks/wh_none/recover",
                 "{\"since\":\"2026-03-09T12:00:00Z\"}", 404, "not_found", NULL);
    fixture_close(&f);
}

/* ---- redeliver ---- */

CASE(a_redelivery_is_pending_or_says_why_not)
{
    struct fixture f;
    struct response r;

    (void)begin(&f);
    request(&f, &r, "POST", path_of("deliveries", delivery_id(), "/redeliver"), NULL);
    CHECK_INT(r.status, ==, 202);
    CHECK_STR(text_at(&r, "object"), "delivery");
    CHECK_STR(text_at(&r, "id"), delivery_id());
    CHECK_STR(text_at(&r, "status"), "pending");
    CHECK_UINT(json_object_size(r.json), ==, 3);
    CHECK_NULL(f.redelivered.account);
    response_close(&r);
    f.redeliver_refusal = "It is too late for that.";
    request(&f, &r, "POST", path_of("deliveries", delivery_id(), "/redeliver"), NULL);
    check_error(&r, 409, "conflict", NULL);
    CHECK_STR(text_at(&r, "error.message"), "It is too late for that.");
    response_close(&r);
    f.redeliver_refusal = NULL;
    expect_error(&f, "POST", "/v1/deliveries/dlv_nonsense/redeliver", NULL, 404, "not_found",
                 NULL);
    f.result = HW_BACKEND_UNAVAILABLE;
    expect_error(&f, "POST", path_of("deliveries", delivery_id(), "/redeliver"), NULL, 503,
                 "unavailable", NULL);
    fixture_close(&f);
}

CASE(each_needs_its_scope_and_names_its_account)
{
    struct fixture f;
    struct response r;
    struct hw_webhook *wh = begin(&f);

    add_token(&f, 1, "acct_1", "webhooks:manage deliveries:read");
    add_token(&f, 2, "acct_1", "deliveries:write");
    request_as(&f, &r, token_text(1), "POST",
               path_of("deliveries", delivery_id(), "/redeliver"), NULL);
    check_error(&r, 403, "forbidden", NULL);
    CHECK_STR(text_at(&r, "error.details.missing_scope"), "deliveries:write");
    response_close(&r);
    request_as(&f, &r, token_text(1), "POST", path_of("webhooks", wh->id, "/recover"),
               "{\"since\":\"2026-03-09T12:00:00Z\"}");
    check_error(&r, 403, "forbidden", NULL);
    response_close(&r);
    request_as(&f, &r, token_text(2), "POST", path_of("webhooks", wh->id, "/test"), NULL);
    check_error(&r, 403, "forbidden", NULL);
    CHECK_STR(text_at(&r, "error.details.missing_scope"), "webhooks:manage");
    response_close(&r);
    request_as(&f, &r, token_text(2), "POST",
               path_of("deliveries", delivery_id(), "/redeliver"), NULL);
    CHECK_INT(r.status, ==, 202);
    response_close(&r);
    CHECK_NOT_NULL(f.redelivered.account);
    fixture_close(&f);
}

/* ---- who sees what was sent ---- */

static void check_request_shows(struct fixture *f, const char *token, bool shows)
{
    struct response r;

    request_as(f, &r, token, "GET", path_of("deliveries", delivery_id(), ""), NULL);
    CHECK_INT(r.status, ==, 200);
    CHECK_STR(text_at(&r, "event_type"), "order.paid");
    CHECK_INT(json_is_object(at(&r, "request")), ==, shows);
    CHECK_INT(json_is_null(at(&r, "request")), ==, !shows);
    CHECK_INT(strstr(r.body, "4242") != NULL, ==, shows);
    response_close(&r);
}

CASE(the_request_shows_to_who_may_read_its_type)
{
    struct fixture f;
    struct hw_event_type type = { 0 };

    (void)begin(&f);
    add_token(&f, 1, "acct_1", "deliveries:read");
    add_token(&f, 2, "acct_1", "deliveries:read events:read");
    add_token(&f, 3, "acct_1", "deliveries:read orders:read");
    check_request_shows(&f, TOKEN, true);
    check_request_shows(&f, token_text(1), false);
    check_request_shows(&f, token_text(2), true);
    check_request_shows(&f, token_text(3), false); /* not in the catalogue */
    type.name = (char *)"order.paid";
    type.group = (char *)"orders";
    type.description = (char *)"An order was paid.";
    type.required_scope = (char *)"orders:read";
    store_type(&f, &type);
    load_types(&f);
    check_request_shows(&f, token_text(1), false);
    check_request_shows(&f, token_text(3), true);
    fixture_close(&f);
}
