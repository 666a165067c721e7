/*
 * janitor - retention: the feed by count and age, history and dead letters by age,
 * producer ids by generation, what deleted webhooks leave behind.
 *
 * One small step at a time, each a script of at most a few hundred entries, twice a second;
 * the instance of rank 0 does the slow walks, every instance trims the feeds it adds to.  What
 * is still owed has its body moved out of the ledger before the ledger is trimmed.
 *
 * Errors    whatever is refused is tried again on a later round.
 */
#ifndef HW_STORE_JANITOR_H
#define HW_STORE_JANITOR_H

#include "store/keys.h"
#include "store/members.h"
#include "store/registry.h"

struct hw_janitor;

struct hw_janitor_options {
    struct hw_store *store;       /* borrowed */
    struct hw_members *members;   /* borrowed */
    struct hw_registry *registry; /* borrowed */
    uint64_t feed_max;
    uint64_t feed_retention_ms;
    uint64_t history_max;
    uint64_t history_retention_ms;
    uint64_t dedup_max;
};

HW_MUST_USE enum hw_status hw_janitor_open(struct hw_janitor **out,
                                           const struct hw_janitor_options *options,
                                           struct hw_cause *cause);
void hw_janitor_start(struct hw_janitor *j); /* joined or back */
void hw_janitor_stop(struct hw_janitor *j);  /* down, fenced, draining */

/* n events were added to this account's feed. */
void hw_janitor_touch(struct hw_janitor *j, struct hw_slice account, unsigned n);

/* Close the work connection first. */
void hw_janitor_close(struct hw_janitor *j);

#endif
