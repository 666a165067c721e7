#include "cli/webhook_draft.h"

#include "cli/draft.h"

/* --- members ----------------------------------------------------------------------- */

static json_t *text_or_null(const char *text)
{
    return text ? json_string(text) : json_null();
}

static json_t *number_or_null(unsigned number)
{
    return number > 0 ? json_integer(number) : json_null();
}

/* --- 'Name: value' ----------------------------------------------------------------- */

static bool read_header(struct hw_shell *s, json_t *headers, const char *text)
{
    struct hw_slice line = hw_slice_str(text), value;
    size_t colon = hw_slice_find(line, ':');
    char name[260];

    value = hw_slice_from(line, colon + 1);
    while (value.len > 0 && value.data[0] == ' ')
        value = hw_slice_from(value, 1);
    if (colon == 0 || colon == line.len || colon >= sizeof name) {
        hw_shell_usage(s, "--header: \"%.40s\" is not 'Name: value'", text);
        return false;
    }
    snprintf(name, sizeof name, "%.*s", (int)colon, line.data);
    if (json_object_get(headers, name) != NULL) {
        hw_shell_usage(s, "--header: %.60s is given twice", name);
        return false;
    }
    return hw_draft_set(s, headers, name,
                        json_stringn(value.data ? value.data : "", value.len));
}

static json_t *read_headers(struct hw_shell *s)
{
    json_t *headers = json_object();

    for (size_t i = 0; i < s->wishes.headers.n; i++)
        if (!read_header(s, headers, s->wishes.headers.items[i])) {
            json_decref(headers);
            return NULL;
        }
    return headers;
}

/* --- NAME:FORMAT ------------------------------------------------------------------- */

static json_t *read_signature(struct hw_shell *s)
{
    const char *text = s->wishes.signature_header;
    const char *colon = text ? strchr(text, ':') : NULL;
    json_t *value;

    if (text == NULL)
        return json_null();
    if (colon == NULL || colon == text || colon[1] == '\0') {
        hw_shell_usage(s,
                       "--signature-header: \"%.40s\" is not NAME:FORMAT (like "
                       "X-Signature:sha256=hex)",
                       text);
        return NULL;
    }
    value =
        json_pack("{s:s%, s:s}", "name", text, (size_t)(colon - text), "format", colon + 1);
    if (value == NULL)
        hw_shell_usage(s, "--signature-header is not UTF-8 text");
    return value;
}

/* --- the whole --------------------------------------------------------------------- */

static json_t *types_or_null(const char *text)
{
    return text ? hw_draft_list(text) : json_null();
}

static bool set_plain(struct hw_shell *s, json_t *body)
{
    const struct hw_wishes *w = &s->wishes;
    const struct {
        const char *flag, *member;
        json_t *value;
    } members[] = {
        { "url", "url", text_or_null(w->url) },
        { "account", "account", text_or_null(w->account) },
        { "event-types", "event_types", types_or_null(w->event_types) },
        { "subject", "subject", text_or_null(w->subject) },
        { "name", "name", text_or_null(w->name) },
        { "level", "level", json_string(hw_wishes_levels[w->level]) },
        { "format", "format", json_string(hw_wishes_formats[w->format]) },
        { "include-raw", "include_raw", json_boolean(w->includes_raw) },
        { "max-in-flight", "max_in_flight", number_or_null(w->max_in_flight) },
        { "rate-limit", "rate_limit", number_or_null(w->rate_limit) },
        { "secret", "secret", text_or_null(w->secret) },
        { "backfill-from", "backfill_from", text_or_null(w->backfill_from) },
    };
    bool is_good = true;

    for (size_t i = 0; i < sizeof members / sizeof *members; i++) {
        if (is_good && hw_shell_given(s, members[i].flag))
            is_good = hw_draft_set(s, body, members[i].member, members[i].value);
        else
            json_decref(members[i].value);
    }
    return is_good;
}

static bool set_made(struct hw_shell *s, json_t *body, const char *flag, const char *member,
                     json_t *(*make)(struct hw_shell *s))
{
    json_t *value;

    if (!hw_shell_given(s, flag))
        return true;
    value = make(s);
    return value != NULL && json_object_set_new(body, member, value) == 0;
}

json_t *hw_webhook_draft_make(struct hw_shell *s)
{
    json_t *body = json_object();

    if (set_plain(s, body) && set_made(s, body, "header", "headers", read_headers) &&
        set_made(s, body, "signature-header", "signature_header", read_signature))
        return body;
    json_decref(body);
    return NULL;
}
