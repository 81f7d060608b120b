/* SPDX-License-Identifier: Apache-2.0 */
/* Preloaded into the platform by clock.py: a wall clock that somebody sets. The monotonic clock stays as it is. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

static _Atomic long *offset_s; /* clock.py writes it */

static struct {
    int (*clock_gettime)(clockid_t, struct timespec *);
    int (*timerfd_settime)(int, int, const struct itimerspec *, struct itimerspec *);
} next;

/* Whoever asks first, a constructor or another library's. */
static void start(void)
{
    static atomic_int once;
    if (atomic_exchange(&once, 1)) {
        return;
    }
    const char *path = getenv("CLOCK_CONTROL");
    *(void **)&next.clock_gettime = dlsym(RTLD_NEXT, "clock_gettime");
    *(void **)&next.timerfd_settime = dlsym(RTLD_NEXT, "timerfd_settime");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd >= 0) {
        void *p = mmap(NULL, sizeof *offset_s, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        offset_s = p == MAP_FAILED ? NULL : p;
        close(fd);
    }
}

__attribute__((constructor)) static void begin(void)
{
    start();
}

static long offset(void)
{
    return offset_s ? atomic_load(offset_s) : 0;
}

int clock_gettime(clockid_t id, struct timespec *ret)
{
    start();
    int rc = next.clock_gettime(id, ret);
    if (rc == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) {
        ret->tv_sec += offset();
    }
    return rc;
}

int gettimeofday(struct timeval *ret, void *zone)
{
    struct timespec t;
    (void)zone;
    int rc = clock_gettime(CLOCK_REALTIME, &t);
    ret->tv_sec = t.tv_sec;
    ret->tv_usec = t.tv_nsec / 1000;
    return rc;
}

time_t time(time_t *ret)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    if (ret) {
        *ret = t.tv_sec;
    }
    return t.tv_sec;
}

/* The kernel's clock is not set, so a moment of ours is another one there. */
int timerfd_settime(int fd, int flags, const struct itimerspec *at, struct itimerspec *old)
{
    struct itimerspec real = *at;
    start();
    if ((flags & TFD_TIMER_ABSTIME) && (real.it_value.tv_sec || real.it_value.tv_nsec)) {
        real.it_value.tv_sec -= offset();
    }
    return next.timerfd_settime(fd, flags, &real, old);
}
