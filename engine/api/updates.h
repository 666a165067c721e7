/*
 * updates - GET /v1/updates, and what every route over the feed has in common: who may read it,
 * what was asked for, and how an event of it is shown.
 *
 * Memory    answers are written as text; a record's bytes go out as they are kept.
 */
#ifndef HW_API_UPDATES_H
#define HW_API_UPDATES_H

#include "api/call.h"

/* --- for every route over the feed ------------------------------------------------------ */

/* May the caller read events of any type whatever?  false: *p, forbidden. */
HW_MUST_USE bool hw_updates_may_read(const struct hw_call *call, struct hw_problem *p);

/* A cursor of the feed, from the parameter or the member `field`.  One of a Redis that was
 * emptied since is HW_FEED_NOWHERE, which the backend answers with EXPIRED.  false: *p. */
HW_MUST_USE bool hw_updates_read_cursor(const struct hw_call *call, const char *field,
                                     struct hw_slice text, struct hw_stream_id *id,
                                     struct hw_problem *p);

/* What the caller may read, as the backend wants it; its names live as long as the call.  Once a
 * call.  false: out of memory, *p says so. */
HW_MUST_USE bool hw_updates_readable(struct hw_call *call, struct hw_backend_readable *out,
                                  struct hw_problem *p);

/* Append the record with a last member `cursor`; "data":[...] of several.  A failure is the
 * buffer's (hw_buf_failed). */
void hw_updates_write_event(struct hw_buf *out, uint32_t epoch,
                         const struct hw_backend_update_event *event);
void hw_updates_write_events(struct hw_buf *out, uint32_t epoch,
                          const struct hw_backend_update_event *events, size_t n_events);

/* Room for the text of an answer with a page of events. */
#define HW_UPDATES_ANSWER_MAX ((size_t)64 * 1024 * 1024)

/* Such a text is the answer (200); where it could not be written, 500. */
void hw_updates_answer(struct hw_call *call, const struct hw_buf *text);

/* --- a question to the feed ------------------------------------------------------------- */

/* The account, types, subject and cursor of the query into call->ask.updates and call->filter;
 * limit and wait are the caller's to set.  false: *p. */
HW_MUST_USE bool hw_updates_read_question(struct hw_call *call, hw_backend_cb cb,
                                       struct hw_problem *p);

/* What became of it: the backend's word, but where Redis was emptied or hangs meanwhile; then
 * its answer says nothing. */
enum hw_backend_result hw_updates_result(const struct hw_call *call);
void hw_updates_refuse(struct hw_call *call, enum hw_backend_result result);

void hw_updates_list(struct hw_call *call); /* GET /v1/updates */

#endif
