/* SPDX-License-Identifier: Apache-2.0 */
/* Columns as arrays that the driver fills, rows in memory, and rows as values. */
#include "sqlserver.h"

#include "common/civil.h"
#include "common/utf8.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARRAY_BYTES 262144
#define ARRAY_ROWS  256
#define PIECE       65536 /* of a large value */

/* Types that the header of ODBC does not know. */
#define SS_TIME2           (-154)
#define SS_TIMESTAMPOFFSET (-155)

/* ---- columns ----------------------------------------------------------------------------------------- */

static const struct {
    SQLSMALLINT type;
    uint8_t kind;
    SQLSMALLINT ctype;
    SQLLEN width; /* 0: by the size of the column; -1: always late */
} types[] = {
    {SQL_BIT, SS_BOOL, SQL_C_BIT, 1},
    {SQL_TINYINT, SS_INT, SQL_C_SBIGINT, 8},
    {SQL_SMALLINT, SS_INT, SQL_C_SBIGINT, 8},
    {SQL_INTEGER, SS_INT, SQL_C_SBIGINT, 8},
    {SQL_BIGINT, SS_INT, SQL_C_SBIGINT, 8},
    {SQL_REAL, SS_FLOAT, SQL_C_DOUBLE, 8},
    {SQL_FLOAT, SS_FLOAT, SQL_C_DOUBLE, 8},
    {SQL_DOUBLE, SS_FLOAT, SQL_C_DOUBLE, 8},
    {SQL_DECIMAL, SS_DECIMAL, SQL_C_CHAR, 64},
    {SQL_NUMERIC, SS_DECIMAL, SQL_C_CHAR, 64},
    {SQL_GUID, SS_TEXT, SQL_C_CHAR, 48},
    {SQL_TYPE_DATE, SS_DATE, SQL_C_TYPE_DATE, sizeof(SQL_DATE_STRUCT)},
    {SQL_TYPE_TIMESTAMP, SS_MOMENT, SQL_C_TYPE_TIMESTAMP, sizeof(SQL_TIMESTAMP_STRUCT)},
    {SQL_TYPE_TIME, SS_CLOCK, SQL_C_CHAR, 32},
    {SS_TIME2, SS_CLOCK, SQL_C_CHAR, 32},
    {SS_TIMESTAMPOFFSET, SS_OFFSET, SQL_C_CHAR, 64},
    {SQL_BINARY, SS_BYTES, SQL_C_BINARY, 0},
    {SQL_VARBINARY, SS_BYTES, SQL_C_BINARY, 0},
    {SQL_LONGVARBINARY, SS_BYTES, SQL_C_BINARY, -1},
    {SQL_CHAR, SS_TEXT, SQL_C_CHAR, 0},
    {SQL_VARCHAR, SS_TEXT, SQL_C_CHAR, 0},
    {SQL_WCHAR, SS_TEXT, SQL_C_CHAR, 0},
    {SQL_WVARCHAR, SS_TEXT, SQL_C_CHAR, 0},
    {0, SS_TEXT, SQL_C_CHAR, -1}, /* texts of any length, XML, sql_variant */
};

static void choose(struct ss_col *col, SQLSMALLINT type, SQLULEN size)
{
    size_t i = 0;
    while (types[i].type != 0 && types[i].type != type) {
        i++;
    }
    col->kind = types[i].kind;
    col->ctype = types[i].ctype;
    col->width = types[i].width;
    if (col->width == 0) { /* UTF-8 takes up to four bytes for a character */
        col->width = size == 0 || size > 8000 ? -1
                                              : (SQLLEN)size * (col->kind == SS_TEXT ? 4 : 1) + 1;
    }
    col->late = col->width < 0;
}

/* A driver may want values that are read one by one to come after the arrays, in order. */
static tn_rc bind_arrays(struct ss_conn *c, struct ss_rows *rows, uint32_t *ret_array, tn_err *err)
{
    size_t wide = 0;
    bool late = false;
    uint32_t n;
    for (uint32_t i = 0; i < rows->ncols; i++) {
        late = rows->cols[i].late = late || rows->cols[i].late;
        wide += rows->cols[i].late ? 0 : (size_t)rows->cols[i].width + sizeof(SQLLEN);
    }
    n = late || wide == 0 ? 1 : (uint32_t)(ARRAY_BYTES / wide);
    n = n < 1 ? 1 : n > ARRAY_ROWS ? ARRAY_ROWS : n;
    SQLSetStmtAttr(c->stmt, SQL_ATTR_ROW_ARRAY_SIZE, (SQLPOINTER)(uintptr_t)n, SQL_IS_UINTEGER);
    for (uint32_t i = 0; i < rows->ncols; i++) {
        struct ss_col *col = &rows->cols[i];
        if (col->late) {
            continue;
        }
        col->cells = malloc((size_t)col->width * n);
        col->lens = calloc(n, sizeof *col->lens);
        if (col->cells == NULL || col->lens == NULL) {
            return ss_host->fail(err, TN_E_NOMEM, "no memory for the result");
        }
        SQLBindCol(c->stmt, (SQLUSMALLINT)(i + 1), col->ctype, col->cells, col->width, col->lens);
    }
    *ret_array = n;
    return TN_OK;
}

tn_rc ss_rows_describe(struct ss_conn *c, struct ss_rows *rows, uint32_t *ret_array, tn_err *err)
{
    SQLSMALLINT n = 0;
    SQLNumResultCols(c->stmt, &n);
    rows->cols = calloc((size_t)n + 1, sizeof *rows->cols);
    if (rows->cols == NULL) {
        return ss_host->fail(err, TN_E_NOMEM, "no memory for the result");
    }
    rows->ncols = (uint32_t)n;
    for (uint32_t i = 0; i < rows->ncols; i++) {
        SQLCHAR name[1024] = "";
        SQLSMALLINT len = 0, type = 0, digits = 0, null = 0;
        SQLULEN size = 0;
        SQLRETURN rc = SQLDescribeCol(c->stmt, (SQLUSMALLINT)(i + 1), name, sizeof name, &len,
                                      &type, &size, &digits, &null);
        if (!SQL_SUCCEEDED(rc)) {
            return ss_error(c, SQL_HANDLE_STMT, c->stmt, err);
        }
        struct ss_col *col = &rows->cols[i];
        choose(col, type, size);
        if (name[0] == '\0') { /* count(*): several without a name would be one key of the row */
            snprintf((char *)name, sizeof name, "column%u", i + 1);
        }
        col->name = strdup((char *)name);
        if (col->name == NULL) {
            return ss_host->fail(err, TN_E_NOMEM, "no memory for the result");
        }
        col->name_len = (uint32_t)strlen(col->name);
    }
    return bind_arrays(c, rows, ret_array, err);
}

void ss_rows_free(struct ss_rows *rows)
{
    for (struct ss_rows *next; rows != NULL; rows = next) {
        next = rows->next;
        for (uint32_t i = 0; i < rows->ncols; i++) {
            free(rows->cols[i].name);
            free(rows->cols[i].cells);
            free(rows->cols[i].lens);
        }
        free(rows->cols);
        chunks_finish(&rows->data);
        free(rows);
    }
}

/* ---- cells ------------------------------------------------------------------------------------------- */

static tn_rc keep(struct ss_conn *c, struct ss_rows *rows, const void *data, int64_t n, tn_err *err)
{
    size_t need = sizeof(int32_t) + (n > 0 ? (size_t)n : 0);
    int32_t len = (int32_t)n;
    rows->bytes += need;
    if (rows->bytes > c->max_result || n > INT32_MAX) {
        return ss_host->fail(err, TN_E_LIMIT,
                             "the result is larger than max_result; use TOP or stream()");
    }
    char *at = chunks_room(&rows->data, need);
    if (at == NULL) {
        return ss_host->fail(err, TN_E_NOMEM, "no memory for the result");
    }
    memcpy(at, &len, sizeof len);
    if (n > 0) {
        memcpy(at + sizeof len, data, (size_t)n);
    }
    return TN_OK;
}

/* "2026-01-01 08:00:00.0000000 +08:00" in UTC, "08:00:00.1"; false: it is something else. */
static bool read_text_time(uint8_t kind, const char *p, const char *end, int64_t *ret)
{
    int64_t days = 0, us;
    if (kind == SS_OFFSET && (!civil_read_date(&p, end, &days) || !civil_take(&p, end, ' '))) {
        return false;
    }
    if (!civil_read_clock(&p, end, &us)) {
        return false;
    }
    while (civil_take(&p, end, ' ')) {}
    if (kind == SS_OFFSET) {
        bool minus = civil_take(&p, end, '-') != 0;
        int64_t h, m;
        if (!minus && !civil_take(&p, end, '+')) {
            return false;
        }
        h = civil_digits(&p, end);
        m = civil_take(&p, end, ':') ? civil_digits(&p, end) : -1;
        if (h < 0 || m < 0) {
            return false;
        }
        us -= (minus ? -1 : 1) * (h * 60 + m) * 60000000;
    }
    *ret = days * 86400000000 + us;
    return p == end;
}

/* A value as the driver gave it. */
static tn_rc keep_value(struct ss_conn *c, struct ss_rows *rows, const struct ss_col *col,
                        const void *data, SQLLEN n, tn_err *err)
{
    int64_t v = 0;
    if (n == SQL_NULL_DATA) {
        return keep(c, rows, NULL, -1, err);
    }
    switch (col->kind) {
    case SS_BOOL:
        v = *(const unsigned char *)data != 0;
        return keep(c, rows, &v, sizeof v, err);
    case SS_INT:
    case SS_FLOAT:
        return keep(c, rows, data, sizeof v, err);
    case SS_DATE: {
        SQL_DATE_STRUCT d;
        memcpy(&d, data, sizeof d);
        v = civil_days(d.year, d.month, d.day);
        return keep(c, rows, &v, sizeof v, err);
    }
    case SS_MOMENT: {
        SQL_TIMESTAMP_STRUCT t;
        memcpy(&t, data, sizeof t);
        v = civil_days(t.year, t.month, t.day) * 86400000000 +
            ((t.hour * 60 + t.minute) * 60ll + t.second) * 1000000 + t.fraction / 1000;
        return keep(c, rows, &v, sizeof v, err);
    }
    case SS_OFFSET:
    case SS_CLOCK:
        if (!read_text_time(col->kind, data, (const char *)data + n, &v)) {
            return ss_host->fail(err, TN_E_REMOTE,
                                 "the driver gave a time of a form that nobody knows: %.60s",
                                 (const char *)data);
        }
        return keep(c, rows, &v, sizeof v, err);
    default:
        return keep(c, rows, data, n, err);
    }
}

/* Of a text that goes on: behind its last byte, which has the NUL of the driver behind it. NULs in the text do not count. */
static size_t end_of_piece(const char *buf, size_t n, size_t cap)
{
    size_t end = cap;
    while (end > n && buf[end - 1] != '\0') {
        end--;
    }
    return end > n ? end - 1 : n;
}

/* A value without a bound, in pieces. */
static tn_rc keep_late(struct ss_conn *c, struct ss_rows *rows, const struct ss_col *col,
                       uint32_t i, tn_err *err)
{
    size_t cap = PIECE, n = 0,
           tail = col->ctype == SQL_C_CHAR ? 1 : 0; /* a NUL behind every piece */
    char *buf = malloc(cap);
    tn_rc rc = TN_OK;
    while (rc == TN_OK && buf != NULL) {
        SQLLEN len = 0;
        memset(buf + n, 0xff, cap - n); /* shows where a piece ends that does not say so */
        SQLRETURN got = SQLGetData(c->stmt, (SQLUSMALLINT)(i + 1), col->ctype, buf + n,
                                   (SQLLEN)(cap - n), &len);
        if (got == SQL_NO_DATA) {
            rc = keep_value(c, rows, col, buf, (SQLLEN)n, err);
            break;
        }
        if (!SQL_SUCCEEDED(got)) {
            rc = ss_error(c, SQL_HANDLE_STMT, c->stmt, err);
            break;
        }
        if (len == SQL_NULL_DATA || (len != SQL_NO_TOTAL && (size_t)len + tail <= cap - n)) {
            n = len == SQL_NULL_DATA ? 0 : n + (size_t)len;
            rc = keep_value(c, rows, col, buf, len == SQL_NULL_DATA ? len : (SQLLEN)n, err);
            break;
        }
        n = tail != 0 ? end_of_piece(buf, n, cap) : cap;
        if (n > c->max_result) {
            rc = ss_host->fail(err, TN_E_LIMIT, "a value is larger than max_result");
            break;
        }
        cap *= 2;
        char *more = realloc(buf, cap);
        if (more == NULL) {
            free(buf);
        }
        buf = more;
    }
    if (buf == NULL) {
        rc = ss_host->fail(err, TN_E_NOMEM, "no memory for the result");
    }
    free(buf);
    return rc;
}

tn_rc ss_rows_add(struct ss_conn *c, struct ss_rows *from, struct ss_rows *to, uint32_t i,
                  tn_err *err)
{
    tn_rc rc = TN_OK;
    for (uint32_t k = 0; rc == TN_OK && k < from->ncols; k++) {
        const struct ss_col *col = &from->cols[k];
        SQLLEN text = col->ctype == SQL_C_CHAR ? 1 : 0; /* a NUL takes a place */
        if (col->late) {
            rc = keep_late(c, to, col, k, err);
        } else if (col->lens[i] != SQL_NULL_DATA &&
                   (col->lens[i] < 0 || col->lens[i] > col->width - text)) {
            rc = ss_host->fail(err, TN_E_REMOTE,
                               "column %s: the driver described %lld bytes and gave %lld",
                               col->name, (long long)(col->width - text), (long long)col->lens[i]);
        } else {
            rc = keep_value(c, to, col, col->cells + (size_t)col->width * i, col->lens[i], err);
        }
    }
    to->n += rc == TN_OK;
    return rc;
}

/* ---- values ------------------------------------------------------------------------------------------ */

static tn_val value(uint8_t kind, const char *p, uint32_t n)
{
    tn_val v = {.type = TN_T_NULL};
    int64_t i = 0;
    if (kind != SS_TEXT && kind != SS_BYTES && kind != SS_DECIMAL) {
        memcpy(&i, p, sizeof i);
    }
    switch (kind) {
    case SS_BOOL:
        return (tn_val){.type = TN_T_BOOL, .u.i = i};
    case SS_INT:
        return (tn_val){.type = TN_T_INT, .u.i = i};
    case SS_FLOAT:
        v = (tn_val){.type = TN_T_FLOAT};
        memcpy(&v.u.f, p, sizeof v.u.f);
        return v;
    case SS_DECIMAL:
        return (tn_val){.type = TN_T_DECIMAL, .n = n, .u.s = p};
    case SS_BYTES:
        return (tn_val){.type = TN_T_BYTES, .n = n, .u.b = (const uint8_t *)p};
    case SS_DATE:
        return (tn_val){.type = TN_T_DATE, .u.i = i};
    case SS_MOMENT:
        return (tn_val){.type = TN_T_TIME, .flags = TN_V_NAIVE, .u.i = i};
    case SS_OFFSET:
        return (tn_val){.type = TN_T_TIME, .u.i = i};
    case SS_CLOCK:
        return (tn_val){.type = TN_T_CLOCK, .u.i = i};
    default:
        return (tn_val){.type = utf8_valid(p, n) ? TN_T_STR : TN_T_BYTES, .n = n, .u.s = p};
    }
}

static tn_rc emit_rows(const struct ss_rows *rows, tn_val *cells, tn_sink *sink)
{
    tn_rc rc = TN_OK;
    uint32_t i = 0;
    for (const struct chunk *k = rows->data.first; rc == TN_OK && k != NULL; k = k->next) {
        for (const char *at = k->data, *end = at + k->n; rc == TN_OK && at < end;) {
            int32_t len;
            memcpy(&len, at, sizeof len);
            at += sizeof len;
            cells[i] = len < 0 ? (tn_val){.type = TN_T_NULL}
                               : value(rows->cols[i].kind, at, (uint32_t)len);
            at += len < 0 ? 0 : len;
            if (++i == rows->ncols) { /* chunks may end inside a row; they live until all is told */
                i = 0;
                rc = sink->ops->row(sink, cells);
            }
        }
    }
    return rc;
}

tn_rc ss_rows_emit(const struct ss_rows *rows, tn_sink *sink, tn_err *err)
{
    static const uint8_t kinds[] = {
        [SS_BOOL] = TN_T_BOOL,       [SS_INT] = TN_T_INT,     [SS_FLOAT] = TN_T_FLOAT,
        [SS_DECIMAL] = TN_T_DECIMAL, [SS_TEXT] = TN_T_NULL,   [SS_BYTES] = TN_T_BYTES,
        [SS_DATE] = TN_T_DATE,       [SS_MOMENT] = TN_T_TIME, [SS_OFFSET] = TN_T_TIME,
        [SS_CLOCK] = TN_T_CLOCK};
    tn_col *cols = calloc((size_t)rows->ncols + 1, sizeof *cols);
    tn_val *cells = calloc((size_t)rows->ncols + 1, sizeof *cells);
    tn_rc rc = cols && cells ? TN_OK : ss_host->fail(err, TN_E_NOMEM, "no memory for the result");
    for (uint32_t i = 0; rc == TN_OK && i < rows->ncols; i++) {
        cols[i] = (tn_col){rows->cols[i].name, rows->cols[i].name_len, kinds[rows->cols[i].kind]};
    }
    rc = rc == TN_OK ? sink->ops->table_begin(sink, cols, rows->ncols, rows->n) : rc;
    rc = rc == TN_OK ? emit_rows(rows, cells, sink) : rc;
    rc = rc == TN_OK ? sink->ops->table_end(sink, -1) : rc;
    free(cells);
    free(cols);
    return rc;
}
