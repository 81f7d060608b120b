/* SPDX-License-Identifier: Apache-2.0 */
/* The supervisor: signals, what hub and zygote say, the watchdog, stopping in order. It does nothing that
 * could fail later on: no plugin, no store, no request. */
#include "kernel/base/clock.h"
#include "kernel/base/err.h"
#include "kernel/base/fd.h"
#include "kernel/base/log.h"
#include "kernel/base/proc.h"
#include "kernel/supervisor/ctl.h"
#include "kernel/supervisor/supervisor_int.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define STOP_NS  (5 * NS_PER_S) /* on top of the drain time, before the hub is killed */
#define LEAVE_NS (2 * NS_PER_S) /* for the zygote and its workers after the hub */

/* ---- stopping ---------------------------------------------------------------------------------------------- */

static void stop(struct supervisor *s, int code)
{
    if (s->stopping) {
        return;
    }
    s->stopping = 1;
    s->code = code;
    s->kill_at = clock_mono_ns() + (uint64_t)s->settings.drain.ms * NS_PER_MS + STOP_NS;
    notify_send("STOPPING=1");
    child_tell(&s->child[HUB], CTL_DRAIN, -1);
}

static void reap(struct supervisor *s)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        for (int i = 0; i < CHILDREN; i++) {
            if (s->child[i].pid == pid) {
                if (child_died(s, i, status)) {
                    stop(s, 1);
                }
            }
        }
    }
}

/* ---- events ------------------------------------------------------------------------------------------------ */

static void on_ready(struct supervisor *s, int which, const char *text)
{
    s->child[which].was_ready = s->child[which].ready = 1;
    if (which == HUB && !s->stdout_told) {
        s->stdout_told = 1;
        printf("READY %s\n", text);
        fflush(stdout);
    }
    if (which == HUB) {
        char note[CTL_TEXT_MAX + 64];
        snprintf(note, sizeof(note), "READY=1\nSTATUS=serving %s\nMAINPID=%d", text, (int)getpid());
        notify_send(note);
    }
}

static void from_child(struct supervisor *s, int which)
{
    struct child *c = &s->child[which];
    char buf[sizeof(struct ctl_msg) + CTL_TEXT_MAX + 1];
    struct ctl_msg m;
    int fd = -1;
    ssize_t n = fd_recv(c->ctl, buf, sizeof(buf) - 1, &fd, MSG_DONTWAIT);
    fd_close(&fd);
    if (n == 0) {
        fd_close(&c->ctl); /* it ends; its status comes with SIGCHLD */
    }
    if (n < (ssize_t)sizeof(m)) {
        return;
    }
    buf[n] = '\0';
    memcpy(&m, buf, sizeof(m));
    if (m.type == CTL_READY) {
        on_ready(s, which, buf + sizeof(m));
    } else if (m.type == CTL_PONG && which == HUB) {
        s->asked = 0;
        notify_send("WATCHDOG=1");
    } else if (m.type == CTL_SWEEP && which == HUB) {
        const pid_t ours[] = {s->child[HUB].pid, s->child[ZYGOTE].pid};
        int killed = proc_kill_strays(ours, 2);
        if (killed > 0) {
            log_warn("killed %d processes that an old zygote left behind", killed);
        }
    }
}

static void reopen_log(struct supervisor *s)
{
    const char *path = s->settings.log_file;
    if (!path || !*path) {
        return;
    }
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
    if (fd < 0) {
        log_error("log file %s: %s", path, strerror(errno));
        return;
    }
    dup2(fd, STDERR_FILENO);
    child_tell(&s->child[ZYGOTE], CTL_REOPEN, fd); /* first: the hub then has new workers forked */
    child_tell(&s->child[HUB], CTL_REOPEN, fd);
    fd_close(&fd);
}

static void reload(struct supervisor *s)
{
    char note[64];
    snprintf(note, sizeof(note), "RELOADING=1\nMONOTONIC_USEC=%llu",
             (unsigned long long)(clock_mono_ns() / 1000));
    notify_send(note);
    reopen_log(s);
    if (s->child[HUB].was_ready) {
        notify_send("READY=1");
    }
}

/* systemd ends all of us when it hears nothing for WatchdogSec, so it hears of us when the hub's loop answers. While
 * no hub is ready, bringing it back is in our hands. */
static void watch(struct supervisor *s)
{
    const struct child *hub = &s->child[HUB];
    uint64_t now = clock_mono_ns();
    if (!s->watch_ns || now < s->watch_at) {
        return;
    }
    s->watch_at = now + s->watch_ns;
    if (!hub->pid || !hub->ready || s->stopping) {
        s->asked = 0;
        notify_send("WATCHDOG=1");
    } else if (!s->asked) {
        s->asked = 1;
        child_tell(&s->child[HUB], CTL_PING, -1);
    }
}

static void on_signals(struct supervisor *s)
{
    struct signalfd_siginfo si;
    while (read(s->sigfd, &si, sizeof(si)) == (ssize_t)sizeof(si)) {
        if (si.ssi_signo == SIGHUP) {
            reload(s);
        } else if (si.ssi_signo == SIGTERM || si.ssi_signo == SIGINT) {
            if (s->stopping) {
                s->kill_at = clock_mono_ns(); /* asked twice: now */
            }
            log_at(TN_LOG_NOTICE, "stopping: SIG%s from process %u",
                   sigabbrev_np((int)si.ssi_signo), si.ssi_pid);
            stop(s, 0);
        }
    }
    reap(s);
}

/* Milliseconds until something is due, -1 = nothing. Ends the stop step by step. */
static int due(struct supervisor *s)
{
    uint64_t now = clock_mono_ns(), at = UINT64_MAX;
    if (s->stopping) {
        if (s->child[HUB].pid && s->kill_at <= now) {
            log_error("the hub did not stop in time and is killed");
            kill(s->child[HUB].pid, SIGKILL);
            s->kill_at = now + LEAVE_NS;
        } else if (!s->child[HUB].pid && s->stopping == 1) {
            s->stopping = 2;
            fd_close(&s->child[ZYGOTE].ctl); /* leaves at the end of its channel */
            s->kill_at = now + LEAVE_NS;
        } else if (s->stopping == 2 && s->child[ZYGOTE].pid && s->kill_at <= now) {
            kill(s->child[ZYGOTE].pid, SIGKILL);
            s->kill_at = now + LEAVE_NS;
        }
        at = s->kill_at;
    }
    for (int i = 0; i < CHILDREN && !s->stopping; i++) {
        if (!s->child[i].pid && s->child[i].start_at < at) {
            at = s->child[i].start_at;
        }
    }
    if (s->watch_ns && s->watch_at < at) {
        at = s->watch_at;
    }
    return at == UINT64_MAX ? -1 : at <= now ? 0 : (int)((at - now) / NS_PER_MS) + 1;
}

static void serve(struct supervisor *s)
{
    for (;;) {
        children_start_due(s);
        watch(s);
        int wait = due(s);
        if (s->stopping == 2 && !s->child[ZYGOTE].pid) {
            return;
        }
        struct pollfd p[] = {{.fd = s->sigfd, .events = POLLIN},
                             {.fd = s->child[HUB].ctl, .events = POLLIN},
                             {.fd = s->child[ZYGOTE].ctl, .events = POLLIN}};
        if (poll(p, 3, wait) < 0) {
            continue;
        }
        for (int i = 0; i < CHILDREN; i++) {
            if (p[1 + i].revents && s->child[i].ctl == p[1 + i].fd) {
                from_child(s, i);
            }
        }
        if (p[0].revents) {
            on_signals(s);
        }
    }
}

/* ---- start -------------------------------------------------------------------------------------------------- */

static tn_rc prepare(struct supervisor *s, tn_err *err)
{
    ssize_t n = readlink("/proc/self/exe", s->folder, sizeof(s->folder) - 1);
    if (n <= 0) {
        return err_sys(err, errno, "finding our own program");
    }
    s->folder[n] = '\0';
    *strrchr(s->folder, '/') = '\0';
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
    s->sigfd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (s->sigfd < 0 || proc_subreaper()) {
        return err_sys(err, errno, "preparing signals");
    }
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    proc_title("tenond");
    s->watch_ns = notify_watchdog_ns() / 4;
    /* The soft limit is 1024 nearly everywhere, for programs that use select(2); we do not, and every open
     * connection takes a descriptor. Workers set limits of their own. */
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    tn_rc rc = lock_take(s->settings.data, &s->lockfd, err);
    if (!rc) {
        rc = listen_open(&s->listeners, s->settings.listen, err);
    }
    return rc;
}

int supervisor_main(int argc, char **argv)
{
    static struct supervisor s;
    struct conf_problems problems = {.text = BUF_INIT(1u << 20)};
    tn_err err = TN_ERR_INIT;
    s.lockfd = s.sigfd = s.child[HUB].ctl = s.child[ZYGOTE].ctl = -1;
    s.args = argv;
    s.nargs = argc;
    int doctor = argc > 0 && strcmp(argv[0], "--doctor") == 0;
    s.args += doctor;
    s.nargs -= doctor;
    log_open("tenond", TN_LOG_NOTICE, -1);
    if (settings_load(&s.settings, NULL, s.nargs, s.args, &problems) ||
        (!doctor && settings_check_zone(&s.settings, &problems))) {
        fprintf(stderr, "%s",
                problems.text.data ? problems.text.data : "the configuration is unusable\n");
        s.code = problems.usage != 0 ? 2 : 1;
        goto out;
    }
    if (doctor) {
        struct buf out = BUF_INIT(1u << 20);
        supervisor_doctor(&s.settings, &out);
        s.code = out.failed || fd_write_all(STDOUT_FILENO, out.data, out.len);
        buf_finish(&out);
        goto out;
    }
    if (problems.text.len) {
        fprintf(stderr, "%s", problems.text.data); /* warnings */
    }
    settings_open_log(&s.settings, "tenond");
    reopen_log(&s);
    if (prepare(&s, &err)) {
        fprintf(stderr, "tenond: %s\n", err.msg);
        s.code = 1;
        goto out;
    }
    serve(&s);
    /* Workers have seen the end of their channels; whoever did not leave by now does not want to. */
    proc_kill_strays(NULL, 0);
    log_info("stopped");
out:
    listen_close(&s.listeners);
    fd_close(&s.sigfd);
    fd_close(&s.lockfd);
    buf_finish(&problems.text);
    settings_finish(&s.settings);
    return s.code;
}
