/*
 * The body is checked, then walked without a tree:
 *
 *      {"events": ...}  first member events: a batch, and nothing beside it
 *      {...}            one event
 *
 *      each event: its members -> texts -> the rules of an entry (rules/entry.h) -> whose it is
 */
#include "api/events.h"

#include <stdio.h>

#include "api/shared.h"
#include "hookwheel/alloc.h"
#include "rules/json.h"

enum {
    EVENTS_MAX = 1000,
    ENVELOPE_LEVELS = 3, /* {"events":[{ */
    FIELD_BYTES = sizeof((struct hw_problem *)0)->field
};

enum member { TYPE, PAYLOAD, ACCOUNT, SUBJECT, ID, LEVEL, TIMESTAMP, TRACEPARENT, MEMBERS };

static const char *const member_names[MEMBERS] = {
    [TYPE] = "type",
    [PAYLOAD] = "payload",
    [ACCOUNT] = "account",
    [SUBJECT] = "subject",
    [ID] = "id",
    [LEVEL] = "level",
    [TIMESTAMP] = "timestamp",
    [TRACEPARENT] = "traceparent",
};

struct reading {
    const struct hw_call *call;      /* borrowed */
    struct hw_problem *p;            /* borrowed */
    struct hw_backend_event *events; /* owned */
    size_t n_events;                 /* read; at the same time the place of the next one */
    bool is_batch;
    json_t *unescaped; /* owned: strings that had escapes; NULL: none so far */
};

/* --- refusing --------------------------------------------------------------------------- */

/* "type", or "events[3].type"; of a long name its beginning. */
static void name_field(const struct reading *r, struct hw_slice name, char out[FIELD_BYTES])
{
    int used = 0;

    if (r->is_batch)
        used = snprintf(out, FIELD_BYTES, "events[%zu]%s", r->n_events, name.len ? "." : "");
    size_t room = FIELD_BYTES - 1 - (size_t)used;
    if (name.len > room) {
        name.len = room;
        while (name.len > 0 && ((unsigned char)name.data[name.len] & 0xc0) == 0x80)
            name.len--; /* not in the middle of a character */
    }
    snprintf(out + used, room + 1, "%.*s", HW_SLICE_FMT(name));
}

static bool refuse(struct reading *r, struct hw_slice name, const char *sentence)
{
    char field[FIELD_BYTES];

    name_field(r, name, field);
    return hw_problem_set(r->p, HW_PROBLEM_INVALID_REQUEST, field, "%s", sentence);
}

static bool no_memory(struct reading *r)
{
    return hw_problem_set(r->p, HW_PROBLEM_INTERNAL, NULL, "Out of memory.");
}

static const struct {
    enum member member;
    const char *sentence;
} rules[HW_ENTRY_REASONS] = {
    [HW_ENTRY_BAD_TYPE] = { TYPE, "type is identifiers of letters, digits and _, with dots "
                                  "between them, at most 128 bytes." },
    [HW_ENTRY_BAD_ACCOUNT] = { ACCOUNT, "account is 1 to 64 letters, digits, _ or -." },
    [HW_ENTRY_BAD_ID] = { ID, "id is 1 to 64 letters, digits, _ or -." },
    [HW_ENTRY_BAD_SUBJECT] = { SUBJECT, "subject is 1 to 256 bytes of printable ASCII." },
    [HW_ENTRY_BAD_LEVEL] = { LEVEL, "level is \"user\" or \"progress\"." },
    [HW_ENTRY_BAD_TIMESTAMP] = { TIMESTAMP, "timestamp is a time in the form of RFC 3339, "
                                            "such as 2026-03-09T12:00:00Z." },
    [HW_ENTRY_BAD_JSON] = { PAYLOAD, "payload is not valid JSON." },
    [HW_ENTRY_TOO_DEEP] = { PAYLOAD, "payload is nested more than 64 levels deep." },
};

static bool refuse_size(struct reading *r)
{
    char field[FIELD_BYTES];

    name_field(r, HW_SLICE("payload"), field);
    return hw_problem_set(r->p, HW_PROBLEM_PAYLOAD_TOO_LARGE, field,
                          "payload is over %zu bytes.",
                          r->call->api->options.max_payload_bytes);
}

static bool refuse_entry(struct reading *r, const struct hw_entry *e,
                         enum hw_entry_reason reason)
{
    if (reason == HW_ENTRY_TOO_LARGE)
        return refuse_size(r);
    if (reason == HW_ENTRY_BAD_TYPE && hw_entry_type_is_valid(e->type))
        return refuse(r, HW_SLICE("type"),
                      "Types that begin with webhook. are the engine's own.");
    return refuse(r, hw_slice_str(member_names[rules[reason].member]), rules[reason].sentence);
}

/* --- an event --------------------------------------------------------------------------- */

/* What a string says.  Escapes are jansson's to read; nearly no text has one. */
static bool read_text(struct reading *r, enum member which, struct hw_slice value,
                      struct hw_slice *text)
{
    struct hw_slice name = hw_slice_str(member_names[which]);
    json_error_t error;
    json_t *string;

    if (value.data[0] != '"')
        return refuse(r, name, "The member is a string.");
    *text = hw_slice(value.data + 1, value.len - 2);
    if (hw_slice_find(*text, '\\') == text->len)
        return true;
    if (r->unescaped == NULL)
        r->unescaped = json_array();
    string = json_loadb(value.data, value.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
    if (string == NULL && json_error_code(&error) != json_error_out_of_memory)
        return refuse(r, name, "The string has an escape that stands for no character.");
    *text = hw_slice(json_string_value(string), json_string_length(string));
    return json_array_append_new(r->unescaped, string) == 0 || no_memory(r);
}

static bool read_member(struct reading *r, const struct hw_json_member *m,
                        struct hw_slice given[MEMBERS], unsigned *seen)
{
    enum member which = 0;

    while (which < MEMBERS && !hw_json_name_is(m->name, member_names[which]))
        which++;
    if (which == MEMBERS)
        return refuse(r, m->name, "There is no such member here; leave it out.");
    if ((*seen & 1u << which) != 0)
        return refuse(r, hw_slice_str(member_names[which]),
                      "The member is given twice; give it once.");
    *seen |= 1u << which;
    if (which == PAYLOAD)
        given[which] = m->value;
    else if (which == TYPE || !hw_slice_is(m->value, "null"))
        return read_text(r, which, m->value, &given[which]);
    return true;
}

/* Whose event it is; a token that is bound to an account has no other. */
static bool settle_account(struct reading *r, struct hw_slice *account)
{
    const char *own = r->call->caller.account;

    if (own == NULL)
        return true;
    if (account->data != NULL && !hw_slice_is(*account, own))
        return refuse(r, HW_SLICE("account"),
                      "The token is bound to another account; leave account out.");
    *account = hw_slice_str(own);
    return true;
}

static bool check_event(struct reading *r, struct hw_slice given[MEMBERS])
{
    struct hw_entry_limits limits = { r->call->api->options.max_payload_bytes, false };
    struct hw_entry_field fields[MEMBERS];
    struct hw_stream_id no_id = { 0 };
    enum hw_entry_reason reason;
    struct hw_entry entry;
    size_t n = 0;

    for (int i = 0; i < MEMBERS; i++)
        if (given[i].data != NULL)
            fields[n++] = (struct hw_entry_field){ hw_slice_str(member_names[i]), given[i] };
    if (given[TYPE].data == NULL)
        return refuse(r, HW_SLICE("type"), "type is missing.");
    if (given[PAYLOAD].data == NULL)
        return refuse(r, HW_SLICE("payload"), "payload is missing.");
    reason = hw_entry_check(&entry, no_id, fields, n, &limits);
    if (reason != HW_ENTRY_GOOD)
        return refuse_entry(r, &entry, reason);
    given[TRACEPARENT] = entry.traceparent;
    return settle_account(r, &given[ACCOUNT]);
}

static bool read_event(struct reading *r, struct hw_slice object)
{
    struct hw_slice given[MEMBERS] = { 0 };
    struct hw_json_member member;
    unsigned seen = 0;

    while (hw_json_next_member(&object, &member))
        if (!read_member(r, &member, given, &seen))
            return false;
    if (!check_event(r, given))
        return false;
    r->events[r->n_events++] = (struct hw_backend_event){
        .account = given[ACCOUNT],
        .type = given[TYPE],
        .payload = given[PAYLOAD],
        .subject = given[SUBJECT],
        .id = given[ID],
        .level = given[LEVEL],
        .timestamp = given[TIMESTAMP],
        .traceparent = given[TRACEPARENT],
    };
    return true;
}

/* --- the body --------------------------------------------------------------------------- */

static bool refuse_events(struct reading *r, const char *sentence)
{
    return hw_problem_set(r->p, HW_PROBLEM_INVALID_REQUEST, "events", "%s", sentence);
}

/* Behind the first member, which was `events`, nothing may come. */
static bool is_alone(struct reading *r, struct hw_slice left)
{
    struct hw_json_member member;

    if (!hw_json_next_member(&left, &member))
        return true;
    if (hw_json_name_is(member.name, "events"))
        return refuse_events(r, "The member is given twice; give it once.");
    return refuse(r, member.name, "There is no such member beside events; leave it out.");
}

static bool read_batch(struct reading *r, struct hw_slice events)
{
    static const char sentence[] = "events is a list of 1 to 1000 events.";
    struct hw_slice item;

    if (events.data[0] != '[')
        return refuse_events(r, sentence);
    r->is_batch = true;
    while (hw_json_next_item(&events, &item)) {
        if (r->n_events == EVENTS_MAX)
            return refuse_events(r, sentence);
        if (item.data[0] != '{')
            return refuse(r, hw_slice(NULL, 0), "An event is an object.");
        if (!read_event(r, item))
            return false;
    }
    return r->n_events > 0 || refuse_events(r, sentence);
}

static bool read_events(struct reading *r, struct hw_slice body)
{
    struct hw_slice left = body;
    struct hw_json_member first;
    bool is_batch =
        hw_json_next_member(&left, &first) && hw_json_name_is(first.name, "events");

    r->events = hw_calloc(is_batch ? EVENTS_MAX : 1, sizeof *r->events);
    if (r->events == NULL)
        return no_memory(r);
    if (!is_batch)
        return read_event(r, body);
    return is_alone(r, left) && read_batch(r, first.value);
}

static bool is_object(struct hw_slice text)
{
    size_t i = 0;

    while (i < text.len && strchr(" \t\r\n", text.data[i]) != NULL)
        i++;
    return i < text.len && text.data[i] == '{';
}

/* What is nested too deeply is good up to there, and is walked all the same: so the refusal can
 * name the event that it is in. */
static bool read_body(struct reading *r, struct hw_slice body)
{
    enum hw_entry_reason reason = hw_json_check(body, HW_JSON_DEPTH_MAX + ENVELOPE_LEVELS);

    if (reason == HW_ENTRY_BAD_JSON)
        return hw_problem_set(r->p, HW_PROBLEM_INVALID_REQUEST, NULL,
                              "The body is not valid JSON.");
    if (!is_object(body))
        return hw_problem_set(r->p, HW_PROBLEM_INVALID_REQUEST, NULL,
                              "The body is not a JSON object.");
    if (!read_events(r, body))
        return false;
    return reason == HW_ENTRY_GOOD || hw_problem_set(r->p, HW_PROBLEM_INVALID_REQUEST, NULL,
                                                     "The body is nested too deeply.");
}

static void reading_close(struct reading *r)
{
    json_decref(r->unescaped);
    hw_free(r->events);
}

/* --- the handler ------------------------------------------------------------------------ */

static void on_enqueued(struct hw_backend_req *req)
{
    struct hw_call *call = hw_call_of(req);
    const struct hw_backend_events *events = &call->ask.events;

    if (req->result == HW_BACKEND_KEPT)
        hw_call_repeat(call, events->once.kept);
    else if (req->result != HW_BACKEND_OK)
        hw_call_refuse_result(call, req->result, "event");
    else
        hw_call_text(call, 202, "application/json", events->answer);
}

void hw_events_create(struct hw_call *call)
{
    const struct hw_backend *backend = call->api->options.backend;
    struct hw_problem p;
    struct reading r = { .call = call, .p = &p };
    bool is_good = hw_call_is_json(call, &p) && read_body(&r, call->body);

    if (is_good) {
        call->ask.events = (struct hw_backend_events){ .req.cb = on_enqueued,
                                                       .once = hw_once_ask(&call->once),
                                                       .events = r.events,
                                                       .n_events = r.n_events };
        backend->events(backend->data, &call->ask.events);
    }
    reading_close(&r);
    if (!is_good)
        hw_call_refuse(call, &p);
}
