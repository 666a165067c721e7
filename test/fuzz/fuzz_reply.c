/*
 * Any bytes, cut anywhere: the reader gives replies that can be walked, or refuses.  Cut in
 * another place they come out the same.  The first byte says where to cut.
 */
#include <stdlib.h>

#include "base/must.h"
#include "redis/reply.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t walk(const struct hw_reply *reply, uint64_t sum)
{
    sum = (sum ^ (uint64_t)reply->kind) * UINT64_C(0x100000001b3);
    sum = (sum ^ (uint64_t)reply->integer) * UINT64_C(0x100000001b3);
    for (size_t i = 0; i < reply->text.len; i++)
        sum = (sum ^ (uint8_t)reply->text.data[i]) * UINT64_C(0x100000001b3);
    for (size_t i = 0; i < reply->n_items; i++)
        sum = walk(hw_reply_item(reply, i), sum);
    (void)hw_reply_int(reply, 0);
    return sum;
}

/* Feed in pieces of `step`; a sum over all that came out and how it ended. */
static uint64_t read_all(const uint8_t *data, size_t size, size_t step)
{
    struct hw_reply_reader *r;
    const struct hw_reply *reply;
    enum hw_status status = HW_OK;
    uint64_t sum = 0;

    if (hw_reply_reader_open(&r) != HW_OK)
        return 0;
    for (size_t at = 0; at < size && status == HW_OK; at += step) {
        size_t len = size - at < step ? size - at : step;

        status = hw_reply_reader_feed(r, hw_slice(data + at, len));
        while (status == HW_OK && (status = hw_reply_reader_next(r, &reply, NULL)) == HW_OK &&
               reply != NULL)
            sum = walk(reply, sum);
    }
    hw_reply_reader_close(r);
    return sum ^ (status == HW_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    HW_MUST(read_all(data + 1, size - 1, size) ==
            read_all(data + 1, size - 1, 1 + data[0] % 32));
    return 0;
}
