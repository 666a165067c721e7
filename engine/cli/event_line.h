/*
 * event_line - one event to enqueue, from a line of JSON or from the command line.
 *
 * A line is one object: {"type":…,"payload":…[,"account":…,"subject":…,"id":…,"level":…,
 * "timestamp":…,"traceparent":…]}.  The payload's bytes go into Redis as they stand in the
 * line; the other members are strings.
 *
 * Checked here with the rules the daemon applies, so that a mistake is told to the one who
 * made it instead of ending in the rejected stream.
 *
 * Memory    fields borrow from the line, and from `text` where an escape had to be undone.
 * Errors    HW_EINVAL with one sentence.  A line is one JSON text of at most 64 levels, the
 *           object around the payload included.
 */
#ifndef HW_CLI_EVENT_LINE_H
#define HW_CLI_EVENT_LINE_H

#include "rules/entry.h"

#define HW_EVENT_LINE_FIELDS 8

struct hw_event_line {
    struct hw_entry_field fields[HW_EVENT_LINE_FIELDS]; /* names and values, for XADD */
    size_t n_fields;
    struct hw_buf text; /* values whose escapes were undone */
};

void hw_event_line_init(struct hw_event_line *e);
void hw_event_line_close(struct hw_event_line *e);

/* Take a line apart; what was there before is forgotten. */
HW_MUST_USE enum hw_status hw_event_line_read(struct hw_event_line *e, struct hw_slice line,
                                              struct hw_cause *cause);

/* Begin anew; add one field by hand (a NULL value: nothing). */
void hw_event_line_reset(struct hw_event_line *e);
void hw_event_line_add(struct hw_event_line *e, const char *name, struct hw_slice value);

/* Would the daemon take it? */
HW_MUST_USE enum hw_status hw_event_line_check(const struct hw_event_line *e,
                                               size_t max_payload_bytes, struct hw_cause *cause);

#endif
