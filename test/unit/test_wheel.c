#include "check.h"

#include "core/wheel.h"

enum { N = 400 };

struct timer {
    struct hw_wheel_entry entry;
    unsigned armed_as;   /* 1 for the first arming of all, and so on */
    hw_mono_ms fired_at; /* 0: not since the last look */
    unsigned n_fired;
};

static struct hw_wheel wheel;
static struct timer timers[N];
static hw_mono_ms advancing_to;
static hw_mono_ms last_due;
static unsigned n_armings, last_armed_as;

static void arm(int i, hw_mono_ms due)
{
    timers[i].armed_as = ++n_armings;
    hw_wheel_arm(&wheel, &timers[i].entry, due);
}

static void on_timer(struct hw_wheel_entry *e)
{
    struct timer *t = HW_CONTAINER_OF(e, struct timer, entry);

    CHECK(!hw_wheel_is_armed(e));
    CHECK_UINT(e->due, <=, advancing_to); /* never early */
    CHECK_UINT(e->due, >=, last_due);     /* in order */
    if (e->due == last_due)
        CHECK_UINT(t->armed_as, >, last_armed_as);
    last_due = e->due;
    last_armed_as = t->armed_as;
    t->n_fired++;
    t->fired_at = advancing_to;
}

static void begin(hw_mono_ms now)
{
    memset(timers, 0, sizeof timers);
    hw_wheel_init(&wheel, now);
    for (int i = 0; i < N; i++)
        hw_wheel_entry_init(&timers[i].entry, on_timer);
}

static void advance(hw_mono_ms now)
{
    advancing_to = now;
    last_due = 0;
    hw_wheel_advance(&wheel, now);
    CHECK_NULL(hw_wheel_check(&wheel));
}

CASE(fires_at_its_millisecond_and_not_before)
{
    begin(1000);
    arm(0, 1010);
    advance(1009);
    CHECK_UINT(timers[0].n_fired, ==, 0);
    advance(1010);
    CHECK_UINT(timers[0].n_fired, ==, 1);
    CHECK_UINT(wheel.n_armed, ==, 0);
}

CASE(what_is_due_already_fires_on_the_next_advance)
{
    begin(1000);
    arm(0, 900);
    CHECK_NULL(hw_wheel_check(&wheel));
    advance(1000);
    CHECK_UINT(timers[0].n_fired, ==, 1);
}

CASE(arming_again_moves_and_cancel_is_immediate)
{
    hw_mono_ms at = 0;

    begin(0);
    arm(0, 100000);
    arm(0, 10);
    CHECK_UINT(wheel.n_armed, ==, 1);
    CHECK(hw_wheel_next(&wheel, &at));
    CHECK_UINT(at, ==, 10);
    hw_wheel_cancel(&wheel, &timers[0].entry);
    hw_wheel_cancel(&wheel, &timers[0].entry);
    CHECK(!hw_wheel_next(&wheel, &at));
    advance(200000);
    CHECK_UINT(timers[0].n_fired, ==, 0);
}

static struct timer *victim;

static void cancel_victim(struct hw_wheel_entry *e)
{
    on_timer(e);
    hw_wheel_cancel(&wheel, &victim->entry);
}

CASE(cancel_inside_a_callback_is_safe)
{
    begin(0);
    hw_wheel_entry_init(&timers[0].entry, cancel_victim);
    victim = &timers[1];
    arm(0, 70);
    arm(1, 70);
    arm(2, 70);
    advance(70);
    CHECK_UINT(timers[0].n_fired, ==, 1);
    CHECK_UINT(timers[1].n_fired, ==, 0);
    CHECK_UINT(timers[2].n_fired, ==, 1);
}

CASE(cancel_inside_a_callback_reaches_what_this_advance_was_to_run)
{
    begin(1000);
    hw_wheel_entry_init(&timers[0].entry, cancel_victim);
    arm(0, 900);
    arm(1, 900);
    victim = &timers[1];
    advance(1000);
    CHECK_UINT(timers[1].n_fired, ==, 0);
    arm(0, 2000);
    arm(1, 90000);
    advance(100000);
    CHECK_UINT(timers[0].n_fired, ==, 2);
    CHECK_UINT(timers[1].n_fired, ==, 0);
    CHECK_UINT(wheel.n_armed, ==, 0);
}

static void rearm_for_now(struct hw_wheel_entry *e)
{
    on_timer(e);
    hw_wheel_arm(&wheel, e, e->due);
}

CASE(rearming_for_now_does_not_starve)
{
    begin(0);
    hw_wheel_entry_init(&timers[0].entry, rearm_for_now);
    arm(0, 5);
    advance(50);
    CHECK_UINT(timers[0].n_fired, ==, 1);
    advance(50);
    CHECK_UINT(timers[0].n_fired, ==, 2);
    hw_wheel_cancel(&wheel, &timers[0].entry);
}

CASE(a_clock_that_goes_back_is_no_time_passing)
{
    begin(1000);
    arm(0, 1001);
    advancing_to = 1000;
    hw_wheel_advance(&wheel, 500);
    CHECK_NULL(hw_wheel_check(&wheel));
    CHECK_UINT(timers[0].n_fired, ==, 0);
    advance(1001);
    CHECK_UINT(timers[0].n_fired, ==, 1);
}

CASE(far_deadlines_and_the_end_of_time)
{
    begin(UINT64_MAX - 100);
    arm(0, UINT64_MAX);
    arm(1, UINT64_MAX - 50);
    advance(UINT64_MAX - 50);
    CHECK_UINT(timers[1].n_fired, ==, 1);
    CHECK_UINT(timers[0].n_fired, ==, 0);
    advance(UINT64_MAX);
    CHECK_UINT(timers[0].n_fired, ==, 1);
}

/* How far from now the next arm or step goes: all magnitudes alike. */
static hw_mono_ms some_distance(void)
{
    return check_random() >> (23 + check_random_below(41));
}

/* The slow checker: a table of due times beside the wheel. */
CASE(random_walk_agrees_with_a_table)
{
    hw_mono_ms due[N] = { 0 }; /* 0: not armed */
    hw_mono_ms now = check_random() >> (check_random_below(2) ? 44 : 24);

    begin(now);
    for (int step = 0; step < 20000; step++) {
        int i = (int)check_random_below(N);
        switch (check_random_below(4)) {
        case 0:
        case 1:
            due[i] = now + some_distance() + (check_random_below(8) != 0);
            arm(i, due[i]);
            break;
        case 2:
            due[i] = 0;
            hw_wheel_cancel(&wheel, &timers[i].entry);
            break;
        default: {
            hw_mono_ms next = UINT64_MAX, earliest = UINT64_MAX;
            for (int k = 0; k < N; k++)
                if (due[k] != 0 && due[k] < earliest)
                    earliest = due[k];
            if (hw_wheel_next(&wheel, &next)) /* never later than true */
                CHECK_UINT(next, <=, earliest > now ? earliest : now);
            else
                CHECK_UINT(earliest, ==, UINT64_MAX);
            now += some_distance();
            advance(now);
            for (int k = 0; k < N; k++) {
                bool was_due = due[k] != 0 && due[k] <= now;
                CHECK_UINT(timers[k].n_fired, ==, was_due);
                timers[k].n_fired = 0;
                if (was_due)
                    due[k] = 0;
            }
            break;
        }
        }
    }
}

/* All are due at one millisecond or the next, and armed from nearer and nearer. */
static void meet_at(hw_mono_ms due, hw_mono_ms begin_at)
{
    begin(begin_at);
    for (int i = 0; i < N; i++) {
        arm(i, due + (i % 4 == 0));
        if (i % 5 == 0)
            hw_wheel_cancel(&wheel, &timers[check_random_below((uint64_t)i + 1)].entry);
        if (i % 4 == 0 && wheel.now < due)
            advance(wheel.now + check_random_below(due - wheel.now));
    }
    advance(due + 1);
    CHECK_UINT(wheel.n_armed, ==, 0);
}

/* on_timer checks the order; due times where slots of several levels begin are the hard
 * ones. */
CASE(one_millisecond_runs_in_order_of_arming)
{
    for (unsigned shift = 0; shift < 40; shift++) {
        hw_mono_ms due = (hw_mono_ms)1 << 41 | (check_random() >> 24 >> shift << shift);
        meet_at(due, due - 1 - some_distance());
    }
}

/* Going from next to next reaches every deadline, in a bounded number of steps each. */
CASE(stepping_by_next_reaches_everything)
{
    hw_mono_ms at;
    size_t n_steps = 0, n_fired = 0;

    begin(12345);
    for (int i = 0; i < N; i++)
        arm(i, 12345 + some_distance());
    while (hw_wheel_next(&wheel, &at)) {
        advance(at);
        n_steps++;
    }
    for (int i = 0; i < N; i++)
        n_fired += timers[i].n_fired;
    CHECK_UINT(n_fired, ==, N);
    CHECK_UINT(n_steps, <=, N * HW_WHEEL_LEVELS);
}

/* Moving down costs a wake-up each time. */
CASE(what_is_armed_from_near_wakes_nobody_before_its_time)
{
    const struct {
        hw_mono_ms distance;
        size_t most;
    } steps[] = { { 4095, 1 }, { 262143, 2 }, { 16777215, 3 } };
    hw_mono_ms at;

    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
        for (int run = 0; run < 200; run++) {
            size_t n = 0;
            begin(check_random() >> 24);
            arm(0, wheel.now + 1 + check_random_below(steps[i].distance));
            for (; hw_wheel_next(&wheel, &at); n++)
                advance(at);
            CHECK_UINT(n, <=, steps[i].most);
            CHECK_UINT(timers[0].n_fired, ==, 1);
            CHECK_UINT(timers[0].fired_at, ==, timers[0].entry.due);
        }
}

CASE(an_entry_is_small_and_the_wheel_not_large)
{
    CHECK_UINT(sizeof(struct hw_wheel_entry), <=, 32);
    CHECK_UINT(sizeof(struct hw_wheel), <=, 142 * 1024);
}
