/* SPDX-License-Identifier: Apache-2.0 */
/* Preloaded into the platform by faults.py: calls that touch the disk fail on demand. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

enum { WRITE = 1, SYNC = 2 };

/* faults.py writes it with the same layout. */
static struct control {
    _Atomic int kinds; /* of the calls that count; 0 = nothing fails */
    int at;            /* the at-th of them fails ... */
    int forever;       /* ... and all after it */
    int error;
    _Atomic int seen, failed;
    char match[64];       /* part of the file's path */
    _Atomic int delay_ms; /* before each sync of such a file */
} * control;

static struct {
    ssize_t (*pwrite)(int, const void *, size_t, off_t);
    ssize_t (*write)(int, const void *, size_t);
    int (*fsync)(int), (*fdatasync)(int);
} next;

__attribute__((constructor)) static void start(void)
{
    const char *path = getenv("FAULTS_CONTROL");
    *(void **)&next.pwrite = dlsym(RTLD_NEXT, "pwrite64");
    *(void **)&next.write = dlsym(RTLD_NEXT, "write");
    *(void **)&next.fsync = dlsym(RTLD_NEXT, "fsync");
    *(void **)&next.fdatasync = dlsym(RTLD_NEXT, "fdatasync");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd >= 0) {
        void *p = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        control = p == MAP_FAILED ? NULL : p;
        close(fd);
    }
}

static int matches(int fd)
{
    char link[32], path[512];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, path, sizeof path - 1);
    path[len > 0 ? len : 0] = '\0';
    return strstr(path, control->match) != NULL;
}

static int fails(int kind, int fd)
{
    int delay = control && kind == SYNC ? atomic_load(&control->delay_ms) : 0;
    if (delay && matches(fd)) {
        usleep((useconds_t)delay * 1000);
    }
    if (!control || !(atomic_load(&control->kinds) & kind) || !matches(fd)) {
        return 0;
    }
    int n = atomic_fetch_add(&control->seen, 1) + 1;
    if (n < control->at || (n > control->at && !control->forever)) {
        return 0;
    }
    atomic_fetch_add(&control->failed, 1);
    errno = control->error;
    return 1;
}

ssize_t pwrite64(int fd, const void *p, size_t n, off_t at)
{
    return fails(WRITE, fd) ? -1 : next.pwrite(fd, p, n, at);
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t at)
{
    return pwrite64(fd, p, n, at);
}

ssize_t write(int fd, const void *p, size_t n)
{
    return fails(WRITE, fd) ? -1 : next.write(fd, p, n);
}

int fsync(int fd)
{
    return fails(SYNC, fd) ? -1 : next.fsync(fd);
}

int fdatasync(int fd)
{
    return fails(SYNC, fd) ? -1 : next.fdatasync(fd);
}
