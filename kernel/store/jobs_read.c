/* SPDX-License-Identifier: Apache-2.0 */
/* Reading jobs.db: the next rows of a queue, one task as JSON, cursors and history of schedules. */
#include "kernel/base/clock.h"
#include "kernel/base/err.h"
#include "kernel/base/map.h"
#include "kernel/base/str.h"
#include "kernel/store/internal.h"
#include "kernel/store/jobs_int.h"
#include "kernel/value/json.h"

#include <stdlib.h>
#include <string.h>

/* ---- the next rows --------------------------------------------------------------------------- */

static tn_rc keys(struct side_txn *t, const char *sql, const struct binds *b, uint32_t limit,
                  struct job_key *ret, uint32_t *ret_n, tn_err *err)
{
    struct key_list l = {ret, 0, limit};
    tn_rc rc = rows_write(t, sql, b, key_row, &l, err);
    *ret_n = l.n;
    return rc;
}

tn_rc jobs_window(struct side_txn *t, uint32_t queue, uint32_t wait, int64_t after,
                  int64_t after_seq, uint32_t limit, struct job_key *ret, uint32_t *ret_n,
                  tn_err *err)
{
    struct binds b = {.n = 0};
    bind_int(&b, queue);
    bind_int(&b, after);
    bind_int(&b, after_seq);
    bind_int(&b, limit);
    return keys(t,
                wait == JOB_WAIT_READY
                    ? "SELECT " JOB_KEY_COLUMNS " FROM tn_task WHERE wait = 1 AND queue = ?1 AND "
                      "rank >= ?2 AND (rank > ?2 OR seq > ?3) ORDER BY rank, seq LIMIT ?4"
                    : "SELECT " JOB_KEY_COLUMNS " FROM tn_task WHERE wait = 2 AND queue = ?1 AND "
                      "dueTimeMs >= ?2 AND (dueTimeMs > ?2 OR seq > ?3) ORDER BY dueTimeMs, seq "
                      "LIMIT ?4",
                &b, limit, ret, ret_n, err);
}

tn_rc jobs_overdue(struct side_txn *t, int64_t now_ms, uint32_t limit, struct job_key *ret,
                   uint32_t *ret_n, tn_err *err)
{
    struct binds b = {.n = 0};
    bind_int(&b, now_ms);
    bind_int(&b, limit);
    return keys(t,
                "SELECT " JOB_KEY_COLUMNS " FROM tn_task WHERE wait > 0 AND expireTimeMs > 0 AND "
                "expireTimeMs <= ? ORDER BY expireTimeMs LIMIT ?",
                &b, limit, ret, ret_n, err);
}

tn_rc jobs_lost(struct side_txn *t, tn_str owner, struct job *ret, tn_err *err)
{
    struct binds b = {.n = 0};
    struct buf sql = BUF_INIT(4096);
    bind_str(&b, owner);
    buf_printf(&sql, "SELECT %s FROM tn_task WHERE state = 'running' AND owner <> ? LIMIT 1",
               job_columns());
    ret->seq = 0;
    tn_rc rc = rows_write(t, sql.data, &b, job_read, ret, err);
    buf_finish(&sql);
    return rc         ? rc
           : ret->seq ? TN_OK
                      : err_set(err, TN_E_NOTFOUND, "no task of a former hub is left");
}

/* seq, state, queue, dueTimeMs, overlap, overlapKey, ahead */
static tn_rc why_row(void *user, const tn_val *cells)
{
    struct job_why *y = user;
    tn_str key = cell_str(&cells[5]);
    y->seq = cell_int(&cells[0]);
    y->state = job_state_of(cell_str(&cells[1]));
    y->queue = (uint32_t)cell_int(&cells[2]);
    y->due_ms = cell_int(&cells[3]);
    y->overlap = (uint32_t)cell_int(&cells[4]);
    y->overlap_hash = key.n ? map_hash(key.s, key.n) | 1 : 0;
    y->ahead = cell_int(&cells[6]);
    return TN_OK;
}

tn_rc jobs_why(struct jobs *j, tn_str id, struct job_why *ret, tn_err *err)
{
    struct binds b = {.n = 0};
    bind_str(&b, id);
    *ret = (struct job_why){.state = -1};
    tn_rc rc = rows_read(
        j->side,
        "SELECT seq, state, queue, dueTimeMs, overlap, overlapKey, (SELECT count(*) "
        "FROM tn_task b WHERE b.wait = 1 AND b.queue = a.queue AND b.rank <= a.rank "
        "AND (b.rank < a.rank OR b.seq < a.seq)) "
        "FROM tn_task a WHERE id = ?",
        &b, why_row, ret, err);
    return rc || ret->state >= 0 ? rc : err_set(err, TN_E_NOTFOUND, "there is no such task");
}

/* ---- one task -------------------------------------------------------------------------------- */

static void add_member(struct buf *out, const char *name, const tn_val *v)
{
    tn_err err = TN_ERR_INIT;
    buf_printf(out, ",\"%s\":", name);
    if (json_write(out, v, &err) != TN_OK) {
        buf_adds(out, "null");
    }
}

struct attempts {
    struct buf *out;
    unsigned n;
};

/* attempt, startTimeMs, endTimeMs, state, exceptionType, exception */
static tn_rc attempt_row(void *user, const tn_val *cells)
{
    struct attempts *a = user;
    if (cell_int(&cells[1]) == 0 && a->n == 0 && str_is(cell_str(&cells[3]), "queued")) {
        return TN_OK;
    }
    buf_printf(a->out, "%s{\"attempt\":%lld", a->n++ ? "," : "", (long long)cell_int(&cells[0]));
    add_member(a->out, "startTimeMs", &cells[1]);
    add_member(a->out, "endTimeMs", &cells[2]);
    add_member(a->out, "state", &cells[3]);
    add_member(a->out, "exceptionType", &cells[4]);
    add_member(a->out, "exception", &cells[5]);
    buf_addc(a->out, '}');
    return TN_OK;
}

/* The attempts that were not the last have rows of their own; the last one is the task's row, while it
 * runs or when it has ended. */
static tn_rc add_attempts(struct jobs *j, tn_str id, struct buf *out, tn_err *err)
{
    struct attempts a = {out, 0};
    struct binds b = {.n = 0};
    bind_str(&b, id);
    buf_adds(out, ",\"attempts\":[");
    tn_rc rc = rows_read(
        j->side,
        "SELECT attempt, startTimeMs, endTimeMs, state, exceptionType, exception FROM "
        "(SELECT a.epoch AS e, a.attempt, a.startTimeMs, a.endTimeMs, a.state, a.exceptionType, "
        "a.exception FROM tn_attempt a JOIN tn_task t ON a.task = t.seq WHERE t.id = ?1 UNION ALL "
        "SELECT epoch, attempt, startTimeMs, endTimeMs, state, exceptionType, exception FROM tn_task "
        "WHERE id = ?1 AND wait = 0 AND startTimeMs IS NOT NULL AND attempt > 0) ORDER BY e",
        &b, attempt_row, &a, err);
    buf_addc(out, ']');
    return rc;
}

tn_rc jobs_get(struct jobs *j, tn_str id, struct buf *ret, tn_err *err)
{
    static const char *const extra[] = {"args",      "result", "responseControl",
                                        "traceback", "logs",   NULL};
    struct buf value = BUF_INIT(512), rows = BUF_INIT(0);
    if (id.n > 64) {
        return err_set(err, TN_E_NOTFOUND, "there is no task %.64s...", id.s);
    }
    buf_quote(&value, id);
    const tn_filter filter = {.column = "id", .op = TN_OP_EQ, .value = buf_str(&value)};
    const tn_list list = {.size = sizeof list,
                          .filters = &filter,
                          .nfilters = 1,
                          .extra = extra,
                          .nextra = 5,
                          .limit = 1};
    tn_rc rc = store_list(j->store, NULL, "task", &list, &rows, NULL, err);
    if (rc == TN_OK && rows.len < 4) {
        rc = err_set(err, TN_E_NOTFOUND, "there is no task %.*s", (int)id.n, id.s);
    }
    if (rc == TN_OK) { /* "[{...}]" without its brackets and the last brace */
        buf_add(ret, rows.data + 1, rows.len - 3);
        rc = add_attempts(j, id, ret, err);
        buf_addc(ret, '}');
        rc = rc ? rc
             : ret->failed || rows.failed
                 ? err_set(err, TN_E_LIMIT, "the task is too large to be shown")
                 : TN_OK;
    }
    buf_finish(&rows);
    buf_finish(&value);
    return rc;
}

/* The entity's filters decide; the list engine turns them into SQL. */
struct seqs {
    int64_t *to;
    uint32_t n, cap;
};

tn_rc jobs_find_dead(struct jobs *j, const tn_filter *f, uint32_t nf, int64_t after, int64_t *ret,
                     uint32_t cap, uint32_t *ret_n, tn_err *err)
{
    enum { FILTERS = 18 };
    static const char *const sort[] = {"seq", NULL};
    static const char *const omit[] = {
        "id",        "rootId",      "scriptId",  "funcId",    "origin",        "originId",
        "queue",     "priority",    "state",     "attempt",   "maxAttempts",   "triggerTimeMs",
        "dueTimeMs", "startTimeMs", "endTimeMs", "costMs",    "peakBytes",     "timeoutMs",
        "expiresMs", "schedule",    "progress",  "exception", "exceptionType", "label"};
    tn_filter all[FILTERS];
    char seq[32];
    struct buf rows = BUF_INIT(0);
    if (nf > FILTERS - 2) {
        return err_set(err, TN_E_INVAL, "%u filters (at most %d)", nf, FILTERS - 2);
    }
    memcpy(all, f, nf * sizeof *f);
    struct buf number = BUF_INIT(32);
    buf_addi(&number, after);
    memcpy(seq, number.data, number.len);
    all[nf] = (tn_filter){.column = "seq", .op = TN_OP_GT, .value = {seq, number.len}};
    all[nf + 1] = (tn_filter){.column = "state", .op = TN_OP_EQ, .value = TN_STR("\"dead\"")};
    buf_finish(&number);
    const tn_list list = {.size = sizeof list,
                          .filters = all,
                          .nfilters = nf + 2,
                          .sort = sort,
                          .nsort = 1,
                          .omit = omit,
                          .nomit = sizeof omit / sizeof omit[0],
                          .limit = cap};
    tn_rc rc = store_list(j->store, NULL, "task", &list, &rows, NULL, err);
    *ret_n = 0;
    for (const char *p = rows.data;
         rc == TN_OK && p && (p = strstr(p, "\"seq\":")) && *ret_n < cap;) {
        ret[(*ret_n)++] = strtoll(p += 6, NULL, 10);
    }
    buf_finish(&rows);
    return rc;
}

/* ---- schedules ------------------------------------------------------------------------------- */

struct cursor {
    int found;
    int64_t us;
};

static tn_rc cursor_row(void *user, const tn_val *cells)
{
    *(struct cursor *)user = (struct cursor){1, cell_int(&cells[0])};
    return TN_OK;
}

tn_rc jobs_cursor(struct jobs *j, tn_str schedule, int64_t *ret_us, tn_err *err)
{
    struct cursor c = {0, 0};
    struct binds b = {.n = 0};
    bind_str(&b, schedule);
    tn_rc rc = rows_read(j->side, "SELECT cursorUs FROM tn_cursor WHERE schedule = ?", &b,
                         cursor_row, &c, err);
    if (rc == TN_OK && !c.found) {
        rc = err_set(err, TN_E_NOTFOUND, "schedule %.*s has no occurrence on record",
                     (int)(schedule.n < 64 ? schedule.n : 64), schedule.s);
    }
    if (rc == TN_OK) {
        *ret_us = c.us;
    }
    return rc;
}

struct each_cursor {
    tn_rc (*each)(void *user, tn_str schedule, int64_t cursor_us);
    void *user;
};

static tn_rc cursors_row(void *user, const tn_val *cells)
{
    const struct each_cursor *e = user;
    return e->each(e->user, cell_str(&cells[0]), cell_int(&cells[1]));
}

tn_rc jobs_cursors(struct jobs *j, tn_rc (*each)(void *user, tn_str schedule, int64_t cursor_us),
                   void *user, tn_err *err)
{
    struct each_cursor e = {each, user};
    return rows_read(j->side, "SELECT schedule, cursorUs FROM tn_cursor", NULL, cursors_row, &e,
                     err);
}

static tn_rc put_run(struct side_txn *t, void *user, tn_err *err)
{
    const struct binds *b = user;
    return side_exec(t,
                     "INSERT INTO tn_cursor (schedule, cursorUs) VALUES (?1, ?2) ON CONFLICT "
                     "(schedule) DO UPDATE SET cursorUs = max(cursorUs, ?2)",
                     b->v, b->n, NULL, err);
}

tn_rc jobs_cursor_put(struct jobs *j, tn_str schedule, int64_t cursor_us, tn_err *err)
{
    struct binds b = {.n = 0};
    bind_str(&b, schedule);
    bind_int(&b, cursor_us);
    return side_run(j->side, put_run, &b, err);
}

struct many_cursors {
    const tn_str *ids;
    const int64_t *us;
    uint32_t n;
};

static tn_rc put_many_run(struct side_txn *t, void *user, tn_err *err)
{
    const struct many_cursors *m = user;
    tn_rc rc = TN_OK;
    for (uint32_t i = 0; i < m->n && rc == TN_OK; i++) {
        struct binds b = {.n = 0};
        bind_str(&b, m->ids[i]);
        bind_int(&b, m->us[i]);
        rc = put_run(t, &b, err);
    }
    return rc;
}

tn_rc jobs_cursors_put(struct jobs *j, const tn_str *schedules, const int64_t *cursors_us,
                       uint32_t n, tn_err *err)
{
    struct many_cursors m = {schedules, cursors_us, n};
    return side_run(j->side, put_many_run, &m, err);
}

static tn_rc drop_run(struct side_txn *t, void *user, tn_err *err)
{
    const struct binds *b = user;
    tn_rc rc = side_exec(t, "DELETE FROM tn_cursor WHERE schedule = ?", b->v, b->n, NULL, err);
    return rc ? rc
              : side_exec(t, "DELETE FROM tn_occurrence WHERE schedule = ?", b->v, b->n, NULL, err);
}

tn_rc jobs_cursor_drop(struct jobs *j, tn_str schedule, tn_err *err)
{
    struct binds b = {.n = 0};
    bind_str(&b, schedule);
    return side_run(j->side, drop_run, &b, err);
}

/* occurrenceUs, delayS, outcome, reason, taskId, taskState */
static tn_rc history_row(void *user, const tn_val *cells)
{
    static const char *const outcomes[] = {"ran", "skipped", "late", "missed"};
    struct buf *out = user;
    int64_t outcome = cell_int(&cells[2]);
    buf_printf(out, "%s{\"occurrenceTimeMs\":%lld,\"delay\":%lld,\"outcome\":\"%s\"",
               out->data[out->len - 1] == '[' ? "" : ",", (long long)(cell_int(&cells[0]) / 1000),
               (long long)cell_int(&cells[1]),
               outcome >= 0 && outcome <= TN_OCCUR_MISSED ? outcomes[outcome] : "unknown");
    add_member(out, "reason", &cells[3]);
    add_member(out, "taskId", &cells[4]);
    add_member(out, "taskState", &cells[5]);
    buf_addc(out, '}');
    return TN_OK;
}

tn_rc jobs_history(struct jobs *j, tn_str schedule, int64_t limit, int64_t offset, struct buf *ret,
                   tn_err *err)
{
    struct binds b = {.n = 0};
    bind_str(&b, schedule);
    bind_int(&b, limit < 0 || limit > 1000 ? 1000 : limit);
    bind_int(&b, offset < 0 ? 0 : offset);
    buf_addc(ret, '[');
    tn_rc rc = rows_read(
        j->side,
        "SELECT o.occurrenceUs, o.delayS, o.outcome, o.reason, o.taskId, t.state FROM "
        "tn_occurrence o LEFT JOIN tn_task t ON t.id = o.taskId WHERE o.schedule = ? "
        "ORDER BY o.occurrenceUs DESC, o.delayS DESC LIMIT ? OFFSET ?",
        &b, history_row, ret, err);
    buf_addc(ret, ']');
    return rc;
}
