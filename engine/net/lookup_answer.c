#include "net/lookup_answer.h"

#include <ares.h>
#include <netinet/in.h>
#include <string.h>

enum { TTL_MAX_S = INT32_MAX }; /* no TTL is longer: RFC 2181 8 */

static bool address_from(struct hw_address *out, const struct sockaddr *from)
{
    memset(out, 0, sizeof(*out));
    if (from->sa_family == AF_INET) {
        memcpy(out->bytes, &((const struct sockaddr_in *)(const void *)from)->sin_addr, 4);
        return true;
    }
    out->is_v6 = true;
    if (from->sa_family == AF_INET6)
        memcpy(out->bytes, &((const struct sockaddr_in6 *)(const void *)from)->sin6_addr, 16);
    return from->sa_family == AF_INET6;
}

static const struct ares_addrinfo_node *next_of(const struct ares_addrinfo_node *node,
                                                int family)
{
    while (node && node->ai_family != family)
        node = node->ai_next;
    return node;
}

/* The families in turn, so that one that does not work costs little; IPv4 first, which every
 * machine has.  Each keeps the name server's order. */
static void take_addresses(struct hw_lookup_answer *a, const struct ares_addrinfo *info)
{
    const struct ares_addrinfo_node *next[2] = { next_of(info->nodes, AF_INET),
                                                 next_of(info->nodes, AF_INET6) };
    for (int i = 0; (next[0] || next[1]) && a->n_addresses < HW_LOOKUP_ADDRESSES_MAX; i ^= 1) {
        const struct ares_addrinfo_node *node = next[i];
        if (!node)
            continue;
        if (address_from(&a->addresses[a->n_addresses], node->ai_addr))
            a->n_addresses++;
        next[i] = next_of(node->ai_next, node->ai_family);
    }
}

/* The shortest of the chain, in seconds; 0 says that the hosts file had it. */
static int64_t shortest_ttl(const struct ares_addrinfo *info)
{
    int64_t ttl = TTL_MAX_S;
    for (const struct ares_addrinfo_node *at = info->nodes; at; at = at->ai_next)
        ttl = at->ai_ttl < ttl ? at->ai_ttl : ttl;
    for (const struct ares_addrinfo_cname *at = info->cnames; at; at = at->next)
        ttl = at->ttl < ttl ? at->ttl : ttl;
    return ttl > 0 ? ttl : 0;
}

static const char *failure_words(int code)
{
    switch (code) {
    case ARES_ESERVFAIL:
        return "the name server failed (SERVFAIL)";
    case ARES_EREFUSED:
        return "the name server refused the query";
    case ARES_ETIMEOUT:
        return "no name server answered in time";
    case ARES_ECONNREFUSED:
        return "no name server could be reached";
    default:
        return ares_strerror(code);
    }
}

/* The result and what c-ares' code means, in words. */
static void judge(struct hw_lookup_answer *a, int code, const struct ares_addrinfo *info)
{
    bool has_any = info && info->nodes;
    a->code = code == ARES_SUCCESS && !has_any ? ARES_ENODATA : code;
    switch (a->code) {
    case ARES_SUCCESS:
        a->result = HW_LOOKUP_FOUND;
        return;
    case ARES_ENODATA:
        a->result = HW_LOOKUP_MISSING;
        a->words = "the name has no address";
        return;
    case ARES_ENOTFOUND:
    case ARES_EBADNAME:
        a->result = HW_LOOKUP_MISSING;
        a->words = "no such name";
        return;
    case ARES_ETIMEOUT:
    case ARES_ECONNREFUSED:
        a->result = HW_LOOKUP_SILENT;
        break;
    case ARES_ENOMEM:
        a->result = HW_LOOKUP_NO_MEMORY;
        break;
    default:
        a->result = HW_LOOKUP_FAILED;
    }
    a->words = failure_words(code);
}

void hw_lookup_answer_read(struct hw_lookup_answer *a, int code,
                           const struct ares_addrinfo *info)
{
    memset(a, 0, sizeof(*a));
    judge(a, code, info);
    if (a->result != HW_LOOKUP_FOUND)
        return;
    take_addresses(a, info);
    a->ttl_s = shortest_ttl(info);
}
