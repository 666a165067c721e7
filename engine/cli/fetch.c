/*
 *   ask -> dial (name, connect, TLS) -> the request in one write -> on_data ... complete
 *
 *   no connection, or lost before the answer is whole   dial's cause, or the parser's
 *   nothing for timeout_ms                              HW_ETIMEDOUT
 *   an answer over HW_FETCH_ANSWER_MAX                  HW_ETOOBIG
 *   a signal, or nobody reads the output                HW_ECANCELED
 *
 * Whatever ends it sets is_done; ask turns the loop until then, and then until the connection
 * is closed.
 */
#include "cli/fetch.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "base/list.h"
#include "base/must.h"

#define REQUEST_MAX ((size_t)HW_FETCH_ANSWER_MAX + 64 * 1024)

enum { LOOK_MS = 1000 };

/* --- the end of it ----------------------------------------------------------------- */

static void done(struct hw_fetch *f)
{
    f->is_done = true;
    hw_loop_cancel(&f->loop, &f->deadline);
}

static void fail(struct hw_fetch *f, enum hw_status status, const char *why)
{
    const char *scheme = f->url.is_tls ? "https" : "http";

    if (f->is_done)
        return;
    hw_cause_set(f->cause, status, HW_ORIGIN_US, 0, "%s://%.50s: %.80s", scheme,
                 f->url.authority, why);
    done(f);
}

static void on_deadline(struct hw_wheel_entry *e)
{
    struct hw_fetch *f = HW_CONTAINER_OF(e, struct hw_fetch, deadline);
    char text[48];

    snprintf(text, sizeof text, "no answer within %llu s",
             (unsigned long long)(f->timeout_ms / 1000));
    fail(f, HW_ETIMEDOUT, text);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct hw_fetch *f = handle->data;

    (void)number;
    f->is_interrupted = true;
    fail(f, HW_ECANCELED, "interrupted");
}

/* libuv would tell of it, but makes what it watches non-blocking, for other programs too. */
static bool is_output_read(void)
{
    struct pollfd output = { .fd = STDOUT_FILENO };

    return poll(&output, 1, 0) <= 0 || (output.revents & POLLERR) == 0;
}

static void on_look(struct hw_wheel_entry *e)
{
    struct hw_fetch *f = HW_CONTAINER_OF(e, struct hw_fetch, look);

    if (is_output_read()) {
        hw_loop_arm(&f->loop, &f->look, LOOK_MS);
        return;
    }
    f->is_unread = f->is_interrupted = true;
    fail(f, HW_ECANCELED, "nobody reads");
}

/* --- the exchange ------------------------------------------------------------------ */

static void on_open(struct hw_dial *d)
{
    struct hw_fetch *f = HW_CONTAINER_OF(d, struct hw_fetch, dial);
    struct hw_slice bytes = hw_buf_slice(&f->request);

    f->is_sent = true;
    if (hw_stream_write(hw_dial_stream(d), &bytes, 1) != HW_OK)
        fail(f, HW_ENOMEM, "out of memory");
}

static void on_data(struct hw_dial *d, struct hw_slice data)
{
    struct hw_fetch *f = HW_CONTAINER_OF(d, struct hw_fetch, dial);
    struct hw_cause cause = { 0 };
    size_t n_used;

    if (f->is_done)
        return;
    if (hw_response_feed(&f->response, data, &n_used, &cause) != HW_OK)
        fail(f, cause.status, cause.note);
    else if (f->response.body_bytes > HW_FETCH_ANSWER_MAX)
        fail(f, HW_ETOOBIG, "the answer is over 16 MiB");
    else if (f->response.is_complete)
        done(f);
}

static void on_end(struct hw_dial *d, const struct hw_cause *why)
{
    struct hw_fetch *f = HW_CONTAINER_OF(d, struct hw_fetch, dial);

    if (f->is_done)
        return;
    if (f->is_sent && hw_response_end(&f->response, NULL) == HW_OK)
        done(f);
    else
        fail(f, why->status, why->note);
}

static const struct hw_dial_events events = { .on_open = on_open,
                                              .on_data = on_data,
                                              .on_end = on_end };

static void on_dial_closed(struct hw_dial *d)
{
    HW_CONTAINER_OF(d, struct hw_fetch, dial)->is_dial_closed = true;
}

static enum hw_status write_request(struct hw_fetch *f, const struct hw_fetch_request *r)
{
    struct hw_buf *out = &f->request;

    hw_buf_reset(out);
    hw_buf_appendf(out, "%s %s%s HTTP/1.1\r\nhost: %s\r\n", r->method, f->url.prefix, r->path,
                   f->url.authority);
    hw_buf_append_str(out, "accept: application/json\r\nconnection: close\r\n");
    if (r->token != NULL)
        hw_buf_appendf(out, "authorization: Bearer %s\r\n", r->token);
    if (r->once_key != NULL)
        hw_buf_appendf(out, "idempotency-key: %s\r\n", r->once_key);
    if (r->json != NULL)
        hw_buf_appendf(out, "content-type: application/json\r\ncontent-length: %zu\r\n",
                       strlen(r->json));
    else if (strcmp(r->method, "GET") != 0)
        hw_buf_append_str(out, "content-length: 0\r\n");
    hw_buf_append_str(out, "\r\n");
    if (r->json != NULL)
        hw_buf_append_str(out, r->json);
    return hw_buf_failed(out);
}

static void turn_until(struct hw_fetch *f, const bool *is_it)
{
    while (!*is_it)
        uv_run(&f->uv, UV_RUN_ONCE);
}

static void arm(struct hw_fetch *f, uint64_t delay_ms)
{
    uv_update_time(&f->uv); /* the loop has not turned since the last call */
    hw_loop_arm(&f->loop, &f->deadline, delay_ms);
}

enum hw_status hw_fetch_ask(struct hw_fetch *f, const struct hw_fetch_request *request,
                            struct hw_cause *cause)
{
    *cause = (struct hw_cause){ .status = HW_OK };
    f->cause = cause;
    f->is_done = f->is_sent = f->is_dial_closed = false;
    if (f->is_interrupted)
        return hw_cause_set(cause, HW_ECANCELED, HW_ORIGIN_US, 0, "interrupted");
    if (write_request(f, request) != HW_OK)
        return hw_cause_set(cause, HW_ENOMEM, HW_ORIGIN_US, 0, "out of memory");
    hw_response_start(&f->response);
    hw_dial_init(&f->dial, &f->loop, &f->target, f->trust, &events);
    arm(f, f->timeout_ms);
    hw_dial_start(&f->dial);
    turn_until(f, &f->is_done);
    hw_dial_close(&f->dial, on_dial_closed);
    turn_until(f, &f->is_dial_closed);
    return cause->status;
}

/* --- waiting, being ended ---------------------------------------------------------- */

bool hw_fetch_wait(struct hw_fetch *f, uint64_t wait_ms)
{
    struct hw_cause cause = { .status = HW_OK };

    f->cause = &cause; /* the deadline's, which is no failure here */
    f->is_done = f->is_interrupted;
    if (!f->is_done)
        arm(f, wait_ms);
    turn_until(f, &f->is_done);
    return !f->is_interrupted;
}

void hw_fetch_watch(struct hw_fetch *f)
{
    static const int numbers[] = { SIGINT, SIGTERM };

    f->watches = true;
    hw_loop_arm(&f->loop, &f->look, LOOK_MS);
    for (size_t i = 0; i < 2; i++) {
        HW_MUST(uv_signal_init(&f->uv, &f->signals[i]) == 0);
        f->signals[i].data = f;
        HW_MUST(uv_signal_start(&f->signals[i], on_signal, numbers[i]) == 0);
    }
}

/* --- life -------------------------------------------------------------------------- */

static void on_loop_closed(struct hw_loop *loop)
{
    HW_CONTAINER_OF(loop, struct hw_fetch, loop)->is_loop_closed = true;
}

enum hw_status hw_fetch_open(struct hw_fetch *f, const char *url, const char *ca_file,
                             uint64_t timeout_ms, struct hw_cause *cause)
{
    enum hw_status status;

    *f = (struct hw_fetch){ .timeout_ms = timeout_ms };
    status = hw_api_url_parse(&f->url, url, cause);
    if (status == HW_OK && f->url.is_tls)
        status = hw_trust_open(&f->trust, ca_file, true, cause);
    if (status != HW_OK)
        return status;
    HW_MUST(uv_loop_init(&f->uv) == 0);
    status = hw_loop_init(&f->loop, &f->uv, cause);
    if (status != HW_OK) {
        uv_run(&f->uv, UV_RUN_DEFAULT);
        HW_MUST(uv_loop_close(&f->uv) == 0);
        hw_trust_close(f->trust);
        return status;
    }
    f->target = (struct hw_redis_target){ .host = f->url.host,
                                          .port = f->url.port,
                                          .is_tls = f->url.is_tls };
    hw_response_init(&f->response, HW_FETCH_ANSWER_MAX);
    hw_buf_init(&f->request, REQUEST_MAX);
    hw_wheel_entry_init(&f->deadline, on_deadline);
    hw_wheel_entry_init(&f->look, on_look);
    return HW_OK;
}

void hw_fetch_close(struct hw_fetch *f)
{
    hw_loop_cancel(&f->loop, &f->look);
    for (size_t i = 0; i < 2 && f->watches; i++)
        uv_close((uv_handle_t *)&f->signals[i], NULL);
    hw_loop_close(&f->loop, on_loop_closed);
    uv_run(&f->uv, UV_RUN_DEFAULT);
    HW_MUST(f->is_loop_closed && uv_loop_close(&f->uv) == 0);
    hw_response_close(&f->response);
    hw_buf_close(&f->request);
    hw_trust_close(f->trust);
}
