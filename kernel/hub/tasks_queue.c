/* SPDX-License-Identifier: Apache-2.0 */
/* Windows on the queues: of each queue the next rows are in memory, the rest stays in the file. Who is
 * next, what becomes due, when the window is read on.
 *
 * A refill is an operation of the writer thread, so it is ordered with everything that is committed: a
 * row that is accepted before it is among its results, one that is accepted after it meets the moved
 * position. A row may come twice; its epoch lets only one claim succeed. */
#include "kernel/base/clock.h"
#include "kernel/base/log.h"
#include "kernel/hub/tasks_int.h"
#include <stdlib.h>
#include <string.h>

/* ---- heaps of rows --------------------------------------------------------------------------- */

#define FROM_LATER 1u /* job_key.rsvd: it is not among the rows that a refill of READY finds */

static int before(const struct tk_heap *h, const struct job_key *a, const struct job_key *b)
{
    int64_t x = h->by_due ? a->due_ms : a->rank, y = h->by_due ? b->due_ms : b->rank;
    return x < y || (x == y && a->seq < b->seq);
}

static int push(struct tk_heap *h, const struct job_key *k)
{
    if (h->n == h->cap) {
        size_t cap = h->cap ? h->cap * 2 : 64;
        struct job_key *a = realloc(h->a, cap * sizeof *a);
        if (!a) {
            return -1;
        }
        h->a = a;
        h->cap = cap;
    }
    size_t i = h->n++;
    while (i && before(h, k, &h->a[(i - 1) / 2])) {
        h->a[i] = h->a[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    h->a[i] = *k;
    return 0;
}

static struct job_key pop(struct tk_heap *h)
{
    struct job_key top = h->a[0], last = h->a[--h->n];
    size_t i = 0;
    for (;;) {
        size_t c = 2 * i + 1;
        if (c >= h->n) {
            break;
        }
        c += c + 1 < h->n && before(h, &h->a[c + 1], &h->a[c]);
        if (!before(h, &h->a[c], &last)) {
            break;
        }
        h->a[i] = h->a[c];
        i = c;
    }
    h->a[i] = last;
    return top;
}

static int by_rank(const void *a, const void *b)
{
    static const struct tk_heap h = {.by_due = 0};
    return before(&h, a, b) ? -1 : before(&h, b, a);
}

static int by_due(const void *a, const void *b)
{
    static const struct tk_heap h = {.by_due = 1};
    return before(&h, a, b) ? -1 : before(&h, b, a);
}

void queue_init(struct tk_queue *q)
{
    memset(q, 0, sizeof *q);
    q->later.by_due = 1;
    q->ready_at = q->later_at = INT64_MIN;
}

void queue_finish(struct tk_queue *q)
{
    free(q->ready.a);
    free(q->later.a);
}

int queue_knows(const struct tk_queue *q, int64_t seq)
{
    for (size_t i = 0; i < q->ready.n; i++) {
        if (q->ready.a[i].seq == seq) {
            return 1;
        }
    }
    return 0;
}

/* ---- the window ------------------------------------------------------------------------------ */

/* A window that has grown too far forgets its end: those rows are read again when their turn comes. */
static void trim(struct tk_queue *q, struct tk_heap *h)
{
    size_t kept = 0, own = 0;
    qsort(h->a, h->n, sizeof *h->a, h->by_due ? by_due : by_rank);
    for (size_t i = 0; i < h->n; i++) {
        const struct job_key k = h->a[i];
        if (k.rsvd & FROM_LATER) {
            h->a[kept++] = k;
        } else if (own < TASKS_WINDOW) {
            own++;
            h->a[kept++] = k;
            if (h->by_due) {
                q->later_at = k.due_ms;
                q->later_seq = k.seq;
            } else {
                q->ready_at = k.rank;
                q->ready_seq = k.seq;
            }
        }
    }
    h->n = kept; /* sorted: still a heap */
    if (h->by_due) {
        q->more_later = 1;
    } else {
        q->more_ready = 1;
    }
}

static int behind(int64_t at, int64_t seq, int64_t own, int64_t own_seq)
{
    return own > at || (own == at && own_seq > seq);
}

static void add_ready(struct tk_queue *q, const struct job_key *k)
{
    if (!(k->rsvd & FROM_LATER) && q->more_ready &&
        behind(q->ready_at, q->ready_seq, k->rank, k->seq)) {
        return; /* a refill will find it */
    }
    if (push(&q->ready, k)) {
        q->more_ready = 1; /* no memory: start reading again from the front */
        q->ready_at = INT64_MIN;
    } else if (q->ready.n > 2 * TASKS_WINDOW_MAX && !q->refilling) {
        trim(q, &q->ready);
    }
}

static void add_later(struct tk_queue *q, const struct job_key *k)
{
    if (q->more_later && behind(q->later_at, q->later_seq, k->due_ms, k->seq)) {
        return;
    }
    if (push(&q->later, k)) {
        q->more_later = 1;
        q->later_at = INT64_MIN;
    } else if (q->later.n > TASKS_WINDOW_MAX && !q->refilling) {
        trim(q, &q->later);
    }
}

struct refill {
    struct tk_op op;
    uint32_t queue, wait, n;
    int64_t after, after_seq;
    struct job_key keys[TASKS_WINDOW];
};

static tn_rc refill_run(struct side_txn *txn, struct tk_op *op, tn_err *err)
{
    struct refill *r = container_of(op, struct refill, op);
    return jobs_window(txn, r->queue, r->wait, r->after, r->after_seq, TASKS_WINDOW, r->keys, &r->n,
                       err);
}

static void refill_after(struct tk_op *op)
{
    struct refill *r = container_of(op, struct refill, op);
    struct tasks *t = op->t;
    struct tk_queue *q = &t->queues[r->queue];
    const struct job_key *last = r->n ? &r->keys[r->n - 1] : NULL;
    q->refilling = 0;
    if (op->rc) {
        tk_complain(t, "reading a queue", op->err.msg);
        queue_wake_at(t, tk_now_ms() + TASKS_STALL_MS);
        free(r);
        return;
    }
    if (r->wait == JOB_WAIT_READY) {
        q->more_ready = r->n == TASKS_WINDOW;
        q->ready_at = last ? last->rank : r->after;
        q->ready_seq = last ? last->seq : r->after_seq;
    } else {
        q->more_later = r->n == TASKS_WINDOW;
        q->later_at = last ? last->due_ms : r->after;
        q->later_seq = last ? last->seq : r->after_seq;
    }
    for (uint32_t i = 0; i < r->n; i++) {
        r->keys[i].rsvd = 0;
        if (r->wait == JOB_WAIT_READY) {
            add_ready(q, &r->keys[i]);
        } else {
            add_later(q, &r->keys[i]);
        }
    }
    uint32_t queue = r->queue;
    free(r);
    queue_dispatch(t, queue);
}

static void refill(struct tasks *t, uint32_t queue)
{
    struct tk_queue *q = &t->queues[queue];
    tn_err err = TN_ERR_INIT;
    int ready = q->more_ready && q->ready.n < TASKS_WINDOW / 4;
    int later = q->more_later && q->later.n < TASKS_WINDOW / 4;
    if (q->refilling || (!ready && !later)) {
        return;
    }
    struct refill *r = calloc(1, sizeof *r);
    if (r) {
        r->queue = queue;
        r->wait = ready ? JOB_WAIT_READY : JOB_WAIT_LATER;
        r->after = ready ? q->ready_at : q->later_at;
        r->after_seq = ready ? q->ready_seq : q->later_seq;
        q->refilling = 1;
    }
    if (!r || tk_submit(t, &r->op, refill_run, refill_after, &err) != TN_OK) {
        q->refilling = 0;
        free(r);
        queue_wake_at(t, tk_now_ms() + TASKS_STALL_MS);
    }
}

/* ---- what comes and goes --------------------------------------------------------------------- */

void queue_add(struct tasks *t, uint32_t queue, const struct job_key *k, uint32_t wait)
{
    struct tk_queue *q = &t->queues[queue];
    atomic_fetch_add(&q->waiting, 1);
    if (wait == JOB_WAIT_LATER) {
        atomic_fetch_add(&q->delayed, 1);
        add_later(q, k);
        queue_wake_at(t, k->due_ms);
    } else {
        add_ready(q, k);
    }
}

void queue_put_back(struct tasks *t, uint32_t queue, const struct job_key *k)
{
    struct job_key again = *k;
    again.rsvd |= FROM_LATER; /* the window has passed it */
    if (push(&t->queues[queue].ready, &again)) {
        t->queues[queue].more_ready = 1;
        t->queues[queue].ready_at = INT64_MIN;
    }
}

/* What has become due joins the others. */
static void promote(struct tasks *t, struct tk_queue *q, int64_t now)
{
    while (q->later.n && q->later.a[0].due_ms <= now && q->ready.n < TASKS_WINDOW_MAX) {
        struct job_key k = pop(&q->later);
        k.rsvd |= FROM_LATER;
        unsigned n = atomic_load(&q->delayed);
        if (n) {
            atomic_store(&q->delayed, n - 1);
        }
        add_ready(q, &k);
    }
    if (q->later.n) {
        int64_t at = q->later.a[0].due_ms;
        queue_wake_at(t, at > now ? at : now + 100);
    }
}

/* Housekeeping looks once a second anyway. */
void queue_wake_at(struct tasks *t, int64_t at_ms)
{
    int64_t in = at_ms - tk_now_ms();
    if (in < 1000 && t->timer) {
        uint64_t at = clock_mono_ns() + (in > 0 ? (uint64_t)in : 0) * NS_PER_MS;
        if (!t->wake_ns || at < t->wake_ns) {
            t->wake_ns = at;
            loop_timer_set(t->hub->loop, t->timer, at);
        }
    }
}

static int may_start(const struct tasks *t, const struct tk_queue *q)
{
    return t->started && !t->draining && !t->paused && !q->paused && q->ready.n &&
           q->inflight < atomic_load(&q->limit);
}

void queue_dispatch(struct tasks *t, uint32_t queue)
{
    struct tk_queue *q = &t->queues[queue];
    int64_t now = tk_now_ms();
    promote(t, q, now);
    while (may_start(t, q)) {
        int64_t stall = t->stalled_ms ? t->stalled_ms - tk_mono_ms() : 0;
        if (stall > 0) {
            queue_wake_at(t, now + stall);
            return;
        }
        t->stalled_ms = 0;
        struct job_key k = pop(&q->ready);
        if (k.expire_ms && k.expire_ms <= now) {
            run_drop(t, queue, &k, TN_TASK_EXPIRED, "TaskExpired",
                     "Task waited takes too much time and has been interrupted by force");
            continue;
        }
        int overlap = overlap_enter(t, queue, &k);
        if (overlap == OVERLAP_SKIP) {
            run_drop(t, queue, &k, TN_TASK_SKIPPED, "PreviousTaskNotFinished",
                     "Previous task not finished, skip current task");
        } else if (overlap == OVERLAP_STOP) {
            run_drop(t, queue, &k, TN_TASK_CANCELED, "Cancelled",
                     "A later task with the same overlap key took its place");
        } else if (overlap == OVERLAP_GO) {
            run_claim(t, queue, &k);
        }
    }
    refill(t, queue);
}

void queue_dispatch_all(struct tasks *t)
{
    for (uint32_t q = 0; q < JOB_QUEUES; q++) {
        queue_dispatch(t, q);
    }
}
