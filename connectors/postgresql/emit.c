/* SPDX-License-Identifier: Apache-2.0 */
/* Results described to a sink: a table of a query, rows of a stream, a number. */
#include "postgresql.h"

#include <stdlib.h>
#include <string.h>

/* What the cells of a row may need at most: bytes of their texts, two for each item of an array. */
static size_t row_room(const PGresult *res, int row, int ncols)
{
    size_t n = 16;
    for (int i = 0; i < ncols; i++) {
        n += 2 * (size_t)PQgetlength(res, row, i) + 2;
    }
    return n;
}

static tn_rc emit_row(const struct pg_result *r, const PGresult *res, int row, int ncols,
                      const uint8_t *plain, struct pg_scratch *s, tn_val *cells, tn_sink *sink)
{
    int convert = 0;
    for (int i = 0; i < ncols; i++) {
        convert |= !plain[i];
    }
    if (convert && pg_scratch_room(s, row_room(res, row, ncols)) < 0) {
        return TN_E_NOMEM;
    }
    for (int i = 0; i < ncols; i++) {
        if (PQgetisnull(res, row, i)) {
            cells[i] = (tn_val){.type = TN_T_NULL};
        } else {
            pg_value(s, PQftype(res, i), PQgetvalue(res, row, i), (size_t)PQgetlength(res, row, i),
                     r->ascii, &cells[i]);
        }
    }
    return sink->ops->row(sink, cells);
}

static tn_rc emit_table(const struct pg_result *r, tn_sink *sink, tn_err *err)
{
    const PGresult *first = r->n != 0 ? r->res[0] : NULL;
    int ncols = first != NULL ? PQnfields(first) : 0;
    int64_t nrows = 0;
    struct pg_scratch s = {0};
    tn_col *cols = calloc((size_t)ncols + 1, sizeof *cols);
    tn_val *cells = calloc((size_t)ncols + 1, sizeof *cells);
    uint8_t *plain = calloc((size_t)ncols + 1, 1);
    tn_rc rc = cols && cells && plain ? TN_OK
                                      : pg_host->fail(err, TN_E_NOMEM, "no memory for the result");
    for (int i = 0; rc == TN_OK && i < ncols; i++) {
        const char *name = PQfname(first, i);
        cols[i] = (tn_col){name, (uint32_t)strlen(name), pg_col_type(PQftype(first, i))};
        plain[i] = cols[i].type != TN_T_BYTES && cols[i].type != TN_T_LIST;
        if (r->ascii && cols[i].type == TN_T_STR) {
            cols[i].type = TN_T_NULL;
        }
    }
    for (uint32_t k = 0; k < r->n; k++) {
        nrows += PQntuples(r->res[k]);
    }
    rc = rc == TN_OK ? sink->ops->table_begin(sink, cols, (uint32_t)ncols, nrows) : rc;
    for (uint32_t k = 0; rc == TN_OK && k < r->n; k++) {
        int n = PQntuples(r->res[k]);
        for (int row = 0; rc == TN_OK && row < n; row++) {
            rc = emit_row(r, r->res[k], row, ncols, plain, &s, cells, sink);
        }
    }
    rc = rc == TN_OK ? sink->ops->table_end(sink, -1) : rc;
    pg_scratch_finish(&s);
    free(plain);
    free(cells);
    free(cols);
    return rc;
}

tn_rc pg_emit(void *inst, const tn_result *result, tn_sink *sink, tn_err *err)
{
    const struct pg_result *r = result->native;
    tn_val v = {.type = TN_T_NULL};
    (void)inst;
    switch (result->method) {
    case PG_QUERY:
    case PG_STREAM_NEXT:
        return emit_table(r, sink, err);
    case PG_NON_QUERY:
        v = (tn_val){.type = TN_T_INT, .u.i = r->number};
        break;
    default:
        break;
    }
    return sink->ops->scalar(sink, &v);
}

void pg_result_free(void *inst, tn_result *result)
{
    struct pg_result *r = result->native;
    (void)inst;
    for (uint32_t i = 0; r != NULL && i < r->n; i++) {
        PQclear(r->res[i]);
    }
    if (r != NULL) {
        free(r->res);
    }
    free(r);
    result->native = NULL;
}
