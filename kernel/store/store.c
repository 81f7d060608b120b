/* SPDX-License-Identifier: Apache-2.0 */
/* Opening and closing the store, and its transactions. */
#include "kernel/store/store.h"
#include "kernel/base/clock.h"
#include "kernel/base/err.h"
#include "kernel/base/killpoint.h"
#include "kernel/base/str.h"
#include "kernel/store/internal.h"
#include "kernel/store/migrate.h"

#include <stdlib.h>
#include <string.h>

/* The methods that a connector needs to carry the store. */
static uint32_t method_id(const tn_connector_ops *ops, const char *name)
{
    for (const tn_method *m = ops->methods; m && m->name; m++) {
        if (strcmp(m->name, name) == 0) {
            return m->id;
        }
    }
    return 0;
}

static tn_rc find_methods(struct store *s, tn_err *err)
{
    const struct {
        const char *name;
        uint32_t *id;
    } wanted[] = {{"query", &s->query}, {"non_query", &s->non_query}, {"script", &s->script}};
    const tn_plugin *desc = &s->pi->plug->desc;
    if (!(desc->caps & TN_CAP_STORE) || !(s->d = dialect_find(desc->name))) {
        return err_set(err, TN_E_UNSUPP, "connector %s cannot carry the store; use sqlite",
                       desc->name);
    }
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        if (!(*wanted[i].id = method_id(s->ops, wanted[i].name))) {
            return err_set(err, TN_E_UNSUPP,
                           "connector %s has no method %s and cannot carry the store", desc->name,
                           wanted[i].name);
        }
    }
    s->backup = method_id(s->ops, "backup");
    s->attach = method_id(s->ops, "attach");
    return TN_OK;
}

tn_rc store_open(struct plug_inst *pi, const char *data, unsigned readers, struct store **ret,
                 tn_err *err)
{
    struct store *s = calloc(1, sizeof *s);
    pthread_condattr_t attr;
    if (!s || !(s->data = str_dup(str_of(data)))) {
        free(s);
        return err_set(err, TN_E_NOMEM, "no memory for the store");
    }
    s->pi = pi;
    s->ops = pi->plug->ops;
    s->nreaders = readers < 1 ? 1 : readers > STORE_READERS_MAX ? STORE_READERS_MAX : readers;
    pthread_mutex_init(&s->lock, NULL);
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&s->reader_free, &attr);
    pthread_condattr_destroy(&attr);
    pthread_rwlock_init(&s->registry_lock, NULL);
    list_init(&s->waiters);
    map_init(&s->registry);
    tn_rc rc = find_methods(s, err);
    rc = rc ? rc : migrate_prepare(s, err);
    if (rc) {
        store_close(s);
        return rc;
    }
    *ret = s;
    return TN_OK;
}

void store_close(struct store *s)
{
    if (!s) {
        return;
    }
    for (unsigned i = 0; i < s->nreaders; i++) {
        if (s->readers[i].conn) {
            s->ops->close(s->pi->inst, s->readers[i].conn, TN_CLOSE_NORMAL);
        }
    }
    if (s->writer.conn) { /* last: SQLite then moves its log into the file */
        s->ops->close(s->pi->inst, s->writer.conn, TN_CLOSE_NORMAL);
    }
    for (unsigned i = 0; i < s->nsides; i++) {
        free(s->sides[i].path);
    }
    map_finish(&s->registry, NULL);
    pthread_rwlock_destroy(&s->registry_lock);
    pthread_cond_destroy(&s->reader_free);
    pthread_mutex_destroy(&s->lock);
    free(s->data);
    free(s);
}

/* ---- transactions ---------------------------------------------------------------------------- */

tn_rc store_begin(struct store *s, struct store_txn **ret, tn_err *err)
{
    struct lease l;
    struct store_txn *t = calloc(1, sizeof *t);
    if (!t) {
        return err_set(err, TN_E_NOMEM, "no memory for a transaction");
    }
    tn_rc rc = lease_take(s, NULL, 1, &l, err);
    if (rc == TN_OK && (rc = lease_begin(&l, err))) {
        lease_give(&l);
    }
    if (rc) {
        free(t);
        return rc;
    }
    t->s = s; /* the lease lives on in the transaction */
    *ret = t;
    return TN_OK;
}

static void end(struct store *s, struct store_txn *t)
{
    struct lease l = {.s = s, .slot = &s->writer, .writing = 1};
    lease_give(&l);
    free(t);
}

tn_rc store_commit(struct store *s, struct store_txn *t, tn_err *err)
{
    struct lease l;
    tn_rc rc = lease_take(s, t, 1, &l, err);
    TN_KILLPOINT("store-commit");
    rc = rc ? rc : lease_commit(&l, err);
    TN_KILLPOINT("store-committed");
    if (rc) {
        lease_rollback(&(struct lease){.s = s, .slot = &s->writer, .writing = 1});
    }
    end(s, t);
    return rc;
}

void store_rollback(struct store *s, struct store_txn *t)
{
    if (t) {
        lease_rollback(&(struct lease){.s = s, .slot = &s->writer, .writing = 1});
        end(s, t);
    }
}
