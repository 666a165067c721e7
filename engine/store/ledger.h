/*
 * ledger - what became of events and deliveries, told to Redis: accept.h, take.h, and here
 * settle: what came of attempts.
 *
 * Everything of a turn goes together, one script under way at a time while the next one
 * collects.  Each outcome is checked against the ownership and the number of attempts it
 * was made under, so that sending it again after a lost connection changes nothing.
 *
 * Nothing is decided here: which webhooks match, whether an attempt is repeated, when.
 *
 * Memory    requests are the caller's and must stay put until their callback.  What they point
 *           to is copied in the call, unless said otherwise.
 * Errors    FULL, UNSAVED, READONLY: nothing was done.  Settle keeps trying by itself.
 *           FENCED: nothing was done and nothing of ours is left (members tells too).
 */
#ifndef HW_STORE_LEDGER_H
#define HW_STORE_LEDGER_H

#include "store/accept.h"
#include "store/keys.h"
#include "store/take.h"

struct hw_ledger;

/* ---- life ---- */

struct hw_ledger_events {
    /* Deliveries that wait in Redis for this webhook, as an accept or a take left them. */
    void (*on_waiting)(void *data, uint32_t w, uint64_t n_waiting);
    /* Consecutive failures of a webhook after a dead letter or a reset. */
    void (*on_failures)(void *data, uint32_t w, uint64_t consecutive, bool was_disabled_now);
    /* Settling does not work now (comes at each try), or works again (FINE). */
    void (*on_state)(void *data, enum hw_redis_trouble trouble, const struct hw_cause *cause);
};

struct hw_ledger_options {
    struct hw_store *store;                /* borrowed */
    uint64_t history_max;                  /* HOOKWHEEL_HISTORY_MAX */
    uint64_t dead_letter_max;              /* HOOKWHEEL_DEAD_LETTER_MAX */
    unsigned disable_after;                /* HOOKWHEEL_DISABLE_AFTER; 0: never */
    const struct hw_ledger_events *events; /* borrowed, static */
    void *data;
};

HW_MUST_USE enum hw_status hw_ledger_open(struct hw_ledger **out,
                                          const struct hw_ledger_options *options,
                                          struct hw_cause *cause);

/* After on_back: send what was not answered again, and go on.  Harmless at other times. */
void hw_ledger_resume(struct hw_ledger *l);

/* Fenced: every settle that is not answered yet ends HW_SETTLED_NOT_OURS, on the next turn. */
void hw_ledger_fence(struct hw_ledger *l);

/* Outcomes that Redis does not have yet. */
size_t hw_ledger_n_unsettled(const struct hw_ledger *l);

/* For accept.c and take.c. */
struct hw_store *hw_ledger_store(struct hw_ledger *l); /* borrowed */
void hw_ledger_tell_waiting(struct hw_ledger *l, uint32_t w, uint64_t n_waiting);

/* Close the work connection first.  What was not settled gets HW_SETTLED_CANCELED, now. */
void hw_ledger_close(struct hw_ledger *l);

/* ---- settle ---- */

enum hw_settled {
    HW_SETTLED,          /* Redis has it */
    HW_SETTLED_NOT_OURS, /* it moved on without us; nothing was written */
    HW_SETTLED_CANCELED  /* closed before it was known */
};

struct hw_settle;
typedef void (*hw_settle_cb)(struct hw_settle *s, enum hw_settled result);

/* Embed in the delivery; yours until cb. */
struct hw_settle {
    struct hw_list link;
    hw_settle_cb cb;
};

enum hw_settle_kind { HW_SETTLE_DELIVERED, HW_SETTLE_PARK, HW_SETTLE_DEAD };

/* All copied in the call. */
struct hw_settle_what {
    enum hw_settle_kind kind;
    uint32_t w;
    uint64_t n;
    unsigned token;    /* attempts as of when it became ours */
    unsigned attempts; /* attempts now */
    uint64_t stamp_us; /* as of when it became ours */
    bool is_marked;    /* hw_ledger_mark was used: clears it */
    bool was_parked;   /* before it became ours: attempted, or queued again (replay.h) */
    bool has_body;     /* it has a key of its own for its record */
    struct hw_slice
        packed; /* history: the record of a finished one, the state of a parked one */
    hw_unix_ms
        ended_ms; /* DELIVERED, DEAD: when (webhook's last_delivery_at, order of dying) */
    struct hw_slice
        response;         /* DELIVERED: head and body, kept for the newest 100; empty: none */
    bool resets_failures; /* DELIVERED: the webhook's count is known not to be 0 */
    hw_unix_ms due_ms;    /* PARK: by hw_loop_steady */
    struct hw_slice
        body;        /* PARK, DEAD: the record, when token is 0; empty: it is kept already */
    bool is_counted; /* DEAD: towards disabling */
    bool is_gone;    /* DEAD: disable at once (410) */
    struct hw_slice account;        /* is_counted, is_gone: whose feed gets the notice */
    struct hw_slice disable_notice; /* is_counted, is_gone: payload of webhook.disabled */
    const char *disable_reason;     /* is_counted, is_gone: kept with the webhook */
};

/* HW_OK: cb runs once, when Redis has answered.  HW_ENOMEM: it will not. */
HW_MUST_USE enum hw_status hw_ledger_settle(struct hw_ledger *l, struct hw_settle *s,
                                            const struct hw_settle_what *what,
                                            hw_settle_cb cb);

/* Retry-After: nobody attempts a delivery of w before then.  Goes with the next settle. */
HW_MUST_USE enum hw_status hw_ledger_hold(struct hw_ledger *l, uint32_t w,
                                          hw_unix_ms until_ms);

/* ---- marks ---- */

struct hw_mark;
/* n_found: how often a mark of this delivery had been found before this one. */
typedef void (*hw_mark_cb)(struct hw_mark *m, enum hw_redis_trouble trouble, unsigned n_found);
struct hw_mark {
    struct hw_redis_req req;
    struct hw_command command;
    hw_mark_cb cb;
};

/* Set the durable mark before attempting a delivery whose holders have crashed; it is
 * cleared by settle (is_marked). */
HW_MUST_USE enum hw_status hw_ledger_mark(struct hw_ledger *l, struct hw_mark *m, uint32_t w,
                                          uint64_t n, hw_mark_cb cb);

#endif
