/*
 * loop - what every part shares of one libuv loop: the time, the wheel, and the end
 * of each turn.
 *
 * Time is libuv's reading, taken once a turn right after the poll; callbacks of one turn
 * see one time.  `unix` is the wall clock, for what is signed and stored.  `steady` is
 * for what is scheduled in Redis: it starts as the wall clock and then follows the
 * monotonic clock (with suspend), drifting towards a wall clock that was set at no more
 * than 5 %, so that a jump neither fires every retry at once nor stops them.
 *
 * Turn hooks run once at the end of each turn, before the loop sleeps, in the order
 * they were added, and only those that were asked for: this is where dispatch starts what
 * is ready and where the outcomes of a turn go out together.
 *
 * Lag is the time from the first callback after a poll to the next sleep, hooks included: as
 * long as that took, everybody else had to wait.  libuv keeps its own reading in whole
 * milliseconds, so what runs first after a poll takes one (hw_loop_touch).
 *
 * Memory    embedded; hooks and wheel entries are members of their owners.  One read buffer
 *           of 64 KiB for all streams.
 * Lifetime  init, then close once with nothing armed and no stream open; the callback when
 *           its three handles are closed.
 * Signals   init sets SIGPIPE, where it still has its default action, to be ignored: a
 *           peer that hangs up must not end the process.
 * Errors    init can fail (ESYSTEM, ENOMEM); nothing else can.
 */
#ifndef HW_LOOP_LOOP_H
#define HW_LOOP_LOOP_H

#include <uv.h>

#include "core/wheel.h"
#include "hookwheel/status.h"
#include "loop/closing.h"

#define HW_LOOP_READ_BYTES (64 * 1024)

struct hw_loop;
struct hw_turn_hook;

typedef void (*hw_turn_cb)(struct hw_turn_hook *hook);
typedef void (*hw_loop_closed_cb)(struct hw_loop *loop);

struct hw_turn_hook {
    struct hw_list link;  /* in loop->hooks between add and remove */
    struct hw_loop *loop; /* borrowed, between add and remove */
    hw_turn_cb cb;
    bool is_asked; /* run at the end of this turn */
};

struct hw_loop {
    uv_loop_t *uv;        /* borrowed */
    uv_timer_t timer;     /* armed for the wheel's next entry */
    uv_prepare_t prepare; /* runs hooks, then re-arms the timer */
    uv_check_t check;     /* takes part in measuring lag */
    struct hw_wheel wheel;
    struct hw_list hooks;
    struct hw_list *next_hook; /* while hooks run: the one after the one that runs */
    hw_mono_ms timer_due;      /* what the timer is armed for; 0: not armed */
    hw_mono_ms read_at;        /* the turn `unix_now` was read in */
    hw_unix_ms unix_now;
    hw_unix_ms steady_base; /* steady = steady_base + boot clock */
    hw_mono_ms steady_at;   /* boot clock when steady_base was last moved */
    hw_mono_us turn_began;  /* 0: nothing has run since the last sleep */
    hw_mono_us span_began;  /* time is looked at in spans of about 100 ms: */
    hw_mono_us span_busy;   /* of this one so much was work */
    unsigned busy_percent;  /* of the last one */
    void (*lag_cb)(void *data, hw_mono_us busy_us); /* optional: one call a turn */
    void *lag_data;                                 /* borrowed */
    char *read_buffer;                  /* owned; HW_LOOP_READ_BYTES, for stream.c */
    struct hw_list handshakes;          /* streams whose TLS handshake can go on (stream.c) */
    size_t n_handshakes;                /* how many are in there */
    struct hw_turn_hook handshake_hook; /* takes those steps, a few a turn (stream.c) */
    struct hw_closing closing;
    hw_loop_closed_cb closed_cb;
    bool is_closing;
};

HW_MUST_USE enum hw_status hw_loop_init(struct hw_loop *loop, uv_loop_t *uv,
                                        struct hw_cause *cause);
void hw_loop_close(struct hw_loop *loop, hw_loop_closed_cb cb);

/* This turn's monotonic time; cheap. */
static inline hw_mono_ms hw_loop_now(const struct hw_loop *loop)
{
    return uv_now(loop->uv);
}

/* A fresh monotonic reading in microseconds, for what is measured. */
static inline hw_mono_us hw_loop_us(void)
{
    return uv_hrtime() / 1000;
}

/* Something begins to run: first line of whatever libuv calls straight after a poll. */
static inline void hw_loop_touch(struct hw_loop *loop)
{
    if (!loop->turn_began)
        loop->turn_began = hw_loop_us();
}

/* This turn's wall clock, and the steady one. */
hw_unix_ms hw_loop_unix(struct hw_loop *loop);
hw_unix_ms hw_loop_steady(struct hw_loop *loop);

/* Has it been at work for more than half of the time of late? */
static inline bool hw_loop_is_busy(const struct hw_loop *loop)
{
    return loop->busy_percent > 50;
}

/* Arm for `delay` from now, rounded up so that it is never early (0: the next turn);
 * cancel. */
void hw_loop_arm(struct hw_loop *loop, struct hw_wheel_entry *e, uint64_t delay_ms);
void hw_loop_cancel(struct hw_loop *loop, struct hw_wheel_entry *e);

/* Add at the end of the order; remove is fine at any time, inside a hook too, and for
 * one that was never added if its memory is zero. */
void hw_turn_hook_add(struct hw_loop *loop, struct hw_turn_hook *hook, hw_turn_cb cb);
void hw_turn_hook_remove(struct hw_turn_hook *hook);
/* Run it at the end of this turn (once, however often it is asked); a hook that asks for
 * itself, or for one before it, runs at the end of the next turn, which comes at once. */
void hw_turn_hook_ask(struct hw_loop *loop, struct hw_turn_hook *hook);

#endif
