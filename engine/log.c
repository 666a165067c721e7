#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/slice.h"
#include "rules/entry.h"

enum { LINE_MAX_BYTES = 4096, SENTENCE_MAX = 1024 };

static const char *const level_names[] = { "debug", "info", "warn", "error" };

void hw_log_init(struct hw_log *log, int fd, enum hw_log_level level,
                 enum hw_log_format format)
{
    *log = (struct hw_log){
        .fd = fd,
        .level = level,
        .is_json = format == HW_LOG_JSON || (format == HW_LOG_AUTO && !isatty(fd)),
    };
}

/* ------------------------------------------------------------------ a line */

/* Bytes into a fixed space; what does not fit is cut, and room is kept for the end. */
struct line {
    char *out;
    size_t size;
    size_t n;
};

static void line_put(struct line *l, const char *text, size_t n)
{
    if (n > l->size - l->n)
        n = l->size - l->n;
    memcpy(l->out + l->n, text, n);
    l->n += n;
}

static void line_str(struct line *l, const char *text)
{
    line_put(l, text, strlen(text));
}

/* Length of the well-formed UTF-8 sequence at s (RFC 3629, section 4); 0: none. */
static size_t utf8_len(const unsigned char *s)
{
    size_t n = s[0] < 0x80                   ? 1
               : s[0] >= 0xC2 && s[0] < 0xE0 ? 2
               : s[0] >= 0xE0 && s[0] < 0xF0 ? 3
               : s[0] >= 0xF0 && s[0] < 0xF5 ? 4
                                             : 0;

    for (size_t i = 1; i < n; i++)
        if ((s[i] & 0xC0) != 0x80) /* a NUL ends it here */
            return 0;
    if (n >= 3 && ((s[0] == 0xE0 && s[1] < 0xA0) || (s[0] == 0xED && s[1] > 0x9F) ||
                   (s[0] == 0xF0 && s[1] < 0x90) || (s[0] == 0xF4 && s[1] > 0x8F)))
        return 0;
    return n;
}

/* C1 controls are two bytes in UTF-8 and move cursors too. */
static bool is_control(const unsigned char *s, size_t n)
{
    return (n == 1 && (s[0] < 0x20 || s[0] == 0x7F)) ||
           (n == 2 && s[0] == 0xC2 && s[1] < 0xA0);
}

static void line_escape_byte(struct line *l, unsigned char byte, bool is_json)
{
    char code[8];
    int n = snprintf(code, sizeof code, is_json ? "\\u%04x" : "\\x%02x", byte);

    if (l->size - l->n >= (size_t)n) /* never half an escape */
        line_put(l, code, (size_t)n);
}

/* Stops before a character that would not fit whole, and keeps room for a closing quote. */
static void line_text(struct line *l, const char *text, bool is_json)
{
    const unsigned char *s = (const unsigned char *)text;

    while (*s != '\0' && l->size - l->n >= 7) {
        size_t n = utf8_len(s);

        if (n == 0 || is_control(s, n)) {
            line_escape_byte(l, s[n == 2 ? 1 : 0], is_json);
        } else {
            if (is_json && (*s == '"' || *s == '\\'))
                line_put(l, "\\", 1);
            line_put(l, (const char *)s, n);
        }
        s += n ? n : 1;
    }
}

static void line_member(struct line *l, const char *name, const char *value)
{
    /* What would not fit whole is left out: a cut line is still one JSON object. */
    if (value == NULL || l->size - l->n < strlen(name) + 16)
        return;
    line_str(l, ",\"");
    line_str(l, name);
    line_str(l, "\":\"");
    line_text(l, value, true);
    line_str(l, "\"");
}

/* ------------------------------------------------------------------ events */

/* The sentence of an event for people. */
static void event_sentence(const struct hw_engine_event *e, char *out, size_t size)
{
    const char *text = e->text ? e->text : "";
    const char *subject = e->subject ? e->subject : "";
    const char *address = e->address ? e->address : "";
    const char *why = e->cause ? e->cause->note : text;
    unsigned long long count = e->count;

    switch (e->kind) {
    case HW_EVENT_LISTENING:
        snprintf(out, size, "listening on http://%s%s%s%s", address, *subject ? " (" : "",
                 subject, *subject ? ")" : "");
        break;
    case HW_EVENT_READY:
        snprintf(out, size, "ready");
        break;
    case HW_EVENT_NOT_READY:
        snprintf(out, size, "not ready: %s", text);
        break;
    case HW_EVENT_REDIS_UP:
        snprintf(out, size, "connected to Redis%s%s", *address ? " at " : "", address);
        break;
    case HW_EVENT_REDIS_DOWN:
        snprintf(out, size, "no connection to Redis%s%s: %s", *address ? " at " : "", address,
                 why);
        break;
    case HW_EVENT_REDIS_DURABILITY:
        snprintf(out, size, "durability of Redis is \"%s\"%s%s", subject, *text ? ": " : "",
                 text);
        break;
    case HW_EVENT_REDIS_EMBEDDED:
        snprintf(out, size, "embedded Redis: %s", *text ? text : why);
        break;
    case HW_EVENT_WEBHOOK_DISABLED:
        snprintf(out, size, "webhook %s is disabled: %s", subject, text);
        break;
    case HW_EVENT_EVENT_REJECTED:
        snprintf(out, size, "entry %s was rejected: %s", subject, text);
        if (count > 1) {
            size_t n = strlen(out);
            snprintf(out + n, size - n, " (%llu since the last line like this)", count);
        }
        break;
    case HW_EVENT_TAKEOVER:
        snprintf(out, size, "took over the work of instance %s%s%s", subject, *text ? ": " : "", text);
        break;
    case HW_EVENT_LIMIT_LOWERED:
        snprintf(out, size, "at most %llu attempts in flight%s%s", count, *text ? ": " : "",
                 text);
        break;
    case HW_EVENT_DRAINING:
        snprintf(out, size, "draining: %llu attempts in flight", count);
        break;
    case HW_EVENT_DRAINED:
        snprintf(out, size, "drained");
        if (count > 0)
            snprintf(out, size,
                     "drained; %llu attempts were given up on and will be made again", count);
        break;
    case HW_EVENT_STOPPED:
        snprintf(out, size, "stopped");
        break;
    case HW_EVENT_WARNING:
        if (*text && e->cause)
            snprintf(out, size, "%s: %s", text, e->cause->note);
        else
            snprintf(out, size, "%s", why);
        break;
    case HW_EVENT_REFUSED:
        snprintf(out, size, "%s", why);
        break;
    case HW_EVENT_TRACE:
    case HW_ENGINE_EVENTS:
        snprintf(out, size, "%s", text);
        break;
    }
}

static void line_head(struct line *l, const struct hw_log *log, enum hw_log_level level,
                      hw_unix_ms now)
{
    char time[HW_TIMESTAMP_MAX];
    char head[80];

    hw_timestamp_text(now, time);
    snprintf(head, sizeof head,
             log->is_json ? "{\"time\":\"%s\",\"level\":\"%s\"" : "%s %-5s ", time,
             level_names[level]);
    line_str(l, head);
}

static void line_count(struct line *l, uint64_t count)
{
    char member[40];

    if (l->size - l->n < sizeof member)
        return;
    snprintf(member, sizeof member, ",\"count\":%llu", (unsigned long long)count);
    line_str(l, member);
}

size_t hw_log_format_event(const struct hw_log *log, const struct hw_engine_event *event,
                           hw_unix_ms now, char *out, size_t size)
{
    char sentence[SENTENCE_MAX];
    /* Two bytes are kept for the end of the line and the NUL. */
    struct line l = { .out = out, .size = size - 3, .n = 0 };

    event_sentence(event, sentence, sizeof sentence);
    line_head(&l, log, (enum hw_log_level)event->level, now);
    if (log->is_json) {
        line_member(&l, "event", hw_engine_event_name(event->kind));
        line_member(&l, "message", sentence);
        line_member(&l, "address", event->address);
        line_member(&l, "account", event->account);
        line_member(&l, "subject", event->subject);
        if (event->count > 0)
            line_count(&l, event->count);
        out[l.n++] = '}';
    } else {
        line_text(&l, sentence, false);
        if (event->account != NULL && event->kind == HW_EVENT_WEBHOOK_DISABLED) {
            line_str(&l, " (account ");
            line_text(&l, event->account, false);
            line_str(&l, ")");
        }
    }
    out[l.n++] = '\n';
    out[l.n] = '\0';
    return l.n;
}

/* ------------------------------------------------------------------ writing */

static hw_unix_ms wall_clock(void)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    return (hw_unix_ms)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void log_write(const struct hw_log *log, const char *line, size_t n)
{
    ssize_t ignored = write(log->fd, line, n);

    (void)ignored; /* there is nowhere to say that saying it failed */
}

void hw_log_event(const struct hw_log *log, const struct hw_engine_event *event)
{
    char out[LINE_MAX_BYTES];

    if ((int)event->level < (int)log->level)
        return;
    log_write(log, out, hw_log_format_event(log, event, wall_clock(), out, sizeof out));
}

void hw_log_line(const struct hw_log *log, enum hw_log_level level, const char *event,
                 const char *fmt, ...)
{
    char out[LINE_MAX_BYTES], sentence[SENTENCE_MAX];
    struct line l = { .out = out, .size = sizeof out - 2, .n = 0 };
    va_list args;

    if (level < log->level)
        return;
    va_start(args, fmt);
    vsnprintf(sentence, sizeof sentence, fmt, args);
    va_end(args);
    line_head(&l, log, level, wall_clock());
    if (log->is_json) {
        line_member(&l, "event", event);
        line_member(&l, "message", sentence);
        out[l.n++] = '}';
    } else {
        line_text(&l, sentence, false);
    }
    out[l.n++] = '\n';
    log_write(log, out, l.n);
}
