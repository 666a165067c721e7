/*
 * webhook_draft - a webhook's flags as the JSON that the API takes.
 *
 * Only what was given is in it; what was given as an empty text is null (and no headers is
 * an object without any), which clears it.
 */
#ifndef HW_CLI_WEBHOOK_DRAFT_H
#define HW_CLI_WEBHOOK_DRAFT_H

#include "cli/shell.h"

/* NULL: it cannot be meant, and the line was printed. */
HW_MUST_USE json_t *hw_webhook_draft_make(struct hw_shell *s);

#endif
