/*
 * ask -> cached and fresh?  the name's `later` entry: everybody who waits is told, next turn
 *     -> else one lookup for the name -> on_answer: keep it, `later` as above
 *
 * What is cached is forgotten when a file that it may be from has changed: the epoch counts
 * that, so that an answer asked for before and come after is not kept either.
 *
 * Failures: no memory for a name -> ask fails; an answer without memory to read it -> DOWN,
 * a fault of our own.
 */
#include "net/resolve.h"

#include <stdio.h>
#include <string.h>

#include "base/map.h"
#include "base/must.h"
#include "core/metrics.h"
#include "hookwheel/alloc.h"

enum {
    NAME_MAX_BYTES = 256,
    TTL_MIN_MS = 1000,
    TTL_MAX_S = 5 * 60,
    NOT_FOUND_TTL_MS = 30 * 1000,
    DOWN_AFTER_MS = 30 * 1000,
    NAME_BYTES_MAX = 255,
};

struct hw_resolve_name {
    struct hw_map_entry entry; /* in resolve->names; key: text */
    struct hw_list link;       /* in resolve->by_use, newest last */
    struct hw_list waiters;
    struct hw_wheel_entry later; /* an answer is known: tell the waiters */
    struct hw_lookup_req query;
    struct hw_resolve *resolve; /* borrowed */
    char *text;                 /* owned, ends in NUL */
    unsigned epoch;             /* resolve->epoch when it was asked */
    hw_mono_ms asked_at;
    hw_mono_ms fresh_until;
    enum hw_resolve_result result;
    struct hw_cause cause;
    size_t n_addresses;
    struct hw_address addresses[HW_RESOLVE_ADDRESSES_MAX];
};

struct hw_resolve {
    struct hw_loop *loop; /* borrowed */
    uint64_t *n_results;
    struct hw_lookup *lookup; /* owned */
    struct hw_map names;
    struct hw_list by_use;
    unsigned epoch;           /* counted up when a file has changed */
    hw_mono_ms failing_since; /* something failed then, nothing was resolved since; 0: no */
    char failing_name[NAME_MAX_BYTES]; /* what failed then */
    bool has_others_failing;           /* another name has failed since, too */
    bool is_silent;                    /* the newest failure: no name server answered at all */
    void (*closed_cb)(void *data);
    void *closed_data;
    bool is_closing;
};

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
    HW_LIST_EACH (at, &r->by_use) {
        struct hw_resolve_name *n = HW_CONTAINER_OF(at, struct hw_resolve_name, link);
        if (hw_lookup_is_under_way(&n->query) || !hw_list_is_empty(&n->waiters))
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

static void name_found(struct hw_resolve_name *n, const struct hw_lookup_answer *a)
{
    int64_t ttl_s = a->ttl_s < TTL_MAX_S ? a->ttl_s : TTL_MAX_S;
    uint64_t fresh_ms = ttl_s > 0 ? (uint64_t)ttl_s * 1000 : TTL_MIN_MS;
    memcpy(n->addresses, a->addresses, a->n_addresses * sizeof(a->addresses[0]));
    n->n_addresses = a->n_addresses;
    n->result = HW_RESOLVE_FOUND;
    n->cause = (struct hw_cause){ .status = HW_OK };
    n->fresh_until = hw_loop_now(n->resolve->loop) + fresh_ms;
    if (ttl_s > 0)
        n->resolve->failing_since = 0; /* a name server answered */
}

static void name_missing(struct hw_resolve_name *n, const struct hw_lookup_answer *a)
{
    n->result = HW_RESOLVE_NOT_FOUND;
    n->fresh_until = hw_loop_now(n->resolve->loop) + NOT_FOUND_TTL_MS;
    n->resolve->failing_since = 0;
    hw_cause_set(&n->cause, HW_EDNS, HW_ORIGIN_CARES, a->code, "resolve %.100s: %s", n->text,
                 a->words);
}

bool hw_resolve_is_down(const struct hw_resolve *r)
{
    return r->failing_since != 0 && (r->has_others_failing || r->is_silent) &&
           hw_loop_now(r->loop) >= r->failing_since + DOWN_AFTER_MS;
}

/* One name that a name server refuses to resolve is the receiver's trouble, however long; several,
 * or no answer at all, are ours. */
static void note_failure(struct hw_resolve *r, const struct hw_resolve_name *n, bool is_silent)
{
    r->is_silent = is_silent;
    if (r->failing_since == 0) {
        r->failing_since = n->asked_at ? n->asked_at : 1;
        r->has_others_failing = false;
        snprintf(r->failing_name, sizeof(r->failing_name), "%s", n->text);
    } else if (strcmp(r->failing_name, n->text) != 0) {
        r->has_others_failing = true;
    }
}

static void name_failed(struct hw_resolve_name *n, const struct hw_lookup_answer *a)
{
    note_failure(n->resolve, n, a->result == HW_LOOKUP_SILENT);
    bool is_down = hw_resolve_is_down(n->resolve);
    n->result =
        is_down || a->result == HW_LOOKUP_NO_MEMORY ? HW_RESOLVE_DOWN : HW_RESOLVE_FAILED;
    n->fresh_until = 0;
    hw_cause_set(&n->cause, HW_EDNS, HW_ORIGIN_CARES, a->code, "resolve %.90s: %s%s", n->text,
                 a->words, is_down ? " (nor any name for 30 s)" : "");
}

static void count(struct hw_resolve *r, enum hw_metric_dns what)
{
    if (r->n_results)
        r->n_results[what]++;
}

static void on_answer(struct hw_lookup_req *query, const struct hw_lookup_answer *a)
{
    struct hw_resolve_name *n = HW_CONTAINER_OF(query, struct hw_resolve_name, query);
    struct hw_resolve *r = n->resolve;
    n->n_addresses = 0;
    if (a->result == HW_LOOKUP_FOUND) {
        name_found(n, a);
        count(r, HW_METRIC_DNS_FOUND);
    } else if (a->result == HW_LOOKUP_MISSING) {
        name_missing(n, a);
        count(r, HW_METRIC_DNS_NOT_FOUND);
    } else {
        name_failed(n, a);
        count(r, HW_METRIC_DNS_FAILED);
    }
    if (n->epoch != r->epoch)
        n->fresh_until = 0; /* asked before the files changed */
    hw_loop_arm(r->loop, &n->later, 0);
}

/* ---- asking ---- */

static void forget_answers(struct hw_resolve *r)
{
    r->epoch++;
    HW_LIST_EACH (at, &r->by_use) {
        HW_CONTAINER_OF(at, struct hw_resolve_name, link)->fresh_until = 0;
    }
}

static void name_query(struct hw_resolve_name *n)
{
    n->epoch = n->resolve->epoch;
    n->asked_at = hw_loop_now(n->resolve->loop);
    hw_lookup_ask(n->resolve->lookup, &n->query, n->text, on_answer);
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
    if (hw_lookup_has_changed(r->lookup))
        forget_answers(r);
    if (name.len > NAME_BYTES_MAX)
        name.len = NAME_BYTES_MAX; /* longer than any name: will not be found */
    struct hw_resolve_name *n = name_find_or_make(r, name);
    if (!n)
        return HW_ENOMEM;
    req->cb = cb;
    hw_list_node_init(&req->link);
    hw_list_push_back(&n->waiters, &req->link);
    if (hw_lookup_is_under_way(&n->query) || hw_wheel_is_armed(&n->later))
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

enum hw_status hw_resolve_open(struct hw_resolve **out, struct hw_loop *loop,
                               const struct hw_resolve_options *options,
                               struct hw_cause *cause)
{
    struct hw_lookup_options lookup = { .servers = options->servers,
                                        .hosts_file = options->hosts_file };
    struct hw_resolve *r = hw_calloc(1, sizeof(*r));
    if (!r)
        return hw_cause_set(cause, HW_ENOMEM, HW_ORIGIN_US, 0,
                            "start the resolver: no memory");
    r->loop = loop;
    r->n_results = options->n_results;
    hw_list_init(&r->by_use);
    hw_map_init(&r->names);
    enum hw_status status = hw_lookup_open(&r->lookup, loop, &lookup, cause);
    if (status != HW_OK) {
        hw_free(r);
        return status;
    }
    *out = r;
    return HW_OK;
}

static void on_lookup_closed(void *data)
{
    struct hw_resolve *r = data;
    void (*cb)(void *) = r->closed_cb;
    void *cb_data = r->closed_data;
    hw_free(r);
    if (cb)
        cb(cb_data);
}

void hw_resolve_close(struct hw_resolve *r, void (*cb)(void *data), void *data)
{
    HW_MUST(!r->is_closing);
    r->is_closing = true;
    r->closed_cb = cb;
    r->closed_data = data;
    hw_lookup_close(r->lookup, on_lookup_closed, r); /* lets go of the names' queries */
    HW_LIST_EACH_SAFE (at, &r->by_use) {
        name_free(HW_CONTAINER_OF(at, struct hw_resolve_name, link));
    }
    hw_map_close(&r->names);
}
