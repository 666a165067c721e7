#include "api/issue.h"

#include <stdio.h>
#include <stdlib.h>

#include "api/form.h"
#include "api/body.h"
#include "api/paging.h"
#include "api/shared.h"
#include "hookwheel/alloc.h"
#include "rules/sign.h"
#include "tls/trust.h"

enum {
    NAME_MAX_BYTES = 256,
    ID_DIGITS = 20,             /* of "tok_" and those */
    PLACE_BYTES = 8 + ID_DIGITS /* when it was issued, and its id */
};

/* --- the object -------------------------------------------------------------------- */

static json_t *scopes_json(const struct hw_scopes *scopes)
{
    json_t *list = json_array();

    for (size_t i = 0; i < scopes->n_names; i++)
        json_array_append_new(list, json_string(scopes->names[i]));
    return list;
}

static json_t *token_json(const struct hw_token *t)
{
    return json_pack("{s:s, s:s, s:s, s:o, s:o, s:o, s:o}", "id", t->id, "object", "token",
                     "account", t->account, "scopes", scopes_json(&t->scopes), "name",
                     hw_json_text(t->name), "created_at", hw_json_time(t->created_ms),
                     "expires_at", hw_json_time(t->expires_ms));
}

/* --- create ------------------------------------------------------------------------- */

static bool no_memory(struct hw_problem *p)
{
    return hw_problem_set(p, HW_PROBLEM_INTERNAL, NULL, "Out of memory; try again.");
}

static bool set_text(char **to, const char *text, struct hw_problem *p)
{
    *to = text ? hw_strndup(text, strlen(text)) : NULL;
    return text == NULL || *to != NULL || no_memory(p);
}

static bool read_account(struct hw_token *t, const json_t *body, struct hw_problem *p)
{
    const char *account = json_string_value(json_object_get(body, "account"));

    if (!hw_entry_account_is_valid(hw_slice_str(account)))
        return hw_problem_set(p, HW_PROBLEM_INVALID_REQUEST, "account",
                              "account is the one that the token is bound to: 1 to 64 "
                              "letters, digits, _ or -.");
    return set_text(&t->account, account, p);
}

static bool add_scope(struct hw_token *t, const json_t *item, struct hw_problem *p)
{
    struct hw_slice text = hw_slice(json_string_value(item), json_string_length(item));

    if (!hw_scope_is_valid(text))
        return hw_problem_set(
            p, HW_PROBLEM_INVALID_REQUEST, "scopes",
            "A scope is 1 to 64 letters, digits, _ . : or -, and begins with "
            "a letter or a digit.");
    if (hw_scopes_has(&t->scopes, text))
        return hw_problem_set(p, HW_PROBLEM_INVALID_REQUEST, "scopes",
                              "%.*s is named twice; name it once.", HW_SLICE_FMT(text));
    return hw_scopes_add(&t->scopes, text) == HW_OK || no_memory(p);
}

static bool read_scopes(struct hw_token *t, const json_t *body, struct hw_problem *p)
{
    const json_t *list = json_object_get(body, "scopes");
    const json_t *item;
    size_t i;

    if (json_array_size(list) == 0 || json_array_size(list) > HW_SCOPES_MAX)
        return hw_problem_set(p, HW_PROBLEM_INVALID_REQUEST, "scopes",
                              "scopes is a list of 1 to %d scopes, as webhooks:manage.",
                              HW_SCOPES_MAX);
    json_array_foreach (list, i, item)
        if (!add_scope(t, item, p))
            return false;
    t->powers = hw_scopes_powers(&t->scopes);
    return true;
}

static bool read_expiry(struct hw_token *t, const json_t *body, struct hw_problem *p)
{
    const json_t *value = json_object_get(body, "expires_at");

    if (value == NULL || json_is_null(value))
        return true; /* never */
    if (!hw_timestamp_parse(&t->expires_ms, hw_slice_str(json_string_value(value))))
        return hw_problem_set(p, HW_PROBLEM_INVALID_REQUEST, "expires_at",
                              "expires_at is null, or an RFC 3339 time, as "
                              "2030-01-01T00:00:00Z.");
    if (t->expires_ms <= t->created_ms)
        return hw_problem_set(p, HW_PROBLEM_INVALID_REQUEST, "expires_at",
                              "expires_at has passed; name a time to come.");
    return true;
}

static bool read_token(struct hw_token *t, json_t *body, struct hw_problem *p)
{
    static const struct hw_text_rule name_rule = { .name = "name",
                                                   .max_bytes = NAME_MAX_BYTES,
                                                   .is_optional = true };
    const char *name;

    return hw_body_check(body, "account scopes name expires_at", p) &&
           read_account(t, body, p) && read_scopes(t, body, p) &&
           hw_body_text(body, &name_rule, &name, p) && set_text(&t->name, name, p) &&
           read_expiry(t, body, p);
}

static void make_text(char out[HW_TOKEN_TEXT_MAX])
{
    unsigned char bytes[32];
    char *at = out + snprintf(out, HW_TOKEN_TEXT_MAX, "%s", HW_TOKEN_PREFIX);

    hw_random_bytes(bytes, sizeof bytes);
    for (size_t i = 0; i < sizeof bytes; i++)
        at += snprintf(at, 3, "%02x", bytes[i]);
}

/* The answer has the token's text, and nothing else will ever have it. */
static bool make_answer(struct hw_call *call, struct hw_problem *p)
{
    char text[HW_TOKEN_TEXT_MAX];

    hw_id_random("tok_", call->token->id);
    make_text(text);
    hw_sha256_hex(hw_slice_str(text), call->token->hash);
    call->answer = token_json(call->token);
    return json_object_set_new(call->answer, "token", json_string(text)) == 0 || no_memory(p);
}

static bool prepare(struct hw_call *call, struct hw_problem *p)
{
    if (!hw_call_is_json(call, p))
        return false;
    call->body_json = hw_form_object(call->body, p);
    if (call->body_json == NULL)
        return false;
    call->token = hw_token_new();
    if (call->token == NULL)
        return no_memory(p);
    call->token->created_ms = hw_loop_unix(call->api->loop);
    return read_token(call->token, call->body_json, p) && make_answer(call, p);
}

static void on_issued(struct hw_backend_req *req)
{
    struct hw_call *call = hw_call_of(req);
    json_t *answer = call->answer;

    if (req->result != HW_BACKEND_OK) {
        hw_call_refuse_result(call, req->result, "token");
        return;
    }
    call->answer = NULL;
    hw_call_json(call, 201, answer);
}

void hw_issue_create(struct hw_call *call)
{
    const struct hw_backend *backend = call->api->options.backend;
    struct hw_problem p;

    if (!prepare(call, &p)) {
        hw_call_refuse(call, &p);
        return;
    }
    call->ask.book = (struct hw_backend_book){ .req.cb = on_issued, .token = call->token };
    backend->put_token(backend->data, &call->ask.book);
}

/* --- list --------------------------------------------------------------------------- */

typedef const struct hw_token *token_ref;

/* Places sort as the tokens do: by time, then by id. */
static void place_of(const struct hw_token *t, unsigned char place[PLACE_BYTES])
{
    unsigned char *at = hw_place_put(place, (uint64_t)t->created_ms, 8);
    const char *digits = t->id + strcspn(t->id, "_");

    memset(at, 0, ID_DIGITS);
    if (*digits == '_')
        memcpy(at, digits + 1, strnlen(digits + 1, ID_DIGITS));
}

/* Newest first. */
static int compare(const void *a, const void *b)
{
    unsigned char left[PLACE_BYTES], right[PLACE_BYTES];

    place_of(*(const token_ref *)a, left);
    place_of(*(const token_ref *)b, right);
    return memcmp(right, left, PLACE_BYTES);
}

/* Of the account asked for, and on the asked side of the cursor? */
static bool is_wanted(const struct hw_page *page, const char *account,
                      const struct hw_token *t)
{
    unsigned char place[PLACE_BYTES];
    int order;

    if (account != NULL && strcmp(account, t->account) != 0)
        return false;
    if (!page->has_place)
        return true;
    place_of(t, place);
    order = memcmp(place, page->place, PLACE_BYTES);
    return page->is_newer ? order > 0 : order < 0;
}

static size_t pick(const struct hw_token_book *book, const struct hw_page *page,
                   const char *account, token_ref *picked)
{
    size_t n_picked = 0;

    for (struct hw_map_entry *e = hw_map_next(&book->tokens, NULL); e != NULL;
         e = hw_map_next(&book->tokens, e)) {
        token_ref t = HW_CONTAINER_OF(e, struct hw_token, entry);

        if (is_wanted(page, account, t))
            picked[n_picked++] = t;
    }
    qsort(picked, n_picked, sizeof *picked, compare);
    return n_picked;
}

static json_t *page_json(const struct hw_page *page, const token_ref *picked, size_t n_picked)
{
    unsigned char newest[PLACE_BYTES], oldest[PLACE_BYTES];
    bool has_more = n_picked > page->limit;
    json_t *data = json_array();

    if (has_more && page->is_newer) /* the ones next to the cursor are the last */
        picked += n_picked - page->limit;
    if (has_more)
        n_picked = page->limit;
    for (size_t i = 0; i < n_picked; i++)
        json_array_append_new(data, token_json(picked[i]));
    if (n_picked > 0) {
        place_of(picked[0], newest);
        place_of(picked[n_picked - 1], oldest);
    }
    return hw_page_json(page, data, has_more, n_picked > 0 ? oldest : NULL,
                        n_picked > 0 ? newest : NULL);
}

static bool read_query(const struct hw_call *call, struct hw_page *page, struct hw_problem *p)
{
    const char *account = hw_target_find(&call->target, "account");

    if (account != NULL && !hw_entry_account_is_valid(hw_slice_str(account)))
        return hw_problem_set(p, HW_PROBLEM_INVALID_REQUEST, "account",
                              "account is 1 to 64 letters, digits, _ or -; left out: all.");
    return hw_page_read(page, &call->target, HW_CURSOR_TOKENS, PLACE_BYTES, p);
}

static void on_listed(struct hw_backend_req *req)
{
    struct hw_call *call = hw_call_of(req);
    const struct hw_backend *backend = call->api->options.backend;
    const struct hw_token_book *book = backend->tokens(backend->data);
    struct hw_page page;
    struct hw_problem p;
    token_ref *picked;
    json_t *body = NULL;

    if (req->result != HW_BACKEND_OK) {
        hw_call_refuse_result(call, req->result, "token");
        return;
    }
    if (!read_query(call, &page, &p)) {
        hw_call_refuse(call, &p);
        return;
    }
    picked = hw_malloc((book->n_tokens + 1) * sizeof *picked);
    if (picked != NULL)
        body = page_json(&page, picked,
                         pick(book, &page, hw_target_find(&call->target, "account"), picked));
    hw_free(picked);
    hw_call_json(call, 200, body);
}

void hw_issue_list(struct hw_call *call)
{
    const struct hw_backend *backend = call->api->options.backend;
    struct hw_page page;
    struct hw_problem p;

    if (!read_query(call, &page, &p)) {
        hw_call_refuse(call, &p);
        return;
    }
    call->ask.book = (struct hw_backend_book){ .req.cb = on_listed };
    backend->refresh_tokens(backend->data, &call->ask.book);
}

/* --- delete ------------------------------------------------------------------------- */

static void on_deleted(struct hw_backend_req *req)
{
    struct hw_call *call = hw_call_of(req);

    if (req->result != HW_BACKEND_OK)
        hw_call_refuse_result(call, req->result, "token");
    else
        hw_call_nothing(call);
}

void hw_issue_delete(struct hw_call *call)
{
    const struct hw_backend *backend = call->api->options.backend;

    call->ask.book =
        (struct hw_backend_book){ .req.cb = on_deleted, .key = call->match.values[0] };
    backend->drop_token(backend->data, &call->ask.book);
}
