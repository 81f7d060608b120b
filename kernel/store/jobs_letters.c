/* SPDX-License-Identifier: Apache-2.0 */
/* Dead letters: rows that wait again or go, and keys of requests that need several transactions. */
#include "kernel/base/err.h"
#include "kernel/base/str.h"
#include "kernel/store/jobs_int.h"

#include <stdlib.h>
#include <string.h>

tn_rc jobs_redrive(struct jobs *j, struct side_txn *t, const int64_t *seqs, uint32_t n,
                   int64_t now_ms, struct job_key *ret, uint32_t *ret_n, tn_err *err)
{
    struct key_list keys = {ret, 0, n};
    tn_rc rc = TN_OK;
    for (uint32_t i = 0; i < n && rc == TN_OK; i++) {
        struct binds b = {.n = 0};
        bind_int(&b, now_ms);
        bind_int(&b, seqs[i]);
        bind_int(&b, JOB_AGE_MS);
        rc = rows_write(
            t,
            "UPDATE tn_task SET state = 'queued', wait = 1, dueTimeMs = ?1, rank = ?1 - "
            "priority * ?3, epoch = epoch + 1, attempt = 0, crashes = 0, interrupts = 0, "
            "endTimeMs = NULL, pruneTimeMs = NULL, expireTimeMs = 0, updateTime = ?1 * "
            "1000 WHERE seq = ?2 AND state = 'dead' RETURNING " JOB_KEY_COLUMNS,
            &b, key_row, &keys, err);
    }
    *ret_n = keys.n;
    j->ended -= keys.n;
    return rc;
}

tn_rc jobs_purge(struct jobs *j, struct side_txn *t, const int64_t *seqs, uint32_t n,
                 int64_t *ret_count, tn_err *err)
{
    tn_rc rc = TN_OK;
    for (uint32_t i = 0; i < n && rc == TN_OK; i++) {
        struct binds b = {.n = 0};
        int64_t changed = 0;
        bind_int(&b, seqs[i]);
        rc = side_exec(t, "DELETE FROM tn_task WHERE seq = ? AND state = 'dead'", b.v, b.n,
                       &changed, err);
        if (rc == TN_OK && changed) {
            rc = side_exec(t, "DELETE FROM tn_attempt WHERE task = ?", b.v, b.n, NULL, err);
        }
        *ret_count += changed;
        j->ended -= changed;
    }
    return rc;
}

/* ---- keys ------------------------------------------------------------------------------------ */

#define KEY_KEEP_MS (24 * 3600 * 1000ll)

struct known {
    struct job_once *once;
    int other; /* fingerprint */
};

/* taskId: the count, with a '+' behind it as long as the request is not through */
static tn_rc known_row(void *user, const tn_val *cells)
{
    struct known *k = user;
    tn_str count = cell_str(&cells[0]);
    char text[24] = "";
    memcpy(text, count.s ? count.s : "", count.n < sizeof text ? count.n : sizeof text - 1);
    k->once->known = 1;
    k->once->count = strtoll(text, NULL, 10);
    k->once->complete = !strchr(text, '+');
    k->once->since_ms = cell_int(&cells[2]);
    k->other = !str_eq(cell_str(&cells[1]), k->once->fingerprint);
    return TN_OK;
}

static void bind_name(const struct job_once *o, struct binds *b)
{
    b->n = 0;
    bind_str(b, o->scope);
    bind_str(b, o->name);
}

tn_rc jobs_once_take(struct side_txn *t, struct job_once *o, tn_err *err)
{
    struct binds b;
    struct known k = {.once = o};
    o->known = o->complete = 0;
    o->count = 0;
    o->since_ms = o->now_ms;
    bind_name(o, &b);
    bind_int(&b, o->now_ms - KEY_KEEP_MS);
    tn_rc rc = rows_write(t,
                          "SELECT taskId, fingerprint, createTimeMs FROM tn_idempotency WHERE "
                          "scope = ? AND name = ? AND createTimeMs > ?",
                          &b, known_row, &k, err);
    if (rc || o->known) {
        return rc ? rc
               : k.other
                   ? err_set(err, TN_E_CONFLICT, "the idempotency key was used for another request")
                   : TN_OK;
    }
    bind_name(o, &b);
    bind_str(&b, o->fingerprint);
    bind_int(&b, o->now_ms);
    return side_exec(t,
                     "INSERT OR REPLACE INTO tn_idempotency (scope, name, fingerprint, taskId, "
                     "createTimeMs) VALUES (?, ?, ?, '0+', ?)",
                     b.v, b.n, NULL, err);
}

tn_rc jobs_once_add(struct side_txn *t, const struct job_once *o, uint32_t n, int last, tn_err *err)
{
    struct binds b;
    bind_name(o, &b);
    bind_int(&b, n);
    bind_text(&b, last ? "" : "+");
    return side_exec(t,
                     "UPDATE tn_idempotency SET taskId = (CAST(taskId AS INTEGER) + ?3) || ?4 "
                     "WHERE scope = ?1 AND name = ?2",
                     b.v, b.n, NULL, err);
}
