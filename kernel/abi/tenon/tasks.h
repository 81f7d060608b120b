/* SPDX-License-Identifier: Apache-2.0 */
/* Durable calls: accepted means committed and synced; each ends in one terminal state, once. */
#ifndef TENON_TASKS_H
#define TENON_TASKS_H

#include <tenon/calls.h>
#include <tenon/entity.h>

/* States. Everything from SUCCEEDED on is terminal and never changes again; a retry is a further
 * attempt of the same task. */
#define TN_TASK_QUEUED    0 /* due now or later (due_us) */
#define TN_TASK_RUNNING   1 /* claimed by (owner, epoch), lease renewed while the worker lives */
#define TN_TASK_RETRYING  2 /* failed, waits for its next attempt */
#define TN_TASK_SUCCEEDED 3
#define TN_TASK_FAILED    4
#define TN_TASK_TIMEOUT   5
#define TN_TASK_EXPIRED   6 /* waited longer than expires_ms, never started */
#define TN_TASK_SKIPPED   7 /* overlap policy, or the script raised a Warning */
#define TN_TASK_CANCELED  8
#define TN_TASK_DEAD      9 /* all attempts failed: a dead letter, may be redriven */
#define TN_TASK_STATES    10

/* tn_task_req.overlap: what happens when an earlier task with the same overlap key has not ended */
#define TN_OVERLAP_ALLOW      0
#define TN_OVERLAP_SKIP       1 /* looked at when it would start: it ends as SKIPPED */
#define TN_OVERLAP_BUFFER_ONE 2 /* one may wait; a further one ends as SKIPPED */
#define TN_OVERLAP_BUFFER_ALL 3 /* all wait, one after the other */
#define TN_OVERLAP_CANCEL     4 /* the running one is cancelled, softly, then hard */

/* tn_task_req.outcome of a schedule's occurrence; only RUN makes a task. */
#define TN_OCCUR_RUN    0
#define TN_OCCUR_SKIP   1 /* paused, disabled, queue over its limit: `reason` says which */
#define TN_OCCUR_LATE   2 /* runs, but was caught up after its time */
#define TN_OCCUR_MISSED 3 /* its time passed while nobody was there */

/* tn_task_req.flags */
#define TN_TASK_AT_MOST_ONCE (1u << 0) /* never started again after it may have started once */
#define TN_TASK_DEAD_LETTER  (1u << 1) /* ends as DEAD, not FAILED or TIMEOUT, after its last attempt */
#define TN_TASK_NO_RECORD    (1u << 2) /* its row goes as soon as it has ended */

/* Texts are copied. Members that are 0 or absent have the default named. */
typedef struct tn_task_req {
    uint32_t size;
    uint32_t flags;        /* TN_TASK_AT_MOST_ONCE ... */
    tn_str id;             /* absent: generated, "task-" and 24 characters */
    tn_str script;         /* "set__script" */
    tn_str func;           /* "plus" */
    tn_str origin;         /* "asyncAPI" */
    tn_str origin_id;
    tn_str root_id;        /* task that began the chain; absent = this one does */
    tn_str args, http, vars; /* as in tn_call_req */
    uint32_t queue;        /* 0..9 */
    int32_t priority;      /* -100..100, higher first, 0 default; waiting raises it (ageing) */
    uint32_t timeout_ms;   /* 1000..3600000 */
    uint32_t expires_ms;   /* longest wait from trigger_us (or due_us when later), 0 = for ever */
    int64_t trigger_us;    /* wall clock, 0 = now */
    int64_t due_us;        /* not before, 0 = at once */
    uint32_t max_attempts; /* 0 and 1: no retry */
    uint32_t backoff_ms;   /* before the second attempt, doubled for each further one; 0 = 1000 */
    uint32_t backoff_max_ms; /* 0 = 300000 */
    uint32_t jitter_pct;   /* 0..100 of the backoff, added at random */
    tn_str retry_on;       /* JSON array of exception type names (of the type or one that it is
                              derived from), "*" any, "timeout", "crash"; absent = any */
    tn_str overlap_key;    /* absent = none */
    uint32_t overlap;      /* TN_OVERLAP_* */
    uint32_t keep_s;       /* seconds its row is kept after its end, 0 = the setting's */
    tn_str idempotency;    /* key, unique within origin_id for 24 h; absent = none */
    tn_str fingerprint;    /* what must be equal for the same key: digest of the request */
    tn_str schedule;       /* schedule that this is an occurrence of; absent = none */
    int64_t occurrence_us; /* unique with schedule and delay_s: a second one is dropped silently */
    uint32_t delay_s;      /* entry of the schedule's delayed multiples */
    uint32_t outcome;      /* TN_OCCUR_* */
    tn_str reason;         /* SKIP, MISSED: why */
    tn_str label;          /* free JSON object of the api plugin, comes back with the task */
} tn_task_req;

typedef struct tn_task_receipt {
    tn_str id;
    uint32_t duplicate; /* 1: the idempotency key was known, id is the earlier task's; 2: the
                           occurrence was known, id is empty */
    uint32_t rsvd;
} tn_task_receipt;

/* A task as listeners see it. Everything is borrowed until the callback returns. */
typedef struct tn_task_info {
    uint32_t size;
    uint32_t state;        /* TN_TASK_* */
    tn_str id, root_id, script, func, origin, origin_id, args, vars, label, schedule;
    int64_t occurrence_us, trigger_us, due_us;
    uint32_t queue, attempt, max_attempts, timeout_ms, expires_ms, delay_s;
} tn_task_info;

/* tn_task_event.kind */
#define TN_EVENT_STATE    1 /* the state has changed; text: JSON as get() gives, without result */
#define TN_EVENT_LOG      2 /* text: printed lines, '\n' separated; seq counts bytes */
#define TN_EVENT_PROGRESS 3 /* text: JSON that the script gave */
#define TN_EVENT_END      4 /* terminal; text: JSON as get() gives, with result */
typedef struct tn_task_event {
    uint32_t size;
    uint32_t kind; /* TN_EVENT_* */
    uint64_t seq;  /* rises within a task; log: bytes up to the end of text */
    tn_str text;
} tn_task_event;

typedef struct tn_task_watch tn_task_watch;
typedef struct tn_host_tasks {
    uint32_t size;
    uint32_t rsvd;
    /* Any thread. All n in one transaction. done() on the loop thread, once, after commit and sync (or
     * with the reason why nothing was accepted: TN_E_LIMIT queue or disk full, TN_E_CONFLICT the
     * idempotency key was used with another fingerprint, TN_E_UNAVAIL the store is lost). */
    tn_rc (*submit)(void *ctx, const tn_task_req *reqs, uint32_t n,
                    void (*done)(void *user, tn_rc rc, const tn_task_receipt *receipts, uint32_t n,
                                 const tn_err *err),
                    void *user, tn_err *);
    /* Loop thread. A queued task is cancelled at once; a running one softly, after grace_ms hard.
     * done(): TN_OK, TN_E_NOTFOUND, TN_E_CONFLICT (has ended). */
    tn_rc (*cancel)(void *ctx, tn_str id, uint32_t grace_ms,
                    void (*done)(void *user, tn_rc rc, const tn_err *err), void *user, tn_err *);
    /* Helper thread. JSON object of one task: id, rootId, scriptId, funcId, origin, originId, queue,
     * priority, state ("queued" ...), attempt, maxAttempts, triggerTimeMs, dueTimeMs, startTimeMs,
     * endTimeMs, costMs, peakBytes, progress, args, result (responseControl beside it), exception,
     * exceptionType, traceback, logs, attempts:[{attempt, startTimeMs, endTimeMs, state,
     * exceptionType, exception}], label. TN_E_NOTFOUND. */
    tn_rc (*get)(void *ctx, tn_str id, tn_text *ret, tn_err *);
    /* Helper thread. As tn_host_entities.list on the entity "task" (columns: the members above). */
    tn_rc (*list)(void *ctx, const tn_list *, tn_text *ret_rows, int64_t *ret_total, tn_err *);
    /* Loop thread. Every event from now on, log from byte log_from on (0 = all that is kept). A task
     * that has ended gives its END from the loop at once. cb may unwatch. TN_E_NOTFOUND comes as
     * an event of kind 0. */
    tn_rc (*watch)(void *ctx, tn_str id, uint64_t log_from,
                   void (*cb)(void *user, const tn_task_event *), void *user, tn_task_watch **ret,
                   tn_err *);
    void (*unwatch)(void *ctx, tn_task_watch *);
    /* Loop thread. The one rule that holds a queued task, as JSON {rule, text, ...figures}:
     * "due", "paused", "overlap", "queue", "workers", "retry", "store" (jobs.db cannot be written),
     * "running", "ended", "unknown". */
    tn_rc (*why)(void *ctx, tn_str id, void (*done)(void *user, tn_str json), void *user, tn_err *);
    /* Helper thread. Dead letters: back to queued with fresh attempts, or gone. Filters as list().
     * No filter at all is TN_E_INVAL. Redrive keeps the id. */
    tn_rc (*redrive)(void *ctx, const tn_filter *, uint32_t n, int64_t *ret_count, tn_err *);
    tn_rc (*purge)(void *ctx, const tn_filter *, uint32_t n, int64_t *ret_count, tn_err *);
    /* Loop thread. Progress of a running task, JSON (a script's, through a service of the api). */
    tn_rc (*progress)(void *ctx, tn_str id, tn_str json, tn_err *);
    /* Called at every start of an attempt (result NULL) and at every terminal state, loop thread, for
     * all tasks; at most four listeners. To be called in the plugin's start(). */
    tn_rc (*listen)(void *ctx, void (*cb)(void *user, const tn_task_info *, const tn_call_result *),
                    void *user, tn_err *);
    /* Any thread. JSON: for each queue {queue, waiting, delayed, running, workers, limit}. */
    tn_rc (*status)(void *ctx, tn_text *ret, tn_err *);
    /* Any thread. Nothing of this queue starts while set (queue -1: none at all). */
    void (*pause)(void *ctx, int32_t queue, int32_t on);
    /* Helper thread. redrive() under an idempotency key, unique within scope for 24 h: repeated, it
     * redrives nothing that died later and tells the count of all its letters; *ret_replayed 1 when
     * the key was known. TN_E_CONFLICT: it was used with another fingerprint. Keys and fingerprints
     * as in tn_task_req. */
    tn_rc (*redrive_once)(void *ctx, const tn_filter *, uint32_t n, tn_str scope, tn_str key,
                          tn_str fingerprint, int64_t *ret_count, uint32_t *ret_replayed,
                          tn_err *);
    /* Helper thread. As pause(), and stays so over a restart: TN_OK when it is on the disk; on failure
     * nothing has changed. TN_E_INVAL: there is no such queue. */
    tn_rc (*pause_keep)(void *ctx, int32_t queue, int32_t on, tn_err *);
} tn_host_tasks;

#endif
