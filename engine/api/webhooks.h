/*
 * webhooks - the handlers of /v1/webhooks.
 */
#ifndef HW_API_WEBHOOKS_H
#define HW_API_WEBHOOKS_H

#include "api/call.h"
#include "api/form.h"

void hw_webhooks_create(struct hw_call *call);
void hw_webhooks_list(struct hw_call *call);
void hw_webhooks_get(struct hw_call *call);
void hw_webhooks_delete(struct hw_call *call);

/* What a webhook that this caller writes is held against; borrowed from the call and, its
 * catalogue, from the backend until the next turn. */
struct hw_form_rules hw_webhooks_rules(const struct hw_call *call);

/* The object as every answer shows it; NULL: out of memory. */
json_t *hw_webhooks_json(uint32_t epoch, const struct hw_webhook *wh,
                         const struct hw_webhook_standing *standing);

#endif
