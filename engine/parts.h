/*
 * parts - everything an engine is made of, and how its parts are tied together.
 *
 * engine.c knows the order of life, reactions.c what follows from what the store reports,
 * readiness.c what to say of it.  Nothing else includes this.
 */
#ifndef HW_PARTS_H
#define HW_PARTS_H

#include "api/api.h"
#include "flow/backfill.h"
#include "flow/backing.h"
#include "flow/intake.h"
#include "flow/keeper.h"
#include "flow/sender.h"
#include "hookwheel/hookwheel.h"
#include "net/client.h"
#include "store/durability.h"
#include "store/embedded.h"
#include "store/gauges.h"
#include "store/ingest.h"
#include "store/janitor.h"
#include "store/ledger.h"
#include "store/members.h"
#include "store/notices.h"
#include "store/registry.h"
#include "store/schedule.h"

/* A trouble that Redis reports for one of the things we do with it. */
struct hw_trouble_note {
    enum hw_redis_trouble trouble; /* FINE: none */
    char text[200];
};

enum hw_trouble_place {
    HW_TROUBLE_BEAT,
    HW_TROUBLE_READ,
    HW_TROUBLE_ACCEPT,
    HW_TROUBLE_WRITE,
    HW_TROUBLE_REGISTRY,
    HW_TROUBLE_PLACES
};

enum hw_engine_phase {
    HW_ENGINE_OPEN,
    HW_ENGINE_STARTED,
    HW_ENGINE_DRAINING,
    HW_ENGINE_DRAINED,
    HW_ENGINE_CLOSING
};

struct hw_engine {
    struct hw_config config; /* a copy */
    hw_observer_cb observer; /* NULL: nobody listens */
    void *observer_data;
    enum hw_engine_phase phase;

    struct hw_loop loop;
    struct hw_metrics metrics;
    struct hw_trust *trust;
    struct hw_address_rules address_rules;
    struct hw_redis_target target;
    struct hw_embedded *embedded; /* NULL: Redis is somebody else's */
    struct hw_redis *work;
    struct hw_store store;
    struct hw_members *members;
    struct hw_ingest *ingest;
    struct hw_notices *notices;
    struct hw_ledger *ledger;
    struct hw_schedule *schedule;
    struct hw_registry *registry;
    struct hw_janitor *janitor;
    struct hw_gauge_reader *gauge_reader;
    struct hw_client *client;
    char root_sha256[65];
    struct hw_courier courier;
    struct hw_sender sender;
    struct hw_keeper keeper;
    struct hw_intake intake;
    struct hw_backfill backfill;
    struct hw_backing backing;
    struct hw_api *api;
    bool has_courier; /* courier, sender, keeper, intake, backfill, backing are init'ed */

    struct hw_turn_hook pump;      /* end of turn: start who may start */
    struct hw_registry_op refresh; /* of an account one of whose webhooks was just disabled */
    bool is_refreshing;

    /* Where we stand. */
    bool is_joined;  /* the store knows us */
    bool is_running; /* ours, loaded, compared: events are taken */
    bool has_run;    /* it was running at least once */
    hw_mono_ms started_at;
    bool is_refused;              /* this engine must not run here */
    struct hw_durability_ask ask; /* how this Redis keeps data */
    struct hw_wheel_entry ask_again;
    bool is_asking;
    bool is_waiting_for_judgement; /* members join when it is there */
    bool was_usable;               /* judged fit at least once */
    enum hw_durability_verdict verdict;
    enum hw_durability durability;
    char durability_line[256]; /* "" : not judged yet */
    struct hw_trouble_note troubles[HW_TROUBLE_PLACES];
    char down_text[200]; /* why there is no connection */
    bool was_ready;      /* as told to the observer last */
    bool was_told;       /* it was told at all */
    char told_reason[256];
    uint64_t n_rejected_untold;
    hw_mono_ms rejected_told_at;
    unsigned n_live;

    /* The end. */
    struct hw_wheel_entry drain_deadline;
    bool is_ingest_stopped;
    bool is_leaving;
    bool is_client_closed;
    size_t n_given_up;
    size_t close_step;
    void (*closed_cb)(void *data);
    void *closed_data;
};

/* ---- reactions.c ---- */

extern const struct hw_redis_events hw_engine_redis_events;
extern const struct hw_members_events hw_engine_members_events;
extern const struct hw_ingest_events hw_engine_ingest_events;
extern const struct hw_ledger_events hw_engine_ledger_events;
extern const struct hw_schedule_events hw_engine_schedule_events;
extern const struct hw_registry_events hw_engine_registry_events;
extern const struct hw_courier_ports hw_engine_courier_ports;
void hw_engine_on_pump(struct hw_turn_hook *hook);
/* Is what we own certain to be ours, and are we not about to go?  data: the engine. */
bool hw_engine_may_start(void *data);
void hw_engine_on_feed_added(void *data, struct hw_slice account);
void hw_engine_on_feed_gap(void *data);
void hw_engine_on_accept_state(void *data, enum hw_redis_trouble trouble);
void hw_engine_on_ask_again(struct hw_wheel_entry *entry);
void hw_engine_on_embedded_news(void *data, enum hw_embedded_news news,
                                const struct hw_cause *cause);

/* ---- engine.c ---- */

/* Draining: go on to the next step if this one is done. */
void hw_engine_drain_look(struct hw_engine *e);

/* ---- readiness.c ---- */

void hw_engine_tell(struct hw_engine *e, struct hw_engine_event event);
void hw_engine_warn(struct hw_engine *e, const struct hw_cause *cause, const char *text);
/* This engine must not run here: said once. */
void hw_engine_refuse(struct hw_engine *e, const struct hw_cause *cause);
void hw_engine_note_trouble(struct hw_engine *e, enum hw_trouble_place place,
                            enum hw_redis_trouble trouble, const struct hw_cause *cause);
/* Tell the observer if readiness or its reason has changed. */
void hw_engine_look_ready(struct hw_engine *e);
bool hw_engine_is_quiet(struct hw_engine *e);
void hw_engine_readiness(void *data, struct hw_backend_readiness *out);

#endif
