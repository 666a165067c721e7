/* loop: time, the wheel's timer, hooks at the end of a turn, and the end of it all. */
#include "loop/loop.h"

#include <signal.h>

#include "check.h"

struct fixture {
    uv_loop_t uv;
    struct hw_loop loop;
    bool is_closed;
    int log[64]; /* what ran, in order */
    int n_log;
};

struct timer {
    struct hw_wheel_entry entry;
    struct fixture *f;
    hw_mono_us armed_us, fired_us;
    int id;
};

struct hook {
    struct hw_turn_hook hook;
    struct fixture *f;
    struct hw_turn_hook *asks; /* borrowed; NULL: none */
    struct hw_turn_hook *removes;
    int id, n_asks;
};

static void fixture_init(struct fixture *f)
{
    memset(f, 0, sizeof(*f));
    CHECK_INT(uv_loop_init(&f->uv), ==, 0);
    CHECK_INT(hw_loop_init(&f->loop, &f->uv, NULL), ==, HW_OK);
}

static void on_closed(struct hw_loop *loop)
{
    HW_CONTAINER_OF(loop, struct fixture, loop)->is_closed = true;
}

static void fixture_close(struct fixture *f)
{
    hw_loop_close(&f->loop, on_closed);
    uv_run(&f->uv, UV_RUN_DEFAULT);
    CHECK(f->is_closed);
    CHECK_INT(uv_loop_close(&f->uv), ==, 0);
}

static void on_fire(struct hw_wheel_entry *e)
{
    struct timer *t = HW_CONTAINER_OF(e, struct timer, entry);
    t->fired_us = hw_loop_us();
    t->f->log[t->f->n_log++] = t->id;
}

static void arm(struct fixture *f, struct timer *t, int id, uint64_t delay_ms)
{
    *t = (struct timer){ .f = f, .id = id, .armed_us = hw_loop_us() };
    hw_wheel_entry_init(&t->entry, on_fire);
    hw_loop_arm(&f->loop, &t->entry, delay_ms);
}

static void on_hook(struct hw_turn_hook *hook)
{
    struct hook *h = HW_CONTAINER_OF(hook, struct hook, hook);
    h->f->log[h->f->n_log++] = h->id;
    if (h->asks && h->n_asks-- > 0)
        hw_turn_hook_ask(&h->f->loop, h->asks);
    if (h->removes)
        hw_turn_hook_remove(h->removes);
}

static void add(struct fixture *f, struct hook *h, int id)
{
    *h = (struct hook){ .f = f, .id = id };
    hw_turn_hook_add(&f->loop, &h->hook, on_hook);
}

static void run_until(struct fixture *f, int n_log)
{
    while (f->n_log < n_log)
        uv_run(&f->uv, UV_RUN_ONCE);
}

CASE(entries_run_in_order_and_never_early)
{
    struct fixture f;
    struct timer t[4];
    fixture_init(&f);
    arm(&f, &t[0], 3, 30);
    arm(&f, &t[1], 1, 1);
    arm(&f, &t[2], 2, 12);
    arm(&f, &t[3], 0, 0);
    run_until(&f, 4);
    for (int i = 0; i < 4; i++)
        CHECK_INT(f.log[i], ==, i);
    CHECK_UINT(t[0].fired_us - t[0].armed_us, >=, 30000);
    CHECK_UINT(t[1].fired_us - t[1].armed_us, >=, 1000);
    CHECK_UINT(t[2].fired_us - t[2].armed_us, >=, 12000);
    fixture_close(&f);
}

CASE(an_arm_late_in_a_long_turn_is_not_early)
{
    struct fixture f;
    struct timer t;
    fixture_init(&f);
    uv_run(&f.uv, UV_RUN_NOWAIT);
    hw_mono_us busy_until = hw_loop_us() + 20000;
    while (hw_loop_us() < busy_until)
        ;
    arm(&f, &t, 0, 10);
    run_until(&f, 1);
    CHECK_UINT(t.fired_us - t.armed_us, >=, 10000);
    fixture_close(&f);
}

CASE(a_cancelled_entry_does_not_run)
{
    struct fixture f;
    struct timer a, b;
    fixture_init(&f);
    arm(&f, &a, 1, 2);
    arm(&f, &b, 2, 5);
    hw_loop_cancel(&f.loop, &a.entry);
    run_until(&f, 1);
    CHECK_INT(f.log[0], ==, 2);
    fixture_close(&f);
}

CASE(hooks_run_in_order_and_only_when_asked)
{
    struct fixture f;
    struct hook h[3];
    fixture_init(&f);
    for (int i = 0; i < 3; i++)
        add(&f, &h[i], i);
    hw_turn_hook_ask(&f.loop, &h[2].hook);
    hw_turn_hook_ask(&f.loop, &h[0].hook);
    hw_turn_hook_ask(&f.loop, &h[0].hook);
    uv_run(&f.uv, UV_RUN_NOWAIT);
    uv_run(&f.uv, UV_RUN_NOWAIT);
    CHECK_INT(f.n_log, ==, 2);
    CHECK_INT(f.log[0], ==, 0);
    CHECK_INT(f.log[1], ==, 2);
    fixture_close(&f);
}

CASE(a_hook_that_asks_for_itself_runs_next_turn_without_sleep)
{
    struct fixture f;
    struct hook h[2];
    fixture_init(&f);
    add(&f, &h[0], 0);
    add(&f, &h[1], 1);
    h[0].asks = &h[0].hook;
    h[0].n_asks = 3;
    h[1].asks = &h[0].hook; /* one before it */
    h[1].n_asks = 1;
    hw_turn_hook_ask(&f.loop, &h[0].hook);
    struct timer t;
    arm(&f, &t, 9, 20);
    run_until(&f, 5);
    hw_turn_hook_ask(&f.loop, &h[1].hook);
    arm(&f, &t, 9, 20);
    run_until(&f, 8);
    const int order[] = { 0, 0, 0, 0, 9, 1, 0, 9 };
    for (int i = 0; i < 8; i++)
        CHECK_INT(f.log[i], ==, order[i]);
    fixture_close(&f);
}

CASE(a_hook_may_remove_itself_and_the_next)
{
    struct fixture f;
    struct hook h[3];
    fixture_init(&f);
    for (int i = 0; i < 3; i++) {
        add(&f, &h[i], i);
        hw_turn_hook_ask(&f.loop, &h[i].hook);
    }
    h[0].removes = &h[1].hook;
    h[2].removes = &h[2].hook;
    uv_run(&f.uv, UV_RUN_NOWAIT);
    CHECK_INT(f.n_log, ==, 2);
    CHECK_INT(f.log[1], ==, 2);
    hw_turn_hook_remove(&h[2].hook);
    fixture_close(&f);
}

CASE(clocks_are_near_the_wall_and_steady_never_goes_back)
{
    struct fixture f;
    fixture_init(&f);
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t wall = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
    CHECK_INT(hw_loop_unix(&f.loop) - wall, >=, 0);
    CHECK_INT(hw_loop_unix(&f.loop) - wall, <, 1000);
    hw_unix_ms before = hw_loop_steady(&f.loop);
    CHECK_INT(before - wall, <, 1000);
    f.loop.steady_base += 3600 * 1000; /* as if the wall clock had been set back an hour */
    before = hw_loop_steady(&f.loop);
    for (int i = 0; i < 1000; i++) {
        hw_unix_ms at = hw_loop_steady(&f.loop);
        CHECK_INT(at, >=, before);
        before = at;
    }
    CHECK_INT(before - hw_loop_unix(&f.loop), >, 3500 * 1000);
    fixture_close(&f);
}

static void on_lag(void *data, hw_mono_us busy_us)
{
    hw_mono_us *longest = data;
    if (busy_us > *longest)
        *longest = busy_us;
}

static void on_fire_slowly(struct hw_wheel_entry *e)
{
    hw_mono_us until = hw_loop_us() + 30000;
    while (hw_loop_us() < until)
        ;
    on_fire(e);
}

CASE(lag_is_how_long_callbacks_took)
{
    struct fixture f;
    struct timer t;
    hw_mono_us longest = 0;
    fixture_init(&f);
    f.loop.lag_cb = on_lag;
    f.loop.lag_data = &longest;
    uv_run(&f.uv, UV_RUN_NOWAIT);
    arm(&f, &t, 0, 5);
    t.entry.cb = on_fire_slowly;
    run_until(&f, 1);
    uv_run(&f.uv, UV_RUN_NOWAIT);
    CHECK_UINT(longest, >=, 29000);
    CHECK_UINT(longest, <, 400000);
    fixture_close(&f);
}

CASE(sigpipe_is_ignored)
{
    struct fixture f;
    fixture_init(&f);
    raise(SIGPIPE);
    fixture_close(&f);
}
