/*
 * The text is taken apart from the left (scheme, authority, target), the authority into
 * host and port, the host is recognised as one of three kinds and made canonical in
 * place; only then is a block allocated and the canonical form written.  Every refusal
 * names what is wrong.
 */
#include "http/url.h"

#include <arpa/inet.h>

#include "base/buf.h"
#include "hookwheel/alloc.h"

enum { HOST_MAX = 253, LABEL_MAX = 63 }; /* RFC 1035 2.3.4, in text form */

struct parts {
    struct hw_slice authority; /* as given */
    struct hw_slice host;      /* as given, brackets included */
    struct hw_slice port;      /* as given; data NULL: none */
    struct hw_slice target;    /* as given */
    char name[HOST_MAX + 1];   /* the host, canonical, without brackets */
    uint16_t port_number;
    bool is_tls;
    bool is_address;
    bool is_v6;
};

static enum hw_status refuse(struct hw_cause *cause, const char *what)
{
    return hw_cause_set(cause, HW_EINVAL, HW_ORIGIN_US, 0, "%s", what);
}

/* --- taking apart ------------------------------------------------------------------ */

static enum hw_status check_bytes(struct hw_slice text, struct hw_cause *cause)
{
    if (text.len == 0)
        return refuse(cause, "url is empty");
    if (text.len > HW_URL_MAX)
        return refuse(cause, "url is longer than 2048 bytes");
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] <= ' ' || text.data[i] > '~')
            return refuse(cause, "url has a byte that is not visible ASCII; percent-encode "
                                 "it, and write a host name as punycode");
    if (hw_slice_find(text, '#') < text.len)
        return refuse(cause, "url has a fragment (#), which is never sent");
    return HW_OK;
}

static enum hw_status split_scheme(struct parts *p, struct hw_slice *text,
                                   const struct hw_url_rules *rules, struct hw_cause *cause)
{
    const struct hw_slice https = HW_SLICE("https://"), http = HW_SLICE("http://");

    if (text->len >= https.len && hw_slice_ieq(hw_slice(text->data, https.len), https)) {
        p->is_tls = true;
        *text = hw_slice_from(*text, https.len);
        return HW_OK;
    }
    if (text->len >= http.len && hw_slice_ieq(hw_slice(text->data, http.len), http)) {
        if (!rules->allow_http_localhost)
            return refuse(cause, "url must begin with https://; http is not allowed");
        *text = hw_slice_from(*text, http.len);
        return HW_OK;
    }
    return refuse(cause, "url must begin with https://");
}

static enum hw_status split_target(struct parts *p, struct hw_slice text,
                                   struct hw_cause *cause)
{
    size_t slash = hw_slice_find(text, '/');
    size_t query = hw_slice_find(text, '?');

    if (query < slash)
        return refuse(cause, "url has a query without a path; put a / before the ?");
    p->authority = hw_slice(text.data, slash);
    p->target = slash < text.len ? hw_slice_from(text, slash) : HW_SLICE("/");
    if (p->authority.len == 0)
        return refuse(cause, "url has no host");
    if (hw_slice_find(p->authority, '@') < p->authority.len)
        return refuse(cause, "url has a user name or password (@), which is not allowed");
    return HW_OK;
}

/* Host and port, the host in brackets still where it is an IPv6 literal. */
static enum hw_status split_authority(struct parts *p, struct hw_cause *cause)
{
    struct hw_slice a = p->authority;
    size_t host_len = hw_slice_find(a, ':');

    if (a.data[0] == '[') {
        host_len = hw_slice_find(a, ']') + 1;
        if (host_len > a.len)
            return refuse(cause, "url has a [ without a ] in its host");
        if (host_len < a.len && a.data[host_len] != ':')
            return refuse(cause,
                          "url has something other than a port behind the ] of its host");
    }
    p->host = hw_slice(a.data, host_len);
    if (host_len < a.len)
        p->port = hw_slice(a.data + host_len + 1, a.len - host_len - 1);
    if (p->host.len == 0)
        return refuse(cause, "url has no host");
    return HW_OK;
}

static enum hw_status parse_port(struct parts *p, struct hw_cause *cause)
{
    uint64_t port = p->is_tls ? 443 : 80;

    if (p->port.data != NULL &&
        (p->port.len == 0 || p->port.data[0] == '0' || !hw_slice_u64(p->port, 65535, &port)))
        return refuse(cause, "url has a port that is not a number from 1 to 65535");
    if (port < 1024 && port != 443 && !(port == 80 && !p->is_tls))
        return refuse(cause, p->is_tls ? "url has a port that is not allowed; use 443, or "
                                         "1024 to 65535"
                                       : "url has a port that is not allowed; use 80, 443, or "
                                         "1024 to 65535");
    p->port_number = (uint16_t)port;
    return HW_OK;
}

/* --- hosts ------------------------------------------------------------------------- */

static enum hw_status parse_v6(struct parts *p, struct hw_cause *cause)
{
    struct in6_addr address;
    char text[INET6_ADDRSTRLEN];
    size_t n = p->host.len - 2;

    if (hw_slice_find(p->host, '%') < p->host.len)
        return refuse(cause, "url has an IPv6 address with a zone (%), which is not allowed");
    if (n == 0 || n >= sizeof text)
        return refuse(cause, "url has something in brackets that is not an IPv6 address");
    memcpy(text, p->host.data + 1, n);
    text[n] = '\0';
    /* inet_ntop writes RFC 5952: lower case, the longest run of zeros as "::". */
    if (inet_pton(AF_INET6, text, &address) != 1 ||
        inet_ntop(AF_INET6, &address, p->name, sizeof p->name) == NULL)
        return refuse(cause, "url has something in brackets that is not an IPv6 address");
    p->is_address = p->is_v6 = true;
    return HW_OK;
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || is_digit(c) || c == '-' || c == '_';
}

static enum hw_status check_label(struct hw_slice label, struct hw_cause *cause)
{
    if (label.len == 0)
        return refuse(cause, "url has a host name with an empty label (a dot too many)");
    if (label.len > LABEL_MAX)
        return refuse(cause, "url has a host name with a label over 63 bytes");
    for (size_t i = 0; i < label.len; i++)
        if (!is_name_char(label.data[i]))
            return refuse(cause, "url has a host name with a character that is not a letter, "
                                 "a digit or a hyphen");
    if (label.data[0] == '-' || label.data[label.len - 1] == '-')
        return refuse(cause, "url has a host name with a hyphen at the edge of a label");
    return HW_OK;
}

/* Would some resolver read a name that ends so as an IPv4 address (decimal, octal, hex)? */
static bool ends_as_number(struct hw_slice label)
{
    if (hw_slice_starts(label, HW_SLICE("0x")))
        return true;
    for (size_t i = 0; i < label.len; i++)
        if (!is_digit(label.data[i]))
            return false;
    return true;
}

static enum hw_status check_name(struct hw_slice name, struct hw_cause *cause)
{
    enum hw_status status;
    struct hw_slice label;

    for (;;) {
        label = hw_slice(name.data, hw_slice_find(name, '.'));
        status = check_label(label, cause);
        if (status != HW_OK)
            return status;
        if (label.len == name.len)
            break;
        name = hw_slice(name.data + label.len + 1, name.len - label.len - 1);
    }
    if (ends_as_number(label))
        return refuse(cause, "url has a host that is neither a name nor an IPv4 address in "
                             "plain form (as 203.0.113.9)");
    return HW_OK;
}

/* Names that never belong to a public host (RFC 6761, 6762, 7686, 8375, and what
 * container platforms and clouds use).  The name itself and all below it. */
static bool is_internal(struct hw_slice name)
{
    static const char *const tops[] = { "localhost", "localdomain",   "local",
                                        "internal",  "svc",           "onion",
                                        "arpa",      "metadata.goog", NULL };

    if (hw_slice_find(name, '.') == name.len)
        return true;
    for (size_t i = 0; tops[i] != NULL; i++) {
        struct hw_slice top = hw_slice_str(tops[i]);
        struct hw_slice end = hw_slice_from(name, name.len < top.len ? 0 : name.len - top.len);
        if (hw_slice_eq(end, top) && (end.len == name.len || end.data[-1] == '.'))
            return true;
    }
    return false;
}

/* A dotted quad of four plain decimal numbers, as inet_ntop would write it? */
static bool is_plain_quad(const char *name)
{
    struct in_addr address;
    char again[INET_ADDRSTRLEN];

    return inet_pton(AF_INET, name, &address) == 1 &&
           inet_ntop(AF_INET, &address, again, sizeof again) != NULL &&
           strcmp(name, again) == 0;
}

static enum hw_status parse_name(struct parts *p, struct hw_cause *cause)
{
    if (p->host.len > HOST_MAX)
        return refuse(cause, "url has a host name over 253 bytes");
    for (size_t i = 0; i < p->host.len; i++) {
        char c = p->host.data[i];
        p->name[i] = (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
    }
    p->name[p->host.len] = '\0';
    p->is_address = is_plain_quad(p->name);
    if (p->is_address)
        return HW_OK;
    return check_name(hw_slice_str(p->name), cause);
}

static enum hw_status check_host_rules(const struct parts *p, const struct hw_url_rules *rules,
                                       struct hw_cause *cause)
{
    if (!p->is_tls) {
        if (strcmp(p->name, "localhost") == 0 || strcmp(p->name, "127.0.0.1") == 0 ||
            strcmp(p->name, "::1") == 0)
            return HW_OK;
        return refuse(cause, "url must begin with https://; http is for localhost, 127.0.0.1 "
                             "and [::1] only");
    }
    if (!p->is_address && !rules->allow_internal_names && is_internal(hw_slice_str(p->name)))
        return refuse(cause, "url has a host name for internal use, which cannot be reached "
                             "from here");
    return HW_OK;
}

static enum hw_status parse_parts(struct parts *p, struct hw_slice text,
                                  const struct hw_url_rules *rules, struct hw_cause *cause)
{
    enum hw_status status = check_bytes(text, cause);

    if (status == HW_OK)
        status = split_scheme(p, &text, rules, cause);
    if (status == HW_OK)
        status = split_target(p, text, cause);
    if (status == HW_OK)
        status = split_authority(p, cause);
    if (status == HW_OK)
        status = p->host.data[0] == '[' ? parse_v6(p, cause) : parse_name(p, cause);
    if (status == HW_OK)
        status = parse_port(p, cause);
    if (status == HW_OK)
        status = check_host_rules(p, rules, cause);
    return status;
}

/* --- writing ----------------------------------------------------------------------- */

/* "https://name" or "https://[name]", then the port where it is wanted. */
static void write_origin(struct hw_buf *out, const struct parts *p, bool with_port)
{
    hw_buf_append_str(out, p->is_tls ? "https://" : "http://");
    if (p->is_v6)
        hw_buf_append_char(out, '[');
    hw_buf_append_str(out, p->name);
    if (p->is_v6)
        hw_buf_append_char(out, ']');
    if (!with_port)
        return;
    hw_buf_append_char(out, ':');
    hw_buf_append_u64(out, p->port_number);
}

/* The block: canonical form, NUL, origin. */
static void url_point(struct hw_url *url, const struct parts *p, size_t origin_at,
                      size_t origin_len, size_t authority_len)
{
    size_t scheme_len = p->is_tls ? 8 : 7;
    size_t host_at = scheme_len + (p->is_v6 ? 1 : 0);

    url->origin = hw_slice(url->text + origin_at, origin_len);
    url->host = hw_slice(url->text + host_at, strlen(p->name));
    url->authority = hw_slice(url->text + scheme_len, authority_len);
    url->target = hw_slice(url->text + scheme_len + authority_len, p->target.len);
    url->port = p->port_number;
    url->is_tls = p->is_tls;
    url->is_address = p->is_address;
}

static enum hw_status url_write(struct hw_url *url, const struct parts *p,
                                struct hw_cause *cause)
{
    bool is_default_port = p->port_number == (p->is_tls ? 443 : 80);
    struct hw_buf out;
    size_t authority_end, text_len;

    /* The origin is shorter than the text it repeats, but for the port. */
    hw_buf_init(&out, 2 * HW_URL_MAX + 64);
    write_origin(&out, p, !is_default_port);
    authority_end = hw_buf_len(&out);
    hw_buf_append_slice(&out, p->target);
    text_len = hw_buf_len(&out);
    hw_buf_append_char(&out, '\0');
    write_origin(&out, p, true);
    if (hw_buf_failed(&out) != HW_OK || text_len > HW_URL_MAX) {
        hw_buf_close(&out);
        if (text_len > HW_URL_MAX)
            return refuse(cause, "url is longer than 2048 bytes in its canonical form");
        return hw_cause_set(cause, HW_ENOMEM, HW_ORIGIN_US, 0, "no memory for a url");
    }
    url->text = out.base; /* taken */
    url_point(url, p, text_len + 1, hw_buf_len(&out) - text_len - 1,
              authority_end - (p->is_tls ? 8 : 7));
    return HW_OK;
}

enum hw_status hw_url_parse(struct hw_url *url, struct hw_slice text,
                            const struct hw_url_rules *rules, struct hw_cause *cause)
{
    struct parts parts = { 0 };
    enum hw_status status;

    *url = (struct hw_url){ 0 };
    status = parse_parts(&parts, text, rules, cause);
    if (status == HW_OK)
        status = url_write(url, &parts, cause);
    return status;
}

void hw_url_close(struct hw_url *url)
{
    hw_free(url->text);
    *url = (struct hw_url){ 0 };
}
