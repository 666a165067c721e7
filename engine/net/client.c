/*
 * post     an idle connection: send at once; else wait (openings.h), for one that comes free or
 *          for leave to open one
 * begin    permit, descriptor -> clock starts -> resolve (not for a literal) -> on_resolved:
 *          refuse addresses -> connect -> on_ready -> send
 * send     on_progress: head complete -> held back for the body, or told -> drained: renewed
 *          and given to who waits or to the pool, or dropped
 *
 * Where things end: every failure goes through req_fail, every response through
 * req_succeed; both unlink, release and then call out, once.  A stale kept-alive connection
 * goes back to begin (resend), past permits and bounds, because its clock runs already.  A
 * want of descriptors closes an idle connection and begins again; with none idle it is a
 * fault of our own.  The deadline closes whatever there is.
 *
 * After its outcome was told a connection that still has body to read belongs to nobody
 * (user NULL) and has its own timer: drained to 64 KiB and 500 ms after the head, or dropped.
 */
#include "net/client.h"

#include <string.h>
#include <sys/resource.h>

#include "base/must.h"
#include "hookwheel/alloc.h"
#include "net/pool.h"

enum {
    DRAIN_MS = 500,
    DRAIN_BYTES = 64 * 1024,
};

struct hw_client {
    struct hw_loop *loop;
    struct hw_client_options options;
    struct hw_pool pool;
    struct hw_openings openings;
    struct hw_resolve *resolve;
    struct hw_list requests; /* that have not come to their outcome */
    struct hw_wheel_entry ending;
    struct hw_closing closing;
    void (*closed_cb)(void *data);
    void *closed_data;
    bool is_closing;
};

static const struct hw_conn_events conn_events;

static void observe(struct hw_client *c, enum hw_metric_phase phase, hw_mono_us took_us)
{
    hw_hist_observe(&c->options.metrics->phase[phase], (double)took_us / 1e6);
}

/* ---- a request and what it holds ---- */

static void conn_drop(struct hw_client *c, struct hw_conn *conn)
{
    struct hw_pool_origin *o = conn->origin;
    o->n_users++;
    conn->user = NULL;
    hw_pool_drop(&c->pool, conn);
    hw_openings_consider(&c->openings, o);
    hw_openings_resume(&c->openings); /* a descriptor is free */
    hw_pool_leave(&c->pool, o);
}

/* Nothing of ours refers to it afterwards.  Its connection, if any, is left to the caller. */
static void req_detach(struct hw_client_req *req)
{
    struct hw_client *c = req->client;
    struct hw_pool_origin *o = req->origin;
    hw_list_unlink(&req->link);
    hw_opening_leave(&req->opening);
    hw_loop_cancel(c->loop, &req->deadline);
    hw_resolve_cancel(&req->resolve);
    hw_permit_give_back(&c->openings.permits, &req->opening.permit);
    if (req->state == HW_CLIENT_RESOLVING) {
        hw_pool_release(&c->pool, o);
        hw_openings_consider(&c->openings, o);
        hw_openings_resume(&c->openings); /* a descriptor is free */
    }
    if (req->conn)
        req->conn->user = NULL;
    req->conn = NULL;
    req->origin = NULL;
    req->state = HW_CLIENT_DONE;
    hw_pool_leave(&c->pool, o);
}

static void result_times(struct hw_client_result *res, const struct hw_client_req *req,
                         const struct hw_conn *conn, hw_mono_us ended_us)
{
    res->started_ms = req->started_ms;
    res->duration_ms = req->started_us ? (uint32_t)((ended_us - req->started_us) / 1000) : 0;
    res->reused = req->is_reused;
    res->dns_ms = req->dns_ms;
    res->connect_ms = res->tls_ms = res->first_byte_ms = -1;
    if (!conn)
        return;
    memcpy(res->address, conn->address, sizeof(res->address));
    if (!req->is_reused) {
        res->connect_ms = conn->connect_ms;
        res->tls_ms = conn->tls_ms;
    }
    if (conn->first_byte_us)
        res->first_byte_ms = (int32_t)((conn->first_byte_us - conn->sent_us) / 1000);
}

static const char *tls_version(struct hw_conn *conn)
{
    struct hw_tls *tls = conn && conn->is_ready ? hw_stream_tls(&conn->stream) : NULL;
    return tls ? hw_tls_version(tls) : "";
}

static void req_fail(struct hw_client_req *req, enum hw_failure failure, enum hw_phase phase,
                     const struct hw_cause *cause)
{
    struct hw_client *c = req->client;
    struct hw_conn *conn = req->conn;
    struct hw_client_result res = { .failure = failure, .phase = phase, .cause = *cause };
    result_times(&res, req, conn, hw_loop_us());
    res.tls_version = tls_version(conn);
    req->conn = NULL;
    if (conn)
        conn_drop(c, conn);
    req_detach(req);
    req->cb(req, &res);
}

/* No memory, or it may not begin any more (HW_ECANCELED). */
static void req_fail_ours(struct hw_client_req *req, enum hw_status status)
{
    bool is_canceled = status == HW_ECANCELED;
    struct hw_cause cause;
    hw_cause_set(&cause, status, HW_ORIGIN_US, 0, "%s",
                 is_canceled ? "it was not to begin any more" : "out of memory");
    req_fail(req, HW_FAILURE_INTERNAL, HW_PHASE_NONE, &cause);
}

static void req_fail_memory(struct hw_client_req *req)
{
    req_fail_ours(req, HW_ENOMEM);
}

/* The attempt begins to use the network. */
static enum hw_status start_clock(struct hw_client_req *req)
{
    if (req->started_us)
        return HW_OK; /* sent again: it runs on */
    enum hw_status status = req->what.begin ? req->what.begin(req, &req->what) : HW_OK;
    HW_MUST(req->what.n_body <= 2);
    if (status != HW_OK)
        return status;
    req->started_us = hw_loop_us();
    req->started_ms = hw_loop_unix(req->client->loop);
    hw_loop_arm(req->client->loop, &req->deadline, req->client->options.timeout_ms);
    return HW_OK;
}

/* ---- sending ---- */

static enum hw_status req_send(struct hw_client_req *req, struct hw_conn *conn)
{
    enum hw_status status = start_clock(req);
    hw_opening_leave(&req->opening);
    req->conn = conn;
    conn->user = req;
    req->state = HW_CLIENT_SENT;
    if (status != HW_OK)
        return status;
    struct hw_slice pieces[3] = { req->what.head };
    for (size_t i = 0; i < req->what.n_body; i++)
        pieces[1 + i] = req->what.body[i];
    return hw_conn_send(conn, pieces, 1 + req->what.n_body, req->what.keep_body_bytes);
}

static enum hw_status req_send_reused(struct hw_client_req *req, struct hw_conn *conn)
{
    req->is_reused = true;
    req->client->options.metrics->connections_reused++;
    return req_send(req, conn);
}

/* ---- opening a connection ---- */

static size_t keep_allowed(const struct hw_client *c, const struct hw_pool_origin *o,
                           struct hw_address *kept, const struct hw_address *all, size_t n_all)
{
    bool is_localhost_open = c->options.allow_http_localhost && !o->target.is_tls;
    size_t n = 0;
    for (size_t i = 0; i < n_all; i++)
        if (hw_address_allowed(c->options.rules, &all[i], is_localhost_open))
            kept[n++] = all[i];
    return n;
}

static void req_refuse(struct hw_client_req *req, const struct hw_address *a)
{
    char text[HW_ADDRESS_TEXT_MAX];
    struct hw_cause cause;
    hw_address_text(a, text);
    hw_cause_set(&cause, HW_EDENIED, HW_ORIGIN_US, 0, "%.80s is at %s, which is not allowed",
                 req->origin->target.host, text);
    req_fail(req, HW_FAILURE_REFUSED_ADDRESS, HW_PHASE_CONNECT, &cause);
}

static void req_connect(struct hw_client_req *req, const struct hw_address *all, size_t n_all)
{
    struct hw_client *c = req->client;
    struct hw_pool_origin *o = req->origin;
    struct hw_address allowed[HW_RESOLVE_ADDRESSES_MAX];
    size_t n = keep_allowed(c, o, allowed, all, n_all);
    if (n == 0) {
        req_refuse(req, &all[0]);
        return;
    }
    struct hw_conn *conn = hw_conn_make(c->loop, &conn_events);
    if (!conn) {
        req_fail_memory(req);
        return;
    }
    hw_closing_hold(&c->closing);
    hw_pool_add(&c->pool, o, conn, req->opening.is_doubtful);
    req->conn = conn;
    conn->user = req;
    conn->client = c;
    req->state = HW_CLIENT_CONNECTING;
    hw_mono_ms give_up_at = req->started_us / 1000 + c->options.timeout_ms;
    hw_conn_open(conn, &o->target, allowed, n, give_up_at);
}

static void on_resolved(struct hw_resolve_req *resolve, const struct hw_resolve_answer *answer)
{
    struct hw_client_req *req = HW_CONTAINER_OF(resolve, struct hw_client_req, resolve);
    hw_mono_us took_us = hw_loop_us() - req->started_us;
    bool is_down = answer->result == HW_RESOLVE_DOWN;
    req->dns_ms = (int32_t)(took_us / 1000);
    observe(req->client, HW_METRIC_DNS, took_us);
    if (answer->result == HW_RESOLVE_FOUND)
        req_connect(req, answer->addresses, answer->n_addresses);
    else
        req_fail(req, is_down ? HW_FAILURE_INTERNAL : HW_FAILURE_DNS, HW_PHASE_DNS,
                 &answer->cause);
}

/* Its descriptor is reserved. */
static void req_begin(struct hw_client_req *req)
{
    struct hw_client *c = req->client;
    struct hw_pool_origin *o = req->origin;
    struct hw_slice host = hw_slice_str(o->target.host);
    struct hw_address literal;
    hw_opening_leave(&req->opening);
    hw_permit_take(&c->openings.permits, &req->opening.permit);
    enum hw_status status = start_clock(req);
    req->is_reused = false;
    req->state = HW_CLIENT_RESOLVING;
    if (status != HW_OK)
        req_fail_ours(req, status);
    else if (o->target.is_address && hw_address_parse(&literal, host))
        req_connect(req, &literal, 1);
    else if (hw_resolve_ask(c->resolve, &req->resolve, host, on_resolved) != HW_OK)
        req_fail_memory(req);
}

static void on_opening(struct hw_openings *openings, struct hw_opening *opening)
{
    (void)openings;
    req_begin(HW_CONTAINER_OF(opening, struct hw_client_req, opening));
}

static void on_reuse(struct hw_openings *openings, struct hw_opening *opening)
{
    struct hw_client *c = HW_CONTAINER_OF(openings, struct hw_client, openings);
    struct hw_client_req *req = HW_CONTAINER_OF(opening, struct hw_client_req, opening);
    enum hw_status status = req_send_reused(req, hw_pool_lease(&c->pool, req->origin));
    if (status != HW_OK)
        req_fail_ours(req, status);
}

static const struct hw_openings_events opening_events = {
    .on_opening = on_opening,
    .on_reuse = on_reuse,
};

/* Permits and bounds are for what has not begun. */
static void resend(struct hw_client_req *req)
{
    struct hw_client *c = req->client;
    struct hw_conn *stale = req->conn;
    req->is_resent = true;
    req->conn = NULL;
    (void)hw_pool_reserve(&c->pool, req->origin, true);
    conn_drop(c, stale);
    req_begin(req);
}

/* ---- events of connections ---- */

static void count_opened(struct hw_client *c, struct hw_conn *conn)
{
    struct hw_metrics *m = c->options.metrics;
    struct hw_tls *tls = hw_stream_tls(&conn->stream);
    m->connections_opened++;
    observe(c, HW_METRIC_CONNECT, (hw_mono_us)conn->connect_ms * 1000);
    if (!tls)
        return;
    observe(c, HW_METRIC_TLS, (hw_mono_us)conn->tls_ms * 1000);
    if (hw_tls_is_resumed(tls))
        m->handshakes_resumed++;
    else
        m->handshakes_full++;
}

static void on_ready(struct hw_conn *conn)
{
    struct hw_client *c = conn->client;
    struct hw_client_req *req = conn->user;
    count_opened(c, conn);
    hw_pool_established(&c->pool, conn);
    hw_permit_give_back(&c->openings.permits, &req->opening.permit);
    /* It may have one more in the making now. */
    hw_openings_consider(&c->openings, conn->origin);
    if (req_send(req, conn) != HW_OK)
        req_fail_memory(req);
}

/* Its exchange is over, nobody uses it: to who waits, to the pool, or away. */
static void conn_done(struct hw_client *c, struct hw_conn *conn)
{
    struct hw_pool_origin *o = conn->origin;
    hw_loop_cancel(c->loop, &conn->timer);
    if (c->is_closing || !hw_conn_renew(conn)) {
        conn_drop(c, conn);
        return;
    }
    o->lines.freed_at = hw_loop_now(c->loop);
    hw_pool_give_back(&c->pool, conn);
    struct hw_opening *next = hw_openings_next(o);
    if (!next) {
        /* It may be evicted for who waits for a descriptor. */
        hw_openings_resume(&c->openings);
        return;
    }
    struct hw_client_req *req = HW_CONTAINER_OF(next, struct hw_client_req, opening);
    enum hw_status status = req_send_reused(req, hw_pool_lease(&c->pool, o));
    if (status != HW_OK)
        req_fail_ours(req, status);
}

/* The outcome is told; what is left of the body is read for a while, for the connection's sake. */
static void conn_drain(struct hw_client *c, struct hw_conn *conn)
{
    hw_mono_us since_head_ms = (hw_loop_us() - conn->head_us) / 1000;
    if (conn->response.is_complete)
        conn_done(c, conn);
    else if (conn->response.body_bytes > DRAIN_BYTES || since_head_ms >= DRAIN_MS)
        conn_drop(c, conn);
    else if (!hw_wheel_is_armed(&conn->timer))
        hw_loop_arm(c->loop, &conn->timer, DRAIN_MS - since_head_ms);
}

/* The result points into the connection, so nobody may have that before the callback has
 * returned.  In there the client may be closed; the connection closes later. */
static void req_succeed(struct hw_client_req *req)
{
    struct hw_client *c = req->client;
    struct hw_conn *conn = req->conn;
    struct hw_response *r = &conn->response;
    struct hw_client_result res = { .failure = HW_FAILURE_NONE,
                                    .status = r->status,
                                    .fields = hw_buf_slice(&r->head),
                                    .body = hw_buf_slice(&r->body) };
    result_times(&res, req, conn, conn->head_us);
    res.tls_version = tls_version(conn);
    hw_response_field(r, "retry-after", &res.retry_after);
    observe(c, HW_METRIC_FIRST_BYTE, conn->first_byte_us - conn->sent_us);
    hw_origin_lines_answered(&conn->origin->lines, conn->first_byte_us - conn->sent_us,
                             hw_loop_now(c->loop));
    req_detach(req);
    req->cb(req, &res);
    if (conn->state == HW_CONN_FAILED)
        conn_drop(c, conn);
    else
        conn_drain(c, conn);
}

static void on_progress(struct hw_conn *conn)
{
    struct hw_client_req *req = conn->user;
    const struct hw_response *r = &conn->response;
    if (!req) {
        conn_drain(conn->client, conn);
        return;
    }
    if (!r->has_head)
        return;
    size_t keep = req->what.keep_body_bytes;
    if (r->is_complete || hw_buf_len(&r->body) >= keep) {
        req_succeed(req);
    } else if (req->state != HW_CLIENT_HELD) {
        req->state = HW_CLIENT_HELD;
        hw_loop_arm(req->client->loop, &req->deadline, DRAIN_MS);
    }
}

static bool may_resend(const struct hw_client_req *req, const struct hw_conn *conn,
                       enum hw_failure failure)
{
    bool is_lost = failure == HW_FAILURE_CONNECT || failure == HW_FAILURE_TLS;
    return is_lost && req->state == HW_CLIENT_SENT && req->is_reused && !req->is_resent &&
           !conn->response.has_begun;
}

/* No descriptor for the socket: idle connections are the only ones that can be spared. */
static bool may_begin_again(struct hw_client *c, const struct hw_client_req *req,
                            const struct hw_cause *cause)
{
    return req->state == HW_CLIENT_CONNECTING && cause->status == HW_ESYSTEM &&
           hw_pool_evict(&c->pool);
}

static void begin_again(struct hw_client_req *req)
{
    struct hw_client *c = req->client;
    hw_permit_give_back(&c->openings.permits, &req->opening.permit);
    struct hw_conn *conn = req->conn;
    req->conn = NULL;
    (void)hw_pool_reserve(&c->pool, req->origin, true);
    conn_drop(c, conn);
    req_begin(req);
}

static void on_failed(struct hw_conn *conn, enum hw_failure failure, enum hw_phase phase,
                      const struct hw_cause *cause)
{
    struct hw_client *c = conn->client;
    struct hw_client_req *req = conn->user;
    if (conn->has_offered_ticket && !conn->is_ready && phase == HW_PHASE_TLS)
        hw_pool_forget_ticket(conn->origin);
    if (!req)
        conn_drop(c, conn);
    else if (req->state == HW_CLIENT_HELD || conn->response.has_head)
        req_succeed(req); /* the head has decided, whatever became of the body */
    else if (may_resend(req, conn, failure))
        resend(req);
    else if (may_begin_again(c, req, cause))
        begin_again(req);
    else
        req_fail(req, failure, phase, cause);
}

static void on_conn_timer(struct hw_conn *conn)
{
    conn_drop(conn->client, conn);
}

static void on_conn_closed(struct hw_conn *conn)
{
    hw_closing_release(&conn->client->closing);
}

static const struct hw_conn_events conn_events = {
    .on_ready = on_ready,
    .on_progress = on_progress,
    .on_failed = on_failed,
    .on_timer = on_conn_timer,
    .on_closed = on_conn_closed,
};

/* ---- deadlines ---- */

static const char *timeout_words(enum hw_phase phase)
{
    switch (phase) {
    case HW_PHASE_DNS:
        return "the name was not resolved";
    case HW_PHASE_CONNECT:
        return "the connection was not accepted";
    case HW_PHASE_TLS:
        return "the TLS handshake was not finished";
    case HW_PHASE_SEND:
        return "the request was not taken";
    default:
        return "there was no complete response";
    }
}

static void on_deadline(struct hw_wheel_entry *e)
{
    struct hw_client_req *req = HW_CONTAINER_OF(e, struct hw_client_req, deadline);
    struct hw_cause cause;
    if (req->state == HW_CLIENT_HELD) {
        req_succeed(req);
        return;
    }
    enum hw_phase phase = req->conn ? hw_conn_phase(req->conn) : HW_PHASE_DNS;
    hw_cause_set(&cause, HW_ETIMEDOUT, HW_ORIGIN_US, 0, "%s within %g s", timeout_words(phase),
                 (double)req->client->options.timeout_ms / 1000);
    bool is_ours = phase == HW_PHASE_DNS && hw_resolve_is_down(req->client->resolve);
    req_fail(req, is_ours ? HW_FAILURE_INTERNAL : HW_FAILURE_TIMEOUT, phase, &cause);
}

/* ---- asking ---- */

static void req_init(struct hw_client_req *req, struct hw_client *c,
                     const struct hw_client_post *what, hw_client_cb cb)
{
    req->client = c;
    req->what = *what;
    req->cb = cb;
    req->conn = NULL;
    req->state = HW_CLIENT_WAITING;
    req->started_us = 0;
    req->started_ms = 0;
    req->dns_ms = -1;
    req->is_reused = req->is_resent = false;
    hw_list_node_init(&req->link);
    hw_list_node_init(&req->resolve.link);
    hw_opening_init(&req->opening, what->is_doubtful, c->loop);
    hw_wheel_entry_init(&req->deadline, on_deadline);
}

enum hw_status hw_client_post(struct hw_client *c, struct hw_client_req *req,
                              const struct hw_client_post *what, hw_client_cb cb)
{
    HW_MUST(what->n_body <= 2);
    if (c->is_closing)
        return HW_ECANCELED;
    req_init(req, c, what, cb);
    req->origin = hw_pool_visit(&c->pool, what->url);
    if (!req->origin)
        return HW_ENOMEM;
    hw_list_push_back(&c->requests, &req->link);
    struct hw_conn *idle = what->is_doubtful ? NULL : hw_pool_lease(&c->pool, req->origin);
    if (!idle) {
        hw_openings_join(&c->openings, req->origin, &req->opening);
        return HW_OK;
    }
    if (req_send_reused(req, idle) == HW_OK)
        return HW_OK;
    req->conn = NULL;
    conn_drop(c, idle);
    req_detach(req);
    return HW_ENOMEM;
}

void hw_client_trust(struct hw_client_req *req)
{
    if (req->opening.is_doubtful && hw_list_is_linked(&req->opening.link))
        hw_openings_trust(&req->client->openings, req->origin, &req->opening);
}

size_t hw_client_connections(const struct hw_client *c)
{
    return c->pool.n_open;
}

/* ---- life ---- */

static size_t default_max_connections(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
        return 65536;
    return (size_t)(limit.rlim_cur - limit.rlim_cur / 4);
}

static void on_ending(struct hw_wheel_entry *e);

enum hw_status hw_client_open(struct hw_client **out, struct hw_loop *loop,
                              const struct hw_client_options *options, struct hw_cause *cause)
{
    struct hw_client *c = hw_calloc(1, sizeof(*c));
    if (!c)
        return hw_cause_set(cause, HW_ENOMEM, HW_ORIGIN_US, 0, "start the client: no memory");
    struct hw_resolve_options resolve = { .servers = options->dns_servers,
                                          .hosts_file = options->hosts_file,
                                          .n_results = options->metrics->dns };
    enum hw_status status = hw_resolve_open(&c->resolve, loop, &resolve, cause);
    if (status != HW_OK) {
        hw_free(c);
        return status;
    }
    c->loop = loop;
    c->options = *options;
    c->options.dns_servers = c->options.hosts_file = NULL; /* not ours to keep */
    if (c->options.max_connections == 0)
        c->options.max_connections = default_max_connections();
    hw_pool_init(&c->pool, loop, options->trust, c->options.max_connections);
    hw_openings_init(&c->openings, loop, &c->pool, &opening_events);
    hw_list_init(&c->requests);
    hw_wheel_entry_init(&c->ending, on_ending);
    hw_closing_init(&c->closing);
    *out = c;
    return HW_OK;
}

static void client_closed(struct hw_closing *closing)
{
    struct hw_client *c = HW_CONTAINER_OF(closing, struct hw_client, closing);
    void (*cb)(void *) = c->closed_cb;
    void *data = c->closed_data;
    hw_pool_close(&c->pool);
    hw_openings_close(&c->openings);
    hw_free(c);
    if (cb)
        cb(data);
}

static void on_resolve_closed(void *data)
{
    struct hw_client *c = data;
    hw_closing_release(&c->closing);
}

static void on_ending(struct hw_wheel_entry *e)
{
    struct hw_client *c = HW_CONTAINER_OF(e, struct hw_client, ending);
    struct hw_list *at;
    struct hw_cause cause;
    hw_cause_set(&cause, HW_ECANCELED, HW_ORIGIN_US, 0, "the engine is stopping");
    while ((at = hw_list_first(&c->requests)))
        req_fail(HW_CONTAINER_OF(at, struct hw_client_req, link), HW_FAILURE_INTERNAL,
                 HW_PHASE_NONE, &cause);
    while ((at = hw_list_first(&c->pool.conns)))
        conn_drop(c, HW_CONTAINER_OF(at, struct hw_conn, in_pool));
    hw_resolve_close(c->resolve, on_resolve_closed, c); /* has the hold that close took */
}

void hw_client_close(struct hw_client *c, void (*cb)(void *data), void *data)
{
    HW_MUST(!c->is_closing);
    c->is_closing = true;
    c->closed_cb = cb;
    c->closed_data = data;
    hw_openings_stop(&c->openings);
    hw_closing_hold(&c->closing);
    hw_loop_arm(c->loop, &c->ending, 0);
    hw_closing_begin(&c->closing, client_closed);
}
