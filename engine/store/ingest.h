/*
 * ingest - reading the ingress stream, on a connection of its own.
 *
 * One batch is out at a time: it is handed to on_batch, and the next follows when
 * hw_ingest_done says that every entry of it was accepted or rejected (or given up: it then
 * stays pending in Redis and comes again).  Meanwhile one more is read ahead.  COUNT follows the size of the entries, so that
 * a read stays near 1 MiB.
 *
 * Pending entries come first: on start, after a reconnect, and from time to time, what instances
 * that are no more left and what is pending under our own name and not in hand is read
 * again (recovery.h says which, and marks what may be poison).
 *
 * Memory    a batch, and the one read ahead, is a copy, borrowed from on_batch until hw_ingest_done.
 * Lifetime  open; start may repeat; stop; close once, which waits for what is under way.
 * Errors    every trouble of Redis is waited out here; a group that is gone is made anew at 0.
 * Cost      a read and a copy a batch; while there is nothing to read, one blocking read in 2 s.
 */
#ifndef HW_STORE_INGEST_H
#define HW_STORE_INGEST_H

#include "store/batch.h"
#include "store/keys.h"
#include "store/members.h"
#include "store/rejects.h"

struct hw_ingest;

struct hw_ingest_batch {
    const struct hw_ingest_entry *entries;
    size_t n_entries;
    bool is_marked; /* pass on to hw_accept.is_marked */
};

struct hw_ingest_events {
    /* Handle all of it, then call hw_ingest_done (later or inside).  */
    void (*on_batch)(void *data, const struct hw_ingest_batch *batch);
    /* For readiness and the log: reading does not work now, or works again (FINE). */
    void (*on_state)(void *data, enum hw_redis_trouble trouble, const struct hw_cause *cause);
    /* An entry was written to the rejected stream; also for those found to be poison. */
    void (*on_rejected)(void *data, struct hw_stream_id entry, enum hw_entry_reason reason);
};

struct hw_ingest_options {
    struct hw_store *store;                /* borrowed */
    struct hw_members *members;            /* borrowed */
    const struct hw_redis_target *target;  /* borrowed */
    struct hw_trust *trust;                /* borrowed */
    uint64_t rejected_max;                 /* HOOKWHEEL_REJECTED_MAX */
    const struct hw_ingest_events *events; /* borrowed, static */
    void *data;
};

HW_MUST_USE enum hw_status hw_ingest_open(struct hw_ingest **out,
                                          const struct hw_ingest_options *options,
                                          struct hw_cause *cause);

/* Begin, or begin anew, under the present id: after on_joined and after on_back.  A batch
 * that is out is void from here on (its slices too): do not call done for it. */
void hw_ingest_start(struct hw_ingest *g);

/* The batch that is out is finished with: read on. */
void hw_ingest_done(struct hw_ingest *g);

/* Read at most so many at once from now on (at least 1): events with many deliveries each are to
 * come in smaller batches, which find room sooner. */
void hw_ingest_bound(struct hw_ingest *g, size_t most);

/* Read no more; a read under way is called off.  cb runs once when no read is under way and
 * no batch is out (a last batch may still come before it). */
void hw_ingest_stop(struct hw_ingest *g, void (*cb)(void *data), void *data);

/* Fenced: drop the batch that is out and do nothing until the next start. */
void hw_ingest_fence(struct hw_ingest *g);

hw_mono_ms hw_ingest_last_read(const struct hw_ingest *g); /* last good answer; 0: none */

/* Look for entries of consumers that are no more, soon (after a takeover). */
void hw_ingest_rescue(struct hw_ingest *g);

/* Move one entry of the batch to the rejected stream (rejects.h): HW_OK: cb runs once, later. */
HW_MUST_USE enum hw_status hw_ingest_reject(struct hw_ingest *g, struct hw_reject *r,
                                            const struct hw_ingest_entry *entry,
                                            enum hw_entry_reason reason, hw_reject_cb cb);

/* cb when the intake connection is gone and nothing refers to g; g is freed. */
void hw_ingest_close(struct hw_ingest *g, void (*cb)(void *data), void *data);

#endif
