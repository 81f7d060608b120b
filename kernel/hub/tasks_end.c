/* SPDX-License-Identifier: Apache-2.0 */
/* The outcome of an attempt: another one, or the task's one terminal state; written before anybody is
 * told. */
#include "kernel/base/clock.h"
#include "kernel/base/err.h"
#include "kernel/base/fd.h"
#include "kernel/base/killpoint.h"
#include "kernel/base/log.h"
#include "kernel/base/rnd.h"
#include "kernel/base/str.h"
#include "kernel/hub/tasks_int.h"
#include "kernel/value/json.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define BUSY_MS    200  /* a group that was full is asked again after that */
#define RESTART_MS 1000 /* a worker was killed from outside: the task starts again after that */

/* ---- keeping the result until it is written -------------------------------------------------- */

/* "exception" of {"exception":..., ...} */
static tn_str member_text(const tn_json_member *m, uint32_t n, const char *name, char **at)
{
    for (uint32_t i = 0; i < n; i++) {
        if (str_is(m[i].key, name) && m[i].kind == TN_JSON_STRING) {
            size_t len = json_unquote(m[i].value, *at, m[i].value.n);
            tn_str s = {*at, len};
            *at += len;
            return s;
        }
    }
    return (tn_str){NULL, 0};
}

static void take_error(struct tk_run *r, tn_str error, char **at)
{
    tn_json_member m[8];
    uint32_t kind, n = 0;
    if (error.n == 0 || json_scan(error, &kind, m, 8, &n, NULL) != TN_OK ||
        kind != TN_JSON_OBJECT) {
        return;
    }
    n = n < 8 ? n : 8;
    r->end.exception = member_text(m, n, "exception", at);
    r->end.exception_type = member_text(m, n, "exceptionType", at);
    r->end.traceback = member_text(m, n, "traceback", at);
}

static tn_str keep(char **at, tn_str s)
{
    tn_str kept = {*at, s.n};
    if (s.n) {
        memcpy(*at, s.s, s.n);
    }
    *at += s.n;
    return s.s ? kept : (tn_str){NULL, 0};
}

/* Everything of the result that is borrowed only until done() returns. */
static tn_rc keep_result(struct tk_run *r, const tn_call_result *theirs)
{
    size_t value = theirs->value.n;
    if (theirs->value_fd >= 0) {
        value = theirs->value_len <= TASKS_RESULT_MAX ? (size_t)theirs->value_len : 0;
    }
    int text = theirs->value_kind == TN_VALUE_TEXT;
    size_t room = value + (text ? 6 * value + 2 : 0) + theirs->control.n + 2 * theirs->error.n +
                  theirs->logs.n + 64;
    free(r->kept);
    char *at = r->kept = malloc(room);
    if (!at) {
        return TN_E_NOMEM;
    }
    r->result = *theirs;
    r->result.value_fd = -1;
    r->result.task_id = r->job.id;
    if (theirs->value_fd >= 0) {
        ssize_t n = value ? pread(theirs->value_fd, at, value, 0) : 0;
        r->result.value = (tn_str){at, n > 0 ? (size_t)n : 0};
        at += r->result.value.n;
    } else {
        r->result.value = keep(&at, theirs->value);
    }
    r->result.value_len = r->result.value.n;
    r->result.control = keep(&at, theirs->control);
    r->result.error = keep(&at, theirs->error);
    r->result.logs = keep(&at, theirs->logs);
    r->end.control = r->result.control.n ? r->result.control : (tn_str){NULL, 0};
    r->end.logs = r->result.logs.n ? r->result.logs : (tn_str){NULL, 0};
    take_error(r, r->result.error, &at);
    if (text) {
        size_t n = json_quote(r->result.value, at, 6 * value + 2);
        r->end.result = (tn_str){at, n};
        at += n;
    } else if (r->result.value.n && theirs->value_kind != TN_VALUE_NONE) {
        r->end.result = r->result.value;
    }
    size_t all = theirs->value_fd >= 0 ? (size_t)theirs->value_len : theirs->value.n;
    if (all > TASKS_RESULT_MAX || r->result.value.n < all) {
        static const char note[] = "the result was too large to be kept (at most 8 MiB)";
        r->end.result = r->result.value = (tn_str){NULL, 0};
        r->result.value_kind = TN_VALUE_NONE;
        r->end.exception = TN_STR(note);
    }
    return TN_OK;
}

/* ---- deciding -------------------------------------------------------------------------------- */

/* ["OSError",...] of {"exceptionBases":["OSError",...], ...} */
static tn_str bases_of(tn_str error)
{
    tn_json_member m[8];
    uint32_t kind, n = 0;
    if (error.n && json_scan(error, &kind, m, 8, &n, NULL) == TN_OK && kind == TN_JSON_OBJECT) {
        for (uint32_t i = 0; i < n && i < 8; i++) {
            if (str_is(m[i].key, "exceptionBases") && m[i].kind == TN_JSON_ARRAY) {
                return m[i].value;
            }
        }
    }
    return (tn_str){NULL, 0};
}

/* One of these names, as they stand there in quotes? */
static int names_one_of(tn_str list, tn_str names)
{
    const char *p = names.s, *end = names.s + names.n;
    while (p && p < end && (p = memchr(p, '"', (size_t)(end - p)))) {
        const char *q = memchr(p + 1, '"', (size_t)(end - p) - 1);
        if (!q) {
            break;
        }
        if (memmem(list.s, list.n, p, (size_t)(q + 1 - p))) {
            return 1;
        }
        p = q + 1;
    }
    return 0;
}

/* Does the task's policy name this kind of failure? A class stands for those derived from it. */
static int wanted(const struct job *j, uint32_t status, tn_str type, tn_str error)
{
    tn_json_member unused;
    uint32_t kind, n = 0;
    struct buf quoted = BUF_INIT(1024);
    if (j->retry_on.n == 0) {
        return 1;
    }
    if (json_scan(j->retry_on, &kind, &unused, 0, &n, NULL) != TN_OK || kind != TN_JSON_ARRAY) {
        return 0;
    }
    const char *word = status == TN_CALL_TIMEOUT   ? "\"timeout\""
                       : status == TN_CALL_CRASHED ? "\"crash\""
                                                   : "\"Exception\"";
    buf_quote(&quoted, type);
    int found = memmem(j->retry_on.s, j->retry_on.n, "\"*\"", 3) ||
                memmem(j->retry_on.s, j->retry_on.n, word, strlen(word)) ||
                (type.n && memmem(j->retry_on.s, j->retry_on.n, quoted.data, quoted.len)) ||
                names_one_of(j->retry_on, bases_of(error));
    buf_finish(&quoted);
    return found;
}

/* Doubled for each further attempt, up to the maximum; jitter keeps many from coming back together. */
static int64_t backoff_ms(const struct job *j)
{
    int64_t ms = j->backoff_ms, max = j->backoff_max_ms > 0 ? j->backoff_max_ms : ms;
    for (int64_t i = 1; i < j->attempt && ms < max; i++) {
        ms *= 2;
    }
    ms = ms < max ? ms : max;
    if (j->jitter_pct > 0) {
        uint32_t r;
        rnd_bytes(&r, sizeof r);
        ms += (int64_t)((uint64_t)ms * (uint64_t)j->jitter_pct / 100 * (r >> 8) >> 24);
    }
    return ms;
}

static void again(struct tk_run *r, int counted, int64_t due_ms)
{
    r->again = 1;
    r->counted = counted;
    r->again_ms = due_ms;
}

static uint32_t state_of(uint32_t status)
{
    switch (status) {
    case TN_CALL_SUCCESS:
        return TN_TASK_SUCCEEDED;
    case TN_CALL_TIMEOUT:
        return TN_TASK_TIMEOUT;
    case TN_CALL_SKIPPED:
        return TN_TASK_SKIPPED;
    case TN_CALL_EXPIRED:
        return TN_TASK_EXPIRED;
    case TN_CALL_CANCELED:
        return TN_TASK_CANCELED;
    default:
        return TN_TASK_FAILED;
    }
}

/* r->end.state, or another attempt. */
static void decide(struct tk_run *r, uint32_t status)
{
    const struct job *j = &r->job;
    int once = (j->flags & TN_TASK_AT_MOST_ONCE) != 0, began = r->result.start_us != 0;
    int64_t now = tk_now_ms();
    uint32_t state = state_of(status);
    int failed = status == TN_CALL_FAILURE || status == TN_CALL_TIMEOUT ||
                 status == TN_CALL_CRASHED;
    r->end.crashes = j->crashes + (status == TN_CALL_CRASHED && began);
    r->end.expire_ms = began ? 0 : j->expire_ms;
    if (status == TN_CALL_OVERLOAD) {
        again(r, 0, now + BUSY_MS); /* it was never started */
    } else if (status == TN_CALL_CRASHED && !began) {
        again(r, 0, now + RESTART_MS); /* nor here: workers died before they came to it */
    } else if (status == TN_CALL_CANCELED && !r->cancel) {
        /* The platform stops. What had started may have done its work: once means once. */
        if (once && began) {
            state = TN_TASK_FAILED;
        } else {
            again(r, 0, now);
        }
    } else if (status == TN_CALL_CRASHED && !once && r->end.crashes < TASKS_CRASHES &&
               r->result.outside) {
        again(r, 0, now + RESTART_MS); /* its worker was killed by somebody else */
    } else if (status == TN_CALL_CRASHED && !once && r->end.crashes >= TASKS_CRASHES &&
               (j->max_attempts > 1 || r->result.outside)) {
        state = TN_TASK_DEAD; /* it takes workers with it: no further one */
    } else if (failed && !once && !r->cancel && j->attempt < j->max_attempts &&
               wanted(j, status, r->end.exception_type, r->result.error)) {
        again(r, 1, now + backoff_ms(j));
    } else if (failed && (j->flags & TN_TASK_DEAD_LETTER)) {
        state = TN_TASK_DEAD;
    }
    r->end.state = job_states[state];
}

/* ---- writing --------------------------------------------------------------------------------- */

/* Everything is sealed here, on the writer thread: it may be large, and the loop has others to serve. */
static tn_rc write_row(struct side_txn *txn, struct tk_run *r, tn_err *err)
{
    struct tasks *t = r->op.t;
    struct job_end e = r->end;
    struct buf sealed[TK_END_TEXTS];
    for (int i = 0; i < TK_END_TEXTS; i++) {
        buf_init(&sealed[i], 0);
    }
    tn_rc rc = tk_seal_end(t, r->job.id, &e, sealed, err);
    if (rc == TN_OK && r->again) {
        rc = jobs_again(txn, &e, r->again_ms, tk_now_ms(), r->job.priority, r->counted,
                        &r->again_wait, err);
    } else if (rc == TN_OK) {
        rc = jobs_end(t->jobs, txn, &e, err);
    }
    for (int i = 0; i < TK_END_TEXTS; i++) {
        buf_finish(&sealed[i]);
    }
    return rc;
}

static tn_rc end_run(struct side_txn *txn, struct tk_op *op, tn_err *err)
{
    struct tk_run *r = container_of(op, struct tk_run, op);
    if (r->again) {
        TN_KILLPOINT("retry");
    } else {
        TN_KILLPOINT("result");
    }
    tn_rc rc = write_row(txn, r, err);
    TN_KILLPOINT("result-written");
    return rc;
}

static void forget(struct tk_run *r)
{
    struct tasks *t = r->op.t;
    run_release(r);
    if (map_get(&t->running, r->job.id) == r) {
        map_del(&t->running, r->job.id);
    }
    atomic_fetch_sub(&t->queues[r->queue].running, 1);
    t->nrunning--;
}

static void end_after(struct tk_op *op)
{
    struct tk_run *r = container_of(op, struct tk_run, op);
    struct tasks *t = op->t;
    uint32_t queue = r->queue;
    TN_KILLPOINT("result-committed");
    if (op->rc && op->rc != TN_E_CONFLICT) {
        tk_complain(t, "recording the end of a task", op->err.msg);
        tk_again_later(op);
        return;
    }
    forget(r);
    struct job_key k;
    job_key_of(&r->job, &k);
    if (op->rc) {
        log_error("tasks: %.*s: %s", (int)r->job.id.n, r->job.id.s, op->err.msg);
        overlap_leave(t, queue, &k);
    } else if (r->again) {
        k.epoch++;
        k.due_ms = r->again_ms;
        k.rank = job_rank(r->again_ms, r->job.priority);
        k.expire_ms = r->end.expire_ms;
        watch_waits(r);
        queue_add(t, queue, &k, r->again_wait); /* as its row says: its windows are read by that */
    } else {
        uint32_t state = (uint32_t)job_state_of(str_of(r->end.state));
        overlap_leave(t, queue, &k);
        tk_tell(t, &r->job, state, &r->result);
        watch_ended(t, &r->job, r, state);
    }
    run_free(r);
    queue_dispatch(t, queue);
}

static void write_end(struct tk_run *r)
{
    struct job_end *e = &r->end;
    e->seq = r->job.seq;
    e->epoch = r->job.epoch;
    e->attempt = r->job.attempt;
    e->start_ms = r->start_ms;
    e->end_ms = tk_now_ms();
    e->cost_ms = r->result.cost_us / 1000;
    e->peak_bytes = (int64_t)r->result.peak_bytes;
    e->keep_s = r->job.keep_s;
    e->flags = r->job.flags;
    e->progress = (tn_str){r->unwritten, r->unwritten_n};
    tk_must(r->op.t, &r->op, end_run, end_after);
}

void run_done(void *run, const tn_call_result *result)
{
    struct tk_run *r = run;
    struct tasks *t = r->op.t;
    uint32_t status = result->status;
    TN_KILLPOINT("done");
    r->call = NULL;
    run_release(r); /* the next one may be claimed in the same transaction */
    if (keep_result(r, result) != TN_OK) {
        r->result = (tn_call_result){.size = sizeof r->result, .status = status, .value_fd = -1};
        r->result.start_us = result->start_us;
        r->end.exception = TN_STR("there was no memory to keep the result");
        r->end.exception_type = TN_STR("MemoryError");
    }
    if (result->start_us) {
        r->start_ms = result->start_us / 1000;
    }
    if (status == TN_CALL_CANCELED && r->cancel) {
        r->end.exception = TN_STR("the task was cancelled");
        r->end.exception_type = TN_STR("Cancelled");
    }
    decide(r, status);
    write_end(r);
    queue_dispatch(t, r->queue);
}

void run_give_back(struct tk_run *r, int64_t due_ms)
{
    run_release(r);
    r->end.crashes = r->job.crashes;
    r->end.expire_ms = r->job.expire_ms;
    r->end.state = job_states[TN_TASK_QUEUED];
    again(r, 0, due_ms);
    write_end(r);
}

/* A row that makes no sense costs attempts like a failing one, so it cannot hold up its queue. */
void run_unreadable(struct tk_run *r, const char *why)
{
    struct buf error = BUF_INIT(4096);
    buf_printf(&error, "{\"exceptionType\":\"TaskUnreadable\",\"traceback\":\"\",\"exception\":");
    buf_quote(&error, str_of(why));
    buf_addc(&error, '}');
    const tn_call_result result = {.size = sizeof result,
                                   .status = TN_CALL_FAILURE,
                                   .error = buf_str(&error),
                                   .value_fd = -1,
                                   .trigger_us = r->job.trigger_ms * 1000,
                                   .end_us = clock_wall_us()};
    run_release(r);
    if (keep_result(r, &result) != TN_OK) {
        r->result.status = TN_CALL_FAILURE;
        r->result.value_fd = -1;
    }
    buf_finish(&error);
    r->end.crashes = r->job.crashes;
    r->end.state = job_states[TN_TASK_DEAD];
    if (r->job.attempt < TASKS_UNREADABLE) {
        again(r, 1, tk_now_ms() + backoff_ms(&r->job));
    }
    write_end(r);
}
