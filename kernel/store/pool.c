/* SPDX-License-Identifier: Apache-2.0 */
/* The store's connections: one writer, handed on first come first served, and a few readers. */
#include "kernel/base/clock.h"
#include "kernel/base/err.h"
#include "kernel/base/log.h"
#include "kernel/base/str.h"
#include "kernel/store/internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct waiter {
    struct list link;
    pthread_cond_t cond;
    int granted;
};

static void after(struct timespec *t, uint64_t ns)
{
    clock_gettime(CLOCK_MONOTONIC, t);
    ns += (uint64_t)t->tv_nsec;
    t->tv_sec += (time_t)(ns / NS_PER_S);
    t->tv_nsec = (long)(ns % NS_PER_S);
}

static void cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &attr);
    pthread_condattr_destroy(&attr);
}

/* Holds s->lock. */
static tn_rc writable(const struct store *s, tn_err *err)
{
    return s->lost[0]
               ? err_set(err, TN_E_UNAVAIL,
                         "the store takes no changes since a sync to disk failed (%s); it is "
                         "tried again every second",
                         s->lost)
               : TN_OK;
}

tn_rc store_writable(struct store *s, tn_err *err)
{
    pthread_mutex_lock(&s->lock);
    tn_rc rc = writable(s, err);
    pthread_mutex_unlock(&s->lock);
    return rc;
}

/* Holds s->lock. A queue of its own instead of a mutex, because a mutex may starve a thread for as
 * long as others keep coming. */
static tn_rc take_writer(struct store *s, tn_err *err)
{
    pthread_t self = pthread_self();
    if (s->writer.busy && pthread_equal(s->owner, self)) {
        return err_set(err, TN_E_INVAL, "this thread has an open transaction: pass it to the call");
    }
    if (s->writer.busy || !list_empty(&s->waiters)) {
        struct waiter w = {.granted = 0};
        struct timespec until;
        after(&until, STORE_WRITE_NS);
        cond_init(&w.cond);
        list_push_back(&s->waiters, &w.link);
        while (!w.granted && pthread_cond_timedwait(&w.cond, &s->lock, &until) != ETIMEDOUT) {}
        pthread_cond_destroy(&w.cond);
        if (!w.granted) {
            list_del(&w.link);
            return err_set(err, TN_E_UNAVAIL,
                           "the store was busy writing for %d seconds; try again later",
                           (int)(STORE_WRITE_NS / NS_PER_S));
        }
    }
    s->writer.busy = 1; /* already set when it was handed over */
    s->owner = self;
    return TN_OK;
}

/* Holds s->lock. */
static void give_writer(struct store *s)
{
    struct list *next = list_pop_front(&s->waiters);
    s->writer.busy = next != NULL;
    memset(&s->owner, 0, sizeof s->owner);
    if (next) {
        struct waiter *w = list_entry(next, struct waiter, link);
        w->granted = 1;
        pthread_cond_signal(&w->cond);
    }
}

static tn_rc take_reader(struct store *s, struct slot **ret, tn_err *err)
{
    struct timespec until;
    after(&until, STORE_READ_NS);
    for (int waited = 0;; waited = 1) {
        struct slot *found = NULL;
        for (unsigned i = 0; i < s->nreaders; i++) {
            struct slot *slot = &s->readers[i];
            if (!slot->busy && (!found || (slot->conn && !found->conn))) {
                found = slot; /* an open one is the better one */
            }
        }
        if (found) {
            found->busy = 1;
            *ret = found;
            return TN_OK;
        }
        if (waited && pthread_cond_timedwait(&s->reader_free, &s->lock, &until) == ETIMEDOUT) {
            return err_set(err, TN_E_UNAVAIL, "all %u read connections of the store are busy",
                           s->nreaders);
        }
    }
}

/* Only readers have the files beside the main one: a BEGIN IMMEDIATE of the writer would lock all of
 * them. */
static tn_rc attach_sides(struct lease *l, tn_err *err)
{
    struct store *s = l->s;
    tn_rc rc = TN_OK;
    pthread_mutex_lock(&s->lock);
    unsigned n = s->nsides;
    pthread_mutex_unlock(&s->lock);
    while (l->slot->attached < n && rc == TN_OK) {
        const struct store_side *side = &s->sides[l->slot->attached];
        rc = lease_attach(l, side->name, side->path, err);
        l->slot->attached += rc == TN_OK;
    }
    return rc;
}

tn_rc store_add_side(struct store *s, const char *name, char *path, tn_err *err)
{
    tn_rc rc = TN_OK;
    pthread_mutex_lock(&s->lock);
    if (!s->attach) {
        rc = err_set(err, TN_E_UNSUPP, "connector %s cannot read %s beside the store",
                     s->pi->plug->desc.name, path);
    } else if (s->nsides == STORE_SIDES_MAX) {
        rc = err_set(err, TN_E_LIMIT, "more than %d files beside the store", STORE_SIDES_MAX);
    } else {
        struct store_side *side = &s->sides[s->nsides++];
        snprintf(side->name, sizeof side->name, "%s", name);
        side->path = path;
        path = NULL;
    }
    pthread_mutex_unlock(&s->lock);
    free(path);
    return rc;
}

/* even_lost: the writer also when a failed sync stopped writing. */
static tn_rc take(struct store *s, int writing, int even_lost, struct lease *ret, tn_err *err)
{
    struct lease l = {.s = s, .writing = writing};
    tn_rc rc = TN_OK;
    pthread_mutex_lock(&s->lock);
    if (writing) {
        rc = even_lost ? TN_OK : writable(s, err);
        rc = rc ? rc : take_writer(s, err);
        l.slot = &s->writer;
    } else {
        rc = take_reader(s, &l.slot, err);
    }
    pthread_mutex_unlock(&s->lock);
    if (rc) {
        return rc;
    }
    if (!l.slot->conn) {
        rc = s->ops->open(s->pi->inst, clock_mono_ns() + STORE_READ_NS, &l.slot->conn, err);
        if (rc) {
            l.slot->conn = NULL;
            lease_give(&l);
            return rc;
        }
        l.slot->attached = 0;
    }
    if (!l.writing && (rc = attach_sides(&l, err))) {
        lease_give(&l);
        return rc;
    }
    *ret = l;
    return TN_OK;
}

tn_rc lease_take(struct store *s, struct store_txn *t, int writing, struct lease *ret, tn_err *err)
{
    if (t) {
        if (t->failed) {
            return err_set(err, t->failed, "the transaction has failed before: %s", t->why);
        }
        *ret = (struct lease){.s = s, .t = t, .slot = &s->writer, .writing = 1};
        return TN_OK;
    }
    if (writing) {
        store_revive(s);
    }
    return take(s, writing, 0, ret, err);
}

tn_rc lease_take_lost(struct store *s, struct lease *ret, tn_err *err)
{
    return take(s, 1, 1, ret, err);
}

void lease_give(struct lease *l)
{
    struct store *s = l->s;
    if (!s || l->t) { /* a transaction keeps its connection */
        return;
    }
    pthread_mutex_lock(&s->lock);
    if (l->slot == &s->writer) {
        give_writer(s);
    } else {
        l->slot->busy = 0;
        pthread_cond_signal(&s->reader_free);
    }
    pthread_mutex_unlock(&s->lock);
    l->s = NULL;
}

/* ---- running --------------------------------------------------------------------------------- */

/* What an error means for the connection, the transaction and for writing at all. */
static void judge(struct lease *l, tn_rc rc, const tn_err *e)
{
    struct store *s = l->s;
    const int32_t *lost = s->d->lost;
    while (l->writing && lost && *lost && *lost != e->native) {
        lost++;
    }
    int failed_sync = l->writing && lost && *lost;
    if (failed_sync) {
        pthread_mutex_lock(&s->lock);
        int known = s->lost[0] != '\0';
        snprintf(s->lost, sizeof s->lost, "%s", e->msg);
        pthread_mutex_unlock(&s->lock);
        if (!known) {
            log_alert("store: writing stops: %s", e->msg);
        }
    }
    if (l->t && rc != TN_E_CONFLICT && rc != TN_E_INVAL && !l->t->failed) {
        /* The database may have ended the transaction by itself: nothing may follow in it. */
        l->t->failed = rc;
        snprintf(l->t->why, sizeof l->t->why, "%s", e->msg);
    }
    if ((e->flags & TN_ERR_CONN_BROKEN) && !failed_sync) { /* why it stays: revive.c */
        s->ops->close(s->pi->inst, l->slot->conn, TN_CLOSE_BROKEN);
        l->slot->conn = NULL;
    }
}

static tn_rc invoke(struct lease *l, uint32_t method, const tn_val *args, uint32_t n, uint64_t ns,
                    tn_result *ret, tn_err *err)
{
    tn_err local = TN_ERR_INIT;
    tn_args a = {.pos = args, .npos = n};
    struct store *s = l->s;
    if (!l->slot->conn) {
        return err_set(err, TN_E_UNAVAIL, "the store's connection is lost; try again");
    }
    tn_rc rc = s->ops->invoke(s->pi->inst, l->slot->conn, method, &a, clock_mono_ns() + ns, ret,
                              &local);
    if (rc) {
        judge(l, rc, &local);
        if (err) {
            uint32_t size = err->size;
            *err = local;
            err->size = size;
            err->flags &= ~TN_ERR_CONN_BROKEN; /* ours, not the caller's */
        }
    }
    return rc;
}

static tn_val text_val(tn_str s)
{
    tn_val v = {.type = TN_T_STR, .n = (uint32_t)s.n, .u.s = s.s};
    return v;
}

static tn_rc with_params(struct lease *l, uint32_t method, tn_str sql, const tn_val *params,
                         uint32_t n, tn_result *ret, tn_err *err)
{
    tn_val args[2] = {text_val(sql), {.type = TN_T_LIST, .n = n, .u.list = params}};
    return invoke(l, method, args, 2, l->writing ? STORE_WRITE_NS : STORE_READ_NS, ret, err);
}

tn_rc lease_query(struct lease *l, tn_str sql, const tn_val *params, uint32_t n, tn_sink *sink,
                  tn_err *err)
{
    tn_result r;
    struct store *s = l->s;
    tn_rc rc = with_params(l, s->query, sql, params, n, &r, err);
    if (rc) {
        return rc;
    }
    rc = s->ops->emit(s->pi->inst, &r, sink, err);
    s->ops->result_free(s->pi->inst, &r);
    return rc == TN_E_LIMIT
               ? err_set(err, rc, "the answer is larger than the caller can take; use a limit")
               : rc;
}

/* The number that a method returned. */
struct number_sink {
    tn_sink sink;
    int64_t value;
};

static tn_rc take_number(tn_sink *sink, const tn_val *v)
{
    container_of(sink, struct number_sink, sink)->value = v->type == TN_T_INT ? v->u.i : 0;
    return TN_OK;
}

static tn_rc number_of(struct lease *l, tn_result *r, int64_t *ret, tn_err *err)
{
    static const tn_sink_ops ops = {.size = sizeof ops, .scalar = take_number};
    struct number_sink n = {.sink = {&ops, NULL}};
    tn_rc rc = l->s->ops->emit(l->s->pi->inst, r, &n.sink, err);
    l->s->ops->result_free(l->s->pi->inst, r);
    if (rc == TN_OK && ret) {
        *ret = n.value;
    }
    return rc;
}

tn_rc lease_exec(struct lease *l, tn_str sql, const tn_val *params, uint32_t n,
                 int64_t *ret_affected, tn_err *err)
{
    tn_result r;
    tn_rc rc = with_params(l, l->s->non_query, sql, params, n, &r, err);
    return rc ? rc : number_of(l, &r, ret_affected, err);
}

tn_rc lease_script(struct lease *l, tn_str sql, tn_err *err)
{
    tn_result r;
    tn_val arg = text_val(sql);
    tn_rc rc = invoke(l, l->s->script, &arg, 1, STORE_SCRIPT_NS, &r, err);
    return rc ? rc : number_of(l, &r, NULL, err);
}

tn_rc lease_attach(struct lease *l, const char *name, const char *path, tn_err *err)
{
    tn_result r;
    tn_val args[2] = {text_val(str_of(name)), text_val(str_of(path))};
    tn_rc rc = invoke(l, l->s->attach, args, 2, STORE_READ_NS, &r, err);
    return rc ? rc : number_of(l, &r, NULL, err);
}

tn_rc lease_backup(struct lease *l, const char *path, tn_err *err)
{
    tn_result r;
    tn_val arg = text_val(str_of(path));
    tn_rc rc = invoke(l, l->s->backup, &arg, 1, STORE_SCRIPT_NS, &r, err);
    return rc ? rc : number_of(l, &r, NULL, err);
}

tn_rc lease_begin(struct lease *l, tn_err *err)
{
    return lease_exec(l, str_of(l->s->d->begin), NULL, 0, NULL, err);
}

tn_rc lease_commit(struct lease *l, tn_err *err)
{
    return lease_exec(l, str_of(l->s->d->commit), NULL, 0, NULL, err);
}

/* By the connector's reset(): it also works when the database has ended the transaction already. */
void lease_rollback(struct lease *l)
{
    tn_err err = TN_ERR_INIT;
    struct store *s = l->s;
    if (l->slot->conn && s->ops->reset(s->pi->inst, l->slot->conn, &err) != TN_OK) {
        log_warn("store: rollback failed, the connection is closed: %s", err.msg);
        s->ops->close(s->pi->inst, l->slot->conn, TN_CLOSE_BROKEN);
        l->slot->conn = NULL;
    }
}
