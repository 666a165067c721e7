#include "api/route_counts.h"

#include "base/must.h"

/* 500 is the last, and takes whatever is not in the list. */
static const int statuses[HW_COUNTED_STATUSES] = { 200, 201, 202, 204, 400, 401, 403, 404, 405,
                                                   409, 410, 413, 415, 429, 431, 503, 500 };

void hw_route_counts_add(struct hw_route_counts *t, size_t route, int status)
{
    size_t column = 0;

    HW_MUST(route < HW_COUNTED_ROUTES);
    while (statuses[column] != status && statuses[column] != 500)
        column++;
    t->counts[route][column]++;
}

int hw_route_counts_status(size_t column)
{
    return column < HW_COUNTED_STATUSES ? statuses[column] : 0;
}
