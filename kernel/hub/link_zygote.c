/* SPDX-License-Identifier: Apache-2.0 */
/* The hub's channel to the zygote: forks, exits, compiled code; and what a change of zygote means. */
#include "kernel/base/fd.h"
#include "kernel/base/log.h"
#include "kernel/hub/broker_int.h"
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>

#define JAIL_TEXT_MAX 65536u

int zygote_fork(struct broker *b, uint64_t id, int sock, int pagefd)
{
    const struct zyg_msg m = {.type = ZYG_FORK, .id = id};
    const int fds[2] = {sock, pagefd};
    if (b->zygote < 0) {
        return -1;
    }
    if (ipc_send(b->zygote, &m, sizeof(m), NULL, 0, fds, 2, MSG_DONTWAIT)) {
        log_warn("asking for a worker: %s", strerror(errno));
        return -1;
    }
    return 0;
}

static struct link *find(struct broker *b, uint64_t id)
{
    list_for_each(it, &b->links) {
        struct link *l = list_entry(it, struct link, all);
        if (l->id == id) {
            return l;
        }
    }
    return NULL;
}

void zygote_close(struct broker *b)
{
    loop_unwatch(b->loop, b->zygote_watch);
    b->zygote_watch = NULL;
    fd_close(&b->zygote);
}

/* Nobody will report about its workers any more. Those that run go on; the others never started. */
static void zygote_lost(struct broker *b)
{
    zygote_close(b);
    b->zygote_epoch++;
    b->compiling = 0;
    list_for_each_safe(it, &b->links) {
        struct link *l = list_entry(it, struct link, all);
        if (l->old) {
            continue;
        }
        l->old = 1;
        b->nold++;
        if (l->pidfd < 0) {
            link_gone(l); /* the fork did not happen, or we will never know the process */
        } else if (l->state == LINK_DEAD) {
            link_report_missing(l);
        }
    }
}

static void take_jail(struct broker *b, int fd)
{
    uint64_t size = 0;
    void *p = MAP_FAILED;
    if (fd_memfd_size(fd, &size) == 0 && size > 0 && size <= JAIL_TEXT_MAX) {
        p = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
    }
    if (p != MAP_FAILED) {
        buf_clear(&b->jail);
        buf_add(&b->jail, p, size);
        munmap(p, size);
    }
}

static void on_message(struct broker *b, const struct zyg_msg *m, tn_str script, int *fd)
{
    struct link *l = m->type == ZYG_FORKED || m->type == ZYG_EXITED ? find(b, m->id) : NULL;
    switch (m->type) {
    case ZYG_FORKED:
        if (l) {
            link_forked(l, m->pid, *fd, m->rc);
            *fd = -1;
        }
        break;
    case ZYG_EXITED:
        if (l) {
            link_exited(l, m);
        }
        break;
    case ZYG_JAIL:
        take_jail(b, *fd);
        break;
    case ZYG_COMPILED:
        preload_compiled(b, m, script, *fd);
        break;
    default:
        log_error("unknown message %u from the zygote", m->type);
        break;
    }
}

static void on_zygote(void *user, uint32_t events)
{
    struct broker *b = user;
    union {
        struct zyg_msg m;
        char space[sizeof(struct zyg_msg) + ZYG_SCRIPT_MAX];
    } u;
    int fds[IPC_FDS_MAX];
    ssize_t n;
    (void)events;
    while (b->zygote >= 0) {
        n = ipc_recv(b->zygote, &u, sizeof(u), fds, MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            break;
        }
        if (n == 0 || (n < 0 && errno != EMSGSIZE)) {
            log_at(TN_LOG_NOTICE, "the worker zygote has gone");
            zygote_lost(b);
            break;
        }
        if (n >= (ssize_t)sizeof(u.m) && u.m.len == (size_t)n - sizeof(u.m)) {
            on_message(b, &u.m, (tn_str){u.space + sizeof(u.m), u.m.len}, &fds[0]);
        }
        fd_close(&fds[0]);
        fd_close(&fds[1]);
    }
}

void broker_zygote(struct broker *b, int fd)
{
    tn_err err = TN_ERR_INIT;
    if (b->zygote >= 0) {
        zygote_lost(b);
    }
    ipc_tune(fd);
    b->zygote = fd;
    if (loop_watch(b->loop, fd, EPOLLIN, on_zygote, b, &b->zygote_watch, &err)) {
        log_alert("channel to the zygote: %s", err.msg);
        fd_close(&b->zygote);
        return;
    }
    list_for_each_safe(it, &b->links) {
        struct link *l = list_entry(it, struct link, all);
        if (l->old) {
            link_leave(l);
        }
    }
    preload_all(b);
    for (unsigned i = 0; i < b->ngroups; i++) {
        b->groups[i].grow_at = 0;
        group_refill(&b->groups[i]);
    }
    preload_pump(b);
}

void broker_renew(struct broker *b)
{
    list_for_each_safe(it, &b->links) {
        struct link *l = list_entry(it, struct link, all);
        link_leave(l); /* one that starts finds the message when it is up */
    }
    for (unsigned i = 0; i < b->ngroups; i++) {
        group_refill(&b->groups[i]);
    }
    broker_refill_spares(b);
}
