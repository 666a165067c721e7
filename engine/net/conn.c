/*
 * open: next address -> stream connects -> the peer's name is what we asked for -> TLS ->
 *       ready.  An address that fails or uses up its share: the stream is closed, and from
 *       its closed callback the next is tried; after the last, on_failed with its cause.
 * send: pieces -> stream; on_data -> response parser -> on_progress.
 *
 * Kinds of failure: before the socket is connected `connect` (with no descriptors or memory left
 * `internal`); another peer than asked for `refused_address`; during the handshake,
 * whatever happens, `tls`; after it `tls` for a broken session, `protocol` for a broken or cut
 * response, `connect` for a connection lost before any byte of the response.
 */
#include "net/conn.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "base/must.h"
#include "hookwheel/alloc.h"

enum {
    SHARE_MAX_MS = 3000, /* of an address while others are left */
    SHARE_MIN_MS = 250,
};

static const struct hw_stream_events stream_events;
static void on_timer(struct hw_wheel_entry *e);

struct hw_conn *hw_conn_make(struct hw_loop *loop, const struct hw_conn_events *events)
{
    struct hw_conn *c = hw_calloc(1, sizeof(*c));
    if (!c)
        return NULL;
    c->loop = loop;
    c->events = events;
    c->state = HW_CONN_NEW;
    c->connect_ms = c->tls_ms = -1;
    hw_wheel_entry_init(&c->timer, on_timer);
    hw_stream_init(&c->stream, loop, &stream_events);
    hw_response_init(&c->response, 0);
    return c;
}

static void conn_fail(struct hw_conn *c, enum hw_failure failure, enum hw_phase phase)
{
    struct hw_cause cause = c->cause; /* the owner may close us */
    hw_loop_cancel(c->loop, &c->timer);
    c->state = HW_CONN_FAILED;
    c->events->on_failed(c, failure, phase, &cause);
}

static int32_t since_ms(hw_mono_us began)
{
    return (int32_t)((hw_loop_us() - began) / 1000);
}

/* ---- opening ---- */

static void sockaddr_of(struct sockaddr_storage *out, const struct hw_address *a,
                        uint16_t port)
{
    memset(out, 0, sizeof(*out));
    if (a->is_v6) {
        struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons(port);
        memcpy(&in6->sin6_addr, a->bytes, 16);
    } else {
        struct sockaddr_in *in = (struct sockaddr_in *)out;
        in->sin_family = AF_INET;
        in->sin_port = htons(port);
        memcpy(&in->sin_addr, a->bytes, 4);
    }
}

static bool is_same_peer(const struct sockaddr_storage *a, const struct sockaddr_storage *b)
{
    if (a->ss_family != b->ss_family)
        return false;
    if (a->ss_family == AF_INET6) {
        const struct sockaddr_in6 *x = (const struct sockaddr_in6 *)a;
        const struct sockaddr_in6 *y = (const struct sockaddr_in6 *)b;
        return x->sin6_port == y->sin6_port && memcmp(&x->sin6_addr, &y->sin6_addr, 16) == 0;
    }
    const struct sockaddr_in *x = (const struct sockaddr_in *)a;
    const struct sockaddr_in *y = (const struct sockaddr_in *)b;
    return x->sin_port == y->sin_port && x->sin_addr.s_addr == y->sin_addr.s_addr;
}

static void write_address(struct hw_conn *c, const struct hw_address *a)
{
    char text[HW_ADDRESS_TEXT_MAX];
    hw_address_text(a, text);
    snprintf(c->address, sizeof(c->address), a->is_v6 ? "[%s]:%u" : "%s:%u", text,
             (unsigned)c->target->port);
}

/* The last one may use all that is left: then the attempt's own deadline ends it. */
static void arm_share(struct hw_conn *c)
{
    uint64_t n_left = c->n_addresses - c->next_address;
    hw_mono_ms now = hw_loop_now(c->loop);
    uint64_t left_ms = c->give_up_at > now ? c->give_up_at - now : 0;
    uint64_t share_ms = left_ms / (n_left + 1);
    if (n_left == 0)
        return;
    if (share_ms > SHARE_MAX_MS)
        share_ms = SHARE_MAX_MS;
    if (share_ms < SHARE_MIN_MS)
        share_ms = SHARE_MIN_MS;
    hw_loop_arm(c->loop, &c->timer, share_ms);
}

static void try_next_address(struct hw_conn *c)
{
    const struct hw_address *a = &c->addresses[c->next_address++];
    struct sockaddr_storage to;
    sockaddr_of(&to, a, c->target->port);
    write_address(c, a);
    arm_share(c);
    hw_stream_connect_tcp(&c->stream, (struct sockaddr *)&to);
}

void hw_conn_open(struct hw_conn *c, const struct hw_conn_target *target,
                  const struct hw_address *addresses, size_t n_addresses,
                  hw_mono_ms give_up_at)
{
    HW_MUST(c->state == HW_CONN_NEW);
    HW_MUST(n_addresses > 0 && n_addresses <= HW_RESOLVE_ADDRESSES_MAX);
    memcpy(c->addresses, addresses, n_addresses * sizeof(*addresses));
    c->n_addresses = n_addresses;
    c->target = target;
    c->give_up_at = give_up_at;
    c->state = HW_CONN_CONNECTING;
    c->step_us = hw_loop_us();
    try_next_address(c);
}

static void on_stream_closed_for_next(struct hw_stream *s)
{
    struct hw_conn *c = HW_CONTAINER_OF(s, struct hw_conn, stream);
    hw_stream_init(s, c->loop, &stream_events);
    try_next_address(c);
}

static bool is_ours(int code)
{
    return code == UV_EMFILE || code == UV_ENFILE || code == UV_ENOMEM || code == UV_ENOBUFS;
}

static void address_failed(struct hw_conn *c, int code, const char *why)
{
    bool is_internal = is_ours(code);
    hw_loop_cancel(c->loop, &c->timer);
    c->connect_ms = since_ms(c->step_us);
    hw_cause_set(&c->cause, is_internal ? HW_ESYSTEM : HW_ECONN, HW_ORIGIN_LIBUV, code,
                 "connect to %s: %s", c->address, why);
    if (is_internal)
        conn_fail(c, HW_FAILURE_INTERNAL, HW_PHASE_CONNECT);
    else if (c->next_address == c->n_addresses)
        conn_fail(c, HW_FAILURE_CONNECT, HW_PHASE_CONNECT);
    else
        hw_stream_close(&c->stream, on_stream_closed_for_next);
}

static void on_timer(struct hw_wheel_entry *e)
{
    struct hw_conn *c = HW_CONTAINER_OF(e, struct hw_conn, timer);
    if (c->state == HW_CONN_CONNECTING)
        address_failed(c, UV_ETIMEDOUT, "no answer in its share of the time");
    else
        c->events->on_timer(c);
}

static void conn_ready(struct hw_conn *c)
{
    c->state = HW_CONN_READY;
    c->is_ready = true;
    c->events->on_ready(c);
}

static void secure(struct hw_conn *c)
{
    const struct hw_conn_target *t = c->target;
    struct hw_tls *tls = NULL;
    enum hw_status status =
        hw_tls_open_client(&tls, t->trust, t->host, t->is_address, t->ticket, &c->cause);
    c->state = HW_CONN_SECURING;
    c->step_us = hw_loop_us();
    c->has_offered_ticket = t->ticket != NULL;
    if (status == HW_OK)
        hw_stream_start_tls(&c->stream, tls);
    else
        conn_fail(c, HW_FAILURE_INTERNAL, HW_PHASE_TLS);
}

/* No second look-up lies between the check of an address and its use, but what counts is
 * whom the kernel says we talk to. */
static void on_connect(struct hw_stream *s)
{
    struct hw_conn *c = HW_CONTAINER_OF(s, struct hw_conn, stream);
    struct sockaddr_storage wanted, peer;
    hw_loop_cancel(c->loop, &c->timer);
    c->connect_ms = since_ms(c->step_us);
    sockaddr_of(&wanted, &c->addresses[c->next_address - 1], c->target->port);
    if (!hw_stream_peer(s, &peer)) {
        address_failed(c, UV_ENOTCONN, "the peer was gone at once");
    } else if (!is_same_peer(&wanted, &peer)) {
        hw_cause_set(&c->cause, HW_EDENIED, HW_ORIGIN_US, 0,
                     "connect to %s: the socket is connected to another address", c->address);
        conn_fail(c, HW_FAILURE_REFUSED_ADDRESS, HW_PHASE_CONNECT);
    } else if (c->target->is_tls) {
        secure(c);
    } else {
        conn_ready(c);
    }
}

static void on_secure(struct hw_stream *s)
{
    struct hw_conn *c = HW_CONTAINER_OF(s, struct hw_conn, stream);
    c->tls_ms = since_ms(c->step_us);
    conn_ready(c);
}

/* ---- the exchange ---- */

enum hw_status hw_conn_send(struct hw_conn *c, const struct hw_slice *pieces, size_t n_pieces,
                            size_t keep_body_bytes)
{
    HW_MUST(c->state == HW_CONN_READY);
    c->response.body_keep = keep_body_bytes;
    c->response.body.max = keep_body_bytes;
    hw_response_start(&c->response);
    c->first_byte_us = c->head_us = 0;
    c->sent_us = hw_loop_us();
    enum hw_status status = hw_stream_write(&c->stream, pieces, n_pieces);
    c->state = HW_CONN_WAITING;
    return status;
}

static void note_times(struct hw_conn *c)
{
    if (c->head_us || (c->first_byte_us && !c->response.has_head))
        return;
    hw_mono_us now = hw_loop_us();
    if (!c->first_byte_us)
        c->first_byte_us = now;
    if (c->response.has_head)
        c->head_us = now;
}

/* A byte that nobody asked for: a response without a request, or one too long. */
static void spoke_unasked(struct hw_conn *c)
{
    hw_cause_set(&c->cause, HW_EPROTO, HW_ORIGIN_US, 0,
                 "%s sent bytes that were not asked for", c->address);
    conn_fail(c, HW_FAILURE_PROTOCOL, HW_PHASE_NONE);
}

static void on_data(struct hw_stream *s, struct hw_slice data)
{
    struct hw_conn *c = HW_CONTAINER_OF(s, struct hw_conn, stream);
    size_t n_used = 0;
    if (c->state == HW_CONN_FAILED)
        return;
    if (c->state != HW_CONN_WAITING || c->response.is_complete) {
        spoke_unasked(c);
        return;
    }
    enum hw_status status = hw_response_feed(&c->response, data, &n_used, &c->cause);
    note_times(c);
    if (status == HW_OK)
        c->events->on_progress(c);
    else if (status == HW_ENOMEM)
        conn_fail(c, HW_FAILURE_INTERNAL, HW_PHASE_RESPONSE);
    else
        conn_fail(c, HW_FAILURE_PROTOCOL, HW_PHASE_RESPONSE);
}

static void lost_while_waiting(struct hw_conn *c, const struct hw_cause *cause)
{
    struct hw_response *r = &c->response;
    enum hw_phase phase = hw_conn_phase(c);
    const char *when = r->has_begun ? "in the middle of the response" : "before a response";
    if (cause->status == HW_ETLS) {
        c->cause = *cause;
        conn_fail(c, HW_FAILURE_TLS, phase);
    } else if (cause->status == HW_ENOMEM) {
        c->cause = *cause;
        conn_fail(c, HW_FAILURE_INTERNAL, phase);
    } else if (cause->status == HW_OK) {
        hw_cause_set(&c->cause, HW_ECONN, HW_ORIGIN_US, 0, "%s closed the connection %s",
                     c->address, when);
        conn_fail(c, r->has_begun ? HW_FAILURE_PROTOCOL : HW_FAILURE_CONNECT, phase);
    } else {
        hw_cause_set(&c->cause, HW_ECONN, cause->origin, cause->code,
                     "connection to %s lost %s: %s", c->address, when,
                     cause->origin == HW_ORIGIN_LIBUV ? uv_strerror(cause->code)
                                                      : cause->note);
        conn_fail(c, r->has_begun ? HW_FAILURE_PROTOCOL : HW_FAILURE_CONNECT, phase);
    }
}

/* The end of the connection may be the end of the response (RFC 9112 6.3, rule 8).  A TLS
 * session that was not ended properly counts too: the head is what decides, and a body
 * that was cut never turns success into failure. */
static void ended_while_waiting(struct hw_conn *c, const struct hw_cause *cause)
{
    struct hw_cause ignored;
    if (!c->response.is_complete && hw_response_end(&c->response, &ignored) == HW_OK) {
        c->events->on_progress(c);
        return;
    }
    lost_while_waiting(c, cause);
}

static void on_end(struct hw_stream *s, const struct hw_cause *cause)
{
    struct hw_conn *c = HW_CONTAINER_OF(s, struct hw_conn, stream);
    switch (c->state) {
    case HW_CONN_CONNECTING:
        address_failed(c, cause->code,
                       cause->origin == HW_ORIGIN_LIBUV ? uv_strerror(cause->code)
                                                        : cause->note);
        break;
    case HW_CONN_SECURING:
        hw_cause_set(&c->cause, cause->status == HW_OK ? HW_ETLS : cause->status,
                     cause->origin, cause->code, "TLS with %s: %s", c->address, cause->note);
        c->tls_ms = since_ms(c->step_us);
        conn_fail(c, cause->status == HW_ENOMEM ? HW_FAILURE_INTERNAL : HW_FAILURE_TLS,
                  HW_PHASE_TLS);
        break;
    case HW_CONN_WAITING:
        ended_while_waiting(c, cause);
        break;
    case HW_CONN_READY:
        c->cause = *cause;
        conn_fail(c, HW_FAILURE_CONNECT, HW_PHASE_NONE);
        break;
    default:
        break;
    }
}

bool hw_conn_renew(struct hw_conn *c)
{
    bool may = c->state == HW_CONN_WAITING && c->response.is_complete &&
               c->response.may_reuse && c->stream.state == HW_STREAM_OPEN &&
               !c->stream.is_write_broken && hw_stream_queued(&c->stream) == 0;
    if (may)
        c->state = HW_CONN_READY;
    return may;
}

enum hw_phase hw_conn_phase(const struct hw_conn *c)
{
    if (c->state == HW_CONN_CONNECTING)
        return HW_PHASE_CONNECT;
    if (c->state == HW_CONN_SECURING)
        return HW_PHASE_TLS;
    bool is_unsent = c->stream.is_write_broken || hw_stream_queued(&c->stream) > 0;
    if (is_unsent && !c->response.has_begun)
        return HW_PHASE_SEND;
    return HW_PHASE_RESPONSE;
}

/* ---- the end ---- */

static void on_stream_closed(struct hw_stream *s)
{
    struct hw_conn *c = HW_CONTAINER_OF(s, struct hw_conn, stream);
    hw_response_close(&c->response);
    c->events->on_closed(c);
    hw_free(c);
}

void hw_conn_close(struct hw_conn *c)
{
    HW_MUST(c->state != HW_CONN_CLOSING);
    c->state = HW_CONN_CLOSING;
    hw_loop_cancel(c->loop, &c->timer);
    if (c->stream.state == HW_STREAM_CLOSING)
        c->stream.closed_cb = on_stream_closed; /* it was making room for the next address */
    else
        hw_stream_close(&c->stream, on_stream_closed);
}

static const struct hw_stream_events stream_events = {
    .on_connect = on_connect,
    .on_secure = on_secure,
    .on_data = on_data,
    .on_end = on_end,
};
