/* SPDX-License-Identifier: Apache-2.0 */
/* Sub-commands of `tenon`: one row each in main.c. */
#pragma once

#define CLI_VERSION "0.1.0"

/* argv[0] is the sub-command's name. Returns the exit code: 0, 1 failed, 2 used in a wrong way. */
int cli_serve(int argc, char **argv);
int cli_plugins(int argc, char **argv);
