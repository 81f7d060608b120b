/* SPDX-License-Identifier: Apache-2.0 */
/* The moves of a task's row. Each names the state and epoch it comes from, so of two that compete one
 * finds nothing to change. */
#include "kernel/base/err.h"
#include "kernel/base/str.h"
#include "kernel/store/jobs_int.h"

#include <stdio.h>
#include <string.h>

static tn_rc gone(tn_err *err)
{
    return err_set(err, TN_E_NOTFOUND, "the task does not wait any more");
}

/* One row into `ret`; TN_E_NOTFOUND when there was none. */
static tn_rc returning(struct side_txn *t, const char *sql, const struct binds *b, struct job *ret,
                       tn_err *err)
{
    char text[2048];
    snprintf(text, sizeof text, "%s RETURNING %s", sql, job_columns());
    ret->seq = 0;
    tn_rc rc = rows_write(t, text, b, job_read, ret, err);
    return rc ? rc : ret->seq ? TN_OK : gone(err);
}

tn_rc jobs_claim(struct side_txn *t, int64_t seq, int64_t epoch, tn_str owner, int64_t now_ms,
                 int64_t lease_ms, struct job *ret, tn_err *err)
{
    struct binds b = {.n = 0};
    bind_int(&b, seq);
    bind_int(&b, epoch);
    bind_str(&b, owner);
    bind_int(&b, now_ms);
    bind_int(&b, lease_ms);
    return returning(
        t,
        "UPDATE tn_task SET state = 'running', wait = 0, epoch = epoch + 1, attempt = "
        "attempt + 1, owner = ?3, startTimeMs = ?4, leaseUntilMs = ?5, updateTime = ?4 "
        "* 1000 WHERE seq = ?1 AND wait > 0 AND epoch = ?2",
        &b, ret, err);
}

/* ---- ends ------------------------------------------------------------------------------------ */

static int64_t keep_until(const struct jobs *j, int64_t end_ms, int64_t keep_s, const char *state)
{
    int64_t keep = strcmp(state, job_states[TN_TASK_DEAD]) == 0 ? j->conf.keep_dead_s
                                                                : j->conf.keep_s;
    return end_ms + (keep_s ? keep_s : keep) * 1000;
}

static tn_rc remove_row(struct side_txn *t, int64_t seq, tn_err *err)
{
    struct binds b = {.n = 0};
    bind_int(&b, seq);
    tn_rc rc = side_exec(t, "DELETE FROM tn_attempt WHERE task = ?", b.v, b.n, NULL, err);
    return rc ? rc : side_exec(t, "DELETE FROM tn_task WHERE seq = ?", b.v, b.n, NULL, err);
}

static tn_rc stale(int64_t changed, tn_err *err)
{
    return changed ? TN_OK
                   : err_set(err, TN_E_CONFLICT,
                             "this attempt is not the current one any more; nothing was recorded");
}

tn_rc jobs_end(struct jobs *j, struct side_txn *t, const struct job_end *e, tn_err *err)
{
    struct binds b = {.n = 0};
    int64_t changed = 0;
    bind_int(&b, e->seq);
    bind_int(&b, e->epoch);
    bind_text(&b, e->state);
    bind_int(&b, e->start_ms);
    bind_int(&b, e->end_ms);
    bind_int(&b, keep_until(j, e->end_ms, e->keep_s, e->state));
    bind_int(&b, e->cost_ms);
    bind_int(&b, e->peak_bytes);
    bind_str(&b, e->result);
    bind_str(&b, e->control);
    bind_str(&b, e->exception);
    bind_str(&b, e->exception_type);
    bind_str(&b, e->traceback);
    bind_str(&b, e->logs);
    bind_int(&b, e->crashes);
    bind_str(&b, e->progress);
    tn_rc rc = side_exec(
        t,
        "UPDATE tn_task SET state = ?3, wait = 0, progress = coalesce(?16, progress), startTimeMs = ?4, endTimeMs = ?5, "
        "pruneTimeMs = ?6, costMs = ?7, peakBytes = ?8, result = ?9, "
        "responseControl = ?10, exception = ?11, exceptionType = ?12, traceback = "
        "?13, logs = ?14, crashes = ?15, owner = NULL, leaseUntilMs = NULL, "
        "updateTime = ?5 * 1000 WHERE seq = ?1 AND state = 'running' AND epoch = ?2",
        b.v, b.n, &changed, err);
    rc = rc ? rc : stale(changed, err);
    if (rc == TN_OK && (e->flags & TN_TASK_NO_RECORD) &&
        strcmp(e->state, job_states[TN_TASK_DEAD]) != 0) {
        return remove_row(t, e->seq, err);
    }
    j->ended += rc == TN_OK;
    return rc;
}

/* What an attempt came to that was not the last. */
static tn_rc note_attempt(struct side_txn *t, const struct job_end *e, tn_err *err)
{
    struct binds b = {.n = 0};
    bind_int(&b, e->seq);
    bind_int(&b, e->epoch);
    bind_int(&b, e->attempt);
    bind_int(&b, e->start_ms);
    bind_int(&b, e->end_ms);
    bind_text(&b, e->state);
    bind_str(&b, e->exception_type);
    bind_str(&b, e->exception);
    return side_exec(t,
                     "INSERT OR REPLACE INTO tn_attempt (task, epoch, attempt, startTimeMs, "
                     "endTimeMs, state, exceptionType, exception) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                     b.v, b.n, NULL, err);
}

tn_rc jobs_again(struct side_txn *t, const struct job_end *e, int64_t due_ms, int64_t now_ms,
                 int64_t priority, int counted, uint32_t *ret_wait, tn_err *err)
{
    struct binds b = {.n = 0};
    int64_t changed = 0;
    bind_int(&b, e->seq);
    bind_int(&b, e->epoch);
    bind_text(&b, job_states[counted ? TN_TASK_RETRYING : TN_TASK_QUEUED]);
    *ret_wait = due_ms > now_ms ? JOB_WAIT_LATER : JOB_WAIT_READY;
    bind_int(&b, *ret_wait);
    bind_int(&b, due_ms);
    bind_int(&b, job_rank(due_ms, priority));
    bind_int(&b, counted ? 0 : 1);
    bind_int(&b, e->crashes);
    bind_str(&b, e->exception);
    bind_str(&b, e->exception_type);
    bind_str(&b, e->traceback);
    bind_str(&b, e->logs);
    bind_int(&b, now_ms);
    bind_int(&b, e->expire_ms);
    tn_rc rc = side_exec(
        t,
        "UPDATE tn_task SET state = ?3, wait = ?4, dueTimeMs = ?5, rank = ?6, epoch "
        "= epoch + 1, attempt = attempt - ?7, crashes = ?8, exception = ?9, "
        "exceptionType = ?10, traceback = ?11, logs = ?12, owner = NULL, "
        "leaseUntilMs = NULL, expireTimeMs = ?14, updateTime = ?13 * 1000 WHERE seq = "
        "?1 AND state = 'running' AND epoch = ?2",
        b.v, b.n, &changed, err);
    rc = rc ? rc : stale(changed, err);
    return rc || !e->exception_type.n ? rc : note_attempt(t, e, err);
}

/* An occurrence whose task ended before its first start did not run after all: its row says why. */
static tn_rc occurrence_skipped(struct side_txn *t, const struct job *j, const char *why,
                                tn_err *err)
{
    struct binds b = {.n = 0};
    if (j->schedule.n == 0 || j->attempt > 0) {
        return TN_OK;
    }
    bind_int(&b, TN_OCCUR_SKIP);
    bind_text(&b, why);
    bind_str(&b, j->schedule);
    bind_int(&b, j->occurrence_us);
    bind_int(&b, j->delay_s);
    return side_exec(t,
                     "UPDATE tn_occurrence SET outcome = ?, reason = ? WHERE schedule = ? AND "
                     "occurrenceUs = ? AND delayS = ?",
                     b.v, b.n, NULL, err);
}

/* RETURNING shows the row after the update: the state it had is what `ret` gets besides. */
tn_rc jobs_drop(struct jobs *j, struct side_txn *t, int64_t seq, int64_t epoch, tn_str id,
                const char *state, const char *type, const char *why, int64_t now_ms,
                struct job *ret, tn_err *err)
{
    struct binds b = {.n = 0};
    bind_int(&b, seq);
    bind_int(&b, epoch);
    bind_str(&b, id);
    bind_text(&b, state);
    bind_int(&b, now_ms);
    bind_text(&b, type);
    bind_text(&b, why);
    bind_int(&b, j->conf.keep_s);
    tn_rc rc = returning(
        t,
        epoch < 0 ? "UPDATE tn_task SET state = ?4, wait = 0, endTimeMs = ?5, epoch = epoch "
                    "+ 1, pruneTimeMs = ?5 + (CASE keepS WHEN 0 THEN ?8 ELSE keepS END) * "
                    "1000, exceptionType = ?6, exception = ?7, updateTime = ?5 * 1000 "
                    "WHERE id = ?3 AND wait > 0 AND ?1 = ?1 AND ?2 = ?2"
                  : "UPDATE tn_task SET state = ?4, wait = 0, endTimeMs = ?5, epoch = epoch "
                    "+ 1, pruneTimeMs = ?5 + (CASE keepS WHEN 0 THEN ?8 ELSE keepS END) * "
                    "1000, exceptionType = ?6, exception = ?7, updateTime = ?5 * 1000 "
                    "WHERE seq = ?1 AND wait > 0 AND epoch = ?2 AND ?3 IS ?3",
        &b, ret, err);
    rc = rc ? rc : occurrence_skipped(t, ret, why, err);
    if (rc == TN_OK && (ret->flags & TN_TASK_NO_RECORD)) {
        return remove_row(t, ret->seq, err);
    }
    j->ended += rc == TN_OK;
    return rc;
}

static tn_rc state_row(void *user, const tn_val *cells)
{
    *(int *)user = job_state_of(cell_str(&cells[0]));
    return TN_OK;
}

tn_rc jobs_state(struct side_txn *t, tn_str id, int *ret_state, tn_err *err)
{
    struct binds b = {.n = 0};
    int state = -1;
    bind_str(&b, id);
    tn_rc rc = rows_write(t, "SELECT state FROM tn_task WHERE id = ?", &b, state_row, &state, err);
    if (rc == TN_OK && state < 0) {
        rc = err_set(err, TN_E_NOTFOUND, "there is no task %.*s", (int)(id.n < 64 ? id.n : 64),
                     id.s);
    }
    *ret_state = state;
    return rc;
}

/* ---- while it runs --------------------------------------------------------------------------- */

tn_rc jobs_progress(struct side_txn *t, int64_t seq, int64_t epoch, tn_str json, tn_err *err)
{
    struct binds b = {.n = 0};
    int64_t changed = 0;
    bind_str(&b, json);
    bind_int(&b, seq);
    bind_int(&b, epoch);
    tn_rc rc = side_exec(t,
                         "UPDATE tn_task SET progress = ? WHERE seq = ? AND epoch = ? AND state = "
                         "'running'",
                         b.v, b.n, &changed, err);
    return rc ? rc : stale(changed, err);
}

tn_rc jobs_renew(struct side_txn *t, tn_str owner, int64_t lease_ms, tn_err *err)
{
    struct binds b = {.n = 0};
    bind_int(&b, lease_ms);
    bind_str(&b, owner);
    return side_exec(t, "UPDATE tn_task SET leaseUntilMs = ? WHERE owner = ? AND state = 'running'",
                     b.v, b.n, NULL, err);
}
