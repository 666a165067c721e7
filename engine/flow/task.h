/*
 * task - a delivery in memory together with what carries it: one block each.
 *
 * core knows the delivery, net the request, store the settle; only here do they meet.
 */
#ifndef HW_FLOW_TASK_H
#define HW_FLOW_TASK_H

#include "core/courier.h"
#include "net/client.h"
#include "store/ledger.h"

struct hw_sender;
struct hw_keeper;

struct hw_task {
    struct hw_delivery delivery;
    struct hw_sender *sender;   /* borrowed */
    struct hw_keeper *keeper;   /* borrowed */
    struct hw_webhook *webhook; /* one reference while an attempt is under way */
    struct hw_client_req req;
    struct hw_buf head;        /* the request's, kept until the attempt is over */
    struct hw_slice pieces[2]; /* its body, in the event's bytes */
    struct hw_settle settle;
    struct hw_list unsent; /* on sender's or keeper's list of what is to be tried again */
    struct hw_mark *mark;  /* owned; only a suspect has one */
};

static inline struct hw_task *hw_task_of(struct hw_delivery *d)
{
    return HW_CONTAINER_OF(d, struct hw_task, delivery);
}

/* This turn's readings. */
static inline struct hw_now hw_now_of(struct hw_loop *loop)
{
    return (struct hw_now){ hw_loop_now(loop), hw_loop_unix(loop), hw_loop_steady(loop) };
}

#endif
