/* SPDX-License-Identifier: Apache-2.0 */
/* What happens because time passes: due times, leases, tasks that waited too long, pruning, what could
 * not be written before, the end of a drain. */
#include "kernel/base/clock.h"
#include "kernel/base/err.h"
#include "kernel/base/log.h"
#include "kernel/base/str.h"
#include "kernel/hub/tasks_int.h"
#include <stdlib.h>

#define TICK_NS       (1 * NS_PER_S)
#define QUEUE_API     1
#define SWEEP         200 /* overdue tasks in one round */
#define PRUNE_MS      10000 /* pause when there is nothing more to remove; or clean_every if shorter */
#define PRUNE_CHUNK   500
#define PRUNE_TIME_NS (15 * NS_PER_MS) /* a round that takes longer makes the next one smaller */

/* ---- leases ---------------------------------------------------------------------------------- */

static tn_rc renew_run(struct side_txn *txn, struct tk_op *op, tn_err *err)
{
    return jobs_renew(txn, str_of(op->t->owner), tk_now_ms() + TASKS_LEASE_MS, err);
}

static void plain_after(struct tk_op *op)
{
    if (op->rc) {
        log_warn("tasks: renewing leases: %s", op->err.msg);
    }
    free(op);
}

static void renew(struct tasks *t, int64_t now)
{
    tn_err err = TN_ERR_INIT;
    struct tk_op *op = t->nrunning && now - t->renewed_ms >= TASKS_RENEW_MS ? calloc(1, sizeof *op)
                                                                            : NULL;
    if (op) {
        t->renewed_ms = now;
        if (tk_submit(t, op, renew_run, plain_after, &err) != TN_OK) {
            free(op);
        }
    }
}

/* ---- tasks whose time has passed ------------------------------------------------------------- */

struct sweep {
    struct tk_op op;
    struct job_key keys[SWEEP];
    uint32_t n;
};

static tn_rc sweep_run(struct side_txn *txn, struct tk_op *op, tn_err *err)
{
    struct sweep *s = container_of(op, struct sweep, op);
    return jobs_overdue(txn, tk_now_ms(), SWEEP, s->keys, &s->n, err);
}

static void sweep_after(struct tk_op *op)
{
    struct sweep *s = container_of(op, struct sweep, op);
    op->t->sweeping = 0;
    for (uint32_t i = 0; op->rc == TN_OK && i < s->n; i++) {
        uint32_t queue = s->keys[i].rsvd;
        s->keys[i].rsvd = 0;
        run_drop(op->t, queue, &s->keys[i], TN_TASK_EXPIRED, "TaskExpired",
                 "Task waited takes too much time and has been interrupted by force");
    }
    free(s);
}

static void sweep(struct tasks *t)
{
    tn_err err = TN_ERR_INIT;
    int64_t waiting = 0;
    for (unsigned i = 0; i < JOB_QUEUES; i++) {
        waiting += atomic_load(&t->queues[i].waiting);
    }
    struct sweep *s = waiting > 0 && !t->sweeping ? calloc(1, sizeof *s) : NULL;
    if (s) {
        t->sweeping = 1;
        if (tk_submit(t, &s->op, sweep_run, sweep_after, &err) != TN_OK) {
            t->sweeping = 0;
            free(s);
        }
    }
}

/* ---- tasks that must not start again --------------------------------------------------------- */

struct lost {
    struct tk_op op;
    struct job job;
    int found;
};

static tn_rc lost_run(struct side_txn *txn, struct tk_op *op, tn_err *err)
{
    struct lost *l = container_of(op, struct lost, op);
    tn_rc rc = jobs_lost(txn, str_of(op->t->owner), &l->job, err);
    if (rc == TN_E_NOTFOUND) {
        return TN_OK;
    }
    const struct job_end end = {
        .seq = l->job.seq,
        .epoch = l->job.epoch,
        .attempt = l->job.attempt,
        .start_ms = l->job.start_ms,
        .end_ms = tk_now_ms(),
        .keep_s = l->job.keep_s,
        .flags = l->job.flags,
        .crashes = l->job.crashes,
        .state = job_states[l->job.flags & TN_TASK_AT_MOST_ONCE ? TN_TASK_FAILED : TN_TASK_DEAD],
        .exception = TN_STR("the platform stopped while the task ran, and it "
                            "may not be started again"),
        .exception_type = TN_STR("Interrupted")};
    l->found = rc == TN_OK;
    return rc ? rc : jobs_end(op->t->jobs, txn, &end, err);
}

static void lost_after(struct tk_op *op)
{
    struct lost *l = container_of(op, struct lost, op);
    if (op->rc == TN_OK && l->found) {
        const tn_call_result r = {
            .size = sizeof r,
            .status = TN_CALL_CRASHED,
            .task_id = l->job.id,
            .value_fd = -1,
            .error = TN_STR("{\"exception\":\"the platform stopped while the task "
                            "ran\",\"exceptionType\":\"Interrupted\","
                            "\"traceback\":\"\"}"),
            .trigger_us = l->job.trigger_ms * 1000,
            .start_us = l->job.start_ms * 1000,
            .end_us = clock_wall_us()};
        tk_open_ended(op->t, &l->job);
        uint32_t state = l->job.flags & TN_TASK_AT_MOST_ONCE ? TN_TASK_FAILED : TN_TASK_DEAD;
        tk_tell(op->t, &l->job, state, &r);
        watch_ended(op->t, &l->job, NULL, state);
        care_lost(op->t); /* the next one */
    } else if (op->rc) {
        log_warn("tasks: ending interrupted tasks: %s", op->err.msg);
    }
    job_finish(&l->job);
    free(l);
}

void care_lost(struct tasks *t)
{
    tn_err err = TN_ERR_INIT;
    struct lost *l = calloc(1, sizeof *l);
    if (l) {
        job_init(&l->job);
        if (tk_submit(t, &l->op, lost_run, lost_after, &err) != TN_OK) {
            free(l);
        }
    }
}

/* ---- pruning --------------------------------------------------------------------------------- */

struct prune {
    struct tk_op op;
    int64_t removed;
    int more, freed;
    uint64_t took;
};

static tn_rc prune_run(struct side_txn *txn, struct tk_op *op, tn_err *err)
{
    struct prune *p = container_of(op, struct prune, op);
    uint64_t begin = clock_mono_ns();
    tn_rc rc = jobs_prune(op->t->jobs, txn, tk_now_ms(), op->t->prune_chunk, &p->removed, &p->more,
                          &p->freed, err);
    p->took = clock_mono_ns() - begin;
    return rc;
}

static int64_t prune_ms(const struct tasks *t)
{
    int64_t every = t->hub->settings.clean_every.ms;
    return every < PRUNE_MS ? every : PRUNE_MS;
}

static void checkpoint(void *user)
{
    struct tasks *t = user;
    tn_err err = TN_ERR_INIT;
    if (jobs_checkpoint(t->jobs, &err) != TN_OK) {
        log_warn("tasks: shortening jobs.db: %s", err.msg);
    }
}

static void prune_after(struct tk_op *op)
{
    struct prune *p = container_of(op, struct prune, op);
    struct tasks *t = op->t;
    t->pruning = 0;
    t->pruned_ms = tk_mono_ms();
    t->freed |= op->rc == TN_OK && p->freed;
    if (p->took > PRUNE_TIME_NS) {
        t->prune_chunk = t->prune_chunk > 20 ? t->prune_chunk / 2 : 10;
    } else if (t->prune_chunk < PRUNE_CHUNK && p->took < PRUNE_TIME_NS / 4) {
        t->prune_chunk = t->prune_chunk * 2 < PRUNE_CHUNK ? t->prune_chunk * 2 : PRUNE_CHUNK;
    }
    if (op->rc) {
        log_warn("tasks: pruning: %s", op->err.msg);
    } else if (p->more) {
        t->pruned_ms -= prune_ms(t); /* a round every now and then until nothing is left to do */
        queue_wake_at(t, tk_now_ms() + 20);
    } else if (t->freed && loop_defer(t->hub->loop, checkpoint, t, &op->err) == TN_OK) {
        t->freed = 0;
    }
    free(p);
}

static void prune(struct tasks *t, int64_t now)
{
    tn_err err = TN_ERR_INIT;
    struct prune *p = !t->pruning && now - t->pruned_ms >= prune_ms(t) ? calloc(1, sizeof *p)
                                                                       : NULL;
    if (p) {
        t->pruning = 1;
        if (tk_submit(t, &p->op, prune_run, prune_after, &err) != TN_OK) {
            t->pruning = 0;
            t->pruned_ms = now;
            free(p);
        }
    }
}

/* ---- the tick -------------------------------------------------------------------------------- */

static void write_failed(struct tasks *t)
{
    struct list todo;
    list_init(&todo);
    for (struct list *n; (n = list_pop_front(&t->failed));) {
        list_push_back(&todo, n);
    }
    for (struct list *n; (n = list_pop_front(&todo));) {
        struct tk_op *op = list_entry(n, struct tk_op, node);
        tk_must(t, op, op->run, op->after);
    }
}

static void look_at_groups(struct tasks *t)
{
    for (uint32_t i = 0; i < JOB_QUEUES; i++) {
        unsigned max;
        atomic_store(&t->queues[i].workers, broker_workers(t->hub->broker, i, &max));
        /* On the queue of the APIs somebody waits for the other calls: tasks leave them a quarter. */
        atomic_store(&t->queues[i].limit, i == QUEUE_API && max > 1 ? max - (max + 3) / 4 : max);
    }
}

static void end_running(struct tasks *t)
{
    tn_str id;
    void *value;
    for (size_t i = 0; map_next(&t->running, &i, &id, &value);) {
        struct tk_run *r = value;
        if (r->call && !r->give_back) {
            r->give_back = 1;
            broker_cancel(t->hub->broker, r->call, 0);
        }
    }
}

void care_tick(void *user)
{
    struct tasks *t = user;
    int64_t now = tk_mono_ms();
    t->wake_ns = 0;
    if (!list_empty(&t->failed) && now >= t->stalled_ms) {
        write_failed(t);
    }
    look_at_groups(t);
    if (t->draining) {
        if (clock_mono_ns() >= t->drain_at) {
            end_running(t);
        }
    } else if (t->started) {
        queue_dispatch_all(t);
        if (now - t->cared_ms >= 1000) {
            t->cared_ms = now;
            sweep(t);
        }
        prune(t, now);
    }
    renew(t, now);
    uint64_t next = clock_mono_ns() + TICK_NS;
    if (!t->wake_ns || next < t->wake_ns) {
        t->wake_ns = next;
        loop_timer_set(t->hub->loop, t->timer, next);
    }
}

void tasks_drain(struct hub *h, uint64_t grace_ns)
{
    struct tasks *t = h->tasks;
    if (t && !t->draining) {
        t->draining = 1;
        t->drain_at = clock_mono_ns() + grace_ns;
        t->wake_ns = t->drain_at;
        loop_timer_set(h->loop, t->timer,
                       t->drain_at < clock_mono_ns() + TICK_NS ? t->drain_at
                                                               : clock_mono_ns() + TICK_NS);
    }
}

int tasks_busy(const struct hub *h)
{
    const struct tasks *t = h->tasks;
    return t && (t->nrunning || atomic_load(&t->nops) || !list_empty(&t->failed));
}
