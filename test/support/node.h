/*
 * node - one instance's store (everything of engine/store but the engine around it) on a real
 * redis-server; several may run on one loop.  What comes through callbacks is counted.
 *
 * Included once a program, by the tests of store.
 */
#ifndef HW_TEST_NODE_H
#define HW_TEST_NODE_H

#include <hiredis/hiredis.h>

#include "check.h"

#include "hookwheel/alloc.h"
#include "rules/history.h"
#include "store/archive.h"
#include "store/gauges.h"
#include "store/ingest.h"
#include "store/janitor.h"
#include "store/ledger.h"
#include "store/members.h"
#include "store/registry.h"
#include "store/schedule.h"
#include "support/redis_server.h"

struct world {
    struct redis_server server;
    redisContext *cli; /* a second pair of eyes, synchronous */
    uv_loop_t uv;
    struct hw_loop loop;
    uv_timer_t guard;
};

struct node_claim {
    uint32_t w;
    uint64_t n;
    unsigned attempts;
    hw_unix_ms due_ms, at_ms;
};

struct node {
    struct world *world;
    struct hw_metrics metrics;
    struct hw_redis_target target;
    struct hw_store store;
    struct hw_members *members;
    struct hw_ledger *ledger;
    struct hw_registry *registry;
    struct hw_schedule *schedule;
    struct hw_ingest *ingest;
    struct hw_janitor *janitor;
    bool is_work_closed, is_ingest_closed, has_left, has_stopped;

    int n_up, n_down, n_joined, n_back, n_fenced, n_beats, n_lost, n_takeovers, n_trouble, n_refused;
    enum hw_redis_trouble beat_trouble;
    struct hw_cause refused;
    struct hw_members_view view; /* of the last beat; arrays copied below */
    struct hw_orphan orphans[8];
    struct hw_hold holds[8];

    uint32_t waiting_w;
    uint64_t n_waiting;
    uint32_t failures_w;
    uint64_t failures;
    int n_disabled;
    enum hw_redis_trouble settle_trouble;

    int n_loaded, n_changed, n_bad;

    uint64_t due_delay_ms; /* what on_due answers */
    int n_due_asked;
    struct node_claim claims[1024];
    int n_claims;

    int n_batches;
    size_t batch_entries;                /* of the one that is out */
    const struct hw_ingest_batch *batch; /* NULL: none is out */
    bool holds_batch;   /* else it is acknowledged by taking it (accept, no targets) */
    uint64_t n_entries; /* of all batches */
    bool saw_marked;
    bool saw_engines_own;
    char first_type[64];
    struct hw_accept accept;
    struct hw_accept_event events[512];
    int n_rejected;
    enum hw_entry_reason reason;
    enum hw_redis_trouble read_trouble;
};

#define RUN_UNTIL_MS(world, condition, limit_ms)                                              \
    do {                                                                                      \
        uint64_t until_ms = uv_hrtime() / 1000000 + (limit_ms);                               \
        while (!(condition)) {                                                                \
            uv_run(&(world)->uv, UV_RUN_ONCE);                                                \
            if (uv_hrtime() / 1000000 > until_ms)                                             \
                CHECK_FAIL("never became true: %s", #condition);                              \
        }                                                                                     \
    } while (0)

#define RUN_UNTIL(world, condition) RUN_UNTIL_MS(world, condition, 20000)

static inline void run_for(struct world *w, uint64_t ms)
{
    uint64_t until = uv_hrtime() / 1000000 + ms;

    RUN_UNTIL(w, uv_hrtime() / 1000000 >= until);
}

/* ---- the second pair of eyes ---- */

static inline redisReply *cli_reply(struct world *w, const char *format, va_list args)
{
    redisReply *reply = redisvCommand(w->cli, format, args);

    if (reply == NULL)
        CHECK_FAIL("redis: %s", w->cli->errstr);
    if (reply->type == REDIS_REPLY_ERROR)
        CHECK_FAIL("redis: %s: %s", format, reply->str);
    return reply;
}

/* An integer, or the number of elements. */
static inline long long cli_int(struct world *w, const char *format, ...)
{
    va_list args;
    long long n;

    va_start(args, format);
    redisReply *reply = cli_reply(w, format, args);
    va_end(args);
    n = reply->type == REDIS_REPLY_INTEGER ? reply->integer : (long long)reply->elements;
    if (reply->type == REDIS_REPLY_STRING)
        n = atoll(reply->str);
    freeReplyObject(reply);
    return n;
}

/* The text, in a static place; "" for nil. */
static inline const char *cli_text(struct world *w, const char *format, ...)
{
    static char text[70000];
    va_list args;

    va_start(args, format);
    redisReply *reply = cli_reply(w, format, args);
    va_end(args);
    snprintf(text, sizeof text, "%.*s", reply->str ? (int)reply->len : 0,
             reply->str ? reply->str : "");
    freeReplyObject(reply);
    return text;
}

static inline void cli_connect(struct world *w)
{
    if (w->cli != NULL)
        redisFree(w->cli);
    w->cli = redisConnectUnix(w->server.socket);
    CHECK(w->cli != NULL && w->cli->err == 0);
    /* The socket is there a little before a log is replayed. */
    for (int i = 0; i < 2000; i++) {
        redisReply *reply = redisCommand(w->cli, "PING");
        bool is_ready = reply != NULL && reply->type == REDIS_REPLY_STATUS;
        freeReplyObject(reply);
        if (is_ready)
            return;
        redis_server_nap();
    }
    CHECK_FAIL("redis does not answer");
}

/* ---- world ---- */

static inline void on_guard(uv_timer_t *timer)
{
    (void)timer;
}

static inline void world_begin(struct world *w)
{
    memset(w, 0, sizeof *w);
    redis_server_init(&w->server);
    redis_server_start(&w->server, NULL);
    cli_connect(w);
    CHECK_INT(uv_loop_init(&w->uv), ==, 0);
    CHECK_INT(hw_loop_init(&w->loop, &w->uv, NULL), ==, HW_OK);
    uv_timer_init(&w->uv, &w->guard);
    uv_timer_start(&w->guard, on_guard, 10, 10);
}

static inline void world_end(struct world *w)
{
    uv_close((uv_handle_t *)&w->guard, NULL);
    hw_loop_close(&w->loop, NULL);
    uv_run(&w->uv, UV_RUN_DEFAULT);
    CHECK_INT(uv_loop_close(&w->uv), ==, 0);
    redisFree(w->cli);
    redis_server_close(&w->server);
}

/* ---- callbacks ---- */

static inline void node_on_up(void *data)
{
    struct node *n = data;

    n->n_up++;
    hw_members_up(n->members);
}

static inline void node_on_down(void *data, const struct hw_cause *cause)
{
    struct node *n = data;

    (void)cause;
    n->n_down++;
    hw_members_down(n->members);
}

static const struct hw_redis_events node_redis_events = { .on_up = node_on_up,
                                                          .on_down = node_on_down };

static inline void node_on_joined(void *data)
{
    ((struct node *)data)->n_joined++;
}

static inline void node_on_back(void *data)
{
    struct node *n = data;

    n->n_back++;
    hw_ledger_resume(n->ledger);
}

static inline void node_on_fenced(void *data)
{
    struct node *n = data;

    n->n_fenced++;
    hw_ledger_fence(n->ledger);
    hw_schedule_stop(n->schedule);
    if (n->ingest != NULL)
        hw_ingest_fence(n->ingest);
}

static inline void node_on_beat(void *data, const struct hw_members_view *view)
{
    struct node *n = data;

    n->n_beats++;
    n->n_lost += view->has_lost;
    n->view = *view;
    for (size_t i = 0; i < view->n_orphans && i < 8; i++)
        n->orphans[i] = view->orphans[i];
    for (size_t i = 0; i < view->n_holds && i < 8; i++)
        n->holds[i] = view->holds[i];
    hw_registry_catch_up(n->registry, view->registry_total);
}

static inline void node_on_refused(void *data, const struct hw_cause *cause)
{
    struct node *n = data;

    n->n_refused++;
    n->refused = *cause;
}

static inline void node_on_takeover(void *data, const char *id, const char *why)
{
    struct node *n = data;

    CHECK_INT(strlen(id), ==, HW_INSTANCE_CHARS);
    CHECK_INT(strlen(why), >, 5);
    n->n_takeovers++;
    if (n->ingest != NULL)
        hw_ingest_rescue(n->ingest);
}

static inline void node_on_beat_trouble(void *data, enum hw_redis_trouble trouble,
                                        const struct hw_cause *cause)
{
    struct node *n = data;

    (void)cause;
    n->n_trouble++;
    n->beat_trouble = trouble;
}

static const struct hw_members_events node_members_events = {
    .on_joined = node_on_joined,
    .on_back = node_on_back,
    .on_fenced = node_on_fenced,
    .on_beat = node_on_beat,
    .on_refused = node_on_refused,
    .on_takeover = node_on_takeover,
    .on_trouble = node_on_beat_trouble,
};

static inline void node_on_waiting(void *data, uint32_t w, uint64_t n_waiting)
{
    struct node *n = data;

    n->waiting_w = w;
    n->n_waiting = n_waiting;
}

static inline void node_on_failures(void *data, uint32_t w, uint64_t consecutive,
                                    bool disabled)
{
    struct node *n = data;

    n->failures_w = w;
    n->failures = consecutive;
    n->n_disabled += disabled;
}

static inline void node_on_settle_state(void *data, enum hw_redis_trouble trouble,
                                        const struct hw_cause *cause)
{
    (void)cause;
    ((struct node *)data)->settle_trouble = trouble;
}

static const struct hw_ledger_events node_ledger_events = { node_on_waiting, node_on_failures,
                                                            node_on_settle_state };

static inline void node_on_loaded(void *data)
{
    ((struct node *)data)->n_loaded++;
}

static inline void node_on_changed(void *data, const struct hw_account *account)
{
    CHECK_NOT_NULL(account->name);
    ((struct node *)data)->n_changed++;
}

static inline void node_on_bad(void *data, const struct hw_cause *cause)
{
    CHECK_INT(cause->status, !=, HW_OK);
    ((struct node *)data)->n_bad++;
}

static const struct hw_registry_events node_registry_events = { node_on_loaded,
                                                                node_on_changed, node_on_bad };

static inline uint64_t node_on_due(void *data, uint32_t w)
{
    struct node *n = data;

    (void)w;
    n->n_due_asked++;
    return n->due_delay_ms;
}

static inline void node_on_claimed(void *data, const struct hw_taken *items, size_t n_items)
{
    struct node *n = data;

    for (size_t i = 0; i < n_items; i++) {
        CHECK_INT(n->n_claims, <, 1024);
        n->claims[n->n_claims++] =
            (struct node_claim){ items[i].w, items[i].n, items[i].attempts, items[i].due_ms,
                                 hw_loop_steady(&n->world->loop) };
    }
}

static const struct hw_schedule_events node_schedule_events = { node_on_due, node_on_claimed };

static inline void node_on_accepted(struct hw_accept *a, enum hw_redis_trouble trouble)
{
    struct node *n = HW_CONTAINER_OF(a, struct node, accept);

    (void)trouble;
    n->batch = NULL;
    if (n->ingest != NULL)
        hw_ingest_done(n->ingest);
}

/* Takes every entry as an event of account "default" without webhooks. */
static inline void node_accept_batch(struct node *n)
{
    for (size_t i = 0; i < n->batch->n_entries; i++)
        n->events[i] =
            (struct hw_accept_event){ .entry = n->batch->entries[i].id,
                                      .account = HW_SLICE("default"),
                                      .record = HW_SLICE("{\"id\":\"x\",\"data\":1}") };
    n->accept.events = n->events;
    n->accept.n_events = n->batch->n_entries;
    n->accept.is_marked = n->batch->is_marked;
    hw_ledger_accept(n->ledger, &n->accept, node_on_accepted);
}

static inline void node_on_batch(void *data, const struct hw_ingest_batch *batch)
{
    struct node *n = data;

    CHECK_NULL(n->batch);
    CHECK_INT(batch->n_entries, >, 0);
    CHECK_INT(batch->n_entries, <=, 512);
    n->n_batches++;
    n->batch = batch;
    n->batch_entries = batch->n_entries;
    n->n_entries += batch->n_entries;
    n->saw_marked = n->saw_marked || batch->is_marked;
    for (size_t i = 0; i < batch->n_entries; i++) {
        n->saw_engines_own = n->saw_engines_own || batch->entries[i].is_engines_own;
        CHECK_INT(batch->entries[i].n_fields, >, 0);
    }
    snprintf(n->first_type, sizeof n->first_type, "%.*s",
             HW_SLICE_FMT(batch->entries[0].fields[0].value));
    if (!n->holds_batch)
        node_accept_batch(n);
}

static inline void node_on_read_state(void *data, enum hw_redis_trouble trouble,
                                      const struct hw_cause *cause)
{
    (void)cause;
    ((struct node *)data)->read_trouble = trouble;
}

static inline void node_on_rejected(void *data, struct hw_stream_id entry,
                                    enum hw_entry_reason reason)
{
    struct node *n = data;

    (void)entry;
    n->n_rejected++;
    n->reason = reason;
}

static const struct hw_ingest_events node_ingest_events = { node_on_batch, node_on_read_state,
                                                            node_on_rejected };

/* ---- life ---- */

struct node_options {
    uint64_t history_max, dead_letter_max, feed_max, dedup_max;
    uint64_t feed_retention_ms, history_retention_ms;
    unsigned disable_after, max_webhooks;
    const char *root_sha256;
    bool replace_root;
};

static inline struct node_options node_defaults(void)
{
    return (struct node_options){ .history_max = 100,
                                  .dead_letter_max = 100,
                                  .feed_max = 1000,
                                  .dedup_max = 1000,
                                  .feed_retention_ms = 86400000,
                                  .history_retention_ms = 86400000,
                                  .disable_after = 3,
                                  .max_webhooks = 3 };
}

static inline void node_open_parts(struct node *n, const struct node_options *o)
{
    struct hw_members_options members = { .store = &n->store,
                                          .label = "test",
                                          .root_sha256 = o->root_sha256,
                                          .replace_root = o->replace_root,
                                          .events = &node_members_events,
                                          .data = n };
    struct hw_ledger_options ledger = { &n->store,           o->history_max,
                                        o->dead_letter_max,  o->disable_after,
                                        &node_ledger_events, n };
    struct hw_registry_options registry = { &n->store, o->max_webhooks, &node_registry_events,
                                            n };

    CHECK_INT(hw_members_open(&n->members, &members, NULL), ==, HW_OK);
    CHECK_INT(hw_ledger_open(&n->ledger, &ledger, NULL), ==, HW_OK);
    CHECK_INT(hw_registry_open(&n->registry, &registry, NULL), ==, HW_OK);
    struct hw_schedule_options schedule = { &n->store, n->members, n->ledger,
                                            &node_schedule_events, n };
    CHECK_INT(hw_schedule_open(&n->schedule, &schedule, NULL), ==, HW_OK);
    struct hw_janitor_options janitor = { &n->store,
                                          n->members,
                                          n->registry,
                                          o->feed_max,
                                          o->feed_retention_ms,
                                          o->history_max,
                                          o->history_retention_ms,
                                          o->dedup_max };
    CHECK_INT(hw_janitor_open(&n->janitor, &janitor, NULL), ==, HW_OK);
}

/* Opened and connecting; node_begin waits until it is a member. */
static inline void node_open(struct node *n, struct world *w, const struct node_options *o)
{
    char url[120];
    struct hw_redis_options redis = { .target = &n->target,
                                      .metrics = &n->metrics,
                                      .name = "test",
                                      .reply_timeout_ms = 5000,
                                      .events = &node_redis_events,
                                      .data = n };

    memset(n, 0, sizeof *n);
    n->world = w;
    n->store.loop = &w->loop;
    n->store.metrics = &n->metrics;
    hw_metrics_init(&n->metrics);
    hw_accept_init(&n->accept);
    CHECK_INT(hw_keys_init(&n->store.keys, "hw", NULL, NULL, NULL), ==, HW_OK);
    node_open_parts(n, o);
    snprintf(url, sizeof url, "unix://%s", w->server.socket);
    CHECK_INT(hw_redis_target_parse(&n->target, hw_slice_str(url), NULL), ==, HW_OK);
    CHECK_INT(hw_redis_open(&n->store.work, &w->loop, &redis, NULL), ==, HW_OK);
}

static inline void node_begin(struct node *n, struct world *w)
{
    struct node_options o = node_defaults();

    node_open(n, w, &o);
    RUN_UNTIL(w, n->n_joined == 1);
}

static inline void node_open_ingest(struct node *n)
{
    struct hw_ingest_options o = { .store = &n->store,
                                   .members = n->members,
                                   .target = &n->target,
                                   .rejected_max = 100,
                                   .events = &node_ingest_events,
                                   .data = n };

    CHECK_INT(hw_ingest_open(&n->ingest, &o, NULL), ==, HW_OK);
    hw_ingest_start(n->ingest);
}

/* At once, as the engine does: their timers would use the connection. */
static inline void node_on_work_closed(void *data)
{
    struct node *n = data;

    hw_schedule_close(n->schedule);
    hw_janitor_close(n->janitor);
    hw_ledger_close(n->ledger);
    hw_registry_close(n->registry);
    hw_members_close(n->members);
    n->is_work_closed = true;
}

static inline void node_on_ingest_closed(void *data)
{
    ((struct node *)data)->is_ingest_closed = true;
}

static inline void node_on_left(void *data)
{
    ((struct node *)data)->has_left = true;
}

static inline void node_on_stopped(void *data)
{
    ((struct node *)data)->has_stopped = true;
}

static inline void node_leave(struct node *n)
{
    hw_members_leave(n->members, node_on_left, n);
    CHECK(!n->has_left);
    RUN_UNTIL(n->world, n->has_left);
}

/* Gone without a word, as far as the others can see; node_end frees what is left. */
static inline void node_crash(struct node *n)
{
    if (n->ingest != NULL) {
        hw_ingest_close(n->ingest, node_on_ingest_closed, n);
        RUN_UNTIL(n->world, n->is_ingest_closed);
        n->ingest = NULL;
    }
    hw_redis_close(n->store.work, node_on_work_closed, n);
    RUN_UNTIL(n->world, n->is_work_closed);
    hw_accept_close(&n->accept);
    hw_redis_target_close(&n->target);
}

static inline void node_end(struct node *n)
{
    node_crash(n);
}

/* ---- what most cases begin with ---- */

static inline struct hw_webhook *make_webhook(const char *account, const char *id)
{
    struct hw_webhook *wh = hw_webhook_new();
    struct hw_url_rules rules = { false, false };

    CHECK_NOT_NULL(wh);
    snprintf(wh->id, sizeof wh->id, "%s", id);
    wh->account = hw_strdup(account);
    CHECK_INT(hw_url_parse(&wh->url, HW_SLICE("https://example.com/hook"), &rules, NULL), ==,
              HW_OK);
    hw_sign_secret_make(wh->secret);
    CHECK_INT(hw_sign_key_parse(&wh->key, hw_slice_str(wh->secret), NULL), ==, HW_OK);
    wh->max_in_flight = 8;
    wh->created_ms = wh->updated_ms = 1700000000000;
    return wh;
}

/* An event of `account`, straight into the ledger: the entry is made and read by hand. */
static inline struct hw_stream_id node_entry(struct node *n, const char *type)
{
    struct hw_stream_id id;
    const char *text = cli_text(n->world, "XADD hw:events * type %s payload 1", type);

    CHECK(hw_stream_id_parse(&id, hw_slice_str(text)));
    freeReplyObject(redisCommand(n->world->cli,
                                 "XREADGROUP GROUP hookwheel %s COUNT 100 STREAMS hw:events >",
                                 hw_members_consumer(n->members)));
    return id;
}

struct accepting {
    struct hw_accept accept;
    bool is_done;
    enum hw_redis_trouble trouble;
};

static inline void on_accepting_done(struct hw_accept *a, enum hw_redis_trouble trouble)
{
    struct accepting *one = HW_CONTAINER_OF(a, struct accepting, accept);

    CHECK(!one->is_done);
    one->is_done = true;
    one->trouble = trouble;
}

static inline enum hw_redis_trouble node_accept(struct node *n, struct hw_accept_event *events,
                                                size_t n_events)
{
    struct accepting one = { .is_done = false };

    hw_accept_init(&one.accept);
    one.accept.events = events;
    one.accept.n_events = n_events;
    hw_ledger_accept(n->ledger, &one.accept, on_accepting_done);
    CHECK(!one.is_done);
    RUN_UNTIL(n->world, one.is_done);
    hw_accept_close(&one.accept);
    return one.trouble;
}

#define RECORD                                                                                \
    "{\"id\":\"evt_1\",\"type\":\"order.created\",\"timestamp\":\"2026-03-09T12:00:00."       \
    "000Z\","                                                                                 \
    "\"account\":\"acct\",\"subject\":\"s 1\",\"level\":\"user\",\"data\":{\"a\":1}}"

/* n deliveries of webhook w, one event each, owned or waiting.  Their numbers follow each other. */
static inline void node_deliveries(struct node *n, uint32_t w, size_t count, bool to_wait)
{
    for (size_t i = 0; i < count; i++) {
        struct hw_accept_target target = { .w = w, .to_wait = to_wait };
        struct hw_accept_event event = { .entry = node_entry(n, "order.created"),
                                         .account = HW_SLICE("acct"),
                                         .record = HW_SLICE(RECORD),
                                         .traceparent = HW_SLICE("00-trace-1"),
                                         .targets = &target,
                                         .n_targets = 1 };
        CHECK_INT(node_accept(n, &event, 1), ==, HW_REDIS_FINE);
        CHECK_INT(event.result, ==, HW_ACCEPTED_TAKEN);
    }
}

struct settling {
    struct hw_settle settle;
    int n_done;
    enum hw_settled result;
};

static inline void on_settling_done(struct hw_settle *s, enum hw_settled result)
{
    struct settling *one = HW_CONTAINER_OF(s, struct settling, settle);

    one->n_done++;
    one->result = result;
}

/* Settle one and wait. */
static inline enum hw_settled node_settle(struct node *n, const struct hw_settle_what *what)
{
    struct settling one = { .n_done = 0 };

    CHECK_INT(hw_ledger_settle(n->ledger, &one.settle, what, on_settling_done), ==, HW_OK);
    CHECK_INT(one.n_done, ==, 0);
    RUN_UNTIL(n->world, one.n_done == 1);
    return one.result;
}

struct taking {
    struct hw_take take;
    bool is_done;
    enum hw_redis_trouble trouble;
    size_t n_items;
    uint64_t n_left;
    struct hw_taken items[300]; /* slices copied into text */
    char text[65536];
    size_t at;
};

static inline struct hw_slice taking_keep(struct taking *t, struct hw_slice s)
{
    char *at = t->text + t->at;

    CHECK_INT(t->at + s.len, <, sizeof t->text);
    memcpy(at, s.data, s.len);
    t->at += s.len;
    return hw_slice(at, s.len);
}

static inline void on_taking_done(struct hw_take *take, enum hw_redis_trouble trouble,
                                  const struct hw_taken *items, size_t n_items,
                                  uint64_t n_left)
{
    struct taking *t = HW_CONTAINER_OF(take, struct taking, take);

    CHECK(!t->is_done);
    CHECK_INT(n_items, <=, 300);
    t->is_done = true;
    t->trouble = trouble;
    t->n_items = n_items;
    t->n_left = n_left;
    for (size_t i = 0; i < n_items; i++) {
        t->items[i] = items[i];
        t->items[i].account = taking_keep(t, items[i].account);
        t->items[i].state = taking_keep(t, items[i].state);
        t->items[i].traceparent = taking_keep(t, items[i].traceparent);
        if (items[i].record.len < 1000)
            t->items[i].record = taking_keep(t, items[i].record);
    }
}

static inline void taking_begin(struct taking *t)
{
    memset(t, 0, sizeof *t);
    hw_take_init(&t->take);
}

static inline void taking_wait(struct node *n, struct taking *t)
{
    CHECK(!t->is_done);
    RUN_UNTIL(n->world, t->is_done);
    hw_take_close(&t->take);
}

#endif
