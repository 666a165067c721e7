/*
 * wheel - many deadlines, one clock reading at a time.
 *
 * A hierarchical timing wheel: 10 levels of 64 slots.  A slot of level 0 is 64 ms, one of
 * each next level 64 times as long, so that every 64-bit time is in reach.  An entry is on
 * the lowest level that reaches from now to its due time, in the slot that time falls in;
 * when now comes to a slot of a higher level, its entries move down.  It never reads a clock
 * and never calls libuv: the caller says what time it is.  loop.c ties one wheel to one
 * uv_timer_t.
 *
 * A slot is several lists, its lanes: on level 0 one for each millisecond, on higher levels
 * eight, by the last bits of the due time.  Entries are scattered over memory, and a list
 * gives away the next one only when this one is there; lanes are followed side by side, so
 * that one's entry is on its way while another's is dealt with.
 *
 * Units     milliseconds on the monotonic clock (hw_mono_ms).
 * Memory    the wheel is 142 KiB, an entry 32 bytes; nothing is allocated.  An entry is a
 *           member of the object that waits, so it lives exactly as long as that object.
 * Lifetime  an object with an armed entry must cancel it before it is freed;
 *           cancel is immediate, there is no closed callback to wait for.
 * Threads   one loop thread.
 * Errors    none.  Arming an armed entry moves it.  Cancelling an idle entry
 *           does nothing.
 * Cost      arm, cancel: O(1).  advance: O(expired + moved down + slots and milliseconds
 *           passed that hold something); empty ones are skipped by bit masks.  An entry armed
 *           for less than 4.1 s never moves down, for less than 4.3 min at most once, for
 *           less than 4.6 h at most twice.
 */
#ifndef HW_CORE_WHEEL_H
#define HW_CORE_WHEEL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/list.h"
#include "base/time.h"

enum {
    HW_WHEEL_LEVELS = 10,
    HW_WHEEL_SLOTS = 64,   /* of a level */
    HW_WHEEL_SLOT_MS = 64, /* of level 0: its lanes */
    HW_WHEEL_LANES = 8,    /* of a slot of a higher level */
    HW_WHEEL_LISTS =
        HW_WHEEL_SLOTS * (HW_WHEEL_SLOT_MS + (HW_WHEEL_LEVELS - 1) * HW_WHEEL_LANES)
};

struct hw_wheel_entry;

/* Called from hw_wheel_advance().  The entry is idle again when this runs, so
 * it may be re-armed or freed inside. */
typedef void (*hw_wheel_cb)(struct hw_wheel_entry *e);

struct hw_wheel_entry {
    struct hw_list link; /* linked into one list, or idle */
    hw_mono_ms due;      /* meaningful only while armed */
    hw_wheel_cb cb;      /* set once, by hw_wheel_entry_init() */
};

struct hw_wheel {
    hw_mono_ms now;    /* all entries due at or before this have run */
    hw_mono_ms target; /* where a running advance is going; equals now otherwise */
    size_t n_armed;
    struct hw_list due_now;          /* armed for a time that has already come */
    struct hw_list running;          /* those of due_now that a running advance took */
    uint64_t slots[HW_WHEEL_LEVELS]; /* bit i: slot i is not empty */
    uint64_t lanes[HW_WHEEL_LEVELS][HW_WHEEL_SLOTS]; /* bit i: lane i is not empty */
    struct hw_list lists[HW_WHEEL_LISTS];            /* all lanes, of level 0 first */
};

void hw_wheel_init(struct hw_wheel *w, hw_mono_ms now);
void hw_wheel_entry_init(struct hw_wheel_entry *e, hw_wheel_cb cb);

void hw_wheel_arm(struct hw_wheel *w, struct hw_wheel_entry *e, hw_mono_ms due);
void hw_wheel_cancel(struct hw_wheel *w, struct hw_wheel_entry *e);
static inline bool hw_wheel_is_armed(const struct hw_wheel_entry *e)
{
    return hw_list_is_linked(&e->link);
}

/* Run every entry due at or before `now`, in order of due time (entries of the same
 * millisecond in order of arming).  Entries armed by a callback for a time <= now run on
 * the next advance, so a callback that re-arms itself cannot starve the loop.  A reading
 * that goes backwards is treated as no time passing. */
void hw_wheel_advance(struct hw_wheel *w, hw_mono_ms now);

/* When must advance next be called?  Never later than the true next due time;
 * earlier when a slot has to move down before.  false: nothing armed, *at untouched. */
bool hw_wheel_next(const struct hw_wheel *w, hw_mono_ms *at);

/* Slow full check of every invariant; returns NULL or what is wrong.
 * Tests call it after every step. */
const char *hw_wheel_check(const struct hw_wheel *w);

#endif
