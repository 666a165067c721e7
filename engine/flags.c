#include "flags.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/slice.h"
#include "hookwheel/alloc.h"

void hw_texts_close(struct hw_texts *t)
{
    hw_free(t->items);
    *t = (struct hw_texts){ 0 };
}

static enum hw_status texts_add(struct hw_texts *t, const char *text, struct hw_cause *cause)
{
    const char **items = hw_realloc(t->items, (t->n + 1) * sizeof *items);

    if (items == NULL)
        return hw_cause_set(cause, HW_ENOMEM, HW_ORIGIN_US, 0, "out of memory");
    items[t->n++] = text;
    t->items = items;
    return HW_OK;
}

void hw_flag_variable(const char *name, char out[HW_FLAG_VARIABLE_MAX])
{
    snprintf(out, HW_FLAG_VARIABLE_MAX, "HOOKWHEEL_%s", name);
    for (char *c = out; *c != '\0'; c++)
        *c = *c == '-' ? '_' : (char)toupper((unsigned char)*c);
}

/* ------------------------------------------------------------------ values */

struct unit {
    const char *name;
    uint64_t factor;
};

static const struct unit durations[] = {
    { "ms", 1 }, { "s", 1000 }, { "m", 60000 }, { "h", 3600000 }, { "d", 86400000 }, { 0 },
};
static const struct unit sizes[] = {
    { "", 1 }, { "KiB", 1024 }, { "MiB", 1024 * 1024 }, { 0 }
};
static const struct unit plain[] = { { "", 1 }, { 0 } };

/* "120m" by the units given; a bare 0 needs none. */
static bool unit_read(struct hw_slice text, const struct unit *units, uint64_t *out)
{
    size_t n = 0;
    uint64_t number;
    struct hw_slice tail;

    while (n < text.len && isdigit((unsigned char)text.data[n]))
        n++;
    if (!hw_slice_u64(hw_slice(text.data, n), UINT64_MAX, &number))
        return false;
    tail = hw_slice_from(text, n);
    if (number == 0 && tail.len == 0) {
        *out = 0;
        return true;
    }
    for (; units->name != NULL; units++)
        if (hw_slice_is(tail, units->name)) {
            *out = number > UINT64_MAX / units->factor ? UINT64_MAX : number * units->factor;
            return true;
        }
    return false;
}

bool hw_flag_duration(struct hw_slice text, uint64_t *ms)
{
    return unit_read(text, durations, ms);
}

/* A bound as a person would write it, in the largest unit that fits exactly. */
static void unit_write(uint64_t value, const struct unit *units, char out[32])
{
    const struct unit *best = units;

    for (; units->name != NULL; units++)
        if (value > 0 && value % units->factor == 0)
            best = units;
    snprintf(out, 32, "%llu%s", (unsigned long long)(value / best->factor), best->name);
}

static enum hw_status refuse(struct hw_cause *cause, const char *origin, const char *text,
                             const char *why)
{
    return hw_cause_set(cause, HW_EINVAL, HW_ORIGIN_US, 0, "%s: \"%.40s\" %s", origin, text,
                        why);
}

static enum hw_status quantity_read(const struct hw_flag *row, struct hw_slice text,
                                    const char *origin, uint64_t *out, struct hw_cause *cause)
{
    const struct unit *units = plain;
    const char *shape = "is not a number";
    char quoted[44], min[32], max[32];

    if (row->kind == HW_FLAG_DURATION || row->kind == HW_FLAG_SCHEDULE) {
        units = durations;
        shape = "is not a duration (like 500ms, 10s, 5m, 2h, 7d)";
    } else if (row->kind == HW_FLAG_SIZE) {
        units = sizes;
        shape = "is not a size (like 4096, 256KiB, 1MiB)";
    }
    snprintf(quoted, sizeof quoted, "%.*s", HW_SLICE_FMT(text));
    if (!unit_read(text, units, out))
        return refuse(cause, origin, quoted, shape);
    if (*out >= row->min && *out <= row->max)
        return HW_OK;
    unit_write(row->min, units, min);
    unit_write(row->max, units, max);
    return hw_cause_set(cause, HW_EINVAL, HW_ORIGIN_US, 0,
                        "%s: %.40s is not between %s and %s", origin, quoted, min, max);
}

/* "1m,5m,30m", or "none". */
static enum hw_status schedule_read(const struct hw_flag *row, char *base, const char *text,
                                    size_t room, const char *origin, struct hw_cause *cause)
{
    uint64_t *entries = (void *)(base + row->offset);
    unsigned *n_entries = (void *)(base + row->count_offset);
    struct hw_slice rest = hw_slice_str(text);
    enum hw_status status;
    unsigned n = 0;

    if (hw_slice_is(rest, "none")) {
        *n_entries = 0;
        return HW_OK;
    }
    for (;;) {
        size_t comma = hw_slice_find(rest, ',');
        struct hw_slice item = hw_slice(rest.data, comma);

        while (item.len > 0 && item.data[0] == ' ')
            item = hw_slice_from(item, 1);
        if (n == room)
            return hw_cause_set(cause, HW_EINVAL, HW_ORIGIN_US, 0, "%s: more than %zu entries",
                                origin, room);
        status = quantity_read(row, item, origin, &entries[n], cause);
        if (status != HW_OK)
            return status;
        n++;
        if (comma == rest.len)
            break;
        rest = hw_slice_from(rest, comma + 1);
        if (rest.data == NULL)
            rest = hw_slice_str("");
    }
    *n_entries = n;
    return HW_OK;
}

static enum hw_status choice_read(const struct hw_flag *row, int *field, const char *text,
                                  const char *origin, struct hw_cause *cause)
{
    char list[80] = "";
    size_t n = 0;

    for (int i = 0; row->choices[i] != NULL; i++) {
        if (strcmp(row->choices[i], text) == 0) {
            *field = i;
            return HW_OK;
        }
        n += (size_t)snprintf(list + n, n < sizeof list ? sizeof list - n : 0, "%s%s",
                              i > 0 ? ", " : "", row->choices[i]);
    }
    return hw_cause_set(cause, HW_EINVAL, HW_ORIGIN_US, 0, "%s: \"%.40s\" is none of %s",
                        origin, text, list);
}

static enum hw_status fraction_read(double *field, const char *text, const char *origin,
                                    struct hw_cause *cause)
{
    char *end;
    double value;

    if (strspn(text, "0123456789.") != strlen(text))
        return refuse(cause, origin, text, "is not a fraction between 0 and 1");
    value = strtod(text, &end);
    if (end == text || *end != '\0' || !(value >= 0 && value <= 1))
        return refuse(cause, origin, text, "is not a fraction between 0 and 1");
    *field = value;
    return HW_OK;
}

static enum hw_status switch_read(bool *field, const char *text, const char *origin,
                                  struct hw_cause *cause)
{
    if (strcmp(text, "0") != 0 && strcmp(text, "1") != 0)
        return refuse(cause, origin, text, "is neither 0 nor 1");
    *field = text[0] == '1';
    return HW_OK;
}

enum hw_status hw_flag_store(const struct hw_flag *row, void *into, const char *text,
                             const char *origin, struct hw_cause *cause)
{
    void *field = (char *)into + row->offset;
    enum hw_status status;
    uint64_t number = 0;

    switch (row->kind) {
    case HW_FLAG_HEADING:
        return HW_OK;
    case HW_FLAG_TEXT:
    case HW_FLAG_SECRET:
        *(const char **)field = text;
        return HW_OK;
    case HW_FLAG_TEXTS:
        return texts_add(field, text, cause);
    case HW_FLAG_CHOICE:
        return choice_read(row, field, text, origin, cause);
    case HW_FLAG_SWITCH:
        return switch_read(field, text, origin, cause);
    case HW_FLAG_SCHEDULE:
        return schedule_read(row, into, text,
                             (row->count_offset - row->offset) / sizeof number, origin, cause);
    case HW_FLAG_FRACTION:
        return fraction_read(field, text, origin, cause);
    case HW_FLAG_COUNT:
    case HW_FLAG_NUMBER:
    case HW_FLAG_SIZE:
    case HW_FLAG_DURATION:
        break;
    }
    status = quantity_read(row, hw_slice_str(text), origin, &number, cause);
    if (status != HW_OK)
        return status;
    if (row->kind == HW_FLAG_COUNT)
        *(unsigned *)field = (unsigned)number;
    else if (row->kind == HW_FLAG_SIZE)
        *(size_t *)field = (size_t)number;
    else
        *(uint64_t *)field = number;
    return HW_OK;
}

/* ------------------------------------------------------------------ reading */

static bool row_applies(const struct hw_flag_set *set, const struct hw_flag *row)
{
    return row->kind != HW_FLAG_HEADING && (row->traits & set->traits) == set->traits;
}

static enum hw_status read_environment(const struct hw_flag_set *set, struct hw_cause *cause)
{
    char variable[HW_FLAG_VARIABLE_MAX];
    enum hw_status status;

    for (size_t i = 0; i < set->n_rows; i++) {
        const struct hw_flag *row = &set->rows[i];
        const char *text;

        if (!row_applies(set, row) || row->traits & HW_FLAG_NO_ENV)
            continue;
        hw_flag_variable(row->name, variable);
        text = getenv(variable);
        if (text == NULL || text[0] == '\0')
            continue;
        status = hw_flag_store(row, set->into, text, variable, cause);
        if (status != HW_OK)
            return status;
    }
    return HW_OK;
}

/* The set and the row of that name; NULL: there is none. */
static const struct hw_flag_set *find_row(const struct hw_flag_set *sets, size_t n_sets,
                                          struct hw_slice name, size_t *row)
{
    for (size_t s = 0; s < n_sets; s++)
        for (size_t i = 0; i < sets[s].n_rows; i++)
            if (row_applies(&sets[s], &sets[s].rows[i]) &&
                hw_slice_is(name, sets[s].rows[i].name)) {
                *row = i;
                return &sets[s];
            }
    return NULL;
}

/* One flag at argv[*at]; *at moves on to the last word that it used. */
static enum hw_status read_flag(const struct hw_flag_set *sets, size_t n_sets, int argc,
                                char **argv, int *at, struct hw_cause *cause)
{
    const char *word = argv[*at];
    struct hw_slice name = hw_slice_str(word + 2);
    size_t equals = hw_slice_find(name, '=');
    const char *value = equals < name.len ? name.data + equals + 1 : NULL;
    const struct hw_flag_set *set;
    const struct hw_flag *row;
    char origin[80];
    size_t i;

    name.len = equals;
    set = find_row(sets, n_sets, name, &i);
    if (set == NULL)
        return hw_cause_set(cause, HW_EINVAL, HW_ORIGIN_US, 0, "unknown flag --%.*s",
                            name.len > 60 ? 60 : (int)name.len, name.data);
    row = &set->rows[i];
    if (value == NULL && row->kind == HW_FLAG_SWITCH)
        value = "1";
    if (value == NULL && *at + 1 >= argc)
        return hw_cause_set(cause, HW_EINVAL, HW_ORIGIN_US, 0, "--%s needs a value",
                            row->name);
    if (value == NULL)
        value = argv[++*at];
    if (set->given != NULL)
        set->given[i] = true;
    if (value[0] == '\0')
        return HW_OK;
    snprintf(origin, sizeof origin, "--%s", row->name);
    return hw_flag_store(row, set->into, value, origin, cause);
}

enum hw_status hw_flags_read(const struct hw_flag_set *sets, size_t n_sets, int argc,
                             char **argv, int *n_words, struct hw_cause *cause)
{
    enum hw_status status = HW_OK;
    bool is_over = false;
    int words = 0;

    for (size_t s = 0; s < n_sets && status == HW_OK; s++)
        status = read_environment(&sets[s], cause);
    for (int i = 1; i < argc && status == HW_OK; i++) {
        /* A lone "-" is a word: standard input. */
        if (!is_over && strcmp(argv[i], "--") == 0)
            is_over = true;
        else if (!is_over && strncmp(argv[i], "--", 2) == 0)
            status = read_flag(sets, n_sets, argc, argv, &i, cause);
        else if (!is_over && argv[i][0] == '-' && argv[i][1] != '\0')
            status =
                hw_cause_set(cause, HW_EINVAL, HW_ORIGIN_US, 0, "unknown flag %.60s", argv[i]);
        else if (n_words == NULL)
            status = hw_cause_set(cause, HW_EINVAL, HW_ORIGIN_US, 0,
                                  "unexpected argument \"%.60s\"", argv[i]);
        else
            argv[++words] = argv[i];
    }
    if (n_words != NULL)
        *n_words = words;
    return status;
}

/* ------------------------------------------------------------------ help */

static bool row_shows(const struct hw_flag_set *set, const struct hw_flag *row)
{
    if (row->traits & HW_FLAG_HIDDEN)
        return false;
    return row->kind == HW_FLAG_HEADING ? set->traits == 0 : row_applies(set, row);
}

void hw_flags_help(const struct hw_flag_set *set, FILE *out)
{
    for (size_t i = 0; i < set->n_rows; i++) {
        const struct hw_flag *row = &set->rows[i];
        char flag[64];

        if (!row_shows(set, row))
            continue;
        if (row->kind == HW_FLAG_HEADING) {
            fprintf(out, "\n%s:\n", row->help);
            continue;
        }
        snprintf(flag, sizeof flag, "--%s%s%s", row->name, row->value ? " " : "",
                 row->value ? row->value : "");
        fprintf(out, "  %-37s %s%s%s%s\n", flag, row->help, row->otherwise ? " [" : "",
                row->otherwise ? row->otherwise : "", row->otherwise ? "]" : "");
    }
}

/* Text in a cell of a Markdown table: '|' would end it and <x> would be taken for HTML. */
static void put_cell(FILE *out, const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '|')
            fputc('\\', out);
        fputc(*text, out);
    }
}

void hw_flags_markdown(const struct hw_flag_set *set, FILE *out)
{
    char variable[HW_FLAG_VARIABLE_MAX];

    fputs("| variable | default | |\n| --- | --- | --- |\n", out);
    for (size_t i = 0; i < set->n_rows; i++) {
        const struct hw_flag *row = &set->rows[i];

        if (!row_shows(set, row) || row->kind == HW_FLAG_HEADING ||
            row->traits & HW_FLAG_NO_ENV)
            continue;
        hw_flag_variable(row->name, variable);
        fprintf(out, "| `%s` | `", variable);
        put_cell(out, row->otherwise ? row->otherwise : "none");
        fputs("` | ", out);
        put_cell(out, row->help);
        fputs(" |\n", out);
    }
}
