/*
 * perf_sink - the receiver of the measurements: answers as the path says (tally.h), and
 * remembers when each request came.
 *
 *   perf_sink --cert FILE --key FILE [--ports N]
 *
 * TLS on N ports of 127.0.0.1 and plain HTTP on one more, for control:
 *
 *   GET /stats    everything; sorts the samples, so it is for the end of a run
 *   GET /counts   the same without the latencies, for asking again and again meanwhile
 *   POST /reset   begin anew
 *
 * One line of JSON says the ports; SIGTERM or SIGINT ends it, exit code 0.  Everything runs on
 * one loop: what a /stats or a handshake takes, the others wait.
 */
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>

#include "base/must.h"
#include "cli/receiver.h"
#include "flags.h"
#include "hookwheel/alloc.h"
#include "tally.h"

enum { PORTS_MAX = 10000, OUT_MAX = 2 * 1024 * 1024, FDS_WANTED = 20 * 1000 + 1000 };

struct sink {
    /* flags */
    const char *cert, *key;
    unsigned n_ports;
    bool wants_help;

    uv_loop_t uv;
    struct hw_loop loop;
    struct hw_identity *identity; /* owned */
    struct hw_receiver control;
    struct hw_receiver *receivers; /* owned; n_ports */
    unsigned n_open;               /* of them, from the first on: to be closed */
    unsigned n_closing;            /* the control port's included */
    uv_signal_t on_int, on_term;
    bool is_ending;

    struct hw_tally tally;
    uint64_t n_full, n_resumed; /* TLS handshakes */
    struct hw_buf out;          /* the last answer of the control port */
};

#define AT(field) .offset = offsetof(struct sink, field), .traits = HW_FLAG_NO_ENV

/* clang-format off */
static const struct hw_flag rows[] = {
    { "cert", HW_FLAG_TEXT, "FILE", AT(cert), .help = "certificate chain (PEM)" },
    { "key", HW_FLAG_TEXT, "FILE", AT(key), .help = "its private key (PEM)" },
    { "ports", HW_FLAG_COUNT, "N", AT(n_ports), .min = 1, .max = PORTS_MAX, .otherwise = "1", .help = "how many ports to listen on" },
    { "help", HW_FLAG_SWITCH, NULL, AT(wants_help), .help = "print this and exit" },
};
/* clang-format on */

/* ------------------------------------------------------------------ deliveries */

/* Read for each request: a turn can bring many, and the later ones have waited. */
static hw_unix_us unix_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (hw_unix_us)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static struct hw_receiver_answer on_delivery(void *data, const struct hw_inbound *request)
{
    struct sink *s = data;
    struct hw_tally_path *path = hw_tally_begin(&s->tally, hw_buf_slice(&request->target),
                                                hw_buf_slice(&request->body), unix_us());

    if (path == NULL)
        return (struct hw_receiver_answer){ .status = 404 };
    return (struct hw_receiver_answer){
        .status = path->status,
        .delay_ms = path->delay_ms == HW_TALLY_NEVER ? HW_RECEIVER_NEVER : path->delay_ms,
        .ticket = path,
    };
}

static void on_done(void *data, void *ticket)
{
    (void)data;
    hw_tally_end(ticket);
}

static void on_secure(void *data, bool is_resumed)
{
    struct sink *s = data;

    if (is_resumed)
        s->n_resumed++;
    else
        s->n_full++;
}

/* ------------------------------------------------------------------ control */

static size_t count_connections(const struct sink *s)
{
    size_t n = 0;

    for (unsigned i = 0; i < s->n_open; i++)
        n += s->receivers[i].n_conns;
    return n;
}

static struct hw_receiver_answer tell(struct sink *s, bool with_latency)
{
    hw_buf_reset(&s->out);
    hw_buf_append_str(&s->out, "{\"groups\":");
    hw_tally_write(&s->tally, with_latency, &s->out);
    hw_buf_appendf(&s->out, ",\"connections\":%zu", count_connections(s));
    hw_buf_appendf(&s->out, ",\"handshakes\":{\"full\":%llu,\"resumed\":%llu}",
                   (unsigned long long)s->n_full, (unsigned long long)s->n_resumed);
    hw_buf_appendf(&s->out, ",\"missed\":%llu}\n", (unsigned long long)s->tally.n_missed);
    if (hw_buf_failed(&s->out) != HW_OK)
        return (struct hw_receiver_answer){ .status = 500 };
    return (struct hw_receiver_answer){ .status = 200, .json = hw_buf_slice(&s->out) };
}

static struct hw_receiver_answer on_control(void *data, const struct hw_inbound *request)
{
    struct sink *s = data;
    struct hw_slice target = hw_buf_slice(&request->target);
    bool is_get = strcmp(request->method, "GET") == 0;

    if (is_get && hw_slice_is(target, "/stats"))
        return tell(s, true);
    if (is_get && hw_slice_is(target, "/counts"))
        return tell(s, false);
    if (is_get || strcmp(request->method, "POST") != 0 || !hw_slice_is(target, "/reset"))
        return (struct hw_receiver_answer){ .status = 404 };
    hw_tally_reset(&s->tally);
    s->n_full = s->n_resumed = 0;
    return (struct hw_receiver_answer){ .status = 204 };
}

/* ------------------------------------------------------------------ end */

static void on_loop_closed(struct hw_loop *loop)
{
    (void)loop;
}

static void on_receiver_closed(void *data)
{
    struct sink *s = data;

    if (--s->n_closing == 0)
        hw_loop_close(&s->loop, on_loop_closed);
}

static void sink_end(struct sink *s)
{
    if (s->is_ending)
        return;
    s->is_ending = true;
    uv_close((uv_handle_t *)&s->on_int, NULL);
    uv_close((uv_handle_t *)&s->on_term, NULL);
    s->n_closing = s->n_open + 1;
    hw_receiver_close(&s->control, on_receiver_closed);
    for (unsigned i = 0; i < s->n_open; i++)
        hw_receiver_close(&s->receivers[i], on_receiver_closed);
}

static void on_signal(uv_signal_t *handle, int number)
{
    (void)number;
    sink_end(handle->data);
}

/* ------------------------------------------------------------------ start */

/* Tens of thousands of connections need as many descriptors. */
static void raise_fd_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = FDS_WANTED;
    if (limit.rlim_max < FDS_WANTED)
        limit.rlim_max = FDS_WANTED; /* root may */
    else
        limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) == 0 || getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) == 0)
        fprintf(stderr, "perf_sink: at most %llu descriptors, so fewer connections\n",
                (unsigned long long)limit.rlim_cur);
}

static void watch_signal(struct sink *s, uv_signal_t *handle, int number)
{
    handle->data = s;
    HW_MUST(uv_signal_init(&s->uv, handle) == 0);
    HW_MUST(uv_signal_start(handle, on_signal, number) == 0);
}

/* A receiver that could not be opened must be closed too. */
static enum hw_status open_receivers(struct sink *s, struct hw_cause *cause)
{
    enum hw_status status;

    status =
        hw_receiver_open(&s->control, &s->loop, NULL, "127.0.0.1", 0, on_control, s, cause);
    while (status == HW_OK && s->n_open < s->n_ports) {
        struct hw_receiver *r = &s->receivers[s->n_open++];

        status =
            hw_receiver_open(r, &s->loop, s->identity, "127.0.0.1", 0, on_delivery, s, cause);
        r->done_cb = on_done;
        r->secure_cb = on_secure;
    }
    return status;
}

static void print_ports(const struct sink *s)
{
    for (unsigned i = 0; i < s->n_open; i++)
        printf("%s%u", i == 0 ? "{\"ports\":[" : ",", s->receivers[i].port);
    printf("],\"control\":%u}\n", s->control.port);
    fflush(stdout);
}

static enum hw_status prepare(struct sink *s, struct hw_cause *cause)
{
    if (s->cert == NULL || s->key == NULL)
        return hw_cause_set(cause, HW_EINVAL, HW_ORIGIN_US, 0, "--cert and --key are needed");
    s->receivers = hw_calloc(s->n_ports, sizeof *s->receivers);
    if (s->receivers == NULL)
        return hw_cause_set(cause, HW_ENOMEM, HW_ORIGIN_US, 0, "no memory for the ports");
    return hw_identity_open(&s->identity, s->cert, s->key, cause);
}

static enum hw_status run(struct sink *s, struct hw_cause *cause)
{
    enum hw_status status;

    raise_fd_limit();
    HW_MUST(uv_loop_init(&s->uv) == 0);
    status = hw_loop_init(&s->loop, &s->uv, cause);
    if (status == HW_OK) {
        watch_signal(s, &s->on_int, SIGINT);
        watch_signal(s, &s->on_term, SIGTERM);
        status = open_receivers(s, cause);
        if (status == HW_OK)
            print_ports(s);
        else
            sink_end(s);
    }
    uv_run(&s->uv, UV_RUN_DEFAULT);
    HW_MUST(uv_loop_close(&s->uv) == 0);
    return status;
}

static void sink_close(struct sink *s)
{
    hw_identity_close(s->identity);
    hw_free(s->receivers);
    hw_tally_close(&s->tally);
    hw_buf_close(&s->out);
}

int main(int argc, char **argv)
{
    static struct sink s = { .n_ports = 1 };
    struct hw_flag_set set = { rows, sizeof rows / sizeof *rows, &s, 0, NULL };
    struct hw_cause cause = { 0 };
    enum hw_status status;

    hw_tally_init(&s.tally);
    hw_buf_init(&s.out, OUT_MAX);
    status = hw_flags_read(&set, 1, argc, argv, NULL, &cause);
    if (status == HW_OK && s.wants_help) {
        puts("Usage: perf_sink --cert FILE --key FILE [flags]\n");
        hw_flags_help(&set, stdout);
        sink_close(&s);
        return 0;
    }
    if (status == HW_OK)
        status = prepare(&s, &cause);
    if (status == HW_OK)
        status = run(&s, &cause);
    if (status != HW_OK)
        fprintf(stderr, "perf_sink: %s\n", cause.note);
    sink_close(&s);
    return status == HW_OK ? 0 : 2;
}
