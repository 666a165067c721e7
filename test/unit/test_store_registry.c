/* registry: webhooks, event types and tokens stored, loaded, kept in step; and gauges, which need
 * webhooks. */
#include "support/node.h"

#define T "hw:{s0}:"

static int n_ops_done;
static enum hw_registry_result op_result;
static char op_kept[200];

static void on_op_done(struct hw_registry_op *op, enum hw_registry_result result)
{
    CHECK(strlen(op->account) > 0);
    n_ops_done++;
    op_result = result;
    snprintf(op_kept, sizeof op_kept, "%.*s", HW_SLICE_FMT(op->kept));
}

static const struct hw_fill_from no_backfill = { .kind = HW_FILL_NONE };

/* The answer to what `status` says was sent. */
static enum hw_registry_result answer(struct node *n, struct hw_registry_op *op,
                                      enum hw_status status)
{
    int before = n_ops_done;

    CHECK_INT(status, ==, HW_OK);
    RUN_UNTIL(n->world, n_ops_done == before + 1);
    hw_registry_op_close(op);
    return op_result;
}

static enum hw_registry_result create_once(struct node *n, const char *account, const char *id,
                                           const char *key, const char *value, uint32_t *w)
{
    struct hw_webhook *wh = make_webhook(account, id);
    struct hw_registry_op op;
    enum hw_registry_result result;

    hw_registry_op_init(&op);
    result = answer(n, &op,
                    hw_registry_create(n->registry, &op, wh, hw_slice_str(key),
                                       hw_slice_str(value), no_backfill, on_op_done));
    *w = op.w;
    hw_webhook_release(wh);
    return result;
}

static enum hw_registry_result create(struct node *n, const char *account, const char *id,
                                      uint32_t *w)
{
    return create_once(n, account, id, "", "", w);
}

static enum hw_registry_result refresh(struct node *n, const char *account)
{
    struct hw_registry_op op;

    hw_registry_op_init(&op);
    return answer(n, &op,
                  hw_registry_refresh(n->registry, &op, hw_slice_str(account), on_op_done));
}

static enum hw_registry_result delete_one(struct node *n, const struct hw_webhook *wh)
{
    struct hw_registry_op op;

    hw_registry_op_init(&op);
    return answer(
        n, &op,
        hw_registry_delete(n->registry, &op, wh, hw_loop_unix(&n->world->loop), on_op_done));
}

static enum hw_registry_result update(struct node *n, const struct hw_webhook *wh,
                                      enum hw_webhook_status before)
{
    struct hw_registry_op op;

    hw_registry_op_init(&op);
    return answer(n, &op, hw_registry_update(n->registry, &op, wh, before, no_backfill, on_op_done));
}

static enum hw_registry_result put_in(struct node *n, const char *book, const char *key,
                                      const char *stored)
{
    struct hw_registry_op op;

    hw_registry_op_init(&op);
    return answer(n, &op,
                  hw_registry_put(n->registry, &op, book, hw_slice_str(key),
                                  hw_slice_str(stored), on_op_done));
}

static enum hw_registry_result drop_from(struct node *n, const char *book, const char *key)
{
    struct hw_registry_op op;

    hw_registry_op_init(&op);
    return answer(n, &op,
                  hw_registry_drop(n->registry, &op, book, hw_slice_str(key), on_op_done));
}

static enum hw_registry_result freshen(struct node *n, const char *book)
{
    struct hw_registry_op op;

    hw_registry_op_init(&op);
    return answer(n, &op, hw_registry_freshen(n->registry, &op, book, on_op_done));
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

    (void)cli_int(&w, "HSET " T "seq 2 1"); /* it has had a delivery */
    CHECK_INT(delete_one(&n, find(&n, "wh_2")), ==, HW_REGISTRY_DONE);
    CHECK_INT(find(&n, "wh_2")->standing.status, ==, HW_WEBHOOK_DELETED);
    CHECK_INT(delete_one(&n, find(&n, "wh_2")), ==, HW_REGISTRY_NOT_FOUND);
    CHECK_INT(create(&n, "acct", "wh_6", &number), ==, HW_REGISTRY_DONE);
    CHECK_INT(number, ==, 5); /* numbers are never used again */
    end(&w, &n);
}

CASE(without_a_delivery_nothing_is_left)
{
    struct world w;
    struct node n;
    struct hw_webhook *gone;
    uint32_t number;

    begin(&w, &n);
    CHECK_INT(create(&n, "acct", "wh_1", &number), ==, HW_REGISTRY_DONE);
    gone = hw_webhook_hold(find(&n, "wh_1"));
    CHECK_INT(delete_one(&n, gone), ==, HW_REGISTRY_DONE);
    CHECK_NULL(find(&n, "wh_1"));
    CHECK_INT(delete_one(&n, gone), ==, HW_REGISTRY_NOT_FOUND);
    CHECK_INT(cli_int(&w, "EXISTS " T "wh:1 " T "acct:acct " T "acctd:acct " T "tombs " T "whid"),
              ==, 0);
    CHECK_STR(cli_text(&w, "HGET " T "regv acct"), "2");
    hw_webhook_release(gone);
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
    CHECK_INT(hw_registry_create(n.registry, &op, wh, hw_slice(NULL, 0), hw_slice(NULL, 0),
                                 no_backfill, on_op_done),
              ==, HW_ECONN);
    hw_registry_op_close(&op);
    hw_webhook_release(wh);
    end(&w, &n);
}

/* ---- changing ---- */

/* A copy of what the node knows, with another name. */
static struct hw_webhook *renamed(struct node *n, const char *id, const char *name)
{
    struct hw_webhook *copy = hw_webhook_copy(find(n, id));

    CHECK_NOT_NULL(copy);
    CHECK_INT(hw_webhook_set_text(&copy->name, hw_slice_str(name)), ==, HW_OK);
    return copy;
}

CASE(a_change_is_stored_and_others_learn_of_it)
{
    struct world w;
    struct node a, b;
    struct hw_webhook *copy;
    uint32_t number;

    begin(&w, &a);
    node_begin(&b, &w);
    hw_registry_load(b.registry);
    RUN_UNTIL(&w, b.n_loaded == 1);
    CHECK_INT(create(&a, "acct", "wh_1", &number), ==, HW_REGISTRY_DONE);
    copy = renamed(&a, "wh_1", "one");
    CHECK_INT(update(&a, copy, HW_WEBHOOK_ACTIVE), ==, HW_REGISTRY_DONE);
    CHECK_STR(find(&a, "wh_1")->name, "one");
    CHECK_UINT(find(&a, "wh_1")->standing.revision, ==, 1);
    CHECK_STR(cli_text(&w, "HGET " T "regv acct"), "2");
    CHECK_STR(cli_text(&w, "HGET " T "regv *"), "2");
    RUN_UNTIL(&w, find(&b, "wh_1") != NULL && find(&b, "wh_1")->name != NULL);
    CHECK_STR(find(&b, "wh_1")->name, "one");
    hw_webhook_release(copy);
    node_end(&b);
    end(&w, &a);
}

CASE(a_change_of_what_is_another_by_now_is_stale)
{
    struct world w;
    struct node a, b;
    struct hw_webhook *one, *other;
    uint32_t number;

    begin(&w, &a);
    CHECK_INT(create(&a, "acct", "wh_1", &number), ==, HW_REGISTRY_DONE);
    CHECK_INT(create(&a, "acct", "wh_2", &number), ==, HW_REGISTRY_DONE);
    node_begin(&b, &w);
    hw_registry_load(b.registry);
    RUN_UNTIL(&w, b.n_loaded == 1);
    one = renamed(&a, "wh_1", "one");
    other = renamed(&b, "wh_1", "other");
    CHECK_INT(update(&b, other, HW_WEBHOOK_ACTIVE), ==, HW_REGISTRY_DONE);
    CHECK_INT(update(&a, one, HW_WEBHOOK_ACTIVE), ==, HW_REGISTRY_STALE);
    CHECK_STR(find(&a, "wh_1")->name, "other"); /* in memory as it is now */
    hw_webhook_release(one);
    one = renamed(&a, "wh_1", "one");
    CHECK_INT(update(&a, one, HW_WEBHOOK_PAUSED), ==, HW_REGISTRY_STALE);
    CHECK_INT(update(&a, one, HW_WEBHOOK_ACTIVE), ==, HW_REGISTRY_DONE);
    /* What happened to the account's other webhook does not matter. */
    hw_webhook_release(one);
    one = renamed(&a, "wh_2", "two");
    CHECK_INT(refresh(&b, "acct"), ==, HW_REGISTRY_DONE);
    CHECK_STR(find(&b, "wh_1")->name, "one");
    (void)cli_int(&w, "HSET " T "seq 1 1"); /* so that it leaves a tombstone */
    CHECK_INT(delete_one(&b, find(&b, "wh_1")), ==, HW_REGISTRY_DONE);
    CHECK_INT(update(&a, one, HW_WEBHOOK_ACTIVE), ==, HW_REGISTRY_DONE);
    hw_webhook_release(other);
    other = renamed(&a, "wh_1", "gone");
    CHECK_INT(update(&a, other, HW_WEBHOOK_DELETED), ==, HW_REGISTRY_NOT_FOUND);
    CHECK_INT(find(&a, "wh_1")->standing.status, ==, HW_WEBHOOK_DELETED);
    hw_webhook_release(one);
    hw_webhook_release(other);
    node_end(&b);
    end(&w, &a);
}

/* Store it unchanged with another status. */
static enum hw_registry_result become(struct node *n, const char *id,
                                      enum hw_webhook_status status)
{
    struct hw_webhook *copy = hw_webhook_copy(find(n, id));
    enum hw_webhook_status before = copy->standing.status;
    enum hw_registry_result result;

    copy->standing.status = status;
    result = update(n, copy, before);
    hw_webhook_release(copy);
    return result;
}

CASE(paused_and_active_again)
{
    struct world w;
    struct node n;
    uint32_t number;

    begin(&w, &n);
    CHECK_INT(create(&n, "acct", "wh_1", &number), ==, HW_REGISTRY_DONE);
    (void)cli_int(&w, "HSET " T "wh:1 cf 4");
    CHECK_INT(become(&n, "wh_1", HW_WEBHOOK_PAUSED), ==, HW_REGISTRY_DONE);
    CHECK_INT(find(&n, "wh_1")->standing.status, ==, HW_WEBHOOK_PAUSED);
    CHECK_INT(find(&n, "wh_1")->standing.consecutive_failures, ==, 4);
    CHECK_INT(become(&n, "wh_1", HW_WEBHOOK_ACTIVE), ==, HW_REGISTRY_DONE);
    CHECK_INT(find(&n, "wh_1")->standing.status, ==, HW_WEBHOOK_ACTIVE);
    CHECK_INT(find(&n, "wh_1")->standing.consecutive_failures, ==, 4); /* was not disabled */
    (void)cli_int(&w, "HSET " T "wh:1 st disabled cf 10 da 5 dr why dc 17-3");
    CHECK_INT(become(&n, "wh_1", HW_WEBHOOK_PAUSED), ==, HW_REGISTRY_STALE);
    CHECK_INT(refresh(&n, "acct"), ==, HW_REGISTRY_DONE);
    CHECK_INT(find(&n, "wh_1")->standing.status, ==, HW_WEBHOOK_DISABLED);
    CHECK_INT(become(&n, "wh_1", HW_WEBHOOK_DISABLED), ==, HW_REGISTRY_DONE); /* stays so */
    CHECK_STR(find(&n, "wh_1")->standing.disabled_reason, "why");
    CHECK_INT(find(&n, "wh_1")->standing.consecutive_failures, ==, 10);
    CHECK_INT(become(&n, "wh_1", HW_WEBHOOK_ACTIVE), ==, HW_REGISTRY_DONE);
    CHECK_INT(find(&n, "wh_1")->standing.status, ==, HW_WEBHOOK_ACTIVE);
    CHECK_INT(find(&n, "wh_1")->standing.consecutive_failures, ==, 0);
    CHECK_INT(find(&n, "wh_1")->standing.disabled_ms, ==, 0);
    CHECK_STR(find(&n, "wh_1")->standing.disabled_reason, "");
    CHECK_INT(find(&n, "wh_1")->standing.disabled_cursor.ms, ==, 0);
    end(&w, &n);
}

/* ---- with a backfill ---- */

static struct hw_registry_op last; /* the operation, as it ended */

static enum hw_registry_result create_from(struct node *n, const char *id,
                                           struct hw_fill_from from)
{
    struct hw_webhook *wh = make_webhook("acct", id);
    enum hw_registry_result result;

    hw_registry_op_init(&last);
    result = answer(n, &last,
                    hw_registry_create(n->registry, &last, wh, hw_slice(NULL, 0),
                                       hw_slice(NULL, 0), from, on_op_done));
    hw_webhook_release(wh);
    return result;
}

static enum hw_registry_result enable_from(struct node *n, const char *id,
                                           struct hw_fill_from from)
{
    struct hw_webhook *copy;
    enum hw_registry_result result;

    CHECK_INT(refresh(n, "acct"), ==, HW_REGISTRY_DONE);
    copy = hw_webhook_copy(find(n, id));
    CHECK_INT(copy->standing.status, ==, HW_WEBHOOK_DISABLED);
    copy->standing.status = HW_WEBHOOK_ACTIVE;
    hw_registry_op_init(&last);
    result = answer(n, &last,
                    hw_registry_update(n->registry, &last, copy, HW_WEBHOOK_DISABLED, from,
                                       on_op_done));
    hw_webhook_release(copy);
    return result;
}

static struct hw_fill_from after(uint64_t seq)
{
    return (struct hw_fill_from){ HW_FILL_FROM, { .after = { 1000, seq } } };
}

static const struct hw_fill_from from_start = { HW_FILL_FROM, { .is_start = true } };

static void check_job(uint64_t number, uint32_t w, uint64_t from, uint64_t until)
{
    CHECK_UINT(last.job.number, ==, number);
    CHECK_UINT(last.job.w, ==, w);
    CHECK_STR(last.job.account, "acct");
    CHECK_UINT(last.job.from.seq, ==, from);
    CHECK_UINT(last.job.until.ms, ==, 1000);
    CHECK_UINT(last.job.until.seq, ==, until);
    CHECK_UINT(last.job.count, ==, 0);
}

/* 1000-1 to 1000-9, of which the first three are gone. */
static void make_feed(struct world *w)
{
    for (int i = 1; i <= 9; i++)
        (void)cli_text(w, "XADD " T "led:acct 1000-%d r {} d %s", i, "");
    (void)cli_int(w, "XTRIM " T "led:acct MAXLEN 6");
    (void)cli_int(w, "HSET " T "trimmed acct 1000-3");
}

CASE(a_webhook_is_created_with_a_backfill_of_what_is_there)
{
    struct world w;
    struct node n;

    begin(&w, &n);
    CHECK_INT(create_from(&n, "wh_1", from_start), ==, HW_REGISTRY_DONE);
    CHECK_UINT(last.job.number, ==, 0); /* nothing is */
    make_feed(&w);
    CHECK_INT(create_from(&n, "wh_2", after(2)), ==, HW_REGISTRY_EXPIRED);
    CHECK_UINT(last.oldest.seq, ==, 3);
    CHECK_INT(create_from(&n, "wh_2", after(10)), ==, HW_REGISTRY_EXPIRED);
    CHECK_NULL(find(&n, "wh_2"));
    CHECK_INT(cli_int(&w, "ZCARD " T "acct:acct"), ==, 1);
    CHECK_INT(cli_int(&w, "EXISTS " T "jobs"), ==, 0);
    CHECK_INT(create_from(&n, "wh_2", from_start), ==, HW_REGISTRY_DONE);
    check_job(1, 2, 3, 9);
    CHECK_STR(cli_text(&w, "HGET " T "jobs 2:1"), "acct 1000-3 1000-9 0");
    CHECK_INT(create_from(&n, "wh_3", after(8)), ==, HW_REGISTRY_DONE);
    check_job(2, 3, 8, 9);
    CHECK_INT(create_from(&n, "wh_4", from_start), ==, HW_REGISTRY_LIMIT);
    CHECK_INT(cli_int(&w, "HLEN " T "jobs"), ==, 2);
    end(&w, &n);
}

CASE(a_webhook_is_enabled_with_a_backfill_from_where_it_was_disabled)
{
    static const struct hw_fill_from from_disabled = { .kind = HW_FILL_FROM_DISABLED };
    struct world w;
    struct node n;
    uint32_t number;

    begin(&w, &n);
    CHECK_INT(create(&n, "acct", "wh_1", &number), ==, HW_REGISTRY_DONE);
    make_feed(&w);
    (void)cli_int(&w, "HSET " T "wh:1 st disabled da 5 dr why dc 1000-2");
    CHECK_INT(enable_from(&n, "wh_1", from_disabled), ==, HW_REGISTRY_EXPIRED);
    CHECK_UINT(last.oldest.seq, ==, 3);
    CHECK_INT(find(&n, "wh_1")->standing.status, ==, HW_WEBHOOK_DISABLED);
    CHECK_STR(cli_text(&w, "HGET " T "wh:1 dc"), "1000-2");
    CHECK_INT(enable_from(&n, "wh_1", after(5)), ==, HW_REGISTRY_DONE);
    check_job(1, 1, 5, 9);
    CHECK_INT(find(&n, "wh_1")->standing.status, ==, HW_WEBHOOK_ACTIVE);

    (void)cli_int(&w, "HSET " T "wh:1 st disabled da 5 dr why dc 1000-7");
    CHECK_INT(enable_from(&n, "wh_1", from_disabled), ==, HW_REGISTRY_DONE);
    check_job(2, 1, 7, 9);
    CHECK_INT(cli_int(&w, "HEXISTS " T "wh:1 dc"), ==, 0);
    (void)cli_int(&w, "HSET " T "wh:1 st disabled da 5 dr why dc 1000-9");
    CHECK_INT(enable_from(&n, "wh_1", from_disabled), ==, HW_REGISTRY_DONE);
    CHECK_UINT(last.job.number, ==, 0); /* nothing came */
    (void)cli_int(&w, "HSET " T "wh:1 st disabled da 5 dr why dc 1000-7");
    CHECK_INT(enable_from(&n, "wh_1", no_backfill), ==, HW_REGISTRY_DONE);
    CHECK_UINT(last.job.number, ==, 0);
    CHECK_INT(cli_int(&w, "HLEN " T "jobs"), ==, 2);
    end(&w, &n);
}

/* ---- once ---- */

CASE(what_was_created_under_a_key_is_created_once)
{
    struct world w;
    struct node a, b;
    uint32_t number;

    begin(&w, &a);
    node_begin(&b, &w);
    hw_registry_load(b.registry);
    RUN_UNTIL(&w, b.n_loaded == 1);
    CHECK_INT(create_once(&a, "acct", "wh_1", "acct:r:k", "first\r\n", &number), ==,
              HW_REGISTRY_DONE);
    CHECK_STR(op_kept, "");
    CHECK_STR(cli_text(&w, "GET " T "once:acct:r:k"), "first\r\n");
    CHECK_INT(cli_int(&w, "PTTL " T "once:acct:r:k"), >, 86300000);
    CHECK_INT(cli_int(&w, "PTTL " T "once:acct:r:k"), <=, 86400000);
    CHECK_INT(create_once(&b, "acct", "wh_2", "acct:r:k", "second", &number), ==,
              HW_REGISTRY_KEPT);
    CHECK_STR(op_kept, "first\r\n");
    CHECK_NULL(find(&b, "wh_2"));
    CHECK_INT(cli_int(&w, "ZCARD " T "acct:acct"), ==, 1);
    CHECK_STR(cli_text(&w, "GET " T "once:acct:r:k"), "first\r\n");
    CHECK_INT(create_once(&a, "acct", "wh_2", "acct:r:l", "second", &number), ==,
              HW_REGISTRY_DONE);
    CHECK_INT(create(&a, "acct", "wh_3", &number), ==, HW_REGISTRY_DONE);
    /* The account is full: the same answer again all the same, and nothing kept of a refusal. */
    CHECK_INT(create_once(&a, "acct", "wh_4", "acct:r:l", "x", &number), ==, HW_REGISTRY_KEPT);
    CHECK_STR(op_kept, "second");
    CHECK_INT(create_once(&a, "acct", "wh_4", "acct:r:m", "x", &number), ==,
              HW_REGISTRY_LIMIT);
    CHECK_INT(cli_int(&w, "EXISTS " T "once:acct:r:m"), ==, 0);
    node_end(&b);
    end(&w, &a);
}

/* ---- books ---- */

#define HASH_1 "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"
#define HASH_2 "ffeeddccbbaa99887766554433221100ffeeddccbbaa99887766554433221100"
#define TOKEN(id, hash)                                                                       \
    "{\"id\":\"" id "\",\"hash\":\"" hash "\",\"account\":\"a\",\"scopes\":[],\"created_ms\":1}"
#define TYPE(group) "{\"group\":\"" group "\",\"description\":\"d\"}"

static const struct hw_event_type *type_of(struct node *n, const char *name)
{
    return hw_catalogue_find(&hw_registry_books(n->registry)->catalogue, hw_slice_str(name));
}

static struct hw_token *token_of(struct node *n, const char *hash)
{
    return hw_token_book_find(&hw_registry_books(n->registry)->tokens, hash);
}

CASE(a_type_put_by_one_is_seen_by_the_other)
{
    struct world w;
    struct node a, b;

    begin(&w, &a);
    node_begin(&b, &w);
    hw_registry_load(b.registry);
    RUN_UNTIL(&w, b.n_loaded == 1);
    CHECK_INT(put_in(&a, HW_BOOK_TYPES, "order.paid", TYPE("g")), ==, HW_REGISTRY_DONE);
    CHECK_STR(type_of(&a, "order.paid")->group, "g");
    RUN_UNTIL(&w, type_of(&b, "order.paid") != NULL);
    CHECK_INT(put_in(&b, HW_BOOK_TYPES, "order.paid", TYPE("h")), ==, HW_REGISTRY_DONE);
    CHECK_INT(put_in(&b, HW_BOOK_TYPES, "order.new", TYPE("h")), ==, HW_REGISTRY_DONE);
    RUN_UNTIL(&w, type_of(&a, "order.new") != NULL);
    CHECK_STR(type_of(&a, "order.paid")->group, "h");
    CHECK_INT(drop_from(&a, HW_BOOK_TYPES, "order.paid"), ==, HW_REGISTRY_DONE);
    CHECK_NULL(type_of(&a, "order.paid"));
    CHECK_INT(drop_from(&a, HW_BOOK_TYPES, "order.paid"), ==, HW_REGISTRY_NOT_FOUND);
    RUN_UNTIL(&w, type_of(&b, "order.paid") == NULL);
    CHECK_NOT_NULL(type_of(&b, "order.new"));
    CHECK_STR(cli_text(&w, "HGET " T "regv .types"), "4");
    CHECK_STR(cli_text(&w, "HGET " T "regv *"), "4");
    node_end(&b);
    end(&w, &a);
}

CASE(books_are_loaded_and_freshened)
{
    struct world w;
    struct node a, b;
    int n_beats;

    begin(&w, &a);
    CHECK_INT(put_in(&a, HW_BOOK_TOKENS, "tok_1", TOKEN("tok_1", HASH_1)), ==,
              HW_REGISTRY_DONE);
    CHECK_INT(put_in(&a, HW_BOOK_TYPES, "t", TYPE("g")), ==, HW_REGISTRY_DONE);
    node_begin(&b, &w);
    hw_registry_load(b.registry);
    RUN_UNTIL(&w, b.n_loaded == 1);
    CHECK_STR(token_of(&b, HASH_1)->id, "tok_1");
    CHECK_NOT_NULL(type_of(&b, "t"));
    CHECK_INT(put_in(&a, HW_BOOK_TOKENS, "tok_2", TOKEN("tok_2", HASH_2)), ==,
              HW_REGISTRY_DONE);
    CHECK_INT(freshen(&b, HW_BOOK_TOKENS), ==, HW_REGISTRY_DONE);
    CHECK_STR(token_of(&b, HASH_2)->id, "tok_2");
    const struct hw_token *same = token_of(&b, HASH_2);
    CHECK_INT(freshen(&b, HW_BOOK_TOKENS), ==, HW_REGISTRY_DONE); /* nothing new: not read */
    CHECK_PTR(token_of(&b, HASH_2), ==, same);
    /* Both are in step now: the sum is what Redis has, and a beat reads nothing again. */
    n_beats = b.n_beats;
    RUN_UNTIL(&w, b.n_beats >= n_beats + 3);
    CHECK_PTR(token_of(&b, HASH_2), ==, same);
    node_end(&b);
    end(&w, &a);
}

CASE(a_token_keeps_what_it_has_spent)
{
    struct world w;
    struct node n;
    struct hw_token *held;

    begin(&w, &n);
    CHECK_INT(put_in(&n, HW_BOOK_TOKENS, "tok_1", TOKEN("tok_1", HASH_1)), ==,
              HW_REGISTRY_DONE);
    CHECK_UINT(hw_token_spend(token_of(&n, HASH_1), 1, 5000), ==, 0);
    CHECK_UINT(hw_token_spend(token_of(&n, HASH_1), 1, 5000), >, 0);
    held = hw_token_hold(token_of(&n, HASH_1));
    CHECK_INT(put_in(&n, HW_BOOK_TOKENS, "tok_2", TOKEN("tok_2", HASH_2)), ==,
              HW_REGISTRY_DONE);
    CHECK_PTR(token_of(&n, HASH_1), !=, held);
    CHECK_UINT(hw_token_spend(token_of(&n, HASH_1), 1, 5000), >, 0);
    CHECK_UINT(hw_token_spend(token_of(&n, HASH_2), 1, 5000), ==, 0);
    CHECK_STR(held->id, "tok_1");
    hw_token_release(held);
    CHECK_INT(drop_from(&n, HW_BOOK_TOKENS, "tok_1"), ==, HW_REGISTRY_DONE);
    CHECK_NULL(token_of(&n, HASH_1));
    end(&w, &n);
}

CASE(a_stored_form_that_does_not_parse_is_left_out_and_told)
{
    struct world w;
    struct node n;

    begin(&w, &n);
    CHECK_INT(put_in(&n, HW_BOOK_TYPES, "bad", "nonsense"), ==, HW_REGISTRY_DONE);
    CHECK_INT(put_in(&n, HW_BOOK_TOKENS, "bad", "{}"), ==, HW_REGISTRY_DONE);
    CHECK_INT(n.n_bad, ==, 2);
    CHECK_INT(put_in(&n, HW_BOOK_TYPES, "good", TYPE("g")), ==, HW_REGISTRY_DONE);
    CHECK_NOT_NULL(type_of(&n, "good"));
    CHECK_NULL(type_of(&n, "bad"));
    CHECK_INT(n.n_bad, ==, 3);
    CHECK_INT(drop_from(&n, HW_BOOK_TYPES, "bad"), ==, HW_REGISTRY_DONE);
    CHECK_INT(n.n_bad, ==, 3);
    end(&w, &n);
}

CASE(a_full_redis_lets_go_but_takes_nothing_in)
{
    struct world w;
    struct node n;
    struct hw_webhook *copy;
    uint32_t number;

    begin(&w, &n);
    CHECK_INT(create(&n, "acct", "wh_1", &number), ==, HW_REGISTRY_DONE);
    CHECK_INT(put_in(&n, HW_BOOK_TYPES, "t", TYPE("g")), ==, HW_REGISTRY_DONE);
    copy = renamed(&n, "wh_1", "one");
    cli_text(&w, "CONFIG SET maxmemory 1");
    CHECK_INT(put_in(&n, HW_BOOK_TYPES, "u", TYPE("g")), ==, HW_REGISTRY_UNAVAILABLE);
    CHECK_INT(update(&n, copy, HW_WEBHOOK_ACTIVE), ==, HW_REGISTRY_UNAVAILABLE);
    CHECK_INT(create_once(&n, "acct", "wh_2", "k", "v", &number), ==, HW_REGISTRY_UNAVAILABLE);
    CHECK_INT(drop_from(&n, HW_BOOK_TYPES, "t"), ==, HW_REGISTRY_DONE);
    CHECK_NULL(type_of(&n, "t"));
    cli_text(&w, "CONFIG SET maxmemory 0");
    CHECK_INT(cli_int(&w, "EXISTS " T "once:k"), ==, 0);
    CHECK_STR(cli_text(&w, "HGET " T "regv .types"), "2");
    CHECK_INT(update(&n, copy, HW_WEBHOOK_ACTIVE), ==, HW_REGISTRY_DONE);
    hw_webhook_release(copy);
    end(&w, &n);
}

CASE(emptied_redis_has_no_books)
{
    struct world w;
    struct node n;

    begin(&w, &n);
    CHECK_INT(put_in(&n, HW_BOOK_TOKENS, "tok_1", TOKEN("tok_1", HASH_1)), ==,
              HW_REGISTRY_DONE);
    CHECK_INT(put_in(&n, HW_BOOK_TYPES, "old", TYPE("g")), ==, HW_REGISTRY_DONE);
    cli_text(&w, "FLUSHALL");
    RUN_UNTIL(&w, n.n_joined == 2);
    hw_registry_load(n.registry);
    RUN_UNTIL(&w, n.n_loaded == 2);
    CHECK_NULL(token_of(&n, HASH_1));
    CHECK_NULL(type_of(&n, "old"));
    CHECK_INT(put_in(&n, HW_BOOK_TOKENS, "tok_2", TOKEN("tok_2", HASH_2)), ==,
              HW_REGISTRY_DONE);
    CHECK_STR(token_of(&n, HASH_2)->id, "tok_2");
    end(&w, &n);
}

/* An emptied Redis counts its versions from the start: one that is equal is not the same. */
CASE(after_joining_again_equal_versions_are_not_trusted)
{
    struct world w;
    struct node n;
    uint32_t number;

    begin(&w, &n);
    CHECK_INT(put_in(&n, HW_BOOK_TOKENS, "tok_1", TOKEN("tok_1", HASH_1)), ==,
              HW_REGISTRY_DONE);
    CHECK_INT(create(&n, "acct", "wh_1", &number), ==, HW_REGISTRY_DONE);
    /* All before the node's next turn: emptied, and filled by another instance. */
    cli_text(&w, "FLUSHALL");
    cli_int(&w, "HSET " T "tokens tok_2 %s", TOKEN("tok_2", HASH_2));
    cli_int(&w, "HSET " T "regv .tokens 1 acct 1 * 2");
    RUN_UNTIL(&w, n.n_joined == 2);
    hw_registry_load(n.registry);
    RUN_UNTIL(&w, n.n_loaded == 2);
    CHECK_NULL(token_of(&n, HASH_1));
    CHECK_STR(token_of(&n, HASH_2)->id, "tok_2");
    CHECK_NULL(find(&n, "wh_1"));
    CHECK_INT(count(&n, HW_WEBHOOK_ACTIVE), ==, 0);
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
