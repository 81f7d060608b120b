/* SPDX-License-Identifier: Apache-2.0 */
/* What people ask of tasks: cancel, why one waits, progress, status, pause. */
#include "kernel/base/err.h"
#include "kernel/base/log.h"
#include "kernel/base/log_mask.h"
#include "kernel/base/str.h"
#include "kernel/hub/tasks_int.h"
#include "kernel/value/json.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PROGRESS_MAX (64u << 10) /* bytes */
#define PROGRESS_MS  200         /* a row in that time is enough */

/* ---- cancel ---------------------------------------------------------------------------------- */

struct cancel {
    struct tk_op op;
    struct job job;
    uint32_t grace_ms;
    int state;
    void (*done)(void *, tn_rc, const tn_err *);
    void *user;
    tn_str id;
    char text[64];
};

static tn_rc cancel_run(struct side_txn *txn, struct tk_op *op, tn_err *err)
{
    struct cancel *c = container_of(op, struct cancel, op);
    tn_rc rc = jobs_drop(op->t->jobs, txn, 0, -1, c->id, job_states[TN_TASK_CANCELED], "Cancelled",
                         "the task was cancelled before it started", tk_now_ms(), &c->job, err);
    c->state = TN_TASK_CANCELED;
    if (rc == TN_E_NOTFOUND) {
        tn_rc known = jobs_state(txn, c->id, &c->state, err);
        return known ? known
                     : err_set(err, TN_E_CONFLICT, "the task is %s already", job_states[c->state]);
    }
    return rc;
}

/* 1: it runs and was asked to end. */
static int cancel_running(struct tasks *t, tn_str id, uint32_t grace_ms)
{
    struct tk_run *r = map_get(&t->running, id);
    if (!r || !r->call) {
        return 0;
    }
    r->cancel = 1;
    broker_cancel(t->hub->broker, r->call, grace_ms);
    return 1;
}

static void cancel_after(struct tk_op *op)
{
    struct cancel *c = container_of(op, struct cancel, op);
    struct tasks *t = op->t;
    if (op->rc == TN_OK) {
        struct job *j = &c->job;
        struct job_key k;
        tk_open_ended(t, j);
        job_key_of(j, &k);
        atomic_fetch_sub(&t->queues[j->queue].waiting, 1);
        const tn_call_result none = {.size = sizeof none,
                                     .status = TN_CALL_CANCELED,
                                     .task_id = j->id,
                                     .value_fd = -1,
                                     .trigger_us = j->trigger_ms * 1000,
                                     .end_us = tk_now_ms() * 1000};
        tk_tell(t, j, TN_TASK_CANCELED, &none);
        watch_ended(t, j, NULL, TN_TASK_CANCELED);
        overlap_leave(t, (uint32_t)j->queue, &k);
    } else if (op->rc == TN_E_CONFLICT && c->state == TN_TASK_RUNNING &&
               cancel_running(t, c->id, c->grace_ms)) {
        op->rc = TN_OK; /* its claim was on the way */
    }
    c->done(c->user, op->rc, op->rc ? &op->err : NULL);
    job_finish(&c->job);
    free(c);
}

tn_rc tk_cancel(void *ctx, tn_str id, uint32_t grace_ms,
                void (*done)(void *user, tn_rc rc, const tn_err *err), void *user, tn_err *err)
{
    struct tasks *t = host_tasks(ctx);
    if (id.n == 0 || id.n > 64) {
        return err_set(err, TN_E_NOTFOUND, "there is no task with such an id");
    }
    if (cancel_running(t, id, grace_ms)) {
        done(user, TN_OK, NULL);
        return TN_OK;
    }
    struct cancel *c = calloc(1, sizeof *c);
    if (!c) {
        return err_set(err, TN_E_NOMEM, "no memory to cancel a task");
    }
    job_init(&c->job);
    c->done = done;
    c->user = user;
    c->grace_ms = grace_ms;
    memcpy(c->text, id.s, id.n);
    c->id = (tn_str){c->text, id.n};
    tn_rc rc = tk_submit(t, &c->op, cancel_run, cancel_after, err);
    if (rc) {
        free(c);
    }
    return rc;
}

/* ---- why ------------------------------------------------------------------------------------- */

struct why {
    struct tasks *t;
    void (*done)(void *, tn_str);
    void *user;
    struct job_why row;
    tn_rc rc;
    tn_str id;
    char text[64];
};

static void say(struct why *w, const char *rule, const char *text, const char *figures)
{
    struct buf out = BUF_INIT(4096);
    buf_printf(&out, "{\"rule\":\"%s\",\"text\":", rule);
    buf_quote(&out, str_of(text));
    buf_printf(&out, "%s}", figures);
    w->done(w->user, buf_str(&out));
    buf_finish(&out);
    free(w);
}

static void answer(void *user)
{
    struct why *w = user;
    struct tasks *t = w->t;
    const struct job_why *y = &w->row;
    const struct tk_queue *q = &t->queues[y->queue < JOB_QUEUES ? y->queue : 0];
    int64_t now = tk_now_ms();
    char figures[256];
    snprintf(figures, sizeof figures,
             ",\"queue\":%u,\"ahead\":%lld,\"running\":%u,\"limit\":%u,\"dueTimeMs\":%lld,"
             "\"inMs\":%lld",
             y->queue, (long long)y->ahead, q->inflight, atomic_load(&q->limit),
             (long long)y->due_ms, (long long)(y->due_ms > now ? y->due_ms - now : 0));
    if (w->rc) {
        say(w, "unknown", "there is no such task", "");
    } else if (y->state >= TN_TASK_SUCCEEDED) {
        say(w, "ended", "it has ended", "");
    } else if (y->state == TN_TASK_RUNNING) {
        say(w, "running", "it runs", figures);
    } else if (y->due_ms > now && y->state == TN_TASK_RETRYING) {
        say(w, "retry", "its last attempt failed; the next one follows when its backoff is over",
            figures);
    } else if (y->due_ms > now) {
        say(w, "due", "its time has not come", figures);
    } else if (t->paused || q->paused || !t->started || t->draining) {
        say(w, "paused", "nothing of this queue starts at the moment", figures);
    } else if (tk_mono_ms() < t->stalled_ms || !list_empty(&t->failed)) {
        say(w, "store", "jobs.db cannot be written at the moment; it is tried twice a second",
            figures);
    } else if (y->overlap != TN_OVERLAP_ALLOW && overlap_holds(t, y->overlap_hash, y->seq)) {
        say(w, "overlap", "an earlier task with the same overlap key has not ended", figures);
    } else if (q->inflight >= atomic_load(&q->limit)) {
        say(w, "workers", "all workers of its queue are busy", figures);
    } else {
        say(w, "queue", "others of its queue come first", figures);
    }
}

static void look(void *user)
{
    struct why *w = user;
    tn_err err = TN_ERR_INIT;
    w->rc = jobs_why(w->t->jobs, w->id, &w->row, &err);
    loop_post(w->t->hub->loop, answer, w);
}

tn_rc tk_why(void *ctx, tn_str id, void (*done)(void *user, tn_str json), void *user, tn_err *err)
{
    struct why *w = calloc(1, sizeof *w);
    if (!w) {
        return err_set(err, TN_E_NOMEM, "no memory for a question");
    }
    w->t = host_tasks(ctx);
    w->done = done;
    w->user = user;
    w->id = (tn_str){w->text, id.n < sizeof w->text ? id.n : sizeof w->text};
    memcpy(w->text, id.s, w->id.n);
    tn_rc rc = loop_defer(w->t->hub->loop, look, w, err);
    if (rc) {
        free(w);
    }
    return rc;
}

/* ---- progress -------------------------------------------------------------------------------- */

struct progress {
    struct tk_op op;
    int64_t seq, epoch;
    tn_str json;
    size_t id_n;
    char id[64];
    char text[];
};

static tn_rc progress_run(struct side_txn *txn, struct tk_op *op, tn_err *err)
{
    struct progress *p = container_of(op, struct progress, op);
    struct buf sealed = BUF_INIT(0);
    tn_str json = p->json;
    tn_rc rc = tk_seal_text(op->t, "progress", (tn_str){p->id, p->id_n}, &json, 1, &sealed, err);
    rc = rc ? rc : jobs_progress(txn, p->seq, p->epoch, json, err);
    buf_finish(&sealed);
    return rc;
}

static void progress_after(struct tk_op *op)
{
    free(container_of(op, struct progress,
                      op)); /* a stale epoch records nothing, and that is right */
}

/* Watchers have it; the row gets it when the task ends, or with a later one. */
static tn_rc keep_progress(struct tk_run *r, tn_str json, tn_err *err)
{
    char *text = realloc(r->unwritten, json.n + 1);
    if (!text) {
        return err_set(err, TN_E_NOMEM, "no memory for progress");
    }
    memcpy(text, json.s, json.n);
    r->unwritten = text;
    r->unwritten_n = json.n;
    return TN_OK;
}

static tn_rc told(struct tasks *t, tn_str id, tn_str json, tn_err *err)
{
    struct tk_run *r = map_get(&t->running, id);
    uint32_t kind, n;
    if (!r || !r->call) {
        return err_set(err, TN_E_NOTFOUND, "no such task runs");
    }
    if (json.n > PROGRESS_MAX) {
        return err_set(err, TN_E_LIMIT, "progress of %zu bytes (at most %u)", json.n, PROGRESS_MAX);
    }
    tn_rc rc = json_scan(json, &kind, NULL, 0, &n, err);
    if (rc) {
        return rc;
    }
    watch_progress(r, json);
    int64_t now = tk_mono_ms();
    if (r->progress_ms && now < r->progress_ms + PROGRESS_MS) {
        return keep_progress(r, json, err);
    }
    free(r->unwritten);
    r->unwritten = NULL;
    r->unwritten_n = 0;
    struct progress *p = malloc(sizeof *p + json.n);
    if (!p) {
        return err_set(err, TN_E_NOMEM, "no memory for progress");
    }
    r->progress_ms = now;
    p->seq = r->job.seq;
    p->epoch = r->job.epoch;
    p->id_n = r->job.id.n < sizeof p->id ? r->job.id.n : sizeof p->id;
    memcpy(p->id, r->job.id.s, p->id_n);
    memcpy(p->text, json.s, json.n);
    p->json = (tn_str){p->text, json.n};
    rc = tk_submit(t, &p->op, progress_run, progress_after, err);
    if (rc) {
        free(p);
    }
    return rc;
}

/* Secrets go before anybody sees them, as from printed lines and records. */
tn_rc tk_progress(void *ctx, tn_str id, tn_str json, tn_err *err)
{
    struct buf masked = BUF_INIT(0);
    if (json.n <= PROGRESS_MAX && log_mask_any() && log_mask_apply(json, &masked)) {
        json = buf_str(&masked);
    }
    tn_rc rc = told(host_tasks(ctx), id, json, err);
    buf_finish(&masked);
    return rc;
}

/* ---- status and pause ------------------------------------------------------------------------ */

tn_rc tk_status(void *ctx, tn_text *ret, tn_err *err)
{
    struct tasks *t = host_tasks(ctx);
    struct buf out = BUF_INIT(64u << 10);
    buf_adds(&out, "[");
    for (unsigned i = 0; i < JOB_QUEUES; i++) {
        struct tk_queue *q = &t->queues[i];
        buf_printf(&out,
                   "%s{\"queue\":%u,\"waiting\":%lld,\"delayed\":%u,\"running\":%u,\"workers\":%u,"
                   "\"limit\":%u,\"paused\":%s}",
                   i ? "," : "", i, (long long)atomic_load(&q->waiting), atomic_load(&q->delayed),
                   atomic_load(&q->running), atomic_load(&q->workers), atomic_load(&q->limit),
                   t->paused || q->paused ? "true" : "false");
    }
    buf_adds(&out, "]");
    ret->s = buf_take(&out, &ret->n);
    return ret->s ? TN_OK : err_set(err, TN_E_NOMEM, "no memory for the status");
}

static void resume(void *user)
{
    queue_dispatch_all(user);
}

void tk_pause(void *ctx, int32_t queue, int32_t on)
{
    struct tasks *t = host_tasks(ctx);
    if (queue < 0) {
        t->paused = on != 0;
    } else if (queue < JOB_QUEUES) {
        t->queues[queue].paused = on != 0;
    }
    if (!on) {
        loop_post(t->hub->loop, resume, t);
    }
}

tn_rc tk_pause_keep(void *ctx, int32_t queue, int32_t on, tn_err *err)
{
    if (queue < -1 || queue >= JOB_QUEUES) {
        return err_set(err, TN_E_INVAL, "there is no queue %d (0 to %d; -1: all)", queue,
                       JOB_QUEUES - 1);
    }
    tn_rc rc = jobs_pause(host_tasks(ctx)->jobs, queue, on, err);
    if (rc == TN_OK) {
        tk_pause(ctx, queue, on);
    }
    return rc;
}

tn_rc tk_pause_load(struct tasks *t, tn_err *err)
{
    uint32_t bits = 0;
    tn_rc rc = jobs_paused(t->jobs, &bits, err);
    t->paused = (bits & 1) != 0;
    for (unsigned i = 0; i < JOB_QUEUES; i++) {
        t->queues[i].paused = (bits >> (i + 1) & 1) != 0;
    }
    if (bits) {
        log_at(TN_LOG_NOTICE, "tasks: %s paused, as before the restart",
               bits & 1 ? "all queues are" : "some queues are");
    }
    return rc;
}
