/*
 * arm      level and slot from due ^ now; due already: the list due_now
 * advance  due_now first; then slot after slot in order of time: a slot of level 0 is one
 *          millisecond and its entries run, a slot of a higher level moves its entries down
 * next     the first occupied slot of the lowest occupied level: everything on a level lies
 *          before everything on the levels above it, because it shares more bits with now
 */
#include "core/wheel.h"

#include "base/must.h"

enum { SLOT_BITS = 6, SLOT_MASK = HW_WHEEL_SLOTS - 1, NO_LEVEL = 0xff };

void hw_wheel_init(struct hw_wheel *w, hw_mono_ms now)
{
    w->now = w->target = now;
    w->n_armed = 0;
    hw_list_init(&w->due_now);
    for (int level = 0; level < HW_WHEEL_LEVELS; level++) {
        w->occupied[level] = 0;
        for (int slot = 0; slot < HW_WHEEL_SLOTS; slot++)
            hw_list_init(&w->slots[level][slot]);
    }
}

void hw_wheel_entry_init(struct hw_wheel_entry *e, hw_wheel_cb cb)
{
    hw_list_node_init(&e->link);
    e->due = 0;
    e->cb = cb;
    e->level = NO_LEVEL;
    e->slot = 0;
}

static unsigned level_of(hw_mono_ms due, hw_mono_ms now)
{
    return (unsigned)(63 - __builtin_clzll(due ^ now)) / SLOT_BITS;
}

/* Link e where it belongs seen from w->now; e->due is after w->now. */
static void wheel_place(struct hw_wheel *w, struct hw_wheel_entry *e)
{
    unsigned level = level_of(e->due, w->now);
    unsigned slot = (unsigned)(e->due >> (level * SLOT_BITS)) & SLOT_MASK;

    e->level = (unsigned char)level;
    e->slot = (unsigned char)slot;
    hw_list_push_back(&w->slots[level][slot], &e->link);
    w->occupied[level] |= UINT64_C(1) << slot;
}

static void wheel_unlink(struct hw_wheel *w, struct hw_wheel_entry *e)
{
    hw_list_unlink(&e->link);
    if (e->level != NO_LEVEL && hw_list_is_empty(&w->slots[e->level][e->slot]))
        w->occupied[e->level] &= ~(UINT64_C(1) << e->slot);
    e->level = NO_LEVEL;
}

void hw_wheel_arm(struct hw_wheel *w, struct hw_wheel_entry *e, hw_mono_ms due)
{
    hw_wheel_cancel(w, e);
    e->due = due;
    w->n_armed++;
    if (due <= w->target)
        hw_list_push_back(&w->due_now, &e->link);
    else
        wheel_place(w, e);
}

void hw_wheel_cancel(struct hw_wheel *w, struct hw_wheel_entry *e)
{
    if (!hw_wheel_is_armed(e))
        return;
    wheel_unlink(w, e);
    w->n_armed--;
}

static struct hw_wheel_entry *entry_of(struct hw_list *link)
{
    return HW_CONTAINER_OF(link, struct hw_wheel_entry, link);
}

/* Run what is in the list; what a callback arms for now goes to due_now, not here. */
static void wheel_run(struct hw_wheel *w, struct hw_list *list)
{
    struct hw_list *link;

    while ((link = hw_list_first(list)) != NULL) {
        struct hw_wheel_entry *e = entry_of(link);
        hw_wheel_cancel(w, e);
        e->cb(e);
    }
}

static void wheel_run_due_now(struct hw_wheel *w)
{
    struct hw_list list;

    hw_list_init(&list);
    hw_list_splice(&list, &w->due_now);
    wheel_run(w, &list);
}

/* The first slot that holds something; false: none. */
static bool wheel_first_slot(const struct hw_wheel *w, unsigned *level, unsigned *slot)
{
    for (unsigned i = 0; i < HW_WHEEL_LEVELS; i++)
        if (w->occupied[i] != 0) {
            *level = i;
            *slot = (unsigned)__builtin_ctzll(w->occupied[i]);
            return true;
        }
    return false;
}

/* When now comes to that slot. */
static hw_mono_ms slot_time(const struct hw_wheel *w, unsigned level, unsigned slot)
{
    unsigned shift = level * SLOT_BITS;
    unsigned above = shift + SLOT_BITS;
    hw_mono_ms base = above >= 64 ? 0 : w->now >> above << above;

    return base | (hw_mono_ms)slot << shift;
}

/* Now has come to this slot of a higher level: its entries move down.  Those due this very
 * millisecond go to `ready`. */
static void wheel_move_down(struct hw_wheel *w, struct hw_list *from, struct hw_list *ready)
{
    struct hw_list *link;

    while ((link = hw_list_first(from)) != NULL) {
        struct hw_wheel_entry *e = entry_of(link);
        wheel_unlink(w, e);
        if (e->due <= w->now)
            hw_list_push_back(ready, &e->link);
        else
            wheel_place(w, e);
    }
}

void hw_wheel_advance(struct hw_wheel *w, hw_mono_ms now)
{
    struct hw_list ready;
    unsigned level, slot;

    HW_MUST(w->target == w->now); /* not from a callback */
    if (now > w->now)
        w->target = now;
    hw_list_init(&ready);
    wheel_run_due_now(w);
    while (wheel_first_slot(w, &level, &slot)) {
        hw_mono_ms at = slot_time(w, level, slot);
        if (at > w->target)
            break;
        w->now = at;
        if (level == 0) {
            wheel_run(w, &w->slots[0][slot]);
        } else {
            wheel_move_down(w, &w->slots[level][slot], &ready);
            wheel_run(w, &ready);
        }
    }
    w->now = w->target;
}

bool hw_wheel_next(const struct hw_wheel *w, hw_mono_ms *at)
{
    unsigned level, slot;

    if (!hw_list_is_empty(&w->due_now)) {
        *at = w->now;
        return true;
    }
    if (!wheel_first_slot(w, &level, &slot))
        return false;
    *at = slot_time(w, level, slot);
    return true;
}

static const char *check_slot(const struct hw_wheel *w, unsigned level, unsigned slot, size_t *n)
{
    const struct hw_list *head = &w->slots[level][slot];
    bool bit = (w->occupied[level] >> slot & 1) != 0;

    if (bit == hw_list_is_empty(head))
        return "a slot's bit does not say whether it is empty";
    HW_LIST_EACH(link, head)
    {
        const struct hw_wheel_entry *e = entry_of(link);
        ++*n;
        if (e->level != level || e->slot != slot)
            return "an entry does not know its slot";
        if (e->due <= w->now)
            return "an entry is overdue";
        if (level_of(e->due, w->now) != level)
            return "an entry is on the wrong level";
        if (((e->due >> (level * SLOT_BITS)) & SLOT_MASK) != slot)
            return "an entry is in the wrong slot";
    }
    return NULL;
}

const char *hw_wheel_check(const struct hw_wheel *w)
{
    size_t n = 0;

    HW_LIST_EACH(link, &w->due_now)
    {
        ++n;
        if (entry_of(link)->due > w->target)
            return "an entry of due_now is not due";
    }
    for (unsigned level = 0; level < HW_WHEEL_LEVELS; level++)
        for (unsigned slot = 0; slot < HW_WHEEL_SLOTS; slot++) {
            const char *wrong = check_slot(w, level, slot, &n);
            if (wrong != NULL)
                return wrong;
        }
    return n == w->n_armed ? NULL : "n_armed is not the number of entries";
}
