/*
 * document - GET /v1/openapi.yaml: proto/openapi.yaml, embedded at build time.
 */
#ifndef HW_API_DOCUMENT_H
#define HW_API_DOCUMENT_H

#include "api/call.h"

void hw_document_get(struct hw_call *call);

#endif
