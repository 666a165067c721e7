/*
 * form - a webhook as a client writes it: the bodies of POST /v1/webhooks and of
 * PATCH /v1/webhooks/:id, checked strictly.
 *
 * Errors    a problem that names the first member that breaks a rule; the webhook is to be
 *           thrown away then.
 */
#ifndef HW_API_FORM_H
#define HW_API_FORM_H

#include "api/backend.h"
#include "api/problem.h"
#include "api/tokens.h"
#include "core/webhook.h"
#include "rules/address.h"

struct hw_form_rules {
    struct hw_url_rules url;
    const struct hw_address_rules *addresses; /* borrowed */
    const struct hw_caller *caller;           /* borrowed; root may name an account */
    const struct hw_catalogue *catalogue;     /* borrowed; what can be subscribed to */
    unsigned max_in_flight;                   /* where none is given */
    unsigned max_in_flight_max;
    uint32_t feed_epoch;                      /* of the feeds' cursors */
};

/* What `backfill_from` asks for. */
struct hw_form_backfill {
    enum hw_backfill_kind kind;
    struct hw_backend_from from;
};

/* One JSON object without repeated members, at most 64 levels deep; NULL: *p says why. */
HW_MUST_USE json_t *hw_form_object(struct hw_slice body, struct hw_problem *p);

/* A new webhook that has `reads_all` or `readable` already: every other field but id, w, times
 * and standing; a secret is made where none was given. */
HW_MUST_USE bool hw_form_read(struct hw_webhook *wh, struct hw_slice body,
                              const struct hw_form_rules *rules,
                              struct hw_form_backfill *backfill, struct hw_problem *p);

/* Only what the object has, on a copy of a stored webhook; its status too. */
HW_MUST_USE bool hw_form_amend(struct hw_webhook *wh, json_t *object,
                               const struct hw_form_rules *rules, struct hw_problem *p);

/* What can be said of such an object before it is known which webhook it is for. */
HW_MUST_USE bool hw_form_check(json_t *object, const struct hw_form_rules *rules,
                               struct hw_form_backfill *backfill, struct hw_problem *p);

/* A place of a feed: "start", or a cursor; false: *p names the member. */
HW_MUST_USE bool hw_form_place(struct hw_backend_from *from, const json_t *value,
                               uint32_t feed_epoch, const char *member, struct hw_problem *p);

#endif
