/* hookwheel webhooks: create, watch and repair them. */
#include "cli/draft.h"
#include "cli/listing.h"
#include "cli/manage.h"
#include "cli/values.h"
#include "cli/webhook_draft.h"

#define BASE "/v1/webhooks"

static const char *const statuses[] = { "active", "paused", "disabled", NULL };

static const struct hw_flag own_rows[] = {
    { "status", HW_FLAG_CHOICE, "STATUS", HW_WISH_AT(status), .choices = statuses,
      .help = "only active, paused or disabled ones" },
    { "subject", HW_FLAG_TEXT, "TEXT", HW_WISH_AT(subject), .help = "only events about this" },
    { "since", HW_FLAG_TEXT, "TIME", HW_WISH_AT(since),
      .help = "deliveries created then or later: 2h (ago), or RFC 3339" },
    { "until", HW_FLAG_TEXT, "TIME", HW_WISH_AT(until), .otherwise = "now",
      .help = "and before then: 1h (ago), or RFC 3339" },
};

/* --- one webhook ------------------------------------------------------------------- */

static void add_headers(struct hw_table *t, const json_t *webhook)
{
    const char *name;
    json_t *value;

    json_object_foreach (json_object_get(webhook, "headers"), name, value) {
        hw_table_adds(t, "header");
        hw_table_adds(t, name);
    }
}

static void add_signature(struct hw_table *t, const json_t *webhook)
{
    const json_t *header = json_object_get(webhook, "signature_header");
    struct hw_slice name = hw_values_text(header, "name");
    struct hw_slice format = hw_values_text(header, "format");
    struct hw_buf text;

    if (name.len == 0)
        return;
    hw_buf_init(&text, SIZE_MAX);
    hw_buf_append_slice(&text, name);
    hw_buf_append_char(&text, ':');
    hw_buf_append_slice(&text, format);
    hw_table_adds(t, "signature header");
    hw_table_add(t, hw_buf_slice(&text), HW_TONE_PLAIN);
    hw_buf_close(&text);
}

static void add_standing(struct hw_table *t, const json_t *webhook, hw_unix_ms now)
{
    hw_values_row_status(t, "status", webhook, "status");
    hw_values_row(t, "failures in a row", webhook, "consecutive_failures");
    hw_values_row_time(t, "last delivery", webhook, "last_delivery_at", now);
    hw_values_row_time(t, "disabled", webhook, "disabled_at", now);
    hw_values_row(t, "because", webhook, "disabled_reason");
    hw_values_row(t, "disabled cursor", webhook, "disabled_cursor");
    hw_values_row_time(t, "created", webhook, "created_at", now);
    hw_values_row_time(t, "updated", webhook, "updated_at", now);
}

static void add_webhook(struct hw_table *t, const json_t *webhook, hw_unix_ms now)
{
    hw_values_row(t, "id", webhook, "id");
    hw_values_row(t, "account", webhook, "account");
    hw_values_row(t, "name", webhook, "name");
    hw_values_row(t, "url", webhook, "url");
    if (json_is_array(json_object_get(webhook, "event_types")))
        hw_values_row(t, "event types", webhook, "event_types");
    else
        hw_values_row_text(t, "event types", "all");
    hw_values_row(t, "subject", webhook, "subject");
    hw_values_row(t, "level", webhook, "level");
    hw_values_row(t, "format", webhook, "format");
    hw_values_row(t, "include raw", webhook, "include_raw");
    add_headers(t, webhook);
    add_signature(t, webhook);
    hw_values_row(t, "max in flight", webhook, "max_in_flight");
    hw_values_row(t, "rate limit", webhook, "rate_limit");
    add_standing(t, webhook, now);
    hw_values_row(t, "secret", webhook, "secret");
}

/* POST; the answer has a new secret in it. */
static int ask_and_show_secret(struct hw_shell *s, json_t *body, hw_shell_add_cb add)
{
    json_t *answer;

    if (!hw_shell_ask(s, "POST", body, &answer))
        return 1;
    hw_shell_remark(s,
                    "The secret is shown this once: the receiver checks signatures with it.");
    return hw_shell_show(s, answer, add);
}

/* --- list, get, create, update, delete --------------------------------------------- */

static void list_row(struct hw_table *t, const json_t *webhook, hw_unix_ms now)
{
    bool has_types = json_is_array(json_object_get(webhook, "event_types"));

    hw_values_add(t, webhook, "id");
    hw_values_add_status(t, webhook, "status");
    hw_values_add(t, webhook, "name");
    hw_values_add(t, webhook, "url");
    if (has_types)
        hw_values_add(t, webhook, "event_types");
    else
        hw_table_adds(t, "all");
    hw_values_add(t, webhook, "subject");
    hw_values_add(t, webhook, "consecutive_failures");
    hw_values_add_age(t, webhook, "last_delivery_at", now);
    hw_values_add_age(t, webhook, "created_at", now);
}

static int list(struct hw_shell *s)
{
    static const struct hw_column columns[] = {
        { "ID", 0, 0, false },      { "STATUS", 0, 0, false },    { "NAME", 12, 4, false },
        { "URL", 32, 0, false },    { "TYPES", 16, 3, false },    { "SUBJECT", 12, 6, false },
        { "FAILURES", 0, 1, true }, { "DELIVERED", 0, 2, false }, { "CREATED", 0, 5, false },
    };
    static const struct hw_listing listing = { "webhooks", columns,
                                               sizeof columns / sizeof *columns, list_row };

    hw_shell_to(s, BASE, NULL, NULL);
    hw_shell_where(s, "account", s->wishes.account);
    hw_shell_where(s, "subject", s->wishes.subject);
    if (hw_shell_given(s, "status"))
        hw_shell_where(s, "status", statuses[s->wishes.status]);
    return hw_listing_run(s, &listing);
}

static int get(struct hw_shell *s)
{
    hw_shell_to(s, BASE, s->word, NULL);
    return hw_shell_ask_and_show(s, "GET", NULL, add_webhook);
}

static int create(struct hw_shell *s)
{
    json_t *body;

    if (s->wishes.url == NULL)
        return hw_shell_usage(s, "wants --url URL (see --help)");
    body = hw_webhook_draft_make(s);
    if (body == NULL)
        return 2;
    hw_shell_to(s, BASE, NULL, NULL);
    return ask_and_show_secret(s, body, add_webhook);
}

/* Takes `body`; NULL: it could not be made, and the line was printed. */
static int patch(struct hw_shell *s, json_t *body)
{
    if (body == NULL)
        return 2;
    hw_shell_to(s, BASE, s->word, NULL);
    return hw_shell_ask_and_show(s, "PATCH", body, add_webhook);
}

static int update(struct hw_shell *s)
{
    json_t *body = hw_webhook_draft_make(s);

    if (body == NULL)
        return 2;
    if (hw_shell_given(s, "backfill-from")) /* it goes with that alone */
        json_object_set_new(body, "status", json_string("active"));
    if (json_object_size(body) == 0) {
        json_decref(body);
        return hw_shell_usage(s, "nothing is to be changed (see --help)");
    }
    return patch(s, body);
}

static int delete (struct hw_shell *s)
{
    hw_shell_to(s, BASE, s->word, NULL);
    return hw_shell_delete(s);
}

/* --- rotate, test, pause, resume, recover, backfill ------------------------------------------ */

static void add_secret(struct hw_table *t, const json_t *secret, hw_unix_ms now)
{
    hw_values_row(t, "secret", secret, "secret");
    hw_values_row_time(t, "the one before is good until", secret, "previous_valid_until", now);
}

static int rotate(struct hw_shell *s)
{
    json_t *body = json_object();
    json_int_t overlap_s = (json_int_t)((s->wishes.overlap_ms + 999) / 1000);

    if (s->wishes.secret != NULL &&
        !hw_draft_set(s, body, "secret", json_string(s->wishes.secret))) {
        json_decref(body);
        return 2;
    }
    if (hw_shell_given(s, "overlap"))
        json_object_set_new(body, "overlap_seconds", json_integer(overlap_s));
    hw_shell_to(s, BASE, s->word, "/rotate-secret");
    return ask_and_show_secret(s, body, add_secret);
}

static void add_test(struct hw_table *t, const json_t *delivery, hw_unix_ms now)
{
    (void)now;
    hw_values_row(t, "delivery", delivery, "id");
    hw_values_row_status(t, "status", delivery, "status");
}

static int test(struct hw_shell *s)
{
    hw_shell_to(s, BASE, s->word, "/test");
    return hw_shell_ask_and_show(s, "POST", NULL, add_test);
}

static void add_count(struct hw_table *t, const json_t *answer, hw_unix_ms now)
{
    (void)now;
    hw_values_row(t, "queued again", answer, "count");
}

static void add_backfilled(struct hw_table *t, const json_t *answer, hw_unix_ms now)
{
    (void)now;
    hw_values_row(t, "queued", answer, "count");
}

static int recover(struct hw_shell *s)
{
    char since[HW_SHELL_TIME_MAX], until[HW_SHELL_TIME_MAX];
    json_t *body;

    if (s->wishes.since == NULL)
        return hw_shell_usage(s, "wants --since TIME (see --help)");
    if (!hw_shell_time_before(s, "since", s->wishes.since, since) ||
        !hw_shell_time_before(s, "until", s->wishes.until, until))
        return 2;
    body = json_pack("{s:s}", "since", since);
    if (until[0] != '\0')
        json_object_set_new(body, "until", json_string(until));
    hw_shell_to(s, BASE, s->word, "/recover");
    return hw_shell_ask_and_show(s, "POST", body, add_count);
}

static int pause_it(struct hw_shell *s)
{
    return patch(s, json_pack("{s:s}", "status", "paused"));
}

static int resume(struct hw_shell *s)
{
    json_t *body = hw_webhook_draft_make(s);

    if (body != NULL)
        json_object_set_new(body, "status", json_string("active"));
    return patch(s, body);
}

static int backfill(struct hw_shell *s)
{
    const struct hw_wishes *w = &s->wishes;
    json_t *body;

    if (w->from == NULL)
        return hw_shell_usage(s, "wants --from CURSOR, or --from start (see --help)");
    body = json_object();
    if (!hw_draft_set(s, body, "from", json_string(w->from)) ||
        (w->until != NULL && !hw_draft_set(s, body, "until", json_string(w->until)))) {
        json_decref(body);
        return 2;
    }
    hw_shell_to(s, BASE, s->word, "/backfill");
    return hw_shell_ask_and_show(s, "POST", body, add_backfilled);
}

/* --- the table --------------------------------------------------------------------- */

#define SHAPE                                                                                 \
    "event-types subject name level format include-raw header signature-header "              \
    "max-in-flight rate-limit"

/* clang-format off */
static const struct hw_flag resume_rows[] = {
    { "backfill-from", HW_FLAG_TEXT, "CURSOR|disabled", HW_WISH_AT(backfill_from),
      .help = "of a disabled one: it gets the events since then too" },
};

static const struct hw_flag update_rows[] = {
    { "backfill-from", HW_FLAG_TEXT, "CURSOR|disabled", HW_WISH_AT(backfill_from),
      .help = "of a disabled one: makes it active, and it gets the events since then too" },
};

static const struct hw_flag backfill_rows[] = {
    { "until", HW_FLAG_TEXT, "CURSOR", HW_WISH_AT(until), .otherwise = "the end",
      .help = "up to this cursor" },
};

static const struct hw_verb_own verb_rows[] = {
    { "update", HW_WISHES_OWN(update_rows) },
    { "resume", HW_WISHES_OWN(resume_rows) },
    { "backfill", HW_WISHES_OWN(backfill_rows) },
};

static const struct hw_verb verbs[] = {
    { "list", "", "account status subject limit cursor all", "those of an account, the newest first",
      "list --status disabled", list },
    { "create", "", "url account " SHAPE " secret backfill-from idempotency-key", "subscribe a URL to events",
      "create --url https://shop.example/hooks --event-types order.created,order.paid", create },
    { "get", "ID", "", "one with everything it is set to", "get wh_4g1x...", get },
    { "update", "ID", "url " SHAPE " backfill-from", "change what is given; an empty value clears (--name '')",
      "update wh_4g1x... --rate-limit 50 --subject ''", update },
    { "delete", "ID", "", "end it, and what waits for it", "delete wh_4g1x...", delete },
    { "rotate", "ID", "overlap secret", "give it a new secret; both sign for a while",
      "rotate wh_4g1x... --overlap 1h", rotate },
    { "test", "ID", "", "send a webhook.test to it now", "test wh_4g1x...", test },
    { "recover", "ID", "since until", "queue its dead letters of a time again",
      "recover wh_4g1x... --since 2h", recover },
    { "backfill", "ID", "from until", "queue kept events to it, behind live ones",
      "backfill wh_4g1x... --from start", backfill },
    { "pause", "ID", "", "let its deliveries wait", "pause wh_4g1x...", pause_it },
    { "resume", "ID", "backfill-from", "go on after a pause, or after it was disabled",
      "resume wh_4g1x... --backfill-from disabled", resume },
};
/* clang-format on */

const struct hw_family hw_manage_webhooks = {
    .name = "webhooks",
    .help = "subscribe, watch and repair webhooks",
    .example = "create --url https://shop.example/hooks --event-types order.created",
    .verbs = verbs,
    .n_verbs = sizeof verbs / sizeof *verbs,
    .rows = own_rows,
    .n_rows = sizeof own_rows / sizeof *own_rows,
    .verb_rows = verb_rows,
    .n_verb_rows = sizeof verb_rows / sizeof *verb_rows,
};
