/*
 * stream - bytes to and from a peer, over TCP or a unix socket, with or without TLS.
 *
 * The one place that knows uv_tcp_t, uv_pipe_t and hw_tls: net/conn (deliveries),
 * store/redis, api/listener and cli/listen all speak through it.
 *
 *   connect (or accept) -> [start_tls -> secured] -> read and write -> close
 *
 * Memory    one socket handle (TCP and pipe share the space), a write buffer, and while TLS is
 *           on one hw_tls.  Reads go through one 64 KiB buffer shared by all streams of a
 *           loop, so an idle stream holds no read buffer.
 * Lifetime  init sets every field and touches no libuv; connect or accept makes the handle;
 *           close always works once after init, its callback comes later, never inside.
 * Writing   hw_stream_write takes a copy only of what the socket does not take at once
 *           (uv_try_write first); the pieces of one call go out in one system call, those of
 *           several where `hw_stream_cork` is on.  With TLS the pieces of a call share records.
 *           n_queued says what has not left yet: backpressure is the caller's.
 * Reading   on_data gets plaintext that is borrowed for the call.  It may close the
 *           stream inside, or stop reading: what is left comes after read_start.
 * TLS       the steps of handshakes are the largest pieces of work on the loop (2 ms each),
 *           so they are queued and taken at the end of a turn, in order, for about
 *           HW_STREAM_HANDSHAKE_US a turn; hw_stream_handshakes says how many wait.
 * Errors    after connect, every trouble arrives once, through on_end: HW_OK in the
 *           cause's status means that the peer ended the stream properly.  No callback
 *           comes after on_end but the closed one.  A write that fails does not end the
 *           stream at once: what the peer had said before is read first.
 * TCP       TCP_NODELAY always.
 */
#ifndef HW_LOOP_STREAM_H
#define HW_LOOP_STREAM_H

#include "base/buf.h"
#include "loop/loop.h"
#include "tls/tls.h"

/* Ceiling of what a stream holds unsent: far over what any caller lets collect. */
#define HW_STREAM_OUT_MAX ((size_t)64 * 1024 * 1024)

/* Of one turn; a step that has begun is finished, so a turn can be one step longer. */
#define HW_STREAM_HANDSHAKE_US 4000

struct hw_stream;

struct hw_stream_events {
    /* Connected (TCP or unix); not called for accepted streams. */
    void (*on_connect)(struct hw_stream *s);
    /* TLS handshake done; hw_stream_tls() has the session. */
    void (*on_secure)(struct hw_stream *s);
    void (*on_data)(struct hw_stream *s, struct hw_slice data);
    /* The last event: ended by the peer (cause->status HW_OK) or failed. */
    void (*on_end)(struct hw_stream *s, const struct hw_cause *cause);
    /* Optional: everything written has left (n_queued is 0 again). */
    void (*on_drain)(struct hw_stream *s);
};

typedef void (*hw_stream_closed_cb)(struct hw_stream *s);

enum hw_stream_state {
    HW_STREAM_IDLE,       /* no handle yet */
    HW_STREAM_CONNECTING, /* no data yet */
    HW_STREAM_SECURING,   /* TLS handshake under way */
    HW_STREAM_OPEN,       /* data both ways */
    HW_STREAM_ENDED,      /* on_end was called or is about to be */
    HW_STREAM_CLOSING
};

struct hw_stream {
    struct hw_loop *loop;                  /* borrowed */
    const struct hw_stream_events *events; /* borrowed, static */
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } uv;
    uv_connect_t connect_req;
    uv_write_t write_req;        /* one in flight at a time; later bytes collect in out */
    struct hw_buf out;           /* plain: waiting for uncork or the write in flight */
    struct hw_buf sending;       /* lent to the write in flight */
    struct hw_tls *tls;          /* owned; NULL: plain */
    struct hw_cause end;         /* why it ended, kept until on_end */
    struct hw_wheel_entry later; /* what was found inside a call is told on the next turn */
    struct hw_list handshake;    /* in loop->handshakes: a step can be taken */
    struct hw_closing closing;
    hw_stream_closed_cb closed_cb;
    enum hw_stream_state state;
    bool has_handle;
    bool is_connected;  /* the handle has a peer */
    bool wants_reading; /* on_data may be called */
    bool is_reading;    /* libuv reads for us */
    bool is_corked;
    bool is_flush_due; /* uncorked while a write was in flight */
    bool is_write_busy;
    bool is_write_broken; /* the peer takes no more; bytes written are dropped */
    bool is_peer_done;    /* the transport has ended; plaintext may still be in tls */
};

void hw_stream_init(struct hw_stream *s, struct hw_loop *loop,
                    const struct hw_stream_events *events);

/* Begin to connect; a failure to begin also arrives through on_end. */
void hw_stream_connect_tcp(struct hw_stream *s, const struct sockaddr *address);
void hw_stream_connect_unix(struct hw_stream *s, const char *path);

/* Take a connection that `server` has for us (in its connection callback).  HW_OK: open and
 * reading.  Else: close it as usual. */
HW_MUST_USE enum hw_status hw_stream_accept(struct hw_stream *s, uv_stream_t *server,
                                            struct hw_cause *cause);

/* `tls` is taken.  On a connected or accepted stream that has written nothing yet. */
void hw_stream_start_tls(struct hw_stream *s, struct hw_tls *tls);
struct hw_tls *hw_stream_tls(struct hw_stream *s); /* lent; NULL: plain */

/* Streams of this loop whose handshake could go on if there were time. */
static inline size_t hw_stream_handshakes(const struct hw_loop *loop)
{
    return loop->n_handshakes;
}

/* Begin and pause delivering on_data.  A stream reads from the moment it is connected. */
void hw_stream_read_start(struct hw_stream *s);
void hw_stream_read_stop(struct hw_stream *s);

/* Send the pieces in order, on an open stream (one that has ended drops them).  HW_OK: sent
 * or queued.  HW_ENOMEM: nothing was queued.  A failure of the socket arrives through
 * on_end. */
HW_MUST_USE enum hw_status hw_stream_write(struct hw_stream *s, const struct hw_slice *pieces,
                                           size_t n_pieces);

/* While corked, writes collect; uncork sends them. */
void hw_stream_cork(struct hw_stream *s);
void hw_stream_uncork(struct hw_stream *s);

/* Bytes written but not yet taken by the kernel (with TLS: as ciphertext). */
size_t hw_stream_queued(const struct hw_stream *s);

/* On a connected TCP stream: after `idle_s` of silence ask whether the peer is still there, and
 * end the stream ten seconds later if not.  For streams that wait for ever. */
void hw_stream_keepalive(struct hw_stream *s, unsigned idle_s);

/* The peer's address once connected, and ours; false: none (unix socket). */
bool hw_stream_peer(const struct hw_stream *s, struct sockaddr_storage *out);
bool hw_stream_local(const struct hw_stream *s, struct sockaddr_storage *out);

/* Once.  Unsent bytes are dropped (a close_notify is tried); the callback comes later. */
void hw_stream_close(struct hw_stream *s, hw_stream_closed_cb cb);

#endif
