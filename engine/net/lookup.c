/*
 * ask -> one ares_getaddrinfo on the channel for new questions -> on_answer: cb
 *
 * c-ares opens its own sockets and tells us which to watch (on_socket_state): one uv_poll
 * each, and one wheel entry for its timeouts.  A channel reads resolv.conf once; when that
 * or the hosts file changes, questions go to a new channel, and the old one is destroyed
 * when its last question is answered.
 *
 * Failures: no channel can be made -> open fails, or the old one stays in use; no memory for
 * a watch -> that query runs into its timeout, and later ones go to a new channel.
 */
#include "net/lookup.h"

#include <ares.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/must.h"
#include "hookwheel/alloc.h"

enum {
    QUERY_TIMEOUT_MS = 1500, /* of the first try; c-ares doubles it for the second */
    QUERY_TRIES = 2,
    LOOK_AGAIN_MS = 3000, /* at the two files, at most this often */
};

#define RESOLV_CONF "/etc/resolv.conf"
#define HOSTS_FILE  "/etc/hosts"

/* What tells whether a file has changed; all zero where there is none. */
struct file_mark {
    dev_t dev;
    ino_t ino;
    off_t size;
    struct timespec changed;
};

struct hw_lookup_channel {
    struct hw_lookup *lookup; /* borrowed */
    ares_channel ares;
    size_t n_queries;
    struct hw_list watches;
    struct hw_list link;         /* in lookup->old_channels, once another took its place */
    struct hw_wheel_entry timer; /* its next timeout, or its end */
};

struct watch {
    uv_poll_t poll;
    struct hw_lookup_channel *channel; /* borrowed; NULL once it closes */
    struct hw_lookup *lookup;
    ares_socket_t fd;
    struct hw_list link; /* in channel->watches */
};

struct hw_lookup {
    struct hw_loop *loop;              /* borrowed */
    char *servers;                     /* owned, or NULL */
    char *hosts_file;                  /* owned, or NULL */
    struct hw_lookup_channel *channel; /* owned: for new questions */
    struct hw_list old_channels;
    struct file_mark resolv_mark, hosts_mark;
    hw_mono_ms look_at; /* when to look at the files again */
    struct hw_wheel_entry ended;
    struct hw_closing closing;
    void (*closed_cb)(void *data);
    void *closed_data;
    bool has_deaf_socket; /* of the channel: its watch could not be made */
    bool is_closing;
};

/* ---- channels and their sockets ---- */

static void channel_set_timer(struct hw_lookup_channel *ch)
{
    struct timeval left;
    if (ch->lookup->is_closing)
        return;
    if (ares_timeout(ch->ares, NULL, &left))
        hw_loop_arm(ch->lookup->loop, &ch->timer,
                    (uint64_t)left.tv_sec * 1000 + (uint64_t)left.tv_usec / 1000 + 1);
    else
        hw_loop_cancel(ch->lookup->loop, &ch->timer);
}

static void on_watch_closed(uv_handle_t *handle)
{
    struct watch *w = HW_CONTAINER_OF(handle, struct watch, poll);
    struct hw_closing *closing = &w->lookup->closing;
    hw_free(w);
    hw_closing_release(closing);
}

static void watch_close(struct watch *w)
{
    hw_list_unlink(&w->link);
    w->channel = NULL;
    uv_poll_stop(&w->poll); /* at once: c-ares closes the socket next */
    uv_close((uv_handle_t *)&w->poll, on_watch_closed);
}

static void on_socket_ready(uv_poll_t *poll, int status, int events)
{
    struct watch *w = HW_CONTAINER_OF(poll, struct watch, poll);
    struct hw_lookup_channel *ch = w->channel;
    ares_socket_t fd = w->fd;
    hw_loop_touch(ch->lookup->loop);
    bool readable = status < 0 || (events & UV_READABLE);
    bool writable = status < 0 || (events & UV_WRITABLE);
    ares_process_fd(ch->ares, readable ? fd : ARES_SOCKET_BAD,
                    writable ? fd : ARES_SOCKET_BAD);
    channel_set_timer(ch);
}

static struct watch *watch_find(struct hw_lookup_channel *ch, ares_socket_t fd)
{
    HW_LIST_EACH (at, &ch->watches) {
        struct watch *w = HW_CONTAINER_OF(at, struct watch, link);
        if (w->fd == fd)
            return w;
    }
    return NULL;
}

static struct watch *watch_open(struct hw_lookup_channel *ch, ares_socket_t fd)
{
    struct watch *w = hw_calloc(1, sizeof(*w));
    if (!w)
        return NULL;
    if (uv_poll_init(ch->lookup->loop->uv, &w->poll, fd) != 0) {
        hw_free(w);
        return NULL;
    }
    w->channel = ch;
    w->lookup = ch->lookup;
    w->fd = fd;
    hw_list_push_back(&ch->watches, &w->link);
    hw_closing_hold(&ch->lookup->closing);
    return w;
}

static void on_socket_state(void *data, ares_socket_t fd, int readable, int writable)
{
    struct hw_lookup_channel *ch = data;
    struct watch *w = watch_find(ch, fd);
    if (!readable && !writable) {
        if (w)
            watch_close(w);
        return;
    }
    if (!w)
        w = watch_open(ch, fd);
    if (w)
        uv_poll_start(&w->poll, (readable ? UV_READABLE : 0) | (writable ? UV_WRITABLE : 0),
                      on_socket_ready);
    else
        ch->lookup->has_deaf_socket = true;
}

static void channel_close(struct hw_lookup_channel *ch)
{
    ares_destroy(ch->ares); /* on_answer for whatever is left; closes the sockets */
    HW_MUST(hw_list_is_empty(&ch->watches));
    hw_loop_cancel(ch->lookup->loop, &ch->timer);
    hw_list_unlink(&ch->link);
    hw_free(ch);
}

static void on_channel_timer(struct hw_wheel_entry *e)
{
    struct hw_lookup_channel *ch = HW_CONTAINER_OF(e, struct hw_lookup_channel, timer);
    bool is_old = hw_list_is_linked(&ch->link);
    ares_process_fd(ch->ares, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    if (is_old && ch->n_queries == 0)
        channel_close(ch);
    else
        channel_set_timer(ch);
}

static int channel_options(const struct hw_lookup *l, struct hw_lookup_channel *ch,
                           struct ares_options *o)
{
    *o = (struct ares_options){ 0 };
    o->timeout = QUERY_TIMEOUT_MS;
    o->tries = QUERY_TRIES;
    o->sock_state_cb = on_socket_state;
    o->sock_state_cb_data = ch;
    o->lookups = (char *)"fb";
    int mask = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB | ARES_OPT_LOOKUPS;
#ifdef ARES_OPT_QUERY_CACHE
    o->qcache_max_ttl = 0; /* ours decides how long an answer is good */
    mask |= ARES_OPT_QUERY_CACHE;
#endif
#ifdef ARES_OPT_HOSTS_FILE
    if (l->hosts_file) {
        o->hosts_path = l->hosts_file;
        mask |= ARES_OPT_HOSTS_FILE;
    }
#else
    (void)l; /* see query_flags */
#endif
    return mask;
}

/* Before c-ares 1.19.1 the environment is the only way to name another hosts file. */
static int query_flags(const struct hw_lookup *l)
{
    int flags = ARES_AI_NOSORT; /* sorting would open a socket an address; conn.c tries them */
#ifndef ARES_OPT_HOSTS_FILE
    if (l->hosts_file)
        flags |= ARES_AI_ENVHOSTS;
#else
    (void)l;
#endif
    return flags;
}

static enum hw_status channel_open(struct hw_lookup *l, struct hw_cause *cause)
{
    struct ares_options options;
    struct hw_lookup_channel *ch = hw_calloc(1, sizeof(*ch));
    if (!ch)
        return hw_cause_set(cause, HW_ENOMEM, HW_ORIGIN_US, 0,
                            "start the resolver: no memory");
    ch->lookup = l;
    hw_list_init(&ch->watches);
    hw_wheel_entry_init(&ch->timer, on_channel_timer);
    int mask = channel_options(l, ch, &options);
    int rc = ares_init_options(&ch->ares, &options, mask);
    if (rc == ARES_SUCCESS && l->servers) {
        rc = ares_set_servers_ports_csv(ch->ares, l->servers);
        if (rc != ARES_SUCCESS)
            ares_destroy(ch->ares);
    }
    if (rc != ARES_SUCCESS) {
        hw_free(ch);
        return hw_cause_set(cause, HW_ESYSTEM, HW_ORIGIN_CARES, rc, "start the resolver: %s",
                            ares_strerror(rc));
    }
    l->channel = ch;
    return HW_OK;
}

/* ---- questions ---- */

/* May run inside ares_getaddrinfo (hosts file, bad name). */
static void on_answer(void *data, int code, int timeouts, struct ares_addrinfo *info)
{
    struct hw_lookup_req *req = data;
    struct hw_lookup_channel *ch = req->channel;
    struct hw_lookup *l = ch->lookup;
    (void)timeouts;
    req->channel = NULL;
    ch->n_queries--;
    if (!l->is_closing) {
        struct hw_lookup_answer answer;
        hw_lookup_answer_read(&answer, code, info);
        req->cb(req, &answer);
        if (ch != l->channel && ch->n_queries == 0)
            hw_loop_arm(l->loop, &ch->timer, 0); /* its end; not while c-ares runs */
    }
    if (info)
        ares_freeaddrinfo(info);
}

void hw_lookup_ask(struct hw_lookup *l, struct hw_lookup_req *req, const char *name,
                   hw_lookup_cb cb)
{
    struct ares_addrinfo_hints hints = { .ai_flags = query_flags(l), .ai_family = AF_UNSPEC };
    HW_MUST(!l->is_closing && !req->channel);
    req->cb = cb;
    req->channel = l->channel;
    l->channel->n_queries++;
    ares_getaddrinfo(l->channel->ares, name, NULL, &hints, on_answer, req);
    channel_set_timer(l->channel);
}

/* ---- the two files ---- */

static struct file_mark mark_of(const char *path)
{
    struct stat st;
    struct file_mark m;
    memset(&m, 0, sizeof(m));
    if (stat(path, &st) != 0)
        return m;
    m.dev = st.st_dev;
    m.ino = st.st_ino;
    m.size = st.st_size;
    m.changed = st.st_mtim;
    return m;
}

static bool mark_renew(struct file_mark *mark, const char *path)
{
    struct file_mark now = mark_of(path);
    bool is_same = now.dev == mark->dev && now.ino == mark->ino && now.size == mark->size &&
                   now.changed.tv_sec == mark->changed.tv_sec &&
                   now.changed.tv_nsec == mark->changed.tv_nsec;
    *mark = now;
    return !is_same;
}

bool hw_lookup_has_changed(struct hw_lookup *l)
{
    hw_mono_ms now = hw_loop_now(l->loop);
    if (now < l->look_at && !l->has_deaf_socket)
        return false;
    l->look_at = now + LOOK_AGAIN_MS;
    bool has_changed = l->has_deaf_socket;
    l->has_deaf_socket = false;
    has_changed |= mark_renew(&l->resolv_mark, RESOLV_CONF);
    has_changed |= mark_renew(&l->hosts_mark, l->hosts_file ? l->hosts_file : HOSTS_FILE);
    struct hw_lookup_channel *old = l->channel;
    if (!has_changed || channel_open(l, NULL) != HW_OK)
        return has_changed;
    hw_list_push_back(&l->old_channels, &old->link);
    if (old->n_queries == 0)
        hw_loop_arm(l->loop, &old->timer, 0);
    return true;
}

/* ---- life ---- */

static void lookup_free(struct hw_lookup *l)
{
    hw_free(l->servers);
    hw_free(l->hosts_file);
    hw_free(l);
    ares_library_cleanup();
}

static void lookup_closed(struct hw_closing *closing)
{
    struct hw_lookup *l = HW_CONTAINER_OF(closing, struct hw_lookup, closing);
    void (*cb)(void *) = l->closed_cb;
    void *data = l->closed_data;
    lookup_free(l);
    cb(data);
}

static void on_ended(struct hw_wheel_entry *e)
{
    hw_closing_release(&HW_CONTAINER_OF(e, struct hw_lookup, ended)->closing);
}

static enum hw_status copy_options(struct hw_lookup *l, const struct hw_lookup_options *o)
{
    if (o->servers && !(l->servers = hw_strdup(o->servers)))
        return HW_ENOMEM;
    if (o->hosts_file && !(l->hosts_file = hw_strdup(o->hosts_file)))
        return HW_ENOMEM;
#ifndef ARES_OPT_HOSTS_FILE
    if (o->hosts_file && setenv("CARES_HOSTS", o->hosts_file, 1) != 0)
        return HW_ENOMEM;
#endif
    return HW_OK;
}

enum hw_status hw_lookup_open(struct hw_lookup **out, struct hw_loop *loop,
                              const struct hw_lookup_options *options, struct hw_cause *cause)
{
    struct hw_lookup *l = hw_calloc(1, sizeof(*l));
    if (!l)
        return hw_cause_set(cause, HW_ENOMEM, HW_ORIGIN_US, 0,
                            "start the resolver: no memory");
    l->loop = loop;
    hw_list_init(&l->old_channels);
    hw_closing_init(&l->closing);
    hw_wheel_entry_init(&l->ended, on_ended);
    ares_library_init(ARES_LIB_INIT_ALL);
    enum hw_status status = copy_options(l, options);
    if (status != HW_OK)
        hw_cause_set(cause, status, HW_ORIGIN_US, 0, "start the resolver: no memory");
    else
        status = channel_open(l, cause);
    if (status != HW_OK) {
        lookup_free(l);
        return status;
    }
    l->resolv_mark = mark_of(RESOLV_CONF);
    l->hosts_mark = mark_of(l->hosts_file ? l->hosts_file : HOSTS_FILE);
    l->look_at = hw_loop_now(loop) + LOOK_AGAIN_MS;
    *out = l;
    return HW_OK;
}

void hw_lookup_close(struct hw_lookup *l, void (*cb)(void *data), void *data)
{
    HW_MUST(!l->is_closing);
    l->is_closing = true;
    l->closed_cb = cb;
    l->closed_data = data;
    channel_close(l->channel);
    HW_LIST_EACH_SAFE (at, &l->old_channels) {
        channel_close(HW_CONTAINER_OF(at, struct hw_lookup_channel, link));
    }
    hw_closing_hold(&l->closing); /* there may be no socket to wait for */
    hw_loop_arm(l->loop, &l->ended, 0);
    hw_closing_begin(&l->closing, lookup_closed);
}
