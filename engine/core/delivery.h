/*
 * delivery - one event on its way to one webhook, while it is in memory.
 *
 * What happened goes in, a verdict comes out; nothing here sends, stores or reads a
 * clock.  What waits for a retry is in Redis and not here: a delivery lives in memory from
 * the moment it may be sent until Redis has its outcome.
 *
 *      ready ----> sending ----> settling ----> done
 *        ^            |
 *        |- waiting <-'   a fault of our own: kept, not counted, again in 1, 2, 4 ... 60 s
 *        '- suspect        its owners died with it twice or more: one at a time, under a mark
 *
 * Memory    the event (record bytes) is shared by the deliveries of one batch, counted
 *           references; a delivery owns its packed attempt log.
 * Errors    none but memory.
 */
#ifndef HW_CORE_DELIVERY_H
#define HW_CORE_DELIVERY_H

#include "base/list.h"
#include "base/map.h"
#include "core/retry.h"
#include "core/webhook.h"
#include "core/wheel.h"
#include "rules/failure.h"
#include "rules/history.h"
#include "rules/record.h"

/* The event of a delivery: its record and what goes with it. */
struct hw_event {
    unsigned refs;
    struct hw_record record;   /* slices into bytes below */
    struct hw_stream_id cursor; /* in its account's feed */
    hw_unix_ms enqueued_ms;    /* when the producer's XADD was taken; 0: not known any more */
    bool is_placeholder;       /* stands for a record that is kept nowhere: never to be kept */
    struct hw_slice traceparent; /* empty: none; into bytes below */
    size_t n_bytes;            /* of record and traceparent */
    char bytes[];
};

/* One reference; NULL: out of memory, or bytes that are not a record of ours. */
HW_MUST_USE struct hw_event *hw_event_new(struct hw_slice record, struct hw_slice traceparent);
struct hw_event *hw_event_hold(struct hw_event *ev);
void hw_event_release(struct hw_event *ev); /* NULL is fine */

enum hw_delivery_state {
    HW_DELIVERY_NEW,      /* being put together             list: none            */
    HW_DELIVERY_SUSPECT,  /* waits for its mark             list: endpoint.suspects */
    HW_DELIVERY_READY,    /* may be sent now                list: endpoint first or due */
    HW_DELIVERY_SENDING,  /* has a request under way        list: endpoint.sending */
    HW_DELIVERY_WAITING,  /* after a fault of our own       list: endpoint.waiting, and on the wheel */
    HW_DELIVERY_SETTLING, /* outcome decided, Redis not told list: endpoint.settling */
    HW_DELIVERY_DONE,     /* Redis has it; may be freed     list: none            */
    HW_DELIVERY_STATES
};

const char *hw_delivery_state_text(enum hw_delivery_state state);

/* May a delivery go from the one to the other? */
bool hw_delivery_may_go(enum hw_delivery_state from, enum hw_delivery_state to);

struct hw_endpoint;

/* What came of an attempt, in the terms of the decision. */
struct hw_attempt_result {
    enum hw_failure failure; /* NONE: a complete response head, see status */
    enum hw_phase phase;
    int status;
    uint64_t retry_after_ms; /* 0: none; looked at for 429 and 503 only */
};

enum hw_verdict_kind {
    HW_VERDICT_DELIVERED,
    HW_VERDICT_AGAIN, /* after delay_ms, in Redis until then */
    HW_VERDICT_DEAD,
    HW_VERDICT_OURS   /* not an attempt: again after delay_ms, kept in memory */
};

struct hw_verdict {
    enum hw_verdict_kind kind;
    enum hw_failure failure; /* the delivery's error; NONE when delivered */
    enum hw_phase phase;
    uint64_t delay_ms;
    uint64_t hold_ms;  /* > 0: no other attempt of this webhook for so long */
    bool is_counted;   /* towards disabling (DEAD only) */
    bool is_gone;      /* 410: disable the webhook at once */
};

struct hw_delivery {
    struct hw_list link;           /* in the list that its state names */
    struct hw_map_entry by_key;    /* among all in memory, under key */
    unsigned char key[12];         /* w and n, big-endian */
    enum hw_delivery_state state;
    struct hw_endpoint *endpoint;  /* borrowed: outlives every delivery of it */
    struct hw_event *event;        /* one reference */
    uint32_t w;
    uint64_t n;
    uint64_t stamp_us;
    hw_unix_ms created_ms;
    hw_unix_ms last_attempt_ms;    /* of those before it became ours; 0: none */
    int response_code;             /* of that one; 0: none */
    unsigned attempts;             /* finished ones, ever; the token that settle checks */
    unsigned schedule_from;        /* attempts when the present schedule began */
    unsigned crashes;              /* owners that died with it in hand */
    unsigned own_faults;           /* of ours, in a row */
    bool is_uncounted;             /* a redelivery: its failures never count */
    bool was_parked;               /* before it became ours: it has failed, or is a redelivery */
    bool has_body;                 /* its record has a key of its own in Redis, besides the feed */
    bool is_retry;                 /* queued among the due retries, not the first attempts */
    bool is_in_flight;             /* counts against the limits of its endpoint */
    bool is_answered;              /* has made room for another attempt */
    hw_mono_ms answered_at;        /* if is_answered: since when */
    bool is_marked;                /* a suspect whose mark was set before this attempt */
    bool is_lost;                  /* no longer ours in Redis: its outcome is nobody's */
    hw_unix_ms due_ms;             /* of a retry: when it was to be made; 0: a first attempt */
    struct hw_buf log;             /* packed attempts so far */
    struct hw_wheel_entry again;   /* armed while WAITING */

    /* While SETTLING: what Redis is to be told. */
    struct hw_verdict verdict;
    bool has_attempt;              /* an attempt was made since it became ours */
    hw_unix_ms ended_ms;           /* wall clock */
    hw_unix_ms again_ms;           /* verdict AGAIN: when it is due, on the steady clock */
    hw_unix_ms hold_until_ms;      /* verdict.hold_ms as a time on the steady clock; 0: none */
    struct hw_buf packed;          /* history, as it is stored */
    struct hw_buf response;        /* delivered: the attempt with the response's head and body,
                                      packed, for the newest ones of the webhook; else empty */
};

/* Key bytes of (w, n). */
void hw_delivery_key(unsigned char key[12], uint32_t w, uint64_t n);

/* The decision.  `status_now` is the webhook's standing now: it may have been disabled or
 * deleted while the attempt was under way, and then a failure is final. */
struct hw_verdict hw_delivery_step(const struct hw_delivery *d,
                                   const struct hw_attempt_result *result,
                                   const struct hw_retry_rules *rules,
                                   enum hw_webhook_status status_now, uint32_t random);

/* Is a response of that status a success? */
static inline bool hw_status_is_success(int status) { return status >= 200 && status <= 299; }

#endif
