/* delivery: what an outcome means, which state may follow which. */
#include "core/delivery.h"

#include "check.h"
#include "support/scarce.h"

enum { MINUTE = 60 * 1000, ANY_MS = 3600 * 1000 };

static const uint64_t standard[] = { 1 * MINUTE, 5 * MINUTE, 30 * MINUTE, 120 * MINUTE };
static const struct hw_retry_rules rules = { standard, 4, 0 };

/* ---- verdicts ---- */

struct row {
    const char *what;
    struct hw_attempt_result result; /* failure, phase, status, Retry-After */
    struct hw_delivery delivery;     /* attempts, schedule_from, is_uncounted, own_faults */
    enum hw_webhook_status status;
    struct hw_verdict wanted;        /* kind, failure, phase, delay, hold, is_counted, is_gone */
};

#define HTTP(status)           { HW_FAILURE_NONE, HW_PHASE_NONE, status, 0 }
#define HTTP_AFTER(status, ms) { HW_FAILURE_NONE, HW_PHASE_NONE, status, ms }
#define FAILED(failure, phase) { HW_FAILURE_##failure, HW_PHASE_##phase, 0, 0 }
#define FIRST                  { .attempts = 0 }
#define LAST                   { .attempts = 4 }
#define DELIVERED              { HW_VERDICT_DELIVERED, HW_FAILURE_NONE, HW_PHASE_NONE, 0, 0, false, false }
#define AGAIN(failure, phase, delay, hold) \
    { HW_VERDICT_AGAIN, HW_FAILURE_##failure, HW_PHASE_##phase, delay, hold, false, false }
#define DEAD(failure, phase, is_counted, is_gone) \
    { HW_VERDICT_DEAD, HW_FAILURE_##failure, HW_PHASE_##phase, 0, 0, is_counted, is_gone }
#define OURS(delay) { HW_VERDICT_OURS, HW_FAILURE_INTERNAL, HW_PHASE_NONE, delay, 0, false, false }

static const struct row rows[] = {
    { "200", HTTP(200), FIRST, HW_WEBHOOK_ACTIVE, DELIVERED },
    { "299, the last attempt", HTTP(299), LAST, HW_WEBHOOK_ACTIVE, DELIVERED },
    { "204, disabled meanwhile", HTTP(204), FIRST, HW_WEBHOOK_DISABLED, DELIVERED },
    { "204, deleted meanwhile", HTTP(204), FIRST, HW_WEBHOOK_DELETED, DELIVERED },
    { "200 with a Retry-After", HTTP_AFTER(200, 9000), FIRST, HW_WEBHOOK_ACTIVE, DELIVERED },

    { "199", HTTP(199), FIRST, HW_WEBHOOK_ACTIVE, AGAIN(HTTP_STATUS, NONE, MINUTE, 0) },
    { "300", HTTP(300), FIRST, HW_WEBHOOK_ACTIVE, AGAIN(HTTP_STATUS, NONE, MINUTE, 0) },
    { "a redirect", HTTP(302), FIRST, HW_WEBHOOK_ACTIVE, AGAIN(HTTP_STATUS, NONE, MINUTE, 0) },
    { "400", HTTP(400), FIRST, HW_WEBHOOK_ACTIVE, AGAIN(HTTP_STATUS, NONE, MINUTE, 0) },
    { "404", HTTP(404), FIRST, HW_WEBHOOK_ACTIVE, AGAIN(HTTP_STATUS, NONE, MINUTE, 0) },
    { "500", HTTP(500), FIRST, HW_WEBHOOK_ACTIVE, AGAIN(HTTP_STATUS, NONE, MINUTE, 0) },
    { "500, paused", HTTP(500), FIRST, HW_WEBHOOK_PAUSED, AGAIN(HTTP_STATUS, NONE, MINUTE, 0) },
    { "500, the second", HTTP(500), { .attempts = 1 }, HW_WEBHOOK_ACTIVE,
      AGAIN(HTTP_STATUS, NONE, 5 * MINUTE, 0) },
    { "500, the fourth", HTTP(500), { .attempts = 3 }, HW_WEBHOOK_ACTIVE,
      AGAIN(HTTP_STATUS, NONE, 120 * MINUTE, 0) },
    { "500, the fifth", HTTP(500), LAST, HW_WEBHOOK_ACTIVE, DEAD(HTTP_STATUS, NONE, true, false) },
    { "500, the fifth, paused", HTTP(500), LAST, HW_WEBHOOK_PAUSED,
      DEAD(HTTP_STATUS, NONE, true, false) },

    { "timeout", FAILED(TIMEOUT, RESPONSE), FIRST, HW_WEBHOOK_ACTIVE,
      AGAIN(TIMEOUT, RESPONSE, MINUTE, 0) },
    { "dns", FAILED(DNS, DNS), FIRST, HW_WEBHOOK_ACTIVE, AGAIN(DNS, DNS, MINUTE, 0) },
    { "connect", FAILED(CONNECT, CONNECT), FIRST, HW_WEBHOOK_ACTIVE, AGAIN(CONNECT, CONNECT, MINUTE, 0) },
    { "tls", FAILED(TLS, TLS), FIRST, HW_WEBHOOK_ACTIVE, AGAIN(TLS, TLS, MINUTE, 0) },
    { "protocol", FAILED(PROTOCOL, RESPONSE), FIRST, HW_WEBHOOK_ACTIVE,
      AGAIN(PROTOCOL, RESPONSE, MINUTE, 0) },
    { "an address that is refused", FAILED(REFUSED_ADDRESS, DNS), FIRST, HW_WEBHOOK_ACTIVE,
      AGAIN(REFUSED_ADDRESS, DNS, MINUTE, 0) },
    { "connect, the fifth", FAILED(CONNECT, CONNECT), LAST, HW_WEBHOOK_ACTIVE,
      DEAD(CONNECT, CONNECT, true, false) },

    { "429 without Retry-After", HTTP(429), FIRST, HW_WEBHOOK_ACTIVE, AGAIN(HTTP_STATUS, NONE, MINUTE, 0) },
    { "429, sooner than planned", HTTP_AFTER(429, 5000), FIRST, HW_WEBHOOK_ACTIVE,
      AGAIN(HTTP_STATUS, NONE, MINUTE, 5000) },
    { "503, later than planned", HTTP_AFTER(503, 3 * MINUTE), FIRST, HW_WEBHOOK_ACTIVE,
      AGAIN(HTTP_STATUS, NONE, 3 * MINUTE, 3 * MINUTE) },
    { "503, for ever", HTTP_AFTER(503, UINT64_MAX), FIRST, HW_WEBHOOK_ACTIVE,
      AGAIN(HTTP_STATUS, NONE, 120 * MINUTE, HW_RETRY_HOLD_MAX_MS) },
    { "500 with a Retry-After", HTTP_AFTER(500, 3 * MINUTE), FIRST, HW_WEBHOOK_ACTIVE,
      AGAIN(HTTP_STATUS, NONE, MINUTE, 0) },
    { "503, the fifth: still a hold for the others", HTTP_AFTER(503, 4000), LAST, HW_WEBHOOK_ACTIVE,
      { HW_VERDICT_DEAD, HW_FAILURE_HTTP_STATUS, HW_PHASE_NONE, 0, 4000, true, false } },
    { "503, disabled: nothing left to hold", HTTP_AFTER(503, 4000), FIRST, HW_WEBHOOK_DISABLED,
      DEAD(HTTP_STATUS, NONE, false, false) },

    { "410", HTTP(410), FIRST, HW_WEBHOOK_ACTIVE, DEAD(HTTP_STATUS, NONE, false, true) },
    { "410, paused", HTTP(410), FIRST, HW_WEBHOOK_PAUSED, DEAD(HTTP_STATUS, NONE, false, true) },
    { "410, disabled already", HTTP(410), FIRST, HW_WEBHOOK_DISABLED, DEAD(HTTP_STATUS, NONE, false, false) },

    { "500, disabled meanwhile", HTTP(500), FIRST, HW_WEBHOOK_DISABLED,
      DEAD(HTTP_STATUS, NONE, false, false) },
    { "timeout, deleted meanwhile", FAILED(TIMEOUT, CONNECT), LAST, HW_WEBHOOK_DELETED,
      DEAD(TIMEOUT, CONNECT, false, false) },

    { "a redelivery begins the schedule anew", HTTP(500), { .attempts = 5, .schedule_from = 5 },
      HW_WEBHOOK_ACTIVE, AGAIN(HTTP_STATUS, NONE, MINUTE, 0) },
    { "a redelivery that fails to its end does not count", HTTP(500),
      { .attempts = 9, .schedule_from = 5, .is_uncounted = true }, HW_WEBHOOK_ACTIVE,
      DEAD(HTTP_STATUS, NONE, false, false) },
    { "410 of a redelivery disables all the same", HTTP(410),
      { .attempts = 5, .schedule_from = 5, .is_uncounted = true }, HW_WEBHOOK_ACTIVE,
      DEAD(HTTP_STATUS, NONE, false, true) },

    { "a fault of ours", FAILED(INTERNAL, NONE), FIRST, HW_WEBHOOK_ACTIVE, OURS(1000) },
    { "a fault of ours, the third in a row", FAILED(INTERNAL, NONE), { .own_faults = 2 },
      HW_WEBHOOK_ACTIVE, OURS(4000) },
    { "a fault of ours, the hundredth", FAILED(INTERNAL, NONE), { .attempts = 4, .own_faults = 99 },
      HW_WEBHOOK_ACTIVE, OURS(60000) },
};

CASE(every_outcome_has_its_verdict)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct row *r = &rows[i];
        struct hw_verdict v = hw_delivery_step(&r->delivery, &r->result, &rules, r->status, 0);
        if (v.kind != r->wanted.kind || v.failure != r->wanted.failure || v.phase != r->wanted.phase ||
            v.delay_ms != r->wanted.delay_ms || v.hold_ms != r->wanted.hold_ms ||
            v.is_counted != r->wanted.is_counted || v.is_gone != r->wanted.is_gone)
            CHECK_FAIL("%s: kind %d, failure %s, phase %d, delay %" PRIu64 ", hold %" PRIu64
                       ", counted %d, gone %d", r->what, v.kind, hw_failure_text(v.failure), v.phase,
                       v.delay_ms, v.hold_ms, v.is_counted, v.is_gone);
    }
}

CASE(no_schedule_is_one_attempt)
{
    const struct hw_retry_rules none = { NULL, 0, 0 };
    const struct hw_attempt_result result = HTTP_AFTER(503, ANY_MS);
    struct hw_delivery d = { 0 };
    struct hw_verdict v = hw_delivery_step(&d, &result, &none, HW_WEBHOOK_ACTIVE, 0);

    CHECK_INT(v.kind, ==, HW_VERDICT_DEAD);
    CHECK(v.is_counted);
}

CASE(jitter_makes_it_later_and_never_by_more_than_its_part)
{
    const struct hw_retry_rules half = { standard, 4, 0.5 };
    const struct hw_attempt_result result = HTTP(500);
    struct hw_delivery d = { 0 };

    CHECK_UINT(hw_delivery_step(&d, &result, &half, HW_WEBHOOK_ACTIVE, 0).delay_ms, ==, MINUTE);
    uint64_t most = hw_delivery_step(&d, &result, &half, HW_WEBHOOK_ACTIVE, UINT32_MAX).delay_ms;
    CHECK_UINT(most, >, MINUTE + MINUTE / 2 - 2);
    CHECK_UINT(most, <=, MINUTE + MINUTE / 2);
}

/* ---- states ---- */

CASE(states_follow_each_other_as_drawn)
{
    /* to: new, suspect, ready, sending, waiting, settling, done */
    static const char *const may[HW_DELIVERY_STATES] = {
        [HW_DELIVERY_NEW] = ".XX..XX",      [HW_DELIVERY_SUSPECT] = "..X..XX",
        [HW_DELIVERY_READY] = "...X.XX",    [HW_DELIVERY_SENDING] = "....XXX",
        [HW_DELIVERY_WAITING] = "..X..XX",  [HW_DELIVERY_SETTLING] = "......X",
        [HW_DELIVERY_DONE] = ".......",
    };
    for (int from = 0; from < HW_DELIVERY_STATES; from++) {
        char found[HW_DELIVERY_STATES + 1] = "";
        for (int to = 0; to < HW_DELIVERY_STATES; to++)
            found[to] = hw_delivery_may_go((enum hw_delivery_state)from, (enum hw_delivery_state)to)
                            ? 'X'
                            : '.';
        CHECK_STR(found, may[from]);
    }
    CHECK_STR(hw_delivery_state_text(HW_DELIVERY_SETTLING), "settling");
}

/* ---- the event and the key ---- */

static const char record[] =
    "{\"id\":\"evt_1\",\"type\":\"order.created\",\"timestamp\":\"2026-03-09T12:00:00.000Z\","
    "\"account\":\"default\",\"level\":\"user\",\"data\":{}}";

CASE(an_event_has_bytes_of_its_own_and_lives_as_long_as_it_is_held)
{
    char bytes[sizeof record], trace[] = "00-aa-bb-01";

    scarce_begin(0);
    memcpy(bytes, record, sizeof record);
    struct hw_event *ev = hw_event_new(hw_slice_str(bytes), hw_slice_str(trace));
    CHECK_NOT_NULL(ev);
    memset(bytes, 'x', sizeof bytes);
    memset(trace, 'x', sizeof trace);
    CHECK_PTR(hw_event_hold(ev), ==, ev);
    hw_event_release(ev);
    CHECK_SLICE(ev->record.id, "evt_1");
    CHECK_SLICE(ev->record.type, "order.created");
    CHECK_SLICE(ev->record.bytes, record);
    CHECK_SLICE(ev->traceparent, "00-aa-bb-01");
    CHECK_UINT(ev->n_bytes, ==, strlen(record) + 11);
    hw_event_release(ev);
    hw_event_release(NULL);
    scarce_end();
}

CASE(what_is_not_a_record_is_no_event)
{
    scarce_begin(0);
    CHECK_NULL(hw_event_new(HW_SLICE("{\"id\":"), hw_slice(NULL, 0)));
    CHECK_NULL(hw_event_new(hw_slice(NULL, 0), hw_slice(NULL, 0)));
    scarce_end();
    scarce_begin(1);
    CHECK_NULL(hw_event_new(hw_slice_str(record), hw_slice(NULL, 0)));
    scarce_end();
}

CASE(keys_differ_where_deliveries_do)
{
    unsigned char a[12], b[12];
    static const unsigned char wanted[12] = { 1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0x12, 0x34 };

    hw_delivery_key(a, 0x01020304, 0x1234);
    CHECK_MEM(a, wanted, sizeof wanted);
    hw_delivery_key(b, 0x01020304, UINT64_C(0x1234) << 32);
    CHECK_INT(memcmp(a, b, sizeof a), !=, 0);
}
