#include "api/form.h"

#include "http/request.h"
#include "rules/json.h"

enum {
    NAME_MAX_BYTES = 256,
    TYPES_MAX = 256,
    FIELDS_MAX = 20,
    FIELDS_MAX_BYTES = 4096,
    RATE_MAX = 100000 /* requests per second */
};

struct form {
    struct hw_webhook *wh;             /* borrowed */
    const struct hw_form_rules *rules; /* borrowed */
    struct hw_problem *p;              /* borrowed */
};

#define REFUSE(f, field, ...)                                                                 \
    hw_problem_set((f)->p, HW_PROBLEM_INVALID_REQUEST, field, __VA_ARGS__)

static bool no_memory(struct hw_problem *p)
{
    return hw_problem_set(p, HW_PROBLEM_INTERNAL, NULL, "Out of memory.");
}

static bool done(const struct form *f, enum hw_status status)
{
    return status == HW_OK ? true : no_memory(f->p);
}

/* The text of a string; data is NULL for what is none. */
static struct hw_slice text_of(const json_t *value)
{
    return hw_slice(json_string_value(value), json_string_length(value));
}

/* --- the object ------------------------------------------------------------------ */

/* jansson stops right behind the second member's name; its message leaves long ones out. */
static bool refuse_repeated(struct hw_slice body, size_t end, struct hw_problem *p)
{
    size_t from = end - 1;
    char name[sizeof p->field];

    while (from > 0 &&
           (body.data[from - 1] != '"' || (from > 1 && body.data[from - 2] == '\\')))
        from--;
    snprintf(name, sizeof name, "%.*s", (int)(end - 1 - from), body.data + from);
    return hw_problem_set(p, HW_PROBLEM_INVALID_REQUEST, name, "The member is given twice.");
}

json_t *hw_form_object(struct hw_slice body, struct hw_problem *p)
{
    json_error_t error;
    json_t *object;

    if (hw_json_check(body, HW_JSON_DEPTH_MAX) == HW_ENTRY_TOO_DEEP) {
        hw_problem_set(p, HW_PROBLEM_INVALID_REQUEST, NULL,
                       "The body is nested more than %d levels deep.", HW_JSON_DEPTH_MAX);
        return NULL;
    }
    object = json_loadb(body.data ? body.data : "", body.len, JSON_REJECT_DUPLICATES, &error);
    if (json_is_object(object))
        return object;
    if (object != NULL)
        hw_problem_set(p, HW_PROBLEM_INVALID_REQUEST, NULL, "The body is not a JSON object.");
    else if (json_error_code(&error) == json_error_duplicate_key)
        refuse_repeated(body, (size_t)error.position, p);
    else if (json_error_code(&error) == json_error_out_of_memory)
        no_memory(p);
    else
        hw_problem_set(p, HW_PROBLEM_INVALID_REQUEST, NULL,
                       "The body is not valid JSON: %s (line %d, column %d).", error.text,
                       error.line, error.column);
    json_decref(object);
    return NULL;
}

/* --- the members ----------------------------------------------------------------- */

static bool read_account(struct form *f, const json_t *value)
{
    struct hw_slice text = text_of(value);

    if (!hw_entry_account_is_valid(text))
        return REFUSE(f, "account", "account is 1 to 64 letters, digits, _ or -.");
    if (f->rules->account != NULL && !hw_slice_is(text, f->rules->account))
        return REFUSE(f, "account", "The token is bound to another account.");
    return done(f, hw_webhook_set_text(&f->wh->account, text));
}

/* An address in the URL is known now; a name's addresses are looked at when it is called. */
static bool address_allowed(const struct form *f)
{
    const struct hw_url *url = &f->wh->url;
    struct hw_address address;

    if (!url->is_address || !hw_address_parse(&address, url->host))
        return true;
    return hw_address_allowed(f->rules->addresses, &address, !url->is_tls);
}

static bool read_url(struct form *f, const json_t *value)
{
    struct hw_cause cause = { 0 };
    enum hw_status status;

    if (!json_is_string(value))
        return REFUSE(f, "url", "url is a string.");
    status = hw_url_parse(&f->wh->url, text_of(value), &f->rules->url, &cause);
    if (status == HW_ENOMEM)
        return no_memory(f->p);
    if (status != HW_OK)
        return REFUSE(f, "url", "%s", cause.note);
    if (!address_allowed(f))
        return REFUSE(f, "url", "Deliveries to this address are refused: it is not public.");
    return true;
}

static bool read_name(struct form *f, const json_t *value)
{
    struct hw_slice text = text_of(value);
    bool is_plain = text.len >= 1 && text.len <= NAME_MAX_BYTES;

    for (size_t i = 0; is_plain && i < text.len; i++)
        is_plain = (unsigned char)text.data[i] >= 0x20 && text.data[i] != 0x7f;
    if (!is_plain)
        return REFUSE(f, "name",
                      "name is a string of 1 to %d bytes without control characters.",
                      NAME_MAX_BYTES);
    return done(f, hw_webhook_set_text(&f->wh->name, text));
}

/* The engine's own types can be asked for by name; no others of that family exist. */
static bool type_exists(struct hw_slice type)
{
    if (!hw_entry_type_is_valid(type))
        return false;
    return !hw_slice_starts(type, HW_SLICE("webhook.")) ||
           hw_slice_is(type, "webhook.disabled") || hw_slice_is(type, "webhook.test");
}

static bool read_types(struct form *f, const json_t *value)
{
    const json_t *item;
    size_t i;

    if (!json_is_array(value) || json_array_size(value) == 0 ||
        json_array_size(value) > TYPES_MAX)
        return REFUSE(f, "event_types",
                      "event_types is a list of 1 to %d types; left out: all.", TYPES_MAX);
    json_array_foreach (value, i, item) {
        struct hw_slice type = text_of(item);

        if (!type_exists(type))
            return REFUSE(f, "event_types", "\"%.*s\" is not an event type.",
                          (int)(type.len < 128 ? type.len : 128), type.data ? type.data : "");
        for (size_t k = 0; k < f->wh->n_event_types; k++)
            if (hw_slice_is(type, f->wh->event_types[k]))
                return REFUSE(f, "event_types", "%s is named twice.", f->wh->event_types[k]);
        if (!done(f, hw_webhook_add_type(f->wh, type)))
            return false;
    }
    return true;
}

static bool read_subject(struct form *f, const json_t *value)
{
    struct hw_slice text = text_of(value);

    if (!hw_entry_subject_is_valid(text))
        return REFUSE(f, "subject", "subject is 1 to 256 bytes of printable ASCII.");
    return done(f, hw_webhook_set_text(&f->wh->subject, text));
}

static bool read_level(struct form *f, const json_t *value)
{
    struct hw_slice text = text_of(value);

    if (!hw_slice_is(text, "user") && !hw_slice_is(text, "progress"))
        return REFUSE(f, "level", "level is \"user\" or \"progress\".");
    f->wh->level = hw_slice_is(text, "progress") ? HW_LEVEL_PROGRESS : HW_LEVEL_USER;
    return true;
}

static bool read_include_raw(struct form *f, const json_t *value)
{
    if (!json_is_boolean(value))
        return REFUSE(f, "include_raw", "include_raw is true or false.");
    f->wh->include_raw = json_is_true(value);
    return true;
}

static bool read_format(struct form *f, const json_t *value)
{
    struct hw_slice text = text_of(value);

    if (!hw_slice_is(text, "record") && !hw_slice_is(text, "raw"))
        return REFUSE(f, "format", "format is \"record\" or \"raw\".");
    f->wh->format_raw = hw_slice_is(text, "raw");
    return true;
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
static bool may_be_field(struct form *f, const char *member, struct hw_slice name)
{
    int shown = (int)(name.len < 64 ? name.len : 64);

    if (!is_token(name) || name.len > 256)
        return REFUSE(f, member, "\"%.*s\" is not a header name.", shown,
                      name.data ? name.data : "");
    if (!hw_request_field_allowed(name))
        return REFUSE(f, member, "The header %.*s cannot be set.", shown, name.data);
    return true;
}

static bool has_field(const struct hw_webhook *wh, struct hw_slice name)
{
    for (size_t i = 0; i < wh->n_fields; i++)
        if (hw_slice_ieq(name, hw_slice_str(wh->fields[i].name)))
            return true;
    return false;
}

static bool add_field(struct form *f, struct hw_slice name, const json_t *value)
{
    if (!may_be_field(f, "headers", name))
        return false;
    if (!json_is_string(value) || !is_field_value(text_of(value)))
        return REFUSE(f, "headers", "The value of %.64s is not a string of visible ASCII.",
                      name.data);
    if (has_field(f->wh, name))
        return REFUSE(f, "headers", "%.64s is given twice.", name.data);
    return done(f, hw_webhook_add_field(f->wh, name, text_of(value)));
}

static bool read_fields(struct form *f, const json_t *value)
{
    size_t n_bytes = 0;
    const char *name;
    json_t *item;

    if (!json_is_object(value) || json_object_size(value) > FIELDS_MAX)
        return REFUSE(f, "headers", "headers is an object of at most %d names and values.",
                      FIELDS_MAX);
    json_object_foreach ((json_t *)value, name, item)
        n_bytes += strlen(name) + json_string_length(item);
    if (n_bytes > FIELDS_MAX_BYTES)
        return REFUSE(f, "headers", "headers are over %d bytes in all.", FIELDS_MAX_BYTES);
    json_object_foreach ((json_t *)value, name, item)
        if (!add_field(f, hw_slice_str(name), item))
            return false;
    return true;
}

static bool read_signature(struct form *f, const json_t *value)
{
    struct hw_slice name = text_of(json_object_get(value, "name"));
    const char *member;
    json_t *item;

    if (!json_is_object(value))
        return REFUSE(f, "signature_header",
                      "signature_header is an object: name and format.");
    json_object_foreach ((json_t *)value, member, item)
        if (strcmp(member, "name") != 0 && strcmp(member, "format") != 0)
            return REFUSE(f, "signature_header", "signature_header has only name and format.");
    if (!may_be_field(f, "signature_header", name))
        return false;
    f->wh->signature_format =
        hw_signature_format_parse(text_of(json_object_get(value, "format")));
    if (f->wh->signature_format == HW_SIGNATURE_NONE)
        return REFUSE(f, "signature_header", "The format is \"hex\" or \"sha256=hex\".");
    return done(f, hw_webhook_set_text(&f->wh->signature_name, name));
}

static bool read_secret(struct form *f, const json_t *value)
{
    if (!json_is_string(value) || hw_webhook_set_secret(f->wh, text_of(value), NULL) != HW_OK)
        return REFUSE(f, "secret", "secret is whsec_ and the base64 of %d to %d bytes.",
                      HW_SIGN_KEY_MIN, HW_SIGN_KEY_MAX);
    return true;
}

static bool read_count(struct form *f, const char *member, const json_t *value, unsigned most,
                       unsigned *count)
{
    json_int_t number = json_integer_value(value);

    if (!json_is_integer(value) || number < 1 || number > (json_int_t)most)
        return REFUSE(f, member, "%s is a whole number from 1 to %u.", member, most);
    *count = (unsigned)number;
    return true;
}

static bool read_max_in_flight(struct form *f, const json_t *value)
{
    return read_count(f, "max_in_flight", value, f->rules->max_in_flight_max,
                      &f->wh->max_in_flight);
}

static bool read_rate(struct form *f, const json_t *value)
{
    return read_count(f, "rate_limit", value, RATE_MAX, &f->wh->rate_per_s);
}

/* Members that read back as null where they are not set may be given as null. */
static const struct {
    const char *name;
    bool may_be_null;
    bool (*read)(struct form *f, const json_t *value);
} members[] = {
    { "account", false, read_account },
    { "url", false, read_url },
    { "name", true, read_name },
    { "event_types", true, read_types },
    { "subject", true, read_subject },
    { "level", false, read_level },
    { "include_raw", false, read_include_raw },
    { "format", false, read_format },
    { "headers", false, read_fields },
    { "signature_header", true, read_signature },
    { "secret", false, read_secret },
    { "max_in_flight", false, read_max_in_flight },
    { "rate_limit", true, read_rate },
};
enum { N_MEMBERS = sizeof members / sizeof members[0] };

static bool read_member(struct form *f, const char *name, const json_t *value)
{
    for (size_t i = 0; i < N_MEMBERS; i++)
        if (strcmp(name, members[i].name) == 0)
            return (json_is_null(value) && members[i].may_be_null) ||
                   members[i].read(f, value);
    return REFUSE(f, name, "There is no such member.");
}

static bool read_members(struct form *f, json_t *object)
{
    const char *name;
    json_t *value;

    json_object_foreach (object, name, value)
        if (!read_member(f, name, value))
            return false;
    return true;
}

/* What is not given, and what members must not be together. */
static bool complete(struct form *f)
{
    struct hw_webhook *wh = f->wh;
    const char *account = f->rules->account ? f->rules->account : "default";
    char secret[HW_SIGN_SECRET_MAX];

    if (wh->url.text == NULL)
        return REFUSE(f, "url", "url is missing.");
    if (wh->signature_name != NULL && has_field(wh, hw_slice_str(wh->signature_name)))
        return REFUSE(f, "signature_header", "%.64s is among the headers too.",
                      wh->signature_name);
    if (wh->account == NULL &&
        !done(f, hw_webhook_set_text(&wh->account, hw_slice_str(account))))
        return false;
    if (wh->max_in_flight == 0)
        wh->max_in_flight = f->rules->max_in_flight;
    if (wh->key.len != 0)
        return true;
    hw_sign_secret_make(secret);
    return done(f, hw_webhook_set_secret(wh, hw_slice_str(secret), NULL));
}

bool hw_form_read(struct hw_webhook *wh, struct hw_slice body,
                  const struct hw_form_rules *rules, struct hw_problem *p)
{
    struct form f = { .wh = wh, .rules = rules, .p = p };
    json_t *object = hw_form_object(body, p);
    bool is_good;

    if (object == NULL)
        return false;
    is_good = read_members(&f, object) && complete(&f);
    json_decref(object);
    return is_good;
}
