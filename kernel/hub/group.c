/* SPDX-License-Identifier: Apache-2.0 */
/* A group of workers with one queue: who gets the next call, when another worker is woken or forked,
 * and when one is sent home. */
#include "kernel/base/clock.h"
#include "kernel/base/err.h"
#include "kernel/base/log.h"
#include "kernel/hub/broker_int.h"
#include <stdlib.h>

#define BACKOFF_NS     100000000ull /* after a failed start, doubled up to ... */
#define BACKOFF_MAX_NS 5000000000ull

tn_rc group_init(struct group *g, struct broker *b, const struct broker_group_conf *conf,
                 tn_err *err)
{
    g->b = b;
    g->conf = *conf;
    list_init(&g->pending);
    list_init(&g->idle);
    list_init(&g->fast);
    list_init(&g->slow);
    list_init(&g->other);
    if (conf->workers_max == 0 || conf->workers_min > conf->workers_max) {
        return err_set(err, TN_E_CONFIG,
                       "worker group \"%s\": %u..%u workers (expected min <= max, max >= 1)",
                       conf->name, conf->workers_min, conf->workers_max);
    }
    return loop_timer(b->loop, group_shrink, g, &g->shrink, err);
}

void group_finish(struct group *g)
{
    while (!list_empty(&g->pending)) {
        tn_call *c = list_entry(list_pop_front(&g->pending), tn_call, node);
        call_fail(c, TN_CALL_CANCELED, "Cancelled", NULL, 0, "the platform is stopping");
    }
    loop_timer_free(g->b->loop, g->shrink);
}

/* ---- dispatch ------------------------------------------------------------------------------------------ */

static struct link *first_idle(const struct group *g)
{
    return list_empty(&g->idle) ? NULL : list_entry(g->idle.next, struct link, node);
}

/* How long call c may wait before another worker is woken than the `awake` ones. While processors are
 * free that is the window; beyond that a further process would only take time from those that run. */
static uint64_t patience(const struct group *g, const tn_call *c, unsigned awake)
{
    return c->est_ns >= WINDOW_NS || awake < g->b->processors ? WINDOW_NS : CROWDED_NS;
}

static unsigned count_awake(const struct group *g)
{
    unsigned n = 0;
    list_for_each(it, &g->fast) {
        n++;
    }
    return n;
}

/* The worker for call c, or NULL: it waits. Waking a sleeping process costs more than most calls, so
 * an awake worker is preferred as long as its queue is short in time. */
static struct link *pick(struct group *g, const tn_call *c, uint64_t now)
{
    struct link *idle = first_idle(g);
    if (c->est_ns >= WINDOW_NS) {
        return idle;
    }
    unsigned awake = 0;
    list_for_each(it, &g->fast) {
        struct link *l = list_entry(it, struct link, node);
        if (link_room(l, c->est_ns)) {
            return l;
        }
        awake++;
    }
    if (awake == 0) {
        return idle;
    }
    uint64_t limit = patience(g, c, awake);
    uint64_t drain = (uint64_t)c->est_ns * (g->npending + 1) / awake;
    if (drain < limit && now - c->queued_ns < limit) {
        return NULL; /* the awake ones will be through before another is up */
    }
    return idle;
}

void group_dispatch(struct group *g)
{
    group_dispatch_at(g, 0);
}

void group_dispatch_at(struct group *g, uint64_t now)
{
    while (!list_empty(&g->pending)) {
        tn_call *c = list_entry(g->pending.next, tn_call, node);
        now = now ? now : clock_mono_ns();
        if (c->fd < 0) {
            c->est_ns = call_estimate(g->b, c->cell); /* it may be known better by now */
        }
        struct link *l = pick(g, c, now);
        if (!l) {
            break;
        }
        list_del(&c->node);
        g->npending--;
        g->b->nqueued--;
        if (!link_send(l, c, now)) {
            list_push_front(&g->pending, &c->node);
            g->npending++;
            g->b->nqueued++;
            break;
        }
        deadline_call_off(c);
    }
    if (!list_empty(&g->pending) && (g->nidle || g->nworkers < g->conf.workers_max)) {
        const tn_call *c = list_entry(g->pending.next, tn_call, node);
        uint64_t at = c->queued_ns + (g->nidle ? patience(g, c, count_awake(g)) : GROW_NS);
        check_at(g->b, at > now ? at : now + WINDOW_NS);
    }
}

/* ---- states of links --------------------------------------------------------------------------------------- */

static void tell_ready(struct broker *b)
{
    if (b->ready_told) {
        return;
    }
    for (unsigned i = 0; i < b->ngroups; i++) {
        const struct group *g = &b->groups[i];
        if (g->nidle + g->nbusy < g->conf.workers_min) {
            return;
        }
    }
    b->ready_told = 1;
    if (b->hooks.ready) {
        b->hooks.ready(b->hooks.user);
    }
}

static void count_in(struct group *g, struct link *l)
{
    if (!l->counted) {
        l->counted = 1;
        g->nworkers++;
    }
}

static void set_idle(struct group *g, struct link *l, uint64_t now)
{
    list_del(&l->node);
    list_push_front(&g->idle, &l->node);
    l->state = LINK_IDLE;
    l->idle_ns = now;
    g->nidle++;
    if (g->nworkers > g->conf.workers_min) {
        const struct link *oldest = list_entry(g->idle.prev, struct link, node);
        loop_timer_set(g->b->loop, g->shrink, oldest->idle_ns + g->b->idle_ns);
    }
}

void group_link_ready(struct link *l)
{
    struct group *g = l->group;
    struct broker *b = l->b;
    deadline_link(l, WAIT_NONE, 0);
    if (!g) {
        b->nstarting_spares--;
        b->nspares++;
        l->state = LINK_SPARE;
        list_del(&l->node);
        list_push_back(&b->spares, &l->node);
        /* Somebody may have needed one in the meantime. */
        for (unsigned i = 0; i < b->ngroups; i++) {
            group_refill(&b->groups[i]);
        }
        return;
    }
    g->nstarting--;
    g->failures = 0;
    set_idle(g, l, clock_mono_ns());
    group_dispatch(g);
    tell_ready(b);
    broker_refill_spares(b);
}

void group_link_busy(struct group *g, struct link *l)
{
    list_del(&l->node);
    list_push_back(l->slow ? &g->slow : &g->fast, &l->node);
    l->state = LINK_BUSY;
    g->nidle--;
    g->nbusy++;
}

void group_link_idle(struct group *g, struct link *l)
{
    if (l->state != LINK_BUSY) {
        return;
    }
    g->nbusy--;
    if (l->calls >= l->calls_max) {
        g->nidle++; /* link_leave expects one of the idle ones */
        l->state = LINK_IDLE;
        link_leave(l);
        group_refill(g);
    } else {
        set_idle(g, l, l->head_ns);
    }
}

void group_link_slow(struct group *g, struct link *l)
{
    if (!l->slow) {
        l->slow = 1;
        if (l->state == LINK_BUSY) {
            list_del(&l->node);
            list_push_back(&g->slow, &l->node);
        }
    }
}

void group_link_fast(struct group *g, struct link *l)
{
    if (l->slow) {
        l->slow = 0;
        if (l->state == LINK_BUSY) {
            list_del(&l->node);
            list_push_back(&g->fast, &l->node);
        }
    }
}

void group_link_gone(struct group *g, struct link *l)
{
    list_del(&l->node);
    if (!g) {
        struct broker *b = l->b;
        b->nspares -= l->state == LINK_SPARE;
        b->nstarting_spares -= l->state == LINK_STARTING;
        list_push_back(&b->other, &l->node);
        return;
    }
    list_push_back(&g->other, &l->node);
    g->nidle -= l->state == LINK_IDLE;
    g->nbusy -= l->state == LINK_BUSY;
    g->nstarting -= l->state == LINK_STARTING;
    if (l->counted) {
        l->counted = 0;
        g->nworkers--;
    }
}

void group_start_failed(struct link *l)
{
    struct group *g = l->group ? l->group : &l->b->groups[0];
    uint64_t wait = BACKOFF_NS << (g->failures < 6 ? g->failures : 6);
    g->failures++;
    g->grow_at = clock_mono_ns() + (wait < BACKOFF_MAX_NS ? wait : BACKOFF_MAX_NS);
    loop_timer_set(l->b->loop, l->b->soon_timer, g->grow_at);
}

/* ---- growing and shrinking ------------------------------------------------------------------------------------ */

/* One more worker: a spare at once, or a fork. 0 when that is impossible now. */
static int add_worker(struct group *g, uint64_t now)
{
    struct broker *b = g->b;
    struct link *l;
    if (b->nspares) {
        l = list_entry(b->spares.next, struct link, node);
        b->nspares--;
        l->group = g;
        count_in(g, l);
        set_idle(g, l, now);
        return 1;
    }
    if (now < g->grow_at) {
        loop_timer_set(b->loop, b->soon_timer, g->grow_at);
        return 0;
    }
    l = link_fork(b, g);
    if (!l) {
        return 0;
    }
    list_push_back(&g->other, &l->node);
    count_in(g, l);
    g->nstarting++;
    return 1;
}

void broker_refill_spares(struct broker *b)
{
    for (unsigned i = 0; i < b->ngroups; i++) {
        const struct group *g = &b->groups[i];
        if (g->nidle + g->nbusy < g->conf.workers_min || clock_mono_ns() < g->grow_at) {
            return; /* first things first */
        }
    }
    while (!b->closing && b->zygote >= 0 && b->nspares + b->nstarting_spares < SPARES) {
        struct link *l = link_fork(b, NULL);
        if (!l) {
            return;
        }
        list_push_back(&b->other, &l->node);
        b->nstarting_spares++;
    }
}

void group_refill(struct group *g)
{
    struct broker *b = g->b;
    if (b->closing || b->zygote < 0) {
        return;
    }
    uint64_t now = clock_mono_ns();
    while (g->nworkers < g->conf.workers_min && add_worker(g, now)) {}
    broker_refill_spares(b);
    group_dispatch(g);
    tell_ready(b);
}

/* More processes do not make short calls faster, they only share the cores: workers must be stuck. */
static int all_stuck(const struct group *g, uint64_t now)
{
    if (!list_empty(&g->fast)) {
        return 0;
    }
    list_for_each(it, &g->slow) {
        const struct link *l = list_entry(it, struct link, node);
        if (!l->started || now < l->started_ns + STUCK_NS) {
            return 0;
        }
    }
    return 1;
}

void group_grow(struct group *g, uint64_t now)
{
    struct broker *b = g->b;
    if (b->closing || b->zygote < 0 || g->nidle || list_empty(&g->pending) ||
        g->nworkers >= g->conf.workers_max) {
        return;
    }
    const tn_call *oldest = list_entry(g->pending.next, tn_call, node);
    if (g->nbusy && now < oldest->queued_ns + LATE_NS && !all_stuck(g, now)) {
        check_at(b, now + GROW_NS);
        return;
    }
    /* At most doubling: what starts now may already be enough. */
    unsigned want = g->nworkers ? g->nworkers : 1;
    want = g->npending < want ? g->npending : want;
    want = g->conf.workers_max - g->nworkers < want ? g->conf.workers_max - g->nworkers : want;
    want = want > g->nstarting ? want - g->nstarting : 0;
    while (want-- && add_worker(g, now)) {
        b->grows++;
    }
    group_dispatch(g);
    broker_refill_spares(b);
    if (!list_empty(&g->pending) && g->nworkers < g->conf.workers_max) {
        check_at(b, now + GROW_NS);
    }
}

void group_shrink(void *group)
{
    struct group *g = group;
    uint64_t now = loop_now(g->b->loop);
    while (g->nworkers > g->conf.workers_min && g->nidle) {
        struct link *l = list_entry(g->idle.prev, struct link, node);
        if (l->idle_ns + g->b->idle_ns > now) {
            loop_timer_set(g->b->loop, g->shrink, l->idle_ns + g->b->idle_ns);
            return;
        }
        link_leave(l);
    }
}
