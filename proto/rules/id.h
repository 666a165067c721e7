/*
 * id - identifiers as text, and back.
 *
 * Alphabet: Crockford's base32 in lower case, so that text sorts as numbers do.
 * An event's id derives from its stream entry's (stable across crashes); a delivery's
 * id is the pair (webhook number, number within the webhook) and one check character;
 * a cursor is the ledger id and a check sum.
 */
#ifndef HW_RULES_ID_H
#define HW_RULES_ID_H

#include "base/slice.h"

#define HW_ID_MAX 72 /* the longest of these as text, and a producer's id; with the NUL */

/* A Redis stream id. */
struct hw_stream_id {
    uint64_t ms;
    uint64_t seq;
};

int hw_stream_id_cmp(struct hw_stream_id a, struct hw_stream_id b);
bool hw_stream_id_parse(struct hw_stream_id *out, struct hw_slice text); /* "ms-seq", both */
void hw_stream_id_text(struct hw_stream_id id, char out[48]);

/* "evt_" + sortable base32 of the entry's id. */
void hw_id_event(struct hw_stream_id entry, char out[HW_ID_MAX]);
bool hw_id_event_parse(struct hw_stream_id *entry, struct hw_slice text);

/* "dlv_" + 6 characters of w (below 2^30), 10 of n (below 2^50), 1 check. */
void hw_id_delivery(uint32_t w, uint64_t n, char out[HW_ID_MAX]);
bool hw_id_delivery_parse(uint32_t *w, uint64_t *n, struct hw_slice text);

/* prefix + 20 random base32 characters (100 bits): "wh_", "tok_", ... */
void hw_id_random(const char *prefix, char out[HW_ID_MAX]);

/* An opaque cursor [A-Za-z0-9_-]{1,128} over up to 64 bytes, with a check sum and a
 * one-character kind (a letter or digit), so that a cursor of another list is refused.
 * One payload has one text. */
#define HW_CURSOR_MAX 129 /* with the NUL */
void hw_cursor_write(char kind, struct hw_slice payload, char out[HW_CURSOR_MAX]);
bool hw_cursor_read(char kind, struct hw_slice text, unsigned char payload[64],
                    size_t *n_bytes);

#endif
