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

static void walk(struct hw_slice text, bool was_good)
{
    struct hw_json_member member;
    struct hw_slice left = text;

    while (hw_json_next_member(&left, &member)) {
        HW_MUST(member.name.data > text.data && member.value.data > member.name.data);
        HW_MUST(left.data >= member.value.data + member.value.len);
        HW_MUST(left.data <= text.data + text.len);
        if (was_good)
            HW_MUST(is_good(member.value) &&
                    is_good(hw_slice(member.name.data - 1, member.name.len + 2)));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hw_slice text = hw_slice(data, size);
    bool good = is_good(text);
    struct hw_buf b;

    walk(text, good);
    hw_buf_init(&b, 8 * size + 2);
    HW_MUST(hw_json_string(&b, text) == HW_OK && is_good(hw_buf_slice(&b)));
    hw_buf_close(&b);
    return 0;
}
