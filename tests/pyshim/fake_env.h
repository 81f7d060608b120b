/* SPDX-License-Identifier: Apache-2.0 */
/* A worker's environment without processes: scripts and variables from memory. */
#pragma once
#include "kernel/base/buf.h"
#include "kernel/worker/lang.h"

struct fake_item {
    char *id, *text;
    struct fake_item *next;
};
struct fake_env {
    struct fake_item *scripts, *vars, *settings;
    struct buf log;      /* printed lines */
    struct buf compiled; /* what code.get gives for the script "zygote__compiled" */
    char resource_root[256];
    unsigned asked_code, asked_env;
};
extern struct fake_env fake;
extern const struct lang_env fake_lang_env;
void fake_set(struct fake_item **list, const char *id, const char *text);
void fake_reset(void); /* forgets scripts, variables and lines */
