/*
 * bench_handshake - what a TLS handshake costs a client that does nothing else.
 *
 *   bench_handshake HOST PORT CA_FILE [N]
 *
 * N connections (1,000 if not said) to one address, one after another over a blocking socket,
 * with the trust, ciphers and session code that deliveries use (proto/tls): first N full
 * handshakes, then N that offer the newest ticket.
 *
 *   connect -> handshake -> end of the measure -> read until there is a ticket -> close
 *
 * Prints one line of JSON: microseconds of this process's CPU each, kernel time included
 * (connecting is part of it, and on one machine some of the server's receiving too); how many
 * of the second N really were resumed.  Exit code 1 when a connection or a handshake fails.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "tls/tls.h"

enum { N_MAX = 1000 * 1000, READ_BYTES = 16 * 1024, TICKET_WAIT_MS = 500 };

struct bench {
    const char *host;
    bool is_address;
    struct addrinfo *address;     /* owned */
    struct hw_trust *trust;       /* owned */
    struct hw_tls_ticket *ticket; /* owned; the newest */
    const char *version;
    bool is_ticketless; /* the server gives none: nobody waits for one any more */
};

struct connection {
    int fd;
    struct hw_tls *tls; /* owned */
};

static double cpu_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static hw_unix_ms unix_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (hw_unix_ms)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static enum hw_status fail(struct hw_cause *cause, const char *what)
{
    return hw_cause_set(cause, HW_ECONN, HW_ORIGIN_ERRNO, errno, "%s: %s", what,
                        strerror(errno));
}

/* ---- one connection ---- */

static enum hw_status flush(struct connection *c, struct hw_cause *cause)
{
    struct hw_buf *outbox = hw_tls_outbox(c->tls);

    while (hw_buf_len(outbox) > 0) {
        struct hw_slice rest = hw_buf_slice(outbox);
        ssize_t n = send(c->fd, rest.data, rest.len, MSG_NOSIGNAL);

        if (n < 0 && errno != EINTR)
            return fail(cause, "send");
        hw_buf_consume(outbox, n > 0 ? (size_t)n : 0);
    }
    return HW_OK;
}

static enum hw_status fill(struct connection *c, struct hw_cause *cause)
{
    struct hw_buf *inbox = hw_tls_inbox(c->tls);
    enum hw_status status = hw_buf_reserve(inbox, READ_BYTES);
    ssize_t n;

    if (status != HW_OK)
        return hw_cause_set(cause, status, HW_ORIGIN_US, 0, "no memory");
    do
        n = recv(c->fd, hw_buf_space(inbox), READ_BYTES, 0);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return fail(cause, "receive");
    if (n == 0)
        hw_tls_input_ended(c->tls);
    hw_buf_commit(inbox, (size_t)n);
    return HW_OK;
}

static enum hw_status shake_hands(struct connection *c, struct hw_cause *cause)
{
    for (;;) {
        enum hw_tls_result result = hw_tls_handshake(c->tls, cause);
        enum hw_status status = flush(c, cause);

        if (result == HW_TLS_FAILED)
            return cause->status;
        if (result == HW_TLS_DONE || status != HW_OK)
            return status;
        status = fill(c, cause);
        if (status != HW_OK)
            return status;
    }
}

static enum hw_status connection_open(struct connection *c, struct bench *b,
                                      struct hw_cause *cause)
{
    enum hw_status status;
    int yes = 1;

    c->tls = NULL;
    c->fd = socket(b->address->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || connect(c->fd, b->address->ai_addr, b->address->ai_addrlen) != 0)
        return fail(cause, "connect");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    status = hw_tls_open_client(&c->tls, b->trust, b->host, b->is_address, b->ticket, cause);
    return status == HW_OK ? shake_hands(c, cause) : status;
}

/* Tells the server, so that it does not take the session for a broken one. */
static void connection_close(struct connection *c)
{
    struct hw_cause cause;

    if (c->tls != NULL) {
        hw_tls_shut(c->tls);
        flush(c, &cause);
    }
    hw_tls_close(c->tls);
    if (c->fd >= 0)
        close(c->fd);
}

/* With TLS 1.2 the ticket is there after the handshake, with 1.3 it comes behind it. */
static struct hw_tls_ticket *wait_for_ticket(struct connection *c)
{
    struct timeval patience = { .tv_usec = TICKET_WAIT_MS * 1000 };
    struct hw_tls_ticket *ticket = hw_tls_ticket_take(c->tls, unix_ms());
    enum hw_tls_result result = HW_TLS_DONE;
    char ignored[1024];
    size_t n;

    setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    while (ticket == NULL && (result == HW_TLS_AGAIN || result == HW_TLS_DONE)) {
        struct hw_cause cause;

        result = hw_tls_read(c->tls, ignored, sizeof ignored, &n, &cause);
        ticket = hw_tls_ticket_take(c->tls, unix_ms());
        if (ticket == NULL && result == HW_TLS_AGAIN && fill(c, &cause) != HW_OK)
            return NULL;
    }
    return ticket;
}

static void renew_ticket(struct bench *b, struct connection *c)
{
    struct hw_tls_ticket *ticket = b->is_ticketless ? NULL : wait_for_ticket(c);

    if (ticket == NULL) {
        b->is_ticketless = true;
        return;
    }
    hw_tls_ticket_close(b->ticket);
    b->ticket = ticket;
}

/* ---- many ---- */

struct outcome {
    double each_us;
    uint64_t n_resumed;
};

/* The ticket that the last full handshake brought makes the next ones resumed, and each of
 * those brings its successor. */
static enum hw_status measure_one(struct bench *b, bool is_last, struct outcome *sum,
                                  struct hw_cause *cause)
{
    struct connection c;
    double began_us = cpu_us();
    enum hw_status status = connection_open(&c, b, cause);

    sum->each_us += cpu_us() - began_us;
    if (status == HW_OK) {
        b->version = hw_tls_version(c.tls);
        sum->n_resumed += hw_tls_is_resumed(c.tls) ? 1 : 0;
        if (b->ticket != NULL || is_last)
            renew_ticket(b, &c);
    }
    connection_close(&c);
    return status;
}

static enum hw_status measure(struct bench *b, uint64_t n, struct outcome *out,
                              struct hw_cause *cause)
{
    enum hw_status status = HW_OK;

    *out = (struct outcome){ 0 };
    for (uint64_t i = 0; i < n && status == HW_OK; i++)
        status = measure_one(b, i + 1 == n, out, cause);
    out->each_us /= (double)n;
    return status;
}

static enum hw_status bench_open(struct bench *b, const char *host, const char *port,
                                 const char *ca_file, struct hw_cause *cause)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_family = AF_INET };
    struct in_addr ignored;
    int rc = getaddrinfo(host, port, &hints, &b->address);

    if (rc != 0)
        return hw_cause_set(cause, HW_EINVAL, HW_ORIGIN_US, 0, "%.60s port %.20s: %s", host,
                            port, gai_strerror(rc));
    b->host = host;
    b->is_address = inet_pton(AF_INET, host, &ignored) == 1;
    return hw_trust_open(&b->trust, ca_file, true, cause);
}

static void bench_close(struct bench *b)
{
    hw_tls_ticket_close(b->ticket);
    hw_trust_close(b->trust);
    if (b->address != NULL)
        freeaddrinfo(b->address);
}

int main(int argc, char **argv)
{
    struct bench b = { 0 };
    struct outcome full, resumed;
    struct hw_cause cause = { 0 };
    uint64_t n = 1000;
    enum hw_status status;

    if (argc < 4 || argc > 5 ||
        (argc == 5 && !hw_slice_u64(hw_slice_str(argv[4]), N_MAX, &n)) || n == 0) {
        fprintf(stderr, "usage: bench_handshake HOST PORT CA_FILE [N]\n");
        return 2;
    }
    status = bench_open(&b, argv[1], argv[2], argv[3], &cause);
    if (status == HW_OK)
        status = measure(&b, n, &full, &cause);
    if (status == HW_OK)
        status = measure(&b, n, &resumed, &cause);
    if (status == HW_OK)
        printf("{\"full_us\":%.1f,\"resumed_us\":%.1f,\"n\":%llu,\"resumed\":%llu,"
               "\"version\":\"%s\"}\n",
               full.each_us, resumed.each_us, (unsigned long long)n,
               (unsigned long long)resumed.n_resumed, b.version);
    else
        fprintf(stderr, "bench_handshake: %s\n", cause.note);
    bench_close(&b);
    return status == HW_OK ? 0 : 1;
}
