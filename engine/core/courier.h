/*
 * courier - carries deliveries from "ours" to "Redis has the outcome".
 *
 * The one place that strings the decisions together: take what was accepted, claimed or taken
 * over; start who may start; judge what came back; have it settled; fetch more of what waits.
 * What it needs done it asks through ports; what was done it is told by the functions below.
 * So the same code runs over sockets and Redis in the daemon and over a make-believe world with
 * a virtual clock in test/sim.
 *
 *   take -> [suspect -> mark] -> READY -> start -> finished -> settle -> settled -> freed
 *
 * Memory    deliveries come from ports.delivery_new and go to ports.delivery_free.
 * Lifetime  close with no delivery left (hw_courier_drop_all).
 * Errors    HW_ENOMEM from take: the delivery is still owned in Redis; the caller tries again.
 */
#ifndef HW_CORE_COURIER_H
#define HW_CORE_COURIER_H

#include "core/dispatch.h"
#include "core/metrics.h"
#include "core/random.h"
#include "core/room.h"
#include "core/subscriptions.h"

struct hw_courier;

/* One turn's readings. */
struct hw_now {
    hw_mono_ms mono;
    hw_unix_ms wall;   /* signed, stored */
    hw_unix_ms steady; /* scheduled */
};

struct hw_courier_ports {
    /* Zeroed memory that holds a struct hw_delivery; NULL: out of memory. */
    struct hw_delivery *(*delivery_new)(struct hw_courier *c);
    void (*delivery_free)(struct hw_courier *c, struct hw_delivery *d);
    /* Begin the attempt of d, which is SENDING: hw_courier_finished follows, later. */
    void (*start)(struct hw_courier *c, struct hw_delivery *d);
    /* Tell Redis the outcome of d, which is SETTLING: hw_courier_settled follows, later. */
    void (*settle)(struct hw_courier *c, struct hw_delivery *d);
    /* Set the durable mark of d, which is SUSPECT: hw_courier_marked follows, later. */
    void (*mark)(struct hw_courier *c, struct hw_delivery *d);
    /* Fetch some of what waits in Redis for e: takes, then hw_courier_refilled. */
    void (*refill)(struct hw_courier *c, struct hw_endpoint *e, struct hw_wanted wanted);
    /* There is something to start, or to fetch: call hw_courier_pump before the turn ends. */
    void (*ask_pump)(struct hw_courier *c);
    /* Something may be ours in Redis that is not in memory any more (no memory to write an outcome
     * down; or it became ours again while an older attempt was under way): compare and take it
     * again, soon; then hw_courier_nudge. */
    void (*doubt)(struct hw_courier *c);
};

struct hw_courier {
    struct hw_dispatch dispatch;
    struct hw_subscriptions *subscriptions;  /* borrowed */
    struct hw_retry_rules retry;
    struct hw_metrics *metrics;              /* borrowed */
    const struct hw_courier_ports *ports;    /* borrowed, static */
    struct hw_random random;
    struct hw_delivery *suspect;             /* the one under a mark now; NULL: none */
    size_t n_suspects;
    bool has_missed_backlog;                 /* something waits for we know not whom */
    void *data;                              /* the owner's */
};

void hw_courier_init(struct hw_courier *c, struct hw_wheel *wheel,
                     struct hw_subscriptions *subscriptions, struct hw_metrics *metrics,
                     const struct hw_retry_rules *retry, unsigned max_in_flight,
                     const struct hw_courier_ports *ports, uint64_t seed);
void hw_courier_close(struct hw_courier *c);

/* A delivery that is ours in Redis now. */
struct hw_courier_load {
    uint32_t w;
    uint64_t n;
    uint64_t stamp_us;
    unsigned attempts;       /* recorded so far */
    unsigned crashes;
    struct hw_event *event;  /* borrowed; a reference is taken */
    bool has_body;           /* its record has a key of its own in Redis */
    struct hw_slice state;   /* packed history of one that has failed before; empty: a new one */
    hw_unix_ms due_ms;       /* of a retry, steady clock; 0: none */
};

/* Put it in memory and on its way.  One that is in memory already is left as it is (if that one
 * is nobody's by now, ports.doubt follows when its attempt ends). */
HW_MUST_USE enum hw_status hw_courier_take(struct hw_courier *c, const struct hw_courier_load *load,
                                           struct hw_now now);

/* Start whoever may start, and ask for more where there is room. */
void hw_courier_pump(struct hw_courier *c, struct hw_now now);

/* The attempt of d is over.  `attempt` is what the log keeps (number is filled in here). */
void hw_courier_finished(struct hw_courier *c, struct hw_delivery *d,
                         const struct hw_attempt_result *result, struct hw_attempt *attempt,
                         struct hw_now now);

/* Redis has the outcome of d (or says that d was no longer ours): d is freed. */
void hw_courier_settled(struct hw_courier *c, struct hw_delivery *d, bool was_ours,
                        struct hw_now now);

/* The mark of the suspect d is set; `found` is how often it had been found set before. */
void hw_courier_marked(struct hw_courier *c, struct hw_delivery *d, unsigned found,
                       struct hw_now now);

/* It could not be set: it stays a suspect, until the next nudge. */
void hw_courier_mark_failed(struct hw_courier *c, struct hw_delivery *d);

/* From time to time: what was held up by a trouble that may be over goes on. */
void hw_courier_nudge(struct hw_courier *c);

/* A refill of e is over; `left` is what waits in Redis still. */
void hw_courier_refilled(struct hw_courier *c, struct hw_endpoint *e, enum hw_backlog left);

/* The webhooks of an account are known anew: endpoints learn of it, and what must not be sent any
 * more is settled as dead. */
void hw_courier_account_changed(struct hw_courier *c, const struct hw_account *account,
                                struct hw_now now);

/* Something waits in Redis for that webhook (we may not know what: LIVE).  Where there is no memory
 * for its endpoint now, the next nudge looks at all of them. */
void hw_courier_backlog(struct hw_courier *c, uint32_t w, enum hw_backlog backlog);

/* Write off what is ours in Redis already, without an attempt (backlog full, poison, ...). */
HW_MUST_USE enum hw_status hw_courier_write_off(struct hw_courier *c,
                                                const struct hw_courier_load *load,
                                                enum hw_failure why, struct hw_now now);

/* Ownership is lost: forget everything that has no attempt under way; what has is marked as
 * nobody's and freed when it ends. */
void hw_courier_drop_all(struct hw_courier *c);

/* The same for one: Redis does not have it under our name any more. */
void hw_courier_drop(struct hw_courier *c, struct hw_delivery *d);

#endif
