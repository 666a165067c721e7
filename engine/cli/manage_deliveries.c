/* hookwheel deliveries: what went where, how it went, and again. */
#include "cli/inspect.h"
#include "cli/listing.h"
#include "cli/manage.h"
#include "cli/tail.h"
#include "cli/values.h"

#define BASE "/v1/deliveries"

static const char *const statuses[] = { "pending", "delivering",  "delivered",
                                        "failed",  "dead_letter", NULL };

static const struct hw_flag own_rows[] = {
    { "status", HW_FLAG_CHOICE, "STATUS", HW_WISH_AT(status), .choices = statuses,
      .help = "only pending, delivering, delivered, failed, dead_letter" },
};

static void list_row(struct hw_table *t, const json_t *delivery, hw_unix_ms now)
{
    hw_values_add(t, delivery, "id");
    hw_values_add_status(t, delivery, "status");
    hw_values_add(t, delivery, "event_type");
    hw_values_add(t, delivery, "subject");
    hw_values_add(t, delivery, "attempts");
    hw_values_add(t, delivery, "response_code");
    hw_values_add(t, json_object_get(delivery, "error"), "kind");
    hw_values_add_age(t, delivery, "created_at", now);
    hw_values_add_age(t, delivery, "next_attempt_at", now);
    hw_values_add(t, delivery, "webhook_id");
}

static void add_filters(struct hw_shell *s)
{
    const struct hw_wishes *w = &s->wishes;

    hw_shell_where(s, "account", w->account);
    hw_shell_where(s, "webhook_id", w->webhook);
    hw_shell_where(s, "event_id", w->event);
    hw_shell_where(s, "subject", w->subject);
}

static int list(struct hw_shell *s)
{
    static const struct hw_column columns[] = {
        { "ID", 0, 0, false },       { "STATUS", 0, 0, false },  { "TYPE", 14, 0, false },
        { "SUBJECT", 12, 6, false }, { "TRIES", 0, 2, true },    { "CODE", 0, 1, true },
        { "ERROR", 8, 3, false },    { "CREATED", 0, 0, false }, { "NEXT", 0, 4, false },
        { "WEBHOOK", 0, 5, false },
    };
    static const struct hw_listing listing = { "deliveries", columns,
                                               sizeof columns / sizeof *columns, list_row };
    char since[HW_SHELL_TIME_MAX], until[HW_SHELL_TIME_MAX];

    if (!hw_shell_time_before(s, "since", s->wishes.since, since) ||
        !hw_shell_time_before(s, "until", s->wishes.until, until))
        return 2;
    hw_shell_to(s, BASE, NULL, NULL);
    add_filters(s);
    if (hw_shell_given(s, "status"))
        hw_shell_where(s, "status", statuses[s->wishes.status]);
    hw_shell_where(s, "since", since[0] ? since : NULL);
    hw_shell_where(s, "until", until[0] ? until : NULL);
    return hw_listing_run(s, &listing);
}

static int get(struct hw_shell *s)
{
    json_t *delivery;

    hw_shell_to(s, BASE, s->word, NULL);
    if (!hw_shell_ask(s, "GET", NULL, &delivery))
        return 1;
    return hw_inspect_show(s, delivery);
}

static void add_again(struct hw_table *t, const json_t *delivery, hw_unix_ms now)
{
    (void)now;
    hw_values_row(t, "id", delivery, "id");
    hw_values_row_status(t, "status", delivery, "status");
}

static int redeliver(struct hw_shell *s)
{
    hw_shell_to(s, BASE, s->word, "/redeliver");
    return hw_shell_ask_and_show(s, "POST", NULL, add_again);
}

static int tail(struct hw_shell *s)
{
    const char *status = hw_shell_given(s, "status") ? statuses[s->wishes.status] : NULL;

    hw_shell_to(s, BASE, NULL, NULL);
    add_filters(s);
    return hw_tail_run(s, status);
}

/* clang-format off */
static const struct hw_verb verbs[] = {
    { "list", "", "account webhook event subject status since until limit cursor all", "the newest first",
      "list --status dead_letter --since 1d --all", list },
    { "get", "ID", "", "one with its attempts, the request and the responses", "get dlv_1-42", get },
    { "redeliver", "ID", "", "make it again, whatever became of it", "redeliver dlv_1-42", redeliver },
    { "tail", "", "account webhook event subject status", "follow them: each as it appears and as it changes",
      "tail --status failed", tail },
};
/* clang-format on */

const struct hw_family hw_manage_deliveries = {
    .name = "deliveries",
    .help = "look at deliveries, and make them again",
    .example = "list --status dead_letter --since 1d",
    .verbs = verbs,
    .n_verbs = sizeof verbs / sizeof *verbs,
    .rows = own_rows,
    .n_rows = sizeof own_rows / sizeof *own_rows,
};
