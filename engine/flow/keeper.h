/*
 * keeper - keeps what is in memory and what Redis says is ours the same.
 *
 * Outcomes go out, refills, claims and what dead instances held come in, marks are set before
 * suspects; after a lost connection both sides are compared; the retries of a webhook that was
 * paused go on.
 *
 * Memory    embedded; allocates the tasks and one errand for each question under way.
 * Lifetime  init; then as the connection comes and goes; close when the work connection is closed
 *           and the courier has dropped everything.
 * Errors    every trouble of Redis ends as "again later": on the next beat.
 */
#ifndef HW_FLOW_KEEPER_H
#define HW_FLOW_KEEPER_H

#include "flow/task.h"
#include "store/members.h"
#include "store/schedule.h"

struct hw_keeper {
    struct hw_loop *loop; /* borrowed, all of these */
    struct hw_store *store;
    struct hw_ledger *ledger;
    struct hw_schedule *schedule;
    struct hw_members *members;
    struct hw_courier *courier;
    struct hw_sender *sender;
    uint64_t backlog_max;
    struct hw_list errands;   /* under way */
    struct hw_list unsettled; /* tasks whose outcome could not be handed over */
    struct hw_list to_empty;  /* webhooks whose parked deliveries are to be written off */
    struct hw_list to_resume; /* webhooks that were paused: see resume.c */
    uint64_t n_untold_holds;  /* of a Retry-After that other instances will not hear of */
    struct hw_hold *holds;    /* owned: in force as of the last beat */
    size_t n_holds;
    bool has_had_company;    /* other instances were seen: they count failures too */
    bool is_active;          /* owning and loaded: may take */
    bool is_comparing;       /* after a reconnect, until both sides are the same */
    bool must_compare;       /* something is ours in Redis that could not be put in memory */
    uint64_t doubt_delay_ms; /* how long a doubt that comes back waits: doubles to a minute */
    hw_mono_ms doubt_after;  /* not before then */
    void (*compared_cb)(void *data); /* after hw_keeper_compare */
    void *data;
};

void hw_keeper_init(struct hw_keeper *k);
void hw_keeper_close(struct hw_keeper *k);

/* May take from now on, or not (not joined, draining). */
void hw_keeper_activate(struct hw_keeper *k, bool active);

/* The connection is back under our old id: make both sides the same, then cb. */
void hw_keeper_compare(struct hw_keeper *k, void (*cb)(void *data), void *data);

/* After every beat: adopt what is orphaned, try again what was refused. */
void hw_keeper_beat(struct hw_keeper *k, const struct hw_members_view *view);

/* Ports of the courier. */
struct hw_delivery *hw_keeper_delivery_new(struct hw_keeper *k);
void hw_keeper_delivery_free(struct hw_keeper *k, struct hw_delivery *d);
void hw_keeper_settle(struct hw_keeper *k, struct hw_delivery *d);
void hw_keeper_mark(struct hw_keeper *k, struct hw_delivery *d);
void hw_keeper_refill(struct hw_keeper *k, struct hw_endpoint *e, struct hw_wanted wanted);

/* From schedule and ledger. */
uint64_t hw_keeper_on_due(struct hw_keeper *k, uint32_t w);
void hw_keeper_on_claimed(struct hw_keeper *k, const struct hw_taken *items, size_t n_items);
void hw_keeper_on_waiting(struct hw_keeper *k, uint32_t w, uint64_t n_waiting);

/* Nothing may be sent to that webhook any more: write off what is parked for it. */
void hw_keeper_empty(struct hw_keeper *k, uint32_t w);

/* This one is ours in Redis already: put it in memory. */
void hw_keeper_load(struct hw_keeper *k, uint32_t w, uint64_t n);

/* It was paused and is active again: its retries that came due meanwhile are made soon, spread
 * out over all instances.  One instance has to ask. */
void hw_keeper_resume(struct hw_keeper *k, const struct hw_webhook *wh);

/* Something of ours is in Redis that could not be put in memory: look again on the next beat. */
void hw_keeper_doubt(struct hw_keeper *k);

#endif
