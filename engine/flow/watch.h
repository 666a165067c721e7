/*
 * watch - those who wait at the end of one account's feed, served together.
 *
 *   joined or touched -> due -> one read for all -> each gets what is behind its own place
 *                                                -> who got nothing waits for the next
 *
 * No event can slip through: who joins makes the watch due.  An event that was accepted while
 * nobody watched was accepted before this, and is found by the read that follows; one accepted
 * later touches the watch.  A read that was under way already proves nothing to whoever comes
 * meanwhile: he is not served from it, and another one follows it.
 *
 * Memory    one block of about 400 bytes; hub->accounts holds it.
 * Errors    UNAVAILABLE, EXPIRED, FAILED go to those who wait.
 * Cost      join and want are O(1); a read costs each waiter a call of its filter an event.
 */
#ifndef HW_FLOW_WATCH_H
#define HW_FLOW_WATCH_H

#include "base/map.h"
#include "flow/pager.h"
#include "flow/feed_end.h"
#include "flow/waiter.h"

enum hw_watch_state {
    HW_WATCH_RESTING, /* list: hub->resting */
    HW_WATCH_DUE,     /* list: hub->due */
    HW_WATCH_READING  /* list: none */
};

struct hw_watch {
    struct hw_map_entry entry; /* in hub->accounts, by name */
    struct hw_list link;
    struct hw_hub *hub; /* borrowed */
    enum hw_watch_state state;
    bool is_dirty; /* reading: to be read again */
    hw_mono_ms rested_at;
    struct hw_list coming;  /* waiters that joined since the read began */
    struct hw_list looking; /* those whose first one it is */
    struct hw_list waiting; /* those that have seen everything up to tail.end */
    struct hw_feed_end tail;
    struct hw_feed_read read;
    struct hw_stream_id from; /* reading: where it began */
    char name[];
};

/* What it needs to serve a page, one for all watches: it serves one at a time. */
struct hw_watch_desk {
    struct hw_watch_look *looks; /* owned: the page's events, taken apart */
    size_t cap_looks;
    struct hw_backend_update_event found[HW_UPDATES_MAX]; /* by the one who is served */
};
void hw_watch_desk_close(struct hw_watch_desk *d);

/* NULL: out of memory. */
HW_MUST_USE struct hw_watch *hw_watch_new(struct hw_hub *h, struct hw_slice account);
void hw_watch_free(struct hw_watch *watch); /* nobody waits, and no read is under way */

bool hw_watch_has_waiters(const struct hw_watch *watch);
void hw_watch_join(struct hw_watch *watch, struct hw_waiter *w);

/* To be read, by a read that begins from now on. */
void hw_watch_want(struct hw_watch *watch);

/* Due: begin. */
void hw_watch_read(struct hw_watch *watch);

/* All who wait have that for an answer; places known so far are forgotten. */
void hw_watch_tell(struct hw_watch *watch, enum hw_backend_result result);

#endif
