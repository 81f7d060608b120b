/* SPDX-License-Identifier: Apache-2.0 */
/* A thread for each connection that does what blocks in the driver. The time limits of ODBC are whole seconds and hold
 * only where a driver looks at them; here the caller goes when its deadline has come, whatever the driver does. */
#include "sqlserver.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define GRACE_NS   300000000ull /* for a driver to come back from a cancel */
#define GOODBYE_NS 500000000ull
#define STACK      (512 * 1024)

void ss_job_free(struct ss_job *job)
{
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

static void unref(struct ss_conn *c) /* unlocks */
{
    int left = --c->refs;
    pthread_mutex_unlock(&c->mutex);
    if (left == 0) {
        ss_job_free(c->job);
        pthread_cond_destroy(&c->wake);
        pthread_cond_destroy(&c->back);
        pthread_mutex_destroy(&c->mutex);
        free(c);
    }
}

static void goodbye(struct ss_conn *c)
{
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

static void *hand(void *arg)
{
    struct ss_conn *c = arg;
    pthread_mutex_lock(&c->mutex);
    for (;;) {
        while (c->job == NULL && !c->quit) {
            pthread_cond_wait(&c->wake, &c->mutex);
        }
        struct ss_job *job = c->job;
        if (job == NULL || c->abandoned) {
            break;
        }
        pthread_mutex_unlock(&c->mutex);
        job->rc = job->work(c, job, &job->err);
        pthread_mutex_lock(&c->mutex);
        if (c->abandoned) {
            break; /* nobody wants it any more */
        }
        c->job = NULL;
        pthread_cond_signal(&c->back);
    }
    pthread_mutex_unlock(&c->mutex);
    goodbye(c);
    pthread_mutex_lock(&c->mutex);
    c->gone = true;
    pthread_cond_signal(&c->back);
    unref(c);
    return NULL;
}

tn_rc ss_conn_create(struct ss *inst, struct ss_conn **ret, tn_err *err)
{
    struct ss_conn *c = calloc(1, sizeof *c);
    pthread_attr_t attr;
    pthread_condattr_t clock;
    if (c == NULL) {
        return ss_host->fail(err, TN_E_NOMEM, "no memory for a connection");
    }
    c->inst = inst;
    c->max_result = (size_t)inst->conf->max_result.n;
    c->refs = 2;
    pthread_mutex_init(&c->mutex, NULL);
    pthread_condattr_init(&clock);
    pthread_condattr_setclock(&clock, CLOCK_MONOTONIC);
    pthread_cond_init(&c->wake, NULL);
    pthread_cond_init(&c->back, &clock);
    pthread_condattr_destroy(&clock);
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, STACK);
    int rc = pthread_create(&c->thread, &attr, hand, c);
    pthread_attr_destroy(&attr);
    if (rc != 0) {
        c->refs = 1;
        pthread_mutex_lock(&c->mutex);
        unref(c);
        return ss_host->fail(err, TN_E_LIMIT, "no thread for a connection: %s", strerror(rc));
    }
    *ret = c;
    return TN_OK;
}

/* Until the job is done or the moment has come; the mutex is held. */
static bool await(struct ss_conn *c, uint64_t until_ns)
{
    struct timespec t = {(time_t)(until_ns / 1000000000), (long)(until_ns % 1000000000)};
    int rc = 0;
    while (c->job != NULL && rc != ETIMEDOUT) {
        rc = until_ns != 0 ? pthread_cond_timedwait(&c->back, &c->mutex, &t)
                           : pthread_cond_wait(&c->back, &c->mutex);
    }
    return c->job == NULL;
}

static tn_rc late(struct ss_conn *c, bool opening, tn_err *err)
{
    bool canceled = atomic_load(&c->canceled);
    tn_rc rc = ss_host->fail(
        err, canceled ? TN_E_CANCELED : TN_E_TIMEOUT, "%s",
        opening ? "TCP: the server accepted or dropped the connection and did not answer in time"
                : "the statement did not end in time and was canceled");
    if (err != NULL) {
        err->flags |= opening ? TN_ERR_RETRY : TN_ERR_CONN_BROKEN;
    }
    c->broken = true;
    return rc;
}

tn_rc ss_do(struct ss_conn *c, struct ss_job *job, uint64_t deadline_ns, struct ss_job **ret,
            tn_err *err)
{
    bool opening = c->stmt == NULL, timely;
    int left = net_left_ms(ss_host, deadline_ns);
    *ret = NULL;
    if (c->broken || deadline_ns != 0 ? ss_host->now_ns() >= deadline_ns || c->broken : false) {
        ss_job_free(job);
        return ss_host->fail(err, c->broken ? TN_E_UNAVAIL : TN_E_TIMEOUT,
                             c->broken ? "the connection is broken"
                                       : "the deadline had passed before the start");
    }
    job->seconds = left < 0 ? 0 : (uint64_t)(left + 999) / 1000;
    job->err = (tn_err)TN_ERR_INIT;
    pthread_mutex_lock(&c->mutex);
    c->job = job;
    atomic_store(&c->working, true);
    pthread_cond_signal(&c->wake);
    timely = await(c, deadline_ns);
    if (!timely) {
        if (!opening) {
            pthread_mutex_unlock(&c->mutex);
            SQLCancel(c->stmt); /* the one call that another thread may make meanwhile */
            pthread_mutex_lock(&c->mutex);
            if (await(c, ss_host->now_ns() + GRACE_NS)) {
                *ret = job;
            }
        }
        c->abandoned = *ret == NULL;
    } else {
        *ret = job;
    }
    atomic_store(&c->working, false);
    pthread_mutex_unlock(&c->mutex);
    if (!timely) {
        ss_job_free(*ret);
        *ret = NULL;
        return late(c, opening, err);
    }
    if (job->rc != TN_OK) {
        tn_rc rc = job->rc;
        c->broken = c->broken || (job->err.flags & TN_ERR_CONN_BROKEN) != 0;
        if (err != NULL) {
            *err = job->err;
        }
        ss_job_free(job);
        *ret = NULL;
        return rc;
    }
    return TN_OK;
}

void ss_conn_release(struct ss_conn *c)
{
    uint64_t until = ss_host->now_ns() + GOODBYE_NS;
    struct timespec t = {(time_t)(until / 1000000000), (long)(until % 1000000000)};
    pthread_mutex_lock(&c->mutex);
    c->quit = true;
    pthread_cond_signal(&c->wake);
    while (!c->gone && !c->abandoned &&
           pthread_cond_timedwait(&c->back, &c->mutex, &t) != ETIMEDOUT) {}
    unref(c);
}
