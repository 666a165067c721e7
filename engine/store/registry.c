/*
 * load, catch_up -> versions of all accounts -> those that differ, some at a time -> put ->
 * on_changed ... -> on_loaded (after load).
 *
 * create, delete -> its script -> the account is read again -> the caller hears of it, so that
 * what it answers is what everybody has.
 *
 * Trouble while loading -> on_trouble, tried again after RETRY_MS; while catching up -> the next
 * beat finds the sum still different.
 */
#include "store/registry.h"

#include <stdio.h>

#include "hookwheel/alloc.h"
#include "redis/scripts.h"

enum { CHUNK = 64, RETRY_MS = 500 };

struct known_id {
    struct hw_map_entry entry;
    uint32_t w;
    char id[HW_ID_MAX];
};

struct hw_registry {
    struct hw_registry_options options;
    struct hw_store *store;
    struct hw_subscriptions subscriptions;
    struct hw_map ids; /* of struct known_id */
    uint64_t total;    /* sum of the versions in memory */
    bool is_loaded;
    bool is_load_asked; /* on_loaded is owed */
    bool is_syncing;
    bool must_sync_again; /* asked while one was under way */
    struct hw_wheel_entry retry;
    struct hw_redis_req req;
    struct hw_command command;
    char **names; /* owned: accounts to be read */
    size_t n_names, names_cap, next_name, n_asked;
};

/* ---- what Redis says of an account ---- */

static void trouble(struct hw_registry *r, const struct hw_cause *cause)
{
    r->options.events->on_trouble(r->options.data, cause);
}

static void forget_ids(struct hw_registry *r, const struct hw_account *a)
{
    for (size_t i = 0; a != NULL && i < a->n_webhooks; i++) {
        struct hw_map_entry *e = hw_map_find(&r->ids, hw_slice_str(a->webhooks[i]->id));
        if (e == NULL)
            continue;
        hw_map_remove(&r->ids, e);
        hw_free(HW_CONTAINER_OF(e, struct known_id, entry));
    }
}

static void know_id(struct hw_registry *r, const struct hw_webhook *wh)
{
    struct known_id *k = hw_calloc(1, sizeof *k);

    if (k == NULL)
        return;
    k->w = wh->w;
    memcpy(k->id, wh->id, sizeof k->id);
    if (hw_map_find(&r->ids, hw_slice_str(k->id)) != NULL ||
        hw_map_add(&r->ids, &k->entry, hw_slice_str(k->id)) != HW_OK)
        hw_free(k);
}

/* fields: w, stored, status, failures, last, disabled at, reason, cursor */
static void read_standing(struct hw_webhook_standing *s, const struct hw_reply *fields)
{
    int status = hw_webhook_status_parse(hw_reply_item(fields, 2)->text);
    struct hw_slice reason = hw_reply_item(fields, 6)->text;

    memset(s, 0, sizeof *s);
    s->status = status < 0 ? HW_WEBHOOK_DELETED : (enum hw_webhook_status)status;
    s->consecutive_failures = (unsigned)hw_reply_int(hw_reply_item(fields, 3), 0);
    s->last_delivery_ms = hw_reply_int(hw_reply_item(fields, 4), 0);
    s->disabled_ms = hw_reply_int(hw_reply_item(fields, 5), 0);
    snprintf(s->disabled_reason, sizeof s->disabled_reason, "%.*s", HW_SLICE_FMT(reason));
    (void)hw_stream_id_parse(&s->disabled_cursor, hw_reply_item(fields, 7)->text);
}

static struct hw_webhook *read_webhook(struct hw_registry *r, const struct hw_reply *fields)
{
    struct hw_webhook *wh;
    struct hw_cause cause;
    uint32_t w = (uint32_t)hw_reply_int(hw_reply_item(fields, 0), 0);
    char why[sizeof cause.note];

    if (hw_webhook_read(&wh, hw_reply_item(fields, 1)->text, &cause) != HW_OK) {
        snprintf(why, sizeof why, "%s", cause.note);
        (void)hw_cause_set(&cause, cause.status, cause.origin, cause.code,
                           "webhook number %u as stored: %.100s", (unsigned)w, why);
        trouble(r, &cause);
        return NULL;
    }
    wh->w = w;
    read_standing(&wh->standing, fields);
    return wh;
}

/* Nothing was changed but failures and last deliveries. */
static void refresh_standings(struct hw_registry *r, const struct hw_reply *reply)
{
    for (size_t i = 1; i < reply->n_items; i++) {
        const struct hw_reply *fields = &reply->items[i];
        struct hw_webhook *wh = hw_subscriptions_find(
            &r->subscriptions, (uint32_t)hw_reply_int(hw_reply_item(fields, 0), 0));
        if (wh != NULL)
            read_standing(&wh->standing, fields);
    }
}

static void put(struct hw_registry *r, struct hw_slice name, uint64_t version,
                struct hw_webhook **webhooks, size_t n)
{
    struct hw_account *a = hw_subscriptions_account(&r->subscriptions, name);
    uint64_t before = a != NULL ? a->version : 0;
    struct hw_cause cause;

    forget_ids(r, a);
    if (hw_subscriptions_put(&r->subscriptions, name, version, webhooks, n) == HW_OK)
        r->total += version - before;
    else
        trouble(r, (hw_cause_set(&cause, HW_ENOMEM, HW_ORIGIN_US, 0, "webhooks"), &cause));
    if ((a = hw_subscriptions_account(&r->subscriptions, name)) == NULL)
        return;
    for (size_t i = 0; i < a->n_webhooks; i++)
        know_id(r, a->webhooks[i]);
    r->options.events->on_changed(r->options.data, a);
}

/* reply: {version, {webhook}, ...} of accounts.lua */
static void apply(struct hw_registry *r, struct hw_slice name, const struct hw_reply *reply)
{
    struct hw_account *a = hw_subscriptions_account(&r->subscriptions, name);
    uint64_t version = (uint64_t)hw_reply_int(hw_reply_item(reply, 0), 0);
    struct hw_webhook **webhooks;
    size_t n = 0;

    if (a != NULL && a->version == version) {
        refresh_standings(r, reply);
        return;
    }
    if (a == NULL && version == 0)
        return;
    if ((webhooks = hw_calloc(reply->n_items + 1, sizeof *webhooks)) == NULL)
        return; /* the sum stays different: tried again */
    for (size_t i = 1; i < reply->n_items; i++)
        if ((webhooks[n] = read_webhook(r, &reply->items[i])) != NULL)
            n++;
    put(r, name, version, webhooks, n);
    hw_free(webhooks);
}

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
        trouble(r, cause);
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
    for (size_t i = 0; i < r->n_asked; i++)
        apply(r, hw_slice_str(r->names[r->next_name + i]), hw_reply_item(reply, i));
    r->next_name += r->n_asked;
    read_chunk(r);
}

static void begin_accounts(struct hw_registry *r, struct hw_command *c)
{
    hw_command_reset(c);
    hw_command_eval(c, &hw_script_accounts, 0);
    hw_command_str(c, r->store->keys.tag);
}

static void read_chunk(struct hw_registry *r)
{
    if (r->next_name == r->n_names) {
        sync_done(r);
        return;
    }
    begin_accounts(r, &r->command);
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

static bool is_listed(const struct hw_reply *versions, const char *name)
{
    for (size_t i = 0; i + 1 < versions->n_items; i += 2)
        if (hw_slice_is(versions->items[i].text, name))
            return true;
    return false;
}

static size_t count_known(const struct hw_registry *r)
{
    size_t n = 0;

    for (struct hw_map_entry *e = hw_map_next(&r->subscriptions.accounts, NULL); e != NULL;
         e = hw_map_next(&r->subscriptions.accounts, e))
        n += HW_CONTAINER_OF(e, struct hw_account, entry)->version != 0;
    return n;
}

static size_t count_both(const struct hw_registry *r, const struct hw_reply *versions)
{
    size_t n = 0;

    for (size_t i = 0; i + 1 < versions->n_items; i += 2) {
        struct hw_account *a =
            hw_subscriptions_account(&r->subscriptions, versions->items[i].text);
        n += a != NULL && a->version != 0;
    }
    return n;
}

/* What Redis does not know any more (it was emptied) is not there. */
static void drop_unlisted(struct hw_registry *r, const struct hw_reply *versions)
{
    struct hw_map *accounts = &r->subscriptions.accounts;

    if (count_known(r) == count_both(r, versions))
        return;
    for (struct hw_map_entry *e = hw_map_next(accounts, NULL); e != NULL;
         e = hw_map_next(accounts, e)) {
        struct hw_account *a = HW_CONTAINER_OF(e, struct hw_account, entry);
        if (a->version != 0 && !is_listed(versions, a->name))
            put(r, hw_slice_str(a->name), 0, NULL, 0);
    }
}

static bool list_differing(struct hw_registry *r, const struct hw_reply *versions)
{
    for (size_t i = 0; i + 1 < versions->n_items; i += 2) {
        struct hw_slice name = versions->items[i].text;
        uint64_t version = (uint64_t)hw_reply_int(&versions->items[i + 1], 0);
        struct hw_account *a = hw_subscriptions_account(&r->subscriptions, name);
        if (!hw_slice_is(name, "*") && (a == NULL || a->version != version) &&
            !add_name(r, name))
            return false;
    }
    return true;
}

static void on_versions(struct hw_redis_req *req, enum hw_redis_trouble what,
                        const struct hw_reply *reply, const struct hw_cause *cause)
{
    struct hw_registry *r = HW_CONTAINER_OF(req, struct hw_registry, req);

    if (what != HW_REDIS_FINE || !list_differing(r, reply)) {
        sync_failed(r, cause);
        return;
    }
    drop_unlisted(r, reply);
    read_chunk(r);
}

static void sync_begin(struct hw_registry *r)
{
    r->must_sync_again = r->is_syncing;
    if (r->is_syncing)
        return;
    hw_loop_cancel(r->store->loop, &r->retry);
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
    if (r->is_loaded && !r->is_syncing && total != r->total)
        sync_begin(r);
}

/* ---- looking up ---- */

struct hw_subscriptions *hw_registry_subscriptions(struct hw_registry *r)
{
    return &r->subscriptions;
}

struct hw_webhook *hw_registry_find_id(const struct hw_registry *r, struct hw_slice id)
{
    struct hw_map_entry *e = hw_map_find(&r->ids, id);

    return e == NULL ? NULL
                     : hw_subscriptions_find(&r->subscriptions,
                                             HW_CONTAINER_OF(e, struct known_id, entry)->w);
}

/* ---- operations ---- */

void hw_registry_op_init(struct hw_registry_op *op)
{
    memset(op, 0, sizeof *op);
    hw_command_init(&op->command);
}

void hw_registry_op_close(struct hw_registry_op *op)
{
    hw_command_close(&op->command);
}

static void on_reread(struct hw_redis_req *req, enum hw_redis_trouble what,
                      const struct hw_reply *reply, const struct hw_cause *cause)
{
    struct hw_registry_op *op = HW_CONTAINER_OF(req, struct hw_registry_op, req);

    (void)cause;
    if (what == HW_REDIS_FINE)
        apply(op->registry, hw_slice_str(op->account), hw_reply_item(reply, 0));
    else
        op->result = HW_REGISTRY_UNAVAILABLE;
    op->cb(op, op->result);
}

static enum hw_status reread(struct hw_registry_op *op)
{
    begin_accounts(op->registry, &op->command);
    hw_command_str(&op->command, op->account);
    return hw_redis_send(op->registry->store->work, &op->req, &op->command, on_reread);
}

/* What the script said; then the account as it is now. */
static void changed(struct hw_registry_op *op, enum hw_registry_result result)
{
    op->result = result;
    if (result != HW_REGISTRY_UNAVAILABLE && reread(op) == HW_OK)
        return;
    op->cb(op, HW_REGISTRY_UNAVAILABLE);
}

static void on_create(struct hw_redis_req *req, enum hw_redis_trouble what,
                      const struct hw_reply *reply, const struct hw_cause *cause)
{
    struct hw_registry_op *op = HW_CONTAINER_OF(req, struct hw_registry_op, req);
    int64_t w = what == HW_REDIS_FINE ? hw_reply_int(reply, 0) : 0;

    (void)cause;
    op->w = w > 0 ? (uint32_t)w : 0;
    changed(op, what != HW_REDIS_FINE ? HW_REGISTRY_UNAVAILABLE
                : w > 0               ? HW_REGISTRY_DONE
                                      : HW_REGISTRY_LIMIT);
}

static void on_delete(struct hw_redis_req *req, enum hw_redis_trouble what,
                      const struct hw_reply *reply, const struct hw_cause *cause)
{
    struct hw_registry_op *op = HW_CONTAINER_OF(req, struct hw_registry_op, req);

    (void)cause;
    changed(op, what != HW_REDIS_FINE         ? HW_REGISTRY_UNAVAILABLE
                : hw_reply_int(reply, 0) == 1 ? HW_REGISTRY_DONE
                                              : HW_REGISTRY_NOT_FOUND);
}

static enum hw_status op_begin(struct hw_registry *r, struct hw_registry_op *op,
                               struct hw_slice account, hw_registry_cb cb)
{
    if (account.len == 0 || account.len >= sizeof op->account)
        return HW_EINVAL;
    op->registry = r;
    op->cb = cb;
    op->result = HW_REGISTRY_DONE;
    memcpy(op->account, account.data, account.len);
    op->account[account.len] = '\0';
    return HW_OK;
}

enum hw_status hw_registry_refresh(struct hw_registry *r, struct hw_registry_op *op,
                                   struct hw_slice account, hw_registry_cb cb)
{
    enum hw_status status = op_begin(r, op, account, cb);

    return status == HW_OK ? reread(op) : status;
}

static void on_whose(struct hw_redis_req *req, enum hw_redis_trouble what,
                     const struct hw_reply *reply, const struct hw_cause *cause)
{
    struct hw_registry_op *op = HW_CONTAINER_OF(req, struct hw_registry_op, req);
    struct hw_slice account = what == HW_REDIS_FINE ? reply->text : hw_slice(NULL, 0);

    (void)cause;
    if (what == HW_REDIS_FINE && op_begin(op->registry, op, account, op->cb) != HW_OK)
        op->cb(op, HW_REGISTRY_NOT_FOUND);
    else
        changed(op, what == HW_REDIS_FINE ? HW_REGISTRY_DONE : HW_REGISTRY_UNAVAILABLE);
}

enum hw_status hw_registry_locate(struct hw_registry *r, struct hw_registry_op *op,
                                  struct hw_slice id, uint32_t w, hw_registry_cb cb)
{
    op->registry = r;
    op->cb = cb;
    hw_store_eval(r->store, &op->command, &hw_script_whose, NULL, NULL);
    hw_command_add(&op->command, id);
    hw_command_u64(&op->command, w);
    return hw_redis_send(r->store->work, &op->req, &op->command, on_whose);
}

enum hw_status hw_registry_create(struct hw_registry *r, struct hw_registry_op *op,
                                  const struct hw_webhook *wh, hw_registry_cb cb)
{
    enum hw_status status = op_begin(r, op, hw_slice_str(wh->account), cb);
    struct hw_buf stored;

    if (status != HW_OK)
        return status;
    hw_buf_init(&stored, 1024 * 1024);
    status = hw_webhook_write(wh, &stored);
    if (status == HW_OK) {
        hw_store_eval(r->store, &op->command, &hw_script_create, NULL, NULL);
        hw_command_u64(&op->command, r->options.max_webhooks);
        hw_command_str(&op->command, op->account);
        hw_command_str(&op->command, wh->id);
        hw_command_add(&op->command, hw_buf_slice(&stored));
        status = hw_redis_send(r->store->work, &op->req, &op->command, on_create);
    }
    hw_buf_close(&stored);
    return status;
}

enum hw_status hw_registry_delete(struct hw_registry *r, struct hw_registry_op *op,
                                  const struct hw_webhook *wh, hw_unix_ms now,
                                  hw_registry_cb cb)
{
    enum hw_status status = op_begin(r, op, hw_slice_str(wh->account), cb);

    if (status != HW_OK)
        return status;
    op->w = wh->w;
    hw_store_eval(r->store, &op->command, &hw_script_delete, NULL, NULL);
    hw_command_str(&op->command, op->account);
    hw_command_u64(&op->command, wh->w);
    hw_command_fmt(&op->command, "%lld", (long long)now);
    return hw_redis_send(r->store->work, &op->req, &op->command, on_delete);
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
    hw_subscriptions_init(&r->subscriptions);
    hw_map_init(&r->ids);
    hw_command_init(&r->command);
    hw_wheel_entry_init(&r->retry, on_retry);
    *out = r;
    return HW_OK;
}

void hw_registry_close(struct hw_registry *r)
{
    struct hw_map_entry *e;

    if (r == NULL)
        return;
    hw_loop_cancel(r->store->loop, &r->retry);
    while ((e = hw_map_next(&r->ids, NULL)) != NULL) {
        hw_map_remove(&r->ids, e);
        hw_free(HW_CONTAINER_OF(e, struct known_id, entry));
    }
    hw_map_close(&r->ids);
    hw_subscriptions_close(&r->subscriptions);
    hw_command_close(&r->command);
    free_names(r);
    hw_free(r->names);
    hw_free(r);
}
