/*
 * bind: socket, bind, listen by hand, so that a port in use is known at once and nothing is
 * left to close.  start: libuv takes the descriptor.  A connection comes: a session takes it.
 *
 * No descriptor left: libuv accepts and closes at once, the client sees an end.  No memory
 * left: the connection waits in libuv's hand, no further one comes, and we try again.
 */
#include "api/listener.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "api/session.h"
#include "api/shared.h"

enum { BACKLOG = 1024, AGAIN_MS = 1000 };

/* Host and port apart; brackets off. */
static bool split(const char *address, char host[64], unsigned *port)
{
    const char *colon = strrchr(address, ':');
    struct hw_slice name;
    uint64_t number;

    if (colon == NULL || !hw_slice_u64(hw_slice_str(colon + 1), 65535, &number))
        return false;
    name = hw_slice(address, (size_t)(colon - address));
    if (name.len >= 2 && name.data[0] == '[' && name.data[name.len - 1] == ']')
        name = hw_slice(name.data + 1, name.len - 2);
    else if (hw_slice_find(name, ':') != name.len)
        return false;
    if (name.len == 0 || name.len >= 64)
        return false;
    memcpy(host, name.data, name.len);
    host[name.len] = '\0';
    *port = (unsigned)number;
    return true;
}

static bool parse(const char *address, struct sockaddr_storage *out)
{
    char host[64];
    unsigned port;

    if (!split(address, host, &port))
        return false;
    if (strcmp(host, "localhost") == 0)
        snprintf(host, sizeof host, "127.0.0.1");
    return uv_ip4_addr(host, (int)port, (struct sockaddr_in *)out) == 0 ||
           uv_ip6_addr(host, (int)port, (struct sockaddr_in6 *)out) == 0;
}

static enum hw_status refused(struct hw_cause *cause, const char *address)
{
    int error = errno;

    return hw_cause_set(cause, HW_ESYSTEM, HW_ORIGIN_ERRNO, error, "cannot listen on %s: %s%s",
                        address, strerror(error),
                        error == EADDRINUSE ? " (another program has this port)" : "");
}

static unsigned bound_port(int fd)
{
    struct sockaddr_storage bound = { 0 };
    socklen_t len = sizeof bound;

    if (getsockname(fd, (struct sockaddr *)&bound, &len) != 0)
        return 0;
    if (bound.ss_family == AF_INET6)
        return ntohs(((struct sockaddr_in6 *)&bound)->sin6_port);
    return ntohs(((struct sockaddr_in *)&bound)->sin_port);
}

static int listen_on(const struct sockaddr_storage *address)
{
    bool is_v6 = address->ss_family == AF_INET6;
    socklen_t len = is_v6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    int fd = socket(address->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    int on = 1, off = 0;

    if (fd < 0)
        return -1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (is_v6) /* [::] is for IPv4 too, whatever the system's default */
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (bind(fd, (const struct sockaddr *)address, len) != 0 || listen(fd, BACKLOG) != 0) {
        int error = errno;
        close(fd);
        errno = error;
        return -1;
    }
    return fd;
}

static void on_again(struct hw_wheel_entry *e);

enum hw_status hw_listener_bind(struct hw_listener *l, struct hw_api *api, const char *address,
                                enum hw_door door, struct hw_cause *cause)
{
    struct sockaddr_storage parsed = { 0 };

    *l = (struct hw_listener){ .api = api, .fd = -1, .door = door };
    hw_wheel_entry_init(&l->again, on_again);
    if (!parse(address, &parsed))
        return hw_cause_set(
            cause, HW_EINVAL, HW_ORIGIN_US, 0,
            "cannot listen on %s: not an address and a port, as 127.0.0.1:8420 or "
            "[::]:8420",
            address);
    l->fd = listen_on(&parsed);
    if (l->fd < 0)
        return refused(cause, address);
    l->port = bound_port(l->fd);
    return HW_OK;
}

static void take(struct hw_listener *l)
{
    if (!hw_session_accept(l))
        hw_loop_arm(l->api->loop, &l->again, AGAIN_MS);
}

static void on_again(struct hw_wheel_entry *e)
{
    take(HW_CONTAINER_OF(e, struct hw_listener, again));
}

static void on_connection(uv_stream_t *server, int status)
{
    if (status == 0)
        take(HW_CONTAINER_OF((uv_tcp_t *)server, struct hw_listener, tcp));
}

enum hw_status hw_listener_start(struct hw_listener *l, struct hw_cause *cause)
{
    int rc = uv_tcp_init(l->api->loop->uv, &l->tcp);

    if (rc != 0)
        return hw_cause_set(cause, HW_ESYSTEM, HW_ORIGIN_LIBUV, rc, "cannot listen: %s",
                            uv_strerror(rc));
    l->is_started = true; /* from here on there is a handle */
    hw_closing_hold(&l->api->closing);
    rc = uv_tcp_open(&l->tcp, l->fd);
    if (rc == 0) {
        l->fd = -1; /* the handle's now */
        rc = uv_listen((uv_stream_t *)&l->tcp, BACKLOG, on_connection);
    }
    if (rc != 0)
        return hw_cause_set(cause, HW_ESYSTEM, HW_ORIGIN_LIBUV, rc, "cannot listen: %s",
                            uv_strerror(rc));
    return HW_OK;
}

static void on_handle_closed(uv_handle_t *handle)
{
    struct hw_listener *l = HW_CONTAINER_OF((uv_tcp_t *)handle, struct hw_listener, tcp);

    hw_closing_release(&l->api->closing);
}

void hw_listener_close(struct hw_listener *l)
{
    if (l->api == NULL)
        return;
    if (l->fd >= 0)
        close(l->fd);
    l->fd = -1;
    hw_loop_cancel(l->api->loop, &l->again);
    if (l->is_started)
        uv_close((uv_handle_t *)&l->tcp, on_handle_closed);
    l->is_started = false;
}
