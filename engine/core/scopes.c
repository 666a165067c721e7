#include "core/scopes.h"

#include "hookwheel/alloc.h"

static const struct {
    enum hw_scope scope;
    const char *text;
} built_in[] = {
    { HW_SCOPE_WEBHOOKS_MANAGE, "webhooks:manage" },
    { HW_SCOPE_DELIVERIES_READ, "deliveries:read" },
    { HW_SCOPE_DELIVERIES_WRITE, "deliveries:write" },
    { HW_SCOPE_EVENTS_WRITE, "events:write" },
};
enum { N_BUILT_IN = sizeof built_in / sizeof *built_in, NAME_MAX_BYTES = 64 };

const char *hw_scope_text(enum hw_scope scope)
{
    for (size_t i = 0; i < N_BUILT_IN; i++)
        if (built_in[i].scope == scope)
            return built_in[i].text;
    return NULL;
}

static bool is_letter_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool hw_scope_is_valid(struct hw_slice text)
{
    if (text.len == 0 || text.len > NAME_MAX_BYTES || !is_letter_or_digit(text.data[0]))
        return false;
    for (size_t i = 1; i < text.len; i++)
        if (!is_letter_or_digit(text.data[i]) && (text.data[i] == '\0' ||
                                                  strchr("_.:-", text.data[i]) == NULL))
            return false;
    return true;
}

void hw_scopes_init(struct hw_scopes *s)
{
    *s = (struct hw_scopes){ 0 };
}

void hw_scopes_close(struct hw_scopes *s)
{
    for (size_t i = 0; i < s->n_names; i++)
        hw_free(s->names[i]);
    hw_free(s->names);
    hw_scopes_init(s);
}

bool hw_scopes_has(const struct hw_scopes *s, struct hw_slice name)
{
    for (size_t i = 0; i < s->n_names; i++)
        if (hw_slice_is(name, s->names[i]))
            return true;
    return false;
}

enum hw_status hw_scopes_add(struct hw_scopes *s, struct hw_slice name)
{
    char **names, *copy;

    if (hw_scopes_has(s, name))
        return HW_OK;
    if (s->n_names == HW_SCOPES_MAX)
        return HW_ETOOBIG;
    copy = hw_strndup(name.data, name.len);
    names = copy ? hw_realloc(s->names, (s->n_names + 1) * sizeof *names) : NULL;
    if (names == NULL) {
        hw_free(copy);
        return HW_ENOMEM;
    }
    s->names = names;
    names[s->n_names++] = copy;
    return HW_OK;
}

enum hw_status hw_scopes_copy(struct hw_scopes *to, const struct hw_scopes *from)
{
    struct hw_scopes copy;
    enum hw_status status = HW_OK;

    hw_scopes_init(&copy);
    for (size_t i = 0; i < from->n_names && status == HW_OK; i++)
        status = hw_scopes_add(&copy, hw_slice_str(from->names[i]));
    if (status != HW_OK) {
        hw_scopes_close(&copy);
        return status;
    }
    hw_scopes_close(to);
    *to = copy;
    return HW_OK;
}

unsigned hw_scopes_powers(const struct hw_scopes *s)
{
    unsigned powers = HW_SCOPE_ANY;

    for (size_t i = 0; i < N_BUILT_IN; i++)
        if (hw_scopes_has(s, hw_slice_str(built_in[i].text)))
            powers |= (unsigned)built_in[i].scope;
    return powers;
}

bool hw_scopes_read_all(const struct hw_scopes *s)
{
    return hw_scopes_has(s, HW_SLICE("events:read"));
}
