/*
 * url - the address of a webhook, checked and made canonical.
 *
 * Rules: scheme https (any case), http only for exactly localhost, 127.0.0.1, [::1]
 * and only where allowed; no userinfo, no fragment, visible ASCII, at most 2,048
 * bytes; port 443 or 1024-65535 (80 too for http); host of LDH labels (underscore
 * tolerated), a canonical dotted quad, or a bracketed IPv6 literal without zone; a last
 * label of digits or 0x... is refused; names for internal use only where allowed.  The
 * canonical form has lower-case scheme and host, no default port, "/" for an empty path;
 * parsed again it gives itself.  Whether a literal address may be reached is not decided
 * here (rules/address.h).
 *
 * Memory    the parsed form owns one block; slices point into it.
 * Errors    HW_EINVAL, with one sentence for the user in the cause's note; HW_ENOMEM.
 *           The url is zeroed then, and may be closed or not.
 */
#ifndef HW_HTTP_URL_H
#define HW_HTTP_URL_H

#include "base/slice.h"
#include "hookwheel/status.h"

#define HW_URL_MAX 2048

struct hw_url_rules {
    bool allow_http_localhost;
    bool allow_internal_names; /* HOOKWHEEL_ALLOW_NETWORKS opens something */
};

struct hw_url {
    char *text;             /* owned: the canonical form, NUL-terminated */
    struct hw_slice origin; /* "https://host:port", the port always there; in `text`'s block */
    struct hw_slice host;   /* without brackets */
    struct hw_slice authority; /* as the Host header wants it: brackets, port unless default */
    struct hw_slice target;    /* path and query, begins with '/' */
    uint16_t port;
    bool is_tls;
    bool is_address; /* host is an IP literal */
};

HW_MUST_USE enum hw_status hw_url_parse(struct hw_url *url, struct hw_slice text,
                                        const struct hw_url_rules *rules,
                                        struct hw_cause *cause);
void hw_url_close(struct hw_url *url);

#endif
