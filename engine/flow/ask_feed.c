#include "flow/asks.h"
#include "flow/question.h"

void hw_ask_updates(void *data, struct hw_backend_updates *ask)
{
    struct hw_question *q = hw_question_new(data, &ask->req);

    if (q != NULL)
        hw_question_end_later(q, HW_BACKEND_FAILED);
}

void hw_ask_hurry(void *data, struct hw_backend_updates *ask)
{
    (void)data;
    (void)ask;
}
