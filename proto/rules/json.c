/*
 * The check is one loop over values.  What is open around the present value is one bit a
 * level (an object or an array), so the stack of 128 levels is two integers:
 *
 *      value -> a scalar                      -> after
 *            -> [ or {, with something in it  -> value, one level down
 *            -> [] or {}                      -> after
 *      after -> a comma (and a name)          -> value
 *            -> ] or }                        -> after, one level up
 *            -> nothing more, no level open   -> good
 *
 * Every helper takes where it begins and where the text ends, and returns where it
 * stopped, or NULL: not JSON.
 */
#include "rules/json.h"

#include "base/must.h"

typedef const unsigned char *cursor;

/* --- scanning --------------------------------------------------------------------- */

static cursor skip_space(cursor at, cursor end)
{
    while (at < end && (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t'))
        at++;
    return at;
}

static bool is_digit(unsigned char c)
{
    return c >= '0' && c <= '9';
}

static bool is_plain(unsigned char c)
{
    return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

#define EACH_BYTE(b) (UINT64_C(0x0101010101010101) * (b))

/* Skip what needs no look inside a string, eight bytes at a time: a byte's high bit ends up
 * set where it is above 0x7f, a control character, a quote or a backslash.  A borrow can
 * set it behind such a byte too, so only the lowest one counts. */
static cursor skip_plain(cursor at, cursor end)
{
    for (; end - at >= 8; at += 8) {
        uint64_t word;
        memcpy(&word, at, sizeof word);
        uint64_t special = word | (word - EACH_BYTE(0x20)) |
                           ((word ^ EACH_BYTE('"')) - EACH_BYTE(1)) |
                           ((word ^ EACH_BYTE('\\')) - EACH_BYTE(1));
        special &= EACH_BYTE(0x80);
        if (special == 0)
            continue;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
        return at + __builtin_ctzll(special) / 8;
#else
        break;
#endif
    }
    while (at < end && is_plain(*at))
        at++;
    return at;
}

/* One sequence of two to four bytes.  RFC 3629 4 */
static cursor skip_utf8(cursor at, cursor end)
{
    unsigned char lead = *at, low = 0x80, high = 0xbf;
    ptrdiff_t n;

    if (lead >= 0xc2 && lead <= 0xdf) {
        n = 2;
    } else if (lead >= 0xe0 && lead <= 0xef) {
        n = 3;
        low = lead == 0xe0 ? 0xa0 : low;   /* no overlong forms */
        high = lead == 0xed ? 0x9f : high; /* no surrogates */
    } else if (lead >= 0xf0 && lead <= 0xf4) {
        n = 4;
        low = lead == 0xf0 ? 0x90 : low;   /* no overlong forms */
        high = lead == 0xf4 ? 0x8f : high; /* nothing above U+10FFFF */
    } else {
        return NULL;
    }
    if (end - at < n || at[1] < low || at[1] > high)
        return NULL;
    for (ptrdiff_t i = 2; i < n; i++)
        if (at[i] < 0x80 || at[i] > 0xbf)
            return NULL;
    return at + n;
}

/* The value of a hexadecimal digit, or -1. */
static int hex_value(unsigned char c)
{
    if (is_digit(c))
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* `at` is the backslash. */
static cursor skip_escape(cursor at, cursor end)
{
    if (end - at < 2)
        return NULL;
    switch (at[1]) {
    case '"':
    case '\\':
    case '/':
    case 'b':
    case 'f':
    case 'n':
    case 'r':
    case 't':
        return at + 2;
    case 'u':
        if (end - at < 6)
            return NULL;
        for (int i = 2; i < 6; i++)
            if (hex_value(at[i]) < 0)
                return NULL;
        return at + 6;
    default:
        return NULL;
    }
}

/* `at` is the opening quote; returns behind the closing one. */
static cursor skip_string(cursor at, cursor end)
{
    at++;
    while (at != NULL) {
        at = skip_plain(at, end);
        if (at == end)
            return NULL;
        if (*at == '"')
            return at + 1;
        if (*at == '\\')
            at = skip_escape(at, end);
        else if (*at < 0x80)
            return NULL; /* a control character */
        while (at != NULL && at < end && *at >= 0x80)
            at = skip_utf8(at, end);
    }
    return NULL;
}

/* At least one. */
static cursor skip_digits(cursor at, cursor end)
{
    cursor from = at;

    while (at < end && is_digit(*at))
        at++;
    return at == from ? NULL : at;
}

/* RFC 8259 6 */
static cursor skip_number(cursor at, cursor end)
{
    if (*at == '-')
        at++;
    if (at < end && *at == '0')
        at++;
    else
        at = skip_digits(at, end);
    if (at != NULL && at < end && *at == '.')
        at = skip_digits(at + 1, end);
    if (at != NULL && at < end && (*at == 'e' || *at == 'E')) {
        at++;
        if (at < end && (*at == '+' || *at == '-'))
            at++;
        at = skip_digits(at, end);
    }
    return at;
}

static cursor skip_word(cursor at, cursor end, const char *word, size_t len)
{
    if ((size_t)(end - at) < len || memcmp(at, word, len) != 0)
        return NULL;
    return at + len;
}

static cursor skip_scalar(cursor at, cursor end)
{
    switch (*at) {
    case '"':
        return skip_string(at, end);
    case 't':
        return skip_word(at, end, "true", 4);
    case 'f':
        return skip_word(at, end, "false", 5);
    case 'n':
        return skip_word(at, end, "null", 4);
    default:
        return *at == '-' || is_digit(*at) ? skip_number(at, end) : NULL;
    }
}

/* A name and its colon, with the space before and behind each. */
static cursor skip_name(cursor at, cursor end)
{
    at = skip_space(at, end);
    if (at == end || *at != '"')
        return NULL;
    at = skip_string(at, end);
    if (at == NULL)
        return NULL;
    at = skip_space(at, end);
    if (at == end || *at != ':')
        return NULL;
    return skip_space(at + 1, end);
}

/* --- the check -------------------------------------------------------------------- */

struct check {
    cursor at;
    cursor end;
    unsigned depth; /* levels open */
    /* Bit by bit, the outermost level first: is it an object?  Meaningful for open levels. */
    uint64_t objects[HW_JSON_LEVELS_MAX / 64];
};

/* Is the innermost level one?  There is one. */
static bool check_in_object(const struct check *c)
{
    unsigned level = c->depth - 1;

    return c->objects[level / 64] >> level % 64 & 1;
}

static void check_push(struct check *c, bool is_object)
{
    uint64_t *word = &c->objects[c->depth / 64];
    uint64_t bit = UINT64_C(1) << c->depth % 64;

    *word = is_object ? *word | bit : *word & ~bit;
    c->depth++;
}

static bool check_fails(struct check *c, cursor next)
{
    c->at = next;
    return next == NULL;
}

/* Behind a value: as many closings as there are, then a comma and what must follow it.
 * *more: a value comes; otherwise this was the whole text. */
static bool check_after(struct check *c, bool *more)
{
    *more = false;
    for (;;) {
        c->at = skip_space(c->at, c->end);
        if (c->depth == 0)
            return c->at == c->end;
        if (c->at == c->end)
            return false;
        if (*c->at == ',')
            break;
        if (*c->at != (check_in_object(c) ? '}' : ']'))
            return false;
        c->at++;
        c->depth--;
    }
    *more = true;
    if (check_in_object(c))
        return !check_fails(c, skip_name(c->at + 1, c->end));
    c->at = skip_space(c->at + 1, c->end);
    return true;
}

/* `at` is [ or {.  Stops before the first value in it, or before its end where it is
 * empty. */
static bool check_enter(struct check *c, bool *is_empty)
{
    bool is_object = *c->at == '{';

    check_push(c, is_object);
    c->at = skip_space(c->at + 1, c->end);
    *is_empty = c->at < c->end && *c->at == (is_object ? '}' : ']');
    if (is_object && !*is_empty)
        return !check_fails(c, skip_name(c->at, c->end));
    return true;
}

enum hw_entry_reason hw_json_check(struct hw_slice text, unsigned max_depth)
{
    static const unsigned char nothing;
    cursor begin = text.len > 0 ? (cursor)text.data : &nothing;
    struct check c = { .end = begin + text.len };
    bool more = true;

    HW_MUST(max_depth <= HW_JSON_LEVELS_MAX);
    c.at = skip_space(begin, c.end);
    while (more) {
        if (c.at == c.end)
            return HW_ENTRY_BAD_JSON;
        if (*c.at == '[' || *c.at == '{') {
            bool is_empty;
            if (c.depth == max_depth)
                return HW_ENTRY_TOO_DEEP;
            if (!check_enter(&c, &is_empty))
                return HW_ENTRY_BAD_JSON;
            if (!is_empty)
                continue;
        } else if (check_fails(&c, skip_scalar(c.at, c.end))) {
            return HW_ENTRY_BAD_JSON;
        }
        if (!check_after(&c, &more))
            return HW_ENTRY_BAD_JSON;
    }
    return HW_ENTRY_GOOD;
}

/* --- members and items ------------------------------------------------------------ */

/* A value of any kind; of an array or object only strings and brackets are looked at. */
static cursor skip_value(cursor at, cursor end)
{
    size_t depth = 0;

    while (at != NULL && at < end) {
        if (*at == '"') {
            at = skip_string(at, end);
        } else if (*at == '[' || *at == '{') {
            depth++;
            at++;
        } else if (*at == ']' || *at == '}') {
            depth--;
            at++;
        } else if (depth > 0) {
            at++;
            continue;
        } else {
            return skip_scalar(at, end);
        }
        if (depth == 0)
            return at;
    }
    return NULL;
}

/* Behind the bracket that opens, or the comma behind what came before, and the space there;
 * NULL: neither is at the front. */
static cursor skip_separator(struct hw_slice text, unsigned char opens)
{
    if (text.len == 0)
        return NULL;
    cursor end = (cursor)text.data + text.len;
    cursor at = skip_space((cursor)text.data, end);
    if (at == end || (*at != opens && *at != ','))
        return NULL;
    return skip_space(at + 1, end);
}

/* The value there, and *at on behind it. */
static bool take_value(struct hw_slice *at, cursor value, struct hw_slice *taken)
{
    cursor end = (cursor)at->data + at->len;
    cursor value_end = skip_value(value, end);

    if (value_end == NULL || value_end == value)
        return false;
    *taken = hw_slice(value, (size_t)(value_end - value));
    *at = hw_slice(value_end, (size_t)(end - value_end));
    return true;
}

bool hw_json_next_member(struct hw_slice *at, struct hw_json_member *member)
{
    cursor name = skip_separator(*at, '{');

    if (name == NULL)
        return false;
    cursor end = (cursor)at->data + at->len;
    if (name == end || *name != '"')
        return false;
    cursor name_end = skip_string(name, end);
    cursor value = skip_name(name, end);
    if (name_end == NULL || value == NULL)
        return false;
    member->name = hw_slice(name + 1, (size_t)(name_end - name - 2));
    return take_value(at, value, &member->value);
}

bool hw_json_next_item(struct hw_slice *at, struct hw_slice *item)
{
    cursor value = skip_separator(*at, '[');

    if (value == NULL || value == (cursor)at->data + at->len || *value == ']')
        return false;
    return take_value(at, value, item);
}

/* The code unit of an escape, \u and four hex digits, at the front of `text`; or -1. */
static int unicode_escape(struct hw_slice text)
{
    int unit = 0;

    if (text.len < 6 || text.data[0] != '\\' || text.data[1] != 'u')
        return -1;
    for (int i = 2; i < 6; i++) {
        int digit = hex_value((unsigned char)text.data[i]);
        if (digit < 0)
            return -1;
        unit = unit << 4 | digit;
    }
    return unit;
}

bool hw_json_name_is(struct hw_slice name, const char *plain)
{
    for (; *plain != '\0'; plain++) {
        if (name.len == 0)
            return false;
        if (name.data[0] == *plain)
            name = hw_slice_from(name, 1);
        else if (unicode_escape(name) == *plain)
            name = hw_slice_from(name, 6);
        else
            return false;
    }
    return name.len == 0;
}

/* --- writing ---------------------------------------------------------------------- */

static void append_escape(struct hw_buf *out, unsigned char c)
{
    static const char hex[] = "0123456789abcdef";
    static const char shorts[] = "\"\"\\\\\bb\ff\nn\rr\tt";
    char escape[6] = { '\\', 'u', '0', '0', hex[c >> 4], hex[c & 15] };
    size_t len = sizeof escape;

    for (const char *s = shorts; *s != '\0'; s += 2)
        if (c == (unsigned char)*s) {
            escape[1] = s[1];
            len = 2;
        }
    hw_buf_append(out, escape, len);
}

enum hw_status hw_json_string(struct hw_buf *out, struct hw_slice text)
{
    hw_buf_append_char(out, '"');
    if (text.len > 0) {
        cursor at = (cursor)text.data, end = at + text.len;
        while (at < end) {
            cursor next = skip_plain(at, end);
            while (next < end && *next >= 0x80 && skip_utf8(next, end) != NULL)
                next = skip_plain(skip_utf8(next, end), end);
            hw_buf_append(out, at, (size_t)(next - at));
            if (next == end)
                break;
            if (*next >= 0x80)
                hw_buf_append_str(out, "\xef\xbf\xbd");
            else
                append_escape(out, *next);
            at = next + 1;
        }
    }
    hw_buf_append_char(out, '"');
    return hw_buf_failed(out);
}
