/* SPDX-License-Identifier: Apache-2.0 */
/* Rows in memory and as values: texts of the server by the type of their column. */
#include "mysql_conn.h"

#include "common/civil.h"
#include "common/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK  262144
#define BINARY 63 /* the character set of what is no text */

/* ---- keeping ----------------------------------------------------------------------------------------- */

static uint8_t kind_of(const MYSQL_FIELD *f)
{
    switch (f->type) {
    case MYSQL_TYPE_TINY:
    case MYSQL_TYPE_SHORT:
    case MYSQL_TYPE_LONG:
    case MYSQL_TYPE_INT24:
    case MYSQL_TYPE_YEAR:
        return MY_INT;
    case MYSQL_TYPE_LONGLONG:
        return f->flags & UNSIGNED_FLAG ? MY_BIG : MY_INT;
    case MYSQL_TYPE_FLOAT:
    case MYSQL_TYPE_DOUBLE:
        return MY_FLOAT;
    case MYSQL_TYPE_DECIMAL:
    case MYSQL_TYPE_NEWDECIMAL:
        return MY_DECIMAL;
    case MYSQL_TYPE_DATE:
    case MYSQL_TYPE_NEWDATE:
        return MY_DATE;
    case MYSQL_TYPE_DATETIME:
    case MYSQL_TYPE_TIMESTAMP:
        return MY_TIME;
    case MYSQL_TYPE_TIME:
        return MY_SPAN;
    case MYSQL_TYPE_BIT:
    case MYSQL_TYPE_GEOMETRY:
        return MY_BYTES;
    case MYSQL_TYPE_JSON:
        return MY_TEXT;
    default:
        return f->charsetnr == BINARY ? MY_BYTES : MY_TEXT;
    }
}

/* Two columns of one name: the later one gets its table in front, as with PyMySQL and mysqlclient. */
static char *name_of(const MYSQL_FIELD *fields, uint32_t i, uint32_t *ret_n)
{
    const MYSQL_FIELD *f = &fields[i];
    uint32_t k = 0;
    while (k < i && (fields[k].name_length != f->name_length ||
                     memcmp(fields[k].name, f->name, f->name_length) != 0)) {
        k++;
    }
    size_t before = k < i ? f->table_length + 1 : 0;
    char *name = malloc(before + f->name_length + 1);
    if (name != NULL) {
        if (before != 0) {
            memcpy(name, f->table, f->table_length);
            name[before - 1] = '.';
        }
        memcpy(name + before, f->name, f->name_length);
        name[before + f->name_length] = '\0';
    }
    *ret_n = (uint32_t)(before + f->name_length);
    return name;
}

tn_rc my_rows_describe(struct my_rows *rows, const MYSQL_RES *res, tn_err *err)
{
    const MYSQL_FIELD *fields = mysql_fetch_fields((MYSQL_RES *)res);
    rows->ncols = mysql_num_fields((MYSQL_RES *)res);
    rows->cols = calloc((size_t)rows->ncols + 1, sizeof *rows->cols);
    for (uint32_t i = 0; rows->cols != NULL && i < rows->ncols; i++) {
        struct my_col *col = &rows->cols[i];
        col->kind = kind_of(&fields[i]);
        col->name = name_of(fields, i, &col->name_len);
        if (rows->cols[i].name == NULL) {
            return my_host->fail(err, TN_E_NOMEM, "no memory for the result");
        }
    }
    return rows->cols != NULL ? TN_OK : my_host->fail(err, TN_E_NOMEM, "no memory for the result");
}

static char *room(struct my_rows *rows, size_t need)
{
    struct my_chunk *k = rows->last;
    if (k == NULL || k->cap - k->n < need) {
        size_t cap = need > CHUNK ? need : CHUNK;
        k = malloc(sizeof *k + cap);
        if (k == NULL) {
            return NULL;
        }
        *k = (struct my_chunk){.cap = cap};
        if (rows->last != NULL) {
            rows->last->next = k;
        } else {
            rows->first = k;
        }
        rows->last = k;
    }
    char *at = k->data + k->n;
    k->n += need;
    return at;
}

tn_rc my_rows_add(struct my_rows *rows, char *const *p, const unsigned long *n, size_t max,
                  tn_err *err)
{
    size_t need = 0;
    for (uint32_t i = 0; i < rows->ncols; i++) {
        need += sizeof(int32_t) + (p[i] != NULL ? n[i] + 1 : 0);
    }
    rows->bytes += need;
    if (rows->bytes > max) {
        return my_host->fail(err, TN_E_LIMIT,
                             "the result is larger than max_result; use LIMIT or stream()");
    }
    char *at = room(rows, need);
    if (at == NULL) {
        return my_host->fail(err, TN_E_NOMEM, "no memory for the result");
    }
    for (uint32_t i = 0; i < rows->ncols; i++) {
        int32_t len = p[i] != NULL ? (int32_t)n[i] : -1;
        memcpy(at, &len, sizeof len);
        at += sizeof len;
        if (len >= 0) {
            memcpy(at, p[i], (size_t)len);
            at[len] = '\0';
            at += len + 1;
        }
    }
    rows->n++;
    return TN_OK;
}

const char *my_rows_first(const struct my_rows *rows)
{
    int32_t len = -1;
    if (rows->first != NULL) {
        memcpy(&len, rows->first->data, sizeof len);
    }
    return len < 0 ? NULL : rows->first->data + sizeof len; /* a NUL stands behind it */
}

void my_rows_finish(struct my_rows *rows)
{
    for (uint32_t i = 0; rows->cols != NULL && i < rows->ncols; i++) {
        free(rows->cols[i].name);
    }
    free(rows->cols);
    for (struct my_chunk *k = rows->first, *next; k != NULL; k = next) {
        next = k->next;
        free(k);
    }
    *rows = (struct my_rows){.n = 0};
}

/* ---- values ------------------------------------------------------------------------------------------ */

/* "-838:59:59.5" */
static bool read_span(const char *p, const char *end, tn_val *ret)
{
    int64_t us;
    int minus = civil_take(&p, end, '-');
    if (!civil_read_clock(&p, end, &us) || p != end) {
        return false;
    }
    *ret = (tn_val){.type = TN_T_SPAN, .u.i = minus ? -us : us};
    return true;
}

/* "0000-00-00" and the like have no value in Python and stay text. */
static bool read_moment(const char *p, const char *end, bool with_clock, tn_val *ret)
{
    int64_t days, us = 0;
    if (!civil_read_date(&p, end, &days) ||
        (with_clock && (!civil_take(&p, end, ' ') || !civil_read_clock(&p, end, &us))) ||
        p != end) {
        return false;
    }
    *ret = with_clock
               ? (tn_val){.type = TN_T_TIME, .flags = TN_V_NAIVE, .u.i = days * 86400000000 + us}
               : (tn_val){.type = TN_T_DATE, .u.i = days};
    return true;
}

static tn_val text(const char *p, uint32_t n)
{
    return (tn_val){.type = utf8_valid(p, n) ? TN_T_STR : TN_T_BYTES, .n = n, .u.s = p};
}

static bool is_number(const char *p, uint32_t n)
{
    uint32_t i = 0;
    while (i < n && p[i] >= '0' && p[i] <= '9') {
        i++;
    }
    return n != 0 && i == n;
}

static tn_val value(uint8_t kind, const char *p, uint32_t n)
{
    const char *end = p + n;
    tn_val v = {.type = TN_T_NULL};
    char *stop;
    if (kind == MY_BIG && !is_number(p, n)) {
        return text(p, n);
    }
    switch (kind) {
    case MY_INT:
        v = (tn_val){.type = TN_T_INT, .u.i = strtoll(p, &stop, 10)};
        return stop == end && n != 0 ? v : text(p, n);
    case MY_BIG: /* beyond int64 as a number of JSON, which knows no bound but no zeros in front */
        for (; n > 1 && *p == '0'; n--) {
            p++; /* ZEROFILL */
        }
        if (n >= 19) {
            return (tn_val){.type = TN_T_STR, .flags = TN_V_JSON, .n = n, .u.s = p};
        }
        return (tn_val){.type = TN_T_INT, .u.i = strtoll(p, NULL, 10)};
    case MY_FLOAT:
        return (tn_val){.type = TN_T_FLOAT, .u.f = strtod(p, NULL)};
    case MY_DECIMAL:
        return (tn_val){.type = TN_T_DECIMAL, .n = n, .u.s = p};
    case MY_DATE:
        return read_moment(p, end, false, &v) ? v : text(p, n);
    case MY_TIME:
        return read_moment(p, end, true, &v) ? v : text(p, n);
    case MY_SPAN:
        return read_span(p, end, &v) ? v : text(p, n);
    case MY_BYTES:
        return (tn_val){.type = TN_T_BYTES, .n = n, .u.b = (const uint8_t *)p};
    default:
        return text(p, n);
    }
}

static tn_rc emit_rows(const struct my_rows *rows, tn_val *cells, tn_sink *sink)
{
    tn_rc rc = TN_OK;
    for (const struct my_chunk *k = rows->first; rc == TN_OK && k != NULL; k = k->next) {
        for (const char *at = k->data, *end = at + k->n; rc == TN_OK && at < end;) {
            for (uint32_t i = 0; i < rows->ncols; i++) {
                int32_t len;
                memcpy(&len, at, sizeof len);
                at += sizeof len;
                cells[i] = len < 0 ? (tn_val){.type = TN_T_NULL}
                                   : value(rows->cols[i].kind, at, (uint32_t)len);
                at += len < 0 ? 0 : len + 1;
            }
            rc = sink->ops->row(sink, cells);
        }
    }
    return rc;
}

tn_rc my_rows_emit(const struct my_rows *rows, tn_sink *sink, tn_err *err)
{
    static const uint8_t types[] = {
        [MY_TEXT] = TN_T_NULL, [MY_BYTES] = TN_T_BYTES, [MY_INT] = TN_T_NULL,
        [MY_BIG] = TN_T_NULL,  [MY_FLOAT] = TN_T_FLOAT, [MY_DECIMAL] = TN_T_DECIMAL,
        [MY_DATE] = TN_T_NULL, [MY_TIME] = TN_T_NULL,   [MY_SPAN] = TN_T_NULL};
    tn_col *cols = calloc((size_t)rows->ncols + 1, sizeof *cols);
    tn_val *cells = calloc((size_t)rows->ncols + 1, sizeof *cells);
    tn_rc rc = cols && cells ? TN_OK : my_host->fail(err, TN_E_NOMEM, "no memory for the result");
    for (uint32_t i = 0; rc == TN_OK && i < rows->ncols; i++) {
        cols[i] = (tn_col){rows->cols[i].name, rows->cols[i].name_len, types[rows->cols[i].kind]};
    }
    rc = rc == TN_OK ? sink->ops->table_begin(sink, cols, rows->ncols, rows->n) : rc;
    rc = rc == TN_OK ? emit_rows(rows, cells, sink) : rc;
    rc = rc == TN_OK ? sink->ops->table_end(sink, -1) : rc;
    free(cells);
    free(cols);
    return rc;
}
