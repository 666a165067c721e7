/* replay: redelivery, recovery, resumption and tests, against a real redis-server. */
#include "store/replay.h"
#include "support/node.h"

#define T "hw:{s0}:"

enum { W = 7, TOLD_MAX = 2000 };

static struct {
    bool is_done;
    enum hw_replay_result result;
    size_t n;
    uint64_t numbers[TOLD_MAX];
    hw_unix_ms due_ms[TOLD_MAX];
    uint64_t count;
    uint64_t planted_n, planted_stamp_us, n_waiting;
} told;

static void on_each(struct hw_replay *r, uint32_t w, uint64_t n, hw_unix_ms due_ms)
{
    (void)r;
    CHECK_INT(w, ==, W);
    CHECK_INT(told.n, <, TOLD_MAX);
    told.numbers[told.n] = n;
    told.due_ms[told.n++] = due_ms;
}

static void on_done(struct hw_replay *r, enum hw_replay_result result)
{
    CHECK(!told.is_done);
    told.is_done = true;
    told.result = result;
    told.count = r->count;
    told.planted_n = r->n;
    told.planted_stamp_us = r->stamp_us;
    told.n_waiting = r->n_waiting;
}

static struct hw_replay replay;

static void ask(void)
{
    memset(&told, 0, sizeof told);
    hw_replay_init(&replay);
}

static enum hw_replay_result answer(struct node *n)
{
    CHECK(!told.is_done);
    RUN_UNTIL(n->world, told.is_done);
    hw_replay_close(&replay);
    return told.result;
}

static enum hw_replay_result replay_one(struct node *n, uint64_t number)
{
    ask();
    CHECK_INT(hw_replay_one(&n->store, &replay, W, number, on_each, on_done), ==, HW_OK);
    return answer(n);
}

static enum hw_replay_result replay_dead(struct node *n, hw_unix_ms since, hw_unix_ms until,
                                         unsigned rate_per_s)
{
    ask();
    CHECK_INT(
        hw_replay_dead(&n->store, &replay, W, since, until, rate_per_s, on_each, on_done), ==,
        HW_OK);
    return answer(n);
}

static enum hw_replay_result replay_overdue(struct node *n, unsigned rate_per_s)
{
    ask();
    CHECK_INT(hw_replay_overdue(&n->store, &replay, W, rate_per_s, on_each, on_done), ==,
              HW_OK);
    return answer(n);
}

static enum hw_replay_result plant_where(struct node *n, bool has_room)
{
    ask();
    CHECK_INT(hw_replay_plant(&n->store, &replay, W, HW_SLICE("acct"), HW_SLICE(RECORD),
                              has_room, on_done),
              ==, HW_OK);
    return answer(n);
}

static enum hw_replay_result plant(struct node *n)
{
    return plant_where(n, true);
}

/* ---- fixture ---- */

static void set_status(struct world *w, const char *status)
{
    (void)cli_int(w, "HSET " T "wh:%d a acct st %s", W, status);
}

static void begin(struct world *w, struct node *n)
{
    struct node_options o = node_defaults();

    o.dead_letter_max = TOLD_MAX;
    world_begin(w);
    node_open(n, w, &o);
    RUN_UNTIL(w, n->n_joined == 1);
    set_status(w, "active");
}

static void end(struct world *w, struct node *n)
{
    node_end(n);
    world_end(w);
}

struct owned {
    unsigned attempts;
    uint64_t stamp_us;
    struct hw_stream_id cursor;
};

/* What somebody owns, or the front of what is parked. */
static struct owned read_owned(const char *value)
{
    struct owned o;
    unsigned long long stamp, ms, seq;

    CHECK_INT(sscanf(value, "%u:0:%llu:%llu-%llu:acct", &o.attempts, &stamp, &ms, &seq), ==,
              4);
    o.stamp_us = stamp;
    o.cursor = (struct hw_stream_id){ ms, seq };
    return o;
}

static struct hw_history history_of(struct owned o, enum hw_delivery_status status,
                                    unsigned attempts)
{
    hw_unix_ms created = (hw_unix_ms)(o.stamp_us / 1000);

    return (struct hw_history){ .stamp_us = o.stamp_us,
                                .cursor = o.cursor,
                                .event_id = HW_SLICE("evt_1"),
                                .event_type = HW_SLICE("order.created"),
                                .status = status,
                                .attempts = attempts,
                                .created_ms = created,
                                .updated_ms = created + 5,
                                .last_attempt_ms = created + 3,
                                .response_code = 500,
                                .failure = HW_FAILURE_HTTP_STATUS,
                                .message = HW_SLICE("The endpoint answered 500."),
                                .traceparent = HW_SLICE("00-trace-1"),
                                .log = HW_SLICE("a log | of bytes") };
}

/* Settles what is owned as the keeper does. */
static void settle(struct node *n, uint64_t number, enum hw_settle_kind kind, bool was_parked,
                   const struct hw_history *h, hw_unix_ms due)
{
    struct hw_buf packed;
    struct hw_settle_what what = { .kind = kind,
                                   .w = W,
                                   .n = number,
                                   .attempts = h->attempts,
                                   .stamp_us = h->stamp_us,
                                   .was_parked = was_parked,
                                   .has_body = h->cursor.ms == 0,
                                   .ended_ms = h->updated_ms,
                                   .due_ms = due };

    what.token = h->attempts > 0 && was_parked ? h->attempts - 1 : 0;
    if (kind != HW_SETTLE_DELIVERED && !was_parked)
        what.body = HW_SLICE(RECORD);
    hw_buf_init(&packed, 1 << 20);
    CHECK_INT(hw_history_pack(&packed, h), ==, HW_OK);
    what.packed = hw_buf_slice(&packed);
    CHECK_INT(node_settle(n, &what), ==, HW_SETTLED);
    hw_buf_close(&packed);
}

static struct owned owned_by(struct node *n, uint64_t number)
{
    return read_owned(cli_text(n->world, "HGET " T "own:%s %d:%llu", n->store.instance, W,
                               (unsigned long long)number));
}

/* A first attempt's outcome. */
static void first_outcome(struct node *n, uint64_t number, enum hw_settle_kind kind,
                          hw_unix_ms due)
{
    static const enum hw_delivery_status statuses[] = { HW_STATUS_DELIVERED, HW_STATUS_FAILED,
                                                        HW_STATUS_DEAD_LETTER };
    struct hw_history h = history_of(owned_by(n, number), statuses[kind], 1);

    if (kind == HW_SETTLE_PARK)
        h.next_attempt_ms = due;
    settle(n, number, kind, false, &h, due);
}

static void write_off(struct node *n, uint64_t number)
{
    struct hw_history h = history_of(owned_by(n, number), HW_STATUS_DEAD_LETTER, 0);

    h.last_attempt_ms = 0;
    settle(n, number, HW_SETTLE_DEAD, false, &h, 0);
}

/* ---- what Redis has ---- */

static bool is_in_hash(struct world *w, const char *name, uint64_t n)
{
    return cli_int(w, "HEXISTS " T "%s:%d %llu", name, W, (unsigned long long)n) == 1;
}

static bool has_score(struct world *w, const char *key, const char *member)
{
    return cli_text(w, "ZSCORE %s %s", key, member)[0] != '\0';
}

static bool is_owned(struct node *n, uint64_t number)
{
    return cli_int(n->world, "HEXISTS " T "own:%s %d:%llu", n->store.instance, W,
                   (unsigned long long)number) == 1;
}

static bool has_body(struct world *w, uint64_t n)
{
    return cli_int(w, "EXISTS " T "body:%d:%llu", W, (unsigned long long)n) == 1;
}

/* Is each delivery in exactly one place, and in the indexes that go with it? */
static void check_places(struct node *n)
{
    struct world *w = n->world;
    long long last = cli_int(w, "HGET " T "seq %d", W);

    for (uint64_t i = 1; i <= (uint64_t)last; i++) {
        char number[24], key[32];
        snprintf(number, sizeof number, "%llu", (unsigned long long)i);
        snprintf(key, sizeof key, "%d:%s", W, number);
        bool is_hist = is_in_hash(w, "hist", i), is_late = is_in_hash(w, "late", i);
        bool is_open = is_in_hash(w, "open", i), is_ours = is_owned(n, i);
        bool is_retry = has_score(w, T "retry", key);
        bool is_waiting = cli_int(w, "XRANGE " T "wait:%d %s %s", W, number, number) == 1;
        bool is_dead = has_score(w, T "dead:7", number);
        CHECK_INT(is_hist + is_late + is_retry + is_ours + is_waiting, ==, 1);
        CHECK(is_open ? is_retry || is_ours : !is_retry);
        CHECK_INT(has_score(w, T "lates:7", number), ==, is_late || is_open);
        CHECK(is_late || !is_dead);
        CHECK(!is_open || has_body(w, i));
        CHECK(is_dead || !is_late || !has_body(w, i)); /* delivered: nothing is owed */
        CHECK(!is_hist || !has_body(w, i));
    }
}

static double due_in_redis(struct world *w, uint64_t n)
{
    return strtod(cli_text(w, "ZSCORE " T "retry %d:%llu", W, (unsigned long long)n), NULL);
}

struct parked {
    redisReply *reply;
    struct owned owned;
    struct hw_history history;
    double due_ms;
};

static struct parked read_parked(struct world *w, uint64_t n)
{
    struct parked p = { .reply = redisCommand(w->cli, "HGET " T "open:%d %llu", W,
                                              (unsigned long long)n) };
    const char *bar;

    CHECK_INT(p.reply->type, ==, REDIS_REPLY_STRING);
    bar = memchr(p.reply->str, '|', p.reply->len);
    CHECK_NOT_NULL(bar);
    p.owned = read_owned(p.reply->str);
    CHECK(hw_history_unpack(
        &p.history, hw_slice(bar + 1, p.reply->len - (size_t)(bar + 1 - p.reply->str))));
    p.due_ms = due_in_redis(w, n);
    return p;
}

/* Everything of the history is as it was but for what a new schedule changes. */
static void check_queued_again(const struct parked *p, const struct hw_history *was,
                               hw_unix_ms now)
{
    const struct hw_history *h = &p->history;

    CHECK_UINT(h->stamp_us, ==, was->stamp_us);
    CHECK_INT(h->created_ms, ==, was->created_ms);
    CHECK_UINT(h->cursor.ms, ==, was->cursor.ms);
    CHECK_UINT(h->cursor.seq, ==, was->cursor.seq);
    CHECK_INT(h->status, ==, HW_STATUS_PENDING);
    CHECK_UINT(h->attempts, ==, was->attempts);
    CHECK_UINT(h->schedule_from, ==, was->attempts);
    CHECK(h->is_uncounted);
    CHECK_INT(h->updated_ms, >=, now);
    CHECK_INT(h->updated_ms, <, now + 20000);
    CHECK_INT(h->last_attempt_ms, ==, was->last_attempt_ms);
    CHECK_INT(h->next_attempt_ms, ==, 0);
    CHECK_INT(h->response_code, ==, was->response_code);
    CHECK_INT(h->failure, ==, was->failure);
    CHECK_INT(h->phase, ==, was->phase);
    CHECK_SLICE_EQ(h->event_id, was->event_id);
    CHECK_SLICE_EQ(h->event_type, was->event_type);
    CHECK_SLICE_EQ(h->subject, was->subject);
    CHECK_SLICE_EQ(h->message, was->message);
    CHECK_SLICE_EQ(h->traceparent, was->traceparent);
    CHECK_SLICE_EQ(h->log, was->log);
    CHECK_UINT(p->owned.attempts, ==, was->attempts);
    CHECK_UINT(p->owned.stamp_us, ==, was->stamp_us);
    CHECK_UINT(p->owned.cursor.ms, ==, was->cursor.ms);
    CHECK_UINT(p->owned.cursor.seq, ==, was->cursor.seq);
}

/* ---- the layout ---- */

static uint64_t random_below_bits(unsigned max_bits)
{
    return check_random() & ((UINT64_C(1) << check_random_below(max_bits + 1)) - 1);
}

static hw_unix_ms random_time(hw_unix_ms created)
{
    return created + (hw_unix_ms)random_below_bits(45) - (hw_unix_ms)random_below_bits(40);
}

static struct hw_history random_history(void)
{
    static char bytes[300];
    struct hw_history h = { .stamp_us = 1 + random_below_bits(51),
                            .status = (enum hw_delivery_status)check_random_below(5),
                            .attempts = (unsigned)random_below_bits(32),
                            .schedule_from = (unsigned)random_below_bits(32),
                            .is_uncounted = check_random() & 1,
                            .response_code = (int)check_random_below(1000),
                            .failure = (enum hw_failure)check_random_below(HW_FAILURES),
                            .phase = (enum hw_phase)check_random_below(HW_PHASES) };

    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (char)check_random();
    h.created_ms = (hw_unix_ms)(h.stamp_us / 1000) + (hw_unix_ms)check_random_below(200) - 100;
    h.cursor = (struct hw_stream_id){ random_below_bits(45), random_below_bits(50) };
    h.updated_ms = random_time(h.created_ms);
    h.last_attempt_ms = check_random() & 1 ? random_time(h.created_ms) : 0;
    h.next_attempt_ms = check_random() & 1 ? random_time(h.created_ms) : 0;
    h.event_id = hw_slice(bytes, check_random_below(200));
    h.event_type = hw_slice(bytes + 7, check_random_below(100));
    h.subject = hw_slice(bytes + 20, check_random_below(200));
    h.message = hw_slice(bytes + 40, check_random_below(100));
    h.traceparent = hw_slice(bytes + 60, check_random_below(60));
    h.log = hw_slice(bytes, check_random_below(300));
    return h;
}

/* The script takes a packed history apart and puts another together, as rules/history.c lays
 * it out. */
CASE(the_script_knows_the_layout)
{
    struct world w;
    struct node n;

    begin(&w, &n);
    (void)cli_int(&w, "HSET " T "seq %d 300", W);
    for (uint64_t i = 1; i <= 300; i++) {
        struct hw_history h = random_history();
        hw_unix_ms now = hw_loop_unix(&w.loop);
        struct hw_buf packed;
        struct parked p;

        hw_buf_init(&packed, 10000);
        CHECK_INT(hw_history_pack(&packed, &h), ==, HW_OK);
        (void)cli_int(&w, "HSET " T "late:%d %llu %b", W, (unsigned long long)i,
                      hw_buf_slice(&packed).data, hw_buf_len(&packed));
        (void)cli_text(&w, "SET " T "body:%d:%llu %s", W, (unsigned long long)i, RECORD);
        CHECK_INT(replay_one(&n, i), ==, HW_REPLAY_DONE);
        p = read_parked(&w, i);
        check_queued_again(&p, &h, now);
        freeReplyObject(p.reply);
        hw_buf_close(&packed);
    }
    check_places(&n);
    end(&w, &n);
}

CASE(what_cannot_be_read_is_left_alone)
{
    struct world w;
    struct node n;

    begin(&w, &n);
    (void)cli_int(&w, "HSET " T "late:%d 1 \x02new", W);
    (void)cli_int(&w, "HSET " T "late:%d 2 %b", W, "\x01\xff\xff", (size_t)3);
    for (uint64_t i = 1; i <= 2; i++) {
        (void)cli_text(&w, "SET " T "body:%d:%llu %s", W, (unsigned long long)i, RECORD);
        (void)cli_int(&w, "ZADD " T "lates:%d %llu %llu", W, (unsigned long long)i,
                      (unsigned long long)i);
        (void)cli_int(&w, "ZADD " T "dead:%d 1 %llu", W, (unsigned long long)i);
        CHECK_INT(replay_one(&n, i), ==, HW_REPLAY_UNAVAILABLE);
    }
    CHECK_INT(replay_dead(&n, 0, 0, 0), ==, HW_REPLAY_DONE);
    CHECK_INT(told.count, ==, 0);
    CHECK_INT(cli_int(&w, "HLEN " T "late:%d", W), ==, 2);
    CHECK_INT(cli_int(&w, "ZCARD " T "retry"), ==, 0);
    end(&w, &n);
}

/* ---- one ---- */

/* Claims it; what comes is checked by the caller. */
static struct hw_taken claim(struct node *n, uint64_t number)
{
    static struct taking t;
    struct hw_delivery_key key = { W, number };

    taking_begin(&t);
    CHECK_INT(hw_ledger_claim(n->ledger, &t.take, &key, 1, INT64_MAX, on_taking_done), ==,
              HW_OK);
    taking_wait(n, &t);
    CHECK_INT(t.n_items, ==, 1);
    return t.items[0];
}

/* Claimed, then settled: what became of a redelivery. */
static void next_outcome(struct node *n, uint64_t number, enum hw_settle_kind kind)
{
    struct hw_taken item = claim(n, number);
    struct hw_history h;

    CHECK_SLICE(item.record, RECORD);
    CHECK(hw_history_unpack(&h, item.state));
    CHECK_SLICE(h.traceparent, "00-trace-1");
    CHECK_UINT(h.attempts, ==, item.attempts);
    check_places(n);
    h.attempts++;
    h.status = kind == HW_SETTLE_DELIVERED ? HW_STATUS_DELIVERED : HW_STATUS_DEAD_LETTER;
    if (kind == HW_SETTLE_PARK)
        h.status = HW_STATUS_FAILED;
    settle(n, number, kind, true, &h, hw_loop_steady(&n->world->loop));
}

CASE(a_delivered_one_keeps_its_log_and_counts_on)
{
    struct world w;
    struct node n;
    struct parked p;
    struct hw_history was;
    hw_unix_ms now;

    begin(&w, &n);
    node_deliveries(&n, W, 1, false);
    was = history_of(owned_by(&n, 1), HW_STATUS_DELIVERED, 1);
    first_outcome(&n, 1, HW_SETTLE_DELIVERED, 0);
    CHECK(!has_body(&w, 1));
    now = hw_loop_steady(&w.loop);
    CHECK_INT(replay_one(&n, 1), ==, HW_REPLAY_DONE);
    CHECK_INT(told.n, ==, 1);
    CHECK_UINT(told.numbers[0], ==, 1);
    CHECK_INT(told.due_ms[0], >=, now);
    CHECK_INT(told.due_ms[0], <=, hw_loop_steady(&w.loop));
    p = read_parked(&w, 1);
    check_queued_again(&p, &was, now - 1000);
    CHECK_DOUBLE(p.due_ms, ==, (double)told.due_ms[0]);
    freeReplyObject(p.reply);
    CHECK(has_body(&w, 1));
    check_places(&n);
    next_outcome(&n, 1, HW_SETTLE_DELIVERED);
    CHECK(is_in_hash(&w, "late", 1));
    check_places(&n);
    end(&w, &n);
}

/* Its body outlives the feed from then on. */
CASE(the_body_is_copied_out_of_the_feed)
{
    struct world w;
    struct node n;

    begin(&w, &n);
    node_deliveries(&n, W, 2, false);
    first_outcome(&n, 1, HW_SETTLE_DELIVERED, 0);
    first_outcome(&n, 2, HW_SETTLE_DELIVERED, 0);
    CHECK_INT(replay_one(&n, 1), ==, HW_REPLAY_DONE);
    (void)cli_int(&w, "XTRIM " T "led:acct MAXLEN 0");
    CHECK_INT(replay_one(&n, 2), ==, HW_REPLAY_NO_BODY);
    CHECK_INT(told.n, ==, 0);
    check_places(&n);
    CHECK(is_in_hash(&w, "hist", 2));
    next_outcome(&n, 1, HW_SETTLE_DELIVERED);
    check_places(&n);
    /* And then it is gone for good. */
    CHECK_INT(replay_one(&n, 1), ==, HW_REPLAY_NO_BODY);
    CHECK(is_in_hash(&w, "late", 1));
    check_places(&n);
    end(&w, &n);
}

CASE(a_dead_one_dies_again_or_is_delivered)
{
    struct world w;
    struct node n;

    begin(&w, &n);
    node_deliveries(&n, W, 2, false);
    first_outcome(&n, 1, HW_SETTLE_DEAD, 0);
    first_outcome(&n, 2, HW_SETTLE_DEAD, 0);
    check_places(&n);
    for (uint64_t i = 1; i <= 2; i++) {
        CHECK_INT(replay_one(&n, i), ==, HW_REPLAY_DONE);
        check_places(&n);
    }
    CHECK_INT(cli_int(&w, "ZCARD " T "dead:%d", W), ==, 0);
    next_outcome(&n, 1, HW_SETTLE_PARK);
    check_places(&n);
    next_outcome(&n, 1, HW_SETTLE_DEAD);
    next_outcome(&n, 2, HW_SETTLE_DELIVERED);
    check_places(&n);
    CHECK_INT(cli_int(&w, "ZCARD " T "dead:%d", W), ==, 1);
    CHECK_INT(replay_one(&n, 1), ==, HW_REPLAY_DONE);
    check_places(&n);
    end(&w, &n);
}

/* Written off without an attempt: its token is 0 still when it comes back. */
CASE(one_never_attempted_ends_in_one_place)
{
    struct world w;
    struct node n;

    begin(&w, &n);
    node_deliveries(&n, W, 3, false);
    for (uint64_t i = 1; i <= 3; i++) {
        write_off(&n, i);
        CHECK_INT(replay_one(&n, i), ==, HW_REPLAY_DONE);
    }
    check_places(&n);
    next_outcome(&n, 1, HW_SETTLE_DELIVERED);
    next_outcome(&n, 2, HW_SETTLE_DEAD);
    next_outcome(&n, 3, HW_SETTLE_PARK);
    check_places(&n);
    CHECK(is_in_hash(&w, "late", 1));
    CHECK(has_body(&w, 2));
    end(&w, &n);
}

CASE(a_parked_one_is_due_now)
{
    struct world w;
    struct node n;
    struct parked p;
    struct hw_history was;
    hw_unix_ms now;

    begin(&w, &n);
    node_deliveries(&n, W, 1, false);
    was = history_of(owned_by(&n, 1), HW_STATUS_FAILED, 1);
    now = hw_loop_steady(&w.loop);
    first_outcome(&n, 1, HW_SETTLE_PARK, now + 600000);
    for (int i = 0; i < 2; i++) { /* asked twice: the same again */
        CHECK_INT(replay_one(&n, 1), ==, HW_REPLAY_DONE);
        p = read_parked(&w, 1);
        check_queued_again(&p, &was, now - 1000);
        CHECK_DOUBLE(p.due_ms, <=, (double)hw_loop_steady(&w.loop));
        freeReplyObject(p.reply);
        check_places(&n);
    }
    next_outcome(&n, 1, HW_SETTLE_DELIVERED);
    check_places(&n);
    end(&w, &n);
}

static void make_orphan(struct world *w, struct node *n)
{
    (void)cli_text(w, "RENAME " T "own:%s " T "own:gone", n->store.instance);
    (void)cli_int(w, "HSET " T "orphans gone crash");
}

CASE(what_somebody_has_in_hand)
{
    struct world w;
    struct node n;

    begin(&w, &n);
    node_deliveries(&n, W, 2, false);
    first_outcome(&n, 2, HW_SETTLE_PARK, hw_loop_steady(&w.loop));
    (void)claim(&n, 2);
    node_deliveries(&n, W, 1, true);
    CHECK_INT(replay_one(&n, 1), ==, HW_REPLAY_DELIVERING);
    CHECK_INT(replay_one(&n, 2), ==, HW_REPLAY_DELIVERING);
    CHECK_INT(replay_one(&n, 3), ==, HW_REPLAY_WAITING);
    CHECK_INT(replay_one(&n, 4), ==, HW_REPLAY_NOT_FOUND);
    set_status(&w, "paused"); /* nothing of it is begun */
    CHECK_INT(replay_one(&n, 1), ==, HW_REPLAY_WAITING);
    CHECK_INT(replay_one(&n, 2), ==, HW_REPLAY_WAITING);
    set_status(&w, "active");
    check_places(&n);
    make_orphan(&w, &n); /* whoever had it is dead */
    CHECK_INT(replay_one(&n, 1), ==, HW_REPLAY_WAITING);
    CHECK_INT(replay_one(&n, 2), ==, HW_REPLAY_WAITING);
    CHECK_INT(cli_int(&w, "ZCARD " T "retry"), ==, 0);
    CHECK_INT(cli_int(&w, "HLEN " T "own:gone"), ==, 2);
    end(&w, &n);
}

CASE(nothing_for_a_webhook_that_is_not_live)
{
    static const char *const statuses[] = { "disabled", "deleted" };
    struct world w;
    struct node n;

    begin(&w, &n);
    node_deliveries(&n, W, 4, false);
    first_outcome(&n, 1, HW_SETTLE_DELIVERED, 0);
    first_outcome(&n, 2, HW_SETTLE_DEAD, 0);
    first_outcome(&n, 3, HW_SETTLE_PARK, hw_loop_steady(&w.loop) + 600000);
    for (int i = 0; i < 2; i++) {
        set_status(&w, statuses[i]);
        for (uint64_t number = 1; number <= 4; number++)
            CHECK_INT(replay_one(&n, number), ==, HW_REPLAY_NOT_LIVE);
        CHECK_INT(replay_one(&n, 5), ==, HW_REPLAY_NOT_FOUND);
        CHECK_INT(replay_dead(&n, 0, 0, 0), ==, HW_REPLAY_NOT_LIVE);
        CHECK_INT(replay_overdue(&n, 0), ==, HW_REPLAY_NOT_LIVE);
        CHECK_INT(plant(&n), ==, HW_REPLAY_NOT_LIVE);
    }
    CHECK_INT(cli_int(&w, "HGET " T "seq %d", W), ==, 4);
    CHECK(is_in_hash(&w, "hist", 1) && is_in_hash(&w, "late", 2));
    CHECK_INT(cli_int(&w, "ZCOUNT " T "retry %lld +inf",
                      (long long)hw_loop_steady(&w.loop) + 500000),
              ==, 1);
    check_places(&n);
    end(&w, &n);
}

CASE(a_paused_one_takes_redeliveries)
{
    struct world w;
    struct node n;

    begin(&w, &n);
    node_deliveries(&n, W, 2, false);
    first_outcome(&n, 1, HW_SETTLE_DELIVERED, 0);
    first_outcome(&n, 2, HW_SETTLE_DEAD, 0);
    set_status(&w, "paused");
    CHECK_INT(replay_one(&n, 1), ==, HW_REPLAY_DONE);
    CHECK_INT(replay_dead(&n, 0, 0, 0), ==, HW_REPLAY_DONE);
    CHECK_INT(told.count, ==, 1);
    CHECK_INT(replay_overdue(&n, 0), ==, HW_REPLAY_NOT_LIVE); /* not while it is paused */
    check_places(&n);
    end(&w, &n);
}

/* ---- trouble ---- */

CASE(a_full_redis_refuses_and_nothing_has_happened)
{
    struct world w;
    struct node n;

    begin(&w, &n);
    node_deliveries(&n, W, 2, false);
    first_outcome(&n, 1, HW_SETTLE_DELIVERED, 0);
    first_outcome(&n, 2, HW_SETTLE_DEAD, 0);
    cli_text(&w, "CONFIG SET maxmemory 1");
    CHECK_INT(replay_one(&n, 1), ==, HW_REPLAY_UNAVAILABLE);
    CHECK_INT(replay_one(&n, 2), ==, HW_REPLAY_UNAVAILABLE);
    CHECK_INT(replay_dead(&n, 0, 0, 0), ==, HW_REPLAY_UNAVAILABLE);
    CHECK_INT(plant(&n), ==, HW_REPLAY_UNAVAILABLE);
    cli_text(&w, "CONFIG SET maxmemory 0");
    CHECK_INT(cli_int(&w, "HGET " T "seq %d", W), ==, 2);
    CHECK(is_in_hash(&w, "hist", 1) && is_in_hash(&w, "late", 2));
    CHECK(!has_body(&w, 1));
    CHECK_INT(cli_int(&w, "ZCARD " T "dead:%d", W), ==, 1);
    check_places(&n);
    end(&w, &n);
}

CASE(a_fenced_one_changes_nothing)
{
    struct world w;
    struct node n;

    begin(&w, &n);
    node_deliveries(&n, W, 2, false);
    first_outcome(&n, 1, HW_SETTLE_DELIVERED, 0);
    first_outcome(&n, 2, HW_SETTLE_DEAD, 0);
    (void)cli_int(&w, "HSET " T "inst %s 99999999999999999", n.store.instance);
    CHECK_INT(replay_one(&n, 1), ==, HW_REPLAY_UNAVAILABLE);
    CHECK_INT(replay_dead(&n, 0, 0, 0), ==, HW_REPLAY_UNAVAILABLE);
    CHECK_INT(replay_overdue(&n, 0), ==, HW_REPLAY_UNAVAILABLE);
    CHECK_INT(plant(&n), ==, HW_REPLAY_UNAVAILABLE);
    CHECK(is_in_hash(&w, "hist", 1) && is_in_hash(&w, "late", 2));
    CHECK_INT(cli_int(&w, "HGET " T "seq %d", W), ==, 2);
    end(&w, &n);
}

CASE(a_lost_connection_is_told)
{
    struct world w;
    struct node n;

    begin(&w, &n);
    redis_server_kill(&w.server, SIGKILL);
    ask();
    if (hw_replay_one(&n.store, &replay, W, 1, on_each, on_done) == HW_OK)
        CHECK_INT(answer(&n), ==, HW_REPLAY_UNAVAILABLE);
    RUN_UNTIL(&w, n.n_down > 0);
    CHECK_INT(hw_replay_one(&n.store, &replay, W, 1, on_each, on_done), !=, HW_OK);
    hw_replay_close(&replay);
    redis_server_start(&w.server, NULL);
    cli_connect(&w);
    end(&w, &n);
}

/* ---- dead ---- */

CASE(a_thousand_dead_letters_in_order)
{
    struct world w;
    struct node n;
    hw_unix_ms now;

    begin(&w, &n);
    node_deliveries(&n, W, 1000, false);
    for (uint64_t i = 1000; i >= 1; i--) /* the order of dying is another one */
        first_outcome(&n, i, HW_SETTLE_DEAD, 0);
    CHECK_INT(cli_int(&w, "ZCARD " T "dead:%d", W), ==, 1000);
    now = hw_loop_steady(&w.loop);
    CHECK_INT(replay_dead(&n, 0, 0, 0), ==, HW_REPLAY_DONE);
    CHECK_UINT(told.count, ==, 1000);
    CHECK_UINT(told.n, ==, 1000);
    CHECK_INT(told.due_ms[0], >=, now);
    CHECK_INT(told.due_ms[0], <, now + 1000);
    for (size_t i = 0; i < told.n; i++) {
        CHECK_UINT(told.numbers[i], ==, i + 1);
        CHECK_INT(told.due_ms[i], ==, told.due_ms[0] + 10 * (hw_unix_ms)i); /* 100 a second */
        CHECK_DOUBLE(due_in_redis(&w, i + 1), ==, (double)told.due_ms[i]);
    }
    CHECK_INT(cli_int(&w, "ZCARD " T "dead:%d", W), ==, 0);
    CHECK_INT(cli_int(&w, "HLEN " T "late:%d", W), ==, 0);
    check_places(&n);
    CHECK_INT(replay_dead(&n, 0, 0, 0), ==, HW_REPLAY_DONE);
    CHECK_UINT(told.count, ==, 0);
    end(&w, &n);
}

CASE(dead_letters_of_a_time_range)
{
    struct world w;
    struct node n;
    hw_unix_ms created[31];

    begin(&w, &n);
    for (uint64_t i = 1; i <= 30; i++) {
        node_deliveries(&n, W, 1, false);
        created[i] = (hw_unix_ms)(owned_by(&n, i).stamp_us / 1000);
        run_for(&w, 3);
    }
    for (uint64_t i = 1; i <= 30; i++) /* every third was delivered, late or at once */
        first_outcome(&n, i, i % 3 == 0 ? HW_SETTLE_DELIVERED : HW_SETTLE_DEAD, 0);
    CHECK_INT(replay_dead(&n, created[10], created[20], 8), ==, HW_REPLAY_DONE);
    CHECK_UINT(told.count, ==, 7); /* 10 11 13 14 16 17 19: 20 is not before 20 */
    CHECK_UINT(told.numbers[0], ==, 10);
    CHECK_UINT(told.numbers[6], ==, 19);
    CHECK_INT(told.due_ms[1] - told.due_ms[0], ==, 125); /* the webhook's own 8 a second */
    check_places(&n);
    CHECK_INT(replay_dead(&n, created[25], 0, 0), ==, HW_REPLAY_DONE);
    CHECK_UINT(told.count, ==, 4); /* 25 26 28 29 */
    CHECK_INT(replay_dead(&n, 0, created[3], 0), ==, HW_REPLAY_DONE);
    CHECK_UINT(told.count, ==, 2);
    CHECK_INT(replay_dead(&n, created[30] + 1, 0, 0), ==, HW_REPLAY_DONE);
    CHECK_UINT(told.count, ==, 0);
    check_places(&n);
    end(&w, &n);
}

CASE(dead_letters_without_a_body_stay)
{
    struct world w;
    struct node n;

    begin(&w, &n);
    node_deliveries(&n, W, 5, false);
    for (uint64_t i = 1; i <= 5; i++)
        first_outcome(&n, i, HW_SETTLE_DEAD, 0);
    (void)cli_int(&w, "XTRIM " T "led:acct MAXLEN 0");
    (void)cli_int(&w, "DEL " T "body:%d:2 " T "body:%d:4", W, W);
    CHECK_INT(replay_dead(&n, 0, 0, 0), ==, HW_REPLAY_DONE);
    CHECK_UINT(told.count, ==, 3);
    CHECK_UINT(told.numbers[1], ==, 3);
    CHECK_INT(told.due_ms[1] - told.due_ms[0], ==, 10); /* no gap for who stays */
    CHECK_INT(cli_int(&w, "ZCARD " T "dead:%d", W), ==, 2);
    check_places(&n);
    end(&w, &n);
}

/* Large ones go in smaller pieces, and all of them go. */
CASE(dead_letters_with_long_logs)
{
    enum { LOG = 60000, COUNT = 60 };
    static char log[LOG];
    struct world w;
    struct node n;

    begin(&w, &n);
    memset(log, 'x', sizeof log);
    node_deliveries(&n, W, COUNT, false);
    for (uint64_t i = 1; i <= COUNT; i++) {
        struct hw_history h = history_of(owned_by(&n, i), HW_STATUS_DEAD_LETTER, 1);
        h.log = hw_slice(log, sizeof log);
        settle(&n, i, HW_SETTLE_DEAD, false, &h, 0);
    }
    CHECK_INT(replay_dead(&n, 0, 0, 0), ==, HW_REPLAY_DONE);
    CHECK_UINT(told.count, ==, COUNT);
    for (size_t i = 0; i < COUNT; i++)
        CHECK_UINT(told.numbers[i], ==, i + 1);
    check_places(&n);
    end(&w, &n);
}

/* ---- overdue ---- */

CASE(overdue_ones_are_due_soon_and_others_stay)
{
    enum { OVERDUE = 500, LATER = 50 };
    static bool seen[OVERDUE + LATER + 1];
    struct world w;
    struct node n;
    hw_unix_ms now;

    begin(&w, &n);
    node_deliveries(&n, W, OVERDUE + LATER, false);
    now = hw_loop_steady(&w.loop);
    for (uint64_t i = 1; i <= OVERDUE + LATER; i++)
        first_outcome(&n, i, HW_SETTLE_PARK, i <= OVERDUE ? now - 5000 : now + 900000);
    for (uint64_t i = 1; i <= OVERDUE; i++) /* put off while it was paused */
        (void)cli_int(&w, "ZADD " T "retry %lld %d:%llu", (long long)now + 60000, W,
                      (unsigned long long)i);
    CHECK_INT(replay_one(&n, 1), ==, HW_REPLAY_DONE); /* a redelivery has no time of its own */
    (void)claim(&n, 2);                               /* and this one is being made */
    CHECK_INT(replay_overdue(&n, 200), ==, HW_REPLAY_DONE);
    CHECK_UINT(told.count, ==, OVERDUE - 1);
    for (size_t i = 0; i < told.n; i++) {
        CHECK_UINT(told.numbers[i], <=, OVERDUE);
        CHECK_UINT(told.numbers[i], !=, 2);
        CHECK(!seen[told.numbers[i]]);
        seen[told.numbers[i]] = true;
        CHECK_INT(told.due_ms[i], ==, told.due_ms[0] + 10 * (hw_unix_ms)i);
        CHECK_DOUBLE(due_in_redis(&w, told.numbers[i]), ==, (double)told.due_ms[i]);
    }
    CHECK_INT(cli_int(&w, "ZCOUNT " T "retry %lld +inf", (long long)now + 800000), ==, LATER);
    check_places(&n);
    end(&w, &n);
}

/* ---- plant ---- */

static void load_planted(struct node *n, uint64_t number)
{
    static struct taking t;
    struct hw_delivery_key key = { W, number };

    taking_begin(&t);
    CHECK_INT(hw_ledger_load(n->ledger, &t.take, &key, 1, on_taking_done), ==, HW_OK);
    taking_wait(n, &t);
    CHECK_INT(t.n_items, ==, 1);
    CHECK_SLICE(t.items[0].record, RECORD);
    CHECK_SLICE(t.items[0].account, "acct");
    CHECK_INT(t.items[0].attempts, ==, 0);
    CHECK_UINT(t.items[0].cursor.ms + t.items[0].cursor.seq, ==, 0);
    CHECK_UINT(t.items[0].stamp_us, ==, told.planted_stamp_us);
}

CASE(a_planted_one_is_ours_and_can_be_loaded)
{
    struct world w;
    struct node n;
    uint64_t stamp_us;

    begin(&w, &n);
    node_deliveries(&n, W, 1, false);
    stamp_us = owned_by(&n, 1).stamp_us;
    for (uint64_t i = 2; i <= 4; i++) {
        CHECK_INT(plant(&n), ==, HW_REPLAY_DONE);
        CHECK_UINT(told.planted_n, ==, i);
        CHECK_UINT(told.n_waiting, ==, 0);
        CHECK_UINT(told.planted_stamp_us, >, stamp_us);
        stamp_us = told.planted_stamp_us;
        load_planted(&n, i);
    }
    CHECK_INT(cli_int(&w, "XLEN " T "led:acct"), ==, 1); /* none is in the feed */
    first_outcome(&n, 2, HW_SETTLE_DELIVERED, 0);
    CHECK(!has_body(&w, 2));
    first_outcome(&n, 3, HW_SETTLE_DEAD, 0);
    first_outcome(&n, 4, HW_SETTLE_PARK, hw_loop_steady(&w.loop));
    check_places(&n);
    CHECK_INT(replay_one(&n, 2), ==, HW_REPLAY_NO_BODY);
    CHECK_INT(replay_one(&n, 3), ==, HW_REPLAY_DONE);
    next_outcome(&n, 3, HW_SETTLE_DELIVERED);
    next_outcome(&n, 4, HW_SETTLE_DELIVERED);
    check_places(&n);
    node_deliveries(&n, W, 1, false); /* those that are accepted go on from there */
    CHECK_UINT(owned_by(&n, 5).stamp_us, >, stamp_us);
    end(&w, &n);
}

CASE(planted_without_room_it_waits)
{
    struct world w;
    struct node n;

    begin(&w, &n);
    CHECK_INT(plant_where(&n, false), ==, HW_REPLAY_DONE);
    CHECK_UINT(told.n_waiting, ==, 1);
    CHECK(!is_owned(&n, 1));
    check_places(&n);
    end(&w, &n);
}

CASE(planted_while_paused_it_waits)
{
    static struct taking t;
    struct world w;
    struct node n;

    begin(&w, &n);
    node_deliveries(&n, W, 1, true);
    set_status(&w, "paused");
    CHECK_INT(plant(&n), ==, HW_REPLAY_DONE);
    CHECK_UINT(told.planted_n, ==, 2);
    CHECK_UINT(told.n_waiting, ==, 2);
    CHECK(!is_owned(&n, 2));
    CHECK_INT(cli_int(&w, "SISMEMBER " T "waiting %d", W), ==, 1);
    check_places(&n);
    taking_begin(&t);
    CHECK_INT(hw_ledger_refill(n.ledger, &t.take, W, 10, 0, on_taking_done), ==, HW_OK);
    taking_wait(&n, &t);
    CHECK_INT(t.n_items, ==, 2);
    CHECK_UINT(t.items[1].n, ==, 2);
    CHECK_SLICE(t.items[1].record, RECORD);
    first_outcome(&n, 2, HW_SETTLE_DELIVERED, 0);
    check_places(&n);
    end(&w, &n);
}
