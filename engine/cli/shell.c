#include "cli/shell.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/table.h"
#include "cli/values.h"
#include "cli/when.h"
#include "rules/json.h"

#define API_URL_OTHERWISE  "http://127.0.0.1:8420"
#define DATA_DIR_OTHERWISE "./hookwheel-data"

enum { TIMEOUT_MS = 30000, TARGET_MAX = 16 * 1024, DETAILS_MAX = 1000, ONCE_KEY_MAX = 255 };

/* --- who asks, and where ----------------------------------------------------------- */

/* What goes into a request's head must not end a line there. */
static bool is_printable(const char *text, size_t max)
{
    size_t n = strlen(text);

    for (size_t i = 0; i < n; i++)
        if (text[i] < ' ' || text[i] > '~')
            return false;
    return n > 0 && n <= max;
}

static enum hw_status use_token(struct hw_shell *s, const char *token, struct hw_cause *cause)
{
    if (!is_printable(token, sizeof s->token - 1) || strchr(token, ' ') != NULL)
        return hw_cause_set(cause, HW_EINVAL, HW_ORIGIN_US, 0,
                            "the API token is not 1 to 256 visible characters");
    memmove(s->token, token, strlen(token) + 1);
    return HW_OK;
}

static enum hw_status read_kept_token(struct hw_shell *s, struct hw_cause *cause)
{
    const char *folder = s->wishes.data_dir ? s->wishes.data_dir : DATA_DIR_OTHERWISE;
    char path[PATH_MAX];

    if (snprintf(path, sizeof path, "%s/root-token", folder) >= (int)sizeof path ||
        access(path, F_OK) != 0)
        return hw_cause_set(cause, HW_EINVAL, HW_ORIGIN_US, 0,
                            "no token: set HOOKWHEEL_API_TOKEN or HOOKWHEEL_API_TOKEN_FILE "
                            "(there is none in %.60s either)",
                            folder);
    return hw_root_token_read(path, s->token, cause);
}

static enum hw_status find_token(struct hw_shell *s, struct hw_cause *cause)
{
    const struct hw_wishes *w = &s->wishes;
    enum hw_status status;

    if (w->api_token != NULL && w->api_token_file != NULL)
        return hw_cause_set(cause, HW_EINVAL, HW_ORIGIN_US, 0,
                            "api-token and api-token-file are both set: set one of them");
    if (w->api_token != NULL)
        return use_token(s, w->api_token, cause);
    status = w->api_token_file ? hw_root_token_read(w->api_token_file, s->token, cause)
                               : read_kept_token(s, cause);
    return status == HW_OK ? use_token(s, s->token, cause) : status;
}

static const char *find_url(const struct hw_shell *s)
{
    const char *set = getenv("HOOKWHEEL_URL");

    if (s->wishes.api_url != NULL)
        return s->wishes.api_url;
    return set != NULL && set[0] != '\0' ? set : API_URL_OTHERWISE;
}

enum hw_status hw_shell_open(struct hw_shell *s, struct hw_cause *cause)
{
    const char *key = s->wishes.once_key;
    enum hw_status status = find_token(s, cause);

    if (status == HW_OK && key != NULL && !is_printable(key, ONCE_KEY_MAX))
        status = hw_cause_set(cause, HW_EINVAL, HW_ORIGIN_US, 0,
                              "--idempotency-key is 1 to %d printable ASCII characters",
                              ONCE_KEY_MAX);
    if (status == HW_OK)
        status = hw_fetch_open(&s->fetch, find_url(s), s->wishes.ca_file, TIMEOUT_MS, cause);
    if (status != HW_OK)
        return status;
    hw_screen_look(&s->screen, STDOUT_FILENO);
    hw_buf_init(&s->target, TARGET_MAX);
    s->now = hw_when_now();
    return HW_OK;
}

int hw_shell_close(struct hw_shell *s, int exit_code)
{
    hw_fetch_close(&s->fetch);
    hw_buf_close(&s->target);
    if (fflush(stdout) == 0 && !ferror(stdout))
        return exit_code;
    if (errno != EPIPE) /* a reader that has seen enough is no news */
        fprintf(stderr, "hookwheel %s: not everything could be written: %s\n", s->family->name,
                strerror(errno));
    return exit_code == 0 ? 1 : exit_code;
}

/* --- errors ------------------------------------------------------------------------ */

/* One line, whatever the texts in it hold. */
static void complain(struct hw_shell *s, struct hw_slice text)
{
    struct hw_buf line;

    hw_buf_init(&line, SIZE_MAX);
    hw_screen_text(&line, text);
    if (!s->is_silent)
        fprintf(stderr, "hookwheel %s: %.*s\n", s->family->name,
                HW_SLICE_FMT(hw_buf_slice(&line)));
    hw_buf_close(&line);
}

int hw_shell_usage(struct hw_shell *s, const char *fmt, ...)
{
    va_list args;

    fprintf(stderr, "hookwheel %s%s%s: ", s->family->name, hw_verb_gap(s->verb),
            s->verb->name);
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
    return 2;
}

static void add_detail(struct hw_buf *line, const char *name, const json_t *value)
{
    const json_t *item;
    size_t i;

    hw_buf_appendf(line, " (%s:", name);
    if (json_is_integer(value))
        hw_buf_appendf(line, " %" JSON_INTEGER_FORMAT, json_integer_value(value));
    else if (json_is_string(value))
        hw_buf_appendf(line, " %s", json_string_value(value));
    json_array_foreach (value, i, item) {
        if (hw_buf_len(line) > DETAILS_MAX) {
            hw_buf_append_str(line, " ...");
            break;
        }
        hw_buf_appendf(line, "%s %s", i > 0 ? "," : "", json_string_value(item));
    }
    hw_buf_append_char(line, ')');
}

/* "404 not_found: There is no such webhook."; details that the sentence does not say already. */
static void tell_refusal(struct hw_shell *s, const json_t *answer)
{
    const json_t *error = json_object_get(answer, "error");
    const char *code = json_string_value(json_object_get(error, "code"));
    const char *message = json_string_value(json_object_get(error, "message"));
    struct hw_buf line;
    const char *name;
    json_t *value;

    hw_buf_init(&line, SIZE_MAX);
    hw_buf_appendf(&line, "%d", s->fetch.response.status);
    if (code == NULL || message == NULL) {
        hw_buf_append_str(&line, ": what answers there is no engine's API");
    } else {
        hw_buf_appendf(&line, " %s: %s", code, message);
        json_object_foreach (json_object_get(error, "details"), name, value)
            if (!json_is_string(value) || strstr(message, json_string_value(value)) == NULL)
                add_detail(&line, name, value);
    }
    complain(s, hw_buf_slice(&line));
    hw_buf_close(&line);
}

/* --- asking ------------------------------------------------------------------------ */

static void add_encoded(struct hw_buf *out, const char *text)
{
    for (; *text != '\0'; text++) {
        bool is_plain = (*text >= 'a' && *text <= 'z') || (*text >= 'A' && *text <= 'Z') ||
                        (*text >= '0' && *text <= '9') || strchr("-._~", *text) != NULL;
        if (is_plain)
            hw_buf_append_char(out, *text);
        else
            hw_buf_appendf(out, "%%%02X", (unsigned)(unsigned char)*text);
    }
}

void hw_shell_to(struct hw_shell *s, const char *base, const char *id, const char *tail)
{
    hw_buf_reset(&s->target);
    hw_buf_append_str(&s->target, base);
    if (id != NULL) {
        hw_buf_append_char(&s->target, '/');
        add_encoded(&s->target, id);
    }
    if (tail != NULL)
        hw_buf_append_str(&s->target, tail);
}

void hw_shell_where(struct hw_shell *s, const char *name, const char *value)
{
    struct hw_slice so_far = hw_buf_slice(&s->target);

    if (value == NULL)
        return;
    hw_buf_append_char(&s->target, hw_slice_find(so_far, '?') < so_far.len ? '&' : '?');
    hw_buf_appendf(&s->target, "%s=", name);
    add_encoded(&s->target, value);
}

static bool exchange(struct hw_shell *s, const char *method, const char *json)
{
    struct hw_fetch_request request = { .method = method,
                                        .path = hw_buf_str(&s->target),
                                        .token = s->token,
                                        .once_key = s->wishes.once_key,
                                        .json = json };

    if (hw_buf_failed(&s->target) != HW_OK || request.path == NULL) {
        hw_cause_set(&s->failure, HW_ETOOBIG, HW_ORIGIN_US, 0,
                     "what is asked for is too long");
        return false;
    }
    return hw_fetch_ask(&s->fetch, &request, &s->failure) == HW_OK;
}

/* true: there is an answer, of whatever status. */
static bool request(struct hw_shell *s, const char *method, const char *json)
{
    s->failure = (struct hw_cause){ .status = HW_OK };
    if (exchange(s, method, json))
        return true;
    if (s->failure.status != HW_ECANCELED) /* whoever ended it knows */
        complain(s, hw_slice_str(s->failure.note));
    return false;
}

static bool is_good(const struct hw_shell *s)
{
    return s->fetch.response.status / 100 == 2;
}

static json_t *read_answer(struct hw_shell *s)
{
    struct hw_slice body = hw_buf_slice(&s->fetch.response.body);

    if (body.len == 0)
        return json_null();
    return json_loadb(body.data, body.len, JSON_ALLOW_NUL, NULL);
}

bool hw_shell_ask(struct hw_shell *s, const char *method, json_t *body, json_t **answer)
{
    char *json = body ? json_dumps(body, JSON_COMPACT) : NULL;
    bool is_lost = body != NULL && json == NULL, is_taken;
    json_t *read;

    if (is_lost) {
        hw_cause_set(&s->failure, HW_ENOMEM, HW_ORIGIN_US, 0, "out of memory");
        complain(s, hw_slice_str(s->failure.note));
    }
    is_taken = !is_lost && request(s, method, json);
    free(json);
    json_decref(body);
    if (!is_taken)
        return false;
    read = read_answer(s);
    is_taken = read != NULL && is_good(s);
    if (!is_taken)
        tell_refusal(s, read);
    if (is_taken && answer != NULL)
        *answer = json_incref(read);
    json_decref(read);
    return is_taken;
}

bool hw_shell_read(struct hw_shell *s, struct hw_slice *text)
{
    json_t *refusal;

    if (!request(s, "GET", NULL))
        return false;
    *text = hw_buf_slice(&s->fetch.response.body);
    if (is_good(s) && hw_json_check(*text, HW_JSON_LEVELS_MAX) == HW_ENTRY_GOOD)
        return true;
    refusal = read_answer(s);
    tell_refusal(s, refusal);
    json_decref(refusal);
    return false;
}

/* --- printing ---------------------------------------------------------------------- */

static void print_safe(struct hw_slice json)
{
    struct hw_buf text;

    hw_buf_init(&text, SIZE_MAX);
    if (hw_screen_json(&text, json))
        fwrite(hw_buf_slice(&text).data, 1, hw_buf_len(&text), stdout);
    hw_buf_close(&text);
    putchar('\n');
}

void hw_shell_print_text(struct hw_shell *s, struct hw_slice json)
{
    if (s->screen.is_terminal)
        print_safe(json);
    else
        printf("%.*s\n", HW_SLICE_FMT(json));
}

void hw_shell_print_json(struct hw_shell *s)
{
    struct hw_slice body = hw_buf_slice(&s->fetch.response.body);

    if (body.len > 0 && body.data[body.len - 1] == '\n')
        body.len--;
    if (body.len > 0)
        hw_shell_print_text(s, body);
}

void hw_shell_print_line(struct hw_shell *s, const json_t *object)
{
    char *json = json_dumps(object, JSON_COMPACT);

    if (json != NULL)
        hw_shell_print_text(s, hw_slice_str(json));
    free(json);
}

int hw_shell_delete(struct hw_shell *s)
{
    if (!hw_shell_ask(s, "DELETE", NULL, NULL))
        return 1;
    hw_shell_remark(s, "Deleted.");
    return 0;
}

int hw_shell_show(struct hw_shell *s, json_t *object, hw_shell_add_cb add)
{
    struct hw_table table;
    enum hw_status status = HW_OK;

    hw_table_init(&table, hw_values_columns, 2);
    if (s->wishes.is_json) {
        hw_shell_print_json(s);
    } else {
        add(&table, object, s->now);
        status = hw_table_flush(&table, &s->screen, stdout);
    }
    hw_table_close(&table);
    json_decref(object);
    if (status != HW_OK)
        complain(s, HW_SLICE("out of memory"));
    return status == HW_OK ? 0 : 1;
}

int hw_shell_ask_and_show(struct hw_shell *s, const char *method, json_t *body,
                          hw_shell_add_cb add)
{
    json_t *answer;

    return hw_shell_ask(s, method, body, &answer) ? hw_shell_show(s, answer, add) : 1;
}

void hw_shell_remark(const struct hw_shell *s, const char *sentence)
{
    if (!s->wishes.is_json)
        fprintf(stderr, "%s\n", sentence);
}

/* --- times ------------------------------------------------------------------------- */

typedef bool (*when_fn)(hw_unix_ms *out, const char *text, hw_unix_ms now);

static bool read_time(struct hw_shell *s, when_fn read, const char *flag, const char *text,
                      char *out)
{
    hw_unix_ms at;

    out[0] = '\0';
    if (text == NULL)
        return true;
    if (!read(&at, text, s->now)) {
        hw_shell_usage(s,
                       "--%s: \"%.40s\" is neither a duration (like 30m, 2h, 7d) nor a time "
                       "(like 2026-03-09T12:00:00Z)",
                       flag, text);
        return false;
    }
    hw_timestamp_text(at, out);
    return true;
}

bool hw_shell_time_before(struct hw_shell *s, const char *flag, const char *text,
                          char out[HW_SHELL_TIME_MAX])
{
    return read_time(s, hw_when_before, flag, text, out);
}

bool hw_shell_time_after(struct hw_shell *s, const char *flag, const char *text,
                         char out[HW_SHELL_TIME_MAX])
{
    return read_time(s, hw_when_after, flag, text, out);
}
