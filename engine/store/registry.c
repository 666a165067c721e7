/*
 * load, catch_up -> versions of all accounts and books -> those that differ, some at a time ->
 * into the roster -> on_changed ... -> on_loaded (after load).
 *
 * Trouble while loading -> on_trouble, tried again after RETRY_MS; while catching up -> the next
 * beat finds the sum still different.
 */
#include "hookwheel/alloc.h"
#include "store/registry_parts.h"

enum { CHUNK = 64, RETRY_MS = 500 };

/* ---- loading and catching up ---- */

static void sync_begin(struct hw_registry *r);

static void free_names(struct hw_registry *r)
{
    for (size_t i = 0; i < r->n_names; i++)
        hw_free(r->names[i]);
    r->n_names = r->next_name = 0;
}

static void sync_failed(struct hw_registry *r, const struct hw_cause *cause)
{
    r->is_syncing = false;
    free_names(r);
    if (r->is_load_asked)
        hw_loop_arm(r->store->loop, &r->retry, RETRY_MS);
    if (cause != NULL)
        r->options.events->on_trouble(r->options.data, cause);
}

static void sync_done(struct hw_registry *r)
{
    bool was_asked = r->is_load_asked;

    r->is_syncing = false;
    free_names(r);
    if (r->must_sync_again) {
        sync_begin(r);
        return;
    }
    r->is_load_asked = false;
    r->is_loaded = true;
    if (was_asked)
        r->options.events->on_loaded(r->options.data);
}

static void read_chunk(struct hw_registry *r);

static void on_chunk(struct hw_redis_req *req, enum hw_redis_trouble what,
                     const struct hw_reply *reply, const struct hw_cause *cause)
{
    struct hw_registry *r = HW_CONTAINER_OF(req, struct hw_registry, req);

    if (what != HW_REDIS_FINE) {
        sync_failed(r, cause);
        return;
    }
    /* One that there is no memory for differs still: the next beat finds it again. */
    for (size_t i = 0; i < r->n_asked; i++)
        hw_roster_apply(&r->roster, hw_slice_str(r->names[r->next_name + i]),
                        hw_reply_item(reply, i));
    r->next_name += r->n_asked;
    read_chunk(r);
}

static void read_chunk(struct hw_registry *r)
{
    if (r->next_name == r->n_names) {
        sync_done(r);
        return;
    }
    hw_roster_ask(r->store, &r->command);
    for (r->n_asked = 0; r->n_asked < CHUNK && r->next_name + r->n_asked < r->n_names;)
        hw_command_str(&r->command, r->names[r->next_name + r->n_asked++]);
    if (hw_redis_send(r->store->work, &r->req, &r->command, on_chunk) != HW_OK)
        sync_failed(r, NULL);
}

static bool add_name(struct hw_registry *r, struct hw_slice name)
{
    char **names = hw_store_grow(r->names, r->n_names, &r->names_cap, sizeof *names);

    if (names == NULL)
        return false;
    r->names = names;
    names[r->n_names] = hw_strndup(name.data, name.len);
    if (names[r->n_names] == NULL)
        return false;
    r->n_names++;
    return true;
}

static bool list_differing(struct hw_registry *r, const struct hw_reply *versions)
{
    for (size_t i = 0; i + 1 < versions->n_items; i += 2) {
        struct hw_slice name = versions->items[i].text;
        uint64_t version = (uint64_t)hw_reply_int(&versions->items[i + 1], 0);
        if (!hw_slice_is(name, "*") && hw_roster_version(&r->roster, name) != version &&
            !add_name(r, name))
            return false;
    }
    return true;
}

static void on_versions(struct hw_redis_req *req, enum hw_redis_trouble what,
                        const struct hw_reply *reply, const struct hw_cause *cause)
{
    struct hw_registry *r = HW_CONTAINER_OF(req, struct hw_registry, req);

    if (what != HW_REDIS_FINE || hw_roster_keep(&r->roster, reply) != HW_OK ||
        !list_differing(r, reply)) {
        sync_failed(r, cause);
        return;
    }
    read_chunk(r);
}

static void sync_begin(struct hw_registry *r)
{
    r->must_sync_again = r->is_syncing;
    if (r->is_syncing)
        return;
    hw_loop_cancel(r->store->loop, &r->retry);
    if (r->is_load_asked)
        hw_roster_doubt(&r->roster);
    hw_command_reset(&r->command);
    hw_command_str(&r->command, "HGETALL");
    hw_command_fmt(&r->command, "%sregv", r->store->keys.tag);
    r->is_syncing = hw_redis_send(r->store->work, &r->req, &r->command, on_versions) == HW_OK;
    if (!r->is_syncing)
        sync_failed(r, NULL);
}

static void on_retry(struct hw_wheel_entry *e)
{
    sync_begin(HW_CONTAINER_OF(e, struct hw_registry, retry));
}

void hw_registry_load(struct hw_registry *r)
{
    r->is_load_asked = true;
    sync_begin(r);
}

bool hw_registry_is_loaded(const struct hw_registry *r)
{
    return r->is_loaded;
}

void hw_registry_catch_up(struct hw_registry *r, uint64_t total)
{
    if (r->is_loaded && !r->is_syncing && total != r->roster.total)
        sync_begin(r);
}

/* ---- looking up ---- */

struct hw_subscriptions *hw_registry_subscriptions(struct hw_registry *r)
{
    return &r->roster.subscriptions;
}

const struct hw_books *hw_registry_books(const struct hw_registry *r)
{
    return &r->roster.books;
}

struct hw_webhook *hw_registry_find_id(const struct hw_registry *r, struct hw_slice id)
{
    return hw_roster_find_id(&r->roster, id);
}

/* ---- life ---- */

enum hw_status hw_registry_open(struct hw_registry **out,
                                const struct hw_registry_options *options,
                                struct hw_cause *cause)
{
    struct hw_registry *r = hw_calloc(1, sizeof *r);

    if (r == NULL)
        return hw_cause_set(cause, HW_ENOMEM, HW_ORIGIN_US, 0, "registry");
    r->options = *options;
    r->store = options->store;
    r->roster.on_changed = options->events->on_changed;
    r->roster.on_trouble = options->events->on_trouble;
    r->roster.data = options->data;
    hw_roster_init(&r->roster);
    hw_command_init(&r->command);
    hw_wheel_entry_init(&r->retry, on_retry);
    *out = r;
    return HW_OK;
}

void hw_registry_close(struct hw_registry *r)
{
    if (r == NULL)
        return;
    hw_loop_cancel(r->store->loop, &r->retry);
    hw_roster_close(&r->roster);
    hw_command_close(&r->command);
    free_names(r);
    hw_free(r->names);
    hw_free(r);
}
