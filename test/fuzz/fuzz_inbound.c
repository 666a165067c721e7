/*
 * Any bytes, cut anywhere: requests are read or refused, within their limits, and cut in
 * another place they come out the same.  The first byte says where to cut.
 */
#include "base/must.h"
#include "http/inbound.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { BODY_MAX = 100 };

static uint64_t mix(uint64_t sum, struct hw_slice s)
{
    sum = (sum ^ s.len) * UINT64_C(0x100000001b3);
    for (size_t i = 0; i < s.len; i++)
        sum = (sum ^ (uint8_t)s.data[i]) * UINT64_C(0x100000001b3);
    return sum;
}

static uint64_t mix_request(uint64_t sum, const struct hw_inbound *in)
{
    HW_MUST(in->has_head && in->method != NULL);
    HW_MUST(in->head_bytes <= HW_INBOUND_HEAD_MAX && in->n_fields <= HW_INBOUND_FIELDS_MAX);
    HW_MUST(hw_buf_len(&in->body) <= BODY_MAX && hw_buf_len(&in->target) > 0);
    sum = mix(sum, hw_slice_str(in->method));
    sum = mix(sum, hw_buf_slice(&in->target));
    sum = mix(sum, hw_buf_slice(&in->head));
    sum = mix(sum, hw_buf_slice(&in->body));
    return sum ^ (in->keep_alive ? 1 : 0);
}

/* Feed in pieces of `step`; a sum over all requests and how it ended. */
static uint64_t read_all(struct hw_slice text, size_t step)
{
    enum hw_status status = HW_OK;
    struct hw_inbound in;
    uint64_t sum = 0;
    size_t n;

    hw_inbound_init(&in, BODY_MAX);
    for (size_t at = 0; at < text.len && status == HW_OK; at += n) {
        size_t len = text.len - at < step ? text.len - at : step;

        status = hw_inbound_feed(&in, hw_slice(text.data + at, len), &n, NULL);
        HW_MUST(n <= len && (n > 0 || status != HW_OK));
        if (!in.is_complete)
            continue;
        sum = mix_request(sum, &in);
        hw_inbound_next(&in);
    }
    sum = mix(sum, hw_slice_str(hw_status_text(status))) ^ (in.too_large_body ? 2 : 0);
    hw_inbound_close(&in);
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hw_slice text;

    if (size < 2)
        return 0;
    text = hw_slice(data + 1, size - 1);
    HW_MUST(read_all(text, text.len) == read_all(text, 1 + data[0] % 32));
    return 0;
}
