#include <jansson.h>

#include "check.h"
#include "rules/json.h"

static enum hw_entry_reason check_text(const char *text, size_t len)
{
    /* A block of exactly that size, so that the sanitizer sees a read behind it. */
    char *copy = malloc(len ? len : 1);
    memcpy(copy, text, len);
    enum hw_entry_reason reason = hw_json_check(hw_slice(copy, len), HW_JSON_DEPTH_MAX);
    free(copy);
    return reason;
}

struct text {
    const char *bytes;
    size_t len;
};

/* clang-format off */
#define T(literal) { literal, sizeof(literal) - 1 }

/* In the manner of JSONTestSuite: y must be accepted, n refused. */
static const struct text y[] = {
    T("{}"), T("[]"), T("0"), T("-0"), T("-1"), T("10"), T("1.5"), T("-0.0"), T("1e5"),
    T("1E+5"), T("1e-5"), T("0e1"), T("1.25e400"), T("-123456789012345678901234567890.5"),
    T("true"), T("false"), T("null"), T("\"\""), T("\"a\""), T(" \t\r\n1 \t\r\n"),
    T("[1,2 , 3]"), T("[[],{},[{}]]"), T("{\"a\":1}"), T("{ \"a\" : 1 , \"b\" : [ ] }"),
    T("{\"a\":1,\"a\":2}"), T("{\"\":0}"), T("{\"a\\u0000b\":\"\\u0000\"}"),
    T("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""), T("\"\\u0041\\uABCD\\uabcd\""),
    T("\"\\ud83d\\ude00\""), T("\"\\ud800\""), T("\"\\udc00\\ud800\""), T("\"\x7f\""),
    T("\"\xc2\x80\""), T("\"\xdf\xbf\""), T("\"\xe0\xa0\x80\""), T("\"\xed\x9f\xbf\""),
    T("\"\xee\x80\x80\""), T("\"\xef\xbf\xbf\""), T("\"\xf0\x90\x80\x80\""),
    T("\"\xf4\x8f\xbf\xbf\""), T("\"\xe2\x80\xa8\""),
    T("\"eight bytes and more, plain to the end of it\""), T("\"sevenby\\n\""),
    T("[\"\xe6\xbc\xa2\xe5\xad\x97\",\"z\"]"), T("{\"raw\":{\"raw\":1}}"),
};

static const struct text n[] = {
    T(""), T(" "), T("\n"), T("a"), T("nul"), T("nulll"), T("True"), T("truefalse"), T("NaN"),
    T("Infinity"), T("-Infinity"), T("undefined"), T("01"), T("-01"), T("-"), T("+1"), T("1."),
    T(".5"), T("-.5"), T("1.e5"), T("1e"), T("1e+"), T("1E-"), T("1eE2"), T("0x10"),
    T("1_000"), T("1 2"), T("--1"), T("1a"), T("1.2.3"), T("["), T("]"), T("{"), T("}"),
    T("[1"), T("[1,"), T("[1,]"), T("[,1]"), T("[1,,2]"), T("[1 2]"), T("[1]]"), T("[1}"),
    T("{]"), T("[1:2]"), T("{\"a\"}"), T("{\"a\":}"), T("{\"a\":1,}"), T("{,\"a\":1}"),
    T("{\"a\":1 \"b\":2}"), T("{\"a\" 1}"), T("{\"a\"::1}"), T("{a:1}"), T("{1:1}"),
    T("{null:1}"), T("{'a':1}"), T("{\"a\":1"), T("{\"a\":1]"), T("{\"a"), T("{\"a\\\":1}"),
    T("\""), T("\"a"), T("\"\\\""), T("'a'"), T("\"\\x41\""), T("\"\\'\""), T("\"\\a\""),
    T("\"\\0\""), T("\"\\u12\""), T("\"\\u12g4\""), T("\"\\u 041\""), T("\"\\U0041\""),
    T("\"\\u"), T("\"\\"), T("\"\t\""), T("\"\n\""), T("\"\r\n\""), T("\"\x1f\""), T("\"\0\""),
    T("{}\0"), T("1\f"), T("\v1"), T("[\f]"),
    T("\xc2\xa0"
      "1"),
    T("\xef\xbb\xbf{}"), T("\xff\xfe{\0}\0"), T("// c\n1"), T("1/**/"), T("{}{}"), T("{} x"),
    T("\"a\" \"b\""), T("[\"a\" \"b\"]"), T("\xe9"), T("[\xff]"),
    /* what is no UTF-8 */
    T("\"\x80\""), T("\"\xbf\""), T("\"\xc0\x80\""), T("\"\xc1\xbf\""), T("\"\xc2\""),
    T("\"\xc2\x41\""), T("\"\xc2\xc0\""), T("\"\xe0\x80\x80\""), T("\"\xe0\x9f\xbf\""),
    T("\"\xe1\x80\""), T("\"\xe1\x80\xc0\""), T("\"\xed\xa0\x80\""), T("\"\xed\xbf\xbf\""),
    T("\"\xf0\x80\x80\x80\""), T("\"\xf0\x8f\xbf\xbf\""), T("\"\xf4\x90\x80\x80\""),
    T("\"\xf5\x80\x80\x80\""), T("\"\xf1\x80\x80\""), T("\"\xf1\x80\x80\x7f\""), T("\"\xfe\""),
    T("\"\xff\""), T("\"\xc2"), T("\"\xe1\x80"), T("\"\xf1\x80\x80"), T("\"a\xcc\""),
    T("\"plainplain\xff\""), T("{\"\xff\":1}")
};

/* clang-format on */

CASE(accepts_what_is_json)
{
    for (size_t i = 0; i < sizeof y / sizeof *y; i++)
        if (check_text(y[i].bytes, y[i].len) != HW_ENTRY_GOOD)
            CHECK_FAIL("refused: %s", y[i].bytes);
}

CASE(refuses_what_is_not)
{
    for (size_t i = 0; i < sizeof n / sizeof *n; i++)
        if (check_text(n[i].bytes, n[i].len) != HW_ENTRY_BAD_JSON)
            CHECK_FAIL("not refused: %s (line %zu of the table)", n[i].bytes, i);
}

/* In any text that begins with a bracket or a quote, what is cut off is not JSON. */
CASE(refuses_every_beginning_of_a_text)
{
    for (size_t i = 0; i < sizeof y / sizeof *y; i++) {
        if (strchr("[{\"", y[i].bytes[0]) == NULL)
            continue;
        for (size_t len = 0; len < y[i].len; len++)
            CHECK_INT(check_text(y[i].bytes, len), ==, HW_ENTRY_BAD_JSON);
    }
}

/* A special byte is found wherever it stands in a word of eight. */
CASE(finds_special_bytes_at_every_place)
{
    static const char specials[] = { '\x01', '\x1f', '"', '\\', '\x80', '\xff', '\0' };

    for (size_t len = 1; len <= 40; len++)
        for (size_t at = 0; at < len; at++)
            for (size_t s = 0; s < sizeof specials; s++) {
                char text[64];
                memset(text, 'a', sizeof text);
                text[0] = text[len + 1] = '"';
                CHECK_INT(check_text(text, len + 2), ==, HW_ENTRY_GOOD);
                text[1 + at] = specials[s];
                CHECK_INT(check_text(text, len + 2), ==, HW_ENTRY_BAD_JSON);
            }
}

static void nest(struct hw_buf *out, unsigned depth, const char *open, const char *core,
                 const char *close)
{
    hw_buf_reset(out);
    for (unsigned i = 0; i < depth; i++)
        hw_buf_append_str(out, open);
    hw_buf_append_str(out, core);
    for (unsigned i = 0; i < depth; i++)
        hw_buf_append_str(out, close);
    CHECK_INT(hw_buf_failed(out), ==, HW_OK);
}

CASE(counts_levels)
{
    struct hw_buf b;

    hw_buf_init(&b, 1 << 20);
    nest(&b, 64, "[", "", "]");
    CHECK_INT(hw_json_check(hw_buf_slice(&b), 64), ==, HW_ENTRY_GOOD);
    nest(&b, 64, "[{\"a\":", "1", "}]");
    CHECK_INT(hw_json_check(hw_buf_slice(&b), 64), ==, HW_ENTRY_TOO_DEEP);
    nest(&b, 32, "[{\"a\":", "1", "}]");
    CHECK_INT(hw_json_check(hw_buf_slice(&b), 64), ==, HW_ENTRY_GOOD);
    CHECK_INT(hw_json_check(hw_buf_slice(&b), 63), ==, HW_ENTRY_TOO_DEEP);
    nest(&b, 65, "[", "", "]");
    CHECK_INT(hw_json_check(hw_buf_slice(&b), 64), ==, HW_ENTRY_TOO_DEEP);
    nest(&b, 65, "{\"a\":", "{}", "}");
    CHECK_INT(hw_json_check(hw_buf_slice(&b), 64), ==, HW_ENTRY_TOO_DEEP);
    nest(&b, 100000, "[", "", "");
    CHECK_INT(hw_json_check(hw_buf_slice(&b), 64), ==, HW_ENTRY_TOO_DEEP);
    CHECK_INT(hw_json_check(HW_SLICE("1"), 0), ==, HW_ENTRY_GOOD);
    CHECK_INT(hw_json_check(HW_SLICE("[]"), 0), ==, HW_ENTRY_TOO_DEEP);
    /* What is around such a text counts too, where it is asked for. */
    nest(&b, 67, "[", "", "]");
    CHECK_INT(hw_json_check(hw_buf_slice(&b), 67), ==, HW_ENTRY_GOOD);
    CHECK_INT(hw_json_check(hw_buf_slice(&b), 66), ==, HW_ENTRY_TOO_DEEP);
    nest(&b, 64, "{\"a\":[", "1", "]}");
    CHECK_INT(hw_json_check(hw_buf_slice(&b), 128), ==, HW_ENTRY_GOOD);
    CHECK_INT(hw_json_check(hw_buf_slice(&b), 127), ==, HW_ENTRY_TOO_DEEP);
    nest(&b, 129, "[", "", "]");
    CHECK_INT(hw_json_check(hw_buf_slice(&b), 128), ==, HW_ENTRY_TOO_DEEP);
    /* Many side by side are not deep; the kinds of bracket are told apart at each level. */
    CHECK_INT(hw_json_check(HW_SLICE("[[],[],{},[[{},[]]]]"), 4), ==, HW_ENTRY_GOOD);
    nest(&b, 63, "[", "{\"a\":[1}", "]");
    CHECK_INT(hw_json_check(hw_buf_slice(&b), 64), ==, HW_ENTRY_TOO_DEEP);
    nest(&b, 62, "[", "{\"a\":[1}", "]");
    CHECK_INT(hw_json_check(hw_buf_slice(&b), 64), ==, HW_ENTRY_BAD_JSON);
    hw_buf_close(&b);
}

/* The kind of every level is remembered, also behind a level that was closed again. */
CASE(tells_brackets_apart_at_every_level)
{
    for (unsigned depth = 1; depth <= 128; depth++)
        for (int try = 0; try < 20; try++) {
            char opened[128], text[1024];
            size_t len = 0;
            for (unsigned i = 0; i < depth; i++) {
                bool is_object = check_random_below(2) != 0;
                const char *closed = check_random_below(2) ? "{},[],{\"b\":[]}," : "";
                const char *names = check_random_below(2) ? "\"b\":[1],\"c\":{}," : "";
                opened[i] = is_object ? '}' : ']';
                len += (size_t)snprintf(text + len, sizeof text - len, "%s%s%s",
                                        is_object ? "{" : "[",
                                        depth > 20  ? ""
                                        : is_object ? names
                                                    : closed,
                                        is_object ? "\"a\":" : "");
            }
            text[len++] = '1';
            for (unsigned i = depth; i-- > 0;)
                text[len++] = opened[i];
            CHECK_INT(hw_json_check(hw_slice(text, len), 128), ==, HW_ENTRY_GOOD);
            char *wrong = text + len - 1 - check_random_below(depth);
            *wrong = *wrong == '}' ? ']' : '}';
            CHECK_INT(hw_json_check(hw_slice(text, len), 128), ==, HW_ENTRY_BAD_JSON);
        }
}

CASE(writes_strings)
{
    static const struct {
        struct text in;
        const char *out;
    } rows[] = {
        { T(""), "\"\"" },
        { T("plain"), "\"plain\"" },
        { T("a\"b\\c/"), "\"a\\\"b\\\\c/\"" },
        { T("\b\f\n\r\t\x01\x1f\x7f"), "\"\\b\\f\\n\\r\\t\\u0001\\u001f\x7f\"" },
        { T("\0x"), "\"\\u0000x\"" },
        { T("\xe6\xbc\xa2\xf0\x9f\x98\x80"), "\"\xe6\xbc\xa2\xf0\x9f\x98\x80\"" },
        { T("a\xff"
            "b"),
          "\"a\xef\xbf\xbd"
          "b\"" },
        { T("\xe6\xbc"), "\"\xef\xbf\xbd\xef\xbf\xbd\"" },
        { T("\xed\xa0\x80"), "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" },
        { T("\xe9t\xe9"), "\"\xef\xbf\xbdt\xef\xbf\xbd\"" },
    };
    struct hw_buf b;

    hw_buf_init(&b, 4096);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        hw_buf_reset(&b);
        CHECK_INT(hw_json_string(&b, hw_slice(rows[i].in.bytes, rows[i].in.len)), ==, HW_OK);
        CHECK_SLICE(hw_buf_slice(&b), rows[i].out);
    }
    hw_buf_close(&b);
    hw_buf_init(&b, 4);
    CHECK_INT(hw_json_string(&b, HW_SLICE("too long")), ==, HW_ETOOBIG);
    hw_buf_close(&b);
}

CASE(writes_a_string_of_any_bytes)
{
    struct hw_buf b;

    hw_buf_init(&b, 4096);
    for (int i = 0; i < 20000; i++) {
        char in[64];
        size_t len = check_random_below(sizeof in);
        for (size_t k = 0; k < len; k++)
            in[k] =
                (char)(check_random_below(3) ? check_random() : 0x80 | check_random_below(64));
        hw_buf_reset(&b);
        CHECK_INT(hw_json_string(&b, hw_slice(in, len)), ==, HW_OK);
        CHECK_INT(hw_json_check(hw_buf_slice(&b), 0), ==, HW_ENTRY_GOOD);
    }
    hw_buf_close(&b);
}

CASE(steps_through_members)
{
    struct hw_slice at = HW_SLICE(
        "{ \"a\" : [1,{\"x\":\"}]\"}] , \"b\\\"\":{\"c\":2},\"\":-1.5e3 ,\"d\":\"s,\" }");
    static const char *const names[] = { "a", "b\\\"", "", "d" };
    static const char *const values[] = { "[1,{\"x\":\"}]\"}]", "{\"c\":2}", "-1.5e3",
                                          "\"s,\"" };
    struct hw_json_member m;

    CHECK_INT(hw_json_check(at, 64), ==, HW_ENTRY_GOOD);
    for (int i = 0; i < 4; i++) {
        CHECK(hw_json_next_member(&at, &m));
        CHECK_SLICE(m.name, names[i]);
        CHECK_SLICE(m.value, values[i]);
    }
    CHECK(!hw_json_next_member(&at, &m));
    at = HW_SLICE("{}");
    CHECK(!hw_json_next_member(&at, &m));
    at = HW_SLICE("[1]");
    CHECK(!hw_json_next_member(&at, &m));
    at = HW_SLICE("");
    CHECK(!hw_json_next_member(&at, &m));
}

CASE(steps_through_items)
{
    struct hw_slice at = HW_SLICE(" [ 1.0 ,\"],[\", [ ] ,[[1],[2]]\n,{\"a\":[\"]\"]},null ] ");
    static const char *const items[] = { "1.0",       "\"],[\"",         "[ ]",
                                         "[[1],[2]]", "{\"a\":[\"]\"]}", "null" };
    struct hw_slice item;

    CHECK_INT(hw_json_check(at, 64), ==, HW_ENTRY_GOOD);
    for (int i = 0; i < 6; i++) {
        CHECK(hw_json_next_item(&at, &item));
        CHECK_SLICE(item, items[i]);
    }
    CHECK(!hw_json_next_item(&at, &item));
    CHECK_SLICE(at, " ] ");
}

/* Nothing of what is no object, or no array, is handed out; nothing outside is read. */
CASE(steps_stay_inside_what_is_no_json)
{
    static const char *const hostile[] = {
        "",           " ",
        "[",          "]",
        "{",          "}",
        "[]",         "[ ]",
        "{}",         "[,",
        "[,]",        "[]]]]",
        "[]],1]",     "[\"",
        "[\"\\",      "[1",
        "[1,",        "[1,]",
        "[[[[",       "[}",
        "[{]",        "{\"",
        "{\"a",       "{\"a\"",
        "{\"a\":",    "{\"a\":\"",
        "{\"a\":[[",  "{\"a\":}",
        "{\"a\"1",    "{\"a\":1",
        "{,\"a\":1",  "[\"\\ud8\"]",
        "[\"\xff\"]", "{\"\xff\":1}",
        "[-",         "[nul",
        "{1:2}",      "1",
        "\"[1]\"",    "[1e",
        "{\"a\":]1}",
    };

    for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) {
        size_t len = strlen(hostile[i]);
        char *copy = malloc(len ? len : 1); /* of exactly that size, for the sanitizer */
        struct hw_slice left = hw_slice(copy, len), item = { 0 };
        struct hw_json_member m;
        memcpy(copy, hostile[i], len);
        for (size_t steps = 0; hw_json_next_item(&left, &item); steps++) {
            CHECK(item.data > copy && item.data + item.len <= copy + len && item.len > 0);
            CHECK_INT(steps, <, len);
        }
        left = hw_slice(copy, len);
        for (size_t steps = 0; hw_json_next_member(&left, &m); steps++) {
            CHECK(m.value.data > m.name.data && m.value.data + m.value.len <= copy + len);
            CHECK_INT(steps, <, len);
        }
        free(copy);
    }
}

static void append_space(struct hw_buf *out)
{
    for (uint64_t more = check_random_below(3); more > 0; more--)
        hw_buf_append_char(out, " \t\r\n"[check_random_below(4)]);
}

static void append_random_string(struct hw_buf *out, unsigned number)
{
    static const char *const parts[] = { "a",   "\\\"",     "\\\\", "}", "]",
                                         ",",   "\\u0041",  ":",    "{", "[",
                                         "\\/", "\xc3\xa9", "\\n",  " ", "\\ud83d\\ude00" };

    hw_buf_append_char(out, '"');
    for (uint64_t more = check_random_below(6); more > 0; more--)
        hw_buf_append_str(out, parts[check_random_below(sizeof parts / sizeof *parts)]);
    hw_buf_appendf(out, "%u\"", number);
}

static void append_random_value(struct hw_buf *out, unsigned depth)
{
    static const char *const scalars[] = {
        "1", "-0.5", "1e3", "true", "false", "null", "\"\""
    };
    uint64_t kind = check_random_below(depth < 4 ? 4 : 2);

    append_space(out);
    if (kind == 0) {
        hw_buf_append_str(out, scalars[check_random_below(sizeof scalars / sizeof *scalars)]);
    } else if (kind == 1) {
        append_random_string(out, 0);
    } else {
        unsigned count = (unsigned)check_random_below(5);
        hw_buf_append_char(out, kind == 2 ? '[' : '{');
        append_space(out);
        for (unsigned i = 0; i < count; i++) {
            if (i > 0)
                hw_buf_append_char(out, ',');
            append_space(out);
            if (kind == 3) {
                append_random_string(out, i); /* names differ: jansson keeps one of each */
                append_space(out);
                hw_buf_append_char(out, ':');
            }
            append_random_value(out, depth + 1);
        }
        hw_buf_append_char(out, kind == 2 ? ']' : '}');
    }
    append_space(out);
}

static json_t *load(struct hw_slice text)
{
    json_t *value = json_loadb(text.data, text.len, JSON_DECODE_ANY, NULL);

    CHECK_NOT_NULL(value);
    return value;
}

static void compare_walk(struct hw_slice text, json_t *value)
{
    json_t *own = load(text);
    struct hw_json_member m;
    struct hw_slice item;
    const char *name;
    json_t *child;
    size_t i;

    CHECK(json_equal(own, value));
    json_decref(own);
    if (json_is_object(value)) {
        json_object_foreach (value, name, child) {
            CHECK(hw_json_next_member(&text, &m));
            own = load(hw_slice(m.name.data - 1, m.name.len + 2));
            CHECK_STR(json_string_value(own), name);
            json_decref(own);
            compare_walk(m.value, child);
        }
        CHECK(!hw_json_next_member(&text, &m));
    } else if (json_is_array(value)) {
        json_array_foreach (value, i, child) {
            CHECK(hw_json_next_item(&text, &item));
            compare_walk(item, child);
        }
        CHECK(!hw_json_next_item(&text, &item));
    }
}

CASE(steps_as_jansson_reads)
{
    struct hw_buf b;

    hw_buf_init(&b, 1024 * 1024);
    for (int i = 0; i < 3000; i++) {
        hw_buf_reset(&b);
        append_random_value(&b, 0);
        CHECK_INT(hw_buf_failed(&b), ==, HW_OK);
        CHECK_INT(hw_json_check(hw_buf_slice(&b), 64), ==, HW_ENTRY_GOOD);
        json_t *value = load(hw_buf_slice(&b));
        compare_walk(hw_buf_slice(&b), value);
        json_decref(value);
    }
    hw_buf_close(&b);
}

CASE(compares_names)
{
    CHECK(hw_json_name_is(HW_SLICE("raw"), "raw"));
    CHECK(hw_json_name_is(HW_SLICE("\\u0072aw"), "raw"));
    CHECK(hw_json_name_is(HW_SLICE("\\u0072\\u0061\\u0077"), "raw"));
    CHECK(!hw_json_name_is(HW_SLICE("ra"), "raw"));
    CHECK(!hw_json_name_is(HW_SLICE("raww"), "raw"));
    CHECK(!hw_json_name_is(HW_SLICE("Raw"), "raw"));
    CHECK(!hw_json_name_is(HW_SLICE("r\\u0041w"), "raw"));
    CHECK(!hw_json_name_is(HW_SLICE("ra\\\\u0077"), "raw"));
    CHECK(!hw_json_name_is(HW_SLICE(""), "raw"));
}
