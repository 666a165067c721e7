/*
 * shell - what a verb works with: its flags, the API, the screen.
 *
 *   to, where ... -> ask -> the answer as JSON, or one line on stderr
 *
 * Errors    ask prints `hookwheel webhooks: 404 not_found: …` (or why there is no answer) and
 *           gives false; the verb then ends with 1.
 */
#ifndef HW_CLI_SHELL_H
#define HW_CLI_SHELL_H

#include <jansson.h>

#include "base/time.h"
#include "cli/fetch.h"
#include "cli/screen.h"
#include "cli/verbs.h"
#include "root_token.h"

#define HW_SHELL_TIME_MAX 32

struct hw_shell {
    struct hw_wishes wishes;
    struct hw_wishes_rows rows; /* of the verb's flags: which were given */
    const struct hw_family *family;
    const struct hw_verb *verb;
    const char *word; /* the one that stands without a flag; NULL: the verb takes none */
    struct hw_fetch fetch;
    struct hw_screen screen; /* standard output */
    struct hw_buf target;    /* path and query of the next request */
    hw_unix_ms now;
    char token[HW_ROOT_TOKEN_MAX];
    struct hw_cause failure; /* why there was no answer; HW_OK: the API refused */
    bool is_silent;          /* ask prints nothing */
};

/* Finds the token and gets ready to ask.  HW_EINVAL: something is set wrong. */
HW_MUST_USE enum hw_status hw_shell_open(struct hw_shell *s, struct hw_cause *cause);

/* The exit code; one of its own where what was printed did not get out. */
int hw_shell_close(struct hw_shell *s, int exit_code);

/* The path of the next request: `base`, then "/" and `id`, then `tail` (NULL: none). */
void hw_shell_to(struct hw_shell *s, const char *base, const char *id, const char *tail);

/* A parameter of its query; `value` NULL: none. */
void hw_shell_where(struct hw_shell *s, const char *name, const char *value);

/* Ask, with `body` (taken; NULL: none).  true: *answer is yours (JSON null where there is no
 * body).  NULL for `answer`: not wanted. */
HW_MUST_USE bool hw_shell_ask(struct hw_shell *s, const char *method, json_t *body,
                              json_t **answer);

/* GET it, and have the answer as it came, one JSON text (numbers of any size stay what they are);
 * borrowed until the next request. */
HW_MUST_USE bool hw_shell_read(struct hw_shell *s, struct hw_slice *text);

/* Print the newest answer as it came (--json). */
void hw_shell_print_json(struct hw_shell *s);

/* Print one object of the API in a line; or a text of it. */
void hw_shell_print_line(struct hw_shell *s, const json_t *object);
void hw_shell_print_text(struct hw_shell *s, struct hw_slice json);

struct hw_table;

/* Fills the table of names and values that shows `object`. */
typedef void (*hw_shell_add_cb)(struct hw_table *t, const json_t *object, hw_unix_ms now);

/* The answer to a verb about one thing: as JSON, or as the table that `add` fills.  Takes
 * `object`; the exit code. */
int hw_shell_show(struct hw_shell *s, json_t *object, hw_shell_add_cb add);

/* Ask, and show the answer; the exit code.  Takes `body` (NULL: none). */
int hw_shell_ask_and_show(struct hw_shell *s, const char *method, json_t *body,
                          hw_shell_add_cb add);

/* DELETE it, and say so; the exit code. */
int hw_shell_delete(struct hw_shell *s);

/* A sentence beside what is shown, for people: on standard error, and not with --json. */
void hw_shell_remark(const struct hw_shell *s, const char *sentence);

/* Called in a way that cannot be meant: one line, 2. */
int hw_shell_usage(struct hw_shell *s, const char *fmt, ...) HW_PRINTF(2, 3);

/* The value of a flag, a time or a duration back from now (on from now), as the API wants it;
 * "" where it is NULL.  false: it is neither, and the line was printed. */
HW_MUST_USE bool hw_shell_time_before(struct hw_shell *s, const char *flag, const char *text,
                                      char out[HW_SHELL_TIME_MAX]);
HW_MUST_USE bool hw_shell_time_after(struct hw_shell *s, const char *flag, const char *text,
                                     char out[HW_SHELL_TIME_MAX]);

static inline bool hw_shell_given(const struct hw_shell *s, const char *flag)
{
    return hw_wishes_given(&s->rows, flag);
}

#endif
