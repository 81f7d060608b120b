/* SPDX-License-Identifier: Apache-2.0 */
/* The store seen from handlers: host->entities with Jansson values. Helper threads. */
#pragma once
#include "api.h"

/* Up to 8 filters, built on the stack: filters_eq(&f, "scpt.id", text); values are copied. */
#define FILTERS_MAX 16
struct filters {
    tn_filter f[FILTERS_MAX];
    char *values[FILTERS_MAX]; /* owned JSON text */
    uint32_t n;
    bool failed;
};
void filters_add(struct filters *f, const char *column, uint32_t op, const json_t *value);
void filters_eq(struct filters *f, const char *column, tn_str value);
void filters_free(struct filters *f);

/* Rows as Jansson array; NULL on error. txn may be NULL. entity NULL: durable tasks. */
json_t *store_rows(tn_txn *txn, const char *entity, const tn_list *q, int64_t *ret_total,
                   tn_err *err);
/* All rows with column = value, with these hidden columns. */
json_t *store_where(tn_txn *txn, const char *entity, const char *column, tn_str value,
                    const char *const *extra, uint32_t nextra, tn_err *err);
/* The one row with column = value; NULL with err->rc TN_E_NOTFOUND when there is none. */
json_t *store_one(tn_txn *txn, const char *entity, const char *column, tn_str value,
                  const char *const *extra, uint32_t nextra, tn_err *err);
/* Inserts (row is borrowed); ret_id (malloc) may be NULL. */
tn_rc store_insert(tn_txn *txn, const char *entity, const json_t *row, char **ret_id, tn_err *err);
/* Sets the members of patch in the row(s) with column = value. */
tn_rc store_patch(tn_txn *txn, const char *entity, const char *column, tn_str value,
                  const json_t *patch, tn_err *err);
tn_rc store_delete(tn_txn *txn, const char *entity, const char *column, tn_str value,
                   int64_t *ret_count, tn_err *err);
/* Commits, or rolls back in a dry run. */
tn_rc store_finish(const struct api_req *r, tn_txn *txn, tn_err *err);
