/* SPDX-License-Identifier: Apache-2.0 */
/* The thread of a subscription: waits for its predecessor, consumes, starts again after a failure. */
#include "kernel/base/clock.h"
#include "kernel/base/err.h"
#include "kernel/base/log.h"
#include "kernel/base/proc.h"
#include "kernel/base/rnd.h"
#include "kernel/base/str.h"
#include "kernel/hub/subs_int.h"
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#define BACKOFF_MS     1000
#define BACKOFF_MAX_MS 60000
#define HOLD_MS        5000            /* between two looks whether another hub has let go */
#define STEADY_NS      (10 * NS_PER_S) /* who consumed for so long begins with a short pause again */

void sub_state_set(tn_sub *u, enum sub_state state, const char *error)
{
    pthread_mutex_lock(&u->lock);
    if (state != u->state) {
        u->since_ms = clock_wall_us() / 1000;
    }
    u->state = state;
    if (state != SUB_CONNECTING) { /* while it tries again, the reason stays visible */
        snprintf(u->error, sizeof u->error, "%.*s",
                 (int)str_utf8_cut(str_of(error), sizeof u->error - 1), error);
    }
    pthread_mutex_unlock(&u->lock);
}

void subs_consuming(struct subs *s, tn_sub *u)
{
    (void)s;
    log_info("connector %s consumes %s for %s", u->connector, u->topic, u->func);
    sub_state_set(u, SUB_CONSUMING, "");
}

static bool stops(tn_sub *u)
{
    pthread_mutex_lock(&u->s->lock);
    bool yes = u->stopping;
    pthread_mutex_unlock(&u->s->lock);
    return yes;
}

static void pause_for(const tn_sub *u, int ms)
{
    struct pollfd fd = {.fd = u->stop_fd, .events = POLLIN};
    while (poll(&fd, 1, ms) < 0 && errno == EINTR) {}
}

/* Exactly one holder, also here: the one before has ended when this one begins. */
static void wait_predecessor(tn_sub *u)
{
    struct subs *s = u->s;
    pthread_mutex_lock(&s->lock);
    while (u->after != NULL && !u->after->ended) {
        pthread_cond_wait(&s->changed, &s->lock);
    }
    tn_sub *old = u->after;
    u->after = NULL;
    pthread_mutex_unlock(&s->lock);
    sub_unref(old);
}

static int jittered(int ms)
{
    uint32_t r;
    rnd_bytes(&r, sizeof r);
    return ms + (int)(r % ((uint32_t)ms / 2 + 1));
}

static void consume(tn_sub *u)
{
    const struct subs *s = u->s;
    const tn_sub_info info = {
        .size = sizeof info,
        .flags = u->flags,
        .connector = str_of(u->connector),
        .topic = str_of(u->topic),
        .func = str_of(u->func),
        .uid = {u->uid, 16},
        .conf = u->conf,
        .stop_fd = u->stop_fd,
        .done_fd = u->done_fd,
        .since_us = u->wanted_us,
    };
    int backoff = BACKOFF_MS;
    char before[sizeof u->error] = "";
    while (!stops(u)) {
        if ((u->flags & TN_SUB_MULTI) == 0 && !s->deps.holds(s->deps.user, info.uid)) {
            pause_for(u, HOLD_MS);
            continue;
        }
        tn_err err = TN_ERR_INIT;
        sub_state_set(u, SUB_CONNECTING, "");
        uint64_t began = clock_mono_ns();
        tn_rc rc = u->source.ops->consume(u->source.inst, u, &info, &err);
        flow_run_ended(u);
        if (stops(u)) {
            break;
        }
        err.msg[sizeof err.msg - 1] = '\0';
        const char *why = rc == TN_OK          ? "it ended without a reason"
                          : err.msg[0] != '\0' ? err.msg
                                               : err_rc_name(rc);
        pthread_mutex_lock(&u->lock);
        bool steady = u->state == SUB_CONSUMING && clock_mono_ns() - began > STEADY_NS;
        pthread_mutex_unlock(&u->lock);
        bool told = !steady && strncmp(before, why, sizeof before - 1) == 0;
        backoff = steady ? BACKOFF_MS : backoff;
        int ms = jittered(backoff);
        if (!told) { /* the same failure again and again is said once */
            log_warn("connector %s lost its subscription of %s, it tries again: %s", u->connector,
                     u->topic, why);
        }
        snprintf(before, sizeof before, "%.*s", (int)sizeof before - 1, why);
        sub_state_set(u, SUB_FAILED, why);
        pause_for(u, ms);
        backoff = backoff * 2 < BACKOFF_MAX_MS ? backoff * 2 : BACKOFF_MAX_MS;
    }
}

static void *sub_thread(void *user)
{
    tn_sub *u = user;
    struct subs *s = u->s;
    proc_title("tn-sub");
    wait_predecessor(u);
    consume(u);
    pthread_mutex_lock(&s->lock);
    u->ended = true;
    pthread_mutex_unlock(&s->lock);
    sub_leave(u);
    sub_unref(u);
    pthread_mutex_lock(&s->lock);
    s->nthreads--;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

tn_rc sub_thread_start(tn_sub *u, tn_err *err)
{
    struct subs *s = u->s;
    pthread_t thread;
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, 512u << 10);
    pthread_mutex_lock(&s->lock);
    s->nthreads++;
    pthread_mutex_unlock(&s->lock);
    int rc = pthread_create(&thread, &attr, sub_thread, sub_ref(u));
    pthread_attr_destroy(&attr);
    if (rc == 0) {
        return TN_OK;
    }
    pthread_mutex_lock(&s->lock);
    s->nthreads--;
    pthread_mutex_unlock(&s->lock);
    sub_unref(u);
    return err_set(err, TN_E_LIMIT, "no thread for a subscription: %s", strerror(rc));
}
