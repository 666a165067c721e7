/*
 * Layout of a history (version 1); u: unsigned, s: signed, both of variable length; t: a
 * text, its length as u first.
 *
 *      byte  version
 *      u     stamp_us
 *      s     created_ms - stamp in ms    (stamped when created: next to nothing)
 *      u     flags: has_last 1, has_next 2, is_uncounted 4
 *      s     cursor.ms - created_ms
 *      u     cursor.seq
 *      u     status  attempts  schedule_from
 *      s     updated_ms - created_ms
 *      s     last_attempt_ms - created_ms        if has_last
 *      s     next_attempt_ms - created_ms        if has_next
 *      u     response_code  failure  phase
 *      t     event_id  event_type  subject  message  traceparent
 *      ...   the log, to the end
 *
 * An attempt is its own length as u, then its fields.  A reader takes the fields it knows
 * and leaves the rest of that length alone: a later version may add some at the end
 * without a new version number.
 *
 * Differences are taken modulo 2^64, so that every value comes back, however absurd.
 *
 * What comes before response_code is known to redis/scripts/replay.lua too, which rewrites it
 * inside Redis.
 */
#include "rules/history.h"

#include "base/must.h"

enum { VERSION = 1, VARINT_MAX = 10, RESPONSE_CODE_MAX = 999 };
enum { HAS_LAST = 1, HAS_NEXT = 2, IS_UNCOUNTED = 4, ALL_FLAGS = 7 };

/* --- status ----------------------------------------------------------------------- */

static const char *const status_texts[HW_DELIVERY_STATUSES] = {
    [HW_STATUS_PENDING] = "pending",         [HW_STATUS_DELIVERING] = "delivering",
    [HW_STATUS_DELIVERED] = "delivered",     [HW_STATUS_FAILED] = "failed",
    [HW_STATUS_DEAD_LETTER] = "dead_letter",
};

const char *hw_delivery_status_text(enum hw_delivery_status status)
{
    HW_MUST((unsigned)status < HW_DELIVERY_STATUSES);
    return status_texts[status];
}

int hw_delivery_status_parse(struct hw_slice text)
{
    for (int i = 0; i < HW_DELIVERY_STATUSES; i++)
        if (hw_slice_is(text, status_texts[i]))
            return i;
    return -1;
}

/* --- writing ---------------------------------------------------------------------- */

static size_t varint_bytes(uint64_t value)
{
    size_t n = 1;

    for (; value > 0x7f; value >>= 7)
        n++;
    return n;
}

static void put_u(struct hw_buf *out, uint64_t value)
{
    unsigned char bytes[VARINT_MAX];
    size_t n = 0;

    for (; value > 0x7f; value >>= 7)
        bytes[n++] = (unsigned char)(value | 0x80);
    bytes[n++] = (unsigned char)value;
    hw_buf_append(out, bytes, n);
}

/* Small numbers of either sign become small unsigned ones: 0, -1, 1, -2 ... */
static uint64_t zigzag(int64_t value)
{
    return (uint64_t)value << 1 ^ (value < 0 ? UINT64_MAX : 0);
}

static void put_s(struct hw_buf *out, int64_t value)
{
    put_u(out, zigzag(value));
}

/* value - base, modulo 2^64. */
static void put_difference(struct hw_buf *out, uint64_t value, uint64_t base)
{
    put_s(out, (int64_t)(value - base));
}

static void put_text(struct hw_buf *out, struct hw_slice text)
{
    put_u(out, text.len);
    hw_buf_append_slice(out, text);
}

enum hw_status hw_history_pack(struct hw_buf *out, const struct hw_history *h)
{
    uint64_t created = (uint64_t)h->created_ms;
    unsigned flags = (h->last_attempt_ms != 0 ? HAS_LAST : 0) |
                     (h->next_attempt_ms != 0 ? HAS_NEXT : 0) |
                     (h->is_uncounted ? IS_UNCOUNTED : 0);

    hw_buf_append_char(out, VERSION);
    put_u(out, h->stamp_us);
    put_difference(out, created, h->stamp_us / 1000);
    put_u(out, flags);
    put_difference(out, h->cursor.ms, created);
    put_u(out, h->cursor.seq);
    put_u(out, (uint64_t)h->status);
    put_u(out, h->attempts);
    put_u(out, h->schedule_from);
    put_difference(out, (uint64_t)h->updated_ms, created);
    if (flags & HAS_LAST)
        put_difference(out, (uint64_t)h->last_attempt_ms, created);
    if (flags & HAS_NEXT)
        put_difference(out, (uint64_t)h->next_attempt_ms, created);
    put_u(out, (uint64_t)h->response_code);
    put_u(out, (uint64_t)h->failure);
    put_u(out, (uint64_t)h->phase);
    put_text(out, h->event_id);
    put_text(out, h->event_type);
    put_text(out, h->subject);
    put_text(out, h->message);
    put_text(out, h->traceparent);
    return hw_buf_append_slice(out, h->log);
}

static struct hw_slice clip(struct hw_slice text, size_t max)
{
    return hw_slice(text.data, text.len < max ? text.len : max);
}

static size_t text_bytes(struct hw_slice text)
{
    return varint_bytes(text.len) + text.len;
}

/* -1, "did not happen", becomes 0. */
static uint64_t after_one(int32_t ms)
{
    return ms < 0 ? 0 : (uint64_t)ms + 1;
}

enum { ATTEMPT_NUMBERS = 11, ATTEMPT_TEXTS = 5 };

enum hw_status hw_attempt_pack(struct hw_buf *log, const struct hw_attempt *a)
{
    const uint64_t numbers[ATTEMPT_NUMBERS] = {
        a->number,
        zigzag(a->started_ms),
        a->duration_ms,
        after_one(a->dns_ms),
        after_one(a->connect_ms),
        after_one(a->tls_ms),
        after_one(a->first_byte_ms),
        a->reused,
        (uint64_t)a->response_code,
        (uint64_t)a->failure,
        (uint64_t)a->phase,
    };
    const struct hw_slice texts[ATTEMPT_TEXTS] = {
        a->address,       a->tls_version,
        a->response_head, clip(a->response_body, HW_HISTORY_BODY_KEEP),
        a->message,
    };
    size_t bytes = 0;

    for (int i = 0; i < ATTEMPT_NUMBERS; i++)
        bytes += varint_bytes(numbers[i]);
    for (int i = 0; i < ATTEMPT_TEXTS; i++)
        bytes += text_bytes(texts[i]);
    put_u(log, bytes);
    for (int i = 0; i < ATTEMPT_NUMBERS; i++)
        put_u(log, numbers[i]);
    for (int i = 0; i < ATTEMPT_TEXTS; i++)
        put_text(log, texts[i]);
    return hw_buf_failed(log);
}

/* --- reading ---------------------------------------------------------------------- */

/* Once something did not fit, everything read is 0 or empty. */
struct reader {
    struct hw_slice left;
    bool is_bad;
};

static uint64_t reader_fail(struct reader *r)
{
    r->is_bad = true;
    r->left = hw_slice(NULL, 0);
    return 0;
}

static uint64_t get_u(struct reader *r)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < VARINT_MAX && i < r->left.len; i++) {
        uint64_t bits = (unsigned char)r->left.data[i] & 0x7f;
        if (i == VARINT_MAX - 1 && bits > 1) /* the 64th bit is all that is left */
            break;
        value |= bits << (7 * i);
        if (((unsigned char)r->left.data[i] & 0x80) == 0) {
            r->left = hw_slice_from(r->left, i + 1);
            return value;
        }
    }
    return reader_fail(r);
}

static uint64_t get_at_most(struct reader *r, uint64_t max)
{
    uint64_t value = get_u(r);

    return value <= max ? value : reader_fail(r);
}

static int64_t unzigzag(uint64_t value)
{
    return (int64_t)(value >> 1 ^ (value & 1 ? UINT64_MAX : 0));
}

static uint64_t get_sum(struct reader *r, uint64_t base)
{
    return base + (uint64_t)unzigzag(get_u(r));
}

static struct hw_slice get_text(struct reader *r)
{
    uint64_t len = get_u(r);

    if (len > r->left.len)
        len = reader_fail(r);
    struct hw_slice text = hw_slice(r->left.data, (size_t)len);
    r->left = hw_slice_from(r->left, (size_t)len);
    return text;
}

static void get_times(struct reader *r, struct hw_history *h, unsigned flags)
{
    uint64_t created = (uint64_t)h->created_ms;

    h->updated_ms = (hw_unix_ms)get_sum(r, created);
    if (flags & HAS_LAST)
        h->last_attempt_ms = (hw_unix_ms)get_sum(r, created);
    if (flags & HAS_NEXT)
        h->next_attempt_ms = (hw_unix_ms)get_sum(r, created);
}

bool hw_history_unpack(struct hw_history *h, struct hw_slice packed)
{
    struct reader r = { .left = hw_slice_from(packed, 1) };

    *h = (struct hw_history){ 0 };
    if (packed.len == 0 || packed.data[0] != VERSION)
        return false;
    h->stamp_us = get_u(&r);
    h->created_ms = (hw_unix_ms)get_sum(&r, h->stamp_us / 1000);
    unsigned flags = (unsigned)get_at_most(&r, ALL_FLAGS);
    h->is_uncounted = flags & IS_UNCOUNTED;
    h->cursor.ms = get_sum(&r, (uint64_t)h->created_ms);
    h->cursor.seq = get_u(&r);
    h->status = (enum hw_delivery_status)get_at_most(&r, HW_DELIVERY_STATUSES - 1);
    h->attempts = (unsigned)get_at_most(&r, UINT32_MAX);
    h->schedule_from = (unsigned)get_at_most(&r, UINT32_MAX);
    get_times(&r, h, flags);
    h->response_code = (int)get_at_most(&r, RESPONSE_CODE_MAX);
    h->failure = (enum hw_failure)get_at_most(&r, HW_FAILURES - 1);
    h->phase = (enum hw_phase)get_at_most(&r, HW_PHASES - 1);
    h->event_id = get_text(&r);
    h->event_type = get_text(&r);
    h->subject = get_text(&r);
    h->message = get_text(&r);
    h->traceparent = get_text(&r);
    h->log = r.left;
    return !r.is_bad;
}

/* 0 becomes -1, "did not happen". */
static int32_t get_phase_ms(struct reader *r)
{
    return (int32_t)((int64_t)get_at_most(r, (uint64_t)INT32_MAX + 1) - 1);
}

bool hw_attempt_next(struct hw_slice *log, struct hw_attempt *a)
{
    struct reader whole = { .left = *log };
    struct reader r = { 0 };

    *a = (struct hw_attempt){ 0 };
    if (log->len == 0)
        return false;
    r.left = get_text(&whole);
    a->number = (unsigned)get_at_most(&r, UINT32_MAX);
    a->started_ms = unzigzag(get_u(&r));
    a->duration_ms = (uint32_t)get_at_most(&r, UINT32_MAX);
    a->dns_ms = get_phase_ms(&r);
    a->connect_ms = get_phase_ms(&r);
    a->tls_ms = get_phase_ms(&r);
    a->first_byte_ms = get_phase_ms(&r);
    a->reused = get_at_most(&r, 1);
    a->response_code = (int)get_at_most(&r, RESPONSE_CODE_MAX);
    a->failure = (enum hw_failure)get_at_most(&r, HW_FAILURES - 1);
    a->phase = (enum hw_phase)get_at_most(&r, HW_PHASES - 1);
    a->address = get_text(&r);
    a->tls_version = get_text(&r);
    a->response_head = get_text(&r);
    a->response_body = get_text(&r);
    a->message = get_text(&r);
    if (whole.is_bad || r.is_bad)
        return false;
    *log = whole.left;
    return true;
}
