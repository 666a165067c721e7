/*
 * listing - a list of the API: one page or, with --all, every page; as a table or as JSON.
 *
 * JSON of one page is the API's document; of every page, one object a line.
 */
#ifndef HW_CLI_LISTING_H
#define HW_CLI_LISTING_H

#include "cli/shell.h"
#include "cli/table.h"

struct hw_listing {
    const char *things; /* "webhooks": what there are none of */
    const struct hw_column *columns;
    size_t n_columns;
    void (*row)(struct hw_table *t, const json_t *item, hw_unix_ms now);
};

/* The request is the shell's target, without cursor and limit.  The exit code. */
int hw_listing_run(struct hw_shell *s, const struct hw_listing *listing);

#endif
