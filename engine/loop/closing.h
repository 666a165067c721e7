/*
 * closing - what must finish before an object's memory may go is counted.
 *
 * One hold for each libuv handle that was initialised, one for each libuv request in
 * flight.  An object that owns neither has a plain close without a callback.
 */
#ifndef HW_LOOP_CLOSING_H
#define HW_LOOP_CLOSING_H

#include <stdbool.h>

struct hw_closing;

/* Nothing refers to the object any more; its owner may free it in here. */
typedef void (*hw_closed_cb)(struct hw_closing *c);

struct hw_closing {
    unsigned holds;  /* handles and requests still alive */
    bool asked;      /* close has been requested */
    hw_closed_cb cb; /* called once, when asked and holds == 0 */
};

void hw_closing_init(struct hw_closing *c);
void hw_closing_hold(struct hw_closing *c);                   /* one more to wait for */
void hw_closing_release(struct hw_closing *c);                /* last line of its closed cb */
void hw_closing_begin(struct hw_closing *c, hw_closed_cb cb); /* once; holds must be > 0 */

#endif
