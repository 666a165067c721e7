/*
 * serve - the daemon around the library: settings, signals, log, exit code.
 */
#ifndef HW_SERVE_H
#define HW_SERVE_H

/* argv[0] is the command's name.  Returns the exit code: 0 after an orderly stop, 2 for what
 * cannot run as it is set. */
int hw_serve_run(int argc, char **argv);

#endif
