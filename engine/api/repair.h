/*
 * repair - deliveries made by hand: test, recover and backfill of a webhook, redeliver of a
 * delivery.
 */
#ifndef HW_API_REPAIR_H
#define HW_API_REPAIR_H

#include "api/call.h"

void hw_repair_test(struct hw_call *call);
void hw_repair_recover(struct hw_call *call);
void hw_repair_backfill(struct hw_call *call);
void hw_repair_redeliver(struct hw_call *call);

#endif
