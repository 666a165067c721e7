/* registry: webhooks stored, loaded, kept in step; and archive, gauges, janitor, which need
 * webhooks. */
#include "support/node.h"

#define T "hw:{s0}:"

static int n_ops_done;
static enum hw_registry_result op_result;

static void on_op_done(struct hw_registry_op *op, enum hw_registry_result result)
{
    CHECK(strlen(op->account) > 0);
    n_ops_done++;
    op_result = result;
}

static enum hw_registry_result create(struct node *n, const char *account, const char *id,
                                      uint32_t *w)
{
    struct hw_webhook *wh = make_webhook(account, id);
    struct hw_registry_op op;
    int before = n_ops_done;

    hw_registry_op_init(&op);
    CHECK_INT(hw_registry_create(n->registry, &op, wh, on_op_done), ==, HW_OK);
    CHECK_INT(n_ops_done, ==, before);
    RUN_UNTIL(n->world, n_ops_done == before + 1);
    *w = op.w;
    hw_registry_op_close(&op);
    hw_webhook_release(wh);
    return op_result;
}

static enum hw_registry_result refresh(struct node *n, const char *account)
{
    struct hw_registry_op op;
    int before = n_ops_done;

    hw_registry_op_init(&op);
    CHECK_INT(hw_registry_refresh(n->registry, &op, hw_slice_str(account), on_op_done), ==,
              HW_OK);
    RUN_UNTIL(n->world, n_ops_done == before + 1);
    hw_registry_op_close(&op);
    return op_result;
}

static enum hw_registry_result delete_one(struct node *n, const struct hw_webhook *wh)
{
    struct hw_registry_op op;
    int before = n_ops_done;

    hw_registry_op_init(&op);
    CHECK_INT(
        hw_registry_delete(n->registry, &op, wh, hw_loop_unix(&n->world->loop), on_op_done),
        ==, HW_OK);
    RUN_UNTIL(n->world, n_ops_done == before + 1);
    hw_registry_op_close(&op);
    return op_result;
}

static void begin(struct world *w, struct node *n)
{
    world_begin(w);
    node_begin(n, w);
    hw_registry_load(n->registry);
    RUN_UNTIL(w, n->n_loaded == 1);
}

static void end(struct world *w, struct node *n)
{
    node_end(n);
    world_end(w);
}

static struct hw_webhook *find(struct node *n, const char *id)
{
    return hw_registry_find_id(n->registry, hw_slice_str(id));
}

static size_t count(struct node *n, enum hw_webhook_status status)
{
    return hw_subscriptions_count(hw_registry_subscriptions(n->registry), status);
}

CASE(create_find_delete)
{
    struct world w;
    struct node n;
    uint32_t number;

    begin(&w, &n);
    CHECK(hw_registry_is_loaded(n.registry));
    CHECK_INT(create(&n, "acct", "wh_1", &number), ==, HW_REGISTRY_DONE);
    CHECK_INT(number, ==, 1);
    CHECK_NOT_NULL(find(&n, "wh_1"));
    CHECK_INT(find(&n, "wh_1")->w, ==, 1);
    CHECK_STR(find(&n, "wh_1")->account, "acct");
    CHECK_INT(find(&n, "wh_1")->standing.status, ==, HW_WEBHOOK_ACTIVE);
    CHECK_STR(cli_text(&w, "HGET " T "whid wh_1"), "1");
    CHECK_STR(cli_text(&w, "HGET " T "regv acct"), "1");
    CHECK_INT(create(&n, "acct", "wh_2", &number), ==, HW_REGISTRY_DONE);
    CHECK_INT(create(&n, "acct", "wh_3", &number), ==, HW_REGISTRY_DONE);
    CHECK_INT(create(&n, "acct", "wh_4", &number), ==, HW_REGISTRY_LIMIT);
    CHECK_INT(create(&n, "other", "wh_5", &number), ==, HW_REGISTRY_DONE);
    CHECK_INT(count(&n, HW_WEBHOOK_ACTIVE), ==, 4);

    CHECK_INT(delete_one(&n, find(&n, "wh_2")), ==, HW_REGISTRY_DONE);
    CHECK_INT(find(&n, "wh_2")->standing.status, ==, HW_WEBHOOK_DELETED);
    CHECK_INT(delete_one(&n, find(&n, "wh_2")), ==, HW_REGISTRY_NOT_FOUND);
    CHECK_INT(create(&n, "acct", "wh_6", &number), ==, HW_REGISTRY_DONE);
    CHECK_INT(number, ==, 5); /* numbers are never used again */
    end(&w, &n);
}

CASE(others_learn_of_it)
{
    struct world w;
    struct node a, b;
    uint32_t number;

    begin(&w, &a);
    node_begin(&b, &w);
    hw_registry_load(b.registry);
    RUN_UNTIL(&w, b.n_loaded == 1);
    CHECK_INT(create(&a, "acct", "wh_1", &number), ==, HW_REGISTRY_DONE);
    RUN_UNTIL(&w, find(&b, "wh_1") != NULL);
    /* A standing that a script changed: refresh brings it without a new version. */
    (void)cli_int(&w, "HSET " T "wh:%u cf 7 last 1700000000123", number);
    CHECK_INT(refresh(&b, "acct"), ==, HW_REGISTRY_DONE);
    CHECK_INT(find(&b, "wh_1")->standing.consecutive_failures, ==, 7);
    CHECK_INT(find(&b, "wh_1")->standing.last_delivery_ms, ==, 1700000000123);
    CHECK_INT(refresh(&b, "nobody"), ==, HW_REGISTRY_DONE);
    /* Disabled by a settle elsewhere. */
    (void)cli_int(&w, "HSET " T "wh:%u st disabled da 5 dr why dc 17-3", number);
    (void)cli_int(&w, "HINCRBY " T "regv acct 1");
    (void)cli_int(&w, "HINCRBY " T "regv * 1");
    RUN_UNTIL(&w, find(&a, "wh_1")->standing.status == HW_WEBHOOK_DISABLED &&
                      find(&b, "wh_1")->standing.status == HW_WEBHOOK_DISABLED);
    CHECK_STR(find(&a, "wh_1")->standing.disabled_reason, "why");
    CHECK_INT(find(&a, "wh_1")->standing.disabled_cursor.ms, ==, 17);
    node_end(&b);
    end(&w, &a);
}

CASE(loads_many_accounts)
{
    enum { N = 200 };
    struct world w;
    struct node a, b;
    uint32_t number;
    char account[20], id[20];

    begin(&w, &a);
    for (int i = 0; i < N; i++) {
        snprintf(account, sizeof account, "a%d", i);
        snprintf(id, sizeof id, "wh_%d", i);
        CHECK_INT(create(&a, account, id, &number), ==, HW_REGISTRY_DONE);
    }
    node_begin(&b, &w);
    hw_registry_load(b.registry);
    RUN_UNTIL(&w, b.n_loaded == 1);
    CHECK_INT(count(&b, HW_WEBHOOK_ACTIVE), ==, N);
    CHECK_INT(b.n_changed, ==, N);
    /* One that cannot be read is left out and told. */
    (void)cli_int(&w, "HSET " T "wh:3 v nonsense");
    (void)cli_int(&w, "HINCRBY " T "regv a2 1");
    (void)cli_int(&w, "HINCRBY " T "regv * 1");
    RUN_UNTIL(&w, b.n_bad == 1);
    CHECK_INT(count(&b, HW_WEBHOOK_ACTIVE), ==, N - 1);
    CHECK_NULL(find(&b, "wh_2"));
    node_end(&b);
    end(&w, &a);
}

CASE(emptied_redis_has_no_webhooks)
{
    struct world w;
    struct node n;
    uint32_t number;

    begin(&w, &n);
    CHECK_INT(create(&n, "acct", "wh_1", &number), ==, HW_REGISTRY_DONE);
    CHECK_INT(create(&n, "b", "wh_2", &number), ==, HW_REGISTRY_DONE);
    cli_text(&w, "FLUSHALL");
    RUN_UNTIL(&w, n.n_joined == 2);
    hw_registry_load(n.registry);
    RUN_UNTIL(&w, n.n_loaded == 2);
    CHECK_NULL(find(&n, "wh_1"));
    CHECK_INT(count(&n, HW_WEBHOOK_ACTIVE), ==, 0);
    CHECK_INT(create(&n, "acct", "wh_9", &number), ==, HW_REGISTRY_DONE);
    CHECK_NOT_NULL(find(&n, "wh_9"));
    end(&w, &n);
}

CASE(unavailable_without_redis)
{
    struct world w;
    struct node n;
    struct hw_registry_op op;
    struct hw_webhook *wh = make_webhook("acct", "wh_1");

    begin(&w, &n);
    cli_text(&w, "REPLICAOF 127.0.0.1 1");
    uint32_t number;
    CHECK_INT(create(&n, "acct", "wh_2", &number), ==, HW_REGISTRY_UNAVAILABLE);
    redis_server_kill(&w.server, SIGKILL);
    RUN_UNTIL(&w, n.n_down > 0);
    hw_registry_op_init(&op);
    CHECK_INT(hw_registry_create(n.registry, &op, wh, on_op_done), ==, HW_ECONN);
    hw_registry_op_close(&op);
    hw_webhook_release(wh);
    end(&w, &n);
}

/* ---- gauges ---- */

static struct hw_gauges gauges_told;
static int n_gauges_told;

static void on_gauges_told(void *data, const struct hw_gauges *g)
{
    (void)data;
    gauges_told = *g;
    n_gauges_told++;
}

CASE(gauges_of_the_installation)
{
    struct world w;
    struct node n;
    struct hw_gauge_reader *reader;
    struct hw_settle_what what = { .kind = HW_SETTLE_PARK,
                                   .w = 7,
                                   .n = 1,
                                   .attempts = 1,
                                   .packed = HW_SLICE("s"),
                                   .due_ms = 1900000000000,
                                   .body = HW_SLICE(RECORD) };

    begin(&w, &n);
    node_deliveries(&n, 7, 2, false);
    node_deliveries(&n, 7, 3, true);
    CHECK_INT(node_settle(&n, &what), ==, HW_SETTLED);
    (void)cli_text(&w, "XADD hw:events * type a payload 1");
    (void)cli_text(&w, "XADD hw:events * type a payload 1");
    cli_int(&w, "XREADGROUP GROUP hookwheel x COUNT 1 STREAMS hw:events >");
    CHECK_INT(hw_gauge_reader_open(&reader, &n.store), ==, HW_OK);
    run_for(&w, 20); /* what waits is to have an age */
    CHECK_INT(hw_gauge_reader_ask(reader, on_gauges_told, NULL), ==, HW_OK);
    CHECK_INT(hw_gauge_reader_ask(reader, on_gauges_told, NULL), ==, HW_OK);
    CHECK_INT(n_gauges_told, ==, 0);
    RUN_UNTIL(&w, n_gauges_told == 2);
    CHECK_INT(gauges_told.stream_lag, ==, 1);
    CHECK_INT(gauges_told.stream_pending, ==, 1);
    CHECK_INT(gauges_told.waiting, ==, 4); /* three in wait, one owned */
    CHECK_INT(gauges_told.retries_scheduled, ==, 1);
    CHECK_INT(gauges_told.redis_memory_bytes, >, 100000);
    CHECK(gauges_told.oldest_waiting_s > 0 && gauges_told.oldest_waiting_s < 20);
    CHECK_INT(hw_gauge_reader_borrow(reader)->waiting, ==, 4);
    redis_server_kill(&w.server, SIGKILL);
    RUN_UNTIL(&w, n.n_down > 0);
    run_for(&w, 1100);
    CHECK_INT(hw_gauge_reader_ask(reader, on_gauges_told, NULL), ==, HW_OK);
    RUN_UNTIL(&w, n_gauges_told == 3);
    CHECK_INT(gauges_told.waiting, ==, 4);
    hw_gauge_reader_close(reader);
    end(&w, &n);
}
