/* SPDX-License-Identifier: Apache-2.0 */
/* Who a worker is: another user when the platform runs as root, and never a privilege. */
#include "kernel/base/err.h"
#include "kernel/base/log.h"
#include "kernel/worker/jail.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define DEFAULT_USER "tenon-worker"
#define CAPS_MAX     63

static void finding(struct jail_finding *f, enum jail_state state, const char *why,
                    const char *advice)
{
    f->state = state;
    snprintf(f->why, sizeof(f->why), "%s", why);
    snprintf(f->advice, sizeof(f->advice), "%s", advice);
}

static int may_pass(const struct stat *st, const struct passwd *pw)
{
    mode_t bit = st->st_uid == pw->pw_uid ? S_IXUSR : st->st_gid == pw->pw_gid ? S_IXGRP : S_IXOTH;
    return (st->st_mode & bit) != 0;
}

/* 1: a folder above `path` is closed to that user; which one and how is in text. The data folder itself is opened to
 * him, what an administrator has closed above it is not ours to open. */
static int way_is_closed(const char *path, const struct passwd *pw, char *text, size_t cap)
{
    char real[PATH_MAX];
    struct stat st;
    if (!realpath(path, real)) {
        return 0; /* the platform makes it, or says why not */
    }
    for (char *slash = strrchr(real, '/'); slash; slash = strrchr(real, '/')) {
        slash[slash == real] = '\0';
        if (stat(real, &st) == 0 && !may_pass(&st, pw)) {
            snprintf(text, cap, "%s cannot pass %.80s (mode %04o)", pw->pw_name, real,
                     (unsigned)(st.st_mode & 07777));
            return 1;
        }
        if (slash == real) {
            break;
        }
    }
    return 0;
}

tn_rc jail_creds_find(struct jail *j, const char *user, tn_err *err)
{
    struct jail_finding *f = &j->layers[JAIL_USER];
    char text[160];
    j->uid = geteuid();
    j->gid = getegid();
    f->wanted = j->uid == 0;
    if (j->uid != 0) {
        const struct passwd *me = getpwuid(j->uid);
        snprintf(j->user, sizeof(j->user), "%s", me ? me->pw_name : "");
        finding(f, JAIL_OFF,
                "only root can give workers a user of their own; Landlock keeps them apart", "");
        return TN_OK;
    }
    snprintf(j->user, sizeof(j->user), "root");
    const struct passwd *pw = user && *user && j->enabled ? getpwnam(user) : NULL;
    int closed = pw && pw->pw_uid != 0 && way_is_closed(j->data, pw, text, sizeof(text));
    if (closed && strcmp(user, DEFAULT_USER) != 0) {
        return err_set(
            err, TN_E_CONFIG,
            "worker_user: %s on the way to the data folder %s; open it (chmod o+x), or choose "
            "another folder with --data",
            text, j->data);
    }
    if (closed) {
        char why[sizeof(f->why)];
        snprintf(why, sizeof(why), "workers run as root: %s on the way to the data folder", text);
        finding(f, JAIL_OFF, why, "chmod o+x that folder, or another one with --data");
    } else if (pw && pw->pw_uid != 0) {
        j->uid = pw->pw_uid;
        j->gid = pw->pw_gid;
        j->switch_user = 1;
        snprintf(j->user, sizeof(j->user), "%.32s", user);
        snprintf(text, sizeof(text), "workers run as %.32s (uid %u)", user, pw->pw_uid);
        finding(f, JAIL_ON, text, "");
    } else if (pw) {
        return err_set(err, TN_E_CONFIG, "worker_user is %s, which is root itself", user);
    } else if (user && *user && j->enabled && strcmp(user, DEFAULT_USER) != 0) {
        return err_set(
            err, TN_E_NOTFOUND,
            "worker_user is %s, and there is no such user; make it with useradd --system, or name another",
            user);
    } else {
        snprintf(text, sizeof(text), "workers run as root%s",
                 user && *user && j->enabled ? ": there is no user " DEFAULT_USER : "");
        finding(f, JAIL_OFF, text,
                "useradd --system --no-create-home --shell /usr/sbin/nologin " DEFAULT_USER);
    }
    return TN_OK;
}

/* ---- what another user needs ----------------------------------------------------------------------- */

/* First-level folders of `resources` too: scripts write .downloads, read uploads. Files that the hub
 * puts there get the group by the folder. */
static int give(int dir, const char *name, const struct jail *j)
{
    struct stat st;
    int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        return -1;
    }
    int rc = fstat(fd, &st);
    if (!rc && (st.st_uid != j->uid || st.st_gid != j->gid)) {
        rc = fchown(fd, j->uid, j->gid) || fchmod(fd, 02770);
    }
    int e = errno;
    close(fd);
    errno = e;
    return rc;
}

static tn_rc give_resources(const struct jail *j, tn_err *err)
{
    if (mkdir(j->resources, 0755) && errno != EEXIST) {
        return err_sys(err, errno, "resource folder %s", j->resources);
    }
    if (give(AT_FDCWD, j->resources, j)) {
        return err_sys(err, errno, "giving %s to %s", j->resources, j->user);
    }
    DIR *d = opendir(j->resources);
    for (struct dirent *e; d && (e = readdir(d));) {
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0 &&
            give(dirfd(d), e->d_name, j) && errno != ENOTDIR && errno != ELOOP) {
            log_warn("giving %s/%s to %s: %s", j->resources, e->d_name, j->user, strerror(errno));
        }
    }
    if (d) {
        closedir(d);
    }
    return TN_OK;
}

/* The data folder must be passable for the workers' user; so what lies in it is closed one by one. */
static tn_rc open_passage(const struct jail *j, tn_err *err)
{
    struct stat st;
    DIR *d = opendir(j->data);
    if (!d || fstat(dirfd(d), &st)) {
        tn_rc rc = err_sys(err, errno, "data folder %s", j->data);
        if (d) {
            closedir(d);
        }
        return rc;
    }
    for (struct dirent *e; (e = readdir(d));) {
        struct stat it;
        if (e->d_name[0] != '.' && strcmp(e->d_name, "resources") != 0 &&
            strcmp(e->d_name, "scratch") != 0 &&
            fstatat(dirfd(d), e->d_name, &it, AT_SYMLINK_NOFOLLOW) == 0 &&
            (S_ISREG(it.st_mode) || S_ISDIR(it.st_mode)) && (it.st_mode & 077) &&
            fchmodat(dirfd(d), e->d_name, it.st_mode & 0700, 0)) {
            log_warn("closing %s/%s: %s", j->data, e->d_name, strerror(errno));
        }
    }
    int rc = st.st_mode & 01 ? 0 : fchmod(dirfd(d), (st.st_mode & 07777) | 0011);
    int e = errno;
    closedir(d);
    return rc ? err_sys(err, e, "making %s passable for %s", j->data, j->user) : TN_OK;
}

tn_rc jail_creds_prepare(const struct jail *j, tn_err *err)
{
    if (!j->switch_user) {
        return TN_OK;
    }
    tn_rc rc = open_passage(j, err);
    return rc ? rc : give_resources(j, err);
}

/* ---- entering ------------------------------------------------------------------------------------------ */

/* What needs capabilities itself, so it comes before they and the user go. */
static tn_rc close_the_way_back(tn_err *err)
{
    for (int cap = 0; cap <= CAPS_MAX; cap++) {
        if (prctl(PR_CAPBSET_READ, cap, 0, 0, 0) == 1 && prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) &&
            errno != EPERM) { /* EPERM: it is not ours to drop, and no_new_privs keeps it from us */
            return err_sys(err, errno, "dropping capability %d", cap);
        }
    }
    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
    /* Without this a program started by uid 0 would have capabilities again; only root may set it. */
    if (prctl(PR_SET_SECUREBITS,
              SECBIT_NOROOT | SECBIT_NOROOT_LOCKED | SECBIT_NO_SETUID_FIXUP |
                  SECBIT_NO_SETUID_FIXUP_LOCKED,
              0, 0, 0) &&
        errno != EPERM) {
        return err_sys(err, errno, "setting securebits");
    }
    return TN_OK;
}

/* A unit with an empty bounding set leaves none, and may forbid the call that gives them up. */
static int has_capabilities(void)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct now[2] = {{0}};
    return syscall(SYS_capget, &head, now) || now[0].effective || now[0].permitted ||
           now[0].inheritable || now[1].effective || now[1].permitted || now[1].inheritable;
}

tn_rc jail_creds_enter(const struct jail *j, tn_err *err)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[2] = {{0}};
    tn_rc rc = close_the_way_back(err);
    if (rc) {
        return rc;
    }
    if (j->switch_user && (setgroups(0, NULL) || setresgid(j->gid, j->gid, j->gid) ||
                           setresuid(j->uid, j->uid, j->uid))) {
        return err_sys(err, errno, "becoming user %s", j->user);
    }
    if (has_capabilities() && syscall(SYS_capset, &head, none)) {
        return err_sys(err, errno, "dropping capabilities");
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)) {
        return err_sys(err, errno, "setting no_new_privs");
    }
    /* Not 0: it would take /proc/self/fd and maps away from scripts, which breaks subprocess. A change of
     * user resets it. */
    if (prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)) {
        return err_sys(err, errno, "setting dumpable");
    }
    return TN_OK;
}
