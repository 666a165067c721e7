/*
 * schedule - retries that are due: found in Redis ahead of time, armed on the wheel, claimed
 * when due.
 *
 * Every 5 s the parked deliveries due within the next 10 s are read; each live instance arms
 * those that fall to it by hash, and the one that parks something within that window arms
 * it itself.  What is due is claimed in batches, one script under way at a time.  Every 2 s a
 * sweep looks for what is overdue and was claimed by nobody, so that after a crash or a
 * restart nothing is more than a few seconds late.
 *
 * Units     due times are wall-clock milliseconds as hw_loop_steady counts them.
 * Memory    64 bytes for each armed one, at most HW_SCHEDULE_ARMED_MAX; the rest stays in Redis.
 * Errors    every trouble of Redis is waited out here.
 */
#ifndef HW_STORE_SCHEDULE_H
#define HW_STORE_SCHEDULE_H

#include "store/ledger.h"
#include "store/members.h"

#define HW_SCHEDULE_ARMED_MAX 100000

struct hw_schedule;

struct hw_schedule_events {
    /* A delivery of w is due: 0: claim it; else: it stays parked and comes again after so
     * many milliseconds (paused: a minute; no room in memory: a second). */
    uint64_t (*on_due)(void *data, uint32_t w);
    /* These are ours now (due_ms is set). */
    void (*on_claimed)(void *data, const struct hw_taken *items, size_t n_items);
};

struct hw_schedule_options {
    struct hw_store *store;     /* borrowed */
    struct hw_members *members; /* borrowed */
    struct hw_ledger *ledger;   /* borrowed */
    const struct hw_schedule_events *events;
    void *data;
};

HW_MUST_USE enum hw_status hw_schedule_open(struct hw_schedule **out,
                                            const struct hw_schedule_options *options,
                                            struct hw_cause *cause);

/* Begin, or begin anew (after on_joined, on_back): at once everything overdue, then as above. */
void hw_schedule_start(struct hw_schedule *s);
/* Claim nothing more (drain, fenced); a claim under way is still told. */
void hw_schedule_stop(struct hw_schedule *s);

/* A settle of kind PARK is done: arm it where it is due soon. */
void hw_schedule_parked(struct hw_schedule *s, uint32_t w, uint64_t n, hw_unix_ms due_ms);

size_t hw_schedule_n_armed(const struct hw_schedule *s);

/* Close the work connection first. */
void hw_schedule_close(struct hw_schedule *s);

#endif
