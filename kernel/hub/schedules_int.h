/* SPDX-License-Identifier: Apache-2.0 */
/* What schedules.c (templates, cursors) and schedules_fire.c (occurrences under way) share. */
#pragma once
#include "kernel/hub/schedules.h"
#include <stdatomic.h>

#define SCHEDULES_QUEUES 10

/* A schedule: what an occurrence runs, and how far it is. Immutable but for cursor_us; replaced as a
 * whole. */
struct plan {
    tn_schedule sched; /* texts and task point into the same allocation */
    tn_task_req task;
    int64_t cursor_us; /* (lock) last occurrence that was handed over or is on record */
};

/* Occurrences that the trigger handed over together. */
struct fired {
    struct list link;
    tn_fire *fires;
    uint32_t n, taken; /* taken: so many are in requests already */
    int64_t since_ns;
};

struct schedules {
    struct loop *loop;
    struct schedules_deps deps;
    const tn_trigger_ops *ops; /* NULL: no trigger */
    void *inst;
    const char *name;
    pthread_t thread;
    int stop_fd;
    bool running;
    _Atomic int stopping;
    pthread_mutex_t put_lock; /* one put or drop after the other; held while writing */
    struct map cursors;       /* (put_lock) id -> int64_t *: cursors found at start, not yet used */
    bool cursors_read;        /* (put_lock) */
    pthread_mutex_t lock;
    struct map plans;                   /* (lock) id -> struct plan * */
    int64_t by_queue[SCHEDULES_QUEUES]; /* (lock) enabled schedules */
    struct list fired;                  /* (lock) waiting to be written, in order */
    uint64_t nfired;                    /* (lock) occurrences in it */
    bool writing;                       /* (lock) a batch is on its way; no other may be */
    bool one_by_one;                    /* (lock) see poison() */
    bool alerted;                       /* (lock) the oldest one was reported as late */
    uint64_t written, refused, late_alerts, over_limit; /* (lock) */
    tn_timer *timer; /* loop thread: writes again after a failure, watches for what hangs */
};

void plan_free(void *plan);
/* Starts writing when something waits and nothing is on its way. Loop thread. */
void fired_kick(void *schedules);
void fired_watch(void *schedules); /* the timer */
void fired_finish(struct schedules *s);
