/*
 * inbound - HTTP/1.1 requests as a server reads them (llhttp underneath), one after
 * another on a connection.
 *
 * Feed it what arrives; it stops behind each complete request, so that pipelined ones
 * are answered one at a time.  Limits while reading: head 16 KiB and 100 fields, the
 * trailers of a chunked body counted in (HW_ETOOBIG, answer 431), body `body_max` as the
 * caller sets it once the head is known (HW_ETOOBIG with too_large_body, answer 413,
 * before the end of the body, before its first byte where content-length says so).
 *
 * Refused   anything but HTTP/1.0 and 1.1, CONNECT, a switch of protocols, transfer
 *           codings but chunked, 1.1 without exactly one Host, a target that is not a
 *           path (or "*", or an absolute URL, of which the path is kept).
 * Memory    head and body in buffers owned by the parser.
 * Lifetime  init; feed; when is_complete: look, answer, then hw_inbound_next; close.
 * Errors    HW_EPROTO: answer 400 and close.  After any error the stream is unclear: the
 *           same status again for every later call, until hw_inbound_next.
 */
#ifndef HW_HTTP_INBOUND_H
#define HW_HTTP_INBOUND_H

#include <llhttp.h>

#include "base/buf.h"
#include "http/head.h"

#define HW_INBOUND_HEAD_MAX   (16 * 1024)
#define HW_INBOUND_FIELDS_MAX 100

struct hw_inbound {
    llhttp_t parser;
    struct hw_head lines;    /* private: the head being collected */
    struct hw_buf target;    /* as sent: path and query */
    struct hw_buf head;      /* fields as "name: value\n", names in lower case */
    struct hw_buf body;      /* decoded */
    size_t body_max;         /* set it when has_head; starts as given to init */
    uint64_t content_length; /* announced, when has_head; 0 for a chunked body or none */
    size_t head_bytes;
    uint64_t framing_bytes; /* private: of the body's chunk lines and trailers */
    const char *mark;       /* private: first byte not yet counted as framing, during feed */
    unsigned n_fields;
    const char *method; /* "GET" ..., when has_head */
    bool has_head;      /* method, target, fields are known; the body may still come */
    bool is_complete;
    bool keep_alive;        /* the client wants the connection kept */
    bool expects_continue;  /* Expect: 100-continue and the body has not begun */
    bool too_large_body;    /* why HW_ETOOBIG */
    size_t body_max_first;  /* private: as given to init */
    enum hw_status failed;  /* private: what broke it, or HW_OK */
    struct hw_cause *cause; /* private: during feed */
};

void hw_inbound_init(struct hw_inbound *in, size_t body_max);
void hw_inbound_next(struct hw_inbound *in); /* forget this request, ready for the next */
void hw_inbound_close(struct hw_inbound *in);

/* Feed bytes; *n_used says how many were taken.  Returns early (HW_OK with *n_used less
 * than the slice) twice a request: when the head is complete (so that body_max can be
 * set; feed the rest again), and when the request is complete.  A request without a body
 * is complete with its head.  Feeding nothing behind the head is allowed: it says at once
 * whether the announced body is too large (before a client that expects_continue is
 * asked for it). */
HW_MUST_USE enum hw_status hw_inbound_feed(struct hw_inbound *in, struct hw_slice bytes,
                                           size_t *n_used, struct hw_cause *cause);

/* Value of the first field of that lower-case name, borrowed; false: not there. */
bool hw_inbound_field(const struct hw_inbound *in, const char *name, struct hw_slice *value);

#endif
