/* SPDX-License-Identifier: Apache-2.0 */
/* The broker's inside: calls, groups, links to workers, the channel to the zygote. Loop thread only.
 *
 *   broker.c           calls: submit, requeue, complete, orphan; the API
 *   broker_deadline.c  the check timer, soft and hard deadlines, limits of the wait
 *   broker_preload.c   published code for the zygote
 *   broker_status.c    JSON for the status pages
 *   broker_tasks.c     cancelling and other needs of durable calls
 *   group.c            which worker gets a call; growing and shrinking
 *   link.c             one worker: rings, socket, claims, death
 *   link_zygote.c      the zygote: forks and exits */
#pragma once
#include "kernel/base/heap.h"
#include "kernel/base/list.h"
#include "kernel/base/map.h"
#include "kernel/hub/broker.h"
#include "kernel/ipc/ring.h"
#include "kernel/ipc/sock.h"
#include "kernel/ipc/zygote.h"

#define WINDOW_NS                                                                                  \
    200000ull             /* work handed to a worker in advance; also how long a call may wait
                                     behind another before somebody else is woken */
#define WINDOW_CALLS 128u /* and never more calls than this: short ones shall fill the window */
#define BELL_NS      (WINDOW_NS / 2)  /* work that is worth a bell before we sleep */
#define CHEAP_NS     (WINDOW_NS / 4)  /* below: a function that is known to be cheap */
#define PREEMPT_NS   (10 * WINDOW_NS) /* a cheap call beyond it is stuck, not just preempted */
#define CROWDED_NS   (20 * WINDOW_NS) /* a wait that wakes more workers than processors are free */
#define GROW_NS      1000000ull     /* how often a group with waiting calls thinks about growing */
#define STUCK_NS     5000000ull     /* it grows when every worker's call has run that long ... */
#define LATE_NS      20000000ull    /* ... or a call has waited that long */
#define UNKNOWN_NS   50000u         /* assumed cost of a function that was never called */
#define COST_CELLS   4096u          /* power of two */
#define STALL_NS     2000000000ull  /* a worker that does not take its call is killed */
#define LOOK_MAX_NS  100000000ull   /* longest pause between two looks at an unclaimed call */
#define START_NS     10000000000ull /* fork to READY */
#define LEAVE_NS     5000000000ull  /* EXIT to gone */
#define CLOSED_NS    50000000ull    /* end of its socket to end of the process */
#define STACK_NS     50000000ull    /* stacks are asked for that long before the hard deadline */
#define IDLE_NS      60000000000ull
#define RETRIES      3u    /* starts of a call whose worker died without having claimed it */
#define SMALL_FRAME  1024u /* frames up to this are kept inside the call */
#define STACK_MAX    (32u << 10)
#define ASK_MAX      (64u << 20) /* bytes of a question */
#define GROWN_BYTES  (16u << 20) /* memory that a worker gained: worth replacing it early */
#define SPARES       1u          /* booted workers that belong to no group yet */

enum call_state { CALL_FREE, CALL_QUEUED, CALL_CLAIMED, CALL_DONE };

struct tn_call {
    struct list node;       /* group.pending, link.sent or broker.free_calls */
    struct heap_node timer; /* limit of the wait */
    struct broker *b;
    struct group *group;
    struct link *link; /* CALL_CLAIMED */
    enum call_state state;
    int orphan; /* nobody waits: no done() */
    unsigned starts;
    uint64_t seq;        /* at its worker */
    uint64_t queued_ns;  /* accepted */
    uint64_t expires_ns; /* 0 = none */
    int64_t trigger_us;
    uint32_t est_ns, cell; /* expected cost and where it is kept */
    uint32_t timeout_ms;
    void *user;
    void (*done)(void *, const tn_call_result *);
    struct metrics_fn *figures; /* of its function, NULL = not counted */
    void (*log)(void *, tn_str);
    tn_str (*http_text)(void *); /* its HTTP request is held back, see broker_request.c */
    char *http;                  /* kept of a client that has gone, http_n bytes */
    size_t http_n;
    char task_id[48];
    int cancel;        /* asked to end: a timeout or crash that follows is no other end */
    uint64_t grace_ns; /* with cancel: soft signal to SIGKILL */
    int outside;       /* its worker was killed by somebody else */
    struct buf logs;
    int fd; /* memfd with the sections, -1 = inline */
    uint32_t size;
    unsigned char *frame; /* small, or malloc()ed */
    _Alignas(8) unsigned char small[SMALL_FRAME];
};

enum link_state {
    LINK_STARTING, /* fork requested */
    LINK_SPARE,    /* ready, in no group */
    LINK_IDLE,
    LINK_BUSY,    /* has calls */
    LINK_LEAVING, /* told to exit, or to exit after its calls */
    LINK_DEAD,    /* its process is gone; waits for the zygote's word */
    LINK_STATES
};
/* What link.timer stands for. */
enum link_wait {
    WAIT_NONE,
    WAIT_START,
    WAIT_SOFT,
    WAIT_STACK,
    WAIT_HARD,
    WAIT_LEAVE,
    WAIT_CLOSED,
    WAIT_REPORT
};

struct link_fd {
    uint64_t seq;
    int fd;
};
struct link {
    struct list node; /* group.idle/fast/slow/other, broker.starting/spares */
    struct heap_node timer;
    struct broker *b;
    struct group *group; /* NULL while starting for nobody or spare */
    uint64_t id;
    enum link_state state;
    enum link_wait wait;
    int slow;     /* its first call runs for long */
    int started;  /* the first call was seen claimed: started_ns is valid */
    int killed;   /* SIGKILL is on its way */
    int answered; /* the call it was killed for has its answer: none else can be lost */
    int old;      /* of a zygote that is gone: no report will come */
    int draining;
    int ready, reported, counted; /* counted: one of group.nworkers */
    unsigned soft_tries;
    uint64_t cancel_ns; /* the running call was cancelled: its hard deadline, 0 = it was not */
    int sock, pidfd;
    pid_t pid;
    int status; /* wait status once reported */
    tn_watch *watch, *pidwatch;
    struct ipc_page *page;
    uint64_t calls_tail, replies_head;
    uint64_t next_seq;
    uint64_t revoked_word; /* what we last made of the claim word */
    struct list sent;      /* calls in its ring, the first is the running one */
    unsigned nsent;
    uint64_t load_ns;   /* expected cost of sent */
    uint64_t unrung_ns; /* of what was published since the last bell */
    uint64_t head_ns;   /* when the first of sent became first */
    uint64_t started_ns;
    uint64_t check_ns; /* next look */
    uint64_t idle_ns;
    uint64_t fork_ns;
    uint64_t calls, calls_max;
    uint64_t first_peak, peak; /* bytes, as its answers say */
    struct list asks;
    unsigned nasks;
    struct link_fd fds[WINDOW_CALLS];
    unsigned nfds;
    char *stack;     /* text of IPC_M_STACK, may be NULL */
    tn_call *lost;   /* waits for the wait status to be reported */
    int64_t lost_us; /* when that call began: never 0, that would say that it had not */
    const char *why; /* reason of our kill */
    uint64_t memory_limit, memory_peak; /* its control group met its limit; 0 = it did not */
    struct list all;                    /* broker.links */
};

struct ask {
    struct list node;
    struct link *link; /* NULL: the worker has gone */
    uint64_t id;
};

struct group {
    struct broker *b;
    struct broker_group_conf conf;
    struct list pending;
    unsigned npending;
    struct list idle;                           /* most recently used first */
    struct list fast, slow;                     /* busy; slow: nothing is put behind */
    struct list other;                          /* starting for this group, leaving */
    unsigned nidle, nbusy, nstarting, nworkers; /* nworkers: idle + busy + starting */
    tn_timer *shrink;
    uint64_t grow_at;  /* no fork before (after failed starts) */
    unsigned failures; /* starts that failed in a row */
};

/* broker_request.c: before the client of a call goes away that may still ask for its request. */
void call_keep_request(tn_call *c);

struct preload {
    uint64_t generation, sent; /* sent: zygote epoch it was sent to */
    struct buf source;
    struct list node; /* broker.unsent or alone */
    tn_str script;    /* the map's key copy is not reachable: our own */
};

struct broker {
    struct metrics *metrics;
    struct loop *loop;
    struct broker_hooks hooks;
    uint64_t grace_ns;
    uint32_t worker_calls;
    uint64_t young_ns, idle_ns;
    uint64_t wall_read_ns; /* when wall_offset_us was looked at, see broker_wall() */
    int64_t wall_offset_us;
    struct group *groups;
    unsigned ngroups;
    struct group *by_queue[10];
    struct list links;         /* all of them */
    struct list spares, other; /* other: starting spares, dead links */
    unsigned nspares, nstarting_spares;
    uint64_t next_link;
    struct heap deadlines; /* of links */
    struct heap waits;     /* of waiting calls */
    tn_timer *deadline_timer, *check_timer, *soon_timer;
    uint64_t check_at;   /* 0 = not armed */
    unsigned processors; /* for workers: all but the one that the hub keeps busy, at least 1 */
    int sleepy;          /* the next thing is the sleep: answers need a bell */
    struct list free_calls;
    unsigned nfree, ncalls, nqueued, nclaimed;
    uint64_t generation, data_gen;
    uint32_t cost[COST_CELLS]; /* ns, moving average by function */
    /* zygote */
    int zygote; /* -1 = none */
    unsigned zygote_epoch;
    tn_watch *zygote_watch;
    unsigned nold; /* links of old zygotes */
    struct map preloads;
    struct list unsent;
    unsigned compiling;
    struct buf jail; /* state of the isolation as the zygote found it, JSON; empty = not told yet */
    /* life */
    int ready_told, draining, closing;
    void (*drained)(void *);
    void *drained_user;
    uint64_t totals[TN_CALL_STATUSES];
    uint64_t forks, kills, crashes, revokes, requeues, grows, bells;
};

/* ---- broker.c ---------------------------------------------------------------------------------------- */
/* What a completion knows beyond the call; zeroed = nothing. */
struct outcome {
    uint32_t status, value_kind, retry_ms, cost_us;
    tn_str value, control, error;
    int value_fd; /* used when value_len > 0 && value.s == NULL */
    uint64_t value_len, peak_bytes;
    int64_t start_us, end_us; /* end_us 0: now */
};
/* Unlinked call -> done(), free. */
void call_complete(tn_call *call, const struct outcome *o);
/* The same with an error report {"exception","exceptionType","traceback"}. */
void call_fail(tn_call *call, uint32_t status, const char *type, const char *traceback,
               int64_t start_us, const char *fmt, ...) TN_PRINTF(6, 7);
/* Unlinked unstarted call -> front of its group. Dropped when orphaned. */
void call_requeue_front(tn_call *call);
uint32_t call_estimate(const struct broker *b, uint32_t cell);
void broker_check_drained(struct broker *b);
/* The wall clock at that monotonic time: one clock is read for both, their distance once a second. */
int64_t broker_wall(struct broker *b, uint64_t now);

/* ---- broker_deadline.c --------------------------------------------------------------------------------- */
tn_rc deadline_init(struct broker *b, tn_err *err);
void deadline_finish(struct broker *b);
void deadline_link(struct link *l, enum link_wait wait, uint64_t at_ns); /* WAIT_NONE disarms */
void deadline_call(tn_call *call); /* arms the limit of the wait */
void deadline_call_off(tn_call *call);
void check_at(struct broker *b, uint64_t at_ns); /* look at the busy workers at the latest then */
void check_off(struct broker *b);
/* The running call was cancelled: a soft signal now, the end of its process after its grace. */
void deadline_cancel(struct link *l);
void broker_soon(struct broker *b); /* refill and tell what is due, right after this event */

/* ---- group.c --------------------------------------------------------------------------------------------- */
tn_rc group_init(struct group *g, struct broker *b, const struct broker_group_conf *conf,
                 tn_err *err);
void group_finish(struct group *g); /* completes what waits */
void group_dispatch(struct group *g);
/* the same when the time is known; 0: it is not */
void group_dispatch_at(struct group *g, uint64_t now);
void group_link_idle(struct group *g, struct link *l); /* it has nothing to do (any more) */
void group_link_busy(struct group *g, struct link *l);
void group_link_slow(struct group *g, struct link *l);
void group_link_fast(struct group *g, struct link *l);
void group_link_gone(struct group *g, struct link *l); /* counts as no worker any more */
void group_refill(struct group *g);                    /* up to min */
void group_grow(struct group *g, uint64_t now);
void group_shrink(void *group);
void broker_refill_spares(struct broker *b);
void group_link_ready(struct link *l);
void group_start_failed(struct link *l);

/* ---- link.c ------------------------------------------------------------------------------------------------ */
/* Asks the zygote for a worker; NULL when that is not possible now. */
struct link *link_fork(struct broker *b, struct group *g);
void link_forked(struct link *l, pid_t pid, int pidfd, int error);
void link_exited(struct link *l, const struct zyg_msg *m);
void link_ring(struct link *l); /* wakes the worker if it sleeps */
int link_room(const struct link *l, uint32_t est_ns);
int link_send(struct link *l, tn_call *call, uint64_t now); /* 0: no room now */
unsigned link_drain(struct link *l);                        /* takes all replies; how many */
void link_look(struct link *l, uint64_t now); /* the check timer's look at a busy worker */
unsigned link_revoke(struct link *l);         /* takes back what has not started; how many */
void link_kill(struct link *l, const char *why);
void link_retire(struct link *l);       /* gets no more calls; a replacement is on its way */
void link_leave(struct link *l);        /* EXIT now when idle, else after its calls */
void link_no_calls(struct link *l);     /* its last call is through */
tn_call *link_pop_head(struct link *l); /* unlinks its first call */
void link_free(struct link *l);
/* ---- link_death.c -------------------------------------------------------------------------------------------- */
void link_gone(struct link *l); /* the process has ended */
void link_hard_deadline(struct link *l);
void link_report_missing(struct link *l); /* the zygote will not say how it ended */
/* ---- link_socket.c ------------------------------------------------------------------------------------------- */
void link_socket(void *link, uint32_t events);
int link_take_fd(struct link *l, uint64_t seq); /* descriptor that came with reply seq, -1 */
void link_forget_asks(struct link *l);
void link_close_fds(struct link *l, uint64_t below);

/* ---- link_zygote.c --------------------------------------------------------------------------------------------- */
int zygote_fork(struct broker *b, uint64_t id, int sock, int pagefd); /* 0, -1 */
void zygote_close(struct broker *b);

/* ---- broker_preload.c -------------------------------------------------------------------------------------------- */
void preload_all(struct broker *b); /* a new zygote knows nothing */
void preload_pump(struct broker *b);
void preload_compiled(struct broker *b, const struct zyg_msg *m, tn_str script, int fd);
void preload_finish(struct broker *b);
