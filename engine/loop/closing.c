#include "loop/closing.h"

#include <stddef.h>

#include "base/must.h"

void hw_closing_init(struct hw_closing *c)
{
    c->holds = 0;
    c->asked = false;
    c->cb = NULL;
}

void hw_closing_hold(struct hw_closing *c)
{
    c->holds++;
}

void hw_closing_release(struct hw_closing *c)
{
    HW_MUST(c->holds > 0);
    if (--c->holds == 0 && c->asked)
        c->cb(c); /* may free *c */
}

void hw_closing_begin(struct hw_closing *c, hw_closed_cb cb)
{
    HW_MUST(!c->asked && c->holds > 0);
    c->asked = true;
    c->cb = cb;
}
