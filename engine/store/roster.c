#include "store/roster.h"

#include <stdio.h>

#include "hookwheel/alloc.h"
#include "redis/scripts.h"

struct known_id {
    struct hw_map_entry entry;
    uint32_t w;
    char id[HW_ID_MAX];
};

static const char *const book_names[] = { HW_BOOK_TYPES, HW_BOOK_TOKENS };
enum { N_BOOKS = sizeof book_names / sizeof *book_names };

/* ---- life ---- */

void hw_roster_init(struct hw_roster *r)
{
    hw_subscriptions_init(&r->subscriptions);
    hw_map_init(&r->ids);
    hw_books_init(&r->books);
    r->subscriptions.catalogue = &r->books.catalogue;
    r->total = 0;
}

static void forget_id(struct hw_roster *r, struct hw_map_entry *e)
{
    hw_map_remove(&r->ids, e);
    hw_free(HW_CONTAINER_OF(e, struct known_id, entry));
}

void hw_roster_close(struct hw_roster *r)
{
    struct hw_map_entry *e;

    while ((e = hw_map_next(&r->ids, NULL)) != NULL)
        forget_id(r, e);
    hw_map_close(&r->ids);
    hw_subscriptions_close(&r->subscriptions);
    hw_books_close(&r->books);
}

/* ---- webhooks by their ids ---- */

static void forget_ids(struct hw_roster *r, const struct hw_account *a)
{
    for (size_t i = 0; a != NULL && i < a->n_webhooks; i++) {
        struct hw_map_entry *e = hw_map_find(&r->ids, hw_slice_str(a->webhooks[i]->id));
        if (e != NULL)
            forget_id(r, e);
    }
}

static void know_id(struct hw_roster *r, const struct hw_webhook *wh)
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

struct hw_webhook *hw_roster_find_id(const struct hw_roster *r, struct hw_slice id)
{
    struct hw_map_entry *e = hw_map_find(&r->ids, id);

    return e == NULL ? NULL
                     : hw_subscriptions_find(&r->subscriptions,
                                             HW_CONTAINER_OF(e, struct known_id, entry)->w);
}

/* ---- what Redis says of an account ---- */

void hw_roster_ask(const struct hw_store *store, struct hw_command *c)
{
    hw_command_reset(c);
    hw_command_eval(c, &hw_script_accounts, 0);
    hw_command_str(c, store->keys.tag);
}

/* fields: w, stored, status, failures, last, disabled at, reason, cursor, revision */
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
    s->revision = (uint64_t)hw_reply_int(hw_reply_item(fields, 8), 0);
}

static struct hw_webhook *read_webhook(struct hw_roster *r, const struct hw_reply *fields)
{
    struct hw_webhook *wh;
    struct hw_cause cause;
    uint32_t w = (uint32_t)hw_reply_int(hw_reply_item(fields, 0), 0);
    char why[sizeof cause.note];

    if (hw_webhook_read(&wh, hw_reply_item(fields, 1)->text, &cause) != HW_OK) {
        snprintf(why, sizeof why, "%s", cause.note);
        (void)hw_cause_set(&cause, cause.status, cause.origin, cause.code,
                           "webhook number %u as stored: %.100s", (unsigned)w, why);
        r->on_trouble(r->data, &cause);
        return NULL;
    }
    wh->w = w;
    read_standing(&wh->standing, fields);
    return wh;
}

/* Nothing was changed but failures and last deliveries. */
static void refresh_standings(struct hw_roster *r, const struct hw_reply *item)
{
    for (size_t i = 1; i < item->n_items; i++) {
        const struct hw_reply *fields = &item->items[i];
        struct hw_webhook *wh = hw_subscriptions_find(
            &r->subscriptions, (uint32_t)hw_reply_int(hw_reply_item(fields, 0), 0));
        if (wh != NULL)
            read_standing(&wh->standing, fields);
    }
}

static enum hw_status put(struct hw_roster *r, struct hw_slice name, uint64_t version,
                          struct hw_webhook **webhooks, size_t n)
{
    struct hw_account *a = hw_subscriptions_account(&r->subscriptions, name);
    uint64_t before = a != NULL ? a->version : 0;
    struct hw_cause cause;
    enum hw_status status;

    forget_ids(r, a);
    status = hw_subscriptions_put(&r->subscriptions, name, version, webhooks, n);
    if (status == HW_OK)
        r->total += version - before;
    else
        r->on_trouble(r->data,
                      (hw_cause_set(&cause, status, HW_ORIGIN_US, 0, "webhooks"), &cause));
    if ((a = hw_subscriptions_account(&r->subscriptions, name)) == NULL)
        return status;
    for (size_t i = 0; i < a->n_webhooks; i++)
        know_id(r, a->webhooks[i]);
    r->on_changed(r->data, a);
    return status;
}

static enum hw_status replace_account(struct hw_roster *r, struct hw_slice name,
                                      uint64_t version, const struct hw_reply *item)
{
    struct hw_webhook **webhooks = hw_calloc(item->n_items + 1, sizeof *webhooks);
    enum hw_status status;
    size_t n = 0;

    if (webhooks == NULL)
        return HW_ENOMEM;
    for (size_t i = 1; i < item->n_items; i++)
        if ((webhooks[n] = read_webhook(r, &item->items[i])) != NULL)
            n++;
    status = put(r, name, version, webhooks, n);
    hw_free(webhooks);
    return status;
}

static bool has_content(const struct hw_account *a)
{
    return a != NULL && (a->version != 0 || a->n_webhooks > 0);
}

/* item: {version, {webhook}, ...} */
static enum hw_status apply_account(struct hw_roster *r, struct hw_slice name,
                                    const struct hw_reply *item)
{
    struct hw_account *a = hw_subscriptions_account(&r->subscriptions, name);
    uint64_t version = (uint64_t)hw_reply_int(hw_reply_item(item, 0), 0);

    if (version == 0 && !has_content(a))
        return HW_OK;
    if (a == NULL || version == 0 || a->version != version)
        return replace_account(r, name, version, item);
    refresh_standings(r, item);
    return HW_OK;
}

/* ---- what Redis says of a book ---- */

static void on_bad(void *data, const struct hw_cause *cause)
{
    struct hw_roster *r = data;

    r->on_trouble(r->data, cause);
}

static enum hw_status apply_book(struct hw_roster *r, struct hw_slice name,
                                 const struct hw_reply *item)
{
    uint64_t before = hw_books_version(&r->books, name);
    enum hw_status status = hw_books_apply(&r->books, name, item, on_bad, r);

    r->total += hw_books_version(&r->books, name) - before;
    return status;
}

enum hw_status hw_roster_apply(struct hw_roster *r, struct hw_slice name,
                               const struct hw_reply *item)
{
    return hw_books_is_name(name) ? apply_book(r, name, item) : apply_account(r, name, item);
}

/* ---- versions ---- */

uint64_t hw_roster_version(const struct hw_roster *r, struct hw_slice name)
{
    const struct hw_account *a;

    if (hw_books_is_name(name))
        return hw_books_version(&r->books, name);
    a = hw_subscriptions_account(&r->subscriptions, name);
    return a != NULL ? a->version : 0;
}

static bool is_listed(const struct hw_reply *versions, const char *name)
{
    for (size_t i = 0; i + 1 < versions->n_items; i += 2)
        if (hw_slice_is(versions->items[i].text, name))
            return true;
    return false;
}

static size_t count_known(const struct hw_roster *r)
{
    size_t n = 0;

    for (struct hw_map_entry *e = hw_map_next(&r->subscriptions.accounts, NULL); e != NULL;
         e = hw_map_next(&r->subscriptions.accounts, e))
        n += has_content(HW_CONTAINER_OF(e, struct hw_account, entry));
    return n;
}

static size_t count_both(const struct hw_roster *r, const struct hw_reply *versions)
{
    size_t n = 0;

    for (size_t i = 0; i + 1 < versions->n_items; i += 2)
        n += has_content(hw_subscriptions_account(&r->subscriptions, versions->items[i].text));
    return n;
}

static enum hw_status keep_accounts(struct hw_roster *r, const struct hw_reply *versions)
{
    struct hw_map *accounts = &r->subscriptions.accounts;
    enum hw_status status = HW_OK;

    if (count_known(r) == count_both(r, versions))
        return HW_OK;
    for (struct hw_map_entry *e = hw_map_next(accounts, NULL); e != NULL;
         e = hw_map_next(accounts, e)) {
        struct hw_account *a = HW_CONTAINER_OF(e, struct hw_account, entry);
        if (has_content(a) && !is_listed(versions, a->name) &&
            put(r, hw_slice_str(a->name), 0, NULL, 0) != HW_OK)
            status = HW_ENOMEM;
    }
    return status;
}

enum hw_status hw_roster_keep(struct hw_roster *r, const struct hw_reply *versions)
{
    static const struct hw_reply nothing = { .kind = HW_REPLY_ARRAY };
    enum hw_status status = keep_accounts(r, versions);

    for (size_t i = 0; i < N_BOOKS && status == HW_OK; i++)
        if (!is_listed(versions, book_names[i]))
            status = apply_book(r, hw_slice_str(book_names[i]), &nothing);
    return status;
}

void hw_roster_doubt(struct hw_roster *r)
{
    struct hw_map *accounts = &r->subscriptions.accounts;

    for (struct hw_map_entry *e = hw_map_next(accounts, NULL); e != NULL;
         e = hw_map_next(accounts, e))
        HW_CONTAINER_OF(e, struct hw_account, entry)->version = 0;
    r->books.types_version = r->books.tokens_version = 0;
    r->total = 0;
}
