/*
 * Every STEP_MS one script of one of these, in turn; at once again while the last one says that
 * there is more of the same:
 *
 *   trim     a feed that was added to, or that the walk over all feeds has come to
 *   walk     rank 0: SCAN for feeds, so that one that is not added to loses its old events too
 *   sweep    rank 0: one webhook's history by age, its dead letters by age
 *   rotate   producers' ids
 *   bury     rank 0: webhooks deleted long ago
 */
#include "store/janitor.h"

#include "hookwheel/alloc.h"
#include "redis/scripts.h"
#include "rules/history.h"

enum {
    STEP_MS = 250,
    TRIM_MAX = 500,
    TOUCHED_MIN = 64,  /* events added to a feed before it is trimmed for it */
    YOUNG_MS = 5000,   /* younger events are not trimmed */
    FEEDS_MAX = 10000, /* remembered; the walk comes to the others */
    WALK_COUNT = 500,
    WALK_PAUSE_MS = 60000, /* between two walks */
    SWEEP_WINDOW = 100,
    SWEEP_MAX = 200,
    SWEEP_PAUSE_MS = 60000,
    ROTATE_EVERY_MS = 1000,
    BURY_EVERY_MS = 30000
};

struct feed {
    struct hw_map_entry entry;
    struct hw_list link; /* in janitor->due or young, or in neither */
    hw_mono_ms due_at;   /* young */
    unsigned n_added;
    char account[65];
};

struct hw_janitor {
    struct hw_janitor_options options;
    struct hw_store *store;
    bool is_on;
    bool is_busy;
    struct hw_wheel_entry timer;
    struct hw_redis_req req;
    struct hw_command command;
    unsigned turn; /* which task is asked first */

    struct hw_map feeds; /* of struct feed, owned */
    struct hw_list due;  /* feeds to be trimmed */
    struct hw_list young; /* those that will be, the first to be first */
    struct feed *trimming;

    char scan_cursor[24];
    char *scan_pattern;                               /* owned */
    hw_mono_ms walk_at, sweep_at, rotate_at, bury_at; /* not before */

    uint32_t sweep_w;    /* the webhook whose turn it is */
    uint64_t sweep_n;    /* of hist: looked at up to here; 0: begin */
    char sweep_late[24]; /* of lates: likewise */
    uint64_t *drops;     /* owned: of hist, too old */
    size_t n_drops;
};

typedef bool (*task_fn)(struct hw_janitor *j); /* sent something? */

static void next(struct hw_janitor *j, bool at_once)
{
    j->is_busy = false;
    if (j->is_on)
        hw_loop_arm(j->store->loop, &j->timer, at_once ? 0 : STEP_MS);
}

static bool ask(struct hw_janitor *j, hw_redis_cb cb)
{
    j->is_busy = hw_buf_failed(&j->command.args) == HW_OK &&
                 hw_redis_send(j->store->work, &j->req, &j->command, cb) == HW_OK;
    return j->is_busy;
}

static hw_mono_ms now_of(const struct hw_janitor *j)
{
    return hw_loop_now(j->store->loop);
}

static bool is_first(const struct hw_janitor *j)
{
    return hw_members_rank(j->options.members) == 0;
}

/* Wall-clock time that lies `ms` back, not before 1970. */
static uint64_t unix_ago(const struct hw_janitor *j, uint64_t ms)
{
    uint64_t now = (uint64_t)hw_loop_unix(j->store->loop);

    return now > ms ? now - ms : 0;
}

/* ---- feeds ---- */

static struct feed *find_feed(struct hw_janitor *j, struct hw_slice account)
{
    struct hw_map_entry *e = hw_map_find(&j->feeds, account);
    struct feed *f;

    if (e != NULL)
        return HW_CONTAINER_OF(e, struct feed, entry);
    if (j->feeds.n_entries >= FEEDS_MAX || account.len >= sizeof f->account ||
        (f = hw_calloc(1, sizeof *f)) == NULL)
        return NULL;
    memcpy(f->account, account.data, account.len);
    if (hw_map_add(&j->feeds, &f->entry, hw_slice(f->account, account.len)) == HW_OK)
        return f;
    hw_free(f);
    return NULL;
}

static void forget_feed(struct hw_janitor *j, struct feed *f)
{
    hw_map_remove(&j->feeds, &f->entry);
    hw_list_unlink(&f->link);
    hw_free(f);
}

static void make_due(struct hw_janitor *j, struct feed *f)
{
    if (!hw_list_is_linked(&f->link) && f != j->trimming)
        hw_list_push_back(&j->due, &f->link);
}

void hw_janitor_touch(struct hw_janitor *j, struct hw_slice account, unsigned n)
{
    struct feed *f = find_feed(j, account);

    if (f == NULL)
        return;
    f->n_added += n;
    if (f->n_added >= TOUCHED_MIN)
        make_due(j, f);
}

/* Too many, but too young. */
static void trim_later(struct hw_janitor *j, struct feed *f)
{
    f->due_at = now_of(j) + YOUNG_MS;
    hw_list_push_back(&j->young, &f->link);
}

static void look_at_young(struct hw_janitor *j)
{
    struct hw_list *link;

    while ((link = hw_list_first(&j->young)) != NULL &&
           HW_CONTAINER_OF(link, struct feed, link)->due_at <= now_of(j)) {
        hw_list_unlink(link);
        hw_list_push_back(&j->due, link);
    }
}

static void on_trimmed(struct hw_redis_req *req, enum hw_redis_trouble what,
                       const struct hw_reply *reply, const struct hw_cause *cause)
{
    struct hw_janitor *j = HW_CONTAINER_OF(req, struct hw_janitor, req);
    struct feed *f = j->trimming;
    int64_t n_left = what == HW_REDIS_FINE ? hw_reply_int(reply, 0) : 0;
    bool has_more = n_left > 0;

    (void)cause;
    j->trimming = NULL;
    if (has_more)
        hw_list_push_back(&j->due, &f->link);
    else if (n_left < 0)
        trim_later(j, f);
    else if (f->n_added >= TOUCHED_MIN)
        hw_list_push_back(&j->due, &f->link);
    else if (f->n_added == 0)
        forget_feed(j, f);
    next(j, has_more || !hw_list_is_empty(&j->due));
}

static bool trim(struct hw_janitor *j)
{
    struct hw_list *link;

    look_at_young(j);
    link = hw_list_pop(&j->due);
    if (link == NULL)
        return false;
    j->trimming = HW_CONTAINER_OF(link, struct feed, link);
    j->trimming->n_added = 0;
    hw_store_eval(j->store, &j->command, &hw_script_trim, NULL, NULL);
    hw_command_str(&j->command, j->trimming->account);
    hw_command_u64(&j->command, j->options.feed_max);
    hw_command_u64(&j->command, j->options.feed_retention_ms);
    hw_command_u64(&j->command, TRIM_MAX);
    if (ask(j, on_trimmed))
        return true;
    hw_list_push_back(&j->due, link);
    j->trimming = NULL;
    return false;
}

/* reply: {cursor, {key ...}} */
static void walked(struct hw_janitor *j, const struct hw_reply *reply)
{
    const struct hw_reply *keys = hw_reply_item(reply, 1);
    struct hw_slice cursor = hw_reply_item(reply, 0)->text;
    size_t prefix = strlen(j->store->keys.tag) + 4; /* "<tag>led:" */

    if (cursor.len == 0 || cursor.len >= sizeof j->scan_cursor)
        return;
    memcpy(j->scan_cursor, cursor.data, cursor.len);
    j->scan_cursor[cursor.len] = '\0';
    for (size_t i = 0; i < keys->n_items; i++) {
        struct feed *f = find_feed(j, hw_slice_from(keys->items[i].text, prefix));
        if (f != NULL)
            make_due(j, f);
    }
    if (strcmp(j->scan_cursor, "0") == 0)
        j->walk_at = now_of(j) + WALK_PAUSE_MS;
}

static void on_walked(struct hw_redis_req *req, enum hw_redis_trouble what,
                      const struct hw_reply *reply, const struct hw_cause *cause)
{
    struct hw_janitor *j = HW_CONTAINER_OF(req, struct hw_janitor, req);

    (void)cause;
    if (what == HW_REDIS_FINE)
        walked(j, reply);
    next(j, false);
}

static bool walk(struct hw_janitor *j)
{
    if (!is_first(j) || now_of(j) < j->walk_at || !hw_list_is_empty(&j->due))
        return false;
    hw_command_reset(&j->command);
    hw_command_str(&j->command, "SCAN");
    hw_command_str(&j->command, j->scan_cursor);
    hw_command_str(&j->command, "MATCH");
    hw_command_str(&j->command, j->scan_pattern);
    hw_command_str(&j->command, "COUNT");
    hw_command_u64(&j->command, WALK_COUNT);
    return ask(j, on_walked);
}

/* ---- one webhook's history ---- */

static struct hw_webhook *next_webhook(struct hw_janitor *j)
{
    const struct hw_subscriptions *all = hw_registry_subscriptions(j->options.registry);
    struct hw_webhook *wh;

    for (; j->sweep_w < all->n_numbers; j->sweep_w++)
        if ((wh = hw_subscriptions_find(all, j->sweep_w)) != NULL)
            return wh;
    return NULL;
}

static void sweep_next_webhook(struct hw_janitor *j)
{
    j->sweep_w++;
    j->sweep_n = 0;
    memcpy(j->sweep_late, "0", 2);
    if (next_webhook(j) == NULL) {
        j->sweep_w = 0;
        j->sweep_at = now_of(j) + SWEEP_PAUSE_MS;
    }
}

/* reply: {dead letters that went, n of late ones to go on from} */
static void expired(struct hw_janitor *j, const struct hw_reply *reply)
{
    bool has_more = hw_reply_int(hw_reply_item(reply, 0), 0) >= SWEEP_MAX;
    struct hw_slice late = hw_reply_item(reply, 1)->text;

    if (late.len == 0 || late.len >= sizeof j->sweep_late)
        return;
    memcpy(j->sweep_late, late.data, late.len);
    j->sweep_late[late.len] = '\0';
    if (!has_more && hw_slice_is(late, "0") && j->sweep_n == 0)
        sweep_next_webhook(j);
}

static void on_expired(struct hw_redis_req *req, enum hw_redis_trouble what,
                       const struct hw_reply *reply, const struct hw_cause *cause)
{
    struct hw_janitor *j = HW_CONTAINER_OF(req, struct hw_janitor, req);

    (void)cause;
    if (what == HW_REDIS_FINE)
        expired(j, reply);
    next(j, false);
}

static void expire(struct hw_janitor *j)
{
    struct hw_command *c = &j->command;

    hw_store_eval(j->store, c, &hw_script_expire, NULL, NULL);
    hw_command_u64(c, j->sweep_w);
    hw_command_u64(c, unix_ago(j, j->options.history_retention_ms));
    hw_command_u64(c, j->options.history_max);
    hw_command_str(c, j->sweep_late);
    hw_command_u64(c, SWEEP_MAX);
    for (size_t i = 0; i < j->n_drops; i++)
        hw_command_u64(c, j->drops[i]);
    if (!ask(j, on_expired))
        next(j, false);
}

/* Of a window of hist, in order of n: what is too old goes.  The first that is not ends it. */
static void on_window(struct hw_redis_req *req, enum hw_redis_trouble what,
                      const struct hw_reply *reply, const struct hw_cause *cause)
{
    struct hw_janitor *j = HW_CONTAINER_OF(req, struct hw_janitor, req);
    hw_unix_ms oldest = (hw_unix_ms)unix_ago(j, j->options.history_retention_ms);
    struct hw_history h;
    bool is_young = false;

    (void)cause;
    if (what != HW_REDIS_FINE) {
        next(j, false);
        return;
    }
    for (size_t i = 0; i < reply->n_items && !is_young; i++) {
        if (reply->items[i].kind != HW_REPLY_TEXT)
            continue;
        is_young = hw_history_unpack(&h, reply->items[i].text) && h.updated_ms >= oldest;
        if (!is_young)
            j->drops[j->n_drops++] = j->sweep_n + i;
    }
    j->sweep_n = is_young || reply->n_items == 0 ? 0 : j->sweep_n + SWEEP_WINDOW;
    expire(j);
}

static void look_at_window(struct hw_janitor *j, uint64_t last)
{
    struct hw_command *c = &j->command;
    uint64_t first = last > j->options.history_max ? last - j->options.history_max : 1;

    /* What was delivered lies between the front and history_max behind it; behind what waits
     * that can be far back, and is found from there on as the front moves. */
    if (j->sweep_n < first)
        j->sweep_n = first;
    j->n_drops = 0;
    if (last == 0 || j->sweep_n > last) {
        j->sweep_n = 0;
        expire(j);
        return;
    }
    hw_command_reset(c);
    hw_command_str(c, "HMGET");
    hw_command_fmt(c, "%shist:%u", j->store->keys.tag, (unsigned)j->sweep_w);
    for (uint64_t n = j->sweep_n; n < j->sweep_n + SWEEP_WINDOW; n++)
        hw_command_u64(c, n);
    if (!ask(j, on_window))
        next(j, false);
}

static void on_last(struct hw_redis_req *req, enum hw_redis_trouble what,
                    const struct hw_reply *reply, const struct hw_cause *cause)
{
    struct hw_janitor *j = HW_CONTAINER_OF(req, struct hw_janitor, req);

    (void)cause;
    if (what == HW_REDIS_FINE)
        look_at_window(j, (uint64_t)hw_reply_int(reply, 0));
    else
        next(j, false);
}

static bool sweep(struct hw_janitor *j)
{
    if (!is_first(j) || now_of(j) < j->sweep_at || next_webhook(j) == NULL)
        return false;
    hw_command_reset(&j->command);
    hw_command_str(&j->command, "HGET");
    hw_command_fmt(&j->command, "%sseq", j->store->keys.tag);
    hw_command_u64(&j->command, j->sweep_w);
    return ask(j, on_last);
}

/* ---- producers' ids, deleted webhooks ---- */

static void on_simple(struct hw_redis_req *req, enum hw_redis_trouble what,
                      const struct hw_reply *reply, const struct hw_cause *cause)
{
    (void)what;
    (void)reply;
    (void)cause;
    next(HW_CONTAINER_OF(req, struct hw_janitor, req), false);
}

static bool rotate(struct hw_janitor *j)
{
    if (now_of(j) < j->rotate_at)
        return false;
    j->rotate_at = now_of(j) + ROTATE_EVERY_MS;
    hw_store_eval(j->store, &j->command, &hw_script_rotate, NULL, NULL);
    hw_command_u64(&j->command, j->options.dedup_max);
    hw_command_u64(&j->command, unix_ago(j, 0));
    return ask(j, on_simple);
}

static void on_buried(struct hw_redis_req *req, enum hw_redis_trouble what,
                      const struct hw_reply *reply, const struct hw_cause *cause)
{
    struct hw_janitor *j = HW_CONTAINER_OF(req, struct hw_janitor, req);

    (void)cause;
    if (what == HW_REDIS_FINE && hw_reply_int(reply, 0) == 1)
        j->bury_at = 0;
    next(j, false);
}

static bool bury(struct hw_janitor *j)
{
    if (!is_first(j) || now_of(j) < j->bury_at)
        return false;
    j->bury_at = now_of(j) + BURY_EVERY_MS;
    hw_store_eval(j->store, &j->command, &hw_script_bury, NULL, NULL);
    hw_command_u64(&j->command, unix_ago(j, j->options.history_retention_ms));
    return ask(j, on_buried);
}

/* ---- life ---- */

static void on_timer(struct hw_wheel_entry *e)
{
    static const task_fn tasks[] = { trim, rotate, sweep, bury, walk };
    struct hw_janitor *j = HW_CONTAINER_OF(e, struct hw_janitor, timer);
    unsigned n = sizeof tasks / sizeof tasks[0];

    if (!j->is_on || j->is_busy)
        return;
    for (unsigned i = 0; i < n; i++)
        if (tasks[(j->turn + i) % n](j)) {
            j->turn = (j->turn + i + 1) % n;
            return;
        }
    next(j, false);
}

/* A prefix may hold what SCAN's pattern takes for more than itself. */
static char *make_pattern(const char *tag)
{
    char *pattern = hw_malloc(2 * strlen(tag) + sizeof "led:*"), *at = pattern;

    if (pattern == NULL)
        return NULL;
    for (; *tag != '\0'; tag++) {
        if (strchr("*?[]\\^-", *tag) != NULL)
            *at++ = '\\';
        *at++ = *tag;
    }
    memcpy(at, "led:*", sizeof "led:*");
    return pattern;
}

enum hw_status hw_janitor_open(struct hw_janitor **out,
                               const struct hw_janitor_options *options,
                               struct hw_cause *cause)
{
    struct hw_janitor *j = hw_calloc(1, sizeof *j);

    if (j == NULL)
        return hw_cause_set(cause, HW_ENOMEM, HW_ORIGIN_US, 0, "janitor");
    j->options = *options;
    j->store = options->store;
    hw_command_init(&j->command);
    hw_map_init(&j->feeds);
    hw_list_init(&j->due);
    hw_list_init(&j->young);
    hw_wheel_entry_init(&j->timer, on_timer);
    memcpy(j->scan_cursor, "0", 2);
    memcpy(j->sweep_late, "0", 2);
    j->scan_pattern = make_pattern(j->store->keys.tag);
    j->drops = hw_malloc(SWEEP_WINDOW * sizeof *j->drops);
    if (j->scan_pattern != NULL && j->drops != NULL) {
        *out = j;
        return HW_OK;
    }
    hw_janitor_close(j);
    return hw_cause_set(cause, HW_ENOMEM, HW_ORIGIN_US, 0, "janitor");
}

void hw_janitor_start(struct hw_janitor *j)
{
    j->is_on = true;
    if (!j->is_busy)
        hw_loop_arm(j->store->loop, &j->timer, STEP_MS);
}

void hw_janitor_stop(struct hw_janitor *j)
{
    j->is_on = false;
    hw_loop_cancel(j->store->loop, &j->timer);
}

void hw_janitor_close(struct hw_janitor *j)
{
    struct hw_map_entry *e;

    if (j == NULL)
        return;
    hw_janitor_stop(j);
    while ((e = hw_map_next(&j->feeds, NULL)) != NULL)
        forget_feed(j, HW_CONTAINER_OF(e, struct feed, entry));
    hw_map_close(&j->feeds);
    hw_command_close(&j->command);
    hw_free(j->scan_pattern);
    hw_free(j->drops);
    hw_free(j);
}
