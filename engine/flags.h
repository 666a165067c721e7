/*
 * flags - a command line and the environment, read by a table.
 *
 * One row is one setting: the flag's name, from which the variable's follows
 * ("redis-url": --redis-url and HOOKWHEEL_REDIS_URL), the kind of value and where it is
 * stored, bounds, the default as text, one line of help.  Parsing, --help and the
 * README's table all come from the same rows.
 *
 * Rules     a flag wins over its variable; an empty value is an absent one; what is absent
 *           leaves the field as it was.  `--name value` and `--name=value`; a switch stands
 *           alone.  `--` ends the flags.
 * Units     durations end in ms, s, m, h or d; sizes in KiB or MiB, or are plain bytes.
 * Memory    texts are borrowed from argv and the environment; a list is owned by its
 *           struct hw_texts.
 * Errors    HW_EINVAL with one sentence that names the flag or variable as it was given.
 */
#ifndef HW_FLAGS_H
#define HW_FLAGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/slice.h"
#include "hookwheel/status.h"

enum hw_flag_kind {
    HW_FLAG_HEADING,  /* no flag: `help` is a heading of the help page */
    HW_FLAG_TEXT,     /* const char *                                  */
    HW_FLAG_SECRET,   /* const char *; never quoted in an error        */
    HW_FLAG_TEXTS,    /* struct hw_texts: may be given several times   */
    HW_FLAG_CHOICE,   /* an enum: the position in `choices`            */
    HW_FLAG_SWITCH,   /* bool: alone, or 0 or 1                        */
    HW_FLAG_COUNT,    /* unsigned                                      */
    HW_FLAG_NUMBER,   /* uint64_t                                      */
    HW_FLAG_SIZE,     /* size_t, bytes                                 */
    HW_FLAG_DURATION, /* uint64_t, milliseconds                        */
    HW_FLAG_SCHEDULE, /* uint64_t[], milliseconds, and unsigned n      */
    HW_FLAG_FRACTION  /* double, 0 to 1                                */
};

enum { HW_FLAG_NO_ENV = 1, HW_FLAG_HIDDEN = 2, HW_FLAG_CLIENT = 4 };

struct hw_flag {
    const char *name;
    enum hw_flag_kind kind;
    const char *value;          /* what stands for the value in the help: "URL" */
    size_t offset;              /* of the field in the struct that is filled */
    size_t count_offset;        /* SCHEDULE: of its `unsigned n`, right behind the array */
    uint64_t min, max;          /* of COUNT to SCHEDULE (each entry) */
    const char *const *choices; /* CHOICE: NULL-terminated */
    const char *otherwise;      /* the default, as text for people */
    const char *help;           /* one line */
    unsigned traits;            /* HW_FLAG_NO_ENV | HW_FLAG_HIDDEN | HW_FLAG_CLIENT */
};

/* Values of a flag that may be repeated, in order. */
struct hw_texts {
    const char **items; /* owned; each is borrowed */
    size_t n;
};
void hw_texts_close(struct hw_texts *t);

struct hw_flag_set {
    const struct hw_flag *rows;
    size_t n_rows;
    void *into;      /* the struct whose fields the rows describe */
    unsigned traits; /* only rows that have all of these; 0: every row */
    bool *given;     /* NULL, or one for each row: its flag was there, an empty one too */
};

/* First the environment, then argv (argv[0] is skipped).  What is not a flag is moved to the
 * front: argv[1 .. *n_words].  n_words NULL: such words are an error. */
HW_MUST_USE enum hw_status hw_flags_read(const struct hw_flag_set *sets, size_t n_sets, int argc,
                                         char **argv, int *n_words, struct hw_cause *cause);

/* Rows as the lines of a help page, or as the README's Markdown table. */
void hw_flags_help(const struct hw_flag_set *set, FILE *out);
void hw_flags_markdown(const struct hw_flag_set *set, FILE *out);

/* One value into its field, as if it came from `origin` (for tests of a table). */
HW_MUST_USE enum hw_status hw_flag_store(const struct hw_flag *row, void *into, const char *text,
                                         const char *origin, struct hw_cause *cause);

/* "90s" to milliseconds, in the units of durations; false: it is none. */
bool hw_flag_duration(struct hw_slice text, uint64_t *ms);

/* "HOOKWHEEL_REDIS_URL" of "redis-url". */
#define HW_FLAG_VARIABLE_MAX 64
void hw_flag_variable(const char *name, char out[HW_FLAG_VARIABLE_MAX]);

#endif
