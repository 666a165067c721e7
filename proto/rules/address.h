/*
 * address - which IP addresses deliveries may go to.
 *
 * Refused by default: everything that is not the public internet (the table is in
 * address.c, from the IANA special-purpose registries).  Networks can be opened;
 * link-local and cloud-metadata addresses only by an entry that names the one address,
 * also where they are written inside an IPv6 address (mapped, NAT64, 6to4).  IPv4-mapped
 * addresses are opened only by an entry inside ::ffff:0:0/96, never by "::/0".
 *
 * Errors    HW_EINVAL with the offending item in the cause.
 */
#ifndef HW_RULES_ADDRESS_H
#define HW_RULES_ADDRESS_H

#include "base/slice.h"
#include "hookwheel/status.h"

struct hw_address {
    unsigned char bytes[16]; /* network order; the first 4 for IPv4 */
    bool is_v6;
};

#define HW_ADDRESS_TEXT_MAX 46 /* with the NUL */

struct hw_network {
    struct hw_address address;
    unsigned prefix_bits;
};

/* Networks opened by a setting. */
struct hw_address_rules {
    struct hw_network *open; /* owned */
    size_t n_open;
};

/* "10.0.0.0/8, ::1/128" (a bare address is its single network); empty: none.  Bits set
 * behind the prefix are an error: 10.0.0.5/8 is more likely a slip than a wish. */
HW_MUST_USE enum hw_status hw_address_rules_parse(struct hw_address_rules *rules,
                                                  struct hw_slice list,
                                                  struct hw_cause *cause);
void hw_address_rules_close(struct hw_address_rules *rules);

/* A canonical IPv4 or any IPv6 literal, no brackets, no zone. */
bool hw_address_parse(struct hw_address *out, struct hw_slice text);
void hw_address_text(const struct hw_address *a, char out[HW_ADDRESS_TEXT_MAX]);

/* `localhost_too`: the URL was http://localhost, 127.0.0.1 or [::1] and those are
 * allowed by setting: 127.0.0.1 and ::1 pass. */
bool hw_address_allowed(const struct hw_address_rules *rules, const struct hw_address *a,
                        bool localhost_too);

#endif
