/*
 * head - the lines of an HTTP message's head: collected until the empty one, then kept
 * as text.
 *
 * What response and inbound share.  The releases of llhttp differ in what they forgive
 * (a bare LF, a folded line), so the head is held to RFC 9112 here, before llhttp sees
 * it: every line ends in CR LF, no CR or LF stands alone, none is folded.  llhttp then
 * gets the head in one piece, and where it ends is known to the byte.
 *
 * Memory    a head that arrives whole is read where it lies; one that arrives in pieces
 *           is gathered in `raw`, owned.
 * Lifetime  init; start before each head; close.
 * Errors    HW_EPROTO for a broken line, HW_ETOOBIG past `max`, HW_ENOMEM.
 */
#ifndef HW_HTTP_HEAD_H
#define HW_HTTP_HEAD_H

#include "base/buf.h"

struct hw_head {
    struct hw_buf raw; /* the pieces so far */
    size_t max;        /* of one head, bytes */
    size_t line;       /* offset of the line being collected */
    size_t start_line; /* offset of the start line, when has_start_line */
    size_t value_at;   /* offset in the kept text of the value being kept */
    bool has_start_line;
    bool may_lead; /* empty lines before the start line are passed over */
    bool in_value; /* which half of a field is being kept */
};

void hw_head_init(struct hw_head *h, size_t max, bool may_lead);
void hw_head_start(struct hw_head *h, size_t max);
void hw_head_close(struct hw_head *h);

/* Take bytes of `in`, *n_used of them.  *whole is the whole head, the empty line
 * included, once it is there (borrowed until start), and empty before. */
HW_MUST_USE enum hw_status hw_head_collect(struct hw_head *h, struct hw_slice in,
                                           size_t *n_used, struct hw_slice *whole,
                                           struct hw_cause *cause);

/* The start line of a whole head, without its CR LF. */
struct hw_slice hw_head_start_line(const struct hw_head *h, struct hw_slice whole);

/* Keep a field as "name: value\n", the name in lower case, as llhttp hands out its halves,
 * in any number of pieces; end finishes the last one.  A field counts as begun when its
 * value is (in_value turns true).  HW_EPROTO for a byte that has no place there. */
HW_MUST_USE enum hw_status hw_head_name(struct hw_head *h, struct hw_buf *kept,
                                        struct hw_slice piece);
HW_MUST_USE enum hw_status hw_head_value(struct hw_head *h, struct hw_buf *kept,
                                         struct hw_slice piece);
HW_MUST_USE enum hw_status hw_head_end(struct hw_head *h, struct hw_buf *kept);

/* How often that lower-case name is in the kept text; *first (may be NULL) is the value of
 * its first field, borrowed, untouched when there is none. */
unsigned hw_head_find(struct hw_slice kept, const char *name, struct hw_slice *first);

/* A letter of a field's name (RFC 9110 5.6.2, tchar)? */
bool hw_head_is_token(char c);

#endif
