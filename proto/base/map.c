#include "base/map.h"

#include "base/must.h"
#include "hookwheel/alloc.h"

enum { FIRST_BUCKETS = 16 };

static uint64_t key0 = UINT64_C(0x0706050403020100);
static uint64_t key1 = UINT64_C(0x0f0e0d0c0b0a0908);

static uint64_t load64(const unsigned char *p, size_t n)
{
    uint64_t v = 0;

    for (size_t i = 0; i < n; i++)
        v |= (uint64_t)p[i] << (8 * i);
    return v;
}

static uint64_t rotl(uint64_t x, int by)
{
    return (x << by) | (x >> (64 - by));
}

static void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[1] = rotl(v[1], 13) ^ v[0];
    v[0] = rotl(v[0], 32);
    v[2] += v[3];
    v[3] = rotl(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = rotl(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = rotl(v[1], 17) ^ v[2];
    v[2] = rotl(v[2], 32);
}

/* SipHash with one compression and three finalisation rounds. */
static uint64_t hash_key(struct hw_slice key)
{
    const unsigned char *p = (const unsigned char *)key.data;
    size_t left = key.len;
    uint64_t v[4] = { key0 ^ UINT64_C(0x736f6d6570736575), key1 ^ UINT64_C(0x646f72616e646f6d),
                      key0 ^ UINT64_C(0x6c7967656e657261), key1 ^ UINT64_C(0x7465646279746573) };

    for (; left >= 8; left -= 8, p += 8) {
        uint64_t m = load64(p, 8);
        v[3] ^= m;
        sip_round(v);
        v[0] ^= m;
    }
    uint64_t last = (uint64_t)(key.len & 0xff) << 56 | load64(p, left);
    v[3] ^= last;
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    sip_round(v);
    sip_round(v);
    sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

void hw_map_init(struct hw_map *m)
{
    *m = (struct hw_map){ 0 };
}

void hw_map_close(struct hw_map *m)
{
    hw_free(m->buckets);
    hw_map_init(m);
}

void hw_map_seed(const unsigned char key[16])
{
    key0 = load64(key, 8);
    key1 = load64(key + 8, 8);
}

static void map_put(struct hw_map *m, struct hw_map_entry *e)
{
    struct hw_map_entry **bucket = &m->buckets[e->hash & (m->n_buckets - 1)];

    e->next = *bucket;
    *bucket = e;
}

static enum hw_status map_grow(struct hw_map *m)
{
    size_t n_old = m->n_buckets;
    size_t n_new = n_old ? n_old * 2 : FIRST_BUCKETS;
    struct hw_map_entry **old = m->buckets;
    struct hw_map_entry **buckets = hw_calloc(n_new, sizeof *buckets);

    if (buckets == NULL)
        return HW_ENOMEM;
    m->buckets = buckets;
    m->n_buckets = n_new;
    for (size_t i = 0; i < n_old; i++)
        for (struct hw_map_entry *e = old[i], *next; e != NULL; e = next) {
            next = e->next;
            map_put(m, e);
        }
    hw_free(old);
    return HW_OK;
}

enum hw_status hw_map_add(struct hw_map *m, struct hw_map_entry *e, struct hw_slice key)
{
    /* A map that cannot grow still works, only slower; an empty one cannot. */
    if (m->n_entries >= m->n_buckets && map_grow(m) != HW_OK && m->n_buckets == 0)
        return HW_ENOMEM;
    e->key = key;
    e->hash = hash_key(key);
    e->is_in = true;
    map_put(m, e);
    m->n_entries++;
    return HW_OK;
}

struct hw_map_entry *hw_map_find(const struct hw_map *m, struct hw_slice key)
{
    if (m->n_entries == 0)
        return NULL;
    uint64_t hash = hash_key(key);
    for (struct hw_map_entry *e = m->buckets[hash & (m->n_buckets - 1)]; e != NULL; e = e->next)
        if (e->hash == hash && hw_slice_eq(e->key, key))
            return e;
    return NULL;
}

void hw_map_remove(struct hw_map *m, struct hw_map_entry *e)
{
    if (!e->is_in)
        return;
    struct hw_map_entry **at = &m->buckets[e->hash & (m->n_buckets - 1)];
    while (*at != e) {
        HW_MUST(*at != NULL);
        at = &(*at)->next;
    }
    *at = e->next;
    e->next = NULL;
    e->is_in = false;
    m->n_entries--;
}

struct hw_map_entry *hw_map_next(const struct hw_map *m, struct hw_map_entry *after)
{
    size_t i = 0;

    if (after != NULL) {
        if (after->next != NULL)
            return after->next;
        i = (size_t)(after->hash & (m->n_buckets - 1)) + 1;
    }
    for (; i < m->n_buckets; i++)
        if (m->buckets[i] != NULL)
            return m->buckets[i];
    return NULL;
}
