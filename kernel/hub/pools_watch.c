/* SPDX-License-Identifier: Apache-2.0 */
/* Figures of the connection pools, which live in the workers: each worker tells its own when they have
 * changed; here they are added up. What a worker says is only shown, never acted upon. */
#include "kernel/base/str.h"
#include "kernel/hub/hub.h"

#include <errno.h>
#include <jansson.h>
#include <pthread.h>
#include <stdint.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#define WORKERS_MAX 1024 /* that are remembered */
#define POOLS_MAX   200  /* ids in the sums; all others share one */
#define TEXT_MAX    (64u << 10)

/* The first are what is there now; the others only grow, and outlive their worker. */
static const char *const gauges[] = {"opening", "idle", "leased", "waiting"};
static const char *const counters[] = {"opened",          "failed",      "leases",        "waits",
                                       "acquireTimeouts", "broken",      "resetFailures", "leaked",
                                       "queries",         "queryErrors", "breakerTrips"};

struct pools_watch {
    pthread_mutex_t lock;
    json_t *workers; /* pid as text -> [{id, type, figures…}] */
    json_t *gone;    /* id -> counters of workers that have ended */
};

tn_rc pools_watch_create(struct hub *h)
{
    struct pools_watch *w = calloc(1, sizeof *w);
    if (w == NULL) {
        return TN_E_NOMEM;
    }
    pthread_mutex_init(&w->lock, NULL);
    w->workers = json_object();
    w->gone = json_object();
    h->pools_watch = w;
    return TN_OK;
}

void pools_watch_destroy(struct hub *h)
{
    struct pools_watch *w = h->pools_watch;
    if (w != NULL) {
        json_decref(w->workers);
        json_decref(w->gone);
        pthread_mutex_destroy(&w->lock);
        free(w);
        h->pools_watch = NULL;
    }
}

static void add(json_t *to, const json_t *from, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        json_int_t more = json_integer_value(json_object_get(from, names[i]));
        json_int_t now = json_integer_value(json_object_get(to, names[i]));
        if (more > 0 && now <= INT64_MAX - more) {
            json_object_set_new(to, names[i], json_integer(now + more));
        }
    }
}

/* The sums of that pool; borrowed. */
static json_t *sums_of(json_t *sums, const json_t *pool)
{
    const char *id = json_string_value(json_object_get(pool, "id"));
    if (id == NULL) {
        return NULL;
    }
    if (json_object_get(sums, id) == NULL) {
        id = json_object_size(sums) < POOLS_MAX ? id : "(others)";
        if (json_object_get(sums, id) == NULL) {
            json_object_set_new(sums, id, json_object());
        }
    }
    return json_object_get(sums, id);
}

/* Holds the lock: the counters of workers that have ended are kept, the rest of them goes. */
static void forget_dead(struct pools_watch *w)
{
    const char *pid;
    json_t *pools;
    void *next;
    json_object_foreach_safe(w->workers, next, pid, pools)
    {
        if (kill((pid_t)atol(pid), 0) < 0 && errno == ESRCH) {
            for (size_t i = 0; i < json_array_size(pools); i++) {
                const json_t *p = json_array_get(pools, i);
                json_t *sum = sums_of(w->gone, p);
                if (sum != NULL) {
                    add(sum, p, counters, sizeof counters / sizeof *counters);
                }
            }
            json_object_del(w->workers, pid);
        }
    }
}

void pools_watch_put(struct hub *h, tn_str text)
{
    struct pools_watch *w = h->pools_watch;
    json_t *said = text.n <= TEXT_MAX ? json_loadb(text.s, text.n, 0, NULL) : NULL;
    json_t *pools = json_object_get(said, "pools");
    char pid[24];
    snprintf(pid, sizeof pid, "%lld", (long long)json_integer_value(json_object_get(said, "pid")));
    if (json_is_array(pools) && atol(pid) > 1) {
        pthread_mutex_lock(&w->lock);
        forget_dead(w);
        if (json_object_get(w->workers, pid) != NULL ||
            json_object_size(w->workers) < WORKERS_MAX) {
            json_object_set(w->workers, pid, pools);
        }
        pthread_mutex_unlock(&w->lock);
    }
    json_decref(said);
}

void pools_watch_write(struct hub *h, struct buf *out)
{
    struct pools_watch *w = h->pools_watch;
    const char *pid;
    json_t *pools;
    pthread_mutex_lock(&w->lock);
    forget_dead(w);
    json_t *sums = json_deep_copy(w->gone);
    json_object_foreach(w->workers, pid, pools)
    {
        for (size_t i = 0; sums != NULL && i < json_array_size(pools); i++) {
            const json_t *p = json_array_get(pools, i);
            json_t *sum = sums_of(sums, p);
            if (sum != NULL) {
                add(sum, p, gauges, sizeof gauges / sizeof *gauges);
                add(sum, p, counters, sizeof counters / sizeof *counters);
            }
        }
    }
    pthread_mutex_unlock(&w->lock);
    char *text = sums != NULL ? json_dumps(sums, JSON_COMPACT) : NULL;
    buf_adds(out, text != NULL ? text : "{}");
    free(text);
    json_decref(sums);
}
