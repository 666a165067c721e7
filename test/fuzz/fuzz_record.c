/*
 * fuzz_record - any bytes as a record, alone and behind a head that is good.
 */
#include <stddef.h>
#include <stdint.h>

#include "base/must.h"
#include "rules/record.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_one(struct hw_slice bytes)
{
    struct hw_record r;
    struct hw_slice pieces[2];
    struct hw_buf subject;
    size_t total = 0;

    if (!hw_record_read(&r, bytes))
        return;
    HW_MUST(r.raw_from <= r.raw_to && r.raw_to <= bytes.len);
    for (int way = 0; way < 4; way++) {
        size_t n = hw_record_body(&r, way & 1, way & 2, pieces);
        for (size_t i = 0; i < n; i++) {
            HW_MUST(pieces[i].data >= bytes.data);
            HW_MUST(pieces[i].data + pieces[i].len <= bytes.data + bytes.len);
            total += pieces[i].len;
        }
    }
    HW_MUST(total <= 4 * bytes.len);
    hw_buf_init(&subject, bytes.len);
    HW_MUST(hw_record_subject(&r, &subject) == HW_OK);
    hw_buf_close(&subject);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hw_buf b;

    read_one(hw_slice(data, size));
    hw_buf_init(&b, size + 1024);
    hw_buf_append_str(
        &b, "{\"id\":\"a\",\"type\":\"t\",\"timestamp\":\"2026-03-09T12:00:00.000Z\","
            "\"account\":\"a\"");
    hw_buf_append(&b, data, size);
    read_one(hw_buf_slice(&b));
    hw_buf_append_str(&b, ",\"level\":\"user\",\"data\":{\"raw\":1,");
    hw_buf_append(&b, data, size < 512 ? size : 512);
    hw_buf_append_str(&b, "}}");
    read_one(hw_buf_slice(&b));
    hw_buf_close(&b);
    return 0;
}
