#include "base/buf.h"

#include <stdio.h>

#include "base/must.h"
#include "hookwheel/alloc.h"

enum { FIRST_CAP = 256 };

void hw_buf_init(struct hw_buf *b, size_t max_bytes)
{
    *b = (struct hw_buf){ .max = max_bytes };
}

void hw_buf_close(struct hw_buf *b)
{
    hw_free(b->base);
    hw_buf_init(b, b->max);
}

void hw_buf_reset(struct hw_buf *b)
{
    b->head = b->tail = 0;
    b->failed = HW_OK;
}

enum hw_status hw_buf_failed(const struct hw_buf *b)
{
    return b->failed;
}

static void buf_compact(struct hw_buf *b)
{
    if (b->head == 0)
        return;
    memmove(b->base, b->base + b->head, b->tail - b->head);
    b->tail -= b->head;
    b->head = 0;
}

static enum hw_status buf_grow(struct hw_buf *b, size_t need)
{
    size_t cap = b->cap ? b->cap : FIRST_CAP;
    char *base;

    while (cap < need)
        cap = cap > SIZE_MAX / 2 ? need : cap * 2;
    base = hw_realloc(b->base, cap);
    if (base == NULL)
        return HW_ENOMEM;
    b->base = base;
    b->cap = cap;
    return HW_OK;
}

enum hw_status hw_buf_make_room(struct hw_buf *b, size_t n_bytes)
{
    size_t len = b->tail - b->head;

    if (b->failed != HW_OK)
        return b->failed;
    if (n_bytes > b->max || len > b->max - n_bytes)
        return b->failed = HW_ETOOBIG;
    if (b->cap - b->tail >= n_bytes)
        return HW_OK;
    /* Move down only when at least half is free, so that each byte moves O(1) times. */
    if (b->cap - len >= n_bytes && b->head >= len) {
        buf_compact(b);
        return HW_OK;
    }
    if (b->base != NULL)
        buf_compact(b);
    if (b->cap - b->tail >= n_bytes && b->cap >= 2 * len)
        return HW_OK;
    if (buf_grow(b, len + n_bytes) != HW_OK)
        return b->failed = HW_ENOMEM;
    return HW_OK;
}

char *hw_buf_space(struct hw_buf *b)
{
    return b->base ? b->base + b->tail : NULL;
}

void hw_buf_commit(struct hw_buf *b, size_t n_bytes)
{
    HW_MUST(n_bytes <= b->cap - b->tail);
    b->tail += n_bytes;
}

enum hw_status hw_buf_append_str(struct hw_buf *b, const char *s)
{
    return hw_buf_append(b, s, strlen(s));
}

enum hw_status hw_buf_append_char(struct hw_buf *b, char c)
{
    return hw_buf_append(b, &c, 1);
}

enum hw_status hw_buf_append_u64(struct hw_buf *b, uint64_t n)
{
    char digits[20];
    size_t at = sizeof digits;

    do {
        digits[--at] = (char)('0' + n % 10);
        n /= 10;
    } while (n > 0);
    return hw_buf_append(b, digits + at, sizeof digits - at);
}

enum hw_status hw_buf_appendf(struct hw_buf *b, const char *fmt, ...)
{
    va_list args;
    int n;

    va_start(args, fmt);
    n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    HW_MUST(n >= 0);
    /* One more than needed: vsnprintf writes its NUL there. */
    if (b->failed == HW_OK && (size_t)n + 1 > b->cap - b->tail) {
        if ((size_t)n > b->max || b->tail - b->head > b->max - (size_t)n)
            return b->failed = HW_ETOOBIG;
        if (b->base != NULL)
            buf_compact(b);
        if (buf_grow(b, b->tail + (size_t)n + 1) != HW_OK)
            return b->failed = HW_ENOMEM;
    }
    if (b->failed != HW_OK)
        return b->failed;
    if ((size_t)n > b->max - (b->tail - b->head))
        return b->failed = HW_ETOOBIG;
    va_start(args, fmt);
    vsnprintf(b->base + b->tail, (size_t)n + 1, fmt, args);
    va_end(args);
    b->tail += (size_t)n;
    return HW_OK;
}

void hw_buf_consume(struct hw_buf *b, size_t n_bytes)
{
    HW_MUST(n_bytes <= b->tail - b->head);
    b->head += n_bytes;
    if (b->head == b->tail)
        b->head = b->tail = 0;
}

void hw_buf_cut(struct hw_buf *b, size_t n_bytes)
{
    HW_MUST(n_bytes <= b->tail - b->head);
    b->tail = b->head + n_bytes;
    b->failed = HW_OK;
}

const char *hw_buf_str(struct hw_buf *b)
{
    if (b->cap == b->tail && buf_grow(b, b->tail + 1) != HW_OK)
        return NULL;
    b->base[b->tail] = '\0';
    return b->base + b->head;
}
