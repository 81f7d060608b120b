/* SPDX-License-Identifier: Apache-2.0 */
/* The zygote's workers: forked on request, reaped, and what they leave behind is killed and removed. */
#include "kernel/base/clock.h"
#include "kernel/base/err.h"
#include "kernel/base/fd.h"
#include "kernel/base/log.h"
#include "kernel/base/proc.h"
#include "kernel/worker/zygote_int.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define LEFT_ALONE_NS (5 * NS_PER_S) /* a worker whose hub has gone may finish its call that long */

struct child {
    struct list node;
    pid_t pid;
    uint64_t id;
    unsigned epoch;   /* of the hub channel it belongs to */
    uint64_t kill_at; /* 0 = its hub is alive */
    struct jail_slot slot;
};

void zygote_hub_gone(struct zygote *z)
{
    fd_close(&z->hub);
    z->epoch++;
    uint64_t at = clock_mono_ns() + LEFT_ALONE_NS;
    list_for_each(it, &z->children) {
        struct child *c = list_entry(it, struct child, node);
        c->kill_at = c->kill_at ? c->kill_at : at;
    }
}

/* The control groups of one more worker; 0 when the layer is off. */
static int make_slot(struct zygote *z, struct jail_slot *ret)
{
    char name[64];
    tn_err err = TN_ERR_INIT;
    const struct jail *j = &z->jail;
    if (j->layers[JAIL_CGROUP].state == JAIL_OFF) {
        return 0;
    }
    snprintf(name, sizeof(name), "tenon-%d-%llu", (int)getpid(), (unsigned long long)z->slots++);
    if (jail_cgroup_make(&j->cgroup, name, j->memory, j->processes, ret, &err)) {
        log_error("no worker without its control group: %s", err.msg);
        return -1;
    }
    if (jail_cgroup_watch(&j->cgroup, ret, z->oomfd)) {
        log_warn("memory of %s cannot be watched: %s", name, strerror(errno));
    }
    return 0;
}

void zygote_fork_worker(struct zygote *z, uint64_t id, int sock, int pagefd)
{
    struct zyg_msg m = {.type = ZYG_FORKED, .id = id};
    struct child *c = calloc(1, sizeof(*c));
    pid_t pid = -1;
    errno = ENOMEM;
    if (c && sock >= 0 && pagefd >= 0 && make_slot(z, &c->slot) == 0) {
        z->conf.lang->freeze();
        pid = fork();
    }
    if (pid == 0) {
        worker_main(&z->conf, &c->slot, sock, pagefd);
    }
    if (pid < 0) {
        m.rc = errno ? errno : EINVAL;
        if (c) {
            jail_cgroup_remove(&c->slot);
        }
        free(c);
        zygote_to_hub(z, &m, NULL, -1);
        return;
    }
    setpgid(pid, pid); /* the child does it too: whoever comes first */
    c->pid = pid;
    c->id = id;
    c->epoch = z->epoch;
    list_push_back(&z->children, &c->node);
    z->nchildren++;
    m.pid = pid;
    int pidfd = proc_pidfd(pid); /* safe: nobody but us reaps it */
    if (pidfd < 0) {
        log_error("pidfd of worker %d: %s", (int)pid, strerror(errno));
        m.rc = errno;
        kill(pid, SIGKILL);
    }
    zygote_to_hub(z, &m, NULL, pidfd);
    fd_close(&pidfd);
}

/* What a dead worker left (set free by setsid or double forks) has come to us: nothing of it stays. */
static void kill_strays(struct zygote *z)
{
    pid_t few[64], *keep = few;
    size_t n = 0;
    if (z->nchildren + 1 > sizeof(few) / sizeof(*few)) {
        keep = calloc(z->nchildren + 1, sizeof(*keep));
        if (!keep) {
            return; /* the next exit tries again */
        }
    }
    list_for_each(it, &z->children) {
        keep[n++] = list_entry(it, struct child, node)->pid;
    }
    if (z->janitor) {
        keep[n++] = z->janitor;
    }
    int killed = proc_kill_strays(keep, n);
    if (killed > 0) {
        log_at(TN_LOG_NOTICE, "killed %d processes that a worker left behind", killed);
    }
    if (keep != few) {
        free(keep);
    }
}

/* A group has met its limit of memory: the kernel may have taken a process that the script started, but the
 * call as a whole used too much, and as a whole it ends. */
void zygote_oom(struct zygote *z)
{
    uint64_t n;
    if (read(z->oomfd, &n, sizeof(n)) != (ssize_t)sizeof(n)) {
        return;
    }
    list_for_each(it, &z->children) {
        struct child *c = list_entry(it, struct child, node);
        struct jail_usage u;
        jail_cgroup_usage(&z->jail.cgroup, &c->slot, &u);
        if (u.cause == JAIL_MEMORY) {
            kill(-c->pid, SIGKILL);
            kill(c->pid, SIGKILL);
        }
    }
}

/* What was put aside is removed by a process of its own: it may be a million files. One at a time. */
void zygote_janitor(struct zygote *z)
{
    if (z->janitor || !z->janitor_work) {
        return;
    }
    pid_t pid = fork();
    if (pid == 0) {
        scratch_janitor(z->jail.scratch);
    }
    z->janitor = pid > 0 ? pid : 0;
    z->janitor_work = 0;
}

static void on_exited(struct zygote *z, struct child *c, int status)
{
    struct zyg_msg m = {.type = ZYG_EXITED, .id = c->id, .pid = c->pid, .rc = status};
    struct jail_usage u = {0};
    list_del(&c->node);
    z->nchildren--;
    kill_strays(z);
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) {
        jail_cgroup_usage(&z->jail.cgroup, &c->slot, &u);
        m.memory_hit = u.cause == JAIL_MEMORY;
        m.limit = u.limit;
        m.peak = u.peak;
    }
    if (jail_cgroup_remove(&c->slot)) {
        log_warn("control group %s cannot be removed", c->slot.path[0]);
    }
    z->janitor_work |= scratch_ended(z->jail.scratch, c->pid);
    zygote_janitor(z);
    if (c->epoch == z->epoch) {
        zygote_to_hub(z, &m, NULL, -1);
    }
    free(c);
}

void zygote_reap(struct zygote *z)
{
    struct signalfd_siginfo si;
    while (read(z->sigfd, &si, sizeof(si)) > 0) {}
    for (;;) {
        siginfo_t info = {0};
        if (waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) || info.si_pid == 0) {
            return;
        }
        struct child *c = NULL;
        list_for_each(it, &z->children) {
            struct child *k = list_entry(it, struct child, node);
            c = k->pid == info.si_pid ? k : c;
        }
        if (c) {
            kill(-info.si_pid,
                 SIGKILL); /* its group, while the number is certainly still its own */
        }
        int status = 0;
        waitpid(info.si_pid, &status, 0);
        if (c) {
            on_exited(z, c, status);
        } else if (info.si_pid == z->janitor) {
            z->janitor = 0;
            zygote_janitor(z);
        }
    }
}

int zygote_kill_left_alone(struct zygote *z)
{
    uint64_t now = clock_mono_ns(), next = UINT64_MAX;
    list_for_each(it, &z->children) {
        struct child *c = list_entry(it, struct child, node);
        if (c->kill_at && c->kill_at <= now) {
            log_warn("worker %d outlived its hub: killed", (int)c->pid);
            kill(-c->pid, SIGKILL);
            kill(c->pid, SIGKILL);
            c->kill_at = UINT64_MAX;
        } else if (c->kill_at && c->kill_at < next) {
            next = c->kill_at;
        }
    }
    return next == UINT64_MAX ? -1 : (int)((next - now) / NS_PER_MS) + 1;
}

/* The platform ends: nothing of it stays, not even what is deaf to every signal but this. */
void zygote_end_workers(struct zygote *z)
{
    for (struct list *n; (n = list_pop_front(&z->children));) {
        struct child *c = list_entry(n, struct child, node);
        kill(-c->pid, SIGKILL);
        free(c);
    }
    proc_kill_strays(NULL, 0);
    jail_cgroup_close(&z->jail.cgroup);
    scratch_sweep(z->jail.scratch);
}
