/*
 * permits - how many new connections may be in the making, so that the loop's lag stays small.
 *
 * What costs is the CPU of TLS handshakes (2-3 ms each), not waiting for the network.  So a
 * permit is held from the start of an attempt's use of the network until its
 * connection is made or has failed, but for HW_PERMIT_PATIENCE_MS at most: after that it has
 * lapsed, the network is slow or dead, and somebody else may begin.  Hundreds of receivers
 * that never answer therefore hold next to nothing.  When the network does answer, the
 * handshake queues for its share of each turn (stream.h), and no permit is given while that
 * queue is long.  Both together:
 *
 *   - a turn is never longer than its share of handshakes and one step more;
 *   - at most about 2 x HW_PERMITS_MAX handshakes stand in the queue, a fraction of a
 *     second, and only that is charged to an attempt's clock;
 *   - with a slow network HW_PERMITS_MAX / HW_PERMIT_PATIENCE_MS begin, 640 a second, which
 *     is more than one core can complete.
 *
 * Memory    a permit is a member of the request that holds it.
 * Lifetime  close with none held.
 */
#ifndef HW_NET_PERMITS_H
#define HW_NET_PERMITS_H

#include "loop/loop.h"

#define HW_PERMITS_MAX        64
#define HW_PERMIT_PATIENCE_MS 100

struct hw_permits;

struct hw_permit {
    struct hw_list link; /* in permits->held, oldest first */
    hw_mono_ms taken_at;
};

struct hw_permits {
    struct hw_loop *loop; /* borrowed */
    struct hw_list held;
    size_t n_held;
    struct hw_wheel_entry lapse;                /* when the oldest one does */
    void (*on_available)(struct hw_permits *p); /* may run inside give_back */
};

void hw_permits_init(struct hw_permits *p, struct hw_loop *loop,
                     void (*on_available)(struct hw_permits *p));
void hw_permits_close(struct hw_permits *p);

static inline void hw_permit_init(struct hw_permit *permit)
{
    hw_list_node_init(&permit->link);
}

/* Is one to be had?  It is held back too while the queue of handshakes is long; ask
 * again next turn then (nobody tells). */
bool hw_permits_have(const struct hw_permits *p);
bool hw_permits_wait_for_queue(const struct hw_permits *p);

/* Never refused: what has been charged already does not wait. */
void hw_permit_take(struct hw_permits *p, struct hw_permit *permit);

/* Does nothing for one that has lapsed or was never taken. */
void hw_permit_give_back(struct hw_permits *p, struct hw_permit *permit);

#endif
