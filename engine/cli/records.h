/*
 * records - a page of a feed as the API gave it: a row of a table for each event, or its record
 * as a line of JSON (--json).
 *
 *   the shell's target -> get -> show -> the next page
 *
 * A record's bytes go out as they came: what a payload holds need not fit in a number of ours.
 *
 * Memory    the page is borrowed from the shell's newest answer; the rest is small.
 * Errors    get prints one line and gives false, as hw_shell_ask does.
 */
#ifndef HW_CLI_RECORDS_H
#define HW_CLI_RECORDS_H

#include "cli/shell.h"
#include "cli/table.h"
#include "rules/id.h"

struct hw_records {
    struct hw_shell *shell; /* borrowed */
    struct hw_table table;
    size_t base;          /* bytes of the shell's target without a page */
    struct hw_slice page; /* "data" of the newest answer */
    bool is_empty, has_more;
    char next[HW_CURSOR_MAX]; /* of the newest answer; "": there was none */
    char last[HW_CURSOR_MAX]; /* of the last event shown; "": none was */
};

/* The shell's target is what is asked for, without cursor and limit. */
void hw_records_init(struct hw_records *r, struct hw_shell *s);
void hw_records_close(struct hw_records *r);

/* Ask for the page behind `cursor` (NULL: the first), for `wait_s` where there is none yet.
 * `limit` 0: as many as the API thinks good. */
HW_MUST_USE bool hw_records_get(struct hw_records *r, const char *cursor, unsigned limit,
                                unsigned wait_s);

/* Print it; false: it could not be written. */
HW_MUST_USE bool hw_records_show(struct hw_records *r);

/* The ids of its events, with commas; their number. */
size_t hw_records_ids(const struct hw_records *r, struct hw_buf *out);

/* The page that the flags ask for (--limit, --cursor), with --all every one from there on.  The
 * exit code. */
int hw_records_list(struct hw_records *r);

#endif
