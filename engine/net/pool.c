#include "net/pool.h"

#include "base/must.h"
#include "hookwheel/alloc.h"

static void on_too_old(struct hw_wheel_entry *e);

void hw_pool_init(struct hw_pool *p, struct hw_loop *loop, struct hw_trust *trust,
                  size_t max_open)
{
    *p = (struct hw_pool){ .loop = loop, .trust = trust, .max_open = max_open };
    hw_map_init(&p->origins);
    hw_list_init(&p->conns);
    hw_list_init(&p->by_idle);
    hw_list_init(&p->quiet);
    hw_wheel_entry_init(&p->too_old, on_too_old);
}

/* ---- origins ---- */

static void origin_free(struct hw_pool *p, struct hw_pool_origin *o)
{
    if (hw_list_is_linked(&o->quiet))
        p->n_quiet--;
    hw_list_unlink(&o->quiet);
    hw_origin_lines_close(&o->lines);
    hw_map_remove(&p->origins, &o->entry);
    hw_tls_ticket_close(o->target.ticket);
    hw_free(o->target.host);
    hw_free(o->name);
    hw_free(o);
}

void hw_pool_close(struct hw_pool *p)
{
    struct hw_map_entry *e;
    HW_MUST(hw_list_is_empty(&p->conns) && p->n_open == 0);
    while ((e = hw_map_next(&p->origins, NULL)))
        origin_free(p, HW_CONTAINER_OF(e, struct hw_pool_origin, entry));
    hw_map_close(&p->origins);
    hw_loop_cancel(p->loop, &p->too_old);
}

static struct hw_pool_origin *origin_make(struct hw_pool *p, const struct hw_url *url)
{
    struct hw_pool_origin *o = hw_calloc(1, sizeof(*o));
    if (!o)
        return NULL;
    hw_origin_lines_init(&o->lines);
    hw_list_init(&o->idle);
    o->name = hw_strndup(url->origin.data, url->origin.len);
    o->target.host = hw_strndup(url->host.data, url->host.len);
    o->target.port = url->port;
    o->target.is_tls = url->is_tls;
    o->target.is_address = url->is_address;
    o->target.trust = p->trust;
    bool is_whole = o->name && o->target.host;
    if (is_whole && hw_map_add(&p->origins, &o->entry, hw_slice_str(o->name)) == HW_OK)
        return o;
    hw_free(o->name);
    hw_free(o->target.host);
    hw_free(o);
    return NULL;
}

struct hw_pool_origin *hw_pool_visit(struct hw_pool *p, const struct hw_url *url)
{
    struct hw_map_entry *e = hw_map_find(&p->origins, url->origin);
    struct hw_pool_origin *o =
        e ? HW_CONTAINER_OF(e, struct hw_pool_origin, entry) : origin_make(p, url);
    if (!o)
        return NULL;
    o->n_users++;
    if (hw_list_is_linked(&o->quiet)) {
        hw_list_unlink(&o->quiet);
        p->n_quiet--;
    }
    return o;
}

static void origin_tidy(struct hw_pool *p, struct hw_pool_origin *o)
{
    if (o->n_open > 0 || o->n_users > 0)
        return;
    if (!o->target.ticket) {
        origin_free(p, o);
        return;
    }
    hw_origin_lines_close(&o->lines);
    hw_list_push_back(&p->quiet, &o->quiet);
    if (++p->n_quiet > HW_POOL_QUIET_MAX)
        origin_free(p,
                    HW_CONTAINER_OF(hw_list_first(&p->quiet), struct hw_pool_origin, quiet));
}

void hw_pool_leave(struct hw_pool *p, struct hw_pool_origin *o)
{
    o->n_users--;
    origin_tidy(p, o);
}

/* ---- tickets ---- */

void hw_pool_forget_ticket(struct hw_pool_origin *o)
{
    hw_tls_ticket_close(o->target.ticket);
    o->target.ticket = NULL;
}

static void pool_take_ticket(struct hw_pool *p, struct hw_conn *c, struct hw_tls *tls)
{
    struct hw_tls_ticket *ticket = hw_tls_ticket_take(tls, hw_loop_unix(p->loop));
    if (!ticket)
        return;
    hw_pool_forget_ticket(c->origin);
    c->origin->target.ticket = ticket;
}

/* With TLS 1.3 tickets come behind the handshake, so they are looked for when an
 * exchange is over; with 1.2 the one there is was taken when the handshake was. */
static void pool_take_late_ticket(struct hw_pool *p, struct hw_conn *c)
{
    struct hw_tls *tls = c->is_ready ? hw_stream_tls(&c->stream) : NULL;
    if (tls && strcmp(hw_tls_version(tls), "1.3") == 0)
        pool_take_ticket(p, c, tls);
}

static void set_doubtful(struct hw_pool *p, struct hw_conn *c, bool is_doubtful)
{
    if (is_doubtful && !c->is_doubtful)
        p->n_doubtful++;
    if (!is_doubtful && c->is_doubtful)
        p->n_doubtful--;
    c->is_doubtful = is_doubtful;
}

/* ---- idle connections ---- */

static void pool_arm_too_old(struct hw_pool *p)
{
    struct hw_list *oldest = hw_list_first(&p->by_idle);
    if (!oldest || hw_wheel_is_armed(&p->too_old))
        return;
    struct hw_conn *c = HW_CONTAINER_OF(oldest, struct hw_conn, in_idle);
    hw_mono_ms now = hw_loop_now(p->loop);
    hw_mono_ms due = c->idle_since + HW_POOL_IDLE_MS;
    hw_loop_arm(p->loop, &p->too_old, due > now ? due - now : 0);
}

static void on_too_old(struct hw_wheel_entry *e)
{
    struct hw_pool *p = HW_CONTAINER_OF(e, struct hw_pool, too_old);
    hw_mono_ms now = hw_loop_now(p->loop);
    struct hw_list *oldest;
    while ((oldest = hw_list_first(&p->by_idle))) {
        struct hw_conn *c = HW_CONTAINER_OF(oldest, struct hw_conn, in_idle);
        if (c->idle_since + HW_POOL_IDLE_MS > now)
            break;
        hw_pool_drop(p, c);
    }
    pool_arm_too_old(p);
}

struct hw_conn *hw_pool_lease(struct hw_pool *p, struct hw_pool_origin *o)
{
    struct hw_list *newest = hw_list_pop(&o->idle);
    (void)p;
    if (!newest)
        return NULL;
    struct hw_conn *c = HW_CONTAINER_OF(newest, struct hw_conn, in_origin);
    hw_list_unlink(&c->in_idle);
    return c;
}

void hw_pool_give_back(struct hw_pool *p, struct hw_conn *c)
{
    HW_MUST(c->state == HW_CONN_READY && !hw_list_is_linked(&c->in_idle));
    set_doubtful(p, c, false);
    pool_take_late_ticket(p, c);
    c->idle_since = hw_loop_now(p->loop);
    hw_list_push_front(&c->origin->idle, &c->in_origin);
    hw_list_push_back(&p->by_idle, &c->in_idle);
    pool_arm_too_old(p);
}

bool hw_pool_evict(struct hw_pool *p)
{
    struct hw_list *oldest = hw_list_first(&p->by_idle);
    if (!oldest)
        return false;
    hw_pool_drop(p, HW_CONTAINER_OF(oldest, struct hw_conn, in_idle));
    return true;
}

/* ---- counting ---- */

/* Counted first, so that an eviction cannot take the origin away. */
bool hw_pool_reserve(struct hw_pool *p, struct hw_pool_origin *o, bool force)
{
    p->n_open++;
    o->n_open++;
    o->n_opening++;
    if (p->n_open <= p->max_open || hw_pool_evict(p) || force)
        return true;
    hw_pool_release(p, o);
    return false;
}

void hw_pool_release(struct hw_pool *p, struct hw_pool_origin *o)
{
    p->n_open--;
    o->n_open--;
    o->n_opening--;
}

void hw_pool_add(struct hw_pool *p, struct hw_pool_origin *o, struct hw_conn *c,
                 bool is_doubtful)
{
    struct hw_tls_ticket *ticket = o->target.ticket;
    c->origin = o;
    hw_list_push_back(&p->conns, &c->in_pool);
    set_doubtful(p, c, is_doubtful);
    if (ticket && hw_tls_ticket_expires(ticket) <= hw_loop_unix(p->loop))
        hw_pool_forget_ticket(o);
}

void hw_pool_established(struct hw_pool *p, struct hw_conn *c)
{
    struct hw_tls *tls = hw_stream_tls(&c->stream);
    c->origin->n_opening--;
    if (tls)
        pool_take_ticket(p, c, tls);
}

void hw_pool_drop(struct hw_pool *p, struct hw_conn *c)
{
    struct hw_pool_origin *o = c->origin;
    set_doubtful(p, c, false);
    pool_take_late_ticket(p, c);
    hw_list_unlink(&c->in_origin);
    hw_list_unlink(&c->in_idle);
    hw_list_unlink(&c->in_pool);
    c->origin = NULL;
    p->n_open--;
    o->n_open--;
    if (!c->is_ready)
        o->n_opening--;
    hw_conn_close(c);
    origin_tidy(p, o);
}
