/*
 * verbs - commands of two words: `hookwheel webhooks create`.
 *
 * A family is a table of verbs; parsing, --help and the completion script all come from it.
 * A command of one word (`hookwheel updates`) is a family whose only verb has an empty name.
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

/* Flags that mean something else for one verb. */
struct hw_verb_own {
    const char *verb;
    struct hw_wishes_own own;
};

struct hw_family {
    const char *name; /* "webhooks" */
    const char *help; /* one line */
    const char *example;
    const struct hw_verb *verbs;
    size_t n_verbs;
    const struct hw_flag *rows; /* flags that mean something else here */
    size_t n_rows;
    const struct hw_verb_own *verb_rows;
    size_t n_verb_rows;
};

/* argv[0] is the family's name. */
int hw_verbs_run(const struct hw_family *family, int argc, char **argv);

/* Is it a command of one word? */
static inline bool hw_family_is_one(const struct hw_family *family)
{
    return family->verbs[0].name[0] == '\0';
}

/* What stands between the family's name and the verb's. */
static inline const char *hw_verb_gap(const struct hw_verb *verb)
{
    return verb->name[0] != '\0' ? " " : "";
}

static inline void hw_verb_pick(struct hw_wishes_rows *r, const struct hw_family *family,
                                const struct hw_verb *verb)
{
    struct hw_wishes_own own = { NULL, 0 };

    for (size_t i = 0; i < family->n_verb_rows; i++)
        if (strcmp(family->verb_rows[i].verb, verb->name) == 0)
            own = family->verb_rows[i].own;
    hw_wishes_pick(r, verb->flags, own,
                   (struct hw_wishes_own){ family->rows, family->n_rows });
}

#endif
