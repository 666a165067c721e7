/*
 * values - members of the API's objects as cells of a table.
 *
 * A member that is not there, or null, is an empty cell.
 */
#ifndef HW_CLI_VALUES_H
#define HW_CLI_VALUES_H

#include <jansson.h>

#include "base/time.h"
#include "cli/table.h"

/* A text member, borrowed; empty where it is none. */
struct hw_slice hw_values_text(const json_t *object, const char *name);

/* One cell: a text, a number, yes or no, the items of a list joined by ", ". */
void hw_values_add(struct hw_table *t, const json_t *object, const char *name);
/* ... a status, in its colour. */
void hw_values_add_status(struct hw_table *t, const json_t *object, const char *name);
/* ... a time, as "3m ago". */
void hw_values_add_age(struct hw_table *t, const json_t *object, const char *name,
                       hw_unix_ms now);

/* A row of a table of two columns, name and value; nothing where there is no value. */
void hw_values_row(struct hw_table *t, const char *title, const json_t *object,
                   const char *name);
void hw_values_row_status(struct hw_table *t, const char *title, const json_t *object,
                          const char *name);
/* A time and its age. */
void hw_values_row_time(struct hw_table *t, const char *title, const json_t *object,
                        const char *name, hw_unix_ms now);
void hw_values_row_text(struct hw_table *t, const char *title, const char *text);

/* The two columns, without titles. */
extern const struct hw_column hw_values_columns[2];

#endif
