#include "store/batch.h"

#include "hookwheel/alloc.h"

enum {
    BYTES_MAX = 512 * 1024 * 1024, /* the largest value that Redis takes */
    CUT_BYTES = 32 * 1024 * 1024,
    KEEP_BYTES = 4 * 1024 * 1024
};

void hw_batch_init(struct hw_batch *b)
{
    memset(b, 0, sizeof *b);
    hw_buf_init(&b->bytes, BYTES_MAX);
}

void hw_batch_close(struct hw_batch *b)
{
    hw_buf_close(&b->bytes);
    hw_free(b->entries);
    hw_free(b->fields);
    hw_batch_init(b);
}

static size_t bytes_of(const struct hw_reply *fields)
{
    size_t n_bytes = 0;

    for (size_t k = 0; k < fields->n_items; k++)
        n_bytes += fields->items[k].text.len;
    return n_bytes;
}

/* How many of the entries are kept, and what they need, all together. */
static size_t measure(const struct hw_reply *entries, size_t *n_fields, size_t *n_bytes)
{
    *n_fields = *n_bytes = 0;
    for (size_t i = 0; i < entries->n_items; i++) {
        const struct hw_reply *fields = hw_reply_item(&entries->items[i], 1);
        size_t more = bytes_of(fields);
        if (*n_bytes > 0 && more > 0 && *n_bytes + more > CUT_BYTES)
            return i;
        *n_fields += fields->n_items / 2;
        *n_bytes += more;
    }
    return entries->n_items;
}

static bool reserve(struct hw_batch *b, size_t n_entries, size_t n_fields, size_t n_bytes)
{
    void *p;

    hw_buf_reset(&b->bytes);
    if (b->bytes.cap > KEEP_BYTES) {
        hw_buf_close(&b->bytes);
        hw_buf_init(&b->bytes, BYTES_MAX);
    }
    if (hw_buf_reserve(&b->bytes, n_bytes + 1) != HW_OK)
        return false;
    if (n_entries > b->entries_cap) {
        if ((p = hw_realloc(b->entries, n_entries * sizeof *b->entries)) == NULL)
            return false;
        b->entries = p;
        b->entries_cap = n_entries;
    }
    if (n_fields > b->fields_cap) {
        if ((p = hw_realloc(b->fields, n_fields * sizeof *b->fields)) == NULL)
            return false;
        b->fields = p;
        b->fields_cap = n_fields;
    }
    return true;
}

/* The room is there already, so nothing moves and nothing fails. */
static struct hw_slice copy(struct hw_batch *b, struct hw_slice text)
{
    char *at = hw_buf_space(&b->bytes);

    if (text.len > 0)
        memcpy(at, text.data, text.len);
    hw_buf_commit(&b->bytes, text.len);
    return hw_slice(at, text.len);
}

static void copy_fields(struct hw_batch *b, struct hw_ingest_entry *e,
                        const struct hw_reply *fields, struct hw_entry_field *into,
                        struct hw_slice engine_key)
{
    e->fields = into;
    e->n_fields = fields->n_items / 2;
    e->is_engines_own = false;
    for (size_t i = 0; i < e->n_fields; i++) {
        into[i].name = copy(b, fields->items[2 * i].text);
        into[i].value = copy(b, fields->items[2 * i + 1].text);
        if (hw_slice_is(into[i].name, "engine_key") && engine_key.len > 0 &&
            hw_slice_eq(into[i].value, engine_key))
            e->is_engines_own = true;
    }
}

enum hw_status hw_batch_keep(struct hw_batch *b, const struct hw_reply *entries,
                             const char *engine_key)
{
    size_t n_fields, at = 0, n_kept = measure(entries, &n_fields, &b->n_bytes);

    b->n_entries = 0;
    b->is_cut = n_kept < entries->n_items;
    if (!reserve(b, n_kept, n_fields, b->n_bytes))
        return HW_ENOMEM;
    for (size_t i = 0; i < n_kept; i++) {
        struct hw_ingest_entry *e = &b->entries[b->n_entries];
        const struct hw_reply *fields = hw_reply_item(&entries->items[i], 1);
        if (fields->n_items < 2 ||
            !hw_stream_id_parse(&e->id, hw_reply_item(&entries->items[i], 0)->text))
            continue;
        copy_fields(b, e, fields, b->fields + at, hw_slice_str(engine_key));
        at += e->n_fields;
        b->n_entries++;
    }
    return HW_OK;
}
