/* hub: readers of feeds, alone and together, over a real Redis. */
#include "support/node.h"

#include "flow/hub.h"

#define FEED "hw:{s0}:led:"

enum { SOON_MS = 3000 }; /* well before the hub looks by itself */

static struct world world;
static struct node node;
static struct hw_hub hub;
static int n_added;  /* events so far: each has its number */
static long n_reads; /* as counted last */

/* ---- one who asks ---- */

struct asking {
    struct hw_backend_updates ask;
    const char *type; /* NULL: every one */
    int n_answers;
    enum hw_backend_result result;
    int found[HW_UPDATES_MAX]; /* numbers of the events of the last answer */
    size_t n_found;
    bool has_more;
    struct hw_stream_id reached;
    size_t n_looked_at;
    /* Goes on by itself from where it is. */
    bool goes_on;
    int seen; /* number of the last event it got */
};

static bool wants(const struct hw_backend_updates *updates, const struct hw_record *record)
{
    struct asking *a = HW_CONTAINER_OF(updates, struct asking, ask);

    a->n_looked_at++;
    return a->type == NULL || hw_slice_is(record->type, a->type);
}

static int number_of(struct hw_slice record)
{
    char text[64];
    int number;

    CHECK_INT(record.len, >, 20);
    CHECK(record.data[record.len - 1] == '}');
    snprintf(text, sizeof text, "%.40s", record.data);
    CHECK_INT(sscanf(text, "{\"id\":\"evt_%d\"", &number), ==, 1);
    return number;
}

static void on_answer(struct hw_backend_req *req)
{
    struct asking *a = HW_CONTAINER_OF(req, struct asking, ask.req);

    a->n_answers++;
    a->result = req->result;
    CHECK_NULL(a->ask.waiter);
    if (req->result != HW_BACKEND_OK)
        return;
    a->n_found = a->ask.n_found;
    a->has_more = a->ask.has_more;
    a->reached = a->ask.reached;
    for (size_t i = 0; i < a->n_found; i++) {
        a->found[i] = number_of(a->ask.found[i].record);
        CHECK_INT(hw_stream_id_cmp(a->ask.found[i].id, a->reached), <=, 0);
    }
    if (!a->goes_on)
        return;
    for (size_t i = 0; i < a->n_found; i++) {
        CHECK_INT(a->found[i], >, a->seen);
        a->seen = a->found[i];
    }
    a->ask.from = (struct hw_backend_from){ .after = a->reached };
    hw_hub_ask(&hub, &a->ask);
}

static void ask(struct asking *a)
{
    int n_before = a->n_answers;

    a->ask.req = (struct hw_backend_req){ .cb = on_answer };
    a->ask.wants = wants;
    hw_hub_ask(&hub, &a->ask);
    CHECK_INT(a->n_answers, ==, n_before);
}

static struct asking asking_from(const char *account, struct hw_stream_id after, size_t limit,
                                 unsigned wait_ms)
{
    return (struct asking){ .ask = { .account = account,
                                     .from = { .after = after },
                                     .limit = limit,
                                     .wait_ms = wait_ms } };
}

static struct asking asking_from_start(const char *account, size_t limit, unsigned wait_ms)
{
    struct asking a = asking_from(account, (struct hw_stream_id){ 0, 0 }, limit, wait_ms);

    a.ask.from.is_start = true;
    return a;
}

static void await(struct asking *a)
{
    int n_before = a->n_answers;

    RUN_UNTIL_MS(&world, a->n_answers > n_before, SOON_MS);
    CHECK_INT(a->n_answers, ==, n_before + 1);
}

static void ask_and_await(struct asking *a)
{
    ask(a);
    await(a);
    CHECK_INT(a->result, ==, HW_BACKEND_OK);
}

/* ---- the feed ---- */

/* As another instance would: nobody here is told. */
static struct hw_stream_id add_large(const char *account, const char *type, size_t data_bytes)
{
    char *record = malloc(data_bytes + 300);
    struct hw_stream_id id;
    int n;

    n = snprintf(
        record, 300,
        "{\"id\":\"evt_%d\",\"type\":\"%s\",\"timestamp\":\"2026-03-09T12:00:00.000Z\","
        "\"account\":\"%s\",\"level\":\"user\",\"data\":\"",
        ++n_added, type, account);
    memset(record + n, 'x', data_bytes);
    memcpy(record + n + data_bytes, "\"}", 3);
    CHECK(hw_stream_id_parse(&id, hw_slice_str(cli_text(&world, "XADD " FEED "%s * r %s d %s",
                                                        account, record, ""))));
    free(record);
    return id;
}

static struct hw_stream_id add(const char *account, const char *type)
{
    return add_large(account, type, 10);
}

static void touch(const char *account)
{
    hw_hub_touch(&hub, hw_slice_str(account));
}

/* Reads of feeds by Redis since the last call, where each read is of a few events. */
static long reads(void)
{
    const char *text = cli_text(&world, "INFO commandstats");
    const char *at = strstr(text, "cmdstat_xrange:calls=");
    long n = at != NULL ? strtol(at + strlen("cmdstat_xrange:calls="), NULL, 10) : 0;
    long n_new = n - n_reads;

    n_reads = n;
    return n_new;
}

static void begin(void)
{
    n_added = 0;
    n_reads = 0;
    world_begin(&world);
    node_begin(&node, &world);
    hw_hub_init(&hub, &world.loop, &node.store);
}

static void on_work_closed(void *data)
{
    hw_hub_close(&hub);
    node_on_work_closed(data);
}

static void end(void)
{
    hw_redis_close(node.store.work, on_work_closed, &node);
    RUN_UNTIL(&world, node.is_work_closed);
    hw_accept_close(&node.accept);
    hw_redis_target_close(&node.target);
    world_end(&world);
}

/* One that waits: it has found nothing so far. */
static void begin_waiting(struct asking *a)
{
    ask(a);
    run_for(&world, 30);
    CHECK_INT(a->n_answers, ==, 0);
}

/* Redis carries out nothing until it is let go: what is sent now is under way. */
static void hold_redis(void)
{
    (void)reads();
    kill(world.server.pid, SIGSTOP);
    uv_run(&world.uv, UV_RUN_NOWAIT);
    uv_run(&world.uv, UV_RUN_NOWAIT);
}

/* What was under way has been carried out, and nobody has seen the answers yet. */
static void let_redis_go(void)
{
    kill(world.server.pid, SIGCONT);
    for (int i = 0; reads() == 0; i++) {
        CHECK_INT(i, <, 5000);
        redis_server_nap();
    }
}

/* ---- what is there ---- */

CASE(pages_follow_each_other_and_has_more_is_exact)
{
    struct asking a;

    begin();
    a = asking_from_start("acct", 2, 0);
    ask_and_await(&a);
    CHECK_INT(a.n_found, ==, 0);
    CHECK(!a.has_more);
    CHECK_INT(a.reached.ms, ==, 0);
    for (int i = 0; i < 4; i++)
        add("acct", "a");
    ask_and_await(&a);
    CHECK_INT(a.n_found, ==, 2);
    CHECK_INT(a.found[0], ==, 1);
    CHECK_INT(a.found[1], ==, 2);
    CHECK(a.has_more);
    a.ask.from = (struct hw_backend_from){ .after = a.reached };
    ask_and_await(&a);
    CHECK_INT(a.n_found, ==, 2);
    CHECK_INT(a.found[0], ==, 3);
    CHECK(!a.has_more);
    a.ask.from.after = a.reached;
    ask_and_await(&a);
    CHECK_INT(a.n_found, ==, 0);
    CHECK(!a.has_more);
    CHECK_INT(hw_stream_id_cmp(a.reached, a.ask.from.after), ==, 0);
    end();
}

CASE(has_more_is_about_what_passes_the_filter)
{
    struct asking a;
    struct hw_stream_id last = { 0, 0 };

    begin();
    for (int i = 0; i < 300; i++)
        last = add("acct", i % 100 == 5 ? "wanted" : "other");
    a = asking_from_start("acct", 2, 0);
    a.type = "wanted";
    ask_and_await(&a);
    CHECK_INT(a.n_found, ==, 2);
    CHECK_INT(a.found[0], ==, 6);
    CHECK_INT(a.found[1], ==, 106);
    CHECK(a.has_more);
    a.ask.from = (struct hw_backend_from){ .after = a.reached };
    a.ask.limit = 1;
    ask_and_await(&a);
    CHECK_INT(a.n_found, ==, 1);
    CHECK_INT(a.found[0], ==, 206);
    CHECK(!a.has_more);
    CHECK_INT(hw_stream_id_cmp(a.reached, last), ==, 0);
    end();
}

CASE(an_answer_looks_at_five_thousand_events_at_most)
{
    struct asking a;

    begin();
    for (int i = 0; i < 6000; i++)
        add("acct", i == 5500 ? "wanted" : "other");
    a = asking_from_start("acct", 50, 10000);
    a.type = "wanted";
    ask_and_await(&a);
    CHECK_INT(a.n_found, ==, 0);
    CHECK(a.has_more);
    CHECK_INT(a.n_looked_at, ==, 5000);
    a.ask.from = (struct hw_backend_from){ .after = a.reached };
    ask_and_await(&a);
    CHECK_INT(a.n_found, ==, 1);
    CHECK_INT(a.found[0], ==, 5501);
    CHECK(!a.has_more);
    CHECK_INT(a.n_looked_at, ==, 6000);
    end();
}

CASE(large_records_come_in_several_answers)
{
    struct asking a;
    int next = 1;

    begin();
    for (int i = 0; i < 60; i++)
        add_large("acct", "a", 100000);
    a = asking_from_start("acct", 200, 0);
    do {
        ask_and_await(&a);
        CHECK_INT(a.n_found, >, 5);
        CHECK_INT(a.n_found, <, 60);
        for (size_t i = 0; i < a.n_found; i++)
            CHECK_INT(a.found[i], ==, next++);
        a.ask.from = (struct hw_backend_from){ .after = a.reached };
    } while (a.has_more);
    CHECK_INT(next, ==, 61);
    end();
}

CASE(records_found_on_several_pages_stay_whole)
{
    struct asking a;

    begin();
    for (int i = 0; i < 90; i++)
        add_large("acct", i % 10 == 3 ? "wanted" : "other", 80000);
    a = asking_from_start("acct", 200, 0);
    a.type = "wanted";
    ask_and_await(&a);
    CHECK_INT(a.n_found, ==, 9); /* 720 kB of 7.2 MB */
    for (int i = 0; i < 9; i++)
        CHECK_INT(a.found[i], ==, 10 * i + 4);
    CHECK(!a.has_more);
    end();
}

CASE(a_place_that_is_no_longer_kept_is_expired)
{
    struct asking a, nowhere, next;
    struct hw_stream_id first, second;

    begin();
    first = add("acct", "a");
    second = add("acct", "a");
    add("acct", "a");
    (void)cli_int(&world, "HSET hw:{s0}:trimmed acct %" PRIu64 "-%" PRIu64, second.ms,
                  second.seq);
    a = asking_from("acct", first, 5, 0);
    nowhere = asking_from("acct", (struct hw_stream_id){ UINT64_MAX, UINT64_MAX }, 5, 1000);
    next = asking_from("acct", second, 5, 0);
    ask(&a);
    ask(&nowhere);
    ask(&next);
    RUN_UNTIL(&world, a.n_answers + nowhere.n_answers + next.n_answers == 3);
    CHECK_INT(a.result, ==, HW_BACKEND_EXPIRED);
    CHECK_INT(hw_stream_id_cmp(a.ask.oldest, second), ==, 0);
    CHECK_INT(nowhere.result, ==, HW_BACKEND_EXPIRED);
    CHECK_INT(hw_stream_id_cmp(nowhere.ask.oldest, second), ==, 0);
    CHECK_INT(next.result, ==, HW_BACKEND_OK);
    CHECK_INT(next.n_found, ==, 1);
    end();
}

CASE(one_who_waits_and_is_overtaken_by_trimming_is_told)
{
    struct asking old, new;
    struct hw_stream_id first, second;

    begin();
    first = add("acct", "a");
    old = asking_from("acct", first, 5, 20000);
    begin_waiting(&old);
    second = add("acct", "a");
    add("acct", "a");
    (void)cli_int(&world, "HSET hw:{s0}:trimmed acct %" PRIu64 "-%" PRIu64, second.ms,
                  second.seq);
    new = asking_from("acct", second, 5, 20000);
    ask(&new);
    touch("acct");
    await(&old);
    CHECK_INT(old.result, ==, HW_BACKEND_EXPIRED);
    CHECK_INT(hw_stream_id_cmp(old.ask.oldest, second), ==, 0);
    RUN_UNTIL_MS(&world, new.n_answers == 1, SOON_MS);
    CHECK_INT(new.result, ==, HW_BACKEND_OK);
    CHECK_INT(new.n_found, ==, 1);
    end();
}

CASE(a_feed_that_is_gone_has_no_place_to_wait_at)
{
    struct asking a;

    begin();
    a = asking_from("acct", add("acct", "a"), 5, 20000);
    begin_waiting(&a);
    (void)cli_int(&world, "DEL " FEED "acct");
    touch("acct");
    await(&a);
    CHECK_INT(a.result, ==, HW_BACKEND_EXPIRED);
    CHECK_INT(a.ask.oldest.ms, ==, 0);
    end();
}

/* ---- waiting ---- */

CASE(who_waits_gets_the_next_event)
{
    struct asking a, other;

    begin();
    add("acct", "a");
    a = asking_from_start("acct", 5, 20000);
    ask_and_await(&a);
    CHECK_INT(a.n_found, ==, 1);
    a = asking_from("acct", a.reached, 5, 20000);
    other = asking_from_start("other", 5, 20000);
    begin_waiting(&a);
    begin_waiting(&other);
    add("acct", "a");
    touch("acct");
    await(&a);
    CHECK_INT(a.n_found, ==, 1);
    CHECK_INT(a.found[0], ==, 2);
    CHECK(!a.has_more);
    run_for(&world, 30);
    CHECK_INT(other.n_answers, ==, 0);
    end();
    CHECK_INT(other.n_answers, ==, 1);
    CHECK_INT(other.result, ==, HW_BACKEND_UNAVAILABLE);
}

CASE(a_wait_ends_with_nothing_and_its_place_moved_by_what_it_may_not_see)
{
    struct asking a;
    struct hw_stream_id last;

    begin();
    add("acct", "other");
    a = asking_from_start("acct", 5, 150);
    a.type = "wanted";
    begin_waiting(&a);
    last = add("acct", "other");
    touch("acct");
    RUN_UNTIL_MS(&world, hw_stream_id_cmp(a.ask.reached, last) == 0, SOON_MS);
    CHECK_INT(a.n_answers, ==, 0); /* it says so while it waits, too */
    await(&a);
    CHECK_INT(a.result, ==, HW_BACKEND_OK);
    CHECK_INT(a.n_found, ==, 0);
    CHECK(!a.has_more);
    CHECK_INT(hw_stream_id_cmp(a.reached, last), ==, 0);
    CHECK_INT(a.n_looked_at, ==, 2);
    end();
}

CASE(a_time_that_is_over_before_the_first_look_is_answered_after_it)
{
    struct asking watching, a;
    struct hw_stream_id last;

    begin();
    last = add("acct", "a");
    watching = asking_from("acct", last, 5, 20000);
    watching.type = "none";
    begin_waiting(&watching);
    a = asking_from("acct", last, 5, 5);
    add("acct", "a");
    ask(&a);
    hold_redis();
    run_for(&world, 30);
    CHECK_INT(a.n_answers, ==, 0);
    let_redis_go();
    await(&a);
    CHECK_INT(a.n_found, ==, 1);
    end();
}

CASE(hurry_answers_on_the_next_turn)
{
    struct asking a, fresh;

    begin();
    add("acct", "a");
    a = asking_from_start("acct", 5, 20000);
    a.type = "none";
    begin_waiting(&a);
    hw_hub_hurry(&hub, &a.ask);
    hw_hub_hurry(&hub, &a.ask);
    CHECK_INT(a.n_answers, ==, 0);
    uv_run(&world.uv, UV_RUN_NOWAIT);
    CHECK_INT(a.n_answers, ==, 1);
    CHECK_INT(a.result, ==, HW_BACKEND_OK);
    CHECK_INT(a.n_found, ==, 0);
    /* One that has not looked yet does not wait when it has. */
    fresh = asking_from_start("fresh", 5, 20000);
    ask(&fresh);
    hw_hub_hurry(&hub, &fresh.ask);
    await(&fresh);
    CHECK_INT(fresh.n_found, ==, 0);
    end();
}

CASE(an_event_between_looking_and_waiting_is_not_missed)
{
    struct asking a;

    begin();
    a = asking_from_start("other", 5, 0);
    ask_and_await(&a); /* Redis knows the script from now on */
    a = asking_from_start("acct", 5, 20000);
    ask(&a);
    hold_redis();
    let_redis_go(); /* its read has found nothing, which it does not know yet */
    CHECK_NULL(hw_map_find(&hub.accounts, HW_SLICE("acct")));
    add("acct", "a");
    touch("acct"); /* nobody is there to hear it */
    await(&a);
    CHECK_INT(a.n_found, ==, 1);
    end();
}

CASE(an_event_behind_a_read_under_way_is_not_missed)
{
    struct asking a, b;
    struct hw_stream_id last;

    begin();
    last = add("acct", "a");
    a = asking_from("acct", last, 5, 20000);
    b = asking_from("acct", last, 5, 0);
    begin_waiting(&a);
    touch("acct");
    hold_redis();
    let_redis_go();
    add("acct", "a");
    touch("acct");
    ask(&b); /* comes meanwhile, and must see it too */
    await(&a);
    CHECK_INT(a.n_found, ==, 1);
    RUN_UNTIL_MS(&world, b.n_answers == 1, SOON_MS);
    CHECK_INT(b.n_found, ==, 1);
    end();
}

CASE(what_a_lost_notice_hid_is_found_after_seconds)
{
    struct asking a, gap;

    begin();
    a = asking_from_start("acct", 5, 60000);
    begin_waiting(&a);
    add("acct", "a");
    RUN_UNTIL_MS(&world, a.n_answers == 1, 8000);
    CHECK_INT(a.n_found, ==, 1);
    gap = asking_from("acct", a.reached, 5, 60000);
    begin_waiting(&gap);
    add("acct", "a");
    hw_hub_touch_all(&hub);
    await(&gap);
    CHECK_INT(gap.n_found, ==, 1);
    RUN_UNTIL_MS(&world, hub.accounts.n_entries == 0, 8000); /* nobody waits any more */
    end();
}

/* ---- together ---- */

enum { CROWD = 2500 };
static struct asking crowd[CROWD];

static void wait_for_crowd(int n_answers)
{
    for (int i = 0; i < CROWD; i++) {
        RUN_UNTIL_MS(&world, crowd[i].n_answers >= n_answers, SOON_MS);
        CHECK_INT(crowd[i].n_answers, ==, n_answers);
        CHECK_INT(crowd[i].result, ==, HW_BACKEND_OK);
    }
}

CASE(a_crowd_is_served_by_one_read)
{
    struct asking first;
    struct hw_stream_id last;

    begin();
    last = add("acct", "a");
    first = asking_from("acct", last, 5, 60000);
    begin_waiting(&first);
    (void)reads();
    for (int i = 0; i < CROWD; i++) {
        crowd[i] = asking_from("acct", last, 5, 60000);
        ask(&crowd[i]);
    }
    run_for(&world, 50);
    CHECK_INT(reads(), ==, 1); /* for all who came in that turn */
    add("acct", "b");
    touch("acct");
    touch("acct");
    wait_for_crowd(1);
    CHECK_INT(reads(), ==, 1);
    for (int i = 0; i < CROWD; i++) {
        CHECK_INT(crowd[i].n_found, ==, 1);
        CHECK_INT(crowd[i].found[0], ==, 2);
        CHECK(!crowd[i].has_more);
    }
    end();
}

CASE(each_gets_what_is_behind_its_own_place)
{
    struct hw_stream_id places[20];
    struct asking first;

    begin();
    places[0] = add("acct", "a");
    first = asking_from("acct", places[0], 5, 60000);
    first.type = "none";
    begin_waiting(&first);
    for (int i = 1; i < 20; i++)
        places[i] = add("acct", i % 2 == 0 ? "even" : "odd");
    touch("acct");
    run_for(&world, 30);
    (void)reads();
    for (int i = 0; i < CROWD; i++) {
        crowd[i] = asking_from("acct", places[i % 20], 3, 60000);
        crowd[i].type = i % 3 == 0 ? "even" : NULL;
        ask(&crowd[i]);
    }
    run_for(&world, 100);
    CHECK_INT(reads(), <=, 4); /* 19 events come in three pieces */
    for (int i = 0; i < CROWD; i++) {
        int place = i % 20;
        bool is_even = crowd[i].type != NULL;
        int n_behind = is_even ? 9 - place / 2 : 19 - place;
        CHECK_INT(crowd[i].n_answers, ==, n_behind > 0);
        if (n_behind == 0)
            continue;
        CHECK_INT(crowd[i].n_found, ==, n_behind < 3 ? n_behind : 3);
        CHECK_INT(crowd[i].has_more, ==, n_behind > 3);
        CHECK_INT(crowd[i].found[0], ==, is_even ? (place / 2 + 1) * 2 + 1 : place + 2);
    }
    end();
}

CASE(more_than_a_read_holds_reaches_all_who_wait)
{
    struct asking rare, all;

    begin();
    rare = asking_from_start("acct", 5, 60000);
    rare.type = "wanted";
    all = asking_from_start("acct", 5, 60000);
    begin_waiting(&rare);
    begin_waiting(&all);
    for (int i = 0; i < 2500; i++)
        add("acct", i == 2400 ? "wanted" : "other");
    touch("acct");
    RUN_UNTIL_MS(&world, rare.n_answers == 1 && all.n_answers == 1, SOON_MS);
    CHECK_INT(rare.n_found, ==, 1);
    CHECK_INT(rare.found[0], ==, 2401);
    CHECK(!rare.has_more);
    CHECK_INT(all.n_found, ==, 5);
    CHECK_INT(all.found[4], ==, 5);
    CHECK(all.has_more);
    end();
}

CASE(one_who_is_far_behind_does_not_hold_up_the_others)
{
    struct asking behind, first;
    struct hw_stream_id start, last = { 0, 0 };

    begin();
    start = add("acct", "a");
    for (int i = 0; i < 1000; i++)
        last = add("acct", "a");
    first = asking_from("acct", last, 5, 60000);
    begin_waiting(&first);
    behind = asking_from("acct", start, 200, 60000);
    ask(&behind);
    CHECK_INT(behind.ask.waiter != NULL, ==, 1);
    await(&behind);
    CHECK_INT(behind.n_found, ==, 200);
    CHECK_INT(behind.found[0], ==, 2);
    CHECK(behind.has_more);
    CHECK_INT(first.n_answers, ==, 0);
    end();
}

/* Everybody asks on from where he is, and is hurried now and then; all see everything, once. */
CASE(nobody_misses_anything_whatever_happens)
{
    static const char *const accounts[] = { "one", "two", "three" };
    static const char *const types[] = { "a", "b", NULL };
    enum { READERS = 150, ROUNDS = 400 };
    int last[3][3] = { { 0 } }; /* number of the last event of an account, by filter */

    begin();
    for (int i = 0; i < READERS; i++) {
        crowd[i] = asking_from_start(accounts[i % 3], 1 + (size_t)check_random_below(3),
                                     (unsigned)check_random_below(40));
        crowd[i].type = types[i / 3 % 3];
        crowd[i].goes_on = true;
        ask(&crowd[i]);
    }
    for (int round = 0; round < ROUNDS; round++) {
        int account = (int)check_random_below(3), type = (int)check_random_below(2);
        for (uint64_t n = check_random_below(4); n > 0; n--) {
            add(accounts[account], types[type]);
            last[account][type] = last[account][2] = n_added;
        }
        touch(accounts[account]);
        if (check_random_below(2) == 0)
            hw_hub_hurry(&hub, &crowd[check_random_below(READERS)].ask);
        for (uint64_t n = check_random_below(4); n > 0; n--)
            uv_run(&world.uv, UV_RUN_NOWAIT);
    }
    for (int i = 0; i < READERS; i++)
        RUN_UNTIL_MS(&world, crowd[i].seen == last[i % 3][i / 3 % 3], SOON_MS);
    for (int i = 0; i < READERS; i++)
        crowd[i].goes_on = false;
    end();
}

/* ---- troubles ---- */

CASE(who_waits_is_told_when_redis_goes)
{
    struct asking waiting, under_way, queued[20], late;

    begin();
    waiting = asking_from_start("acct", 5, 60000);
    begin_waiting(&waiting);
    under_way = asking_from_start("other", 5, 60000);
    ask(&under_way);
    hold_redis();
    for (int i = 0; i < 20; i++) {
        queued[i] = asking_from_start("acct", 5, 60000);
        ask(&queued[i]);
    }
    uv_run(&world.uv, UV_RUN_NOWAIT);
    redis_server_kill(&world.server, SIGKILL);
    RUN_UNTIL(&world, node.n_down > 0);
    hw_hub_down(&hub);
    RUN_UNTIL_MS(&world, waiting.n_answers == 1 && under_way.n_answers == 1, SOON_MS);
    CHECK_INT(waiting.result, ==, HW_BACKEND_UNAVAILABLE);
    CHECK_INT(under_way.result, ==, HW_BACKEND_UNAVAILABLE);
    for (int i = 0; i < 20; i++) {
        RUN_UNTIL(&world, queued[i].n_answers == 1);
        CHECK_INT(queued[i].result, ==, HW_BACKEND_UNAVAILABLE);
    }
    late = asking_from_start("acct", 5, 60000);
    ask(&late);
    await(&late);
    CHECK_INT(late.result, ==, HW_BACKEND_UNAVAILABLE);
    end();
}

CASE(a_refused_read_is_told_to_all_of_its_account)
{
    struct asking a, b;

    begin();
    a = asking_from_start("acct", 5, 60000);
    b = asking_from_start("acct", 5, 60000);
    begin_waiting(&a);
    begin_waiting(&b);
    (void)cli_int(&world, "DEL " FEED "acct");
    (void)cli_int(&world, "HSET " FEED "acct no feed"); /* WRONGTYPE */
    touch("acct");
    RUN_UNTIL_MS(&world, a.n_answers == 1 && b.n_answers == 1, SOON_MS);
    CHECK_INT(a.result, ==, HW_BACKEND_UNAVAILABLE);
    CHECK_INT(b.result, ==, HW_BACKEND_UNAVAILABLE);
    end();
}

CASE(a_record_that_is_none_is_passed_over)
{
    struct asking a;

    begin();
    a = asking_from_start("acct", 5, 60000);
    begin_waiting(&a);
    freeReplyObject(redisCommand(world.cli, "XADD " FEED "acct * r nonsense d 1"));
    touch("acct");
    run_for(&world, 30);
    CHECK_INT(a.n_answers, ==, 0);
    add("acct", "a");
    touch("acct");
    await(&a);
    CHECK_INT(a.n_found, ==, 1);
    a.ask.from.is_start = true;
    ask_and_await(&a);
    CHECK_INT(a.n_found, ==, 1);
    end();
}

/* Blocks of at least so many bytes are refused. */
static size_t refused_from;

static void *scarce_malloc(void *data, size_t n_bytes)
{
    (void)data;
    return n_bytes >= refused_from ? NULL : malloc(n_bytes);
}

static void *scarce_realloc(void *data, void *p, size_t n_bytes)
{
    (void)data;
    return n_bytes >= refused_from ? NULL : realloc(p, n_bytes);
}

static void scarce_free(void *data, void *p)
{
    (void)data;
    free(p);
}

static void check_fails_without(size_t n_bytes, struct asking *a)
{
    static const struct hw_alloc alloc = { scarce_malloc, scarce_realloc, scarce_free, NULL };

    refused_from = n_bytes;
    hw_alloc_use(&alloc);
    ask(a);
    await(a);
    hw_alloc_use(NULL);
    CHECK_INT(a->result, ==, HW_BACKEND_FAILED);
}

CASE(without_memory_a_question_fails)
{
    struct asking a;

    begin();
    a = asking_from_start("acct", 5, 0);
    ask_and_await(&a); /* what the connection needs it has now */
    a = asking_from_start("acct", 5, 60000);
    check_fails_without(sizeof(struct hw_waiter), &a);
    check_fails_without(sizeof(struct hw_pager), &a);
    check_fails_without(sizeof(struct hw_watch), &a);
    end();
}
