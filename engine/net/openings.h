/*
 * openings - requests without a connection: which of them wait for one that comes free, and for
 * which a new one is opened, in what order.
 *
 * Fairness  origins take turns in opening connections, and one may have no more in the making
 *           than HW_OPENINGS_MIN and as many as it has established: what answers grows fast,
 *           what does not answer ties up little.
 * Reuse     up to HW_OPENINGS_FEW connections in all (doubtful ones not counted) none is spared.
 *           Beyond that, and while its origin has some, a request first waits
 *           HW_OPENINGS_REUSE_MS for one of them: where answers are quick one comes free sooner than a handshake takes, and much cheaper.
 *           Where our loop is busy, or answers have become slower than twice what they can be,
 *           somebody has all he can do (this machine, or the receiver), and one connection more
 *           would only make each slower: there it waits for as long as they come free within
 *           HW_OPENINGS_FREED_MS one after the other, HW_OPENINGS_CROWDED_MS at most.
 * Tickets   the first connection to an origin costs a full handshake, those after it less, once
 *           its ticket is there.  While HW_OPENINGS_MANY are in the making in all, others to that
 *           origin wait for it, HW_OPENINGS_CROWDED_MS at most.
 * Doubt     who may hang (an attempt at his receiver has timed out, and it has not answered since)
 *           stands in a line of his own, and one of all such begins each HW_OPENINGS_DOUBT_MS,
 *           always with a new connection: those who are answered keep theirs.  What hangs times
 *           out in bursts, and without this each burst were one of handshakes.
 * Memory    embedded in the request and in the client; the lines are the origin's (origin_lines.h).
 * Errors    none.
 * Cost      O(1) each.
 */
#ifndef HW_NET_OPENINGS_H
#define HW_NET_OPENINGS_H

#include "net/permits.h"

#define HW_OPENINGS_MIN        4
#define HW_OPENINGS_FEW        64
#define HW_OPENINGS_REUSE_MS   5
#define HW_OPENINGS_FREED_MS   20
#define HW_OPENINGS_CROWDED_MS 100
#define HW_OPENINGS_MANY       8
#define HW_OPENINGS_DOUBT_MS   4

struct hw_openings;
struct hw_pool;
struct hw_pool_origin;

/* Whoever waits, and his leave to open a connection: a member of the request. */
struct hw_opening {
    struct hw_list link; /* in its line */
    struct hw_permit permit;
    hw_mono_ms asked_at;
    bool is_doubtful; /* which line */
};

/* Called at the end of a turn; may end everything the origin has. */
struct hw_openings_events {
    /* Open a connection for him, whose descriptor is reserved (pool.h): take a permit, leave the
     * line. */
    void (*on_opening)(struct hw_openings *o, struct hw_opening *opening);
    /* His origin has an idle connection: lease it, leave the line. */
    void (*on_reuse)(struct hw_openings *o, struct hw_opening *opening);
};

struct hw_openings {
    struct hw_loop *loop; /* borrowed */
    struct hw_pool *pool; /* borrowed */
    struct hw_permits permits;
    struct hw_list turns[2]; /* lines that may open a connection, and want to; [is_doubtful] */
    struct hw_list patient;  /* lines that will want to, when a request has waited */
    struct hw_wheel_entry patience; /* armed while there are any */
    struct hw_wheel_entry doubt;    /* armed until the next doubtful one may begin */
    struct hw_turn_hook hook;       /* gives permits */
    bool is_stopped;
    const struct hw_openings_events *events; /* borrowed, static */
};

void hw_openings_init(struct hw_openings *o, struct hw_loop *loop, struct hw_pool *pool,
                      const struct hw_openings_events *events);

/* Begin nothing any more. */
void hw_openings_stop(struct hw_openings *o);

/* Stopped before, no permit held. */
void hw_openings_close(struct hw_openings *o);

void hw_opening_init(struct hw_opening *opening, bool is_doubtful, const struct hw_loop *loop);

/* He waits from now on. */
void hw_openings_join(struct hw_openings *o, struct hw_pool_origin *origin,
                      struct hw_opening *opening);

/* Who waits in the doubtful line is as others from now on. */
void hw_openings_trust(struct hw_openings *o, struct hw_pool_origin *origin,
                       struct hw_opening *opening);

/* He need not wait any more: he has a connection, or begins to make one. */
static inline void hw_opening_leave(struct hw_opening *opening)
{
    hw_list_unlink(&opening->link);
}

/* Who gets the connection that has come free; NULL: nobody. */
struct hw_opening *hw_openings_next(const struct hw_pool_origin *origin);

/* The origin has room for one more connection. */
void hw_openings_consider(struct hw_openings *o, struct hw_pool_origin *origin);

/* A descriptor may be had. */
void hw_openings_resume(struct hw_openings *o);

#endif
