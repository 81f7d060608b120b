/* SPDX-License-Identifier: Apache-2.0 */
/* State of the one worker of a process, shared by the loop, the channel and the signal handlers. */
#pragma once
#include "kernel/ipc/ring.h"
#include "kernel/worker/worker.h"
#include <pthread.h>
#include <signal.h>

struct early_fd { /* sections of a call that arrived before its frame was taken */
    uint64_t seq;
    int fd;
};
#define EARLY_MAX 64

struct worker {
    const struct worker_conf *conf;
    struct jail_slot slot;
    struct scratch scratch;
    struct lang_env env;
    int sock;
    struct ipc_page *page;
    uint64_t calls_head, replies_tail; /* private copies of our ends of the rings */
    uint64_t resume;                   /* frames below are revoked */

    /* Replies: any thread prints, only the main thread replies. */
    pthread_mutex_t tx_lock;
    uint64_t seq;       /* running call, 0 = none */
    uint32_t log_bytes; /* of the running call */
    int log_cut;
    unsigned unsignalled;
    uint64_t unsignalled_ns;

    /* Socket: whoever needs a message reads for everybody. */
    pthread_mutex_t rx_lock;
    pthread_cond_t rx_news;
    int rx_busy, exit, eof;
    struct early_fd early[EARLY_MAX];
    unsigned nearly;
    char *rx_buf;

    /* One question at a time. */
    pthread_mutex_t ask_lock;
    uint64_t ask_id;
    int ask_done;
    tn_rc ask_rc;
    struct buf *ask_ret;
    tn_err *ask_err;

    /* Figures of the pools: when they may be told again, and the number of what was told. */
    uint64_t pools_at, pools_told;

    /* For the signal handlers. */
    pid_t pid;
    _Atomic uint64_t soft_at; /* CLOCK_MONOTONIC of the running call's soft deadline, 0 = no call */
    volatile sig_atomic_t soft_hit;
    timer_t orphan_timer;
};

/* Non-zero only in the worker itself: the page is wiped in every process a script forks. */
extern volatile int *worker_self;
static inline int worker_is_self(void)
{
    return worker_self && *worker_self;
}

/* ---- channel.c -------------------------------------------------------------------------------------- */
void channel_init(struct worker *w);
/* Main thread: sleeps until a frame is there or CLOCK_MONOTONIC passes until_ns (0 = never): 1, or the worker
 * shall leave: 0. */
int channel_wait_frame(struct worker *w, uint64_t until_ns);
/* The descriptor with the sections of call seq; -1: the hub has gone. Drops older ones. */
int channel_call_fd(struct worker *w, uint64_t seq);
tn_rc channel_ask(void *ctx, const char *service, tn_str payload, struct buf *ret, tn_err *err);
/* A question whose answer does not matter; 0, or -1 when it was not sent. */
int channel_tell(struct worker *w, const char *service, tn_str payload);
void channel_bell(struct worker *w);

/* ---- reply.c ---------------------------------------------------------------------------------------- */
void reply_print(void *ctx, tn_str line);
/* Publishes the answer of the running call. */
void reply_send(struct worker *w, const struct lang_reply *r, int64_t start_us, uint64_t cost_ns);
/* Rings the hub when it sleeps and there is a reason to (see README). batch_over: nothing else waits in
 * the ring. */
void reply_signal(struct worker *w, uint64_t now, int batch_over);
/* The batch is over after all (what followed was revoked): nothing may stay unsignalled in a sleep. */
void reply_flush(struct worker *w);

/* ---- limits.c ---------------------------------------------------------------------------------------- */
int limits_explain(void *ctx, const char *kind, char *out, size_t n);

/* ---- signals.c --------------------------------------------------------------------------------------- */
void signals_init(struct worker *w);
