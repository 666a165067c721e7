#include "flow/asks.h"
#include "flow/question.h"
#include "hookwheel/alloc.h"

/* Where it is not kept as a webhook any more: the number alone. */
static struct hw_backend_delivery as_delivery(struct hw_backing *b,
                                              const struct hw_archive_item *item)
{
    struct hw_webhook *wh = hw_subscriptions_find(hw_backing_subscriptions(b), item->w);

    return (struct hw_backend_delivery){
        .w = item->w,
        .n = item->n,
        .account = wh != NULL ? wh->account : "",
        .webhook_id = wh != NULL ? wh->id : "",
        .history = item->history,
    };
}

static struct hw_backend_place as_place(struct hw_archive_place p)
{
    return (struct hw_backend_place){ p.stamp_us, p.w, p.n };
}

static void on_page(void *data, enum hw_redis_trouble trouble,
                    const struct hw_archive_page *page)
{
    struct hw_question *q = data;
    struct hw_backend_deliveries *list =
        HW_CONTAINER_OF(q->req, struct hw_backend_deliveries, req);

    if (trouble != HW_REDIS_FINE) {
        hw_question_end(q, HW_BACKEND_UNAVAILABLE);
        return;
    }
    q->found_deliveries = hw_calloc(page->n_items, sizeof *q->found_deliveries);
    if (q->found_deliveries == NULL) {
        hw_question_end(q, HW_BACKEND_FAILED);
        return;
    }
    for (size_t i = 0; i < page->n_items; i++)
        q->found_deliveries[i] = as_delivery(q->backing, &page->items[i]);
    list->found = q->found_deliveries;
    list->n_found = page->n_items;
    list->has_more = page->has_more;
    if (page->has_first_last)
        list->reached = as_place(list->is_newer ? page->first : page->last);
    hw_question_end(q, HW_BACKEND_OK);
}

/* Numbers of the webhooks asked about; their count. */
static size_t webhooks_asked(const struct hw_backend_deliveries *list,
                             const struct hw_account *account, uint32_t *out)
{
    size_t n = 0;

    for (size_t i = 0; i < account->n_webhooks; i++)
        if (list->webhook_id == NULL ||
            strcmp(list->webhook_id, account->webhooks[i]->id) == 0)
            out[n++] = account->webhooks[i]->w;
    return n;
}

/* Asked: on_page follows and *result is left alone.  Else *result is the answer. */
static bool ask_page(struct hw_question *q, struct hw_backend_deliveries *list,
                     const struct hw_account *account, uint32_t *numbers,
                     enum hw_backend_result *result)
{
    struct hw_archive_query query = {
        .webhooks = numbers,
        .n_webhooks = webhooks_asked(list, account, numbers),
        .status = list->status,
        .event_id = hw_slice_str(list->event_id),
        .subject = hw_slice_str(list->subject),
        .since_ms = list->since_ms,
        .until_ms = list->until_ms,
        .has_place = list->has_place,
        .place = { list->place.stamp_us, list->place.w, list->place.n },
        .is_backward = list->is_newer,
        .limit = (unsigned)list->limit,
    };

    *result = HW_BACKEND_OK;
    if (query.n_webhooks == 0)
        return false;
    *result = HW_BACKEND_UNAVAILABLE;
    return hw_archive_list(q->backing->store, &query, on_page, q) == HW_OK;
}

static void on_account_read(struct hw_registry_op *op, enum hw_registry_result result)
{
    struct hw_question *q = hw_question_of_op(op);
    struct hw_backend_deliveries *list =
        HW_CONTAINER_OF(q->req, struct hw_backend_deliveries, req);
    const struct hw_account *account =
        hw_subscriptions_account(hw_backing_subscriptions(q->backing), hw_slice_str(list->account));
    enum hw_backend_result answer = HW_BACKEND_OK;
    bool is_asked = false;
    uint32_t *numbers;

    if (result == HW_REGISTRY_UNAVAILABLE || account == NULL) {
        hw_question_end(q, account == NULL && result != HW_REGISTRY_UNAVAILABLE
                            ? HW_BACKEND_OK
                            : HW_BACKEND_UNAVAILABLE);
        return;
    }
    numbers = hw_malloc(account->n_webhooks * sizeof *numbers);
    if (numbers == NULL)
        answer = HW_BACKEND_FAILED;
    else
        is_asked = ask_page(q, list, account, numbers, &answer);
    hw_free(numbers);
    if (!is_asked)
        hw_question_end(q, answer);
}

/* The account first: it may have a webhook that is not known here yet. */
void hw_ask_deliveries(void *data, struct hw_backend_deliveries *list)
{
    struct hw_question *q = hw_question_new(data, &list->req);

    if (q == NULL)
        return;
    list->n_found = 0;
    list->has_more = false;
    if (hw_registry_refresh(q->backing->registry, &q->op, hw_slice_str(list->account),
                            on_account_read) != HW_OK)
        hw_question_end_later(q, HW_BACKEND_UNAVAILABLE);
}

static void on_inspected(struct hw_archive_get *get, enum hw_redis_trouble trouble,
                         const struct hw_archive_one *one)
{
    struct hw_question *q = HW_CONTAINER_OF(get, struct hw_question, get);
    struct hw_backend_inspect *inspect =
        HW_CONTAINER_OF(q->req, struct hw_backend_inspect, req);
    struct hw_attempt attempt;
    struct hw_slice response;

    if (trouble != HW_REDIS_FINE || one == NULL) {
        hw_question_end(q,
                     trouble != HW_REDIS_FINE ? HW_BACKEND_UNAVAILABLE : HW_BACKEND_NOT_FOUND);
        return;
    }
    inspect->found = as_delivery(q->backing, &one->item);
    inspect->webhook = q->webhook;
    inspect->record = one->record;
    response = one->response;
    if (response.len > 0 && hw_attempt_next(&response, &attempt)) {
        inspect->response_of = attempt.number;
        inspect->response_head = attempt.response_head;
        inspect->response_body = attempt.response_body;
    }
    hw_question_end(q, HW_BACKEND_OK);
}

static void on_found_to_inspect(struct hw_registry_op *op, enum hw_registry_result result)
{
    struct hw_question *q = hw_question_of_op(op);
    struct hw_backend_inspect *inspect =
        HW_CONTAINER_OF(q->req, struct hw_backend_inspect, req);
    struct hw_webhook *wh = hw_subscriptions_find(hw_backing_subscriptions(q->backing), inspect->w);

    if (result == HW_REGISTRY_UNAVAILABLE) {
        hw_question_end(q, HW_BACKEND_UNAVAILABLE);
        return;
    }
    if (wh == NULL ||
        (inspect->account != NULL && strcmp(inspect->account, wh->account) != 0)) {
        hw_question_end(q, HW_BACKEND_NOT_FOUND);
        return;
    }
    q->webhook = hw_webhook_hold(wh);
    if (hw_archive_find(q->backing->store, &q->get, inspect->w, inspect->n, on_inspected) !=
        HW_OK)
        hw_question_end(q, HW_BACKEND_UNAVAILABLE);
}

void hw_ask_inspect(void *data, struct hw_backend_inspect *inspect)
{
    struct hw_question *q = hw_question_new(data, &inspect->req);

    if (q == NULL)
        return;
    inspect->response_of = 0;
    inspect->response_head = inspect->response_body = hw_slice(NULL, 0);
    struct hw_webhook *wh = hw_subscriptions_find(hw_backing_subscriptions(q->backing), inspect->w);
    if (hw_question_refresh(q, wh, NULL, inspect->w, on_found_to_inspect) != HW_OK)
        hw_question_end_later(q, HW_BACKEND_UNAVAILABLE);
}
