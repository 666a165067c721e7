/* closing: the callback runs once, when it was asked for and nothing is left. */
#include "loop/closing.h"

#include "check.h"

struct thing {
    struct hw_closing closing; /* first: it is the thing */
    unsigned *n_closed;
};

static void on_closed(struct hw_closing *c)
{
    struct thing *t = (struct thing *)c;

    ++*t->n_closed;
    free(t);
}

static struct thing *thing(unsigned holds, unsigned *n_closed)
{
    struct thing *t = malloc(sizeof *t);

    CHECK_NOT_NULL(t);
    hw_closing_init(&t->closing);
    t->n_closed = n_closed;
    while (holds-- > 0)
        hw_closing_hold(&t->closing);
    return t;
}

CASE(closed_when_the_last_hold_is_released)
{
    unsigned n_closed = 0;
    struct thing *t = thing(2, &n_closed);

    hw_closing_begin(&t->closing, on_closed);
    CHECK_UINT(n_closed, ==, 0);
    hw_closing_release(&t->closing);
    CHECK_UINT(n_closed, ==, 0);
    hw_closing_release(&t->closing); /* frees it */
    CHECK_UINT(n_closed, ==, 1);
}

CASE(holds_that_come_and_go_before_it_is_asked_end_nothing)
{
    unsigned n_closed = 0;
    struct thing *t = thing(1, &n_closed);

    hw_closing_release(&t->closing);
    CHECK_UINT(n_closed, ==, 0);
    hw_closing_hold(&t->closing);
    hw_closing_begin(&t->closing, on_closed);
    hw_closing_hold(&t->closing); /* a request of the closing itself */
    hw_closing_release(&t->closing);
    CHECK_UINT(n_closed, ==, 0);
    hw_closing_release(&t->closing);
    CHECK_UINT(n_closed, ==, 1);
}
