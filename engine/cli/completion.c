/*
 * The script is a function with one case for each call ("webhooks create"); in it a case on
 * the word before: a flag whose values are known, one that names a file, one that takes
 * anything else, and last the flags themselves.
 */
#include "cli/completion.h"

static const char head[] =
    "# bash completion of hookwheel:  source <(hookwheel completion bash)\n"
    "_hookwheel()\n"
    "{\n"
    "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}\n"
    "    local call=${COMP_WORDS[1]} words= files=\n"
    "\n"
    "    COMPREPLY=()\n"
    "    # bash takes --flag=value for three words\n"
    "    if [[ $word == '=' ]]; then\n"
    "        word=\n"
    "    elif [[ $before == '=' ]]; then\n"
    "        before=${COMP_WORDS[COMP_CWORD-2]}\n"
    "    fi\n"
    "    ((COMP_CWORD == 1)) && call=\n"
    "    case $call in\n";

static const char tail[] =
    "    esac\n"
    "    if [[ $files ]]; then\n"
    "        compopt -o filenames 2>/dev/null\n"
    "        mapfile -t COMPREPLY < <(compgen -f -- \"$word\")\n"
    "    else\n"
    "        mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$word\")\n"
    "    fi\n"
    "}\n"
    "complete -F _hookwheel hookwheel\n";

static bool is_shown(const struct hw_flag_set *set, const struct hw_flag *row)
{
    return row->kind != HW_FLAG_HEADING && !(row->traits & HW_FLAG_HIDDEN) &&
           (row->traits & set->traits) == set->traits;
}

static bool names_file(const struct hw_flag *row)
{
    return strcmp(row->value, "FILE") == 0 || strcmp(row->value, "DIR") == 0;
}

/* The arm of one flag: what may stand behind it.  A switch is followed by the next flag. */
static void put_values(const struct hw_flag *row)
{
    if (row->kind == HW_FLAG_SWITCH)
        return;
    printf("        --%s) ", row->name);
    if (row->kind == HW_FLAG_CHOICE) {
        fputs("words=\"", stdout);
        for (size_t i = 0; row->choices[i] != NULL; i++)
            printf("%s%s", i > 0 ? " " : "", row->choices[i]);
        puts("\" ;;");
    } else {
        puts(names_file(row) ? "files=1 ;;" : ";;");
    }
}

/* One arm: `call`, the flags of the sets, and the words beside them. */
static void put_call(const char *command, const char *verb, const struct hw_flag_set *sets,
                     size_t n_sets, const char *words)
{
    printf("    \"%s%s%s\")\n        case $before in\n", command, verb ? " " : "",
           verb ? verb : "");
    for (size_t s = 0; s < n_sets; s++)
        for (size_t i = 0; i < sets[s].n_rows; i++)
            if (is_shown(&sets[s], &sets[s].rows[i]))
                put_values(&sets[s].rows[i]);
    printf("        *) words=\"%s", words ? words : "");
    for (size_t s = 0; s < n_sets; s++)
        for (size_t i = 0; i < sets[s].n_rows; i++)
            if (is_shown(&sets[s], &sets[s].rows[i]))
                printf(" --%s", sets[s].rows[i].name);
    puts("\" ;;\n        esac\n        ;;");
}

static void put_verb(const struct hw_family *family, const struct hw_verb *verb)
{
    struct hw_wishes_rows picked;
    struct hw_flag_set set;

    hw_verb_pick(&picked, family, verb);
    set = (struct hw_flag_set){ .rows = picked.rows, .n_rows = picked.n_rows };
    put_call(family->name, hw_family_is_one(family) ? NULL : verb->name, &set, 1, NULL);
}

/* The second word of these is a verb; from the third on, both are the call. */
static void put_families(const struct hw_completion_command *commands, size_t n)
{
    fputs("    '') words=\"", stdout);
    for (size_t i = 0; i < n; i++)
        printf("%s%s", i > 0 ? " " : "", commands[i].name);
    puts(" --help --version\" ;;");
    for (size_t i = 0; i < n; i++) {
        const struct hw_family *family = commands[i].family;

        if (family == NULL || hw_family_is_one(family))
            continue;
        printf("    %s)\n        ((COMP_CWORD > 2)) && call+=\" ${COMP_WORDS[2]}\"\n"
               "        ((COMP_CWORD == 2)) && words=\"",
               family->name);
        for (size_t k = 0; k < family->n_verbs; k++)
            printf("%s ", family->verbs[k].name);
        puts("--help\"\n        ;;");
    }
}

static void put_script(const struct hw_completion_command *commands, size_t n)
{
    fputs(head, stdout);
    put_families(commands, n);
    fputs("    esac\n    case $call in\n", stdout);
    for (size_t i = 0; i < n; i++) {
        const struct hw_completion_command *c = &commands[i];

        if (c->family == NULL)
            put_call(c->name, NULL, c->sets, c->n_sets, c->words);
        for (size_t k = 0; c->family != NULL && k < c->family->n_verbs; k++)
            put_verb(c->family, &c->family->verbs[k]);
    }
    fputs(tail, stdout);
}

int hw_completion_run(const struct hw_completion_command *commands, size_t n_commands,
                      int argc, char **argv)
{
    static const char usage[] = "Usage: hookwheel completion bash\n\n"
                                "Prints what bash needs to complete hookwheel's commands:\n\n"
                                "  source <(hookwheel completion bash)\n";

    if (argc == 2 && strcmp(argv[1], "--help") == 0) {
        fputs(usage, stdout);
        return 0;
    }
    if (argc != 2 || strcmp(argv[1], "bash") != 0) {
        fputs("hookwheel completion: wants one word: bash\n", stderr);
        return 2;
    }
    put_script(commands, n_commands);
    return 0;
}
