/*
 * route_counts - answered requests by route and status, for hookwheel_http_requests_total.
 *
 * Cost      add: a search among the 20 statuses that the API knows.
 */
#ifndef HW_API_ROUTE_COUNTS_H
#define HW_API_ROUTE_COUNTS_H

#include <stddef.h>
#include <stdint.h>

enum { HW_COUNTED_ROUTES = 64, HW_COUNTED_STATUSES = 20 };

/* The row for what fits no route. */
enum { HW_COUNTED_NO_ROUTE = HW_COUNTED_ROUTES - 1 };

struct hw_route_counts {
    uint64_t counts[HW_COUNTED_ROUTES][HW_COUNTED_STATUSES];
};

void hw_route_counts_add(struct hw_route_counts *t, size_t route, int status);

/* The status of a column; 0: the column is not used. */
int hw_route_counts_status(size_t column);

#endif
