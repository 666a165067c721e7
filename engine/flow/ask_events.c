#include "flow/asks.h"
#include "flow/question.h"
#include "hookwheel/alloc.h"

static struct hw_question *question_of(struct hw_enqueue *e)
{
    return HW_CONTAINER_OF(e, struct hw_question, enqueue);
}

/* A send that was refused: the connection is not there, or the command could not be written. */
static enum hw_backend_result refused(enum hw_status status)
{
    return status == HW_ENOMEM || status == HW_ETOOBIG ? HW_BACKEND_FAILED
                                                       : HW_BACKEND_UNAVAILABLE;
}

static void on_enqueued(struct hw_enqueue *e, enum hw_redis_trouble trouble, bool is_kept,
                        struct hw_slice reply)
{
    struct hw_question *q = question_of(e);
    struct hw_backend_events *ask = HW_CONTAINER_OF(q->req, struct hw_backend_events, req);

    if (trouble != HW_REDIS_FINE) {
        hw_question_end(q, HW_BACKEND_UNAVAILABLE);
        return;
    }
    *(is_kept ? &ask->once.kept : &ask->answer) = reply;
    hw_question_end(q, is_kept ? HW_BACKEND_KEPT : HW_BACKEND_OK);
}

static struct hw_enqueue_event as_enqueued(const struct hw_backend_event *event)
{
    return (struct hw_enqueue_event){
        .account = event->account,
        .type = event->type,
        .payload = event->payload,
        .subject = event->subject,
        .id = event->id,
        .level = event->level,
        .timestamp = event->timestamp,
        .traceparent = event->traceparent,
    };
}

static enum hw_status enqueue(struct hw_question *q, const struct hw_backend_events *ask)
{
    struct hw_enqueue_event *events = hw_malloc(ask->n_events * sizeof *events);
    enum hw_status status;

    if (events == NULL)
        return HW_ENOMEM;
    for (size_t i = 0; i < ask->n_events; i++)
        events[i] = as_enqueued(&ask->events[i]);
    status = hw_enqueue_events(q->backing->store, &q->enqueue, events, ask->n_events,
                               hw_slice_str(ask->once.key), hw_slice_str(ask->once.prefix),
                               on_enqueued);
    hw_free(events);
    return status;
}

void hw_ask_events(void *data, struct hw_backend_events *ask)
{
    struct hw_question *q = hw_question_new(data, &ask->req);
    enum hw_status status;

    if (q == NULL)
        return;
    status = enqueue(q, ask);
    if (status != HW_OK)
        hw_question_end_later(q, refused(status));
}

static void on_recalled(struct hw_enqueue *e, enum hw_redis_trouble trouble, bool is_kept,
                        struct hw_slice reply)
{
    struct hw_question *q = question_of(e);
    struct hw_backend_recall *ask = HW_CONTAINER_OF(q->req, struct hw_backend_recall, req);

    if (trouble != HW_REDIS_FINE) {
        hw_question_end(q, HW_BACKEND_UNAVAILABLE);
        return;
    }
    ask->once.kept = reply;
    hw_question_end(q, is_kept ? HW_BACKEND_KEPT : HW_BACKEND_OK);
}

void hw_ask_recall(void *data, struct hw_backend_recall *ask)
{
    struct hw_question *q = hw_question_new(data, &ask->req);
    enum hw_status status;

    if (q == NULL)
        return;
    status = hw_enqueue_recall(q->backing->store, &q->enqueue, hw_slice_str(ask->once.key),
                               on_recalled);
    if (status != HW_OK)
        hw_question_end_later(q, refused(status));
}
