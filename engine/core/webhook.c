#include "core/webhook.h"

#include <ctype.h>
#include <jansson.h>
#include <stdlib.h>

#include "hookwheel/alloc.h"

/* Names and values of 20 headers in 4 KiB, and the four bytes between each. */
enum { STATIC_FIELDS_MAX = 8 * 1024 };

static const char *const status_texts[] = {
#define X(name, text) [HW_WEBHOOK_##name] = text,
    HW_WEBHOOK_STATUS_MAP(X)
#undef X
};
enum { N_STATUSES = sizeof status_texts / sizeof status_texts[0] };

const char *hw_webhook_status_text(enum hw_webhook_status status)
{
    return status_texts[status];
}

int hw_webhook_status_parse(struct hw_slice text)
{
    for (int i = 0; i < N_STATUSES; i++)
        if (hw_slice_is(text, status_texts[i]))
            return i;
    return -1;
}

const char *hw_signature_format_text(enum hw_signature_format format)
{
    switch (format) {
    case HW_SIGNATURE_HEX:
        return "hex";
    case HW_SIGNATURE_SHA256_HEX:
        return "sha256=hex";
    case HW_SIGNATURE_NONE:
        break;
    }
    return NULL;
}

enum hw_signature_format hw_signature_format_parse(struct hw_slice text)
{
    if (hw_slice_is(text, "hex"))
        return HW_SIGNATURE_HEX;
    if (hw_slice_is(text, "sha256=hex"))
        return HW_SIGNATURE_SHA256_HEX;
    return HW_SIGNATURE_NONE;
}

/* --- life ------------------------------------------------------------------ */

struct hw_webhook *hw_webhook_new(void)
{
    struct hw_webhook *wh = hw_calloc(1, sizeof *wh);

    if (wh == NULL)
        return NULL;
    wh->refs = 1;
    wh->level = HW_LEVEL_USER;
    wh->signature_format = HW_SIGNATURE_NONE;
    wh->standing.status = HW_WEBHOOK_ACTIVE;
    hw_buf_init(&wh->static_fields, STATIC_FIELDS_MAX);
    return wh;
}

struct hw_webhook *hw_webhook_hold(struct hw_webhook *wh)
{
    wh->refs++;
    return wh;
}

static void webhook_free(struct hw_webhook *wh)
{
    for (size_t i = 0; i < wh->n_event_types; i++)
        hw_free(wh->event_types[i]);
    for (size_t i = 0; i < wh->n_fields; i++) {
        hw_free(wh->fields[i].name);
        hw_free(wh->fields[i].value);
    }
    hw_free(wh->event_types);
    hw_free(wh->fields);
    hw_buf_close(&wh->static_fields);
    hw_url_close(&wh->url);
    hw_free(wh->account);
    hw_free(wh->name);
    hw_free(wh->subject);
    hw_free(wh->signature_name);
    explicit_bzero(wh, sizeof *wh); /* secrets do not stay behind in the heap */
    hw_free(wh);
}

void hw_webhook_release(struct hw_webhook *wh)
{
    if (wh != NULL && --wh->refs == 0)
        webhook_free(wh);
}

/* --- what is set piece by piece -------------------------------------------- */

enum hw_status hw_webhook_set_text(char **text, struct hw_slice value)
{
    char *copy = hw_strndup(value.data ? value.data : "", value.len);

    if (copy == NULL)
        return HW_ENOMEM;
    hw_free(*text);
    *text = copy;
    return HW_OK;
}

enum hw_status hw_webhook_add_type(struct hw_webhook *wh, struct hw_slice type)
{
    char **types = hw_realloc(wh->event_types, (wh->n_event_types + 1) * sizeof *types);

    if (types == NULL)
        return HW_ENOMEM;
    wh->event_types = types;
    types[wh->n_event_types] = hw_strndup(type.data, type.len);
    if (types[wh->n_event_types] == NULL)
        return HW_ENOMEM;
    wh->n_event_types++;
    return HW_OK;
}

static void lower_case(char *text)
{
    for (; *text != '\0'; text++)
        *text = (char)tolower((unsigned char)*text);
}

static enum hw_status field_copy(struct hw_webhook_field *field, struct hw_slice name,
                                 struct hw_slice value)
{
    field->name = hw_strndup(name.data, name.len);
    field->value = hw_strndup(value.data ? value.data : "", value.len);
    if (field->name != NULL && field->value != NULL) {
        lower_case(field->name);
        return HW_OK;
    }
    hw_free(field->name);
    hw_free(field->value);
    return HW_ENOMEM;
}

enum hw_status hw_webhook_add_field(struct hw_webhook *wh, struct hw_slice name,
                                    struct hw_slice value)
{
    struct hw_webhook_field *fields;
    struct hw_webhook_field field;
    enum hw_status status;

    fields = hw_realloc(wh->fields, (wh->n_fields + 1) * sizeof *fields);
    if (fields == NULL)
        return HW_ENOMEM;
    wh->fields = fields;
    if (field_copy(&field, name, value) != HW_OK)
        return HW_ENOMEM;
    status = hw_buf_appendf(&wh->static_fields, "%s: %s\r\n", field.name, field.value);
    if (status != HW_OK) {
        hw_free(field.name);
        hw_free(field.value);
        return status;
    }
    fields[wh->n_fields++] = field;
    return HW_OK;
}

static enum hw_status secret_set(char text[HW_SIGN_SECRET_MAX], struct hw_sign_key *key,
                                 struct hw_slice secret, struct hw_cause *cause)
{
    struct hw_sign_key parsed;
    enum hw_status status;

    if (secret.len >= HW_SIGN_SECRET_MAX)
        return hw_cause_set(cause, HW_EINVAL, HW_ORIGIN_US, 0, "secret is too long");
    status = hw_sign_key_parse(&parsed, secret, cause);
    if (status != HW_OK)
        return status;
    memcpy(text, secret.data, secret.len);
    text[secret.len] = '\0';
    *key = parsed;
    return HW_OK;
}

enum hw_status hw_webhook_set_secret(struct hw_webhook *wh, struct hw_slice secret,
                                     struct hw_cause *cause)
{
    return secret_set(wh->secret, &wh->key, secret, cause);
}

/* --- the stored form: writing ---------------------------------------------- */

/* json_object_set_new frees a NULL or refused value itself and then answers -1. */
struct writer {
    json_t *object;
    bool failed;
};

static void put(struct writer *w, const char *name, json_t *value)
{
    if (json_object_set_new(w->object, name, value) != 0)
        w->failed = true;
}

/* Nothing where there is no text. */
static void put_text(struct writer *w, const char *name, const char *text)
{
    if (text != NULL && text[0] != '\0')
        put(w, name, json_string(text));
}

static json_t *types_json(const struct hw_webhook *wh)
{
    json_t *list = json_array();

    for (size_t i = 0; i < wh->n_event_types; i++)
        json_array_append_new(list, json_string(wh->event_types[i]));
    return list;
}

static json_t *fields_json(const struct hw_webhook *wh)
{
    json_t *object = json_object();

    for (size_t i = 0; i < wh->n_fields; i++)
        json_object_set_new(object, wh->fields[i].name, json_string(wh->fields[i].value));
    return object;
}

static void put_rules(struct writer *w, const struct hw_webhook *wh)
{
    if (wh->event_types != NULL)
        put(w, "event_types", types_json(wh));
    put_text(w, "subject", wh->subject);
    put(w, "level", json_string(wh->level == HW_LEVEL_PROGRESS ? "progress" : "user"));
    put(w, "include_raw", json_boolean(wh->include_raw));
    put(w, "format", json_string(wh->format_raw ? "raw" : "record"));
    if (wh->n_fields > 0)
        put(w, "headers", fields_json(wh));
    if (wh->signature_name != NULL) {
        put_text(w, "signature_name", wh->signature_name);
        put_text(w, "signature_format", hw_signature_format_text(wh->signature_format));
    }
}

static json_t *webhook_json(const struct hw_webhook *wh)
{
    struct writer w = { .object = json_object() };

    if (wh->w != 0) /* not yet given out where the script that stores it gives the number */
        put(&w, "w", json_integer(wh->w));
    put_text(&w, "id", wh->id);
    put_text(&w, "account", wh->account);
    put_text(&w, "name", wh->name);
    put_text(&w, "url", wh->url.text);
    put_rules(&w, wh);
    put_text(&w, "secret", wh->secret);
    put_text(&w, "previous_secret", wh->previous_secret);
    if (wh->previous_until_ms != 0)
        put(&w, "previous_until_ms", json_integer(wh->previous_until_ms));
    put(&w, "max_in_flight", json_integer(wh->max_in_flight));
    if (wh->rate_per_s != 0)
        put(&w, "rate_per_s", json_integer(wh->rate_per_s));
    put(&w, "created_ms", json_integer(wh->created_ms));
    put(&w, "updated_ms", json_integer(wh->updated_ms));
    if (w.failed) {
        json_decref(w.object);
        return NULL;
    }
    return w.object;
}

static int append_dumped(const char *text, size_t n_bytes, void *data)
{
    return hw_buf_append(data, text, n_bytes) == HW_OK ? 0 : -1;
}

enum hw_status hw_webhook_write(const struct hw_webhook *wh, struct hw_buf *out)
{
    json_t *object = webhook_json(wh);
    int rc;

    if (object == NULL)
        return HW_ENOMEM;
    rc = json_dump_callback(object, append_dumped, out, JSON_COMPACT);
    json_decref(object);
    if (rc == 0)
        return HW_OK;
    return hw_buf_failed(out) != HW_OK ? hw_buf_failed(out) : HW_ENOMEM;
}

/* --- the stored form: reading ---------------------------------------------- */

struct reader {
    const json_t *object;
    struct hw_cause *cause;
    enum hw_status status; /* the first failure; later reads do nothing */
};

static void bad(struct reader *r, const char *name)
{
    if (r->status == HW_OK)
        r->status = hw_cause_set(
            r->cause, HW_EINVAL, HW_ORIGIN_US, 0,
            "stored webhook: member %s is missing or not as it was written", name);
}

static void must_do(struct reader *r, enum hw_status status, const char *name)
{
    if (status == HW_ENOMEM && r->status == HW_OK)
        r->status = hw_cause_set(r->cause, HW_ENOMEM, HW_ORIGIN_US, 0, "stored webhook");
    else if (status != HW_OK)
        bad(r, name);
}

/* A text or the empty slice; of another type it is bad. */
static struct hw_slice get_text(struct reader *r, const char *name)
{
    const json_t *value = json_object_get(r->object, name);

    if (value == NULL)
        return hw_slice(NULL, 0);
    if (!json_is_string(value)) {
        bad(r, name);
        return hw_slice(NULL, 0);
    }
    return hw_slice(json_string_value(value), json_string_length(value));
}

static int64_t get_number(struct reader *r, const char *name, int64_t least, int64_t most,
                          int64_t absent)
{
    const json_t *value = json_object_get(r->object, name);
    int64_t number;

    if (value == NULL && absent >= least)
        return absent;
    number = json_integer_value(value);
    if (!json_is_integer(value) || number < least || number > most) {
        bad(r, name);
        return least;
    }
    return number;
}

static void read_text(struct reader *r, const char *name, char **text)
{
    struct hw_slice value = get_text(r, name);

    if (value.len > 0)
        must_do(r, hw_webhook_set_text(text, value), name);
}

static void read_id(struct reader *r, struct hw_webhook *wh)
{
    struct hw_slice id = get_text(r, "id");

    if (id.len == 0 || id.len >= sizeof wh->id) {
        bad(r, "id");
        return;
    }
    memcpy(wh->id, id.data, id.len);
    wh->id[id.len] = '\0';
}

static void read_types(struct reader *r, struct hw_webhook *wh)
{
    const json_t *list = json_object_get(r->object, "event_types");
    const json_t *item;
    size_t i;

    if (list == NULL)
        return;
    if (json_array_size(list) == 0)
        bad(r, "event_types");
    json_array_foreach(list, i, item)
    {
        if (json_is_string(item))
            must_do(r, hw_webhook_add_type(wh, hw_slice_str(json_string_value(item))),
                    "event_types");
        else
            bad(r, "event_types");
    }
}

static void read_fields(struct reader *r, struct hw_webhook *wh)
{
    json_t *object = json_object_get(r->object, "headers");
    const char *name;
    json_t *value;

    json_object_foreach(object, name, value)
    {
        if (json_is_string(value))
            must_do(r,
                    hw_webhook_add_field(wh, hw_slice_str(name),
                                         hw_slice_str(json_string_value(value))),
                    "headers");
        else
            bad(r, "headers");
    }
}

static void read_secrets(struct reader *r, struct hw_webhook *wh)
{
    struct hw_slice previous = get_text(r, "previous_secret");

    must_do(r, hw_webhook_set_secret(wh, get_text(r, "secret"), NULL), "secret");
    if (previous.len > 0)
        must_do(r, secret_set(wh->previous_secret, &wh->previous_key, previous, NULL),
                "previous_secret");
    wh->previous_until_ms = get_number(r, "previous_until_ms", 0, INT64_MAX, 0);
}

static void read_rules(struct reader *r, struct hw_webhook *wh)
{
    read_types(r, wh);
    read_text(r, "subject", &wh->subject);
    wh->level =
        hw_slice_is(get_text(r, "level"), "progress") ? HW_LEVEL_PROGRESS : HW_LEVEL_USER;
    wh->include_raw = json_is_true(json_object_get(r->object, "include_raw"));
    wh->format_raw = hw_slice_is(get_text(r, "format"), "raw");
    read_fields(r, wh);
    read_text(r, "signature_name", &wh->signature_name);
    wh->signature_format = hw_signature_format_parse(get_text(r, "signature_format"));
    if ((wh->signature_name == NULL) != (wh->signature_format == HW_SIGNATURE_NONE))
        bad(r, "signature_format");
}

static void read_url(struct reader *r, struct hw_webhook *wh)
{
    /* Checked against the settings when it was given; those may have changed since, and
     * that is for the delivery to find out. */
    static const struct hw_url_rules any = { .allow_http_localhost = true,
                                             .allow_internal_names = true };

    must_do(r, hw_url_parse(&wh->url, get_text(r, "url"), &any, NULL), "url");
}

static void read_webhook(struct reader *r, struct hw_webhook *wh)
{
    wh->w = (uint32_t)get_number(r, "w", 0, UINT32_MAX, 0);
    read_id(r, wh);
    read_text(r, "account", &wh->account);
    if (wh->account == NULL)
        bad(r, "account");
    read_text(r, "name", &wh->name);
    read_url(r, wh);
    read_rules(r, wh);
    read_secrets(r, wh);
    wh->max_in_flight = (unsigned)get_number(r, "max_in_flight", 1, INT32_MAX, 0);
    wh->rate_per_s = (unsigned)get_number(r, "rate_per_s", 0, INT32_MAX, 0);
    wh->created_ms = get_number(r, "created_ms", 0, INT64_MAX, -1);
    wh->updated_ms = get_number(r, "updated_ms", 0, INT64_MAX, -1);
}

enum hw_status hw_webhook_read(struct hw_webhook **out, struct hw_slice stored,
                               struct hw_cause *cause)
{
    json_t *object = json_loadb(stored.data ? stored.data : "", stored.len, 0, NULL);
    struct hw_webhook *wh;
    struct reader r = { .object = object, .cause = cause };

    if (!json_is_object(object)) {
        json_decref(object);
        return hw_cause_set(cause, HW_EINVAL, HW_ORIGIN_US, 0,
                            "stored webhook: not a JSON object");
    }
    wh = hw_webhook_new();
    if (wh == NULL) {
        json_decref(object);
        return hw_cause_set(cause, HW_ENOMEM, HW_ORIGIN_US, 0, "stored webhook");
    }
    read_webhook(&r, wh);
    json_decref(object);
    if (r.status != HW_OK) {
        hw_webhook_release(wh);
        return r.status;
    }
    *out = wh;
    return HW_OK;
}

/* --- events ------------------------------------------------------------------ */

static bool names_type(const struct hw_webhook *wh, struct hw_slice type)
{
    for (size_t i = 0; i < wh->n_event_types; i++)
        if (hw_slice_is(type, wh->event_types[i]))
            return true;
    return false;
}

bool hw_webhook_matches(const struct hw_webhook *wh, struct hw_slice type,
                        struct hw_slice subject, enum hw_level level)
{
    if (wh->standing.status != HW_WEBHOOK_ACTIVE && wh->standing.status != HW_WEBHOOK_PAUSED)
        return false;
    if (level == HW_LEVEL_PROGRESS && wh->level != HW_LEVEL_PROGRESS)
        return false;
    if (wh->subject != NULL && !hw_slice_is(subject, wh->subject))
        return false;
    if (wh->event_types == NULL)
        return !hw_slice_starts(type, HW_SLICE("webhook."));
    return names_type(wh, type);
}

enum hw_status hw_webhook_sign(const struct hw_webhook *wh, struct hw_buf *out,
                               struct hw_slice event_id, hw_unix_ms now,
                               const struct hw_slice *body, size_t n_pieces)
{
    int64_t now_s = now / 1000;
    enum hw_status status = hw_sign_write(out, &wh->key, event_id, now_s, body, n_pieces);

    if (status != HW_OK || wh->previous_key.len == 0 || now >= wh->previous_until_ms)
        return status;
    status = hw_buf_append_char(out, ' ');
    if (status == HW_OK)
        status = hw_sign_write(out, &wh->previous_key, event_id, now_s, body, n_pieces);
    return status;
}
