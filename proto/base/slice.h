/*
 * slice - borrowed bytes: a pointer and a length.
 *
 * Bytes from outside never end in NUL; this is how they travel.
 */
#ifndef HW_BASE_SLICE_H
#define HW_BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct hw_slice {
    const char *data; /* borrowed; may be NULL only when len is 0 */
    size_t len;
};

#define HW_SLICE(literal) ((struct hw_slice){ "" literal, sizeof(literal) - 1 })
#define HW_SLICE_FMT(s) (int)(s).len, (s).data ? (s).data : "" /* for %.*s */

static inline struct hw_slice hw_slice(const void *data, size_t len)
{
    return (struct hw_slice){ (const char *)data, len };
}

/* Of a NUL-terminated string; NULL gives the empty slice. */
static inline struct hw_slice hw_slice_str(const char *s)
{
    return (struct hw_slice){ s, s ? strlen(s) : 0 };
}

static inline bool hw_slice_eq(struct hw_slice a, struct hw_slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static inline bool hw_slice_is(struct hw_slice a, const char *s)
{
    return hw_slice_eq(a, hw_slice_str(s));
}

static inline bool hw_slice_starts(struct hw_slice a, struct hw_slice prefix)
{
    return a.len >= prefix.len && (prefix.len == 0 || memcmp(a.data, prefix.data, prefix.len) == 0);
}

static inline struct hw_slice hw_slice_from(struct hw_slice a, size_t offset)
{
    return offset >= a.len ? hw_slice(NULL, 0) : hw_slice(a.data + offset, a.len - offset);
}

/* ASCII case folded comparison, for header names and URL schemes. */
bool hw_slice_ieq(struct hw_slice a, struct hw_slice b);

/* Order as memcmp, shorter first. */
int hw_slice_cmp(struct hw_slice a, struct hw_slice b);

/* Position of the first `c`, or a.len. */
size_t hw_slice_find(struct hw_slice a, char c);

/* A decimal number without sign or spaces, all of the slice; false: not one, or
 * over `max`. */
bool hw_slice_u64(struct hw_slice a, uint64_t max, uint64_t *out);

#endif
