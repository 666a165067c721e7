/*
 * start      hw_client_post; when the attempt begins: body pieces, signature over them, head
 * on_answer  the client's result becomes what is decided on (hw_attempt_result) and what is
 *            kept (hw_attempt) -> hw_courier_finished
 *
 * too late   it may not begin any more when its connection is there: canceled, INTERNAL
 * not begun  out of memory or refused by the client: ends as INTERNAL on the next turn, so that
 *            the courier never hears of it inside its own call
 */
#include "flow/sender.h"

#include <stdio.h>

#include "http/request.h"

enum { SCRATCH_MAX = 4096, MESSAGE_MAX = 256 };

static struct hw_sender *sender_of_later(struct hw_wheel_entry *entry)
{
    return HW_CONTAINER_OF(entry, struct hw_sender, later);
}

static void task_end_attempt(struct hw_task *t)
{
    hw_webhook_release(t->webhook);
    t->webhook = NULL;
    hw_buf_reset(&t->head);
}

static void on_later(struct hw_wheel_entry *entry)
{
    struct hw_sender *s = sender_of_later(entry);
    struct hw_list *link;

    while ((link = hw_list_pop(&s->not_begun)) != NULL) {
        struct hw_task *t = HW_CONTAINER_OF(link, struct hw_task, unsent);
        struct hw_attempt_result result = { .failure = HW_FAILURE_INTERNAL };
        struct hw_attempt attempt = { .failure = HW_FAILURE_INTERNAL };
        hw_courier_finished(s->courier, &t->delivery, &result, &attempt, hw_now_of(s->loop));
    }
}

void hw_sender_init(struct hw_sender *s, struct hw_loop *loop, struct hw_client *client,
                    struct hw_courier *courier, struct hw_slice user_agent,
                    hw_sender_may_begin_cb may_begin, void *data)
{
    *s = (struct hw_sender){
        .loop = loop,
        .client = client,
        .courier = courier,
        .user_agent = user_agent,
        .may_begin = may_begin,
        .data = data,
    };
    hw_buf_init(&s->scratch, SCRATCH_MAX);
    hw_list_init(&s->not_begun);
    hw_wheel_entry_init(&s->later, on_later);
}

void hw_sender_close(struct hw_sender *s)
{
    hw_loop_cancel(s->loop, &s->later);
    hw_buf_close(&s->scratch);
}

/* What people read as the reason of a failure. */
static struct hw_slice message_of(const struct hw_client_result *r, char out[MESSAGE_MAX])
{
    if (r->failure == HW_FAILURE_NONE && hw_status_is_success(r->status))
        return hw_slice(NULL, 0);
    if (r->failure == HW_FAILURE_NONE)
        snprintf(out, MESSAGE_MAX, "the endpoint answered %d", r->status);
    else
        snprintf(out, MESSAGE_MAX, "%s", r->cause.note);
    return hw_slice_str(out);
}

/* It answers again: what waits behind others for that need not any more. */
static void trust(struct hw_endpoint *e)
{
    HW_LIST_EACH (at, &e->sending)
        hw_client_trust(&hw_task_of(HW_CONTAINER_OF(at, struct hw_delivery, link))->req);
}

static void on_answer(struct hw_client_req *req, const struct hw_client_result *r)
{
    struct hw_task *t = HW_CONTAINER_OF(req, struct hw_task, req);
    struct hw_sender *s = t->sender;
    struct hw_now now = hw_now_of(s->loop);
    char message[MESSAGE_MAX];
    struct hw_attempt_result result = {
        .failure = r->failure,
        .phase = r->phase,
        .status = r->status,
        .retry_after_ms =
            r->retry_after.len > 0 ? hw_retry_after(r->retry_after, now.wall) : 0,
    };
    struct hw_attempt attempt = {
        .started_ms = r->started_ms,
        .duration_ms = r->duration_ms,
        .dns_ms = r->dns_ms,
        .connect_ms = r->connect_ms,
        .tls_ms = r->tls_ms,
        .first_byte_ms = r->first_byte_ms,
        .address = hw_slice_str(r->address),
        .reused = r->reused,
        .tls_version = hw_slice_str(r->tls_version),
        .response_code = r->status,
        .response_head = r->fields,
        .response_body = r->body,
        .message = message_of(r, message),
    };

    struct hw_endpoint *e = t->delivery.endpoint;
    bool was_doubtful = e->pace.is_doubtful;
    task_end_attempt(t);
    hw_courier_finished(s->courier, &t->delivery, &result, &attempt, now);
    if (was_doubtful && !e->pace.is_doubtful)
        trust(e);
}

static enum hw_status write_extra(struct hw_sender *s, const struct hw_task *t,
                                  size_t n_pieces)
{
    const struct hw_webhook *wh = t->webhook;

    if (wh->signature_format == HW_SIGNATURE_SHA256_HEX &&
        hw_buf_append_str(&s->scratch, "sha256=") != HW_OK)
        return HW_ENOMEM;
    return hw_sign_write_hex(&s->scratch, &wh->key, t->pieces, n_pieces);
}

/* The part of the scratch buffer written since `from`. */
static struct hw_slice since(const struct hw_sender *s, size_t from)
{
    return hw_slice_from(hw_buf_slice(&s->scratch), from);
}

static enum hw_status write_head(struct hw_sender *s, struct hw_task *t, size_t n_pieces,
                                 hw_unix_ms now)
{
    const struct hw_event *ev = t->delivery.event;
    const struct hw_webhook *wh = t->webhook;
    char delivery_id[HW_ID_MAX];
    size_t extra_from, subject_from;

    hw_id_delivery(t->delivery.w, t->delivery.n, delivery_id);
    /* Room for all of it first: the slices below must not move. */
    hw_buf_reset(&s->scratch);
    if (hw_buf_reserve(&s->scratch, SCRATCH_MAX) != HW_OK ||
        hw_webhook_sign(wh, &s->scratch, ev->record.id, now, t->pieces, n_pieces) != HW_OK)
        return HW_ENOMEM;
    extra_from = hw_buf_len(&s->scratch);
    if (wh->signature_name != NULL && write_extra(s, t, n_pieces) != HW_OK)
        return HW_ENOMEM;
    subject_from = hw_buf_len(&s->scratch);
    if (ev->record.has_subject && hw_record_subject(&ev->record, &s->scratch) != HW_OK)
        return HW_ENOMEM;
    struct hw_slice extra = since(s, extra_from);
    struct hw_request_head head = {
        .target = wh->url.target,
        .authority = wh->url.authority,
        .user_agent = s->user_agent,
        .body_bytes = t->pieces[0].len + (n_pieces > 1 ? t->pieces[1].len : 0),
        .webhook_id = ev->record.id,
        .timestamp_s = now / 1000,
        .signature = hw_slice(hw_buf_slice(&s->scratch).data, extra_from),
        .delivery_id = hw_slice_str(delivery_id),
        .attempt = t->delivery.attempts + 1,
        .subject = since(s, subject_from),
        .traceparent = ev->traceparent,
        .extra_name = hw_slice_str(wh->signature_name),
        .extra_value = hw_slice(extra.data, subject_from - extra_from),
        .static_fields = hw_buf_slice(&wh->static_fields),
    };
    return hw_request_write(&t->head, &head);
}

/* Signed with the time at which it leaves, however long it waited for a connection.  Meanwhile it
 * may have become another's to attempt. */
static enum hw_status on_begin(struct hw_client_req *req, struct hw_client_post *what)
{
    struct hw_task *t = HW_CONTAINER_OF(req, struct hw_task, req);
    struct hw_sender *s = t->sender;
    const struct hw_webhook *wh = t->webhook;
    size_t n_pieces =
        hw_record_body(&t->delivery.event->record, wh->format_raw, wh->include_raw, t->pieces);

    if (t->delivery.is_lost || !s->may_begin(s->data))
        return HW_ECANCELED;
    if (write_head(s, t, n_pieces, hw_loop_unix(s->loop)) != HW_OK)
        return HW_ENOMEM;
    what->head = hw_buf_slice(&t->head);
    for (size_t i = 0; i < n_pieces; i++)
        what->body[i] = t->pieces[i];
    what->n_body = n_pieces;
    return HW_OK;
}

static enum hw_status ask(struct hw_sender *s, struct hw_task *t)
{
    struct hw_client_post post = {
        .url = &t->webhook->url,
        .begin = on_begin,
        .keep_body_bytes = HW_HISTORY_BODY_KEEP,
        .is_doubtful = t->delivery.endpoint->pace.is_doubtful,
    };

    return hw_client_post(s->client, &t->req, &post, on_answer);
}

void hw_sender_start(struct hw_sender *s, struct hw_delivery *d)
{
    struct hw_task *t = hw_task_of(d);

    t->webhook = hw_webhook_hold(d->endpoint->webhook);
    if (ask(s, t) == HW_OK)
        return;
    task_end_attempt(t);
    hw_list_push_back(&s->not_begun, &t->unsent);
    hw_loop_arm(s->loop, &s->later, 0);
}
