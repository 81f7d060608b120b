/* SPDX-License-Identifier: Apache-2.0 */
/* A database file beside the store's main one ("jobs", "records") with a writer thread of its own.
 *
 * What is submitted within a few milliseconds becomes one transaction, synced once (group commit), so
 * thousands of durable writes a second cost a few hundred syncs. Every reader connection of the store
 * attaches the file, so its tables can be listed and joined like others. Pages go back to the file
 * system after deletes (incremental vacuum, set when the file is made). */
#pragma once
#include "kernel/base/list.h"
#include "kernel/store/store.h"

struct side;
struct side_txn; /* the open transaction, writer thread only */

struct side_op {
    struct list link; /* the side's */
    /* Writer thread, inside a savepoint of its own: when it fails only its own changes are undone. */
    tn_rc (*run)(struct side_txn *t, void *user, tn_err *err);
    /* Writer thread, exactly once, after the commit has been synced (rc TN_OK), after run() failed, or
     * with the reason why the commit failed: then nothing of the transaction has happened. With state
     * STORE_IN_DOUBT it has not for this process, but may for one that is started after a crash. */
    void (*done)(void *user, tn_rc rc, const tn_err *err);
    void *user;
};

/* name: "jobs" gives jobs.db in the data folder. sync 0: commits are not synced (records may lose the
 * last seconds at a power loss, never more). Migrations as for apis; runs them. */
tn_rc side_open(struct store *s, const char *name, int sync, const tn_migration *migrations,
                struct side **ret, tn_err *err);
/* Runs what was submitted, then ends the thread. NULL is allowed. */
void side_close(struct side *d);
/* Any thread, never blocks. TN_E_LIMIT: too much waits already. TN_E_UNAVAIL: a sync has failed;
 * nothing is written until the writer thread finds that the disk takes one again. When it fails, done() is not called. */
tn_rc side_submit(struct side *d, struct side_op *op, tn_err *err);
/* Submits and waits. Any thread but the loop's and the writer's. */
tn_rc side_run(struct side *d, tn_rc (*run)(struct side_txn *t, void *user, tn_err *err),
               void *user, tn_err *err);

/* ---- inside run() -------------------------------------------------------------------------------- */
tn_rc side_exec(struct side_txn *t, const char *sql, const tn_val *params, uint32_t n,
                int64_t *ret_affected, tn_err *err);
/* Rows go to the sink as table_begin, row ..., table_end. */
tn_rc side_query(struct side_txn *t, const char *sql, const tn_val *params, uint32_t n,
                 tn_sink *sink, tn_err *err);

/* ---- reading: any helper thread, its own snapshot -------------------------------------------------- */
tn_rc side_read(struct side *d, const char *sql, const tn_val *params, uint32_t n, tn_sink *sink,
                tn_err *err);

/* ---- entities that live in the file ------------------------------------------------------------------- */
/* Makes the tables of those with TN_ENTITY_RECORDS here (store_define() of the main store made the others
 * and knows these for reading). Before anything is submitted; definitions live as long as the side. */
tn_rc side_define(struct side *d, const char *owner, const tn_entity *entities, tn_err *err);
/* As store_insert() and store_remove(), inside run(). A row that is refused leaves the transaction usable. */
tn_rc side_insert(struct side_txn *t, const char *entity, tn_str row, tn_err *err);
tn_rc side_remove(struct side_txn *t, const char *entity, const tn_filter *f, uint32_t nf,
                  int64_t *ret_count, tn_err *err);

/* Counters: transactions, operations, longest commit. */
struct side_stats {
    uint64_t commits, ops, max_commit_ns, pending, dropped;
    int64_t bytes; /* of the file */
};
void side_stats(struct side *d, struct side_stats *ret);
