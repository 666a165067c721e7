#include "api/once.h"

#include <stdio.h>

#include "rules/json.h"
#include "rules/sign.h"

enum { HASH_BYTES = 64, STATUS_DIGITS = 3 };

#define HEADER "Idempotency-Key"

void hw_once_init(struct hw_once *o)
{
    *o = (struct hw_once){ 0 };
    hw_list_node_init(&o->link);
}

/* --- whose key ------------------------------------------------------------------- */

/* A JSON string that is an account's name as it stands. */
static bool read_account(struct hw_slice value, char room[65])
{
    struct hw_slice name;

    if (value.len < 2 || value.data[0] != '"')
        return false;
    name = hw_slice(value.data + 1, value.len - 2);
    if (!hw_entry_account_is_valid(name))
        return false;
    memcpy(room, name.data, name.len);
    room[name.len] = '\0';
    return true;
}

/* Of an object; whatever else the text is has none. */
static bool find_account(struct hw_slice object, char room[65], struct hw_slice *events)
{
    struct hw_json_member member;

    while (hw_json_next_member(&object, &member)) {
        if (hw_json_name_is(member.name, "account"))
            return read_account(member.value, room);
        if (events != NULL && hw_json_name_is(member.name, "events"))
            *events = member.value;
    }
    return false;
}

const char *hw_once_root_account(struct hw_slice body, char room[65])
{
    struct hw_slice events = hw_slice(NULL, 0);

    if (find_account(body, room, &events))
        return room;
    /* Behind the bracket of the list is its first event. */
    if (find_account(hw_slice_from(events, 1), room, NULL))
        return room;
    return "default";
}

/* --- the key --------------------------------------------------------------------- */

static bool is_printable(struct hw_slice text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.data[i] < 0x20 || text.data[i] > 0x7e)
            return false;
    return true;
}

bool hw_once_set(struct hw_once *o, struct hw_slice header, const char *account,
                 const char *route, struct hw_slice body, int status, struct hw_problem *p)
{
    char hash[HASH_BYTES + 1];

    if (header.len == 0 || header.len > HW_ONCE_HEADER_MAX || !is_printable(header))
        return hw_problem_set(p, HW_PROBLEM_INVALID_REQUEST, HEADER,
                              HEADER " is 1 to %d printable ASCII characters.",
                              HW_ONCE_HEADER_MAX);
    hw_sha256_hex(header, hash);
    snprintf(o->key, sizeof o->key, "%s:%s:%s", account, route, hash);
    hw_sha256_hex(body, hash);
    snprintf(o->prefix, sizeof o->prefix, "%s%03d", hash, status);
    return true;
}

bool hw_once_begin(struct hw_once *o, struct hw_list *under_way, struct hw_problem *p)
{
    HW_LIST_EACH (node, under_way) {
        if (strcmp(HW_CONTAINER_OF(node, struct hw_once, link)->key, o->key) == 0)
            return hw_problem_set(p, HW_PROBLEM_CONFLICT, NULL,
                                  "A request with this " HEADER " is under way; wait for its "
                                  "answer, or try again in a moment.");
    }
    hw_list_push_back(under_way, &o->link);
    return true;
}

void hw_once_end(struct hw_once *o)
{
    hw_list_unlink(&o->link);
}

struct hw_backend_once hw_once_ask(const struct hw_once *o)
{
    if (o->key[0] == '\0')
        return (struct hw_backend_once){ 0 };
    return (struct hw_backend_once){ .key = o->key, .prefix = o->prefix };
}

/* --- what is kept ---------------------------------------------------------------- */

bool hw_once_read(const struct hw_once *o, struct hw_slice kept, int *status,
                  struct hw_slice *body, struct hw_problem *p)
{
    uint64_t number;

    if (kept.len < HASH_BYTES + STATUS_DIGITS ||
        !hw_slice_u64(hw_slice(kept.data + HASH_BYTES, STATUS_DIGITS), 299, &number))
        return hw_problem_set(p, HW_PROBLEM_INTERNAL, NULL,
                              "The answer kept under this " HEADER
                              " cannot be read; try again "
                              "with a new key.");
    if (memcmp(kept.data, o->prefix, HASH_BYTES) != 0)
        return hw_problem_set(p, HW_PROBLEM_IDEMPOTENCY_CONFLICT, NULL,
                              "This " HEADER " was used with another body; send that body "
                              "again, or take a new key.");
    *status = (int)number;
    *body = hw_slice_from(kept, HASH_BYTES + STATUS_DIGITS);
    return true;
}
