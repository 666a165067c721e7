#include "store/books.h"

void hw_books_init(struct hw_books *b)
{
    *b = (struct hw_books){ 0 };
    hw_catalogue_init(&b->catalogue);
    hw_token_book_init(&b->tokens);
}

void hw_books_close(struct hw_books *b)
{
    hw_catalogue_close(&b->catalogue);
    hw_token_book_close(&b->tokens);
    b->types_version = b->tokens_version = 0;
}

bool hw_books_is_name(struct hw_slice name)
{
    return hw_slice_is(name, HW_BOOK_TYPES) || hw_slice_is(name, HW_BOOK_TOKENS);
}

uint64_t hw_books_version(const struct hw_books *b, struct hw_slice name)
{
    return hw_slice_is(name, HW_BOOK_TYPES) ? b->types_version : b->tokens_version;
}

/* Whom to tell of a stored form that does not parse. */
struct complaint {
    void (*on_bad)(void *data, const struct hw_cause *cause);
    void *data;
};

/* HW_OK where it was only that one form. */
static enum hw_status complain(const struct complaint *to, const struct hw_cause *cause)
{
    if (cause->status == HW_ENOMEM)
        return HW_ENOMEM;
    to->on_bad(to->data, cause);
    return HW_OK;
}

/* reply: version, name, stored form, ... */
static enum hw_status read_types(struct hw_catalogue *into, const struct hw_reply *reply,
                                 const struct complaint *to)
{
    enum hw_status status = HW_OK;
    struct hw_cause cause;

    for (size_t i = 1; i + 1 < reply->n_items && status == HW_OK; i += 2)
        if (hw_catalogue_add(into, reply->items[i].text, reply->items[i + 1].text, &cause) !=
            HW_OK)
            status = complain(to, &cause);
    return status;
}

static enum hw_status apply_types(struct hw_books *b, const struct hw_reply *reply,
                                  const struct complaint *to)
{
    struct hw_catalogue types;
    enum hw_status status;

    hw_catalogue_init(&types);
    status = read_types(&types, reply, to);
    if (status != HW_OK) {
        hw_catalogue_close(&types);
        return status;
    }
    hw_catalogue_close(&b->catalogue);
    b->catalogue = types;
    return HW_OK;
}

/* reply: version, id, stored form, ... */
static enum hw_status read_tokens(struct hw_token_book *into,
                                  const struct hw_token_book *before,
                                  const struct hw_reply *reply, const struct complaint *to)
{
    enum hw_status status = HW_OK;
    struct hw_cause cause;

    for (size_t i = 1; i + 1 < reply->n_items && status == HW_OK; i += 2) {
        struct hw_token *t;
        if (hw_token_read(&t, reply->items[i + 1].text, &cause) != HW_OK) {
            status = complain(to, &cause);
            continue;
        }
        const struct hw_token *old = hw_token_book_find(before, t->hash);
        if (old != NULL) {
            t->n_left = old->n_left;
            t->looked_ms = old->looked_ms;
        }
        status = hw_token_book_add(into, t);
    }
    return status;
}

static enum hw_status apply_tokens(struct hw_books *b, const struct hw_reply *reply,
                                   const struct complaint *to)
{
    struct hw_token_book tokens;
    enum hw_status status;

    hw_token_book_init(&tokens);
    status = read_tokens(&tokens, &b->tokens, reply, to);
    if (status != HW_OK) {
        hw_token_book_close(&tokens);
        return status;
    }
    hw_token_book_close(&b->tokens);
    b->tokens = tokens;
    return HW_OK;
}

enum hw_status hw_books_apply(struct hw_books *b, struct hw_slice name,
                              const struct hw_reply *reply,
                              void (*on_bad)(void *data, const struct hw_cause *), void *data)
{
    const struct complaint to = { on_bad, data };
    bool is_types = hw_slice_is(name, HW_BOOK_TYPES);
    uint64_t *version = is_types ? &b->types_version : &b->tokens_version;
    uint64_t now = (uint64_t)hw_reply_int(hw_reply_item(reply, 0), 0);
    enum hw_status status;

    if (now == *version && now != 0)
        return HW_OK;
    status = is_types ? apply_types(b, reply, &to) : apply_tokens(b, reply, &to);
    if (status == HW_OK)
        *version = now;
    return status;
}
