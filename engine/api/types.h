/*
 * types - the catalogue of event types: PUT, GET, DELETE /v1/event-types/:name, GET of all.
 */
#ifndef HW_API_TYPES_H
#define HW_API_TYPES_H

#include "api/call.h"

void hw_types_put(struct hw_call *call);
void hw_types_list(struct hw_call *call);
void hw_types_get(struct hw_call *call);
void hw_types_delete(struct hw_call *call);

#endif
