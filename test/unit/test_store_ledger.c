/* accept, settle, take: the scripts through their callers, against a real redis-server. */
#include "support/node.h"

#define T "hw:{s0}:"

static struct hw_settle_what what_of(enum hw_settle_kind kind, uint32_t w, uint64_t n,
                                     unsigned token)
{
    return (struct hw_settle_what){ .kind = kind,
                                    .w = w,
                                    .n = n,
                                    .token = token,
                                    .attempts = token + 1,
                                    .stamp_us = 0,
                                    .packed = HW_SLICE("packed"),
                                    .ended_ms = 1700000000000,
                                    .due_ms = 1800000000000,
                                    .account = HW_SLICE("acct"),
                                    .disable_notice = HW_SLICE("{\"why\":1}"),
                                    .disable_reason = "because" };
}

static struct hw_settle_what parked_what(uint32_t w, uint64_t n, unsigned token)
{
    struct hw_settle_what what = what_of(HW_SETTLE_PARK, w, n, token);

    if (token == 0)
        what.body = HW_SLICE(RECORD);
    return what;
}

static struct hw_settle_what dead_what(uint32_t w, uint64_t n, unsigned token)
{
    struct hw_settle_what what = what_of(HW_SETTLE_DEAD, w, n, token);

    what.is_counted = true;
    if (token == 0)
        what.body = HW_SLICE(RECORD);
    return what;
}

static long long owned(struct node *n, uint32_t w, uint64_t number)
{
    return cli_int(n->world, "HEXISTS " T "own:%s %u:%llu", n->store.instance, w,
                   (unsigned long long)number);
}

static void begin(struct world *w, struct node *n)
{
    world_begin(w);
    node_begin(n, w);
}

static void end(struct world *w, struct node *n)
{
    node_end(n);
    world_end(w);
}

/* ---- accept ---- */

CASE(accept_makes_events_and_deliveries)
{
    struct world w;
    struct node n;
    struct hw_accept_target targets[] = { { .w = 3 },
                                          { .w = 5, .to_wait = true },
                                          { .w = 3 } };
    struct hw_accept_event events[3];
    long long ms;

    begin(&w, &n);
    for (int i = 0; i < 3; i++)
        events[i] = (struct hw_accept_event){ .entry = node_entry(&n, "a.b"),
                                              .account = HW_SLICE("acct"),
                                              .record = HW_SLICE(RECORD) };
    events[0].targets = targets;
    events[0].n_targets = 2;
    events[0].traceparent = HW_SLICE("00-t");
    events[2].account = HW_SLICE("other");
    events[2].targets = targets + 2;
    events[2].n_targets = 1;
    CHECK_INT(node_accept(&n, events, 3), ==, HW_REDIS_FINE);
    for (int i = 0; i < 3; i++) {
        CHECK_INT(events[i].result, ==, HW_ACCEPTED_TAKEN);
        CHECK_INT(events[i].stamp_us, ==, events[0].stamp_us);
        CHECK_INT(events[i].cursor.ms, >, 0);
    }
    ms = (long long)(events[0].stamp_us / 1000) - (long long)hw_loop_unix(&w.loop);
    CHECK_INT(ms, <, 5000);
    CHECK_INT(ms, >, -5000);
    CHECK_INT(hw_stream_id_cmp(events[0].cursor, events[1].cursor), <, 0);
    CHECK_INT(targets[0].n, ==, 1);
    CHECK_INT(targets[1].n, ==, 1);
    CHECK_INT(targets[2].n, ==, 2);
    CHECK_INT(cli_int(&w, "XLEN hw:events"), ==, 0);
    CHECK_INT(cli_int(&w, "XPENDING hw:events hookwheel - + 10"), ==, 0);
    CHECK_INT(cli_int(&w, "XLEN " T "led:acct"), ==, 2);
    CHECK_INT(cli_int(&w, "XLEN " T "led:other"), ==, 1);
    CHECK_INT(cli_int(&w, "XLEN " T "wait:5"), ==, 1);
    CHECK_INT(cli_int(&w, "SISMEMBER " T "waiting 5"), ==, 1);
    CHECK_INT(n.waiting_w, ==, 5);
    CHECK_INT(n.n_waiting, ==, 1);
    CHECK_INT(cli_int(&w, "HLEN " T "own:%s", n.store.instance), ==, 2);
    CHECK_INT(owned(&n, 3, 1) && owned(&n, 3, 2), ==, 1);
    end(&w, &n);
}

CASE(accept_numbers_and_stamps_rise)
{
    struct world w;
    struct node n;
    uint64_t stamp = 0;

    begin(&w, &n);
    for (uint64_t i = 1; i <= 5; i++) {
        struct hw_accept_target target = { .w = 1 };
        struct hw_accept_event event = { .entry = node_entry(&n, "a"),
                                         .account = HW_SLICE("acct"),
                                         .record = HW_SLICE(RECORD),
                                         .targets = &target,
                                         .n_targets = 1 };
        CHECK_INT(node_accept(&n, &event, 1), ==, HW_REDIS_FINE);
        CHECK_INT(target.n, ==, i);
        CHECK_INT(event.stamp_us, >, stamp);
        stamp = event.stamp_us;
    }
    end(&w, &n);
}

CASE(accept_remembers_producers_ids)
{
    struct world w;
    struct node n;
    struct hw_accept_event events[3];

    begin(&w, &n);
    for (int i = 0; i < 3; i++)
        events[i] = (struct hw_accept_event){ .entry = node_entry(&n, "a"),
                                              .account = HW_SLICE("acct"),
                                              .record = HW_SLICE(RECORD),
                                              .producer_id = HW_SLICE("id1") };
    events[2].account = HW_SLICE("other");
    CHECK_INT(node_accept(&n, events, 3), ==, HW_REDIS_FINE);
    CHECK_INT(events[0].result, ==, HW_ACCEPTED_TAKEN);
    CHECK_INT(events[1].result, ==, HW_ACCEPTED_DUPLICATE);
    CHECK_INT(events[2].result, ==, HW_ACCEPTED_TAKEN);
    events[0].entry = node_entry(&n, "a");
    events[0].result = HW_ACCEPTED_NOT_YET;
    CHECK_INT(node_accept(&n, events, 1), ==, HW_REDIS_FINE);
    CHECK_INT(events[0].result, ==, HW_ACCEPTED_DUPLICATE);
    /* In the older generation it is known as well; after a day it is not. */
    cli_text(&w, "RENAME " T "dd:1 " T "dd:0");
    events[0].entry = node_entry(&n, "a");
    events[0].result = HW_ACCEPTED_NOT_YET;
    CHECK_INT(node_accept(&n, events, 1), ==, HW_REDIS_FINE);
    CHECK_INT(events[0].result, ==, HW_ACCEPTED_DUPLICATE);
    (void)cli_int(&w, "HSET " T "dd:0 acct/id1 %lld",
                  (long long)hw_loop_unix(&w.loop) - 86400001);
    events[0].entry = node_entry(&n, "a");
    events[0].result = HW_ACCEPTED_NOT_YET;
    CHECK_INT(node_accept(&n, events, 1), ==, HW_REDIS_FINE);
    CHECK_INT(events[0].result, ==, HW_ACCEPTED_TAKEN);
    CHECK_INT(cli_int(&w, "XLEN hw:events"), ==, 0);
    end(&w, &n);
}

CASE(accept_refuses_a_stale_account)
{
    struct world w;
    struct node n;
    struct hw_accept_event events[2];

    begin(&w, &n);
    (void)cli_int(&w, "HSET " T "regv acct 4 * 4");
    for (int i = 0; i < 2; i++)
        events[i] = (struct hw_accept_event){ .entry = node_entry(&n, "a"),
                                              .account = HW_SLICE("acct"),
                                              .version = 3,
                                              .record = HW_SLICE(RECORD) };
    events[1].account = HW_SLICE("other");
    events[1].version = 0;
    CHECK_INT(node_accept(&n, events, 2), ==, HW_REDIS_FINE);
    CHECK_INT(events[0].result, ==, HW_ACCEPTED_STALE);
    CHECK_INT(events[1].result, ==, HW_ACCEPTED_TAKEN);
    CHECK_INT(cli_int(&w, "XLEN hw:events"), ==, 1);
    events[0].result = HW_ACCEPTED_NOT_YET;
    events[0].version = 4;
    CHECK_INT(node_accept(&n, events, 2), ==, HW_REDIS_FINE);
    CHECK_INT(events[0].result, ==, HW_ACCEPTED_TAKEN);
    CHECK_INT(cli_int(&w, "XLEN hw:events"), ==, 0);
    end(&w, &n);
}

CASE(accept_leaves_what_another_had)
{
    struct world w;
    struct node n;
    struct hw_accept_event events[2];
    char id[48];

    begin(&w, &n);
    for (int i = 0; i < 2; i++)
        events[i] = (struct hw_accept_event){ .entry = node_entry(&n, "a"),
                                              .account = HW_SLICE("acct"),
                                              .record = HW_SLICE(RECORD) };
    hw_stream_id_text(events[0].entry, id);
    (void)cli_int(&w, "XACK hw:events hookwheel %s", id);
    (void)cli_int(&w, "XDEL hw:events %s", id);
    CHECK_INT(node_accept(&n, events, 2), ==, HW_REDIS_FINE);
    CHECK_INT(events[0].result, ==, HW_ACCEPTED_MISSING);
    CHECK_INT(events[1].result, ==, HW_ACCEPTED_TAKEN);
    CHECK_INT(cli_int(&w, "XLEN " T "led:acct"), ==, 1);
    /* The group was made anew: what is still there is accepted, once. */
    events[0].entry = node_entry(&n, "a");
    events[0].result = HW_ACCEPTED_NOT_YET;
    (void)cli_int(&w, "XGROUP DESTROY hw:events hookwheel");
    CHECK_INT(node_accept(&n, events, 1), ==, HW_REDIS_FINE);
    CHECK_INT(events[0].result, ==, HW_ACCEPTED_TAKEN);
    CHECK_INT(cli_int(&w, "XLEN hw:events"), ==, 0);
    end(&w, &n);
}

/* Trimmed away, say: that nobody has accepted it is no reason to drop what is sent for it. */
CASE(accept_remembers_nothing_of_what_is_missing)
{
    struct world w;
    struct node n;
    struct hw_accept_event events[2], another;
    char id[48];

    begin(&w, &n);
    for (int i = 0; i < 2; i++)
        events[i] = (struct hw_accept_event){ .entry = node_entry(&n, "a"),
                                              .account = HW_SLICE("acct"),
                                              .record = HW_SLICE(RECORD),
                                              .producer_id = HW_SLICE("id1") };
    another = events[0];
    another.producer_id = HW_SLICE("id2");
    hw_stream_id_text(events[0].entry, id);
    (void)cli_int(&w, "XDEL hw:events %s", id);
    (void)cli_int(&w, "XACK hw:events hookwheel %s", id);
    CHECK_INT(node_accept(&n, events, 2), ==, HW_REDIS_FINE);
    CHECK_INT(events[0].result, ==, HW_ACCEPTED_MISSING);
    CHECK_INT(events[1].result, ==, HW_ACCEPTED_TAKEN);
    CHECK_INT(node_accept(&n, &another, 1), ==, HW_REDIS_FINE);
    CHECK_INT(another.result, ==, HW_ACCEPTED_MISSING);
    CHECK_INT(cli_int(&w, "HLEN " T "dd:1"), ==, 1);
    another.entry = node_entry(&n, "a");
    another.result = HW_ACCEPTED_NOT_YET;
    CHECK_INT(node_accept(&n, &another, 1), ==, HW_REDIS_FINE);
    CHECK_INT(another.result, ==, HW_ACCEPTED_TAKEN);
    CHECK_INT(cli_int(&w, "XLEN " T "led:acct"), ==, 2);
    end(&w, &n);
}

CASE(accept_changes_nothing_when_full)
{
    struct world w;
    struct node n;
    struct hw_accept_target target = { .w = 1 };
    struct hw_accept_event event = { .account = HW_SLICE("acct"),
                                     .record = HW_SLICE(RECORD),
                                     .producer_id = HW_SLICE("p"),
                                     .targets = &target,
                                     .n_targets = 1 };

    begin(&w, &n);
    event.entry = node_entry(&n, "a");
    cli_text(&w, "CONFIG SET maxmemory 1");
    CHECK_INT(node_accept(&n, &event, 1), ==, HW_REDIS_FULL);
    CHECK_INT(event.result, ==, HW_ACCEPTED_NOT_YET);
    CHECK_INT(cli_int(&w, "XLEN hw:events"), ==, 1);
    CHECK_INT(cli_int(&w, "EXISTS " T "led:acct " T "dd:1"), ==, 0);
    CHECK_INT(cli_int(&w, "HLEN " T "seq"), ==, 1); /* the feeds' epoch, since it joined */
    cli_text(&w, "CONFIG SET maxmemory 0");
    CHECK_INT(node_accept(&n, &event, 1), ==, HW_REDIS_FINE);
    CHECK_INT(event.result, ==, HW_ACCEPTED_TAKEN);
    end(&w, &n);
}

CASE(accept_fenced_changes_nothing)
{
    struct world w;
    struct node n;
    struct hw_accept_event event = { .account = HW_SLICE("acct"), .record = HW_SLICE(RECORD) };

    begin(&w, &n);
    event.entry = node_entry(&n, "a");
    (void)cli_int(&w, "HDEL " T "inst %s", n.store.instance);
    CHECK_INT(node_accept(&n, &event, 1), ==, HW_REDIS_FENCED);
    CHECK_INT(cli_int(&w, "XLEN hw:events"), ==, 1);
    end(&w, &n);
}

CASE(accept_in_parts)
{
    enum { N = 700, FAN = 5 };
    static struct hw_accept_event events[N];
    static struct hw_accept_target targets[N][FAN];
    struct world w;
    struct node n;

    begin(&w, &n);
    for (size_t i = 0; i < N; i++) {
        for (uint32_t k = 0; k < FAN; k++)
            targets[i][k] = (struct hw_accept_target){ .w = 1 + ((uint32_t)i + k) % 40,
                                                       .to_wait = i % 7 == 0 };
        events[i] =
            (struct hw_accept_event){ .entry = node_entry(&n, "a"),
                                      .account = i % 2 ? HW_SLICE("odd") : HW_SLICE("even"),
                                      .record = HW_SLICE(RECORD),
                                      .targets = targets[i],
                                      .n_targets = FAN };
    }
    CHECK_INT(node_accept(&n, events, N), ==, HW_REDIS_FINE);
    uint64_t last[41] = { 0 };
    for (size_t i = 0; i < N; i++) {
        CHECK_INT(events[i].result, ==, HW_ACCEPTED_TAKEN);
        for (size_t k = 0; k < FAN; k++)
            CHECK_INT(targets[i][k].n, ==, ++last[targets[i][k].w]);
    }
    CHECK_INT(cli_int(&w, "XLEN hw:events"), ==, 0);
    CHECK_INT(cli_int(&w, "HLEN " T "own:%s", n.store.instance), ==, 600 * FAN);
    end(&w, &n);
}

CASE(accept_one_event_for_very_many)
{
    enum { N = 9000 };
    static struct hw_accept_target targets[N];
    struct world w;
    struct node n;
    struct hw_accept_event event = { .account = HW_SLICE("acct"),
                                     .record = HW_SLICE(RECORD),
                                     .targets = targets,
                                     .n_targets = N };

    begin(&w, &n);
    for (uint32_t i = 0; i < N; i++)
        targets[i].w = i + 1;
    event.entry = node_entry(&n, "a");
    CHECK_INT(node_accept(&n, &event, 1), ==, HW_REDIS_FINE);
    CHECK_INT(event.result, ==, HW_ACCEPTED_TAKEN);
    CHECK_INT(targets[N - 1].n, ==, 1);
    CHECK_INT(cli_int(&w, "HLEN " T "own:%s", n.store.instance), ==, N);
    end(&w, &n);
}

CASE(accept_without_redis)
{
    struct world w;
    struct node n;
    struct hw_accept_event event = { .account = HW_SLICE("acct"), .record = HW_SLICE(RECORD) };

    begin(&w, &n);
    event.entry = node_entry(&n, "a");
    redis_server_kill(&w.server, SIGKILL);
    CHECK_INT(node_accept(&n, &event, 1), ==, HW_REDIS_GONE);
    CHECK_INT(event.result, ==, HW_ACCEPTED_NOT_YET);
    end(&w, &n);
}

/* ---- settle ---- */

CASE(delivered_at_once)
{
    struct world w;
    struct node n;
    struct hw_settle_what what = what_of(HW_SETTLE_DELIVERED, 7, 1, 0);

    begin(&w, &n);
    node_deliveries(&n, 7, 1, false);
    what.response = HW_SLICE("head");
    CHECK_INT(hw_ledger_n_unsettled(n.ledger), ==, 0);
    CHECK_INT(node_settle(&n, &what), ==, HW_SETTLED);
    CHECK_INT(owned(&n, 7, 1), ==, 0);
    CHECK_STR(cli_text(&w, "HGET " T "hist:7 1"), "packed");
    CHECK_STR(cli_text(&w, "HGET " T "resp:7 1"), "1 head");
    CHECK_STR(cli_text(&w, "HGET " T "wh:7 last"), "1700000000000");
    CHECK_INT(hw_ledger_n_unsettled(n.ledger), ==, 0);
    CHECK_INT(node_settle(&n, &what), ==, HW_SETTLED_NOT_OURS);
    end(&w, &n);
}

CASE(an_old_one_that_comes_late_leaves_the_response_of_a_newer_one)
{
    struct world w;
    struct node n;
    struct hw_delivery_key key = { 7, 1 };
    static struct taking t;

    begin(&w, &n);
    node_deliveries(&n, 7, 101, false);
    struct hw_settle_what first = parked_what(7, 1, 0);
    CHECK_INT(node_settle(&n, &first), ==, HW_SETTLED);
    struct hw_settle_what newer = what_of(HW_SETTLE_DELIVERED, 7, 101, 0);
    newer.response = HW_SLICE("newer");
    CHECK_INT(node_settle(&n, &newer), ==, HW_SETTLED);
    taking_begin(&t);
    CHECK_INT(hw_ledger_claim(n.ledger, &t.take, &key, 1, INT64_MAX, on_taking_done), ==, HW_OK);
    taking_wait(&n, &t);
    struct hw_settle_what late = what_of(HW_SETTLE_DELIVERED, 7, 1, 1);
    late.was_parked = true;
    late.response = HW_SLICE("late");
    CHECK_INT(node_settle(&n, &late), ==, HW_SETTLED);
    CHECK_STR(cli_text(&w, "HGET " T "resp:7 1"), "101 newer");
    end(&w, &n);
}

CASE(one_of_a_backfill_leaves_the_response_of_a_newer_one)
{
    struct world w;
    struct node n;

    begin(&w, &n);
    node_deliveries(&n, 7, 101, false);
    struct hw_settle_what newer = what_of(HW_SETTLE_DELIVERED, 7, 101, 0);
    newer.response = HW_SLICE("newer");
    CHECK_INT(node_settle(&n, &newer), ==, HW_SETTLED);
    struct hw_settle_what filled = what_of(HW_SETTLE_DELIVERED, 7, 1, 0);
    filled.has_body = true;
    filled.response = HW_SLICE("filled");
    CHECK_INT(node_settle(&n, &filled), ==, HW_SETTLED);
    CHECK_STR(cli_text(&w, "HGET " T "resp:7 1"), "101 newer");
    end(&w, &n);
}

CASE(history_is_bounded)
{
    struct world w;
    struct node n;

    begin(&w, &n);
    node_deliveries(&n, 7, 130, false);
    static struct settling all[130];
    memset(all, 0, sizeof all);
    for (uint64_t i = 0; i < 130; i++) {
        struct hw_settle_what what = what_of(HW_SETTLE_DELIVERED, 7, i + 1, 0);
        CHECK_INT(hw_ledger_settle(n.ledger, &all[i].settle, &what, on_settling_done), ==,
                  HW_OK);
    }
    CHECK_INT(hw_ledger_n_unsettled(n.ledger), ==, 130);
    RUN_UNTIL(&w, hw_ledger_n_unsettled(n.ledger) == 0);
    for (int i = 0; i < 130; i++)
        CHECK_INT(all[i].result, ==, HW_SETTLED);
    CHECK_INT(cli_int(&w, "HLEN " T "hist:7"), ==, 100);
    CHECK_INT(cli_int(&w, "HEXISTS " T "hist:7 31"), ==, 1);
    CHECK_INT(cli_int(&w, "HEXISTS " T "hist:7 30"), ==, 0);
    CHECK_INT(cli_int(&w, "HLEN " T "own:%s", n.store.instance), ==, 0);
    end(&w, &n);
}

CASE(parked_claimed_and_delivered_late)
{
    struct world w;
    struct node n;
    static struct taking t;
    struct hw_settle_what what = parked_what(7, 1, 0);
    struct hw_delivery_key keys[] = { { 7, 1 }, { 7, 2 }, { 9, 9 } };

    begin(&w, &n);
    node_deliveries(&n, 7, 2, false);
    what.is_marked = true;
    CHECK_INT(node_settle(&n, &what), ==, HW_SETTLED);
    CHECK_INT(owned(&n, 7, 1), ==, 0);
    CHECK_STR(cli_text(&w, "ZSCORE " T "retry 7:1"), "1800000000000");
    CHECK_STR(cli_text(&w, "GET " T "body:7:1"), RECORD);
    CHECK_INT(cli_int(&w, "HEXISTS " T "open:7 1"), ==, 1);

    taking_begin(&t);
    CHECK_INT(hw_ledger_claim(n.ledger, &t.take, keys, 3, INT64_MAX, on_taking_done), ==, HW_OK);
    taking_wait(&n, &t);
    CHECK_INT(t.trouble, ==, HW_REDIS_FINE);
    CHECK_INT(t.n_items, ==, 1);
    CHECK_INT(t.n_left, ==, 0);
    CHECK_INT(t.items[0].w, ==, 7);
    CHECK_INT(t.items[0].n, ==, 1);
    CHECK_INT(t.items[0].attempts, ==, 1);
    CHECK_INT(t.items[0].due_ms, ==, 1800000000000);
    CHECK_SLICE(t.items[0].state, "packed");
    CHECK_SLICE(t.items[0].record, RECORD);
    CHECK_SLICE(t.items[0].account, "acct");
    CHECK_INT(t.items[0].stamp_us, >, 0);
    CHECK_INT(owned(&n, 7, 1), ==, 1);
    CHECK_INT(cli_int(&w, "ZCARD " T "retry"), ==, 0);
    CHECK_INT(cli_int(&w, "HEXISTS " T "open:7 1"), ==, 1); /* its log stays visible */

    what = parked_what(7, 1, 0); /* of an attempt before: must not count */
    CHECK_INT(node_settle(&n, &what), ==, HW_SETTLED_NOT_OURS);
    what = parked_what(7, 1, 1);
    CHECK_INT(node_settle(&n, &what), ==, HW_SETTLED);
    taking_begin(&t);
    CHECK_INT(hw_ledger_claim(n.ledger, &t.take, keys, 1, INT64_MAX, on_taking_done), ==, HW_OK);
    taking_wait(&n, &t);
    CHECK_INT(t.items[0].attempts, ==, 2);
    what = what_of(HW_SETTLE_DELIVERED, 7, 1, 2);
    CHECK_INT(node_settle(&n, &what), ==, HW_SETTLED);
    CHECK_STR(cli_text(&w, "HGET " T "late:7 1"), "packed");
    CHECK_STR(cli_text(&w, "ZSCORE " T "lates:7 1"), "1");
    CHECK_INT(cli_int(&w, "EXISTS " T "open:7 " T "body:7:1 " T "retry " T "hist:7"), ==, 0);
    end(&w, &n);
}

CASE(dead_letters_count_and_disable)
{
    struct world w;
    struct node n;
    struct hw_settle_what what;

    begin(&w, &n);
    (void)cli_int(&w, "HSET " T "wh:7 st active cf 0");
    node_deliveries(&n, 7, 4, false);
    what = dead_what(7, 1, 0);
    CHECK_INT(node_settle(&n, &what), ==, HW_SETTLED);
    CHECK_INT(n.failures_w, ==, 7);
    CHECK_INT(n.failures, ==, 1);
    CHECK_STR(cli_text(&w, "GET " T "body:7:1"), RECORD);
    CHECK_STR(cli_text(&w, "HGET " T "late:7 1"), "packed");
    CHECK_STR(cli_text(&w, "ZSCORE " T "dead:7 1"), "1700000000000");
    what = dead_what(7, 2, 0);
    CHECK_INT(node_settle(&n, &what), ==, HW_SETTLED);
    CHECK_INT(n.n_disabled, ==, 0);
    CHECK_STR(cli_text(&w, "HGET " T "wh:7 st"), "active");
    what = dead_what(7, 3, 0);
    CHECK_INT(node_settle(&n, &what), ==, HW_SETTLED);
    CHECK_INT(n.failures, ==, 3);
    CHECK_INT(n.n_disabled, ==, 1);
    CHECK_STR(cli_text(&w, "HGET " T "wh:7 st"), "disabled");
    CHECK_STR(cli_text(&w, "HGET " T "wh:7 dr"), "because");
    CHECK_STR(cli_text(&w, "HGET " T "wh:7 da"), "1700000000000");
    CHECK_INT(strlen(cli_text(&w, "HGET " T "wh:7 dc")), >, 10);
    CHECK_STR(cli_text(&w, "HGET " T "regv acct"), "1");
    CHECK_STR(cli_text(&w, "HGET " T "regv *"), "1");
    CHECK_INT(cli_int(&w, "XLEN hw:events"), ==, 1);
    what = dead_what(7, 4, 0); /* disabled already: no second notice */
    CHECK_INT(node_settle(&n, &what), ==, HW_SETTLED);
    CHECK_INT(n.n_disabled, ==, 1);
    CHECK_INT(cli_int(&w, "XLEN hw:events"), ==, 1);
    end(&w, &n);
}

/* Where a webhook was disabled is the end of its feed, even if nothing is left of that. */
CASE(disabled_at_the_end_of_a_feed)
{
    struct world w;
    struct node n;
    struct hw_settle_what what;
    char newest[48];

    begin(&w, &n);
    (void)cli_int(&w, "HSET " T "wh:7 st active cf 2");
    (void)cli_int(&w, "HSET " T "wh:8 st active cf 2");
    node_deliveries(&n, 7, 1, false);
    node_deliveries(&n, 8, 1, false);
    snprintf(newest, sizeof newest, "%s",
             cli_text(&w, "EVAL %s 1 " T "led:acct",
                      "return redis.call('XREVRANGE', KEYS[1], '+', '-', 'COUNT', 1)[1][1]"));
    (void)cli_int(&w, "XTRIM " T "led:acct MAXLEN 0");
    what = dead_what(7, 1, 0);
    CHECK_INT(node_settle(&n, &what), ==, HW_SETTLED);
    CHECK_STR(cli_text(&w, "HGET " T "wh:7 dc"), newest);
    (void)cli_int(&w, "DEL " T "led:acct");
    what = dead_what(8, 1, 0);
    CHECK_INT(node_settle(&n, &what), ==, HW_SETTLED);
    CHECK_STR(cli_text(&w, "HGET " T "wh:8 dc"), "0-0");
    end(&w, &n);
}

CASE(success_resets_the_count_and_gone_disables)
{
    struct world w;
    struct node n;
    struct hw_settle_what what;

    begin(&w, &n);
    (void)cli_int(&w, "HSET " T "wh:7 st active cf 2");
    node_deliveries(&n, 7, 3, false);
    what = what_of(HW_SETTLE_DELIVERED, 7, 1, 0);
    what.resets_failures = true;
    n.failures = 99;
    CHECK_INT(node_settle(&n, &what), ==, HW_SETTLED);
    CHECK_INT(n.failures, ==, 0);
    CHECK_STR(cli_text(&w, "HGET " T "wh:7 cf"), "0");
    n.failures = 99;
    what = what_of(HW_SETTLE_DELIVERED, 7, 2, 0);
    what.resets_failures = true; /* nothing to reset: nothing is said */
    CHECK_INT(node_settle(&n, &what), ==, HW_SETTLED);
    CHECK_INT(n.failures, ==, 99);
    what = dead_what(7, 3, 0);
    what.is_gone = true;
    CHECK_INT(node_settle(&n, &what), ==, HW_SETTLED);
    CHECK_INT(n.n_disabled, ==, 1);
    CHECK_STR(cli_text(&w, "HGET " T "wh:7 st"), "disabled");
    end(&w, &n);
}

CASE(uncounted_dead_letters_do_not_disable)
{
    struct world w;
    struct node n;

    begin(&w, &n);
    (void)cli_int(&w, "HSET " T "wh:7 st active cf 0");
    node_deliveries(&n, 7, 5, false);
    for (uint64_t i = 1; i <= 5; i++) {
        struct hw_settle_what what = dead_what(7, i, 0);
        what.is_counted = false;
        CHECK_INT(node_settle(&n, &what), ==, HW_SETTLED);
    }
    CHECK_STR(cli_text(&w, "HGET " T "wh:7 cf"), "0");
    CHECK_STR(cli_text(&w, "HGET " T "wh:7 st"), "active");
    CHECK_INT(cli_int(&w, "ZCARD " T "dead:7"), ==, 5);
    end(&w, &n);
}

CASE(dead_letters_are_bounded)
{
    struct world w;
    struct node n;
    static struct settling all[120];

    begin(&w, &n);
    memset(all, 0, sizeof all);
    node_deliveries(&n, 7, 120, false);
    for (uint64_t i = 0; i < 120; i++) {
        struct hw_settle_what what = dead_what(7, i + 1, 0);
        what.is_counted = false;
        what.ended_ms = 1700000000000 + (hw_unix_ms)i;
        CHECK_INT(hw_ledger_settle(n.ledger, &all[i].settle, &what, on_settling_done), ==,
                  HW_OK);
    }
    RUN_UNTIL(&w, hw_ledger_n_unsettled(n.ledger) == 0);
    CHECK_INT(cli_int(&w, "ZCARD " T "dead:7"), ==, 100);
    CHECK_INT(cli_int(&w, "ZCARD " T "lates:7"), ==, 100);
    CHECK_INT(cli_int(&w, "HLEN " T "late:7"), ==, 100);
    CHECK_INT(cli_int(&w, "EXISTS " T "body:7:20"), ==, 0);
    CHECK_INT(cli_int(&w, "EXISTS " T "body:7:21"), ==, 1);
    end(&w, &n);
}

CASE(holds_are_seen_by_all)
{
    struct world w;
    struct node n;
    hw_unix_ms until;

    begin(&w, &n);
    until = hw_loop_steady(&w.loop) + 60000;
    CHECK_INT(hw_ledger_hold(n.ledger, 7, until), ==, HW_OK);
    CHECK_INT(hw_ledger_hold(n.ledger, 7, until - 5000), ==, HW_OK); /* never shorter */
    RUN_UNTIL(&w, n.view.n_holds == 1);
    CHECK_INT(n.holds[0].w, ==, 7);
    CHECK_INT(n.holds[0].until_ms, ==, until);
    end(&w, &n);
}

CASE(settles_when_redis_is_full)
{
    struct world w;
    struct node n;
    struct hw_settle_what what;

    begin(&w, &n);
    (void)cli_int(&w, "HSET " T "wh:7 st active cf 0");
    node_deliveries(&n, 7, 3, false);
    cli_text(&w, "CONFIG SET maxmemory 1");
    what = what_of(HW_SETTLE_DELIVERED, 7, 1, 0);
    CHECK_INT(node_settle(&n, &what), ==, HW_SETTLED);
    what = parked_what(7, 2, 0);
    CHECK_INT(node_settle(&n, &what), ==, HW_SETTLED);
    what = dead_what(7, 3, 0);
    CHECK_INT(node_settle(&n, &what), ==, HW_SETTLED);
    CHECK_INT(n.settle_trouble, ==, HW_REDIS_FINE);
    /* And a retry can be made: it takes less than it frees. */
    static struct taking t;
    struct hw_delivery_key key = { 7, 2 };
    taking_begin(&t);
    CHECK_INT(hw_ledger_claim(n.ledger, &t.take, &key, 1, INT64_MAX, on_taking_done), ==, HW_OK);
    taking_wait(&n, &t);
    CHECK_INT(t.n_items, ==, 1);
    end(&w, &n);
}

CASE(settle_waits_out_a_redis_that_cannot_save)
{
    struct world w;
    struct node n;
    struct settling one = { .n_done = 0 };
    struct hw_settle_what what = what_of(HW_SETTLE_DELIVERED, 7, 1, 0);

    begin(&w, &n);
    node_deliveries(&n, 7, 1, false);
    cli_text(&w, "REPLICAOF 127.0.0.1 1"); /* refuses every write, as a full disk does */
    CHECK_INT(hw_ledger_settle(n.ledger, &one.settle, &what, on_settling_done), ==, HW_OK);
    RUN_UNTIL(&w, n.settle_trouble == HW_REDIS_READONLY);
    run_for(&w, 700);
    CHECK_INT(one.n_done, ==, 0);
    cli_text(&w, "REPLICAOF NO ONE");
    RUN_UNTIL(&w, one.n_done == 1);
    CHECK_INT(one.result, ==, HW_SETTLED);
    CHECK_INT(n.settle_trouble, ==, HW_REDIS_FINE);
    end(&w, &n);
}

CASE(settle_is_sent_again_after_a_lost_connection)
{
    struct world w;
    struct node n;
    static struct settling all[10];

    begin(&w, &n);
    node_deliveries(&n, 7, 10, false);
    memset(all, 0, sizeof all);
    for (uint64_t i = 0; i < 10; i++) {
        struct hw_settle_what what = what_of(HW_SETTLE_DELIVERED, 7, i + 1, 0);
        CHECK_INT(hw_ledger_settle(n.ledger, &all[i].settle, &what, on_settling_done), ==,
                  HW_OK);
        if (i == 4) { /* these five go out, and their answer is cut off */
            uv_run(&w.uv, UV_RUN_NOWAIT);
            redisFree(w.cli);
            w.cli = NULL;
            redis_server_kill(&w.server, SIGKILL);
        }
    }
    RUN_UNTIL(&w, n.n_down > 0);
    redis_server_start(&w.server, NULL);
    cli_connect(&w);
    RUN_UNTIL(&w, hw_ledger_n_unsettled(n.ledger) == 0);
    for (int i = 0; i < 10; i++) {
        CHECK_INT(all[i].n_done, ==, 1);
        CHECK_INT(all[i].result, ==, HW_SETTLED);
    }
    CHECK_INT(cli_int(&w, "HLEN " T "hist:7"), ==, 10);
    CHECK_INT(cli_int(&w, "HLEN " T "own:%s", n.store.instance), ==, 0);
    end(&w, &n);
}

CASE(fenced_settles_write_nothing)
{
    struct world w;
    struct node n;
    struct settling one = { .n_done = 0 };
    struct hw_settle_what what = what_of(HW_SETTLE_DELIVERED, 7, 1, 0);

    begin(&w, &n);
    node_deliveries(&n, 7, 1, false);
    (void)cli_int(&w, "HDEL " T "inst %s", n.store.instance);
    CHECK_INT(hw_ledger_settle(n.ledger, &one.settle, &what, on_settling_done), ==, HW_OK);
    RUN_UNTIL(&w, one.n_done == 1);
    CHECK_INT(one.result, ==, HW_SETTLED_NOT_OURS);
    CHECK_INT(cli_int(&w, "EXISTS " T "hist:7"), ==, 0);
    RUN_UNTIL(&w, n.n_joined == 2);
    end(&w, &n);
}

CASE(close_tells_what_is_not_settled)
{
    struct world w;
    struct node n;
    struct settling one = { .n_done = 0 };
    struct hw_settle_what what = what_of(HW_SETTLE_DELIVERED, 7, 1, 0);

    begin(&w, &n);
    redis_server_kill(&w.server, SIGKILL);
    RUN_UNTIL(&w, n.n_down > 0);
    CHECK_INT(hw_ledger_settle(n.ledger, &one.settle, &what, on_settling_done), ==, HW_OK);
    run_for(&w, 50);
    CHECK_INT(one.n_done, ==, 0);
    end(&w, &n);
    CHECK_INT(one.n_done, ==, 1);
    CHECK_INT(one.result, ==, HW_SETTLED_CANCELED);
}

/* ---- take ---- */

CASE(refill_takes_the_oldest)
{
    struct world w;
    struct node n;
    static struct taking t;

    begin(&w, &n);
    node_deliveries(&n, 7, 5, true);
    CHECK_INT(cli_int(&w, "XLEN " T "wait:7"), ==, 5);
    taking_begin(&t);
    CHECK_INT(hw_ledger_refill(n.ledger, &t.take, 7, 3, 0, on_taking_done), ==, HW_OK);
    taking_wait(&n, &t);
    CHECK_INT(t.n_items, ==, 3);
    CHECK_INT(t.n_left, ==, 2);
    CHECK_INT(n.n_waiting, ==, 2);
    for (unsigned i = 0; i < 3; i++) {
        CHECK_INT(t.items[i].n, ==, i + 1);
        CHECK_INT(t.items[i].attempts, ==, 0);
        CHECK_SLICE(t.items[i].record, RECORD);
        CHECK_SLICE(t.items[i].traceparent, "00-trace-1");
        CHECK_INT(t.items[i].state.len, ==, 0);
        CHECK_INT(owned(&n, 7, i + 1), ==, 1);
    }
    taking_begin(&t);
    CHECK_INT(hw_ledger_refill(n.ledger, &t.take, 7, 10, 0, on_taking_done), ==, HW_OK);
    taking_wait(&n, &t);
    CHECK_INT(t.n_items, ==, 2);
    CHECK_INT(t.n_left, ==, 0);
    CHECK_INT(cli_int(&w, "EXISTS " T "wait:7 " T "waiting"), ==, 0);
    taking_begin(&t);
    CHECK_INT(hw_ledger_refill(n.ledger, &t.take, 7, 10, 0, on_taking_done), ==, HW_OK);
    taking_wait(&n, &t);
    CHECK_INT(t.n_items, ==, 0);
    /* What comes after them still goes in, in order. */
    node_deliveries(&n, 7, 1, true);
    CHECK_INT(cli_int(&w, "XLEN " T "wait:7"), ==, 1);
    end(&w, &n);
}

CASE(a_surplus_is_taken_once)
{
    struct world w;
    struct node n;
    static struct taking t;

    begin(&w, &n);
    node_deliveries(&n, 7, 8, true);
    taking_begin(&t);
    CHECK_INT(hw_ledger_take_surplus(n.ledger, &t.take, 7, 5, 10, on_taking_done), ==, HW_OK);
    taking_wait(&n, &t);
    CHECK_INT(t.n_items, ==, 3);
    CHECK_INT(t.n_left, ==, 5);
    CHECK_UINT(t.items[0].n, ==, 1);
    taking_begin(&t); /* another instance thought so too */
    CHECK_INT(hw_ledger_take_surplus(n.ledger, &t.take, 7, 5, 10, on_taking_done), ==, HW_OK);
    taking_wait(&n, &t);
    CHECK_INT(t.n_items, ==, 0);
    CHECK_INT(t.n_left, ==, 5);
    end(&w, &n);
}

CASE(refill_bounds_the_bytes)
{
    enum { BYTES = 300000 };
    struct world w;
    struct node n;
    static struct taking t;
    static char record[BYTES];

    begin(&w, &n);
    memset(record, 'x', sizeof record);
    record[0] = '{';
    for (int i = 0; i < 5; i++) {
        struct hw_accept_target target = { .w = 7, .to_wait = true };
        struct hw_accept_event event = { .entry = node_entry(&n, "a"),
                                         .account = HW_SLICE("acct"),
                                         .record = hw_slice(record, sizeof record),
                                         .targets = &target,
                                         .n_targets = 1 };
        CHECK_INT(node_accept(&n, &event, 1), ==, HW_REDIS_FINE);
    }
    taking_begin(&t);
    CHECK_INT(hw_ledger_refill(n.ledger, &t.take, 7, 5, 0, on_taking_done), ==, HW_OK);
    taking_wait(&n, &t);
    CHECK_INT(t.n_items, ==, 3);
    CHECK_INT(t.n_left, ==, 2);
    CHECK_INT(t.items[2].record.len, ==, BYTES);
    end(&w, &n);
}

CASE(take_parked_takes_what_is_not_due)
{
    struct world w;
    struct node n;
    static struct taking t;
    struct hw_delivery_key key = { 7, 1 };

    begin(&w, &n);
    node_deliveries(&n, 7, 4, false);
    for (uint64_t i = 1; i <= 3; i++) {
        struct hw_settle_what what = parked_what(7, i, 0);
        CHECK_INT(node_settle(&n, &what), ==, HW_SETTLED);
    }
    taking_begin(
        &t); /* one of them is being attempted: its state is there, but it is not parked */
    CHECK_INT(hw_ledger_claim(n.ledger, &t.take, &key, 1, INT64_MAX, on_taking_done), ==, HW_OK);
    taking_wait(&n, &t);
    /* Made active again while they were being written off: the rest keeps its time. */
    (void)cli_int(&w, "HSET " T "wh:7 st active");
    taking_begin(&t);
    CHECK_INT(hw_ledger_take_parked(n.ledger, &t.take, 7, 10, on_taking_done), ==, HW_OK);
    taking_wait(&n, &t);
    CHECK_INT(t.n_items, ==, 0);
    CHECK_INT(t.n_left, ==, 0);
    (void)cli_int(&w, "HSET " T "wh:7 st disabled");
    taking_begin(&t);
    CHECK_INT(hw_ledger_take_parked(n.ledger, &t.take, 7, 10, on_taking_done), ==, HW_OK);
    taking_wait(&n, &t);
    CHECK_INT(t.n_items, ==, 2);
    CHECK_INT(t.n_left, ==, 0);
    CHECK_INT(cli_int(&w, "ZCARD " T "retry"), ==, 0);
    CHECK_INT(cli_int(&w, "HLEN " T "own:%s", n.store.instance), ==, 4);
    end(&w, &n);
}

CASE(orphans_are_adopted_in_pieces)
{
    struct world w;
    struct node a, b;
    static struct taking t;
    char id[HW_INSTANCE_CHARS + 1];
    size_t n_taken = 0;
    struct hw_settle_what what = parked_what(7, 1, 0);
    struct hw_delivery_key key = { 7, 1 };

    world_begin(&w);
    node_begin(&a, &w);
    node_begin(&b, &w);
    node_deliveries(&b, 7, 25, false);
    CHECK_INT(node_settle(&b, &what), ==, HW_SETTLED);
    taking_begin(&t);
    CHECK_INT(hw_ledger_claim(b.ledger, &t.take, &key, 1, INT64_MAX, on_taking_done), ==, HW_OK);
    taking_wait(&b, &t);
    memcpy(id, b.store.instance, sizeof id);
    /* As take_over leaves it. */
    (void)cli_int(&w, "HDEL " T "inst %s", id);
    (void)cli_int(&w, "HDEL " T "beat %s", id);
    (void)cli_int(&w, "HSET " T "orphans %s crash", id);
    for (int round = 0; round < 30; round++) {
        taking_begin(&t);
        CHECK_INT(hw_ledger_adopt(a.ledger, &t.take, id, 10, on_taking_done), ==, HW_OK);
        taking_wait(&a, &t);
        CHECK_INT(t.trouble, ==, HW_REDIS_FINE);
        CHECK_INT(t.n_items, <=, 10);
        n_taken += t.n_items;
        for (size_t i = 0; i < t.n_items; i++) {
            CHECK_INT(t.items[i].crashes, ==, 1);
            CHECK_INT(t.items[i].attempts, ==, t.items[i].n == 1);
            CHECK_SLICE(t.items[i].record, RECORD);
            CHECK_INT(t.items[i].state.len, ==, t.items[i].n == 1 ? 6 : 0);
        }
        CHECK_INT(n_taken + t.n_left, ==, 25);
        if (t.n_left == 0)
            break;
    }
    CHECK_INT(n_taken, ==, 25);
    CHECK_INT(cli_int(&w, "HLEN " T "own:%s", a.store.instance), ==, 25);
    CHECK_INT(cli_int(&w, "EXISTS " T "own:%s " T "orphans", id), ==, 0);
    /* The dead one wakes up: nothing of what it thinks it has counts. */
    what = what_of(HW_SETTLE_DELIVERED, 7, 3, 0);
    CHECK_INT(node_settle(&b, &what), ==, HW_SETTLED_NOT_OURS);
    CHECK_INT(node_settle(&a, &what), ==, HW_SETTLED);
    node_end(&a);
    node_end(&b);
    world_end(&w);
}

CASE(adopting_a_crowd)
{
    struct world w;
    struct node n;
    static struct taking t;
    static bool seen[3001];
    size_t n_taken = 0;

    begin(&w, &n);
    for (int i = 1; i <= 3000; i++)
        (void)cli_int(&w, "HSET " T "own:dead 7:%d 0:0:1700000000000000:1-1:acct", i);
    (void)cli_int(&w, "HSET " T "orphans dead released");
    do {
        taking_begin(&t);
        CHECK_INT(hw_ledger_adopt(n.ledger, &t.take, "dead", 200, on_taking_done), ==, HW_OK);
        taking_wait(&n, &t);
        for (size_t i = 0; i < t.n_items; i++) {
            CHECK(!seen[t.items[i].n]);
            seen[t.items[i].n] = true;
            CHECK_INT(t.items[i].crashes, ==, 0);
            CHECK_INT(t.items[i].record.len, ==, 0); /* nowhere any more */
        }
        n_taken += t.n_items;
        CHECK(t.n_items > 0 || t.n_left == 0);
    } while (t.n_left > 0);
    CHECK_INT(n_taken, ==, 3000);
    end(&w, &n);
}

static struct hw_delivery_key owned_keys[100];
static size_t n_owned_keys;
static bool owned_is_told;

static void on_owned_told(struct hw_take *t, enum hw_redis_trouble trouble,
                          const struct hw_delivery_key *keys, size_t n_keys)
{
    (void)t;
    CHECK_INT(trouble, ==, HW_REDIS_FINE);
    CHECK_INT(n_keys, <=, 100);
    memcpy(owned_keys, keys, n_keys * sizeof *keys);
    n_owned_keys = n_keys;
    owned_is_told = true;
}

CASE(what_is_owned_is_told_and_loaded)
{
    struct world w;
    struct node n;
    static struct taking t;

    begin(&w, &n);
    node_deliveries(&n, 7, 3, false);
    taking_begin(&t);
    CHECK_INT(hw_ledger_owned(n.ledger, &t.take, on_owned_told), ==, HW_OK);
    RUN_UNTIL(&w, owned_is_told);
    CHECK_INT(n_owned_keys, ==, 3);
    owned_keys[1].n = 77; /* one that is not ours */
    CHECK_INT(hw_ledger_load(n.ledger, &t.take, owned_keys, 3, on_taking_done), ==, HW_OK);
    taking_wait(&n, &t);
    CHECK_INT(t.n_items, ==, 2);
    CHECK_INT(t.n_left, ==, 0);
    CHECK_SLICE(t.items[0].record, RECORD);
    end(&w, &n);
}

static unsigned mark_found;
static bool is_marked;

static void on_mark_set(struct hw_mark *m, enum hw_redis_trouble trouble, unsigned n_found)
{
    (void)m;
    CHECK_INT(trouble, ==, HW_REDIS_FINE);
    mark_found = n_found;
    is_marked = true;
}

CASE(marks_count_until_settled)
{
    struct world w;
    struct node n;
    struct hw_mark mark = { 0 };
    struct hw_settle_what what = what_of(HW_SETTLE_DELIVERED, 7, 1, 0);

    begin(&w, &n);
    node_deliveries(&n, 7, 1, false);
    for (unsigned i = 0; i < 3; i++) {
        is_marked = false;
        CHECK_INT(hw_ledger_mark(n.ledger, &mark, 7, 1, on_mark_set), ==, HW_OK);
        RUN_UNTIL(&w, is_marked);
        CHECK_INT(mark_found, ==, i);
    }
    what.is_marked = true;
    CHECK_INT(node_settle(&n, &what), ==, HW_SETTLED);
    CHECK_INT(cli_int(&w, "EXISTS " T "marks"), ==, 0);
    end(&w, &n);
}
