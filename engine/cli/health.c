#include "cli/health.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "options.h"

enum { TIMEOUT_S = 3 };

static int fail(const char *why)
{
    fprintf(stderr, "hookwheel health: %s\n", why);
    return 1;
}

/* "127.0.0.1:8420", "[::1]:8420" or "localhost:8420". */
static socklen_t parse_address(const char *text, struct sockaddr_storage *out)
{
    struct sockaddr_in *v4 = (struct sockaddr_in *)(void *)out;
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)(void *)out;
    const char *colon = strrchr(text, ':');
    char host[INET6_ADDRSTRLEN + 2];
    unsigned port;

    if (colon == NULL || (size_t)(colon - text) >= sizeof host ||
        sscanf(colon + 1, "%5u", &port) != 1)
        return 0;
    memcpy(host, text, (size_t)(colon - text));
    host[colon - text] = '\0';
    if (strcmp(host, "localhost") == 0)
        snprintf(host, sizeof host, "127.0.0.1");
    *out = (struct sockaddr_storage){ 0 };
    if (host[0] != '[') {
        v4->sin_family = AF_INET;
        v4->sin_port = htons((uint16_t)port);
        if (inet_pton(AF_INET, host, &v4->sin_addr) != 1)
            return 0;
        if (v4->sin_addr.s_addr == htonl(INADDR_ANY))
            v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        return sizeof *v4;
    }
    host[strcspn(host, "]")] = '\0';
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons((uint16_t)port);
    if (inet_pton(AF_INET6, host + 1, &v6->sin6_addr) != 1)
        return 0;
    if (IN6_IS_ADDR_UNSPECIFIED(&v6->sin6_addr))
        v6->sin6_addr = in6addr_loopback;
    return sizeof *v6;
}

static int ask(int fd, const struct sockaddr_storage *address, socklen_t size)
{
    static const char request[] =
        "GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";
    const struct timeval timeout = { .tv_sec = TIMEOUT_S };
    char answer[16] = "";
    ssize_t n;

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
    if (connect(fd, (const struct sockaddr *)address, size) != 0)
        return fail(strerror(errno));
    if (send(fd, request, sizeof request - 1, MSG_NOSIGNAL) != (ssize_t)(sizeof request - 1))
        return fail(strerror(errno));
    n = recv(fd, answer, 12, MSG_WAITALL); /* "HTTP/1.1 200" */
    if (n < 12)
        return fail(n < 0 ? strerror(errno) : "the connection ended before an answer");
    if (strcmp(answer + 8, " 200") != 0)
        return fail("not healthy");
    return 0;
}

int hw_health_run(int argc, char **argv)
{
    struct hw_options options;
    struct hw_cause cause = { 0 };
    struct sockaddr_storage address;
    const char *where;
    socklen_t size;
    int fd, exit_code;

    hw_options_init(&options);
    if (hw_options_read(&options, argc, argv, &cause) != HW_OK) {
        fprintf(stderr, "hookwheel health: %s\n", cause.note);
        return 2;
    }
    where = options.config.ops_listen ? options.config.ops_listen : options.config.listen;
    size = parse_address(where, &address);
    if (size == 0) {
        fprintf(stderr, "hookwheel health: \"%.60s\" is not ADDRESS:PORT\n", where);
        return 2;
    }
    fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return fail(strerror(errno));
    exit_code = ask(fd, &address, size);
    close(fd);
    return exit_code;
}
