/*
 * kept - one delivery as the archive hands it around: taken over from what a script says of it
 * (find.lua, page.lua), with the history that follows from where it was found.
 *
 * The status is what every instance can tell from Redis: what somebody owns is `delivering`,
 * but `pending` while its webhook is paused, because then nothing is begun (an attempt that
 * was under way at that moment shows so too, until it has ended).  A retry of a paused webhook is
 * `failed` until its time comes, and `pending` from then on.
 *
 * Memory    one block, and a buffer for a subject with its escapes undone.
 */
#ifndef HW_STORE_KEPT_H
#define HW_STORE_KEPT_H

#include "base/list.h"
#include "rules/history.h"

struct hw_kept {
    struct hw_list link; /* in its lane, or among the results */
    uint32_t w;
    uint64_t n;
    uint64_t stamp_us;
    struct hw_slice account;
    struct hw_slice response;
    struct hw_history history;
    struct hw_buf subject;
    char bytes[];
};

/* What a script says of one; borrowed, copied. */
struct hw_kept_where {
    struct hw_slice place; /* as find.lua and page.lua name it */
    struct hw_slice value;
    struct hw_slice head; /* its event's record, at least up to its data; empty: not known */
    struct hw_slice account;
    struct hw_slice response;
};

/* NULL: out of memory, or not to be understood. */
HW_MUST_USE struct hw_kept *hw_kept_new(uint32_t w, uint64_t n,
                                        const struct hw_kept_where *where, hw_unix_ms now);
void hw_kept_free(struct hw_kept *k); /* NULL is fine */

/* Of one that was not attempted yet its event's record tells; borrowed. */
void hw_kept_read_record(struct hw_kept *k, struct hw_slice bytes);

#endif
