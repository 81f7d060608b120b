/* SPDX-License-Identifier: Apache-2.0 */
/* Rows of tn_task: the table that ties struct job to its columns, and what runs statements with it. */
#include "kernel/base/err.h"
#include "kernel/base/map.h"
#include "kernel/base/str.h"
#include "kernel/store/jobs_int.h"

#include <stdio.h>
#include <string.h>

const char *const job_states[TN_TASK_STATES] = {"queued",   "running", "retrying", "succeeded",
                                                "failed",   "timeout", "expired",  "skipped",
                                                "canceled", "dead"};

int job_state_of(tn_str name)
{
    for (int i = 0; i < TN_TASK_STATES; i++) {
        if (str_is(name, job_states[i])) {
            return i;
        }
    }
    return -1;
}

/* ---- struct job and its columns -------------------------------------------------------------- */

/* Column and member; seq comes first, because it is not inserted. */
#define JOB_TABLE(INT, STR)                                                                        \
    INT(seq, seq)                                                                                  \
    INT(wait, wait)                                                                                \
    INT(queue, queue)                                                                              \
    INT(rank, rank)                                                                                \
    INT(epoch, epoch)                                                                              \
    INT(priority, priority)                                                                        \
    INT(attempt, attempt)                                                                          \
    INT(maxAttempts, max_attempts)                                                                 \
    INT(crashes, crashes)                                                                          \
    INT(interrupts, interrupts)                                                                    \
    INT(triggerTimeMs, trigger_ms)                                                                 \
    INT(dueTimeMs, due_ms)                                                                         \
    INT(expireTimeMs, expire_ms)                                                                   \
    INT(startTimeMs, start_ms)                                                                     \
    INT(timeoutMs, timeout_ms)                                                                     \
    INT(expiresMs, expires_ms)                                                                     \
    INT(flags, flags)                                                                              \
    INT(backoffMs, backoff_ms)                                                                     \
    INT(backoffMaxMs, backoff_max_ms)                                                              \
    INT(jitterPct, jitter_pct)                                                                     \
    INT(overlap, overlap)                                                                          \
    INT(keepS, keep_s)                                                                             \
    INT(occurrenceUs, occurrence_us)                                                               \
    INT(delayS, delay_s)                                                                           \
    STR(id, id)                                                                                    \
    STR(state, state)                                                                              \
    STR(rootId, root_id)                                                                           \
    STR(scriptId, script)                                                                          \
    STR(funcId, func_id)                                                                           \
    STR(origin, origin)                                                                            \
    STR(originId, origin_id)                                                                       \
    STR(retryOn, retry_on)                                                                         \
    STR(overlapKey, overlap_key)                                                                   \
    STR(schedule, schedule)                                                                        \
    STR(label, label)                                                                              \
    STR(args, args)                                                                                \
    STR(http, http)                                                                                \
    STR(vars, vars)

enum { INT, STR };
#define AS_INT(name, member) {INT, offsetof(struct job, member)},
#define AS_STR(name, member) {STR, offsetof(struct job, member)},
static const struct job_column {
    int type;
    size_t at;
} columns[] = {JOB_TABLE(AS_INT, AS_STR)};
#define COLUMNS (sizeof columns / sizeof columns[0])

#define AS_NAME(name, member) ", " #name
static const char column_list[] = JOB_TABLE(AS_NAME, AS_NAME); /* begins with ", seq, " */
#define AS_MARK(name, member) ",?"
static const char marks[] = JOB_TABLE(AS_MARK, AS_MARK);

const char *job_columns(void)
{
    return column_list + 2;
}

void job_init(struct job *j)
{
    memset(j, 0, sizeof *j);
    arena_init(&j->mem, 1024);
}

void job_finish(struct job *j)
{
    arena_finish(&j->mem);
}

tn_str job_func(const struct job *j)
{
    size_t n = j->script.n + 1;
    return j->func_id.n > n ? (tn_str){j->func_id.s + n, j->func_id.n - n} : (tn_str){"", 0};
}

void job_key_of(const struct job *j, struct job_key *ret)
{
    *ret = (struct job_key){.seq = j->seq,
                            .epoch = j->epoch,
                            .rank = j->rank,
                            .due_ms = j->due_ms,
                            .expire_ms = j->expire_ms,
                            .overlap = (uint32_t)j->overlap};
    ret->overlap_hash = j->overlap_key.n ? map_hash(j->overlap_key.s, j->overlap_key.n) | 1 : 0;
}

tn_rc job_read(void *job, const tn_val *cells)
{
    struct job *j = job;
    for (size_t i = 0; i < COLUMNS; i++) {
        char *at = (char *)j + columns[i].at;
        if (columns[i].type == INT) {
            int64_t v = cell_int(&cells[i]);
            memcpy(at, &v, sizeof v);
        } else {
            tn_str s = cell_str(&cells[i]), copy = {NULL, 0};
            if (s.s) {
                copy = (tn_str){arena_dup(&j->mem, s), s.n};
                if (!copy.s) {
                    return TN_E_NOMEM;
                }
            }
            memcpy(at, &copy, sizeof copy);
        }
    }
    return TN_OK;
}

static tn_rc seq_row(void *user, const tn_val *cells)
{
    ((struct job *)user)->seq = cell_int(&cells[0]);
    return TN_OK;
}

tn_rc job_insert(struct side_txn *t, struct job *j, int64_t now_us, tn_err *err)
{
    static const char head[] = "INSERT INTO tn_task (createTime, updateTime";
    char sql[sizeof head + sizeof column_list + sizeof marks + 32];
    struct binds b = {.n = 0};
    snprintf(sql, sizeof sql, "%s%s) VALUES (?,?%s) RETURNING seq", head, column_list + 5,
             marks + 2);
    bind_int(&b, now_us);
    bind_int(&b, now_us);
    for (size_t i = 1; i < COLUMNS; i++) {
        const char *at = (const char *)j + columns[i].at;
        if (columns[i].type == INT) {
            int64_t v;
            memcpy(&v, at, sizeof v);
            if (v == 0 && columns[i].at == offsetof(struct job, start_ms)) {
                bind_text(&b, NULL); /* has not started */
            } else {
                bind_int(&b, v);
            }
        } else {
            tn_str s;
            memcpy(&s, at, sizeof s);
            bind_str(&b, s);
        }
    }
    return rows_write(t, sql, &b, seq_row, j, err);
}

/* ---- statements ------------------------------------------------------------------------------ */

void bind_int(struct binds *b, int64_t i)
{
    b->v[b->n++] = (tn_val){.type = TN_T_INT, .u.i = i};
}

void bind_str(struct binds *b, tn_str s)
{
    tn_val v = {.type = TN_T_NULL};
    if (s.s) {
        v = (tn_val){.type = TN_T_STR, .n = (uint32_t)s.n, .u.s = s.s};
    }
    b->v[b->n++] = v;
}

struct row_sink {
    tn_sink sink;
    row_fn each;
    void *user;
};

static tn_rc on_begin(tn_sink *sink, const tn_col *cols, uint32_t ncols, int64_t hint)
{
    (void)sink;
    (void)cols;
    (void)ncols;
    (void)hint;
    return TN_OK;
}

static tn_rc on_row(tn_sink *sink, const tn_val *cells)
{
    struct row_sink *s = container_of(sink, struct row_sink, sink);
    return s->each(s->user, cells);
}

static tn_rc on_end(tn_sink *sink, int64_t affected)
{
    (void)sink;
    (void)affected;
    return TN_OK;
}

static const tn_sink_ops row_ops = {
    .size = sizeof row_ops, .table_begin = on_begin, .row = on_row, .table_end = on_end};

static tn_rc explain(tn_rc rc, tn_err *err)
{
    return rc == TN_E_NOMEM ? err_set(err, rc, "no memory for a task") : rc;
}

tn_rc rows_write(struct side_txn *t, const char *sql, const struct binds *b, row_fn each,
                 void *user, tn_err *err)
{
    struct row_sink s = {{&row_ops, NULL}, each, user};
    return explain(side_query(t, sql, b ? b->v : NULL, b ? b->n : 0, &s.sink, err), err);
}

tn_rc rows_read(struct side *d, const char *sql, const struct binds *b, row_fn each, void *user,
                tn_err *err)
{
    struct row_sink s = {{&row_ops, NULL}, each, user};
    return explain(side_read(d, sql, b ? b->v : NULL, b ? b->n : 0, &s.sink, err), err);
}

tn_rc key_row(void *user, const tn_val *cells)
{
    struct key_list *l = user;
    tn_str overlap = cell_str(&cells[6]);
    if (l->n < l->cap) {
        l->to[l->n++] = (struct job_key){
            .seq = cell_int(&cells[0]),
            .epoch = cell_int(&cells[1]),
            .rank = cell_int(&cells[2]),
            .due_ms = cell_int(&cells[3]),
            .expire_ms = cell_int(&cells[4]),
            .overlap = (uint32_t)cell_int(&cells[5]),
            .rsvd = (uint32_t)cell_int(&cells[7]) % JOB_QUEUES,
            .overlap_hash = overlap.n ? map_hash(overlap.s, overlap.n) | 1 : 0};
    }
    return TN_OK;
}
