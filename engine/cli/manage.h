/*
 * manage - the commands that are the API from the shell.  Each is a family of verbs (verbs.h)
 * in the file of its name: manage_webhooks.c, manage_deliveries.c ...  (The feed is read by
 * updates.h.)
 */
#ifndef HW_CLI_MANAGE_H
#define HW_CLI_MANAGE_H

#include "cli/verbs.h"

extern const struct hw_family hw_manage_webhooks;
extern const struct hw_family hw_manage_deliveries;
extern const struct hw_family hw_manage_consumers;
extern const struct hw_family hw_manage_tokens;
extern const struct hw_family hw_manage_types;

#endif
