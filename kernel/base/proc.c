/* SPDX-License-Identifier: Apache-2.0 */
/* Processes: pidfds, sub-reaping, finding and killing descendants. */
#include "kernel/base/proc.h"

#include "kernel/base/clock.h"
#include "kernel/base/fd.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

int proc_pidfd(pid_t pid)
{
    return (int)syscall(SYS_pidfd_open, pid, 0); /* the kernel makes it CLOEXEC */
}

int proc_subreaper(void)
{
    return prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
}

void proc_title(const char *title)
{
    prctl(PR_SET_NAME, title, 0, 0, 0);
}

struct pids {
    pid_t *pids;
    size_t cap, n; /* n counts all, at most cap are stored */
};

static void pids_add(struct pids *l, pid_t pid)
{
    for (size_t i = 0; i < l->n && i < l->cap; i++) {
        if (l->pids[i] == pid) {
            return; /* moved to another thread's list between two reads */
        }
    }
    if (l->n < l->cap) {
        l->pids[l->n] = pid;
    }
    l->n++;
}

/* One line of decimal pids, read piecewise because a fork bomb makes it long. */
static int read_children_file(int dir, const char *tid, struct pids *ret)
{
    char path[64], block[4096];
    snprintf(path, sizeof path, "%.20s/children", tid);
    int fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return -1;
    }
    long pid = 0;
    ssize_t got;
    while ((got = fd_read_full(fd, block, sizeof block)) > 0) {
        for (ssize_t i = 0; i < got; i++) {
            if (isdigit((unsigned char)block[i])) {
                pid = pid * 10 + (block[i] - '0');
            } else if (pid > 0) {
                pids_add(ret, (pid_t)pid);
                pid = 0;
            }
        }
    }
    fd_close(&fd);
    return got < 0 ? -1 : 0;
}

/* Parent of a process by /proc/PID/stat; the command name may hold anything, so look behind the last
 * parenthesis. */
static pid_t parent_of(const char *pid)
{
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/%.20s/stat", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return -1;
    }
    ssize_t got = fd_read_full(fd, text, sizeof text - 1);
    fd_close(&fd);
    if (got <= 0) {
        return -1;
    }
    text[got] = '\0';
    const char *close_paren = strrchr(text, ')');
    int parent = -1;
    return close_paren != NULL && sscanf(close_paren, ") %*c %d", &parent) == 1 ? parent : -1;
}

/* Without CONFIG_PROC_CHILDREN (as on some containers and small kernels): ask every process. */
int proc_children_scan(pid_t *ret, size_t cap)
{
    struct pids found = {ret, cap, 0};
    DIR *dir = opendir("/proc");
    if (dir == NULL) {
        return -1;
    }
    pid_t self = getpid();
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        if (isdigit((unsigned char)e->d_name[0]) && parent_of(e->d_name) == self) {
            pids_add(&found, (pid_t)strtol(e->d_name, NULL, 10));
        }
    }
    closedir(dir);
    return (int)found.n;
}

int proc_children(pid_t *ret, size_t cap)
{
    struct pids found = {ret, cap, 0};
    DIR *tasks = opendir("/proc/self/task");
    if (tasks == NULL) {
        return -1;
    }
    int rc = 0;
    for (struct dirent *e; rc == 0 && (e = readdir(tasks)) != NULL;) {
        if (isdigit((unsigned char)e->d_name[0])) {
            rc = read_children_file(dirfd(tasks), e->d_name, &found);
            /* A thread may end meanwhile; its children are then listed under another one. */
            if (rc < 0 && faccessat(dirfd(tasks), e->d_name, F_OK, 0) < 0) {
                rc = 0;
            }
        }
    }
    closedir(tasks);
    return rc < 0 ? proc_children_scan(ret, cap) : (int)found.n;
}

static bool is_kept(pid_t pid, const pid_t *keep, size_t nkeep)
{
    for (size_t i = 0; i < nkeep; i++) {
        if (keep[i] == pid) {
            return true;
        }
    }
    return false;
}

static uint64_t real_ns(void) /* an injected clock may stand still, this loop must end */
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

/* Reaps pid if it has ended; *killed counts those that SIGKILL ended. */
static bool reap(pid_t pid, int *killed)
{
    int status;
    if (waitpid(pid, &status, WNOHANG | __WALL) != pid) {
        return false;
    }
    *killed += WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    return true;
}

/* Stopping everything first would not help: a killed process cannot fork either, and the children it
 * already has come to us and are found in the next round. What forks and exits faster than a round is
 * bounded by the time limit. */
int proc_kill_strays(const pid_t *keep, size_t nkeep)
{
    enum { STRAYS = 512, IDLE_NS = 500000 };
    const size_t cap = nkeep + STRAYS; /* whatever is kept, strays are among what is stored */
    pid_t *pids = malloc(cap * sizeof *pids);
    uint64_t end = real_ns() + 2 * NS_PER_S;
    int killed = 0;
    while (pids != NULL) {
        int n = proc_children(pids, cap);
        size_t stored = n < 0 ? 0 : (size_t)n < cap ? (size_t)n : cap, strays = 0, reaped = 0;
        for (size_t i = 0; i < stored; i++) {
            if (is_kept(pids[i], keep, nkeep)) {
                continue;
            }
            strays++;
            if (reap(pids[i], &killed)) {
                reaped++;
                pids[i] = pids[--stored];
                i--;
            } else {
                kill(pids[i], SIGKILL);
            }
        }
        for (size_t i = 0; i < stored; i++) {
            reaped += !is_kept(pids[i], keep, nkeep) && reap(pids[i], &killed);
        }
        if (strays == 0 || real_ns() >= end) {
            break;
        }
        if (reaped == 0) {
            nanosleep(&(struct timespec){0, IDLE_NS}, NULL);
        }
    }
    free(pids);
    return killed;
}

long proc_memory(pid_t pid, const char *field)
{
    char path[64];
    char *text = NULL;
    snprintf(path, sizeof path, "/proc/%ld/smaps_rollup", (long)pid);
    if (fd_read_file(path, 65536, &text, NULL) < 0) {
        return -1;
    }
    long kb = -1;
    size_t n = strlen(field);
    for (const char *line = text; line != NULL; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, field, n) == 0 && line[n] == ':') {
            kb = strtol(line + n + 1, NULL, 10);
            break;
        }
    }
    free(text);
    return kb;
}
