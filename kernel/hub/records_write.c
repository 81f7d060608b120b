/* SPDX-License-Identifier: Apache-2.0 */
/* Batches of records: masked, inserted, and their groups cut back to their limits. */
#include "kernel/base/clock.h"
#include "kernel/base/err.h"
#include "kernel/base/log.h"
#include "kernel/base/log_mask.h"
#include "kernel/base/str.h"
#include "kernel/hub/records_int.h"

#include <stdio.h>
#include <stdlib.h>

#define BATCH_ROWS 256

struct batch {
    struct records *x;
    struct list rows;
    uint64_t written, refused, pruned;
    tn_err why; /* of the last row that was refused */
};

/* The row with its group, secrets masked: an insert's JSON object. */
static void compose(const struct record *r, struct buf *out)
{
    tn_str row = {r->text + r->group_n, r->n};
    struct buf masked = BUF_INIT(0);
    if (log_mask_any() && log_mask_apply(row, &masked)) {
        row = buf_str(&masked);
    }
    buf_adds(out, "{\"recordGroup\":");
    buf_quote(out, (tn_str){r->text, r->group_n});
    buf_addc(out, ',');
    buf_add(out, row.s + 1, row.n - 1); /* without its "{" */
    buf_finish(&masked);
}

/* Removes the oldest rows of r's group beyond its limit, a chunk of them. */
static tn_rc cut(struct side_txn *t, const struct record *r, uint64_t *pruned, tn_err *err)
{
    char sql[512];
    int64_t gone = 0;
    tn_val group = {.type = TN_T_STR, .n = r->group_n, .u.s = r->text};
    tn_val v[] = {group, group, {.type = TN_T_INT, .u.i = r->limit}};
    snprintf(
        sql, sizeof sql,
        "DELETE FROM \"%s\" WHERE seq IN (SELECT seq FROM \"%s\" WHERE \"recordGroup\" = ? AND "
        "seq <= (SELECT seq FROM \"%s\" WHERE \"recordGroup\" = ? ORDER BY seq DESC LIMIT 1 "
        "OFFSET ?) ORDER BY seq LIMIT %d)",
        r->entity->table, r->entity->table, r->entity->table, RECORDS_CHUNK);
    tn_rc rc = side_exec(t, sql, v, 3, &gone, err);
    *pruned += rc == TN_OK ? (uint64_t)gone : 0;
    return rc;
}

/* Is that the last row of its group in the batch? Then the group is cut after it. */
static int last_of_group(const struct batch *b, const struct record *r)
{
    for (struct list *l = r->link.next; l != &b->rows; l = l->next) {
        const struct record *o = list_entry(l, struct record, link);
        if (o->entity == r->entity && o->group_n == r->group_n &&
            memcmp(o->text, r->text, r->group_n) == 0) {
            return 0;
        }
    }
    return 1;
}

static tn_rc batch_run(struct side_txn *t, void *user, tn_err *err)
{
    struct batch *b = user;
    struct buf text = BUF_INIT(0);
    tn_rc rc = TN_OK;
    b->written = b->refused = b->pruned = 0;
    list_for_each(l, &b->rows) {
        const struct record *r = list_entry(l, struct record, link);
        tn_err why = TN_ERR_INIT;
        buf_clear(&text);
        compose(r, &text);
        rc = side_insert(t, r->entity->name, buf_str(&text), &why);
        if (rc == TN_E_INVAL || rc == TN_E_CONFLICT) { /* only this row is at fault */
            b->refused++;
            b->why = why;
            rc = TN_OK;
        } else if (rc != TN_OK) {
            err_set(err, rc, "%s", why.msg);
            break;
        } else {
            b->written++;
        }
        if (last_of_group(b, r) && (rc = cut(t, r, &b->pruned, err)) != TN_OK) {
            break;
        }
    }
    buf_finish(&text);
    return rc;
}

static void count(struct batch *b, size_t n, tn_rc rc)
{
    struct records *x = b->x;
    pthread_mutex_lock(&x->lock);
    if (rc == TN_OK) {
        x->written += b->written;
        x->refused += b->refused;
        x->pruned += b->pruned;
    } else {
        x->dropped += n;
    }
    pthread_mutex_unlock(&x->lock);
}

void records_write(struct records *x, struct list *rows)
{
    while (!list_empty(rows)) {
        struct batch b = {.x = x, .why = TN_ERR_INIT};
        tn_err err = TN_ERR_INIT;
        size_t n = 0;
        list_init(&b.rows);
        while (n < BATCH_ROWS && !list_empty(rows)) {
            list_push_back(&b.rows, list_pop_front(rows));
            n++;
        }
        tn_rc rc = side_run(x->side, batch_run, &b, &err);
        if (rc != TN_OK) {
            log_error("records: %zu rows are lost: %s", n, err.msg);
        } else if (b.refused > 0) {
            log_error("records: %llu rows were refused, the last because: %s",
                      (unsigned long long)b.refused, b.why.msg);
        }
        count(&b, n, rc);
        for (struct list *l; (l = list_pop_front(&b.rows)) != NULL;) {
            free(list_entry(l, struct record, link));
        }
    }
}
