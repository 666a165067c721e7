/*
 * fuzz_json - any bytes to the JSON check; what is found good must come apart in order.
 */
#include <stddef.h>
#include <stdint.h>

#include "base/must.h"
#include "rules/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool is_good(struct hw_slice text)
{
    return hw_json_check(text, HW_JSON_DEPTH_MAX) == HW_ENTRY_GOOD;
}

/* What is left is behind what was there, and inside the text. */
static void check_left(struct hw_slice text, struct hw_slice value, struct hw_slice left)
{
    HW_MUST(left.data == value.data + value.len);
    HW_MUST(left.data <= text.data + text.len);
    HW_MUST(left.data + left.len == text.data + text.len);
}

/* Of a good text nothing is left but the closing bracket: none was passed over. */
static void check_end(struct hw_slice left, char opens, char closes)
{
    static const char space[] = " \t\r\n";
    size_t i = 0;

    while (strchr(space, left.data[i]) != NULL)
        i++;
    if (left.data[i] == opens)
        for (i++; strchr(space, left.data[i]) != NULL;)
            i++;
    HW_MUST(left.data[i] == closes);
}

static void walk_members(struct hw_slice text, bool was_good)
{
    struct hw_json_member member;
    struct hw_slice left = text;

    while (hw_json_next_member(&left, &member)) {
        HW_MUST(member.name.data > text.data && member.value.data > member.name.data);
        check_left(text, member.value, left);
        if (was_good)
            HW_MUST(is_good(member.value) &&
                    is_good(hw_slice(member.name.data - 1, member.name.len + 2)));
    }
    if (was_good)
        check_end(left, '{', '}');
}

static void walk_items(struct hw_slice text, bool was_good)
{
    struct hw_slice left = text, item;

    while (hw_json_next_item(&left, &item)) {
        HW_MUST(item.data > text.data && item.len > 0);
        check_left(text, item, left);
        if (was_good)
            HW_MUST(is_good(item));
    }
    if (was_good)
        check_end(left, '[', ']');
}

static char first_of(struct hw_slice text)
{
    size_t i = 0;

    while (i < text.len && text.data[i] != '\0' && strchr(" \t\r\n", text.data[i]) != NULL)
        i++;
    return i < text.len ? text.data[i] : '\0';
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hw_slice text = hw_slice(data, size);
    bool good = is_good(text);
    struct hw_buf b;

    walk_members(text, good && first_of(text) == '{');
    walk_items(text, good && first_of(text) == '[');
    hw_buf_init(&b, 8 * size + 2);
    HW_MUST(hw_json_string(&b, text) == HW_OK && is_good(hw_buf_slice(&b)));
    hw_buf_close(&b);
    return 0;
}
