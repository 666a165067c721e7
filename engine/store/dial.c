/*
 * A handle that was closed takes a turn to go, and so does a look-up that was canceled: a
 * start in between waits for them (LEAVING).  Failures:
 *
 *   look-up, TLS set-up       FAILED, told on the next turn
 *   connect, or its deadline  the next address, else on_end
 *   handshake, end            on_end
 */
#include "store/dial.h"

#include <stdio.h>

#include "base/must.h"
#include "store/redis.h"

enum { KEEPALIVE_S = 15 /* a blocking read has no other way to notice a silent host */ };

static void dial_connect(struct hw_dial *d);

/* --- steps and their deadlines --- */

static void enter(struct hw_dial *d, enum hw_dial_state state)
{
    d->state = state;
    hw_loop_arm(d->loop, &d->deadline, HW_DIAL_TIMEOUT_MS);
}

static void fail_later(struct hw_dial *d, enum hw_status status, enum hw_origin origin,
                       int code, const char *text)
{
    hw_cause_set(&d->failure, status, origin, code, "%s", text);
    d->state = HW_DIAL_FAILED;
    hw_loop_arm(d->loop, &d->deadline, 0);
}

static void forget_addresses(struct hw_dial *d)
{
    uv_freeaddrinfo(d->addresses);
    d->addresses = NULL;
    d->next = NULL;
}

static void on_stream_closed(struct hw_stream *s)
{
    struct hw_dial *d = HW_CONTAINER_OF(s, struct hw_dial, stream);

    d->has_stream = false;
    if (d->state == HW_DIAL_LEAVING)
        dial_connect(d);
    hw_closing_release(&d->closing);
}

static void leave_stream(struct hw_dial *d)
{
    if (d->has_stream && d->stream.state != HW_STREAM_CLOSING)
        hw_stream_close(&d->stream, on_stream_closed);
}

static void leave(struct hw_dial *d, enum hw_dial_state next)
{
    d->state = next;
    hw_loop_cancel(d->loop, &d->deadline);
    leave_stream(d);
    forget_addresses(d);
    if (d->is_looking_up)
        uv_cancel((uv_req_t *)&d->lookup); /* if it has begun, its answer is ignored */
}

static bool try_next_address(struct hw_dial *d)
{
    if (d->state != HW_DIAL_CONNECTING || d->next == NULL)
        return false;
    d->state = HW_DIAL_LEAVING;
    hw_loop_cancel(d->loop, &d->deadline);
    leave_stream(d);
    return true;
}

static void dial_end(struct hw_dial *d, const struct hw_cause *lent)
{
    struct hw_cause cause = *lent; /* may live in the stream */

    if (try_next_address(d))
        return;
    if (cause.status == HW_OK)
        cause.status = HW_ECONN;
    leave(d, HW_DIAL_IDLE);
    d->events->on_end(d, &cause);
}

static void on_deadline(struct hw_wheel_entry *e)
{
    struct hw_dial *d = HW_CONTAINER_OF(e, struct hw_dial, deadline);
    struct hw_cause cause = d->failure;
    const char *late = d->state == HW_DIAL_RESOLVING    ? "its name has not been resolved"
                       : d->state == HW_DIAL_CONNECTING ? "no connection"
                                                        : "no TLS session";

    if (d->state == HW_DIAL_CLOSED) {
        hw_closing_release(&d->closing);
        return;
    }
    if (d->state != HW_DIAL_FAILED)
        hw_cause_set(&cause, HW_ETIMEDOUT, HW_ORIGIN_US, 0, "%s within %d s", late,
                     HW_DIAL_TIMEOUT_MS / 1000);
    dial_end(d, &cause);
}

/* --- the stream --- */

static void dial_open(struct hw_dial *d)
{
    d->state = HW_DIAL_OPEN;
    hw_loop_cancel(d->loop, &d->deadline);
    forget_addresses(d);
    d->events->on_open(d);
}

static void secure(struct hw_dial *d)
{
    const char *host = d->target->host;
    unsigned char literal[16];
    bool is_address = uv_inet_pton(AF_INET, host, literal) == 0 ||
                      uv_inet_pton(AF_INET6, host, literal) == 0;
    struct hw_tls *tls;
    struct hw_cause cause;

    if (hw_tls_open_client(&tls, d->trust, host, is_address, NULL, &cause) != HW_OK) {
        fail_later(d, cause.status, cause.origin, cause.code, cause.note);
        return;
    }
    enter(d, HW_DIAL_SECURING);
    hw_stream_start_tls(&d->stream, tls);
}

static void on_connect(struct hw_stream *s)
{
    struct hw_dial *d = HW_CONTAINER_OF(s, struct hw_dial, stream);

    hw_stream_keepalive(s, KEEPALIVE_S);
    if (d->target->is_tls)
        secure(d);
    else
        dial_open(d);
}

static void on_secure(struct hw_stream *s)
{
    dial_open(HW_CONTAINER_OF(s, struct hw_dial, stream));
}

static void on_data(struct hw_stream *s, struct hw_slice data)
{
    struct hw_dial *d = HW_CONTAINER_OF(s, struct hw_dial, stream);

    if (d->state == HW_DIAL_OPEN)
        d->events->on_data(d, data);
}

static void on_end(struct hw_stream *s, const struct hw_cause *cause)
{
    dial_end(HW_CONTAINER_OF(s, struct hw_dial, stream), cause);
}

static void connect_to(struct hw_dial *d, const struct sockaddr *address)
{
    static const struct hw_stream_events events = {
        .on_connect = on_connect, .on_secure = on_secure, .on_data = on_data, .on_end = on_end
    };

    enter(d, HW_DIAL_CONNECTING);
    hw_stream_init(&d->stream, d->loop, &events);
    d->has_stream = true;
    hw_closing_hold(&d->closing);
    if (address != NULL)
        hw_stream_connect_tcp(&d->stream, address);
    else
        hw_stream_connect_unix(&d->stream, d->target->path);
}

static void connect_next(struct hw_dial *d)
{
    const struct addrinfo *a = d->next;

    d->next = a->ai_next;
    connect_to(d, a->ai_addr);
}

/* --- the name --- */

static void no_name(struct hw_dial *d, int rc)
{
    char text[120];

    snprintf(text, sizeof text, "its name cannot be resolved: %s",
             rc != 0 ? uv_strerror(rc) : "no address");
    fail_later(d, HW_EDNS, HW_ORIGIN_LIBUV, rc, text);
}

static void on_looked_up(uv_getaddrinfo_t *lookup, int rc, struct addrinfo *found)
{
    struct hw_dial *d = HW_CONTAINER_OF(lookup, struct hw_dial, lookup);

    d->is_looking_up = false;
    if (d->state != HW_DIAL_RESOLVING) {
        uv_freeaddrinfo(found);
        if (d->state == HW_DIAL_LEAVING)
            dial_connect(d);
    } else if (rc != 0 || found == NULL) {
        no_name(d, rc);
    } else {
        d->addresses = found;
        d->next = found;
        connect_next(d);
    }
    hw_closing_release(&d->closing);
}

static void look_up(struct hw_dial *d)
{
    const struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM };
    char port[8];
    int rc;

    enter(d, HW_DIAL_RESOLVING);
    snprintf(port, sizeof port, "%u", d->target->port);
    rc = uv_getaddrinfo(d->loop->uv, &d->lookup, on_looked_up, d->target->host, port, &hints);
    if (rc != 0) {
        no_name(d, rc);
        return;
    }
    d->is_looking_up = true;
    hw_closing_hold(&d->closing);
}

/* A literal needs no look-up, and no thread for it. */
static bool connect_literal(struct hw_dial *d)
{
    const struct hw_redis_target *t = d->target;
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } address;

    if (uv_ip4_addr(t->host, t->port, &address.v4) != 0 &&
        uv_ip6_addr(t->host, t->port, &address.v6) != 0)
        return false;
    connect_to(d, &address.any);
    return true;
}

static void dial_connect(struct hw_dial *d)
{
    if (d->next != NULL)
        connect_next(d);
    else if (d->target->path != NULL)
        connect_to(d, NULL);
    else if (!connect_literal(d))
        look_up(d);
}

/* --- life --- */

void hw_dial_init(struct hw_dial *d, struct hw_loop *loop,
                  const struct hw_redis_target *target, struct hw_trust *trust,
                  const struct hw_dial_events *events)
{
    *d = (struct hw_dial){
        .loop = loop, .target = target, .trust = trust, .events = events, .state = HW_DIAL_IDLE
    };
    hw_wheel_entry_init(&d->deadline, on_deadline);
    hw_closing_init(&d->closing);
}

void hw_dial_start(struct hw_dial *d)
{
    HW_MUST(d->state == HW_DIAL_IDLE);
    d->state = HW_DIAL_LEAVING;
    if (!d->has_stream && !d->is_looking_up)
        dial_connect(d);
}

void hw_dial_stop(struct hw_dial *d)
{
    HW_MUST(d->state != HW_DIAL_CLOSED);
    leave(d, HW_DIAL_IDLE);
}

static void on_all_closed(struct hw_closing *closing)
{
    struct hw_dial *d = HW_CONTAINER_OF(closing, struct hw_dial, closing);

    d->closed_cb(d);
}

void hw_dial_close(struct hw_dial *d, hw_dial_closed_cb cb)
{
    HW_MUST(d->state != HW_DIAL_CLOSED);
    d->closed_cb = cb;
    leave(d, HW_DIAL_CLOSED);
    hw_closing_hold(&d->closing);
    hw_loop_arm(d->loop, &d->deadline, 0);
    hw_closing_begin(&d->closing, on_all_closed);
}
