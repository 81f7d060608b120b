/* SPDX-License-Identifier: Apache-2.0 */
/* Thin layer over host->entities: Jansson in and out, the common one-row cases. */
#include "store.h"

#include <stdlib.h>
#include <string.h>

#define CTX api.host->ctx
#define ENT api.host->entities

void filters_add(struct filters *f, const char *column, uint32_t op, const json_t *value)
{
    char *text = value != NULL ? json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    if (text == NULL || f->n == FILTERS_MAX) {
        free(text);
        f->failed = true;
        return;
    }
    f->values[f->n] = text;
    f->f[f->n++] = (tn_filter){.column = column, .op = op, .value = text_of(text)};
}

void filters_eq(struct filters *f, const char *column, tn_str value)
{
    json_t *v = json_stringn(value.s, value.n);
    filters_add(f, column, TN_OP_EQ, v);
    json_decref(v);
}

void filters_free(struct filters *f)
{
    for (uint32_t i = 0; i < f->n; i++) {
        free(f->values[i]);
    }
    *f = (struct filters){0};
}

json_t *store_rows(tn_txn *txn, const char *entity, const tn_list *q, int64_t *ret_total,
                   tn_err *err)
{
    tn_text text = {0};
    int64_t total = -1;
    tn_rc rc;
    if (entity != NULL) {
        rc = ENT->list(CTX, txn, entity, q, &text, &total, err);
    } else {
        entity = "task";
        rc = api.host->tasks != NULL
                 ? api.host->tasks->list(CTX, q, &text, &total, err)
                 : api.host->fail(err, TN_E_UNSUPP, "no durable tasks are kept");
    }
    if (rc != TN_OK) {
        return NULL;
    }
    json_error_t why;
    json_t *rows = json_loadb(text.s, text.n, JSON_ALLOW_NUL, &why);
    api.host->free(CTX, text.s);
    if (!json_is_array(rows)) {
        json_decref(rows);
        api.host->fail(err, TN_E_INTERNAL, "rows of %s are not readable: %s", entity, why.text);
        return NULL;
    }
    if (ret_total != NULL) {
        *ret_total = total;
    }
    return rows;
}

json_t *store_where(tn_txn *txn, const char *entity, const char *column, tn_str value,
                    const char *const *extra, uint32_t nextra, tn_err *err)
{
    struct filters f = {0};
    filters_eq(&f, column, value);
    tn_list q = {.size = sizeof q,
                 .filters = f.f,
                 .nfilters = f.n,
                 .extra = extra,
                 .nextra = nextra,
                 .limit = -1};
    json_t *rows = f.failed ? (api.host->fail(err, TN_E_INVAL, "%s is not text", column), NULL)
                            : store_rows(txn, entity, &q, NULL, err);
    filters_free(&f);
    return rows;
}

json_t *store_one(tn_txn *txn, const char *entity, const char *column, tn_str value,
                  const char *const *extra, uint32_t nextra, tn_err *err)
{
    json_t *rows = store_where(txn, entity, column, value, extra, nextra, err);
    if (rows == NULL) {
        return NULL;
    }
    json_t *row = json_incref(json_array_get(rows, 0));
    json_decref(rows);
    if (row == NULL) {
        api.host->fail(err, TN_E_NOTFOUND, "no %s with %s %.*s", entity, column,
                       (int)(value.n > 128 ? 128 : value.n), value.s);
    }
    return row;
}

tn_rc store_insert(tn_txn *txn, const char *entity, const json_t *row, char **ret_id, tn_err *err)
{
    char *text = json_dumps(row, JSON_COMPACT);
    if (text == NULL) {
        return api.host->fail(err, TN_E_NOMEM, "no memory for a row of %s", entity);
    }
    tn_text id = {0};
    tn_rc rc = ENT->insert(CTX, txn, entity, text_of(text), ret_id != NULL ? &id : NULL, err);
    free(text);
    if (rc == TN_OK && ret_id != NULL) {
        *ret_id = text_dup((tn_str){id.s, id.n});
        api.host->free(CTX, id.s);
        if (*ret_id == NULL) {
            return api.host->fail(err, TN_E_NOMEM, "no memory for an id of %s", entity);
        }
    }
    return rc;
}

tn_rc store_patch(tn_txn *txn, const char *entity, const char *column, tn_str value,
                  const json_t *patch, tn_err *err)
{
    if (json_object_size(patch) == 0) {
        return TN_OK;
    }
    struct filters f = {0};
    filters_eq(&f, column, value);
    char *text = json_dumps(patch, JSON_COMPACT);
    int64_t count = 0;
    tn_rc rc = text == NULL || f.failed
                   ? api.host->fail(err, TN_E_NOMEM, "no memory to change %s", entity)
                   : ENT->update(CTX, txn, entity, f.f, f.n, text_of(text), &count, err);
    free(text);
    filters_free(&f);
    return rc;
}

tn_rc store_delete(tn_txn *txn, const char *entity, const char *column, tn_str value,
                   int64_t *ret_count, tn_err *err)
{
    struct filters f = {0};
    filters_eq(&f, column, value);
    int64_t count = 0;
    tn_rc rc = f.failed ? api.host->fail(err, TN_E_INVAL, "%s is not text", column)
                        : ENT->remove(CTX, txn, entity, f.f, f.n, &count, err);
    filters_free(&f);
    if (rc == TN_OK && ret_count != NULL) {
        *ret_count = count;
    }
    return rc;
}

tn_rc store_finish(const struct api_req *r, tn_txn *txn, tn_err *err)
{
    if (r->dry_run) {
        ENT->rollback(CTX, txn);
        return TN_OK;
    }
    return ENT->commit(CTX, txn, err);
}
