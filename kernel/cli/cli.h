/* SPDX-License-Identifier: Apache-2.0 */
/* Sub-commands of `tenon`: one row each in main.c. */
#pragma once

#define CLI_VERSION "0.1.0"

/* argv[0] is the sub-command's name. Returns the exit code: 0, 1 failed, 2 used in a wrong way. */
int cli_serve(int argc, char **argv);
int cli_plugins(int argc, char **argv);
int cli_doctor(int argc, char **argv);
int cli_conn(int argc, char **argv);
int cli_passwd(int argc, char **argv);

/* ---- doctor: checks that no program of the platform makes itself; lines of kernel/base/finding.h ----- */
struct settings;
struct buf;
void checks_system(const struct settings *s, struct buf *out); /* data folder, disk, time, memory */
void checks_plugins(const struct settings *s, struct buf *out); /* what was refused */
