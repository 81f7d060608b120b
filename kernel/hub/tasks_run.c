/* SPDX-License-Identifier: Apache-2.0 */
/* A task's way to a worker: claimed by a synced move of its row, then handed to the broker. */
#include "kernel/base/clock.h"
#include "kernel/base/err.h"
#include "kernel/base/killpoint.h"
#include "kernel/base/log.h"
#include "kernel/base/str.h"
#include "kernel/hub/tasks_int.h"
#include "kernel/value/json.h"
#include <stdlib.h>
#include <string.h>

#define BUSY_MS 200 /* until a task is offered to a full group again */

void run_free(struct tk_run *r)
{
    job_finish(&r->job);
    free(r->kept);
    free(r->unwritten);
    free(r);
}

void run_release(struct tk_run *r)
{
    struct tk_queue *q = &r->op.t->queues[r->queue];
    if (r->counted_slot) {
        r->counted_slot = 0;
        q->inflight--;
    }
}

/* ---- start ----------------------------------------------------------------------------------- */

static int is_object(tn_str json)
{
    tn_err err = TN_ERR_INIT;
    uint32_t kind, n;
    return json.n == 0 ||
           (json_scan(json, &kind, NULL, 0, &n, &err) == TN_OK && kind == TN_JSON_OBJECT);
}

/* Why a row that another version wrote, or a hand, cannot be run; NULL = it can. */
static const char *unreadable(const struct job *j)
{
    if (j->id.n == 0 || j->id.n > 47) {
        return "it has no usable id";
    }
    if (j->script.n == 0 || job_func(j).n == 0) {
        return "it names no function";
    }
    if (j->timeout_ms < 1000 || j->timeout_ms > 3600000) {
        return "its timeout is not within 1 second and 1 hour";
    }
    if (!is_object(j->args) || !is_object(j->http) || !is_object(j->vars)) {
        return "its arguments are no JSON object";
    }
    return NULL;
}

static void start(struct tk_run *r)
{
    struct tasks *t = r->op.t;
    const struct job *j = &r->job;
    tn_err err = TN_ERR_INIT;
    const tn_call_req req = {.size = sizeof req,
                             .script = j->script,
                             .func = job_func(j),
                             .origin = j->origin,
                             .origin_id = j->origin_id,
                             .args = j->args,
                             .http = j->http,
                             .vars = j->vars,
                             .queue = r->queue,
                             .timeout_ms = (uint32_t)j->timeout_ms,
                             .user = r,
                             .done = run_done,
                             .task_id = j->id,
                             .log = watch_log,
                             .trigger_us = j->trigger_ms * 1000,
                             .expires_seen_ms = (uint32_t)j->expires_ms};
    r->start_ms = j->start_ms;
    TN_KILLPOINT("start");
    tn_rc rc = broker_submit(t->hub->broker, &req, &r->call, &err);
    if (rc == TN_E_INVAL) {
        run_unreadable(r, err.msg);
        return;
    }
    if (rc) {
        run_give_back(r, tk_now_ms() + BUSY_MS);
        return;
    }
    tk_tell(t, j, TN_TASK_RUNNING, NULL);
    watch_started(r);
    if (overlap_unwanted(t, &r->key)) { /* asked for between its claim and now */
        r->cancel = 1;
        broker_cancel(t->hub->broker, r->call, OVERLAP_GRACE_MS);
    }
}

/* ---- claim ----------------------------------------------------------------------------------- */

static tn_rc claim_run(struct side_txn *txn, struct tk_op *op, tn_err *err)
{
    struct tk_run *r = container_of(op, struct tk_run, op);
    int64_t now = tk_now_ms();
    TN_KILLPOINT("claim");
    return jobs_claim(txn, r->key.seq, r->key.epoch, str_of(op->t->owner), now,
                      now + TASKS_LEASE_MS, &r->job, err);
}

static void claim_after(struct tk_op *op)
{
    struct tk_run *r = container_of(op, struct tk_run, op);
    struct tasks *t = op->t;
    struct tk_queue *q = &t->queues[r->queue];
    uint32_t queue = r->queue;
    TN_KILLPOINT("claim-committed");
    if (op->rc) {
        run_release(r);
        if (op->rc == TN_E_NOTFOUND) { /* cancelled meanwhile, or a second look at the same row */
            overlap_leave(t, queue, &r->key);
        } else {
            tk_complain(t, "claiming a task", op->err.msg);
            tk_stall(t);
            queue_put_back(t, queue, &r->key);
        }
        run_free(r);
        queue_dispatch(t, queue);
        return;
    }
    atomic_fetch_sub(&q->waiting, 1);
    atomic_fetch_add(&q->running, 1);
    t->nrunning++;
    job_key_of(&r->job, &r->key);
    overlap_claimed(t, &r->key);
    tn_err sealed = TN_ERR_INIT;
    const char *why = tk_open(t, &r->job, &sealed) == TN_OK ? unreadable(&r->job) : sealed.msg;
    if (map_put(&t->running, r->job.id, r, NULL) < 0) {
        why = why ? why : "there is no memory for it";
    }
    if (why) {
        run_unreadable(r, why);
    } else if (t->draining) {
        run_give_back(r, tk_now_ms());
    } else {
        start(r);
    }
}

void run_claim(struct tasks *t, uint32_t queue, const struct job_key *k)
{
    tn_err err = TN_ERR_INIT;
    struct tk_run *r = calloc(1, sizeof *r);
    if (r) {
        job_init(&r->job);
        list_init(&r->watchers);
        r->key = *k;
        r->queue = queue;
        r->counted_slot = 1;
        t->queues[queue].inflight++;
    }
    if (!r || tk_submit(t, &r->op, claim_run, claim_after, &err) != TN_OK) {
        tk_stall(t);
        queue_put_back(t, queue, k);
        if (r) {
            r->op.t = t;
            run_release(r);
            run_free(r);
        }
    }
}

/* ---- an end without a start ------------------------------------------------------------------ */

struct drop {
    struct tk_op op;
    struct job job;
    struct job_key key;
    uint32_t queue, state;
    const char *type, *why; /* constants */
};

static tn_rc drop_run(struct side_txn *txn, struct tk_op *op, tn_err *err)
{
    struct drop *d = container_of(op, struct drop, op);
    return jobs_drop(op->t->jobs, txn, d->key.seq, d->key.epoch, (tn_str){NULL, 0},
                     job_states[d->state], d->type, d->why, tk_now_ms(), &d->job, err);
}

static void drop_after(struct tk_op *op)
{
    struct drop *d = container_of(op, struct drop, op);
    struct tasks *t = op->t;
    uint32_t queue = d->queue;
    if (op->rc && op->rc != TN_E_NOTFOUND) {
        tk_complain(t, "ending a waiting task", op->err.msg);
        tk_again_later(op);
        return;
    }
    if (op->rc == TN_OK) {
        atomic_fetch_sub(&t->queues[queue].waiting, 1);
        tn_call_result none = {.size = sizeof none, .task_id = d->job.id, .value_fd = -1};
        none.status = d->state == TN_TASK_EXPIRED   ? TN_CALL_EXPIRED
                      : d->state == TN_TASK_SKIPPED ? TN_CALL_SKIPPED
                                                    : TN_CALL_CANCELED;
        none.trigger_us = d->job.trigger_ms * 1000;
        none.end_us = clock_wall_us();
        struct buf error = BUF_INIT(4096);
        buf_adds(&error, "{\"exception\":");
        buf_quote(&error, str_of(d->why));
        buf_adds(&error, ",\"exceptionType\":");
        buf_quote(&error, str_of(d->type));
        buf_adds(&error, ",\"traceback\":\"\"}");
        none.error = buf_str(&error);
        tk_open_ended(t, &d->job);
        tk_tell(t, &d->job, d->state, &none);
        buf_finish(&error);
        watch_ended(t, &d->job, NULL, d->state);
    }
    overlap_leave(t, queue, &d->key);
    job_finish(&d->job);
    free(d);
    queue_dispatch(t, queue);
}

void run_drop(struct tasks *t, uint32_t queue, const struct job_key *k, uint32_t state,
              const char *type, const char *why)
{
    struct drop *d = calloc(1, sizeof *d);
    if (!d) {
        tk_stall(t);
        queue_put_back(t, queue, k);
        return;
    }
    job_init(&d->job);
    d->key = *k;
    d->queue = queue;
    d->state = state;
    d->type = type;
    d->why = why;
    tk_must(t, &d->op, drop_run, drop_after);
}
