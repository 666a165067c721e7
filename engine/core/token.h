/*
 * token - who may use the API: a token of an account and its scopes, as every instance holds
 * it in memory; and all of them, by what they hash to.
 *
 * Memory    counted references: a call under way outlives a change of the book.
 * Errors    HW_ENOMEM; HW_EINVAL for a stored form that is not ours.
 * Cost      find: one hash look-up.
 */
#ifndef HW_CORE_TOKEN_H
#define HW_CORE_TOKEN_H

#include "base/buf.h"
#include "base/map.h"
#include "base/time.h"
#include "core/scopes.h"
#include "rules/id.h"

struct hw_token {
    struct hw_map_entry entry; /* in its book, under hash */
    unsigned refs;
    char id[HW_ID_MAX];    /* "tok_…" */
    char hash[65];         /* lower-case hex SHA-256 of the token's text, which is kept nowhere */
    char *account;         /* owned */
    char *name;            /* owned; NULL: none */
    struct hw_scopes scopes;
    unsigned powers;       /* hw_scopes_powers of them */
    hw_unix_ms created_ms;
    hw_unix_ms expires_ms; /* 0: never */
    /* What it has asked of this instance (HOOKWHEEL_API_RATE): a bucket that fills with the
     * rate, and when it was last looked at.  Lives through a change of the book. */
    double n_left;
    hw_mono_ms looked_ms; /* 0: never */
};

HW_MUST_USE struct hw_token *hw_token_new(void); /* one reference; NULL: out of memory */
struct hw_token *hw_token_hold(struct hw_token *t);
void hw_token_release(struct hw_token *t); /* NULL is fine */

/* The stored form. */
HW_MUST_USE enum hw_status hw_token_write(const struct hw_token *t, struct hw_buf *out);
HW_MUST_USE enum hw_status hw_token_read(struct hw_token **out, struct hw_slice stored,
                                         struct hw_cause *cause);

struct hw_token_book {
    struct hw_map tokens; /* one reference each */
    size_t n_tokens;
};

void hw_token_book_init(struct hw_token_book *b);
void hw_token_book_close(struct hw_token_book *b); /* may be init'ed again */

/* The reference is taken in every case; one of the same hash is replaced. */
HW_MUST_USE enum hw_status hw_token_book_add(struct hw_token_book *b, struct hw_token *t);
struct hw_token *hw_token_book_find(const struct hw_token_book *b, const char hash[65]); /* borrowed */
struct hw_token *hw_token_book_find_id(const struct hw_token_book *b, const char *id);   /* walks */

/* May it ask once more now, at that rate?  0: yes, and it is counted; else how many
 * milliseconds until it may. */
uint64_t hw_token_spend(struct hw_token *t, unsigned rate_per_s, hw_mono_ms now);

#endif
