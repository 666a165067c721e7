/* catalogue: types stored and found, and who may read which. */
#include "core/catalogue.h"

#include "check.h"
#include "support/scarce.h"

#define FULL                                                                                  \
    "{\"group\":\"Orders\",\"title\":\"Created\",\"description\":\"An order.\","              \
    "\"required_scope\":\"orders:read\"}"
#define PLAIN "{\"group\":\"g\",\"description\":\"\"}"

static struct hw_catalogue catalogue;

static enum hw_status add(const char *name, const char *stored)
{
    return hw_catalogue_add(&catalogue, hw_slice_str(name), hw_slice_str(stored), NULL);
}

static const struct hw_event_type *find(const char *name)
{
    return hw_catalogue_find(&catalogue, hw_slice_str(name));
}

CASE(a_type_goes_there_and_back)
{
    const struct hw_event_type *type;
    struct hw_buf out;

    hw_catalogue_init(&catalogue);
    CHECK_NULL(find("order.created"));
    CHECK_INT(add("order.created", FULL), ==, HW_OK);
    type = find("order.created");
    CHECK_STR(type->name, "order.created");
    CHECK_STR(type->group, "Orders");
    CHECK_STR(type->title, "Created");
    CHECK_STR(type->description, "An order.");
    CHECK_STR(type->required_scope, "orders:read");
    hw_buf_init(&out, 4096);
    CHECK_INT(hw_event_type_write(type, &out), ==, HW_OK);
    CHECK_SLICE(hw_buf_slice(&out), FULL);
    CHECK_INT(add("order.paid", PLAIN), ==, HW_OK);
    CHECK_NULL(find("order.paid")->title);
    CHECK_NULL(find("order.paid")->required_scope);
    hw_buf_reset(&out);
    CHECK_INT(hw_event_type_write(find("order.paid"), &out), ==, HW_OK);
    CHECK_SLICE(hw_buf_slice(&out), PLAIN);
    hw_buf_close(&out);
    CHECK_NULL(find("order"));
    CHECK_NULL(find("order.paid.x"));
    hw_catalogue_close(&catalogue);
}

CASE(one_of_the_same_name_is_replaced)
{
    hw_catalogue_init(&catalogue);
    CHECK_INT(add("a", FULL), ==, HW_OK);
    CHECK_INT(add("a", PLAIN), ==, HW_OK);
    CHECK_UINT(catalogue.n_types, ==, 1);
    CHECK_STR(find("a")->group, "g");
    hw_catalogue_close(&catalogue);
    CHECK_UINT(catalogue.n_types, ==, 0);
    CHECK_NULL(find("a"));
    hw_catalogue_close(&catalogue);
}

CASE(sorted_by_name)
{
    static const char *const names[] = { "b", "a.b", "a", "a_b", "B", "a.a" };
    static const char *const sorted[] = { "B", "a", "a.a", "a.b", "a_b", "b" };
    const struct hw_event_type *out[6];

    hw_catalogue_init(&catalogue);
    hw_catalogue_sorted(&catalogue, out);
    for (size_t i = 0; i < 6; i++)
        CHECK_INT(add(names[i], PLAIN), ==, HW_OK);
    CHECK_UINT(catalogue.n_types, ==, 6);
    hw_catalogue_sorted(&catalogue, out);
    for (size_t i = 0; i < 6; i++)
        CHECK_STR(out[i]->name, sorted[i]);
    hw_catalogue_close(&catalogue);
}

CASE(what_was_not_written_by_us_is_refused_by_name)
{
    static const struct {
        const char *stored, *named;
    } bad[] = {
        { "", "object" },
        { "[]", "object" },
        { "{\"description\":\"d\"}", "group" },
        { "{\"group\":5,\"description\":\"d\"}", "group" },
        { "{\"group\":\"g\"}", "description" },
        { "{\"group\":\"g\",\"description\":\"d\",\"title\":[]}", "title" },
        { "{\"group\":\"g\",\"description\":\"d\",\"required_scope\":1}", "required_scope" },
        { "{\"group\":\"g\",\"description\":\"d\",\"required_scope\":\"a b\"}",
          "required_scope" },
    };

    hw_catalogue_init(&catalogue);
    CHECK_INT(add("a", FULL), ==, HW_OK);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct hw_cause cause = { 0 };
        CHECK_INT(
            hw_catalogue_add(&catalogue, HW_SLICE("a"), hw_slice_str(bad[i].stored), &cause),
            ==, HW_EINVAL);
        CHECK_CONTAINS(cause.note, bad[i].named);
    }
    CHECK_STR(find("a")->group, "Orders");
    hw_catalogue_close(&catalogue);
}

/* What is missing for that type, "" where nothing is. */
static const char *missing(const char *scope, const char *type)
{
    struct hw_scopes scopes;
    const char *lacking = NULL;
    bool may;

    hw_scopes_init(&scopes);
    CHECK_INT(hw_scopes_add(&scopes, hw_slice_str(scope)), ==, HW_OK);
    may = hw_catalogue_may_read(&catalogue, &scopes, hw_slice_str(type), &lacking);
    CHECK_INT(may, ==, hw_catalogue_may_read(&catalogue, &scopes, hw_slice_str(type), NULL));
    CHECK_INT(may, ==, lacking == NULL);
    hw_scopes_close(&scopes);
    return may ? "" : lacking;
}

CASE(who_may_read_what)
{
    hw_catalogue_init(&catalogue);
    CHECK_STR(missing("orders:read", "order.created"), "events:read"); /* not in it yet */
    CHECK_INT(add("order.created", FULL), ==, HW_OK);
    CHECK_INT(add("order.paid", PLAIN), ==, HW_OK);
    CHECK_STR(missing("orders:read", "order.created"), "");
    CHECK_STR(missing("orders", "order.created"), "orders:read");
    CHECK_STR(missing("orders:read", "order.paid"), "events:read");
    CHECK_STR(missing("orders:read", "unknown"), "events:read");
    CHECK_STR(missing("events:read", "order.created"), "");
    CHECK_STR(missing("events:read", "order.paid"), "");
    CHECK_STR(missing("events:read", "unknown"), "");
    CHECK_STR(missing("webhooks:manage", "webhook.disabled"), "");
    CHECK_STR(missing("webhooks:manage", "webhooks"), "events:read");
    CHECK_STR(missing("orders:read", "webhook.test"), "webhooks:manage");
    hw_catalogue_close(&catalogue);
}

CASE(out_of_memory_changes_nothing)
{
    SCARCE_EACH(n)
    {
        scarce_begin(n);
        hw_catalogue_init(&catalogue);
        bool is_one = add("a", PLAIN) == HW_OK;
        CHECK_UINT(catalogue.n_types, ==, is_one);
        bool is_other = add("a", FULL) == HW_OK;
        if (is_one || is_other)
            CHECK_STR(find("a")->group, is_other ? "Orders" : "g");
        else
            CHECK_NULL(find("a"));
        CHECK_INT(is_one && is_other, ==, !scarce.has_failed);
        hw_catalogue_close(&catalogue);
        scarce_end();
    }
}
