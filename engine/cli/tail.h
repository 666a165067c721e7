/*
 * tail - follow deliveries: a line when one appears, and one whenever its status changes or an
 * attempt was made.
 *
 * Begins with the newest few.  Once a second the list is read from its newest end back to what
 * is known already; what has an attempt before it and lies further back is asked for by
 * itself, a few a second.
 *
 * Ends on SIGINT and SIGTERM, with 0.  An engine that goes away is waited for.
 */
#ifndef HW_CLI_TAIL_H
#define HW_CLI_TAIL_H

#include "cli/shell.h"

/* The shell's target is the list, with its filters.  `status` NULL: every one.  The exit
 * code. */
int hw_tail_run(struct hw_shell *s, const char *status);

#endif
