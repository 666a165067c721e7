/*
 * response - an HTTP/1.x response as a client reads it (llhttp underneath).
 *
 * Feed it what arrives; it says when the head is complete and when the message
 * is.  Interim responses (1xx, at most 8) are skipped; 101 is an error.  HTTP/1.0
 * and 1.1 only; heads at most 16 KiB and 100 fields, the interim ones and the trailers
 * of a chunked body counted in; nothing is decoded but chunked framing.
 *
 * Memory    the head's fields and the first body_keep bytes of the body, in buffers
 *           owned by the parser; freed by close.
 * Lifetime  init once; start before each message; close.
 * Errors    HW_EPROTO, HW_ETOOBIG or HW_ENOMEM with one sentence in the cause; the same
 *           status again for every later call, until start.
 */
#ifndef HW_HTTP_RESPONSE_H
#define HW_HTTP_RESPONSE_H

#include <llhttp.h>

#include "base/buf.h"
#include "http/head.h"

#define HW_RESPONSE_HEAD_MAX    (16 * 1024)
#define HW_RESPONSE_FIELDS_MAX  100
#define HW_RESPONSE_INTERIM_MAX 8

struct hw_response {
    llhttp_t parser;
    struct hw_head lines; /* private: the head being collected */
    struct hw_buf head;   /* kept fields as "name: value\n", names in lower case */
    struct hw_buf body;   /* first body_keep bytes */
    size_t body_keep;
    uint64_t body_bytes;    /* of the body so far, kept or not */
    size_t head_bytes;      /* of all heads of this message so far */
    uint64_t framing_bytes; /* private: of the body's chunk lines and trailers */
    const char *mark;       /* private: first byte not yet counted as framing, during feed */
    unsigned n_fields;
    unsigned n_interim;
    int status;             /* 0 until the head is complete */
    bool has_head;          /* the final head is complete */
    bool is_complete;       /* the whole message was read */
    bool may_reuse;         /* cleanly framed and the server keeps the connection open */
    bool has_begun;         /* at least one byte was fed */
    bool keeps_open;        /* private: may_reuse, once the message is complete */
    bool until_eof;         /* private: the end of the connection ends the body */
    enum hw_status failed;  /* private: what broke it, or HW_OK */
    struct hw_cause *cause; /* private: during feed */
};

void hw_response_init(struct hw_response *r, size_t body_keep);
void hw_response_start(struct hw_response *r); /* ready for the next message */
void hw_response_close(struct hw_response *r);

/* Feed bytes.  *n_used says how many belong to this message: fewer than the slice has
 * only when it is complete (what is over makes the connection unfit for reuse, and
 * may_reuse false). */
HW_MUST_USE enum hw_status hw_response_feed(struct hw_response *r, struct hw_slice in,
                                            size_t *n_used, struct hw_cause *cause);

/* The server has closed: completes a message framed by the end of the connection,
 * HW_EPROTO for one cut off. */
HW_MUST_USE enum hw_status hw_response_end(struct hw_response *r, struct hw_cause *cause);

/* Value of the first field of that lower-case name, borrowed; false: not there. */
bool hw_response_field(const struct hw_response *r, const char *name, struct hw_slice *value);

#endif
