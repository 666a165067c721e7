/*
 * list - an intrusive doubly linked list.
 *
 * A head and a node are the same struct.  A node that has left its list has its
 * pointers cleared, so "is it linked?" has an answer and a stale walk fails at
 * once.  Cost: O(1) each.  Errors: none.
 */
#ifndef HW_BASE_LIST_H
#define HW_BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct hw_list {
    struct hw_list *next;
    struct hw_list *prev;
};

#define HW_CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr) - offsetof(type, member)))

#define HW_LIST_EACH(pos, head) for (struct hw_list *pos = (head)->next; pos != (head); pos = pos->next)

/* The body may unlink or free `pos`, nothing else. */
#define HW_LIST_EACH_SAFE(pos, head)                                                      \
    for (struct hw_list *pos = (head)->next, *pos##_next = pos->next; pos != (head);      \
         pos = pos##_next, pos##_next = pos->next)

static inline void hw_list_init(struct hw_list *head) { head->next = head->prev = head; }
static inline void hw_list_node_init(struct hw_list *node) { node->next = node->prev = NULL; }
static inline bool hw_list_is_linked(const struct hw_list *node) { return node->next != NULL; }
static inline bool hw_list_is_empty(const struct hw_list *head) { return head->next == head; }

static inline void hw_list_push_back(struct hw_list *head, struct hw_list *node)
{
    node->prev = head->prev;
    node->next = head;
    head->prev->next = node;
    head->prev = node;
}

static inline void hw_list_push_front(struct hw_list *head, struct hw_list *node)
{
    hw_list_push_back(head->next, node);
}

static inline void hw_list_unlink(struct hw_list *node)
{
    if (!node->next)
        return;
    node->prev->next = node->next;
    node->next->prev = node->prev;
    node->next = node->prev = NULL;
}

/* First node, unlinked; NULL: empty. */
static inline struct hw_list *hw_list_pop(struct hw_list *head)
{
    struct hw_list *node = head->next;
    if (node == head)
        return NULL;
    hw_list_unlink(node);
    return node;
}

static inline struct hw_list *hw_list_first(const struct hw_list *head)
{
    return head->next == head ? NULL : head->next;
}

/* Move all of `from` to the end of `to`; `from` is empty afterwards. */
static inline void hw_list_splice(struct hw_list *to, struct hw_list *from)
{
    if (hw_list_is_empty(from))
        return;
    from->next->prev = to->prev;
    to->prev->next = from->next;
    from->prev->next = to;
    to->prev = from->prev;
    hw_list_init(from);
}

#endif
