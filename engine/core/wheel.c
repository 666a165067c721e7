/*
 * arm      level, slot and lane from the due time and now; due already: the list due_now
 * advance  due_now first; then from one moment at which something is to do to the next: the
 *          slots that begin there move down, and the entries of that millisecond run
 * next     the first such moment
 *
 * Levels overlap in time, so one millisecond's entries can be on several of them.  What is on
 * a higher level was armed earlier, from further away, and runs earlier.  So a slot moves
 * down from its last entry to its first, each to the front of its new list, and of slots that
 * begin together the lowest moves first.
 */
#include "core/wheel.h"

#include <string.h>

#include "base/must.h"

enum {
    SLOT_BITS = 6,
    SLOT_MASK = HW_WHEEL_SLOTS - 1,
    LISTS_0 = HW_WHEEL_SLOTS * HW_WHEEL_SLOT_MS,
    READ_AHEAD = 64 /* entries of a lane, so that all lanes' fit into a near cache */
};

/* One list of the wheel. */
struct place {
    unsigned level, slot, lane;
};

static uint64_t bit(unsigned i)
{
    return UINT64_C(1) << i;
}

static unsigned lowest_bit(uint64_t bits)
{
    return (unsigned)__builtin_ctzll(bits);
}

/* How far it is from this bit to the next one that is set, going round: 1 to 64. */
static unsigned bits_ahead(uint64_t bits, unsigned from)
{
    unsigned turn = (from + 1) % 64;

    return 1 + lowest_bit(bits >> turn | bits << (64 - turn) % 64);
}

/* A slot is 2 to the power of this many milliseconds. */
static unsigned slot_shift(unsigned level)
{
    return (level + 1) * SLOT_BITS;
}

static unsigned slot_of(hw_mono_ms at, unsigned level)
{
    return (unsigned)(at >> slot_shift(level)) & SLOT_MASK;
}

static unsigned lanes_of(unsigned level)
{
    return level == 0 ? HW_WHEEL_SLOT_MS : HW_WHEEL_LANES;
}

static unsigned lane_of(hw_mono_ms at, unsigned level)
{
    return (unsigned)at & (lanes_of(level) - 1);
}

/* Level n reaches as far as 64 of its slots are long.  `due` is not before `now`. */
static unsigned level_of(hw_mono_ms due, hw_mono_ms now)
{
    hw_mono_ms distance = (due - now) | HW_WHEEL_SLOT_MS; /* less is level 0 all the same */

    return (unsigned)(63 - __builtin_clzll(distance)) / SLOT_BITS - 1;
}

static struct place place_of(hw_mono_ms due, hw_mono_ms now)
{
    unsigned level = level_of(due, now);

    return (struct place){ level, slot_of(due, level), lane_of(due, level) };
}

static unsigned list_of(struct place at)
{
    if (at.level == 0)
        return at.slot * HW_WHEEL_SLOT_MS + at.lane;
    return LISTS_0 + ((at.level - 1) * HW_WHEEL_SLOTS + at.slot) * HW_WHEEL_LANES + at.lane;
}

/* The reverse of list_of. */
static struct place place_of_list(unsigned i)
{
    unsigned slot;

    if (i < LISTS_0)
        return (struct place){ 0, i / HW_WHEEL_SLOT_MS, i % HW_WHEEL_SLOT_MS };
    slot = (i - LISTS_0) / HW_WHEEL_LANES;
    return (struct place){ 1 + slot / HW_WHEEL_SLOTS, slot % HW_WHEEL_SLOTS,
                           i % HW_WHEEL_LANES };
}

void hw_wheel_init(struct hw_wheel *w, hw_mono_ms now)
{
    w->now = w->target = now;
    w->n_armed = 0;
    hw_list_init(&w->due_now);
    hw_list_init(&w->running);
    memset(w->slots, 0, sizeof(w->slots));
    memset(w->lanes, 0, sizeof(w->lanes));
    for (unsigned i = 0; i < HW_WHEEL_LISTS; i++)
        hw_list_init(&w->lists[i]);
}

void hw_wheel_entry_init(struct hw_wheel_entry *e, hw_wheel_cb cb)
{
    hw_list_node_init(&e->link);
    e->due = 0;
    e->cb = cb;
}

static struct hw_wheel_entry *entry_of(struct hw_list *link)
{
    return HW_CONTAINER_OF(link, struct hw_wheel_entry, link);
}

/* The list for this due time, marked: an entry is about to be linked into it. */
static struct hw_list *wheel_mark(struct hw_wheel *w, hw_mono_ms due)
{
    struct place at = place_of(due, w->now);

    w->slots[at.level] |= bit(at.slot);
    w->lanes[at.level][at.slot] |= bit(at.lane);
    return &w->lists[list_of(at)];
}

/* The last entry has left this list. */
static void wheel_unmark(struct hw_wheel *w, const struct hw_list *list)
{
    struct place at;

    if (list == &w->due_now || list == &w->running)
        return;
    at = place_of_list((unsigned)(list - w->lists));
    w->lanes[at.level][at.slot] &= ~bit(at.lane);
    if (w->lanes[at.level][at.slot] == 0)
        w->slots[at.level] &= ~bit(at.slot);
}

void hw_wheel_arm(struct hw_wheel *w, struct hw_wheel_entry *e, hw_mono_ms due)
{
    hw_wheel_cancel(w, e);
    e->due = due;
    w->n_armed++;
    hw_list_push_back(due <= w->target ? &w->due_now : wheel_mark(w, due), &e->link);
}

void hw_wheel_cancel(struct hw_wheel *w, struct hw_wheel_entry *e)
{
    struct hw_list *next = e->link.next;
    bool is_alone = next == e->link.prev; /* then both are the list's head */

    if (!hw_wheel_is_armed(e))
        return;
    hw_list_unlink(&e->link);
    w->n_armed--;
    if (is_alone)
        wheel_unmark(w, next);
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

/* When now comes to the level's next slot that holds something.  That can be the slot now is
 * in: it has moved down, and what is in it is due a whole round later. */
static hw_mono_ms next_slot(const struct hw_wheel *w, unsigned level)
{
    unsigned ahead = bits_ahead(w->slots[level], slot_of(w->now, level));

    return ((w->now >> slot_shift(level)) + ahead) << slot_shift(level);
}

/* Level 0's next millisecond that holds something, now included. */
static hw_mono_ms next_ms(const struct hw_wheel *w)
{
    uint64_t here = w->lanes[0][slot_of(w->now, 0)] >> lane_of(w->now, 0);
    hw_mono_ms slot;

    if (here != 0)
        return w->now + lowest_bit(here);
    slot = next_slot(w, 0);
    return slot + lowest_bit(w->lanes[0][slot_of(slot, 0)]);
}

/* The next moment at which a slot moves down or an entry runs; false: nothing is armed. */
static bool wheel_first(const struct hw_wheel *w, hw_mono_ms *at)
{
    hw_mono_ms first = UINT64_MAX;
    uint64_t any = w->slots[0];

    if (any != 0)
        first = next_ms(w);
    for (unsigned level = 1; level < HW_WHEEL_LEVELS; level++)
        if (w->slots[level] != 0) {
            hw_mono_ms slot = next_slot(w, level);
            any |= w->slots[level];
            if (slot < first)
                first = slot;
        }
    if (any != 0)
        *at = first;
    return any != 0;
}

/* Now has come to this level's slot: its entries move down, one of each lane in turn, so that
 * the next of a lane comes from memory while those of the others are linked. */
static void wheel_move_down(struct hw_wheel *w, unsigned level)
{
    unsigned slot = slot_of(w->now, level);
    struct hw_list *lists = &w->lists[list_of((struct place){ level, slot, 0 })];
    struct hw_list *last[HW_WHEEL_LANES];
    uint64_t left = w->lanes[level][slot];

    w->slots[level] &= ~bit(slot);
    w->lanes[level][slot] = 0;
    for (unsigned i = 0; i < HW_WHEEL_LANES; i++)
        last[i] = lists[i].prev;
    while (left != 0)
        for (uint64_t turn = left; turn != 0; turn &= turn - 1) {
            unsigned i = lowest_bit(turn);
            struct hw_wheel_entry *e = entry_of(last[i]);
            last[i] = e->link.prev;
            __builtin_prefetch(last[i]);
            if (last[i] == &lists[i])
                left &= ~bit(i);
            hw_list_push_front(wheel_mark(w, e->due), &e->link);
        }
    for (unsigned i = 0; i < HW_WHEEL_LANES; i++)
        hw_list_init(&lists[i]);
}

/* Whatever begins now.  The lowest level first: its entries are to end up behind. */
static void wheel_move_all_down(struct hw_wheel *w)
{
    for (unsigned level = 1; level < HW_WHEEL_LEVELS; level++) {
        if (w->now >> slot_shift(level) << slot_shift(level) != w->now)
            return;
        wheel_move_down(w, level);
    }
}

/* Now has come to a slot of level 0: bring its entries from memory into the near cache, all
 * lanes side by side, before they run one by one.  volatile, or the compiler would leave out
 * a walk that leads to nothing. */
static void wheel_read_ahead(const struct hw_wheel *w)
{
    unsigned slot = slot_of(w->now, 0);
    const struct hw_list *lists = &w->lists[slot * HW_WHEEL_SLOT_MS];
    const struct hw_list *volatile at[HW_WHEEL_SLOT_MS];
    uint64_t left = w->lanes[0][slot];

    for (uint64_t turn = left; turn != 0; turn &= turn - 1)
        at[lowest_bit(turn)] = &lists[lowest_bit(turn)];
    for (unsigned n = 0; n < READ_AHEAD && left != 0; n++)
        for (uint64_t turn = left; turn != 0; turn &= turn - 1) {
            unsigned i = lowest_bit(turn);
            at[i] = at[i]->next;
            if (at[i] == &lists[i])
                left &= ~bit(i);
        }
}

void hw_wheel_advance(struct hw_wheel *w, hw_mono_ms now)
{
    hw_mono_ms at;

    HW_MUST(w->target == w->now); /* not from a callback */
    if (now > w->now)
        w->target = now;
    hw_list_splice(&w->running, &w->due_now);
    wheel_run(w, &w->running);
    while (wheel_first(w, &at) && at <= w->target) {
        bool is_new_slot = at >> SLOT_BITS != w->now >> SLOT_BITS;

        w->now = at;
        wheel_move_all_down(w);
        if (is_new_slot)
            wheel_read_ahead(w);
        wheel_run(w, &w->lists[at % LISTS_0]);
    }
    w->now = w->target;
}

bool hw_wheel_next(const struct hw_wheel *w, hw_mono_ms *at)
{
    if (hw_list_is_empty(&w->due_now))
        return wheel_first(w, at);
    *at = w->now;
    return true;
}

static const char *check_entry(const struct hw_wheel *w, const struct hw_wheel_entry *e,
                               struct place at)
{
    unsigned shift = slot_shift(at.level);

    if (e->due <= w->now)
        return "an entry is overdue";
    if (level_of(e->due, w->now) > at.level)
        return "an entry is further away than its level reaches";
    if (at.level > 0 && e->due >> shift == w->now >> shift)
        return "an entry has not moved down";
    if (slot_of(e->due, at.level) != at.slot || lane_of(e->due, at.level) != at.lane)
        return "an entry is in the wrong list";
    return NULL;
}

static const char *check_list(const struct hw_wheel *w, struct place at, size_t *n)
{
    HW_LIST_EACH (link, &w->lists[list_of(at)]) {
        const char *wrong = check_entry(w, entry_of(link), at);
        if (wrong != NULL)
            return wrong;
        ++*n;
    }
    return NULL;
}

static const char *check_slot(const struct hw_wheel *w, unsigned level, unsigned slot,
                              size_t *n)
{
    struct place at = { level, slot, 0 };
    const struct hw_list *lists = &w->lists[list_of(at)];
    uint64_t held = 0;

    for (; at.lane < lanes_of(level); at.lane++)
        if (!hw_list_is_empty(&lists[at.lane])) {
            const char *wrong = check_list(w, at, n);
            if (wrong != NULL)
                return wrong;
            held |= bit(at.lane);
        }
    if (held != w->lanes[level][slot])
        return "a lane's bit does not say whether it is empty";
    if ((held != 0) != ((w->slots[level] & bit(slot)) != 0))
        return "a slot's bit does not say whether it is empty";
    return NULL;
}

static const char *check_due_now(const struct hw_wheel *w, size_t *n)
{
    HW_LIST_EACH (link, &w->due_now) {
        ++*n;
        if (entry_of(link)->due > w->target)
            return "an entry of due_now is not due";
    }
    HW_LIST_EACH (link, &w->running)
        ++*n;
    return NULL;
}

const char *hw_wheel_check(const struct hw_wheel *w)
{
    size_t n = 0;
    const char *wrong = check_due_now(w, &n);

    for (unsigned level = 0; level < HW_WHEEL_LEVELS; level++)
        for (unsigned slot = 0; slot < HW_WHEEL_SLOTS && wrong == NULL; slot++)
            wrong = check_slot(w, level, slot, &n);
    if (wrong != NULL)
        return wrong;
    return n == w->n_armed ? NULL : "n_armed is not the number of entries";
}
