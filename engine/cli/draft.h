/*
 * draft - the JSON object that goes with a request, from what was typed.
 */
#ifndef HW_CLI_DRAFT_H
#define HW_CLI_DRAFT_H

#include "cli/shell.h"

/* Set a member.  Takes `value`; NULL stands for a text that is not UTF-8: the line is printed,
 * and it is false. */
HW_MUST_USE bool hw_draft_set(struct hw_shell *s, json_t *body, const char *name,
                              json_t *value);

/* "a, b" as a list of texts; empty for NULL.  NULL: not UTF-8. */
json_t *hw_draft_list(const char *text);

#endif
