/* SPDX-License-Identifier: Apache-2.0 */
/* The link to one worker: its page, its rings, what it was given and what came back. Whatever a worker
 * writes can at worst lose its own call. */
#include "kernel/base/clock.h"
#include "kernel/base/err.h"
#include "kernel/base/fd.h"
#include "kernel/base/log.h"
#include "kernel/base/rnd.h"
#include "kernel/hub/broker_int.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* ---- birth -------------------------------------------------------------------------------------------- */

static uint64_t calls_limit(const struct broker *b)
{
    if (!b->worker_calls) {
        return UINT64_MAX;
    }
    /* +-10 %, so that workers of one age are not replaced in the same moment */
    uint32_t r;
    rnd_bytes(&r, sizeof(r));
    uint64_t spread = b->worker_calls / 5 + 1;
    return b->worker_calls - b->worker_calls / 10 + r % spread;
}

struct link *link_fork(struct broker *b, struct group *g)
{
    int pair[2], pagefd;
    tn_err err = TN_ERR_INIT;
    struct link *l = calloc(1, sizeof(*l));
    if (!l) {
        return NULL;
    }
    l->b = b;
    l->group = g;
    l->state = LINK_STARTING;
    l->sock = l->pidfd = -1;
    l->next_seq = 1;
    l->calls_max = calls_limit(b);
    l->fork_ns = clock_mono_ns();
    l->id = b->next_link++;
    list_init(&l->node);
    list_init(&l->sent);
    list_init(&l->asks);
    pagefd = ipc_page_create(&l->page);
    if (pagefd < 0) {
        log_error("page for a worker: %s", strerror(errno));
        goto undo_link;
    }
    if (ipc_pair(pair)) {
        log_error("socket for a worker: %s", strerror(errno));
        goto undo_page;
    }
    l->sock = pair[0];
    if (loop_watch(b->loop, l->sock, EPOLLIN, link_socket, l, &l->watch, &err)) {
        log_error("worker: %s", err.msg);
        goto undo_pair;
    }
    if (zygote_fork(b, l->id, pair[1], pagefd)) {
        goto undo_watch;
    }
    fd_close(&pair[1]);
    fd_close(&pagefd);
    list_push_back(&b->links, &l->all);
    deadline_link(l, WAIT_START, l->fork_ns + START_NS);
    b->forks++;
    return l;

undo_watch:
    loop_unwatch(b->loop, l->watch);
undo_pair:
    fd_close(&pair[0]);
    fd_close(&pair[1]);
undo_page:
    ipc_page_unmap(l->page);
    fd_close(&pagefd);
undo_link:
    free(l);
    return NULL;
}

static void on_pidfd(void *user, uint32_t events)
{
    (void)events;
    link_gone(user);
}

void link_forked(struct link *l, pid_t pid, int pidfd, int error)
{
    tn_err err = TN_ERR_INIT;
    l->pid = pid;
    l->pidfd = pidfd;
    if (error || pidfd < 0) {
        log_error("forking a worker: %s", strerror(error ? error : EBADF));
        if (pid <= 0) {
            l->reported = 1; /* nothing to report about */
            link_gone(l);
        }
        return;
    }
    if (loop_watch(l->b->loop, pidfd, EPOLLIN, on_pidfd, l, &l->pidwatch, &err)) {
        log_error("worker %d: %s", (int)pid, err.msg);
        link_kill(l, "it cannot be watched");
        return;
    }
    if (l->killed) {
        l->killed = 0;
        link_kill(l, l->why); /* decided before we knew the process */
    } else if (l->ready && l->state == LINK_STARTING) {
        group_link_ready(l);
    }
}

void link_free(struct link *l)
{
    struct broker *b = l->b;
    link_forget_asks(l);
    link_close_fds(l, UINT64_MAX);
    deadline_link(l, WAIT_NONE, 0);
    loop_unwatch(b->loop, l->watch);
    loop_unwatch(b->loop, l->pidwatch);
    list_del(&l->node);
    list_del(&l->all);
    ipc_page_unmap(l->page);
    fd_close(&l->sock);
    fd_close(&l->pidfd);
    free(l->stack);
    free(l);
}

/* It has had its calls. Replacing costs more than a thousand short calls, so at a high rate age decides, as
 * long as nothing speaks of a leak. */
static void spent(struct link *l, uint64_t now)
{
    if (now - l->fork_ns < l->b->young_ns && l->peak < l->first_peak + GROWN_BYTES) {
        l->calls_max += calls_limit(l->b);
    }
}

/* ---- giving ----------------------------------------------------------------------------------------------- */

/* Calls in advance. A worker with a short life answers most of it before the rest is given, so that spent() sees
 * how it has grown. */
static unsigned window_calls(const struct broker *b)
{
    return b->worker_calls && b->worker_calls / 4 < WINDOW_CALLS ? b->worker_calls / 4 + 1
                                                                 : WINDOW_CALLS;
}

int link_room(const struct link *l, uint32_t est_ns)
{
    return !l->slow && l->nsent < window_calls(l->b) &&
           (l->nsent == 0 || l->load_ns + est_ns <= WINDOW_NS) && l->calls < l->calls_max;
}

void link_ring(struct link *l)
{
    struct ipc_msg m = {.type = IPC_M_BELL};
    l->unrung_ns = 0;
    atomic_thread_fence(memory_order_seq_cst); /* publish before reading the flag */
    if (atomic_load_explicit(&l->page->worker_sleeps, memory_order_relaxed) &&
        atomic_exchange(&l->page->worker_sleeps, 0)) {
        l->b->bells++;
        /* A full socket holds a bell already; a closed one is noticed by its watch. */
        ipc_send(l->sock, &m, sizeof(m), NULL, 0, NULL, 0, MSG_DONTWAIT);
    }
}

int link_send(struct link *l, tn_call *c, uint64_t now)
{
    uint64_t tail = l->calls_tail;
    unsigned char *p = ipc_ring_reserve(&l->page->calls, &tail, c->size);
    if (!p) {
        return 0;
    }
    if (c->fd >= 0) {
        struct ipc_msg m = {.type = IPC_M_FD, .id = l->next_seq};
        if (ipc_send(l->sock, &m, sizeof(m), NULL, 0, &c->fd, 1, MSG_DONTWAIT)) {
            return 0;
        }
    }
    c->seq = l->next_seq++;
    c->link = l;
    c->state = CALL_CLAIMED;
    c->starts++;
    l->b->nclaimed++;
    memcpy(p, c->frame, c->size);
    memcpy(p + offsetof(struct ipc_frame, seq), &c->seq, sizeof(c->seq));
    l->calls_tail = tail;
    if (l->nsent++ == 0) {
        l->head_ns = now;
        l->check_ns = l->head_ns + WINDOW_NS;
        l->started = 0;
        l->slow = c->est_ns >= WINDOW_NS;
        if (l->slow || l->b->sleepy) {
            atomic_store(&l->page->hub_sleeps, 1);
        }
        if (l->state == LINK_IDLE) {
            group_link_busy(l->group, l);
        }
        check_at(l->b, l->check_ns);
    }
    l->load_ns += c->est_ns;
    if (++l->calls == l->calls_max) {
        spent(l, l->head_ns);
    }
    list_push_back(&l->sent, &c->node);
    ipc_ring_publish(&l->page->calls, tail);
    /* What one look at the network brings goes to the worker at once: it is woken before we sleep, or
     * when there is enough for it to do meanwhile. Counted in work, not in calls: it does short ones faster than
     * they come, and woken for a few of them it would sleep again before the next. */
    l->unrung_ns += c->est_ns;
    if (l->unrung_ns >= BELL_NS || l->b->sleepy) {
        link_ring(l);
    }
    return 1;
}

/* ---- taking ------------------------------------------------------------------------------------------------ */

static void learn_cost(struct broker *b, const tn_call *c, uint32_t cost_us)
{
    uint32_t ns = cost_us > 4000000 ? 4000000000u : cost_us * 1000 + 1000, old = b->cost[c->cell];
    /* One call that lost the processor for a while must not make its function a slow one. */
    ns = old && ns > 8ull * old ? 8 * old : ns;
    b->cost[c->cell] = old ? (uint32_t)((3ull * old + ns) / 4) : ns;
}

/* The first of sent is through: takes it out, the next one is first now. */
static tn_call *pop_head(struct link *l, uint64_t now)
{
    tn_call *c = list_entry(list_pop_front(&l->sent), tn_call, node);
    l->nsent--;
    l->load_ns = l->nsent ? l->load_ns - c->est_ns : 0;
    if (l->wait == WAIT_SOFT || l->wait == WAIT_STACK || l->wait == WAIT_HARD) {
        deadline_link(l, WAIT_NONE, 0);
    }
    l->started = 0;
    l->soft_tries = 0;
    l->cancel_ns = 0;
    l->head_ns = now;
    l->check_ns = l->head_ns + WINDOW_NS;
    free(l->stack);
    l->stack = NULL;
    if (l->group) {
        group_link_fast(l->group, l);
    }
    return c;
}

tn_call *link_pop_head(struct link *l)
{
    return pop_head(l, clock_mono_ns());
}

/* 0, or -1: not what an honest worker sends. */
static int take_reply(struct link *l, const unsigned char *frame, size_t n)
{
    tn_err err = TN_ERR_INIT;
    tn_str s[IPC_REPLY_N];
    struct ipc_reply r;
    tn_call *c = l->nsent ? list_entry(l->sent.next, tn_call, node) : NULL;
    if (ipc_reply_parse(frame, n, s, &err)) {
        log_warn("worker %d: %s", (int)l->pid, err.msg);
        return -1;
    }
    memcpy(&r, frame, sizeof(r));
    if (!c || r.f.seq != c->seq) {
        return -1;
    }
    struct outcome o = {.status = r.status,
                        .value_kind = r.value_kind,
                        .cost_us = r.cost_us,
                        .value = s[IPC_R_VALUE],
                        .control = s[IPC_R_CONTROL],
                        .error = s[IPC_R_ERROR],
                        .value_fd = -1,
                        .value_len = r.len[IPC_R_VALUE],
                        .peak_bytes = r.peak_bytes,
                        .start_us = r.start_us};
    if (r.f.flags & IPC_F_FD) {
        uint64_t size = 0;
        o.value_fd = link_take_fd(l, r.f.seq);
        if (o.value_fd < 0 || fd_memfd_size(o.value_fd, &size) || size != o.value_len) {
            fd_close(&o.value_fd);
            return -1;
        }
    }
    l->peak = r.peak_bytes;
    l->first_peak = l->first_peak ? l->first_peak : r.peak_bytes;
    uint64_t now = clock_mono_ns();
    const char *why = c->cancel ? "its call was cancelled" : "its call had run out of time";
    o.end_us = broker_wall(l->b, now);
    pop_head(l, now);
    learn_cost(l->b, c, r.cost_us);
    if (r.status == TN_CALL_TIMEOUT) {
        /* An exception out of nowhere may have left anything half done, threads and processes too. Before
         * anybody hears of it, who might give it the next call: that one would begin, and again elsewhere. */
        l->answered = 1;
        link_kill(l, why);
    }
    call_complete(c, &o);
    fd_close(&o.value_fd);
    return 0;
}

static int take_log(struct link *l, const unsigned char *frame, size_t n)
{
    struct ipc_frame f;
    memcpy(&f, frame, sizeof(f));
    tn_call *c = l->nsent ? list_entry(l->sent.next, tn_call, node) : NULL;
    if (f.flags > 7 || n - sizeof(f) < f.flags) {
        return -1;
    }
    if (c && f.seq == c->seq) {
        buf_add(&c->logs, frame + sizeof(f), n - sizeof(f) - f.flags);
        if (c->log && !c->orphan) {
            c->log(c->user, (tn_str){(const char *)frame + sizeof(f), n - sizeof(f) - f.flags});
        }
    }
    return 0;
}

unsigned link_drain(struct link *l)
{
    static _Alignas(16) unsigned char frame[IPC_FRAME_MAX]; /* loop thread only */
    unsigned replies = 0;
    int64_t n = 0;
    if (!l->page || l->state == LINK_DEAD || l->draining) {
        return 0;
    }
    l->draining = 1; /* done() may come back here through submit() */
    for (;;) {
        struct ipc_frame f;
        n = ipc_ring_take(&l->page->replies, &l->replies_head, frame, sizeof(frame));
        if (n <= 0) {
            break;
        }
        memcpy(&f, frame, sizeof(f));
        int bad = f.type == IPC_REPLY ? take_reply(l, frame, (size_t)n)
                  : f.type == IPC_LOG ? take_log(l, frame, (size_t)n)
                                      : -1;
        if (bad) {
            n = -1;
            break;
        }
        replies += f.type == IPC_REPLY;
    }
    l->draining = 0;
    if (n < 0 && !l->killed) {
        link_kill(l, "it broke the protocol");
    }
    if (l->slow && l->nsent) {
        atomic_store(&l->page->hub_sleeps, 1);
    }
    if (replies && l->group) {
        if (l->nsent == 0) {
            link_no_calls(l);
        }
        group_dispatch(l->group);
        if (l->nsent) {
            check_at(l->b, l->check_ns);
        } else if (l->b->nclaimed == 0 && l->b->nqueued == 0) {
            check_off(l->b);
        }
    }
    return replies;
}

/* ---- looking and taking back -------------------------------------------------------------------------------- */

/* The claim word as far as it can be true: what was never sent cannot be claimed, and only we revoke. */
static int claim_plausible(const struct link *l, uint64_t word)
{
    return word & IPC_REVOKED ? word == l->revoked_word : word < l->next_seq;
}

unsigned link_revoke(struct link *l)
{
    if (!l->page) {
        return 0; /* it has died: what it had not begun went back then */
    }
    uint64_t claim = atomic_load(&l->page->claim);
    unsigned n = 0;
    if (claim & IPC_REVOKED) {
        return 0; /* the last one was not noticed yet: nothing has started since */
    }
    atomic_store(&l->page->resume, l->next_seq);
    do {
        if (!claim_plausible(l, claim) || (claim & IPC_REVOKED)) {
            link_kill(l, "it broke the protocol");
            return 0;
        }
        l->revoked_word = claim | IPC_REVOKED;
    } while (!atomic_compare_exchange_weak(&l->page->claim, &claim, claim | IPC_REVOKED));
    while (!list_empty(&l->sent)) {
        tn_call *c = list_entry(l->sent.prev, tn_call, node);
        if (c->seq <= claim) {
            break;
        }
        list_del(&c->node);
        l->nsent--;
        l->load_ns = l->nsent ? l->load_ns - c->est_ns : 0;
        call_requeue_front(c);
        n++;
    }
    l->b->revokes += n != 0;
    return n;
}

/* Printing rings no bell; when somebody wants the lines of a long call, they are looked for. */
static void look_for_lines(struct link *l, uint64_t now)
{
    if (l->nsent && !l->killed && list_entry(l->sent.next, tn_call, node)->log != NULL) {
        l->check_ns = now + LOOK_MAX_NS;
        check_at(l->b, l->check_ns);
    }
}

void link_look(struct link *l, uint64_t now)
{
    link_drain(l);
    if (l->nsent == 0 || l->killed || l->wait == WAIT_CLOSED) {
        return;
    }
    if (now < l->check_ns) {
        check_at(l->b, l->check_ns);
        return;
    }
    const tn_call *head = list_entry(l->sent.next, tn_call, node);
    if (l->started && l->slow && l->nsent == 1) {
        look_for_lines(l, now);
        return; /* its deadline is armed, there is nothing more to see */
    }
    uint64_t claim = atomic_load(&l->page->claim);
    if (!claim_plausible(l, claim)) {
        link_kill(l, "it broke the protocol");
        return;
    }
    if ((claim & ~IPC_REVOKED) < head->seq) {
        uint64_t waited = now - l->head_ns;
        if (waited >= STALL_NS) {
            link_kill(l, "it did not take its calls");
            return;
        }
        l->check_ns = now + (waited < LOOK_MAX_NS ? waited : LOOK_MAX_NS);
        check_at(l->b, l->check_ns);
        return;
    }
    if (!l->started) {
        /* The page's word counts only within what we know ourselves. */
        uint64_t at = atomic_load_explicit(&l->page->started_ns, memory_order_relaxed);
        l->started_ns = at < l->head_ns ? l->head_ns : at > now ? now : at;
        l->started = 1;
        deadline_link(l, WAIT_SOFT, l->started_ns + head->timeout_ms * NS_PER_MS);
        if (head->cancel) {
            deadline_cancel(l);
        }
    }
    uint64_t limit = call_estimate(l->b, head->cell) < CHEAP_NS ? PREEMPT_NS : WINDOW_NS;
    if (now - l->started_ns < limit) {
        l->check_ns = l->started_ns + limit;
        check_at(l->b, l->check_ns);
        return;
    }
    if (l->nsent > 1) {
        link_revoke(l);
        if (l->killed) {
            return;
        }
    }
    if (l->group) {
        group_link_slow(l->group, l);
    }
    /* From now on its answers ring: the flag first, then one more look. */
    atomic_store(&l->page->hub_sleeps, 1);
    atomic_thread_fence(memory_order_seq_cst);
    link_drain(l);
    look_for_lines(l, now);
}
