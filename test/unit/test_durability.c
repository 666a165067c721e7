/* durability: what INFO and CONFIG say, judged; and asked of a real redis-server. */
#include "check.h"

#include "store/durability.h"
#include "support/redis_server.h"

#define SOUND                                                                                 \
    "# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\n\r\n# Memory\r\n"           \
    "used_memory:1000\r\nmaxmemory:0\r\nmaxmemory_policy:noeviction\r\n# Persistence\r\n"     \
    "loading:0\r\naof_enabled:1\r\naof_last_write_status:ok\r\n# "                            \
    "Replication\r\nrole:master\r\n"

static void judge(const char *info, const char *fsync, enum hw_durability level,
                  enum hw_durability_verdict verdict, const char *words)
{
    struct hw_durability_report r = { 0 };
    struct hw_reply items[2] = { { .kind = HW_REPLY_TEXT, .text = HW_SLICE("appendfsync") },
                                 { .kind = HW_REPLY_TEXT, .text = hw_slice_str(fsync) } };
    struct hw_reply config = { .kind = HW_REPLY_ARRAY, .items = items, .n_items = 2 };
    char line[200];

    hw_durability_read_info(&r, hw_slice_str(info));
    if (fsync != NULL)
        hw_durability_read_config(&r, &config);
    CHECK_STR(hw_durability_level_name(hw_durability_level(&r)),
              hw_durability_level_name(level));
    CHECK_INT(hw_durability_judge(&r, line, sizeof line), ==, verdict);
    CHECK_CONTAINS(line, words);
}

CASE(levels)
{
    judge(SOUND, "always", HW_DURABILITY_ALWAYS, HW_DURABILITY_SAFE, "always");
    judge(SOUND, "everysec", HW_DURABILITY_EVERYSEC, HW_DURABILITY_AT_RISK, "last second");
    judge(SOUND, "no", HW_DURABILITY_NONE, HW_DURABILITY_AT_RISK, "half minute");
    judge(SOUND, NULL, HW_DURABILITY_UNKNOWN, HW_DURABILITY_AT_RISK, "CONFIG is refused");
    judge(SOUND "aof_enabled:0\r\n", "always", HW_DURABILITY_NONE, HW_DURABILITY_AT_RISK,
          "no append-only file");
    judge("", NULL, HW_DURABILITY_UNKNOWN, HW_DURABILITY_AT_RISK, "not known");
    judge(SOUND "aof_last_write_status:err\r\n", "always", HW_DURABILITY_ALWAYS,
          HW_DURABILITY_AT_RISK, "cannot be written");
}

CASE(refusals)
{
    judge(SOUND "redis_version:6.0.16\r\n", "always", HW_DURABILITY_ALWAYS,
          HW_DURABILITY_REFUSED, "6.0.16 is too old: 6.2");
    judge(SOUND "redis_version:5.0\r\n", "always", HW_DURABILITY_ALWAYS, HW_DURABILITY_REFUSED,
          "too old");
    judge(SOUND "redis_version:6.2.0\r\n", "always", HW_DURABILITY_ALWAYS, HW_DURABILITY_SAFE,
          "");
    judge(SOUND "redis_version:10.0\r\n", "always", HW_DURABILITY_ALWAYS, HW_DURABILITY_SAFE,
          "");
    judge(SOUND "role:slave\r\n", "always", HW_DURABILITY_ALWAYS, HW_DURABILITY_REFUSED,
          "replica");
    judge(SOUND "redis_mode:cluster\r\n", "always", HW_DURABILITY_ALWAYS,
          HW_DURABILITY_REFUSED, "cluster");
    judge(SOUND "maxmemory:100\r\nmaxmemory_policy:allkeys-lru", "always",
          HW_DURABILITY_ALWAYS, HW_DURABILITY_REFUSED, "allkeys-lru");
    judge(SOUND "maxmemory:0\r\nmaxmemory_policy:allkeys-lru\r\n", "always",
          HW_DURABILITY_ALWAYS, HW_DURABILITY_SAFE, "");
    judge(SOUND "maxmemory:100\r\n", "always", HW_DURABILITY_ALWAYS, HW_DURABILITY_SAFE, "");
}

CASE(odd_bytes)
{
    struct hw_durability_report r = { 0 };

    hw_durability_read_info(&r, HW_SLICE(":\n::\n\r\nredis_version\nmaxmemory:x\nrole:\n"
                                         "redis_version:111111111111111111111111111111111111\n"
                                         "used_memory:99"));
    CHECK_INT(r.memory_max, ==, 0);
    CHECK_INT(r.memory_used, ==, 99);
    CHECK_INT(strlen(r.version), ==, sizeof r.version - 1);
    CHECK(r.is_replica);
}

/* --- asked --- */

struct fixture {
    struct redis_server server;
    uv_loop_t uv;
    struct hw_loop loop;
    struct hw_metrics metrics;
    struct hw_redis_target target;
    struct hw_redis *redis;
    struct hw_durability_ask ask;
    int n_answers;
    enum hw_redis_trouble trouble;
};

static void on_closed(void *data)
{
    struct fixture *f = data;

    hw_loop_close(&f->loop, NULL);
}

static void on_report(struct hw_durability_ask *ask, enum hw_redis_trouble trouble,
                      const struct hw_cause *cause)
{
    struct fixture *f = HW_CONTAINER_OF(ask, struct fixture, ask);

    (void)cause;
    f->n_answers++;
    f->trouble = trouble;
    hw_redis_close(f->redis, on_closed, f);
}

static void on_up(void *data)
{
    struct fixture *f = data;

    CHECK_INT(hw_durability_send(&f->ask, f->redis, on_report), ==, HW_OK);
}

static void on_down(void *data, const struct hw_cause *cause)
{
    (void)data;
    CHECK_FAIL("%s", cause->note);
}

static const struct hw_redis_events events = { .on_up = on_up, .on_down = on_down };

/* Runs a server with these arguments and asks it. */
static void ask_server(struct fixture *f, const char *const *arguments)
{
    struct hw_redis_options options = {
        .target = &f->target, .metrics = &f->metrics, .events = &events, .data = f
    };
    char url[120];

    memset(f, 0, sizeof *f);
    redis_server_init(&f->server);
    redis_server_start(&f->server, arguments);
    CHECK_INT(uv_loop_init(&f->uv), ==, 0);
    CHECK_INT(hw_loop_init(&f->loop, &f->uv, NULL), ==, HW_OK);
    hw_metrics_init(&f->metrics);
    snprintf(url, sizeof url, "unix://%s", f->server.socket);
    CHECK_INT(hw_redis_target_parse(&f->target, hw_slice_str(url), NULL), ==, HW_OK);
    CHECK_INT(hw_redis_open(&f->redis, &f->loop, &options, NULL), ==, HW_OK);
    uv_run(&f->uv, UV_RUN_DEFAULT);
    CHECK_INT(uv_loop_close(&f->uv), ==, 0);
    CHECK_INT(f->n_answers, ==, 1);
    hw_redis_target_close(&f->target);
    redis_server_close(&f->server);
}

CASE(a_real_server)
{
    static const char *const arguments[] = { "--appendfsync", "always", "--maxmemory", "100mb",
                                             NULL };
    struct fixture f;
    char line[200];

    ask_server(&f, arguments);
    CHECK_INT(f.trouble, ==, HW_REDIS_FINE);
    CHECK_INT(hw_durability_level(&f.ask.report), ==, HW_DURABILITY_ALWAYS);
    CHECK_INT(f.ask.report.memory_max, ==, 100 << 20);
    CHECK_INT(f.ask.report.memory_used, >, 100000);
    CHECK_INT(f.ask.report.has_snapshots, ==, HW_KNOWN_NO);
    CHECK_INT(hw_durability_judge(&f.ask.report, line, sizeof line), ==, HW_DURABILITY_SAFE);
}

CASE(a_server_that_refuses_config)
{
    static const char *const arguments[] = { "--rename-command", "CONFIG", "HIDDEN", NULL };
    struct fixture f;

    ask_server(&f, arguments);
    CHECK_INT(f.trouble, ==, HW_REDIS_FINE);
    CHECK_INT(f.ask.report.has_aof, ==, HW_KNOWN_YES);
    CHECK_INT(hw_durability_level(&f.ask.report), ==, HW_DURABILITY_UNKNOWN);
}
