/*
 * dispatch - who goes next.
 *
 * Each webhook has an endpoint: its own queues and its own limit of attempts in flight.
 * Endpoints that have something to send and may send stand in a ring and take turns:
 * one ring for first attempts, one for due retries.  First attempts go before retries, but
 * one start in four is offered to the retries first.
 *
 * In flight counts until Redis has the outcome: what is in flight when we are killed may be sent
 * twice.  While Redis is prompt, though, a delivery that the receiver has answered well makes room for
 * the next attempt before, so that the wait for Redis is not a wait of the receiver's: for 10 ms, and
 * up to sixteen for each slot but the first.  A webhook that takes one at a time gets the next only
 * when Redis has the last one, and a failure keeps its slot until then: it may disable the webhook.
 *
 * What waits in Redis comes in two kinds.  Live work goes in order: while some of it waits there,
 * what comes newly waits behind it.  A backfill goes behind whatever is live: what comes newly
 * passes it, and only as much of it is fetched as can start at once.
 *
 * What is shared: attempts in flight, the bytes of their records, and what is kept in memory
 * before its attempt.  Of each, above half of the whole an endpoint may hold at most
 * max(1, whole / busy endpoints), and the last sixteenth is for those that hold next to nothing: a
 * crowd of hanging receivers cannot hold it all, nor keep the others' work out of memory.
 *
 * Units     milliseconds on the monotonic clock.
 * Time      as it was told last (hw_dispatch_set_now, hw_dispatch_next): who has a turn's reading
 *           tells it before anything else.  The wheel is for deadlines only: its clock stands
 *           still while no timer fires.
 * Memory    records in flight take at most 64 MiB and one record more; what is kept before its
 *           attempt about 64 MiB and 20,000 deliveries, at worst twice that and one an endpoint.
 *           Endpoints are allocated here, one a webhook that was ever needed, and freed when
 *           their webhook is gone and nothing of it is in memory (hw_dispatch_sweep).
 *           Deliveries are the caller's.
 * Errors    HW_ENOMEM from hw_dispatch_endpoint only.
 * Cost      O(1) a start, but for endpoints that stand in a ring and may not start because
 *           of the global rule, or because Redis is slow with what they were answered: each is passed over
 *           once a start.
 */
#ifndef HW_CORE_DISPATCH_H
#define HW_CORE_DISPATCH_H

#include "core/delivery.h"
#include "core/pace.h"

struct hw_dispatch;

struct hw_amount {
    size_t n;     /* deliveries */
    size_t bytes; /* their records, each counted as often as it has deliveries */
};

/* What may wait in Redis for an endpoint. */
enum hw_backlog {
    HW_BACKLOG_NONE,
    HW_BACKLOG_FILL, /* of backfills only */
    HW_BACKLOG_LIVE  /* or it is not known what */
};

struct hw_endpoint {
    struct hw_dispatch *dispatch;  /* borrowed */
    uint32_t w;
    struct hw_webhook *webhook;    /* one reference; NULL once it is deleted */
    struct hw_list first;          /* READY, first attempts, oldest first */
    struct hw_list due;            /* READY, due retries, oldest first */
    struct hw_list suspects;       /* SUSPECT */
    struct hw_list sending;        /* SENDING */
    struct hw_list waiting;        /* WAITING */
    struct hw_list settling;       /* SETTLING */
    struct hw_list in_first_ring;  /* linked while it may start a first attempt */
    struct hw_list in_due_ring;    /* linked while it may start a retry */
    size_t n_first, n_due;
    struct hw_amount kept_first;   /* READY, SUSPECT and WAITING: first attempts */
    struct hw_amount kept_due;     /* the same: retries */
    size_t n_in_memory;            /* deliveries on any of its lists */
    unsigned n_in_flight;          /* attempts begun whose outcome Redis does not have */
    unsigned n_answered;           /* of these, what was delivered and has made room */
    size_t in_flight_bytes;        /* the records of all of them */
    unsigned limit;                /* this instance's share of max_in_flight */
    double rate_per_s;             /* this instance's share of rate_limit; 0: none */
    double next_start_ms;          /* earliest by the rate limit, monotonic */
    hw_mono_ms held_until;         /* Retry-After, or out of rate; 0: neither */
    struct hw_wheel_entry wake;    /* armed while held */
    struct hw_list in_prompt;      /* linked while its first attempts start as they come */
    hw_mono_ms prompt_since;       /* it is */
    hw_mono_ms prompt_at;          /* the newest of them */
    struct hw_list in_backlogged;  /* linked while something may wait in Redis */
    bool has_only_fill;            /* what waits there is of backfills */
    bool is_refilling;             /* it has been asked for */
    bool is_emptied;               /* gone or disabled, and what was parked has been asked for */
    size_t n_coming;               /* of a batch being placed: scratch of the intake */
    struct hw_pace pace;           /* the courier tells of each answer */
    uint64_t n_backlog;            /* live ones that wait in Redis, as last told */
};

struct hw_dispatch {
    struct hw_wheel *wheel;        /* borrowed */
    hw_mono_ms now;                /* as it was told last */
    struct hw_endpoint **by_number; /* owned; index w; NULL: none */
    size_t n_numbers;
    struct hw_map deliveries;      /* all in memory, by key */
    struct hw_list first_ring;
    struct hw_list due_ring;
    struct hw_list prompt;         /* endpoints in_prompt, newest start last */
    struct hw_list backlogged;     /* endpoints for which something may wait in Redis */
    unsigned max_in_flight;        /* of this instance; as many more may be answered */
    unsigned n_in_flight;
    unsigned n_answered;
    size_t in_flight_bytes;        /* their records */
    unsigned n_instances;          /* live ones of the installation, at least 1 */
    struct hw_amount kept;         /* READY, SUSPECT and WAITING */
    size_t n_busy;                 /* endpoints with a delivery in memory */
    unsigned turn;                 /* counts starts, for the one in four */
    bool is_stopped;               /* start nothing: draining, or ownership not confirmed */
    void (*on_wake)(struct hw_dispatch *d); /* an endpoint may start again: pump soon */
};

/* `on_wake` is called from the wheel only. */
void hw_dispatch_init(struct hw_dispatch *d, struct hw_wheel *wheel, unsigned max_in_flight,
                      void (*on_wake)(struct hw_dispatch *d));
/* Every delivery must have been taken out before. */
void hw_dispatch_close(struct hw_dispatch *d);

/* What time it is.  A reading that goes backwards is treated as no time passing. */
void hw_dispatch_set_now(struct hw_dispatch *d, hw_mono_ms now);

/* The endpoint of a webhook: found or made; NULL: out of memory. */
struct hw_endpoint *hw_dispatch_endpoint(struct hw_dispatch *d, struct hw_webhook *webhook);
struct hw_endpoint *hw_dispatch_find(const struct hw_dispatch *d, uint32_t w);

bool hw_endpoint_is_active(const struct hw_endpoint *e);

/* The webhook's configuration or standing has changed (or, NULL, it is deleted). */
void hw_endpoint_update(struct hw_endpoint *e, struct hw_webhook *webhook);

/* The number of live instances has changed: every share is computed anew. */
void hw_dispatch_share(struct hw_dispatch *d, unsigned n_instances);

/* Start nothing from now on, or start again. */
void hw_dispatch_stop(struct hw_dispatch *d, bool stopped);

/* Put a delivery that is NEW and whose w, n, event, is_retry are set under this endpoint; it
 * is on no list yet: move it next.  HW_ENOMEM: nothing has changed.  HW_EBUSY: that delivery is
 * in memory already. */
HW_MUST_USE enum hw_status hw_dispatch_add(struct hw_dispatch *d, struct hw_endpoint *e,
                                           struct hw_delivery *delivery);

/* The next one to send, moved to SENDING and counted in flight; NULL: nobody may start now. */
struct hw_delivery *hw_dispatch_next(struct hw_dispatch *d, hw_mono_ms now);

/* The one function that moves a delivery: list, counts and state together.  DONE takes
 * it out of everything.  To SETTLING: with its verdict set. */
void hw_delivery_move(struct hw_delivery *delivery, enum hw_delivery_state next);

/* Hold every start of the endpoint until then (never shortens a hold). */
void hw_endpoint_hold(struct hw_endpoint *e, hw_mono_ms until);

/* What may wait in Redis for it. */
void hw_endpoint_backlog(struct hw_endpoint *e, enum hw_backlog backlog);
enum hw_backlog hw_endpoint_backlog_of(const struct hw_endpoint *e);

struct hw_delivery *hw_dispatch_delivery(const struct hw_dispatch *d, uint32_t w, uint64_t n);

/* Attempts that occupy a slot. */
unsigned hw_endpoint_attempts(const struct hw_endpoint *e);
unsigned hw_dispatch_attempts(const struct hw_dispatch *d);

/* What one endpoint may hold of something shared: all of it; an equal part where half is in use;
 * little of the last sixteenth, which is kept for who comes late: the others hold more already. */
size_t hw_dispatch_part(const struct hw_dispatch *d, size_t whole, size_t in_use);

/* How many live ones wait in Redis for it; until told, it is not known: many. */
void hw_endpoint_count_backlog(struct hw_endpoint *e, uint64_t n);

/* Free endpoints without a webhook, without deliveries and with nothing left in Redis. */
void hw_dispatch_sweep(struct hw_dispatch *d);

/* Slow full check of every invariant; returns NULL or what is wrong. */
const char *hw_dispatch_check(const struct hw_dispatch *d);

#endif
