/* SPDX-License-Identifier: Apache-2.0 */
/* Which limit explains a failure: the language asks with the name of the limit that its exception hints at,
 * and gets a sentence with limit and peak, or nothing when that limit was not met. */
#include "kernel/base/fd.h"
#include "kernel/worker/jail.h"
#include "kernel/worker/worker_int.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB (1ull << 20)

/* A number of /proc/self/status in kB, as bytes. */
static uint64_t status_bytes(const char *key)
{
    char *text = NULL;
    uint64_t n = 0;
    if (fd_read_file("/proc/self/status", 65536, &text, NULL) >= 0) {
        const char *at = strstr(text, key);
        n = at ? strtoull(at + strlen(key), NULL, 10) * 1024 : 0;
    }
    free(text);
    return n;
}

static int memory(struct worker *w, char *out, size_t n)
{
    const struct jail *j = w->conf->jail;
    if (j->memory <= 0) {
        return 0;
    }
    snprintf(out, n,
             "the function reached its memory limit of %llu MiB (peak %llu MiB; worker_memory)",
             (unsigned long long)((uint64_t)j->memory / MIB),
             (unsigned long long)(status_bytes("VmPeak:") / MIB));
    return 1;
}

/* The group's counter knows; without a group a fork that fails now tells the same. */
static int processes(struct worker *w, char *out, size_t n)
{
    const struct jail *j = w->conf->jail;
    struct jail_usage u = {0};
    if (j->processes <= 0) {
        return 0;
    }
    jail_cgroup_usage(&j->cgroup, &w->slot, &u);
    if (u.cause != JAIL_PIDS) {
        pid_t pid = fork();
        if (pid == 0) {
            _exit(0);
        }
        if (pid > 0) {
            waitpid(pid, NULL, 0);
        }
        if (pid > 0 || errno != EAGAIN) {
            return 0;
        }
        u.limit = u.peak = (uint64_t)j->processes;
    }
    snprintf(out, n,
             "the function reached its limit of %llu processes and threads (peak %llu; "
             "worker_processes)",
             (unsigned long long)u.limit, (unsigned long long)u.peak);
    return 1;
}

static int files(struct worker *w, char *out, size_t n)
{
    struct rlimit r;
    (void)w;
    if (getrlimit(RLIMIT_NOFILE, &r)) {
        return 0;
    }
    int now = fd_count();
    /* What the unwinding of the exception closed counts as well: the limit was met. */
    snprintf(out, n,
             "the function reached its limit of %llu open files and sockets (peak %llu, %d still "
             "open; worker_files)",
             (unsigned long long)r.rlim_cur, (unsigned long long)r.rlim_cur, now < 0 ? 0 : now);
    return 1;
}

static int file_size(struct worker *w, char *out, size_t n)
{
    const struct jail *j = w->conf->jail;
    if (j->file_size <= 0) {
        return 0;
    }
    snprintf(out, n, "the function reached its limit of %llu MiB for one file (worker_file_size)",
             (unsigned long long)((uint64_t)j->file_size / MIB));
    return 1;
}

int limits_explain(void *ctx, const char *kind, char *out, size_t n)
{
    static const struct {
        const char *kind;
        int (*explain)(struct worker *w, char *out, size_t n);
    } rows[] = {{"MemoryLimit", memory},
                {"ProcessLimit", processes},
                {"OpenFilesLimit", files},
                {"FileSizeLimit", file_size}};
    struct worker *w = ctx;
    for (size_t i = 0; worker_is_self() && i < sizeof(rows) / sizeof(*rows); i++) {
        if (strcmp(rows[i].kind, kind) == 0) {
            return rows[i].explain(w, out, n);
        }
    }
    return 0;
}
