/*
 *   a round:  walk the list from the newest on  ->  ask for open ones further back
 *             ->  print changes, then what is new, the oldest first  ->  wait
 *
 * Known is what the last walk met and what is open (not yet delivered or dead).  The list is
 * in the order of acceptance, so whatever is unknown and stands before the newest known one
 * is new; unknown ones behind it are old.
 *
 *   no answer, 429, 5xx   told once; tried again every second (not in the first round: 1)
 *   any other refusal     told; 1
 *   nobody reads          1
 *   a signal              0
 */
#include "cli/tail.h"

#include "base/list.h"
#include "base/map.h"
#include "cli/table.h"
#include "cli/values.h"
#include "hookwheel/alloc.h"

#define BASE "/v1/deliveries"

enum {
    ROUND_MS = 1000,
    SHOWN_FIRST = 10,
    WALK_PAGES = 5, /* walked for the sake of open ones; for new ones as many as it takes */
    ASKED_MAX = 20, /* one by one in a round */
    ID_MAX_BYTES = 64,
    STATUS_MAX_BYTES = 16,
    TIME_MAX_BYTES = 40
};

struct known {
    struct hw_map_entry entry; /* its key is `id` */
    struct hw_list link;       /* in tail.open; idle: it has ended */
    char id[ID_MAX_BYTES];
    char status[STATUS_MAX_BYTES];
    json_int_t attempts;
    uint64_t round; /* that met it last */
};

struct tail {
    struct hw_shell *shell; /* borrowed */
    const char *status;     /* borrowed: only these are printed; NULL: all */
    struct hw_buf list;     /* the list's target, without a page */
    struct hw_table table;
    struct hw_map known;
    struct hw_list open;
    size_t n_open_unmet;                                       /* in this round */
    uint64_t round;                                            /* the first is 1 */
    char border_id[ID_MAX_BYTES], border_time[TIME_MAX_BYTES]; /* the newest known one */
    json_t *fresh;    /* owned: new in this round, the newest first */
    bool is_behind;   /* the walk has reached what was known to be the newest */
    bool is_troubled; /* the last round failed, and that was told */
};

/* --- what is known ----------------------------------------------------------------- */

static struct known *find(const struct tail *t, const char *id)
{
    struct hw_map_entry *entry = hw_map_find(&t->known, hw_slice_str(id));

    return entry ? HW_CONTAINER_OF(entry, struct known, entry) : NULL;
}

static void forget(struct tail *t, struct known *k)
{
    hw_map_remove(&t->known, &k->entry);
    if (hw_list_is_linked(&k->link))
        hw_list_unlink(&k->link);
    hw_free(k);
}

static bool is_open(const char *status)
{
    return strcmp(status, "delivered") != 0 && strcmp(status, "dead_letter") != 0;
}

static void set_status(struct tail *t, struct known *k, const char *status)
{
    snprintf(k->status, sizeof k->status, "%s", status);
    if (hw_list_is_linked(&k->link) && !is_open(status))
        hw_list_unlink(&k->link);
    else if (!hw_list_is_linked(&k->link) && is_open(status))
        hw_list_push_back(&t->open, &k->link);
}

static json_int_t attempts_of(const json_t *delivery)
{
    return json_integer_value(json_object_get(delivery, "attempts"));
}

static struct known *learn(struct tail *t, const json_t *delivery, const char *id,
                           const char *status)
{
    struct known *k = hw_calloc(1, sizeof *k);

    if (k == NULL)
        return NULL;
    snprintf(k->id, sizeof k->id, "%s", id);
    if (hw_map_add(&t->known, &k->entry, hw_slice_str(k->id)) != HW_OK) {
        hw_free(k);
        return NULL;
    }
    set_status(t, k, status);
    k->attempts = attempts_of(delivery);
    k->round = t->round;
    return k;
}

/* What has ended and lies behind where the walk went. */
static void forget_ended(struct tail *t)
{
    struct hw_map_entry *entry = hw_map_next(&t->known, NULL);

    while (entry != NULL) {
        struct known *k = HW_CONTAINER_OF(entry, struct known, entry);

        entry = hw_map_next(&t->known, entry);
        if (k->round != t->round && !hw_list_is_linked(&k->link))
            forget(t, k);
    }
}

/* --- lines ------------------------------------------------------------------------- */

static void show(struct tail *t, const json_t *delivery)
{
    struct hw_slice time = hw_values_text(delivery, "updated_at");
    struct hw_slice status = hw_values_text(delivery, "status");

    if (t->status != NULL && !hw_slice_is(status, t->status))
        return;
    if (t->shell->wishes.is_json) {
        hw_shell_print_line(t->shell, delivery);
        return;
    }
    hw_table_add(&t->table, time.len > 11 ? hw_slice_from(time, 11) : time, HW_TONE_PLAIN);
    hw_values_add_status(&t->table, delivery, "status");
    hw_values_add(&t->table, delivery, "id");
    hw_values_add(&t->table, delivery, "event_type");
    hw_values_add(&t->table, delivery, "attempts");
    hw_values_add(&t->table, delivery, "response_code");
    hw_values_add(&t->table, json_object_get(delivery, "error"), "kind");
    hw_values_add(&t->table, delivery, "subject");
    hw_values_add(&t->table, delivery, "webhook_id");
}

static void show_fresh(struct tail *t)
{
    size_t n = json_array_size(t->fresh);

    if (t->round == 1 && n > SHOWN_FIRST)
        n = SHOWN_FIRST;
    while (n-- > 0)
        show(t, json_array_get(t->fresh, n));
    json_array_clear(t->fresh);
}

/* --- the walk ---------------------------------------------------------------------- */

static void meet(struct tail *t, struct known *k, const json_t *delivery, const char *status)
{
    if (hw_list_is_linked(&k->link) && k->round != t->round)
        t->n_open_unmet--;
    k->round = t->round;
    if (strcmp(k->status, status) == 0 && k->attempts == attempts_of(delivery))
        return;
    set_status(t, k, status);
    k->attempts = attempts_of(delivery);
    show(t, delivery);
}

static void take(struct tail *t, json_t *delivery)
{
    const char *id = json_string_value(json_object_get(delivery, "id"));
    const char *status = json_string_value(json_object_get(delivery, "status"));
    const char *time = json_string_value(json_object_get(delivery, "created_at"));
    struct known *k;

    if (id == NULL || status == NULL || time == NULL || strlen(id) >= ID_MAX_BYTES)
        return;
    if (strcmp(id, t->border_id) == 0 || strcmp(time, t->border_time) < 0)
        t->is_behind = true;
    k = find(t, id);
    if (k != NULL)
        meet(t, k, delivery, status);
    else if (!t->is_behind && learn(t, delivery, id, status) != NULL)
        json_array_append(t->fresh, delivery);
}

static bool take_page(struct tail *t, const char *cursor, json_t **page)
{
    struct hw_shell *s = t->shell;
    json_t *item;
    size_t i;

    hw_buf_cut(&s->target, hw_buf_len(&t->list));
    hw_shell_where(s, "limit", "200");
    hw_shell_where(s, "cursor", cursor);
    if (!hw_shell_ask(s, "GET", NULL, page))
        return false;
    json_array_foreach (json_object_get(*page, "data"), i, item)
        take(t, item);
    return true;
}

static bool wants_more(const struct tail *t, unsigned n_pages)
{
    if (t->round == 1)
        return false;
    return !t->is_behind || (t->n_open_unmet > 0 && n_pages < WALK_PAGES);
}

static bool walk(struct tail *t)
{
    json_t *page = NULL, *earlier = NULL; /* which `cursor` is borrowed from */
    const char *cursor = NULL;
    unsigned n_pages = 0;
    bool is_good;

    t->is_behind = false;
    do {
        json_decref(earlier);
        earlier = page;
        page = NULL;
        is_good = take_page(t, cursor, &page);
        cursor = json_string_value(json_object_get(page, "next_cursor"));
    } while (is_good && cursor != NULL && wants_more(t, ++n_pages));
    json_decref(earlier);
    json_decref(page);
    return is_good;
}

static void set_border(struct tail *t)
{
    const json_t *newest = json_array_get(t->fresh, 0);

    if (newest == NULL)
        return;
    snprintf(t->border_id, sizeof t->border_id, "%.*s",
             HW_SLICE_FMT(hw_values_text(newest, "id")));
    snprintf(t->border_time, sizeof t->border_time, "%.*s",
             HW_SLICE_FMT(hw_values_text(newest, "created_at")));
}

/* The walk broke off: what it found new is found again by the next. */
static void take_back(struct tail *t)
{
    const json_t *delivery;
    size_t i;

    json_array_foreach (t->fresh, i, delivery) {
        struct known *k = find(t, json_string_value(json_object_get(delivery, "id")));

        if (k != NULL)
            forget(t, k);
    }
    json_array_clear(t->fresh);
}

/* --- open ones further back -------------------------------------------------------- */

static bool ask_for(struct tail *t, struct known *k)
{
    struct hw_shell *s = t->shell;
    json_t *delivery;
    bool is_good;

    hw_shell_to(s, BASE, k->id, NULL);
    s->is_silent = true;
    is_good = hw_shell_ask(s, "GET", NULL, &delivery);
    s->is_silent = false;
    if (is_good) {
        const char *status = json_string_value(json_object_get(delivery, "status"));

        if (status != NULL)
            meet(t, k, delivery, status);
        json_decref(delivery);
    } else if (s->failure.status == HW_OK && s->fetch.response.status == 404) {
        t->n_open_unmet--;
        forget(t, k); /* no longer kept */
        return true;
    }
    return is_good;
}

/* Those that waited longest for it; the order of the list is that of the questions. */
static void ask_for_unmet(struct tail *t)
{
    for (int n = 0; n < ASKED_MAX && t->n_open_unmet > 0; n++) {
        struct known *k = HW_CONTAINER_OF(hw_list_first(&t->open), struct known, link);

        hw_list_unlink(&k->link);
        hw_list_push_back(&t->open, &k->link);
        if (k->round == t->round)
            continue;
        if (!ask_for(t, k))
            return;
    }
}

/* --- rounds ------------------------------------------------------------------------ */

static void begin_round(struct tail *t)
{
    t->round++;
    t->n_open_unmet = 0;
    hw_buf_reset(&t->shell->target);
    hw_buf_append_slice(&t->shell->target, hw_buf_slice(&t->list));
    HW_LIST_EACH (link, &t->open)
        t->n_open_unmet++;
}

static bool passes(const struct hw_shell *s)
{
    int status = s->fetch.response.status;

    return s->failure.status != HW_OK || status == 429 || status >= 500;
}

/* The exit code, or -1: go on. */
static int on_trouble(struct tail *t)
{
    struct hw_shell *s = t->shell;

    if (s->failure.status == HW_ECANCELED)
        return 0;
    if (t->round == 1 || !passes(s))
        return 1;
    t->is_troubled = true;
    take_back(t);
    return -1;
}

static int one_round(struct tail *t)
{
    struct hw_shell *s = t->shell;
    bool is_good;

    begin_round(t);
    s->is_silent = t->is_troubled;
    is_good = walk(t);
    s->is_silent = false;
    if (!is_good)
        return on_trouble(t);
    if (t->is_troubled)
        fprintf(stderr, "hookwheel deliveries: it answers again\n");
    t->is_troubled = false;
    ask_for_unmet(t);
    forget_ended(t);
    set_border(t);
    show_fresh(t);
    if (hw_table_flush(&t->table, &s->screen, stdout) != HW_OK || fflush(stdout) != 0)
        return 1;
    return -1;
}

static int follow(struct tail *t)
{
    struct hw_fetch *fetch = &t->shell->fetch;
    int exit_code;

    hw_fetch_watch(fetch);
    do
        exit_code = one_round(t);
    while (exit_code < 0 && hw_fetch_wait(fetch, ROUND_MS));
    return exit_code > 0 || fetch->is_unread ? 1 : 0;
}

int hw_tail_run(struct hw_shell *s, const char *status)
{
    static const struct hw_column columns[] = {
        { "TIME (UTC)", 0, 0, false }, { "STATUS", 11, 0, false },
        { "DELIVERY", 0, 0, false },   { "TYPE", 14, 0, false },
        { "TRIES", 0, 2, true },       { "CODE", 0, 1, true },
        { "ERROR", 8, 3, false },      { "SUBJECT", 12, 5, false },
        { "WEBHOOK", 0, 4, false },
    };
    struct tail t = { .shell = s, .status = status, .fresh = json_array() };
    struct hw_map_entry *entry;
    int exit_code;

    hw_table_init(&t.table, columns, sizeof columns / sizeof *columns);
    hw_map_init(&t.known);
    hw_list_init(&t.open);
    hw_buf_init(&t.list, SIZE_MAX);
    hw_buf_append_slice(&t.list, hw_buf_slice(&s->target));
    exit_code = follow(&t);
    while ((entry = hw_map_next(&t.known, NULL)) != NULL)
        forget(&t, HW_CONTAINER_OF(entry, struct known, entry));
    hw_map_close(&t.known);
    hw_table_close(&t.table);
    hw_buf_close(&t.list);
    json_decref(t.fresh);
    return exit_code;
}
