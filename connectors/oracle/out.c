/* SPDX-License-Identifier: Apache-2.0 */
/* Variables that come out of a block: by the types that a script names, cursors with all their rows. */
#include "oracle.h"

#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    dpiOracleTypeNum type;
    dpiNativeTypeNum native;
    uint32_t size;
} kinds[] = {
    {"int", DPI_ORACLE_TYPE_NUMBER, DPI_NATIVE_TYPE_BYTES, 0},
    {"decimal", DPI_ORACLE_TYPE_NUMBER, DPI_NATIVE_TYPE_BYTES, 0},
    {"float", DPI_ORACLE_TYPE_NATIVE_DOUBLE, DPI_NATIVE_TYPE_DOUBLE, 0},
    {"str", DPI_ORACLE_TYPE_VARCHAR, DPI_NATIVE_TYPE_BYTES, 32767},
    {"bytes", DPI_ORACLE_TYPE_RAW, DPI_NATIVE_TYPE_BYTES, 32767},
    {"datetime", DPI_ORACLE_TYPE_TIMESTAMP, DPI_NATIVE_TYPE_TIMESTAMP, 0},
    {"datetime_tz", DPI_ORACLE_TYPE_TIMESTAMP_TZ, DPI_NATIVE_TYPE_TIMESTAMP, 0},
    {"timedelta", DPI_ORACLE_TYPE_INTERVAL_DS, DPI_NATIVE_TYPE_INTERVAL_DS, 0},
    {"bool", DPI_ORACLE_TYPE_BOOLEAN, DPI_NATIVE_TYPE_BOOLEAN, 0},
    {"clob", DPI_ORACLE_TYPE_CLOB, DPI_NATIVE_TYPE_LOB, 0},
    {"blob", DPI_ORACLE_TYPE_BLOB, DPI_NATIVE_TYPE_LOB, 0},
    {"cursor", DPI_ORACLE_TYPE_STMT, DPI_NATIVE_TYPE_STMT, 0},
};
#define KINDS (sizeof kinds / sizeof *kinds)

tn_rc ora_out_kind(const tn_val *type, struct ora_out *ret, tn_err *err)
{
    for (uint32_t i = 0; type->type == TN_T_STR && i < KINDS; i++) {
        if (strlen(kinds[i].name) == type->n && memcmp(kinds[i].name, type->u.s, type->n) == 0) {
            ret->kind = i;
            return TN_OK;
        }
    }
    return ora_host->fail(
        err, TN_E_INVAL,
        "out: a type is int, decimal, float, str, bytes, datetime, datetime_tz, timedelta, bool, "
        "clob, blob or cursor");
}

void ora_out_finish(struct ora_out *out, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        cells_finish(&out[i].rows);
        free(out[i].name);
    }
    free(out);
}

tn_rc ora_out_bind(struct ora_conn *c, struct ora_job *job, dpiStmt *stmt, tn_err *err)
{
    for (uint32_t i = 0; i < job->nout; i++) {
        struct ora_out *o = &job->out[i];
        dpiData *data = NULL;
        if (dpiConn_newVar(c->dpi, kinds[o->kind].type, kinds[o->kind].native, 1,
                           kinds[o->kind].size, 1, 0, NULL, &o->var, &data) != DPI_SUCCESS) {
            return ora_error(err);
        }
        o->data = data;
        if (dpiStmt_bindByName(stmt, o->name, (uint32_t)strlen(o->name), o->var) != DPI_SUCCESS) {
            return ora_error(err);
        }
    }
    return TN_OK;
}

void ora_out_release(struct ora_job *job)
{
    for (uint32_t i = 0; i < job->nout; i++) {
        if (job->out[i].var != NULL) {
            dpiVar_release(job->out[i].var);
            job->out[i].var = NULL;
        }
    }
}

static tn_rc take_cursor(struct ora_conn *c, struct ora_out *o, const dpiData *data, tn_err *err)
{
    struct ora_query q = {.stmt = NULL};
    bool end = false;
    tn_rc rc = ora_rows_open(c, data->value.asStmt, &q, err);
    if (rc == TN_OK) {
        rc = ora_rows_fetch(c, &q, &o->rows, UINT64_MAX, &end, err);
        ora_rows_close(&q);
    }
    return rc;
}

/* One value, as the only cell of a table. */
static tn_rc take_value(struct ora_conn *c, struct ora_out *o, const dpiData *data, tn_err *err)
{
    dpiDataTypeInfo type = {.oracleTypeNum = kinds[o->kind].type, .scale = -127};
    size_t max = (size_t)c->conf.max_result.n;
    char *scratch = NULL;
    tn_val v;
    tn_rc rc = cells_init(ora_host, &o->rows, 1, 0, err);
    rc = rc == TN_OK ? ora_cell(&type, data, max, &v, &scratch, err) : rc;
    rc = rc == TN_OK ? cells_put(ora_host, &o->rows, &v, err) : rc;
    free(scratch);
    return rc;
}

tn_rc ora_out_take(struct ora_conn *c, struct ora_job *job, bool returning, tn_err *err)
{
    tn_rc rc = TN_OK;
    for (uint32_t i = 0; rc == TN_OK && i < job->nout; i++) {
        struct ora_out *o = &job->out[i];
        const dpiData *data = o->data;
        dpiData none = {.isNull = 1}, *rows = NULL;
        uint32_t n = 1;
        if (returning) { /* RETURNING … INTO: of no row nothing, of several only a block can tell */
            if (dpiVar_getReturnedData(o->var, 0, &n, &rows) != DPI_SUCCESS) {
                return ora_error(err);
            }
            data = n != 0 ? rows : &none;
        }
        if (n > 1) {
            return ora_host->fail(err, TN_E_INVAL,
                                  "out: %u rows came back for %s, which can hold one", n, o->name);
        }
        o->cursor = kinds[o->kind].type == DPI_ORACLE_TYPE_STMT;
        rc = o->cursor ? take_cursor(c, o, data, err) : take_value(c, o, data, err);
    }
    return rc;
}

tn_rc ora_out_emit(const struct ora_job *job, tn_sink *sink, tn_err *err)
{
    tn_rc rc = sink->ops->map_begin(sink, job->nout);
    for (uint32_t i = 0; rc == TN_OK && i < job->nout; i++) {
        const struct ora_out *o = &job->out[i];
        tn_val v = {.type = TN_T_NULL};
        rc = sink->ops->key(sink, o->name, (uint32_t)strlen(o->name));
        if (rc == TN_OK && o->cursor) {
            rc = cells_emit(ora_host, &o->rows, sink, err);
        } else if (rc == TN_OK) {
            cells_first(&o->rows, &v);
            rc = sink->ops->scalar(sink, &v);
        }
    }
    return rc == TN_OK ? sink->ops->map_end(sink) : rc;
}
