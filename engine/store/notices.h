/*
 * notices - which feeds other instances have just added to.
 *
 * accept publishes the accounts it has added to on the channel <tag>feed where there is company
 * ("<instance> <account> <account> ..."); this is the connection that listens.  Our own are left
 * out: whoever accepts knows.
 *
 * Lifetime  open; close once, before the work connection.
 * Errors    a lost connection is made anew; what was missed meanwhile is unknown, so on_gap comes
 *           once it listens again (and when it first does).  While it cannot listen (an ACL, too
 *           many clients) on_gap comes every two seconds, unless the work connection is lost too.
 */
#ifndef HW_STORE_NOTICES_H
#define HW_STORE_NOTICES_H

#include "store/keys.h"

struct hw_notices;

struct hw_notices_options {
    struct hw_store *store;               /* borrowed */
    const struct hw_redis_target *target; /* borrowed */
    struct hw_trust *trust;               /* borrowed */
    void (*on_added)(void *data, struct hw_slice account); /* borrowed for the call */
    void (*on_gap)(void *data);           /* any feed may have been added to */
    void *data;
};

HW_MUST_USE enum hw_status hw_notices_open(struct hw_notices **out,
                                           const struct hw_notices_options *options,
                                           struct hw_cause *cause);
void hw_notices_close(struct hw_notices *n, void (*cb)(void *data), void *data);

#endif
