/* members: joining, beating, being judged and judging, against a real redis-server. */
#include "support/node.h"

CASE(key_names)
{
    struct hw_keys k;
    struct hw_cause cause;

    CHECK_INT(hw_keys_init(&k, "hookwheel", NULL, NULL, &cause), ==, HW_OK);
    CHECK_STR(k.tag, "hookwheel:{s0}:");
    CHECK_STR(k.events, "hookwheel:events");
    CHECK_STR(k.rejected, "hookwheel:rejected");
    CHECK_STR(k.meta, "hookwheel:meta");
    CHECK_STR(k.group, "hookwheel");
    CHECK_INT(hw_keys_init(&k, "a", "b", "c", &cause), ==, HW_OK);
    CHECK_STR(k.events, "b");
    CHECK_STR(k.group, "c");
    CHECK_INT(hw_keys_init(&k, "a{b", NULL, NULL, &cause), ==, HW_EINVAL);
    CHECK_CONTAINS(cause.note, "a{b");
    CHECK_INT(hw_keys_init(&k, "", NULL, NULL, &cause), ==, HW_EINVAL);
    CHECK_INT(hw_keys_init(&k, "a", "b c", NULL, &cause), ==, HW_EINVAL);
}

CASE(joins_and_leaves)
{
    struct world w;
    struct node n;

    world_begin(&w);
    node_begin(&n, &w);
    CHECK_INT(strlen(n.store.instance), ==, HW_INSTANCE_CHARS);
    CHECK_STR(cli_text(&w, "HGET hw:meta schema"), "1");
    CHECK_STR(cli_text(&w, "HGET hw:meta engine_key"), n.store.engine_key);
    CHECK_INT(cli_int(&w, "XINFO GROUPS hw:events"), ==, 1);
    CHECK_INT(cli_int(&w, "HEXISTS hw:{s0}:inst %s", n.store.instance), ==, 1);
    CHECK_CONTAINS(hw_members_consumer(n.members), n.store.instance);
    CHECK(hw_members_may_start(n.members, hw_loop_now(&w.loop)));
    CHECK(
        !hw_members_may_start(n.members, hw_loop_now(&w.loop) + HW_BEAT_MAY_START_MS + 1000));
    RUN_UNTIL(&w, n.n_beats >= 3);
    CHECK_INT(n.view.n_live, ==, 1);
    CHECK_INT(n.view.rank, ==, 0);
    CHECK_INT(n.n_trouble, ==, 0);
    node_leave(&n);
    CHECK_INT(cli_int(&w, "HLEN hw:{s0}:inst"), ==, 0);
    CHECK_INT(cli_int(&w, "HLEN hw:{s0}:orphans"), ==, 0);
    node_end(&n);
    world_end(&w);
}

CASE(two_know_of_each_other)
{
    struct world w;
    struct node a, b;

    world_begin(&w);
    node_begin(&a, &w);
    node_begin(&b, &w);
    CHECK_STR(a.store.engine_key, b.store.engine_key);
    RUN_UNTIL(&w, a.view.n_live == 2 && b.view.n_live == 2);
    CHECK_INT(a.view.rank + b.view.rank, ==, 1);
    CHECK_INT(a.view.rank, ==, strcmp(a.store.instance, b.store.instance) > 0);
    /* b goes with work in hand: it waits to be adopted, and nobody has crashed. */
    node_deliveries(&b, 7, 2, false);
    char id[HW_INSTANCE_CHARS + 1];
    memcpy(id, b.store.instance, sizeof id);
    node_leave(&b);
    RUN_UNTIL(&w, a.view.n_live == 1 && a.view.n_orphans == 1);
    CHECK_STR(a.orphans[0].id, id);
    CHECK(!a.orphans[0].has_crashed);
    CHECK_INT(a.n_takeovers, ==, 0);
    node_end(&a);
    node_end(&b);
    world_end(&w);
}

CASE(schema_too_new)
{
    struct world w;
    struct node n;
    struct node_options o = node_defaults();

    world_begin(&w);
    (void)cli_int(&w, "HSET hw:meta schema 9 min_reader 7 shards 1");
    node_open(&n, &w, &o);
    RUN_UNTIL(&w, n.n_refused == 1);
    CHECK_CONTAINS(n.refused.note, "schema 7");
    run_for(&w, 700);
    CHECK_INT(n.n_refused, ==, 1);
    CHECK_INT(n.n_joined, ==, 0);
    CHECK_INT(cli_int(&w, "EXISTS hw:events"), ==, 0);
    node_end(&n);
    world_end(&w);
}

CASE(newer_schema_that_can_be_read)
{
    struct world w;
    struct node n;

    world_begin(&w);
    (void)cli_int(&w, "HSET hw:meta schema 9 min_reader 1 shards 1");
    node_begin(&n, &w);
    CHECK_STR(cli_text(&w, "HGET hw:meta schema"), "9");
    node_end(&n);
    world_end(&w);
}

CASE(root_token_is_one)
{
    struct world w;
    struct node a, b, c;
    struct node_options o = node_defaults();

    world_begin(&w);
    o.root_sha256 = "aa";
    node_open(&a, &w, &o);
    RUN_UNTIL(&w, a.n_joined == 1);
    o.root_sha256 = "bb";
    node_open(&b, &w, &o);
    RUN_UNTIL(&w, b.n_refused == 1);
    CHECK_CONTAINS(b.refused.note, "root token");
    o.replace_root = true;
    node_open(&c, &w, &o);
    RUN_UNTIL(&w, c.n_joined == 1);
    CHECK_STR(cli_text(&w, "HGET hw:meta root_sha256"), "bb");
    node_end(&a);
    node_end(&b);
    node_end(&c);
    world_end(&w);
}

CASE(beats_when_redis_is_full)
{
    struct world w;
    struct node n, late;
    int n_beats;

    world_begin(&w);
    node_begin(&n, &w);
    cli_text(&w, "CONFIG SET maxmemory 1");
    n_beats = n.n_beats;
    RUN_UNTIL(&w, n.n_beats >= n_beats + 3);
    CHECK_INT(n.n_trouble, ==, 0);
    /* One that could help to drain it gets in. */
    node_begin(&late, &w);
    RUN_UNTIL(&w, n.view.n_live == 2);
    node_leave(&late);
    node_end(&n);
    node_end(&late);
    world_end(&w);
}

CASE(fenced_comes_back_under_another_id)
{
    struct world w;
    struct node n;
    char id[HW_INSTANCE_CHARS + 1];

    world_begin(&w);
    node_begin(&n, &w);
    memcpy(id, n.store.instance, sizeof id);
    CHECK_INT(cli_int(&w, "HDEL hw:{s0}:inst %s", id), ==, 1);
    RUN_UNTIL(&w, n.n_fenced == 1);
    CHECK(!hw_members_may_start(n.members, hw_loop_now(&w.loop)));
    RUN_UNTIL(&w, n.n_joined == 2);
    CHECK(strcmp(id, n.store.instance) != 0);
    node_end(&n);
    world_end(&w);
}

/* By it a reader's place is known to be of this Redis's feeds, which went with its data. */
CASE(feeds_have_an_epoch)
{
    struct world w;
    struct node a, b;
    uint32_t epoch;

    world_begin(&w);
    node_begin(&a, &w);
    epoch = a.store.feed_epoch;
    CHECK_INT(cli_int(&w, "HGET hw:{s0}:seq _e"), ==, epoch);
    node_begin(&b, &w);
    CHECK_INT(b.store.feed_epoch, ==, epoch);
    /* Another life of an instance is none of the feeds. */
    CHECK_INT(cli_int(&w, "HDEL hw:{s0}:inst %s", b.store.instance), ==, 1);
    RUN_UNTIL(&w, b.n_joined >= 2);
    CHECK_INT(b.store.feed_epoch, ==, epoch);
    (void)cli_text(&w, "FLUSHALL");
    RUN_UNTIL(&w, a.store.feed_epoch != epoch && b.store.feed_epoch == a.store.feed_epoch);
    CHECK_INT(cli_int(&w, "HGET hw:{s0}:seq _e"), ==, a.store.feed_epoch);
    node_end(&a);
    node_end(&b);
    world_end(&w);
}

CASE(epoch_fences_the_old_connection)
{
    struct world w;
    struct node n;
    char id[HW_INSTANCE_CHARS + 1];

    world_begin(&w);
    node_begin(&n, &w);
    memcpy(id, n.store.instance, sizeof id);
    RUN_UNTIL(&w, n.n_beats >= 1);
    redis_server_kill(&w.server, SIGKILL);
    RUN_UNTIL(&w, n.n_down >= 1);
    CHECK_INT(n.n_back, ==, 0);
    redis_server_start(&w.server, NULL);
    RUN_UNTIL(&w, n.n_back == 1);
    cli_connect(&w);
    CHECK_STR(n.store.instance, id);
    CHECK_INT(n.n_joined, ==, 1);
    CHECK_STR(cli_text(&w, "HGET hw:{s0}:inst %s", id), n.store.epoch);
    CHECK_INT(strtol(n.store.epoch, NULL, 10), >, 1);
    /* What the old connection may have left in a socket is refused. */
    redisReply *reply =
        redisCommand(w.cli, "EVAL %s 1 hw:{s0}:inst hw:{s0}: %s 1 e:1-1",
                     "local known = redis.call('HGET', KEYS[1], ARGV[2]) "
                     "if not known or tonumber(known) > tonumber(ARGV[3]) then "
                     "return redis.error_reply('FENCED') end return 1",
                     id);
    CHECK_INT(reply->type, ==, REDIS_REPLY_ERROR);
    freeReplyObject(reply);
    node_end(&n);
    world_end(&w);
}

CASE(silent_one_is_taken_over)
{
    struct world w;
    struct node a, b;
    char id[HW_INSTANCE_CHARS + 1];
    uint64_t began;

    world_begin(&w);
    node_begin(&a, &w);
    node_begin(&b, &w);
    RUN_UNTIL(&w, a.view.n_live == 2);
    memcpy(id, b.store.instance, sizeof id);
    node_deliveries(&b, 7, 1, false);
    began = uv_hrtime() / 1000000;
    node_crash(&b); /* in this process, so only its silence tells */
    RUN_UNTIL_MS(&w, a.n_takeovers == 1, 15000);
    CHECK_INT(uv_hrtime() / 1000000 - began, >=, HW_BEAT_LAPSE_MS - 1500);
    CHECK_INT(uv_hrtime() / 1000000 - began, <, HW_BEAT_LAPSE_MS + 2500);
    CHECK_INT(a.metrics.takeovers, ==, 1);
    RUN_UNTIL(&w, a.view.n_orphans == 1 && a.view.n_live == 1);
    CHECK(a.orphans[0].has_crashed);
    CHECK_STR(a.orphans[0].id, id);
    CHECK_INT(cli_int(&w, "HEXISTS hw:{s0}:inst %s", id), ==, 0);
    node_end(&a);
    world_end(&w);
}

/* A process of this machine that is gone needs no ten seconds. */
CASE(dead_process_is_noticed_at_once)
{
    struct world w;
    struct node a, b;
    char process[200], *start;
    uint64_t began;

    world_begin(&w);
    node_begin(&a, &w);
    node_begin(&b, &w);
    RUN_UNTIL(&w, a.view.n_live == 2);
    /* b's process: this one's pid, but started at another time. */
    snprintf(process, sizeof process, "%s",
             cli_text(&w, "HGET hw:{s0}:process %s", b.store.instance));
    start = strrchr(process, ':');
    CHECK_NOT_NULL(start);
    snprintf(start, 10, ":1");
    (void)cli_int(&w, "HSET hw:{s0}:process %s %s", b.store.instance, process);
    began = uv_hrtime() / 1000000;
    node_crash(&b);
    RUN_UNTIL(&w, a.n_takeovers == 1);
    CHECK_INT(uv_hrtime() / 1000000 - began, <, 3000);
    RUN_UNTIL(&w, a.view.n_live == 1);
    CHECK_INT(a.view.n_orphans, ==, 0);
    node_end(&a);
    world_end(&w);
}

CASE(one_that_is_replaced_between_two_beats_is_missed)
{
    static const char swap[] = "redis.call('HDEL', KEYS[1], ARGV[1]) "
                               "return redis.call('HSET', KEYS[1], ARGV[2], '1')";
    struct world w;
    struct node n;
    char old[HW_INSTANCE_CHARS + 1], new[HW_INSTANCE_CHARS + 1];

    world_begin(&w);
    node_begin(&n, &w);
    memcpy(old, n.store.instance, sizeof old);
    memcpy(new, n.store.instance, sizeof new);
    old[0] = old[0] == 'a' ? 'b' : 'a';
    new[0] = new[0] == 'c' ? 'd' : 'c';
    CHECK_INT(cli_int(&w, "HSET hw:{s0}:beat %s 1", old), ==, 1);
    RUN_UNTIL(&w, n.view.n_live == 2);
    CHECK_INT(n.n_lost, ==, 0);
    CHECK_INT(cli_int(&w, "EVAL %s 1 hw:{s0}:beat %s %s", swap, old, new), ==, 1);
    RUN_UNTIL(&w, n.n_lost == 1);
    CHECK_INT(n.view.n_live, ==, 2);
    node_end(&n);
    world_end(&w);
}

CASE(leaves_without_redis)
{
    struct world w;
    struct node n;

    world_begin(&w);
    node_begin(&n, &w);
    redis_server_kill(&w.server, SIGKILL);
    RUN_UNTIL(&w, n.n_down == 1);
    node_leave(&n);
    node_end(&n);
    world_end(&w);
}

CASE(emptied_redis_is_joined_anew)
{
    struct world w;
    struct node n;

    world_begin(&w);
    node_begin(&n, &w);
    cli_text(&w, "FLUSHALL");
    RUN_UNTIL(&w, n.n_joined == 2);
    CHECK_INT(n.n_fenced, ==, 1);
    CHECK_INT(cli_int(&w, "XINFO GROUPS hw:events"), ==, 1);
    node_end(&n);
    world_end(&w);
}
