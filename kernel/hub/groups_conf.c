/* SPDX-License-Identifier: Apache-2.0 */
/* Worker groups from settings: queue 1 serves the APIs and always has workers, queue 5 runs drafts, every
 * other queue has processes of its own as long as there is something for them to do. */
#include "kernel/hub/groups_conf.h"
#include "kernel/base/clock.h"
#include "kernel/base/err.h"
#include "kernel/base/str.h"

#define QUEUES      10
#define QUEUE_API   1
#define QUEUE_DEBUG 5
#define WORKERS_MAX 1024

static const char *const names[QUEUES] = {"system", "default", "cron",   "async",  "queue4",
                                          "debug",  "handler", "queue7", "queue8", "queue9"};

/* "16" or "3=64" */
static tn_rc take(tn_str part, uint32_t max[QUEUES], tn_err *err)
{
    tn_str rest = str_trim(part), key;
    int64_t queue = -1, n;
    const char *eq = memchr(rest.s, '=', rest.n);
    if (eq) {
        str_split(&rest, '=', &key);
        if (!str_to_i64(str_trim(key), &queue) || queue < 0 || queue >= QUEUES) {
            queue = QUEUES;
        }
    }
    if (queue == QUEUES || !str_to_i64(str_trim(rest), &n) || n < 1 || n > WORKERS_MAX) {
        return err_set(err, TN_E_CONFIG,
                       "queue_workers: \"%.*s\" is neither a number of processes (1..%d) nor "
                       "QUEUE=NUMBER with a queue 0..%d",
                       (int)part.n, part.s, WORKERS_MAX, QUEUES - 1);
    }
    for (int i = 0; i < QUEUES; i++) {
        max[i] = queue < 0 || queue == i ? (uint32_t)n : max[i];
    }
    return TN_OK;
}

tn_rc groups_conf(const struct settings *s, struct groups_conf *ret, tn_err *err)
{
    uint32_t max[QUEUES] = {16, 16, 16, 16, 16, 16, 16, 16, 16, 16};
    tn_str rest = str_of(s->queue_workers), part;
    uint64_t wait = (uint64_t)s->queue_wait.ms * NS_PER_MS;
    while (str_split(&rest, ',', &part)) {
        if (str_trim(part).n) {
            tn_rc rc = take(part, max, err);
            if (rc) {
                return rc;
            }
        }
    }
    ret->n = 0;
    /* The group of the APIs comes first: what is said of no queue belongs to it. */
    ret->groups[ret->n++] = (struct broker_group_conf){
        names[QUEUE_API],         1u << QUEUE_API,        (uint32_t)s->workers_min,
        (uint32_t)s->workers_max, (uint32_t)s->queue_max, wait};
    ret->groups[ret->n++] = (struct broker_group_conf){
        names[QUEUE_DEBUG], 1u << QUEUE_DEBUG, 1, 8, 256, wait};
    for (unsigned q = 0; q < QUEUES; q++) {
        if (q != QUEUE_API && q != QUEUE_DEBUG) {
            ret->groups[ret->n++] = (struct broker_group_conf){
                names[q], 1u << q, 0, max[q], (uint32_t)s->queue_max, wait};
        }
    }
    return TN_OK;
}
