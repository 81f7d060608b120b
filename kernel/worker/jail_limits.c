/* SPDX-License-Identifier: Apache-2.0 */
/* The layer that is always there: rlimits of a worker and of everything it starts. */
#include "kernel/base/err.h"
#include "kernel/worker/jail.h"
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define MEMLOCK_MAX  (64ll << 20) /* bytes that cannot be swapped out */
#define PER_WORKER   16           /* threads that a worker may have on top of what one is allowed */
#define WORKERS_MANY 64

/* Sanitizers reserve terabytes of addresses: their builds run without that one limit. */
#if defined(__has_feature)
#define SANITIZED (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

/* The limit for both soft and hard, but never above what we were given. */
static tn_rc set(int what, const char *name, int64_t value, tn_err *err)
{
    struct rlimit r;
    if (getrlimit((__rlimit_resource_t)what, &r)) {
        return err_sys(err, errno, "reading limit %s", name);
    }
    if (r.rlim_max == RLIM_INFINITY || (rlim_t)value < r.rlim_max) {
        r.rlim_max = (rlim_t)value;
    }
    r.rlim_cur = r.rlim_max;
    if (setrlimit((__rlimit_resource_t)what, &r)) {
        return err_sys(err, errno, "setting limit %s to %lld", name, (long long)value);
    }
    return TN_OK;
}

tn_rc jail_limits_enter(const struct jail *j, tn_err *err)
{
    const struct {
        int what;
        const char *name;
        int64_t value; /* < 0: none */
    } rows[] = {
        {RLIMIT_CORE, "CORE", 0},
        {RLIMIT_NOFILE, "NOFILE", j->files},
        {RLIMIT_MEMLOCK, "MEMLOCK", MEMLOCK_MAX},
        {RLIMIT_FSIZE, "FSIZE", j->file_size > 0 ? j->file_size : -1},
        {RLIMIT_AS, "AS", j->memory > 0 && !SANITIZED ? j->memory : -1},
        {RLIMIT_NPROC, "NPROC", j->nproc ? (int64_t)j->nproc : -1},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        tn_rc rc = rows[i].value < 0 ? TN_OK : set(rows[i].what, rows[i].name, rows[i].value, err);
        if (rc) {
            return rc;
        }
    }
    return TN_OK;
}

/* Threads that the user has now; the kernel counts them all against RLIMIT_NPROC. */
static uint64_t threads_of(uid_t uid)
{
    uint64_t n = 0;
    DIR *d = opendir("/proc");
    for (struct dirent *e; d && (e = readdir(d));) {
        char path[300], text[4096];
        struct stat st;
        snprintf(path, sizeof(path), "/proc/%.200s/status", e->d_name);
        if (e->d_name[0] < '1' || e->d_name[0] > '9' || stat(path, &st) || st.st_uid != uid) {
            continue;
        }
        FILE *f = fopen(path, "re");
        size_t got = f ? fread(text, 1, sizeof(text) - 1, f) : 0;
        if (f) {
            fclose(f);
        }
        text[got] = '\0';
        const char *line = strstr(text, "\nThreads:");
        n += line ? strtoul(line + 9, NULL, 10) : 1;
    }
    if (d) {
        closedir(d);
    }
    return n;
}

/* RLIMIT_NPROC counts per user, not per worker, so it can only bound the sum: what runs already, room
 * for ordinary workers, and one worker that uses all it may. Control groups count exactly. */
void jail_limits_find(struct jail *j)
{
    struct jail_finding *f = &j->layers[JAIL_LIMITS];
    f->wanted = 1;
    f->state = JAIL_ON;
    j->nproc = 0;
    if (j->processes > 0 && j->uid != 0) {
        j->nproc = threads_of(j->uid) + WORKERS_MANY * PER_WORKER + (uint64_t)j->processes;
    }
    snprintf(f->why, sizeof(f->why),
             "memory %lld MiB, file size %lld MiB, %lld descriptors, %lld processes, no core files",
             (long long)(j->memory >> 20), (long long)(j->file_size >> 20), (long long)j->files,
             (long long)j->processes);
    if (j->uid == 0 && !j->cgroup.has_pids && j->processes > 0) {
        f->state = JAIL_PART;
        snprintf(f->why, sizeof(f->why),
                 "the kernel does not count processes of root, and no control group does");
        snprintf(f->advice, sizeof(f->advice),
                 "create a user for workers: useradd --system --no-create-home %s", "tenon-worker");
    }
}
