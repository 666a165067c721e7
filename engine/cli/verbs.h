/*
 * verbs - commands of two words: `hookwheel webhooks create`.
 *
 * A family is a table of verbs; parsing, --help and the completion script all come from it.
 *
 * Exit codes  0 done; 1 tried and failed; 2 not tried, because of how it was called.
 */
#ifndef HW_CLI_VERBS_H
#define HW_CLI_VERBS_H

#include "cli/wishes.h"

struct hw_shell;

struct hw_verb {
    const char *name;
    const char *words; /* "" or the one word it wants: "ID", "NAME" */
    const char *flags; /* as hw_wishes_pick takes them */
    const char *help;  /* one line */
    const char *example;
    int (*run)(struct hw_shell *s);
};

struct hw_family {
    const char *name; /* "webhooks" */
    const char *help; /* one line */
    const char *example;
    const struct hw_verb *verbs;
    size_t n_verbs;
    const struct hw_flag *rows; /* flags that mean something else here */
    size_t n_rows;
};

/* argv[0] is the family's name. */
int hw_verbs_run(const struct hw_family *family, int argc, char **argv);

#endif
