/*
 * main - which command was asked for.
 *
 * Exit codes everywhere: 0 done; 1 it was tried and failed; 2 not tried, because of how it
 * was called or set.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "cli/health.h"
#include "cli/listen.h"
#include "cli/send.h"
#include "hookwheel/hookwheel.h"
#include "serve.h"

static int version_run(int argc, char **argv);
static int help_run(int argc, char **argv);

static const struct command {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *help; /* NULL: not shown */
} commands[] = {
    { "serve", hw_serve_run, "run the daemon" },
    { "send", hw_send_run, "enqueue events" },
    { "listen", hw_listen_run, "receive deliveries during development" },
    { "version", version_run, "print the version" },
    { "help", help_run, NULL },
    { "health", hw_health_run, NULL }, /* for a container's HEALTHCHECK */
};
enum { N_COMMANDS = sizeof commands / sizeof *commands };

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
            fprintf(out, "  %-9s %s\n", commands[i].name, commands[i].help);
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
    return command->run(argc - 1, argv + 1);
}
