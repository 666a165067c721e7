/*
 * form - a webhook as a client writes it: the body of POST /v1/webhooks, checked strictly.
 *
 * Errors    a problem that names the first member that breaks a rule.
 */
#ifndef HW_API_FORM_H
#define HW_API_FORM_H

#include "api/problem.h"
#include "core/webhook.h"
#include "rules/address.h"

struct hw_form_rules {
    struct hw_url_rules url;
    const struct hw_address_rules *addresses; /* borrowed */
    const char *account;        /* the caller's; NULL: root, which may name one */
    unsigned max_in_flight;     /* where none is given */
    unsigned max_in_flight_max;
};

/* One JSON object without repeated members, at most 64 levels deep; NULL: *p says why. */
HW_MUST_USE json_t *hw_form_object(struct hw_slice body, struct hw_problem *p);

/* Every field but id, w, times and standing; a secret is made where none was given. */
HW_MUST_USE bool hw_form_read(struct hw_webhook *wh, struct hw_slice body,
                              const struct hw_form_rules *rules, struct hw_problem *p);

#endif
