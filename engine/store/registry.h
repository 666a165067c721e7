/*
 * registry - the webhooks of all accounts, the catalogue of event types and the tokens, in
 * memory and in step with Redis.
 *
 * Each account has a version that every change raises in the same script.  Accept passes the
 * version it matched with, so no event is ever accepted past a webhook that Redis knows and we
 * do not.  The beat brings the sum of all versions; where it has moved, the accounts that
 * differ are read again.
 *
 * Memory    accounts and webhooks are the registry's; hw_webhook_hold keeps a webhook longer.
 *           A list of an account is borrowed until the next turn.  Tombstones are in it too (status
 *           HW_WEBHOOK_DELETED) while their history is kept.
 * Errors    loading is tried again by itself; an operation tells its result.
 */
#ifndef HW_STORE_REGISTRY_H
#define HW_STORE_REGISTRY_H

#include "core/subscriptions.h"
#include "store/books.h"
#include "store/fill.h"
#include "store/keys.h"

struct hw_registry;

struct hw_registry_events {
    /* All accounts are in memory (after hw_registry_load). */
    void (*on_loaded)(void *data);
    /* An account's list is new: objects may have been replaced, their w stays. */
    void (*on_changed)(void *data, const struct hw_account *account);
    /* Trouble while loading; it is tried again.  Also for a stored webhook that does not
     * parse (it is left out). */
    void (*on_trouble)(void *data, const struct hw_cause *cause);
};

struct hw_registry_options {
    struct hw_store *store; /* borrowed */
    unsigned max_webhooks;  /* an account */
    const struct hw_registry_events *events;
    void *data;
};

HW_MUST_USE enum hw_status hw_registry_open(struct hw_registry **out,
                                            const struct hw_registry_options *options,
                                            struct hw_cause *cause);

/* Read everything (after on_joined); on_loaded follows. */
void hw_registry_load(struct hw_registry *r);
bool hw_registry_is_loaded(const struct hw_registry *r);

/* From each beat, and after on_back: catch up where the sum differs from what we have. */
void hw_registry_catch_up(struct hw_registry *r, uint64_t total);

/* What is in memory: struct hw_account and the look-ups are core/subscriptions.h's, which the
 * registry fills (hw_subscriptions_put).  Borrowed for the registry's life. */
struct hw_subscriptions *hw_registry_subscriptions(struct hw_registry *r);
struct hw_webhook *hw_registry_find_id(const struct hw_registry *r,
                                       struct hw_slice id); /* borrowed */

/* The catalogue and the tokens as they are in memory.  Borrowed for the registry's life. */
const struct hw_books *hw_registry_books(const struct hw_registry *r);

enum hw_registry_result {
    HW_REGISTRY_DONE,
    HW_REGISTRY_KEPT,  /* create: the idempotency key was used before, op->kept has what is there */
    HW_REGISTRY_STALE, /* update: it has changed since; it is in memory as it is now */
    HW_REGISTRY_LIMIT, /* the account has max_webhooks already */
    HW_REGISTRY_EXPIRED, /* create, update: where the backfill would begin is no longer kept:
                            nothing was changed, op->oldest is the place to begin at */
    HW_REGISTRY_NOT_FOUND,
    HW_REGISTRY_UNAVAILABLE /* Redis refused or is gone: unknown whether it was done */
};

struct hw_registry_op;
/* When DONE the account (or book) is in memory as the change left it; account and w say which. */
typedef void (*hw_registry_cb)(struct hw_registry_op *op, enum hw_registry_result result);

/* Yours until cb. */
struct hw_registry_op {
    struct hw_registry *registry; /* private */
    struct hw_redis_req req;
    struct hw_command command;
    hw_registry_cb cb;
    enum hw_registry_result result;
    char account[65]; /* or the book */
    uint32_t w; /* create: out */
    struct hw_fill_job job;     /* create, update: out; the backfill begun (number 0: none) */
    struct hw_stream_id oldest; /* create, update: out, with HW_REGISTRY_EXPIRED */
    struct hw_slice kept; /* create: out, with HW_REGISTRY_KEPT; borrowed for the callback */
};
void hw_registry_op_init(struct hw_registry_op *op);  /* once */
void hw_registry_op_close(struct hw_registry_op *op); /* not while under way */

/* HW_OK: cb runs once, later; anything else: it will not. */

/* Read the account again, standing (failures, last delivery ...) included, so that what the API
 * answers is what Redis has. */
HW_MUST_USE enum hw_status hw_registry_refresh(struct hw_registry *r,
                                               struct hw_registry_op *op,
                                               struct hw_slice account, hw_registry_cb cb);
/* The same for whichever account has the webhook of that id, or, where id is empty, of that
 * number: one that another instance has made a moment ago is known to Redis only.  NOT_FOUND:
 * nobody has. */
HW_MUST_USE enum hw_status hw_registry_locate(struct hw_registry *r, struct hw_registry_op *op,
                                              struct hw_slice id, uint32_t w, hw_registry_cb cb);
/* Store a new webhook (wh->account, wh->id; wh->w is given by Redis and is in op->w and, in
 * memory, in the registry's own object).  wh is not kept.  once_key: of <tag>once:, empty: none;
 * where it is there already nothing is created, else once_value is kept there for 24 h.  With a
 * backfill what is in the feed now is to be queued to it (see fill.h), and exactly what comes
 * after that is matched with it. */
HW_MUST_USE enum hw_status hw_registry_create(struct hw_registry *r, struct hw_registry_op *op,
                                              const struct hw_webhook *wh, struct hw_slice once_key,
                                              struct hw_slice once_value,
                                              struct hw_fill_from backfill, hw_registry_cb cb);
/* Store it changed, and its status where that is another one than before (active after
 * disabled: the count of failures and what was said of the disabling go).  wh is a copy
 * (hw_webhook_copy) of the one in memory and is not kept; where Redis has a newer one or
 * another status: STALE.  A backfill as with create, to one that is made active. */
HW_MUST_USE enum hw_status hw_registry_update(struct hw_registry *r, struct hw_registry_op *op,
                                              const struct hw_webhook *wh,
                                              enum hw_webhook_status status_before,
                                              struct hw_fill_from backfill, hw_registry_cb cb);
/* It becomes a tombstone for as long as its history is kept. */
HW_MUST_USE enum hw_status hw_registry_delete(struct hw_registry *r, struct hw_registry_op *op,
                                              const struct hw_webhook *wh, hw_unix_ms now,
                                              hw_registry_cb cb);

/* Write into a book, or take out of it; DONE: it is in memory as the change left it. */
HW_MUST_USE enum hw_status hw_registry_put(struct hw_registry *r, struct hw_registry_op *op,
                                           const char *book, struct hw_slice key,
                                           struct hw_slice stored, hw_registry_cb cb);
HW_MUST_USE enum hw_status hw_registry_drop(struct hw_registry *r, struct hw_registry_op *op,
                                            const char *book, struct hw_slice key,
                                            hw_registry_cb cb);
/* Read a book again if Redis has another version of it than memory. */
HW_MUST_USE enum hw_status hw_registry_freshen(struct hw_registry *r, struct hw_registry_op *op,
                                               const char *book, hw_registry_cb cb);

/* Close the work connection first. */
void hw_registry_close(struct hw_registry *r);

#endif
