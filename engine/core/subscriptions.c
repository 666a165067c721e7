#include "core/subscriptions.h"

#include "hookwheel/alloc.h"

void hw_subscriptions_init(struct hw_subscriptions *s)
{
    *s = (struct hw_subscriptions){ 0 };
    hw_map_init(&s->accounts);
}

static void release_all(struct hw_webhook **webhooks, size_t n)
{
    for (size_t i = 0; i < n; i++)
        hw_webhook_release(webhooks[i]);
}

static void account_free(struct hw_account *a)
{
    release_all(a->webhooks, a->n_webhooks);
    hw_free(a->webhooks);
    hw_free(a->name);
    hw_free(a);
}

static struct hw_account *account_of(struct hw_map_entry *entry)
{
    return HW_CONTAINER_OF(entry, struct hw_account, entry);
}

void hw_subscriptions_close(struct hw_subscriptions *s)
{
    struct hw_map_entry *entry;

    while ((entry = hw_map_next(&s->accounts, NULL)) != NULL) {
        hw_map_remove(&s->accounts, entry);
        account_free(account_of(entry));
    }
    hw_map_close(&s->accounts);
    hw_free(s->by_number);
    hw_subscriptions_init(s);
}

struct hw_account *hw_subscriptions_account(const struct hw_subscriptions *s, struct hw_slice name)
{
    struct hw_map_entry *entry = hw_map_find(&s->accounts, name);

    return entry ? account_of(entry) : NULL;
}

struct hw_webhook *hw_subscriptions_find(const struct hw_subscriptions *s, uint32_t w)
{
    return w < s->n_numbers ? s->by_number[w] : NULL;
}

static struct hw_account *account_new(struct hw_subscriptions *s, struct hw_slice name)
{
    struct hw_account *a = hw_calloc(1, sizeof *a);

    if (a == NULL)
        return NULL;
    a->name = hw_strndup(name.data, name.len);
    if (a->name == NULL || hw_map_add(&s->accounts, &a->entry, hw_slice(a->name, name.len)) != HW_OK) {
        hw_free(a->name);
        hw_free(a);
        return NULL;
    }
    return a;
}

/* Room in by_number for every one of them. */
static enum hw_status reserve_numbers(struct hw_subscriptions *s, struct hw_webhook **webhooks, size_t n)
{
    size_t need = s->n_numbers;

    for (size_t i = 0; i < n; i++)
        if (webhooks[i]->w >= need)
            need = (size_t)webhooks[i]->w + 1;
    if (need == s->n_numbers)
        return HW_OK;
    need += need / 2;
    struct hw_webhook **grown = hw_realloc(s->by_number, need * sizeof *grown);
    if (grown == NULL)
        return HW_ENOMEM;
    for (size_t i = s->n_numbers; i < need; i++)
        grown[i] = NULL;
    s->by_number = grown;
    s->n_numbers = need;
    return HW_OK;
}

enum hw_status hw_subscriptions_put(struct hw_subscriptions *s, struct hw_slice account,
                                    uint64_t version, struct hw_webhook **webhooks,
                                    size_t n_webhooks)
{
    struct hw_account *a = hw_subscriptions_account(s, account);
    struct hw_webhook **copy = hw_malloc(n_webhooks * sizeof *copy);

    if (copy == NULL || reserve_numbers(s, webhooks, n_webhooks) != HW_OK ||
        (a == NULL && (a = account_new(s, account)) == NULL)) {
        hw_free(copy);
        release_all(webhooks, n_webhooks);
        return HW_ENOMEM;
    }
    for (size_t i = 0; i < a->n_webhooks; i++)
        s->by_number[a->webhooks[i]->w] = NULL;
    release_all(a->webhooks, a->n_webhooks);
    hw_free(a->webhooks);
    for (size_t i = 0; i < n_webhooks; i++) {
        copy[i] = webhooks[i];
        s->by_number[webhooks[i]->w] = webhooks[i];
    }
    a->webhooks = copy;
    a->n_webhooks = n_webhooks;
    a->version = version;
    return HW_OK;
}

/* May its creator read such events?  The engine's own go wherever they are named. */
static bool may_have(const struct hw_subscriptions *s, const struct hw_webhook *wh,
                     struct hw_slice type)
{
    return wh->reads_all || s->catalogue == NULL ||
           hw_slice_starts(type, HW_SLICE("webhook.")) ||
           hw_catalogue_may_read(s->catalogue, &wh->readable, type, NULL);
}

size_t hw_subscriptions_match(const struct hw_subscriptions *s,
                              const struct hw_account *account, struct hw_slice type,
                              struct hw_slice subject, enum hw_level level,
                              struct hw_webhook **out, size_t max)
{
    size_t n = 0;

    for (size_t i = 0; i < account->n_webhooks; i++) {
        struct hw_webhook *wh = account->webhooks[i];
        if (!hw_webhook_matches(wh, type, subject, level) || !may_have(s, wh, type))
            continue;
        if (n < max)
            out[n] = wh;
        n++;
    }
    return n;
}

bool hw_subscriptions_wants(const struct hw_subscriptions *s, const struct hw_webhook *wh,
                            struct hw_slice type, struct hw_slice subject, enum hw_level level)
{
    return hw_webhook_wants(wh, type, subject, level) && may_have(s, wh, type);
}

size_t hw_subscriptions_count(const struct hw_subscriptions *s, enum hw_webhook_status status)
{
    size_t n = 0;

    for (size_t w = 0; w < s->n_numbers; w++)
        n += s->by_number[w] != NULL && s->by_number[w]->standing.status == status;
    return n;
}
