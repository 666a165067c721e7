#include "check.h"
#include "rules/entry.h"

enum { FIELDS_MAX = 16 };

struct fixture {
    struct hw_entry entry;
    struct hw_entry_limits limits;
    struct hw_entry_field fields[FIELDS_MAX];
    size_t n;
};

static struct hw_stream_id entry_id = { 1772973000123, 5 };

static void add_bytes(struct fixture *f, const char *name, struct hw_slice value)
{
    f->fields[f->n++] = (struct hw_entry_field){ hw_slice_str(name), value };
}

static void add(struct fixture *f, const char *name, const char *value)
{
    add_bytes(f, name, hw_slice_str(value));
}

/* What is required, and nothing else. */
static void begin(struct fixture *f)
{
    *f = (struct fixture){ .limits = { .max_payload_bytes = 256 * 1024 } };
    add(f, "type", "order.created");
    add(f, "payload", "{\"order_id\":\"o_1\"}");
}

static enum hw_entry_reason check(struct fixture *f)
{
    return hw_entry_check(&f->entry, entry_id, f->fields, f->n, &f->limits);
}

/* The smallest good entry with one field more, or another value for one it has. */
static enum hw_entry_reason check_with_bytes(const char *name, struct hw_slice value)
{
    struct fixture f;

    begin(&f);
    for (size_t i = 0; i < f.n; i++)
        if (hw_slice_is(f.fields[i].name, name)) {
            f.fields[i].value = value;
            return check(&f);
        }
    add_bytes(&f, name, value);
    return check(&f);
}

static enum hw_entry_reason check_with(const char *name, const char *value)
{
    return check_with_bytes(name, hw_slice_str(value));
}

CASE(takes_the_smallest)
{
    struct fixture f;

    begin(&f);
    CHECK_INT(check(&f), ==, HW_ENTRY_GOOD);
    CHECK_SLICE(f.entry.type, "order.created");
    CHECK_SLICE(f.entry.payload, "{\"order_id\":\"o_1\"}");
    CHECK_SLICE(f.entry.account, "default");
    CHECK_SLICE(f.entry.id, "evt_00001kk6pt1dv0000000000005");
    CHECK(!f.entry.has_producer_id);
    CHECK_INT(f.entry.subject.len, ==, 0);
    CHECK_INT(f.entry.timestamp.len, ==, 0);
    CHECK_INT(f.entry.timestamp_ms, ==, 1772973000123);
    CHECK_INT(f.entry.traceparent.len, ==, 0);
    CHECK_INT(f.entry.level, ==, HW_LEVEL_USER);
}

CASE(takes_everything_in_any_order)
{
    struct fixture f = { .limits = { .max_payload_bytes = 100 } };

    add(&f, "level", "progress");
    add(&f, "traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    add(&f, "payload", "[1]");
    add(&f, "timestamp", "2026-03-09T13:30:00.5+01:30");
    add(&f, "id", "evt_123");
    add(&f, "unknown", "x");
    add(&f, "subject", "sess 9");
    add(&f, "account", "acct_1");
    add(&f, "unknown", "y");
    add(&f, "type", "a");
    CHECK_INT(check(&f), ==, HW_ENTRY_GOOD);
    CHECK_INT(f.entry.level, ==, HW_LEVEL_PROGRESS);
    CHECK_INT(f.entry.traceparent.len, ==, 55);
    CHECK_INT(f.entry.timestamp_ms, ==, 1773057600500);
    CHECK(f.entry.has_producer_id);
    CHECK_SLICE(f.entry.id, "evt_123");
    CHECK_SLICE(f.entry.subject, "sess 9");
    CHECK_SLICE(f.entry.account, "acct_1");
}

#define A10  "aaaaaaaaaa"
#define A50  A10 A10 A10 A10 A10
#define A64  A50 A10 "aaaa"
#define A128 A64 A64

CASE(every_reason)
{
    static const struct {
        const char *name, *value;
        enum hw_entry_reason reason;
    } rows[] = {
        { "type", "a.b.c_D.9", HW_ENTRY_GOOD },
        { "type", A128, HW_ENTRY_GOOD },
        { "type", A128 "a", HW_ENTRY_BAD_TYPE },
        { "type", "", HW_ENTRY_BAD_TYPE },
        { "type", ".a", HW_ENTRY_BAD_TYPE },
        { "type", "a.", HW_ENTRY_BAD_TYPE },
        { "type", "a..b", HW_ENTRY_BAD_TYPE },
        { "type", "a-b", HW_ENTRY_BAD_TYPE },
        { "type", "a b", HW_ENTRY_BAD_TYPE },
        { "type", "a\n", HW_ENTRY_BAD_TYPE },
        { "type", "\xc3\xa9", HW_ENTRY_BAD_TYPE },
        { "type", "webhook.disabled", HW_ENTRY_BAD_TYPE },
        { "type", "webhook.x", HW_ENTRY_BAD_TYPE },
        { "type", "webhook", HW_ENTRY_GOOD },
        { "type", "webhooks.x", HW_ENTRY_GOOD },
        { "account", A64, HW_ENTRY_GOOD },
        { "account", "Az09_-", HW_ENTRY_GOOD },
        { "account", A64 "a", HW_ENTRY_BAD_ACCOUNT },
        { "account", "", HW_ENTRY_BAD_ACCOUNT },
        { "account", "a.b", HW_ENTRY_BAD_ACCOUNT },
        { "account", "a:b", HW_ENTRY_BAD_ACCOUNT },
        { "id", A64, HW_ENTRY_GOOD },
        { "id", A64 "a", HW_ENTRY_BAD_ID },
        { "id", "", HW_ENTRY_BAD_ID },
        { "id", "a.b", HW_ENTRY_BAD_ID },
        { "id", "a\r\n", HW_ENTRY_BAD_ID },
        { "subject", " ~", HW_ENTRY_GOOD },
        { "subject", A128 A128, HW_ENTRY_GOOD },
        { "subject", A128 A128 "a", HW_ENTRY_BAD_SUBJECT },
        { "subject", "", HW_ENTRY_BAD_SUBJECT },
        { "subject", "a\tb", HW_ENTRY_BAD_SUBJECT },
        { "subject", "a\x7f", HW_ENTRY_BAD_SUBJECT },
        { "subject", "\xc3\xa9", HW_ENTRY_BAD_SUBJECT },
        { "level", "user", HW_ENTRY_GOOD },
        { "level", "progress", HW_ENTRY_GOOD },
        { "level", "", HW_ENTRY_BAD_LEVEL },
        { "level", "User", HW_ENTRY_BAD_LEVEL },
        { "level", "debug", HW_ENTRY_BAD_LEVEL },
        { "timestamp", "2026-03-09T12:00:00Z", HW_ENTRY_GOOD },
        { "timestamp", "", HW_ENTRY_BAD_TIMESTAMP },
        { "timestamp", "1772973000", HW_ENTRY_BAD_TIMESTAMP },
        { "payload", "", HW_ENTRY_BAD_JSON },
        { "payload", "{", HW_ENTRY_BAD_JSON },
        { "payload", "\"\xff\"", HW_ENTRY_BAD_JSON },
        { "payload", "null", HW_ENTRY_GOOD },
        { "traceparent", "", HW_ENTRY_GOOD },
        { "traceparent", "nonsense", HW_ENTRY_GOOD },
        { "Type", "a..b", HW_ENTRY_GOOD }, /* not a field of ours */
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (check_with(rows[i].name, rows[i].value) != rows[i].reason)
            CHECK_FAIL("%s=%s: %s, not %s", rows[i].name, rows[i].value,
                       hw_entry_reason_text(check_with(rows[i].name, rows[i].value)),
                       hw_entry_reason_text(rows[i].reason));
    CHECK_INT(check_with_bytes("subject", HW_SLICE("a\0b")), ==, HW_ENTRY_BAD_SUBJECT);
    CHECK_INT(check_with_bytes("id", HW_SLICE("a\0")), ==, HW_ENTRY_BAD_ID);
    CHECK_INT(check_with_bytes("level", HW_SLICE("user\0")), ==, HW_ENTRY_BAD_LEVEL);
}

CASE(fields_that_are_missing)
{
    struct fixture f = { .limits = { .max_payload_bytes = 100 } };

    CHECK_INT(check(&f), ==, HW_ENTRY_MISSING_FIELD);
    add(&f, "type", "a");
    CHECK_INT(check(&f), ==, HW_ENTRY_MISSING_FIELD);
    f.n = 0;
    add(&f, "payload", "1");
    CHECK_INT(check(&f), ==, HW_ENTRY_MISSING_FIELD);
    add(&f, "type", "a");
    CHECK_INT(check(&f), ==, HW_ENTRY_GOOD);
}

CASE(fields_given_twice)
{
    static const char *const names[] = { "type", "payload", "account",   "subject",
                                         "id",   "level",   "timestamp", "traceparent" };

    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct fixture f;
        begin(&f);
        add(&f, names[i], "1");
        add(&f, names[i], "1");
        CHECK_INT(check(&f), ==, HW_ENTRY_DUPLICATE_FIELD);
        f.n = 0; /* even when nothing else is there, or they are empty */
        add_bytes(&f, names[i], hw_slice(NULL, 0));
        add_bytes(&f, names[i], hw_slice(NULL, 0));
        CHECK_INT(check(&f), ==, HW_ENTRY_DUPLICATE_FIELD);
    }
}

CASE(payloads_that_are_too_much)
{
    struct fixture f;
    char deep[2 * 65];

    begin(&f);
    f.limits.max_payload_bytes = f.fields[1].value.len;
    CHECK_INT(check(&f), ==, HW_ENTRY_GOOD);
    f.limits.max_payload_bytes--;
    CHECK_INT(check(&f), ==, HW_ENTRY_TOO_LARGE);
    memset(deep, '[', 65);
    memset(deep + 65, ']', 65);
    CHECK_INT(check_with_bytes("payload", hw_slice(deep, sizeof deep)), ==, HW_ENTRY_TOO_DEEP);
    CHECK_INT(check_with_bytes("payload", hw_slice(deep + 1, 128)), ==, HW_ENTRY_GOOD);
}

/* The first rule in the header's order names the reason. */
CASE(the_first_reason_counts)
{
    static const struct {
        const char *name, *bad;
        enum hw_entry_reason reason;
    } order[] = {
        { "type", "-", HW_ENTRY_BAD_TYPE },
        { "account", "", HW_ENTRY_BAD_ACCOUNT },
        { "id", "", HW_ENTRY_BAD_ID },
        { "subject", "", HW_ENTRY_BAD_SUBJECT },
        { "level", "", HW_ENTRY_BAD_LEVEL },
        { "timestamp", "", HW_ENTRY_BAD_TIMESTAMP },
        { "payload", "aaaaaa", HW_ENTRY_TOO_LARGE },
    };
    enum { N = sizeof order / sizeof *order };

    for (size_t first = 0; first < N; first++) {
        struct fixture f = { .limits = { .max_payload_bytes = 5 } };
        for (size_t i = N; i-- > first;)
            add(&f, order[i].name, order[i].bad);
        if (first > 0)
            add(&f, "type", "a");
        CHECK_INT(check(&f), ==, order[first].reason);
    }
}

CASE(the_engines_own_types)
{
    struct fixture f;

    begin(&f);
    f.fields[0].value = HW_SLICE("webhook.disabled");
    f.limits.engines_own = true;
    CHECK_INT(check(&f), ==, HW_ENTRY_GOOD);
    CHECK(hw_entry_type_is_valid(HW_SLICE("webhook.test")));
}

CASE(reasons_have_names)
{
    CHECK_STR(hw_entry_reason_text(HW_ENTRY_GOOD), "");
    CHECK_STR(hw_entry_reason_text(HW_ENTRY_MISSING_FIELD), "missing_field");
    CHECK_STR(hw_entry_reason_text(HW_ENTRY_POISON), "poison");
    for (int i = HW_ENTRY_GOOD + 1; i < HW_ENTRY_REASONS; i++)
        CHECK(hw_entry_reason_text((enum hw_entry_reason)i)[0] != '\0');
}

CASE(traceparents)
{
#define TRACE  "4bf92f3577b34da6a3ce929d0e0e4736"
#define PARENT "00f067aa0ba902b7"
    static const char *const good[] = {
        "00-" TRACE "-" PARENT "-01",
        "00-" TRACE "-" PARENT "-ff",
        "cc-" TRACE "-" PARENT "-01",
        "cc-" TRACE "-" PARENT "-01-what-comes-later",
    };
    static const char *const bad[] = {
        "",
        "00",
        "00-" TRACE "-" PARENT "-0",
        "00-" TRACE "-" PARENT "-01-",
        "ff-" TRACE "-" PARENT "-01",
        "00-" TRACE "-" PARENT "-01x",
        "00-00000000000000000000000000000000-" PARENT "-01",
        "00-" TRACE "-0000000000000000-01",
        "00-4BF92f3577b34da6a3ce929d0e0e4736-" PARENT "-01",
        "00_" TRACE "-" PARENT "-01",
        "00-" TRACE "_" PARENT "-01",
        "00-" TRACE "-" PARENT "_01",
        "cc-" TRACE "-" PARENT "-01x",
        "cc-" TRACE "-" PARENT "-01- x",
        "cc-" TRACE "-" PARENT "-01-\r\nx: y",
        "0g-" TRACE "-" PARENT "-01",
        "cc-" TRACE "-" PARENT "-01-" A128,
    };
    struct fixture f;

    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        CHECK(hw_entry_traceparent_is_valid(hw_slice_str(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (hw_entry_traceparent_is_valid(hw_slice_str(bad[i])))
            CHECK_FAIL("not refused: %s", bad[i]);
        begin(&f);
        add(&f, "traceparent", bad[i]);
        CHECK_INT(check(&f), ==, HW_ENTRY_GOOD);
        CHECK_INT(f.entry.traceparent.len, ==, 0);
    }
}

/* --- timestamps ------------------------------------------------------------------- */

CASE(timestamps_that_are_good)
{
    static const struct {
        const char *text, *utc;
    } rows[] = {
        { "2026-03-09T12:00:00Z", "2026-03-09T12:00:00.000Z" },
        { "2026-03-09t12:00:00z", "2026-03-09T12:00:00.000Z" },
        { "1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000Z" },
        { "1969-12-31T23:59:59.999Z", "1969-12-31T23:59:59.999Z" },
        { "2026-03-09T12:00:00.1Z", "2026-03-09T12:00:00.100Z" },
        { "2026-03-09T12:00:00.12Z", "2026-03-09T12:00:00.120Z" },
        { "2026-03-09T12:00:00.1239999999999Z", "2026-03-09T12:00:00.123Z" },
        { "2026-03-09T12:00:00.0004Z", "2026-03-09T12:00:00.000Z" },
        { "2026-03-09T12:00:00+00:00", "2026-03-09T12:00:00.000Z" },
        { "2026-03-09T12:00:00-00:00", "2026-03-09T12:00:00.000Z" },
        { "2026-03-09T12:00:00+05:30", "2026-03-09T06:30:00.000Z" },
        { "2026-03-09T12:00:00-08:00", "2026-03-09T20:00:00.000Z" },
        { "2026-01-01T00:30:00.25+01:00", "2025-12-31T23:30:00.250Z" },
        { "2025-12-31T23:30:00-23:59", "2026-01-01T23:29:00.000Z" },
        { "2024-02-29T00:00:00Z", "2024-02-29T00:00:00.000Z" },
        { "2000-02-29T00:00:00Z", "2000-02-29T00:00:00.000Z" },
        { "2024-03-01T00:00:00+01:00", "2024-02-29T23:00:00.000Z" },
        { "0000-01-01T00:00:00Z", "0000-01-01T00:00:00.000Z" },
        { "0000-02-29T12:00:00Z", "0000-02-29T12:00:00.000Z" },
        { "0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000Z" },
        { "9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59.999Z" },
        /* leap seconds: RFC 3339 5.8 has these two */
        { "1990-12-31T23:59:60Z", "1991-01-01T00:00:00.000Z" },
        { "1990-12-31T15:59:60-08:00", "1991-01-01T00:00:00.000Z" },
        { "2016-12-31T23:59:60.5Z", "2017-01-01T00:00:00.500Z" },
        { "2015-06-30T23:59:60Z", "2015-07-01T00:00:00.000Z" },
    };

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        hw_unix_ms at;
        char text[HW_TIMESTAMP_MAX];
        if (!hw_timestamp_parse(&at, hw_slice_str(rows[i].text)))
            CHECK_FAIL("refused: %s", rows[i].text);
        hw_timestamp_text(at, text);
        CHECK_STR(text, rows[i].utc);
    }
}

CASE(timestamps_that_are_not)
{
    static const char *const rows[] = {
        "",
        "2026",
        "2026-03-09",
        "2026-03-09T12:00Z",
        "2026-03-09T12:00:00",
        "2026-03-09 12:00:00Z",
        "2026-3-9T12:00:00Z",
        "26-03-09T12:00:00Z",
        "2026-00-09T12:00:00Z",
        "2026-13-09T12:00:00Z",
        "2026-03-00T12:00:00Z",
        "2026-03-32T12:00:00Z",
        "2026-04-31T12:00:00Z",
        "2026-02-29T12:00:00Z",
        "1900-02-29T12:00:00Z",
        "2026-03-09T24:00:00Z",
        "2026-03-09T12:60:00Z",
        "2026-03-09T12:00:61Z",
        "2026-03-09T12:00:60Z",
        "2026-03-09T23:59:60Z",
        "1990-12-31T23:59:60+01:00",
        "2026-03-09T12:00:00.Z",
        "2026-03-09T12:00:00,5Z",
        "2026-03-09T12:00:00.5",
        "2026-03-09T12:00:00+1:00",
        "2026-03-09T12:00:00+0100",
        "2026-03-09T12:00:00+24:00",
        "2026-03-09T12:00:00+01:60",
        "2026-03-09T12:00:00+01",
        "2026-03-09T12:00:00Z ",
        " 2026-03-09T12:00:00Z",
        "2026-03-09T12:00:00ZZ",
        "+026-03-09T12:00:00Z",
        "-026-03-09T12:00:00Z",
        "2026/03/09T12:00:00Z",
        "12026-03-09T12:00:00Z",
        "0000-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        "9999-12-31T23:59:60Z",
        "2026-03-09T1a:00:00Z",
        "2026-03-09T12:00:0-Z",
    };
    hw_unix_ms at;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (hw_timestamp_parse(&at, hw_slice_str(rows[i])))
            CHECK_FAIL("not refused: %s", rows[i]);
    CHECK(!hw_timestamp_parse(&at, HW_SLICE("2026-03-09\0"
                                            "12:00:00Z")));
}

static void text_of(hw_unix_ms at, char out[HW_TIMESTAMP_MAX])
{
    time_t seconds = (time_t)(at >= 0 ? at / 1000 : -((999 - at) / 1000));
    struct tm tm;
    char date[24];

    gmtime_r(&seconds, &tm);
    /* %Y has no leading zeros: the years of this test have four digits. */
    CHECK(strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%S", &tm) > 0);
    snprintf(out, HW_TIMESTAMP_MAX, "%s.%03dZ", date, (int)(at - (int64_t)seconds * 1000));
}

CASE(timestamps_agree_with_the_c_library)
{
    const hw_unix_ms first = -INT64_C(30610224000000), last = INT64_C(253402300799999);

    for (int i = 0; i < 50000; i++) {
        hw_unix_ms at = first + (hw_unix_ms)check_random_below((uint64_t)(last - first) + 1),
                   back;
        char ours[HW_TIMESTAMP_MAX], theirs[HW_TIMESTAMP_MAX];
        if (i == 0)
            at = first;
        if (i == 1)
            at = last;
        hw_timestamp_text(at, ours);
        text_of(at, theirs);
        CHECK_STR(ours, theirs);
        CHECK(hw_timestamp_parse(&back, hw_slice_str(ours)));
        CHECK_INT(at, ==, back);
    }
}

CASE(every_day_comes_back)
{
    const hw_unix_ms day_ms = 86400000;

    for (hw_unix_ms at = -INT64_C(62167219200000); at < INT64_C(253402300800000);
         at += day_ms) {
        hw_unix_ms back;
        char text[HW_TIMESTAMP_MAX];
        hw_timestamp_text(at, text);
        CHECK(hw_timestamp_parse(&back, hw_slice_str(text)));
        CHECK_INT(at, ==, back);
    }
}

CASE(times_out_of_reach_are_the_nearest)
{
    char text[HW_TIMESTAMP_MAX];
    struct fixture f;

    hw_timestamp_text(INT64_MAX, text);
    CHECK_STR(text, "9999-12-31T23:59:59.999Z");
    hw_timestamp_text(INT64_MIN, text);
    CHECK_STR(text, "0000-01-01T00:00:00.000Z");
    /* A producer may give an entry any id. */
    begin(&f);
    CHECK_INT(hw_entry_check(&f.entry, (struct hw_stream_id){ UINT64_MAX, 1 }, f.fields, f.n,
                             &f.limits),
              ==, HW_ENTRY_GOOD);
    CHECK_INT(f.entry.timestamp_ms, ==, INT64_MAX);
}
