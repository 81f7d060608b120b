/* SPDX-License-Identifier: Apache-2.0 */
/* JSON text: strict scanning without a tree, and sinks that write or record. */
#pragma once
#include "kernel/base/buf.h"
#include <tenon/host.h>
#include <tenon/value.h>

#define JSON_MAX_DEPTH 64
#define JSON_MAX_KEYS  10000

/* See tn_host_json.scan. */
tn_rc json_scan(tn_str text, uint32_t *ret_kind, tn_json_member *ret, uint32_t cap, uint32_t *ret_n,
                tn_err *err);
size_t json_quote(tn_str s, char *out, size_t cap);
size_t json_unquote(tn_str raw, char *out, size_t cap);
extern const tn_host_json json_host_ops; /* the three, as plugins get them */
/* Writes v (LIST and MAP too) as JSON: TIME as ISO 8601, BYTES as text when UTF-8 else base64,
 * non-finite floats as null. */
tn_rc json_write(struct buf *out, const tn_val *v, tn_err *err);

/* A sink that writes JSON into `out`. */
struct json_sink {
    tn_sink sink;
    struct buf *out;
    const tn_col *cols;
    uint32_t ncols;
    uint32_t depth;
    uint8_t first[JSON_MAX_DEPTH + 1];
    int after_key;
};
void json_sink_init(struct json_sink *s, struct buf *out);
