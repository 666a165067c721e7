/*
 * pager - one reader's way along a feed: page after page through its filter, until it has what
 * it asked for, the feed ends, or enough was looked at for once.
 *
 * It looks for one more than is asked for, so that it knows whether there is more that is wanted.
 * Where what it has found is large, or hardly anything passes the filter, it answers with what
 * there is, and "more" means: go on.
 *
 * Memory    what was found is borrowed from the last page; of what earlier pages had, copies are
 *           kept, 1 MiB at most.  With a page of 2 MiB an answer is bounded by about 3 MiB and
 *           one record.
 * Lifetime  start once, close inside cb or after it.
 * Errors    as cb's result says.
 */
#ifndef HW_FLOW_PAGER_H
#define HW_FLOW_PAGER_H

#include "api/backend.h"
#include "store/feed.h"

enum {
    HW_UPDATES_MAX = 200,                   /* events an answer */
    HW_UPDATES_PAGE_BYTES = 2 * 1024 * 1024 /* of one read, and one record more */
};

struct hw_pager;
typedef void (*hw_pager_cb)(struct hw_pager *p, enum hw_backend_result result);

struct hw_pager {
    struct hw_store *store;         /* borrowed, both */
    struct hw_backend_updates *ask; /* its out fields are set when cb is called */
    hw_pager_cb cb;
    struct hw_feed_read read;
    struct hw_feed_from from; /* of the next page; without is_start: looked at up to here */
    size_t page_limit;        /* of the next page */
    size_t n_looked;
    size_t n_found;
    size_t found_bytes;
    struct hw_buf kept; /* records of the first n_kept found, one after another */
    size_t n_kept;
    bool is_at_end; /* for cb: behind what was looked at there was nothing */
    struct hw_backend_update_event found[HW_UPDATES_MAX];
};

/* HW_OK: cb runs once, later; anything else: it will not, and there is nothing to close. */
HW_MUST_USE enum hw_status hw_pager_start(struct hw_pager *p, struct hw_store *store,
                                          struct hw_backend_updates *ask, hw_pager_cb cb);
void hw_pager_close(struct hw_pager *p);

#endif
