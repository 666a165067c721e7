#include "hookwheel/alloc.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static void *libc_malloc(void *data, size_t n_bytes)
{
    (void)data;
    return malloc(n_bytes);
}

static void *libc_realloc(void *data, void *p, size_t n_bytes)
{
    (void)data;
    return realloc(p, n_bytes);
}

static void libc_free(void *data, void *p)
{
    (void)data;
    free(p);
}

static const struct hw_alloc libc_alloc = { libc_malloc, libc_realloc, libc_free, NULL };
static struct hw_alloc in_use = { libc_malloc, libc_realloc, libc_free, NULL };

void hw_alloc_use(const struct hw_alloc *alloc)
{
    in_use = alloc ? *alloc : libc_alloc;
}

void *hw_malloc(size_t n_bytes)
{
    return in_use.malloc_fn(in_use.data, n_bytes ? n_bytes : 1);
}

void *hw_calloc(size_t n, size_t each_bytes)
{
    void *p;

    if (each_bytes != 0 && n > SIZE_MAX / each_bytes)
        return NULL;
    p = hw_malloc(n * each_bytes);
    if (p != NULL)
        memset(p, 0, n * each_bytes);
    return p;
}

void *hw_realloc(void *p, size_t n_bytes)
{
    return in_use.realloc_fn(in_use.data, p, n_bytes ? n_bytes : 1);
}

void hw_free(void *p)
{
    if (p != NULL)
        in_use.free_fn(in_use.data, p);
}

char *hw_strdup(const char *s)
{
    return hw_strndup(s, strlen(s));
}

char *hw_strndup(const char *s, size_t n_bytes)
{
    char *copy = hw_malloc(n_bytes + 1);

    if (copy == NULL)
        return NULL;
    if (n_bytes > 0)
        memcpy(copy, s, n_bytes);
    copy[n_bytes] = '\0';
    return copy;
}
