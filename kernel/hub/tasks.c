/* SPDX-License-Identifier: Apache-2.0 */
/* Durable tasks: life, operations between the loop and the writer of jobs.db, accepting. */
#include "kernel/base/clock.h"
#include "kernel/base/err.h"
#include "kernel/base/killpoint.h"
#include "kernel/base/log.h"
#include "kernel/base/rnd.h"
#include "kernel/base/str.h"
#include "kernel/hub/tasks_int.h"
#include <stdlib.h>
#include <string.h>

int64_t tk_now_ms(void)
{
    return clock_wall_us() / 1000;
}

int64_t tk_mono_ms(void)
{
    return (int64_t)(clock_mono_ns() / NS_PER_MS);
}

void tk_stall(struct tasks *t)
{
    t->stalled_ms = tk_mono_ms() + TASKS_STALL_MS;
}

/* ---- operations ------------------------------------------------------------------------------ */

static void drain_done(void *user)
{
    struct tasks *t = user;
    struct list todo;
    list_init(&todo);
    pthread_mutex_lock(&t->lock);
    t->posted = 0;
    for (struct list *n; (n = list_pop_front(&t->done));) {
        list_push_back(&todo, n);
    }
    pthread_mutex_unlock(&t->lock);
    for (struct list *n; (n = list_pop_front(&todo));) {
        struct tk_op *op = list_entry(n, struct tk_op, node);
        t->nops--;
        op->after(op);
    }
}

static tn_rc op_run(struct side_txn *txn, void *user, tn_err *err)
{
    struct tk_op *op = user;
    return op->run(txn, op, err);
}

/* Writer thread: what one commit brings is carried over at once. */
static void op_done(void *user, tn_rc rc, const tn_err *err)
{
    struct tk_op *op = user;
    struct tasks *t = op->t;
    op->rc = rc;
    if (err) {
        op->err = *err;
    }
    pthread_mutex_lock(&t->lock);
    list_push_back(&t->done, &op->node);
    int post = !t->posted;
    t->posted = 1;
    if (post) {
        /* Inside the lock: tasks_stop() takes it before the loop goes. */
        loop_post(t->hub->loop, drain_done, t);
    }
    pthread_mutex_unlock(&t->lock);
}

static void prepare(struct tasks *t, struct tk_op *op,
                    tn_rc (*run)(struct side_txn *, struct tk_op *, tn_err *),
                    void (*after)(struct tk_op *))
{
    op->t = t;
    op->rc = TN_OK;
    op->err = (tn_err)TN_ERR_INIT;
    op->run = run;
    op->after = after;
    op->op = (struct side_op){.run = op_run, .done = op_done, .user = op};
}

tn_rc tk_submit(struct tasks *t, struct tk_op *op,
                tn_rc (*run)(struct side_txn *, struct tk_op *, tn_err *),
                void (*after)(struct tk_op *), tn_err *err)
{
    prepare(t, op, run, after);
    t->nops++;
    tn_rc rc = side_submit(t->side, &op->op, err);
    t->nops -= rc != TN_OK;
    return rc;
}

void tk_again_later(struct tk_op *op)
{
    struct tasks *t = op->t;
    list_push_back(&t->failed, &op->node);
    tk_stall(t);
    queue_wake_at(t, tk_now_ms() + TASKS_STALL_MS);
}

void tk_must(struct tasks *t, struct tk_op *op,
             tn_rc (*run)(struct side_txn *, struct tk_op *, tn_err *),
             void (*after)(struct tk_op *))
{
    tn_err err = TN_ERR_INIT;
    if (tk_submit(t, op, run, after, &err) != TN_OK) {
        tk_complain(t, "what must be written waits", err.msg);
        tk_again_later(op);
    }
}

/* ---- accepting ------------------------------------------------------------------------------- */

struct accept {
    struct tk_op op;
    void (*done)(void *, tn_rc, const tn_task_receipt *, uint32_t, const tn_err *);
    void *user;
    uint64_t bytes;
    uint32_t n;
    struct job_new jobs[];
};

static void accept_free(struct tasks *t, struct accept *a)
{
    atomic_fetch_sub(&t->accepting, a->n);
    atomic_fetch_sub(&t->accept_bytes, a->bytes);
    for (uint32_t i = 0; i < a->n; i++) {
        job_new_finish(&a->jobs[i]);
    }
    free(a);
}

static tn_rc accept_run(struct side_txn *txn, struct tk_op *op, tn_err *err)
{
    struct accept *a = container_of(op, struct accept, op);
    TN_KILLPOINT("accept");
    tn_rc rc = jobs_accept(op->t->jobs, txn, a->jobs, a->n, clock_wall_us(), err);
    TN_KILLPOINT("accept-written");
    return rc;
}

static void accept_after(struct tk_op *op)
{
    struct accept *a = container_of(op, struct accept, op);
    struct tasks *t = op->t;
    tn_task_receipt *receipts = NULL;
    uint32_t touched = 0;
    TN_KILLPOINT("accept-committed");
    op->rc = tk_refusal(t, op->rc, &op->err);
    if (op->rc == TN_OK && !(receipts = calloc(a->n ? a->n : 1, sizeof *receipts))) {
        op->rc = err_set(&op->err, TN_E_NOMEM, "no memory for %u receipts", a->n);
    }
    for (uint32_t i = 0; receipts && i < a->n; i++) {
        struct job_new *n = &a->jobs[i];
        receipts[i] = (tn_task_receipt){.id = n->job.id, .duplicate = n->duplicate};
    }
    a->done(a->user, op->rc, receipts, receipts ? a->n : 0, op->rc ? &op->err : NULL);
    for (uint32_t i = 0; op->rc == TN_OK && i < a->n; i++) {
        const struct job_new *n = &a->jobs[i];
        if (!n->duplicate && n->job.id.n) {
            struct job_key k;
            job_key_of(&n->job, &k);
            k.seq = n->job.seq;
            queue_add(t, (uint32_t)n->job.queue, &k, (uint32_t)n->job.wait);
            touched |= 1u << n->job.queue;
        }
    }
    free(receipts);
    accept_free(t, a);
    for (uint32_t q = 0; q < JOB_QUEUES; q++) {
        if (touched & 1u << q) {
            queue_dispatch(t, q);
        }
    }
}

/* Bounds before anything is copied: what is on its way to the disk, and what waits. */
static tn_rc admit(struct tasks *t, const tn_task_req *reqs, uint32_t n, uint64_t bytes,
                   tn_err *err)
{
    int64_t most = t->hub->settings.tasks_max;
    if (n == 0) {
        return err_set(err, TN_E_INVAL, "no task was given");
    }
    if (atomic_load(&t->accepting) + n > TASKS_ACCEPTING ||
        atomic_load(&t->accept_bytes) + bytes > TASKS_ACCEPT_BYTES) {
        return err_set(err, TN_E_LIMIT, "%u tasks wait for the disk already; come back in a second",
                       atomic_load(&t->accepting));
    }
    for (uint32_t i = 0; i < n; i++) {
        uint32_t q = reqs[i].queue;
        if (q < JOB_QUEUES && atomic_load(&t->queues[q].waiting) >= most) {
            return err_set(err, TN_E_LIMIT, "queue %u holds %lld tasks already (tasks_max)", q,
                           (long long)most);
        }
    }
    return TN_OK;
}

static tn_rc host_submit(void *ctx, const tn_task_req *reqs, uint32_t n,
                         void (*done)(void *, tn_rc, const tn_task_receipt *, uint32_t,
                                      const tn_err *),
                         void *user, tn_err *err)
{
    struct tasks *t = host_tasks(ctx);
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < n; i++) {
        bytes += reqs[i].args.n + reqs[i].http.n + reqs[i].vars.n + reqs[i].label.n + 512;
    }
    tn_rc rc = admit(t, reqs, n, bytes, err);
    if (rc) {
        return rc;
    }
    struct accept *a = calloc(1, sizeof *a + n * sizeof a->jobs[0]);
    if (!a) {
        return err_set(err, TN_E_NOMEM, "no memory for %u tasks", n);
    }
    a->done = done;
    a->user = user;
    a->bytes = bytes;
    atomic_fetch_add(&t->accept_bytes, bytes);
    int64_t now_us = clock_wall_us();
    for (uint32_t i = 0; i < n && rc == TN_OK; i++) {
        rc = job_new_from(&reqs[i], now_us, &a->jobs[i], err);
        a->n += rc == TN_OK;
        rc = rc != TN_OK ? rc : tk_seal(t, &a->jobs[i].job, err);
    }
    atomic_fetch_add(&t->accepting, a->n);
    if (rc == TN_OK) {
        prepare(t, &a->op, accept_run, accept_after);
        atomic_fetch_add(&t->nops, 1);
        rc = side_submit(t->side, &a->op.op, err);
        if (rc) {
            atomic_fetch_sub(&t->nops, 1);
            rc = tk_refusal(t, rc, err);
        }
    }
    if (rc) {
        accept_free(t, a);
    }
    return rc;
}

/* ---- listeners ------------------------------------------------------------------------------- */

static tn_rc host_listen(void *ctx,
                         void (*cb)(void *, const tn_task_info *, const tn_call_result *),
                         void *user, tn_err *err)
{
    struct tasks *t = host_tasks(ctx);
    tn_rc rc = TN_OK;
    pthread_mutex_lock(&t->lock);
    unsigned n = atomic_load(&t->nlisteners);
    if (n == TASKS_LISTENERS) {
        rc = err_set(err, TN_E_LIMIT, "%d plugins listen to tasks already", TASKS_LISTENERS);
    } else {
        t->listeners[n].cb = cb;
        t->listeners[n].user = user;
        atomic_store(&t->nlisteners, n + 1);
    }
    pthread_mutex_unlock(&t->lock);
    return rc;
}

void tk_info(const struct job *j, uint32_t state, tn_task_info *ret)
{
    *ret = (tn_task_info){.size = sizeof *ret,
                          .state = state,
                          .id = j->id,
                          .root_id = j->root_id,
                          .script = j->script,
                          .func = job_func(j),
                          .origin = j->origin,
                          .origin_id = j->origin_id,
                          .args = j->args,
                          .vars = j->vars,
                          .label = j->label,
                          .schedule = j->schedule,
                          .occurrence_us = j->occurrence_us,
                          .trigger_us = j->trigger_ms * 1000,
                          .due_us = j->due_ms * 1000,
                          .queue = (uint32_t)j->queue,
                          .attempt = (uint32_t)j->attempt,
                          .max_attempts = (uint32_t)j->max_attempts,
                          .timeout_ms = (uint32_t)j->timeout_ms,
                          .expires_ms = (uint32_t)j->expires_ms,
                          .delay_s = (uint32_t)j->delay_s};
}

void tk_tell_info(struct tasks *t, const tn_task_info *info, const tn_call_result *result)
{
    unsigned n = atomic_load(&t->nlisteners);
    for (unsigned i = 0; i < n; i++) {
        t->listeners[i].cb(t->listeners[i].user, info, result);
    }
}

void tk_tell(struct tasks *t, const struct job *j, uint32_t state, const tn_call_result *result)
{
    tn_task_info info;
    if (atomic_load(&t->nlisteners)) {
        tk_info(j, state, &info);
        tk_tell_info(t, &info, result);
    }
}

/* ---- life ------------------------------------------------------------------------------------ */

tn_rc tasks_create(struct hub *h, tn_err *err)
{
    const struct settings *s = &h->settings;
    const struct jobs_conf conf = {.keep_s = s->task_keep.ms / 1000,
                                   .keep_count = s->task_keep_count,
                                   .keep_bytes = s->task_keep_bytes.n,
                                   .keep_dead_s = s->task_keep_dead.ms / 1000};
    struct jobs_counts counts;
    struct tasks *t = calloc(1, sizeof *t);
    if (!t) {
        return err_set(err, TN_E_NOMEM, "no memory for the tasks");
    }
    t->hub = h;
    t->prune_chunk = 100;
    rnd_id(t->owner, sizeof t->owner - 1);
    pthread_mutex_init(&t->lock, NULL);
    list_init(&t->done);
    list_init(&t->failed);
    map_init(&t->running);
    map_init(&t->overlaps);
    map_init(&t->watched);
    for (unsigned i = 0; i < JOB_QUEUES; i++) {
        queue_init(&t->queues[i]);
    }
    h->tasks = t;
    tn_rc rc = jobs_open(h->store, &conf, &t->jobs, &counts, err);
    rc = rc ? rc : loop_timer(h->loop, care_tick, t, &t->timer, err);
    if (rc) {
        return rc;
    }
    t->side = jobs_side(t->jobs);
    for (unsigned i = 0; i < JOB_QUEUES; i++) {
        struct tk_queue *q = &t->queues[i];
        q->more_ready = counts.waiting[i][JOB_WAIT_READY] > 0;
        q->more_later = counts.waiting[i][JOB_WAIT_LATER] > 0;
        q->waiting = counts.waiting[i][JOB_WAIT_READY] + counts.waiting[i][JOB_WAIT_LATER];
        q->delayed = (unsigned)counts.waiting[i][JOB_WAIT_LATER];
    }
    return tk_pause_load(t, err);
}

void tasks_start(struct hub *h)
{
    struct tasks *t = h->tasks;
    t->started = 1;
    care_lost(t);
    care_tick(t);
}

static void free_op(struct list *ops)
{
    for (struct list *n; (n = list_pop_front(ops));) {
        (void)n; /* what they belong to is freed with the running tasks */
    }
}

void tasks_stop(struct hub *h)
{
    struct tasks *t = h->tasks;
    if (t) {
        pthread_mutex_lock(&t->lock);
        t->draining = 1;
        t->posted = 1; /* nothing is posted any more */
        pthread_mutex_unlock(&t->lock);
        loop_timer_free(h->loop, t->timer);
        t->timer = NULL;
    }
}

void tasks_destroy(struct hub *h)
{
    struct tasks *t = h->tasks;
    tn_str key;
    void *value;
    if (!t) {
        return;
    }
    jobs_close(t->jobs); /* writes what waits; nothing comes after */
    free_op(&t->failed);
    free_op(&t->done);
    for (size_t i = 0; map_next(&t->running, &i, &key, &value);) {
        run_free(value);
    }
    map_finish(&t->running, NULL);
    watch_finish(t);
    overlap_finish(t);
    for (unsigned i = 0; i < JOB_QUEUES; i++) {
        queue_finish(&t->queues[i]);
    }
    pthread_mutex_destroy(&t->lock);
    free(t);
    h->tasks = NULL;
}

struct jobs *tasks_jobs(const struct hub *h)
{
    return h->tasks->jobs;
}

/* ---- reading --------------------------------------------------------------------------------- */

static tn_rc host_get(void *ctx, tn_str id, tn_text *ret, tn_err *err)
{
    struct buf b = BUF_INIT(0);
    tn_rc rc = tk_get(host_tasks(ctx), id, &b, err);
    if (rc == TN_OK) {
        ret->s = buf_take(&b, &ret->n);
        rc = ret->s ? TN_OK : err_set(err, TN_E_NOMEM, "no memory for a task");
    }
    buf_finish(&b);
    return rc;
}

static tn_rc host_list(void *ctx, const tn_list *list, tn_text *ret_rows, int64_t *ret_total,
                       tn_err *err)
{
    struct buf b = BUF_INIT(0);
    tn_rc rc = tk_list(host_tasks(ctx), list, &b, ret_total, err);
    if (rc == TN_OK) {
        ret_rows->s = buf_take(&b, &ret_rows->n);
        rc = ret_rows->s ? TN_OK : err_set(err, TN_E_NOMEM, "no memory for tasks");
    }
    buf_finish(&b);
    return rc;
}

const tn_host_tasks tasks_ops = {
    .size = sizeof tasks_ops,
    .submit = host_submit,
    .cancel = tk_cancel,
    .get = host_get,
    .list = host_list,
    .watch = tk_watch,
    .unwatch = tk_unwatch,
    .why = tk_why,
    .redrive = tk_redrive,
    .purge = tk_purge,
    .progress = tk_progress,
    .listen = host_listen,
    .status = tk_status,
    .pause = tk_pause,
    .redrive_once = tk_redrive_once,
    .pause_keep = tk_pause_keep,
};
