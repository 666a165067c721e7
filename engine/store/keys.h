/*
 * keys - the names of the keys in Redis, and what every part of store shares.
 *
 * Everything the engine owns begins with the prefix; keys that one script touches carry the
 * tag "<prefix>:{s0}:" (REDIS layout, version HW_SCHEMA).  The number of shards is one, here.
 *
 * The instance's id and epoch are the fence: every script compares them with the hash
 * <tag>inst first and answers FENCED where they differ.  The id is new at each start and
 * after each takeover, the epoch at each connection, so that a command left over in the
 * socket of a lost connection can never be carried out after we have looked what became
 * of it.
 *
 * Errors    hw_keys_init: HW_EINVAL for a name that is too long or has braces.
 */
#ifndef HW_STORE_KEYS_H
#define HW_STORE_KEYS_H

#include "core/metrics.h"
#include "loop/loop.h"
#include "redis/command.h"
#include "store/redis.h"

#define HW_SCHEMA            1 /* what this engine writes */
#define HW_SCHEMA_MIN_READER 1 /* the oldest engine that may read it */
#define HW_SHARDS            1

#define HW_KEY_MAX        256 /* prefix, stream, group; with the NUL */
#define HW_INSTANCE_CHARS 26  /* 128 random bits in base32 */

struct hw_keys {
    char tag[HW_KEY_MAX + 8];       /* "hookwheel:{s0}:" */
    char meta[HW_KEY_MAX + 8];      /* "hookwheel:meta" */
    char rejected[HW_KEY_MAX + 16]; /* "hookwheel:rejected" */
    char events[HW_KEY_MAX];        /* the ingress stream */
    char group[HW_KEY_MAX];
};

/* NULL or "" for stream and group: "<prefix>:events", "hookwheel". */
HW_MUST_USE enum hw_status hw_keys_init(struct hw_keys *k, const char *prefix,
                                        const char *stream, const char *group,
                                        struct hw_cause *cause);

/* One for all of store; the engine fills the first four. */
struct hw_store {
    struct hw_loop *loop;       /* borrowed */
    struct hw_redis *work;      /* borrowed: the connection for everything but intake */
    struct hw_metrics *metrics; /* borrowed */
    struct hw_keys keys;
    char instance[HW_INSTANCE_CHARS + 1]; /* set by members; "": not joined */
    char epoch[24];                       /* set by members */
    char engine_key[33];                  /* set by members: marks our own ingress entries */
    uint32_t feed_epoch;                  /* set by members: which life of this Redis */
    uint64_t history_max;                 /* set by ledger: delivered ones kept a webhook */
};

/* Begin a script of ours: KEYS <tag>inst, then `key` and `key2` where not NULL;
 * ARGV tag, instance, epoch.  The caller adds its arguments. */
void hw_store_eval(const struct hw_store *store, struct hw_command *c,
                   const struct hw_script *script, const char *key, const char *key2);

/* `array` (allocated with hw_malloc, or NULL) with room for one more than n elements, moved
 * if need be; NULL: out of memory, and it is as before. */
HW_MUST_USE void *hw_store_grow(void *array, size_t n, size_t *cap, size_t each_bytes);

/* Text of 128 random bits: an instance's id, the engine's key. */
void hw_store_random(char out[HW_INSTANCE_CHARS + 1]);

/* Any number: of the feeds' epoch. */
uint32_t hw_store_random_number(void);

#endif
