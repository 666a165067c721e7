/*
 * backend - what the API asks of the rest of the engine.
 *
 * The API knows no Redis and no sockets of deliveries: it asks through this table of
 * functions, which engine.c fills over the store.
 *
 * Lifetime  a request is embedded in the API's call, which lives until the request's
 *           callback has run, whatever becomes of the connection meanwhile: a backend
 *           never has to know that the client has gone.  Nothing is cancelled.
 * Memory    what is marked "in" is borrowed by the backend until the callback begins.
 *           What is marked "out" is the backend's, borrowed by the API until the
 *           callback returns; the API frees none of it and writes its answer inside the
 *           callback.  Counted references (struct hw_webhook) follow the same rule: whoever
 *           wants to keep one holds it.
 * Callbacks exactly once a request, never inside the submitting call.  A backend that is
 *           being closed answers what it still has with HW_BACKEND_UNAVAILABLE.
 * Errors    enum hw_backend_result.  While Redis is away a backend answers UNAVAILABLE at
 *           once; it never keeps a request waiting for a reconnect.
 */
#ifndef HW_API_BACKEND_H
#define HW_API_BACKEND_H

#include "core/catalogue.h"
#include "core/metrics.h"
#include "core/token.h"
#include "core/webhook.h"
#include "rules/history.h"
#include "rules/record.h"

enum hw_backend_result {
    HW_BACKEND_OK,
    HW_BACKEND_NOT_FOUND,   /* no such thing, or another account's */
    HW_BACKEND_LIMIT,       /* the account has as many as it may */
    HW_BACKEND_CONFLICT,    /* the thing is in a state that does not allow it */
    HW_BACKEND_REFUSED,     /* update: its edit said no, and knows why */
    HW_BACKEND_KEPT,        /* the idempotency key was used before: see hw_backend_once */
    HW_BACKEND_EXPIRED,     /* the cursor leads to events that are no longer kept: see `oldest` */
    HW_BACKEND_UNAVAILABLE, /* Redis away, refusing writes, or this instance fenced */
    HW_BACKEND_FAILED       /* a fault of our own (out of memory); answered 500 */
};

struct hw_backend_req;
typedef void (*hw_backend_cb)(struct hw_backend_req *req);

/* The part that every request has; the first member of each struct below. */
struct hw_backend_req {
    hw_backend_cb cb;              /* in */
    enum hw_backend_result result; /* out; every other out field only with HW_BACKEND_OK */
    void *state;                   /* the backend's own, NULL at submission */
};

/* Accounts: "in" accounts are NUL-terminated.  NULL where a thing is asked for by its id:
 * of whatever account (the root token). */

struct hw_backend_webhook {
    const struct hw_webhook *webhook;
    struct hw_webhook_standing standing; /* as Redis has it now */
};

/* An Idempotency-Key: what was answered under it is kept for 24 h, in the same step as what it
 * created.  Kept is `prefix` (the body's hash and the status, as api/once.h writes them) and the
 * answer's body. */
struct hw_backend_once {
    const char *key;       /* in; NULL: none was given.  "<account>:<route>:<hash>" */
    const char *prefix;    /* in */
    struct hw_slice kept;  /* out, with HW_BACKEND_KEPT: prefix and body of the first answer */
};

struct hw_backend_recall {
    struct hw_backend_req req; /* HW_BACKEND_OK: nothing is kept; HW_BACKEND_KEPT */
    struct hw_backend_once once;
};

/* A place in an account's feed: what follows the event of that id.  One that no feed has
 * (HW_FEED_NOWHERE: a cursor of a Redis that was emptied since) is EXPIRED wherever it is used. */
struct hw_backend_from {
    bool is_start;          /* from the oldest that is kept; `after` says nothing then */
    struct hw_stream_id after;
};

/* Kept events for one webhook, besides those that come. */
enum hw_backfill_kind {
    HW_BACKFILL_NONE,
    HW_BACKFILL_FROM,       /* from a place on */
    HW_BACKFILL_DISABLED    /* from where it was disabled on */
};

struct hw_backend_create {
    struct hw_backend_req req;      /* EXPIRED: nothing was created */
    enum hw_backfill_kind backfill; /* in: NONE or FROM */
    struct hw_backend_from from;    /* in */
    struct hw_stream_id oldest;     /* out, with EXPIRED: a place from which nothing is missing */
    struct hw_backend_once once;
    struct hw_slice answer; /* in, with a key: the body of the 201, as it will be sent */
    /* In: complete but for its number `w`, which the backend sets; the API has the only
     * reference until then.  A backend that keeps it holds it. */
    struct hw_webhook *webhook;
};

struct hw_backend_get {
    struct hw_backend_req req;
    const char *account; /* in; NULL: any */
    const char *id;      /* in; well-formed or not */
    struct hw_backend_webhook found; /* out */
};

/* All live webhooks of one account (there are at most HOOKWHEEL_MAX_WEBHOOKS); the API
 * filters and pages. */
struct hw_backend_list {
    struct hw_backend_req req;
    const char *account;                    /* in */
    const struct hw_backend_webhook *found; /* out; in any order */
    size_t n_found;                         /* out */
};

struct hw_backend_delete {
    struct hw_backend_req req;
    const char *account; /* in; NULL: any */
    const char *id;      /* in */
};

/* Change a webhook as Redis has it now. */
struct hw_backend_update {
    struct hw_backend_req req;
    const char *account; /* in; NULL: any */
    const char *id;      /* in */
    /* In: applies the change to `wh`, a copy that nobody else has, with its standing; status may
     * be set between active, paused and disabled.  false: refused.  Runs before req.cb, once
     * or, where somebody else's change came in between, again on the newer one. */
    bool (*edit)(struct hw_backend_update *update, struct hw_webhook *wh);
    /* In: only where edit makes a disabled one active, else CONFLICT.  EXPIRED: nothing has
     * changed. */
    enum hw_backfill_kind backfill;
    struct hw_backend_from from;
    struct hw_stream_id oldest;      /* out, with EXPIRED */
    struct hw_backend_webhook found; /* out: as it is now */
};

/* A webhook.test to it, now: one delivery more. */
struct hw_backend_test {
    struct hw_backend_req req; /* CONFLICT: it is disabled */
    const char *account;       /* in; NULL: any */
    const char *id;            /* in */
    uint32_t w;                /* out: the delivery, to be asked for with inspect */
    uint64_t n;                /* out */
};

/* Its dead letters of a time range are queued again. */
struct hw_backend_recover {
    struct hw_backend_req req; /* CONFLICT: it is disabled */
    const char *account;       /* in; NULL: any */
    const char *id;            /* in */
    hw_unix_ms since_ms;       /* in: created at or after */
    hw_unix_ms until_ms;       /* in: created before; 0: no bound */
    uint64_t count;            /* out */
};

/* Kept events that a webhook wants are queued to it, behind what comes live; each once a request.
 * What was queued is told when all of it is. */
struct hw_backend_backfill {
    struct hw_backend_req req;   /* CONFLICT: it is disabled, or has too much queued already */
    const char *account;         /* in; NULL: any */
    const char *id;              /* in */
    struct hw_backend_from from; /* in */
    bool has_until;              /* in: up to and with `until`; else all there is now */
    struct hw_stream_id until;   /* in */
    const char *why;             /* out, with CONFLICT: a sentence; static */
    bool has_begun;              /* out, with UNAVAILABLE: it is done all the same */
    struct hw_stream_id oldest;  /* out, with EXPIRED */
    uint64_t count;              /* out */
};

/* One delivery again. */
struct hw_backend_redeliver {
    struct hw_backend_req req; /* CONFLICT: see why */
    const char *account;       /* in; NULL: any */
    uint32_t w;                /* in */
    uint64_t n;                /* in */
    const char *why;           /* out, with CONFLICT: a sentence; static */
};

/* An event that was checked; empty: not given. */
struct hw_backend_event {
    struct hw_slice account, type, payload, subject, id, level, timestamp, traceparent;
};

/* Events for the ingress stream, all or none. */
struct hw_backend_events {
    struct hw_backend_req req;
    struct hw_backend_once once;
    const struct hw_backend_event *events; /* in; only until the call returns */
    size_t n_events;                       /* in; at least 1 */
    struct hw_slice answer;                /* out: {"data":[{"id":…},…]} */
};

/* The catalogue and the tokens.  After OK what is in memory (hw_backend.catalogue, .tokens) is
 * what Redis has: the change made, or, of the two that only ask, as it is now. */
struct hw_backend_book {
    struct hw_backend_req req;        /* NOT_FOUND: dropping what is not there */
    const struct hw_event_type *type; /* in: put_type */
    struct hw_token *token;           /* in: put_token */
    const char *key;                  /* in: drop_type its name, drop_token its id */
};

/* A place in an account's deliveries: newest first is descending by stamp, then w, then n. */
struct hw_backend_place {
    uint64_t stamp_us;
    uint32_t w;
    uint64_t n;
};

struct hw_backend_delivery {
    uint32_t w;
    uint64_t n;
    const char *account;
    const char *webhook_id;
    struct hw_history history; /* its log only where one delivery is asked for */
};

struct hw_backend_deliveries {
    struct hw_backend_req req;
    /* In. */
    const char *account;
    const char *webhook_id; /* NULL: of all; an unknown one finds nothing */
    const char *event_id;   /* NULL: any */
    const char *subject;    /* NULL: any */
    int status;             /* enum hw_delivery_status, or -1: any */
    hw_unix_ms since_ms;    /* created at or after; 0: no bound */
    hw_unix_ms until_ms;    /* created before; 0: no bound */
    size_t limit;           /* 1 to 200 */
    bool has_place;         /* from `place` on, itself not included; else from the newest */
    struct hw_backend_place place;
    bool is_newer;          /* those next to `place` on its newer side; else on its older side */
    /* Out. */
    const struct hw_backend_delivery *found; /* newest first, whichever way was asked */
    size_t n_found;
    bool has_more;                 /* in the direction asked for */
    struct hw_backend_place reached; /* where to go on when has_more: usually the place of the
                                      * outermost one found, further out where a filter made
                                      * the backend look at more than it found */
};

struct hw_backend_inspect {
    struct hw_backend_req req;
    const char *account; /* in; NULL: any */
    uint32_t w;          /* in */
    uint64_t n;          /* in */
    /* Out. */
    struct hw_backend_delivery found;
    const struct hw_webhook *webhook; /* its configuration now (a tombstone's too); NULL: gone */
    struct hw_slice record;           /* the event's record; empty: no longer kept */
    unsigned response_of;             /* number of the attempt (a delivered one) whose response */
    struct hw_slice response_head;    /*   is not in the log but here; 0: of none */
    struct hw_slice response_body;
};

/* An event of a feed. */
struct hw_backend_update_event {
    struct hw_stream_id id;
    struct hw_slice record;
};

/* An account's events from a place on, oldest first; with wait_ms, once there is one. */
struct hw_backend_updates {
    struct hw_backend_req req; /* EXPIRED: see `oldest` */
    /* In. */
    const char *account;
    struct hw_backend_from from;
    size_t limit;     /* 1 to 200; fewer come where they are large */
    unsigned wait_ms; /* how long to wait for the first; 0: not at all */
    /* Is it for the one who asks?  A pure function of the record and what is true now; called
     * between the call and req.cb, for each event looked at. */
    bool (*wants)(const struct hw_backend_updates *updates, const struct hw_record *record);
    /* Out. */
    const struct hw_backend_update_event *found;
    size_t n_found;
    struct hw_stream_id reached; /* where to go on: everything up to here was looked at; while it
                                  * waits: and nothing of it wanted (0-0: not known) */
    bool has_more;               /* more that is wanted is there now (or may be: go on) */
    struct hw_stream_id oldest;  /* with EXPIRED: a place from which nothing is missing */
    /* The backend's own, NULL at submission. */
    void *waiter;
};

/* What a consumer's caller may read, in a form that goes to Redis. */
struct hw_backend_readable {
    bool otherwise;           /* types that are not named */
    const char *const *names; /* in: types of which the contrary holds */
    size_t n_names;
};

enum { HW_BACKEND_CONSUMERS_MAX = 100 }; /* named consumers an account */

/* Events for a named consumer, which is made where there is none. */
struct hw_backend_pull {
    struct hw_backend_req req; /* LIMIT: the account has as many consumers as it may; EXPIRED */
    /* In. */
    const char *account;
    const char *name;
    size_t limit;                /* 1 to 200 */
    unsigned visibility_ms;
    struct hw_backend_from from; /* where it begins if it is new */
    struct hw_backend_readable readable;
    /* Out. */
    const struct hw_backend_update_event *found; /* those that come again, then new ones */
    size_t n_found;
    bool has_more;              /* another pull at once would bring some */
    struct hw_stream_id oldest; /* with EXPIRED */
};

/* What a consumer has out, oldest first, by pages. */
struct hw_backend_outstanding {
    struct hw_backend_req req; /* NOT_FOUND: no such consumer */
    /* In. */
    const char *account;
    const char *name;
    struct hw_stream_id after; /* 0-0: from the first */
    size_t limit;              /* 1 to 200 */
    struct hw_backend_readable readable;
    /* Out. */
    const struct hw_backend_update_event *found;
    size_t n_found;
    struct hw_stream_id reached;
    bool has_more;
};

struct hw_backend_ack {
    struct hw_backend_req req; /* NOT_FOUND: no such consumer; EXPIRED: the cursor */
    /* In. */
    const char *account;
    const char *name;
    const char *const *event_ids; /* NULL: by cursor */
    size_t n_event_ids;           /* at most 1,000 */
    struct hw_stream_id cursor;   /* all up to it, those not handed out yet too */
    /* Out. */
    uint64_t n_acknowledged;
    struct hw_stream_id oldest;   /* with EXPIRED */
};

struct hw_backend_consumer {
    const char *name;
    struct hw_stream_id position; /* handed out or passed over up to here */
    uint64_t lag;                 /* events behind it */
    uint64_t handed_out;          /* and not acknowledged */
    uint64_t skipped;             /* trimmed before they were acknowledged */
    hw_unix_ms created_ms;
};

struct hw_backend_consumers {
    struct hw_backend_req req;
    const char *account;                     /* in */
    const struct hw_backend_consumer *found; /* out; by name */
    size_t n_found;                          /* out */
};

struct hw_backend_drop_consumer {
    struct hw_backend_req req; /* NOT_FOUND */
    const char *account;       /* in */
    const char *name;          /* in */
};

struct hw_backend_gauges {
    struct hw_backend_req req; /* always answered OK; what Redis cannot say now is as last known */
    struct hw_gauges gauges;   /* out */
};

struct hw_backend_readiness {
    bool is_ready;
    char reason[256];            /* why not; "" when ready */
    enum hw_durability durability;
    char durability_note[256];   /* what this Redis may lose, for people; "" : nothing to say */
};

struct hw_backend {
    void *data; /* borrowed; handed to each call */
    void (*create)(void *data, struct hw_backend_create *req);
    void (*get)(void *data, struct hw_backend_get *req);
    void (*list)(void *data, struct hw_backend_list *req);
    void (*remove)(void *data, struct hw_backend_delete *req);
    void (*update)(void *data, struct hw_backend_update *req);
    void (*test)(void *data, struct hw_backend_test *req);
    void (*recover)(void *data, struct hw_backend_recover *req);
    void (*redeliver)(void *data, struct hw_backend_redeliver *req);
    void (*backfill)(void *data, struct hw_backend_backfill *req);
    void (*updates)(void *data, struct hw_backend_updates *req);
    /* One that waits: answer it now, on the next turn, with what there is. */
    void (*hurry)(void *data, struct hw_backend_updates *req);
    void (*pull)(void *data, struct hw_backend_pull *req);
    void (*outstanding)(void *data, struct hw_backend_outstanding *req);
    void (*ack)(void *data, struct hw_backend_ack *req);
    void (*consumers)(void *data, struct hw_backend_consumers *req);
    void (*drop_consumer)(void *data, struct hw_backend_drop_consumer *req);
    void (*events)(void *data, struct hw_backend_events *req);
    void (*recall)(void *data, struct hw_backend_recall *req);
    void (*put_type)(void *data, struct hw_backend_book *req);
    void (*drop_type)(void *data, struct hw_backend_book *req);
    void (*put_token)(void *data, struct hw_backend_book *req);
    void (*drop_token)(void *data, struct hw_backend_book *req);
    void (*refresh_types)(void *data, struct hw_backend_book *req);
    void (*refresh_tokens)(void *data, struct hw_backend_book *req);
    void (*deliveries)(void *data, struct hw_backend_deliveries *req);
    void (*inspect)(void *data, struct hw_backend_inspect *req);
    void (*gauges)(void *data, struct hw_backend_gauges *req);
    /* At once, from memory, as of half a second ago at most; borrowed until the next turn. */
    const struct hw_catalogue *(*catalogue)(void *data);
    const struct hw_token_book *(*tokens)(void *data);
    /* Which life of Redis the feeds' cursors are of: another number once it was emptied. */
    uint32_t (*feed_epoch)(void *data);
    /* Redis hangs (what it was asked has no answer for a second or two, and nothing new will get
     * one soon), or the catalogue was not read from it yet since the start. */
    bool (*is_out_of_reach)(void *data);
    void (*readiness)(void *data, struct hw_backend_readiness *out);
};

#endif
