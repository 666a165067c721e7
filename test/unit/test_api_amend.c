/* api: webhooks changed: PATCH /v1/webhooks/:id and rotate-secret. */
#include "support/api_fixture.h"

#define SECRET "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
#define OTHER  "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"

enum { DAY_MS = 86400 * 1000 };

/* One of this account; its path is in `target`. */
static void create(struct fixture *f, const char *token, const char *body, char target[128])
{
    struct response r;
    request_as(f, &r, token, "POST", "/v1/webhooks", body);
    if (r.status != 201)
        CHECK_FAIL("status %d: %s", r.status, r.body);
    snprintf(target, 128, "/v1/webhooks/%s", text_at(&r, "id"));
    response_close(&r);
}

static void patch(struct fixture *f, struct response *r, const char *target, const char *body)
{
    request(f, r, "PATCH", target, body);
    if (r->status != 200)
        CHECK_FAIL("status %d: %s", r->status, r->body);
}

static void expect_missing(struct fixture *f, const char *token, const char *method,
                           const char *target, const char *body, const char *scope)
{
    struct response r;
    request_as(f, &r, token, method, target, body);
    check_error(&r, 403, "forbidden", NULL);
    CHECK_STR(text_at(&r, "error.details.missing_scope"), scope);
    response_close(&r);
}

static void expect_status(struct fixture *f, const char *token, const char *method,
                          const char *target, const char *body, int status)
{
    struct response r;
    request_as(f, &r, token, method, target, body);
    if (r.status != status)
        CHECK_FAIL("status %d instead of %d: %s", r.status, status, r.body);
    response_close(&r);
}

static const char full[] =
    "{\"url\":\"https://example.com:8443/a?b\",\"account\":\"acct_1\",\"name\":\"N\","
    "\"event_types\":[\"a.b\"],\"subject\":\"s\",\"level\":\"progress\",\"include_raw\":true,"
    "\"format\":\"raw\",\"headers\":{\"X-Key\":\"very secret\",\"x-other\":\"o\"},"
    "\"signature_header\":{\"name\":\"X-Sig\",\"format\":\"hex\"},\"secret\":\"" SECRET "\","
    "\"max_in_flight\":5,\"rate_limit\":7}";

/* --- PATCH ------------------------------------------------------------------------------- */

/* Every member of the object but those that the change is about. */
static void check_others(const json_t *before, const json_t *after, const char *member)
{
    const char *name;
    json_t *value;
    CHECK_UINT(json_object_size(before), ==, json_object_size(after));
    json_object_foreach ((json_t *)before, name, value)
        if (strcmp(name, member) != 0 && strcmp(name, "updated_at") != 0 &&
            !json_equal(value, json_object_get(after, name)))
            CHECK_FAIL("%s changed with %s", name, member);
}

static const struct {
    const char *member, *value, *shown; /* NULL: as it was given */
} changes[] = {
    { "url", "\"HTTPS://Example.org\"", "\"https://example.org/\"" },
    { "name", "\"other\"", NULL },
    { "name", "null", NULL },
    { "event_types", "[\"c.d\",\"webhook.disabled\"]", NULL },
    { "event_types", "null", NULL },
    { "subject", "\"t 1\"", NULL },
    { "subject", "null", NULL },
    { "level", "\"user\"", NULL },
    { "include_raw", "false", NULL },
    { "format", "\"record\"", NULL },
    { "headers", "{\"X-New\":\"n\"}", "{\"x-new\":\"***\"}" },
    { "headers", "{}", NULL },
    { "signature_header", "{\"name\":\"X-S\",\"format\":\"sha256=hex\"}", NULL },
    { "signature_header", "null", NULL },
    { "max_in_flight", "9", NULL },
    { "rate_limit", "100000", NULL },
    { "rate_limit", "null", NULL },
    { "status", "\"paused\"", NULL },
    { "status", "\"active\"", NULL },
};

CASE(each_member_changes_alone)
{
    struct fixture f;
    struct response before, after;
    char target[128], body[256];
    fixture_init(&f);
    for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
        json_t *wanted = json_loads(changes[i].shown ? changes[i].shown : changes[i].value,
                                    JSON_DECODE_ANY, NULL);
        create(&f, TOKEN, full, target);
        request(&f, &before, "GET", target, NULL);
        snprintf(body, sizeof body, "{\"%s\":%s}", changes[i].member, changes[i].value);
        patch(&f, &after, target, body);
        if (!json_equal(at(&after, changes[i].member), wanted))
            CHECK_FAIL("%s: %s", body, after.body);
        check_others(before.json, after.json, changes[i].member);
        CHECK_NULL(strstr(after.body, "whsec_"));
        response_close(&before);
        request(&f, &before, "GET", target, NULL);
        CHECK(json_equal(before.json, after.json));
        response_close(&before);
        response_close(&after);
        json_decref(wanted);
    }
    fixture_close(&f);
}

CASE(an_empty_change_changes_when_it_was_changed)
{
    struct fixture f;
    struct response before, after;
    char target[128];
    fixture_init(&f);
    create(&f, TOKEN, full, target);
    f.webhooks[0]->updated_ms = f.webhooks[0]->created_ms = 1700000000000;
    request(&f, &before, "GET", target, NULL);
    patch(&f, &after, target, "{}");
    check_others(before.json, after.json, "");
    CHECK_STR(text_at(&before, "updated_at"), "2023-11-14T22:13:20.000Z");
    CHECK_STR(text_at(&after, "created_at"), "2023-11-14T22:13:20.000Z");
    CHECK_INT(strcmp(text_at(&after, "updated_at"), text_at(&before, "updated_at")), >, 0);
    response_close(&before);
    response_close(&after);
    fixture_close(&f);
}

CASE(a_webhook_that_is_read_and_written_back_keeps_its_secrets)
{
    struct fixture f;
    struct response r;
    char target[128];
    fixture_init(&f);
    create(&f, TOKEN, full, target);
    patch(&f, &r, target, "{\"headers\":{\"x-new\":\"n\",\"X-KEY\":\"***\"}}");
    CHECK_UINT(json_object_size(at(&r, "headers")), ==, 2);
    response_close(&r);
    CHECK_UINT(f.webhooks[0]->n_fields, ==, 2);
    CHECK_STR(hw_buf_str(&f.webhooks[0]->static_fields), "x-new: n\r\nx-key: very secret\r\n");
    expect_error(&f, "PATCH", target, "{\"headers\":{\"x-other\":\"***\"}}", 400,
                 "invalid_request", "headers"); /* it has gone with the last change */
    CHECK_STR(hw_buf_str(&f.webhooks[0]->static_fields), "x-new: n\r\nx-key: very secret\r\n");
    fixture_close(&f);
}

CASE(a_new_webhook_has_no_header_to_keep)
{
    struct fixture f;
    fixture_init(&f);
    expect_error(&f, "POST", "/v1/webhooks", WITH("\"headers\":{\"x-a\":\"***\"}"), 400,
                 "invalid_request", "headers");
    fixture_close(&f);
}

CASE(kept_headers_count_towards_the_bound)
{
    struct fixture f;
    struct hw_buf body;
    char target[128];
    fixture_init(&f);
    hw_buf_init(&body, 65536);
    hw_buf_append_str(&body, "{\"url\":\"https://example.com/\",\"headers\":{\"x-a\":\"");
    for (int i = 0; i < 4093; i++)
        hw_buf_append_char(&body, 'a');
    hw_buf_append_str(&body, "\"}}");
    create(&f, TOKEN, hw_buf_str(&body), target);
    expect_status(&f, TOKEN, "PATCH", target, "{\"headers\":{\"x-a\":\"***\"}}", 200);
    expect_error(&f, "PATCH", target, "{\"headers\":{\"x-a\":\"***\",\"x-b\":\"\"}}", 400,
                 "invalid_request", "headers");
    hw_buf_close(&body);
    fixture_close(&f);
}

CASE(a_header_and_the_older_signature_do_not_share_a_name)
{
    struct fixture f;
    char target[128];
    fixture_init(&f);
    create(&f, TOKEN, full, target);
    expect_error(&f, "PATCH", target, "{\"headers\":{\"x-sig\":\"a\"}}", 400,
                 "invalid_request", "signature_header");
    expect_error(&f, "PATCH", target,
                 "{\"signature_header\":{\"name\":\"X-KEY\",\"format\":\"hex\"}}", 400,
                 "invalid_request", "signature_header");
    expect_status(&f, TOKEN, "PATCH", target,
                  "{\"headers\":{\"x-sig\":\"a\"},\"signature_header\":{\"name\":\"X-KEY\","
                  "\"format\":\"hex\"}}",
                  200);
    fixture_close(&f);
}

static const struct {
    const char *body, *field;
} bad_changes[] = {
    { "", NULL },
    { "[]", NULL },
    { "{\"url\":null}", "url" },
    { "{\"url\":\"http://example.com/\"}", "url" },
    { "{\"url\":\"https://10.0.0.1/\"}", "url" },
    { "{\"name\":\"\"}", "name" },
    { "{\"id\":\"wh_1\"}", "id" },
    { "{\"account\":\"acct_1\"}", "account" },
    { "{\"secret\":\"" OTHER "\"}", "secret" },
    { "{\"has_secret\":true}", "has_secret" },
    { "{\"backfill_from\":\"begin\"}", "backfill_from" },
    { "{\"name\":\"a\",\"name\":\"b\"}", "name" },
    { "{\"event_types\":[]}", "event_types" },
    { "{\"event_types\":[\"webhook.other\"]}", "event_types" },
    { "{\"level\":null}", "level" },
    { "{\"include_raw\":null}", "include_raw" },
    { "{\"format\":null}", "format" },
    { "{\"headers\":null}", "headers" },
    { "{\"headers\":{\"host\":\"***\"}}", "headers" },
    { "{\"headers\":{\"x-a\":\"a\",\"X-A\":\"b\"}}", "headers" },
    { "{\"signature_header\":{\"name\":\"X-S\"}}", "signature_header" },
    { "{\"max_in_flight\":null}", "max_in_flight" },
    { "{\"rate_limit\":0}", "rate_limit" },
    { "{\"status\":null}", "status" },
    { "{\"status\":\"disabled\"}", "status" },
    { "{\"status\":\"deleted\"}", "status" },
};

CASE(a_bad_change_is_named_whatever_the_webhook)
{
    struct fixture f;
    struct response before, after;
    char target[128];
    fixture_init(&f);
    create(&f, TOKEN, full, target);
    request(&f, &before, "GET", target, NULL);
    for (size_t i = 0; i < sizeof bad_changes / sizeof bad_changes[0]; i++) {
        expect_error(&f, "PATCH", target, bad_changes[i].body, 400, "invalid_request",
                     bad_changes[i].field);
        expect_error(&f, "PATCH", "/v1/webhooks/wh_none", bad_changes[i].body, 400,
                     "invalid_request", bad_changes[i].field);
    }
    expect_error(&f, "PATCH", "/v1/webhooks/wh_none", "{}", 404, "not_found", NULL);
    request(&f, &after, "GET", target, NULL);
    CHECK_STR(after.body, before.body);
    response_close(&before);
    response_close(&after);
    fixture_close(&f);
}

CASE(a_change_says_that_it_is_json)
{
    struct fixture f;
    struct response r;
    fixture_init(&f);
    request_with(&f, &r, TOKEN, "", "PATCH", "/v1/webhooks/wh_none", NULL);
    check_error(&r, 415, "unsupported_media_type", NULL);
    response_close(&r);
    request(&f, &r, "PATCH", "/v1/webhooks/wh_none", "{\"secret\":\"" OTHER "\"}");
    CHECK_CONTAINS(text_at(&r, "error.message"), "rotate-secret");
    response_close(&r);
    fixture_close(&f);
}

static void disable(struct hw_webhook *wh)
{
    wh->standing =
        (struct hw_webhook_standing){ .status = HW_WEBHOOK_DISABLED,
                                      .consecutive_failures = 10,
                                      .last_delivery_ms = 1700000000000,
                                      .disabled_ms = 1700000001000,
                                      .disabled_reason = "Endpoint returned 410 Gone",
                                      .disabled_cursor = { 5, 6 },
                                      .revision = 7 };
}

CASE(a_disabled_webhook_is_made_active_not_paused)
{
    struct fixture f;
    struct response r;
    char target[128];
    fixture_init(&f);
    create(&f, TOKEN, full, target);
    disable(f.webhooks[0]);
    expect_error(&f, "PATCH", target, "{\"name\":\"x\",\"status\":\"paused\"}", 409,
                 "conflict", NULL);
    CHECK_STR(f.webhooks[0]->name, "N");
    patch(&f, &r, target, "{\"name\":\"still disabled\"}");
    CHECK_STR(text_at(&r, "status"), "disabled");
    response_close(&r);
    patch(&f, &r, target, "{\"status\":\"active\"}");
    CHECK_STR(text_at(&r, "status"), "active");
    CHECK_INT(json_integer_value(at(&r, "consecutive_failures")), ==, 0);
    CHECK_STR(text_at(&r, "last_delivery_at"), "2023-11-14T22:13:20.000Z");
    CHECK(json_is_null(at(&r, "disabled_at")));
    CHECK(json_is_null(at(&r, "disabled_reason")));
    CHECK(json_is_null(at(&r, "disabled_cursor")));
    CHECK_UINT(f.webhooks[0]->standing.revision, ==, 7); /* what the change stands on */
    response_close(&r);
    fixture_close(&f);
}

CASE(pausing_and_resuming_leave_the_count)
{
    struct fixture f;
    struct response r;
    char target[128];
    fixture_init(&f);
    create(&f, TOKEN, full, target);
    f.webhooks[0]->standing.consecutive_failures = 3;
    for (int i = 0; i < 2; i++) {
        patch(&f, &r, target, "{\"status\":\"paused\"}");
        CHECK_STR(text_at(&r, "status"), "paused");
        response_close(&r);
    }
    for (int i = 0; i < 2; i++) {
        patch(&f, &r, target, "{\"status\":\"active\"}");
        CHECK_STR(text_at(&r, "status"), "active");
        CHECK_INT(json_integer_value(at(&r, "consecutive_failures")), ==, 3);
        response_close(&r);
    }
    fixture_close(&f);
}

CASE(what_the_backend_says_of_a_change_is_passed_on)
{
    struct fixture f;
    char target[128], rotate[160];
    fixture_init(&f);
    create(&f, TOKEN, full, target);
    snprintf(rotate, sizeof rotate, "%s/rotate-secret", target);
    f.result = HW_BACKEND_UNAVAILABLE;
    expect_error(&f, "PATCH", target, "{}", 503, "unavailable", NULL);
    expect_error(&f, "POST", rotate, NULL, 503, "unavailable", NULL);
    f.result = HW_BACKEND_FAILED;
    expect_error(&f, "PATCH", target, "{}", 500, "internal", NULL);
    fixture_close(&f);
}

/* --- who may ------------------------------------------------------------------------------- */

CASE(another_account_s_webhook_is_not_there)
{
    struct fixture f;
    char target[128], rotate[160];
    fixture_init(&f);
    give_token(&f, token_text(1), "acct_2", "webhooks:manage events:read");
    create(&f, TOKEN, full, target);
    snprintf(rotate, sizeof rotate, "%s/rotate-secret", target);
    expect_status(&f, token_text(1), "PATCH", target, "{}", 404);
    expect_status(&f, token_text(1), "POST", rotate, NULL, 404);
    fixture_close(&f);
}

static void give_orders(struct fixture *f)
{
    give_type(f, "order.paid", "orders:read");
    give_type(f, "order.lost", "losses:read");
    give_type(f, "plain.type", NULL);
    give_token(f, token_text(1), "acct_1", "webhooks:manage orders:read");
    give_token(f, token_text(2), "acct_1", "webhooks:manage orders:read losses:read");
    give_token(f, token_text(3), "acct_1", "webhooks:manage events:read");
}

CASE(where_events_go_is_for_those_who_may_read_them)
{
    static const char *const guarded[] = { "{\"url\":\"https://example.org/\"}",
                                           "{\"event_types\":[\"order.paid\"]}",
                                           "{\"event_types\":null}", "{\"headers\":{}}" };
    struct fixture f;
    char target[128], rotate[160];
    fixture_init(&f);
    give_orders(&f);
    create(&f, token_text(2),
           WITH("\"event_types\":[\"order.paid\",\"order.lost\",\"webhook.disabled\"]"),
           target);
    snprintf(rotate, sizeof rotate, "%s/rotate-secret", target);
    for (size_t i = 0; i < sizeof guarded / sizeof guarded[0]; i++)
        expect_missing(&f, token_text(1), "PATCH", target, guarded[i], "losses:read");
    expect_missing(&f, token_text(1), "POST", rotate, NULL, "losses:read");
    CHECK_STR(f.webhooks[0]->url.text, "https://example.com/");
    CHECK_STR(f.webhooks[0]->previous_secret, "");
    /* The rest is for whoever manages webhooks. */
    expect_status(&f, token_text(1), "PATCH", target,
                  "{\"name\":\"n\",\"subject\":\"s\",\"level\":\"progress\",\"rate_limit\":1,"
                  "\"max_in_flight\":1,\"include_raw\":true,\"format\":\"raw\","
                  "\"signature_header\":null,\"status\":\"paused\"}",
                  200);
    for (size_t i = 0; i < sizeof guarded / sizeof guarded[0]; i++)
        expect_status(&f, token_text(2), "PATCH", target, guarded[i], 200);
    expect_status(&f, token_text(2), "POST", rotate, NULL, 200);
    expect_status(&f, token_text(3), "POST", rotate, NULL, 200);
    fixture_close(&f);
}

CASE(a_webhook_of_all_types_is_for_those_who_may_read_all)
{
    struct fixture f;
    char target[128];
    fixture_init(&f);
    give_orders(&f);
    create(&f, token_text(3), "{\"url\":\"https://example.com/\"}", target);
    expect_missing(&f, token_text(2), "PATCH", target, "{\"url\":\"https://example.org/\"}",
                   "events:read");
    expect_status(&f, token_text(3), "PATCH", target, "{\"event_types\":[\"order.paid\"]}",
                  200);
    /* Its types are fewer now, and can be read; all of them again could not. */
    expect_status(&f, token_text(1), "PATCH", target, "{\"url\":\"https://example.org/\"}",
                  200);
    expect_missing(&f, token_text(1), "PATCH", target, "{\"event_types\":null}",
                   "events:read");
    CHECK_UINT(f.webhooks[0]->n_event_types, ==, 1);
    fixture_close(&f);
}

CASE(new_types_are_read_by_the_caller_and_by_the_webhook)
{
    struct fixture f;
    struct response r;
    char target[128];
    fixture_init(&f);
    give_orders(&f);
    create(&f, token_text(1), WITH("\"event_types\":[\"order.paid\"]"), target);
    expect_missing(&f, token_text(1), "PATCH", target, "{\"event_types\":[\"order.lost\"]}",
                   "losses:read");
    request(&f, &r, "PATCH", target, "{\"event_types\":[\"order.paid\",\"order.lost\"]}");
    check_error(&r, 403, "forbidden", NULL);
    CHECK_STR(text_at(&r, "error.details.missing_scope"), "losses:read");
    CHECK_CONTAINS(text_at(&r, "error.message"), "created with");
    response_close(&r);
    request(&f, &r, "PATCH", target, "{\"event_types\":[\"order.none\"]}");
    check_error(&r, 400, "invalid_request", "event_types");
    CHECK_UINT(json_array_size(json_object_get(json_object_get(at(&r, "error"), "details"),
                                               "supported_event_types")),
               ==, 3);
    response_close(&r);
    expect_status(&f, token_text(1), "PATCH", target,
                  "{\"event_types\":[\"webhook.test\",\"webhook.disabled\",\"order.paid\"]}",
                  200);
    fixture_close(&f);
}

/* --- rotate-secret --------------------------------------------------------------------------- */

static hw_unix_ms ms_of(const struct response *r, const char *name)
{
    hw_unix_ms ms = 0;
    CHECK_NOT_NULL(text_at(r, name));
    CHECK(hw_timestamp_parse(&ms, hw_slice_str(text_at(r, name))));
    return ms;
}

static void rotate(struct fixture *f, struct response *r, const char *target, const char *body)
{
    char path[160];
    snprintf(path, sizeof path, "%s/rotate-secret", target);
    request(f, r, "POST", path, body);
    if (r->status != 200)
        CHECK_FAIL("status %d: %s", r->status, r->body);
    CHECK_UINT(json_object_size(r->json), ==, 3);
    CHECK_STR(text_at(r, "object"), "signing_secret");
}

CASE(without_a_body_a_secret_is_made_and_both_sign_for_a_day)
{
    struct fixture f;
    struct response r;
    char target[128];
    hw_unix_ms before, until;
    fixture_init(&f);
    create(&f, TOKEN, full, target);
    before = hw_loop_unix(&f.loop);
    rotate(&f, &r, target, NULL);
    until = ms_of(&r, "previous_valid_until");
    CHECK_INT(until, >=, before + DAY_MS);
    CHECK_INT(until, <=, hw_loop_unix(&f.loop) + DAY_MS);
    CHECK_STR(text_at(&r, "secret"), f.webhooks[0]->secret);
    CHECK_INT(strncmp(text_at(&r, "secret"), "whsec_", 6), ==, 0);
    CHECK_STR(f.webhooks[0]->previous_secret, SECRET);
    CHECK_INT(f.webhooks[0]->previous_until_ms, ==, until);
    response_close(&r);
    fixture_close(&f);
}

/* How many signatures there are now, and does each of the two secrets sign? */
static void check_signs(struct fixture *f, size_t n, const char *first, const char *second)
{
    const struct hw_slice body = HW_SLICE("{}");
    const char *const secrets[] = { first, second };
    struct hw_buf out;
    size_t n_found = 1;
    hw_buf_init(&out, 4096);
    CHECK_INT(hw_webhook_sign(f->webhooks[0], &out, HW_SLICE("evt_1"), hw_loop_unix(&f->loop),
                              &body, 1),
              ==, HW_OK);
    for (const char *at = hw_buf_str(&out); (at = strchr(at, ' ')) != NULL; at++)
        n_found++;
    CHECK_UINT(n_found, ==, n);
    for (size_t i = 0; i < n; i++) {
        struct hw_sign_key key;
        CHECK_INT(hw_sign_key_parse(&key, hw_slice_str(secrets[i]), NULL), ==, HW_OK);
        CHECK(hw_sign_verify(&key, hw_buf_slice(&out), HW_SLICE("evt_1"),
                             hw_loop_unix(&f->loop) / 1000, body));
    }
    hw_buf_close(&out);
}

CASE(never_more_than_two_sign)
{
    struct fixture f;
    struct response r;
    char target[128], first[HW_SIGN_SECRET_MAX];
    fixture_init(&f);
    create(&f, TOKEN, full, target);
    check_signs(&f, 1, SECRET, NULL);
    rotate(&f, &r, target, "{\"secret\":\"" OTHER "\",\"overlap_seconds\":604800}");
    CHECK_STR(text_at(&r, "secret"), OTHER);
    response_close(&r);
    check_signs(&f, 2, OTHER, SECRET);
    rotate(&f, &r, target, "{}");
    snprintf(first, sizeof first, "%s", text_at(&r, "secret"));
    response_close(&r);
    check_signs(&f, 2, first, OTHER);
    rotate(&f, &r, target, "{\"overlap_seconds\":0}");
    CHECK(json_is_null(at(&r, "previous_valid_until")));
    check_signs(&f, 1, text_at(&r, "secret"), NULL);
    CHECK_STR(f.webhooks[0]->previous_secret, "");
    response_close(&r);
    fixture_close(&f);
}

CASE(a_rotation_that_is_repeated_drops_nothing)
{
    struct fixture f;
    struct response r;
    char target[128], path[160];
    fixture_init(&f);
    create(&f, TOKEN, full, target);
    snprintf(path, sizeof path, "%s/rotate-secret", target);
    rotate(&f, &r, target, "{\"secret\":\"" OTHER "\"}");
    response_close(&r);
    expect_error(&f, "POST", path, "{\"secret\":\"" OTHER "\"}", 409, "conflict", NULL);
    check_signs(&f, 2, OTHER, SECRET);
    fixture_close(&f);
}

CASE(a_bad_rotation_is_named)
{
    static const struct {
        const char *body, *field;
    } bad[] = {
        { "[]", NULL },
        { "{", NULL },
        { "{\"secret\":\"abc\"}", "secret" },
        { "{\"secret\":null}", "secret" },
        { "{\"secret\":5}", "secret" },
        { "{\"overlap_seconds\":-1}", "overlap_seconds" },
        { "{\"overlap_seconds\":604801}", "overlap_seconds" },
        { "{\"overlap_seconds\":1.5}", "overlap_seconds" },
        { "{\"overlap_seconds\":null}", "overlap_seconds" },
        { "{\"overlap_seconds\":\"5\"}", "overlap_seconds" },
        { "{\"overlap\":5}", "overlap" },
        { "{\"secret\":\"" OTHER "\",\"secret\":\"" OTHER "\"}", "secret" },
    };
    struct fixture f;
    struct response r;
    char target[128], path[160], text[512];
    fixture_init(&f);
    create(&f, TOKEN, full, target);
    snprintf(path, sizeof path, "%s/rotate-secret", target);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        expect_error(&f, "POST", path, bad[i].body, 400, "invalid_request", bad[i].field);
    snprintf(text, sizeof text,
             "POST %s HTTP/1.1\r\nhost: x\r\n" BEARER "content-length: 2\r\n\r\n{}", path);
    exchange(&f, &r, text);
    check_error(&r, 415, "unsupported_media_type", NULL);
    response_close(&r);
    CHECK_STR(f.webhooks[0]->secret, SECRET);
    expect_error(&f, "POST", "/v1/webhooks/wh_none/rotate-secret", NULL, 404, "not_found",
                 NULL);
    fixture_close(&f);
}
