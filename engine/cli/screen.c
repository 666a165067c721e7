#include "cli/screen.h"

#include <locale.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>
#include <wchar.h>

enum { WIDTH_OTHERWISE = 80, WIDTH_LEAST = 20 };

/* --- the terminal ------------------------------------------------------------------ */

static bool is_set(const char *variable)
{
    const char *value = getenv(variable);

    return value != NULL && value[0] != '\0';
}

static unsigned find_width(int fd)
{
    const char *columns = getenv("COLUMNS");
    struct winsize size;
    uint64_t width = 0;

    if (ioctl(fd, TIOCGWINSZ, &size) == 0)
        width = size.ws_col;
    if (width == 0 && !hw_slice_u64(hw_slice_str(columns), 10000, &width))
        width = WIDTH_OTHERWISE;
    return width < WIDTH_LEAST ? WIDTH_LEAST : (unsigned)width;
}

void hw_screen_look(struct hw_screen *s, int fd)
{
    const char *terminal = getenv("TERM");

    setlocale(LC_CTYPE, "C.UTF-8");
    *s = (struct hw_screen){ .is_terminal = isatty(fd) };
    if (!s->is_terminal)
        return;
    s->width = find_width(fd);
    s->has_colour = !is_set("NO_COLOR") && terminal != NULL &&
                    hw_slice_is(hw_slice_str(terminal), "dumb") == 0;
}

const char *hw_screen_tone(const struct hw_screen *s, enum hw_tone tone)
{
    static const char *const codes[] = {
        [HW_TONE_PLAIN] = "",
        [HW_TONE_GOOD] = "\x1b[32m",
        [HW_TONE_UNDER_WAY] = "\x1b[33m",
        [HW_TONE_BAD] = "\x1b[31m",
        [HW_TONE_TITLE] = "\x1b[1m",
    };

    return s->has_colour ? codes[tone] : "";
}

const char *hw_screen_end(const struct hw_screen *s, enum hw_tone tone)
{
    return s->has_colour && tone != HW_TONE_PLAIN ? "\x1b[0m" : "";
}

/* --- characters -------------------------------------------------------------------- */

struct character {
    uint32_t code;
    size_t n_bytes;
    bool is_good; /* false: one byte that is no part of a character */
    int width;    /* -1: nothing to see */
};

/* What is not seen but moves or hides what is: marks of direction, joiners, byte order. */
static bool is_hidden(uint32_t code)
{
    return code == 0xad || code == 0x61c || code == 0x180e || code == 0xfeff ||
           (code >= 0x200b && code <= 0x200f) || (code >= 0x2028 && code <= 0x202e) ||
           (code >= 0x2060 && code <= 0x206f) || (code >= 0xe0000 && code <= 0xe0fff);
}

static struct character first_of(struct hw_slice text)
{
    struct character c = { .code = (unsigned char)text.data[0], .n_bytes = 1, .width = -1 };
    mbstate_t state = { 0 };
    wchar_t wide;
    size_t n;

    if (c.code < 0x80) {
        c.is_good = true;
        c.width = c.code >= 0x20 && c.code < 0x7f ? 1 : -1;
        return c;
    }
    n = mbrtowc(&wide, text.data, text.len, &state);
    if (n == 0 || n > text.len)
        return c;
    c.n_bytes = n;
    c.code = (uint32_t)wide;
    c.is_good = true;
    c.width = is_hidden(c.code) ? -1 : wcwidth(wide);
    return c;
}

bool hw_screen_text(struct hw_buf *out, struct hw_slice text)
{
    while (text.len > 0) {
        struct character c = first_of(text);

        if (c.width >= 0)
            hw_buf_append(out, text.data, c.n_bytes);
        else if (c.code < 0x100)
            hw_buf_appendf(out, "\\x%02x", c.code);
        else
            hw_buf_appendf(out, "\\u{%x}", c.code);
        text = hw_slice_from(text, c.n_bytes);
    }
    return hw_buf_failed(out) == HW_OK;
}

static void json_escape(struct hw_buf *out, uint32_t code)
{
    if (code < 0x10000) {
        hw_buf_appendf(out, "\\u%04x", code);
        return;
    }
    code -= 0x10000;
    hw_buf_appendf(out, "\\u%04x\\u%04x", 0xd800 + (code >> 10), 0xdc00 + (code & 0x3ff));
}

bool hw_screen_json(struct hw_buf *out, struct hw_slice json)
{
    while (json.len > 0) {
        struct character c = first_of(json);

        if (c.width >= 0 || c.code == '\n')
            hw_buf_append(out, json.data, c.n_bytes);
        else
            json_escape(out, c.is_good ? c.code : 0xfffd);
        json = hw_slice_from(json, c.n_bytes);
    }
    return hw_buf_failed(out) == HW_OK;
}

unsigned hw_screen_width(struct hw_slice text)
{
    unsigned width = 0;

    while (text.len > 0) {
        struct character c = first_of(text);

        width += c.width > 0 ? (unsigned)c.width : 0;
        text = hw_slice_from(text, c.n_bytes);
    }
    return width;
}

size_t hw_screen_cut(struct hw_slice text, unsigned width)
{
    struct hw_slice rest = text;

    while (rest.len > 0) {
        struct character c = first_of(rest);
        unsigned own = c.width > 0 ? (unsigned)c.width : 0;

        if (own > width)
            break;
        width -= own;
        rest = hw_slice_from(rest, c.n_bytes);
    }
    return text.len - rest.len;
}
