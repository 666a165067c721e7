/*
 * serve - from settings to an engine that runs, and back.
 *
 *   read settings -> root token -> file descriptors -> engine open, start -> loop
 *   first SIGTERM or SIGINT -> drain -> DRAINED -> close -> loop ends -> exit 0
 *   second                  -> exit at once with 1 (nothing is lost: what was in flight is
 *                              made again by whoever takes over)
 *   settings wrong, port in use, start fails    -> one line, exit 2
 *   REFUSED (Redis too old, another root token) -> the line, close, exit 2
 *
 * The observer must not close the engine from inside, so DRAINED and REFUSED only send the
 * async handle `finish`, and the close happens on the loop's next turn.
 */
#include "serve.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <uv.h>

#include "base/must.h"
#include "hookwheel/hookwheel.h"
#include "log.h"
#include "notify.h"
#include "options.h"
#include "root_token.h"
#include "tls/trust.h"

struct serve {
    struct hw_options options;
    struct hw_log log;
    uv_loop_t loop;
    uv_signal_t on_term, on_int;
    uv_async_t finish;        /* the engine has drained, or must not run: close it */
    struct hw_engine *engine; /* owned */
    char token[HW_ROOT_TOKEN_MAX];
    bool made_token; /* on this start */
    bool was_ready;  /* the service manager has been told */
    bool is_stopping;
    bool is_finished;
    int exit_code;
};

static int usage_error(const struct hw_cause *cause)
{
    fprintf(stderr, "hookwheel serve: %s\n", cause->note);
    return 2;
}

static void print_help(struct hw_options *options)
{
    struct hw_flag_set set = hw_options_flags(options, 0);

    puts("Usage: hookwheel serve [flags]\n\n"
         "Takes events from a Redis stream and delivers them to webhooks.\n"
         "Each flag is an environment variable too: --redis-url is HOOKWHEEL_REDIS_URL; the\n"
         "flag wins.  Durations end in ms, s, m, h or d, sizes in KiB or MiB.");
    hw_flags_help(&set, stdout);
}

/* ------------------------------------------------------------------ before the start */

/* The root token: given, in a named file, or kept in the data folder.  Where it would be kept,
 * any will do until everything else is known to be good: a start that is refused, and a check,
 * leave nothing behind. */
static enum hw_status find_token(struct serve *s, bool *is_kept, struct hw_cause *cause)
{
    struct hw_options *o = &s->options;

    *is_kept = false;
    if (o->config.api_token != NULL)
        return HW_OK;
    o->config.api_token = s->token;
    if (o->api_token_file != NULL)
        return hw_root_token_read(o->api_token_file, s->token, cause);
    *is_kept = true;
    memset(s->token, 'x', 16);
    return HW_OK;
}

/* As many descriptors as the system lets us have; the engine counts what it got. */
static void raise_fd_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max)
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static enum hw_status check_files(const struct hw_config *config, struct hw_cause *cause)
{
    struct hw_trust *trust;
    enum hw_status status;

    if (config->ca_file == NULL)
        return HW_OK;
    status = hw_trust_open(&trust, config->ca_file, false, cause);
    if (status == HW_OK)
        hw_trust_close(trust);
    return status;
}

static enum hw_status prepare(struct serve *s, struct hw_cause *cause)
{
    const struct hw_config *config = &s->options.config;
    bool token_is_kept;
    enum hw_status status = find_token(s, &token_is_kept, cause);

    if (status == HW_OK)
        status = hw_config_check(config, cause);
    if (status == HW_OK)
        status = check_files(config, cause);
    if (status == HW_OK && token_is_kept && !s->options.wants_check)
        status = hw_root_token_keep(config->data_dir, s->token, &s->made_token, cause);
    return status;
}

/* ------------------------------------------------------------------ while it runs */

static void on_engine_closed(void *data)
{
    struct serve *s = data;

    s->engine = NULL;
    uv_close((uv_handle_t *)&s->on_term, NULL);
    uv_close((uv_handle_t *)&s->on_int, NULL);
    uv_close((uv_handle_t *)&s->finish, NULL);
}

static void on_finish(uv_async_t *finish)
{
    struct serve *s = finish->data;

    if (s->is_finished)
        return;
    s->is_finished = true;
    hw_engine_close(s->engine, on_engine_closed, s);
}

static void on_engine_event(void *data, const struct hw_engine_event *event)
{
    struct serve *s = data;

    /* Of what cannot run the reason is said, once; not that it has stopped too. */
    if (event->kind == HW_EVENT_STOPPED && s->exit_code != 0)
        return;
    hw_log_event(&s->log, event);
    if (event->kind == HW_EVENT_READY && !s->was_ready) {
        s->was_ready = true;
        hw_notify("READY=1");
    }
    if (event->kind == HW_EVENT_REFUSED)
        s->exit_code = 2;
    if (event->kind == HW_EVENT_DRAINED || event->kind == HW_EVENT_REFUSED)
        uv_async_send(&s->finish);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct serve *s = handle->data;

    if (s->is_stopping || s->is_finished) {
        hw_log_line(&s->log, HW_LOG_WARN, "exit_at_once", "asked twice: exiting at once");
        _exit(1);
    }
    s->is_stopping = true;
    hw_log_line(&s->log, HW_LOG_INFO, "signal", "%s: stopping",
                number == SIGINT ? "SIGINT" : "SIGTERM");
    hw_notify("STOPPING=1");
    hw_engine_drain(s->engine);
}

static void watch_signal(struct serve *s, uv_signal_t *handle, int number)
{
    handle->data = s;
    HW_MUST(uv_signal_init(&s->loop, handle) == 0);
    HW_MUST(uv_signal_start(handle, on_signal, number) == 0);
}

static enum hw_status begin(struct serve *s, struct hw_cause *cause)
{
    enum hw_status status;

    s->finish.data = s;
    HW_MUST(uv_async_init(&s->loop, &s->finish, on_finish) == 0);
    watch_signal(s, &s->on_term, SIGTERM);
    watch_signal(s, &s->on_int, SIGINT);
    status =
        hw_engine_open(&s->engine, &s->loop, &s->options.config, on_engine_event, s, cause);
    if (status != HW_OK) {
        s->engine = NULL;
        on_engine_closed(s);
        return status;
    }
    status = hw_engine_start(s->engine, cause);
    if (status != HW_OK)
        uv_async_send(&s->finish);
    else if (s->made_token)
        hw_log_line(&s->log, HW_LOG_INFO, "root_token_made",
                    "made a root token: see %s/root-token", s->options.config.data_dir);
    return status;
}

static int run(struct serve *s)
{
    struct hw_cause cause = { 0 };
    enum hw_status status;

    raise_fd_limit();
    if (uv_loop_init(&s->loop) != 0) {
        fputs("hookwheel serve: the event loop cannot be made\n", stderr);
        return 1;
    }
    status = begin(s, &cause);
    if (status != HW_OK)
        s->exit_code = usage_error(&cause);
    uv_run(&s->loop, UV_RUN_DEFAULT);
    HW_MUST(uv_loop_close(&s->loop) == 0);
    return s->exit_code;
}

static bool is_asked(int argc, char **argv, const char *flag)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], flag) == 0)
            return true;
    return false;
}

int hw_serve_run(int argc, char **argv)
{
    static struct serve s; /* large, and as long as the process */
    struct hw_cause cause = { 0 };
    enum hw_status status;

    hw_options_init(&s.options);
    /* Help is given whatever else is wrong. */
    if (is_asked(argc, argv, "--help")) {
        print_help(&s.options);
        return 0;
    }
    status = hw_options_read(&s.options, argc, argv, &cause);
    if (status != HW_OK)
        return usage_error(&cause);
    if (s.options.wants_markdown) {
        struct hw_flag_set set = hw_options_flags(&s.options, 0);
        hw_flags_markdown(&set, stdout);
        return 0;
    }
    hw_log_init(&s.log, STDERR_FILENO, s.options.log_level, s.options.log_format);
    status = prepare(&s, &cause);
    if (status != HW_OK)
        return usage_error(&cause);
    if (s.options.wants_check) {
        puts("settings are good");
        return 0;
    }
    return run(&s);
}

size_t hw_serve_flags(struct hw_flag_set sets[])
{
    sets[0] = hw_options_flags(NULL, 0);
    return 1;
}
