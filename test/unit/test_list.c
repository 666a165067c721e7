#include "check.h"

#include "base/list.h"

struct item {
    int number;
    struct hw_list link;
};

static int number_of(const struct hw_list *node)
{
    return HW_CONTAINER_OF(node, const struct item, link)->number;
}

/* "1 2 3", both ways round. */
static void check_order(const struct hw_list *head, const char *expected)
{
    char forward[200] = "", back[200] = "";
    size_t at = 0;

    HW_LIST_EACH(node, (struct hw_list *)(uintptr_t)head)
    at += (size_t)snprintf(forward + at, sizeof forward - at, "%s%d", at ? " " : "",
                           number_of(node));
    CHECK_STR(forward, expected);
    for (const struct hw_list *node = head->prev; node != head; node = node->prev) {
        char copy[200];
        memcpy(copy, back, sizeof copy);
        snprintf(back, sizeof back, "%d%s%.150s", number_of(node), *copy ? " " : "", copy);
    }
    CHECK_STR(back, expected);
}

struct fixture {
    struct hw_list head;
    struct item item[5];
};

static void fixture_init(struct fixture *f, int n_linked)
{
    hw_list_init(&f->head);
    for (int i = 0; i < 5; i++) {
        f->item[i].number = i + 1;
        hw_list_node_init(&f->item[i].link);
        if (i < n_linked)
            hw_list_push_back(&f->head, &f->item[i].link);
    }
}

CASE(push_at_both_ends)
{
    struct fixture f;

    fixture_init(&f, 0);
    CHECK(hw_list_is_empty(&f.head));
    CHECK_NULL(hw_list_first(&f.head));
    CHECK_NULL(hw_list_pop(&f.head));
    hw_list_push_back(&f.head, &f.item[1].link);
    hw_list_push_back(&f.head, &f.item[2].link);
    hw_list_push_front(&f.head, &f.item[0].link);
    check_order(&f.head, "1 2 3");
    CHECK_PTR(hw_list_first(&f.head), ==, &f.item[0].link);
    CHECK(!hw_list_is_empty(&f.head));
}

CASE(a_node_that_has_left_knows_it)
{
    struct fixture f;

    fixture_init(&f, 3);
    CHECK(hw_list_is_linked(&f.item[1].link));
    CHECK(!hw_list_is_linked(&f.item[3].link));
    hw_list_unlink(&f.item[1].link);
    CHECK(!hw_list_is_linked(&f.item[1].link));
    CHECK_NULL(f.item[1].link.prev);
    hw_list_unlink(&f.item[1].link); /* again: nothing */
    check_order(&f.head, "1 3");
    CHECK_PTR(hw_list_pop(&f.head), ==, &f.item[0].link);
    CHECK(!hw_list_is_linked(&f.item[0].link));
    check_order(&f.head, "3");
}

CASE(unlink_while_walking)
{
    struct fixture f;

    fixture_init(&f, 5);
    HW_LIST_EACH_SAFE(node, &f.head)
    if (number_of(node) % 2)
        hw_list_unlink(node);
    check_order(&f.head, "2 4");
}

CASE(splice)
{
    struct fixture f;
    struct hw_list other;

    fixture_init(&f, 3);
    hw_list_init(&other);
    hw_list_splice(&f.head, &other);
    check_order(&f.head, "1 2 3");
    hw_list_push_back(&other, &f.item[3].link);
    hw_list_push_back(&other, &f.item[4].link);
    hw_list_splice(&f.head, &other);
    CHECK(hw_list_is_empty(&other));
    check_order(&f.head, "1 2 3 4 5");
    hw_list_splice(&other, &f.head);
    CHECK(hw_list_is_empty(&f.head));
    check_order(&other, "1 2 3 4 5");
}
