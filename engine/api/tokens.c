#include "api/tokens.h"

#include <stdio.h>

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

/* What issue.c gives out begins so; nothing else is worth a question to Redis. */
static bool has_our_form(struct hw_slice token)
{
    return token.len == HW_TOKEN_TEXT_MAX - 1 &&
           hw_slice_starts(token, HW_SLICE(HW_TOKEN_PREFIX));
}

void hw_caller_close(struct hw_caller *caller)
{
    hw_token_release(caller->token);
    *caller = (struct hw_caller){ 0 };
}

/* Who it is.  Hashed first: then the comparison tells nothing about the token, not even its
 * length; and where the book has no such hash there is nothing to compare. */
static enum hw_admission identify(const struct hw_tokens *tokens,
                                  const struct hw_token_book *book, struct hw_slice text,
                                  struct hw_caller *caller)
{
    char hash[65];
    struct hw_token *token;

    hw_sha256_hex(text, hash);
    if (hw_equal_constant_time(hw_slice(hash, 64), hw_slice(tokens->root_hash, 64))) {
        caller->is_root = true;
        return HW_ADMITTED;
    }
    if (!has_our_form(text))
        return HW_REFUSED;
    token = hw_token_book_find(book, hash);
    if (token == NULL)
        return HW_ADMISSION_UNKNOWN;
    caller->token = hw_token_hold(token);
    caller->account = token->account;
    return HW_ADMITTED;
}

/* "webhooks:manage" of one bit; what only root may do has no scope's name. */
static bool has_power(const struct hw_caller *caller, enum hw_scope needed,
                      struct hw_problem *p)
{
    const char *text = hw_scope_text(needed);

    if (caller->is_root || (caller->token->powers & (unsigned)needed) != 0)
        return true;
    return hw_caller_refuse(p, text ? text : "root");
}

static bool may_ask_now(const struct hw_caller *caller, unsigned rate_per_s, hw_mono_ms now,
                        struct hw_problem *p)
{
    uint64_t wait_ms = 0;

    if (!caller->is_root && rate_per_s != 0)
        wait_ms = hw_token_spend(caller->token, rate_per_s, now);
    if (wait_ms == 0)
        return true;
    hw_problem_set(p, HW_PROBLEM_RATE_LIMITED, NULL,
                   "The token has made its %u requests of this second; wait as long as "
                   "Retry-After says.",
                   rate_per_s);
    p->retry_after_s = (unsigned)((wait_ms + 999) / 1000);
    return false;
}

static bool is_in_time(const struct hw_caller *caller, hw_unix_ms now, struct hw_problem *p)
{
    if (caller->is_root || caller->token->expires_ms == 0 || caller->token->expires_ms > now)
        return true;
    return hw_problem_set(p, HW_PROBLEM_UNAUTHORIZED, NULL,
                          "The token has expired; have a new one issued.");
}

static bool refuse_unknown(struct hw_problem *p)
{
    return hw_problem_set(p, HW_PROBLEM_UNAUTHORIZED, NULL,
                          "The token is not known; check it, or have a new one issued.");
}

enum hw_admission hw_tokens_check(const struct hw_tokens *tokens,
                                  const struct hw_token_book *book,
                                  struct hw_slice authorization, enum hw_scope needed,
                                  unsigned rate_per_s, hw_unix_ms now, hw_mono_ms mono,
                                  struct hw_caller *caller, struct hw_problem *p)
{
    struct hw_slice token = bearer(authorization);
    enum hw_admission admission = HW_REFUSED;

    *caller = (struct hw_caller){ 0 };
    if (needed == HW_SCOPE_OPEN)
        return HW_ADMITTED;
    if (token.len == 0) {
        hw_problem_set(p, HW_PROBLEM_UNAUTHORIZED, NULL,
                       "A token is needed: send Authorization: Bearer <token>.");
        return HW_REFUSED;
    }
    refuse_unknown(p);
    if (token.len <= TOKEN_MAX)
        admission = identify(tokens, book, token, caller);
    if (admission != HW_ADMITTED)
        return admission;
    if (is_in_time(caller, now, p) && may_ask_now(caller, rate_per_s, mono, p) &&
        has_power(caller, needed, p))
        return HW_ADMITTED;
    hw_caller_close(caller);
    return HW_REFUSED;
}

bool hw_caller_check(const struct hw_caller *caller, const struct hw_token_book *book,
                     hw_unix_ms now, struct hw_problem *p)
{
    if (caller->token == NULL)
        return true;
    if (hw_token_book_find(book, caller->token->hash) == NULL)
        return refuse_unknown(p);
    return is_in_time(caller, now, p);
}

/* --- what may be read -------------------------------------------------------------- */

bool hw_caller_may_read(const struct hw_caller *caller, const struct hw_catalogue *catalogue,
                        struct hw_slice type, const char **missing)
{
    return caller->is_root ||
           hw_catalogue_may_read(catalogue, &caller->token->scopes, type, missing);
}

static bool reads(const struct hw_webhook *wh, const struct hw_catalogue *catalogue,
                  struct hw_slice type)
{
    return wh->reads_all || hw_catalogue_may_read(catalogue, &wh->readable, type, NULL);
}

static bool may_read_named(const struct hw_caller *caller,
                           const struct hw_catalogue *catalogue, const struct hw_webhook *wh,
                           const char **missing)
{
    for (size_t i = 0; i < wh->n_event_types; i++) {
        struct hw_slice type = hw_slice_str(wh->event_types[i]);

        if (reads(wh, catalogue, type) &&
            !hw_caller_may_read(caller, catalogue, type, missing))
            return false;
    }
    return true;
}

/* Does it let its bearer into routes only?  As a type's required_scope it is seen below. */
static bool is_built_in(const char *scope)
{
    return strcmp(scope, hw_scope_text(HW_SCOPE_WEBHOOKS_MANAGE)) == 0 ||
           strcmp(scope, hw_scope_text(HW_SCOPE_DELIVERIES_READ)) == 0 ||
           strcmp(scope, hw_scope_text(HW_SCOPE_DELIVERIES_WRITE)) == 0 ||
           strcmp(scope, hw_scope_text(HW_SCOPE_EVENTS_WRITE)) == 0;
}

/* Types come and go, the webhook's scopes stay: each of them is needed, whether a type asks for
 * it today or not. */
static bool has_each_scope(const struct hw_caller *caller, const struct hw_webhook *wh,
                           const char **missing)
{
    for (size_t i = 0; i < wh->readable.n_names; i++) {
        const char *scope = wh->readable.names[i];

        if (is_built_in(scope) || hw_scopes_has(&caller->token->scopes, hw_slice_str(scope)))
            continue;
        if (missing != NULL)
            *missing = scope;
        return false;
    }
    return true;
}

static bool may_read_listed(const struct hw_caller *caller,
                            const struct hw_catalogue *catalogue, const struct hw_webhook *wh,
                            const char **missing)
{
    for (struct hw_map_entry *e = hw_map_next(&catalogue->types, NULL); e != NULL;
         e = hw_map_next(&catalogue->types, e))
        if (reads(wh, catalogue, e->key) &&
            !hw_caller_may_read(caller, catalogue, e->key, missing))
            return false;
    return true;
}

bool hw_caller_may_read_all_of(const struct hw_caller *caller,
                               const struct hw_catalogue *catalogue,
                               const struct hw_webhook *wh, const char **missing)
{
    if (caller->is_root || hw_scopes_read_all(&caller->token->scopes))
        return true;
    if (wh->event_types != NULL)
        return may_read_named(caller, catalogue, wh, missing);
    if (wh->reads_all) {
        if (missing != NULL)
            *missing = "events:read";
        return false;
    }
    return has_each_scope(caller, wh, missing) &&
           may_read_listed(caller, catalogue, wh, missing);
}

bool hw_caller_refuse(struct hw_problem *p, const char *missing_scope)
{
    if (strcmp(missing_scope, "root") == 0)
        hw_problem_set(p, HW_PROBLEM_FORBIDDEN, NULL,
                       "Only the root token may do this; use it.");
    else
        hw_problem_set(p, HW_PROBLEM_FORBIDDEN, NULL,
                       "The token lacks the scope %s; use one that has it.", missing_scope);
    snprintf(p->missing_scope, sizeof p->missing_scope, "%s", missing_scope);
    return false;
}
