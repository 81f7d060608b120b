/* SPDX-License-Identifier: Apache-2.0 */
/* All schedules, ordered by the time of their next occurrence. Nothing here locks, sleeps or reads a
 * clock: the caller does, so that tests can be their own clock. */
#pragma once
#include "occur.h"

#include <tenon/schedule.h>

#define US           1000000ll
#define MISSED_ROWS  100 /* newest missed occurrences that get a row each; earlier ones share one */
#define WHEEL_BATCH  1024
#define WHEEL_ID_MAX 512

struct sched {
    char *id;
    size_t id_len;
    struct cron_expr expr;
    const struct zone *zone; /* borrowed from the cache of zones */
    bool valid;              /* has an expression that can be read and is not disabled */
    uint32_t catchup, window_s;
    int64_t spread_us; /* this id's share of spread_s */
    int64_t paused_until_us, expires_us;
    int64_t cursor;   /* seconds: everything up to here is on record */
    int64_t next;     /* seconds: the next occurrence; only while pos != 0 */
    int64_t catch_to; /* while next <= catch_to: overdue, ends as late or missed */
    int64_t run_from; /* overdue ones before it are missed */
    int64_t fold_to;  /* folding up to here has been tried */
    int32_t why;      /* WHEEL_WHY_*: why they are overdue */
    size_t pos;       /* place in the heap from 1, 0 = nothing to come */
};

/* Why occurrences were not noticed in time. */
enum { WHEEL_WHY_DOWN, WHEEL_WHY_JUMP, WHEEL_WHY_BUSY };

struct wheel_node {
    int64_t due_us;
    struct sched *s;
};
struct wheel {
    void *tree; /* tsearch() by id */
    struct wheel_node *heap;
    size_t n, cap, count;
    int64_t pause_until_us; /* all schedules */
    int64_t late_us;        /* how late an occurrence may be noticed and still simply run */
    int64_t started_us;     /* wall clock at start: what is older was missed because of that */
    int64_t jumped_us;      /* wall clock at the last jump of the clock, 0 = none */
    uint64_t by_outcome[4]; /* TN_OCCUR_* */
};

/* Occurrences that are due, with room for their texts. */
struct wheel_batch {
    tn_fire fires[WHEEL_BATCH];
    uint32_t n, used;
    char text[WHEEL_BATCH * 96];
};

void wheel_init(struct wheel *w, int64_t late_us, int64_t now_us);
void wheel_finish(struct wheel *w);
/* Adds or replaces; copies. `expr` NULL: it has none that can be read, so it never fires. */
tn_rc wheel_put(struct wheel *w, const tn_schedule *in, const struct cron_expr *expr,
                const struct zone *zone);
void wheel_drop(struct wheel *w, tn_str id);
/* Takes what is due at now_us until the batch is full; true: there may be more. */
bool wheel_take(struct wheel *w, int64_t now_us, struct wheel_batch *b);
/* When the next occurrence is due, INT64_MAX: none. */
static inline int64_t wheel_due(const struct wheel *w)
{
    return w->n > 0 ? w->heap[1].due_us : INT64_MAX;
}

/* ---- between wheel.c and decide.c ---- */
/* Adds s->next to the batch; the reason is copied. */
void wheel_emit(struct wheel *w, struct sched *s, struct wheel_batch *b, uint32_t outcome,
                const char *reason);
/* Everything up to `cursor` (seconds) is in a batch. */
void wheel_advance(struct wheel *w, struct sched *s, int64_t cursor);
/* decide.c: what becomes of s->next, which is due; moves the schedule on. */
void wheel_decide(struct wheel *w, struct sched *s, int64_t now_us, struct wheel_batch *b);
