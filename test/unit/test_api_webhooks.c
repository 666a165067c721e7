/* api: /v1/webhooks. */
#include "support/api_fixture.h"

CASE(a_minimal_webhook_has_every_default)
{
    struct fixture f;
    struct response r;
    struct hw_sign_key key;
    fixture_init(&f);
    request(&f, &r, "POST", "/v1/webhooks", "{\"url\":\"HTTPS://Example.com\"}");
    CHECK_INT(r.status, ==, 201);
    CHECK_CONTAINS(text_at(&r, "id"), "wh_");
    CHECK_STR(text_at(&r, "object"), "webhook");
    CHECK_STR(text_at(&r, "account"), "default");
    CHECK_STR(text_at(&r, "url"), "https://example.com/");
    CHECK(json_is_null(at(&r, "name")));
    CHECK(json_is_null(at(&r, "event_types")));
    CHECK(json_is_null(at(&r, "subject")));
    CHECK_STR(text_at(&r, "level"), "user");
    CHECK(json_is_false(at(&r, "include_raw")));
    CHECK_STR(text_at(&r, "format"), "record");
    CHECK_INT(json_object_size(at(&r, "headers")), ==, 0);
    CHECK(json_is_null(at(&r, "signature_header")));
    CHECK(json_is_true(at(&r, "has_secret")));
    CHECK_INT(json_integer_value(at(&r, "max_in_flight")), ==, 64);
    CHECK(json_is_null(at(&r, "rate_limit")));
    CHECK_STR(text_at(&r, "status"), "active");
    CHECK_INT(json_integer_value(at(&r, "consecutive_failures")), ==, 0);
    CHECK_NULL(at(&r, "last_delivery_at"));
    CHECK_UINT(strlen(text_at(&r, "created_at")), ==, 24);
    CHECK(json_is_null(at(&r, "disabled_at")));
    CHECK(json_is_null(at(&r, "disabled_reason")));
    CHECK(json_is_null(at(&r, "disabled_cursor")));
    CHECK_INT(hw_sign_key_parse(&key, hw_slice_str(text_at(&r, "secret")), NULL), ==, HW_OK);
    response_close(&r);
    fixture_close(&f);
}

CASE(a_full_webhook_reads_back_without_its_secrets)
{
    static const char body[] =
        "{\"url\":\"https://example.com:8443/a?b\",\"account\":\"acct_1\",\"name\":\"N\","
        "\"event_types\":[\"a.b\",\"webhook.test\"],\"subject\":\"s "
        "1\",\"level\":\"progress\","
        "\"include_raw\":true,\"format\":\"raw\",\"headers\":{\"X-Key\":\"very secret\"},"
        "\"signature_header\":{\"name\":\"X-Sig\",\"format\":\"sha256=hex\"},"
        "\"secret\":\"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\",\"max_in_flight\":5,"
        "\"rate_limit\":7}";
    struct fixture f;
    struct response r;
    char target[128];
    fixture_init(&f);
    request(&f, &r, "POST", "/v1/webhooks", body);
    CHECK_INT(r.status, ==, 201);
    CHECK_STR(text_at(&r, "secret"), "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    snprintf(target, sizeof target, "/v1/webhooks/%s", text_at(&r, "id"));
    response_close(&r);
    f.webhooks[0]->standing =
        (struct hw_webhook_standing){ .status = HW_WEBHOOK_DISABLED,
                                      .consecutive_failures = 10,
                                      .last_delivery_ms = 1700000000000,
                                      .disabled_ms = 1700000001000,
                                      .disabled_reason = "Endpoint returned 410 Gone",
                                      .disabled_cursor = { 5, 6 } };
    request(&f, &r, "GET", target, NULL);
    CHECK_INT(r.status, ==, 200);
    CHECK_NULL(strstr(r.body, "very secret"));
    CHECK_NULL(strstr(r.body, "whsec_"));
    CHECK_STR(text_at(&r, "account"), "acct_1");
    CHECK_STR(text_at(&r, "headers.x-key"), "***");
    CHECK_STR(text_at(&r, "signature_header.format"), "sha256=hex");
    CHECK_STR(text_at(&r, "level"), "progress");
    CHECK_STR(text_at(&r, "format"), "raw");
    CHECK_INT(json_array_size(at(&r, "event_types")), ==, 2);
    CHECK_INT(json_integer_value(at(&r, "rate_limit")), ==, 7);
    CHECK_INT(json_integer_value(at(&r, "max_in_flight")), ==, 5);
    CHECK_STR(text_at(&r, "status"), "disabled");
    CHECK_STR(text_at(&r, "last_delivery_at"), "2023-11-14T22:13:20.000Z");
    CHECK_STR(text_at(&r, "disabled_at"), "2023-11-14T22:13:21.000Z");
    CHECK_STR(text_at(&r, "disabled_reason"), "Endpoint returned 410 Gone");
    CHECK_NOT_NULL(text_at(&r, "disabled_cursor"));
    response_close(&r);
    fixture_close(&f);
}

static const struct {
    const char *body, *field;
} bad_webhooks[] = {
    { "", NULL },
    { "[]", NULL },
    { "{\"url\":\"https://example.com/\"", NULL },
    { "{}", "url" },
    { "{\"url\":5}", "url" },
    { "{\"url\":null}", "url" },
    { "{\"url\":\"http://example.com/\"}", "url" },
    { "{\"url\":\"http://localhost:9000/\"}", "url" },
    { "{\"url\":\"https://10.0.0.1/\"}", "url" },
    { "{\"url\":\"https://127.0.0.1/\"}", "url" },
    { "{\"url\":\"https://[::1]/\"}", "url" },
    { "{\"url\":\"https://[64:ff9b::7f00:1]/\"}", "url" },
    { "{\"url\":\"https://169.254.169.254/\"}", "url" },
    { "{\"url\":\"https://user@example.com/\"}", "url" },
    { "{\"url\":\"https://a/\",\"url\":\"https://b/\"}", "url" },
    { WITH("\"nmae\":\"x\""), "nmae" },
    { WITH("\"backfill_from\":\"disabled\""), "backfill_from" },
    { WITH("\"a_rather_long_unknown_member\":1,\"a_rather_long_unknown_member\":1"),
      "a_rather_long_unknown_member" },
    { WITH("\"headers\":{\"x-a\":\"1\",\"x-a\":\"2\"}"), "x-a" },
    { WITH("\"name\":\"\""), "name" },
    { WITH("\"name\":\"a\\nb\""), "name" },
    { WITH("\"name\":1"), "name" },
    { WITH("\"account\":\"a b\""), "account" },
    { WITH("\"account\":null"), "account" },
    { WITH("\"event_types\":[]"), "event_types" },
    { WITH("\"event_types\":\"a\""), "event_types" },
    { WITH("\"event_types\":[1]"), "event_types" },
    { WITH("\"event_types\":[\"a\",\"a\"]"), "event_types" },
    { WITH("\"event_types\":[\"a..b\"]"), "event_types" },
    { WITH("\"event_types\":[\"webhook.other\"]"), "event_types" },
    { WITH("\"subject\":\"\""), "subject" },
    { WITH("\"subject\":\"\\u00e9\""), "subject" },
    { WITH("\"level\":\"debug\""), "level" },
    { WITH("\"level\":null"), "level" },
    { WITH("\"include_raw\":1"), "include_raw" },
    { WITH("\"format\":\"xml\""), "format" },
    { WITH("\"headers\":[]"), "headers" },
    { WITH("\"headers\":{\"x-a\":1}"), "headers" },
    { WITH("\"headers\":{\"x-a\":\"a\\r\\nb: c\"}"), "headers" },
    { WITH("\"headers\":{\"x-a\":\" a\"}"), "headers" },
    { WITH("\"headers\":{\"x-a\":\"\\u00e9\"}"), "headers" },
    { WITH("\"headers\":{\"\":\"a\"}"), "headers" },
    { WITH("\"headers\":{\"x a\":\"a\"}"), "headers" },
    { WITH("\"headers\":{\"X-A\":\"a\",\"x-a\":\"b\"}"), "headers" },
    { WITH("\"headers\":{\"Host\":\"a\"}"), "headers" },
    { WITH("\"headers\":{\"webhook-foo\":\"a\"}"), "headers" },
    { WITH("\"headers\":{\"Content-Length\":\"1\"}"), "headers" },
    { WITH("\"headers\":{\"proxy-x\":\"1\"}"), "headers" },
    { WITH("\"signature_header\":\"X\""), "signature_header" },
    { WITH("\"signature_header\":{\"name\":\"X-S\"}"), "signature_header" },
    { WITH("\"signature_header\":{\"format\":\"hex\"}"), "signature_header" },
    { WITH("\"signature_header\":{\"name\":\"X-S\",\"format\":\"md5\"}"), "signature_header" },
    { WITH("\"signature_header\":{\"name\":\"X-S\",\"format\":\"hex\",\"z\":1}"),
      "signature_header" },
    { WITH("\"signature_header\":{\"name\":\"webhook-signature\",\"format\":\"hex\"}"),
      "signature_header" },
    { WITH("\"signature_header\":{\"name\":\"X-S\",\"format\":\"hex\"},\"headers\":{\"x-s\":"
           "\"a\"}"),
      "signature_header" },
    { WITH("\"secret\":\"abc\""), "secret" },
    { WITH("\"secret\":\"whsec_AAAA\""), "secret" },
    { WITH("\"secret\":null"), "secret" },
    { WITH("\"max_in_flight\":0"), "max_in_flight" },
    { WITH("\"max_in_flight\":1.5"), "max_in_flight" },
    { WITH("\"max_in_flight\":10001"), "max_in_flight" },
    { WITH("\"rate_limit\":-1"), "rate_limit" },
    { WITH("\"rate_limit\":\"5\""), "rate_limit" },
    /* JSON, but with what jansson does not read. */
    { WITH("\"rate_limit\":99999999999999999999"), "rate_limit" },
    { WITH("\"max_in_flight\":1e999,\"name\":\"x\""), "max_in_flight" },
    { WITH("\"name\":\"a\\u0000b\",\"level\":\"user\""), "name" },
    { WITH("\"headers\":{\"a\":\"b\\ud800\"},\"name\":\"x\""), "headers" },
    { "{\"x\\u0000\":1,\"url\":\"https://example.com/\"}", "x\\u0000" },
    { " [ 99999999999999999999 ]", NULL },
    { "1e999", NULL },
};

CASE(each_broken_rule_is_named)
{
    struct fixture f;
    fixture_init(&f);
    for (size_t i = 0; i < sizeof bad_webhooks / sizeof bad_webhooks[0]; i++)
        expect_error(&f, "POST", "/v1/webhooks", bad_webhooks[i].body, 400, "invalid_request",
                     bad_webhooks[i].field);
    CHECK_UINT(f.n_webhooks, ==, 0);
    fixture_close(&f);
}

CASE(what_reads_back_as_null_may_be_given_as_null)
{
    struct fixture f;
    struct response r;
    fixture_init(&f);
    request(
        &f, &r, "POST", "/v1/webhooks",
        WITH("\"name\":null,\"event_types\":null,\"subject\":null,\"signature_header\":null,"
             "\"rate_limit\":null"));
    CHECK_INT(r.status, ==, 201);
    response_close(&r);
    fixture_close(&f);
}

CASE(headers_are_bounded)
{
    struct fixture f;
    struct hw_buf body;
    fixture_init(&f);
    hw_buf_init(&body, 65536);
    hw_buf_append_str(&body, "{\"url\":\"https://example.com/\",\"headers\":{\"x-0\":\"\"");
    for (int i = 1; i <= 20; i++)
        hw_buf_appendf(&body, ",\"x-%d\":\"\"", i);
    hw_buf_append_str(&body, "}}");
    expect_error(&f, "POST", "/v1/webhooks", hw_buf_str(&body), 400, "invalid_request",
                 "headers");
    hw_buf_reset(&body);
    hw_buf_append_str(&body, "{\"url\":\"https://example.com/\",\"headers\":{\"x-a\":\"");
    for (int i = 0; i < 4096; i++)
        hw_buf_append_char(&body, 'a');
    hw_buf_append_str(&body, "\"}}");
    expect_error(&f, "POST", "/v1/webhooks", hw_buf_str(&body), 400, "invalid_request",
                 "headers");
    hw_buf_close(&body);
    fixture_close(&f);
}

CASE(a_body_is_at_most_64_levels_deep)
{
    struct fixture f;
    struct response r;
    char body[256] = "{\"url\":";
    fixture_init(&f);
    memset(body + 7, '[', 64);
    memset(body + 71, ']', 64);
    body[135] = '}';
    request(&f, &r, "POST", "/v1/webhooks", body);
    check_error(&r, 400, "invalid_request", NULL);
    CHECK_CONTAINS(text_at(&r, "error.message"), "64 levels");
    response_close(&r);
    fixture_close(&f);
}

CASE(a_body_says_that_it_is_json)
{
    struct fixture f;
    struct response r;
    fixture_init(&f);
    exchange(&f, &r,
             "POST /v1/webhooks HTTP/1.1\r\nhost: x\r\n" BEARER "content-length: 2\r\n\r\n{}");
    check_error(&r, 415, "unsupported_media_type", NULL);
    response_close(&r);
    exchange(&f, &r,
             "POST /v1/webhooks HTTP/1.1\r\nhost: x\r\n" BEARER
             "content-type: text/plain\r\ncontent-length: 2\r\n\r\n{}");
    check_error(&r, 415, "unsupported_media_type", NULL);
    response_close(&r);
    exchange(&f, &r,
             "POST /v1/webhooks HTTP/1.1\r\nhost: x\r\n" BEARER
             "content-type: Application/JSON ; charset=utf-8\r\ncontent-length: 2\r\n\r\n{}");
    check_error(&r, 400, "invalid_request", "url");
    response_close(&r);
    fixture_close(&f);
}

CASE(open_networks_and_localhost_where_they_are_allowed)
{
    struct fixture f;
    struct response r;
    fixture_prepare(&f);
    CHECK_INT(hw_address_rules_parse(&f.addresses, HW_SLICE("10.0.0.0/8"), NULL), ==, HW_OK);
    f.options.url_rules = (struct hw_url_rules){ true, true };
    fixture_open(&f);
    request(&f, &r, "POST", "/v1/webhooks", "{\"url\":\"https://10.1.2.3/\"}");
    CHECK_INT(r.status, ==, 201);
    response_close(&r);
    request(&f, &r, "POST", "/v1/webhooks", "{\"url\":\"http://127.0.0.1:9000/\"}");
    CHECK_INT(r.status, ==, 201);
    response_close(&r);
    expect_error(&f, "POST", "/v1/webhooks", "{\"url\":\"https://127.0.0.1:9000/\"}", 400,
                 "invalid_request", "url");
    fixture_close(&f);
}

/* --- subscribing --------------------------------------------------------------------- */

/* Create as that token; what came is in `r`. */
static void subscribe(struct fixture *f, struct response *r, const char *token,
                      const char *types)
{
    char body[512];
    snprintf(body, sizeof body, "{\"url\":\"https://example.com/\",\"event_types\":%s}", types);
    request_as(f, r, token, "POST", "/v1/webhooks", body);
}

static void expect_subscribed(struct fixture *f, const char *token, const char *types)
{
    struct response r;
    subscribe(f, &r, token, types);
    if (r.status != 201)
        CHECK_FAIL("status %d: %s", r.status, r.body);
    response_close(&r);
}

static void expect_forbidden(struct fixture *f, const char *token, const char *types,
                             const char *scope)
{
    struct response r;
    subscribe(f, &r, token, types);
    check_error(&r, 403, "forbidden", NULL);
    CHECK_STR(text_at(&r, "error.details.missing_scope"), scope);
    response_close(&r);
}

CASE(while_the_catalogue_is_empty_every_type_can_be_subscribed_to)
{
    struct fixture f;
    fixture_init(&f);
    give_token(&f, token_text(1), "a", "webhooks:manage");
    expect_subscribed(&f, TOKEN, "[\"a.b\",\"c\",\"webhook.test\"]");
    expect_subscribed(&f, token_text(1), "[\"a.b\",\"webhook.disabled\"]");
    fixture_close(&f);
}

CASE(subscribing_needs_the_scope_of_each_type)
{
    struct fixture f;
    struct response r;
    fixture_init(&f);
    give_type(&f, "order.paid", "orders:read");
    give_type(&f, "plain", NULL);
    give_token(&f, token_text(1), "a", "webhooks:manage orders:read");
    give_token(&f, token_text(2), "a", "webhooks:manage events:read");
    expect_subscribed(&f, token_text(1), "[\"order.paid\",\"webhook.test\",\"webhook.disabled\"]");
    expect_subscribed(&f, token_text(2), "[\"order.paid\",\"plain\"]");
    expect_subscribed(&f, TOKEN, "[\"order.paid\",\"plain\"]");
    expect_forbidden(&f, token_text(1), "[\"order.paid\",\"plain\"]", "events:read");
    forget_token(&f, f.stored_tokens[0]->id);
    give_token(&f, token_text(3), "a", "webhooks:manage other:read");
    expect_forbidden(&f, token_text(3), "[\"webhook.test\",\"order.paid\"]", "orders:read");
    subscribe(&f, &r, TOKEN, "[\"order.paid\",\"order.lost\"]");
    check_error(&r, 400, "invalid_request", "event_types");
    CHECK_CONTAINS(text_at(&r, "error.message"), "order.lost");
    response_close(&r);
    subscribe(&f, &r, TOKEN, "[\"webhook.other\"]");
    check_error(&r, 400, "invalid_request", "event_types");
    CHECK_NULL(json_object_get(json_object_get(at(&r, "error"), "details"),
                               "supported_event_types"));
    response_close(&r);
    fixture_close(&f);
}

CASE(a_webhook_keeps_what_its_creator_could_read)
{
    struct fixture f;
    struct response r;
    fixture_init(&f);
    give_token(&f, token_text(1), "a", "webhooks:manage orders:read");
    give_token(&f, token_text(2), "a", "webhooks:manage events:read");
    for (unsigned i = 0; i < 3; i++) {
        request_as(&f, &r, i == 0 ? TOKEN : token_text(i), "POST", "/v1/webhooks",
                   "{\"url\":\"https://example.com/\"}");
        CHECK_INT(r.status, ==, 201);
        response_close(&r);
    }
    CHECK(f.webhooks[0]->reads_all);
    CHECK(!f.webhooks[1]->reads_all);
    CHECK_UINT(f.webhooks[1]->readable.n_names, ==, 2);
    CHECK(hw_scopes_has(&f.webhooks[1]->readable, HW_SLICE("orders:read")));
    CHECK(f.webhooks[2]->reads_all);
    CHECK_STR(f.webhooks[1]->account, "a");
    fixture_close(&f);
}

CASE(a_token_creates_in_its_own_account)
{
    struct fixture f;
    struct response r;
    fixture_init(&f);
    give_token(&f, token_text(1), "a", "webhooks:manage");
    request_as(&f, &r, token_text(1), "POST", "/v1/webhooks", WITH("\"account\":\"a\""));
    CHECK_INT(r.status, ==, 201);
    CHECK_STR(text_at(&r, "account"), "a");
    response_close(&r);
    request_as(&f, &r, token_text(1), "POST", "/v1/webhooks", WITH("\"account\":\"default\""));
    check_error(&r, 400, "invalid_request", "account");
    response_close(&r);
    fixture_close(&f);
}

CASE(what_the_backend_says_is_passed_on)
{
    struct fixture f;
    struct response r;
    fixture_init(&f);
    f.result = HW_BACKEND_LIMIT;
    request(&f, &r, "POST", "/v1/webhooks", "{\"url\":\"https://example.com/\"}");
    check_error(&r, 409, "limit_exceeded", NULL);
    CHECK_INT(json_integer_value(
                  json_object_get(json_object_get(at(&r, "error"), "details"), "limit")),
              ==, 10);
    response_close(&r);
    f.result = HW_BACKEND_UNAVAILABLE;
    expect_error(&f, "POST", "/v1/webhooks", "{\"url\":\"https://example.com/\"}", 503,
                 "unavailable", NULL);
    expect_error(&f, "GET", "/v1/webhooks", NULL, 503, "unavailable", NULL);
    expect_error(&f, "GET", "/v1/deliveries", NULL, 503, "unavailable", NULL);
    f.result = HW_BACKEND_FAILED;
    expect_error(&f, "GET", "/v1/webhooks", NULL, 500, "internal", NULL);
    f.result = HW_BACKEND_OK;
    expect_error(&f, "GET", "/v1/webhooks/wh_none", NULL, 404, "not_found", NULL);
    expect_error(&f, "DELETE", "/v1/webhooks/wh_none", NULL, 404, "not_found", NULL);
    fixture_close(&f);
}

CASE(deleting_answers_with_nothing)
{
    struct fixture f;
    struct response r;
    char target[128];
    fixture_init(&f);
    request(&f, &r, "POST", "/v1/webhooks", "{\"url\":\"https://example.com/\"}");
    snprintf(target, sizeof target, "/v1/webhooks/%s", text_at(&r, "id"));
    response_close(&r);
    request(&f, &r, "DELETE", target, NULL);
    CHECK_INT(r.status, ==, 204);
    CHECK_STR(r.body, "");
    CHECK_NULL(strstr(r.head, "content-length"));
    response_close(&r);
    fixture_close(&f);
}

static void create_named(struct fixture *f, const char *account, int i)
{
    struct response r;
    char body[200];
    snprintf(body, sizeof body,
             "{\"url\":\"https://example.com/"
             "\",\"account\":\"%s\",\"name\":\"%d\",\"subject\":\"%s\"}",
             account, i, i % 2 ? "odd" : "even");
    request(f, &r, "POST", "/v1/webhooks", body);
    CHECK_INT(r.status, ==, 201);
    response_close(&r);
}

/* "6 5 4" */
static const char *names_of(const struct response *r)
{
    static char names[256];
    const json_t *item;
    size_t i, used = 0;
    names[0] = '\0';
    json_array_foreach(at(r, "data"), i, item) used +=
        (size_t)snprintf(names + used, sizeof names - used, "%s%s", i ? " " : "",
                         json_string_value(json_object_get(item, "name")));
    return names;
}

/* Ask for `query`, expect these names; the cursor of that name goes into `cursor`. */
static void expect_page(struct fixture *f, const char *query, const char *names, bool has_more,
                        const char *wanted, char cursor[HW_CURSOR_MAX])
{
    struct response r;
    char target[400];
    snprintf(target, sizeof target, "/v1/webhooks?account=a&limit=3%s", query);
    if (strcmp(query, "&c") == 0)
        snprintf(target, sizeof target, "/v1/webhooks?account=a&limit=3&cursor=%s", cursor);
    request(f, &r, "GET", target, NULL);
    CHECK_INT(r.status, ==, 200);
    CHECK_STR(names_of(&r), names);
    CHECK_INT(json_is_true(at(&r, "has_more")), ==, has_more);
    if (wanted != NULL)
        snprintf(cursor, HW_CURSOR_MAX, "%s", text_at(&r, wanted) ? text_at(&r, wanted) : "");
    response_close(&r);
}

CASE(pages_in_both_directions)
{
    struct fixture f;
    char cursor[HW_CURSOR_MAX] = "";
    fixture_init(&f);
    for (int i = 0; i < 7; i++)
        create_named(&f, i == 3 ? "b" : "a", i);
    expect_page(&f, "", "6 5 4", true, "prev_cursor", cursor);
    CHECK_STR(cursor, "");
    expect_page(&f, "", "6 5 4", true, "next_cursor", cursor);
    expect_page(&f, "&c", "2 1 0", false, "next_cursor", cursor);
    CHECK_STR(cursor, "");
    expect_page(&f, "", "6 5 4", true, "next_cursor", cursor);
    expect_page(&f, "&c", "2 1 0", false, "prev_cursor", cursor);
    expect_page(&f, "&c", "6 5 4", false, "prev_cursor", cursor);
    CHECK_STR(cursor, "");
    expect_page(&f, "&subject=odd", "5 1", false, NULL, NULL);
    expect_page(&f, "&status=paused", "", false, NULL, NULL);
    expect_page(&f, "&status=active&subject=even", "6 4 2", true, NULL, NULL);
    fixture_close(&f);
}

CASE(new_items_do_not_shift_a_page)
{
    struct fixture f;
    char cursor[HW_CURSOR_MAX] = "";
    fixture_init(&f);
    for (int i = 0; i < 5; i++)
        create_named(&f, "a", i);
    expect_page(&f, "", "4 3 2", true, "next_cursor", cursor);
    create_named(&f, "a", 5);
    create_named(&f, "a", 6);
    expect_page(&f, "&c", "1 0", false, "prev_cursor", cursor);
    expect_page(&f, "&c", "4 3 2", true, "prev_cursor", cursor);
    expect_page(&f, "&c", "6 5", false, "next_cursor", cursor);
    expect_page(&f, "&c", "4 3 2", true, "next_cursor", cursor);
    fixture_close(&f);
}
