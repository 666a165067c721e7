/*
 * listen - `hookwheel listen`: a receiver for development.
 */
#ifndef HW_CLI_LISTEN_H
#define HW_CLI_LISTEN_H

#include "flags.h"

/* argv[0] is the command's name; returns the exit code: 1 when a signature was bad. */
int hw_listen_run(int argc, char **argv);

/* Its flags, for completion; how many sets. */
size_t hw_listen_flags(struct hw_flag_set sets[]);

#endif
