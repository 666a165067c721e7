#include "cli/wishes.h"

#include "base/must.h"

#define DAY_MS UINT64_C(86400000)

const char *const hw_wishes_levels[] = { "user", "progress", NULL };
const char *const hw_wishes_formats[] = { "record", "raw", NULL };

#define AT(field)  HW_WISH_AT(field)
#define ENV(field) .offset = offsetof(struct hw_wishes, field)

/* clang-format off */
static const struct hw_flag shared[] = {
    { "json", HW_FLAG_SWITCH, NULL, AT(is_json), .help = "print what the API says" },
    { "api-url", HW_FLAG_TEXT, "URL", AT(api_url), .otherwise = "HOOKWHEEL_URL, http://127.0.0.1:8420",
      .help = "where the API is" },
    { "api-token", HW_FLAG_SECRET, "TOKEN", ENV(api_token), .otherwise = "HOOKWHEEL_API_TOKEN",
      .help = "who asks" },
    { "api-token-file", HW_FLAG_TEXT, "FILE", ENV(api_token_file), .otherwise = "<data-dir>/root-token",
      .help = "file to read the token from" },
    { "data-dir", HW_FLAG_TEXT, "DIR", ENV(data_dir), .otherwise = "./hookwheel-data",
      .help = "of an engine on this machine" },
    { "ca-file", HW_FLAG_TEXT, "FILE", ENV(ca_file), .help = "more trusted roots for https://, PEM" },
    { "help", HW_FLAG_SWITCH, NULL, AT(wants_help), .help = "print this and exit" },
};

static const struct hw_flag rows[] = {
    { "account", HW_FLAG_TEXT, "NAME", AT(account), .otherwise = "the token's, default", .help = "whose" },
    { "webhook", HW_FLAG_TEXT, "ID", AT(webhook), .help = "only this webhook's" },
    { "event", HW_FLAG_TEXT, "ID", AT(event), .help = "only of this event" },
    { "subject", HW_FLAG_TEXT, "TEXT", AT(subject), .help = "only events about this" },
    { "since", HW_FLAG_TEXT, "TIME", AT(since), .help = "created then or later: 2h (ago), or RFC 3339" },
    { "until", HW_FLAG_TEXT, "TIME", AT(until), .otherwise = "now", .help = "created before then: 1h (ago), or RFC 3339" },
    { "limit", HW_FLAG_COUNT, "N", AT(limit), .min = 1, .max = 200, .otherwise = "50, with --all 200",
      .help = "of one page" },
    { "cursor", HW_FLAG_TEXT, "CURSOR", AT(cursor), .help = "the page that another one named" },
    { "all", HW_FLAG_SWITCH, NULL, AT(wants_all), .help = "every page; with --json one object a line" },

    { "url", HW_FLAG_TEXT, "URL", AT(url), .help = "where deliveries go" },
    { "event-types", HW_FLAG_TEXT, "A,B", AT(event_types), .otherwise = "all", .help = "types it receives" },
    { "name", HW_FLAG_TEXT, "TEXT", AT(name), .help = "for people" },
    { "level", HW_FLAG_CHOICE, "LEVEL", AT(level), .choices = hw_wishes_levels, .otherwise = "user",
      .help = "user, or progress: both levels" },
    { "format", HW_FLAG_CHOICE, "FORMAT", AT(format), .choices = hw_wishes_formats, .otherwise = "record",
      .help = "record, or raw: the payload alone" },
    { "include-raw", HW_FLAG_SWITCH, NULL, AT(includes_raw), .help = "with `raw` fields; =0: without" },
    { "header", HW_FLAG_TEXTS, "'NAME: VALUE'", AT(headers), .help = "sent with each delivery; may be repeated" },
    { "signature-header", HW_FLAG_TEXT, "NAME:FORMAT", AT(signature_header),
      .help = "an older signature too; FORMAT hex or sha256=hex" },
    { "max-in-flight", HW_FLAG_COUNT, "N", AT(max_in_flight), .min = 1, .max = 1000000, .help = "attempts at once" },
    { "rate-limit", HW_FLAG_COUNT, "N", AT(rate_limit), .min = 1, .max = 1000000000, .otherwise = "none",
      .help = "requests per second" },
    { "secret", HW_FLAG_SECRET, "WHSEC", AT(secret), .otherwise = "made", .help = "whsec_ and base64 of 24 to 64 bytes" },
    { "idempotency-key", HW_FLAG_TEXT, "TEXT", AT(once_key), .help = "the same key within 24 h creates once" },
    { "overlap", HW_FLAG_DURATION, "TIME", AT(overlap_ms), .max = 7 * DAY_MS, .otherwise = "1d",
      .help = "how long the secret before signs too" },

    { "types", HW_FLAG_TEXT, "A,B", AT(types), .otherwise = "all", .help = "only events of these types" },
    { "follow", HW_FLAG_SWITCH, NULL, AT(follows), .help = "go on with what comes, until Ctrl-C" },
    { "new", HW_FLAG_SWITCH, NULL, AT(wants_new), .help = "with --follow: only what comes from now on" },
    { "backfill-from", HW_FLAG_TEXT, "CURSOR|start", AT(backfill_from),
      .help = "kept events from there on too, behind live ones" },
    { "from", HW_FLAG_TEXT, "CURSOR|start", AT(from), .help = "behind this cursor, or all that is kept" },
    { "visibility", HW_FLAG_DURATION, "TIME", AT(visibility_ms), .min = 1000, .max = DAY_MS / 2,
      .otherwise = "30s", .help = "they come again so long after, unless acknowledged" },
    { "events", HW_FLAG_TEXT, "ID,ID", AT(event_ids), .help = "these" },

    { "scopes", HW_FLAG_TEXT, "A,B", AT(scopes), .help = "what it may do" },
    { "expires", HW_FLAG_TEXT, "TIME", AT(expires), .otherwise = "never", .help = "30d (from now), or RFC 3339" },
    { "group", HW_FLAG_TEXT, "TEXT", AT(group), .help = "what it is listed under" },
    { "title", HW_FLAG_TEXT, "TEXT", AT(title), .help = "for people" },
    { "description", HW_FLAG_TEXT, "TEXT", AT(description), .help = "when it happens, what it says" },
    { "required-scope", HW_FLAG_TEXT, "SCOPE", AT(required_scope), .otherwise = "events:read",
      .help = "what a token needs to read it" },
};
/* clang-format on */

static const struct hw_flag *find(const struct hw_flag *from, size_t n, struct hw_slice name)
{
    for (size_t i = 0; i < n; i++)
        if (hw_slice_is(name, from[i].name))
            return &from[i];
    return NULL;
}

static void add(struct hw_wishes_rows *r, const struct hw_flag *row)
{
    HW_MUST(row != NULL && r->n_rows < HW_WISHES_ROWS_MAX);
    r->rows[r->n_rows++] = *row;
}

void hw_wishes_pick(struct hw_wishes_rows *r, const char *names, struct hw_wishes_own verb,
                    struct hw_wishes_own family)
{
    *r = (struct hw_wishes_rows){ .n_rows = 0 };
    for (struct hw_slice rest = hw_slice_str(names); rest.len > 0;) {
        struct hw_slice name = hw_slice(rest.data, hw_slice_find(rest, ' '));
        const struct hw_flag *row = find(verb.rows, verb.n_rows, name);

        if (row == NULL)
            row = find(family.rows, family.n_rows, name);
        add(r, row ? row : find(rows, sizeof rows / sizeof *rows, name));
        rest = hw_slice_from(rest, name.len + 1);
    }
    r->n_own = r->n_rows;
    for (size_t i = 0; i < sizeof shared / sizeof *shared; i++) {
        const struct hw_flag *row = find(verb.rows, verb.n_rows, hw_slice_str(shared[i].name));

        add(r, row ? row : &shared[i]);
    }
}

bool hw_wishes_given(const struct hw_wishes_rows *r, const char *name)
{
    for (size_t i = 0; i < r->n_rows; i++)
        if (strcmp(r->rows[i].name, name) == 0)
            return r->given[i];
    return false;
}
