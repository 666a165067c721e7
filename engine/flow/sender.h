/*
 * sender - turns a delivery that may start into a signed request, and what came of it into an
 * attempt.
 *
 * Memory    embedded; borrows client, loop and courier.
 * Lifetime  init; start as a port of the courier; close when the client is closed.
 * Errors    what cannot be begun (memory, too many descriptors) ends as a fault of our own,
 *           on the next turn.  So does what has waited for a connection until it may not begin
 *           any more: it will be attempted again, by us or by whoever takes it over.
 * Cost      one pass over the body for the signature, one over the head.
 */
#ifndef HW_FLOW_SENDER_H
#define HW_FLOW_SENDER_H

#include "flow/task.h"

/* May an attempt begin to use the network at this moment? */
typedef bool (*hw_sender_may_begin_cb)(void *data);

struct hw_sender {
    struct hw_loop *loop;
    struct hw_client *client;
    struct hw_courier *courier;
    struct hw_slice user_agent;
    hw_sender_may_begin_cb may_begin;
    void *data;                  /* borrowed; may_begin's */
    struct hw_buf scratch;       /* signature, subject: for the length of one start */
    struct hw_list not_begun;    /* tasks whose request could not be made */
    struct hw_wheel_entry later; /* ends those */
};

void hw_sender_init(struct hw_sender *s, struct hw_loop *loop, struct hw_client *client,
                    struct hw_courier *courier, struct hw_slice user_agent,
                    hw_sender_may_begin_cb may_begin, void *data);
void hw_sender_close(struct hw_sender *s);

/* d is SENDING; hw_courier_finished follows, later. */
void hw_sender_start(struct hw_sender *s, struct hw_delivery *d);

#endif
