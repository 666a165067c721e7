/*
 * config - every setting of an engine, as plain values.
 *
 * hw_config_init fills in the defaults; set the fields you care about; hand it to
 * hw_engine_open, which checks it and takes a copy of its own, so that yours may go.
 * The program fills it from the environment and flags (options.c); an embedder assigns.
 *
 *     struct hw_config config;
 *     hw_config_init(&config);
 *     config.redis_url = "redis://127.0.0.1:6379/0";
 *     config.api_token = "a-token-of-at-least-16-characters";
 *
 * Units     in the names: _ms, _bytes, _per_s.
 * Memory    the strings of a config that you fill are borrowed by it.  Those of a copy
 *           (hw_config_copy) are owned by the copy; hw_config_close frees them.
 * Errors    HW_EINVAL; the cause's note begins with the field's name.
 */
#ifndef HOOKWHEEL_CONFIG_H
#define HOOKWHEEL_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "hookwheel/status.h"

#define HW_CONFIG_RETRIES_MAX 32 /* entries of a retry schedule: attempts are one more */
#define HW_CONFIG_DRAIN_AS_TIMEOUT UINT64_MAX

/* Of the embedded Redis: when its append-only file is forced to disk. */
enum hw_redis_fsync { HW_REDIS_FSYNC_ALWAYS, HW_REDIS_FSYNC_EVERYSEC, HW_REDIS_FSYNC_NO };

struct hw_config {
    /* Redis */
    const char *redis_url;  /* NULL: an embedded redis-server in data_dir */
    enum hw_redis_fsync redis_fsync;
    const char *data_dir;   /* embedded Redis; locked while in use */
    const char *key_prefix; /* every key begins with it */
    const char *stream;     /* NULL: "<key_prefix>:events"; never NULL in a copy */
    const char *group;
    const char *consumer;   /* NULL: "<host name>-<pid>"; never NULL in a copy */

    /* HTTP interface */
    const char *listen;     /* "host:port", "[v6]:port"; port 0: any free one */
    const char *ops_listen; /* NULL: healthz, readyz and metrics are served on `listen` */
    const char *api_token;  /* the root token, 16 to 256 visible characters; required */
    bool replace_root_token; /* take api_token even where Redis holds another one's hash */
    unsigned api_rate_per_s; /* requests a token; 0: no limit */
    unsigned api_max_connections;

    /* Deliveries */
    uint64_t timeout_ms;
    uint64_t retry_schedule_ms[HW_CONFIG_RETRIES_MAX];
    unsigned n_retries;
    double retry_jitter;    /* fraction added to a delay at random, 0 to 1 */
    unsigned disable_after; /* dead letters in a row; 0: never */
    unsigned max_webhooks;  /* an account */
    unsigned max_in_flight; /* an instance */
    unsigned max_in_flight_per_webhook; /* what a webhook gets that does not say */
    size_t max_payload_bytes;
    uint64_t drain_timeout_ms; /* HW_CONFIG_DRAIN_AS_TIMEOUT; never that in a copy */

    /* Whom to connect to and believe */
    bool allow_http_localhost;
    const char *allow_networks; /* "10.0.0.0/8, ::1": not refused; NULL: none */
    const char *ca_file;        /* more trusted roots, PEM; NULL: the system's only */
    const char *dns_servers;    /* "127.0.0.1:5353"; NULL: the system's */
    const char *hosts_file;     /* NULL: /etc/hosts */

    /* What is kept */
    uint64_t feed_retention_ms;
    uint64_t feed_max; /* events an account */
    uint64_t history_retention_ms;
    uint64_t history_max;     /* delivered deliveries a webhook */
    uint64_t dead_letter_max; /* a webhook */
    uint64_t backlog_max;     /* deliveries waiting a webhook */
    uint64_t dedup_max;       /* producer ids remembered */
    uint64_t rejected_max;

    void *owned; /* private: the strings of a copy */
};

/* The defaults; allocates nothing. */
HW_API void hw_config_init(struct hw_config *config);

/* Is every field within its bounds, and can URLs, addresses and networks be read?  Nothing is
 * connected to and no file is opened. */
HW_API HW_MUST_USE enum hw_status hw_config_check(const struct hw_config *config,
                                                  struct hw_cause *cause);

/* A copy that owns its strings, with what is derived filled in: stream, consumer,
 * drain_timeout_ms.  On failure *to needs no close. */
HW_API HW_MUST_USE enum hw_status hw_config_copy(struct hw_config *to,
                                                 const struct hw_config *from);

/* Frees what a copy owns; nothing to do, and harmless, for one from hw_config_init. */
HW_API void hw_config_close(struct hw_config *config);

#endif
