/* SPDX-License-Identifier: Apache-2.0 */
/* Hub and zygote as processes: started, introduced to each other, and started again when they die. */
#include "kernel/base/clock.h"
#include "kernel/base/fd.h"
#include "kernel/base/log.h"
#include "kernel/supervisor/ctl.h"
#include "kernel/supervisor/supervisor_int.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define STEADY_NS    (10 * NS_PER_S)   /* a child that lived that long is restarted at once */
#define DELAY_NS     (100 * NS_PER_MS) /* the second time in a row, doubled up to ... */
#define DELAY_MAX_NS (5 * NS_PER_S)
#define OWN_OPTIONS  (2 * LISTEN_MAX + 8)

static const char *const programs[CHILDREN] = {"tenon-hub", "tenon-worker"};

void child_tell(struct child *c, uint32_t type, int fd)
{
    struct ctl_msg m = {.type = type};
    if (c->pid && fd_send(c->ctl, &m, sizeof(m), fd, MSG_DONTWAIT) < 0) {
        log_warn("telling process %d (message %u): %s", (int)c->pid, type, strerror(errno));
    }
}

static void keep(int fd)
{
    fcntl(fd, F_SETFD, 0);
}

/* In the forked child; everything not named here is closed by exec. */
static _Noreturn void become(struct supervisor *s, int which, int ctl)
{
    char path[sizeof(s->folder) + 32], nums[OWN_OPTIONS][16];
    char **argv = calloc((size_t)s->nargs + OWN_OPTIONS + 2, sizeof(*argv));
    int n = 0, k = 0;
    sigset_t none;
    if (argv == NULL) {
        log_alert("cannot start %s: no memory for its options", programs[which]);
        _exit(127);
    }
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setpgid(0, 0);             /* ^C in a terminal is ours alone */
    unsetenv("NOTIFY_SOCKET"); /* what systemd hears is ours, too */
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
    if (which == HUB) {
        prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0,
              0); /* the zygote ends its workers first, then itself */
    }
    snprintf(path, sizeof(path), "%s/%s", s->folder, programs[which]);
    argv[n++] = path;
    if (which == ZYGOTE) {
        argv[n++] = "--zygote";
    }
    keep(ctl);
    snprintf(nums[k], sizeof(nums[k]), "%d", ctl);
    argv[n++] = "--ctl";
    argv[n++] = nums[k++];
    for (unsigned i = 0; which == HUB && i < s->listeners.n; i++) {
        keep(s->listeners.fds[i]);
        snprintf(nums[k], sizeof(nums[k]), "%d", s->listeners.fds[i]);
        argv[n++] = "--listen-fd";
        argv[n++] = nums[k++];
    }
    if (which == HUB) {
        /* An answer has some forty small pieces; with seven of a size kept ready (glibc's default) a
         * tenth of the hub's time went into finding memory. */
        setenv("GLIBC_TUNABLES", "glibc.malloc.tcache_count=4000", 0);
        keep(s->lockfd); /* the folder stays locked until the hub is gone as well */
    }
    for (int i = 0; i < s->nargs; i++) {
        argv[n++] = s->args[i];
    }
    execv(path, argv);
    log_alert("cannot start %s: %s", path, strerror(errno));
    _exit(127);
}

static void start(struct supervisor *s, int which)
{
    struct child *c = &s->child[which];
    int pair[2];
    c->started_ns = clock_mono_ns();
    c->start_at = 0;
    c->ready = 0;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair)) {
        log_alert("channel to %s: %s", programs[which], strerror(errno));
        c->start_at = c->started_ns + DELAY_MAX_NS;
        return;
    }
    pid_t pid = fork();
    if (pid == 0) {
        become(s, which, pair[1]);
    }
    fd_close(&pair[1]);
    if (pid < 0) {
        log_alert("starting %s: %s", programs[which], strerror(errno));
        fd_close(&pair[0]);
        c->start_at = c->started_ns + DELAY_MAX_NS;
        return;
    }
    c->pid = pid;
    c->ctl = pair[0];
}

/* Makes the two known to each other, again after each restart of one of them. */
static void introduce(struct supervisor *s)
{
    int pair[2];
    if (!s->child[HUB].pid || !s->child[ZYGOTE].pid) {
        return;
    }
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair)) {
        log_alert("channel between hub and zygote: %s", strerror(errno));
        return;
    }
    child_tell(&s->child[ZYGOTE], CTL_PEER, pair[0]);
    child_tell(&s->child[HUB], CTL_PEER, pair[1]);
    fd_close(&pair[0]);
    fd_close(&pair[1]);
}

void children_start_due(struct supervisor *s)
{
    int started = 0;
    for (int i = 0; i < CHILDREN && !s->stopping; i++) {
        struct child *c = &s->child[i];
        if (!c->pid && c->start_at <= clock_mono_ns()) {
            start(s, i);
            started += c->pid != 0;
        }
    }
    if (started) {
        introduce(s);
    }
}

static void describe(int status, char *out, size_t n)
{
    if (WIFSIGNALED(status)) {
        const char *name = sigabbrev_np(WTERMSIG(status));
        snprintf(out, n, "was killed by SIG%s", name ? name : "?");
    } else {
        snprintf(out, n, "left with exit code %d", WEXITSTATUS(status));
    }
}

int child_died(struct supervisor *s, int which, int status)
{
    struct child *c = &s->child[which];
    char how[64];
    describe(status, how, sizeof(how));
    c->pid = 0;
    fd_close(&c->ctl);
    if (s->stopping) {
        if (status && which == HUB) {
            log_warn("%s %s while stopping", programs[which], how);
        }
        return 0;
    }
    log_alert("%s %s", programs[which], how);
    if (!c->was_ready && WIFEXITED(status)) {
        return -1; /* it said why; trying again would not change that */
    }
    uint64_t now = clock_mono_ns(), wait = 0;
    if (now - c->started_ns < STEADY_NS && c->failures++) {
        wait = DELAY_NS << (c->failures < 8 ? c->failures - 2 : 6);
        wait = wait < DELAY_MAX_NS ? wait : DELAY_MAX_NS;
    } else if (now - c->started_ns >= STEADY_NS) {
        c->failures = 0;
    }
    c->start_at = now + wait;
    return 0;
}
