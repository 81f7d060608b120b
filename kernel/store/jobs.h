/* SPDX-License-Identifier: Apache-2.0 */
/* Durable tasks in jobs.db: rows and their moves. Every move compares state and epoch, so it happens
 * once or not at all. The functions that take a side_txn run on the writer thread of jobs_side(). */
#pragma once
#include "kernel/base/arena.h"
#include "kernel/store/side.h"
#include <tenon/tasks.h>

#define JOB_QUEUES    10
#define JOB_BYTES_MAX (16u << 20) /* args, http, vars and label of one task */
#define JOB_AGE_MS    10000       /* waiting that counts as much as one step of priority */

/* job.wait */
#define JOB_WAIT_NOT   0
#define JOB_WAIT_READY 1 /* in the order of rank */
#define JOB_WAIT_LATER 2 /* not before due_ms */

extern const char *const job_states[TN_TASK_STATES]; /* "queued" ... */
int job_state_of(tn_str name);                       /* -1 = none */

/* One row without its outcome. Texts live in mem. */
struct job {
    struct arena mem;
    int64_t seq, wait, queue, rank, epoch, priority, attempt, max_attempts, crashes, interrupts;
    int64_t trigger_ms, due_ms, expire_ms, start_ms, timeout_ms, expires_ms, flags;
    int64_t backoff_ms, backoff_max_ms, jitter_pct, overlap, keep_s, occurrence_us, delay_s;
    tn_str id, state, root_id, script, func_id, origin, origin_id, retry_on, overlap_key, schedule;
    tn_str label, args, http, vars;
};
void job_init(struct job *j);
void job_finish(struct job *j);
tn_str job_func(const struct job *j); /* the part of func_id behind the script */
/* Waiting raises a task as priority does, so the order of two tasks never changes. */
static inline int64_t job_rank(int64_t from_ms, int64_t priority)
{
    return from_ms - priority * JOB_AGE_MS;
}

/* What accepting one request needs, copied out of it, and what became of it. */
struct job_new {
    struct job job;
    tn_str idempotency, fingerprint, reason;
    uint32_t outcome;
    uint32_t duplicate; /* as in tn_task_receipt; job.id is the earlier task's then */
};
/* Any thread. Checks every bound; TN_E_INVAL and TN_E_LIMIT name the member and its value. */
tn_rc job_new_from(const tn_task_req *req, int64_t now_us, struct job_new *ret, tn_err *err);
void job_new_finish(struct job_new *n);

struct jobs_conf {
    int64_t keep_s, keep_count, keep_bytes; /* of what has ended; bytes: of the file */
    int64_t keep_dead_s;                    /* dead letters */
};
struct jobs;
/* Rows that wait, by queue and JOB_WAIT_*; and those that have ended. */
struct jobs_counts {
    int64_t waiting[JOB_QUEUES][3];
    int64_t ended, occurrences;
};
/* Opens jobs.db, registers the entity "task". What a former hub left as running is queued again
 * without having used an attempt; with at_most_once it stays for jobs_lost(). ret_counts: what is there
 * then; counting a million rows takes a while, so it is done once. */
tn_rc jobs_open(struct store *s, const struct jobs_conf *conf, struct jobs **ret,
                struct jobs_counts *ret_counts, tn_err *err);
void jobs_close(struct jobs *j);
struct side *jobs_side(struct jobs *j);

/* ---- moves (writer thread) ----------------------------------------------------------------------- */
/* All or nothing; duplicates are marked, not errors. */
tn_rc jobs_accept(struct jobs *j, struct side_txn *t, struct job_new *jobs, uint32_t n,
                  int64_t now_us, tn_err *err);
/* queued -> running. TN_E_NOTFOUND: it is not waiting with this epoch any more. */
tn_rc jobs_claim(struct side_txn *t, int64_t seq, int64_t epoch, tn_str owner, int64_t now_ms,
                 int64_t lease_ms, struct job *ret, tn_err *err);
/* What is written when an attempt or a task ends. Texts are borrowed. */
struct job_end {
    int64_t seq, epoch, attempt, start_ms, end_ms, cost_ms, peak_bytes, keep_s, flags, crashes;
    const char *state;
    tn_str result, control, exception, exception_type, traceback, logs;
    tn_str progress; /* absent: stays what it is */
    int64_t
        expire_ms; /* jobs_again(): of one that has not begun; 0: it waits for no first start any more */
};
/* running -> a terminal state. TN_E_CONFLICT: a stale epoch; nothing was recorded. */
tn_rc jobs_end(struct jobs *j, struct side_txn *t, const struct job_end *e, tn_err *err);
/* running -> waits again from due_ms on; e->state tells what the attempt came to. counted 0: this
 * attempt does not count. ret_wait: how it waits, JOB_WAIT_*. */
tn_rc jobs_again(struct side_txn *t, const struct job_end *e, int64_t due_ms, int64_t now_ms,
                 int64_t priority, int counted, uint32_t *ret_wait, tn_err *err);
/* A waiting task ends without having started (again): by seq and epoch, or by id (epoch < 0).
 * TN_E_NOTFOUND: there is no such waiting task. ret: the row as it was. */
tn_rc jobs_drop(struct jobs *j, struct side_txn *t, int64_t seq, int64_t epoch, tn_str id,
                const char *state, const char *type, const char *why, int64_t now_ms,
                struct job *ret, tn_err *err);
/* The state of a task by id; TN_E_NOTFOUND. */
tn_rc jobs_state(struct side_txn *t, tn_str id, int *ret_state, tn_err *err);
tn_rc jobs_progress(struct side_txn *t, int64_t seq, int64_t epoch, tn_str json, tn_err *err);
tn_rc jobs_renew(struct side_txn *t, tn_str owner, int64_t lease_ms, tn_err *err);
/* Dead letters: wait again with fresh attempts (ret: their keys, rsvd is the queue), or gone. */
struct job_key;
tn_rc jobs_redrive(struct jobs *j, struct side_txn *t, const int64_t *seqs, uint32_t n,
                   int64_t now_ms, struct job_key *ret, uint32_t *ret_n, tn_err *err);
tn_rc jobs_purge(struct jobs *j, struct side_txn *t, const int64_t *seqs, uint32_t n,
                 int64_t *ret_count, tn_err *err);
/* A request in several transactions under one idempotency key. */
struct job_once {
    tn_str scope, name, fingerprint;
    int64_t now_ms;
    /* out */
    int known, complete; /* it was used before; that request went through */
    int64_t since_ms;    /* when it was used first */
    int64_t count;       /* what was done under it */
};
/* TN_E_CONFLICT: used with another fingerprint. */
tn_rc jobs_once_take(struct side_txn *t, struct job_once *o, tn_err *err);
/* n more; last: it is complete. */
tn_rc jobs_once_add(struct side_txn *t, const struct job_once *o, uint32_t n, int last,
                    tn_err *err);

/* Any thread but the loop's. A queue (-1: all) is paused, or is not any more; durable when it returns. */
tn_rc jobs_pause(struct jobs *j, int queue, int on, tn_err *err);
/* Helper thread. Bit q + 1 for each paused queue q. */
tn_rc jobs_paused(struct jobs *j, uint32_t *ret_bits, tn_err *err);

/* ---- reading ------------------------------------------------------------------------------------- */
/* What the order of a queue needs of a row. */
struct job_key {
    int64_t seq, epoch, rank, due_ms, expire_ms;
    uint64_t overlap_hash; /* 0 = no key */
    uint32_t overlap;
    uint32_t rsvd;
};
void job_key_of(const struct job *j, struct job_key *ret);
/* Writer thread. The next rows of a queue in order after (after, after_seq): by rank (READY) or due
 * time (LATER). Returns how many. */
tn_rc jobs_window(struct side_txn *t, uint32_t queue, uint32_t wait, int64_t after,
                  int64_t after_seq, uint32_t limit, struct job_key *ret, uint32_t *ret_n,
                  tn_err *err);
/* Writer thread. Waiting rows whose time to start has passed; rsvd is the queue. */
tn_rc jobs_overdue(struct side_txn *t, int64_t now_ms, uint32_t limit, struct job_key *ret,
                   uint32_t *ret_n, tn_err *err);
/* Writer thread. A row that runs, but not for this owner: a former hub's that must not start again.
 * TN_E_NOTFOUND: there is none (any more). */
tn_rc jobs_lost(struct side_txn *t, tn_str owner, struct job *ret, tn_err *err);
/* Helper thread. What tn_host_tasks.why needs of the file. */
struct job_why {
    int state; /* TN_TASK_* */
    uint32_t queue, overlap;
    int64_t seq, due_ms, ahead; /* ahead: rows of its queue that come first */
    uint64_t overlap_hash;
};
tn_rc jobs_why(struct jobs *j, tn_str id, struct job_why *ret, tn_err *err);
/* Helper thread. JSON as tn_host_tasks.get. */
tn_rc jobs_get(struct jobs *j, tn_str id, struct buf *ret, tn_err *err);
/* Helper thread. seqs of the dead letters that the filters choose. */
tn_rc jobs_find_dead(struct jobs *j, const tn_filter *f, uint32_t nf, int64_t after, int64_t *ret,
                     uint32_t cap, uint32_t *ret_n, tn_err *err);

/* ---- schedules (kernel/hub/schedules.c) ------------------------------------------------------------ */
/* Helper thread. The last occurrence on record; TN_E_NOTFOUND. */
tn_rc jobs_cursor(struct jobs *j, tn_str schedule, int64_t *ret_us, tn_err *err);
/* Helper thread. All of them. */
tn_rc jobs_cursors(struct jobs *j, tn_rc (*each)(void *user, tn_str schedule, int64_t cursor_us),
                   void *user, tn_err *err);
/* Any thread but the loop's. Where a new schedule starts; never moves backwards. */
tn_rc jobs_cursor_put(struct jobs *j, tn_str schedule, int64_t cursor_us, tn_err *err);
/* The same for many, in one transaction. */
tn_rc jobs_cursors_put(struct jobs *j, const tn_str *schedules, const int64_t *cursors_us,
                       uint32_t n, tn_err *err);
/* Any thread but the loop's. Cursor and occurrences of a deleted schedule. */
tn_rc jobs_cursor_drop(struct jobs *j, tn_str schedule, tn_err *err);
/* Helper thread. JSON array as tn_host_schedules.history. */
tn_rc jobs_history(struct jobs *j, tn_str schedule, int64_t limit, int64_t offset, struct buf *ret,
                   tn_err *err);

/* ---- keeping it small (writer thread) ---------------------------------------------------------------- */
/* Removes at most `limit` old rows and frees pages; ret_more: there is more to do, ret_freed: the file
 * gets shorter with the next checkpoint. */
tn_rc jobs_prune(struct jobs *j, struct side_txn *t, int64_t now_ms, uint32_t limit,
                 int64_t *ret_removed, int *ret_more, int *ret_freed, tn_err *err);
/* Helper thread. Carries the log into the file, which is cut to what it holds; without it an idle
 * platform would keep the freed pages for ever. */
tn_rc jobs_checkpoint(struct jobs *j, tn_err *err);
