/*
 * root_token - where the daemon's root token comes from when it is not given directly:
 * a file that the operator names, or one in the data folder that is made on first start.
 *
 * The generated file has mode 0600 and appears whole or not at all (it is written under
 * another name and linked); where two daemons start at once one of them wins and both
 * read the same token.
 *
 * Errors    HW_EINVAL (unreadable, empty, too long) or HW_ESYSTEM, with the path in the
 *           cause and never the token.
 */
#ifndef HW_ROOT_TOKEN_H
#define HW_ROOT_TOKEN_H

#include <stdbool.h>

#include "hookwheel/status.h"

#define HW_ROOT_TOKEN_MAX 257 /* with the NUL */

/* The file's content without the white space around it. */
HW_MUST_USE enum hw_status hw_root_token_read(const char *path, char out[HW_ROOT_TOKEN_MAX],
                                              struct hw_cause *cause);

/* From <data_dir>/root-token; folder and file are made where they are not there yet
 * (*was_made says so). */
HW_MUST_USE enum hw_status hw_root_token_keep(const char *data_dir, char out[HW_ROOT_TOKEN_MAX],
                                              bool *was_made, struct hw_cause *cause);

#endif
