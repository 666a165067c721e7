/*
 * ops - the handlers for operators: /healthz, /readyz, /metrics.
 */
#ifndef HW_API_OPS_H
#define HW_API_OPS_H

#include "api/call.h"

void hw_ops_health(struct hw_call *call);
void hw_ops_readiness(struct hw_call *call);
void hw_ops_metrics(struct hw_call *call);

#endif
