/* scopes: what is one, lists of them, what they give. */
#include "core/scopes.h"

#include "check.h"
#include "support/scarce.h"

static struct hw_scopes scopes_of(const char *const *names)
{
    struct hw_scopes s;

    hw_scopes_init(&s);
    for (; *names != NULL; names++)
        CHECK_INT(hw_scopes_add(&s, hw_slice_str(*names)), ==, HW_OK);
    return s;
}

CASE(texts_that_are_scopes_and_texts_that_are_not)
{
    static const char *const good[] = { "a", "9", "events:read", "A.b_c-D:9", "x:" };
    static const char *const bad[] = { "",    ":a",  "-a",  ".a",      "_a",
                                       "a b", "a\"", "a/b", "\xc3\xa9" };
    char text[66];

    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        CHECK(hw_scope_is_valid(hw_slice_str(good[i])));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        CHECK(!hw_scope_is_valid(hw_slice_str(bad[i])));
    CHECK(!hw_scope_is_valid(hw_slice("a\0b", 3)));
    memset(text, 'a', sizeof text);
    CHECK(hw_scope_is_valid(hw_slice(text, 64)));
    CHECK(!hw_scope_is_valid(hw_slice(text, 65)));
}

CASE(a_list_keeps_the_order_and_no_repeats)
{
    const char *const names[] = { "b", "a", "b", "events:write", NULL };
    struct hw_scopes s = scopes_of(names), copy;

    CHECK_UINT(s.n_names, ==, 3);
    CHECK_STR(s.names[0], "b");
    CHECK_STR(s.names[1], "a");
    CHECK_STR(s.names[2], "events:write");
    CHECK(hw_scopes_has(&s, HW_SLICE("a")));
    CHECK(!hw_scopes_has(&s, HW_SLICE("ab")));
    CHECK(!hw_scopes_has(&s, HW_SLICE("")));
    hw_scopes_init(&copy);
    CHECK_INT(hw_scopes_add(&copy, HW_SLICE("gone")), ==, HW_OK);
    CHECK_INT(hw_scopes_copy(&copy, &s), ==, HW_OK);
    hw_scopes_close(&s);
    CHECK_UINT(copy.n_names, ==, 3);
    CHECK_STR(copy.names[2], "events:write");
    CHECK(!hw_scopes_has(&copy, HW_SLICE("gone")));
    hw_scopes_close(&copy);
}

CASE(a_list_has_a_bound)
{
    struct hw_scopes s;
    char name[12];

    hw_scopes_init(&s);
    for (int i = 0; i < HW_SCOPES_MAX; i++) {
        snprintf(name, sizeof name, "s%d", i);
        CHECK_INT(hw_scopes_add(&s, hw_slice_str(name)), ==, HW_OK);
    }
    CHECK_INT(hw_scopes_add(&s, HW_SLICE("one_more")), ==, HW_ETOOBIG);
    CHECK_INT(hw_scopes_add(&s, HW_SLICE("s7")), ==, HW_OK);
    CHECK_UINT(s.n_names, ==, HW_SCOPES_MAX);
    hw_scopes_close(&s);
}

CASE(built_in_scopes_are_powers_and_others_are_none)
{
    const char *const all[] = { "webhooks:manage", "deliveries:read", "deliveries:write",
                                "events:write", NULL };
    const char *const other[] = { "events:read", "orders", "webhooks:managed", NULL };
    struct hw_scopes s = scopes_of(all), o = scopes_of(other), none = scopes_of(all + 4);

    CHECK_UINT(hw_scopes_powers(&s), ==,
               HW_SCOPE_WEBHOOKS_MANAGE | HW_SCOPE_DELIVERIES_READ |
                   HW_SCOPE_DELIVERIES_WRITE | HW_SCOPE_EVENTS_WRITE | HW_SCOPE_ANY);
    CHECK_UINT(hw_scopes_powers(&o), ==, HW_SCOPE_ANY);
    CHECK_UINT(hw_scopes_powers(&none), ==, HW_SCOPE_ANY);
    CHECK(hw_scopes_read_all(&o));
    CHECK(!hw_scopes_read_all(&s));
    CHECK_STR(hw_scope_text(HW_SCOPE_DELIVERIES_WRITE), "deliveries:write");
    CHECK_NULL(hw_scope_text(HW_SCOPE_ROOT));
    CHECK_NULL(hw_scope_text(HW_SCOPE_ANY));
    CHECK_NULL(hw_scope_text(HW_SCOPE_OPEN));
    hw_scopes_close(&s);
    hw_scopes_close(&o);
    hw_scopes_close(&none);
}

CASE(out_of_memory_leaves_the_list_as_it_was)
{
    SCARCE_EACH(n)
    {
        struct hw_scopes s, copy;

        scarce_begin(0);
        hw_scopes_init(&s);
        hw_scopes_init(&copy);
        CHECK_INT(hw_scopes_add(&s, HW_SLICE("a")), ==, HW_OK);
        CHECK_INT(hw_scopes_add(&copy, HW_SLICE("c")), ==, HW_OK);
        scarce.fails_at = scarce.n_asked + n;
        bool is_added = hw_scopes_add(&s, HW_SLICE("b")) == HW_OK;
        CHECK_UINT(s.n_names, ==, is_added ? 2u : 1u);
        CHECK_STR(s.names[0], "a");
        bool is_copied = hw_scopes_copy(&copy, &s) == HW_OK;
        CHECK_STR(copy.names[0], is_copied ? "a" : "c");
        CHECK_INT(is_added && is_copied, ==, !scarce.has_failed);
        hw_scopes_close(&s);
        hw_scopes_close(&copy);
        scarce_end();
    }
}
