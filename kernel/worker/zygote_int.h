/* SPDX-License-Identifier: Apache-2.0 */
/* State of the zygote, shared by its files. Single-threaded by rule. */
#pragma once
#include "kernel/base/list.h"
#include "kernel/conf/settings.h"
#include "kernel/ipc/zygote.h"
#include "kernel/plug/plug.h"
#include "kernel/worker/worker.h"

struct zygote {
    struct worker_conf conf;
    struct jail jail;
    uint64_t slots;   /* control groups made so far */
    pid_t janitor;    /* 0 = none runs */
    int janitor_work; /* something was put aside since it began */
    struct lang_env env;
    struct settings settings;
    struct plug_registry plugs; /* connectors */
    int ctl, hub, sigfd, oomfd;
    unsigned epoch;
    struct list children, preloads;
    size_t nchildren;
};

/* zygote.c: to the hub, when there is one; the descriptor stays ours, -1 = none. */
void zygote_to_hub(struct zygote *z, struct zyg_msg *m, const char *script, int fd);

/* zygote_workers.c */
void zygote_fork_worker(struct zygote *z, uint64_t id, int sock, int pagefd);
void zygote_reap(struct zygote *z); /* SIGCHLD has come */
void zygote_oom(struct zygote *z);  /* a control group has met its limit of memory */
void zygote_janitor(struct zygote *z);
void zygote_hub_gone(struct zygote *z);
/* Ends workers of an old hub that did not leave by themselves; returns ms until the next look, -1. */
int zygote_kill_left_alone(struct zygote *z);
void zygote_end_workers(struct zygote *z);

/* zygote_code.c: takes *fd, a memfd of the source. */
void zygote_preload(struct zygote *z, const struct zyg_msg *m, const char *script, int *fd);
void zygote_compile_one(struct zygote *z); /* the first that waits: preloads must not be empty */
void zygote_unload(struct zygote *z, tn_str script);
void zygote_forget_preloads(struct zygote *z);
