/*
 * body - the members of a small JSON object, as a client wrote it.
 *
 * Errors    a problem that names the member that breaks a rule, and says the rule.
 */
#ifndef HW_API_BODY_H
#define HW_API_BODY_H

#include "api/problem.h"

/* Is every member one of the space-separated names? */
HW_MUST_USE bool hw_body_check(json_t *object, const char *names, struct hw_problem *p);

struct hw_text_rule {
    const char *name;
    size_t max_bytes;
    bool is_optional; /* may be left out, or null */
    bool has_lines;   /* control characters are allowed in it */
};

/* *text is borrowed from the object; NULL where an optional one is not given. */
HW_MUST_USE bool hw_body_text(const json_t *object, const struct hw_text_rule *rule,
                                 const char **text, struct hw_problem *p);

#endif
