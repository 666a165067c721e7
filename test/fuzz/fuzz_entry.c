/*
 * fuzz_entry - an entry made of any bytes; what is taken becomes a record that reads back as
 * the same.
 *
 * The input is fields: a name's and a value's length as one byte each, then both; the byte
 * 0xff for a value's length is "all the rest".
 */
#include <stddef.h>
#include <stdint.h>

#include "base/must.h"
#include "rules/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FIELDS_MAX = 12 };

static struct hw_slice take(struct hw_slice *left, size_t len)
{
    struct hw_slice taken = hw_slice(left->data, len < left->len ? len : left->len);

    *left = hw_slice_from(*left, taken.len);
    return taken;
}

static size_t take_fields(struct hw_slice left, struct hw_entry_field fields[FIELDS_MAX])
{
    size_t n = 0;

    for (; left.len > 2 && n < FIELDS_MAX; n++) {
        struct hw_slice lengths = take(&left, 2);
        size_t value_len = (unsigned char)lengths.data[1];
        fields[n].name = take(&left, (unsigned char)lengths.data[0]);
        fields[n].value = take(&left, value_len == 0xff ? left.len : value_len);
    }
    return n;
}

static void check_record(const struct hw_entry *e)
{
    struct hw_record r;
    struct hw_buf b, subject, body;
    struct hw_slice pieces[2];

    hw_buf_init(&b, 1 << 20);
    hw_buf_init(&subject, 1 << 10);
    hw_buf_init(&body, 1 << 20);
    HW_MUST(hw_record_write(&b, e) == HW_OK);
    HW_MUST(hw_json_check(hw_buf_slice(&b), HW_JSON_DEPTH_MAX) != HW_ENTRY_BAD_JSON);
    HW_MUST(hw_record_read(&r, hw_buf_slice(&b)));
    HW_MUST(hw_slice_eq(r.id, e->id) && hw_slice_eq(r.type, e->type));
    HW_MUST(hw_slice_eq(r.account, e->account) && r.level == e->level);
    HW_MUST(r.data.len == e->payload.len);
    HW_MUST(hw_record_subject(&r, &subject) == HW_OK);
    HW_MUST(hw_slice_eq(hw_buf_slice(&subject), e->subject));

    size_t n = hw_record_body(&r, true, false, pieces);
    for (size_t i = 0; i < n; i++)
        hw_buf_append_slice(&body, pieces[i]);
    HW_MUST(hw_json_check(hw_buf_slice(&body), HW_JSON_DEPTH_MAX) == HW_ENTRY_GOOD);
    hw_buf_close(&b);
    hw_buf_close(&subject);
    hw_buf_close(&body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hw_entry_field fields[FIELDS_MAX];
    struct hw_entry_limits limits = { .max_payload_bytes = 1 << 16, .engines_own = size % 2 };
    struct hw_entry e;
    size_t n = take_fields(hw_slice(data, size), fields);
    enum hw_entry_reason reason =
        hw_entry_check(&e, (struct hw_stream_id){ size, n }, fields, n, &limits);

    HW_MUST(reason < HW_ENTRY_REASONS);
    if (reason == HW_ENTRY_GOOD)
        check_record(&e);
    return 0;
}
