/*
 * lookup_answer - what c-ares answered, in our own words.
 *
 * The only module besides lookup.c that knows c-ares; it looks at an answer and does nothing
 * else.
 *
 * Units     a TTL in seconds, as the name servers tell it.
 * Memory    none: addresses are copied, words are static.
 * Errors    none; a code that is not known is a failure of the name servers.
 * Cost      O(addresses).
 */
#ifndef HW_NET_LOOKUP_ANSWER_H
#define HW_NET_LOOKUP_ANSWER_H

#include "rules/address.h"

#define HW_LOOKUP_ADDRESSES_MAX 16

struct ares_addrinfo;

enum hw_lookup_result {
    HW_LOOKUP_FOUND,
    HW_LOOKUP_MISSING, /* the name servers say so: no such name, or it has no address */
    HW_LOOKUP_FAILED,  /* a name server failed, or refused */
    HW_LOOKUP_SILENT,  /* no name server answered at all */
    HW_LOOKUP_NO_MEMORY
};

struct hw_lookup_answer {
    enum hw_lookup_result result;
    int code;           /* of c-ares (HW_ORIGIN_CARES) */
    const char *words;  /* what that means; static; NULL when FOUND */
    int64_t ttl_s;      /* FOUND: the shortest of the chain; 0: the hosts file had it */
    size_t n_addresses; /* FOUND: the families in turn, IPv4 first */
    struct hw_address addresses[HW_LOOKUP_ADDRESSES_MAX];
};

/* `info` is borrowed, and NULL unless something was found. */
void hw_lookup_answer_read(struct hw_lookup_answer *a, int code,
                           const struct ares_addrinfo *info);

#endif
