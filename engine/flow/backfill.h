/*
 * backfill - does the jobs of backfills (store/fill.h): reads the feed, decides what the webhook
 * wants of it as it is configured now, and has that queued.
 *
 * One piece is under way at a time, the jobs take turns.  A job that whoever began it is not at
 * any more (a crash, a lost connection) is gone on with by the instance of rank 0, which looks at
 * all of them every two seconds and takes those that have not moved since; where it is alone, any.
 *
 * A webhook that is disabled meanwhile has the rest queued all the same: these become visible
 * dead letters, which can be recovered.
 *
 * Memory    embedded; a block for each job that is done here, and a copy of the list of all.
 * Lifetime  init; start and stop as this instance may work or not; close when the work connection
 *           is closed.
 * Errors    a piece that cannot be done now ends the job here, not in Redis: the look finds it.
 */
#ifndef HW_FLOW_BACKFILL_H
#define HW_FLOW_BACKFILL_H

#include "core/courier.h"
#include "store/fill.h"
#include "store/members.h"

/* DONE: count were queued.  NOT_FOUND: the webhook is deleted.  UNAVAILABLE: it is not known how
 * far it came. */
typedef void (*hw_backfill_cb)(void *data, enum hw_fill_result result, uint64_t count);

struct hw_backfill {
    struct hw_loop *loop; /* borrowed, all of these */
    struct hw_store *store;
    struct hw_members *members;
    struct hw_subscriptions *subscriptions;
    struct hw_courier *courier;
    struct hw_list jobs;             /* that wait for their turn */
    struct hw_backfill_job *current; /* owned: has a piece under way; NULL: none */
    struct hw_feed_read read;
    struct hw_fill fill;
    struct hw_stream_id ids[HW_FILL_PIECE]; /* of the piece */
    struct hw_fill_look look;
    struct hw_fill_job *seen; /* owned: all jobs as of the last look */
    size_t n_seen;
    bool is_on;
    bool is_looking;
    struct hw_wheel_entry go;      /* to the next piece */
    struct hw_wheel_entry look_at; /* all jobs, again */
};

void hw_backfill_init(struct hw_backfill *b);
void hw_backfill_close(struct hw_backfill *b);

void hw_backfill_start(struct hw_backfill *b); /* running */
void hw_backfill_stop(
    struct hw_backfill *b); /* down, fenced, draining: those who wait are told */

/* Do it; true: cb (or NULL) runs once, later.  false (no memory, or this instance may not work): it
 * will not; the job is done all the same, by whoever finds it. */
bool hw_backfill_run(struct hw_backfill *b, const struct hw_fill_job *job, hw_backfill_cb cb,
                     void *data);

#endif
