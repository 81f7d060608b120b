/* SPDX-License-Identifier: Apache-2.0 */
/* Results described to a sink: rows, a number, or everything that is known about a statement. */
#include "clickhouse.h"

#include <stdlib.h>
#include <string.h>

struct telling {
    tn_sink *sink;
    struct ch_scratch scratch;
    struct ch_clock clock;
    tn_col *cols;
    tn_val *cells;
    uint32_t ncols;
    tn_err *err;
};

static tn_rc prepare(struct telling *t, const struct ch_block *b)
{
    free(t->cols);
    free(t->cells);
    t->ncols = b != NULL ? b->ncols : 0;
    t->cols = calloc((size_t)t->ncols + 1, sizeof *t->cols);
    t->cells = calloc((size_t)t->ncols + 1, sizeof *t->cells);
    if (t->cols == NULL || t->cells == NULL) {
        return ch_host->fail(t->err, TN_E_NOMEM, "no memory for the result");
    }
    for (uint32_t i = 0; i < t->ncols; i++) {
        t->cols[i] = (tn_col){b->names[i], b->name_lens[i], ch_cell_type(b->cols[i].type)};
    }
    return TN_OK;
}

static tn_rc tell_rows(struct telling *t, const struct ch_block *b, size_t from, size_t n)
{
    tn_rc rc = TN_OK;
    if (b->ncols != t->ncols) {
        return ch_host->fail(t->err, TN_E_REMOTE,
                             "the blocks of the result have different columns");
    }
    for (size_t row = from; rc == TN_OK && row < from + n; row++) {
        ch_scratch_reset(&t->scratch);
        for (uint32_t i = 0; i < t->ncols; i++) {
            ch_cell(&t->scratch, &b->cols[i], row, &t->cells[i]);
        }
        rc = t->scratch.failed ? ch_host->fail(t->err, TN_E_NOMEM, "no memory for a row")
                               : t->sink->ops->row(t->sink, t->cells);
    }
    return rc;
}

static tn_rc tell_table(struct telling *t, const struct ch_part *first, size_t from, size_t window)
{
    size_t n = 0;
    for (const struct ch_part *p = first; p != NULL; p = p->next) {
        n += p->block.nrows;
    }
    n = window != SIZE_MAX ? window : n;
    tn_rc rc = prepare(t, first != NULL ? &first->block : NULL);
    rc = rc == TN_OK ? t->sink->ops->table_begin(t->sink, t->cols, t->ncols, (int64_t)n) : rc;
    for (const struct ch_part *p = first; rc == TN_OK && p != NULL;
         p = window != SIZE_MAX ? NULL : p->next) {
        rc = tell_rows(t, &p->block, from, window != SIZE_MAX ? window : p->block.nrows);
    }
    return rc == TN_OK ? t->sink->ops->table_end(t->sink, -1) : rc;
}

static tn_rc key(struct telling *t, const char *name)
{
    return t->sink->ops->key(t->sink, name, (uint32_t)strlen(name));
}

static tn_rc tell_columns(struct telling *t, const struct ch_part *first)
{
    tn_rc rc = t->sink->ops->list_begin(t->sink, first != NULL ? first->block.ncols : 0);
    for (uint32_t i = 0; rc == TN_OK && first != NULL && i < first->block.ncols; i++) {
        const struct ch_type *type = first->block.cols[i].type;
        const tn_val both[2] = {ch_text(first->block.names[i], first->block.name_lens[i]),
                                ch_text(type->text, type->text_n)};
        const tn_val pair = {.type = TN_T_LIST, .flags = TN_V_TUPLE, .n = 2, .u.list = both};
        rc = t->sink->ops->scalar(t->sink, &pair);
    }
    return rc == TN_OK ? t->sink->ops->list_end(t->sink) : rc;
}

static tn_rc tell_stat(struct telling *t, const struct ch_stat *s)
{
    const struct {
        const char *name;
        uint64_t v;
        bool known;
    } rows[] = {
        {"read_rows", s->read_rows, true},
        {"read_bytes", s->read_bytes, true},
        {"written_rows", s->written_rows, true},
        {"written_bytes", s->written_bytes, true},
        {"rows_before_limit", s->rows_before_limit, s->has_rows_before_limit},
    };
    tn_rc rc = t->sink->ops->map_begin(t->sink, -1);
    for (size_t i = 0; rc == TN_OK && i < sizeof rows / sizeof *rows; i++) {
        const tn_val v = {.type = rows[i].known ? TN_T_INT : TN_T_NULL, .u.i = (int64_t)rows[i].v};
        rc = key(t, rows[i].name);
        rc = rc == TN_OK ? t->sink->ops->scalar(t->sink, &v) : rc;
    }
    return rc == TN_OK ? t->sink->ops->map_end(t->sink) : rc;
}

/* {"columns": …, "rows": …, "totals": …, "extremes": …, "statistics": …} */
static tn_rc tell_all(struct telling *t, const struct ch_result *r)
{
    const struct {
        const char *name;
        const struct ch_part *first;
    } tables[] = {{"rows", r->first}, {"totals", r->totals}, {"extremes", r->extremes}};
    tn_rc rc = t->sink->ops->map_begin(t->sink, 5);
    rc = rc == TN_OK ? key(t, "columns") : rc;
    rc = rc == TN_OK ? tell_columns(t, r->first) : rc;
    for (size_t i = 0; rc == TN_OK && i < sizeof tables / sizeof *tables; i++) {
        rc = key(t, tables[i].name);
        rc = rc == TN_OK ? tell_table(t, tables[i].first, 0, SIZE_MAX) : rc;
    }
    rc = rc == TN_OK ? key(t, "statistics") : rc;
    rc = rc == TN_OK ? tell_stat(t, &r->stat) : rc;
    return rc == TN_OK ? t->sink->ops->map_end(t->sink) : rc;
}

tn_rc ch_emit(void *inst, const tn_result *result, tn_sink *sink, tn_err *err)
{
    const struct ch_result *r = result->native;
    struct telling t = {.sink = sink, .err = err};
    struct zones_clock server;
    tn_val v = {.type = TN_T_NULL};
    tn_rc rc;
    t.clock = zones_clock(&server, &((struct ch *)inst)->zones, r->zone);
    t.scratch.clock = &t.clock;
    switch (result->method) {
    case CH_QUERY:
        rc = tell_table(&t, r->first, 0, SIZE_MAX);
        break;
    case CH_STREAM_NEXT:
        rc = tell_table(&t, r->first, r->from, r->rows);
        break;
    case CH_EXECUTE:
        rc = tell_all(&t, r);
        break;
    case CH_NON_QUERY:
    case CH_INSERT:
        v = (tn_val){.type = TN_T_INT, .u.i = r->number};
        rc = sink->ops->scalar(sink, &v);
        break;
    default:
        rc = sink->ops->scalar(sink, &v);
    }
    ch_scratch_finish(&t.scratch);
    free(t.cols);
    free(t.cells);
    return rc;
}

void ch_result_free(void *inst, tn_result *result)
{
    struct ch_result *r = result->native;
    (void)inst;
    if (r != NULL) {
        ch_result_drop(r);
        free(r);
    }
    result->native = NULL;
}
