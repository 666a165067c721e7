/*
 * The first question does not wait, and what it meets is an ordinary answer: 400, 403, 410, 503.
 * Then the head and what was found; then over and over:
 *
 *   ask -> found: written, and the place taken on -> taken by the socket: ask
 *
 * The place a client resumes from is the id of the last event it has; the place asked from may
 * be further on, where the filter let nothing through.  A heartbeat then says an id alone, which a
 * client keeps as that of an event: what it resumes from must not lie behind what is kept only
 * because nothing came that it wanted.
 *
 * Redis away or hanging: heartbeats go on, the question is asked again after a second.
 * What is behind the place was trimmed, or Redis emptied: `event: error`, 410's body, the end.
 * The token deleted or expired: `event: error`, 401's body, the end.
 * The client slow: no more is asked until it has taken what there is; cut off by its session if
 * that takes too long.  The client gone: the question is hurried, and its callback ends the call.
 * The API closing: the end, at once.
 */
#include "api/follow.h"

#include <stdio.h>

#include "api/updates.h"
#include "api/paging.h"
#include "api/shared.h"
#include "hookwheel/alloc.h"

enum {
    PAGE_LIMIT = 100,
    PIECE_BYTES = 64 * 1024,  /* written at a time: more waits only if the socket took that */
    AGAIN_MS = 1000,          /* after a failure of Redis */
    ROUND_MS = 10 * 60 * 1000 /* a question that found nothing is put anew: at each heartbeat
                                * that would cost a read for each stream */
};

/* How long to wait before coming back; and a sign that the stream is open. */
#define OPENING "retry: 3000\n\n: heartbeat\n\n"

struct follower {
    struct hw_call *call;
    struct hw_backend_from from; /* everything up to here is written, or was not wanted */
    struct hw_stream_id told;    /* the id that the client has */
    struct hw_wheel_entry beat;  /* the next heartbeat */
    struct hw_wheel_entry again; /* the question anew, after a failure */
    bool is_asking;              /* the backend has the question */
};

static void ask(struct follower *f);

/* --- the end ---------------------------------------------------------------------------- */

/* With its call. */
static void follower_free(struct hw_call *call)
{
    struct follower *f = call->kept;

    hw_loop_cancel(f->call->api->loop, &f->beat);
    hw_loop_cancel(f->call->api->loop, &f->again);
    hw_free(f);
}

/* Without a session: the call ends now, or when the backend lets go of it. */
static void on_gone(struct hw_call *call)
{
    struct follower *f = call->kept;
    const struct hw_backend *backend = call->api->options.backend;

    if (!f->is_asking) {
        hw_call_drop(call);
        return;
    }
    hw_loop_cancel(call->api->loop, &f->beat);
    backend->hurry(backend->data, &call->ask.updates);
}

static void end(struct hw_call *call)
{
    hw_call_finish(call);
    on_gone(call);
}

/* An event without an id: the client resumes from the one before. */
static void end_with(struct hw_call *call, const struct hw_problem *p)
{
    struct hw_buf text;
    bool is_sent = true;

    hw_buf_init(&text, PIECE_BYTES);
    hw_buf_append_str(&text, "event: error\ndata: ");
    if (hw_problem_write(p, &text) == HW_OK && hw_buf_append_str(&text, "\n\n") == HW_OK)
        is_sent = hw_call_send(call, hw_buf_slice(&text));
    hw_buf_close(&text);
    if (is_sent)
        end(call);
    else
        on_gone(call);
}

/* Is the one who follows still one who may?  false: the end. */
static bool may_go_on(struct hw_call *call)
{
    struct hw_problem p;

    if (hw_call_check_caller(call, &p))
        return true;
    end_with(call, &p);
    return false;
}

/* --- events ----------------------------------------------------------------------------- */

/* Of {"id":"…","type":"…",…: what comes between the seventh quote and the eighth. */
static struct hw_slice type_of(struct hw_slice record)
{
    for (int i = 0; i < 7; i++)
        record = hw_slice_from(record, hw_slice_find(record, '"') + 1);
    return hw_slice(record.data, hw_slice_find(record, '"'));
}

/* A record has no CR and no LF: those between the payload's tokens were made spaces when it was
 * accepted, and inside a string JSON has none.  So its data is one line. */
static void write_event(struct hw_buf *out, uint32_t epoch,
                        const struct hw_backend_update_event *event)
{
    char cursor[HW_CURSOR_MAX];

    hw_feed_cursor_write(epoch, event->id, cursor);
    hw_buf_append_str(out, "id: ");
    hw_buf_append_str(out, cursor);
    hw_buf_append_str(out, "\nevent: ");
    hw_buf_append_slice(out, type_of(event->record));
    hw_buf_append_str(out, "\ndata: ");
    hw_buf_append_slice(out, event->record);
    hw_buf_append_str(out, "\n\n");
}

/* As many of the events as make a piece; returns how many. */
static size_t write_piece(struct hw_buf *out, uint32_t epoch,
                          const struct hw_backend_update_event *events, size_t n_events)
{
    size_t n = 0;

    while (n < n_events && hw_buf_len(out) < PIECE_BYTES)
        write_event(out, epoch, &events[n++]);
    return n;
}

/* What was found, piece by piece, while the client takes it; the rest is found again later.
 * false: no session any more. */
static bool send_found(struct follower *f, struct hw_buf *text)
{
    struct hw_call *call = f->call;
    const struct hw_backend_updates *found = &call->ask.updates;
    size_t i = 0;

    while (i < found->n_found && hw_call_is_clear(call)) {
        hw_buf_reset(text);
        i += write_piece(text, call->filter.epoch, found->found + i, found->n_found - i);
        if (hw_buf_failed(text) != HW_OK)
            return true; /* no memory: from the same place again, in a while */
        if (!hw_call_send(call, hw_buf_slice(text)))
            return false;
        f->told = found->found[i - 1].id;
        f->from = (struct hw_backend_from){ .after = f->told };
    }
    if (i == found->n_found)
        f->from = (struct hw_backend_from){ .after = found->reached };
    return true;
}

static void ask_in_a_while(struct follower *f)
{
    hw_loop_arm(f->call->api->loop, &f->again, AGAIN_MS);
}

static void take_found(struct follower *f)
{
    struct hw_call *call = f->call;
    struct hw_buf text;
    bool has_session, has_failed;

    hw_buf_init(&text, HW_UPDATES_ANSWER_MAX);
    has_session = send_found(f, &text);
    has_failed = hw_buf_failed(&text) != HW_OK;
    hw_buf_close(&text);
    if (!has_session)
        on_gone(call);
    else if (has_failed)
        ask_in_a_while(f);
    else if (hw_call_is_clear(call))
        ask(f);
}

static void on_found(struct hw_backend_req *req)
{
    struct hw_call *call = hw_call_of(req);
    struct follower *f = call->kept;
    struct hw_problem p;

    f->is_asking = false;
    if (call->session == NULL) {
        hw_call_drop(call);
        return;
    }
    switch (hw_updates_result(call)) {
    case HW_BACKEND_OK:
        if (may_go_on(call))
            take_found(f);
        break;
    case HW_BACKEND_EXPIRED:
        hw_call_set_expired(call, call->ask.updates.oldest, &p);
        end_with(call, &p);
        break;
    default: /* Redis away, or no memory */
        ask_in_a_while(f);
        break;
    }
}

/* Of another life of Redis than the place is: it is in no feed then. */
static void look_at_epoch(struct follower *f)
{
    uint32_t epoch = hw_call_epoch(f->call);

    if (f->call->filter.epoch != epoch && !f->from.is_start)
        f->from = (struct hw_backend_from){ .after = HW_FEED_NOWHERE };
    f->call->filter.epoch = epoch;
}

static void ask(struct follower *f)
{
    struct hw_call *call = f->call;
    const struct hw_backend *backend = call->api->options.backend;
    struct hw_backend_updates *updates = &call->ask.updates;

    look_at_epoch(f);
    f->is_asking = true;
    *updates = (struct hw_backend_updates){ .req.cb = on_found,
                                            .account = updates->account,
                                            .from = f->from,
                                            .limit = PAGE_LIMIT,
                                            .wait_ms = ROUND_MS,
                                            .wants = updates->wants };
    backend->updates(backend->data, updates);
}

static void on_again(struct hw_wheel_entry *e)
{
    ask(HW_CONTAINER_OF(e, struct follower, again));
}

static void on_drained(struct hw_call *call)
{
    struct follower *f = call->kept;

    if (!f->is_asking && !hw_wheel_is_armed(&f->again))
        ask(f);
}

/* --- heartbeats --------------------------------------------------------------------------- */

static void arm_beat(struct follower *f)
{
    struct hw_api *api = f->call->api;

    hw_loop_arm(api->loop, &f->beat, api->options.heartbeat_ms);
}

/* Further on than the id that the client has?  What was found on the way is written. */
static bool has_moved(const struct follower *f)
{
    const struct hw_call *call = f->call;

    return f->is_asking && call->filter.epoch == hw_call_epoch(call) &&
           hw_stream_id_cmp(f->told, call->ask.updates.reached) < 0;
}

/* false: no session any more. */
static bool send_beat(struct follower *f)
{
    char text[HW_CURSOR_MAX + 32] = ": heartbeat\n\n", cursor[HW_CURSOR_MAX];

    if (has_moved(f)) {
        f->told = f->call->ask.updates.reached;
        hw_feed_cursor_write(f->call->filter.epoch, f->told, cursor);
        snprintf(text, sizeof text, ": heartbeat\nid: %s\n\n", cursor);
    }
    return hw_call_send(f->call, hw_slice_str(text));
}

/* A client that has not taken all there is gets no more of these either. */
static void on_beat(struct hw_wheel_entry *e)
{
    struct follower *f = HW_CONTAINER_OF(e, struct follower, beat);
    struct hw_call *call = f->call;

    if (!may_go_on(call))
        return;
    arm_beat(f);
    if (hw_call_is_clear(call) && !send_beat(f))
        on_gone(call);
}

/* --- the beginning ------------------------------------------------------------------------ */

static struct follower *follower_new(struct hw_call *call)
{
    struct follower *f = hw_calloc(1, sizeof *f);

    if (f == NULL)
        return NULL;
    f->call = call;
    f->from = call->ask.updates.from;
    if (!f->from.is_start)
        f->told = f->from.after;
    hw_wheel_entry_init(&f->beat, on_beat);
    hw_wheel_entry_init(&f->again, on_again);
    return f;
}

static void begin(struct hw_call *call)
{
    static const struct hw_call_watch watch = { .on_gone = on_gone,
                                                .on_closing = end,
                                                .on_drained = on_drained };
    struct follower *f = follower_new(call);

    if (f == NULL) {
        hw_call_json(call, 200, NULL);
        return;
    }
    call->kept = f;
    call->on_drop = follower_free;
    if (!hw_call_open(call, &watch, "text/event-stream", "x-accel-buffering: no\r\n"))
        return;
    arm_beat(f);
    if (call->api->is_closing)
        end(call);
    else if (!hw_call_send(call, HW_SLICE(OPENING)))
        on_gone(call);
    else
        take_found(f);
}

static void on_first(struct hw_backend_req *req)
{
    struct hw_call *call = hw_call_of(req);
    enum hw_backend_result result = hw_updates_result(call);

    if (call->session == NULL)
        hw_call_drop(call);
    else if (result == HW_BACKEND_OK)
        begin(call);
    else
        hw_updates_refuse(call, result);
}

/* Last-Event-ID is what a client that comes back sends; it is newer than the cursor of its URL. */
static bool read_last_event_id(struct hw_call *call, struct hw_problem *p)
{
    struct hw_backend_from *from = &call->ask.updates.from;

    if (call->n_last_event_ids == 0)
        return true;
    if (call->n_last_event_ids > 1)
        return hw_problem_set(p, HW_PROBLEM_INVALID_REQUEST, "Last-Event-ID",
                              "Last-Event-ID is given twice; send it once.");
    from->is_start = false;
    return hw_updates_read_cursor(call, "Last-Event-ID", call->last_event_id, &from->after, p);
}

void hw_follow_feed(struct hw_call *call)
{
    const struct hw_backend *backend = call->api->options.backend;
    struct hw_problem p;

    if (!hw_updates_read_question(call, on_first, &p) || !read_last_event_id(call, &p)) {
        hw_call_refuse(call, &p);
        return;
    }
    call->ask.updates.limit = PAGE_LIMIT;
    backend->updates(backend->data, &call->ask.updates);
}
