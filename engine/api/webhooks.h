/*
 * webhooks - the handlers of /v1/webhooks.
 */
#ifndef HW_API_WEBHOOKS_H
#define HW_API_WEBHOOKS_H

#include "api/call.h"

void hw_webhooks_create(struct hw_call *call);
void hw_webhooks_list(struct hw_call *call);
void hw_webhooks_get(struct hw_call *call);
void hw_webhooks_delete(struct hw_call *call);

#endif
