/*
 * greeting - what is said to Redis before the first request: AUTH, SELECT, CLIENT SETNAME and
 * PING, in one piece; and what its answers mean.
 *
 * Pure: bytes to send, replies in.  PING is the judge, since all before it are allowed while
 * Redis loads its data.
 */
#ifndef HW_STORE_GREETING_H
#define HW_STORE_GREETING_H

#include "base/buf.h"
#include "redis/reply.h"
#include "store/redis.h"

enum hw_greeting_step {
    HW_GREETING_AUTH,
    HW_GREETING_SELECT,
    HW_GREETING_NAME,
    HW_GREETING_PING,
    HW_GREETING_STEPS
};

struct hw_greeting {
    enum hw_greeting_step steps[HW_GREETING_STEPS]; /* answers due, in order */
    unsigned n_steps;
    unsigned n_answered;
};

enum hw_greeting_result {
    HW_GREETING_MORE,  /* another answer is due */
    HW_GREETING_DONE,  /* ready for requests */
    HW_GREETING_LATER, /* loading, or busy: say PING again in a while */
    HW_GREETING_REFUSED
};

/* Append the whole greeting, or PING alone; a failed append is met in hw_buf_failed(out).
 * `name` may be NULL. */
void hw_greeting_begin(struct hw_greeting *g, const struct hw_redis_target *target,
                       const char *name, struct hw_buf *out);
void hw_greeting_again(struct hw_greeting *g, struct hw_buf *out);

/* Is an answer due? */
static inline bool hw_greeting_expects(const struct hw_greeting *g)
{
    return g->n_answered < g->n_steps;
}

/* `where` names Redis in the cause, which is filled for LATER and REFUSED. */
enum hw_greeting_result hw_greeting_answer(struct hw_greeting *g, const struct hw_reply *reply,
                                           const char *where, struct hw_cause *cause);

#endif
