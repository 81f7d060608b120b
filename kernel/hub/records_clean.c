/* SPDX-License-Identifier: Apache-2.0 */
/* Cleaning of records: by age and bytes in chunks, pages back to the file system, removal by filter.
 * Every piece is a short transaction of its own, so that batches of new rows never wait for long. */
#include "kernel/base/clock.h"
#include "kernel/base/err.h"
#include "kernel/base/log.h"
#include "kernel/base/str.h"
#include "kernel/hub/records_int.h"

#include <stdio.h>
#include <string.h>

#define VACUUM_PAGES 512
#define VACUUM_SLACK 64 /* free pages that may stay */

/* ---- single numbers -------------------------------------------------------------------------- */
struct number {
    tn_sink sink;
    int64_t n;
};

static tn_rc num_begin(tn_sink *s, const tn_col *cols, uint32_t n, int64_t hint)
{
    (void)s;
    (void)cols;
    (void)n;
    (void)hint;
    return TN_OK;
}

static tn_rc num_row(tn_sink *s, const tn_val *cells)
{
    if (cells[0].type == TN_T_INT) {
        container_of(s, struct number, sink)->n = cells[0].u.i;
    }
    return TN_OK;
}

static tn_rc num_end(tn_sink *s, int64_t affected)
{
    (void)s;
    (void)affected;
    return TN_OK;
}

static const tn_sink_ops number_ops = {
    .size = sizeof number_ops, .table_begin = num_begin, .row = num_row, .table_end = num_end};

/* The integer that a query gives; 0 when it gives none. */
static tn_rc number_of(struct side_txn *t, const char *sql, int64_t *ret, tn_err *err)
{
    struct number s = {.sink = {&number_ops, NULL}};
    tn_rc rc = side_query(t, sql, NULL, 0, &s.sink, err);
    *ret = s.n;
    return rc;
}

/* ---- steps ----------------------------------------------------------------------------------- */
struct job {
    struct records *x;
    const tn_entity *entity;
    int64_t gone;
    int more;
};

/* The oldest rows of one entity that have passed their age. The oldest are the first by seq, so nothing
 * is searched. */
static tn_rc by_age(struct side_txn *t, void *user, tn_err *err)
{
    struct job *j = user;
    char sql[256];
    int64_t days = j->x->hub->settings.records_days;
    tn_val v = {.type = TN_T_INT, .u.i = clock_wall_us() - days * 86400 * 1000000};
    snprintf(sql, sizeof sql,
             "DELETE FROM \"%s\" WHERE seq IN (SELECT seq FROM \"%s\" ORDER BY seq LIMIT %d) AND "
             "\"createTime\" < ?",
             j->entity->table, j->entity->table, RECORDS_CHUNK);
    tn_rc rc = side_exec(t, sql, &v, 1, &j->gone, err);
    j->more = rc == TN_OK && j->gone == RECORDS_CHUNK;
    return rc;
}

static tn_rc bytes_used(struct side_txn *t, int64_t *ret, tn_err *err)
{
    int64_t pages = 0, free_pages = 0, size = 0;
    tn_rc rc = number_of(t, "PRAGMA page_count", &pages, err);
    rc = rc ? rc : number_of(t, "PRAGMA freelist_count", &free_pages, err);
    rc = rc ? rc : number_of(t, "PRAGMA page_size", &size, err);
    *ret = (pages - free_pages) * size;
    return rc;
}

/* The oldest rows of the entity with the most, while all take more bytes than they may. */
static tn_rc by_bytes(struct side_txn *t, void *user, tn_err *err)
{
    struct job *j = user;
    char sql[256];
    int64_t used = 0, most = 0;
    const tn_entity *fat = NULL;
    tn_rc rc = bytes_used(t, &used, err);
    for (unsigned i = 0; rc == TN_OK && i < j->x->nentities; i++) {
        int64_t rows = 0;
        snprintf(sql, sizeof sql, "SELECT coalesce(max(seq) - min(seq) + 1, 0) FROM \"%s\"",
                 j->x->entities[i]->table);
        rc = number_of(t, sql, &rows, err);
        if (rows > most) {
            most = rows;
            fat = j->x->entities[i];
        }
    }
    int64_t max = j->x->hub->settings.records_bytes.n;
    if (rc != TN_OK || used <= max || fat == NULL) {
        return rc;
    }
    /* Rows may be large: no more than bring it below the bound if all are alike. */
    int64_t rows = (int64_t)((double)most * (double)(used - max) / (double)used) + 1;
    tn_val limit = {.type = TN_T_INT, .u.i = rows < RECORDS_CHUNK ? rows : RECORDS_CHUNK};
    snprintf(sql, sizeof sql,
             "DELETE FROM \"%s\" WHERE seq IN (SELECT seq FROM \"%s\" ORDER BY seq LIMIT ?)",
             fat->table, fat->table);
    rc = side_exec(t, sql, &limit, 1, &j->gone, err);
    j->more = rc == TN_OK && j->gone > 0;
    return rc;
}

static tn_rc vacuum(struct side_txn *t, void *user, tn_err *err)
{
    struct job *j = user;
    int64_t before = 0, after = 0;
    char sql[64];
    tn_rc rc = number_of(t, "PRAGMA freelist_count", &before, err);
    if (rc != TN_OK || before <= VACUUM_SLACK) {
        return rc;
    }
    snprintf(sql, sizeof sql, "PRAGMA incremental_vacuum(%d)", VACUUM_PAGES);
    rc = side_exec(t, sql, NULL, 0, NULL, err);
    rc = rc ? rc : number_of(t, "PRAGMA freelist_count", &after, err);
    j->more = rc == TN_OK && after < before && after > VACUUM_SLACK;
    j->x->vacuumed = 1;
    return rc;
}

/* The file gets shorter when the log's last pages are in it; the next batches might take long to fill
 * the log. */
static void shorten(struct records *x)
{
    struct number s = {.sink = {&number_ops, NULL}};
    tn_err err = TN_ERR_INIT;
    if (x->vacuumed &&
        side_read(x->side, "PRAGMA wal_checkpoint", NULL, 0, &s.sink, &err) != TN_OK) {
        log_error("records: moving the log into the file: %s", err.msg);
    }
    x->vacuumed = 0;
}

static void report(struct records *x, const struct job *j)
{
    pthread_mutex_lock(&x->lock);
    x->pruned += (uint64_t)j->gone;
    pthread_mutex_unlock(&x->lock);
}

/* Steps 0 .. nentities - 1 go by age, then bytes, then pages; each is repeated until it has no more, and
 * one that fails does not keep the next from running. */
int records_clean(struct records *x, unsigned *step)
{
    unsigned n = *step;
    struct job j = {.x = x, .entity = n < x->nentities ? x->entities[n] : NULL};
    tn_err err = TN_ERR_INIT;
    tn_rc (*run)(struct side_txn *, void *, tn_err *) = n < x->nentities    ? by_age
                                                        : n == x->nentities ? by_bytes
                                                                            : vacuum;
    if (side_run(x->side, run, &j, &err) != TN_OK) {
        log_error("records: cleaning, step %u: %s", n, err.msg);
        j.more = 0;
        j.gone = 0;
    }
    report(x, &j);
    *step = j.more ? n : n + 1;
    if (*step <= x->nentities + 1) {
        return 1;
    }
    shorten(x);
    return 0;
}

/* ---- removal by filter ----------------------------------------------------------------------- */
struct removal {
    const tn_entity *entity;
    const tn_filter *f;
    uint32_t nf;
    int64_t from, to, last; /* rows by seq */
    int64_t gone;
};

static tn_rc range_of(struct side_txn *t, void *user, tn_err *err)
{
    struct removal *m = user;
    char sql[160];
    snprintf(sql, sizeof sql, "SELECT min(seq) FROM \"%s\"", m->entity->table);
    tn_rc rc = number_of(t, sql, &m->from, err);
    snprintf(sql, sizeof sql, "SELECT max(seq) FROM \"%s\"", m->entity->table);
    return rc ? rc : number_of(t, sql, &m->last, err);
}

static tn_rc remove_some(struct side_txn *t, void *user, tn_err *err)
{
    struct removal *m = user;
    tn_filter f[34];
    char from[24], to[24];
    snprintf(from, sizeof from, "%lld", (long long)m->from);
    snprintf(to, sizeof to, "%lld", (long long)m->to);
    memcpy(f, m->f, m->nf * sizeof *f);
    f[m->nf] = (tn_filter){.column = "seq", .op = TN_OP_GE, .value = str_of(from)};
    f[m->nf + 1] = (tn_filter){.column = "seq", .op = TN_OP_LE, .value = str_of(to)};
    int64_t gone = 0;
    tn_rc rc = side_remove(t, m->entity->name, f, m->nf + 2, &gone, err);
    m->gone += rc == TN_OK ? gone : 0;
    return rc;
}

tn_rc records_remove(struct hub *h, const char *entity, const tn_filter *f, uint32_t nf,
                     int64_t *ret_count, tn_err *err)
{
    struct records *x = h->records;
    struct removal m = {.f = f, .nf = nf};
    for (unsigned i = 0; i < x->nentities; i++) {
        if (strcmp(x->entities[i]->name, entity) == 0) {
            m.entity = x->entities[i];
        }
    }
    if (nf == 0 || nf > 32) {
        return err_set(err, TN_E_INVAL, "removing from %s needs 1 to 32 filters", entity);
    }
    tn_rc rc = side_run(x->side, range_of, &m, err);
    while (rc == TN_OK && m.from > 0 && m.from <= m.last) {
        m.to = m.from + RECORDS_CHUNK - 1;
        rc = side_run(x->side, remove_some, &m, err);
        m.from = m.to + 1;
    }
    if (rc == TN_OK && ret_count != NULL) {
        *ret_count = m.gone;
    }
    return rc;
}
