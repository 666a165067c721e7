/*
 * updates - `hookwheel updates`: an account's events in the order of their acceptance.
 *
 * One page or, with --all, all that are kept; with --follow what comes too, by long polls.  The
 * last line on standard error names the cursor to go on from.
 *
 * Followed until SIGINT or SIGTERM, which end it with 0.  An engine that goes away meanwhile is
 * waited for.
 */
#ifndef HW_CLI_UPDATES_H
#define HW_CLI_UPDATES_H

#include "cli/verbs.h"

extern const struct hw_family hw_updates;

#endif
