/* SPDX-License-Identifier: Apache-2.0 */
/* Statements in the thread of a connection. */
#include "oracle.h"

#include <stdlib.h>
#include <string.h>

/* The client's own limit is longer than the caller's: it ends what a caller has left behind. */
#define EXTRA_MS 2000

dpiExecMode ora_mode(const struct ora_conn *c)
{
    return c->transaction ? DPI_MODE_EXEC_DEFAULT : DPI_MODE_EXEC_COMMIT_ON_SUCCESS;
}

void ora_query_close(struct ora_query *q)
{
    ora_rows_close(q);
    if (q->stmt != NULL) {
        dpiStmt_release(q->stmt);
        q->stmt = NULL;
    }
}

/* Statements that only read and change rows, begin or end a transaction, or make and drop things leave nothing in the session. */
static bool leaves_state(dpiStatementType type)
{
    switch (type) {
    case DPI_STMT_TYPE_SELECT:
    case DPI_STMT_TYPE_INSERT:
    case DPI_STMT_TYPE_UPDATE:
    case DPI_STMT_TYPE_DELETE:
    case DPI_STMT_TYPE_MERGE:
    case DPI_STMT_TYPE_CREATE:
    case DPI_STMT_TYPE_DROP:
    case DPI_STMT_TYPE_COMMIT:
    case DPI_STMT_TYPE_ROLLBACK:
    case DPI_STMT_TYPE_EXPLAIN_PLAN:
        return false;
    default:
        return true;
    }
}

/* The server shows these in v$session; they travel with the statement. */
static void tell_label(struct ora_conn *c, const char *label)
{
    if (strcmp(c->label, label) != 0) {
        uint32_t n = (uint32_t)strlen(label);
        dpiConn_setAction(c->dpi, label, n);
        dpiConn_setClientIdentifier(c->dpi, label, n);
        memcpy(c->label, label, n + 1);
    }
}

tn_rc ora_prepare(struct ora_conn *c, struct ora_job *job, dpiStmt **ret, dpiStmtInfo *ret_info,
                  tn_err *err)
{
    int left = job->base.left_ms;
    dpiStmt *stmt = NULL;
    dpiConn_setCallTimeout(
        c->dpi, left < 0 ? 0 : (uint32_t)left + EXTRA_MS); /* clients before 18 have none */
    tell_label(c, job->label);
    if (dpiConn_prepareStmt(c->dpi, 0, job->sql, (uint32_t)job->sql_len, NULL, 0, &stmt) !=
        DPI_SUCCESS) {
        return ora_error(err);
    }
    if (dpiStmt_getInfo(stmt, ret_info) != DPI_SUCCESS) {
        tn_rc rc = ora_error(err);
        dpiStmt_release(stmt);
        return rc;
    }
    c->dirty = c->dirty || leaves_state(ret_info->statementType);
    *ret = stmt;
    return TN_OK;
}

static tn_rc bind_all(struct ora_conn *c, struct ora_job *job, dpiStmt *stmt, tn_err *err)
{
    uint32_t n = job->in.n, wanted = n;
    if (job->own &&
        job->names ==
            NULL) { /* the statement has placeholders of its own; surplus values are ignored */
        if (dpiStmt_getBindCount(stmt, &wanted) != DPI_SUCCESS) {
            return ora_error(err);
        }
        n = wanted < n ? wanted : n;
    }
    for (uint32_t i = 0; i < n; i++) {
        dpiVar *var = NULL;
        tn_rc rc = ora_bind(c, &job->in, i, 0, 1, &var, err);
        if (rc != TN_OK) {
            return rc;
        }
        int bound = job->names != NULL ? dpiStmt_bindByName(stmt, job->names[i],
                                                            (uint32_t)strlen(job->names[i]), var)
                                       : dpiStmt_bindByPos(stmt, i + 1, var);
        rc = bound == DPI_SUCCESS ? TN_OK : ora_error(err);
        dpiVar_release(var);
        if (rc != TN_OK) {
            return rc;
        }
    }
    return TN_OK;
}

static tn_rc start(struct ora_conn *c, struct ora_job *job, dpiStmt *stmt, tn_err *err)
{
    tn_rc rc = bind_all(c, job, stmt, err);
    rc = rc == TN_OK ? ora_out_bind(c, job, stmt, err) : rc;
    if (rc != TN_OK) {
        return rc;
    }
    dpiStmt_setPrefetchRows(stmt, (uint32_t)c->conf.prefetch_rows);
    return dpiStmt_execute(stmt, ora_mode(c), NULL) == DPI_SUCCESS ? TN_OK : ora_error(err);
}

static tn_rc read_all(struct ora_conn *c, struct ora_job *job, dpiStmt *stmt, tn_err *err)
{
    struct ora_query q = {.stmt = NULL};
    bool end = false;
    tn_rc rc = ora_rows_open(c, stmt, &q, err);
    if (rc == TN_OK) {
        rc = ora_rows_fetch(c, &q, &job->rows, UINT64_MAX, &end, err);
        ora_rows_close(&q);
    }
    return rc;
}

static tn_rc count(struct ora_job *job, dpiStmt *stmt, tn_err *err)
{
    uint64_t n = 0;
    if (dpiStmt_getRowCount(stmt, &n) != DPI_SUCCESS) {
        return ora_error(err);
    }
    job->affected = (int64_t)n;
    return TN_OK;
}

tn_rc ora_exec(void *conn, struct hand_job *base, tn_err *err)
{
    struct ora_conn *c = conn;
    struct ora_job *job = (struct ora_job *)base;
    dpiStmt *stmt = NULL;
    dpiStmtInfo info;
    tn_rc rc = ora_prepare(c, job, &stmt, &info, err);
    if (rc != TN_OK) {
        return rc;
    }
    rc = job->many ? ora_many(c, job, stmt, err) : start(c, job, stmt, err);
    if (rc == TN_OK && job->nout != 0) {
        rc = ora_out_take(c, job, info.isReturning != 0, err);
    }
    if (rc == TN_OK && info.isQuery && job->method == ORA_QUERY) {
        rc = read_all(c, job, stmt, err);
    } else if (rc == TN_OK && info.isDML && !job->many) {
        rc = count(job, stmt, err);
    }
    ora_out_release(job);
    dpiStmt_release(stmt);
    if (rc != TN_OK && !info.isQuery && !c->transaction && !(err->flags & TN_ERR_CONN_BROKEN)) {
        dpiConn_rollback(c->dpi); /* what a block did before it failed */
    }
    return rc;
}

tn_rc ora_stream_start(void *conn, struct hand_job *base, tn_err *err)
{
    struct ora_conn *c = conn;
    struct ora_job *job = (struct ora_job *)base;
    dpiStmt *stmt = NULL;
    dpiStmtInfo info;
    tn_rc rc = ora_prepare(c, job, &stmt, &info, err);
    if (rc != TN_OK) {
        return rc;
    }
    rc = start(c, job, stmt, err);
    if (rc == TN_OK && info.isQuery) {
        rc = ora_rows_open(c, stmt, &c->stream, err);
    }
    if (rc != TN_OK || !info.isQuery) {
        dpiStmt_release(stmt);
    }
    return rc;
}

tn_rc ora_stream_next(void *conn, struct hand_job *base, tn_err *err)
{
    struct ora_conn *c = conn;
    struct ora_job *job = (struct ora_job *)base;
    if (c->stream.stmt == NULL) { /* a statement without a result */
        job->end = true;
        return TN_OK;
    }
    dpiConn_setCallTimeout(c->dpi, base->left_ms < 0 ? 0 : (uint32_t)base->left_ms + EXTRA_MS);
    tn_rc rc = ora_rows_fetch(c, &c->stream, &job->rows, job->max, &job->end, err);
    if (rc != TN_OK || job->end) {
        ora_query_close(&c->stream);
    }
    return rc;
}
