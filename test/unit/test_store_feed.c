/* feed: an account's events from a place on, against a real redis-server. */
#include "api/paging.h"
#include "store/feed.h"
#include "support/node.h"

#define T "hw:{s0}:"

enum { MANY = 2000, MUCH = 1 << 30 };

static struct {
    bool is_done;
    enum hw_feed_result result;
    size_t n;
    struct hw_stream_id ids[MANY];
    size_t record_bytes[MANY];
    char first[1000]; /* record */
    struct hw_stream_id reached, oldest;
    bool has_more;
} page;

static void on_page(struct hw_feed_read *r, enum hw_feed_result result,
                    const struct hw_feed_page *p)
{
    (void)r;
    CHECK(!page.is_done);
    page.is_done = true;
    page.result = result;
    page.n = p->n_events;
    page.reached = p->reached;
    page.oldest = p->oldest;
    page.has_more = p->has_more;
    for (size_t i = 0; i < p->n_events; i++) {
        page.ids[i] = p->events[i].id;
        page.record_bytes[i] = p->events[i].record_bytes;
        CHECK(i == 0 || hw_stream_id_cmp(page.ids[i - 1], page.ids[i]) < 0);
    }
    if (p->n_events > 0)
        snprintf(page.first, sizeof page.first, "%.*s", HW_SLICE_FMT(p->events[0].record));
}

static enum hw_feed_result read_as(struct node *n, struct hw_feed_from from, size_t limit,
                                   size_t max_bytes, bool heads_only)
{
    static struct hw_feed_read read;

    memset(&page, 0, sizeof page);
    hw_feed_read_init(&read);
    CHECK_INT(hw_feed_read(&n->store, &read, HW_SLICE("acct"), from, limit, max_bytes,
                           heads_only, on_page),
              ==, HW_OK);
    CHECK(!page.is_done);
    RUN_UNTIL(n->world, page.is_done);
    hw_feed_read_close(&read);
    return page.result;
}

static enum hw_feed_result read_start(struct node *n, size_t limit)
{
    return read_as(n, (struct hw_feed_from){ .is_start = true }, limit, MUCH, false);
}

static enum hw_feed_result read_after(struct node *n, const char *place, size_t limit)
{
    struct hw_feed_from from = { .is_start = false };

    CHECK(hw_stream_id_parse(&from.after, hw_slice_str(place)));
    return read_as(n, from, limit, MUCH, false);
}

static enum hw_feed_result read_nowhere(struct node *n)
{
    return read_as(n, (struct hw_feed_from){ .after = HW_FEED_NOWHERE }, 10, MUCH, false);
}

static void check_id(struct hw_stream_id id, const char *text)
{
    char got[48];

    hw_stream_id_text(id, got);
    CHECK_STR(got, text);
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

/* Events 1000-1 to 1000-n. */
static void add_events(struct world *w, int n)
{
    for (int i = 1; i <= n; i++)
        (void)cli_text(w, "XADD " T "led:acct 1000-%d r {\"n\":%d} d %s", i, i, "");
}

/* One more, of so many bytes. */
static void add_large(struct world *w, size_t n_bytes)
{
    char *record = hw_malloc(n_bytes);

    CHECK_NOT_NULL(record);
    memset(record, 'x', n_bytes);
    (void)cli_text(w, "XADD " T "led:acct * r %b d %s", record, n_bytes, "");
    hw_free(record);
}

CASE(page_by_page)
{
    struct world w;
    struct node n;

    begin(&w, &n);
    add_events(&w, 10);
    CHECK_INT(read_start(&n, 4), ==, HW_FEED_OK);
    CHECK_INT(page.n, ==, 4);
    CHECK_STR(page.first, "{\"n\":1}");
    CHECK_INT(page.record_bytes[0], ==, 7);
    check_id(page.reached, "1000-4");
    CHECK(page.has_more);
    CHECK_INT(read_after(&n, "1000-4", 5), ==, HW_FEED_OK);
    CHECK_INT(page.n, ==, 5);
    check_id(page.ids[0], "1000-5");
    CHECK(page.has_more);
    CHECK_INT(read_after(&n, "1000-9", 1), ==, HW_FEED_OK);
    CHECK_INT(page.n, ==, 1);
    CHECK_STR(page.first, "{\"n\":10}");
    check_id(page.reached, "1000-10");
    CHECK(!page.has_more);
    CHECK_INT(read_after(&n, "1000-10", 5), ==, HW_FEED_OK);
    CHECK_INT(page.n, ==, 0);
    check_id(page.reached, "1000-10");
    CHECK(!page.has_more);
    /* A place between two of them, and one before all. */
    CHECK_INT(read_after(&n, "999-7", 100), ==, HW_FEED_OK);
    CHECK_INT(page.n, ==, 10);
    CHECK(!page.has_more);
    end(&w, &n);
}

CASE(what_is_accepted_is_there)
{
    struct world w;
    struct node n;

    begin(&w, &n);
    node_deliveries(&n, 3, 5, false);
    CHECK_INT(read_start(&n, 100), ==, HW_FEED_OK);
    CHECK_INT(page.n, ==, 5);
    CHECK_STR(page.first, RECORD);
    end(&w, &n);
}

CASE(no_feed_yet)
{
    struct world w;
    struct node n;

    begin(&w, &n);
    CHECK_INT(read_start(&n, 10), ==, HW_FEED_OK);
    CHECK_INT(page.n, ==, 0);
    check_id(page.reached, "0-0");
    CHECK(!page.has_more);
    CHECK_INT(read_after(&n, "0-0", 10), ==, HW_FEED_OK);
    check_id(page.reached, "0-0");
    CHECK_INT(read_after(&n, "5-0", 10), ==, HW_FEED_EXPIRED);
    check_id(page.oldest, "0-0");
    CHECK_INT(read_nowhere(&n), ==, HW_FEED_EXPIRED);
    end(&w, &n);
}

CASE(places_that_are_gone_or_never_were)
{
    struct world w;
    struct node n;

    begin(&w, &n);
    add_events(&w, 10);
    (void)cli_int(&w, "XTRIM " T "led:acct MINID 1000-6");
    (void)cli_int(&w, "HSET " T "trimmed acct 1000-5 other 2000-0");
    CHECK_INT(read_after(&n, "1000-4", 10), ==, HW_FEED_EXPIRED);
    check_id(page.oldest, "1000-5");
    CHECK_INT(page.n, ==, 0);
    CHECK_INT(read_after(&n, "999-18446744073709551615", 10), ==, HW_FEED_EXPIRED);
    CHECK_INT(read_after(&n, "0-0", 10), ==, HW_FEED_EXPIRED);
    CHECK_INT(read_after(&n, "1000-5", 10), ==, HW_FEED_OK);
    CHECK_INT(page.n, ==, 5);
    CHECK_INT(read_start(&n, 10), ==, HW_FEED_OK);
    CHECK_INT(page.n, ==, 5);
    check_id(page.ids[0], "1000-6");
    CHECK_INT(read_after(&n, "1000-10", 10), ==, HW_FEED_OK);
    CHECK_INT(read_after(&n, "1000-11", 10), ==, HW_FEED_EXPIRED);
    check_id(page.oldest, "1000-5");
    CHECK_INT(read_after(&n, "10000-0", 10), ==, HW_FEED_EXPIRED);
    CHECK_INT(read_nowhere(&n), ==, HW_FEED_EXPIRED);
    /* All of it is gone: what was read is known by where it ended. */
    (void)cli_int(&w, "XTRIM " T "led:acct MAXLEN 0");
    (void)cli_int(&w, "HSET " T "trimmed acct 1000-10");
    CHECK_INT(read_start(&n, 10), ==, HW_FEED_OK);
    CHECK_INT(page.n, ==, 0);
    check_id(page.reached, "1000-10");
    CHECK_INT(read_after(&n, "1000-9", 10), ==, HW_FEED_EXPIRED);
    check_id(page.oldest, "1000-10");
    CHECK_INT(read_after(&n, "1000-10", 10), ==, HW_FEED_OK);
    check_id(page.reached, "1000-10");
    CHECK_INT(read_after(&n, "1000-11", 10), ==, HW_FEED_EXPIRED);
    end(&w, &n);
}

/* 2^53 and its neighbours are one number to a double. */
CASE(ids_of_64_bits)
{
    struct world w;
    struct node n;

    begin(&w, &n);
    (void)cli_text(&w, "XADD " T "led:acct 9007199254740992-9007199254740992 r {} d x");
    CHECK_INT(read_after(&n, "9007199254740992-9007199254740992", 10), ==, HW_FEED_OK);
    CHECK_INT(read_after(&n, "9007199254740992-9007199254740993", 10), ==, HW_FEED_EXPIRED);
    CHECK_INT(read_after(&n, "9007199254740993-0", 10), ==, HW_FEED_EXPIRED);
    (void)cli_int(&w, "HSET " T "trimmed acct 9007199254740992-9007199254740991");
    CHECK_INT(read_after(&n, "9007199254740992-9007199254740991", 10), ==, HW_FEED_OK);
    CHECK_INT(page.n, ==, 1);
    CHECK_INT(read_after(&n, "9007199254740992-9007199254740990", 10), ==, HW_FEED_EXPIRED);
    CHECK_INT(read_after(&n, "9007199254740991-9999999999999999", 10), ==, HW_FEED_EXPIRED);
    (void)cli_text(&w,
                   "XADD " T "led:acct 18446744073709551615-18446744073709551614 r {} d x");
    CHECK_INT(read_nowhere(&n), ==, HW_FEED_EXPIRED);
    CHECK_INT(read_after(&n, "9007199254740992-9007199254740992", 10), ==, HW_FEED_OK);
    check_id(page.reached, "18446744073709551615-18446744073709551614");
    end(&w, &n);
}

CASE(at_most_a_thousand)
{
    struct world w;
    struct node n;

    begin(&w, &n);
    add_events(&w, HW_FEED_READ_MAX + 1);
    CHECK_INT(read_start(&n, 5000), ==, HW_FEED_OK);
    CHECK_INT(page.n, ==, HW_FEED_READ_MAX);
    CHECK(page.has_more);
    CHECK_INT(read_after(&n, "1000-1", 5000), ==, HW_FEED_OK);
    CHECK_INT(page.n, ==, HW_FEED_READ_MAX);
    check_id(page.ids[0], "1000-2");
    CHECK(!page.has_more);
    end(&w, &n);
}

CASE(a_page_is_bounded_in_bytes)
{
    struct world w;
    struct node n;
    struct hw_feed_from from = { .is_start = true };

    begin(&w, &n);
    for (int i = 0; i < 40; i++)
        add_large(&w, 1000);
    add_large(&w, 500000);
    add_large(&w, 1000);
    CHECK_INT(read_as(&n, from, 1000, 10000, false), ==, HW_FEED_OK);
    CHECK_INT(page.n, ==, 10);
    CHECK(page.has_more);
    CHECK_INT(read_as(&n, from, 1000, 10999, false), ==, HW_FEED_OK);
    CHECK_INT(page.n, ==, 10);
    /* One that is larger than that comes alone. */
    CHECK_INT(read_as(&n, from, 1000, 100000, false), ==, HW_FEED_OK);
    CHECK_INT(page.n, ==, 40);
    CHECK(page.has_more);
    from = (struct hw_feed_from){ .after = page.reached };
    CHECK_INT(read_as(&n, from, 1000, 100000, false), ==, HW_FEED_OK);
    CHECK_INT(page.n, ==, 1);
    CHECK_INT(page.record_bytes[0], ==, 500000);
    CHECK(page.has_more);
    from.after = page.reached;
    CHECK_INT(read_as(&n, from, 1000, 100000, false), ==, HW_FEED_OK);
    CHECK_INT(page.n, ==, 1);
    CHECK_INT(page.record_bytes[0], ==, 1000);
    CHECK(!page.has_more);
    end(&w, &n);
}

/* How many entries the scripts asked a stream for since MONITOR. */
static long entries_asked_for(struct world *w, redisContext *monitor)
{
    static const char mark[] = "that is all";
    redisReply *reply;
    const char *count;
    long n = 0;

    (void)cli_text(w, "ECHO %s", mark);
    for (bool is_over = false; !is_over; freeReplyObject(reply)) {
        CHECK_INT(redisGetReply(monitor, (void **)&reply), ==, REDIS_OK);
        is_over = strstr(reply->str, mark) != NULL;
        count = strstr(reply->str, "\"COUNT\" \"");
        if (strstr(reply->str, "\"XRANGE\"") != NULL && count != NULL)
            n += strtol(count + 9, NULL, 10);
    }
    return n;
}

/* So that a script does not hold up the others. */
CASE(little_is_read_beyond_the_page)
{
    struct world w;
    struct node n;
    struct hw_feed_from from = { .is_start = true };
    redisContext *monitor;

    begin(&w, &n);
    for (int i = 0; i < 40; i++)
        add_large(&w, 250000);
    monitor = redisConnectUnix(w.server.socket);
    CHECK(monitor != NULL && monitor->err == 0);
    freeReplyObject(redisCommand(monitor, "MONITOR"));
    CHECK_INT(read_as(&n, from, 1000, 2 << 20, false), ==, HW_FEED_OK);
    CHECK_INT(page.n, ==, 8);
    CHECK(page.has_more);
    CHECK_INT(entries_asked_for(&w, monitor), <=, 10);
    CHECK_INT(read_as(&n, from, 2, 2 << 20, false), ==, HW_FEED_OK);
    CHECK_INT(page.n, ==, 2);
    CHECK_INT(entries_asked_for(&w, monitor), ==, 3);
    redisFree(monitor);
    end(&w, &n);
}

#define FRONT                                                                                 \
    "{\"id\":\"evt_1\",\"type\":\"a\",\"subject\":\"x,\\\"data\\\":1\",\"level\":\"user\""

CASE(heads_alone)
{
    struct world w;
    struct node n;
    struct hw_feed_from from = { .is_start = true };
    static const char record[] = FRONT ",\"data\":{\"a\":1,\"data\":2}}";

    begin(&w, &n);
    (void)cli_text(&w, "XADD " T "led:acct 1-1 r %s d %s p %s", record, "", "00-1");
    CHECK_INT(read_as(&n, from, 10, MUCH, true), ==, HW_FEED_OK);
    CHECK_STR(page.first, FRONT ",\"data\":null}");
    CHECK_INT(page.record_bytes[0], ==, sizeof record - 1);
    CHECK_INT(read_as(&n, from, 10, MUCH, false), ==, HW_FEED_OK);
    CHECK_STR(page.first, record);
    end(&w, &n);
}

CASE(a_full_redis_is_read)
{
    struct world w;
    struct node n;

    begin(&w, &n);
    add_events(&w, 3);
    cli_text(&w, "CONFIG SET maxmemory 1");
    CHECK_INT(read_start(&n, 10), ==, HW_FEED_OK);
    CHECK_INT(page.n, ==, 3);
    cli_text(&w, "CONFIG SET maxmemory 0");
    end(&w, &n);
}

CASE(one_that_was_taken_over_reads_nothing)
{
    struct world w;
    struct node n;

    begin(&w, &n);
    add_events(&w, 3);
    CHECK_INT(cli_int(&w, "HDEL " T "inst %s", n.store.instance), ==, 1);
    CHECK_INT(read_start(&n, 10), ==, HW_FEED_UNAVAILABLE);
    CHECK_INT(page.n, ==, 0);
    end(&w, &n);
}

CASE(redis_goes_away)
{
    struct world w;
    struct node n;
    static struct hw_feed_read read;
    struct hw_feed_from from = { .is_start = true };

    begin(&w, &n);
    memset(&page, 0, sizeof page);
    hw_feed_read_init(&read);
    CHECK_INT(hw_feed_read(&n.store, &read, HW_SLICE("acct"), from, 10, MUCH, false, on_page),
              ==, HW_OK);
    redis_server_kill(&w.server, SIGKILL);
    RUN_UNTIL(&w, page.is_done);
    CHECK(page.result == HW_FEED_UNAVAILABLE || page.result == HW_FEED_OK);
    RUN_UNTIL(&w, !hw_redis_is_up(n.store.work));
    CHECK_INT(hw_feed_read(&n.store, &read, HW_SLICE("acct"), from, 10, MUCH, false, on_page),
              !=, HW_OK);
    hw_feed_read_close(&read);
    end(&w, &n);
}
