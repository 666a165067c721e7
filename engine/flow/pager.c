/*
 * read     a page, the first just as large as the answer may be, later ones larger
 * look     each event goes through the filter; one more than asked for ends it: there is more
 * go on    while the feed does and not enough was found; what this page had is copied, as its
 *          bytes are gone with it
 * answer   inside the callback of the last page, from which the rest is borrowed
 */
#include "flow/pager.h"

#include "base/must.h"

enum {
    LOOK_MAX = 5000, /* events an answer */
    PAGE_GROWTH = 4, /* each page as many times larger than the one before */
    KEEP_BYTES = 1024 * 1024
};

static void on_page(struct hw_feed_read *r, enum hw_feed_result result,
                    const struct hw_feed_page *page);

static enum hw_status read_page(struct hw_pager *p)
{
    return hw_feed_read(p->store, &p->read, hw_slice_str(p->ask->account), p->from,
                        p->page_limit, HW_UPDATES_PAGE_BYTES, false, on_page);
}

/* The buffer may have moved while it grew: until now the kept ones had offsets. */
static void fix_kept(struct hw_pager *p)
{
    const char *base = hw_buf_slice(&p->kept).data;

    for (size_t i = 0; i < p->n_kept; i++)
        p->found[i].record.data = base + (size_t)p->found[i].record.data;
}

static void answer(struct hw_pager *p, bool has_more)
{
    fix_kept(p);
    p->ask->found = p->found;
    p->ask->n_found = p->n_found;
    p->ask->reached = p->from.after;
    p->ask->has_more = has_more;
    p->cb(p, HW_BACKEND_OK);
}

static bool is_wanted(struct hw_pager *p, struct hw_slice bytes)
{
    struct hw_record record;

    return hw_record_read(&record, bytes) && p->ask->wants(p->ask, &record);
}

/* false: there is one more than was asked for. */
static bool look_through(struct hw_pager *p, const struct hw_feed_page *page)
{
    p->from =
        (struct hw_feed_from){ .after = page->n_events > 0 ? p->from.after : page->reached };
    for (size_t i = 0; i < page->n_events; i++) {
        const struct hw_feed_event *e = &page->events[i];
        if (is_wanted(p, e->record)) {
            if (p->n_found == p->ask->limit)
                return false;
            p->found[p->n_found++] = (struct hw_backend_update_event){ e->id, e->record };
            p->found_bytes += e->record.len;
        }
        p->from.after = e->id;
        p->n_looked++;
    }
    return true;
}

static bool keep_found(struct hw_pager *p)
{
    for (; p->n_kept < p->n_found; p->n_kept++) {
        struct hw_slice *record = &p->found[p->n_kept].record;
        size_t at = hw_buf_len(&p->kept);
        if (hw_buf_append_slice(&p->kept, *record) != HW_OK)
            return false;
        record->data = (const char *)at;
    }
    return true;
}

static void go_on(struct hw_pager *p)
{
    if (p->n_looked >= LOOK_MAX || p->found_bytes >= KEEP_BYTES) {
        answer(p, true);
        return;
    }
    if (!keep_found(p)) {
        p->cb(p, HW_BACKEND_FAILED);
        return;
    }
    p->page_limit *= PAGE_GROWTH;
    if (p->page_limit > LOOK_MAX - p->n_looked)
        p->page_limit = LOOK_MAX - p->n_looked;
    if (read_page(p) != HW_OK)
        p->cb(p, HW_BACKEND_UNAVAILABLE);
}

static void on_page(struct hw_feed_read *r, enum hw_feed_result result,
                    const struct hw_feed_page *page)
{
    struct hw_pager *p = HW_CONTAINER_OF(r, struct hw_pager, read);

    switch (result) {
    case HW_FEED_UNAVAILABLE:
        p->cb(p, HW_BACKEND_UNAVAILABLE);
        return;
    case HW_FEED_EXPIRED:
        p->ask->oldest = page->oldest;
        p->cb(p, HW_BACKEND_EXPIRED);
        return;
    case HW_FEED_OK:
        break;
    }
    if (!look_through(p, page)) {
        answer(p, true);
    } else if (page->has_more) {
        go_on(p);
    } else {
        p->is_at_end = true;
        answer(p, false);
    }
}

enum hw_status hw_pager_start(struct hw_pager *p, struct hw_store *store,
                              struct hw_backend_updates *ask, hw_pager_cb cb)
{
    enum hw_status status;

    HW_MUST(ask->limit >= 1 && ask->limit <= HW_UPDATES_MAX);
    p->store = store;
    p->ask = ask;
    p->cb = cb;
    p->from = (struct hw_feed_from){ ask->from.is_start, ask->from.after };
    p->page_limit = ask->limit + 1;
    p->n_looked = p->n_found = p->found_bytes = p->n_kept = 0;
    p->is_at_end = false;
    hw_buf_init(&p->kept, KEEP_BYTES);
    hw_feed_read_init(&p->read);
    status = read_page(p);
    if (status != HW_OK)
        hw_pager_close(p);
    return status;
}

void hw_pager_close(struct hw_pager *p)
{
    hw_feed_read_close(&p->read);
    hw_buf_close(&p->kept);
}
