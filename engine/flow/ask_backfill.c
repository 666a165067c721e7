#include "flow/asks.h"
#include "flow/question.h"

void hw_ask_backfill(void *data, struct hw_backend_backfill *ask)
{
    struct hw_question *q = hw_question_new(data, &ask->req);

    if (q != NULL)
        hw_question_end_later(q, HW_BACKEND_FAILED);
}
