/* SPDX-License-Identifier: Apache-2.0 */
/* The worker process and its zygote. */
#pragma once
#include "kernel/worker/jail.h"
#include "kernel/worker/lang.h"
#include "kernel/worker/scratch.h"
#include <sys/types.h>

/* What a worker inherits from the zygote. */
struct worker_conf {
    const struct lang_host *lang;
    const char *(*setting)(void *ctx, const char *name);
    void *setting_ctx;
    struct pools *pools; /* connections of scripts; NULL: none */
    const struct jail *jail;
    int log_level;
    size_t result_max; /* bytes of a result */
};
/* Runs in the forked child; takes both descriptors; never returns. */
_Noreturn void worker_main(const struct worker_conf *conf, const struct jail_slot *slot, int sock,
                           int pagefd);
/* Process group, priority for the OOM killer, descriptors (0-2 are /dev/null, *sock becomes 3, the log 4),
 * scratch folder, jail. */
tn_rc worker_confine(const struct worker_conf *conf, const struct jail_slot *slot, int *sock,
                     struct scratch *ret_scratch, tn_err *err);

/* tenon-worker --doctor [settings]: tries the jail and the language out, without leaving anything, and prints
 * {"isolation":…} of jail_json() and lines of kernel/base/finding.h. Returns the exit code. */
int worker_doctor(int argc, char **argv, const struct lang_host *lang);

/* The program: langs is NULL-terminated, the first is the default of --lang. */
int zygote_main(int argc, char **argv, const struct lang_host *const *langs);
