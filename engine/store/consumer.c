/*
 * The script -> its reply is read -> cb.
 * AGAIN: a script looks at so many events and no more; asked again with how far it came, and the
 *   numbers are added up.  A list comes in pieces, behind the last name each.
 * Trouble: UNAVAILABLE.
 */
#include "store/consumer.h"

#include <stdio.h>

#include "base/must.h"
#include "hookwheel/alloc.h"
#include "redis/scripts.h"

enum {
    LIST_PIECE = 20, /* consumers a script: each may have to look at all it has out */
    EVENT_PARTS = 2, /* of a reply: id, record */
    STANDING_PARTS = 6
};

void hw_consumer_ask_init(struct hw_consumer_ask *a)
{
    *a = (struct hw_consumer_ask){ 0 };
    hw_command_init(&a->command);
}

void hw_consumer_ask_close(struct hw_consumer_ask *a)
{
    hw_command_close(&a->command);
    hw_free(a->events);
    hw_free(a->consumers);
    hw_consumer_ask_init(a);
}

/* ---- replies ---- */

static const struct hw_reply *part(const struct hw_reply *reply, size_t i)
{
    return hw_reply_item(reply, i);
}

static uint64_t number(const struct hw_reply *item)
{
    int64_t n = hw_reply_int(item, 0);

    return n > 0 ? (uint64_t)n : 0;
}

static bool says(const struct hw_reply *reply, const char *word)
{
    return hw_slice_is(part(reply, 0)->text, word);
}

static enum hw_consumer_result read_result(struct hw_consumer_ask *a,
                                           const struct hw_reply *reply)
{
    if (says(reply, "OK"))
        return HW_CONSUMER_DONE;
    if (says(reply, "NOT_FOUND"))
        return HW_CONSUMER_NOT_FOUND;
    if (says(reply, "LIMIT"))
        return HW_CONSUMER_LIMIT;
    if (says(reply, "EXPIRED") && hw_stream_id_parse(&a->found.oldest, part(reply, 1)->text))
        return HW_CONSUMER_EXPIRED;
    return HW_CONSUMER_UNAVAILABLE;
}

/* {'OK', 1 if there is more, then for each event: id, record} */
static bool read_events(struct hw_consumer_ask *a, const struct hw_reply *reply)
{
    size_t n = (reply->n_items - 2) / EVENT_PARTS;

    HW_MUST(a->events == NULL);
    if (n > 0 && (a->events = hw_malloc(n * sizeof *a->events)) == NULL)
        return false;
    for (size_t i = 0; i < n; i++) {
        const struct hw_reply *parts = &reply->items[2 + EVENT_PARTS * i];
        if (!hw_stream_id_parse(&a->events[i].id, parts[0].text))
            return false;
        a->events[i].record = parts[1].text;
    }
    a->found.events = a->events;
    a->found.n_events = n;
    a->found.has_more = number(part(reply, 1)) == 1;
    return true;
}

/* parts: name, place, behind it, out, skipped, created */
static bool read_standing(struct hw_consumer_standing *s, const struct hw_reply *parts)
{
    snprintf(s->name, sizeof s->name, "%.*s", HW_SLICE_FMT(parts[0].text));
    s->n_behind = number(&parts[2]);
    s->n_out = number(&parts[3]);
    s->n_skipped = number(&parts[4]);
    s->created_ms = hw_reply_int(&parts[5], 0);
    return hw_stream_id_parse(&s->position, parts[1].text);
}

/* {'OK', 1 if there is more, then for each its parts}, behind those that are there already. */
static bool read_standings(struct hw_consumer_ask *a, const struct hw_reply *reply)
{
    struct hw_consumer_standing *room;

    for (size_t at = 2; at + STANDING_PARTS <= reply->n_items; at += STANDING_PARTS) {
        room = hw_store_grow(a->consumers, a->found.n_consumers, &a->cap_consumers,
                             sizeof *a->consumers);
        if (room == NULL)
            return false;
        a->consumers = room;
        if (!read_standing(&room[a->found.n_consumers], &reply->items[at]))
            return false;
        a->found.n_consumers++;
    }
    a->found.consumers = a->consumers;
    a->found.has_more = number(part(reply, 1)) == 1;
    return true;
}

/* ---- asking ---- */

static void tell(struct hw_consumer_ask *a, enum hw_consumer_result result)
{
    a->cb(a, result, &a->found);
}

static void begin(struct hw_store *store, struct hw_consumer_ask *a,
                  struct hw_consumer_key key, hw_consumer_cb cb)
{
    a->store = store;
    a->key = key;
    a->cb = cb;
    a->n_walked = 0;
    a->found = (struct hw_consumer_found){ 0 };
}

static struct hw_command *begin_script(struct hw_consumer_ask *a,
                                       const struct hw_script *script)
{
    struct hw_command *c = &a->command;

    hw_store_eval(a->store, c, script, NULL, NULL);
    hw_command_str(c, a->key.account);
    hw_command_str(c, a->key.name);
    return c;
}

static enum hw_status ask(struct hw_consumer_ask *a, hw_redis_cb cb)
{
    return hw_redis_send(a->store->work, &a->req, &a->command, cb);
}

static void add_view(struct hw_command *c, const struct hw_consumer_view *view)
{
    hw_command_str(c, view->otherwise ? "1" : "0");
    hw_command_u64(c, view->n_types);
    for (size_t i = 0; i < view->n_types; i++)
        hw_command_str(c, view->types[i]);
}

static void add_id(struct hw_command *c, struct hw_stream_id id)
{
    char text[48];

    hw_stream_id_text(id, text);
    hw_command_str(c, text);
}

static void on_events(struct hw_consumer_ask *a, const struct hw_reply *reply)
{
    enum hw_consumer_result result = read_result(a, reply);

    if (result == HW_CONSUMER_DONE && !read_events(a, reply))
        result = HW_CONSUMER_UNAVAILABLE;
    tell(a, result);
}

/* ---- pull ---- */

static enum hw_status ask_pull(struct hw_consumer_ask *a);

/* {'AGAIN', place, count} */
static bool walk_on(struct hw_consumer_ask *a, const struct hw_reply *reply)
{
    a->n_walked = number(part(reply, 2));
    return hw_stream_id_parse(&a->walked_to, part(reply, 1)->text) && ask_pull(a) == HW_OK;
}

static void on_pull(struct hw_redis_req *req, enum hw_redis_trouble what,
                    const struct hw_reply *reply, const struct hw_cause *cause)
{
    struct hw_consumer_ask *a = HW_CONTAINER_OF(req, struct hw_consumer_ask, req);

    (void)cause;
    if (what != HW_REDIS_FINE)
        tell(a, HW_CONSUMER_UNAVAILABLE);
    else if (!says(reply, "AGAIN"))
        on_events(a, reply);
    else if (!walk_on(a, reply))
        tell(a, HW_CONSUMER_UNAVAILABLE);
}

static enum hw_status ask_pull(struct hw_consumer_ask *a)
{
    struct hw_command *c = begin_script(a, &hw_script_pull);
    const struct hw_consumer_terms *terms = &a->terms;

    add_view(c, &a->view);
    hw_command_u64(c, terms->limit);
    hw_command_u64(c, terms->visibility_ms);
    hw_command_u64(c, HW_CONSUMER_OUT_MAX);
    hw_command_u64(c, terms->n_consumers_max);
    if (terms->is_start)
        hw_command_str(c, "");
    else
        add_id(c, terms->after);
    if (a->n_walked > 0)
        add_id(c, a->walked_to);
    else
        hw_command_str(c, "");
    hw_command_u64(c, a->n_walked);
    return ask(a, on_pull);
}

enum hw_status hw_consumer_pull(struct hw_store *store, struct hw_consumer_ask *a,
                                struct hw_consumer_key key, struct hw_consumer_view view,
                                struct hw_consumer_terms terms, hw_consumer_cb cb)
{
    begin(store, a, key, cb);
    a->view = view;
    a->terms = terms;
    return ask_pull(a);
}

/* ---- outstanding ---- */

static void on_outstanding(struct hw_redis_req *req, enum hw_redis_trouble what,
                           const struct hw_reply *reply, const struct hw_cause *cause)
{
    struct hw_consumer_ask *a = HW_CONTAINER_OF(req, struct hw_consumer_ask, req);

    (void)cause;
    if (what == HW_REDIS_FINE)
        on_events(a, reply);
    else
        tell(a, HW_CONSUMER_UNAVAILABLE);
}

enum hw_status hw_consumer_outstanding(struct hw_store *store, struct hw_consumer_ask *a,
                                       struct hw_consumer_key key,
                                       struct hw_consumer_view view, struct hw_stream_id after,
                                       size_t limit, hw_consumer_cb cb)
{
    struct hw_command *c;

    begin(store, a, key, cb);
    c = begin_script(a, &hw_script_outstanding);
    add_view(c, &view);
    hw_command_u64(c, limit);
    add_id(c, after);
    return ask(a, on_outstanding);
}

/* ---- ack ---- */

static enum hw_status ask_ack_to(struct hw_consumer_ask *a);

/* {'OK' or 'AGAIN', acknowledged} */
static void on_ack(struct hw_redis_req *req, enum hw_redis_trouble what,
                   const struct hw_reply *reply, const struct hw_cause *cause)
{
    struct hw_consumer_ask *a = HW_CONTAINER_OF(req, struct hw_consumer_ask, req);
    bool is_fine = what == HW_REDIS_FINE, is_unfinished = is_fine && says(reply, "AGAIN");

    (void)cause;
    if (is_unfinished || (is_fine && says(reply, "OK")))
        a->found.n_acknowledged += number(part(reply, 1));
    if (is_unfinished && ask_ack_to(a) == HW_OK)
        return;
    tell(a, is_fine ? read_result(a, reply) : HW_CONSUMER_UNAVAILABLE);
}

enum hw_status hw_consumer_ack(struct hw_store *store, struct hw_consumer_ask *a,
                               struct hw_consumer_key key, const char *const *event_ids,
                               size_t n_event_ids, hw_consumer_cb cb)
{
    struct hw_command *c;

    HW_MUST(n_event_ids > 0 && n_event_ids <= HW_CONSUMER_ACKS_MAX);
    begin(store, a, key, cb);
    c = begin_script(a, &hw_script_ack);
    hw_command_str(c, "ids");
    for (size_t i = 0; i < n_event_ids; i++)
        hw_command_str(c, event_ids[i]);
    return ask(a, on_ack);
}

static enum hw_status ask_ack_to(struct hw_consumer_ask *a)
{
    struct hw_command *c = begin_script(a, &hw_script_ack);

    hw_command_str(c, "place");
    add_id(c, a->place);
    return ask(a, on_ack);
}

enum hw_status hw_consumer_ack_to(struct hw_store *store, struct hw_consumer_ask *a,
                                  struct hw_consumer_key key, struct hw_stream_id place,
                                  hw_consumer_cb cb)
{
    begin(store, a, key, cb);
    a->place = place;
    return ask_ack_to(a);
}

/* ---- list, dismiss ---- */

static enum hw_status ask_list(struct hw_consumer_ask *a);

static void on_list(struct hw_redis_req *req, enum hw_redis_trouble what,
                    const struct hw_reply *reply, const struct hw_cause *cause)
{
    struct hw_consumer_ask *a = HW_CONTAINER_OF(req, struct hw_consumer_ask, req);
    enum hw_consumer_result result = HW_CONSUMER_UNAVAILABLE;

    (void)cause;
    if (what == HW_REDIS_FINE && says(reply, "OK") && read_standings(a, reply)) {
        if (a->found.has_more && ask_list(a) == HW_OK)
            return;
        if (!a->found.has_more)
            result = HW_CONSUMER_DONE;
    }
    tell(a, result);
}

static enum hw_status ask_list(struct hw_consumer_ask *a)
{
    size_t n = a->found.n_consumers;
    struct hw_command *c;

    a->key.name = n > 0 ? a->consumers[n - 1].name : "";
    c = begin_script(a, &hw_script_consumers);
    hw_command_u64(c, LIST_PIECE);
    return ask(a, on_list);
}

enum hw_status hw_consumer_list(struct hw_store *store, struct hw_consumer_ask *a,
                                const char *account, hw_consumer_cb cb)
{
    begin(store, a, (struct hw_consumer_key){ .account = account }, cb);
    return ask_list(a);
}

static void on_dismissed(struct hw_redis_req *req, enum hw_redis_trouble what,
                         const struct hw_reply *reply, const struct hw_cause *cause)
{
    struct hw_consumer_ask *a = HW_CONTAINER_OF(req, struct hw_consumer_ask, req);

    (void)cause;
    tell(a, what == HW_REDIS_FINE ? read_result(a, reply) : HW_CONSUMER_UNAVAILABLE);
}

enum hw_status hw_consumer_dismiss(struct hw_store *store, struct hw_consumer_ask *a,
                                   struct hw_consumer_key key, hw_consumer_cb cb)
{
    begin(store, a, key, cb);
    (void)begin_script(a, &hw_script_dismiss);
    return ask(a, on_dismissed);
}
