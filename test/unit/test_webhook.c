/* webhook: the stored form there and back, matching, signing. */
#include "core/webhook.h"

#include "check.h"
#include "hookwheel/alloc.h"

#define SECRET     "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
#define OLD_SECRET "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"

static void parse_url(struct hw_webhook *wh, const char *text)
{
    const struct hw_url_rules rules = { 0 };
    CHECK_INT(hw_url_parse(&wh->url, hw_slice_str(text), &rules, NULL), ==, HW_OK);
}

static struct hw_webhook *minimal(void)
{
    struct hw_webhook *wh = hw_webhook_new();
    CHECK_NOT_NULL(wh);
    wh->w = 7;
    snprintf(wh->id, sizeof wh->id, "wh_0123456789");
    CHECK_INT(hw_webhook_set_text(&wh->account, HW_SLICE("acct_1")), ==, HW_OK);
    parse_url(wh, "https://example.com/hook?x=1");
    CHECK_INT(hw_webhook_set_secret(wh, HW_SLICE(SECRET), NULL), ==, HW_OK);
    wh->max_in_flight = 64;
    wh->created_ms = wh->updated_ms = 1700000000123;
    return wh;
}

static struct hw_webhook *full(void)
{
    struct hw_webhook *wh = minimal();
    wh->reads_all = false;
    CHECK_INT(hw_scopes_add(&wh->readable, HW_SLICE("orders:read")), ==, HW_OK);
    CHECK_INT(hw_scopes_add(&wh->readable, HW_SLICE("webhooks:manage")), ==, HW_OK);
    CHECK_INT(hw_webhook_set_text(&wh->name, HW_SLICE("Naïve \"name\"")), ==, HW_OK);
    CHECK_INT(hw_webhook_set_text(&wh->subject, HW_SLICE("sess 9")), ==, HW_OK);
    CHECK_INT(hw_webhook_add_type(wh, HW_SLICE("order.created")), ==, HW_OK);
    CHECK_INT(hw_webhook_add_type(wh, HW_SLICE("webhook.disabled")), ==, HW_OK);
    CHECK_INT(hw_webhook_add_field(wh, HW_SLICE("X-Key"), HW_SLICE("a b")), ==, HW_OK);
    CHECK_INT(hw_webhook_add_field(wh, HW_SLICE("x-empty"), HW_SLICE("")), ==, HW_OK);
    CHECK_INT(hw_webhook_set_text(&wh->signature_name, HW_SLICE("X-Sig")), ==, HW_OK);
    wh->signature_format = HW_SIGNATURE_SHA256_HEX;
    wh->level = HW_LEVEL_PROGRESS;
    wh->include_raw = wh->format_raw = true;
    wh->rate_per_s = 5;
    snprintf(wh->previous_secret, sizeof wh->previous_secret, "%s", OLD_SECRET);
    CHECK_INT(hw_sign_key_parse(&wh->previous_key, HW_SLICE(OLD_SECRET), NULL), ==, HW_OK);
    wh->previous_until_ms = 1700000009000;
    wh->updated_ms = 1700000000999;
    return wh;
}

static struct hw_webhook *through(const struct hw_webhook *wh, struct hw_buf *stored)
{
    struct hw_webhook *back = NULL;
    struct hw_cause cause = { 0 };
    CHECK_INT(hw_webhook_write(wh, stored), ==, HW_OK);
    CHECK_INT(hw_webhook_read(&back, hw_buf_slice(stored), &cause), ==, HW_OK);
    return back;
}

static void check_same(const struct hw_webhook *a, const struct hw_webhook *b)
{
    CHECK_UINT(a->w, ==, b->w);
    CHECK_STR(a->id, b->id);
    CHECK_STR(a->account, b->account);
    CHECK_STR(a->name, b->name);
    CHECK_STR(a->url.text, b->url.text);
    CHECK_STR(a->subject, b->subject);
    CHECK_INT(a->level, ==, b->level);
    CHECK_INT(a->include_raw, ==, b->include_raw);
    CHECK_INT(a->format_raw, ==, b->format_raw);
    CHECK_UINT(a->n_event_types, ==, b->n_event_types);
    for (size_t i = 0; i < a->n_event_types; i++)
        CHECK_STR(a->event_types[i], b->event_types[i]);
    CHECK_INT(a->reads_all, ==, b->reads_all);
    CHECK_UINT(a->readable.n_names, ==, b->readable.n_names);
    for (size_t i = 0; i < a->readable.n_names; i++)
        CHECK_STR(a->readable.names[i], b->readable.names[i]);
    CHECK_SLICE_EQ(hw_buf_slice(&a->static_fields), hw_buf_slice(&b->static_fields));
    CHECK_STR(a->signature_name, b->signature_name);
    CHECK_INT(a->signature_format, ==, b->signature_format);
    CHECK_STR(a->secret, b->secret);
    CHECK_UINT(a->key.len, ==, b->key.len);
    CHECK_MEM(a->key.bytes, b->key.bytes, a->key.len);
    CHECK_STR(a->previous_secret, b->previous_secret);
    CHECK_UINT(a->previous_key.len, ==, b->previous_key.len);
    CHECK_INT(a->previous_until_ms, ==, b->previous_until_ms);
    CHECK_UINT(a->max_in_flight, ==, b->max_in_flight);
    CHECK_UINT(a->rate_per_s, ==, b->rate_per_s);
    CHECK_INT(a->created_ms, ==, b->created_ms);
    CHECK_INT(a->updated_ms, ==, b->updated_ms);
}

static void check_through(struct hw_webhook *wh)
{
    struct hw_buf stored;
    struct hw_webhook *back;
    hw_buf_init(&stored, 65536);
    back = through(wh, &stored);
    check_same(wh, back);
    CHECK_INT(back->standing.status, ==, HW_WEBHOOK_ACTIVE);
    hw_webhook_release(back);
    hw_webhook_release(wh);
    hw_buf_close(&stored);
}

CASE(a_minimal_one_comes_back)
{
    check_through(minimal());
}

CASE(a_full_one_comes_back)
{
    check_through(full());
}

CASE(one_without_a_number_comes_back_with_none)
{
    struct hw_webhook *wh = minimal();
    wh->w = 0;
    check_through(wh);
}

CASE(static_fields_are_ready_to_send)
{
    struct hw_webhook *wh = full();
    CHECK_SLICE(hw_buf_slice(&wh->static_fields), "x-key: a b\r\nx-empty: \r\n");
    hw_webhook_release(wh);
}

CASE(what_was_not_written_by_us_is_refused_by_name)
{
    static const struct {
        const char *stored, *named;
    } bad[] = {
        { "", "object" },
        { "[]", "object" },
        { "{}", "id" },
        { "{\"w\":-1,\"id\":\"wh_1\"}", "w" },
        { "{\"w\":1,\"id\":5}", "id" },
        { "{\"w\":1,\"id\":\"wh_1\",\"account\":\"a\",\"url\":\"ftp://x\"}", "url" },
        { "{\"w\":1,\"id\":\"wh_1\",\"account\":\"a\",\"url\":\"https://example.com/\"}",
          "secret" },
        { "{\"w\":1,\"id\":\"wh_1\",\"account\":\"a\",\"url\":\"https://example.com/\","
          "\"event_types\":[]}",
          "event_types" },
        { "{\"w\":1,\"id\":\"wh_1\",\"account\":\"a\",\"url\":\"https://example.com/\","
          "\"event_types\":\"a\"}",
          "event_types" },
        { "{\"w\":1,\"id\":\"wh_1\",\"account\":\"a\",\"url\":\"https://example.com/\","
          "\"readable\":[7]}",
          "readable" },
        { "{\"w\":1,\"id\":\"wh_1\",\"account\":\"a\",\"url\":\"https://example.com/\","
          "\"headers\":{\"a\":1}}",
          "headers" },
        { "{\"w\":1,\"id\":\"wh_1\",\"account\":\"a\",\"url\":\"https://example.com/\","
          "\"secret\":\"" SECRET "\",\"max_in_flight\":0}",
          "max_in_flight" },
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct hw_webhook *wh = NULL;
        struct hw_cause cause = { 0 };
        CHECK_INT(hw_webhook_read(&wh, hw_slice_str(bad[i].stored), &cause), ==, HW_EINVAL);
        CHECK_CONTAINS(cause.note, bad[i].named);
        CHECK_NULL(wh);
    }
}

CASE(an_http_url_of_earlier_settings_is_still_read)
{
    struct hw_webhook *wh = minimal(), *back;
    const struct hw_url_rules rules = { .allow_http_localhost = true };
    struct hw_buf stored;
    hw_url_close(&wh->url);
    CHECK_INT(hw_url_parse(&wh->url, HW_SLICE("http://localhost:9000/x"), &rules, NULL), ==,
              HW_OK);
    hw_buf_init(&stored, 65536);
    back = through(wh, &stored);
    CHECK_STR(back->url.text, "http://localhost:9000/x");
    hw_webhook_release(back);
    hw_webhook_release(wh);
    hw_buf_close(&stored);
}

#define BEFORE_SCOPES                                                                         \
    "{\"id\":\"wh_1\",\"account\":\"a\",\"url\":\"https://example.com/\",\"secret\":\"" SECRET    \
    "\",\"max_in_flight\":1,\"created_ms\":1,\"updated_ms\":1"

static struct hw_webhook *read_with(const char *more)
{
    struct hw_webhook *wh = NULL;
    char stored[600];
    snprintf(stored, sizeof stored, BEFORE_SCOPES "%s}", more);
    CHECK_INT(hw_webhook_read(&wh, hw_slice_str(stored), NULL), ==, HW_OK);
    return wh;
}

CASE(one_stored_before_there_were_scopes_reads_all)
{
    static const char *const all[] = { "", ",\"readable\":null" };
    struct hw_webhook *wh;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        wh = read_with(all[i]);
        CHECK(wh->reads_all);
        CHECK_UINT(wh->readable.n_names, ==, 0);
        hw_webhook_release(wh);
    }
    wh = read_with(",\"readable\":[]"); /* its creator could read nothing */
    CHECK(!wh->reads_all);
    hw_webhook_release(wh);
    wh = hw_webhook_new();
    CHECK(wh->reads_all);
    hw_webhook_release(wh);
}

CASE(a_copy_is_the_same_and_another)
{
    struct hw_webhook *wh = full(), *copy;
    wh->standing = (struct hw_webhook_standing){ .status = HW_WEBHOOK_DISABLED,
                                                 .consecutive_failures = 10,
                                                 .disabled_ms = 5,
                                                 .revision = 3 };
    copy = hw_webhook_copy(wh);
    CHECK_NOT_NULL(copy);
    check_same(wh, copy);
    CHECK_INT(copy->standing.status, ==, HW_WEBHOOK_DISABLED);
    CHECK_UINT(copy->standing.consecutive_failures, ==, 10);
    CHECK_UINT(copy->standing.revision, ==, 3);
    CHECK_INT(hw_webhook_set_text(&copy->name, HW_SLICE("other")), ==, HW_OK);
    hw_webhook_release(copy);
    CHECK_STR(wh->name, "Naïve \"name\"");
    hw_webhook_release(wh);
}

CASE(types_and_fields_are_cleared_and_set_anew)
{
    struct hw_webhook *wh = full();
    hw_webhook_clear_types(wh);
    hw_webhook_clear_fields(wh);
    CHECK_NULL(wh->event_types);
    CHECK_UINT(wh->n_event_types, ==, 0);
    CHECK_UINT(wh->n_fields, ==, 0);
    CHECK_UINT(hw_buf_len(&wh->static_fields), ==, 0);
    hw_webhook_clear_types(wh);
    hw_webhook_clear_fields(wh);
    CHECK_INT(hw_webhook_add_type(wh, HW_SLICE("a")), ==, HW_OK);
    CHECK_INT(hw_webhook_add_field(wh, HW_SLICE("X-New"), HW_SLICE("n")), ==, HW_OK);
    CHECK_STR(hw_buf_str(&wh->static_fields), "x-new: n\r\n");
    hw_webhook_release(wh);
}

CASE(rotating_keeps_the_one_before_and_no_older_one)
{
    struct hw_webhook *wh = full();
    const char *third = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
    CHECK_INT(hw_webhook_rotate(wh, HW_SLICE("whsec_AAAA"), 5, NULL), ==, HW_EINVAL);
    CHECK_STR(wh->secret, SECRET);
    CHECK_STR(wh->previous_secret, OLD_SECRET);
    CHECK_INT(wh->previous_until_ms, ==, 1700000009000);
    CHECK_INT(hw_webhook_rotate(wh, hw_slice_str(third), 5, NULL), ==, HW_OK);
    CHECK_STR(wh->secret, third);
    CHECK_STR(wh->previous_secret, SECRET);
    CHECK_INT(wh->previous_until_ms, ==, 5);
    CHECK_INT(hw_webhook_rotate(wh, HW_SLICE(SECRET), 0, NULL), ==, HW_OK);
    CHECK_STR(wh->secret, SECRET);
    CHECK_STR(wh->previous_secret, "");
    CHECK_UINT(wh->previous_key.len, ==, 0);
    CHECK_INT(wh->previous_until_ms, ==, 0);
    hw_webhook_release(wh);
}

CASE(references_are_counted)
{
    struct hw_webhook *wh = minimal();
    CHECK_PTR(hw_webhook_hold(wh), ==, wh);
    hw_webhook_release(wh);
    CHECK_STR(wh->account, "acct_1");
    hw_webhook_release(wh);
    hw_webhook_release(NULL);
}

static bool matches(struct hw_webhook *wh, const char *type, const char *subject,
                    enum hw_level level)
{
    return hw_webhook_matches(wh, hw_slice_str(type), hw_slice_str(subject), level);
}

CASE(without_types_everything_but_the_engines_own)
{
    struct hw_webhook *wh = minimal();
    CHECK(matches(wh, "order.created", "", HW_LEVEL_USER));
    CHECK(matches(wh, "order.created", "anyone", HW_LEVEL_USER));
    CHECK(matches(wh, "webhooks", "", HW_LEVEL_USER));
    CHECK(!matches(wh, "webhook.disabled", "", HW_LEVEL_USER));
    CHECK(!matches(wh, "order.created", "", HW_LEVEL_PROGRESS));
    hw_webhook_release(wh);
}

CASE(types_subject_and_level_all_count)
{
    struct hw_webhook *wh = full();
    CHECK(matches(wh, "order.created", "sess 9", HW_LEVEL_USER));
    CHECK(matches(wh, "order.created", "sess 9", HW_LEVEL_PROGRESS));
    CHECK(matches(wh, "webhook.disabled", "sess 9", HW_LEVEL_USER));
    CHECK(!matches(wh, "order.created.x", "sess 9", HW_LEVEL_USER));
    CHECK(!matches(wh, "order", "sess 9", HW_LEVEL_USER));
    CHECK(!matches(wh, "order.created", "sess", HW_LEVEL_USER));
    CHECK(!matches(wh, "order.created", "", HW_LEVEL_USER));
    hw_webhook_release(wh);
}

CASE(paused_matches_and_disabled_does_not)
{
    struct hw_webhook *wh = minimal();
    wh->standing.status = HW_WEBHOOK_PAUSED;
    CHECK(matches(wh, "a", "", HW_LEVEL_USER));
    wh->standing.status = HW_WEBHOOK_DISABLED;
    CHECK(!matches(wh, "a", "", HW_LEVEL_USER));
    wh->standing.status = HW_WEBHOOK_DELETED;
    CHECK(!matches(wh, "a", "", HW_LEVEL_USER));
    hw_webhook_release(wh);
}

CASE(texts_of_status_and_format)
{
    CHECK_INT(hw_webhook_status_parse(HW_SLICE("paused")), ==, HW_WEBHOOK_PAUSED);
    CHECK_INT(hw_webhook_status_parse(HW_SLICE("")), ==, -1);
    CHECK_STR(hw_webhook_status_text(HW_WEBHOOK_DISABLED), "disabled");
    CHECK_INT(hw_signature_format_parse(HW_SLICE("hex")), ==, HW_SIGNATURE_HEX);
    CHECK_INT(hw_signature_format_parse(HW_SLICE("base64")), ==, HW_SIGNATURE_NONE);
    CHECK_STR(hw_signature_format_text(HW_SIGNATURE_SHA256_HEX), "sha256=hex");
    CHECK_NULL(hw_signature_format_text(HW_SIGNATURE_NONE));
}

/* Standard Webhooks' own example: the id, the time, the body and the signature. */
CASE(signs_as_the_published_example)
{
    struct hw_webhook *wh = minimal();
    struct hw_slice body[] = { HW_SLICE("{\"test\": "), HW_SLICE("2432232314}") };
    struct hw_buf out;
    hw_buf_init(&out, 1024);
    CHECK_INT(hw_webhook_sign(wh, &out, HW_SLICE("msg_p5jXN8AQM9LWM0D4loKWxJek"),
                              1614265330999, body, 2),
              ==, HW_OK);
    CHECK_SLICE(hw_buf_slice(&out), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    hw_buf_close(&out);
    hw_webhook_release(wh);
}

CASE(both_secrets_sign_during_the_overlap_newest_first)
{
    struct hw_webhook *wh = full();
    struct hw_slice body = HW_SLICE("{}");
    struct hw_buf out;
    size_t space;
    hw_buf_init(&out, 1024);
    CHECK_INT(hw_webhook_sign(wh, &out, HW_SLICE("evt_1"), 1700000008999, &body, 1), ==,
              HW_OK);
    space = hw_slice_find(hw_buf_slice(&out), ' ');
    CHECK_UINT(space, <, hw_buf_len(&out));
    CHECK(hw_sign_verify(&wh->key, hw_slice(hw_buf_slice(&out).data, space), HW_SLICE("evt_1"),
                         1700000008, body));
    CHECK(hw_sign_verify(&wh->previous_key, hw_slice_from(hw_buf_slice(&out), space + 1),
                         HW_SLICE("evt_1"), 1700000008, body));
    hw_buf_reset(&out);
    CHECK_INT(hw_webhook_sign(wh, &out, HW_SLICE("evt_1"), 1700000009000, &body, 1), ==,
              HW_OK);
    CHECK_UINT(hw_slice_find(hw_buf_slice(&out), ' '), ==, hw_buf_len(&out));
    hw_buf_close(&out);
    hw_webhook_release(wh);
}

/* Fail the n-th allocation of a full life, for every n. */
static size_t n_until_failure;

static bool fails(void)
{
    return n_until_failure > 0 && --n_until_failure == 0;
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

CASE(no_allocation_fails_unnoticed)
{
    static const struct hw_alloc failing = { failing_malloc, failing_realloc, failing_free,
                                             NULL };
    struct hw_webhook *wh = full(), *back;
    struct hw_buf stored;
    size_t n = 0;
    hw_buf_init(&stored, 65536);
    CHECK_INT(hw_webhook_write(wh, &stored), ==, HW_OK);
    do {
        back = NULL;
        n_until_failure = ++n;
        hw_alloc_use(&failing);
        enum hw_status status = hw_webhook_read(&back, hw_buf_slice(&stored), NULL);
        hw_alloc_use(NULL);
        CHECK_INT(status, ==, back ? HW_OK : HW_ENOMEM);
        CHECK_INT(n, <, 100);
    } while (back == NULL);
    CHECK_INT(n, >, 10);
    check_same(wh, back);
    hw_webhook_release(back);
    hw_webhook_release(wh);
    hw_buf_close(&stored);
}
