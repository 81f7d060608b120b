/* SPDX-License-Identifier: Apache-2.0 */
/* The zygote: boots the jail and the language once, and does what hub and supervisor ask for.
 * Single-threaded by rule. */
#include "kernel/base/err.h"
#include "kernel/base/fd.h"
#include "kernel/base/log.h"
#include "kernel/base/proc.h"
#include "kernel/ipc/sock.h"
#include "kernel/supervisor/ctl.h"
#include "kernel/worker/connectors.h"
#include "kernel/worker/zygote_int.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

/* ---- channels -------------------------------------------------------------------------------------------- */

void zygote_to_hub(struct zygote *z, struct zyg_msg *m, const char *script, int fd)
{
    if (z->hub >= 0 && ipc_send(z->hub, m, sizeof(*m), script, m->len, &fd, fd >= 0, 0) &&
        errno != EPIPE) {
        log_warn("cannot tell the hub (message %u): %s", m->type, strerror(errno));
    }
}

static void from_hub(struct zygote *z)
{
    union {
        struct zyg_msg m;
        char space[sizeof(struct zyg_msg) + ZYG_SCRIPT_MAX];
    } u;
    int fds[IPC_FDS_MAX];
    ssize_t n = ipc_recv(z->hub, &u, sizeof(u), fds, MSG_DONTWAIT);
    const char *script = u.space + sizeof(u.m);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR && errno != EMSGSIZE)) {
        zygote_hub_gone(z);
    } else if (n >= (ssize_t)sizeof(u.m) && u.m.len == (size_t)n - sizeof(u.m)) {
        if (u.m.type == ZYG_FORK) {
            zygote_fork_worker(z, u.m.id, fds[0], fds[1]);
        } else if (u.m.type == ZYG_PRELOAD) {
            zygote_preload(z, &u.m, script, &fds[0]);
        } else if (u.m.type == ZYG_UNLOAD) {
            zygote_unload(z, (tn_str){script, u.m.len});
        }
    }
    fd_close(&fds[0]);
    fd_close(&fds[1]);
}

/* The hub shows the isolation's state; it is what this zygote found. */
static void tell_jail(struct zygote *z)
{
    struct zyg_msg m = {.type = ZYG_JAIL};
    struct buf text = BUF_INIT(65536);
    jail_json(&z->jail, &text);
    int fd = fd_memfd("tenon-jail", text.data, text.len);
    zygote_to_hub(z, &m, NULL, fd);
    fd_close(&fd);
    buf_finish(&text);
}

/* 0: the supervisor has gone, so do we. */
static int from_supervisor(struct zygote *z)
{
    struct ctl_msg m;
    int fd = -1;
    ssize_t n = fd_recv(z->ctl, &m, sizeof(m), &fd, MSG_DONTWAIT);
    if (n == 0) {
        return 0;
    }
    if (n >= (ssize_t)sizeof(m) && m.type == CTL_PEER && fd >= 0) {
        if (z->hub >= 0) {
            zygote_hub_gone(z);
        }
        z->hub = fd;
        fd = -1;
        ipc_tune(z->hub);
        tell_jail(z);
    } else if (n >= (ssize_t)sizeof(m) && m.type == CTL_REOPEN && fd >= 0) {
        dup2(fd, STDERR_FILENO);
    }
    fd_close(&fd);
    return 1;
}

static void serve(struct zygote *z)
{
    for (;;) {
        struct pollfd p[] = {{.fd = z->ctl, .events = POLLIN},
                             {.fd = z->sigfd, .events = POLLIN},
                             {.fd = z->hub, .events = POLLIN},
                             {.fd = z->oomfd, .events = POLLIN}};
        int wait = zygote_kill_left_alone(z);
        int n = poll(p, 4, list_empty(&z->preloads) ? wait : 0);
        if (n < 0 && errno != EINTR) {
            log_error("zygote: poll: %s", strerror(errno));
            return;
        }
        if (n <= 0) {
            if (n == 0 && !list_empty(&z->preloads)) {
                zygote_compile_one(z);
            }
            continue;
        }
        if (p[1].revents) {
            zygote_reap(z);
        }
        if (p[3].revents) {
            zygote_oom(z);
        }
        /* Before the hub's requests: whom it lets us fork after a new log is to have that. */
        if (p[0].revents && !from_supervisor(z)) {
            return;
        }
        if (p[2].revents && z->hub == p[2].fd) {
            from_hub(z);
        }
    }
}

/* ---- start ------------------------------------------------------------------------------------------------ */

static const char *setting(void *ctx, const char *name)
{
    return settings_dff(ctx, name);
}

static const char *env_setting(void *ctx, const char *name)
{
    return settings_dff(&((struct zygote *)ctx)->settings, name);
}

/* For `tenon doctor`: what a service may do is not what the shell of an administrator may. */
static void keep_findings(const struct jail *j)
{
    char path[PATH_MAX], fresh[PATH_MAX + 8];
    struct buf text = BUF_INIT(65536);
    jail_json(j, &text);
    snprintf(path, sizeof(path), "%s/" JAIL_FILE, j->data);
    snprintf(fresh, sizeof(fresh), "%s.new", path);
    /* Not synced: it is written at every start, and syncing may take long. */
    int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (text.failed || fd < 0 || fd_write_all(fd, text.data, text.len) || rename(fresh, path)) {
        log_warn("writing %s: %s", path, strerror(errno));
    }
    fd_close(&fd);
    buf_finish(&text);
}

/* Finds the layers, says which are missing, and refuses when all were demanded. */
static tn_rc prepare_jail(struct zygote *z, tn_err *err)
{
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0); /* workers have their own memory, not ours */
    tn_rc rc = jail_open(&z->jail, &z->settings, err);
    if (!rc) {
        rc = jail_prepare(&z->jail, err);
    }
    if (rc) {
        return rc;
    }
    jail_probe(&z->jail);
    jail_log(&z->jail);
    keep_findings(&z->jail);
    if (z->jail.required && jail_level(&z->jail) != JAIL_ON) {
        return err_set(
            err, TN_E_CONFIG,
            "worker_sandbox is \"required\" and a layer of the isolation is missing (see "
            "above, and tenon doctor)");
    }
    jail_cgroup_close(&z->jail.cgroup); /* of platforms that were killed */
    z->janitor_work = scratch_sweep(z->jail.scratch);
    zygote_janitor(z);
    return TN_OK;
}

static tn_rc prepare(struct zygote *z, tn_err *err)
{
    sigset_t set;
    tn_rc rc = connectors_load(&z->settings, &z->plugs, &z->conf.pools, err);
    if (rc != TN_OK) {
        return rc;
    }
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    if (sigprocmask(SIG_BLOCK, &set, NULL)) {
        return err_sys(err, errno, "blocking SIGCHLD");
    }
    z->sigfd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    z->oomfd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (z->sigfd < 0 || z->oomfd < 0) {
        return err_sys(err, errno, "signalfd");
    }
    signal(SIGPIPE, SIG_IGN);
    signal(SIGINT, SIG_IGN); /* ^C is the supervisor's business */
    if (proc_subreaper()) {
        return err_sys(err, errno, "becoming sub-reaper");
    }
    proc_title("tenon-zygote");
    z->conf.setting = setting;
    z->conf.setting_ctx = &z->settings;
    z->conf.jail = &z->jail;
    z->conf.log_level = settings_log_level(&z->settings);
    z->conf.result_max = (size_t)z->settings.worker_result.n;
    z->env = (struct lang_env){.ctx = z, .log = log_env, .setting = env_setting};
    rc = prepare_jail(z, err);
    return rc ? rc : z->conf.lang->boot(&z->env, err);
}

int zygote_main(int argc, char **argv, const struct lang_host *const *langs)
{
    struct zygote z = {.ctl = -1, .hub = -1, .sigfd = -1, .oomfd = -1};
    struct conf_problems problems = {.text = BUF_INIT(65536)};
    tn_err err = TN_ERR_INIT;
    char **rest = calloc((size_t)argc + 1, sizeof(*rest));
    const char *lang = langs[0]->name;
    int nrest = 0;
    list_init(&z.children);
    list_init(&z.preloads);
    log_open("worker", TN_LOG_NOTICE, -1);
    for (int i = 0; rest && i < argc; i++) {
        if (strcmp(argv[i], "--ctl") == 0 && i + 1 < argc) {
            z.ctl = atoi(argv[++i]);
        } else if (strcmp(argv[i], "--lang") == 0 && i + 1 < argc) {
            lang = argv[++i];
        } else if (strcmp(argv[i], "--zygote") != 0) {
            rest[nrest++] = argv[i];
        }
    }
    for (size_t i = 0; langs[i]; i++) {
        z.conf.lang = strcmp(langs[i]->name, lang) == 0 ? langs[i] : z.conf.lang;
    }
    if (!z.conf.lang || z.ctl < 3) {
        fprintf(stderr, "tenon-worker is started by tenond: --zygote --ctl FD [--lang %s]\n",
                langs[0]->name);
        free(rest);
        return 2;
    }
    fcntl(z.ctl, F_SETFD, FD_CLOEXEC);
    if (settings_load(&z.settings, NULL, nrest, rest, &problems)) {
        fprintf(stderr, "%s",
                problems.text.data ? problems.text.data : "configuration is broken\n");
        return 2;
    }
    settings_hide_environment();
    settings_open_log(&z.settings, "worker");
    int rc = 1;
    if (prepare(&z, &err)) {
        log_alert("the worker zygote cannot start: %s", err.msg);
    } else {
        struct ctl_msg ready = {.type = CTL_READY};
        fd_send(z.ctl, &ready, sizeof(ready), -1, 0);
        serve(&z);
        rc = 0;
    }
    zygote_end_workers(&z);
    zygote_forget_preloads(&z);
    free(rest);
    buf_finish(&problems.text);
    pools_destroy(z.conf.pools);
    plug_registry_finish(&z.plugs);
    settings_finish(&z.settings);
    return rc;
}
