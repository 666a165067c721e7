#include "api/body.h"

#include <string.h>

static bool is_among(const char *name, const char *names)
{
    size_t n_bytes = strlen(name);

    for (const char *at = names; *at != '\0';) {
        size_t len = strcspn(at, " ");
        if (len == n_bytes && memcmp(at, name, len) == 0)
            return true;
        at += len + (at[len] == ' ');
    }
    return false;
}

bool hw_body_check(json_t *object, const char *names, struct hw_problem *p)
{
    const char *name;
    json_t *value;

    json_object_foreach (object, name, value)
        if (!is_among(name, names))
            return hw_problem_set(p, HW_PROBLEM_INVALID_REQUEST, name,
                                  "There is no such member here; leave it out.");
    return true;
}

static bool has_control(const char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            return true;
    return false;
}

bool hw_body_text(const json_t *object, const struct hw_text_rule *rule, const char **text,
                     struct hw_problem *p)
{
    const json_t *value = json_object_get(object, rule->name);
    size_t n_bytes = json_string_length(value);

    *text = json_string_value(value);
    if (rule->is_optional && (value == NULL || json_is_null(value)))
        return true;
    if (*text != NULL && n_bytes >= 1 && n_bytes <= rule->max_bytes &&
        (rule->has_lines || !has_control(*text)))
        return true;
    return hw_problem_set(p, HW_PROBLEM_INVALID_REQUEST, rule->name,
                          "%s is %sa string of 1 to %zu bytes%s.", rule->name,
                          rule->is_optional ? "null, or " : "", rule->max_bytes,
                          rule->has_lines ? "" : " without control characters");
}
