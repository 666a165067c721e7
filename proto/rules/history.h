/*
 * history - what is kept of a delivery, packed into one string: the state of one that
 * waits for its next attempt, and the record of one that is finished.
 *
 * A version byte, a fixed part, the texts, then the attempt log: one packed attempt
 * after another, so that an attempt is appended without unpacking those before it.
 * Integers are variable-length (7 bits a byte), times are kept as differences from
 * created_ms; one delivered at the first attempt takes about 100 bytes.
 *
 * Memory    unpacked slices borrow from the packed bytes.
 * Errors    packing fails only with the buffer.  Unpacking, false: not ours, cut off, or of
 *           a newer version.  Hostile bytes are safe: numbers stay in their range, texts
 *           inside the packed bytes.
 */
#ifndef HW_RULES_HISTORY_H
#define HW_RULES_HISTORY_H

#include "base/buf.h"
#include "base/time.h"
#include "rules/failure.h"
#include "rules/id.h"

#define HW_HISTORY_BODY_KEEP 4096 /* of a response's body */

enum hw_delivery_status {
    HW_STATUS_PENDING,
    HW_STATUS_DELIVERING,
    HW_STATUS_DELIVERED,
    HW_STATUS_FAILED, /* a retry is scheduled */
    HW_STATUS_DEAD_LETTER,
    HW_DELIVERY_STATUSES
};

/* "pending" ...; -1 for a text that is none. */
const char *hw_delivery_status_text(enum hw_delivery_status status);
int hw_delivery_status_parse(struct hw_slice text);

struct hw_history {
    uint64_t stamp_us;          /* order of creation, installation-wide */
    struct hw_stream_id cursor; /* of the event in its feed; 0-0: not in the feed (a test) */
    struct hw_slice event_id;
    struct hw_slice event_type;
    struct hw_slice subject; /* plain text; empty: none */
    enum hw_delivery_status status;
    unsigned attempts;      /* made so far, ever */
    unsigned schedule_from; /* attempts when the present schedule began (redelivery) */
    bool is_uncounted;      /* a redelivery: failures never count towards disabling */
    hw_unix_ms created_ms;
    hw_unix_ms updated_ms;
    hw_unix_ms last_attempt_ms; /* 0: none yet */
    hw_unix_ms next_attempt_ms; /* 0: none planned */
    int response_code;          /* 0: none */
    enum hw_failure failure;    /* of the newest attempt, or why it is dead */
    enum hw_phase phase;
    struct hw_slice message;
    struct hw_slice traceparent;
    struct hw_slice log; /* packed attempts */
};

struct hw_attempt {
    unsigned number;
    hw_unix_ms started_ms;
    uint32_t duration_ms;
    int32_t dns_ms, connect_ms, tls_ms, first_byte_ms; /* -1: did not happen */
    struct hw_slice address; /* "203.0.113.9:443" or "[2001:…]:443"; empty: none */
    bool reused;
    struct hw_slice tls_version;   /* empty: none */
    int response_code;             /* 0: none */
    struct hw_slice response_head; /* "name: value\n" each; empty: not kept */
    struct hw_slice response_body; /* first HW_HISTORY_BODY_KEEP; empty: none or not kept */
    enum hw_failure failure;
    enum hw_phase phase;
    struct hw_slice message;
};

HW_MUST_USE enum hw_status hw_history_pack(struct hw_buf *out, const struct hw_history *h);
HW_MUST_USE bool hw_history_unpack(struct hw_history *h, struct hw_slice packed);

/* Append one attempt to a log.  Of a longer response body the first part is kept. */
HW_MUST_USE enum hw_status hw_attempt_pack(struct hw_buf *log, const struct hw_attempt *a);

/* Take the next attempt off the front of *log; false: the end, or malformed (then *log is
 * not empty). */
HW_MUST_USE bool hw_attempt_next(struct hw_slice *log, struct hw_attempt *a);

#endif
