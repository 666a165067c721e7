/*
 * fields - a webhook's own headers as a client writes them: the members `headers` and
 * `signature_header`.
 *
 * Values read back as "***".  A client that reads a webhook, edits it and writes it back must
 * not destroy them: a header given with the value "***" keeps the one that the webhook has, and
 * is refused where it has none.
 *
 * Errors    a problem that names the member; the webhook is as it was.
 */
#ifndef HW_API_FIELDS_H
#define HW_API_FIELDS_H

#include "api/problem.h"
#include "core/webhook.h"

/* What every answer shows for a value. */
#define HW_FIELD_HIDDEN "***"

/* They replace those that the webhook has.  is_draft: which ones it has is not known yet; a
 * hidden value is then let through as it stands. */
HW_MUST_USE bool hw_fields_read(struct hw_webhook *wh, json_t *value, bool is_draft,
                                struct hw_problem *p);

HW_MUST_USE bool hw_fields_read_signature(struct hw_webhook *wh, json_t *value,
                                          struct hw_problem *p);

/* Does no name stand for two headers?  Once both members have been read. */
HW_MUST_USE bool hw_fields_check(const struct hw_webhook *wh, struct hw_problem *p);

#endif
