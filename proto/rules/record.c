#include "rules/record.h"

#include "rules/json.h"

/* --- writing ---------------------------------------------------------------------- */

static const char *level_text(enum hw_level level)
{
    return level == HW_LEVEL_PROGRESS ? "progress" : "user";
}

static void replace(char *from, char *end, char old, char new)
{
    while ((from = memchr(from, old, (size_t)(end - from))) != NULL)
        *from++ = new;
}

/* In a valid JSON text CR and LF stand between tokens only, so each can become a space. */
static void append_payload(struct hw_buf *out, struct hw_slice payload)
{
    if (payload.len == 0 || hw_buf_append_slice(out, payload) != HW_OK)
        return;
    char *end = hw_buf_space(out);
    replace(end - payload.len, end, '\n', ' ');
    replace(end - payload.len, end, '\r', ' ');
}

static void append_subject(struct hw_buf *out, struct hw_slice subject)
{
    hw_buf_append_slice(out, HW_SLICE(",\"subject\":"));
    if (hw_json_string(out, subject) != HW_OK)
        return; /* the buffer remembers */
}

enum hw_status hw_record_write(struct hw_buf *out, const struct hw_entry *e)
{
    char timestamp[HW_TIMESTAMP_MAX];

    hw_timestamp_text(e->timestamp_ms, timestamp);
    hw_buf_append_slice(out, HW_SLICE("{\"id\":\""));
    hw_buf_append_slice(out, e->id);
    hw_buf_append_slice(out, HW_SLICE("\",\"type\":\""));
    hw_buf_append_slice(out, e->type);
    hw_buf_append_slice(out, HW_SLICE("\",\"timestamp\":\""));
    hw_buf_append_str(out, timestamp);
    hw_buf_append_slice(out, HW_SLICE("\",\"account\":\""));
    hw_buf_append_slice(out, e->account);
    hw_buf_append_char(out, '"');
    if (e->subject.len > 0)
        append_subject(out, e->subject);
    hw_buf_append_slice(out, HW_SLICE(",\"level\":\""));
    hw_buf_append_str(out, level_text(e->level));
    hw_buf_append_slice(out, HW_SLICE("\",\"data\":"));
    append_payload(out, e->payload);
    hw_buf_append_char(out, '}');
    return hw_buf_failed(out);
}

/* --- the member raw --------------------------------------------------------------- */

/* Could a name in the data be "raw"?  Most payloads say no here, and are not walked. */
static bool has_raw_candidate(struct hw_slice data)
{
    const char *at = data.data, *end = data.data + data.len;

    if (data.data[0] != '{')
        return false;
    if (memmem(at, data.len, "\"raw\"", 5) != NULL)
        return true;
    /* One of the letters as an escape: \u0072, \u0061, \u0077. */
    while ((at = memchr(at, '\\', (size_t)(end - at))) != NULL) {
        at++;
        if (end - at >= 5 && memcmp(at, "u00", 3) == 0 && (at[3] == '6' || at[3] == '7') &&
            (at[4] == '1' || at[4] == '2' || at[4] == '7'))
            return true;
    }
    return false;
}

/* Behind the comma at the front of `text`, if there is one. */
static const char *skip_comma(struct hw_slice text)
{
    size_t i = 0;

    while (i < text.len && (text.data[i] == ' ' || text.data[i] == '\t'))
        i++;
    return i < text.len && text.data[i] == ',' ? text.data + i + 1 : text.data;
}

/* The comma that goes with a member is the one before it; with the first, the one behind. */
static void find_raw(struct hw_record *r)
{
    struct hw_slice left = r->data, behind = { 0 };
    const char *from = NULL;
    struct hw_json_member member;
    bool begins_data = false;

    for (struct hw_slice before = left; hw_json_next_member(&left, &member); before = left) {
        if (!hw_json_name_is(member.name, "raw"))
            continue;
        if (from == NULL) {
            begins_data = before.data == r->data.data;
            from = begins_data ? member.name.data - 1 : before.data;
        }
        behind = left;
    }
    if (from == NULL)
        return;
    const char *to = begins_data ? skip_comma(behind) : behind.data;
    r->raw_from = (size_t)(from - r->bytes.data);
    r->raw_to = (size_t)(to - r->bytes.data);
}

/* --- reading ---------------------------------------------------------------------- */

static bool take(struct hw_slice *left, struct hw_slice expected)
{
    if (!hw_slice_starts(*left, expected))
        return false;
    *left = hw_slice_from(*left, expected.len);
    return true;
}

/* Up to the next quote, and the quote. */
static bool take_text(struct hw_slice *left, struct hw_slice *text)
{
    size_t len = hw_slice_find(*left, '"');

    *text = hw_slice(left->data, len);
    if (len == left->len)
        return false;
    *left = hw_slice_from(*left, len + 1);
    return true;
}

/* "2026-03-09T12:00:00.000Z" */
static bool is_timestamp(struct hw_slice text)
{
    static const char shape[] = "0000-00-00T00:00:00.000Z";

    if (text.len != sizeof shape - 1)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        bool is_digit = text.data[i] >= '0' && text.data[i] <= '9';
        if (shape[i] == '0' ? !is_digit : text.data[i] != shape[i])
            return false;
    }
    return true;
}

/* Up to the closing quote, and the quote: printable ASCII, and of escapes the two that we
 * write. */
static bool take_subject(struct hw_slice *left, struct hw_slice *subject)
{
    size_t len = 0;

    for (; len < left->len && left->data[len] != '"'; len++) {
        if (left->data[len] < 0x20 || left->data[len] > 0x7e)
            return false;
        if (left->data[len] != '\\')
            continue;
        len++;
        if (len == left->len || (left->data[len] != '"' && left->data[len] != '\\'))
            return false;
    }
    if (len == 0 || len == left->len)
        return false;
    *subject = hw_slice(left->data, len);
    *left = hw_slice_from(*left, len + 1);
    return true;
}

static bool take_level(struct hw_slice *left, enum hw_level *level)
{
    struct hw_slice text;

    if (!take_text(left, &text))
        return false;
    *level = hw_slice_is(text, "progress") ? HW_LEVEL_PROGRESS : HW_LEVEL_USER;
    return *level == HW_LEVEL_PROGRESS || hw_slice_is(text, "user");
}

bool hw_record_read(struct hw_record *r, struct hw_slice bytes)
{
    struct hw_slice left = bytes;

    *r = (struct hw_record){ .bytes = bytes };
    if (!take(&left, HW_SLICE("{\"id\":\"")) || !take_text(&left, &r->id) ||
        !take(&left, HW_SLICE(",\"type\":\"")) || !take_text(&left, &r->type) ||
        !take(&left, HW_SLICE(",\"timestamp\":\"")) || !take_text(&left, &r->timestamp) ||
        !take(&left, HW_SLICE(",\"account\":\"")) || !take_text(&left, &r->account))
        return false;
    r->has_subject = take(&left, HW_SLICE(",\"subject\":\""));
    if (r->has_subject && !take_subject(&left, &r->subject))
        return false;
    if (!take(&left, HW_SLICE(",\"level\":\"")) || !take_level(&left, &r->level) ||
        !take(&left, HW_SLICE(",\"data\":")))
        return false;
    if (left.len < 2 || left.data[left.len - 1] != '}')
        return false;
    r->data = hw_slice(left.data, left.len - 1);
    /* These become header fields and keys. */
    if (!hw_entry_id_is_valid(r->id) || !hw_entry_type_is_valid(r->type) ||
        !is_timestamp(r->timestamp) || !hw_entry_account_is_valid(r->account))
        return false;
    if (has_raw_candidate(r->data))
        find_raw(r);
    return true;
}

/* --- uses ------------------------------------------------------------------------- */

size_t hw_record_body(const struct hw_record *r, bool format_raw, bool include_raw,
                      struct hw_slice pieces[2])
{
    struct hw_slice whole = format_raw ? r->data : r->bytes;

    if (include_raw || r->raw_to == 0) {
        pieces[0] = whole;
        return 1;
    }
    const char *from = r->bytes.data + r->raw_from;
    const char *to = r->bytes.data + r->raw_to;
    pieces[0] = hw_slice(whole.data, (size_t)(from - whole.data));
    pieces[1] = hw_slice(to, (size_t)(whole.data + whole.len - to));
    return 2;
}

enum hw_status hw_record_subject(const struct hw_record *r, struct hw_buf *out)
{
    struct hw_slice left = r->subject;

    while (left.len > 0) {
        size_t plain = hw_slice_find(left, '\\');
        hw_buf_append(out, left.data, plain);
        if (plain == left.len)
            break;
        /* hw_record_read saw that something follows a backslash. */
        hw_buf_append_char(out, left.data[plain + 1]);
        left = hw_slice_from(left, plain + 2);
    }
    return hw_buf_failed(out);
}
