/*
 * fetch - one HTTP request to an engine and its answer, for a command that has nothing else
 * to do meanwhile.
 *
 * Each request has a connection of its own; the call returns when the answer is there whole.
 *
 * Memory    a loop and the newest answer, of at most HW_FETCH_ANSWER_MAX; with https:// the
 *           trusted roots.
 * Lifetime  open; ask and wait, any number of times; close.
 * Errors    a cause with one sentence that names the URL: no connection, no answer in time,
 *           one that is no HTTP.  An answer of any status is HW_OK.  HW_ECANCELED: a signal
 *           that is watched for has come.
 */
#ifndef HW_CLI_FETCH_H
#define HW_CLI_FETCH_H

#include "cli/api_url.h"
#include "http/response.h"
#include "store/dial.h"
#include "store/redis.h"

#define HW_FETCH_ANSWER_MAX ((size_t)16 * 1024 * 1024)

struct hw_fetch {
    uv_loop_t uv;
    struct hw_loop loop;
    struct hw_api_url url;
    struct hw_redis_target target; /* the same place, as dial.h wants it */
    struct hw_trust *trust;        /* owned; NULL: not TLS */
    struct hw_dial dial;
    struct hw_response response;
    struct hw_buf request; /* head and body as they are sent */
    struct hw_wheel_entry deadline;
    struct hw_wheel_entry look; /* at who reads the output */
    uint64_t timeout_ms;
    uv_signal_t signals[2];
    struct hw_cause *cause; /* of the request under way */
    bool is_sent, is_done, is_dial_closed, is_loop_closed;
    bool watches; /* for signals, and whether the output is read */
    bool is_interrupted;
    bool is_unread; /* interrupted, because nobody reads what would be printed */
};

struct hw_fetch_request {
    const char *method;
    const char *path;     /* and query; begins with '/' */
    const char *token;    /* NULL: none */
    const char *once_key; /* Idempotency-Key; NULL: none */
    const char *json;     /* NULL: no body */
};

/* `url` is where the API is; `ca_file` NULL: only the system's roots. */
HW_MUST_USE enum hw_status hw_fetch_open(struct hw_fetch *f, const char *url,
                                         const char *ca_file, uint64_t timeout_ms,
                                         struct hw_cause *cause);
void hw_fetch_close(struct hw_fetch *f);

/* The answer is in f->response until the next one.  Texts of the request are visible ASCII
 * where they go into its head. */
HW_MUST_USE enum hw_status hw_fetch_ask(struct hw_fetch *f,
                                        const struct hw_fetch_request *request,
                                        struct hw_cause *cause);

/* From now on SIGINT and SIGTERM end what is under way instead of the process; so does, within a
 * second, a reader of the standard output that goes away. */
void hw_fetch_watch(struct hw_fetch *f);

/* Let time pass; false: it was ended. */
bool hw_fetch_wait(struct hw_fetch *f, uint64_t wait_ms);

#endif
