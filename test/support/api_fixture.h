/*
 * api_fixture - the API over real sockets on the loopback, with a backend that the test plays,
 * and a client for it.
 *
 * The backend answers on the next turn, unless it is told to hold.  What it would keep in Redis
 * (webhooks, tokens, event types, answers under an Idempotency-Key) is in the fixture.
 */
#ifndef HW_TEST_API_FIXTURE_H
#define HW_TEST_API_FIXTURE_H

#include <jansson.h>
#include <unistd.h>

#include "api/api.h"
#include "api/tokens.h"
#include "check.h"
#include "hookwheel/alloc.h"
#include "loop/stream.h"
#include "rules/sign.h"

#define TOKEN       "hwt_the_root_token"
#define BEARER      "authorization: Bearer " TOKEN "\r\n"
#define PATIENCE_MS 20000

enum { KEPT = 32 };

struct fixture {
    uv_loop_t uv;
    struct hw_loop loop;
    struct hw_api *api;
    struct hw_api_options options;
    struct hw_address_rules addresses;
    struct hw_metrics metrics;
    struct hw_backend backend;
    bool loop_closed, api_closed;

    /* The backend: answers on the next turn, unless it is told to hold. */
    struct hw_backend_req *asked[KEPT];
    size_t n_asked;
    struct hw_wheel_entry answer;
    bool holds;
    enum hw_backend_result result;
    struct hw_webhook *webhooks[KEPT];
    size_t n_webhooks;
    struct hw_backend_webhook listed[KEPT];
    struct hw_backend_deliveries question; /* the last one, its texts copied below */
    char account[80], subject[80];
    struct hw_backend_delivery deliveries[KEPT];
    size_t n_deliveries;
    bool has_more;
    struct hw_backend_place reached;
    struct hw_backend_inspect inspected;
    struct hw_backend_readiness readiness;
    bool is_out_of_reach; /* Redis, where fake_is_out_of_reach is asked */

    /* Deliveries made again: the last of each that was asked for. */
    struct hw_backend_recover recovered;
    struct hw_backend_redeliver redelivered;
    char recovered_id[80];
    uint64_t n_recovered;          /* what recover answers */
    const char *redeliver_refusal; /* why redeliver is a conflict */
    size_t n_tests;

    /* Backfills: what was asked with the last create or update, and the last by itself. */
    enum hw_backfill_kind backfill;
    struct hw_backend_from backfill_from;
    struct hw_backend_backfill backfilled;
    size_t n_backfills;
    enum hw_backend_result backfill_result; /* of those by themselves */
    uint64_t n_backfilled;                  /* what they answer */

    /* Events: of the last request, each as "account type id payload". */
    char events[KEPT][512];
    size_t n_events;

    /* What Redis has of the books, and what this instance has of it. */
    struct hw_token *stored_tokens[KEPT]; /* one reference each */
    size_t n_stored_tokens;
    struct fixture_type {
        char name[140];
        struct hw_buf stored;
    } stored_types[KEPT];
    size_t n_stored_types;
    struct hw_catalogue catalogue;
    struct hw_token_book tokens;
    size_t n_refreshed_tokens, n_refreshed_types;

    /* A feed, of whatever account is asked for: what is kept of it, and who waits for more. */
    struct fixture_event {
        struct hw_stream_id id;
        struct hw_buf record;
    } feed[KEPT];
    size_t n_feed;
    struct hw_stream_id trimmed; /* the last event that is not kept any more */
    uint32_t feed_epoch;
    struct hw_backend_updates *readers[KEPT];
    hw_mono_ms reader_due[KEPT]; /* when it waits no longer */
    size_t n_readers, n_updates, n_hurried;
    struct hw_backend_updates last_updates; /* the last question */
    struct hw_backend_update_event found[KEPT];
    struct hw_wheel_entry look;

    /* Named consumers: what was asked last, its texts as "account name ..."; found is the feed. */
    struct hw_backend_pull pulled;
    struct hw_backend_outstanding outstanding;
    struct hw_backend_ack acknowledged;
    char consumer[8000];
    struct hw_backend_consumer consumers[KEPT];
    size_t n_consumers;

    /* Answers under an Idempotency-Key. */
    struct fixture_kept {
        char key[160];
        struct hw_buf value;
    } kept[KEPT];
    size_t n_kept, n_recalled;
};

/* The body of a webhook with those members too. */
#define WITH(members) "{\"url\":\"https://example.com/\"," members "}"

/* --- the backend ------------------------------------------------------------------- */

static inline void ask(struct fixture *f, struct hw_backend_req *req)
{
    CHECK(f->n_asked < KEPT);
    req->result = f->result;
    f->asked[f->n_asked++] = req;
    if (!f->holds)
        hw_loop_arm(&f->loop, &f->answer, 0);
}

static inline void on_answer(struct hw_wheel_entry *e)
{
    struct fixture *f = HW_CONTAINER_OF(e, struct fixture, answer);
    struct hw_backend_req *asked[KEPT];
    size_t n = f->n_asked;
    memcpy(asked, f->asked, sizeof asked);
    f->n_asked = 0;
    for (size_t i = 0; i < n; i++)
        asked[i]->cb(asked[i]);
}

static inline bool find_kept(struct fixture *f, struct hw_backend_once *once)
{
    for (size_t i = 0; once->key != NULL && i < f->n_kept; i++)
        if (strcmp(f->kept[i].key, once->key) == 0) {
            once->kept = hw_buf_slice(&f->kept[i].value);
            return true;
        }
    return false;
}

/* false: out of memory, nothing is kept. */
static inline bool keep(struct fixture *f, const struct hw_backend_once *once,
                        struct hw_slice answer)
{
    struct fixture_kept *kept = &f->kept[f->n_kept];
    if (once->key == NULL)
        return true;
    CHECK(f->n_kept < KEPT);
    snprintf(kept->key, sizeof kept->key, "%s", once->key);
    hw_buf_init(&kept->value, 1024 * 1024);
    hw_buf_append_str(&kept->value, once->prefix);
    if (hw_buf_append_slice(&kept->value, answer) != HW_OK) {
        hw_buf_close(&kept->value);
        return false;
    }
    f->n_kept++;
    return true;
}

static inline void fake_recall(void *data, struct hw_backend_recall *req)
{
    struct fixture *f = data;
    f->n_recalled++;
    ask(f, &req->req);
    if (f->result == HW_BACKEND_OK && find_kept(f, &req->once))
        req->req.result = HW_BACKEND_KEPT;
}

static inline void fake_create(void *data, struct hw_backend_create *req)
{
    struct fixture *f = data;
    CHECK_NULL(req->req.state);
    f->backfill = req->backfill;
    f->backfill_from = req->from;
    req->oldest = f->trimmed;
    if (f->result == HW_BACKEND_OK && find_kept(f, &req->once)) {
        ask(f, &req->req);
        req->req.result = HW_BACKEND_KEPT;
        return;
    }
    if (f->result == HW_BACKEND_OK && !keep(f, &req->once, req->answer)) {
        ask(f, &req->req);
        req->req.result = HW_BACKEND_FAILED;
        return;
    }
    if (f->result == HW_BACKEND_OK) {
        CHECK(f->n_webhooks < KEPT);
        req->webhook->w = (uint32_t)f->n_webhooks + 1;
        f->webhooks[f->n_webhooks++] = hw_webhook_hold(req->webhook);
    }
    ask(f, &req->req);
}

static inline struct hw_webhook *find(struct fixture *f, const char *account, const char *id)
{
    for (size_t i = 0; i < f->n_webhooks; i++)
        if (strcmp(f->webhooks[i]->id, id) == 0 &&
            (account == NULL || strcmp(account, f->webhooks[i]->account) == 0))
            return f->webhooks[i];
    return NULL;
}

static inline void fake_get(void *data, struct hw_backend_get *req)
{
    struct fixture *f = data;
    const struct hw_webhook *wh = find(f, req->account, req->id);
    ask(f, &req->req);
    if (wh == NULL)
        req->req.result = HW_BACKEND_NOT_FOUND;
    else
        req->found = (struct hw_backend_webhook){ wh, wh->standing };
}

static inline void fake_list(void *data, struct hw_backend_list *req)
{
    struct fixture *f = data;
    size_t n = 0;
    for (size_t i = 0; i < f->n_webhooks; i++)
        if (strcmp(f->webhooks[i]->account, req->account) == 0)
            f->listed[n++] =
                (struct hw_backend_webhook){ f->webhooks[i], f->webhooks[i]->standing };
    req->found = f->listed;
    req->n_found = n;
    ask(f, &req->req);
}

static inline void fake_remove(void *data, struct hw_backend_delete *req)
{
    struct fixture *f = data;
    ask(f, &req->req);
    if (find(f, req->account, req->id) == NULL)
        req->req.result = HW_BACKEND_NOT_FOUND;
}

static inline void fake_update(void *data, struct hw_backend_update *req)
{
    struct fixture *f = data;
    struct hw_webhook *wh = find(f, req->account, req->id), *changed;
    f->backfill = req->backfill;
    f->backfill_from = req->from;
    req->oldest = f->trimmed;
    ask(f, &req->req);
    if (wh == NULL)
        req->req.result = HW_BACKEND_NOT_FOUND;
    if (req->req.result != HW_BACKEND_OK)
        return;
    /* The first time somebody else's change came in between. */
    changed = hw_webhook_copy(wh);
    CHECK_NOT_NULL(changed);
    (void)req->edit(req, changed);
    hw_webhook_release(changed);
    changed = hw_webhook_copy(wh);
    CHECK_NOT_NULL(changed);
    if (!req->edit(req, changed)) {
        hw_webhook_release(changed);
        req->req.result = HW_BACKEND_REFUSED;
        return;
    }
    for (size_t i = 0; i < f->n_webhooks; i++)
        if (f->webhooks[i] == wh)
            f->webhooks[i] = changed;
    hw_webhook_release(wh);
    req->found = (struct hw_backend_webhook){ changed, changed->standing };
}

static inline void fake_test(void *data, struct hw_backend_test *req)
{
    struct fixture *f = data;
    const struct hw_webhook *wh = find(f, req->account, req->id);
    ask(f, &req->req);
    if (wh == NULL)
        req->req.result = HW_BACKEND_NOT_FOUND;
    else if (wh->standing.status == HW_WEBHOOK_DISABLED)
        req->req.result = HW_BACKEND_CONFLICT;
    if (req->req.result != HW_BACKEND_OK)
        return;
    f->n_tests++;
    req->w = f->inspected.found.w;
    req->n = f->inspected.found.n;
}

static inline void fake_recover(void *data, struct hw_backend_recover *req)
{
    struct fixture *f = data;
    const struct hw_webhook *wh = find(f, req->account, req->id);
    f->recovered = *req;
    snprintf(f->recovered_id, sizeof f->recovered_id, "%s", req->id);
    ask(f, &req->req);
    if (wh == NULL)
        req->req.result = HW_BACKEND_NOT_FOUND;
    else if (wh->standing.status == HW_WEBHOOK_DISABLED)
        req->req.result = HW_BACKEND_CONFLICT;
    req->count = f->n_recovered;
}

static inline void fake_backfill(void *data, struct hw_backend_backfill *req)
{
    struct fixture *f = data;
    f->backfilled = *req;
    f->n_backfills++;
    CHECK_NOT_NULL(find(f, req->account, req->id));
    ask(f, &req->req);
    req->req.result = f->backfill_result;
    req->why = "Because.";
    req->has_begun = f->n_backfilled > 0;
    req->oldest = f->trimmed;
    req->count = f->n_backfilled;
}

static inline void fake_redeliver(void *data, struct hw_backend_redeliver *req)
{
    struct fixture *f = data;
    f->redelivered = *req;
    ask(f, &req->req);
    if (req->w != f->inspected.found.w || req->n != f->inspected.found.n)
        req->req.result = HW_BACKEND_NOT_FOUND;
    else if (f->redeliver_refusal != NULL)
        req->req.result = HW_BACKEND_CONFLICT;
    req->why = f->redeliver_refusal;
}

static inline void fake_events(void *data, struct hw_backend_events *req)
{
    static char answer[4096];
    struct fixture *f = data;
    int used = snprintf(answer, sizeof answer, "{\"data\":[");
    ask(f, &req->req);
    if (req->req.result != HW_BACKEND_OK)
        return;
    if (find_kept(f, &req->once)) {
        req->req.result = HW_BACKEND_KEPT;
        return;
    }
    CHECK(req->n_events > 0);
    f->n_events = 0;
    for (size_t i = 0; i < req->n_events && i < KEPT; i++) {
        const struct hw_backend_event *e = &req->events[i];
        snprintf(f->events[f->n_events++], sizeof f->events[0], "%.*s %.*s %.*s %.*s",
                 HW_SLICE_FMT(e->account), HW_SLICE_FMT(e->type), HW_SLICE_FMT(e->id),
                 HW_SLICE_FMT(e->payload));
        used += snprintf(answer + used, sizeof answer - (size_t)used, "%s{\"id\":\"evt_%zu\"}",
                         i ? "," : "", i);
    }
    snprintf(answer + used, sizeof answer - (size_t)used, "]}\n");
    req->answer = hw_slice_str(answer);
    keep(f, &req->once, req->answer);
}

/* --- a feed ------------------------------------------------------------------------------ */

static inline void look_at_feed(struct fixture *f)
{
    if (!f->holds)
        hw_loop_arm(&f->loop, &f->look, 0);
}

/* Those that the question wants; false: it is beyond what is kept. */
static inline bool find_events(struct fixture *f, struct hw_backend_updates *req)
{
    struct hw_stream_id after = req->from.is_start ? f->trimmed : req->from.after;
    struct hw_stream_id last = f->n_feed ? f->feed[f->n_feed - 1].id : f->trimmed;
    req->found = f->found;
    req->n_found = 0;
    req->reached = after;
    req->oldest = f->trimmed;
    if (hw_stream_id_cmp(after, f->trimmed) < 0 || hw_stream_id_cmp(after, last) > 0)
        return false;
    for (size_t i = 0; i < f->n_feed; i++) {
        struct hw_slice bytes = hw_buf_slice(&f->feed[i].record);
        struct hw_record record;
        CHECK(hw_record_read(&record, bytes));
        if (hw_stream_id_cmp(f->feed[i].id, after) <= 0)
            continue;
        req->has_more = req->n_found == req->limit;
        if (req->has_more)
            return true;
        if (req->wants(req, &record))
            f->found[req->n_found++] = (struct hw_backend_update_event){ f->feed[i].id, bytes };
        req->reached = f->feed[i].id;
    }
    return true;
}

/* Answer a reader whose time has come; false: it goes on waiting. */
static inline bool tell_reader(struct fixture *f, size_t i)
{
    struct hw_backend_updates *req = f->readers[i];
    req->req.result = f->result;
    if (f->result == HW_BACKEND_OK && !find_events(f, req))
        req->req.result = HW_BACKEND_EXPIRED;
    if (req->req.result == HW_BACKEND_OK && req->n_found == 0 &&
        hw_loop_now(&f->loop) < f->reader_due[i])
        return false;
    f->n_readers--;
    memmove(&f->readers[i], &f->readers[i + 1], (f->n_readers - i) * sizeof f->readers[0]);
    memmove(&f->reader_due[i], &f->reader_due[i + 1],
            (f->n_readers - i) * sizeof f->reader_due[0]);
    req->req.cb(&req->req); /* may ask again: at the end */
    return true;
}

static inline void on_look(struct hw_wheel_entry *e)
{
    struct fixture *f = HW_CONTAINER_OF(e, struct fixture, look);
    hw_mono_ms now = hw_loop_now(&f->loop), next = 0;
    if (f->holds)
        return;
    for (size_t i = 0, n = f->n_readers; n > 0; n--)
        i += !tell_reader(f, i);
    for (size_t i = 0; i < f->n_readers; i++)
        if (next == 0 || f->reader_due[i] < next)
            next = f->reader_due[i];
    if (next != 0 && !hw_wheel_is_armed(&f->look)) /* it is where somebody asked again */
        hw_loop_arm(&f->loop, &f->look, next > now ? (unsigned)(next - now) : 0);
}

static inline void fake_updates(void *data, struct hw_backend_updates *req)
{
    struct fixture *f = data;
    CHECK_NULL(req->req.state);
    CHECK_NULL(req->waiter);
    CHECK(req->limit >= 1 && req->limit <= 200);
    CHECK(f->n_readers < KEPT);
    f->n_updates++;
    f->last_updates = *req;
    snprintf(f->account, sizeof f->account, "%s", req->account);
    f->reader_due[f->n_readers] = hw_loop_now(&f->loop) + req->wait_ms;
    f->readers[f->n_readers++] = req;
    look_at_feed(f);
}

static inline void fake_hurry(void *data, struct hw_backend_updates *req)
{
    struct fixture *f = data;
    size_t i = 0;
    while (i < f->n_readers && f->readers[i] != req)
        i++;
    CHECK(i < f->n_readers); /* hurried is only what was not answered */
    f->n_hurried++;
    f->reader_due[i] = 0;
    look_at_feed(f);
}

static inline uint32_t fake_feed_epoch(void *data)
{
    return ((struct fixture *)data)->feed_epoch;
}

/* An event is accepted: id `ms`-0; `subject` may be NULL; `data` is JSON. */
static inline void feed_add(struct fixture *f, uint64_t ms, const char *type,
                            const char *subject, const char *data)
{
    struct fixture_event *event = &f->feed[f->n_feed];
    struct hw_entry e = { .id = HW_SLICE("evt_1"),
                          .type = hw_slice_str(type),
                          .account = HW_SLICE("default"),
                          .subject = hw_slice_str(subject),
                          .payload = hw_slice_str(data) };
    CHECK(f->n_feed < KEPT);
    event->id = (struct hw_stream_id){ ms, 0 };
    hw_buf_init(&event->record, 16 * 1024 * 1024);
    CHECK_INT(hw_record_write(&event->record, &e), ==, HW_OK);
    f->n_feed++;
    look_at_feed(f);
}

/* Events up to that one are no longer kept. */
static inline void feed_trim(struct fixture *f, uint64_t ms)
{
    while (f->n_feed > 0 && f->feed[0].id.ms <= ms) {
        hw_buf_close(&f->feed[0].record);
        f->n_feed--;
        memmove(&f->feed[0], &f->feed[1], f->n_feed * sizeof f->feed[0]);
    }
    f->trimmed = (struct hw_stream_id){ ms, 0 };
    look_at_feed(f);
}

/* --- named consumers ---------------------------------------------------------------------- */

static inline void note_consumer(struct fixture *f, const char *account, const char *name)
{
    snprintf(f->consumer, sizeof f->consumer, "%s %s", account, name);
}

/* Those of a list behind the name of the consumer. */
static inline void note_names(struct fixture *f, const char *const *names, size_t n_names)
{
    for (size_t i = 0; i < n_names; i++) {
        size_t used = strlen(f->consumer);
        snprintf(f->consumer + used, sizeof f->consumer - used, " %s", names[i]);
    }
}

static inline size_t find_feed(struct fixture *f)
{
    for (size_t i = 0; i < f->n_feed; i++)
        f->found[i] = (struct hw_backend_update_event){ f->feed[i].id,
                                                        hw_buf_slice(&f->feed[i].record) };
    return f->n_feed;
}

static inline void fake_pull(void *data, struct hw_backend_pull *req)
{
    struct fixture *f = data;
    CHECK_NULL(req->req.state);
    f->pulled = *req;
    note_consumer(f, req->account, req->name);
    note_names(f, req->readable.names, req->readable.n_names);
    req->found = f->found;
    req->n_found = find_feed(f);
    req->has_more = f->has_more;
    req->oldest = f->trimmed;
    ask(f, &req->req);
}

static inline void fake_outstanding(void *data, struct hw_backend_outstanding *req)
{
    struct fixture *f = data;
    CHECK_NULL(req->req.state);
    f->outstanding = *req;
    note_consumer(f, req->account, req->name);
    note_names(f, req->readable.names, req->readable.n_names);
    req->found = f->found;
    req->n_found = find_feed(f);
    req->has_more = f->has_more;
    req->reached = f->n_feed > 0 ? f->feed[f->n_feed - 1].id : req->after;
    ask(f, &req->req);
}

static inline void fake_ack(void *data, struct hw_backend_ack *req)
{
    struct fixture *f = data;
    CHECK_NULL(req->req.state);
    f->acknowledged = *req;
    note_consumer(f, req->account, req->name);
    if (req->event_ids != NULL)
        note_names(f, req->event_ids, req->n_event_ids);
    req->n_acknowledged = req->event_ids != NULL ? req->n_event_ids : 7;
    req->oldest = f->trimmed;
    ask(f, &req->req);
}

static inline void fake_consumers(void *data, struct hw_backend_consumers *req)
{
    struct fixture *f = data;
    CHECK_NULL(req->req.state);
    note_consumer(f, req->account, "");
    req->found = f->consumers;
    req->n_found = f->n_consumers;
    ask(f, &req->req);
}

static inline void fake_drop_consumer(void *data, struct hw_backend_drop_consumer *req)
{
    struct fixture *f = data;
    CHECK_NULL(req->req.state);
    note_consumer(f, req->account, req->name);
    ask(f, &req->req);
}

/* --- the books: what Redis has, and what of it is in memory ---------------------------- */

static inline void load_types(struct fixture *f)
{
    hw_catalogue_close(&f->catalogue);
    hw_catalogue_init(&f->catalogue);
    for (size_t i = 0; i < f->n_stored_types; i++)
        CHECK_INT(hw_catalogue_add(&f->catalogue, hw_slice_str(f->stored_types[i].name),
                                   hw_buf_slice(&f->stored_types[i].stored), NULL),
                  ==, HW_OK);
}

static inline void load_tokens(struct fixture *f)
{
    hw_token_book_close(&f->tokens);
    hw_token_book_init(&f->tokens);
    for (size_t i = 0; i < f->n_stored_tokens; i++)
        CHECK_INT(hw_token_book_add(&f->tokens, hw_token_hold(f->stored_tokens[i])), ==,
                  HW_OK);
}

static inline bool forget_type(struct fixture *f, const char *name)
{
    for (size_t i = 0; i < f->n_stored_types; i++)
        if (strcmp(f->stored_types[i].name, name) == 0) {
            hw_buf_close(&f->stored_types[i].stored);
            f->stored_types[i] = f->stored_types[--f->n_stored_types];
            return true;
        }
    return false;
}

static inline bool forget_token(struct fixture *f, const char *id)
{
    for (size_t i = 0; i < f->n_stored_tokens; i++)
        if (strcmp(f->stored_tokens[i]->id, id) == 0) {
            hw_token_release(f->stored_tokens[i]);
            f->stored_tokens[i] = f->stored_tokens[--f->n_stored_tokens];
            return true;
        }
    return false;
}

static inline void store_type(struct fixture *f, const struct hw_event_type *type)
{
    struct fixture_type *stored;
    (void)forget_type(f, type->name);
    CHECK(f->n_stored_types < KEPT);
    stored = &f->stored_types[f->n_stored_types++];
    snprintf(stored->name, sizeof stored->name, "%s", type->name);
    hw_buf_init(&stored->stored, 65536);
    CHECK_INT(hw_event_type_write(type, &stored->stored), ==, HW_OK);
}

/* Redis has it; this instance does not know yet.  The reference is taken. */
static inline void store_token(struct fixture *f, struct hw_token *token)
{
    CHECK(f->n_stored_tokens < KEPT);
    f->stored_tokens[f->n_stored_tokens++] = token;
}

static inline void fake_put_type(void *data, struct hw_backend_book *req)
{
    struct fixture *f = data;
    ask(f, &req->req);
    if (req->req.result != HW_BACKEND_OK)
        return;
    store_type(f, req->type);
    load_types(f);
}

static inline void fake_drop_type(void *data, struct hw_backend_book *req)
{
    struct fixture *f = data;
    ask(f, &req->req);
    if (req->req.result == HW_BACKEND_OK && !forget_type(f, req->key))
        req->req.result = HW_BACKEND_NOT_FOUND;
    load_types(f);
}

static inline void fake_put_token(void *data, struct hw_backend_book *req)
{
    struct fixture *f = data;
    ask(f, &req->req);
    if (req->req.result != HW_BACKEND_OK)
        return;
    store_token(f, hw_token_hold(req->token));
    load_tokens(f);
}

static inline void fake_drop_token(void *data, struct hw_backend_book *req)
{
    struct fixture *f = data;
    ask(f, &req->req);
    if (req->req.result == HW_BACKEND_OK && !forget_token(f, req->key))
        req->req.result = HW_BACKEND_NOT_FOUND;
    load_tokens(f);
}

static inline void fake_refresh_types(void *data, struct hw_backend_book *req)
{
    struct fixture *f = data;
    f->n_refreshed_types++;
    ask(f, &req->req);
    if (req->req.result == HW_BACKEND_OK)
        load_types(f);
}

static inline void fake_refresh_tokens(void *data, struct hw_backend_book *req)
{
    struct fixture *f = data;
    f->n_refreshed_tokens++;
    ask(f, &req->req);
    if (req->req.result == HW_BACKEND_OK)
        load_tokens(f);
}

static inline const struct hw_catalogue *fake_catalogue(void *data)
{
    return &((struct fixture *)data)->catalogue;
}

static inline const struct hw_token_book *fake_tokens(void *data)
{
    return &((struct fixture *)data)->tokens;
}

/* A token's text, of the form that is given out; one for each number. */
static inline const char *token_text(unsigned i)
{
    static char texts[4][HW_TOKEN_TEXT_MAX];
    char *text = texts[i % 4];
    snprintf(text, sizeof texts[0], HW_TOKEN_PREFIX "%064u", i);
    return text;
}

/* A token of that text; `scopes` are separated by spaces. */
static inline struct hw_token *a_token(const char *text, const char *account,
                                       const char *scopes)
{
    struct hw_token *t = hw_token_new();
    CHECK_NOT_NULL(t);
    hw_id_random("tok_", t->id);
    hw_sha256_hex(hw_slice_str(text), t->hash);
    t->account = hw_strndup(account, strlen(account));
    for (size_t len; *scopes != '\0'; scopes += len + (scopes[len] == ' ')) {
        len = strcspn(scopes, " ");
        CHECK_INT(hw_scopes_add(&t->scopes, hw_slice(scopes, len)), ==, HW_OK);
    }
    t->powers = hw_scopes_powers(&t->scopes);
    t->created_ms = 1700000000000;
    return t;
}

/* Redis has it, and so has this instance. */
static inline void give_token(struct fixture *f, const char *text, const char *account,
                              const char *scopes)
{
    store_token(f, a_token(text, account, scopes));
    load_tokens(f);
}

/* One of the catalogue; `scope` may be NULL. */
static inline void give_type(struct fixture *f, const char *name, const char *scope)
{
    char group[] = "orders", description[] = "Something happened.";
    store_type(f, &(struct hw_event_type){ .name = (char *)name,
                                           .group = group,
                                           .description = description,
                                           .required_scope = (char *)scope });
    load_types(f);
}

/* --- the rest of it -------------------------------------------------------------------- */

static inline void fake_deliveries(void *data, struct hw_backend_deliveries *req)
{
    struct fixture *f = data;
    f->question = *req;
    snprintf(f->account, sizeof f->account, "%s", req->account);
    snprintf(f->subject, sizeof f->subject, "%s", req->subject ? req->subject : "");
    req->found = f->deliveries;
    req->n_found = f->n_deliveries;
    req->has_more = f->has_more;
    req->reached = f->reached;
    ask(f, &req->req);
}

static inline void fake_inspect(void *data, struct hw_backend_inspect *req)
{
    struct fixture *f = data;
    struct hw_backend_inspect asked = *req;
    if (req->w != f->inspected.found.w || req->n != f->inspected.found.n) {
        ask(f, &req->req);
        req->req.result = HW_BACKEND_NOT_FOUND;
        return;
    }
    *req = f->inspected;
    req->req = asked.req;
    ask(f, &req->req);
}

static inline void fake_gauges(void *data, struct hw_backend_gauges *req)
{
    struct fixture *f = data;
    req->gauges = (struct hw_gauges){ .in_flight = 3,
                                      .oldest_waiting_s = 1.5,
                                      .durability = HW_DURABILITY_EVERYSEC };
    ask(f, &req->req);
    req->req.result = HW_BACKEND_OK;
}

static inline bool fake_is_out_of_reach(void *data)
{
    return ((struct fixture *)data)->is_out_of_reach;
}

static inline void fake_readiness(void *data, struct hw_backend_readiness *out)
{
    *out = ((struct fixture *)data)->readiness;
}

/* --- the fixture --------------------------------------------------------------------- */

static inline void fixture_prepare(struct fixture *f)
{
    static char hash[65];
    memset(f, 0, sizeof *f);
    CHECK_INT(uv_loop_init(&f->uv), ==, 0);
    CHECK_INT(hw_loop_init(&f->loop, &f->uv, NULL), ==, HW_OK);
    hw_metrics_init(&f->metrics);
    hw_wheel_entry_init(&f->answer, on_answer);
    hw_wheel_entry_init(&f->look, on_look);
    f->feed_epoch = 7;
    hw_catalogue_init(&f->catalogue);
    hw_token_book_init(&f->tokens);
    hw_sha256_hex(HW_SLICE(TOKEN), hash);
    f->backend = (struct hw_backend){ .data = f,
                                      .create = fake_create,
                                      .get = fake_get,
                                      .list = fake_list,
                                      .remove = fake_remove,
                                      .update = fake_update,
                                      .test = fake_test,
                                      .recover = fake_recover,
                                      .backfill = fake_backfill,
                                      .redeliver = fake_redeliver,
                                      .events = fake_events,
                                      .recall = fake_recall,
                                      .put_type = fake_put_type,
                                      .drop_type = fake_drop_type,
                                      .put_token = fake_put_token,
                                      .drop_token = fake_drop_token,
                                      .refresh_types = fake_refresh_types,
                                      .refresh_tokens = fake_refresh_tokens,
                                      .deliveries = fake_deliveries,
                                      .inspect = fake_inspect,
                                      .gauges = fake_gauges,
                                      .catalogue = fake_catalogue,
                                      .tokens = fake_tokens,
                                      .updates = fake_updates,
                                      .pull = fake_pull,
                                      .outstanding = fake_outstanding,
                                      .ack = fake_ack,
                                      .consumers = fake_consumers,
                                      .drop_consumer = fake_drop_consumer,
                                      .hurry = fake_hurry,
                                      .feed_epoch = fake_feed_epoch,
                                      .is_out_of_reach = fake_is_out_of_reach,
                                      .readiness = fake_readiness };
    f->options = (struct hw_api_options){ .listen = "127.0.0.1:0",
                                          .root_token_hash = hash,
                                          .version = "9.9",
                                          .max_payload_bytes = 256 * 1024,
                                          .addresses = &f->addresses,
                                          .metrics = &f->metrics,
                                          .backend = &f->backend };
}

static inline void fixture_open(struct fixture *f)
{
    struct hw_cause cause = { 0 };
    if (hw_api_open(&f->api, &f->loop, &f->options, &cause) != HW_OK)
        CHECK_FAIL("%s", cause.note);
}

static inline void fixture_init(struct fixture *f)
{
    fixture_prepare(f);
    fixture_open(f);
}

static inline void on_api_closed(void *data)
{
    ((struct fixture *)data)->api_closed = true;
}

static inline void on_loop_closed(struct hw_loop *loop)
{
    HW_CONTAINER_OF(loop, struct fixture, loop)->loop_closed = true;
}

static inline void fixture_close_loop(struct fixture *f)
{
    hw_loop_close(&f->loop, on_loop_closed);
    uv_run(&f->uv, UV_RUN_DEFAULT);
    CHECK(f->loop_closed);
    CHECK_INT(uv_loop_close(&f->uv), ==, 0);
    for (size_t i = 0; i < f->n_webhooks; i++)
        hw_webhook_release(f->webhooks[i]);
    while (f->n_stored_types > 0)
        (void)forget_type(f, f->stored_types[0].name);
    while (f->n_stored_tokens > 0)
        (void)forget_token(f, f->stored_tokens[0]->id);
    for (size_t i = 0; i < f->n_kept; i++)
        hw_buf_close(&f->kept[i].value);
    for (size_t i = 0; i < f->n_feed; i++)
        hw_buf_close(&f->feed[i].record);
    hw_catalogue_close(&f->catalogue);
    hw_token_book_close(&f->tokens);
    hw_address_rules_close(&f->addresses);
}

static inline void fixture_close(struct fixture *f)
{
    hw_api_close(f->api, on_api_closed, f);
    CHECK(!f->api_closed);
    while (!f->api_closed)
        uv_run(&f->uv, UV_RUN_ONCE);
    fixture_close_loop(f);
}

/* --- a client ------------------------------------------------------------------------- */

struct client {
    struct fixture *f;
    struct hw_stream stream;
    struct hw_buf in;
    bool is_connected, has_ended, is_closed;
};

struct response {
    int status;
    char head[4096];
    char *body;   /* owned */
    json_t *json; /* owned; NULL: not JSON */
};

static inline void on_connect(struct hw_stream *s)
{
    HW_CONTAINER_OF(s, struct client, stream)->is_connected = true;
}

static inline void on_data(struct hw_stream *s, struct hw_slice data)
{
    CHECK_INT(hw_buf_append_slice(&HW_CONTAINER_OF(s, struct client, stream)->in, data), ==,
              HW_OK);
}

static inline void on_end(struct hw_stream *s, const struct hw_cause *cause)
{
    (void)cause;
    HW_CONTAINER_OF(s, struct client, stream)->has_ended = true;
}

static inline void on_client_closed(struct hw_stream *s)
{
    HW_CONTAINER_OF(s, struct client, stream)->is_closed = true;
}

static const struct hw_stream_events client_events = { .on_connect = on_connect,
                                                       .on_data = on_data,
                                                       .on_end = on_end };

#define AWAIT(f, condition)                                                                   \
    do {                                                                                      \
        uint64_t until = uv_hrtime() / 1000000 + PATIENCE_MS;                                 \
        while (!(condition)) {                                                                \
            if (uv_hrtime() / 1000000 > until)                                                \
                CHECK_FAIL("never came true: %s", #condition);                                \
            turn(f);                                                                          \
        }                                                                                     \
    } while (0)

static inline void on_tick(uv_timer_t *timer)
{
    (void)timer;
}

/* One turn of the loop, at most 20 ms long. */
static inline void turn(struct fixture *f)
{
    uv_timer_t tick;
    uv_timer_init(&f->uv, &tick);
    uv_timer_start(&tick, on_tick, 20, 0);
    uv_run(&f->uv, UV_RUN_ONCE);
    uv_timer_stop(&tick);
    uv_close((uv_handle_t *)&tick, NULL);
    uv_run(&f->uv, UV_RUN_NOWAIT);
}

static inline void client_connect(struct client *c, struct fixture *f, unsigned port)
{
    struct sockaddr_in address;
    *c = (struct client){ .f = f };
    hw_buf_init(&c->in, 64 * 1024 * 1024);
    hw_stream_init(&c->stream, &f->loop, &client_events);
    uv_ip4_addr("127.0.0.1", (int)port, &address);
    hw_stream_connect_tcp(&c->stream, (struct sockaddr *)&address);
    AWAIT(f, c->is_connected);
}

static inline void client_open(struct client *c, struct fixture *f)
{
    client_connect(c, f, hw_api_port(f->api));
}

static inline void client_close(struct client *c)
{
    hw_stream_close(&c->stream, on_client_closed);
    AWAIT(c->f, c->is_closed);
    hw_buf_close(&c->in);
}

static inline void client_send_bytes(struct client *c, struct hw_slice bytes)
{
    CHECK_INT(hw_stream_write(&c->stream, &bytes, 1), ==, HW_OK);
}

static inline void client_send(struct client *c, const char *text)
{
    client_send_bytes(c, hw_slice_str(text));
}

/* Take one whole response out of what came. */
static inline bool client_take(struct client *c, struct response *r, bool is_head)
{
    const char *text = hw_buf_str(&c->in), *end = strstr(text, "\r\n\r\n"), *at;
    size_t head = end ? (size_t)(end - text) + 4 : 0, body = 0;
    if (end == NULL)
        return false;
    CHECK(head < sizeof r->head);
    memset(r, 0, sizeof *r);
    memcpy(r->head, text, head);
    CHECK_INT(sscanf(text, "HTTP/1.1 %d ", &r->status), ==, 1);
    at = strstr(r->head, "\r\ncontent-length: ");
    if (at != NULL && !is_head)
        body = strtoul(at + 18, NULL, 10);
    if (hw_buf_len(&c->in) < head + body)
        return false;
    r->body = hw_strndup(text + head, body);
    r->json = json_loads(r->body, 0, NULL);
    hw_buf_consume(&c->in, head + body);
    return true;
}

static inline void client_await(struct client *c, struct response *r)
{
    AWAIT(c->f, client_take(c, r, false));
}

static inline void response_close(struct response *r)
{
    json_decref(r->json);
    hw_free(r->body);
}

/* The text at "error.details.field" of the body; NULL: none. */
static inline const char *text_at(const struct response *r, const char *path)
{
    const json_t *at = r->json;
    char name[64];
    while (*path != '\0') {
        size_t len = strcspn(path, ".");
        snprintf(name, sizeof name, "%.*s", (int)len, path);
        at = json_object_get(at, name);
        path += len + (path[len] == '.');
    }
    return json_string_value(at);
}

static inline const json_t *at(const struct response *r, const char *name)
{
    return json_object_get(r->json, name);
}

/* One request over a connection of its own. */
static inline void exchange(struct fixture *f, struct response *r, const char *request)
{
    struct client c;
    client_open(&c, f);
    client_send(&c, request);
    client_await(&c, r);
    client_close(&c);
}

/* One request with that token and those further lines of the head. */
static inline void request_with(struct fixture *f, struct response *r, const char *token,
                                const char *fields, const char *method, const char *target,
                                const char *body)
{
    struct hw_buf text;
    hw_buf_init(&text, 16 * 1024 * 1024);
    hw_buf_appendf(&text, "%s %s HTTP/1.1\r\nhost: x\r\nauthorization: Bearer %s\r\n%s",
                   method, target, token, fields);
    if (body != NULL)
        hw_buf_appendf(&text,
                       "content-type: application/json\r\ncontent-length: %zu\r\n\r\n%s",
                       strlen(body), body);
    else
        hw_buf_append_str(&text, "\r\n");
    exchange(f, r, hw_buf_str(&text));
    hw_buf_close(&text);
}

static inline void request_as(struct fixture *f, struct response *r, const char *token,
                              const char *method, const char *target, const char *body)
{
    request_with(f, r, token, "", method, target, body);
}

/* With the root token. */
static inline void request(struct fixture *f, struct response *r, const char *method,
                           const char *target, const char *body)
{
    request_with(f, r, TOKEN, "", method, target, body);
}

static inline void check_error(const struct response *r, int status, const char *code,
                               const char *field)
{
    if (r->status != status)
        CHECK_FAIL("status %d instead of %d: %s", r->status, status, r->body);
    CHECK_STR(text_at(r, "error.code"), code);
    CHECK_STR(text_at(r, "error.details.field"), field);
    CHECK_NOT_NULL(text_at(r, "error.message"));
}

static inline void expect_error(struct fixture *f, const char *method, const char *target,
                                const char *body, int status, const char *code,
                                const char *field)
{
    struct response r;
    request(f, &r, method, target, body);
    check_error(&r, status, code, field);
    response_close(&r);
}

#endif
