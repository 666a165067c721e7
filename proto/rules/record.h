/*
 * record - the event record: the one JSON object that is a delivery's body, a line of
 * the feed, and what the ledger keeps.
 *
 * {"id":…,"type":…,"timestamp":…,"account":…[,"subject":…],"level":…,"data":<payload>}
 *
 * CR and LF between the payload's tokens become spaces when the record is written; every
 * other byte of the payload stays.
 *
 * The member `raw` is found under any spelling of its name (with \u escapes, too).  A name
 * that is there several times has no agreed meaning (RFC 8259 4); what is left out then
 * reaches from the first `raw` to the last, members between them included, so that none
 * of them gets out.
 *
 * Memory    a view borrows from the record's bytes.
 * Errors    a record that we did not write ourselves is refused (false).  The data in it
 *           is not checked again.
 * Cost      read: what precedes the data once, and a memmem over the data; it is walked
 *           only where it seems to have a `raw`.
 */
#ifndef HW_RULES_RECORD_H
#define HW_RULES_RECORD_H

#include "base/buf.h"
#include "rules/entry.h"
#include "rules/json.h"

struct hw_record {
    struct hw_slice bytes; /* all of it */
    struct hw_slice id;
    struct hw_slice type;
    struct hw_slice timestamp;
    struct hw_slice account;
    struct hw_slice subject; /* as JSON text without quotes: escapes as written; empty: none */
    bool has_subject;
    enum hw_level level;
    struct hw_slice data;
    size_t raw_from; /* the top-level member raw of data, with the comma that goes with it: */
    size_t raw_to;   /* bytes[raw_from, raw_to) is left out; both 0: no such member */
};

/* Append the record of a checked entry. */
HW_MUST_USE enum hw_status hw_record_write(struct hw_buf *out, const struct hw_entry *e);

/* Take a record apart, the place of the member raw included. */
HW_MUST_USE bool hw_record_read(struct hw_record *r, struct hw_slice bytes);

/* The body that a webhook gets, as one or two pieces (returns how many). */
size_t hw_record_body(const struct hw_record *r, bool format_raw, bool include_raw,
                      struct hw_slice pieces[2]);

/* The subject with escapes undone, for the header and for comparison; appended. */
HW_MUST_USE enum hw_status hw_record_subject(const struct hw_record *r, struct hw_buf *out);

#endif
