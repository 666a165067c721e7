#include "api/tokens.h"

#include "rules/sign.h"

enum { TOKEN_MAX = 512 };

enum hw_status hw_tokens_init(struct hw_tokens *tokens, const char *root_hash,
                              struct hw_cause *cause)
{
    if (root_hash == NULL || strlen(root_hash) != 64 ||
        strspn(root_hash, "0123456789abcdef") != 64)
        return hw_cause_set(cause, HW_EINVAL, HW_ORIGIN_US, 0,
                            "the root token's hash is not 64 hex digits");
    memcpy(tokens->root_hash, root_hash, sizeof tokens->root_hash);
    return HW_OK;
}

/* RFC 6750 2.1: "Bearer" in any case, one or more spaces, the token. */
static struct hw_slice bearer(struct hw_slice authorization)
{
    size_t at = 6;

    if (authorization.len < 8 ||
        !hw_slice_ieq(hw_slice(authorization.data, 6), HW_SLICE("bearer")) ||
        authorization.data[6] != ' ')
        return hw_slice(NULL, 0);
    while (at < authorization.len && authorization.data[at] == ' ')
        at++;
    return hw_slice_from(authorization, at);
}

static const char *scope_text(enum hw_scope scope)
{
    switch (scope) {
    case HW_SCOPE_WEBHOOKS_MANAGE:
        return "webhooks:manage";
    case HW_SCOPE_DELIVERIES_READ:
        return "deliveries:read";
    case HW_SCOPE_OPEN:
        break;
    }
    return NULL;
}

/* Hashed first: then the comparison tells nothing about the token, not even its length. */
static bool is_root(const struct hw_tokens *tokens, struct hw_slice token)
{
    char hash[65];

    hw_sha256_hex(token, hash);
    return hw_equal_constant_time(hw_slice(hash, 64), hw_slice(tokens->root_hash, 64));
}

bool hw_tokens_check(const struct hw_tokens *tokens, struct hw_slice authorization,
                     enum hw_scope needed, struct hw_caller *caller, struct hw_problem *p)
{
    struct hw_slice token = bearer(authorization);

    *caller = (struct hw_caller){ 0 };
    if (needed == HW_SCOPE_OPEN)
        return true;
    if (token.len == 0)
        return hw_problem_set(p, HW_PROBLEM_UNAUTHORIZED, NULL,
                              "A token is needed: Authorization: Bearer <token>.");
    if (token.len > TOKEN_MAX || !is_root(tokens, token))
        return hw_problem_set(p, HW_PROBLEM_UNAUTHORIZED, NULL, "The token is not known.");
    caller->scopes = ~0u;
    if ((caller->scopes & (unsigned)needed) == 0) {
        hw_problem_set(p, HW_PROBLEM_FORBIDDEN, NULL, "The token lacks a scope.");
        p->missing_scope = scope_text(needed);
        return false;
    }
    return true;
}
