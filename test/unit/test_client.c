/* client: against receivers of our own that behave as told, in the same loop. */
#include "net/client.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "check.h"
#include "loop/stream.h"
#include "support/name_server.h"
#include "support/scarce.h"
#include "tls/trust.h"

enum {
    TIMEOUT_MS = 400,       /* where a timeout is wanted */
    PATIENT_MS = 10 * 1000, /* where none is, however busy the machine */
};

#define ANSWER_OK "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"

/* ---- the receiver ---- */

struct receiver;

struct session { /* one connection it has accepted */
    struct hw_stream stream;
    struct receiver *r;
    struct hw_list link;
    struct hw_buf in;
    struct hw_wheel_entry timer;
    const char *rest; /* of an answer that is sent byte by byte */
    int n_requests;
    bool is_closing;
};

struct receiver {
    struct hw_loop *loop;
    uv_tcp_t listener;
    struct hw_identity *identity; /* borrowed; NULL: plain */
    struct hw_list sessions;
    void (*on_request)(struct session *s); /* a whole one has come */
    const char *answer;
    bool accepts_silently; /* neither TLS nor reading: hangs */
    int n_accepted, n_requests, n_open;
    struct hw_buf last; /* the last request, whole */
    int port;
    bool is_closed;
};

static void session_free(struct hw_stream *s)
{
    struct session *at = HW_CONTAINER_OF(s, struct session, stream);
    at->r->n_open--;
    hw_list_unlink(&at->link);
    hw_loop_cancel(at->r->loop, &at->timer);
    hw_buf_close(&at->in);
    free(at);
}

static void session_close(struct session *s)
{
    if (s->is_closing)
        return;
    s->is_closing = true;
    hw_loop_cancel(s->r->loop, &s->timer);
    hw_stream_close(&s->stream, session_free);
}

static void session_say(struct session *s, const char *text)
{
    struct hw_slice piece = hw_slice_str(text);
    if (hw_stream_write(&s->stream, &piece, 1) != HW_OK)
        session_close(s);
}

static void answer(struct session *s)
{
    session_say(s, s->r->answer);
}

/* How long the request at the front is, or 0 while it is not whole. */
static size_t request_len(struct hw_slice in)
{
    const char *end = memmem(in.data, in.len, "\r\n\r\n", 4);
    const char *field = end ? memmem(in.data, in.len, "content-length: ", 16) : NULL;
    if (!end)
        return 0;
    size_t whole = (size_t)(end + 4 - in.data) + (field ? strtoul(field + 16, NULL, 10) : 0);
    return whole <= in.len ? whole : 0;
}

static void session_data(struct hw_stream *stream, struct hw_slice data)
{
    struct session *s = HW_CONTAINER_OF(stream, struct session, stream);
    struct receiver *r = s->r;
    size_t n;
    if (hw_buf_append_slice(&s->in, data) != HW_OK)
        session_close(s); /* short of memory, in that test */
    while (!s->is_closing && (n = request_len(hw_buf_slice(&s->in))) > 0) {
        hw_buf_reset(&r->last);
        hw_buf_append(&r->last, hw_buf_slice(&s->in).data, n);
        hw_buf_consume(&s->in, n);
        s->n_requests++;
        r->n_requests++;
        r->on_request(s);
    }
}

static void session_end(struct hw_stream *stream, const struct hw_cause *cause)
{
    (void)cause;
    session_close(HW_CONTAINER_OF(stream, struct session, stream));
}

static void session_secure(struct hw_stream *stream)
{
    (void)stream;
}

static const struct hw_stream_events session_events = {
    .on_secure = session_secure,
    .on_data = session_data,
    .on_end = session_end,
};

static void session_timer(struct hw_wheel_entry *e)
{
    struct session *s = HW_CONTAINER_OF(e, struct session, timer);
    struct hw_slice byte = hw_slice(s->rest++, 1);
    CHECK_INT(hw_stream_write(&s->stream, &byte, 1), ==, HW_OK);
    if (*s->rest)
        hw_loop_arm(s->r->loop, &s->timer, 1);
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct receiver *r = listener->data;
    struct session *s = calloc(1, sizeof(*s));
    struct hw_tls *tls;
    CHECK_INT(status, ==, 0);
    s->r = r;
    hw_buf_init(&s->in, 64 << 20);
    hw_wheel_entry_init(&s->timer, session_timer);
    hw_stream_init(&s->stream, r->loop, &session_events);
    CHECK_INT(hw_stream_accept(&s->stream, listener, NULL), ==, HW_OK);
    hw_list_push_back(&r->sessions, &s->link);
    r->n_accepted++;
    r->n_open++;
    if (r->accepts_silently) {
        hw_stream_read_stop(&s->stream);
        return;
    }
    if (!r->identity)
        return;
    if (hw_tls_open_server(&tls, r->identity, NULL) == HW_OK)
        hw_stream_start_tls(&s->stream, tls);
    else
        session_close(s);
}

static void receiver_open(struct receiver *r, struct hw_loop *loop,
                          struct hw_identity *identity)
{
    struct sockaddr_in address = { .sin_family = AF_INET };
    int n = sizeof(address);
    memset(r, 0, sizeof(*r));
    r->loop = loop;
    r->identity = identity;
    r->on_request = answer;
    r->answer = ANSWER_OK;
    hw_list_init(&r->sessions);
    hw_buf_init(&r->last, 64 << 20);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    uv_tcp_init(loop->uv, &r->listener);
    r->listener.data = r;
    CHECK_INT(uv_tcp_bind(&r->listener, (struct sockaddr *)&address, 0), ==, 0);
    CHECK_INT(uv_listen((uv_stream_t *)&r->listener, 4096, on_connection), ==, 0);
    CHECK_INT(uv_tcp_getsockname(&r->listener, (struct sockaddr *)&address, &n), ==, 0);
    r->port = ntohs(address.sin_port);
}

/* ---- the world ---- */

struct world {
    uv_loop_t uv;
    struct hw_loop loop;
    struct hw_client *client;
    struct hw_metrics metrics;
    struct hw_address_rules rules;
    struct hw_identity *identity;
    struct hw_trust *trust;
    struct receiver receiver;
    struct name_server dns;
    bool is_client_closed, is_loop_closed;
    bool is_secure;        /* receiver speaks TLS */
    int n_begun;           /* requests that began, of those that say when they do */
};

struct post {
    struct hw_client_req req;
    struct hw_url url;
    char head[256];
    struct world *w;
    int n_done;
    struct hw_client_result result;
    char fields[512], body[512], retry_after[32];
    void (*then)(struct post *p); /* in the callback */
    bool is_doubtful;
    bool says_when;      /* it begins: */
    int begun_as;        /* how many had begun before */
    hw_mono_us begun_us; /* 0: it has not */
};

static struct name_record zone[] = {
    { .name = "a.test", .a = { "127.0.0.1" }, .ttl_s = 60 },
    { .name = "two.test", .a = { "127.0.0.9", "127.0.0.1" }, .ttl_s = 60 },
    { .name = "mixed.test", .a = { "10.1.2.3", "127.0.0.1" }, .ttl_s = 60 },
    { .name = "inside.test", .a = { "10.1.2.3" }, .ttl_s = 60 },
    { .name = "broken.test", .code = DNS_SERVFAIL },
    { .name = "silent.test", .is_silent = true },
};

static void on_give_up(struct hw_wheel_entry *e)
{
    (void)e;
    CHECK_FAIL("waited for 20 s");
}

#define AWAIT(w, condition)                                                                   \
    do {                                                                                      \
        struct hw_wheel_entry give_up;                                                        \
        hw_wheel_entry_init(&give_up, on_give_up);                                            \
        hw_loop_arm(&(w)->loop, &give_up, 20000);                                             \
        while (!(condition))                                                                  \
            uv_run(&(w)->uv, UV_RUN_ONCE);                                                    \
        hw_loop_cancel(&(w)->loop, &give_up);                                                 \
    } while (0)

static void on_pause_over(struct hw_wheel_entry *e)
{
    e->cb = NULL;
}

static void pause_ms(struct world *w, uint64_t ms)
{
    struct hw_wheel_entry over;
    hw_wheel_entry_init(&over, on_pause_over);
    hw_loop_arm(&w->loop, &over, ms);
    AWAIT(w, !over.cb);
}

static void trust_open(struct world *w)
{
    static const char *const names[] = { "a.test", "two.test", "mixed.test", "127.0.0.1" };
    struct hw_cause cause = { 0 };
    struct hw_buf pem;
    char path[64];
    hw_buf_init(&pem, 1 << 20);
    if (hw_identity_make(&w->identity, names, 4, hw_loop_unix(&w->loop), &pem, &cause) !=
        HW_OK)
        CHECK_FAIL("%s", cause.note);
    snprintf(path, sizeof(path), "/tmp/hw-client-%d.pem", (int)getpid());
    FILE *file = fopen(path, "w");
    CHECK_NOT_NULL(file);
    fwrite(hw_buf_slice(&pem).data, 1, hw_buf_len(&pem), file);
    fclose(file);
    hw_buf_close(&pem);
    if (hw_trust_open(&w->trust, path, false, &cause) != HW_OK)
        CHECK_FAIL("%s", cause.note);
    unlink(path);
}

static void client_open(struct world *w, size_t max_connections, uint64_t timeout_ms)
{
    struct hw_cause cause = { 0 };
    struct hw_client_options options = {
        .trust = w->trust,
        .rules = &w->rules,
        .metrics = &w->metrics,
        .timeout_ms = timeout_ms,
        .allow_http_localhost = true,
        .max_connections = max_connections,
        .dns_servers = w->dns.text,
    };
    if (hw_client_open(&w->client, &w->loop, &options, &cause) != HW_OK)
        CHECK_FAIL("%s", cause.note);
}

static void world_init_with(struct world *w, bool is_secure, size_t max_connections,
                            uint64_t timeout_ms)
{
    memset(w, 0, sizeof(*w));
    w->is_secure = is_secure;
    CHECK_INT(uv_loop_init(&w->uv), ==, 0);
    CHECK_INT(hw_loop_init(&w->loop, &w->uv, NULL), ==, HW_OK);
    hw_metrics_init(&w->metrics);
    CHECK_INT(hw_address_rules_parse(&w->rules, HW_SLICE("127.0.0.0/8"), NULL), ==, HW_OK);
    trust_open(w);
    receiver_open(&w->receiver, &w->loop, is_secure ? w->identity : NULL);
    name_server_open(&w->dns, &w->uv, zone, sizeof(zone) / sizeof(zone[0]));
    client_open(w, max_connections, timeout_ms);
}

static void world_init(struct world *w, bool is_secure)
{
    world_init_with(w, is_secure, 0, PATIENT_MS);
}

static void world_init_hasty(struct world *w, bool is_secure)
{
    world_init_with(w, is_secure, 0, TIMEOUT_MS);
}

static void on_client_closed(void *data)
{
    ((struct world *)data)->is_client_closed = true;
}

static void on_loop_closed(struct hw_loop *loop)
{
    HW_CONTAINER_OF(loop, struct world, loop)->is_loop_closed = true;
}

static void world_close(struct world *w)
{
    hw_client_close(w->client, on_client_closed, w);
    CHECK(!w->is_client_closed);
    AWAIT(w, w->is_client_closed);
    uv_close((uv_handle_t *)&w->receiver.listener, NULL);
    HW_LIST_EACH_SAFE(at, &w->receiver.sessions)
    {
        session_close(HW_CONTAINER_OF(at, struct session, link));
    }
    AWAIT(w, w->receiver.n_open == 0);
    hw_buf_close(&w->receiver.last);
    name_server_close(&w->dns);
    CHECK_NULL(hw_wheel_check(&w->loop.wheel));
    hw_loop_close(&w->loop, on_loop_closed);
    uv_run(&w->uv, UV_RUN_DEFAULT);
    CHECK(w->is_loop_closed);
    CHECK_INT(uv_loop_close(&w->uv), ==, 0);
    hw_trust_close(w->trust);
    hw_identity_close(w->identity);
    hw_address_rules_close(&w->rules);
}

static void copy(char *out, size_t size, struct hw_slice from)
{
    snprintf(out, size, "%.*s", HW_SLICE_FMT(from));
}

static void on_posted(struct hw_client_req *req, const struct hw_client_result *result)
{
    struct post *p = HW_CONTAINER_OF(req, struct post, req);
    p->n_done++;
    CHECK_INT(p->n_done, ==, 1);
    p->result = *result;
    copy(p->fields, sizeof(p->fields), result->fields);
    copy(p->body, sizeof(p->body), result->body);
    copy(p->retry_after, sizeof(p->retry_after), result->retry_after);
    if (result->failure == HW_FAILURE_NONE)
        CHECK_INT(result->status, >=, 200);
    else
        CHECK(result->cause.status != HW_OK && result->cause.note[0]);
    if (p->then)
        p->then(p);
}

/* To `host` on the receiver's port, or on another. */
static void post_to(struct world *w, struct post *p, const char *host, int port)
{
    char text[128];
    struct hw_url_rules rules = { .allow_http_localhost = true, .allow_internal_names = true };
    struct hw_cause cause = { 0 };
    memset(p, 0, sizeof(*p));
    p->w = w;
    snprintf(text, sizeof(text), "%s://%s:%d/hook", w->is_secure ? "https" : "http", host,
             port);
    if (hw_url_parse(&p->url, hw_slice_str(text), &rules, &cause) != HW_OK)
        CHECK_FAIL("%s: %s", text, cause.note);
}

static enum hw_status on_post_begin(struct hw_client_req *req, struct hw_client_post *what)
{
    struct post *p = HW_CONTAINER_OF(req, struct post, req);
    (void)what;
    p->begun_as = p->w->n_begun++;
    p->begun_us = hw_loop_us();
    return HW_OK;
}

static void post_send(struct world *w, struct post *p, const char *host, size_t keep)
{
    if (!p->url.text)
        post_to(w, p, host, w->receiver.port);
    snprintf(p->head, sizeof(p->head),
             "POST /hook HTTP/1.1\r\nhost: %s\r\ncontent-length: 13\r\n\r\n", host);
    struct hw_client_post what = {
        .url = &p->url,
        .head = hw_slice_str(p->head),
        .body = { HW_SLICE("{\"a\":"), HW_SLICE("\"bcd\"} ") },
        .n_body = 2,
        .keep_body_bytes = keep,
        .begin = p->says_when ? on_post_begin : NULL,
        .is_doubtful = p->is_doubtful,
    };
    what.body[1] = hw_slice_str("\"bcde\"}\n");
    CHECK_INT(hw_client_post(w->client, &p->req, &what, on_posted), ==, HW_OK);
    CHECK_INT(p->n_done, ==, 0);
}

static void post_begin(struct world *w, struct post *p, const char *host)
{
    memset(p, 0, sizeof(*p));
    post_send(w, p, host, 4096);
}

static void post_end(struct post *p)
{
    AWAIT(p->w, p->n_done == 1);
    hw_url_close(&p->url);
}

static void post(struct world *w, struct post *p, const char *host)
{
    post_begin(w, p, host);
    post_end(p);
}

static const char *plain_host = "127.0.0.1";
static const char *secure_host = "a.test";

#define CHECK_DELIVERED(p)                                                                    \
    do {                                                                                      \
        if ((p)->result.failure != HW_FAILURE_NONE)                                           \
            CHECK_FAIL("%s", (p)->result.cause.note);                                         \
    } while (0)

/* ---- deliveries ---- */

static void deliver_and_reuse(bool is_secure, const char *host)
{
    struct world w;
    struct post p;
    world_init(&w, is_secure);
    post(&w, &p, host);
    CHECK_DELIVERED(&p);
    CHECK_INT(p.result.status, ==, 200);
    CHECK_STR(p.body, "ok");
    CHECK_STR(p.fields, "content-length: 2\n");
    CHECK(!p.result.reused);
    CHECK_CONTAINS(p.result.address, "127.0.0.1:");
    CHECK_INT(p.result.connect_ms, >=, 0);
    CHECK_INT(p.result.first_byte_ms, >=, 0);
    CHECK_INT(p.result.tls_ms >= 0, ==, is_secure);
    CHECK(strlen(p.result.tls_version) == (is_secure ? 3u : 0u));
    CHECK_UINT(hw_client_connections(w.client), ==, 1);
    CHECK_CONTAINS(hw_buf_str(&w.receiver.last), "\r\n\r\n{\"a\":\"bcde\"}\n");
    for (int i = 0; i < 5; i++) {
        post(&w, &p, host);
        CHECK_DELIVERED(&p);
        CHECK(p.result.reused);
        CHECK_INT(p.result.dns_ms, ==, -1);
        CHECK_INT(p.result.connect_ms, ==, -1);
    }
    CHECK_INT(w.receiver.n_accepted, ==, 1);
    CHECK_INT(w.receiver.n_requests, ==, 6);
    CHECK_UINT(w.metrics.connections_opened, ==, 1);
    CHECK_UINT(w.metrics.connections_reused, ==, 5);
    CHECK_UINT(w.metrics.handshakes_full, ==, is_secure ? 1 : 0);
    CHECK_UINT(w.metrics.phase[HW_METRIC_FIRST_BYTE].n, ==, 6);
    world_close(&w);
}

CASE(delivers_plain_and_reuses)
{
    deliver_and_reuse(false, plain_host);
}

CASE(delivers_over_tls_and_reuses)
{
    deliver_and_reuse(true, secure_host);
}

CASE(delivers_over_tls_to_an_address)
{
    deliver_and_reuse(true, "127.0.0.1");
}

CASE(localhost_needs_no_rule)
{
    struct world w;
    struct post p;
    world_init(&w, false);
    hw_address_rules_close(&w.rules);
    memset(&w.rules, 0, sizeof(w.rules));
    post(&w, &p, "localhost");
    CHECK_DELIVERED(&p);
    world_close(&w);
}

CASE(any_status_is_a_response_and_fields_are_there)
{
    struct world w;
    struct post p;
    world_init(&w, true);
    w.receiver.answer =
        "HTTP/1.1 503 Slow down\r\nRetry-After: 120\r\ncontent-length: 0\r\n\r\n";
    post(&w, &p, secure_host);
    CHECK_DELIVERED(&p);
    CHECK_INT(p.result.status, ==, 503);
    CHECK_STR(p.retry_after, "120");
    world_close(&w);
}

static void answer_slowly(struct session *s)
{
    s->rest = ANSWER_OK;
    hw_loop_arm(s->r->loop, &s->timer, 1);
}

CASE(a_response_byte_by_byte)
{
    struct world w;
    struct post p;
    world_init(&w, true);
    w.receiver.on_request = answer_slowly;
    post(&w, &p, secure_host);
    CHECK_DELIVERED(&p);
    CHECK_STR(p.body, "ok");
    post(&w, &p, secure_host);
    CHECK(p.result.reused);
    world_close(&w);
}

CASE(sessions_are_resumed)
{
    struct world w;
    struct post p;
    world_init(&w, true);
    for (int i = 0; i < 4; i++) {
        w.receiver.answer =
            "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
        post(&w, &p, secure_host);
        CHECK_DELIVERED(&p);
        CHECK(!p.result.reused);
        AWAIT(&w, hw_client_connections(w.client) == 0);
    }
    CHECK_UINT(w.metrics.handshakes_full, ==, 1);
    CHECK_UINT(w.metrics.handshakes_resumed, ==, 3);
    CHECK_INT(w.receiver.n_accepted, ==, 4);
    world_close(&w);
}

/* ---- bodies ---- */

CASE(the_body_is_kept_up_to_what_was_asked)
{
    struct world w;
    struct post p;
    world_init(&w, false);
    w.receiver.answer = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n0123456789";
    memset(&p, 0, sizeof(p));
    post_send(&w, &p, plain_host, 4);
    post_end(&p);
    CHECK_STR(p.body, "0123");
    memset(&p, 0, sizeof(p));
    post_send(&w, &p, plain_host, 0);
    post_end(&p);
    CHECK_STR(p.body, "");
    CHECK(p.result.reused);
    world_close(&w);
}

static void answer_head_only(struct session *s)
{
    session_say(s, "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nsome");
}

CASE(a_body_that_does_not_come_holds_the_callback_for_half_a_second)
{
    struct world w;
    struct post p;
    world_init(&w, false);
    w.receiver.on_request = answer_head_only;
    hw_mono_us began = hw_loop_us();
    post(&w, &p, plain_host);
    hw_mono_us took = hw_loop_us() - began;
    CHECK_DELIVERED(&p);
    CHECK_STR(p.body, "some");
    CHECK_UINT(took, >=, 500000);
    CHECK_UINT(took, <, 2000000);
    CHECK_UINT(p.result.duration_ms, <, 400);
    AWAIT(&w, hw_client_connections(w.client) == 0);
    world_close(&w);
}

CASE(without_keep_the_outcome_comes_with_the_head_and_the_rest_is_dropped)
{
    struct world w;
    struct post p;
    world_init(&w, false);
    w.receiver.on_request = answer_head_only;
    hw_mono_us began = hw_loop_us();
    memset(&p, 0, sizeof(p));
    post_send(&w, &p, plain_host, 0);
    post_end(&p);
    CHECK_DELIVERED(&p);
    CHECK_UINT(hw_loop_us() - began, <, 400000);
    CHECK_UINT(hw_client_connections(w.client), ==, 1);
    AWAIT(&w, hw_client_connections(w.client) == 0); /* 500 ms later */
    CHECK_UINT(hw_loop_us() - began, >=, 500000);
    world_close(&w);
}

static void answer_head_and_close(struct session *s)
{
    answer_head_only(s);
    session_close(s);
}

CASE(a_body_cut_off_is_still_a_success)
{
    for (int secure = 0; secure < 2; secure++) {
        struct world w;
        struct post p;
        world_init(&w, secure);
        w.receiver.on_request = answer_head_and_close;
        post(&w, &p, secure ? secure_host : plain_host);
        CHECK_DELIVERED(&p);
        CHECK_INT(p.result.status, ==, 200);
        AWAIT(&w, hw_client_connections(w.client) == 0);
        world_close(&w);
    }
}

CASE(a_body_that_is_broken_right_behind_the_head_is_still_a_success)
{
    for (int secure = 0; secure < 2; secure++) {
        struct world w;
        struct post p;
        world_init(&w, secure);
        w.receiver.answer =
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nnothing like a chunk";
        post(&w, &p, secure ? secure_host : plain_host);
        CHECK_DELIVERED(&p);
        CHECK_INT(p.result.status, ==, 200);
        AWAIT(&w, hw_client_connections(w.client) == 0);
        world_close(&w);
    }
}

static char *big_answer(size_t n_body)
{
    char *text = malloc(n_body + 100);
    int n = snprintf(text, 100, "HTTP/1.1 200 OK\r\ncontent-length: %zu\r\n\r\n", n_body);
    memset(text + n, 'x', n_body);
    text[(size_t)n + n_body] = '\0';
    return text;
}

static void big_body(size_t n_body, bool reused)
{
    struct world w;
    struct post p;
    char *text = big_answer(n_body);
    world_init(&w, true);
    w.receiver.answer = text;
    memset(&p, 0, sizeof(p));
    post_send(&w, &p, secure_host, 100);
    post_end(&p);
    CHECK_DELIVERED(&p);
    CHECK_UINT(p.result.body.len, ==, 100);
    pause_ms(&w, 300);
    CHECK_UINT(hw_client_connections(w.client), ==, reused ? 1 : 0);
    post(&w, &p, secure_host);
    CHECK_INT(p.result.reused, ==, reused);
    world_close(&w);
    free(text);
}

CASE(a_body_of_60_kib_is_drained)
{
    big_body(60 * 1024, true);
}

CASE(a_body_of_a_megabyte_is_dropped)
{
    big_body(1024 * 1024, false);
}

CASE(bytes_behind_the_response_end_the_connection)
{
    struct world w;
    struct post p;
    world_init(&w, false);
    w.receiver.answer = ANSWER_OK "HTTP/1.1 200 again\r\n";
    post(&w, &p, plain_host);
    CHECK_DELIVERED(&p);
    AWAIT(&w, hw_client_connections(w.client) == 0);
    world_close(&w);
}

/* ---- what goes wrong on a connection ---- */

static void close_now(struct session *s)
{
    session_close(s);
}

static void answer_once_then_close(struct session *s)
{
    if (s->n_requests == 1)
        answer(s);
    else
        session_close(s);
}

static void resend_case(bool is_secure, const char *host)
{
    struct world w;
    struct post p;
    world_init(&w, is_secure);
    w.receiver.on_request = answer_once_then_close;
    post(&w, &p, host);
    post(&w, &p, host);
    CHECK_DELIVERED(&p);
    CHECK(!p.result.reused);
    CHECK_INT(w.receiver.n_accepted, ==, 2);
    CHECK_INT(w.receiver.n_requests, ==, 3);
    CHECK_UINT(hw_client_connections(w.client), ==, 1);
    world_close(&w);
}

CASE(a_stale_connection_is_no_attempt)
{
    resend_case(false, plain_host);
    resend_case(true, secure_host);
}

CASE(a_fresh_connection_closed_is_a_failure)
{
    for (int secure = 0; secure < 2; secure++) {
        struct world w;
        struct post p;
        world_init(&w, secure);
        w.receiver.on_request = close_now;
        post(&w, &p, secure ? secure_host : plain_host);
        CHECK_INT(p.result.failure, ==, HW_FAILURE_CONNECT);
        CHECK_INT(p.result.phase, ==, HW_PHASE_RESPONSE);
        CHECK_CONTAINS(p.result.cause.note, "before a response");
        CHECK_INT(w.receiver.n_accepted, ==, 1);
        world_close(&w);
    }
}

static void answer_once_then_close_all(struct session *s)
{
    if (s->r->n_requests == 1)
        answer(s);
    else
        session_close(s);
}

CASE(it_is_sent_again_once_only)
{
    struct world w;
    struct post p;
    world_init(&w, false);
    w.receiver.on_request = answer_once_then_close_all;
    post(&w, &p, plain_host);
    post(&w, &p, plain_host);
    CHECK_INT(p.result.failure, ==, HW_FAILURE_CONNECT);
    CHECK_INT(w.receiver.n_requests, ==, 3);
    world_close(&w);
}

static void reset_now(struct session *s)
{
    int fd;
    struct linger hard = { .l_onoff = 1, .l_linger = 0 };
    CHECK_INT(uv_fileno(&s->stream.uv.handle, &fd), ==, 0);
    CHECK_INT(setsockopt(fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)), ==, 0);
    session_close(s);
}

CASE(a_reset_is_a_failure)
{
    struct world w;
    struct post p;
    world_init(&w, false);
    w.receiver.on_request = reset_now;
    post(&w, &p, plain_host);
    CHECK_INT(p.result.failure, ==, HW_FAILURE_CONNECT);
    CHECK_CONTAINS(p.result.cause.note, "reset");
    world_close(&w);
}

static void answer_part_and_close(struct session *s)
{
    session_say(s, "HTTP/1.1 200 OK\r\ncontent-le");
    session_close(s);
}

CASE(a_head_cut_off_is_a_protocol_failure)
{
    struct world w;
    struct post p;
    world_init(&w, true);
    w.receiver.on_request = answer_part_and_close;
    post(&w, &p, secure_host);
    CHECK_INT(p.result.failure, ==, HW_FAILURE_PROTOCOL);
    CHECK_INT(p.result.phase, ==, HW_PHASE_RESPONSE);
    world_close(&w);
}

CASE(what_is_not_http_is_a_protocol_failure)
{
    struct world w;
    struct post p;
    world_init(&w, false);
    w.receiver.answer = "SSH-2.0-OpenSSH_9.2\r\n\r\n";
    post(&w, &p, plain_host);
    CHECK_INT(p.result.failure, ==, HW_FAILURE_PROTOCOL);
    CHECK_UINT(hw_client_connections(w.client), ==, 0);
    world_close(&w);
}

CASE(an_idle_connection_that_is_closed_is_noticed)
{
    struct world w;
    struct post p;
    world_init(&w, true);
    post(&w, &p, secure_host);
    HW_LIST_EACH_SAFE(at, &w.receiver.sessions)
    {
        session_close(HW_CONTAINER_OF(at, struct session, link));
    }
    AWAIT(&w, hw_client_connections(w.client) == 0);
    post(&w, &p, secure_host);
    CHECK_DELIVERED(&p);
    CHECK_INT(w.receiver.n_requests, ==, 2);
    world_close(&w);
}

CASE(an_idle_connection_that_speaks_is_dropped)
{
    struct world w;
    struct post p;
    world_init(&w, false);
    post(&w, &p, plain_host);
    HW_LIST_EACH_SAFE(at, &w.receiver.sessions)
    {
        session_say(HW_CONTAINER_OF(at, struct session, link),
                    "HTTP/1.1 408 Too slow\r\n\r\n");
    }
    AWAIT(&w, hw_client_connections(w.client) == 0);
    world_close(&w);
}

/* ---- certificates ---- */

CASE(a_certificate_for_another_name_is_a_tls_failure)
{
    struct world w;
    struct post p;
    world_init(&w, true);
    zone[3].a[0] = "127.0.0.1";
    post(&w, &p, "inside.test");
    zone[3].a[0] = "10.1.2.3";
    CHECK_INT(p.result.failure, ==, HW_FAILURE_TLS);
    CHECK_INT(p.result.phase, ==, HW_PHASE_TLS);
    CHECK_CONTAINS(p.result.cause.note, "another name");
    CHECK_INT(w.receiver.n_requests, ==, 0);
    world_close(&w);
}

CASE(a_plain_server_is_a_tls_failure)
{
    struct world w;
    struct post p;
    world_init(&w, true);
    w.receiver.identity = NULL;
    post_begin(&w, &p, secure_host);
    AWAIT(&w, w.receiver.n_open == 1);
    AWAIT(
        &w,
        hw_buf_len(
            &HW_CONTAINER_OF(hw_list_first(&w.receiver.sessions), struct session, link)->in) >
            0);
    session_say(HW_CONTAINER_OF(hw_list_first(&w.receiver.sessions), struct session, link),
                "HTTP/1.1 400 Bad Request\r\n\r\n");
    post_end(&p);
    CHECK_INT(p.result.failure, ==, HW_FAILURE_TLS);
    world_close(&w);
}

/* ---- time-outs, one a phase ---- */

static void check_timeout(struct post *p, enum hw_phase phase)
{
    CHECK_INT(p->result.failure, ==, HW_FAILURE_TIMEOUT);
    CHECK_STR(hw_phase_text(p->result.phase), hw_phase_text(phase));
    CHECK_INT(p->result.cause.status, ==, HW_ETIMEDOUT);
    CHECK_CONTAINS(p->result.cause.note, "within 0.4 s");
    CHECK_UINT(p->result.duration_ms, >=, TIMEOUT_MS);
    CHECK_UINT(p->result.duration_ms, <, TIMEOUT_MS + 1500);
}

CASE(timeout_of_dns)
{
    struct world w;
    struct post p;
    world_init_hasty(&w, true);
    post(&w, &p, "silent.test");
    check_timeout(&p, HW_PHASE_DNS);
    world_close(&w);
}

/* A listener whose queue is full drops what comes. */
CASE(timeout_of_connect)
{
    struct world w;
    struct post p;
    struct sockaddr_in address = { .sin_family = AF_INET };
    socklen_t n = sizeof(address);
    int clients[8];
    world_init_hasty(&w, true);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    CHECK_INT(bind(fd, (struct sockaddr *)&address, sizeof(address)), ==, 0);
    CHECK_INT(listen(fd, 0), ==, 0);
    CHECK_INT(getsockname(fd, (struct sockaddr *)&address, &n), ==, 0);
    for (int i = 0; i < 8; i++) {
        clients[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        (void)connect(clients[i], (struct sockaddr *)&address, sizeof(address));
    }
    pause_ms(&w, 20);
    post_to(&w, &p, secure_host, ntohs(address.sin_port));
    post_send(&w, &p, secure_host, 0);
    post_end(&p);
    check_timeout(&p, HW_PHASE_CONNECT);
    for (int i = 0; i < 8; i++)
        close(clients[i]);
    close(fd);
    world_close(&w);
}

CASE(timeout_of_tls)
{
    struct world w;
    struct post p;
    world_init_hasty(&w, true);
    w.receiver.accepts_silently = true;
    post(&w, &p, secure_host);
    check_timeout(&p, HW_PHASE_TLS);
    CHECK_UINT(hw_client_connections(w.client), ==, 0);
    world_close(&w);
}

CASE(timeout_of_send)
{
    struct world w;
    struct post p;
    char *big = calloc(1, 32 << 20);
    world_init_hasty(&w, false);
    w.receiver.accepts_silently = true;
    post_to(&w, &p, plain_host, w.receiver.port);
    struct hw_client_post what = { .url = &p.url,
                                   .head = HW_SLICE("POST / HTTP/1.1\r\n\r\n"),
                                   .body = { hw_slice(big, 32 << 20) },
                                   .n_body = 1 };
    CHECK_INT(hw_client_post(w.client, &p.req, &what, on_posted), ==, HW_OK);
    post_end(&p);
    check_timeout(&p, HW_PHASE_SEND);
    world_close(&w);
    free(big);
}

static void say_nothing(struct session *s)
{
    (void)s;
}

static void say_interim(struct session *s)
{
    session_say(s, "HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200");
}

CASE(timeout_of_response)
{
    struct world w;
    struct post p;
    world_init_hasty(&w, true);
    w.receiver.on_request = say_nothing;
    post(&w, &p, secure_host);
    check_timeout(&p, HW_PHASE_RESPONSE);
    w.receiver.on_request = say_interim; /* nothing restarts the clock */
    post(&w, &p, secure_host);
    check_timeout(&p, HW_PHASE_RESPONSE);
    world_close(&w);
}

/* ---- a response before the request was taken ---- */

static void on_big_request(struct session *s)
{
    CHECK_FAIL("it was not meant to be read: %d", s->n_requests);
}

CASE(an_early_response_counts_and_the_connection_is_not_used_again)
{
    struct world w;
    struct post p;
    char *big = calloc(1, 32 << 20);
    world_init(&w, false);
    w.receiver.on_request = on_big_request;
    w.receiver.accepts_silently = true;
    post_to(&w, &p, plain_host, w.receiver.port);
    struct hw_client_post what = { .url = &p.url,
                                   .head = HW_SLICE(
                                       "POST / HTTP/1.1\r\ncontent-length: 33554432\r\n\r\n"),
                                   .body = { hw_slice(big, 32 << 20) },
                                   .n_body = 1 };
    CHECK_INT(hw_client_post(w.client, &p.req, &what, on_posted), ==, HW_OK);
    AWAIT(&w, w.receiver.n_open == 1);
    session_say(HW_CONTAINER_OF(hw_list_first(&w.receiver.sessions), struct session, link),
                "HTTP/1.1 413 Too large\r\ncontent-length: 0\r\n\r\n");
    post_end(&p);
    CHECK_DELIVERED(&p);
    CHECK_INT(p.result.status, ==, 413);
    CHECK_UINT(hw_client_connections(w.client), ==, 0);
    world_close(&w);
    free(big);
}

/* ---- names and addresses ---- */

CASE(names_that_do_not_resolve)
{
    struct world w;
    struct post p;
    world_init(&w, true);
    post(&w, &p, "nowhere.test");
    CHECK_INT(p.result.failure, ==, HW_FAILURE_DNS);
    CHECK_INT(p.result.phase, ==, HW_PHASE_DNS);
    CHECK_INT(p.result.dns_ms, >=, 0);
    post(&w, &p, "broken.test");
    CHECK_INT(p.result.failure, ==, HW_FAILURE_DNS);
    CHECK_UINT(hw_client_connections(w.client), ==, 0);
    world_close(&w);
}

CASE(refused_addresses)
{
    struct world w;
    struct post p;
    world_init(&w, true);
    post(&w, &p, "inside.test");
    CHECK_INT(p.result.failure, ==, HW_FAILURE_REFUSED_ADDRESS);
    CHECK_CONTAINS(p.result.cause.note, "10.1.2.3");
    post(&w, &p, "10.9.9.9");
    CHECK_INT(p.result.failure, ==, HW_FAILURE_REFUSED_ADDRESS);
    CHECK_UINT(hw_client_connections(w.client), ==, 0);
    post(&w, &p, "mixed.test"); /* its allowed one only */
    CHECK_DELIVERED(&p);
    world_close(&w);
}

CASE(the_next_address_is_tried)
{
    struct world w;
    struct post p;
    world_init(&w, true);
    post(&w, &p, "two.test"); /* nobody listens on 127.0.0.9 */
    CHECK_DELIVERED(&p);
    CHECK_CONTAINS(p.result.address, "127.0.0.1:");
    world_close(&w);
}

CASE(a_refused_connection)
{
    struct world w;
    struct post p;
    world_init(&w, true);
    post(&w, &p, "127.0.0.1");
    post_to(&w, &p, "127.0.0.9", w.receiver.port);
    post_send(&w, &p, "127.0.0.9", 0);
    post_end(&p);
    CHECK_INT(p.result.failure, ==, HW_FAILURE_CONNECT);
    CHECK_INT(p.result.phase, ==, HW_PHASE_CONNECT);
    CHECK_CONTAINS(p.result.cause.note, "connection refused");
    CHECK_CONTAINS(p.result.cause.note, "127.0.0.9:");
    CHECK_CONTAINS(p.result.address, "127.0.0.9:");
    world_close(&w);
}

/* ---- many ---- */

CASE(many_to_one_origin)
{
    enum { N = 300 };
    struct world w;
    static struct post p[N];
    world_init(&w, true);
    for (int i = 0; i < N; i++)
        post_begin(&w, &p[i], secure_host);
    for (int i = 0; i < N; i++)
        post_end(&p[i]);
    for (int i = 0; i < N; i++)
        CHECK_DELIVERED(&p[i]);
    CHECK_INT(w.receiver.n_requests, ==, N);
    CHECK_UINT(w.metrics.connections_opened + w.metrics.connections_reused, ==, N);
    CHECK_UINT(w.metrics.connections_reused, >, 0);
    world_close(&w);
}

static void answer_late(struct session *s)
{
    s->rest = s->r->answer;
    hw_loop_arm(s->r->loop, &s->timer, 60);
}

enum { BURST = 10 };

static void burst_begin(struct world *w, struct post *p)
{
    for (int i = 0; i < BURST; i++)
        post_begin(w, &p[i], plain_host);
}

static void burst_end(struct post *p)
{
    for (int i = 0; i < BURST; i++) {
        post_end(&p[i]);
        CHECK_DELIVERED(&p[i]);
    }
}

/* As many connections of another origin as are too few to be spared. */
static void world_init_busy(struct world *w)
{
    static struct post p[HW_OPENINGS_FEW];
    world_init(w, false);
    w->receiver.on_request = answer_late;
    for (int i = 0; i < HW_OPENINGS_FEW; i++)
        post_begin(w, &p[i], "localhost");
    for (int i = 0; i < HW_OPENINGS_FEW; i++)
        post_end(&p[i]);
    CHECK_UINT(hw_client_connections(w->client), ==, HW_OPENINGS_FEW);
    w->receiver.on_request = answer;
    w->receiver.n_accepted = 0;
}

CASE(few_connections_are_not_spared)
{
    struct world w;
    static struct post first, p[BURST];
    world_init(&w, false);
    post(&w, &first, plain_host);
    w.receiver.on_request = answer_late;
    burst_begin(&w, p);
    pause_ms(&w, 30);
    CHECK_INT(w.receiver.n_accepted, >, 1);
    burst_end(p);
    world_close(&w);
}

CASE(where_answers_are_quick_a_connection_serves_many)
{
    struct world w;
    static struct post first, p[BURST];
    world_init_busy(&w);
    post(&w, &first, plain_host);
    burst_begin(&w, p);
    burst_end(p);
    CHECK_INT(w.receiver.n_accepted, <=, 4);
    world_close(&w);
}

CASE(where_answers_take_long_each_gets_a_connection)
{
    struct world w;
    static struct post first, p[BURST];
    world_init_busy(&w);
    w.receiver.on_request = answer_late;
    post(&w, &first, plain_host);
    burst_begin(&w, p);
    burst_end(p);
    CHECK_INT(w.receiver.n_accepted, >=, BURST / 2);
    world_close(&w);
}

/* It was quick and is not any more: more connections would not help it, but one that hangs may
 * not hold up the others either. */
CASE(where_it_is_crowded_what_comes_free_is_waited_for)
{
    struct world w;
    static struct post quick, late, p[BURST];
    world_init_busy(&w);
    post(&w, &quick, plain_host);
    w.receiver.on_request = answer_late;
    post(&w, &late, plain_host);
    burst_begin(&w, p);
    pause_ms(&w, 40); /* the one there is does not come free */
    CHECK_INT(w.receiver.n_accepted, >, 1);
    burst_end(p);
    world_close(&w);
}

/* All descriptors are for a name that nobody resolves; its permits have lapsed by the time. */
CASE(a_descriptor_that_a_failed_look_up_gives_back_is_for_who_waits)
{
    struct world w;
    struct post stuck[2], p;
    world_init_with(&w, true, 2, TIMEOUT_MS);
    post_begin(&w, &stuck[0], "silent.test");
    post_begin(&w, &stuck[1], "silent.test");
    AWAIT(&w, hw_client_connections(w.client) == 2);
    post_begin(&w, &p, secure_host);
    for (int i = 0; i < 2; i++) {
        post_end(&stuck[i]);
        check_timeout(&stuck[i], HW_PHASE_DNS);
    }
    post_end(&p);
    CHECK_DELIVERED(&p);
    world_close(&w);
}

/* One receiver hangs with everything it gets; another is not made to wait for it. */
CASE(a_hanging_origin_does_not_hold_up_another)
{
    enum { N = 200 };
    struct world w;
    struct receiver hanging;
    static struct post p[N];
    struct post healthy;
    world_init_hasty(&w, true);
    receiver_open(&hanging, &w.loop, w.identity);
    hanging.accepts_silently = true;
    for (int i = 0; i < N; i++) {
        post_to(&w, &p[i], secure_host, hanging.port);
        post_send(&w, &p[i], secure_host, 0);
    }
    pause_ms(&w, 20);
    CHECK_UINT(hw_client_connections(w.client), <=, HW_OPENINGS_MIN);
    hw_mono_us began = hw_loop_us();
    post(&w, &healthy, "127.0.0.1");
    CHECK_DELIVERED(&healthy);
    CHECK_UINT(hw_loop_us() - began, <, 300000);
    uv_close((uv_handle_t *)&hanging.listener, NULL);
    HW_LIST_EACH_SAFE(at, &hanging.sessions)
    {
        session_close(HW_CONTAINER_OF(at, struct session, link));
    }
    for (int i = 0; i < N; i++) { /* nobody listens any more */
        post_end(&p[i]);
        CHECK_INT(p[i].result.failure, !=, HW_FAILURE_NONE);
        CHECK_UINT(p[i].result.duration_ms, <, TIMEOUT_MS + 1500);
    }
    AWAIT(&w, hanging.n_open == 0);
    hw_buf_close(&hanging.last);
    world_close(&w);
}

/* Handshakes are what the loop has to do then, and those after the first cost less. */
CASE(while_many_are_in_the_making_an_origin_without_a_ticket_makes_one)
{
    const char *hosts[] = { secure_host, "127.0.0.1" };
    struct world w;
    struct receiver hanging;
    static struct post stuck[HW_OPENINGS_MANY], p[HW_OPENINGS_MIN];
    world_init_hasty(&w, true);
    receiver_open(&hanging, &w.loop, w.identity);
    hanging.accepts_silently = true;
    for (int i = 0; i < HW_OPENINGS_MANY; i++) {
        post_to(&w, &stuck[i], hosts[i % 2], hanging.port);
        post_send(&w, &stuck[i], hosts[i % 2], 0);
    }
    uv_run(&w.uv, UV_RUN_NOWAIT); /* its end is enough */
    CHECK_UINT(hw_client_connections(w.client), ==, HW_OPENINGS_MANY);
    for (int i = 0; i < HW_OPENINGS_MIN; i++)
        post_begin(&w, &p[i], secure_host);
    uv_run(&w.uv, UV_RUN_NOWAIT);
    CHECK_UINT(hw_client_connections(w.client), ==, HW_OPENINGS_MANY + 1);
    for (int i = 0; i < HW_OPENINGS_MIN; i++) {
        post_end(&p[i]);
        CHECK_DELIVERED(&p[i]);
    }
    for (int i = 0; i < HW_OPENINGS_MANY; i++) {
        post_end(&stuck[i]);
        check_timeout(&stuck[i], HW_PHASE_TLS);
    }
    uv_close((uv_handle_t *)&hanging.listener, NULL);
    HW_LIST_EACH_SAFE(at, &hanging.sessions)
    {
        session_close(HW_CONTAINER_OF(at, struct session, link));
    }
    AWAIT(&w, hanging.n_open == 0);
    hw_buf_close(&hanging.last);
    world_close(&w);
}

static int n_begun;
static enum hw_status begin_status;

static enum hw_status on_begin(struct hw_client_req *req, struct hw_client_post *what)
{
    (void)req;
    n_begun++;
    what->head = HW_SLICE("POST /hook HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n");
    what->body[0] = HW_SLICE("{}");
    what->n_body = 1;
    return begin_status;
}

/* What a request says of its time is written when it leaves, not when it is asked for. */
CASE(a_request_may_be_written_when_its_attempt_begins)
{
    struct world w;
    struct post p;
    world_init(&w, true);
    struct hw_client_post what = { .url = &p.url, .begin = on_begin, .keep_body_bytes = 100 };
    for (int i = 0; i < 2; i++) { /* a fresh connection, then the same again */
        n_begun = 0;
        begin_status = HW_OK;
        post_to(&w, &p, secure_host, w.receiver.port);
        CHECK_INT(hw_client_post(w.client, &p.req, &what, on_posted), ==, HW_OK);
        CHECK_INT(n_begun, ==, i);
        post_end(&p);
        CHECK_DELIVERED(&p);
        CHECK_INT(p.result.reused, ==, i);
        CHECK_INT(n_begun, ==, 1);
    }
    begin_status = HW_ENOMEM; /* on the idle connection: known at once */
    post_to(&w, &p, secure_host, w.receiver.port);
    CHECK_INT(hw_client_post(w.client, &p.req, &what, on_posted), ==, HW_ENOMEM);
    AWAIT(&w, hw_client_connections(w.client) == 0);
    CHECK_INT(hw_client_post(w.client, &p.req, &what, on_posted), ==, HW_OK);
    post_end(&p);
    CHECK_INT(p.result.failure, ==, HW_FAILURE_INTERNAL);
    world_close(&w);
}

/* Waiting for leave to open a connection is not part of the attempt. */
CASE(who_waits_takes_what_comes_free_and_is_not_charged)
{
    enum { N = 30, TIMEOUT_OF_EACH_MS = 1000 };
    struct world w;
    static struct post p[N];
    world_init_with(&w, false, 1, TIMEOUT_OF_EACH_MS); /* one connection for all */
    w.receiver.on_request = answer_slowly;
    hw_mono_us began = hw_loop_us();
    for (int i = 0; i < N; i++)
        post_begin(&w, &p[i], plain_host);
    for (int i = 0; i < N; i++) {
        post_end(&p[i]);
        CHECK_DELIVERED(&p[i]);
        CHECK_INT(p[i].result.reused, ==, i > 0);
    }
    CHECK_UINT(hw_loop_us() - began, >, TIMEOUT_OF_EACH_MS * 1000);
    CHECK_INT(w.receiver.n_accepted, ==, 1);
    world_close(&w);
}

CASE(at_the_bound_the_oldest_idle_connection_makes_room)
{
    struct world w;
    struct post p;
    world_init_with(&w, true, 2, PATIENT_MS);
    post(&w, &p, "a.test");
    post(&w, &p, "127.0.0.1");
    CHECK_UINT(hw_client_connections(w.client), ==, 2);
    post(&w, &p, "two.test");
    CHECK_DELIVERED(&p);
    CHECK_UINT(hw_client_connections(w.client), ==, 2);
    post(&w, &p, "127.0.0.1");
    CHECK(p.result.reused);
    world_close(&w);
}

static void use_up_descriptors(int *fds, int n)
{
    for (int i = 0; i < n; i++)
        fds[i] = -1;
    for (int i = 0; i < n; i++) {
        fds[i] = open("/dev/null", O_RDONLY);
        if (fds[i] < 0)
            return;
    }
    CHECK_FAIL("there are more than %d descriptors", n);
}

CASE(without_descriptors_it_is_our_fault)
{
    enum { N = 128 };
    struct world w;
    struct post p;
    int fds[N];
    struct rlimit was, small = { .rlim_cur = 64 };
    getrlimit(RLIMIT_NOFILE, &was);
    small.rlim_max = was.rlim_max;
    world_init(&w, true);
    setrlimit(RLIMIT_NOFILE, &small);
    use_up_descriptors(fds, N);
    post(&w, &p, "127.0.0.1");
    setrlimit(RLIMIT_NOFILE, &was);
    for (int i = 0; i < N && fds[i] >= 0; i++)
        close(fds[i]);
    CHECK_INT(p.result.failure, ==, HW_FAILURE_INTERNAL);
    CHECK_CONTAINS(p.result.cause.note, "too many open files");
    post(&w, &p, "127.0.0.1");
    CHECK_DELIVERED(&p);
    world_close(&w);
}

/* The idle connection is closed, and so there is a descriptor for the next one. */
CASE(without_descriptors_an_idle_connection_makes_room)
{
    enum { N = 128 };
    struct world w;
    struct post p;
    int fds[N];
    struct rlimit was, small = { .rlim_cur = 64 };
    getrlimit(RLIMIT_NOFILE, &was);
    small.rlim_max = was.rlim_max;
    world_init(&w, true);
    post(&w, &p, "127.0.0.1");
    CHECK_UINT(hw_client_connections(w.client), ==, 1);
    setrlimit(RLIMIT_NOFILE, &small);
    use_up_descriptors(fds, N);
    post(&w, &p, "127.0.0.9"); /* where nobody listens, so that nobody needs one too */
    setrlimit(RLIMIT_NOFILE, &was);
    for (int i = 0; i < N && fds[i] >= 0; i++)
        close(fds[i]);
    CHECK_INT(p.result.failure, ==, HW_FAILURE_CONNECT);
    CHECK_CONTAINS(p.result.cause.note, "connection refused");
    CHECK_UINT(hw_client_connections(w.client), ==, 0);
    world_close(&w);
}

/* ---- calls inside callbacks, and the end ---- */

static struct post second_post;

static void post_again(struct post *p)
{
    post_begin(p->w, &second_post, secure_host);
    CHECK_STR(p->body, "ok"); /* was copied; the result itself is still whole */
}

CASE(a_post_inside_a_callback)
{
    struct world w;
    struct post p;
    world_init(&w, true);
    memset(&p, 0, sizeof(p));
    post_send(&w, &p, secure_host, 4096);
    p.then = post_again;
    post_end(&p);
    post_end(&second_post);
    CHECK_DELIVERED(&second_post);
    CHECK_INT(w.receiver.n_accepted, ==, 1);
    CHECK(second_post.result.reused);
    world_close(&w);
}

CASE(closing_with_work_under_way)
{
    struct world w;
    static struct post p[100];
    world_init(&w, true);
    w.receiver.on_request = say_nothing;
    const char *hosts[] = { "a.test", "silent.test", "127.0.0.1", "two.test" };
    for (int i = 0; i < 100; i++)
        post_begin(&w, &p[i], hosts[i % 4]);
    pause_ms(&w, 30);
    for (int i = 0; i < 100; i++)
        CHECK_INT(p[i].n_done, ==, 0);
    world_close(&w);
    for (int i = 0; i < 100; i++) {
        CHECK_INT(p[i].n_done, ==, 1);
        CHECK_INT(p[i].result.failure, ==, HW_FAILURE_INTERNAL);
        CHECK_INT(p[i].result.cause.status, ==, HW_ECANCELED);
        hw_url_close(&p[i].url);
    }
}

CASE(closing_at_once)
{
    struct world w;
    struct post p;
    world_init(&w, true);
    post_begin(&w, &p, secure_host);
    world_close(&w);
    CHECK_INT(p.n_done, ==, 1);
    CHECK_INT(p.result.cause.status, ==, HW_ECANCELED);
    hw_url_close(&p.url);
}

static void close_client(struct post *p)
{
    struct hw_client_post what = { .url = &p->url };
    hw_client_close(p->w->client, on_client_closed, p->w);
    CHECK_INT(hw_client_post(p->w->client, &second_post.req, &what, on_posted), ==,
              HW_ECANCELED);
}

CASE(closing_inside_a_callback)
{
    struct world w;
    struct post p;
    world_init(&w, true);
    memset(&p, 0, sizeof(p));
    post_send(&w, &p, secure_host, 4096);
    p.then = close_client;
    post_end(&p);
    AWAIT(&w, w.is_client_closed);
    w.is_client_closed = false;
    client_open(&w, 0, PATIENT_MS); /* world_close wants one to close */
    world_close(&w);
}

/* ---- who may hang ---- */

/* It says when it begins. */
static void post_begin_as(struct world *w, struct post *p, const char *host, bool is_doubtful)
{
    post_to(w, p, host, w->receiver.port);
    p->is_doubtful = is_doubtful;
    p->says_when = true;
    post_send(w, p, host, 4096);
}

static void post_begin_doubtful(struct world *w, struct post *p, const char *host)
{
    post_begin_as(w, p, host, true);
}

static void post_begin_certain(struct world *w, struct post *p, const char *host)
{
    post_begin_as(w, p, host, false);
}

enum { CROWD = 20 };

static void crowd_begin(struct world *w, struct post *p)
{
    for (int i = 0; i < CROWD; i++)
        post_begin_doubtful(w, &p[i], plain_host);
}

/* Each on a connection of its own. */
static void crowd_end(struct post *p)
{
    for (int i = 0; i < CROWD; i++) {
        post_end(&p[i]);
        CHECK_DELIVERED(&p[i]);
        CHECK(!p[i].result.reused);
    }
}

static void leave_the_idle_one(bool is_secure, const char *host)
{
    struct world w;
    struct post first, doubtful, certain;
    world_init(&w, is_secure);
    post(&w, &first, host);
    post_begin_doubtful(&w, &doubtful, host);
    CHECK_INT(w.n_begun, ==, 0);
    post_begin_certain(&w, &certain, host);
    CHECK_INT(w.n_begun, ==, 1); /* on the idle one, at once */
    post_end(&certain);
    post_end(&doubtful);
    CHECK_DELIVERED(&certain);
    CHECK_DELIVERED(&doubtful);
    CHECK(certain.result.reused);
    CHECK(!doubtful.result.reused);
    CHECK_INT(w.receiver.n_accepted, ==, 2);
    CHECK_UINT(hw_client_connections(w.client), ==, 2);
    CHECK_UINT(w.metrics.connections_opened, ==, 2);
    CHECK_UINT(w.metrics.connections_reused, ==, 1);
    world_close(&w);
}

CASE(a_doubtful_request_leaves_the_idle_connection_to_the_next_certain_one)
{
    leave_the_idle_one(false, plain_host);
    leave_the_idle_one(true, secure_host);
}

CASE(a_doubtful_request_takes_the_idle_connection_once_its_receiver_is_trusted)
{
    struct world w;
    struct post first, doubtful;
    world_init(&w, false);
    post(&w, &first, plain_host);
    post_begin_doubtful(&w, &doubtful, plain_host);
    hw_client_trust(&doubtful.req);
    CHECK_INT(w.n_begun, ==, 0); /* no callback inside */
    post_end(&doubtful);
    CHECK_DELIVERED(&doubtful);
    CHECK(doubtful.result.reused);
    CHECK_INT(w.receiver.n_accepted, ==, 1);
    hw_client_trust(&doubtful.req); /* harmless */
    world_close(&w);
}

/* Those that have begun are left alone. */
CASE(a_crowd_that_is_trusted_takes_the_connections_there_are)
{
    struct world w;
    static struct post first, p[CROWD];
    int n_reused = 0;
    world_init(&w, false);
    post(&w, &first, plain_host);
    crowd_begin(&w, p);
    AWAIT(&w, w.n_begun == 1);
    for (int i = 0; i < CROWD; i++)
        hw_client_trust(&p[i].req);
    for (int i = 0; i < CROWD; i++) {
        post_end(&p[i]);
        CHECK_DELIVERED(&p[i]);
        n_reused += p[i].result.reused;
    }
    CHECK_INT(n_reused, >, 0);
    CHECK_INT(w.receiver.n_accepted, ==, 1 + CROWD - n_reused);
    world_close(&w);
}

CASE(a_certain_request_does_not_wait_for_doubtful_ones_before_it)
{
    struct world w;
    static struct post first, certain, p[CROWD];
    world_init(&w, false);
    post(&w, &first, plain_host);
    crowd_begin(&w, p);
    post_begin_certain(&w, &certain, plain_host);
    CHECK_INT(w.n_begun, ==, 1);
    post_end(&certain);
    CHECK_DELIVERED(&certain);
    CHECK(certain.result.reused);
    crowd_end(p);
    CHECK_INT(w.receiver.n_accepted, ==, 1 + CROWD);
    world_close(&w);
}

CASE(a_certain_request_begins_a_connection_before_doubtful_ones)
{
    struct world w;
    static struct post certain, p[CROWD];
    world_init(&w, false);
    crowd_begin(&w, p);
    post_begin_certain(&w, &certain, plain_host);
    CHECK_INT(w.n_begun, ==, 0);
    post_end(&certain);
    CHECK_DELIVERED(&certain);
    CHECK_INT(certain.begun_as, ==, 0);
    crowd_end(p);
    world_close(&w);
}

/* There is room for one connection, and it is busy. */
CASE(a_certain_request_takes_what_comes_free_before_doubtful_ones)
{
    struct world w;
    static struct post first, certain, p[CROWD];
    world_init_with(&w, false, 1, PATIENT_MS);
    w.receiver.on_request = answer_late;
    post_begin(&w, &first, plain_host);
    AWAIT(&w, w.receiver.n_requests == 1);
    w.receiver.on_request = answer;
    crowd_begin(&w, p);
    post_begin_certain(&w, &certain, plain_host);
    post_end(&first);
    post_end(&certain);
    CHECK_DELIVERED(&certain);
    CHECK_INT(certain.begun_as, ==, 0);
    CHECK(certain.result.reused);
    crowd_end(p);
    CHECK_INT(w.receiver.n_accepted, ==, 1 + CROWD);
    CHECK_UINT(hw_client_connections(w.client), ==, 1);
    world_close(&w);
}

static void check_apart(const struct post *a, const struct post *b)
{
    hw_mono_us apart = a->begun_us < b->begun_us ? b->begun_us - a->begun_us :
                                                   a->begun_us - b->begun_us;
    CHECK_UINT(apart, >=, HW_OPENINGS_DOUBT_MS * 1000);
}

CASE(doubtful_ones_of_all_origins_begin_one_after_the_other)
{
    enum { N = 2 * CROWD };
    struct world w;
    static struct post p[N];
    world_init(&w, false);
    crowd_begin(&w, p);
    for (int i = CROWD; i < N; i++)
        post_begin_doubtful(&w, &p[i], "localhost");
    for (int i = 0; i < N; i++) {
        post_end(&p[i]);
        CHECK_DELIVERED(&p[i]);
        CHECK(!p[i].result.reused);
    }
    for (int i = 0; i < N; i++)
        for (int j = 0; j < i; j++)
            check_apart(&p[i], &p[j]);
    CHECK_INT(p[0].begun_as, ==, 0);
    CHECK_INT(p[CROWD].begun_as, ==, 1); /* origins take turns */
    for (int i = 1; i < N; i++)
        CHECK(i == CROWD || p[i].begun_as > p[i - 1].begun_as); /* each in its line's order */
    CHECK_INT(w.receiver.n_accepted, ==, N);
    world_close(&w);
}

CASE(certain_ones_need_not_begin_one_after_the_other)
{
    struct world w;
    static struct post p[HW_OPENINGS_MIN];
    world_init(&w, false);
    for (int i = 0; i < HW_OPENINGS_MIN; i++)
        post_begin_certain(&w, &p[i], plain_host);
    uv_run(&w.uv, UV_RUN_NOWAIT); /* its end is enough */
    CHECK_INT(w.n_begun, ==, HW_OPENINGS_MIN);
    for (int i = 0; i < HW_OPENINGS_MIN; i++) {
        post_end(&p[i]);
        CHECK_DELIVERED(&p[i]);
    }
    world_close(&w);
}

static struct post *to_trust;

static void trust_it(struct post *p)
{
    (void)p;
    hw_client_trust(&to_trust->req);
}

/* Whoever waits while the one connection that there may be is busy; `then` when it comes free. */
static void wait_for_the_busy_one(void (*then)(struct post *p), bool is_reused)
{
    struct world w;
    struct post first, doubtful;
    world_init_with(&w, false, 1, PATIENT_MS);
    w.receiver.on_request = answer_late;
    to_trust = &doubtful;
    post_begin(&w, &first, plain_host);
    first.then = then;
    AWAIT(&w, w.receiver.n_requests == 1);
    post_begin_doubtful(&w, &doubtful, plain_host);
    post_end(&first);
    post_end(&doubtful);
    CHECK_DELIVERED(&doubtful);
    CHECK_INT(doubtful.result.reused, ==, is_reused);
    CHECK_INT(w.receiver.n_accepted, ==, is_reused ? 1 : 2);
    CHECK_UINT(hw_client_connections(w.client), ==, 1);
    world_close(&w);
}

CASE(a_doubtful_request_takes_what_comes_free_when_its_receiver_is_trusted)
{
    wait_for_the_busy_one(trust_it, true);
}

CASE(a_doubtful_request_does_not_take_what_comes_free_while_the_doubt_lasts)
{
    wait_for_the_busy_one(NULL, false);
}

static void answer_the_first_session(struct session *s)
{
    if (hw_list_first(&s->r->sessions) == &s->link)
        answer(s);
}

CASE(connections_that_may_hang_are_not_counted_where_none_is_spared)
{
    struct world w;
    static struct post stuck[HW_OPENINGS_FEW], first, p[BURST];
    world_init_hasty(&w, false);
    post(&w, &first, plain_host);
    w.receiver.on_request = answer_the_first_session;
    for (int i = 0; i < HW_OPENINGS_FEW; i++)
        post_begin_doubtful(&w, &stuck[i], "localhost");
    AWAIT(&w, w.receiver.n_requests == 1 + HW_OPENINGS_FEW);
    size_t n = hw_client_connections(w.client);
    w.receiver.on_request = answer_late;
    burst_begin(&w, p);
    uv_run(&w.uv, UV_RUN_NOWAIT); /* its end is enough */
    CHECK_UINT(hw_client_connections(w.client), >, n);
    burst_end(p);
    for (int i = 0; i < HW_OPENINGS_FEW; i++) {
        post_end(&stuck[i]);
        check_timeout(&stuck[i], HW_PHASE_RESPONSE);
    }
    world_close(&w);
}

CASE(doubtful_ones_that_hang_time_out_and_certain_ones_keep_their_connection)
{
    struct world w;
    static struct post certain, p[CROWD];
    world_init_hasty(&w, false);
    w.receiver.on_request = answer_the_first_session;
    post(&w, &certain, plain_host);
    crowd_begin(&w, p);
    for (int i = 0; i < 10; i++) {
        post(&w, &certain, plain_host);
        CHECK_DELIVERED(&certain);
        CHECK(certain.result.reused);
    }
    for (int i = 0; i < CROWD; i++) {
        post_end(&p[i]);
        check_timeout(&p[i], HW_PHASE_RESPONSE);
    }
    post(&w, &certain, plain_host);
    CHECK_DELIVERED(&certain);
    CHECK(certain.result.reused);
    CHECK_INT(w.receiver.n_accepted, ==, 1 + CROWD);
    CHECK_UINT(hw_client_connections(w.client), ==, 1);
    world_close(&w);
}

static bool have_all_begun(struct world *w)
{
    CHECK_UINT(hw_client_connections(w->client), <=, HW_OPENINGS_MIN);
    return w->n_begun == CROWD;
}

CASE(doubtful_ones_that_are_not_even_accepted_have_few_in_the_making)
{
    struct world w;
    static struct post p[CROWD];
    world_init_hasty(&w, true);
    w.receiver.accepts_silently = true;
    for (int i = 0; i < CROWD; i++)
        post_begin_doubtful(&w, &p[i], secure_host);
    AWAIT(&w, have_all_begun(&w));
    for (int i = 0; i < CROWD; i++) {
        post_end(&p[i]);
        check_timeout(&p[i], HW_PHASE_TLS);
    }
    world_close(&w);
}

/* One after the other, for there is room for one: the last waits for longer than it may take. */
CASE(a_doubtful_request_is_not_charged_for_waiting)
{
    enum { TIMEOUT_OF_EACH_MS = 1000 };
    struct world w;
    static struct post p[CROWD];
    world_init_with(&w, false, 1, TIMEOUT_OF_EACH_MS);
    w.receiver.on_request = answer_late;
    hw_mono_us began = hw_loop_us();
    crowd_begin(&w, p);
    crowd_end(p);
    CHECK_UINT(hw_loop_us() - began, >, TIMEOUT_OF_EACH_MS * 1000);
    for (int i = 0; i < CROWD; i++)
        CHECK_UINT(p[i].result.duration_ms, <, TIMEOUT_OF_EACH_MS);
    CHECK_INT(w.receiver.n_accepted, ==, CROWD);
    world_close(&w);
}

static enum hw_status on_begin_short(struct hw_client_req *req, struct hw_client_post *what)
{
    (void)req;
    (void)what;
    return HW_ENOMEM;
}

/* It cannot be written when its turn has come. */
static void post_begin_unwritable(struct world *w, struct post *p, const char *host)
{
    post_to(w, p, host, w->receiver.port);
    struct hw_client_post what = { .url = &p->url,
                                   .begin = on_begin_short,
                                   .is_doubtful = true };
    CHECK_INT(hw_client_post(w->client, &p->req, &what, on_posted), ==, HW_OK);
}

static void check_ended_by_us(struct post *p, enum hw_status status)
{
    CHECK_INT(p->n_done, ==, 1);
    CHECK_INT(p->result.failure, ==, HW_FAILURE_INTERNAL);
    CHECK_INT(p->result.cause.status, ==, status);
}

CASE(a_doubtful_request_that_cannot_be_written_ends_alone)
{
    struct world w;
    static struct post unwritable[3], p[CROWD];
    world_init(&w, false);
    post_begin_unwritable(&w, &unwritable[0], plain_host);
    post_begin_unwritable(&w, &unwritable[1], "localhost"); /* all that its origin has */
    crowd_begin(&w, p);
    post_begin_unwritable(&w, &unwritable[2], plain_host);
    crowd_end(p);
    for (int i = 0; i < 3; i++) {
        post_end(&unwritable[i]);
        check_ended_by_us(&unwritable[i], HW_ENOMEM);
    }
    CHECK_INT(w.receiver.n_accepted, ==, CROWD);
    CHECK_UINT(hw_client_connections(w.client), <=, CROWD);
    world_close(&w);
}

static void check_canceled(struct post *p)
{
    check_ended_by_us(p, HW_ECANCELED);
    CHECK_UINT(p->result.duration_ms, ==, 0);
    CHECK_INT(p->begun_us, ==, 0);
    hw_url_close(&p->url);
}

/* As in a drain: what ends without a connection leaves its turn to the next. */
CASE(doubtful_ones_that_may_not_begin_do_not_wait_for_one_another)
{
    struct world w;
    static struct post p[CROWD];
    world_init(&w, false);
    for (int i = 0; i < CROWD; i++)
        post_begin_unwritable(&w, &p[i], plain_host);
    uv_run(&w.uv, UV_RUN_NOWAIT); /* its end is enough */
    for (int i = 0; i < CROWD; i++) {
        CHECK_INT(p[i].n_done, ==, 1);
        post_end(&p[i]);
        check_ended_by_us(&p[i], HW_ENOMEM);
    }
    world_close(&w);
}

CASE(closing_with_doubtful_ones_that_wait)
{
    struct world w;
    struct post first;
    static struct post p[CROWD];
    world_init(&w, true);
    post(&w, &first, secure_host); /* there is an idle connection */
    for (int i = 0; i < CROWD; i++)
        post_begin_doubtful(&w, &p[i], i % 2 ? secure_host : "127.0.0.1");
    world_close(&w);
    for (int i = 0; i < CROWD; i++)
        check_canceled(&p[i]);
}

/* When the first has begun, and the others wait for their time. */
CASE(closing_between_two_doubtful_ones)
{
    struct world w;
    static struct post p[CROWD];
    world_init(&w, false);
    w.receiver.on_request = say_nothing;
    crowd_begin(&w, p);
    AWAIT(&w, w.n_begun > 0);
    int n_before = w.n_begun;
    world_close(&w);
    CHECK_INT(w.n_begun, ==, n_before);
    for (int i = 0; i < n_before; i++) {
        check_ended_by_us(&p[i], HW_ECANCELED);
        hw_url_close(&p[i].url);
    }
    for (int i = n_before; i < CROWD; i++)
        check_canceled(&p[i]);
}

CASE(closing_inside_the_turn_of_a_doubtful_one)
{
    struct world w;
    struct post p;
    static struct post others[CROWD];
    world_init(&w, false);
    post_begin_unwritable(&w, &p, plain_host);
    p.then = close_client;
    crowd_begin(&w, others);
    post_end(&p);
    check_ended_by_us(&p, HW_ENOMEM);
    AWAIT(&w, w.is_client_closed);
    for (int i = 0; i < CROWD; i++)
        check_canceled(&others[i]);
    w.is_client_closed = false;
    client_open(&w, 0, PATIENT_MS); /* world_close wants one to close */
    world_close(&w);
}

/* ---- memory ---- */

/* Receiver and client share the allocator, so anything may come of it; but once, and with
 * nothing left behind. */
static void deliver_short_of_memory(unsigned fails_at, bool is_doubtful)
{
    struct world w;
    static struct post p[3];
    static const char *const hosts[] = { "a.test", "a.test", "127.0.0.1" };
    scarce_begin(0);
    world_init(&w, true);
    for (int i = 0; i < 3; i++)
        post_to(&w, &p[i], hosts[i], w.receiver.port);
    scarce.fails_at = scarce.n_asked + fails_at;
    for (int i = 0; i < 3; i++) {
        struct hw_client_post what = { .url = &p[i].url,
                                       .keep_body_bytes = 10,
                                       .is_doubtful = is_doubtful,
                                       .head = HW_SLICE("POST / HTTP/1.1\r\n\r\n") };
        if (hw_client_post(w.client, &p[i].req, &what, on_posted) == HW_OK)
            AWAIT(&w, p[i].n_done == 1);
        hw_url_close(&p[i].url);
    }
    scarce.fails_at = 0;
    post(&w, &p[0], "a.test"); /* and it goes on */
    CHECK_DELIVERED(&p[0]);
    world_close(&w);
    scarce_end();
}

CASE(any_allocation_may_fail)
{
    SCARCE_EACH(n)
    deliver_short_of_memory(n, false);
}

CASE(any_allocation_may_fail_for_doubtful_ones)
{
    SCARCE_EACH(n)
    deliver_short_of_memory(n, true);
}
