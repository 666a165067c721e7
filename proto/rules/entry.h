/*
 * entry - one entry of the ingress stream, checked.
 *
 * Rules in the order they are looked at: duplicate_field, missing_field, bad_type,
 * bad_account, bad_id, bad_subject, bad_level, bad_timestamp, too_large, then bad_json or
 * too_deep, whichever the payload comes to first.  A malformed traceparent is dropped.
 * Unknown fields are ignored.
 *
 * Memory    allocates nothing.  Slices are borrowed from the input; a derived id is in the
 *           struct itself, so *e must not be copied (e->id points into it).
 * Cost      one pass over the payload (no tree is built).
 */
#ifndef HW_RULES_ENTRY_H
#define HW_RULES_ENTRY_H

#include "base/buf.h"
#include "base/time.h"
#include "rules/id.h"

#define HW_ENTRY_REASON_MAP(X)                                                                \
    X(MISSING_FIELD, "missing_field")                                                         \
    X(BAD_TYPE, "bad_type")                                                                   \
    X(BAD_ACCOUNT, "bad_account")                                                             \
    X(BAD_ID, "bad_id")                                                                       \
    X(BAD_SUBJECT, "bad_subject")                                                             \
    X(BAD_LEVEL, "bad_level")                                                                 \
    X(BAD_TIMESTAMP, "bad_timestamp")                                                         \
    X(BAD_JSON, "bad_json")                                                                   \
    X(TOO_LARGE, "too_large")                                                                 \
    X(TOO_DEEP, "too_deep")                                                                   \
    X(DUPLICATE_FIELD, "duplicate_field")                                                     \
    X(POISON, "poison")

enum hw_entry_reason {
    HW_ENTRY_GOOD,
#define X(name, text) HW_ENTRY_##name,
    HW_ENTRY_REASON_MAP(X)
#undef X
        HW_ENTRY_REASONS
};

/* "bad_type" ...; "" for HW_ENTRY_GOOD. */
const char *hw_entry_reason_text(enum hw_entry_reason reason);

struct hw_entry_field {
    struct hw_slice name;
    struct hw_slice value;
};

enum hw_level { HW_LEVEL_USER, HW_LEVEL_PROGRESS };

struct hw_entry {
    struct hw_stream_id entry;
    struct hw_slice type;
    struct hw_slice account; /* "default" where none was named */
    struct hw_slice subject; /* empty: none */
    struct hw_slice id;      /* the producer's, or the derived one (in id_text) */
    bool has_producer_id;
    enum hw_level level;
    struct hw_slice timestamp;   /* as given; empty: the entry's time */
    hw_unix_ms timestamp_ms;     /* the same in UTC, cut to milliseconds */
    struct hw_slice traceparent; /* empty: none */
    struct hw_slice payload;
    char id_text[HW_ID_MAX];
};

struct hw_entry_limits {
    size_t max_payload_bytes;
    bool engines_own; /* allow webhook.* types: our own entries */
};

/* Check and fill *e.  On a bad one e->type etc. may be partly filled. */
enum hw_entry_reason hw_entry_check(struct hw_entry *e, struct hw_stream_id id,
                                    const struct hw_entry_field *fields, size_t n_fields,
                                    const struct hw_entry_limits *limits);

/* The grammar alone: webhook.* is a good type here. */
bool hw_entry_type_is_valid(struct hw_slice type);
bool hw_entry_account_is_valid(struct hw_slice account);
bool hw_entry_id_is_valid(struct hw_slice id); /* a producer's own; ours fit too */

/* Spaces are printable, at the ends too.  As a header's value such a subject arrives
 * without those at its ends (RFC 9110 5.5); the body has it whole. */
bool hw_entry_subject_is_valid(struct hw_slice subject);

/* W3C Trace Context; of a later version than 00 what is known of it, and nothing that a
 * header could not carry. */
bool hw_entry_traceparent_is_valid(struct hw_slice traceparent);

/* RFC 3339 in any offset to UTC milliseconds; and back "2026-03-09T12:00:00.000Z".
 * Fractions are cut, a leap second is the second after it, -00:00 is UTC.  Both keep to
 * the years 0000 to 9999 (in UTC): parse refuses others, text takes the nearest. */
bool hw_timestamp_parse(hw_unix_ms *out, struct hw_slice text);
#define HW_TIMESTAMP_MAX 32
void hw_timestamp_text(hw_unix_ms at, char out[HW_TIMESTAMP_MAX]);

#endif
