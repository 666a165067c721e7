#include "core/catalogue.h"

#include <stdlib.h>

#include "base/list.h"
#include "base/must.h"
#include "core/stored.h"
#include "hookwheel/alloc.h"

static struct hw_event_type *type_of(struct hw_map_entry *entry)
{
    return HW_CONTAINER_OF(entry, struct hw_event_type, entry);
}

static void type_free(struct hw_event_type *type)
{
    hw_free(type->name);
    hw_free(type->group);
    hw_free(type->title);
    hw_free(type->description);
    hw_free(type->required_scope);
    hw_free(type);
}

void hw_catalogue_init(struct hw_catalogue *c)
{
    *c = (struct hw_catalogue){ 0 };
    hw_map_init(&c->types);
}

void hw_catalogue_close(struct hw_catalogue *c)
{
    struct hw_map_entry *entry;

    while ((entry = hw_map_next(&c->types, NULL)) != NULL) {
        hw_map_remove(&c->types, entry);
        type_free(type_of(entry));
    }
    hw_map_close(&c->types);
    c->n_types = 0;
}

/* --- the stored form --- */

enum hw_status hw_event_type_write(const struct hw_event_type *type, struct hw_buf *out)
{
    struct hw_stored_writer w;

    hw_stored_begin(&w);
    hw_stored_put_text(&w, "group", type->group);
    hw_stored_put_some(&w, "title", type->title);
    hw_stored_put_text(&w, "description", type->description);
    hw_stored_put_some(&w, "required_scope", type->required_scope);
    return hw_stored_end(&w, out);
}

static void read_type(struct hw_stored_reader *r, struct hw_event_type *type)
{
    if (!hw_stored_copy_text(r, "group", &type->group))
        hw_stored_bad(r, "group");
    (void)hw_stored_copy_text(r, "title", &type->title);
    if (!hw_stored_copy_text(r, "description", &type->description))
        hw_stored_bad(r, "description");
    if (hw_stored_copy_text(r, "required_scope", &type->required_scope) &&
        !hw_scope_is_valid(hw_slice_str(type->required_scope)))
        hw_stored_bad(r, "required_scope");
}

static enum hw_status type_read(struct hw_event_type **out, struct hw_slice name,
                                struct hw_slice stored, struct hw_cause *cause)
{
    struct hw_event_type *type = hw_calloc(1, sizeof *type);
    struct hw_stored_reader r;

    if (type == NULL || (type->name = hw_strndup(name.data, name.len)) == NULL) {
        hw_free(type);
        return hw_cause_set(cause, HW_ENOMEM, HW_ORIGIN_US, 0, "stored event type");
    }
    if (hw_stored_open(&r, stored, "event type", cause) == HW_OK)
        read_type(&r, type);
    if (hw_stored_close(&r) == HW_OK)
        *out = type;
    else
        type_free(type);
    return r.status;
}

enum hw_status hw_catalogue_add(struct hw_catalogue *c, struct hw_slice name,
                                struct hw_slice stored, struct hw_cause *cause)
{
    struct hw_map_entry *before = hw_map_find(&c->types, name);
    struct hw_event_type *type = NULL;
    enum hw_status status = type_read(&type, name, stored, cause);

    if (status != HW_OK)
        return status;
    if (before != NULL) { /* a map that held one has room for one */
        hw_map_remove(&c->types, before);
        type_free(type_of(before));
    }
    status = hw_map_add(&c->types, &type->entry, hw_slice(type->name, name.len));
    if (status != HW_OK) {
        HW_MUST(before == NULL);
        type_free(type);
        return hw_cause_set(cause, status, HW_ORIGIN_US, 0, "catalogue of event types");
    }
    c->n_types = c->types.n_entries;
    return HW_OK;
}

/* --- looking up --- */

const struct hw_event_type *hw_catalogue_find(const struct hw_catalogue *c,
                                              struct hw_slice name)
{
    struct hw_map_entry *entry = hw_map_find(&c->types, name);

    return entry ? type_of(entry) : NULL;
}

static int by_name(const void *a, const void *b)
{
    const struct hw_event_type *const *one = a, *const *other = b;

    return strcmp((*one)->name, (*other)->name);
}

void hw_catalogue_sorted(const struct hw_catalogue *c, const struct hw_event_type **out)
{
    size_t n = 0;

    for (struct hw_map_entry *e = hw_map_next(&c->types, NULL); e != NULL;
         e = hw_map_next(&c->types, e))
        out[n++] = type_of(e);
    if (n > 0)
        qsort(out, n, sizeof *out, by_name);
}

static const char *scope_for(const struct hw_catalogue *c, struct hw_slice type)
{
    const struct hw_event_type *known;

    if (hw_slice_starts(type, HW_SLICE("webhook.")))
        return hw_scope_text(HW_SCOPE_WEBHOOKS_MANAGE);
    known = hw_catalogue_find(c, type);
    return known && known->required_scope ? known->required_scope : "events:read";
}

bool hw_catalogue_may_read(const struct hw_catalogue *c, const struct hw_scopes *scopes,
                           struct hw_slice type, const char **missing)
{
    const char *scope = scope_for(c, type);

    if (hw_scopes_read_all(scopes) || hw_scopes_has(scopes, hw_slice_str(scope)))
        return true;
    if (missing != NULL)
        *missing = scope;
    return false;
}
