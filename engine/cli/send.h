/*
 * send - `hookwheel send`: events straight into the Redis stream, pipelined.
 */
#ifndef HW_CLI_SEND_H
#define HW_CLI_SEND_H

/* argv[0] is the command's name; returns the exit code. */
int hw_send_run(int argc, char **argv);

#endif
