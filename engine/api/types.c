#include "api/types.h"

#include "api/form.h"
#include "api/body.h"
#include "api/paging.h"
#include "api/shared.h"
#include "hookwheel/alloc.h"

static json_t *type_json(const struct hw_event_type *type)
{
    return json_pack("{s:s, s:s, s:s, s:o, s:s, s:o}", "name", type->name, "object",
                     "event_type", "group", type->group, "title", hw_json_text(type->title),
                     "description", type->description, "required_scope",
                     hw_json_text(type->required_scope));
}

/* --- put ---------------------------------------------------------------------------- */

static bool check_name(const char *name, struct hw_problem *p)
{
    struct hw_slice text = hw_slice_str(name);

    if (!hw_entry_type_is_valid(text))
        return hw_problem_set(
            p, HW_PROBLEM_INVALID_REQUEST, "name",
            "An event type is words of letters, digits and _, joined by dots, "
            "at most 128 bytes.");
    if (hw_slice_starts(text, HW_SLICE("webhook.")))
        return hw_problem_set(p, HW_PROBLEM_INVALID_REQUEST, "name",
                              "webhook.* are the engine's own; take another name.");
    return true;
}

static bool check_scope(const char *scope, struct hw_problem *p)
{
    if (scope == NULL || hw_scope_is_valid(hw_slice_str(scope)))
        return true;
    return hw_problem_set(p, HW_PROBLEM_INVALID_REQUEST, "required_scope",
                          "required_scope is null, or 1 to 64 letters, digits, _ . : or -, "
                          "beginning with a letter or a digit.");
}

/* The texts stay the body's. */
static bool read_type(struct hw_event_type *type, const char *name, json_t *body,
                      struct hw_problem *p)
{
    static const struct hw_text_rule group_rule = { .name = "group", .max_bytes = 128 };
    static const struct hw_text_rule title_rule = { .name = "title",
                                                    .max_bytes = 128,
                                                    .is_optional = true };
    static const struct hw_text_rule description_rule = { .name = "description",
                                                          .max_bytes = 4096,
                                                          .has_lines = true };
    static const struct hw_text_rule scope_rule = { .name = "required_scope",
                                                    .max_bytes = 64,
                                                    .is_optional = true };
    const char *group, *title, *description, *scope;

    if (!check_name(name, p) ||
        !hw_body_check(body, "group title description required_scope", p) ||
        !hw_body_text(body, &group_rule, &group, p) ||
        !hw_body_text(body, &title_rule, &title, p) ||
        !hw_body_text(body, &description_rule, &description, p) ||
        !hw_body_text(body, &scope_rule, &scope, p) || !check_scope(scope, p))
        return false;
    *type = (struct hw_event_type){ .name = (char *)name,
                                    .group = (char *)group,
                                    .title = (char *)title,
                                    .description = (char *)description,
                                    .required_scope = (char *)scope };
    return true;
}

static bool prepare(struct hw_call *call, struct hw_problem *p)
{
    if (!hw_call_is_json(call, p))
        return false;
    call->body_json = hw_form_object(call->body, p);
    return call->body_json != NULL &&
           read_type(&call->type, call->match.values[0], call->body_json, p);
}

static void on_put(struct hw_backend_req *req)
{
    struct hw_call *call = hw_call_of(req);

    if (req->result != HW_BACKEND_OK)
        hw_call_refuse_result(call, req->result, "event type");
    else
        hw_call_json(call, 200, type_json(&call->type));
}

void hw_types_put(struct hw_call *call)
{
    const struct hw_backend *backend = call->api->options.backend;
    struct hw_problem p;

    if (!prepare(call, &p)) {
        hw_call_refuse(call, &p);
        return;
    }
    call->ask.book = (struct hw_backend_book){ .req.cb = on_put, .type = &call->type };
    backend->put_type(backend->data, &call->ask.book);
}

/* --- list, get, delete --------------------------------------------------------------- */

static const struct hw_catalogue *catalogue_of(const struct hw_call *call)
{
    const struct hw_backend *backend = call->api->options.backend;

    return backend->catalogue(backend->data);
}

/* Redis is asked first, so that every instance answers what it has. */
static void ask_for_types(struct hw_call *call, hw_backend_cb cb)
{
    const struct hw_backend *backend = call->api->options.backend;

    call->ask.book = (struct hw_backend_book){ .req.cb = cb };
    backend->refresh_types(backend->data, &call->ask.book);
}

static json_t *list_json(const struct hw_catalogue *catalogue)
{
    const struct hw_event_type **types = hw_malloc((catalogue->n_types + 1) * sizeof *types);
    json_t *data;

    if (types == NULL)
        return NULL;
    hw_catalogue_sorted(catalogue, types);
    data = json_array();
    for (size_t i = 0; i < catalogue->n_types; i++)
        json_array_append_new(data, type_json(types[i]));
    hw_free(types);
    return json_pack("{s:o}", "data", data);
}

static void on_listed(struct hw_backend_req *req)
{
    struct hw_call *call = hw_call_of(req);

    if (req->result != HW_BACKEND_OK)
        hw_call_refuse_result(call, req->result, "event type");
    else
        hw_call_json(call, 200, list_json(catalogue_of(call)));
}

void hw_types_list(struct hw_call *call)
{
    ask_for_types(call, on_listed);
}

static void on_found(struct hw_backend_req *req)
{
    struct hw_call *call = hw_call_of(req);
    const struct hw_event_type *type =
        hw_catalogue_find(catalogue_of(call), hw_slice_str(call->match.values[0]));

    if (req->result != HW_BACKEND_OK)
        hw_call_refuse_result(call, req->result, "event type");
    else if (type == NULL)
        hw_call_refuse_result(call, HW_BACKEND_NOT_FOUND, "event type");
    else
        hw_call_json(call, 200, type_json(type));
}

void hw_types_get(struct hw_call *call)
{
    ask_for_types(call, on_found);
}

static void on_deleted(struct hw_backend_req *req)
{
    struct hw_call *call = hw_call_of(req);

    if (req->result != HW_BACKEND_OK)
        hw_call_refuse_result(call, req->result, "event type");
    else
        hw_call_nothing(call);
}

void hw_types_delete(struct hw_call *call)
{
    const struct hw_backend *backend = call->api->options.backend;

    call->ask.book =
        (struct hw_backend_book){ .req.cb = on_deleted, .key = call->match.values[0] };
    backend->drop_type(backend->data, &call->ask.book);
}
