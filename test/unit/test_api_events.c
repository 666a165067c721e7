/* api: POST /v1/events, up to the backend. */
#include "support/api_fixture.h"

/* --- what the backend is given ------------------------------------------------------------ */

static struct {
    size_t n_calls, n_events;
    struct hw_buf text; /* of each event "name=value;" of what is given, a line each */
} got;

static void write_given(const char *name, struct hw_slice value)
{
    if (value.len > 0)
        hw_buf_appendf(&got.text, "%s=%.*s;", name, HW_SLICE_FMT(value));
}

static void take_events(void *data, struct hw_backend_events *req)
{
    got.n_calls++;
    got.n_events = req->n_events;
    hw_buf_reset(&got.text);
    for (size_t i = 0; i < req->n_events; i++) {
        const struct hw_backend_event *e = &req->events[i];
        write_given("account", e->account);
        write_given("type", e->type);
        write_given("payload", e->payload);
        write_given("subject", e->subject);
        write_given("id", e->id);
        write_given("level", e->level);
        write_given("timestamp", e->timestamp);
        write_given("traceparent", e->traceparent);
        hw_buf_append_char(&got.text, '\n');
    }
    CHECK_INT(hw_buf_failed(&got.text), ==, HW_OK);
    fake_events(data, req);
}

static void begin(struct fixture *f)
{
    fixture_prepare(f);
    f->backend.events = take_events;
    fixture_open(f);
    memset(&got, 0, sizeof got);
    hw_buf_init(&got.text, 64 * 1024 * 1024);
}

static void end(struct fixture *f)
{
    fixture_close(f);
    hw_buf_close(&got.text);
}

/* Posted and taken; `given` as take_events writes it. */
static void expect_given(struct fixture *f, const char *body, const char *given)
{
    struct response r;

    request(f, &r, "POST", "/v1/events", body);
    if (r.status != 202)
        CHECK_FAIL("%s: %s", body, r.body);
    CHECK_STR(hw_buf_str(&got.text), given);
    response_close(&r);
}

static void expect_refused(struct fixture *f, const char *body, const char *field)
{
    size_t calls = got.n_calls;

    expect_error(f, "POST", "/v1/events", body, 400, "invalid_request", field);
    CHECK_INT(got.n_calls, ==, calls);
}

#define EVENT(members) "{\"type\":\"a.b\",\"payload\":1," members "}"

/* --- events ------------------------------------------------------------------------------- */

CASE(an_event_with_every_member)
{
    static const char trace[] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    struct fixture f;
    struct response r;
    char body[1024], given[1024];

    begin(&f);
    snprintf(body, sizeof body,
             " { \"payload\" : {\"a\": 1} ,\"type\":\"order.created\",\"subject\":\"sess 9\","
             "\"id\":\"evt_123\",\"level\":\"progress\",\"account\":\"acct_1\","
             "\"timestamp\":\"2026-03-09T12:00:00+01:00\",\"traceparent\":\"%s\"} \n",
             trace);
    snprintf(given, sizeof given,
             "account=acct_1;type=order.created;payload={\"a\": 1};subject=sess 9;id=evt_123;"
             "level=progress;timestamp=2026-03-09T12:00:00+01:00;traceparent=%s;\n",
             trace);
    expect_given(&f, body, given);
    request(&f, &r, "POST", "/v1/events", body);
    CHECK_STR(r.body, "{\"data\":[{\"id\":\"evt_0\"}]}\n");
    CHECK_CONTAINS(r.head, "content-type: application/json\r\n");
    response_close(&r);
    end(&f);
}

CASE(what_is_optional_may_be_absent_or_null)
{
    struct fixture f;

    begin(&f);
    expect_given(&f, "{\"type\":\"a\",\"payload\":null}", "type=a;payload=null;\n");
    expect_given(&f,
                 EVENT("\"subject\":null,\"id\":null,\"level\":null,\"account\":null,"
                       "\"timestamp\":null,\"traceparent\":null"),
                 "type=a.b;payload=1;\n");
    expect_given(&f,
                 "{\"events\":[ {\"type\":\"a\",\"payload\":[]}\n,"
                 "{\"type\":\"b\",\"payload\":\"\",\"id\":null}]}",
                 "type=a;payload=[];\ntype=b;payload=\"\";\n");
    end(&f);
}

CASE(a_payload_goes_on_byte_for_byte)
{
    static const char *const payloads[] = {
        "1.0",
        "-0",
        "12345678901234567890123",
        "1e400",
        "1E-0005",
        "0.1000000000000000055511151231257827",
        "{\"b\":1,\"a\":2,\"b\":3}",
        "{ \"type\" : \"x\",\r\n\t\"events\":[ ] }",
        "\"\\u0041\\/\\ud800\\u0000\"",
        "\"\xf0\x9f\x98\x80 \xc3\xa9\"",
        "[[],[{}],\"]\",\"}\\\"\"]",
        "true",
    };
    struct fixture f;
    char body[512], given[512];

    begin(&f);
    for (size_t i = 0; i < sizeof payloads / sizeof *payloads; i++) {
        snprintf(body, sizeof body, "{\"payload\":%s,\"type\":\"a\"}", payloads[i]);
        snprintf(given, sizeof given, "type=a;payload=%s;\n", payloads[i]);
        expect_given(&f, body, given);
        snprintf(body, sizeof body,
                 "{\"events\":[{\"type\":\"a\",\"payload\": %s },{\"payload\":%s,"
                 "\"type\":\"b\"}]}",
                 payloads[i], payloads[i]);
        snprintf(given, sizeof given, "type=a;payload=%s;\ntype=b;payload=%s;\n", payloads[i],
                 payloads[i]);
        expect_given(&f, body, given);
    }
    end(&f);
}

CASE(names_and_texts_may_be_escaped)
{
    struct fixture f;

    begin(&f);
    expect_given(&f,
                 "{\"\\u0074ype\":\"a\\u002eb\",\"\\u0070\\u0061yload\":\"\\u0041\","
                 "\"subject\":\"\\\"q\\\" \\\\ \\/\",\"id\":\"\\u0041\"}",
                 "type=a.b;payload=\"\\u0041\";subject=\"q\" \\ /;id=A;\n");
    expect_given(&f, "{\"\\u0065vents\":[{\"type\":\"a\",\"payload\":1}]}",
                 "type=a;payload=1;\n");
    expect_refused(&f, EVENT("\"\\u0074ype\":\"c\""), "type");
    expect_refused(&f, EVENT("\"subject\":\"\\ud800\""), "subject");
    expect_refused(&f, EVENT("\"subject\":\"a\\u0000\""), "subject");
    expect_refused(&f, EVENT("\"id\":\"a\\n\""), "id");
    end(&f);
}

CASE(a_malformed_traceparent_is_dropped)
{
    struct fixture f;

    begin(&f);
    expect_given(&f, EVENT("\"traceparent\":\"00-nonsense\""), "type=a.b;payload=1;\n");
    expect_given(&f, EVENT("\"traceparent\":\"\""), "type=a.b;payload=1;\n");
    expect_refused(&f, EVENT("\"traceparent\":7"), "traceparent");
    end(&f);
}

/* --- refusals ------------------------------------------------------------------------------ */

CASE(each_rule_of_an_entry_applies)
{
    static const struct {
        const char *event, *field; /* field: "" for the body as a whole, or the event */
    } rows[] = {
        { "{}", "type" },
        { "{\"payload\":1}", "type" },
        { "{\"type\":\"a\"}", "payload" },
        { "{\"type\":null,\"payload\":1}", "type" },
        { "{\"type\":1,\"payload\":1}", "type" },
        { "{\"type\":[\"a\"],\"payload\":1}", "type" },
        { "{\"type\":\"\",\"payload\":1}", "type" },
        { "{\"type\":\"a..b\",\"payload\":1}", "type" },
        { "{\"type\":\"a-b\",\"payload\":1}", "type" },
        { "{\"type\":\"webhook.test\",\"payload\":1}", "type" },
        { "{\"type\":\"webhook.anything\",\"payload\":1}", "type" },
        { EVENT("\"type\":\"a.b\""), "type" },
        { EVENT("\"payload\":1"), "payload" },
        { EVENT("\"id\":null,\"id\":\"x\""), "id" },
        { EVENT("\"account\":\"a.b\""), "account" },
        { EVENT("\"account\":\"\""), "account" },
        { EVENT("\"account\":5"), "account" },
        { EVENT("\"id\":\"\""), "id" },
        { EVENT("\"id\":\"a b\""), "id" },
        { EVENT("\"id\":12"), "id" },
        { EVENT("\"subject\":\"\""), "subject" },
        { EVENT("\"subject\":\"\xc3\xa9\""), "subject" },
        { EVENT("\"subject\":{}"), "subject" },
        { EVENT("\"level\":\"high\""), "level" },
        { EVENT("\"level\":\"\""), "level" },
        { EVENT("\"level\":true"), "level" },
        { EVENT("\"timestamp\":\"yesterday\""), "timestamp" },
        { EVENT("\"timestamp\":\"2026-02-30T12:00:00Z\""), "timestamp" },
        { EVENT("\"timestamp\":1700000000"), "timestamp" },
        { EVENT("\"data\":1"), "data" },
        { EVENT("\"Id\":\"x\""), "Id" },
        { EVENT("\"\":\"x\""), NULL },
    };
    struct fixture f;
    char body[512], field[80];

    begin(&f);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        expect_refused(&f, rows[i].event, rows[i].field);
        snprintf(body, sizeof body,
                 "{\"events\":[{\"type\":\"a\",\"payload\":1},{\"type\":\"a\",\"payload\":1},"
                 "%s]}",
                 rows[i].event);
        snprintf(field, sizeof field, "events[2]%s%s", rows[i].field ? "." : "",
                 rows[i].field ? rows[i].field : "");
        expect_refused(&f, body, field);
    }
    end(&f);
}

CASE(a_body_that_is_no_event)
{
    static const struct {
        const char *body, *field;
    } rows[] = {
        { "", NULL },
        { "nonsense", NULL },
        { "{\"type\":\"a\",\"payload\":1", NULL },
        { "{\"type\":\"a\",\"payload\":01}", NULL },
        { "{\"type\":\"a\",\"payload\":\"\xff\"}", NULL },
        { "{\"type\":\"a\",\"payload\":1}{}", NULL },
        { "\"text\"", NULL },
        { "[]", NULL },
        { "[{\"type\":\"a\",\"payload\":1}]", NULL },
        { "{\"events\":[]}", "events" },
        { "{\"events\":null}", "events" },
        { "{\"events\":{}}", "events" },
        { "{\"events\":{\"type\":\"a\",\"payload\":1}}", "events" },
        { "{\"events\":[1]}", "events[0]" },
        { "{\"events\":[{\"type\":\"a\",\"payload\":1},null]}", "events[1]" },
        { "{\"events\":[{\"type\":\"a\",\"payload\":1}],\"events\":[]}", "events" },
        { "{\"events\":[{\"type\":\"a\",\"payload\":1}],\"type\":\"a\"}", "type" },
        { "{\"type\":\"a\",\"events\":[{\"type\":\"a\",\"payload\":1}]}", "events" },
    };
    struct fixture f;
    struct response r;

    begin(&f);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        expect_refused(&f, rows[i].body, rows[i].field);
    exchange(&f, &r,
             "POST /v1/events HTTP/1.1\r\nhost: x\r\n" BEARER
             "content-type: text/plain\r\ncontent-length: 2\r\n\r\n{}");
    check_error(&r, 415, "unsupported_media_type", NULL);
    response_close(&r);
    end(&f);
}

/* A name is shown as far as there is room, and no character is shown in part. */
CASE(a_long_name_is_cut)
{
    struct fixture f;
    char name[200], body[512], field[80];

    begin(&f);
    memset(name, 'n', sizeof name);
    name[150] = '\0';
    snprintf(body, sizeof body, "{\"%s\":1}", name);
    snprintf(field, sizeof field, "%.63s", name);
    expect_refused(&f, body, field);
    snprintf(body, sizeof body, "{\"events\":[{\"%s\":1}]}", name);
    snprintf(field, sizeof field, "events[0].%.53s", name);
    expect_refused(&f, body, field);
    for (int shift = 0; shift < 4; shift++) {
        memset(name, 'n', (size_t)shift);
        for (int i = 0; i < 30; i++)
            memcpy(name + shift + 4 * i, "\xf0\x9f\x98\x80", 5);
        snprintf(body, sizeof body, "{\"%s\":1}", name);
        snprintf(field, sizeof field, "%.*s", shift + 4 * ((63 - shift) / 4), name);
        expect_refused(&f, body, field);
    }
    end(&f);
}

/* --- limits --------------------------------------------------------------------------------- */

static void nest(char *out, const char *head, unsigned depth, const char *tail)
{
    size_t at = strlen(head);

    memcpy(out, head, at);
    memset(out + at, '[', depth);
    memset(out + at + depth, ']', depth);
    memcpy(out + at + 2 * depth, tail, strlen(tail) + 1);
}

CASE(a_payload_has_64_levels_whatever_is_around_it)
{
    struct fixture f;
    struct response r;
    char body[4096];

    begin(&f);
    nest(body, "{\"type\":\"a\",\"payload\":", 64, "}");
    request(&f, &r, "POST", "/v1/events", body);
    CHECK_INT(r.status, ==, 202);
    response_close(&r);
    nest(body, "{\"events\":[{\"type\":\"a\",\"payload\":", 64, "}]}");
    request(&f, &r, "POST", "/v1/events", body);
    CHECK_INT(r.status, ==, 202);
    response_close(&r);
    for (unsigned depth = 65; depth < 200; depth += 1 + depth / 5) {
        nest(body, "{\"type\":\"a\",\"payload\":", depth, "}");
        expect_refused(&f, body, "payload");
        nest(body,
             "{\"events\":[{\"type\":\"a\",\"payload\":1},{\"type\":\"a\",\"payload\":", depth,
             "}]}");
        expect_refused(&f, body, "events[1].payload");
    }
    /* Broken behind the depth, or too deep where nothing deep belongs. */
    nest(body, "{\"type\":\"a\",\"payload\":1,\"subject\":", 100, "");
    body[strlen(body) - 1] = '\0';
    expect_refused(&f, body, NULL);
    nest(body, "{\"type\":\"a\",\"payload\":1,\"id\":", 100, "}");
    expect_refused(&f, body, "id");
    nest(body, "{\"events\":", 100, "}");
    expect_refused(&f, body, "events[0]");
    nest(body, "", 100, "");
    expect_refused(&f, body, NULL);
    end(&f);
}

static char *make_body(size_t payload_bytes, const char *head, const char *tail)
{
    char *body = malloc(payload_bytes + strlen(head) + strlen(tail) + 1);
    char *at = body + strlen(head);

    CHECK_NOT_NULL(body);
    memcpy(body, head, strlen(head));
    memset(at, 'x', payload_bytes);
    at[0] = at[payload_bytes - 1] = '"';
    memcpy(at + payload_bytes, tail, strlen(tail) + 1);
    return body;
}

CASE(a_payload_is_at_most_so_large)
{
    static const size_t most = 256 * 1024;
    struct fixture f;
    struct response r;
    char *body;

    begin(&f);
    body = make_body(most, "{\"type\":\"a\",\"payload\":", " }");
    request(&f, &r, "POST", "/v1/events", body);
    CHECK_INT(r.status, ==, 202);
    response_close(&r);
    free(body);
    body = make_body(most + 1, "{\"type\":\"a\",\"payload\":", "}");
    expect_error(&f, "POST", "/v1/events", body, 413, "payload_too_large", "payload");
    free(body);
    body = make_body(most + 1, "{\"events\":[{\"type\":\"a\",\"payload\":1},{\"payload\":",
                     ",\"type\":\"a\"}]}");
    expect_error(&f, "POST", "/v1/events", body, 413, "payload_too_large",
                 "events[1].payload");
    free(body);
    CHECK_INT(got.n_calls, ==, 1);
    end(&f);
}

/* n events; the one at `bad` (n: none) breaks a rule. */
static void post_batch(struct fixture *f, struct response *r, size_t n, size_t bad)
{
    struct hw_buf body;

    hw_buf_init(&body, 1024 * 1024);
    hw_buf_append_str(&body, "{\"events\":[");
    for (size_t i = 0; i < n; i++)
        hw_buf_appendf(&body, "%s{\"type\":\"%s\",\"payload\":%zu,\"id\":\"id_%zu\"}",
                       i ? "," : "", i == bad ? "a b" : "a", i, i);
    hw_buf_append_str(&body, "]}");
    request(f, r, "POST", "/v1/events", hw_buf_str(&body));
    hw_buf_close(&body);
}

CASE(a_thousand_at_once_all_or_none)
{
    struct fixture f;
    struct response r;
    struct hw_buf all;

    begin(&f);
    hw_buf_init(&all, 1024 * 1024);
    for (int i = 0; i < 1000; i++)
        hw_buf_appendf(&all, "type=a;payload=%d;id=id_%d;\n", i, i);
    post_batch(&f, &r, 1000, 1000);
    CHECK_INT(r.status, ==, 202);
    CHECK_STR(hw_buf_str(&got.text), hw_buf_str(&all));
    response_close(&r);
    post_batch(&f, &r, 1001, 1001);
    check_error(&r, 400, "invalid_request", "events");
    response_close(&r);
    post_batch(&f, &r, 1000, 999);
    check_error(&r, 400, "invalid_request", "events[999].type");
    response_close(&r);
    post_batch(&f, &r, 1000, 0);
    check_error(&r, 400, "invalid_request", "events[0].type");
    response_close(&r);
    CHECK_INT(got.n_calls, ==, 1);
    hw_buf_close(&all);
    end(&f);
}

/* --- whose ------------------------------------------------------------------------------------ */

static void expect_as(struct fixture *f, const char *token, const char *body,
                      const char *given)
{
    struct response r;

    request_as(f, &r, token, "POST", "/v1/events", body);
    if (given != NULL)
        CHECK_STR(hw_buf_str(&got.text), given);
    else
        check_error(&r, 400, "invalid_request", "account");
    response_close(&r);
}

CASE(a_bound_token_enqueues_for_its_account_only)
{
    const char *token;
    struct fixture f;
    struct response r;

    begin(&f);
    token = token_text(1);
    give_token(&f, token, "acme", "events:write");
    expect_as(&f, token, "{\"type\":\"a\",\"payload\":1}", "account=acme;type=a;payload=1;\n");
    expect_as(&f, token, EVENT("\"account\":\"acme\""), "account=acme;type=a.b;payload=1;\n");
    expect_as(&f, token, EVENT("\"account\":null"), "account=acme;type=a.b;payload=1;\n");
    expect_as(&f, token, EVENT("\"account\":\"default\""), NULL);
    request_as(&f, &r, token, "POST", "/v1/events",
               "{\"events\":[{\"type\":\"a\",\"payload\":1},"
               "{\"type\":\"a\",\"payload\":1,\"account\":\"other\"}]}");
    check_error(&r, 400, "invalid_request", "events[1].account");
    response_close(&r);
    CHECK_INT(got.n_calls, ==, 3);
    token = token_text(2);
    give_token(&f, token, "acme", "webhooks:manage events:read");
    request_as(&f, &r, token, "POST", "/v1/events", "{\"type\":\"a\",\"payload\":1}");
    check_error(&r, 403, "forbidden", NULL);
    CHECK_STR(text_at(&r, "error.details.missing_scope"), "events:write");
    response_close(&r);
    CHECK_INT(got.n_calls, ==, 3);
    end(&f);
}

/* --- the backend ---------------------------------------------------------------------------- */

CASE(what_the_backend_says_is_answered)
{
    struct fixture f;

    begin(&f);
    f.result = HW_BACKEND_UNAVAILABLE;
    expect_error(&f, "POST", "/v1/events", "{\"type\":\"a\",\"payload\":1}", 503,
                 "unavailable", NULL);
    f.result = HW_BACKEND_FAILED;
    expect_error(&f, "POST", "/v1/events", "{\"type\":\"a\",\"payload\":1}", 500, "internal",
                 NULL);
    CHECK_INT(got.n_calls, ==, 2);
    end(&f);
}

/* Kept by somebody who came between the look and the script. */
static void kept_meanwhile(void *data, struct hw_backend_events *req)
{
    struct fixture *f = data;

    CHECK_NOT_NULL(req->once.key);
    keep(f, &req->once, HW_SLICE("{\"data\":[{\"id\":\"first\"}]}\n"));
    take_events(data, req);
}

CASE(what_was_kept_is_answered_again)
{
    static const char body[] = "{\"type\":\"a\",\"payload\":1}";
    struct fixture f;
    struct response first, again;

    begin(&f);
    request_with(&f, &first, TOKEN, "idempotency-key: k\r\n", "POST", "/v1/events", body);
    CHECK_INT(first.status, ==, 202);
    CHECK_NULL(strstr(first.head, "replayed"));
    request_with(&f, &again, TOKEN, "idempotency-key: k\r\n", "POST", "/v1/events", body);
    CHECK_INT(again.status, ==, 202);
    CHECK_STR(again.body, first.body);
    CHECK_CONTAINS(again.head, "\r\nidempotency-replayed: true\r\n");
    response_close(&again);
    response_close(&first);
    f.backend.events = kept_meanwhile;
    request_with(&f, &again, TOKEN, "idempotency-key: other\r\n", "POST", "/v1/events", body);
    CHECK_INT(again.status, ==, 202);
    CHECK_STR(again.body, "{\"data\":[{\"id\":\"first\"}]}\n");
    CHECK_CONTAINS(again.head, "\r\nidempotency-replayed: true\r\n");
    response_close(&again);
    end(&f);
}

/* --- hostile bodies --------------------------------------------------------------------------- */

/* Bytes of a good body changed at random: it is taken or refused, and always answered. */
CASE(any_body_is_answered)
{
    static const char good[] =
        "{\"events\":[{\"type\":\"a.b\",\"payload\":{\"x\":[1.0,\"\\u0041\"]},\"id\":"
        "\"i\\u0041\"},"
        "{\"payload\":[[]],\"type\":\"c\",\"subject\":\"s\",\"level\":\"user\"}]}";
    static const char bytes[] = "\"\\{}[]:,u0e.-n \xff\xc3\xa9";
    struct fixture f;
    struct client c;
    struct response r;
    size_t n_taken = 0, n_refused = 0;

    begin(&f);
    client_open(&c, &f);
    for (int i = 0; i < 3000; i++) {
        char body[sizeof good], text[1024];
        size_t len = sizeof good - 1 - (check_random_below(4) ? 0 : check_random_below(80));
        memcpy(body, good, sizeof good);
        for (uint64_t changes = check_random_below(3); changes > 0; changes--)
            body[check_random_below(len)] = bytes[check_random_below(sizeof bytes - 1)];
        snprintf(text, sizeof text,
                 "POST /v1/events HTTP/1.1\r\nhost: x\r\n" BEARER
                 "content-type: application/json\r\ncontent-length: %zu\r\n\r\n%.*s",
                 len, (int)len, body);
        client_send(&c, text);
        client_await(&c, &r);
        CHECK(r.status == 202 || r.status == 400);
        CHECK_NOT_NULL(r.json);
        n_taken += r.status == 202;
        n_refused += r.status == 400;
        response_close(&r);
    }
    CHECK_INT(n_taken, >, 0);
    CHECK_INT(n_refused, >, 0);
    client_close(&c);
    end(&f);
}
