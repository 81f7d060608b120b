/* SPDX-License-Identifier: Apache-2.0 */
/* The worker's end of the socket: doorbells, descriptors, questions of the script and their answers.
 * Several threads of a script may wait here: one reads for all, the others wait for its news. */
#include "kernel/base/clock.h"
#include "kernel/base/err.h"
#include "kernel/base/fd.h"
#include "kernel/base/str.h"
#include "kernel/ipc/sock.h"
#include "kernel/worker/worker_int.h"
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define SLICE_MS 100 /* a waiting thread looks this often whether its call was interrupted */

void channel_init(struct worker *w)
{
    pthread_condattr_t ca;
    pthread_condattr_init(&ca);
    pthread_condattr_setclock(&ca, CLOCK_MONOTONIC);
    pthread_cond_init(&w->rx_news, &ca);
    pthread_condattr_destroy(&ca);
    pthread_mutex_init(&w->rx_lock, NULL);
    pthread_mutex_init(&w->tx_lock, NULL);
    pthread_mutex_init(&w->ask_lock, NULL);
    w->rx_buf = malloc(IPC_MSG_MAX);
    if (!w->rx_buf) {
        _exit(1);
    }
}

void channel_bell(struct worker *w)
{
    /* Clearing the flag first keeps it at one bell per sleep of the hub. */
    if (atomic_exchange(&w->page->hub_sleeps, 0)) {
        struct ipc_msg m = {.type = IPC_M_BELL};
        ipc_send(w->sock, &m, sizeof(m), NULL, 0, NULL, 0, MSG_DONTWAIT);
    }
}

static void take_answer(struct worker *w, const struct ipc_msg *m, int fd)
{
    if (m->id != w->ask_id || w->ask_done || !w->ask_ret) {
        return; /* nobody waits for it any more */
    }
    tn_str text = {w->rx_buf + sizeof(*m), m->len};
    void *map = NULL;
    uint64_t size = 0;
    if (fd >= 0) {
        if (fd_memfd_size(fd, &size) == 0 && size) {
            map = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
        }
        text = map && map != MAP_FAILED ? (tn_str){map, size} : (tn_str){"", 0};
    }
    w->ask_rc = m->rc;
    if (m->rc != TN_OK) {
        err_set(w->ask_err, m->rc, "%.*s", (int)(text.n > 480 ? 480 : text.n), text.s);
    } else if (buf_addstr(w->ask_ret, text)) {
        w->ask_rc = err_set(w->ask_err, TN_E_NOMEM, "an answer of %zu bytes does not fit", text.n);
    }
    if (map && map != MAP_FAILED) {
        munmap(map, size);
    }
    w->ask_done = 1;
}

/* rx_lock is held. Keeps *fd when it takes it. */
static void handle(struct worker *w, ssize_t n, int *fd)
{
    struct ipc_msg m;
    if ((size_t)n < sizeof(m)) {
        return;
    }
    memcpy(&m, w->rx_buf, sizeof(m));
    if (m.len > (size_t)n - sizeof(m)) {
        return;
    }
    switch (m.type) {
    case IPC_M_EXIT:
        w->exit = 1;
        break;
    case IPC_M_ANSWER:
        take_answer(w, &m, *fd);
        break;
    case IPC_M_FD:
        if (w->nearly < EARLY_MAX) {
            w->early[w->nearly++] = (struct early_fd){m.id, *fd};
            *fd = -1;
        }
        break;
    default:
        break; /* a bell: whoever waits looks for himself */
    }
}

/* rx_lock is held; reads one message, or waits until somebody else did; ms: at most so long, -1 = for
 * ever and through signals. */
static void next_message(struct worker *w, int ms)
{
    if (w->rx_busy) {
        struct timespec until;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += SLICE_MS * 1000000;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&w->rx_news, &w->rx_lock, &until);
        return;
    }
    int fds[IPC_FDS_MAX] = {-1, -1};
    ssize_t n = -1;
    w->rx_busy = 1;
    pthread_mutex_unlock(&w->rx_lock);
    struct pollfd p = {.fd = w->sock, .events = POLLIN};
    if (ms < 0 || poll(&p, 1, ms) > 0) {
        n = ipc_recv(w->sock, w->rx_buf, IPC_MSG_MAX, fds, ms < 0 ? 0 : MSG_DONTWAIT);
    } else {
        errno = EAGAIN;
    }
    int e = errno;
    pthread_mutex_lock(&w->rx_lock);
    w->rx_busy = 0;
    if (n > 0) {
        handle(w, n, &fds[0]);
    } else if (n == 0 || (e != EAGAIN && e != EINTR && e != EMSGSIZE)) {
        w->eof = 1;
    }
    fd_close(&fds[0]);
    fd_close(&fds[1]);
    pthread_cond_broadcast(&w->rx_news);
}

static int have_frame(const struct worker *w)
{
    return atomic_load(&w->page->calls.tail) != w->calls_head;
}

int channel_wait_frame(struct worker *w, uint64_t until_ns)
{
    int more = 1;
    pthread_mutex_lock(&w->rx_lock);
    for (;;) {
        /* Announce the sleep, then look: the hub either sees the flag or is seen here. */
        atomic_store(&w->page->worker_sleeps, 1);
        atomic_thread_fence(memory_order_seq_cst);
        if (have_frame(w)) {
            break;
        }
        if (w->exit || w->eof) {
            more = 0;
            break;
        }
        int64_t wait = until_ns ? (int64_t)(until_ns - clock_mono_ns()) : -1;
        if (until_ns && wait <= 0) {
            break;
        }
        next_message(w, until_ns ? (int)(wait / (int64_t)NS_PER_MS) + 1 : -1);
    }
    atomic_store_explicit(&w->page->worker_sleeps, 0, memory_order_relaxed);
    pthread_mutex_unlock(&w->rx_lock);
    return more;
}

int channel_call_fd(struct worker *w, uint64_t seq)
{
    int fd = -1;
    pthread_mutex_lock(&w->rx_lock);
    while (fd < 0) {
        unsigned keep = 0;
        for (unsigned i = 0; i < w->nearly; i++) {
            if (w->early[i].seq == seq) {
                fd = w->early[i].fd;
            } else if (w->early[i].seq < seq) {
                close(w->early[i].fd); /* of a revoked call */
            } else {
                w->early[keep++] = w->early[i];
            }
        }
        w->nearly = keep;
        if (fd < 0) {
            if (w->eof) {
                break;
            }
            next_message(w, -1);
        }
    }
    pthread_mutex_unlock(&w->rx_lock);
    return fd;
}

static tn_rc ask_send(struct worker *w, uint64_t id, const char *service, tn_str payload,
                      tn_err *err)
{
    char head[sizeof(struct ipc_msg) + IPC_NAME_MAX + 1];
    size_t name = strlen(service);
    struct ipc_msg m = {.type = IPC_M_ASK, .id = id};
    int fd = -1;
    if (name > IPC_NAME_MAX) {
        return err_set(err, TN_E_INVAL, "service name \"%s\" is longer than %u bytes", service,
                       IPC_NAME_MAX);
    }
    if (payload.n > IPC_INLINE_MAX) {
        fd = fd_memfd("tenon-ask", payload.s, payload.n);
        if (fd < 0) {
            return err_sys(err, errno, "question of %zu bytes to \"%s\"", payload.n, service);
        }
        payload = (tn_str){"", 0};
    }
    m.len = (uint32_t)(name + 1 + payload.n);
    memcpy(head, &m, sizeof(m));
    memcpy(head + sizeof(m), service, name + 1);
    int r = ipc_send(w->sock, head, sizeof(m) + name + 1, payload.s, payload.n, &fd, fd >= 0, 0);
    int e = errno;
    fd_close(&fd);
    return r ? err_sys(err, e, "asking \"%s\"", service) : TN_OK;
}

int channel_tell(struct worker *w, const char *service, tn_str payload)
{
    tn_err err = TN_ERR_INIT;
    pthread_mutex_lock(&w->ask_lock);
    tn_rc rc = ask_send(w, ++w->ask_id, service, payload, &err); /* the answer finds nobody */
    pthread_mutex_unlock(&w->ask_lock);
    return rc == TN_OK ? 0 : -1;
}

tn_rc channel_ask(void *ctx, const char *service, tn_str payload, struct buf *ret, tn_err *err)
{
    struct worker *w = ctx;
    if (!worker_is_self()) {
        return err_set(err, TN_E_UNSUPP, "\"%s\" is not available in a forked child process",
                       service);
    }
    int main_thread = gettid() == w->pid;
    pthread_mutex_lock(&w->ask_lock);
    pthread_mutex_lock(&w->rx_lock);
    uint64_t id = ++w->ask_id;
    w->ask_done = 0;
    w->ask_ret = ret;
    w->ask_err = err;
    pthread_mutex_unlock(&w->rx_lock);
    tn_rc rc = ask_send(w, id, service, payload, err);
    pthread_mutex_lock(&w->rx_lock);
    while (!rc && !w->ask_done) {
        if (w->eof) {
            rc = err_set(err, TN_E_UNAVAIL, "\"%s\": the platform is restarting", service);
        } else if (main_thread && w->soft_hit) {
            rc = err_set(err, TN_E_CANCELED, "\"%s\": the call's time is over", service);
        } else {
            next_message(w, SLICE_MS);
        }
    }
    if (!rc) {
        rc = w->ask_rc;
    }
    w->ask_ret = NULL;
    w->ask_err = NULL;
    pthread_mutex_unlock(&w->rx_lock);
    pthread_mutex_unlock(&w->ask_lock);
    return rc;
}
