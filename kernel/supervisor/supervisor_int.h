/* SPDX-License-Identifier: Apache-2.0 */
/* What the supervisor knows of itself and its two children; for supervisor.c and child.c. */
#pragma once
#include "kernel/supervisor/supervisor.h"
#include <stdint.h>

enum { HUB, ZYGOTE, CHILDREN };

struct child {
    pid_t pid; /* 0 = not running */
    int ctl;
    int was_ready;     /* ever */
    int ready;         /* this process */
    unsigned failures; /* quick deaths in a row */
    uint64_t started_ns, start_at;
};
struct supervisor {
    struct settings settings;
    struct listeners listeners;
    struct child child[CHILDREN];
    char **args; /* settings options, for the children */
    int nargs;
    int lockfd, sigfd, stdout_told;
    int asked;                   /* the hub owes us an answer */
    uint64_t watch_ns, watch_at; /* watchdog of systemd: period of our questions; 0 = none */
    int stopping;                /* 1 draining, 2 hub has gone */
    int code;
    uint64_t kill_at;  /* while stopping */
    char folder[4096]; /* of our own program */
};

/* Sends a message of ctl.h, with a descriptor unless that is -1; nothing when the child does not run. */
void child_tell(struct child *c, uint32_t type, int fd);

/* Starts what does not run and is due, and makes the two known to each other. */
void children_start_due(struct supervisor *s);

/* A child's process ended with this status: says so, and when it is to be started again. -1 = that would not help: it
 * ended by itself before it was ever ready. */
int child_died(struct supervisor *s, int which, int status);
