/*
 * send - `hookwheel send`: events straight into the Redis stream, pipelined.
 */
#ifndef HW_CLI_SEND_H
#define HW_CLI_SEND_H

#include "flags.h"

/* argv[0] is the command's name; returns the exit code. */
int hw_send_run(int argc, char **argv);

/* Its flags, for completion; how many sets. */
size_t hw_send_flags(struct hw_flag_set sets[]);

#endif
