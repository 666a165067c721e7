/*
 * wheel - many deadlines, one clock reading at a time.
 *
 * A hierarchical timing wheel: 11 levels of 64 slots, so that every 64-bit time is in
 * reach.  An entry is on the level of the highest group of six bits in which its due time
 * differs from now, in the slot those bits name; when now comes to that slot, its entries
 * move down.  It never reads a clock and never calls libuv: the caller says what time it
 * is.  loop.c ties one wheel to one uv_timer_t.
 *
 * Units     milliseconds on the monotonic clock (hw_mono_ms).
 * Memory    the wheel allocates nothing.  An entry is a member of the object
 *           that waits, so it lives exactly as long as that object.
 * Lifetime  an object with an armed entry must cancel it before it is freed;
 *           cancel is immediate, there is no closed callback to wait for.
 * Threads   one loop thread.
 * Errors    none.  Arming an armed entry moves it.  Cancelling an idle entry
 *           does nothing.
 * Cost      arm, cancel: O(1).  advance: O(expired + moved down + slots passed that
 *           hold something); empty slots are skipped by a bit mask.
 */
#ifndef HW_CORE_WHEEL_H
#define HW_CORE_WHEEL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/list.h"
#include "base/time.h"

enum { HW_WHEEL_LEVELS = 11, HW_WHEEL_SLOTS = 64 };

struct hw_wheel_entry;

/* Called from hw_wheel_advance().  The entry is idle again when this runs, so
 * it may be re-armed or freed inside. */
typedef void (*hw_wheel_cb)(struct hw_wheel_entry *e);

struct hw_wheel_entry {
    struct hw_list link;  /* linked into one slot, or idle */
    hw_mono_ms due;       /* meaningful only while armed */
    hw_wheel_cb cb;       /* set once, by hw_wheel_entry_init() */
    unsigned char level;  /* private: which slot it is in, so that */
    unsigned char slot;   /*   cancel can clear the slot's bit */
};

struct hw_wheel {
    hw_mono_ms now;     /* all entries due at or before this have run */
    hw_mono_ms target;  /* where a running advance is going; equals now otherwise */
    size_t n_armed;
    uint64_t occupied[HW_WHEEL_LEVELS]; /* bit i: slot i is not empty */
    struct hw_list slots[HW_WHEEL_LEVELS][HW_WHEEL_SLOTS];
    struct hw_list due_now; /* armed for a time that has already come */
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
 * may be earlier.  false: nothing armed, *at untouched. */
bool hw_wheel_next(const struct hw_wheel *w, hw_mono_ms *at);

/* Slow full check of every invariant; returns NULL or what is wrong.
 * Tests call it after every step. */
const char *hw_wheel_check(const struct hw_wheel *w);

#endif
