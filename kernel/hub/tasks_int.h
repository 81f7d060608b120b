/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of the durable tasks. The loop thread decides, the writer thread of jobs.db writes:
 *
 *   tasks.c          life, operations between the two threads, accepting
 *   tasks_queue.c    windows on the queues, who is next, due times
 *   tasks_overlap.c  tasks that exclude each other
 *   tasks_run.c      claim, broker, start
 *   tasks_end.c      the outcome: retries, terminal states, what is kept
 *   tasks_watch.c    live events
 *   tasks_admin.c    cancel, why, progress, status, pause
 *   tasks_letters.c  dead letters
 *   tasks_care.c     leases, expiry, pruning
 *   tasks_disk.c     what a failing jobs.db means */
#pragma once
#include "kernel/base/list.h"
#include "kernel/base/map.h"
#include "kernel/hub/tasks.h"
#include <stdatomic.h>

#define TASKS_WINDOW       1000 /* rows of a queue in memory; its rest stays in the file */
#define TASKS_WINDOW_MAX   (4 * TASKS_WINDOW)
#define TASKS_LEASE_MS     30000
#define TASKS_RENEW_MS     10000
#define TASKS_STALL_MS     500        /* after a write failed */
#define TASKS_RESULT_MAX   (8u << 20) /* bytes of a result that are kept */
#define TASKS_ACCEPTING    16384      /* requests between submit() and their commit */
#define TASKS_ACCEPT_BYTES (256ull << 20)
#define TASKS_LISTENERS    4
#define TASKS_CRASHES      2 /* workers that a task may take with it */
#define TASKS_UNREADABLE   3 /* attempts of a row that makes no sense */

/* An operation on jobs.db: run() on the writer thread, after() on the loop thread. */
struct tk_op {
    struct side_op op;
    struct list node; /* tasks.done or tasks.failed */
    struct tasks *t;
    tn_rc rc;
    tn_err err;
    tn_rc (*run)(struct side_txn *txn, struct tk_op *op, tn_err *err);
    void (*after)(struct tk_op *op);
};

/* Min-heap of rows by `by`: rank or due time, then seq. */
struct tk_heap {
    struct job_key *a;
    size_t n, cap;
    int by_due;
};
struct tk_queue {
    struct tk_heap ready, later;
    /* How far the windows have read; more: there may be rows behind. */
    int64_t ready_at, ready_seq, later_at, later_seq;
    int more_ready, more_later, refilling;
    unsigned inflight; /* claimed or being claimed */
    _Atomic int paused;
    _Atomic int64_t waiting; /* rows */
    _Atomic unsigned delayed, running, workers, limit;
};

/* A task from its claim to its end. */
struct tk_run {
    struct tk_op op; /* claim, then end or again */
    struct job job;
    struct job_key key;
    tn_call *call;
    struct list watchers; /* of this task */
    uint32_t queue;
    int counted_slot;              /* one of queue.inflight */
    int cancel;                    /* somebody asked for its end */
    int give_back;                 /* the platform stops: to be queued again */
    int64_t start_ms, progress_ms; /* progress_ms: of tk_mono_ms() */
    uint64_t log_at;               /* bytes printed so far */
    char *kept;                    /* memory of what the result's texts point to */
    char *unwritten;               /* the last progress, told too soon after the one before */
    size_t unwritten_n;
    tn_call_result result;
    struct job_end end;
    int again, counted; /* what is to be written: another attempt follows, this one counts */
    int64_t again_ms;
    uint32_t again_wait; /* JOB_WAIT_* that was written */
};

struct tk_overlap {
    int64_t holder; /* seq, 0 = nobody */
    int64_t epoch;  /* its row's when it was claimed: what tells of an older one is no news of it */
    int unwanted;   /* a later task wants its end, and it could not be told yet */
    struct job_key *parked;
    size_t first, n, cap;
};

struct tasks {
    struct hub *hub;
    struct jobs *jobs;
    struct side *side;
    char owner[28];
    struct tk_queue queues[JOB_QUEUES];
    struct map running;  /* id -> tk_run, from claim to end */
    struct map overlaps; /* 8 bytes of hash -> tk_overlap */
    struct map watched;  /* id -> list of watchers of tasks that do not run */
    unsigned nrunning;
    struct list failed; /* operations that must be written, tried again */
    tn_timer *timer;    /* housekeeping and due times */
    uint64_t wake_ns;   /* it is set for */
    /* Moments of tk_mono_ms(): a clock that is set back must not hold anything up. */
    int64_t stalled_ms; /* nothing is claimed before */
    int64_t renewed_ms, cared_ms, pruned_ms;
    int started, draining, pruning, sweeping, freed;
    _Atomic int paused;
    uint64_t drain_at;
    unsigned prune_chunk;
    _Atomic unsigned nops; /* between submit and after() */
    struct {
        void (*cb)(void *, const tn_task_info *, const tn_call_result *);
        void *user;
    } listeners[TASKS_LISTENERS];
    _Atomic unsigned nlisteners;
    _Atomic unsigned accepting;
    _Atomic uint64_t accept_bytes;
    _Atomic uint64_t complained_ns;
    pthread_mutex_t lock; /* done, posted, listeners while they are added */
    struct list done;
    int posted;
};

static inline struct tasks *host_tasks(void *ctx)
{
    return host_hub(ctx)->tasks;
}
int64_t tk_now_ms(void);  /* what rows hold: wall clock */
int64_t tk_mono_ms(void); /* pauses of ours */
/* Nothing is claimed for a moment: a write failed. */
void tk_stall(struct tasks *t);

/* ---- tasks.c */
/* Loop thread, or any (then nobody counts it: see accept). When it fails, after() is not called. */
tn_rc tk_submit(struct tasks *t, struct tk_op *op,
                tn_rc (*run)(struct side_txn *, struct tk_op *, tn_err *),
                void (*after)(struct tk_op *), tn_err *err);
/* The same for what must be written whatever happens: tried again until it is. */
void tk_must(struct tasks *t, struct tk_op *op,
             tn_rc (*run)(struct side_txn *, struct tk_op *, tn_err *),
             void (*after)(struct tk_op *));
void tk_again_later(struct tk_op *op);
void tk_info(const struct job *j, uint32_t state, tn_task_info *ret);
void tk_tell_info(struct tasks *t, const tn_task_info *info, const tn_call_result *result);
void tk_tell(struct tasks *t, const struct job *j, uint32_t state, const tn_call_result *result);

/* ---- tasks_queue.c */
void queue_init(struct tk_queue *q);
void queue_finish(struct tk_queue *q);
/* A row that waits from now on. */
void queue_add(struct tasks *t, uint32_t queue, const struct job_key *k, uint32_t wait);
/* Back to the front: it could not be claimed now. */
void queue_put_back(struct tasks *t, uint32_t queue, const struct job_key *k);
void queue_dispatch(struct tasks *t, uint32_t queue);
void queue_dispatch_all(struct tasks *t);
void queue_wake_at(struct tasks *t, int64_t at_ms);
int queue_knows(const struct tk_queue *q, int64_t seq);

/* ---- tasks_overlap.c */
#define OVERLAP_GO       0
#define OVERLAP_WAIT     1 /* parked */
#define OVERLAP_SKIP     2
#define OVERLAP_GRACE_MS 1000 /* for one that must end */
#define OVERLAP_STOP     3    /* it held the key, and a later task has asked for its end */
int overlap_enter(struct tasks *t, uint32_t queue, const struct job_key *k);
void overlap_leave(struct tasks *t, uint32_t queue, const struct job_key *k);
/* k: as its row is since its claim. */
void overlap_claimed(struct tasks *t, const struct job_key *k);
/* Just started: should it end at once? */
int overlap_unwanted(const struct tasks *t, const struct job_key *k);
void overlap_finish(struct tasks *t);
int overlap_holds(const struct tasks *t, uint64_t hash, int64_t seq);

/* ---- tasks_run.c */
void run_claim(struct tasks *t, uint32_t queue, const struct job_key *k);
void run_free(struct tk_run *r);
void run_release(struct tk_run *r); /* its place in the queue */
/* A waiting task ends without a start. */
void run_drop(struct tasks *t, uint32_t queue, const struct job_key *k, uint32_t state,
              const char *type, const char *why);

/* ---- tasks_end.c */
void run_done(void *run, const tn_call_result *result);
void run_give_back(struct tk_run *r, int64_t due_ms); /* was not started: no attempt */
void run_unreadable(struct tk_run *r, const char *why);

/* ---- tasks_seal.c -------------------------------------------------------------------------------- */

/* Any thread: request and arguments as they go into the file. */
tn_rc tk_seal(struct tasks *t, struct job *j, tn_err *err);
/* What came out of it, before somebody sees it. TN_E_DENIED: it was changed, or belongs to another task. */
tn_rc tk_open(struct tasks *t, struct job *j, tn_err *err);
/* The same of a task that ends without a start: nothing is shown when it cannot be opened. */
void tk_open_ended(struct tasks *t, struct job *j);
/* Any thread: *text becomes its sealed form, which lies in `room`; a short one stays as it is. */
tn_rc tk_seal_text(struct tasks *t, const char *column, tn_str id, tn_str *text, int json,
                   struct buf *room, tn_err *err);
/* Any thread: the same of all texts of an end, each in a buffer of its own that the caller has initialised. */
#define TK_END_TEXTS 6
tn_rc tk_seal_end(struct tasks *t, tn_str id, struct job_end *e, struct buf room[TK_END_TEXTS],
                  tn_err *err);
int tk_is_sealed(tn_str s);
tn_rc tk_unseal(struct tasks *t, const char *column, tn_str id, tn_str sealed, struct buf *ret,
                tn_err *err);

/* ---- tasks_show.c (helper thread): jobs_get() and lists with everything opened -------------------------- */
tn_rc tk_get(struct tasks *t, tn_str id, struct buf *ret, tn_err *err);
tn_rc tk_list(struct tasks *t, const tn_list *list, struct buf *ret, int64_t *ret_total,
              tn_err *err);

/* ---- tasks_watch.c */
void watch_started(struct tk_run *r);
void watch_log(void *run, tn_str text);
void watch_progress(struct tk_run *r, tn_str json);
void watch_ended(struct tasks *t, const struct job *j, struct tk_run *r, uint32_t state);
void watch_waits(struct tk_run *r);
void watch_finish(struct tasks *t);
tn_rc tk_watch(void *ctx, tn_str id, uint64_t log_from,
               void (*cb)(void *user, const tn_task_event *), void *user, tn_task_watch **ret,
               tn_err *err);
void tk_unwatch(void *ctx, tn_task_watch *w);

/* ---- tasks_admin.c */
tn_rc tk_cancel(void *ctx, tn_str id, uint32_t grace_ms,
                void (*done)(void *user, tn_rc rc, const tn_err *err), void *user, tn_err *err);
tn_rc tk_why(void *ctx, tn_str id, void (*done)(void *user, tn_str json), void *user, tn_err *err);
tn_rc tk_progress(void *ctx, tn_str id, tn_str json, tn_err *err);
tn_rc tk_status(void *ctx, tn_text *ret, tn_err *err);
void tk_pause(void *ctx, int32_t queue, int32_t on);
tn_rc tk_pause_keep(void *ctx, int32_t queue, int32_t on, tn_err *err);
/* As it was left. */
tn_rc tk_pause_load(struct tasks *t, tn_err *err);

/* ---- tasks_disk.c */
/* Any thread. What jobs.db answered, as a refusal for the caller: LIMIT with state 53100 when the disk is
 * full, UNAVAIL with 40003 when it may have been accepted all the same. */
tn_rc tk_refusal(struct tasks *t, tn_rc rc, tn_err *err);
/* Any thread. A warning, at most every five seconds. */
void tk_complain(struct tasks *t, const char *what, const char *why);

/* ---- tasks_letters.c */
tn_rc tk_redrive(void *ctx, const tn_filter *f, uint32_t n, int64_t *ret_count, tn_err *err);
tn_rc tk_purge(void *ctx, const tn_filter *f, uint32_t n, int64_t *ret_count, tn_err *err);
tn_rc tk_redrive_once(void *ctx, const tn_filter *f, uint32_t n, tn_str scope, tn_str key,
                      tn_str fingerprint, int64_t *ret_count, uint32_t *ret_replayed, tn_err *err);

/* ---- tasks_care.c */
void care_tick(void *tasks);
void care_lost(struct tasks *t); /* what a former hub was running and must not start again */
