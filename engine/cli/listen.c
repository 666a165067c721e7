/*
 * listen - receive deliveries, check them, say what came.
 *
 *   request -> which event, which try -> signature -> answer -> one line -> count
 *
 *   an event's first --fail-first tries  503
 *   a signature that does not fit        401
 *   everything else                      --status
 *
 * A secret file may appear, and change, while we run: it is looked at again when a signature
 * does not fit.  SIGINT, SIGTERM, or --until reached: no more connections, the summary,
 * exit code 1 if any signature was bad.
 */
#include "cli/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/list.h"
#include "base/must.h"
#include "cli/receiver.h"
#include "cli/seen.h"
#include "flags.h"
#include "hookwheel/alloc.h"
#include "rules/json.h"
#include "rules/record.h"
#include "rules/sign.h"

enum {
    TOLERANCE_S = 300, /* of webhook-timestamp, as Standard Webhooks recommends */
    KEYS_MAX = 16,
    SECRET_FILE_MAX = KEYS_MAX * HW_SIGN_SECRET_MAX,
    OUT_MAX = 4 * 1024 * 1024,
    OUT_FLUSH = 64 * 1024
};

struct listen {
    /* flags */
    unsigned port, fail_first;
    uint64_t until, delay_ms;
    unsigned status;
    const char *host, *cert_out, *cert, *key, *secret_file;
    struct hw_texts secrets;
    bool is_http, is_json, is_quiet, wants_help;

    uv_loop_t uv;
    struct hw_loop loop;
    struct hw_receiver receiver;
    struct hw_identity *identity; /* owned; NULL: HTTP */
    uv_signal_t on_int, on_term;
    struct hw_turn_hook flush;
    struct hw_buf out;  /* lines not written yet */
    struct hw_buf cell; /* a text being escaped */

    struct hw_sign_key keys[KEYS_MAX];
    size_t n_keys, n_given; /* the first n_given come from --secret */
    struct stat secret_seen;
    struct hw_seen seen;
    bool has_header;
    bool is_ending;
};

#define AT(field) .offset = offsetof(struct listen, field), .traits = HW_FLAG_NO_ENV

/* clang-format off */
static const struct hw_flag rows[] = {
    { "port", HW_FLAG_COUNT, "PORT", AT(port), .max = 65535, .otherwise = "0", .help = "0: any free one; it is printed" },
    { "host", HW_FLAG_TEXT, "ADDR", AT(host), .otherwise = "127.0.0.1 and ::1", .help = "address to listen on" },
    { "http", HW_FLAG_SWITCH, NULL, AT(is_http), .help = "plain HTTP instead of HTTPS" },
    { "cert-out", HW_FLAG_TEXT, "FILE", AT(cert_out), .help = "write the certificate made for this run, for HOOKWHEEL_CA_FILE" },
    { "cert", HW_FLAG_TEXT, "FILE", AT(cert), .help = "certificate chain (PEM) instead of one made for this run" },
    { "key", HW_FLAG_TEXT, "FILE", AT(key), .help = "its private key (PEM)" },
    { "secret", HW_FLAG_TEXTS, "WHSEC", AT(secrets), .help = "check signatures with this secret; may be repeated" },
    { "secret-file", HW_FLAG_TEXT, "FILE", AT(secret_file), .help = "secrets, one a line; read again when it changes, may appear later" },
    { "status", HW_FLAG_COUNT, "CODE", AT(status), .min = 200, .max = 599, .otherwise = "204", .help = "what to answer" },
    { "delay", HW_FLAG_DURATION, "TIME", AT(delay_ms), .max = 3600000, .otherwise = "0", .help = "wait before each answer" },
    { "fail-first", HW_FLAG_COUNT, "N", AT(fail_first), .max = 1000000, .otherwise = "0", .help = "answer 503 to the first N tries of each event" },
    { "until", HW_FLAG_NUMBER, "N", AT(until), .max = 1000000000, .otherwise = "0", .help = "end when N events have arrived well; 0: never" },
    { "json", HW_FLAG_SWITCH, NULL, AT(is_json), .help = "print JSON lines" },
    { "quiet", HW_FLAG_SWITCH, NULL, AT(is_quiet), .help = "print no deliveries, only the address and the summary" },
    { "help", HW_FLAG_SWITCH, NULL, AT(wants_help), .help = "print this and exit" },
};
/* clang-format on */

/* ------------------------------------------------------------------ secrets */

static enum hw_status add_key(struct listen *l, struct hw_slice secret, struct hw_cause *cause)
{
    if (l->n_keys == KEYS_MAX)
        return hw_cause_set(cause, HW_EINVAL, HW_ORIGIN_US, 0, "more than %d secrets",
                            KEYS_MAX);
    if (hw_sign_key_parse(&l->keys[l->n_keys], secret, cause) != HW_OK)
        return HW_EINVAL;
    l->n_keys++;
    return HW_OK;
}

/* Lines that are no secret are passed over: the file may be half written. */
static void read_secrets(struct listen *l, struct hw_slice text)
{
    l->n_keys = l->n_given;
    while (text.len > 0) {
        size_t end = hw_slice_find(text, '\n');
        struct hw_slice line = hw_slice(text.data, end);

        while (line.len > 0 &&
               (line.data[line.len - 1] == '\r' || line.data[line.len - 1] == ' '))
            line.len--;
        if (line.len > 0 && add_key(l, line, NULL) != HW_OK && l->n_keys == KEYS_MAX)
            return;
        text = hw_slice_from(text, end + 1);
    }
}

/* true: the file has changed since it was last looked at, and was read. */
static bool reload_secrets(struct listen *l)
{
    char text[SECRET_FILE_MAX];
    struct stat now, *seen = &l->secret_seen;
    ssize_t n;
    int fd;

    if (l->secret_file == NULL || stat(l->secret_file, &now) != 0)
        return false;
    if (now.st_ino == seen->st_ino && now.st_size == seen->st_size &&
        now.st_mtim.tv_sec == seen->st_mtim.tv_sec &&
        now.st_mtim.tv_nsec == seen->st_mtim.tv_nsec)
        return false;
    fd = open(l->secret_file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    n = read(fd, text, sizeof text);
    close(fd);
    *seen = now;
    read_secrets(l, hw_slice(text, n > 0 ? (size_t)n : 0));
    return true;
}

/* ------------------------------------------------------------------ a delivery */

struct delivery {
    struct hw_slice id, type, body;
    uint64_t attempt;      /* x-hookwheel-attempt; 0: none */
    unsigned tries;        /* of this event, as counted here */
    const char *signature; /* "good", "bad", "unchecked" */
    const char *reason;    /* of a bad one; NULL */
    int64_t latency_ms;    /* -1: no record, no time to count from */
    int status;
};

static bool any_key_fits(const struct listen *l, const struct delivery *d,
                         struct hw_slice signatures, int64_t timestamp_s)
{
    for (size_t i = 0; i < l->n_keys; i++)
        if (hw_sign_verify(&l->keys[i], signatures, d->id, timestamp_s, d->body))
            return true;
    return false;
}

/* NULL: good; else why not. */
static const char *check_signature(struct listen *l, const struct hw_inbound *request,
                                   const struct delivery *d)
{
    struct hw_slice timestamp, signatures;
    uint64_t timestamp_s;
    int64_t now_s = hw_loop_unix(&l->loop) / 1000;

    if (d->id.len == 0)
        return "no webhook-id";
    if (!hw_inbound_field(request, "webhook-timestamp", &timestamp) ||
        !hw_slice_u64(timestamp, INT64_MAX, &timestamp_s))
        return "no webhook-timestamp";
    if (!hw_inbound_field(request, "webhook-signature", &signatures))
        return "no webhook-signature";
    if ((int64_t)timestamp_s < now_s - TOLERANCE_S ||
        (int64_t)timestamp_s > now_s + TOLERANCE_S)
        return "webhook-timestamp is more than 5 minutes off";
    if (any_key_fits(l, d, signatures, (int64_t)timestamp_s) ||
        (reload_secrets(l) && any_key_fits(l, d, signatures, (int64_t)timestamp_s)))
        return NULL;
    return l->n_keys > 0 ? "no signature fits" : "no secret in the secret file yet";
}

static void judge(struct listen *l, const struct hw_inbound *request, struct delivery *d)
{
    if (l->n_given == 0 && l->secret_file == NULL) {
        d->signature = "unchecked";
        return;
    }
    d->reason = check_signature(l, request, d);
    d->signature = d->reason ? "bad" : "good";
}

/* Type and age, where the body is an event record (not with "format":"raw"). */
static void look_inside(struct listen *l, struct delivery *d)
{
    struct hw_record record;
    hw_unix_ms happened;

    d->latency_ms = -1;
    if (!hw_record_read(&record, d->body))
        return;
    d->type = record.type;
    if (!hw_timestamp_parse(&happened, record.timestamp))
        return;
    d->latency_ms = hw_loop_unix(&l->loop) - happened;
    if (d->latency_ms < 0)
        d->latency_ms = 0;
}

static void count(struct listen *l, struct delivery *d)
{
    struct hw_seen *t = &l->seen;
    struct hw_seen_event *event = hw_seen_try(t, d->id);

    d->tries = event ? event->tries : 1;
    d->status = d->tries <= l->fail_first ? 503 : d->reason ? 401 : (int)l->status;
    if (d->reason != NULL)
        t->n_bad++;
    if (d->attempt > 1)
        t->n_retries++;
    if (d->tries == 1 && d->latency_ms >= 0)
        hw_seen_latency(t, d->latency_ms > UINT32_MAX ? UINT32_MAX : (uint32_t)d->latency_ms);
    if (event != NULL && d->status < 300 && d->reason == NULL)
        hw_seen_take(t, event);
}

/* ------------------------------------------------------------------ output */

static void on_flush(struct hw_turn_hook *hook)
{
    struct listen *l = HW_CONTAINER_OF(hook, struct listen, flush);
    struct hw_slice rest = hw_buf_slice(&l->out);

    while (rest.len > 0) {
        ssize_t n = write(STDOUT_FILENO, rest.data, rest.len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            break; /* nobody reads: go on receiving */
        rest = hw_slice_from(rest, (size_t)n);
    }
    hw_buf_reset(&l->out);
}

/* A text from outside, safe for a terminal: what is not visible ASCII becomes '?'. */
static const char *cell(struct listen *l, struct hw_slice text)
{
    const char *out;

    hw_buf_reset(&l->cell);
    for (size_t i = 0; i < text.len && i < 128; i++)
        hw_buf_append_char(&l->cell,
                           text.data[i] > ' ' && text.data[i] <= '~' ? text.data[i] : '?');
    out = hw_buf_str(&l->cell);
    return out && *out ? out : "-";
}

static void print_row(struct listen *l, const struct delivery *d, const char *time)
{
    char latency[24] = "-";

    if (!l->has_header && isatty(STDOUT_FILENO))
        hw_buf_appendf(&l->out, "%-13s%-7s%-4s%-10s%9s %8s  %-28s %s\n", "TIME", "ANSWER",
                       "TRY", "SIGNATURE", "LATENCY", "BYTES", "TYPE", "ID");
    l->has_header = true;
    if (d->latency_ms >= 0)
        snprintf(latency, sizeof latency, "%lld ms", (long long)d->latency_ms);
    hw_buf_appendf(&l->out, "%.12s %-7d%-4u%-10s%9s %8zu  ", time + 11, d->status, d->tries,
                   d->signature, latency, d->body.len);
    hw_buf_appendf(&l->out, "%-28s ", cell(l, d->type));
    hw_buf_appendf(&l->out, "%s%s%s%s\n", cell(l, d->id), d->reason ? " (" : "",
                   d->reason ? d->reason : "", d->reason ? ")" : "");
}

static void put_json_text(struct hw_buf *out, struct hw_slice text)
{
    enum hw_status status = hw_json_string(out, text);

    (void)status; /* remembered by the buffer; on_flush begins it anew */
}

static void print_json(struct listen *l, const struct delivery *d, const char *time)
{
    hw_buf_appendf(&l->out, "{\"time\":\"%s\",\"id\":", time);
    put_json_text(&l->out, d->id);
    hw_buf_append_str(&l->out, ",\"type\":");
    put_json_text(&l->out, d->type);
    hw_buf_appendf(&l->out, ",\"try\":%u,\"attempt\":%llu,\"answer\":%d", d->tries,
                   (unsigned long long)d->attempt, d->status);
    hw_buf_appendf(&l->out, ",\"signature\":\"%s\",\"bytes\":%zu", d->signature, d->body.len);
    if (d->latency_ms >= 0)
        hw_buf_appendf(&l->out, ",\"latency_ms\":%lld", (long long)d->latency_ms);
    if (d->reason != NULL)
        hw_buf_appendf(&l->out, ",\"reason\":\"%s\"", d->reason);
    hw_buf_append_str(&l->out, "}\n");
}

static void print_delivery(struct listen *l, const struct delivery *d)
{
    char time[HW_TIMESTAMP_MAX];

    if (l->is_quiet)
        return;
    hw_timestamp_text(hw_loop_unix(&l->loop), time);
    if (l->is_json)
        print_json(l, d, time);
    else
        print_row(l, d, time);
    if (hw_buf_len(&l->out) > OUT_FLUSH)
        on_flush(&l->flush);
    else
        hw_turn_hook_ask(&l->loop, &l->flush);
}

static void print_summary(struct listen *l)
{
    struct hw_seen *t = &l->seen;
    unsigned long long requests = t->n_requests, events = t->n_taken;
    unsigned long long duplicates = t->n_duplicates, bad = t->n_bad, retries = t->n_retries;
    unsigned p50 = hw_seen_percentile(t, 0.5), p99 = hw_seen_percentile(t, 0.99);

    if (l->is_json)
        printf(
            "{\"requests\":%llu,\"events\":%llu,\"duplicates\":%llu,\"bad_signatures\":%llu,"
            "\"retries\":%llu,\"latency_p50_ms\":%u,\"latency_p99_ms\":%u}\n",
            requests, events, duplicates, bad, retries, p50, p99);
    else
        printf("%llu requests, %llu events taken, %llu duplicates, %llu bad signatures, "
               "%llu retries; latency p50 %u ms, p99 %u ms\n",
               requests, events, duplicates, bad, retries, p50, p99);
}

/* ------------------------------------------------------------------ running */

static void on_loop_closed(struct hw_loop *loop)
{
    (void)loop;
}

static void on_receiver_closed(void *data)
{
    struct listen *l = data;

    on_flush(&l->flush);
    hw_turn_hook_remove(&l->flush);
    hw_loop_close(&l->loop, on_loop_closed);
}

static void listen_end(struct listen *l)
{
    if (l->is_ending)
        return;
    l->is_ending = true;
    uv_close((uv_handle_t *)&l->on_int, NULL);
    uv_close((uv_handle_t *)&l->on_term, NULL);
    hw_receiver_close(&l->receiver, on_receiver_closed);
}

static void on_signal(uv_signal_t *handle, int number)
{
    (void)number;
    listen_end(handle->data);
}

/* The end is at the end of the turn: the answer to the last delivery goes out first. */
static void on_turn(struct hw_turn_hook *hook)
{
    struct listen *l = HW_CONTAINER_OF(hook, struct listen, flush);

    on_flush(hook);
    if (l->until > 0 && l->seen.n_taken >= l->until)
        listen_end(l);
}

static struct hw_receiver_answer on_request(void *data, const struct hw_inbound *request)
{
    struct listen *l = data;
    struct delivery d = { .body = hw_buf_slice(&request->body) };
    struct hw_slice attempt;

    if (strcmp(request->method, "POST") != 0)
        return (struct hw_receiver_answer){ .status = 405 };
    if (!hw_inbound_field(request, "webhook-id", &d.id))
        d.id = hw_slice(NULL, 0);
    if (!hw_inbound_field(request, "x-hookwheel-attempt", &attempt) ||
        !hw_slice_u64(attempt, UINT32_MAX, &d.attempt))
        d.attempt = 0;
    look_inside(l, &d);
    judge(l, request, &d);
    count(l, &d);
    print_delivery(l, &d);
    if (l->until > 0 && l->seen.n_taken >= l->until)
        hw_turn_hook_ask(&l->loop, &l->flush);
    return (struct hw_receiver_answer){ .status = d.status, .delay_ms = l->delay_ms };
}

/* ------------------------------------------------------------------ start */

static enum hw_status write_cert(const char *path, struct hw_slice pem, struct hw_cause *cause)
{
    char draft[4096];
    FILE *file;
    bool is_good;

    /* Whoever waits for the file finds it whole. */
    if (snprintf(draft, sizeof draft, "%s.%ld", path, (long)getpid()) >= (int)sizeof draft)
        return hw_cause_set(cause, HW_EINVAL, HW_ORIGIN_US, 0, "--cert-out: path too long");
    file = fopen(draft, "we");
    is_good = file != NULL && fwrite(pem.data, 1, pem.len, file) == pem.len;
    if (file != NULL && fclose(file) != 0)
        is_good = false;
    if (is_good && rename(draft, path) == 0)
        return HW_OK;
    return hw_cause_set(cause, HW_ESYSTEM, HW_ORIGIN_ERRNO, errno, "cannot write %.90s: %s",
                        path, strerror(errno));
}

static enum hw_status make_identity(struct listen *l, struct hw_cause *cause)
{
    const char *names[] = { "localhost", "127.0.0.1", "::1", l->host };
    struct hw_buf pem;
    enum hw_status status;

    if (l->cert != NULL)
        return hw_identity_open(&l->identity, l->cert, l->key, cause);
    hw_buf_init(&pem, 64 * 1024);
    status = hw_identity_make(&l->identity, names, l->host ? 4 : 3, hw_loop_unix(&l->loop),
                              &pem, cause);
    if (status == HW_OK && l->cert_out != NULL)
        status = write_cert(l->cert_out, hw_buf_slice(&pem), cause);
    hw_buf_close(&pem);
    return status;
}

static void print_address(const struct listen *l)
{
    bool is_v6 = l->host && strchr(l->host, ':');
    bool is_any = l->host && (!strcmp(l->host, "0.0.0.0") || !strcmp(l->host, "::"));
    char url[128];

    snprintf(url, sizeof url, "%s://%s%s%s:%u", l->is_http ? "http" : "https",
             is_v6 && !is_any ? "[" : "", l->host && !is_any ? l->host : "localhost",
             is_v6 && !is_any ? "]" : "", l->receiver.port);
    if (l->is_json)
        printf("{\"listening\":\"%s\",\"port\":%u}\n", url, l->receiver.port);
    else
        printf("listening on %s\n", url);
    fflush(stdout);
}

static void watch_signal(struct listen *l, uv_signal_t *handle, int number)
{
    handle->data = l;
    HW_MUST(uv_signal_init(&l->uv, handle) == 0);
    HW_MUST(uv_signal_start(handle, on_signal, number) == 0);
}

static enum hw_status start(struct listen *l, struct hw_cause *cause)
{
    enum hw_status status = hw_loop_init(&l->loop, &l->uv, cause);

    if (status != HW_OK)
        return status;
    hw_turn_hook_add(&l->loop, &l->flush, on_turn);
    if (!l->is_http)
        status = make_identity(l, cause);
    if (status != HW_OK) {
        on_receiver_closed(l);
        return status;
    }
    watch_signal(l, &l->on_int, SIGINT);
    watch_signal(l, &l->on_term, SIGTERM);
    status = hw_receiver_open(&l->receiver, &l->loop, l->identity, l->host, l->port,
                              on_request, l, cause);
    if (status != HW_OK)
        listen_end(l);
    else
        print_address(l);
    return status;
}

static enum hw_status prepare(struct listen *l, struct hw_cause *cause)
{
    enum hw_status status = HW_OK;

    if ((l->cert == NULL) != (l->key == NULL))
        return hw_cause_set(cause, HW_EINVAL, HW_ORIGIN_US, 0, "--cert and --key go together");
    if ((l->is_http && (l->cert || l->cert_out)) || (l->cert && l->cert_out))
        return hw_cause_set(cause, HW_EINVAL, HW_ORIGIN_US, 0,
                            "--http, --cert and --cert-out exclude one another");
    for (size_t i = 0; i < l->secrets.n && status == HW_OK; i++)
        status = add_key(l, hw_slice_str(l->secrets.items[i]), cause);
    l->n_given = l->n_keys;
    reload_secrets(l);
    return status;
}

static void print_help(struct listen *l)
{
    struct hw_flag_set set = { rows, sizeof rows / sizeof *rows, l, 0, NULL };

    puts("Usage: hookwheel listen [flags]\n\n"
         "Receives deliveries during development: checks signatures, prints each one, and a\n"
         "summary at the end (Ctrl-C).\n");
    hw_flags_help(&set, stdout);
}

static int run(struct listen *l)
{
    struct hw_cause cause = { 0 };
    enum hw_status status;

    HW_MUST(uv_loop_init(&l->uv) == 0);
    status = start(l, &cause);
    uv_run(&l->uv, UV_RUN_DEFAULT);
    HW_MUST(uv_loop_close(&l->uv) == 0);
    if (status != HW_OK) {
        fprintf(stderr, "hookwheel listen: %s\n", cause.note);
        return 2;
    }
    print_summary(l);
    return l->seen.n_bad > 0 ? 1 : 0;
}

static void listen_close(struct listen *l)
{
    hw_identity_close(l->identity);
    hw_seen_close(&l->seen);
    hw_buf_close(&l->out);
    hw_buf_close(&l->cell);
    hw_texts_close(&l->secrets);
}

int hw_listen_run(int argc, char **argv)
{
    static struct listen l;
    struct hw_flag_set set = { rows, sizeof rows / sizeof *rows, &l, 0, NULL };
    struct hw_cause cause = { 0 };
    int exit_code = 2;

    l = (struct listen){ .status = 204 };
    hw_seen_init(&l.seen);
    hw_buf_init(&l.out, OUT_MAX);
    hw_buf_init(&l.cell, 256);
    if (hw_flags_read(&set, 1, argc, argv, NULL, &cause) != HW_OK ||
        (!l.wants_help && prepare(&l, &cause) != HW_OK)) {
        fprintf(stderr, "hookwheel listen: %s\n", cause.note);
    } else if (l.wants_help) {
        print_help(&l);
        exit_code = 0;
    } else {
        exit_code = run(&l);
    }
    listen_close(&l);
    return exit_code;
}

size_t hw_listen_flags(struct hw_flag_set sets[])
{
    sets[0] = (struct hw_flag_set){ .rows = rows, .n_rows = sizeof rows / sizeof *rows };
    return 1;
}
