/* SPDX-License-Identifier: Apache-2.0 */
/* Control groups, version 2 and version 1 (cgroups(7)): memory and processes of a worker together with
 * everything it starts, which rlimits cannot count. Used where the platform may make groups: below its own
 * one when systemd delegates it (Delegate=), or as root. */
#include "kernel/base/err.h"
#include "kernel/base/fd.h"
#include "kernel/base/str.h"
#include "kernel/worker/jail.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define TEXT_MAX   65536
#define TRIES      20
#define PAUSE_NS   500000
#define LEAF       "tenon-main" /* version 2: a group with children may hold no process itself */
#define OUR_PREFIX "tenon-"

/* ---- small files -------------------------------------------------------------------------------------- */

static int put(const char *dir, const char *file, const char *text)
{
    char path[PATH_MAX + 64];
    snprintf(path, sizeof(path), "%s/%s", dir, file);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) {
        return -1;
    }
    int rc = fd_write_all(fd, text, strlen(text));
    int e = errno;
    close(fd);
    errno = e;
    return rc;
}

static int put_number(const char *dir, const char *file, int64_t value)
{
    char text[32];
    snprintf(text, sizeof(text), "%lld", (long long)value);
    return put(dir, file, text);
}

static char *get(const char *dir, const char *file)
{
    char path[PATH_MAX + 64], *text = NULL;
    snprintf(path, sizeof(path), "%s/%s", dir, file);
    return fd_read_file(path, TEXT_MAX, &text, NULL) < 0 ? NULL : text;
}

static uint64_t get_number(const char *dir, const char *file)
{
    char *text = get(dir, file);
    uint64_t n = text ? strtoull(text, NULL, 10) : 0;
    free(text);
    return n;
}

/* The number behind `key` in lines "key number"; 0 when there is none. */
static uint64_t get_field(const char *dir, const char *file, const char *key)
{
    char *text = get(dir, file);
    size_t k = strlen(key);
    uint64_t n = 0;
    for (const char *line = text; line && *line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, k) == 0 && line[k] == ' ') {
            n = strtoull(line + k + 1, NULL, 10);
        }
    }
    free(text);
    return n;
}

static int has_word(const char *text, const char *word)
{
    size_t n = strlen(word);
    for (const char *p = text; p && (p = strstr(p, word)); p += n) {
        if ((p == text || strchr(" ,\n", p[-1])) && (p[n] == '\0' || strchr(" ,\n", p[n]))) {
            return 1;
        }
    }
    return 0;
}

/* ---- finding ------------------------------------------------------------------------------------------- */

/* The path behind the controllers in "4:memory:/a/b"; version 2 is the line "0::/a". */
static int own_path(const char *proc, const char *controller, char *ret, size_t cap)
{
    char *text = NULL;
    int found = 0;
    if (fd_read_file(proc, TEXT_MAX, &text, NULL) < 0) {
        return 0;
    }
    tn_str rest = str_of(text), line;
    while (!found && str_split(&rest, '\n', &line)) {
        char row[PATH_MAX];
        snprintf(row, sizeof(row), "%.*s", (int)(line.n < sizeof(row) ? line.n : 0), line.s);
        char *list = strchr(row, ':'), *path = list ? strchr(++list, ':') : NULL;
        if (path) {
            *path++ = '\0';
            found = *controller ? has_word(list, controller) : *list == '\0';
            if (found) {
                snprintf(ret, cap, "%s", strcmp(path, "/") == 0 ? "" : path);
            }
        }
    }
    free(text);
    return found;
}

static int find_v1(const char *root, const char *proc, const char *controller, char *ret)
{
    char path[PATH_MAX], full[PATH_MAX * 2];
    if (!own_path(proc, controller, path, sizeof(path))) {
        return 0;
    }
    snprintf(full, sizeof(full), "%s/%s%s", root, controller, path);
    if (strlen(full) >= PATH_MAX || access(full, W_OK | X_OK)) {
        return 0;
    }
    memcpy(ret, full, strlen(full) + 1);
    return 1;
}

/* Every process in the group is one of ours: this process, its parent (tenond), its siblings. */
static int only_ours(const char *dir)
{
    char *text = get(dir, "cgroup.procs");
    int ours = text != NULL;
    pid_t boss = getppid();
    for (char *p = text; ours && p && *p;) {
        pid_t pid = (pid_t)strtol(p, &p, 10);
        char stat[64], *line = NULL;
        snprintf(stat, sizeof(stat), "/proc/%d/stat", (int)pid);
        int parent = -1;
        if (pid != boss && pid != getpid() && fd_read_file(stat, 4096, &line, NULL) >= 0) {
            const char *end = strrchr(line, ')');
            ours = end && sscanf(end, ") %*c %d", &parent) == 1 &&
                   (parent == boss || parent == getpid());
            free(line);
        }
        p += strspn(p, "\n ");
    }
    free(text);
    return ours;
}

static int find_v2(struct jail_cgroup *c, const char *root, const char *proc, char *why, size_t n)
{
    static const char *const places[] = {"", "/unified"};
    char path[PATH_MAX], full[PATH_MAX * 2];
    if (!own_path(proc, "", path, sizeof(path))) {
        return 0;
    }
    for (size_t i = 0; i < 2; i++) {
        snprintf(full, sizeof(full), "%s%s%s", root, places[i], path);
        char *has = strlen(full) < PATH_MAX - 64 ? get(full, "cgroup.controllers") : NULL;
        int memory = has_word(has, "memory"), pids = has_word(has, "pids");
        free(has);
        if (!memory && !pids) {
            continue;
        }
        if (access(full, W_OK | X_OK)) {
            snprintf(why, n, "the group %.120s is not delegated to this user", full);
        } else if (!only_ours(full)) {
            snprintf(why, n, "other programs share the group %.120s", full);
        } else {
            c->version = 2;
            c->has_memory = (unsigned)memory;
            c->has_pids = (unsigned)pids;
            c->n = 1;
            memcpy(c->base[0], full, strlen(full) + 1);
            return 1;
        }
    }
    return 0;
}

void jail_cgroup_find(struct jail_cgroup *c, const char *root, const char *proc, char *why,
                      size_t n)
{
    memset(c, 0, sizeof(*c));
    snprintf(why, n, "no control group with memory or pids is delegated to this user");
    if (find_v2(c, root, proc, why, n)) {
        return;
    }
    c->has_memory = (unsigned)find_v1(root, proc, "memory", c->base[0]);
    c->has_pids = (unsigned)find_v1(root, proc, "pids", c->base[c->has_memory]);
    c->n = c->has_memory + c->has_pids;
    c->version = c->n ? 1 : 0;
}

/* ---- groups ---------------------------------------------------------------------------------------------- */

/* Version 2: everybody who is in the delegated group goes into a leaf, then it may have children. */
static int split_v2(const struct jail_cgroup *c)
{
    char leaf[PATH_MAX + 64];
    char *now = get(c->base[0], "cgroup.subtree_control");
    int ready = (!c->has_memory || has_word(now, "memory")) &&
                (!c->has_pids || has_word(now, "pids"));
    free(now);
    if (ready) {
        return 0;
    }
    snprintf(leaf, sizeof(leaf), "%s/" LEAF, c->base[0]);
    if (mkdir(leaf, 0755) && errno != EEXIST) {
        return -1;
    }
    char *procs = get(c->base[0], "cgroup.procs");
    for (char *p = procs; p && *p; p += strspn(p, "\n ")) {
        put_number(leaf, "cgroup.procs", strtol(p, &p, 10));
    }
    free(procs);
    return put(c->base[0], "cgroup.subtree_control",
               c->has_memory && c->has_pids ? "+memory +pids"
               : c->has_memory              ? "+memory"
                                            : "+pids");
}

static int limit(const struct jail_cgroup *c, const char *dir, int memory_dir, int pids_dir,
                 int64_t memory, int64_t processes)
{
    int rc = 0;
    if (memory_dir && memory > 0 && c->version == 2) {
        rc = put_number(dir, "memory.max", memory);
        put(dir, "memory.swap.max", "0"); /* not there without swap */
        put(dir, "memory.oom.group", "1");
    } else if (memory_dir && memory > 0) {
        rc = put_number(dir, "memory.limit_in_bytes", memory);
        put_number(dir, "memory.memsw.limit_in_bytes", memory);
    }
    if (!rc && pids_dir && processes > 0) {
        rc = put_number(dir, "pids.max", processes);
    }
    return rc;
}

tn_rc jail_cgroup_make(const struct jail_cgroup *c, const char *name, int64_t memory,
                       int64_t processes, struct jail_slot *ret, tn_err *err)
{
    ret->n = 0;
    if (c->version == 2 && split_v2(c)) {
        return err_sys(err, errno, "dividing the control group %s", c->base[0]);
    }
    for (unsigned i = 0; i < c->n; i++) {
        int memory_dir = c->has_memory && i == 0, pids_dir = c->has_pids && i == c->n - 1;
        if (snprintf(ret->path[i], sizeof(ret->path[i]), "%s/%s", c->base[i], name) >= PATH_MAX) {
            return err_set(err, TN_E_LIMIT, "the path of control group %s is too long", name);
        }
        int rc = mkdir(ret->path[i], 0755) && errno != EEXIST ? -1 : 0;
        ret->n += rc == 0;
        if (rc || limit(c, ret->path[i], memory_dir, pids_dir, memory, processes)) {
            tn_rc r = err_sys(err, errno, "control group %s", ret->path[i]);
            jail_cgroup_remove(ret);
            return r;
        }
    }
    return TN_OK;
}

int jail_cgroup_watch(const struct jail_cgroup *c, const struct jail_slot *slot, int eventfd)
{
    char path[PATH_MAX + 64], text[64];
    if (c->version != 1 || !c->has_memory || slot->n == 0) {
        return 0;
    }
    snprintf(path, sizeof(path), "%s/memory.oom_control", slot->path[0]);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return -1;
    }
    snprintf(text, sizeof(text), "%d %d", eventfd, fd);
    int rc = put(slot->path[0], "cgroup.event_control", text);
    int e = errno;
    close(fd); /* the registration stays until the group goes */
    errno = e;
    return rc;
}

tn_rc jail_cgroup_enter(const struct jail_slot *slot, tn_err *err)
{
    for (unsigned i = 0; i < slot->n; i++) {
        if (put(slot->path[i], "cgroup.procs", "0")) {
            return err_sys(err, errno, "entering the control group %s", slot->path[i]);
        }
    }
    return TN_OK;
}

void jail_cgroup_usage(const struct jail_cgroup *c, const struct jail_slot *slot,
                       struct jail_usage *ret)
{
    memset(ret, 0, sizeof(*ret));
    if (slot->n == 0) {
        return;
    }
    const char *m = slot->path[0], *p = slot->path[slot->n - 1];
    if (c->has_memory) {
        uint64_t kills = c->version == 2 ? get_field(m, "memory.events", "oom_kill")
                                         : get_field(m, "memory.oom_control", "oom_kill");
        ret->peak = get_number(m, c->version == 2 ? "memory.peak" : "memory.max_usage_in_bytes");
        ret->limit = get_number(m, c->version == 2 ? "memory.max" : "memory.limit_in_bytes");
        if (kills) {
            ret->cause = JAIL_MEMORY;
            return;
        }
    }
    if (c->has_pids && get_field(p, "pids.events", "max")) {
        ret->cause = JAIL_PIDS;
        ret->limit = get_number(p, "pids.max");
        ret->peak = get_number(p, "pids.peak");
        ret->peak = ret->peak ? ret->peak : ret->limit;
    }
}

/* Whoever is still in it by any way ends now. */
static void kill_members(const char *dir)
{
    char *procs = get(dir, "cgroup.procs");
    for (char *p = procs; p && *p; p += strspn(p, "\n ")) {
        pid_t pid = (pid_t)strtol(p, &p, 10);
        if (pid > 1) {
            kill(pid, SIGKILL);
        }
    }
    free(procs);
}

int jail_cgroup_remove(struct jail_slot *slot)
{
    int left = 0;
    for (unsigned i = 0; i < slot->n; i++) {
        int rc = -1;
        for (int t = 0; t < TRIES && (rc = rmdir(slot->path[i])) && errno == EBUSY; t++) {
            kill_members(slot->path[i]);
            nanosleep(&(struct timespec){0, PAUSE_NS}, NULL);
        }
        left += rc && errno != ENOENT;
    }
    slot->n = left ? slot->n : 0;
    return left ? -1 : 0;
}

/* Groups of workers are named tenon-<pid of their zygote>-<number>: what a killed platform left can be told
 * from what another one on this machine uses now. */
void jail_cgroup_close(struct jail_cgroup *c)
{
    for (unsigned i = 0; i < c->n; i++) {
        DIR *d = opendir(c->base[i]);
        for (struct dirent *e; d && (e = readdir(d));) {
            int owner = 0;
            if (sscanf(e->d_name, OUR_PREFIX "%d-", &owner) == 1 &&
                (owner == getpid() || (kill(owner, 0) && errno == ESRCH))) {
                unlinkat(dirfd(d), e->d_name, AT_REMOVEDIR);
            }
        }
        if (d) {
            closedir(d);
        }
    }
}
