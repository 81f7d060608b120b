/* SPDX-License-Identifier: Apache-2.0 */
/* Clocks of time zones, each read once from the system's tzdata. */
#pragma once
#include "native.h"

#include <pthread.h>

#define ZONES_MAX 64 /* of an instance; more are not known */

struct zone;
struct zones {
    pthread_mutex_t lock;
    struct zone *known[ZONES_MAX];
    char names[ZONES_MAX][64]; /* also of those that there are not: known is NULL */
    uint32_t n;
};
void zones_init(struct zones *zs);
void zones_finish(struct zones *zs);
/* NULL: there is no such zone here. What it gives lives as long as zs. Any thread. */
const struct zone *zones_get(struct zones *zs, const char *name);

/* The clock of a server's zone, and through it those of all others. */
struct zones_clock {
    struct zones *all;
    const struct zone *server;
};
struct ch_clock zones_clock(struct zones_clock *self, struct zones *zs, const char *server);
