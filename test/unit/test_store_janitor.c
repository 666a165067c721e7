/* janitor: what is kept and what goes, against a real redis-server. */
#include "support/node.h"

#define T "hw:{s0}:"

static void pack(struct hw_buf *out, hw_unix_ms updated_ms)
{
    struct hw_history h = { .stamp_us = (uint64_t)updated_ms * 1000,
                            .status = HW_STATUS_DELIVERED,
                            .attempts = 1,
                            .created_ms = updated_ms,
                            .updated_ms = updated_ms };

    hw_buf_reset(out);
    CHECK_INT(hw_history_pack(out, &h), ==, HW_OK);
}

static void begin_with(struct world *w, struct node *n, const struct node_options *o)
{
    world_begin(w);
    node_open(n, w, o);
    RUN_UNTIL(w, n->n_joined == 1);
    hw_registry_load(n->registry);
    RUN_UNTIL(w, n->n_loaded == 1);
}

static void end(struct world *w, struct node *n)
{
    node_end(n);
    world_end(w);
}

CASE(a_feed_keeps_its_newest)
{
    struct world w;
    struct node n;
    struct node_options o = node_defaults();

    o.feed_max = 50;
    o.feed_retention_ms = 100000000000000; /* by count alone */
    begin_with(&w, &n, &o);
    /* Old entries, written by hand: nothing younger than 5 s ever goes. */
    for (int i = 1; i <= 1500; i++)
        (void)cli_text(&w, "XADD " T "led:acct 1000-%d r {} d 3:%d", i, i);
    hw_janitor_start(n.janitor);
    hw_janitor_touch(n.janitor, HW_SLICE("acct"), 100);
    RUN_UNTIL(&w, cli_int(&w, "XLEN " T "led:acct") == 50);
    CHECK_INT(cli_int(&w, "XRANGE " T "led:acct 1000-1451 1000-1451"), ==, 1);
    node_deliveries(&n, 3, 60, false);
    hw_janitor_touch(n.janitor, HW_SLICE("acct"), 100);
    run_for(&w, 400);
    CHECK_INT(cli_int(&w, "XLEN " T "led:acct"), ==, 60);
    end(&w, &n);
}

static void consumer(struct world *w, const char *account, const char *name, const char *pos,
                     int passed, int skipped)
{
    (void)cli_int(w, "SADD " T "cons:%s %s", account, name);
    (void)cli_int(w, "HSET " T "con:%s:%s pos %s passed %d skipped %d created 1", account,
                  name, pos, passed, skipped);
}

static void check_consumer(struct world *w, const char *name, const char *pos, int passed,
                           int skipped)
{
    CHECK_STR(cli_text(w, "HGET " T "con:%s pos", name), pos);
    CHECK_INT(cli_int(w, "HGET " T "con:%s passed", name), ==, passed);
    CHECK_INT(cli_int(w, "HGET " T "con:%s skipped", name), ==, skipped);
}

CASE(who_reads_a_feed_learns_what_is_gone)
{
    struct world w;
    struct node n;
    struct node_options o = node_defaults();

    o.feed_max = 4;
    o.feed_retention_ms = 100000000000000;
    begin_with(&w, &n, &o);
    for (int i = 1; i <= 10; i++)
        (void)cli_text(&w, "XADD " T "led:acct 1000-%d r {} d 3:%d", i, i);
    consumer(&w, "acct", "ahead", "1000-9", 9, 2);
    consumer(&w, "acct", "level", "1000-6", 6, 0);
    consumer(&w, "acct", "behind", "1000-2", 2, 1);
    consumer(&w, "acct", "new", "0-0", 0, 0);
    consumer(&w, "other", "far", "1000-2", 2, 1);
    cli_text(&w, "CONFIG SET maxmemory 1"); /* it makes room, so it must work then */
    hw_janitor_start(n.janitor);
    hw_janitor_touch(n.janitor, HW_SLICE("acct"), 100);
    RUN_UNTIL(&w, cli_int(&w, "XLEN " T "led:acct") == 4);
    cli_text(&w, "CONFIG SET maxmemory 0");
    CHECK_STR(cli_text(&w, "HGET " T "trimmed acct"), "1000-6");
    CHECK_INT(cli_int(&w, "HLEN " T "trimmed"), ==, 1);
    check_consumer(&w, "acct:ahead", "1000-9", 3, 2);
    check_consumer(&w, "acct:level", "1000-6", 0, 0);
    check_consumer(&w, "acct:behind", "1000-6", 0, 5);
    check_consumer(&w, "acct:new", "1000-6", 0, 6);
    check_consumer(&w, "other:far", "1000-2", 2, 1);
    /* Further on. */
    for (int i = 11; i <= 16; i++)
        (void)cli_text(&w, "XADD " T "led:acct 1000-%d r {} d 3:%d", i, i);
    hw_janitor_touch(n.janitor, HW_SLICE("acct"), 100);
    RUN_UNTIL(&w, cli_int(&w, "XLEN " T "led:acct") == 4);
    CHECK_STR(cli_text(&w, "HGET " T "trimmed acct"), "1000-12");
    check_consumer(&w, "acct:ahead", "1000-12", 0, 5);
    check_consumer(&w, "acct:behind", "1000-12", 0, 11);
    /* Nothing to trim is nothing gone. */
    hw_janitor_touch(n.janitor, HW_SLICE("acct"), 100);
    run_for(&w, 600);
    CHECK_STR(cli_text(&w, "HGET " T "trimmed acct"), "1000-12");
    check_consumer(&w, "acct:ahead", "1000-12", 0, 5);
    end(&w, &n);
}

CASE(a_burst_goes_once_it_is_old_enough)
{
    struct world w;
    struct node n;
    struct node_options o = node_defaults();
    uint64_t added_ms;

    o.feed_max = 10;
    begin_with(&w, &n, &o);
    for (int i = 1; i <= 100; i++)
        (void)cli_text(&w, "XADD " T "led:acct * r {} d 3:%d", i);
    added_ms = uv_hrtime() / 1000000;
    hw_janitor_start(n.janitor);
    hw_janitor_touch(n.janitor, HW_SLICE("acct"), 100); /* and nothing behind it */
    RUN_UNTIL(&w, cli_int(&w, "XLEN " T "led:acct") == 10);
    CHECK_INT(uv_hrtime() / 1000000 - added_ms, >=, 4900);
    end(&w, &n);
}

CASE(large_events_go_by_small_pieces)
{
    enum { LARGE = 250000, EVENTS = 60 };
    struct world w;
    struct node n;
    struct node_options o = node_defaults();
    char *record = hw_malloc(LARGE);
    const char *trims;

    o.feed_max = 0;
    begin_with(&w, &n, &o);
    CHECK_NOT_NULL(record);
    memset(record, 'x', LARGE);
    for (int i = 1; i <= EVENTS; i++)
        (void)cli_text(&w, "XADD " T "led:acct 1000-%d r %b d 3:%d", i, record, (size_t)LARGE,
                       i);
    hw_janitor_start(n.janitor);
    hw_janitor_touch(n.janitor, HW_SLICE("acct"), 100);
    RUN_UNTIL(&w, cli_int(&w, "XLEN " T "led:acct") == 0);
    CHECK_STR(cli_text(&w, "HGET " T "trimmed acct"), "1000-60");
    trims = strstr(cli_text(&w, "INFO commandstats"), "cmdstat_xtrim:calls=");
    CHECK_NOT_NULL(trims);
    CHECK_INT(strtol(trims + 20, NULL, 10), ==, 4); /* of 17 each */
    hw_free(record);
    end(&w, &n);
}

CASE(what_is_owed_keeps_its_body)
{
    struct world w;
    struct node n;
    static struct taking t;
    struct node_options o = node_defaults();

    o.feed_max = 0;
    begin_with(&w, &n, &o);
    for (int i = 1; i <= 6; i++)
        (void)cli_text(&w, "XADD " T "led:acct 1000-%d r {\"n\":%d} d 3:%d,4:%d p 00-trace", i,
                       i, i, i);
    /* Owned by us, by a dead one, waiting; the others are delivered. */
    (void)cli_int(&w, "HSET " T "own:%s 3:1 0:0:1000000:1000-1:acct", n.store.instance);
    (void)cli_int(&w, "HSET " T "own:dead 4:2 0:0:1000000:1000-2:acct");
    (void)cli_int(&w, "HSET " T "orphans dead crash");
    (void)cli_text(&w, "XADD " T "wait:3 3-0 c 1000-3 s 1000000 a acct");
    (void)cli_text(&w, "XADD " T "wait:3 5-0 c 1000-5 s 1000000 a acct");
    (void)cli_int(&w, "SADD " T "waiting 3");
    cli_text(&w, "CONFIG SET maxmemory 1"); /* it makes room, so it must work then */
    hw_janitor_start(n.janitor);
    hw_janitor_touch(n.janitor, HW_SLICE("acct"), 100);
    RUN_UNTIL(&w, cli_int(&w, "XLEN " T "led:acct") == 0);
    cli_text(&w, "CONFIG SET maxmemory 0");
    CHECK_INT(cli_int(&w, "KEYS " T "body:*"), ==, 4);
    CHECK_STR(cli_text(&w, "GET " T "body:4:2"), "00-trace\n{\"n\":2}");
    taking_begin(&t);
    CHECK_INT(hw_ledger_refill(n.ledger, &t.take, 3, 10, 0, on_taking_done), ==, HW_OK);
    taking_wait(&n, &t);
    CHECK_INT(t.n_items, ==, 2);
    CHECK_SLICE(t.items[0].record, "{\"n\":3}");
    CHECK_SLICE(t.items[0].traceparent, "00-trace");
    CHECK_SLICE(t.items[1].record, "{\"n\":5}");
    /* Delivered now: its body goes with it. */
    struct hw_settle_what what = { .kind = HW_SETTLE_DELIVERED,
                                   .w = 3,
                                   .n = 3,
                                   .attempts = 1,
                                   .stamp_us = 1000000,
                                   .packed = HW_SLICE("x") };
    CHECK_INT(node_settle(&n, &what), ==, HW_SETTLED);
    CHECK_INT(cli_int(&w, "EXISTS " T "body:3:3"), ==, 0);
    end(&w, &n);
}

CASE(old_feeds_are_found)
{
    struct world w;
    struct node n;
    struct node_options o = node_defaults();
    long long day = 86400000, now;

    begin_with(&w, &n, &o);
    now = (long long)hw_loop_unix(&w.loop);
    (void)cli_text(&w, "XADD " T "led:quiet %lld-1 r {} d 3:1", now - 2 * day);
    (void)cli_text(&w, "XADD " T "led:quiet %lld-1 r {} d 3:2", now - day / 2);
    hw_janitor_start(n.janitor);
    RUN_UNTIL(&w, cli_int(&w, "XLEN " T "led:quiet") == 1);
    end(&w, &n);
}

static void store_webhook(struct world *w)
{
    struct hw_webhook *wh = make_webhook("acct", "wh_1");
    struct hw_buf stored;

    hw_buf_init(&stored, 10000);
    CHECK_INT(hw_webhook_write(wh, &stored), ==, HW_OK);
    (void)cli_int(w, "HSET " T "wh:1 st active cf 0 a acct i wh_1 v %b",
                  hw_buf_slice(&stored).data, hw_buf_len(&stored));
    hw_buf_close(&stored);
    hw_webhook_release(wh);
}

CASE(old_history_goes)
{
    struct world w;
    struct node n;
    struct hw_buf record;
    struct node_options o = node_defaults();
    hw_unix_ms now, day = 86400000;

    hw_buf_init(&record, 10000);
    o.history_max = 300;
    begin_with(&w, &n, &o);
    now = hw_loop_unix(&w.loop);
    store_webhook(&w);
    (void)cli_int(&w, "ZADD " T "acct:acct 1 1");
    (void)cli_int(&w, "HSET " T "regv acct 1 * 1");
    (void)cli_int(&w, "HSET " T "seq 1 250");
    for (int i = 1; i <= 250; i++) {
        pack(&record, i <= 220 ? now - 2 * day : now);
        (void)cli_int(&w, "HSET " T "hist:1 %d %b", i, record.base + record.head,
                      hw_buf_len(&record));
    }
    for (int i = 1; i <= 3; i++) {
        (void)cli_int(&w, "HSET " T "late:1 %d x", 1000 + i);
        (void)cli_int(&w, "ZADD " T "lates:1 %d %d", 1000 + i, 1000 + i);
        (void)cli_int(&w, "ZADD " T "dead:1 %lld %d", (long long)(i < 3 ? now - 2 * day : now),
                      1000 + i);
        (void)cli_text(&w, "SET " T "body:1:%d x", 1000 + i);
    }
    RUN_UNTIL(&w, hw_subscriptions_find(hw_registry_subscriptions(n.registry), 1) != NULL);
    hw_janitor_start(n.janitor);
    RUN_UNTIL(&w, cli_int(&w, "HLEN " T "hist:1") == 30);
    RUN_UNTIL(&w, cli_int(&w, "ZCARD " T "dead:1") == 1);
    CHECK_INT(cli_int(&w, "HLEN " T "late:1"), ==, 1);
    CHECK_INT(cli_int(&w, "ZCARD " T "lates:1"), ==, 1);
    CHECK_INT(cli_int(&w, "EXISTS " T "body:1:1001 " T "body:1:1002 " T "body:1:1003"), ==, 1);
    run_for(&w, 600);
    CHECK_INT(cli_int(&w, "HLEN " T "hist:1"), ==, 30);
    hw_buf_close(&record);
    end(&w, &n);
}

CASE(stragglers_of_history_go)
{
    struct world w;
    struct node n;
    struct hw_buf record;
    struct node_options o = node_defaults();

    hw_buf_init(&record, 10000);
    begin_with(&w, &n, &o);
    store_webhook(&w);
    (void)cli_int(&w, "ZADD " T "acct:acct 1 1");
    (void)cli_int(&w, "HSET " T "regv acct 1 * 1");
    (void)cli_int(&w, "HSET " T "seq 1 50000");
    pack(&record, hw_loop_unix(&w.loop));
    for (int i = 1; i <= 250; i++) /* 130 stragglers, and 120 that are new */
        (void)cli_int(&w, "HSET " T "hist:1 %d %b", i <= 130 ? i : 50000 - i,
                      record.base + record.head, hw_buf_len(&record));
    RUN_UNTIL(&w, hw_subscriptions_find(hw_registry_subscriptions(n.registry), 1) != NULL);
    hw_janitor_start(n.janitor);
    RUN_UNTIL(&w, cli_int(&w, "HLEN " T "hist:1") < 250);
    CHECK_INT(cli_int(&w, "HLEN " T "hist:1"), >=, 120);
    CHECK_INT(cli_int(&w, "HEXISTS " T "hist:1 49869"), ==, 1);
    hw_buf_close(&record);
    end(&w, &n);
}

CASE(producers_ids_rotate)
{
    struct world w;
    struct node n;
    struct node_options o = node_defaults();

    o.dedup_max = 10;
    begin_with(&w, &n, &o);
    for (int i = 0; i < 10; i++)
        (void)cli_int(&w, "HSET " T "dd:1 a/%d 1", i);
    (void)cli_int(&w, "HSET " T "dd:0 old 1");
    hw_janitor_start(n.janitor);
    RUN_UNTIL(&w, cli_int(&w, "EXISTS " T "dd:1") == 0);
    CHECK_INT(cli_int(&w, "HLEN " T "dd:0"), ==, 10);
    /* A few of a day ago. */
    (void)cli_int(&w, "HSET " T "dd:1 b 1");
    (void)cli_int(&w, "HSET " T "seq _d 1000");
    RUN_UNTIL(&w, cli_int(&w, "EXISTS " T "dd:1") == 0);
    CHECK_INT(cli_int(&w, "HEXISTS " T "dd:0 b"), ==, 1);
    (void)cli_int(&w, "HSET " T "dd:1 c 1");
    run_for(&w, 1500);
    CHECK_INT(cli_int(&w, "EXISTS " T "dd:1"), ==, 1);
    end(&w, &n);
}

CASE(deleted_webhooks_are_buried)
{
    struct world w;
    struct node n;
    struct node_options o = node_defaults();

    begin_with(&w, &n, &o);
    (void)cli_int(&w, "HSET " T "wh:5 a acct i wh_5 st deleted");
    (void)cli_int(&w, "HSET " T "whid wh_5 5");
    (void)cli_int(&w, "ZADD " T "acctd:acct 5 5");
    (void)cli_int(&w, "ZADD " T "tombs 1000 5");
    (void)cli_int(&w, "HSET " T "hist:5 1 x");
    (void)cli_int(&w, "HSET " T "wh:6 a acct i wh_6 st deleted");
    (void)cli_int(&w, "ZADD " T "tombs 1001 6");
    (void)cli_int(&w, "HSET " T "open:6 1 x"); /* still to be written off */
    hw_janitor_start(n.janitor);
    RUN_UNTIL(&w, cli_int(&w, "ZCARD " T "tombs") == 1);
    CHECK_INT(cli_int(&w, "EXISTS " T "wh:5 " T "hist:5 " T "acctd:acct " T "whid"), ==, 0);
    CHECK_INT(cli_int(&w, "EXISTS " T "wh:6"), ==, 1);
    CHECK_STR(cli_text(&w, "HGET " T "regv acct"), "1");
    end(&w, &n);
}
