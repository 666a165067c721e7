/* api: over real sockets on the loopback, with a backend that this file plays. */
#include "api/api.h"

#include <jansson.h>
#include <unistd.h>

#include "api/lossy.h"
#include "check.h"
#include "hookwheel/alloc.h"
#include "loop/stream.h"
#include "rules/record.h"
#include "rules/sign.h"

#define TOKEN       "hwt_the_root_token"
#define BEARER      "authorization: Bearer " TOKEN "\r\n"
#define PATIENCE_MS 20000

enum { KEPT = 32 };

struct fixture {
    uv_loop_t uv;
    struct hw_loop loop;
    struct hw_api *api;
    struct hw_api_options options;
    struct hw_address_rules addresses;
    struct hw_metrics metrics;
    struct hw_backend backend;
    bool loop_closed, api_closed;

    /* The backend: answers on the next turn, unless it is told to hold. */
    struct hw_backend_req *asked[KEPT];
    size_t n_asked;
    struct hw_wheel_entry answer;
    bool holds;
    enum hw_backend_result result;
    struct hw_webhook *webhooks[KEPT];
    size_t n_webhooks;
    struct hw_backend_webhook listed[KEPT];
    struct hw_backend_deliveries question; /* the last one, its texts copied below */
    char account[80], subject[80];
    struct hw_backend_delivery deliveries[KEPT];
    size_t n_deliveries;
    bool has_more;
    struct hw_backend_place reached;
    struct hw_backend_inspect inspected;
    struct hw_backend_readiness readiness;
};

/* --- the backend ------------------------------------------------------------------- */

static void ask(struct fixture *f, struct hw_backend_req *req)
{
    CHECK(f->n_asked < KEPT);
    req->result = f->result;
    f->asked[f->n_asked++] = req;
    if (!f->holds)
        hw_loop_arm(&f->loop, &f->answer, 0);
}

static void on_answer(struct hw_wheel_entry *e)
{
    struct fixture *f = HW_CONTAINER_OF(e, struct fixture, answer);
    struct hw_backend_req *asked[KEPT];
    size_t n = f->n_asked;
    memcpy(asked, f->asked, sizeof asked);
    f->n_asked = 0;
    for (size_t i = 0; i < n; i++)
        asked[i]->cb(asked[i]);
}

static void fake_create(void *data, struct hw_backend_create *req)
{
    struct fixture *f = data;
    CHECK_NULL(req->req.state);
    if (f->result == HW_BACKEND_OK) {
        CHECK(f->n_webhooks < KEPT);
        req->webhook->w = (uint32_t)f->n_webhooks + 1;
        f->webhooks[f->n_webhooks++] = hw_webhook_hold(req->webhook);
    }
    ask(f, &req->req);
}

static struct hw_webhook *find(struct fixture *f, const char *account, const char *id)
{
    for (size_t i = 0; i < f->n_webhooks; i++)
        if (strcmp(f->webhooks[i]->id, id) == 0 &&
            (account == NULL || strcmp(account, f->webhooks[i]->account) == 0))
            return f->webhooks[i];
    return NULL;
}

static void fake_get(void *data, struct hw_backend_get *req)
{
    struct fixture *f = data;
    const struct hw_webhook *wh = find(f, req->account, req->id);
    ask(f, &req->req);
    if (wh == NULL)
        req->req.result = HW_BACKEND_NOT_FOUND;
    else
        req->found = (struct hw_backend_webhook){ wh, wh->standing };
}

static void fake_list(void *data, struct hw_backend_list *req)
{
    struct fixture *f = data;
    size_t n = 0;
    for (size_t i = 0; i < f->n_webhooks; i++)
        if (strcmp(f->webhooks[i]->account, req->account) == 0)
            f->listed[n++] =
                (struct hw_backend_webhook){ f->webhooks[i], f->webhooks[i]->standing };
    req->found = f->listed;
    req->n_found = n;
    ask(f, &req->req);
}

static void fake_remove(void *data, struct hw_backend_delete *req)
{
    struct fixture *f = data;
    ask(f, &req->req);
    if (find(f, req->account, req->id) == NULL)
        req->req.result = HW_BACKEND_NOT_FOUND;
}

static void fake_deliveries(void *data, struct hw_backend_deliveries *req)
{
    struct fixture *f = data;
    f->question = *req;
    snprintf(f->account, sizeof f->account, "%s", req->account);
    snprintf(f->subject, sizeof f->subject, "%s", req->subject ? req->subject : "");
    req->found = f->deliveries;
    req->n_found = f->n_deliveries;
    req->has_more = f->has_more;
    req->reached = f->reached;
    ask(f, &req->req);
}

static void fake_inspect(void *data, struct hw_backend_inspect *req)
{
    struct fixture *f = data;
    struct hw_backend_inspect asked = *req;
    if (req->w != f->inspected.found.w || req->n != f->inspected.found.n) {
        ask(f, &req->req);
        req->req.result = HW_BACKEND_NOT_FOUND;
        return;
    }
    *req = f->inspected;
    req->req = asked.req;
    ask(f, &req->req);
}

static void fake_gauges(void *data, struct hw_backend_gauges *req)
{
    struct fixture *f = data;
    req->gauges = (struct hw_gauges){ .in_flight = 3,
                                      .oldest_waiting_s = 1.5,
                                      .durability = HW_DURABILITY_EVERYSEC };
    ask(f, &req->req);
    req->req.result = HW_BACKEND_OK;
}

static void fake_readiness(void *data, struct hw_backend_readiness *out)
{
    *out = ((struct fixture *)data)->readiness;
}

/* --- the fixture --------------------------------------------------------------------- */

static void fixture_prepare(struct fixture *f)
{
    static char hash[65];
    memset(f, 0, sizeof *f);
    CHECK_INT(uv_loop_init(&f->uv), ==, 0);
    CHECK_INT(hw_loop_init(&f->loop, &f->uv, NULL), ==, HW_OK);
    hw_metrics_init(&f->metrics);
    hw_wheel_entry_init(&f->answer, on_answer);
    hw_sha256_hex(HW_SLICE(TOKEN), hash);
    f->backend = (struct hw_backend){ f,
                                      fake_create,
                                      fake_get,
                                      fake_list,
                                      fake_remove,
                                      fake_deliveries,
                                      fake_inspect,
                                      fake_gauges,
                                      fake_readiness };
    f->options = (struct hw_api_options){ .listen = "127.0.0.1:0",
                                          .root_token_hash = hash,
                                          .version = "9.9",
                                          .addresses = &f->addresses,
                                          .metrics = &f->metrics,
                                          .backend = &f->backend };
}

static void fixture_open(struct fixture *f)
{
    struct hw_cause cause = { 0 };
    if (hw_api_open(&f->api, &f->loop, &f->options, &cause) != HW_OK)
        CHECK_FAIL("%s", cause.note);
}

static void fixture_init(struct fixture *f)
{
    fixture_prepare(f);
    fixture_open(f);
}

static void on_api_closed(void *data)
{
    ((struct fixture *)data)->api_closed = true;
}

static void on_loop_closed(struct hw_loop *loop)
{
    HW_CONTAINER_OF(loop, struct fixture, loop)->loop_closed = true;
}

static void fixture_close_loop(struct fixture *f)
{
    hw_loop_close(&f->loop, on_loop_closed);
    uv_run(&f->uv, UV_RUN_DEFAULT);
    CHECK(f->loop_closed);
    CHECK_INT(uv_loop_close(&f->uv), ==, 0);
    for (size_t i = 0; i < f->n_webhooks; i++)
        hw_webhook_release(f->webhooks[i]);
    hw_address_rules_close(&f->addresses);
}

static void fixture_close(struct fixture *f)
{
    hw_api_close(f->api, on_api_closed, f);
    CHECK(!f->api_closed);
    while (!f->api_closed)
        uv_run(&f->uv, UV_RUN_ONCE);
    fixture_close_loop(f);
}

/* --- a client ------------------------------------------------------------------------- */

struct client {
    struct fixture *f;
    struct hw_stream stream;
    struct hw_buf in;
    bool is_connected, has_ended, is_closed;
};

struct response {
    int status;
    char head[4096];
    char *body;   /* owned */
    json_t *json; /* owned; NULL: not JSON */
};

static void on_connect(struct hw_stream *s)
{
    HW_CONTAINER_OF(s, struct client, stream)->is_connected = true;
}

static void on_data(struct hw_stream *s, struct hw_slice data)
{
    CHECK_INT(hw_buf_append_slice(&HW_CONTAINER_OF(s, struct client, stream)->in, data), ==,
              HW_OK);
}

static void on_end(struct hw_stream *s, const struct hw_cause *cause)
{
    (void)cause;
    HW_CONTAINER_OF(s, struct client, stream)->has_ended = true;
}

static void on_client_closed(struct hw_stream *s)
{
    HW_CONTAINER_OF(s, struct client, stream)->is_closed = true;
}

static const struct hw_stream_events client_events = { .on_connect = on_connect,
                                                       .on_data = on_data,
                                                       .on_end = on_end };

#define AWAIT(f, condition)                                                                   \
    do {                                                                                      \
        uint64_t until = uv_hrtime() / 1000000 + PATIENCE_MS;                                 \
        while (!(condition)) {                                                                \
            if (uv_hrtime() / 1000000 > until)                                                \
                CHECK_FAIL("never came true: %s", #condition);                                \
            turn(f);                                                                          \
        }                                                                                     \
    } while (0)

static void on_tick(uv_timer_t *timer)
{
    (void)timer;
}

/* One turn of the loop, at most 20 ms long. */
static void turn(struct fixture *f)
{
    uv_timer_t tick;
    uv_timer_init(&f->uv, &tick);
    uv_timer_start(&tick, on_tick, 20, 0);
    uv_run(&f->uv, UV_RUN_ONCE);
    uv_timer_stop(&tick);
    uv_close((uv_handle_t *)&tick, NULL);
    uv_run(&f->uv, UV_RUN_NOWAIT);
}

static void client_connect(struct client *c, struct fixture *f, unsigned port)
{
    struct sockaddr_in address;
    *c = (struct client){ .f = f };
    hw_buf_init(&c->in, 64 * 1024 * 1024);
    hw_stream_init(&c->stream, &f->loop, &client_events);
    uv_ip4_addr("127.0.0.1", (int)port, &address);
    hw_stream_connect_tcp(&c->stream, (struct sockaddr *)&address);
    AWAIT(f, c->is_connected);
}

static void client_open(struct client *c, struct fixture *f)
{
    client_connect(c, f, hw_api_port(f->api));
}

static void client_close(struct client *c)
{
    hw_stream_close(&c->stream, on_client_closed);
    AWAIT(c->f, c->is_closed);
    hw_buf_close(&c->in);
}

static void client_send_bytes(struct client *c, struct hw_slice bytes)
{
    CHECK_INT(hw_stream_write(&c->stream, &bytes, 1), ==, HW_OK);
}

static void client_send(struct client *c, const char *text)
{
    client_send_bytes(c, hw_slice_str(text));
}

/* Take one whole response out of what came. */
static bool client_take(struct client *c, struct response *r, bool is_head)
{
    const char *text = hw_buf_str(&c->in), *end = strstr(text, "\r\n\r\n"), *at;
    size_t head = end ? (size_t)(end - text) + 4 : 0, body = 0;
    if (end == NULL)
        return false;
    CHECK(head < sizeof r->head);
    memset(r, 0, sizeof *r);
    memcpy(r->head, text, head);
    CHECK_INT(sscanf(text, "HTTP/1.1 %d ", &r->status), ==, 1);
    at = strstr(r->head, "\r\ncontent-length: ");
    if (at != NULL && !is_head)
        body = strtoul(at + 18, NULL, 10);
    if (hw_buf_len(&c->in) < head + body)
        return false;
    r->body = hw_strndup(text + head, body);
    r->json = json_loads(r->body, 0, NULL);
    hw_buf_consume(&c->in, head + body);
    return true;
}

static void client_await(struct client *c, struct response *r)
{
    AWAIT(c->f, client_take(c, r, false));
}

static void response_close(struct response *r)
{
    json_decref(r->json);
    hw_free(r->body);
}

/* The text at "error.details.field" of the body; NULL: none. */
static const char *text_at(const struct response *r, const char *path)
{
    const json_t *at = r->json;
    char name[64];
    while (*path != '\0') {
        size_t len = strcspn(path, ".");
        snprintf(name, sizeof name, "%.*s", (int)len, path);
        at = json_object_get(at, name);
        path += len + (path[len] == '.');
    }
    return json_string_value(at);
}

static const json_t *at(const struct response *r, const char *name)
{
    return json_object_get(r->json, name);
}

/* One request over a connection of its own. */
static void exchange(struct fixture *f, struct response *r, const char *request)
{
    struct client c;
    client_open(&c, f);
    client_send(&c, request);
    client_await(&c, r);
    client_close(&c);
}

static void request(struct fixture *f, struct response *r, const char *method,
                    const char *target, const char *body)
{
    struct hw_buf text;
    hw_buf_init(&text, 16 * 1024 * 1024);
    hw_buf_appendf(&text, "%s %s HTTP/1.1\r\nhost: x\r\n" BEARER, method, target);
    if (body != NULL)
        hw_buf_appendf(&text,
                       "content-type: application/json\r\ncontent-length: %zu\r\n\r\n%s",
                       strlen(body), body);
    else
        hw_buf_append_str(&text, "\r\n");
    exchange(f, r, hw_buf_str(&text));
    hw_buf_close(&text);
}

static void check_error(const struct response *r, int status, const char *code,
                        const char *field)
{
    if (r->status != status)
        CHECK_FAIL("status %d instead of %d: %s", r->status, status, r->body);
    CHECK_STR(text_at(r, "error.code"), code);
    CHECK_STR(text_at(r, "error.details.field"), field);
    CHECK_NOT_NULL(text_at(r, "error.message"));
}

static void expect_error(struct fixture *f, const char *method, const char *target,
                         const char *body, int status, const char *code, const char *field)
{
    struct response r;
    request(f, &r, method, target, body);
    check_error(&r, status, code, field);
    response_close(&r);
}

/* --- opening ---------------------------------------------------------------------------- */

static void expect_not_open(const char *listen, const char *part)
{
    struct fixture f;
    struct hw_cause cause = { 0 };
    fixture_prepare(&f);
    f.options.listen = listen;
    CHECK_INT(hw_api_open(&f.api, &f.loop, &f.options, &cause), !=, HW_OK);
    CHECK_CONTAINS(cause.note, part);
    fixture_close_loop(&f);
}

CASE(an_address_that_does_not_parse_is_named)
{
    expect_not_open("nonsense", "nonsense");
    expect_not_open("127.0.0.1", "127.0.0.1");
    expect_not_open("127.0.0.1:70000", "127.0.0.1:70000");
    expect_not_open("::1:80", "::1:80");
    expect_not_open("example.com:80", "example.com:80");
    expect_not_open("192.0.2.1:0", "cannot listen on 192.0.2.1:0");
}

CASE(a_port_in_use_is_a_clear_line)
{
    struct fixture f;
    char address[32];
    fixture_init(&f);
    snprintf(address, sizeof address, "127.0.0.1:%u", hw_api_port(f.api));
    expect_not_open(address, "another program has this port");
    fixture_close(&f);
}

CASE(listens_on_any_address_of_either_family)
{
    struct fixture f;
    struct response r;
    fixture_prepare(&f);
    f.options.listen = "[::]:0";
    fixture_open(&f);
    request(&f, &r, "GET", "/healthz", NULL); /* over IPv4 */
    CHECK_INT(r.status, ==, 200);
    response_close(&r);
    fixture_close(&f);
}

CASE(operators_have_a_listener_of_their_own)
{
    struct fixture f;
    struct response r;
    struct client c;
    fixture_prepare(&f);
    f.options.ops_listen = "localhost:0";
    fixture_open(&f);
    CHECK_UINT(hw_api_ops_port(f.api), !=, 0);
    expect_error(&f, "GET", "/healthz", NULL, 404, "not_found", NULL);
    client_connect(&c, &f, hw_api_ops_port(f.api));
    client_send(&c, "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\nGET /v1/webhooks "
                    "HTTP/1.1\r\nhost: x\r\n\r\n");
    client_await(&c, &r);
    CHECK_INT(r.status, ==, 200);
    response_close(&r);
    client_await(&c, &r);
    CHECK_INT(r.status, ==, 404);
    response_close(&r);
    client_close(&c);
    fixture_close(&f);
}

/* --- routes and tokens -------------------------------------------------------------------- */

CASE(health_needs_no_token_and_keeps_the_connection)
{
    struct fixture f;
    struct response r;
    struct client c;
    fixture_init(&f);
    client_open(&c, &f);
    for (int i = 0; i < 3; i++) {
        client_send(&c, "GET /healthz?whatever=1 HTTP/1.1\r\nhost: x\r\n\r\n");
        client_await(&c, &r);
        CHECK_INT(r.status, ==, 200);
        CHECK_STR(text_at(&r, "status"), "ok");
        CHECK_NULL(strstr(r.head, "connection: close"));
        response_close(&r);
    }
    client_close(&c);
    fixture_close(&f);
}

CASE(without_a_good_token_nothing)
{
    static const char *const bad[] = { "",
                                       "authorization: Bearer hwt_other\r\n",
                                       "authorization: Basic " TOKEN "\r\n",
                                       "authorization: Bearer\r\n",
                                       "authorization: Bearer \r\n",
                                       "authorization: " TOKEN "\r\n" };
    struct fixture f;
    struct response r;
    char text[512];
    fixture_init(&f);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        snprintf(text, sizeof text, "GET /v1/webhooks HTTP/1.1\r\nhost: x\r\n%s\r\n", bad[i]);
        exchange(&f, &r, text);
        check_error(&r, 401, "unauthorized", NULL);
        CHECK_CONTAINS(r.head, "www-authenticate: Bearer");
        response_close(&r);
    }
    exchange(&f, &r,
             "GET /v1/webhooks HTTP/1.1\r\nhost: x\r\nAuthorization: bEARER  " TOKEN
             "\r\n\r\n");
    CHECK_INT(r.status, ==, 200);
    response_close(&r);
    fixture_close(&f);
}

CASE(unknown_paths_and_methods)
{
    struct fixture f;
    struct response r;
    fixture_init(&f);
    expect_error(&f, "GET", "/", NULL, 404, "not_found", NULL);
    expect_error(&f, "GET", "/v1", NULL, 404, "not_found", NULL);
    expect_error(&f, "GET", "/v1/webhooks/", NULL, 404, "not_found", NULL);
    expect_error(&f, "GET", "/v1/webhooks/a/b/c/d/e/f/g/h", NULL, 404, "not_found", NULL);
    expect_error(&f, "GET", "/v1/webhooks/%zz", NULL, 400, "invalid_request", "path");
    expect_error(&f, "OPTIONS", "/nowhere", NULL, 404, "not_found", NULL);
    request(&f, &r, "PUT", "/v1/webhooks", "{}");
    check_error(&r, 405, "method_not_allowed", NULL);
    CHECK_CONTAINS(r.head, "\r\nallow: POST, GET, HEAD, OPTIONS\r\n");
    response_close(&r);
    request(&f, &r, "OPTIONS", "/v1/webhooks/wh_1", NULL);
    CHECK_INT(r.status, ==, 204);
    CHECK_CONTAINS(r.head, "\r\nallow: GET, HEAD, DELETE, OPTIONS\r\n");
    response_close(&r);
    fixture_close(&f);
}

CASE(head_is_get_without_the_body)
{
    struct fixture f;
    struct response r;
    struct client c;
    fixture_init(&f);
    client_open(&c, &f);
    client_send(
        &c,
        "HEAD /healthz HTTP/1.1\r\nhost: x\r\n\r\nGET /healthz HTTP/1.1\r\nhost: x\r\n\r\n");
    AWAIT(&f, client_take(&c, &r, true));
    CHECK_INT(r.status, ==, 200);
    CHECK_CONTAINS(r.head, "content-length: 16\r\n");
    response_close(&r);
    client_await(&c, &r);
    CHECK_STR(r.body, "{\"status\":\"ok\"}\n");
    response_close(&r);
    client_close(&c);
    fixture_close(&f);
}

CASE(query_parameters_are_known_and_given_once)
{
    struct fixture f;
    fixture_init(&f);
    expect_error(&f, "GET", "/v1/webhooks?limits=5", NULL, 400, "invalid_request", "limits");
    expect_error(&f, "GET", "/v1/webhooks?limit=5&l%69mit=6", NULL, 400, "invalid_request",
                 "limit");
    expect_error(&f, "GET", "/v1/webhooks?subject=%zz", NULL, 400, "invalid_request",
                 "subject");
    expect_error(&f, "GET", "/v1/webhooks?subject=a%00b", NULL, 400, "invalid_request",
                 "subject");
    expect_error(&f, "GET", "/v1/webhooks/wh_1?x=1", NULL, 400, "invalid_request", "x");
    expect_error(&f, "GET", "/v1/webhooks?limit=0", NULL, 400, "invalid_request", "limit");
    expect_error(&f, "GET", "/v1/webhooks?limit=201", NULL, 400, "invalid_request", "limit");
    expect_error(&f, "GET", "/v1/webhooks?limit=", NULL, 400, "invalid_request", "limit");
    expect_error(&f, "GET", "/v1/webhooks?cursor=abc", NULL, 400, "invalid_request", "cursor");
    expect_error(&f, "GET", "/v1/webhooks?status=deleted", NULL, 400, "invalid_request",
                 "status");
    expect_error(&f, "GET", "/v1/webhooks?account=a.b", NULL, 400, "invalid_request",
                 "account");
    expect_error(&f, "GET", "/v1/deliveries?status=done", NULL, 400, "invalid_request",
                 "status");
    expect_error(&f, "GET", "/v1/deliveries?since=today", NULL, 400, "invalid_request",
                 "since");
    fixture_close(&f);
}

/* --- webhooks ------------------------------------------------------------------------------- */

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
    f.webhooks[0]->standing = (struct hw_webhook_standing){
        HW_WEBHOOK_DISABLED,          10,      1700000000000, 1700000001000,
        "Endpoint returned 410 Gone", { 5, 6 }
    };
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

#define WITH(members) "{\"url\":\"https://example.com/\"," members "}"

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
    { WITH("\"backfill_from\":\"start\""), "backfill_from" },
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

/* --- deliveries -------------------------------------------------------------------------------- */

static struct hw_backend_delivery a_delivery(uint32_t w, uint64_t n)
{
    return (struct hw_backend_delivery){ .w = w,
                                         .n = n,
                                         .account = "acct_1",
                                         .webhook_id = "wh_1",
                                         .history = { .stamp_us = 1000 + n,
                                                      .cursor = { 1700000000000, 1 },
                                                      .event_id = HW_SLICE("evt_1"),
                                                      .event_type = HW_SLICE("a.b"),
                                                      .subject = HW_SLICE("s"),
                                                      .status = HW_STATUS_FAILED,
                                                      .attempts = 2,
                                                      .created_ms = 1700000000000,
                                                      .updated_ms = 1700000001000,
                                                      .last_attempt_ms = 1700000001000,
                                                      .next_attempt_ms = 1700000061000,
                                                      .response_code = 503,
                                                      .failure = HW_FAILURE_HTTP_STATUS,
                                                      .message = HW_SLICE("503") } };
}

CASE(filters_of_deliveries_reach_the_backend)
{
    struct fixture f;
    struct response r;
    fixture_init(&f);
    request(&f, &r, "GET", "/v1/deliveries", NULL);
    CHECK_STR(r.body,
              "{\"data\":[],\"has_more\":false,\"next_cursor\":null,\"prev_cursor\":null}\n");
    response_close(&r);
    CHECK_STR(f.account, "default");
    CHECK_INT(f.question.status, ==, -1);
    CHECK_UINT(f.question.limit, ==, 50);
    CHECK(!f.question.has_place);
    CHECK_NULL(f.question.webhook_id);
    request(
        &f, &r, "GET",
        "/v1/"
        "deliveries?account=a&webhook_id=wh_1&event_id=e&subject=a+b%2bc&status=dead_letter"
        "&since=2026-03-09T12:00:00Z&until=2026-03-09T13:00:00%2B01:00&limit=200",
        NULL);
    CHECK_INT(r.status, ==, 200);
    response_close(&r);
    CHECK_STR(f.account, "a");
    CHECK_STR(f.subject, "a b+c");
    CHECK_INT(f.question.status, ==, HW_STATUS_DEAD_LETTER);
    CHECK_INT(f.question.since_ms, ==, 1773057600000);
    CHECK_INT(f.question.until_ms, ==, 1773057600000);
    CHECK_UINT(f.question.limit, ==, 200);
    fixture_close(&f);
}

static void follow(struct fixture *f, const struct response *r, const char *name)
{
    struct response next;
    char target[300];
    CHECK_NOT_NULL(text_at(r, name));
    snprintf(target, sizeof target, "/v1/deliveries?cursor=%s", text_at(r, name));
    request(f, &next, "GET", target, NULL);
    CHECK_INT(next.status, ==, 200);
    response_close(&next);
}

CASE(cursors_of_deliveries_carry_the_place)
{
    struct fixture f;
    struct response r;
    fixture_init(&f);
    f.deliveries[0] = a_delivery(7, 30);
    f.deliveries[1] = a_delivery(7, 20);
    f.n_deliveries = 2;
    f.has_more = true;
    f.reached = (struct hw_backend_place){ 900, 7, 3 };
    request(&f, &r, "GET", "/v1/deliveries", NULL);
    CHECK_INT(json_array_size(at(&r, "data")), ==, 2);
    CHECK(json_is_null(at(&r, "prev_cursor")));
    follow(&f, &r, "next_cursor");
    CHECK(f.question.has_place && !f.question.is_newer);
    CHECK_UINT(f.question.place.stamp_us, ==, 900);
    CHECK_UINT(f.question.place.w, ==, 7);
    CHECK_UINT(f.question.place.n, ==, 3);
    char target[300];
    snprintf(target, sizeof target, "/v1/deliveries?cursor=%s", text_at(&r, "next_cursor"));
    response_close(&r);
    request(&f, &r, "GET", target, NULL);
    follow(&f, &r, "prev_cursor");
    CHECK(f.question.has_place && f.question.is_newer);
    CHECK_UINT(f.question.place.n, ==, 30);
    snprintf(target, sizeof target, "/v1/webhooks?cursor=%s", text_at(&r, "prev_cursor"));
    expect_error(&f, "GET", target, NULL, 400, "invalid_request", "cursor");
    response_close(&r);
    fixture_close(&f);
}

static void pack_log(struct hw_buf *log)
{
    struct hw_attempt first = { .number = 1,
                                .started_ms = 1700000000500,
                                .duration_ms = 12,
                                .dns_ms = 1,
                                .connect_ms = 2,
                                .tls_ms = -1,
                                .first_byte_ms = 9,
                                .address = HW_SLICE("203.0.113.9:443"),
                                .tls_version = HW_SLICE("TLSv1.3"),
                                .response_code = 503,
                                .response_head = HW_SLICE("a: 1\nb: \xff\na: 2\n"),
                                .response_body = HW_SLICE("no \xff\xc3\xa9 \xf0\x9f"),
                                .failure = HW_FAILURE_HTTP_STATUS,
                                .message = HW_SLICE("503") };
    struct hw_attempt second = { .number = 2,
                                 .started_ms = 1700000001000,
                                 .duration_ms = 3,
                                 .dns_ms = -1,
                                 .connect_ms = -1,
                                 .tls_ms = -1,
                                 .first_byte_ms = 3,
                                 .reused = true,
                                 .response_code = 200 };
    hw_buf_init(log, 65536);
    CHECK_INT(hw_attempt_pack(log, &first), ==, HW_OK);
    CHECK_INT(hw_attempt_pack(log, &second), ==, HW_OK);
}

static void check_log(const struct response *r)
{
    const json_t *first = json_array_get(at(r, "attempt_log"), 0);
    const json_t *second = json_array_get(at(r, "attempt_log"), 1);
    const json_t *heads = json_object_get(first, "response_headers");
    CHECK_INT(json_array_size(at(r, "attempt_log")), ==, 2);
    CHECK_STR(json_string_value(json_object_get(heads, "a")), "1, 2");
    CHECK_STR(json_string_value(json_object_get(heads, "b")), "\xef\xbf\xbd");
    CHECK_STR(json_string_value(json_object_get(first, "response_body")),
              "no \xef\xbf\xbd\xc3\xa9 \xef\xbf\xbd\xef\xbf\xbd");
    CHECK_INT(json_object_size(json_object_get(first, "phases")), ==, 3);
    CHECK_STR(json_string_value(json_object_get(json_object_get(first, "error"), "kind")),
              "http_status");
    CHECK_NULL(json_object_get(second, "phases"));
    CHECK(json_is_null(json_object_get(second, "error")));
    CHECK_STR(json_string_value(json_object_get(second, "response_body")), "thanks");
    CHECK_STR(
        json_string_value(json_object_get(json_object_get(second, "response_headers"), "c")),
        "3");
}

CASE(a_delivery_shows_its_log_and_its_request)
{
    struct fixture f;
    struct response r;
    struct hw_buf log;
    char target[128] = "/v1/deliveries/";
    fixture_init(&f);
    request(&f, &r, "POST", "/v1/webhooks",
            WITH("\"headers\":{\"x-key\":\"very secret\"},\"name\":\"n\""));
    response_close(&r);
    pack_log(&log);
    f.inspected = (struct hw_backend_inspect){
        .found = a_delivery(1, 5),
        .webhook = f.webhooks[0],
        .record = HW_SLICE(
            "{\"id\":\"evt_1\",\"type\":\"a.b\",\"timestamp\":\"2026-03-09T12:00:00.000Z\","
            "\"account\":\"acct_1\",\"subject\":\"s\",\"level\":\"user\","
            "\"data\":{\"x\":1,\"raw\":\"hidden\"}}"),
        .response_head = HW_SLICE("c: 3\n"),
        .response_body = HW_SLICE("thanks")
    };
    f.inspected.found.history.log = hw_buf_slice(&log);
    f.inspected.found.history.traceparent = HW_SLICE("00-x");
    hw_id_delivery(1, 5, target + strlen(target));
    request(&f, &r, "GET", target, NULL);
    CHECK_INT(r.status, ==, 200);
    CHECK_STR(text_at(&r, "object"), "delivery");
    CHECK_STR(text_at(&r, "status"), "failed");
    CHECK_STR(text_at(&r, "error.kind"), "http_status");
    CHECK_STR(text_at(&r, "next_attempt_at"), "2023-11-14T22:14:21.000Z");
    check_log(&r);
    CHECK_STR(text_at(&r, "request.headers.host"), "example.com");
    CHECK_STR(text_at(&r, "request.headers.user-agent"), "hookwheel/9.9");
    CHECK_STR(text_at(&r, "request.headers.webhook-timestamp"), "1700000001");
    CHECK_STR(text_at(&r, "request.headers.x-hookwheel-attempt"), "2");
    CHECK_STR(text_at(&r, "request.headers.x-hookwheel-subject"), "s");
    CHECK_STR(text_at(&r, "request.headers.traceparent"), "00-x");
    CHECK_STR(text_at(&r, "request.headers.x-key"), "***");
    CHECK_NULL(text_at(&r, "request.headers.webhook-signature"));
    CHECK_CONTAINS(text_at(&r, "request.body"), "\"data\":{\"x\":1}}");
    CHECK_NULL(strstr(r.body, "hidden"));
    CHECK_NULL(strstr(r.body, "very secret"));
    response_close(&r);
    f.inspected.record = hw_slice(NULL, 0);
    request(&f, &r, "GET", target, NULL);
    CHECK(json_is_null(json_object_get(at(&r, "request"), "body")));
    response_close(&r);
    f.inspected.webhook = NULL;
    request(&f, &r, "GET", target, NULL);
    CHECK(json_is_null(at(&r, "request")));
    response_close(&r);
    expect_error(&f, "GET", "/v1/deliveries/dlv_nonsense", NULL, 404, "not_found", NULL);
    hw_id_delivery(1, 6, target + strlen("/v1/deliveries/"));
    expect_error(&f, "GET", target, NULL, 404, "not_found", NULL);
    hw_buf_close(&log);
    fixture_close(&f);
}

CASE(fields_of_strangers_become_an_object)
{
    json_t *object = hw_lossy_fields(HW_SLICE("a: 1\nno colon\n: x\nb:\nA: 2"));
    CHECK_INT(json_object_size(object), ==, 3);
    CHECK_STR(json_string_value(json_object_get(object, "b")), "");
    CHECK_STR(json_string_value(json_object_get(object, "A")), "2");
    json_decref(object);
}

/* --- for operators --------------------------------------------------------------------------------- */

CASE(readiness_gives_its_reason)
{
    struct fixture f;
    struct response r;
    fixture_init(&f);
    snprintf(f.readiness.reason, sizeof f.readiness.reason, "Redis cannot be reached");
    request(&f, &r, "GET", "/readyz", NULL);
    CHECK_INT(r.status, ==, 503);
    CHECK_STR(text_at(&r, "reason"), "Redis cannot be reached");
    CHECK_STR(text_at(&r, "redis.durability"), "unknown");
    response_close(&r);
    f.readiness = (struct hw_backend_readiness){ .is_ready = true,
                                                 .durability = HW_DURABILITY_EVERYSEC };
    request(&f, &r, "GET", "/readyz", NULL);
    CHECK_INT(r.status, ==, 200);
    CHECK_STR(text_at(&r, "status"), "ready");
    CHECK_STR(text_at(&r, "redis.durability"), "everysec");
    response_close(&r);
    fixture_close(&f);
}

static void check_with_promtool(const char *page)
{
    FILE *promtool;
    if (system("command -v promtool >/dev/null 2>&1") != 0) {
        printf("promtool is not installed: its check is left out\n");
        return;
    }
    promtool = popen("promtool check metrics", "w");
    CHECK_NOT_NULL(promtool);
    fputs(page, promtool);
    CHECK_INT(pclose(promtool), ==, 0);
}

CASE(metrics_are_all_there_and_valid)
{
    static const char *const names[] = {
        "hookwheel_events_accepted_total 0\n",
        "hookwheel_events_rejected_total{reason=\"bad_json\"} 0\n",
        "hookwheel_events_deduplicated_total 0\n",
        "hookwheel_attempts_total{result=\"success\"} 0\n",
        "hookwheel_attempts_total{result=\"refused_address\"} 0\n",
        "hookwheel_attempt_duration_seconds_count 0\n",
        "hookwheel_attempt_phase_seconds_count{phase=\"first_byte\"} 0\n",
        "hookwheel_delivery_latency_seconds_count 0\n",
        "hookwheel_retry_lateness_seconds_count 0\n",
        "hookwheel_deliveries_total{status=\"dead_letter\"} 0\n",
        "hookwheel_deliveries_dropped_total{reason=\"backlog_full\"} 0\n",
        "hookwheel_deliveries_in_flight 3\n",
        "hookwheel_deliveries_waiting 0\n",
        "hookwheel_oldest_waiting_seconds 1.5\n",
        "hookwheel_retries_scheduled 0\n",
        "hookwheel_webhooks{status=\"paused\"} 0\n",
        "hookwheel_webhooks_disabled_total{reason=\"gone\"} 0\n",
        "hookwheel_stream_lag 0\n",
        "hookwheel_stream_pending 0\n",
        "hookwheel_takeovers_total 0\n",
        "hookwheel_connections_open 0\n",
        "hookwheel_connections_opened_total 0\n",
        "hookwheel_connections_reused_total 0\n",
        "hookwheel_tls_handshakes_total{kind=\"resumed\"} 0\n",
        "hookwheel_dns_lookups_total{result=\"cached\"} 0\n",
        "hookwheel_redis_connected 0\n",
        "hookwheel_redis_durability{level=\"everysec\"} 1\n",
        "hookwheel_redis_durability{level=\"always\"} 0\n",
        "hookwheel_redis_memory_bytes 0\n",
        "hookwheel_redis_reconnects_total 0\n",
        "hookwheel_redis_command_duration_seconds_count 0\n",
        "hookwheel_loop_lag_seconds_count 0\n",
        "hookwheel_http_requests_total{route=\"GET /healthz\",status=\"200\"} 1\n",
        "hookwheel_http_requests_total{route=\"none\",status=\"404\"} 1\n",
        "hookwheel_build_info{version=\"9.9\"} 1\n",
        "process_cpu_seconds_total ",
        "process_resident_memory_bytes ",
        "process_open_fds ",
        "process_start_time_seconds ",
    };
    struct fixture f;
    struct response r;
    fixture_init(&f);
    request(&f, &r, "GET", "/healthz", NULL);
    response_close(&r);
    request(&f, &r, "GET", "/nowhere", NULL);
    response_close(&r);
    f.result = HW_BACKEND_UNAVAILABLE;
    exchange(&f, &r, "GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n");
    CHECK_INT(r.status, ==, 200);
    CHECK_CONTAINS(r.head, "content-type: text/plain; version=0.0.4");
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        CHECK_CONTAINS(r.body, names[i]);
    CHECK_NULL(strstr(r.body, "process_start_time_seconds 0\n"));
    CHECK_NULL(strstr(r.body, "process_resident_memory_bytes 0\n"));
    check_with_promtool(r.body);
    response_close(&r);
    fixture_close(&f);
}

/* --- connections --------------------------------------------------------------------------------------- */

CASE(pipelined_requests_are_answered_in_order)
{
    struct fixture f;
    struct response r;
    struct client c;
    fixture_init(&f);
    client_open(&c, &f);
    client_send(&c,
                "GET /v1/webhooks HTTP/1.1\r\nhost: x\r\n" BEARER "\r\n"
                "POST /v1/webhooks HTTP/1.1\r\nhost: x\r\n" BEARER
                "content-type: application/json\r\ncontent-length: 30\r\n\r\n"
                "{\"url\":\"https://example.com/\"} GET /nowhere HTTP/1.1\r\nhost: x\r\n\r\n"
                "\r\nGET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    for (int i = 0; i < 3; i++) {
        static const int expected[] = { 200, 201, 400 };
        client_await(&c, &r);
        CHECK_INT(r.status, ==, expected[i]);
        response_close(&r);
    }
    client_close(&c);
    fixture_close(&f);
}

CASE(a_thousand_pipelined_requests)
{
    struct fixture f;
    struct response r;
    struct client c;
    struct hw_buf text;
    fixture_init(&f);
    hw_buf_init(&text, 1024 * 1024);
    for (int i = 0; i < 1000; i++)
        hw_buf_append_str(&text, "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n");
    client_open(&c, &f);
    client_send_bytes(&c, hw_buf_slice(&text));
    for (int i = 0; i < 1000; i++) {
        client_await(&c, &r);
        CHECK_INT(r.status, ==, 200);
        response_close(&r);
    }
    client_close(&c);
    hw_buf_close(&text);
    fixture_close(&f);
}

CASE(byte_by_byte_is_the_same)
{
    static const char text[] =
        "POST /v1/webhooks HTTP/1.1\r\nhost: x\r\n" BEARER
        "content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"
        "5\r\n{\"url\r\n19\r\n\":\"https://example.com/\"}\r\n0\r\n\r\n";
    struct fixture f;
    struct response r;
    struct client c;
    fixture_init(&f);
    client_open(&c, &f);
    for (size_t i = 0; i < sizeof text - 1; i++) {
        client_send_bytes(&c, hw_slice(text + i, 1));
        uv_run(&f.uv, UV_RUN_NOWAIT);
    }
    client_await(&c, &r);
    CHECK_INT(r.status, ==, 201);
    response_close(&r);
    client_close(&c);
    fixture_close(&f);
}

CASE(connection_close_is_honoured)
{
    struct fixture f;
    struct response r;
    struct client c;
    fixture_init(&f);
    client_open(&c, &f);
    client_send(&c, "GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    client_await(&c, &r);
    CHECK_CONTAINS(r.head, "connection: close");
    AWAIT(&f, c.has_ended);
    response_close(&r);
    client_close(&c);
    fixture_close(&f);
}

CASE(continue_is_said_before_a_body_that_is_wanted)
{
    struct fixture f;
    struct response r;
    struct client c;
    fixture_init(&f);
    client_open(&c, &f);
    client_send(&c,
                "POST /v1/webhooks HTTP/1.1\r\nhost: x\r\n" BEARER "expect: 100-continue\r\n"
                "content-type: application/json\r\ncontent-length: 30\r\n\r\n");
    client_await(&c, &r);
    CHECK_INT(r.status, ==, 100);
    response_close(&r);
    client_send(&c, "{\"url\":\"https://example.com/\"} ");
    client_await(&c, &r);
    CHECK_INT(r.status, ==, 201);
    response_close(&r);
    client_close(&c);
    fixture_close(&f);
}

/* The answer comes, whatever was not sent, and announces the end. */
static void expect_last(struct fixture *f, struct hw_slice bytes, int status, const char *code)
{
    struct response r;
    struct client c;
    client_open(&c, f);
    client_send_bytes(&c, bytes);
    client_await(&c, &r);
    check_error(&r, status, code, NULL);
    CHECK_CONTAINS(r.head, "connection: close");
    response_close(&r);
    client_close(&c);
}

CASE(continue_is_not_said_before_one_that_is_refused)
{
    struct fixture f;
    fixture_init(&f);
    expect_last(&f,
                HW_SLICE("POST /v1/webhooks HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\n"
                         "content-length: 30\r\n\r\n"),
                401, "unauthorized");
    expect_last(&f,
                HW_SLICE("POST /v1/webhooks HTTP/1.1\r\nhost: x\r\n" BEARER
                         "expect: 100-continue\r\ncontent-length: 1048577\r\n\r\n"),
                413, "payload_too_large");
    fixture_close(&f);
}

CASE(what_cannot_be_read_ends_the_connection)
{
    struct fixture f;
    struct hw_buf text;
    fixture_init(&f);
    hw_buf_init(&text, 4 * 1024 * 1024);
    expect_last(&f, HW_SLICE("nonsense\r\n\r\n"), 400, "invalid_request");
    expect_last(&f, HW_SLICE("GET /healthz HTTP/1.1\r\n\r\n"), 400, "invalid_request");
    expect_last(&f, HW_SLICE("GET /healthz HTTP/2.0\r\nhost: x\r\n\r\n"), 400,
                "invalid_request");
    expect_last(&f,
                HW_SLICE("POST /v1/webhooks HTTP/1.1\r\nhost: x\r\n" BEARER
                         "content-length: 1048577\r\n\r\n"),
                413, "payload_too_large");
    hw_buf_append_str(&text, "POST /v1/webhooks HTTP/1.1\r\nhost: x\r\n" BEARER
                             "transfer-encoding: chunked\r\n\r\n");
    for (int i = 0; i < 17; i++)
        hw_buf_appendf(&text, "10000\r\n%065536d\r\n", 0);
    expect_last(&f, hw_buf_slice(&text), 413, "payload_too_large");
    hw_buf_reset(&text);
    hw_buf_append_str(&text, "GET /healthz HTTP/1.1\r\nhost: x\r\n");
    for (int i = 0; i < 100; i++)
        hw_buf_appendf(&text, "x-%d: 1\r\n", i);
    hw_buf_append_str(&text, "\r\n");
    expect_last(&f, hw_buf_slice(&text), 431, "header_too_large");
    hw_buf_reset(&text);
    hw_buf_appendf(&text, "GET /healthz HTTP/1.1\r\nhost: x\r\nx-long: %017000d\r\n\r\n", 0);
    expect_last(&f, hw_buf_slice(&text), 431, "header_too_large");
    hw_buf_close(&text);
    fixture_close(&f);
}

CASE(a_client_that_stays_after_a_last_answer_is_left)
{
    struct fixture f;
    struct response r;
    struct client c;
    fixture_init(&f);
    client_open(&c, &f);
    client_send(&c, "nonsense\r\n\r\n");
    client_await(&c, &r);
    client_send(&c, "and more of it");
    AWAIT(&f, c.has_ended);
    CHECK_UINT(hw_buf_len(&c.in), ==, 0);
    response_close(&r);
    client_close(&c);
    fixture_close(&f);
}

CASE(a_refused_body_is_read_and_the_connection_goes_on)
{
    struct fixture f;
    struct response r;
    struct client c;
    fixture_init(&f);
    client_open(&c, &f);
    client_send(&c, "POST /v1/webhooks HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\n12345"
                    "GET /healthz HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nxx"
                    "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n");
    for (int i = 0; i < 3; i++) {
        client_await(&c, &r);
        CHECK_INT(r.status, ==, i == 0 ? 401 : 200);
        response_close(&r);
    }
    client_close(&c);
    fixture_close(&f);
}

CASE(a_slow_client_is_cut_off)
{
    struct fixture f;
    struct client c, idle;
    fixture_prepare(&f);
    f.options.request_timeout_ms = 60;
    f.options.idle_timeout_ms = 120;
    fixture_open(&f);
    client_open(&idle, &f);
    client_open(&c, &f);
    client_send(&c, "G");
    AWAIT(&f, c.has_ended);
    CHECK(!idle.has_ended);
    CHECK_UINT(hw_buf_len(&c.in), ==, 0);
    AWAIT(&f, idle.has_ended);
    client_close(&c);
    client_close(&idle);
    fixture_close(&f);
}

CASE(a_byte_at_a_time_does_not_prolong)
{
    struct fixture f;
    struct client c;
    uint64_t began;
    fixture_prepare(&f);
    f.options.request_timeout_ms = 200;
    fixture_open(&f);
    client_open(&c, &f);
    began = uv_hrtime();
    while (!c.has_ended) {
        client_send(&c, "G"); /* a method that goes on and on */
        turn(&f);
        CHECK_UINT((uv_hrtime() - began) / 1000000, <, PATIENCE_MS);
    }
    client_close(&c);
    fixture_close(&f);
}

CASE(a_client_that_does_not_read_is_cut_off)
{
    struct fixture f;
    struct client c;
    struct hw_buf text;
    fixture_prepare(&f);
    f.options.request_timeout_ms = 300;
    fixture_open(&f);
    client_open(&c, &f);
    hw_stream_read_stop(&c.stream);
    hw_buf_init(&text, 4 * 1024 * 1024);
    for (int i = 0; i < 2000; i++)
        hw_buf_append_str(&text, "GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n");
    client_send_bytes(&c, hw_buf_slice(&text));
    /* The answers are some 40 MB; no more than the sockets hold are ever made. */
    for (uint64_t until = uv_hrtime() + 1500000000u; uv_hrtime() < until;)
        turn(&f);
    hw_stream_read_start(&c.stream);
    AWAIT(&f, c.has_ended);
    CHECK_UINT(hw_buf_len(&c.in), <, 20u * 1024 * 1024);
    client_close(&c);
    hw_buf_close(&text);
    fixture_close(&f);
}

CASE(a_client_that_goes_leaves_its_call_behind)
{
    struct fixture f;
    struct response r;
    struct client c;
    fixture_prepare(&f);
    f.options.max_connections = 1;
    fixture_open(&f);
    f.holds = true;
    client_open(&c, &f);
    client_send(&c, "GET /v1/webhooks HTTP/1.1\r\nhost: x\r\n" BEARER "\r\n");
    AWAIT(&f, f.n_asked == 1);
    client_close(&c);
    f.holds = false;
    hw_loop_arm(&f.loop, &f.answer, 0);
    AWAIT(&f, f.n_asked == 0);
    /* A second one while the first call is out, over the limit of one connection. */
    f.holds = true;
    client_open(&c, &f);
    client_send(&c, "GET /v1/webhooks HTTP/1.1\r\nhost: x\r\n" BEARER "\r\n");
    AWAIT(&f, f.n_asked == 1 || c.has_ended);
    f.holds = false;
    hw_loop_arm(&f.loop, &f.answer, 0);
    if (!c.has_ended) {
        client_await(&c, &r);
        response_close(&r);
    }
    client_close(&c);
    fixture_close(&f);
}

CASE(over_the_limit_the_one_longest_at_rest_goes)
{
    struct fixture f;
    struct response r;
    struct client c[3];
    fixture_prepare(&f);
    f.options.max_connections = 2;
    fixture_open(&f);
    client_open(&c[0], &f);
    client_open(&c[1], &f);
    client_send(&c[0], "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n");
    client_await(&c[0], &r);
    response_close(&r);
    client_open(&c[2], &f);
    AWAIT(&f, c[1].has_ended);
    CHECK(!c[0].has_ended);
    client_send(&c[2], "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n");
    client_await(&c[2], &r);
    response_close(&r);
    for (int i = 0; i < 3; i++)
        client_close(&c[i]);
    fixture_close(&f);
}

CASE(slow_clients_do_not_lock_others_out)
{
    struct fixture f;
    struct response r;
    struct client slow[2], c;
    fixture_prepare(&f);
    f.options.max_connections = 2;
    fixture_open(&f);
    for (int i = 0; i < 2; i++) {
        client_open(&slow[i], &f);
        client_send(&slow[i], "GET /");
        turn(&f);
    }
    client_open(&c, &f);
    client_send(&c, "GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n");
    client_await(&c, &r);
    CHECK_INT(r.status, ==, 200);
    CHECK(slow[0].has_ended && !slow[1].has_ended);
    response_close(&r);
    client_close(&c);
    client_close(&slow[0]);
    client_close(&slow[1]);
    fixture_close(&f);
}

CASE(closing_lets_what_is_under_way_finish)
{
    struct fixture f;
    struct response r;
    struct client busy, idle;
    fixture_init(&f);
    f.holds = true;
    client_open(&idle, &f);
    client_open(&busy, &f);
    client_send(&busy, "GET /v1/webhooks HTTP/1.1\r\nhost: x\r\n" BEARER "\r\n");
    AWAIT(&f, f.n_asked == 1);
    hw_api_close(f.api, on_api_closed, &f);
    AWAIT(&f, idle.has_ended);
    CHECK(!busy.has_ended && !f.api_closed);
    hw_loop_arm(&f.loop, &f.answer, 0);
    client_await(&busy, &r);
    CHECK_INT(r.status, ==, 200);
    CHECK_CONTAINS(r.head, "connection: close");
    response_close(&r);
    AWAIT(&f, f.api_closed);
    client_close(&busy);
    client_close(&idle);
    fixture_close_loop(&f);
}

CASE(closing_waits_only_so_long_for_a_client)
{
    struct fixture f;
    struct client c;
    fixture_prepare(&f);
    f.options.drain_ms = 50;
    fixture_open(&f);
    f.holds = true;
    client_open(&c, &f);
    client_send(&c, "GET /v1/webhooks HTTP/1.1\r\nhost: x\r\n" BEARER "\r\n");
    AWAIT(&f, f.n_asked == 1);
    hw_api_close(f.api, on_api_closed, &f);
    AWAIT(&f, c.has_ended);
    CHECK(!f.api_closed); /* the backend still has the question */
    hw_loop_arm(&f.loop, &f.answer, 0);
    AWAIT(&f, f.api_closed);
    client_close(&c);
    fixture_close_loop(&f);
}

/* --- memory --------------------------------------------------------------------------------------------- */

static size_t n_until_failure;
static bool has_failed;

static bool fails(void)
{
    if (n_until_failure == 0 || --n_until_failure > 0)
        return false;
    return has_failed = true;
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

/* One whole creation, with the n-th allocation failing: an answer or an end, and no leak. */
static bool create_failing_at(size_t n)
{
    static const struct hw_alloc failing = { failing_malloc, failing_realloc, failing_free,
                                             NULL };
    static const char text[] =
        "POST /v1/webhooks HTTP/1.1\r\nhost: x\r\n" BEARER
        "content-type: application/json\r\ncontent-length: 56\r\n\r\n"
        "{\"url\":\"https://example.com/\",\"headers\":{\"x-a\":\"b\"}}    ";
    struct fixture f;
    struct client c;
    fixture_init(&f);
    client_open(&c, &f);
    CHECK_INT(hw_buf_reserve(&c.in, 65536), ==, HW_OK); /* the client's part does not fail */
    n_until_failure = n;
    has_failed = false;
    hw_alloc_use(&failing);
    client_send(&c, text);
    AWAIT(&f, c.has_ended || strstr(hw_buf_str(&c.in), "\n{") != NULL);
    hw_alloc_use(NULL);
    client_close(&c);
    fixture_close(&f);
    return has_failed;
}

CASE(no_allocation_fails_badly)
{
    size_t n = 1;
    while (create_failing_at(n))
        n++;
    CHECK_UINT(n, >, 15);
}
