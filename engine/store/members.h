/*
 * members - which instances there are: joining, the heartbeat, judging others, takeover.
 *
 * Every 500 ms one script raises our counter and returns everybody's.  A counter that was
 * seen unchanged for 10 s (of our own watching: time in which we did not look does not
 * count) is a dead instance; one on this very machine whose process is gone is dead at
 * once.  Taking over fences the dead one (its scripts answer FENCED from then on) and puts
 * its id among the orphans, whose work anybody adopts in pieces (ledger.h).
 *
 * Lifetime  open; up and down as the work connection comes and goes; leave; close.
 * Errors    a stored schema that is too new, or another root token: on_refused, and nothing
 *           more happens.  Everything else is tried again.
 */
#ifndef HW_STORE_MEMBERS_H
#define HW_STORE_MEMBERS_H

#include "store/keys.h"

#define HW_BEAT_EVERY_MS 500
#define HW_BEAT_LAPSE_MS 10000 /* silent for so long: dead */
#define HW_BEAT_MAY_START_MS                                                                  \
    5000 /* own last confirmed beat older than this: start no attempt */

struct hw_members;

struct hw_orphan {
    char id[HW_INSTANCE_CHARS + 1];
    bool has_crashed; /* else it left in order */
};

struct hw_hold {
    uint32_t w;
    hw_unix_ms until_ms; /* by hw_loop_steady */
};

/* As of the last beat; arrays are borrowed for the callback. */
struct hw_members_view {
    unsigned n_live;             /* instances, this one included */
    unsigned rank;               /* of this one among them, 0 .. n_live-1 */
    bool has_lost;               /* one that was seen before is no member any more */
    uint64_t registry_total;     /* rises with every change of any webhook */
    const struct hw_hold *holds; /* Retry-After holds in force, of all instances */
    size_t n_holds;
    const struct hw_orphan *orphans; /* whose work waits to be adopted */
    size_t n_orphans;
};

struct hw_members_events {
    /* We are in, under a new id (store->instance), owning nothing.  After the first start and
     * after being fenced.  Then: load the registry, start ingest and schedule. */
    void (*on_joined)(void *data);
    /* The connection was lost and is back; our id still stands (new epoch).  Then: resend
     * (hw_ledger_resume), compare (hw_ledger_owned), hw_ingest_start, hw_schedule_start. */
    void (*on_back)(void *data);
    /* Somebody took us over: drop whatever is not in flight, let what is in flight end
     * without settling it.  on_joined follows when the new id stands. */
    void (*on_fenced)(void *data);
    /* After every beat. */
    void (*on_beat)(void *data, const struct hw_members_view *view);
    /* This engine must not run here (schema, root token): exit 2. */
    void (*on_refused)(void *data, const struct hw_cause *cause);
    /* Another instance was taken over by us (for the log). */
    void (*on_takeover)(void *data, const char *id, const char *why);
    /* Redis refuses our beat (for readiness and the log); comes at each try. */
    void (*on_trouble)(void *data, enum hw_redis_trouble trouble,
                       const struct hw_cause *cause);
};

struct hw_members_options {
    struct hw_store *store;  /* borrowed; instance, epoch and engine_key are set here */
    const char *label;       /* borrowed: HOOKWHEEL_CONSUMER; the consumer is "<label>-<id>" */
    const char *root_sha256; /* borrowed, hex; NULL: not compared */
    bool replace_root;
    const struct hw_members_events *events; /* borrowed, static */
    void *data;
};

HW_MUST_USE enum hw_status hw_members_open(struct hw_members **out,
                                           const struct hw_members_options *options,
                                           struct hw_cause *cause);

/* From the work connection's on_up and on_down. */
void hw_members_up(struct hw_members *m);
void hw_members_down(struct hw_members *m);

/* Is our ownership certain enough to start an attempt? */
bool hw_members_may_start(const struct hw_members *m, hw_mono_ms now);

/* The name under which we read the stream; borrowed, changes with the id. */
const char *hw_members_consumer(const struct hw_members *m);

unsigned hw_members_n_live(const struct hw_members *m);
unsigned hw_members_rank(const struct hw_members *m);

/* Leave in order: what we own becomes adoptable at once.  cb runs once, also when Redis is
 * not there (then the others notice by themselves).  Beating stops. */
void hw_members_leave(struct hw_members *m, void (*cb)(void *data), void *data);

/* After leave, or at any time; its request must be answered, so close the work connection
 * first. */
void hw_members_close(struct hw_members *m);

#endif
