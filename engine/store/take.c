#include "store/take.h"

#include <stdio.h>

#include "hookwheel/alloc.h"
#include "redis/scripts.h"
#include "store/ledger.h"

enum {
    TAKE_MAX = 1000, /* a script's unpack has its bounds */
    TAKE_BYTES = 1024 * 1024,
    HEAD_FIELDS = 2, /* of take.lua's reply: in front, */
    ITEM_FIELDS = 8  /* and of each delivery */
};

void hw_take_init(struct hw_take *t)
{
    memset(t, 0, sizeof *t);
    hw_command_init(&t->command);
}

void hw_take_close(struct hw_take *t)
{
    hw_command_close(&t->command);
    hw_free(t->items);
    t->items = NULL;
}

/* ---- reading ---- */

/* Up to the next colon, which is taken too. */
static struct hw_slice next_part(struct hw_slice *rest)
{
    size_t colon = hw_slice_find(*rest, ':');
    struct hw_slice part = hw_slice(rest->data, colon);

    *rest = hw_slice_from(*rest, colon + 1);
    return part;
}

static uint64_t next_number(struct hw_slice *rest)
{
    uint64_t n = 0;

    (void)hw_slice_u64(next_part(rest), UINT64_MAX, &n);
    return n;
}

static bool read_key(struct hw_delivery_key *key, struct hw_slice text)
{
    uint64_t w;
    size_t colon = hw_slice_find(text, ':');

    if (!hw_slice_u64(hw_slice(text.data, colon), UINT32_MAX, &w) ||
        !hw_slice_u64(hw_slice_from(text, colon + 1), UINT64_MAX, &key->n))
        return false;
    key->w = (uint32_t)w;
    return true;
}

/* "attempts:crashes:stamp:cursor:account" */
static bool read_owned(struct hw_taken *item, struct hw_slice value)
{
    item->attempts = (unsigned)next_number(&value);
    item->crashes = (unsigned)next_number(&value);
    item->stamp_us = next_number(&value);
    if (!hw_stream_id_parse(&item->cursor, next_part(&value)))
        return false;
    item->account = value;
    return true;
}

static bool read_item(struct hw_taken *item, const struct hw_reply *fields)
{
    memset(item, 0, sizeof *item);
    item->w = (uint32_t)hw_reply_int(&fields[0], 0);
    item->n = (uint64_t)hw_reply_int(&fields[1], 0);
    item->record = fields[3].text;
    item->traceparent = fields[4].text;
    item->state = fields[5].text;
    item->due_ms = hw_reply_int(&fields[6], 0);
    item->has_body = hw_reply_int(&fields[7], 0) == 1;
    return read_owned(item, fields[2].text);
}

static size_t read_items(struct hw_taken *items, const struct hw_reply *reply)
{
    size_t n = 0;

    for (size_t i = HEAD_FIELDS; i + ITEM_FIELDS <= reply->n_items; i += ITEM_FIELDS)
        if (read_item(&items[n], &reply->items[i]))
            n++;
    return n;
}

/* ---- asking ---- */

static void on_take(struct hw_redis_req *req, enum hw_redis_trouble what,
                    const struct hw_reply *reply, const struct hw_cause *cause)
{
    struct hw_take *t = HW_CONTAINER_OF(req, struct hw_take, req);
    struct hw_taken *items = t->items;
    size_t n = 0;
    uint64_t n_left = 0;

    (void)cause;
    t->is_busy = false;
    t->items = NULL; /* t may be gone when cb returns */
    if (what == HW_REDIS_FINE) {
        n = read_items(items, reply);
        n_left = (uint64_t)hw_reply_int(hw_reply_item(reply, 0), 0);
        t->n_fill_left = (uint64_t)hw_reply_int(hw_reply_item(reply, 1), 0);
        if (t->is_refill)
            hw_ledger_tell_waiting(t->ledger, t->w, n_left);
    }
    t->cb(t, what, items, n, n_left);
    hw_free(items);
}

static void begin(struct hw_ledger *l, struct hw_take *t, size_t max, const char *mode)
{
    t->ledger = l;
    t->is_refill = false;
    t->n_fill_left = 0;
    t->n_max = max < TAKE_MAX ? max : TAKE_MAX;
    hw_store_eval(hw_ledger_store(l), &t->command, &hw_script_take, NULL, NULL);
    hw_command_u64(&t->command, t->n_max);
    hw_command_u64(&t->command, TAKE_BYTES);
    hw_command_str(&t->command, mode);
}

static enum hw_status ask(struct hw_take *t, hw_take_cb cb)
{
    enum hw_status status = hw_buf_failed(&t->command.args);

    t->cb = cb;
    if (status == HW_OK && t->items == NULL &&
        (t->items = hw_malloc((t->n_max + 1) * sizeof *t->items)) == NULL)
        status = HW_ENOMEM;
    if (status == HW_OK)
        status =
            hw_redis_send(hw_ledger_store(t->ledger)->work, &t->req, &t->command, on_take);
    t->is_busy = status == HW_OK;
    if (status != HW_OK) {
        hw_free(t->items);
        t->items = NULL;
    }
    return status;
}

enum hw_status hw_ledger_refill(struct hw_ledger *l, struct hw_take *t, uint32_t w,
                                unsigned max, unsigned max_fill, hw_take_cb cb)
{
    begin(l, t, max, "refill");
    t->is_refill = true;
    t->w = w;
    hw_command_u64(&t->command, w);
    hw_command_u64(&t->command, max_fill);
    return ask(t, cb);
}

enum hw_status hw_ledger_take_surplus(struct hw_ledger *l, struct hw_take *t, uint32_t w,
                                      uint64_t keep, unsigned max, hw_take_cb cb)
{
    begin(l, t, max, "surplus");
    t->is_refill = true;
    t->w = w;
    hw_command_u64(&t->command, w);
    hw_command_u64(&t->command, keep);
    return ask(t, cb);
}

enum hw_status hw_ledger_take_parked(struct hw_ledger *l, struct hw_take *t, uint32_t w,
                                     unsigned max, hw_take_cb cb)
{
    begin(l, t, max, "parked");
    t->w = w;
    hw_command_u64(&t->command, w);
    return ask(t, cb);
}

static enum hw_status ask_keys(struct hw_take *t, const struct hw_delivery_key *keys,
                               size_t n_keys, hw_take_cb cb)
{
    for (size_t i = 0; i < n_keys && i < TAKE_MAX; i++)
        hw_command_fmt(&t->command, "%u:%llu", (unsigned)keys[i].w,
                       (unsigned long long)keys[i].n);
    return ask(t, cb);
}

enum hw_status hw_ledger_claim(struct hw_ledger *l, struct hw_take *t,
                               const struct hw_delivery_key *keys, size_t n_keys,
                               hw_unix_ms due_by, hw_take_cb cb)
{
    begin(l, t, n_keys, "claim");
    hw_command_u64(&t->command, due_by > 0 ? (uint64_t)due_by : 0);
    return ask_keys(t, keys, n_keys, cb);
}

enum hw_status hw_ledger_load(struct hw_ledger *l, struct hw_take *t,
                              const struct hw_delivery_key *keys, size_t n_keys, hw_take_cb cb)
{
    begin(l, t, n_keys, "load");
    return ask_keys(t, keys, n_keys, cb);
}

enum hw_status hw_ledger_adopt(struct hw_ledger *l, struct hw_take *t, const char *orphan,
                               unsigned max, hw_take_cb cb)
{
    begin(l, t, max, "adopt");
    hw_command_str(&t->command, orphan);
    return ask(t, cb);
}

/* ---- what is ours ---- */

static void on_owned(struct hw_redis_req *req, enum hw_redis_trouble what,
                     const struct hw_reply *reply, const struct hw_cause *cause)
{
    struct hw_take *t = HW_CONTAINER_OF(req, struct hw_take, req);
    struct hw_delivery_key *keys = NULL;
    size_t n = 0;

    (void)cause;
    t->is_busy = false;
    if (what == HW_REDIS_FINE) {
        keys = hw_malloc((reply->n_items + 1) * sizeof *keys);
        if (keys == NULL)
            what = HW_REDIS_REFUSED;
    }
    for (size_t i = 0; keys != NULL && i < reply->n_items; i++)
        n += read_key(&keys[n], reply->items[i].text);
    t->owned_cb(t, what, keys, n);
    hw_free(keys);
}

enum hw_status hw_ledger_owned(struct hw_ledger *l, struct hw_take *t, hw_owned_cb cb)
{
    struct hw_store *store = hw_ledger_store(l);
    enum hw_status status;

    t->ledger = l;
    t->owned_cb = cb;
    hw_command_reset(&t->command);
    hw_command_str(&t->command, "HKEYS");
    hw_command_fmt(&t->command, "%sown:%s", store->keys.tag, store->instance);
    status = hw_redis_send(store->work, &t->req, &t->command, on_owned);
    t->is_busy = status == HW_OK;
    return status;
}
