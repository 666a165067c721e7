/*
 * ask -> cached and fresh?  the name's `later` entry: everybody who waits is told, next turn
 *     -> else one ares_getaddrinfo for the name -> on_answer: keep it, `later` as above
 *
 * c-ares opens its own sockets and tells us which to watch (on_socket_state): one uv_poll
 * each, and one wheel entry for its timeouts.  A channel reads resolv.conf once; when that
 * or the hosts file changes, queries go to a new channel, and the old one is destroyed
 * when its last query is answered.
 *
 * Failures: no channel can be made -> open fails, or the old one stays in use; no memory for
 * a watch -> that query runs into its timeout, and later ones go to a new channel; an
 * answer without memory to read it -> DOWN, a fault of our own.
 */
#include "net/resolve.h"

#include <ares.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/map.h"
#include "base/must.h"
#include "core/metrics.h"
#include "hookwheel/alloc.h"

enum {
    NAME_MAX_BYTES = 256,
    QUERY_TIMEOUT_MS = 1500, /* of the first try; c-ares doubles it for the second */
    QUERY_TRIES = 2,
    TTL_MIN_MS = 1000,
    TTL_MAX_MS = 5 * 60 * 1000,
    NOT_FOUND_TTL_MS = 30 * 1000,
    DOWN_AFTER_MS = 30 * 1000,
    LOOK_AGAIN_MS = 3000, /* at the two files, at most this often */
    NAME_BYTES_MAX = 255,
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

struct channel {
    struct hw_resolve *resolve; /* borrowed */
    ares_channel ares;
    size_t n_queries;
    struct hw_list watches;
    struct hw_list link;         /* in resolve->old_channels, once another took its place */
    struct hw_wheel_entry timer; /* its next timeout, or its end */
};

struct watch {
    uv_poll_t poll;
    struct channel *channel; /* borrowed; NULL once it closes */
    struct hw_resolve *resolve;
    ares_socket_t fd;
    struct hw_list link; /* in channel->watches */
};

struct hw_resolve_name {
    struct hw_map_entry entry; /* in resolve->names; key: text */
    struct hw_list link;       /* in resolve->by_use, newest last */
    struct hw_list waiters;
    struct hw_wheel_entry later; /* an answer is known: tell the waiters */
    struct hw_resolve *resolve;  /* borrowed */
    struct channel *channel;     /* borrowed: where its query is in flight; NULL: none */
    char *text;                  /* owned, ends in NUL */
    unsigned epoch;              /* resolve->epoch when it was asked */
    hw_mono_ms asked_at;
    hw_mono_ms fresh_until;
    enum hw_resolve_result result;
    struct hw_cause cause;
    size_t n_addresses;
    struct hw_address addresses[HW_RESOLVE_ADDRESSES_MAX];
};

struct hw_resolve {
    struct hw_loop *loop; /* borrowed */
    char *servers;        /* owned, or NULL */
    char *hosts_file;     /* owned, or NULL */
    uint64_t *n_results;
    struct channel *channel; /* owned: for new queries */
    struct hw_list old_channels;
    struct hw_map names;
    struct hw_list by_use;
    unsigned epoch; /* counted up when a file has changed */
    struct file_mark resolv_mark, hosts_mark;
    hw_mono_ms look_at;       /* when to look at the files again */
    hw_mono_ms failing_since; /* something failed then, nothing was resolved since; 0: no */
    char failing_name[NAME_MAX_BYTES]; /* what failed then */
    bool has_others_failing;  /* another name has failed since, too */
    bool is_silent;           /* the newest failure: no name server answered at all */
    struct hw_wheel_entry ended;
    struct hw_closing closing;
    void (*closed_cb)(void *data);
    void *closed_data;
    bool has_deaf_socket; /* of the channel: its watch could not be made */
    bool is_closing;
};

/* ---- channels and their sockets ---- */

static void channel_set_timer(struct channel *ch)
{
    struct timeval left;
    if (ch->resolve->is_closing)
        return;
    if (ares_timeout(ch->ares, NULL, &left))
        hw_loop_arm(ch->resolve->loop, &ch->timer,
                    (uint64_t)left.tv_sec * 1000 + (uint64_t)left.tv_usec / 1000 + 1);
    else
        hw_loop_cancel(ch->resolve->loop, &ch->timer);
}

static void on_watch_closed(uv_handle_t *handle)
{
    struct watch *w = HW_CONTAINER_OF(handle, struct watch, poll);
    struct hw_closing *closing = &w->resolve->closing;
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
    struct channel *ch = w->channel;
    ares_socket_t fd = w->fd;
    hw_loop_touch(ch->resolve->loop);
    bool readable = status < 0 || (events & UV_READABLE);
    bool writable = status < 0 || (events & UV_WRITABLE);
    ares_process_fd(ch->ares, readable ? fd : ARES_SOCKET_BAD,
                    writable ? fd : ARES_SOCKET_BAD);
    channel_set_timer(ch);
}

static struct watch *watch_find(struct channel *ch, ares_socket_t fd)
{
    HW_LIST_EACH(at, &ch->watches)
    {
        struct watch *w = HW_CONTAINER_OF(at, struct watch, link);
        if (w->fd == fd)
            return w;
    }
    return NULL;
}

static struct watch *watch_open(struct channel *ch, ares_socket_t fd)
{
    struct watch *w = hw_calloc(1, sizeof(*w));
    if (!w)
        return NULL;
    if (uv_poll_init(ch->resolve->loop->uv, &w->poll, fd) != 0) {
        hw_free(w);
        return NULL;
    }
    w->channel = ch;
    w->resolve = ch->resolve;
    w->fd = fd;
    hw_list_push_back(&ch->watches, &w->link);
    hw_closing_hold(&ch->resolve->closing);
    return w;
}

static void on_socket_state(void *data, ares_socket_t fd, int readable, int writable)
{
    struct channel *ch = data;
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
        ch->resolve->has_deaf_socket = true;
}

static void channel_close(struct channel *ch)
{
    ares_destroy(ch->ares); /* on_answer for whatever is left; closes the sockets */
    HW_MUST(hw_list_is_empty(&ch->watches));
    hw_loop_cancel(ch->resolve->loop, &ch->timer);
    hw_list_unlink(&ch->link);
    hw_free(ch);
}

static void on_channel_timer(struct hw_wheel_entry *e)
{
    struct channel *ch = HW_CONTAINER_OF(e, struct channel, timer);
    bool is_old = hw_list_is_linked(&ch->link);
    ares_process_fd(ch->ares, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    if (is_old && ch->n_queries == 0)
        channel_close(ch);
    else
        channel_set_timer(ch);
}

static int channel_options(const struct hw_resolve *r, struct channel *ch,
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
    if (r->hosts_file) {
        o->hosts_path = r->hosts_file;
        mask |= ARES_OPT_HOSTS_FILE;
    }
#else
    (void)r; /* see query_flags */
#endif
    return mask;
}

/* Before c-ares 1.19.1 the environment is the only way to name another hosts file. */
static int query_flags(const struct hw_resolve *r)
{
    int flags = ARES_AI_NOSORT; /* sorting would open a socket an address; conn.c tries them */
#ifndef ARES_OPT_HOSTS_FILE
    if (r->hosts_file)
        flags |= ARES_AI_ENVHOSTS;
#else
    (void)r;
#endif
    return flags;
}

static enum hw_status channel_open(struct hw_resolve *r, struct hw_cause *cause)
{
    struct ares_options options;
    struct channel *ch = hw_calloc(1, sizeof(*ch));
    if (!ch)
        return hw_cause_set(cause, HW_ENOMEM, HW_ORIGIN_US, 0,
                            "start the resolver: no memory");
    ch->resolve = r;
    hw_list_init(&ch->watches);
    hw_wheel_entry_init(&ch->timer, on_channel_timer);
    int mask = channel_options(r, ch, &options);
    int rc = ares_init_options(&ch->ares, &options, mask);
    if (rc == ARES_SUCCESS && r->servers) {
        rc = ares_set_servers_ports_csv(ch->ares, r->servers);
        if (rc != ARES_SUCCESS)
            ares_destroy(ch->ares);
    }
    if (rc != ARES_SUCCESS) {
        hw_free(ch);
        return hw_cause_set(cause, HW_ESYSTEM, HW_ORIGIN_CARES, rc, "start the resolver: %s",
                            ares_strerror(rc));
    }
    r->channel = ch;
    return HW_OK;
}

/* ---- names ---- */

static void name_free(struct hw_resolve_name *n)
{
    HW_MUST(hw_list_is_empty(&n->waiters));
    hw_loop_cancel(n->resolve->loop, &n->later);
    hw_map_remove(&n->resolve->names, &n->entry);
    hw_list_unlink(&n->link);
    hw_free(n->text);
    hw_free(n);
}

/* The one asked for longest ago that nobody waits for. */
static void names_make_room(struct hw_resolve *r)
{
    if (r->names.n_entries < HW_RESOLVE_NAMES_MAX)
        return;
    HW_LIST_EACH(at, &r->by_use)
    {
        struct hw_resolve_name *n = HW_CONTAINER_OF(at, struct hw_resolve_name, link);
        if (n->channel || !hw_list_is_empty(&n->waiters))
            continue;
        name_free(n);
        return;
    }
}

static void on_name_answered(struct hw_wheel_entry *e);

static struct hw_resolve_name *name_make(struct hw_resolve *r, struct hw_slice text)
{
    names_make_room(r);
    struct hw_resolve_name *n = hw_calloc(1, sizeof(*n));
    char *copy = hw_strndup(text.data, text.len);
    if (!n || !copy || hw_map_add(&r->names, &n->entry, hw_slice(copy, text.len)) != HW_OK) {
        hw_free(n);
        hw_free(copy);
        return NULL;
    }
    n->resolve = r;
    n->text = copy;
    hw_list_init(&n->waiters);
    hw_list_push_back(&r->by_use, &n->link);
    hw_wheel_entry_init(&n->later, on_name_answered);
    return n;
}

static struct hw_resolve_name *name_find_or_make(struct hw_resolve *r, struct hw_slice text)
{
    struct hw_map_entry *e = hw_map_find(&r->names, text);
    if (!e)
        return name_make(r, text);
    struct hw_resolve_name *n = HW_CONTAINER_OF(e, struct hw_resolve_name, entry);
    hw_list_unlink(&n->link);
    hw_list_push_back(&r->by_use, &n->link);
    return n;
}

/* Copies first: whoever is told may ask again, or close us. */
static void on_name_answered(struct hw_wheel_entry *e)
{
    struct hw_resolve_name *n = HW_CONTAINER_OF(e, struct hw_resolve_name, later);
    struct hw_address addresses[HW_RESOLVE_ADDRESSES_MAX];
    memcpy(addresses, n->addresses, sizeof(addresses));
    struct hw_resolve_answer answer = { .result = n->result,
                                        .addresses = addresses,
                                        .n_addresses = n->n_addresses,
                                        .cause = n->cause };
    struct hw_list told;
    struct hw_list *at;
    hw_list_init(&told);
    hw_list_splice(&told, &n->waiters);
    while ((at = hw_list_pop(&told))) {
        struct hw_resolve_req *req = HW_CONTAINER_OF(at, struct hw_resolve_req, link);
        req->cb(req, &answer);
    }
}

/* ---- what an answer says ---- */

static bool address_from(struct hw_address *out, const struct sockaddr *from)
{
    memset(out, 0, sizeof(*out));
    if (from->sa_family == AF_INET) {
        memcpy(out->bytes, &((const struct sockaddr_in *)(const void *)from)->sin_addr, 4);
        return true;
    }
    out->is_v6 = true;
    if (from->sa_family == AF_INET6)
        memcpy(out->bytes, &((const struct sockaddr_in6 *)(const void *)from)->sin6_addr, 16);
    return from->sa_family == AF_INET6;
}

static const struct ares_addrinfo_node *next_of(const struct ares_addrinfo_node *node,
                                                int family)
{
    while (node && node->ai_family != family)
        node = node->ai_next;
    return node;
}

/* The families in turn, so that one that does not work costs little; IPv4 first, which every
 * machine has.  Each keeps the name server's order. */
static void take_addresses(struct hw_resolve_name *n, const struct ares_addrinfo *info)
{
    const struct ares_addrinfo_node *next[2] = { next_of(info->nodes, AF_INET),
                                                 next_of(info->nodes, AF_INET6) };
    n->n_addresses = 0;
    for (int i = 0; (next[0] || next[1]) && n->n_addresses < HW_RESOLVE_ADDRESSES_MAX;
         i ^= 1) {
        const struct ares_addrinfo_node *node = next[i];
        if (!node)
            continue;
        if (address_from(&n->addresses[n->n_addresses], node->ai_addr))
            n->n_addresses++;
        next[i] = next_of(node->ai_next, node->ai_family);
    }
}

/* The shortest of the chain, in seconds; 0 says that the hosts file had it. */
static int64_t shortest_ttl(const struct ares_addrinfo *info)
{
    int64_t ttl = TTL_MAX_MS / 1000;
    for (const struct ares_addrinfo_node *at = info->nodes; at; at = at->ai_next)
        ttl = at->ai_ttl < ttl ? at->ai_ttl : ttl;
    for (const struct ares_addrinfo_cname *at = info->cnames; at; at = at->next)
        ttl = at->ttl < ttl ? at->ttl : ttl;
    return ttl > 0 ? ttl : 0;
}

static void name_found(struct hw_resolve_name *n, const struct ares_addrinfo *info)
{
    int64_t ttl = shortest_ttl(info);
    uint64_t fresh_ms = ttl > 0 ? (uint64_t)ttl * 1000 : TTL_MIN_MS;
    take_addresses(n, info);
    n->result = HW_RESOLVE_FOUND;
    n->cause = (struct hw_cause){ .status = HW_OK };
    n->fresh_until = hw_loop_now(n->resolve->loop) + fresh_ms;
    if (ttl > 0)
        n->resolve->failing_since = 0; /* a name server answered */
}

static void name_missing(struct hw_resolve_name *n, int code)
{
    const char *what = code == ARES_ENODATA ? "the name has no address" : "no such name";
    n->result = HW_RESOLVE_NOT_FOUND;
    n->fresh_until = hw_loop_now(n->resolve->loop) + NOT_FOUND_TTL_MS;
    n->resolve->failing_since = 0;
    hw_cause_set(&n->cause, HW_EDNS, HW_ORIGIN_CARES, code, "resolve %.100s: %s", n->text,
                 what);
}

static const char *failure_words(int code)
{
    switch (code) {
    case ARES_ESERVFAIL:
        return "the name server failed (SERVFAIL)";
    case ARES_EREFUSED:
        return "the name server refused the query";
    case ARES_ETIMEOUT:
        return "no name server answered in time";
    case ARES_ECONNREFUSED:
        return "no name server could be reached";
    default:
        return ares_strerror(code);
    }
}

bool hw_resolve_is_down(const struct hw_resolve *r)
{
    return r->failing_since != 0 && (r->has_others_failing || r->is_silent) &&
           hw_loop_now(r->loop) >= r->failing_since + DOWN_AFTER_MS;
}

/* One name that a name server refuses to resolve is the receiver's trouble, however long; several,
 * or no answer at all, are ours. */
static void note_failure(struct hw_resolve *r, const struct hw_resolve_name *n, int code)
{
    r->is_silent = code == ARES_ETIMEOUT || code == ARES_ECONNREFUSED;
    if (r->failing_since == 0) {
        r->failing_since = n->asked_at ? n->asked_at : 1;
        r->has_others_failing = false;
        snprintf(r->failing_name, sizeof(r->failing_name), "%s", n->text);
    } else if (strcmp(r->failing_name, n->text) != 0) {
        r->has_others_failing = true;
    }
}

static void name_failed(struct hw_resolve_name *n, int code)
{
    struct hw_resolve *r = n->resolve;
    note_failure(r, n, code);
    bool is_down = hw_resolve_is_down(r);
    n->result = is_down || code == ARES_ENOMEM ? HW_RESOLVE_DOWN : HW_RESOLVE_FAILED;
    n->fresh_until = 0;
    hw_cause_set(&n->cause, HW_EDNS, HW_ORIGIN_CARES, code, "resolve %.90s: %s%s", n->text,
                 failure_words(code), is_down ? " (nor any name for 30 s)" : "");
}

static void count(struct hw_resolve *r, enum hw_metric_dns what)
{
    if (r->n_results)
        r->n_results[what]++;
}

static void name_take_answer(struct hw_resolve_name *n, int code,
                             const struct ares_addrinfo *info)
{
    struct hw_resolve *r = n->resolve;
    n->n_addresses = 0;
    if (code == ARES_SUCCESS && info && info->nodes) {
        name_found(n, info);
        count(r, HW_METRIC_DNS_FOUND);
    } else if (code == ARES_SUCCESS || code == ARES_ENODATA || code == ARES_ENOTFOUND ||
               code == ARES_EBADNAME) {
        name_missing(n, code == ARES_SUCCESS ? ARES_ENODATA : code);
        count(r, HW_METRIC_DNS_NOT_FOUND);
    } else {
        name_failed(n, code);
        count(r, HW_METRIC_DNS_FAILED);
    }
    if (n->epoch != r->epoch)
        n->fresh_until = 0; /* asked before the files changed */
}

/* May run inside ares_getaddrinfo (hosts file, bad name). */
static void on_answer(void *data, int code, int timeouts, struct ares_addrinfo *info)
{
    struct hw_resolve_name *n = data;
    struct channel *ch = n->channel;
    struct hw_resolve *r = n->resolve;
    (void)timeouts;
    n->channel = NULL;
    ch->n_queries--;
    if (!r->is_closing) {
        name_take_answer(n, code, info);
        hw_loop_arm(r->loop, &n->later, 0);
        if (ch != r->channel && ch->n_queries == 0)
            hw_loop_arm(r->loop, &ch->timer, 0); /* its end; not while c-ares runs */
    }
    if (info)
        ares_freeaddrinfo(info);
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

static void forget_answers(struct hw_resolve *r)
{
    r->epoch++;
    HW_LIST_EACH(at, &r->by_use)
    {
        HW_CONTAINER_OF(at, struct hw_resolve_name, link)->fresh_until = 0;
    }
}

static void look_at_files(struct hw_resolve *r)
{
    hw_mono_ms now = hw_loop_now(r->loop);
    if (now < r->look_at && !r->has_deaf_socket)
        return;
    r->look_at = now + LOOK_AGAIN_MS;
    bool has_changed = r->has_deaf_socket;
    r->has_deaf_socket = false;
    has_changed |= mark_renew(&r->resolv_mark, RESOLV_CONF);
    has_changed |= mark_renew(&r->hosts_mark, r->hosts_file ? r->hosts_file : HOSTS_FILE);
    struct channel *old = r->channel;
    if (!has_changed)
        return;
    forget_answers(r);
    if (channel_open(r, NULL) != HW_OK)
        return;
    hw_list_push_back(&r->old_channels, &old->link);
    if (old->n_queries == 0)
        hw_loop_arm(r->loop, &old->timer, 0);
}

/* ---- asking ---- */

static void name_query(struct hw_resolve_name *n)
{
    struct hw_resolve *r = n->resolve;
    struct ares_addrinfo_hints hints = { .ai_flags = query_flags(r), .ai_family = AF_UNSPEC };
    n->channel = r->channel;
    n->channel->n_queries++;
    n->epoch = r->epoch;
    n->asked_at = hw_loop_now(r->loop);
    ares_getaddrinfo(r->channel->ares, n->text, NULL, &hints, on_answer, n);
    channel_set_timer(r->channel);
}

static void name_is_loopback(struct hw_resolve_name *n)
{
    memset(n->addresses, 0, 2 * sizeof(n->addresses[0]));
    memcpy(n->addresses[0].bytes, (const unsigned char[]){ 127, 0, 0, 1 }, 4);
    n->addresses[1].is_v6 = true;
    n->addresses[1].bytes[15] = 1;
    n->n_addresses = 2;
    n->result = HW_RESOLVE_FOUND;
    n->fresh_until = UINT64_MAX;
}

enum hw_status hw_resolve_ask(struct hw_resolve *r, struct hw_resolve_req *req,
                              struct hw_slice name, hw_resolve_cb cb)
{
    HW_MUST(!r->is_closing);
    look_at_files(r);
    if (name.len > NAME_BYTES_MAX)
        name.len = NAME_BYTES_MAX; /* longer than any name: will not be found */
    struct hw_resolve_name *n = name_find_or_make(r, name);
    if (!n)
        return HW_ENOMEM;
    req->cb = cb;
    hw_list_node_init(&req->link);
    hw_list_push_back(&n->waiters, &req->link);
    if (n->channel || hw_wheel_is_armed(&n->later))
        return HW_OK; /* an answer is on its way */
    if (hw_slice_is(name, "localhost"))
        name_is_loopback(n);
    if (hw_loop_now(r->loop) < n->fresh_until) {
        count(r, HW_METRIC_DNS_CACHED);
        hw_loop_arm(r->loop, &n->later, 0);
    } else {
        name_query(n);
    }
    return HW_OK;
}

void hw_resolve_cancel(struct hw_resolve_req *req)
{
    hw_list_unlink(&req->link);
}

/* ---- life ---- */

static void resolve_closed(struct hw_closing *closing)
{
    struct hw_resolve *r = HW_CONTAINER_OF(closing, struct hw_resolve, closing);
    void (*cb)(void *) = r->closed_cb;
    void *data = r->closed_data;
    hw_free(r->servers);
    hw_free(r->hosts_file);
    hw_free(r);
    ares_library_cleanup();
    if (cb)
        cb(data);
}

static void on_ended(struct hw_wheel_entry *e)
{
    hw_closing_release(&HW_CONTAINER_OF(e, struct hw_resolve, ended)->closing);
}

static enum hw_status copy_options(struct hw_resolve *r, const struct hw_resolve_options *o)
{
    r->n_results = o->n_results;
    if (o->servers && !(r->servers = hw_strdup(o->servers)))
        return HW_ENOMEM;
    if (o->hosts_file && !(r->hosts_file = hw_strdup(o->hosts_file)))
        return HW_ENOMEM;
#ifndef ARES_OPT_HOSTS_FILE
    if (o->hosts_file && setenv("CARES_HOSTS", o->hosts_file, 1) != 0)
        return HW_ENOMEM;
#endif
    return HW_OK;
}

enum hw_status hw_resolve_open(struct hw_resolve **out, struct hw_loop *loop,
                               const struct hw_resolve_options *options,
                               struct hw_cause *cause)
{
    struct hw_resolve *r = hw_calloc(1, sizeof(*r));
    if (!r)
        return hw_cause_set(cause, HW_ENOMEM, HW_ORIGIN_US, 0,
                            "start the resolver: no memory");
    r->loop = loop;
    hw_list_init(&r->old_channels);
    hw_list_init(&r->by_use);
    hw_map_init(&r->names);
    hw_closing_init(&r->closing);
    hw_wheel_entry_init(&r->ended, on_ended);
    ares_library_init(ARES_LIB_INIT_ALL);
    enum hw_status status = copy_options(r, options);
    if (status != HW_OK)
        hw_cause_set(cause, status, HW_ORIGIN_US, 0, "start the resolver: no memory");
    else
        status = channel_open(r, cause);
    if (status != HW_OK) {
        ares_library_cleanup();
        hw_free(r->servers);
        hw_free(r->hosts_file);
        hw_free(r);
        return status;
    }
    r->resolv_mark = mark_of(RESOLV_CONF);
    r->hosts_mark = mark_of(r->hosts_file ? r->hosts_file : HOSTS_FILE);
    r->look_at = hw_loop_now(loop) + LOOK_AGAIN_MS;
    *out = r;
    return HW_OK;
}

void hw_resolve_close(struct hw_resolve *r, void (*cb)(void *data), void *data)
{
    HW_MUST(!r->is_closing);
    r->is_closing = true;
    r->closed_cb = cb;
    r->closed_data = data;
    channel_close(r->channel);
    HW_LIST_EACH_SAFE(at, &r->old_channels)
    {
        channel_close(HW_CONTAINER_OF(at, struct channel, link));
    }
    HW_LIST_EACH_SAFE(at, &r->by_use)
    {
        name_free(HW_CONTAINER_OF(at, struct hw_resolve_name, link));
    }
    hw_map_close(&r->names);
    hw_closing_hold(&r->closing); /* there may be no socket to wait for */
    hw_loop_arm(r->loop, &r->ended, 0);
    hw_closing_begin(&r->closing, resolve_closed);
}
