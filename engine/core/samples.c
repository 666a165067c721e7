#include "core/samples.h"

#include <stdlib.h>

#include "base/must.h"
#include "hookwheel/alloc.h"

enum { FIRST_ROOM = 1024 };

void hw_samples_init(struct hw_samples *s)
{
    *s = (struct hw_samples){ 0 };
}

void hw_samples_close(struct hw_samples *s)
{
    hw_free(s->values);
    hw_samples_init(s);
}

void hw_samples_reset(struct hw_samples *s)
{
    s->n = 0;
}

static bool samples_grow(struct hw_samples *s)
{
    size_t room = s->room ? 2 * s->room : FIRST_ROOM;
    uint32_t *values = hw_realloc(s->values, room * sizeof *values);

    if (values == NULL)
        return false;
    s->values = values;
    s->room = room;
    return true;
}

void hw_samples_add(struct hw_samples *s, uint32_t value)
{
    if (s->n == s->room && !samples_grow(s))
        return;
    s->values[s->n++] = value;
    s->is_sorted = false;
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

uint32_t hw_samples_rank(struct hw_samples *s, size_t rank)
{
    HW_MUST(rank >= 1 && rank <= s->n);
    if (!s->is_sorted)
        qsort(s->values, s->n, sizeof *s->values, compare);
    s->is_sorted = true;
    return s->values[rank - 1];
}
