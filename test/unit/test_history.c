#include "check.h"
#include "rules/history.h"

static struct hw_slice random_text(size_t max)
{
    static char bytes[8192];
    static bool is_filled;

    for (size_t i = 0; !is_filled && i < sizeof bytes; i++)
        bytes[i] = (char)check_random();
    is_filled = true;
    size_t len = check_random_below(4) ? check_random_below(max + 1) : 0;
    return hw_slice(bytes + check_random_below(sizeof bytes - len + 1), len);
}

static uint64_t random_of_any_size(void)
{
    return check_random() >> check_random_below(64);
}

static int32_t random_phase_ms(void)
{
    return check_random_below(3) ? (int32_t)(random_of_any_size() & INT32_MAX) : -1;
}

static hw_unix_ms random_time(hw_unix_ms near)
{
    switch (check_random_below(4)) {
    case 0:
        return (hw_unix_ms)check_random();
    case 1:
        return 0;
    default:
        return near + (hw_unix_ms)check_random_below(20000) - 10000;
    }
}

static struct hw_history random_history(void)
{
    uint64_t stamp_us = check_random_below(4)
                            ? 1772973000123456 + check_random_below(1000000000)
                            : check_random();
    hw_unix_ms created = random_time((hw_unix_ms)(stamp_us / 1000));

    return (struct hw_history){
        .stamp_us = stamp_us,
        .cursor = { random_of_any_size(), random_of_any_size() },
        .event_id = random_text(64),
        .event_type = random_text(128),
        .subject = random_text(256),
        .status = (enum hw_delivery_status)check_random_below(HW_DELIVERY_STATUSES),
        .attempts = (unsigned)random_of_any_size(),
        .schedule_from = (unsigned)random_of_any_size(),
        .is_uncounted = check_random_below(2),
        .created_ms = created,
        .updated_ms = random_time(created),
        .last_attempt_ms = random_time(created),
        .next_attempt_ms = random_time(created),
        .response_code = (int)check_random_below(1000),
        .failure = (enum hw_failure)check_random_below(HW_FAILURES),
        .phase = (enum hw_phase)check_random_below(HW_PHASES),
        .message = random_text(300),
        .traceparent = random_text(60),
        .log = random_text(1000),
    };
}

static void check_same(const struct hw_history *a, const struct hw_history *b)
{
    CHECK_UINT(a->stamp_us, ==, b->stamp_us);
    CHECK_INT(hw_stream_id_cmp(a->cursor, b->cursor), ==, 0);
    CHECK_SLICE_EQ(a->event_id, b->event_id);
    CHECK_SLICE_EQ(a->event_type, b->event_type);
    CHECK_SLICE_EQ(a->subject, b->subject);
    CHECK_INT(a->status, ==, b->status);
    CHECK_UINT(a->attempts, ==, b->attempts);
    CHECK_UINT(a->schedule_from, ==, b->schedule_from);
    CHECK(a->is_uncounted == b->is_uncounted);
    CHECK_INT(a->created_ms, ==, b->created_ms);
    CHECK_INT(a->updated_ms, ==, b->updated_ms);
    CHECK_INT(a->last_attempt_ms, ==, b->last_attempt_ms);
    CHECK_INT(a->next_attempt_ms, ==, b->next_attempt_ms);
    CHECK_INT(a->response_code, ==, b->response_code);
    CHECK_INT(a->failure, ==, b->failure);
    CHECK_INT(a->phase, ==, b->phase);
    CHECK_SLICE_EQ(a->message, b->message);
    CHECK_SLICE_EQ(a->traceparent, b->traceparent);
    CHECK_SLICE_EQ(a->log, b->log);
}

CASE(histories_round_trip)
{
    struct hw_buf b;

    hw_buf_init(&b, 1 << 20);
    for (int i = 0; i < 20000; i++) {
        struct hw_history in = random_history(), out;
        hw_buf_reset(&b);
        CHECK_INT(hw_history_pack(&b, &in), ==, HW_OK);
        CHECK(hw_history_unpack(&out, hw_buf_slice(&b)));
        check_same(&in, &out);
    }
    hw_buf_close(&b);
}

static struct hw_attempt random_attempt(void)
{
    return (struct hw_attempt){
        .number = (unsigned)random_of_any_size(),
        .started_ms = random_time(1772973000123),
        .duration_ms = (uint32_t)random_of_any_size(),
        .dns_ms = random_phase_ms(),
        .connect_ms = random_phase_ms(),
        .tls_ms = random_phase_ms(),
        .first_byte_ms = random_phase_ms(),
        .address = random_text(60),
        .reused = check_random_below(2),
        .tls_version = random_text(3),
        .response_code = (int)check_random_below(1000),
        .response_head = random_text(2000),
        .response_body = random_text(5000),
        .failure = (enum hw_failure)check_random_below(HW_FAILURES),
        .phase = (enum hw_phase)check_random_below(HW_PHASES),
        .message = random_text(300),
    };
}

static void check_same_attempt(const struct hw_attempt *a, const struct hw_attempt *b)
{
    CHECK_UINT(a->number, ==, b->number);
    CHECK_INT(a->started_ms, ==, b->started_ms);
    CHECK_UINT(a->duration_ms, ==, b->duration_ms);
    CHECK_INT(a->dns_ms, ==, b->dns_ms);
    CHECK_INT(a->connect_ms, ==, b->connect_ms);
    CHECK_INT(a->tls_ms, ==, b->tls_ms);
    CHECK_INT(a->first_byte_ms, ==, b->first_byte_ms);
    CHECK_SLICE_EQ(a->address, b->address);
    CHECK(a->reused == b->reused);
    CHECK_SLICE_EQ(a->tls_version, b->tls_version);
    CHECK_INT(a->response_code, ==, b->response_code);
    CHECK_SLICE_EQ(a->response_head, b->response_head);
    CHECK_SLICE_EQ(a->response_body, b->response_body);
    CHECK_INT(a->failure, ==, b->failure);
    CHECK_INT(a->phase, ==, b->phase);
    CHECK_SLICE_EQ(a->message, b->message);
}

CASE(attempts_round_trip_one_after_another)
{
    struct hw_buf b;

    hw_buf_init(&b, 1 << 20);
    for (int i = 0; i < 2000; i++) {
        struct hw_attempt in[5], out;
        size_t n = check_random_below(6);
        hw_buf_reset(&b);
        for (size_t k = 0; k < n; k++) {
            in[k] = random_attempt();
            CHECK_INT(hw_attempt_pack(&b, &in[k]), ==, HW_OK);
            if (in[k].response_body.len > HW_HISTORY_BODY_KEEP)
                in[k].response_body.len = HW_HISTORY_BODY_KEEP;
        }
        struct hw_slice log = hw_buf_slice(&b);
        for (size_t k = 0; k < n; k++) {
            CHECK(hw_attempt_next(&log, &out));
            check_same_attempt(&in[k], &out);
        }
        CHECK(!hw_attempt_next(&log, &out));
        CHECK_INT(log.len, ==, 0);
    }
    hw_buf_close(&b);
}

static struct hw_attempt first_attempt(void)
{
    return (struct hw_attempt){
        .number = 1,
        .started_ms = 1772973000125,
        .duration_ms = 23,
        .dns_ms = -1,
        .connect_ms = -1,
        .tls_ms = -1,
        .first_byte_ms = 22,
        .address = HW_SLICE("203.0.113.9:443"),
        .reused = true,
        .tls_version = HW_SLICE("1.3"),
        .response_code = 204,
    };
}

static struct hw_history delivered(struct hw_slice log)
{
    return (struct hw_history){
        .stamp_us = 1772973000123456,
        .cursor = { 1772973000123, 0 },
        .event_id = HW_SLICE("evt_00001kk6pt1dv0000000000005"),
        .event_type = HW_SLICE("order.created"),
        .status = HW_STATUS_DELIVERED,
        .attempts = 1,
        .created_ms = 1772973000123,
        .updated_ms = 1772973000148,
        .last_attempt_ms = 1772973000125,
        .response_code = 204,
        .log = log,
    };
}

CASE(one_delivered_at_once_is_small)
{
    struct hw_buf log, b;

    hw_buf_init(&log, 1000);
    hw_buf_init(&b, 1000);
    struct hw_attempt a = first_attempt();
    CHECK_INT(hw_attempt_pack(&log, &a), ==, HW_OK);
    struct hw_history h = delivered(hw_buf_slice(&log));
    CHECK_INT(hw_history_pack(&b, &h), ==, HW_OK);
    CHECK_INT(hw_buf_len(&b), <=, 120);
    hw_buf_close(&log);
    hw_buf_close(&b);
}

/* Wherever it is cut, and whichever byte is another: false or values in their range. */
CASE(what_is_broken_is_noticed_or_harmless)
{
    struct hw_buf log, b;
    struct hw_history h = delivered(hw_slice(NULL, 0)), out;
    struct hw_attempt a = first_attempt(), attempt;

    hw_buf_init(&log, 1000);
    hw_buf_init(&b, 1000);
    CHECK_INT(hw_attempt_pack(&log, &a), ==, HW_OK);
    CHECK_INT(hw_history_pack(&b, &h), ==, HW_OK);
    struct hw_slice packed = hw_buf_slice(&b);
    for (size_t len = 0; len < packed.len; len++)
        CHECK(!hw_history_unpack(&out, hw_slice(packed.data, len)));
    for (size_t len = 1; len < hw_buf_len(&log); len++) {
        struct hw_slice cut = hw_slice(hw_buf_slice(&log).data, len);
        CHECK(!hw_attempt_next(&cut, &attempt));
        CHECK_INT(cut.len, ==, len);
    }
    for (size_t at = 0; at < packed.len; at++)
        for (int c = 0; c < 256; c++) {
            char copy[200];
            memcpy(copy, packed.data, packed.len);
            copy[at] = (char)c;
            if (!hw_history_unpack(&out, hw_slice(copy, packed.len)))
                continue;
            CHECK_INT(out.status, <, HW_DELIVERY_STATUSES);
            CHECK_INT(out.failure, <, HW_FAILURES);
            CHECK_INT(out.phase, <, HW_PHASES);
            CHECK_INT(out.event_id.len, <=, packed.len);
        }
    hw_buf_close(&log);
    hw_buf_close(&b);
}

CASE(numbers_that_are_too_long)
{
    /* The version, then a number of eleven bytes, and one of ten with more than 64 bits. */
    static const char eleven[] =
        "\1\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    static const char over[] =
        "\1\xff\xff\xff\xff\xff\xff\xff\xff\xff\2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    static const char most[] =
        "\1\xff\xff\xff\xff\xff\xff\xff\xff\xff\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    struct hw_history h;

    CHECK(!hw_history_unpack(&h, hw_slice(eleven, sizeof eleven)));
    CHECK(!hw_history_unpack(&h, hw_slice(over, sizeof over)));
    CHECK(hw_history_unpack(&h, hw_slice(most, sizeof most)));
    CHECK_UINT(h.stamp_us, ==, UINT64_MAX);
    CHECK(!hw_history_unpack(&h, HW_SLICE("\2")));
    CHECK(!hw_history_unpack(&h, HW_SLICE("")));
}

/* What a later version adds at the end of an attempt is skipped. */
CASE(attempts_may_grow)
{
    struct hw_buf log;
    struct hw_attempt a = first_attempt(), out;

    hw_buf_init(&log, 1000);
    CHECK_INT(hw_attempt_pack(&log, &a), ==, HW_OK);
    CHECK_INT(hw_buf_len(&log), <, 100);
    log.base[0] = (char)(log.base[0] + 3); /* its length */
    hw_buf_append_str(&log, "new");
    CHECK_INT(hw_attempt_pack(&log, &a), ==, HW_OK);
    struct hw_slice left = hw_buf_slice(&log);
    CHECK(hw_attempt_next(&left, &out));
    check_same_attempt(&a, &out);
    CHECK(hw_attempt_next(&left, &out));
    check_same_attempt(&a, &out);
    CHECK_INT(left.len, ==, 0);
    hw_buf_close(&log);
}

CASE(a_full_buffer_says_so)
{
    struct hw_history h = delivered(hw_slice(NULL, 0));
    struct hw_attempt a = first_attempt();
    struct hw_buf b;

    hw_buf_init(&b, 20);
    CHECK_INT(hw_history_pack(&b, &h), ==, HW_ETOOBIG);
    hw_buf_reset(&b);
    CHECK_INT(hw_attempt_pack(&b, &a), ==, HW_ETOOBIG);
    hw_buf_close(&b);
}

CASE(names)
{
    for (int i = 0; i < HW_DELIVERY_STATUSES; i++) {
        const char *text = hw_delivery_status_text((enum hw_delivery_status)i);
        CHECK_INT(hw_delivery_status_parse(hw_slice_str(text)), ==, i);
    }
    CHECK_STR(hw_delivery_status_text(HW_STATUS_DEAD_LETTER), "dead_letter");
    CHECK_INT(hw_delivery_status_parse(HW_SLICE("")), ==, -1);
    CHECK_INT(hw_delivery_status_parse(HW_SLICE("Pending")), ==, -1);
    CHECK_STR(hw_failure_text(HW_FAILURE_NONE), "");
    CHECK_STR(hw_failure_text(HW_FAILURE_REFUSED_ADDRESS), "refused_address");
    CHECK_STR(hw_failure_text(HW_FAILURE_POISON), "poison");
    CHECK_STR(hw_phase_text(HW_PHASE_NONE), "");
    CHECK_STR(hw_phase_text(HW_PHASE_RESPONSE), "response");
}
