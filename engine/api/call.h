/*
 * call - one request under way, from its head to its answer.
 *
 * A handler gets a call that was let in: route, token and query were checked.  It reads
 * what it needs, asks the backend with one of the requests embedded here, and answers in
 * that request's callback (or at once).  Answering is the last thing it does: the call is
 * gone afterwards.
 *
 * Memory    owned by its session until its handler runs, then by nobody but itself: it
 *           frees itself when it is answered.  If the client has gone meanwhile, the answer
 *           is dropped; handler and backend need not know.  Those that wait for events for long
 *           want to know, and set a watch.
 *           `target`'s strings live as long as the call, `body` only until the handler
 *           returns.
 */
#ifndef HW_API_CALL_H
#define HW_API_CALL_H

#include "api/backend.h"
#include "api/once.h"
#include "api/problem.h"
#include "api/routes.h"

struct hw_api;
struct hw_call;
struct hw_session;

/* What a call that waits for long, or answers in pieces, hears of its session.  One that is told
 * on_gone has no session any more, and frees itself, now or when the backend has answered. */
struct hw_call_watch {
    void (*on_gone)(struct hw_call *call);    /* the client has gone */
    void (*on_closing)(struct hw_call *call); /* the API closes: make an end now */
    void (*on_drained)(struct hw_call *call); /* in pieces: all that was written has left */
};

/* Which events of a feed. */
struct hw_updates_filter {
    const char *types;   /* separated by commas; NULL: every type */
    const char *subject; /* NULL: any */
    uint32_t epoch;      /* of its cursors, when the question was asked */
};

struct hw_call {
    struct hw_api *api;         /* borrowed */
    struct hw_session *session; /* borrowed; NULL: the client has gone */
    struct hw_target target;
    struct hw_match match;
    struct hw_caller caller;
    struct hw_problem problem; /* why it is not let in; code HW_PROBLEM_NONE: it is */
    bool is_head;
    bool is_counted;               /* its request was answered without it */
    bool is_stranger;              /* its token is not known here: hw_call_ask_who */
    struct hw_slice authorization; /* until the body is read */
    struct hw_slice content_type;  /* until the handler returns */
    struct hw_slice body;          /* until the handler returns */
    struct hw_slice once_header;   /* Idempotency-Key, the first; until the handler begins */
    unsigned n_once_headers;       /* how often it was given */
    uint32_t feed_epoch;           /* as of when its handler began */
    struct hw_once once;           /* for the routes that keep their answers */
    struct hw_webhook *webhook;    /* owned reference: what is being created */
    struct hw_token *token;        /* owned reference: what is being issued */
    struct hw_event_type type;     /* what is being written; its texts are body_json's */
    struct hw_slice last_event_id; /* Last-Event-ID, the first; until the handler returns */
    unsigned n_last_event_ids;     /* how often it was given */
    struct hw_updates_filter filter;  /* for questions to a feed; its texts are the target's */
    const char **names;            /* owned, one block: for hw_updates_readable */
    const struct hw_call_watch *watch; /* static; NULL: nothing to be told */
    void *kept;                    /* what a handler keeps with it ... */
    void (*on_drop)(struct hw_call *call); /* ... and what frees that; NULL: nothing is kept */
    json_t *answer;                /* owned: an answer put together before it may be given */
    json_t *body_json; /* owned: what a handler keeps of the body beyond its return */
    union {
        struct hw_backend_create create;
        struct hw_backend_get get;
        struct hw_backend_list list;
        struct hw_backend_delete remove;
        struct hw_backend_update update;
        struct hw_backend_test test;
        struct hw_backend_recover recover;
        struct hw_backend_redeliver redeliver;
        struct hw_backend_backfill backfill;
        struct hw_backend_updates updates;
        struct hw_backend_pull pull;
        struct hw_backend_outstanding outstanding;
        struct hw_backend_ack ack;
        struct hw_backend_consumers consumers;
        struct hw_backend_drop_consumer drop_consumer;
        struct hw_backend_events events;
        struct hw_backend_recall recall;
        struct hw_backend_book book;
        struct hw_backend_deliveries deliveries;
        struct hw_backend_inspect inspect;
        struct hw_backend_gauges gauges;
    } ask;
};

/* What an answer is made of; a call without a client counts and drops it. */
struct hw_reply {
    int status;
    const char *content_type; /* NULL: no body */
    bool is_open;             /* the body comes in pieces, to the end of the connection */
    const char *fields;       /* more header lines, "name: value\r\n" each; NULL: none */
    struct hw_slice body;
};

/* NULL: out of memory.  `method` and `raw_target` are borrowed for this call only; whether
 * it is let in is in `problem`. */
HW_MUST_USE struct hw_call *hw_call_new(struct hw_session *session, struct hw_api *api,
                                        enum hw_door door, const char *method,
                                        struct hw_slice raw_target,
                                        struct hw_slice authorization);

/* One that is not let in, whatever it was: what arrived cannot be read as a request. */
HW_MUST_USE struct hw_call *hw_call_refused(struct hw_session *session, struct hw_api *api,
                                            const struct hw_problem *problem);

/* The token of a stranger may have been issued at another instance a moment ago: ask, once.
 * Then the session is told (hw_session_go_ahead), and what was found is in `problem`; where
 * the client has gone meanwhile, the call is dropped. */
void hw_call_ask_who(struct hw_call *call);

/* Redis hangs, and the client shall not wait: what answers in its place, a refusal.  The call
 * itself goes on without a client.  NULL: out of memory. */
HW_MUST_USE struct hw_call *hw_call_let_go(struct hw_call *call);

/* The whole request is there: run the handler, or refuse. */
void hw_call_run(struct hw_call *call);

/* Each of these answers and ends the call. */
void hw_call_json(struct hw_call *call, int status, json_t *body); /* taken; NULL: 500 */
void hw_call_text(struct hw_call *call, int status, const char *content_type,
                  struct hw_slice body);
void hw_call_nothing(struct hw_call *call); /* 204 */
void hw_call_refuse(struct hw_call *call, const struct hw_problem *problem);
/* cursor_expired: `oldest` is a place from which nothing is missing. */
void hw_call_set_expired(const struct hw_call *call, struct hw_stream_id oldest,
                         struct hw_problem *p);
void hw_call_refuse_expired(struct hw_call *call, struct hw_stream_id oldest);
/* For every other result but HW_BACKEND_OK; `what` is "webhook", "delivery" ... */
void hw_call_refuse_result(struct hw_call *call, enum hw_backend_result result,
                           const char *what);

/* From the handler on, before it asks the backend: the answer may take `for_ms`.  Its client is
 * watched meanwhile. */
void hw_call_wait(struct hw_call *call, const struct hw_call_watch *watch, unsigned for_ms);

/* An answer in pieces, up to the end of the connection: its head.  false: the call is gone,
 * because that was all (HEAD) or for want of memory.
 * Then the pieces, each after the one before has left (on_drained, or hw_call_is_clear); false:
 * there is no session any more, and the call is the caller's to end.  At last finish, unless
 * on_gone has come: the session has all it gets, the call is the caller's to end. */
HW_MUST_USE bool hw_call_open(struct hw_call *call, const struct hw_call_watch *watch,
                              const char *content_type, const char *fields);
HW_MUST_USE bool hw_call_send(struct hw_call *call, struct hw_slice piece);
bool hw_call_is_clear(const struct hw_call *call);
void hw_call_finish(struct hw_call *call);

/* From the session: the client has gone while the backend has the call, or it answers in
 * pieces. */
void hw_call_abandon(struct hw_call *call);

/* Unanswered: its session ends before the handler ran; or answered in pieces, and nobody asks
 * for it any more. */
void hw_call_drop(struct hw_call *call);

/* The call around a backend's request (each is first in the union, and has it first). */
struct hw_call *hw_call_of(struct hw_backend_req *req);

/* The account a caller means: its own, or what it names with ?account= ("default" where it
 * names none).  NULL: *p says why. */
const char *hw_call_account(struct hw_call *call, struct hw_problem *p);

/* Is its token still known, and in time?  For calls that take long.  false: *p, unauthorized. */
HW_MUST_USE bool hw_call_check_caller(const struct hw_call *call, struct hw_problem *p);

/* Is the body application/json?  false: *p says that it is not. */
HW_MUST_USE bool hw_call_is_json(const struct hw_call *call, struct hw_problem *p);

/* The answer kept under the call's Idempotency-Key, or the refusal that it is another body's;
 * for HW_BACKEND_KEPT. */
void hw_call_repeat(struct hw_call *call, struct hw_slice kept);

/* Of the feeds' cursors that this call shows and reads. */
uint32_t hw_call_epoch(const struct hw_call *call);

/* The account to ask for things by id: NULL for root. */
static inline const char *hw_call_own_account(const struct hw_call *call)
{
    return call->caller.account;
}

#endif
