/* SPDX-License-Identifier: Apache-2.0 */
/* What a fresh worker gives up before it runs anything of a user: signals, descriptors, its group, and
 * then the rest by the jail. */
#include "kernel/base/err.h"
#include "kernel/base/fd.h"
#include "kernel/base/log.h"
#include "kernel/base/proc.h"
#include "kernel/pool/pool.h"
#include "kernel/worker/jail.h"
#include "kernel/worker/scratch.h"
#include "kernel/worker/worker.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SOCK_FD  3
#define LOG_FD   4
#define SEATS_FD 5
#define CLOSE_TO 4096 /* without close_range(2) */
#define OOM_SCORE                                                                                  \
    "300" /* a worker dies before its hub, but not before everything else on the host */

/* The zygote ignores and blocks signals of its own; scripts expect the defaults. */
static void reset_signals(void)
{
    for (int s = 1; s < NSIG; s++) {
        if (s != SIGKILL && s != SIGSTOP) {
            signal(s, SIG_DFL);
        }
    }
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* write() says EFBIG instead */
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
}

/* 0 to 2 lead nowhere: print() has a way of its own, and whatever else writes there (a subprocess, a library)
 * would flood the log of the platform. 3 is the socket, 4 our own log, 5 what kernel/pool counts connections of all workers with;
 * nothing else stays open. */
static tn_rc arrange_descriptors(const struct worker_conf *conf, int *sock, tn_err *err)
{
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    int sock_copy = fcntl(*sock, F_DUPFD_CLOEXEC, LOG_FD + 1);
    int log_copy = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, LOG_FD + 1);
    int seats_copy = conf->pools ? fcntl(pools_seats(conf->pools), F_DUPFD_CLOEXEC, LOG_FD + 1)
                                 : -1;
    if (null < 0 || sock_copy < 0 || log_copy < 0 || dup3(sock_copy, SOCK_FD, O_CLOEXEC) < 0 ||
        dup3(log_copy, LOG_FD, O_CLOEXEC) < 0) {
        return err_sys(err, errno, "arranging the worker's descriptors");
    }
    for (int fd = 0; fd <= STDERR_FILENO; fd++) {
        if (null != fd && dup2(null, fd) < 0) {
            return err_sys(err, errno, "descriptor %d of the worker", fd);
        }
    }
    *sock = SOCK_FD;
    log_open("worker", conf->log_level, LOG_FD);
    int first = LOG_FD + 1;
    if (conf->pools && seats_copy >= 0 &&
        (seats_copy == SEATS_FD || dup3(seats_copy, SEATS_FD, O_CLOEXEC) == SEATS_FD)) {
        first = SEATS_FD + 1;
    }
    if (conf->pools) {
        pools_seats_at(conf->pools, first > SEATS_FD ? SEATS_FD : -1);
    }
    if (syscall(SYS_close_range, first, ~0u, 0)) {
        for (int fd = first; fd < CLOSE_TO; fd++) {
            close(fd);
        }
    }
    return TN_OK;
}

tn_rc worker_confine(const struct worker_conf *conf, const struct jail_slot *slot, int *sock,
                     struct scratch *ret_scratch, tn_err *err)
{
    reset_signals();
    setpgid(0, 0);
    tn_rc rc = arrange_descriptors(conf, sock, err);
    if (rc) {
        return rc;
    }
    if (proc_subreaper()) {
        return err_sys(err, errno, "becoming sub-reaper");
    }
    proc_title("tenon-call");
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        fd_write_all(fd, OOM_SCORE,
                     sizeof(OOM_SCORE) - 1); /* best effort: /proc may be read-only */
        close(fd);
    }
    umask(022); /* files of scripts are for the hub too, which may be another user */
    rc = scratch_open(ret_scratch, conf->jail->scratch, conf->jail->uid, conf->jail->gid, err);
    if (!rc) {
        rc = jail_enter(conf->jail, slot, ret_scratch->path, err);
    }
    if (!rc && chdir(ret_scratch->path)) { /* as the user that it runs as now */
        rc = err_sys(err, errno, "scratch folder %s", ret_scratch->path);
    }
    return rc;
}
