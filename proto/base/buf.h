/*
 * buf - a growing byte buffer that knows its ceiling from birth.
 *
 * Memory    grows by doubling up to the ceiling; consume moves a read position,
 *           the space is taken back when the buffer is empty or must grow.
 * Errors    HW_ENOMEM, or HW_ETOOBIG when an append would pass the ceiling.  A
 *           failed append leaves the buffer as it was.  A run of appends may be
 *           written without looking at each: the first failure is remembered
 *           and later appends fail too, until hw_buf_reset (see hw_buf_failed).
 */
#ifndef HW_BASE_BUF_H
#define HW_BASE_BUF_H

#include <stdarg.h>
#include <string.h>

#include "base/slice.h"
#include "hookwheel/status.h"

struct hw_buf {
    char *base;            /* owned; NULL while nothing was ever appended */
    size_t head;           /* first byte not consumed */
    size_t tail;           /* one past the last byte */
    size_t cap;            /* allocated */
    size_t max;            /* ceiling of tail - head, bytes */
    enum hw_status failed; /* first failed append, or HW_OK */
};

/* Allocates nothing. */
void hw_buf_init(struct hw_buf *b, size_t max_bytes);

/* Free the memory; the buffer may be used again as after init. */
void hw_buf_close(struct hw_buf *b);

/* Empty it and forget a failure, keeping the memory. */
void hw_buf_reset(struct hw_buf *b);

/* Return whether any append failed since init or reset. */
enum hw_status hw_buf_failed(const struct hw_buf *b);

/* hw_buf_reserve where there is no room yet, or no more is to come. */
HW_MUST_USE enum hw_status hw_buf_make_room(struct hw_buf *b, size_t n_bytes);

/* Room for n more bytes at hw_buf_space(); commit says how many were written. */
HW_MUST_USE static inline enum hw_status hw_buf_reserve(struct hw_buf *b, size_t n_bytes)
{
    bool is_there = b->failed == HW_OK && n_bytes <= b->cap - b->tail &&
                    n_bytes <= b->max - (b->tail - b->head);

    return is_there ? HW_OK : hw_buf_make_room(b, n_bytes);
}
char *hw_buf_space(struct hw_buf *b);
void hw_buf_commit(struct hw_buf *b, size_t n_bytes);

/* Two hundred of these make a delivery: most end in a copy of known length. */
static inline enum hw_status hw_buf_append(struct hw_buf *b, const void *data, size_t n_bytes)
{
    enum hw_status status = hw_buf_reserve(b, n_bytes);

    if (status == HW_OK && n_bytes > 0) {
        memcpy(b->base + b->tail, data, n_bytes);
        b->tail += n_bytes;
    }
    return status;
}
static inline enum hw_status hw_buf_append_slice(struct hw_buf *b, struct hw_slice s)
{
    return hw_buf_append(b, s.data, s.len);
}
enum hw_status hw_buf_append_str(struct hw_buf *b, const char *s);
enum hw_status hw_buf_append_char(struct hw_buf *b, char c);
enum hw_status hw_buf_append_u64(struct hw_buf *b, uint64_t n); /* decimal */
enum hw_status hw_buf_appendf(struct hw_buf *b, const char *fmt, ...) HW_PRINTF(2, 3);

/* Drop n bytes from the front; n at most the length. */
void hw_buf_consume(struct hw_buf *b, size_t n_bytes);

/* Take back what was appended behind the first n bytes (n at most the length), and forget a
 * failure: after a run of appends that failed half way. */
void hw_buf_cut(struct hw_buf *b, size_t n_bytes);

/* What is in it, borrowed until the next call that changes it. */
static inline struct hw_slice hw_buf_slice(const struct hw_buf *b)
{
    return hw_slice(b->base ? b->base + b->head : NULL, b->tail - b->head);
}

static inline size_t hw_buf_len(const struct hw_buf *b) { return b->tail - b->head; }

/* The content with a NUL behind it (not counted), or NULL: out of memory.
 * Borrowed as above. */
const char *hw_buf_str(struct hw_buf *b);

#endif
