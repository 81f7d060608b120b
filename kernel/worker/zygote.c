/* SPDX-License-Identifier: Apache-2.0 */
/* The zygote: boots the language once, forks workers on request, compiles published scripts in idle
 * time, reaps workers and kills what they leave behind. Single-threaded by rule. */
#include "kernel/base/clock.h"
#include "kernel/base/err.h"
#include "kernel/base/fd.h"
#include "kernel/base/list.h"
#include "kernel/base/log.h"
#include "kernel/base/proc.h"
#include "kernel/base/str.h"
#include "kernel/conf/settings.h"
#include "kernel/ipc/sock.h"
#include "kernel/ipc/zygote.h"
#include "kernel/supervisor/ctl.h"
#include "kernel/worker/connectors.h"
#include "kernel/worker/worker.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
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
struct preload {
    struct list node;
    uint64_t generation;
    int fd; /* memfd of the source */
    char script[ZYG_SCRIPT_MAX + 1];
    uint32_t len;
};
struct zygote {
    struct worker_conf conf;
    struct jail jail;
    uint64_t slots;   /* control groups made so far */
    pid_t janitor;    /* 0 = none runs */
    int janitor_work; /* something was put aside since it began */
    struct lang_env env;
    struct settings settings;
    struct plug_registry plugs; /* connectors */
    int ctl, hub, sigfd, oomfd;
    unsigned epoch;
    struct list children, preloads;
    size_t nchildren;
};

static void to_hub(struct zygote *z, struct zyg_msg *m, const char *script, int fd)
{
    if (z->hub >= 0 && ipc_send(z->hub, m, sizeof(*m), script, m->len, &fd, fd >= 0, 0) &&
        errno != EPIPE) {
        log_warn("cannot tell the hub (message %u): %s", m->type, strerror(errno));
    }
}

static void hub_gone(struct zygote *z)
{
    fd_close(&z->hub);
    z->epoch++;
    uint64_t at = clock_mono_ns() + LEFT_ALONE_NS;
    list_for_each(it, &z->children) {
        struct child *c = list_entry(it, struct child, node);
        c->kill_at = c->kill_at ? c->kill_at : at;
    }
}

/* ---- forking and reaping ------------------------------------------------------------------------------ */

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

static void on_fork(struct zygote *z, uint64_t id, int sock, int pagefd)
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
        to_hub(z, &m, NULL, -1);
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
    to_hub(z, &m, NULL, pidfd);
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
static void on_oom(struct zygote *z)
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
static void start_janitor(struct zygote *z)
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
    start_janitor(z);
    if (c->epoch == z->epoch) {
        to_hub(z, &m, NULL, -1);
    }
    free(c);
}

static void reap(struct zygote *z)
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
            start_janitor(z);
        }
    }
}

/* Ends workers of an old hub that did not leave by themselves; returns ms until the next look, -1. */
static int kill_left_alone(struct zygote *z)
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

/* ---- published code ------------------------------------------------------------------------------------- */

static void add_preload(struct zygote *z, const struct zyg_msg *m, const char *script, int *fd)
{
    struct preload *p = m->len <= ZYG_SCRIPT_MAX && *fd >= 0 ? calloc(1, sizeof(*p)) : NULL;
    if (!p) {
        return;
    }
    p->generation = m->generation;
    p->fd = *fd;
    *fd = -1;
    p->len = m->len;
    memcpy(p->script, script, m->len);
    list_push_back(&z->preloads, &p->node);
}

static void compile_one(struct zygote *z)
{
    struct preload *p = list_entry(list_pop_front(&z->preloads), struct preload, node);
    struct zyg_msg m = {.type = ZYG_COMPILED, .generation = p->generation, .len = p->len};
    tn_err err = TN_ERR_INIT;
    uint64_t size = 0;
    struct buf marshal = BUF_INIT(ZYG_SOURCE_MAX);
    int fd = -1;
    void *src = NULL;
    m.rc = TN_E_INVAL;
    if (fd_memfd_size(p->fd, &size) == 0 && size && size <= ZYG_SOURCE_MAX) {
        src = mmap(NULL, size, PROT_READ, MAP_PRIVATE, p->fd, 0);
    }
    if (size == 0 || (src && src != MAP_FAILED)) {
        m.rc = z->conf.lang->preload((tn_str){p->script, p->len}, p->generation,
                                     (tn_str){size ? src : "", size}, (tn_str){NULL, 0}, &marshal,
                                     &err);
    }
    if (m.rc) {
        /* Broken drafts are published by nobody: the publish check compiled it before. */
        log_warn("preloading %s: %s", p->script, err.msg);
    } else if (marshal.len) {
        fd = fd_memfd("tenon-marshal", marshal.data, marshal.len);
    }
    to_hub(z, &m, p->script, fd);
    fd_close(&fd);
    if (src && src != MAP_FAILED) {
        munmap(src, size);
    }
    buf_finish(&marshal);
    fd_close(&p->fd);
    free(p);
}

static void unload(struct zygote *z, tn_str script)
{
    list_for_each_safe(it, &z->preloads) {
        struct preload *p = list_entry(it, struct preload, node);
        if (str_eq((tn_str){p->script, p->len}, script)) {
            list_del(&p->node);
            fd_close(&p->fd);
            free(p);
        }
    }
    z->conf.lang->unload(script);
}

/* ---- channels -------------------------------------------------------------------------------------------- */

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
        hub_gone(z);
    } else if (n >= (ssize_t)sizeof(u.m) && u.m.len == (size_t)n - sizeof(u.m)) {
        if (u.m.type == ZYG_FORK) {
            on_fork(z, u.m.id, fds[0], fds[1]);
        } else if (u.m.type == ZYG_PRELOAD) {
            add_preload(z, &u.m, script, &fds[0]);
        } else if (u.m.type == ZYG_UNLOAD) {
            unload(z, (tn_str){script, u.m.len});
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
    to_hub(z, &m, NULL, fd);
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
            hub_gone(z);
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
        int wait = kill_left_alone(z);
        int n = poll(p, 4, list_empty(&z->preloads) ? wait : 0);
        if (n < 0 && errno != EINTR) {
            log_error("zygote: poll: %s", strerror(errno));
            return;
        }
        if (n <= 0) {
            if (n == 0 && !list_empty(&z->preloads)) {
                compile_one(z);
            }
            continue;
        }
        if (p[1].revents) {
            reap(z);
        }
        if (p[3].revents) {
            on_oom(z);
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

static void env_log(void *ctx, int level, const char *fmt, ...)
{
    va_list ap;
    (void)ctx;
    va_start(ap, fmt);
    log_vat(level, fmt, ap);
    va_end(ap);
}

static const char *setting(void *ctx, const char *name)
{
    return settings_dff(ctx, name);
}

static const char *env_setting(void *ctx, const char *name)
{
    return settings_dff(&((struct zygote *)ctx)->settings, name);
}

static int level_of(const char *name)
{
    static const struct {
        const char *name;
        int level;
    } levels[] = {{"error", TN_LOG_ERROR},
                  {"warning", TN_LOG_WARNING},
                  {"notice", TN_LOG_NOTICE},
                  {"info", TN_LOG_INFO},
                  {"debug", TN_LOG_DEBUG}};
    for (size_t i = 0; name && i < sizeof(levels) / sizeof(*levels); i++) {
        if (strcmp(name, levels[i].name) == 0) {
            return levels[i].level;
        }
    }
    return TN_LOG_NOTICE;
}

/* Secrets of the configuration are not for scripts, and what is in the memory of the environment shows in
 * /proc/PID/environ of every worker: it is overwritten in place. */
static void forget_secrets(void)
{
    static const char *const words[] = {"SECRET", "PASSWORD", "TOKEN", "PRIVATE"};
    for (char **e = environ; e && *e;) {
        char *eq = strchr(*e, '='), name[128];
        int secret = 0;
        if (eq && (size_t)(eq - *e) < sizeof(name) &&
            (strncmp(*e, "TENON_", 6) == 0 || strncmp(*e, "DFF_", 4) == 0)) {
            memcpy(name, *e, (size_t)(eq - *e));
            name[eq - *e] = '\0';
            for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
                secret |= strstr(name, words[i]) != NULL;
            }
        }
        if (secret) {
            explicit_bzero(eq + 1, strlen(eq + 1));
            unsetenv(name); /* moves the rest up */
        } else {
            e++;
        }
    }
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
    forget_secrets();
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
        return err_set(err, TN_E_CONFIG,
                       "worker_sandbox is \"required\" and a layer of the isolation is missing (see "
                       "above, and tenon doctor)");
    }
    jail_cgroup_close(&z->jail.cgroup); /* of platforms that were killed */
    z->janitor_work = scratch_sweep(z->jail.scratch);
    start_janitor(z);
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
    z->conf.log_level = level_of(z->settings.log_level);
    z->conf.result_max = (size_t)z->settings.worker_result.n;
    z->env = (struct lang_env){.ctx = z, .log = env_log, .setting = env_setting};
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
    log_open("worker", level_of(z.settings.log_level), -1);
    log_form(settings_log_form(&z.settings), NULL);
    int rc = 1;
    if (prepare(&z, &err)) {
        log_alert("the worker zygote cannot start: %s", err.msg);
    } else {
        struct ctl_msg ready = {.type = CTL_READY};
        fd_send(z.ctl, &ready, sizeof(ready), -1, 0);
        serve(&z);
        rc = 0;
    }
    /* The platform ends: nothing of it stays, not even what is deaf to every signal but this. */
    for (struct list *n; (n = list_pop_front(&z.children));) {
        struct child *c = list_entry(n, struct child, node);
        kill(-c->pid, SIGKILL);
        free(c);
    }
    proc_kill_strays(NULL, 0);
    jail_cgroup_close(&z.jail.cgroup);
    scratch_sweep(z.jail.scratch);
    for (struct list *n; (n = list_pop_front(&z.preloads));) {
        struct preload *p = list_entry(n, struct preload, node);
        fd_close(&p->fd);
        free(p);
    }
    free(rest);
    buf_finish(&problems.text);
    pools_destroy(z.conf.pools);
    plug_registry_finish(&z.plugs);
    settings_finish(&z.settings);
    return rc;
}
