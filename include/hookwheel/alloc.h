/*
 * alloc - the allocator everything in the library goes through.
 *
 * An embedder may replace it once, before the first other call.  The libraries
 * underneath (libuv, mbedTLS, c-ares, jansson, hiredis) are not redirected.
 */
#ifndef HOOKWHEEL_ALLOC_H
#define HOOKWHEEL_ALLOC_H

#include <stddef.h>

#include "hookwheel/status.h"

struct hw_alloc {
    void *(*malloc_fn)(void *data, size_t n_bytes);
    void *(*realloc_fn)(void *data, void *p, size_t n_bytes);
    void (*free_fn)(void *data, void *p);
    void *data; /* borrowed; handed to each call */
};

/* Take `alloc` for every later allocation; NULL goes back to malloc(3). */
HW_API void hw_alloc_use(const struct hw_alloc *alloc);

/* As malloc(3), calloc(3), realloc(3), free(3), over the allocator in use.
 * A request for 0 bytes is one for 1 byte.  NULL: out of memory. */
HW_API HW_MUST_USE void *hw_malloc(size_t n_bytes);
HW_API HW_MUST_USE void *hw_calloc(size_t n, size_t each_bytes);
HW_API HW_MUST_USE void *hw_realloc(void *p, size_t n_bytes);
HW_API void hw_free(void *p);

/* Owned copies; NULL: out of memory.  hw_strndup always ends in NUL. */
HW_API HW_MUST_USE char *hw_strdup(const char *s);
HW_API HW_MUST_USE char *hw_strndup(const char *s, size_t n_bytes);

#endif
