/* schedule: retries found, armed, claimed once, against a real redis-server. */
#include "support/node.h"

#define T "hw:{s0}:"

static void park(struct node *n, uint64_t number, hw_unix_ms due)
{
    struct hw_settle_what what = { .kind = HW_SETTLE_PARK,
                                   .w = 7,
                                   .n = number,
                                   .attempts = 1,
                                   .packed = HW_SLICE("state"),
                                   .due_ms = due,
                                   .body = HW_SLICE(RECORD) };

    CHECK_INT(node_settle(n, &what), ==, HW_SETTLED);
}

static void check_claimed_on_time(const struct node *n, uint64_t late_ms)
{
    for (int i = 0; i < n->n_claims; i++) {
        CHECK_INT(n->claims[i].at_ms, >=, n->claims[i].due_ms);
        CHECK_INT(n->claims[i].at_ms - n->claims[i].due_ms, <=, late_ms);
        CHECK_INT(n->claims[i].attempts, ==, 1);
    }
}

CASE(parked_ones_are_claimed_when_due)
{
    struct world w;
    struct node n;
    hw_unix_ms now;

    world_begin(&w);
    node_begin(&n, &w);
    hw_schedule_start(n.schedule);
    node_deliveries(&n, 7, 20, false);
    run_for(&w, 100);
    now = hw_loop_steady(&w.loop);
    for (uint64_t i = 1; i <= 20; i++) {
        park(&n, i, now + 300 + (hw_unix_ms)i * 20);
        hw_schedule_parked(n.schedule, 7, i, now + 300 + (hw_unix_ms)i * 20);
    }
    CHECK_INT(n.n_claims, ==, 0);
    CHECK_INT(hw_schedule_n_armed(n.schedule), ==, 20);
    RUN_UNTIL(&w, n.n_claims == 20);
    check_claimed_on_time(&n, 150);
    CHECK_INT(hw_schedule_n_armed(n.schedule), ==, 0);
    CHECK_INT(cli_int(&w, "ZCARD " T "retry"), ==, 0);
    node_end(&n);
    world_end(&w);
}

CASE(found_by_reading_ahead)
{
    struct world w;
    struct node n;
    hw_unix_ms now;

    world_begin(&w);
    node_begin(&n, &w);
    node_deliveries(&n, 7, 10, false);
    now = hw_loop_steady(&w.loop);
    for (uint64_t i = 1; i <= 10; i++) /* parked by an instance that is no more */
        park(&n, i, now + 500 + (hw_unix_ms)i * 50);
    hw_schedule_start(n.schedule);
    RUN_UNTIL(&w, hw_schedule_n_armed(n.schedule) == 10);
    RUN_UNTIL(&w, n.n_claims == 10);
    check_claimed_on_time(&n, 150);
    node_end(&n);
    world_end(&w);
}

CASE(overdue_ones_are_taken_at_the_start)
{
    struct world w;
    struct node n;

    world_begin(&w);
    node_begin(&n, &w);
    node_deliveries(&n, 7, 600, false);
    for (uint64_t i = 1; i <= 600; i++)
        park(&n, i, hw_loop_steady(&w.loop) - 100000 + (hw_unix_ms)i);
    hw_schedule_start(n.schedule);
    RUN_UNTIL_MS(&w, n.n_claims == 600, 2000);
    CHECK_INT(cli_int(&w, "HLEN " T "own:%s", n.store.instance), ==, 600);
    node_end(&n);
    world_end(&w);
}

CASE(two_share_and_none_is_claimed_twice)
{
    struct world w;
    struct node a, b;
    hw_unix_ms now;

    world_begin(&w);
    node_begin(&a, &w);
    node_begin(&b, &w);
    RUN_UNTIL(&w, a.view.n_live == 2 && b.view.n_live == 2);
    node_deliveries(&a, 7, 200, false);
    now = hw_loop_steady(&w.loop);
    for (uint64_t i = 1; i <= 200; i++)
        park(&a, i, now + 1500 + (hw_unix_ms)i * 2);
    hw_schedule_start(a.schedule);
    hw_schedule_start(b.schedule);
    RUN_UNTIL(&w, a.n_claims + b.n_claims == 200);
    check_claimed_on_time(&a, 150);
    check_claimed_on_time(&b, 150);
    CHECK_INT(a.n_claims, >, 50);
    CHECK_INT(b.n_claims, >, 50);
    run_for(&w, 100);
    CHECK_INT(a.n_claims + b.n_claims, ==, 200);
    node_end(&a);
    node_end(&b);
    world_end(&w);
}

CASE(what_the_other_did_not_claim_is_swept)
{
    struct world w;
    struct node a, b;

    world_begin(&w);
    node_begin(&a, &w);
    node_begin(&b, &w);
    RUN_UNTIL(&w, a.view.n_live == 2);
    hw_schedule_start(a.schedule); /* b lives but does not claim */
    node_deliveries(&b, 7, 50, false);
    for (uint64_t i = 1; i <= 50; i++)
        park(&b, i, hw_loop_steady(&w.loop) + 200);
    RUN_UNTIL_MS(&w, a.n_claims == 50, 8000);
    check_claimed_on_time(&a, 6000);
    node_end(&a);
    node_end(&b);
    world_end(&w);
}

CASE(no_room_means_later)
{
    struct world w;
    struct node n;

    world_begin(&w);
    node_begin(&n, &w);
    node_deliveries(&n, 7, 5, false);
    for (uint64_t i = 1; i <= 5; i++)
        park(&n, i, hw_loop_steady(&w.loop) - 1000);
    n.due_delay_ms = 600;
    hw_schedule_start(n.schedule);
    RUN_UNTIL(&w, n.n_due_asked >= 5);
    run_for(&w, 100);
    CHECK_INT(n.n_claims, ==, 0);
    CHECK_INT(cli_int(&w, "ZCOUNT " T "retry %lld +inf", (long long)hw_loop_steady(&w.loop)),
              ==, 5);
    n.due_delay_ms = 0;
    RUN_UNTIL_MS(&w, n.n_claims == 5, 1500);
    node_end(&n);
    world_end(&w);
}

CASE(stopped_claims_nothing)
{
    struct world w;
    struct node n;

    world_begin(&w);
    node_begin(&n, &w);
    hw_schedule_start(n.schedule);
    node_deliveries(&n, 7, 1, false);
    run_for(&w, 50);
    park(&n, 1, hw_loop_steady(&w.loop) + 100);
    hw_schedule_parked(n.schedule, 7, 1, hw_loop_steady(&w.loop) + 100);
    hw_schedule_stop(n.schedule);
    CHECK_INT(hw_schedule_n_armed(n.schedule), ==, 0);
    run_for(&w, 400);
    CHECK_INT(n.n_claims, ==, 0);
    hw_schedule_start(n.schedule);
    RUN_UNTIL(&w, n.n_claims == 1);
    node_end(&n);
    world_end(&w);
}

CASE(redis_restarted_between)
{
    struct world w;
    struct node n;

    world_begin(&w);
    node_begin(&n, &w);
    hw_schedule_start(n.schedule);
    node_deliveries(&n, 7, 3, false);
    for (uint64_t i = 1; i <= 3; i++)
        park(&n, i, hw_loop_steady(&w.loop) + 600);
    redis_server_kill(&w.server, SIGKILL);
    RUN_UNTIL(&w, n.n_down > 0);
    run_for(&w, 700);
    CHECK_INT(n.n_claims, ==, 0);
    redis_server_start(&w.server, NULL);
    RUN_UNTIL(&w, n.n_back == 1);
    hw_schedule_start(n.schedule);
    RUN_UNTIL_MS(&w, n.n_claims == 3, 3000);
    cli_connect(&w);
    node_end(&n);
    world_end(&w);
}

/* Delivered again by hand, failed at once and parked anew: it is armed for both times. */
CASE(one_armed_for_an_earlier_time_is_not_early)
{
    struct world w;
    struct node n;
    hw_unix_ms now;

    world_begin(&w);
    node_begin(&n, &w);
    hw_schedule_start(n.schedule);
    node_deliveries(&n, 7, 1, false);
    run_for(&w, 50);
    now = hw_loop_steady(&w.loop);
    park(&n, 1, now + 200);
    hw_schedule_parked(n.schedule, 7, 1, now + 200);
    (void)cli_int(&w, "ZADD " T "retry %lld 7:1", (long long)now + 500);
    hw_schedule_parked(n.schedule, 7, 1, now + 500);
    RUN_UNTIL(&w, n.n_due_asked == 1);
    RUN_UNTIL(&w, n.n_claims == 1);
    CHECK_INT(n.claims[0].due_ms, ==, now + 500);
    check_claimed_on_time(&n, 150);
    node_end(&n);
    world_end(&w);
}
