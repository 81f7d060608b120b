/* SPDX-License-Identifier: Apache-2.0 */
/* The store's own tables and what they record. */
#pragma once
#include "kernel/store/internal.h"

/* Opens the writer, makes tn_migration and tn_meta, notes whether the database existed. */
tn_rc migrate_prepare(struct store *s, tn_err *err);
/* One value of tn_meta: TN_E_NOTFOUND when there is none. */
tn_rc meta_get(struct store *s, const char *key, struct buf *ret, tn_err *err);
tn_rc meta_put(struct store *s, const char *key, tn_str value, tn_err *err);

/* Inside store_define(), with the writer leased. */
tn_rc define_pending(struct lease *l, const tn_entity *entities, int *ret_new, int *ret_changes,
                     tn_err *err);
tn_rc define_tables(struct lease *l, const tn_entity *entities, tn_err *err);
/* The cells of the first column of all rows, as text, into `ret`. */
tn_rc lease_texts(struct lease *l, const char *sql, const tn_val *params, uint32_t n,
                  void (*each)(void *user, tn_str text), void *user, tn_err *err);
tn_rc lease_int(struct lease *l, const char *sql, const tn_val *params, uint32_t n, int64_t *ret,
                tn_err *err);
tn_val val_str(const char *z);
