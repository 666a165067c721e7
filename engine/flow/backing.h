/*
 * backing - the API's backend: what it is made of.  What it does is in asks.h.
 *
 * Memory    embedded; each question under way is one block of its own.
 * Lifetime  init; close when the API is closed and the work connection too (every question has
 *           its answer then).
 * Errors    Redis away or refusing: HW_BACKEND_UNAVAILABLE, at once.
 */
#ifndef HW_FLOW_BACKING_H
#define HW_FLOW_BACKING_H

#include "api/backend.h"
#include "core/courier.h"
#include "flow/hub.h"
#include "flow/backfill.h"
#include "flow/keeper.h"
#include "store/gauges.h"
#include "store/registry.h"

struct hw_backing {
    struct hw_backend backend; /* what the API is given; its data is this struct */
    struct hw_loop *loop;      /* borrowed, all of these */
    struct hw_store *store;
    struct hw_registry *registry;
    struct hw_gauge_reader *gauge_reader;
    struct hw_courier *courier;
    struct hw_keeper *keeper;
    struct hw_schedule *schedule;
    struct hw_backfill *backfill;
    struct hw_hub hub;             /* questions to the feeds */
    struct hw_list known;          /* questions whose answer is told on the next turn */
    struct hw_backend_req *failed; /* requests that got no memory, chained by state */
    struct hw_wheel_entry later;
    /* The engine's: what is true of it now. */
    void (*readiness)(void *data, struct hw_backend_readiness *out);
    size_t (*connections)(void *data);
    enum hw_durability (*durability)(void *data);
    void *data;
};

void hw_backing_init(struct hw_backing *b);
void hw_backing_close(struct hw_backing *b);

#endif
