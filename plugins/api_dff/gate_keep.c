/* SPDX-License-Identifier: Apache-2.0 */
/* Counters of failed API authentications in the store, so that a restart forgives nothing (reliability F).
 * They are written together, at most a few hundred every two seconds, so that guessing costs little here:
 * a kill forgets two seconds, a stop nothing. */
#include "gate_slow.h"
#include "store.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CTX      api.host->ctx
#define ENT      api.host->entities
#define ENTITY   "signInGuard"
#define HEAD     "gate-" /* of the ids, the rest is the key in hex */
#define EVERY_NS 2000000000ull
#define BATCH    256

struct batch {
    size_t n;
    struct slow_count counts[BATCH];
};

static tn_timer *timer;
static bool busy;               /* a batch is waiting or being written */
static _Atomic bool complained; /* about the store; once */

/* ---- writing --------------------------------------------------------------------------------- */
static tn_rc count_write(tn_txn *txn, const struct slow_count *c, tn_err *err)
{
    char id[32];
    int64_t gone;
    snprintf(id, sizeof id, HEAD "%016" PRIx64, c->key);
    tn_rc rc = store_delete(txn, ENTITY, "id", text_of(id), &gone, err);
    if (rc == TN_OK && c->failures > 0) {
        json_t *row = json_pack("{s:s, s:I, s:I, s:I}", "id", id, "failures",
                                (json_int_t)c->failures, "waitUntilMs", (json_int_t)c->until_ms,
                                "lastMs", (json_int_t)c->last_ms);
        rc = store_insert(txn, ENTITY, row, NULL, err);
        json_decref(row);
    }
    return rc;
}

static void batch_write(const struct batch *b)
{
    tn_txn *txn;
    tn_err err = TN_ERR_INIT;
    tn_rc rc = ENT->begin(CTX, &txn, &err);
    if (rc == TN_OK) {
        for (size_t i = 0; rc == TN_OK && i < b->n; i++) {
            rc = count_write(txn, &b->counts[i], &err);
        }
        if (rc == TN_OK) {
            rc = ENT->commit(CTX, txn, &err);
        } else {
            ENT->rollback(CTX, txn);
        }
    }
    if (rc != TN_OK && !atomic_exchange(&complained, true)) {
        api.host->log(CTX, TN_LOG_WARNING, "failed API authentications are not kept: %s", err.msg);
    }
}

static void written(void *user)
{
    (void)user;
    busy = false;
    slow_keep(); /* what has changed meanwhile, or did not fit */
}

static void write_job(void *user)
{
    struct batch *b = user;
    batch_write(b);
    free(b);
    api.host->loop->post(CTX, written, NULL);
}

static void on_timer(void *user)
{
    struct batch *b = malloc(sizeof *b);
    tn_err err = TN_ERR_INIT;
    (void)user;
    if (b != NULL) {
        b->n = slow_take(b->counts, BATCH);
    }
    if (b == NULL || b->n == 0 || api.host->loop->defer(CTX, write_job, b, &err) != TN_OK) {
        free(b);
        busy = false;
    }
}

void slow_keep(void)
{
    if (!busy && timer != NULL) {
        busy = true;
        api.host->loop->timer_set(CTX, timer, api.host->now_ns() + EVERY_NS);
    }
}

/* ---- life ------------------------------------------------------------------------------------ */
struct loaded {
    unsigned char key[32];
    size_t n;
    struct slow_count counts[];
};

/* Rows that still count; the others are removed. NULL: error. */
static struct loaded *load(tn_err *err)
{
    struct filters f = {0};
    json_t *head = json_string(HEAD), *row;
    filters_add(&f, "id", TN_OP_PRELIKE, head);
    json_decref(head);
    tn_list q = {.size = sizeof q, .filters = f.f, .nfilters = f.n, .limit = -1};
    json_t *rows = store_rows(NULL, ENTITY, &q, NULL, err);
    filters_free(&f);
    struct loaded *l = rows != NULL
                           ? calloc(1, sizeof *l + json_array_size(rows) * sizeof *l->counts)
                           : NULL;
    size_t i;
    json_array_foreach(rows, i, row)
    {
        const char *id = json_string_value(json_object_get(row, "id"));
        struct slow_count c = {
            .failures = (uint32_t)json_integer_value(json_object_get(row, "failures")),
            .last_ms = json_integer_value(json_object_get(row, "lastMs")),
            .until_ms = json_integer_value(json_object_get(row, "waitUntilMs"))};
        int64_t gone;
        if (api.host->wall_us() / 1000 - c.last_ms > SLOW_FORGET_S * 1000) {
            store_delete(NULL, ENTITY, "id", text_of(id), &gone, NULL);
        } else if (l != NULL && sscanf(id, HEAD "%16" SCNx64, &c.key) == 1) {
            l->counts[l->n++] = c;
        }
    }
    if (rows != NULL && l == NULL) {
        api.host->fail(err, TN_E_NOMEM, "no memory for counters of failed authentications");
    }
    json_decref(rows);
    return l;
}

static void begin(void *user)
{
    struct loaded *l = user;
    slow_begin(l->key, l->counts, l->n);
    free(l);
    api.host->loop->timer(CTX, on_timer, NULL, &timer, NULL);
}

tn_rc slow_start(tn_err *err)
{
    struct loaded *l = load(err);
    if (l == NULL) {
        return err->rc;
    }
    api.host->auth->derive_key(CTX, "api-auth-failures", l->key);
    api.host->loop->post(CTX, begin, l);
    return TN_OK;
}

void slow_stop(void)
{
    struct batch b;
    while (timer != NULL && (b.n = slow_take(b.counts, BATCH)) > 0) {
        batch_write(&b);
    }
}
