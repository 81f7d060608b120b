/* SPDX-License-Identifier: Apache-2.0 */
/* A call is told to end while it waits for a server. A signal handler may not talk to a connector and the thread that works
 * is in the middle of it, so a thread of its own does: it sleeps from the first operation of a process to its end. */
#include "kernel/pool/pool_int.h"

#include "kernel/base/clock.h"
#include "kernel/base/log.h"

#include <signal.h>
#include <string.h>

#define STACK (256 * 1024)

/* p->lock is held. An operation that began before the moment and has not been told of it yet. */
static struct pool_conn *find(struct pool *p, uint64_t before)
{
    list_for_each(it, &p->conns) {
        struct pool_conn *c = list_entry(it, struct pool_conn, link);
        uint64_t began = atomic_load(&c->began_ns);
        if (began != 0 && began < before && c->told_ns != before) {
            return c;
        }
    }
    return NULL;
}

static void cancel_in(struct pool *p, uint64_t before)
{
    struct pool_conn *c;
    pthread_mutex_lock(&p->lock);
    pthread_cond_broadcast(&p->freed); /* who waits for a connection looks at cancel_ns */
    while (p->ops->cancel != NULL && (c = find(p, before)) != NULL) {
        c->told_ns = before;
        c->canceling = true; /* the operation does not come back before we do */
        pthread_mutex_unlock(&p->lock);
        p->ops->cancel(p->pi.inst, c->native);
        pthread_mutex_lock(&p->lock);
        c->canceling = false;
        pthread_cond_broadcast(&p->calm);
    }
    pthread_mutex_unlock(&p->lock);
}

static void *listen(void *arg)
{
    struct pools *ps = arg;
    pthread_setname_np(pthread_self(), "cancel");
    while (sem_wait(&ps->cancel) != 0 || !atomic_load(&ps->leaving)) {
        uint64_t before = atomic_load(&ps->cancel_ns);
        struct pool *each[POOL_POOLS_MAX];
        size_t n = pools_hold(ps, each);
        for (size_t i = 0; i < n; i++) {
            cancel_in(each[i], before);
            atomic_fetch_sub(&each[i]->refs, 1);
        }
    }
    return NULL;
}

/* Without the thread operations end at their deadlines, as they do when nobody cancels. */
static void start(struct pools *ps)
{
    pthread_attr_t attr;
    sigset_t all, before;
    pthread_mutex_lock(&ps->lock);
    if (!atomic_load(&ps->listens)) {
        sigfillset(&all);
        pthread_attr_init(&attr);
        pthread_attr_setstacksize(&attr, STACK);
        pthread_sigmask(SIG_SETMASK, &all,
                        &before); /* signals are for the thread that runs the call */
        int e = pthread_create(&ps->listener, &attr, listen, ps);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        pthread_attr_destroy(&attr);
        atomic_store(&ps->listens, e == 0);
        if (e != 0) {
            log_warn("no thread for stopping what a canceled call waits for: %s", strerror(e));
        }
    }
    pthread_mutex_unlock(&ps->lock);
}

void cancel_own(struct pools *ps)
{
    sem_init(&ps->cancel, 0, 0);
    atomic_store(&ps->listens, false);
    atomic_store(&ps->leaving, false);
}

void cancel_finish(struct pools *ps)
{
    if (atomic_load(&ps->listens)) {
        atomic_store(&ps->leaving, true);
        sem_post(&ps->cancel);
        pthread_join(ps->listener, NULL);
    }
    sem_destroy(&ps->cancel);
}

void cancel_from_here(struct pool_conn *c)
{
    if (!atomic_load(&c->pool->all->listens)) {
        start(c->pool->all);
    }
    atomic_store(&c->began_ns, clock_mono_ns());
}

void cancel_to_here(struct pool_conn *c)
{
    struct pool *p = c->pool;
    pthread_mutex_lock(&p->lock);
    atomic_store(&c->began_ns, 0);
    while (c->canceling) {
        pthread_cond_wait(&p->calm, &p->lock);
    }
    pthread_mutex_unlock(&p->lock);
}

void pools_cancel(struct pools *ps)
{
    atomic_store(&ps->cancel_ns, clock_mono_ns());
    sem_post(&ps->cancel);
}
