/* consumers: pull, acknowledge, trim, list, against a real redis-server. */
#include "store/consumer.h"
#include "api/paging.h"
#include "redis/scripts.h"
#include "support/node.h"

#define T "hw:{s0}:"

enum { LONG_MS = 60000, SHORT_MS = 120, SHOWN_MAX = 1200 };

static struct {
    bool is_done;
    enum hw_consumer_result result;
    size_t n_events;
    int events[HW_CONSUMER_PAGE_MAX]; /* their numbers */
    size_t n_bytes;
    struct hw_stream_id last;
    bool has_more;
    uint64_t n_acknowledged;
    size_t n_consumers;
    struct hw_consumer_standing consumers[SHOWN_MAX];
    struct hw_stream_id oldest;
} got;

static struct hw_consumer_ask ask;

static void on_done(struct hw_consumer_ask *a, enum hw_consumer_result result,
                    const struct hw_consumer_found *found)
{
    CHECK(a == &ask && !got.is_done);
    got.is_done = true;
    got.result = result;
    got.has_more = found->has_more;
    got.n_acknowledged = found->n_acknowledged;
    got.oldest = found->oldest;
    got.n_events = found->n_events;
    CHECK_UINT(found->n_events, <=, HW_CONSUMER_PAGE_MAX);
    for (size_t i = 0; i < found->n_events; i++) {
        CHECK_INT(sscanf(found->events[i].record.data, "{\"id\":\"e%d\"", &got.events[i]), ==,
                  1);
        got.n_bytes += found->events[i].record.len;
        got.last = found->events[i].id;
    }
    got.n_consumers = found->n_consumers;
    CHECK_UINT(found->n_consumers, <=, SHOWN_MAX);
    for (size_t i = 0; i < found->n_consumers; i++)
        got.consumers[i] = found->consumers[i];
}

static void begin_ask(void)
{
    memset(&got, 0, sizeof got);
    hw_consumer_ask_init(&ask);
}

static enum hw_consumer_result answer(struct node *n)
{
    CHECK(!got.is_done);
    RUN_UNTIL(n->world, got.is_done);
    hw_consumer_ask_close(&ask);
    return got.result;
}

static struct hw_consumer_key key_of(const char *name)
{
    return (struct hw_consumer_key){ "acct", name };
}

static const struct hw_consumer_view everything = { .otherwise = true };

static struct hw_stream_id id_of(const char *place)
{
    struct hw_stream_id id;

    CHECK(hw_stream_id_parse(&id, hw_slice_str(place)));
    return id;
}

static enum hw_consumer_result pull_as(struct node *n, const char *name,
                                       struct hw_consumer_view view, size_t limit,
                                       unsigned visibility_ms, const struct hw_stream_id *from)
{
    struct hw_consumer_terms terms = { .limit = limit,
                                       .visibility_ms = visibility_ms,
                                       .n_consumers_max = 3,
                                       .is_start = from == NULL };

    if (from != NULL)
        terms.after = *from;
    begin_ask();
    CHECK_INT(hw_consumer_pull(&n->store, &ask, key_of(name), view, terms, on_done), ==,
              HW_OK);
    return answer(n);
}

static enum hw_consumer_result pull(struct node *n, size_t limit, unsigned visibility_ms)
{
    return pull_as(n, "c", everything, limit, visibility_ms, NULL);
}

static enum hw_consumer_result begin_at(struct node *n, const char *name, const char *place)
{
    struct hw_stream_id from = id_of(place);

    return pull_as(n, name, everything, 1, LONG_MS, &from);
}

static enum hw_consumer_result pending_as(struct node *n, struct hw_consumer_view view,
                                          struct hw_stream_id after, size_t limit)
{
    begin_ask();
    CHECK_INT(
        hw_consumer_outstanding(&n->store, &ask, key_of("c"), view, after, limit, on_done), ==,
        HW_OK);
    return answer(n);
}

static enum hw_consumer_result pending(struct node *n)
{
    return pending_as(n, everything, id_of("0-0"), HW_CONSUMER_PAGE_MAX);
}

/* Events from e<first> to e<last>. */
static enum hw_consumer_result ack(struct node *n, int first, int last)
{
    static char texts[HW_CONSUMER_ACKS_MAX][16];
    static const char *ids[HW_CONSUMER_ACKS_MAX];
    size_t n_ids = (size_t)(last - first + 1);

    for (size_t i = 0; i < n_ids; i++) {
        snprintf(texts[i], sizeof texts[i], "e%d", first + (int)i);
        ids[i] = texts[i];
    }
    begin_ask();
    CHECK_INT(hw_consumer_ack(&n->store, &ask, key_of("c"), ids, n_ids, on_done), ==, HW_OK);
    return answer(n);
}

static enum hw_consumer_result ack_to(struct node *n, struct hw_stream_id place)
{
    begin_ask();
    CHECK_INT(hw_consumer_ack_to(&n->store, &ask, key_of("c"), place, on_done), ==, HW_OK);
    return answer(n);
}

static enum hw_consumer_result list(struct node *n)
{
    begin_ask();
    CHECK_INT(hw_consumer_list(&n->store, &ask, "acct", on_done), ==, HW_OK);
    return answer(n);
}

static enum hw_consumer_result dismiss(struct node *n, const char *name)
{
    begin_ask();
    CHECK_INT(hw_consumer_dismiss(&n->store, &ask, key_of(name), on_done), ==, HW_OK);
    return answer(n);
}

/* The events that came are those from e<first> to e<last>, in order. */
static void check_events(int first, int last)
{
    CHECK_INT(got.result, ==, HW_CONSUMER_DONE);
    CHECK_INT(got.n_events, ==, last - first + 1);
    for (size_t i = 0; i < got.n_events; i++)
        CHECK_INT(got.events[i], ==, first + (int)i);
}

static void check_none(bool has_more)
{
    CHECK_INT(got.result, ==, HW_CONSUMER_DONE);
    CHECK_UINT(got.n_events, ==, 0);
    CHECK_INT(got.has_more, ==, has_more);
}

static void check_acknowledged(enum hw_consumer_result result, uint64_t n_acknowledged)
{
    CHECK_INT(result, ==, HW_CONSUMER_DONE);
    CHECK_UINT(got.n_acknowledged, ==, n_acknowledged);
}

static void check_id(struct hw_stream_id id, const char *text)
{
    char shown[48];

    hw_stream_id_text(id, shown);
    CHECK_STR(shown, text);
}

/* Of the only one there is. */
static void check_standing(struct node *n, const char *position, uint64_t n_behind,
                           uint64_t n_out, uint64_t n_skipped)
{
    CHECK_INT(list(n), ==, HW_CONSUMER_DONE);
    CHECK_UINT(got.n_consumers, ==, 1);
    CHECK_STR(got.consumers[0].name, "c");
    check_id(got.consumers[0].position, position);
    CHECK_UINT(got.consumers[0].n_behind, ==, n_behind);
    CHECK_UINT(got.consumers[0].n_out, ==, n_out);
    CHECK_UINT(got.consumers[0].n_skipped, ==, n_skipped);
}

/* ---- fixture ---- */

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

/* Event e<number> at 1000-<number>. */
static void add_typed(struct world *w, int number, const char *type)
{
    (void)cli_text(
        w, "XADD " T "led:acct 1000-%d r {\"id\":\"e%d\",\"type\":\"%s\",\"data\":1} d %s",
        number, number, type, "");
}

static void add_events(struct world *w, int first, int last)
{
    for (int i = first; i <= last; i++)
        add_typed(w, i, "a.b");
}

/* One with so many bytes of data. */
static void add_large(struct world *w, int number, size_t n_bytes)
{
    size_t n_max = n_bytes + 100, n_front;
    char *record = hw_malloc(n_max);

    CHECK_NOT_NULL(record);
    n_front = (size_t)snprintf(record, n_max, "{\"id\":\"e%d\",\"type\":\"a.b\",\"data\":\"",
                               number);
    memset(record + n_front, 'x', n_bytes);
    memcpy(record + n_front + n_bytes, "\"}", 2);
    (void)cli_text(w, "XADD " T "led:acct 1000-%d r %b d %s", number, record,
                   n_front + n_bytes + 2, "");
    hw_free(record);
}

/* All but the newest `kept`, as the janitor does it. */
static void trim(struct world *w, struct node *n, int kept)
{
    long long left;

    do
        left = cli_int(w, "EVAL %s 1 " T "inst " T " %s %s acct %d 100000000000000 1000",
                       hw_script_trim.text, n->store.instance, n->store.epoch, kept);
    while (left > 0);
    CHECK_INT(cli_int(w, "XLEN " T "led:acct"), ==, kept);
}

/* ---- cases ---- */

CASE(what_is_handed_out_is_not_handed_out_again)
{
    struct world w;
    struct node n;

    begin(&w, &n);
    add_events(&w, 1, 10);
    (void)pull(&n, 4, LONG_MS);
    check_events(1, 4);
    CHECK(got.has_more);
    (void)pull(&n, 6, LONG_MS);
    check_events(5, 10);
    CHECK(!got.has_more);
    (void)pull(&n, 6, LONG_MS);
    check_none(false);
    check_standing(&n, "1000-10", 0, 10, 0);
    CHECK_INT(got.consumers[0].created_ms / 100000, ==, hw_loop_unix(&w.loop) / 100000);
    check_acknowledged(ack(&n, 3, 6), 4);
    check_acknowledged(ack(&n, 3, 7), 1); /* the others are unknown by now */
    check_standing(&n, "1000-10", 0, 5, 0);
    add_events(&w, 11, 12);
    (void)pull(&n, 200, LONG_MS);
    check_events(11, 12);
    check_acknowledged(ack(&n, 1, 12), 7);
    CHECK_INT(cli_int(&w, "KEYS " T "out*"), ==, 0);
    end(&w, &n);
}

CASE(what_was_not_acknowledged_comes_again)
{
    static const int again[] = { 1, 4, 5, 6, 7, 8, 9, 10, 11, 12 };
    struct world w;
    struct node n;
    uint64_t pulled_ms;

    begin(&w, &n);
    add_events(&w, 1, 11); /* ids of which text sorts otherwise: 1000-10 before 1000-9 */
    pulled_ms = uv_hrtime() / 1000000;
    (void)pull(&n, 11, SHORT_MS);
    check_events(1, 11);
    check_acknowledged(ack(&n, 2, 3), 2);
    RUN_UNTIL(&w, pull(&n, 10, SHORT_MS) == HW_CONSUMER_DONE && got.n_events > 0);
    CHECK_UINT(uv_hrtime() / 1000000 - pulled_ms, >=, SHORT_MS - 1); /* not before */
    CHECK_INT(got.n_events, ==, 9);
    CHECK_MEM(got.events, again, 9 * sizeof again[0]);
    /* They come first, then new ones, within one limit. */
    add_events(&w, 12, 14);
    run_for(&w, SHORT_MS + 20);
    (void)pull(&n, 10, LONG_MS);
    CHECK_INT(got.n_events, ==, 10);
    CHECK_MEM(got.events, again, sizeof again);
    CHECK(got.has_more);
    (void)pull(&n, 10, LONG_MS);
    check_events(13, 14);
    check_acknowledged(ack(&n, 1, 14), 12);
    end(&w, &n);
}

CASE(no_more_than_a_thousand_are_out)
{
    struct world w;
    struct node n;

    begin(&w, &n);
    add_events(&w, 1, 1100);
    for (int i = 0; i < 5; i++) {
        (void)pull(&n, 200, LONG_MS);
        check_events(200 * i + 1, 200 * i + 200);
    }
    CHECK(!got.has_more);
    (void)pull(&n, 200, LONG_MS);
    check_none(false);
    check_standing(&n, "1000-1000", 100, 1000, 0);
    check_acknowledged(ack(&n, 7, 9), 3);
    (void)pull(&n, 200, LONG_MS);
    check_events(1001, 1003);
    CHECK(!got.has_more);
    check_acknowledged(ack(&n, 1, 1000), 997);
    (void)pull(&n, 200, LONG_MS);
    check_events(1004, 1100);
    end(&w, &n);
}

CASE(pending_shows_what_is_out_by_pages)
{
    struct world w;
    struct node n;

    begin(&w, &n);
    add_events(&w, 1, 12);
    CHECK_INT(pending(&n), ==, HW_CONSUMER_NOT_FOUND);
    (void)pull(&n, 8, LONG_MS);
    (void)pull(&n, 3, LONG_MS + 1);
    check_acknowledged(ack(&n, 2, 2), 1);
    (void)pending_as(&n, everything, id_of("0-0"), 1);
    check_events(1, 1);
    CHECK(got.has_more);
    (void)pending_as(&n, everything, got.last, 4);
    check_events(3, 6);
    CHECK(got.has_more);
    (void)pending_as(&n, everything, got.last, 5);
    check_events(7, 11);
    CHECK(!got.has_more);
    (void)pending_as(&n, everything, got.last, 5);
    check_none(false);
    (void)pending_as(&n, everything, HW_FEED_NOWHERE, 5);
    check_none(false);
    check_standing(&n, "1000-11", 1, 10, 0); /* nothing was taken */
    end(&w, &n);
}

CASE(a_place_acknowledges_what_is_before_it)
{
    struct world w;
    struct node n;

    begin(&w, &n);
    add_events(&w, 1, 20);
    (void)pull(&n, 10, LONG_MS);
    check_acknowledged(ack_to(&n, id_of("1000-4")), 4);
    check_acknowledged(ack_to(&n, id_of("1000-4")), 0);
    check_standing(&n, "1000-10", 10, 6, 0);
    /* Beyond the position: those that nobody saw count too. */
    check_acknowledged(ack_to(&n, id_of("1000-13")), 9);
    check_standing(&n, "1000-13", 7, 0, 0);
    (void)pull(&n, 2, LONG_MS);
    check_events(14, 15);
    check_acknowledged(ack_to(&n, id_of("1000-20")), 7);
    check_standing(&n, "1000-20", 0, 0, 0);
    CHECK_INT(ack_to(&n, id_of("1000-21")), ==, HW_CONSUMER_EXPIRED);
    check_id(got.oldest, "0-0");
    CHECK_INT(ack_to(&n, HW_FEED_NOWHERE), ==, HW_CONSUMER_EXPIRED);
    end(&w, &n);
}

CASE(a_place_far_away_is_reached_by_pieces)
{
    struct world w;
    struct node n;
    struct hw_stream_id far = id_of("1000-3500");

    begin(&w, &n);
    add_events(&w, 1, 4000);
    (void)pull(&n, 10, LONG_MS);
    check_acknowledged(ack_to(&n, far), 3500);
    check_standing(&n, "1000-3500", 500, 0, 0);
    CHECK_INT(dismiss(&n, "c"), ==, HW_CONSUMER_DONE);
    CHECK_INT(cli_int(&w, "KEYS " T "con*"), ==, 0);
    CHECK_INT(begin_at(&n, "c", "1000-1200"), ==, HW_CONSUMER_DONE);
    check_events(1201, 1201);
    check_standing(&n, "1000-1201", 2799, 1, 0);
    check_acknowledged(ack_to(&n, id_of("1000-4000")), 2800);
    check_standing(&n, "1000-4000", 0, 0, 0);
    end(&w, &n);
}

CASE(a_consumer_begins_where_its_first_pull_says)
{
    struct world w;
    struct node n;

    begin(&w, &n);
    CHECK_INT(begin_at(&n, "c", "1000-1"), ==, HW_CONSUMER_EXPIRED); /* of no feed */
    add_events(&w, 1, 10);
    CHECK_INT(begin_at(&n, "c", "1000-11"), ==, HW_CONSUMER_EXPIRED);
    CHECK_INT(cli_int(&w, "KEYS " T "con*"), ==, 0);
    CHECK_INT(begin_at(&n, "c", "1000-10"), ==, HW_CONSUMER_DONE);
    check_none(false);
    check_standing(&n, "1000-10", 0, 0, 0);
    /* Later on it says nothing. */
    CHECK_INT(begin_at(&n, "c", "1000-3"), ==, HW_CONSUMER_DONE);
    check_none(false);
    CHECK_INT(begin_at(&n, "c", "9000-3"), ==, HW_CONSUMER_DONE);
    CHECK_INT(begin_at(&n, "d", "1000-7"), ==, HW_CONSUMER_DONE);
    check_events(8, 8);
    CHECK_INT(begin_at(&n, "e", "0-0"), ==, HW_CONSUMER_DONE);
    check_events(1, 1);
    trim(&w, &n, 5);
    CHECK_INT(dismiss(&n, "e"), ==, HW_CONSUMER_DONE);
    CHECK_INT(begin_at(&n, "e", "1000-4"), ==, HW_CONSUMER_EXPIRED);
    check_id(got.oldest, "1000-5");
    CHECK_INT(begin_at(&n, "e", "1000-5"), ==, HW_CONSUMER_DONE);
    check_events(6, 6);
    end(&w, &n);
}

CASE(an_account_has_so_many_consumers)
{
    struct world w;
    struct node n;

    begin(&w, &n);
    for (int i = 1; i <= 3; i++) {
        char name[2] = { (char)('a' + i), '\0' };
        CHECK_INT(pull_as(&n, name, everything, 1, LONG_MS, NULL), ==, HW_CONSUMER_DONE);
    }
    CHECK_INT(pull_as(&n, "e", everything, 1, LONG_MS, NULL), ==, HW_CONSUMER_LIMIT);
    CHECK_INT(pull_as(&n, "d", everything, 1, LONG_MS, NULL), ==, HW_CONSUMER_DONE);
    CHECK_INT(dismiss(&n, "e"), ==, HW_CONSUMER_NOT_FOUND);
    CHECK_INT(dismiss(&n, "d"), ==, HW_CONSUMER_DONE);
    CHECK_INT(pull_as(&n, "e", everything, 1, LONG_MS, NULL), ==, HW_CONSUMER_DONE);
    end(&w, &n);
}

CASE(many_consumers_are_listed_by_name)
{
    struct world w;
    struct node n;

    begin(&w, &n);
    CHECK_INT(list(&n), ==, HW_CONSUMER_DONE);
    CHECK_UINT(got.n_consumers, ==, 0);
    add_events(&w, 1, 5);
    for (int i = 0; i < 67; i++) {
        (void)cli_int(&w, "SADD " T "cons:acct c%02d", i);
        (void)cli_int(&w,
                      "HSET " T "con:acct:c%02d pos 1000-%d passed %d skipped %d created "
                      "12%d low %s",
                      i, i % 5, i % 5, i, i, "");
    }
    CHECK_INT(list(&n), ==, HW_CONSUMER_DONE);
    CHECK_UINT(got.n_consumers, ==, 67);
    for (int i = 0; i < 67; i++) {
        char name[8];
        snprintf(name, sizeof name, "c%02d", i);
        CHECK_STR(got.consumers[i].name, name);
        CHECK_UINT(got.consumers[i].n_behind, ==, (uint64_t)(5 - i % 5));
        CHECK_UINT(got.consumers[i].n_skipped, ==, (uint64_t)i);
    }
    CHECK_INT(got.consumers[66].created_ms, ==, 1266);
    end(&w, &n);
}

/* Does one call of the script say that there are more? */
static long long has_more_after_one_call(struct world *w, struct node *n)
{
    static char script[16384];

    CHECK_INT(snprintf(script, sizeof script, "return (function()\n%s\nend)()[2]",
                       hw_script_consumers.text),
              <, (int)sizeof script);
    return cli_int(w, "EVAL %s 1 " T "inst " T " %s %s acct %s 20", script, n->store.instance,
                   n->store.epoch, "");
}

CASE(much_that_is_gone_is_counted_by_pieces)
{
    static const char *const names[] = { "a", "b", "c" };
    struct world w;
    struct node n;

    begin(&w, &n);
    add_events(&w, 1, 1000);
    for (int k = 0; k < 15; k++)
        (void)pull_as(&n, names[k % 3], everything, 200, LONG_MS, NULL);
    trim(&w, &n, 0);
    CHECK_INT(has_more_after_one_call(&w, &n), ==, 1);
    CHECK_INT(list(&n), ==, HW_CONSUMER_DONE);
    CHECK_UINT(got.n_consumers, ==, 3);
    for (int i = 0; i < 3; i++) {
        CHECK_STR(got.consumers[i].name, names[i]);
        CHECK_UINT(got.consumers[i].n_out, ==, 0);
        CHECK_UINT(got.consumers[i].n_skipped, ==, 1000);
    }
    CHECK_INT(has_more_after_one_call(&w, &n), ==, 0);
    end(&w, &n);
}

CASE(what_is_trimmed_unread_or_while_out_is_skipped)
{
    struct world w;
    struct node n;

    begin(&w, &n);
    add_events(&w, 1, 20);
    (void)pull(&n, 8, LONG_MS);
    check_acknowledged(ack(&n, 1, 3), 3);
    trim(&w, &n, 14); /* up to 6: 4 to 6 were out */
    check_standing(&n, "1000-8", 12, 2, 3);
    check_acknowledged(ack(&n, 4, 7), 1);
    trim(&w, &n, 10); /* up to 10: 8 was out, 9 and 10 unread */
    (void)pending(&n);
    check_none(false);
    check_acknowledged(ack(&n, 8, 8), 0);
    check_standing(&n, "1000-10", 10, 0, 6);
    CHECK_INT(cli_int(&w, "KEYS " T "out*"), ==, 0);
    (void)pull(&n, 5, SHORT_MS);
    check_events(11, 15);
    trim(&w, &n, 6); /* up to 14 */
    run_for(&w, SHORT_MS + 20);
    (void)pull(&n, 1, LONG_MS);
    check_events(15, 15);
    CHECK(got.has_more);
    check_standing(&n, "1000-15", 5, 1, 10);
    CHECK_INT(ack_to(&n, id_of("1000-13")), ==, HW_CONSUMER_EXPIRED);
    check_id(got.oldest, "1000-14");
    check_acknowledged(ack_to(&n, id_of("1000-14")), 0);
    trim(&w, &n, 0);
    CHECK_INT(ack_to(&n, id_of("1000-20")), ==, HW_CONSUMER_DONE);
    check_standing(&n, "1000-20", 0, 0, 16);
    end(&w, &n);
}

/* ---- at random ---- */

struct count {
    int n_added, n_kept;
    uint64_t n_acknowledged;
};

/* From 1 to max. */
static int dice(int max)
{
    return 1 + (int)check_random_below((uint64_t)max);
}

static void acknowledge_some(struct node *n, struct count *c)
{
    int first = dice(c->n_added), last = first + dice(40) - 1;
    char place[24];

    if (dice(3) > 1) {
        CHECK_INT(ack(n, first, last), ==, HW_CONSUMER_DONE);
    } else {
        snprintf(place, sizeof place, "1000-%d", first);
        CHECK_INT(ack_to(n, id_of(place)), ==,
                  first < c->n_added - c->n_kept ? HW_CONSUMER_EXPIRED : HW_CONSUMER_DONE);
    }
    c->n_acknowledged += got.n_acknowledged;
}

static void do_something(struct world *w, struct node *n, struct count *c)
{
    int n_new = dice(20);

    switch (dice(5)) {
    case 1:
        add_events(w, c->n_added + 1, c->n_added + n_new);
        c->n_added += n_new;
        c->n_kept += n_new;
        break;
    case 2:
    case 3:
        CHECK_INT(pull(n, (size_t)dice(30), dice(2) == 1 ? 1 : LONG_MS), ==, HW_CONSUMER_DONE);
        break;
    case 4:
        acknowledge_some(n, c);
        break;
    default:
        c->n_kept -= dice(c->n_kept + 1) / 4;
        trim(w, n, c->n_kept);
    }
}

CASE(every_event_is_counted_once)
{
    struct count c = { .n_added = 1, .n_kept = 1 };
    const struct hw_consumer_standing *s = &got.consumers[0];
    struct world w;
    struct node n;

    begin(&w, &n);
    add_events(&w, 1, 1);
    CHECK_INT(pull(&n, 1, LONG_MS), ==, HW_CONSUMER_DONE);
    for (int i = 0; i < 300; i++) {
        do_something(&w, &n, &c);
        CHECK_INT(list(&n), ==, HW_CONSUMER_DONE);
        CHECK_UINT(s->n_behind + s->n_out + s->n_skipped + c.n_acknowledged, ==,
                   (uint64_t)c.n_added);
        CHECK_UINT(s->n_behind, ==, (uint64_t)c.n_added - s->position.seq);
    }
    end(&w, &n);
}

CASE(what_may_not_be_seen_is_passed_over)
{
    static const char *const named[] = { "secret.a", "secret.b" };
    const struct hw_consumer_view but_them = { true, named, 2 },
                                  only_them = { false, named, 2 };
    struct world w;
    struct node n;

    begin(&w, &n);
    for (int i = 1; i <= 30; i++)
        add_typed(&w, i, i % 3 == 0 ? "a.b" : named[i % 3 - 1]);
    (void)pull_as(&n, "c", but_them, 4, LONG_MS, NULL);
    CHECK_INT(got.n_events, ==, 4);
    CHECK_INT(got.events[3], ==, 12);
    CHECK(got.has_more);
    (void)pull_as(&n, "c", only_them, 4, SHORT_MS, NULL);
    CHECK_INT(got.n_events, ==, 4);
    CHECK_INT(got.events[0], ==, 13);
    CHECK_INT(got.events[3], ==, 17);
    (void)pending_as(&n, but_them, id_of("0-0"), 200);
    CHECK_INT(got.n_events, ==, 4);
    (void)pending_as(&n, only_them, id_of("0-0"), 3);
    CHECK_INT(got.n_events, ==, 3);
    CHECK(got.has_more);
    (void)pending(&n);
    CHECK_INT(got.n_events, ==, 8);
    /* What another may see comes again to another only. */
    run_for(&w, SHORT_MS + 20);
    (void)pull_as(&n, "c", but_them, 1, LONG_MS, NULL);
    check_events(18, 18);
    (void)pull_as(&n, "c", only_them, 4, LONG_MS, NULL);
    CHECK_INT(got.n_events, ==, 4);
    CHECK_INT(got.events[0], ==, 13);
    end(&w, &n);
}

CASE(a_pull_looks_at_so_much_and_no_more)
{
    static const char *const named[] = { "a.b" };
    struct world w;
    struct node n;

    begin(&w, &n);
    add_events(&w, 1, 1500);
    add_typed(&w, 1501, "a.c");
    (void)pull_as(&n, "c", (struct hw_consumer_view){ true, named, 1 }, 1, LONG_MS, NULL);
    check_none(true);
    check_standing(&n, "1000-1000", 501, 0, 0);
    (void)pull_as(&n, "c", (struct hw_consumer_view){ true, named, 1 }, 1, LONG_MS, NULL);
    check_events(1501, 1501);
    end(&w, &n);
}

CASE(a_page_is_bounded_in_bytes)
{
    enum { PAGE = 2 * 1024 * 1024, LARGE = 300 * 1024 };
    struct world w;
    struct node n;
    int next = 1, pulls = 0;

    begin(&w, &n);
    add_large(&w, 1, PAGE + 100000);
    for (int i = 2; i <= 21; i++)
        add_large(&w, i, LARGE);
    (void)pull(&n, 200, SHORT_MS);
    check_events(1, 1);
    CHECK(got.has_more);
    for (next = 2; next <= 21; pulls++) {
        (void)pull_as(&n, "c", everything, 200, LONG_MS, NULL);
        if (got.n_events == 1 && got.events[0] == 1) /* it comes again, alone too */
            continue;
        CHECK_UINT(got.n_bytes, <=, PAGE);
        check_events(next, next + (int)got.n_events - 1);
        next += (int)got.n_events;
    }
    CHECK_INT(pulls, <=, 6);
    (void)pending_as(&n, everything, id_of("1000-1"), 200);
    CHECK_UINT(got.n_bytes, <=, PAGE);
    CHECK(got.n_events >= 5 && got.has_more);
    end(&w, &n);
}

/* Sent again a day later, an id is in the feed twice. */
CASE(an_id_that_is_there_twice_is_acknowledged_twice)
{
    struct world w;
    struct node n;

    begin(&w, &n);
    for (int i = 1; i <= 4; i++)
        (void)cli_text(&w, "XADD " T "led:acct 1000-%d r {\"id\":\"e%d\",\"type\":\"a\"} d %s",
                       i, i < 4 ? 1 : 2, "");
    (void)pull(&n, 1, LONG_MS);
    (void)pull(&n, 200, LONG_MS);
    CHECK_INT(got.n_events, ==, 3);
    check_acknowledged(ack_to(&n, id_of("1000-1")), 1);
    check_acknowledged(ack(&n, 1, 1), 2);
    (void)pending(&n);
    check_events(2, 2);
    check_acknowledged(ack(&n, 1, 2), 1);
    CHECK_INT(cli_int(&w, "KEYS " T "out*"), ==, 0);
    end(&w, &n);
}

CASE(a_full_redis_takes_acknowledgements_and_gives_nothing)
{
    struct world w;
    struct node n;

    begin(&w, &n);
    add_events(&w, 1, 20);
    (void)pull(&n, 10, LONG_MS);
    trim(&w, &n, 18);
    cli_text(&w, "CONFIG SET maxmemory 1");
    CHECK_INT(pull(&n, 10, LONG_MS), ==, HW_CONSUMER_UNAVAILABLE);
    CHECK_INT(pull_as(&n, "d", everything, 10, LONG_MS, NULL), ==, HW_CONSUMER_UNAVAILABLE);
    check_acknowledged(ack(&n, 1, 4), 2);
    check_acknowledged(ack_to(&n, id_of("1000-6")), 2);
    check_acknowledged(ack_to(&n, id_of("1000-12")), 6);
    (void)pending(&n);
    check_none(false);
    check_standing(&n, "1000-12", 8, 0, 2);
    CHECK_INT(dismiss(&n, "c"), ==, HW_CONSUMER_DONE);
    cli_text(&w, "CONFIG SET maxmemory 0");
    (void)pull(&n, 1, LONG_MS);
    check_events(3, 3);
    end(&w, &n);
}

CASE(one_that_was_taken_over_consumes_nothing)
{
    struct world w;
    struct node n;

    begin(&w, &n);
    add_events(&w, 1, 3);
    (void)pull(&n, 1, LONG_MS);
    snprintf(n.store.epoch, sizeof n.store.epoch, "0"); /* as of a connection that is gone */
    CHECK_INT(pull(&n, 1, LONG_MS), ==, HW_CONSUMER_UNAVAILABLE);
    CHECK_INT(ack(&n, 1, 1), ==, HW_CONSUMER_UNAVAILABLE);
    CHECK_INT(ack_to(&n, id_of("1000-2")), ==, HW_CONSUMER_UNAVAILABLE);
    CHECK_INT(pending(&n), ==, HW_CONSUMER_UNAVAILABLE);
    CHECK_INT(list(&n), ==, HW_CONSUMER_UNAVAILABLE);
    CHECK_INT(dismiss(&n, "c"), ==, HW_CONSUMER_UNAVAILABLE);
    CHECK_INT(cli_int(&w, "ZCARD " T "out:acct:c"), ==, 1);
    end(&w, &n);
}

CASE(a_redis_that_is_gone_is_told_at_once)
{
    struct world w;
    struct node n;

    begin(&w, &n);
    redis_server_kill(&w.server, SIGKILL);
    RUN_UNTIL(&w, n.n_down > 0);
    begin_ask();
    CHECK_INT(hw_consumer_list(&n.store, &ask, "acct", on_done), ==, HW_ECONN);
    CHECK(!got.is_done);
    hw_consumer_ask_close(&ask);
    end(&w, &n);
}
