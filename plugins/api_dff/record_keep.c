/* SPDX-License-Identifier: Apache-2.0 */
/* Last outcomes in the store, so that lists show them after a restart (spec 1.9). All that changed within
 * five seconds is one transaction, so an API that is called ten thousand times a second costs one row in
 * five seconds: a kill forgets what was newer, a stop nothing. */
#include "record.h"
#include "store.h"

#include <stdatomic.h>

#define CTX      api.host->ctx
#define ENT      api.host->entities
#define ENTITY   "lastTaskStatus"
#define EVERY_NS 5000000000ull
#define BATCH    500

static tn_timer *timer;
static bool busy;               /* a batch is waiting or being written */
static _Atomic bool complained; /* about the store; once */

/* ---- writing --------------------------------------------------------------------------------- */
static tn_rc row_write(tn_txn *txn, const json_t *row, tn_err *err)
{
    int64_t gone;
    tn_str id = text_of(json_string_value(json_object_get(row, "id")));
    tn_rc rc = store_delete(txn, ENTITY, "id", id, &gone, err);
    return rc ? rc : store_insert(txn, ENTITY, row, NULL, err);
}

static json_t *take_rows(void)
{
    json_t *rows = json_array(), *row;
    while (json_array_size(rows) < BATCH && (row = record_last_take()) != NULL) {
        json_array_append_new(rows, row);
    }
    return rows;
}

static tn_rc rows_write(const json_t *rows, tn_err *err)
{
    tn_txn *txn;
    size_t i;
    const json_t *row;
    tn_rc rc = ENT->begin(CTX, &txn, err);
    if (rc != TN_OK) {
        return rc;
    }
    json_array_foreach(rows, i, row)
    {
        rc = rc ? rc : row_write(txn, row, err);
    }
    if (rc == TN_OK) {
        return ENT->commit(CTX, txn, err);
    }
    ENT->rollback(CTX, txn);
    return rc;
}

/* At most a batch. False: there is nothing more, or it could not be written and stays to be written. */
static bool batch_write(void)
{
    tn_err err = TN_ERR_INIT;
    json_t *rows = take_rows();
    size_t n = json_array_size(rows), i;
    tn_rc rc = n > 0 ? rows_write(rows, &err) : TN_OK;
    const json_t *row;
    json_array_foreach(rows, i, row)
    {
        if (rc != TN_OK) {
            record_last_again(text_of(json_string_value(json_object_get(row, "id"))));
        }
    }
    json_decref(rows);
    if (rc != TN_OK && !atomic_exchange(&complained, true)) {
        api.host->log(CTX, TN_LOG_WARNING, "last outcomes of APIs are not kept: %s", err.msg);
    }
    return rc == TN_OK && n == BATCH;
}

static void written(void *user)
{
    (void)user;
    busy = false;
    if (record_last_waits()) {
        record_keep();
    }
}

static void write_job(void *user)
{
    (void)user;
    while (batch_write()) {}
    api.host->loop->post(CTX, written, NULL);
}

static void on_timer(void *user)
{
    tn_err err = TN_ERR_INIT;
    (void)user;
    if (api.host->loop->defer(CTX, write_job, NULL, &err) != TN_OK) {
        busy = false; /* with the next outcome */
    }
}

void record_keep(void)
{
    if (!busy && timer != NULL) {
        busy = true;
        api.host->loop->timer_set(CTX, timer, api.host->now_ns() + EVERY_NS);
    }
}

/* ---- life ------------------------------------------------------------------------------------ */
static void begin(void *user)
{
    (void)user;
    api.host->loop->timer(CTX, on_timer, NULL, &timer, NULL);
}

tn_rc record_keep_start(tn_err *err)
{
    const tn_list all = {.size = sizeof all, .limit = -1};
    json_t *rows = store_rows(NULL, ENTITY, &all, NULL, err), *row;
    size_t i;
    if (rows == NULL) {
        return err->rc;
    }
    json_array_foreach(rows, i, row)
    {
        record_last_put(row);
    }
    json_decref(rows);
    api.host->loop->post(CTX, begin, NULL);
    return TN_OK;
}

void record_keep_stop(void)
{
    while (timer != NULL && batch_write()) {}
}
