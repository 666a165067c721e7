#include "api/fields.h"

#include "http/request.h"

enum { FIELDS_MAX = 20, FIELDS_MAX_BYTES = 4096, NAME_MAX_BYTES = 256 };

#define REFUSE(p, field, ...) hw_problem_set(p, HW_PROBLEM_INVALID_REQUEST, field, __VA_ARGS__)

static bool done(struct hw_problem *p, enum hw_status status)
{
    return status == HW_OK || hw_problem_set(p, HW_PROBLEM_INTERNAL, NULL, "Out of memory.");
}

/* The text of a string; data is NULL for what is none. */
static struct hw_slice text_of(const json_t *value)
{
    return hw_slice(json_string_value(value), json_string_length(value));
}

/* RFC 9110 5.6.2: token */
static bool is_token(struct hw_slice name)
{
    static const char marks[] = "!#$%&'*+-.^_`|~";

    for (size_t i = 0; i < name.len; i++) {
        char c = name.data[i];
        bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!is_letter && !(c >= '0' && c <= '9') && (c == '\0' || strchr(marks, c) == NULL))
            return false;
    }
    return name.len > 0;
}

/* Visible ASCII, with spaces inside. */
static bool is_field_value(struct hw_slice value)
{
    for (size_t i = 0; i < value.len; i++)
        if (value.data[i] < 0x20 || value.data[i] > 0x7e)
            return false;
    return value.len == 0 || (value.data[0] != ' ' && value.data[value.len - 1] != ' ');
}

/* Names of settable headers, for headers and signature_header alike. */
static bool may_be_field(const char *member, struct hw_slice name, struct hw_problem *p)
{
    int shown = (int)(name.len < 64 ? name.len : 64);

    if (!is_token(name) || name.len > NAME_MAX_BYTES)
        return REFUSE(p, member, "\"%.*s\" is not a header name.", shown,
                      name.data ? name.data : "");
    if (!hw_request_field_allowed(name))
        return REFUSE(p, member, "The header %.*s cannot be set.", shown, name.data);
    return true;
}

/* The value that the webhook has under that name; data is NULL: none. */
static struct hw_slice find_value(const struct hw_webhook *wh, struct hw_slice name)
{
    for (size_t i = 0; i < wh->n_fields; i++)
        if (hw_slice_ieq(name, hw_slice_str(wh->fields[i].name)))
            return hw_slice_str(wh->fields[i].value);
    return hw_slice(NULL, 0);
}

/* --- headers ----------------------------------------------------------------------- */

struct reading {
    const struct hw_webhook
        *before;              /* borrowed: has the values that are kept; NULL: a draft */
    struct hw_webhook *after; /* borrowed: gets them */
    struct hw_problem *p;     /* borrowed */
};

static bool add(struct reading *r, struct hw_slice name, struct hw_slice value)
{
    /* static_fields has ": " and the end of the line of each besides. */
    size_t n_bytes = hw_buf_len(&r->after->static_fields) - 4 * r->after->n_fields;

    if (find_value(r->after, name).data != NULL)
        return REFUSE(r->p, "headers", "%.64s is given twice.", name.data);
    if (n_bytes + name.len + value.len > FIELDS_MAX_BYTES)
        return REFUSE(r->p, "headers", "headers are over %d bytes in all.", FIELDS_MAX_BYTES);
    return done(r->p, hw_webhook_add_field(r->after, name, value));
}

static bool read_one(struct reading *r, struct hw_slice name, const json_t *given)
{
    struct hw_slice value = text_of(given);

    if (!may_be_field("headers", name, r->p))
        return false;
    if (!json_is_string(given) || !is_field_value(value))
        return REFUSE(r->p, "headers", "The value of %.64s is not a string of visible ASCII.",
                      name.data);
    if (r->before != NULL && hw_slice_is(value, HW_FIELD_HIDDEN)) {
        value = find_value(r->before, name);
        if (value.data == NULL)
            return REFUSE(r->p, "headers",
                          "%.64s is \"" HW_FIELD_HIDDEN
                          "\", as values read back, and there is none to keep.",
                          name.data);
    }
    return add(r, name, value);
}

static bool read_all(struct reading *r, json_t *value)
{
    const char *name;
    json_t *item;

    if (!json_is_object(value) || json_object_size(value) > FIELDS_MAX)
        return REFUSE(r->p, "headers", "headers is an object of at most %d names and values.",
                      FIELDS_MAX);
    json_object_foreach (value, name, item)
        if (!read_one(r, hw_slice_str(name), item))
            return false;
    return true;
}

static void swap_fields(struct hw_webhook *a, struct hw_webhook *b)
{
    struct hw_webhook_field *fields = a->fields;
    struct hw_buf static_fields = a->static_fields;
    size_t n_fields = a->n_fields;

    a->fields = b->fields;
    a->n_fields = b->n_fields;
    a->static_fields = b->static_fields;
    b->fields = fields;
    b->n_fields = n_fields;
    b->static_fields = static_fields;
}

bool hw_fields_read(struct hw_webhook *wh, json_t *value, bool is_draft, struct hw_problem *p)
{
    struct hw_webhook *after = hw_webhook_new();
    struct reading r = { .before = is_draft ? NULL : wh, .after = after, .p = p };
    bool is_good;

    if (after == NULL)
        return done(p, HW_ENOMEM);
    is_good = read_all(&r, value);
    if (is_good)
        swap_fields(wh, after);
    hw_webhook_release(after);
    return is_good;
}

/* --- signature_header ---------------------------------------------------------------- */

bool hw_fields_read_signature(struct hw_webhook *wh, json_t *value, struct hw_problem *p)
{
    struct hw_slice name = text_of(json_object_get(value, "name"));
    enum hw_signature_format format =
        hw_signature_format_parse(text_of(json_object_get(value, "format")));
    const char *member;
    json_t *item;

    if (!json_is_object(value))
        return REFUSE(p, "signature_header",
                      "signature_header is an object: name and format.");
    json_object_foreach (value, member, item)
        if (strcmp(member, "name") != 0 && strcmp(member, "format") != 0)
            return REFUSE(p, "signature_header", "signature_header has only name and format.");
    if (!may_be_field("signature_header", name, p))
        return false;
    if (format == HW_SIGNATURE_NONE)
        return REFUSE(p, "signature_header", "The format is \"hex\" or \"sha256=hex\".");
    if (!done(p, hw_webhook_set_text(&wh->signature_name, name)))
        return false;
    wh->signature_format = format;
    return true;
}

bool hw_fields_check(const struct hw_webhook *wh, struct hw_problem *p)
{
    if (wh->signature_name == NULL ||
        find_value(wh, hw_slice_str(wh->signature_name)).data == NULL)
        return true;
    return REFUSE(p, "signature_header", "%.64s is among the headers too.",
                  wh->signature_name);
}
