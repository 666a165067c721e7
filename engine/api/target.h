/*
 * target - the path and the query of a request, taken apart.
 *
 * Memory    owns one copy of the target, decoded in place; every string handed out ends
 *           in NUL and lives as long as the target.
 * Errors    a query that cannot be read is a problem 400 that names the parameter.
 */
#ifndef HW_API_TARGET_H
#define HW_API_TARGET_H

#include "api/problem.h"
#include "base/slice.h"

enum { HW_TARGET_PARAMETERS_MAX = 16, HW_TARGET_SEGMENTS_MAX = 8 };

struct hw_parameter {
    const char *name;
    const char *value;
};

struct hw_target {
    char *text; /* owned */
    const char *segments[HW_TARGET_SEGMENTS_MAX]; /* of the path: "/v1/webhooks" is 2 */
    size_t n_segments;
    struct hw_parameter parameters[HW_TARGET_PARAMETERS_MAX];
    size_t n_parameters;
};

/* false: *p says why (also when memory is out).  Close it in either case. */
HW_MUST_USE bool hw_target_parse(struct hw_target *t, struct hw_slice raw, struct hw_problem *p);
void hw_target_close(struct hw_target *t);

/* The value of a query parameter; NULL: not given. */
const char *hw_target_find(const struct hw_target *t, const char *name);

/* Is every parameter one of the space-separated names, and given once? */
HW_MUST_USE bool hw_target_check(const struct hw_target *t, const char *names,
                                 struct hw_problem *p);

#endif
