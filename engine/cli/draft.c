#include "cli/draft.h"

bool hw_draft_set(struct hw_shell *s, json_t *body, const char *name, json_t *value)
{
    if (value != NULL && json_object_set_new(body, name, value) == 0)
        return true;
    hw_shell_usage(s, "%s is not UTF-8 text", name);
    return false;
}

/* A list that lacks one of its items is no list. */
static json_t *list_add(json_t *list, json_t *item)
{
    if (list != NULL && item != NULL && json_array_append_new(list, item) == 0)
        return list;
    json_decref(list);
    return NULL;
}

json_t *hw_draft_list(const char *text)
{
    struct hw_slice rest = hw_slice_str(text);
    json_t *list = json_array();

    while (rest.len > 0 && list != NULL) {
        struct hw_slice item = hw_slice(rest.data, hw_slice_find(rest, ','));

        rest = hw_slice_from(rest, item.len + 1);
        while (item.len > 0 && item.data[0] == ' ')
            item = hw_slice_from(item, 1);
        if (item.len > 0)
            list = list_add(list, json_stringn(item.data, item.len));
    }
    return list;
}
