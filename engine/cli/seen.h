/*
 * seen - what a receiver has seen: tries of each event, duplicates, latencies.
 *
 * An event is known by its webhook-id.  A duplicate is a request for an event that was
 * already answered with 2xx.
 *
 * Memory    one block an event, kept to the end: a development receiver's thousands, not
 *           a service's millions.
 * Cost      a look-up a request; percentiles sort once, when asked for.
 */
#ifndef HW_CLI_SEEN_H
#define HW_CLI_SEEN_H

#include "base/map.h"
#include "base/time.h"
#include "core/samples.h"

struct hw_seen_event {
    struct hw_map_entry entry; /* its key is the id behind this struct */
    unsigned tries;            /* requests for it */
    bool is_taken;             /* answered with 2xx and a good signature */
};

struct hw_seen {
    struct hw_map events;
    uint64_t n_requests;
    uint64_t n_taken; /* distinct events */
    uint64_t n_duplicates;
    uint64_t n_bad;                 /* signatures */
    uint64_t n_retries;             /* requests whose x-hookwheel-attempt was over 1 */
    struct hw_samples latencies_ms; /* of each event's first request */
};

void hw_seen_init(struct hw_seen *t);
void hw_seen_close(struct hw_seen *t);

/* The event of that id, made when it is new; one more try.  NULL: out of memory. */
HW_MUST_USE struct hw_seen_event *hw_seen_try(struct hw_seen *t, struct hw_slice id);

/* It was answered with 2xx. */
void hw_seen_take(struct hw_seen *t, struct hw_seen_event *event);

/* Out of memory: it is not counted. */
void hw_seen_latency(struct hw_seen *t, uint32_t latency_ms);

/* `fraction` 0.5: the median; 0 when there is none. */
uint32_t hw_seen_percentile(struct hw_seen *t, double fraction);

#endif
