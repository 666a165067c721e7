/*
 * begin   its script -> cb
 * queue   its script, with the job as it is known -> DONE: further by that
 *                                                 -> MOVED: somebody else was at it
 * look    all jobs -> cb
 */
#include "store/fill.h"

#include <stdio.h>

#include "hookwheel/alloc.h"
#include "redis/scripts.h"

enum { ID_TEXT_MAX = 48 };

void hw_fill_init(struct hw_fill *f)
{
    *f = (struct hw_fill){ 0 };
    hw_command_init(&f->command);
}

void hw_fill_close(struct hw_fill *f)
{
    hw_command_close(&f->command);
}

/* ---- jobs as text ---- */

/* As fill.lua compares it. */
static void job_text(const struct hw_fill_job *job, char out[HW_FILL_TEXT_MAX])
{
    char from[ID_TEXT_MAX], until[ID_TEXT_MAX];

    hw_stream_id_text(job->from, from);
    hw_stream_id_text(job->until, until);
    snprintf(out, HW_FILL_TEXT_MAX, "%s %s %s %llu", job->account, from, until,
             (unsigned long long)job->count);
}

/* Up to the next space, which is taken too. */
static struct hw_slice next_part(struct hw_slice *rest)
{
    size_t space = hw_slice_find(*rest, ' ');
    struct hw_slice part = hw_slice(rest->data, space);

    *rest = hw_slice_from(*rest, space + 1);
    return part;
}

static bool set_account(struct hw_fill_job *job, struct hw_slice account)
{
    if (account.len == 0 || account.len >= sizeof job->account)
        return false;
    memcpy(job->account, account.data, account.len);
    job->account[account.len] = '\0';
    return true;
}

/* All but w and number. */
static bool read_job(struct hw_fill_job *job, struct hw_slice text)
{
    return set_account(job, next_part(&text)) &&
           hw_stream_id_parse(&job->from, next_part(&text)) &&
           hw_stream_id_parse(&job->until, next_part(&text)) &&
           hw_slice_u64(text, UINT64_MAX, &job->count);
}

/* "w:number" */
static bool read_key(struct hw_fill_job *job, struct hw_slice text)
{
    uint64_t w;
    size_t colon = hw_slice_find(text, ':');

    if (!hw_slice_u64(hw_slice(text.data, colon), UINT32_MAX, &w) ||
        !hw_slice_u64(hw_slice_from(text, colon + 1), UINT64_MAX, &job->number))
        return false;
    job->w = (uint32_t)w;
    return true;
}

static void add_place(struct hw_command *c, struct hw_feed_from from)
{
    char text[ID_TEXT_MAX];

    hw_stream_id_text(from.after, text);
    hw_command_str(c, from.is_start ? "start" : text);
}

void hw_fill_add_from(struct hw_command *c, struct hw_fill_from from)
{
    switch (from.kind) {
    case HW_FILL_NONE:
        hw_command_str(c, "");
        break;
    case HW_FILL_FROM:
        add_place(c, from.place);
        break;
    case HW_FILL_FROM_DISABLED:
        hw_command_str(c, "disabled");
        break;
    }
}

bool hw_fill_read_begun(struct hw_fill_job *job, const struct hw_reply *reply, size_t at,
                        uint32_t w, struct hw_slice account)
{
    struct hw_fill_job begun = { .w = w }; /* account may be *job's own */

    begun.number = (uint64_t)hw_reply_int(hw_reply_item(reply, at), 0);
    if (!set_account(&begun, account) ||
        !hw_stream_id_parse(&begun.from, hw_reply_item(reply, at + 1)->text) ||
        !hw_stream_id_parse(&begun.until, hw_reply_item(reply, at + 2)->text))
        return false;
    *job = begun;
    return true;
}

static enum hw_fill_result result_of(const struct hw_reply *reply)
{
    static const struct {
        const char *text;
        enum hw_fill_result result;
    } results[] = {
        { "DONE", HW_FILL_DONE },           { "EXPIRED", HW_FILL_EXPIRED },
        { "NOT_FOUND", HW_FILL_NOT_FOUND }, { "DISABLED", HW_FILL_DISABLED },
        { "FULL", HW_FILL_FULL },           { "MOVED", HW_FILL_MOVED },
    };

    for (size_t i = 0; i < sizeof results / sizeof results[0]; i++)
        if (hw_slice_is(hw_reply_item(reply, 0)->text, results[i].text))
            return results[i].result;
    return HW_FILL_UNAVAILABLE;
}

/* ---- begin ---- */

static enum hw_fill_result read_begun(struct hw_fill *f, const struct hw_reply *reply)
{
    enum hw_fill_result result = result_of(reply);
    bool is_good = true;

    if (result == HW_FILL_EXPIRED)
        is_good = hw_stream_id_parse(&f->oldest, hw_reply_item(reply, 1)->text);
    else if (result == HW_FILL_DONE)
        is_good =
            hw_fill_read_begun(&f->job, reply, 1, f->job.w, hw_slice_str(f->job.account));
    return is_good ? result : HW_FILL_UNAVAILABLE;
}

static void on_begun(struct hw_redis_req *req, enum hw_redis_trouble what,
                     const struct hw_reply *reply, const struct hw_cause *cause)
{
    struct hw_fill *f = HW_CONTAINER_OF(req, struct hw_fill, req);

    (void)cause;
    f->cb(f, what == HW_REDIS_FINE ? read_begun(f, reply) : HW_FILL_UNAVAILABLE);
}

enum hw_status hw_fill_begin(struct hw_store *store, struct hw_fill *f,
                             const struct hw_fill_range *range, hw_fill_cb cb)
{
    struct hw_command *c = &f->command;
    char until[ID_TEXT_MAX] = "";

    f->job = (struct hw_fill_job){ .w = range->w };
    if (!set_account(&f->job, range->account))
        return HW_EINVAL;
    if (range->has_until)
        hw_stream_id_text(range->until, until);
    f->cb = cb;
    hw_store_eval(store, c, &hw_script_fill_begin, NULL, NULL);
    hw_command_add(c, range->account);
    hw_command_u64(c, range->w);
    add_place(c, range->from);
    hw_command_str(c, until);
    hw_command_u64(c, range->most_waiting);
    return hw_redis_send(store->work, &f->req, c, on_begun);
}

/* ---- a piece ---- */

static enum hw_fill_result read_queued(struct hw_fill *f, const struct hw_reply *reply)
{
    enum hw_fill_result result = result_of(reply);
    struct hw_slice text = hw_reply_item(reply, 1)->text;

    if (result == HW_FILL_DONE) {
        f->job.count = (uint64_t)hw_reply_int(hw_reply_item(reply, 1), 0);
        f->is_done = hw_reply_int(hw_reply_item(reply, 2), 0) == 1;
        f->n_waiting = (uint64_t)hw_reply_int(hw_reply_item(reply, 3), 0);
    } else if (result == HW_FILL_MOVED && text.len == 0) {
        f->job.number = 0;
    } else if (result == HW_FILL_MOVED && !read_job(&f->job, text)) {
        result = HW_FILL_UNAVAILABLE;
    }
    return result;
}

static void on_queued(struct hw_redis_req *req, enum hw_redis_trouble what,
                      const struct hw_reply *reply, const struct hw_cause *cause)
{
    struct hw_fill *f = HW_CONTAINER_OF(req, struct hw_fill, req);

    (void)cause;
    f->cb(f, what == HW_REDIS_FINE ? read_queued(f, reply) : HW_FILL_UNAVAILABLE);
}

enum hw_status hw_fill_queue(struct hw_store *store, struct hw_fill *f,
                             const struct hw_fill_job *job, struct hw_stream_id reached,
                             const struct hw_stream_id *ids, size_t n_ids, hw_fill_cb cb)
{
    struct hw_command *c = &f->command;
    char text[HW_FILL_TEXT_MAX];

    f->job = *job;
    f->job.from = reached;
    f->is_done = false;
    f->n_waiting = 0;
    f->cb = cb;
    hw_store_eval(store, c, &hw_script_fill, NULL, NULL);
    hw_command_u64(c, job->w);
    hw_command_u64(c, job->number);
    job_text(job, text);
    hw_command_str(c, text);
    hw_stream_id_text(reached, text);
    hw_command_str(c, text);
    hw_command_u64(c, (uint64_t)hw_loop_unix(store->loop) * 1000);
    for (size_t i = 0; i < n_ids; i++) {
        hw_stream_id_text(ids[i], text);
        hw_command_str(c, text);
    }
    return hw_redis_send(store->work, &f->req, c, on_queued);
}

/* ---- look ---- */

void hw_fill_look_init(struct hw_fill_look *l)
{
    *l = (struct hw_fill_look){ 0 };
    hw_command_init(&l->command);
}

void hw_fill_look_close(struct hw_fill_look *l)
{
    hw_command_close(&l->command);
}

/* reply: {key, job, ...} */
static void on_looked(struct hw_redis_req *req, enum hw_redis_trouble what,
                      const struct hw_reply *reply, const struct hw_cause *cause)
{
    struct hw_fill_look *l = HW_CONTAINER_OF(req, struct hw_fill_look, req);
    struct hw_fill_job *jobs = NULL;
    size_t n = 0;

    (void)cause;
    if (what == HW_REDIS_FINE &&
        (jobs = hw_calloc(reply->n_items / 2 + 1, sizeof *jobs)) == NULL)
        what = HW_REDIS_REFUSED;
    for (size_t i = 0; jobs != NULL && i + 1 < reply->n_items; i += 2)
        if (read_key(&jobs[n], reply->items[i].text) &&
            read_job(&jobs[n], reply->items[i + 1].text))
            n++;
    l->cb(l, what, jobs, n);
    hw_free(jobs);
}

enum hw_status hw_fill_look(struct hw_store *store, struct hw_fill_look *l, hw_fill_look_cb cb)
{
    l->cb = cb;
    hw_command_reset(&l->command);
    hw_command_str(&l->command, "HGETALL");
    hw_command_fmt(&l->command, "%sjobs", store->keys.tag);
    return hw_redis_send(store->work, &l->req, &l->command, on_looked);
}
