/*
 * The happy path of a client with TLS:
 *
 *   connect_tcp -> on_connected -> the owner's on_connect -> start_tls -> (queue) -> step:
 *   first flight out -> on_read: ciphertext into the inbox -> (queue) -> step ... done ->
 *   on_secure -> write: plaintext -> outbox -> flush; on_read -> pump: inbox -> on_data
 *
 * Failures, and where they end up:
 *   to begin (no descriptor, bad path)   end_later: on_end on the next turn
 *   connect, read, handshake             on_end, straight from libuv's callback
 *   write                                output is dropped; reading goes on until it finds
 *                                        the end too (the peer may have answered before it
 *                                        hung up), for WRITE_GRACE_MS at most; then on_end
 *   no memory for output                 told by write if nothing has left yet, else on_end
 *
 * Everything the kernel does not take at once waits in one buffer (`out`, or the session's
 * outbox).  It is swapped, not copied, into `sending` when a write is started, so at most
 * one write is in flight and the rest collects behind it.
 */
#include "loop/stream.h"

#include <string.h>
#include <sys/un.h>

#include "base/must.h"
#include "hookwheel/alloc.h"

enum {
    WRITE_GRACE_MS = 100,
    DIRECT_PIECES = 8,      /* as many go out without being collected first */
    GATHER_BYTES = 4096,    /* small pieces share a TLS record up to this size */
    KEEP_BYTES = 16 * 1024, /* an empty buffer larger than this is given back */
};

static void on_later(struct hw_wheel_entry *e);

void hw_stream_init(struct hw_stream *s, struct hw_loop *loop,
                    const struct hw_stream_events *events)
{
    memset(s, 0, sizeof(*s));
    s->loop = loop;
    s->events = events;
    s->state = HW_STREAM_IDLE;
    s->wants_reading = true;
    hw_buf_init(&s->out, HW_STREAM_OUT_MAX);
    hw_buf_init(&s->sending, HW_STREAM_OUT_MAX);
    hw_wheel_entry_init(&s->later, on_later);
    hw_list_node_init(&s->handshake);
    hw_closing_init(&s->closing);
}

/* ---- the end ---- */

static void unqueue_handshake(struct hw_stream *s)
{
    if (!hw_list_is_linked(&s->handshake))
        return;
    hw_list_unlink(&s->handshake);
    s->loop->n_handshakes--;
}

static void stop_reading(struct hw_stream *s)
{
    if (s->is_reading)
        uv_read_stop(&s->uv.stream);
    s->is_reading = false;
}

/* Nothing but the owner's close comes after this. */
static void tell_end(struct hw_stream *s)
{
    s->state = HW_STREAM_ENDED;
    stop_reading(s);
    unqueue_handshake(s);
    hw_loop_cancel(s->loop, &s->later);
    struct hw_cause cause = s->end;
    s->events->on_end(s, &cause);
}

static void set_end(struct hw_stream *s, int code, const char *doing)
{
    hw_cause_set(&s->end, HW_ECONN, HW_ORIGIN_LIBUV, code, "%s: %s", doing, uv_strerror(code));
}

/* For what is found inside a call of the owner's. */
static void end_later(struct hw_stream *s)
{
    s->state = HW_STREAM_ENDED;
    stop_reading(s);
    unqueue_handshake(s);
    hw_loop_arm(s->loop, &s->later, 0);
}

/* The peer ended the stream; if we knew before that it takes nothing more, that is what
 * matters. */
static void end_of_input(struct hw_stream *s)
{
    if (!s->is_write_broken)
        hw_cause_set(&s->end, HW_OK, HW_ORIGIN_US, 0, "the peer closed the connection");
    tell_end(s);
}

static void write_broke(struct hw_stream *s, int code)
{
    if (s->is_write_broken || s->state == HW_STREAM_ENDED || s->state == HW_STREAM_CLOSING)
        return;
    s->is_write_broken = true;
    set_end(s, code, "write to the peer");
    hw_loop_arm(s->loop, &s->later, WRITE_GRACE_MS);
}

/* ---- output ---- */

static struct hw_buf *stream_out(struct hw_stream *s)
{
    return s->tls ? hw_tls_outbox(s->tls) : &s->out;
}

static void shed(struct hw_buf *b)
{
    if (b->cap > KEEP_BYTES)
        hw_buf_close(b);
    else
        hw_buf_reset(b);
}

/* The bytes change places; each buffer keeps its own ceiling. */
static void swap_bytes(struct hw_buf *a, struct hw_buf *b)
{
    struct hw_buf was_a = *a;
    size_t max_b = b->max;
    *a = *b;
    a->max = was_a.max;
    *b = was_a;
    b->max = max_b;
}

static void flush(struct hw_stream *s);

/* What was uncorked while a write was in flight leaves behind it, though the cork may be
 * back in by now. */
static void flush_due(struct hw_stream *s)
{
    bool is_corked = s->is_corked;
    s->is_corked = is_corked && !s->is_flush_due;
    s->is_flush_due = false;
    flush(s);
    s->is_corked = is_corked;
}

static void on_written(uv_write_t *req, int code)
{
    struct hw_stream *s = HW_CONTAINER_OF(req, struct hw_stream, write_req);
    hw_loop_touch(s->loop);
    s->is_write_busy = false;
    shed(&s->sending);
    if (code < 0) {
        write_broke(s, code);
    } else if (s->state == HW_STREAM_OPEN || s->state == HW_STREAM_SECURING) {
        flush_due(s);
        bool is_empty = !s->is_write_broken && hw_stream_queued(s) == 0;
        if (is_empty && s->state == HW_STREAM_OPEN && s->events->on_drain)
            s->events->on_drain(s); /* may close; the write's hold keeps us */
    }
    hw_closing_release(&s->closing);
}

static void start_write(struct hw_stream *s)
{
    swap_bytes(stream_out(s), &s->sending);
    struct hw_slice all = hw_buf_slice(&s->sending);
    uv_buf_t buf = { .base = (char *)all.data, .len = all.len };
    int rc = uv_write(&s->write_req, &s->uv.stream, &buf, 1, on_written);
    if (rc != 0) {
        write_broke(s, rc);
        return;
    }
    s->is_write_busy = true;
    hw_closing_hold(&s->closing);
}

/* What the kernel takes now, in bytes; 0 when it is full or the peer is gone. */
static size_t try_write(struct hw_stream *s, const uv_buf_t *bufs, unsigned n_bufs)
{
    int rc = uv_try_write(&s->uv.stream, bufs, n_bufs);
    if (rc < 0 && rc != UV_EAGAIN)
        write_broke(s, rc);
    return rc > 0 ? (size_t)rc : 0;
}

static void flush(struct hw_stream *s)
{
    struct hw_buf *out = stream_out(s);
    if (s->is_corked || s->is_write_busy || hw_buf_len(out) == 0)
        return;
    if (!s->is_write_broken) {
        struct hw_slice all = hw_buf_slice(out);
        uv_buf_t buf = { .base = (char *)all.data, .len = all.len };
        hw_buf_consume(out, try_write(s, &buf, 1));
    }
    if (s->is_write_broken || hw_buf_len(out) == 0)
        shed(out);
    else
        start_write(s);
}

static size_t total_bytes(const struct hw_slice *pieces, size_t n_pieces)
{
    size_t total = 0;
    for (size_t i = 0; i < n_pieces; i++)
        total += pieces[i].len;
    return total;
}

/* Past the pieces, `skip` bytes in, into out.  All or nothing. */
static enum hw_status collect(struct hw_stream *s, const struct hw_slice *pieces,
                              size_t n_pieces, size_t skip, size_t total)
{
    if (hw_buf_reserve(&s->out, total - skip) != HW_OK) {
        s->out.failed = HW_OK; /* what is in there still wants to leave */
        return HW_ENOMEM;
    }
    for (size_t i = 0; i < n_pieces; i++) {
        size_t skipped = skip < pieces[i].len ? skip : pieces[i].len;
        skip -= skipped;
        hw_buf_append_slice(&s->out, hw_slice_from(pieces[i], skipped));
    }
    return HW_OK;
}

static enum hw_status write_plain(struct hw_stream *s, const struct hw_slice *pieces,
                                  size_t n_pieces)
{
    size_t total = total_bytes(pieces, n_pieces);
    size_t sent = 0;
    bool is_clear = !s->is_corked && !s->is_write_busy && hw_buf_len(&s->out) == 0;
    if (is_clear && n_pieces <= DIRECT_PIECES && total > 0) {
        uv_buf_t bufs[DIRECT_PIECES];
        for (size_t i = 0; i < n_pieces; i++)
            bufs[i] = (uv_buf_t){ .base = (char *)pieces[i].data, .len = pieces[i].len };
        sent = try_write(s, bufs, (unsigned)n_pieces);
    }
    if (sent == total || s->is_write_broken)
        return HW_OK;
    enum hw_status status = collect(s, pieces, n_pieces, sent, total);
    if (status != HW_OK && sent == 0)
        return status;
    if (status != HW_OK) {
        hw_cause_set(&s->end, status, HW_ORIGIN_US, 0, "write to the peer: out of memory");
        end_later(s);
    } else if (is_clear && n_pieces <= DIRECT_PIECES) {
        start_write(s); /* the kernel was just found full */
    } else {
        flush(s);
    }
    return HW_OK;
}

/* A record costs more than copying a kilobyte, so small pieces share one. */
static enum hw_tls_result encrypt(struct hw_tls *tls, const struct hw_slice *pieces,
                                  size_t n_pieces, struct hw_cause *cause)
{
    char gather[GATHER_BYTES];
    size_t used = 0;
    for (size_t i = 0; i < n_pieces; i++) {
        struct hw_slice left = pieces[i];
        while (left.len > 0) {
            size_t n = GATHER_BYTES - used < left.len ? GATHER_BYTES - used : left.len;
            bool is_direct = used == 0 && left.len >= GATHER_BYTES;
            if (!is_direct)
                memcpy(gather + used, left.data, n);
            struct hw_slice record =
                is_direct ? hw_slice(left.data, n) : hw_slice(gather, used + n);
            used = record.len % GATHER_BYTES;
            left = hw_slice_from(left, n);
            if (used == 0 && hw_tls_write(tls, record, cause) != HW_TLS_DONE)
                return HW_TLS_FAILED;
        }
    }
    return used ? hw_tls_write(tls, hw_slice(gather, used), cause) : HW_TLS_DONE;
}

enum hw_status hw_stream_write(struct hw_stream *s, const struct hw_slice *pieces,
                               size_t n_pieces)
{
    HW_MUST(s->state >= HW_STREAM_OPEN);
    if (s->state != HW_STREAM_OPEN || s->is_write_broken)
        return HW_OK; /* the end is on its way, or was told */
    if (!s->tls)
        return write_plain(s, pieces, n_pieces);
    if (encrypt(s->tls, pieces, n_pieces, &s->end) != HW_TLS_DONE)
        end_later(s);
    else
        flush(s);
    return HW_OK;
}

void hw_stream_cork(struct hw_stream *s)
{
    s->is_corked = true;
}

void hw_stream_uncork(struct hw_stream *s)
{
    s->is_corked = false;
    s->is_flush_due = s->is_write_busy;
    if (s->state == HW_STREAM_OPEN)
        flush(s);
}

size_t hw_stream_queued(const struct hw_stream *s)
{
    size_t waiting = s->tls ? hw_buf_len(hw_tls_outbox(s->tls)) : hw_buf_len(&s->out);
    return waiting + (s->has_handle ? uv_stream_get_write_queue_size(&s->uv.stream) : 0);
}

/* ---- input ---- */

/* Plaintext out of the session until there is none, or the owner has had enough. */
static void pump(struct hw_stream *s)
{
    while (s->state == HW_STREAM_OPEN && s->wants_reading) {
        size_t n = 0;
        char *plain = s->loop->read_buffer; /* what was read into it is in the inbox by now */
        struct hw_cause cause = { 0 };
        switch (hw_tls_read(s->tls, plain, HW_LOOP_READ_BYTES, &n, &cause)) {
        case HW_TLS_DONE:
            s->events->on_data(s, hw_slice(plain, n));
            break;
        case HW_TLS_AGAIN:
            flush(s);
            return;
        case HW_TLS_CLOSED:
            end_of_input(s);
            return;
        case HW_TLS_FAILED:
            flush(s);
            s->end = cause;
            tell_end(s);
            return;
        }
    }
}

static void queue_handshake(struct hw_stream *s);

static void take_ciphertext(struct hw_stream *s, const char *data, size_t n_bytes)
{
    if (hw_buf_append(hw_tls_inbox(s->tls), data, n_bytes) != HW_OK) {
        hw_cause_set(&s->end, HW_ENOMEM, HW_ORIGIN_US, 0, "read from the peer: out of memory");
        tell_end(s);
    } else if (s->state == HW_STREAM_SECURING) {
        queue_handshake(s);
    } else {
        pump(s);
    }
}

static void input_ended(struct hw_stream *s, int code)
{
    stop_reading(s);
    s->is_peer_done = true;
    if (code != UV_EOF) {
        set_end(s, code, "read from the peer");
        tell_end(s);
        return;
    }
    if (!s->tls) {
        end_of_input(s);
        return;
    }
    hw_tls_input_ended(s->tls);
    if (s->state == HW_STREAM_SECURING)
        queue_handshake(s);
    else
        pump(s);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct hw_stream *s = HW_CONTAINER_OF(handle, struct hw_stream, uv);
    (void)suggested;
    hw_loop_touch(s->loop);
    *buf = (uv_buf_t){ .base = s->loop->read_buffer, .len = HW_LOOP_READ_BYTES };
}

/* With TLS the shared buffer is read into as well and copied to the inbox: a copy of what has
 * arrived is cheaper than room for a full record in every session. */
static void on_read(uv_stream_t *handle, ssize_t n, const uv_buf_t *buf)
{
    struct hw_stream *s = HW_CONTAINER_OF(handle, struct hw_stream, uv);
    if (n == 0)
        return;
    if (n < 0)
        input_ended(s, (int)n);
    else if (s->tls)
        take_ciphertext(s, buf->base, (size_t)n);
    else
        s->events->on_data(s, hw_slice(buf->base, (size_t)n));
}

static void update_reading(struct hw_stream *s)
{
    bool wanted =
        s->state == HW_STREAM_SECURING || (s->state == HW_STREAM_OPEN && s->wants_reading);
    if (!wanted || s->is_peer_done) {
        stop_reading(s);
        return;
    }
    if (s->is_reading)
        return;
    int rc = uv_read_start(&s->uv.stream, on_alloc, on_read);
    if (rc != 0) {
        set_end(s, rc, "read from the peer");
        end_later(s);
        return;
    }
    s->is_reading = true;
}

void hw_stream_read_start(struct hw_stream *s)
{
    s->wants_reading = true;
    update_reading(s);
    if (s->tls && s->state == HW_STREAM_OPEN)
        hw_loop_arm(s->loop, &s->later, 0); /* there may be plaintext left */
}

void hw_stream_read_stop(struct hw_stream *s)
{
    s->wants_reading = false;
    update_reading(s);
}

/* ---- TLS handshake ---- */

static void handshake_step(struct hw_stream *s)
{
    struct hw_cause cause = { 0 };
    enum hw_tls_result result = hw_tls_handshake(s->tls, &cause);
    flush(s);
    if (result == HW_TLS_AGAIN)
        return;
    if (result != HW_TLS_DONE) {
        s->end = cause;
        tell_end(s);
        return;
    }
    if (hw_buf_len(hw_tls_inbox(s->tls)) == 0)
        hw_buf_close(hw_tls_inbox(s->tls)); /* it held certificates; answers are shorter */
    s->state = HW_STREAM_OPEN;
    update_reading(s);
    s->events->on_secure(s); /* may write, stop reading or close */
    if (s->state == HW_STREAM_OPEN)
        pump(s);
}

/* A turn's share: at least one step, then as many as begin within the time. */
static void on_handshakes(struct hw_turn_hook *hook)
{
    struct hw_loop *loop = hook->loop;
    hw_mono_us until = hw_loop_us() + HW_STREAM_HANDSHAKE_US;
    struct hw_list *at;
    do {
        at = hw_list_pop(&loop->handshakes);
        if (!at)
            return;
        loop->n_handshakes--;
        handshake_step(HW_CONTAINER_OF(at, struct hw_stream, handshake));
    } while (hw_loop_us() < until);
    if (loop->n_handshakes > 0)
        hw_turn_hook_ask(loop, hook);
}

static void queue_handshake(struct hw_stream *s)
{
    struct hw_loop *loop = s->loop;
    if (hw_list_is_linked(&s->handshake))
        return;
    if (!loop->handshake_hook.cb)
        hw_turn_hook_add(loop, &loop->handshake_hook, on_handshakes);
    hw_list_push_back(&loop->handshakes, &s->handshake);
    loop->n_handshakes++;
    hw_turn_hook_ask(loop, &loop->handshake_hook);
}

void hw_stream_start_tls(struct hw_stream *s, struct hw_tls *tls)
{
    HW_MUST(!s->tls && s->state >= HW_STREAM_OPEN);
    s->tls = tls;
    if (s->state != HW_STREAM_OPEN)
        return;
    s->state = HW_STREAM_SECURING;
    update_reading(s);
    if (s->state == HW_STREAM_SECURING)
        queue_handshake(s);
}

struct hw_tls *hw_stream_tls(struct hw_stream *s)
{
    return s->tls;
}

/* ---- beginning ---- */

static void on_connected(uv_connect_t *req, int code)
{
    struct hw_stream *s = HW_CONTAINER_OF(req, struct hw_stream, connect_req);
    hw_loop_touch(s->loop);
    if (s->state == HW_STREAM_CONNECTING) {
        if (code < 0) {
            set_end(s, code, "connect to the peer");
            tell_end(s);
        } else {
            s->is_connected = true;
            s->state = HW_STREAM_OPEN;
            s->events->on_connect(s);
            update_reading(s); /* does nothing if it was closed in there */
        }
    }
    hw_closing_release(&s->closing);
}

static void own_handle(struct hw_stream *s)
{
    s->has_handle = true;
    hw_closing_hold(&s->closing);
}

/* On Linux uv_tcp_init without a family cannot fail; the socket is made by connect. */
static int open_tcp(struct hw_stream *s)
{
    int rc = uv_tcp_init(s->loop->uv, &s->uv.tcp);
    if (rc != 0)
        return rc;
    own_handle(s);
    return uv_tcp_nodelay(&s->uv.tcp, 1); /* kept, and set when the socket is made */
}

static int open_pipe(struct hw_stream *s)
{
    int rc = uv_pipe_init(s->loop->uv, &s->uv.pipe, 0);
    if (rc == 0)
        own_handle(s);
    return rc;
}

static void fail_begin(struct hw_stream *s, int code)
{
    set_end(s, code, "connect to the peer");
    end_later(s);
}

void hw_stream_connect_tcp(struct hw_stream *s, const struct sockaddr *address)
{
    HW_MUST(s->state == HW_STREAM_IDLE);
    s->state = HW_STREAM_CONNECTING;
    int rc = open_tcp(s);
    if (rc == 0)
        rc = uv_tcp_connect(&s->connect_req, &s->uv.tcp, address, on_connected);
    if (rc != 0)
        fail_begin(s, rc);
    else
        hw_closing_hold(&s->closing);
}

void hw_stream_connect_unix(struct hw_stream *s, const char *path)
{
    HW_MUST(s->state == HW_STREAM_IDLE);
    s->state = HW_STREAM_CONNECTING;
    int rc = strlen(path) < sizeof(((struct sockaddr_un *)0)->sun_path) ? 0 : UV_ENAMETOOLONG;
    if (rc == 0)
        rc = open_pipe(s);
    if (rc != 0) {
        fail_begin(s, rc);
        return;
    }
    hw_closing_hold(&s->closing);
    uv_pipe_connect(&s->connect_req, &s->uv.pipe, path, on_connected);
}

enum hw_status hw_stream_accept(struct hw_stream *s, uv_stream_t *server,
                                struct hw_cause *cause)
{
    HW_MUST(s->state == HW_STREAM_IDLE);
    hw_loop_touch(s->loop);
    int rc = server->type == UV_TCP ? open_tcp(s) : open_pipe(s);
    if (rc == 0)
        rc = uv_accept(server, &s->uv.stream);
    if (rc == 0) {
        s->is_connected = true;
        s->state = HW_STREAM_OPEN;
        update_reading(s);
        return HW_OK;
    }
    s->state = HW_STREAM_ENDED;
    return hw_cause_set(cause, HW_ECONN, HW_ORIGIN_LIBUV, rc, "accept a connection: %s",
                        uv_strerror(rc));
}

void hw_stream_keepalive(struct hw_stream *s, unsigned idle_s)
{
    if (s->is_connected && s->uv.handle.type == UV_TCP)
        (void)uv_tcp_keepalive(&s->uv.tcp, 1, idle_s); /* without it the stream works too */
}

/* ---- addresses ---- */

bool hw_stream_peer(const struct hw_stream *s, struct sockaddr_storage *out)
{
    int n = sizeof(*out);
    return s->is_connected && s->uv.handle.type == UV_TCP &&
           uv_tcp_getpeername(&s->uv.tcp, (struct sockaddr *)out, &n) == 0;
}

bool hw_stream_local(const struct hw_stream *s, struct sockaddr_storage *out)
{
    int n = sizeof(*out);
    return s->is_connected && s->uv.handle.type == UV_TCP &&
           uv_tcp_getsockname(&s->uv.tcp, (struct sockaddr *)out, &n) == 0;
}

/* ---- close ---- */

static void stream_closed(struct hw_closing *closing)
{
    struct hw_stream *s = HW_CONTAINER_OF(closing, struct hw_stream, closing);
    hw_buf_close(&s->out);
    hw_buf_close(&s->sending);
    hw_tls_close(s->tls);
    s->tls = NULL;
    if (s->closed_cb)
        s->closed_cb(s); /* may free *s */
}

static void on_handle_closed(uv_handle_t *handle)
{
    hw_closing_release(&HW_CONTAINER_OF(handle, struct hw_stream, uv)->closing);
}

static void on_later(struct hw_wheel_entry *e)
{
    struct hw_stream *s = HW_CONTAINER_OF(e, struct hw_stream, later);
    if (s->state == HW_STREAM_CLOSING) {
        hw_closing_release(&s->closing);
        return;
    }
    if (s->state == HW_STREAM_OPEN && s->tls)
        pump(s);
    bool is_alive = s->state == HW_STREAM_OPEN || s->state == HW_STREAM_SECURING;
    if (is_alive ? s->is_write_broken : s->state == HW_STREAM_ENDED)
        tell_end(s);
}

/* Only where it does not follow half a message, and only as far as the kernel takes it. */
static void say_goodbye(struct hw_stream *s)
{
    bool can =
        s->state == HW_STREAM_OPEN && s->tls && !s->is_write_busy && !s->is_write_broken;
    if (!can || hw_buf_len(hw_tls_outbox(s->tls)) > 0)
        return;
    hw_tls_shut(s->tls);
    struct hw_slice all = hw_buf_slice(hw_tls_outbox(s->tls));
    uv_buf_t buf = { .base = (char *)all.data, .len = all.len };
    if (all.len > 0)
        (void)uv_try_write(&s->uv.stream, &buf, 1);
}

void hw_stream_close(struct hw_stream *s, hw_stream_closed_cb cb)
{
    HW_MUST(s->state != HW_STREAM_CLOSING);
    say_goodbye(s);
    s->state = HW_STREAM_CLOSING;
    s->closed_cb = cb;
    s->is_reading = false; /* uv_close stops it */
    unqueue_handshake(s);
    hw_loop_cancel(s->loop, &s->later);
    if (s->has_handle) {
        uv_close(&s->uv.handle, on_handle_closed);
    } else {
        hw_closing_hold(&s->closing);
        hw_loop_arm(s->loop, &s->later, 0);
    }
    hw_closing_begin(&s->closing, stream_closed);
}
