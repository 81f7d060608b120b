/* SPDX-License-Identifier: Apache-2.0 */
/* Time zones by name, and what their clocks show. */
#include "zones.h"

#include "common/zone.h"

#include <stdio.h>
#include <string.h>

#define FOLDER "/usr/share/zoneinfo"

void zones_init(struct zones *zs)
{
    memset(zs, 0, sizeof *zs);
    pthread_mutex_init(&zs->lock, NULL);
}

void zones_finish(struct zones *zs)
{
    for (uint32_t i = 0; i < zs->n; i++) {
        zone_free(zs->known[i]);
    }
    pthread_mutex_destroy(&zs->lock);
}

const struct zone *zones_get(struct zones *zs, const char *name)
{
    const struct zone *found = NULL;
    char why[200];
    uint32_t i = 0;
    size_t n = strlen(name);
    if (n == 0 || n >= sizeof zs->names[0]) {
        return NULL;
    }
    pthread_mutex_lock(&zs->lock);
    while (i < zs->n && strcmp(zs->names[i], name) != 0) {
        i++;
    }
    if (i == zs->n && i < ZONES_MAX) {
        struct zone *z = NULL;
        tn_str text = {name, n};
        if (zone_name_check(text, why, sizeof why) != TN_OK ||
            zone_load(FOLDER, text, &z, why, sizeof why) != TN_OK) {
            z = NULL;
        }
        memcpy(zs->names[i], name, n + 1);
        zs->known[i] = z;
        zs->n++;
    }
    found = i < zs->n ? zs->known[i] : NULL;
    pthread_mutex_unlock(&zs->lock);
    return found;
}

static int offset_us(void *self, const char *name, int64_t unix_s, int64_t *ret_us)
{
    struct zones_clock *c = self;
    const struct zone *z = name != NULL ? zones_get(c->all, name) : c->server;
    if (z == NULL) {
        return 0;
    }
    *ret_us = (int64_t)z->spans[zone_find(z, unix_s)].offset * 1000000;
    return 1;
}

struct ch_clock zones_clock(struct zones_clock *self, struct zones *zs, const char *server)
{
    *self = (struct zones_clock){zs, zones_get(zs, server)};
    return (struct ch_clock){offset_us, self};
}
