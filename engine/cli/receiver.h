/*
 * receiver - a small HTTP server for development and measuring: each complete request is
 * handed to one callback, which says what to answer.
 *
 *   accept -> [TLS] -> request -> callback -> [delay] -> answer -> next request
 *
 * Requests of one connection are answered one after another, in order; while an answer is
 * delayed nothing more is read from that connection.  One that is never answered is still
 * read, so that its end is noticed; what comes on it is dropped.
 *
 * Memory    connections are owned here; the struct is the caller's and must stay put.
 * Lifetime  open; close once, its callback comes later.
 * Errors    open: HW_ESYSTEM (port in use, no such address), with one sentence.  A peer that
 *           breaks HTTP gets 400, 413 or 431 and is closed; 413 as soon as the body is known
 *           to be too large, which may be before it comes.
 */
#ifndef HW_CLI_RECEIVER_H
#define HW_CLI_RECEIVER_H

#include "http/inbound.h"
#include "loop/stream.h"

#define HW_RECEIVER_NEVER UINT64_MAX

struct hw_receiver;

struct hw_receiver_answer {
    int status;
    uint64_t delay_ms;    /* HW_RECEIVER_NEVER: the client may wait */
    struct hw_slice json; /* body, with no delay only; borrowed until the next request */
    void *ticket;         /* not NULL: handed to done_cb when this request is over */
};

/* The request is borrowed for the call. */
typedef struct hw_receiver_answer (*hw_receiver_cb)(void *data, const struct hw_inbound *request);
typedef void (*hw_receiver_closed_cb)(void *data);

struct hw_receiver {
    struct hw_loop *loop;         /* borrowed */
    struct hw_identity *identity; /* borrowed; NULL: plain HTTP */
    uv_tcp_t servers[2];          /* IPv4 and IPv6 */
    size_t n_servers;
    unsigned port;                /* really bound */
    struct hw_list conns;
    size_t n_conns;
    struct hw_buf out;            /* an answer being written */
    struct hw_wheel_entry grace;  /* while closing: how long unsent answers may take */
    struct hw_closing closing;
    bool is_closing;
    hw_receiver_cb cb;
    hw_receiver_closed_cb closed_cb;
    void *data; /* borrowed; handed to every callback */

    /* Optional, to be set after open. */
    void (*secure_cb)(void *data, bool is_resumed); /* a TLS handshake has succeeded */
    void (*done_cb)(void *data, void *ticket);      /* answered, or its connection is gone */
};

/* `host` NULL: 127.0.0.1 and, where the system has it, ::1 with the same port.  Port 0: any
 * free one.  On failure what was opened is closed by and by; `closed_cb` of a hw_receiver_close
 * that must follow tells when. */
HW_MUST_USE enum hw_status hw_receiver_open(struct hw_receiver *r, struct hw_loop *loop,
                                            struct hw_identity *identity, const char *host,
                                            unsigned port, hw_receiver_cb cb, void *data,
                                            struct hw_cause *cause);

/* No more connections; those with an answer not yet sent have a second to take it. */
void hw_receiver_close(struct hw_receiver *r, hw_receiver_closed_cb cb);

#endif
