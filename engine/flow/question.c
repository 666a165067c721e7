#include "flow/question.h"

#include "hookwheel/alloc.h"

static void question_free(struct hw_question *q)
{
    hw_registry_op_close(&q->op);
    hw_archive_get_close(&q->get);
    hw_replay_close(&q->replay);
    hw_enqueue_close(&q->enqueue);
    hw_fill_close(&q->fill);
    hw_consumer_ask_close(&q->consumer);
    hw_webhook_release(q->webhook);
    hw_free(q->found_webhooks);
    hw_free(q->found_deliveries);
    hw_free(q->found_events);
    hw_free(q->found_consumers);
    hw_free(q);
}

void hw_question_end(struct hw_question *q, enum hw_backend_result result)
{
    q->req->result = result;
    q->req->cb(q->req);
    question_free(q);
}

void hw_question_end_later(struct hw_question *q, enum hw_backend_result result)
{
    struct hw_backing *b = q->backing;

    q->req->result = result;
    hw_list_push_back(&b->known, &q->link);
    hw_loop_arm(b->loop, &b->later, 0);
}

void hw_questions_tell(struct hw_backing *b)
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
        struct hw_question *q = HW_CONTAINER_OF(link, struct hw_question, link);
        hw_question_end(q, q->req->result);
    }
}

struct hw_question *hw_question_new(struct hw_backing *b, struct hw_backend_req *req)
{
    struct hw_question *q = hw_calloc(1, sizeof *q);

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
    hw_replay_init(&q->replay);
    hw_enqueue_init(&q->enqueue);
    hw_fill_init(&q->fill);
    hw_consumer_ask_init(&q->consumer);
    return q;
}

struct hw_question *hw_question_of_op(struct hw_registry_op *op)
{
    return HW_CONTAINER_OF(op, struct hw_question, op);
}

enum hw_backend_result hw_question_result(enum hw_registry_result result)
{
    switch (result) {
    case HW_REGISTRY_DONE:
        return HW_BACKEND_OK;
    case HW_REGISTRY_KEPT:
        return HW_BACKEND_KEPT;
    case HW_REGISTRY_LIMIT:
        return HW_BACKEND_LIMIT;
    case HW_REGISTRY_NOT_FOUND:
        return HW_BACKEND_NOT_FOUND;
    case HW_REGISTRY_EXPIRED:
        return HW_BACKEND_EXPIRED;
    case HW_REGISTRY_STALE:
    case HW_REGISTRY_UNAVAILABLE:
        break;
    }
    return HW_BACKEND_UNAVAILABLE;
}

struct hw_webhook *hw_question_find_live(struct hw_backing *b, const char *account,
                                         const char *id)
{
    struct hw_webhook *wh = hw_registry_find_id(b->registry, hw_slice_str(id));

    if (wh == NULL || wh->standing.status == HW_WEBHOOK_DELETED)
        return NULL;
    return account == NULL || strcmp(account, wh->account) == 0 ? wh : NULL;
}

struct hw_backend_webhook hw_question_as_found(const struct hw_webhook *wh)
{
    return (struct hw_backend_webhook){ .webhook = wh, .standing = wh->standing };
}

enum hw_status hw_question_refresh(struct hw_question *q, const struct hw_webhook *wh,
                                   const char *id, uint32_t w, hw_registry_cb cb)
{
    struct hw_registry *r = q->backing->registry;

    if (wh != NULL)
        return hw_registry_refresh(r, &q->op, hw_slice_str(wh->account), cb);
    return hw_registry_locate(r, &q->op, hw_slice_str(id), w, cb);
}
