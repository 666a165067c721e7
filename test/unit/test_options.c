#include "check.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "cli/event_line.h"
#include "cli/lines.h"
#include "cli/seen.h"
#include "hookwheel/alloc.h"
#include "log.h"
#include "options.h"
#include "root_token.h"

enum { WORDS_MAX = 16 };

/* Read a command line: "--timeout 5s" and so on, after the command's name. */
static enum hw_status read_line(struct hw_options *o, struct hw_cause *cause, const char *line)
{
    static char text[1024];
    char *argv[WORDS_MAX] = { "serve" };
    int argc = 1;

    snprintf(text, sizeof text, "%s", line);
    for (char *at = text; *at != '\0' && argc < WORDS_MAX - 1;) {
        argv[argc++] = at;
        at += strcspn(at, " ");
        if (*at == ' ')
            *at++ = '\0';
    }
    hw_options_init(o);
    *cause = (struct hw_cause){ 0 };
    return hw_options_read(o, argc, argv, cause);
}

static void check_good(struct hw_options *o, const char *line)
{
    struct hw_cause cause;

    if (read_line(o, &cause, line) != HW_OK)
        CHECK_FAIL("%s: %s", line, cause.note);
}

static void check_bad(const char *line, const char *note)
{
    struct hw_options o;
    struct hw_cause cause;

    CHECK_INT(read_line(&o, &cause, line), ==, HW_EINVAL);
    CHECK_STR(cause.note, note);
}

/* --- settings ---------------------------------------------------------------------- */

/* Of a default as the help page has it: is it one that can be typed? */
static bool is_literal(const struct hw_flag *row)
{
    return row->otherwise != NULL && row->kind != HW_FLAG_HEADING &&
           strchr(row->otherwise, '<') == NULL && strchr(row->otherwise, ' ') == NULL;
}

CASE(table_shows_the_defaults_of_hw_config_init)
{
    struct hw_options plain, typed;
    struct hw_flag_set set = hw_options_flags(&typed, 0);
    struct hw_cause cause;
    unsigned n = 0;

    hw_options_init(&plain);
    hw_options_init(&typed);
    for (size_t i = 0; i < set.n_rows; i++) {
        const struct hw_flag *row = &set.rows[i];

        if (!is_literal(row))
            continue;
        n++;
        CHECK_INT(hw_flag_store(row, &typed, row->otherwise, row->name, &cause), ==, HW_OK);
        if (row->kind == HW_FLAG_TEXT)
            CHECK_STR(*(const char **)((char *)&typed + row->offset),
                      *(const char **)((char *)&plain + row->offset));
    }
    CHECK_INT(n, >, 20);
    /* Texts are compared above; put the same pointers in, then all the rest is bytes. */
    for (size_t i = 0; i < set.n_rows; i++)
        if (set.rows[i].kind == HW_FLAG_TEXT && is_literal(&set.rows[i]))
            *(const char **)((char *)&typed + set.rows[i].offset) =
                *(const char **)((char *)&plain + set.rows[i].offset);
    CHECK_MEM(&typed, &plain, sizeof plain);
}

CASE(units_and_bounds)
{
    struct hw_options o;

    check_good(&o, "--timeout 1500ms");
    CHECK_UINT(o.config.timeout_ms, ==, 1500);
    check_good(&o, "--timeout=2m");
    CHECK_UINT(o.config.timeout_ms, ==, 120000);
    check_good(&o, "--feed-retention 14d --max-payload 1MiB --api-rate 0");
    CHECK_UINT(o.config.feed_retention_ms, ==, UINT64_C(14) * 86400000);
    CHECK_UINT(o.config.max_payload_bytes, ==, 1024 * 1024);
    check_good(&o, "--drain-timeout 0 --max-payload 4096");
    CHECK_UINT(o.config.drain_timeout_ms, ==, 0);
    CHECK_UINT(o.config.max_payload_bytes, ==, 4096);

    check_bad("--timeout 5",
              "--timeout: \"5\" is not a duration (like 500ms, 10s, 5m, 2h, 7d)");
    check_bad("--timeout 5x",
              "--timeout: \"5x\" is not a duration (like 500ms, 10s, 5m, 2h, 7d)");
    check_bad("--timeout 2h", "--timeout: 2h is not between 1ms and 1h");
    check_bad("--timeout -1s",
              "--timeout: \"-1s\" is not a duration (like 500ms, 10s, 5m, 2h, 7d)");
    check_bad("--timeout 99999999999999999999d", "--timeout: \"99999999999999999999d\" is not "
                                                 "a duration (like 500ms, 10s, 5m, 2h, 7d)");
    check_bad("--timeout 9999999999999999999d",
              "--timeout: 9999999999999999999d is not between 1ms and 1h");
    check_bad("--max-payload 1GB",
              "--max-payload: \"1GB\" is not a size (like 4096, 256KiB, 1MiB)");
    check_bad("--max-webhooks ten", "--max-webhooks: \"ten\" is not a number");
    check_bad("--max-webhooks 0", "--max-webhooks: 0 is not between 1 and 1000000");
    check_bad("--retry-jitter 1.5",
              "--retry-jitter: \"1.5\" is not a fraction between 0 and 1");
    check_bad("--retry-jitter nan",
              "--retry-jitter: \"nan\" is not a fraction between 0 and 1");
    check_bad("--allow-http-localhost=yes",
              "--allow-http-localhost: \"yes\" is neither 0 nor 1");
    check_bad("--redis-fsync daily",
              "--redis-fsync: \"daily\" is none of always, everysec, no");
}

CASE(retry_schedules)
{
    struct hw_options o;
    char line[400] = "--retry-schedule 1s";

    check_good(&o, "--retry-schedule 1s,2s,3m");
    CHECK_INT(o.config.n_retries, ==, 3);
    CHECK_UINT(o.config.retry_schedule_ms[2], ==, 180000);
    check_good(&o, "--retry-schedule none");
    CHECK_INT(o.config.n_retries, ==, 0);
    check_bad("--retry-schedule 1s,,2s",
              "--retry-schedule: \"\" is not a duration (like 500ms, 10s, 5m, 2h, 7d)");
    check_bad("--retry-schedule 1s,",
              "--retry-schedule: \"\" is not a duration (like 500ms, 10s, 5m, 2h, 7d)");
    check_bad("--retry-schedule 0s", "--retry-schedule: 0s is not between 1ms and 30d");
    for (int i = 1; i < HW_CONFIG_RETRIES_MAX; i++)
        snprintf(line + strlen(line), sizeof line - strlen(line), ",1s");
    check_good(&o, line);
    CHECK_INT(o.config.n_retries, ==, HW_CONFIG_RETRIES_MAX);
    snprintf(line + strlen(line), sizeof line - strlen(line), ",1s");
    check_bad(line, "--retry-schedule: more than 32 entries");
}

CASE(flag_wins_over_variable_and_empty_is_absent)
{
    struct hw_options o;

    setenv("HOOKWHEEL_TIMEOUT", "3s", 1);
    check_good(&o, "");
    CHECK_UINT(o.config.timeout_ms, ==, 3000);
    check_good(&o, "--timeout 4s");
    CHECK_UINT(o.config.timeout_ms, ==, 4000);
    check_good(&o, "--timeout=");
    CHECK_UINT(o.config.timeout_ms, ==, 3000);
    setenv("HOOKWHEEL_TIMEOUT", "", 1);
    check_good(&o, "");
    CHECK_UINT(o.config.timeout_ms, ==, 10000);
    setenv("HOOKWHEEL_TIMEOUT", "soon", 1);
    check_bad("",
              "HOOKWHEEL_TIMEOUT: \"soon\" is not a duration (like 500ms, 10s, 5m, 2h, 7d)");
    unsetenv("HOOKWHEEL_TIMEOUT");
}

CASE(what_is_not_known_is_refused)
{
    check_bad("--time 5s", "unknown flag --time");
    check_bad("-v", "unknown flag -v");
    check_bad("now", "unexpected argument \"now\"");
    check_bad("--timeout", "--timeout needs a value");
    check_bad("--api-token aaaaaaaaaaaaaaaa --api-token-file x",
              "api-token and api-token-file are both set: set one of them");
}

/* --- the configuration ------------------------------------------------------------- */

static void check_config(const struct hw_config *config, const char *note)
{
    struct hw_cause cause = { 0 };

    if (note == NULL) {
        if (hw_config_check(config, &cause) != HW_OK)
            CHECK_FAIL("%s", cause.note);
        return;
    }
    CHECK_INT(hw_config_check(config, &cause), ==, HW_EINVAL);
    CHECK_CONTAINS(cause.note, note);
}

CASE(config_is_checked_field_by_field)
{
    struct hw_config good, c;

    hw_config_init(&good);
    check_config(&good, "api_token: ");
    good.api_token = "0123456789abcdef";
    check_config(&good, NULL);
#define BAD(field, value, note) (c = good, c.field = (value), check_config(&c, note))
#define FINE(field, value)      (c = good, c.field = (value), check_config(&c, NULL))
    BAD(api_token, "short", "api_token: ");
    BAD(listen, "localhost", "listen: ");
    FINE(listen, "localhost:0");
    BAD(listen, "127.0.0.1", "listen: ");
    BAD(listen, "127.0.0.1:65536", "listen: ");
    BAD(listen, "::1:80", "listen: ");
    FINE(listen, "[::1]:0");
    FINE(ops_listen, "0.0.0.0:9420");
    BAD(key_prefix, "a{b}", "key_prefix: ");
    BAD(key_prefix, "", "key_prefix: ");
    BAD(group, "with space", "group: ");
    BAD(timeout_ms, 0, "timeout_ms: 0 is not between");
    BAD(n_retries, HW_CONFIG_RETRIES_MAX + 1, "n_retries: ");
    BAD(retry_schedule_ms[1], 0, "retry_schedule_ms: entry 2");
    BAD(retry_jitter, -0.5, "retry_jitter: ");
    BAD(redis_url, "http://x", "redis_url: ");
    FINE(redis_url, "redis://127.0.0.1:6379/0");
    BAD(allow_networks, "10.0.0.0/33", "allow_networks: ");
    FINE(allow_networks, "10.0.0.0/8, ::1");
#undef BAD
#undef FINE
}

CASE(a_copy_owns_its_strings_and_derives_the_rest)
{
    char prefix[] = "mine";
    struct hw_config config, copy;

    hw_config_init(&config);
    config.key_prefix = prefix;
    CHECK_INT(hw_config_copy(&copy, &config), ==, HW_OK);
    prefix[0] = 'X';
    CHECK_STR(copy.key_prefix, "mine");
    CHECK_STR(copy.stream, "mine:events");
    CHECK_NOT_NULL(copy.consumer);
    CHECK_UINT(copy.drain_timeout_ms, ==, copy.timeout_ms);
    CHECK_NULL(copy.redis_url);
    hw_config_close(&copy);
    hw_config_close(&copy);
    hw_config_close(&config);
    CHECK_STR(config.key_prefix, "Xine");
}

/* --- the root token ---------------------------------------------------------------- */

CASE(root_token_is_made_once_and_kept)
{
    char dir[] = "/tmp/hw-token-XXXXXX", path[128], data[64];
    char first[HW_ROOT_TOKEN_MAX], again[HW_ROOT_TOKEN_MAX];
    struct hw_cause cause = { 0 };
    struct stat about;
    bool was_made;

    CHECK_NOT_NULL(mkdtemp(dir));
    snprintf(data, sizeof data, "%s/data", dir);
    snprintf(path, sizeof path, "%s/root-token", data);
    CHECK_INT(hw_root_token_keep(data, first, &was_made, &cause), ==, HW_OK);
    CHECK(was_made);
    CHECK_INT(strlen(first), >=, 64);
    CHECK_INT(stat(path, &about), ==, 0);
    CHECK_INT(about.st_mode & 0777, ==, 0600);
    CHECK_INT(hw_root_token_keep(data, again, &was_made, &cause), ==, HW_OK);
    CHECK(!was_made);
    CHECK_STR(again, first);

    CHECK_INT(truncate(path, 0), ==, 0);
    CHECK_INT(hw_root_token_keep(data, again, &was_made, &cause), ==, HW_EINVAL);
    CHECK_CONTAINS(cause.note, path);
    CHECK_INT(hw_root_token_read("/nowhere/token", again, &cause), ==, HW_EINVAL);
    CHECK_CONTAINS(cause.note, "cannot read the token file /nowhere/token");
    unlink(path);
    rmdir(data);
    rmdir(dir);
}

/* --- the log ----------------------------------------------------------------------- */

static const char *line_of(bool is_json, const struct hw_engine_event *event)
{
    static char out[4096];
    struct hw_log log = { .fd = -1, .level = HW_LOG_DEBUG, .is_json = is_json };

    hw_log_format_event(&log, event, INT64_C(1773057600000), out, sizeof out);
    return out;
}

CASE(events_become_lines)
{
    struct hw_engine_event e = hw_engine_event_make(HW_EVENT_WEBHOOK_DISABLED);

    e.account = "acct_1";
    e.subject = "wh_1";
    e.text = "Endpoint returned 410 Gone";
    CHECK_STR(line_of(false, &e), "2026-03-09T12:00:00.000Z warn  webhook wh_1 is disabled: "
                                  "Endpoint returned 410 Gone (account acct_1)\n");
    CHECK_STR(
        line_of(true, &e),
        "{\"time\":\"2026-03-09T12:00:00.000Z\",\"level\":\"warn\","
        "\"event\":\"webhook_disabled\",\"message\":\"webhook wh_1 is disabled: Endpoint "
        "returned 410 Gone\",\"account\":\"acct_1\",\"subject\":\"wh_1\"}\n");
}

CASE(what_strangers_say_cannot_forge_a_line)
{
    struct hw_engine_event e = hw_engine_event_make(HW_EVENT_WARNING);

    e.text = "a\nb\x1b[2J\"\\\xc2\x85\xff\xc3\xa9";
    CHECK_CONTAINS(line_of(false, &e), "a\\x0ab\\x1b[2J\"\\\\x85\\xff\xc3\xa9\n");
    CHECK_CONTAINS(line_of(true, &e), "a\\u000ab\\u001b[2J\\\"\\\\\\u0085\\u00ff\xc3\xa9\"");
}

CASE(a_line_that_is_too_long_is_cut_and_still_json)
{
    static char text[9000];
    char out[300];
    struct hw_log log = { .fd = -1, .is_json = true };
    struct hw_engine_event e = hw_engine_event_make(HW_EVENT_WARNING);

    memset(text, 1, sizeof text - 1);
    e.text = e.account = e.subject = e.address = text;
    for (size_t size = 120; size <= sizeof out; size++) {
        size_t n = hw_log_format_event(&log, &e, 0, out, size);

        CHECK_INT(n, <, size);
        CHECK_STR(out + n - 2, "}\n");
        CHECK(out[n - 3] == '"');
    }
}

CASE(every_kind_of_event_has_a_sentence)
{
    for (int kind = 0; kind < HW_ENGINE_EVENTS; kind++) {
        struct hw_engine_event e = hw_engine_event_make((enum hw_engine_event_kind)kind);
        struct hw_cause cause = { .note = "why" };

        CHECK_NOT_NULL(hw_engine_event_name(e.kind));
        CHECK_CONTAINS(line_of(true, &e), "\"message\"");
        e.cause = &cause;
        e.text = "text";
        CHECK_CONTAINS(line_of(false, &e), "2026");
    }
}

/* --- lines of events --------------------------------------------------------------- */

static const char *field_of(const struct hw_event_line *e, const char *name)
{
    static char value[200];

    for (size_t i = 0; i < e->n_fields; i++)
        if (hw_slice_is(e->fields[i].name, name)) {
            snprintf(value, sizeof value, "%.*s", HW_SLICE_FMT(e->fields[i].value));
            return value;
        }
    return NULL;
}

CASE(a_line_gives_the_payload_as_it_stands)
{
    struct hw_event_line e;
    struct hw_cause cause = { 0 };

    hw_event_line_init(&e);
    CHECK_INT(
        hw_event_line_read(&e,
                           HW_SLICE("{\"type\":\"a.b\",\"payload\":{\"n\": 1.10, \"x\":[ ]},"
                                    "\"subject\":\"s\\u0065\\\"\"}"),
                           &cause),
        ==, HW_OK);
    CHECK_INT(hw_event_line_check(&e, 1000, &cause), ==, HW_OK);
    CHECK_STR(field_of(&e, "type"), "a.b");
    CHECK_STR(field_of(&e, "payload"), "{\"n\": 1.10, \"x\":[ ]}");
    CHECK_STR(field_of(&e, "subject"), "se\"");
    CHECK_NULL(field_of(&e, "account"));
    hw_event_line_close(&e);
}

CASE(a_bad_line_is_told)
{
    static const struct {
        const char *line, *note;
    } bad[] = {
        { "{", "not JSON" },
        { "[1]", "not a JSON object" },
        { "{\"type\":1,\"payload\":1}", "\"type\" is not a string" },
        { "{\"type\":\"a\",\"payload\":1,\"Id\":\"x\"}", "unknown member \"Id\"" },
        { "{\"type\":\"a\"}", "not a good event: missing_field" },
        { "{\"type\":\"a b\",\"payload\":1}", "not a good event: bad_type" },
        { "{\"type\":\"a\",\"payload\":1,\"id\":\"\\ud800\"}",
          "\"id\" has an escape that is no character" },
        { "{\"type\":\"a\",\"payload\":1,\"payload\":2}",
          "not a good event: duplicate_field" },
        { "{\"type\":\"a\",\"payload\":\"0123456789\"}", "not a good event: too_large" },
    };
    struct hw_event_line e;
    struct hw_cause cause;

    hw_event_line_init(&e);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        cause = (struct hw_cause){ 0 };
        if (hw_event_line_read(&e, hw_slice_str(bad[i].line), &cause) == HW_OK)
            CHECK_INT(hw_event_line_check(&e, 10, &cause), ==, HW_EINVAL);
        CHECK_STR(cause.note, bad[i].note);
    }
    hw_event_line_close(&e);
}

CASE(lines_of_a_file_with_and_without_an_end)
{
    char path[] = "/tmp/hw-lines-XXXXXX";
    int fd = mkstemp(path);
    struct hw_lines lines;
    struct hw_slice line;
    struct hw_cause cause = { 0 };

    CHECK_INT(write(fd, "one\r\n\ntwo", 9), ==, 9);
    CHECK_INT(hw_lines_open(&lines, path, 100, &cause), ==, HW_OK);
    CHECK_UINT(lines.all_bytes, ==, 9);
    CHECK_INT(hw_lines_next(&lines, &line, &cause), ==, HW_LINES_ONE);
    CHECK_SLICE(line, "one");
    CHECK_INT(hw_lines_next(&lines, &line, &cause), ==, HW_LINES_ONE);
    CHECK_UINT(line.len, ==, 0);
    CHECK_INT(hw_lines_next(&lines, &line, &cause), ==, HW_LINES_ONE);
    CHECK_SLICE(line, "two");
    CHECK_UINT(lines.n_bytes, ==, 9);
    CHECK_INT(hw_lines_next(&lines, &line, &cause), ==, HW_LINES_END);
    CHECK_INT(hw_lines_next(&lines, &line, &cause), ==, HW_LINES_END);
    hw_lines_close(&lines);
    close(fd);
    unlink(path);
}

CASE(lines_of_many_sizes_come_whole)
{
    enum { N = 3000 };
    char path[] = "/tmp/hw-lines-XXXXXX";
    int fd = mkstemp(path);
    FILE *file = fdopen(fd, "w");
    static size_t sizes[N];
    struct hw_lines lines;
    struct hw_slice line;
    struct hw_cause cause = { 0 };

    for (int i = 0; i < N; i++) {
        sizes[i] = check_random_below(i % 50 == 0 ? 90000 : 200);
        for (size_t k = 0; k < sizes[i]; k++)
            fputc('a' + (int)((k + (size_t)i) % 26), file);
        fputc('\n', file);
    }
    fclose(file);
    CHECK_INT(hw_lines_open(&lines, path, 90000, &cause), ==, HW_OK);
    for (int i = 0; i < N; i++) {
        CHECK_INT(hw_lines_next(&lines, &line, &cause), ==, HW_LINES_ONE);
        CHECK_UINT(line.len, ==, sizes[i]);
        if (line.len > 0)
            CHECK_INT(line.data[line.len - 1], ==,
                      'a' + (int)((line.len - 1 + (size_t)i) % 26));
    }
    CHECK_INT(hw_lines_next(&lines, &line, &cause), ==, HW_LINES_END);
    hw_lines_close(&lines);
    unlink(path);
}

/* --- what a receiver has seen ------------------------------------------------------- */

CASE(receiver_counts_events_and_duplicates)
{
    struct hw_seen t;
    struct hw_seen_event *event;

    hw_seen_init(&t);
    event = hw_seen_try(&t, HW_SLICE("evt_1"));
    CHECK_INT(event->tries, ==, 1);
    CHECK_PTR(hw_seen_try(&t, HW_SLICE("evt_1")), ==, event);
    CHECK_INT(event->tries, ==, 2);
    hw_seen_take(&t, event);
    CHECK_UINT(t.n_taken, ==, 1);
    hw_seen_take(&t, event);
    CHECK_UINT(t.n_taken, ==, 1);
    CHECK_UINT(t.n_duplicates, ==, 1);
    CHECK_UINT(hw_seen_percentile(&t, 0.5), ==, 0);
    for (uint32_t i = 100; i > 0; i--)
        hw_seen_latency(&t, i);
    CHECK_UINT(hw_seen_percentile(&t, 0.5), ==, 51);
    CHECK_UINT(hw_seen_percentile(&t, 0.99), ==, 100);
    hw_seen_close(&t);
}
