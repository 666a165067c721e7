/*
 * tokens - who is asking, and what they may do.
 *
 * The root token may do everything in every account.  Only hashes are kept; comparing
 * takes the same time whatever is wrong.
 */
#ifndef HW_API_TOKENS_H
#define HW_API_TOKENS_H

#include "api/problem.h"
#include "base/slice.h"

/* One bit each; a route asks for one. */
enum hw_scope {
    HW_SCOPE_OPEN = 0, /* no token needed */
    HW_SCOPE_WEBHOOKS_MANAGE = 1,
    HW_SCOPE_DELIVERIES_READ = 2
};

struct hw_caller {
    unsigned scopes;     /* what the token may do */
    const char *account; /* the one it is bound to; NULL: root, every account */
};

struct hw_tokens {
    char root_hash[65]; /* lower-case hex SHA-256, NUL-terminated */
};

HW_MUST_USE enum hw_status hw_tokens_init(struct hw_tokens *tokens, const char *root_hash,
                                          struct hw_cause *cause);

/* `authorization` is the header's value, empty where there is none.  false: *p says why. */
HW_MUST_USE bool hw_tokens_check(const struct hw_tokens *tokens, struct hw_slice authorization,
                                 enum hw_scope needed, struct hw_caller *caller,
                                 struct hw_problem *p);

#endif
