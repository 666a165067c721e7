/*
 * subscriptions - every webhook of the installation, by number and by account.
 *
 * An account has a version: it is raised in Redis by whatever changes one of its webhooks,
 * and goes with each accept, so that no event is accepted past a webhook we do not know.
 *
 * Memory    owns one reference to each webhook, and the accounts.
 * Errors    HW_ENOMEM; nothing has changed then.
 * Cost      match: one hash look-up and a walk over the account's webhooks (at most ten
 *           by default).
 */
#ifndef HW_CORE_SUBSCRIPTIONS_H
#define HW_CORE_SUBSCRIPTIONS_H

#include "base/list.h"
#include "base/map.h"
#include "core/catalogue.h"
#include "core/webhook.h"

struct hw_account {
    struct hw_map_entry entry;
    char *name;                   /* owned */
    uint64_t version;             /* of what is in here; 0: never loaded */
    struct hw_webhook **webhooks; /* owned array of references, by number */
    size_t n_webhooks;
};

struct hw_subscriptions {
    struct hw_map accounts;
    struct hw_webhook **by_number; /* borrowed from the accounts; index w */
    size_t n_numbers;
    const struct hw_catalogue *catalogue; /* borrowed; what the webhooks' creators may read by;
                                             NULL: nobody is asked */
};

void hw_subscriptions_init(struct hw_subscriptions *s);
void hw_subscriptions_close(struct hw_subscriptions *s);

/* Everything of one account as of `version`, replacing what was known.  References are
 * taken from the array in every case (released on failure). */
HW_MUST_USE enum hw_status hw_subscriptions_put(struct hw_subscriptions *s, struct hw_slice account,
                                                uint64_t version, struct hw_webhook **webhooks,
                                                size_t n_webhooks);

struct hw_account *hw_subscriptions_account(const struct hw_subscriptions *s, struct hw_slice name);
struct hw_webhook *hw_subscriptions_find(const struct hw_subscriptions *s, uint32_t w);

/* The webhooks of the account that want such an event, into out (room for `max`); returns how
 * many there are, which may be more than max. */
size_t hw_subscriptions_match(const struct hw_subscriptions *s,
                              const struct hw_account *account, struct hw_slice type,
                              struct hw_slice subject, enum hw_level level,
                              struct hw_webhook **out, size_t max);

/* Does this one want such an event, as it is configured now, and whatever its status? */
bool hw_subscriptions_wants(const struct hw_subscriptions *s, const struct hw_webhook *wh,
                            struct hw_slice type, struct hw_slice subject,
                            enum hw_level level);

/* How many webhooks have that status. */
size_t hw_subscriptions_count(const struct hw_subscriptions *s, enum hw_webhook_status status);

#endif
