/* SPDX-License-Identifier: Apache-2.0 */
/* One statement for many rows: sent as arrays of a bounded size, in one transaction. */
#include "oracle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARRAY_BYTES (16 * 1024 * 1024)
#define ARRAY_ROWS  10000

static uint32_t rows_at_once(const struct ora_values *in)
{
    size_t width = 1, n;
    for (uint32_t k = 0; k < in->n; k++) {
        size_t widest = 32;
        for (uint32_t i = 0; i < in->nrows; i++) {
            const tn_val *v = &in->v[(size_t)i * in->n + k];
            widest = (v->type == TN_T_STR || v->type == TN_T_BYTES) && v->n > widest ? v->n
                                                                                     : widest;
        }
        width += widest;
    }
    n = ARRAY_BYTES / width;
    return n < 1 ? 1 : n > ARRAY_ROWS ? ARRAY_ROWS : (uint32_t)n;
}

static tn_rc bind_rows(struct ora_conn *c, struct ora_job *job, dpiStmt *stmt, uint32_t first,
                       uint32_t count, tn_err *err)
{
    for (uint32_t k = 0; k < job->in.n; k++) {
        dpiVar *var = NULL;
        tn_rc rc = ora_bind(c, &job->in, k, first, count, &var, err);
        if (rc != TN_OK) {
            return rc;
        }
        rc = dpiStmt_bindByPos(stmt, k + 1, var) == DPI_SUCCESS ? TN_OK : ora_error(err);
        dpiVar_release(var);
        if (rc != TN_OK) {
            return rc;
        }
    }
    return TN_OK;
}

/* Those of the array's rows that the server refused, as rows of the result. */
static tn_rc take_errors(struct ora_job *job, dpiStmt *stmt, uint32_t first, tn_err *err)
{
    uint32_t n = 0;
    if (dpiStmt_getBatchErrorCount(stmt, &n) != DPI_SUCCESS) {
        return ora_error(err);
    }
    dpiErrorInfo *infos = n != 0 ? calloc(n, sizeof *infos) : NULL;
    tn_rc rc = TN_OK;
    if (n != 0 && infos == NULL) {
        return ora_host->fail(err, TN_E_NOMEM, "no memory for the errors of %u rows", n);
    }
    if (n != 0 && dpiStmt_getBatchErrors(stmt, n, infos) != DPI_SUCCESS) {
        rc = ora_error(err);
    }
    for (uint32_t i = 0; rc == TN_OK && i < n; i++) {
        const tn_val cells[] = {
            {.type = TN_T_INT, .u.i = (int64_t)first + infos[i].offset},
            {.type = TN_T_INT, .u.i = infos[i].code},
            {.type = TN_T_STR, .n = infos[i].messageLength, .u.s = infos[i].message},
        };
        for (size_t k = 0; rc == TN_OK && k < sizeof cells / sizeof *cells; k++) {
            rc = cells_put(ora_host, &job->rows, &cells[k], err);
        }
    }
    free(infos);
    return rc;
}

static tn_rc prepare_errors(struct ora_conn *c, struct ora_job *job, tn_err *err)
{
    static const char *const names[] = {"row", "code", "message"};
    tn_rc rc = cells_init(ora_host, &job->rows, 3, (size_t)c->conf.max_result.n, err);
    for (uint32_t i = 0; rc == TN_OK && i < 3; i++) {
        rc = cells_name(ora_host, &job->rows, i, names[i], strlen(names[i]),
                        i < 2 ? TN_T_INT : TN_T_STR, err);
    }
    return rc;
}

/* Which row it was that the server refused. */
static tn_rc refused_row(dpiStmt *stmt, uint32_t first, tn_err *err)
{
    uint64_t done = 0;
    tn_err said = TN_ERR_INIT;
    tn_rc rc = ora_error(&said);
    if (dpiStmt_getRowCount(stmt, &done) == DPI_SUCCESS && err != NULL) {
        *err = said;
        snprintf(err->msg, sizeof err->msg, "row %llu: %.440s", (unsigned long long)(first + done),
                 said.msg);
    }
    return rc;
}

tn_rc ora_many(struct ora_conn *c, struct ora_job *job, dpiStmt *stmt, tn_err *err)
{
    uint32_t step = rows_at_once(&job->in);
    tn_rc rc = job->keep_errors ? prepare_errors(c, job, err) : TN_OK;
    for (uint32_t first = 0; rc == TN_OK && first < job->in.nrows; first += step) {
        uint32_t count = job->in.nrows - first < step ? job->in.nrows - first : step;
        uint64_t n = 0;
        rc = bind_rows(c, job, stmt, first, count, err);
        if (rc == TN_OK && dpiStmt_executeMany(stmt,
                                               job->keep_errors ? DPI_MODE_EXEC_BATCH_ERRORS
                                                                : DPI_MODE_EXEC_DEFAULT,
                                               count) != DPI_SUCCESS) {
            rc = refused_row(stmt, first, err);
        }
        rc = rc == TN_OK && job->keep_errors ? take_errors(job, stmt, first, err) : rc;
        if (rc == TN_OK && dpiStmt_getRowCount(stmt, &n) != DPI_SUCCESS) {
            rc = ora_error(err);
        }
        job->affected += (int64_t)n;
    }
    if (rc == TN_OK && !c->transaction && dpiConn_commit(c->dpi) != DPI_SUCCESS) {
        rc = ora_error(err);
    }
    return rc;
}
