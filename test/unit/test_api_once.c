/* api: the same request again, under an Idempotency-Key. */
#include "api/once.h"
#include "support/api_fixture.h"

#define BODY "{\"url\":\"https://example.com/\"}"

/* --- the key, alone ------------------------------------------------------------------------ */

CASE(the_account_of_roots_key_is_the_bodys)
{
    static const struct {
        const char *body, *account;
    } known[] = {
        { "", "default" },
        { "nonsense", "default" },
        { "[1]", "default" },
        { "{}", "default" },
        { "{\"account\":\"a\"}", "a" },
        { " { \"url\" : 1 , \"account\" : \"a_-9\" } ", "a_-9" },
        { "{\"account\":5}", "default" },
        { "{\"account\":\"a b\"}", "default" },
        { "{\"account\":\"\"}", "default" },
        { "{\"x\":{\"account\":\"a\"}}", "default" },
        { "{\"events\":[]}", "default" },
        { "{\"events\":5}", "default" },
        { "{\"events\":[{\"type\":\"t\"},{\"account\":\"b\"}]}", "default" },
        { "{\"events\":[ {\"type\":\"t\",\"account\":\"a\"},{\"account\":\"b\"}]}", "a" },
        { "{\"events\":[[{\"account\":\"a\"}]]}", "default" },
        { "{\"events\":\"[{}\"}", "default" },
        { "{\"events\":", "default" },
        { "{\"account\":\"", "default" },
    };
    char room[65], body[200], name[66];
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        CHECK_STR(hw_once_root_account(hw_slice_str(known[i].body), room), known[i].account);
    for (size_t len = 64; len <= 65; len++) {
        memset(name, 'a', len);
        name[len] = '\0';
        snprintf(body, sizeof body, "{\"account\":\"%s\"}", name);
        CHECK_STR(hw_once_root_account(hw_slice_str(body), room),
                  len == 64 ? name : "default");
    }
}

static bool set(struct hw_once *o, struct hw_slice header, const char *account,
                struct hw_problem *p)
{
    hw_once_init(o);
    return hw_once_set(o, header, account, "webhooks", HW_SLICE(BODY), 201, p);
}

CASE(a_key_is_printable_and_bounded)
{
    struct hw_once o;
    struct hw_problem p;
    char longest[256], account[65];
    memset(longest, ' ', sizeof longest);
    memset(account, 'z', 64);
    account[64] = '\0';
    CHECK(set(&o, HW_SLICE("~"), "a", &p));
    CHECK_INT(strncmp(o.key, "a:webhooks:", 11), ==, 0);
    CHECK_UINT(strlen(o.key), ==, 11 + 64);
    CHECK_UINT(strlen(o.prefix), ==, 64 + 3);
    CHECK_STR(o.prefix + 64, "201");
    CHECK(set(&o, hw_slice(longest, 255), account, &p));
    CHECK_UINT(strlen(o.key), ==, 64 + 10 + 64);
    CHECK(!set(&o, hw_slice(longest, 256), "a", &p));
    CHECK_STR(p.field, "Idempotency-Key");
    CHECK(!set(&o, HW_SLICE(""), "a", &p));
    CHECK(!set(&o, HW_SLICE("a\tb"), "a", &p));
    CHECK(!set(&o, HW_SLICE("\xc3\xa9"), "a", &p));
    CHECK(!set(&o, HW_SLICE("\x7f"), "a", &p));
    CHECK_INT(p.code, ==, HW_PROBLEM_INVALID_REQUEST);
}

CASE(what_is_kept_is_read_for_the_same_body_only)
{
    struct hw_once o;
    struct hw_problem p;
    struct hw_slice body;
    char kept[200];
    int status = 0;
    CHECK(set(&o, HW_SLICE("k"), "a", &p));
    snprintf(kept, sizeof kept, "%s{\"x\":1}\n", o.prefix);
    CHECK(hw_once_read(&o, hw_slice_str(kept), &status, &body, &p));
    CHECK_INT(status, ==, 201);
    CHECK(hw_slice_is(body, "{\"x\":1}\n"));
    kept[0] ^= 1;
    CHECK(!hw_once_read(&o, hw_slice_str(kept), &status, &body, &p));
    CHECK_INT(p.code, ==, HW_PROBLEM_IDEMPOTENCY_CONFLICT);
    CHECK(!hw_once_read(&o, HW_SLICE("short"), &status, &body, &p));
    CHECK_INT(p.code, ==, HW_PROBLEM_INTERNAL);
    kept[64] = 'x';
    CHECK(!hw_once_read(&o, hw_slice_str(kept), &status, &body, &p));
    CHECK_INT(p.code, ==, HW_PROBLEM_INTERNAL);
}

CASE(a_key_that_is_not_given_asks_for_nothing)
{
    struct hw_once o;
    hw_once_init(&o);
    CHECK_NULL(hw_once_ask(&o).key);
    CHECK_NULL(hw_once_ask(&o).prefix);
    hw_once_end(&o);
}

/* --- over the wire ----------------------------------------------------------------------------- */

static void create(struct fixture *f, struct response *r, const char *fields, const char *body)
{
    request_with(f, r, TOKEN, fields, "POST", "/v1/webhooks", body);
}

CASE(the_same_request_again_gets_the_same_answer)
{
    struct fixture f;
    struct response first, again;
    fixture_init(&f);
    create(&f, &first, "idempotency-key: order 1\r\n", BODY);
    CHECK_INT(first.status, ==, 201);
    CHECK_NULL(strstr(first.head, "idempotency-replayed"));
    for (int i = 0; i < 2; i++) {
        create(&f, &again, "Idempotency-Key: order 1\r\n", BODY);
        CHECK_INT(again.status, ==, 201);
        CHECK_CONTAINS(again.head, "\r\nidempotency-replayed: true\r\n");
        CHECK_CONTAINS(again.head, "\r\ncontent-type: application/json\r\n");
        CHECK_STR(again.body, first.body);
        response_close(&again);
    }
    CHECK_UINT(f.n_webhooks, ==, 1);
    create(&f, &again, "idempotency-key: order 1\r\n", BODY " ");
    check_error(&again, 409, "idempotency_conflict", NULL);
    response_close(&again);
    create(&f, &again, "idempotency-key: order 2\r\n", BODY);
    CHECK_INT(again.status, ==, 201);
    CHECK_UINT(f.n_webhooks, ==, 2);
    response_close(&again);
    response_close(&first);
    fixture_close(&f);
}

CASE(a_key_is_of_one_account_and_one_route)
{
    struct fixture f;
    struct response r;
    fixture_init(&f);
    give_token(&f, token_text(1), "a", "webhooks:manage events:read");
    give_token(&f, token_text(2), "b", "webhooks:manage events:read");
    for (unsigned i = 1; i <= 2; i++) {
        request_with(&f, &r, token_text(i), "idempotency-key: k\r\n", "POST", "/v1/webhooks",
                     BODY);
        CHECK_INT(r.status, ==, 201);
        CHECK_NULL(strstr(r.head, "idempotency-replayed"));
        response_close(&r);
    }
    create(&f, &r, "idempotency-key: k\r\n", WITH("\"account\":\"c\""));
    CHECK_INT(r.status, ==, 201);
    response_close(&r);
    CHECK_UINT(f.n_kept, ==, 3);
    CHECK_INT(strncmp(f.kept[0].key, "a:webhooks:", 11), ==, 0);
    CHECK_INT(strncmp(f.kept[1].key, "b:webhooks:", 11), ==, 0);
    CHECK_INT(strncmp(f.kept[2].key, "c:webhooks:", 11), ==, 0);
    request_with(&f, &r, TOKEN, "idempotency-key: k\r\n", "POST", "/v1/tokens",
                 "{\"account\":\"a\",\"scopes\":[\"x\"]}");
    CHECK_INT(r.status, ==, 201);
    response_close(&r);
    CHECK_UINT(f.n_recalled, ==, 3);
    fixture_close(&f);
}

CASE(events_are_answered_again_too)
{
    static const char body[] = "{\"type\":\"a.b\",\"payload\":{}}";
    struct fixture f;
    struct response first, again;
    fixture_init(&f);
    request_with(&f, &first, TOKEN, "idempotency-key: k\r\n", "POST", "/v1/events", body);
    CHECK_INT(first.status, ==, 202);
    CHECK_UINT(f.n_events, ==, 1);
    f.n_events = 0;
    request_with(&f, &again, TOKEN, "idempotency-key: k\r\n", "POST", "/v1/events", body);
    CHECK_INT(again.status, ==, 202);
    CHECK_CONTAINS(again.head, "idempotency-replayed: true");
    CHECK_STR(again.body, first.body);
    CHECK_UINT(f.n_events, ==, 0);
    response_close(&first);
    response_close(&again);
    fixture_close(&f);
}

CASE(what_was_refused_is_not_kept)
{
    struct fixture f;
    struct response r;
    fixture_init(&f);
    create(&f, &r, "idempotency-key: k\r\n", "{\"url\":5}");
    check_error(&r, 400, "invalid_request", "url");
    response_close(&r);
    create(&f, &r, "idempotency-key: k\r\n", BODY);
    CHECK_INT(r.status, ==, 201);
    response_close(&r);
    f.result = HW_BACKEND_UNAVAILABLE;
    create(&f, &r, "idempotency-key: k\r\n", BODY);
    check_error(&r, 503, "unavailable", NULL);
    response_close(&r);
    fixture_close(&f);
}

CASE(a_bad_key_is_refused)
{
    static const char *const bad[] = { "idempotency-key:\r\n", "idempotency-key: \xc3\xa9\r\n",
                                       "idempotency-key: a\r\nIdempotency-Key: a\r\n" };
    struct fixture f;
    struct response r;
    char text[400];
    fixture_init(&f);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        create(&f, &r, bad[i], BODY);
        check_error(&r, 400, "invalid_request", "Idempotency-Key");
        response_close(&r);
    }
    for (int len = 255; len <= 256; len++) {
        snprintf(text, sizeof text, "idempotency-key: %0*d\r\n", len, 0);
        create(&f, &r, text, BODY);
        CHECK_INT(r.status, ==, len == 255 ? 201 : 400);
        response_close(&r);
    }
    CHECK_UINT(f.n_webhooks, ==, 1);
    fixture_close(&f);
}

static void send_create(struct client *c, struct fixture *f, const char *key)
{
    char text[512];
    snprintf(text, sizeof text,
             "POST /v1/webhooks HTTP/1.1\r\nhost: x\r\n" BEARER "idempotency-key: %s\r\n"
             "content-type: application/json\r\ncontent-length: %zu\r\n\r\n" BODY,
             key, strlen(BODY));
    if (!c->is_connected)
        client_open(c, f);
    client_send(c, text);
}

static void let_answer(struct fixture *f)
{
    f->holds = false;
    hw_loop_arm(&f->loop, &f->answer, 0);
}

CASE(a_second_one_while_the_first_is_under_way)
{
    struct fixture f;
    struct response r;
    struct client first = { 0 }, second = { 0 }, other = { 0 };
    fixture_init(&f);
    f.holds = true;
    send_create(&first, &f, "k");
    AWAIT(&f, f.n_asked == 1);
    send_create(&second, &f, "k");
    client_await(&second, &r);
    check_error(&r, 409, "conflict", NULL);
    response_close(&r);
    send_create(&other, &f, "l");
    AWAIT(&f, f.n_asked == 2);
    let_answer(&f);
    client_await(&first, &r);
    CHECK_INT(r.status, ==, 201);
    response_close(&r);
    client_await(&other, &r);
    CHECK_INT(r.status, ==, 201);
    response_close(&r);
    send_create(&second, &f, "k");
    client_await(&second, &r);
    CHECK_INT(r.status, ==, 201);
    CHECK_CONTAINS(r.head, "idempotency-replayed: true");
    response_close(&r);
    client_close(&first);
    client_close(&second);
    client_close(&other);
    fixture_close(&f);
}

CASE(a_pipelined_repeat_is_no_second_one)
{
    struct fixture f;
    struct response r;
    struct client c = { 0 };
    fixture_init(&f);
    for (int i = 0; i < 3; i++)
        send_create(&c, &f, "k");
    for (int i = 0; i < 3; i++) {
        client_await(&c, &r);
        CHECK_INT(r.status, ==, 201);
        CHECK_INT(strstr(r.head, "idempotency-replayed") != NULL, ==, i > 0);
        response_close(&r);
    }
    CHECK_UINT(f.n_webhooks, ==, 1);
    client_close(&c);
    fixture_close(&f);
}

CASE(another_instance_may_be_faster)
{
    struct fixture f;
    struct response r;
    struct client c = { 0 };
    struct hw_once o;
    struct hw_problem p;
    struct hw_backend_once ask;
    fixture_init(&f);
    f.holds = true;
    send_create(&c, &f, "k");
    AWAIT(&f, f.n_asked == 1); /* nothing is kept, it is told; then it is */
    CHECK(set(&o, HW_SLICE("k"), "default", &p));
    ask = hw_once_ask(&o);
    keep(&f, &ask, HW_SLICE("{\"id\":\"wh_theirs\"}\n"));
    let_answer(&f);
    client_await(&c, &r);
    CHECK_INT(r.status, ==, 201);
    CHECK_STR(text_at(&r, "id"), "wh_theirs");
    CHECK_CONTAINS(r.head, "idempotency-replayed: true");
    CHECK_UINT(f.n_webhooks, ==, 0);
    response_close(&r);
    client_close(&c);
    fixture_close(&f);
}

CASE(a_client_cut_off_before_the_handler_ran_did_nothing)
{
    struct fixture f;
    struct client c = { 0 };
    fixture_prepare(&f);
    f.options.drain_ms = 50;
    fixture_open(&f);
    f.holds = true;
    send_create(&c, &f, "k");
    AWAIT(&f, f.n_asked == 1);
    hw_api_close(f.api, on_api_closed, &f);
    AWAIT(&f, c.has_ended);
    CHECK(!f.api_closed);
    let_answer(&f);
    AWAIT(&f, f.api_closed);
    CHECK_UINT(f.n_webhooks, ==, 0);
    client_close(&c);
    fixture_close_loop(&f);
}
