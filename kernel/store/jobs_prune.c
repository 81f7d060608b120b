/* SPDX-License-Identifier: Apache-2.0 */
/* Keeping jobs.db small: ended tasks by age, count and bytes, old occurrences and keys, free pages back
 * to the file system. A few hundred rows a transaction, so that nobody waits. */
#include "kernel/store/jobs_int.h"

#include <string.h>

#define OCCURRENCE_KEEP_MS (30 * 86400 * 1000ll)
#define OCCURRENCES_MAX    1000000
#define KEY_KEEP_MS        (24 * 3600 * 1000ll)
#define VACUUM_PAGES       512 /* given back in one transaction: 2 MiB */

struct number {
    int64_t value;
};

static tn_rc number_row(void *user, const tn_val *cells)
{
    ((struct number *)user)->value = cell_int(&cells[0]);
    return TN_OK;
}

static tn_rc number_of(struct side_txn *t, const char *sql, int64_t *ret, tn_err *err)
{
    struct number n = {0};
    tn_rc rc = rows_write(t, sql, NULL, number_row, &n, err);
    *ret = n.value;
    return rc;
}

/* Ended rows in the order in which their time comes: those before `until`, at most `limit`. */
static tn_rc remove_ended(struct side_txn *t, int64_t until, int64_t limit, int64_t *ret,
                          tn_err *err)
{
    struct binds b = {.n = 0};
    bind_int(&b, until);
    bind_int(&b, limit);
    tn_rc rc = side_exec(
        t,
        "DELETE FROM tn_attempt WHERE task IN (SELECT seq FROM tn_task WHERE "
        "pruneTimeMs IS NOT NULL AND pruneTimeMs <= ? ORDER BY pruneTimeMs LIMIT ?)",
        b.v, b.n, NULL, err);
    return rc ? rc
              : side_exec(
                    t,
                    "DELETE FROM tn_task WHERE seq IN (SELECT seq FROM tn_task WHERE "
                    "pruneTimeMs IS NOT NULL AND pruneTimeMs <= ? ORDER BY pruneTimeMs LIMIT ?)",
                    b.v, b.n, ret, err);
}

static tn_rc remove_old(struct side_txn *t, const char *sql, int64_t until, int64_t limit,
                        int64_t *ret, tn_err *err)
{
    struct binds b = {.n = 0};
    bind_int(&b, until);
    bind_int(&b, limit);
    return side_exec(t, sql, b.v, b.n, ret, err);
}

/* How many rows it takes to get below keep_bytes, if all were of the same size: a guess on the low side
 * is made good by the next round, one on the high side would cost results. */
static int64_t over_bytes(const struct jobs *j, int64_t used)
{
    int64_t over = j->conf.keep_bytes ? used - j->conf.keep_bytes : 0;
    return over > 0 && j->ended > 0 ? over / (used / j->ended + 1) + 1 : 0;
}

tn_rc jobs_prune(struct jobs *j, struct side_txn *t, int64_t now_ms, uint32_t limit,
                 int64_t *ret_removed, int *ret_more, int *ret_freed, tn_err *err)
{
    int64_t removed = 0, others = 0, more = 0, pages = 0, spare = 0, size = 0;
    *ret_more = *ret_freed = 0;
    tn_rc rc = number_of(t, "SELECT page_count FROM pragma_page_count", &pages, err);
    rc = rc ? rc : number_of(t, "SELECT freelist_count FROM pragma_freelist_count", &spare, err);
    rc = rc ? rc : number_of(t, "SELECT page_size FROM pragma_page_size", &size, err);
    if (rc) {
        return rc;
    }
    rc = remove_ended(t, now_ms, limit, &removed, err);
    if (rc == TN_OK && removed == 0) {
        int64_t over = j->ended - j->conf.keep_count, bytes = over_bytes(j, (pages - spare) * size);
        over = bytes > over ? bytes : over;
        if (over > 0) {
            rc = remove_ended(t, INT64_MAX, over < limit ? over : limit, &removed, err);
        }
    }
    j->ended -= rc == TN_OK ? removed : 0;
    if (rc == TN_OK) {
        int64_t over = j->occurrences - OCCURRENCES_MAX;
        rc = remove_old(
            t,
            "DELETE FROM tn_occurrence WHERE (schedule, occurrenceUs, delayS) IN (SELECT "
            "schedule, occurrenceUs, delayS FROM tn_occurrence WHERE occurrenceUs <= ? "
            "ORDER BY occurrenceUs LIMIT ?)",
            over > 0 ? INT64_MAX : (now_ms - OCCURRENCE_KEEP_MS) * 1000,
            over > 0 && over < limit ? over : limit, &others, err);
        j->occurrences -= rc == TN_OK ? others : 0;
        more += others;
    }
    if (rc == TN_OK) {
        rc = remove_old(
            t,
            "DELETE FROM tn_idempotency WHERE (scope, name) IN (SELECT scope, name FROM "
            "tn_idempotency WHERE createTimeMs <= ? LIMIT ?)",
            now_ms - KEY_KEEP_MS, limit, &others, err);
        more += others;
    }
    /* Some free pages are kept for what comes next. */
    if (rc == TN_OK && spare > pages / 8 && spare > VACUUM_PAGES) {
        rc = side_exec(t, "PRAGMA incremental_vacuum(512)", NULL, 0, NULL, err);
        *ret_more = *ret_freed = 1;
    }
    *ret_removed = removed;
    *ret_more |= removed + more > 0;
    return rc;
}

static tn_rc ignore_row(void *user, const tn_val *cells)
{
    (void)user;
    (void)cells;
    return TN_OK;
}

tn_rc jobs_checkpoint(struct jobs *j, tn_err *err)
{
    return rows_read(j->side, "PRAGMA wal_checkpoint", NULL, ignore_row, NULL, err);
}
