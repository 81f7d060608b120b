/* SPDX-License-Identifier: Apache-2.0 */
/* Tasks with one overlap key: one of them holds it from its start to its end, the policy of the others
 * says whether they wait, are skipped or end the first. Kept in memory: what was running when the
 * platform ended waits again like everything else. */
#include "kernel/base/err.h"
#include "kernel/hub/tasks_int.h"
#include <stdlib.h>
#include <string.h>

static tn_str key_of(const uint64_t *hash)
{
    return (tn_str){(const char *)hash, sizeof *hash};
}

static struct tk_overlap *find(const struct tasks *t, uint64_t hash)
{
    return map_get(&t->overlaps, key_of(&hash));
}

static struct tk_overlap *make(struct tasks *t, uint64_t hash)
{
    struct tk_overlap *o = calloc(1, sizeof *o);
    if (o && map_put(&t->overlaps, key_of(&hash), o, NULL) < 0) {
        free(o);
        o = NULL;
    }
    return o;
}

/* job_key.rsvd of a parked row: its queue, which may be another than the holder's. */
#define QUEUE_SHIFT 8

static int park(struct tk_overlap *o, uint32_t queue, const struct job_key *k)
{
    if (o->n == o->cap && o->first > o->n / 2) {
        memmove(o->parked, o->parked + o->first, (o->n - o->first) * sizeof *o->parked);
        o->n -= o->first;
        o->first = 0;
    }
    if (o->n == o->cap) {
        size_t cap = o->cap ? o->cap * 2 : 4;
        struct job_key *parked = realloc(o->parked, cap * sizeof *parked);
        if (!parked) {
            return OVERLAP_SKIP;
        }
        o->parked = parked;
        o->cap = cap;
    }
    o->parked[o->n] = *k;
    o->parked[o->n++].rsvd = queue << QUEUE_SHIFT;
    return OVERLAP_WAIT;
}

/* One that is being claimed or waits to be tried again has no call: its next start is its end. */
static void cancel_holder(struct tasks *t, struct tk_overlap *o)
{
    tn_str id;
    void *value;
    for (size_t i = 0; map_next(&t->running, &i, &id, &value);) {
        struct tk_run *r = value;
        if (r->job.seq == o->holder && r->call) {
            if (r->cancel) {
                return;
            }
            r->cancel = 1;
            broker_cancel(t->hub->broker, r->call, OVERLAP_GRACE_MS);
            return;
        }
    }
    o->unwanted = 1;
}

static void hold(struct tk_overlap *o, const struct job_key *k)
{
    o->holder = k->seq;
    o->epoch = k->epoch;
    o->unwanted = 0;
}

int overlap_enter(struct tasks *t, uint32_t queue, const struct job_key *k)
{
    if (!k->overlap_hash || k->overlap == TN_OVERLAP_ALLOW) {
        return OVERLAP_GO;
    }
    struct tk_overlap *o = find(t, k->overlap_hash);
    o = o ? o : make(t, k->overlap_hash);
    if (o && o->holder == k->seq) {
        return o->unwanted ? OVERLAP_STOP : OVERLAP_GO;
    }
    if (!o || o->holder == 0) {
        if (o) {
            hold(o, k);
        }
        return OVERLAP_GO;
    }
    if (k->epoch > 0) {
        return park(o, queue, k); /* it had started once: a further attempt is not skipped */
    }
    switch (k->overlap) {
    case TN_OVERLAP_SKIP:
        return OVERLAP_SKIP;
    case TN_OVERLAP_BUFFER_ONE:
        return o->n > o->first ? OVERLAP_SKIP : park(o, queue, k);
    case TN_OVERLAP_CANCEL: {
        int wait = park(o, queue, k);
        if (wait == OVERLAP_WAIT) {
            cancel_holder(t, o);
        }
        return wait;
    }
    default:
        return park(o, queue, k);
    }
}

/* Of those that wait for the one they cancelled only the newest is wanted. */
static void drop_overtaken(struct tasks *t, struct tk_overlap *o)
{
    while (o->n - o->first > 1 && o->parked[o->first].epoch == 0 &&
           o->parked[o->first].overlap == TN_OVERLAP_CANCEL &&
           o->parked[o->n - 1].overlap == TN_OVERLAP_CANCEL) {
        struct job_key k = o->parked[o->first++];
        uint32_t its = k.rsvd >> QUEUE_SHIFT;
        k.rsvd = 0;
        run_drop(t, its, &k, TN_TASK_SKIPPED, "PreviousTaskNotFinished",
                 "A later task took its place before the previous one had ended");
    }
}

void overlap_leave(struct tasks *t, uint32_t queue, const struct job_key *k)
{
    if (!k->overlap_hash || k->overlap == TN_OVERLAP_ALLOW) {
        return;
    }
    struct tk_overlap *o = find(t, k->overlap_hash);
    if (!o) {
        return;
    }
    if (o->holder != k->seq) { /* it waited, and ended without a start */
        for (size_t i = o->first; i < o->n; i++) {
            if (o->parked[i].seq == k->seq) {
                memmove(&o->parked[i], &o->parked[i + 1], (o->n - i - 1) * sizeof *o->parked);
                o->n--;
                break;
            }
        }
        return;
    }
    if (k->epoch < o->epoch) {
        return; /* a row that was read twice: it is still held */
    }
    o->holder = 0;
    drop_overtaken(t, o);
    if (o->n > o->first) {
        struct job_key next = o->parked[o->first++];
        uint32_t its = next.rsvd >> QUEUE_SHIFT;
        next.rsvd = 0;
        hold(o, &next); /* nobody may slip in between */
        queue_put_back(t, its, &next);
        if (its != queue) {
            queue_wake_at(t, 0);
        }
    } else {
        uint64_t hash = k->overlap_hash;
        map_del(&t->overlaps, key_of(&hash));
        free(o->parked);
        free(o);
    }
}

void overlap_claimed(struct tasks *t, const struct job_key *k)
{
    struct tk_overlap *o = k->overlap_hash ? find(t, k->overlap_hash) : NULL;
    if (o && o->holder == k->seq) {
        o->epoch = k->epoch;
    }
}

int overlap_unwanted(const struct tasks *t, const struct job_key *k)
{
    const struct tk_overlap *o = k->overlap_hash ? find(t, k->overlap_hash) : NULL;
    return o && o->holder == k->seq && o->unwanted;
}

int overlap_holds(const struct tasks *t, uint64_t hash, int64_t seq)
{
    const struct tk_overlap *o = hash ? find(t, hash) : NULL;
    return o && o->holder && o->holder != seq;
}

void overlap_finish(struct tasks *t)
{
    tn_str key;
    void *value;
    for (size_t i = 0; map_next(&t->overlaps, &i, &key, &value);) {
        free(((struct tk_overlap *)value)->parked);
        free(value);
    }
    map_finish(&t->overlaps, NULL);
}
