/*
 * world - a make-believe network and store around the real courier, under a virtual clock.
 *
 * Time is a number: the world steps to the earliest thing pending, so that hours of back-off take no
 * time.  What an endpoint answers is asked from the story (world->answer); a fault is a
 * countdown.  Everything that happens is checked: each delivery is owned before it is attempted, settled
 * once, attempted never before it is due and never twice at once.
 *
 * Memory    the engine's part of the world (deliveries, events, questions to the store) comes from
 *           hw_malloc and may be refused at any time; what is refused is done on the next beat,
 *           as by flow/keeper.c.  The world's own comes from malloc, or is asked for again.
 */
#ifndef HW_SIM_WORLD_H
#define HW_SIM_WORLD_H

#include <stdio.h>

#include "core/courier.h"

#define WORLD_BEGIN_MS INT64_C(1773057600000) /* 2026-03-09T12:00:00Z */

enum world_where { WORLD_NOWHERE, WORLD_OWNED, WORLD_WAITING, WORLD_PARKED, WORLD_DELIVERED, WORLD_DEAD };

/* What the store knows of a delivery. */
struct world_delivery {
    uint32_t w;
    uint64_t n;
    enum world_where where;
    unsigned attempts;       /* recorded */
    unsigned sent;           /* requests that reached the endpoint, recorded or not */
    unsigned crashes;
    unsigned marks;
    bool in_flight;
    bool is_fill;            /* WAITING: of a backfill */
    hw_unix_ms due_ms;       /* PARKED */
    hw_mono_ms failed_at;    /* of the newest recorded failure */
    hw_mono_ms ended_at;
    struct hw_buf state;
    struct hw_wheel_entry due;
    struct world *world;
    enum hw_failure failure;
};

struct world_endpoint {
    uint64_t n_last;
    unsigned failures_in_a_row;
    unsigned n_open;         /* requests under way now */
    unsigned n_open_max;
    struct hw_webhook *webhook; /* a reference */
};

/* What an endpoint does with one request. */
struct world_answer {
    struct hw_attempt_result result;
    uint64_t after_ms;
};

struct world {
    struct hw_wheel wheel;
    hw_mono_ms now;
    struct hw_subscriptions subscriptions;
    struct hw_metrics metrics;
    struct hw_courier courier;
    struct hw_random random;
    unsigned disable_after;
    uint64_t store_ms;           /* how long Redis takes */
    unsigned lose_every;         /* one in so many settles is answered "not ours" although nothing moved
                                    (its answer was lost and the delivery taken over); 0: none */
    struct world_endpoint *endpoints; /* owned; index w */
    size_t n_endpoints;
    struct world_delivery **deliveries; /* owned */
    size_t n_deliveries, cap_deliveries;
    struct hw_list refills;      /* under way */
    struct hw_list unsettled;    /* tasks: outcomes that there was no memory to hand over */
    struct hw_wheel_entry beat;  /* armed while something waits for it */
    bool has_doubt;              /* something owned may be in nobody's memory */
    bool must_put;               /* webhooks have changed and the courier does not know it */
    bool wants_pump;
    struct world_answer (*answer)(struct world *world, uint32_t w, uint64_t n, unsigned attempt);
    struct hw_slice response_head; /* of every answer; borrowed */
    FILE *trace;                 /* NULL: none */
    size_t n_steps;
    size_t n_tasks;              /* deliveries in the courier's memory */
};

void world_init(struct world *world, uint64_t seed, size_t n_webhooks, unsigned max_in_flight,
                unsigned max_in_flight_each, const struct hw_retry_rules *retry);
void world_close(struct world *world);

/* One event for webhook w is accepted: into memory where there is room, else it waits. */
struct world_delivery *world_accept(struct world *world, uint32_t w);

/* One of a backfill is queued for it: it waits behind what is live. */
struct world_delivery *world_fill(struct world *world, uint32_t w);

/* Advance to the next thing pending; false: nothing is. */
bool world_step(struct world *world);

/* Step until nothing is pending or the time has come. */
void world_run_until(struct world *world, hw_mono_ms until);

/* The instance dies: memory is gone, requests under way end unheard, and another one adopts all. */
void world_crash(struct world *world);

/* The instance is taken for dead and is not: all that it holds is nobody's, and becomes its own again
 * under another name while its old attempts are still under way. */
void world_fence(struct world *world);

/* Standing of a webhook, as the API would change it. */
void world_set_status(struct world *world, uint32_t w, enum hw_webhook_status status);

/* Every invariant; stops the test where one is broken. */
void world_check(struct world *world);

#endif
