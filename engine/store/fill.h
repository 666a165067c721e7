/*
 * fill - backfills: events that an account's feed still has are queued to one of its webhooks.
 *
 * A backfill is a job in Redis: a range of the feed, and how far it is done.  Beginning one
 * settles where it ends, in the same step as the change that it goes with (registry.h), or by
 * itself here.  It is then done piece by piece: whoever does it reads the feed (feed.h), decides
 * what the webhook wants, and queues that.  A piece counts only where the job is as it was known,
 * so two who are at the same job do no harm, and one that nobody is at can be gone on with.
 *
 * What is queued waits behind what is live (take.h), each with its record in a key of its own:
 * it does not matter any more what becomes of the feed.
 *
 * Memory    a request is the caller's until its callback; what that gets is borrowed for it.
 * Errors    UNAVAILABLE: Redis away, refusing, or this instance fenced: unknown whether it was
 *           done; the job says.
 * Cost      a script a piece, which reads its records and writes them again.
 */
#ifndef HW_STORE_FILL_H
#define HW_STORE_FILL_H

#include "rules/id.h"
#include "store/feed.h"

enum {
    HW_FILL_PIECE = 128,               /* events */
    HW_FILL_PIECE_BYTES = 1024 * 1024, /* of their records */
    HW_FILL_TEXT_MAX = 200
};

struct hw_fill_job {
    uint32_t w;
    uint64_t number; /* 0: there is nothing to do */
    char account[65];
    struct hw_stream_id from, until; /* behind the one, up to and with the other */
    uint64_t count;                  /* queued so far */
};

enum hw_fill_result {
    HW_FILL_DONE,
    HW_FILL_EXPIRED,
    HW_FILL_NOT_FOUND, /* begin: no such webhook; queue: it is deleted, and the job with it */
    HW_FILL_DISABLED,  /* begin: the webhook is */
    HW_FILL_FULL,      /* begin: as much waits already as may */
    HW_FILL_MOVED,     /* queue: the job is further (see job), or no more (its number is 0) */
    HW_FILL_UNAVAILABLE
};

struct hw_fill;
typedef void (*hw_fill_cb)(struct hw_fill *f, enum hw_fill_result result);

struct hw_fill {
    struct hw_redis_req req; /* private */
    struct hw_command command;
    hw_fill_cb cb;
    struct hw_fill_job job;     /* out: as it is now */
    struct hw_stream_id oldest; /* out, EXPIRED: the place from which nothing is missing */
    bool is_done;               /* out, queue: nothing is left to do */
    uint64_t n_waiting;         /* out, queue: behind what is live, of this webhook */
};

void hw_fill_init(struct hw_fill *f);  /* once */
void hw_fill_close(struct hw_fill *f); /* not while under way */

/* HW_OK: cb runs once, later; anything else: it will not. */

struct hw_fill_range {
    uint32_t w;
    struct hw_slice account;
    struct hw_feed_from from;
    bool has_until; /* else: all there is now */
    struct hw_stream_id until;
    uint64_t most_waiting; /* FULL where so many wait already */
};
HW_MUST_USE enum hw_status hw_fill_begin(struct hw_store *store, struct hw_fill *f,
                                         const struct hw_fill_range *range, hw_fill_cb cb);

/* The job's next piece: of the events up to and with `reached`, these.  No ids: none of them.
 * At most HW_FILL_PIECE. */
HW_MUST_USE enum hw_status hw_fill_queue(struct hw_store *store, struct hw_fill *f,
                                         const struct hw_fill_job *job,
                                         struct hw_stream_id reached,
                                         const struct hw_stream_id *ids, size_t n_ids,
                                         hw_fill_cb cb);

/* Every job there is. */
struct hw_fill_look;
/* FINE, or why it is not known. */
typedef void (*hw_fill_look_cb)(struct hw_fill_look *l, enum hw_redis_trouble trouble,
                                const struct hw_fill_job *jobs, size_t n_jobs);
struct hw_fill_look {
    struct hw_redis_req req; /* private */
    struct hw_command command;
    hw_fill_look_cb cb;
};
void hw_fill_look_init(struct hw_fill_look *l);  /* once */
void hw_fill_look_close(struct hw_fill_look *l); /* not while under way */
HW_MUST_USE enum hw_status hw_fill_look(struct hw_store *store, struct hw_fill_look *l,
                                        hw_fill_look_cb cb);

/* A backfill that goes with a change of the webhook (registry.h). */
enum hw_fill_kind {
    HW_FILL_NONE,
    HW_FILL_FROM,         /* from `place` on */
    HW_FILL_FROM_DISABLED /* from where it was disabled on */
};
struct hw_fill_from {
    enum hw_fill_kind kind;
    struct hw_feed_from place;
};

/* As the scripts behind filling.lua take it: "", "start", "disabled", or an entry's id. */
void hw_fill_add_from(struct hw_command *c, struct hw_fill_from from);

/* Of a script's reply: number, from and until of a job that it began, from its item `at` on. */
HW_MUST_USE bool hw_fill_read_begun(struct hw_fill_job *job, const struct hw_reply *reply,
                                    size_t at, uint32_t w, struct hw_slice account);

#endif
