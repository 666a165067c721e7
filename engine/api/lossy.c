#include "api/lossy.h"

#include "base/buf.h"

#define REPLACEMENT "\xef\xbf\xbd"

/* How many bytes the character at the front has; 0: it is none (RFC 3629). */
static size_t character(struct hw_slice at)
{
    unsigned char c = (unsigned char)at.data[0];
    unsigned char next = at.len > 1 ? (unsigned char)at.data[1] : 0;
    size_t len = c < 0x80 ? 1 : c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;

    if (len > at.len)
        return 0;
    for (size_t i = 1; i < len; i++)
        if (((unsigned char)at.data[i] & 0xc0) != 0x80)
            return 0;
    if ((c == 0xe0 && next < 0xa0) || (c == 0xed && next > 0x9f) ||
        (c == 0xf0 && next < 0x90) || (c == 0xf4 && next > 0x8f))
        return 0; /* overlong, a surrogate, or past the end */
    return len;
}

static json_t *repaired(struct hw_slice bytes)
{
    struct hw_buf text;
    json_t *value = NULL;

    hw_buf_init(&text, bytes.len * strlen(REPLACEMENT));
    while (bytes.len > 0) {
        size_t len = character(bytes);

        if (len > 0)
            hw_buf_append(&text, bytes.data, len);
        else
            hw_buf_append_str(&text, REPLACEMENT);
        bytes = hw_slice_from(bytes, len > 0 ? len : 1);
    }
    if (hw_buf_failed(&text) == HW_OK)
        value = json_stringn(hw_buf_slice(&text).data, hw_buf_len(&text));
    hw_buf_close(&text);
    return value;
}

json_t *hw_lossy_text(struct hw_slice bytes)
{
    json_t *value;

    if (bytes.len == 0)
        return json_null();
    value = json_stringn(bytes.data, bytes.len);
    return value ? value : repaired(bytes);
}

static void add_field(json_t *object, struct hw_slice name, struct hw_slice value)
{
    json_t *text = value.len > 0 ? hw_lossy_text(value) : json_string("");
    json_t *key = hw_lossy_text(name);
    const json_t *earlier = json_object_get(object, json_string_value(key));

    if (earlier != NULL && text != NULL) {
        json_t *joined =
            json_sprintf("%s, %s", json_string_value(earlier), json_string_value(text));
        json_decref(text);
        text = joined;
    }
    if (key != NULL)
        json_object_set_new(object, json_string_value(key), text);
    else
        json_decref(text);
    json_decref(key);
}

json_t *hw_lossy_fields(struct hw_slice lines)
{
    json_t *object;

    if (lines.len == 0)
        return json_null();
    object = json_object();
    while (lines.len > 0) {
        struct hw_slice line = hw_slice(lines.data, hw_slice_find(lines, '\n'));
        size_t colon = hw_slice_find(line, ':');

        if (colon > 0 && colon < line.len)
            add_field(object, hw_slice(line.data, colon), hw_slice_from(line, colon + 2));
        lines = hw_slice_from(lines, line.len + 1);
    }
    return object;
}
