/*
 * fuzz_history - any bytes as a packed history and as a log; what unpacks, packs again and
 * unpacks as the same bytes.
 */
#include <stddef.h>
#include <stdint.h>

#include "base/must.h"
#include "rules/history.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void pack_again(const struct hw_history *h)
{
    struct hw_history again;
    struct hw_buf first, second;

    hw_buf_init(&first, 1 << 20);
    hw_buf_init(&second, 1 << 20);
    HW_MUST(hw_history_pack(&first, h) == HW_OK);
    HW_MUST(hw_history_unpack(&again, hw_buf_slice(&first)));
    HW_MUST(hw_history_pack(&second, &again) == HW_OK);
    HW_MUST(hw_slice_eq(hw_buf_slice(&first), hw_buf_slice(&second)));
    hw_buf_close(&first);
    hw_buf_close(&second);
}

static void read_log(struct hw_slice log)
{
    struct hw_attempt a;
    struct hw_buf b;

    hw_buf_init(&b, 1 << 20);
    while (hw_attempt_next(&log, &a)) {
        struct hw_slice again;
        HW_MUST(a.failure < HW_FAILURES && a.phase < HW_PHASES && a.response_code <= 999);
        hw_buf_reset(&b);
        HW_MUST(hw_attempt_pack(&b, &a) == HW_OK);
        again = hw_buf_slice(&b);
        HW_MUST(hw_attempt_next(&again, &a) && again.len == 0);
    }
    hw_buf_close(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hw_history h;

    read_log(hw_slice(data, size));
    if (hw_history_unpack(&h, hw_slice(data, size))) {
        HW_MUST(h.failure < HW_FAILURES && h.phase < HW_PHASES &&
                h.status < HW_DELIVERY_STATUSES);
        pack_again(&h);
        read_log(h.log);
    }
    return 0;
}
