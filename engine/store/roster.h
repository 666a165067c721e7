/*
 * roster - what of the registry is in memory, and how what Redis says of an account or of a
 * book replaces it.
 *
 * Accounts and books are named alike here: a book's name begins with a full stop, which no
 * account's does.  Each has its version; `total` is their sum.
 *
 * Memory    owns everything in it; what is found is borrowed until the next turn.
 * Errors    HW_ENOMEM: as it was, but for the versions: what could not be taken over differs
 *           from Redis still.  A stored form that does not parse is left out and told.
 */
#ifndef HW_STORE_ROSTER_H
#define HW_STORE_ROSTER_H

#include "core/subscriptions.h"
#include "store/books.h"
#include "store/keys.h"

struct hw_roster {
    struct hw_subscriptions subscriptions;
    struct hw_map ids; /* of webhooks, to their numbers */
    struct hw_books books;
    uint64_t total;
    void (*on_changed)(void *data, const struct hw_account *account); /* its list is new */
    void (*on_trouble)(void *data, const struct hw_cause *cause);
    void *data; /* borrowed */
};

/* The caller has set the callbacks; data goes to both. */
void hw_roster_init(struct hw_roster *r);
void hw_roster_close(struct hw_roster *r);

/* Begin the question whose answer has one item, for apply, for each name added to it. */
void hw_roster_ask(const struct hw_store *store, struct hw_command *c);

enum hw_status hw_roster_apply(struct hw_roster *r, struct hw_slice name,
                               const struct hw_reply *item);

uint64_t hw_roster_version(const struct hw_roster *r, struct hw_slice name); /* 0: not known */

/* Of all that is in memory keep what Redis lists, as name, version, ...: it may have been
 * emptied. */
HW_MUST_USE enum hw_status hw_roster_keep(struct hw_roster *r,
                                          const struct hw_reply *versions);

/* This may be another Redis than before, whose versions count from the start again: forget
 * the versions, so that everything is read once more.  What is in memory stays until then. */
void hw_roster_doubt(struct hw_roster *r);

struct hw_webhook *hw_roster_find_id(const struct hw_roster *r, struct hw_slice id);

#endif
