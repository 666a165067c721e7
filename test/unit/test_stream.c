/* stream: real sockets on the loopback, both ends in one loop. */
#include "loop/stream.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "check.h"
#include "tls/trust.h"

struct end; /* one end of a connection, with what happened to it */

struct world {
    uv_loop_t uv;
    struct hw_loop loop;
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } server;
    struct sockaddr_in address;
    struct end *accepted;         /* borrowed: takes the next connection */
    struct hw_identity *identity; /* the server speaks TLS */
    bool is_loop_closed;
};

struct end {
    struct hw_stream stream;
    struct world *w;
    struct hw_buf got;
    struct hw_cause cause;
    bool is_connected, is_secure, is_ended, is_closed;
    bool echoes; /* writes back what it reads */
    bool closes_on_data;
    size_t stops_after; /* reading, once that much has come; 0: never */
    int n_drained;
    struct hw_trust *trust; /* a client that wants TLS */
    const char *name;
};

static void end_connect(struct hw_stream *s)
{
    struct end *e = HW_CONTAINER_OF(s, struct end, stream);
    struct hw_tls *tls = NULL;
    e->is_connected = true;
    if (!e->trust)
        return;
    CHECK_INT(hw_tls_open_client(&tls, e->trust, e->name, false, NULL, NULL), ==, HW_OK);
    hw_stream_start_tls(s, tls);
}

static void end_secure(struct hw_stream *s)
{
    HW_CONTAINER_OF(s, struct end, stream)->is_secure = true;
}

static void end_closed(struct hw_stream *s)
{
    struct end *e = HW_CONTAINER_OF(s, struct end, stream);
    e->is_closed = true;
    hw_buf_close(&e->got);
}

static void end_data(struct hw_stream *s, struct hw_slice data)
{
    struct end *e = HW_CONTAINER_OF(s, struct end, stream);
    CHECK(!e->is_ended && !e->is_closed);
    CHECK_INT(hw_buf_append_slice(&e->got, data), ==, HW_OK);
    if (e->echoes)
        CHECK_INT(hw_stream_write(s, &data, 1), ==, HW_OK);
    if (e->stops_after && hw_buf_len(&e->got) >= e->stops_after) {
        e->stops_after = 0;
        hw_stream_read_stop(s);
    }
    if (e->closes_on_data)
        hw_stream_close(s, end_closed);
}

static void end_end(struct hw_stream *s, const struct hw_cause *cause)
{
    struct end *e = HW_CONTAINER_OF(s, struct end, stream);
    CHECK(!e->is_ended && !e->is_closed);
    e->is_ended = true;
    e->cause = *cause;
}

static void end_drain(struct hw_stream *s)
{
    struct end *e = HW_CONTAINER_OF(s, struct end, stream);
    CHECK_UINT(hw_stream_queued(s), ==, 0);
    e->n_drained++;
}

static const struct hw_stream_events end_events = {
    end_connect, end_secure, end_data, end_end, end_drain,
};

static void end_init(struct end *e, struct world *w)
{
    memset(e, 0, sizeof(*e));
    e->w = w;
    hw_buf_init(&e->got, 64 << 20);
    hw_stream_init(&e->stream, &w->loop, &end_events);
}

static void on_connection(uv_stream_t *server, int status)
{
    struct world *w = server->data;
    struct end *e = w->accepted;
    struct hw_tls *tls = NULL;
    CHECK_INT(status, ==, 0);
    CHECK_NOT_NULL(e);
    CHECK_INT(hw_stream_accept(&e->stream, server, NULL), ==, HW_OK);
    e->is_connected = true;
    if (!w->identity)
        return;
    CHECK_INT(hw_tls_open_server(&tls, w->identity, NULL), ==, HW_OK);
    hw_stream_start_tls(&e->stream, tls);
}

static void world_init(struct world *w)
{
    memset(w, 0, sizeof(*w));
    CHECK_INT(uv_loop_init(&w->uv), ==, 0);
    CHECK_INT(hw_loop_init(&w->loop, &w->uv, NULL), ==, HW_OK);
}

static void world_listen(struct world *w)
{
    struct sockaddr_in any = { .sin_family = AF_INET };
    int n = sizeof(w->address);
    any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    uv_tcp_init(&w->uv, &w->server.tcp);
    w->server.handle.data = w;
    CHECK_INT(uv_tcp_bind(&w->server.tcp, (struct sockaddr *)&any, 0), ==, 0);
    CHECK_INT(uv_listen(&w->server.stream, 16, on_connection), ==, 0);
    CHECK_INT(uv_tcp_getsockname(&w->server.tcp, (struct sockaddr *)&w->address, &n), ==, 0);
}

static void on_loop_closed(struct hw_loop *loop)
{
    HW_CONTAINER_OF(loop, struct world, loop)->is_loop_closed = true;
}

static void world_close(struct world *w)
{
    if (w->server.handle.data)
        uv_close(&w->server.handle, NULL);
    hw_loop_close(&w->loop, on_loop_closed);
    uv_run(&w->uv, UV_RUN_DEFAULT);
    CHECK(w->is_loop_closed);
    CHECK_INT(uv_loop_close(&w->uv), ==, 0);
}

/* Turns of the loop until it is true; a test that waits longer than this has failed. */
static void on_give_up(struct hw_wheel_entry *e)
{
    (void)e;
    CHECK_FAIL("waited for 20 s");
}

/* It may become true at the end of a turn, before the loop goes to sleep: a tick wakes it. */
static void on_tick(struct hw_wheel_entry *e)
{
    (void)e;
}

#define AWAIT(w, condition)                                                                   \
    do {                                                                                      \
        struct hw_wheel_entry give_up, tick;                                                  \
        hw_wheel_entry_init(&give_up, on_give_up);                                            \
        hw_wheel_entry_init(&tick, on_tick);                                                  \
        hw_loop_arm(&(w)->loop, &give_up, 20000);                                             \
        while (!(condition)) {                                                                \
            hw_loop_arm(&(w)->loop, &tick, 20);                                               \
            uv_run(&(w)->uv, UV_RUN_ONCE);                                                    \
        }                                                                                     \
        hw_loop_cancel(&(w)->loop, &tick);                                                    \
        hw_loop_cancel(&(w)->loop, &give_up);                                                 \
    } while (0)

static void end_close(struct end *e)
{
    if (e->stream.state != HW_STREAM_CLOSING)
        hw_stream_close(&e->stream, end_closed);
    AWAIT(e->w, e->is_closed);
}

static void world_pair(struct world *w, struct end *client, struct end *server)
{
    end_init(client, w);
    end_init(server, w);
    w->accepted = server;
    hw_stream_connect_tcp(&client->stream, (struct sockaddr *)&w->address);
    CHECK(!client->is_connected);
    AWAIT(w, client->is_connected && server->is_connected);
}

static void say(struct end *e, const char *text)
{
    struct hw_slice piece = hw_slice_str(text);
    CHECK_INT(hw_stream_write(&e->stream, &piece, 1), ==, HW_OK);
}

/* `n` bytes that differ by place. */
static char *pattern(size_t n)
{
    char *p = malloc(n);
    for (size_t i = 0; i < n; i++)
        p[i] = (char)(i * 2654435761u >> 13);
    return p;
}

CASE(bytes_go_both_ways_and_the_end_is_proper)
{
    struct world w;
    struct end client, server;
    world_init(&w);
    world_listen(&w);
    world_pair(&w, &client, &server);
    server.echoes = true;
    struct hw_slice pieces[] = { HW_SLICE("one "), HW_SLICE(""), HW_SLICE("two "),
                                 HW_SLICE("three") };
    CHECK_INT(hw_stream_write(&client.stream, pieces, 4), ==, HW_OK);
    CHECK_UINT(hw_stream_queued(&client.stream), ==, 0);
    AWAIT(&w, hw_buf_len(&client.got) == 13);
    CHECK_SLICE(hw_buf_slice(&client.got), "one two three");
    struct sockaddr_storage peer, local;
    CHECK(hw_stream_peer(&client.stream, &peer) && hw_stream_local(&server.stream, &local));
    CHECK_INT(((struct sockaddr_in *)&peer)->sin_port, ==, w.address.sin_port);
    CHECK_INT(((struct sockaddr_in *)&local)->sin_port, ==, w.address.sin_port);
    end_close(&client);
    AWAIT(&w, server.is_ended);
    CHECK_INT(server.cause.status, ==, HW_OK);
    end_close(&server);
    world_close(&w);
}

CASE(a_unix_socket_too)
{
    struct world w;
    struct end client, server;
    char path[64];
    snprintf(path, sizeof(path), "/tmp/hw-stream-%d", (int)getpid());
    unlink(path);
    world_init(&w);
    uv_pipe_init(&w.uv, &w.server.pipe, 0);
    w.server.handle.data = &w;
    CHECK_INT(uv_pipe_bind(&w.server.pipe, path), ==, 0);
    CHECK_INT(uv_listen(&w.server.stream, 16, on_connection), ==, 0);
    end_init(&client, &w);
    end_init(&server, &w);
    w.accepted = &server;
    hw_stream_connect_unix(&client.stream, path);
    AWAIT(&w, client.is_connected && server.is_connected);
    say(&client, "hello");
    AWAIT(&w, hw_buf_len(&server.got) == 5);
    struct sockaddr_storage peer;
    CHECK(!hw_stream_peer(&client.stream, &peer));
    end_close(&client);
    end_close(&server);
    unlink(path);
    world_close(&w);
}

CASE(failures_to_begin_come_through_on_end)
{
    struct world w;
    struct end e;
    char path[200];
    memset(path, 'x', sizeof(path));
    path[sizeof(path) - 1] = '\0';
    world_init(&w);
    end_init(&e, &w);
    hw_stream_connect_unix(&e.stream, path);
    CHECK(!e.is_ended);
    AWAIT(&w, e.is_ended);
    CHECK_INT(e.cause.code, ==, UV_ENAMETOOLONG);
    end_close(&e);

    end_init(&e, &w);
    hw_stream_connect_unix(&e.stream, "/nonexistent/socket");
    AWAIT(&w, e.is_ended);
    CHECK_INT(e.cause.code, ==, UV_ENOENT);
    end_close(&e);

    world_listen(&w);
    uv_close(&w.server.handle, NULL);
    w.server.handle.data = NULL;
    uv_run(&w.uv, UV_RUN_NOWAIT);
    end_init(&e, &w);
    hw_stream_connect_tcp(&e.stream, (struct sockaddr *)&w.address);
    AWAIT(&w, e.is_ended);
    CHECK_INT(e.cause.status, ==, HW_ECONN);
    CHECK_INT(e.cause.code, ==, UV_ECONNREFUSED);
    CHECK_CONTAINS(e.cause.note, "connection refused");
    end_close(&e);
    world_close(&w);
}

CASE(close_without_a_handle_and_while_connecting)
{
    struct world w;
    struct end e, server;
    world_init(&w);
    world_listen(&w);
    end_init(&e, &w);
    hw_stream_close(&e.stream, end_closed);
    CHECK(!e.is_closed);
    AWAIT(&w, e.is_closed);
    end_init(&e, &w);
    end_init(&server, &w);
    w.accepted = &server;
    hw_stream_connect_tcp(&e.stream, (struct sockaddr *)&w.address);
    hw_stream_close(&e.stream, end_closed);
    AWAIT(&w, e.is_closed);
    CHECK(!e.is_connected && !e.is_ended);
    end_close(&server);
    world_close(&w);
}

static void push_much(struct world *w, struct end *client, struct end *server, size_t n)
{
    char *bytes = pattern(n);
    hw_stream_read_stop(&server->stream);
    for (size_t at = 0; at < n; at += n / 4) {
        struct hw_slice piece = hw_slice(bytes + at, n / 4);
        CHECK_INT(hw_stream_write(&client->stream, &piece, 1), ==, HW_OK);
    }
    CHECK_UINT(hw_stream_queued(&client->stream), >, 0);
    for (int i = 0; i < 20; i++)
        uv_run(&w->uv, UV_RUN_NOWAIT);
    CHECK_UINT(hw_stream_queued(&client->stream), >, 0);
    CHECK_UINT(hw_buf_len(&server->got), ==, 0);
    server->stops_after = n / 3; /* stops in the middle of a batch, is started again */
    hw_stream_read_start(&server->stream);
    AWAIT(w, hw_buf_len(&server->got) >= n / 3);
    size_t had = hw_buf_len(&server->got);
    for (int i = 0; i < 20; i++)
        uv_run(&w->uv, UV_RUN_NOWAIT);
    CHECK_UINT(hw_buf_len(&server->got), ==, had);
    hw_stream_read_start(&server->stream);
    AWAIT(w, hw_buf_len(&server->got) == n);
    CHECK_MEM(hw_buf_slice(&server->got).data, bytes, n);
    AWAIT(w, client->n_drained == 1);
    free(bytes);
}

CASE(what_the_kernel_does_not_take_waits_and_arrives_in_order)
{
    struct world w;
    struct end client, server;
    world_init(&w);
    world_listen(&w);
    world_pair(&w, &client, &server);
    push_much(&w, &client, &server, 24 << 20);
    end_close(&client);
    end_close(&server);
    world_close(&w);
}

CASE(corked_writes_collect)
{
    struct world w;
    struct end client, server;
    world_init(&w);
    world_listen(&w);
    world_pair(&w, &client, &server);
    hw_stream_cork(&client.stream);
    say(&client, "a");
    say(&client, "b");
    CHECK_UINT(hw_stream_queued(&client.stream), ==, 2);
    hw_stream_uncork(&client.stream);
    CHECK_UINT(hw_stream_queued(&client.stream), ==, 0);
    AWAIT(&w, hw_buf_len(&server.got) == 2);
    end_close(&client);
    end_close(&server);
    world_close(&w);
}

CASE(close_inside_on_data)
{
    struct world w;
    struct end client, server;
    world_init(&w);
    world_listen(&w);
    world_pair(&w, &client, &server);
    server.closes_on_data = true;
    say(&client, "x");
    AWAIT(&w, server.is_closed && client.is_ended);
    end_close(&client);
    world_close(&w);
}

/* A peer that answers and hangs up hard while we are still sending: the answer is read. */
CASE(an_answer_before_a_reset_is_read)
{
    struct world w;
    struct end client, server;
    world_init(&w);
    world_listen(&w);
    world_pair(&w, &client, &server);
    say(&server, "early");
    say(&client, "unread"); /* so that the peer's close is a reset */
    hw_stream_read_stop(&client.stream);
    hw_stream_read_stop(&server.stream);
    end_close(&server);
    for (int i = 0; i < 5 && !client.stream.is_write_broken; i++)
        say(&client, "more");
    CHECK(client.stream.is_write_broken);
    hw_stream_read_start(&client.stream);
    AWAIT(&w, client.is_ended);
    CHECK_SLICE(hw_buf_slice(&client.got), "early");
    CHECK_INT(client.cause.status, ==, HW_ECONN);
    end_close(&client);
    world_close(&w);
}

CASE(a_broken_write_ends_the_stream_even_where_nobody_reads)
{
    struct world w;
    struct end client, server;
    world_init(&w);
    world_listen(&w);
    world_pair(&w, &client, &server);
    hw_stream_read_stop(&client.stream);
    hw_stream_read_stop(&server.stream);
    say(&client, "unread");
    end_close(&server);
    for (int i = 0; i < 5; i++)
        say(&client, "more");
    AWAIT(&w, client.is_ended);
    CHECK_INT(client.cause.status, ==, HW_ECONN);
    end_close(&client);
    world_close(&w);
}

/* ---- with TLS ---- */

struct ca {
    struct hw_trust *trust;
    char path[64];
};

static void secure_world(struct world *w, struct ca *ca)
{
    const char *names[] = { "stream.test" };
    struct hw_buf pem;
    struct hw_cause cause = { 0 };
    world_init(w);
    world_listen(w);
    hw_buf_init(&pem, 1 << 20);
    if (hw_identity_make(&w->identity, names, 1, hw_loop_unix(&w->loop), &pem, &cause) !=
        HW_OK)
        CHECK_FAIL("%s", cause.note);
    snprintf(ca->path, sizeof(ca->path), "/tmp/hw-stream-%d.pem", (int)getpid());
    FILE *file = fopen(ca->path, "w");
    CHECK_NOT_NULL(file);
    fwrite(hw_buf_slice(&pem).data, 1, hw_buf_len(&pem), file);
    fclose(file);
    hw_buf_close(&pem);
    if (hw_trust_open(&ca->trust, ca->path, false, &cause) != HW_OK)
        CHECK_FAIL("%s", cause.note);
    unlink(ca->path);
}

static void secure_close(struct world *w, struct ca *ca)
{
    world_close(w);
    hw_identity_close(w->identity);
    hw_trust_close(ca->trust);
}

static void secure_connect(struct world *w, struct ca *ca, struct end *client,
                           const char *name)
{
    end_init(client, w);
    client->trust = ca->trust;
    client->name = name;
    hw_stream_connect_tcp(&client->stream, (struct sockaddr *)&w->address);
}

CASE(tls_bytes_go_both_ways_and_the_end_is_proper)
{
    struct world w;
    struct ca ca;
    struct end client, server;
    secure_world(&w, &ca);
    end_init(&server, &w);
    server.echoes = true;
    w.accepted = &server;
    secure_connect(&w, &ca, &client, "stream.test");
    AWAIT(&w, client.is_secure && server.is_secure);
    struct hw_slice pieces[] = { HW_SLICE("head "), HW_SLICE("body") };
    CHECK_INT(hw_stream_write(&client.stream, pieces, 2), ==, HW_OK);
    AWAIT(&w, hw_buf_len(&client.got) == 9);
    CHECK_SLICE(hw_buf_slice(&client.got), "head body");
    end_close(&client);
    AWAIT(&w, server.is_ended);
    CHECK_INT(server.cause.status, ==, HW_OK);
    end_close(&server);
    secure_close(&w, &ca);
}

CASE(tls_backpressure_and_pauses)
{
    struct world w;
    struct ca ca;
    struct end client, server;
    secure_world(&w, &ca);
    end_init(&server, &w);
    w.accepted = &server;
    secure_connect(&w, &ca, &client, "stream.test");
    AWAIT(&w, client.is_secure && server.is_secure);
    push_much(&w, &client, &server, 12 << 20);
    end_close(&client);
    end_close(&server);
    secure_close(&w, &ca);
}

CASE(tls_pieces_of_every_size_keep_their_order)
{
    struct world w;
    struct ca ca;
    struct end client, server;
    static const size_t sizes[] = { 1, 4095, 1, 4096, 4097, 3, 0, 8192, 20000, 5, 100 };
    struct hw_slice pieces[sizeof(sizes) / sizeof(sizes[0])];
    size_t n = sizeof(sizes) / sizeof(sizes[0]), total = 0;
    secure_world(&w, &ca);
    end_init(&server, &w);
    w.accepted = &server;
    secure_connect(&w, &ca, &client, "stream.test");
    AWAIT(&w, client.is_secure && server.is_secure);
    char *bytes = pattern(64 << 10);
    for (size_t i = 0; i < n; total += sizes[i++])
        pieces[i] = hw_slice(bytes + total, sizes[i]);
    CHECK_INT(hw_stream_write(&client.stream, pieces, n), ==, HW_OK);
    AWAIT(&w, hw_buf_len(&server.got) == total);
    CHECK_MEM(hw_buf_slice(&server.got).data, bytes, total);
    free(bytes);
    end_close(&client);
    end_close(&server);
    secure_close(&w, &ca);
}

CASE(tls_refuses_another_name)
{
    struct world w;
    struct ca ca;
    struct end client, server;
    secure_world(&w, &ca);
    end_init(&server, &w);
    w.accepted = &server;
    secure_connect(&w, &ca, &client, "other.test");
    AWAIT(&w, client.is_ended);
    CHECK(!client.is_secure);
    CHECK_INT(client.cause.status, ==, HW_ETLS);
    end_close(&client);
    end_close(&server);
    secure_close(&w, &ca);
}

CASE(tls_peer_that_hangs_up_in_the_handshake)
{
    struct world w;
    struct ca ca;
    struct end client, server;
    secure_world(&w, &ca);
    struct hw_identity *identity = w.identity;
    w.identity = NULL; /* the server speaks plain */
    end_init(&server, &w);
    server.closes_on_data = true;
    w.accepted = &server;
    secure_connect(&w, &ca, &client, "stream.test");
    AWAIT(&w, client.is_ended);
    CHECK(!client.is_secure);
    CHECK_INT(client.cause.status, !=, HW_OK);
    end_close(&client);
    AWAIT(&w, server.is_closed);
    w.identity = identity;
    secure_close(&w, &ca);
}

/* Forty handshakes that become possible in one turn do not make one long turn. */
CASE(tls_handshakes_are_spread_over_turns)
{
    enum { N = 40 };
    struct world w;
    struct ca ca;
    static struct end clients[N], servers[N];
    secure_world(&w, &ca);
    for (int i = 0; i < N; i++) {
        end_init(&servers[i], &w);
        w.accepted = &servers[i];
        secure_connect(&w, &ca, &clients[i], "stream.test");
        AWAIT(&w, servers[i].is_connected);
    }
    size_t most = 0;
    for (int i = 0; i < N; i++) {
        AWAIT(&w, (most = most < hw_stream_handshakes(&w.loop) ? hw_stream_handshakes(&w.loop)
                                                               : most,
                   clients[i].is_secure));
    }
    CHECK_UINT(hw_stream_handshakes(&w.loop), <, N);
    for (int i = 0; i < N; i++) {
        end_close(&clients[i]);
        end_close(&servers[i]);
    }
    CHECK_UINT(hw_stream_handshakes(&w.loop), ==, 0);
    secure_close(&w, &ca);
}
