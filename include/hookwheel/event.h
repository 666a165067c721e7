/*
 * event - what an engine has to say to whoever runs it.
 *
 * The library never prints.  Where something is decided that an operator wants to know it is
 * reported once, as one plain struct; the program's log.c writes lines, an embedder does
 * what it likes.  Nothing secret is ever in an event: no token, no signing secret, no
 * payload, no receiver's answer.
 *
 * Lifetime  an event and its strings are borrowed for the call.
 * Threads   called on the loop's thread, never inside a call into the engine, except
 *           for what hw_engine_open and hw_engine_start report before they return.
 * Calling   the observer may call hw_engine_drain; it must not close the engine.
 */
#ifndef HOOKWHEEL_EVENT_H
#define HOOKWHEEL_EVENT_H

#include <stdint.h>

#include "hookwheel/status.h"

enum hw_event_level { HW_EVENT_DEBUG, HW_EVENT_INFO, HW_EVENT_WARN, HW_EVENT_ERROR };

/* X(name, level, text).  The fields that a kind sets are named behind it; `text` is always one
 * sentence for people where nothing else is said, and may be NULL. */
#define HW_ENGINE_EVENT_MAP(X)                                                            \
    X(LISTENING, INFO, "listening")            /* address; subject: "api" or "ops" */     \
    X(READY, INFO, "ready")                    /* - */                                    \
    X(NOT_READY, WARN, "not_ready")            /* text: the reason, as /readyz gives it */ \
    X(REDIS_UP, INFO, "redis_up")              /* address */                              \
    X(REDIS_DOWN, WARN, "redis_down")          /* address, cause */                       \
    X(REDIS_DURABILITY, INFO, "redis_durability") /* subject: level; text: what it may lose */ \
    X(REDIS_EMBEDDED, INFO, "redis_embedded")  /* text: started, died, started again, ... */ \
    X(WEBHOOK_DISABLED, WARN, "webhook_disabled") /* account, subject: webhook id, text: why */ \
    X(EVENT_REJECTED, WARN, "event_rejected")  /* subject: entry id, text: reason, count: of \
                                                  these since the last such report, rate limited */ \
    X(TAKEOVER, WARN, "takeover")              /* subject: instance, text: why */        \
    X(LIMIT_LOWERED, WARN, "limit_lowered")    /* text, count: max_in_flight now (few fds) */ \
    X(WARNING, WARN, "warning")                /* text, cause */                          \
    X(DRAINING, INFO, "draining")              /* count: attempts in flight */            \
    X(DRAINED, INFO, "drained")                /* count: attempts given up on */          \
    X(STOPPED, INFO, "stopped")                /* - */                                    \
    X(REFUSED, ERROR, "refused")               /* cause: this engine must not run here (another \
                                                  root token, Redis too old, it evicts ...): \
                                                  the program exits with code 2 */        \
    X(TRACE, DEBUG, "trace")                   /* text */

enum hw_engine_event_kind {
#define X(name, level, text) HW_EVENT_##name,
    HW_ENGINE_EVENT_MAP(X)
#undef X
    HW_ENGINE_EVENTS
};

struct hw_engine_event {
    enum hw_engine_event_kind kind;
    enum hw_event_level level;    /* 0 is DEBUG: use hw_engine_event_make for the kind's own */
    const char *text;             /* one sentence for people; NULL: nothing more to say */
    const char *address;          /* "127.0.0.1:8420"; NULL: none */
    const char *account;          /* NULL: none */
    const char *subject;          /* what it is about, see above; NULL: nothing */
    uint64_t count;               /* see above; 0 where the kind has none */
    const struct hw_cause *cause; /* NULL: none */
};

typedef void (*hw_observer_cb)(void *data, const struct hw_engine_event *event);

/* An event of that kind with its usual level and nothing else set. */
HW_API struct hw_engine_event hw_engine_event_make(enum hw_engine_event_kind kind);

/* "redis_up" ...; never NULL. */
HW_API const char *hw_engine_event_name(enum hw_engine_event_kind kind);

#endif
