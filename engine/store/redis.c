/*
 * The happy path:
 *
 *   retry due -> dial -> greeting in one write -> its last answer: up -> send: corked ->
 *   end of the turn: one write -> on_data -> the oldest request's callback, reply by reply
 *
 * Failures, and where they end up:
 *   dial, greeting refused     lost: on_down, again after the back-off
 *   PING answers LOADING       PING again on the same connection
 *   end, bad RESP, deadline    lost: every request hears GONE, then on_down
 *   NOSCRIPT                   a load of our own and the request again, at the end
 *   other error replies        told to the request, by kind
 *   READONLY                   told, and lost a second later
 *   silence                    known before the deadline; nothing is lost yet
 *
 * Where messages are waited for (on_message), they are no answers, and come between them.
 */
#include "store/redis.h"

#include <stdio.h>

#include "base/must.h"
#include "hookwheel/alloc.h"
#include "store/dial.h"
#include "store/greeting.h"

enum {
    BACKOFF_FIRST_MS = 50,
    BACKOFF_MAX_MS = 2000,
    GREETING_TIMEOUT_MS = 5000,
    LOADING_AGAIN_MS = 100,
    LATE_GRACE_MS = 100, /* after a stop of our own, answers are read before it is judged */
    SILENT_MS = 1500,
    RENEW_MS = 1000,
    WHERE_MAX = 128
};

enum redis_state {
    REDIS_WAITING, /* for the back-off */
    REDIS_DIALING,
    REDIS_GREETING, /* answers to the greeting are due */
    REDIS_LOADING,  /* between two PINGs */
    REDIS_UP,
    REDIS_CLOSED
};

struct hw_redis {
    struct hw_loop *loop; /* borrowed */
    struct hw_redis_options options;
    char where[WHERE_MAX]; /* the target, for messages */
    enum redis_state state;
    struct hw_dial dial;
    struct hw_greeting greeting;
    struct hw_reply_reader *reader; /* owned */
    struct hw_list requests;        /* sent, unanswered, oldest first */
    struct hw_turn_hook turn;
    struct hw_wheel_entry retry; /* back-off; the next PING */
    struct hw_wheel_entry deadline;
    struct hw_wheel_entry renew;
    struct hw_wheel_entry silence; /* the next look for it */
    uint64_t backoff_ms;
    bool is_late;   /* the deadline has passed once */
    bool is_hushed; /* silence was met once */
    bool is_silent;
    hw_mono_ms heard_at; /* last bytes from the server */
    hw_mono_ms replied_at;
    hw_mono_us turn_us; /* when the bytes being read arrived */
    bool has_told_loading;
    bool was_up;
    char load_error[160]; /* why the last SCRIPT LOAD was refused */
    void (*closed_cb)(void *data);
    void *closed_data;
};

/* A script's text on its way; ours. */
struct load {
    struct hw_redis_req req;
    struct hw_command command;
    struct hw_redis *redis;
};

static void redis_lost(struct hw_redis *r, const struct hw_cause *cause);

/* --- deadlines --- */

/* Silence counts from the request, or from the last bytes if those came later. */
static uint64_t silent_ms(const struct hw_redis *r, const struct hw_redis_req *oldest)
{
    hw_mono_ms since = oldest->sent_us / 1000;
    hw_mono_ms now = hw_loop_now(r->loop);

    if (since < r->heard_at)
        since = r->heard_at;
    return now > since ? now - since : 0;
}

/* How long the oldest request may still wait; UINT64_MAX: nothing is waited for. */
static uint64_t patience_ms(const struct hw_redis *r)
{
    const struct hw_list *first = hw_list_first(&r->requests);
    const struct hw_redis_req *oldest;
    uint64_t silent;

    if (first == NULL)
        return UINT64_MAX;
    oldest = HW_CONTAINER_OF(first, struct hw_redis_req, link);
    if (oldest->wants_no_timeout)
        return r->options.reply_timeout_ms;
    silent = silent_ms(r, oldest);
    return silent < r->options.reply_timeout_ms ? r->options.reply_timeout_ms - silent : 0;
}

/* libuv runs timers before it polls: if we were stopped ourselves, the answer may be there
 * unread.  So the first time only asks for one more look. */
static void on_reply_deadline(struct hw_redis *r)
{
    uint64_t left = patience_ms(r);
    struct hw_cause cause;

    if (left == UINT64_MAX)
        return;
    if (left > 0 || !r->is_late) {
        r->is_late = left == 0;
        hw_loop_arm(r->loop, &r->deadline, left > 0 ? left : LATE_GRACE_MS);
        return;
    }
    hw_cause_set(&cause, HW_ETIMEDOUT, HW_ORIGIN_US, 0,
                 "Redis at %s has not answered for %llu ms", r->where,
                 (unsigned long long)r->options.reply_timeout_ms);
    redis_lost(r, &cause);
}

static void on_deadline(struct hw_wheel_entry *e)
{
    struct hw_redis *r = HW_CONTAINER_OF(e, struct hw_redis, deadline);
    struct hw_cause cause;

    if (r->state == REDIS_UP) {
        on_reply_deadline(r);
        return;
    }
    hw_cause_set(&cause, HW_ETIMEDOUT, HW_ORIGIN_US, 0,
                 "Redis at %s has not answered the greeting within %d s", r->where,
                 GREETING_TIMEOUT_MS / 1000);
    redis_lost(r, &cause);
}

/* One that hangs is known long before it is given up.  The first look only asks for one more,
 * as above. */
static void on_silence(struct hw_wheel_entry *e)
{
    struct hw_redis *r = HW_CONTAINER_OF(e, struct hw_redis, silence);
    const struct hw_list *first = hw_list_first(&r->requests);
    uint64_t silent =
        first != NULL ? silent_ms(r, HW_CONTAINER_OF(first, struct hw_redis_req, link)) : 0;

    r->is_silent = silent >= SILENT_MS && r->is_hushed;
    r->is_hushed = silent >= SILENT_MS;
    if (first != NULL && !r->is_silent)
        hw_loop_arm(r->loop, &r->silence, r->is_hushed ? LATE_GRACE_MS : SILENT_MS - silent);
}

/* Bytes have come, or none are waited for any more. */
static void break_silence(struct hw_redis *r)
{
    r->is_hushed = r->is_silent = false;
}

/* --- the end of a connection --- */

static void quiet_down(struct hw_redis *r)
{
    hw_loop_cancel(r->loop, &r->retry);
    hw_loop_cancel(r->loop, &r->deadline);
    hw_loop_cancel(r->loop, &r->renew);
    hw_loop_cancel(r->loop, &r->silence);
    break_silence(r);
}

/* A callback may do anything, close us too. */
static void tell_all(struct hw_redis *r, const struct hw_cause *cause)
{
    struct hw_list *node;

    while ((node = hw_list_pop(&r->requests)) != NULL) {
        struct hw_redis_req *req = HW_CONTAINER_OF(node, struct hw_redis_req, link);
        req->cb(req, HW_REDIS_GONE, NULL, cause);
    }
}

static void tell_down(struct hw_redis *r, const struct hw_cause *cause)
{
    if (r->state != REDIS_CLOSED && r->options.events->on_down != NULL)
        r->options.events->on_down(r->options.data, cause);
}

static void redis_lost(struct hw_redis *r, const struct hw_cause *lent)
{
    struct hw_cause cause = *lent; /* may live in what is about to go */

    HW_MUST(r->state != REDIS_CLOSED && r->state != REDIS_WAITING);
    r->state = REDIS_WAITING;
    quiet_down(r);
    hw_dial_stop(&r->dial);
    hw_loop_arm(r->loop, &r->retry, r->backoff_ms);
    r->backoff_ms = r->backoff_ms < BACKOFF_MAX_MS / 2 ? r->backoff_ms * 2 : BACKOFF_MAX_MS;
    tell_all(r, &cause);
    tell_down(r, &cause);
}

/* After a failover the name leads to another server. */
static void on_renew(struct hw_wheel_entry *e)
{
    struct hw_redis *r = HW_CONTAINER_OF(e, struct hw_redis, renew);
    struct hw_cause cause;

    hw_cause_set(&cause, HW_ECONN, HW_ORIGIN_US, 0,
                 "Redis at %s is a read-only replica: connecting anew", r->where);
    redis_lost(r, &cause);
}

/* --- greeting --- */

static void send_greeting(struct hw_redis *r, bool is_first)
{
    struct hw_slice piece;
    enum hw_status status;
    struct hw_cause cause;
    struct hw_buf out;

    r->state = REDIS_GREETING;
    hw_loop_arm(r->loop, &r->deadline, GREETING_TIMEOUT_MS);
    hw_buf_init(&out, HW_COMMAND_MAX);
    if (is_first)
        hw_greeting_begin(&r->greeting, r->options.target, r->options.name, &out);
    else
        hw_greeting_again(&r->greeting, &out);
    piece = hw_buf_slice(&out);
    status = hw_buf_failed(&out);
    if (status == HW_OK)
        status = hw_stream_write(hw_dial_stream(&r->dial), &piece, 1);
    hw_buf_close(&out);
    if (status == HW_OK)
        return;
    hw_cause_set(&cause, status, HW_ORIGIN_US, 0, "greeting Redis at %s: %s", r->where,
                 hw_status_text(status));
    redis_lost(r, &cause);
}

static void redis_up(struct hw_redis *r)
{
    r->state = REDIS_UP;
    r->backoff_ms = BACKOFF_FIRST_MS;
    r->load_error[0] = '\0';
    hw_loop_cancel(r->loop, &r->deadline);
    hw_stream_cork(hw_dial_stream(&r->dial)); /* from here on the turn hook writes */
    if (r->was_up)
        r->options.metrics->redis_reconnects++;
    r->was_up = true;
    if (r->options.events->on_up != NULL)
        r->options.events->on_up(r->options.data);
}

static void redis_loading(struct hw_redis *r, const struct hw_cause *cause)
{
    bool is_news = !r->has_told_loading;

    r->state = REDIS_LOADING;
    r->has_told_loading = true;
    hw_loop_cancel(r->loop, &r->deadline);
    hw_loop_arm(r->loop, &r->retry, LOADING_AGAIN_MS);
    if (is_news)
        tell_down(r, cause);
}

static void on_greeting_reply(struct hw_redis *r, const struct hw_reply *reply)
{
    struct hw_cause cause;

    switch (hw_greeting_answer(&r->greeting, reply, r->where, &cause)) {
    case HW_GREETING_MORE:
        break;
    case HW_GREETING_DONE:
        redis_up(r);
        break;
    case HW_GREETING_LATER:
        redis_loading(r, &cause);
        break;
    case HW_GREETING_REFUSED:
        redis_lost(r, &cause);
        break;
    }
}

/* --- requests --- */

static enum hw_status write_command(struct hw_redis *r, const struct hw_command *c)
{
    char head[16];
    int n = snprintf(head, sizeof head, "*%u\r\n", c->n_args);
    struct hw_slice pieces[2] = { hw_slice(head, (size_t)n), hw_buf_slice(&c->args) };

    if (hw_buf_failed(&c->args) != HW_OK)
        return hw_buf_failed(&c->args);
    return hw_stream_write(hw_dial_stream(&r->dial), pieces, 2);
}

static enum hw_status put(struct hw_redis *r, struct hw_redis_req *req)
{
    enum hw_status status = write_command(r, req->command);

    if (status != HW_OK)
        return status;
    req->sent_us = hw_loop_us();
    hw_list_push_back(&r->requests, &req->link);
    hw_turn_hook_ask(r->loop, &r->turn);
    if (r->options.reply_timeout_ms > 0 && !hw_wheel_is_armed(&r->deadline))
        hw_loop_arm(r->loop, &r->deadline, r->options.reply_timeout_ms);
    if (!req->wants_no_timeout && !req->may_block && !hw_wheel_is_armed(&r->silence))
        hw_loop_arm(r->loop, &r->silence, SILENT_MS);
    return HW_OK;
}

static void on_turn(struct hw_turn_hook *hook)
{
    struct hw_redis *r = HW_CONTAINER_OF(hook, struct hw_redis, turn);

    if (r->state != REDIS_UP)
        return;
    hw_stream_uncork(hw_dial_stream(&r->dial));
    hw_stream_cork(hw_dial_stream(&r->dial));
}

static void on_script_loaded(struct hw_redis_req *req, enum hw_redis_trouble trouble,
                             const struct hw_reply *reply, const struct hw_cause *cause)
{
    struct load *load = HW_CONTAINER_OF(req, struct load, req);

    (void)reply;
    if (trouble != HW_REDIS_FINE)
        snprintf(load->redis->load_error, sizeof load->redis->load_error, "%s", cause->note);
    hw_command_close(&load->command);
    hw_free(load);
}

/* Of several requests that meet NOSCRIPT in one pipeline only the first needs the text. */
static bool is_loading(const struct hw_redis *r, const struct hw_script *script)
{
    HW_LIST_EACH(node, &r->requests)
    {
        const struct hw_redis_req *req = HW_CONTAINER_OF(node, struct hw_redis_req, link);
        if (req->cb == on_script_loaded && req->command->script == script)
            return true;
    }
    return false;
}

static enum hw_status load_script(struct hw_redis *r, const struct hw_script *script)
{
    struct load *load = hw_calloc(1, sizeof *load);
    enum hw_status status;

    if (load == NULL)
        return HW_ENOMEM;
    load->redis = r;
    hw_command_init(&load->command);
    hw_command_str(&load->command, "SCRIPT");
    hw_command_str(&load->command, "LOAD");
    hw_command_str(&load->command, script->text);
    load->command.script = script;
    load->req.cb = on_script_loaded;
    load->req.command = &load->command;
    status = put(r, &load->req);
    if (status != HW_OK) {
        hw_command_close(&load->command);
        hw_free(load);
    }
    return status;
}

/* true: it is on its way once more. */
static bool send_again(struct hw_redis *r, struct hw_redis_req *req, struct hw_slice error)
{
    const struct hw_script *script = req->command->script;

    if (script == NULL || req->script_sent || !hw_slice_starts(error, HW_SLICE("NOSCRIPT")))
        return false;
    if (!is_loading(r, script) && load_script(r, script) != HW_OK)
        return false;
    req->script_sent = true;
    return put(r, req) == HW_OK;
}

static void tell_error(struct hw_redis *r, struct hw_redis_req *req, struct hw_slice text)
{
    enum hw_redis_trouble trouble = hw_redis_trouble_of(text);
    bool is_unloaded = req->script_sent && hw_slice_starts(text, HW_SLICE("NOSCRIPT"));
    struct hw_cause cause;

    if (is_unloaded && r->load_error[0] != '\0')
        text = hw_slice_str(r->load_error);
    if (hw_slice_starts(text, HW_SLICE("READONLY")) && !hw_wheel_is_armed(&r->renew))
        hw_loop_arm(r->loop, &r->renew, RENEW_MS);
    hw_cause_set(&cause, trouble == HW_REDIS_REFUSED ? HW_EINVAL : HW_EBUSY, HW_ORIGIN_US, 0,
                 "Redis: %.*s", HW_SLICE_FMT(text));
    req->cb(req, trouble, NULL, &cause);
}

static void observe(struct hw_redis *r, const struct hw_redis_req *req)
{
    if (req->wants_no_timeout || req->may_block)
        return; /* how long it blocked says nothing about Redis */
    hw_hist_observe(&r->options.metrics->redis_command,
                    r->turn_us > req->sent_us ? (double)(r->turn_us - req->sent_us) / 1e6 : 0);
}

static void on_request_reply(struct hw_redis *r, const struct hw_reply *reply)
{
    static const struct hw_cause fine = { .status = HW_OK };
    struct hw_list *node = hw_list_pop(&r->requests);
    struct hw_redis_req *req;
    struct hw_cause cause;

    if (node == NULL) {
        hw_cause_set(&cause, HW_EPROTO, HW_ORIGIN_US, 0,
                     "Redis at %s answered what was not asked", r->where);
        redis_lost(r, &cause);
        return;
    }
    req = HW_CONTAINER_OF(node, struct hw_redis_req, link);
    observe(r, req);
    if (reply->kind != HW_REPLY_ERROR)
        req->cb(req, HW_REDIS_FINE, reply, &fine);
    else if (!send_again(r, req, reply->text))
        tell_error(r, req, reply->text);
}

/* --- the connection --- */

static void on_open(struct hw_dial *d)
{
    struct hw_redis *r = HW_CONTAINER_OF(d, struct hw_redis, dial);

    r->has_told_loading = false;
    r->is_late = false;
    send_greeting(r, true);
}

static bool expects_reply(const struct hw_redis *r)
{
    return r->state == REDIS_UP ||
           (r->state == REDIS_GREETING && hw_greeting_expects(&r->greeting));
}

static bool is_message(const struct hw_redis *r, const struct hw_reply *reply)
{
    return r->options.events->on_message != NULL && reply->kind == HW_REPLY_ARRAY &&
           reply->n_items == 3 && hw_slice_is(reply->items[0].text, "message");
}

static void on_reply(struct hw_redis *r, const struct hw_reply *reply)
{
    if (r->state != REDIS_UP)
        on_greeting_reply(r, reply);
    else if (is_message(r, reply))
        r->options.events->on_message(r->options.data, reply->items[1].text,
                                      reply->items[2].text);
    else
        on_request_reply(r, reply);
}

/* A callback may close us, a greeting may be refused: then the rest is not read. */
static enum hw_status read_replies(struct hw_redis *r, struct hw_cause *cause)
{
    while (expects_reply(r)) {
        const struct hw_reply *reply;
        enum hw_status status = hw_reply_reader_next(r->reader, &reply, cause);

        if (status != HW_OK || reply == NULL)
            return status;
        r->replied_at = r->heard_at;
        on_reply(r, reply);
    }
    return HW_OK;
}

static void on_data(struct hw_dial *d, struct hw_slice data)
{
    struct hw_redis *r = HW_CONTAINER_OF(d, struct hw_redis, dial);
    enum hw_status status = hw_reply_reader_feed(r->reader, data);
    struct hw_cause cause;

    r->turn_us = hw_loop_us();
    r->heard_at = hw_loop_now(r->loop);
    r->is_late = false;
    break_silence(r);
    if (status != HW_OK)
        hw_cause_set(&cause, status, HW_ORIGIN_HIREDIS, 0, "reading from Redis at %s: %s",
                     r->where, hw_status_text(status));
    else
        status = read_replies(r, &cause);
    if (status != HW_OK)
        redis_lost(r, &cause);
}

static void on_end(struct hw_dial *d, const struct hw_cause *found)
{
    struct hw_redis *r = HW_CONTAINER_OF(d, struct hw_redis, dial);
    struct hw_cause cause;

    hw_cause_set(&cause, found->status, found->origin, found->code, "Redis at %s: %s",
                 r->where, found->note);
    redis_lost(r, &cause);
}

static void redis_connect(struct hw_redis *r)
{
    struct hw_cause cause;

    r->state = REDIS_DIALING;
    hw_reply_reader_close(r->reader);
    r->reader = NULL;
    if (hw_reply_reader_open(&r->reader) == HW_OK) {
        hw_dial_start(&r->dial);
        return;
    }
    hw_cause_set(&cause, HW_ENOMEM, HW_ORIGIN_US, 0, "connect to Redis: no memory");
    redis_lost(r, &cause);
}

static void on_retry(struct hw_wheel_entry *e)
{
    struct hw_redis *r = HW_CONTAINER_OF(e, struct hw_redis, retry);

    if (r->state == REDIS_LOADING)
        send_greeting(r, false);
    else
        redis_connect(r);
}

/* --- life --- */

enum hw_status hw_redis_open(struct hw_redis **out, struct hw_loop *loop,
                             const struct hw_redis_options *options, struct hw_cause *cause)
{
    static const struct hw_dial_events events = { .on_open = on_open,
                                                  .on_data = on_data,
                                                  .on_end = on_end };
    struct hw_redis *r;

    if (options->target->is_tls && options->trust == NULL)
        return hw_cause_set(cause, HW_EINVAL, HW_ORIGIN_US, 0,
                            "rediss:// is not supported here");
    r = hw_calloc(1, sizeof *r);
    if (r == NULL)
        return hw_cause_set(cause, HW_ENOMEM, HW_ORIGIN_US, 0, "connect to Redis: no memory");
    r->loop = loop;
    r->options = *options;
    hw_redis_target_text(options->target, r->where, sizeof r->where);
    r->backoff_ms = BACKOFF_FIRST_MS;
    hw_list_init(&r->requests);
    hw_dial_init(&r->dial, loop, options->target, options->trust, &events);
    hw_wheel_entry_init(&r->retry, on_retry);
    hw_wheel_entry_init(&r->deadline, on_deadline);
    hw_wheel_entry_init(&r->renew, on_renew);
    hw_wheel_entry_init(&r->silence, on_silence);
    hw_turn_hook_add(loop, &r->turn, on_turn);
    r->state = REDIS_WAITING;
    hw_loop_arm(loop, &r->retry, 0);
    *out = r;
    return HW_OK;
}

static void on_dial_closed(struct hw_dial *d)
{
    struct hw_redis *r = HW_CONTAINER_OF(d, struct hw_redis, dial);
    void (*cb)(void *) = r->closed_cb;
    void *data = r->closed_data;
    struct hw_cause cause;

    hw_cause_set(&cause, HW_ECANCELED, HW_ORIGIN_US, 0, "the connection to Redis is closed");
    tell_all(r, &cause);
    hw_reply_reader_close(r->reader);
    hw_free(r);
    cb(data);
}

void hw_redis_close(struct hw_redis *r, void (*cb)(void *data), void *data)
{
    HW_MUST(r->state != REDIS_CLOSED);
    r->state = REDIS_CLOSED;
    r->closed_cb = cb;
    r->closed_data = data;
    quiet_down(r);
    hw_turn_hook_remove(&r->turn);
    hw_dial_close(&r->dial, on_dial_closed);
}

bool hw_redis_is_up(const struct hw_redis *r)
{
    return r->state == REDIS_UP;
}

bool hw_redis_is_silent(const struct hw_redis *r)
{
    return r->is_silent;
}

hw_mono_ms hw_redis_last_reply(const struct hw_redis *r)
{
    return r->replied_at;
}

enum hw_status hw_redis_send(struct hw_redis *r, struct hw_redis_req *req,
                             struct hw_command *command, hw_redis_cb cb)
{
    if (r->state != REDIS_UP)
        return HW_ECONN;
    req->command = command;
    req->cb = cb;
    req->script_sent = false;
    return put(r, req);
}
