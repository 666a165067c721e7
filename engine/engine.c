/*
 * The order of life, and the only file that knows it.
 *
 *   open    what can be judged without touching the outside: settings, files of trust
 *   start   bind the HTTP addresses, lock the folder and start the embedded Redis, connect;
 *           everything after that is reactions.c's
 *   drain   stop reading -> attempts end (or the deadline) -> outcomes are in Redis -> leave
 *   close   from the outside in, one step after the other, see close_steps
 */
#include "parts.h"

#include <stdio.h>
#include <sys/resource.h>

#include "hookwheel/alloc.h"
#include "rules/sign.h"

enum {
    REPLY_TIMEOUT_MS = 10000,
    FILES_FOR_OURSELVES = 64, /* Redis, listeners, DNS, files */
    IDLE_SHARE_PERCENT = 25   /* connections kept open beyond those in use */
};

const char *hw_version(void)
{
    return HOOKWHEEL_VERSION;
}

unsigned hw_engine_api_port(const struct hw_engine *e)
{
    return e->api ? hw_api_port(e->api) : 0;
}

unsigned hw_engine_ops_port(const struct hw_engine *e)
{
    return e->api ? hw_api_ops_port(e->api) : 0;
}

/* ---- open ---- */

static enum hw_status read_settings(struct hw_engine *e, const struct hw_config *config,
                                    struct hw_cause *cause)
{
    enum hw_status status = hw_config_check(config, cause);

    if (status != HW_OK)
        return status;
    if (hw_config_copy(&e->config, config) != HW_OK)
        return hw_cause_set(cause, HW_ENOMEM, HW_ORIGIN_US, 0, "out of memory");
    status = hw_address_rules_parse(&e->address_rules, hw_slice_str(e->config.allow_networks),
                                    cause);
    if (status == HW_OK && e->config.redis_url != NULL)
        status = hw_redis_target_parse(&e->target, hw_slice_str(e->config.redis_url), cause);
    if (status == HW_OK)
        status = hw_keys_init(&e->store.keys, e->config.key_prefix, e->config.stream,
                              e->config.group, cause);
    return status;
}

enum hw_status hw_engine_open(struct hw_engine **out, uv_loop_t *loop,
                              const struct hw_config *config, hw_observer_cb observer,
                              void *data, struct hw_cause *cause)
{
    struct hw_engine *e = hw_calloc(1, sizeof *e);
    unsigned char seed[16];
    enum hw_status status;

    if (e == NULL)
        return hw_cause_set(cause, HW_ENOMEM, HW_ORIGIN_US, 0, "out of memory");
    e->observer = observer;
    e->observer_data = data;
    hw_random_bytes(seed, sizeof seed);
    hw_map_seed(seed);
    hw_metrics_init(&e->metrics);
    hw_registry_op_init(&e->refresh);
    status = read_settings(e, config, cause);
    if (status == HW_OK)
        status = hw_trust_open(&e->trust, e->config.ca_file, true, cause);
    if (status == HW_OK)
        status = hw_loop_init(&e->loop, loop, cause);
    if (status == HW_OK) {
        *out = e;
        return HW_OK;
    }
    hw_trust_close(e->trust);
    hw_redis_target_close(&e->target);
    hw_address_rules_close(&e->address_rules);
    hw_config_close(&e->config);
    hw_free(e);
    return status;
}

/* ---- start ---- */

static void on_lag(void *data, hw_mono_us busy_us)
{
    struct hw_engine *e = data;

    hw_hist_observe(&e->metrics.loop_lag, (double)busy_us / 1e6);
}

/* What the limit of open files leaves for deliveries. */
static void fit_file_limit(struct hw_engine *e)
{
    struct hw_engine_event event = hw_engine_event_make(HW_EVENT_LIMIT_LOWERED);
    struct rlimit limit;
    char text[160];
    uint64_t ours, most;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
        return;
    ours = FILES_FOR_OURSELVES + e->config.api_max_connections;
    most = limit.rlim_cur > 2 * ours ? limit.rlim_cur - ours : limit.rlim_cur / 2;
    most = most * 100 / (100 + IDLE_SHARE_PERCENT);
    if (e->config.max_in_flight <= most)
        return;
    snprintf(text, sizeof text,
             "only %llu files may be open: at most %llu attempts at once instead of %u; raise "
             "the limit "
             "(ulimit -n, LimitNOFILE=)",
             (unsigned long long)limit.rlim_cur, (unsigned long long)most,
             e->config.max_in_flight);
    e->config.max_in_flight = most > 0 ? (unsigned)most : 1;
    event.text = text;
    event.count = e->config.max_in_flight;
    hw_engine_tell(e, event);
}

static enum hw_status open_client(struct hw_engine *e, struct hw_cause *cause)
{
    struct hw_client_options options = {
        .trust = e->trust,
        .rules = &e->address_rules,
        .metrics = &e->metrics,
        .timeout_ms = e->config.timeout_ms,
        .allow_http_localhost = e->config.allow_http_localhost,
        .max_connections = e->config.max_in_flight + (size_t)e->config.max_in_flight / 4 + 16,
        .dns_servers = e->config.dns_servers,
        .hosts_file = e->config.hosts_file,
    };

    return hw_client_open(&e->client, &e->loop, &options, cause);
}

static enum hw_status open_store(struct hw_engine *e, struct hw_cause *cause)
{
    char root_sha256[65];
    struct hw_store *store = &e->store;
    enum hw_status status;

    store->loop = &e->loop;
    store->metrics = &e->metrics;
    hw_sha256_hex(hw_slice_str(e->config.api_token), root_sha256);
    memcpy(e->root_sha256, root_sha256, sizeof root_sha256);
    struct hw_members_options members = {
        .store = store,
        .label = e->config.consumer,
        .root_sha256 = e->root_sha256,
        .replace_root = e->config.replace_root_token,
        .events = &hw_engine_members_events,
        .data = e,
    };
    struct hw_ledger_options ledger = {
        .store = store,
        .history_max = e->config.history_max,
        .dead_letter_max = e->config.dead_letter_max,
        .disable_after = e->config.disable_after,
        .events = &hw_engine_ledger_events,
        .data = e,
    };
    struct hw_registry_options registry = {
        .store = store,
        .max_webhooks = e->config.max_webhooks,
        .events = &hw_engine_registry_events,
        .data = e,
    };
    if ((status = hw_members_open(&e->members, &members, cause)) != HW_OK ||
        (status = hw_ledger_open(&e->ledger, &ledger, cause)) != HW_OK ||
        (status = hw_registry_open(&e->registry, &registry, cause)) != HW_OK)
        return status;
    struct hw_schedule_options schedule = {
        .store = store,
        .members = e->members,
        .ledger = e->ledger,
        .events = &hw_engine_schedule_events,
        .data = e,
    };
    struct hw_janitor_options janitor = {
        .store = store,
        .members = e->members,
        .registry = e->registry,
        .feed_max = e->config.feed_max,
        .feed_retention_ms = e->config.feed_retention_ms,
        .history_max = e->config.history_max,
        .history_retention_ms = e->config.history_retention_ms,
        .dedup_max = e->config.dedup_max,
    };
    if ((status = hw_schedule_open(&e->schedule, &schedule, cause)) != HW_OK ||
        (status = hw_janitor_open(&e->janitor, &janitor, cause)) != HW_OK)
        return status;
    return hw_gauge_reader_open(&e->gauge_reader, store);
}

static size_t count_connections(void *data)
{
    struct hw_engine *e = data;

    return e->client ? hw_client_connections(e->client) : 0;
}

static enum hw_durability current_durability(void *data)
{
    struct hw_engine *e = data;

    return e->durability;
}

static void tie_parts(struct hw_engine *e)
{
    static const char user_agent[] = "hookwheel/" HOOKWHEEL_VERSION;
    struct hw_retry_rules retry = { e->config.retry_schedule_ms, e->config.n_retries,
                                    e->config.retry_jitter };
    uint64_t seed;

    hw_random_bytes(&seed, sizeof seed);
    hw_courier_init(&e->courier, &e->loop.wheel, hw_registry_subscriptions(e->registry),
                    &e->metrics, &retry, e->config.max_in_flight, &hw_engine_courier_ports,
                    seed);
    hw_sender_init(&e->sender, &e->loop, e->client, &e->courier, hw_slice_str(user_agent),
                   hw_engine_may_start, e);
    e->keeper = (struct hw_keeper){
        .loop = &e->loop,
        .store = &e->store,
        .ledger = e->ledger,
        .schedule = e->schedule,
        .members = e->members,
        .courier = &e->courier,
        .sender = &e->sender,
        .backlog_max = e->config.backlog_max,
    };
    hw_keeper_init(&e->keeper);
    e->intake = (struct hw_intake){
        .loop = &e->loop,
        .metrics = &e->metrics,
        .ledger = e->ledger,
        .registry = e->registry,
        .subscriptions = hw_registry_subscriptions(e->registry),
        .janitor = e->janitor,
        .courier = &e->courier,
        .keeper = &e->keeper,
        .hub = &e->backing.hub,
        .max_payload_bytes = e->config.max_payload_bytes,
        .on_state = hw_engine_on_accept_state,
        .data = e,
    };
    hw_intake_init(&e->intake);
    e->backfill = (struct hw_backfill){
        .loop = &e->loop,
        .store = &e->store,
        .members = e->members,
        .subscriptions = hw_registry_subscriptions(e->registry),
        .courier = &e->courier,
    };
    hw_backfill_init(&e->backfill);
    e->backing = (struct hw_backing){
        .loop = &e->loop,
        .store = &e->store,
        .registry = e->registry,
        .gauge_reader = e->gauge_reader,
        .courier = &e->courier,
        .keeper = &e->keeper,
        .schedule = e->schedule,
        .backfill = &e->backfill,
        .readiness = hw_engine_readiness,
        .connections = count_connections,
        .durability = current_durability,
        .data = e,
    };
    hw_backing_init(&e->backing);
    e->has_courier = true;
}

static void tell_listening(struct hw_engine *e, const char *what, const char *configured,
                           unsigned port)
{
    struct hw_engine_event event = hw_engine_event_make(HW_EVENT_LISTENING);
    const char *colon = strrchr(configured, ':');
    char address[300];

    snprintf(address, sizeof address, "%.*s:%u",
             colon ? (int)(colon - configured) : (int)strlen(configured), configured, port);
    event.subject = what;
    event.address = address;
    hw_engine_tell(e, event);
}

static enum hw_status open_api(struct hw_engine *e, struct hw_cause *cause)
{
    struct hw_api_options options = {
        .listen = e->config.listen,
        .ops_listen = e->config.ops_listen,
        .root_token_hash = e->root_sha256,
        .version = HOOKWHEEL_VERSION,
        .max_connections = e->config.api_max_connections,
        .max_webhooks = e->config.max_webhooks,
        .rate_per_s = e->config.api_rate_per_s,
        .max_payload_bytes = e->config.max_payload_bytes,
        .max_in_flight = e->config.max_in_flight_per_webhook,
        .max_in_flight_total = e->config.max_in_flight,
        .url_rules = { .allow_http_localhost = e->config.allow_http_localhost,
                       .allow_internal_names = e->address_rules.n_open > 0 },
        .addresses = &e->address_rules,
        .metrics = &e->metrics,
        .backend = &e->backing.backend,
    };

    return hw_api_open(&e->api, &e->loop, &options, cause);
}

/* Once nothing can fail any more: who reads it may rely on it. */
static void tell_doors(struct hw_engine *e)
{
    if (e->config.listen != NULL)
        tell_listening(e, "api", e->config.listen, hw_api_port(e->api));
    if (e->config.ops_listen != NULL)
        tell_listening(e, "ops", e->config.ops_listen, hw_api_ops_port(e->api));
}

static enum hw_status start_embedded(struct hw_engine *e, struct hw_cause *cause)
{
    struct hw_embedded_options options = {
        .folder = e->config.data_dir,
        .fsync = e->config.redis_fsync,
        .on_news = hw_engine_on_embedded_news,
        .data = e,
    };
    enum hw_status status = hw_embedded_open(&e->embedded, &e->loop, &options, cause);

    return status == HW_OK ? hw_embedded_target(&e->target, e->config.data_dir, cause)
                           : status;
}

static enum hw_status connect_redis(struct hw_engine *e, struct hw_cause *cause)
{
    struct hw_redis_options work = {
        .target = &e->target,
        .trust = e->trust,
        .metrics = &e->metrics,
        .name = "hookwheel-work",
        .reply_timeout_ms = REPLY_TIMEOUT_MS,
        .events = &hw_engine_redis_events,
        .data = e,
    };
    struct hw_ingest_options ingest = {
        .store = &e->store,
        .members = e->members,
        .target = &e->target,
        .trust = e->trust,
        .rejected_max = e->config.rejected_max,
        .events = &hw_engine_ingest_events,
        .data = e,
    };
    struct hw_notices_options notices = {
        .store = &e->store,
        .target = &e->target,
        .trust = e->trust,
        .on_added = hw_engine_on_feed_added,
        .on_gap = hw_engine_on_feed_gap,
        .data = e,
    };
    enum hw_status status = hw_redis_open(&e->work, &e->loop, &work, cause);

    if (status != HW_OK)
        return status;
    e->store.work = e->work;
    status = hw_ingest_open(&e->ingest, &ingest, cause);
    e->intake.ingest = e->ingest;
    return status == HW_OK ? hw_notices_open(&e->notices, &notices, cause) : status;
}

enum hw_status hw_engine_start(struct hw_engine *e, struct hw_cause *cause)
{
    enum hw_status status;

    hw_wheel_entry_init(&e->ask_again, hw_engine_on_ask_again);
    e->started_at = hw_loop_now(&e->loop);
    e->loop.lag_cb = on_lag;
    e->loop.lag_data = e;
    hw_turn_hook_add(&e->loop, &e->pump, hw_engine_on_pump);
    fit_file_limit(e);
    if ((status = open_client(e, cause)) != HW_OK || (status = open_store(e, cause)) != HW_OK)
        return status;
    tie_parts(e);
    if ((status = open_api(e, cause)) != HW_OK)
        return status;
    if (e->config.redis_url == NULL && (status = start_embedded(e, cause)) != HW_OK)
        return status;
    if ((status = connect_redis(e, cause)) != HW_OK)
        return status;
    e->phase = HW_ENGINE_STARTED;
    tell_doors(e);
    return HW_OK;
}

/* ---- drain ---- */

static void on_left(void *data)
{
    struct hw_engine *e = data;
    struct hw_engine_event event = hw_engine_event_make(HW_EVENT_DRAINED);

    hw_loop_cancel(&e->loop, &e->drain_deadline);
    e->phase = HW_ENGINE_DRAINED;
    event.count = e->n_given_up;
    hw_engine_tell(e, event);
}

static void leave(struct hw_engine *e)
{
    if (e->is_leaving)
        return;
    e->is_leaving = true;
    hw_keeper_activate(&e->keeper, false);
    hw_members_leave(e->members, on_left, e);
}

void hw_engine_drain_look(struct hw_engine *e)
{
    if (e->is_ingest_stopped && e->courier.dispatch.n_in_flight == 0 &&
        hw_ledger_n_unsettled(e->ledger) == 0)
        leave(e);
}

static void on_ingest_stopped(void *data)
{
    struct hw_engine *e = data;

    e->is_ingest_stopped = true;
    hw_turn_hook_ask(&e->loop, &e->pump);
}

static void on_client_closed_for_drain(void *data)
{
    struct hw_engine *e = data;

    e->is_client_closed = true;
    leave(e); /* what Redis does not have by now it will have from whoever takes it over */
}

/* Attempts that are still under way are given up: they are made again, by whoever comes next. */
static void on_drain_deadline(struct hw_wheel_entry *entry)
{
    struct hw_engine *e = HW_CONTAINER_OF(entry, struct hw_engine, drain_deadline);
    struct hw_client *client = e->client;

    if (e->is_leaving || client == NULL)
        return;
    e->n_given_up = hw_dispatch_attempts(&e->courier.dispatch);
    e->client = NULL;
    hw_client_close(client, on_client_closed_for_drain, e);
}

void hw_engine_drain(struct hw_engine *e)
{
    struct hw_engine_event event = hw_engine_event_make(HW_EVENT_DRAINING);

    if (e->phase != HW_ENGINE_STARTED)
        return;
    e->phase = HW_ENGINE_DRAINING;
    event.count = e->courier.dispatch.n_in_flight;
    hw_engine_tell(e, event);
    hw_dispatch_stop(&e->courier.dispatch, true);
    hw_schedule_stop(e->schedule);
    hw_janitor_stop(e->janitor);
    hw_backfill_stop(&e->backfill);
    hw_wheel_entry_init(&e->drain_deadline, on_drain_deadline);
    hw_loop_arm(&e->loop, &e->drain_deadline, e->config.drain_timeout_ms);
    hw_ingest_stop(e->ingest, on_ingest_stopped, e);
}

/* ---- close ---- */

static void close_next(struct hw_engine *e);

static void on_step_closed(void *data)
{
    close_next(data);
}

/* Each step closes one thing, or passes at once where it was never opened. */
static void close_api(struct hw_engine *e)
{
    struct hw_api *api = e->api;

    e->api = NULL;
    if (e->has_courier)
        hw_backfill_stop(&e->backfill); /* who waits for one is told */
    if (api != NULL)
        hw_api_close(api, on_step_closed, e);
    else
        close_next(e);
}

static void close_ingest(struct hw_engine *e)
{
    if (e->ingest != NULL)
        hw_ingest_close(e->ingest, on_step_closed, e);
    else
        close_next(e);
}

static void close_notices(struct hw_engine *e)
{
    if (e->notices != NULL)
        hw_notices_close(e->notices, on_step_closed, e);
    else
        close_next(e);
}

static void close_client(struct hw_engine *e)
{
    struct hw_client *client = e->client;

    e->client = NULL;
    if (client != NULL)
        hw_client_close(client, on_step_closed, e);
    else
        close_next(e);
}

static void close_work(struct hw_engine *e)
{
    if (e->work != NULL)
        hw_redis_close(e->work, on_step_closed, e);
    else
        close_next(e);
}

/* No connection, no answer to come: these have nothing on the loop but wheel entries. */
static void close_store(struct hw_engine *e)
{
    if (e->has_courier) {
        hw_backfill_close(&e->backfill);
        hw_backing_close(&e->backing);
        hw_sender_close(&e->sender);
    }
    if (e->schedule != NULL)
        hw_schedule_close(e->schedule);
    if (e->janitor != NULL)
        hw_janitor_close(e->janitor);
    if (e->gauge_reader != NULL)
        hw_gauge_reader_close(e->gauge_reader);
    if (e->has_courier)
        hw_courier_drop_all(&e->courier);
    if (e->ledger != NULL)
        hw_ledger_close(e->ledger);
    if (e->has_courier) {
        hw_intake_close(&e->intake);
        hw_keeper_close(&e->keeper);
        hw_courier_close(&e->courier);
    }
    hw_registry_op_close(&e->refresh);
    if (e->registry != NULL)
        hw_registry_close(e->registry);
    if (e->members != NULL)
        hw_members_close(e->members);
    close_next(e);
}

static void close_embedded(struct hw_engine *e)
{
    if (e->embedded != NULL)
        hw_embedded_close(e->embedded, on_step_closed, e);
    else
        close_next(e);
}

static void on_loop_closed(struct hw_loop *loop)
{
    close_next(HW_CONTAINER_OF(loop, struct hw_engine, loop));
}

static void close_loop(struct hw_engine *e)
{
    hw_loop_cancel(&e->loop, &e->drain_deadline);
    hw_loop_cancel(&e->loop, &e->ask_again);
    hw_turn_hook_remove(&e->pump);
    hw_loop_close(&e->loop, on_loop_closed);
}

static void close_rest(struct hw_engine *e)
{
    struct hw_engine_event event = hw_engine_event_make(HW_EVENT_STOPPED);
    void (*cb)(void *data) = e->closed_cb;
    void *data = e->closed_data;

    hw_engine_tell(e, event);
    hw_trust_close(e->trust);
    hw_redis_target_close(&e->target);
    hw_address_rules_close(&e->address_rules);
    hw_config_close(&e->config);
    hw_free(e);
    if (cb != NULL)
        cb(data);
}

static void (*const close_steps[])(struct hw_engine *e) = {
    close_api,      /* no more questions */
    close_ingest,   /* no more events */
    close_notices,  /* nor of others */
    close_client,   /* no more attempts */
    close_work,     /* no more answers */
    close_store,    /* what waited for them */
    close_embedded, /* the Redis of our own */
    close_loop,     /* time */
    close_rest,     /* memory */
};

static void close_next(struct hw_engine *e)
{
    close_steps[e->close_step++](e);
}

void hw_engine_close(struct hw_engine *e, void (*cb)(void *data), void *data)
{
    e->phase = HW_ENGINE_CLOSING;
    e->closed_cb = cb;
    e->closed_data = data;
    close_next(e);
}
