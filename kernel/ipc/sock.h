/* SPDX-License-Identifier: Apache-2.0 */
/* Messages with descriptors over SOCK_SEQPACKET pairs. Everything is CLOEXEC. */
#pragma once
#include <stddef.h>
#include <sys/types.h>

#define IPC_FDS_MAX 2

/* A pair with large send buffers; 0 or -1 errno. */
int ipc_pair(int ret[2]);
void ipc_tune(int sock); /* enlarges the send buffer of an inherited end */
/* Sends head and body (may be NULL) as one message, with nfds descriptors (they stay the caller's).
 * Restarts after EINTR. 0, or -1 errno (EAGAIN with MSG_DONTWAIT, EPIPE: the peer has gone). */
int ipc_send(int sock, const void *head, size_t nhead, const void *body, size_t nbody,
             const int *fds, unsigned nfds, int flags);
/* Receives one message of at most n bytes. Returns its size, 0 = the peer has gone, -1 errno
 * (EMSGSIZE: longer than n, dropped with its descriptors; EINTR is returned). fds[] gets the
 * descriptors, unused places are -1; what the caller does not want it must close. */
ssize_t ipc_recv(int sock, void *p, size_t n, int fds[IPC_FDS_MAX], int flags);
