/* SPDX-License-Identifier: Apache-2.0 */
/* Everything the broker does because time has passed: the look at busy workers, deadlines of calls,
 * starts and exits, limits of the wait. Nothing is armed while nothing runs. */
#include "kernel/base/clock.h"
#include "kernel/base/log.h"
#include "kernel/hub/broker_int.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SOFT_TRIES    3u
#define SOFT_AGAIN_NS 300000000ull /* the script may have swallowed the exception */

/* ---- heaps ------------------------------------------------------------------------------------------- */

static void arm(struct broker *b)
{
    struct heap_node *l = heap_top(&b->deadlines), *w = heap_top(&b->waits);
    uint64_t at = l ? l->at : 0;
    if (w && (!at || w->at < at)) {
        at = w->at;
    }
    loop_timer_set(b->loop, b->deadline_timer, at);
}

static void add(struct broker *b, struct heap *h, struct heap_node *n, uint64_t at)
{
    if (heap_add(h, n, at)) {
        log_alert("out of memory for a deadline"); /* going on would mean calls without an end */
        abort();
    }
    arm(b);
}

void deadline_link(struct link *l, enum link_wait wait, uint64_t at_ns)
{
    l->wait = wait;
    if (wait != WAIT_NONE) {
        add(l->b, &l->b->deadlines, &l->timer, at_ns);
    } else if (l->timer.pos) {
        heap_del(&l->b->deadlines, &l->timer);
        arm(l->b);
    }
}

void deadline_call(tn_call *c)
{
    uint64_t at = c->group->conf.queue_wait_ns ? c->queued_ns + c->group->conf.queue_wait_ns : 0;
    if (c->expires_ns && (!at || c->expires_ns < at)) {
        at = c->expires_ns;
    }
    if (at) {
        add(c->b, &c->b->waits, &c->timer, at);
    }
}

void deadline_call_off(tn_call *c)
{
    if (c->timer.pos) {
        heap_del(&c->b->waits, &c->timer);
        arm(c->b);
    }
}

/* ---- what happens then ----------------------------------------------------------------------------------- */

static void waited_too_long(tn_call *c, uint64_t now)
{
    list_del(&c->node);
    if (c->expires_ns && now >= c->expires_ns) {
        call_fail(c, TN_CALL_EXPIRED, "TaskExpired", NULL, 0,
                  "the call waited longer than its limit and was not started");
    } else {
        call_fail(c, TN_CALL_OVERLOAD, "Overload", NULL, 0,
                  "no worker of group \"%s\" was free in time", c->group->conf.name);
    }
}

static void signal_worker(struct link *l, int offset)
{
    if (l->pidfd >= 0 && syscall(SYS_pidfd_send_signal, l->pidfd, SIGRTMIN + offset, NULL, 0) &&
        errno != ESRCH) {
        log_error("signalling worker %d: %s", (int)l->pid, strerror(errno));
    }
}

/* The soft deadline, once more while it is ignored, the stacks, the hard deadline. */
static void next_step(struct link *l, uint64_t now)
{
    tn_call *c = list_entry(l->sent.next, tn_call, node);
    uint64_t hard = l->started_ns + c->timeout_ms * NS_PER_MS + l->b->grace_ns;
    hard = l->cancel_ns && l->cancel_ns < hard ? l->cancel_ns : hard;
    uint64_t stack = hard > now + STACK_NS ? hard - STACK_NS : now;
    if (l->wait == WAIT_SOFT) {
        signal_worker(l, IPC_SIG_SOFT);
        if (++l->soft_tries < SOFT_TRIES && now + SOFT_AGAIN_NS < stack) {
            deadline_link(l, WAIT_SOFT, now + SOFT_AGAIN_NS);
        } else {
            deadline_link(l, WAIT_STACK, stack);
        }
    } else if (l->wait == WAIT_STACK) {
        signal_worker(l, IPC_SIG_STACK);
        deadline_link(l, WAIT_HARD, hard);
    } else {
        link_hard_deadline(l);
    }
}

void deadline_cancel(struct link *l)
{
    const tn_call *c = list_entry(l->sent.next, tn_call, node);
    uint64_t now = clock_mono_ns();
    l->cancel_ns = now + c->grace_ns;
    l->soft_tries = 0;
    atomic_store(&l->page->cancel, c->seq); /* the worker asks whether the signal is meant for it */
    deadline_link(l, WAIT_SOFT, now);
}

static void link_due(struct link *l, uint64_t now)
{
    switch (l->wait) {
    case WAIT_START:
        link_kill(l, "it did not start in time");
        break;
    case WAIT_LEAVE:
        link_kill(l, "it did not leave in time");
        break;
    case WAIT_CLOSED:
        link_kill(l, "it closed its channel to the platform");
        break;
    case WAIT_REPORT:
        link_report_missing(l);
        break;
    case WAIT_SOFT:
    case WAIT_STACK:
    case WAIT_HARD:
        link_drain(l); /* the answer may be there already; then the wait is another one */
        if (l->started && l->nsent && !l->killed) {
            next_step(l, now);
        }
        break;
    case WAIT_NONE:
        break;
    }
}

static void on_deadline(void *user)
{
    struct broker *b = user;
    uint64_t now = loop_now(b->loop);
    struct heap_node *n;
    while ((n = heap_top(&b->waits)) && n->at <= now) {
        heap_del(&b->waits, n);
        waited_too_long(list_entry(n, tn_call, timer), now);
    }
    while ((n = heap_top(&b->deadlines)) && n->at <= now) {
        struct link *l = list_entry(n, struct link, timer);
        heap_del(&b->deadlines, n);
        link_due(l, now);
    }
    arm(b);
}

/* ---- the look at busy workers ------------------------------------------------------------------------------ */

void check_at(struct broker *b, uint64_t at_ns)
{
    if (!b->check_at || at_ns < b->check_at) {
        b->check_at = at_ns;
        loop_timer_set(b->loop, b->check_timer, at_ns);
    }
}

void check_off(struct broker *b)
{
    if (b->check_at) {
        b->check_at = 0;
        loop_timer_set(b->loop, b->check_timer, 0);
    }
}

static void look_at(struct list *links, uint64_t now)
{
    list_for_each_safe(it, links) {
        struct link *l = list_entry(it, struct link, node);
        if (l->nsent && !l->killed) {
            link_look(l, now);
        }
    }
}

static void on_check(void *user)
{
    struct broker *b = user;
    uint64_t now = loop_now(b->loop);
    b->check_at = 0;
    for (unsigned i = 0; i < b->ngroups; i++) {
        struct group *g = &b->groups[i];
        look_at(&g->fast, now);
        look_at(&g->slow, now);
        look_at(&g->other, now);
        group_dispatch(g);
        group_grow(g, now);
    }
}

/* What must not happen inside a completion: refilling, telling that nothing runs any more. */
static void on_soon(void *user)
{
    struct broker *b = user;
    for (unsigned i = 0; i < b->ngroups; i++) {
        group_refill(&b->groups[i]);
        group_grow(&b->groups[i], loop_now(b->loop));
    }
    if (b->draining == 2 && b->drained) {
        void (*done)(void *) = b->drained;
        b->drained = NULL;
        done(b->drained_user);
    }
}

void broker_soon(struct broker *b)
{
    loop_timer_set(b->loop, b->soon_timer, loop_now(b->loop));
}

/* ---- around every sleep --------------------------------------------------------------------------------------- */

/* Answers of workers with short calls come without a bell while we are awake. */
static void on_woke(void *user)
{
    struct broker *b = user;
    b->sleepy = 0;
    for (unsigned i = 0; i < b->ngroups; i++) {
        struct group *g = &b->groups[i];
        list_for_each_safe(it, &g->fast) {
            struct link *l = list_entry(it, struct link, node);
            atomic_store_explicit(&l->page->hub_sleeps, 0, memory_order_relaxed);
            link_drain(l);
        }
    }
}

static void ring_all(struct list *busy)
{
    list_for_each(it, busy) {
        struct link *l = list_entry(it, struct link, node);
        if (l->unrung_ns) {
            link_ring(l);
        }
    }
}

static uint64_t on_prepare(void *user)
{
    struct broker *b = user;
    unsigned found = 0, asleep = 0;
    for (unsigned i = 0; i < b->ngroups; i++) {
        ring_all(&b->groups[i].fast);
        ring_all(&b->groups[i].slow);
    }
    for (unsigned i = 0; i < b->ngroups; i++) {
        list_for_each(it, &b->groups[i].fast) {
            atomic_store_explicit(&list_entry(it, struct link, node)->page->hub_sleeps, 1,
                                  memory_order_relaxed);
            asleep++;
        }
    }
    b->sleepy = 1; /* what another hook sends now asks for a bell itself */
    if (!asleep) {
        return UINT64_MAX;
    }
    /* The flag is visible before we look: a worker either sees it or its answer is seen here. */
    atomic_thread_fence(memory_order_seq_cst);
    for (unsigned i = 0; i < b->ngroups; i++) {
        list_for_each_safe(it, &b->groups[i].fast) {
            found += link_drain(list_entry(it, struct link, node));
        }
    }
    return found ? 0 : UINT64_MAX;
}

tn_rc deadline_init(struct broker *b, tn_err *err)
{
    heap_init(&b->deadlines);
    heap_init(&b->waits);
    tn_rc rc = loop_timer(b->loop, on_deadline, b, &b->deadline_timer, err);
    if (!rc) {
        rc = loop_timer(b->loop, on_check, b, &b->check_timer, err);
    }
    if (!rc) {
        rc = loop_timer(b->loop, on_soon, b, &b->soon_timer, err);
    }
    if (!rc) {
        rc = loop_prepare(b->loop, on_prepare, b, err);
    }
    if (!rc) {
        rc = loop_woke(b->loop, on_woke, b, err);
    }
    return rc;
}

void deadline_finish(struct broker *b)
{
    loop_timer_free(b->loop, b->deadline_timer);
    loop_timer_free(b->loop, b->check_timer);
    loop_timer_free(b->loop, b->soon_timer);
    heap_finish(&b->deadlines);
    heap_finish(&b->waits);
}
