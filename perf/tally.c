#include "tally.h"

#include "hookwheel/alloc.h"

enum { DELAY_MAX_MS = 3600 * 1000 };

void hw_tally_init(struct hw_tally *t)
{
    *t = (struct hw_tally){ 0 };
    hw_map_init(&t->paths);
    hw_map_init(&t->groups);
    hw_list_init(&t->in_order);
}

static struct hw_tally_path *path_of(struct hw_map_entry *entry)
{
    return HW_CONTAINER_OF(entry, struct hw_tally_path, entry);
}

void hw_tally_close(struct hw_tally *t)
{
    struct hw_map_entry *entry = hw_map_next(&t->paths, NULL);
    struct hw_list *link;

    while (entry != NULL) {
        struct hw_map_entry *next = hw_map_next(&t->paths, entry);

        hw_map_remove(&t->paths, entry);
        hw_free(path_of(entry));
        entry = next;
    }
    while ((link = hw_list_pop(&t->in_order)) != NULL) {
        struct hw_tally_group *group = HW_CONTAINER_OF(link, struct hw_tally_group, link);

        hw_map_remove(&t->groups, &group->entry);
        hw_samples_close(&group->latencies_us);
        hw_free(group);
    }
    hw_map_close(&t->paths);
    hw_map_close(&t->groups);
}

/* ------------------------------------------------------------------ a path's first request */

static struct hw_slice take_segment(struct hw_slice *rest)
{
    struct hw_slice segment = hw_slice(rest->data, hw_slice_find(*rest, '/'));

    *rest = hw_slice_from(*rest, segment.len + 1);
    return segment;
}

static bool is_name(struct hw_slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');

        if (!is_letter && !(c >= '0' && c <= '9') && c != '_' && c != '-' && c != '.')
            return false;
    }
    return text.len > 0 && text.len <= HW_TALLY_NAME_MAX;
}

/* The behaviour into *path, the group's name into *name; false: there is no such path. */
static bool read_target(struct hw_slice target, struct hw_tally_path *path,
                        struct hw_slice *name)
{
    struct hw_slice rest = hw_slice_from(target, 1);
    struct hw_slice behaviour = take_segment(&rest);

    path->status = 204;
    path->delay_ms = 0;
    if (hw_slice_is(behaviour, "fail"))
        path->status = 500;
    else if (hw_slice_is(behaviour, "hang"))
        path->delay_ms = HW_TALLY_NEVER;
    else if (hw_slice_is(behaviour, "after")) {
        if (!hw_slice_u64(take_segment(&rest), DELAY_MAX_MS, &path->delay_ms))
            return false;
    } else if (!hw_slice_is(behaviour, "ok"))
        return false;
    *name = take_segment(&rest);
    return is_name(*name);
}

static struct hw_tally_group *group_new(struct hw_tally *t, struct hw_slice name)
{
    struct hw_tally_group *group = hw_calloc(1, sizeof *group);

    if (group == NULL)
        return NULL;
    hw_samples_init(&group->latencies_us);
    memcpy(group->name, name.data, name.len);
    if (hw_map_add(&t->groups, &group->entry, hw_slice(group->name, name.len)) != HW_OK) {
        hw_free(group);
        return NULL;
    }
    hw_list_push_back(&t->in_order, &group->link);
    return group;
}

static struct hw_tally_group *group_for(struct hw_tally *t, struct hw_slice name)
{
    struct hw_map_entry *entry = hw_map_find(&t->groups, name);

    if (entry != NULL)
        return HW_CONTAINER_OF(entry, struct hw_tally_group, entry);
    return t->groups.n_entries < HW_TALLY_GROUPS_MAX ? group_new(t, name) : NULL;
}

static struct hw_tally_path *path_new(struct hw_tally *t, struct hw_slice target)
{
    struct hw_tally_path draft = { 0 }, *path;
    struct hw_slice name;

    if (target.len > HW_TALLY_TARGET_MAX || t->paths.n_entries == HW_TALLY_PATHS_MAX ||
        !read_target(target, &draft, &name))
        return NULL;
    draft.group = group_for(t, name);
    path = draft.group ? hw_malloc(sizeof *path + target.len) : NULL;
    if (path == NULL)
        return NULL;
    *path = draft;
    memcpy(path->text, target.data, target.len);
    if (hw_map_add(&t->paths, &path->entry, hw_slice(path->text, target.len)) != HW_OK) {
        hw_free(path);
        return NULL;
    }
    return path;
}

/* ------------------------------------------------------------------ every request */

/* The planned moment out of a body; false: it names none. */
static bool find_planned(struct hw_slice body, hw_unix_us *planned)
{
    static const char mark[] = "\"at\":";
    const char *found = body.len ? memmem(body.data, body.len, mark, sizeof mark - 1) : NULL;
    struct hw_slice rest;
    size_t n_digits = 0;
    uint64_t us;

    if (found == NULL)
        return false;
    found += sizeof mark - 1;
    rest = hw_slice(found, (size_t)(body.data + body.len - found));
    while (n_digits < rest.len && rest.data[n_digits] >= '0' && rest.data[n_digits] <= '9')
        n_digits++;
    if (!hw_slice_u64(hw_slice(rest.data, n_digits), INT64_MAX, &us))
        return false;
    *planned = (hw_unix_us)us;
    return true;
}

static void measure(struct hw_tally_group *g, struct hw_slice body, hw_unix_us now)
{
    hw_unix_us planned, us;

    if (!find_planned(body, &planned))
        return;
    us = now > planned ? now - planned : 0; /* a clock that was set back */
    hw_samples_add(&g->latencies_us, us > UINT32_MAX ? UINT32_MAX : (uint32_t)us);
}

static void count_one_more(struct hw_tally_path *path)
{
    struct hw_tally_group *g = path->group;

    if (++path->at_once > g->max_of_path)
        g->max_of_path = path->at_once;
    if (++g->at_once > g->max_at_once)
        g->max_at_once = g->at_once;
}

struct hw_tally_path *hw_tally_begin(struct hw_tally *t, struct hw_slice target,
                                     struct hw_slice body, hw_unix_us now)
{
    struct hw_map_entry *entry = hw_map_find(&t->paths, target);
    struct hw_tally_path *path = entry ? path_of(entry) : path_new(t, target);
    struct hw_tally_group *g;

    if (path == NULL) {
        t->n_missed++;
        return NULL;
    }
    g = path->group;
    if (g->n_received++ == 0)
        g->first_at = now;
    g->last_at = now;
    measure(g, body, now);
    count_one_more(path);
    return path;
}

void hw_tally_end(struct hw_tally_path *path)
{
    path->at_once--;
    path->group->at_once--;
}

/* ------------------------------------------------------------------ what became of it */

void hw_tally_reset(struct hw_tally *t)
{
    struct hw_map_entry *entry = NULL;

    t->n_missed = 0;
    HW_LIST_EACH (link, &t->in_order) {
        struct hw_tally_group *g = HW_CONTAINER_OF(link, struct hw_tally_group, link);

        g->n_received = 0;
        hw_samples_reset(&g->latencies_us);
        g->max_at_once = g->at_once;
        g->max_of_path = 0;
    }
    while ((entry = hw_map_next(&t->paths, entry)) != NULL) {
        struct hw_tally_path *path = path_of(entry);

        if (path->at_once > path->group->max_of_path)
            path->group->max_of_path = path->at_once;
    }
}

/* Nearest rank: the smallest sample that `per_mille` of them do not exceed. */
static void write_rank(struct hw_samples *us, const char *name, size_t per_mille,
                       struct hw_buf *out)
{
    size_t rank = (us->n * per_mille + 999) / 1000;

    hw_buf_appendf(out, ",\"%s\":%.3f", name, hw_samples_rank(us, rank) / 1000.0);
}

static void write_latency(struct hw_samples *us, struct hw_buf *out)
{
    hw_buf_appendf(out, ",\"latency_ms\":{\"n\":%zu", us->n);
    if (us->n == 0) {
        hw_buf_append_str(out, ",\"p50\":null,\"p99\":null,\"p999\":null,\"max\":null}");
        return;
    }
    write_rank(us, "p50", 500, out);
    write_rank(us, "p99", 990, out);
    write_rank(us, "p999", 999, out);
    write_rank(us, "max", 1000, out);
    hw_buf_append_char(out, '}');
}

static void write_group(struct hw_tally_group *g, bool with_latency, struct hw_buf *out)
{
    hw_buf_appendf(out, "\"%s\":{\"received\":%llu", g->name,
                   (unsigned long long)g->n_received);
    if (with_latency)
        write_latency(&g->latencies_us, out);
    hw_buf_appendf(out, ",\"max_at_once\":{\"path\":%u,\"group\":%u},\"at_once\":%u",
                   g->max_of_path, g->max_at_once, g->at_once);
    if (g->n_received > 0)
        hw_buf_appendf(out, ",\"first_at\":%lld,\"last_at\":%lld}", (long long)g->first_at,
                       (long long)g->last_at);
    else
        hw_buf_append_str(out, ",\"first_at\":null,\"last_at\":null}");
}

void hw_tally_write(struct hw_tally *t, bool with_latency, struct hw_buf *out)
{
    const char *separator = "{";

    HW_LIST_EACH (link, &t->in_order) {
        hw_buf_append_str(out, separator);
        write_group(HW_CONTAINER_OF(link, struct hw_tally_group, link), with_latency, out);
        separator = ",";
    }
    hw_buf_append_str(out, hw_list_is_empty(&t->in_order) ? "{}" : "}");
}
