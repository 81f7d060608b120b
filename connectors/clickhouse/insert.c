/* SPDX-License-Identifier: Apache-2.0 */
/* Rows to the server as blocks of columns, of the types its sample block tells. */
#include "clickhouse.h"

#include <stdlib.h>
#include <string.h>

#define BLOCK_ROWS 65536u

struct rows {
    const tn_val *v; /* each a list, or a dict */
    uint32_t n;
    const struct ch_block *sample;
};

/* The value of column `col` in a row; NULL: it has none. */
static const tn_val *pick(const struct rows *r, const tn_val *row, uint32_t col)
{
    if (row->type == TN_T_LIST) {
        return row->n == r->sample->ncols ? &row->u.list[col] : NULL;
    }
    for (uint32_t i = 0; row->type == TN_T_MAP && i < row->n; i++) {
        const tn_val *key = &row->u.map[i].key;
        if (key->type == TN_T_STR && key->n == r->sample->name_lens[col] &&
            memcmp(key->u.s, r->sample->names[col], key->n) == 0) {
            return &row->u.map[i].val;
        }
    }
    return NULL;
}

static tn_rc gather(const struct rows *r, uint32_t from, uint32_t n, uint32_t col,
                    const tn_val **cells, tn_err *err)
{
    for (uint32_t i = 0; i < n; i++) {
        const tn_val *row = &r->v[from + i];
        cells[i] = pick(r, row, col);
        if (cells[i] == NULL && row->type == TN_T_LIST) {
            return ch_host->fail(err, TN_E_INVAL, "row %u has %u values for %u columns",
                                 from + i + 1, row->n, r->sample->ncols);
        }
        if (cells[i] == NULL) {
            return ch_host->fail(
                err, TN_E_INVAL,
                "row %u has no value for column `%.80s`; a row is a list or a dict", from + i + 1,
                r->sample->names[col]);
        }
    }
    return TN_OK;
}

/* The number of the first row that a column does not take goes in front of what was said of it. */
static tn_rc name_row(struct ch_writer *w, const struct ch_type *t, const tn_val *const *cells,
                      uint32_t from, uint32_t n, tn_rc rc, tn_err *err)
{
    tn_err said = TN_ERR_INIT;
    struct ch_out scratch = {.p = NULL};
    struct ch_writer again = *w;
    again.out = &scratch;
    again.err = &said;
    for (uint32_t i = 0; rc == TN_E_INVAL && i < n; i++) {
        scratch.n = 0;
        if (ch_column_write(&again, t, &cells[i], 1) == TN_E_INVAL) {
            rc = ch_host->fail(err, rc, "row %u: %.400s", from + i + 1, said.msg);
            break;
        }
    }
    ch_out_finish(&scratch);
    return rc;
}

/* One block of n rows, appended to the request. */
static tn_rc put_rows(struct ch_conn *c, const struct rows *r, uint32_t from, uint32_t n,
                      const tn_val **cells, tn_err *err)
{
    static const uint8_t info[] = {1, 0, 2, 0xff, 0xff, 0xff, 0xff, 0};
    struct ch_out block = {.p = NULL};
    struct zones_clock server;
    struct ch_clock clock = zones_clock(&server, &c->inst->zones, c->zone);
    tn_rc rc = TN_OK;
    ch_put(&block, info, sizeof info);
    ch_putv(&block, r->sample->ncols);
    ch_putv(&block, n);
    for (uint32_t i = 0; rc == TN_OK && i < r->sample->ncols; i++) {
        const struct ch_type *t = r->sample->cols[i].type;
        struct ch_writer w = {ch_host, &block, &clock, r->sample->names[i], err};
        ch_put_text(&block, r->sample->names[i], r->sample->name_lens[i]);
        ch_put_text(&block, t->text, t->text_n);
        if (c->rev >= CH_REV_CUSTOM_COLUMNS) {
            ch_put8(&block, 0);
        }
        rc = gather(r, from, n, i, cells, err);
        if (rc == TN_OK && (rc = ch_column_write(&w, t, cells, n)) != TN_OK) {
            rc = name_row(&w, t, cells, from, n, rc, err);
        }
    }
    if (rc == TN_OK) {
        ch_put_block(c, &block);
    }
    ch_out_finish(&block);
    return rc;
}

/* All rows and the empty block behind them. What does not fit leaves an INSERT of no rows, so that nothing of it is
 * stored and the connection stays good. */
static tn_rc send_rows(struct ch_conn *c, const struct rows *r, tn_err *err)
{
    const tn_val **cells = malloc((BLOCK_ROWS + 1) * sizeof *cells);
    tn_rc rc = cells != NULL ? TN_OK : ch_host->fail(err, TN_E_NOMEM, "no memory for the rows");
    c->out.n = 0;
    for (uint32_t from = 0; rc == TN_OK && from < r->n; from += BLOCK_ROWS) {
        rc = put_rows(c, r, from, r->n - from < BLOCK_ROWS ? r->n - from : BLOCK_ROWS, cells, err);
    }
    free(cells);
    if (rc != TN_OK) {
        c->out.n = 0;
        c->out.failed = false;
    }
    ch_put_empty_block(c);
    tn_rc sent = ch_send(c, rc == TN_OK ? err : NULL);
    if (rc != TN_OK && (sent != TN_OK || ch_collect(c, NULL, NULL) != TN_OK)) {
        ch_broken(rc, err);
    }
    return rc != TN_OK ? rc : sent;
}

tn_rc ch_insert_values(struct ch_conn *c, const struct ch_block *sample, tn_str tail,
                       int64_t *ret_rows, tn_err *err)
{
    struct ch_mem mem = {.max = (size_t)1 << 40}; /* it is as large as the statement lets it be */
    tn_val rows = {.type = TN_T_LIST};
    tn_rc rc = ch_values_parse(ch_host, &mem, tail, &rows, err);
    struct rows r = {rows.u.list, rc == TN_OK ? rows.n : 0, sample};
    tn_rc sent = send_rows(c, &r, rc == TN_OK ? err : NULL);
    if (rc != TN_OK && (sent != TN_OK || ch_collect(c, NULL, NULL) != TN_OK)) {
        ch_broken(rc, err);
    }
    ch_mem_finish(&mem);
    *ret_rows = r.n;
    return rc != TN_OK ? rc : sent;
}

/* INSERT INTO ?? (??) VALUES: the names are quoted as any others. */
static tn_rc start(struct ch_conn *c, const tn_val *table, const tn_val *columns, const tn_args *a,
                   tn_err *err)
{
    struct sql_text text = {.sql = NULL};
    tn_str tail;
    const tn_val both[2] = {*table, *columns},
                 params = {.type = TN_T_LIST, .n = columns->n != 0 ? 2 : 1, .u.list = both};
    const struct ch_ask ask = {.sql = columns->n != 0 ? TN_STR("INSERT INTO ?\? (?\?) VALUES")
                                                      : TN_STR("INSERT INTO ?? VALUES"),
                               .params = &params,
                               .settings = a->npos > 3 ? &a->pos[3] : NULL,
                               .query_id = a->npos > 4 ? &a->pos[4] : NULL};
    tn_rc rc = ch_put_query(c, &ask, &text, &tail, err);
    sql_text_finish(&text);
    return rc;
}

/* The columns that were named, else the keys of the first row. */
static tn_rc columns_of(struct ch_mem *m, const tn_val *rows, const tn_val *given, tn_val *ret,
                        tn_err *err)
{
    tn_rc rc = TN_OK;
    const tn_val *first = rows->n != 0 ? &rows->u.list[0] : NULL;
    *ret = (tn_val){.type = TN_T_LIST};
    if (given != NULL && given->type == TN_T_LIST) {
        *ret = *given;
    } else if (given != NULL && given->type != TN_T_NULL) {
        return ch_host->fail(err, TN_E_INVAL, "columns must be a list of names");
    } else if (first != NULL && first->type == TN_T_MAP && first->n != 0) {
        tn_val *names = ch_alloc(m, first->n, sizeof *names, &rc);
        if (names == NULL) {
            return ch_host->fail(err, rc, "no memory for the names of columns");
        }
        for (uint32_t i = 0; i < first->n; i++) {
            names[i] = first->u.map[i].key;
        }
        *ret = (tn_val){.type = TN_T_LIST, .n = first->n, .u.list = names};
    }
    return TN_OK;
}

tn_rc ch_insert(struct ch_conn *c, const tn_args *a, uint64_t deadline_ns, struct ch_result *ret,
                tn_err *err)
{
    struct ch_mem mem = {.max = 1u << 24};
    struct ch_block sample = {.ncols = 0};
    tn_val columns;
    uint32_t type = 0;
    if (a->npos < 2 || a->pos[0].type != TN_T_STR || a->pos[1].type != TN_T_LIST) {
        return ch_host->fail(err, TN_E_INVAL,
                             "insert(table, rows): a name and a list of rows are needed");
    }
    const tn_val *rows = &a->pos[1];
    if (rows->n == 0) {
        return TN_OK;
    }
    ch_begin(c, deadline_ns);
    tn_rc rc = columns_of(&mem, rows, a->npos > 2 ? &a->pos[2] : NULL, &columns, err);
    rc = rc == TN_OK ? start(c, &a->pos[0], &columns, a, err) : rc;
    c->running = rc == TN_OK;
    rc = rc == TN_OK ? ch_send(c, err) : rc;
    while (rc == TN_OK && c->running && sample.ncols == 0) {
        ch_block_finish(&sample); /* also an empty one has memory */
        rc = ch_packet(c, 1u << 26, &type, &sample, err);
    }
    if (rc == TN_OK && sample.ncols != 0) {
        struct rows r = {rows->u.list, rows->n, &sample};
        rc = send_rows(c, &r, err);
    }
    rc = rc == TN_OK && c->running ? ch_collect(c, NULL, err) : rc;
    ret->number = rows->n;
    ch_block_finish(&sample);
    ch_mem_finish(&mem);
    return rc;
}
