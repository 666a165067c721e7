/*
 * once - Idempotency-Key: the same request again gets the same answer again.
 *
 * Before the handler: a key that is under way here already is refused (conflict); what is kept
 * under it in Redis is answered again, or refused where the body is another
 * (idempotency_conflict).  The handler passes the key on with what it creates, and the script
 * that creates it keeps the answer in the same step; so two instances asked at once create one
 * thing too.  Only 2xx answers are kept, for 24 h.
 *
 * Memory    embedded in its call; in api->once_keys from begin to end.
 * Cost      set: SHA-256 over the body; begin: a walk over the keys under way.
 */
#ifndef HW_API_ONCE_H
#define HW_API_ONCE_H

#include "api/backend.h"
#include "api/problem.h"
#include "base/list.h"

#define HW_ONCE_HEADER_MAX 255

struct hw_once {
    struct hw_list link; /* in api->once_keys while under way */
    char
        key[64 + 1 + 16 + 1 + 65]; /* "<account>:<route>:<hex SHA-256 of the key>"; "": none */
    char prefix[64 + 3 + 1];       /* hex SHA-256 of the body, and the status of success */
};

void hw_once_init(struct hw_once *o);

/* The account of root's key: the one that the body names, that of its first event, or
 * "default".  `room` may be where it is written. */
const char *hw_once_root_account(struct hw_slice body, char room[65]);

/* Fill it from the header's value; false: *p names the header. */
HW_MUST_USE bool hw_once_set(struct hw_once *o, struct hw_slice header, const char *account,
                             const char *route, struct hw_slice body, int status,
                             struct hw_problem *p);

/* Take the key; false: another request with it is under way here, *p says so. */
HW_MUST_USE bool hw_once_begin(struct hw_once *o, struct hw_list *under_way,
                               struct hw_problem *p);
void hw_once_end(struct hw_once *o); /* at the end of its call; may have nothing to end */

/* What the backend is given. */
struct hw_backend_once hw_once_ask(const struct hw_once *o);

/* What is kept, for the body at hand: true: *status and *body are to be answered again; false:
 * *p says why not. */
HW_MUST_USE bool hw_once_read(const struct hw_once *o, struct hw_slice kept, int *status,
                              struct hw_slice *body, struct hw_problem *p);

#endif
