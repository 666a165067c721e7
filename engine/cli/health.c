#include "cli/health.h"

#include <stdio.h>
#include <string.h>

#include "cli/fetch.h"
#include "hookwheel/alloc.h"
#include "options.h"

enum { TIMEOUT_MS = 3000 };

/* Where a daemon that listens there can be reached: all interfaces means loopback too. */
static void write_url(const char *listen, char *out, size_t size)
{
    if (strncmp(listen, "0.0.0.0:", 8) == 0)
        snprintf(out, size, "http://127.0.0.1%s", listen + 7);
    else if (strncmp(listen, "[::]:", 5) == 0)
        snprintf(out, size, "http://[::1]%s", listen + 4);
    else
        snprintf(out, size, "http://%s", listen);
}

static enum hw_status ask(struct hw_fetch *f, struct hw_cause *cause)
{
    static const struct hw_fetch_request request = { .method = "GET", .path = "/healthz" };
    enum hw_status status = hw_fetch_ask(f, &request, cause);

    if (status == HW_OK && f->response.status != 200)
        status = hw_cause_set(cause, HW_EPROTO, HW_ORIGIN_US, 0, "not healthy: it answers %d",
                              f->response.status);
    return status;
}

static int tell(const struct hw_cause *cause, int exit_code)
{
    fprintf(stderr, "hookwheel health: %s\n", cause->note);
    return exit_code;
}

static int check(struct hw_fetch *f, const char *listen)
{
    struct hw_cause cause = { 0 };
    enum hw_status status;
    char url[300];

    write_url(listen, url, sizeof url);
    status = hw_fetch_open(f, url, NULL, TIMEOUT_MS, &cause);
    if (status != HW_OK)
        return tell(&cause, status == HW_EINVAL ? 2 : 1);
    status = ask(f, &cause);
    hw_fetch_close(f);
    return status == HW_OK ? 0 : tell(&cause, 1);
}

int hw_health_run(int argc, char **argv)
{
    struct hw_options options;
    struct hw_cause cause = { 0 };
    struct hw_fetch *f;
    int exit_code;

    hw_options_init(&options);
    if (hw_options_read(&options, argc, argv, &cause) != HW_OK)
        return tell(&cause, 2);
    f = hw_malloc(sizeof *f);
    if (f == NULL)
        return tell(&(struct hw_cause){ .note = "out of memory" }, 1);
    exit_code = check(f, options.config.ops_listen ? options.config.ops_listen
                                                   : options.config.listen);
    hw_free(f);
    return exit_code;
}
