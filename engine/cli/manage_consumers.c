/* hookwheel consumers: events pulled and acknowledged under a name. */
#include "cli/draft.h"
#include "cli/listing.h"
#include "cli/manage.h"
#include "cli/records.h"
#include "cli/values.h"

#define BASE "/v1/consumers"

enum { IDS_TOLD = 10 };

static void to_consumer(struct hw_shell *s, const char *tail)
{
    hw_shell_to(s, BASE, s->word, tail);
    hw_shell_where(s, "account", s->wishes.account);
}

/* --- list -------------------------------------------------------------------------- */

static void list_row(struct hw_table *t, const json_t *consumer, hw_unix_ms now)
{
    hw_values_add(t, consumer, "name");
    hw_values_add(t, consumer, "lag");
    hw_values_add(t, consumer, "handed_out");
    hw_values_add(t, consumer, "skipped");
    hw_values_add_age(t, consumer, "created_at", now);
    hw_values_add(t, consumer, "position");
}

static int list(struct hw_shell *s)
{
    static const struct hw_column columns[] = {
        { "NAME", 0, 0, false },   { "LAG", 0, 0, true },      { "HANDED OUT", 0, 0, true },
        { "SKIPPED", 0, 0, true }, { "CREATED", 0, 2, false }, { "POSITION", 0, 1, false },
    };
    static const struct hw_listing listing = { "consumers", columns,
                                               sizeof columns / sizeof *columns, list_row };

    to_consumer(s, NULL);
    return hw_listing_run(s, &listing);
}

/* --- pull, pending ----------------------------------------------------------------- */

/* By their ids: all up to a cursor may be with others, too. */
static void tell_how_to_acknowledge(struct hw_shell *s, const struct hw_records *r)
{
    const char *account = s->wishes.account;
    struct hw_buf ids, line;

    hw_buf_init(&ids, SIZE_MAX);
    hw_buf_init(&line, SIZE_MAX);
    if (hw_records_ids(r, &ids) > IDS_TOLD) {
        hw_buf_reset(&ids);
        hw_buf_append_str(&ids, "ID,ID,...");
    }
    hw_buf_appendf(&line, "acknowledge: hookwheel consumers ack %s%s%s --events %s", s->word,
                   account ? " --account " : "", account ? account : "", hw_buf_str(&ids));
    if (hw_buf_str(&line) != NULL)
        hw_shell_remark(s, hw_buf_str(&line));
    hw_buf_close(&line);
    hw_buf_close(&ids);
}

/* What this token may not read is passed over, so much a call. */
static bool pull_some(struct hw_shell *s, struct hw_records *r)
{
    do
        if (!hw_records_get(r, NULL, s->wishes.limit, 0))
            return false;
    while (r->is_empty && r->has_more);
    return true;
}

static int show_pulled(struct hw_shell *s, struct hw_records *r)
{
    if (!pull_some(s, r) || !hw_records_show(r))
        return 1;
    if (r->is_empty)
        hw_shell_remark(s, "No events.");
    else
        tell_how_to_acknowledge(s, r);
    return 0;
}

static int pull(struct hw_shell *s)
{
    struct hw_records records;
    char visibility[24];
    int exit_code;

    to_consumer(s, "/events");
    snprintf(visibility, sizeof visibility, "%llu",
             (unsigned long long)(s->wishes.visibility_ms + 999) / 1000);
    hw_shell_where(s, "visibility_seconds", s->wishes.visibility_ms > 0 ? visibility : NULL);
    hw_shell_where(s, "from", s->wishes.from);
    hw_records_init(&records, s);
    exit_code = show_pulled(s, &records);
    hw_records_close(&records);
    return exit_code;
}

static void tell_more(struct hw_shell *s, const char *next)
{
    char line[HW_CURSOR_MAX + 64];

    snprintf(line, sizeof line, "There are more: --all, or --cursor %s", next);
    hw_shell_remark(s, line);
}

static int pending(struct hw_shell *s)
{
    struct hw_records records;
    int exit_code;

    to_consumer(s, "/pending");
    hw_records_init(&records, s);
    exit_code = hw_records_list(&records);
    if (exit_code == 0 && records.has_more)
        tell_more(s, records.next);
    hw_records_close(&records);
    return exit_code;
}

/* --- ack, delete ------------------------------------------------------------------- */

static void add_acknowledged(struct hw_table *t, const json_t *answer, hw_unix_ms now)
{
    (void)now;
    hw_values_row(t, "acknowledged", answer, "acknowledged");
}

static int ack(struct hw_shell *s)
{
    const struct hw_wishes *w = &s->wishes;
    json_t *body;
    bool is_good;

    if ((w->event_ids != NULL) == (w->cursor != NULL))
        return hw_shell_usage(s, "wants --events ID,ID or --cursor CURSOR (see --help)");
    body = json_object();
    if (w->event_ids != NULL)
        is_good = hw_draft_set(s, body, "event_ids", hw_draft_list(w->event_ids));
    else
        is_good = hw_draft_set(s, body, "cursor", json_string(w->cursor));
    if (!is_good) {
        json_decref(body);
        return 2;
    }
    to_consumer(s, "/ack");
    return hw_shell_ask_and_show(s, "POST", body, add_acknowledged);
}

static int delete (struct hw_shell *s)
{
    to_consumer(s, NULL);
    return hw_shell_delete(s);
}

/* --- the table --------------------------------------------------------------------- */

#define RECORDS "print each record with its cursor, one a line"

/* clang-format off */
static const struct hw_flag pull_rows[] = {
    { "from", HW_FLAG_TEXT, "CURSOR", HW_WISH_AT(from), .otherwise = "start of what is kept",
      .help = "where it begins, if it is new" },
    { "json", HW_FLAG_SWITCH, NULL, HW_WISH_AT(is_json), .help = RECORDS },
};

static const struct hw_flag pending_rows[] = {
    { "json", HW_FLAG_SWITCH, NULL, HW_WISH_AT(is_json), .help = RECORDS },
};

static const struct hw_flag ack_rows[] = {
    { "cursor", HW_FLAG_TEXT, "CURSOR", HW_WISH_AT(cursor), .help = "all up to this one" },
};

static const struct hw_flag own_rows[] = {
    { "limit", HW_FLAG_COUNT, "N", HW_WISH_AT(limit), .min = 1, .max = 200, .otherwise = "50",
      .help = "at most so many" },
};

static const struct hw_verb_own verb_rows[] = {
    { "pull", HW_WISHES_OWN(pull_rows) },
    { "pending", HW_WISHES_OWN(pending_rows) },
    { "ack", HW_WISHES_OWN(ack_rows) },
};

static const struct hw_verb verbs[] = {
    { "list", "", "account", "those of an account: how far they are, what they have out",
      "list --account acct_1", list },
    { "pull", "NAME", "limit visibility from account", "take the next events, to be acknowledged",
      "pull shop --limit 10 --json", pull },
    { "pending", "NAME", "limit cursor all account", "what is handed out and not acknowledged",
      "pending shop", pending },
    { "ack", "NAME", "events cursor account", "acknowledge: these, or all up to a cursor",
      "ack shop --events evt_06f...,evt_06g...", ack },
    { "delete", "NAME", "account", "end it, and forget how far it was", "delete shop", delete },
};
/* clang-format on */

const struct hw_family hw_manage_consumers = {
    .name = "consumers",
    .help = "pull events under a name, and acknowledge them",
    .example = "pull shop --limit 10",
    .verbs = verbs,
    .n_verbs = sizeof verbs / sizeof *verbs,
    .rows = own_rows,
    .n_rows = sizeof own_rows / sizeof *own_rows,
    .verb_rows = verb_rows,
    .n_verb_rows = sizeof verb_rows / sizeof *verb_rows,
};
