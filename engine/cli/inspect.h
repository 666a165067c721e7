/*
 * inspect - one delivery with everything that is known of it: its attempts as a table, then
 * what was answered to each, then the request.
 */
#ifndef HW_CLI_INSPECT_H
#define HW_CLI_INSPECT_H

#include "cli/shell.h"

/* Takes `delivery`.  The exit code. */
int hw_inspect_show(struct hw_shell *s, json_t *delivery);

#endif
