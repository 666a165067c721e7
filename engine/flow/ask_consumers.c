#include "flow/asks.h"
#include "flow/question.h"

void hw_ask_pull(void *data, struct hw_backend_pull *ask)
{
    struct hw_question *q = hw_question_new(data, &ask->req);

    if (q != NULL)
        hw_question_end_later(q, HW_BACKEND_FAILED);
}

void hw_ask_outstanding(void *data, struct hw_backend_outstanding *ask)
{
    struct hw_question *q = hw_question_new(data, &ask->req);

    if (q != NULL)
        hw_question_end_later(q, HW_BACKEND_FAILED);
}

void hw_ask_ack(void *data, struct hw_backend_ack *ask)
{
    struct hw_question *q = hw_question_new(data, &ask->req);

    if (q != NULL)
        hw_question_end_later(q, HW_BACKEND_FAILED);
}

void hw_ask_consumers(void *data, struct hw_backend_consumers *ask)
{
    struct hw_question *q = hw_question_new(data, &ask->req);

    if (q != NULL)
        hw_question_end_later(q, HW_BACKEND_FAILED);
}

void hw_ask_drop_consumer(void *data, struct hw_backend_drop_consumer *ask)
{
    struct hw_question *q = hw_question_new(data, &ask->req);

    if (q != NULL)
        hw_question_end_later(q, HW_BACKEND_FAILED);
}
