/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptor helpers: whole reads and writes, atomic files, sealed memfds, messages with a descriptor. */
#include "kernel/base/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <poll.h>
#include <unistd.h>

#define SEALS (F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL)

void fd_close(int *fd)
{
    if (*fd >= 0) {
        int saved = errno; /* closing happens on error paths that still want to report */
        close(*fd);
        errno = saved;
        *fd = -1;
    }
}

int fd_write_all(int fd, const void *p, size_t n)
{
    const char *at = p;
    while (n > 0) {
        ssize_t put = write(fd, at, n);
        if (put < 0 && errno == EAGAIN) {
            struct pollfd wait = {fd, POLLOUT, 0};
            if (poll(&wait, 1, -1) < 0 && errno != EINTR) {
                return -1;
            }
            continue;
        }
        if (put < 0) {
            if (errno == EINTR) {
                continue;
            }
            return -1;
        }
        at += put;
        n -= (size_t)put;
    }
    return 0;
}

ssize_t fd_read_full(int fd, void *p, size_t n)
{
    size_t have = 0;
    while (have < n) {
        ssize_t got = read(fd, (char *)p + have, n - have);
        if (got < 0) {
            if (errno == EINTR) {
                continue;
            }
            return -1;
        }
        if (got == 0) {
            break;
        }
        have += (size_t)got;
    }
    return (ssize_t)have;
}

int fd_read_file(const char *path, size_t max, char **ret, size_t *ret_n)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) {
        return -1;
    }
    char *data = NULL;
    size_t n = 0, cap = 0;
    /* The size of /proc files is 0 and files may grow while being read: read until the end. */
    for (;;) {
        if (n == cap) {
            size_t grown = cap == 0 ? 4096 : cap * 2;
            grown = grown > max + 1 ? max + 1 : grown;
            if (n > max || grown == cap) {
                errno = EFBIG;
                goto undo_data;
            }
            char *more = realloc(data, grown + 1);
            if (more == NULL) {
                goto undo_data;
            }
            data = more;
            cap = grown;
        }
        ssize_t got = fd_read_full(fd, data + n, cap - n);
        if (got < 0) {
            goto undo_data;
        }
        n += (size_t)got;
        if (n < cap) {
            break;
        }
    }
    fd_close(&fd);
    data[n] = '\0';
    *ret = data;
    if (ret_n != NULL) {
        *ret_n = n;
    }
    return 0;

undo_data:
    free(data);
    fd_close(&fd);
    return -1;
}

/* The folder part of path into out (at least PATH_MAX). */
static int folder_of(const char *path, char *out)
{
    const char *slash = strrchr(path, '/');
    size_t n = slash == NULL ? 1 : (size_t)(slash - path);
    if (n >= PATH_MAX) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(out, slash == NULL ? "." : n == 0 ? "/" : path, n == 0 ? 1 : n);
    out[n == 0 ? 1 : n] = '\0';
    return 0;
}

int fd_write_file(const char *path, const void *p, size_t n, unsigned mode)
{
    char folder[PATH_MAX], tmp[PATH_MAX];
    if (folder_of(path, folder) < 0) {
        return -1;
    }
    int len = snprintf(tmp, sizeof tmp, "%s/.tmp-XXXXXX", folder);
    if (len < 0 || (size_t)len >= sizeof tmp) {
        errno = ENAMETOOLONG;
        return -1;
    }
    int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0) {
        return -1;
    }
    int fd = mkostemp(tmp, O_CLOEXEC);
    if (fd < 0) {
        fd_close(&dir);
        return -1;
    }
    if (fchmod(fd, (mode_t)mode) < 0 || fd_write_all(fd, p, n) < 0 || fsync(fd) < 0) {
        goto undo_tmp;
    }
    if (rename(tmp, path) < 0) {
        goto undo_tmp;
    }
    fd_close(&fd);
    int rc = fsync(dir);
    fd_close(&dir);
    return rc;

undo_tmp:;
    int saved = errno;
    unlink(tmp);
    errno = saved;
    fd_close(&fd);
    fd_close(&dir);
    return -1;
}

int fd_nonblock(int fd, int on)
{
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0) {
        return -1;
    }
    int want = on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
    return want == flags ? 0 : fcntl(fd, F_SETFL, want);
}

int fd_memfd(const char *name, const void *p, size_t n)
{
    int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0) {
        return -1;
    }
    if (fd_write_all(fd, p, n) < 0 || lseek(fd, 0, SEEK_SET) < 0 ||
        fcntl(fd, F_ADD_SEALS, SEALS) < 0) {
        fd_close(&fd);
    }
    return fd;
}

int fd_memfd_size(int fd, uint64_t *ret)
{
    int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0 || (seals & SEALS) != SEALS) {
        errno = EPERM; /* its owner could still change or truncate it under a reader */
        return -1;
    }
    struct stat st;
    if (fstat(fd, &st) < 0) {
        return -1;
    }
    *ret = (uint64_t)st.st_size;
    return 0;
}

ssize_t fd_send(int sock, const void *p, size_t n, int fd, int flags)
{
    union {
        struct cmsghdr head;
        char space[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec iov = {(void *)(uintptr_t)p, n};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    if (fd >= 0) {
        memset(&control, 0, sizeof control);
        msg.msg_control = &control;
        msg.msg_controllen = sizeof control.space;
        struct cmsghdr *head = CMSG_FIRSTHDR(&msg);
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(head), &fd, sizeof fd);
    }
    ssize_t put;
    do {
        put = sendmsg(sock, &msg, flags | MSG_NOSIGNAL);
    } while (put < 0 && errno == EINTR);
    return put;
}

ssize_t fd_recv(int sock, void *p, size_t n, int *ret_fd, int flags)
{
    enum { MOST = 8 }; /* a peer may send more than one; all but the first are closed */
    union {
        struct cmsghdr head;
        char space[CMSG_SPACE(sizeof(int) * MOST)];
    } control;
    struct iovec iov = {p, n};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = &control,
                         .msg_controllen = sizeof control.space};
    if (ret_fd != NULL) {
        *ret_fd = -1;
    }
    ssize_t got;
    do {
        got = recvmsg(sock, &msg, flags | MSG_CMSG_CLOEXEC);
    } while (got < 0 && errno == EINTR);
    if (got < 0) {
        return -1;
    }
    int first = -1;
    for (struct cmsghdr *h = CMSG_FIRSTHDR(&msg); h != NULL; h = CMSG_NXTHDR(&msg, h)) {
        if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS) {
            continue;
        }
        for (size_t at = CMSG_LEN(0); at + sizeof(int) <= h->cmsg_len; at += sizeof(int)) {
            int one;
            memcpy(&one, (char *)h + at, sizeof one);
            if (first < 0 && ret_fd != NULL) {
                first = one;
            } else {
                close(one);
            }
        }
    }
    if ((msg.msg_flags & MSG_TRUNC) != 0) {
        fd_close(&first);
        errno = EMSGSIZE;
        return -1;
    }
    if (ret_fd != NULL) {
        *ret_fd = first;
    }
    return got;
}

int fd_count(void)
{
    DIR *dir = opendir("/proc/self/fd");
    if (dir == NULL) {
        return -1;
    }
    int n = -1; /* the folder's own descriptor */
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        n += e->d_name[0] != '.';
    }
    closedir(dir);
    return n;
}

int fd_mkdirs(const char *path, unsigned mode)
{
    char part[PATH_MAX];
    size_t n = strlen(path);
    if (n == 0 || n >= sizeof part) {
        errno = n == 0 ? ENOENT : ENAMETOOLONG;
        return -1;
    }
    memcpy(part, path, n + 1);
    while (n > 1 && part[n - 1] == '/') {
        part[--n] = '\0';
    }
    for (size_t i = 1; i <= n; i++) {
        if (part[i] != '/' && part[i] != '\0') {
            continue;
        }
        char saved = part[i];
        part[i] = '\0';
        struct stat st;
        if (mkdir(part, saved == '\0' ? (mode_t)mode : (mode_t)mode | 0755) < 0) {
            if (errno != EEXIST) {
                return -1;
            }
            if (stat(part, &st) < 0) {
                return -1;
            }
            if (!S_ISDIR(st.st_mode)) {
                errno = ENOTDIR;
                return -1;
            }
        }
        part[i] = saved;
    }
    return 0;
}
