/* api: who is let in, and the tokens and event types that say so. */
#include "api/routes.h"
#include "support/api_fixture.h"

/* --- a token, looked at (the clock is the test's) ------------------------------------------- */

struct desk {
    struct hw_tokens tokens;
    struct hw_token_book book;
    struct hw_token *token; /* borrowed from the book */
    struct hw_caller caller;
    struct hw_problem p;
    unsigned rate_per_s;
    hw_unix_ms unix_now;
    hw_mono_ms mono_now;
};

static void desk_init(struct desk *d, const char *scopes)
{
    char hash[65];
    *d = (struct desk){ .unix_now = 1800000000000, .mono_now = 1000 };
    hw_sha256_hex(HW_SLICE(TOKEN), hash);
    CHECK_INT(hw_tokens_init(&d->tokens, hash, NULL), ==, HW_OK);
    hw_token_book_init(&d->book);
    d->token = a_token(token_text(1), "acct_1", scopes);
    CHECK_INT(hw_token_book_add(&d->book, d->token), ==, HW_OK);
}

static void desk_close(struct desk *d)
{
    hw_caller_close(&d->caller);
    hw_token_book_close(&d->book);
}

static enum hw_admission show(struct desk *d, const char *token, enum hw_scope needed)
{
    char header[128];
    snprintf(header, sizeof header, "Bearer %s", token);
    hw_caller_close(&d->caller);
    return hw_tokens_check(&d->tokens, &d->book, hw_slice_str(token ? header : NULL), needed,
                           d->rate_per_s, d->unix_now, d->mono_now, &d->caller, &d->p);
}

CASE(a_root_hash_that_is_none_is_refused)
{
    struct hw_tokens tokens;
    struct hw_cause cause = { 0 };
    CHECK_INT(hw_tokens_init(&tokens, "abc", &cause), ==, HW_EINVAL);
    CHECK_CONTAINS(cause.note, "64 hex digits");
}

CASE(root_is_let_in_everywhere_and_never_counted)
{
    struct desk d;
    desk_init(&d, "nothing");
    d.rate_per_s = 1;
    for (int i = 0; i < 100; i++)
        CHECK_INT(show(&d, TOKEN, HW_SCOPE_ROOT), ==, HW_ADMITTED);
    CHECK(d.caller.is_root);
    CHECK_NULL(d.caller.account);
    desk_close(&d);
}

CASE(a_token_outlives_the_book_that_had_it)
{
    struct desk d;
    desk_init(&d, "deliveries:read");
    CHECK_INT(show(&d, token_text(1), HW_SCOPE_DELIVERIES_READ), ==, HW_ADMITTED);
    hw_token_book_close(&d.book);
    hw_token_book_init(&d.book);
    CHECK_STR(d.caller.account, "acct_1");
    CHECK_INT(show(&d, token_text(1), HW_SCOPE_DELIVERIES_READ), ==, HW_ADMISSION_UNKNOWN);
    CHECK_NULL(d.caller.token);
    desk_close(&d);
}

CASE(only_what_has_the_form_of_a_token_is_asked_about)
{
    struct desk d;
    char text[600];
    desk_init(&d, "nothing");
    CHECK_INT(show(&d, token_text(2), HW_SCOPE_ANY), ==, HW_ADMISSION_UNKNOWN);
    CHECK_INT(d.p.code, ==, HW_PROBLEM_UNAUTHORIZED);
    CHECK_INT(show(&d, "hwt_short", HW_SCOPE_ANY), ==, HW_REFUSED);
    snprintf(text, sizeof text, "%s0", token_text(1));
    CHECK_INT(show(&d, text, HW_SCOPE_ANY), ==, HW_REFUSED);
    memset(text, 'a', sizeof text);
    text[68] = '\0';
    CHECK_INT(show(&d, text, HW_SCOPE_ANY), ==, HW_REFUSED);
    CHECK_INT(d.p.code, ==, HW_PROBLEM_UNAUTHORIZED);
    desk_close(&d);
}

CASE(a_token_ends_at_its_time)
{
    struct desk d;
    desk_init(&d, "nothing");
    d.token->expires_ms = d.unix_now + 1;
    CHECK_INT(show(&d, token_text(1), HW_SCOPE_ANY), ==, HW_ADMITTED);
    d.unix_now++;
    CHECK_INT(show(&d, token_text(1), HW_SCOPE_ANY), ==, HW_REFUSED);
    CHECK_INT(d.p.code, ==, HW_PROBLEM_UNAUTHORIZED);
    CHECK_CONTAINS(d.p.message, "expired");
    CHECK_NULL(d.caller.token);
    desk_close(&d);
}

CASE(a_missing_scope_is_named)
{
    static const struct {
        enum hw_scope needed;
        const char *missing;
    } asked[] = { { HW_SCOPE_WEBHOOKS_MANAGE, "webhooks:manage" },
                  { HW_SCOPE_DELIVERIES_READ, NULL },
                  { HW_SCOPE_DELIVERIES_WRITE, "deliveries:write" },
                  { HW_SCOPE_EVENTS_WRITE, "events:write" },
                  { HW_SCOPE_ANY, NULL },
                  { HW_SCOPE_ROOT, "root" } };
    struct desk d;
    desk_init(&d, "deliveries:read events:read");
    for (size_t i = 0; i < sizeof asked / sizeof asked[0]; i++) {
        enum hw_admission admission = show(&d, token_text(1), asked[i].needed);
        CHECK_INT(admission, ==, asked[i].missing ? HW_REFUSED : HW_ADMITTED);
        if (asked[i].missing == NULL)
            continue;
        CHECK_INT(d.p.code, ==, HW_PROBLEM_FORBIDDEN);
        CHECK_STR(d.p.missing_scope, asked[i].missing);
    }
    desk_close(&d);
}

CASE(a_token_asks_so_often_and_no_oftener)
{
    struct desk d;
    desk_init(&d, "deliveries:read");
    d.rate_per_s = 5;
    for (int i = 0; i < 5; i++) /* those that are refused count too */
        CHECK_INT(show(&d, token_text(1), i % 2 ? HW_SCOPE_ROOT : HW_SCOPE_ANY), ==,
                  i % 2 ? HW_REFUSED : HW_ADMITTED);
    for (int i = 0; i < 3; i++) {
        CHECK_INT(show(&d, token_text(1), HW_SCOPE_ANY), ==, HW_REFUSED);
        CHECK_INT(d.p.code, ==, HW_PROBLEM_RATE_LIMITED);
        CHECK_UINT(d.p.retry_after_s, ==, 1);
        CHECK_NULL(d.caller.token);
    }
    d.mono_now += 200;
    CHECK_INT(show(&d, token_text(1), HW_SCOPE_ANY), ==, HW_ADMITTED);
    CHECK_INT(show(&d, token_text(1), HW_SCOPE_ANY), ==, HW_REFUSED);
    d.mono_now += 3600000; /* an hour's rest saves up one second's worth */
    for (int i = 0; i < 5; i++)
        CHECK_INT(show(&d, token_text(1), HW_SCOPE_ANY), ==, HW_ADMITTED);
    CHECK_INT(show(&d, token_text(1), HW_SCOPE_ANY), ==, HW_REFUSED);
    desk_close(&d);
}

/* --- what a webhook receives, and who may read that ----------------------------------------- */

static struct hw_webhook *a_webhook(const char *types, const char *readable)
{
    struct hw_webhook *wh = hw_webhook_new();
    CHECK_NOT_NULL(wh);
    for (size_t len; types != NULL && *types != '\0'; types += len + (types[len] == ' ')) {
        len = strcspn(types, " ");
        CHECK_INT(hw_webhook_add_type(wh, hw_slice(types, len)), ==, HW_OK);
    }
    wh->reads_all = readable == NULL;
    for (size_t len; readable != NULL && *readable != '\0';
         readable += len + (readable[len] == ' ')) {
        len = strcspn(readable, " ");
        CHECK_INT(hw_scopes_add(&wh->readable, hw_slice(readable, len)), ==, HW_OK);
    }
    return wh;
}

/* A caller with `scopes` looks at a webhook: what is missing; NULL: nothing. */
static void check_missing(const struct hw_catalogue *catalogue, const char *scopes,
                          const char *types, const char *readable, const char *missing)
{
    struct hw_webhook *wh = a_webhook(types, readable);
    struct hw_caller caller = { .token = a_token(token_text(1), "a", scopes) };
    const char *found = NULL;
    bool may = hw_caller_may_read_all_of(&caller, catalogue, wh, &found);
    CHECK_STR(found, missing);
    CHECK_INT(may, ==, missing == NULL);
    CHECK_INT(hw_caller_may_read_all_of(&caller, catalogue, wh, NULL), ==, may);
    hw_caller_close(&caller);
    caller.is_root = true;
    CHECK(hw_caller_may_read_all_of(&caller, catalogue, wh, &found));
    hw_webhook_release(wh);
}

CASE(all_that_a_webhook_receives_must_be_readable)
{
    struct fixture f;
    fixture_init(&f);
    give_type(&f, "order.paid", "orders:read");
    give_type(&f, "order.gone", NULL);
    give_type(&f, "job.done", "deliveries:read");
    /* Every type. */
    check_missing(&f.catalogue, "events:read", NULL, NULL, NULL);
    check_missing(&f.catalogue, "orders:read", NULL, NULL, "events:read");
    /* Every type that its creator could read. */
    check_missing(&f.catalogue, "orders:read", NULL, "orders:read webhooks:manage", NULL);
    check_missing(&f.catalogue, "x", NULL, "orders:read", "orders:read");
    check_missing(&f.catalogue, "orders:read", NULL, "orders:read later:read", "later:read");
    check_missing(&f.catalogue, "orders:read", NULL, "deliveries:read", "deliveries:read");
    check_missing(&f.catalogue, "orders:read deliveries:read", NULL, "deliveries:read", NULL);
    check_missing(&f.catalogue, "x", NULL, "events:write", NULL);
    /* Those it names, of which its creator could not read all. */
    check_missing(&f.catalogue, "orders:read", "order.paid", NULL, NULL);
    check_missing(&f.catalogue, "orders:read", "order.paid order.gone", NULL, "events:read");
    check_missing(&f.catalogue, "orders:read", "order.paid order.gone", "orders:read", NULL);
    check_missing(&f.catalogue, "x", "order.paid", "orders:read", "orders:read");
    check_missing(&f.catalogue, "x", "unknown", NULL, "events:read");
    check_missing(&f.catalogue, "x", "unknown", "orders:read", NULL);
    check_missing(&f.catalogue, "webhooks:manage", "webhook.disabled", NULL, NULL);
    fixture_close(&f);
}

/* --- the table of routes ---------------------------------------------------------------------- */

/* "/v1/webhooks/:id" -> "/v1/webhooks/x" */
static void target_of(const struct hw_route *route, char target[128])
{
    char *to = target;
    for (const char *at = route->pattern; *at != '\0'; at++) {
        *to++ = *at == ':' ? 'x' : *at;
        if (*at == ':')
            at += strcspn(at, "/") - 1;
    }
    *to = '\0';
}

static const char *line_of(const struct response *r, const char *name)
{
    const char *line = strstr(r->head, name);
    if (line == NULL)
        CHECK_FAIL("no %s in %s", name, r->head);
    return line + strlen(name);
}

/* One of the comma-separated words of the line. */
static bool has_word(const char *line, const char *word)
{
    size_t len = strlen(word);
    for (const char *at = line; *at != '\r'; at += strspn(at, ", ")) {
        size_t n = strcspn(at, ",\r");
        if (n == len && memcmp(at, word, n) == 0)
            return true;
        at += n;
    }
    return false;
}

CASE(every_path_says_what_is_allowed)
{
    struct fixture f;
    fixture_init(&f);
    for (size_t i = 0; i < hw_n_routes; i++) {
        struct response r;
        char target[128];
        target_of(&hw_routes[i], target);
        for (int k = 0; k < 2; k++) {
            bool is_get = strcmp(hw_routes[i].method, "GET") == 0;
            request_as(&f, &r, "none", k == 0 ? "OPTIONS" : "PROPFIND", target, NULL);
            if (k == 0)
                CHECK_INT(r.status, ==, 204);
            else
                check_error(&r, 405, "method_not_allowed", NULL);
            CHECK(has_word(line_of(&r, "\r\nallow: "), hw_routes[i].method));
            CHECK(has_word(line_of(&r, "\r\nallow: "), "OPTIONS"));
            CHECK(!is_get || has_word(line_of(&r, "\r\nallow: "), "HEAD"));
            CHECK(!has_word(line_of(&r, "\r\nallow: "), "PROPFIND"));
            response_close(&r);
        }
    }
    fixture_close(&f);
}

CASE(every_get_has_its_head)
{
    struct fixture f;
    struct client c;
    fixture_init(&f);
    client_open(&c, &f);
    for (size_t i = 0; i < hw_n_routes; i++) {
        struct response whole, head;
        char target[128], text[512];
        if (strcmp(hw_routes[i].method, "GET") != 0)
            continue;
        target_of(&hw_routes[i], target);
        request(&f, &whole, "GET", target, NULL);
        snprintf(text, sizeof text, "HEAD %s HTTP/1.1\r\nhost: x\r\n" BEARER "\r\n", target);
        client_send(&c, text);
        AWAIT(&f, client_take(&c, &head, true));
        CHECK_INT(head.status, ==, whole.status);
        CHECK_INT(strncmp(line_of(&head, "\r\ncontent-type: "),
                          line_of(&whole, "\r\ncontent-type: "), 10),
                  ==, 0);
        CHECK_UINT(hw_buf_len(&c.in), ==, 0);
        response_close(&whole);
        response_close(&head);
    }
    client_close(&c);
    fixture_close(&f);
}

/* What a token that may do nothing lacks for the route; NULL: nothing.  Those over the feed ask for
 * a scope that reads any type at all. */
static const char *missing_for(const struct hw_route *route)
{
    if (route->scope == HW_SCOPE_ROOT)
        return "root";
    if (strncmp(route->pattern, "/v1/updates", 11) == 0 ||
        strncmp(route->pattern, "/v1/consumers", 13) == 0)
        return "events:read";
    return hw_scope_text(route->scope);
}

CASE(every_route_asks_for_its_scope)
{
    struct fixture f;
    fixture_init(&f);
    give_token(&f, token_text(1), "a", "nothing");
    for (size_t i = 0; i < hw_n_routes; i++) {
        const struct hw_route *route = &hw_routes[i];
        const char *missing = missing_for(route);
        struct response r;
        char target[128];
        target_of(route, target);
        request_as(&f, &r, "none", route->method, target, NULL);
        CHECK_INT(r.status == 401, ==, route->scope != HW_SCOPE_OPEN);
        response_close(&r);
        request_as(&f, &r, token_text(1), route->method, target, NULL);
        CHECK_INT(r.status == 403, ==, missing != NULL);
        CHECK_STR(text_at(&r, "error.details.missing_scope"), missing);
        response_close(&r);
    }
    CHECK_UINT(f.n_refreshed_tokens, ==, 0);
    fixture_close(&f);
}

CASE(without_redis_everything_is_unavailable)
{
    struct fixture f;
    fixture_init(&f);
    f.result = HW_BACKEND_UNAVAILABLE;
    expect_error(&f, "GET", "/v1/tokens", NULL, 503, "unavailable", NULL);
    expect_error(&f, "POST", "/v1/tokens", "{\"account\":\"a\",\"scopes\":[\"x\"]}", 503,
                 "unavailable", NULL);
    expect_error(&f, "DELETE", "/v1/tokens/tok_1", NULL, 503, "unavailable", NULL);
    expect_error(&f, "GET", "/v1/event-types", NULL, 503, "unavailable", NULL);
    expect_error(&f, "GET", "/v1/event-types/a", NULL, 503, "unavailable", NULL);
    expect_error(&f, "PUT", "/v1/event-types/a", "{\"group\":\"g\",\"description\":\"d\"}",
                 503, "unavailable", NULL);
    expect_error(&f, "DELETE", "/v1/event-types/a", NULL, 503, "unavailable", NULL);
    fixture_close(&f);
}

/* --- a token of another instance ------------------------------------------------------------ */

CASE(an_unknown_token_is_asked_about_once)
{
    struct fixture f;
    struct response r;
    fixture_init(&f);
    store_token(&f, a_token(token_text(1), "a", "webhooks:manage"));
    for (int i = 0; i < 3; i++) {
        request_as(&f, &r, token_text(1), "GET", "/v1/webhooks", NULL);
        CHECK_INT(r.status, ==, 200);
        response_close(&r);
        CHECK_UINT(f.n_refreshed_tokens, ==, 1);
    }
    request_as(&f, &r, token_text(2), "GET", "/v1/webhooks", NULL);
    check_error(&r, 401, "unauthorized", NULL);
    CHECK_CONTAINS(r.head, "www-authenticate: Bearer");
    response_close(&r);
    CHECK_UINT(f.n_refreshed_tokens, ==, 2);
    f.result = HW_BACKEND_UNAVAILABLE;
    request_as(&f, &r, token_text(2), "GET", "/v1/webhooks", NULL);
    check_error(&r, 503, "unavailable", NULL);
    response_close(&r);
    fixture_close(&f);
}

/* A body over what is read of a request that is refused. */
static char *a_large_body(void)
{
    char *body = hw_malloc(200 * 1024 + 1);
    CHECK_NOT_NULL(body);
    memset(body, ' ', 200 * 1024);
    memcpy(body, "{}", 2);
    body[200 * 1024] = '\0';
    return body;
}

CASE(the_first_request_of_a_token_may_be_large)
{
    struct fixture f;
    struct response r;
    char *body = a_large_body();
    fixture_init(&f);
    store_token(&f, a_token(token_text(1), "a", "webhooks:manage"));
    request_as(&f, &r, token_text(1), "POST", "/v1/webhooks", body);
    check_error(&r, 400, "invalid_request", "url");
    CHECK_NULL(strstr(r.head, "connection: close"));
    response_close(&r);
    request_as(&f, &r, token_text(2), "POST", "/v1/webhooks", body);
    check_error(&r, 401, "unauthorized", NULL);
    CHECK_CONTAINS(r.head, "connection: close");
    response_close(&r);
    hw_free(body);
    fixture_close(&f);
}

static void expect_first(struct fixture *f, const char *token, int status)
{
    struct response r;
    struct client c;
    char text[512];
    snprintf(text, sizeof text,
             "POST /v1/webhooks HTTP/1.1\r\nhost: x\r\nauthorization: Bearer %s\r\n"
             "expect: 100-continue\r\ncontent-type: application/json\r\n"
             "content-length: 30\r\n\r\n",
             token);
    client_open(&c, f);
    client_send(&c, text);
    client_await(&c, &r);
    CHECK_INT(r.status, ==, status);
    response_close(&r);
    if (status == 100) {
        client_send(&c, "{\"url\":\"https://example.com/\"} ");
        client_await(&c, &r);
        CHECK_INT(r.status, ==, 201);
        response_close(&r);
    }
    client_close(&c);
}

CASE(continue_is_said_when_it_is_known_who_asks)
{
    struct fixture f;
    fixture_init(&f);
    store_token(&f, a_token(token_text(1), "a", "webhooks:manage events:read"));
    store_token(&f, a_token(token_text(2), "a", "deliveries:read"));
    expect_first(&f, token_text(1), 100);
    hw_token_book_close(&f.tokens);
    hw_token_book_init(&f.tokens);
    expect_first(&f, token_text(2), 403);
    expect_first(&f, token_text(3), 401);
    fixture_close(&f);
}

/* The body of a request that is let in at its head comes when its token is no more. */
static void finish_late(struct fixture *f, bool expires)
{
    struct response r;
    struct client c;
    char text[512];
    struct hw_token *t = a_token(token_text(1), "a", "webhooks:manage events:read");
    store_token(f, t);
    load_tokens(f);
    snprintf(text, sizeof text,
             "POST /v1/webhooks HTTP/1.1\r\nhost: x\r\nauthorization: Bearer %s\r\n"
             "expect: 100-continue\r\ncontent-type: application/json\r\n"
             "content-length: 30\r\n\r\n",
             token_text(1));
    client_open(&c, f);
    client_send(&c, text);
    client_await(&c, &r);
    CHECK_INT(r.status, ==, 100);
    response_close(&r);
    if (expires)
        t->expires_ms = 1;
    else
        CHECK(forget_token(f, t->id));
    load_tokens(f);
    client_send(&c, "{\"url\":\"https://example.com/\"} ");
    client_await(&c, &r);
    check_error(&r, 401, "unauthorized", NULL);
    CHECK_UINT(f->n_webhooks, ==, 0);
    response_close(&r);
    client_close(&c);
}

CASE(a_token_that_ends_while_the_body_comes_opens_nothing)
{
    struct fixture f;
    fixture_init(&f);
    finish_late(&f, false);
    finish_late(&f, true);
    fixture_close(&f);
}

CASE(pipelined_requests_wait_for_who_asks)
{
    struct fixture f;
    struct response r;
    struct client c;
    char text[1024];
    fixture_init(&f);
    store_token(&f, a_token(token_text(1), "a", "webhooks:manage"));
    snprintf(text, sizeof text,
             "GET /v1/webhooks HTTP/1.1\r\nhost: x\r\nauthorization: Bearer %s\r\n\r\n"
             "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"
             "GET /v1/event-types HTTP/1.1\r\nhost: x\r\nauthorization: Bearer %s\r\n\r\n"
             "POST /v1/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer %s\r\n"
             "content-length: 2\r\n\r\n{}",
             token_text(1), token_text(2), token_text(1));
    client_open(&c, &f);
    client_send(&c, text);
    for (int i = 0; i < 4; i++) {
        static const int expected[] = { 200, 200, 401, 403 };
        client_await(&c, &r);
        CHECK_INT(r.status, ==, expected[i]);
        response_close(&r);
    }
    client_close(&c);
    fixture_close(&f);
}

CASE(a_client_may_go_while_it_is_asked_about)
{
    struct fixture f;
    struct client c;
    char text[512];
    fixture_prepare(&f);
    f.options.drain_ms = 50;
    fixture_open(&f);
    f.holds = true;
    snprintf(text, sizeof text,
             "GET /v1/webhooks HTTP/1.1\r\nhost: x\r\nauthorization: Bearer %s\r\n\r\n",
             token_text(1));
    client_open(&c, &f);
    client_send(&c, text);
    AWAIT(&f, f.n_asked == 1);
    hw_api_close(f.api, on_api_closed, &f);
    AWAIT(&f, c.has_ended);
    CHECK(!f.api_closed);
    hw_loop_arm(&f.loop, &f.answer, 0);
    AWAIT(&f, f.api_closed);
    CHECK_UINT(f.n_asked, ==, 0);
    client_close(&c);
    fixture_close_loop(&f);
}

/* --- the rate -------------------------------------------------------------------------------- */

CASE(over_its_rate_a_token_is_told_to_wait)
{
    struct fixture f;
    struct response r;
    struct client c;
    char one[256], three[900];
    fixture_prepare(&f);
    f.options.rate_per_s = 2;
    fixture_open(&f);
    give_token(&f, token_text(1), "a", "nothing");
    /* Answered at once, so that all are of one turn and one reading of the clock. */
    snprintf(one, sizeof one,
             "GET /v1/tokens HTTP/1.1\r\nhost: x\r\nauthorization: Bearer %s\r\n\r\n",
             token_text(1));
    snprintf(three, sizeof three, "%s%s%s", one, one, one);
    client_open(&c, &f);
    client_send(&c, three);
    for (int i = 0; i < 2; i++) {
        client_await(&c, &r);
        check_error(&r, 403, "forbidden", NULL);
        response_close(&r);
    }
    client_await(&c, &r);
    check_error(&r, 429, "rate_limited", NULL);
    CHECK_CONTAINS(r.head, "\r\nretry-after: 1\r\n");
    response_close(&r);
    client_close(&c);
    for (int i = 0; i < 5; i++) {
        request(&f, &r, "GET", "/v1/tokens", NULL);
        CHECK_INT(r.status, ==, 200);
        response_close(&r);
    }
    fixture_close(&f);
}

/* --- tokens ------------------------------------------------------------------------------------ */

CASE(a_token_is_shown_once)
{
    struct fixture f;
    struct response r;
    char text[HW_TOKEN_TEXT_MAX], hash[65], target[128];
    fixture_init(&f);
    request(&f, &r, "POST", "/v1/tokens",
            "{\"account\":\"acct_1\",\"scopes\":[\"webhooks:manage\",\"orders:read\"],"
            "\"name\":\"shop\",\"expires_at\":\"2999-03-09T12:00:00+01:00\"}");
    CHECK_INT(r.status, ==, 201);
    CHECK_INT(json_object_size(r.json), ==, 8);
    CHECK_STR(text_at(&r, "object"), "token");
    CHECK_STR(text_at(&r, "account"), "acct_1");
    CHECK_STR(text_at(&r, "name"), "shop");
    CHECK_STR(text_at(&r, "expires_at"), "2999-03-09T11:00:00.000Z");
    CHECK_UINT(strlen(text_at(&r, "created_at")), ==, 24);
    CHECK_UINT(json_array_size(at(&r, "scopes")), ==, 2);
    CHECK_UINT(strlen(text_at(&r, "token")), ==, sizeof text - 1);
    snprintf(text, sizeof text, "%s", text_at(&r, "token"));
    CHECK_INT(strncmp(text, "hwt_", 4), ==, 0);
    snprintf(target, sizeof target, "/v1/tokens/%s", text_at(&r, "id"));
    response_close(&r);
    hw_sha256_hex(hw_slice_str(text), hash);
    CHECK_STR(f.stored_tokens[0]->hash, hash);
    request(&f, &r, "GET", "/v1/tokens", NULL);
    CHECK_INT(r.status, ==, 200);
    CHECK_NULL(strstr(r.body, "hwt_"));
    CHECK_NULL(strstr(r.body, hash));
    CHECK_INT(json_object_size(json_array_get(at(&r, "data"), 0)), ==, 7);
    response_close(&r);
    request_as(&f, &r, text, "GET", "/v1/webhooks", NULL);
    CHECK_INT(r.status, ==, 200);
    response_close(&r);
    request_as(&f, &r, text, "GET", "/v1/webhooks?account=acct_2", NULL);
    check_error(&r, 400, "invalid_request", "account");
    response_close(&r);
    request(&f, &r, "DELETE", target, NULL);
    CHECK_INT(r.status, ==, 204);
    response_close(&r);
    request_as(&f, &r, text, "GET", "/v1/webhooks", NULL);
    check_error(&r, 401, "unauthorized", NULL);
    response_close(&r);
    expect_error(&f, "DELETE", target, NULL, 404, "not_found", NULL);
    fixture_close(&f);
}

CASE(a_minimal_token_never_ends)
{
    struct fixture f;
    struct response r;
    char first[HW_TOKEN_TEXT_MAX];
    fixture_init(&f);
    request(&f, &r, "POST", "/v1/tokens", "{\"account\":\"a\",\"scopes\":[\"events:read\"]}");
    CHECK_INT(r.status, ==, 201);
    CHECK(json_is_null(at(&r, "name")));
    CHECK(json_is_null(at(&r, "expires_at")));
    snprintf(first, sizeof first, "%s", text_at(&r, "token"));
    response_close(&r);
    request(
        &f, &r, "POST", "/v1/tokens",
        "{\"account\":\"a\",\"scopes\":[\"events:read\"],\"name\":null,\"expires_at\":null}");
    CHECK_INT(r.status, ==, 201);
    CHECK(strcmp(first, text_at(&r, "token")) != 0);
    response_close(&r);
    fixture_close(&f);
}

#define TOKEN_WITH(members) "{\"account\":\"a\",\"scopes\":[\"x\"]," members "}"

CASE(each_broken_rule_of_a_token_is_named)
{
    static const struct {
        const char *body, *field;
    } bad[] = {
        { "", NULL },
        { "{}", "account" },
        { "{\"scopes\":[\"x\"]}", "account" },
        { "{\"account\":null,\"scopes\":[\"x\"]}", "account" },
        { "{\"account\":\"a b\",\"scopes\":[\"x\"]}", "account" },
        { "{\"account\":\"a\"}", "scopes" },
        { "{\"account\":\"a\",\"scopes\":[]}", "scopes" },
        { "{\"account\":\"a\",\"scopes\":\"x\"}", "scopes" },
        { "{\"account\":\"a\",\"scopes\":[1]}", "scopes" },
        { "{\"account\":\"a\",\"scopes\":[\"a b\"]}", "scopes" },
        { "{\"account\":\"a\",\"scopes\":[\"\"]}", "scopes" },
        { "{\"account\":\"a\",\"scopes\":[\"x\",\"x\"]}", "scopes" },
        { TOKEN_WITH("\"name\":\"\""), "name" },
        { TOKEN_WITH("\"name\":\"a\\nb\""), "name" },
        { TOKEN_WITH("\"name\":1"), "name" },
        { TOKEN_WITH("\"expires_at\":\"tomorrow\""), "expires_at" },
        { TOKEN_WITH("\"expires_at\":\"2020-01-01T00:00:00Z\""), "expires_at" },
        { TOKEN_WITH("\"expires_at\":1900000000"), "expires_at" },
        { TOKEN_WITH("\"expires\":null"), "expires" },
    };
    struct fixture f;
    struct hw_buf body;
    fixture_init(&f);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        expect_error(&f, "POST", "/v1/tokens", bad[i].body, 400, "invalid_request",
                     bad[i].field);
    hw_buf_init(&body, 65536);
    hw_buf_append_str(&body, "{\"account\":\"a\",\"scopes\":[\"s0\"");
    for (int i = 1; i <= HW_SCOPES_MAX; i++)
        hw_buf_appendf(&body, ",\"s%d\"", i);
    hw_buf_append_str(&body, "]}");
    expect_error(&f, "POST", "/v1/tokens", hw_buf_str(&body), 400, "invalid_request",
                 "scopes");
    hw_buf_close(&body);
    CHECK_UINT(f.n_stored_tokens, ==, 0);
    fixture_close(&f);
}

/* "3 2 1": what the tokens of a page are called. */
static const char *names_of(const struct response *r)
{
    static char names[256];
    const json_t *item;
    size_t i, used = 0;
    names[0] = '\0';
    json_array_foreach (at(r, "data"), i, item)
        used += (size_t)snprintf(names + used, sizeof names - used, "%s%s", i ? " " : "",
                                 json_string_value(json_object_get(item, "name")));
    return names;
}

/* The page behind the cursor of that name of the page before; "": the first one. */
static void expect_page(struct fixture *f, struct response *r, const char *cursor,
                        const char *query, const char *names, bool has_more)
{
    char target[400];
    snprintf(target, sizeof target, "/v1/tokens?limit=2%s%s%s", query,
             *cursor ? "&cursor=" : "", *cursor ? text_at(r, cursor) : "");
    response_close(r);
    request(f, r, "GET", target, NULL);
    CHECK_INT(r->status, ==, 200);
    CHECK_STR(names_of(r), names);
    CHECK_INT(json_is_true(at(r, "has_more")), ==, has_more);
}

static void store_named(struct fixture *f, int i, const char *account)
{
    struct hw_token *t = a_token(token_text((unsigned)i), account, "x");
    char name[16];
    snprintf(name, sizeof name, "%d", i);
    t->name = hw_strndup(name, strlen(name));
    t->created_ms += i / 2; /* two each have one time, and then their ids decide */
    snprintf(t->id, sizeof t->id, "tok_%020d", i);
    store_token(f, t);
}

CASE(tokens_are_listed_in_both_directions)
{
    struct fixture f;
    struct response r = { 0 };
    fixture_init(&f);
    for (int i = 0; i < 6; i++)
        store_named(&f, i, i == 3 ? "b" : "a");
    expect_page(&f, &r, "", "", "5 4", true);
    CHECK(json_is_null(at(&r, "prev_cursor")));
    expect_page(&f, &r, "next_cursor", "", "3 2", true);
    store_named(&f, 6, "a");
    expect_page(&f, &r, "next_cursor", "", "1 0", false);
    CHECK(json_is_null(at(&r, "next_cursor")));
    expect_page(&f, &r, "prev_cursor", "", "3 2", true);
    expect_page(&f, &r, "prev_cursor", "", "5 4", true);
    expect_page(&f, &r, "prev_cursor", "", "6", false);
    expect_page(&f, &r, "next_cursor", "", "5 4", true);
    expect_page(&f, &r, "", "&account=b", "3", false);
    expect_page(&f, &r, "", "&account=c", "", false);
    expect_page(&f, &r, "", "&account=a", "6 5", true);
    response_close(&r);
    expect_error(&f, "GET", "/v1/tokens?account=a+b", NULL, 400, "invalid_request", "account");
    expect_error(&f, "GET", "/v1/tokens?cursor=x", NULL, 400, "invalid_request", "cursor");
    expect_error(&f, "GET", "/v1/tokens?limit=0", NULL, 400, "invalid_request", "limit");
    fixture_close(&f);
}

/* --- event types -------------------------------------------------------------------------------- */

CASE(an_event_type_is_written_read_and_dropped)
{
    static const char whole[] = "{\"group\":\"Orders\",\"title\":\"Paid\","
                                "\"description\":\"An order\\nwas paid.\","
                                "\"required_scope\":\"orders:read\"}";
    static const char object[] = "{\"name\":\"order.paid\",\"object\":\"event_type\","
                                 "\"group\":\"Orders\",\"title\":\"Paid\","
                                 "\"description\":\"An order\\nwas paid.\","
                                 "\"required_scope\":\"orders:read\"}\n";
    struct fixture f;
    struct response r;
    fixture_init(&f);
    give_token(&f, token_text(1), "a", "nothing");
    request(&f, &r, "PUT", "/v1/event-types/order.paid", whole);
    CHECK_INT(r.status, ==, 200);
    CHECK_STR(r.body, object);
    response_close(&r);
    request_as(&f, &r, token_text(1), "GET", "/v1/event-types/order.paid", NULL);
    CHECK_INT(r.status, ==, 200);
    CHECK_STR(r.body, object);
    response_close(&r);
    request(&f, &r, "PUT", "/v1/event-types/order.paid",
            "{\"group\":\"g\",\"description\":\"d\",\"title\":null,\"required_scope\":null}");
    CHECK_INT(r.status, ==, 200);
    CHECK(json_is_null(at(&r, "title")));
    CHECK(json_is_null(at(&r, "required_scope")));
    response_close(&r);
    request(&f, &r, "DELETE", "/v1/event-types/order.paid", NULL);
    CHECK_INT(r.status, ==, 204);
    response_close(&r);
    expect_error(&f, "GET", "/v1/event-types/order.paid", NULL, 404, "not_found", NULL);
    expect_error(&f, "DELETE", "/v1/event-types/order.paid", NULL, 404, "not_found", NULL);
    fixture_close(&f);
}

CASE(event_types_are_listed_as_redis_has_them)
{
    struct fixture f;
    struct response r;
    fixture_init(&f);
    request(&f, &r, "GET", "/v1/event-types", NULL);
    CHECK_STR(r.body, "{\"data\":[]}\n");
    response_close(&r);
    for (const char *const *name = (const char *const[]){ "c", "a.b", "a", NULL }; *name;
         name++)
        give_type(&f, *name, NULL);
    hw_catalogue_close(&f.catalogue); /* what another instance wrote */
    hw_catalogue_init(&f.catalogue);
    request(&f, &r, "GET", "/v1/event-types", NULL);
    CHECK_INT(json_array_size(at(&r, "data")), ==, 3);
    for (size_t i = 0; i < 3; i++) {
        static const char *const names[] = { "a", "a.b", "c" };
        CHECK_STR(
            json_string_value(json_object_get(json_array_get(at(&r, "data"), i), "name")),
            names[i]);
    }
    response_close(&r);
    hw_catalogue_close(&f.catalogue);
    hw_catalogue_init(&f.catalogue);
    request(&f, &r, "GET", "/v1/event-types/a.b", NULL);
    CHECK_INT(r.status, ==, 200);
    response_close(&r);
    expect_error(&f, "GET", "/v1/event-types?limit=1", NULL, 400, "invalid_request", "limit");
    fixture_close(&f);
}

CASE(each_broken_rule_of_an_event_type_is_named)
{
    static const struct {
        const char *name, *body, *field;
    } bad[] = {
        { "a..b", "{\"group\":\"g\",\"description\":\"d\"}", "name" },
        { "a-b", "{\"group\":\"g\",\"description\":\"d\"}", "name" },
        { "webhook.test", "{\"group\":\"g\",\"description\":\"d\"}", "name" },
        { "a", "[]", NULL },
        { "a", "{}", "group" },
        { "a", "{\"group\":\"g\"}", "description" },
        { "a", "{\"group\":\"\",\"description\":\"d\"}", "group" },
        { "a", "{\"group\":null,\"description\":\"d\"}", "group" },
        { "a", "{\"group\":\"g\\u0007\",\"description\":\"d\"}", "group" },
        { "a", "{\"group\":\"g\",\"description\":\"\"}", "description" },
        { "a", "{\"group\":\"g\",\"description\":5}", "description" },
        { "a", "{\"group\":\"g\",\"description\":\"d\",\"title\":\"\"}", "title" },
        { "a", "{\"group\":\"g\",\"description\":\"d\",\"required_scope\":\"a b\"}",
          "required_scope" },
        { "a", "{\"group\":\"g\",\"description\":\"d\",\"required_scope\":[]}",
          "required_scope" },
        { "a", "{\"group\":\"g\",\"description\":\"d\",\"name\":\"a\"}", "name" },
    };
    struct fixture f;
    char target[128], body[8192];
    fixture_init(&f);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        snprintf(target, sizeof target, "/v1/event-types/%s", bad[i].name);
        expect_error(&f, "PUT", target, bad[i].body, 400, "invalid_request", bad[i].field);
    }
    snprintf(body, sizeof body, "{\"group\":\"%0129d\",\"description\":\"d\"}", 0);
    expect_error(&f, "PUT", "/v1/event-types/a", body, 400, "invalid_request", "group");
    snprintf(body, sizeof body, "{\"group\":\"g\",\"description\":\"%04097d\"}", 0);
    expect_error(&f, "PUT", "/v1/event-types/a", body, 400, "invalid_request", "description");
    CHECK_UINT(f.n_stored_types, ==, 0);
    fixture_close(&f);
}

CASE(an_unknown_type_is_answered_with_those_there_are)
{
    struct fixture f;
    struct response r;
    const json_t *names;
    fixture_init(&f);
    give_type(&f, "b", NULL);
    give_type(&f, "a", NULL);
    request(&f, &r, "POST", "/v1/webhooks", WITH("\"event_types\":[\"c\"]"));
    check_error(&r, 400, "invalid_request", "event_types");
    names =
        json_object_get(json_object_get(at(&r, "error"), "details"), "supported_event_types");
    CHECK_UINT(json_array_size(names), ==, 2);
    CHECK_STR(json_string_value(json_array_get(names, 0)), "a");
    CHECK_STR(json_string_value(json_array_get(names, 1)), "b");
    response_close(&r);
    fixture_close(&f);
}
