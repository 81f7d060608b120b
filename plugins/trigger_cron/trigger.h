/* SPDX-License-Identifier: Apache-2.0 */
/* The instance of the trigger: what its thread and its operations share. */
#pragma once
#include "wheel.h"

#include <pthread.h>
#include <tenon/tenon.h>

/* Zones that were asked for; they stay until the end. */
struct zones {
    pthread_mutex_t lock;
    const char *folder;
    void *tree;
};
void zones_init(struct zones *zs, const char *folder);
void zones_finish(struct zones *zs);
/* Borrowed for good. As zone_load(). Any thread. */
tn_rc zones_get(struct zones *zs, tn_str name, const struct zone **ret, char *why, size_t cap);

struct cron_conf {
    tn_dur late_after;
};

#define CRON_SLOTS 24
struct cron {
    pthread_mutex_t lock; /* wheel and the figures below; never held while calling the host */
    struct wheel wheel;
    struct zones zones;
    uint64_t jumps;
    int64_t last_jump_us;
    uint64_t lateness[CRON_SLOTS], overslept;
    int64_t latest_us; /* the largest lateness of all that ran */
    bool open;
    /* the thread's own */
    struct wheel_batch *batch; /* not empty: the platform did not take it yet */
    int timer_fd, wake_fd;
    int64_t handed_us; /* when occurrences were last handed over */
    int64_t apart_us;  /* wall clock minus monotonic clock */
    uint64_t refused;
};
