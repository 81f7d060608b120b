/* SPDX-License-Identifier: Apache-2.0 */
/* Scratch folders and their cleaning. What a script leaves may be a million files or a tower of folders:
 * a worker removes a little by itself, everything else is put aside and removed by a janitor process. */
#include "kernel/worker/scratch.h"
#include "kernel/base/err.h"
#include "kernel/base/fd.h"
#include "kernel/base/proc.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define PREFIX      "w-"
#define ASIDE       "trash-"
#define CALL_BUDGET 500u /* entries that a worker removes between two calls: some milliseconds */
#define NICE        19

static const struct timespec untouched[2] = {{0, 0}, {0, 0}};

/* Under a unit that filters system calls not even our own folder may be given to ourselves. */
static int give(int fd, uid_t uid, gid_t gid)
{
    struct stat st;
    if (fstat(fd, &st)) {
        return -1;
    }
    return st.st_uid == uid && st.st_gid == gid ? 0 : fchown(fd, uid, gid);
}

tn_rc scratch_open(struct scratch *s, const char *root, uid_t uid, gid_t gid, tn_err *err)
{
    s->fd = -1;
    s->watched = 0;
    if (snprintf(s->path, sizeof(s->path), "%s/" PREFIX "%d", root, (int)getpid()) >=
        (int)sizeof(s->path)) {
        return err_set(err, TN_E_LIMIT, "the path of the scratch folder is too long");
    }
    if (mkdir(s->path, 0700) &&
        errno != EEXIST) { /* EEXIST: of an earlier process with this number */
        return err_sys(err, errno, "scratch folder %s", s->path);
    }
    s->fd = open(s->path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (s->fd < 0 || give(s->fd, uid, gid) || fchmod(s->fd, 0700)) {
        return err_sys(err, errno, "scratch folder %s", s->path);
    }
    scratch_empty(s->fd, 0);
    futimens(s->fd, untouched);
    return TN_OK;
}

/* ---- being told ---------------------------------------------------------------------------------------- */

/* dnotify (fcntl(2), F_NOTIFY), because its news cost nothing while there are none. The signal is one that Linux itself
 * never sends and that is not queued, so that it cannot get lost; in this thread it arrives before the system call
 * that made the entry returns. The sanitizer for threads delays signals, so there every call looks. */
#if defined(SIGSTKFLT) && defined(F_NOTIFY) && !defined(__SANITIZE_THREAD__)
static volatile sig_atomic_t made;

static void on_made(int sig)
{
    (void)sig;
    made = 1;
}

/* For the next entry only: one signal a call is enough. */
static int watch_next(const struct scratch *s)
{
    made = 0;
    return fcntl(s->fd, F_NOTIFY, DN_CREATE) == 0;
}

void scratch_watch(struct scratch *s)
{
    struct sigaction sa = {.sa_handler = on_made, .sa_flags = SA_RESTART | SA_ONSTACK};
    struct f_owner_ex owner = {F_OWNER_TID, gettid()};
    sigemptyset(&sa.sa_mask);
    s->watched = s->fd >= 0 && sigaction(SIGSTKFLT, &sa, NULL) == 0 &&
                 fcntl(s->fd, F_SETOWN_EX, &owner) == 0 && fcntl(s->fd, F_SETSIG, SIGSTKFLT) == 0 &&
                 watch_next(s);
}

static int nothing_made(const struct scratch *s)
{
    return s->watched && !made;
}
#else
static int watch_next(const struct scratch *s)
{
    (void)s;
    return 0;
}

void scratch_watch(struct scratch *s)
{
    s->watched = 0;
}

static int nothing_made(const struct scratch *s)
{
    (void)s;
    return 0;
}
#endif

/* Making and removing entries sets the folder's time, and only we set it back to zero. A script that does
 * so too, or takes the watch away, keeps its files a little longer: until the worker ends. */
int scratch_clean(struct scratch *s)
{
    struct stat st;
    if (nothing_made(s)) {
        return 1;
    }
    s->watched = s->watched &&
                 watch_next(s); /* before it is emptied, so that nothing falls between */
    if (s->fd < 0 || fstat(s->fd, &st) ||
        (st.st_mtim.tv_sec == 0 && st.st_mtim.tv_nsec == 0 && st.st_nlink <= 2)) {
        return 1;
    }
    int empty = scratch_empty(s->fd, CALL_BUDGET);
    futimens(s->fd, untouched);
    return empty;
}

/* ---- removing ----------------------------------------------------------------------------------------- */

/* A folder that its owner closed for himself can be opened again by him. */
static void open_up(int dir, const char *name)
{
    struct stat st;
    if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode) &&
        (st.st_mode & 0700) != 0700 && fchmodat(dir, name, 0700, 0)) {
        return; /* then it stays, and whoever looks next tries again */
    }
}

/* A folder in `top`: its files go, its own folders move up into `top`, so that no depth is too deep. */
static int dissolve(int top, const char *name, unsigned *budget)
{
    static unsigned serial;
    open_up(top, name);
    int fd = openat(top, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    if (!d) {
        fd_close(&fd);
        return -1;
    }
    for (struct dirent *e; *budget && (e = readdir(d));) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) {
            continue;
        }
        --*budget;
        if (unlinkat(fd, e->d_name, 0) && (errno == EISDIR || errno == EPERM)) {
            char up[64];
            snprintf(up, sizeof(up), ".%d-%u", (int)getpid(), serial++);
            open_up(fd, e->d_name);
            if (unlinkat(fd, e->d_name, AT_REMOVEDIR)) {
                renameat(fd, e->d_name, top, up);
            }
        }
    }
    closedir(d);
    return unlinkat(top, name, AT_REMOVEDIR);
}

int scratch_empty(int fd, unsigned budget)
{
    unsigned left = budget ? budget : UINT_MAX;
    for (;;) {
        int copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *d = copy >= 0 ? fdopendir(copy) : NULL;
        unsigned seen = 0, removed = 0;
        if (!d) {
            fd_close(&copy);
            return 0;
        }
        for (struct dirent *e; left && (e = readdir(d));) {
            if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) {
                continue;
            }
            seen++;
            left -= budget != 0;
            removed += unlinkat(fd, e->d_name, 0) == 0 ||
                       unlinkat(fd, e->d_name, AT_REMOVEDIR) == 0 ||
                       dissolve(fd, e->d_name, &left) == 0;
            left = budget ? left : UINT_MAX;
        }
        closedir(d);
        if (seen == 0 && left) {
            return 1;
        }
        if (removed == 0 || !left) {
            return 0;
        }
    }
}

/* ---- workers that have ended ------------------------------------------------------------------------------ */

int scratch_ended(const char *root, pid_t pid)
{
    char path[PATH_MAX + 32], aside[PATH_MAX + 64];
    static unsigned serial;
    snprintf(path, sizeof(path), "%s/" PREFIX "%d", root, (int)pid);
    if (rmdir(path) == 0 || errno == ENOENT) {
        return 0;
    }
    snprintf(aside, sizeof(aside), "%s/" ASIDE "%d-%u", root, (int)getpid(), serial++);
    return rename(path, aside) == 0;
}

int scratch_sweep(const char *root)
{
    DIR *d = opendir(root);
    int work = 0;
    for (struct dirent *e; d && (e = readdir(d));) {
        int pid = 0;
        if (strncmp(e->d_name, ASIDE, strlen(ASIDE)) == 0) {
            work = 1;
        } else if (sscanf(e->d_name, PREFIX "%d", &pid) == 1 && kill(pid, 0) && errno == ESRCH) {
            work |= scratch_ended(root, pid);
        }
    }
    if (d) {
        closedir(d);
    }
    return work;
}

_Noreturn void scratch_janitor(const char *root)
{
    DIR *d = opendir(root);
    proc_title("tenon-janitor");
    setpriority(PRIO_PROCESS, 0, NICE);
    for (struct dirent *e; d && (e = readdir(d));) {
        int fd = strncmp(e->d_name, ASIDE, strlen(ASIDE)) == 0
                     ? openat(dirfd(d), e->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
                     : -1;
        if (fd >= 0) {
            scratch_empty(fd, 0);
            close(fd);
            unlinkat(dirfd(d), e->d_name, AT_REMOVEDIR);
        }
    }
    _exit(0);
}
