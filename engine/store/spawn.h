/*
 * spawn - a program as a child that ends with us.
 *
 * It runs in a session of its own (Ctrl-C on our terminal is not for it) and gets SIGTERM when
 * the thread that called this ends, however it ends.  uv_spawn knows neither.
 *
 * Cost      waits for exec: a millisecond or so.
 */
#ifndef HW_STORE_SPAWN_H
#define HW_STORE_SPAWN_H

#include <sys/types.h>

struct hw_spawn {
    const char *program; /* borrowed; looked for in PATH unless there is a slash in it */
    char *const *argv;   /* borrowed; ends with NULL */
    int folder_fd;       /* where it runs */
    const char *output;  /* borrowed; file in the folder that stdout and stderr go to */
    int pid_fd;          /* the child writes its process id there and keeps it open for life */
};

/* 0 with *pid; else an errno, and there is no child. */
int hw_spawn(const struct hw_spawn *what, pid_t *pid);

#endif
