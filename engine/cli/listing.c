#include "cli/listing.h"

enum { LIMIT_MAX = 200 };

static int no_memory(struct hw_shell *s)
{
    fprintf(stderr, "hookwheel %s: out of memory\n", s->family->name);
    return 1;
}

static int show(struct hw_shell *s, const struct hw_listing *listing, struct hw_table *table,
                const json_t *items)
{
    const json_t *item;
    size_t i;

    json_array_foreach (items, i, item) {
        if (s->wishes.is_json)
            hw_shell_print_line(s, item);
        else
            listing->row(table, item, s->now);
    }
    return hw_table_flush(table, &s->screen, stdout) == HW_OK ? 0 : no_memory(s);
}

static void set_page(struct hw_shell *s, size_t base, const char *cursor)
{
    unsigned limit = s->wishes.limit;
    char text[16];

    hw_buf_cut(&s->target, base);
    if (limit == 0 && s->wishes.wants_all)
        limit = LIMIT_MAX;
    snprintf(text, sizeof text, "%u", limit);
    hw_shell_where(s, "limit", limit > 0 ? text : NULL);
    hw_shell_where(s, "cursor", cursor);
}

/* What is behind this page, where nobody asked for it. */
static void tell_more(const struct hw_shell *s, const char *next)
{
    if (next != NULL && s->screen.is_terminal)
        fprintf(stderr, "There are more: --all, or --cursor %.140s\n", next);
}

static int run_page(struct hw_shell *s, const struct hw_listing *listing,
                    struct hw_table *table, json_t **page)
{
    if (!hw_shell_ask(s, "GET", NULL, page))
        return 1;
    if (!s->wishes.is_json || s->wishes.wants_all)
        return show(s, listing, table, json_object_get(*page, "data"));
    hw_shell_print_json(s);
    return 0;
}

static int run_pages(struct hw_shell *s, const struct hw_listing *listing,
                     struct hw_table *table)
{
    size_t base = hw_buf_len(&s->target);
    const char *cursor = s->wishes.cursor;
    json_t *page = NULL, *earlier = NULL; /* which `cursor` is borrowed from */
    int exit_code;

    do {
        set_page(s, base, cursor);
        json_decref(earlier);
        earlier = page;
        page = NULL;
        exit_code = run_page(s, listing, table, &page);
        cursor = json_is_true(json_object_get(page, "has_more"))
                     ? json_string_value(json_object_get(page, "next_cursor"))
                     : NULL;
    } while (exit_code == 0 && cursor != NULL && s->wishes.wants_all && !ferror(stdout));
    if (exit_code == 0 && !s->wishes.is_json && !table->has_begun)
        fprintf(stderr, "No %s.\n", listing->things);
    if (exit_code == 0 && !s->wishes.wants_all)
        tell_more(s, cursor);
    json_decref(earlier);
    json_decref(page);
    return exit_code;
}

int hw_listing_run(struct hw_shell *s, const struct hw_listing *listing)
{
    struct hw_table table;
    int exit_code;

    hw_table_init(&table, listing->columns, listing->n_columns);
    exit_code = run_pages(s, listing, &table);
    hw_table_close(&table);
    return exit_code;
}
