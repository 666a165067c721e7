/* Where Redis is: the URL's forms, and how it is named in messages. */
#include "store/redis.h"

#include <stdio.h>
#include <sys/un.h>
#include <unistd.h>

#include "hookwheel/alloc.h"

enum { DEFAULT_PORT = 6379, DB_MAX = 1 << 20 };

static enum hw_status bad_url(struct hw_cause *cause, const char *what)
{
    return hw_cause_set(cause, HW_EINVAL, HW_ORIGIN_US, 0,
                        "Redis URL: %s (redis://[user:pass@]host:port/db, rediss://..., or "
                        "unix:///path)",
                        what);
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* A copy without percent-encoding; NULL: no memory, or (*is_bad) not well formed. */
static char *decode(struct hw_slice s, bool *is_bad)
{
    char *out = hw_malloc(s.len + 1);
    size_t n = 0;

    for (size_t i = 0; out != NULL && i < s.len; i++, n++) {
        int high = s.data[i] == '%' && i + 2 < s.len ? hex_digit(s.data[i + 1]) : -1;
        int low = high >= 0 ? hex_digit(s.data[i + 2]) : -1;

        out[n] = low >= 0 ? (char)(high * 16 + low) : s.data[i];
        if ((s.data[i] == '%' && low < 0) || out[n] == '\0') {
            *is_bad = true;
            hw_free(out);
            return NULL;
        }
        if (low >= 0)
            i += 2;
    }
    if (out != NULL)
        out[n] = '\0';
    return out;
}

static enum hw_status decode_into(char **field, struct hw_slice s, struct hw_cause *cause,
                                  const char *what)
{
    bool is_bad = false;

    *field = decode(s, &is_bad);
    if (is_bad)
        return bad_url(cause, what);
    return *field != NULL ? HW_OK
                          : hw_cause_set(cause, HW_ENOMEM, HW_ORIGIN_US, 0, "Redis URL");
}

static struct hw_slice slice_until(struct hw_slice s, size_t end)
{
    return hw_slice(s.data, end < s.len ? end : s.len);
}

/* "user:pass@" in front, taken off *rest.  The last '@' counts before the path begins. */
static enum hw_status parse_login(struct hw_redis_target *t, struct hw_slice *rest,
                                  struct hw_cause *cause)
{
    struct hw_slice authority = slice_until(*rest, hw_slice_find(*rest, '/'));
    size_t at = authority.len;
    struct hw_slice login, user, password;
    enum hw_status status;

    while (at > 0 && authority.data[at - 1] != '@')
        at--;
    if (at == 0)
        return HW_OK;
    login = slice_until(authority, at - 1);
    *rest = hw_slice_from(*rest, at);
    user = slice_until(login, hw_slice_find(login, ':'));
    password = hw_slice_from(login, user.len + 1);
    if (password.len == 0)
        return bad_url(cause, "there is an @ but no password");
    if (user.len > 0) {
        status = decode_into(&t->user, user, cause, "bad percent-encoding in the user's name");
        if (status != HW_OK)
            return status;
    }
    return decode_into(&t->password, password, cause, "bad percent-encoding in the password");
}

static enum hw_status parse_db(struct hw_redis_target *t, struct hw_slice db,
                               struct hw_cause *cause)
{
    uint64_t n = 0;

    if (db.len > 0 && !hw_slice_u64(db, DB_MAX, &n))
        return bad_url(cause, "the database is not a number");
    t->db = (unsigned)n;
    return HW_OK;
}

/* "host", "host:port", "[v6]:port" */
static enum hw_status parse_host(struct hw_redis_target *t, struct hw_slice s,
                                 struct hw_cause *cause)
{
    bool is_bracketed = s.len > 0 && s.data[0] == '[';
    struct hw_slice host, port;
    uint64_t n = DEFAULT_PORT;

    if (is_bracketed) {
        size_t end = hw_slice_find(s, ']');
        host = end < s.len ? hw_slice_from(slice_until(s, end), 1) : hw_slice(NULL, 0);
        port = hw_slice_from(s, end + 1);
    } else {
        host = slice_until(s, hw_slice_find(s, ':'));
        port = hw_slice_from(s, host.len);
    }
    if (host.len == 0 || host.len > 255 || memchr(host.data, '\0', host.len) != NULL)
        return bad_url(cause, "the host is missing");
    if (port.len > 0 &&
        (port.data[0] != ':' || !hw_slice_u64(hw_slice_from(port, 1), 65535, &n) || n == 0))
        return bad_url(cause, "the port is not a number from 1 to 65535");
    t->port = (uint16_t)n;
    t->host = hw_strndup(host.data, host.len);
    return t->host ? HW_OK : hw_cause_set(cause, HW_ENOMEM, HW_ORIGIN_US, 0, "Redis URL");
}

static enum hw_status parse_tcp(struct hw_redis_target *t, struct hw_slice rest,
                                struct hw_cause *cause)
{
    enum hw_status status = parse_login(t, &rest, cause);
    size_t slash = hw_slice_find(rest, '/');

    if (status == HW_OK)
        status = parse_db(t, hw_slice_from(rest, slash + 1), cause);
    if (status == HW_OK)
        status = parse_host(t, slice_until(rest, slash), cause);
    return status;
}

static enum hw_status parse_unix(struct hw_redis_target *t, struct hw_slice rest,
                                 struct hw_cause *cause)
{
    enum hw_status status = parse_login(t, &rest, cause);
    size_t mark = hw_slice_find(rest, '?');
    struct hw_slice query = hw_slice_from(rest, mark + 1);

    if (status != HW_OK)
        return status;
    if (rest.len == 0 || rest.data[0] != '/')
        return bad_url(cause, "the socket's path must be absolute");
    if (query.len > 0 && !hw_slice_starts(query, HW_SLICE("db=")))
        return bad_url(cause, "unknown parameter");
    if (mark >= sizeof((struct sockaddr_un *)NULL)->sun_path)
        return bad_url(cause, "the socket's path is over 107 bytes");
    status = parse_db(t, hw_slice_from(query, 3), cause);
    if (status != HW_OK)
        return status;
    return decode_into(&t->path, slice_until(rest, mark), cause,
                       "bad percent-encoding in the path");
}

static enum hw_status parse_scheme(struct hw_redis_target *t, struct hw_slice url,
                                   struct hw_cause *cause)
{
    if (hw_slice_starts(url, HW_SLICE("redis://")))
        return parse_tcp(t, hw_slice_from(url, 8), cause);
    t->is_tls = hw_slice_starts(url, HW_SLICE("rediss://"));
    if (t->is_tls)
        return parse_tcp(t, hw_slice_from(url, 9), cause);
    if (hw_slice_starts(url, HW_SLICE("unix://")))
        return parse_unix(t, hw_slice_from(url, 7), cause);
    return bad_url(cause, "unknown scheme");
}

enum hw_status hw_redis_target_parse(struct hw_redis_target *t, struct hw_slice url,
                                     struct hw_cause *cause)
{
    enum hw_status status;

    *t = (struct hw_redis_target){ 0 };
    status = parse_scheme(t, url, cause);
    if (status != HW_OK)
        hw_redis_target_close(t);
    return status;
}

void hw_redis_target_close(struct hw_redis_target *t)
{
    hw_free(t->host);
    hw_free(t->path);
    hw_free(t->user);
    hw_free(t->password);
    if (t->has_folder)
        close(t->folder_fd);
    *t = (struct hw_redis_target){ 0 };
}

void hw_redis_target_text(const struct hw_redis_target *t, char *out, size_t size)
{
    if (t->path != NULL)
        snprintf(out, size, "unix:%s", t->path);
    else
        snprintf(out, size, strchr(t->host, ':') ? "[%s]:%u" : "%s:%u", t->host, t->port);
}
