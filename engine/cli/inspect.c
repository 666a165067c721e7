#include "cli/inspect.h"

#include "cli/table.h"
#include "cli/values.h"

/* --- the delivery ------------------------------------------------------------------ */

/* "connect: connection refused", with the kind in front where that says more. */
static void add_error(struct hw_table *t, const json_t *error)
{
    static const char *const names[] = { "kind", "phase", "message" };
    struct hw_buf text;

    hw_buf_init(&text, SIZE_MAX);
    for (size_t i = 0; i < 3; i++) {
        struct hw_slice part = hw_values_text(error, names[i]);

        if (part.len == 0 || (i == 1 && hw_slice_eq(part, hw_values_text(error, "kind"))))
            continue;
        hw_buf_append_str(&text, hw_buf_len(&text) > 0 ? ": " : "");
        hw_buf_append_slice(&text, part);
    }
    hw_table_add(t, hw_buf_slice(&text), HW_TONE_PLAIN);
    hw_buf_close(&text);
}

static void add_delivery(struct hw_table *t, const json_t *delivery, hw_unix_ms now)
{
    const json_t *error = json_object_get(delivery, "error");

    hw_values_row(t, "id", delivery, "id");
    hw_values_row_status(t, "status", delivery, "status");
    hw_values_row(t, "account", delivery, "account");
    hw_values_row(t, "webhook", delivery, "webhook_id");
    hw_values_row(t, "event", delivery, "event_id");
    hw_values_row(t, "event type", delivery, "event_type");
    hw_values_row(t, "subject", delivery, "subject");
    hw_values_row(t, "cursor", delivery, "cursor");
    hw_values_row(t, "attempts", delivery, "attempts");
    hw_values_row_time(t, "created", delivery, "created_at", now);
    hw_values_row_time(t, "updated", delivery, "updated_at", now);
    hw_values_row_time(t, "last attempt", delivery, "last_attempt_at", now);
    hw_values_row_time(t, "next attempt", delivery, "next_attempt_at", now);
    hw_values_row(t, "response code", delivery, "response_code");
    if (json_is_object(error)) {
        hw_table_adds(t, "error");
        add_error(t, error);
    }
}

/* --- attempts ---------------------------------------------------------------------- */

static void add_attempt(struct hw_table *t, const json_t *attempt)
{
    const json_t *phases = json_object_get(attempt, "phases");

    hw_values_add(t, attempt, "number");
    hw_values_add(t, attempt, "started_at");
    hw_values_add(t, attempt, "duration_ms");
    hw_values_add(t, phases, "dns_ms");
    hw_values_add(t, phases, "connect_ms");
    hw_values_add(t, phases, "tls_ms");
    hw_values_add(t, phases, "first_byte_ms");
    if (json_is_true(json_object_get(attempt, "reused")))
        hw_table_adds(t, "reused");
    else
        hw_table_adds(t, "new");
    hw_values_add(t, attempt, "address");
    hw_values_add(t, attempt, "tls_version");
    hw_values_add(t, attempt, "response_code");
    add_error(t, json_object_get(attempt, "error"));
}

static void heading(struct hw_shell *s, const char *text)
{
    printf("\n%s%s%s\n", hw_screen_tone(&s->screen, HW_TONE_TITLE), text,
           hw_screen_end(&s->screen, HW_TONE_TITLE));
}

static enum hw_status show_attempts(struct hw_shell *s, const json_t *log)
{
    static const struct hw_column columns[] = {
        { "#", 0, 0, true },        { "STARTED", 0, 4, false },    { "TOOK ms", 0, 0, true },
        { "DNS", 0, 0, true },      { "CONNECT", 0, 0, true },     { "TLS", 0, 0, true },
        { "ANSWER", 0, 0, true },   { "CONNECTION", 0, 2, false }, { "ADDRESS", 0, 1, false },
        { "VERSION", 0, 3, false }, { "CODE", 0, 0, true },        { "ERROR", 20, 0, false },
    };
    struct hw_table table;
    enum hw_status status;
    const json_t *attempt;
    size_t i;

    if (json_array_size(log) == 0)
        return HW_OK;
    putchar('\n');
    hw_table_init(&table, columns, sizeof columns / sizeof *columns);
    json_array_foreach (log, i, attempt)
        add_attempt(&table, attempt);
    status = hw_table_flush(&table, &s->screen, stdout);
    hw_table_close(&table);
    return status;
}

/* --- heads and bodies -------------------------------------------------------------- */

static void put_line(struct hw_slice text)
{
    struct hw_buf safe;

    hw_buf_init(&safe, SIZE_MAX);
    hw_screen_text(&safe, text);
    printf("  %.*s\n", HW_SLICE_FMT(hw_buf_slice(&safe)));
    hw_buf_close(&safe);
}

static void put_headers(const json_t *headers)
{
    const char *name;
    json_t *value;
    struct hw_buf line;

    hw_buf_init(&line, SIZE_MAX);
    json_object_foreach ((json_t *)headers, name, value) {
        hw_buf_reset(&line);
        hw_buf_appendf(&line, "%s: ", name);
        hw_buf_append(&line, json_string_value(value), json_string_length(value));
        put_line(hw_buf_slice(&line));
    }
    hw_buf_close(&line);
}

/* Line by line, behind an empty one. */
static void put_body(struct hw_slice body)
{
    if (body.len > 0)
        putchar('\n');
    while (body.len > 0) {
        struct hw_slice line = hw_slice(body.data, hw_slice_find(body, '\n'));

        body = hw_slice_from(body, line.len + 1);
        if (line.len > 0 && line.data[line.len - 1] == '\r')
            line.len--;
        put_line(line);
    }
}

static void show_response(struct hw_shell *s, const json_t *attempt)
{
    const json_t *headers = json_object_get(attempt, "response_headers");
    struct hw_slice body = hw_values_text(attempt, "response_body");
    char title[64];

    if (!json_is_object(headers) && body.len == 0)
        return;
    snprintf(title, sizeof title, "Response to attempt %" JSON_INTEGER_FORMAT,
             json_integer_value(json_object_get(attempt, "number")));
    heading(s, title);
    put_headers(headers);
    put_body(body);
}

static void show_request(struct hw_shell *s, const json_t *request)
{
    if (!json_is_object(request))
        return;
    heading(s, "Request");
    put_headers(json_object_get(request, "headers"));
    put_body(hw_values_text(request, "body"));
}

int hw_inspect_show(struct hw_shell *s, json_t *delivery)
{
    const json_t *log = json_object_get(delivery, "attempt_log"), *attempt;
    enum hw_status status = HW_OK;
    int exit_code = hw_shell_show(s, json_incref(delivery), add_delivery);
    size_t i;

    if (exit_code == 0 && !s->wishes.is_json) {
        status = show_attempts(s, log);
        json_array_foreach (log, i, attempt)
            show_response(s, attempt);
        show_request(s, json_object_get(delivery, "request"));
    }
    json_decref(delivery);
    return status == HW_OK ? exit_code : 1;
}
