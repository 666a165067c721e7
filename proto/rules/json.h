/*
 * json - is this one JSON text?  And writing strings.
 *
 * The check is RFC 8259 to the letter, in one pass, without a tree and without memory:
 * well-formed UTF-8 (no overlong forms, no surrogates, nothing above U+10FFFF), no byte
 * order mark, nothing behind the text.  What the grammar leaves open is accepted and
 * passed on as it is: numbers of any size, repeated names, \u0000, a lone surrogate
 * written as an escape (8.2).
 *
 * Written by hand because the one streaming parser in C that distributions package, yajl
 * 2.1, accepts overlong UTF-8, encoded surrogates and code points past the end, and takes
 * vertical tab and form feed for white space; and takes three times as long.
 *
 * Memory    none.
 * Cost      about 1 ns a byte; long plain strings 0.2 ns.
 */
#ifndef HW_RULES_JSON_H
#define HW_RULES_JSON_H

#include "base/buf.h"
#include "rules/entry.h"

#define HW_JSON_DEPTH_MAX  64  /* levels of [ and { in what others send; a scalar has none */
#define HW_JSON_LEVELS_MAX 128 /* that can be checked: such a text, and what is around it */

/* HW_ENTRY_GOOD, HW_ENTRY_BAD_JSON or HW_ENTRY_TOO_DEEP, whichever the pass meets first.
 * max_depth at most HW_JSON_LEVELS_MAX. */
enum hw_entry_reason hw_json_check(struct hw_slice text, unsigned max_depth);

/* Append `text` as a JSON string with quotes.  What is not UTF-8 in it becomes U+FFFD. */
HW_MUST_USE enum hw_status hw_json_string(struct hw_buf *out, struct hw_slice text);

/* One member of an object, as ranges of the text. */
struct hw_json_member {
    struct hw_slice name; /* between the quotes, escapes as written */
    struct hw_slice value;
};

/* Step through the members of an object that hw_json_check found good: *at begins as the
 * whole object and is what is left after each.  false: no more.  In a text that was not
 * checked the ranges mean nothing, but stay inside it. */
bool hw_json_next_member(struct hw_slice *at, struct hw_json_member *member);

/* The same with the items of an array. */
bool hw_json_next_item(struct hw_slice *at, struct hw_slice *item);

/* Is this the name `plain` (ASCII letters), however it is escaped? */
bool hw_json_name_is(struct hw_slice name, const char *plain);

#endif
