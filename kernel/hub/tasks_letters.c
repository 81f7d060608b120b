/* SPDX-License-Identifier: Apache-2.0 */
/* Dead letters: queued again or deleted, some hundred in a transaction. */
#include "kernel/base/err.h"
#include "kernel/base/killpoint.h"
#include "kernel/base/str.h"
#include "kernel/hub/tasks_int.h"
#include <stdlib.h>
#include <string.h>

#define ROUND 500 /* in one transaction */

/* One request: all its rounds. */
struct request {
    struct tasks *t;
    const tn_filter *filters;
    uint32_t n;
    struct job_once *once; /* NULL: no idempotency key */
    int redrive;
};

struct round {
    const struct request *of;
    int64_t seqs[ROUND];
    struct job_key keys[ROUND]; /* redriven; rsvd: the queue */
    uint32_t n, nkeys;
    int64_t count; /* purged */
    int last;
};

static tn_rc round_run(struct side_txn *txn, void *user, tn_err *err)
{
    struct round *l = user;
    struct tasks *t = l->of->t;
    tn_rc rc;
    if (!l->of->redrive) {
        l->count = 0;
        return jobs_purge(t->jobs, txn, l->seqs, l->n, &l->count, err);
    }
    l->nkeys = 0;
    TN_KILLPOINT("redrive");
    rc = jobs_redrive(t->jobs, txn, l->seqs, l->n, tk_now_ms(), l->keys, &l->nkeys, err);
    rc = rc || !l->of->once ? rc : jobs_once_add(txn, l->of->once, l->nkeys, l->last, err);
    TN_KILLPOINT("redrive-written");
    return rc;
}

/* Loop thread: what was redriven waits from now on. */
struct wake {
    struct tasks *t;
    uint32_t n;
    struct job_key keys[ROUND];
};

static void redriven(void *user)
{
    struct wake *w = user;
    TN_KILLPOINT("redrive-committed");
    for (uint32_t i = 0; i < w->n; i++) {
        uint32_t queue = w->keys[i].rsvd;
        w->keys[i].rsvd = 0;
        queue_add(w->t, queue, &w->keys[i], JOB_WAIT_READY);
    }
    queue_dispatch_all(w->t);
    free(w);
}

/* One round: the next letters behind *after. */
static tn_rc go_on(const struct request *q, int64_t *after, int64_t *ret_count, int *ret_last,
                   tn_err *err)
{
    struct tasks *t = q->t;
    struct round *l = calloc(1, sizeof *l);
    struct wake *w = calloc(1, sizeof *w);
    tn_rc rc = l && w ? TN_OK : err_set(err, TN_E_NOMEM, "no memory for dead letters");
    if (rc == TN_OK) {
        l->of = q;
        rc = jobs_find_dead(t->jobs, q->filters, q->n, *after, l->seqs, ROUND, &l->n, err);
        *ret_last = l->last = l->n < ROUND;
    }
    if (rc == TN_OK && (l->n || q->once)) {
        *after = l->n ? l->seqs[l->n - 1] : *after;
        rc = side_run(t->side, round_run, l, err);
    }
    if (rc == TN_OK) {
        *ret_count += q->redrive ? l->nkeys : l->count;
    }
    if (rc == TN_OK && l->nkeys) {
        w->t = t;
        w->n = l->nkeys;
        memcpy(w->keys, l->keys, l->nkeys * sizeof *l->keys);
        loop_post(t->hub->loop, redriven, w);
        w = NULL;
    }
    free(w);
    free(l);
    return rc;
}

static tn_rc all_rounds(const struct request *q, int64_t *ret_count, tn_err *err)
{
    int64_t after = 0;
    int last = 0;
    tn_rc rc = TN_OK;
    if (q->n == 0) {
        return err_set(err, TN_E_INVAL,
                       "no filter: this would mean all dead letters; name them, or "
                       "filter by \"state\" to mean all");
    }
    while (rc == TN_OK && !last) {
        rc = go_on(q, &after, ret_count, &last, err);
    }
    return rc;
}

tn_rc tk_redrive(void *ctx, const tn_filter *f, uint32_t n, int64_t *ret_count, tn_err *err)
{
    const struct request q = {.t = host_tasks(ctx), .filters = f, .n = n, .redrive = 1};
    *ret_count = 0;
    return all_rounds(&q, ret_count, err);
}

tn_rc tk_purge(void *ctx, const tn_filter *f, uint32_t n, int64_t *ret_count, tn_err *err)
{
    const struct request q = {.t = host_tasks(ctx), .filters = f, .n = n};
    *ret_count = 0;
    return all_rounds(&q, ret_count, err);
}

/* ---- once for a key -------------------------------------------------------------------------- */

static tn_rc once_run(struct side_txn *txn, void *user, tn_err *err)
{
    return jobs_once_take(txn, user, err);
}

/* The key is taken before anything is redriven and tells how many there were since. A request that
 * died between two rounds is finished by its repetition: only letters that were dead when the key
 * was first used count, so what has died again meanwhile stays where it is. */
tn_rc tk_redrive_once(void *ctx, const tn_filter *f, uint32_t n, tn_str scope, tn_str key,
                      tn_str fingerprint, int64_t *ret_count, uint32_t *ret_replayed, tn_err *err)
{
    enum { FILTERS = 16 };
    struct tasks *t = host_tasks(ctx);
    struct job_once once = {scope, key, fingerprint, .now_ms = tk_now_ms()};
    tn_filter all[FILTERS];
    char since[24];
    *ret_count = 0;
    *ret_replayed = 0;
    if (n == 0 || n >= FILTERS || key.n == 0) {
        return err_set(err, TN_E_INVAL, "a redrive needs a key and 1 to %d filters, not %u",
                       FILTERS - 1, n);
    }
    tn_rc rc = side_run(t->side, once_run, &once, err);
    if (rc) {
        return rc;
    }
    *ret_replayed = once.known != 0;
    *ret_count = once.count;
    if (once.complete) {
        return TN_OK;
    }
    memcpy(all, f, n * sizeof *f);
    struct buf number = BUF_INIT(32);
    buf_addi(&number, once.since_ms);
    memcpy(since, number.data, number.len);
    all[n] = (tn_filter){.column = "endTimeMs", .op = TN_OP_LE, .value = {since, number.len}};
    buf_finish(&number);
    const struct request q = {.t = t, .filters = all, .n = n + 1, .once = &once, .redrive = 1};
    return all_rounds(&q, ret_count, err);
}
