/* notices: what others accept is told, against a real redis-server. */
#include "store/notices.h"
#include "support/node.h"

#define T "hw:{s0}:"

enum { TOLD_MAX = 10000 };

struct ear {
    struct hw_notices *notices;
    bool is_closed;
    int n_gaps;
    char told[TOLD_MAX]; /* "acct " each */
};

static void on_added(void *data, struct hw_slice account)
{
    struct ear *e = data;
    size_t at = strlen(e->told);

    CHECK_INT(at + account.len + 2, <, TOLD_MAX);
    snprintf(e->told + at, TOLD_MAX - at, "%.*s ", HW_SLICE_FMT(account));
}

static void on_gap(void *data)
{
    ((struct ear *)data)->n_gaps++;
}

static void on_ear_closed(void *data)
{
    ((struct ear *)data)->is_closed = true;
}

static void ear_open(struct ear *e, struct node *n)
{
    struct hw_notices_options options = { .store = &n->store,
                                          .target = &n->target,
                                          .on_added = on_added,
                                          .on_gap = on_gap,
                                          .data = e };

    memset(e, 0, sizeof *e);
    CHECK_INT(hw_notices_open(&e->notices, &options, NULL), ==, HW_OK);
}

static void ear_close(struct world *w, struct ear *e)
{
    hw_notices_close(e->notices, on_ear_closed, e);
    CHECK(!e->is_closed);
    RUN_UNTIL(w, e->is_closed);
}

static long long n_listeners(struct world *w)
{
    return cli_int(w, "EVAL %s 0", "return redis.call('PUBSUB', 'NUMSUB', '" T "feed')[2]");
}

static void accept_events(struct node *n, const char *const *accounts, size_t n_events)
{
    struct hw_accept_event events[8];

    CHECK_INT(n_events, <=, 8);
    for (size_t i = 0; i < n_events; i++)
        events[i] = (struct hw_accept_event){ .entry = node_entry(n, "x"),
                                              .account = hw_slice_str(accounts[i]),
                                              .record = HW_SLICE(RECORD) };
    CHECK_INT(node_accept(n, events, n_events), ==, HW_REDIS_FINE);
}

static void accept_one(struct node *n, const char *account)
{
    accept_events(n, &account, 1);
}

static long long n_published(struct world *w)
{
    const char *stats = cli_text(w, "INFO commandstats");
    const char *publish = strstr(stats, "cmdstat_publish:calls=");

    return publish == NULL ? 0 : strtoll(publish + 22, NULL, 10);
}

CASE(what_others_accept_is_told)
{
    struct world w;
    struct node a, b;
    static struct ear of_a, of_b;
    static const char *const several[] = { "z", "y", "z", "z", "x" };

    world_begin(&w);
    node_begin(&a, &w);
    node_begin(&b, &w);
    ear_open(&of_a, &a);
    ear_open(&of_b, &b);
    RUN_UNTIL(&w, of_a.n_gaps == 1 && of_b.n_gaps == 1);
    CHECK_INT(n_listeners(&w), ==, 2);
    accept_one(&a, "one");
    RUN_UNTIL(&w, of_b.told[0] != '\0');
    CHECK_STR(of_b.told, "one ");
    accept_events(&b, several, 5);
    RUN_UNTIL(&w, of_a.told[0] != '\0');
    /* Each once; and what a accepted itself would have come before. */
    CHECK_STR(of_a.told, "z y x ");
    CHECK_STR(of_b.told, "one ");
    CHECK_INT(n_published(&w), ==, 2);
    ear_close(&w, &of_a);
    ear_close(&w, &of_b);
    node_end(&a);
    node_end(&b);
    world_end(&w);
}

CASE(alone_nothing_is_published)
{
    struct world w;
    struct node a, b;

    world_begin(&w);
    node_begin(&a, &w);
    node_deliveries(&a, 3, 5, false);
    CHECK_INT(n_published(&w), ==, 0);
    node_begin(&b, &w);
    node_deliveries(&a, 3, 5, false);
    CHECK_INT(n_published(&w), ==, 5);
    node_end(&a);
    node_end(&b);
    world_end(&w);
}

/* Matched with webhooks that have changed, or known by its producer's id: not taken. */
CASE(what_is_not_taken_is_not_published)
{
    struct world w;
    struct node a, b;
    struct hw_accept_event event;

    world_begin(&w);
    node_begin(&a, &w);
    node_begin(&b, &w);
    event = (struct hw_accept_event){ .entry = node_entry(&a, "x"),
                                      .account = HW_SLICE("acct"),
                                      .version = 7,
                                      .record = HW_SLICE(RECORD) };
    CHECK_INT(node_accept(&a, &event, 1), ==, HW_REDIS_FINE);
    CHECK_INT(event.result, ==, HW_ACCEPTED_STALE);
    event.version = 0;
    event.result = HW_ACCEPTED_NOT_YET;
    event.producer_id = HW_SLICE("p");
    CHECK_INT(node_accept(&a, &event, 1), ==, HW_REDIS_FINE);
    CHECK_INT(event.result, ==, HW_ACCEPTED_TAKEN);
    CHECK_INT(n_published(&w), ==, 1);
    event.entry = node_entry(&a, "x");
    event.result = HW_ACCEPTED_NOT_YET;
    CHECK_INT(node_accept(&a, &event, 1), ==, HW_REDIS_FINE);
    CHECK_INT(event.result, ==, HW_ACCEPTED_DUPLICATE);
    CHECK_INT(n_published(&w), ==, 1);
    node_end(&a);
    node_end(&b);
    world_end(&w);
}

CASE(any_bytes_are_survived)
{
    struct world w;
    struct node n;
    static struct ear e;
    char ours[64];

    world_begin(&w);
    node_begin(&n, &w);
    ear_open(&e, &n);
    RUN_UNTIL(&w, e.n_gaps == 1);
    snprintf(ours, sizeof ours, "%s a", n.store.instance);
    (void)cli_int(&w, "PUBLISH " T "feed %s", "");
    (void)cli_int(&w, "PUBLISH " T "feed %s", " ");
    (void)cli_int(&w, "PUBLISH " T "feed %s", "x");
    (void)cli_int(&w, "PUBLISH " T "feed %s", "x ");
    (void)cli_int(&w, "PUBLISH " T "feed %s", ours);
    (void)cli_int(&w, "PUBLISH " T "feed %s", "x  b c ");
    RUN_UNTIL(&w, e.told[0] != '\0');
    CHECK_STR(e.told, "b c ");
    ear_close(&w, &e);
    node_end(&n);
    world_end(&w);
}

/* A connection that was lost may have missed something. */
CASE(a_lost_connection_is_made_anew)
{
    struct world w;
    struct node a, b;
    static struct ear e;

    world_begin(&w);
    node_begin(&a, &w);
    node_begin(&b, &w);
    ear_open(&e, &a);
    RUN_UNTIL(&w, e.n_gaps == 1);
    CHECK_INT(cli_int(&w, "CLIENT KILL TYPE pubsub"), ==, 1);
    RUN_UNTIL(&w, e.n_gaps == 2);
    CHECK_INT(n_listeners(&w), ==, 1);
    accept_one(&b, "again");
    RUN_UNTIL(&w, e.told[0] != '\0');
    CHECK_STR(e.told, "again ");
    ear_close(&w, &e);
    node_end(&a);
    node_end(&b);
    world_end(&w);
}

/* Redis is there, and lets us in no more. */
CASE(while_it_cannot_listen_readers_look_for_themselves)
{
    struct world w;
    struct node a;
    static struct ear e;
    char away[100];

    world_begin(&w);
    node_begin(&a, &w);
    ear_open(&e, &a);
    RUN_UNTIL(&w, e.n_gaps == 1);
    snprintf(away, sizeof away, "%s.away", w.server.socket);
    CHECK_INT(rename(w.server.socket, away), ==, 0);
    CHECK_INT(cli_int(&w, "CLIENT KILL TYPE pubsub"), ==, 1);
    RUN_UNTIL(&w, e.n_gaps == 3);
    CHECK_INT(n_listeners(&w), ==, 0);
    CHECK(hw_redis_is_up(a.store.work));
    CHECK_INT(rename(away, w.server.socket), ==, 0);
    RUN_UNTIL(&w, n_listeners(&w) == 1);
    ear_close(&w, &e);
    node_end(&a);
    world_end(&w);
}

CASE(redis_itself_comes_back)
{
    struct world w;
    struct node a;
    static struct ear e;
    int n_gaps;

    world_begin(&w);
    node_begin(&a, &w);
    ear_open(&e, &a);
    RUN_UNTIL(&w, e.n_gaps == 1);
    redis_server_kill(&w.server, SIGKILL);
    RUN_UNTIL(&w, a.n_down >= 1);
    run_for(&w, 3500);          /* longer than from one look to the next */
    CHECK_INT(e.n_gaps, ==, 1); /* there is nothing that could be read */
    n_gaps = e.n_gaps;
    redis_server_start(&w.server, NULL);
    RUN_UNTIL(&w, e.n_gaps > n_gaps);
    cli_connect(&w);
    RUN_UNTIL(&w, n_listeners(&w) == 1);
    ear_close(&w, &e);
    node_end(&a);
    world_end(&w);
}

/* It is asked now and then, so a peer that is silent for good is noticed. */
CASE(the_line_is_tried)
{
    struct world w;
    struct node a;
    static struct ear e;

    world_begin(&w);
    node_begin(&a, &w);
    ear_open(&e, &a);
    RUN_UNTIL(&w, e.n_gaps == 1);
    (void)cli_text(&w, "CONFIG RESETSTAT");
    RUN_UNTIL(&w, strstr(cli_text(&w, "INFO commandstats"), "cmdstat_ping:calls=2,") != NULL);
    CHECK_INT(e.n_gaps, ==, 1);
    CHECK_INT(a.metrics.redis_reconnects, ==, 0);
    ear_close(&w, &e);
    node_end(&a);
    world_end(&w);
}

CASE(not_allowed_to_listen)
{
    struct world w;
    struct node a, b;
    static struct ear e;

    world_begin(&w);
    node_begin(&a, &w);
    node_begin(&b, &w);
    (void)cli_text(&w, "ACL SETUSER default resetchannels");
    ear_open(&e, &a);
    RUN_UNTIL(&w, e.n_gaps == 3);
    CHECK_INT(n_listeners(&w), ==, 0);
    CHECK_INT(a.metrics.redis_reconnects, ==, 0);
    accept_one(&b, "quiet"); /* not allowed to tell either: it is taken all the same */
    CHECK_INT(cli_int(&w, "XLEN " T "led:quiet"), ==, 1);
    CHECK_INT(cli_int(&w, "XLEN hw:events"), ==, 0);
    (void)cli_text(&w, "ACL SETUSER default allchannels");
    RUN_UNTIL(&w, n_listeners(&w) == 1);
    accept_one(&b, "heard");
    RUN_UNTIL(&w, e.told[0] != '\0');
    CHECK_STR(e.told, "heard ");
    ear_close(&w, &e);
    node_end(&a);
    node_end(&b);
    world_end(&w);
}

CASE(closed_at_any_moment)
{
    for (int turns = 0; turns < 12; turns++) {
        struct world w;
        struct node a;
        static struct ear e;

        world_begin(&w);
        node_begin(&a, &w);
        ear_open(&e, &a);
        for (int i = 0; i < turns; i++)
            uv_run(&w.uv, UV_RUN_NOWAIT);
        ear_close(&w, &e);
        node_end(&a);
        world_end(&w);
    }
}
