/* SPDX-License-Identifier: Apache-2.0 */
/* The hub's event loop: epoll, timers in a heap, hooks around every sleep, posts from other threads. */
#include "kernel/hub/loop.h"
#include "kernel/base/clock.h"
#include "kernel/base/err.h"
#include "kernel/base/fd.h"
#include "kernel/base/heap.h"
#include "kernel/base/list.h"
#include "kernel/base/log.h"
#include "kernel/hub/loop_helpers.h"
#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define EVENTS_MAX 256
#define HOOKS_MAX  16

struct tn_watch {
    struct list node; /* in loop.watches or loop.dead_watches */
    int fd;
    int dead; /* unwatched: its events of this batch are dropped */
    void (*cb)(void *, uint32_t);
    void *user;
};
struct tn_timer {
    struct heap_node heap;
    void (*cb)(void *);
    void *user;
};
struct post {
    struct list node;
    void (*cb)(void *);
    void *user;
};
struct hook {
    uint64_t (*prepare)(void *);
    void (*woke)(void *);
    void *user;
};

struct loop {
    int epfd, wakefd, timerfd; /* timerfd: -1 while epoll_pwait2 works */
    uint64_t now;
    uint64_t timerfd_at;
    struct heap timers;
    struct list watches, dead_watches;
    struct hook prepare[HOOKS_MAX], woke[HOOKS_MAX];
    unsigned nprepare, nwoke;
    _Atomic int stop, sleeps; /* sleeps: a post must ring wakefd */
    pthread_mutex_t lock;     /* guards posts */
    struct list posts;
    struct helpers *helpers;
};

tn_rc loop_create(struct loop **ret, unsigned helper_threads, tn_err *err)
{
    tn_rc rc = TN_E_INTERNAL;
    struct loop *l = calloc(1, sizeof(*l));
    if (!l) {
        return err_set(err, TN_E_NOMEM, "event loop: out of memory");
    }
    l->wakefd = l->timerfd = -1;
    l->epfd = epoll_create1(EPOLL_CLOEXEC);
    if (l->epfd < 0) {
        rc = err_sys(err, errno, "event loop: epoll_create1");
        goto undo_loop;
    }
    l->wakefd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (l->wakefd < 0) {
        rc = err_sys(err, errno, "event loop: eventfd");
        goto undo_fds;
    }
    struct epoll_event ev = {.events = EPOLLIN | EPOLLET, .data.ptr = NULL};
    if (epoll_ctl(l->epfd, EPOLL_CTL_ADD, l->wakefd, &ev)) {
        rc = err_sys(err, errno, "event loop: epoll_ctl");
        goto undo_fds;
    }
    rc = helpers_create(&l->helpers, helper_threads, err);
    if (rc) {
        goto undo_fds;
    }
    pthread_mutex_init(&l->lock, NULL);
    heap_init(&l->timers);
    list_init(&l->watches);
    list_init(&l->dead_watches);
    list_init(&l->posts);
    l->now = clock_mono_ns();
    *ret = l;
    return TN_OK;

undo_fds:
    fd_close(&l->wakefd);
    fd_close(&l->epfd);
undo_loop:
    free(l);
    return rc;
}

static void free_watches(struct list *l)
{
    for (struct list *n; (n = list_pop_front(l));) {
        free(list_entry(n, struct tn_watch, node));
    }
}

/* Runs what was posted up to now; what these post comes in the next round. */
static void run_posts(struct loop *l)
{
    struct list batch;
    list_init(&batch);
    pthread_mutex_lock(&l->lock);
    if (!list_empty(&l->posts)) {
        batch = l->posts;
        batch.next->prev = batch.prev->next = &batch;
        list_init(&l->posts);
    }
    pthread_mutex_unlock(&l->lock);
    for (struct list *n; (n = list_pop_front(&batch));) {
        struct post *p = list_entry(n, struct post, node);
        p->cb(p->user);
        free(p);
    }
}

void loop_destroy(struct loop *l)
{
    if (!l) {
        return;
    }
    helpers_destroy(l->helpers); /* finishes what is queued; may post */
    run_posts(l);
    run_posts(l);
    free_watches(&l->watches);
    free_watches(&l->dead_watches);
    heap_finish(&l->timers);
    pthread_mutex_destroy(&l->lock);
    fd_close(&l->timerfd);
    fd_close(&l->wakefd);
    fd_close(&l->epfd);
    free(l);
}

uint64_t loop_now(const struct loop *l)
{
    return l->now;
}

void loop_stop(struct loop *l)
{
    uint64_t one = 1;
    atomic_store(&l->stop, 1);
    if (write(l->wakefd, &one, sizeof(one)) < 0) {
        /* The counter is full: a wake-up is on its way already. */
    }
}

/* Old kernels have no epoll_pwait2: a timerfd gives the same precision for one more system call. */
static int wait_timerfd(struct loop *l, struct epoll_event *ev, uint64_t timeout)
{
    if (l->timerfd < 0) {
        l->timerfd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
        struct epoll_event te = {.events = EPOLLIN | EPOLLET, .data.ptr = &l->timerfd};
        if (l->timerfd < 0 || epoll_ctl(l->epfd, EPOLL_CTL_ADD, l->timerfd, &te)) {
            log_alert("event loop: timerfd: %s; timers are coarse", strerror(errno));
            fd_close(&l->timerfd);
            return epoll_wait(l->epfd, ev, EVENTS_MAX, timeout ? 1 : 0);
        }
    }
    if (timeout == 0) {
        return epoll_wait(l->epfd, ev, EVENTS_MAX, 0);
    }
    uint64_t at = timeout == UINT64_MAX ? 0 : clock_mono_ns() + timeout;
    if (at != l->timerfd_at) {
        struct itimerspec its = {{0, 0}, {(time_t)(at / NS_PER_S), (long)(at % NS_PER_S)}};
        timerfd_settime(l->timerfd, TFD_TIMER_ABSTIME, &its, NULL);
        l->timerfd_at = at;
    }
    return epoll_wait(l->epfd, ev, EVENTS_MAX, -1);
}

static int wait_events(struct loop *l, struct epoll_event *ev, uint64_t timeout)
{
    if (l->timerfd < 0) {
        struct timespec ts = {(time_t)(timeout / NS_PER_S), (long)(timeout % NS_PER_S)};
        int n = epoll_pwait2(l->epfd, ev, EVENTS_MAX, timeout == UINT64_MAX ? NULL : &ts, NULL);
        if (n >= 0 || errno != ENOSYS) {
            return n;
        }
    }
    return wait_timerfd(l, ev, timeout);
}

static int have_posts(struct loop *l)
{
    pthread_mutex_lock(&l->lock);
    int some = !list_empty(&l->posts);
    pthread_mutex_unlock(&l->lock);
    return some;
}

static uint64_t sleep_time(struct loop *l)
{
    uint64_t t = UINT64_MAX;
    for (unsigned i = 0; i < l->nprepare; i++) {
        uint64_t want = l->prepare[i].prepare(l->prepare[i].user);
        t = want < t ? want : t;
    }
    struct heap_node *top = heap_top(&l->timers);
    if (top && t) {
        uint64_t now = clock_mono_ns();
        uint64_t rest = top->at > now ? top->at - now : 0;
        t = rest < t ? rest : t;
    }
    /* Announce the sleep, then look: a post either sees the flag or is seen here. */
    atomic_store(&l->sleeps, 1);
    if (atomic_load(&l->stop) || have_posts(l)) {
        t = 0;
    }
    return t;
}

static void run_timers(struct loop *l)
{
    struct heap_node *top;
    while ((top = heap_top(&l->timers)) && top->at <= l->now) {
        struct tn_timer *t = list_entry(top, struct tn_timer, heap);
        heap_del(&l->timers, top);
        t->cb(t->user);
    }
}

tn_rc loop_run(struct loop *l, tn_err *err)
{
    struct epoll_event ev[EVENTS_MAX];
    while (!atomic_load(&l->stop)) {
        int n = wait_events(l, ev, sleep_time(l));
        atomic_store_explicit(&l->sleeps, 0, memory_order_relaxed);
        l->now = clock_mono_ns();
        if (n < 0 && errno != EINTR) {
            return err_sys(err, errno, "event loop: waiting for events");
        }
        for (unsigned i = 0; i < l->nwoke; i++) {
            l->woke[i].woke(l->woke[i].user);
        }
        for (int i = 0; i < n; i++) {
            struct tn_watch *w = ev[i].data.ptr;
            if (w && (void *)w != (void *)&l->timerfd && !w->dead) {
                w->cb(w->user, ev[i].events);
            }
        }
        l->now = clock_mono_ns();
        run_timers(l);
        run_posts(l);
        free_watches(&l->dead_watches);
    }
    atomic_store(&l->stop, 0);
    return TN_OK;
}

tn_rc loop_watch(struct loop *l, int fd, uint32_t events, void (*cb)(void *, uint32_t), void *user,
                 tn_watch **ret, tn_err *err)
{
    struct tn_watch *w = calloc(1, sizeof(*w));
    if (!w) {
        return err_set(err, TN_E_NOMEM, "watching descriptor %d: out of memory", fd);
    }
    *w = (struct tn_watch){.fd = fd, .cb = cb, .user = user};
    struct epoll_event ev = {.events = events, .data.ptr = w};
    if (epoll_ctl(l->epfd, EPOLL_CTL_ADD, fd, &ev)) {
        tn_rc rc = err_sys(err, errno, "watching descriptor %d", fd);
        free(w);
        return rc;
    }
    list_push_back(&l->watches, &w->node);
    *ret = w;
    return TN_OK;
}

void loop_watch_change(struct loop *l, tn_watch *w, uint32_t events)
{
    struct epoll_event ev = {.events = events, .data.ptr = w};
    if (epoll_ctl(l->epfd, EPOLL_CTL_MOD, w->fd, &ev)) {
        log_alert("event loop: changing the watch of descriptor %d: %s", w->fd, strerror(errno));
    }
}

void loop_unwatch(struct loop *l, tn_watch *w)
{
    if (!w) {
        return;
    }
    if (epoll_ctl(l->epfd, EPOLL_CTL_DEL, w->fd, NULL)) {
        log_alert("event loop: unwatching descriptor %d: %s", w->fd, strerror(errno));
    }
    w->dead = 1;
    list_del(&w->node);
    list_push_back(&l->dead_watches, &w->node);
}

tn_rc loop_timer(struct loop *l, void (*cb)(void *), void *user, tn_timer **ret, tn_err *err)
{
    struct tn_timer *t = calloc(1, sizeof(*t));
    (void)l;
    if (!t) {
        return err_set(err, TN_E_NOMEM, "timer: out of memory");
    }
    t->cb = cb;
    t->user = user;
    *ret = t;
    return TN_OK;
}

void loop_timer_set(struct loop *l, tn_timer *t, uint64_t at_ns)
{
    if (at_ns != 0 && at_ns <= l->now) {
        at_ns = l->now + 1; /* in the next round: who is late was here before */
    }
    if (at_ns == 0) {
        heap_del(&l->timers, &t->heap);
    } else if (t->heap.pos == 0 || t->heap.at != at_ns) {
        if (heap_add(&l->timers, &t->heap, at_ns)) {
            /* Losing a timer would lose a deadline: better to restart in a defined state. */
            log_alert("event loop: out of memory for a timer");
            abort();
        }
    }
}

void loop_timer_free(struct loop *l, tn_timer *t)
{
    if (t) {
        heap_del(&l->timers, &t->heap);
        free(t);
    }
}

tn_rc loop_prepare(struct loop *l, uint64_t (*cb)(void *), void *user, tn_err *err)
{
    if (l->nprepare == HOOKS_MAX) {
        return err_set(err, TN_E_LIMIT, "event loop: more than %d prepare hooks", HOOKS_MAX);
    }
    l->prepare[l->nprepare++] = (struct hook){.prepare = cb, .user = user};
    return TN_OK;
}

tn_rc loop_woke(struct loop *l, void (*cb)(void *), void *user, tn_err *err)
{
    if (l->nwoke == HOOKS_MAX) {
        return err_set(err, TN_E_LIMIT, "event loop: more than %d woke hooks", HOOKS_MAX);
    }
    l->woke[l->nwoke++] = (struct hook){.woke = cb, .user = user};
    return TN_OK;
}

void loop_post(struct loop *l, void (*cb)(void *), void *user)
{
    struct post *p;
    while (!(p = malloc(sizeof(*p)))) {
        nanosleep(&(struct timespec){0, 1000000}, NULL); /* a post never fails */
    }
    p->cb = cb;
    p->user = user;
    pthread_mutex_lock(&l->lock);
    list_push_back(&l->posts, &p->node);
    pthread_mutex_unlock(&l->lock);
    if (atomic_exchange(&l->sleeps, 0)) {
        uint64_t one = 1;
        if (write(l->wakefd, &one, sizeof(one)) < 0) {
            /* The counter is full: a wake-up is on its way already. */
        }
    }
}

tn_rc loop_defer(struct loop *l, void (*cb)(void *), void *user, tn_err *err)
{
    return helpers_add(l->helpers, cb, user, err);
}
