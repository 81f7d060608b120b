/* SPDX-License-Identifier: Apache-2.0 */
/* Signals to a worker: soft deadline, stacks, and noticing that the whole platform has gone.
 * Everything here runs in signal handlers: raw system calls only. */
#include "kernel/base/clock.h"
#include "kernel/ipc/sock.h"
#include "kernel/pool/pool.h"
#include "kernel/worker/worker_int.h"
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SIG_PARENT 7 /* offset to SIGRTMIN: the zygote has died */
#define SIG_CHECK  8 /* the timer started then: is the hub gone too? */

static struct worker *self_;

/* A signal to the process may hit any thread; only the main one runs the call. */
static int on_main_thread(int sig)
{
    if (syscall(SYS_gettid) == self_->pid) {
        return 1;
    }
    syscall(SYS_tgkill, self_->pid, self_->pid, sig);
    return 0;
}

static void on_soft(int sig)
{
    int e = errno;
    if (worker_is_self() && on_main_thread(sig)) {
        struct timespec ts;
        uint64_t at = atomic_load_explicit(&self_->soft_at, memory_order_relaxed);
        clock_gettime(CLOCK_MONOTONIC, &ts);
        int cancel = atomic_load(&self_->page->cancel) == self_->seq;
        if (at && (cancel || (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec >= at)) {
            self_->soft_hit = 1;
            self_->conf->lang->soft_timeout(cancel);
            if (cancel && self_->conf->pools != NULL) {
                pools_cancel(self_->conf->pools); /* at its deadline an operation ends by itself */
            }
        }
    }
    errno = e;
}

static void on_stack(int sig)
{
    int e = errno;
    if (worker_is_self() && on_main_thread(sig)) {
        int fd = (int)syscall(SYS_memfd_create, "tenon-stack", MFD_CLOEXEC);
        if (fd >= 0) {
            struct ipc_msg m = {.type = IPC_M_STACK, .id = self_->seq};
            self_->conf->lang->dump_stacks(fd);
            ipc_send(self_->sock, &m, sizeof(m), NULL, 0, &fd, 1, MSG_DONTWAIT);
            close(fd);
        }
    }
    errno = e;
}

/* The zygote has died: usually it is replaced and we finish our call for the hub. When the hub has
 * gone as well nobody would ever end a call that hangs, so look once a second. */
static void on_parent(int sig)
{
    (void)sig;
    if (worker_is_self()) {
        struct itimerspec its = {{1, 0}, {1, 0}};
        int e = errno;
        timer_settime(self_->orphan_timer, 0, &its, NULL);
        errno = e;
    }
}

static void on_check(int sig)
{
    int e = errno;
    struct pollfd p = {.fd = self_->sock, .events = 0};
    (void)sig;
    if (worker_is_self() && poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR))) {
        kill(0, SIGKILL); /* our own process group, us included */
    }
    errno = e;
}

static void on(int offset, void (*handler)(int))
{
    struct sigaction sa = {.sa_handler = handler, .sa_flags = SA_RESTART | SA_ONSTACK};
    sigemptyset(&sa.sa_mask);
    sigaction(SIGRTMIN + offset, &sa, NULL);
}

void signals_init(struct worker *w)
{
    self_ = w;
    struct sigevent ev = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + SIG_CHECK};
    on(IPC_SIG_SOFT, on_soft);
    on(IPC_SIG_STACK, on_stack);
    on(SIG_CHECK, on_check);
    if (timer_create(CLOCK_MONOTONIC, &ev, &w->orphan_timer) == 0) {
        on(SIG_PARENT, on_parent);
        prctl(PR_SET_PDEATHSIG, SIGRTMIN + SIG_PARENT, 0, 0, 0);
    }
}
