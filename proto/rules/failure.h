/*
 * failure - the kinds of failure of an attempt, one list.
 */
#ifndef HW_RULES_FAILURE_H
#define HW_RULES_FAILURE_H

#include "base/slice.h"

#define HW_FAILURE_MAP(X)                                                                     \
    X(NONE, "")                                                                               \
    X(HTTP_STATUS, "http_status")                                                             \
    X(TIMEOUT, "timeout")                                                                     \
    X(DNS, "dns")                                                                             \
    X(CONNECT, "connect")                                                                     \
    X(TLS, "tls")                                                                             \
    X(PROTOCOL, "protocol")                                                                   \
    X(REFUSED_ADDRESS, "refused_address")                                                     \
    X(INTERNAL, "internal") /* a fault of our own: never counted, never stored as final */    \
    X(WEBHOOK_DISABLED, "webhook_disabled")                                                   \
    X(WEBHOOK_DELETED, "webhook_deleted")                                                     \
    X(BACKLOG_FULL, "backlog_full")                                                           \
    X(POISON, "poison")

enum hw_failure {
#define X(name, text) HW_FAILURE_##name,
    HW_FAILURE_MAP(X)
#undef X
        HW_FAILURES
};

#define HW_PHASE_MAP(X)                                                                       \
    X(NONE, "")                                                                               \
    X(DNS, "dns")                                                                             \
    X(CONNECT, "connect")                                                                     \
    X(TLS, "tls")                                                                             \
    X(SEND, "send")                                                                           \
    X(RESPONSE, "response")

enum hw_phase {
#define X(name, text) HW_PHASE_##name,
    HW_PHASE_MAP(X)
#undef X
        HW_PHASES
};

const char *hw_failure_text(enum hw_failure failure);
/* One sentence for people, for the kinds that come without an attempt; "" for the others. */
const char *hw_failure_sentence(enum hw_failure failure);
const char *hw_phase_text(enum hw_phase phase);

#endif
