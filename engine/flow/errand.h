/*
 * errand - one question of the keeper's to the ledger, and what it brings in.
 *
 * Memory    an errand is a block of its own, on keeper->errands from new to end.
 * Lifetime  new, one hw_ledger_* call with its take, end (in that call's callback, or at once
 *           where the call was refused).
 * Errors    what cannot be put in memory is ours in Redis still: the keeper then compares.
 */
#ifndef HW_FLOW_ERRAND_H
#define HW_FLOW_ERRAND_H

#include "flow/keeper.h"

struct hw_errand {
    struct hw_list link; /* in keeper->errands */
    struct hw_keeper *keeper;
    struct hw_take take;
    uint32_t w;                         /* refill, drop, empty */
    enum hw_failure write_off;          /* NONE: to be delivered */
    char orphan[HW_INSTANCE_CHARS + 1]; /* adopt; else "" */
    struct hw_delivery_key *unknown;    /* compare: still to be loaded; owned */
    size_t n_unknown;
    bool has_loaded; /* compare: at least one piece was asked for */
};

/* NULL: out of memory. */
struct hw_errand *hw_errand_new(struct hw_keeper *k);
void hw_errand_end(struct hw_errand *e);

static inline struct hw_errand *hw_errand_of(struct hw_take *t)
{
    return HW_CONTAINER_OF(t, struct hw_errand, take);
}

/* Are questions allowed now: owning, and not comparing? */
bool hw_errand_may_ask(const struct hw_keeper *k);

/* Give what came to the courier; written off as `write_off` unless that is NONE.  One whose body
 * is kept nowhere any more becomes a visible dead letter. */
void hw_errand_take_in(struct hw_keeper *k, const struct hw_taken *items, size_t n_items,
                       enum hw_failure write_off);

#endif
