/*
 * deliveries - the handlers of /v1/deliveries.
 */
#ifndef HW_API_DELIVERIES_H
#define HW_API_DELIVERIES_H

#include "api/call.h"

void hw_deliveries_list(struct hw_call *call);
void hw_deliveries_get(struct hw_call *call);

/* The object as every answer shows it, without its log; NULL: out of memory. */
json_t *hw_deliveries_json(uint32_t epoch, const struct hw_backend_delivery *d);

#endif
