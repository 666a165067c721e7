/*
 * archive - reading deliveries back, for the API.
 *
 * A delivery is in exactly one place: hist (delivered at once), late (needed more, or died),
 * open (failed, waits), an instance's own, wait or fill.  What it says of itself is given as
 * struct hw_history whichever it is.  A list is in order of creation (stamp, then w, then
 * n), newest first.
 *
 * Memory    requests are the caller's until their callback; what the callback gets is borrowed
 *           for it.
 * Cost      a page is a few scripts that read at most about 4 MiB each; a filter that
 *           hardly anything passes ends after HW_ARCHIVE_EXAMINE_MAX deliveries with has_more
 *           set and a cursor to go on from.
 */
#ifndef HW_STORE_ARCHIVE_H
#define HW_STORE_ARCHIVE_H

#include "rules/history.h"
#include "store/registry.h"

#define HW_ARCHIVE_LIMIT_MAX   200
#define HW_ARCHIVE_EXAMINE_MAX 20000

struct hw_archive_item {
    uint32_t w;
    uint64_t n;
    struct hw_slice account;
    struct hw_history history; /* status is what the API shows */
};

struct hw_archive_one {
    struct hw_archive_item item;
    struct hw_slice record;   /* the event record; empty: no longer kept */
    struct hw_slice response; /* as settle was given it; empty: not kept */
};

struct hw_archive_get;
/* one NULL with trouble FINE: there is no such delivery. */
typedef void (*hw_archive_get_cb)(struct hw_archive_get *g, enum hw_redis_trouble trouble,
                                  const struct hw_archive_one *one);
struct hw_archive_get {
    struct hw_store *store;
    struct hw_redis_req req;
    struct hw_command command;
    hw_archive_get_cb cb;
    struct hw_kept *kept; /* owned while under way */
    uint32_t w;
    uint64_t n;
    bool is_second_look;
};
void hw_archive_get_init(struct hw_archive_get *g);
void hw_archive_get_close(struct hw_archive_get *g);
HW_MUST_USE enum hw_status hw_archive_find(struct hw_store *store, struct hw_archive_get *g,
                                           uint32_t w, uint64_t n, hw_archive_get_cb cb);

/* Where in the order a page begins or ends. */
struct hw_archive_place {
    uint64_t stamp_us;
    uint32_t w;
    uint64_t n;
};

struct hw_archive_query {
    const uint32_t *webhooks; /* borrowed for the call: one, or all of an account */
    size_t n_webhooks;
    int status;               /* enum hw_delivery_status, -1: any */
    struct hw_slice event_id; /* copied; empty: any */
    struct hw_slice subject;  /* copied; empty: any */
    hw_unix_ms since_ms;      /* created at or after; 0: any */
    hw_unix_ms until_ms;      /* created before; 0: any */
    bool has_place;
    struct hw_archive_place place; /* strictly older than this; with is_backward: newer */
    bool is_backward;              /* the page just before `place`; items still newest first */
    unsigned limit;
};

struct hw_archive_page {
    const struct hw_archive_item *items; /* newest first */
    size_t n_items;
    bool has_more;                 /* further in the direction asked for */
    struct hw_archive_place first; /* where to go back from, and on from: as place of the */
    struct hw_archive_place last;  /*   next query; meaningful where has_first_last */
    bool has_first_last;           /* false: nothing examined */
};

struct hw_archive_list;
typedef void (*hw_archive_list_cb)(void *data, enum hw_redis_trouble trouble,
                                   const struct hw_archive_page *page);
/* HW_OK: cb runs once, later; the list frees itself after it. */
HW_MUST_USE enum hw_status hw_archive_list(struct hw_store *store,
                                           const struct hw_archive_query *query,
                                           hw_archive_list_cb cb, void *data);

#endif
