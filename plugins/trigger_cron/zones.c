/* SPDX-License-Identifier: Apache-2.0 */
/* The time zones in use, each read once. */
#include "trigger.h"

#include <search.h>
#include <stdio.h>
#include <string.h>

void zones_init(struct zones *zs, const char *folder)
{
    *zs = (struct zones){.folder = folder};
    pthread_mutex_init(&zs->lock, NULL);
}

static void forget(void *z)
{
    zone_free(z);
}

void zones_finish(struct zones *zs)
{
    tdestroy(zs->tree, forget);
    pthread_mutex_destroy(&zs->lock);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const struct zone *)a)->name, ((const struct zone *)b)->name);
}

tn_rc zones_get(struct zones *zs, tn_str name, const struct zone **ret, char *why, size_t cap)
{
    struct zone key = {0}, *z = NULL;
    tn_rc rc = zone_name_check(name, why, cap);
    if (rc != TN_OK) {
        return rc;
    }
    memcpy(key.name, name.s, name.n);
    pthread_mutex_lock(&zs->lock);
    struct zone **known = tfind(&key, &zs->tree, by_name);
    if (known != NULL) {
        *ret = *known;
    } else {
        rc = zone_load(zs->folder, name, &z, why, cap);
        if (rc == TN_OK && tsearch(z, &zs->tree, by_name) == NULL) {
            zone_free(z);
            snprintf(why, cap, "no memory for a time zone");
            rc = TN_E_NOMEM;
        }
        if (rc == TN_OK) {
            *ret = z;
        }
    }
    pthread_mutex_unlock(&zs->lock);
    return rc;
}
