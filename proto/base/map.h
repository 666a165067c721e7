/*
 * map - an intrusive hash map from bytes to the object that holds the entry.
 *
 * Memory    the map owns its table of buckets only; entries are members of the
 *           objects.  The key is borrowed from the object and must not change
 *           while the entry is in the map.
 * Hash      SipHash-1-3 under a key drawn once a process, so that names chosen
 *           by strangers cannot be aimed at one bucket.
 * Cost      find, add, remove O(1) on average; the table doubles when full.
 * Errors    add can fail with HW_ENOMEM; nothing has changed then.
 */
#ifndef HW_BASE_MAP_H
#define HW_BASE_MAP_H

#include "base/slice.h"
#include "hookwheel/status.h"

struct hw_map_entry {
    struct hw_map_entry *next; /* in its bucket */
    struct hw_slice key;       /* borrowed from the object around the entry */
    uint64_t hash;
    bool is_in; /* in a map now */
};

struct hw_map {
    struct hw_map_entry **buckets; /* owned */
    size_t n_buckets;              /* a power of two, or 0 */
    size_t n_entries;
};

void hw_map_init(struct hw_map *m);

/* Frees the table; entries left in it are forgotten, not touched. */
void hw_map_close(struct hw_map *m);

/* Key the hash; once, at start, before any map is used (tests may leave it). */
void hw_map_seed(const unsigned char key[16]);

/* Add under `key`, which must not be in it yet. */
HW_MUST_USE enum hw_status hw_map_add(struct hw_map *m, struct hw_map_entry *e, struct hw_slice key);

struct hw_map_entry *hw_map_find(const struct hw_map *m, struct hw_slice key);

/* Does nothing for an entry that is in no map. */
void hw_map_remove(struct hw_map *m, struct hw_map_entry *e);

/* Walk in no particular order: start with NULL; NULL: the end.  Nothing may be
 * added or removed meanwhile, but for this: fetch the next, then remove the one before. */
struct hw_map_entry *hw_map_next(const struct hw_map *m, struct hw_map_entry *after);

#endif
