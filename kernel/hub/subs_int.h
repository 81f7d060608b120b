/* SPDX-License-Identifier: Apache-2.0 */
/* What subs.c (which subscriptions there are), subs_thread.c (their threads), subs_flow.c (their
 * messages) and subs_status.c share. */
#pragma once
#include "kernel/base/list.h"
#include "kernel/hub/subs.h"
#include <pthread.h>
#include <stdatomic.h>

#define SUBS_MAX     1000  /* each has a thread */
#define SUB_MESSAGES 10000 /* of one subscription in memory */
#define SUB_BYTES    (64u << 20)
#define SUB_BATCH    256 /* tasks of one transaction */
#define SUB_CALLS    64  /* calls in memory under way (TN_SUB_MEMORY) */
#define SUB_SLOTS    8   /* counted in slots of SUB_SLOT_NS */
#define SUB_SLOT_NS  (10 * NS_PER_S)
#define SUB_MINUTE   6 /* slots */

enum sub_state { SUB_CONNECTING, SUB_CONSUMING, SUB_FAILED };

/* A message from its delivery until its fate is known. */
struct sub_msg {
    struct list link;
    tn_sub *sub;
    uint64_t tag;
    uint32_t flags; /* TN_DELIVER_* */
    uint64_t run;   /* of consume() */
    tn_rc rc;       /* its fate */
    size_t n;
    char args[]; /* {"topic":…,"message":…} */
};

/* What a message runs. Immutable, counted. */
struct sub_plan {
    atomic_uint refs;
    bool kept;        /* TN_SUB_KEPT */
    tn_task_req task; /* texts in the same allocation */
};

struct tn_sub {
    struct list link; /* subs.all; stays until it has ended and its buffer is empty */
    struct subs *s;
    atomic_uint refs;
    /* immutable */
    char *connector, *topic, *func;
    char uid[17], config_id[33];
    uint32_t flags; /* TN_SUB_* */
    struct sub_source source;
    void *conf;
    int stop_fd, done_fd;
    int64_t wanted_us;    /* since_us of its plan */
    tn_sub *after;        /* (subs.lock) had the same uid and must end first */
    bool stopping, ended; /* (subs.lock) */

    pthread_mutex_t lock; /* everything below; taken after subs.lock */
    struct sub_plan *plan;
    enum sub_state state;
    int64_t since_ms;
    char error[360];
    uint64_t run;          /* which run of consume() goes on */
    struct list waiting;   /* sub_msg */
    struct list under_way; /* sub_msg: submitted */
    uint32_t nwaiting, nunder_way;
    size_t bytes;
    bool submitting;  /* a transaction is under way: the next one waits, so that order is kept */
    bool full;        /* the trigger was told so */
    bool posted;      /* TN_SUB_MEMORY: the loop thread will look at it */
    uint32_t single;  /* so many go one by one: one of them cannot be stored */
    char held[200];   /* why messages wait; "" = they do not */
    struct list done; /* sub_msg whose fate is known and not yet told */
    uint64_t received, accepted, dropped, replaced;
    int64_t lag; /* < 0: not known */
    struct {
        uint64_t slot, n;
    } slots[SUB_SLOTS];
};

struct subs {
    struct loop *loop;
    struct subs_deps deps;
    pthread_mutex_t put_lock; /* one put() after the other */
    pthread_mutex_t lock;
    pthread_cond_t changed; /* a thread has ended */
    struct list all;        /* (lock) */
    uint32_t nlive;         /* (lock) not stopping */
    uint32_t nthreads;      /* (lock) */
    bool drained;           /* (lock) */
    _Atomic int stopped;
    tn_timer *timer; /* loop thread: held messages are tried again */
    atomic_bool armed;
};

/* subs.c */
tn_sub *sub_ref(tn_sub *u);
void sub_unref(tn_sub *u);
void sub_leave(tn_sub *u); /* it has ended: off the list when nothing waits any more */
void plan_unref(struct sub_plan *p);
/* subs_thread.c */
tn_rc sub_thread_start(tn_sub *u, tn_err *err);
void sub_state_set(tn_sub *u, enum sub_state state, const char *error);
/* subs_flow.c */
void flow_pump(tn_sub *u);
void flow_run_ended(tn_sub *u); /* tags of this run mean nothing any more */
void flow_finish(tn_sub *u);
void flow_retry(void *subs); /* the timer */
