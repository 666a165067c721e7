#include "base/slice.h"

static unsigned char ascii_lower(char c)
{
    return (unsigned char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

bool hw_slice_ieq(struct hw_slice a, struct hw_slice b)
{
    if (a.len != b.len)
        return false;
    for (size_t i = 0; i < a.len; i++)
        if (ascii_lower(a.data[i]) != ascii_lower(b.data[i]))
            return false;
    return true;
}

int hw_slice_cmp(struct hw_slice a, struct hw_slice b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int order = n ? memcmp(a.data, b.data, n) : 0;

    if (order != 0)
        return order;
    return a.len < b.len ? -1 : a.len > b.len;
}

size_t hw_slice_find(struct hw_slice a, char c)
{
    const char *hit = a.len ? memchr(a.data, c, a.len) : NULL;

    return hit ? (size_t)(hit - a.data) : a.len;
}

bool hw_slice_u64(struct hw_slice a, uint64_t max, uint64_t *out)
{
    uint64_t n = 0;

    if (a.len == 0)
        return false;
    for (size_t i = 0; i < a.len; i++) {
        if (a.data[i] < '0' || a.data[i] > '9')
            return false;
        uint64_t digit = (uint64_t)(a.data[i] - '0');
        if (n > (UINT64_MAX - digit) / 10)
            return false;
        n = n * 10 + digit;
    }
    if (n > max)
        return false;
    *out = n;
    return true;
}
