/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files of this folder. */
#pragma once
#include "kernel/base/clock.h"
#include "kernel/pool/pool.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <sys/types.h>

#define BREAKER_FAILURES 5
#define BREAKER_NS       (10 * 1000000000ull)

enum pool_state { POOL_OPENING, POOL_IDLE, POOL_LEASED, POOL_STATES };

struct pool_conn {
    struct list link; /* pool->conns */
    struct pool *pool;
    void *native;
    enum pool_state state;
    int busy;       /* a thread of the owner works on it */
    int exclusive;  /* taken out for a transaction or stream */
    int broken;     /* closed instead of reset */
    int fresh;      /* the running call has not worked on it yet */
    unsigned epoch; /* of the process that opened it; another one: FOREIGN */
    uint64_t owner; /* the call it is leased to */
    bool seated;    /* it has a seat, see seats.c */
    int64_t seat;
    struct list seat_link; /* pools->seated */
    uint64_t opened_ns, used_ns, expires_ns, leased_ns;
    _Atomic uint64_t began_ns; /* the operation under way, 0: there is none */
    uint64_t told_ns;          /* the last cancel that it was told of */
    bool canceling;            /* it is being told */
    char where[POOL_WHERE_MAX];
};

struct pool_counters {
    uint64_t opened, failed, leases, waits, acquire_timeouts, broken, reset_failures, leaked,
        queries, query_errors, breaker_trips;
};

struct pool {
    struct list link; /* pools->all */
    struct pools *all;
    char *id, *type, *config; /* config: what it was asked for with, wiped when freed */
    size_t nconfig;
    struct plug_inst pi;
    const tn_connector_ops *ops;
    struct pool_settings s;
    atomic_uint refs;           /* helpers and leases; grows from 0 only under all->lock */
    _Atomic uint64_t used_ns;   /* when the last of them ended */
    pthread_mutex_t lock;       /* of everything below */
    pthread_cond_t freed, calm; /* a connection; no operation of one is being canceled */
    struct list conns;
    unsigned n, waiting;
    unsigned failures;   /* in a row */
    uint64_t blocked_ns; /* the breaker is open until then, 0 = closed */
    char last_error[200];
    struct pool_counters count;
};

struct pools {
    const struct plug_registry *plugs;
    pthread_mutex_t lock; /* of the list and `pid` */
    struct list all;
    _Atomic size_t n;
    _Atomic pid_t pid, heir; /* heir: set first in a new process, by the thread that prepares it */
    unsigned epoch;          /* grows in a process that was forked from this one */
    int seats_fd;            /* shared by all workers; -1: there is none */
    pthread_mutex_t seats_lock;
    struct list seated;  /* connections of this process that have a seat */
    atomic_uint seekers; /* threads of this process that wait for a seat */
    _Atomic uint32_t
        *bells; /* shared by all workers: grow when a seat is given back; NULL: there are none */
    /* cancel.c */
    sem_t cancel;               /* posted by a signal handler */
    _Atomic uint64_t cancel_ns; /* what began before shall end */
    pthread_t listener;
    atomic_bool listens, leaving;
};

/* After a script's own fork: connections of the parent are abandoned, locks are made new. */
void pools_own(struct pools *ps);
/* Closes idle connections beyond their time; all = every idle one. p->lock is not held. Returns the next
 * time, 0 = none. */
uint64_t pool_trim(struct pool *p, uint64_t now, int all);
void pool_free(struct pool *p);
/* The pools that somebody uses, each with a reference more so that it stays; how many. */
size_t pools_hold(struct pools *ps, struct pool *each[POOL_POOLS_MAX]);

/* Of two deadlines the one that comes first; 0 = none. */
static inline uint64_t pool_earlier(uint64_t a, uint64_t b)
{
    return a == 0 || (b != 0 && b < a) ? b : a;
}

static inline uint64_t pool_ns(tn_dur d)
{
    return (uint64_t)d.ms * NS_PER_MS;
}

/* ---- conn.c: one connection, from opening to closing ------------------------------------------------ */
/* A connection that belongs to nobody yet, or the breaker's error. p->lock is held, and released meanwhile.
 * TN_OK and *ret = NULL: no seat is free. */
tn_rc pool_conn_open(struct pool *p, uint64_t deadline_ns, struct pool_conn **ret, tn_err *err);
/* May c, which was idle, be used? If not, it is closed. p->lock is held, and released meanwhile. */
bool pool_conn_good(struct pool *p, struct pool_conn *c, uint64_t deadline_ns);
/* Ends a lease by closing its connection. p->lock is not held. */
void pool_conn_drop(struct pool_conn *c);
/* A connection of the process that forked this one: it is not touched any more. */
bool pool_conn_foreign(const struct pool_conn *c);

/* ---- cancel.c: operations of a call that shall end; any thread ------------------------------------------ */
void cancel_own(struct pools *ps); /* in a new process, which has no such thread */
void cancel_finish(struct pools *ps);
/* Between these an operation of c can be canceled; its `native` must not change. p->lock is not held. */
void cancel_from_here(struct pool_conn *c);
void cancel_to_here(struct pool_conn *c);

/* ---- seats.c: connections of all workers together (pool.max_total); any thread -------------------------- */
void seats_open(struct pools *ps); /* in the zygote: workers inherit the file */
void seats_close(struct pools *ps);
bool seats_take(struct pool_conn *c); /* false: others have them all. No max_total: true */
void seats_give(struct pool_conn *c);
/* Tells the others that somebody waits here, or that nobody does any more. */
void seats_wait(struct pool *p, bool waits);
bool seats_wanted(const struct pool *p);    /* does somebody in another worker wait? */
uint32_t seats_heard(const struct pool *p); /* to be asked for before a seat is looked for ... */
/* ... which was in vain: sleeps until one is given back since, or until_ns (monotonic). */
void seats_sleep(struct pool *p, uint32_t heard, uint64_t until_ns);
/* A connection that has a seat has become idle here: threads of this process look again. */
void seats_idle(struct pool *p);
