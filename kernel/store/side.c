/* SPDX-License-Identifier: Apache-2.0 */
/* A database file beside the store's main one: a store of its own, written by one thread that puts what
 * was submitted meanwhile into one transaction with one sync (group commit). */
#include "kernel/store/side.h"
#include "kernel/base/clock.h"
#include "kernel/base/err.h"
#include "kernel/base/log.h"
#include "kernel/base/str.h"
#include "kernel/base/proc.h"
#include "kernel/store/internal.h"
#include "kernel/store/migrate.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define PENDING_MAX 65536u
#define BATCH_MAX   1024u
#define BATCH_NS    (4 * NS_PER_MS) /* a transaction takes in no more after that */
#define READERS     3

struct side_entities {
    struct side_entities *next;
    tn_entity e[]; /* ends with a row of NULL name */
};

struct side {
    struct plug_inst pi;
    struct store *db;
    char name[16];
    char *path;
    struct side_entities *entities;
    pthread_t thread;
    int started;
    pthread_mutex_t lock; /* everything below */
    pthread_cond_t some;
    struct list ops;
    int closing;
    struct side_stats stats;
};

struct side_txn {
    struct store_txn txn;
    struct lease l; /* with &txn: what ends the transaction is noted there */
};

/* ---- the writer thread ----------------------------------------------------------------------- */

static tn_rc plain(struct side_txn *t, const char *sql, tn_err *err)
{
    struct lease l = t->l;
    l.t = NULL;
    return lease_exec(&l, str_of(sql), NULL, 0, NULL, err);
}

/* One operation in its savepoint. TN_OK and *ret_rc: the transaction goes on, whatever became of the
 * operation; else it is lost as a whole. */
static tn_rc run_one(struct side_txn *t, struct side_op *op, tn_rc *ret_rc, tn_err *ret_err,
                     tn_err *err)
{
    tn_rc rc = plain(t, "SAVEPOINT op", err);
    if (rc) {
        return rc;
    }
    *ret_rc = op->run(t, op->user, ret_err);
    if (*ret_rc == TN_OK && !t->txn.failed) {
        return plain(t, "RELEASE op", err);
    }
    *ret_rc = *ret_rc ? *ret_rc : t->txn.failed;
    if (plain(t, "ROLLBACK TO op", err) == TN_OK && plain(t, "RELEASE op", err) == TN_OK) {
        t->txn.failed = TN_OK; /* only this operation was at fault */
        return TN_OK;
    }
    /* The database has ended the transaction by itself (disk full, I/O error); what the operation
     * said tells why. */
    *err = *ret_err;
    return *ret_rc;
}

static void finish(struct list *ops, tn_rc rc, const tn_err *err)
{
    for (struct list *n; (n = list_pop_front(ops));) {
        struct side_op *op = list_entry(n, struct side_op, link);
        op->done(op->user, rc, rc ? err : NULL);
    }
}

/* Nothing can be begun now. */
static void refuse(struct side *d, struct list *todo, tn_rc rc, const tn_err *err)
{
    unsigned n = 0;
    for (struct list *i = todo->next; i != todo; i = i->next) {
        n++;
    }
    pthread_mutex_lock(&d->lock);
    d->stats.pending -= n;
    pthread_mutex_unlock(&d->lock);
    finish(todo, rc, err);
}

/* Runs operations from `todo` in one transaction; what is left there did not fit any more. */
static void commit_some(struct side *d, struct list *todo)
{
    struct list ran;
    struct side_txn t;
    tn_err err = TN_ERR_INIT;
    unsigned n = 0;
    uint64_t start = clock_mono_ns();
    list_init(&ran);
    memset(&t, 0, sizeof t);
    tn_rc rc = lease_take(d->db, NULL, 1, &t.l, &err);
    if (rc) {
        refuse(d, todo, rc, &err);
        return;
    }
    t.txn.s = d->db;
    rc = lease_begin(&t.l, &err);
    if (rc) { /* locked by another process, or broken: who waits is told, and may come again */
        lease_rollback(&t.l);
        lease_give(&t.l);
        refuse(d, todo, rc, &err);
        return;
    }
    t.l.t = &t.txn;
    while (rc == TN_OK && !list_empty(todo) && n < BATCH_MAX &&
           (n == 0 || clock_mono_ns() - start < BATCH_NS)) {
        struct side_op *op = list_entry(list_pop_front(todo), struct side_op, link);
        tn_err why = TN_ERR_INIT;
        tn_rc own = TN_OK;
        rc = run_one(&t, op, &own, &why, &err);
        if (rc == TN_OK && own) {
            op->done(op->user, own, &why);
        } else {
            list_push_back(&ran, &op->link);
        }
        n++;
    }
    t.l.t = NULL;
    if (rc == TN_OK && (rc = lease_commit(&t.l, &err)) && store_writable(d->db, NULL) != TN_OK) {
        snprintf(err.state, sizeof err.state, STORE_IN_DOUBT);
    }
    if (rc) {
        lease_rollback(&t.l);
    }
    lease_give(&t.l);
    uint64_t took = clock_mono_ns() - start;
    pthread_mutex_lock(&d->lock);
    d->stats.commits += rc == TN_OK;
    d->stats.ops += n;
    d->stats.pending -= n;
    d->stats.max_commit_ns = took > d->stats.max_commit_ns ? took : d->stats.max_commit_ns;
    pthread_mutex_unlock(&d->lock);
    finish(&ran, rc, &err);
}

/* Holds d->lock. While a failed sync keeps everybody from writing, nothing is submitted: then the file
 * is looked after here. */
static void wait_for_some(struct side *d)
{
    struct timespec until;
    pthread_mutex_unlock(&d->lock);
    int writable = store_revive(d->db);
    pthread_mutex_lock(&d->lock);
    if (!list_empty(&d->ops) || d->closing) {
        return;
    }
    if (writable) {
        pthread_cond_wait(&d->some, &d->lock);
    } else {
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec++;
        pthread_cond_timedwait(&d->some, &d->lock, &until);
    }
}

static void *writer_main(void *arg)
{
    struct side *d = arg;
    struct list todo;
    proc_title("tn-writer");
    list_init(&todo);
    pthread_mutex_lock(&d->lock);
    for (;;) {
        while (list_empty(&d->ops) && !d->closing) {
            wait_for_some(d);
        }
        if (list_empty(&d->ops)) {
            break;
        }
        /* What waits becomes one transaction; while it is synced the next one gathers. */
        todo = d->ops;
        todo.next->prev = todo.prev->next = &todo;
        list_init(&d->ops);
        pthread_mutex_unlock(&d->lock);
        while (!list_empty(&todo)) {
            commit_some(d, &todo);
        }
        pthread_mutex_lock(&d->lock);
    }
    pthread_mutex_unlock(&d->lock);
    return NULL;
}

/* ---- life ------------------------------------------------------------------------------------ */

/* An instance of the store's connector with settings of its own. */
static tn_rc attach_plugin(struct side *d, struct plug *plug, int sync, tn_err *err)
{
    struct conf c;
    struct conf_problems problems = {.text = BUF_INIT(0)};
    conf_init(&c);
    tn_rc rc = conf_set(&c, "store.path", d->path, d->name);
    rc = rc ? rc : conf_set(&c, "store.synchronous", sync ? "full" : "normal", d->name);
    rc = rc ? rc : conf_set(&c, "store.auto_vacuum", "incremental", d->name);
    if (rc) {
        err_set(err, rc, "no memory for the file %s", d->path);
    } else if ((rc = plug_attach(plug, &c, "store.", &d->pi, &problems, err))) {
        memset(&d->pi, 0, sizeof d->pi);
    }
    conf_problems_finish(&problems);
    conf_finish(&c);
    return rc;
}

static tn_rc path_of(const struct store *s, const char *name, char **ret, tn_err *err)
{
    if (asprintf(ret, "%s/%s.db", s->data, name) < 0) {
        *ret = NULL;
        return err_set(err, TN_E_NOMEM, "no memory for a path");
    }
    return TN_OK;
}

tn_rc side_open(struct store *s, const char *name, int sync, const tn_migration *migrations,
                struct side **ret, tn_err *err)
{
    struct side *d = calloc(1, sizeof *d);
    char *path = NULL;
    pthread_condattr_t mono;
    if (!d) {
        return err_set(err, TN_E_NOMEM, "no memory for %s.db", name);
    }
    pthread_mutex_init(&d->lock, NULL);
    pthread_condattr_init(&mono);
    pthread_condattr_setclock(&mono, CLOCK_MONOTONIC); /* a clock that is set holds nobody up */
    pthread_cond_init(&d->some, &mono);
    pthread_condattr_destroy(&mono);
    list_init(&d->ops);
    snprintf(d->name, sizeof d->name, "%s", name);
    tn_rc rc = path_of(s, name, &d->path, err);
    rc = rc ? rc : path_of(s, name, &path, err);
    rc = rc ? rc : attach_plugin(d, s->pi->plug, sync, err);
    rc = rc ? rc : store_open(&d->pi, s->data, READERS, &d->db, err);
    if (rc == TN_OK) {
        store_use_keys(d->db, s->keys);
    }
    rc = rc ? rc : store_define(d->db, d->name, NULL, migrations, err);
    if (rc == TN_OK) {
        rc = store_add_side(s, d->name, path, err);
        path = NULL;
    }
    if (rc == TN_OK) {
        int e = pthread_create(&d->thread, NULL, writer_main, d);
        d->started = e == 0;
        rc = e ? err_sys(err, e, "starting the writer of %s", d->path) : TN_OK;
    }
    free(path);
    if (rc) {
        side_close(d);
        return rc;
    }
    *ret = d;
    return TN_OK;
}

void side_close(struct side *d)
{
    if (!d) {
        return;
    }
    pthread_mutex_lock(&d->lock);
    d->closing = 1;
    pthread_cond_signal(&d->some);
    pthread_mutex_unlock(&d->lock);
    if (d->started) {
        pthread_join(d->thread, NULL);
    }
    store_close(d->db);
    plug_detach(&d->pi);
    for (struct side_entities *e = d->entities, *next; e; e = next) {
        next = e->next;
        free(e);
    }
    pthread_cond_destroy(&d->some);
    pthread_mutex_destroy(&d->lock);
    free(d->path);
    free(d);
}

/* ---- submitting ------------------------------------------------------------------------------ */

tn_rc side_submit(struct side *d, struct side_op *op, tn_err *err)
{
    tn_rc rc = store_writable(d->db, err);
    if (rc) {
        return rc;
    }
    pthread_mutex_lock(&d->lock);
    if (d->closing) {
        rc = err_set(err, TN_E_UNAVAIL, "%s.db is being closed", d->name);
    } else if (d->stats.pending >= PENDING_MAX) {
        d->stats.dropped++;
        rc = err_set(err, TN_E_LIMIT, "%u changes wait to be written to %s.db already", PENDING_MAX,
                     d->name);
    } else {
        int idle = list_empty(&d->ops);
        list_push_back(&d->ops, &op->link);
        d->stats.pending++;
        if (idle) {
            pthread_cond_signal(&d->some);
        }
    }
    pthread_mutex_unlock(&d->lock);
    return rc;
}

struct waiting {
    struct side_op op;
    tn_rc (*run)(struct side_txn *, void *, tn_err *);
    void *user;
    pthread_mutex_t lock;
    pthread_cond_t over;
    int done;
    tn_rc rc;
    tn_err err;
};

static tn_rc waiting_run(struct side_txn *t, void *user, tn_err *err)
{
    struct waiting *w = user;
    return w->run(t, w->user, err);
}

static void waiting_done(void *user, tn_rc rc, const tn_err *err)
{
    struct waiting *w = user;
    pthread_mutex_lock(&w->lock);
    w->done = 1;
    w->rc = rc;
    if (err) {
        w->err = *err;
    }
    pthread_cond_signal(&w->over);
    pthread_mutex_unlock(&w->lock);
}

tn_rc side_run(struct side *d, tn_rc (*run)(struct side_txn *t, void *user, tn_err *err),
               void *user, tn_err *err)
{
    struct waiting w = {.op = {.run = waiting_run, .done = waiting_done},
                        .run = run,
                        .user = user,
                        .err = TN_ERR_INIT};
    w.op.user = &w;
    pthread_mutex_init(&w.lock, NULL);
    pthread_cond_init(&w.over, NULL);
    tn_rc rc = side_submit(d, &w.op, err);
    if (rc == TN_OK) {
        pthread_mutex_lock(&w.lock);
        while (!w.done) {
            pthread_cond_wait(&w.over, &w.lock);
        }
        pthread_mutex_unlock(&w.lock);
        rc = w.rc;
        if (rc && err) {
            uint32_t size = err->size;
            *err = w.err;
            err->size = size;
        }
    }
    pthread_cond_destroy(&w.over);
    pthread_mutex_destroy(&w.lock);
    return rc;
}

/* ---- statements ------------------------------------------------------------------------------ */

static tn_rc usable(const struct side_txn *t, tn_err *err)
{
    return t->txn.failed
               ? err_set(err, t->txn.failed, "the transaction has failed before: %s", t->txn.why)
               : TN_OK;
}

tn_rc side_exec(struct side_txn *t, const char *sql, const tn_val *params, uint32_t n,
                int64_t *ret_affected, tn_err *err)
{
    tn_rc rc = usable(t, err);
    return rc ? rc : lease_exec(&t->l, str_of(sql), params, n, ret_affected, err);
}

tn_rc side_query(struct side_txn *t, const char *sql, const tn_val *params, uint32_t n,
                 tn_sink *sink, tn_err *err)
{
    tn_rc rc = usable(t, err);
    return rc ? rc : lease_query(&t->l, str_of(sql), params, n, sink, err);
}

tn_rc side_read(struct side *d, const char *sql, const tn_val *params, uint32_t n, tn_sink *sink,
                tn_err *err)
{
    struct lease l;
    tn_rc rc = lease_take(d->db, NULL, 0, &l, err);
    if (rc == TN_OK) {
        rc = lease_query(&l, str_of(sql), params, n, sink, err);
        lease_give(&l);
    }
    return rc;
}

/* ---- entities -------------------------------------------------------------------------------- */

/* Copies without joins, whose other tables are not here, and without the flag, so that store_define()
 * makes the tables. */
tn_rc side_define(struct side *d, const char *owner, const tn_entity *entities, tn_err *err)
{
    size_t n = 0, have = 0;
    for (const tn_entity *e = entities; e && e->name; e++) {
        n += (e->flags & TN_ENTITY_RECORDS) != 0;
    }
    if (n == 0) {
        return TN_OK;
    }
    struct side_entities *more = calloc(1, sizeof *more + (n + 1) * sizeof more->e[0]);
    if (!more) {
        return err_set(err, TN_E_NOMEM, "no memory for the tables of %s.db", d->name);
    }
    for (const tn_entity *e = entities; e->name; e++) {
        if (e->flags & TN_ENTITY_RECORDS) {
            tn_entity *mine = &more->e[have++];
            *mine = *e;
            mine->flags &= ~TN_ENTITY_RECORDS;
            mine->joins = NULL;
        }
    }
    more->next = d->entities;
    d->entities = more;
    return store_define(d->db, owner, more->e, NULL, err);
}

tn_rc side_insert(struct side_txn *t, const char *entity, tn_str row, tn_err *err)
{
    return store_insert(t->txn.s, &t->txn, entity, row, NULL, err);
}

tn_rc side_remove(struct side_txn *t, const char *entity, const tn_filter *f, uint32_t nf,
                  int64_t *ret_count, tn_err *err)
{
    return store_remove(t->txn.s, &t->txn, entity, f, nf, ret_count, err);
}

void side_stats(struct side *d, struct side_stats *ret)
{
    struct stat st;
    pthread_mutex_lock(&d->lock);
    *ret = d->stats;
    pthread_mutex_unlock(&d->lock);
    ret->bytes = stat(d->path, &st) == 0 ? (int64_t)st.st_size : 0;
}
