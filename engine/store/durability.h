/*
 * durability - how this Redis keeps data, asked after each connect; and what follows from it.
 *
 * INFO says most of it; CONFIG GET the rest, where it is allowed (managed servers refuse it).  The
 * reading and the judgement are pure; hw_durability_ask sends the questions.
 *
 * Memory    the question is the caller's, embedded; a report is a plain value.
 */
#ifndef HW_STORE_DURABILITY_H
#define HW_STORE_DURABILITY_H

#include "core/metrics.h"
#include "store/redis.h"

#define HW_DURABILITY_REDIS_MIN "6.2"

enum hw_known { HW_KNOWN_NOT, HW_KNOWN_NO, HW_KNOWN_YES };

struct hw_durability_report {
    char version[24]; /* of Redis; for Valkey the Redis version it says it is like */
    char valkey[24];  /* "" : not Valkey */
    char policy[24];  /* maxmemory-policy; "": not known */
    bool is_replica;
    bool is_cluster;
    bool is_loading;
    enum hw_known has_aof;
    enum hw_known has_snapshots; /* save points */
    bool is_aof_failing;         /* the last write of the file failed */
    char fsync[12];              /* appendfsync; "": not known */
    uint64_t memory_max;         /* maxmemory, bytes; 0: no limit */
    uint64_t memory_used;
};

enum hw_durability_verdict {
    HW_DURABILITY_SAFE,    /* append-only, always */
    HW_DURABILITY_AT_RISK, /* runs; the line says what may be lost */
    HW_DURABILITY_REFUSED  /* must not run on it; the line says why */
};

/* What INFO's text says, over what is in *r (all zero at first). */
void hw_durability_read_info(struct hw_durability_report *r, struct hw_slice text);
/* What CONFIG GET says: an array of name, value, name, value. */
void hw_durability_read_config(struct hw_durability_report *r, const struct hw_reply *reply);

enum hw_durability hw_durability_level(const struct hw_durability_report *r);
const char *hw_durability_level_name(enum hw_durability level); /* "always" ... "unknown" */

/* The judgement in one line. */
enum hw_durability_verdict hw_durability_judge(const struct hw_durability_report *r,
                                               char *line, size_t size);

struct hw_durability_ask;
/* trouble FINE: the report is whole, as far as CONFIG was allowed. */
typedef void (*hw_durability_cb)(struct hw_durability_ask *ask, enum hw_redis_trouble trouble,
                                 const struct hw_cause *cause);

enum { HW_DURABILITY_QUESTIONS = 4 };

struct hw_durability_ask {
    struct hw_durability_report report;
    hw_durability_cb cb;
    struct hw_durability_question {
        struct hw_redis_req req;
        struct hw_command command;
        struct hw_durability_ask *ask;
    } questions[HW_DURABILITY_QUESTIONS];
    unsigned n_waiting;
    enum hw_redis_trouble trouble; /* of INFO, or of a connection that went */
    struct hw_cause cause;
};

/* Ask once; `ask` is yours again in its callback.  Anything but HW_OK: nothing was asked. */
HW_MUST_USE enum hw_status hw_durability_send(struct hw_durability_ask *ask,
                                              struct hw_redis *redis, hw_durability_cb cb);

#endif
