/*
 * reply - what Redis answered, as a tree of plain values; and the reader that makes it
 * (hiredis underneath, RESP2).
 *
 * Memory    a reply and everything in it is one arena, borrowed until the next
 *           hw_reply_reader_next.
 * Errors    HW_EPROTO, HW_ENOMEM: the connection is of no use afterwards.
 * Cost      no allocation per element once the arena has grown.
 */
#ifndef HW_REDIS_REPLY_H
#define HW_REDIS_REPLY_H

#include "base/buf.h"

enum hw_reply_kind { HW_REPLY_NIL, HW_REPLY_INTEGER, HW_REPLY_TEXT, HW_REPLY_STATUS,
                     HW_REPLY_ERROR, HW_REPLY_ARRAY };

struct hw_reply {
    enum hw_reply_kind kind;
    int64_t integer;              /* INTEGER */
    struct hw_slice text;         /* TEXT, STATUS, ERROR */
    const struct hw_reply *items; /* ARRAY */
    size_t n_items;
};

struct hw_reply_reader;

HW_MUST_USE enum hw_status hw_reply_reader_open(struct hw_reply_reader **out);
void hw_reply_reader_close(struct hw_reply_reader *r); /* NULL is fine */
HW_MUST_USE enum hw_status hw_reply_reader_feed(struct hw_reply_reader *r, struct hw_slice bytes);

/* The next complete reply; HW_OK with *out NULL: feed more first. */
HW_MUST_USE enum hw_status hw_reply_reader_next(struct hw_reply_reader *r, const struct hw_reply **out,
                                                struct hw_cause *cause);

/* Item i of an array, or a NIL one where there is none: replies can be read without a
 * check at every step. */
const struct hw_reply *hw_reply_item(const struct hw_reply *reply, size_t i);

/* An INTEGER, or TEXT that is one; `otherwise` for anything else. */
int64_t hw_reply_int(const struct hw_reply *reply, int64_t otherwise);

#endif
