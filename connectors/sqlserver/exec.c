/* SPDX-License-Identifier: Apache-2.0 */
/* Statements in the thread of a connection: sent, their results read in arrays, counts added up. */
#include "sqlserver.h"

#include <stdlib.h>
#include <string.h>

/* The driver's own limit is longer than the caller's: it ends what a caller has left behind. */
#define EXTRA_SECONDS 2

static tn_rc failed(struct ss_conn *c, tn_err *err)
{
    return ss_error(c, SQL_HANDLE_STMT, c->stmt, err);
}

void ss_stmt_done(struct ss_conn *c)
{
    SQLFreeStmt(c->stmt, SQL_CLOSE);
    SQLFreeStmt(c->stmt, SQL_UNBIND);
    SQLFreeStmt(c->stmt, SQL_RESET_PARAMS);
    ss_rows_free(c->stream);
    c->stream = NULL;
}

/* An error may have cost the whole transaction: a deadlock does, and any error under XACT_ABORT. FreeTDS goes on without
 * one then, and would keep each later statement at once. */
static bool transaction_left(struct ss_conn *c)
{
    int32_t count = 1;
    SQLLEN n = 0;
    if (SQL_SUCCEEDED(SQLExecDirect(c->stmt, (SQLCHAR *)"SELECT @@TRANCOUNT", SQL_NTS)) &&
        SQL_SUCCEEDED(SQLFetch(c->stmt))) {
        SQLGetData(c->stmt, 1, SQL_C_SLONG, &count, sizeof count, &n);
    }
    ss_stmt_done(c);
    return count != 0;
}

static tn_rc start(struct ss_conn *c, struct ss_job *job, tn_err *err)
{
    SQLULEN seconds = ss_seconds(job);
    ss_stmt_done(c);
    SQLSetStmtAttr(c->stmt, SQL_ATTR_QUERY_TIMEOUT,
                   (SQLPOINTER)(seconds != 0 ? seconds + EXTRA_SECONDS : 0), SQL_IS_UINTEGER);
    for (uint32_t i = 0; i < job->nparams; i++) {
        struct ss_param *p = &job->params[i];
        void *at = p->big != NULL ? p->big : (void *)&p->u;
        SQLRETURN rc = SQLBindParameter(c->stmt, (SQLUSMALLINT)(i + 1), SQL_PARAM_INPUT, p->ctype,
                                        p->type, p->size, p->scale, at, p->len, &p->len);
        if (!SQL_SUCCEEDED(rc)) {
            return failed(c, err);
        }
    }
    SQLRETURN rc = SQLExecDirect(c->stmt, (SQLCHAR *)job->sql, SQL_NTS);
    return SQL_SUCCEEDED(rc) || rc == SQL_NO_DATA ? TN_OK : failed(c, err);
}

/* Up to max rows, an array at a time. A whole result is bounded by max_result; of a stream that ends a piece early, and only a
 * single row can be too large. */
static tn_rc fetch(struct ss_conn *c, struct ss_rows *from, struct ss_rows *to, uint64_t max,
                   bool *ret_end, tn_err *err)
{
    SQLULEN got = 0;
    tn_rc rc = TN_OK;
    *ret_end = false;
    SQLSetStmtAttr(c->stmt, SQL_ATTR_ROWS_FETCHED_PTR, &got, 0);
    while (rc == TN_OK && (uint64_t)to->n < max &&
           (max == UINT64_MAX || to->bytes <= c->max_result / 2)) {
        SQLRETURN r = SQLFetch(c->stmt);
        if (r == SQL_NO_DATA) {
            *ret_end = true;
            break;
        }
        if (!SQL_SUCCEEDED(r)) {
            rc = failed(c, err);
            break;
        }
        for (SQLULEN i = 0; rc == TN_OK && i < got; i++) {
            rc = ss_rows_add(c, from, to, (uint32_t)i, err);
        }
    }
    SQLSetStmtAttr(c->stmt, SQL_ATTR_ROWS_FETCHED_PTR, NULL, 0);
    return rc;
}

/* The columns of a batch, without its arrays: what the caller reads later. */
static struct ss_rows *like(const struct ss_rows *from)
{
    struct ss_rows *rows = calloc(1, sizeof *rows);
    if (rows == NULL ||
        (rows->cols = calloc((size_t)from->ncols + 1, sizeof *rows->cols)) == NULL) {
        free(rows);
        return NULL;
    }
    for (uint32_t i = 0; i < from->ncols; i++) {
        rows->cols[i].kind = from->cols[i].kind;
        rows->cols[i].name_len = from->cols[i].name_len;
        rows->cols[i].name = strdup(from->cols[i].name);
        rows->ncols = i + 1;
        if (rows->cols[i].name == NULL) {
            ss_rows_free(rows);
            return NULL;
        }
    }
    return rows;
}

static tn_rc read_result(struct ss_conn *c, struct ss_rows **into, tn_err *err)
{
    struct ss_rows *rows = calloc(1, sizeof *rows);
    bool end;
    if (rows == NULL) {
        return ss_host->fail(err, TN_E_NOMEM, "no memory for the result");
    }
    *into = rows;
    tn_rc rc = ss_rows_describe(c, rows, &c->array, err);
    rc = rc == TN_OK ? fetch(c, rows, rows, UINT64_MAX, &end, err) : rc;
    SQLFreeStmt(c->stmt, SQL_UNBIND);
    SQLSetStmtAttr(c->stmt, SQL_ATTR_ROW_ARRAY_SIZE, (SQLPOINTER)1, SQL_IS_UINTEGER);
    return rc;
}

tn_rc ss_exec(void *conn, struct hand_job *base, tn_err *err)
{
    struct ss_conn *c = conn;
    struct ss_job *job = (struct ss_job *)base;
    struct ss_rows **into = &job->rows;
    tn_rc rc = start(c, job, err);
    while (rc == TN_OK) {
        SQLSMALLINT n = 0;
        SQLLEN changed = 0;
        SQLNumResultCols(c->stmt, &n);
        if (n == 0) {
            SQLRowCount(c->stmt, &changed);
            job->affected += changed > 0 ? changed : 0;
        } else if (!job->drop && (job->all || job->rows == NULL)) {
            rc = read_result(c, into, err);
            into = *into != NULL ? &(*into)->next : into;
        }
        if (rc != TN_OK) {
            break;
        }
        SQLRETURN more = SQLMoreResults(c->stmt);
        if (more == SQL_NO_DATA) {
            break;
        }
        rc = SQL_SUCCEEDED(more) ? TN_OK : failed(c, err);
    }
    if (rc == TN_E_LIMIT || rc == TN_E_NOMEM) {
        err->flags |= TN_ERR_CONN_BROKEN; /* the rest of the rows is not read */
    }
    ss_stmt_done(c);
    if (rc != TN_OK && c->transaction && (err->flags & TN_ERR_CONN_BROKEN) == 0) {
        c->lost = !transaction_left(c);
    }
    return rc;
}

tn_rc ss_stream_start(void *conn, struct hand_job *base, tn_err *err)
{
    struct ss_conn *c = conn;
    struct ss_job *job = (struct ss_job *)base;
    SQLSMALLINT n = 0;
    tn_rc rc = start(c, job, err);
    while (rc == TN_OK) {
        SQLNumResultCols(c->stmt, &n);
        SQLRETURN more = n == 0 ? SQLMoreResults(c->stmt) : SQL_NO_DATA;
        if (more == SQL_NO_DATA) {
            break;
        }
        rc = SQL_SUCCEEDED(more) ? TN_OK : failed(c, err);
    }
    if (rc == TN_OK && n != 0) {
        c->stream = calloc(1, sizeof *c->stream);
        rc = c->stream != NULL ? ss_rows_describe(c, c->stream, &c->array, err)
                               : ss_host->fail(err, TN_E_NOMEM, "no memory for the result");
    }
    if (rc != TN_OK) {
        ss_stmt_done(c);
    }
    return rc;
}

tn_rc ss_stream_next(void *conn, struct hand_job *base, tn_err *err)
{
    struct ss_conn *c = conn;
    struct ss_job *job = (struct ss_job *)base;
    tn_rc rc = TN_OK;
    if (c->stream == NULL) { /* a statement without a result */
        job->end = true;
        return TN_OK;
    }
    job->rows = like(c->stream);
    if (job->rows == NULL) {
        return ss_host->fail(err, TN_E_NOMEM, "no memory for the result");
    }
    rc = fetch(c, c->stream, job->rows, job->max, &job->end, err);
    while (rc == TN_OK && job->end) { /* what comes behind: perhaps an error */
        SQLRETURN more = SQLMoreResults(c->stmt);
        if (more == SQL_NO_DATA) {
            break;
        }
        rc = SQL_SUCCEEDED(more) ? TN_OK : failed(c, err);
    }
    if (rc != TN_OK || job->end) {
        ss_stmt_done(c);
    }
    return rc;
}
