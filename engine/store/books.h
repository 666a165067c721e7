/*
 * books - the catalogue of event types and the tokens, in memory and in step with Redis.
 *
 * A book is one hash in Redis, <tag>types (name -> stored form) or <tag>tokens (id -> stored
 * form), and a version in the registry's versions under a name that no account can have
 * (".types", ".tokens"), raised by the script that changes it.  The registry finds that it
 * has moved and hands what Redis says to hw_books_apply.
 *
 * Memory    what is found is borrowed until the next turn; hold a token to keep it longer.
 * Errors    a stored form that does not parse is left out, and told as trouble.
 */
#ifndef HW_STORE_BOOKS_H
#define HW_STORE_BOOKS_H

#include "core/catalogue.h"
#include "core/token.h"
#include "redis/reply.h"

#define HW_BOOK_TYPES  ".types"
#define HW_BOOK_TOKENS ".tokens"

struct hw_books {
    struct hw_catalogue catalogue;
    struct hw_token_book tokens;
    uint64_t types_version; /* of what is in memory; 0: never loaded, or empty */
    uint64_t tokens_version;
};

void hw_books_init(struct hw_books *b);
void hw_books_close(struct hw_books *b);

/* Is that name of the registry's versions a book's? */
bool hw_books_is_name(struct hw_slice name);
uint64_t hw_books_version(const struct hw_books *b, struct hw_slice name);

/* Replace the book by what accounts.lua says of it: {version, key, stored form, ...}.  Tokens
 * keep what they have spent.  HW_ENOMEM: the book and its version are as before.
 * `on_bad` is called for each stored form that does not parse. */
HW_MUST_USE enum hw_status hw_books_apply(struct hw_books *b, struct hw_slice name,
                                          const struct hw_reply *reply,
                                          void (*on_bad)(void *data, const struct hw_cause *),
                                          void *data);

#endif
