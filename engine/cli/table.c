#include "cli/table.h"

#include "base/must.h"
#include "hookwheel/alloc.h"

enum { GAP = 2 };
#define TEXT_MAX ((size_t)256 * 1024 * 1024)
#define CUT      "\xe2\x80\xa6" /* … */

struct hw_table_cell {
    size_t at, n_bytes; /* in `text` */
    unsigned width;
    enum hw_tone tone;
};

void hw_table_init(struct hw_table *t, const struct hw_column *columns, size_t n_columns)
{
    HW_MUST(n_columns <= HW_TABLE_COLUMNS_MAX);
    *t = (struct hw_table){ .columns = columns, .n_columns = n_columns };
    hw_buf_init(&t->text, TEXT_MAX);
}

void hw_table_close(struct hw_table *t)
{
    hw_buf_close(&t->text);
    hw_free(t->cells);
    t->cells = NULL;
}

/* --- filling ----------------------------------------------------------------------- */

static struct hw_table_cell *new_cell(struct hw_table *t)
{
    if (t->n_cells == t->room) {
        size_t room = t->room ? 2 * t->room : 128;
        struct hw_table_cell *cells = hw_realloc(t->cells, room * sizeof *cells);

        if (cells == NULL)
            return NULL;
        t->cells = cells;
        t->room = room;
    }
    return &t->cells[t->n_cells++];
}

void hw_table_add(struct hw_table *t, struct hw_slice text, enum hw_tone tone)
{
    struct hw_table_cell *cell = new_cell(t);

    if (cell == NULL) {
        t->text.failed = HW_ENOMEM;
        return;
    }
    *cell = (struct hw_table_cell){ .at = hw_buf_len(&t->text), .tone = tone };
    if (hw_screen_text(&t->text, text.len > 0 ? text : HW_SLICE("-")))
        cell->n_bytes = hw_buf_len(&t->text) - cell->at;
    cell->width =
        hw_screen_width(hw_slice(hw_buf_slice(&t->text).data + cell->at, cell->n_bytes));
}

void hw_table_adds(struct hw_table *t, const char *text)
{
    hw_table_add(t, hw_slice_str(text), HW_TONE_PLAIN);
}

/* --- who is how wide --------------------------------------------------------------- */

static void measure(struct hw_table *t)
{
    for (size_t i = 0; i < t->n_columns && !t->has_begun; i++)
        t->widths[i] = hw_screen_width(hw_slice_str(t->columns[i].title));
    for (size_t i = 0; i < t->n_cells; i++)
        if (t->cells[i].width > t->widths[i % t->n_columns])
            t->widths[i % t->n_columns] = t->cells[i].width;
}

static unsigned least_width(const struct hw_table *t, size_t i)
{
    unsigned least = t->columns[i].least;

    return least > 0 && least < t->widths[i] ? least : t->widths[i];
}

/* Of a whole row: as it is, or with everything cut that may be. */
static unsigned row_width(const struct hw_table *t, bool is_cut)
{
    unsigned width = 0;

    for (size_t i = 0; i < t->n_columns; i++)
        if (!t->is_left_out[i])
            width += GAP + (is_cut ? least_width(t, i) : t->widths[i]);
    return width > GAP ? width - GAP : 0;
}

static bool leave_one_out(struct hw_table *t)
{
    size_t last = t->n_columns;

    for (size_t i = 0; i < t->n_columns; i++)
        if (!t->is_left_out[i] && t->columns[i].rank > 0 &&
            (last == t->n_columns || t->columns[i].rank >= t->columns[last].rank))
            last = i;
    if (last < t->n_columns)
        t->is_left_out[last] = true;
    return last < t->n_columns;
}

static bool cut_widest(struct hw_table *t)
{
    size_t widest = t->n_columns;

    for (size_t i = 0; i < t->n_columns; i++)
        if (!t->is_left_out[i] && least_width(t, i) < t->widths[i] &&
            (widest == t->n_columns || t->widths[i] > t->widths[widest]))
            widest = i;
    if (widest < t->n_columns)
        t->widths[widest]--;
    return widest < t->n_columns;
}

/* What is left out was decided with the first rows, and stays. */
static void fit(struct hw_table *t, unsigned width)
{
    while (!t->has_begun && row_width(t, true) > width && leave_one_out(t))
        continue;
    while (row_width(t, false) > width && cut_widest(t))
        continue;
}

/* --- printing ---------------------------------------------------------------------- */

static void put_spaces(struct hw_buf *line, unsigned n)
{
    hw_buf_appendf(line, "%*s", (int)n, "");
}

static void put_cell(const struct hw_table *t, const struct hw_screen *s, size_t column,
                     struct hw_slice text, enum hw_tone tone, struct hw_buf *line)
{
    unsigned room = t->widths[column], width = hw_screen_width(text);
    bool is_cut = width > room;
    unsigned spare;

    if (is_cut) {
        text.len = hw_screen_cut(text, room - 1);
        width = hw_screen_width(text) + 1;
    }
    spare = room > width ? room - width : 0;
    if (t->columns[column].is_right)
        put_spaces(line, spare);
    hw_buf_append_str(line, hw_screen_tone(s, tone));
    hw_buf_append_slice(line, text);
    hw_buf_append_str(line, is_cut ? CUT : "");
    hw_buf_append_str(line, hw_screen_end(s, tone));
    put_spaces(line, (t->columns[column].is_right ? 0 : spare) + GAP);
}

/* Without the spaces behind the last cell. */
static void end_line(struct hw_buf *line, FILE *out)
{
    struct hw_slice text = hw_buf_slice(line);

    while (text.len > 0 && text.data[text.len - 1] == ' ')
        text.len--;
    fprintf(out, "%.*s\n", HW_SLICE_FMT(text));
    hw_buf_consume(line, hw_buf_len(line));
}

static void put_titles(const struct hw_table *t, const struct hw_screen *s,
                       struct hw_buf *line, FILE *out)
{
    if (t->columns[0].title == NULL)
        return;
    for (size_t i = 0; i < t->n_columns; i++)
        if (!t->is_left_out[i])
            put_cell(t, s, i, hw_slice_str(t->columns[i].title), HW_TONE_TITLE, line);
    end_line(line, out);
}

static void put_rows(const struct hw_table *t, const struct hw_screen *s, struct hw_buf *line,
                     FILE *out)
{
    const char *text = hw_buf_slice(&t->text).data;

    for (size_t i = 0; i < t->n_cells; i++) {
        const struct hw_table_cell *cell = &t->cells[i];
        size_t column = i % t->n_columns;

        if (!t->is_left_out[column])
            put_cell(t, s, column, hw_slice(text + cell->at, cell->n_bytes), cell->tone, line);
        if (column == t->n_columns - 1)
            end_line(line, out);
    }
}

enum hw_status hw_table_flush(struct hw_table *t, const struct hw_screen *s, FILE *out)
{
    enum hw_status status = hw_buf_failed(&t->text);
    struct hw_buf line;

    if (status != HW_OK || t->n_cells == 0)
        return status;
    measure(t);
    if (s->width > 0)
        fit(t, s->width);
    hw_buf_init(&line, TEXT_MAX);
    if (!t->has_begun)
        put_titles(t, s, &line, out);
    put_rows(t, s, &line, out);
    status = hw_buf_failed(&line);
    hw_buf_close(&line);
    hw_buf_reset(&t->text);
    t->n_cells = 0;
    t->has_begun = true;
    return status;
}
