/* SPDX-License-Identifier: Apache-2.0 */
/* Opening, closing, stopping, transactions, and what a call leaves behind. */
#include "oracle.h"

#include "common/net.h"

#include <stdlib.h>
#include <string.h>

#define GOODBYE_MS 1000

/* ---- jobs -------------------------------------------------------------------------------------------- */

void ora_job_free(struct hand_job *base)
{
    struct ora_job *job = (struct ora_job *)base;
    if (job == NULL) {
        return;
    }
    if (job->sql != NULL) {
        explicit_bzero(job->sql, job->sql_len);
    }
    for (uint32_t i = 0; i < job->nnames; i++) {
        free(job->names[i]);
    }
    free(job->names);
    ora_out_finish(job->out, job->nout);
    free(job->sql);
    free(job->connect);
    ora_values_finish(&job->in);
    cells_finish(&job->rows);
    free(job);
}

struct ora_job *ora_job_new(tn_rc (*work)(void *, struct hand_job *, tn_err *), tn_err *err)
{
    struct ora_job *job = calloc(1, sizeof *job);
    if (job == NULL) {
        ora_host->fail(err, TN_E_NOMEM, "no memory for the statement");
        return NULL;
    }
    job->base.work = work;
    job->base.free = ora_job_free;
    return job;
}

tn_rc ora_do(struct ora_conn *c, struct ora_job *job, uint64_t deadline_ns, tn_err *err)
{
    tn_err mine = TN_ERR_INIT;
    if (c->broken) {
        ora_job_free(&job->base);
        return ora_host->fail(err, TN_E_UNAVAIL, "the connection is broken");
    }
    tn_rc rc = hand_do(c->hand, &job->base, deadline_ns, !atomic_load(&c->open), &mine);
    if (rc != TN_OK) {
        c->broken = c->broken || (mine.flags & TN_ERR_CONN_BROKEN) != 0;
        if (err != NULL) {
            *err = mine;
        }
    }
    return rc;
}

/* ---- opening ----------------------------------------------------------------------------------------- */

static tn_rc work_open(void *conn, struct hand_job *base, tn_err *err)
{
    struct ora_conn *c = conn;
    const struct ora_conf *conf = &c->conf;
    struct ora_job *job = (struct ora_job *)base;
    dpiContext *context = NULL;
    dpiCommonCreateParams common;
    dpiConnCreateParams create;
    dpiErrorInfo info;
    tn_rc rc = ora_client(conf, &context, err);
    if (rc != TN_OK) {
        return rc;
    }
    if (dpiContext_initCommonCreateParams(context, &common) != DPI_SUCCESS ||
        dpiContext_initConnCreateParams(context, &create) != DPI_SUCCESS) {
        return ora_error(err);
    }
    const char *password = conf->password.s != NULL ? conf->password.s : "";
    common.createMode = DPI_MODE_CREATE_THREADED;
    common.encoding = common.nencoding = "UTF-8";
    common.stmtCacheSize = (uint32_t)conf->stmt_cache;
    create.externalAuth = conf->user[0] == '\0' && password[0] == '\0';
    if (dpiConn_create(context, conf->user, (uint32_t)strlen(conf->user), password,
                       (uint32_t)strlen(password), job->connect, (uint32_t)strlen(job->connect),
                       &common, &create, &c->dpi) != DPI_SUCCESS) {
        c->dpi = NULL;
        dpiContext_getError(context, &info);
        return ora_refused(conf, &info, err);
    }
    dpiConn_setModule(c->dpi, conf->application,
                      (uint32_t)strnlen(conf->application, ORA_LABEL_MAX));
    atomic_store(&c->open, true);
    return TN_OK;
}

static void stop(void *conn)
{
    struct ora_conn *c = conn;
    atomic_store(&c->stopped, true);
    if (atomic_load(&c->open)) {
        dpiConn_breakExecution(c->dpi); /* the one call that another thread may make meanwhile */
    }
}

static void goodbye(void *conn)
{
    struct ora_conn *c = conn;
    ora_query_close(&c->stream);
    if (c->dpi != NULL) {
        dpiConn_setCallTimeout(c->dpi, GOODBYE_MS); /* a server that hangs is not waited for */
        dpiConn_close(c->dpi, DPI_MODE_CONN_CLOSE_DEFAULT, NULL, 0);
        dpiConn_release(c->dpi);
    }
}

static void conn_free(void *conn)
{
    struct ora_conn *c = conn;
    if (c->texts != NULL) {
        explicit_bzero(c->texts, c->texts_len); /* the password is one of them */
    }
    free(c->texts);
    free(c);
}

static struct ora_conn *conn_new(const struct ora_conf *conf, tn_err *err)
{
    struct ora_conn *c = calloc(1, sizeof *c);
    const char **const texts[] = {&c->conf.host,        &c->conf.user,   &c->conf.database,
                                  &c->conf.sid,         &c->conf.dsn,    &c->conf.charset,
                                  &c->conf.application, &c->conf.tls,    &c->conf.wallet,
                                  &c->conf.server,      &c->conf.client, &c->conf.password.s};
    const size_t n = sizeof texts / sizeof *texts;
    if (c != NULL) {
        c->conf = *conf;
        for (size_t i = 0; i < n; i++) {
            c->texts_len += *texts[i] != NULL ? strlen(*texts[i]) + 1 : 0;
        }
        c->texts = malloc(c->texts_len + 1);
    }
    if (c == NULL || c->texts == NULL) {
        free(c);
        ora_host->fail(err, TN_E_NOMEM, "no memory for a connection");
        return NULL;
    }
    char *at = c->texts;
    for (size_t i = 0; i < n; i++) {
        if (*texts[i] != NULL) {
            size_t len = strlen(*texts[i]) + 1;
            *texts[i] = memcpy(at, *texts[i], len);
            at += len;
        }
    }
    return c;
}

static const struct hand_ops hand_ops = {
    .stop = stop,
    .goodbye = goodbye,
    .free = conn_free,
    .late = "it did not end in time and was stopped",
};

tn_rc ora_open(void *inst, uint64_t deadline_ns, void **ret_conn, tn_err *err)
{
    struct ora *o = inst;
    struct net_addrs addrs = {.n = 0};
    tn_rc rc = TN_OK;
    if (deadline_ns != 0 && ora_host->now_ns() >= deadline_ns) {
        return ora_host->fail(err, TN_E_TIMEOUT, "the deadline had passed before the start");
    }
    struct ora_job *job = ora_job_new(work_open, err);
    if (job == NULL) {
        return TN_E_NOMEM;
    }
    rc = ora_descriptor(o->conf, net_left_ms(ora_host, deadline_ns), &job->connect, err);
    if (rc == TN_OK && o->conf->dsn[0] == '\0') {
        rc = net_resolve(ora_host, o->conf->host, (uint16_t)o->conf->port, deadline_ns, &addrs,
                         err);
    }
    struct ora_conn *c = rc == TN_OK ? conn_new(o->conf, err) : NULL;
    if (c == NULL) {
        ora_job_free(&job->base);
        return rc != TN_OK ? rc : TN_E_NOMEM;
    }
    rc = hand_start(ora_host, &hand_ops, c, &c->hand, err);
    if (rc != TN_OK) {
        conn_free(c);
        ora_job_free(&job->base);
        return rc;
    }
    rc = ora_do(c, job, deadline_ns, err);
    if (rc != TN_OK) {
        hand_end(c->hand);
        return rc;
    }
    ora_job_free(&job->base);
    *ret_conn = c;
    return TN_OK;
}

void ora_close(void *inst, void *conn, uint32_t why)
{
    struct ora_conn *c = conn;
    (void)inst, (void)why;
    hand_end(c->hand);
}

void ora_cancel(void *inst, void *conn)
{
    (void)inst;
    hand_cancel(((struct ora_conn *)conn)->hand);
}

/* ---- transactions ------------------------------------------------------------------------------------ */

static tn_rc work_end(void *conn, struct hand_job *base, tn_err *err)
{
    struct ora_conn *c = conn;
    int rc = ((struct ora_job *)base)->method == ORA_COMMIT ? dpiConn_commit(c->dpi)
                                                            : dpiConn_rollback(c->dpi);
    return rc == DPI_SUCCESS ? TN_OK : ora_error(err);
}

tn_rc ora_transact(struct ora_conn *c, uint32_t method, uint64_t deadline_ns, tn_err *err)
{
    if (method == ORA_BEGIN || !c->transaction) {
        c->transaction = method == ORA_BEGIN; /* Oracle begins one with the first change */
        return TN_OK;
    }
    struct ora_job *job = ora_job_new(work_end, err);
    if (job == NULL) {
        return TN_E_NOMEM;
    }
    job->method = method;
    tn_rc rc = ora_do(c, job, deadline_ns, err);
    if (rc == TN_OK) {
        ora_job_free(&job->base);
        c->transaction = false;
    }
    return rc;
}

/* ---- reset ------------------------------------------------------------------------------------------- */

/* What a PL/SQL block, ALTER SESSION, SET ROLE and the like may have changed in a session cannot be undone from outside:
 * such a connection is closed. What only reads and changes rows leaves nothing. */
tn_rc ora_reset(void *inst, void *conn, tn_err *err)
{
    struct ora_conn *c = conn;
    (void)inst;
    hand_begin(c->hand);
    if (c->streaming || c->broken || c->dirty || c->conf.fresh_session) {
        return ora_host->fail(err, TN_E_UNAVAIL, "%s",
                              c->dirty ? "its statements may have changed the session"
                              : c->conf.fresh_session
                                  ? "fresh_session is on"
                                  : "a stream was not read to its end, or a statement was stopped");
    }
    return ora_transact(c, ORA_ROLLBACK, ora_host->now_ns() + 2000000000ull, err);
}
