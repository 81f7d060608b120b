/* SPDX-License-Identifier: Apache-2.0 */
/* tenon: the command line. */
#include "kernel/base/str.h"
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
    {"passwd", "give a user a new password, the administrator without a name", cli_passwd},
    {"version", "print the version", cli_version},
    {"help", "print this text, or what a command says to --help: help COMMAND", cli_help},
};
#define COMMANDS (sizeof(commands) / sizeof(*commands))

static int cli_version(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--help") != 0 && strcmp(argv[1], "-h") != 0) {
        fprintf(stderr, "tenon version: takes no \"%s\"\n", argv[1]);
        return 2;
    }
    printf("tenon %s\n", CLI_VERSION);
    return 0;
}

static const struct command *command_of(const char *name)
{
    for (size_t i = 0; i < COMMANDS; i++) {
        if (strcmp(commands[i].name, name) == 0) {
            return &commands[i];
        }
    }
    return NULL;
}

static int unknown(const char *name)
{
    const char *meant = NULL;
    unsigned best = 3;
    for (size_t i = 0; i < COMMANDS; i++) {
        unsigned d = str_distance(name, commands[i].name);
        if (d < best) {
            best = d;
            meant = commands[i].name;
        }
    }
    fprintf(stderr, "tenon: \"%s\" is no command; %s%s%s\n", name, meant ? "did you mean \"" : "",
            meant ? meant : "tenon help lists them", meant ? "\"?" : "");
    return 2;
}

static int cli_help(int argc, char **argv)
{
    const struct command *of = argc > 1 && argv[1][0] != '-' ? command_of(argv[1]) : NULL;
    if (argc > 1 && argv[1][0] != '-' && !of) {
        return unknown(argv[1]);
    }
    if (of && of->run != cli_help) {
        char option[] = "--help", *args[] = {argv[1], option, NULL};
        return of->run(2, args);
    }
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
    const struct command *command = command_of(name);
    if (!command) {
        return unknown(name);
    }
    return command->run(argc > 1 ? argc - 1 : 0, argc > 1 ? argv + 1 : argv);
}
