/*
 * amend - webhooks changed: PATCH /v1/webhooks/:id, rotate-secret.
 *
 * Whoever could send a webhook's events elsewhere, or sign as its sender, must be able to read
 * them: PATCH of url, event_types, headers and backfill_from, and rotation, need a token that can read every
 * type the webhook receives.  That holds of what it receives before and after the change.
 *
 * PATCH replaces `headers` as a whole; how a value that reads back as "***" is kept is said in
 * fields.h.
 */
#ifndef HW_API_AMEND_H
#define HW_API_AMEND_H

#include "api/call.h"

void hw_amend_patch(struct hw_call *call);
void hw_amend_rotate(struct hw_call *call);

#endif
