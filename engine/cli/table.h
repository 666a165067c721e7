/*
 * table - rows of text in columns, each as wide as what is shown in it.
 *
 * On a screen of limited width a column that may be cut is, with "…" at its end, and what
 * does not fit even so is left out, the highest rank first.  Without a limit everything is
 * there, whole.
 *
 *   cell, cell, cell ... (row after row) -> flush -> more cells -> flush
 *
 * Titles come with the first flush; columns stay as wide as they were, or grow.
 *
 * Memory    the cells of the rows not yet flushed.
 * Errors    no memory: remembered, and told by flush.
 */
#ifndef HW_CLI_TABLE_H
#define HW_CLI_TABLE_H

#include <stdio.h>

#include "cli/screen.h"

#define HW_TABLE_COLUMNS_MAX 16

struct hw_column {
    const char *title; /* NULL in every column: a table without titles */
    unsigned least;    /* may be cut to so many columns of the screen; 0: never cut */
    unsigned rank;     /* 0: always shown */
    bool is_right;     /* numbers */
};

struct hw_table_cell;

struct hw_table {
    const struct hw_column *columns; /* borrowed */
    size_t n_columns;
    unsigned widths[HW_TABLE_COLUMNS_MAX]; /* as shown */
    bool is_left_out[HW_TABLE_COLUMNS_MAX];
    struct hw_table_cell *cells; /* owned */
    size_t n_cells, room;
    struct hw_buf text; /* of the cells, safe for a screen */
    bool has_begun;     /* the titles were printed */
};

void hw_table_init(struct hw_table *t, const struct hw_column *columns, size_t n_columns);
void hw_table_close(struct hw_table *t);

/* The next cell, from left to right, row after row; an empty text is shown as "-". */
void hw_table_add(struct hw_table *t, struct hw_slice text, enum hw_tone tone);
void hw_table_adds(struct hw_table *t, const char *text);

/* Print the rows there are; HW_ENOMEM: some are missing. */
HW_MUST_USE enum hw_status hw_table_flush(struct hw_table *t, const struct hw_screen *s,
                                          FILE *out);

#endif
