#include "api/exposition.h"

#include <stdio.h>

#include "api/process_metrics.h"
#include "api/routes.h"
#include "rules/promtext.h"

/* --- one metric -------------------------------------------------------------------- */

static void counter(struct hw_buf *out, const char *name, const char *help, uint64_t value)
{
    hw_promtext_metric(out, HW_PROMTEXT_COUNTER, name, help);
    hw_promtext_u64(out, name, NULL, 0, value);
}

static void gauge(struct hw_buf *out, const char *name, const char *help, uint64_t value)
{
    hw_promtext_metric(out, HW_PROMTEXT_GAUGE, name, help);
    hw_promtext_u64(out, name, NULL, 0, value);
}

static void gauge_double(struct hw_buf *out, const char *name, const char *help, double value)
{
    hw_promtext_metric(out, HW_PROMTEXT_GAUGE, name, help);
    hw_promtext_double(out, name, NULL, 0, value);
}

/* One sample of a metric with one label; its head was written. */
static void sample(struct hw_buf *out, const char *name, const char *label, const char *value,
                   uint64_t number)
{
    struct hw_promtext_label labels[] = { HW_PROMTEXT_LABEL(label, value) };

    hw_promtext_u64(out, name, labels, 1, number);
}

static void histogram_samples(struct hw_buf *out, const char *name,
                              const struct hw_promtext_label *labels, size_t n_labels,
                              const struct hw_hist *h)
{
    hw_promtext_histogram(out, name, labels, n_labels, h->bounds, h->n_bounds, h->counts,
                          h->sum);
}

static void histogram(struct hw_buf *out, const char *name, const char *help,
                      const struct hw_hist *h)
{
    hw_promtext_metric(out, HW_PROMTEXT_HISTOGRAM, name, help);
    histogram_samples(out, name, NULL, 0, h);
}

/* --- events and deliveries ----------------------------------------------------------- */

static void write_events(struct hw_buf *out, const struct hw_metrics *m)
{
    static const char rejected[] = "hookwheel_events_rejected_total";

    counter(out, "hookwheel_events_accepted_total",
            "Events taken off the stream into a feed by this instance.", m->events_accepted);
    hw_promtext_metric(out, HW_PROMTEXT_COUNTER, rejected,
                       "Entries of the stream that broke a rule, by reason.");
    for (int i = HW_ENTRY_GOOD + 1; i < HW_ENTRY_REASONS; i++)
        sample(out, rejected, "reason", hw_entry_reason_text(i), m->events_rejected[i]);
    counter(out, "hookwheel_events_deduplicated_total",
            "Entries whose id had been seen already in their account.",
            m->events_deduplicated);
}

static void write_attempts(struct hw_buf *out, const struct hw_metrics *m)
{
    static const char attempts[] = "hookwheel_attempts_total";
    static const char phases[] = "hookwheel_attempt_phase_seconds";
    static const char *const phase_names[HW_METRIC_PHASES] = {
        [HW_METRIC_DNS] = "dns",
        [HW_METRIC_CONNECT] = "connect",
        [HW_METRIC_TLS] = "tls",
        [HW_METRIC_FIRST_BYTE] = "first_byte",
    };

    hw_promtext_metric(out, HW_PROMTEXT_COUNTER, attempts,
                       "Attempts made by this instance, by what they came to.");
    sample(out, attempts, "result", "success", m->attempts_success);
    /* The kinds behind these end a delivery without an attempt. */
    for (int i = HW_FAILURE_HTTP_STATUS; i <= HW_FAILURE_INTERNAL; i++)
        sample(out, attempts, "result", hw_failure_text(i), m->attempts_failed[i]);
    histogram(out, "hookwheel_attempt_duration_seconds",
              "From the start of an attempt to its outcome.", &m->attempt_duration);
    hw_promtext_metric(out, HW_PROMTEXT_HISTOGRAM, phases,
                       "Time an attempt spent in a phase.");
    for (int i = 0; i < HW_METRIC_PHASES; i++) {
        struct hw_promtext_label label = HW_PROMTEXT_LABEL("phase", phase_names[i]);
        histogram_samples(out, phases, &label, 1, &m->phase[i]);
    }
}

static void write_deliveries(struct hw_buf *out, const struct hw_metrics *m)
{
    static const char finished[] = "hookwheel_deliveries_total";
    static const char dropped[] = "hookwheel_deliveries_dropped_total";

    histogram(
        out, "hookwheel_delivery_latency_seconds",
        "From enqueued to delivered, for deliveries that succeeded at the first attempt.",
        &m->delivery_latency);
    histogram(out, "hookwheel_retry_lateness_seconds",
              "How long after it was due a retry started.", &m->retry_lateness);
    hw_promtext_metric(out, HW_PROMTEXT_COUNTER, finished,
                       "Deliveries that this instance finished, by what they came to.");
    sample(out, finished, "status", "delivered", m->deliveries_delivered);
    sample(out, finished, "status", "dead_letter", m->deliveries_dead);
    hw_promtext_metric(
        out, HW_PROMTEXT_COUNTER, dropped,
        "Deliveries that became a dead letter without exhausting their retries.");
    sample(out, dropped, "reason", "webhook_disabled",
           m->deliveries_dropped[HW_METRIC_DROP_DISABLED]);
    sample(out, dropped, "reason", "webhook_deleted",
           m->deliveries_dropped[HW_METRIC_DROP_DELETED]);
    sample(out, dropped, "reason", "backlog_full",
           m->deliveries_dropped[HW_METRIC_DROP_BACKLOG]);
    sample(out, dropped, "reason", "poison", m->deliveries_dropped[HW_METRIC_DROP_POISON]);
}

static void write_queues(struct hw_buf *out, const struct hw_gauges *g)
{
    gauge(out, "hookwheel_deliveries_in_flight",
          "Deliveries whose attempt is under way (this instance).", g->in_flight);
    gauge(out, "hookwheel_deliveries_waiting",
          "Deliveries not finished, but those scheduled for a retry (installation: not to be summed).", g->waiting);
    gauge_double(
        out, "hookwheel_oldest_waiting_seconds",
        "Age of the oldest delivery not yet attempted, in Redis or in this instance's memory "
        "(installation: not to be summed).",
        g->oldest_waiting_s);
    gauge(out, "hookwheel_retries_scheduled",
          "Deliveries that wait for their next attempt (installation: not to be summed).",
          g->retries_scheduled);
    gauge(out, "hookwheel_stream_lag",
          "Entries of the stream not read yet (installation: not to be summed).",
          g->stream_lag);
    gauge(out, "hookwheel_stream_pending",
          "Entries read and not accepted yet (installation: not to be summed).",
          g->stream_pending);
}

static void write_webhooks(struct hw_buf *out, const struct hw_metrics *m,
                           const struct hw_gauges *g)
{
    static const char webhooks[] = "hookwheel_webhooks";
    static const char disabled[] = "hookwheel_webhooks_disabled_total";

    hw_promtext_metric(out, HW_PROMTEXT_GAUGE, webhooks,
                       "Webhooks by status (installation: not to be summed).");
    sample(out, webhooks, "status", "active", g->webhooks_active);
    sample(out, webhooks, "status", "paused", g->webhooks_paused);
    sample(out, webhooks, "status", "disabled", g->webhooks_disabled);
    hw_promtext_metric(out, HW_PROMTEXT_COUNTER, disabled,
                       "Webhooks that this instance disabled: after repeated failures, or "
                       "because the endpoint said 410.");
    sample(out, disabled, "reason", "failures", m->disabled_failures);
    sample(out, disabled, "reason", "gone", m->disabled_gone);
}

/* --- what the engine stands on --------------------------------------------------------- */

static void write_network(struct hw_buf *out, const struct hw_metrics *m,
                          const struct hw_gauges *g)
{
    static const char handshakes[] = "hookwheel_tls_handshakes_total";
    static const char lookups[] = "hookwheel_dns_lookups_total";

    gauge(out, "hookwheel_connections_open", "Connections to receivers (this instance).",
          g->connections_open);
    counter(out, "hookwheel_connections_opened_total", "Connections made to receivers.",
            m->connections_opened);
    counter(out, "hookwheel_connections_reused_total",
            "Attempts that went over a connection made earlier.", m->connections_reused);
    hw_promtext_metric(out, HW_PROMTEXT_COUNTER, handshakes,
                       "TLS handshakes completed, by kind.");
    sample(out, handshakes, "kind", "full", m->handshakes_full);
    sample(out, handshakes, "kind", "resumed", m->handshakes_resumed);
    hw_promtext_metric(out, HW_PROMTEXT_COUNTER, lookups, "Names looked up, by result.");
    sample(out, lookups, "result", "found", m->dns[HW_METRIC_DNS_FOUND]);
    sample(out, lookups, "result", "cached", m->dns[HW_METRIC_DNS_CACHED]);
    sample(out, lookups, "result", "not_found", m->dns[HW_METRIC_DNS_NOT_FOUND]);
    sample(out, lookups, "result", "failed", m->dns[HW_METRIC_DNS_FAILED]);
}

static void write_durability(struct hw_buf *out, enum hw_durability now)
{
    static const char name[] = "hookwheel_redis_durability";

    hw_promtext_metric(
        out, HW_PROMTEXT_GAUGE, name,
        "1 for how Redis keeps what it acknowledged: append-only file with fsync "
        "always or everysec, less (none), not known (installation: not to be summed).");
    sample(out, name, "level", "always", now == HW_DURABILITY_ALWAYS);
    sample(out, name, "level", "everysec", now == HW_DURABILITY_EVERYSEC);
    sample(out, name, "level", "none", now == HW_DURABILITY_NONE);
    sample(out, name, "level", "unknown", now == HW_DURABILITY_UNKNOWN);
}

static void write_redis(struct hw_buf *out, const struct hw_metrics *m,
                        const struct hw_gauges *g)
{
    gauge(out, "hookwheel_redis_connected", "1 while Redis answers (this instance).",
          g->redis_connected);
    write_durability(out, g->durability);
    gauge(out, "hookwheel_redis_memory_bytes",
          "Memory that Redis uses (installation: not to be summed).", g->redis_memory_bytes);
    counter(out, "hookwheel_redis_reconnects_total",
            "Connections to Redis that had to be made again.", m->redis_reconnects);
    histogram(out, "hookwheel_redis_command_duration_seconds",
              "From sending a command to Redis to its answer.", &m->redis_command);
    counter(out, "hookwheel_takeovers_total",
            "Instances found dead whose work this one took over.", m->takeovers);
    histogram(out, "hookwheel_loop_lag_seconds",
              "How long one turn of the loop kept everything else waiting.", &m->loop_lag);
}

/* --- the API and the process ------------------------------------------------------------- */

static void write_route(struct hw_buf *out, const char *name, const char *route,
                        const uint64_t *counts)
{
    for (size_t i = 0; i < HW_COUNTED_STATUSES; i++) {
        int status = hw_route_counts_status(i);
        char text[16];

        /* All that a route has answered; 200 from the start. */
        if (status == 0 || (counts[i] == 0 && status != 200))
            continue;
        snprintf(text, sizeof text, "%d", status);
        hw_promtext_u64(out, name,
                        (struct hw_promtext_label[]){ HW_PROMTEXT_LABEL("route", route),
                                                      HW_PROMTEXT_LABEL("status", text) },
                        2, counts[i]);
    }
}

static void write_requests(struct hw_buf *out, const struct hw_route_counts *requests)
{
    static const char name[] = "hookwheel_http_requests_total";

    hw_promtext_metric(
        out, HW_PROMTEXT_COUNTER, name,
        "Requests answered by this instance, by route (none: no route fits) and "
        "status.");
    for (size_t i = 0; i < hw_n_routes; i++) {
        char route[96];
        snprintf(route, sizeof route, "%s %s", hw_routes[i].method, hw_routes[i].pattern);
        write_route(out, name, route, requests->counts[i]);
    }
    write_route(out, name, "none", requests->counts[HW_COUNTED_NO_ROUTE]);
}

static void write_build(struct hw_buf *out, const char *version)
{
    static const char name[] = "hookwheel_build_info";

    hw_promtext_metric(out, HW_PROMTEXT_GAUGE, name,
                       "1, with the version that runs (this instance).");
    sample(out, name, "version", version, 1);
}

static void write_process(struct hw_buf *out)
{
    struct hw_process p;

    hw_process_read(&p);
    hw_promtext_metric(out, HW_PROMTEXT_COUNTER, "process_cpu_seconds_total",
                       "User and system CPU time spent, in seconds.");
    hw_promtext_double(out, "process_cpu_seconds_total", NULL, 0, p.cpu_seconds);
    gauge(out, "process_open_fds", "Open file descriptors (this instance).",
          p.open_descriptors);
    gauge(out, "process_max_fds", "Most file descriptors that may be open (this instance).",
          p.max_descriptors);
    gauge(out, "process_virtual_memory_bytes", "Virtual memory size in bytes (this instance).",
          p.virtual_bytes);
    gauge(out, "process_resident_memory_bytes",
          "Resident memory size in bytes (this instance).", p.resident_bytes);
    gauge_double(out, "process_start_time_seconds",
                 "When the process started, in unix seconds (this instance).", p.started_at);
}

enum hw_status hw_exposition_write(struct hw_buf *out, const struct hw_exposition *e)
{
    write_events(out, e->metrics);
    write_attempts(out, e->metrics);
    write_deliveries(out, e->metrics);
    write_queues(out, e->gauges);
    write_webhooks(out, e->metrics, e->gauges);
    write_network(out, e->metrics, e->gauges);
    write_redis(out, e->metrics, e->gauges);
    write_requests(out, e->requests);
    write_build(out, e->version);
    write_process(out);
    return hw_buf_failed(out);
}
