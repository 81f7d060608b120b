/* SPDX-License-Identifier: Apache-2.0 */
/* The end of a worker: which call is lost, which ones go back, and what the caller is told. */
#include "kernel/base/clock.h"
#include "kernel/base/log.h"
#include "kernel/hub/broker_int.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define REPORT_NS 3000000000ull /* the zygote kills descendants first, which may take a moment */

/* "was killed by signal 11 (SEGV)" */
static void describe(const struct link *l, char *out, size_t n)
{
    int s = l->status;
    if (l->memory_limit) {
        snprintf(out, n,
                 "and all it started reached the memory limit of %llu MiB (peak %llu MiB; "
                 "worker_memory) and was killed by the kernel",
                 (unsigned long long)(l->memory_limit >> 20),
                 (unsigned long long)(l->memory_peak >> 20));
    } else if (l->why && (!l->reported || (WIFSIGNALED(s) && WTERMSIG(s) == SIGKILL))) {
        snprintf(out, n, "was killed because %s", l->why);
    } else if (!l->reported) {
        snprintf(out, n, "has gone");
    } else if (WIFSIGNALED(s)) {
        const char *name = sigabbrev_np(WTERMSIG(s));
        snprintf(out, n, "was killed by signal %d (SIG%s)", WTERMSIG(s), name ? name : "?");
    } else {
        snprintf(out, n, "left with exit code %d", WIFEXITED(s) ? WEXITSTATUS(s) : s);
    }
}

/* The name of the limit that ended it, where one did. */
static const char *kind_of(const struct link *l)
{
    int by = l->reported && !l->killed && WIFSIGNALED(l->status) ? WTERMSIG(l->status) : 0;
    return l->memory_limit ? "MemoryLimit"
           : by == SIGXFSZ ? "FileSizeLimit"
           : by == SIGSYS  ? "ForbiddenSystemCall"
                           : "WorkerCrashed";
}

static void finish(struct link *l)
{
    char how[224];
    describe(l, how, sizeof(how));
    tn_call *c = l->lost;
    l->lost = NULL;
    if (c) {
        l->b->crashes++;
        /* Without a reason of ours: the system was out of memory, an operator, or a script itself. */
        c->outside = !l->why && !l->memory_limit &&
                     (!l->reported || (WIFSIGNALED(l->status) && WTERMSIG(l->status) == SIGKILL));
        call_fail(c, TN_CALL_CRASHED, kind_of(l), l->stack, l->lost_us,
                  "the worker process %d that ran this call %s", (int)l->pid, how);
    } else if (l->reported && !l->killed && l->status) {
        log_warn("worker %d %s", (int)l->pid, how);
    }
    struct broker *b = l->b;
    int old = l->old;
    link_free(l);
    if (old && --b->nold == 0 && b->hooks.sweep) {
        b->hooks.sweep(b->hooks.user);
    }
}

/* When the first call began; when that was not seen, not long ago. */
static int64_t began_us(const struct link *l)
{
    int64_t now = clock_wall_us();
    return l->started ? now - (int64_t)((clock_mono_ns() - l->started_ns) / 1000) : now;
}

/* Calls that were not started go back in order; at most the first one is lost, whatever the page says. */
static void return_calls(struct link *l)
{
    uint64_t claim = l->page ? atomic_load(&l->page->claim) & ~IPC_REVOKED : 0;
    while (!list_empty(&l->sent)) {
        int is_head = l->sent.next == l->sent.prev;
        tn_call *c = list_entry(l->sent.prev, tn_call, node);
        list_del(&c->node);
        if (is_head && !l->answered && (l->started || claim >= c->seq)) {
            l->lost = c;
            l->lost_us = began_us(l);
        } else if (c->starts >= RETRIES) {
            l->b->crashes++;
            call_fail(c, TN_CALL_CRASHED, "WorkerCrashed", NULL, 0,
                      "%u worker processes died before they could start this call", c->starts);
        } else {
            call_requeue_front(c);
        }
    }
    l->nsent = 0;
    l->load_ns = 0;
}

void link_gone(struct link *l)
{
    struct group *g = l->group;
    struct broker *b = l->b;
    if (l->state == LINK_DEAD) {
        return;
    }
    link_drain(l); /* what it said before it died counts */
    int failed_start = l->state == LINK_STARTING;
    if (l->state != LINK_LEAVING) {
        group_link_gone(g, l);
    }
    if (failed_start && l->pid > 0) {
        log_error("worker %d died while it started", (int)l->pid);
    }
    l->state = LINK_DEAD;
    return_calls(l);
    if (failed_start) {
        group_start_failed(l);
    }
    loop_unwatch(b->loop, l->watch);
    loop_unwatch(b->loop, l->pidwatch);
    l->watch = l->pidwatch = NULL;
    link_forget_asks(l);
    link_close_fds(l, UINT64_MAX);
    ipc_page_unmap(l->page);
    l->page = NULL;
    deadline_link(l, WAIT_NONE, 0);
    if (l->reported || l->old) {
        finish(l);
    } else {
        deadline_link(l, WAIT_REPORT, clock_mono_ns() + REPORT_NS);
    }
    if (g) {
        group_refill(g);
    } else {
        broker_refill_spares(b);
    }
}

void link_exited(struct link *l, const struct zyg_msg *m)
{
    l->status = m->rc;
    l->reported = 1;
    if (m->memory_hit) { /* even when we have sent a SIGKILL: a large process takes long to go away */
        l->memory_limit = m->limit ? m->limit : 1;
        l->memory_peak = m->peak;
    }
    if (l->state == LINK_DEAD) {
        finish(l);
    } else {
        link_gone(l);
    }
}

void link_report_missing(struct link *l)
{
    if (l->state == LINK_DEAD) {
        finish(l);
    }
}

void link_hard_deadline(struct link *l)
{
    char *stack = l->stack;
    l->stack = NULL;
    int64_t start_us = began_us(l);
    link_kill(l, l->cancel_ns ? "its call was cancelled" : "its call did not end at its deadline");
    l->answered = 1;
    tn_call *c = link_pop_head(l);
    if (c->cancel) {
        call_fail(c, TN_CALL_CANCELED, "Cancelled", stack, start_us,
                  "the call was cancelled and had to be killed");
    } else {
        call_fail(c, TN_CALL_TIMEOUT, "TaskTimeout", stack, start_us,
                  "the call ran longer than its limit of %u ms and was killed", c->timeout_ms);
    }
    free(stack);
}

/* ---- bringing it about ---------------------------------------------------------------------- */

void link_retire(struct link *l)
{
    if (l->state == LINK_LEAVING || l->state == LINK_DEAD) {
        return;
    }
    int starting = l->state == LINK_STARTING;
    group_link_gone(l->group, l);
    l->state = LINK_LEAVING;
    if (starting) {
        group_start_failed(l);
    }
    broker_soon(l->b); /* a replacement now, not when it is reaped */
}

void link_kill(struct link *l, const char *why)
{
    if (l->killed || l->state == LINK_DEAD) {
        return;
    }
    l->killed = 1;
    l->why = why;
    link_retire(l);
    if (l->pidfd >= 0) {
        l->b->kills++;
        log_at(TN_LOG_NOTICE, "worker %d is killed: %s", (int)l->pid, why);
        if (syscall(SYS_pidfd_send_signal, l->pidfd, SIGKILL, NULL, 0) == 0) {
            kill(-l->pid, SIGKILL); /* its number cannot be somebody else's: it is not reaped yet */
        }
    }
    deadline_link(l, WAIT_NONE, 0);
}

void link_leave(struct link *l)
{
    struct ipc_msg m = {.type = IPC_M_EXIT};
    if (l->state == LINK_LEAVING || l->state == LINK_DEAD) {
        return;
    }
    group_link_gone(l->group, l);
    l->state = LINK_LEAVING;
    if (ipc_send(l->sock, &m, sizeof(m), NULL, 0, NULL, 0, MSG_DONTWAIT) && errno == EAGAIN) {
        link_kill(l, "it does not read its messages");
    } else if (l->nsent == 0) {
        link_no_calls(l);
    }
}

void link_no_calls(struct link *l)
{
    if (l->state == LINK_LEAVING && !l->killed) {
        deadline_link(l, WAIT_LEAVE, clock_mono_ns() + LEAVE_NS);
    } else {
        group_link_idle(l->group, l);
    }
}
