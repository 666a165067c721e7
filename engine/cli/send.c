/*
 * send - events into the stream.
 *
 *   on_up -> pump: next event -> check -> XADD, while a slot is free and not too many
 *            bytes are under way
 *   answer -> slot is free again -> pump at the end of the turn
 *   no more events and no answer missing -> report, close
 *
 * Every command of a turn leaves in one write (redis.h), so a file goes at the speed of
 * Redis.  Failures: an event that the daemon would not take stops there, what was before it
 * is sent, and the line is named; Redis not there, full or read-only: one line, exit code 1.
 * A connection lost in the middle says how many events were left without an answer: they
 * may or may not be in the stream (give events an `id` and send them again).
 */
#include "cli/send.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/list.h"
#include "base/must.h"
#include "cli/event_line.h"
#include "cli/lines.h"
#include "hookwheel/alloc.h"
#include "options.h"
#include "store/embedded.h"
#include "store/redis.h"

enum {
    SLOTS = 1024,
    UNDER_WAY_BYTES_MAX = 8 * 1024 * 1024,
    LOOK_AGAIN_MS = 20, /* at a pipe that had nothing */
    PROGRESS_MS = 100,
    REPLY_TIMEOUT_MS = 30000,
    LINE_OVERHEAD_MAX = 64 * 1024 /* of a line around its payload */
};

struct send;

/* One XADD under way. */
struct slot {
    struct hw_redis_req req;
    struct hw_list link; /* in send.free, or under way */
    struct send *send;   /* borrowed */
    struct hw_command command;
};

struct send {
    struct hw_options options;
    const char *file; /* NULL: one event from the command line */
    const char *account, *subject, *id, *level, *timestamp, *traceparent;
    const char *type;
    bool is_quiet, wants_help;

    uv_loop_t uv;
    struct hw_loop loop;
    struct hw_redis_target target;
    struct hw_trust *trust; /* owned; NULL: not TLS */
    struct hw_redis *redis; /* owned */
    struct hw_metrics metrics;
    struct hw_config keys; /* a copy of options.config: the stream's name */
    struct hw_turn_hook pump;
    struct hw_wheel_entry look_again, progress;
    struct slot slots[SLOTS];
    struct hw_list free;
    size_t n_under_way, bytes_under_way;

    struct hw_lines lines;
    struct hw_buf payload; /* of the one event */
    struct hw_event_line event;
    bool has_more; /* events to send */
    bool is_up;    /* was connected at least once */
    bool is_ending;
    bool shows_progress;
    uint64_t n_sent; /* answered */
    hw_mono_us began_us;
    char entry_id[48]; /* of the newest answer */
    struct hw_cause failure;
    int exit_code;
};

#define AT(field) .offset = offsetof(struct send, field), .traits = HW_FLAG_NO_ENV

/* clang-format off */
static const struct hw_flag rows[] = {
    { "file", HW_FLAG_TEXT, "FILE", AT(file),
      .help = "one event a line, as JSON objects {\"type\":…,\"payload\":…[,\"account\":…]}; - is standard input" },
    { "account", HW_FLAG_TEXT, "NAME", AT(account), .otherwise = "default", .help = "the event's account" },
    { "subject", HW_FLAG_TEXT, "TEXT", AT(subject), .help = "what the event is about" },
    { "id", HW_FLAG_TEXT, "ID", AT(id), .help = "the event's id; the same id twice in 24 h is one event" },
    { "level", HW_FLAG_TEXT, "LEVEL", AT(level), .otherwise = "user", .help = "user or progress" },
    { "timestamp", HW_FLAG_TEXT, "TIME", AT(timestamp), .otherwise = "now", .help = "when it happened, RFC 3339" },
    { "traceparent", HW_FLAG_TEXT, "TEXT", AT(traceparent), .help = "W3C Trace Context to pass on" },
    { "quiet", HW_FLAG_SWITCH, NULL, AT(is_quiet), .help = "print nothing but errors" },
    { "help", HW_FLAG_SWITCH, NULL, AT(wants_help), .help = "print this and exit" },
};
/* clang-format on */

/* ------------------------------------------------------------------ ending */

static void on_loop_closed(struct hw_loop *loop)
{
    (void)loop;
}

static void on_redis_closed(void *data)
{
    struct send *s = data;

    s->redis = NULL;
    hw_loop_close(&s->loop, on_loop_closed);
}

/* Once: the first reason wins. */
static void send_end(struct send *s, const struct hw_cause *why)
{
    if (s->is_ending)
        return;
    s->is_ending = true;
    if (why != NULL) {
        s->failure = *why;
        s->exit_code = 1;
    }
    hw_loop_cancel(&s->loop, &s->look_again);
    hw_loop_cancel(&s->loop, &s->progress);
    hw_turn_hook_remove(&s->pump);
    hw_redis_close(s->redis, on_redis_closed, s);
}

/* ------------------------------------------------------------------ sending */

static const char *trouble_text(enum hw_redis_trouble trouble)
{
    switch (trouble) {
    case HW_REDIS_FULL:
        return "Redis is full (maxmemory)";
    case HW_REDIS_UNSAVED:
        return "Redis cannot write to its disk";
    case HW_REDIS_READONLY:
        return "Redis is read-only or still loading";
    case HW_REDIS_GONE:
        return "the connection to Redis was lost";
    default:
        return "Redis refused the event";
    }
}

static void on_added(struct hw_redis_req *req, enum hw_redis_trouble trouble,
                     const struct hw_reply *reply, const struct hw_cause *cause)
{
    struct slot *slot = HW_CONTAINER_OF(req, struct slot, req);
    struct send *s = slot->send;
    struct hw_cause why = { 0 };

    s->n_under_way--;
    s->bytes_under_way -= hw_buf_len(&slot->command.args);
    /* Last in, first out: few slots grow a buffer for large payloads. */
    hw_list_push_front(&s->free, &slot->link);
    if (s->is_ending)
        return;
    if (trouble != HW_REDIS_FINE) {
        hw_cause_set(&why, HW_ECONN, HW_ORIGIN_US, 0, "%s%s%.80s", trouble_text(trouble),
                     cause && cause->note[0] ? ": " : "", cause ? cause->note : "");
        send_end(s, &why);
        return;
    }
    s->n_sent++;
    snprintf(s->entry_id, sizeof s->entry_id, "%.*s", HW_SLICE_FMT(reply->text));
    hw_turn_hook_ask(&s->loop, &s->pump);
}

static enum hw_status send_event(struct send *s, struct hw_cause *cause)
{
    struct slot *slot = HW_CONTAINER_OF(hw_list_pop(&s->free), struct slot, link);
    struct hw_command *c = &slot->command;
    enum hw_status status;

    hw_command_reset(c);
    hw_command_str(c, "XADD");
    hw_command_str(c, s->keys.stream);
    hw_command_str(c, "*");
    for (size_t i = 0; i < s->event.n_fields; i++) {
        hw_command_add(c, s->event.fields[i].name);
        hw_command_add(c, s->event.fields[i].value);
    }
    status = hw_redis_send(s->redis, &slot->req, c, on_added);
    if (status != HW_OK) {
        hw_list_push_front(&s->free, &slot->link);
        return hw_cause_set(cause, status, HW_ORIGIN_US, 0, "the event cannot be sent: %s",
                            hw_status_text(status));
    }
    s->n_under_way++;
    s->bytes_under_way += hw_buf_len(&c->args);
    return HW_OK;
}

static bool is_blank(struct hw_slice line)
{
    for (size_t i = 0; i < line.len; i++)
        if (line.data[i] != ' ' && line.data[i] != '\t')
            return false;
    return true;
}

/* The next event into s->event; HW_LINES_END: there is none. */
static enum hw_lines_result next_event(struct send *s, struct hw_cause *cause)
{
    struct hw_cause why = { 0 };
    enum hw_lines_result result;
    struct hw_slice line;

    if (s->file == NULL) {
        result = s->has_more ? HW_LINES_ONE : HW_LINES_END;
        s->has_more = false;
        return result;
    }
    do
        result = hw_lines_next(&s->lines, &line, cause);
    while (result == HW_LINES_ONE && is_blank(line));
    if (result != HW_LINES_ONE)
        return result;
    if (hw_event_line_read(&s->event, line, &why) == HW_OK &&
        hw_event_line_check(&s->event, s->keys.max_payload_bytes, &why) == HW_OK)
        return HW_LINES_ONE;
    hw_cause_set(cause, HW_EINVAL, HW_ORIGIN_US, 0, "line %llu: %.120s",
                 (unsigned long long)s->lines.n_lines, why.note);
    return HW_LINES_FAILED;
}

/* A line that cannot be sent: what was sent before it is waited for, then it is told. */
static void send_stop_at(struct send *s, const struct hw_cause *why)
{
    s->has_more = false;
    s->failure = *why;
    s->exit_code = 1;
}

static void send_more(struct send *s)
{
    struct hw_cause cause = { 0 };

    while (s->has_more && !hw_list_is_empty(&s->free) &&
           s->bytes_under_way < UNDER_WAY_BYTES_MAX) {
        switch (next_event(s, &cause)) {
        case HW_LINES_ONE:
            if (send_event(s, &cause) != HW_OK)
                send_stop_at(s, &cause);
            break;
        case HW_LINES_LATER:
            hw_loop_arm(&s->loop, &s->look_again, LOOK_AGAIN_MS);
            return;
        case HW_LINES_END:
            s->has_more = false;
            break;
        case HW_LINES_FAILED:
            send_stop_at(s, &cause);
            break;
        }
    }
}

static void on_pump(struct hw_turn_hook *hook)
{
    struct send *s = HW_CONTAINER_OF(hook, struct send, pump);

    if (s->is_ending)
        return;
    send_more(s);
    if (!s->has_more && s->n_under_way == 0)
        send_end(s, NULL);
}

static void on_look_again(struct hw_wheel_entry *e)
{
    struct send *s = HW_CONTAINER_OF(e, struct send, look_again);

    hw_turn_hook_ask(&s->loop, &s->pump);
}

/* ------------------------------------------------------------------ Redis */

static void on_up(void *data)
{
    struct send *s = data;

    s->is_up = true;
    hw_turn_hook_ask(&s->loop, &s->pump);
}

/* A command for people does not wait for a Redis that is not there. */
static void on_down(void *data, const struct hw_cause *cause)
{
    struct send *s = data;
    struct hw_cause why = { 0 };

    if (s->is_up)
        hw_cause_set(&why, HW_ECONN, HW_ORIGIN_US, 0,
                     "the connection to Redis was lost: %.80s", cause->note);
    else if (s->options.config.redis_url == NULL)
        hw_cause_set(&why, HW_ECONN, HW_ORIGIN_US, 0,
                     "no embedded Redis in %.90s: is `hookwheel serve` running there?",
                     s->keys.data_dir);
    else
        hw_cause_set(&why, HW_ECONN, HW_ORIGIN_US, 0, "cannot reach Redis: %.110s",
                     cause->note);
    send_end(s, &why);
}

static const struct hw_redis_events redis_events = { .on_up = on_up, .on_down = on_down };

static enum hw_status find_target(struct send *s, struct hw_cause *cause)
{
    const struct hw_config *config = &s->options.config;

    if (config->redis_url == NULL)
        return hw_embedded_target(&s->target, config->data_dir, cause);
    return hw_redis_target_parse(&s->target, hw_slice_str(config->redis_url), cause);
}

static enum hw_status open_redis(struct send *s, struct hw_cause *cause)
{
    struct hw_redis_options options = {
        .target = &s->target,
        .metrics = &s->metrics,
        .name = "hookwheel-send",
        .reply_timeout_ms = REPLY_TIMEOUT_MS,
        .events = &redis_events,
        .data = s,
    };

    if (s->target.is_tls) {
        enum hw_status status = hw_trust_open(&s->trust, s->keys.ca_file, true, cause);
        if (status != HW_OK)
            return status;
    }
    options.trust = s->trust;
    return hw_redis_open(&s->redis, &s->loop, &options, cause);
}

/* ------------------------------------------------------------------ progress */

static void draw_progress(const struct send *s)
{
    enum { WIDTH = 30 };
    char bar[WIDTH + 1];
    double part =
        s->lines.all_bytes ? (double)s->lines.n_bytes / (double)s->lines.all_bytes : 0;
    int filled = (int)(part * WIDTH);

    for (int i = 0; i < WIDTH; i++)
        bar[i] = i < filled ? '#' : '.';
    bar[WIDTH] = '\0';
    if (s->lines.all_bytes > 0)
        fprintf(stderr, "\r[%s] %3d %%  %llu events ", bar, (int)(part * 100),
                (unsigned long long)s->n_sent);
    else
        fprintf(stderr, "\r%llu events ", (unsigned long long)s->n_sent);
}

static void on_progress(struct hw_wheel_entry *e)
{
    struct send *s = HW_CONTAINER_OF(e, struct send, progress);

    draw_progress(s);
    hw_loop_arm(&s->loop, &s->progress, PROGRESS_MS);
}

/* ------------------------------------------------------------------ start to end */

static enum hw_status read_payload(struct send *s, const char *json, struct hw_cause *cause)
{
    ssize_t n;

    hw_buf_init(&s->payload, s->options.config.max_payload_bytes + 64 * 1024);
    if (json == NULL || strcmp(json, "-") != 0) {
        hw_buf_append_str(&s->payload, json ? json : "{}");
    } else {
        do {
            if (hw_buf_reserve(&s->payload, 16 * 1024) != HW_OK)
                break;
            n = read(STDIN_FILENO, hw_buf_space(&s->payload), 16 * 1024);
            hw_buf_commit(&s->payload, n > 0 ? (size_t)n : 0);
        } while (n > 0);
    }
    if (hw_buf_failed(&s->payload) != HW_OK)
        return hw_cause_set(cause, HW_EINVAL, HW_ORIGIN_US, 0, "not a good event: too_large");
    return HW_OK;
}

static enum hw_status prepare_one(struct send *s, int n_words, char **words,
                                  struct hw_cause *cause)
{
    struct hw_event_line *e = &s->event;
    enum hw_status status;

    if (n_words < 1 || n_words > 2)
        return hw_cause_set(cause, HW_EINVAL, HW_ORIGIN_US, 0,
                            "wants TYPE [JSON|-], or --file FILE (see --help)");
    s->type = words[0];
    status = read_payload(s, n_words > 1 ? words[1] : NULL, cause);
    if (status != HW_OK)
        return status;
    hw_event_line_add(e, "type", hw_slice_str(s->type));
    hw_event_line_add(e, "payload", hw_buf_slice(&s->payload));
    hw_event_line_add(e, "account", hw_slice_str(s->account));
    hw_event_line_add(e, "subject", hw_slice_str(s->subject));
    hw_event_line_add(e, "id", hw_slice_str(s->id));
    hw_event_line_add(e, "level", hw_slice_str(s->level));
    hw_event_line_add(e, "timestamp", hw_slice_str(s->timestamp));
    hw_event_line_add(e, "traceparent", hw_slice_str(s->traceparent));
    return hw_event_line_check(e, s->options.config.max_payload_bytes, cause);
}

static enum hw_status prepare_file(struct send *s, int n_words, struct hw_cause *cause)
{
    if (n_words > 0 || s->account || s->subject || s->id || s->level || s->timestamp ||
        s->traceparent)
        return hw_cause_set(cause, HW_EINVAL, HW_ORIGIN_US, 0,
                            "with --file everything about an event is in its line");
    s->shows_progress = !s->is_quiet && isatty(STDERR_FILENO);
    return hw_lines_open(&s->lines, s->file,
                         s->options.config.max_payload_bytes + LINE_OVERHEAD_MAX, cause);
}

static void slots_init(struct send *s)
{
    hw_list_init(&s->free);
    for (size_t i = 0; i < SLOTS; i++) {
        s->slots[i].send = s;
        hw_command_init(&s->slots[i].command);
        hw_list_push_back(&s->free, &s->slots[i].link);
    }
}

static enum hw_status start(struct send *s, struct hw_cause *cause)
{
    enum hw_status status = hw_loop_init(&s->loop, &s->uv, cause);

    if (status != HW_OK)
        return status;
    slots_init(s);
    hw_metrics_init(&s->metrics);
    hw_turn_hook_add(&s->loop, &s->pump, on_pump);
    hw_wheel_entry_init(&s->look_again, on_look_again);
    hw_wheel_entry_init(&s->progress, on_progress);
    s->began_us = hw_loop_us();
    status = open_redis(s, cause);
    if (status != HW_OK) {
        hw_turn_hook_remove(&s->pump);
        hw_loop_close(&s->loop, on_loop_closed);
        return status;
    }
    if (s->shows_progress)
        hw_loop_arm(&s->loop, &s->progress, PROGRESS_MS);
    return HW_OK;
}

static void report(struct send *s)
{
    double seconds = (double)(hw_loop_us() - s->began_us) / 1e6;
    unsigned long long n = s->n_sent;

    if (s->shows_progress) {
        draw_progress(s);
        fputc('\n', stderr);
    }
    if (s->exit_code != 0) {
        fprintf(stderr, "hookwheel send: %s", s->failure.note);
        if (s->file != NULL)
            fprintf(stderr, " (%llu events were sent before)", n);
        fputc('\n', stderr);
    } else if (s->is_quiet) {
        return;
    } else if (s->file != NULL) {
        printf("sent %llu events in %.2f s (%.0f/s)\n", n, seconds,
               seconds > 0 ? (double)n / seconds : 0);
    } else {
        struct hw_stream_id entry;
        char id[HW_ID_MAX];

        if (s->id == NULL && hw_stream_id_parse(&entry, hw_slice_str(s->entry_id))) {
            hw_id_event(entry, id);
            puts(id);
        } else {
            puts(s->id ? s->id : s->entry_id);
        }
    }
}

static void send_close(struct send *s)
{
    for (size_t i = 0; i < SLOTS; i++)
        hw_command_close(&s->slots[i].command);
    hw_event_line_close(&s->event);
    hw_buf_close(&s->payload);
    if (s->file != NULL)
        hw_lines_close(&s->lines);
    hw_redis_target_close(&s->target);
    hw_trust_close(s->trust);
    hw_config_close(&s->keys);
}

static int usage_error(const struct hw_cause *cause)
{
    fprintf(stderr, "hookwheel send: %s\n", cause->note);
    return 2;
}

static void print_help(struct send *s)
{
    struct hw_flag_set own = { rows, sizeof rows / sizeof *rows, s, 0, NULL };
    struct hw_flag_set shared = hw_options_flags(&s->options, HW_FLAG_CLIENT);

    puts("Usage: hookwheel send TYPE [JSON|-] [flags]\n"
         "       hookwheel send --file FILE [flags]\n\n"
         "Enqueues events: one from the command line (no JSON: {}; -: from standard\n"
         "input), or one a line.\n");
    hw_flags_help(&own, stdout);
    puts("\nWhere to (environment variables too, as for `hookwheel serve`):");
    hw_flags_help(&shared, stdout);
}

/* Everything that can be wrong about how it was called. */
static enum hw_status prepare(struct send *s, int argc, char **argv, struct hw_cause *cause)
{
    struct hw_flag_set sets[] = {
        { rows, sizeof rows / sizeof *rows, s, 0, NULL },
        hw_options_flags(&s->options, HW_FLAG_CLIENT),
    };
    int n_words = 0;
    enum hw_status status = hw_flags_read(sets, 2, argc, argv, &n_words, cause);

    if (status != HW_OK || s->wants_help)
        return status;
    status =
        s->file ? prepare_file(s, n_words, cause) : prepare_one(s, n_words, argv + 1, cause);
    if (status == HW_OK)
        status = hw_config_copy(&s->keys, &s->options.config);
    if (status == HW_OK)
        status = find_target(s, cause);
    return status;
}

int hw_send_run(int argc, char **argv)
{
    struct send *s = hw_calloc(1, sizeof *s);
    struct hw_cause cause = { 0 };
    int exit_code;

    if (s == NULL) {
        fputs("hookwheel send: out of memory\n", stderr);
        return 1;
    }
    hw_options_init(&s->options);
    hw_event_line_init(&s->event);
    s->has_more = true;
    if (prepare(s, argc, argv, &cause) != HW_OK) {
        exit_code = usage_error(&cause);
    } else if (s->wants_help) {
        print_help(s);
        exit_code = 0;
    } else {
        HW_MUST(uv_loop_init(&s->uv) == 0);
        if (start(s, &cause) != HW_OK) {
            s->failure = cause;
            s->exit_code = 1;
        }
        uv_run(&s->uv, UV_RUN_DEFAULT);
        HW_MUST(uv_loop_close(&s->uv) == 0);
        report(s);
        exit_code = s->exit_code;
    }
    send_close(s);
    hw_free(s);
    return exit_code;
}

size_t hw_send_flags(struct hw_flag_set sets[])
{
    sets[0] = (struct hw_flag_set){ .rows = rows, .n_rows = sizeof rows / sizeof *rows };
    sets[1] = hw_options_flags(NULL, HW_FLAG_CLIENT);
    return 2;
}
