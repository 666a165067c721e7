#include "cli/values.h"

#include "cli/when.h"
#include "rules/entry.h"

#define TEXT_MAX ((size_t)64 * 1024 * 1024)

const struct hw_column hw_values_columns[2] = { { .title = NULL }, { .title = NULL } };

struct hw_slice hw_values_text(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);

    return hw_slice(json_string_value(value), json_string_length(value));
}

static void join(struct hw_buf *out, const json_t *list)
{
    const json_t *item;
    size_t i;

    json_array_foreach (list, i, item) {
        hw_buf_append_str(out, i > 0 ? ", " : "");
        hw_buf_append(out, json_string_value(item), json_string_length(item));
    }
}

void hw_values_add(struct hw_table *t, const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    struct hw_buf text;

    hw_buf_init(&text, TEXT_MAX);
    if (json_is_string(value))
        hw_buf_append_slice(&text, hw_values_text(object, name));
    else if (json_is_integer(value))
        hw_buf_appendf(&text, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (json_is_boolean(value))
        hw_buf_append_str(&text, json_is_true(value) ? "yes" : "no");
    else if (json_is_array(value))
        join(&text, value);
    hw_table_add(t, hw_buf_slice(&text), HW_TONE_PLAIN);
    hw_buf_close(&text);
}

static enum hw_tone status_tone(struct hw_slice status)
{
    static const struct {
        const char *text;
        enum hw_tone tone;
    } tones[] = {
        { "active", HW_TONE_GOOD },          { "delivered", HW_TONE_GOOD },
        { "paused", HW_TONE_UNDER_WAY },     { "pending", HW_TONE_UNDER_WAY },
        { "delivering", HW_TONE_UNDER_WAY }, { "disabled", HW_TONE_BAD },
        { "failed", HW_TONE_BAD },           { "dead_letter", HW_TONE_BAD },
    };

    for (size_t i = 0; i < sizeof tones / sizeof *tones; i++)
        if (hw_slice_is(status, tones[i].text))
            return tones[i].tone;
    return HW_TONE_PLAIN;
}

void hw_values_add_status(struct hw_table *t, const json_t *object, const char *name)
{
    struct hw_slice status = hw_values_text(object, name);

    hw_table_add(t, status, status_tone(status));
}

void hw_values_add_age(struct hw_table *t, const json_t *object, const char *name,
                       hw_unix_ms now)
{
    struct hw_slice time = hw_values_text(object, name);
    char age[HW_WHEN_MAX];
    hw_unix_ms at;

    if (hw_timestamp_parse(&at, time)) {
        hw_when_age(at, now, age);
        time = hw_slice_str(age);
    }
    hw_table_add(t, time, HW_TONE_PLAIN);
}

static bool begin_row(struct hw_table *t, const char *title, const json_t *object,
                      const char *name)
{
    const json_t *value = json_object_get(object, name);

    if (value == NULL || json_is_null(value))
        return false;
    hw_table_adds(t, title);
    return true;
}

void hw_values_row(struct hw_table *t, const char *title, const json_t *object,
                   const char *name)
{
    if (begin_row(t, title, object, name))
        hw_values_add(t, object, name);
}

void hw_values_row_status(struct hw_table *t, const char *title, const json_t *object,
                          const char *name)
{
    if (begin_row(t, title, object, name))
        hw_values_add_status(t, object, name);
}

void hw_values_row_time(struct hw_table *t, const char *title, const json_t *object,
                        const char *name, hw_unix_ms now)
{
    struct hw_slice time = hw_values_text(object, name);
    char text[HW_TIMESTAMP_MAX + HW_WHEN_MAX + 8], age[HW_WHEN_MAX];
    hw_unix_ms at;

    if (!begin_row(t, title, object, name))
        return;
    if (hw_timestamp_parse(&at, time)) {
        hw_when_age(at, now, age);
        snprintf(text, sizeof text, "%.*s (%s)", (int)(time.len < 32 ? time.len : 32),
                 time.data, age);
        time = hw_slice_str(text);
    }
    hw_table_add(t, time, HW_TONE_PLAIN);
}

void hw_values_row_text(struct hw_table *t, const char *title, const char *text)
{
    hw_table_adds(t, title);
    hw_table_adds(t, text);
}
