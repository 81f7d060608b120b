/* SPDX-License-Identifier: Apache-2.0 */
/* Opening, closing, stopping, transactions, and what a call leaves behind. */
#include "sqlserver.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- jobs -------------------------------------------------------------------------------------------- */

void ss_job_free(struct hand_job *base)
{
    struct ss_job *job = (struct ss_job *)base;
    if (job == NULL) {
        return;
    }
    if (job->sql != NULL) {
        explicit_bzero(job->sql, job->sql_len);
    }
    for (uint32_t i = 0; i < job->nparams; i++) {
        free(job->params[i].big);
    }
    free(job->params);
    free(job->sql);
    ss_rows_free(job->rows);
    free(job);
}

struct ss_job *ss_job_new(tn_rc (*work)(void *, struct hand_job *, tn_err *), tn_err *err)
{
    struct ss_job *job = calloc(1, sizeof *job);
    if (job == NULL) {
        ss_host->fail(err, TN_E_NOMEM, "no memory for the statement");
        return NULL;
    }
    job->base.work = work;
    job->base.free = ss_job_free;
    return job;
}

SQLULEN ss_seconds(const struct ss_job *job)
{
    return job->base.left_ms < 0 ? 0 : ((SQLULEN)job->base.left_ms + 999) / 1000;
}

tn_rc ss_do(struct ss_conn *c, struct ss_job *job, uint64_t deadline_ns, tn_err *err)
{
    tn_err mine = TN_ERR_INIT;
    if (c->broken) {
        ss_job_free(&job->base);
        return ss_host->fail(err, TN_E_UNAVAIL, "the connection is broken");
    }
    tn_rc rc = hand_do(c->hand, &job->base, deadline_ns, c->stmt == NULL, &mine);
    if (rc != TN_OK) {
        c->broken = (mine.flags & TN_ERR_CONN_BROKEN) != 0;
        if (err != NULL) {
            *err = mine;
        }
    }
    return rc;
}

/* ---- opening ----------------------------------------------------------------------------------------- */

static tn_rc no_handle(tn_err *err)
{
    return ss_host->fail(err, TN_E_NOMEM, "the driver manager has no memory for a connection");
}

static tn_rc work_open(void *conn, struct hand_job *base, tn_err *err)
{
    struct ss_conn *c = conn;
    struct ss_job *job = (struct ss_job *)base;
    SQLULEN seconds = ss_seconds(job);
    SQLCHAR out[1024];
    SQLSMALLINT n = 0;
    if (SQLAllocHandle(SQL_HANDLE_ENV, SQL_NULL_HANDLE, &c->env) != SQL_SUCCESS) {
        return no_handle(err);
    }
    SQLSetEnvAttr(c->env, SQL_ATTR_ODBC_VERSION, (SQLPOINTER)SQL_OV_ODBC3, 0);
    if (SQLAllocHandle(SQL_HANDLE_DBC, c->env, &c->dbc) != SQL_SUCCESS) {
        return no_handle(err);
    }
    SQLSetConnectAttr(c->dbc, SQL_ATTR_LOGIN_TIMEOUT, (SQLPOINTER)(seconds != 0 ? seconds : 30),
                      SQL_IS_UINTEGER);
    SQLRETURN rc = SQLDriverConnect(c->dbc, NULL, (SQLCHAR *)job->sql, SQL_NTS, out, sizeof out, &n,
                                    SQL_DRIVER_NOPROMPT);
    explicit_bzero(out, sizeof out); /* the string again, with the password */
    explicit_bzero(job->sql, job->sql_len);
    if (!SQL_SUCCEEDED(rc)) {
        return ss_error(c, SQL_HANDLE_DBC, c->dbc, err);
    }
    c->open = true;
    if (SQLAllocHandle(SQL_HANDLE_STMT, c->dbc, &c->stmt) != SQL_SUCCESS) {
        return no_handle(err);
    }
    return TN_OK;
}

static void stop(void *conn)
{
    SQLCancel(
        ((struct ss_conn *)conn)->stmt); /* the one call that another thread may make meanwhile */
}

static void goodbye(void *conn)
{
    struct ss_conn *c = conn;
    if (c->stmt != NULL) {
        ss_stmt_done(c);
        SQLFreeHandle(SQL_HANDLE_STMT, c->stmt);
    }
    if (c->dbc != NULL) {
        if (c->open) {
            SQLDisconnect(c->dbc);
        }
        SQLFreeHandle(SQL_HANDLE_DBC, c->dbc);
    }
    if (c->env != NULL) {
        SQLFreeHandle(SQL_HANDLE_ENV, c->env);
    }
}

static const struct hand_ops hand_ops = {
    .stop = stop,
    .goodbye = goodbye,
    .free = free,
    .late = "the statement did not end in time and was canceled",
};

tn_rc ss_open(void *inst, uint64_t deadline_ns, void **ret_conn, tn_err *err)
{
    struct ss *s = inst;
    struct net_addrs addrs = {.n = 0};
    if (deadline_ns != 0 && ss_host->now_ns() >= deadline_ns) {
        return ss_host->fail(err, TN_E_TIMEOUT, "the deadline had passed before the start");
    }
    tn_rc rc = net_resolve(ss_host, s->conf->host, (uint16_t)s->conf->port, deadline_ns, &addrs,
                           err);
    if (rc != TN_OK) {
        return rc;
    }
    struct ss_conn *c = calloc(1, sizeof *c);
    struct ss_job *job = c != NULL ? ss_job_new(work_open, err) : NULL;
    if (job == NULL) {
        free(c);
        return no_handle(err);
    }
    c->max_result = (size_t)s->conf->max_result.n;
    rc = ss_connection_string(s, &job->sql, &job->sql_len, err);
    rc = rc == TN_OK ? hand_start(ss_host, &hand_ops, c, &c->hand, err) : rc;
    if (rc != TN_OK) {
        ss_job_free(&job->base);
        free(c);
        return rc;
    }
    rc = ss_do(c, job, deadline_ns, err);
    if (rc != TN_OK) {
        if (rc != TN_E_TIMEOUT && rc != TN_E_CANCELED) {
            rc = ss_refused(s->conf, deadline_ns, rc, err);
        }
        hand_end(c->hand);
        return rc;
    }
    ss_job_free(&job->base);
    *ret_conn = c;
    return TN_OK;
}

void ss_close(void *inst, void *conn, uint32_t why)
{
    (void)inst, (void)why;
    hand_end(((struct ss_conn *)conn)->hand);
}

void ss_cancel(void *inst, void *conn)
{
    (void)inst;
    hand_cancel(((struct ss_conn *)conn)->hand);
}

/* ---- transactions ------------------------------------------------------------------------------------ */

static tn_rc set_autocommit(struct ss_conn *c, bool on, tn_err *err)
{
    SQLRETURN rc = SQLSetConnectAttr(c->dbc, SQL_ATTR_AUTOCOMMIT,
                                     (SQLPOINTER)(on ? SQL_AUTOCOMMIT_ON : SQL_AUTOCOMMIT_OFF),
                                     SQL_IS_UINTEGER);
    return SQL_SUCCEEDED(rc) ? TN_OK : ss_error(c, SQL_HANDLE_DBC, c->dbc, err);
}

static tn_rc work_begin(void *conn, struct hand_job *job, tn_err *err)
{
    (void)job;
    return set_autocommit(conn, false, err);
}

static tn_rc end(struct ss_conn *c, SQLSMALLINT how, tn_err *err)
{
    SQLRETURN rc = SQLEndTran(SQL_HANDLE_DBC, c->dbc, how);
    tn_rc first = SQL_SUCCEEDED(rc) ? TN_OK : ss_error(c, SQL_HANDLE_DBC, c->dbc, err);
    tn_rc then = set_autocommit(c, true, first == TN_OK ? err : NULL);
    return first == TN_OK ? then : first;
}

static tn_rc work_commit(void *conn, struct hand_job *job, tn_err *err)
{
    (void)job;
    return end(conn, SQL_COMMIT, err);
}

static tn_rc work_rollback(void *conn, struct hand_job *job, tn_err *err)
{
    (void)job;
    return end(conn, SQL_ROLLBACK, err);
}

tn_rc ss_transact(struct ss_conn *c, uint32_t method, uint64_t deadline_ns, tn_err *err)
{
    struct ss_job *job = ss_job_new(method == SS_BEGIN    ? work_begin
                                    : method == SS_COMMIT ? work_commit
                                                          : work_rollback,
                                    err);
    if (job == NULL) {
        return TN_E_NOMEM;
    }
    tn_rc rc = ss_do(c, job, deadline_ns, err);
    if (rc == TN_OK) {
        ss_job_free(&job->base);
    }
    c->transaction = method == SS_BEGIN ? rc == TN_OK : c->transaction && rc != TN_OK;
    return rc;
}

/* ---- reset ------------------------------------------------------------------------------------------- */

/* A statement may have changed the session: settings, database, temporary tables, locks, a transaction of its own. The
 * server's own reset is a bit in a packet that FreeTDS never sets, so such a connection is closed. What only reads and
 * changes rows leaves nothing. */
tn_rc ss_reset(void *inst, void *conn, tn_err *err)
{
    struct ss_conn *c = conn;
    (void)inst;
    hand_begin(c->hand);
    c->dirty = c->dirty || c->lost;
    if (c->streaming || c->broken || c->dirty) {
        return ss_host->fail(err, TN_E_UNAVAIL, "%s",
                             c->dirty
                                 ? "its statements may have changed the session"
                                 : "a stream was not read to its end, or a statement was stopped");
    }
    return c->transaction ? ss_transact(c, SS_ROLLBACK, ss_host->now_ns() + 2000000000ull, err)
                          : TN_OK;
}
