/* What the commands that ask the API stand on. */
#include "check.h"

#include <arpa/inet.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "cli/api_url.h"
#include "cli/fetch.h"
#include "cli/manage.h"
#include "cli/shell.h"
#include "cli/table.h"
#include "cli/updates.h"
#include "cli/values.h"
#include "cli/webhook_draft.h"
#include "cli/when.h"
#include "rules/entry.h"

/* --- when ------------------------------------------------------------------------------ */

#define NOW INT64_C(1773057600000) /* 2026-03-09T12:00:00Z */

CASE(a_time_is_a_duration_or_rfc_3339)
{
    hw_unix_ms at;

    CHECK(hw_when_before(&at, "2h", NOW));
    CHECK_INT(at, ==, NOW - 7200000);
    CHECK(hw_when_after(&at, "30d", NOW));
    CHECK_INT(at, ==, NOW + INT64_C(30) * 86400000);
    CHECK(hw_when_before(&at, "250ms", NOW));
    CHECK_INT(at, ==, NOW - 250);
    CHECK(hw_when_before(&at, "2026-03-09T13:00:00+01:00", NOW + 5));
    CHECK_INT(at, ==, NOW);
    CHECK(!hw_when_before(&at, "2 h", NOW));
    CHECK(!hw_when_before(&at, "yesterday", NOW));
    CHECK(!hw_when_before(&at, "", NOW));
    CHECK(!hw_when_before(&at, "18446744073709551615d", NOW));
    CHECK(!hw_when_after(&at, "99999d", NOW));
}

static void check_age(int64_t before_ms, const char *text)
{
    char age[HW_WHEN_MAX];

    hw_when_age(NOW - before_ms, NOW, age);
    CHECK_STR(age, text);
}

CASE(ages_are_in_the_largest_unit_that_says_enough)
{
    check_age(0, "now");
    check_age(999, "now");
    check_age(1000, "1s ago");
    check_age(59999, "59s ago");
    check_age(60000, "1m ago");
    check_age(3599999, "59m ago");
    check_age(3600000, "1h ago");
    check_age(47 * 3600000L, "47h ago");
    check_age(48 * 3600000L, "2d ago");
    check_age(400 * 86400000L, "400d ago");
    check_age(-240000, "in 4m");
}

/* --- screen ---------------------------------------------------------------------------- */

static void look(struct hw_screen *s)
{
    int pipe_ends[2];

    CHECK_INT(pipe(pipe_ends), ==, 0);
    hw_screen_look(s, pipe_ends[1]);
    close(pipe_ends[0]);
    close(pipe_ends[1]);
    CHECK(!s->is_terminal && !s->has_colour);
    CHECK_INT(s->width, ==, 0);
}

static void check_text(const char *text, size_t n_bytes, const char *safe)
{
    struct hw_screen s;
    struct hw_buf out;

    look(&s);
    hw_buf_init(&out, 4096);
    CHECK(hw_screen_text(&out, hw_slice(text, n_bytes)));
    CHECK_STR(hw_buf_str(&out), safe);
    hw_buf_close(&out);
}

CASE(nothing_a_terminal_would_obey_is_left)
{
    check_text("plain", 5, "plain");
    check_text("caf\xc3\xa9 \xe5\x90\x8d", 9, "caf\xc3\xa9 \xe5\x90\x8d");
    check_text("\x1b[31m\r\n\t\x7f", 9, "\\x1b[31m\\x0d\\x0a\\x09\\x7f");
    check_text("a\0b", 3, "a\\x00b");
    check_text("\xc2\x9b", 2, "\\x9b"); /* C1: CSI */
    check_text("\xe2\x80\xae"
               "gpj.exe",
               10, "\\u{202e}gpj.exe");              /* right to left */
    check_text("\xff\xc3", 2, "\\xff\\xc3");         /* no UTF-8 */
    check_text("\xe5\x90", 2, "\\xe5\\x90");         /* half a character */
    check_text("\xf3\xa0\x81\x81", 4, "\\u{e0041}"); /* an invisible tag */
}

CASE(json_for_a_terminal_means_the_same)
{
    struct hw_screen s;
    struct hw_buf out;

    look(&s);
    hw_buf_init(&out, 4096);
    CHECK(hw_screen_json(&out,
                         HW_SLICE("{\"a\":\"\xc2\x9b \x7f \xc3\xa9 \xf3\xa0\x81\x81\"}\n")));
    CHECK_STR(hw_buf_str(&out), "{\"a\":\"\\u009b \\u007f \xc3\xa9 \\udb40\\udc41\"}\n");
    hw_buf_close(&out);
}

CASE(widths_are_those_of_the_screen)
{
    struct hw_screen s;
    struct hw_slice text = HW_SLICE("a\xc3\xa9\xe5\x90\x8d"
                                    "b"); /* 1 + 1 + 2 + 1 */

    look(&s);
    CHECK_INT(hw_screen_width(text), ==, 5);
    CHECK_INT(hw_screen_cut(text, 5), ==, 7);
    CHECK_INT(hw_screen_cut(text, 4), ==, 6);
    CHECK_INT(hw_screen_cut(text, 3), ==, 3); /* the wide one does not fit by half */
    CHECK_INT(hw_screen_cut(text, 0), ==, 0);
}

/* --- table ----------------------------------------------------------------------------- */

static const struct hw_column columns[] = {
    { "ID", 0, 0, false }, { "URL", 8, 0, false }, { "N", 0, 1, true }, { "NOTE", 0, 2, false }
};

static void add_row(struct hw_table *t, const char *id, const char *url, const char *n,
                    const char *note)
{
    hw_table_adds(t, id);
    hw_table_adds(t, url);
    hw_table_adds(t, n);
    hw_table_add(t, hw_slice_str(note), HW_TONE_BAD);
}

static void check_flush(struct hw_table *t, const struct hw_screen *s, const char *wanted)
{
    char *text = NULL;
    size_t n_bytes;
    FILE *out = open_memstream(&text, &n_bytes);

    CHECK_INT(hw_table_flush(t, s, out), ==, HW_OK);
    fclose(out);
    CHECK_STR(text, wanted);
    free(text);
}

static void begin(struct hw_table *t, struct hw_screen *s, unsigned width)
{
    look(s);
    s->width = width;
    hw_table_init(t, columns, sizeof columns / sizeof *columns);
}

CASE(columns_are_as_wide_as_what_is_in_them)
{
    struct hw_screen s;
    struct hw_table t;

    begin(&t, &s, 0);
    add_row(&t, "a", "https://one.example/", "7", "");
    add_row(&t, "long-id", "x", "1234", "\xe5\x90\x8d");
    check_flush(&t, &s,
                "ID       URL                      N  NOTE\n"
                "a        https://one.example/     7  -\n"
                "long-id  x                     1234  \xe5\x90\x8d\n");
    add_row(&t, "b", "y", "1", "later"); /* no titles again, no narrower */
    check_flush(&t, &s, "b        y                        1  later\n");
    check_flush(&t, &s, "");
    hw_table_close(&t);
}

CASE(what_does_not_fit_is_cut_then_left_out_by_rank)
{
    struct hw_screen s;
    struct hw_table t;

    begin(&t, &s, 33);
    add_row(&t, "id", "https://one.example/", "7", "noted");
    check_flush(&t, &s,
                "ID  URL                  N  NOTE\n"
                "id  https://one.exampl\xe2\x80\xa6  7  noted\n");
    hw_table_close(&t);
    begin(&t, &s, 20);
    add_row(&t, "id", "https://one.example/", "7", "noted");
    check_flush(&t, &s,
                "ID  URL            N\n"
                "id  https://one.\xe2\x80\xa6  7\n");
    hw_table_close(&t);
    begin(&t, &s, 13);
    add_row(&t, "id", "https://one.example/", "7", "noted");
    check_flush(&t, &s, "ID  URL\nid  https://\xe2\x80\xa6\n");
    hw_table_close(&t);
}

CASE(a_wide_character_is_not_cut_in_two)
{
    struct hw_screen s;
    struct hw_table t;

    begin(&t, &s, 12);
    add_row(&t, "i", "1234567\xe5\x90\x8d\xe5\x90\x8d", "7", "noted");
    check_flush(&t, &s,
                "ID  URL\n"
                "i   1234567\xe2\x80\xa6\n");
    hw_table_close(&t);
}

CASE(colour_only_where_there_is_some)
{
    struct hw_screen s;
    struct hw_table t;

    begin(&t, &s, 0);
    s.has_colour = true;
    add_row(&t, "i", "u", "7", "bad");
    check_flush(&t, &s,
                "\x1b[1mID\x1b[0m  \x1b[1mURL\x1b[0m  \x1b[1mN\x1b[0m  \x1b[1mNOTE\x1b[0m\n"
                "i   u    7  \x1b[31mbad\x1b[0m\n");
    hw_table_close(&t);
}

CASE(cells_are_made_safe)
{
    struct hw_screen s;
    struct hw_table t;

    begin(&t, &s, 0);
    add_row(&t, "i", "a\nb", "7", "\x1b]0;x\x07");
    check_flush(&t, &s,
                "ID  URL     N  NOTE\n"
                "i   a\\x0ab  7  \\x1b]0;x\\x07\n");
    hw_table_close(&t);
}

/* --- where the API is -------------------------------------------------------------------- */

static void check_url(const char *text, const char *host, int port, const char *authority,
                      const char *prefix)
{
    struct hw_api_url url;
    struct hw_cause cause;

    if (hw_api_url_parse(&url, text, &cause) != HW_OK)
        CHECK_FAIL("%s: %s", text, cause.note);
    CHECK_STR(url.host, host);
    CHECK_INT(url.port, ==, port);
    CHECK_STR(url.authority, authority);
    CHECK_STR(url.prefix, prefix);
}

CASE(urls_of_the_api)
{
    static const char *const bad[] = {
        "",
        "127.0.0.1:8420",
        "ftp://x",
        "http:/x",
        "http://",
        "http://:1",
        "http://x:0",
        "http://x:99999",
        "http://x:1x",
        "http://u@x",
        "http://[::1",
        "http://x/a?b",
        "http://x/a#b",
        "http://x y/",
        "http://x/\r\n",
        "http://[::1]x",
    };
    struct hw_api_url url;
    struct hw_cause cause;

    check_url("http://127.0.0.1:8420", "127.0.0.1", 8420, "127.0.0.1:8420", "");
    check_url("HTTPS://hooks.example/", "hooks.example", 443, "hooks.example", "");
    check_url("http://[::1]:8420/engine/", "::1", 8420, "[::1]:8420", "/engine");
    check_url("http://x", "x", 80, "x", "");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (hw_api_url_parse(&url, bad[i], &cause) != HW_EINVAL)
            CHECK_FAIL("taken: %s", bad[i]);
}

/* --- fetch ------------------------------------------------------------------------------- */

static int listen_somewhere(char url[64])
{
    struct sockaddr_in at = { .sin_family = AF_INET,
                              .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    CHECK_INT(bind(fd, (struct sockaddr *)&at, sizeof at), ==, 0);
    CHECK_INT(listen(fd, 4), ==, 0);
    CHECK_INT(getsockname(fd, (struct sockaddr *)&at, &size), ==, 0);
    snprintf(url, 64, "http://127.0.0.1:%u", ntohs(at.sin_port));
    return fd;
}

/* A process that answers one request with these bytes and hangs up. */
static pid_t answer_once(int fd, const char *bytes, size_t n_bytes)
{
    pid_t child = fork();
    char request[4096];

    if (child == 0) {
        int peer = accept(fd, NULL, NULL);

        if (read(peer, request, sizeof request) > 0)
            while (n_bytes > 0) {
                ssize_t n = write(peer, bytes, n_bytes);

                if (n < 0)
                    break;
                bytes += n;
                n_bytes -= (size_t)n;
            }
        _exit(0);
    }
    return child;
}

static enum hw_status ask_once(const char *bytes, size_t n_bytes, struct hw_cause *cause,
                               char *body, size_t size)
{
    static const struct hw_fetch_request request = { .method = "GET", .path = "/v1/webhooks" };
    static struct hw_fetch f;
    enum hw_status status;
    char url[64];
    int fd = listen_somewhere(url);
    pid_t child = answer_once(fd, bytes, n_bytes);

    CHECK_INT(hw_fetch_open(&f, url, NULL, 10000, cause), ==, HW_OK);
    status = hw_fetch_ask(&f, &request, cause);
    snprintf(body, size, "%d %.*s", f.response.status,
             HW_SLICE_FMT(hw_buf_slice(&f.response.body)));
    hw_fetch_close(&f);
    close(fd);
    kill(child, SIGKILL);
    CHECK_INT(waitpid(child, NULL, 0), ==, child);
    return status;
}

CASE(an_answer_comes_whole)
{
    static const char plain[] = "HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\n{}";
    static const char open_end[] = "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n[1]";
    struct hw_cause cause;
    char body[64];

    CHECK_INT(ask_once(plain, sizeof plain - 1, &cause, body, sizeof body), ==, HW_OK);
    CHECK_STR(body, "404 {}");
    CHECK_INT(ask_once(open_end, sizeof open_end - 1, &cause, body, sizeof body), ==, HW_OK);
    CHECK_STR(body, "200 [1]");
}

CASE(what_is_no_answer_is_one_sentence)
{
    static const char cut[] = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{}";
    struct hw_cause cause;
    char body[64];

    CHECK_INT(ask_once(cut, sizeof cut - 1, &cause, body, sizeof body), !=, HW_OK);
    CHECK(strstr(cause.note, "closed the connection") != NULL);
    CHECK_INT(ask_once("220 smtp\r\n\r\n", 12, &cause, body, sizeof body), ==, HW_EPROTO);
    CHECK(strstr(cause.note, "not HTTP") != NULL);
    CHECK_INT(ask_once("", 0, &cause, body, sizeof body), !=, HW_OK);
    CHECK(strncmp(cause.note, "http://127.0.0.1:", 17) == 0);
}

CASE(an_answer_too_large_is_refused)
{
    static const char head[] = "HTTP/1.1 200 OK\r\ncontent-length: 17000000\r\n\r\n";
    size_t n_bytes = sizeof head - 1 + 17000000;
    char *bytes = malloc(n_bytes), body[64];
    struct hw_cause cause;

    memset(bytes, 'x', n_bytes);
    memcpy(bytes, head, sizeof head - 1);
    CHECK_INT(ask_once(bytes, n_bytes, &cause, body, sizeof body), ==, HW_ETOOBIG);
    free(bytes);
}

CASE(an_engine_that_says_nothing_is_not_waited_for_for_ever)
{
    static const struct hw_fetch_request request = { .method = "POST", .path = "/" };
    static struct hw_fetch f;
    struct hw_cause cause;
    char url[64];
    int fd = listen_somewhere(url); /* nobody accepts */

    CHECK_INT(hw_fetch_open(&f, url, NULL, 100, &cause), ==, HW_OK);
    CHECK_INT(hw_fetch_ask(&f, &request, &cause), ==, HW_ETIMEDOUT);
    CHECK(strstr(cause.note, "no answer within") != NULL);
    close(fd);
    CHECK_INT(hw_fetch_ask(&f, &request, &cause), ==, HW_ECONN); /* it is of use again */
    CHECK(hw_fetch_wait(&f, 10));
    hw_fetch_close(&f);
}

CASE(a_signal_ends_what_is_under_way)
{
    static const struct hw_fetch_request request = { .method = "GET", .path = "/" };
    static struct hw_fetch f;
    struct hw_cause cause;
    char url[64];
    int fd = listen_somewhere(url);

    CHECK_INT(hw_fetch_open(&f, url, NULL, 60000, &cause), ==, HW_OK);
    hw_fetch_watch(&f);
    CHECK(hw_fetch_wait(&f, 1));
    raise(SIGINT);
    CHECK(!hw_fetch_wait(&f, 60000));
    CHECK_INT(hw_fetch_ask(&f, &request, &cause), ==, HW_ECANCELED);
    hw_fetch_close(&f);
    close(fd);
}

/* --- what is typed, as JSON --------------------------------------------------------------- */

enum { WORDS_MAX = 24 };

/* "create" with these flags; NULL: refused. */
static char *draft(const char *const *words)
{
    static struct hw_shell s;
    const struct hw_verb *verb = &hw_manage_webhooks.verbs[1];
    char *argv[WORDS_MAX] = { "create" }, *json = NULL;
    struct hw_flag_set set;
    struct hw_cause cause;
    json_t *body;
    int argc = 1;

    s = (struct hw_shell){ .family = &hw_manage_webhooks, .verb = verb };
    CHECK_STR(verb->name, "create");
    while (*words != NULL && argc < WORDS_MAX)
        argv[argc++] = (char *)*words++;
    hw_verb_pick(&s.rows, &hw_manage_webhooks, verb);
    set = (struct hw_flag_set){ s.rows.rows, s.rows.n_rows, &s.wishes, 0, s.rows.given };
    if (hw_flags_read(&set, 1, argc, argv, NULL, &cause) != HW_OK)
        CHECK_FAIL("%s", cause.note);
    body = hw_webhook_draft_make(&s);
    if (body != NULL)
        json = json_dumps(body, JSON_COMPACT | JSON_SORT_KEYS);
    json_decref(body);
    hw_texts_close(&s.wishes.headers);
    return json;
}

#define DRAFT(...) draft((const char *const[]){ __VA_ARGS__, NULL })

static void check_draft(char *json, const char *wanted)
{
    CHECK_STR(json, wanted);
    free(json);
}

CASE(only_what_is_given_is_in_the_body)
{
    check_draft(DRAFT("--url", "https://x/"), "{\"url\":\"https://x/\"}");
    check_draft(DRAFT("--event-types", "a.b, c.d,", "--level=progress", "--include-raw"),
                "{\"event_types\":[\"a.b\",\"c.d\"],\"include_raw\":true,"
                "\"level\":\"progress\"}");
    check_draft(DRAFT("--rate-limit", "5", "--max-in-flight=3", "--include-raw=0"),
                "{\"include_raw\":false,\"max_in_flight\":3,\"rate_limit\":5}");
}

CASE(what_is_given_empty_is_cleared)
{
    check_draft(DRAFT("--name", "", "--subject=", "--event-types", "", "--rate-limit="),
                "{\"event_types\":null,\"name\":null,\"rate_limit\":null,\"subject\":null}");
    check_draft(DRAFT("--header", "", "--signature-header", ""),
                "{\"headers\":{},\"signature_header\":null}");
}

CASE(headers_are_names_and_values)
{
    check_draft(DRAFT("--header", "X-A: b: c", "--header", "X-B:", "--signature-header",
                      "X-Sig:sha256=hex"),
                "{\"headers\":{\"X-A\":\"b: c\",\"X-B\":\"\"},"
                "\"signature_header\":{\"format\":\"sha256=hex\",\"name\":\"X-Sig\"}}");
    CHECK_NULL(DRAFT("--header", "no colon"));
    CHECK_NULL(DRAFT("--header", ": x"));
    CHECK_NULL(DRAFT("--header", "X-A: 1", "--header", "X-A: 2"));
    CHECK_NULL(DRAFT("--signature-header", "X-Sig"));
    CHECK_NULL(DRAFT("--signature-header", ":hex"));
    CHECK_NULL(DRAFT("--name", "\xff"));
    CHECK_NULL(DRAFT("--header", "X-A: \xff"));
    CHECK_NULL(DRAFT("--event-types", "a,\xff"));
    CHECK_NULL(DRAFT("--signature-header", "\xff:hex"));
}

/* --- the tables ---------------------------------------------------------------------------- */

CASE(every_verb_names_flags_that_exist)
{
    static const struct hw_family *const families[] = {
        &hw_manage_webhooks, &hw_manage_deliveries, &hw_manage_consumers,
        &hw_manage_tokens,   &hw_manage_types,      &hw_updates,
    };
    struct hw_wishes_rows rows;

    for (size_t i = 0; i < sizeof families / sizeof *families; i++)
        for (size_t k = 0; k < families[i]->n_verbs; k++) {
            const struct hw_verb *verb = &families[i]->verbs[k];

            hw_verb_pick(&rows, families[i], verb);
            CHECK_INT(rows.n_rows - rows.n_own, ==, 7);
            CHECK(strncmp(verb->example, verb->name, strlen(verb->name)) == 0);
        }
}

static const struct hw_flag *picked(const struct hw_family *family, size_t verb,
                                    const char *name)
{
    static struct hw_wishes_rows rows;

    hw_verb_pick(&rows, family, &family->verbs[verb]);
    for (size_t i = 0; i < rows.n_rows; i++)
        if (strcmp(rows.rows[i].name, name) == 0)
            return &rows.rows[i];
    CHECK_FAIL("%s: no --%s", family->verbs[verb].name, name);
    return NULL;
}

static size_t verb_of(const struct hw_family *family, const char *name)
{
    size_t i = 0;

    while (strcmp(family->verbs[i].name, name) != 0)
        CHECK(++i < family->n_verbs);
    return i;
}

CASE(a_flag_means_what_it_does_for_its_verb)
{
    const struct hw_family *f = &hw_manage_webhooks;

    CHECK_STR(picked(f, verb_of(f, "backfill"), "until")->value, "CURSOR");
    CHECK_STR(picked(f, verb_of(f, "recover"), "until")->value, "TIME");
    CHECK_STR(picked(f, verb_of(f, "create"), "backfill-from")->value, "CURSOR|start");
    CHECK_STR(picked(f, verb_of(f, "resume"), "backfill-from")->value, "CURSOR|disabled");
    CHECK_STR(picked(&hw_updates, 0, "cursor")->otherwise, "start of what is kept");
}
