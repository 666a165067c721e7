#include "core/stored.h"

#include <jansson.h>

#include "hookwheel/alloc.h"

/* --- writing --- */

void hw_stored_begin(struct hw_stored_writer *w)
{
    *w = (struct hw_stored_writer){ .object = json_object() };
}

/* json_object_set_new frees a NULL or refused value itself and then answers -1. */
void hw_stored_put(struct hw_stored_writer *w, const char *name, json_t *value)
{
    if (json_object_set_new(w->object, name, value) != 0)
        w->has_failed = true;
}

void hw_stored_put_text(struct hw_stored_writer *w, const char *name, const char *text)
{
    hw_stored_put(w, name, json_string(text));
}

void hw_stored_put_some(struct hw_stored_writer *w, const char *name, const char *text)
{
    if (text != NULL && text[0] != '\0')
        hw_stored_put_text(w, name, text);
}

void hw_stored_put_number(struct hw_stored_writer *w, const char *name, int64_t number)
{
    hw_stored_put(w, name, json_integer(number));
}

void hw_stored_put_flag(struct hw_stored_writer *w, const char *name, bool flag)
{
    hw_stored_put(w, name, json_boolean(flag));
}

void hw_stored_put_texts(struct hw_stored_writer *w, const char *name, char *const *texts,
                         size_t n)
{
    json_t *list = json_array();

    for (size_t i = 0; i < n; i++)
        if (json_array_append_new(list, json_string(texts[i])) != 0)
            w->has_failed = true;
    hw_stored_put(w, name, list);
}

static int append_dumped(const char *text, size_t n_bytes, void *data)
{
    return hw_buf_append(data, text, n_bytes) == HW_OK ? 0 : -1;
}

enum hw_status hw_stored_end(struct hw_stored_writer *w, struct hw_buf *out)
{
    int rc =
        w->has_failed ? -1 : json_dump_callback(w->object, append_dumped, out, JSON_COMPACT);

    json_decref(w->object);
    w->object = NULL;
    if (rc == 0)
        return HW_OK;
    return hw_buf_failed(out) != HW_OK ? hw_buf_failed(out) : HW_ENOMEM;
}

/* --- reading --- */

enum hw_status hw_stored_open(struct hw_stored_reader *r, struct hw_slice stored,
                              const char *what, struct hw_cause *cause)
{
    *r = (struct hw_stored_reader){ .what = what, .cause = cause };
    r->object = json_loadb(stored.data ? stored.data : "", stored.len, 0, NULL);
    if (!json_is_object(r->object))
        r->status = hw_cause_set(cause, HW_EINVAL, HW_ORIGIN_US, 0,
                                 "stored %s: not a JSON object", what);
    return r->status;
}

enum hw_status hw_stored_close(struct hw_stored_reader *r)
{
    json_decref(r->object);
    r->object = NULL;
    return r->status;
}

void hw_stored_bad(struct hw_stored_reader *r, const char *name)
{
    if (r->status == HW_OK)
        r->status = hw_cause_set(r->cause, HW_EINVAL, HW_ORIGIN_US, 0,
                                 "stored %s: member %s is missing or not as it was written",
                                 r->what, name);
}

void hw_stored_must(struct hw_stored_reader *r, enum hw_status status, const char *name)
{
    if (status == HW_ENOMEM && r->status == HW_OK)
        r->status = hw_cause_set(r->cause, HW_ENOMEM, HW_ORIGIN_US, 0, "stored %s", r->what);
    else if (status != HW_OK)
        hw_stored_bad(r, name);
}

static struct hw_slice text_of(const json_t *value)
{
    return hw_slice(json_string_value(value), json_string_length(value));
}

struct hw_slice hw_stored_text(struct hw_stored_reader *r, const char *name)
{
    const json_t *value = json_object_get(r->object, name);

    if (value != NULL && !json_is_string(value))
        hw_stored_bad(r, name);
    return text_of(value);
}

int64_t hw_stored_number(struct hw_stored_reader *r, const char *name, int64_t least,
                         int64_t most, int64_t absent)
{
    const json_t *value = json_object_get(r->object, name);
    int64_t number;

    if (value == NULL && absent >= least)
        return absent;
    number = json_integer_value(value);
    if (!json_is_integer(value) || number < least || number > most) {
        hw_stored_bad(r, name);
        return least;
    }
    return number;
}

bool hw_stored_flag(const struct hw_stored_reader *r, const char *name)
{
    return json_is_true(json_object_get(r->object, name));
}

bool hw_stored_copy_text(struct hw_stored_reader *r, const char *name, char **text)
{
    struct hw_slice value = hw_stored_text(r, name);
    char *copy;

    if (value.data == NULL || r->status != HW_OK)
        return false;
    copy = hw_strndup(value.data, value.len);
    hw_stored_must(r, copy ? HW_OK : HW_ENOMEM, name);
    if (copy == NULL)
        return false;
    hw_free(*text);
    *text = copy;
    return true;
}

bool hw_stored_each_text(struct hw_stored_reader *r, const char *name,
                         enum hw_status (*add)(void *data, struct hw_slice text), void *data)
{
    const json_t *list = json_object_get(r->object, name);
    const json_t *item;
    size_t i;

    if (list == NULL || json_is_null(list))
        return false;
    if (!json_is_array(list))
        hw_stored_bad(r, name);
    json_array_foreach (list, i, item) {
        if (!json_is_string(item))
            hw_stored_bad(r, name);
        else if (r->status == HW_OK)
            hw_stored_must(r, add(data, text_of(item)), name);
    }
    return true;
}
