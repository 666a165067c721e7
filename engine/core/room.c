#include "core/room.h"

enum {
    QUEUE_MIN = 64,
    QUEUE_MAX = 1024,
    QUEUE_PER_SLOT = 16,
    KEPT_MAX = 20000,          /* deliveries in memory before their attempt */
    KEPT_BYTES_MAX = 64 << 20, /* and what their records may take */
    REFILL_MAX = 128,
    COMPANY_SINCE_MS = 100, /* who starts as it comes, for so long already, */
    COMPANY_MS = 1000,      /* and did so within so long, is not to wait for others */
    COMPANY_MOST = 8,       /* looked at */
    SILENT_MS = 100,        /* without an outcome for so long, an endpoint is not waited for */
    ROOM_WAIT_MS = 50,
};

/* Is what waits for it done soon?  What nobody has told the number of is not. */
static bool is_quick(const struct hw_endpoint *e)
{
    uint64_t n = e->n_backlog < UINT32_MAX ? e->kept_first.n + e->n_backlog : UINT64_MAX;

    return hw_pace_is_quick(&e->pace, n, e->dispatch->now);
}

/* Is there somebody whose next event would start at once?  It may be behind the one that waits. */
static bool has_company(const struct hw_endpoint *e)
{
    const struct hw_dispatch *d = e->dispatch;
    const struct hw_list *at = d->prompt.prev;

    for (int i = 0; i < COMPANY_MOST && at != &d->prompt; i++, at = at->prev) {
        const struct hw_endpoint *other = HW_CONTAINER_OF(at, struct hw_endpoint, in_prompt);
        if (other->prompt_at + COMPANY_MS <= d->now)
            return false;
        if (other != e && other->prompt_since + COMPANY_SINCE_MS <= d->now)
            return true;
    }
    return false;
}

hw_mono_ms hw_room_patience(const struct hw_endpoint *e, hw_mono_ms since)
{
    hw_mono_ms for_batch = since + ROOM_WAIT_MS, for_answer = e->pace.heard_at + SILENT_MS;
    bool is_live = hw_endpoint_backlog_of(e) == HW_BACKLOG_LIVE;

    if (!hw_endpoint_is_active(e) || (e->held_until != 0 && e->rate_per_s <= 0) ||
        (e->n_first == 0 && !is_live) || has_company(e))
        return 0;
    if (!hw_pace_is_known(&e->pace))
        return is_live ? 0 : for_answer;
    if (!is_quick(e))
        return 0;
    return for_batch < for_answer ? for_batch : for_answer;
}

size_t hw_room_max(const struct hw_endpoint *e)
{
    const struct hw_dispatch *d = e->dispatch;
    size_t max = (size_t)e->limit * QUEUE_PER_SLOT;
    size_t share = hw_dispatch_part(d, KEPT_MAX, d->kept.n);

    max = max < QUEUE_MIN ? QUEUE_MIN : max > QUEUE_MAX ? QUEUE_MAX : max;
    return max < share ? max : share;
}

/* How many more may be kept beside these; one always may where there is none. */
static size_t room_beside(const struct hw_endpoint *e, const struct hw_amount *kept)
{
    const struct hw_dispatch *d = e->dispatch;
    size_t max = hw_room_max(e);

    if (kept->n > 0 && kept->bytes >= hw_dispatch_part(d, KEPT_BYTES_MAX, d->kept.bytes))
        return 0;
    return kept->n < max ? max - kept->n : 0;
}

bool hw_room_takes_retry(const struct hw_endpoint *e)
{
    return room_beside(e, &e->kept_due) > 0;
}

size_t hw_room_left(const struct hw_endpoint *e)
{
    if (hw_endpoint_backlog_of(e) == HW_BACKLOG_LIVE || !hw_endpoint_is_active(e))
        return 0;
    if (e->held_until != 0 && e->rate_per_s <= 0)
        return 0;
    return room_beside(e, &e->kept_first);
}

/* How many first attempts more could start at once.  Under a rate limit what starts within a
 * second is as good. */
static size_t startable(const struct hw_endpoint *e)
{
    size_t ahead = hw_endpoint_attempts(e) + e->n_due;
    size_t free_slots = e->limit > ahead ? e->limit - ahead : 0;

    if (e->n_first > 0)
        return 0;
    if (e->rate_per_s > 0)
        return free_slots < e->rate_per_s ? free_slots : (size_t)e->rate_per_s;
    return e->held_until == 0 ? free_slots : 0;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

struct hw_wanted hw_room_wanted(const struct hw_endpoint *e)
{
    const struct hw_wanted nothing = { 0, 0 }, to_write_off = { REFILL_MAX, REFILL_MAX };
    enum hw_backlog backlog = hw_endpoint_backlog_of(e);
    size_t room, n_fill;

    if (backlog == HW_BACKLOG_NONE || e->is_refilling)
        return nothing;
    if (e->webhook != NULL && e->webhook->standing.status == HW_WEBHOOK_PAUSED)
        return nothing;
    if (!hw_endpoint_is_active(e)) /* disabled or deleted */
        return e->n_in_memory < REFILL_MAX ? to_write_off : nothing;
    if (e->kept_first.n > hw_room_max(e) / 2)
        return nothing;
    room = least(room_beside(e, &e->kept_first), REFILL_MAX);
    n_fill = least(room, startable(e));
    return (struct hw_wanted){ backlog == HW_BACKLOG_FILL ? n_fill : room, n_fill };
}
