/*
 * feed_end - the end of a feed as it was last seen, and what is close to it: places that may be read
 * from together with those at the end, as little lies between.
 *
 * Cost      O(1) an event.
 */
#ifndef HW_FLOW_FEED_END_H
#define HW_FLOW_FEED_END_H

#include "store/feed.h"

/* So far is close, and up to twice that. */
enum { HW_FEED_END_EVENTS = 100, HW_FEED_END_BYTES = 256 * 1024 };

struct hw_feed_end {
    bool is_known;
    struct hw_stream_id near;   /* from here on it is close; it follows in leaps, */
    struct hw_stream_id middle; /*   by way of this */
    struct hw_stream_id end;
    size_t n_events, n_bytes; /* between middle and end */
};

/* Between near and end, both included? */
bool hw_feed_end_has(const struct hw_feed_end *t, struct hw_stream_id place);

/* The page has everything from there to the end. */
void hw_feed_end_move(struct hw_feed_end *t, struct hw_stream_id from,
                  const struct hw_feed_page *page);

#endif
