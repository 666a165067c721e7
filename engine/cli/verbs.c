#include "cli/verbs.h"

#include "cli/shell.h"
#include "hookwheel/alloc.h"

static void family_help(const struct hw_family *family, FILE *out)
{
    fprintf(out, "Usage: hookwheel %s VERB [flags]\n\nThe API from the shell: %s.\n\n",
            family->name, family->help);
    for (size_t i = 0; i < family->n_verbs; i++) {
        const struct hw_verb *verb = &family->verbs[i];

        fprintf(out, "  %-10s %-5s %s\n", verb->name, verb->words, verb->help);
    }
    fprintf(out, "\nExample:\n  hookwheel %s %s\n\n`hookwheel %s VERB --help` says more.\n",
            family->name, family->example, family->name);
}

static void verb_help(const struct hw_family *family, const struct hw_verb *verb,
                      const struct hw_wishes_rows *picked)
{
    struct hw_flag_set own = { picked->rows, picked->n_own, NULL, 0, NULL };
    struct hw_flag_set shared = { picked->rows + picked->n_own, picked->n_rows - picked->n_own,
                                  NULL, 0, NULL };

    printf("Usage: hookwheel %s%s%s%s%s [flags]\n\n%c%s.\n", family->name, hw_verb_gap(verb),
           verb->name, verb->words[0] ? " " : "", verb->words, verb->help[0] - 'a' + 'A',
           verb->help + 1);
    if (own.n_rows > 0) {
        putchar('\n');
        hw_flags_help(&own, stdout);
    }
    puts("\nAs for every command that asks the API:");
    hw_flags_help(&shared, stdout);
    printf("\nExample:\n  hookwheel %s %s\n", family->name, verb->example);
}

static const struct hw_verb *find_verb(const struct hw_family *family, const char *name)
{
    for (size_t i = 0; i < family->n_verbs; i++)
        if (strcmp(family->verbs[i].name, name) == 0)
            return &family->verbs[i];
    return NULL;
}

static int usage_error(const struct hw_family *family, const struct hw_verb *verb,
                       const char *note)
{
    fprintf(stderr, "hookwheel %s%s%s: %s\n", family->name, hw_verb_gap(verb), verb->name,
            note);
    return 2;
}

static int run_verb(struct hw_shell *s, int argc, char **argv)
{
    const struct hw_verb *verb = s->verb;
    struct hw_flag_set set = { s->rows.rows, s->rows.n_rows, &s->wishes, 0, s->rows.given };
    int n_wanted = verb->words[0] ? 1 : 0, n_words = 0;
    struct hw_cause cause = { 0 };
    char note[64];

    if (hw_flags_read(&set, 1, argc, argv, &n_words, &cause) != HW_OK)
        return usage_error(s->family, verb, cause.note);
    if (s->wishes.wants_help) {
        verb_help(s->family, verb, &s->rows);
        return 0;
    }
    if (n_words != n_wanted) {
        snprintf(note, sizeof note, "wants %s (see --help)",
                 n_wanted ? verb->words : "no word besides its flags");
        return usage_error(s->family, verb, note);
    }
    s->word = n_wanted ? argv[1] : NULL;
    if (hw_shell_open(s, &cause) != HW_OK)
        return usage_error(s->family, verb, cause.note);
    return hw_shell_close(s, verb->run(s));
}

static int start_verb(const struct hw_family *family, const struct hw_verb *verb, int argc,
                      char **argv)
{
    struct hw_shell *s = hw_calloc(1, sizeof *s);
    int exit_code;

    if (s == NULL) {
        fprintf(stderr, "hookwheel %s: out of memory\n", family->name);
        return 1;
    }
    s->family = family;
    s->verb = verb;
    hw_verb_pick(&s->rows, family, verb);
    exit_code = run_verb(s, argc, argv);
    hw_texts_close(&s->wishes.headers);
    hw_free(s);
    return exit_code;
}

int hw_verbs_run(const struct hw_family *family, int argc, char **argv)
{
    const struct hw_verb *verb;

    if (hw_family_is_one(family))
        return start_verb(family, family->verbs, argc, argv);
    if (argc < 2) {
        family_help(family, stderr);
        return 2;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        family_help(family, stdout);
        return 0;
    }
    verb = find_verb(family, argv[1]);
    if (verb == NULL) {
        fprintf(stderr, "hookwheel %s: unknown verb \"%.60s\" (see hookwheel %s --help)\n",
                family->name, argv[1], family->name);
        return 2;
    }
    return start_verb(family, verb, argc - 1, argv + 1);
}
