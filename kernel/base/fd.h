/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptor helpers. All return 0 / a value >= 0, or -1 with errno set. Everything is CLOEXEC. */
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

int fd_write_all(int fd, const void *p, size_t n);
ssize_t fd_read_full(int fd, void *p, size_t n); /* less than n only at the end */
int fd_read_file(const char *path, size_t max, char **ret, size_t *ret_n); /* EFBIG beyond max */
/* Atomic replacement: temporary file in the same folder, fsync, rename, fsync of the folder. */
int fd_write_file(const char *path, const void *p, size_t n, unsigned mode);
int fd_nonblock(int fd, int on);
int fd_memfd(const char *name, const void *p, size_t n); /* sealed copy: no write, no resize */
int fd_memfd_size(int fd, uint64_t *ret);                /* EPERM unless fully sealed */
/* One message of a SOCK_SEQPACKET pair with at most one descriptor (fd < 0: none). */
ssize_t fd_send(int sock, const void *p, size_t n, int fd, int flags);
ssize_t fd_recv(int sock, void *p, size_t n, int *ret_fd, int flags); /* 0 = peer gone */
void fd_close(int *fd); /* and sets it to -1; -1 is fine */
int fd_count(void);     /* open descriptors of this process */
/* mode is that of the last folder; those on the way to it, which are nobody's, may be passed by others. */
int fd_mkdirs(const char *path, unsigned mode);
