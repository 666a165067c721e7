#include "cli/event_line.h"

#include <jansson.h>

#include "rules/json.h"

static const char *const strings[] = { "type",  "account",   "subject",    "id",
                                       "level", "timestamp", "traceparent" };
enum { N_STRINGS = sizeof strings / sizeof *strings };

#define TEXT_MAX (64 * 1024)

void hw_event_line_init(struct hw_event_line *e)
{
    e->n_fields = 0;
    hw_buf_init(&e->text, TEXT_MAX);
}

void hw_event_line_close(struct hw_event_line *e)
{
    hw_buf_close(&e->text);
}

void hw_event_line_reset(struct hw_event_line *e)
{
    e->n_fields = 0;
    hw_buf_reset(&e->text);
}

void hw_event_line_add(struct hw_event_line *e, const char *name, struct hw_slice value)
{
    if (value.data == NULL || e->n_fields == HW_EVENT_LINE_FIELDS)
        return;
    e->fields[e->n_fields++] =
        (struct hw_entry_field){ .name = hw_slice_str(name), .value = value };
}

/* A JSON string's text.  Escapes are undone into e->text, whose room was reserved for a whole
 * line, so that what borrows from it stays. */
static enum hw_status string_value(struct hw_event_line *e, const char *name,
                                   struct hw_slice json, struct hw_slice *value,
                                   struct hw_cause *cause)
{
    json_t *string;
    size_t at = hw_buf_len(&e->text);

    if (json.len < 2 || json.data[0] != '"')
        return hw_cause_set(cause, HW_EINVAL, HW_ORIGIN_US, 0, "\"%s\" is not a string", name);
    *value = hw_slice(json.data + 1, json.len - 2);
    if (hw_slice_find(*value, '\\') == value->len)
        return HW_OK;
    string = json_loadb(json.data, json.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
    if (string == NULL)
        return hw_cause_set(cause, HW_EINVAL, HW_ORIGIN_US, 0,
                            "\"%s\" has an escape that is no character", name);
    hw_buf_append(&e->text, json_string_value(string), json_string_length(string));
    json_decref(string);
    *value = hw_slice_from(hw_buf_slice(&e->text), at);
    return hw_buf_failed(&e->text) == HW_OK
               ? HW_OK
               : hw_cause_set(cause, HW_EINVAL, HW_ORIGIN_US, 0, "\"%s\" is too long", name);
}

static enum hw_status read_member(struct hw_event_line *e, const struct hw_json_member *member,
                                  struct hw_cause *cause)
{
    struct hw_slice value = member->value;
    const char *name = NULL;
    enum hw_status status = HW_OK;

    if (hw_json_name_is(member->name, "payload"))
        name = "payload";
    for (size_t i = 0; i < N_STRINGS && name == NULL; i++)
        if (hw_json_name_is(member->name, strings[i])) {
            name = strings[i];
            status = string_value(e, name, member->value, &value, cause);
        }
    if (name == NULL)
        return hw_cause_set(cause, HW_EINVAL, HW_ORIGIN_US, 0, "unknown member \"%.*s\"",
                            member->name.len > 60 ? 60 : (int)member->name.len,
                            member->name.data);
    if (e->n_fields == HW_EVENT_LINE_FIELDS)
        return hw_cause_set(cause, HW_EINVAL, HW_ORIGIN_US, 0, "a member is there twice");
    hw_event_line_add(e, name, value);
    return status;
}

enum hw_status hw_event_line_read(struct hw_event_line *e, struct hw_slice line,
                                  struct hw_cause *cause)
{
    struct hw_json_member member;
    struct hw_slice at = line;
    enum hw_status status = HW_OK;

    hw_event_line_reset(e);
    switch (hw_json_check(line, HW_JSON_DEPTH_MAX)) {
    case HW_ENTRY_GOOD:
        break;
    case HW_ENTRY_TOO_DEEP:
        return hw_cause_set(cause, HW_EINVAL, HW_ORIGIN_US, 0, "deeper than %d levels",
                            HW_JSON_DEPTH_MAX);
    default:
        return hw_cause_set(cause, HW_EINVAL, HW_ORIGIN_US, 0, "not JSON");
    }
    while (at.len > 0 && (at.data[0] == ' ' || at.data[0] == '\t' || at.data[0] == '\r'))
        at = hw_slice_from(at, 1);
    if (at.len == 0 || at.data[0] != '{')
        return hw_cause_set(cause, HW_EINVAL, HW_ORIGIN_US, 0, "not a JSON object");
    /* Room for all texts at once: the buffer must not move below slices that point into it. */
    if (hw_buf_reserve(&e->text, line.len < TEXT_MAX ? line.len : TEXT_MAX) != HW_OK)
        return hw_cause_set(cause, HW_ENOMEM, HW_ORIGIN_US, 0, "out of memory");
    while (status == HW_OK && hw_json_next_member(&at, &member))
        status = read_member(e, &member, cause);
    return status;
}

enum hw_status hw_event_line_check(const struct hw_event_line *e, size_t max_payload_bytes,
                                   struct hw_cause *cause)
{
    const struct hw_entry_limits limits = { .max_payload_bytes = max_payload_bytes };
    /* Any id will do: it decides nothing about an entry's fields. */
    const struct hw_stream_id id = { .ms = 1, .seq = 0 };
    struct hw_entry entry;
    enum hw_entry_reason reason = hw_entry_check(&entry, id, e->fields, e->n_fields, &limits);

    if (reason == HW_ENTRY_GOOD)
        return HW_OK;
    return hw_cause_set(cause, HW_EINVAL, HW_ORIGIN_US, 0, "not a good event: %s",
                        hw_entry_reason_text(reason));
}
