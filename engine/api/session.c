/*
 * resting -> reading -> running -> sending -> resting -> ...
 *                               -> waiting -> sending
 *                               -> streaming -> sending -> closed
 *
 * The head is there: the call is made, and with it everything known that can refuse it.  A
 * token that is not known here is asked about first (asking, then reading again): nothing
 * more is read meanwhile, so that a stranger's body is held no longer than a refused one's.
 * The whole request is there: reading stops, the call runs; the call answers: the answer
 * is written; it has left: on with what came ahead, or back to rest.
 *
 * What cannot be read (400, 413, 431), and a refusal that does not wait for the body:
 * answered with connection: close, then what still comes is thrown away for a while, because
 * closing on unread bytes would reset the connection and take the answer with it.
 * A client that is slow to send, slow to take its answer or silent too long: cut off.
 * A client that goes while its call runs or asks: the call is told to forget it.  A Redis that
 * hangs meanwhile: the client is told so, and the call is left to itself.
 *
 * A call that waits for events, or answers in pieces as they come, may take long, and there may
 * be thousands: what it does not need is given back, its timer ends twice at most, and reading
 * goes on, so that a client that hangs up is noticed at once (and what it sends ahead is kept, or
 * after the head of a last answer thrown away).  A stream whose client takes nothing for as long
 * as a request may last is cut off.
 */
#include "api/session.h"

#include <stdlib.h>

#include "api/shared.h"
#include "base/must.h"
#include "hookwheel/alloc.h"
#include "http/answer.h"
#include "http/inbound.h"
#include "loop/stream.h"

enum {
    AHEAD_MAX = 128 * 1024,        /* twice what a stream reads at once */
    UNWANTED_BODY_MAX = 64 * 1024, /* of a request that is refused or has no use for one */
    KEEP_MAX = 16 * 1024,          /* of `ahead`, between requests */
    BODIES_MAX = 64 * 1024 * 1024, /* of all sessions together */
    LINGER_MS = 2000,
    LOOK_MS = 250, /* while it waits for the backend: how often it looks whether it may hope */
    LONG_LOOK_MS = 2000 /* where it waits for events: one look, by when a Redis that hung already
                         * as it was asked is known to, and another at the end of its time */
};

enum hw_session_state {
    HW_SESSION_RESTING,   /* between requests               list: api.resting */
    HW_SESSION_READING,   /* a request has begun to arrive  list: api.busy */
    HW_SESSION_ASKING,    /* its call finds out whose it is list: api.busy */
    HW_SESSION_RUNNING,   /* its call has the word          list: api.busy */
    HW_SESSION_WAITING,   /* its call waits for events      list: api.waiting */
    HW_SESSION_STREAMING, /* its call answers in pieces     list: api.waiting */
    HW_SESSION_SENDING,   /* its answer has not left yet    list: api.busy */
    HW_SESSION_LINGERING, /* answered for good; what comes is thrown away  list: api.busy */
    HW_SESSION_CLOSED     /* waits for its stream           list: none */
};

struct hw_session {
    struct hw_api *api; /* borrowed */
    enum hw_door door;
    enum hw_session_state state;
    struct hw_list link;
    struct hw_stream stream;
    struct hw_inbound inbound;
    struct hw_buf ahead;  /* received, not parsed */
    size_t body_bytes;    /* what its body takes, as counted in api->body_bytes */
    struct hw_call *call; /* from a request's head to its answer; owned until it runs */
    bool is_last;         /* close after this answer */
    bool is_unclear;      /* ... and there may be bytes of it that were not read */
    bool is_stepping;     /* the loop in session_go_on is on the stack */
    struct hw_wheel_entry deadline;
    hw_mono_ms waits_until; /* WAITING: the end of its time */
};

static void session_close(struct hw_session *s);

/* --- state ------------------------------------------------------------------- */

static void session_move(struct hw_session *s, enum hw_session_state next)
{
    struct hw_api *api = s->api;
    unsigned limit_ms = 0;

    hw_list_unlink(&s->link);
    s->state = next;
    switch (next) {
    case HW_SESSION_RESTING:
        hw_list_push_back(&api->resting, &s->link);
        limit_ms = api->options.idle_timeout_ms;
        break;
    case HW_SESSION_READING:
    case HW_SESSION_SENDING:
        hw_list_push_back(&api->busy, &s->link);
        limit_ms = api->options.request_timeout_ms;
        break;
    case HW_SESSION_LINGERING:
        hw_list_push_back(&api->busy, &s->link);
        limit_ms = LINGER_MS;
        break;
    case HW_SESSION_ASKING:
    case HW_SESSION_RUNNING:
        hw_list_push_back(&api->busy, &s->link);
        limit_ms = LOOK_MS;
        break;
    case HW_SESSION_WAITING: /* hw_session_wait knows how long */
    case HW_SESSION_STREAMING:
        hw_list_push_back(&api->waiting, &s->link);
        break;
    case HW_SESSION_CLOSED:
        break;
    }
    if (limit_ms != 0)
        hw_loop_arm(api->loop, &s->deadline, limit_ms);
    else
        hw_loop_cancel(api->loop, &s->deadline);
}

/* Its body has grown, or is gone. */
static void session_count_body(struct hw_session *s)
{
    s->api->body_bytes += s->inbound.body.cap - s->body_bytes;
    s->body_bytes = s->inbound.body.cap;
}

static void on_stream_closed(struct hw_stream *stream)
{
    struct hw_session *s = HW_CONTAINER_OF(stream, struct hw_session, stream);
    struct hw_api *api = s->api;

    hw_inbound_close(&s->inbound);
    session_count_body(s);
    hw_buf_close(&s->ahead);
    hw_free(s);
    hw_closing_release(&api->closing);
}

/* The backend has its call, and will answer. */
static bool waits_for_backend(const struct hw_session *s)
{
    return s->state == HW_SESSION_ASKING || s->state == HW_SESSION_RUNNING ||
           s->state == HW_SESSION_WAITING;
}

static void session_close(struct hw_session *s)
{
    struct hw_call *call = s->call;
    bool is_under_way = waits_for_backend(s) || s->state == HW_SESSION_STREAMING;

    if (s->state == HW_SESSION_CLOSED)
        return;
    s->call = NULL;
    session_move(s, HW_SESSION_CLOSED);
    s->api->n_sessions--;
    hw_stream_close(&s->stream, on_stream_closed);
    if (call != NULL && is_under_way)
        hw_call_abandon(call);
    else if (call != NULL)
        hw_call_drop(call);
}

/* --- a request ----------------------------------------------------------------- */

/* The call gets the word; it may answer before this returns. */
static void session_run(struct hw_session *s)
{
    struct hw_call *call = s->call;

    hw_stream_read_stop(&s->stream);
    session_move(s, HW_SESSION_RUNNING);
    call->body = hw_buf_slice(&s->inbound.body);
    if (!hw_inbound_field(&s->inbound, "content-type", &call->content_type))
        call->content_type = hw_slice(NULL, 0);
    call->n_once_headers =
        hw_head_find(hw_buf_slice(&s->inbound.head), "idempotency-key", &call->once_header);
    call->n_last_event_ids =
        hw_head_find(hw_buf_slice(&s->inbound.head), "last-event-id", &call->last_event_id);
    hw_call_run(call);
}

/* Answer without waiting for the rest of the request. */
static void session_run_at_once(struct hw_session *s)
{
    s->is_last = s->is_unclear = true;
    session_run(s);
}

/* Redis hangs: no more waiting.  Behind the head there may be a body that was not read. */
static void session_wait_no_longer(struct hw_session *s)
{
    s->call = hw_call_let_go(s->call);
    if (s->call == NULL)
        session_close(s);
    else if (s->state == HW_SESSION_ASKING)
        session_run_at_once(s);
    else
        session_run(s);
}

static unsigned next_look_ms(const struct hw_session *s)
{
    hw_mono_ms now = hw_loop_now(s->api->loop);

    if (s->state == HW_SESSION_WAITING && now < s->waits_until)
        return (unsigned)(s->waits_until - now) + LOOK_MS;
    return LOOK_MS;
}

static void on_deadline(struct hw_wheel_entry *e)
{
    struct hw_session *s = HW_CONTAINER_OF(e, struct hw_session, deadline);
    const struct hw_backend *backend = s->api->options.backend;

    if (!waits_for_backend(s))
        session_close(s);
    else if (backend->is_out_of_reach(backend->data))
        session_wait_no_longer(s);
    else
        hw_loop_arm(s->api->loop, &s->deadline, next_look_ms(s));
}

static size_t body_limit(const struct hw_call *call)
{
    if (call->problem.code != HW_PROBLEM_NONE || call->match.route == NULL ||
        call->match.route->body_max == 0)
        return UNWANTED_BODY_MAX;
    return call->match.route->body_max;
}

static void write_continue(struct hw_session *s)
{
    struct hw_slice line = HW_SLICE("HTTP/1.1 100 Continue\r\n\r\n");

    if (hw_stream_write(&s->stream, &line, 1) != HW_OK)
        session_close(s);
}

static void session_give_up(struct hw_session *s, const struct hw_problem *p);

static void set_too_large(struct hw_problem *p, size_t limit)
{
    hw_problem_set(p, HW_PROBLEM_PAYLOAD_TOO_LARGE, NULL,
                   "The body is over %zu KiB, the most that this takes; send less at a time.",
                   limit / 1024);
}

/* The head is known, and who is asking: what the two alone can tell. */
static void session_judge_head(struct hw_session *s)
{
    struct hw_inbound *in = &s->inbound;

    in->body_max = body_limit(s->call);
    if (in->content_length > in->body_max) {
        struct hw_problem p;
        set_too_large(&p, in->body_max);
        session_give_up(s, &p);
    } else if (in->expects_continue && s->call->problem.code != HW_PROBLEM_NONE) {
        session_run_at_once(s);
    } else if (in->expects_continue) {
        write_continue(s);
    }
}

static void session_look_at_head(struct hw_session *s)
{
    struct hw_inbound *in = &s->inbound;
    struct hw_slice authorization;

    if (!hw_inbound_field(in, "authorization", &authorization))
        authorization = hw_slice(NULL, 0);
    s->call =
        hw_call_new(s, s->api, s->door, in->method, hw_buf_slice(&in->target), authorization);
    if (s->call == NULL) {
        session_close(s);
    } else if (s->call->is_stranger) {
        hw_stream_read_stop(&s->stream);
        session_move(s, HW_SESSION_ASKING);
        hw_call_ask_who(s->call);
    } else {
        session_judge_head(s);
    }
}

/* Answer without reading on: the request's own refusal if there is one, else this. */
static void session_give_up(struct hw_session *s, const struct hw_problem *p)
{
    if (s->call == NULL)
        s->call = hw_call_refused(s, s->api, p);
    else if (s->call->problem.code == HW_PROBLEM_NONE)
        s->call->problem = *p;
    if (s->call == NULL)
        session_close(s);
    else
        session_run_at_once(s);
}

/* What came cannot be read. */
static void session_refuse(struct hw_session *s, const struct hw_cause *cause)
{
    struct hw_problem p;

    if (cause->status == HW_ETOOBIG && s->inbound.has_head)
        set_too_large(&p, s->inbound.body_max);
    else if (cause->status == HW_ETOOBIG)
        hw_problem_set(&p, HW_PROBLEM_HEADER_TOO_LARGE, NULL,
                       "The head is over 16 KiB or 100 fields; send less of it.");
    else if (cause->status == HW_ENOMEM)
        hw_problem_set(&p, HW_PROBLEM_INTERNAL, NULL, "Out of memory; try again.");
    else
        hw_problem_set(&p, HW_PROBLEM_INVALID_REQUEST, NULL, "%s.", cause->note);
    session_give_up(s, &p);
}

/* Bodies of many clients at once are bounded together; a small one always fits. */
static bool is_one_body_too_many(const struct hw_session *s)
{
    return s->api->body_bytes > BODIES_MAX && s->body_bytes > UNWANTED_BODY_MAX;
}

static void session_refuse_crowd(struct hw_session *s)
{
    struct hw_problem p;

    hw_problem_set(&p, HW_PROBLEM_UNAVAILABLE, NULL,
                   "Too many large requests are under way at once; try again.");
    session_give_up(s, &p);
}

static bool session_feed(struct hw_session *s)
{
    struct hw_cause cause = { 0 };
    size_t n_used = 0;
    enum hw_status status =
        hw_inbound_feed(&s->inbound, hw_buf_slice(&s->ahead), &n_used, &cause);

    hw_buf_consume(&s->ahead, n_used);
    session_count_body(s);
    if (status != HW_OK)
        session_refuse(s, &cause);
    else if (is_one_body_too_many(s))
        session_refuse_crowd(s);
    else
        return true;
    return false;
}

/* Behind the head: what of the body is there, and run it where that is all. */
static void session_read_on(struct hw_session *s)
{
    if (s->state == HW_SESSION_READING && !s->inbound.is_complete && !session_feed(s))
        return;
    if (s->state == HW_SESSION_READING && s->inbound.is_complete)
        session_run(s);
}

/* Parse up to the end of one request and run it.  false: nothing more to do now. */
static bool session_step(struct hw_session *s)
{
    if (s->state == HW_SESSION_RESTING && hw_buf_len(&s->ahead) > 0)
        session_move(s, HW_SESSION_READING);
    if (s->state != HW_SESSION_READING || hw_buf_len(&s->ahead) == 0 || !session_feed(s))
        return false;
    if (!s->inbound.has_head)
        return true;
    if (s->call == NULL)
        session_look_at_head(s);
    session_read_on(s);
    return s->state == HW_SESSION_RESTING || s->state == HW_SESSION_READING;
}

/* An answer given at once comes back to here; the loop is what keeps a thousand pipelined
 * requests from nesting a thousand deep. */
static void session_go_on(struct hw_session *s)
{
    if (s->is_stepping)
        return;
    s->is_stepping = true;
    while (session_step(s))
        ;
    s->is_stepping = false;
}

void hw_session_go_ahead(struct hw_session *s)
{
    HW_MUST(s->state == HW_SESSION_ASKING);
    session_move(s, HW_SESSION_READING);
    hw_stream_read_start(&s->stream);
    session_judge_head(s);
    session_read_on(s);
    session_go_on(s);
}

static void on_data(struct hw_stream *stream, struct hw_slice data)
{
    struct hw_session *s = HW_CONTAINER_OF(stream, struct hw_session, stream);

    if (s->state == HW_SESSION_LINGERING || s->state == HW_SESSION_STREAMING)
        return;
    if (hw_buf_append_slice(&s->ahead, data) != HW_OK)
        session_close(s);
    else if (s->state == HW_SESSION_WAITING && hw_buf_len(&s->ahead) > AHEAD_MAX / 2)
        hw_stream_read_stop(&s->stream); /* another read might not fit: its going is missed */
    else
        session_go_on(s);
}

/* --- an answer ------------------------------------------------------------------- */

static void session_forget_request(struct hw_session *s)
{
    hw_inbound_next(&s->inbound);
    session_count_body(s);
    if (hw_buf_len(&s->ahead) == 0 && s->ahead.cap > KEEP_MAX)
        hw_buf_close(&s->ahead);
}

static void session_sent(struct hw_session *s)
{
    if (s->is_unclear) {
        session_move(s, HW_SESSION_LINGERING);
        hw_buf_close(&s->ahead);
        hw_buf_close(&s->inbound.body);
        session_count_body(s);
        hw_stream_read_start(&s->stream);
    } else if (s->is_last) {
        session_close(s);
    } else {
        session_forget_request(s);
        session_move(s, HW_SESSION_RESTING);
        hw_stream_read_start(&s->stream);
        session_go_on(s);
    }
}

static void on_drain(struct hw_stream *stream)
{
    struct hw_session *s = HW_CONTAINER_OF(stream, struct hw_session, stream);

    if (s->state == HW_SESSION_SENDING) {
        session_sent(s);
    } else if (s->state == HW_SESSION_STREAMING) {
        hw_loop_cancel(s->api->loop, &s->deadline);
        s->call->watch->on_drained(s->call);
    }
}

/* Head and body as two pieces, so that a large body is not copied before the socket had
 * its chance. */
static enum hw_status session_write(struct hw_session *s, const struct hw_reply *reply,
                                    bool is_head)
{
    struct hw_buf head, fields;
    struct hw_answer answer = { .status = reply->status,
                                .content_type = hw_slice_str(reply->content_type),
                                .body = reply->body,
                                .close = s->is_last,
                                .is_open = reply->is_open,
                                .head_only = true };
    struct hw_slice pieces[2];
    enum hw_status status;

    hw_buf_init(&head, HW_INBOUND_HEAD_MAX);
    hw_buf_init(&fields, HW_INBOUND_HEAD_MAX);
    hw_buf_append_str(&fields, "cache-control: no-store\r\n");
    hw_buf_append_str(&fields, reply->fields ? reply->fields : "");
    answer.fields = hw_buf_slice(&fields);
    status = hw_buf_failed(&fields);
    if (status == HW_OK)
        status = hw_answer_write(&head, &answer);
    if (status == HW_OK) {
        pieces[0] = hw_buf_slice(&head);
        pieces[1] = reply->body;
        status = hw_stream_write(&s->stream, pieces, is_head || reply->body.len == 0 ? 1 : 2);
    }
    hw_buf_close(&fields);
    hw_buf_close(&head);
    return status;
}

void hw_session_answer(struct hw_session *s, const struct hw_reply *reply, bool is_head)
{
    HW_MUST(s->state == HW_SESSION_RUNNING || s->state == HW_SESSION_WAITING);
    s->call = NULL;
    if (!s->inbound.keep_alive || s->api->is_closing)
        s->is_last = true;
    if (s->state == HW_SESSION_WAITING)
        hw_stream_read_stop(&s->stream);
    session_move(s, HW_SESSION_SENDING);
    if (session_write(s, reply, is_head) != HW_OK)
        session_close(s);
    else if (hw_stream_queued(&s->stream) == 0)
        session_sent(s);
}

/* --- an answer that takes long ---------------------------------------------------------- */

/* The call has what it needs of the request. */
static void session_shed_request(struct hw_session *s)
{
    hw_inbound_close(&s->inbound); /* its buffers; the next request finds them empty */
    session_count_body(s);
    if (hw_buf_len(&s->ahead) == 0)
        hw_buf_close(&s->ahead);
}

void hw_session_wait(struct hw_session *s, unsigned for_ms)
{
    HW_MUST(s->state == HW_SESSION_RUNNING);
    session_shed_request(s);
    session_move(s, HW_SESSION_WAITING);
    s->waits_until = hw_loop_now(s->api->loop) + for_ms;
    hw_loop_arm(s->api->loop, &s->deadline,
                for_ms < LONG_LOOK_MS ? for_ms + LOOK_MS : LONG_LOOK_MS);
    if (hw_buf_len(&s->ahead) <= AHEAD_MAX / 2)
        hw_stream_read_start(&s->stream);
}

/* As soon as something waits for the client, its time runs. */
static void session_watch_client(struct hw_session *s)
{
    if (hw_stream_queued(&s->stream) > 0 && !hw_wheel_is_armed(&s->deadline))
        hw_loop_arm(s->api->loop, &s->deadline, s->api->options.request_timeout_ms);
}

bool hw_session_open(struct hw_session *s, const struct hw_reply *head)
{
    struct hw_call *call = s->call;

    HW_MUST(s->state == HW_SESSION_RUNNING);
    s->call = NULL;
    s->is_last = true;
    if (session_write(s, head, true) != HW_OK) {
        session_close(s);
        return false;
    }
    s->call = call;
    session_shed_request(s);
    hw_buf_close(&s->ahead); /* there is no next request */
    session_move(s, HW_SESSION_STREAMING);
    session_watch_client(s);
    hw_stream_read_start(&s->stream);
    return true;
}

bool hw_session_send(struct hw_session *s, struct hw_slice piece)
{
    HW_MUST(s->state == HW_SESSION_STREAMING);
    if (hw_stream_write(&s->stream, &piece, 1) != HW_OK) {
        s->call = NULL;
        session_close(s);
        return false;
    }
    session_watch_client(s);
    return true;
}

bool hw_session_is_clear(const struct hw_session *s)
{
    return hw_stream_queued(&s->stream) == 0;
}

void hw_session_finish(struct hw_session *s)
{
    HW_MUST(s->state == HW_SESSION_STREAMING);
    s->call = NULL;
    session_move(s, HW_SESSION_SENDING);
    if (hw_stream_queued(&s->stream) == 0)
        session_sent(s);
}

/* --- life ------------------------------------------------------------------------ */

/* One that has only ended its own side counts as gone too, where that is read at all. */
static void on_end(struct hw_stream *stream, const struct hw_cause *cause)
{
    (void)cause; /* a client that goes is no news */
    session_close(HW_CONTAINER_OF(stream, struct hw_session, stream));
}

static const struct hw_stream_events events = {
    .on_data = on_data,
    .on_end = on_end,
    .on_drain = on_drain,
};

static struct hw_session *session_new(struct hw_api *api, enum hw_door door)
{
    struct hw_session *s = hw_calloc(1, sizeof *s);

    if (s == NULL)
        return NULL;
    s->api = api;
    s->door = door;
    hw_list_node_init(&s->link);
    hw_stream_init(&s->stream, api->loop, &events);
    hw_inbound_init(&s->inbound, UNWANTED_BODY_MAX);
    hw_buf_init(&s->ahead, AHEAD_MAX);
    hw_wheel_entry_init(&s->deadline, on_deadline);
    hw_closing_hold(&api->closing);
    return s;
}

static struct hw_session *first_of(const struct hw_list *list)
{
    struct hw_list *first = hw_list_first(list);

    return first ? HW_CONTAINER_OF(first, struct hw_session, link) : NULL;
}

/* The one to give up first: longest at rest, else longest waiting for its client, else longest
 * waiting for events (it can go on from where it was). */
static struct hw_session *least_needed(struct hw_api *api)
{
    struct hw_session *resting = first_of(&api->resting);

    if (resting != NULL)
        return resting;
    HW_LIST_EACH (node, &api->busy) {
        struct hw_session *s = HW_CONTAINER_OF(node, struct hw_session, link);

        if (!waits_for_backend(s))
            return s;
    }
    return first_of(&api->waiting);
}

/* A new one is let in over the limit too, so that slow clients cannot lock others out. */
static void make_room(struct hw_api *api, struct hw_session *newest)
{
    struct hw_session *given_up;

    if (api->n_sessions <= api->options.max_connections)
        return;
    given_up = least_needed(api);
    session_close(given_up ? given_up : newest);
}

bool hw_session_accept(struct hw_listener *l)
{
    struct hw_api *api = l->api;
    struct hw_session *s = session_new(api, l->door);

    if (s == NULL)
        return false;
    api->n_sessions++;
    if (hw_stream_accept(&s->stream, (uv_stream_t *)&l->tcp, NULL) != HW_OK) {
        session_close(s);
        return true;
    }
    make_room(api, s);
    if (s->state != HW_SESSION_CLOSED)
        session_move(s, HW_SESSION_RESTING);
    return true;
}

static void close_all(struct hw_list *list)
{
    HW_LIST_EACH_SAFE (node, list)
        session_close(HW_CONTAINER_OF(node, struct hw_session, link));
}

void hw_sessions_close(struct hw_api *api)
{
    close_all(&api->resting);
    close_all(&api->busy);
    close_all(&api->waiting);
}

void hw_sessions_drain(struct hw_api *api)
{
    close_all(&api->resting);
    HW_LIST_EACH_SAFE (node, &api->busy) {
        struct hw_session *s = HW_CONTAINER_OF(node, struct hw_session, link);

        if (s->state == HW_SESSION_SENDING)
            s->is_last = true; /* its call said keep-alive already; closing is allowed */
        else if (s->state == HW_SESSION_LINGERING)
            session_close(s);
    }
    HW_LIST_EACH_SAFE (node, &api->waiting) {
        struct hw_call *call = HW_CONTAINER_OF(node, struct hw_session, link)->call;

        call->watch->on_closing(call);
    }
}
