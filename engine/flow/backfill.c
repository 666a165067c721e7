/*
 * go       the job whose turn it is: heads of the feed from where it stands
 * on_read  what its webhook wants of them is queued; the job is further by that
 *          EXPIRED: the feed was trimmed past it: from what is kept now
 * on_queued  done -> whoever waits is told; else it goes to the end of the line
 *          MOVED: somebody else is at it: left to them, unless somebody waits here
 *          NOT_FOUND: its webhook is deleted, and so is the job
 *          trouble: it is ended here, and found by a look
 * look     all jobs; those that nobody seems to be at are begun here
 */
#include "flow/backfill.h"

#include "hookwheel/alloc.h"

enum { LOOK_EVERY_MS = 2000, SUBJECT_MAX = 512 };

struct hw_backfill_job {
    struct hw_list link; /* in backfill->jobs, or unlinked while current */
    struct hw_fill_job job;
    bool is_behind_trimmed; /* events where it stands are gone */
    bool is_unknown;        /* its webhook is not known here */
    hw_backfill_cb cb;      /* NULL: nobody waits */
    void *data;
};

static void on_go(struct hw_wheel_entry *entry);
static void on_look_at(struct hw_wheel_entry *entry);

void hw_backfill_init(struct hw_backfill *b)
{
    hw_list_init(&b->jobs);
    hw_feed_read_init(&b->read);
    hw_fill_init(&b->fill);
    hw_fill_look_init(&b->look);
    hw_wheel_entry_init(&b->go, on_go);
    hw_wheel_entry_init(&b->look_at, on_look_at);
}

void hw_backfill_close(struct hw_backfill *b)
{
    hw_backfill_stop(b);
    hw_feed_read_close(&b->read);
    hw_fill_close(&b->fill);
    hw_fill_look_close(&b->look);
    hw_free(b->seen);
    b->seen = NULL;
}

/* ---- jobs ---- */

static bool is_same_job(const struct hw_fill_job *a, const struct hw_fill_job *b)
{
    return a->w == b->w && a->number == b->number;
}

static bool has_job(const struct hw_backfill *b, const struct hw_fill_job *job)
{
    if (b->current != NULL && is_same_job(&b->current->job, job))
        return true;
    HW_LIST_EACH (link, &b->jobs) {
        if (is_same_job(&HW_CONTAINER_OF(link, struct hw_backfill_job, link)->job, job))
            return true;
    }
    return false;
}

bool hw_backfill_run(struct hw_backfill *b, const struct hw_fill_job *job, hw_backfill_cb cb,
                     void *data)
{
    struct hw_backfill_job *j = b->is_on ? hw_calloc(1, sizeof *j) : NULL;

    if (j == NULL)
        return false;
    j->job = *job;
    j->cb = cb;
    j->data = data;
    hw_list_push_back(&b->jobs, &j->link);
    hw_loop_arm(b->loop, &b->go, 0);
    return true;
}

static void job_end(struct hw_backfill_job *j, enum hw_fill_result result)
{
    struct hw_backfill_job ended = *j;

    hw_list_unlink(&j->link);
    hw_free(j);
    if (ended.cb != NULL)
        ended.cb(ended.data, result, ended.job.count);
}

static void current_end(struct hw_backfill *b, enum hw_fill_result result)
{
    struct hw_backfill_job *j = b->current;

    b->current = NULL;
    if (b->is_on)
        hw_loop_arm(b->loop, &b->go, 0);
    job_end(j, result);
}

/* ---- a piece ---- */

/* Its turn is over.  A look that comes now must not take the job for one that nobody is at. */
static void current_rest(struct hw_backfill *b)
{
    hw_list_push_back(&b->jobs, &b->current->link);
    b->current = NULL;
    hw_loop_arm(b->loop, &b->go, 0);
}

static void on_done(struct hw_backfill *b, const struct hw_fill *f)
{
    b->current->job = f->job;
    if (f->n_waiting > 0)
        hw_courier_backlog(b->courier, f->job.w, HW_BACKLOG_FILL);
    if (f->is_done)
        current_end(b, HW_FILL_DONE);
    else if (b->current->is_unknown)
        current_end(b, HW_FILL_UNAVAILABLE);
    else
        current_rest(b);
}

static void on_moved(struct hw_backfill *b, const struct hw_fill *f)
{
    if (f->job.number == 0 || b->current->cb == NULL) {
        current_end(b, HW_FILL_UNAVAILABLE);
        return;
    }
    b->current->job = f->job;
    b->current->is_behind_trimmed = false;
    current_rest(b);
}

static void on_queued(struct hw_fill *f, enum hw_fill_result result)
{
    struct hw_backfill *b = HW_CONTAINER_OF(f, struct hw_backfill, fill);

    if (!b->is_on)
        current_end(b, HW_FILL_UNAVAILABLE);
    else if (result == HW_FILL_DONE)
        on_done(b, f);
    else if (result == HW_FILL_MOVED)
        on_moved(b, f);
    else
        current_end(b, result);
}

static void queue(struct hw_backfill *b, struct hw_stream_id reached, size_t n_ids)
{
    if (hw_fill_queue(b->store, &b->fill, &b->current->job, reached, b->ids, n_ids,
                      on_queued) != HW_OK)
        current_end(b, HW_FILL_UNAVAILABLE);
}

/* One that cannot be read was not written by us: nobody wants it. */
static enum hw_status decide(const struct hw_backfill *b, const struct hw_webhook *wh,
                             struct hw_slice head, bool *is_wanted)
{
    struct hw_record record;
    struct hw_buf subject;
    enum hw_status status = HW_OK;

    *is_wanted = false;
    if (!hw_record_read(&record, head))
        return HW_OK;
    hw_buf_init(&subject, SUBJECT_MAX);
    if (record.has_subject)
        status = hw_record_subject(&record, &subject);
    if (status == HW_OK)
        *is_wanted = hw_subscriptions_wants(b->subscriptions, wh, record.type,
                                            hw_buf_slice(&subject), record.level);
    hw_buf_close(&subject);
    return status;
}

/* Those that are wanted of the page, as far as the job goes; *reached: how far that is. */
static enum hw_status pick(struct hw_backfill *b, const struct hw_webhook *wh,
                           const struct hw_feed_page *page, struct hw_stream_id *reached,
                           size_t *n_ids)
{
    struct hw_stream_id until = b->current->job.until;
    enum hw_status status;
    bool is_wanted;

    *n_ids = 0;
    *reached = page->has_more ? page->reached : until;
    for (size_t i = 0; i < page->n_events; i++) {
        if (hw_stream_id_cmp(page->events[i].id, until) > 0)
            break;
        status = decide(b, wh, page->events[i].record, &is_wanted);
        if (status != HW_OK)
            return status;
        if (is_wanted)
            b->ids[(*n_ids)++] = page->events[i].id;
    }
    if (hw_stream_id_cmp(*reached, until) > 0)
        *reached = until;
    return HW_OK;
}

static void ask_piece(struct hw_backfill *b);

static void on_read(struct hw_feed_read *r, enum hw_feed_result result,
                    const struct hw_feed_page *page)
{
    struct hw_backfill *b = HW_CONTAINER_OF(r, struct hw_backfill, read);
    struct hw_backfill_job *j = b->current;
    const struct hw_webhook *wh = hw_subscriptions_find(b->subscriptions, j->job.w);
    bool must_ask_again = wh == NULL || (result == HW_FEED_EXPIRED && !j->is_behind_trimmed);
    struct hw_stream_id reached;
    size_t n_ids;

    if (b->is_on && must_ask_again) {
        j->is_behind_trimmed = result == HW_FEED_EXPIRED;
        ask_piece(b);
    } else if (b->is_on && result == HW_FEED_OK &&
               pick(b, wh, page, &reached, &n_ids) == HW_OK) {
        j->is_behind_trimmed = false;
        queue(b, reached, n_ids);
    } else {
        current_end(b, HW_FILL_UNAVAILABLE);
    }
}

static bool ask_feed(struct hw_backfill *b, const struct hw_backfill_job *j)
{
    struct hw_feed_from from = { .is_start = j->is_behind_trimmed, .after = j->job.from };

    return hw_feed_read(b->store, &b->read, hw_slice_str(j->job.account), from, HW_FILL_PIECE,
                        HW_FILL_PIECE_BYTES, true, on_read) == HW_OK;
}

/* Of a webhook that is not known here, or is a tombstone, Redis is asked what becomes of the job. */
static void ask_piece(struct hw_backfill *b)
{
    struct hw_backfill_job *j = b->current;
    const struct hw_webhook *wh = hw_subscriptions_find(b->subscriptions, j->job.w);

    j->is_unknown = wh == NULL || wh->standing.status == HW_WEBHOOK_DELETED;
    if (j->is_unknown)
        queue(b, j->job.from, 0);
    else if (!ask_feed(b, j))
        current_end(b, HW_FILL_UNAVAILABLE);
}

static void on_go(struct hw_wheel_entry *entry)
{
    struct hw_backfill *b = HW_CONTAINER_OF(entry, struct hw_backfill, go);
    struct hw_list *link;

    if (!b->is_on || b->current != NULL || (link = hw_list_pop(&b->jobs)) == NULL)
        return;
    b->current = HW_CONTAINER_OF(link, struct hw_backfill_job, link);
    ask_piece(b);
}

/* ---- those that nobody is at ---- */

static bool is_alone(const struct hw_backfill *b)
{
    return hw_members_n_live(b->members) <= 1;
}

/* Has it not moved since the last look? */
static bool is_still(const struct hw_backfill *b, const struct hw_fill_job *job)
{
    for (size_t i = 0; i < b->n_seen; i++)
        if (is_same_job(&b->seen[i], job))
            return hw_stream_id_cmp(b->seen[i].from, job->from) == 0;
    return false;
}

/* Without memory for it the next look begins anew. */
static void keep_seen(struct hw_backfill *b, const struct hw_fill_job *jobs, size_t n_jobs)
{
    hw_free(b->seen);
    b->seen = NULL;
    b->n_seen = 0;
    if (n_jobs == 0 || (b->seen = hw_malloc(n_jobs * sizeof *b->seen)) == NULL)
        return;
    memcpy(b->seen, jobs, n_jobs * sizeof *b->seen);
    b->n_seen = n_jobs;
}

static void on_looked(struct hw_fill_look *l, enum hw_redis_trouble trouble,
                      const struct hw_fill_job *jobs, size_t n_jobs)
{
    struct hw_backfill *b = HW_CONTAINER_OF(l, struct hw_backfill, look);

    b->is_looking = false;
    if (!b->is_on || trouble != HW_REDIS_FINE)
        return;
    for (size_t i = 0; i < n_jobs; i++)
        if (!has_job(b, &jobs[i]) && (is_alone(b) || is_still(b, &jobs[i])))
            hw_backfill_run(b, &jobs[i], NULL, NULL); /* no memory: the next look */
    keep_seen(b, jobs, n_jobs);
}

static void on_look_at(struct hw_wheel_entry *entry)
{
    struct hw_backfill *b = HW_CONTAINER_OF(entry, struct hw_backfill, look_at);

    hw_loop_arm(b->loop, &b->look_at, LOOK_EVERY_MS);
    if (b->is_looking || hw_members_rank(b->members) != 0)
        return;
    b->is_looking = hw_fill_look(b->store, &b->look, on_looked) == HW_OK;
}

/* ---- life ---- */

void hw_backfill_start(struct hw_backfill *b)
{
    b->is_on = true;
    hw_loop_arm(b->loop, &b->look_at, 0);
}

void hw_backfill_stop(struct hw_backfill *b)
{
    struct hw_list *link;

    b->is_on = false;
    hw_loop_cancel(b->loop, &b->go);
    hw_loop_cancel(b->loop, &b->look_at);
    keep_seen(b, NULL, 0);
    while ((link = hw_list_pop(&b->jobs)) != NULL)
        job_end(HW_CONTAINER_OF(link, struct hw_backfill_job, link), HW_FILL_UNAVAILABLE);
}
