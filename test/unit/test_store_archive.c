/* archive: every state of a delivery found and listed, checked against a model of its own. */
#include "support/node.h"

#define T "hw:{s0}:"

enum { MODEL_MAX = 400 };

struct modelled {
    uint32_t w;
    uint64_t n, stamp_us;
    enum hw_delivery_status status;
    struct hw_stream_id cursor;
};

static struct hw_slice log_of_each;
static struct modelled model[MODEL_MAX];
static size_t n_model;

static int newest_first(const void *a, const void *b)
{
    const struct modelled *x = a, *y = b;

    if (x->stamp_us != y->stamp_us)
        return x->stamp_us < y->stamp_us ? 1 : -1;
    if (x->w != y->w)
        return x->w < y->w ? 1 : -1;
    return x->n < y->n ? 1 : x->n > y->n ? -1 : 0;
}

static void settle_as(struct node *n, const struct modelled *m)
{
    struct hw_buf packed;
    struct hw_history h = { .stamp_us = m->stamp_us,
                            .cursor = m->cursor,
                            .event_id = HW_SLICE("evt_1"),
                            .event_type = HW_SLICE("order.created"),
                            .subject = HW_SLICE("s 1"),
                            .status = m->status,
                            .attempts = 1,
                            .created_ms = (hw_unix_ms)(m->stamp_us / 1000),
                            .updated_ms = (hw_unix_ms)(m->stamp_us / 1000),
                            .log = log_of_each };
    struct hw_settle_what what = { .kind = HW_SETTLE_DELIVERED,
                                   .w = m->w,
                                   .n = m->n,
                                   .attempts = 1,
                                   .stamp_us = m->stamp_us,
                                   .ended_ms = (hw_unix_ms)(m->stamp_us / 1000),
                                   .due_ms = 1900000000000,
                                   .response = HW_SLICE("answer") };

    hw_buf_init(&packed, 1 << 20);
    CHECK_INT(hw_history_pack(&packed, &h), ==, HW_OK);
    what.packed = hw_buf_slice(&packed);
    if (m->status == HW_STATUS_FAILED)
        what.kind = HW_SETTLE_PARK;
    else if (m->status == HW_STATUS_DEAD_LETTER)
        what.kind = HW_SETTLE_DEAD;
    if (m->status != HW_STATUS_DELIVERED)
        what.body = HW_SLICE(RECORD);
    CHECK_INT(node_settle(n, &what), ==, HW_SETTLED);
    hw_buf_close(&packed);
}

/* One event for webhooks 1 .. n_webhooks, each delivery in a state of its own. */
static void make_event(struct node *n, uint32_t n_webhooks, bool all_alike)
{
    struct hw_accept_target targets[3];
    enum hw_delivery_status states[3];
    struct hw_accept_event event = { .entry = node_entry(n, "order.created"),
                                     .account = HW_SLICE("acct"),
                                     .record = HW_SLICE(RECORD),
                                     .targets = targets,
                                     .n_targets = n_webhooks };

    for (uint32_t i = 0; i < n_webhooks; i++) {
        states[i] = all_alike
                        ? HW_STATUS_DELIVERED
                        : (enum hw_delivery_status)check_random_below(HW_DELIVERY_STATUSES);
        targets[i] =
            (struct hw_accept_target){ .w = i + 1, .to_wait = states[i] == HW_STATUS_PENDING };
    }
    CHECK_INT(node_accept(n, &event, 1), ==, HW_REDIS_FINE);
    for (uint32_t i = 0; i < n_webhooks; i++) {
        struct modelled m = { i + 1, targets[i].n, event.stamp_us, states[i], event.cursor };
        CHECK_INT(n_model, <, MODEL_MAX);
        model[n_model++] = m;
        if (states[i] != HW_STATUS_PENDING && states[i] != HW_STATUS_DELIVERING)
            settle_as(n, &m);
    }
}

static void begin(struct world *w, struct node *n)
{
    n_model = 0;
    log_of_each = hw_slice(NULL, 0);
    world_begin(w);
    node_begin(n, w);
    (void)cli_int(w, "HSET " T "wh:1 a acct st active");
    (void)cli_int(w, "HSET " T "wh:2 a acct st active");
    (void)cli_int(w, "HSET " T "wh:3 a acct st active");
}

static void end(struct world *w, struct node *n)
{
    node_end(n);
    world_end(w);
}

/* ---- list ---- */

static struct {
    bool is_done;
    struct modelled items[HW_ARCHIVE_LIMIT_MAX];
    size_t n_items;
    bool has_more, has_first_last;
    struct hw_archive_place first, last;
    size_t log_bytes; /* the longest */
} told;

static void on_page(void *data, enum hw_redis_trouble trouble,
                    const struct hw_archive_page *page)
{
    (void)data;
    CHECK_INT(trouble, ==, HW_REDIS_FINE);
    told.is_done = true;
    told.n_items = page->n_items;
    told.has_more = page->has_more;
    told.has_first_last = page->has_first_last;
    told.first = page->first;
    told.last = page->last;
    for (size_t i = 0; i < page->n_items; i++) {
        const struct hw_archive_item *it = &page->items[i];
        CHECK_SLICE(it->history.event_id, "evt_1");
        CHECK_SLICE(it->history.event_type, "order.created");
        CHECK_SLICE(it->history.subject, "s 1");
        if (it->history.log.len > told.log_bytes)
            told.log_bytes = it->history.log.len;
        told.items[i] = (struct modelled){ it->w, it->n, it->history.stamp_us,
                                           it->history.status, it->history.cursor };
    }
}

static void list(struct node *n, const struct hw_archive_query *query)
{
    told.is_done = false;
    CHECK_INT(hw_archive_list(&n->store, query, on_page, NULL), ==, HW_OK);
    CHECK(!told.is_done);
    RUN_UNTIL(n->world, told.is_done);
}

static bool is_in(const struct hw_archive_query *q, const struct modelled *m)
{
    hw_unix_ms created = (hw_unix_ms)(m->stamp_us / 1000);
    bool is_asked = false;

    for (size_t i = 0; i < q->n_webhooks; i++)
        is_asked = is_asked || q->webhooks[i] == m->w;
    return is_asked && (q->status < 0 || q->status == (int)m->status) &&
           (q->since_ms == 0 || created >= q->since_ms) &&
           (q->until_ms == 0 || created < q->until_ms);
}

/* Page by page forward, then back again; all must be there, once, in order. */
static void check_walk(struct node *n, struct hw_archive_query q)
{
    static struct modelled want[MODEL_MAX];
    size_t n_want = 0, at = 0;

    qsort(model, n_model, sizeof *model, newest_first);
    for (size_t i = 0; i < n_model; i++)
        if (is_in(&q, &model[i]))
            want[n_want++] = model[i];
    for (int pages = 0; pages < 200; pages++) {
        list(n, &q);
        for (size_t i = 0; i < told.n_items; i++, at++) {
            CHECK_INT(at, <, n_want);
            CHECK_INT(told.items[i].w, ==, want[at].w);
            CHECK_INT(told.items[i].n, ==, want[at].n);
            CHECK_INT(told.items[i].stamp_us, ==, want[at].stamp_us);
            CHECK_INT(told.items[i].status, ==, want[at].status);
            CHECK_INT(hw_stream_id_cmp(told.items[i].cursor, want[at].cursor), ==, 0);
        }
        CHECK_INT(told.has_more, ==, at < n_want);
        if (!told.has_more)
            break;
        q.has_place = true;
        q.place = told.last;
    }
    CHECK_INT(at, ==, n_want);
    if (n_want == 0 || !told.has_first_last || q.until_ms != 0)
        return;
    /* Back: from the first of the last page. */
    q.is_backward = true;
    q.has_place = true;
    at -= told.n_items;
    q.place = told.first;
    while (at > 0) {
        list(n, &q);
        CHECK_INT(told.n_items, >, 0);
        CHECK_INT(told.n_items, <=, at);
        at -= told.n_items;
        for (size_t i = 0; i < told.n_items; i++) {
            CHECK_INT(told.items[i].w, ==, want[at + i].w);
            CHECK_INT(told.items[i].n, ==, want[at + i].n);
        }
        CHECK_INT(told.has_more, ==, at > 0);
        q.place = told.first;
    }
}

CASE(lists_agree_with_the_model)
{
    static const uint32_t all[] = { 1, 2, 3 };
    struct world w;
    struct node n;

    begin(&w, &n);
    for (int i = 0; i < 60; i++)
        make_event(&n, 1 + (uint32_t)check_random_below(3), false);
    for (int status = -1; status < HW_DELIVERY_STATUSES; status++)
        for (unsigned limit = 1; limit <= 64; limit *= 4)
            for (size_t n_webhooks = 1; n_webhooks <= 3; n_webhooks++)
                check_walk(&n, (struct hw_archive_query){ .webhooks = all,
                                                          .n_webhooks = n_webhooks,
                                                          .status = status,
                                                          .limit = limit });
    end(&w, &n);
}

/* A page needs no logs; and more of them than one script may read are read in several. */
CASE(lists_of_long_logs)
{
    static const uint32_t all[] = { 1, 2, 3 };
    static char log[200000];
    struct world w;
    struct node n;

    begin(&w, &n);
    log_of_each = hw_slice(log, sizeof log);
    for (int i = 0; i < 50; i++)
        make_event(&n, 1 + (uint32_t)check_random_below(3), false);
    told.log_bytes = 0;
    for (int status = -1; status < HW_DELIVERY_STATUSES; status++)
        check_walk(&n, (struct hw_archive_query){
                           .webhooks = all, .n_webhooks = 3, .status = status, .limit = 200 });
    CHECK_INT(told.log_bytes, <, 4096);
    end(&w, &n);
}

CASE(lists_within_times)
{
    static const uint32_t all[] = { 1, 2, 3 };
    struct world w;
    struct node n;

    begin(&w, &n);
    for (int i = 0; i < 40; i++) {
        make_event(&n, 3, false);
        run_for(&w, 3);
    }
    qsort(model, n_model, sizeof *model, newest_first);
    for (int i = 0; i < 20; i++) {
        size_t a = check_random_below(n_model), b = check_random_below(n_model);
        struct hw_archive_query q = { .webhooks = all,
                                      .n_webhooks = 3,
                                      .status = -1,
                                      .limit = 7,
                                      .since_ms = (hw_unix_ms)(model[a].stamp_us / 1000),
                                      .until_ms = (hw_unix_ms)(model[b].stamp_us / 1000) };
        check_walk(&n, q);
        q.until_ms = 0;
        check_walk(&n, q);
    }
    end(&w, &n);
}

/* A place that a list with other times gave: outside of these. */
CASE(going_back_begins_within_the_times)
{
    static const uint32_t all[] = { 1, 2, 3 };
    struct world w;
    struct node n;

    begin(&w, &n);
    for (int i = 0; i < 12; i++) {
        make_event(&n, 3, false);
        run_for(&w, 3);
    }
    qsort(model, n_model, sizeof *model, newest_first);
    struct hw_archive_query q = { .webhooks = all,
                                  .n_webhooks = 3,
                                  .status = -1,
                                  .limit = 200,
                                  .since_ms = (hw_unix_ms)(model[9].stamp_us / 1000),
                                  .has_place = true,
                                  .is_backward = true };
    q.place = (struct hw_archive_place){ 1, 1, 1 };
    list(&n, &q);
    size_t n_want = 0;
    for (size_t i = 0; i < n_model; i++)
        n_want += is_in(&q, &model[i]);
    CHECK_INT(n_want, <, n_model);
    CHECK_INT(told.n_items, ==, n_want);
    CHECK(!told.has_more);
    end(&w, &n);
}

CASE(lists_by_event_and_subject)
{
    static const uint32_t all[] = { 1, 2, 3 };
    struct world w;
    struct node n;
    struct hw_archive_query q = {
        .webhooks = all, .n_webhooks = 3, .status = -1, .limit = 50
    };

    begin(&w, &n);
    for (int i = 0; i < 5; i++)
        make_event(&n, 3, false);
    q.subject = HW_SLICE("s 1");
    list(&n, &q);
    CHECK_INT(told.n_items, ==, 15);
    q.subject = HW_SLICE("s");
    list(&n, &q);
    CHECK_INT(told.n_items, ==, 0);
    CHECK(!told.has_more);
    q.subject = HW_SLICE("");
    q.event_id = HW_SLICE("evt_1");
    list(&n, &q);
    CHECK_INT(told.n_items, ==, 15);
    q.event_id = HW_SLICE("evt_2");
    list(&n, &q);
    CHECK_INT(told.n_items, ==, 0);
    end(&w, &n);
}

CASE(list_of_nothing)
{
    static const uint32_t all[] = { 1, 2 };
    struct world w;
    struct node n;

    begin(&w, &n);
    list(&n, &(struct hw_archive_query){
                 .webhooks = all, .n_webhooks = 2, .status = -1, .limit = 5 });
    CHECK_INT(told.n_items, ==, 0);
    CHECK(!told.has_more);
    CHECK(!told.has_first_last);
    end(&w, &n);
}

/* History that was trimmed leaves holes; what failed once is found far behind them. */
CASE(lists_across_holes)
{
    static const uint32_t all[] = { 1, 2 };
    struct world w;
    struct node n;

    begin(&w, &n);
    make_event(&n, 2, false);
    for (int i = 0; i < 120; i++) /* history_max is 100 */
        make_event(&n, 2, true);
    /* 200,000 more that are gone altogether, then some. */
    (void)cli_int(&w, "HINCRBY " T "seq 1 200000");
    for (int i = 0; i < 5; i++)
        make_event(&n, 2, false);
    qsort(model, n_model, sizeof *model, newest_first);
    size_t n_kept = 0;
    for (size_t i = 0; i < n_model; i++) {
        char key[40];
        snprintf(key, sizeof key, T "hist:%u", model[i].w);
        bool is_trimmed =
            model[i].status == HW_STATUS_DELIVERED &&
            cli_int(&w, "HEXISTS %s %llu", key, (unsigned long long)model[i].n) == 0;
        if (!is_trimmed)
            model[n_kept++] = model[i];
    }
    n_model = n_kept;
    /* Webhook 2 has no such hole: exact; webhook 1: what is near, and what failed, at least. */
    check_walk(&n, (struct hw_archive_query){
                       .webhooks = all + 1, .n_webhooks = 1, .status = -1, .limit = 10 });
    check_walk(&n, (struct hw_archive_query){ .webhooks = all,
                                              .n_webhooks = 2,
                                              .status = HW_STATUS_DEAD_LETTER,
                                              .limit = 10 });
    check_walk(
        &n, (struct hw_archive_query){
                .webhooks = all, .n_webhooks = 2, .status = HW_STATUS_FAILED, .limit = 10 });
    end(&w, &n);
}

/* ---- find ---- */

static bool is_found, is_there;
static enum hw_delivery_status found_status;
static hw_unix_ms found_next_ms;
static char found_record[400], found_response[40], found_account[40], found_type[40];

static void copy(char *out, size_t size, struct hw_slice s)
{
    snprintf(out, size, "%.*s", HW_SLICE_FMT(s));
}

static void on_one(struct hw_archive_get *g, enum hw_redis_trouble trouble,
                   const struct hw_archive_one *one)
{
    (void)g;
    CHECK_INT(trouble, ==, HW_REDIS_FINE);
    is_found = true;
    is_there = one != NULL;
    if (one == NULL)
        return;
    found_status = one->item.history.status;
    found_next_ms = one->item.history.next_attempt_ms;
    copy(found_record, sizeof found_record, one->record);
    copy(found_response, sizeof found_response, one->response);
    copy(found_account, sizeof found_account, one->item.account);
    copy(found_type, sizeof found_type, one->item.history.event_type);
}

static void find(struct node *n, uint32_t w, uint64_t number)
{
    struct hw_archive_get get;

    hw_archive_get_init(&get);
    is_found = false;
    CHECK_INT(hw_archive_find(&n->store, &get, w, number, on_one), ==, HW_OK);
    RUN_UNTIL(n->world, is_found);
    hw_archive_get_close(&get);
}

CASE(each_is_found)
{
    struct world w;
    struct node n;

    begin(&w, &n);
    for (int i = 0; i < 30; i++)
        make_event(&n, 3, false);
    for (size_t i = 0; i < n_model; i++) {
        find(&n, model[i].w, model[i].n);
        CHECK(is_there);
        CHECK_INT(found_status, ==, model[i].status);
        CHECK_STR(found_record, RECORD);
        CHECK_STR(found_account, "acct");
        CHECK_STR(found_type, "order.created");
        CHECK_STR(found_response, model[i].status == HW_STATUS_DELIVERED ? "answer" : "");
    }
    find(&n, 1, 999);
    CHECK(!is_there);
    find(&n, 99, 1);
    CHECK(!is_there);
    /* A retry that is being made. */
    static struct taking t;
    struct hw_delivery_key key = { 0, 0 };
    for (size_t i = 0; i < n_model; i++)
        if (model[i].status == HW_STATUS_FAILED)
            key = (struct hw_delivery_key){ model[i].w, model[i].n };
    CHECK_INT(key.w, !=, 0);
    taking_begin(&t);
    CHECK_INT(hw_ledger_claim(n.ledger, &t.take, &key, 1, INT64_MAX, on_taking_done), ==, HW_OK);
    taking_wait(&n, &t);
    find(&n, key.w, key.n);
    CHECK_INT(found_status, ==, HW_STATUS_DELIVERING);
    end(&w, &n);
}

/* ---- what can be told of one that is not finished ---- */

enum { OWNED = 1, OVERDUE, LATER, CLAIMED, AGAIN, WAITING, UNFINISHED };

static hw_unix_ms later_ms;

static void park(struct node *n, uint64_t number, enum hw_delivery_status packed_as,
                 hw_unix_ms next)
{
    struct hw_buf packed;
    struct hw_history h = { .stamp_us = 1000 * (uint64_t)hw_loop_unix(&n->world->loop),
                            .event_id = HW_SLICE("evt_1"),
                            .event_type = HW_SLICE("order.created"),
                            .subject = HW_SLICE("s 1"),
                            .status = packed_as,
                            .attempts = 1,
                            .created_ms = hw_loop_unix(&n->world->loop),
                            .next_attempt_ms = next };
    struct hw_settle_what what = { .kind = HW_SETTLE_PARK,
                                   .w = 1,
                                   .n = number,
                                   .attempts = 1,
                                   .due_ms = later_ms,
                                   .body = HW_SLICE(RECORD) };

    hw_buf_init(&packed, 10000);
    CHECK_INT(hw_history_pack(&packed, &h), ==, HW_OK);
    what.packed = hw_buf_slice(&packed);
    CHECK_INT(node_settle(n, &what), ==, HW_SETTLED);
    hw_buf_close(&packed);
}

static void make_unfinished(struct node *n)
{
    static struct taking t;
    struct hw_delivery_key key = { 1, CLAIMED };
    hw_unix_ms now = hw_loop_unix(&n->world->loop);

    later_ms = now + 900000;
    node_deliveries(n, 1, AGAIN, false);
    node_deliveries(n, 1, 1, true);
    park(n, OVERDUE, HW_STATUS_FAILED, now - 1000);
    park(n, LATER, HW_STATUS_FAILED, later_ms);
    park(n, CLAIMED, HW_STATUS_FAILED, now - 1000);
    park(n, AGAIN, HW_STATUS_PENDING, 0);
    taking_begin(&t);
    CHECK_INT(hw_ledger_claim(n->ledger, &t.take, &key, 1, INT64_MAX, on_taking_done), ==, HW_OK);
    taking_wait(n, &t);
    CHECK_INT(t.n_items, ==, 1);
}

/* Found alone, in the list of all, and in the list of its status. */
static void check_shown(struct node *n, const enum hw_delivery_status expected[UNFINISHED])
{
    static const uint32_t all[] = { 1 };

    for (int status = -1; status < HW_DELIVERY_STATUSES; status++) {
        size_t n_expected = 0;
        list(n, &(struct hw_archive_query){
                    .webhooks = all, .n_webhooks = 1, .status = status, .limit = 50 });
        for (uint64_t i = 1; i < UNFINISHED; i++)
            n_expected += status < 0 || (int)expected[i] == status;
        CHECK_INT(told.n_items, ==, n_expected);
        for (size_t i = 0; i < told.n_items; i++)
            CHECK_INT(told.items[i].status, ==, expected[told.items[i].n]);
    }
    for (uint64_t i = 1; i < UNFINISHED; i++) {
        find(n, 1, i);
        CHECK(is_there);
        CHECK_INT(found_status, ==, expected[i]);
        CHECK_INT(found_next_ms != 0, ==, expected[i] == HW_STATUS_FAILED);
    }
}

CASE(what_is_not_begun_shows_as_pending)
{
    static const enum hw_delivery_status active[UNFINISHED] = {
        [OWNED] = HW_STATUS_DELIVERING,   [OVERDUE] = HW_STATUS_FAILED,
        [LATER] = HW_STATUS_FAILED,       [CLAIMED] = HW_STATUS_DELIVERING,
        [AGAIN] = HW_STATUS_PENDING,      [WAITING] = HW_STATUS_PENDING,
    };
    static const enum hw_delivery_status paused[UNFINISHED] = {
        [OWNED] = HW_STATUS_PENDING,      [OVERDUE] = HW_STATUS_PENDING,
        [LATER] = HW_STATUS_FAILED,       [CLAIMED] = HW_STATUS_PENDING,
        [AGAIN] = HW_STATUS_PENDING,      [WAITING] = HW_STATUS_PENDING,
    };
    struct world w;
    struct node n;

    begin(&w, &n);
    make_unfinished(&n);
    check_shown(&n, active);
    (void)cli_int(&w, "HSET " T "wh:1 st paused");
    check_shown(&n, paused);
    (void)cli_int(&w, "HSET " T "wh:1 st active");
    check_shown(&n, active);
    end(&w, &n);
}
