/*
 * bench_wheel - what a deadline costs: engine/core/wheel against libuv's timers.
 *
 *   bench_wheel [N]      N armed, 1,000,000 if not said
 *
 * The same plan for both, with the same delays in the same order:
 *
 *   fill     arm N; not measured
 *   cancel   a tenth of them, picked at random ...
 *   arm      ... and these again, with new delays; ten times, so that each was picked once
 *   expire   let all of them fire
 *
 * so arm and cancel are seen while 90 to 100 % of N are armed, on memory that is in no near
 * cache.  Half of the delays are what may be left of a 10 s timeout, half what may be left of
 * a retry's 1, 5, 30 or 120 minutes.
 *
 * The wheel is told the time, as by the engine's loop: hw_wheel_next says when, and
 * hw_wheel_advance goes there; each entry must fire in its very millisecond.  libuv reads a
 * clock, so its delays are divided until the longest is a second: what a heap costs depends on
 * their order alone.
 *
 * Prints one line of JSON: nanoseconds of CPU each, the least of three repetitions, since
 * other work on the machine only adds.  "untimely" counts entries that fired early or late or
 * not at all; exit code 1 if there were any.
 */
#include <stdio.h>
#include <time.h>
#include <uv.h>

#include "base/must.h"
#include "base/slice.h"
#include "core/wheel.h"
#include "hookwheel/alloc.h"

enum {
    ROUNDS = 10,
    REPETITIONS = 3,
    N_MIN = 1000,
    N_MAX = 100 * 1000 * 1000,
    LONGEST_MS = 120 * 60 * 1000,
    LIBUV_LONGEST_MS = 1000
};

/* ---- plan ---- */

struct plan {
    size_t n;
    size_t *order;      /* owned; each entry once */
    uint32_t *first_ms; /* owned; the delay an entry is armed with at first ... */
    uint32_t *again_ms; /* owned; ... and the second time, that of order[0] first */
};

/* xorshift64*, so that every run has the same plan. */
static uint64_t draw(uint64_t below)
{
    static uint64_t state = UINT64_C(0x9e3779b97f4a7c15);

    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return (state * UINT64_C(0x2545f4914f6cdd1d) >> 16) % below;
}

static uint32_t draw_delay_ms(void)
{
    static const uint32_t retry_minutes[] = { 1, 5, 30, 120 };

    if (draw(2) == 0)
        return 1 + (uint32_t)draw(10 * 1000);
    return 1 + (uint32_t)draw(retry_minutes[draw(4)] * 60000);
}

static void plan_init(struct plan *p, size_t n)
{
    *p = (struct plan){
        .n = n,
        .order = hw_calloc(n, sizeof *p->order),
        .first_ms = hw_calloc(n, sizeof *p->first_ms),
        .again_ms = hw_calloc(n, sizeof *p->again_ms),
    };
    HW_MUST(p->order && p->first_ms && p->again_ms);
    for (size_t i = 0; i < n; i++) {
        size_t j = draw(i + 1);

        p->order[i] = p->order[j];
        p->order[j] = i;
        p->first_ms[i] = draw_delay_ms();
        p->again_ms[i] = draw_delay_ms();
    }
}

static void plan_close(struct plan *p)
{
    hw_free(p->order);
    hw_free(p->first_ms);
    hw_free(p->again_ms);
}

/* ---- the wheel ---- */

static struct hw_wheel wheel;
static struct hw_wheel_entry *entries; /* owned */
static hw_mono_ms clock_ms;
static size_t n_timely, n_untimely;

static void on_entry(struct hw_wheel_entry *e)
{
    if (e->due == clock_ms)
        n_timely++;
    else
        n_untimely++;
}

static void wheel_open(size_t n)
{
    entries = hw_calloc(n, sizeof *entries);
    HW_MUST(entries != NULL);
    clock_ms = uv_hrtime() / 1000000;
    hw_wheel_init(&wheel, clock_ms);
    n_timely = n_untimely = 0;
    for (size_t i = 0; i < n; i++)
        hw_wheel_entry_init(&entries[i], on_entry);
}

static void wheel_arm(size_t i, uint32_t delay_ms)
{
    hw_wheel_arm(&wheel, &entries[i], clock_ms + delay_ms);
}

static void wheel_cancel(size_t i)
{
    hw_wheel_cancel(&wheel, &entries[i]);
}

static void wheel_wait(void)
{
}

static void wheel_expire(void)
{
    while (hw_wheel_next(&wheel, &clock_ms))
        hw_wheel_advance(&wheel, clock_ms);
}

/* Returns how many did not fire when they should. */
static size_t wheel_close(size_t n)
{
    HW_MUST(n_timely + n_untimely <= n);
    hw_free(entries);
    return n - n_timely;
}

/* ---- libuv ---- */

static uv_loop_t loop;
static uv_timer_t *timers; /* owned */
static size_t n_fired;

static void on_timer(uv_timer_t *timer)
{
    (void)timer;
    n_fired++;
}

static void libuv_open(size_t n)
{
    timers = hw_calloc(n, sizeof *timers);
    HW_MUST(timers != NULL && uv_loop_init(&loop) == 0);
    n_fired = 0;
    for (size_t i = 0; i < n; i++)
        uv_timer_init(&loop, &timers[i]);
}

static void libuv_arm(size_t i, uint32_t delay_ms)
{
    uv_timer_start(&timers[i], on_timer, (uint64_t)delay_ms * LIBUV_LONGEST_MS / LONGEST_MS,
                   0);
}

static void libuv_cancel(size_t i)
{
    uv_timer_stop(&timers[i]);
}

/* Until all are due.  The loop's own time stands still meanwhile. */
static void libuv_wait(void)
{
    uv_sleep(LIBUV_LONGEST_MS + 1);
}

static void libuv_expire(void)
{
    uv_run(&loop, UV_RUN_NOWAIT);
}

static size_t libuv_close(size_t n)
{
    for (size_t i = 0; i < n; i++)
        uv_close((uv_handle_t *)&timers[i], NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    HW_MUST(uv_loop_close(&loop) == 0);
    hw_free(timers);
    return n - n_fired;
}

/* ---- measuring ---- */

/* One call more than in the engine, a nanosecond or two, for either. */
struct contender {
    void (*open)(size_t n);
    void (*arm)(size_t i, uint32_t delay_ms);
    void (*cancel)(size_t i);
    void (*wait)(void);
    void (*expire)(void);
    size_t (*close)(size_t n);
};

static const struct contender the_wheel = { wheel_open, wheel_arm,    wheel_cancel,
                                            wheel_wait, wheel_expire, wheel_close };
static const struct contender the_timers = { libuv_open, libuv_arm,    libuv_cancel,
                                             libuv_wait, libuv_expire, libuv_close };

struct cost {
    double arm, cancel, expire; /* ns each */
};

static double cpu_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static void run_round(const struct contender *c, const struct plan *p, size_t round,
                      struct cost *cost)
{
    const size_t *from = p->order + p->n * round / ROUNDS;
    const size_t *to = p->order + p->n * (round + 1) / ROUNDS;
    double began = cpu_ns(), between;

    for (const size_t *i = from; i < to; i++)
        c->cancel(*i);
    between = cpu_ns();
    for (const size_t *i = from; i < to; i++)
        c->arm(*i, p->again_ms[i - p->order]);
    cost->cancel += (between - began) / (double)p->n;
    cost->arm += (cpu_ns() - between) / (double)p->n;
}

/* Returns how many did not fire when they should. */
static size_t run(const struct contender *c, const struct plan *p, struct cost *cost)
{
    double began;

    *cost = (struct cost){ 0 };
    c->open(p->n);
    for (size_t i = 0; i < p->n; i++)
        c->arm(i, p->first_ms[i]);
    for (size_t round = 0; round < ROUNDS; round++)
        run_round(c, p, round, cost);
    c->wait();
    began = cpu_ns();
    c->expire();
    cost->expire = (cpu_ns() - began) / (double)p->n;
    return c->close(p->n);
}

static double lesser(double a, double b)
{
    return a < b ? a : b;
}

static size_t measure(const struct contender *c, const struct plan *p, struct cost *least)
{
    size_t n_wrong = run(c, p, least);

    for (int i = 1; i < REPETITIONS; i++) {
        struct cost cost;

        n_wrong += run(c, p, &cost);
        least->arm = lesser(least->arm, cost.arm);
        least->cancel = lesser(least->cancel, cost.cancel);
        least->expire = lesser(least->expire, cost.expire);
    }
    return n_wrong;
}

static void print_cost(const char *name, struct cost cost)
{
    printf(",\"%s\":{\"arm\":%.1f,\"cancel\":%.1f,\"expire\":%.1f}", name, cost.arm,
           cost.cancel, cost.expire);
}

int main(int argc, char **argv)
{
    uint64_t n = 1000000;
    struct cost wheel_ns, libuv_ns;
    size_t n_wrong;
    struct plan plan;

    if (argc > 2 || (argc == 2 && !hw_slice_u64(hw_slice_str(argv[1]), N_MAX, &n)) ||
        n < N_MIN) {
        fprintf(stderr, "usage: bench_wheel [N], N from %d to %d\n", N_MIN, N_MAX);
        return 2;
    }
    plan_init(&plan, n);
    n_wrong = measure(&the_wheel, &plan, &wheel_ns);
    n_wrong += measure(&the_timers, &plan, &libuv_ns);
    plan_close(&plan);
    printf("{\"n\":%llu,\"entry_bytes\":%zu", (unsigned long long)n,
           sizeof(struct hw_wheel_entry));
    print_cost("wheel_ns", wheel_ns);
    print_cost("libuv_ns", libuv_ns);
    printf(",\"untimely\":%zu}\n", n_wrong);
    return n_wrong == 0 ? 0 : 1;
}
