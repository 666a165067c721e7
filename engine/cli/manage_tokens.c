/* hookwheel tokens: who may ask the API for what. */
#include "cli/draft.h"
#include "cli/listing.h"
#include "cli/manage.h"
#include "cli/values.h"

#define BASE "/v1/tokens"

static const struct hw_flag own_rows[] = {
    { "account", HW_FLAG_TEXT, "NAME", HW_WISH_AT(account),
      .help = "the account it is bound to" },
    { "scopes", HW_FLAG_TEXT, "A,B", HW_WISH_AT(scopes),
      .help = "webhooks:manage, deliveries:read, deliveries:write, events:write, events:read "
              "..." },
};

static void list_row(struct hw_table *t, const json_t *token, hw_unix_ms now)
{
    hw_values_add(t, token, "id");
    hw_values_add(t, token, "account");
    hw_values_add(t, token, "name");
    hw_values_add(t, token, "scopes");
    hw_values_add_age(t, token, "expires_at", now);
    hw_values_add_age(t, token, "created_at", now);
}

static int list(struct hw_shell *s)
{
    static const struct hw_column columns[] = {
        { "ID", 0, 0, false },      { "ACCOUNT", 8, 0, false }, { "NAME", 8, 2, false },
        { "SCOPES", 16, 0, false }, { "EXPIRES", 0, 1, false }, { "CREATED", 0, 3, false },
    };
    static const struct hw_listing listing = { "tokens", columns,
                                               sizeof columns / sizeof *columns, list_row };

    hw_shell_to(s, BASE, NULL, NULL);
    hw_shell_where(s, "account", s->wishes.account);
    return hw_listing_run(s, &listing);
}

static void add_token(struct hw_table *t, const json_t *token, hw_unix_ms now)
{
    hw_values_row(t, "id", token, "id");
    hw_values_row(t, "account", token, "account");
    hw_values_row(t, "name", token, "name");
    hw_values_row(t, "scopes", token, "scopes");
    hw_values_row_time(t, "expires", token, "expires_at", now);
    hw_values_row_time(t, "created", token, "created_at", now);
    hw_values_row(t, "token", token, "token");
}

static json_t *make_body(struct hw_shell *s, const char *expires)
{
    const struct hw_wishes *w = &s->wishes;
    json_t *body = json_object();

    if (hw_draft_set(s, body, "account", json_string(w->account)) &&
        hw_draft_set(s, body, "scopes", hw_draft_list(w->scopes)) &&
        (w->name == NULL || hw_draft_set(s, body, "name", json_string(w->name))) &&
        (expires[0] == '\0' || hw_draft_set(s, body, "expires_at", json_string(expires))))
        return body;
    json_decref(body);
    return NULL;
}

static int create(struct hw_shell *s)
{
    char expires[HW_SHELL_TIME_MAX];
    json_t *body, *token;

    if (s->wishes.account == NULL || s->wishes.scopes == NULL)
        return hw_shell_usage(s, "wants --account NAME and --scopes A,B (see --help)");
    if (!hw_shell_time_after(s, "expires", s->wishes.expires, expires))
        return 2;
    body = make_body(s, expires);
    if (body == NULL)
        return 2;
    hw_shell_to(s, BASE, NULL, NULL);
    if (!hw_shell_ask(s, "POST", body, &token))
        return 1;
    hw_shell_remark(s, "The token is shown this once: only its hash is kept.");
    return hw_shell_show(s, token, add_token);
}

static int delete (struct hw_shell *s)
{
    hw_shell_to(s, BASE, s->word, NULL);
    return hw_shell_delete(s);
}

/* clang-format off */
static const struct hw_verb verbs[] = {
    { "list", "", "account limit cursor all", "those of an account, or all", "list --account acct_1", list },
    { "create", "", "account scopes name expires", "make one; it is shown once",
      "create --account acct_1 --scopes webhooks:manage,events:read --expires 90d", create },
    { "delete", "ID", "", "end it", "delete tok_4g1x...", delete },
};
/* clang-format on */

const struct hw_family hw_manage_tokens = {
    .name = "tokens",
    .help = "make and end API tokens (needs the root token)",
    .example = "create --account acct_1 --scopes webhooks:manage,events:read",
    .verbs = verbs,
    .n_verbs = sizeof verbs / sizeof *verbs,
    .rows = own_rows,
    .n_rows = sizeof own_rows / sizeof *own_rows,
};
