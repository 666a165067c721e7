/*
 * wishes - what a call of a command that asks the API (webhooks, deliveries, updates ...)
 * wants: every flag of these commands, in one struct and one table.
 *
 * A verb names the flags it takes ("url event-types subject"); its rows are copied together,
 * so that --help, parsing and completion see those alone, in that order.  All take the
 * flags that say where the API is and who asks.
 *
 * Memory    borrows from argv and the environment, but for the list of headers.
 */
#ifndef HW_CLI_WISHES_H
#define HW_CLI_WISHES_H

#include "flags.h"

#define HW_WISHES_ROWS_MAX 32

struct hw_wishes {
    /* where the API is, who asks, how it is shown */
    const char *api_url, *api_token, *api_token_file, *data_dir, *ca_file;
    bool is_json, wants_help;
    /* which ones */
    const char *account, *webhook, *event, *subject, *since, *until, *cursor;
    int status; /* its position in the family's list */
    unsigned limit;
    bool wants_all;
    /* a webhook */
    const char *url, *event_types, *name, *signature_header, *secret, *once_key;
    struct hw_texts headers;
    int level, format;
    bool includes_raw;
    unsigned max_in_flight, rate_limit;
    uint64_t overlap_ms;
    /* events of the feed */
    const char *types, *from, *backfill_from, *event_ids;
    bool follows, wants_new;
    uint64_t visibility_ms;
    /* a token, an event type */
    const char *scopes, *expires, *group, *title, *description, *required_scope;
};

/* Rows that say something else than the common ones of the same name. */
struct hw_wishes_own {
    const struct hw_flag *rows;
    size_t n_rows;
};
#define HW_WISHES_OWN(rows) { rows, sizeof rows / sizeof *rows }

/* The rows one verb takes: those named in `names`, the verb's own before the family's before the
 * common ones, and the ones that all take. */
struct hw_wishes_rows {
    struct hw_flag rows[HW_WISHES_ROWS_MAX];
    bool given[HW_WISHES_ROWS_MAX];
    size_t n_rows;
    size_t n_own; /* the first so many are the verb's */
};
void hw_wishes_pick(struct hw_wishes_rows *r, const char *names, struct hw_wishes_own verb,
                    struct hw_wishes_own family);

/* Was that flag there, an empty one too? */
bool hw_wishes_given(const struct hw_wishes_rows *r, const char *name);

/* What --level and --format may be, by position; NULL behind the last. */
extern const char *const hw_wishes_levels[];
extern const char *const hw_wishes_formats[];

#define HW_WISH_AT(field) .offset = offsetof(struct hw_wishes, field), .traits = HW_FLAG_NO_ENV

#endif
