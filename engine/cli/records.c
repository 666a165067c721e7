#include "cli/records.h"

#include "rules/json.h"

enum { LIMIT_MAX = 200, DATA_SHOWN = 1000 };

static const struct hw_column columns[] = {
    { "TIME (UTC)", 0, 0, false }, { "TYPE", 14, 0, false }, { "SUBJECT", 12, 2, false },
    { "EVENT", 0, 0, false },      { "DATA", 12, 1, false },
};

void hw_records_init(struct hw_records *r, struct hw_shell *s)
{
    *r = (struct hw_records){ .shell = s, .base = hw_buf_len(&s->target), .is_empty = true };
    hw_table_init(&r->table, columns, sizeof columns / sizeof *columns);
}

void hw_records_close(struct hw_records *r)
{
    hw_table_close(&r->table);
}

/* --- taking an answer apart -------------------------------------------------------- */

static struct hw_slice find_member(struct hw_slice object, const char *name)
{
    struct hw_json_member member;

    while (hw_json_next_member(&object, &member))
        if (hw_json_name_is(member.name, name))
            return member.value;
    return hw_slice(NULL, 0);
}

/* A text member without its escapes; "" where there is none, or it does not fit. */
static void copy_text(struct hw_slice object, const char *name, char *out, size_t size)
{
    struct hw_slice value = find_member(object, name);
    json_t *text =
        value.len > 0 ? json_loadb(value.data, value.len, JSON_DECODE_ANY, NULL) : NULL;
    const char *chars = json_string_value(text);

    out[0] = '\0';
    if (chars != NULL && strlen(chars) < size)
        memcpy(out, chars, strlen(chars) + 1);
    json_decref(text);
}

static void set_target(struct hw_records *r, const char *cursor, unsigned limit,
                       unsigned wait_s)
{
    struct hw_shell *s = r->shell;
    char text[16];

    hw_buf_cut(&s->target, r->base);
    snprintf(text, sizeof text, "%u", limit);
    hw_shell_where(s, "limit", limit > 0 ? text : NULL);
    hw_shell_where(s, "cursor", cursor);
    snprintf(text, sizeof text, "%u", wait_s);
    hw_shell_where(s, "wait", wait_s > 0 ? text : NULL);
}

bool hw_records_get(struct hw_records *r, const char *cursor, unsigned limit, unsigned wait_s)
{
    struct hw_slice answer, at, item;

    set_target(r, cursor, limit, wait_s); /* `cursor` may be r->next */
    r->next[0] = '\0';
    r->page = hw_slice(NULL, 0);
    if (!hw_shell_read(r->shell, &answer))
        return false;
    at = r->page = find_member(answer, "data");
    r->is_empty = !hw_json_next_item(&at, &item);
    r->has_more = hw_slice_is(find_member(answer, "has_more"), "true");
    copy_text(answer, "next_cursor", r->next, sizeof r->next);
    return true;
}

/* --- showing it -------------------------------------------------------------------- */

static void add_text(struct hw_table *t, struct hw_slice record, const char *name)
{
    char text[512]; /* a subject has at most 256 bytes, everything else less */

    copy_text(record, name, text, sizeof text);
    hw_table_adds(t, text);
}

/* Its beginning; never half a character. */
static void add_data(struct hw_table *t, struct hw_slice data)
{
    char text[DATA_SHOWN + 8];
    size_t n = DATA_SHOWN;

    if (data.len <= DATA_SHOWN) {
        hw_table_add(t, data, HW_TONE_PLAIN);
        return;
    }
    while (n > 0 && ((unsigned char)data.data[n] & 0xc0) == 0x80)
        n--;
    snprintf(text, sizeof text, "%.*s\xe2\x80\xa6", (int)n, data.data);
    hw_table_adds(t, text);
}

static void add_row(struct hw_table *t, struct hw_slice record)
{
    add_text(t, record, "timestamp");
    add_text(t, record, "type");
    add_text(t, record, "subject");
    add_text(t, record, "id");
    add_data(t, find_member(record, "data"));
}

bool hw_records_show(struct hw_records *r)
{
    struct hw_shell *s = r->shell;
    struct hw_slice rest = r->page, record;

    while (hw_json_next_item(&rest, &record)) {
        copy_text(record, "cursor", r->last, sizeof r->last);
        if (s->wishes.is_json)
            hw_shell_print_text(s, record);
        else
            add_row(&r->table, record);
    }
    if (hw_table_flush(&r->table, &s->screen, stdout) != HW_OK) {
        fprintf(stderr, "hookwheel %s: out of memory\n", s->family->name);
        return false;
    }
    return fflush(stdout) == 0;
}

size_t hw_records_ids(const struct hw_records *r, struct hw_buf *out)
{
    struct hw_slice rest = r->page, record;
    char id[HW_ID_MAX];
    size_t n = 0;

    while (hw_json_next_item(&rest, &record)) {
        copy_text(record, "id", id, sizeof id);
        hw_buf_appendf(out, "%s%s", n++ > 0 ? "," : "", id);
    }
    return n;
}

int hw_records_list(struct hw_records *r)
{
    const struct hw_wishes *w = &r->shell->wishes;
    unsigned limit = w->limit == 0 && w->wants_all ? LIMIT_MAX : w->limit;
    const char *cursor = w->cursor;

    do {
        if (!hw_records_get(r, cursor, limit, 0) || !hw_records_show(r))
            return 1;
        cursor = r->next;
    } while (r->has_more && w->wants_all && cursor[0] != '\0');
    if (r->last[0] == '\0')
        hw_shell_remark(r->shell, "No events.");
    return 0;
}
