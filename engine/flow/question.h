/*
 * question - one question of the API's under way: what each of the asks needs.
 *
 * A question is one block from its call to its callback; the API's request is borrowed by it.
 * What can be said at once still goes through the wheel, so that no callback runs inside the
 * call.
 *
 * Memory    new, then exactly one of end and end_later; it frees itself then.
 * Errors    new, NULL: out of memory, and the request will be told HW_BACKEND_FAILED.
 */
#ifndef HW_FLOW_QUESTION_H
#define HW_FLOW_QUESTION_H

#include "flow/backing.h"
#include "store/archive.h"
#include "store/consumer.h"
#include "store/enqueue.h"
#include "store/replay.h"

struct hw_question {
    struct hw_list link; /* in backing->known, or unlinked */
    struct hw_backing *backing;
    struct hw_backend_req *req; /* borrowed from the API */
    struct hw_registry_op op;
    struct hw_archive_get get;
    struct hw_replay replay;
    struct hw_enqueue enqueue;
    struct hw_fill fill;
    struct hw_consumer_ask consumer;
    struct hw_webhook *webhook;                /* a reference while asked about; NULL: none */
    struct hw_backend_webhook *found_webhooks; /* owned */
    struct hw_backend_delivery *found_deliveries; /* owned */
    struct hw_backend_update_event *found_events; /* owned */
    struct hw_backend_consumer *found_consumers;  /* owned */
    unsigned n_tries; /* of a change that others may have come before */
    enum hw_webhook_status status_before; /* it */
};

HW_MUST_USE struct hw_question *hw_question_new(struct hw_backing *b,
                                                struct hw_backend_req *req);

/* Inside a callback of the store: tell, then free what was lent for it. */
void hw_question_end(struct hw_question *q, enum hw_backend_result result);

/* The answer is known inside the call: tell it on the next turn. */
void hw_question_end_later(struct hw_question *q, enum hw_backend_result result);

/* For backing.c: tell what is known, and those that got no memory. */
void hw_questions_tell(struct hw_backing *b);

struct hw_question *hw_question_of_op(struct hw_registry_op *op);
enum hw_backend_result hw_question_result(enum hw_registry_result result);

/* A live webhook of that account (NULL: of any) by its id. */
struct hw_webhook *hw_question_find_live(struct hw_backing *b, const char *account,
                                         const char *id);
struct hw_backend_webhook hw_question_as_found(const struct hw_webhook *wh);

/* Read the account of a webhook again first, so that what is answered is what Redis has; one
 * not known here (wh NULL) may have been made by another instance a moment ago: then by id or,
 * where that is NULL, by number. */
HW_MUST_USE enum hw_status hw_question_refresh(struct hw_question *q, const struct hw_webhook *wh,
                                               const char *id, uint32_t w, hw_registry_cb cb);

static inline struct hw_subscriptions *hw_backing_subscriptions(struct hw_backing *b)
{
    return hw_registry_subscriptions(b->registry);
}

#endif
