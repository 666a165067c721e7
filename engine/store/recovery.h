/*
 * recovery - entries that were read and never finished: claimed from instances that are no more,
 * found again among our own, and marked before they may kill another reader.
 *
 * This decides which of the pending ones are to be looked at, and asks; reading them is
 * ingest's.  Claiming goes on in pieces until nobody else's are left.  From the first one
 * claimed until nothing of our own is pending, entries are read one at a time (is_careful),
 * each under a durable mark, which accept clears; one whose mark was found three times
 * is rejected as poison.  Every 15 s all of it is looked at again.
 *
 * Memory    embedded.  The entry to mark is borrowed until the answer.
 * Lifetime  init; start and stop may repeat; close with nothing under way: each request holds
 *           `closing` until its callback has run.
 * Events    never inside a call.  None for a claim that is answered while stopped; on_next alone
 *           for a mark asked for before a start or stop.
 * Errors    HW_ECONN and the like: it could not be sent, ask again.  The rest is on_stuck.
 * Cost      one script every 15 s; with is_careful one an entry.
 */
#ifndef HW_STORE_RECOVERY_H
#define HW_STORE_RECOVERY_H

#include "store/members.h"
#include "store/rejects.h"

struct hw_recovery;

struct hw_recovery_events {
    /* Something was cleared up: look what comes next. */
    void (*on_next)(struct hw_recovery *r);
    /* The entry has its mark: it may be handed over. */
    void (*on_marked)(struct hw_recovery *r);
    /* Ask again in a while.  FINE and NULL: there is nothing to tell. */
    void (*on_stuck)(struct hw_recovery *r, enum hw_redis_trouble trouble,
                     const struct hw_cause *cause);
    void (*on_group_gone)(struct hw_recovery *r);
};

struct hw_recovery_options {
    struct hw_store *store;                  /* borrowed, all of these */
    struct hw_members *members;              /* whose name we read under */
    struct hw_rejects *rejects;              /* where poison goes */
    struct hw_closing *closing;              /* of the owner */
    const struct hw_recovery_events *events; /* static */
};

struct hw_recovery {
    struct hw_recovery_options options; /* private */
    bool wants_claim;                   /* before the next read; for the owner to read */
    bool wants_own;  /* our own pending ones come next; the owner may set it */
    bool is_careful; /* ... and one at a time, marked; for the owner to read */
    bool is_marking; /* or rejecting; for the owner to read */

    /* The rest is private. */
    bool is_on;
    unsigned generation; /* of start and stop: the answer to a mark from before is dropped */
    struct hw_stream_id
        last_own; /* first of the last own ones: the same again is waited for */
    bool is_claiming;
    struct hw_redis_req claim_req;
    struct hw_command claim_command;
    struct hw_wheel_entry timer;
    const struct hw_ingest_entry *entry; /* borrowed while is_marking */
    unsigned mark_generation;
    struct hw_redis_req mark_req;
    struct hw_command mark_command;
    struct hw_reject poison;
    bool is_acking;
    struct hw_redis_req ack_req; /* of entries that were deleted while pending */
    struct hw_command ack_command;
};

void hw_recovery_init(struct hw_recovery *r, const struct hw_recovery_options *options);
void hw_recovery_close(struct hw_recovery *r);

/* Everything is to be looked at, under the present id. */
void hw_recovery_start(struct hw_recovery *r);
void hw_recovery_stop(struct hw_recovery *r);

/* Look again: soon; not by itself any more (what is under way goes on). */
void hw_recovery_hurry(struct hw_recovery *r);
void hw_recovery_rest(struct hw_recovery *r);

/* Claim what instances that are no more left.  HW_OK: it is under way. */
HW_MUST_USE enum hw_status hw_recovery_claim(struct hw_recovery *r);

/* Our own were read: there is none; or `first` is the first of them.  true: it was the first the
 * last time too, so it was given up just now and should wait. */
void hw_recovery_found_none(struct hw_recovery *r);
bool hw_recovery_is_same_again(struct hw_recovery *r, struct hw_stream_id first);

/* This one was deleted while pending: nothing is left to accept.  Acknowledged by the next
 * send_acks, or by a later one: it comes again until then. */
void hw_recovery_add_deleted(struct hw_recovery *r, struct hw_slice id);
void hw_recovery_send_acks(struct hw_recovery *r);

/* HW_OK: on_marked follows; or on_next, when it was poison and is rejected; or on_stuck. */
HW_MUST_USE enum hw_status hw_recovery_mark(struct hw_recovery *r,
                                            const struct hw_ingest_entry *entry);

#endif
