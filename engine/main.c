/*
 * main - which command was asked for.
 *
 * Exit codes everywhere: 0 done; 1 it was tried and failed; 2 not tried, because of how it
 * was called or set.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "cli/completion.h"
#include "cli/health.h"
#include "cli/listen.h"
#include "cli/manage.h"
#include "cli/send.h"
#include "cli/updates.h"
#include "hookwheel/hookwheel.h"
#include "serve.h"

static int completion_run(int argc, char **argv);
static int version_run(int argc, char **argv);
static int help_run(int argc, char **argv);

static const struct command {
    const char *name;
    const char *help; /* NULL: not shown */
    int (*run)(int argc, char **argv);
    const struct hw_family *family;                                   /* instead of run */
    size_t (*flags)(struct hw_flag_set sets[HW_COMPLETION_SETS_MAX]); /* NULL: none */
    const char *words;                                                /* for completion */
} commands[] = {
    { "serve", "run the daemon", .run = hw_serve_run, .flags = hw_serve_flags },
    { "send", "enqueue events", .run = hw_send_run, .flags = hw_send_flags },
    { "listen", "receive deliveries during development", .run = hw_listen_run,
      .flags = hw_listen_flags },
    { "updates", "read the feed of events, and follow it", .family = &hw_updates },
    { "webhooks", "subscribe, watch and repair webhooks", .family = &hw_manage_webhooks },
    { "deliveries", "look at deliveries, make them again, follow them",
      .family = &hw_manage_deliveries },
    { "consumers", "pull events under a name, and acknowledge them",
      .family = &hw_manage_consumers },
    { "tokens", "make and end API tokens", .family = &hw_manage_tokens },
    { "types", "the catalogue of event types", .family = &hw_manage_types },
    { "completion", "print what bash needs to complete these", .run = completion_run,
      .words = "bash" },
    { "version", "print the version", .run = version_run },
    { "help", NULL, .run = help_run },
    { "health", NULL, .run = hw_health_run }, /* for a container's HEALTHCHECK */
};
enum { N_COMMANDS = sizeof commands / sizeof *commands };

static int completion_run(int argc, char **argv)
{
    struct hw_completion_command shown[N_COMMANDS];
    size_t n = 0;

    for (size_t i = 0; i < N_COMMANDS; i++) {
        if (commands[i].help == NULL)
            continue;
        shown[n] = (struct hw_completion_command){ .name = commands[i].name,
                                                   .family = commands[i].family,
                                                   .words = commands[i].words };
        if (commands[i].flags != NULL)
            shown[n].n_sets = commands[i].flags(shown[n].sets);
        n++;
    }
    return hw_completion_run(shown, n, argc, argv);
}

static int version_run(int argc, char **argv)
{
    (void)argv;
    if (argc > 1) {
        fputs("hookwheel version: takes no arguments\n", stderr);
        return 2;
    }
    printf("hookwheel %s\n", hw_version());
    return 0;
}

static void usage(FILE *out)
{
    fputs("hookwheel - a webhook delivery engine\n\nUsage: hookwheel COMMAND [flags]\n\n",
          out);
    for (size_t i = 0; i < N_COMMANDS; i++)
        if (commands[i].help != NULL)
            fprintf(out, "  %-11s %s\n", commands[i].name, commands[i].help);
    fputs("\n`hookwheel COMMAND --help` says more.\n", out);
}

static int help_run(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    usage(stdout);
    return 0;
}

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < N_COMMANDS; i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        return find_command("help");
    if (strcmp(name, "--version") == 0)
        return find_command("version");
    return NULL;
}

int main(int argc, char **argv)
{
    const struct command *command;

    signal(SIGPIPE, SIG_IGN); /* a reader that went away is an error of the write */
    if (argc < 2) {
        usage(stderr);
        return 2;
    }
    command = find_command(argv[1]);
    if (command == NULL) {
        fprintf(stderr, "hookwheel: unknown command \"%.60s\" (see hookwheel --help)\n",
                argv[1]);
        return 2;
    }
    if (command->family != NULL)
        return hw_verbs_run(command->family, argc - 1, argv + 1);
    return command->run(argc - 1, argv + 1);
}
