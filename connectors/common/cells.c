/* SPDX-License-Identifier: Apache-2.0 */
/* Cells one after the other in chunks of memory: type, flags, length, then eight bytes or the text. A cell is in one piece. */
#include "common/cells.h"

#include <stdlib.h>
#include <string.h>

struct head {
    uint8_t type, flags;
    uint32_t n;
};

static int is_text(uint8_t type)
{
    return type == TN_T_STR || type == TN_T_BYTES || type == TN_T_DECIMAL;
}

static tn_rc no_memory(const tn_host *host, tn_err *err)
{
    return host->fail(err, TN_E_NOMEM, "no memory for the result");
}

tn_rc cells_init(const tn_host *host, struct cells *c, uint32_t n, size_t max, tn_err *err)
{
    *c = (struct cells){.ncols = n, .max = max};
    c->cols = calloc((size_t)n + 1, sizeof *c->cols);
    return c->cols != NULL ? TN_OK : no_memory(host, err);
}

tn_rc cells_name(const tn_host *host, struct cells *c, uint32_t i, const char *name, size_t n,
                 uint32_t type, tn_err *err)
{
    char *copy = malloc(n + 1);
    if (copy == NULL) {
        return no_memory(host, err);
    }
    memcpy(copy, name, n);
    copy[n] = '\0';
    free((void *)c->cols[i].name);
    c->cols[i] = (tn_col){.name = copy, .name_len = (uint32_t)n, .type = type};
    return TN_OK;
}

tn_rc cells_like(const tn_host *host, const struct cells *from, struct cells *ret, tn_err *err)
{
    tn_rc rc = cells_init(host, ret, from->ncols, from->max, err);
    for (uint32_t i = 0; rc == TN_OK && i < from->ncols; i++) {
        const tn_col *col = &from->cols[i];
        rc = cells_name(host, ret, i, col->name, col->name_len, col->type, err);
    }
    if (rc != TN_OK) {
        cells_finish(ret);
    }
    return rc;
}

void cells_finish(struct cells *c)
{
    for (uint32_t i = 0; c->cols != NULL && i < c->ncols; i++) {
        free((void *)c->cols[i].name);
    }
    free(c->cols);
    chunks_finish(&c->data);
    *c = (struct cells){.ncols = 0};
}

tn_rc cells_put(const tn_host *host, struct cells *c, const tn_val *v, tn_err *err)
{
    size_t n = is_text(v->type) ? v->n : v->type == TN_T_NULL ? 0 : sizeof v->u.i;
    struct head head = {.type = v->type, .flags = v->flags, .n = (uint32_t)n};
    if (c->max != 0 && c->bytes + sizeof head + n > c->max) {
        return host->fail(
            err, TN_E_LIMIT,
            "the result is larger than max_result; ask for fewer rows or use stream()");
    }
    char *at = chunks_room(&c->data, sizeof head + n);
    if (at == NULL) {
        return no_memory(host, err);
    }
    memcpy(at, &head, sizeof head);
    if (n != 0) {
        memcpy(at + sizeof head, is_text(v->type) ? v->u.s : (const char *)&v->u, n);
    }
    c->bytes += sizeof head + n;
    c->put++;
    return TN_OK;
}

uint64_t cells_rows(const struct cells *c)
{
    return c->ncols != 0 ? c->put / c->ncols : 0;
}

static const char *read_cell(const char *at, tn_val *ret)
{
    struct head head;
    memcpy(&head, at, sizeof head);
    at += sizeof head;
    *ret = (tn_val){.type = head.type, .flags = head.flags};
    if (is_text(head.type)) {
        ret->n = head.n;
        ret->u.s = at;
    } else if (head.n != 0) {
        memcpy(&ret->u, at, sizeof ret->u);
    }
    return at + head.n;
}

void cells_first(const struct cells *c, tn_val *ret)
{
    if (c->data.first != NULL) {
        read_cell(c->data.first->data, ret);
    }
}

static tn_rc emit_rows(const struct cells *c, tn_val *row, tn_sink *sink)
{
    uint32_t i = 0;
    tn_rc rc = TN_OK;
    for (const struct chunk *k = c->data.first; rc == TN_OK && k != NULL; k = k->next) {
        for (const char *at = k->data, *end = at + k->n; rc == TN_OK && at < end;) {
            at = read_cell(at, &row[i]);
            if (++i == c->ncols) { /* chunks may end inside a row; they live until all is told */
                i = 0;
                rc = sink->ops->row(sink, row);
            }
        }
    }
    return rc;
}

tn_rc cells_emit(const tn_host *host, const struct cells *c, tn_sink *sink, tn_err *err)
{
    static const tn_col none;
    tn_val *row = calloc((size_t)c->ncols + 1, sizeof *row);
    if (row == NULL) {
        return no_memory(host, err);
    }
    tn_rc rc = sink->ops->table_begin(sink, c->cols != NULL ? c->cols : &none, c->ncols,
                                      (int64_t)cells_rows(c));
    rc = rc == TN_OK ? emit_rows(c, row, sink) : rc;
    rc = rc == TN_OK ? sink->ops->table_end(sink, -1) : rc;
    free(row);
    return rc;
}
