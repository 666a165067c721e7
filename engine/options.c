#include "options.h"

#define SECOND UINT64_C(1000)
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)
#define KEPT_MAX 1000000000

/* hw_flag_store writes an enum's field as an int. */
_Static_assert(sizeof(enum hw_redis_fsync) == sizeof(int), "enum fields have the size of int");
_Static_assert(sizeof(enum hw_log_level) == sizeof(int), "enum fields have the size of int");

static const char *const fsyncs[] = { "always", "everysec", "no", NULL };
static const char *const levels[] = { "debug", "info", "warn", "error", NULL };
static const char *const formats[] = { "auto", "text", "json", NULL };

#define AT(field) .offset = offsetof(struct hw_options, field)
#define HEADING(text) { .kind = HW_FLAG_HEADING, .help = text }

/* clang-format off */
static const struct hw_flag rows[] = {
    HEADING("Redis"),
    { "redis-url", HW_FLAG_SECRET, "URL", AT(config.redis_url), .traits = HW_FLAG_CLIENT,
      .help = "redis://[user:pass@]host:port/db, rediss://…, unix:///path; none: an embedded Redis in the data folder" },
    { "redis-fsync", HW_FLAG_CHOICE, "WHEN", AT(config.redis_fsync), .choices = fsyncs, .otherwise = "always",
      .help = "of the embedded Redis: always, everysec, no" },
    { "data-dir", HW_FLAG_TEXT, "DIR", AT(config.data_dir), .otherwise = "./hookwheel-data", .traits = HW_FLAG_CLIENT,
      .help = "for the embedded Redis and the generated root token; locked while in use" },
    { "key-prefix", HW_FLAG_TEXT, "NAME", AT(config.key_prefix), .otherwise = "hookwheel", .traits = HW_FLAG_CLIENT,
      .help = "every key the engine owns begins with it" },
    { "stream", HW_FLAG_TEXT, "KEY", AT(config.stream), .otherwise = "<prefix>:events", .traits = HW_FLAG_CLIENT,
      .help = "the stream that events are taken from" },
    { "group", HW_FLAG_TEXT, "NAME", AT(config.group), .otherwise = "hookwheel",
      .help = "the stream's consumer group" },
    { "consumer", HW_FLAG_TEXT, "NAME", AT(config.consumer), .otherwise = "<host>-<pid>",
      .help = "label of this instance; ownership does not rest on it" },

    HEADING("HTTP interface"),
    { "listen", HW_FLAG_TEXT, "ADDR:PORT", AT(config.listen), .otherwise = "127.0.0.1:8420",
      .help = "API and metrics; port 0: any free one" },
    { "ops-listen", HW_FLAG_TEXT, "ADDR:PORT", AT(config.ops_listen),
      .help = "when set, /healthz, /readyz, /metrics are served here and no longer on the other" },
    { "api-token", HW_FLAG_SECRET, "TOKEN", AT(config.api_token), .otherwise = "made on first start",
      .help = "root token, 16 to 256 visible characters; all instances share it" },
    { "api-token-file", HW_FLAG_TEXT, "FILE", AT(api_token_file), .otherwise = "<data-dir>/root-token",
      .help = "file to read the root token from; the generated one is kept with mode 0600" },
    { "replace-root-token", HW_FLAG_SWITCH, NULL, AT(config.replace_root_token), .traits = HW_FLAG_NO_ENV,
      .help = "take this root token even where Redis knows another one" },
    { "api-rate", HW_FLAG_COUNT, "N", AT(config.api_rate_per_s), .max = 1000000, .otherwise = "0",
      .help = "requests per second a token, at each instance; 0: no limit; the root token is exempt" },
    { "api-max-connections", HW_FLAG_COUNT, "N", AT(config.api_max_connections), .min = 1, .max = 1000000, .otherwise = "4096",
      .help = "connections to the API open at once" },

    HEADING("Deliveries"),
    { "timeout", HW_FLAG_DURATION, "TIME", AT(config.timeout_ms), .min = 1, .max = HOUR, .otherwise = "10s",
      .help = "of an attempt: from its first use of the network to the end of the response's head" },
    { "retry-schedule", HW_FLAG_SCHEDULE, "TIMES", AT(config.retry_schedule_ms), offsetof(struct hw_options, config.n_retries),
      .min = 1, .max = 30 * DAY, .otherwise = "1m,5m,30m,120m",
      .help = "delay after each failed attempt; attempts are entries + 1; none: a single attempt" },
    { "retry-jitter", HW_FLAG_FRACTION, "FRACTION", AT(config.retry_jitter), .otherwise = "0",
      .help = "added to a delay at random, 0 to 1" },
    { "disable-after", HW_FLAG_COUNT, "N", AT(config.disable_after), .max = 1000000, .otherwise = "10",
      .help = "dead letters in a row that disable a webhook; 0: never" },
    { "max-webhooks", HW_FLAG_COUNT, "N", AT(config.max_webhooks), .min = 1, .max = 1000000, .otherwise = "10",
      .help = "webhooks an account" },
    { "max-in-flight", HW_FLAG_COUNT, "N", AT(config.max_in_flight), .min = 1, .max = 1000000, .otherwise = "10000",
      .help = "attempts under way at once, an instance" },
    { "max-in-flight-per-webhook", HW_FLAG_COUNT, "N", AT(config.max_in_flight_per_webhook), .min = 1, .max = 100000, .otherwise = "64",
      .help = "default of a webhook's max_in_flight" },
    { "max-payload", HW_FLAG_SIZE, "SIZE", AT(config.max_payload_bytes), .min = 1, .max = 16 * 1024 * 1024, .otherwise = "256KiB",
      .traits = HW_FLAG_CLIENT,
      .help = "largest payload of an event" },
    { "drain-timeout", HW_FLAG_DURATION, "TIME", AT(config.drain_timeout_ms), .max = HOUR, .otherwise = "the timeout",
      .help = "how long attempts in flight may go on after SIGTERM" },

    HEADING("Receivers"),
    { "allow-http-localhost", HW_FLAG_SWITCH, NULL, AT(config.allow_http_localhost), .otherwise = "0",
      .help = "1: http:// URLs for localhost, 127.0.0.1 and [::1] are allowed" },
    { "allow-networks", HW_FLAG_TEXT, "CIDRS", AT(config.allow_networks),
      .help = "networks that are not refused (an internal network): 10.0.0.0/8,fd00::/8" },
    { "ca-file", HW_FLAG_TEXT, "FILE", AT(config.ca_file), .traits = HW_FLAG_CLIENT,
      .help = "more trusted roots, PEM" },
    { "dns-servers", HW_FLAG_TEXT, "ADDRS", AT(config.dns_servers), .traits = HW_FLAG_HIDDEN,
      .help = "name servers to ask instead of the system's (tests)" },
    { "hosts-file", HW_FLAG_TEXT, "FILE", AT(config.hosts_file), .traits = HW_FLAG_HIDDEN,
      .help = "instead of /etc/hosts (tests)" },

    HEADING("What is kept"),
    { "feed-retention", HW_FLAG_DURATION, "TIME", AT(config.feed_retention_ms), .min = SECOND, .max = 3650 * DAY, .otherwise = "7d",
      .help = "events in an account's feed, by age" },
    { "feed-max", HW_FLAG_NUMBER, "N", AT(config.feed_max), .min = 1, .max = KEPT_MAX, .otherwise = "100000",
      .help = "events in an account's feed, by number" },
    { "history-retention", HW_FLAG_DURATION, "TIME", AT(config.history_retention_ms), .min = SECOND, .max = 3650 * DAY, .otherwise = "7d",
      .help = "finished deliveries of a webhook, by age" },
    { "history-max", HW_FLAG_NUMBER, "N", AT(config.history_max), .min = 1, .max = KEPT_MAX, .otherwise = "10000",
      .help = "delivered deliveries of a webhook, by number" },
    { "dead-letter-max", HW_FLAG_NUMBER, "N", AT(config.dead_letter_max), .min = 1, .max = KEPT_MAX, .otherwise = "100000",
      .help = "dead letters of a webhook, by number" },
    { "backlog-max", HW_FLAG_NUMBER, "N", AT(config.backlog_max), .min = 1, .max = KEPT_MAX, .otherwise = "100000",
      .help = "deliveries of a webhook waiting; beyond it the oldest becomes a dead letter" },
    { "dedup-max", HW_FLAG_NUMBER, "N", AT(config.dedup_max), .max = KEPT_MAX, .otherwise = "200000",
      .help = "producers' event ids remembered, for 24 h" },
    { "rejected-max", HW_FLAG_NUMBER, "N", AT(config.rejected_max), .max = KEPT_MAX, .otherwise = "10000",
      .help = "rejected entries kept" },

    HEADING("The daemon itself"),
    { "log-level", HW_FLAG_CHOICE, "LEVEL", AT(log_level), .choices = levels, .otherwise = "info",
      .help = "debug, info, warn, error" },
    { "log-format", HW_FLAG_CHOICE, "FORMAT", AT(log_format), .choices = formats, .otherwise = "auto",
      .help = "text, json; auto: text on a terminal, else json" },
    { "check", HW_FLAG_SWITCH, NULL, AT(wants_check), .traits = HW_FLAG_NO_ENV,
      .help = "check the settings and exit" },
    { "help", HW_FLAG_SWITCH, NULL, AT(wants_help), .traits = HW_FLAG_NO_ENV,
      .help = "print this and exit" },
    { "help-markdown", HW_FLAG_SWITCH, NULL, AT(wants_markdown), .traits = HW_FLAG_NO_ENV | HW_FLAG_HIDDEN,
      .help = "print the table of the README and exit" },
};
/* clang-format on */

void hw_options_init(struct hw_options *o)
{
    *o = (struct hw_options){ .log_level = HW_LOG_INFO, .log_format = HW_LOG_AUTO };
    hw_config_init(&o->config);
}

struct hw_flag_set hw_options_flags(struct hw_options *o, unsigned traits)
{
    return (struct hw_flag_set){ .rows = rows,
                                 .n_rows = sizeof rows / sizeof *rows,
                                 .into = o,
                                 .traits = traits };
}

enum hw_status hw_options_read(struct hw_options *o, int argc, char **argv,
                               struct hw_cause *cause)
{
    struct hw_flag_set set = hw_options_flags(o, 0);
    enum hw_status status = hw_flags_read(&set, 1, argc, argv, NULL, cause);

    if (status == HW_OK && o->config.api_token != NULL && o->api_token_file != NULL)
        status = hw_cause_set(cause, HW_EINVAL, HW_ORIGIN_US, 0,
                              "api-token and api-token-file are both set: set one of them");
    return status;
}
