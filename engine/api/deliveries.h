/*
 * deliveries - the handlers of /v1/deliveries.
 */
#ifndef HW_API_DELIVERIES_H
#define HW_API_DELIVERIES_H

#include "api/call.h"

void hw_deliveries_list(struct hw_call *call);
void hw_deliveries_get(struct hw_call *call);

#endif
