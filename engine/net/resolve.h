/*
 * resolve - names to addresses, without blocking the loop: the cache of names before lookup.h.
 *
 * As the system would: the hosts file first, then the name servers and search domains of
 * resolv.conf, A and AAAA.  `localhost` is the loopback, whatever either says.  Both
 * files are looked at again at most every few seconds; when one has changed, what is
 * cached is forgotten and new queries use what it says now.
 *
 * Cache     an answer by its TTL, at least 1 s and at most 5 min; "no such name" and "no
 *           address" for 30 s; failures not at all.  At most HW_RESOLVE_NAMES_MAX names, the
 *           one asked for longest ago is forgotten first.  One query in flight a name:
 *           who asks meanwhile waits for it.
 * Down      a failure (SERVFAIL, no answer) after 30 s in which something failed and nothing
 *           was resolved by a name server says more of the resolver than of the name.
 * Memory    a name and up to HW_RESOLVE_ADDRESSES_MAX addresses each.
 * Lifetime  open, close once with nobody waiting (cancel first).  A request is the caller's
 *           and stays put until its callback or its cancel.
 * Errors    ask fails only for want of memory; all else is in the answer.
 */
#ifndef HW_NET_RESOLVE_H
#define HW_NET_RESOLVE_H

#include "net/lookup.h"

#define HW_RESOLVE_ADDRESSES_MAX HW_LOOKUP_ADDRESSES_MAX
#define HW_RESOLVE_NAMES_MAX     16384

struct hw_resolve;
struct hw_resolve_name;
struct hw_resolve_req;

enum hw_resolve_result {
    HW_RESOLVE_FOUND,
    HW_RESOLVE_NOT_FOUND, /* the name servers say so: no such name, or it has no address */
    HW_RESOLVE_FAILED,    /* SERVFAIL, refused, no answer in time */
    HW_RESOLVE_DOWN,      /* the same, and nothing at all has resolved for 30 s; no memory */
    HW_RESOLVE_RESULTS
};

/* Borrowed for the callback. */
struct hw_resolve_answer {
    enum hw_resolve_result result;
    const struct hw_address *addresses; /* the families in turn, IPv4 first; when FOUND */
    size_t n_addresses;
    struct hw_cause cause; /* HW_OK, or HW_EDNS with a sentence */
};

typedef void (*hw_resolve_cb)(struct hw_resolve_req *req,
                              const struct hw_resolve_answer *answer);

struct hw_resolve_req {
    struct hw_list link; /* among those who wait for the name */
    hw_resolve_cb cb;
};

struct hw_resolve_options {
    const char *servers;    /* "127.0.0.1:5353,..."; NULL: resolv.conf's */
    const char *hosts_file; /* NULL: /etc/hosts */
    uint64_t *n_results;    /* borrowed, counted up: [HW_METRIC_DNS_RESULTS] of the metrics */
};

HW_MUST_USE enum hw_status hw_resolve_open(struct hw_resolve **out, struct hw_loop *loop,
                                           const struct hw_resolve_options *options,
                                           struct hw_cause *cause);
void hw_resolve_close(struct hw_resolve *r, void (*cb)(void *data), void *data);

/* cb runs once, later, never inside this call; also for what is cached. */
HW_MUST_USE enum hw_status hw_resolve_ask(struct hw_resolve *r, struct hw_resolve_req *req,
                                          struct hw_slice name, hw_resolve_cb cb);

/* cb will not run.  Immediate; does nothing for one that is not waiting. */
void hw_resolve_cancel(struct hw_resolve_req *req);

/* Has no name at all been resolved for 30 s, though some were asked for?  That is what DOWN says;
 * this is for who did not wait for the answer. */
bool hw_resolve_is_down(const struct hw_resolve *r);

#endif
