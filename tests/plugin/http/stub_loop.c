/* SPDX-License-Identifier: Apache-2.0 */
/* The loop of the stub host: descriptors by epoll, timers in a list. */
#include "stub.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

struct tn_watch {
    int fd;
    int dead;
    void (*cb)(void *, uint32_t);
    void *user;
    struct tn_watch *next_dead;
};
static int ep;
static struct tn_timer *timers;
static struct tn_watch *dead;
static uint64_t (*prepare_cb)(void *);
static void *prepare_user;

uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int64_t wall_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static tn_rc loop_watch(void *ctx, int32_t fd, uint32_t events, void (*cb)(void *, uint32_t),
                        void *user, tn_watch **ret, tn_err *err)
{
    (void)ctx;
    (void)err;
    tn_watch *w = calloc(1, sizeof *w);
    w->fd = fd;
    w->cb = cb;
    w->user = user;
    struct epoll_event e = {.events = events, .data.ptr = w};
    if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) != 0) {
        free(w);
        return TN_E_INTERNAL;
    }
    *ret = w;
    return TN_OK;
}

static void loop_change(void *ctx, tn_watch *w, uint32_t events)
{
    (void)ctx;
    struct epoll_event e = {.events = events, .data.ptr = w};
    epoll_ctl(ep, EPOLL_CTL_MOD, w->fd, &e);
}

static void loop_unwatch(void *ctx, tn_watch *w)
{
    (void)ctx;
    if (epoll_ctl(ep, EPOLL_CTL_DEL, w->fd, NULL) != 0) {
        die("unwatch", strerror(errno)); /* the plugin closed the descriptor too early */
    }
    w->dead = 1;
    w->next_dead = dead;
    dead = w;
}

static tn_rc loop_timer(void *ctx, void (*cb)(void *), void *user, tn_timer **ret, tn_err *err)
{
    (void)ctx;
    (void)err;
    tn_timer *t = calloc(1, sizeof *t);
    t->cb = cb;
    t->user = user;
    *ret = t;
    return TN_OK;
}

static void timer_out(tn_timer *t)
{
    for (tn_timer **p = &timers; *p != NULL; p = &(*p)->next) {
        if (*p == t) {
            *p = t->next;
            break;
        }
    }
    t->at = 0;
}

static void loop_timer_set(void *ctx, tn_timer *t, uint64_t at)
{
    (void)ctx;
    if (t->at != 0) {
        timer_out(t);
    }
    t->at = at;
    if (at == 0) {
        return;
    }
    tn_timer **p = &timers;
    while (*p != NULL && (*p)->at <= at) {
        p = &(*p)->next;
    }
    t->next = *p;
    *p = t;
}

static void loop_timer_free(void *ctx, tn_timer *t)
{
    (void)ctx;
    if (t->at != 0) {
        timer_out(t);
    }
    free(t);
}

static tn_rc loop_prepare(void *ctx, uint64_t (*cb)(void *), void *user, tn_err *err)
{
    (void)ctx;
    (void)err;
    prepare_cb = cb;
    prepare_user = user;
    return TN_OK;
}

const tn_host_loop host_loop = {
    .size = sizeof host_loop,
    .watch = loop_watch,
    .watch_change = loop_change,
    .unwatch = loop_unwatch,
    .timer = loop_timer,
    .timer_set = loop_timer_set,
    .timer_free = loop_timer_free,
    .prepare = loop_prepare,
};

void stub_loop_init(void)
{
    ep = epoll_create1(EPOLL_CLOEXEC);
}

static void bury(void)
{
    while (dead != NULL) {
        tn_watch *w = dead;
        dead = w->next_dead;
        free(w);
    }
}

void stub_turn(void)
{
    uint64_t wait = prepare_cb(prepare_user), now = now_ns();
    if (timers != NULL) {
        uint64_t t = timers->at > now ? timers->at - now : 0;
        wait = t < wait ? t : wait;
    }
    struct timespec ts = {(time_t)(wait / 1000000000u), (long)(wait % 1000000000u)};
    if (wait > 100000000u) {
        ts = (struct timespec){0, 100000000};
    }
    struct epoll_event ev[64];
    int n = epoll_pwait2(ep, ev, 64, &ts, NULL);
    for (int i = 0; i < n; i++) {
        tn_watch *w = ev[i].data.ptr;
        if (!w->dead) {
            w->cb(w->user, ev[i].events);
        }
    }
    bury();
    now = now_ns();
    while (timers != NULL && timers->at <= now) {
        tn_timer *t = timers;
        timers = t->next;
        t->at = 0;
        t->cb(t->user);
    }
}

void stub_loop_finish(void)
{
    bury();
}
