/* reply: every kind, whole and byte by byte, limits, and an arena that stops growing. */
#include "check.h"

#include "hookwheel/alloc.h"
#include "redis/reply.h"

static const char every_kind[] =
    "*7\r\n:-42\r\n$5\r\nhe\r\nl\r\n$-1\r\n*-1\r\n+OK\r\n-ERR no\r\n"
    "*2\r\n*0\r\n*3\r\n:1\r\n$0\r\n\r\n$3\r\n-17\r\n";

static void check_every_kind(const struct hw_reply *reply)
{
    const struct hw_reply *inner;

    CHECK_INT(reply->kind, ==, HW_REPLY_ARRAY);
    CHECK_INT(reply->n_items, ==, 7);
    CHECK_PTR(hw_reply_item(reply, 3), ==, &reply->items[3]);
    CHECK_INT(reply->items[0].kind, ==, HW_REPLY_INTEGER);
    CHECK_INT(reply->items[0].integer, ==, -42);
    CHECK_INT(reply->items[1].kind, ==, HW_REPLY_TEXT);
    CHECK_SLICE(reply->items[1].text, "he\r\nl");
    CHECK_INT(reply->items[2].kind, ==, HW_REPLY_NIL);
    CHECK_INT(reply->items[3].kind, ==, HW_REPLY_NIL);
    CHECK_INT(reply->items[4].kind, ==, HW_REPLY_STATUS);
    CHECK_SLICE(reply->items[4].text, "OK");
    CHECK_INT(reply->items[5].kind, ==, HW_REPLY_ERROR);
    CHECK_SLICE(reply->items[5].text, "ERR no");
    CHECK_INT(hw_reply_item(reply, 6)->n_items, ==, 2);
    CHECK_INT(hw_reply_item(hw_reply_item(reply, 6), 0)->n_items, ==, 0);
    inner = hw_reply_item(hw_reply_item(reply, 6), 1);
    CHECK_INT(inner->n_items, ==, 3);
    CHECK_INT(hw_reply_int(hw_reply_item(inner, 0), 9), ==, 1);
    CHECK_INT(hw_reply_int(hw_reply_item(inner, 1), 9), ==, 9);
    CHECK_INT(hw_reply_int(hw_reply_item(inner, 2), 9), ==, -17);
    CHECK_INT(hw_reply_item(inner, 3)->kind, ==, HW_REPLY_NIL);
    CHECK_INT(hw_reply_item(hw_reply_item(inner, 0), 0)->kind, ==, HW_REPLY_NIL);
}

static struct hw_reply_reader *reader_open(void)
{
    struct hw_reply_reader *r = NULL;

    CHECK_INT(hw_reply_reader_open(&r), ==, HW_OK);
    return r;
}

static const struct hw_reply *reader_next(struct hw_reply_reader *r)
{
    const struct hw_reply *reply;
    struct hw_cause cause;

    CHECK_INT(hw_reply_reader_next(r, &reply, &cause), ==, HW_OK);
    return reply;
}

static void reader_feed(struct hw_reply_reader *r, const void *bytes, size_t len)
{
    CHECK_INT(hw_reply_reader_feed(r, hw_slice(bytes, len)), ==, HW_OK);
}

CASE(whole)
{
    struct hw_reply_reader *r = reader_open();

    CHECK_NULL(reader_next(r));
    reader_feed(r, every_kind, sizeof every_kind - 1);
    reader_feed(r, ":7\r\n", 4);
    check_every_kind(reader_next(r));
    CHECK_INT(reader_next(r)->integer, ==, 7);
    CHECK_NULL(reader_next(r));
    hw_reply_reader_close(r);
}

CASE(byte_by_byte)
{
    struct hw_reply_reader *r = reader_open();
    const struct hw_reply *reply = NULL;

    for (size_t i = 0; i < sizeof every_kind - 1; i++) {
        CHECK_NULL(reply);
        reader_feed(r, every_kind + i, 1);
        reply = reader_next(r);
    }
    CHECK_NOT_NULL(reply);
    check_every_kind(reply);
    hw_reply_reader_close(r);
}

CASE(numbers)
{
    struct hw_reply reply = { .kind = HW_REPLY_TEXT };

    reply.text = HW_SLICE("9223372036854775807");
    CHECK_INT(hw_reply_int(&reply, 0), ==, INT64_MAX);
    reply.text = HW_SLICE("9223372036854775808");
    CHECK_INT(hw_reply_int(&reply, 5), ==, 5);
    reply.text = HW_SLICE("-");
    CHECK_INT(hw_reply_int(&reply, 5), ==, 5);
    reply.text = HW_SLICE("12a");
    CHECK_INT(hw_reply_int(&reply, 5), ==, 5);
    reply.kind = HW_REPLY_STATUS;
    reply.text = HW_SLICE("12");
    CHECK_INT(hw_reply_int(&reply, 5), ==, 5);
}

static void check_refused(const char *bytes)
{
    struct hw_reply_reader *r = reader_open();
    const struct hw_reply *reply;
    struct hw_cause cause;

    reader_feed(r, bytes, strlen(bytes));
    CHECK_INT(hw_reply_reader_next(r, &reply, &cause), ==, HW_EPROTO);
    CHECK_NULL(reply);
    CHECK_CONTAINS(cause.note, "reply of Redis");
    CHECK_INT(hw_reply_reader_feed(r, HW_SLICE("+OK\r\n")), ==, HW_EPROTO);
    hw_reply_reader_close(r);
}

CASE(bad_bytes_end_it)
{
    check_refused("HTTP/1.1 400 Bad Request\r\n");
    check_refused("*2\r\n:1\r\n?\r\n");
    check_refused("*99999999999\r\n");
}

CASE(an_array_over_the_limit_is_refused_before_it_is_there)
{
    check_refused("*2\r\n*1\r\n:1\r\n*2000000000\r\n");
}

/* --- memory --- */

static size_t n_allocations;
static int fail_at; /* the allocation that fails; 0: none */

static void *counting_malloc(void *data, size_t n)
{
    (void)data;
    n_allocations++;
    return fail_at > 0 && --fail_at == 0 ? NULL : malloc(n);
}

static void *counting_realloc(void *data, void *p, size_t n)
{
    (void)data;
    n_allocations++;
    return realloc(p, n);
}

static void counting_free(void *data, void *p)
{
    (void)data;
    free(p);
}

static const struct hw_alloc counting = { counting_malloc, counting_realloc, counting_free,
                                          NULL };

static void feed_entries(struct hw_reply_reader *r, unsigned n)
{
    static char payload[1500];
    char head[64];

    reader_feed(r, head, (size_t)snprintf(head, sizeof head, "*%u\r\n", n));
    for (unsigned i = 0; i < n; i++) {
        reader_feed(r, head, (size_t)snprintf(head, sizeof head, "*2\r\n:%u\r\n$1500\r\n", i));
        reader_feed(r, payload, sizeof payload);
        reader_feed(r, "\r\n", 2);
    }
}

CASE(a_warm_arena_allocates_nothing)
{
    struct hw_reply_reader *r;

    hw_alloc_use(&counting);
    r = reader_open();
    for (int round = 0; round < 20; round++) {
        const struct hw_reply *reply;

        if (round == 3)
            n_allocations = 0;
        feed_entries(r, 200);
        reply = reader_next(r);
        CHECK_INT(reply->n_items, ==, 200);
        for (size_t i = 0; i < 200; i++)
            CHECK_INT(hw_reply_int(hw_reply_item(&reply->items[i], 0), -1), ==, i);
    }
    CHECK_INT(n_allocations, ==, 0);
    hw_reply_reader_close(r);
    hw_alloc_use(NULL);
}

CASE(memory_of_a_huge_reply_is_given_back)
{
    struct hw_reply_reader *r;

    hw_alloc_use(&counting);
    r = reader_open();
    feed_entries(r, 8000);
    CHECK_INT(reader_next(r)->n_items, ==, 8000);
    n_allocations = 0;
    feed_entries(r, 1);
    CHECK_INT(reader_next(r)->n_items, ==, 1);
    CHECK_INT(n_allocations, ==, 1);
    hw_reply_reader_close(r);
    hw_alloc_use(NULL);
}

CASE(every_failing_allocation_is_told)
{
    hw_alloc_use(&counting);
    for (int n = 1; n < 50; n++) {
        struct hw_reply_reader *r = NULL;
        const struct hw_reply *reply;
        struct hw_cause cause;
        bool is_done;

        fail_at = n;
        if (hw_reply_reader_open(&r) != HW_OK)
            continue;
        feed_entries(r, 60);
        is_done = hw_reply_reader_next(r, &reply, &cause) == HW_OK;
        if (!is_done)
            CHECK_INT(cause.status, ==, HW_ENOMEM);
        hw_reply_reader_close(r);
        if (is_done)
            break;
        CHECK_INT(n, <, 49);
    }
    fail_at = 0;
    hw_alloc_use(NULL);
}

/* Random trees, printed as RESP, read in random pieces, compared with what was printed. */

static unsigned print_random(struct hw_buf *out, int depth)
{
    unsigned sum = 0;

    switch (check_random_below(depth > 0 ? 6 : 5)) {
    case 0:
        sum = (unsigned)check_random_below(1000);
        hw_buf_appendf(out, ":%u\r\n", sum);
        return sum;
    case 1:
        hw_buf_append_str(out, "$-1\r\n");
        return 1;
    case 2:
        hw_buf_append_str(out, "+fine\r\n");
        return 2;
    case 3:
        hw_buf_append_str(out, "-ERR bad\r\n");
        return 3;
    case 4: {
        unsigned len = (unsigned)check_random_below(3000);
        hw_buf_appendf(out, "$%u\r\n%*s\r\n", len, (int)len, "");
        return len;
    }
    default: {
        unsigned n = (unsigned)check_random_below(8);
        hw_buf_appendf(out, "*%u\r\n", n);
        for (unsigned i = 0; i < n; i++)
            sum = sum * 31 + print_random(out, depth - 1);
        return sum;
    }
    }
}

static unsigned sum_of(const struct hw_reply *reply)
{
    unsigned sum = 0;

    switch (reply->kind) {
    case HW_REPLY_INTEGER:
        return (unsigned)reply->integer;
    case HW_REPLY_NIL:
        return 1;
    case HW_REPLY_STATUS:
        return 2;
    case HW_REPLY_ERROR:
        return 3;
    case HW_REPLY_TEXT:
        return (unsigned)reply->text.len;
    case HW_REPLY_ARRAY:
        for (size_t i = 0; i < reply->n_items; i++)
            sum = sum * 31 + sum_of(hw_reply_item(reply, i));
        return sum;
    }
    return 0;
}

CASE(random_trees_in_random_pieces)
{
    struct hw_reply_reader *r = reader_open();

    for (int round = 0; round < 300; round++) {
        const struct hw_reply *reply = NULL;
        struct hw_buf bytes;
        unsigned sum;

        hw_buf_init(&bytes, 64 << 20);
        sum = print_random(&bytes, 5);
        while (hw_buf_len(&bytes) > 0) {
            struct hw_slice piece = hw_buf_slice(&bytes);

            CHECK_NULL(reply);
            piece.len = 1 + check_random_below(piece.len < 900 ? piece.len : 900);
            reader_feed(r, piece.data, piece.len);
            hw_buf_consume(&bytes, piece.len);
            reply = reader_next(r);
        }
        CHECK_NOT_NULL(reply);
        CHECK_UINT(sum_of(reply), ==, sum);
        hw_buf_close(&bytes);
    }
    hw_reply_reader_close(r);
}
