/* SPDX-License-Identifier: Apache-2.0 */
/* The layers of the jail together: what this machine offers is tried out once, and what worked then is
 * entered by every worker, in the order in which the layers allow each other. */
#include "kernel/worker/jail.h"
#include "kernel/base/err.h"
#include "kernel/base/fd.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SCRATCH "scratch"

static const char *const layer_names[JAIL_LAYERS] = {"limits",  "privileges", "user",
                                                     "seccomp", "landlock",   "cgroup"};
static const char *const state_names[] = {"off", "part", "on"};

const char *jail_layer_name(enum jail_layer l)
{
    return layer_names[l];
}

const char *jail_state_name(enum jail_state s)
{
    return state_names[s];
}

enum jail_state jail_level(const struct jail *j)
{
    enum jail_state least = JAIL_ON;
    for (int i = 0; i < JAIL_LAYERS; i++) {
        if (j->layers[i].wanted && j->layers[i].state < least) {
            least = j->layers[i].state;
        }
    }
    return least;
}

static int is_on(const struct jail *j, enum jail_layer l)
{
    return j->layers[l].state != JAIL_OFF;
}

static void say(struct jail *j, enum jail_layer l, enum jail_state state, const char *advice,
                const char *fmt, ...) TN_PRINTF(5, 6);
static void say(struct jail *j, enum jail_layer l, enum jail_state state, const char *advice,
                const char *fmt, ...)
{
    struct jail_finding *f = &j->layers[l];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(f->why, sizeof(f->why), fmt, ap);
    va_end(ap);
    snprintf(f->advice, sizeof(f->advice), "%s", advice);
    f->state = state;
    f->wanted = 1;
}

/* ---- looking -------------------------------------------------------------------------------------------- */

static void find_landlock(struct jail *j)
{
    static const char *const missing[] = {
        [1] =
            "moving files between folders is refused; truncating, device ioctls and signals to other "
            "processes are not covered",
        [2] = "truncating, device ioctls and signals to other processes are not covered",
        [3] = "device ioctls and signals to other processes are not covered",
        [4] = "device ioctls and signals to other processes are not covered",
        [5] = "signals to other processes are not covered"};
    j->abi = jail_landlock_abi();
    if (j->abi == 0) {
        say(j, JAIL_LANDLOCK, JAIL_OFF,
            errno == EOPNOTSUPP ? "boot with lsm=landlock,… on the kernel's command line"
                                : "use a kernel of version 5.13 or later that has Landlock",
            "the kernel has no Landlock: %s", strerror(errno));
    } else if (j->abi < 6) {
        say(j, JAIL_LANDLOCK, JAIL_PART, "a kernel of version 6.12 or later covers everything",
            "ABI %d: %s", j->abi, missing[j->abi]);
    } else {
        say(j, JAIL_LANDLOCK, JAIL_ON, "",
            "ABI %d: the system can be read, resources and scratch written; processes outside are "
            "invisible",
            j->abi);
    }
}

static void find_cgroup(struct jail *j)
{
    const char *advice = "under systemd: Delegate=memory pids in the unit";
    char why[200];
    jail_cgroup_find(&j->cgroup, "/sys/fs/cgroup", "/proc/self/cgroup", why, sizeof(why));
    if (!j->cgroup.n) {
        say(j, JAIL_CGROUP, JAIL_OFF, advice, "%s", why);
    } else if (!j->cgroup.has_memory || !j->cgroup.has_pids) {
        say(j, JAIL_CGROUP, JAIL_PART, advice, "version %d, only %s", j->cgroup.version,
            j->cgroup.has_memory ? "memory" : "pids");
    } else {
        say(j, JAIL_CGROUP, JAIL_ON, "", "version %d: memory and processes of each worker",
            j->cgroup.version);
    }
}

static void find_off(struct jail *j)
{
    for (int i = 0; i < JAIL_LAYERS; i++) {
        if (i != JAIL_LIMITS && i != JAIL_PRIVILEGES) {
            say(j, (enum jail_layer)i, JAIL_OFF, "worker_sandbox: on",
                "switched off by worker_sandbox: off");
        }
    }
}

tn_rc jail_open(struct jail *j, const struct settings *s, tn_err *err)
{
    char exe[PATH_MAX];
    memset(j, 0, sizeof(*j));
    j->enabled = strcmp(s->worker_sandbox, "off") != 0;
    j->required = strcmp(s->worker_sandbox, "required") == 0;
    j->memory = s->worker_memory.n;
    j->file_size = s->worker_file_size.n;
    j->processes = s->worker_processes;
    j->files = s->worker_files;
    j->data = s->data;
    j->resources = s->resources;
    j->read = s->worker_read;
    j->write = s->worker_write;
    j->plugins = s->plugins;
    ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
    if (n > 0) {
        exe[n] = '\0';
        *strrchr(exe, '/') = '\0';
        memcpy(j->program, exe, strlen(exe) + 1);
    }
    tn_rc rc = jail_creds_find(j, s->worker_user, err);
    if (rc) {
        return rc;
    }
    say(j, JAIL_PRIVILEGES, JAIL_ON, "", "no capability, and no way to get one (no_new_privs)");
    if (!j->enabled) {
        find_off(j);
    } else {
        find_landlock(j);
        find_cgroup(j);
        if (jail_seccomp_known()) {
            say(j, JAIL_SECCOMP, JAIL_ON, "", "system calls that no function needs are refused");
        } else {
            say(j, JAIL_SECCOMP, JAIL_OFF, "use x86-64 or ARM64", "no list for this architecture");
        }
    }
    jail_limits_find(j);
    return TN_OK;
}

tn_rc jail_prepare(struct jail *j, tn_err *err)
{
    char data[PATH_MAX];
    if (fd_mkdirs(j->data, 0700) || !realpath(j->data, data)) {
        return err_sys(err, errno, "data folder %s", j->data);
    }
    if (snprintf(j->scratch, sizeof(j->scratch), "%s/" SCRATCH, data) >= (int)sizeof(j->scratch)) {
        return err_set(err, TN_E_LIMIT, "the path of %s is too long", j->data);
    }
    /* Passable, so that a worker of another user reaches its own folder; nobody can list it. */
    if ((mkdir(j->scratch, 0711) && errno != EEXIST) || chmod(j->scratch, 0711)) {
        return err_sys(err, errno, "scratch folder %s", j->scratch);
    }
    if (mkdir(j->resources, 0755) && errno != EEXIST) {
        return err_sys(err, errno, "resource folder %s", j->resources);
    }
    return jail_creds_prepare(j, err);
}

/* ---- entering --------------------------------------------------------------------------------------------- */

/* One step; a step of a layer that is off is left out. */
static tn_rc enter(const struct jail *j, const struct jail_slot *slot, const char *scratch,
                   enum jail_layer *ret_layer, tn_err *err)
{
    int rules = -1;
    tn_rc rc = TN_OK;
    *ret_layer = JAIL_CGROUP;
    if (is_on(j, JAIL_CGROUP)) {
        rc = jail_cgroup_enter(slot, err);
    }
    if (!rc && is_on(j, JAIL_LANDLOCK)) { /* paths are looked up with the rights we still have */
        *ret_layer = JAIL_LANDLOCK;
        rc = jail_landlock_rules(j, scratch, &rules, err);
    }
    if (!rc) {
        *ret_layer = JAIL_LIMITS;
        rc = jail_limits_enter(j, err);
    }
    if (!rc) {
        *ret_layer = j->switch_user ? JAIL_USER : JAIL_PRIVILEGES;
        rc = jail_creds_enter(j, err);
    }
    if (!rc && rules >= 0) {
        *ret_layer = JAIL_LANDLOCK;
        rc = jail_landlock_enter(rules, err);
    }
    if (!rc && is_on(j, JAIL_SECCOMP)) {
        *ret_layer = JAIL_SECCOMP;
        rc = jail_seccomp_enter(err);
    }
    fd_close(&rules);
    return rc;
}

tn_rc jail_enter(const struct jail *j, const struct jail_slot *slot, const char *scratch,
                 tn_err *err)
{
    enum jail_layer layer;
    return enter(j, slot, scratch, &layer, err);
}

/* ---- trying ------------------------------------------------------------------------------------------------- */

struct attempt {
    int layer; /* JAIL_LAYERS: everything worked */
    char why[200];
};

static struct attempt try_once(const struct jail *j)
{
    struct attempt a = {.layer = JAIL_CGROUP};
    struct jail_slot slot = {0};
    tn_err err = TN_ERR_INIT;
    char name[64];
    int fds[2];
    snprintf(name, sizeof(name), "tenon-%d-probe", (int)getpid());
    if (is_on(j, JAIL_CGROUP) &&
        jail_cgroup_make(&j->cgroup, name, j->memory, j->processes, &slot, &err)) {
        snprintf(a.why, sizeof(a.why), "%.199s", err.msg);
        return a;
    }
    snprintf(a.why, sizeof(a.why), "the trial process died");
    a.layer = JAIL_SECCOMP; /* whoever is killed without a word was killed by that */
    if (pipe2(fds, O_CLOEXEC)) {
        return a;
    }
    pid_t pid = fork();
    if (pid == 0) {
        enum jail_layer layer = JAIL_LIMITS;
        tn_rc rc = enter(j, &slot, "", &layer, &err);
        a.layer = rc ? (int)layer : JAIL_LAYERS;
        snprintf(a.why, sizeof(a.why), "%.199s", rc ? err.msg : "");
        _exit(write(fds[1], &a, sizeof(a)) != sizeof(a));
    }
    close(fds[1]);
    if (pid > 0) {
        struct attempt got;
        if (fd_read_full(fds[0], &got, sizeof(got)) == sizeof(got)) {
            a = got;
        }
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {}
    }
    close(fds[0]);
    jail_cgroup_remove(&slot);
    return a;
}

void jail_probe(struct jail *j)
{
    /* A layer that fails is taken out and the rest is tried again. */
    for (int i = 0; i < JAIL_LAYERS; i++) {
        struct attempt a = try_once(j);
        if (a.layer == JAIL_LAYERS) {
            break;
        }
        struct jail_finding *f = &j->layers[a.layer];
        if (f->state == JAIL_OFF) {
            break; /* not of a layer that can be left out: the first worker will say so */
        }
        f->state = JAIL_OFF;
        snprintf(f->why, sizeof(f->why), "%s", a.why);
        if (a.layer == JAIL_CGROUP) {
            j->cgroup.n = 0;
            jail_limits_find(j); /* nobody counts processes any more */
        }
    }
}
