/* hookwheel types: the catalogue of event types. */
#include "cli/draft.h"
#include "cli/listing.h"
#include "cli/manage.h"
#include "cli/values.h"

#define BASE "/v1/event-types"

static void list_row(struct hw_table *t, const json_t *type, hw_unix_ms now)
{
    (void)now;
    hw_values_add(t, type, "name");
    hw_values_add(t, type, "group");
    hw_values_add(t, type, "title");
    hw_values_add(t, type, "required_scope");
    hw_values_add(t, type, "description");
}

static int list(struct hw_shell *s)
{
    static const struct hw_column columns[] = {
        { "NAME", 0, 0, false },         { "GROUP", 8, 2, false },
        { "TITLE", 12, 3, false },       { "REQUIRED SCOPE", 0, 1, false },
        { "DESCRIPTION", 20, 4, false },
    };
    static const struct hw_listing listing = { "event types", columns,
                                               sizeof columns / sizeof *columns, list_row };

    hw_shell_to(s, BASE, NULL, NULL);
    return hw_listing_run(s, &listing);
}

static void add_type(struct hw_table *t, const json_t *type, hw_unix_ms now)
{
    hw_values_row(t, "name", type, "name");
    hw_values_row(t, "group", type, "group");
    hw_values_row(t, "title", type, "title");
    hw_values_row(t, "description", type, "description");
    hw_values_row(t, "required scope", type, "required_scope");
    hw_values_row_time(t, "created", type, "created_at", now);
    hw_values_row_time(t, "updated", type, "updated_at", now);
}

static int get(struct hw_shell *s)
{
    hw_shell_to(s, BASE, s->word, NULL);
    return hw_shell_ask_and_show(s, "GET", NULL, add_type);
}

static bool set_text(struct hw_shell *s, json_t *body, const char *name, const char *text)
{
    return text == NULL || hw_draft_set(s, body, name, json_string(text));
}

static json_t *make_body(struct hw_shell *s)
{
    const struct hw_wishes *w = &s->wishes;
    json_t *body = json_object();

    if (set_text(s, body, "group", w->group) && set_text(s, body, "title", w->title) &&
        set_text(s, body, "description", w->description) &&
        set_text(s, body, "required_scope", w->required_scope))
        return body;
    json_decref(body);
    return NULL;
}

static int set(struct hw_shell *s)
{
    json_t *body;

    if (s->wishes.group == NULL || s->wishes.description == NULL)
        return hw_shell_usage(s, "wants --group TEXT and --description TEXT (see --help)");
    body = make_body(s);
    if (body == NULL)
        return 2;
    hw_shell_to(s, BASE, s->word, NULL);
    return hw_shell_ask_and_show(s, "PUT", body, add_type);
}

static int delete (struct hw_shell *s)
{
    hw_shell_to(s, BASE, s->word, NULL);
    return hw_shell_delete(s);
}

/* clang-format off */
static const struct hw_verb verbs[] = {
    { "list", "", "", "the catalogue, by name", "list", list },
    { "get", "NAME", "", "one of them", "get order.paid", get },
    { "set", "NAME", "group title description required-scope", "add it to the catalogue, or say it anew",
      "set order.paid --group Orders --description 'An order was paid.' --required-scope orders:read", set },
    { "delete", "NAME", "", "take it out of the catalogue", "delete order.paid", delete },
};
/* clang-format on */

const struct hw_family hw_manage_types = {
    .name = "types",
    .help = "the catalogue of event types",
    .example = "set order.paid --group Orders --description 'An order was paid.'",
    .verbs = verbs,
    .n_verbs = sizeof verbs / sizeof *verbs,
};
