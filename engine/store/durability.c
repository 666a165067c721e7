#include "store/durability.h"

#include <stdio.h>
#include <stdlib.h>

/* --- reading --- */

static void copy_word(char *out, size_t size, struct hw_slice value)
{
    snprintf(out, size, "%.*s", HW_SLICE_FMT(value));
}

static uint64_t number(struct hw_slice value)
{
    uint64_t n = 0;

    return hw_slice_u64(value, UINT64_MAX, &n) ? n : 0;
}

static enum hw_known known(bool is)
{
    return is ? HW_KNOWN_YES : HW_KNOWN_NO;
}

static void read_field(struct hw_durability_report *r, struct hw_slice name,
                       struct hw_slice value)
{
    if (hw_slice_is(name, "redis_version"))
        copy_word(r->version, sizeof r->version, value);
    else if (hw_slice_is(name, "valkey_version"))
        copy_word(r->valkey, sizeof r->valkey, value);
    else if (hw_slice_is(name, "role"))
        r->is_replica = !hw_slice_is(value, "master");
    else if (hw_slice_is(name, "redis_mode") || hw_slice_is(name, "server_mode"))
        r->is_cluster = hw_slice_is(value, "cluster");
    else if (hw_slice_is(name, "loading"))
        r->is_loading = hw_slice_is(value, "1");
    else if (hw_slice_is(name, "aof_enabled"))
        r->has_aof = known(hw_slice_is(value, "1"));
    else if (hw_slice_is(name, "aof_last_write_status"))
        r->is_aof_failing = !hw_slice_is(value, "ok");
    else if (hw_slice_is(name, "maxmemory"))
        r->memory_max = number(value);
    else if (hw_slice_is(name, "maxmemory_policy"))
        copy_word(r->policy, sizeof r->policy, value);
    else if (hw_slice_is(name, "used_memory"))
        r->memory_used = number(value);
}

/* Lines of "name:value", with comments and empty ones between. */
void hw_durability_read_info(struct hw_durability_report *r, struct hw_slice text)
{
    while (text.len > 0) {
        struct hw_slice line = hw_slice(text.data, hw_slice_find(text, '\n'));
        size_t colon;

        text = hw_slice_from(text, line.len + 1);
        if (line.len > 0 && line.data[line.len - 1] == '\r')
            line.len--;
        colon = hw_slice_find(line, ':');
        if (colon < line.len)
            read_field(r, hw_slice(line.data, colon), hw_slice_from(line, colon + 1));
    }
}

static void read_setting(struct hw_durability_report *r, struct hw_slice name,
                         struct hw_slice value)
{
    if (hw_slice_is(name, "appendonly"))
        r->has_aof = known(hw_slice_is(value, "yes"));
    else if (hw_slice_is(name, "appendfsync"))
        copy_word(r->fsync, sizeof r->fsync, value);
    else if (hw_slice_is(name, "maxmemory"))
        r->memory_max = number(value);
    else if (hw_slice_is(name, "maxmemory-policy"))
        copy_word(r->policy, sizeof r->policy, value);
    else if (hw_slice_is(name, "save"))
        r->has_snapshots = known(value.len > 0);
}

void hw_durability_read_config(struct hw_durability_report *r, const struct hw_reply *reply)
{
    for (size_t i = 0; i + 1 < reply->n_items; i += 2)
        read_setting(r, hw_reply_item(reply, i)->text, hw_reply_item(reply, i + 1)->text);
}

/* --- judging --- */

enum hw_durability hw_durability_level(const struct hw_durability_report *r)
{
    if (r->has_aof == HW_KNOWN_NO)
        return HW_DURABILITY_NONE;
    if (r->has_aof == HW_KNOWN_NOT)
        return HW_DURABILITY_UNKNOWN;
    if (strcmp(r->fsync, "always") == 0)
        return HW_DURABILITY_ALWAYS;
    if (strcmp(r->fsync, "everysec") == 0)
        return HW_DURABILITY_EVERYSEC;
    return strcmp(r->fsync, "no") == 0 ? HW_DURABILITY_NONE : HW_DURABILITY_UNKNOWN;
}

const char *hw_durability_level_name(enum hw_durability level)
{
    switch (level) {
    case HW_DURABILITY_ALWAYS:
        return "always";
    case HW_DURABILITY_EVERYSEC:
        return "everysec";
    case HW_DURABILITY_NONE:
        return "none";
    case HW_DURABILITY_UNKNOWN:
        return "unknown";
    }
    return "unknown";
}

/* "6.2" or later; a version that is not understood is taken for new. */
static bool is_too_old(const char *version)
{
    char *rest;
    long major = strtol(version, &rest, 10);
    long minor = *rest == '.' ? strtol(rest + 1, NULL, 10) : 0;

    if (rest == version)
        return false;
    return major < 6 || (major == 6 && minor < 2);
}

static bool may_evict(const struct hw_durability_report *r)
{
    return r->memory_max > 0 && r->policy[0] != '\0' && strcmp(r->policy, "noeviction") != 0;
}

/* true: it must not be used, *line says why. */
static bool is_refused(const struct hw_durability_report *r, char *line, size_t size)
{
    if (is_too_old(r->version))
        snprintf(line, size, "Redis %s is too old: %s or later is needed", r->version,
                 HW_DURABILITY_REDIS_MIN);
    else if (r->is_cluster)
        snprintf(line, size,
                 "Redis runs as a cluster, which is not supported: use a single server "
                 "or a replicated one");
    else if (r->is_replica)
        snprintf(line, size,
                 "this Redis is a replica, which takes no writes: connect to its "
                 "primary");
    else if (may_evict(r))
        snprintf(
            line, size,
            "Redis evicts keys at its memory limit (maxmemory-policy %s), which would lose "
            "events: set maxmemory-policy to noeviction",
            r->policy);
    else
        return false;
    return true;
}

static const char *risk(const struct hw_durability_report *r)
{
    if (r->is_aof_failing)
        return "the append-only file cannot be written: writes are refused until it can";
    if (r->has_aof == HW_KNOWN_NO && r->has_snapshots == HW_KNOWN_NO)
        return "Redis keeps nothing on disk: when it ends, every event in it is lost (set "
               "appendonly yes, appendfsync always)";
    if (r->has_aof == HW_KNOWN_NO)
        return "no append-only file: a crash of Redis loses what came since its last snapshot "
               "(set "
               "appendonly yes, appendfsync always)";
    switch (hw_durability_level(r)) {
    case HW_DURABILITY_ALWAYS:
        return NULL;
    case HW_DURABILITY_EVERYSEC:
        return "append-only file, appendfsync everysec: a crash of Redis or its host can lose "
               "the "
               "last second or two, more on a slow disk";
    case HW_DURABILITY_NONE:
        return "append-only file, appendfsync no: a crash of the host can lose the last half "
               "minute "
               "or more";
    case HW_DURABILITY_UNKNOWN:
        break;
    }
    if (r->has_aof == HW_KNOWN_YES)
        return "append-only file, but how often it reaches the disk is not known (CONFIG is "
               "refused): with everysec the last second can be lost";
    return "how Redis keeps data is not known: anything it loses is lost";
}

enum hw_durability_verdict hw_durability_judge(const struct hw_durability_report *r,
                                               char *line, size_t size)
{
    const char *what;

    if (is_refused(r, line, size))
        return HW_DURABILITY_REFUSED;
    what = risk(r);
    snprintf(line, size, "%s", what != NULL ? what : "append-only file, appendfsync always");
    return what != NULL ? HW_DURABILITY_AT_RISK : HW_DURABILITY_SAFE;
}

/* --- asking --- */

/* The first is INFO, without which there is no report.  One pattern each: several at once are
 * new in Redis 7. */
static const char *const questions[HW_DURABILITY_QUESTIONS][3] = {
    { "INFO", NULL, NULL },
    { "CONFIG", "GET", "append*" },
    { "CONFIG", "GET", "maxmemory*" },
    { "CONFIG", "GET", "save" },
};

static bool is_info(const struct hw_durability_question *q)
{
    return q == &q->ask->questions[0];
}

static void take_trouble(struct hw_durability_ask *ask, enum hw_redis_trouble trouble,
                         const struct hw_cause *cause)
{
    if (ask->trouble != HW_REDIS_FINE)
        return;
    ask->trouble = trouble;
    ask->cause = *cause;
}

static void on_answer(struct hw_redis_req *req, enum hw_redis_trouble trouble,
                      const struct hw_reply *reply, const struct hw_cause *cause)
{
    struct hw_durability_question *q =
        HW_CONTAINER_OF(req, struct hw_durability_question, req);
    struct hw_durability_ask *ask = q->ask;

    hw_command_close(&q->command);
    if (trouble == HW_REDIS_FINE && is_info(q))
        hw_durability_read_info(&ask->report, reply->text);
    else if (trouble == HW_REDIS_FINE)
        hw_durability_read_config(&ask->report, reply);
    else if (trouble == HW_REDIS_GONE || is_info(q))
        take_trouble(ask, trouble, cause);
    if (--ask->n_waiting > 0)
        return;
    ask->cb(ask, ask->trouble, &ask->cause);
}

static enum hw_status ask_one(struct hw_durability_question *q, const char *const words[3],
                              struct hw_redis *redis)
{
    enum hw_status status;

    hw_command_init(&q->command);
    for (int i = 0; i < 3 && words[i] != NULL; i++)
        hw_command_str(&q->command, words[i]);
    status = hw_redis_send(redis, &q->req, &q->command, on_answer);
    if (status != HW_OK)
        hw_command_close(&q->command);
    return status;
}

enum hw_status hw_durability_send(struct hw_durability_ask *ask, struct hw_redis *redis,
                                  hw_durability_cb cb)
{
    *ask = (struct hw_durability_ask){ .cb = cb, .trouble = HW_REDIS_FINE };
    for (unsigned i = 0; i < HW_DURABILITY_QUESTIONS; i++) {
        enum hw_status status;

        ask->questions[i].ask = ask;
        status = ask_one(&ask->questions[i], questions[i], redis);
        if (status != HW_OK && i == 0)
            return status;
        if (status == HW_OK)
            ask->n_waiting++; /* a CONFIG that could not be asked is one that was refused */
    }
    return HW_OK;
}
