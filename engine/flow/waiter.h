/*
 * waiter - one question to a feed, from when it is asked until it is answered.
 *
 * Memory    one block; end frees it, and tell does at the end of the turn.
 * Lifetime  new, then exactly one of end and tell.
 */
#ifndef HW_FLOW_WAITER_H
#define HW_FLOW_WAITER_H

#include "api/backend.h"
#include "core/wheel.h"

struct hw_hub;
struct hw_watch;

enum hw_waiter_state {
    HW_WAITER_BEHIND,  /* list: hub->behind; none while its pager runs */
    HW_WAITER_COMING,  /* list: watch->coming or looking */
    HW_WAITER_WAITING, /* list: watch->waiting */
    HW_WAITER_TOLD     /* list: hub->told */
};

struct hw_waiter {
    struct hw_list link;
    struct hw_hub *hub;             /* borrowed */
    struct hw_watch *watch;         /* borrowed; COMING, WAITING */
    struct hw_backend_updates *ask; /* borrowed from the API */
    struct hw_stream_id reached;    /* looked at up to here; WAITING: up to the watch's end */
    struct hw_wheel_entry over;     /* its time to wait */
    enum hw_waiter_state state;
    bool may_wait; /* for what is not there yet */
};

/* BEHIND, in no list.  NULL: out of memory. */
HW_MUST_USE struct hw_waiter *hw_waiter_new(struct hw_hub *h, struct hw_backend_updates *ask);

/* The question's out fields, as of an answer that found nothing. */
void hw_waiter_set_nothing(struct hw_waiter *w);

/* Answer now, with the out fields as they are; out of whatever list it is in. */
void hw_waiter_end(struct hw_waiter *w, enum hw_backend_result result);

/* Answer at the end of this turn, or of the next, with nothing; one, all of a list. */
void hw_waiter_tell(struct hw_waiter *w, enum hw_backend_result result);
void hw_waiters_tell(struct hw_list *list, enum hw_backend_result result);

/* Give the answers that were told. */
void hw_waiters_end(struct hw_list *told);

/* It need not wait any more. */
void hw_waiter_hurry(struct hw_waiter *w);

/* NULL: the list is empty. */
struct hw_waiter *hw_waiter_first(const struct hw_list *list);
struct hw_stream_id hw_waiter_place(const struct hw_waiter *w);

#endif
