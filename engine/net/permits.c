#include "net/permits.h"

#include "base/must.h"
#include "loop/stream.h"

static struct hw_permit *permits_oldest(const struct hw_permits *p)
{
    struct hw_list *at = hw_list_first(&p->held);
    return at ? HW_CONTAINER_OF(at, struct hw_permit, link) : NULL;
}

static void permit_drop(struct hw_permits *p, struct hw_permit *permit)
{
    hw_list_unlink(&permit->link);
    p->n_held--;
}

static void on_lapse(struct hw_wheel_entry *e)
{
    struct hw_permits *p = HW_CONTAINER_OF(e, struct hw_permits, lapse);
    hw_mono_ms now = hw_loop_now(p->loop);
    struct hw_permit *oldest = permits_oldest(p);
    bool had_none = !hw_permits_have(p);
    while (oldest && oldest->taken_at + HW_PERMIT_PATIENCE_MS <= now) {
        permit_drop(p, oldest);
        oldest = permits_oldest(p);
    }
    if (oldest)
        hw_loop_arm(p->loop, e, oldest->taken_at + HW_PERMIT_PATIENCE_MS - now);
    if (had_none)
        p->on_available(p);
}

void hw_permits_init(struct hw_permits *p, struct hw_loop *loop,
                     void (*on_available)(struct hw_permits *p))
{
    p->loop = loop;
    p->n_held = 0;
    p->on_available = on_available;
    hw_list_init(&p->held);
    hw_wheel_entry_init(&p->lapse, on_lapse);
}

void hw_permits_close(struct hw_permits *p)
{
    HW_MUST(p->n_held == 0);
    hw_loop_cancel(p->loop, &p->lapse);
}

bool hw_permits_wait_for_queue(const struct hw_permits *p)
{
    return hw_stream_handshakes(p->loop) >= HW_PERMITS_MAX;
}

bool hw_permits_have(const struct hw_permits *p)
{
    return p->n_held < HW_PERMITS_MAX && !hw_permits_wait_for_queue(p);
}

void hw_permit_take(struct hw_permits *p, struct hw_permit *permit)
{
    HW_MUST(!hw_list_is_linked(&permit->link));
    permit->taken_at = hw_loop_now(p->loop);
    hw_list_push_back(&p->held, &permit->link);
    p->n_held++;
    if (!hw_wheel_is_armed(&p->lapse))
        hw_loop_arm(p->loop, &p->lapse, HW_PERMIT_PATIENCE_MS);
}

void hw_permit_give_back(struct hw_permits *p, struct hw_permit *permit)
{
    if (!hw_list_is_linked(&permit->link))
        return;
    permit_drop(p, permit);
    p->on_available(p);
}
