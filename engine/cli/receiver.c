#include "cli/receiver.h"

#include "base/must.h"
#include "hookwheel/alloc.h"
#include "http/answer.h"

enum {
    BODY_MAX = 64 * 1024 * 1024,
    PENDING_MAX = 1024 * 1024, /* read behind a request whose answer is delayed */
    ANSWER_MAX = 4 * 1024 * 1024,
    BACKLOG = 1024,
    GRACE_MS = 1000
};

struct conn {
    struct hw_list link;          /* in receiver.conns until its stream is closed */
    struct hw_receiver *receiver; /* borrowed */
    struct hw_stream stream;
    struct hw_inbound request;
    struct hw_buf pending;       /* read, not fed yet */
    struct hw_wheel_entry delay; /* armed: an answer waits */
    int status;                  /* of the answer that waits */
    void *ticket;                /* of the request under way; NULL: nobody asks */
    bool is_hanging;             /* has a request that is never answered */
    bool is_over;                /* the last answer was written: close when it has left */
    bool is_closing;
};

static void conn_feed(struct conn *c, struct hw_slice data);

/* ------------------------------------------------------------------ end of a connection */

static void on_conn_closed(struct hw_stream *s)
{
    struct conn *c = HW_CONTAINER_OF(s, struct conn, stream);
    struct hw_receiver *r = c->receiver;

    hw_list_unlink(&c->link);
    r->n_conns--;
    hw_inbound_close(&c->request);
    hw_buf_close(&c->pending);
    hw_free(c);
    if (r->is_closing && hw_list_is_empty(&r->conns) && hw_wheel_is_armed(&r->grace))
        hw_loop_arm(r->loop, &r->grace, 0); /* nobody left to wait for */
    hw_closing_release(&r->closing);
}

/* Its request is over, one way or the other. */
static void conn_done(struct conn *c)
{
    void *ticket = c->ticket;

    c->ticket = NULL;
    if (ticket != NULL)
        c->receiver->done_cb(c->receiver->data, ticket);
}

static void conn_close(struct conn *c)
{
    if (c->is_closing)
        return;
    c->is_closing = true;
    hw_loop_cancel(c->receiver->loop, &c->delay);
    hw_stream_close(&c->stream, on_conn_closed);
    conn_done(c);
}

/* ------------------------------------------------------------------ answers */

static void conn_write(struct conn *c, int status, struct hw_slice json, bool is_last)
{
    struct hw_receiver *r = c->receiver;
    struct hw_answer answer = { .status = status, .body = json, .close = is_last };
    struct hw_slice piece;

    if (json.len > 0)
        answer.content_type = HW_SLICE("application/json");
    if (status == 405)
        answer.fields = HW_SLICE("allow: POST\r\n");
    hw_buf_reset(&r->out);
    if (hw_answer_write(&r->out, &answer) != HW_OK) {
        conn_close(c);
        return;
    }
    piece = hw_buf_slice(&r->out);
    c->is_over = is_last;
    if (hw_stream_write(&c->stream, &piece, 1) != HW_OK ||
        (is_last && hw_stream_queued(&c->stream) == 0))
        conn_close(c);
}

/* The request is answered; on to the next. */
static void conn_answer(struct conn *c, int status, struct hw_slice json)
{
    bool is_last = !c->request.keep_alive || c->receiver->is_closing;

    hw_inbound_next(&c->request);
    conn_write(c, status, json, is_last);
    conn_done(c);
}

/* Of what the request needed no more than its connection is kept: there may be thousands. */
static void conn_hang(struct conn *c)
{
    c->is_hanging = true;
    hw_inbound_close(&c->request);
}

static void on_delay(struct hw_wheel_entry *e)
{
    struct conn *c = HW_CONTAINER_OF(e, struct conn, delay);
    struct hw_buf pending = c->pending;

    hw_buf_init(&c->pending, PENDING_MAX);
    conn_answer(c, c->status, hw_slice(NULL, 0));
    if (!c->is_closing) {
        hw_stream_read_start(&c->stream);
        conn_feed(c, hw_buf_slice(&pending));
    }
    hw_buf_close(&pending);
}

static void conn_ask(struct conn *c)
{
    struct hw_receiver *r = c->receiver;
    struct hw_receiver_answer answer = r->cb(r->data, &c->request);

    c->ticket = r->done_cb ? answer.ticket : NULL;
    if (answer.delay_ms == 0) {
        conn_answer(c, answer.status, answer.json);
        return;
    }
    if (answer.delay_ms == HW_RECEIVER_NEVER) {
        conn_hang(c);
        return;
    }
    c->status = answer.status;
    hw_stream_read_stop(&c->stream);
    hw_loop_arm(r->loop, &c->delay, answer.delay_ms);
}

/* ------------------------------------------------------------------ requests */

static void conn_refuse(struct conn *c, enum hw_status status)
{
    conn_write(c, status == HW_ETOOBIG ? (c->request.too_large_body ? 413 : 431) : 400,
               hw_slice(NULL, 0), true);
    /* What is unsent goes out, but nothing more is heard. */
    if (!c->is_closing)
        hw_stream_read_stop(&c->stream);
}

static void conn_continue(struct conn *c)
{
    struct hw_slice interim = HW_SLICE("HTTP/1.1 100 Continue\r\n\r\n");

    if (hw_stream_write(&c->stream, &interim, 1) != HW_OK)
        conn_close(c);
}

/* The head is there, the body may be long in coming: one that is announced too large is refused
 * now, and not asked for. */
static void conn_await_body(struct conn *c)
{
    size_t n_used;
    enum hw_status status = hw_inbound_feed(&c->request, hw_slice(NULL, 0), &n_used, NULL);

    if (status != HW_OK)
        conn_refuse(c, status);
    else if (c->request.expects_continue) /* until its first byte */
        conn_continue(c);
}

static void conn_feed(struct conn *c, struct hw_slice data)
{
    while (data.len > 0 && !c->is_closing && !c->is_over && !c->is_hanging) {
        size_t n_used = 0;
        enum hw_status status;

        if (hw_wheel_is_armed(&c->delay)) {
            if (hw_buf_append_slice(&c->pending, data) != HW_OK)
                conn_close(c);
            return;
        }
        status = hw_inbound_feed(&c->request, data, &n_used, NULL);
        if (status != HW_OK) {
            conn_refuse(c, status);
            return;
        }
        data = hw_slice_from(data, n_used);
        if (c->request.is_complete)
            conn_ask(c);
        else if (c->request.has_head)
            conn_await_body(c);
    }
}

static void on_data(struct hw_stream *s, struct hw_slice data)
{
    conn_feed(HW_CONTAINER_OF(s, struct conn, stream), data);
}

static void on_end(struct hw_stream *s, const struct hw_cause *cause)
{
    (void)cause; /* a client that goes away is its own business */
    conn_close(HW_CONTAINER_OF(s, struct conn, stream));
}

/* Everything written has left. */
static void on_drain(struct hw_stream *s)
{
    struct conn *c = HW_CONTAINER_OF(s, struct conn, stream);

    if (c->is_over || c->receiver->is_closing)
        conn_close(c);
}

static void on_secure(struct hw_stream *s)
{
    struct hw_receiver *r = HW_CONTAINER_OF(s, struct conn, stream)->receiver;

    if (r->secure_cb != NULL)
        r->secure_cb(r->data, hw_tls_is_resumed(hw_stream_tls(s)));
}

static const struct hw_stream_events events = {
    .on_secure = on_secure,
    .on_data = on_data,
    .on_end = on_end,
    .on_drain = on_drain,
};

/* ------------------------------------------------------------------ listening */

static enum hw_status conn_start(struct conn *c, uv_stream_t *server)
{
    struct hw_receiver *r = c->receiver;
    struct hw_tls *tls;

    if (hw_stream_accept(&c->stream, server, NULL) != HW_OK)
        return HW_ECONN;
    if (r->identity == NULL)
        return HW_OK;
    if (hw_tls_open_server(&tls, r->identity, NULL) != HW_OK)
        return HW_ENOMEM;
    hw_stream_start_tls(&c->stream, tls);
    return HW_OK;
}

static void on_connection(uv_stream_t *server, int status)
{
    struct hw_receiver *r = server->data;
    struct conn *c = status == 0 && !r->is_closing ? hw_calloc(1, sizeof *c) : NULL;

    if (c == NULL)
        return;
    c->receiver = r;
    hw_stream_init(&c->stream, r->loop, &events);
    hw_inbound_init(&c->request, BODY_MAX);
    hw_buf_init(&c->pending, PENDING_MAX);
    hw_wheel_entry_init(&c->delay, on_delay);
    hw_list_push_back(&r->conns, &c->link);
    r->n_conns++;
    hw_closing_hold(&r->closing);
    if (conn_start(c, server) != HW_OK)
        conn_close(c);
}

static enum hw_status bind_error(struct hw_cause *cause, int rc, const char *host,
                                 unsigned port)
{
    return hw_cause_set(cause, HW_ESYSTEM, HW_ORIGIN_LIBUV, rc,
                        "cannot listen on %.60s port %u: %s", host, port, uv_strerror(rc));
}

static unsigned bound_port(const uv_tcp_t *tcp)
{
    struct sockaddr_storage address;
    int size = sizeof address;

    if (uv_tcp_getsockname(tcp, (struct sockaddr *)&address, &size) != 0)
        return 0;
    if (address.ss_family == AF_INET6)
        return ntohs(((const struct sockaddr_in6 *)(const void *)&address)->sin6_port);
    return ntohs(((const struct sockaddr_in *)(const void *)&address)->sin_port);
}

static enum hw_status receiver_bind(struct hw_receiver *r, const char *host, unsigned port,
                                    struct hw_cause *cause)
{
    uv_tcp_t *tcp = &r->servers[r->n_servers];
    struct sockaddr_storage address = { 0 };
    int rc = uv_ip4_addr(host, (int)port, (struct sockaddr_in *)(void *)&address);

    if (rc != 0)
        rc = uv_ip6_addr(host, (int)port, (struct sockaddr_in6 *)(void *)&address);
    if (rc != 0)
        return hw_cause_set(cause, HW_EINVAL, HW_ORIGIN_US, 0,
                            "\"%.60s\" is not an IP address", host);
    rc = uv_tcp_init(r->loop->uv, tcp);
    if (rc != 0)
        return bind_error(cause, rc, host, port);
    r->n_servers++;
    hw_closing_hold(&r->closing);
    tcp->data = r;
    rc = uv_tcp_bind(tcp, (const struct sockaddr *)&address,
                     address.ss_family == AF_INET6 ? UV_TCP_IPV6ONLY : 0);
    if (rc == 0)
        rc = uv_listen((uv_stream_t *)tcp, BACKLOG, on_connection);
    if (rc != 0)
        return bind_error(cause, rc, host, port);
    r->port = bound_port(tcp);
    return HW_OK;
}

enum hw_status hw_receiver_open(struct hw_receiver *r, struct hw_loop *loop,
                                struct hw_identity *identity, const char *host, unsigned port,
                                hw_receiver_cb cb, void *data, struct hw_cause *cause)
{
    enum hw_status status;

    *r = (struct hw_receiver){ .loop = loop, .identity = identity, .cb = cb, .data = data };
    hw_list_init(&r->conns);
    hw_buf_init(&r->out, ANSWER_MAX);
    hw_closing_init(&r->closing);
    hw_closing_hold(
        &r->closing); /* for the close itself, so that it can be asked with nothing open */
    status = receiver_bind(r, host ? host : "127.0.0.1", port, cause);
    if (status == HW_OK && host == NULL) {
        enum hw_status also = receiver_bind(r, "::1", r->port, NULL);
        (void)also; /* a system without IPv6, or somebody else has that port there */
    }
    return status;
}

/* ------------------------------------------------------------------ closing */

static void on_server_closed(uv_handle_t *handle)
{
    struct hw_receiver *r = handle->data;

    hw_closing_release(&r->closing);
}

static void on_closed(struct hw_closing *closing)
{
    struct hw_receiver *r = HW_CONTAINER_OF(closing, struct hw_receiver, closing);

    hw_buf_close(&r->out);
    r->closed_cb(r->data);
}

static void on_grace_over(struct hw_wheel_entry *e)
{
    struct hw_receiver *r = HW_CONTAINER_OF(e, struct hw_receiver, grace);

    HW_LIST_EACH_SAFE (pos, &r->conns)
        conn_close(HW_CONTAINER_OF(pos, struct conn, link));
    hw_closing_release(&r->closing);
}

static bool has_unsent(struct hw_receiver *r)
{
    HW_LIST_EACH (pos, &r->conns)
        if (hw_stream_queued(&HW_CONTAINER_OF(pos, struct conn, link)->stream) > 0)
            return true;
    return false;
}

void hw_receiver_close(struct hw_receiver *r, hw_receiver_closed_cb cb)
{
    HW_MUST(!r->is_closing);
    r->is_closing = true;
    r->closed_cb = cb;
    hw_wheel_entry_init(&r->grace, on_grace_over);
    for (size_t i = 0; i < r->n_servers; i++) {
        r->servers[i].data = r;
        uv_close((uv_handle_t *)&r->servers[i], on_server_closed);
    }
    HW_LIST_EACH_SAFE (pos, &r->conns) {
        struct conn *c = HW_CONTAINER_OF(pos, struct conn, link);

        if (hw_stream_queued(&c->stream) == 0)
            conn_close(c);
    }
    hw_closing_begin(&r->closing, on_closed);
    hw_loop_arm(r->loop, &r->grace, has_unsent(r) ? GRACE_MS : 0);
}
