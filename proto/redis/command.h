/*
 * command - one Redis command being put together, in RESP.
 *
 * Arguments are appended one by one; the count goes in front when it is sent, so that a
 * script with thousands of arguments is written in one pass without a copy.
 *
 * Memory    one buffer, owned; may be used again after reset.
 * Errors    a failed append is remembered (hw_buf_failed(&c->args)) and met when it is sent.
 */
#ifndef HW_REDIS_COMMAND_H
#define HW_REDIS_COMMAND_H

#include "base/buf.h"

#define HW_COMMAND_MAX (64u * 1024 * 1024)

struct hw_script {
    const char *name;
    const char *text;
    const char *sha1; /* of text, 40 hex characters; computed at build time */
};

struct hw_command {
    struct hw_buf args; /* "$<len>\r\n<bytes>\r\n" each */
    unsigned n_args;
    const struct hw_script *script; /* for EVALSHA; NULL: a plain command */
};

void hw_command_init(struct hw_command *c);
void hw_command_reset(struct hw_command *c);
void hw_command_close(struct hw_command *c);

void hw_command_add(struct hw_command *c, struct hw_slice arg);
void hw_command_str(struct hw_command *c, const char *arg);
void hw_command_u64(struct hw_command *c, uint64_t arg);
void hw_command_fmt(struct hw_command *c, const char *fmt, ...) HW_PRINTF(2, 3);

/* Begin an EVALSHA: then add n_keys keys, then the arguments. */
void hw_command_eval(struct hw_command *c, const struct hw_script *script, unsigned n_keys);

#endif
