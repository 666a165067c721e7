/*
 * One turn of the loop, as libuv runs it:
 *
 *   timers (ours: advance the wheel) -> prepare (hooks; re-arm the timer) -> poll, sleeps
 *   -> callbacks of sockets -> check -> closed callbacks
 *
 * The timer is touched only when the wheel's next due time has changed.  Hooks that were
 * asked for while hooks ran make the poll return at once.
 */
#include "loop/loop.h"

#include <signal.h>
#include <string.h>
#include <time.h>

#include "base/must.h"
#include "hookwheel/alloc.h"

enum {
    STEADY_DRIFT = 20, /* at most 1/20 of the time that has passed: 5 % */
    SPAN_US = 100000
};

static hw_unix_ms clock_ms(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (hw_unix_ms)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void on_timer(uv_timer_t *timer)
{
    struct hw_loop *loop = HW_CONTAINER_OF(timer, struct hw_loop, timer);
    hw_loop_touch(loop);
    loop->timer_due = 0;
    hw_wheel_advance(&loop->wheel, hw_loop_now(loop));
}

static bool run_hooks(struct hw_loop *loop)
{
    bool again = false;
    for (struct hw_list *at = loop->hooks.next; at != &loop->hooks; at = loop->next_hook) {
        struct hw_turn_hook *hook = HW_CONTAINER_OF(at, struct hw_turn_hook, link);
        loop->next_hook = at->next;
        if (!hook->is_asked)
            continue;
        hook->is_asked = false;
        hook->cb(hook); /* may remove any hook, itself too */
    }
    loop->next_hook = NULL;
    HW_LIST_EACH(at, &loop->hooks)
    {
        again |= HW_CONTAINER_OF(at, struct hw_turn_hook, link)->is_asked;
    }
    return again;
}

static void set_timer(struct hw_loop *loop, bool at_once)
{
    hw_mono_ms now = hw_loop_now(loop);
    hw_mono_ms due = now;
    if (!at_once && !hw_wheel_next(&loop->wheel, &due)) {
        if (loop->timer_due)
            uv_timer_stop(&loop->timer);
        loop->timer_due = 0;
        return;
    }
    if (due == loop->timer_due)
        return;
    uv_timer_start(&loop->timer, on_timer, due > now ? due - now : 0, 0);
    loop->timer_due = due;
}

static void count_busy(struct hw_loop *loop, hw_mono_us now, hw_mono_us busy_us)
{
    loop->span_busy += busy_us;
    if (now < loop->span_began + SPAN_US)
        return;
    loop->busy_percent = (unsigned)(loop->span_busy * 100 / (now - loop->span_began));
    loop->span_began = now;
    loop->span_busy = 0;
}

static void tell_lag(struct hw_loop *loop)
{
    hw_mono_us now = hw_loop_us();
    hw_mono_us began = loop->turn_began;
    hw_mono_us busy_us = began && now > began ? now - began : 0;
    loop->turn_began = 0;
    count_busy(loop, now, busy_us);
    if (loop->lag_cb && began)
        loop->lag_cb(loop->lag_data, busy_us);
}

static void on_prepare(uv_prepare_t *prepare)
{
    struct hw_loop *loop = HW_CONTAINER_OF(prepare, struct hw_loop, prepare);
    bool again = run_hooks(loop);
    if (loop->is_closing)
        return;
    set_timer(loop, again);
    tell_lag(loop);
}

/* If nobody has by now, nothing of ours ran. */
static void on_check(uv_check_t *check)
{
    hw_loop_touch(HW_CONTAINER_OF(check, struct hw_loop, check));
}

static void ignore_sigpipe(void)
{
    struct sigaction old;
    if (sigaction(SIGPIPE, NULL, &old) == 0 && old.sa_handler == SIG_DFL)
        signal(SIGPIPE, SIG_IGN);
}

static enum hw_status no_handle(struct hw_loop *loop, int code, struct hw_cause *cause)
{
    hw_free(loop->read_buffer);
    loop->read_buffer = NULL;
    return hw_cause_set(cause, HW_ESYSTEM, HW_ORIGIN_LIBUV, code, "start the event loop: %s",
                        uv_strerror(code));
}

enum hw_status hw_loop_init(struct hw_loop *loop, uv_loop_t *uv, struct hw_cause *cause)
{
    memset(loop, 0, sizeof(*loop));
    loop->uv = uv;
    loop->read_buffer = hw_malloc(HW_LOOP_READ_BYTES);
    if (!loop->read_buffer)
        return hw_cause_set(cause, HW_ENOMEM, HW_ORIGIN_US, 0,
                            "start the event loop: no memory");
    /* On Linux these only link the handle into the loop; they cannot half fail. */
    int rc = uv_timer_init(uv, &loop->timer);
    if (rc == 0)
        rc = uv_prepare_init(uv, &loop->prepare);
    if (rc == 0)
        rc = uv_check_init(uv, &loop->check);
    if (rc != 0)
        return no_handle(loop, rc, cause);
    uv_update_time(uv);
    hw_wheel_init(&loop->wheel, uv_now(uv));
    hw_list_init(&loop->hooks);
    hw_list_init(&loop->handshakes);
    hw_closing_init(&loop->closing);
    uv_prepare_start(&loop->prepare, on_prepare);
    uv_check_start(&loop->check, on_check);
    hw_unix_ms boot = clock_ms(CLOCK_BOOTTIME);
    loop->steady_at = (hw_mono_ms)boot;
    loop->steady_base = clock_ms(CLOCK_REALTIME) - boot;
    ignore_sigpipe();
    return HW_OK;
}

static void loop_closed(struct hw_closing *closing)
{
    struct hw_loop *loop = HW_CONTAINER_OF(closing, struct hw_loop, closing);
    hw_free(loop->read_buffer);
    loop->read_buffer = NULL;
    if (loop->closed_cb)
        loop->closed_cb(loop);
}

static void on_timer_closed(uv_handle_t *h)
{
    hw_closing_release(&HW_CONTAINER_OF(h, struct hw_loop, timer)->closing);
}

static void on_prepare_closed(uv_handle_t *h)
{
    hw_closing_release(&HW_CONTAINER_OF(h, struct hw_loop, prepare)->closing);
}

static void on_check_closed(uv_handle_t *h)
{
    hw_closing_release(&HW_CONTAINER_OF(h, struct hw_loop, check)->closing);
}

void hw_loop_close(struct hw_loop *loop, hw_loop_closed_cb cb)
{
    HW_MUST(!loop->is_closing);
    HW_MUST(loop->wheel.n_armed == 0);
    HW_MUST(loop->n_handshakes == 0);
    loop->is_closing = true;
    loop->closed_cb = cb;
    hw_turn_hook_remove(&loop->handshake_hook);
    for (int i = 0; i < 3; i++)
        hw_closing_hold(&loop->closing);
    uv_close((uv_handle_t *)&loop->timer, on_timer_closed);
    uv_close((uv_handle_t *)&loop->prepare, on_prepare_closed);
    uv_close((uv_handle_t *)&loop->check, on_check_closed);
    hw_closing_begin(&loop->closing, loop_closed);
}

hw_unix_ms hw_loop_unix(struct hw_loop *loop)
{
    hw_mono_ms now = hw_loop_now(loop);
    if (loop->read_at != now || loop->unix_now == 0) {
        loop->read_at = now;
        loop->unix_now = clock_ms(CLOCK_REALTIME);
    }
    return loop->unix_now;
}

/* Moving the base by less than the time that has passed keeps the clock from going
 * backwards. */
hw_unix_ms hw_loop_steady(struct hw_loop *loop)
{
    hw_unix_ms boot = clock_ms(CLOCK_BOOTTIME);
    hw_unix_ms may_move = (boot - (hw_unix_ms)loop->steady_at) / STEADY_DRIFT;
    if (may_move > 0) {
        hw_unix_ms off = clock_ms(CLOCK_REALTIME) - (loop->steady_base + boot);
        if (off > may_move)
            off = may_move;
        if (off < -may_move)
            off = -may_move;
        loop->steady_base += off;
        loop->steady_at = (hw_mono_ms)boot;
    }
    return loop->steady_base + boot;
}

/* A fresh reading: the turn's own may be old by as long as the turn has lasted, and the
 * entry would run that much early. */
void hw_loop_arm(struct hw_loop *loop, struct hw_wheel_entry *e, uint64_t delay_ms)
{
    hw_mono_ms due = hw_loop_now(loop);
    if (delay_ms > 0)
        due = uv_hrtime() / 1000000 + 1 + delay_ms;
    hw_wheel_arm(&loop->wheel, e, due);
}

void hw_loop_cancel(struct hw_loop *loop, struct hw_wheel_entry *e)
{
    hw_wheel_cancel(&loop->wheel, e);
}

void hw_turn_hook_add(struct hw_loop *loop, struct hw_turn_hook *hook, hw_turn_cb cb)
{
    hook->loop = loop;
    hook->cb = cb;
    hook->is_asked = false;
    hw_list_node_init(&hook->link);
    hw_list_push_back(&loop->hooks, &hook->link);
}

void hw_turn_hook_remove(struct hw_turn_hook *hook)
{
    if (!hw_list_is_linked(&hook->link))
        return;
    if (hook->loop->next_hook == &hook->link)
        hook->loop->next_hook = hook->link.next;
    hw_list_unlink(&hook->link);
    hook->is_asked = false;
}

/* The loop may be about to sleep or asleep only when nobody of ours runs, so a flag is
 * enough; prepare sees it. */
void hw_turn_hook_ask(struct hw_loop *loop, struct hw_turn_hook *hook)
{
    HW_MUST(hook->loop == loop && hw_list_is_linked(&hook->link));
    hook->is_asked = true;
}
