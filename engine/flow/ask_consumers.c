/* Each is one question to the store (store/consumer.h), told as it comes. */
#include "flow/asks.h"
#include "flow/question.h"
#include "hookwheel/alloc.h"

static struct hw_question *question_of(struct hw_consumer_ask *a)
{
    return HW_CONTAINER_OF(a, struct hw_question, consumer);
}

static enum hw_backend_result backend_result(enum hw_consumer_result result)
{
    switch (result) {
    case HW_CONSUMER_DONE:
        return HW_BACKEND_OK;
    case HW_CONSUMER_NOT_FOUND:
        return HW_BACKEND_NOT_FOUND;
    case HW_CONSUMER_LIMIT:
        return HW_BACKEND_LIMIT;
    case HW_CONSUMER_EXPIRED:
        return HW_BACKEND_EXPIRED;
    case HW_CONSUMER_UNAVAILABLE:
        break;
    }
    return HW_BACKEND_UNAVAILABLE;
}

/* Not sent: told on the next turn. */
static void check_sent(struct hw_question *q, enum hw_status status)
{
    if (status != HW_OK)
        hw_question_end_later(q, status == HW_ENOMEM ? HW_BACKEND_FAILED
                                                     : HW_BACKEND_UNAVAILABLE);
}

static struct hw_consumer_view view_of(const struct hw_backend_readable *readable)
{
    return (struct hw_consumer_view){ readable->otherwise, readable->names,
                                      readable->n_names };
}

/* In the form of the API, owned by the question.  false: out of memory. */
static bool keep_events(struct hw_question *q, const struct hw_consumer_found *found)
{
    if (found->n_events == 0)
        return true;
    q->found_events = hw_malloc(found->n_events * sizeof *q->found_events);
    if (q->found_events == NULL)
        return false;
    for (size_t i = 0; i < found->n_events; i++)
        q->found_events[i] =
            (struct hw_backend_update_event){ found->events[i].id, found->events[i].record };
    return true;
}

/* ---- pull ---- */

static void on_pulled(struct hw_consumer_ask *a, enum hw_consumer_result result,
                      const struct hw_consumer_found *found)
{
    struct hw_question *q = question_of(a);
    struct hw_backend_pull *ask = HW_CONTAINER_OF(q->req, struct hw_backend_pull, req);

    if (!keep_events(q, found)) {
        hw_question_end(q, HW_BACKEND_FAILED);
        return;
    }
    ask->found = q->found_events;
    ask->n_found = found->n_events;
    ask->has_more = found->has_more;
    ask->oldest = found->oldest;
    hw_question_end(q, backend_result(result));
}

void hw_ask_pull(void *data, struct hw_backend_pull *ask)
{
    struct hw_question *q = hw_question_new(data, &ask->req);
    struct hw_consumer_terms terms = { .limit = ask->limit,
                                       .visibility_ms = ask->visibility_ms,
                                       .n_consumers_max = HW_BACKEND_CONSUMERS_MAX,
                                       .is_start = ask->from.is_start,
                                       .after = ask->from.after };

    if (q == NULL)
        return;
    check_sent(q, hw_consumer_pull(q->backing->store, &q->consumer,
                                   (struct hw_consumer_key){ ask->account, ask->name },
                                   view_of(&ask->readable), terms, on_pulled));
}

/* ---- outstanding ---- */

static void on_outstanding(struct hw_consumer_ask *a, enum hw_consumer_result result,
                           const struct hw_consumer_found *found)
{
    struct hw_question *q = question_of(a);
    struct hw_backend_outstanding *ask =
        HW_CONTAINER_OF(q->req, struct hw_backend_outstanding, req);
    size_t n = found->n_events;

    if (!keep_events(q, found)) {
        hw_question_end(q, HW_BACKEND_FAILED);
        return;
    }
    ask->found = q->found_events;
    ask->n_found = n;
    ask->has_more = found->has_more;
    ask->reached = n > 0 ? found->events[n - 1].id : ask->after;
    hw_question_end(q, backend_result(result));
}

void hw_ask_outstanding(void *data, struct hw_backend_outstanding *ask)
{
    struct hw_question *q = hw_question_new(data, &ask->req);

    if (q == NULL)
        return;
    check_sent(q, hw_consumer_outstanding(q->backing->store, &q->consumer,
                                          (struct hw_consumer_key){ ask->account, ask->name },
                                          view_of(&ask->readable), ask->after, ask->limit,
                                          on_outstanding));
}

/* ---- ack ---- */

static void on_acknowledged(struct hw_consumer_ask *a, enum hw_consumer_result result,
                            const struct hw_consumer_found *found)
{
    struct hw_question *q = question_of(a);
    struct hw_backend_ack *ask = HW_CONTAINER_OF(q->req, struct hw_backend_ack, req);

    ask->n_acknowledged = found->n_acknowledged;
    ask->oldest = found->oldest;
    hw_question_end(q, backend_result(result));
}

void hw_ask_ack(void *data, struct hw_backend_ack *ask)
{
    struct hw_question *q = hw_question_new(data, &ask->req);
    struct hw_consumer_key key = { ask->account, ask->name };

    if (q == NULL)
        return;
    if (ask->event_ids != NULL)
        check_sent(q, hw_consumer_ack(q->backing->store, &q->consumer, key, ask->event_ids,
                                      ask->n_event_ids, on_acknowledged));
    else
        check_sent(q, hw_consumer_ack_to(q->backing->store, &q->consumer, key, ask->cursor,
                                         on_acknowledged));
}

/* ---- list, drop ---- */

static struct hw_backend_consumer as_found(const struct hw_consumer_standing *s)
{
    return (struct hw_backend_consumer){ .name = s->name,
                                         .position = s->position,
                                         .lag = s->n_behind,
                                         .handed_out = s->n_out,
                                         .skipped = s->n_skipped,
                                         .created_ms = s->created_ms };
}

static void on_listed(struct hw_consumer_ask *a, enum hw_consumer_result result,
                      const struct hw_consumer_found *found)
{
    struct hw_question *q = question_of(a);
    struct hw_backend_consumers *ask =
        HW_CONTAINER_OF(q->req, struct hw_backend_consumers, req);
    size_t n = found->n_consumers;

    if (n > 0 && (q->found_consumers = hw_malloc(n * sizeof *q->found_consumers)) == NULL) {
        hw_question_end(q, HW_BACKEND_FAILED);
        return;
    }
    for (size_t i = 0; i < n; i++)
        q->found_consumers[i] = as_found(&found->consumers[i]);
    ask->found = q->found_consumers;
    ask->n_found = n;
    hw_question_end(q, backend_result(result));
}

void hw_ask_consumers(void *data, struct hw_backend_consumers *ask)
{
    struct hw_question *q = hw_question_new(data, &ask->req);

    if (q != NULL)
        check_sent(q,
                   hw_consumer_list(q->backing->store, &q->consumer, ask->account, on_listed));
}

static void on_dropped(struct hw_consumer_ask *a, enum hw_consumer_result result,
                       const struct hw_consumer_found *found)
{
    (void)found;
    hw_question_end(question_of(a), backend_result(result));
}

void hw_ask_drop_consumer(void *data, struct hw_backend_drop_consumer *ask)
{
    struct hw_question *q = hw_question_new(data, &ask->req);

    if (q == NULL)
        return;
    check_sent(q, hw_consumer_dismiss(q->backing->store, &q->consumer,
                                      (struct hw_consumer_key){ ask->account, ask->name },
                                      on_dropped));
}
