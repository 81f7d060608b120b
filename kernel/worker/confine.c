/* SPDX-License-Identifier: Apache-2.0 */
/* What a fresh worker gives up before it runs anything of a user. */
#include "kernel/base/err.h"
#include "kernel/base/fd.h"
#include "kernel/base/proc.h"
#include "kernel/worker/worker.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SOCK_FD   3
#define FILES_MAX 1024
#define OOM_SCORE                                                                                  \
    "300" /* a worker dies before its hub, but not before everything else on the host */

/* Sanitizers reserve terabytes of addresses: their builds run without that one limit. */
#if defined(__has_feature)
#define SANITIZED (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

static tn_rc limit(int what, const char *name, rlim_t soft, rlim_t hard, tn_err *err)
{
    struct rlimit r;
    if (getrlimit((__rlimit_resource_t)what, &r)) {
        return err_sys(err, errno, "reading limit %s", name);
    }
    if (hard != RLIM_INFINITY && (r.rlim_max == RLIM_INFINITY || hard < r.rlim_max)) {
        r.rlim_max = hard;
    }
    r.rlim_cur = soft < r.rlim_max ? soft : r.rlim_max;
    if (setrlimit((__rlimit_resource_t)what, &r)) {
        return err_sys(err, errno, "setting limit %s to %llu", name, (unsigned long long)soft);
    }
    return TN_OK;
}

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

tn_rc worker_confine(const struct worker_conf *conf, int *sock, tn_err *err)
{
    reset_signals();
    setpgid(0, 0);
    if (*sock != SOCK_FD) {
        if (dup3(*sock, SOCK_FD, O_CLOEXEC) < 0) {
            return err_sys(err, errno, "moving the worker's socket");
        }
        *sock = SOCK_FD;
    }
    if (syscall(SYS_close_range, SOCK_FD + 1, ~0u, 0)) {
        for (int fd = SOCK_FD + 1; fd < FILES_MAX; fd++) {
            close(fd);
        }
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) {
        return err_sys(err, errno, "setting no_new_privs");
    }
    /* Not dumpable=0: it would take /proc/self/fd and maps away from scripts of an unprivileged user. */
    if (proc_subreaper()) {
        return err_sys(err, errno, "becoming sub-reaper");
    }
    proc_title("tenon-call");
    tn_rc rc = limit(RLIMIT_CORE, "CORE", 0, 0, err);
    if (!rc) {
        rc = limit(RLIMIT_NOFILE, "NOFILE", FILES_MAX, RLIM_INFINITY, err);
    }
    if (!rc && conf->file_size > 0) {
        rc = limit(RLIMIT_FSIZE, "FSIZE", (rlim_t)conf->file_size, (rlim_t)conf->file_size, err);
    }
    if (!rc && conf->memory > 0 && !SANITIZED) {
        rc = limit(RLIMIT_AS, "AS", (rlim_t)conf->memory, (rlim_t)conf->memory, err);
    }
    if (rc) {
        return rc;
    }
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        fd_write_all(fd, OOM_SCORE,
                     sizeof(OOM_SCORE) - 1); /* best effort: /proc may be read-only */
        close(fd);
    }
    return TN_OK;
}
