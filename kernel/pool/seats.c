/* SPDX-License-Identifier: Apache-2.0 */
/* Connections that all workers together may have (pool.max_total). A seat is a byte of a file that the zygote made and every worker
 * has; whoever has the connection has a lock on it. Record locks belong to a process and end with it (fcntl(2)), so nobody needs to
 * clean up behind a worker that was killed. Another byte is locked, shared, by all who wait. */
#include "kernel/pool/pool_int.h"

#include "kernel/base/log.h"
#include "kernel/base/rnd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#define SEATS                                                                                      \
    1024 /* for a connector; as many as max_total allows. The byte behind them says that somebody waits. */

static int lock(const struct pools *ps, int command, short type, int64_t at, short *ret_type)
{
    struct flock l = {.l_type = type, .l_whence = SEEK_SET, .l_start = at, .l_len = 1};
    int r = fcntl(ps->seats_fd, command, &l);
    if (ret_type != NULL) {
        *ret_type = l.l_type;
    }
    return r;
}

/* Where the seats of a connector begin. Two that meet in one place share their seats, so each has fewer: never more. */
static int64_t place(const struct pool *p)
{
    uint64_t h = 14695981039346656037u; /* FNV-1a */
    for (const char *s = p->id; *s != '\0'; s++) {
        h = (h ^ (unsigned char)*s) * 1099511628211u;
    }
    return (int64_t)(h >> 16 & 0xffffffff) * (SEATS + 1);
}

void seats_open(struct pools *ps)
{
    list_init(&ps->seated);
    ps->seats_fd = memfd_create("tenon-seats", MFD_CLOEXEC);
    if (ps->seats_fd < 0) {
        log_warn("pool.max_total counts for each worker alone: %s", strerror(errno));
    }
}

void seats_close(struct pools *ps)
{
    if (ps->seats_fd >= 0) {
        close(ps->seats_fd);
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
