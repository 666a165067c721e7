#include "check.h"
#include "rules/record.h"

#define HEAD                                                                                  \
    "{\"id\":\"evt_1\",\"type\":\"order.created\",\"timestamp\":\"2026-03-09T12:00:00."       \
    "000Z\",\"account\":\"acct_1\""
#define PLAIN HEAD ",\"level\":\"user\",\"data\":"

static struct hw_entry entry_with(struct hw_slice payload)
{
    return (struct hw_entry){
        .id = HW_SLICE("evt_1"),
        .type = HW_SLICE("order.created"),
        .account = HW_SLICE("acct_1"),
        .timestamp_ms = INT64_C(1773057600000),
        .payload = payload,
    };
}

static void write_payload(struct hw_buf *out, struct hw_slice payload)
{
    struct hw_entry e = entry_with(payload);

    hw_buf_reset(out);
    CHECK_INT(hw_record_write(out, &e), ==, HW_OK);
}

CASE(writes_the_record)
{
    struct hw_entry e = entry_with(HW_SLICE("{\"order_id\":\"o_1\"}"));
    struct hw_buf b;

    hw_buf_init(&b, 4096);
    CHECK_INT(hw_record_write(&b, &e), ==, HW_OK);
    CHECK_SLICE(hw_buf_slice(&b), PLAIN "{\"order_id\":\"o_1\"}}");
    hw_buf_reset(&b);
    e.subject = HW_SLICE("a \"quoted\" \\ thing");
    e.level = HW_LEVEL_PROGRESS;
    CHECK_INT(hw_record_write(&b, &e), ==, HW_OK);
    CHECK_SLICE(hw_buf_slice(&b),
                HEAD ",\"subject\":\"a \\\"quoted\\\" \\\\ thing\",\"level\":\"progress\","
                     "\"data\":{\"order_id\":\"o_1\"}}");
    hw_buf_close(&b);
    hw_buf_init(&b, 20);
    CHECK_INT(hw_record_write(&b, &e), ==, HW_ETOOBIG);
    hw_buf_close(&b);
}

CASE(line_ends_become_spaces)
{
    struct hw_buf b;

    hw_buf_init(&b, 4096);
    write_payload(&b, HW_SLICE("\r\n{\r\n\t\"a\\n\\r\" :\n 1\r}\n"));
    CHECK_SLICE(hw_buf_slice(&b), PLAIN "  {  \t\"a\\n\\r\" :  1 } }");
    write_payload(&b, HW_SLICE("\n"));
    CHECK_SLICE(hw_buf_slice(&b), PLAIN " }");
    hw_buf_close(&b);
}

CASE(reads_what_was_written)
{
    struct hw_entry e = entry_with(HW_SLICE("[1,2]"));
    struct hw_record r;
    struct hw_buf b, subject;

    hw_buf_init(&b, 4096);
    hw_buf_init(&subject, 4096);
    e.subject = HW_SLICE(" a\"\\\\\"b ");
    e.level = HW_LEVEL_PROGRESS;
    CHECK_INT(hw_record_write(&b, &e), ==, HW_OK);
    CHECK(hw_record_read(&r, hw_buf_slice(&b)));
    CHECK_SLICE_EQ(r.bytes, hw_buf_slice(&b));
    CHECK_SLICE(r.id, "evt_1");
    CHECK_SLICE(r.type, "order.created");
    CHECK_SLICE(r.timestamp, "2026-03-09T12:00:00.000Z");
    CHECK_SLICE(r.account, "acct_1");
    CHECK(r.has_subject);
    CHECK_SLICE(r.subject, " a\\\"\\\\\\\\\\\"b ");
    CHECK_INT(r.level, ==, HW_LEVEL_PROGRESS);
    CHECK_SLICE(r.data, "[1,2]");
    CHECK_INT(r.raw_to, ==, 0);
    CHECK_INT(hw_record_subject(&r, &subject), ==, HW_OK);
    CHECK_SLICE_EQ(hw_buf_slice(&subject), e.subject);

    e.subject = hw_slice(NULL, 0);
    hw_buf_reset(&b);
    hw_buf_reset(&subject);
    CHECK_INT(hw_record_write(&b, &e), ==, HW_OK);
    CHECK(hw_record_read(&r, hw_buf_slice(&b)));
    CHECK(!r.has_subject);
    CHECK_INT(hw_record_subject(&r, &subject), ==, HW_OK);
    CHECK_INT(hw_buf_len(&subject), ==, 0);
    hw_buf_close(&b);
    hw_buf_close(&subject);
}

/* The payload as a webhook with include_raw false gets it. */
static void check_without_raw(const char *payload, const char *expected)
{
    struct hw_record r;
    struct hw_slice pieces[2];
    struct hw_buf b, body, whole;

    hw_buf_init(&b, 4096);
    hw_buf_init(&body, 4096);
    hw_buf_init(&whole, 4096);
    CHECK_INT(hw_json_check(hw_slice_str(payload), 64), ==, HW_ENTRY_GOOD);
    write_payload(&b, hw_slice_str(payload));
    CHECK(hw_record_read(&r, hw_buf_slice(&b)));

    size_t n = hw_record_body(&r, true, false, pieces);
    for (size_t i = 0; i < n; i++)
        hw_buf_append_slice(&body, pieces[i]);
    CHECK_SLICE(hw_buf_slice(&body), expected);
    CHECK_INT(hw_json_check(hw_buf_slice(&body), 64), ==, HW_ENTRY_GOOD);

    hw_buf_reset(&body);
    n = hw_record_body(&r, false, false, pieces);
    for (size_t i = 0; i < n; i++)
        hw_buf_append_slice(&body, pieces[i]);
    hw_buf_append_str(&whole, PLAIN);
    hw_buf_append_str(&whole, expected);
    hw_buf_append_char(&whole, '}');
    CHECK_SLICE_EQ(hw_buf_slice(&body), hw_buf_slice(&whole));

    CHECK_INT(hw_record_body(&r, true, true, pieces), ==, 1);
    CHECK_SLICE_EQ(pieces[0], r.data);
    CHECK_INT(hw_record_body(&r, false, true, pieces), ==, 1);
    CHECK_SLICE_EQ(pieces[0], r.bytes);
    hw_buf_close(&b);
    hw_buf_close(&body);
    hw_buf_close(&whole);
}

CASE(leaves_out_raw)
{
    static const struct {
        const char *payload, *expected;
    } rows[] = {
        { "{\"raw\":1}", "{}" },
        { "{ \"raw\" : 1 }", "{  }" },
        { "{\"raw\":1,\"a\":2}", "{\"a\":2}" },
        { "{\"raw\" : {\"b\":[1,2]} , \"a\":2}", "{ \"a\":2}" },
        { "{\"a\":2,\"raw\":1}", "{\"a\":2}" },
        { "{\"a\":2 , \"raw\" : \"}\\\",\" }", "{\"a\":2 }" },
        { "{\"a\":1,\"raw\":[[]],\"b\":2}", "{\"a\":1,\"b\":2}" },
        { "{\"r\\u0061w\":1,\"b\":2}", "{\"b\":2}" },
        { "{\"b\":2,\"\\u0072\\u0061\\u0077\":1}", "{\"b\":2}" },
        { "{\"a\":1,\"\\u0072aw\":null}", "{\"a\":1}" },
        { "{\"a\":1,\"ra\\u0077\":-1e5}", "{\"a\":1}" },
        /* not a top-level member of an object, or not its name */
        { "{\"a\":{\"raw\":1}}", "{\"a\":{\"raw\":1}}" },
        { "[{\"raw\":1}]", "[{\"raw\":1}]" },
        { "\"raw\"", "\"raw\"" },
        { "{\"a\":\"raw\"}", "{\"a\":\"raw\"}" },
        { "{\"a\":\"\\\"raw\\\":1\"}", "{\"a\":\"\\\"raw\\\":1\"}" },
        { "{\"Raw\":1,\"rawr\":2,\"ra\":3,\"\":4}", "{\"Raw\":1,\"rawr\":2,\"ra\":3,\"\":4}" },
        { "{\"ra\\\\u0077\":1}", "{\"ra\\\\u0077\":1}" },
        { "{}", "{}" },
        { " {\"raw\":1} ", " {\"raw\":1} " },
        /* several: from the first to the last, so that none gets out */
        { "{\"raw\":1,\"raw\":2,\"a\":3}", "{\"a\":3}" },
        { "{\"raw\":1,\"r\\u0061w\":2 }", "{ }" },
        { "{\"raw\":1,\"a\":3,\"raw\":2}", "{}" },
        { "{\"b\":0,\"raw\":1,\"a\":3,\"raw\":2,\"c\":4}", "{\"b\":0,\"c\":4}" },
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        check_without_raw(rows[i].payload, rows[i].expected);
}

/* Members made at random, some of them raw: what is left is what it would be if they had
 * never been there. */
CASE(leaves_out_raw_wherever_it_is)
{
    static const char *const names[] = {
        "a", "ra", "r\\u0061\\u0072", "\\\"raw", "raww", "R"
    };
    static const char *const raws[] = { "raw", "\\u0072aw", "r\\u0061w", "ra\\u0077" };
    static const char *const values[] = { "1",          "\"raw\"", "{\"raw\":1}",
                                          "[{},\"}\"]", "null",    "\"\\\\\"" };

    for (int i = 0; i < 5000; i++) {
        char payload[512], expected[512];
        size_t n = 1 + check_random_below(5), raw_at = check_random_below(n);
        size_t p = 0, e = 0;
        payload[p++] = expected[e++] = '{';
        for (size_t k = 0; k < n; k++) {
            const char *value = values[check_random_below(6)];
            const char *name =
                k == raw_at ? raws[check_random_below(4)] : names[check_random_below(6)];
            p += (size_t)snprintf(payload + p, sizeof payload - p, "%s\"%s\":%s", k ? "," : "",
                                  name, value);
            if (k != raw_at)
                e += (size_t)snprintf(expected + e, sizeof expected - e, "%s\"%s\":%s",
                                      e > 1 ? "," : "", name, value);
        }
        snprintf(payload + p, sizeof payload - p, "}");
        snprintf(expected + e, sizeof expected - e, "}");
        check_without_raw(payload, expected);
    }
}

CASE(refuses_what_is_not_ours)
{
    static const char *const rows[] = {
        "",
        "{",
        "{}",
        "null",
        PLAIN,
        PLAIN "}",
        PLAIN "1",
        HEAD "}",
        HEAD ",\"data\":1}",
        " " PLAIN "1}",
        PLAIN "1} ",
        HEAD ",\"level\":\"other\",\"data\":1}",
        HEAD ",\"subject\":\"\",\"level\":\"user\",\"data\":1}",
        HEAD ",\"subject\":\"a\\n\",\"level\":\"user\",\"data\":1}",
        HEAD ",\"subject\":\"a\\\",\"level\":\"user\",\"data\":1}",
        HEAD ",\"subject\":\"a\r\nx: y\",\"level\":\"user\",\"data\":1}",
        HEAD ",\"subject\":\"\xc3\xa9\",\"level\":\"user\",\"data\":1}",
        "{\"id\":\"a\r\nb\",\"type\":\"t\",\"timestamp\":\"2026-03-09T12:00:00.000Z\","
        "\"account\":\"a\",\"level\":\"user\",\"data\":1}",
        "{\"id\":\"\",\"type\":\"t\",\"timestamp\":\"2026-03-09T12:00:00.000Z\",\"account\":"
        "\"a\",\"level\":\"user\",\"data\":1}",
        "{\"id\":\"a\",\"type\":\"..\",\"timestamp\":\"2026-03-09T12:00:00.000Z\",\"account\":"
        "\"a\",\"level\":\"user\",\"data\":1}",
        "{\"id\":\"a\",\"type\":\"t\",\"timestamp\":\"2026-03-09\",\"account\":\"a\","
        "\"level\":\"user\",\"data\":1}",
        "{\"id\":\"a\",\"type\":\"t\",\"timestamp\":\"2026-03-09T12:00:00.000Y\",\"account\":"
        "\"a\",\"level\":\"user\",\"data\":1}",
        "{\"id\":\"a\",\"type\":\"t\",\"timestamp\":\"2026-03-09T12:00:00.000Z\",\"account\":"
        "\"a.\",\"level\":\"user\",\"data\":1}",
        "{\"id\":\"a\",\"type\":\"t\",\"account\":\"a\",\"timestamp\":\"2026-03-09T12:00:00."
        "000Z\",\"level\":\"user\",\"data\":1}",
    };
    struct hw_record r;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (hw_record_read(&r, hw_slice_str(rows[i])))
            CHECK_FAIL("not refused: %s", rows[i]);
    CHECK(hw_record_read(&r, HW_SLICE(PLAIN "1}")));
}

CASE(refuses_what_is_cut_off)
{
    struct hw_slice whole =
        HW_SLICE(HEAD ",\"subject\":\"a\\\\\",\"level\":\"user\",\"data\":[{\"raw\":1}]}");
    struct hw_record r;

    for (size_t len = 0; len < whole.len; len++) {
        char *copy = malloc(len ? len : 1);
        memcpy(copy, whole.data, len);
        /* Only what ends in a brace could pass for whole. */
        CHECK(!hw_record_read(&r, hw_slice(copy, len)) || whole.data[len - 1] == '}');
        free(copy);
    }
}
