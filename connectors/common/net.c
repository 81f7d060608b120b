/* SPDX-License-Identifier: Apache-2.0 */
/* Names, sockets and certificates for connectors: nothing here waits longer than it may. */
#include "common/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

int net_left_ms(const tn_host *host, uint64_t deadline_ns)
{
    uint64_t now = host->now_ns();
    if (deadline_ns == 0) {
        return -1;
    }
    if (deadline_ns <= now) {
        return 0;
    }
    uint64_t ms = (deadline_ns - now + 999999) / 1000000;
    return ms > 3600000 ? 3600000 : (int)ms;
}

tn_rc net_wait(const tn_host *host, int fd, short events, uint64_t deadline_ns)
{
    struct pollfd p = {fd, events, 0};
    for (;;) {
        int n = poll(&p, 1, net_left_ms(host, deadline_ns));
        if (n > 0) {
            return TN_OK; /* errors of the socket show at the next read or write */
        }
        if (n == 0 && deadline_ns != 0 && host->now_ns() >= deadline_ns) {
            return TN_E_TIMEOUT;
        }
        if (n < 0 && errno != EINTR) {
            return TN_E_INTERNAL;
        }
    }
}

/* ---- names ------------------------------------------------------------------------------------------- */

/* A question in the hands of two threads; the last one frees it. */
struct question {
    pthread_mutex_t lock;
    pthread_cond_t done_cond;
    int owners, done, code;
    struct net_addrs addrs;
    char port[8];
    char name[];
};

static void let_go(struct question *q)
{
    pthread_mutex_lock(&q->lock);
    int last = --q->owners == 0;
    pthread_mutex_unlock(&q->lock);
    if (last) {
        pthread_cond_destroy(&q->done_cond);
        pthread_mutex_destroy(&q->lock);
        free(q);
    }
}

static void take_addrs(struct net_addrs *to, const struct addrinfo *from)
{
    for (; from != NULL && to->n < NET_ADDRS_MAX; from = from->ai_next) {
        if (from->ai_addrlen <= sizeof to->addr[0]) {
            memcpy(&to->addr[to->n], from->ai_addr, from->ai_addrlen);
            to->len[to->n++] = from->ai_addrlen;
        }
    }
}

static void *ask(void *arg)
{
    struct question *q = arg;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_ADDRCONFIG}, *list = NULL;
    int code = getaddrinfo(q->name, q->port, &hints, &list);
    pthread_mutex_lock(&q->lock);
    q->code = code;
    take_addrs(&q->addrs, code == 0 ? list : NULL);
    q->done = 1;
    pthread_cond_signal(&q->done_cond);
    pthread_mutex_unlock(&q->lock);
    if (code == 0) {
        freeaddrinfo(list);
    }
    let_go(q);
    return NULL;
}

static struct question *question_new(const char *name, uint16_t port)
{
    size_t n = strlen(name) + 1;
    struct question *q = calloc(1, sizeof *q + n);
    pthread_condattr_t attr;
    if (q != NULL) {
        pthread_mutex_init(&q->lock, NULL);
        pthread_condattr_init(&attr);
        pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
        pthread_cond_init(&q->done_cond, &attr);
        pthread_condattr_destroy(&attr);
        q->owners = 2;
        snprintf(q->port, sizeof q->port, "%u", port);
        memcpy(q->name, name, n);
    }
    return q;
}

static tn_rc wait_answer(const tn_host *host, struct question *q, uint64_t deadline_ns,
                         struct net_addrs *ret, tn_err *err)
{
    tn_rc rc = TN_OK;
    uint64_t until = deadline_ns != 0 ? deadline_ns : host->now_ns() + 30000000000ull;
    struct timespec ts = {(time_t)(until / 1000000000), (long)(until % 1000000000)};
    pthread_mutex_lock(&q->lock);
    while (!q->done && pthread_cond_timedwait(&q->done_cond, &q->lock, &ts) != ETIMEDOUT) {}
    if (!q->done) {
        rc = host->fail(err, TN_E_TIMEOUT,
                        "DNS: the name %.200s was not resolved in time; check the name server",
                        q->name);
    } else if (q->code != 0 || q->addrs.n == 0) {
        rc = host->fail(err, TN_E_UNAVAIL, "DNS: the name %.200s cannot be resolved: %s", q->name,
                        q->code != 0 ? gai_strerror(q->code) : "it has no address");
    } else {
        *ret = q->addrs;
    }
    pthread_mutex_unlock(&q->lock);
    return rc;
}

tn_rc net_resolve(const tn_host *host, const char *name, uint16_t port, uint64_t deadline_ns,
                  struct net_addrs *ret, tn_err *err)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST}, *list = NULL;
    char text[8];
    pthread_t thread;
    pthread_attr_t attr;
    snprintf(text, sizeof text, "%u", port);
    if (getaddrinfo(name, text, &hints, &list) == 0) { /* an address needs nobody's help */
        ret->n = 0;
        take_addrs(ret, list);
        freeaddrinfo(list);
        return TN_OK;
    }
    struct question *q = question_new(name, port);
    if (q == NULL) {
        return host->fail(err, TN_E_NOMEM, "no memory to look up %.200s", name);
    }
    pthread_attr_init(&attr);
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    int e = pthread_create(&thread, &attr, ask, q);
    pthread_attr_destroy(&attr);
    if (e != 0) {
        let_go(q);
        let_go(q);
        return host->fail(err, TN_E_LIMIT, "DNS: no thread to look up %.200s: %s", name,
                          strerror(e));
    }
    tn_rc rc = wait_answer(host, q, deadline_ns, ret, err);
    let_go(q);
    return rc;
}

/* ---- sockets ----------------------------------------------------------------------------------------- */

static void tune(int fd)
{
    const int on = 1, idle = 30, gap = 10, tries = 3;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof idle);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &gap, sizeof gap);
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &tries, sizeof tries);
}

/* 0, or an errno; ETIMEDOUT: the deadline passed. */
static int try_one(const tn_host *host, const struct sockaddr_storage *addr, socklen_t len,
                   uint64_t deadline_ns, int *ret_fd)
{
    int fd = socket(addr->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), e = 0;
    socklen_t n = sizeof e;
    if (fd < 0) {
        return errno;
    }
    if (connect(fd, (const struct sockaddr *)addr, len) != 0) {
        e = errno;
        if (e == EINPROGRESS) {
            e = net_wait(host, fd, POLLOUT, deadline_ns) != TN_OK ? ETIMEDOUT : 0;
            if (e == 0 && getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &n) != 0) {
                e = errno;
            }
        }
    }
    if (e != 0) {
        close(fd);
        return e;
    }
    tune(fd);
    *ret_fd = fd;
    return 0;
}

tn_rc net_connect(const tn_host *host, const char *name, uint16_t port, uint64_t deadline_ns,
                  int *ret_fd, tn_err *err)
{
    struct net_addrs a = {.n = 0};
    tn_rc rc = net_resolve(host, name, port, deadline_ns, &a, err);
    int e = 0;
    for (uint32_t i = 0; rc == TN_OK && i < a.n; i++) {
        e = try_one(host, &a.addr[i], a.len[i], deadline_ns, ret_fd);
        if (e == 0) {
            return TN_OK;
        }
    }
    if (rc != TN_OK) {
        return rc;
    }
    rc = e == ETIMEDOUT
             ? host->fail(
                   err, TN_E_TIMEOUT,
                   "TCP: %.200s port %u does not answer in time; a firewall may drop packets", name,
                   port)
             : host->fail(err, TN_E_UNAVAIL,
                          "TCP: cannot connect to %.200s port %u: %s; check host, port and whether "
                          "the server runs",
                          name, port, strerror(e));
    if (err != NULL) {
        err->native = e;
        err->flags |= TN_ERR_RETRY;
    }
    return rc;
}

/* ---- certificates and keys --------------------------------------------------------------------------- */

tn_rc net_pem(const tn_host *host, const char *what, const char *text, char ret_path[64],
              const char **ret, int *ret_fd, tn_err *err)
{
    *ret_fd = -1;
    if (strstr(text, "-----BEGIN") == NULL) { /* some tools put words before it */
        int fd = open(text,
                      O_RDONLY | O_CLOEXEC); /* access() does not know what a sandbox forbids */
        if (fd < 0) {
            return host->fail(
                err, TN_E_CONFIG,
                "%s: the file %.200s cannot be read: %s; workers see little of the file system: put "
                "the PEM text itself there",
                what, strstr(what, "key") != NULL ? "named there" : text, strerror(errno));
        }
        close(fd);
        *ret = text;
        return TN_OK;
    }
    size_t n = strlen(text), done = 0;
    int fd = memfd_create("tenon-pem", MFD_CLOEXEC);
    while (fd >= 0 && done < n) {
        ssize_t w = write(fd, text + done, n - done);
        if (w <= 0) {
            close(fd);
            fd = -1;
        } else {
            done += (size_t)w;
        }
    }
    if (fd < 0 || fchmod(fd, 0600) != 0) {
        if (fd >= 0) {
            close(fd);
        }
        return host->fail(err, TN_E_LIMIT, "%s cannot be handed to the TLS library: %s", what,
                          strerror(errno));
    }
    snprintf(ret_path, 64, "/proc/self/fd/%d", fd);
    *ret = ret_path;
    *ret_fd = fd;
    return TN_OK;
}
