/*
 * serve - the daemon around the library: settings, signals, log, exit code.
 */
#ifndef HW_SERVE_H
#define HW_SERVE_H

#include "flags.h"

/* argv[0] is the command's name.  Returns the exit code: 0 after an orderly stop, 2 for what
 * cannot run as it is set. */
int hw_serve_run(int argc, char **argv);

/* Its flags, for completion; how many sets. */
size_t hw_serve_flags(struct hw_flag_set sets[]);

#endif
