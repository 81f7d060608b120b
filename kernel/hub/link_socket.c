/* SPDX-License-Identifier: Apache-2.0 */
/* The socket of a worker: doorbells, descriptors, questions of its script, stacks, its end. */
#include "kernel/base/fd.h"
#include "kernel/base/log.h"
#include "kernel/hub/broker_int.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- questions ------------------------------------------------------------------------------------------ */

static void take_ask(struct link *l, const struct ipc_msg *m, const char *text, int fd)
{
    const char *nul = memchr(text, '\0', m->len < IPC_NAME_MAX + 1 ? m->len : IPC_NAME_MAX + 1);
    struct ask *a = nul && l->nasks < IPC_ASKS_MAX ? calloc(1, sizeof(*a)) : NULL;
    uint64_t size = 0;
    void *map = NULL;
    if (!a) {
        link_kill(l, "it asked in a wrong way or too much at once");
        return;
    }
    tn_str payload = {nul + 1, m->len - (size_t)(nul + 1 - text)};
    if (fd >= 0) {
        if (fd_memfd_size(fd, &size) || size == 0 || size > ASK_MAX ||
            (map = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0)) == MAP_FAILED) {
            free(a);
            link_kill(l, "it asked with a descriptor that cannot be read");
            return;
        }
        payload = (tn_str){map, size};
    }
    a->link = l;
    a->id = m->id;
    list_push_back(&l->asks, &a->node);
    l->nasks++;
    l->b->hooks.ask(l->b->hooks.user, (tn_str){text, (size_t)(nul - text)}, payload, a);
    if (map) {
        munmap(map, size);
    }
}

int broker_wants(const void *token)
{
    return ((const struct ask *)token)->link != NULL;
}

void broker_answer(struct broker *b, void *token, tn_rc rc, tn_str payload)
{
    struct ask *a = token;
    struct link *l = a->link;
    struct ipc_msg m = {.type = IPC_M_ANSWER, .rc = rc, .id = a->id};
    int fd = -1;
    (void)b;
    if (l) {
        list_del(&a->node);
        l->nasks--;
        if (payload.n > IPC_INLINE_MAX) {
            fd = fd_memfd("tenon-answer", payload.s, payload.n);
            if (fd < 0) {
                m.rc = TN_E_NOMEM;
                log_error("answer of %zu bytes: %s", payload.n, strerror(errno));
            }
            payload = (tn_str){"", 0};
        }
        m.len = (uint32_t)payload.n;
        if (ipc_send(l->sock, &m, sizeof(m), payload.s, payload.n, &fd, fd >= 0, MSG_DONTWAIT) &&
            errno == EAGAIN) {
            link_kill(l, "it does not read its answers");
        }
        fd_close(&fd);
    }
    free(a);
}

void link_forget_asks(struct link *l)
{
    for (struct list *n; (n = list_pop_front(&l->asks));) {
        list_entry(n, struct ask, node)->link = NULL; /* broker_answer frees it */
    }
    l->nasks = 0;
}

/* ---- descriptors of large values ------------------------------------------------------------------------- */

void link_close_fds(struct link *l, uint64_t below)
{
    unsigned keep = 0;
    for (unsigned i = 0; i < l->nfds; i++) {
        if (l->fds[i].seq < below) {
            close(l->fds[i].fd);
        } else {
            l->fds[keep++] = l->fds[i];
        }
    }
    l->nfds = keep;
}

static void keep_fd(struct link *l, uint64_t seq, int *fd)
{
    const tn_call *head = l->nsent ? list_entry(l->sent.next, tn_call, node) : NULL;
    link_close_fds(l, head ? head->seq : UINT64_MAX);
    if (head && seq >= head->seq && seq < l->next_seq && l->nfds < WINDOW_CALLS && *fd >= 0) {
        l->fds[l->nfds++] = (struct link_fd){seq, *fd};
        *fd = -1;
    }
}

static void take_stack(struct link *l, uint64_t seq, int fd)
{
    const tn_call *head = l->nsent ? list_entry(l->sent.next, tn_call, node) : NULL;
    if (!head || head->seq != seq || l->stack || fd < 0) {
        return;
    }
    l->stack = malloc(STACK_MAX + 1);
    if (l->stack) {
        ssize_t n = pread(fd, l->stack, STACK_MAX, 0); /* a memfd: never blocks */
        l->stack[n > 0 ? n : 0] = '\0';
    }
}

/* ---- messages ------------------------------------------------------------------------------------------------ */

/* One message: 1 taken, 0 nothing there, -1 the socket has ended. */
static int take_message(struct link *l)
{
    static _Alignas(8) char buf[IPC_MSG_MAX]; /* loop thread only */
    int fds[IPC_FDS_MAX];
    struct ipc_msg m;
    ssize_t n = ipc_recv(l->sock, buf, sizeof(buf), fds, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return 0;
    }
    if (n == 0 || (n < 0 && errno != EMSGSIZE)) {
        return -1;
    }
    if (n < (ssize_t)sizeof(m)) {
        link_kill(l, "it sent a broken message");
        goto out;
    }
    memcpy(&m, buf, sizeof(m));
    if (m.len != (size_t)n - sizeof(m)) {
        link_kill(l, "it sent a broken message");
        goto out;
    }
    switch (m.type) {
    case IPC_M_BELL:
        break; /* the caller drains the ring */
    case IPC_M_FD:
        keep_fd(l, m.id, &fds[0]);
        break;
    case IPC_M_ASK:
        take_ask(l, &m, buf + sizeof(m), fds[0]);
        break;
    case IPC_M_STACK:
        take_stack(l, m.id, fds[0]);
        break;
    case IPC_M_READY:
        if (!l->ready) {
            l->ready = 1;
            if (l->pidfd >= 0 && l->state == LINK_STARTING) {
                group_link_ready(l);
            }
        }
        break;
    default:
        link_kill(l, "it sent an unknown message");
        break;
    }
out:
    fd_close(&fds[0]);
    fd_close(&fds[1]);
    return 1;
}

int link_take_fd(struct link *l, uint64_t seq)
{
    for (;;) {
        for (unsigned i = 0; i < l->nfds; i++) {
            if (l->fds[i].seq == seq) {
                int fd = l->fds[i].fd;
                l->fds[i] = l->fds[--l->nfds];
                return fd;
            }
        }
        /* It was sent before the reply was published, so it is here or it does not exist. */
        if (l->sock < 0 || take_message(l) <= 0) {
            return -1;
        }
    }
}

void link_socket(void *user, uint32_t events)
{
    struct link *l = user;
    int r = take_message(l);
    if (r == 0 && (events & (EPOLLHUP | EPOLLERR))) {
        r = -1;
    }
    if (r < 0) {
        /* Its process ends, which its pidfd tells in a moment, or it closed what it must not close. */
        loop_unwatch(l->b->loop, l->watch);
        l->watch = NULL;
        link_retire(l);
        if (!l->killed) {
            deadline_link(l, WAIT_CLOSED, loop_now(l->b->loop) + CLOSED_NS);
        }
        return;
    }
    link_drain(l);
}
