#include "cli/api_url.h"

#include <stdio.h>
#include <string.h>

#include "base/slice.h"

enum { HTTP_PORT = 80, HTTPS_PORT = 443 };

static enum hw_status refuse(struct hw_cause *cause, const char *text, const char *why)
{
    return hw_cause_set(cause, HW_EINVAL, HW_ORIGIN_US, 0,
                        "the API's URL \"%.60s\" %s (like http://127.0.0.1:8420)", text, why);
}

/* Every byte one of ours; a NUL-terminated copy. */
static bool copy(char *out, size_t size, struct hw_slice text, const char *marks)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');

        if (!is_letter && !(c >= '0' && c <= '9') && strchr(marks, c) == NULL)
            return false;
    }
    if (text.len >= size)
        return false;
    memcpy(out, text.data ? text.data : "", text.len);
    out[text.len] = '\0';
    return true;
}

static bool read_scheme(struct hw_api_url *url, struct hw_slice *rest)
{
    size_t colon = hw_slice_find(*rest, ':');
    struct hw_slice scheme = hw_slice(rest->data, colon);

    url->is_tls = hw_slice_ieq(scheme, HW_SLICE("https"));
    if (!url->is_tls && !hw_slice_ieq(scheme, HW_SLICE("http")))
        return false;
    *rest = hw_slice_from(*rest, colon);
    if (!hw_slice_starts(*rest, HW_SLICE("://")))
        return false;
    *rest = hw_slice_from(*rest, 3);
    return true;
}

/* "name", "10.0.0.1", "[::1]"; what is behind it stays in *rest. */
static bool read_host(struct hw_api_url *url, struct hw_slice *rest)
{
    bool is_bracketed = rest->len > 0 && rest->data[0] == '[';
    size_t end = hw_slice_find(*rest, is_bracketed ? ']' : ':');
    struct hw_slice host = hw_slice(rest->data, end);

    if (is_bracketed && end == rest->len)
        return false;
    if (is_bracketed)
        host = hw_slice_from(host, 1);
    *rest = hw_slice_from(*rest, is_bracketed ? end + 1 : end);
    return host.len > 0 &&
           copy(url->host, sizeof url->host, host, is_bracketed ? ":." : "-._");
}

static bool read_port(struct hw_api_url *url, struct hw_slice text)
{
    uint64_t port = url->is_tls ? HTTPS_PORT : HTTP_PORT;

    if (text.len > 0 &&
        (text.data[0] != ':' || !hw_slice_u64(hw_slice_from(text, 1), UINT16_MAX, &port) ||
         port == 0))
        return false;
    url->port = (uint16_t)port;
    return true;
}

static void write_authority(struct hw_api_url *url)
{
    bool is_v6 = strchr(url->host, ':') != NULL;
    bool is_usual = url->port == (url->is_tls ? HTTPS_PORT : HTTP_PORT);
    int n = snprintf(url->authority, sizeof url->authority, is_v6 ? "[%s]" : "%s", url->host);

    if (!is_usual)
        snprintf(url->authority + n, sizeof url->authority - (size_t)n, ":%u", url->port);
}

enum hw_status hw_api_url_parse(struct hw_api_url *url, const char *text,
                                struct hw_cause *cause)
{
    struct hw_slice rest = hw_slice_str(text), place;
    size_t path;

    *url = (struct hw_api_url){ .is_tls = false };
    if (!read_scheme(url, &rest))
        return refuse(cause, text, "begins with neither http:// nor https://");
    path = hw_slice_find(rest, '/');
    place = hw_slice(rest.data, path);
    if (!read_host(url, &place))
        return refuse(cause, text, "names no host");
    if (!read_port(url, place))
        return refuse(cause, text, "has no good port");
    rest = hw_slice_from(rest, path);
    while (rest.len > 0 && rest.data[rest.len - 1] == '/')
        rest.len--;
    if (!copy(url->prefix, sizeof url->prefix, rest, "/-._~%"))
        return refuse(cause, text, "has more than a plain path behind the host");
    write_authority(url);
    return HW_OK;
}
