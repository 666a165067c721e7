/* Stories of single deliveries and of whole crowds, in virtual time. */
#include "check.h"

#include "sim/world.h"

enum { MINUTE = 60 * 1000 };

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

CASE(the_whole_life_of_a_delivery_that_nobody_wants)
{
    static const char wanted[] =
        "[        0] 0/1 attempt 1\n"
        "[       40] 0/1 answered 500\n"
        "[       41] 0/1 parked for 60041\n"
        "[    60041] 0/1 attempt 2\n"
        "[    60081] 0/1 answered 500\n"
        "[    60082] 0/1 parked for 360082\n"
        "[   360082] 0/1 attempt 3\n"
        "[   360122] 0/1 answered 500\n"
        "[   360123] 0/1 parked for 2160123\n"
        "[  2160123] 0/1 attempt 4\n"
        "[  2160163] 0/1 answered 500\n"
        "[  2160164] 0/1 parked for 9360164\n"
        "[  9360164] 0/1 attempt 5\n"
        "[  9360204] 0/1 answered 500\n"
        "[  9360205] 0/1 dead after 5\n";
    char *trace = NULL;
    size_t size = 0;

    world_init(&world, 1, 1, 100, 10, &rules);
    world.answer = always_500;
    world.trace = open_memstream(&trace, &size);
    struct world_delivery *d = world_accept(&world, 0);
    while (world_step(&world))
        continue;
    fclose(world.trace);
    world.trace = NULL;
    CHECK_STR(trace, wanted); /* 2 h 36 m */
    CHECK_INT(d->failure, ==, HW_FAILURE_HTTP_STATUS);
    CHECK_UINT(world.endpoints[0].failures_in_a_row, ==, 1);
    free(trace);
    world_close(&world);
}

/* As after many redeliveries: all the answers together are more than is kept of one delivery. */
CASE(a_log_that_is_full_ends_no_schedule)
{
    static const char head[16000] = { 'x' };
    static uint64_t delays[99];
    static const struct hw_retry_rules often = { delays, 99, 0 };

    for (int i = 0; i < 99; i++)
        delays[i] = 10;
    world_init(&world, 1, 1, 100, 10, &often);
    world.answer = always_500;
    world.response_head = hw_slice(head, sizeof head);
    struct world_delivery *d = world_accept(&world, 0);
    world_run_until(&world, 10 * MINUTE);
    CHECK_INT(d->where, ==, WORLD_DEAD);
    CHECK_UINT(d->sent, ==, 100);
    CHECK_UINT(d->attempts, ==, 100);
    world_close(&world);
}

CASE(ten_dead_letters_in_a_row_disable_and_what_waits_dies)
{
    world_init(&world, 1, 2, 100, 4, &rules);
    world.answer = always_500;
    world.disable_after = 10;
    for (int i = 0; i < 400; i++)
        world_accept(&world, 0);
    while (world_step(&world))
        continue;
    unsigned n_exhausted = 0, n_written_off = 0;
    for (size_t i = 0; i < world.n_deliveries; i++) {
        CHECK_INT(world.deliveries[i]->where, ==, WORLD_DEAD);
        n_exhausted += world.deliveries[i]->failure == HW_FAILURE_HTTP_STATUS;
        n_written_off += world.deliveries[i]->failure == HW_FAILURE_WEBHOOK_DISABLED;
    }
    CHECK_UINT(n_exhausted, >=, 10);
    CHECK_UINT(n_exhausted, <=, 10 + 2 * 4); /* and what was under way at that moment */
    CHECK_UINT(n_exhausted + n_written_off, ==, 400);
    CHECK_INT(world.endpoints[0].webhook->standing.status, ==, HW_WEBHOOK_DISABLED);
    CHECK_INT(world.endpoints[1].webhook->standing.status, ==, HW_WEBHOOK_ACTIVE);
    world_close(&world);
}

static struct world_answer fails_but_one(struct world *w, uint32_t number, uint64_t n, unsigned attempt)
{
    (void)w, (void)number, (void)attempt;
    return n == 10 ? http(204, 5) : http(500, 5);
}

CASE(a_success_in_between_resets_the_count)
{
    struct hw_retry_rules once = { NULL, 0, 0 };

    world_init(&world, 1, 1, 100, 1, &once);
    world.answer = fails_but_one;
    world.disable_after = 10;
    for (int i = 0; i < 19; i++)
        world_accept(&world, 0);
    while (world_step(&world))
        continue;
    CHECK_UINT(world.endpoints[0].failures_in_a_row, ==, 9);
    CHECK_INT(world.endpoints[0].webhook->standing.status, ==, HW_WEBHOOK_ACTIVE);
    world_accept(&world, 0);
    while (world_step(&world))
        continue;
    CHECK_INT(world.endpoints[0].webhook->standing.status, ==, HW_WEBHOOK_DISABLED);
    world_close(&world);
}

static struct world_answer gone(struct world *w, uint32_t number, uint64_t n, unsigned attempt)
{
    (void)w, (void)number, (void)n, (void)attempt;
    return http(410, 5);
}

CASE(gone_disables_at_once_without_a_retry)
{
    world_init(&world, 1, 1, 100, 1, &rules);
    world.answer = gone;
    world.disable_after = 10;
    struct world_delivery *d = world_accept(&world, 0);
    while (world_step(&world))
        continue;
    CHECK_UINT(d->sent, ==, 1);
    CHECK_INT(d->where, ==, WORLD_DEAD);
    CHECK_INT(d->failure, ==, HW_FAILURE_HTTP_STATUS);
    CHECK_INT(world.endpoints[0].webhook->standing.status, ==, HW_WEBHOOK_DISABLED);
    CHECK_UINT(world.now, <, 100);
    world_close(&world);
}

static struct world_answer busy_once(struct world *w, uint32_t number, uint64_t n, unsigned attempt)
{
    struct world_answer a = http(204, 5);

    (void)w;
    if (number == 0 && n == 1 && attempt == 1) {
        a = http(429, 5);
        a.result.retry_after_ms = 3 * MINUTE;
    }
    return a;
}

CASE(retry_after_holds_the_whole_webhook_and_moves_the_retry)
{
    world_init(&world, 1, 2, 100, 1, &rules);
    world.answer = busy_once;
    struct world_delivery *first = world_accept(&world, 0);
    struct world_delivery *second = world_accept(&world, 0);
    struct world_delivery *other = world_accept(&world, 1);
    while (world_step(&world))
        continue;
    CHECK_UINT(first->attempts, ==, 2);
    CHECK_UINT(first->ended_at, >=, 5 + 3 * MINUTE);
    CHECK_UINT(second->ended_at, >=, 5 + 3 * MINUTE); /* held */
    CHECK_UINT(second->ended_at, <, 4 * MINUTE);
    CHECK_UINT(other->ended_at, <, 100);              /* another webhook is not */
    world_close(&world);
}

static unsigned n_faults;

static struct world_answer our_fault(struct world *w, uint32_t number, uint64_t n, unsigned attempt)
{
    struct world_answer a = http(204, 5);

    (void)w, (void)number, (void)n;
    CHECK_UINT(attempt, ==, 1); /* keeps its number */
    if (n_faults > 0) {
        n_faults--;
        a.result = (struct hw_attempt_result){ HW_FAILURE_INTERNAL, HW_PHASE_NONE, 0, 0 };
    }
    return a;
}

CASE(faults_of_our_own_are_not_attempts)
{
    world_init(&world, 1, 1, 100, 1, &rules);
    n_faults = 5;
    world.answer = our_fault;
    struct world_delivery *d = world_accept(&world, 0);
    while (world_step(&world))
        continue;
    CHECK_INT(d->where, ==, WORLD_DELIVERED);
    CHECK_UINT(d->attempts, ==, 1);
    CHECK_UINT(d->sent, ==, 6);
    CHECK_UINT(d->ended_at, >=, (1 + 2 + 4 + 8 + 16) * 1000);
    CHECK_UINT(d->ended_at, <, (1 + 2 + 4 + 8 + 16) * 1000 + 100);
    world_close(&world);
}

/* The turn in which it comes to light has been long: the wheel is behind the time. */
CASE(a_fault_of_our_own_is_paused_for_from_when_it_came_to_light)
{
    world_init(&world, 1, 1, 100, 1, &rules);
    n_faults = 1;
    world.answer = our_fault;
    struct world_delivery *d = world_accept(&world, 0);
    world_run_until(&world, 0); /* it is under way */
    CHECK_UINT(d->sent, ==, 1);
    world.now = 240;
    while (world_step(&world))
        continue;
    CHECK_INT(d->where, ==, WORLD_DELIVERED);
    CHECK_UINT(d->ended_at, >=, 240 + 1000);
    CHECK_UINT(d->ended_at, <, 240 + 1000 + 100);
    world_close(&world);
}

static struct world_answer hangs_on_even(struct world *w, uint32_t number, uint64_t n, unsigned attempt)
{
    struct world_answer a = http(204, 5);

    (void)w, (void)n, (void)attempt;
    if (number % 2 == 0) {
        a.result = (struct hw_attempt_result){ HW_FAILURE_TIMEOUT, HW_PHASE_RESPONSE, 0, 0 };
        a.after_ms = 10000;
    }
    return a;
}

CASE(hanging_endpoints_delay_no_other)
{
    hw_mono_ms last = 0;

    /* 30 that hang could hold 30 * 64 of 400. */
    world_init(&world, 1, 60, 400, 64, &rules);
    world.answer = hangs_on_even;
    for (int i = 0; i < 60; i++)
        for (int k = 0; k < 200; k++)
            world_accept(&world, (uint32_t)i);
    world_run_until(&world, 9000); /* before the first of the hanging ones lets go */
    for (size_t i = 0; i < world.n_deliveries; i++)
        if (world.deliveries[i]->w % 2 == 1) {
            CHECK_INT(world.deliveries[i]->where, ==, WORLD_DELIVERED);
            if (world.deliveries[i]->ended_at > last)
                last = world.deliveries[i]->ended_at;
        }
    CHECK_UINT(last, <, 2000);
    world_close(&world);
}

static struct world_answer slow_firsts(struct world *w, uint32_t number, uint64_t n, unsigned attempt)
{
    (void)w, (void)number, (void)n;
    return attempt == 1 ? http(503, 10) : http(204, 10);
}

static struct world_answer after_20_ms(struct world *w, uint32_t number, uint64_t n, unsigned attempt)
{
    (void)w, (void)number, (void)n, (void)attempt;
    return http(204, 20);
}

static size_t n_delivered(void)
{
    size_t n = 0;

    for (size_t i = 0; i < world.n_deliveries; i++)
        n += world.deliveries[i]->where == WORLD_DELIVERED;
    return n;
}

CASE(what_is_live_is_a_few_attempts_behind_a_large_backfill)
{
    world_init(&world, 1, 1, 100, 2, &rules);
    world.answer = after_20_ms;
    world.store_ms = 3;
    for (int i = 0; i < 500; i++)
        world_fill(&world, 0);
    for (int i = 0; i < 20; i++) {
        while (n_delivered() < 20 * (size_t)i + 10)
            CHECK(world_step(&world));
        hw_mono_ms asked_at = world.now;
        struct world_delivery *live = world_accept(&world, 0);
        while (live->where != WORLD_DELIVERED)
            CHECK(world_step(&world));
        /* One that is under way, one that was fetched for its slot, and its own. */
        CHECK_UINT(live->ended_at - asked_at, <=, 3 * (20 + 3));
        CHECK_UINT(n_delivered(), <, 20 * (size_t)i + 20);
    }
    while (world_step(&world))
        continue;
    CHECK_UINT(n_delivered(), ==, 520);
    CHECK_UINT(world.endpoints[0].n_open_max, ==, 2); /* and both slots are used */
    world_close(&world);
}

CASE(a_backfill_waits_for_what_waits_live_and_keeps_its_order)
{
    char *trace = NULL, *at;
    size_t size = 0;

    world_init(&world, 1, 1, 100, 1, &rules);
    world.answer = always_204;
    for (int i = 0; i < 5; i++)
        world_fill(&world, 0);
    for (int i = 0; i < 200; i++) /* more than is kept in memory */
        world_accept(&world, 0);
    world.trace = open_memstream(&trace, &size);
    while (world_step(&world))
        continue;
    fclose(world.trace);
    world.trace = NULL;
    at = strstr(trace, " 0/205 attempt 1\n"); /* the last of the live ones */
    for (unsigned n = 1; n <= 5; n++) {
        char wanted[32];
        snprintf(wanted, sizeof wanted, " 0/%u attempt 1\n", n);
        CHECK(at != NULL);
        CHECK(strstr(trace, wanted) > at);
        at = strstr(trace, wanted);
    }
    CHECK_UINT(n_delivered(), ==, 205);
    free(trace);
    world_close(&world);
}

CASE(due_retries_get_one_start_in_four_while_first_attempts_queue)
{
    struct hw_retry_rules soon_rules = { (const uint64_t[]){ 10 }, 1, 0 };
    unsigned n_delivered = 0;

    world_init(&world, 1, 1, 8, 8, &soon_rules);
    world.answer = slow_firsts;
    for (int i = 0; i < 4000; i++)
        world_accept(&world, 0);
    world_run_until(&world, 3000); /* room for about 2,000 starts */
    for (size_t i = 0; i < world.n_deliveries; i++)
        n_delivered += world.deliveries[i]->where == WORLD_DELIVERED;
    CHECK_UINT(n_delivered, >=, 400);
    CHECK_UINT(n_delivered, <=, 700);
    world_close(&world);
}

CASE(an_instance_that_dies_again_and_again_makes_suspects_that_go_one_at_a_time)
{
    world_init(&world, 1, 3, 100, 10, &rules);
    world.answer = always_204;
    for (int i = 0; i < 30; i++)
        world_accept(&world, (uint32_t)i % 3);
    for (int i = 0; i < 2; i++) {
        world_step(&world);
        world_crash(&world);
    }
    CHECK_UINT(world.courier.n_suspects, >, 0);
    while (world_step(&world)) {
        unsigned n_open = 0;
        for (size_t w = 0; w < 3; w++)
            n_open += world.endpoints[w].n_open;
        CHECK_UINT(n_open, <=, 1);
    }
    for (size_t i = 0; i < world.n_deliveries; i++)
        CHECK_INT(world.deliveries[i]->where, ==, WORLD_DELIVERED);
    world_close(&world);
}

CASE(what_kills_its_owner_under_its_mark_three_times_is_poison)
{
    world_init(&world, 1, 1, 100, 10, &rules);
    world.answer = always_204;
    struct world_delivery *d = world_accept(&world, 0);
    for (int i = 0; i < 5; i++) {
        /* Until it is under way, then its owner dies. */
        world_run_until(&world, world.now);
        while (d->where == WORLD_OWNED && !d->in_flight && world_step(&world))
            continue;
        if (d->where != WORLD_OWNED)
            break;
        world_crash(&world);
    }
    while (world_step(&world))
        continue;
    CHECK_INT(d->where, ==, WORLD_DEAD);
    CHECK_INT(d->failure, ==, HW_FAILURE_POISON);
    world_close(&world);
}

static struct world_answer slow_204(struct world *w, uint32_t number, uint64_t n, unsigned attempt)
{
    (void)w, (void)number, (void)n, (void)attempt;
    return http(204, 5000);
}

CASE(what_becomes_ours_again_while_an_old_attempt_is_under_way_is_attempted_after_it)
{
    world_init(&world, 1, 1, 100, 2, &rules);
    world.answer = slow_204;
    for (int i = 0; i < 4; i++)
        world_accept(&world, 0);
    world_run_until(&world, 10);
    world_fence(&world);
    while (world_step(&world))
        continue;
    for (size_t i = 0; i < world.n_deliveries; i++)
        CHECK_INT(world.deliveries[i]->where, ==, WORLD_DELIVERED);
    CHECK_UINT(world.deliveries[0]->sent, ==, 2);
    CHECK_UINT(world.deliveries[3]->sent, ==, 1);
    world_close(&world);
}

CASE(a_marked_suspect_that_is_nobodys_any_more_is_not_sent)
{
    world_init(&world, 1, 1, 100, 10, &rules);
    world.answer = always_204;
    struct world_delivery *d = world_accept(&world, 0);
    d->crashes = 1;
    world_crash(&world);
    hw_dispatch_stop(&world.courier.dispatch, true);
    world_run_until(&world, 10);
    CHECK_UINT(d->marks, ==, 1); /* marked, and ready */
    hw_courier_drop_all(&world.courier);
    d->where = WORLD_NOWHERE;    /* another instance has it */
    hw_dispatch_stop(&world.courier.dispatch, false);
    while (world_step(&world))
        continue;
    CHECK_UINT(d->sent, ==, 0);
    CHECK_UINT(world.n_tasks, ==, 0);
    world_close(&world);
}

/* ---- crowds ---- */

static unsigned fail_percent, hang_percent, fault_percent;

static struct world_answer random_answer(struct world *w, uint32_t number, uint64_t n, unsigned attempt)
{
    unsigned dice = hw_random_below(&w->random, 100);
    struct world_answer a = http(204, 1 + hw_random_below(&w->random, 200));

    (void)n, (void)attempt;
    if (number % 7 == 3)
        dice /= 4; /* worse than the others */
    if (dice < fail_percent) {
        a.result.status = hw_random_below(&w->random, 8) == 0 ? 429 : 500;
        a.result.retry_after_ms = hw_random_below(&w->random, 600000);
    } else if (dice < fail_percent + hang_percent) {
        a = (struct world_answer){ { HW_FAILURE_TIMEOUT, HW_PHASE_RESPONSE, 0, 0 }, 10000 };
    } else if (dice < fail_percent + hang_percent + fault_percent) {
        a = (struct world_answer){ { HW_FAILURE_INTERNAL, HW_PHASE_NONE, 0, 0 }, 1 };
    }
    return a;
}

static void check_end(uint64_t seed)
{
    for (size_t i = 0; i < world.n_deliveries; i++) {
        const struct world_delivery *d = world.deliveries[i];
        if (d->where != WORLD_DELIVERED && d->where != WORLD_DEAD)
            CHECK_FAIL("seed %llu: %u/%llu is forgotten (where %d, webhook %s)",
                       (unsigned long long)seed, d->w, (unsigned long long)d->n, d->where,
                       hw_webhook_status_text(world.endpoints[d->w].webhook->standing.status));
        CHECK_UINT(d->attempts, <=, 5);
        if (d->where == WORLD_DEAD && d->failure != HW_FAILURE_WEBHOOK_DISABLED &&
            d->failure != HW_FAILURE_WEBHOOK_DELETED && d->failure != HW_FAILURE_POISON &&
            world.endpoints[d->w].webhook->standing.status == HW_WEBHOOK_ACTIVE)
            CHECK_UINT(d->attempts, ==, 5);
    }
    CHECK_UINT(world.courier.dispatch.n_in_flight, ==, 0);
    CHECK_UINT(world.courier.dispatch.kept.n, ==, 0);
    CHECK_UINT(world.courier.dispatch.in_flight_bytes, ==, 0);
}

static void some_mishap(void)
{
    uint32_t w = hw_random_below(&world.random, (uint32_t)world.n_endpoints);

    switch (hw_random_below(&world.random, 6)) {
    case 0:
        world_crash(&world);
        break;
    case 1:
        world_set_status(&world, w, HW_WEBHOOK_DISABLED);
        break;
    case 2:
        world_set_status(&world, w, HW_WEBHOOK_DELETED);
        break;
    case 3:
        hw_dispatch_share(&world.courier.dispatch, 1 + hw_random_below(&world.random, 4));
        break;
    case 4:
        world_fence(&world);
        break;
    default:
        break;
    }
}

static void one_crowd(uint64_t seed, size_t n_webhooks, unsigned n_events)
{
    struct hw_random dice;

    hw_random_init(&dice, seed);
    world_init(&world, seed, n_webhooks, 1 + hw_random_below(&dice, 200), 1 + hw_random_below(&dice, 64),
               &rules);
    world.answer = random_answer;
    world.disable_after = hw_random_below(&dice, 2) ? 10 : 0;
    world.lose_every = hw_random_below(&dice, 3) ? 0 : 50;
    world.store_ms = 1 + hw_random_below(&dice, 20);
    fail_percent = hw_random_below(&dice, 60);
    hang_percent = hw_random_below(&dice, 10);
    fault_percent = hw_random_below(&dice, 10);
    for (unsigned i = 0; i < n_events; i++) {
        uint32_t w = hw_random_below(&dice, (uint32_t)n_webhooks);
        if (hw_random_below(&dice, 4) == 0)
            world_fill(&world, w);
        else
            world_accept(&world, w);
        if (hw_random_below(&dice, 8) == 0)
            world_step(&world);
        if (hw_random_below(&dice, 100) == 0)
            some_mishap();
    }
    for (unsigned i = 0; world_step(&world); i++)
        if (i < 2000 && hw_random_below(&dice, 500) == 0)
            some_mishap();
    check_end(seed);
    world_close(&world);
}

CASE(small_crowds_with_random_faults)
{
    uint64_t first = check_random();

    for (uint64_t seed = first; seed < first + 3000; seed++)
        one_crowd(seed, 1 + seed % 12, 60);
}

CASE(a_thousand_webhooks_with_random_faults)
{
    uint64_t first = check_random();

    for (uint64_t seed = first; seed < first + 3; seed++)
        one_crowd(seed, 1000, 2000);
}
