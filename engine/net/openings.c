/*
 * A line stands in one list at most: `turns` of its kind (it may open one now), `patient` (it
 * will want to), or none (nobody waits, or enough are in the making).  Whatever may change that
 * calls line_queue; who stands in `turns` is looked at again when it is his turn, because those
 * who waited may have been served meanwhile.
 */
#include "net/openings.h"

#include "loop/stream.h"
#include "net/pool.h"

/* ---- whether to open one ---- */

static struct hw_opening *line_first(const struct hw_origin_line *line)
{
    struct hw_list *at = hw_list_first(&line->waiting);
    return at ? HW_CONTAINER_OF(at, struct hw_opening, link) : NULL;
}

static size_t origin_established(const struct hw_pool_origin *origin)
{
    return origin->n_open - origin->n_opening;
}

/* Only who was doubtful can wait while a connection is idle. */
static bool may_reuse(const struct hw_pool_origin *origin, bool is_doubtful)
{
    return !is_doubtful && !hw_list_is_empty(&origin->idle);
}

static bool line_may_want(const struct hw_pool_origin *origin, bool is_doubtful)
{
    return line_first(&origin->lines.line[is_doubtful]) != NULL &&
           (may_reuse(origin, is_doubtful) ||
            origin->n_opening < HW_OPENINGS_MIN + origin_established(origin));
}

/* When it is no use to wait any longer for one of the connections there are. */
static hw_mono_ms patient_until(const struct hw_openings *o,
                                const struct hw_origin_lines *lines, hw_mono_ms asked_at)
{
    bool is_crowded = hw_origin_lines_are_slow(lines) || hw_loop_is_busy(o->loop) ||
                      hw_stream_handshakes(o->loop) > 0;
    if (!is_crowded)
        return asked_at + HW_OPENINGS_REUSE_MS;
    hw_mono_ms freed_at = lines->freed_at > asked_at ? lines->freed_at : asked_at;
    hw_mono_ms next_free = freed_at + HW_OPENINGS_FREED_MS;
    hw_mono_ms at_most = asked_at + HW_OPENINGS_CROWDED_MS;
    return next_free < at_most ? next_free : at_most;
}

static bool may_soon_resume(const struct hw_openings *o, const struct hw_pool_origin *origin)
{
    return origin->target.is_tls && !origin->target.ticket && origin->n_open > 0 &&
           o->permits.n_held >= HW_OPENINGS_MANY;
}

static bool line_wants(const struct hw_openings *o, const struct hw_pool_origin *origin,
                       bool is_doubtful)
{
    const struct hw_origin_lines *lines = &origin->lines;
    hw_mono_ms now = hw_loop_now(o->loop);
    if (!line_may_want(origin, is_doubtful))
        return false;
    if (is_doubtful || may_reuse(origin, is_doubtful))
        return true;
    hw_mono_ms asked_at = line_first(&lines->line[false])->asked_at;
    if (may_soon_resume(o, origin))
        return now >= asked_at + HW_OPENINGS_CROWDED_MS;
    return origin_established(origin) == 0 ||
           o->pool->n_open - o->pool->n_doubtful < HW_OPENINGS_FEW ||
           now >= patient_until(o, lines, asked_at);
}

/* ---- taking turns ---- */

static void line_queue(struct hw_openings *o, struct hw_pool_origin *origin, bool is_doubtful)
{
    struct hw_list *turn = &origin->lines.line[is_doubtful].turn;
    if (o->is_stopped || hw_list_is_linked(turn) || !line_may_want(origin, is_doubtful))
        return;
    if (line_wants(o, origin, is_doubtful)) {
        hw_list_push_back(&o->turns[is_doubtful], turn);
        hw_turn_hook_ask(o->loop, &o->hook);
        return;
    }
    hw_list_push_back(&o->patient, turn);
    if (!hw_wheel_is_armed(&o->patience))
        hw_loop_arm(o->loop, &o->patience, HW_OPENINGS_REUSE_MS);
}

void hw_openings_consider(struct hw_openings *o, struct hw_pool_origin *origin)
{
    line_queue(o, origin, false);
    line_queue(o, origin, true);
}

static struct hw_pool_origin *origin_of(struct hw_list *turn, bool is_doubtful)
{
    struct hw_origin_line *line = HW_CONTAINER_OF(turn, struct hw_origin_line, turn);
    return HW_CONTAINER_OF(line - is_doubtful, struct hw_pool_origin, lines.line[0]);
}

static void on_patience(struct hw_wheel_entry *e)
{
    struct hw_openings *o = HW_CONTAINER_OF(e, struct hw_openings, patience);
    struct hw_list again, *at;
    hw_list_init(&again);
    hw_list_splice(&again, &o->patient);
    while ((at = hw_list_pop(&again)))
        line_queue(o, origin_of(at, false), false);
}

/* TAKEN: a connection is in the making.  NOT_WANTED: none is, or it has ended at once. */
enum turn { TURN_TAKEN, TURN_NOT_WANTED, TURN_NO_DESCRIPTOR };

/* One connection for the line whose turn it is. */
static enum turn take_turn(struct hw_openings *o, struct hw_pool_origin *origin,
                           bool is_doubtful)
{
    struct hw_origin_line *line = &origin->lines.line[is_doubtful];
    bool wants = line_wants(o, origin, is_doubtful);
    bool reuses = wants && may_reuse(origin, is_doubtful), opens = wants && !reuses;
    size_t n_held = o->permits.n_held;
    if (opens && !hw_pool_reserve(o->pool, origin, false))
        return TURN_NO_DESCRIPTOR;
    hw_list_unlink(&line->turn);
    origin->n_users++; /* it stays, whatever ends */
    if (reuses)
        o->events->on_reuse(o, line_first(line));
    else if (opens)
        o->events->on_opening(o, line_first(line));
    line_queue(o, origin, is_doubtful); /* behind the others */
    hw_pool_leave(o->pool, origin);
    return o->permits.n_held > n_held ? TURN_TAKEN : TURN_NOT_WANTED;
}

static bool may_open(const struct hw_openings *o, bool is_doubtful)
{
    return !o->is_stopped && hw_permits_have(&o->permits) &&
           !(is_doubtful && hw_wheel_is_armed(&o->doubt));
}

/* False: there is no descriptor. */
static bool open_some(struct hw_openings *o, bool is_doubtful)
{
    struct hw_list *at;
    while (may_open(o, is_doubtful) && (at = hw_list_first(&o->turns[is_doubtful]))) {
        enum turn turn = take_turn(o, origin_of(at, is_doubtful), is_doubtful);
        if (turn == TURN_NO_DESCRIPTOR)
            return false;
        if (turn == TURN_TAKEN && is_doubtful && !o->is_stopped)
            hw_loop_arm(o->loop, &o->doubt, HW_OPENINGS_DOUBT_MS);
    }
    return true;
}

static bool has_turns(const struct hw_openings *o)
{
    return !hw_list_is_empty(&o->turns[false]) || !hw_list_is_empty(&o->turns[true]);
}

static void on_turn(struct hw_turn_hook *hook)
{
    struct hw_openings *o = HW_CONTAINER_OF(hook, struct hw_openings, hook);
    if (!open_some(o, false) || !open_some(o, true))
        return; /* resumed when a connection is closed */
    if (!o->is_stopped && has_turns(o) && hw_permits_wait_for_queue(&o->permits))
        hw_turn_hook_ask(o->loop, hook);
}

void hw_openings_resume(struct hw_openings *o)
{
    if (!o->is_stopped && has_turns(o))
        hw_turn_hook_ask(o->loop, &o->hook);
}

static void on_permits(struct hw_permits *p)
{
    hw_openings_resume(HW_CONTAINER_OF(p, struct hw_openings, permits));
}

static void on_doubt(struct hw_wheel_entry *e)
{
    hw_openings_resume(HW_CONTAINER_OF(e, struct hw_openings, doubt));
}

/* ---- who waits ---- */

void hw_opening_init(struct hw_opening *opening, bool is_doubtful, const struct hw_loop *loop)
{
    hw_list_node_init(&opening->link);
    hw_permit_init(&opening->permit);
    opening->asked_at = hw_loop_now(loop);
    opening->is_doubtful = is_doubtful;
}

void hw_openings_join(struct hw_openings *o, struct hw_pool_origin *origin,
                      struct hw_opening *opening)
{
    hw_list_push_back(&origin->lines.line[opening->is_doubtful].waiting, &opening->link);
    line_queue(o, origin, opening->is_doubtful);
}

void hw_openings_trust(struct hw_openings *o, struct hw_pool_origin *origin,
                       struct hw_opening *opening)
{
    hw_list_unlink(&opening->link);
    opening->is_doubtful = false;
    hw_openings_join(o, origin, opening);
}

struct hw_opening *hw_openings_next(const struct hw_pool_origin *origin)
{
    return line_first(&origin->lines.line[false]);
}

/* ---- life ---- */

void hw_openings_init(struct hw_openings *o, struct hw_loop *loop, struct hw_pool *pool,
                      const struct hw_openings_events *events)
{
    o->loop = loop;
    o->pool = pool;
    o->events = events;
    o->is_stopped = false;
    hw_permits_init(&o->permits, loop, on_permits);
    hw_list_init(&o->turns[false]);
    hw_list_init(&o->turns[true]);
    hw_list_init(&o->patient);
    hw_wheel_entry_init(&o->patience, on_patience);
    hw_wheel_entry_init(&o->doubt, on_doubt);
    hw_turn_hook_add(loop, &o->hook, on_turn);
}

void hw_openings_stop(struct hw_openings *o)
{
    o->is_stopped = true;
    hw_turn_hook_remove(&o->hook);
    hw_loop_cancel(o->loop, &o->patience);
    hw_loop_cancel(o->loop, &o->doubt);
}

void hw_openings_close(struct hw_openings *o)
{
    hw_permits_close(&o->permits);
}
