/* SPDX-License-Identifier: Apache-2.0 */
/* tenon: the command line. */
#include "kernel/cli/cli.h"
#include <stdio.h>
#include <string.h>

struct command {
    const char *name, *summary;
    int (*run)(int argc, char **argv);
};

static int cli_version(int argc, char **argv);
static int cli_help(int argc, char **argv);

static const struct command commands[] = {
    {"serve", "run the platform in the foreground; -t checks the configuration", cli_serve},
    {"doctor", "check this machine: folders, ports, limits, time, each layer of isolation",
     cli_doctor},
    {"plugins", "list plugins; --schema adds their configuration", cli_plugins},
    {"conn", "list connectors of the running platform, or test them: conn test ID", cli_conn},
    {"version", "print the version", cli_version},
    {"help", "print this text", cli_help},
};
#define COMMANDS (sizeof(commands) / sizeof(*commands))

static int cli_version(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    printf("tenon %s\n", CLI_VERSION);
    return 0;
}

static int cli_help(int argc, char **argv)
{
    (void)argc;
    (void)argv;
    printf("usage: tenon COMMAND [OPTIONS]    (COMMAND --help says more)\n\n");
    for (size_t i = 0; i < COMMANDS; i++) {
        printf("  %-10s %s\n", commands[i].name, commands[i].summary);
    }
    return 0;
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "help";
    if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0) {
        name = "version";
    } else if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0) {
        name = "help";
    }
    for (size_t i = 0; i < COMMANDS; i++) {
        if (strcmp(commands[i].name, name) == 0) {
            return commands[i].run(argc > 1 ? argc - 1 : 0, argc > 1 ? argv + 1 : argv);
        }
    }
    fprintf(stderr, "tenon: \"%s\" is no command; tenon help lists them\n", name);
    return 2;
}
