#include "hookwheel/config.h"

#include <arpa/inet.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/slice.h"
#include "hookwheel/alloc.h"
#include "rules/address.h"
#include "store/redis.h"

#define SECOND_MS UINT64_C(1000)
#define MINUTE_MS (60 * SECOND_MS)
#define DAY_MS    (24 * 60 * MINUTE_MS)

enum { PREFIX_MAX = 64, NAME_MAX_BYTES = 256, TOKEN_MIN = 16, TOKEN_MAX = 256 };

void hw_config_init(struct hw_config *config)
{
    *config = (struct hw_config){
        .redis_fsync = HW_REDIS_FSYNC_ALWAYS,
        .data_dir = "./hookwheel-data",
        .key_prefix = "hookwheel",
        .group = "hookwheel",
        .listen = "127.0.0.1:8420",
        .api_max_connections = 4096,
        .timeout_ms = 10 * SECOND_MS,
        .retry_schedule_ms = { MINUTE_MS, 5 * MINUTE_MS, 30 * MINUTE_MS, 120 * MINUTE_MS },
        .n_retries = 4,
        .disable_after = 10,
        .max_webhooks = 10,
        .max_in_flight = 10000,
        .max_in_flight_per_webhook = 64,
        .max_payload_bytes = 256 * 1024,
        .drain_timeout_ms = HW_CONFIG_DRAIN_AS_TIMEOUT,
        .feed_retention_ms = 7 * DAY_MS,
        .feed_max = 100000,
        .history_retention_ms = 7 * DAY_MS,
        .history_max = 10000,
        .dead_letter_max = 100000,
        .backlog_max = 100000,
        .dedup_max = 200000,
        .rejected_max = 10000,
    };
}

/* Numbers: one line each, the same bounds as the program's flags (options.c). */
struct range {
    const char *name;
    uint64_t value, min, max;
};

static enum hw_status config_check_numbers(const struct hw_config *c, struct hw_cause *cause)
{
    const struct range ranges[] = {
        { "api_max_connections", c->api_max_connections, 1, 1000000 },
        { "timeout_ms", c->timeout_ms, 1, 60 * MINUTE_MS },
        { "n_retries", c->n_retries, 0, HW_CONFIG_RETRIES_MAX },
        { "max_webhooks", c->max_webhooks, 1, 1000000 },
        { "max_in_flight", c->max_in_flight, 1, 1000000 },
        { "max_in_flight_per_webhook", c->max_in_flight_per_webhook, 1, 100000 },
        { "max_payload_bytes", c->max_payload_bytes, 1, 16 * 1024 * 1024 },
        { "feed_retention_ms", c->feed_retention_ms, SECOND_MS, 3650 * DAY_MS },
        { "feed_max", c->feed_max, 1, 1000000000 },
        { "history_retention_ms", c->history_retention_ms, SECOND_MS, 3650 * DAY_MS },
        { "history_max", c->history_max, 1, 1000000000 },
        { "dead_letter_max", c->dead_letter_max, 1, 1000000000 },
        { "backlog_max", c->backlog_max, 1, 1000000000 },
        { "dedup_max", c->dedup_max, 0, 1000000000 },
        { "rejected_max", c->rejected_max, 0, 1000000000 },
    };

    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++) {
        const struct range *r = &ranges[i];
        if (r->value < r->min || r->value > r->max)
            return hw_cause_set(cause, HW_EINVAL, HW_ORIGIN_US, 0,
                                "%s: %llu is not between %llu and %llu", r->name,
                                (unsigned long long)r->value, (unsigned long long)r->min,
                                (unsigned long long)r->max);
    }
    return HW_OK;
}

static enum hw_status config_check_schedule(const struct hw_config *c, struct hw_cause *cause)
{
    for (unsigned i = 0; i < c->n_retries; i++)
        if (c->retry_schedule_ms[i] < 1 || c->retry_schedule_ms[i] > 30 * DAY_MS)
            return hw_cause_set(cause, HW_EINVAL, HW_ORIGIN_US, 0,
                                "retry_schedule_ms: entry %u is not between 1 ms and 30 days",
                                i + 1);
    if (!(c->retry_jitter >= 0 && c->retry_jitter <= 1))
        return hw_cause_set(cause, HW_EINVAL, HW_ORIGIN_US, 0,
                            "retry_jitter: not between 0 and 1");
    if (c->drain_timeout_ms != HW_CONFIG_DRAIN_AS_TIMEOUT &&
        c->drain_timeout_ms > 60 * MINUTE_MS)
        return hw_cause_set(cause, HW_EINVAL, HW_ORIGIN_US, 0,
                            "drain_timeout_ms: over an hour");
    return HW_OK;
}

static bool is_visible(struct hw_slice s, size_t min, size_t max)
{
    if (s.len < min || s.len > max)
        return false;
    for (size_t i = 0; i < s.len; i++)
        if (s.data[i] <= ' ' || s.data[i] > '~')
            return false;
    return true;
}

/* No braces: the engine puts the hash tag that decides a key's slot in itself. */
static bool prefix_is_good(struct hw_slice s)
{
    return is_visible(s, 1, PREFIX_MAX) && hw_slice_find(s, '{') == s.len &&
           hw_slice_find(s, '}') == s.len;
}

static enum hw_status config_check_name(const char *name, const char *value,
                                        struct hw_cause *cause)
{
    if (is_visible(hw_slice_str(value), 1, NAME_MAX_BYTES))
        return HW_OK;
    return hw_cause_set(cause, HW_EINVAL, HW_ORIGIN_US, 0,
                        "%s: must be 1 to %d visible ASCII characters", name, NAME_MAX_BYTES);
}

static enum hw_status config_check_names(const struct hw_config *c, struct hw_cause *cause)
{
    enum hw_status status = HW_OK;

    if (!prefix_is_good(hw_slice_str(c->key_prefix)))
        return hw_cause_set(cause, HW_EINVAL, HW_ORIGIN_US, 0,
                            "key_prefix: must be 1 to %d visible ASCII characters without "
                            "braces",
                            PREFIX_MAX);
    if (c->stream != NULL)
        status = config_check_name("stream", c->stream, cause);
    if (status == HW_OK)
        status = config_check_name("group", c->group, cause);
    if (status == HW_OK && c->consumer != NULL)
        status = config_check_name("consumer", c->consumer, cause);
    if (status == HW_OK && !is_visible(hw_slice_str(c->api_token), TOKEN_MIN, TOKEN_MAX))
        /* The value is a secret: not quoted. */
        return hw_cause_set(cause, HW_EINVAL, HW_ORIGIN_US, 0,
                            "api_token: must be %d to %d visible ASCII characters", TOKEN_MIN,
                            TOKEN_MAX);
    return status;
}

/* "a.b.c.d:port", "[v6]:port" or "localhost:port". */
static bool listen_is_good(struct hw_slice text)
{
    char host[INET6_ADDRSTRLEN];
    unsigned char address[16];
    uint64_t port;
    size_t colon = text.len;
    struct hw_slice h;
    bool is_v6;

    while (colon > 0 && text.data[colon - 1] != ':')
        colon--;
    if (colon == 0 || !hw_slice_u64(hw_slice_from(text, colon), UINT16_MAX, &port))
        return false;
    h = hw_slice(text.data, colon - 1);
    is_v6 = h.len >= 2 && h.data[0] == '[' && h.data[h.len - 1] == ']';
    if (is_v6)
        h = hw_slice(h.data + 1, h.len - 2);
    if (hw_slice_is(h, "localhost"))
        return true;
    if (h.len >= sizeof host)
        return false;
    snprintf(host, sizeof host, "%.*s", HW_SLICE_FMT(h));
    return inet_pton(is_v6 ? AF_INET6 : AF_INET, host, address) == 1;
}

static enum hw_status config_check_listen(const char *name, const char *value,
                                          struct hw_cause *cause)
{
    if (value != NULL && listen_is_good(hw_slice_str(value)))
        return HW_OK;
    return hw_cause_set(cause, HW_EINVAL, HW_ORIGIN_US, 0,
                        "%s: \"%.60s\" is not ADDRESS:PORT (like 127.0.0.1:8420 or "
                        "[::]:8420)",
                        name, value ? value : "");
}

/* Put the field's name in front of what a parser below said. */
static enum hw_status name_cause(struct hw_cause *cause, const char *name,
                                 const struct hw_cause *why)
{
    return hw_cause_set(cause, why->status, why->origin, why->code, "%s: %.120s", name,
                        why->note);
}

static enum hw_status config_check_places(const struct hw_config *c, struct hw_cause *cause)
{
    struct hw_cause why = { 0 };
    struct hw_redis_target target;
    struct hw_address_rules rules;
    enum hw_status status;

    if (c->redis_url != NULL) {
        if (hw_redis_target_parse(&target, hw_slice_str(c->redis_url), &why) != HW_OK)
            return name_cause(cause, "redis_url", &why);
        hw_redis_target_close(&target);
    } else if (c->data_dir == NULL || c->data_dir[0] == '\0') {
        return hw_cause_set(cause, HW_EINVAL, HW_ORIGIN_US, 0,
                            "data_dir: the embedded Redis needs a folder");
    }
    if (c->allow_networks != NULL) {
        if (hw_address_rules_parse(&rules, hw_slice_str(c->allow_networks), &why) != HW_OK)
            return name_cause(cause, "allow_networks", &why);
        hw_address_rules_close(&rules);
    }
    status = config_check_listen("listen", c->listen, cause);
    if (status == HW_OK && c->ops_listen != NULL)
        status = config_check_listen("ops_listen", c->ops_listen, cause);
    return status;
}

enum hw_status hw_config_check(const struct hw_config *config, struct hw_cause *cause)
{
    enum hw_status status = config_check_numbers(config, cause);

    if (status == HW_OK)
        status = config_check_schedule(config, cause);
    if (status == HW_OK)
        status = config_check_names(config, cause);
    if (status == HW_OK)
        status = config_check_places(config, cause);
    return status;
}

/* ------------------------------------------------------------------ copy */

#define STRINGS_MAP(X)                                                                        \
    X(redis_url)                                                                              \
    X(data_dir)                                                                               \
    X(key_prefix)                                                                             \
    X(stream)                                                                                 \
    X(group)                                                                                  \
    X(consumer)                                                                               \
    X(listen)                                                                                 \
    X(ops_listen)                                                                             \
    X(api_token)                                                                              \
    X(allow_networks)                                                                         \
    X(ca_file)                                                                                \
    X(dns_servers)                                                                            \
    X(hosts_file)

static size_t text_bytes(const char *s)
{
    return s ? strlen(s) + 1 : 0;
}

static const char *text_put(char **at, const char *s)
{
    char *put = *at;
    size_t n = text_bytes(s);

    if (s == NULL)
        return NULL;
    memcpy(put, s, n);
    *at += n;
    return put;
}

enum hw_status hw_config_copy(struct hw_config *to, const struct hw_config *from)
{
    char stream[PREFIX_MAX + sizeof ":events"];
    char consumer[HOST_NAME_MAX + 32];
    char host[HOST_NAME_MAX + 1] = "localhost";
    struct hw_config copy = *from;
    size_t n_bytes = 1;
    char *at;

    if (copy.stream == NULL) {
        snprintf(stream, sizeof stream, "%.*s:events", PREFIX_MAX, copy.key_prefix);
        copy.stream = stream;
    }
    if (copy.consumer == NULL) {
        gethostname(host, sizeof host - 1);
        snprintf(consumer, sizeof consumer, "%s-%ld", host, (long)getpid());
        copy.consumer = consumer;
    }
    if (copy.drain_timeout_ms == HW_CONFIG_DRAIN_AS_TIMEOUT)
        copy.drain_timeout_ms = copy.timeout_ms;

#define X(field) n_bytes += text_bytes(copy.field);
    STRINGS_MAP(X)
#undef X
    at = hw_malloc(n_bytes);
    if (at == NULL)
        return HW_ENOMEM;
    copy.owned = at;
#define X(field) copy.field = text_put(&at, copy.field);
    STRINGS_MAP(X)
#undef X
    *to = copy;
    return HW_OK;
}

void hw_config_close(struct hw_config *config)
{
    if (config->owned == NULL)
        return;
    hw_free(config->owned); /* every string pointed into it */
#define X(field) config->field = NULL;
    STRINGS_MAP(X)
#undef X
    config->owned = NULL;
}
