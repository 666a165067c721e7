/*
 * All that Redis says is ours against the courier's map: what we hold and is not there is
 * dropped; what is there and unknown is loaded, in pieces of at most LOAD_MAX.
 *
 * Trouble on the way ends it: the next beat compares again.
 */
#include "flow/errand.h"
#include "hookwheel/alloc.h"

enum { LOAD_MAX = 200 };

static void compare_end(struct hw_keeper *k)
{
    void (*cb)(void *data) = k->compared_cb;

    k->is_comparing = false;
    k->compared_cb = NULL;
    hw_courier_nudge(k->courier);
    if (cb != NULL)
        cb(k->data);
}

static void load_unknown(struct hw_errand *e);

static void on_loaded(struct hw_take *t, enum hw_redis_trouble trouble,
                      const struct hw_taken *items, size_t n_items, uint64_t n_left)
{
    struct hw_errand *e = hw_errand_of(t);

    (void)n_left;
    hw_errand_take_in(e->keeper, items, n_items, HW_FAILURE_NONE);
    if (trouble != HW_REDIS_FINE) {
        e->keeper->is_comparing = false; /* the connection's next start compares again */
        e->keeper->must_compare = true;
        hw_errand_end(e);
        return;
    }
    load_unknown(e);
}

/* What is in memory by now needs no loading: a load stops near 1 MiB, so the rest comes again. */
static void skip_known(struct hw_errand *e)
{
    size_t kept = 0;

    for (size_t i = 0; i < e->n_unknown; i++)
        if (hw_dispatch_delivery(&e->keeper->courier->dispatch, e->unknown[i].w,
                                 e->unknown[i].n) == NULL)
            e->unknown[kept++] = e->unknown[i];
    e->n_unknown = kept;
}

static void load_unknown(struct hw_errand *e)
{
    struct hw_keeper *k = e->keeper;
    size_t before = e->n_unknown, n;

    skip_known(e);
    /* No progress: what remains cannot be loaded now. */
    if (e->n_unknown == 0 || (e->has_loaded && e->n_unknown == before)) {
        hw_errand_end(e);
        compare_end(k);
        return;
    }
    n = e->n_unknown < LOAD_MAX ? e->n_unknown : LOAD_MAX;
    e->has_loaded = true;
    if (hw_ledger_load(k->ledger, &e->take, e->unknown, n, on_loaded) != HW_OK) {
        k->is_comparing = false;
        k->must_compare = true;
        hw_errand_end(e);
    }
}

struct key_set {
    struct hw_map map;
    struct key_node {
        struct hw_map_entry entry;
        unsigned char key[12];
    } * nodes;
};

static bool key_set_init(struct key_set *set, const struct hw_delivery_key *keys, size_t n)
{
    hw_map_init(&set->map);
    set->nodes = hw_calloc(n, sizeof *set->nodes);
    if (set->nodes == NULL)
        return false;
    for (size_t i = 0; i < n; i++) {
        struct hw_slice key = hw_slice(set->nodes[i].key, sizeof set->nodes[i].key);
        hw_delivery_key(set->nodes[i].key, keys[i].w, keys[i].n);
        if (hw_map_add(&set->map, &set->nodes[i].entry, key) != HW_OK)
            return false;
    }
    return true;
}

static void key_set_close(struct key_set *set)
{
    hw_map_close(&set->map);
    hw_free(set->nodes);
}

/* What we hold in memory and Redis does not have under our name is not ours any more. */
static void drop_lost(struct hw_keeper *k, const struct key_set *owned)
{
    struct hw_map *map = &k->courier->dispatch.deliveries;
    struct hw_map_entry *entry = hw_map_next(map, NULL);

    while (entry != NULL) {
        struct hw_map_entry *next = hw_map_next(map, entry);
        if (hw_map_find(&owned->map, entry->key) == NULL)
            hw_courier_drop(k->courier, HW_CONTAINER_OF(entry, struct hw_delivery, by_key));
        entry = next;
    }
}

static void on_owned(struct hw_take *t, enum hw_redis_trouble trouble,
                     const struct hw_delivery_key *keys, size_t n_keys)
{
    struct hw_errand *e = hw_errand_of(t);
    struct hw_keeper *k = e->keeper;
    struct key_set owned;
    bool is_known = trouble == HW_REDIS_FINE && key_set_init(&owned, keys, n_keys);

    if (is_known)
        drop_lost(k, &owned);
    if (trouble == HW_REDIS_FINE)
        key_set_close(&owned);
    if (is_known) {
        e->unknown = hw_calloc(n_keys, sizeof *e->unknown);
        if (e->unknown != NULL) {
            if (n_keys > 0)
                memcpy(e->unknown, keys, n_keys * sizeof *keys);
            e->n_unknown = n_keys;
            load_unknown(e);
            return;
        }
    }
    k->is_comparing = false;
    k->must_compare = true;
    hw_errand_end(e);
}

void hw_keeper_compare(struct hw_keeper *k, void (*cb)(void *data), void *data)
{
    struct hw_errand *e = hw_errand_new(k);

    k->is_comparing = true;
    k->must_compare = false;
    k->compared_cb = cb;
    k->data = data;
    if (e != NULL && hw_ledger_owned(k->ledger, &e->take, on_owned) == HW_OK)
        return;
    if (e != NULL)
        hw_errand_end(e);
    k->is_comparing = false;
    k->must_compare = true;
}
