/* subscriptions: whose event it is; what replaces what. */
#include "core/subscriptions.h"

#include "check.h"
#include "support/scarce.h"

static struct hw_subscriptions subscriptions;

static struct hw_webhook *webhook(uint32_t w, const char *type)
{
    struct hw_webhook *wh = hw_webhook_new();

    CHECK_NOT_NULL(wh);
    wh->w = w;
    wh->level = HW_LEVEL_USER;
    wh->standing.status = HW_WEBHOOK_ACTIVE;
    if (type != NULL)
        CHECK_INT(hw_webhook_add_type(wh, hw_slice_str(type)), ==, HW_OK);
    return wh;
}

static void put(const char *account, uint64_t version, struct hw_webhook **all, size_t n)
{
    CHECK_INT(hw_subscriptions_put(&subscriptions, hw_slice_str(account), version, all, n), ==, HW_OK);
}

/* The numbers of those that want it, "0 2 5". */
static const char *wanted_by(const char *account, const char *type, const char *subject,
                             enum hw_level level)
{
    static char text[100];
    struct hw_webhook *out[16];
    struct hw_account *a = hw_subscriptions_account(&subscriptions, hw_slice_str(account));
    size_t n, used = 0;

    CHECK_NOT_NULL(a);
    n = hw_subscriptions_match(&subscriptions, a, hw_slice_str(type), hw_slice_str(subject), level, out, 16);
    text[0] = '\0';
    for (size_t i = 0; i < n; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%u", i ? " " : "", out[i]->w);
    return text;
}

CASE(types_are_exact_and_none_means_all_but_the_engines_own)
{
    struct hw_webhook *all[] = { webhook(0, NULL), webhook(1, "order.created"),
                                 webhook(2, "webhook.disabled"), webhook(3, "order") };

    hw_subscriptions_init(&subscriptions);
    CHECK_INT(hw_webhook_add_type(all[3], HW_SLICE("order.paid")), ==, HW_OK);
    put("a", 1, all, 4);
    CHECK_STR(wanted_by("a", "order.created", "", HW_LEVEL_USER), "0 1");
    CHECK_STR(wanted_by("a", "order.paid", "", HW_LEVEL_USER), "0 3");
    CHECK_STR(wanted_by("a", "order", "", HW_LEVEL_USER), "0 3");
    CHECK_STR(wanted_by("a", "order.create", "", HW_LEVEL_USER), "0");
    CHECK_STR(wanted_by("a", "webhook.disabled", "", HW_LEVEL_USER), "2");
    CHECK_STR(wanted_by("a", "webhook.test", "", HW_LEVEL_USER), "");
    CHECK_STR(wanted_by("a", "webhooks", "", HW_LEVEL_USER), "0");
    hw_subscriptions_close(&subscriptions);
}

CASE(a_subject_is_exact_and_none_means_any)
{
    struct hw_webhook *all[] = { webhook(0, NULL), webhook(1, NULL) };

    hw_subscriptions_init(&subscriptions);
    CHECK_INT(hw_webhook_set_text(&all[1]->subject, HW_SLICE("s_1")), ==, HW_OK);
    put("a", 1, all, 2);
    CHECK_STR(wanted_by("a", "x", "s_1", HW_LEVEL_USER), "0 1");
    CHECK_STR(wanted_by("a", "x", "s_12", HW_LEVEL_USER), "0");
    CHECK_STR(wanted_by("a", "x", "", HW_LEVEL_USER), "0");
    hw_subscriptions_close(&subscriptions);
}

CASE(progress_goes_only_to_those_who_ask_for_it)
{
    struct hw_webhook *all[] = { webhook(0, NULL), webhook(1, NULL) };

    hw_subscriptions_init(&subscriptions);
    all[1]->level = HW_LEVEL_PROGRESS;
    put("a", 1, all, 2);
    CHECK_STR(wanted_by("a", "x", "", HW_LEVEL_USER), "0 1");
    CHECK_STR(wanted_by("a", "x", "", HW_LEVEL_PROGRESS), "1");
    hw_subscriptions_close(&subscriptions);
}

CASE(paused_ones_still_collect_and_disabled_and_deleted_ones_do_not)
{
    struct hw_webhook *all[] = { webhook(0, NULL), webhook(1, NULL), webhook(2, NULL),
                                 webhook(3, NULL) };

    hw_subscriptions_init(&subscriptions);
    all[1]->standing.status = HW_WEBHOOK_PAUSED;
    all[2]->standing.status = HW_WEBHOOK_DISABLED;
    all[3]->standing.status = HW_WEBHOOK_DELETED;
    put("a", 1, all, 4);
    CHECK_STR(wanted_by("a", "x", "", HW_LEVEL_USER), "0 1");
    CHECK_UINT(hw_subscriptions_count(&subscriptions, HW_WEBHOOK_ACTIVE), ==, 1);
    CHECK_UINT(hw_subscriptions_count(&subscriptions, HW_WEBHOOK_DISABLED), ==, 1);
    for (size_t i = 0; i < 4; i++) /* each would, but for that */
        CHECK(hw_subscriptions_wants(&subscriptions, all[i], HW_SLICE("x"), hw_slice(NULL, 0),
                                     HW_LEVEL_USER));
    CHECK(!hw_subscriptions_wants(&subscriptions, all[0], HW_SLICE("x"), hw_slice(NULL, 0),
                                  HW_LEVEL_PROGRESS));
    hw_subscriptions_close(&subscriptions);
}

static void let_read(struct hw_webhook *wh, const char *scope)
{
    wh->reads_all = false;
    CHECK_INT(hw_scopes_add(&wh->readable, hw_slice_str(scope)), ==, HW_OK);
}

CASE(what_its_creator_could_not_read_a_webhook_does_not_get)
{
    struct hw_webhook *all[] = { webhook(0, NULL), webhook(1, NULL), webhook(2, NULL),
                                 webhook(3, "order.created"), webhook(4, "webhook.disabled") };
    struct hw_catalogue catalogue;

    hw_subscriptions_init(&subscriptions);
    let_read(all[1], "orders:read");
    let_read(all[2], "events:read");
    let_read(all[3], "webhooks:manage");
    let_read(all[4], "orders:read");
    CHECK_INT(hw_webhook_add_type(all[4], HW_SLICE("order.created")), ==, HW_OK);
    put("a", 1, all, 5);
    CHECK_STR(wanted_by("a", "order.created", "", HW_LEVEL_USER), "0 1 2 3 4"); /* nobody is asked */
    hw_catalogue_init(&catalogue);
    subscriptions.catalogue = &catalogue;
    CHECK_STR(wanted_by("a", "order.created", "", HW_LEVEL_USER), "0 2");
    for (size_t i = 0; i < 5; i++)
        CHECK_INT(hw_subscriptions_wants(&subscriptions, all[i], HW_SLICE("order.created"),
                                         hw_slice(NULL, 0), HW_LEVEL_USER),
                  ==, i == 0 || i == 2);
    CHECK_INT(hw_catalogue_add(&catalogue, HW_SLICE("order.created"),
                               HW_SLICE("{\"group\":\"g\",\"description\":\"d\","
                                        "\"required_scope\":\"orders:read\"}"),
                               NULL),
              ==, HW_OK);
    CHECK_STR(wanted_by("a", "order.created", "", HW_LEVEL_USER), "0 1 2 4");
    CHECK_STR(wanted_by("a", "order.paid", "", HW_LEVEL_USER), "0 2");
    CHECK_STR(wanted_by("a", "webhook.disabled", "", HW_LEVEL_USER), "4"); /* named is enough */
    hw_subscriptions_close(&subscriptions);
    hw_catalogue_close(&catalogue);
}

CASE(accounts_do_not_see_each_other)
{
    struct hw_webhook *a[] = { webhook(0, NULL) }, *b[] = { webhook(1, NULL) };

    hw_subscriptions_init(&subscriptions);
    put("a", 1, a, 1);
    put("b", 1, b, 1);
    CHECK_STR(wanted_by("a", "x", "", HW_LEVEL_USER), "0");
    CHECK_STR(wanted_by("b", "x", "", HW_LEVEL_USER), "1");
    CHECK_NULL(hw_subscriptions_account(&subscriptions, HW_SLICE("ab")));
    CHECK_NULL(hw_subscriptions_account(&subscriptions, HW_SLICE("")));
    hw_subscriptions_close(&subscriptions);
}

CASE(more_matches_than_room_are_counted_and_not_written)
{
    struct hw_webhook *all[] = { webhook(0, NULL), webhook(1, NULL), webhook(2, NULL) };
    struct hw_webhook *out[3] = { NULL, NULL, NULL };

    hw_subscriptions_init(&subscriptions);
    put("a", 1, all, 3);
    CHECK_UINT(hw_subscriptions_match(&subscriptions,
                                      hw_subscriptions_account(&subscriptions, HW_SLICE("a")),
                                      HW_SLICE("x"), HW_SLICE(""), HW_LEVEL_USER, out, 2), ==, 3);
    CHECK_PTR(out[0], ==, all[0]);
    CHECK_PTR(out[1], ==, all[1]);
    CHECK_NULL(out[2]);
    hw_subscriptions_close(&subscriptions);
}

CASE(a_later_version_replaces_all_that_was_known)
{
    struct hw_webhook *old[] = { webhook(4, NULL), webhook(5, NULL) };
    struct hw_webhook *young[] = { webhook(5, "y"), webhook(900, NULL) };
    struct hw_webhook *kept = hw_webhook_hold(old[0]);

    hw_subscriptions_init(&subscriptions);
    put("a", 3, old, 2);
    CHECK_PTR(hw_subscriptions_find(&subscriptions, 5), ==, old[1]);
    put("a", 7, young, 2);
    CHECK_UINT(hw_subscriptions_account(&subscriptions, HW_SLICE("a"))->version, ==, 7);
    CHECK_NULL(hw_subscriptions_find(&subscriptions, 4));
    CHECK_PTR(hw_subscriptions_find(&subscriptions, 5), ==, young[0]);
    CHECK_PTR(hw_subscriptions_find(&subscriptions, 900), ==, young[1]);
    CHECK_NULL(hw_subscriptions_find(&subscriptions, 901));
    CHECK_NULL(hw_subscriptions_find(&subscriptions, UINT32_MAX));
    CHECK_UINT(kept->refs, ==, 1); /* whoever holds it still may */
    put("a", 8, NULL, 0);
    CHECK_STR(wanted_by("a", "x", "", HW_LEVEL_USER), "");
    CHECK_NULL(hw_subscriptions_find(&subscriptions, 5));
    hw_webhook_release(kept);
    hw_subscriptions_close(&subscriptions);
}

/* Version 2 of an account after version 1, and a second account: each refused allocation leaves what
 * was known. */
static void replace(void)
{
    struct hw_webhook *one[] = { webhook(1, NULL) }, *two[] = { webhook(70, NULL), webhook(2, NULL) };
    struct hw_webhook *three[] = { webhook(200, NULL) };

    if (hw_subscriptions_put(&subscriptions, HW_SLICE("a"), 1, one, 1) == HW_OK) {
        bool is_done = hw_subscriptions_put(&subscriptions, HW_SLICE("a"), 2, two, 2) == HW_OK;
        CHECK_STR(wanted_by("a", "x", "", HW_LEVEL_USER), is_done ? "70 2" : "1");
        CHECK_INT(hw_subscriptions_find(&subscriptions, 1) == NULL, ==, is_done);
    } else {
        CHECK_NULL(hw_subscriptions_account(&subscriptions, HW_SLICE("a")));
        CHECK_NULL(hw_subscriptions_find(&subscriptions, 1));
        hw_webhook_release(two[0]);
        hw_webhook_release(two[1]);
    }
    if (hw_subscriptions_put(&subscriptions, HW_SLICE("b"), 1, three, 1) != HW_OK)
        CHECK_NULL(hw_subscriptions_find(&subscriptions, 200));
}

CASE(out_of_memory_changes_nothing)
{
    enum { WEBHOOKS = 4 };
    SCARCE_EACH(n)
    {
        scarce_begin(0);
        hw_subscriptions_init(&subscriptions);
        scarce.fails_at = WEBHOOKS + n; /* those are made first, and are not refused */
        replace();
        hw_subscriptions_close(&subscriptions);
        scarce_end();
    }
}
