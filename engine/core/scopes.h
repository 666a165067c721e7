/*
 * scopes - what a token may do, and what of the events it may read.
 *
 * A scope is a short text.  The built-in ones let their bearer into a route; any text can be
 * an event type's required_scope; "events:read" reads every type.
 *
 * Memory    a list owns its texts.
 * Errors    HW_ENOMEM; the list is as it was.
 */
#ifndef HW_CORE_SCOPES_H
#define HW_CORE_SCOPES_H

#include "base/slice.h"
#include "hookwheel/status.h"

/* What a route asks for; one bit each, so that a token's are a mask. */
enum hw_scope {
    HW_SCOPE_OPEN = 0, /* no token needed */
    HW_SCOPE_WEBHOOKS_MANAGE = 1,
    HW_SCOPE_DELIVERIES_READ = 2,
    HW_SCOPE_DELIVERIES_WRITE = 4,
    HW_SCOPE_EVENTS_WRITE = 8,
    HW_SCOPE_ANY = 16, /* every token has it */
    HW_SCOPE_ROOT = 32 /* the root token alone has it */
};

/* "webhooks:manage" ...; NULL for the other three. */
const char *hw_scope_text(enum hw_scope scope);

/* 1 to 64 of [A-Za-z0-9_.:-], beginning with a letter or a digit. */
bool hw_scope_is_valid(struct hw_slice text);

#define HW_SCOPES_MAX 64 /* in one list */

struct hw_scopes {
    char **names; /* owned, each too; without repeats, in the order they were added */
    size_t n_names;
};

void hw_scopes_init(struct hw_scopes *s);
void hw_scopes_close(struct hw_scopes *s); /* may be init'ed again */

/* One that is there already is left alone.  HW_ETOOBIG: there are HW_SCOPES_MAX. */
HW_MUST_USE enum hw_status hw_scopes_add(struct hw_scopes *s, struct hw_slice name);
HW_MUST_USE enum hw_status hw_scopes_copy(struct hw_scopes *to, const struct hw_scopes *from);
bool hw_scopes_has(const struct hw_scopes *s, struct hw_slice name);

/* The built-in ones of the list, as a mask, and HW_SCOPE_ANY. */
unsigned hw_scopes_powers(const struct hw_scopes *s);

/* Is "events:read" among them? */
bool hw_scopes_read_all(const struct hw_scopes *s);

#endif
