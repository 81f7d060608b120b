/* SPDX-License-Identifier: Apache-2.0 */
/* Messages with descriptors over SOCK_SEQPACKET pairs. */
#include "kernel/ipc/sock.h"
#include "kernel/ipc/frame.h"
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

union control {
    char space[CMSG_SPACE(IPC_FDS_MAX * sizeof(int))];
    struct cmsghdr align;
};

void ipc_tune(int sock)
{
    /* SO_SNDBUFFORCE needs CAP_NET_ADMIN and passes wmem_max; without it the system's limit (208 KiB
     * by default) still holds a largest message and some doorbells. */
    int size = IPC_SOCK_BUF;
    if (setsockopt(sock, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size))) {
        setsockopt(sock, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
    }
}

int ipc_pair(int ret[2])
{
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ret)) {
        return -1;
    }
    ipc_tune(ret[0]);
    ipc_tune(ret[1]);
    return 0;
}

int ipc_send(int sock, const void *head, size_t nhead, const void *body, size_t nbody,
             const int *fds, unsigned nfds, int flags)
{
    struct iovec iov[2] = {{(void *)(uintptr_t)head, nhead}, {(void *)(uintptr_t)body, nbody}};
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = nbody ? 2 : 1};
    union control ctl;
    if (nfds > IPC_FDS_MAX) {
        errno = EINVAL;
        return -1;
    }
    if (nfds) {
        memset(&ctl, 0, sizeof(ctl));
        msg.msg_control = ctl.space;
        msg.msg_controllen = CMSG_SPACE(nfds * sizeof(int));
        struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(nfds * sizeof(int));
        memcpy(CMSG_DATA(c), fds, nfds * sizeof(int));
    }
    ssize_t r;
    do {
        r = sendmsg(sock, &msg, flags | MSG_NOSIGNAL);
    } while (r < 0 && errno == EINTR);
    return r < 0 ? -1 : 0;
}

ssize_t ipc_recv(int sock, void *p, size_t n, int fds[IPC_FDS_MAX], int flags)
{
    struct iovec iov = {p, n};
    union control ctl;
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = ctl.space,
                         .msg_controllen = sizeof(ctl.space)};
    unsigned got = 0;
    for (unsigned i = 0; i < IPC_FDS_MAX; i++) {
        fds[i] = -1;
    }
    ssize_t r = recvmsg(sock, &msg, flags | MSG_CMSG_CLOEXEC);
    if (r < 0) {
        return r;
    }
    /* The kernel installs only what fits into the control buffer and drops the rest. */
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
            size_t k = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
            for (size_t i = 0; i < k && got < IPC_FDS_MAX; i++) {
                memcpy(&fds[got++], CMSG_DATA(c) + i * sizeof(int), sizeof(int));
            }
        }
    }
    /* An empty message looks like the end of the peer, and may have brought descriptors all the same. */
    for (unsigned i = 0; i < got && (r == 0 || (msg.msg_flags & MSG_TRUNC)); i++) {
        close(fds[i]);
        fds[i] = -1;
    }
    if (msg.msg_flags & MSG_TRUNC) {
        errno = EMSGSIZE;
        return -1;
    }
    return r;
}
