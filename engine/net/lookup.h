/*
 * lookup - questions to the hosts file and the name servers, through c-ares, on our loop.
 *
 * It remembers no answer (resolve.h does).  resolv.conf and the hosts file are read when a channel of c-ares is made; when
 * one has changed, a new channel takes the next questions, and the old one lives until
 * its last question is answered.
 *
 * Units     a TTL in seconds, as the name servers tell it.
 * Memory    owns channels and watches of their sockets.  A request is the caller's and stays put
 *           until its callback; an answer is borrowed for the callback.
 * Lifetime  open, close once.  What is under way then is dropped inside close: no callback.
 * Errors    ask cannot fail: whatever is wrong is the answer.
 * Cost      a query each time; has_changed: two stat() every few seconds.
 */
#ifndef HW_NET_LOOKUP_H
#define HW_NET_LOOKUP_H

#include "loop/loop.h"
#include "net/lookup_answer.h"

struct hw_lookup;
struct hw_lookup_channel;
struct hw_lookup_req;

typedef void (*hw_lookup_cb)(struct hw_lookup_req *req, const struct hw_lookup_answer *answer);

/* All of it private; zero before the first ask. */
struct hw_lookup_req {
    struct hw_lookup_channel *channel; /* borrowed: where it is in flight; NULL: nowhere */
    hw_lookup_cb cb;
};

struct hw_lookup_options {
    const char *servers;    /* copied; "127.0.0.1:5353,..."; NULL: resolv.conf's */
    const char *hosts_file; /* copied; NULL: /etc/hosts */
};

HW_MUST_USE enum hw_status hw_lookup_open(struct hw_lookup **out, struct hw_loop *loop,
                                          const struct hw_lookup_options *options,
                                          struct hw_cause *cause);
/* cb runs later, when c-ares and libuv have let go of everything. */
void hw_lookup_close(struct hw_lookup *l, void (*cb)(void *data), void *data);

/* Look at the two files, unless that was a moment ago.  true: what was answered to questions
 * asked before this call is no longer good; later ones go to a new channel, if one can be made. */
bool hw_lookup_has_changed(struct hw_lookup *l);

/* `name` ends in NUL and is the caller's until the answer.  cb runs once, and, unlike callbacks
 * elsewhere, maybe inside this call (hosts file, bad name) and always inside c-ares: it keeps
 * the answer and calls nothing here. */
void hw_lookup_ask(struct hw_lookup *l, struct hw_lookup_req *req, const char *name,
                   hw_lookup_cb cb);

/* Is its answer still to come? */
static inline bool hw_lookup_is_under_way(const struct hw_lookup_req *req)
{
    return req->channel != NULL;
}

#endif
