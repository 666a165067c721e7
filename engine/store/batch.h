/*
 * batch - entries of the ingress stream, copied out of the reply they came in.
 *
 * Of entries that are large together only the first are kept, at least one: the others are pending
 * in Redis and come again.
 *
 * Memory    three blocks that grow and are used again, up to 4 MiB of bytes between batches;
 *           everything an entry points to is in them and stays put until the next keep.  A batch
 *           is bounded by 32 MiB of bytes and one entry.
 */
#ifndef HW_STORE_BATCH_H
#define HW_STORE_BATCH_H

#include "redis/reply.h"
#include "rules/entry.h"

struct hw_ingest_entry {
    struct hw_stream_id id;
    const struct hw_entry_field *fields;
    size_t n_fields;     /* at least 1 */
    bool is_engines_own; /* carries our engine_key: types webhook.* are allowed */
};

struct hw_batch {
    struct hw_ingest_entry *entries; /* owned */
    size_t n_entries, entries_cap;
    bool is_cut; /* some at the end were left out */
    size_t n_bytes;                /* of all names and values */
    struct hw_entry_field *fields; /* owned */
    size_t fields_cap;
    struct hw_buf bytes;
};

void hw_batch_init(struct hw_batch *b);
void hw_batch_close(struct hw_batch *b);

/* entries: {{id, {name, value ...}} ...} as XREADGROUP tells them.  One without fields (deleted
 * while pending) is left out. */
HW_MUST_USE enum hw_status hw_batch_keep(struct hw_batch *b, const struct hw_reply *entries,
                                         const char *engine_key);

#endif
