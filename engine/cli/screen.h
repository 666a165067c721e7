/*
 * screen - what output goes to, and text from strangers made safe for it.
 *
 * A terminal obeys what is written to it.  Texts of the API hold what others chose (names,
 * subjects, whole response bodies), so whatever is no visible character is written as an
 * escape: "\x1b", "\u{202e}".
 *
 * Colour    only on a terminal, and neither where NO_COLOR is set nor on a dumb one.
 * Width     of the terminal, else COLUMNS; 0: nothing limits it (not a terminal).
 */
#ifndef HW_CLI_SCREEN_H
#define HW_CLI_SCREEN_H

#include "base/buf.h"

struct hw_screen {
    bool is_terminal;
    bool has_colour;
    unsigned width; /* in columns; 0: any */
};

enum hw_tone { HW_TONE_PLAIN, HW_TONE_GOOD, HW_TONE_UNDER_WAY, HW_TONE_BAD, HW_TONE_TITLE };

/* Also makes UTF-8 the character set of this process. */
void hw_screen_look(struct hw_screen *s, int fd);

/* Begin and end of a tone; "" where there is no colour. */
const char *hw_screen_tone(const struct hw_screen *s, enum hw_tone tone);
const char *hw_screen_end(const struct hw_screen *s, enum hw_tone tone);

/* Append `text` with nothing in it that a terminal would obey; false: no memory. */
bool hw_screen_text(struct hw_buf *out, struct hw_slice text);

/* JSON with no bytes that a terminal would obey (DEL and what lies behind ASCII may stand
 * in its strings as they are): these become \u escapes, so it means the same. */
bool hw_screen_json(struct hw_buf *out, struct hw_slice json);

/* Columns that a text takes on a screen; and the bytes of it that take at most `width`. */
unsigned hw_screen_width(struct hw_slice text);
size_t hw_screen_cut(struct hw_slice text, unsigned width);

#endif
