/* enqueue: events of the API into the ingress stream, on a real redis-server. */
#include <jansson.h>

#include "store/enqueue.h"
#include "support/node.h"

#define T "hw:{s0}:"

struct asking {
    struct hw_enqueue enqueue;
    bool is_done, is_kept;
    enum hw_redis_trouble trouble;
    char *reply; /* with a NUL behind it */
};

static void on_asked(struct hw_enqueue *e, enum hw_redis_trouble trouble, bool is_kept,
                     struct hw_slice reply)
{
    struct asking *a = HW_CONTAINER_OF(e, struct asking, enqueue);

    CHECK(!a->is_done);
    a->is_done = true;
    a->trouble = trouble;
    a->is_kept = is_kept;
    a->reply = hw_strndup(reply.data ? reply.data : "", reply.len);
    CHECK_NOT_NULL(a->reply);
}

static void asking_begin(struct asking *a)
{
    *a = (struct asking){ .is_done = false };
    hw_enqueue_init(&a->enqueue);
}

static void asking_wait(struct node *n, struct asking *a)
{
    CHECK(!a->is_done);
    RUN_UNTIL(n->world, a->is_done);
}

static void asking_end(struct asking *a)
{
    hw_enqueue_close(&a->enqueue);
    hw_free(a->reply);
}

static void enqueue_once(struct node *n, struct asking *a,
                         const struct hw_enqueue_event *events, size_t n_events,
                         const char *key, const char *prefix)
{
    asking_begin(a);
    CHECK_INT(hw_enqueue_events(&n->store, &a->enqueue, events, n_events, hw_slice_str(key),
                                hw_slice_str(prefix), on_asked),
              ==, HW_OK);
    asking_wait(n, a);
}

static void enqueue(struct node *n, struct asking *a, const struct hw_enqueue_event *events,
                    size_t n_events)
{
    enqueue_once(n, a, events, n_events, "", "");
}

static void recall(struct node *n, struct asking *a, const char *key)
{
    asking_begin(a);
    CHECK_INT(hw_enqueue_recall(&n->store, &a->enqueue, hw_slice_str(key), on_asked), ==,
              HW_OK);
    asking_wait(n, a);
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

static redisReply *all_entries(struct world *w)
{
    redisReply *reply = redisCommand(w->cli, "XRANGE hw:events - +");

    CHECK(reply != NULL && reply->type == REDIS_REPLY_ARRAY);
    return reply;
}

/* "name=value " of each field, in their order. */
static const char *fields_text(const redisReply *entry)
{
    static char text[4096];
    const redisReply *fields = entry->element[1];
    int used = 0;

    text[0] = '\0';
    for (size_t i = 0; i + 1 < fields->elements; i += 2)
        used += snprintf(text + used, sizeof text - (size_t)used, "%s=%s ",
                         fields->element[i]->str, fields->element[i + 1]->str);
    return text;
}

/* The text of the answer that those ids make. */
static void check_answer(const char *answer, const char *const *ids, size_t n_ids)
{
    json_t *value = json_loads(answer, 0, NULL), *data = json_object_get(value, "data");
    struct hw_buf text;

    CHECK_INT(json_array_size(data), ==, n_ids);
    hw_buf_init(&text, 1024 * 1024);
    hw_buf_append_str(&text, "{\"data\":[");
    for (size_t i = 0; i < n_ids; i++)
        hw_buf_appendf(&text, "%s{\"id\":\"%s\"}", i ? "," : "", ids[i]);
    hw_buf_append_str(&text, "]}\n");
    CHECK_STR(hw_buf_str(&text), answer);
    hw_buf_close(&text);
    json_decref(value);
}

static const struct hw_enqueue_event plain = { .type = { "order.created", 13 },
                                               .payload = { "{\"a\":1.0}", 9 } };

CASE(each_event_is_an_entry_with_the_fields_given)
{
    struct world w;
    struct node n;
    struct asking a;
    struct hw_enqueue_event events[3] = { plain, plain, plain };
    struct hw_stream_id entry;
    char first[HW_ID_MAX], third[HW_ID_MAX];

    begin(&w, &n);
    events[1] = (struct hw_enqueue_event){ .account = HW_SLICE("acct"),
                                           .type = HW_SLICE("a.b"),
                                           .payload = HW_SLICE("\"\\u0000 \xc3\xa9\""),
                                           .subject = HW_SLICE("a \"subject\""),
                                           .id = HW_SLICE("own_Id-1"),
                                           .level = HW_SLICE("progress"),
                                           .timestamp = HW_SLICE("2026-03-09T12:00:00Z"),
                                           .traceparent = HW_SLICE("00-1-2-01") };
    enqueue(&n, &a, events, 3);
    CHECK_INT(a.trouble, ==, HW_REDIS_FINE);
    CHECK(!a.is_kept);
    redisReply *all = all_entries(&w);
    CHECK_INT(all->elements, ==, 3);
    CHECK_STR(fields_text(all->element[0]), "type=order.created payload={\"a\":1.0} ");
    CHECK_STR(fields_text(all->element[1]),
              "type=a.b payload=\"\\u0000 \xc3\xa9\" account=acct subject=a \"subject\" "
              "id=own_Id-1 level=progress timestamp=2026-03-09T12:00:00Z "
              "traceparent=00-1-2-01 ");
    CHECK(hw_stream_id_parse(&entry, hw_slice_str(all->element[0]->element[0]->str)));
    hw_id_event(entry, first);
    CHECK(hw_stream_id_parse(&entry, hw_slice_str(all->element[2]->element[0]->str)));
    hw_id_event(entry, third);
    check_answer(a.reply, (const char *const[]){ first, "own_Id-1", third }, 3);
    CHECK_INT(cli_int(&w, "KEYS " T "once:*"), ==, 0);
    freeReplyObject(all);
    asking_end(&a);
    end(&w, &n);
}

/* An id of a random width, above `least`. */
static uint64_t random_above(uint64_t least)
{
    uint64_t value = check_random() >> check_random_below(64);

    return value > least ? value : least + value % 1000;
}

/* The entry before decides where the next one goes: behind it. */
static void check_id_behind(struct node *n, struct hw_stream_id before)
{
    struct hw_enqueue_event events[2] = { plain, plain };
    char first[HW_ID_MAX], second[HW_ID_MAX], text[48];
    struct asking a;

    (void)cli_int(n->world, "DEL hw:events");
    hw_stream_id_text(before, text);
    (void)cli_text(n->world, "XADD hw:events %s x y", text);
    enqueue(n, &a, events, 2);
    CHECK_INT(a.trouble, ==, HW_REDIS_FINE);
    hw_id_event((struct hw_stream_id){ before.ms, before.seq + 1 }, first);
    hw_id_event((struct hw_stream_id){ before.ms, before.seq + 2 }, second);
    check_answer(a.reply, (const char *const[]){ first, second }, 2);
    asking_end(&a);
}

CASE(ids_are_those_of_acceptance)
{
    static const uint64_t edges[] = { 0,
                                      9999999997,
                                      9999999999,
                                      10000000000,
                                      (UINT64_C(1) << 53) - 1,
                                      UINT64_C(1) << 53,
                                      (UINT64_C(1) << 63) - 2,
                                      UINT64_C(9999999999999999999),
                                      UINT64_C(10000000000000000000),
                                      UINT64_MAX - 2 };
    enum { N = sizeof edges / sizeof *edges };
    uint64_t later = UINT64_C(1) << 45; /* than now, so that Redis keeps to it */
    struct world w;
    struct node n;

    begin(&w, &n);
    for (int i = 0; i < N; i++)
        for (int k = 0; k < N; k++)
            if (edges[i] >= later)
                check_id_behind(&n, (struct hw_stream_id){ edges[i], edges[k] });
    for (int i = 0; i < 300; i++) {
        uint64_t seq = random_above(0);
        check_id_behind(
            &n, (struct hw_stream_id){ random_above(later), seq > UINT64_MAX - 2 ? 0 : seq });
    }
    end(&w, &n);
}

CASE(nothing_is_enqueued_where_ids_run_out)
{
    struct world w;
    struct node n;
    struct asking a;
    struct hw_enqueue_event events[5] = { plain, plain, plain, plain, plain };

    begin(&w, &n);
    (void)cli_text(&w, "XADD hw:events 18446744073709551615-18446744073709551612 x y");
    enqueue_once(&n, &a, events, 5, "default:events:k", "prefix");
    CHECK_INT(a.trouble, !=, HW_REDIS_FINE);
    CHECK_STR(a.reply, "");
    CHECK_INT(cli_int(&w, "XLEN hw:events"), ==, 1);
    CHECK_INT(cli_int(&w, "KEYS " T "once:*"), ==, 0);
    asking_end(&a);
    end(&w, &n);
}

CASE(an_answer_is_kept_with_what_it_answers)
{
    struct world w;
    struct node n;
    struct asking first, again, other;
    struct hw_enqueue_event events[2] = { plain, plain };
    long long ttl_ms;

    begin(&w, &n);
    recall(&n, &first, "acct:events:key");
    CHECK_INT(first.trouble, ==, HW_REDIS_FINE);
    CHECK(!first.is_kept);
    asking_end(&first);

    enqueue_once(&n, &first, events, 2, "acct:events:key", "0123:202");
    CHECK(!first.is_kept);
    ttl_ms = cli_int(&w, "PTTL " T "once:acct:events:key");
    CHECK_INT(ttl_ms, >, 86400000 - 20000);
    CHECK_INT(ttl_ms, <=, 86400000);

    /* Whatever comes with the key then, nothing is enqueued. */
    enqueue_once(&n, &again, events, 1, "acct:events:key", "4567:202");
    CHECK(again.is_kept);
    CHECK_INT(strncmp(again.reply, "0123:202", 8), ==, 0);
    CHECK_STR(again.reply + 8, first.reply);
    CHECK_INT(cli_int(&w, "XLEN hw:events"), ==, 2);
    asking_end(&again);
    recall(&n, &again, "acct:events:key");
    CHECK(again.is_kept);
    CHECK_STR(again.reply + 8, first.reply);
    asking_end(&again);
    asking_end(&first);

    enqueue_once(&n, &other, events, 1, "other:events:key", "0123:202");
    CHECK(!other.is_kept);
    CHECK_INT(cli_int(&w, "XLEN hw:events"), ==, 3);
    asking_end(&other);
    end(&w, &n);
}

CASE(two_with_one_key_at_once_enqueue_once)
{
    struct world w;
    struct node a, b;
    struct asking first, second;

    begin(&w, &a);
    node_begin(&b, &w);
    asking_begin(&first);
    asking_begin(&second);
    CHECK_INT(hw_enqueue_events(&a.store, &first.enqueue, &plain, 1, HW_SLICE("k"),
                                HW_SLICE("p"), on_asked),
              ==, HW_OK);
    CHECK_INT(hw_enqueue_events(&b.store, &second.enqueue, &plain, 1, HW_SLICE("k"),
                                HW_SLICE("p"), on_asked),
              ==, HW_OK);
    RUN_UNTIL(&w, first.is_done && second.is_done);
    CHECK_INT(first.is_kept + second.is_kept, ==, 1);
    CHECK_STR(first.reply + first.is_kept, second.reply + second.is_kept);
    CHECK_INT(cli_int(&w, "XLEN hw:events"), ==, 1);
    asking_end(&first);
    asking_end(&second);
    node_end(&b);
    end(&w, &a);
}

CASE(a_fenced_instance_enqueues_nothing)
{
    struct world w;
    struct node n;
    struct asking a;

    begin(&w, &n);
    (void)cli_int(&w, "HDEL " T "inst %s", n.store.instance);
    enqueue_once(&n, &a, &plain, 1, "k", "p");
    CHECK_INT(a.trouble, ==, HW_REDIS_FENCED);
    CHECK_INT(cli_int(&w, "XLEN hw:events"), ==, 0);
    CHECK_INT(cli_int(&w, "KEYS " T "once:*"), ==, 0);
    asking_end(&a);
    end(&w, &n);
}

CASE(a_full_redis_enqueues_nothing)
{
    struct world w;
    struct node n;
    struct asking a;
    struct hw_enqueue_event events[3] = { plain, plain, plain };

    begin(&w, &n);
    cli_text(&w, "CONFIG SET maxmemory 1");
    enqueue_once(&n, &a, events, 3, "k", "p");
    CHECK_INT(a.trouble, ==, HW_REDIS_FULL);
    cli_text(&w, "CONFIG SET maxmemory 0");
    CHECK_INT(cli_int(&w, "XLEN hw:events"), ==, 0);
    asking_end(&a);
    enqueue_once(&n, &a, events, 3, "k", "p");
    CHECK_INT(a.trouble, ==, HW_REDIS_FINE);
    CHECK(!a.is_kept);
    asking_end(&a);
    end(&w, &n);
}

/* The most that one request may bring: 8 MiB in 1,000 events; and the reader gets all of it. */
CASE(a_thousand_events_of_eight_mebibytes)
{
    enum { N = 1000, BYTES = 8380 };
    static struct hw_enqueue_event events[N];
    static char payload[BYTES];
    struct world w;
    struct node n;
    struct asking a;

    begin(&w, &n);
    memset(payload, 'x', sizeof payload);
    payload[0] = payload[sizeof payload - 1] = '"';
    for (int i = 0; i < N; i++) {
        events[i] = plain;
        events[i].payload = hw_slice(payload, sizeof payload);
    }
    enqueue(&n, &a, events, N);
    CHECK_INT(a.trouble, ==, HW_REDIS_FINE);
    CHECK_INT(cli_int(&w, "XLEN hw:events"), ==, N);
    json_t *answer = json_loads(a.reply, 0, NULL);
    CHECK_INT(json_array_size(json_object_get(answer, "data")), ==, N);
    json_decref(answer);
    node_open_ingest(&n);
    RUN_UNTIL(&w, n.n_entries == N);
    asking_end(&a);
    end(&w, &n);
}

CASE(without_redis_it_is_refused_or_gone)
{
    struct world w;
    struct node n;
    struct asking a;
    int downs;

    begin(&w, &n);
    asking_begin(&a);
    CHECK_INT(hw_enqueue_events(&n.store, &a.enqueue, &plain, 1, HW_SLICE(""), HW_SLICE(""),
                                on_asked),
              ==, HW_OK);
    downs = n.n_down;
    redis_server_kill(&w.server, SIGKILL);
    asking_wait(&n, &a);
    CHECK_INT(a.trouble, ==, HW_REDIS_GONE);
    RUN_UNTIL(&w, n.n_down > downs);
    asking_end(&a);
    asking_begin(&a);
    CHECK_INT(hw_enqueue_events(&n.store, &a.enqueue, &plain, 1, HW_SLICE(""), HW_SLICE(""),
                                on_asked),
              ==, HW_ECONN);
    CHECK_INT(hw_enqueue_recall(&n.store, &a.enqueue, HW_SLICE("k"), on_asked), ==, HW_ECONN);
    CHECK(!a.is_done);
    asking_end(&a);
    node_end(&n);
    redis_server_start(&w.server, NULL);
    world_end(&w);
}
