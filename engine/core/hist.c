#include "core/hist.h"

#include "base/must.h"

void hw_hist_init(struct hw_hist *h, const double *bounds, size_t n_bounds)
{
    HW_MUST(n_bounds <= HW_HIST_MAX);
    *h = (struct hw_hist){ .bounds = bounds, .n_bounds = n_bounds };
}

void hw_hist_observe(struct hw_hist *h, double seconds)
{
    size_t low = 0, high = h->n_bounds;

    if (!(seconds > 0))
        seconds = 0; /* a clock that went backwards, or not a number */
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (seconds <= h->bounds[middle])
            high = middle;
        else
            low = middle + 1;
    }
    h->counts[low]++;
    h->n++;
    h->sum += seconds;
}
