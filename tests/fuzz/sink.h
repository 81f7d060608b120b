/* SPDX-License-Identifier: Apache-2.0 */
/* A sink for fuzz targets: a hash of what was told, which may not depend on how the input was cut. It reads every byte, and judges
 * that texts are UTF-8, as the contract has it. */
#pragma once
#include "connectors/common/utf8.h"

#include <stdint.h>
#include <stdlib.h>
#include <tenon/value.h>

static struct {
    uint64_t hash;
    uint32_t ncols;
    size_t rows;
} told;

static tn_rc mix(const void *p, size_t n)
{
    const uint8_t *s = p;
    for (size_t i = 0; i < n; i++) {
        told.hash = (told.hash ^ s[i]) * 0x100000001B3u;
    }
    told.hash = (told.hash ^ n ^ 0x9E37u) * 0x100000001B3u;
    return TN_OK;
}

static tn_rc sink_scalar(tn_sink *sink, const tn_val *v)
{
    mix(&v->type, 1);
    switch (v->type) {
    case TN_T_STR:
        if (!utf8_valid(v->u.s, v->n)) {
            abort();
        }
        return mix(v->u.s, v->n);
    case TN_T_BYTES:
    case TN_T_DECIMAL:
        return mix(v->u.s, v->n);
    case TN_T_LIST:
        for (uint32_t i = 0; i < v->n; i++) {
            sink_scalar(sink, &v->u.list[i]);
        }
        return TN_OK;
    case TN_T_MAP:
        for (uint32_t i = 0; i < v->n; i++) {
            sink_scalar(sink, &v->u.map[i].key);
            sink_scalar(sink, &v->u.map[i].val);
        }
        return TN_OK;
    case TN_T_NULL:
        return TN_OK;
    default:
        return mix(&v->u.i, sizeof v->u.i);
    }
}

static tn_rc sink_begin(tn_sink *sink, int64_t hint)
{
    (void)sink;
    return mix(&hint, sizeof hint);
}

static tn_rc sink_key(tn_sink *sink, const char *s, uint32_t n)
{
    (void)sink;
    return mix(s, n);
}

static tn_rc sink_end(tn_sink *sink)
{
    (void)sink;
    return mix("e", 1);
}

static tn_rc sink_table(tn_sink *sink, const tn_col *cols, uint32_t ncols, int64_t hint)
{
    (void)sink;
    told.ncols = ncols;
    for (uint32_t i = 0; i < ncols; i++) {
        mix(cols[i].name, cols[i].name_len);
        mix(&cols[i].type, sizeof cols[i].type);
    }
    return mix(&hint, sizeof hint);
}

static tn_rc sink_row(tn_sink *sink, const tn_val *cells)
{
    told.rows++;
    for (uint32_t i = 0; i < told.ncols; i++) {
        sink_scalar(sink, &cells[i]);
    }
    return TN_OK;
}

static tn_rc sink_table_end(tn_sink *sink, int64_t affected)
{
    (void)sink;
    return mix(&affected, sizeof affected);
}

static const tn_sink_ops sink_ops = {.size = sizeof sink_ops,
                                     .scalar = sink_scalar,
                                     .list_begin = sink_begin,
                                     .list_end = sink_end,
                                     .map_begin = sink_begin,
                                     .key = sink_key,
                                     .map_end = sink_end,
                                     .table_begin = sink_table,
                                     .row = sink_row,
                                     .table_end = sink_table_end};
