#include "rules/address.h"

#include <arpa/inet.h>

#include "base/must.h"
#include "hookwheel/alloc.h"

/* --- networks --------------------------------------------------------------------- */

/* In tables: an address as bytes, and how many bits of it count. */
struct range {
    unsigned char bytes[16];
    unsigned prefix_bits;
};

static bool matches(const unsigned char *bytes, const unsigned char *network,
                    unsigned prefix_bits)
{
    unsigned whole = prefix_bits / 8, rest = prefix_bits % 8;

    if (memcmp(bytes, network, whole) != 0)
        return false;
    return rest == 0 || ((bytes[whole] ^ network[whole]) >> (8 - rest)) == 0;
}

static bool is_in(const unsigned char *bytes, const struct range *ranges, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (matches(bytes, ranges[i].bytes, ranges[i].prefix_bits))
            return true;
    return false;
}

#define IS_IN(bytes, ranges) is_in(bytes, ranges, sizeof(ranges) / sizeof *(ranges))

/* --- the table -------------------------------------------------------------------- */

static const struct range refused_v4[] = {
    { { 0 }, 8 },                 /* this network, RFC 791 */
    { { 10 }, 8 },                /* private, RFC 1918 */
    { { 100, 64 }, 10 },          /* carrier-grade NAT, RFC 6598 */
    { { 127 }, 8 },               /* loopback */
    { { 168, 63, 129, 16 }, 32 }, /* a cloud's metadata and name service */
    { { 169, 254 }, 16 },         /* link-local, RFC 3927, and most metadata services */
    { { 172, 16 }, 12 },          /* private, RFC 1918 */
    { { 192, 0, 0 }, 24 },        /* IETF protocols, RFC 6890 */
    { { 192, 0, 2 }, 24 },        /* documentation, RFC 5737 */
    { { 192, 31, 196 }, 24 },     /* AS112, RFC 7535 */
    { { 192, 52, 193 }, 24 },     /* AMT, RFC 7450 */
    { { 192, 88, 99 }, 24 },      /* 6to4 relays, RFC 7526 */
    { { 192, 168 }, 16 },         /* private, RFC 1918 */
    { { 192, 175, 48 }, 24 },     /* AS112, RFC 7534 */
    { { 198, 18 }, 15 },          /* benchmarks, RFC 2544 */
    { { 198, 51, 100 }, 24 },     /* documentation, RFC 5737 */
    { { 203, 0, 113 }, 24 },      /* documentation, RFC 5737 */
    { { 224 }, 4 },               /* multicast */
    { { 240 }, 4 },               /* reserved, and broadcast */
};

/* Everything outside is mapped, NAT64, unique-local, link-local, multicast, not given out. */
static const struct range public_v6 = { { 0x20 }, 3 };

static const struct range refused_v6[] = {
    { { 0x20, 0x01 }, 23 },                         /* IETF protocols (Teredo), RFC 2928 */
    { { 0x20, 0x01, 0x0d, 0xb8 }, 32 },             /* documentation, RFC 3849 */
    { { 0x20, 0x02 }, 16 },                         /* 6to4, RFC 3056 */
    { { 0x26, 0x20, 0x00, 0x4f, 0x80, 0x00 }, 48 }, /* AS112, RFC 7534 */
    { { 0x3f, 0xff }, 20 },                         /* documentation, RFC 9637 */
};

/* Opened only by their single address: link-local, and where clouds answer with credentials. */
static const struct range guarded_v4[] = {
    { { 169, 254 }, 16 },
    { { 168, 63, 129, 16 }, 32 },
    { { 100, 100, 100, 200 }, 32 },
    { { 192, 0, 0, 192 }, 32 },
};

static const struct range guarded_v6[] = {
    { { 0xfe, 0x80 }, 10 },
    /* fd00:ec2::254 and its like, fd20:ce::254, fd00:c1::a9fe:a9fe, fd00:42::42 */
    { { 0xfd, 0x00, 0x0e, 0xc2 }, 32 },
    { { 0xfd, 0x20, 0x00, 0xce }, 48 },
    { { 0xfd, 0x00, 0x00, 0xc1 }, 48 },
    { { 0xfd, 0x00, 0x00, 0x42, [15] = 0x42 }, 128 },
};

static const struct range mapped_v4 = { { [10] = 0xff, 0xff }, 96 };

/* IPv6 addresses that carry an IPv4 address, and where. */
static const struct {
    struct range range;
    size_t at;
} carriers[] = {
    { { { [10] = 0xff, 0xff }, 96 }, 12 },                  /* mapped */
    { { { 0 }, 96 }, 12 },                                  /* compatible, RFC 4291 2.5.5.1 */
    { { { [8] = 0xff, 0xff }, 96 }, 12 },                   /* translated, RFC 2765 */
    { { { 0x00, 0x64, 0xff, 0x9b }, 96 }, 12 },             /* NAT64, RFC 6052 */
    { { { 0x00, 0x64, 0xff, 0x9b, 0x00, 0x01 }, 48 }, 12 }, /* local NAT64, RFC 8215 */
    { { { 0x20, 0x02 }, 16 }, 2 },                          /* 6to4 */
};

static bool is_refused(const struct hw_address *a)
{
    if (!a->is_v6)
        return IS_IN(a->bytes, refused_v4);
    return !matches(a->bytes, public_v6.bytes, public_v6.prefix_bits) ||
           IS_IN(a->bytes, refused_v6);
}

static bool is_guarded(const struct hw_address *a)
{
    if (!a->is_v6)
        return IS_IN(a->bytes, guarded_v4);
    for (size_t i = 0; i < sizeof carriers / sizeof *carriers; i++)
        if (matches(a->bytes, carriers[i].range.bytes, carriers[i].range.prefix_bits) &&
            IS_IN(a->bytes + carriers[i].at, guarded_v4))
            return true;
    return IS_IN(a->bytes, guarded_v6);
}

/* --- text ------------------------------------------------------------------------- */

bool hw_address_parse(struct hw_address *out, struct hw_slice text)
{
    char copy[HW_ADDRESS_TEXT_MAX], again[HW_ADDRESS_TEXT_MAX];

    *out = (struct hw_address){ 0 };
    if (text.len == 0 || text.len >= sizeof copy || memchr(text.data, '\0', text.len) != NULL)
        return false;
    memcpy(copy, text.data, text.len);
    copy[text.len] = '\0';
    out->is_v6 = strchr(copy, ':') != NULL;
    if (inet_pton(out->is_v6 ? AF_INET6 : AF_INET, copy, out->bytes) != 1)
        return false;
    if (out->is_v6)
        return true;
    /* Some C libraries take leading zeros, which others read as octal. */
    hw_address_text(out, again);
    return strcmp(copy, again) == 0;
}

void hw_address_text(const struct hw_address *a, char out[HW_ADDRESS_TEXT_MAX])
{
    HW_MUST(inet_ntop(a->is_v6 ? AF_INET6 : AF_INET, a->bytes, out, HW_ADDRESS_TEXT_MAX) !=
            NULL);
}

/* --- the setting ------------------------------------------------------------------ */

static unsigned address_bits(const struct hw_address *a)
{
    return a->is_v6 ? 128 : 32;
}

/* Is every bit behind the prefix zero? */
static bool is_network_address(const struct hw_network *n)
{
    for (unsigned bit = n->prefix_bits; bit < address_bits(&n->address); bit++)
        if (n->address.bytes[bit / 8] & (0x80 >> bit % 8))
            return false;
    return true;
}

static enum hw_status parse_network(struct hw_network *out, struct hw_slice text,
                                    struct hw_cause *cause)
{
    size_t slash = hw_slice_find(text, '/');
    uint64_t bits;

    if (!hw_address_parse(&out->address, hw_slice(text.data, slash)))
        return hw_cause_set(cause, HW_EINVAL, HW_ORIGIN_US, 0, "\"%.*s\" is not a network",
                            HW_SLICE_FMT(text));
    bits = address_bits(&out->address);
    if (slash < text.len && !hw_slice_u64(hw_slice_from(text, slash + 1), bits, &bits))
        return hw_cause_set(cause, HW_EINVAL, HW_ORIGIN_US, 0,
                            "\"%.*s\" has a prefix that is no number from 0 to %u",
                            HW_SLICE_FMT(text), address_bits(&out->address));
    out->prefix_bits = (unsigned)bits;
    if (!is_network_address(out))
        return hw_cause_set(cause, HW_EINVAL, HW_ORIGIN_US, 0,
                            "\"%.*s\" has bits set behind its prefix", HW_SLICE_FMT(text));
    return HW_OK;
}

static struct hw_slice trim(struct hw_slice text)
{
    while (text.len > 0 && (text.data[0] == ' ' || text.data[0] == '\t'))
        text = hw_slice_from(text, 1);
    while (text.len > 0 && (text.data[text.len - 1] == ' ' || text.data[text.len - 1] == '\t'))
        text.len--;
    return text;
}

static size_t count_items(struct hw_slice list)
{
    size_t n = 1;

    for (size_t i = 0; i < list.len; i++)
        n += list.data[i] == ',';
    return n;
}

enum hw_status hw_address_rules_parse(struct hw_address_rules *rules, struct hw_slice list,
                                      struct hw_cause *cause)
{
    *rules = (struct hw_address_rules){ 0 };
    list = trim(list);
    if (list.len == 0)
        return HW_OK;
    rules->open = hw_calloc(count_items(list), sizeof *rules->open);
    if (rules->open == NULL)
        return hw_cause_set(cause, HW_ENOMEM, HW_ORIGIN_US, 0,
                            "no memory for a list of networks");
    for (size_t at = 0; at <= list.len;) {
        struct hw_slice left = hw_slice_from(list, at);
        size_t len = hw_slice_find(left, ',');
        enum hw_status status =
            parse_network(&rules->open[rules->n_open], trim(hw_slice(left.data, len)), cause);
        if (status != HW_OK) {
            hw_address_rules_close(rules);
            return status;
        }
        rules->n_open++;
        at += len + 1;
    }
    return HW_OK;
}

void hw_address_rules_close(struct hw_address_rules *rules)
{
    hw_free(rules->open);
    *rules = (struct hw_address_rules){ 0 };
}

/* --- the answer ------------------------------------------------------------------- */

static bool opens(const struct hw_network *n, const struct hw_address *a, unsigned least_bits)
{
    return n->address.is_v6 == a->is_v6 && n->prefix_bits >= least_bits &&
           matches(a->bytes, n->address.bytes, n->prefix_bits);
}

/* How narrow an entry must be to open this address. */
static unsigned least_prefix_bits(const struct hw_address *a)
{
    if (is_guarded(a))
        return address_bits(a);
    if (a->is_v6 && matches(a->bytes, mapped_v4.bytes, mapped_v4.prefix_bits))
        return mapped_v4.prefix_bits;
    return 0;
}

static bool is_localhost(const struct hw_address *a)
{
    static const struct range v4 = { { 127, 0, 0, 1 }, 32 };
    static const struct range v6 = { { [15] = 1 }, 128 };
    const struct range *localhost = a->is_v6 ? &v6 : &v4;

    return matches(a->bytes, localhost->bytes, localhost->prefix_bits);
}

bool hw_address_allowed(const struct hw_address_rules *rules, const struct hw_address *a,
                        bool localhost_too)
{
    if (!is_refused(a) || (localhost_too && is_localhost(a)))
        return true;
    unsigned least_bits = least_prefix_bits(a);
    for (size_t i = 0; i < rules->n_open; i++)
        if (opens(&rules->open[i], a, least_bits))
            return true;
    return false;
}
