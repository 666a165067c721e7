/*
 * intake - from a batch of stream entries to deliveries on their way.
 *
 *   check -> reject the bad -> match -> [wait a moment for room] -> accept -> courier
 *
 * Memory    embedded; the buffers of one batch, kept between batches.
 * Lifetime  init; on_batch as ingest has one; void before ingest starts anew; close.
 * Errors    Redis refusing (full, disk) holds the batch and tries again every half second.
 */
#ifndef HW_FLOW_INTAKE_H
#define HW_FLOW_INTAKE_H

#include "core/courier.h"
#include "flow/hub.h"
#include "flow/keeper.h"
#include "store/ingest.h"
#include "store/janitor.h"
#include "store/ledger.h"
#include "store/registry.h"

struct hw_intake_event;

struct hw_intake {
    struct hw_loop *loop; /* borrowed, all of these */
    struct hw_metrics *metrics;
    struct hw_ingest *ingest;
    struct hw_ledger *ledger;
    struct hw_registry *registry;
    struct hw_subscriptions *subscriptions;
    struct hw_janitor *janitor;
    struct hw_courier *courier;
    struct hw_keeper *keeper;
    struct hw_hub *hub;
    size_t max_payload_bytes;
    /* Accepting does not work now (at each try), or works again (FINE). */
    void (*on_state)(void *data, enum hw_redis_trouble trouble);
    void *data;

    const struct hw_ingest_batch *batch; /* NULL: none out */
    struct hw_accept accept;
    struct hw_accept_event *events; /* owned; the good entries of the batch, in order */
    struct hw_entry *entries;       /* owned; the same, checked */
    size_t n_events, cap_events;
    struct hw_accept_target *targets; /* owned; of all events */
    size_t n_targets, cap_targets;
    struct hw_buf records;     /* of all events, one after another */
    struct hw_reject *rejects; /* owned; one for each bad entry */
    size_t n_rejects, cap_rejects, n_rejects_open;
    struct hw_wheel_entry later;   /* room to wait for, or a trouble to wait out */
    hw_mono_ms batch_came;
    struct hw_registry_op refresh; /* an account whose webhooks had changed */
    bool is_waiting_for_room;
    bool is_accepting;
    bool is_refreshing;
    bool is_void; /* the batch was taken back while a question was open */
};

void hw_intake_init(struct hw_intake *in);
void hw_intake_close(struct hw_intake *in);

/* From ingest. */
void hw_intake_on_batch(struct hw_intake *in, const struct hw_ingest_batch *batch);

/* Ingest is about to start anew, or we were fenced: the batch that is out is nobody's. */
void hw_intake_void(struct hw_intake *in);

/* Room may have come: at the end of a turn in which something was settled. */
void hw_intake_look(struct hw_intake *in);

#endif
