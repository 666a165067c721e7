#include "core/delivery.h"

#include "hookwheel/alloc.h"

enum { STATUS_GONE = 410, STATUS_TOO_MANY = 429, STATUS_UNAVAILABLE = 503 };

#define BIT(n) (1u << (n))

static const struct {
    const char *name;
    unsigned may_go_to;
} states[HW_DELIVERY_STATES] = {
    [HW_DELIVERY_NEW] = { "new", BIT(HW_DELIVERY_SUSPECT) | BIT(HW_DELIVERY_READY) |
                                     BIT(HW_DELIVERY_SETTLING) | BIT(HW_DELIVERY_DONE) },
    [HW_DELIVERY_SUSPECT] = { "suspect", BIT(HW_DELIVERY_READY) | BIT(HW_DELIVERY_SETTLING) |
                                             BIT(HW_DELIVERY_DONE) },
    [HW_DELIVERY_READY] = { "ready", BIT(HW_DELIVERY_SENDING) | BIT(HW_DELIVERY_SETTLING) |
                                         BIT(HW_DELIVERY_DONE) },
    [HW_DELIVERY_SENDING] = { "sending", BIT(HW_DELIVERY_WAITING) | BIT(HW_DELIVERY_SETTLING) |
                                             BIT(HW_DELIVERY_DONE) },
    [HW_DELIVERY_WAITING] = { "waiting", BIT(HW_DELIVERY_READY) | BIT(HW_DELIVERY_SETTLING) |
                                             BIT(HW_DELIVERY_DONE) },
    [HW_DELIVERY_SETTLING] = { "settling", BIT(HW_DELIVERY_DONE) },
    [HW_DELIVERY_DONE] = { "done", 0 },
};

const char *hw_delivery_state_text(enum hw_delivery_state state)
{
    return states[state].name;
}

bool hw_delivery_may_go(enum hw_delivery_state from, enum hw_delivery_state to)
{
    return (states[from].may_go_to & BIT(to)) != 0;
}

struct hw_event *hw_event_new(struct hw_slice record, struct hw_slice traceparent)
{
    struct hw_event *ev = hw_malloc(sizeof *ev + record.len + traceparent.len);

    if (ev == NULL)
        return NULL;
    *ev = (struct hw_event){ .refs = 1, .n_bytes = record.len + traceparent.len };
    if (record.len > 0)
        memcpy(ev->bytes, record.data, record.len);
    if (traceparent.len > 0)
        memcpy(ev->bytes + record.len, traceparent.data, traceparent.len);
    ev->traceparent = hw_slice(ev->bytes + record.len, traceparent.len);
    if (!hw_record_read(&ev->record, hw_slice(ev->bytes, record.len))) {
        hw_free(ev);
        return NULL;
    }
    return ev;
}

struct hw_event *hw_event_hold(struct hw_event *ev)
{
    ev->refs++;
    return ev;
}

void hw_event_release(struct hw_event *ev)
{
    if (ev != NULL && --ev->refs == 0)
        hw_free(ev);
}

void hw_delivery_key(unsigned char key[12], uint32_t w, uint64_t n)
{
    for (int i = 0; i < 4; i++)
        key[i] = (unsigned char)(w >> (8 * (3 - i)));
    for (int i = 0; i < 8; i++)
        key[4 + i] = (unsigned char)(n >> (8 * (7 - i)));
}

static struct hw_verdict verdict_of_failure(const struct hw_delivery *d,
                                            const struct hw_attempt_result *result,
                                            const struct hw_retry_rules *rules,
                                            enum hw_webhook_status status_now, uint32_t random)
{
    bool is_webhook_alive = status_now == HW_WEBHOOK_ACTIVE || status_now == HW_WEBHOOK_PAUSED;
    bool may_ask = result->status == STATUS_TOO_MANY || result->status == STATUS_UNAVAILABLE;
    uint64_t retry_after = may_ask ? result->retry_after_ms : 0;
    unsigned made = d->attempts + 1 - d->schedule_from;
    struct hw_verdict v = {
        .kind = HW_VERDICT_DEAD,
        .failure = result->failure == HW_FAILURE_NONE ? HW_FAILURE_HTTP_STATUS : result->failure,
        .phase = result->phase,
        .hold_ms = is_webhook_alive ? hw_retry_hold(rules, retry_after) : 0,
    };

    if (!is_webhook_alive)
        return v;
    if (result->status == STATUS_GONE) {
        v.is_gone = true;
        return v;
    }
    if (hw_retry_delay(rules, made, retry_after, random, &v.delay_ms)) {
        v.kind = HW_VERDICT_AGAIN;
        return v;
    }
    v.is_counted = !d->is_uncounted;
    return v;
}

struct hw_verdict hw_delivery_step(const struct hw_delivery *d,
                                   const struct hw_attempt_result *result,
                                   const struct hw_retry_rules *rules,
                                   enum hw_webhook_status status_now, uint32_t random)
{
    if (result->failure == HW_FAILURE_INTERNAL)
        return (struct hw_verdict){ .kind = HW_VERDICT_OURS,
                                    .failure = HW_FAILURE_INTERNAL,
                                    .delay_ms = hw_retry_own_fault_delay(d->own_faults + 1) };
    if (result->failure == HW_FAILURE_NONE && hw_status_is_success(result->status))
        return (struct hw_verdict){ .kind = HW_VERDICT_DELIVERED };
    return verdict_of_failure(d, result, rules, status_now, random);
}
