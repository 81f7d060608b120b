/* SPDX-License-Identifier: Apache-2.0 */
/* Columns of a query as arrays that a fetch fills, and their values as those of a script. */
#include "oracle.h"

#include "common/civil.h"
#include "common/utf8.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARRAY_BYTES (4 * 1024 * 1024)
#define LATE_WIDTH                                                                                 \
    4096 /* what a large value is counted as: only its locator or its first piece is in the array */

#define DAYS_MAX    100000000 /* in microseconds they fit 64 bit */
#define STREAM_ROWS 16        /* taken from the array between looks at the size of a piece */

struct ora_column {
    dpiVar *var;
    dpiData *data;
    dpiDataTypeInfo type;
};

/* How a type is fetched; TN_T_NULL: cells of several types. */
static const struct {
    dpiOracleTypeNum type;
    dpiNativeTypeNum native;
    uint8_t cells;
    bool late;
} types[] = {
    {DPI_ORACLE_TYPE_VARCHAR, DPI_NATIVE_TYPE_BYTES, TN_T_NULL, false},
    {DPI_ORACLE_TYPE_NVARCHAR, DPI_NATIVE_TYPE_BYTES, TN_T_NULL, false},
    {DPI_ORACLE_TYPE_CHAR, DPI_NATIVE_TYPE_BYTES, TN_T_NULL, false},
    {DPI_ORACLE_TYPE_NCHAR, DPI_NATIVE_TYPE_BYTES, TN_T_NULL, false},
    {DPI_ORACLE_TYPE_NUMBER, DPI_NATIVE_TYPE_BYTES, TN_T_NULL, false},
    {DPI_ORACLE_TYPE_NATIVE_INT, DPI_NATIVE_TYPE_INT64, TN_T_INT, false},
    {DPI_ORACLE_TYPE_NATIVE_FLOAT, DPI_NATIVE_TYPE_FLOAT, TN_T_FLOAT, false},
    {DPI_ORACLE_TYPE_NATIVE_DOUBLE, DPI_NATIVE_TYPE_DOUBLE, TN_T_FLOAT, false},
    {DPI_ORACLE_TYPE_BOOLEAN, DPI_NATIVE_TYPE_BOOLEAN, TN_T_BOOL, false},
    {DPI_ORACLE_TYPE_RAW, DPI_NATIVE_TYPE_BYTES, TN_T_BYTES, false},
    {DPI_ORACLE_TYPE_DATE, DPI_NATIVE_TYPE_TIMESTAMP, TN_T_TIME, false},
    {DPI_ORACLE_TYPE_TIMESTAMP, DPI_NATIVE_TYPE_TIMESTAMP, TN_T_TIME, false},
    {DPI_ORACLE_TYPE_TIMESTAMP_TZ, DPI_NATIVE_TYPE_TIMESTAMP, TN_T_TIME, false},
    {DPI_ORACLE_TYPE_TIMESTAMP_LTZ, DPI_NATIVE_TYPE_TIMESTAMP, TN_T_TIME, false},
    {DPI_ORACLE_TYPE_INTERVAL_DS, DPI_NATIVE_TYPE_INTERVAL_DS, TN_T_SPAN, false},
    {DPI_ORACLE_TYPE_INTERVAL_YM, DPI_NATIVE_TYPE_INTERVAL_YM, TN_T_STR, false},
    {DPI_ORACLE_TYPE_ROWID, DPI_NATIVE_TYPE_ROWID, TN_T_STR, false},
    {DPI_ORACLE_TYPE_UROWID, DPI_NATIVE_TYPE_ROWID, TN_T_STR, false},
    {DPI_ORACLE_TYPE_CLOB, DPI_NATIVE_TYPE_LOB, TN_T_NULL, true},
    {DPI_ORACLE_TYPE_NCLOB, DPI_NATIVE_TYPE_LOB, TN_T_NULL, true},
    {DPI_ORACLE_TYPE_BLOB, DPI_NATIVE_TYPE_LOB, TN_T_BYTES, true},
    {DPI_ORACLE_TYPE_LONG_VARCHAR, DPI_NATIVE_TYPE_BYTES, TN_T_NULL, true},
    {DPI_ORACLE_TYPE_LONG_RAW, DPI_NATIVE_TYPE_BYTES, TN_T_BYTES, true},
    {DPI_ORACLE_TYPE_XMLTYPE, DPI_NATIVE_TYPE_BYTES, TN_T_NULL, true},
};
/* What has no form of its own here, and what to write instead. */
static const struct {
    dpiOracleTypeNum type;
    const char *what;
} foreign[] = {
    {DPI_ORACLE_TYPE_JSON, "JSON; select JSON_SERIALIZE(it RETURNING CLOB)"},
    {DPI_ORACLE_TYPE_VECTOR, "VECTOR; select FROM_VECTOR(it RETURNING CLOB)"},
    {DPI_ORACLE_TYPE_OBJECT, "an object type; select its attributes"},
    {DPI_ORACLE_TYPE_STMT, "a cursor; return it from a block with call()"},
    {DPI_ORACLE_TYPE_BFILE, "BFILE; read it with DBMS_LOB.LOADBLOBFROMFILE"},
};

static size_t type_index(dpiOracleTypeNum type)
{
    size_t i = 0;
    while (i < sizeof types / sizeof *types && types[i].type != type) {
        i++;
    }
    return i;
}

/* ---- describing -------------------------------------------------------------------------------------- */

static tn_rc unknown_type(const dpiQueryInfo *info, tn_err *err)
{
    const char *what = "a type that this connector does not know";
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++) {
        what = foreign[i].type == info->typeInfo.oracleTypeNum ? foreign[i].what : what;
    }
    return ora_host->fail(err, TN_E_UNSUPP, "column %.*s is of %s", (int)info->nameLength,
                          info->name, what);
}

static tn_rc describe(struct ora_query *q, size_t *ret_width, tn_err *err)
{
    tn_rc rc = TN_OK;
    for (uint32_t i = 0; rc == TN_OK && i < q->ncols; i++) {
        dpiQueryInfo info;
        if (dpiStmt_getQueryInfo(q->stmt, i + 1, &info) != DPI_SUCCESS) {
            return ora_error(err);
        }
        size_t t = type_index(info.typeInfo.oracleTypeNum);
        if (t == sizeof types / sizeof *types) {
            return unknown_type(&info, err);
        }
        q->cols[i].type = info.typeInfo;
        rc = cells_name(ora_host, &q->shape, i, info.name, info.nameLength, types[t].cells, err);
        *ret_width += types[t].late ? LATE_WIDTH : info.typeInfo.clientSizeInBytes + 32u;
    }
    return rc;
}

tn_rc ora_rows_open(struct ora_conn *c, dpiStmt *stmt, struct ora_query *ret, tn_err *err)
{
    struct ora_query q = {.stmt = stmt};
    size_t width = 1;
    if (dpiStmt_getNumQueryColumns(stmt, &q.ncols) != DPI_SUCCESS) {
        return ora_error(err);
    }
    tn_rc rc = cells_init(ora_host, &q.shape, q.ncols, (size_t)c->conf.max_result.n, err);
    q.cols = calloc((size_t)q.ncols + 1, sizeof *q.cols);
    if (rc == TN_OK && q.cols == NULL) {
        rc = ora_host->fail(err, TN_E_NOMEM, "no memory for the result");
    }
    rc = rc == TN_OK ? describe(&q, &width, err) : rc;
    uint32_t n = (uint32_t)c->conf.array_size;
    n = width * n > ARRAY_BYTES ? (uint32_t)(ARRAY_BYTES / width) : n;
    n = n < 1 ? 1 : n;
    if (rc == TN_OK && dpiStmt_setFetchArraySize(stmt, n) != DPI_SUCCESS) {
        rc = ora_error(err);
    }
    for (uint32_t i = 0; rc == TN_OK && i < q.ncols; i++) {
        struct ora_column *col = &q.cols[i];
        if (dpiConn_newVar(
                c->dpi, col->type.oracleTypeNum, types[type_index(col->type.oracleTypeNum)].native,
                n, col->type.clientSizeInBytes, 1, 0, NULL, &col->var, &col->data) != DPI_SUCCESS ||
            dpiStmt_define(stmt, i + 1, col->var) != DPI_SUCCESS) {
            rc = ora_error(err);
        }
    }
    if (rc != TN_OK) {
        ora_rows_close(&q);
        return rc;
    }
    *ret = q;
    return TN_OK;
}

void ora_rows_close(struct ora_query *q)
{
    for (uint32_t i = 0; q->cols != NULL && i < q->ncols; i++) {
        if (q->cols[i].var != NULL) {
            dpiVar_release(q->cols[i].var);
        }
    }
    free(q->cols);
    cells_finish(&q->shape);
    *q = (struct ora_query){.stmt = q->stmt};
}

/* ---- values ------------------------------------------------------------------------------------------ */

/* FLOAT is a NUMBER whose precision is binary; a script wants a float. What has a scale stays a decimal, whatever the value. */
static void number(const dpiDataTypeInfo *type, const dpiBytes *b, tn_val *ret)
{
    char text[200];
    size_t n = b->length < sizeof text - 1 ? b->length : sizeof text - 1;
    memcpy(text, b->ptr, n);
    text[n] = '\0';
    if (type->scale == -127 && type->precision > 0) {
        *ret = (tn_val){.type = TN_T_FLOAT, .u.f = strtod(text, NULL)};
        return;
    }
    *ret = (tn_val){.type = TN_T_DECIMAL, .n = b->length, .u.s = b->ptr};
    if (type->scale > 0 || memchr(text, '.', n) != NULL || n > 19 + (text[0] == '-')) {
        return;
    }
    char *end = NULL;
    long long i;
    errno = 0;
    i = strtoll(text, &end, 10);
    if (errno == 0 && *end == '\0') {
        *ret = (tn_val){.type = TN_T_INT, .u.i = i};
    }
}

static tn_rc moment(const dpiDataTypeInfo *type, const dpiTimestamp *t, tn_val *ret, tn_err *err)
{
    bool zone = type->oracleTypeNum == DPI_ORACLE_TYPE_TIMESTAMP_TZ ||
                type->oracleTypeNum == DPI_ORACLE_TYPE_TIMESTAMP_LTZ;
    if (t->year < 1) {
        return ora_host->fail(
            err, TN_E_REMOTE,
            "the date %d-%02d-%02d is before the first that Python has; select it with TO_CHAR",
            t->year, t->month, t->day);
    }
    int64_t minutes = t->hour * 60 + t->minute;
    if (zone) {
        minutes -= t->tzHourOffset * 60 + t->tzMinuteOffset;
    }
    *ret = (tn_val){.type = TN_T_TIME, .flags = zone ? 0 : TN_V_NAIVE};
    ret->u.i = civil_days(t->year, t->month, t->day) * 86400000000 +
               (minutes * 60 + t->second) * 1000000 + t->fsecond / 1000;
    return TN_OK;
}

static void text_value(tn_val *ret, const char *p, size_t n)
{
    *ret = (tn_val){.type = utf8_valid(p, n) ? TN_T_STR : TN_T_BYTES, .n = (uint32_t)n, .u.s = p};
}

/* A large value, whole: a part of a character set of several bytes would need to know where its characters end. */
static tn_rc large(const dpiDataTypeInfo *type, dpiLob *lob, size_t max, tn_val *ret,
                   char **scratch, tn_err *err)
{
    uint64_t size = 0, room = 0;
    bool binary = type->oracleTypeNum == DPI_ORACLE_TYPE_BLOB;
    if (dpiLob_getSize(lob, &size) != DPI_SUCCESS) {
        return ora_error(err);
    }
    if (size > max) {
        return ora_host->fail(err, TN_E_LIMIT, "a value of %llu is larger than max_result",
                              (unsigned long long)size);
    }
    if (dpiLob_getBufferSize(lob, size, &room) != DPI_SUCCESS) {
        return ora_error(err);
    }
    char *buf = malloc((size_t)room + 1);
    if (buf == NULL) {
        return ora_host->fail(err, TN_E_NOMEM, "no memory for a value of %llu bytes",
                              (unsigned long long)room);
    }
    *scratch = buf;
    if (size != 0 && dpiLob_readBytes(lob, 1, size, buf, &room) != DPI_SUCCESS) {
        return ora_error(err);
    }
    room = size == 0 ? 0 : room;
    if (room > max || room > UINT32_MAX) {
        return ora_host->fail(err, TN_E_LIMIT, "a value of %llu bytes is larger than max_result",
                              (unsigned long long)room);
    }
    if (binary) {
        *ret = (tn_val){.type = TN_T_BYTES, .n = (uint32_t)room, .u.s = buf};
    } else {
        text_value(ret, buf, (size_t)room);
    }
    return TN_OK;
}

static tn_rc months(const dpiIntervalYM *i, tn_val *ret, char **scratch, tn_err *err)
{
    char *text = malloc(40);
    if (text == NULL) {
        return ora_host->fail(err, TN_E_NOMEM, "no memory for the result");
    }
    *scratch = text;
    bool minus = i->years < 0 || i->months < 0;
    int n = snprintf(text, 40, "%s%d-%02d", minus ? "-" : "+", abs(i->years), abs(i->months));
    *ret = (tn_val){.type = TN_T_STR, .n = (uint32_t)n, .u.s = text};
    return TN_OK;
}

tn_rc ora_cell(const dpiDataTypeInfo *type, const dpiData *data, size_t max, tn_val *ret,
               char **scratch, tn_err *err)
{
    const dpiIntervalDS *s = &data->value.asIntervalDS;
    const char *text = NULL;
    uint32_t n = 0;
    *ret = (tn_val){.type = TN_T_NULL};
    if (data->isNull) {
        return TN_OK;
    }
    switch (types[type_index(type->oracleTypeNum)].native) {
    case DPI_NATIVE_TYPE_INT64:
        *ret = (tn_val){.type = TN_T_INT, .u.i = data->value.asInt64};
        return TN_OK;
    case DPI_NATIVE_TYPE_FLOAT:
        *ret = (tn_val){.type = TN_T_FLOAT, .u.f = (double)data->value.asFloat};
        return TN_OK;
    case DPI_NATIVE_TYPE_DOUBLE:
        *ret = (tn_val){.type = TN_T_FLOAT, .u.f = data->value.asDouble};
        return TN_OK;
    case DPI_NATIVE_TYPE_BOOLEAN:
        *ret = (tn_val){.type = TN_T_BOOL, .u.i = data->value.asBoolean != 0};
        return TN_OK;
    case DPI_NATIVE_TYPE_TIMESTAMP:
        return moment(type, &data->value.asTimestamp, ret, err);
    case DPI_NATIVE_TYPE_INTERVAL_DS:
        if (abs(s->days) > DAYS_MAX) {
            return ora_host->fail(
                err, TN_E_REMOTE,
                "an interval of %d days is too long; select it with EXTRACT or as text", s->days);
        }
        *ret = (tn_val){.type = TN_T_SPAN};
        ret->u.i = ((s->days * 24ll + s->hours) * 3600 + s->minutes * 60ll + s->seconds) * 1000000 +
                   s->fseconds / 1000;
        return TN_OK;
    case DPI_NATIVE_TYPE_INTERVAL_YM:
        return months(&data->value.asIntervalYM, ret, scratch, err);
    case DPI_NATIVE_TYPE_ROWID:
        if (dpiRowid_getStringValue(data->value.asRowid, &text, &n) != DPI_SUCCESS) {
            return ora_error(err);
        }
        *ret = (tn_val){.type = TN_T_STR, .n = n, .u.s = text};
        return TN_OK;
    case DPI_NATIVE_TYPE_LOB:
        return large(type, data->value.asLOB, max, ret, scratch, err);
    default:
        break;
    }
    const dpiBytes *b = &data->value.asBytes;
    if (type->oracleTypeNum == DPI_ORACLE_TYPE_NUMBER) {
        number(type, b, ret);
    } else if (types[type_index(type->oracleTypeNum)].cells == TN_T_BYTES) {
        *ret = (tn_val){.type = TN_T_BYTES, .n = b->length, .u.s = b->ptr};
    } else {
        text_value(ret, b->ptr, b->length);
    }
    return TN_OK;
}

/* ---- fetching ---------------------------------------------------------------------------------------- */

static tn_rc take_row(struct ora_conn *c, struct ora_query *q, uint32_t row, struct cells *to,
                      tn_err *err)
{
    tn_rc rc = TN_OK;
    if (atomic_load(&c->stopped)) {
        return ora_host->fail(err, TN_E_TIMEOUT, "stopped");
    }
    for (uint32_t i = 0; rc == TN_OK && i < q->ncols; i++) {
        tn_val v;
        char *scratch = NULL;
        rc = ora_cell(&q->cols[i].type, &q->cols[i].data[row], q->shape.max, &v, &scratch, err);
        rc = rc == TN_OK ? cells_put(ora_host, to, &v, err) : rc;
        free(scratch);
    }
    return rc;
}

/* A whole result is bounded by max_result; of a stream that ends a piece early, and only a single value can be too large. */
tn_rc ora_rows_fetch(struct ora_conn *c, struct ora_query *q, struct cells *to, uint64_t max,
                     bool *ret_end, tn_err *err)
{
    bool stream = max != UINT64_MAX;
    tn_rc rc = cells_like(ora_host, &q->shape, to, err);
    int more = 1;
    to->max = stream ? 0 : q->shape.max;
    *ret_end = false;
    while (rc == TN_OK && cells_rows(to) < max && more != 0 &&
           !(stream && to->bytes > q->shape.max / 2)) {
        uint64_t want = stream && max - cells_rows(to) > STREAM_ROWS ? STREAM_ROWS
                                                                     : max - cells_rows(to);
        uint32_t first = 0, n = 0;
        if (dpiStmt_fetchRows(q->stmt, want > UINT32_MAX ? UINT32_MAX : (uint32_t)want, &first, &n,
                              &more) != DPI_SUCCESS) {
            return ora_error(err);
        }
        for (uint32_t i = 0; rc == TN_OK && i < n; i++) {
            rc = take_row(c, q, first + i, to, err);
        }
    }
    *ret_end = more == 0;
    return rc;
}
