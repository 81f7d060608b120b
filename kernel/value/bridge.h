/* SPDX-License-Identifier: Apache-2.0 */
/* Between tn_val / tn_sink and Jansson trees, for the cold paths that want a tree. */
#pragma once
#include "kernel/base/arena.h"
#include "kernel/value/json.h"
#include <jansson.h>

/* Parses with json_scan()'s rules first, so that depth, keys and UTF-8 are bounded as everywhere.
 * Integers beyond 64 bits are TN_E_INVAL. */
tn_rc bridge_parse(tn_str text, json_t **ret, tn_err *err);
/* v as a new tree: TIME, DATE, BYTES, DECIMAL as json_write() shows them. */
tn_rc bridge_to_json(const tn_val *v, json_t **ret, tn_err *err);
/* A tree as a value: memory from `a`, text borrowed from the tree. TN_E_LIMIT beyond 64 levels. */
tn_rc bridge_from_json(const json_t *j, struct arena *a, tn_val *ret, tn_err *err);

/* A sink that builds a tree. */
struct bridge_sink {
    tn_sink sink;
    json_t *root; /* complete when the description is; bridge_sink_take() hands it over */
    json_t *stack[JSON_MAX_DEPTH];
    uint32_t depth;
    char *key; /* waits for its value */
    const tn_col *cols;
    uint32_t ncols;
    tn_err *err;
};
void bridge_sink_init(struct bridge_sink *s, tn_err *err); /* err may be NULL; kept */
void bridge_sink_finish(struct bridge_sink *s);
json_t *bridge_sink_take(struct bridge_sink *s); /* NULL when nothing whole was described */
