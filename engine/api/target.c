#include "api/target.h"

#include "hookwheel/alloc.h"

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* Percent and, in a query, plus; in place.  false: malformed, or a NUL in disguise. */
static bool decode(char *text, bool plus_is_space)
{
    char *to = text;

    for (const char *from = text; *from != '\0'; from++) {
        if (*from == '%') {
            int high = hex_digit(from[1]);
            int low = high < 0 ? -1 : hex_digit(from[2]);
            if (low < 0 || (high == 0 && low == 0))
                return false;
            *to++ = (char)(high * 16 + low);
            from += 2;
        } else {
            *to++ = *from == '+' && plus_is_space ? ' ' : *from;
        }
    }
    *to = '\0';
    return true;
}

static bool parse_path(struct hw_target *t, char *path, struct hw_problem *p)
{
    char *next = *path == '/' ? path + 1 : NULL;

    while (next != NULL) {
        char *segment = next;

        next = strchr(segment, '/');
        if (next != NULL)
            *next++ = '\0';
        if (t->n_segments == HW_TARGET_SEGMENTS_MAX)
            return hw_problem_set(p, HW_PROBLEM_NOT_FOUND, NULL,
                                  "There is nothing at this path; /v1/openapi.yaml says what "
                                  "there is.");
        if (!decode(segment, false))
            return hw_problem_set(
                p, HW_PROBLEM_INVALID_REQUEST, "path",
                "The path has a malformed percent-encoding; %% is followed by "
                "two hex digits.");
        t->segments[t->n_segments++] = segment;
    }
    return true;
}

static bool parse_query(struct hw_target *t, char *query, struct hw_problem *p)
{
    while (query != NULL) {
        char *next = strchr(query, '&');
        char *value;

        if (next != NULL)
            *next++ = '\0';
        value = query + strcspn(query, "=");
        if (*value == '=')
            *value++ = '\0';
        if (t->n_parameters == HW_TARGET_PARAMETERS_MAX)
            return hw_problem_set(p, HW_PROBLEM_INVALID_REQUEST, "query",
                                  "The query has more than %d parameters; send fewer.",
                                  HW_TARGET_PARAMETERS_MAX);
        if (!decode(query, true) || !decode(value, true))
            return hw_problem_set(
                p, HW_PROBLEM_INVALID_REQUEST, query,
                "The query has a malformed percent-encoding; %% is followed by "
                "two hex digits.");
        if (*query != '\0' || *value != '\0')
            t->parameters[t->n_parameters++] = (struct hw_parameter){ query, value };
        query = next;
    }
    return true;
}

bool hw_target_parse(struct hw_target *t, struct hw_slice raw, struct hw_problem *p)
{
    char *query;

    *t = (struct hw_target){ .text = hw_strndup(raw.data, raw.len) };
    if (t->text == NULL)
        return hw_problem_set(p, HW_PROBLEM_INTERNAL, NULL, "Out of memory.");
    query = strchr(t->text, '?');
    if (query != NULL)
        *query++ = '\0';
    return parse_path(t, t->text, p) && parse_query(t, query, p);
}

void hw_target_close(struct hw_target *t)
{
    hw_free(t->text);
    *t = (struct hw_target){ 0 };
}

const char *hw_target_find(const struct hw_target *t, const char *name)
{
    for (size_t i = 0; i < t->n_parameters; i++)
        if (strcmp(t->parameters[i].name, name) == 0)
            return t->parameters[i].value;
    return NULL;
}

static bool is_among(struct hw_slice name, const char *names)
{
    for (const char *at = names; *at != '\0';) {
        size_t len = strcspn(at, " ");
        if (hw_slice_eq(name, hw_slice(at, len)))
            return true;
        at += len + (at[len] == ' ');
    }
    return false;
}

bool hw_target_check(const struct hw_target *t, const char *names, struct hw_problem *p)
{
    for (size_t i = 0; i < t->n_parameters; i++) {
        const char *name = t->parameters[i].name;

        if (!is_among(hw_slice_str(name), names))
            return hw_problem_set(p, HW_PROBLEM_INVALID_REQUEST, name,
                                  "There is no such query parameter here; leave it out.");
        for (size_t k = 0; k < i; k++)
            if (strcmp(t->parameters[k].name, name) == 0)
                return hw_problem_set(p, HW_PROBLEM_INVALID_REQUEST, name,
                                      "The query parameter is given twice; send it once.");
    }
    return true;
}
