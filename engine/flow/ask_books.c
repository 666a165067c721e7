/* The catalogue and the tokens: written through the registry, read from memory. */
#include "flow/asks.h"
#include "flow/question.h"

enum { STORED_MAX = 64 * 1024 };

static void on_book(struct hw_registry_op *op, enum hw_registry_result result)
{
    hw_question_end(hw_question_of_op(op), hw_question_result(result));
}

/* ---- put ---- */

/* `status` says whether `stored` was written; it is closed here. */
static void put(struct hw_question *q, const char *book, const char *key,
                struct hw_buf *stored, enum hw_status status)
{
    if (status != HW_OK)
        hw_question_end_later(q, HW_BACKEND_FAILED);
    else if (hw_registry_put(q->backing->registry, &q->op, book, hw_slice_str(key),
                             hw_buf_slice(stored), on_book) != HW_OK)
        hw_question_end_later(q, HW_BACKEND_UNAVAILABLE);
    hw_buf_close(stored);
}

void hw_ask_put_type(void *data, struct hw_backend_book *ask)
{
    struct hw_question *q = hw_question_new(data, &ask->req);
    struct hw_buf stored;

    if (q == NULL)
        return;
    hw_buf_init(&stored, STORED_MAX);
    put(q, HW_BOOK_TYPES, ask->type->name, &stored, hw_event_type_write(ask->type, &stored));
}

void hw_ask_put_token(void *data, struct hw_backend_book *ask)
{
    struct hw_question *q = hw_question_new(data, &ask->req);
    struct hw_buf stored;

    if (q == NULL)
        return;
    hw_buf_init(&stored, STORED_MAX);
    put(q, HW_BOOK_TOKENS, ask->token->id, &stored, hw_token_write(ask->token, &stored));
}

/* ---- drop ---- */

static void drop(void *data, struct hw_backend_book *ask, const char *book)
{
    struct hw_question *q = hw_question_new(data, &ask->req);

    if (q != NULL && hw_registry_drop(q->backing->registry, &q->op, book,
                                      hw_slice_str(ask->key), on_book) != HW_OK)
        hw_question_end_later(q, HW_BACKEND_UNAVAILABLE);
}

void hw_ask_drop_type(void *data, struct hw_backend_book *ask)
{
    drop(data, ask, HW_BOOK_TYPES);
}

void hw_ask_drop_token(void *data, struct hw_backend_book *ask)
{
    drop(data, ask, HW_BOOK_TOKENS);
}

/* ---- as Redis has it now ---- */

static void freshen(void *data, struct hw_backend_book *ask, const char *book)
{
    struct hw_question *q = hw_question_new(data, &ask->req);

    if (q != NULL && hw_registry_freshen(q->backing->registry, &q->op, book, on_book) != HW_OK)
        hw_question_end_later(q, HW_BACKEND_UNAVAILABLE);
}

void hw_ask_refresh_types(void *data, struct hw_backend_book *ask)
{
    freshen(data, ask, HW_BOOK_TYPES);
}

void hw_ask_refresh_tokens(void *data, struct hw_backend_book *ask)
{
    freshen(data, ask, HW_BOOK_TOKENS);
}

const struct hw_catalogue *hw_ask_catalogue(void *data)
{
    return &hw_registry_books(((struct hw_backing *)data)->registry)->catalogue;
}

const struct hw_token_book *hw_ask_tokens(void *data)
{
    return &hw_registry_books(((struct hw_backing *)data)->registry)->tokens;
}
