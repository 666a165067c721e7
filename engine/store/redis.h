/*
 * redis - one connection to Redis that heals by itself, with pipelining.
 *
 * Commands of one turn go out in one write.  Answers come in order.  When the connection is
 * lost every unanswered request is told so (it may or may not have been carried out: its
 * owner knows what to do), and the connection is made again after 50 ms, 100 ms, … 2 s, with
 * AUTH, SELECT and CLIENT SETNAME, and LOADING waited for.  NOSCRIPT is answered here: the
 * script's text is sent once and the request again, behind what was sent meanwhile.  A server
 * that says READONLY is left a second later: after a failover the name leads to another.
 *
 * Memory    requests and their commands are the callers'.  A reply is borrowed for the callback.
 * Lifetime  open; close once, requests get HW_ECANCELED.
 * Errors    a request made while not connected is refused at once (HW_ECONN).
 * Time      not a byte of a reply within reply_timeout_ms (0: never) of its request, or of the
 *           reply before it, counts as a lost connection.
 * Order     on a loss the requests hear first, then on_down.  on_down comes for each attempt
 *           that failed too, and once for a Redis that is still loading.
 */
#ifndef HW_STORE_REDIS_H
#define HW_STORE_REDIS_H

#include "core/metrics.h"
#include "loop/stream.h"
#include "redis/command.h"
#include "redis/reply.h"

struct hw_redis;
struct hw_redis_req;

/* Where Redis is; from HOOKWHEEL_REDIS_URL:
 * redis://[user:pass@]host[:port][/db], rediss://... the same over TLS,
 * unix://[user:pass@]/path[?db=n]; user and pass percent-encoded. */
struct hw_redis_target {
    char *host;  /* owned; NULL for a unix socket */
    char *path;  /* owned; NULL for TCP */
    char *user;  /* owned; NULL: none */
    char *password;
    uint16_t port;
    unsigned db;
    bool is_tls;
    bool has_folder; /* path leads through folder_fd (see hw_embedded_target) */
    int folder_fd;   /* owned, where has_folder */
};
HW_MUST_USE enum hw_status hw_redis_target_parse(struct hw_redis_target *t, struct hw_slice url,
                                                 struct hw_cause *cause);
void hw_redis_target_close(struct hw_redis_target *t);

enum hw_redis_trouble {
    HW_REDIS_FINE,
    HW_REDIS_GONE,     /* connection lost or closing: unknown whether it was carried out */
    HW_REDIS_FULL,     /* OOM: refused at maxmemory, nothing was done */
    HW_REDIS_UNSAVED,  /* MISCONF: cannot write to disk */
    HW_REDIS_READONLY, /* READONLY, NOREPLICAS, MASTERDOWN, LOADING, BUSY: not now, not here */
    HW_REDIS_NOGROUP,
    HW_REDIS_FENCED,   /* a script of ours said that we no longer own what it was about */
    HW_REDIS_REFUSED   /* any other error reply: cause has its text */
};

/* What an error reply means, given its text; one from inside a script too, in the form of
 * Redis 6.2 ("ERR Error running script ... -OOM ...") or later ("OOM ... script: ..."). */
enum hw_redis_trouble hw_redis_trouble_of(struct hw_slice error_text);

/* "127.0.0.1:6379", "[::1]:6379", "unix:/run/redis.sock"; no secret in it. */
void hw_redis_target_text(const struct hw_redis_target *t, char *out, size_t size);

/* `reply` is NULL unless trouble is FINE. */
typedef void (*hw_redis_cb)(struct hw_redis_req *req, enum hw_redis_trouble trouble,
                            const struct hw_reply *reply, const struct hw_cause *cause);

/* Yours until its callback has run; embed it. */
struct hw_redis_req {
    struct hw_list link;
    hw_redis_cb cb;
    struct hw_command *command; /* borrowed until the callback */
    hw_mono_us sent_us;
    bool script_sent;           /* private */
    bool wants_no_timeout;      /* a blocking command: set before sending */
    bool may_block;             /* one that blocks for a bounded time: set before sending */
};

struct hw_redis_events {
    void (*on_up)(void *data);                               /* ready for commands */
    void (*on_down)(void *data, const struct hw_cause *cause); /* lost, or could not be made */
    /* Optional: a message of a channel that was subscribed to; both are borrowed. */
    void (*on_message)(void *data, struct hw_slice channel, struct hw_slice text);
};

struct hw_redis_options {
    const struct hw_redis_target *target; /* borrowed */
    struct hw_trust *trust;               /* borrowed; for rediss://; may be NULL otherwise */
    struct hw_metrics *metrics;           /* borrowed */
    const char *name;                     /* borrowed; CLIENT SETNAME; NULL: none */
    uint64_t reply_timeout_ms;
    const struct hw_redis_events *events; /* borrowed, static */
    void *data;
};

HW_MUST_USE enum hw_status hw_redis_open(struct hw_redis **out, struct hw_loop *loop,
                                         const struct hw_redis_options *options, struct hw_cause *cause);
void hw_redis_close(struct hw_redis *r, void (*cb)(void *data), void *data);
bool hw_redis_is_up(const struct hw_redis *r);
/* Asked, and not a byte for a second and a half: whoever can do without it need not wait until it is lost. */
bool hw_redis_is_silent(const struct hw_redis *r);
hw_mono_ms hw_redis_last_reply(const struct hw_redis *r); /* 0: none yet */

/* Send.  HW_OK: cb runs exactly once, later.  Anything else: it will not. */
HW_MUST_USE enum hw_status hw_redis_send(struct hw_redis *r, struct hw_redis_req *req,
                                         struct hw_command *command, hw_redis_cb cb);

#endif
