#include "store/keys.h"

#include <stdio.h>
#include <sys/random.h>

#include "base/must.h"
#include "hookwheel/alloc.h"

static bool is_usable(struct hw_slice name)
{
    for (size_t i = 0; i < name.len; i++)
        if (name.data[i] == '{' || name.data[i] == '}' || (unsigned char)name.data[i] <= ' ')
            return false;
    return name.len > 0 && name.len < HW_KEY_MAX - 16;
}

static enum hw_status copy(char *out, const char *name, const char *what,
                           struct hw_cause *cause)
{
    if (!is_usable(hw_slice_str(name)))
        return hw_cause_set(cause, HW_EINVAL, HW_ORIGIN_US, 0,
                            "%s \"%.60s\": 1 to %d characters, no spaces, no braces", what,
                            name, HW_KEY_MAX - 17);
    memcpy(out, name, strlen(name) + 1);
    return HW_OK;
}

enum hw_status hw_keys_init(struct hw_keys *k, const char *prefix, const char *stream,
                            const char *group, struct hw_cause *cause)
{
    char checked[HW_KEY_MAX];
    enum hw_status status = copy(checked, prefix, "key prefix", cause);

    memset(k, 0, sizeof *k);
    if (status != HW_OK)
        return status;
    snprintf(k->tag, sizeof k->tag, "%s:{s0}:", checked);
    snprintf(k->meta, sizeof k->meta, "%s:meta", checked);
    snprintf(k->rejected, sizeof k->rejected, "%s:rejected", checked);
    if (stream == NULL || *stream == '\0')
        snprintf(k->events, sizeof k->events, "%.*s:events", HW_KEY_MAX - 8, checked);
    else if ((status = copy(k->events, stream, "stream", cause)) != HW_OK)
        return status;
    return copy(k->group, group != NULL && *group != '\0' ? group : "hookwheel", "group",
                cause);
}

void hw_store_eval(const struct hw_store *store, struct hw_command *c,
                   const struct hw_script *script, const char *key, const char *key2)
{
    hw_command_reset(c);
    hw_command_eval(c, script, 1 + (key != NULL) + (key2 != NULL));
    hw_command_fmt(c, "%sinst", store->keys.tag);
    if (key != NULL)
        hw_command_str(c, key);
    if (key2 != NULL)
        hw_command_str(c, key2);
    hw_command_str(c, store->keys.tag);
    hw_command_str(c, store->instance);
    hw_command_str(c, store->epoch);
}

void hw_store_random(char out[HW_INSTANCE_CHARS + 1])
{
    static const char digits[] = "0123456789abcdefghjkmnpqrstvwxyz";
    unsigned char random[HW_INSTANCE_CHARS];

    HW_MUST(getrandom(random, sizeof random, 0) == (ssize_t)sizeof random);
    for (size_t i = 0; i < sizeof random; i++)
        out[i] = digits[random[i] % 32];
    out[HW_INSTANCE_CHARS] = '\0';
}

uint32_t hw_store_random_number(void)
{
    uint32_t number;

    HW_MUST(getrandom(&number, sizeof number, 0) == (ssize_t)sizeof number);
    return number;
}

void *hw_store_grow(void *array, size_t n, size_t *cap, size_t each_bytes)
{
    size_t more = *cap > 0 ? 2 * *cap : 16;
    void *moved;

    if (n < *cap)
        return array;
    if ((moved = hw_realloc(array, more * each_bytes)) != NULL)
        *cap = more;
    return moved;
}
