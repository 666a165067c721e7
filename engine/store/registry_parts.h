/*
 * registry_parts - what a registry is made of.
 *
 * registry.c loads it and catches up, registry_ops.c changes what is in Redis.  Nothing else
 * includes this.
 */
#ifndef HW_STORE_REGISTRY_PARTS_H
#define HW_STORE_REGISTRY_PARTS_H

#include "store/registry.h"
#include "store/roster.h"

struct hw_registry {
    struct hw_registry_options options;
    struct hw_store *store; /* borrowed */
    struct hw_roster roster;
    bool is_loaded;
    bool is_load_asked; /* on_loaded is owed */
    bool is_syncing;
    bool must_sync_again; /* asked while one was under way */
    struct hw_wheel_entry retry;
    struct hw_redis_req req;
    struct hw_command command;
    char **names; /* owned: accounts and books to be read */
    size_t n_names, names_cap, next_name, n_asked;
};

#endif
