/* SPDX-License-Identifier: Apache-2.0 */
/* tenon doctor: the data folder, the disk below it, time, memory and plugins. */
#include "kernel/base/fd.h"
#include "kernel/base/finding.h"
#include "kernel/base/str.h"
#include "kernel/cli/cli.h"
#include "kernel/conf/settings.h"
#include "kernel/plug/plug.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#define MIB          (1ull << 20)
#define SPACE_NEEDED (64 * MIB) /* below it the first burst of records fills the disk */
#define SPACE_ENOUGH (1024 * MIB)
#define INODES_FEW   10000
#define CLOCK_FROM   1735689600 /* 2025-01-01: earlier than this program nobody lives */

/* ---- data folder ------------------------------------------------------------------------------------- */

/* The folder itself, or the nearest one above that exists. 1 = itself. */
static int nearest(const char *path, char *ret, size_t n)
{
    struct stat st;
    snprintf(ret, n, "%s", path);
    for (int own = 1;; own = 0) {
        if (stat(ret, &st) == 0) {
            return own;
        }
        char *slash = strrchr(ret, '/');
        if (!slash || slash == ret) {
            snprintf(ret, n, "%s", slash ? "/" : ".");
            return 0;
        }
        *slash = '\0';
    }
}

static void check_writable(const char *data, struct buf *out)
{
    char at[PATH_MAX], path[PATH_MAX + 32];
    int own = nearest(data, at, sizeof(at));
    snprintf(path, sizeof(path), "%s/.doctor-%d", at, (int)getpid());
    int fd = own ? open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600) : -1;
    if (own ? fd < 0 || fd_write_all(fd, "x", 1) || fsync(fd) : access(at, W_OK | X_OK)) {
        finding_put(
            out, "data folder", FINDING_FAIL,
            errno == EROFS || errno == ENOSPC ? "make room, or choose another folder with --data"
            : errno == ENOTDIR || errno == EEXIST
                ? "choose another with --data: this is no folder"
                : "give it to the user of the platform (chown), or choose another with --data",
            "%s cannot be written: %s", at, strerror(errno));
    } else {
        finding_put(out, "data folder", FINDING_OK, "", "%s %s", data,
                    own ? "can be written" : "does not exist yet and can be made");
    }
    fd_close(&fd);
    unlink(path);
}

/* Keys and data bases are for the platform's user alone. */
static void check_private(const char *data, struct buf *out)
{
    char first[256] = "", advice[PATH_MAX + 64];
    unsigned n = 0;
    DIR *d = opendir(data);
    for (struct dirent *e; d && (e = readdir(d));) {
        struct stat st;
        if (fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
            (st.st_mode & 077)) {
            n++;
            snprintf(first, sizeof(first), "%.255s", e->d_name);
        }
    }
    if (d) {
        closedir(d);
    }
    if (n) {
        snprintf(advice, sizeof(advice), "chmod go-rwx %s/*", data);
        finding_put(out, "secrets", FINDING_WARN, advice,
                    "%u files of the data folder are open to other users (%s)", n, first);
    } else if (d) {
        finding_put(out, "secrets", FINDING_OK, "",
                    "files of the data folder are for its user alone");
    }
}

static void check_disk(const char *data, struct buf *out)
{
    static const struct {
        long magic;
        const char *name;
    } remote[] = {
        {0x6969, "NFS"}, {0xFF534D42L, "CIFS"}, {0xFE534D42L, "SMB"}, {0x65735546, "FUSE"}};
    char at[PATH_MAX];
    struct statvfs v;
    struct statfs fs;
    nearest(data, at, sizeof(at));
    if (statvfs(at, &v) || statfs(at, &fs)) {
        finding_put(out, "disk", FINDING_FAIL, "choose another folder with --data", "%s: %s", at,
                    strerror(errno));
        return;
    }
    unsigned long long unit = v.f_frsize, room = v.f_bavail * unit, all = v.f_blocks * unit;
    enum finding_state s = room < SPACE_NEEDED                      ? FINDING_FAIL
                           : room < SPACE_ENOUGH || room < all / 20 ? FINDING_WARN
                                                                    : FINDING_OK;
    finding_put(out, "disk", s,
                s == FINDING_OK ? "" : "make room: when the disk is full, nothing is accepted",
                "%llu MiB of %llu MiB free", room / MIB, all / MIB);
    if (v.f_files && v.f_favail < INODES_FEW) {
        finding_put(out, "inodes", FINDING_WARN, "remove small files", "%llu left",
                    (unsigned long long)v.f_favail);
    }
    for (size_t i = 0; i < sizeof(remote) / sizeof(*remote); i++) {
        if ((unsigned long)fs.f_type == (unsigned long)remote[i].magic) {
            finding_put(out, "file system", FINDING_WARN, "a local disk, with backups to that one",
                        "%s: locks and syncing of data bases are not to be relied on",
                        remote[i].name);
        }
    }
}

/* ---- time ----------------------------------------------------------------------------------------------- */

static void check_zone(const char *zone, struct buf *out)
{
    char path[PATH_MAX];
    int found = settings_zone_file(zone, path, sizeof(path));
    finding_put(
        out, "time zone", found ? FINDING_OK : FINDING_FAIL,
        found ? ""
              : "install the data base (apt-get install tzdata), or correct the setting timezone",
        found ? "%s" : "%s is not in the time zone data base (%s)", zone, path);
}

static void check_clock(struct buf *out)
{
    struct timex t = {.modes = 0};
    if (time(NULL) < CLOCK_FROM) {
        finding_put(out, "clock", FINDING_FAIL, "set the clock (timedatectl set-ntp true)",
                    "the system's time lies in the past");
    } else if (adjtimex(&t) == TIME_ERROR || (t.status & STA_UNSYNC)) {
        finding_put(out, "clock", FINDING_NOTE,
                    "systemd-timesyncd, chrony or ntpd; in a container the host's clock counts",
                    "nobody is known to keep it in time; schedules and signed requests go by it");
    } else {
        finding_put(out, "clock", FINDING_OK, "", "kept in time");
    }
}

/* ---- memory, mode ---------------------------------------------------------------------------------------- */

static void check_memory(const struct settings *s, struct buf *out)
{
    unsigned long long all = (unsigned long long)sysconf(_SC_PHYS_PAGES) *
                             (unsigned long long)sysconf(_SC_PAGESIZE);
    unsigned long long one = (unsigned long long)s->worker_memory.n;
    if (one == 0) {
        finding_put(out, "memory", FINDING_WARN,
                    "worker_memory: 1G, or what the largest function needs",
                    "worker_memory is 0: one function can take all %llu MiB", all / MIB);
    } else if (one > all) {
        finding_put(out, "memory", FINDING_WARN, "a smaller worker_memory",
                    "a worker may use %llu MiB, the machine has %llu MiB", one / MIB, all / MIB);
    } else {
        finding_put(out, "memory", FINDING_OK, "", "%llu MiB; a worker may use %llu MiB", all / MIB,
                    one / MIB);
    }
}

void checks_system(const struct settings *s, struct buf *out)
{
    check_writable(s->data, out);
    check_private(s->data, out);
    check_disk(s->data, out);
    check_zone(s->timezone, out);
    check_clock(out);
    check_memory(s, out);
    if (s->dev) {
        finding_put(out, "mode", FINDING_WARN, "leave --dev (DFF_MODE=dev) out",
                    "development: admin/admin signs in and there is no captcha");
    }
}

/* ---- plugins --------------------------------------------------------------------------------------------- */

void checks_plugins(const struct settings *s, struct buf *out)
{
    const struct {
        uint32_t kind;
        const char *name;
    } needed[] = {
        {TN_KIND_CONNECTOR, s->store}, {TN_KIND_FRONTEND, s->frontend_engine}, {TN_KIND_API, NULL}};
    struct plug_registry reg = {0};
    tn_err err = TN_ERR_INIT;
    unsigned usable = 0;
    if (plug_discover(&reg, s->plugins, &err)) {
        finding_put(out, "plugins", FINDING_FAIL, "free memory or processes", "%s", err.msg);
        return;
    }
    for (size_t i = 0; i < reg.nreports; i++) {
        const struct plug_report *r = &reg.reports[i];
        usable += r->problem == NULL;
        if (r->problem) {
            finding_put(out, "plugins", FINDING_WARN, "install what it lacks, or remove the file",
                        "%s: %s", r->path, r->problem);
        }
    }
    for (size_t k = 0; k < sizeof(needed) / sizeof(*needed); k++) {
        int found = 0;
        for (size_t i = 0; i < reg.nreports; i++) {
            const struct plug_report *r = &reg.reports[i];
            found |= !r->problem && r->kind == needed[k].kind &&
                     (!needed[k].name || (r->name && strcmp(r->name, needed[k].name) == 0));
        }
        if (!found) {
            finding_put(out, "plugins", FINDING_FAIL,
                        "install it, or name its folder with --plugins",
                        "no %s%s%s: the platform cannot start", plug_kind_name(needed[k].kind),
                        needed[k].name ? " " : "", needed[k].name ? needed[k].name : "");
        }
    }
    finding_put(out, "plugins", usable ? FINDING_OK : FINDING_NOTE, "", "%u usable", usable);
    plug_registry_finish(&reg);
}
