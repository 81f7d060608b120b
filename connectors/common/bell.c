/* SPDX-License-Identifier: Apache-2.0 */
/* A bell: one more descriptor to wait for. */
#include "common/bell.h"
#include "common/net.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

tn_rc bell_open(const tn_host *host, struct bell *b, tn_err *err)
{
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0) {
        return host->fail(err, TN_E_LIMIT, "no descriptor for a connection: %s", strerror(errno));
    }
    b->fd = fd;
    atomic_init(&b->rung, false);
    return TN_OK;
}

void bell_close(struct bell *b)
{
    if (b->fd > 0) {
        close(b->fd);
    }
    b->fd = 0;
}

void bell_ring(struct bell *b)
{
    atomic_store(&b->rung, true);
    eventfd_write(b->fd, 1);
}

void bell_hush(struct bell *b)
{
    eventfd_t count;
    if (atomic_load(&b->rung)) {
        eventfd_read(b->fd, &count);
        atomic_store(&b->rung, false);
    }
}

tn_rc bell_wait(const tn_host *host, struct bell *b, int fd, short events, uint64_t deadline_ns)
{
    struct pollfd p[] = {{fd, events, 0}, {b->fd, POLLIN, 0}};
    for (;;) {
        int n = poll(p, 2, net_left_ms(host, deadline_ns));
        if (n > 0) {
            return p[1].revents != 0 ? TN_E_CANCELED : TN_OK;
        }
        if (n == 0 && deadline_ns != 0 && host->now_ns() >= deadline_ns) {
            return TN_E_TIMEOUT;
        }
        if (n < 0 && errno != EINTR) {
            return TN_E_INTERNAL;
        }
    }
}
