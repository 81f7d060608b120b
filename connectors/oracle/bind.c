/* SPDX-License-Identifier: Apache-2.0 */
/* Values as variables of the client library: a type for each column of rows that all its values fit. */
#include "oracle.h"

#include "common/civil.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DAY_US 86400000000ll

enum { K_NONE, K_NUMBER, K_DOUBLE, K_TEXT, K_RAW, K_DATE, K_STAMP, K_STAMP_TZ, K_SPAN };
static const struct {
    dpiOracleTypeNum type, large; /* large: of more than LARGE bytes */
    dpiNativeTypeNum native;
} kinds[] = {
    [K_NONE] = {DPI_ORACLE_TYPE_VARCHAR, DPI_ORACLE_TYPE_VARCHAR, DPI_NATIVE_TYPE_BYTES},
    [K_NUMBER] = {DPI_ORACLE_TYPE_NUMBER, DPI_ORACLE_TYPE_NUMBER, DPI_NATIVE_TYPE_BYTES},
    [K_DOUBLE] = {DPI_ORACLE_TYPE_NATIVE_DOUBLE, DPI_ORACLE_TYPE_NATIVE_DOUBLE,
                  DPI_NATIVE_TYPE_DOUBLE},
    [K_TEXT] = {DPI_ORACLE_TYPE_VARCHAR, DPI_ORACLE_TYPE_LONG_VARCHAR, DPI_NATIVE_TYPE_BYTES},
    [K_RAW] = {DPI_ORACLE_TYPE_RAW, DPI_ORACLE_TYPE_LONG_RAW, DPI_NATIVE_TYPE_BYTES},
    [K_DATE] = {DPI_ORACLE_TYPE_DATE, DPI_ORACLE_TYPE_DATE, DPI_NATIVE_TYPE_TIMESTAMP},
    [K_STAMP] = {DPI_ORACLE_TYPE_TIMESTAMP, DPI_ORACLE_TYPE_TIMESTAMP, DPI_NATIVE_TYPE_TIMESTAMP},
    [K_STAMP_TZ] = {DPI_ORACLE_TYPE_TIMESTAMP_TZ, DPI_ORACLE_TYPE_TIMESTAMP_TZ,
                    DPI_NATIVE_TYPE_TIMESTAMP},
    [K_SPAN] = {DPI_ORACLE_TYPE_INTERVAL_DS, DPI_ORACLE_TYPE_INTERVAL_DS,
                DPI_NATIVE_TYPE_INTERVAL_DS},
};
#define LARGE 32767

/* A float is a NUMBER where it fits, so that an index on a NUMBER can be used; outside of 1e-130 … 1e126 it cannot be. */
static int kind_of_float(double f)
{
    return f == 0 || (isfinite(f) && fabs(f) < 1e125 && fabs(f) > 1e-125) ? K_NUMBER : K_DOUBLE;
}

static int kind_of(const tn_val *v)
{
    switch (v->type) {
    case TN_T_BOOL:
    case TN_T_INT:
    case TN_T_DECIMAL:
        return K_NUMBER;
    case TN_T_FLOAT:
        return kind_of_float(v->u.f);
    case TN_T_STR:
        return K_TEXT;
    case TN_T_BYTES:
        return K_RAW;
    case TN_T_DATE:
        return K_DATE;
    case TN_T_TIME: /* a DATE has seconds; as one it finds the index of a column of that type */
        return !(v->flags & TN_V_NAIVE) ? K_STAMP_TZ : v->u.i % 1000000 != 0 ? K_STAMP : K_DATE;
    case TN_T_CLOCK:
    case TN_T_SPAN:
        return K_SPAN;
    default:
        return K_NONE;
    }
}

/* The kind of both; K_NONE with anything is that; -1: there is none. */
static int join(int a, int b)
{
    if (a == b || b == K_NONE) {
        return a;
    }
    if (a == K_NONE) {
        return b;
    }
    int low = a < b ? a : b, high = a < b ? b : a;
    return (low == K_NUMBER && high == K_DOUBLE) || (low == K_DATE && high == K_STAMP) ? high : -1;
}

/* Shortest text that reads back as the same float. */
static int float_text(double f, char text[40])
{
    int n = 0;
    for (int digits = 15; digits <= 17; digits++) {
        n = snprintf(text, 40, "%.*g", digits, f);
        if (strtod(text, NULL) == f) {
            break;
        }
    }
    return n;
}

static int put_number(dpiVar *var, uint32_t row, const tn_val *v)
{
    char text[40];
    int n;
    if (v->type == TN_T_DECIMAL) {
        return dpiVar_setFromBytes(var, row, v->u.s, v->n);
    }
    n = v->type == TN_T_FLOAT ? float_text(v->u.f, text)
                              : snprintf(text, sizeof text, "%lld", (long long)v->u.i);
    return dpiVar_setFromBytes(var, row, text, (uint32_t)n);
}

static double as_double(const tn_val *v)
{
    char text[64];
    if (v->type == TN_T_DECIMAL) {
        snprintf(text, sizeof text, "%.*s", (int)v->n, v->u.s);
        return strtod(text, NULL);
    }
    return v->type == TN_T_FLOAT ? v->u.f : (double)v->u.i;
}

static void put_moment(dpiData *d, const tn_val *v)
{
    int64_t us = v->type == TN_T_DATE ? v->u.i * DAY_US : v->u.i, y = 0;
    int64_t days = us / DAY_US - (us % DAY_US < 0), clock = us - days * DAY_US;
    int month = 0, day = 0;
    civil_date(days, &y, &month, &day);
    dpiData_setTimestamp(d, (int16_t)y, (uint8_t)month, (uint8_t)day, (uint8_t)(clock / 3600000000),
                         (uint8_t)(clock / 60000000 % 60), (uint8_t)(clock / 1000000 % 60),
                         (uint32_t)(clock % 1000000 * 1000), 0, 0);
}

static int put(dpiVar *var, dpiData *data, uint32_t row, int kind, const tn_val *v)
{
    int64_t us = v->u.i;
    if (v->type == TN_T_NULL) {
        dpiData_setNull(&data[row]);
        return DPI_SUCCESS;
    }
    switch (kind) {
    case K_NUMBER:
        return put_number(var, row, v);
    case K_DOUBLE:
        dpiData_setDouble(&data[row], as_double(v));
        return DPI_SUCCESS;
    case K_TEXT:
    case K_RAW:
        return dpiVar_setFromBytes(var, row, v->u.s, v->n);
    case K_SPAN:
        dpiData_setIntervalDS(&data[row], (int32_t)(us / DAY_US), (int32_t)(us / 3600000000 % 24),
                              (int32_t)(us / 60000000 % 60), (int32_t)(us / 1000000 % 60),
                              (int32_t)(us % 1000000 * 1000));
        return DPI_SUCCESS;
    default:
        put_moment(&data[row], v);
        return DPI_SUCCESS;
    }
}

tn_rc ora_bind(struct ora_conn *c, const struct ora_values *in, uint32_t k, uint32_t first,
               uint32_t count, dpiVar **ret, tn_err *err)
{
    int kind = K_NONE, all = K_NONE;
    uint32_t size = 1;
    dpiVar *var = NULL;
    dpiData *data = NULL;
    for (uint32_t i = first; i < first + count; i++) {
        const tn_val *v = &in->v[(size_t)i * in->n + k];
        kind = join(all, kind_of(v));
        if (kind < 0) {
            return ora_host->fail(err, TN_E_INVAL,
                                  "row %u, value %u: another type than in the rows before", i,
                                  k + 1);
        }
        all = kind;
        size = (v->type == TN_T_STR || v->type == TN_T_BYTES) && v->n > size ? v->n : size;
    }
    if (dpiConn_newVar(c->dpi, size > LARGE ? kinds[all].large : kinds[all].type, kinds[all].native,
                       count, size, 1, 0, NULL, &var, &data) != DPI_SUCCESS) {
        return ora_error(err);
    }
    for (uint32_t i = 0; i < count; i++) {
        if (put(var, data, i, all, &in->v[(size_t)(first + i) * in->n + k]) != DPI_SUCCESS) {
            tn_rc rc = ora_error(err);
            dpiVar_release(var);
            return rc;
        }
    }
    *ret = var;
    return TN_OK;
}
