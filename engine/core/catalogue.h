/*
 * catalogue - the event types of the installation, and who may read which.
 *
 * Memory    owns its types; a find is borrowed until the catalogue is read anew.
 * Errors    HW_ENOMEM; HW_EINVAL for a stored form that is not ours, with the member in the
 *           cause's note.  Nothing has changed then.
 * Cost      find: one hash look-up.
 */
#ifndef HW_CORE_CATALOGUE_H
#define HW_CORE_CATALOGUE_H

#include "base/buf.h"
#include "base/map.h"
#include "core/scopes.h"

struct hw_event_type {
    struct hw_map_entry entry; /* among the types, under name */
    char *name;                /* owned, all of these */
    char *group;
    char *title;               /* NULL: none */
    char *description;
    char *required_scope;      /* NULL: events:read */
};

struct hw_catalogue {
    struct hw_map types;
    size_t n_types;
};

void hw_catalogue_init(struct hw_catalogue *c);
void hw_catalogue_close(struct hw_catalogue *c); /* may be init'ed again */

/* A type as it is stored (everything but its name), and back; add replaces one of that name. */
HW_MUST_USE enum hw_status hw_event_type_write(const struct hw_event_type *type,
                                               struct hw_buf *out);
HW_MUST_USE enum hw_status hw_catalogue_add(struct hw_catalogue *c, struct hw_slice name,
                                            struct hw_slice stored, struct hw_cause *cause);

const struct hw_event_type *hw_catalogue_find(const struct hw_catalogue *c,
                                              struct hw_slice name); /* NULL: not in it */

/* All of them in the order of their names, into out (room for c->n_types). */
void hw_catalogue_sorted(const struct hw_catalogue *c, const struct hw_event_type **out);

/* May somebody with these scopes read events of that type?  The engine's own (webhook.*) are
 * readable with webhooks:manage; one without a required scope, or not in the catalogue, with
 * events:read.  `missing` (may be NULL) gets the scope that is lacking, borrowed. */
bool hw_catalogue_may_read(const struct hw_catalogue *c, const struct hw_scopes *scopes,
                           struct hw_slice type, const char **missing);

#endif
