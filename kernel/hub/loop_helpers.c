/* SPDX-License-Identifier: Apache-2.0 */
/* Helper threads of the event loop: a bounded queue of jobs that may block. */
#include "kernel/hub/loop_helpers.h"
#include "kernel/base/err.h"
#include "kernel/base/proc.h"
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#define QUEUE_MAX   4096u
#define THREADS_MAX 64u

struct job {
    void (*cb)(void *);
    void *user;
};
struct helpers {
    pthread_mutex_t lock;
    pthread_cond_t some;
    unsigned head, n, nthreads;
    int stop;
    struct job queue[QUEUE_MAX];
    pthread_t threads[THREADS_MAX];
};

static void *helper_main(void *arg)
{
    struct helpers *h = arg;
    proc_title("tn-helper");
    pthread_mutex_lock(&h->lock);
    for (;;) {
        while (!h->n && !h->stop) {
            pthread_cond_wait(&h->some, &h->lock);
        }
        if (!h->n) {
            break;
        }
        struct job j = h->queue[h->head];
        h->head = (h->head + 1) % QUEUE_MAX;
        h->n--;
        pthread_mutex_unlock(&h->lock);
        j.cb(j.user);
        pthread_mutex_lock(&h->lock);
    }
    pthread_mutex_unlock(&h->lock);
    return NULL;
}

tn_rc helpers_create(struct helpers **ret, unsigned threads, tn_err *err)
{
    if (threads > THREADS_MAX) {
        return err_set(err, TN_E_INVAL, "%u helper threads (at most %u)", threads, THREADS_MAX);
    }
    struct helpers *h = calloc(1, sizeof(*h));
    if (!h) {
        return err_set(err, TN_E_NOMEM, "helper threads: out of memory");
    }
    pthread_mutex_init(&h->lock, NULL);
    pthread_cond_init(&h->some, NULL);
    /* Signals belong to the loop thread. */
    sigset_t all, old;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    int e = 0;
    while (h->nthreads < threads && !e) {
        e = pthread_create(&h->threads[h->nthreads], NULL, helper_main, h);
        h->nthreads += e == 0;
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (e) {
        tn_rc rc = err_sys(err, e, "starting helper thread %u of %u", h->nthreads + 1, threads);
        helpers_destroy(h);
        return rc;
    }
    *ret = h;
    return TN_OK;
}

void helpers_destroy(struct helpers *h)
{
    if (!h) {
        return;
    }
    pthread_mutex_lock(&h->lock);
    h->stop = 1;
    pthread_cond_broadcast(&h->some);
    pthread_mutex_unlock(&h->lock);
    for (unsigned i = 0; i < h->nthreads; i++) {
        pthread_join(h->threads[i], NULL);
    }
    pthread_cond_destroy(&h->some);
    pthread_mutex_destroy(&h->lock);
    free(h);
}

tn_rc helpers_add(struct helpers *h, void (*cb)(void *), void *user, tn_err *err)
{
    if (!h->nthreads) {
        return err_set(err, TN_E_UNSUPP, "this loop has no helper threads");
    }
    pthread_mutex_lock(&h->lock);
    int full = h->n == QUEUE_MAX;
    if (!full) {
        h->queue[(h->head + h->n++) % QUEUE_MAX] = (struct job){cb, user};
        pthread_cond_signal(&h->some);
    }
    pthread_mutex_unlock(&h->lock);
    return full ? err_set(err, TN_E_LIMIT, "the queue of %u helper jobs is full", QUEUE_MAX)
                : TN_OK;
}
