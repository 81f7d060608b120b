/* SPDX-License-Identifier: Apache-2.0 */
/* The thread of a connection, and waiting for it: caller and thread hold a reference each. */
#include "common/hand.h"
#include "common/net.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define GRACE_NS   300000000ull /* for a library to come back after it was told to stop */
#define GOODBYE_NS 500000000ull
#define STACK      (1024 * 1024)
#define CANCELED   "the call was canceled, and with it what it waited for"

struct hand {
    const tn_host *host;
    const struct hand_ops *ops;
    void *conn;
    pthread_t thread;
    pthread_mutex_t mutex;
    pthread_cond_t wake, back;
    struct hand_job *job;
    bool quit, abandoned, gone;
    bool canceled; /* the operation under way */
    int refs;
};

static void unref(struct hand *h) /* unlocks */
{
    int left = --h->refs;
    pthread_mutex_unlock(&h->mutex);
    if (left == 0) {
        if (h->job != NULL) {
            h->job->free(h->job);
        }
        pthread_cond_destroy(&h->wake);
        pthread_cond_destroy(&h->back);
        pthread_mutex_destroy(&h->mutex);
        if (h->conn != NULL) {
            h->ops->free(h->conn);
        }
        free(h);
    }
}

static void *run(void *arg)
{
    struct hand *h = arg;
    pthread_setname_np(pthread_self(), "hand");
    pthread_mutex_lock(&h->mutex);
    for (;;) {
        while (h->job == NULL && !h->quit) {
            pthread_cond_wait(&h->wake, &h->mutex);
        }
        struct hand_job *job = h->job;
        if (job == NULL || h->abandoned) {
            break;
        }
        pthread_mutex_unlock(&h->mutex);
        job->rc = job->work(h->conn, job, &job->err);
        pthread_mutex_lock(&h->mutex);
        if (h->abandoned) {
            break; /* nobody wants it any more */
        }
        h->job = NULL;
        pthread_cond_signal(&h->back);
    }
    pthread_mutex_unlock(&h->mutex);
    h->ops->goodbye(h->conn);
    pthread_mutex_lock(&h->mutex);
    h->gone = true;
    pthread_cond_signal(&h->back);
    unref(h);
    return NULL;
}

tn_rc hand_start(const tn_host *host, const struct hand_ops *ops, void *conn, struct hand **ret,
                 tn_err *err)
{
    struct hand *h = calloc(1, sizeof *h);
    pthread_attr_t attr;
    pthread_condattr_t monotonic;
    if (h == NULL) {
        return host->fail(err, TN_E_NOMEM, "no memory for a connection");
    }
    *h = (struct hand){.host = host, .ops = ops, .conn = conn, .refs = 2};
    pthread_mutex_init(&h->mutex, NULL);
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&h->wake, NULL);
    pthread_cond_init(&h->back, &monotonic);
    pthread_condattr_destroy(&monotonic);
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, STACK);
    int rc = pthread_create(&h->thread, &attr, run, h);
    pthread_attr_destroy(&attr);
    if (rc != 0) {
        h->refs = 1;
        h->conn = NULL; /* the caller's */
        pthread_mutex_lock(&h->mutex);
        unref(h);
        return host->fail(err, TN_E_LIMIT, "no thread for a connection: %s", strerror(rc));
    }
    *ret = h;
    return TN_OK;
}

/* Until the job is done, the moment has come or, as long as `patient` is not set, somebody cancels; the mutex is held. */
static bool await(struct hand *h, uint64_t until_ns, bool patient)
{
    struct timespec t = {(time_t)(until_ns / 1000000000), (long)(until_ns % 1000000000)};
    int rc = 0;
    while (h->job != NULL && rc != ETIMEDOUT && (patient || !h->canceled)) {
        rc = until_ns != 0 ? pthread_cond_timedwait(&h->back, &h->mutex, &t)
                           : pthread_cond_wait(&h->back, &h->mutex);
    }
    return h->job == NULL;
}

static tn_rc late(const struct hand *h, bool opening, bool canceled, tn_err *err)
{
    tn_rc rc = h->host->fail(
        err, canceled ? TN_E_CANCELED : TN_E_TIMEOUT, "%s",
        canceled  ? CANCELED
        : opening ? "TCP: the server accepted or dropped the connection and did not answer in time"
                  : h->ops->late);
    if (err != NULL) {
        err->flags |= opening ? TN_ERR_RETRY : TN_ERR_CONN_BROKEN;
    }
    return rc;
}

tn_rc hand_do(struct hand *h, struct hand_job *job, uint64_t deadline_ns, bool opening, tn_err *err)
{
    if (deadline_ns != 0 && h->host->now_ns() >= deadline_ns) {
        job->free(job);
        return h->host->fail(err, TN_E_TIMEOUT, "the deadline had passed before the start");
    }
    job->left_ms = net_left_ms(h->host, deadline_ns);
    job->err = (tn_err)TN_ERR_INIT;
    pthread_mutex_lock(&h->mutex);
    if (h->canceled) { /* before it came to this: the connection is as it was */
        pthread_mutex_unlock(&h->mutex);
        job->free(job);
        return h->host->fail(err, TN_E_CANCELED, CANCELED);
    }
    h->job = job;
    pthread_cond_signal(&h->wake);
    bool timely = await(h, deadline_ns, false), back = timely, canceled = !timely && h->canceled;
    if (!timely && !opening) {
        pthread_mutex_unlock(&h->mutex);
        h->ops->stop(h->conn);
        pthread_mutex_lock(&h->mutex);
        back = await(h, h->host->now_ns() + GRACE_NS, true);
    }
    h->abandoned = !back;
    pthread_mutex_unlock(&h->mutex);
    tn_rc rc = back ? job->rc : TN_OK;
    if (!timely) {
        rc = late(h, opening, canceled, err);
    } else if (rc != TN_OK && err != NULL) {
        *err = job->err;
    }
    if (back && rc != TN_OK) {
        job->free(job);
    }
    return rc;
}

void hand_begin(struct hand *h)
{
    pthread_mutex_lock(&h->mutex);
    h->canceled = false;
    pthread_mutex_unlock(&h->mutex);
}

void hand_cancel(struct hand *h)
{
    pthread_mutex_lock(&h->mutex);
    h->canceled = true;
    pthread_cond_signal(&h->back);
    pthread_mutex_unlock(&h->mutex);
}

void hand_end(struct hand *h)
{
    uint64_t until = h->host->now_ns() + GOODBYE_NS;
    struct timespec t = {(time_t)(until / 1000000000), (long)(until % 1000000000)};
    pthread_mutex_lock(&h->mutex);
    h->quit = true;
    pthread_cond_signal(&h->wake);
    while (!h->gone && !h->abandoned &&
           pthread_cond_timedwait(&h->back, &h->mutex, &t) != ETIMEDOUT) {}
    pthread_t thread = h->thread;
    bool gone = h->gone;
    unref(h);
    if (gone) { /* it has said goodbye and only ends; libraries free what they keep for a thread at that very end */
        pthread_join(thread, NULL);
    } else {
        pthread_detach(thread);
    }
}
