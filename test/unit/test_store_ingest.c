/* ingest: reading, recovering, rejecting, against a real redis-server. */
#include "support/node.h"

#define T "hw:{s0}:"

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

static void add(struct world *w, int count)
{
    for (int i = 0; i < count; i++)
        (void)cli_text(w, "XADD hw:events * type a.b payload 1");
}

CASE(reads_what_is_there_and_what_comes)
{
    struct world w;
    struct node n;

    begin(&w, &n);
    add(&w, 700);
    node_open_ingest(&n);
    RUN_UNTIL(&w, n.n_entries == 700);
    CHECK_INT(n.n_batches, >=, 2);
    CHECK_STR(n.first_type, "a.b");
    CHECK(!n.saw_marked);
    CHECK(!n.saw_engines_own);
    RUN_UNTIL(&w, cli_int(&w, "XLEN hw:events") == 0);
    add(&w, 1);
    RUN_UNTIL(&w, n.n_entries == 701);
    CHECK_INT(hw_ingest_last_read(n.ingest), >, 0);
    (void)cli_text(&w, "XADD hw:events * type webhook.disabled payload 1 engine_key %s",
                   n.store.engine_key);
    RUN_UNTIL(&w, n.n_entries == 702);
    CHECK(n.saw_engines_own);
    RUN_UNTIL(&w, cli_int(&w, "XPENDING hw:events hookwheel - + 10") == 0);
    end(&w, &n);
}

/* How many entries were read and are not done with. */
static int64_t n_pending(struct world *w)
{
    return cli_int(w, "EVAL %s 1 hw:events",
                   "return redis.call('XPENDING', KEYS[1], 'hookwheel')[1]");
}

/* The first batch is held, and the next one has been read. */
static void hold_one_and_read_ahead(struct world *w, struct node *n)
{
    n->holds_batch = true;
    add(w, 100);
    node_open_ingest(n);
    RUN_UNTIL(w, n->n_batches == 1);
    RUN_UNTIL(w, n_pending(w) > (int64_t)n->batch_entries);
    run_for(w, 50); /* what was read has come, too */
    CHECK_INT(n->n_batches, ==, 1);
}

CASE(one_batch_is_out_and_one_is_read_ahead)
{
    struct world w;
    struct node n;

    begin(&w, &n);
    hold_one_and_read_ahead(&w, &n);
    int64_t pending = n_pending(&w);
    run_for(&w, 100);
    CHECK_INT(n_pending(&w), ==, pending);
    n.holds_batch = false;
    node_accept_batch(&n);
    RUN_UNTIL(&w, n.n_entries == 100);
    RUN_UNTIL(&w, cli_int(&w, "XLEN hw:events") == 0);
    CHECK_INT(n_pending(&w), ==, 0);
    end(&w, &n);
}

CASE(what_was_read_ahead_is_void_with_the_batch_and_comes_again)
{
    struct world w;
    struct node n;

    begin(&w, &n);
    hold_one_and_read_ahead(&w, &n);
    n.batch = NULL;
    n.holds_batch = false;
    hw_ingest_start(n.ingest);
    RUN_UNTIL(&w, cli_int(&w, "XLEN hw:events") == 0);
    CHECK_INT(cli_int(&w, "XLEN " T "led:default"), ==, 100);
    CHECK_INT(n_pending(&w), ==, 0);
    CHECK(!n.saw_marked);
    end(&w, &n);
}

CASE(stop_hands_over_what_was_read_ahead)
{
    struct world w;
    struct node n;

    begin(&w, &n);
    hold_one_and_read_ahead(&w, &n);
    n.holds_batch = false;
    hw_ingest_stop(n.ingest, node_on_stopped, &n);
    node_accept_batch(&n);
    RUN_UNTIL(&w, n.has_stopped);
    CHECK_INT(n.n_batches, ==, 2);
    CHECK_INT(n_pending(&w), ==, 0);
    CHECK_INT(cli_int(&w, "XLEN hw:events"), ==, 100 - (int64_t)n.n_entries);
    end(&w, &n);
}

CASE(fenced_drops_what_was_read_ahead)
{
    struct world w;
    struct node n;

    begin(&w, &n);
    hold_one_and_read_ahead(&w, &n);
    n.batch = NULL;
    hw_ingest_fence(n.ingest);
    run_for(&w, 100);
    CHECK_INT(n.n_batches, ==, 1);
    n.holds_batch = false;
    hw_ingest_start(n.ingest);
    RUN_UNTIL(&w, cli_int(&w, "XLEN hw:events") == 0);
    CHECK_INT(cli_int(&w, "XLEN " T "led:default"), ==, 100);
    end(&w, &n);
}

CASE(large_entries_make_small_batches)
{
    enum { BYTES = 60000 };
    static char payload[BYTES + 1];
    struct world w;
    struct node n;

    begin(&w, &n);
    memset(payload, 'x', BYTES);
    for (int i = 0; i < 60; i++)
        (void)cli_text(&w, "XADD hw:events * type a payload %s", payload);
    node_open_ingest(&n);
    RUN_UNTIL(&w, n.n_entries == 60);
    CHECK_INT(n.n_batches, >=, 3); /* 16 at first, then about 1 MiB */
    end(&w, &n);
}

/* So large that what is read at first cannot be answered at all, and later not be kept at once:
 * the small ones behind them come all the same, and in order. */
CASE(huge_entries_do_not_stop_it)
{
    enum { BYTES = 17 * 1024 * 1024, HUGE = 16, SMALL = 100 };
    char *payload = hw_malloc(BYTES);
    struct world w;
    struct node n;

    CHECK_NOT_NULL(payload);
    memset(payload, 'x', BYTES);
    begin(&w, &n);
    for (int i = 0; i < HUGE; i++)
        (void)cli_text(&w, "XADD hw:events * type a payload %b", payload, (size_t)BYTES);
    add(&w, SMALL);
    node_open_ingest(&n);
    RUN_UNTIL_MS(&w, n.n_entries == HUGE + SMALL, 60000);
    RUN_UNTIL(&w, cli_int(&w, "XLEN hw:events") == 0);
    hw_free(payload);
    end(&w, &n);
}

CASE(stops_at_once_while_it_blocks)
{
    struct world w;
    struct node n;
    uint64_t began;

    begin(&w, &n);
    node_open_ingest(&n);
    RUN_UNTIL(&w, hw_ingest_last_read(n.ingest) > 0);
    run_for(&w, 100);
    began = uv_hrtime() / 1000000;
    hw_ingest_stop(n.ingest, node_on_stopped, &n);
    CHECK(!n.has_stopped);
    RUN_UNTIL(&w, n.has_stopped);
    CHECK_INT(uv_hrtime() / 1000000 - began, <, 1000);
    add(&w, 1);
    run_for(&w, 100);
    CHECK_INT(n.n_entries, ==, 0);
    end(&w, &n);
}

CASE(stop_waits_for_the_batch)
{
    struct world w;
    struct node n;

    begin(&w, &n);
    n.holds_batch = true;
    add(&w, 1);
    node_open_ingest(&n);
    RUN_UNTIL(&w, n.n_batches == 1);
    hw_ingest_stop(n.ingest, node_on_stopped, &n);
    run_for(&w, 50);
    CHECK(!n.has_stopped);
    node_accept_batch(&n);
    RUN_UNTIL(&w, n.has_stopped);
    CHECK_INT(cli_int(&w, "XLEN hw:events"), ==, 0);
    end(&w, &n);
}

CASE(what_was_given_up_comes_again)
{
    struct world w;
    struct node n;

    begin(&w, &n);
    n.holds_batch = true;
    add(&w, 3);
    node_open_ingest(&n);
    RUN_UNTIL(&w, n.n_batches == 1);
    /* The work connection was lost: on_back starts ingest again, the batch is void. */
    n.batch = NULL;
    n.holds_batch = false;
    hw_ingest_start(n.ingest);
    RUN_UNTIL(&w, n.n_entries >= 4 && cli_int(&w, "XLEN hw:events") == 0);
    CHECK_INT(cli_int(&w, "XLEN " T "led:default"), ==, 3);
    CHECK(!n.saw_marked); /* nobody crashed */
    end(&w, &n);
}

CASE(dead_consumers_entries_come_one_at_a_time)
{
    struct world w;
    struct node n;

    begin(&w, &n);
    add(&w, 5);
    cli_int(&w, "XREADGROUP GROUP hookwheel test-0123456789abcdefghjkmnpqrs COUNT 3 STREAMS "
                "hw:events >");
    cli_int(&w, "XREADGROUP GROUP hookwheel somebody COUNT 1 STREAMS hw:events >");
    node_open_ingest(&n);
    RUN_UNTIL(&w, n.n_entries == 5);
    CHECK(n.saw_marked);
    CHECK_INT(n.n_batches, ==, 5);
    RUN_UNTIL(&w, cli_int(&w, "XLEN hw:events") == 0);
    CHECK_INT(cli_int(&w, "EXISTS " T "marks"), ==, 0);
    CHECK_INT(cli_int(&w, "XINFO CONSUMERS hw:events hookwheel"), ==,
              1); /* the dead are forgotten */
    end(&w, &n);
}

CASE(a_living_instances_entries_are_left_alone)
{
    struct world w;
    struct node a, b;

    begin(&w, &a);
    node_begin(&b, &w);
    a.holds_batch = true;
    add(&w, 2);
    node_open_ingest(&a);
    RUN_UNTIL(&w, a.n_batches == 1);
    node_open_ingest(&b);
    run_for(&w, 300);
    CHECK_INT(b.n_entries, ==, 0);
    /* a dies: b is told so by its own take-over. */
    node_crash(&a);
    RUN_UNTIL(&w, b.n_entries == 2);
    CHECK(b.saw_marked);
    CHECK_INT(b.n_takeovers, ==, 1);
    RUN_UNTIL(&w, cli_int(&w, "XLEN hw:events") == 0);
    end(&w, &b);
}

CASE(poison_is_rejected)
{
    struct world w;
    struct node n;

    begin(&w, &n);
    add(&w, 1);
    char id[64];
    snprintf(id, sizeof id, "%s", cli_text(&w, "XADD hw:events * type poison payload 1"));
    add(&w, 1);
    cli_int(&w, "XREADGROUP GROUP hookwheel dead COUNT 3 STREAMS hw:events >");
    (void)cli_int(&w, "HSET " T "marks e:%s 3", id);
    node_open_ingest(&n);
    RUN_UNTIL(&w, n.n_rejected == 1);
    CHECK_INT(n.reason, ==, HW_ENTRY_POISON);
    CHECK_INT(n.metrics.events_rejected[HW_ENTRY_POISON], ==, 1);
    RUN_UNTIL(&w, cli_int(&w, "XLEN hw:events") == 0);
    CHECK_INT(n.n_entries, ==, 2);
    CHECK_INT(cli_int(&w, "XLEN hw:rejected"), ==, 1);
    CHECK_INT(cli_int(&w, "EXISTS " T "marks"), ==, 0);
    end(&w, &n);
}

CASE(deleted_while_pending_is_let_go)
{
    struct world w;
    struct node n;
    char id[64];

    begin(&w, &n);
    snprintf(id, sizeof id, "%s", cli_text(&w, "XADD hw:events * type a payload 1"));
    add(&w, 1);
    cli_int(&w, "XREADGROUP GROUP hookwheel %s COUNT 3 STREAMS hw:events >",
            hw_members_consumer(n.members));
    (void)cli_int(&w, "XDEL hw:events %s", id);
    node_open_ingest(&n);
    RUN_UNTIL(&w, n.n_entries == 1);
    RUN_UNTIL(&w, cli_int(&w, "XPENDING hw:events hookwheel - + 10") == 0);
    end(&w, &n);
}

CASE(group_gone_is_made_anew)
{
    struct world w;
    struct node n;

    begin(&w, &n);
    node_open_ingest(&n);
    RUN_UNTIL(&w, hw_ingest_last_read(n.ingest) > 0);
    (void)cli_int(&w, "XGROUP DESTROY hw:events hookwheel");
    add(&w, 3);
    /* Done with: a stream made anew within the same millisecond gives out the same ids. */
    RUN_UNTIL(&w, n.n_entries == 3 && cli_int(&w, "XLEN hw:events") == 0);
    run_for(&w, 5);
    cli_int(&w, "DEL hw:events");
    add(&w, 2);
    RUN_UNTIL(&w, n.n_entries == 5);
    RUN_UNTIL(&w, cli_int(&w, "XLEN hw:events") == 0);
    end(&w, &n);
}

CASE(redis_restarted)
{
    struct world w;
    struct node n;

    begin(&w, &n);
    node_open_ingest(&n);
    add(&w, 3);
    RUN_UNTIL(&w, n.n_entries == 3 && cli_int(&w, "XLEN hw:events") == 0);
    redis_server_kill(&w.server, SIGKILL);
    RUN_UNTIL(&w, n.read_trouble == HW_REDIS_GONE);
    redis_server_start(&w.server, NULL);
    cli_connect(&w);
    add(&w, 3);
    RUN_UNTIL(&w, n.n_entries == 6);
    RUN_UNTIL(&w, n.read_trouble == HW_REDIS_FINE);
    end(&w, &n);
}

static struct hw_reject rejects[2];
static int n_rejects_done;
static enum hw_redis_trouble reject_trouble;

static void on_reject_done(struct hw_reject *r, enum hw_redis_trouble trouble)
{
    (void)r;
    n_rejects_done++;
    reject_trouble = trouble;
}

CASE(rejected_keeps_its_fields)
{
    struct world w;
    struct node n;
    static char large[6001];
    redisReply *reply, *fields;
    long at = 0;

    begin(&w, &n);
    memset(large, 'y', 6000);
    (void)cli_text(&w, "XADD hw:events * type a..b payload %s", large);
    n.holds_batch = true;
    node_open_ingest(&n);
    RUN_UNTIL(&w, n.n_batches == 1);
    cli_text(&w, "CONFIG SET maxmemory 1"); /* it makes room: goes through */
    CHECK_INT(hw_ingest_reject(n.ingest, &rejects[0], &n.batch->entries[0], HW_ENTRY_BAD_TYPE,
                               on_reject_done),
              ==, HW_OK);
    RUN_UNTIL(&w, n_rejects_done == 1);
    CHECK_INT(reject_trouble, ==, HW_REDIS_FINE);
    CHECK_INT(n.n_rejected, ==, 1);
    CHECK_INT(cli_int(&w, "XLEN hw:events"), ==, 0);
    reply = redisCommand(w.cli, "XRANGE hw:rejected - +");
    CHECK_INT(reply->elements, ==, 1);
    fields = reply->element[0]->element[1];
    CHECK_INT(fields->elements, ==, 10);
    CHECK_STR(fields->element[at]->str, "type");
    CHECK_STR(fields->element[at + 1]->str, "a..b");
    CHECK_STR(fields->element[at + 2]->str, "payload");
    CHECK_INT(fields->element[at + 3]->len, ==, 4096);
    CHECK_STR(fields->element[at + 4]->str, "payload_bytes");
    CHECK_STR(fields->element[at + 5]->str, "6000");
    CHECK_STR(fields->element[at + 6]->str, "reason");
    CHECK_STR(fields->element[at + 7]->str, "bad_type");
    CHECK_STR(fields->element[at + 8]->str, "entry");
    freeReplyObject(reply);
    /* Once more: it is gone already. */
    CHECK_INT(hw_ingest_reject(n.ingest, &rejects[1], &n.batch->entries[0], HW_ENTRY_BAD_TYPE,
                               on_reject_done),
              ==, HW_OK);
    RUN_UNTIL(&w, n_rejects_done == 2);
    CHECK_INT(n.n_rejected, ==, 1);
    CHECK_INT(cli_int(&w, "XLEN hw:rejected"), ==, 1);
    n.batch = NULL;
    hw_ingest_done(n.ingest);
    end(&w, &n);
}

CASE(fenced_reads_nothing_until_started_again)
{
    struct world w;
    struct node n;

    begin(&w, &n);
    node_open_ingest(&n);
    RUN_UNTIL(&w, hw_ingest_last_read(n.ingest) > 0);
    (void)cli_int(&w, "HDEL " T "inst %s", n.store.instance);
    RUN_UNTIL(&w, n.n_joined == 2);
    add(&w, 2); /* these may go to the read that is still under way, under the old name */
    run_for(&w, 200);
    CHECK_INT(n.n_entries, ==, 0);
    hw_ingest_start(n.ingest);
    RUN_UNTIL(&w, n.n_entries == 2);
    RUN_UNTIL(&w, cli_int(&w, "XLEN hw:events") == 0);
    end(&w, &n);
}

CASE(closing_waits_for_what_redis_has_not_answered)
{
    struct world w;
    struct node n;

    begin(&w, &n);
    node_open_ingest(&n);
    RUN_UNTIL(&w, hw_ingest_last_read(n.ingest) > 0);
    cli_text(&w, "CLIENT PAUSE 400 ALL");
    hw_ingest_rescue(n.ingest);
    run_for(&w, 20);
    hw_ingest_close(n.ingest, node_on_ingest_closed, &n);
    run_for(&w, 100);
    CHECK(!n.is_ingest_closed); /* the question is still open */
    RUN_UNTIL(&w, n.is_ingest_closed);
    n.ingest = NULL;
    end(&w, &n);
}
