/*
 * pool - the connections there are, by origin; which are idle; who must go when it is tight.
 *
 * An origin is scheme, host and port.  Its idle connections are used last in, first out,
 * so that those not needed grow old and are closed: after HW_POOL_IDLE_MS, a little under
 * the 60 s that many servers and load balancers wait, so that it is mostly us who close.
 * There is a bound on connections; at the bound the oldest idle one of any origin makes room.
 * The newest session ticket of an origin is kept for its next connection, for
 * HW_POOL_QUIET_MAX origins even when they have no connection left.
 *
 * Counting  `n_open` counts descriptors: reserved before a name is resolved (reserve), taken
 *           over by the connection that is made (add), or given up (release).  drop ends
 *           a connection and its count.
 * Memory    owns origins; connections free themselves once closed.
 * Lifetime  init; close with no connection and no user.
 */
#ifndef HW_NET_POOL_H
#define HW_NET_POOL_H

#include "base/map.h"
#include "http/url.h"
#include "net/conn.h"
#include "net/origin_lines.h"

#define HW_POOL_IDLE_MS   55000
#define HW_POOL_QUIET_MAX 4096

struct hw_pool {
    struct hw_loop *loop;   /* borrowed */
    struct hw_trust *trust; /* borrowed */
    struct hw_map origins;
    struct hw_list conns;   /* all that are not closing */
    struct hw_list by_idle; /* idle ones, oldest first */
    struct hw_list quiet;   /* origins with a ticket and nothing else, oldest first */
    size_t n_quiet;
    size_t n_open;     /* descriptors reserved or in use */
    size_t n_doubtful; /* of these, connections that are is_doubtful */
    size_t max_open;
    struct hw_wheel_entry too_old; /* when the oldest idle one is */
};

struct hw_pool_origin {
    struct hw_map_entry entry; /* in pool->origins; key: name */
    struct hw_list quiet;      /* in pool->quiet */
    struct hw_list idle;       /* connections, newest first */
    struct hw_conn_target target;
    char *name;       /* owned: "https://host:port" */
    size_t n_users;   /* requests and callers on the stack that refer to it */
    size_t n_opening; /* of n_open: not established yet */
    size_t n_open;    /* descriptors reserved or in use */
    struct hw_origin_lines lines; /* requests without a connection */
};

void hw_pool_init(struct hw_pool *p, struct hw_loop *loop, struct hw_trust *trust,
                  size_t max_open);
void hw_pool_close(struct hw_pool *p);

/* Find or make the origin of `url`, with one user more; NULL: out of memory. */
struct hw_pool_origin *hw_pool_visit(struct hw_pool *p, const struct hw_url *url);

/* One user less.  Without users and connections an origin is forgotten. */
void hw_pool_leave(struct hw_pool *p, struct hw_pool_origin *o);

/* The newest idle connection, yours until given back or dropped; NULL: none. */
struct hw_conn *hw_pool_lease(struct hw_pool *p, struct hw_pool_origin *o);
void hw_pool_give_back(struct hw_pool *p, struct hw_conn *c);

/* Count one connection that is about to be opened, making room for it; false: there is
 * none (with `force` always true). */
bool hw_pool_reserve(struct hw_pool *p, struct hw_pool_origin *o, bool force);
void hw_pool_release(struct hw_pool *p, struct hw_pool_origin *o); /* it will not be opened */
void hw_pool_add(struct hw_pool *p, struct hw_pool_origin *o, struct hw_conn *c,
                 bool is_doubtful);
void hw_pool_established(struct hw_pool *p, struct hw_conn *c);

/* Close it, whatever it is doing.  May be the end of its origin. */
void hw_pool_drop(struct hw_pool *p, struct hw_conn *c);

/* Close the oldest idle connection; false: there is none. */
bool hw_pool_evict(struct hw_pool *p);

void hw_pool_forget_ticket(struct hw_pool_origin *o);

#endif
