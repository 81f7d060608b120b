/* SPDX-License-Identifier: Apache-2.0 */
/* The jail of a worker: which layers this machine offers, why one is missing, and entering them.
 *
 *   jail.c           the layers as a table: probing, entering in the right order
 *   jail_report.c    what was found as JSON and as log lines
 *   jail_limits.c    rlimits
 *   jail_creds.c     user, capabilities, no_new_privs
 *   jail_landlock.c  files
 *   jail_seccomp.c   system calls
 *   jail_cgroup.c    memory and processes of a worker with everything it starts
 *
 * jail_open() looks at the settings and the machine, jail_probe() tries everything out in a process
 * that is thrown away. A layer that worked there must work in every worker: it does not start without. */
#pragma once
#include "kernel/base/buf.h"
#include "kernel/conf/settings.h"
#include <limits.h>
#include <sys/types.h>

enum jail_layer {
    JAIL_LIMITS,
    JAIL_PRIVILEGES,
    JAIL_USER,
    JAIL_SECCOMP,
    JAIL_LANDLOCK,
    JAIL_CGROUP,
    JAIL_LAYERS
};
enum jail_state { JAIL_OFF, JAIL_PART, JAIL_ON };
struct jail_finding {
    enum jail_state state;
    int wanted;       /* counts for worker_sandbox=required and for the level */
    char why[256];    /* what is there, or what is missing */
    char advice[256]; /* what to do about it; "" when nothing is to be done */
};

#define JAIL_FILE "isolation.json" /* in the data folder: what the running platform found */

#define JAIL_GROUPS 2 /* hierarchies of control groups: version 1 has memory and pids apart */
struct jail_cgroup {
    int version; /* 0 = none, 1, 2 */
    unsigned has_memory, has_pids;
    unsigned n;
    char base[JAIL_GROUPS][PATH_MAX]; /* the group below which workers get theirs; [0] memory */
};
struct jail_slot { /* the control groups of one worker; n = 0: none */
    unsigned n;
    char path[JAIL_GROUPS][PATH_MAX];
};
/* What ended a worker, as far as its control group knows. */
enum jail_cause { JAIL_NO_CAUSE, JAIL_MEMORY, JAIL_PIDS };
struct jail_usage {
    enum jail_cause cause;
    uint64_t limit, peak; /* bytes or processes */
};

struct jail {
    int enabled, required;
    int64_t memory, file_size, processes, files;
    const char *data, *resources, *read, *write, *plugins; /* borrowed from the settings */
    char program[PATH_MAX];                                /* folder of our own program */
    char scratch[PATH_MAX]; /* folder of the workers' scratch folders */
    char user[40];
    uid_t uid; /* of the workers */
    gid_t gid;
    int switch_user;
    uint64_t nproc; /* RLIMIT_NPROC: what the user has already, and what workers may add */
    int abi;        /* Landlock, 0 = none */
    struct jail_cgroup cgroup;
    struct jail_finding layers[JAIL_LAYERS];
};

/* Fills j from the settings, which must outlive it. Makes nothing. TN_E_NOTFOUND: worker_user was set
 * to a user that does not exist. */
tn_rc jail_open(struct jail *j, const struct settings *s, tn_err *err);
/* Zygote: makes the scratch folder and gives what the workers' user needs. */
tn_rc jail_prepare(struct jail *j, tn_err *err);
/* Tries every layer in a forked process (the caller must be single-threaded) and fills layers[]. */
void jail_probe(struct jail *j);
/* The worker, before it runs anything of a user: all layers that were found. `scratch` is its own
 * folder ("" = none, then nothing can be written but resources). The caller has closed what is not
 * for the worker. */
tn_rc jail_enter(const struct jail *j, const struct jail_slot *slot, const char *scratch,
                 tn_err *err);
const char *jail_layer_name(enum jail_layer l);
const char *jail_state_name(enum jail_state s);
/* The weakest layer that counts: JAIL_ON when all are there. */
enum jail_state jail_level(const struct jail *j);
/* {"level":"green|yellow|red","sandbox":"on","user":…,"landlockAbi":…,"layers":{"seccomp":{"state":"on",…}}} */
void jail_json(const struct jail *j, struct buf *out);
/* One line for each layer that is missing. */
void jail_log(const struct jail *j);

/* ---- parts ---------------------------------------------------------------------------------------- */
tn_rc jail_limits_enter(const struct jail *j, tn_err *err);
void jail_limits_find(struct jail *j);

tn_rc jail_creds_find(struct jail *j, const char *user, tn_err *err);
tn_rc jail_creds_prepare(const struct jail *j, tn_err *err);
tn_rc jail_creds_enter(const struct jail *j, tn_err *err); /* user, capabilities, no_new_privs */

int jail_landlock_abi(void); /* 0 = none, errno says why */
/* The rule set of a worker as a descriptor; paths are looked up now. */
tn_rc jail_landlock_rules(const struct jail *j, const char *scratch, int *ret_fd, tn_err *err);
tn_rc jail_landlock_enter(int rules, tn_err *err);

int jail_seccomp_known(void); /* 1: this machine's architecture has a list */
tn_rc jail_seccomp_enter(tn_err *err);

/* Finds where workers may get groups; `root` is /sys/fs/cgroup and `proc` /proc/self/cgroup but in
 * tests. why gets the reason when there is nothing or only a part. */
void jail_cgroup_find(struct jail_cgroup *c, const char *root, const char *proc, char *why,
                      size_t n);
tn_rc jail_cgroup_make(const struct jail_cgroup *c, const char *name, int64_t memory,
                       int64_t processes, struct jail_slot *ret, tn_err *err);
/* Version 1 kills one process of the group after the other; version 2 all of it. The eventfd becomes readable
 * when the limit of memory was met, so that whoever made the group can end the whole. -1 errno. */
int jail_cgroup_watch(const struct jail_cgroup *c, const struct jail_slot *slot, int eventfd);
tn_rc jail_cgroup_enter(const struct jail_slot *slot, tn_err *err);
/* Whether a limit of the group was met, and its highest use; before jail_cgroup_remove. */
void jail_cgroup_usage(const struct jail_cgroup *c, const struct jail_slot *slot,
                       struct jail_usage *ret);
int jail_cgroup_remove(struct jail_slot *slot); /* 0, or -1 while somebody is in it */
void jail_cgroup_close(struct jail_cgroup *c);  /* with every group below that is empty */
