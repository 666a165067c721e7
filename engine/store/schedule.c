/*
 * ahead:  every AHEAD_EVERY_MS read what is due until window_end -> armed on the wheel
 * due:    wheel -> ready -> end of the turn: on_due says claim or later -> claim -> on_claimed
 * parked: due before window_end -> armed; later than that: a reading ahead will find it
 * sweep:  every SWEEP_EVERY_MS read what is overdue (armed by nobody who lives) -> ready
 *
 * An entry that is armed twice, or by two instances, is claimed once: the second claim finds
 * it gone, or parked anew for later.  An entry that nobody arms is found by the sweep.  So nothing
 * here needs to be exact.
 */
#include "store/schedule.h"

#include <stdlib.h>

#include "hookwheel/alloc.h"

enum {
    WINDOW_MS = 10000,
    AHEAD_EVERY_MS = 5000,
    AHEAD_COUNT = 5000,
    SWEEP_EVERY_MS = 2000,
    SWEEP_COUNT = 256,
    SWEEP_BUDGET = 5000, /* found in one round, so that a crowd that must wait costs little */
    GRACE_MS = 2000,     /* others get so long to claim what they armed */
    GRACE_ALONE_MS = 500,
    CLAIM_MAX = 128
};

struct due {
    struct hw_wheel_entry entry;
    struct hw_list link; /* armed: schedule->armed; its time has come: ready; or postponed */
    struct hw_schedule *schedule;
    uint64_t n;
    hw_unix_ms at_ms;
    uint32_t w;
};

struct hw_schedule {
    struct hw_schedule_options options;
    struct hw_store *store;
    bool is_on;
    hw_unix_ms window_end; /* everything due before this was read, or is armed when parked */
    struct hw_list armed, ready, postponed; /* of struct due */
    size_t n_armed;
    struct hw_turn_hook hook;
    struct hw_wheel_entry ahead_timer, sweep_timer;

    struct hw_redis_req ahead_req;
    struct hw_command ahead_command;
    bool is_reading;
    bool is_reading_stale; /* started anew meanwhile */
    hw_unix_ms ahead_from;
    size_t ahead_offset;

    struct hw_redis_req sweep_req;
    struct hw_command sweep_command;
    bool is_sweeping;
    bool is_first_sweep; /* at the start: no grace */
    bool is_sweep_full;  /* there may be more: again when what was found is claimed */
    size_t sweep_budget;

    struct hw_take claim;
    struct hw_delivery_key claiming[CLAIM_MAX];
    size_t n_claiming;

    struct hw_redis_req postpone_req;
    struct hw_command postpone_command;
    bool is_postponing;
};

/* ---- armed ones ---- */

static void due_free(struct due *d)
{
    hw_loop_cancel(d->schedule->store->loop, &d->entry);
    hw_list_unlink(&d->link);
    hw_free(d);
}

static void free_list(struct hw_list *list)
{
    HW_LIST_EACH_SAFE(link, list)
    due_free(HW_CONTAINER_OF(link, struct due, link));
}

static void arm(struct due *d)
{
    struct hw_loop *loop = d->schedule->store->loop;
    hw_unix_ms now = hw_loop_steady(loop);

    hw_loop_arm(loop, &d->entry, d->at_ms > now ? (uint64_t)(d->at_ms - now) : 0);
}

static void make_ready(struct due *d)
{
    hw_list_unlink(&d->link);
    hw_list_push_back(&d->schedule->ready, &d->link);
    hw_turn_hook_ask(d->schedule->store->loop, &d->schedule->hook);
}

static void on_due(struct hw_wheel_entry *e)
{
    struct due *d = HW_CONTAINER_OF(e, struct due, entry);

    if (hw_loop_steady(d->schedule->store->loop) < d->at_ms) {
        arm(d); /* the clock drifted: never early */
        return;
    }
    d->schedule->n_armed--;
    make_ready(d);
}

static struct due *due_new(struct hw_schedule *s, uint32_t w, uint64_t n, hw_unix_ms at_ms)
{
    struct due *d = hw_malloc(sizeof *d);

    if (d == NULL)
        return NULL; /* the sweep will find it */
    hw_wheel_entry_init(&d->entry, on_due);
    hw_list_node_init(&d->link);
    d->schedule = s;
    d->w = w;
    d->n = n;
    d->at_ms = at_ms;
    return d;
}

static void arm_new(struct hw_schedule *s, uint32_t w, uint64_t n, hw_unix_ms at_ms)
{
    struct due *d;

    if (s->n_armed >= HW_SCHEDULE_ARMED_MAX || (d = due_new(s, w, n, at_ms)) == NULL)
        return;
    hw_list_push_back(&s->armed, &d->link);
    s->n_armed++;
    arm(d);
}

/* "w:n" */
static bool read_member(struct hw_slice text, uint32_t *w, uint64_t *n)
{
    size_t colon = hw_slice_find(text, ':');
    uint64_t number;

    if (!hw_slice_u64(hw_slice(text.data, colon), UINT32_MAX, &number) ||
        !hw_slice_u64(hw_slice_from(text, colon + 1), UINT64_MAX, n))
        return false;
    *w = (uint32_t)number;
    return true;
}

/* A score as Redis writes it; large ones may come as "1.7e+12". */
static hw_unix_ms read_score(const struct hw_reply *reply)
{
    char text[32];

    if (reply->text.len == 0 || reply->text.len >= sizeof text)
        return 0;
    memcpy(text, reply->text.data, reply->text.len);
    text[reply->text.len] = '\0';
    return (hw_unix_ms)strtod(text, NULL);
}

/* Whose turn it is to arm this one: the same on every instance. */
static bool falls_to_us(const struct hw_schedule *s, uint32_t w, uint64_t n)
{
    unsigned n_live = hw_members_n_live(s->options.members);
    uint64_t h = (n + ((uint64_t)w << 40)) * 0x9e3779b97f4a7c15u;

    return n_live <= 1 || (h >> 32) % n_live == hw_members_rank(s->options.members);
}

/* ---- reading ahead ---- */

static void read_ahead(struct hw_schedule *s);

static void ahead_found(struct hw_schedule *s, const struct hw_reply *reply)
{
    size_t n_found = reply->n_items / 2;

    for (size_t i = 0; i < n_found; i++) {
        hw_unix_ms at = read_score(&reply->items[2 * i + 1]);
        uint32_t w;
        uint64_t n;
        if (s->n_armed >= HW_SCHEDULE_ARMED_MAX) {
            s->window_end = at; /* from here on another time */
            return;
        }
        if (read_member(reply->items[2 * i].text, &w, &n) && falls_to_us(s, w, n))
            arm_new(s, w, n, at);
    }
    if (n_found == AHEAD_COUNT) {
        s->ahead_offset += n_found;
        read_ahead(s);
    }
}

static void on_ahead(struct hw_redis_req *req, enum hw_redis_trouble what,
                     const struct hw_reply *reply, const struct hw_cause *cause)
{
    struct hw_schedule *s = HW_CONTAINER_OF(req, struct hw_schedule, ahead_req);
    bool is_stale = s->is_reading_stale;

    (void)cause;
    s->is_reading = s->is_reading_stale = false;
    if (!s->is_on)
        return;
    if (is_stale)
        hw_loop_arm(s->store->loop, &s->ahead_timer, 0);
    else if (what == HW_REDIS_FINE)
        ahead_found(s, reply);
    else
        s->window_end = s->ahead_from;
}

static void read_ahead(struct hw_schedule *s)
{
    struct hw_command *c = &s->ahead_command;

    hw_command_reset(c);
    hw_command_str(c, "ZRANGEBYSCORE");
    hw_command_fmt(c, "%sretry", s->store->keys.tag);
    hw_command_fmt(c, "%lld", (long long)s->ahead_from);
    hw_command_fmt(c, "(%lld", (long long)s->window_end);
    hw_command_str(c, "WITHSCORES");
    hw_command_str(c, "LIMIT");
    hw_command_u64(c, s->ahead_offset);
    hw_command_u64(c, AHEAD_COUNT);
    s->is_reading = hw_redis_send(s->store->work, &s->ahead_req, c, on_ahead) == HW_OK;
    if (!s->is_reading)
        s->window_end = s->ahead_from;
}

static void on_ahead_timer(struct hw_wheel_entry *e)
{
    struct hw_schedule *s = HW_CONTAINER_OF(e, struct hw_schedule, ahead_timer);
    hw_unix_ms end = hw_loop_steady(s->store->loop) + WINDOW_MS;

    hw_loop_arm(s->store->loop, &s->ahead_timer, AHEAD_EVERY_MS);
    if (s->is_reading || end <= s->window_end || s->n_armed >= HW_SCHEDULE_ARMED_MAX)
        return;
    s->ahead_from = s->window_end;
    s->window_end = end;
    s->ahead_offset = 0;
    read_ahead(s);
}

/* ---- what nobody claimed ---- */

static void sweep_found(struct hw_schedule *s, const struct hw_reply *reply)
{
    size_t n_found = reply->n_items / 2;

    for (size_t i = 0; i < n_found; i++) {
        uint32_t w;
        uint64_t n;
        struct due *d;
        if (!read_member(reply->items[2 * i].text, &w, &n) ||
            (d = due_new(s, w, n, read_score(&reply->items[2 * i + 1]))) == NULL)
            continue;
        make_ready(d);
    }
    s->sweep_budget -= n_found < s->sweep_budget ? n_found : s->sweep_budget;
    s->is_sweep_full = n_found == SWEEP_COUNT && s->sweep_budget > 0;
}

static void on_sweep(struct hw_redis_req *req, enum hw_redis_trouble what,
                     const struct hw_reply *reply, const struct hw_cause *cause)
{
    struct hw_schedule *s = HW_CONTAINER_OF(req, struct hw_schedule, sweep_req);

    (void)cause;
    s->is_sweeping = false;
    if (!s->is_on || what != HW_REDIS_FINE)
        return;
    s->is_first_sweep = s->is_first_sweep && reply->n_items / 2 == SWEEP_COUNT;
    sweep_found(s, reply);
}

static void sweep(struct hw_schedule *s)
{
    struct hw_command *c = &s->sweep_command;
    hw_unix_ms grace = hw_members_n_live(s->options.members) > 1 ? GRACE_MS : GRACE_ALONE_MS;

    if (s->is_sweeping)
        return;
    hw_command_reset(c);
    hw_command_str(c, "ZRANGEBYSCORE");
    hw_command_fmt(c, "%sretry", s->store->keys.tag);
    hw_command_str(c, "-inf");
    hw_command_fmt(
        c, "(%lld",
        (long long)(hw_loop_steady(s->store->loop) - (s->is_first_sweep ? 0 : grace)));
    hw_command_str(c, "WITHSCORES");
    hw_command_str(c, "LIMIT");
    hw_command_u64(c, 0);
    hw_command_u64(c, SWEEP_COUNT);
    s->is_sweep_full = false;
    s->is_sweeping = hw_redis_send(s->store->work, &s->sweep_req, c, on_sweep) == HW_OK;
}

static void on_sweep_timer(struct hw_wheel_entry *e)
{
    struct hw_schedule *s = HW_CONTAINER_OF(e, struct hw_schedule, sweep_timer);

    hw_loop_arm(s->store->loop, &s->sweep_timer, SWEEP_EVERY_MS);
    s->sweep_budget = SWEEP_BUDGET;
    if (hw_list_is_empty(&s->ready) && !s->claim.is_busy)
        sweep(s);
    else
        s->is_sweep_full = true;
}

/* ---- later ---- */

static void on_postponed(struct hw_redis_req *req, enum hw_redis_trouble what,
                         const struct hw_reply *reply, const struct hw_cause *cause)
{
    struct hw_schedule *s = HW_CONTAINER_OF(req, struct hw_schedule, postpone_req);

    (void)reply;
    (void)cause;
    s->is_postponing = false;
    HW_LIST_EACH_SAFE(link, &s->postponed)
    {
        struct due *d = HW_CONTAINER_OF(link, struct due, link);
        if (s->is_on && what == HW_REDIS_FINE && d->at_ms < s->window_end)
            arm_new(s, d->w, d->n, d->at_ms);
        due_free(d);
    }
    if (!hw_list_is_empty(&s->ready))
        hw_turn_hook_ask(s->store->loop, &s->hook);
}

static void postpone(struct hw_schedule *s, struct due *d, uint64_t delay_ms)
{
    struct hw_command *c = &s->postpone_command;

    d->at_ms = hw_loop_steady(s->store->loop) + (hw_unix_ms)delay_ms;
    if (hw_list_is_empty(&s->postponed)) {
        hw_command_reset(c);
        hw_command_str(c, "ZADD");
        hw_command_fmt(c, "%sretry", s->store->keys.tag);
        hw_command_str(c, "XX"); /* unless it was claimed, */
        hw_command_str(c, "GT"); /* or is due later anyway */
    }
    hw_command_fmt(c, "%lld", (long long)d->at_ms);
    hw_command_fmt(c, "%u:%llu", (unsigned)d->w, (unsigned long long)d->n);
    hw_list_unlink(&d->link);
    hw_list_push_back(&s->postponed, &d->link);
}

static void send_postponed(struct hw_schedule *s)
{
    if (hw_list_is_empty(&s->postponed))
        return;
    s->is_postponing = hw_redis_send(s->store->work, &s->postpone_req, &s->postpone_command,
                                     on_postponed) == HW_OK;
    if (!s->is_postponing)
        free_list(&s->postponed);
}

/* ---- claiming ---- */

static void on_claim(struct hw_take *t, enum hw_redis_trouble what,
                     const struct hw_taken *items, size_t n_items, uint64_t n_left)
{
    struct hw_schedule *s = HW_CONTAINER_OF(t, struct hw_schedule, claim);
    size_t from =
        what == HW_REDIS_FINE && n_left <= s->n_claiming ? s->n_claiming - n_left : 0;

    /* Refused, or beyond what fits in one answer: once more, soon or with the sweep. */
    for (size_t i = from; what == HW_REDIS_FINE && s->is_on && i < s->n_claiming; i++) {
        struct due *d = due_new(s, s->claiming[i].w, s->claiming[i].n, 0);
        if (d != NULL)
            make_ready(d);
    }
    s->n_claiming = 0;
    hw_turn_hook_ask(s->store->loop, &s->hook);
    if (n_items > 0)
        s->options.events->on_claimed(s->options.data, items, n_items);
}

/* From ready into one claim and one postponement. */
static void sort_ready(struct hw_schedule *s)
{
    struct hw_list *link;

    while (s->n_claiming < CLAIM_MAX && (link = hw_list_first(&s->ready)) != NULL) {
        struct due *d = HW_CONTAINER_OF(link, struct due, link);
        uint64_t delay_ms = s->options.events->on_due(s->options.data, d->w);
        if (delay_ms > 0) {
            postpone(s, d, delay_ms);
            continue;
        }
        s->claiming[s->n_claiming++] = (struct hw_delivery_key){ d->w, d->n };
        due_free(d);
    }
}

static void on_turn(struct hw_turn_hook *hook)
{
    struct hw_schedule *s = HW_CONTAINER_OF(hook, struct hw_schedule, hook);

    if (!s->is_on || s->claim.is_busy || s->is_postponing)
        return; /* their answers ask again */
    sort_ready(s);
    send_postponed(s);
    if (s->n_claiming > 0 &&
        hw_ledger_claim(s->options.ledger, &s->claim, s->claiming, s->n_claiming,
                        hw_loop_steady(s->store->loop), on_claim) != HW_OK)
        s->n_claiming = 0; /* not connected: they are overdue when it is back */
    if (s->n_claiming == 0 && hw_list_is_empty(&s->ready) && s->is_sweep_full)
        sweep(s);
}

/* ---- life ---- */

enum hw_status hw_schedule_open(struct hw_schedule **out,
                                const struct hw_schedule_options *options,
                                struct hw_cause *cause)
{
    struct hw_schedule *s = hw_calloc(1, sizeof *s);

    if (s == NULL)
        return hw_cause_set(cause, HW_ENOMEM, HW_ORIGIN_US, 0, "schedule");
    s->options = *options;
    s->store = options->store;
    hw_list_init(&s->armed);
    hw_list_init(&s->ready);
    hw_list_init(&s->postponed);
    hw_wheel_entry_init(&s->ahead_timer, on_ahead_timer);
    hw_wheel_entry_init(&s->sweep_timer, on_sweep_timer);
    hw_command_init(&s->ahead_command);
    hw_command_init(&s->sweep_command);
    hw_command_init(&s->postpone_command);
    hw_take_init(&s->claim);
    hw_turn_hook_add(s->store->loop, &s->hook, on_turn);
    *out = s;
    return HW_OK;
}

static void forget_all(struct hw_schedule *s)
{
    free_list(&s->armed);
    free_list(&s->ready);
    if (!s->is_postponing)
        free_list(&s->postponed);
    s->n_armed = 0;
}

void hw_schedule_start(struct hw_schedule *s)
{
    hw_schedule_stop(s);
    s->is_on = true;
    s->is_first_sweep = true;
    s->is_reading_stale = s->is_reading;
    s->window_end = hw_loop_steady(s->store->loop);
    hw_loop_arm(s->store->loop, &s->ahead_timer, 0);
    hw_loop_arm(s->store->loop, &s->sweep_timer, 0);
}

void hw_schedule_stop(struct hw_schedule *s)
{
    s->is_on = false;
    s->is_sweep_full = false;
    hw_loop_cancel(s->store->loop, &s->ahead_timer);
    hw_loop_cancel(s->store->loop, &s->sweep_timer);
    forget_all(s);
}

void hw_schedule_parked(struct hw_schedule *s, uint32_t w, uint64_t n, hw_unix_ms due_ms)
{
    if (s->is_on && due_ms < s->window_end)
        arm_new(s, w, n, due_ms);
}

size_t hw_schedule_n_armed(const struct hw_schedule *s)
{
    return s->n_armed;
}

void hw_schedule_close(struct hw_schedule *s)
{
    if (s == NULL)
        return;
    hw_schedule_stop(s);
    hw_turn_hook_remove(&s->hook);
    hw_command_close(&s->ahead_command);
    hw_command_close(&s->sweep_command);
    hw_command_close(&s->postpone_command);
    hw_take_close(&s->claim);
    hw_free(s);
}
