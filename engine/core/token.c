#include "core/token.h"

#include "base/list.h"
#include "base/must.h"
#include "core/stored.h"
#include "hookwheel/alloc.h"

/* --- life --- */

struct hw_token *hw_token_new(void)
{
    struct hw_token *t = hw_calloc(1, sizeof *t);

    if (t == NULL)
        return NULL;
    t->refs = 1;
    hw_scopes_init(&t->scopes);
    return t;
}

struct hw_token *hw_token_hold(struct hw_token *t)
{
    t->refs++;
    return t;
}

void hw_token_release(struct hw_token *t)
{
    if (t == NULL || --t->refs > 0)
        return;
    hw_scopes_close(&t->scopes);
    hw_free(t->account);
    hw_free(t->name);
    hw_free(t);
}

/* --- the stored form --- */

enum hw_status hw_token_write(const struct hw_token *t, struct hw_buf *out)
{
    struct hw_stored_writer w;

    hw_stored_begin(&w);
    hw_stored_put_text(&w, "id", t->id);
    hw_stored_put_text(&w, "hash", t->hash);
    hw_stored_put_text(&w, "account", t->account);
    hw_stored_put_some(&w, "name", t->name);
    hw_stored_put_texts(&w, "scopes", t->scopes.names, t->scopes.n_names);
    hw_stored_put_number(&w, "created_ms", t->created_ms);
    if (t->expires_ms != 0)
        hw_stored_put_number(&w, "expires_ms", t->expires_ms);
    return hw_stored_end(&w, out);
}

static void read_fixed(struct hw_stored_reader *r, const char *name, char *out, size_t size)
{
    struct hw_slice value = hw_stored_text(r, name);

    if (value.len == 0 || value.len >= size) {
        hw_stored_bad(r, name);
        return;
    }
    memcpy(out, value.data, value.len);
    out[value.len] = '\0';
}

static enum hw_status add_scope(void *scopes, struct hw_slice text)
{
    return hw_scope_is_valid(text) ? hw_scopes_add(scopes, text) : HW_EINVAL;
}

static void read_token(struct hw_stored_reader *r, struct hw_token *t)
{
    read_fixed(r, "id", t->id, sizeof t->id);
    read_fixed(r, "hash", t->hash, sizeof t->hash);
    if (strspn(t->hash, "0123456789abcdef") != sizeof t->hash - 1)
        hw_stored_bad(r, "hash");
    if (!hw_stored_copy_text(r, "account", &t->account))
        hw_stored_bad(r, "account");
    (void)hw_stored_copy_text(r, "name", &t->name);
    if (!hw_stored_each_text(r, "scopes", add_scope, &t->scopes))
        hw_stored_bad(r, "scopes");
    t->powers = hw_scopes_powers(&t->scopes);
    t->created_ms = hw_stored_number(r, "created_ms", 0, INT64_MAX, -1);
    t->expires_ms = hw_stored_number(r, "expires_ms", 0, INT64_MAX, 0);
}

enum hw_status hw_token_read(struct hw_token **out, struct hw_slice stored,
                             struct hw_cause *cause)
{
    struct hw_token *t = hw_token_new();
    struct hw_stored_reader r;

    if (t == NULL)
        return hw_cause_set(cause, HW_ENOMEM, HW_ORIGIN_US, 0, "stored token");
    if (hw_stored_open(&r, stored, "token", cause) == HW_OK)
        read_token(&r, t);
    if (hw_stored_close(&r) == HW_OK)
        *out = t;
    else
        hw_token_release(t);
    return r.status;
}

/* --- the book --- */

static struct hw_token *token_of(struct hw_map_entry *entry)
{
    return HW_CONTAINER_OF(entry, struct hw_token, entry);
}

static struct hw_slice hash_of(const char hash[65])
{
    return hw_slice(hash, 64);
}

void hw_token_book_init(struct hw_token_book *b)
{
    *b = (struct hw_token_book){ 0 };
    hw_map_init(&b->tokens);
}

void hw_token_book_close(struct hw_token_book *b)
{
    struct hw_map_entry *entry;

    while ((entry = hw_map_next(&b->tokens, NULL)) != NULL) {
        hw_map_remove(&b->tokens, entry);
        hw_token_release(token_of(entry));
    }
    hw_map_close(&b->tokens);
    b->n_tokens = 0;
}

enum hw_status hw_token_book_add(struct hw_token_book *b, struct hw_token *t)
{
    struct hw_map_entry *before = hw_map_find(&b->tokens, hash_of(t->hash));

    if (before != NULL) { /* a map that held one has room for one */
        hw_map_remove(&b->tokens, before);
        hw_token_release(token_of(before));
    }
    if (hw_map_add(&b->tokens, &t->entry, hash_of(t->hash)) != HW_OK) {
        HW_MUST(before == NULL);
        hw_token_release(t);
        return HW_ENOMEM;
    }
    b->n_tokens = b->tokens.n_entries;
    return HW_OK;
}

struct hw_token *hw_token_book_find(const struct hw_token_book *b, const char hash[65])
{
    struct hw_map_entry *entry = hw_map_find(&b->tokens, hash_of(hash));

    return entry ? token_of(entry) : NULL;
}

struct hw_token *hw_token_book_find_id(const struct hw_token_book *b, const char *id)
{
    for (struct hw_map_entry *e = hw_map_next(&b->tokens, NULL); e != NULL;
         e = hw_map_next(&b->tokens, e))
        if (strcmp(token_of(e)->id, id) == 0)
            return token_of(e);
    return NULL;
}

/* --- its rate --- */

/* It holds what comes in a second. */
static void refill(struct hw_token *t, double rate_per_s, hw_mono_ms now)
{
    if (t->looked_ms == 0)
        t->n_left = rate_per_s;
    else if (now > t->looked_ms) /* a reading that goes backwards: no time has passed */
        t->n_left += (double)(now - t->looked_ms) * rate_per_s / 1000;
    if (t->n_left > rate_per_s)
        t->n_left = rate_per_s;
    if (now > t->looked_ms)
        t->looked_ms = now;
}

uint64_t hw_token_spend(struct hw_token *t, unsigned rate_per_s, hw_mono_ms now)
{
    double rate = rate_per_s > 1 ? rate_per_s : 1;

    refill(t, rate, now);
    if (t->n_left >= 1) {
        t->n_left -= 1;
        return 0;
    }
    return (uint64_t)((1 - t->n_left) * 1000 / rate) + 1; /* late is better than early */
}
