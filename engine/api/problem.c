#include "api/problem.h"

#include <stdarg.h>
#include <stdio.h>

static const struct {
    int status;
    const char *text;
} codes[] = {
#define X(name, number, code) [HW_PROBLEM_##name] = { number, code },
    HW_PROBLEM_MAP(X)
#undef X
};

bool hw_problem_set(struct hw_problem *p, enum hw_problem_code code, const char *field,
                    const char *fmt, ...)
{
    va_list args;

    *p = (struct hw_problem){ .code = code };
    snprintf(p->field, sizeof p->field, "%s", field ? field : "");
    va_start(args, fmt);
    vsnprintf(p->message, sizeof p->message, fmt, args);
    va_end(args);
    return false;
}

int hw_problem_status(const struct hw_problem *p)
{
    return codes[p->code].status;
}

/* What was cut off in the middle of a character is shown as what is left of it. */
static json_t *text_json(const char *text, const char *otherwise)
{
    json_t *value = json_string(text);

    return value ? value : json_string(otherwise);
}

static json_t *details_json(const struct hw_problem *p)
{
    json_t *details = json_object();

    if (p->field[0] != '\0')
        json_object_set_new(details, "field", text_json(p->field, "?"));
    if (p->missing_scope[0] != '\0')
        json_object_set_new(details, "missing_scope", text_json(p->missing_scope, "?"));
    if (p->oldest_cursor[0] != '\0')
        json_object_set_new(details, "oldest_cursor", json_string(p->oldest_cursor));
    if (p->limit != 0)
        json_object_set_new(details, "limit", json_integer(p->limit));
    return details;
}

json_t *hw_problem_json(const struct hw_problem *p)
{
    return json_pack("{s:{s:s, s:o, s:o}}", "error", "code", codes[p->code].text, "message",
                     text_json(p->message, codes[p->code].text), "details", details_json(p));
}

static int append_dumped(const char *text, size_t n_bytes, void *data)
{
    return hw_buf_append(data, text, n_bytes) == HW_OK ? 0 : -1;
}

enum hw_status hw_problem_write(const struct hw_problem *p, struct hw_buf *out)
{
    json_t *object = hw_problem_json(p);
    int rc = object ? json_dump_callback(object, append_dumped, out, JSON_COMPACT) : -1;

    json_decref(object);
    return rc == 0 ? HW_OK : HW_ENOMEM;
}
