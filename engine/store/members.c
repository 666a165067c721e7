/*
 * up -> join under a new id -> on_joined -> a beat every 500 ms -> on_beat
 *
 * Connection lost   beats stop; when it is back the first beat carries a new epoch -> on_back.
 * Fenced            the beat says so -> on_fenced -> join under another id -> on_joined.
 * Refused for good  join's answer says why -> on_refused, and no further try.
 * Any other trouble -> on_trouble, tried again at the next beat.
 * A peer goes quiet -> after HW_BEAT_LAPSE_MS of watching, or at once where its process was
 *                   on this machine and is gone: take_over -> its id is among the orphans.
 */
#include "store/members.h"

#include <stdio.h>

#include "hookwheel/alloc.h"
#include "redis/scripts.h"
#include "store/process.h"

enum {
    GAP_MAX_MS = 2 * HW_BEAT_EVERY_MS
}; /* a longer pause between two looks was not watched */

enum state { STATE_OUT, STATE_JOINING, STATE_IN, STATE_REFUSED, STATE_LEAVING, STATE_LEFT };

struct peer {
    char id[HW_INSTANCE_CHARS + 1];
    uint64_t beat;      /* as last seen */
    uint64_t silent_ms; /* watched without a change */
    bool is_gone;       /* its process was on this machine */
    bool is_listed;     /* in the answer at hand */
};

struct hw_members {
    struct hw_members_options options;
    struct hw_store *store;
    enum state state;
    bool is_up;
    bool is_back; /* the next good beat is the first on a new connection */
    uint64_t epoch;
    char candidate[HW_INSTANCE_CHARS + 1]; /* the id that join was sent with */
    char process[HW_PROCESS_MAX];          /* which process of which machine we are */
    char *consumer;                        /* owned */
    struct hw_wheel_entry timer;
    struct hw_redis_req beat_req;
    struct hw_command beat_command;
    bool is_beating;
    hw_mono_ms beat_sent; /* the one under way */
    hw_mono_ms confirmed; /* sending time of the newest one answered; 0: none */
    hw_mono_ms looked;    /* when the peers' beats were last seen; 0: not on this connection */
    struct peer *peers;   /* owned */
    size_t n_peers, peers_cap;
    unsigned n_live, rank;
    struct hw_redis_req take_req;
    struct hw_command take_command;
    bool is_taking;
    char taking[HW_INSTANCE_CHARS + 1];
    char taking_why[64];
    struct hw_hold *holds; /* owned, for the view */
    size_t holds_cap;
    struct hw_orphan *orphans; /* owned, for the view */
    size_t orphans_cap;
    struct hw_redis_req leave_req;
    struct hw_command leave_command;
    void (*leave_cb)(void *data);
    void *leave_data;
};

/* ---- small things ---- */

static void trouble(struct hw_members *m, enum hw_redis_trouble what,
                    const struct hw_cause *cause)
{
    m->options.events->on_trouble(m->options.data, what, cause);
}

static bool id_from(char out[HW_INSTANCE_CHARS + 1], struct hw_slice text)
{
    if (text.len != HW_INSTANCE_CHARS)
        return false;
    memcpy(out, text.data, text.len);
    out[text.len] = '\0';
    return true;
}

static void next_epoch(struct hw_members *m)
{
    m->epoch++;
    snprintf(m->store->epoch, sizeof m->store->epoch, "%llu", (unsigned long long)m->epoch);
}

/* ---- join ---- */

static bool set_consumer(struct hw_members *m)
{
    size_t size = strlen(m->options.label) + 1 + sizeof m->candidate;
    char *consumer = hw_malloc(size);

    if (consumer == NULL)
        return false;
    snprintf(consumer, size, "%s-%s", m->options.label, m->candidate);
    hw_free(m->consumer);
    m->consumer = consumer;
    return true;
}

static void refused(struct hw_members *m, struct hw_slice why)
{
    struct hw_cause cause;

    m->state = STATE_REFUSED;
    hw_loop_cancel(m->store->loop, &m->timer);
    (void)hw_cause_set(&cause, HW_EDENIED, HW_ORIGIN_US, 0, "%.*s", HW_SLICE_FMT(why));
    m->options.events->on_refused(m->options.data, &cause);
}

static void joined(struct hw_members *m, struct hw_slice engine_key, uint32_t feed_epoch)
{
    if (!set_consumer(m) || engine_key.len >= sizeof m->store->engine_key) {
        m->state = STATE_OUT; /* the timer tries again; the id just made lapses */
        return;
    }
    memcpy(m->store->engine_key, engine_key.data, engine_key.len);
    m->store->engine_key[engine_key.len] = '\0';
    memcpy(m->store->instance, m->candidate, sizeof m->candidate);
    m->store->feed_epoch = feed_epoch;
    m->state = STATE_IN;
    m->confirmed = m->beat_sent;
    m->looked = 0;
    m->n_live = 1;
    m->rank = 0;
    m->is_back = false;
    hw_loop_arm(m->store->loop, &m->timer, 0);
    m->options.events->on_joined(m->options.data);
}

static void on_join(struct hw_redis_req *req, enum hw_redis_trouble what,
                    const struct hw_reply *reply, const struct hw_cause *cause)
{
    struct hw_members *m = HW_CONTAINER_OF(req, struct hw_members, beat_req);

    m->is_beating = false;
    if (m->state != STATE_JOINING)
        return;
    if (what != HW_REDIS_FINE) {
        m->state = STATE_OUT;
        trouble(m, what, cause);
    } else if (hw_reply_int(hw_reply_item(reply, 0), 0) != 1) {
        refused(m, hw_reply_item(reply, 1)->text);
    } else {
        joined(m, hw_reply_item(reply, 1)->text,
               (uint32_t)hw_reply_int(hw_reply_item(reply, 2), 0));
    }
}

static void join(struct hw_members *m)
{
    struct hw_command *c = &m->beat_command;
    struct hw_keys *keys = &m->store->keys;
    char engine_key[HW_INSTANCE_CHARS + 1];

    /* A new id at each try: one that an unanswered try may have left behind is nobody's. */
    hw_store_random(m->candidate);
    hw_store_random(engine_key);
    next_epoch(m);
    hw_command_reset(c);
    hw_command_eval(c, &hw_script_join, 3);
    hw_command_fmt(c, "%sinst", keys->tag);
    hw_command_str(c, keys->meta);
    hw_command_str(c, keys->events);
    hw_command_str(c, keys->tag);
    hw_command_str(c, m->candidate);
    hw_command_str(c, m->store->epoch);
    hw_command_str(c, m->process);
    hw_command_u64(c, HW_SCHEMA);
    hw_command_u64(c, HW_SCHEMA_MIN_READER);
    hw_command_u64(c, HW_SHARDS);
    hw_command_str(c, keys->group);
    hw_command_str(c, engine_key);
    hw_command_str(c, m->options.root_sha256 != NULL ? m->options.root_sha256 : "");
    hw_command_str(c, m->options.replace_root ? "1" : "0");
    hw_command_u64(c, hw_store_random_number());
    m->beat_sent = hw_loop_now(m->store->loop);
    if (hw_redis_send(m->store->work, &m->beat_req, c, on_join) == HW_OK) {
        m->is_beating = true;
        m->state = STATE_JOINING;
    }
}

/* ---- others ---- */

static struct peer *find_peer(struct hw_members *m, const char *id)
{
    for (size_t i = 0; i < m->n_peers; i++)
        if (strcmp(m->peers[i].id, id) == 0)
            return &m->peers[i];
    struct peer *p = hw_store_grow(m->peers, m->n_peers, &m->peers_cap, sizeof *p);
    if (p == NULL)
        return NULL;
    m->peers = p;
    p += m->n_peers++;
    memset(p, 0, sizeof *p);
    memcpy(p->id, id, sizeof p->id);
    return p;
}

static void look_at_beats(struct hw_members *m, const struct hw_reply *beats,
                          uint64_t watched_ms)
{
    char id[HW_INSTANCE_CHARS + 1];

    for (size_t i = 0; i + 1 < beats->n_items; i += 2) {
        uint64_t beat = (uint64_t)hw_reply_int(&beats->items[i + 1], 0);
        struct peer *p;
        if (!id_from(id, beats->items[i].text) || strcmp(id, m->store->instance) == 0 ||
            (p = find_peer(m, id)) == NULL)
            continue;
        p->is_listed = true;
        p->silent_ms = p->beat == beat ? p->silent_ms + watched_ms : 0;
        p->beat = beat;
    }
}

static void look_at_processes(struct hw_members *m, const struct hw_reply *processes)
{
    char id[HW_INSTANCE_CHARS + 1];

    for (size_t i = 0; i + 1 < processes->n_items; i += 2) {
        if (!id_from(id, processes->items[i].text))
            continue;
        for (size_t k = 0; k < m->n_peers; k++) {
            struct peer *p = &m->peers[k];
            if (strcmp(p->id, id) == 0 && p->silent_ms > 0 && !p->is_gone)
                p->is_gone = hw_process_is_gone(m->process, processes->items[i + 1].text);
        }
    }
}

/* true: there were some. */
static bool forget_unlisted(struct hw_members *m)
{
    size_t n = 0;
    bool has_lost;

    for (size_t i = 0; i < m->n_peers; i++)
        if (m->peers[i].is_listed)
            m->peers[n++] = m->peers[i];
    has_lost = n < m->n_peers;
    m->n_peers = n;
    for (size_t i = 0; i < n; i++)
        m->peers[i].is_listed = false;
    return has_lost;
}

static bool is_dead(const struct peer *p)
{
    return p->is_gone || p->silent_ms >= HW_BEAT_LAPSE_MS;
}

static void count_live(struct hw_members *m)
{
    m->n_live = 1;
    m->rank = 0;
    for (size_t i = 0; i < m->n_peers; i++) {
        if (is_dead(&m->peers[i]))
            continue;
        m->n_live++;
        m->rank += strcmp(m->peers[i].id, m->store->instance) < 0;
    }
}

static void on_taken_over(struct hw_redis_req *req, enum hw_redis_trouble what,
                          const struct hw_reply *reply, const struct hw_cause *cause)
{
    struct hw_members *m = HW_CONTAINER_OF(req, struct hw_members, take_req);

    (void)cause;
    m->is_taking = false;
    if (m->state != STATE_IN || what != HW_REDIS_FINE || hw_reply_int(reply, 0) != 1)
        return; /* the next beat looks again */
    m->store->metrics->takeovers++;
    hw_loop_arm(m->store->loop, &m->timer, 0);
    m->options.events->on_takeover(m->options.data, m->taking, m->taking_why);
}

static void take_over(struct hw_members *m, const struct peer *p)
{
    memcpy(m->taking, p->id, sizeof m->taking);
    if (p->is_gone)
        snprintf(m->taking_why, sizeof m->taking_why, "its process is gone");
    else
        snprintf(m->taking_why, sizeof m->taking_why, "no sign of life for %llu ms",
                 (unsigned long long)p->silent_ms);
    hw_store_eval(m->store, &m->take_command, &hw_script_take_over, NULL, NULL);
    hw_command_str(&m->take_command, p->id);
    hw_command_u64(&m->take_command, p->beat);
    m->is_taking =
        hw_redis_send(m->store->work, &m->take_req, &m->take_command, on_taken_over) == HW_OK;
}

static void take_over_first_dead(struct hw_members *m)
{
    for (size_t i = 0; i < m->n_peers && !m->is_taking; i++)
        if (is_dead(&m->peers[i]))
            take_over(m, &m->peers[i]);
}

/* ---- the beat ---- */

static size_t view_holds(struct hw_members *m, const struct hw_reply *holds)
{
    size_t n = 0;

    for (size_t i = 0; i + 1 < holds->n_items; i += 2) {
        struct hw_hold *more = hw_store_grow(m->holds, n, &m->holds_cap, sizeof *more);
        if (more == NULL)
            break;
        m->holds = more;
        m->holds[n].w = (uint32_t)hw_reply_int(&holds->items[i], 0);
        m->holds[n].until_ms = hw_reply_int(&holds->items[i + 1], 0);
        if (m->holds[n].until_ms > hw_loop_steady(m->store->loop))
            n++;
    }
    return n;
}

static size_t view_orphans(struct hw_members *m, const struct hw_reply *orphans)
{
    size_t n = 0;

    for (size_t i = 0; i + 1 < orphans->n_items; i += 2) {
        struct hw_orphan *more = hw_store_grow(m->orphans, n, &m->orphans_cap, sizeof *more);
        if (more == NULL)
            break;
        m->orphans = more;
        m->orphans[n].has_crashed = hw_slice_is(orphans->items[i + 1].text, "crash");
        if (id_from(m->orphans[n].id, orphans->items[i].text))
            n++;
    }
    return n;
}

/* true: somebody is gone since the last look. */
static bool look_around(struct hw_members *m, const struct hw_reply *reply)
{
    hw_mono_ms now = hw_loop_now(m->store->loop);
    uint64_t gap = m->looked != 0 ? now - m->looked : 0;
    bool has_lost;

    m->looked = now;
    look_at_beats(m, hw_reply_item(reply, 0), gap < GAP_MAX_MS ? gap : GAP_MAX_MS);
    look_at_processes(m, hw_reply_item(reply, 1));
    has_lost = forget_unlisted(m);
    count_live(m);
    take_over_first_dead(m);
    return has_lost;
}

static void beat_confirmed(struct hw_members *m, const struct hw_reply *reply)
{
    const struct hw_members_events *events = m->options.events;
    void *data = m->options.data;
    bool is_back = m->is_back;
    struct hw_members_view view = { 0 };

    m->confirmed = m->beat_sent;
    m->is_back = false;
    view.has_lost = look_around(m, reply);
    view.n_live = m->n_live;
    view.rank = m->rank;
    view.registry_total = (uint64_t)hw_reply_int(hw_reply_item(reply, 3), 0);
    view.n_orphans = view_orphans(m, hw_reply_item(reply, 2));
    view.orphans = m->orphans;
    view.n_holds = view_holds(m, hw_reply_item(reply, 4));
    view.holds = m->holds;
    if (is_back)
        events->on_back(data);
    events->on_beat(data, &view);
}

static void fenced(struct hw_members *m)
{
    m->state = STATE_OUT;
    m->confirmed = 0;
    m->n_peers = 0;
    m->store->instance[0] = '\0';
    hw_loop_arm(m->store->loop, &m->timer, 0); /* joins */
    m->options.events->on_fenced(m->options.data);
}

static void on_beat(struct hw_redis_req *req, enum hw_redis_trouble what,
                    const struct hw_reply *reply, const struct hw_cause *cause)
{
    struct hw_members *m = HW_CONTAINER_OF(req, struct hw_members, beat_req);

    m->is_beating = false;
    if (m->state != STATE_IN)
        return;
    if (what == HW_REDIS_FENCED)
        fenced(m);
    else if (what == HW_REDIS_FINE)
        beat_confirmed(m, reply);
    else
        trouble(m, what, cause);
}

static void beat(struct hw_members *m)
{
    hw_store_eval(m->store, &m->beat_command, &hw_script_beat, NULL, NULL);
    hw_command_fmt(&m->beat_command, "%lld", (long long)hw_loop_steady(m->store->loop));
    m->beat_sent = hw_loop_now(m->store->loop);
    m->is_beating =
        hw_redis_send(m->store->work, &m->beat_req, &m->beat_command, on_beat) == HW_OK;
}

static void on_timer(struct hw_wheel_entry *e)
{
    struct hw_members *m = HW_CONTAINER_OF(e, struct hw_members, timer);

    if (m->state == STATE_LEAVING) { /* Redis was not there to be told */
        m->state = STATE_LEFT;
        m->leave_cb(m->leave_data);
        return;
    }
    hw_loop_arm(m->store->loop, &m->timer, HW_BEAT_EVERY_MS);
    if (!m->is_up || m->is_beating)
        return;
    if (m->state == STATE_OUT)
        join(m);
    else if (m->state == STATE_IN)
        beat(m);
}

/* ---- life ---- */

enum hw_status hw_members_open(struct hw_members **out,
                               const struct hw_members_options *options,
                               struct hw_cause *cause)
{
    struct hw_members *m = hw_calloc(1, sizeof *m);

    if (m == NULL)
        return hw_cause_set(cause, HW_ENOMEM, HW_ORIGIN_US, 0, "membership");
    m->options = *options;
    m->store = options->store;
    m->n_live = 1;
    hw_process_self(m->process);
    hw_wheel_entry_init(&m->timer, on_timer);
    hw_command_init(&m->beat_command);
    hw_command_init(&m->take_command);
    hw_command_init(&m->leave_command);
    *out = m;
    return HW_OK;
}

void hw_members_up(struct hw_members *m)
{
    m->is_up = true;
    m->looked = 0;
    for (size_t i = 0; i < m->n_peers; i++)
        m->peers[i].silent_ms = 0;
    if (m->state != STATE_OUT && m->state != STATE_IN)
        return;
    hw_loop_arm(m->store->loop, &m->timer, HW_BEAT_EVERY_MS);
    if (m->state == STATE_IN) {
        next_epoch(m);
        m->is_back = true;
        beat(m); /* in front of everything else on this connection */
    } else {
        join(m);
    }
}

void hw_members_down(struct hw_members *m)
{
    m->is_up = false;
}

bool hw_members_may_start(const struct hw_members *m, hw_mono_ms now)
{
    return m->state == STATE_IN && m->confirmed != 0 &&
           now < m->confirmed + HW_BEAT_MAY_START_MS;
}

const char *hw_members_consumer(const struct hw_members *m)
{
    return m->consumer != NULL ? m->consumer : "";
}

unsigned hw_members_n_live(const struct hw_members *m)
{
    return m->n_live;
}

unsigned hw_members_rank(const struct hw_members *m)
{
    return m->rank;
}

static void on_left(struct hw_redis_req *req, enum hw_redis_trouble what,
                    const struct hw_reply *reply, const struct hw_cause *cause)
{
    struct hw_members *m = HW_CONTAINER_OF(req, struct hw_members, leave_req);

    (void)what;
    (void)reply;
    (void)cause;
    m->state = STATE_LEFT;
    m->store->instance[0] = '\0';
    m->leave_cb(m->leave_data);
}

void hw_members_leave(struct hw_members *m, void (*cb)(void *data), void *data)
{
    bool was_in = m->state == STATE_IN;

    m->state = STATE_LEAVING;
    m->leave_cb = cb;
    m->leave_data = data;
    hw_store_eval(m->store, &m->leave_command, &hw_script_leave, m->store->keys.events, NULL);
    hw_command_str(&m->leave_command, m->store->keys.group);
    hw_command_str(&m->leave_command, hw_members_consumer(m));
    if (was_in &&
        hw_redis_send(m->store->work, &m->leave_req, &m->leave_command, on_left) == HW_OK)
        hw_loop_cancel(m->store->loop, &m->timer);
    else
        hw_loop_arm(m->store->loop, &m->timer, 0); /* the answer comes through the wheel */
}

void hw_members_close(struct hw_members *m)
{
    if (m == NULL)
        return;
    hw_loop_cancel(m->store->loop, &m->timer);
    hw_command_close(&m->beat_command);
    hw_command_close(&m->take_command);
    hw_command_close(&m->leave_command);
    hw_free(m->peers);
    hw_free(m->holds);
    hw_free(m->orphans);
    hw_free(m->consumer);
    hw_free(m);
}
