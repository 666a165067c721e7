/*
 * A question is one block from its call to its callback; the API's request is borrowed by
 * it.  What can be said at once still goes through the wheel, so that no callback runs inside
 * the call.
 */
#include "flow/backing.h"

#include "hookwheel/alloc.h"
#include "store/archive.h"

struct question {
    struct hw_list link; /* in backing->known, or unlinked */
    struct hw_backing *backing;
    struct hw_backend_req *req; /* borrowed from the API */
    struct hw_registry_op op;
    struct hw_archive_get get;
    struct hw_webhook *webhook;                /* a reference while asked about; NULL: none */
    struct hw_backend_webhook *found_webhooks; /* owned */
    struct hw_backend_delivery *found_deliveries; /* owned */
};

static void question_free(struct question *q)
{
    hw_registry_op_close(&q->op);
    hw_archive_get_close(&q->get);
    hw_webhook_release(q->webhook);
    hw_free(q->found_webhooks);
    hw_free(q->found_deliveries);
    hw_free(q);
}

/* Inside a callback of the store: tell, then free what was lent for it. */
static void question_end(struct question *q, enum hw_backend_result result)
{
    q->req->result = result;
    q->req->cb(q->req);
    question_free(q);
}

/* The answer is known inside the call: tell it on the next turn. */
static void question_end_later(struct question *q, enum hw_backend_result result)
{
    struct hw_backing *b = q->backing;

    q->req->result = result;
    hw_list_push_back(&b->known, &q->link);
    hw_loop_arm(b->loop, &b->later, 0);
}

static void tell_known(struct hw_backing *b)
{
    struct hw_list list, *link;
    struct hw_backend_req *failed = b->failed, *next;

    b->failed = NULL;
    for (; failed != NULL; failed = next) {
        next = failed->state;
        failed->result = HW_BACKEND_FAILED;
        failed->cb(failed);
    }
    hw_list_init(&list);
    hw_list_splice(&list, &b->known);
    while ((link = hw_list_pop(&list)) != NULL) {
        struct question *q = HW_CONTAINER_OF(link, struct question, link);
        question_end(q, q->req->result);
    }
}

static void on_later(struct hw_wheel_entry *entry)
{
    tell_known(HW_CONTAINER_OF(entry, struct hw_backing, later));
}

/* NULL: out of memory, and the request will be told so. */
static struct question *question_new(struct hw_backing *b, struct hw_backend_req *req)
{
    struct question *q = hw_calloc(1, sizeof *q);

    if (q == NULL) {
        req->state = b->failed;
        b->failed = req;
        hw_loop_arm(b->loop, &b->later, 0);
        return NULL;
    }
    q->backing = b;
    q->req = req;
    hw_registry_op_init(&q->op);
    hw_archive_get_init(&q->get);
    return q;
}

static struct question *question_of_op(struct hw_registry_op *op)
{
    return HW_CONTAINER_OF(op, struct question, op);
}

static enum hw_backend_result result_of(enum hw_registry_result result)
{
    switch (result) {
    case HW_REGISTRY_DONE:
        return HW_BACKEND_OK;
    case HW_REGISTRY_LIMIT:
        return HW_BACKEND_LIMIT;
    case HW_REGISTRY_NOT_FOUND:
        return HW_BACKEND_NOT_FOUND;
    case HW_REGISTRY_UNAVAILABLE:
        break;
    }
    return HW_BACKEND_UNAVAILABLE;
}

static struct hw_subscriptions *subscriptions(struct hw_backing *b)
{
    return hw_registry_subscriptions(b->registry);
}

/* A live webhook of that account (NULL: of any) by its id. */
static struct hw_webhook *find_live(struct hw_backing *b, const char *account, const char *id)
{
    struct hw_webhook *wh = hw_registry_find_id(b->registry, hw_slice_str(id));

    if (wh == NULL || wh->standing.status == HW_WEBHOOK_DELETED)
        return NULL;
    return account == NULL || strcmp(account, wh->account) == 0 ? wh : NULL;
}

static struct hw_backend_webhook as_found(const struct hw_webhook *wh)
{
    return (struct hw_backend_webhook){ .webhook = wh, .standing = wh->standing };
}

/* ---- webhooks ---- */

static void on_created(struct hw_registry_op *op, enum hw_registry_result result)
{
    struct question *q = question_of_op(op);
    struct hw_backend_create *create = HW_CONTAINER_OF(q->req, struct hw_backend_create, req);

    if (result == HW_REGISTRY_DONE)
        create->webhook->w = op->w;
    question_end(q, result_of(result));
}

static void backing_create(void *data, struct hw_backend_create *create)
{
    struct question *q = question_new(data, &create->req);

    if (q != NULL &&
        hw_registry_create(q->backing->registry, &q->op, create->webhook, on_created) != HW_OK)
        question_end_later(q, HW_BACKEND_UNAVAILABLE);
}

static void on_got(struct hw_registry_op *op, enum hw_registry_result result)
{
    struct question *q = question_of_op(op);
    struct hw_backend_get *get = HW_CONTAINER_OF(q->req, struct hw_backend_get, req);
    struct hw_webhook *wh = find_live(q->backing, get->account, get->id);

    if (result == HW_REGISTRY_DONE && wh == NULL)
        result = HW_REGISTRY_NOT_FOUND;
    if (result == HW_REGISTRY_DONE)
        get->found = as_found(wh);
    question_end(q, result_of(result));
}

/* Read the account of a webhook again first, so that what is answered is what Redis has; one
 * not known here may have been made by another instance a moment ago. */
static enum hw_status refresh_of(struct question *q, const struct hw_webhook *wh,
                                 const char *id, uint32_t w, hw_registry_cb cb)
{
    struct hw_registry *r = q->backing->registry;

    if (wh != NULL)
        return hw_registry_refresh(r, &q->op, hw_slice_str(wh->account), cb);
    return hw_registry_locate(r, &q->op, hw_slice_str(id), w, cb);
}

static void backing_get(void *data, struct hw_backend_get *get)
{
    struct question *q = question_new(data, &get->req);

    if (q == NULL)
        return;
    struct hw_webhook *wh = hw_registry_find_id(q->backing->registry, hw_slice_str(get->id));
    if (refresh_of(q, wh, get->id, 0, on_got) != HW_OK)
        question_end_later(q, HW_BACKEND_UNAVAILABLE);
}

static enum hw_backend_result collect(struct question *q, struct hw_backend_list *list)
{
    const struct hw_account *account =
        hw_subscriptions_account(subscriptions(q->backing), hw_slice_str(list->account));
    size_t n = 0;

    list->n_found = 0;
    if (account == NULL)
        return HW_BACKEND_OK;
    q->found_webhooks = hw_calloc(account->n_webhooks, sizeof *q->found_webhooks);
    if (q->found_webhooks == NULL)
        return HW_BACKEND_FAILED;
    for (size_t i = 0; i < account->n_webhooks; i++)
        if (account->webhooks[i]->standing.status != HW_WEBHOOK_DELETED)
            q->found_webhooks[n++] = as_found(account->webhooks[i]);
    list->found = q->found_webhooks;
    list->n_found = n;
    return HW_BACKEND_OK;
}

static void on_listed(struct hw_registry_op *op, enum hw_registry_result result)
{
    struct question *q = question_of_op(op);
    struct hw_backend_list *list = HW_CONTAINER_OF(q->req, struct hw_backend_list, req);

    if (result == HW_REGISTRY_DONE || result == HW_REGISTRY_NOT_FOUND)
        question_end(q, collect(q, list));
    else
        question_end(q, result_of(result));
}

static void backing_list(void *data, struct hw_backend_list *list)
{
    struct question *q = question_new(data, &list->req);

    if (q != NULL && hw_registry_refresh(q->backing->registry, &q->op,
                                         hw_slice_str(list->account), on_listed) != HW_OK)
        question_end_later(q, HW_BACKEND_UNAVAILABLE);
}

static void on_removed(struct hw_registry_op *op, enum hw_registry_result result)
{
    question_end(question_of_op(op), result_of(result));
}

static void on_found_to_remove(struct hw_registry_op *op, enum hw_registry_result result)
{
    struct question *q = question_of_op(op);
    struct hw_backend_delete *del = HW_CONTAINER_OF(q->req, struct hw_backend_delete, req);
    struct hw_webhook *wh = find_live(q->backing, del->account, del->id);

    if (result != HW_REGISTRY_DONE || wh == NULL)
        question_end(q, result == HW_REGISTRY_UNAVAILABLE ? HW_BACKEND_UNAVAILABLE
                                                          : HW_BACKEND_NOT_FOUND);
    else if (hw_registry_delete(q->backing->registry, &q->op, wh,
                                hw_loop_unix(q->backing->loop), on_removed) != HW_OK)
        question_end(q, HW_BACKEND_UNAVAILABLE);
}

static void backing_remove(void *data, struct hw_backend_delete *del)
{
    struct question *q = question_new(data, &del->req);

    if (q == NULL)
        return;
    struct hw_webhook *wh = hw_registry_find_id(q->backing->registry, hw_slice_str(del->id));
    if (refresh_of(q, wh, del->id, 0, on_found_to_remove) != HW_OK)
        question_end_later(q, HW_BACKEND_UNAVAILABLE);
}

/* ---- deliveries ---- */

/* Where it is not kept as a webhook any more: the number alone. */
static struct hw_backend_delivery as_delivery(struct hw_backing *b,
                                              const struct hw_archive_item *item)
{
    struct hw_webhook *wh = hw_subscriptions_find(subscriptions(b), item->w);

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
    struct question *q = data;
    struct hw_backend_deliveries *list =
        HW_CONTAINER_OF(q->req, struct hw_backend_deliveries, req);

    if (trouble != HW_REDIS_FINE) {
        question_end(q, HW_BACKEND_UNAVAILABLE);
        return;
    }
    q->found_deliveries = hw_calloc(page->n_items, sizeof *q->found_deliveries);
    if (q->found_deliveries == NULL) {
        question_end(q, HW_BACKEND_FAILED);
        return;
    }
    for (size_t i = 0; i < page->n_items; i++)
        q->found_deliveries[i] = as_delivery(q->backing, &page->items[i]);
    list->found = q->found_deliveries;
    list->n_found = page->n_items;
    list->has_more = page->has_more;
    if (page->has_first_last)
        list->reached = as_place(list->is_newer ? page->first : page->last);
    question_end(q, HW_BACKEND_OK);
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
static bool ask_page(struct question *q, struct hw_backend_deliveries *list,
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
    struct question *q = question_of_op(op);
    struct hw_backend_deliveries *list =
        HW_CONTAINER_OF(q->req, struct hw_backend_deliveries, req);
    const struct hw_account *account =
        hw_subscriptions_account(subscriptions(q->backing), hw_slice_str(list->account));
    enum hw_backend_result answer = HW_BACKEND_OK;
    bool is_asked = false;
    uint32_t *numbers;

    if (result == HW_REGISTRY_UNAVAILABLE || account == NULL) {
        question_end(q, account == NULL && result != HW_REGISTRY_UNAVAILABLE
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
        question_end(q, answer);
}

/* The account first: it may have a webhook that is not known here yet. */
static void backing_deliveries(void *data, struct hw_backend_deliveries *list)
{
    struct question *q = question_new(data, &list->req);

    if (q == NULL)
        return;
    list->n_found = 0;
    list->has_more = false;
    if (hw_registry_refresh(q->backing->registry, &q->op, hw_slice_str(list->account),
                            on_account_read) != HW_OK)
        question_end_later(q, HW_BACKEND_UNAVAILABLE);
}

static void on_inspected(struct hw_archive_get *get, enum hw_redis_trouble trouble,
                         const struct hw_archive_one *one)
{
    struct question *q = HW_CONTAINER_OF(get, struct question, get);
    struct hw_backend_inspect *inspect =
        HW_CONTAINER_OF(q->req, struct hw_backend_inspect, req);
    struct hw_attempt attempt;
    struct hw_slice response;

    if (trouble != HW_REDIS_FINE || one == NULL) {
        question_end(q,
                     trouble != HW_REDIS_FINE ? HW_BACKEND_UNAVAILABLE : HW_BACKEND_NOT_FOUND);
        return;
    }
    inspect->found = as_delivery(q->backing, &one->item);
    inspect->webhook = q->webhook;
    inspect->record = one->record;
    response = one->response;
    if (response.len > 0 && hw_attempt_next(&response, &attempt)) {
        inspect->response_head = attempt.response_head;
        inspect->response_body = attempt.response_body;
    }
    question_end(q, HW_BACKEND_OK);
}

static void on_found_to_inspect(struct hw_registry_op *op, enum hw_registry_result result)
{
    struct question *q = question_of_op(op);
    struct hw_backend_inspect *inspect =
        HW_CONTAINER_OF(q->req, struct hw_backend_inspect, req);
    struct hw_webhook *wh = hw_subscriptions_find(subscriptions(q->backing), inspect->w);

    if (result == HW_REGISTRY_UNAVAILABLE) {
        question_end(q, HW_BACKEND_UNAVAILABLE);
        return;
    }
    if (wh == NULL ||
        (inspect->account != NULL && strcmp(inspect->account, wh->account) != 0)) {
        question_end(q, HW_BACKEND_NOT_FOUND);
        return;
    }
    q->webhook = hw_webhook_hold(wh);
    if (hw_archive_find(q->backing->store, &q->get, inspect->w, inspect->n, on_inspected) !=
        HW_OK)
        question_end(q, HW_BACKEND_UNAVAILABLE);
}

static void backing_inspect(void *data, struct hw_backend_inspect *inspect)
{
    struct question *q = question_new(data, &inspect->req);

    if (q == NULL)
        return;
    inspect->response_head = inspect->response_body = hw_slice(NULL, 0);
    struct hw_webhook *wh = hw_subscriptions_find(subscriptions(q->backing), inspect->w);
    if (refresh_of(q, wh, NULL, inspect->w, on_found_to_inspect) != HW_OK)
        question_end_later(q, HW_BACKEND_UNAVAILABLE);
}

/* ---- gauges, readiness ---- */

/* Age of the oldest in our memory that was not attempted yet; Redis tells of what waits there. */
static double oldest_in_memory_s(struct hw_backing *b)
{
    const struct hw_dispatch *dispatch = &b->courier->dispatch;
    uint64_t now_us = (uint64_t)hw_loop_unix(b->loop) * 1000, oldest_us = now_us;

    for (size_t w = 0; w < dispatch->n_numbers; w++) {
        struct hw_endpoint *e = dispatch->by_number[w];
        struct hw_list *link = e != NULL ? hw_list_first(&e->first) : NULL;
        if (link != NULL &&
            HW_CONTAINER_OF(link, struct hw_delivery, link)->stamp_us < oldest_us)
            oldest_us = HW_CONTAINER_OF(link, struct hw_delivery, link)->stamp_us;
    }
    return (double)(now_us - oldest_us) / 1e6;
}

static void on_gauges(void *data, const struct hw_gauges *gauges)
{
    struct question *q = data;
    struct hw_backing *b = q->backing;
    struct hw_backend_gauges *ask = HW_CONTAINER_OF(q->req, struct hw_backend_gauges, req);
    const struct hw_dispatch *dispatch = &b->courier->dispatch;
    double oldest_s = oldest_in_memory_s(b);

    ask->gauges = *gauges;
    if (oldest_s > ask->gauges.oldest_waiting_s)
        ask->gauges.oldest_waiting_s = oldest_s;
    ask->gauges.in_flight = dispatch->n_in_flight;
    ask->gauges.webhooks_active = hw_subscriptions_count(subscriptions(b), HW_WEBHOOK_ACTIVE);
    ask->gauges.webhooks_paused = hw_subscriptions_count(subscriptions(b), HW_WEBHOOK_PAUSED);
    ask->gauges.webhooks_disabled =
        hw_subscriptions_count(subscriptions(b), HW_WEBHOOK_DISABLED);
    ask->gauges.connections_open = b->connections(b->data);
    ask->gauges.redis_connected = hw_redis_is_up(b->store->work);
    ask->gauges.durability = b->durability(b->data);
    question_end(q, HW_BACKEND_OK);
}

static void backing_gauges(void *data, struct hw_backend_gauges *ask)
{
    struct question *q = question_new(data, &ask->req);

    if (q != NULL && hw_gauge_reader_ask(q->backing->gauge_reader, on_gauges, q) != HW_OK)
        question_end_later(q, HW_BACKEND_FAILED);
}

static void backing_readiness(void *data, struct hw_backend_readiness *out)
{
    struct hw_backing *b = data;

    b->readiness(b->data, out);
}

void hw_backing_init(struct hw_backing *b)
{
    b->backend = (struct hw_backend){
        .data = b,
        .create = backing_create,
        .get = backing_get,
        .list = backing_list,
        .remove = backing_remove,
        .deliveries = backing_deliveries,
        .inspect = backing_inspect,
        .gauges = backing_gauges,
        .readiness = backing_readiness,
    };
    hw_list_init(&b->known);
    hw_wheel_entry_init(&b->later, on_later);
}

void hw_backing_close(struct hw_backing *b)
{
    hw_loop_cancel(b->loop, &b->later);
    tell_known(b);
}
