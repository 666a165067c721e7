/*
 * tokens - who is asking, and what they may do.
 *
 * The root token may do everything in every account.  Only hashes are kept; comparing takes
 * the same time whatever is wrong.  A token that another instance has made a moment ago is
 * not in memory yet: the call then asks the backend once before it says 401 (call.c).
 *
 * Memory    a caller holds its token; drop it with hw_caller_close.
 * Cost      check: one SHA-256 of a short text and one hash look-up.
 */
#ifndef HW_API_TOKENS_H
#define HW_API_TOKENS_H

#include "api/problem.h"
#include "base/time.h"
#include "core/catalogue.h"
#include "core/token.h"
#include "core/webhook.h"

/* A token as it is given out, and it alone: the prefix and 256 random bits in hex. */
#define HW_TOKEN_PREFIX   "hwt_"
#define HW_TOKEN_TEXT_MAX (4 + 64 + 1) /* with the NUL */

struct hw_caller {
    bool is_root;
    struct hw_token *token; /* a reference; NULL: root, or nobody (an open route) */
    const char *account;    /* the one it is bound to; NULL: root, every account */
};
void hw_caller_close(struct hw_caller *caller);

struct hw_tokens {
    char root_hash[65]; /* lower-case hex SHA-256, NUL-terminated */
};

HW_MUST_USE enum hw_status hw_tokens_init(struct hw_tokens *tokens, const char *root_hash,
                                          struct hw_cause *cause);

enum hw_admission {
    HW_ADMITTED,
    HW_REFUSED,          /* *p says why */
    HW_ADMISSION_UNKNOWN /* a token of our form that the book does not have; *p as if that
                          * were the last word */
};

/* In this order: unknown or expired (401), too often (429), scope missing (403).
 * `authorization` is the header's value, empty where there is none.  `rate_per_s` 0: no limit;
 * every call of a known token counts, a token over it is refused with rate_limited and
 * p->retry_after_s. */
HW_MUST_USE enum hw_admission hw_tokens_check(const struct hw_tokens *tokens,
                                              const struct hw_token_book *book,
                                              struct hw_slice authorization,
                                              enum hw_scope needed, unsigned rate_per_s,
                                              hw_unix_ms now, hw_mono_ms mono,
                                              struct hw_caller *caller, struct hw_problem *p);

/* Once more, later: is its token still in the book, and in time?  false: *p, unauthorized. */
HW_MUST_USE bool hw_caller_check(const struct hw_caller *caller,
                                 const struct hw_token_book *book, hw_unix_ms now,
                                 struct hw_problem *p);

/* May the caller read events of that type?  `missing` (may be NULL) as in catalogue.h. */
bool hw_caller_may_read(const struct hw_caller *caller, const struct hw_catalogue *catalogue,
                        struct hw_slice type, const char **missing);

/* May the caller read every type that this webhook receives, now and as types are added?
 * `missing` as above. */
bool hw_caller_may_read_all_of(const struct hw_caller *caller,
                               const struct hw_catalogue *catalogue,
                               const struct hw_webhook *wh, const char **missing);

/* forbidden, with details.missing_scope; false. */
bool hw_caller_refuse(struct hw_problem *p, const char *missing_scope);

#endif
