#include "core/pace.h"

enum { SPAN_MS = 100, QUICK_MS = 1000 };

void hw_pace_begin(struct hw_pace *p, hw_mono_ms now)
{
    p->busy_since = p->heard_at = now;
}

void hw_pace_heard(struct hw_pace *p, hw_mono_ms now)
{
    p->heard_at = now;
    p->is_doubtful = false;
    if (now >= p->span_began + SPAN_MS) {
        p->n_in_last_span = now < p->span_began + 2 * SPAN_MS ? p->n_in_span : 0;
        p->n_in_span = 0;
        p->span_began = now;
    }
    p->n_in_span++;
}

bool hw_pace_is_quick(const struct hw_pace *p, uint64_t n, hw_mono_ms now)
{
    uint64_t done = p->n_in_span > p->n_in_last_span ? p->n_in_span : p->n_in_last_span;

    return now < p->busy_since + QUICK_MS || n <= done * (QUICK_MS / SPAN_MS);
}
