/*
 * Any bytes, cut anywhere: a response is read or refused, within its limits, and cut in
 * another place it comes out the same.  The first byte says where to cut.
 */
#include "base/must.h"
#include "http/response.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { KEEP = 64 };

/* Feed in pieces of `step`; *n_used: bytes of the message. */
static enum hw_status read_all(struct hw_response *r, struct hw_slice text, size_t step,
                               size_t *n_used)
{
    enum hw_status status = HW_OK;
    size_t n;

    *n_used = 0;
    while (*n_used < text.len && status == HW_OK && !r->is_complete) {
        size_t len = text.len - *n_used < step ? text.len - *n_used : step;

        status = hw_response_feed(r, hw_slice(text.data + *n_used, len), &n, NULL);
        HW_MUST(n <= len);
        *n_used += n;
    }
    return status;
}

static void check_fields(const struct hw_response *r)
{
    struct hw_slice head = hw_buf_slice(&r->head);

    HW_MUST(r->head_bytes <= HW_RESPONSE_HEAD_MAX);
    HW_MUST(r->n_fields <= HW_RESPONSE_FIELDS_MAX && r->n_interim <= HW_RESPONSE_INTERIM_MAX);
    HW_MUST(r->status >= 200 && r->status <= 999);
    while (head.len > 0) {
        size_t n = hw_slice_find(head, '\n');
        size_t colon = hw_slice_find(head, ':');

        HW_MUST(n < head.len && colon > 0 && colon + 1 < n && head.data[colon + 1] == ' ');
        head = hw_slice_from(head, n + 1);
    }
}

static void check_same(const struct hw_response *a, const struct hw_response *b)
{
    HW_MUST(a->has_head == b->has_head && a->is_complete == b->is_complete);
    HW_MUST(a->status == b->status && a->n_fields == b->n_fields);
    HW_MUST(a->head_bytes == b->head_bytes && a->body_bytes == b->body_bytes);
    HW_MUST(hw_slice_eq(hw_buf_slice(&a->body), hw_buf_slice(&b->body)));
    if (!a->has_head)
        return;
    HW_MUST(hw_slice_eq(hw_buf_slice(&a->head), hw_buf_slice(&b->head)));
    check_fields(a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum hw_status status_a, status_b;
    struct hw_response a, b;
    size_t n_a, n_b;

    if (size < 2)
        return 0;
    struct hw_slice text = hw_slice(data + 1, size - 1);
    hw_response_init(&a, KEEP);
    hw_response_init(&b, KEEP);
    status_a = read_all(&a, text, text.len, &n_a);
    status_b = read_all(&b, text, 1 + data[0] % 32, &n_b);
    HW_MUST(status_a == status_b);
    if (status_a == HW_OK) {
        HW_MUST(n_a == n_b);
        check_same(&a, &b);
        HW_MUST(hw_response_end(&a, NULL) == hw_response_end(&b, NULL));
    }
    HW_MUST(!a.may_reuse || (status_a == HW_OK && a.is_complete));
    hw_response_close(&a);
    hw_response_close(&b);
    return 0;
}
