/* fill: backfills begun, done piece by piece, taken behind what is live, against a real
 * redis-server. */
#include "api/paging.h"
#include "store/fill.h"
#include "store/replay.h"
#include "support/node.h"

#define T      "hw:{s0}:"
#define PARENT "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

enum { W = 7 };

static struct hw_fill fill;
static bool is_told;
static enum hw_fill_result told;

static void on_fill(struct hw_fill *f, enum hw_fill_result result)
{
    CHECK(f == &fill);
    CHECK(!is_told);
    is_told = true;
    told = result;
}

static enum hw_fill_result answer(struct node *n, enum hw_status status)
{
    CHECK_INT(status, ==, HW_OK);
    CHECK(!is_told);
    RUN_UNTIL(n->world, is_told);
    is_told = false;
    return told;
}

static struct hw_stream_id id_of(const char *text)
{
    struct hw_stream_id id;

    CHECK(hw_stream_id_parse(&id, hw_slice_str(text)));
    return id;
}

/* from: "start" or an id; until: "" or an id. */
static enum hw_fill_result begin_job(struct node *n, const char *from, const char *until)
{
    struct hw_fill_range range = { .w = W, .account = HW_SLICE("acct"), .most_waiting = 100 };

    range.from.is_start = strcmp(from, "start") == 0;
    if (!range.from.is_start)
        range.from.after = id_of(from);
    range.has_until = until[0] != '\0';
    if (range.has_until)
        range.until = id_of(until);
    return answer(n, hw_fill_begin(&n->store, &fill, &range, on_fill));
}

/* The events 1000-first to 1000-last of the job, up to 1000-reached. */
static enum hw_fill_result queue(struct node *n, const struct hw_fill_job *job, unsigned first,
                                 unsigned last, unsigned reached)
{
    struct hw_stream_id ids[HW_FILL_PIECE];
    size_t n_ids = 0;

    for (unsigned i = first; i <= last; i++)
        ids[n_ids++] = (struct hw_stream_id){ 1000, i };
    return answer(n,
                  hw_fill_queue(&n->store, &fill, job, (struct hw_stream_id){ 1000, reached },
                                ids, n_ids, on_fill));
}

static void check_id(struct hw_stream_id id, const char *text)
{
    char got[48];

    hw_stream_id_text(id, got);
    CHECK_STR(got, text);
}

static void begin(struct world *w, struct node *n)
{
    is_told = false;
    world_begin(w);
    node_begin(n, w);
    hw_fill_init(&fill);
    (void)cli_int(w, "HSET " T "wh:7 a acct st active");
}

static void end(struct world *w, struct node *n)
{
    hw_fill_close(&fill);
    node_end(n);
    world_end(w);
}

/* Events 1000-1 to 1000-n; the second has a traceparent. */
static void add_events(struct world *w, unsigned n)
{
    for (unsigned i = 1; i <= n; i++)
        if (i == 2)
            (void)cli_text(w, "XADD " T "led:acct 1000-%u r {\"n\":%u} d %s p " PARENT, i, i,
                           "");
        else
            (void)cli_text(w, "XADD " T "led:acct 1000-%u r {\"n\":%u} d %s", i, i, "");
}

CASE(a_job_from_its_beginning_to_its_end)
{
    struct world w;
    struct node n;
    struct hw_fill_job job;

    begin(&w, &n);
    add_events(&w, 10);
    CHECK_INT(begin_job(&n, "start", ""), ==, HW_FILL_DONE);
    job = fill.job;
    CHECK_UINT(job.number, ==, 1);
    CHECK_UINT(job.w, ==, W);
    CHECK_STR(job.account, "acct");
    check_id(job.from, "0-0");
    check_id(job.until, "1000-10");
    CHECK_STR(cli_text(&w, "HGET " T "jobs 7:1"), "acct 0-0 1000-10 0");

    CHECK_INT(queue(&n, &job, 2, 4, 6), ==, HW_FILL_DONE);
    CHECK(!fill.is_done);
    CHECK_UINT(fill.job.count, ==, 3);
    CHECK_UINT(fill.n_waiting, ==, 3);
    check_id(fill.job.from, "1000-6");
    CHECK_STR(cli_text(&w, "HGET " T "jobs 7:1"), "acct 1000-6 1000-10 3");
    CHECK_INT(cli_int(&w, "SISMEMBER " T "waiting 7"), ==, 1);
    CHECK_STR(cli_text(&w, "GET " T "body:7:1"), PARENT "\n{\"n\":2}");
    CHECK_STR(cli_text(&w, "GET " T "body:7:2"), "{\"n\":3}");
    CHECK_INT(cli_int(&w, "HGET " T "seq 7"), ==, 3);

    job = fill.job;
    CHECK_INT(queue(&n, &job, 1, 0, 8), ==, HW_FILL_DONE); /* none of these is wanted */
    CHECK_UINT(fill.job.count, ==, 3);
    job = fill.job;
    CHECK_INT(queue(&n, &job, 10, 10, 10), ==, HW_FILL_DONE);
    CHECK(fill.is_done);
    CHECK_UINT(fill.job.count, ==, 4);
    CHECK_INT(cli_int(&w, "EXISTS " T "jobs"), ==, 0);
    CHECK_INT(cli_int(&w, "XLEN " T "fill:7"), ==, 4);
    end(&w, &n);
}

CASE(two_at_one_job_do_no_harm)
{
    struct world w;
    struct node n;
    struct hw_fill_job job;

    begin(&w, &n);
    add_events(&w, 10);
    CHECK_INT(begin_job(&n, "start", ""), ==, HW_FILL_DONE);
    job = fill.job;
    CHECK_INT(queue(&n, &job, 1, 3, 3), ==, HW_FILL_DONE);
    CHECK_INT(queue(&n, &job, 1, 5, 5), ==, HW_FILL_MOVED); /* by what was true before */
    check_id(fill.job.from, "1000-3");
    CHECK_UINT(fill.job.count, ==, 3);
    CHECK_UINT(fill.job.number, ==, 1);
    CHECK_INT(cli_int(&w, "XLEN " T "fill:7"), ==, 3);
    job = fill.job;
    CHECK_INT(queue(&n, &job, 4, 10, 10), ==, HW_FILL_DONE);
    CHECK_INT(queue(&n, &job, 4, 10, 10), ==, HW_FILL_MOVED);
    CHECK_UINT(fill.job.number, ==, 0); /* there is none any more */
    CHECK_INT(cli_int(&w, "XLEN " T "fill:7"), ==, 10);
    end(&w, &n);
}

CASE(what_was_trimmed_meanwhile_is_left_out)
{
    struct world w;
    struct node n;
    struct hw_fill_job job;

    begin(&w, &n);
    add_events(&w, 6);
    CHECK_INT(begin_job(&n, "start", ""), ==, HW_FILL_DONE);
    job = fill.job;
    (void)cli_int(&w, "XTRIM " T "led:acct MAXLEN 3");
    CHECK_INT(queue(&n, &job, 1, 6, 6), ==, HW_FILL_DONE);
    CHECK(fill.is_done);
    CHECK_UINT(fill.job.count, ==, 3);
    CHECK_INT(cli_int(&w, "HGET " T "seq 7"), ==, 3);
    end(&w, &n);
}

CASE(where_it_begins_and_ends)
{
    struct world w;
    struct node n;

    begin(&w, &n);
    CHECK_INT(begin_job(&n, "start", ""), ==, HW_FILL_DONE); /* no feed yet */
    CHECK_UINT(fill.job.number, ==, 0);
    CHECK_INT(begin_job(&n, "5-0", ""), ==, HW_FILL_EXPIRED);
    check_id(fill.oldest, "0-0");
    add_events(&w, 10);
    CHECK_INT(begin_job(&n, "1000-10", ""), ==, HW_FILL_DONE);
    CHECK_UINT(fill.job.number, ==, 0);
    CHECK_INT(begin_job(&n, "1000-11", ""), ==, HW_FILL_EXPIRED);
    CHECK_INT(begin_job(&n, "1000-3", "1000-11"), ==, HW_FILL_EXPIRED);
    CHECK_INT(begin_job(&n, "start", "18446744073709551615-18446744073709551615"), ==,
              HW_FILL_EXPIRED);
    CHECK_INT(begin_job(&n, "1000-3", "1000-3"), ==, HW_FILL_DONE);
    CHECK_UINT(fill.job.number, ==, 0);
    CHECK_INT(begin_job(&n, "1000-3", "1000-4"), ==, HW_FILL_DONE);
    CHECK_UINT(fill.job.number, ==, 1);
    check_id(fill.job.until, "1000-4");

    (void)cli_int(&w, "XTRIM " T "led:acct MAXLEN 6");
    (void)cli_int(&w, "HSET " T "trimmed acct 1000-4");
    CHECK_INT(begin_job(&n, "1000-3", ""), ==, HW_FILL_EXPIRED);
    check_id(fill.oldest, "1000-4");
    CHECK_INT(begin_job(&n, "1000-4", ""), ==, HW_FILL_DONE);
    CHECK_UINT(fill.job.number, ==, 2);
    CHECK_INT(begin_job(&n, "start", ""), ==, HW_FILL_DONE);
    check_id(fill.job.from, "1000-4");
    CHECK_INT(begin_job(&n, "start", "1000-2"), ==, HW_FILL_DONE);
    CHECK_UINT(fill.job.number, ==, 0);

    (void)cli_int(&w, "XTRIM " T "led:acct MAXLEN 0"); /* empty, and all the same the place */
    (void)cli_int(&w, "HSET " T "trimmed acct 1000-10");
    CHECK_INT(begin_job(&n, "1000-10", ""), ==, HW_FILL_DONE);
    CHECK_UINT(fill.job.number, ==, 0);
    end(&w, &n);
}

CASE(webhooks_that_get_none)
{
    struct world w;
    struct node n;
    struct hw_fill_job job;

    begin(&w, &n);
    add_events(&w, 4);
    CHECK_INT(begin_job(&n, "start", ""), ==, HW_FILL_DONE);
    job = fill.job;
    (void)cli_int(&w, "HSET " T "wh:7 st disabled");
    CHECK_INT(begin_job(&n, "start", ""), ==, HW_FILL_DISABLED);
    CHECK_INT(queue(&n, &job, 1, 2, 2), ==, HW_FILL_DONE); /* to be written off, visibly */
    CHECK_UINT(fill.n_waiting, ==, 2);
    job = fill.job;
    (void)cli_int(&w, "HSET " T "wh:7 st deleted");
    CHECK_INT(begin_job(&n, "start", ""), ==, HW_FILL_NOT_FOUND);
    CHECK_INT(queue(&n, &job, 3, 4, 4), ==, HW_FILL_NOT_FOUND);
    CHECK_INT(cli_int(&w, "EXISTS " T "jobs"), ==, 0);
    CHECK_INT(cli_int(&w, "XLEN " T "fill:7"), ==, 2);
    (void)cli_int(&w, "HSET " T "wh:7 st active a another");
    CHECK_INT(begin_job(&n, "start", ""), ==, HW_FILL_NOT_FOUND);
    end(&w, &n);
}

CASE(enough_is_enough)
{
    struct world w;
    struct node n;
    struct hw_fill_job job;

    begin(&w, &n);
    add_events(&w, 100);
    CHECK_INT(begin_job(&n, "start", ""), ==, HW_FILL_DONE);
    job = fill.job;
    CHECK_INT(queue(&n, &job, 1, 99, 99), ==, HW_FILL_DONE);
    CHECK_INT(begin_job(&n, "1000-99", ""), ==, HW_FILL_DONE);
    job = fill.job;
    CHECK_INT(queue(&n, &job, 100, 100, 100), ==, HW_FILL_DONE);
    CHECK_INT(begin_job(&n, "start", ""), ==, HW_FILL_FULL); /* a hundred wait */
    (void)cli_int(&w, "DEL " T "fill:7");
    for (int i = 0; i < 9; i++) /* and the first is not done */
        CHECK_INT(begin_job(&n, "start", ""), ==, HW_FILL_DONE);
    CHECK_INT(begin_job(&n, "start", ""), ==, HW_FILL_FULL);
    (void)cli_int(&w, "HSET " T "wh:77 a acct st active");
    struct hw_fill_range other = { .w = 77, .account = HW_SLICE("acct"), .most_waiting = 1 };
    other.from.is_start = true;
    CHECK_INT(answer(&n, hw_fill_begin(&n.store, &fill, &other, on_fill)), ==, HW_FILL_DONE);
    end(&w, &n);
}

static struct hw_fill_job looked[20];
static size_t n_looked;
static bool has_looked;

static void on_look(struct hw_fill_look *l, enum hw_redis_trouble trouble,
                    const struct hw_fill_job *jobs, size_t n_jobs)
{
    (void)l;
    CHECK_INT(trouble, ==, HW_REDIS_FINE);
    CHECK_UINT(n_jobs, <=, 20);
    memcpy(looked, jobs, n_jobs * sizeof *jobs);
    n_looked = n_jobs;
    has_looked = true;
}

CASE(every_job_is_found)
{
    struct world w;
    struct node n;
    struct hw_fill_look look;

    begin(&w, &n);
    hw_fill_look_init(&look);
    has_looked = false;
    CHECK_INT(hw_fill_look(&n.store, &look, on_look), ==, HW_OK);
    RUN_UNTIL(&w, has_looked);
    CHECK_UINT(n_looked, ==, 0);
    add_events(&w, 9);
    CHECK_INT(begin_job(&n, "1000-2", "1000-7"), ==, HW_FILL_DONE);
    (void)cli_int(&w, "HSET " T "jobs rubbish x 7:x y 7:9 z");
    has_looked = false;
    CHECK_INT(hw_fill_look(&n.store, &look, on_look), ==, HW_OK);
    RUN_UNTIL(&w, has_looked);
    CHECK_UINT(n_looked, ==, 1);
    CHECK_UINT(looked[0].w, ==, W);
    CHECK_UINT(looked[0].number, ==, 1);
    CHECK_STR(looked[0].account, "acct");
    check_id(looked[0].from, "1000-2");
    check_id(looked[0].until, "1000-7");
    hw_fill_look_close(&look);
    end(&w, &n);
}

/* ---- what is queued, where others look for it ---- */

/* So many events of a backfill wait, as n 1 to n. */
static void fill_up(struct world *w, struct node *n, unsigned count)
{
    struct hw_fill_job job;

    add_events(w, count);
    CHECK_INT(begin_job(n, "start", ""), ==, HW_FILL_DONE);
    job = fill.job;
    CHECK_INT(queue(n, &job, 1, count, count), ==, HW_FILL_DONE);
}

static struct taking t;

static void refill(struct node *n, unsigned max, unsigned max_fill)
{
    taking_begin(&t);
    CHECK_INT(hw_ledger_refill(n->ledger, &t.take, W, max, max_fill, on_taking_done), ==,
              HW_OK);
    taking_wait(n, &t);
}

CASE(it_is_taken_behind_what_is_live)
{
    struct world w;
    struct node n;

    begin(&w, &n);
    fill_up(&w, &n, 5);
    node_deliveries(&n, W, 3, true); /* n 6 to 8 */
    refill(&n, 2, 2);
    CHECK_UINT(t.n_items, ==, 2);
    CHECK_UINT(t.items[0].n, ==, 6);
    CHECK_UINT(t.items[1].n, ==, 7);
    CHECK(!t.items[0].has_body);
    CHECK_UINT(t.n_left, ==, 1);
    CHECK_UINT(t.take.n_fill_left, ==, 5);
    refill(&n, 10, 0);
    CHECK_UINT(t.n_items, ==, 1);
    CHECK_UINT(t.n_left, ==, 0);
    CHECK_UINT(t.take.n_fill_left, ==, 5);
    CHECK_INT(cli_int(&w, "SISMEMBER " T "waiting 7"), ==, 1);

    node_deliveries(&n, W, 1, true); /* n 9 */
    refill(&n, 10, 3);
    CHECK_UINT(t.n_items, ==, 3); /* in all */
    CHECK_UINT(t.items[0].n, ==, 9);
    CHECK_UINT(t.items[1].n, ==, 1);
    CHECK_UINT(t.items[2].n, ==, 2);
    CHECK(t.items[1].has_body);
    CHECK_SLICE(t.items[1].record, "{\"n\":1}");
    CHECK_SLICE(t.items[2].traceparent, PARENT);
    CHECK_UINT(t.items[1].attempts, ==, 0);
    check_id(t.items[1].cursor, "1000-1");
    CHECK_INT(cli_int(&w, "HEXISTS " T "own:%s 7:1", n.store.instance), ==, 1);

    (void)cli_int(&w, "DEL " T "led:acct"); /* its records are its own */
    refill(&n, 10, 10);
    CHECK_UINT(t.n_items, ==, 3);
    CHECK_SLICE(t.items[2].record, "{\"n\":5}");
    CHECK_UINT(t.n_left + t.take.n_fill_left, ==, 0);
    CHECK_INT(cli_int(&w, "EXISTS " T "fill:7 " T "wait:7 " T "waiting"), ==, 0);
    end(&w, &n);
}

CASE(a_surplus_has_none_of_it)
{
    struct world w;
    struct node n;

    begin(&w, &n);
    fill_up(&w, &n, 5);
    node_deliveries(&n, W, 3, true);
    taking_begin(&t);
    CHECK_INT(hw_ledger_take_surplus(n.ledger, &t.take, W, 0, 10, on_taking_done), ==, HW_OK);
    taking_wait(&n, &t);
    CHECK_UINT(t.n_items, ==, 3);
    CHECK_UINT(t.n_left, ==, 0);
    CHECK_UINT(t.take.n_fill_left, ==, 5);
    CHECK_INT(cli_int(&w, "SISMEMBER " T "waiting 7"), ==, 1);
    end(&w, &n);
}

static void settle(struct node *n, unsigned number, enum hw_settle_kind kind, bool has_body)
{
    struct hw_settle_what what = { .kind = kind,
                                   .w = W,
                                   .n = number,
                                   .attempts = 1,
                                   .stamp_us = (uint64_t)hw_loop_unix(&n->world->loop) * 1000,
                                   .has_body = has_body,
                                   .packed = HW_SLICE("packed"),
                                   .ended_ms = 1,
                                   .due_ms = 1900000000000 };

    CHECK_INT(node_settle(n, &what), ==, HW_SETTLED);
}

CASE(its_body_goes_when_it_is_delivered)
{
    struct world w;
    struct node n;

    begin(&w, &n);
    fill_up(&w, &n, 4);
    refill(&n, 10, 10);
    settle(&n, 1, HW_SETTLE_DELIVERED, true);
    CHECK_INT(cli_int(&w, "EXISTS " T "body:7:1"), ==, 0);
    settle(&n, 2, HW_SETTLE_DEAD, true);
    CHECK_STR(cli_text(&w, "GET " T "body:7:2"), PARENT "\n{\"n\":2}");
    settle(&n, 3, HW_SETTLE_PARK, true);
    CHECK_STR(cli_text(&w, "GET " T "body:7:3"), "{\"n\":3}");
    settle(&n, 4, HW_SETTLE_DELIVERED, false); /* it must be said: nobody looks */
    CHECK_INT(cli_int(&w, "EXISTS " T "body:7:4"), ==, 1);
    end(&w, &n);
}

static struct hw_archive_one found;
static bool is_found, has_found;
static char found_record[100];

static void on_found(struct hw_archive_get *g, enum hw_redis_trouble trouble,
                     const struct hw_archive_one *one)
{
    (void)g;
    CHECK_INT(trouble, ==, HW_REDIS_FINE);
    has_found = true;
    is_found = one != NULL;
    if (one != NULL) {
        found = *one;
        snprintf(found_record, sizeof found_record, "%.*s", HW_SLICE_FMT(one->record));
    }
}

static void on_page(void *data, enum hw_redis_trouble trouble,
                    const struct hw_archive_page *page)
{
    uint64_t *numbers = data;

    CHECK_INT(trouble, ==, HW_REDIS_FINE);
    has_found = true;
    for (size_t i = 0; i < page->n_items; i++) {
        CHECK_INT(page->items[i].history.status, ==, HW_STATUS_PENDING);
        numbers[i] = page->items[i].n;
    }
    numbers[page->n_items] = 0;
}

CASE(it_is_pending_and_can_be_looked_at)
{
    struct world w;
    struct node n;
    struct hw_archive_get get;
    uint64_t numbers[20];
    uint32_t webhook = W;
    struct hw_archive_query query = {
        .webhooks = &webhook, .n_webhooks = 1, .status = HW_STATUS_PENDING, .limit = 10
    };

    begin(&w, &n);
    fill_up(&w, &n, 4);
    node_deliveries(&n, W, 1, true);
    hw_archive_get_init(&get);
    has_found = false;
    CHECK_INT(hw_archive_find(&n.store, &get, W, 2, on_found), ==, HW_OK);
    RUN_UNTIL(&w, has_found);
    CHECK(is_found);
    CHECK_INT(found.item.history.status, ==, HW_STATUS_PENDING);
    check_id(found.item.history.cursor, "1000-2");
    CHECK_STR(found_record, "{\"n\":2}");
    hw_archive_get_close(&get);

    has_found = false;
    CHECK_INT(hw_archive_list(&n.store, &query, on_page, numbers), ==, HW_OK);
    RUN_UNTIL(&w, has_found);
    for (unsigned i = 0; i < 5; i++)
        CHECK_UINT(numbers[i], ==, 5 - i);
    CHECK_UINT(numbers[5], ==, 0);
    end(&w, &n);
}

static bool has_replayed;
static enum hw_replay_result replayed;

static void on_replayed(struct hw_replay *r, enum hw_replay_result result)
{
    (void)r;
    has_replayed = true;
    replayed = result;
}

static void on_each(struct hw_replay *r, uint32_t w, uint64_t n, hw_unix_ms due_ms)
{
    (void)r, (void)w, (void)n, (void)due_ms;
    CHECK(false);
}

CASE(to_redeliver_what_waits_changes_nothing)
{
    struct world w;
    struct node n;
    struct hw_replay r;

    begin(&w, &n);
    fill_up(&w, &n, 2);
    hw_replay_init(&r);
    for (unsigned i = 2; i <= 3; i++) {
        has_replayed = false;
        CHECK_INT(hw_replay_one(&n.store, &r, W, i, on_each, on_replayed), ==, HW_OK);
        RUN_UNTIL(&w, has_replayed);
        CHECK_INT(replayed, ==, i == 2 ? HW_REPLAY_WAITING : HW_REPLAY_NOT_FOUND);
    }
    hw_replay_close(&r);
    CHECK_INT(cli_int(&w, "XLEN " T "fill:7"), ==, 2);
    end(&w, &n);
}

CASE(without_redis_it_is_unknown)
{
    struct world w;
    struct node n;
    struct hw_fill_job job;

    begin(&w, &n);
    add_events(&w, 3);
    CHECK_INT(begin_job(&n, "start", ""), ==, HW_FILL_DONE);
    job = fill.job;
    (void)cli_text(&w, "CONFIG SET maxmemory 1");
    CHECK_INT(queue(&n, &job, 1, 3, 3), ==, HW_FILL_UNAVAILABLE);
    CHECK_INT(begin_job(&n, "start", ""), ==, HW_FILL_UNAVAILABLE);
    (void)cli_text(&w, "CONFIG SET maxmemory 0");
    CHECK_STR(cli_text(&w, "HGET " T "jobs 7:1"), "acct 0-0 1000-3 0"); /* nothing was done */
    CHECK_INT(cli_int(&w, "EXISTS " T "fill:7 " T "body:7:1"), ==, 0);
    CHECK_INT(queue(&n, &job, 1, 3, 3), ==, HW_FILL_DONE);
    (void)cli_int(&w, "HDEL " T "inst %s", n.store.instance);
    CHECK_INT(queue(&n, &job, 1, 3, 3), ==, HW_FILL_UNAVAILABLE); /* fenced */
    RUN_UNTIL(&w, n.n_joined == 2);
    end(&w, &n);
}
