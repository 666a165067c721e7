/*
 *   follow:  ask for what is behind the cursor, waiting for it  ->  show  ->  the next cursor
 *
 *   no answer, 429, 5xx   told once; tried again every second (the first time: 1)
 *   any other refusal     told; 1.  410: the feed no longer goes back to that cursor, and the
 *                         line names the oldest one that does
 *   nobody reads          1
 *   a signal              0
 */
#include "cli/updates.h"

#include <uv.h>

#include "cli/records.h"

#define BASE "/v1/updates"

enum { WAIT_S = 30, PAUSE_MS = 1000, LIMIT_OTHERWISE = 200 };

struct follow {
    struct hw_shell *shell; /* borrowed */
    struct hw_records records;
    char cursor[HW_CURSOR_MAX]; /* of what was shown last, or passed; "": the start */
    bool has_begun;             /* there was an answer */
    bool is_passing;            /* what was there before is not shown */
    bool is_troubled;           /* the last question had no answer, and that was told */
};

/* --- following --------------------------------------------------------------------- */

static bool passes(const struct hw_shell *s)
{
    int status = s->fetch.response.status;

    return s->failure.status != HW_OK || status == 429 || status >= 500;
}

/* The exit code, or -1: go on. */
static int on_trouble(struct follow *f)
{
    struct hw_shell *s = f->shell;

    if (s->failure.status == HW_ECANCELED)
        return 0;
    if (!f->has_begun || !passes(s))
        return 1;
    f->is_troubled = true;
    return hw_fetch_wait(&s->fetch, PAUSE_MS) ? -1 : 0;
}

static bool ask(struct follow *f)
{
    const struct hw_wishes *w = &f->shell->wishes;
    const char *cursor = f->cursor[0] != '\0' ? f->cursor : NULL;
    unsigned limit = w->limit > 0 ? w->limit : LIMIT_OTHERWISE;
    bool is_good;

    f->shell->is_silent = f->is_troubled;
    is_good = hw_records_get(&f->records, cursor, limit, f->is_passing ? 0 : WAIT_S);
    f->shell->is_silent = false;
    return is_good;
}

/* The exit code, or -1: go on. */
static int take(struct follow *f)
{
    if (f->is_troubled)
        fprintf(stderr, "hookwheel updates: it answers again\n");
    f->is_troubled = false;
    f->has_begun = true;
    if (!f->is_passing && !hw_records_show(&f->records))
        return 1;
    if (f->records.next[0] != '\0')
        memcpy(f->cursor, f->records.next, sizeof f->cursor);
    f->is_passing = f->is_passing && f->records.has_more;
    return -1;
}

/* An engine that is asked to stop, or cannot wait, answers at once with nothing. */
static bool pause_after(struct follow *f, uint64_t asked_ns)
{
    const struct hw_records *r = &f->records;

    if (!r->is_empty || r->has_more || uv_hrtime() - asked_ns >= PAUSE_MS * UINT64_C(1000000))
        return true;
    return hw_fetch_wait(&f->shell->fetch, PAUSE_MS);
}

static int follow(struct follow *f)
{
    int exit_code = -1;

    f->shell->fetch.timeout_ms += WAIT_S * 1000;
    hw_fetch_watch(&f->shell->fetch);
    while (exit_code < 0) {
        uint64_t asked_ns = uv_hrtime();

        exit_code = ask(f) ? take(f) : on_trouble(f);
        if (exit_code < 0 && !f->is_troubled && !pause_after(f, asked_ns))
            exit_code = 0;
    }
    return f->shell->fetch.is_unread ? 1 : exit_code;
}

/* --- the command ------------------------------------------------------------------- */

static void tell_next(const struct hw_shell *s, const char *cursor, bool has_more)
{
    char line[HW_CURSOR_MAX + 64];

    if (cursor[0] == '\0')
        return;
    snprintf(line, sizeof line, "next cursor: %s%s", cursor,
             has_more ? " (there are more: --all)" : "");
    hw_shell_remark(s, line);
}

static int run_follow(struct hw_shell *s)
{
    struct follow f = { .shell = s, .is_passing = s->wishes.wants_new };
    int exit_code;

    if (s->wishes.cursor != NULL &&
        snprintf(f.cursor, sizeof f.cursor, "%s", s->wishes.cursor) >= (int)sizeof f.cursor)
        return hw_shell_usage(s, "--cursor: no cursor is that long");
    hw_records_init(&f.records, s);
    exit_code = follow(&f);
    hw_records_close(&f.records);
    if (exit_code == 0)
        tell_next(s, f.cursor, false);
    return exit_code;
}

static int run_list(struct hw_shell *s)
{
    struct hw_records records;
    int exit_code;

    hw_records_init(&records, s);
    exit_code = hw_records_list(&records);
    hw_records_close(&records);
    if (exit_code == 0)
        tell_next(s, records.next, records.has_more);
    return exit_code;
}

static int run(struct hw_shell *s)
{
    const struct hw_wishes *w = &s->wishes;

    if (w->wants_new && !w->follows)
        return hw_shell_usage(s, "--new goes with --follow");
    if (w->wants_new && w->cursor != NULL)
        return hw_shell_usage(s, "--new and --cursor are two places to begin at");
    hw_shell_to(s, BASE, NULL, NULL);
    hw_shell_where(s, "account", w->account);
    hw_shell_where(s, "types", w->types);
    hw_shell_where(s, "subject", w->subject);
    return w->follows ? run_follow(s) : run_list(s);
}

static const struct hw_flag own_rows[] = {
    { "cursor", HW_FLAG_TEXT, "CURSOR", HW_WISH_AT(cursor),
      .otherwise = "start of what is kept", .help = "only what is behind it" },
    { "all", HW_FLAG_SWITCH, NULL, HW_WISH_AT(wants_all), .help = "every page, to the end" },
    { "json", HW_FLAG_SWITCH, NULL, HW_WISH_AT(is_json),
      .help = "print each record with its cursor, one a line" },
};

static const struct hw_verb_own verb_rows = { "", HW_WISHES_OWN(own_rows) };

static const struct hw_verb verb = {
    .name = "",
    .words = "",
    .flags = "follow new cursor types subject account limit all",
    .help = "events in the order of their acceptance, oldest first",
    .example = "--follow --types order.created,order.paid",
    .run = run,
};

const struct hw_family hw_updates = {
    .name = "updates",
    .help = "the feed of events",
    .example = "--follow",
    .verbs = &verb,
    .n_verbs = 1,
    .verb_rows = &verb_rows,
    .n_verb_rows = 1,
};
