/*
 * paging - limit and cursor in, a page out; and the few values that every object shows
 * the same way.
 *
 * A list is newest first.  A cursor is a direction and the place of one item: the items
 * next to it on its older or its newer side, itself not included.  next_cursor leads to
 * older ones, prev_cursor to newer ones, each null where there is nothing (as far as is
 * known: the first page of a list has no prev_cursor).  has_more: more in the direction
 * that was asked for.
 */
#ifndef HW_API_PAGING_H
#define HW_API_PAGING_H

#include "api/problem.h"
#include "api/target.h"
#include "base/time.h"
#include "rules/id.h"

/* A place of a feed that is in none. */
#define HW_FEED_NOWHERE ((struct hw_stream_id){ UINT64_MAX, UINT64_MAX })

enum { HW_PAGE_PLACE_MAX = 32, HW_PAGE_LIMIT = 50, HW_PAGE_LIMIT_MAX = 200 };

/* The kinds of cursors: one of another list is refused. */
#define HW_CURSOR_FEED 'f'
#define HW_CURSOR_WEBHOOKS 'w'
#define HW_CURSOR_DELIVERIES 'd'
#define HW_CURSOR_TOKENS 't'

struct hw_page {
    char kind;
    size_t limit;
    bool has_place;
    bool is_newer;                          /* only with a place */
    unsigned char place[HW_PAGE_PLACE_MAX]; /* as it was written */
    size_t place_bytes;                     /* of every place of this list */
};

/* The parameter limit, or what it is without one.  false: *p names it. */
HW_MUST_USE bool hw_page_read_limit(const struct hw_target *target, size_t *limit,
                                    struct hw_problem *p);

/* false: *p names the parameter. */
HW_MUST_USE bool hw_page_read(struct hw_page *page, const struct hw_target *target, char kind,
                              size_t place_bytes, struct hw_problem *p);

/* {"data":…,"has_more":…,"next_cursor":…,"prev_cursor":…}.  `data` is taken.  `oldest` and
 * `newest` are the places to go on from, NULL where the page is empty. */
json_t *hw_page_json(const struct hw_page *page, json_t *data, bool has_more,
                     const unsigned char *oldest, const unsigned char *newest);

/* Big-endian numbers in a place; each returns the next position. */
unsigned char *hw_place_put(unsigned char *at, uint64_t number, size_t n_bytes);
uint64_t hw_place_get(const unsigned char *at, size_t n_bytes);

/* A cursor of a feed: the place behind an event, in one life of Redis (epoch).  read, false: not
 * one of ours; one of another epoch is HW_FEED_NOWHERE. */
void hw_feed_cursor_write(uint32_t epoch, struct hw_stream_id id, char out[HW_CURSOR_MAX]);
HW_MUST_USE bool hw_feed_cursor_read(uint32_t epoch, struct hw_slice text,
                                     struct hw_stream_id *id);

/* The text, or null where it is NULL or empty; "…Z" or null for 0; a feed cursor, or null
 * for 0-0; the number, or null for 0. */
json_t *hw_json_text(const char *text);
json_t *hw_json_time(hw_unix_ms at);
json_t *hw_json_cursor(uint32_t epoch, struct hw_stream_id id);
json_t *hw_json_number(uint64_t number);

#endif
