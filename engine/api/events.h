/*
 * events - POST /v1/events: one event, or up to 1,000 in one call, all or nothing, through the
 * same door as the stream: the same rules, then an XADD each in one step.
 *
 * A payload goes on byte for byte as it stands in the body: no number, escape, member's order
 * or repetition of it is touched.  A malformed traceparent is dropped, as of an entry of the
 * stream; it must be a string, though.  An optional member may be null: not given.
 *
 * Memory    what was read is freed when the backend has it; payloads are ranges of the body.
 * Cost      a few ns a byte of the body: it is checked once as a whole, its payloads once more
 *           by themselves, and copied into the command.
 */
#ifndef HW_API_EVENTS_H
#define HW_API_EVENTS_H

#include "api/call.h"

void hw_events_create(struct hw_call *call);

#endif
