/* SPDX-License-Identifier: Apache-2.0 */
/* The worker process and its zygote. */
#pragma once
#include "kernel/worker/lang.h"
#include <sys/types.h>

/* What a worker inherits from the zygote. */
struct worker_conf {
    const struct lang_host *lang;
    const char *(*setting)(void *ctx, const char *name);
    void *setting_ctx;
    struct pools *pools; /* connections of scripts; NULL: none */
    int64_t memory;      /* bytes of address space, 0 = no limit */
    int64_t file_size;   /* bytes a worker may write into one file, 0 = no limit */
};
/* Runs in the forked child; takes both descriptors; never returns. */
_Noreturn void worker_main(const struct worker_conf *conf, int sock, int pagefd);
/* Limits, process group, priority for the OOM killer; keeps descriptors 0-2 and *sock, which becomes 3. */
tn_rc worker_confine(const struct worker_conf *conf, int *sock, tn_err *err);

/* The program: langs is NULL-terminated, the first is the default of --lang. */
int zygote_main(int argc, char **argv, const struct lang_host *const *langs);
