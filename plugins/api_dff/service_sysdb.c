/* SPDX-License-Identifier: Apache-2.0 */
/* DFF.SYS_DB (spec 3.5): a script's SQL on the platform's own database. A transaction has a thread of its
 * own, because the store binds one to its thread; the whole platform waits for it when it wants to
 * write, so it ends by itself when its script is slow or gone. */
#include "service.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define CTX      api.host->ctx
#define ENT      api.host->entities
#define OPEN_MAX 8              /* open transactions; one writes, the others wait for their begin */
#define IDLE_S   3              /* longest pause between two statements */
#define LIFE_NS  10000000000ull /* longest life */
#define SQL_MAX  (8u << 20)

struct job {
    json_t *ask;
    void *token;
};
struct trans {
    char id[25];
    bool used, dirty, stop;
    pthread_t thread;
    pthread_cond_t news;
    struct job job; /* token NULL: none */
};
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct trans open_trans[OPEN_MAX]; /* guarded by lock */

/* ---- statements -------------------------------------------------------------------------------------- */

/* Rows that others keep copies of may have changed. */
static void tell(void)
{
    tn_err err = TN_ERR_INIT;
    api.host->calls->data_changed(CTX);
    if (funcs_changed(&err) != TN_OK) {
        api.host->log(CTX, TN_LOG_ERROR, "after SYS_DB wrote: %s", err.msg);
    }
}

/* Runs and answers; true: rows were changed. */
static bool statement(tn_txn *txn, const json_t *ask, void *token)
{
    tn_str sql = service_text(ask, "sql");
    bool rows = text_is(service_text(ask, "op"), "query"), reads = true;
    tn_err err = TN_ERR_INIT;
    tn_text found = {0};
    int64_t affected = 0;
    if (sql.n > SQL_MAX) {
        service_refuse(token, TN_E_LIMIT, "the SQL has %zu bytes; SYS_DB takes %u", sql.n, SQL_MAX);
        return false;
    }
    if (!sysdb_check(sql, &reads, &err) ||
        ENT->sql(CTX, txn, sql.s, TN_STR("[]"), &found, &affected, &err) != TN_OK) {
        service_refuse_err(token, &err);
        return false;
    }
    if (!reads && txn == NULL) {
        tell(); /* before the answer: what follows it must see the change */
    }
    if (rows) {
        api.host->calls->answer(CTX, token, TN_OK, (tn_str){found.s, found.n});
    } else {
        service_answer(token, json_integer(affected));
    }
    api.host->free(CTX, found.s);
    return !reads;
}

/* ---- transactions --------------------------------------------------------------------------------------- */

static void until(struct timespec *at, int seconds)
{
    clock_gettime(CLOCK_MONOTONIC, at);
    at->tv_sec += seconds;
}

/* Waits for the next job; false: idle or too old. */
static bool job_take(struct trans *t, uint64_t end_ns, struct job *ret)
{
    struct timespec at;
    until(&at, IDLE_S);
    pthread_mutex_lock(&lock);
    int rc = 0;
    while (t->job.token == NULL && !t->stop && rc != ETIMEDOUT) {
        rc = pthread_cond_timedwait(&t->news, &lock, &at);
    }
    *ret = t->job;
    t->job = (struct job){NULL, NULL};
    bool more = ret->token != NULL && !t->stop && api.host->now_ns() < end_ns;
    pthread_mutex_unlock(&lock);
    return more;
}

static void trans_close(struct trans *t)
{
    pthread_mutex_lock(&lock);
    struct job late = t->job;
    t->job = (struct job){NULL, NULL};
    if (!t->stop) {
        pthread_detach(t->thread);
        t->used = false;
        t->id[0] = '\0';
    }
    pthread_mutex_unlock(&lock);
    if (late.token != NULL) {
        service_refuse(late.token, TN_E_NOTFOUND, "the SYS_DB transaction has ended");
        json_decref(late.ask);
    }
}

static void trans_end(struct trans *t, tn_txn *txn, const struct job *job)
{
    tn_err err = TN_ERR_INIT;
    bool commit = job->token != NULL && text_is(service_text(job->ask, "op"), "commit");
    bool dirty = t->dirty;
    tn_rc rc = TN_OK;
    if (commit) {
        rc = ENT->commit(CTX, txn, &err);
    } else {
        ENT->rollback(CTX, txn);
    }
    trans_close(t); /* before the answer: the script may begin the next one at once */
    if (commit && rc == TN_OK && dirty) {
        tell();
    }
    if (job->token != NULL && rc == TN_OK) {
        service_answer(job->token, json_null());
    } else if (job->token != NULL) {
        service_refuse_err(job->token, &err);
    }
    json_decref(job->ask);
}

static void *trans_run(void *user)
{
    struct trans *t = user;
    uint64_t end_ns = api.host->now_ns() + LIFE_NS;
    tn_err err = TN_ERR_INIT;
    tn_txn *txn = NULL;
    struct job job;
    pthread_mutex_lock(&lock);
    job = t->job;
    t->job = (struct job){NULL, NULL};
    pthread_mutex_unlock(&lock);
    json_decref(job.ask);
    if (ENT->begin(CTX, &txn, &err) != TN_OK) {
        trans_close(t);
        service_refuse_err(job.token, &err);
        return NULL;
    }
    service_answer(job.token, json_string(t->id));
    for (;;) {
        if (!job_take(t, end_ns, &job)) {
            if (job.token != NULL) {
                service_refuse(job.token, TN_E_TIMEOUT,
                               "the SYS_DB transaction took longer than 10 seconds and was undone");
                json_decref(job.ask);
            }
            job = (struct job){NULL, NULL};
            api.host->log(CTX, TN_LOG_WARNING,
                          "a SYS_DB transaction was idle for %d s or older than 10 s: undone",
                          IDLE_S);
            trans_end(t, txn, &job);
            return NULL;
        }
        tn_str op = service_text(job.ask, "op");
        if (text_is(op, "commit") || text_is(op, "rollback")) {
            trans_end(t, txn, &job);
            return NULL;
        }
        t->dirty = statement(txn, job.ask, job.token) || t->dirty;
        json_decref(job.ask);
    }
}

/* A free place; NULL after answering. Takes ask. */
static void trans_begin(json_t *ask_take, void *token)
{
    struct trans *t = NULL;
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < OPEN_MAX && t == NULL; i++) {
        t = open_trans[i].used ? NULL : &open_trans[i];
    }
    if (t != NULL) {
        pthread_condattr_t attr;
        *t = (struct trans){.used = true, .job = {ask_take, token}};
        pthread_condattr_init(&attr);
        pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
        pthread_cond_init(&t->news, &attr);
        pthread_condattr_destroy(&attr);
        api.host->auth->random_id(t->id, 24);
        if (pthread_create(&t->thread, NULL, trans_run, t) != 0) {
            t->used = false;
            t = NULL;
        }
    }
    pthread_mutex_unlock(&lock);
    if (t == NULL) {
        json_decref(ask_take);
        service_refuse(token, TN_E_LIMIT,
                       "%d transactions of SYS_DB are open already; try again later", OPEN_MAX);
    }
}

/* Hands the job to the transaction's thread. Takes ask. */
static void trans_job(tn_str id, json_t *ask_take, void *token)
{
    struct trans *t = NULL;
    pthread_mutex_lock(&lock);
    for (size_t i = 0; i < OPEN_MAX && t == NULL; i++) {
        t = open_trans[i].used && text_is(id, open_trans[i].id) ? &open_trans[i] : NULL;
    }
    bool busy = t != NULL && t->job.token != NULL;
    if (t != NULL && !busy) {
        t->job = (struct job){ask_take, token};
        pthread_cond_signal(&t->news);
    }
    pthread_mutex_unlock(&lock);
    if (t == NULL || busy) {
        json_decref(ask_take);
        service_refuse(
            token, TN_E_NOTFOUND,
            busy ? "this SYS_DB transaction is busy with another statement"
                 : "the SYS_DB transaction has ended: it was committed, undone, idle for 3 "
                   "seconds or older than 10");
    }
}

static void sysdb_run(void *user, tn_str payload, void *token)
{
    json_t *ask = service_payload(payload, token);
    (void)user;
    if (ask == NULL) {
        return;
    }
    tn_str op = service_text(ask, "op"), trans = service_text(ask, "trans");
    if (text_is(op, "begin")) {
        trans_begin(ask, token);
    } else if (trans.n > 0) {
        trans_job(trans, ask, token);
    } else if (text_is(op, "query") || text_is(op, "non_query")) {
        statement(NULL, ask, token);
        json_decref(ask);
    } else {
        service_refuse(token, TN_E_INVAL, "SYS_DB has no operation \"%.*s\"", (int)op.n, op.s);
        json_decref(ask);
    }
}

void sysdb_stop(void)
{
    for (size_t i = 0; i < OPEN_MAX; i++) {
        struct trans *t = &open_trans[i];
        pthread_mutex_lock(&lock);
        bool used = t->used;
        t->stop = used;
        if (used) {
            pthread_cond_signal(&t->news);
        }
        pthread_mutex_unlock(&lock);
        if (used) {
            pthread_join(t->thread, NULL);
            t->used = false;
        }
    }
}

tn_rc sysdb_service(tn_err *err)
{
    return api.host->calls->service(CTX, "sysdb.run", 0, sysdb_run, NULL, err);
}
