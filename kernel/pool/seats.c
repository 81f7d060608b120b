/* SPDX-License-Identifier: Apache-2.0 */
/* Connections that all workers together may have (pool.max_total). A seat is a byte of a file that the zygote made and every worker
 * has; whoever has the connection has a lock on it. Record locks belong to a process and end with it (fcntl(2)), so nobody needs to
 * clean up behind a worker that was killed. Another byte is locked, shared, by all who wait; they sleep on a word of shared memory
 * (futex(2)) that grows with each seat given back. A worker that was killed rings for nobody, so they look by themselves now and then. */
#include "kernel/pool/pool_int.h"

#include "kernel/base/clock.h"
#include "kernel/base/log.h"
#include "kernel/base/rnd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* For a connector; as many as max_total allows. The byte behind them says that somebody waits. */
#define SEATS 1024

#define POLL_NS       (100 * NS_PER_MS) /* who waits looks at least that often */
#define POLL_BLIND_NS (4 * NS_PER_MS)   /* when no bell can ring */
/* A server counts a session that was closed for a moment longer. */
#define SETTLE_NS     (8 * NS_PER_MS)
#define BELLS         1024 /* words; connectors that share one wake each other for nothing */

static int lock(const struct pools *ps, int command, short type, int64_t at, short *ret_type)
{
    struct flock l = {.l_type = type, .l_whence = SEEK_SET, .l_start = at, .l_len = 1};
    int r = fcntl(ps->seats_fd, command, &l);
    if (ret_type != NULL) {
        *ret_type = l.l_type;
    }
    return r;
}

static uint64_t hash(const struct pool *p)
{
    uint64_t h = 14695981039346656037u; /* FNV-1a */
    for (const char *s = p->id; *s != '\0'; s++) {
        h = (h ^ (unsigned char)*s) * 1099511628211u;
    }
    return h;
}

/* Where the seats of a connector begin. Two that meet in one place share their seats, so each has fewer: never more. */
static int64_t place(const struct pool *p)
{
    return (int64_t)(hash(p) >> 16 & 0xffffffff) * (SEATS + 1);
}

static _Atomic uint32_t *bell(const struct pool *p)
{
    return p->all->bells + hash(p) % BELLS;
}

void seats_open(struct pools *ps)
{
    list_init(&ps->seated);
    ps->seats_fd = memfd_create("tenon-seats", MFD_CLOEXEC);
    if (ps->seats_fd < 0) {
        log_warn("pool.max_total counts for each worker alone: %s", strerror(errno));
    }
    void *m = mmap(NULL, BELLS * sizeof *ps->bells, PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ps->bells = m != MAP_FAILED ? m : NULL;
}

void seats_close(struct pools *ps)
{
    if (ps->seats_fd >= 0) {
        close(ps->seats_fd);
    }
    if (ps->bells != NULL) {
        munmap(ps->bells, BELLS * sizeof *ps->bells);
    }
}

int pools_seats(const struct pools *ps)
{
    return ps->seats_fd;
}

void pools_seats_at(struct pools *ps, int fd)
{
    ps->seats_fd = fd;
}

/* ps->seats_lock is held. A lock that this process has would be given to it again. */
static bool ours(const struct pools *ps, int64_t at)
{
    list_for_each(it, &ps->seated) {
        if (list_entry(it, struct pool_conn, seat_link)->seat == at) {
            return true;
        }
    }
    return false;
}

bool seats_take(struct pool_conn *c)
{
    struct pool *p = c->pool;
    struct pools *ps = p->all;
    unsigned total = (unsigned)p->s.max_total;
    uint32_t first;
    bool taken = false;
    if (total == 0) {
        return true;
    }
    rnd_bytes(&first, sizeof first);
    int64_t begin = place(p);
    pthread_mutex_lock(&ps->seats_lock);
    for (unsigned i = 0; !taken && i < total; i++) {
        int64_t at = begin + (first + i) % total;
        if (ours(ps, at)) {
            continue;
        }
        if (lock(ps, F_SETLK, F_WRLCK, at, NULL) == 0) {
            taken = true;
        } else if (errno != EAGAIN && errno != EACCES) {
            taken = true; /* no file, or a script has closed it: the limit is this worker's */
        }
        if (taken) {
            c->seat = at;
            c->seated = true;
            list_push_back(&ps->seated, &c->seat_link);
        }
    }
    pthread_mutex_unlock(&ps->seats_lock);
    return taken;
}

static void ring(const struct pool *p, int n)
{
    syscall(SYS_futex, bell(p), FUTEX_WAKE, n, NULL, NULL, 0);
}

void seats_give(struct pool_conn *c)
{
    struct pools *ps = c->pool->all;
    if (!c->seated) {
        return;
    }
    pthread_mutex_lock(&ps->seats_lock);
    list_del(&c->seat_link);
    c->seated = false;
    lock(ps, F_SETLK, F_UNLCK, c->seat, NULL);
    pthread_mutex_unlock(&ps->seats_lock);
    if (ps->bells == NULL) {
        return;
    }
    atomic_fetch_add(bell(c->pool), 1); /* who is about to sleep does not */
    if (atomic_load(&ps->seekers) > 0 || seats_wanted(c->pool)) {
        ring(c->pool, 1);
    }
}

uint32_t seats_heard(const struct pool *p)
{
    return p->all->bells != NULL ? atomic_load(bell(p)) : 0;
}

void seats_idle(struct pool *p)
{
    if (p->all->bells != NULL && atomic_load(&p->all->seekers) > 0) {
        atomic_fetch_add(bell(p), 1);
        ring(p, INT_MAX); /* one would do, but it has to be one of ours */
    }
}

void seats_sleep(struct pool *p, uint32_t heard, uint64_t until_ns)
{
    uint64_t now = clock_mono_ns();
    uint32_t noise;
    rnd_bytes(&noise, sizeof noise);
    uint64_t poll = p->all->bells != NULL ? POLL_NS : POLL_BLIND_NS;
    poll += noise % poll; /* not all in the same moment */
    uint64_t left = until_ns > now ? until_ns - now : 0;
    left = left < poll ? left : poll;
    struct timespec ts = {(time_t)(left / NS_PER_S), (long)(left % NS_PER_S)};
    const struct timespec settle = {0, SETTLE_NS};
    if (p->all->bells == NULL) {
        nanosleep(&ts, NULL);
    } else if (syscall(SYS_futex, bell(p), FUTEX_WAIT, heard, &ts, NULL, 0) == 0) {
        nanosleep(&settle, NULL);
    }
}

void seats_wait(struct pool *p, bool waits)
{
    lock(p->all, F_SETLK, waits ? F_RDLCK : F_UNLCK, place(p) + SEATS, NULL);
}

bool seats_wanted(const struct pool *p)
{
    short type = F_UNLCK;
    return p->s.max_total != 0 && lock(p->all, F_GETLK, F_WRLCK, place(p) + SEATS, &type) == 0 &&
           type != F_UNLCK;
}
