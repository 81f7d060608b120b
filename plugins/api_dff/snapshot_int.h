/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of a snapshot, between the snapshot*.c files only. */
#pragma once
#include "call_out.h"
#include "snapshot.h"
#include "snapshot_map.h"

#include <jansson.h>

struct snapshot {
    struct snap_arena arena;
    struct snap_map apis[SNAP_KINDS], funcs, scripts;
};

/* One row of a store's table; rows without an id are passed over. TN_E_NOMEM is the only error.
 * Scripts come before functions and these before APIs. */
tn_rc snap_add_script(const tn_host *host, struct snapshot *s, const json_t *row);
tn_rc snap_add_func(const tn_host *host, struct snapshot *s, const json_t *row);
tn_rc snap_add_sync_api(const tn_host *host, struct snapshot *s, const json_t *row);
tn_rc snap_add_async_api(const tn_host *host, struct snapshot *s, const json_t *row);

tn_str snap_row_text(const json_t *row, const char *key); /* absent when it is no text */
int64_t snap_row_int(const json_t *row, const char *key, int64_t dflt);
/* A JSON column: text in most stores, parsed already in some. New reference. */
json_t *snap_row_json(const json_t *row, const char *key);
