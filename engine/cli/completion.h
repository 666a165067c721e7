/*
 * completion - `hookwheel completion bash`: what bash needs to complete the other commands,
 * written from the tables that they are parsed by.
 */
#ifndef HW_CLI_COMPLETION_H
#define HW_CLI_COMPLETION_H

#include "cli/verbs.h"

#define HW_COMPLETION_SETS_MAX 2

/* One command: either a family of verbs, or flags. */
struct hw_completion_command {
    const char *name;
    const struct hw_family *family; /* NULL: none */
    struct hw_flag_set sets[HW_COMPLETION_SETS_MAX];
    size_t n_sets;
    const char *words; /* that may stand without a flag; NULL: none that are known */
};

/* argv[0] is the command's name.  The exit code. */
int hw_completion_run(const struct hw_completion_command *commands, size_t n_commands,
                      int argc, char **argv);

#endif
