/* SPDX-License-Identifier: Apache-2.0 */
/* Statements: as text without parameters, prepared with them; rows are read one by one and counted. */
#include "mysql_conn.h"

#include <errmsg.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CELL_BYTES 256 /* first guess for a cell of a prepared statement; it grows */

static tn_rc failed(struct my_conn *c, tn_err *err)
{
    return my_error(c, mysql_errno(c->my), mysql_sqlstate(c->my), mysql_error(c->my), err);
}

static tn_rc stmt_failed(struct my_conn *c, tn_err *err)
{
    if (mysql_stmt_errno(c->stmt) == 0) { /* what breaks while rows are read is told there */
        return failed(c, err);
    }
    return my_error(c, mysql_stmt_errno(c->stmt), mysql_stmt_sqlstate(c->stmt),
                    mysql_stmt_error(c->stmt), err);
}

/* ---- sending ----------------------------------------------------------------------------------------- */

/* The result of a text, when there is one, is opened for reading row by row. */
static tn_rc open_text(struct my_conn *c, tn_err *err)
{
    if (mysql_field_count(c->my) == 0) {
        return TN_OK;
    }
    c->res = mysql_use_result(c->my);
    return c->res != NULL ? TN_OK : failed(c, err);
}

static tn_rc start_text(struct my_conn *c, const struct sql_text *t, uint64_t deadline_ns,
                        tn_err *err)
{
    int bad = 0;
    MY_AWAIT(c, deadline_ns, mysql_real_query_start(&bad, c->my, t->sql, t->n), mysql_real_query,
             bad, c->my);
    return bad ? failed(c, err) : open_text(c, err);
}

/* Buffers for all columns; the library turns every type into text, as it comes without preparing. */
static tn_rc open_cells(struct my_conn *c, tn_err *err)
{
    c->res = mysql_stmt_result_metadata(c->stmt);
    if (c->res == NULL) {
        return TN_OK;
    }
    unsigned n = mysql_num_fields(c->res);
    c->binds = calloc(n + 1, sizeof *c->binds);
    c->cells = calloc(n + 1, sizeof *c->cells);
    if (c->binds == NULL || c->cells == NULL) {
        return my_host->fail(err, TN_E_NOMEM, "no memory for the result");
    }
    for (unsigned i = 0; i < n; i++) {
        struct my_cell *cell = &c->cells[i];
        cell->buf = malloc(CELL_BYTES);
        if (cell->buf == NULL) {
            return my_host->fail(err, TN_E_NOMEM, "no memory for the result");
        }
        cell->cap = CELL_BYTES;
        c->binds[i] = (MYSQL_BIND){.buffer_type = MYSQL_TYPE_STRING,
                                   .buffer = cell->buf,
                                   .buffer_length = cell->cap,
                                   .length = &cell->n,
                                   .is_null = &cell->null,
                                   .error = &cell->cut};
    }
    return mysql_stmt_bind_result(c->stmt, c->binds) == 0 ? TN_OK : stmt_failed(c, err);
}

static tn_rc start_prepared(struct my_conn *c, const struct sql_text *t, uint64_t deadline_ns,
                            tn_err *err)
{
    struct my_params p = {.n = 0};
    int bad = 0;
    c->stmt = mysql_stmt_init(c->my);
    if (c->stmt == NULL) {
        return my_host->fail(err, TN_E_NOMEM, "no memory for the statement");
    }
    MY_AWAIT(c, deadline_ns, mysql_stmt_prepare_start(&bad, c->stmt, t->sql, t->n),
             mysql_stmt_prepare, bad, c->stmt);
    if (bad) {
        return stmt_failed(c, err);
    }
    unsigned long wanted = mysql_stmt_param_count(c->stmt);
    if (wanted != t->nbinds) {
        return my_host->fail(err, TN_E_INVAL,
                             "the statement has %lu placeholders and there are %u values", wanted,
                             t->nbinds);
    }
    tn_rc rc = my_bind(t, &p, err);
    if (rc == TN_OK && mysql_stmt_bind_param(c->stmt, p.binds) != 0) {
        rc = stmt_failed(c, err);
    }
    if (rc == TN_OK) {
        MY_AWAIT(c, deadline_ns, mysql_stmt_execute_start(&bad, c->stmt), mysql_stmt_execute, bad,
                 c->stmt);
        rc = bad ? stmt_failed(c, err) : open_cells(c, err);
    }
    my_params_finish(&p);
    return rc;
}

/* Between two statements nothing may come: what is there to be read is the end of the connection. Nothing was
 * executed then, so another one may be used instead. */
static tn_rc alive(struct my_conn *c, tn_err *err)
{
    struct pollfd p = {(int)mysql_get_socket(c->my), POLLIN, 0};
    if (poll(&p, 1, 0) == 0) {
        return TN_OK;
    }
    tn_rc rc = my_host->fail(err, TN_E_UNAVAIL,
                             "the server closed the connection while it was idle");
    if (err != NULL) {
        err->native = CR_SERVER_GONE_ERROR;
        memcpy(err->state, "08006", 6);
        err->flags |= TN_ERR_CONN_BROKEN | TN_ERR_RETRY;
    }
    return rc;
}

tn_rc my_start(struct my_conn *c, tn_str sql, const tn_val *params, uint64_t deadline_ns,
               tn_err *err)
{
    struct sql_dialect dialect = {.flags = SQL_MYSQL_NOTES, .quote = '`'};
    struct sql_text t;
    if (!(c->my->server_status & SERVER_STATUS_NO_BACKSLASH_ESCAPES)) {
        dialect.flags |= SQL_BACKSLASH;
    }
    if (c->my->server_status & SERVER_STATUS_ANSI_QUOTES) {
        dialect.flags |= SQL_DOUBLE_NAMES;
    }
    tn_rc rc = alive(c, err);
    rc = rc == TN_OK ? sql_translate(my_host, &dialect, sql, params, &t, err) : rc;
    if (rc != TN_OK) {
        return rc;
    }
    if (!c->role && my_changes_role(sql, c->conf->multi_statements && t.nbinds == 0)) {
        c->role = true;
        rc = c->began[0] == '\0' ? my_role(c, deadline_ns, c->began, err) : TN_OK;
    }
    my_async(c);
    if (rc == TN_OK) {
        rc = t.nbinds == 0 ? start_text(c, &t, deadline_ns, err)
                           : start_prepared(c, &t, deadline_ns, err);
    }
    sql_text_finish(&t);
    if (rc != TN_OK) {
        my_finish(c);
    }
    return rc;
}

/* The open result and the buffers of its rows. */
static void drop_result(struct my_conn *c)
{
    unsigned n = c->res != NULL && c->cells != NULL ? mysql_num_fields(c->res) : 0;
    for (unsigned i = 0; i < n; i++) {
        free(c->cells[i].buf);
    }
    if (c->res != NULL) {
        mysql_free_result(c->res);
    }
    free(c->binds);
    free(c->cells);
    c->res = NULL;
    c->binds = NULL;
    c->cells = NULL;
}

void my_finish(struct my_conn *c)
{
    drop_result(c);
    if (c->stmt != NULL) {
        mysql_stmt_close(c->stmt);
    }
    c->stmt = NULL;
    c->streaming = false;
}

/* ---- reading ----------------------------------------------------------------------------------------- */

/* 1: a row is in p and n; 0: the end; -1: an error, filled in. */
static int next_text(struct my_conn *c, uint64_t deadline_ns, char ***ret_p, unsigned long **ret_n,
                     tn_err *err)
{
    MYSQL_ROW row = NULL;
    MY_AWAIT(c, deadline_ns, mysql_fetch_row_start(&row, c->res), mysql_fetch_row, row, c->res);
    if (row == NULL) {
        if (mysql_errno(c->my) != 0 || c->late) {
            failed(c, err);
            return -1;
        }
        return 0;
    }
    *ret_p = row;
    *ret_n = mysql_fetch_lengths(c->res);
    return 1;
}

/* Cells that were longer than their buffer are fetched again into a larger one. */
static int grow(struct my_conn *c, unsigned ncols, tn_err *err)
{
    bool grown = false;
    for (unsigned i = 0; i < ncols; i++) {
        struct my_cell *cell = &c->cells[i];
        if (cell->null || cell->n <= cell->cap) {
            continue;
        }
        char *more = cell->n > (size_t)c->conf->max_result.n ? NULL
                                                             : realloc(cell->buf, cell->n + 1);
        if (more == NULL) {
            my_host->fail(err, TN_E_LIMIT, "a value of %lu bytes is larger than max_result",
                          cell->n);
            return -1;
        }
        cell->buf = more;
        cell->cap = cell->n;
        c->binds[i].buffer = more;
        c->binds[i].buffer_length = cell->cap;
        if (mysql_stmt_fetch_column(c->stmt, &c->binds[i], i, 0) != 0) {
            stmt_failed(c, err);
            return -1;
        }
        grown = true;
    }
    if (grown && mysql_stmt_bind_result(c->stmt, c->binds) != 0) {
        stmt_failed(c, err);
        return -1;
    }
    return 1;
}

static int next_prepared(struct my_conn *c, uint64_t deadline_ns, unsigned ncols, char **p,
                         unsigned long *n, tn_err *err)
{
    int rc = 0;
    MY_AWAIT(c, deadline_ns, mysql_stmt_fetch_start(&rc, c->stmt), mysql_stmt_fetch, rc, c->stmt);
    if (rc == MYSQL_NO_DATA && !c->late) {
        return 0;
    }
    if (rc != 0 && rc != MYSQL_DATA_TRUNCATED) {
        stmt_failed(c, err);
        return -1;
    }
    if (grow(c, ncols, err) < 0) {
        return -1;
    }
    for (unsigned i = 0; i < ncols; i++) {
        p[i] = c->cells[i].null ? NULL : c->cells[i].buf;
        n[i] = c->cells[i].n;
    }
    return 1;
}

tn_rc my_fetch(struct my_conn *c, uint64_t max, uint64_t deadline_ns, struct my_rows *rows,
               bool *ret_end, tn_err *err)
{
    *ret_end = c->res == NULL;
    if (c->res == NULL) {
        return TN_OK;
    }
    unsigned ncols = mysql_num_fields(c->res);
    char **own = calloc(ncols + 1, sizeof *own), **p = own;
    unsigned long *own_n = calloc(ncols + 1, sizeof *own_n), *n = own_n;
    tn_rc rc = own && own_n ? my_rows_describe(rows, c->res, err)
                            : my_host->fail(err, TN_E_NOMEM, "no memory for the result");
    while (rc == TN_OK && (uint64_t)rows->n < max) {
        int got = c->stmt != NULL ? next_prepared(c, deadline_ns, ncols, own, own_n, err)
                                  : next_text(c, deadline_ns, &p, &n, err);
        if (got <= 0) {
            *ret_end = got == 0;
            rc = got < 0 ? err != NULL ? err->rc : TN_E_UNAVAIL : TN_OK;
            break;
        }
        rc = my_rows_add(rows, p, n, (size_t)c->conf->max_result.n, err);
    }
    free(own);
    free(own_n);
    return rc;
}

/* Rows that nobody wants are read all the same, one at a time. */
static tn_rc skip_rows(struct my_conn *c, uint64_t deadline_ns, tn_err *err)
{
    unsigned ncols = mysql_num_fields(c->res);
    char **own = calloc(ncols + 1, sizeof *own), **p = own;
    unsigned long *own_n = calloc(ncols + 1, sizeof *own_n), *n = own_n;
    int got = own && own_n ? 1 : -1;
    if (got < 0) {
        my_host->fail(err, TN_E_NOMEM, "no memory for the result");
    }
    while (got > 0) {
        got = c->stmt != NULL ? next_prepared(c, deadline_ns, ncols, own, own_n, err)
                              : next_text(c, deadline_ns, &p, &n, err);
    }
    free(own);
    free(own_n);
    return got == 0 ? TN_OK : err != NULL ? err->rc : TN_E_UNAVAIL;
}

/* The next result of a statement: TN_OK and *ret_end when there is none. */
static tn_rc next_result(struct my_conn *c, uint64_t deadline_ns, bool *ret_end, tn_err *err)
{
    int next = 0;
    drop_result(c);
    *ret_end = c->stmt != NULL ? !mysql_stmt_more_results(c->stmt) : !mysql_more_results(c->my);
    if (*ret_end) {
        return TN_OK;
    }
    my_async(c);
    if (c->stmt != NULL) {
        MY_AWAIT(c, deadline_ns, mysql_stmt_next_result_start(&next, c->stmt),
                 mysql_stmt_next_result, next, c->stmt);
    } else {
        MY_AWAIT(c, deadline_ns, mysql_next_result_start(&next, c->my), mysql_next_result, next,
                 c->my);
    }
    *ret_end = next < 0 && !c->late;
    if (next > 0 || c->late) {
        return c->stmt != NULL ? stmt_failed(c, err) : failed(c, err);
    }
    return *ret_end ? TN_OK : c->stmt != NULL ? open_cells(c, err) : open_text(c, err);
}

static int64_t changed(struct my_conn *c)
{
    my_ulonglong n = c->stmt != NULL ? mysql_stmt_affected_rows(c->stmt)
                                     : mysql_affected_rows(c->my);
    return n == (my_ulonglong)-1 ? 0 : (int64_t)n;
}

tn_rc my_rest(struct my_conn *c, uint64_t deadline_ns, struct my_rows *rows, int64_t *affected,
              tn_err *err)
{
    for (;;) {
        bool end = false;
        tn_rc rc = next_result(c, deadline_ns, &end, err);
        if (rc != TN_OK || end) {
            return rc;
        }
        if (c->res == NULL) {
            *affected += changed(c);
        } else {
            rc = rows->cols == NULL ? my_fetch(c, UINT64_MAX, deadline_ns, rows, &end, err)
                                    : skip_rows(c, deadline_ns, err);
        }
        if (rc != TN_OK) {
            return rc;
        }
    }
}

tn_rc my_exec(struct my_conn *c, tn_str sql, const tn_val *params, uint64_t deadline_ns,
              struct my_rows *rows, int64_t *ret_affected, tn_err *err)
{
    struct my_rows local = {.n = 0}, *into = rows != NULL ? rows : &local;
    tn_err why = TN_ERR_INIT;
    bool end = false;
    tn_rc rc = my_start(c, sql, params, deadline_ns, &why);
    int64_t affected = 0;
    if (rc == TN_OK) {
        bool is_rows = c->res != NULL;
        rc = my_fetch(c, UINT64_MAX, deadline_ns, into, &end, &why);
        affected = !is_rows ? changed(c) : my_changes_rows(sql) ? into->n : 0;
        rc = rc == TN_OK ? my_rest(c, deadline_ns, into, &affected, &why) : rc;
    }
    if (rc == TN_E_LIMIT || rc == TN_E_NOMEM) {
        why.flags |= TN_ERR_CONN_BROKEN; /* the rest of the rows is not read */
        shutdown((int)mysql_get_socket(c->my), SHUT_RDWR);
    }
    my_finish(c);
    my_rows_finish(&local);
    if (rc != TN_OK) {
        if (err != NULL) {
            *err = why;
        }
        return rc;
    }
    if (ret_affected != NULL) {
        *ret_affected = affected;
    }
    return TN_OK;
}

tn_rc my_simple(struct my_conn *c, const char *sql, uint64_t deadline_ns, tn_err *err)
{
    return my_exec(c, (tn_str){sql, strlen(sql)}, NULL, deadline_ns, NULL, NULL, err);
}

tn_rc my_role(struct my_conn *c, uint64_t deadline_ns, char ret[ROLE_BYTES], tn_err *err)
{
    const tn_str sql = TN_STR("SELECT CURRENT_ROLE()");
    struct my_rows rows = {.n = 0};
    tn_err why = TN_ERR_INIT;
    tn_rc rc = my_exec(c, sql, NULL, deadline_ns, &rows, NULL, &why);
    const char *name = rc == TN_OK ? my_rows_first(&rows) : NULL;
    snprintf(ret, ROLE_BYTES, name != NULL ? "=%s" : "-", name);
    my_rows_finish(&rows);
    if (rc == TN_E_REMOTE) {
        return TN_OK; /* MySQL 5.7 has no roles */
    }
    if (rc != TN_OK && err != NULL) {
        *err = why;
    }
    return rc;
}
