/* SPDX-License-Identifier: Apache-2.0 */
/* The worker's way back: answers and printed lines into the reply ring, and when to ring the hub. */
#include "kernel/base/clock.h"
#include "kernel/base/fd.h"
#include "kernel/base/log.h"
#include "kernel/ipc/sock.h"
#include "kernel/worker/worker_int.h"
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define BATCH_REPLIES 8           /* unsignalled replies before a sleeping hub is woken */
#define BATCH_NS      50000ull    /* age of the first unsignalled reply before it is woken */
#define LOG_LINE_MAX  (32u << 10) /* longest piece of text in one frame */
#define LOG_CUT       "... the output of this call was cut here (limit 1 MiB)"

void reply_signal(struct worker *w, uint64_t now, int batch_over)
{
    if (w->unsignalled++ == 0) {
        w->unsignalled_ns = now;
    }
    if (!batch_over && w->unsignalled < BATCH_REPLIES && now - w->unsignalled_ns < BATCH_NS) {
        return; /* the hub looks by itself within its check interval */
    }
    reply_flush(w);
}

void reply_flush(struct worker *w)
{
    if (w->unsignalled) {
        w->unsignalled = 0;
        atomic_thread_fence(memory_order_seq_cst); /* publish before reading the flag */
        if (atomic_load_explicit(&w->page->hub_sleeps, memory_order_relaxed)) {
            channel_bell(w);
        }
    }
}

/* tx_lock is held. Room in the reply ring; waits for the hub when it is full. NULL: the hub has gone. */
static void *reserve(struct worker *w, uint32_t size)
{
    void *p;
    while (!(p = ipc_ring_reserve(&w->page->replies, &w->replies_tail, size))) {
        struct pollfd hup = {.fd = w->sock, .events = 0};
        atomic_thread_fence(memory_order_seq_cst);
        channel_bell(w);
        if (poll(&hup, 1, 1) > 0) {
            return NULL;
        }
    }
    return p;
}

/* tx_lock is held. */
static void put_log(struct worker *w, const char *text, size_t n)
{
    uint32_t size = (uint32_t)((sizeof(struct ipc_frame) + n + 7) & ~7ull);
    unsigned char *p = reserve(w, size);
    if (!p) {
        return;
    }
    struct ipc_frame f = {
        .size = size, .type = IPC_LOG, .flags = (uint16_t)(size - sizeof(f) - n), .seq = w->seq};
    memcpy(p, &f, sizeof(f));
    memcpy(p + sizeof(f), text, n);
    ipc_ring_publish(&w->page->replies, w->replies_tail);
}

void reply_print(void *ctx, tn_str line)
{
    struct worker *w = ctx;
    if (!worker_is_self()) {
        return; /* a child that the script forked has no way to the hub */
    }
    pthread_mutex_lock(&w->tx_lock);
    if (w->seq && !w->log_cut) {
        if (w->log_bytes + line.n + 1 > IPC_LOG_MAX - sizeof(LOG_CUT)) {
            w->log_cut = 1;
            put_log(w, LOG_CUT "\n", sizeof(LOG_CUT));
        } else {
            w->log_bytes += (uint32_t)line.n + 1;
            while (line.n > LOG_LINE_MAX) {
                put_log(w, line.s, LOG_LINE_MAX);
                line.s += LOG_LINE_MAX;
                line.n -= LOG_LINE_MAX;
            }
            char text[LOG_LINE_MAX + 1];
            if (line.n) {
                memcpy(text, line.s, line.n);
            }
            text[line.n] = '\n';
            put_log(w, text, line.n + 1);
        }
    }
    pthread_mutex_unlock(&w->tx_lock);
}

static void put_reply(struct worker *w, const struct ipc_reply *head, const tn_str s[IPC_REPLY_N])
{
    unsigned char *p = reserve(w, head->f.size);
    if (!p) {
        return;
    }
    memcpy(p, head, sizeof(*head));
    p += sizeof(*head);
    for (unsigned i = 0; i < IPC_REPLY_N; i++) {
        if (s[i].n) {
            memcpy(p, s[i].s, s[i].n);
            p += s[i].n;
        }
    }
    ipc_ring_publish(&w->page->replies, w->replies_tail);
}

/* A value too large for a frame goes as sealed memfd ahead of it. 0, or -1 with nothing sent. */
static int send_value(struct worker *w, const struct buf *value)
{
    struct ipc_msg m = {.type = IPC_M_FD, .id = w->seq};
    int fd = fd_memfd("tenon-value", value->data, value->len);
    if (fd < 0) {
        return -1;
    }
    int r = ipc_send(w->sock, &m, sizeof(m), NULL, 0, &fd, 1, 0);
    fd_close(&fd);
    return r;
}

void reply_send(struct worker *w, const struct lang_reply *r, int64_t start_us, uint64_t cost_ns)
{
    tn_str s[IPC_REPLY_N] = {buf_str(&r->value), buf_str(&r->control), buf_str(&r->error)};
    struct ipc_reply h = {.f = {.type = IPC_REPLY, .seq = w->seq},
                          .status = r->status,
                          .value_kind = r->value_kind,
                          .start_us = start_us,
                          .peak_bytes = r->peak_bytes,
                          .cost_us = (uint32_t)(cost_ns / 1000)};
    char text[256];
    if (s[IPC_R_VALUE].n + s[IPC_R_CONTROL].n + s[IPC_R_ERROR].n > IPC_INLINE_MAX) {
        h.f.flags = IPC_F_FD;
        if (send_value(w, &r->value)) {
            int n = snprintf(
                text, sizeof(text),
                "{\"exception\":\"MemoryError: cannot hand over a result of %zu bytes\","
                "\"exceptionType\":\"MemoryError\",\"traceback\":\"\"}",
                r->value.len);
            h.f.flags = 0;
            h.status = TN_CALL_FAILURE;
            h.value_kind = TN_VALUE_NONE;
            s[IPC_R_VALUE] = s[IPC_R_CONTROL] = (tn_str){"", 0};
            s[IPC_R_ERROR] = (tn_str){text, (size_t)n};
        }
    }
    uint32_t size = sizeof(h);
    for (unsigned i = 0; i < IPC_REPLY_N; i++) {
        h.len[i] = (uint32_t)s[i].n;
        if (i == IPC_R_VALUE && h.f.flags) {
            s[i].n = 0;
        }
        size += (uint32_t)s[i].n;
    }
    h.f.size = (size + 7) & ~7u;
    pthread_mutex_lock(&w->tx_lock);
    put_reply(w, &h, s);
    atomic_store_explicit(&w->page->done, w->seq, memory_order_relaxed);
    w->seq = 0;
    w->log_bytes = 0;
    w->log_cut = 0;
    pthread_mutex_unlock(&w->tx_lock);
}
