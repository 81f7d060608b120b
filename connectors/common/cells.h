/* SPDX-License-Identifier: Apache-2.0 */
/* Rows in memory, put in cell by cell and described to a sink as a table. Compiled into each plugin that names it. */
#pragma once
#include "common/chunks.h"

#include <tenon/tenon.h>

struct cells {
    tn_col *cols; /* owned, with their names */
    uint32_t ncols;
    struct chunks data;
    uint64_t put; /* cells */
    size_t bytes, max;
};
/* Room for the description of n columns; the names are put by cells_name(). */
tn_rc cells_init(const tn_host *host, struct cells *c, uint32_t n, size_t max, tn_err *err);
/* type: TN_T_* of the cells, TN_T_NULL when it varies. */
tn_rc cells_name(const tn_host *host, struct cells *c, uint32_t i, const char *name, size_t n,
                 uint32_t type, tn_err *err);
/* Description of the same columns, without rows. */
tn_rc cells_like(const tn_host *host, const struct cells *from, struct cells *ret, tn_err *err);
void cells_finish(struct cells *c); /* zeroed is allowed */
/* The next cell; no list and no map. Its bytes are copied. TN_E_LIMIT names max_result. */
tn_rc cells_put(const tn_host *host, struct cells *c, const tn_val *v, tn_err *err);
/* The first cell; its bytes are borrowed. Nothing happens when there is none. */
void cells_first(const struct cells *c, tn_val *ret);
uint64_t cells_rows(const struct cells *c);
/* A list of maps. */
tn_rc cells_emit(const tn_host *host, const struct cells *c, tn_sink *sink, tn_err *err);
