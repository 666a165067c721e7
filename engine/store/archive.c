/*
 * find: where it is and what is kept there -> its event's record -> cb; once more from the
 *   beginning where it was done with in between and its body went with it.
 *
 * list: one lane a webhook, each a run of deliveries in order of n, merged by (stamp, w, n).
 *   placing   where each lane begins: a binary search over n by stamp, all lanes in one script
 *   reading   whichever lanes have run dry, in one script -> merge while every lane has one
 *             -> the page is full, or every lane has ended, or enough was looked at -> cb
 */
#include "store/archive.h"

#include "hookwheel/alloc.h"
#include "redis/scripts.h"
#include "store/kept.h"

enum { READ_MAX = 400, READ_MIN = 8, LANES_MAX = 64 };

/* ---- find ---- */

static struct hw_archive_item as_item(const struct hw_kept *k)
{
    return (struct hw_archive_item){ k->w, k->n, k->account, k->history };
}

void hw_archive_get_init(struct hw_archive_get *g)
{
    memset(g, 0, sizeof *g);
    hw_command_init(&g->command);
}

void hw_archive_get_close(struct hw_archive_get *g)
{
    hw_command_close(&g->command);
    hw_kept_free(g->kept);
    g->kept = NULL;
}

static void get_done(struct hw_archive_get *g, enum hw_redis_trouble what,
                     const struct hw_archive_one *one)
{
    struct hw_kept *kept = g->kept;

    g->kept = NULL; /* g may be gone when cb returns */
    g->cb(g, what, one);
    hw_kept_free(kept);
}

static enum hw_status ask_where(struct hw_archive_get *g);

/* Of one that somebody has, all is in the body; it is elsewhere now, with all that is kept. */
static bool has_moved(const struct hw_archive_get *g, struct hw_slice record)
{
    return g->kept->history.event_id.len == 0 && record.len == 0 && !g->is_second_look;
}

static void look_again(struct hw_archive_get *g)
{
    hw_kept_free(g->kept);
    g->kept = NULL;
    g->is_second_look = true;
    if (ask_where(g) != HW_OK)
        get_done(g, HW_REDIS_REFUSED, NULL);
}

static void on_body(struct hw_redis_req *req, enum hw_redis_trouble what,
                    const struct hw_reply *reply, const struct hw_cause *cause)
{
    struct hw_archive_get *g = HW_CONTAINER_OF(req, struct hw_archive_get, req);
    struct hw_archive_one one = { 0 };

    (void)cause;
    if (what != HW_REDIS_FINE) {
        get_done(g, what, NULL);
        return;
    }
    one.record = hw_reply_item(reply, 0)->text;
    if (has_moved(g, one.record)) {
        look_again(g);
        return;
    }
    one.response = g->kept->response;
    if (g->kept->history.event_id.len == 0) {
        hw_kept_read_record(g->kept, one.record);
        g->kept->history.traceparent = hw_reply_item(reply, 1)->text;
    }
    one.item = as_item(g->kept);
    get_done(g, HW_REDIS_FINE, &one);
}

static enum hw_status ask_body(struct hw_archive_get *g)
{
    char cursor[48];

    hw_stream_id_text(g->kept->history.cursor, cursor);
    hw_command_reset(&g->command);
    hw_command_eval(&g->command, &hw_script_body, 0);
    hw_command_str(&g->command, g->store->keys.tag);
    hw_command_u64(&g->command, g->w);
    hw_command_u64(&g->command, g->n);
    hw_command_add(&g->command, g->kept->account);
    hw_command_str(&g->command, cursor);
    return hw_redis_send(g->store->work, &g->req, &g->command, on_body);
}

static void on_found(struct hw_redis_req *req, enum hw_redis_trouble what,
                     const struct hw_reply *reply, const struct hw_cause *cause)
{
    struct hw_archive_get *g = HW_CONTAINER_OF(req, struct hw_archive_get, req);

    (void)cause;
    if (what != HW_REDIS_FINE || reply->n_items == 0) {
        get_done(g, what, NULL);
        return;
    }
    struct hw_kept_where where = { .place = hw_reply_item(reply, 0)->text,
                                   .value = hw_reply_item(reply, 1)->text,
                                   .account = hw_reply_item(reply, 2)->text,
                                   .response = hw_reply_item(reply, 3)->text };
    g->kept = hw_kept_new(g->w, g->n, &where, hw_loop_unix(g->store->loop));
    if (g->kept == NULL || ask_body(g) != HW_OK)
        get_done(g, HW_REDIS_REFUSED, NULL);
}

static enum hw_status ask_where(struct hw_archive_get *g)
{
    hw_command_reset(&g->command);
    hw_command_eval(&g->command, &hw_script_find, 0);
    hw_command_str(&g->command, g->store->keys.tag);
    hw_command_u64(&g->command, g->w);
    hw_command_u64(&g->command, g->n);
    return hw_redis_send(g->store->work, &g->req, &g->command, on_found);
}

enum hw_status hw_archive_find(struct hw_store *store, struct hw_archive_get *g, uint32_t w,
                               uint64_t n, hw_archive_get_cb cb)
{
    g->store = store;
    g->cb = cb;
    g->w = w;
    g->n = n;
    g->is_second_look = false;
    return ask_where(g);
}

/* ---- list ---- */

struct lane {
    uint32_t w;
    bool has_ended;
    bool is_placed;
    bool is_asked;   /* in the script under way */
    bool has_last;   /* hi is known */
    uint64_t from;   /* reading: the next n; 0: the newest */
    uint64_t lo, hi; /* placing: the answer is among these; all up to lo is before the bound */
    uint64_t middle; /* placing: what is asked about, */
    uint64_t probe;  /*   and from where on it is looked for */
    struct hw_list kept; /* read and not merged yet, in order */
};

struct hw_archive_list {
    struct hw_store *store;
    struct hw_redis_req req;
    struct hw_command command;
    hw_archive_list_cb cb;
    void *data;
    struct hw_archive_query query; /* texts and webhooks are not used from here */
    char *event_id, *subject;      /* owned; NULL: any */
    bool only_lates;               /* the status asked for is among those that failed once */
    bool has_bound;
    struct hw_archive_place bound; /* lanes begin just before it, or after it when backward */
    struct lane *lanes;            /* owned */
    size_t n_lanes;
    struct hw_list results; /* in the order found; up to limit + 1 */
    size_t n_results;
    size_t n_examined;
    size_t read_max; /* of each lane in the next script: the more, the less passes the filter */
    struct hw_archive_place begin, end; /* first and last examined */
    bool has_begun;
    bool has_more;
};

static void list_free(struct hw_archive_list *l)
{
    HW_LIST_EACH_SAFE(link, &l->results)
    hw_kept_free(HW_CONTAINER_OF(link, struct hw_kept, link));
    for (size_t i = 0; l->lanes != NULL && i < l->n_lanes; i++)
        HW_LIST_EACH_SAFE(link, &l->lanes[i].kept)
    hw_kept_free(HW_CONTAINER_OF(link, struct hw_kept, link));
    hw_command_close(&l->command);
    hw_free(l->lanes);
    hw_free(l->event_id);
    hw_free(l->subject);
    hw_free(l);
}

static int place_cmp(struct hw_archive_place a, struct hw_archive_place b)
{
    if (a.stamp_us != b.stamp_us)
        return a.stamp_us < b.stamp_us ? -1 : 1;
    if (a.w != b.w)
        return a.w < b.w ? -1 : 1;
    return a.n < b.n ? -1 : a.n > b.n;
}

static struct hw_archive_place place_of(const struct hw_kept *k)
{
    return (struct hw_archive_place){ k->stamp_us, k->w, k->n };
}

/* ---- the answer ---- */

static void list_done(struct hw_archive_list *l, enum hw_redis_trouble what)
{
    struct hw_archive_page page = { 0 };
    struct hw_archive_item *items = hw_calloc(l->n_results + 1, sizeof *items);
    size_t n = l->n_results < l->query.limit ? l->n_results : l->query.limit, i = 0;

    if (items == NULL)
        what = HW_REDIS_REFUSED;
    HW_LIST_EACH(link, &l->results)
    {
        if (items == NULL || i == n)
            break;
        /* Found oldest first when going backward: newest first all the same. */
        items[l->query.is_backward ? n - 1 - i : i] =
            as_item(HW_CONTAINER_OF(link, struct hw_kept, link));
        i++;
    }
    page.items = items;
    page.n_items = n;
    page.has_more = l->has_more;
    page.has_first_last = l->has_begun;
    page.first = l->query.is_backward ? l->end : l->begin;
    page.last = l->query.is_backward ? l->begin : l->end;
    l->cb(l->data, what, what == HW_REDIS_FINE ? &page : NULL);
    hw_free(items);
    list_free(l);
}

/* ---- merging ---- */

static bool is_wanted(const struct hw_archive_list *l, const struct hw_kept *k)
{
    const struct hw_history *h = &k->history;

    return (l->query.status < 0 || l->query.status == (int)h->status) &&
           (l->event_id == NULL || hw_slice_is(h->event_id, l->event_id)) &&
           (l->subject == NULL || hw_slice_is(h->subject, l->subject));
}

/* Beyond the far end of the time asked for: nothing more of that lane is wanted. */
static bool is_beyond(const struct hw_archive_list *l, const struct hw_kept *k)
{
    hw_unix_ms created = (hw_unix_ms)(k->stamp_us / 1000);

    if (l->query.is_backward)
        return l->query.until_ms != 0 && created >= l->query.until_ms;
    return created < l->query.since_ms;
}

static void end_lane(struct lane *lane)
{
    lane->has_ended = true;
    HW_LIST_EACH_SAFE(link, &lane->kept)
    hw_kept_free(HW_CONTAINER_OF(link, struct hw_kept, link));
}

static struct hw_kept *head_of(const struct lane *lane)
{
    struct hw_list *link = hw_list_first(&lane->kept);

    return link != NULL ? HW_CONTAINER_OF(link, struct hw_kept, link) : NULL;
}

/* Which comes next; NULL: a lane must be read first (*is_dry), or none is left. */
static struct lane *next_lane(struct hw_archive_list *l, bool *is_dry)
{
    struct lane *best = NULL;
    int sign = l->query.is_backward ? -1 : 1;

    *is_dry = false;
    for (size_t i = 0; i < l->n_lanes; i++) {
        struct lane *lane = &l->lanes[i];
        struct hw_kept *k = head_of(lane);
        if (k != NULL && is_beyond(l, k)) {
            end_lane(lane);
            k = NULL;
        }
        if (k == NULL && lane->from == UINT64_MAX)
            lane->has_ended = true;
        if (k == NULL && !lane->has_ended)
            *is_dry = true;
        if (k != NULL &&
            (best == NULL || sign * place_cmp(place_of(k), place_of(head_of(best))) > 0))
            best = lane;
    }
    return *is_dry ? NULL : best;
}

static void examine(struct hw_archive_list *l, struct hw_kept *k)
{
    struct hw_archive_place place = place_of(k);

    if (is_wanted(l, k)) {
        if (l->n_results == l->query.limit) {
            l->has_more = true;
            hw_kept_free(k);
            return;
        }
        hw_list_unlink(&k->link);
        hw_list_push_back(&l->results, &k->link);
        l->n_results++;
    } else {
        hw_kept_free(k);
    }
    if (!l->has_begun)
        l->begin = place;
    l->has_begun = true;
    l->end = place;
    l->n_examined++;
}

static enum hw_status read_more(struct hw_archive_list *l);

static void merge(struct hw_archive_list *l)
{
    struct lane *lane;
    bool is_dry = false;

    while (!l->has_more && l->n_examined < HW_ARCHIVE_EXAMINE_MAX &&
           (lane = next_lane(l, &is_dry)) != NULL)
        examine(l, head_of(lane));
    if (!l->has_more && is_dry && l->n_examined < HW_ARCHIVE_EXAMINE_MAX) {
        if (read_more(l) == HW_OK)
            return;
        list_done(l, HW_REDIS_GONE);
        return;
    }
    l->has_more = l->has_more || l->n_examined >= HW_ARCHIVE_EXAMINE_MAX;
    list_done(l, HW_REDIS_FINE);
}

/* ---- reading ---- */

static void begin_page(struct hw_archive_list *l, bool is_upward, size_t max)
{
    struct hw_command *c = &l->command;

    hw_command_reset(c);
    hw_command_eval(c, &hw_script_page, 0);
    hw_command_str(c, l->store->keys.tag);
    hw_command_str(c, l->only_lates ? "lates" : "all");
    hw_command_str(c, is_upward ? "1" : "-1");
    hw_command_u64(c, max);
    hw_command_u64(c, l->store->history_max);
}

static void ask_lane(struct hw_archive_list *l, struct lane *lane, uint64_t from)
{
    hw_command_u64(&l->command, lane->w);
    hw_command_u64(&l->command, from);
    lane->is_asked = true;
}

/* From page.lua's reply: n, where, value, head. */
static struct hw_kept *read_kept(const struct hw_archive_list *l, const struct lane *lane,
                                 const struct hw_reply *fields)
{
    struct hw_kept_where where = { .place = fields[1].text,
                                   .value = fields[2].text,
                                   .head = fields[3].text };

    return hw_kept_new(lane->w, (uint64_t)hw_reply_int(&fields[0], 0), &where,
                       hw_loop_unix(l->store->loop));
}

/* reply: {last, next, n, where, value, head, ...} */
static void keep_lane(struct hw_archive_list *l, struct lane *lane,
                      const struct hw_reply *reply)
{
    int64_t next = hw_reply_int(hw_reply_item(reply, 1), -1);
    struct hw_kept *k;

    for (size_t i = 2; i + 4 <= reply->n_items; i += 4) {
        k = read_kept(l, lane, &reply->items[i]);
        if (k != NULL)
            hw_list_push_back(&lane->kept, &k->link);
    }
    if (reply->n_items <= 2)
        l->n_examined += 64; /* a search through nothing is work too */
    lane->from = next > 0 ? (uint64_t)next : UINT64_MAX;
    if (next <= 0 && hw_list_is_empty(&lane->kept))
        lane->has_ended = true;
}

static void on_read(struct hw_redis_req *req, enum hw_redis_trouble what,
                    const struct hw_reply *reply, const struct hw_cause *cause)
{
    struct hw_archive_list *l = HW_CONTAINER_OF(req, struct hw_archive_list, req);
    size_t at = 0;

    (void)cause;
    if (what != HW_REDIS_FINE) {
        list_done(l, what);
        return;
    }
    for (size_t i = 0; i < l->n_lanes; i++) {
        if (!l->lanes[i].is_asked)
            continue;
        l->lanes[i].is_asked = false;
        keep_lane(l, &l->lanes[i], hw_reply_item(reply, at++));
    }
    merge(l);
}

static enum hw_status read_more(struct hw_archive_list *l)
{
    size_t each = READ_MAX / (l->n_lanes < LANES_MAX ? l->n_lanes : LANES_MAX), n = 0;

    if (each > l->read_max)
        each = l->read_max;
    l->read_max *= 2;
    begin_page(l, l->query.is_backward, each > READ_MIN ? each : READ_MIN);
    for (size_t i = 0; i < l->n_lanes && n < LANES_MAX; i++) {
        struct lane *lane = &l->lanes[i];
        if (lane->has_ended || !hw_list_is_empty(&lane->kept))
            continue;
        ask_lane(l, lane, lane->from);
        n++;
    }
    return hw_redis_send(l->store->work, &l->req, &l->command, on_read);
}

/* ---- placing ---- */

static enum hw_status place_lanes(struct hw_archive_list *l);

/* lo is the last n before the bound. */
static void placed(struct hw_archive_list *l, struct lane *lane)
{
    lane->is_placed = true;
    if (l->query.is_backward) {
        lane->from = lane->lo + 1;
        if (lane->w == l->bound.w && lane->from <= l->bound.n)
            lane->from = l->bound.n + 1;
        return;
    }
    lane->from = lane->lo;
    lane->has_ended = lane->lo == 0;
}

static void narrow(struct hw_archive_list *l, struct lane *lane, const struct hw_reply *reply)
{
    int64_t next = hw_reply_int(hw_reply_item(reply, 1), -1);
    bool has_one = reply->n_items > 2;
    uint64_t n = has_one ? (uint64_t)hw_reply_int(&reply->items[2], 0) : 0;
    struct hw_kept *k = NULL;

    if (!lane->has_last) { /* this was about the newest */
        lane->has_last = true;
        lane->hi = lane->middle = (uint64_t)hw_reply_int(hw_reply_item(reply, 0), 0);
    }
    if (has_one)
        k = read_kept(l, lane, &reply->items[2]);
    if (!has_one && next > 0 && (uint64_t)next > lane->lo) {
        lane->probe = (uint64_t)next; /* nothing there so far: look further down */
        return;
    }
    if (k != NULL && place_cmp(place_of(k), l->bound) >= 0)
        lane->hi = n - 1;
    else
        lane->lo = lane->middle; /* nothing of it between n and there */
    hw_kept_free(k);
    if (lane->lo >= lane->hi) {
        placed(l, lane);
        return;
    }
    lane->middle = lane->lo + (lane->hi - lane->lo + 1) / 2;
    lane->probe = lane->middle;
}

static void on_probe(struct hw_redis_req *req, enum hw_redis_trouble what,
                     const struct hw_reply *reply, const struct hw_cause *cause)
{
    struct hw_archive_list *l = HW_CONTAINER_OF(req, struct hw_archive_list, req);
    size_t at = 0;

    (void)cause;
    if (what != HW_REDIS_FINE) {
        list_done(l, what);
        return;
    }
    for (size_t i = 0; i < l->n_lanes; i++) {
        if (!l->lanes[i].is_asked)
            continue;
        l->lanes[i].is_asked = false;
        narrow(l, &l->lanes[i], hw_reply_item(reply, at++));
    }
    if (place_lanes(l) != HW_OK)
        list_done(l, HW_REDIS_GONE);
}

static enum hw_status place_lanes(struct hw_archive_list *l)
{
    size_t n = 0;

    begin_page(l, false, 1);
    for (size_t i = 0; i < l->n_lanes && n < LANES_MAX; i++) {
        if (l->lanes[i].is_placed)
            continue;
        ask_lane(l, &l->lanes[i], l->lanes[i].probe);
        n++;
    }
    if (n == 0)
        return read_more(l);
    return hw_redis_send(l->store->work, &l->req, &l->command, on_probe);
}

/* ---- asking ---- */

static bool copy_text(char **out, struct hw_slice text)
{
    *out = text.len > 0 ? hw_strndup(text.data, text.len) : NULL;
    return text.len == 0 || *out != NULL;
}

/* Where the lanes begin: at the place given or the near end of the time asked for, whichever is
 * further on. */
static void set_bound(struct hw_archive_list *l)
{
    struct hw_archive_place until = { (uint64_t)l->query.until_ms * 1000, 0, 0 };
    struct hw_archive_place since = { (uint64_t)l->query.since_ms * 1000, 0, 0 };

    l->query.is_backward = l->query.is_backward && l->query.has_place;
    l->has_bound = l->query.has_place;
    l->bound = l->query.place;
    if (!l->query.is_backward && l->query.until_ms > 0 &&
        (!l->has_bound || place_cmp(until, l->bound) < 0)) {
        l->has_bound = true;
        l->bound = until;
    }
    if (l->query.is_backward && l->query.since_ms > 0 && place_cmp(since, l->bound) > 0)
        l->bound = since;
}

static void init_lanes(struct hw_archive_list *l, const uint32_t *webhooks)
{
    for (size_t i = 0; i < l->n_lanes; i++) {
        struct lane *lane = &l->lanes[i];
        lane->w = webhooks[i];
        hw_list_init(&lane->kept);
        lane->is_placed = !l->has_bound;
        if (l->has_bound && lane->w == l->bound.w && l->bound.n > 0) {
            lane->lo = l->bound.n - 1;
            placed(l, lane);
        }
    }
}

/* An id of ours says when its event was enqueued; nothing of it is older (clocks of Redis and
 * instances differ by less than this). */
static void narrow_by_event(struct hw_archive_list *l, struct hw_slice event_id)
{
    enum { CLOCKS_DIFFER_MS = 300000 };
    struct hw_stream_id entry;

    if (!hw_id_event_parse(&entry, event_id) || entry.ms < CLOCKS_DIFFER_MS)
        return;
    if (l->query.since_ms < (hw_unix_ms)entry.ms - CLOCKS_DIFFER_MS)
        l->query.since_ms = (hw_unix_ms)entry.ms - CLOCKS_DIFFER_MS;
}

enum hw_status hw_archive_list(struct hw_store *store, const struct hw_archive_query *query,
                               hw_archive_list_cb cb, void *data)
{
    struct hw_archive_list *l = hw_calloc(1, sizeof *l);
    enum hw_status status = HW_ENOMEM;

    if (l == NULL)
        return HW_ENOMEM;
    l->store = store;
    l->cb = cb;
    l->data = data;
    l->query = *query;
    hw_list_init(&l->results);
    hw_command_init(&l->command);
    if (l->query.limit == 0 || l->query.limit > HW_ARCHIVE_LIMIT_MAX)
        l->query.limit = HW_ARCHIVE_LIMIT_MAX;
    l->read_max = l->query.limit + 1;
    l->only_lates =
        query->status == HW_STATUS_DEAD_LETTER || query->status == HW_STATUS_FAILED;
    l->n_lanes = query->n_webhooks;
    l->lanes = hw_calloc(l->n_lanes + 1, sizeof *l->lanes);
    if (l->lanes != NULL && copy_text(&l->event_id, query->event_id) &&
        copy_text(&l->subject, query->subject)) {
        set_bound(l);
        narrow_by_event(l, query->event_id);
        init_lanes(l, query->webhooks);
        status = l->n_lanes == 0 ? HW_EINVAL : place_lanes(l);
    }
    if (status != HW_OK)
        list_free(l);
    return status;
}
