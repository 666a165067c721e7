/*
 * consumers - /v1/consumers: events are pulled and acknowledged under a name.
 */
#ifndef HW_API_CONSUMERS_H
#define HW_API_CONSUMERS_H

#include "api/call.h"

void hw_consumers_list(struct hw_call *call);
void hw_consumers_pull(struct hw_call *call);
void hw_consumers_pending(struct hw_call *call);
void hw_consumers_ack(struct hw_call *call);
void hw_consumers_delete(struct hw_call *call);

#endif
