/*
 * Memory runs out: each story with the first allocation refused, then the second, until one needs
 * fewer; then crowds that are refused one in so many.  Nothing that was accepted may be
 * forgotten, and no block may be left.
 */
#include "check.h"

#include "sim/world.h"
#include "support/scarce.h"

enum { MINUTE = 60 * 1000, STEPS_MAX = 20000 };

static const uint64_t standard[] = { 1 * MINUTE, 5 * MINUTE, 30 * MINUTE, 120 * MINUTE };
static const struct hw_retry_rules rules = { standard, 4, 0 };
static struct world world;

static struct world_answer http(int status, uint64_t after_ms)
{
    return (struct world_answer){ { HW_FAILURE_NONE, HW_PHASE_NONE, status, 0 }, after_ms };
}

static struct world_answer always_500(struct world *w, uint32_t number, uint64_t n, unsigned attempt)
{
    (void)w, (void)number, (void)n, (void)attempt;
    return http(500, 40);
}

static struct world_answer always_204(struct world *w, uint32_t number, uint64_t n, unsigned attempt)
{
    (void)w, (void)number, (void)n, (void)attempt;
    return http(204, 5);
}

/* Until nothing is pending, which it comes to. */
static void run_to_the_end(void)
{
    while (world_step(&world))
        CHECK_UINT(world.n_steps, <, STEPS_MAX);
    CHECK(!world.has_doubt);
    CHECK(!world.must_put);
    CHECK(hw_list_is_empty(&world.unsettled));
    CHECK_UINT(world.courier.dispatch.deliveries.n_entries, ==, 0);
    CHECK_UINT(world.courier.n_suspects, ==, 0);
    CHECK_PTR(world.courier.suspect, ==, NULL);
}

static unsigned count(enum world_where where, enum hw_failure failure)
{
    unsigned n = 0;

    for (size_t i = 0; i < world.n_deliveries; i++)
        n += world.deliveries[i]->where == where && world.deliveries[i]->failure == failure;
    return n;
}

static void check_log(const struct world_delivery *r, unsigned n_attempts)
{
    struct hw_history h;
    struct hw_attempt a;
    unsigned n = 0;

    CHECK(hw_history_unpack(&h, hw_buf_slice(&r->state)));
    while (hw_attempt_next(&h.log, &a))
        CHECK_UINT(a.number, ==, ++n);
    CHECK_UINT(h.log.len, ==, 0);
    CHECK_UINT(n, ==, n_attempts);
}

static void single_life(void)
{
    world_init(&world, 1, 1, 100, 10, &rules);
    world.answer = always_500;
    struct world_delivery *d = world_accept(&world, 0);
    run_to_the_end();
    CHECK_INT(d->where, ==, WORLD_DEAD);
    CHECK_INT(d->failure, ==, HW_FAILURE_HTTP_STATUS);
    CHECK_UINT(d->attempts, ==, 5);
    CHECK_UINT(d->sent, <=, 6); /* one may have been made twice */
    check_log(d, 4);            /* as parked the last time: each attempt once */
    CHECK_UINT(world.endpoints[0].failures_in_a_row, ==, 1);
    world_close(&world);
}

CASE(a_single_life)
{
    SCARCE_EACH(n)
    {
        scarce_begin(n);
        single_life();
        scarce_end();
    }
}

/* Some exhaust their attempts, that disables the webhook, and the rest is written off, in memory
 * or out of the store. */
static void dead_letters_in_a_row(void)
{
    static const struct hw_retry_rules twice = { standard, 1, 0 };

    world_init(&world, 1, 2, 100, 4, &twice);
    world.answer = always_500;
    world.disable_after = 10;
    for (int i = 0; i < 90; i++)
        world_accept(&world, 0);
    run_to_the_end();
    unsigned n_exhausted = count(WORLD_DEAD, HW_FAILURE_HTTP_STATUS);
    CHECK_UINT(n_exhausted, >=, 10);
    CHECK_UINT(n_exhausted + count(WORLD_DEAD, HW_FAILURE_WEBHOOK_DISABLED), ==, 90);
    CHECK_INT(world.endpoints[0].webhook->standing.status, ==, HW_WEBHOOK_DISABLED);
    CHECK_INT(world.endpoints[1].webhook->standing.status, ==, HW_WEBHOOK_ACTIVE);
    world_close(&world);
}

CASE(ten_dead_letters_in_a_row)
{
    SCARCE_EACH(n)
    {
        scarce_begin(n);
        dead_letters_in_a_row();
        scarce_end();
    }
}

/* More than memory may hold: what waits in the store is fetched by and by. */
static void refill(void)
{
    world_init(&world, 1, 2, 100, 10, &rules);
    world.answer = always_204;
    for (uint32_t i = 0; i < 140; i++)
        world_accept(&world, i % 4 == 0);
    run_to_the_end();
    CHECK_UINT(count(WORLD_DELIVERED, HW_FAILURE_NONE), ==, 140);
    world_close(&world);
}

CASE(a_refill)
{
    SCARCE_EACH(n)
    {
        scarce_begin(n);
        refill();
        scarce_end();
    }
}

static void crash(void)
{
    world_init(&world, 1, 2, 100, 4, &rules);
    world.answer = always_204;
    for (uint32_t i = 0; i < 20; i++)
        world_accept(&world, i % 2);
    world_run_until(&world, 3);
    world_crash(&world);
    run_to_the_end();
    CHECK_UINT(count(WORLD_DELIVERED, HW_FAILURE_NONE), ==, 20);
    world_close(&world);
}

CASE(a_crash)
{
    SCARCE_EACH(n)
    {
        scarce_begin(n);
        crash();
        scarce_end();
    }
}

/* Two crashes make suspects of what was under way; one of them is poison. */
static void suspects(void)
{
    world_init(&world, 1, 3, 100, 10, &rules);
    world.answer = always_204;
    for (uint32_t i = 0; i < 9; i++)
        world_accept(&world, i % 3);
    for (int i = 0; i < 2; i++) {
        world_run_until(&world, world.now + 1);
        world_crash(&world);
    }
    world.deliveries[4]->marks = 3;
    run_to_the_end();
    CHECK_UINT(count(WORLD_DELIVERED, HW_FAILURE_NONE), ==, 8);
    CHECK_INT(world.deliveries[4]->failure, ==, HW_FAILURE_POISON);
    world_close(&world);
}

CASE(suspects_under_a_mark)
{
    SCARCE_EACH(n)
    {
        scarce_begin(n);
        suspects();
        scarce_end();
    }
}

/* A webhook is disabled and another one deleted while attempts are under way, deliveries are queued
 * and more wait in the store. */
static void account_change(void)
{
    world_init(&world, 1, 3, 100, 2, &rules);
    world.answer = always_204;
    for (uint32_t i = 0; i < 210; i++)
        world_accept(&world, i % 3);
    world_run_until(&world, 8);
    world_set_status(&world, 0, HW_WEBHOOK_DISABLED);
    world_set_status(&world, 1, HW_WEBHOOK_DELETED);
    run_to_the_end();
    CHECK_UINT(count(WORLD_DELIVERED, HW_FAILURE_NONE) +
                   count(WORLD_DEAD, HW_FAILURE_WEBHOOK_DISABLED) +
                   count(WORLD_DEAD, HW_FAILURE_WEBHOOK_DELETED), ==, 210);
    for (size_t i = 0; i < world.n_deliveries; i++)
        if (world.deliveries[i]->w == 2)
            CHECK_INT(world.deliveries[i]->where, ==, WORLD_DELIVERED);
    world_close(&world);
}

CASE(an_account_change)
{
    SCARCE_EACH(n)
    {
        scarce_begin(n);
        account_change();
        scarce_end();
    }
}

static void fence(void)
{
    world_init(&world, 1, 2, 100, 4, &rules);
    world.answer = always_204;
    for (uint32_t i = 0; i < 20; i++)
        world_accept(&world, i % 2);
    world_run_until(&world, 3);
    world_fence(&world);
    run_to_the_end();
    CHECK_UINT(count(WORLD_DELIVERED, HW_FAILURE_NONE), ==, 20);
    world_close(&world);
}

CASE(a_fence)
{
    SCARCE_EACH(n)
    {
        scarce_begin(n);
        fence();
        scarce_end();
    }
}

CASE(what_waits_for_a_webhook_that_there_was_no_memory_for_is_not_forgotten)
{
    scarce_begin(0);
    world_init(&world, 1, 1, 100, 4, &rules);
    world.answer = always_204;
    scarce.one_in = 1; /* nothing to be had */
    struct world_delivery *d = world_accept(&world, 0);
    CHECK_INT(d->where, ==, WORLD_WAITING);
    CHECK_PTR(hw_dispatch_find(&world.courier.dispatch, 0), ==, NULL);
    scarce.one_in = 0;
    run_to_the_end();
    CHECK_INT(d->where, ==, WORLD_DELIVERED);
    world_close(&world);
    scarce_end();
}

/* ---- crowds ---- */

static struct world_answer any_answer(struct world *w, uint32_t number, uint64_t n, unsigned attempt)
{
    unsigned dice = hw_random_below(&w->random, 100);

    (void)number, (void)n, (void)attempt;
    if (dice < 30)
        return http(503, 20);
    return http(204, 1 + hw_random_below(&w->random, 200));
}

static void some_mishap(uint32_t w)
{
    switch (hw_random_below(&world.random, 40)) {
    case 0:
        world_crash(&world);
        break;
    case 1:
        world_fence(&world);
        break;
    case 2:
        world_set_status(&world, w, HW_WEBHOOK_DISABLED);
        break;
    case 3:
        world_set_status(&world, w, HW_WEBHOOK_DELETED);
        break;
    default:
        break;
    }
}

static void crowd(uint64_t seed, uint32_t n_webhooks)
{
    world_init(&world, seed, n_webhooks, 20, 4, &rules);
    world.answer = any_answer;
    world.disable_after = 10;
    for (unsigned i = 0; i < 200; i++) {
        uint32_t w = hw_random_below(&world.random, n_webhooks);
        world_accept(&world, w);
        if (hw_random_below(&world.random, 4) == 0)
            world_step(&world);
        some_mishap(w);
    }
    run_to_the_end();
    for (size_t i = 0; i < world.n_deliveries; i++)
        if (world.deliveries[i]->where != WORLD_DELIVERED && world.deliveries[i]->where != WORLD_DEAD)
            CHECK_FAIL("seed %" PRIu64 ": %u/%" PRIu64 " is forgotten (where %d)", seed,
                       world.deliveries[i]->w, world.deliveries[i]->n, world.deliveries[i]->where);
    world_close(&world);
}

CASE(crowds_that_are_refused_now_and_then)
{
    uint64_t first = check_random();

    for (uint64_t seed = first; seed < first + 200; seed++) {
        scarce_begin_at_random(2 + (unsigned)(seed % 60), seed);
        crowd(seed, 1 + (uint32_t)(seed % 6));
        scarce_end();
    }
}
