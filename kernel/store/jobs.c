/* SPDX-License-Identifier: Apache-2.0 */
/* jobs.db: its tables, opening it, and taking up what a former hub left. */
#include "kernel/store/jobs.h"
#include "kernel/base/clock.h"
#include "kernel/base/err.h"
#include "kernel/base/log.h"
#include "kernel/base/str.h"
#include "kernel/store/internal.h"
#include "kernel/store/jobs_int.h"

#include <stdlib.h>

#define INTERRUPTS_MAX 100 /* a task that was running so often when the hub ended is suspect */

/* Large texts come last: SQLite reads a row from its beginning. The partial indexes hold only rows that
 * wait, run or have ended, so a move touches two of them. */
static const char tables[] =
    "CREATE TABLE tn_task (seq INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL UNIQUE, "
    "wait INTEGER NOT NULL, queue INTEGER NOT NULL, rank INTEGER NOT NULL, epoch INTEGER NOT NULL, "
    "state TEXT NOT NULL, priority INTEGER NOT NULL, attempt INTEGER NOT NULL, "
    "maxAttempts INTEGER NOT NULL, crashes INTEGER NOT NULL, interrupts INTEGER NOT NULL, "
    "triggerTimeMs INTEGER NOT NULL, dueTimeMs INTEGER NOT NULL, expireTimeMs INTEGER NOT NULL, "
    "startTimeMs INTEGER, endTimeMs INTEGER, pruneTimeMs INTEGER, leaseUntilMs INTEGER, "
    "owner TEXT, timeoutMs INTEGER NOT NULL, expiresMs INTEGER NOT NULL, flags INTEGER NOT NULL, "
    "backoffMs INTEGER NOT NULL, backoffMaxMs INTEGER NOT NULL, jitterPct INTEGER NOT NULL, "
    "overlap INTEGER NOT NULL, keepS INTEGER NOT NULL, occurrenceUs INTEGER NOT NULL, "
    "delayS INTEGER NOT NULL, costMs INTEGER, peakBytes INTEGER, createTime INTEGER NOT NULL, "
    "updateTime INTEGER NOT NULL, rootId TEXT, scriptId TEXT, funcId TEXT, origin TEXT, "
    "originId TEXT, retryOn TEXT, overlapKey TEXT, schedule TEXT, label TEXT, progress TEXT, "
    "exceptionType TEXT, exception TEXT, responseControl TEXT, args TEXT, http TEXT, vars TEXT, "
    "traceback TEXT, result TEXT, logs TEXT);"
    "CREATE INDEX tn_task_ready ON tn_task (queue, rank) WHERE wait = 1;"
    "CREATE INDEX tn_task_later ON tn_task (queue, dueTimeMs) WHERE wait = 2;"
    "CREATE INDEX tn_task_expire ON tn_task (expireTimeMs) WHERE wait > 0 AND expireTimeMs > 0;"
    "CREATE INDEX tn_task_running ON tn_task (owner) WHERE state = 'running';"
    "CREATE INDEX tn_task_prune ON tn_task (pruneTimeMs) WHERE pruneTimeMs IS NOT NULL;"
    "CREATE INDEX tn_task_dead ON tn_task (seq) WHERE state = 'dead';"
    "CREATE TABLE tn_attempt (task INTEGER NOT NULL, epoch INTEGER NOT NULL, "
    "attempt INTEGER NOT NULL, startTimeMs INTEGER, endTimeMs INTEGER, state TEXT NOT NULL, "
    "exceptionType TEXT, exception TEXT, PRIMARY KEY (task, epoch)) WITHOUT ROWID;"
    "CREATE TABLE tn_cursor (schedule TEXT NOT NULL PRIMARY KEY, cursorUs INTEGER NOT NULL) "
    "WITHOUT ROWID;"
    "CREATE TABLE tn_occurrence (schedule TEXT NOT NULL, occurrenceUs INTEGER NOT NULL, "
    "delayS INTEGER NOT NULL, outcome INTEGER NOT NULL, reason TEXT, taskId TEXT, "
    "PRIMARY KEY (schedule, occurrenceUs, delayS)) WITHOUT ROWID;"
    "CREATE INDEX tn_occurrence_age ON tn_occurrence (occurrenceUs);"
    "CREATE TABLE tn_idempotency (scope TEXT NOT NULL, name TEXT NOT NULL, fingerprint TEXT, "
    "taskId TEXT NOT NULL, createTimeMs INTEGER NOT NULL, PRIMARY KEY (scope, name)) "
    "WITHOUT ROWID;"
    "CREATE INDEX tn_idempotency_age ON tn_idempotency (createTimeMs);";

/* Queues that are paused; -1: all of them. */
static const char paused_table[] = "CREATE TABLE tn_paused (queue INTEGER NOT NULL PRIMARY KEY);";

const tn_migration jobs_migrations[] = {
    {.seq = 1, .dialect = "sqlite", .title = "tasks, attempts, schedules, keys", .sql = tables},
    {.seq = 2, .dialect = "sqlite", .title = "paused queues", .sql = paused_table},
    {.seq = 0},
};

#define COL(n, t, ...)                                                                             \
    {                                                                                              \
        .name = n, .type = TN_COL_##t, __VA_ARGS__                                                 \
    }
static const tn_column task_columns[] = {
    COL("id", STR, .max_len = 64, .flags = TN_COL_NOT_NULL),
    COL("rootId", STR, .max_len = 64),
    COL("scriptId", STR, .max_len = 256),
    COL("funcId", STR, .max_len = 256),
    COL("origin", STR, .max_len = 64),
    COL("originId", STR, .max_len = 256),
    COL("queue", INT, .max_len = 0),
    COL("priority", INT, .max_len = 0),
    COL("state", STR, .max_len = 16),
    COL("attempt", INT, .max_len = 0),
    COL("maxAttempts", INT, .max_len = 0),
    COL("triggerTimeMs", INT, .max_len = 0),
    COL("dueTimeMs", INT, .max_len = 0),
    COL("startTimeMs", INT, .max_len = 0),
    COL("endTimeMs", INT, .max_len = 0),
    COL("costMs", INT, .max_len = 0),
    COL("peakBytes", INT, .max_len = 0),
    COL("timeoutMs", INT, .max_len = 0),
    COL("expiresMs", INT, .max_len = 0),
    COL("schedule", STR, .max_len = 256),
    COL("progress", JSON, .max_len = 0),
    COL("exceptionType", STR, .max_len = 256),
    COL("exception", TEXT, .max_len = 0),
    COL("label", JSON, .max_len = 0),
    COL("overlapKey", STR, .max_len = 256, .flags = TN_COL_HIDDEN),
    COL("args", JSON, .flags = TN_COL_HIDDEN),
    COL("result", JSON, .flags = TN_COL_HIDDEN),
    COL("responseControl", JSON, .flags = TN_COL_HIDDEN),
    COL("traceback", TEXT, .flags = TN_COL_HIDDEN),
    COL("logs", TEXT, .flags = TN_COL_HIDDEN),
    {.name = NULL},
};
const tn_entity jobs_entities[] = {
    {.name = "task",
     .alias = "task",
     .table = "tn_task",
     .id_prefix = "task-",
     .id_random = 24,
     .columns = task_columns,
     .order = "task.seq DESC"},
    {.name = NULL},
};

/* ---- what a former hub left ------------------------------------------------------------------ */

/* The data folder is locked, so whoever owned a running row has gone, whatever its lease says. The
 * attempt does not count: nothing says that the task was the reason. */
static const char *const takeover[] = {
    "INSERT OR REPLACE INTO tn_attempt SELECT seq, epoch, attempt, startTimeMs, ?1, 'interrupted', "
    "'Interrupted', 'the platform stopped while this attempt ran' FROM tn_task "
    "WHERE state = 'running' AND (flags & 1) = 0",
    "UPDATE tn_task SET state = 'queued', wait = 1, epoch = epoch + 1, attempt = attempt - 1, "
    "interrupts = interrupts + 1, owner = NULL, leaseUntilMs = NULL, expireTimeMs = 0, "
    "updateTime = ?1 * 1000 "
    "WHERE state = 'running' AND (flags & 1) = 0 AND interrupts < ?2",
};

static tn_rc recover_run(struct side_txn *t, void *user, tn_err *err)
{
    int64_t *ret = user;
    struct binds b = {.n = 0};
    bind_int(&b, clock_wall_us() / 1000);
    tn_rc rc = side_exec(t, takeover[0], b.v, b.n, NULL, err);
    bind_int(&b, INTERRUPTS_MAX);
    return rc ? rc : side_exec(t, takeover[1], b.v, b.n, ret, err);
}

/* ---- how much there is -------------------------------------------------------------------------- */

static tn_rc count_row(void *user, const tn_val *cells)
{
    struct jobs_counts *c = user;
    int64_t wait = cell_int(&cells[0]), queue = cell_int(&cells[1]);
    if (wait < 0) {
        c->occurrences = cell_int(&cells[2]);
    } else if (wait == JOB_WAIT_NOT) {
        c->ended = cell_int(&cells[2]);
    } else if (wait <= JOB_WAIT_LATER && queue >= 0 && queue < JOB_QUEUES) {
        c->waiting[queue][wait] = cell_int(&cells[2]);
    }
    return TN_OK;
}

static tn_rc count_all(struct jobs *j, struct jobs_counts *ret, tn_err *err)
{
    *ret = (struct jobs_counts){.ended = 0};
    return rows_read(
        j->side,
        "SELECT 1, queue, count(*) FROM tn_task WHERE wait = 1 GROUP BY queue UNION ALL "
        "SELECT 2, queue, count(*) FROM tn_task WHERE wait = 2 GROUP BY queue UNION ALL "
        "SELECT 0, 0, count(*) FROM tn_task WHERE pruneTimeMs IS NOT NULL UNION ALL "
        "SELECT -1, 0, count(*) FROM tn_occurrence",
        NULL, count_row, ret, err);
}

/* ---- paused queues --------------------------------------------------------------------------- */

struct pause {
    int queue, on;
};

static tn_rc pause_run(struct side_txn *t, void *user, tn_err *err)
{
    const struct pause *p = user;
    struct binds b = {.n = 0};
    bind_int(&b, p->queue);
    return side_exec(t,
                     p->on ? "INSERT OR REPLACE INTO tn_paused (queue) VALUES (?)"
                           : "DELETE FROM tn_paused WHERE queue = ?",
                     b.v, b.n, NULL, err);
}

tn_rc jobs_pause(struct jobs *j, int queue, int on, tn_err *err)
{
    struct pause p = {queue, on};
    return side_run(j->side, pause_run, &p, err);
}

static tn_rc paused_row(void *user, const tn_val *cells)
{
    uint32_t *bits = user;
    int64_t queue = cell_int(&cells[0]);
    if (queue >= -1 && queue < JOB_QUEUES) {
        *bits |= 1u << (queue + 1);
    }
    return TN_OK;
}

tn_rc jobs_paused(struct jobs *j, uint32_t *ret_bits, tn_err *err)
{
    *ret_bits = 0;
    return rows_read(j->side, "SELECT queue FROM tn_paused", NULL, paused_row, ret_bits, err);
}

/* ---- life ------------------------------------------------------------------------------------ */

tn_rc jobs_open(struct store *s, const struct jobs_conf *conf, struct jobs **ret,
                struct jobs_counts *ret_counts, tn_err *err)
{
    int64_t recovered = 0;
    struct jobs *j = calloc(1, sizeof *j);
    if (!j) {
        return err_set(err, TN_E_NOMEM, "no memory for the tasks");
    }
    j->store = s;
    j->conf = *conf;
    tn_rc rc = side_open(s, "jobs", 1, jobs_migrations, &j->side, err);
    rc = rc ? rc : entity_register(s, jobs_entities, err);
    rc = rc ? rc : side_run(j->side, recover_run, &recovered, err);
    rc = rc ? rc : count_all(j, ret_counts, err);
    if (rc) {
        jobs_close(j);
        return rc;
    }
    j->ended = ret_counts->ended;
    j->occurrences = ret_counts->occurrences;
    if (recovered > 0) {
        log_at(TN_LOG_NOTICE,
               "tasks: %lld were running when the platform ended and are queued again",
               (long long)recovered);
    }
    *ret = j;
    return TN_OK;
}

void jobs_close(struct jobs *j)
{
    if (j) {
        side_close(j->side);
        free(j);
    }
}

struct side *jobs_side(struct jobs *j)
{
    return j->side;
}
