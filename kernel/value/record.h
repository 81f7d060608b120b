/* SPDX-License-Identifier: Apache-2.0 */
/* A sink that records a description as text, one call per line, for tests and traces:
 *   table id:INT name:STR
 *   row 1 "a"
 *   table_end -1 */
#pragma once
#include "kernel/base/buf.h"
#include <tenon/value.h>

struct record_sink {
    tn_sink sink;
    struct buf *out;
    const tn_col *cols;
    uint32_t ncols;
    uint32_t calls;   /* made so far */
    uint32_t fail_at; /* this call (1 = first) is answered with fail_rc; 0 = never */
    tn_rc fail_rc;
};
void record_sink_init(struct record_sink *s, struct buf *out);
/* One value in the notation of the record: null true 1 1.5 "text" bytes:00ff decimal:1.50
 * time:1700000000000000 naive:... date:19000 json:"{}" [1 2] {"a":1}. */
void record_val(struct buf *out, const tn_val *v);
const char *record_type_name(uint32_t type); /* "INT" */
