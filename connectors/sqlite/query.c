/* SPDX-License-Identifier: Apache-2.0 */
/* Running statements: the statement cache, results in memory, scripts. */
#include "common/sql_text.h"
#include "common/utf8.h"
#include "sqlite.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct chunk {
    struct chunk *next;
    size_t used, cap;
    char data[];
};

struct table {
    uint32_t ncols;
    int64_t nrows;
    size_t cells_cap;
    size_t bytes;
    int64_t affected;
    tn_col *cols;
    tn_val *cells;
    struct chunk *chunks; /* text and blobs of all cells, and the column names */
};

/* ---- statements ------------------------------------------------------------------------------ */

int sq_prepare(struct conn *c, const char *sql, size_t n, unsigned flags, sqlite3_stmt **ret,
               const char **ret_tail)
{
    c->preparing = 1;
    int code = sqlite3_prepare_v3(c->db, sql, (int)n, flags, ret, ret_tail);
    c->preparing = 0;
    return code;
}

/* Only blanks and comments may follow the first statement. */
static tn_rc check_tail(struct conn *c, const char *tail, const char *end, tn_err *err)
{
    while (tail < end) {
        sqlite3_stmt *more = NULL;
        const char *next = NULL;
        int code = sq_prepare(c, tail, (size_t)(end - tail), 0, &more, &next);
        sqlite3_finalize(more);
        if (code != SQLITE_OK || more) {
            return sq_fail(err, TN_E_INVAL,
                           "sqlite: one statement at a time; use script() for several");
        }
        if (!next || next <= tail) {
            break;
        }
        tail = next;
    }
    return TN_OK;
}

static tn_rc compile(struct conn *c, tn_str sql, sqlite3_stmt **ret, tn_err *err)
{
    const char *tail = NULL;
    sqlite3_stmt *stmt = NULL;
    if (sql.n > INT_MAX - 1 || memchr(sql.s, '\0', sql.n)) {
        return sq_fail(err, TN_E_INVAL, "sqlite: the SQL text is too long or has a NUL character");
    }
    int code = sq_prepare(c, sql.s, sql.n, SQLITE_PREPARE_PERSISTENT, &stmt, &tail);
    if (code != SQLITE_OK) {
        return sq_error(c, code, "preparing", err);
    }
    if (!stmt) {
        return sq_fail(err, TN_E_INVAL, "sqlite: the SQL text is empty");
    }
    tn_rc rc = check_tail(c, tail, sql.s + sql.n, err);
    if (rc) {
        sqlite3_finalize(stmt);
        return rc;
    }
    *ret = stmt;
    return TN_OK;
}

/* A prepared statement from the cache, or a new one that moves in for the least used. */
static tn_rc prepare(struct conn *c, tn_str sql, sqlite3_stmt **ret, tn_err *err)
{
    struct cached *victim = NULL;
    for (unsigned i = 0; i < c->ncached; i++) {
        struct cached *e = &c->cache[i];
        if (e->n == sql.n && memcmp(e->sql, sql.s, sql.n) == 0) {
            e->used = ++c->tick;
            *ret = e->stmt;
            return TN_OK;
        }
        victim = !victim || e->used < victim->used ? e : victim;
    }
    sqlite3_stmt *stmt = NULL;
    tn_rc rc = compile(c, sql, &stmt, err);
    if (rc) {
        return rc;
    }
    char *copy = malloc(sql.n ? sql.n : 1);
    if (!copy) {
        sqlite3_finalize(stmt);
        return sq_fail(err, TN_E_NOMEM, "sqlite: no memory for a statement");
    }
    memcpy(copy, sql.s, sql.n);
    if (c->ncached < CACHE_MAX) {
        victim = &c->cache[c->ncached++];
    } else {
        sqlite3_finalize(victim->stmt);
        free(victim->sql);
    }
    *victim = (struct cached){copy, sql.n, stmt, ++c->tick};
    *ret = stmt;
    return TN_OK;
}

static void release(sqlite3_stmt *stmt)
{
    sqlite3_reset(stmt);
    sqlite3_clear_bindings(stmt);
}

/* Lists and dicts among the values, and ??, belong to the language of all SQL connectors; the rest is SQLite's own. */
static bool is_common(tn_str sql, const tn_val *params)
{
    if (!params || params->type == TN_T_NULL || params->type == TN_T_MAP) {
        return false;
    }
    for (uint32_t i = 0; params->type == TN_T_LIST && i < params->n; i++) {
        if (params->u.list[i].type == TN_T_LIST || params->u.list[i].type == TN_T_MAP) {
            return true;
        }
    }
    return (params->type != TN_T_LIST || params->n != 0) && memmem(sql.s, sql.n, "??", 2);
}

/* A statement with its values, ready to be stepped through. */
static tn_rc ready(struct conn *c, tn_str sql, const tn_val *params, bool keep, sqlite3_stmt **ret,
                   tn_err *err)
{
    static const struct sql_dialect dialect = {.quote = '"'};
    static const tn_host host = {.size = sizeof host, .fail = sq_fail};
    struct sql_text t = {.sql = NULL};
    bool common = is_common(sql, params);
    tn_rc rc = common ? sql_translate(&host, &dialect, sql, params, &t, err) : TN_OK;
    if (rc) {
        return rc;
    }
    rc = prepare(c, common ? (tn_str){t.sql + t.label, t.n - t.label} : sql, ret, err);
    if (rc == TN_OK) {
        rc = common ? sq_bind_each(c, *ret, t.binds, t.nbinds, keep, err)
                    : sq_bind(c, *ret, params, keep, err);
        if (rc) {
            release(*ret);
        }
    }
    if (common) {
        sql_text_finish(&t);
    }
    return rc;
}

/* ---- results --------------------------------------------------------------------------------- */

static tn_rc no_memory(tn_err *err)
{
    return sq_fail(err, TN_E_NOMEM, "sqlite: no memory for the result");
}

static char *keep(struct table *t, const void *p, size_t n)
{
    struct chunk *k = t->chunks;
    if (!k || k->cap - k->used < n) {
        size_t cap = k ? (k->cap < 1 << 20 ? k->cap * 2 : k->cap) : 1024;
        cap = cap < n ? n : cap;
        if (!(k = malloc(sizeof *k + cap))) {
            return NULL;
        }
        k->cap = cap;
        k->used = 0;
        k->next = t->chunks;
        t->chunks = k;
    }
    char *to = k->data + k->used;
    if (n) {
        memcpy(to, p, n);
    }
    k->used += n;
    return to;
}

static tn_rc take_cell(struct table *t, sqlite3_stmt *stmt, int i, tn_val *v, tn_err *err)
{
    int type = sqlite3_column_type(stmt, i);
    memset(v, 0, sizeof *v);
    switch (type) {
    case SQLITE_INTEGER:
        v->type = TN_T_INT;
        v->u.i = sqlite3_column_int64(stmt, i);
        return TN_OK;
    case SQLITE_FLOAT:
        v->type = TN_T_FLOAT;
        v->u.f = sqlite3_column_double(stmt, i);
        return TN_OK;
    case SQLITE_TEXT:
    case SQLITE_BLOB: {
        const void *p = type == SQLITE_TEXT ? (const void *)sqlite3_column_text(stmt, i)
                                            : sqlite3_column_blob(stmt, i);
        size_t n = (size_t)sqlite3_column_bytes(stmt, i);
        char *to = p || n == 0 ? keep(t, p, n) : NULL;
        if (!to) {
            return no_memory(err);
        }
        int text = type == SQLITE_TEXT && utf8_valid(to, n); /* whatever was put there */
        v->type = text ? TN_T_STR : TN_T_BYTES;
        v->n = (uint32_t)n;
        v->u.s = to;
        t->bytes += n;
        return TN_OK;
    }
    default:
        return TN_OK;
    }
}

static tn_rc take_row(struct conn *c, struct table *t, sqlite3_stmt *stmt, tn_err *err)
{
    size_t at = (size_t)t->nrows * t->ncols;
    if (at + t->ncols > t->cells_cap) {
        size_t cap = t->cells_cap ? t->cells_cap * 2 : (size_t)t->ncols * 8;
        tn_val *cells = realloc(t->cells, cap * sizeof *cells);
        if (!cells) {
            return no_memory(err);
        }
        t->cells = cells;
        t->cells_cap = cap;
    }
    for (uint32_t i = 0; i < t->ncols; i++) {
        tn_rc rc = take_cell(t, stmt, (int)i, &t->cells[at + i], err);
        if (rc) {
            return rc;
        }
    }
    t->nrows++;
    t->bytes += t->ncols * sizeof(tn_val);
    if (t->bytes > (size_t)c->conf->max_result.n) {
        return sq_fail(err, TN_E_LIMIT,
                       "sqlite: the result is larger than max_result (%lld bytes); use LIMIT",
                       (long long)c->conf->max_result.n);
    }
    return TN_OK;
}

static tn_rc take_columns(struct table *t, sqlite3_stmt *stmt, tn_err *err)
{
    t->ncols = (uint32_t)sqlite3_column_count(stmt);
    t->cols = calloc(t->ncols ? t->ncols : 1, sizeof *t->cols);
    for (uint32_t i = 0; t->cols && i < t->ncols; i++) {
        const char *name = sqlite3_column_name(stmt, (int)i);
        size_t n = name ? strlen(name) : 0;
        t->cols[i].name = keep(t, name, n);
        t->cols[i].name_len = (uint32_t)n;
        if (!name || !t->cols[i].name) {
            return no_memory(err);
        }
    }
    return t->cols ? TN_OK : no_memory(err);
}

/* A column has a type when all its values that are not null agree. */
static void type_columns(struct table *t)
{
    for (uint32_t i = 0; i < t->ncols; i++) {
        uint32_t type = TN_T_NULL;
        for (int64_t row = 0; row < t->nrows; row++) {
            uint32_t cell = t->cells[(size_t)row * t->ncols + i].type;
            if (cell != TN_T_NULL && type != TN_T_NULL && cell != type) {
                type = TN_T_NULL;
                break;
            }
            type = cell != TN_T_NULL ? cell : type;
        }
        t->cols[i].type = type;
    }
}

void sq_table_free(struct table *t)
{
    if (!t) {
        return;
    }
    for (struct chunk *k = t->chunks, *next; k; k = next) {
        next = k->next;
        free(k);
    }
    free(t->cols);
    free(t->cells);
    free(t);
}

/* Rows that the statement itself changed; not those of triggers and foreign keys. */
static int64_t changed_since(struct conn *c, sqlite3_int64 before)
{
    return sqlite3_total_changes64(c->db) == before ? 0 : sqlite3_changes64(c->db);
}

/* Steps until `size` rows are there (0: all). *ret_done: there are no more. */
static tn_rc take_rows(struct conn *c, sqlite3_stmt *stmt, int64_t size, struct table *t,
                       bool *ret_done, tn_err *err)
{
    int code = SQLITE_ROW;
    tn_rc rc = TN_OK;
    while (rc == TN_OK && (size == 0 || t->nrows < size) &&
           (code = sqlite3_step(stmt)) != SQLITE_DONE) {
        if (code != SQLITE_ROW) {
            rc = sq_error(c, code, "query", err);
        } else {
            /* After the first step: a cached statement may have been compiled anew for it. */
            rc = t->cols ? TN_OK : take_columns(t, stmt, err);
            rc = rc ? rc : take_row(c, t, stmt, err);
        }
    }
    if (rc == TN_OK && !t->cols) {
        rc = take_columns(t, stmt, err);
    }
    *ret_done = code == SQLITE_DONE;
    return rc;
}

tn_rc sq_query(struct conn *c, tn_str sql, const tn_val *params, struct table **ret, tn_err *err)
{
    sqlite3_stmt *stmt;
    bool done;
    tn_rc rc = ready(c, sql, params, false, &stmt, err);
    if (rc) {
        return rc;
    }
    struct table *t = calloc(1, sizeof *t);
    sqlite3_int64 before = sqlite3_total_changes64(c->db);
    rc = t ? take_rows(c, stmt, 0, t, &done, err) : no_memory(err);
    release(stmt);
    if (rc) {
        sq_table_free(t);
        return rc;
    }
    type_columns(t);
    t->affected = t->ncols ? -1 : changed_since(c, before);
    *ret = t;
    return TN_OK;
}

/* ---- streams --------------------------------------------------------------------------------- */

tn_rc sq_stream_start(struct conn *c, tn_str sql, const tn_val *params, tn_err *err)
{
    return ready(c, sql, params, true, &c->stream, err);
}

tn_rc sq_stream_next(struct conn *c, int64_t size, struct table **ret, tn_err *err)
{
    struct table *t = calloc(1, sizeof *t);
    bool done = true;
    tn_rc rc = t ? TN_OK : no_memory(err);
    if (rc == TN_OK && c->stream) {
        rc = take_rows(c, c->stream, size, t, &done, err);
        if (rc || done) {
            sq_stream_end(c);
        }
    }
    if (rc) {
        sq_table_free(t);
        return rc;
    }
    type_columns(t);
    t->affected = -1;
    *ret = t;
    return TN_OK;
}

void sq_stream_end(struct conn *c)
{
    if (c->stream) {
        release(c->stream);
        c->stream = NULL;
    }
}

tn_rc sq_emit(const struct table *t, tn_sink *sink)
{
    tn_rc rc = sink->ops->table_begin(sink, t->cols, t->ncols, t->nrows);
    for (int64_t i = 0; i < t->nrows && rc == TN_OK; i++) {
        rc = sink->ops->row(sink, t->cells + (size_t)i * t->ncols);
    }
    return rc ? rc : sink->ops->table_end(sink, t->affected);
}

/* ---- statements without a result ------------------------------------------------------------- */

tn_rc sq_exec(struct conn *c, tn_str sql, const tn_val *params, int64_t *ret_affected, tn_err *err)
{
    sqlite3_stmt *stmt;
    int code;
    tn_rc rc = ready(c, sql, params, false, &stmt, err);
    if (rc) {
        return rc;
    }
    sqlite3_int64 before = sqlite3_total_changes64(c->db);
    while ((code = sqlite3_step(stmt)) == SQLITE_ROW) { /* rows of RETURNING are not wanted */
    }
    rc = code == SQLITE_DONE ? TN_OK : sq_error(c, code, "statement", err);
    release(stmt);
    if (rc == TN_OK) {
        *ret_affected = changed_since(c, before);
    }
    return rc;
}

tn_rc sq_script(struct conn *c, tn_str sql, int64_t *ret_affected, tn_err *err)
{
    const char *p = sql.s, *end = sql.s + sql.n;
    sqlite3_int64 before = sqlite3_total_changes64(c->db);
    int count = 0;
    if (sql.n > INT_MAX - 1 || memchr(sql.s, '\0', sql.n)) {
        return sq_fail(err, TN_E_INVAL, "sqlite: the SQL text is too long or has a NUL character");
    }
    while (p < end) {
        sqlite3_stmt *stmt = NULL;
        const char *tail = NULL;
        char doing[48];
        snprintf(doing, sizeof doing, "statement %d of the script", ++count);
        int code = sq_prepare(c, p, (size_t)(end - p), 0, &stmt, &tail);
        while (code == SQLITE_OK && stmt && (code = sqlite3_step(stmt)) == SQLITE_ROW) {
            code = SQLITE_OK;
        }
        tn_rc rc = code == SQLITE_OK || code == SQLITE_DONE ? TN_OK : sq_error(c, code, doing, err);
        sqlite3_finalize(stmt);
        if (rc) {
            return rc;
        }
        if (!tail || tail <= p) {
            break;
        }
        p = tail;
    }
    *ret_affected = (int64_t)(sqlite3_total_changes64(c->db) - before);
    return TN_OK;
}
