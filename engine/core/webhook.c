#include "core/webhook.h"

#include <ctype.h>
#include <jansson.h>
#include <stdlib.h>

#include "core/stored.h"
#include "hookwheel/alloc.h"

/* Names and values of 20 headers in 4 KiB, and the four bytes between each. */
enum { STATIC_FIELDS_MAX = 8 * 1024, STORED_MAX = 1024 * 1024 };

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
    wh->reads_all = true;
    hw_scopes_init(&wh->readable);
    hw_buf_init(&wh->static_fields, STATIC_FIELDS_MAX);
    return wh;
}

struct hw_webhook *hw_webhook_hold(struct hw_webhook *wh)
{
    wh->refs++;
    return wh;
}

void hw_webhook_clear_types(struct hw_webhook *wh)
{
    for (size_t i = 0; i < wh->n_event_types; i++)
        hw_free(wh->event_types[i]);
    hw_free(wh->event_types);
    wh->event_types = NULL;
    wh->n_event_types = 0;
}

void hw_webhook_clear_fields(struct hw_webhook *wh)
{
    for (size_t i = 0; i < wh->n_fields; i++) {
        hw_free(wh->fields[i].name);
        hw_free(wh->fields[i].value);
    }
    hw_free(wh->fields);
    wh->fields = NULL;
    wh->n_fields = 0;
    hw_buf_close(&wh->static_fields);
}

static void webhook_free(struct hw_webhook *wh)
{
    hw_webhook_clear_types(wh);
    hw_webhook_clear_fields(wh);
    hw_scopes_close(&wh->readable);
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

enum hw_status hw_webhook_rotate(struct hw_webhook *wh, struct hw_slice secret,
                                 hw_unix_ms previous_until_ms, struct hw_cause *cause)
{
    char text[HW_SIGN_SECRET_MAX];
    struct hw_sign_key key;
    enum hw_status status = secret_set(text, &key, secret, cause);

    if (status != HW_OK)
        return status;
    explicit_bzero(wh->previous_secret, sizeof wh->previous_secret);
    explicit_bzero(&wh->previous_key, sizeof wh->previous_key);
    if (previous_until_ms != 0) {
        memcpy(wh->previous_secret, wh->secret, sizeof wh->secret);
        wh->previous_key = wh->key;
    }
    wh->previous_until_ms = previous_until_ms;
    memcpy(wh->secret, text, sizeof text);
    wh->key = key;
    return HW_OK;
}

/* --- the stored form: writing ---------------------------------------------- */

static json_t *fields_json(const struct hw_webhook *wh)
{
    json_t *object = json_object();

    for (size_t i = 0; i < wh->n_fields; i++)
        if (json_object_set_new(object, wh->fields[i].name,
                                json_string(wh->fields[i].value)) != 0) {
            json_decref(object);
            return NULL;
        }
    return object;
}

static void put_rules(struct hw_stored_writer *w, const struct hw_webhook *wh)
{
    if (wh->event_types != NULL)
        hw_stored_put_texts(w, "event_types", wh->event_types, wh->n_event_types);
    if (!wh->reads_all)
        hw_stored_put_texts(w, "readable", wh->readable.names, wh->readable.n_names);
    hw_stored_put_some(w, "subject", wh->subject);
    hw_stored_put_text(w, "level", wh->level == HW_LEVEL_PROGRESS ? "progress" : "user");
    hw_stored_put_flag(w, "include_raw", wh->include_raw);
    hw_stored_put_text(w, "format", wh->format_raw ? "raw" : "record");
    if (wh->n_fields > 0)
        hw_stored_put(w, "headers", fields_json(wh));
    if (wh->signature_name != NULL) {
        hw_stored_put_some(w, "signature_name", wh->signature_name);
        hw_stored_put_some(w, "signature_format",
                           hw_signature_format_text(wh->signature_format));
    }
}

enum hw_status hw_webhook_write(const struct hw_webhook *wh, struct hw_buf *out)
{
    struct hw_stored_writer w;

    hw_stored_begin(&w);
    if (wh->w != 0) /* not yet given out where the script that stores it gives the number */
        hw_stored_put_number(&w, "w", wh->w);
    hw_stored_put_some(&w, "id", wh->id);
    hw_stored_put_some(&w, "account", wh->account);
    hw_stored_put_some(&w, "name", wh->name);
    hw_stored_put_some(&w, "url", wh->url.text);
    put_rules(&w, wh);
    hw_stored_put_some(&w, "secret", wh->secret);
    hw_stored_put_some(&w, "previous_secret", wh->previous_secret);
    if (wh->previous_until_ms != 0)
        hw_stored_put_number(&w, "previous_until_ms", wh->previous_until_ms);
    hw_stored_put_number(&w, "max_in_flight", wh->max_in_flight);
    if (wh->rate_per_s != 0)
        hw_stored_put_number(&w, "rate_per_s", wh->rate_per_s);
    hw_stored_put_number(&w, "created_ms", wh->created_ms);
    hw_stored_put_number(&w, "updated_ms", wh->updated_ms);
    return hw_stored_end(&w, out);
}

/* --- the stored form: reading ---------------------------------------------- */

static void read_id(struct hw_stored_reader *r, struct hw_webhook *wh)
{
    struct hw_slice id = hw_stored_text(r, "id");

    if (id.len == 0 || id.len >= sizeof wh->id) {
        hw_stored_bad(r, "id");
        return;
    }
    memcpy(wh->id, id.data, id.len);
    wh->id[id.len] = '\0';
}

static enum hw_status add_type(void *wh, struct hw_slice type)
{
    return hw_webhook_add_type(wh, type);
}

static void read_types(struct hw_stored_reader *r, struct hw_webhook *wh)
{
    if (hw_stored_each_text(r, "event_types", add_type, wh) && wh->n_event_types == 0)
        hw_stored_bad(r, "event_types");
}

static enum hw_status add_scope(void *scopes, struct hw_slice text)
{
    return hw_scopes_add(scopes, text);
}

static void read_fields(struct hw_stored_reader *r, struct hw_webhook *wh)
{
    json_t *object = json_object_get(r->object, "headers");
    const char *name;
    json_t *value;

    json_object_foreach (object, name, value) {
        if (json_is_string(value))
            hw_stored_must(r,
                           hw_webhook_add_field(wh, hw_slice_str(name),
                                                hw_slice_str(json_string_value(value))),
                           "headers");
        else
            hw_stored_bad(r, "headers");
    }
}

static void read_secrets(struct hw_stored_reader *r, struct hw_webhook *wh)
{
    struct hw_slice previous = hw_stored_text(r, "previous_secret");

    hw_stored_must(r, hw_webhook_set_secret(wh, hw_stored_text(r, "secret"), NULL), "secret");
    if (previous.len > 0)
        hw_stored_must(r, secret_set(wh->previous_secret, &wh->previous_key, previous, NULL),
                       "previous_secret");
    wh->previous_until_ms = hw_stored_number(r, "previous_until_ms", 0, INT64_MAX, 0);
}

static void read_rules(struct hw_stored_reader *r, struct hw_webhook *wh)
{
    read_types(r, wh);
    wh->reads_all = !hw_stored_each_text(r, "readable", add_scope, &wh->readable);
    (void)hw_stored_copy_text(r, "subject", &wh->subject);
    wh->level = hw_slice_is(hw_stored_text(r, "level"), "progress") ? HW_LEVEL_PROGRESS
                                                                    : HW_LEVEL_USER;
    wh->include_raw = hw_stored_flag(r, "include_raw");
    wh->format_raw = hw_slice_is(hw_stored_text(r, "format"), "raw");
    read_fields(r, wh);
    (void)hw_stored_copy_text(r, "signature_name", &wh->signature_name);
    wh->signature_format = hw_signature_format_parse(hw_stored_text(r, "signature_format"));
    if ((wh->signature_name == NULL) != (wh->signature_format == HW_SIGNATURE_NONE))
        hw_stored_bad(r, "signature_format");
}

static void read_url(struct hw_stored_reader *r, struct hw_webhook *wh)
{
    /* Checked against the settings when it was given; those may have changed since, and
     * that is for the delivery to find out. */
    static const struct hw_url_rules any = { .allow_http_localhost = true,
                                             .allow_internal_names = true };

    hw_stored_must(r, hw_url_parse(&wh->url, hw_stored_text(r, "url"), &any, NULL), "url");
}

static void read_webhook(struct hw_stored_reader *r, struct hw_webhook *wh)
{
    wh->w = (uint32_t)hw_stored_number(r, "w", 0, UINT32_MAX, 0);
    read_id(r, wh);
    if (!hw_stored_copy_text(r, "account", &wh->account))
        hw_stored_bad(r, "account");
    (void)hw_stored_copy_text(r, "name", &wh->name);
    read_url(r, wh);
    read_rules(r, wh);
    read_secrets(r, wh);
    wh->max_in_flight = (unsigned)hw_stored_number(r, "max_in_flight", 1, INT32_MAX, 0);
    wh->rate_per_s = (unsigned)hw_stored_number(r, "rate_per_s", 0, INT32_MAX, 0);
    wh->created_ms = hw_stored_number(r, "created_ms", 0, INT64_MAX, -1);
    wh->updated_ms = hw_stored_number(r, "updated_ms", 0, INT64_MAX, -1);
}

enum hw_status hw_webhook_read(struct hw_webhook **out, struct hw_slice stored,
                               struct hw_cause *cause)
{
    struct hw_webhook *wh = hw_webhook_new();
    struct hw_stored_reader r;

    if (wh == NULL)
        return hw_cause_set(cause, HW_ENOMEM, HW_ORIGIN_US, 0, "stored webhook");
    if (hw_stored_open(&r, stored, "webhook", cause) == HW_OK)
        read_webhook(&r, wh);
    if (hw_stored_close(&r) == HW_OK)
        *out = wh;
    else
        hw_webhook_release(wh);
    return r.status;
}

struct hw_webhook *hw_webhook_copy(const struct hw_webhook *wh)
{
    struct hw_webhook *copy = NULL;
    struct hw_buf stored;

    hw_buf_init(&stored, STORED_MAX);
    if (hw_webhook_write(wh, &stored) == HW_OK &&
        hw_webhook_read(&copy, hw_buf_slice(&stored), NULL) == HW_OK) {
        copy->w = wh->w;
        copy->standing = wh->standing;
    }
    hw_buf_close(&stored);
    return copy;
}

/* --- events ------------------------------------------------------------------ */

static bool names_type(const struct hw_webhook *wh, struct hw_slice type)
{
    for (size_t i = 0; i < wh->n_event_types; i++)
        if (hw_slice_is(type, wh->event_types[i]))
            return true;
    return false;
}

bool hw_webhook_wants(const struct hw_webhook *wh, struct hw_slice type,
                      struct hw_slice subject, enum hw_level level)
{
    if (level == HW_LEVEL_PROGRESS && wh->level != HW_LEVEL_PROGRESS)
        return false;
    if (wh->subject != NULL && !hw_slice_is(subject, wh->subject))
        return false;
    if (wh->event_types == NULL)
        return !hw_slice_starts(type, HW_SLICE("webhook."));
    return names_type(wh, type);
}

bool hw_webhook_matches(const struct hw_webhook *wh, struct hw_slice type,
                        struct hw_slice subject, enum hw_level level)
{
    bool is_live = wh->standing.status == HW_WEBHOOK_ACTIVE ||
                   wh->standing.status == HW_WEBHOOK_PAUSED;

    return is_live && hw_webhook_wants(wh, type, subject, level);
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
