/*
 * metrics - every number the engine counts, in one plain struct.
 *
 * Parts add to it where the thing happens; api/ops.c writes it out.  Gauges that are the
 * length of a list are not here: they are asked for when the page is written
 * (struct hw_gauges), so that they are right by construction.
 *
 * Threads   one loop thread; plain integers.
 */
#ifndef HW_CORE_METRICS_H
#define HW_CORE_METRICS_H

#include "core/hist.h"
#include "rules/entry.h"
#include "rules/failure.h"

enum hw_metric_phase { HW_METRIC_DNS, HW_METRIC_CONNECT, HW_METRIC_TLS, HW_METRIC_FIRST_BYTE,
                       HW_METRIC_PHASES };
enum hw_metric_dns { HW_METRIC_DNS_FOUND, HW_METRIC_DNS_CACHED, HW_METRIC_DNS_NOT_FOUND,
                     HW_METRIC_DNS_FAILED, HW_METRIC_DNS_RESULTS };
enum hw_metric_drop { HW_METRIC_DROP_DISABLED, HW_METRIC_DROP_DELETED, HW_METRIC_DROP_BACKLOG,
                      HW_METRIC_DROP_POISON, HW_METRIC_DROPS };

struct hw_metrics {
    uint64_t events_accepted;
    uint64_t events_rejected[HW_ENTRY_REASONS];
    uint64_t events_deduplicated;
    uint64_t attempts_success;
    uint64_t attempts_failed[HW_FAILURES];
    struct hw_hist attempt_duration;
    struct hw_hist phase[HW_METRIC_PHASES];
    struct hw_hist delivery_latency; /* enqueued to delivered, first attempts */
    struct hw_hist retry_lateness;
    uint64_t deliveries_delivered;
    uint64_t deliveries_dead;
    uint64_t deliveries_dropped[HW_METRIC_DROPS];
    uint64_t disabled_failures; /* webhooks disabled: after repeated failures */
    uint64_t disabled_gone;     /* ... because the endpoint said 410 */
    uint64_t takeovers;
    uint64_t connections_opened;
    uint64_t connections_reused;
    uint64_t handshakes_full;
    uint64_t handshakes_resumed;
    uint64_t dns[HW_METRIC_DNS_RESULTS];
    uint64_t redis_reconnects;
    struct hw_hist redis_command;
    struct hw_hist loop_lag;
};

void hw_metrics_init(struct hw_metrics *m);

enum hw_durability { HW_DURABILITY_UNKNOWN, HW_DURABILITY_NONE, HW_DURABILITY_EVERYSEC,
                     HW_DURABILITY_ALWAYS };

/* What is true now, collected when somebody asks. */
struct hw_gauges {
    uint64_t in_flight;              /* this instance */
    uint64_t waiting;                /* installation: not yet attempted, in memory or Redis */
    double oldest_waiting_s;         /* installation */
    uint64_t retries_scheduled;      /* installation */
    uint64_t webhooks_active, webhooks_paused, webhooks_disabled; /* installation */
    uint64_t stream_lag;             /* installation: entries not read yet */
    uint64_t stream_pending;         /* installation: read, not accepted */
    uint64_t connections_open;       /* this instance */
    bool redis_connected;
    enum hw_durability durability;
    uint64_t redis_memory_bytes;
};

#endif
