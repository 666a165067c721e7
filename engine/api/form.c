#include "api/form.h"

#include "api/fields.h"
#include "api/paging.h"
#include "hookwheel/alloc.h"
#include "rules/json.h"
#include "rules/sign.h"

enum {
    NAME_MAX_BYTES = 256,
    TYPES_MAX = 256,
    RATE_MAX = 100000 /* requests per second */
};

struct form {
    struct hw_webhook *wh;             /* borrowed */
    const struct hw_form_rules *rules; /* borrowed */
    struct hw_problem *p;              /* borrowed */
    struct hw_form_backfill backfill;
    bool is_draft;                     /* wh stands for one that is not known yet */
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
    return hw_problem_set(p, HW_PROBLEM_INVALID_REQUEST, name,
                          "The member is given twice; give it once.");
}

/* The name, as it stands, of the member that this place in the body belongs to. */
static void find_member_at(struct hw_slice body, size_t at, char *name, size_t size)
{
    struct hw_slice left = body;
    struct hw_json_member member;

    name[0] = '\0';
    while (body.len - left.len < at && hw_json_next_member(&left, &member))
        snprintf(name, size, "%.*s", HW_SLICE_FMT(member.name));
}

static bool refuse_kind(struct hw_problem *p)
{
    return hw_problem_set(p, HW_PROBLEM_INVALID_REQUEST, NULL,
                          "The body is not a JSON object; send one.");
}

/* Good JSON, but with a value that nothing here takes and jansson does not read. */
static bool refuse_value(struct hw_slice body, const json_error_t *error, struct hw_problem *p)
{
    char name[sizeof p->field];

    find_member_at(body, (size_t)error->position, name, sizeof name);
    if (name[0] == '\0')
        return refuse_kind(p);
    switch (json_error_code(error)) {
    case json_error_numeric_overflow:
        return hw_problem_set(p, HW_PROBLEM_INVALID_REQUEST, name,
                              "The number is larger than any that is taken here.");
    case json_error_null_character:
    case json_error_null_byte_in_key:
        return hw_problem_set(p, HW_PROBLEM_INVALID_REQUEST, name,
                              "There is a \\u0000 in it; leave it out.");
    default:
        return hw_problem_set(p, HW_PROBLEM_INVALID_REQUEST, name,
                              "There is an escape in it that stands for no character.");
    }
}

json_t *hw_form_object(struct hw_slice body, struct hw_problem *p)
{
    enum hw_entry_reason reason = hw_json_check(body, HW_JSON_DEPTH_MAX);
    json_error_t error;
    json_t *object;

    if (reason == HW_ENTRY_TOO_DEEP) {
        hw_problem_set(p, HW_PROBLEM_INVALID_REQUEST, NULL,
                       "The body is nested more than %d levels deep.", HW_JSON_DEPTH_MAX);
        return NULL;
    }
    object = json_loadb(body.data ? body.data : "", body.len, JSON_REJECT_DUPLICATES, &error);
    if (json_is_object(object))
        return object;
    if (object != NULL)
        refuse_kind(p);
    else if (json_error_code(&error) == json_error_duplicate_key)
        refuse_repeated(body, (size_t)error.position, p);
    else if (json_error_code(&error) == json_error_out_of_memory)
        no_memory(p);
    else if (reason == HW_ENTRY_GOOD)
        refuse_value(body, &error, p);
    else
        hw_problem_set(p, HW_PROBLEM_INVALID_REQUEST, NULL,
                       "The body is not valid JSON: %s (line %d, column %d).", error.text,
                       error.line, error.column);
    json_decref(object);
    return NULL;
}

/* --- the members ----------------------------------------------------------------- */

static bool read_account(struct form *f, json_t *value)
{
    const char *own = f->rules->caller->account;
    struct hw_slice text = text_of(value);

    if (!hw_entry_account_is_valid(text))
        return REFUSE(f, "account", "account is 1 to 64 letters, digits, _ or -.");
    if (own != NULL && !hw_slice_is(text, own))
        return REFUSE(f, "account",
                      "The token is bound to another account; leave account out.");
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

static bool refuse_account(struct form *f, json_t *value)
{
    (void)value;
    return REFUSE(f, "account", "The account of a webhook cannot be changed.");
}

static bool read_url(struct form *f, json_t *value)
{
    struct hw_cause cause = { 0 };
    enum hw_status status;

    if (!json_is_string(value))
        return REFUSE(f, "url", "url is a string.");
    hw_url_close(&f->wh->url);
    status = hw_url_parse(&f->wh->url, text_of(value), &f->rules->url, &cause);
    if (status == HW_ENOMEM)
        return no_memory(f->p);
    if (status != HW_OK)
        return REFUSE(f, "url", "%s", cause.note);
    if (!address_allowed(f))
        return REFUSE(f, "url", "Deliveries to this address are refused: it is not public.");
    return true;
}

static bool read_name(struct form *f, json_t *value)
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

static void clear_name(struct hw_webhook *wh)
{
    hw_free(wh->name);
    wh->name = NULL;
}

/* The engine's own types can be asked for by name; no others of that family exist. */
static bool is_own(struct hw_slice type)
{
    return hw_slice_is(type, "webhook.disabled") || hw_slice_is(type, "webhook.test");
}

/* Asked of the caller, and of what the webhook keeps of its creator: what either cannot read
 * would be subscribed to and never come. */
static bool may_read(struct form *f, struct hw_slice type)
{
    const struct hw_catalogue *catalogue = f->rules->catalogue;
    const char *missing = NULL;

    if (!hw_caller_may_read(f->rules->caller, catalogue, type, &missing))
        return hw_caller_refuse(f->p, missing);
    if (f->wh->reads_all || hw_catalogue_may_read(catalogue, &f->wh->readable, type, &missing))
        return true;
    hw_caller_refuse(f->p, missing);
    snprintf(f->p->message, sizeof f->p->message,
             "The webhook was created with a token that cannot read %.*s; create another.",
             (int)type.len, type.data);
    return false;
}

/* While the catalogue is empty, every well-formed type. */
static bool may_subscribe(struct form *f, struct hw_slice type)
{
    const struct hw_catalogue *catalogue = f->rules->catalogue;
    bool is_ours = hw_slice_starts(type, HW_SLICE("webhook."));

    if (!hw_entry_type_is_valid(type) || (is_ours && !is_own(type)))
        return REFUSE(f, "event_types", "\"%.*s\" is not an event type.",
                      (int)(type.len < 128 ? type.len : 128), type.data ? type.data : "");
    if (is_ours || catalogue->n_types == 0)
        return true;
    if (hw_catalogue_find(catalogue, type) != NULL)
        return may_read(f, type);
    REFUSE(f, "event_types", "There is no event type %.*s; take one of those that there are.",
           (int)type.len, type.data);
    f->p->lists_types = true;
    return false;
}

static bool add_type(struct form *f, struct hw_slice type)
{
    if (!may_subscribe(f, type))
        return false;
    for (size_t i = 0; i < f->wh->n_event_types; i++)
        if (hw_slice_is(type, f->wh->event_types[i]))
            return REFUSE(f, "event_types", "%s is named twice.", f->wh->event_types[i]);
    return done(f, hw_webhook_add_type(f->wh, type));
}

static bool read_types(struct form *f, json_t *value)
{
    const json_t *item;
    size_t i;

    if (!json_is_array(value) || json_array_size(value) == 0 ||
        json_array_size(value) > TYPES_MAX)
        return REFUSE(f, "event_types",
                      "event_types is a list of 1 to %d types; left out: all.", TYPES_MAX);
    hw_webhook_clear_types(f->wh);
    json_array_foreach (value, i, item)
        if (!add_type(f, text_of(item)))
            return false;
    return true;
}

static bool read_subject(struct form *f, json_t *value)
{
    struct hw_slice text = text_of(value);

    if (!hw_entry_subject_is_valid(text))
        return REFUSE(f, "subject", "subject is 1 to 256 bytes of printable ASCII.");
    return done(f, hw_webhook_set_text(&f->wh->subject, text));
}

static void clear_subject(struct hw_webhook *wh)
{
    hw_free(wh->subject);
    wh->subject = NULL;
}

static bool read_level(struct form *f, json_t *value)
{
    struct hw_slice text = text_of(value);

    if (!hw_slice_is(text, "user") && !hw_slice_is(text, "progress"))
        return REFUSE(f, "level", "level is \"user\" or \"progress\".");
    f->wh->level = hw_slice_is(text, "progress") ? HW_LEVEL_PROGRESS : HW_LEVEL_USER;
    return true;
}

static bool read_include_raw(struct form *f, json_t *value)
{
    if (!json_is_boolean(value))
        return REFUSE(f, "include_raw", "include_raw is true or false.");
    f->wh->include_raw = json_is_true(value);
    return true;
}

static bool read_format(struct form *f, json_t *value)
{
    struct hw_slice text = text_of(value);

    if (!hw_slice_is(text, "record") && !hw_slice_is(text, "raw"))
        return REFUSE(f, "format", "format is \"record\" or \"raw\".");
    f->wh->format_raw = hw_slice_is(text, "raw");
    return true;
}

static bool read_fields(struct form *f, json_t *value)
{
    return hw_fields_read(f->wh, value, f->is_draft, f->p);
}

static bool read_signature(struct form *f, json_t *value)
{
    return hw_fields_read_signature(f->wh, value, f->p);
}

static void clear_signature(struct hw_webhook *wh)
{
    hw_free(wh->signature_name);
    wh->signature_name = NULL;
    wh->signature_format = HW_SIGNATURE_NONE;
}

static bool read_secret(struct form *f, json_t *value)
{
    if (!json_is_string(value) || hw_webhook_set_secret(f->wh, text_of(value), NULL) != HW_OK)
        return REFUSE(f, "secret", "secret is whsec_ and the base64 of %d to %d bytes.",
                      HW_SIGN_KEY_MIN, HW_SIGN_KEY_MAX);
    return true;
}

static bool refuse_secret(struct form *f, json_t *value)
{
    (void)value;
    return REFUSE(f, "secret",
                  "A secret is changed with POST /v1/webhooks/:id/rotate-secret, so that both "
                  "sign for a while.");
}

static bool read_count(struct form *f, const char *member, json_t *value, unsigned most,
                       unsigned *count)
{
    json_int_t number = json_integer_value(value);

    if (!json_is_integer(value) || number < 1 || number > (json_int_t)most)
        return REFUSE(f, member, "%s is a whole number from 1 to %u.", member, most);
    *count = (unsigned)number;
    return true;
}

static bool read_max_in_flight(struct form *f, json_t *value)
{
    return read_count(f, "max_in_flight", value, f->rules->max_in_flight_max,
                      &f->wh->max_in_flight);
}

static bool read_rate(struct form *f, json_t *value)
{
    return read_count(f, "rate_limit", value, RATE_MAX, &f->wh->rate_per_s);
}

static void clear_rate(struct hw_webhook *wh)
{
    wh->rate_per_s = 0;
}

/* Active again: what was held against it is forgotten. */
static void enable(struct hw_webhook_standing *standing)
{
    standing->status = HW_WEBHOOK_ACTIVE;
    standing->consecutive_failures = 0;
    standing->disabled_ms = 0;
    standing->disabled_reason[0] = '\0';
    standing->disabled_cursor = (struct hw_stream_id){ 0 };
}

static bool read_status(struct form *f, json_t *value)
{
    struct hw_webhook_standing *standing = &f->wh->standing;
    bool is_disabled = standing->status == HW_WEBHOOK_DISABLED;
    struct hw_slice text = text_of(value);

    if (!hw_slice_is(text, "active") && !hw_slice_is(text, "paused"))
        return REFUSE(f, "status", "status is \"active\" or \"paused\".");
    if (is_disabled && hw_slice_is(text, "paused"))
        return hw_problem_set(f->p, HW_PROBLEM_CONFLICT, NULL,
                              "A disabled webhook cannot be paused; it can be made active.");
    if (is_disabled)
        enable(standing);
    else
        standing->status = hw_slice_is(text, "paused") ? HW_WEBHOOK_PAUSED : HW_WEBHOOK_ACTIVE;
    return true;
}

bool hw_form_place(struct hw_backend_from *from, const json_t *value, uint32_t feed_epoch,
                   const char *member, struct hw_problem *p)
{
    struct hw_slice text = text_of(value);

    *from = (struct hw_backend_from){ .is_start = hw_slice_is(text, "start") };
    if (from->is_start ||
        (text.data != NULL && hw_feed_cursor_read(feed_epoch, text, &from->after)))
        return true;
    return hw_problem_set(p, HW_PROBLEM_INVALID_REQUEST, member,
                          "%s is \"start\" or a cursor that a feed gave out.", member);
}

static bool read_backfill(struct form *f, json_t *value)
{
    f->backfill.kind = HW_BACKFILL_FROM;
    return hw_form_place(&f->backfill.from, value, f->rules->feed_epoch, "backfill_from", f->p);
}

static bool read_backfill_of_disabled(struct form *f, json_t *value)
{
    if (!hw_slice_is(text_of(value), "disabled"))
        return read_backfill(f, value);
    f->backfill.kind = HW_BACKFILL_DISABLED;
    return true;
}

typedef bool (*member_reader)(struct form *f, json_t *value);

static const struct member {
    const char *name;
    member_reader create; /* NULL: there is no such member */
    member_reader amend;
    void (*clear)(struct hw_webhook *wh); /* for null; NULL: it may not be null */
} members[] = {
    { "account", read_account, refuse_account, NULL },
    { "url", read_url, read_url, NULL },
    { "name", read_name, read_name, clear_name },
    { "event_types", read_types, read_types, hw_webhook_clear_types },
    { "subject", read_subject, read_subject, clear_subject },
    { "level", read_level, read_level, NULL },
    { "include_raw", read_include_raw, read_include_raw, NULL },
    { "format", read_format, read_format, NULL },
    { "headers", read_fields, read_fields, NULL },
    { "signature_header", read_signature, read_signature, clear_signature },
    { "secret", read_secret, refuse_secret, NULL },
    { "max_in_flight", read_max_in_flight, read_max_in_flight, NULL },
    { "rate_limit", read_rate, read_rate, clear_rate },
    { "status", NULL, read_status, NULL },
    { "backfill_from", read_backfill, read_backfill_of_disabled, NULL },
};
enum { N_MEMBERS = sizeof members / sizeof members[0] };

static const struct member *find_member(const char *name)
{
    for (size_t i = 0; i < N_MEMBERS; i++)
        if (strcmp(name, members[i].name) == 0)
            return &members[i];
    return NULL;
}

static bool read_members(struct form *f, json_t *object, bool is_new)
{
    const char *name;
    json_t *value;

    json_object_foreach (object, name, value) {
        const struct member *member = find_member(name);
        member_reader read = member == NULL ? NULL : is_new ? member->create : member->amend;

        if (read == NULL)
            return REFUSE(f, name, "There is no such member here; leave it out.");
        if (json_is_null(value) && member->clear != NULL)
            member->clear(f->wh);
        else if (!read(f, value))
            return false;
    }
    return hw_fields_check(f->wh, f->p);
}

/* What is not given. */
static bool complete(struct form *f)
{
    struct hw_webhook *wh = f->wh;
    const char *own = f->rules->caller->account;
    char secret[HW_SIGN_SECRET_MAX];

    if (wh->url.text == NULL)
        return REFUSE(f, "url", "url is missing.");
    if (wh->account == NULL &&
        !done(f, hw_webhook_set_text(&wh->account, hw_slice_str(own ? own : "default"))))
        return false;
    if (wh->max_in_flight == 0)
        wh->max_in_flight = f->rules->max_in_flight;
    if (wh->key.len != 0)
        return true;
    hw_sign_secret_make(secret);
    return done(f, hw_webhook_set_secret(wh, hw_slice_str(secret), NULL));
}

bool hw_form_read(struct hw_webhook *wh, struct hw_slice body,
                  const struct hw_form_rules *rules, struct hw_form_backfill *backfill,
                  struct hw_problem *p)
{
    struct form f = { .wh = wh, .rules = rules, .p = p };
    json_t *object = hw_form_object(body, p);
    bool is_good;

    if (object == NULL)
        return false;
    is_good = read_members(&f, object, true) && complete(&f);
    *backfill = f.backfill;
    json_decref(object);
    return is_good;
}

bool hw_form_amend(struct hw_webhook *wh, json_t *object, const struct hw_form_rules *rules,
                   struct hw_problem *p)
{
    struct form f = { .wh = wh, .rules = rules, .p = p };

    return read_members(&f, object, false);
}

bool hw_form_check(json_t *object, const struct hw_form_rules *rules,
                   struct hw_form_backfill *backfill, struct hw_problem *p)
{
    struct form f = { .wh = hw_webhook_new(), .rules = rules, .p = p, .is_draft = true };
    bool is_good;

    if (f.wh == NULL)
        return no_memory(p);
    f.wh->reads_all = true;
    is_good = read_members(&f, object, false);
    *backfill = f.backfill;
    hw_webhook_release(f.wh);
    return is_good;
}
