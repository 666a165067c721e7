/*
 * hiredis' reader calls us for every element; we place it where it belongs:
 *
 *   1. the root of a reply comes from the arena, an array's items lie behind one another
 *      in one piece of it, so an element needs no memory of its own;
 *   2. texts are copied into the arena, since hiredis moves its buffer between calls;
 *   3. the call after a complete reply empties the arena and keeps its memory.
 *
 * Over a limit, or out of memory: the creating function gives NULL, hiredis stops with an
 * error, and so do we.
 */
#include "redis/reply.h"

#include <hiredis/hiredis.h>

#include "hookwheel/alloc.h"

enum {
    BLOCK_MIN = 16 * 1024,
    BLOCK_MAX = 1024 * 1024,      /* blocks double up to this */
    KEEP_MAX = 4 * 1024 * 1024,   /* what an idle arena may hold on to */
    KEEP_INPUT_MAX = 1024 * 1024, /* the same for hiredis' input buffer */
    REPLY_MAX =
        256 * 1024 * 1024, /* one reply, as bytes or in memory; ours are below 10 MiB */
    ALIGN = 16
};

struct block {
    struct block *next; /* older */
    size_t cap;
    size_t used;
    _Alignas(ALIGN) char bytes[];
};

struct arena {
    struct block *newest; /* owned; NULL: nothing yet */
    size_t total;         /* capacity of all blocks */
    bool is_over;         /* a reply was over REPLY_MAX */
};

struct hw_reply_reader {
    redisReader *hiredis; /* owned */
    struct arena arena;
    bool is_lent; /* the arena holds a complete reply, which ends with the next call */
};

/* --- arena --- */

static struct block *block_new(size_t cap)
{
    struct block *b = hw_malloc(sizeof *b + cap);

    if (b != NULL)
        *b = (struct block){ .cap = cap };
    return b;
}

static void arena_close(struct arena *a)
{
    while (a->newest != NULL) {
        struct block *next = a->newest->next;
        hw_free(a->newest);
        a->newest = next;
    }
    *a = (struct arena){ 0 };
}

/* Empty it.  Several blocks become one of their common size at the next use, so that the
 * same replies need a single block from then on. */
static void arena_reset(struct arena *a)
{
    size_t total = a->total;

    if (a->newest == NULL)
        return;
    if (a->newest->next == NULL && total <= KEEP_MAX) {
        a->newest->used = 0;
        return;
    }
    arena_close(a);
    if (total > KEEP_MAX)
        return;
    a->newest = block_new(total);
    a->total = a->newest != NULL ? total : 0;
}

static bool arena_grow(struct arena *a, size_t n_bytes)
{
    size_t cap = a->newest != NULL ? a->newest->cap * 2 : BLOCK_MIN;
    struct block *b;

    if (cap > BLOCK_MAX)
        cap = BLOCK_MAX;
    if (cap < n_bytes)
        cap = n_bytes;
    if (cap > REPLY_MAX || a->total > REPLY_MAX - cap) {
        a->is_over = true;
        return false;
    }
    b = block_new(cap);
    if (b == NULL)
        return false;
    b->next = a->newest;
    a->newest = b;
    a->total += cap;
    return true;
}

static void *arena_take(struct arena *a, size_t n_bytes)
{
    void *p;

    if (n_bytes > REPLY_MAX) {
        a->is_over = true;
        return NULL;
    }
    n_bytes = (n_bytes + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    if (a->newest == NULL || a->newest->cap - a->newest->used < n_bytes)
        if (!arena_grow(a, n_bytes))
            return NULL;
    p = a->newest->bytes + a->newest->used;
    a->newest->used += n_bytes;
    return p;
}

/* --- what hiredis calls --- */

/* Where the element of this task belongs: its place in the parent, or a new root. */
static struct hw_reply *place(const redisReadTask *task, enum hw_reply_kind kind)
{
    struct hw_reply *reply;

    if (task->parent != NULL) {
        const struct hw_reply *parent = task->parent->obj;
        reply = (struct hw_reply *)&parent->items[task->idx];
    } else {
        reply = arena_take(task->privdata, sizeof *reply);
    }
    if (reply != NULL)
        *reply = (struct hw_reply){ .kind = kind };
    return reply;
}

static void *make_text(const redisReadTask *task, char *bytes, size_t len)
{
    enum hw_reply_kind kind = task->type == REDIS_REPLY_STATUS  ? HW_REPLY_STATUS
                              : task->type == REDIS_REPLY_ERROR ? HW_REPLY_ERROR
                                                                : HW_REPLY_TEXT;
    char *copy = arena_take(task->privdata, len + 1);
    struct hw_reply *reply = copy != NULL ? place(task, kind) : NULL;

    if (reply == NULL)
        return NULL;
    if (len > 0)
        memcpy(copy, bytes, len);
    copy[len] = '\0';
    reply->text = hw_slice(copy, len);
    return reply;
}

static void *make_items(const redisReadTask *task, size_t n)
{
    struct arena *a = task->privdata;
    struct hw_reply *items = NULL;
    struct hw_reply *reply;

    if (n > REPLY_MAX / sizeof *items) {
        a->is_over = true;
        return NULL;
    }
    if (n > 0) {
        items = arena_take(a, n * sizeof *items);
        if (items == NULL)
            return NULL;
    }
    reply = place(task, HW_REPLY_ARRAY);
    if (reply == NULL)
        return NULL;
    reply->items = items;
    reply->n_items = n;
    return reply;
}

static void *make_integer(const redisReadTask *task, long long value)
{
    struct hw_reply *reply = place(task, HW_REPLY_INTEGER);

    if (reply != NULL)
        reply->integer = value;
    return reply;
}

static void *make_nil(const redisReadTask *task)
{
    return place(task, HW_REPLY_NIL);
}

/* Everything is the arena's. */
static void free_nothing(void *reply)
{
    (void)reply;
}

#if HIREDIS_MAJOR >= 1
static void *make_array(const redisReadTask *task, size_t n)
{
    return make_items(task, n);
}

/* RESP3 only, which we never ask for: taken as the RESP2 type nearest to them. */
static void *make_double(const redisReadTask *task, double value, char *text, size_t len)
{
    (void)value;
    return make_text(task, text, len);
}

static void *make_bool(const redisReadTask *task, int value)
{
    return make_integer(task, value);
}
#else
static void *make_array(const redisReadTask *task, int n)
{
    return make_items(task, n > 0 ? (size_t)n : 0);
}
#endif

static redisReplyObjectFunctions functions = {
    .createString = make_text,
    .createArray = make_array,
    .createInteger = make_integer,
    .createNil = make_nil,
    .freeObject = free_nothing,
#if HIREDIS_MAJOR >= 1
    .createDouble = make_double,
    .createBool = make_bool,
#endif
};

/* --- reader --- */

enum hw_status hw_reply_reader_open(struct hw_reply_reader **out)
{
    struct hw_reply_reader *r = hw_calloc(1, sizeof *r);

    if (r == NULL)
        return HW_ENOMEM;
    r->hiredis = redisReaderCreateWithFunctions(&functions);
    if (r->hiredis == NULL) {
        hw_free(r);
        return HW_ENOMEM;
    }
    r->hiredis->privdata = &r->arena;
    r->hiredis->maxbuf = KEEP_INPUT_MAX;
    *out = r;
    return HW_OK;
}

void hw_reply_reader_close(struct hw_reply_reader *r)
{
    if (r == NULL)
        return;
    redisReaderFree(r->hiredis);
    arena_close(&r->arena);
    hw_free(r);
}

/* hiredis takes a NULL of ours for lack of memory; where it was a limit, we know better. */
static enum hw_status reader_status(const struct hw_reply_reader *r)
{
    return r->hiredis->err == REDIS_ERR_OOM && !r->arena.is_over ? HW_ENOMEM : HW_EPROTO;
}

enum hw_status hw_reply_reader_feed(struct hw_reply_reader *r, struct hw_slice bytes)
{
    size_t unread = r->hiredis->len - r->hiredis->pos;

    if (bytes.len > REPLY_MAX || unread > REPLY_MAX - bytes.len)
        return HW_EPROTO;
    if (redisReaderFeed(r->hiredis, bytes.data, bytes.len) == REDIS_OK)
        return HW_OK;
    return reader_status(r);
}

static enum hw_status reader_failed(const struct hw_reply_reader *r, struct hw_cause *cause)
{
    if (r->arena.is_over)
        return hw_cause_set(cause, HW_EPROTO, HW_ORIGIN_US, 0,
                            "a reply of Redis is over %d MiB", REPLY_MAX / (1024 * 1024));
    return hw_cause_set(cause, reader_status(r), HW_ORIGIN_HIREDIS, r->hiredis->err,
                        "reading a reply of Redis: %s", r->hiredis->errstr);
}

enum hw_status hw_reply_reader_next(struct hw_reply_reader *r, const struct hw_reply **out,
                                    struct hw_cause *cause)
{
    void *reply = NULL;

    *out = NULL;
    if (r->is_lent) {
        arena_reset(&r->arena);
        r->is_lent = false;
    }
    if (redisReaderGetReply(r->hiredis, &reply) != REDIS_OK)
        return reader_failed(r, cause);
    *out = reply;
    r->is_lent = reply != NULL;
    return HW_OK;
}

/* --- reading a reply --- */

const struct hw_reply *hw_reply_item(const struct hw_reply *reply, size_t i)
{
    static const struct hw_reply nil = { .kind = HW_REPLY_NIL };

    if (reply->kind != HW_REPLY_ARRAY || i >= reply->n_items)
        return &nil;
    return &reply->items[i];
}

static int64_t text_int(struct hw_slice text, int64_t otherwise)
{
    bool is_negative = text.len > 0 && text.data[0] == '-';
    uint64_t n;

    if (!hw_slice_u64(is_negative ? hw_slice_from(text, 1) : text, INT64_MAX, &n))
        return otherwise;
    return is_negative ? -(int64_t)n : (int64_t)n;
}

int64_t hw_reply_int(const struct hw_reply *reply, int64_t otherwise)
{
    switch (reply->kind) {
    case HW_REPLY_INTEGER:
        return reply->integer;
    case HW_REPLY_TEXT:
        return text_int(reply->text, otherwise);
    case HW_REPLY_NIL:
    case HW_REPLY_STATUS:
    case HW_REPLY_ERROR:
    case HW_REPLY_ARRAY:
        return otherwise;
    }
    return otherwise;
}
