/* SPDX-License-Identifier: Apache-2.0 */
/* Opening, closing, stopping, transactions, and what a call leaves behind. */
#include "sqlserver.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct ss_job *job_new(tn_rc (*work)(struct ss_conn *, struct ss_job *, tn_err *))
{
    struct ss_job *job = calloc(1, sizeof *job);
    if (job != NULL) {
        job->work = work;
    }
    return job;
}

/* ---- opening ----------------------------------------------------------------------------------------- */

static tn_rc no_handle(tn_err *err)
{
    return ss_host->fail(err, TN_E_NOMEM, "the driver manager has no memory for a connection");
}

static tn_rc work_open(struct ss_conn *c, struct ss_job *job, tn_err *err)
{
    SQLCHAR out[1024];
    SQLSMALLINT n = 0;
    if (SQLAllocHandle(SQL_HANDLE_ENV, SQL_NULL_HANDLE, &c->env) != SQL_SUCCESS) {
        return no_handle(err);
    }
    SQLSetEnvAttr(c->env, SQL_ATTR_ODBC_VERSION, (SQLPOINTER)SQL_OV_ODBC3, 0);
    if (SQLAllocHandle(SQL_HANDLE_DBC, c->env, &c->dbc) != SQL_SUCCESS) {
        return no_handle(err);
    }
    SQLSetConnectAttr(c->dbc, SQL_ATTR_LOGIN_TIMEOUT,
                      (SQLPOINTER)(job->seconds != 0 ? job->seconds : 30), SQL_IS_UINTEGER);
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

tn_rc ss_open(void *inst, uint64_t deadline_ns, void **ret_conn, tn_err *err)
{
    struct ss *s = inst;
    struct net_addrs addrs = {.n = 0};
    struct ss_conn *c = NULL;
    if (deadline_ns != 0 && ss_host->now_ns() >= deadline_ns) {
        return ss_host->fail(err, TN_E_TIMEOUT, "the deadline had passed before the start");
    }
    tn_rc rc = net_resolve(ss_host, s->conf->host, (uint16_t)s->conf->port, deadline_ns, &addrs,
                           err);
    if (rc != TN_OK) {
        return rc;
    }
    struct ss_job *job = job_new(work_open);
    if (job == NULL) {
        return no_handle(err);
    }
    rc = ss_connection_string(s, &job->sql, &job->sql_len, err);
    rc = rc == TN_OK ? ss_conn_create(s, &c, err) : rc;
    if (rc != TN_OK) {
        ss_job_free(job);
        return rc;
    }
    rc = ss_do(c, job, deadline_ns, &job, err);
    ss_job_free(job);
    if (rc != TN_OK && rc != TN_E_TIMEOUT && rc != TN_E_CANCELED) {
        rc = ss_refused(s->conf, deadline_ns, rc, err);
    }
    if (rc != TN_OK) {
        ss_conn_release(c);
        return rc;
    }
    *ret_conn = c;
    return TN_OK;
}

void ss_close(void *inst, void *conn, uint32_t why)
{
    (void)inst, (void)why;
    ss_conn_release(conn);
}

void ss_cancel(void *inst, void *conn)
{
    struct ss_conn *c = conn;
    (void)inst;
    if (atomic_load(&c->working) && c->stmt != NULL) {
        atomic_store(&c->canceled, true);
        SQLCancel(c->stmt);
    }
}

/* ---- transactions ------------------------------------------------------------------------------------ */

static tn_rc set_autocommit(struct ss_conn *c, bool on, tn_err *err)
{
    SQLRETURN rc = SQLSetConnectAttr(c->dbc, SQL_ATTR_AUTOCOMMIT,
                                     (SQLPOINTER)(on ? SQL_AUTOCOMMIT_ON : SQL_AUTOCOMMIT_OFF),
                                     SQL_IS_UINTEGER);
    return SQL_SUCCEEDED(rc) ? TN_OK : ss_error(c, SQL_HANDLE_DBC, c->dbc, err);
}

static tn_rc work_begin(struct ss_conn *c, struct ss_job *job, tn_err *err)
{
    (void)job;
    return set_autocommit(c, false, err);
}

static tn_rc end(struct ss_conn *c, SQLSMALLINT how, tn_err *err)
{
    SQLRETURN rc = SQLEndTran(SQL_HANDLE_DBC, c->dbc, how);
    tn_rc first = SQL_SUCCEEDED(rc) ? TN_OK : ss_error(c, SQL_HANDLE_DBC, c->dbc, err);
    tn_rc then = set_autocommit(c, true, first == TN_OK ? err : NULL);
    return first == TN_OK ? then : first;
}

static tn_rc work_commit(struct ss_conn *c, struct ss_job *job, tn_err *err)
{
    (void)job;
    return end(c, SQL_COMMIT, err);
}

static tn_rc work_rollback(struct ss_conn *c, struct ss_job *job, tn_err *err)
{
    (void)job;
    return end(c, SQL_ROLLBACK, err);
}

tn_rc ss_transact(struct ss_conn *c, uint32_t method, uint64_t deadline_ns, tn_err *err)
{
    struct ss_job *job = job_new(method == SS_BEGIN    ? work_begin
                                 : method == SS_COMMIT ? work_commit
                                                       : work_rollback);
    if (job == NULL) {
        return no_handle(err);
    }
    tn_rc rc = ss_do(c, job, deadline_ns, &job, err);
    ss_job_free(job);
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
    if (c->streaming || c->broken || c->dirty || atomic_load(&c->canceled)) {
        return ss_host->fail(err, TN_E_UNAVAIL, "%s",
                             c->dirty
                                 ? "its statements may have changed the session"
                                 : "a stream was not read to its end, or a statement was stopped");
    }
    return c->transaction ? ss_transact(c, SS_ROLLBACK, ss_host->now_ns() + 2000000000ull, err)
                          : TN_OK;
}
